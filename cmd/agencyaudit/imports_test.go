package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/agencyaudit/agencyaudit"

const (
	sdk     = "github.com/huaweicloud/huaweicloud-sdk-go-v3"
	goyaml  = "github.com/goccy/go-yaml"
	cobra   = "github.com/spf13/cobra"
	pflag   = "github.com/spf13/pflag"
	pretty  = "github.com/jedib0t/go-pretty/v6"
	script  = "github.com/rogpeppe/go-internal"
	rapid   = "pgregory.net/rapid"
	goleak  = "go.uber.org/goleak"
	xsync   = "golang.org/x/sync"
	xcrypto = "golang.org/x/crypto"
	xtime   = "golang.org/x/time"
	xterm   = "golang.org/x/term"
	xsys    = "golang.org/x/sys"
	cron    = "github.com/robfig/cron/v3"
	// The libraries of Prometheus.
	promClient  = "github.com/prometheus/client_golang"
	promModel   = "github.com/prometheus/client_model"
	promCommon  = "github.com/prometheus/common"
	promToolkit = "github.com/prometheus/exporter-toolkit"
	fsnotify    = "github.com/fsnotify/fsnotify"
	inifile     = "gopkg.in/ini.v1"
	klauspost   = "github.com/klauspost/compress"
	// What reads Terraform's files.
	hcl = "github.com/hashicorp/hcl/v2"
	cty = "github.com/zclconf/go-cty"
	// What a history is kept by.
	sqlite = "modernc.org/sqlite"
	goose  = "github.com/pressly/goose/v3"
	flock  = "github.com/gofrs/flock"
)

// room is what the code in one folder may import. Whatever is not named is forbidden, but for the standard library.
type room struct {
	// uses are folders of this module, libs the modules of others.
	uses, libs []string
	// testUses and testLibs are allowed in test files beside them.
	testUses, testLibs []string
	// std, where it is set, are the only packages of the standard library that the room's own code may import.
	std []string
	// noClock forbids the room's own code to ask for the time.
	noClock bool
}

// rooms are the folders that hold Go code. Imports point one way: cmd, then the daemon and the outputs, then the edges,
// then auditor, then rules. Edges do not know each other; only a test may put the simulated cloud beneath another edge.
var rooms = map[string]room{
	// The core sees no file, no network, no clock and no randomness: everything it knows is an argument.
	"rules": {
		std:     []string{"cmp", "crypto/sha256", "encoding/hex", "errors", "fmt", "iter", "maps", "path", "slices", "strconv", "strings", "time", "unicode", "unicode/utf8"},
		noClock: true, testLibs: []string{rapid},
	},
	"rules/strictyaml": {libs: []string{goyaml}, testLibs: []string{rapid}},
	"rules/baseline":   {uses: []string{"rules", "rules/strictyaml"}, testLibs: []string{rapid}},
	"auditor":          {uses: []string{"rules"}, testLibs: []string{goleak, rapid}},
	// The only room that may know the vendor's SDK, so that its traps are met in one place.
	"auditor/huawei": {
		uses: []string{"auditor", "rules"}, libs: []string{sdk, xsync, xtime},
		// Its random worlds are followed up to what a scraper sees.
		testUses: []string{"auditor/simcloud", "auditor/metrics", "rules/baseline"}, testLibs: []string{goleak, goyaml, rapid, promCommon, promModel},
	},
	"auditor/report": {
		uses: []string{"auditor", "auditor/history", "auditor/remedy", "rules"}, libs: []string{pretty, xterm},
		testUses: []string{"rules/baseline"}, testLibs: []string{rapid},
	},
	// The only room that knows cron, whose traps are met there.
	"auditor/schedule": {uses: []string{"rules"}, libs: []string{cron}, testLibs: []string{goleak, rapid}},
	"auditor/metrics": {
		uses: []string{"auditor", "rules"}, libs: []string{klauspost, promClient, promModel, promCommon},
		testUses: []string{"rules/baseline"}, testLibs: []string{goleak, rapid},
	},
	// The only room that knows a database.
	"auditor/history": {
		uses: []string{"auditor", "rules"}, libs: []string{flock, goose, klauspost, sqlite},
		testUses: []string{"auditor/history/historytest"}, testLibs: []string{goleak, rapid},
	},
	// Repair knows neither the cloud nor a screen.
	"auditor/remedy": {uses: []string{"auditor", "rules"}, testUses: []string{"rules/baseline"}, testLibs: []string{goleak, rapid}},
	// What every kind of history is held to; tests alone use it.
	"auditor/history/historytest": {uses: []string{"auditor", "auditor/history", "rules"}, libs: []string{rapid}},
	"auditor/web": {
		uses: []string{"auditor", "rules"}, libs: []string{goyaml, promToolkit, xcrypto},
		testUses: []string{"rules/baseline"}, testLibs: []string{goleak, rapid},
	},
	// Its tests drive it with the SDK: a simulation that only its author's client understands proves nothing.
	"auditor/simcloud": {
		uses: []string{"rules/strictyaml"}, libs: []string{xsync},
		testUses: []string{"rules", "rules/baseline"}, testLibs: []string{sdk, goleak, rapid},
	},
	"auditor/daemon": {
		uses: []string{
			"auditor", "auditor/history", "auditor/huawei", "auditor/metrics", "auditor/remedy", "auditor/schedule", "auditor/web", "rules",
			"rules/baseline", "rules/strictyaml",
		},
		libs:     []string{fsnotify, inifile, xsync},
		testUses: []string{"auditor/simcloud"}, testLibs: []string{goleak, rapid, promCommon, promModel},
	},
	"cmd/agencyaudit": {
		uses: []string{
			"auditor", "auditor/daemon", "auditor/history", "auditor/metrics", "auditor/remedy", "auditor/report", "auditor/simcloud", "rules",
			"rules/baseline", "rules/strictyaml",
		},
		libs:     []string{cobra, goyaml, pflag, xterm, xsys},
		testLibs: []string{script, goleak, promCommon, promModel},
	},
	// The benchmark compares the program with a bare loop over the SDK, which it therefore has to hold itself.
	"cmd/bench": {uses: []string{"auditor/simcloud"}, libs: []string{sdk}},
	// It knows the code as text alone.
	"cmd/mutants": {},
	// It knows the dashboards, and Prometheus by its HTTP API.
	"cmd/dashboards": {libs: []string{goyaml}},
	// Tests of what an operator pastes or applies.
	"deploy/iam": {testLibs: []string{hcl, cty}},
}

// forbidden packages and why. Test files are held to it too.
var forbidden = map[string]string{
	"C":                     "the program is static and without cgo",
	"unsafe":                "nothing here needs it",
	"plugin":                "nothing here needs it",
	"expvar":                "it registers itself on the default mux and shows the command line",
	"net/http/pprof":        "it registers itself on the default mux and shows memory to whoever asks",
	"log":                   "log through the *slog.Logger that is handed in",
	"math/rand":             "use math/rand/v2 with a seed where it must repeat, crypto/rand where it must not",
	"io/ioutil":             "deprecated",
	"github.com/pkg/errors": "wrap with %w",
}

// builders are the functions that make something be believed. They may be called by the code of these rooms alone, and
// by tests, whose results nobody believes.
var builders = map[string][]string{
	"rules.NewEvidence": {"auditor/huawei"},
	"rules.Replay":      {"auditor"},
}

// TestImports holds the table above against every Go file of the module.
func TestImports(t *testing.T) {
	faults, err := checkImports(os.DirFS("../.."), rooms)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
}

// TestImportsOfForbiddenKinds proves that each guard of the table speaks up, on a tree that breaks one of them at a time.
func TestImportsOfForbiddenKinds(t *testing.T) {
	table := map[string]room{
		"rules":          {std: []string{"time"}, noClock: true},
		"auditor":        {uses: []string{"rules"}, testLibs: []string{rapid}},
		"auditor/huawei": {uses: []string{"rules"}, libs: []string{sdk}},
	}
	for name, c := range map[string]struct {
		file, src, want string
	}{
		"allowed":                {"auditor/a.go", `import "` + module + `/rules"; var _ rules.X`, ""},
		"allowed in a test":      {"auditor/a_test.go", `import "` + rapid + `"; var _ rapid.T`, ""},
		"builder in its room":    {"auditor/huawei/a.go", `import "` + module + `/rules"; var _ = rules.NewEvidence`, ""},
		"builder in a test":      {"auditor/a_test.go", `import "` + module + `/rules"; var _ = rules.NewEvidence`, ""},
		"builder elsewhere":      {"auditor/a.go", `import "` + module + `/rules"; var _ = rules.NewEvidence`, "rules.NewEvidence"},
		"builder by an alias":    {"auditor/a.go", `import r "` + module + `/rules"; var _ = r.NewEvidence`, "rules.NewEvidence"},
		"builder at home":        {"rules/a.go", `var _ = NewEvidence`, "rules.NewEvidence"},
		"unknown room":           {"auditor/attic/a.go", ``, "unknown room"},
		"code at the root":       {"a.go", ``, "unknown room"},
		"against the stream":     {"rules/a.go", `import "` + module + `/auditor"; var _ auditor.X`, "may not import"},
		"edge to edge":           {"auditor/huawei/a.go", `import "` + module + `/auditor/report"; var _ report.X`, "may not import"},
		"SDK elsewhere":          {"auditor/a.go", `import "` + sdk + `/core"; var _ core.X`, "may not import"},
		"SDK's namesake":         {"auditor/huawei/a.go", `import "` + sdk + `x/core"; var _ core.X`, "may not import"},
		"test library in code":   {"auditor/a.go", `import "` + rapid + `"; var _ rapid.T`, "may not import"},
		"standard library of io": {"rules/a.go", `import "os"; var _ os.File`, "may not import"},
		"clock in the core":      {"rules/a.go", `import "time"; var _ = time.Now`, "asks for the time"},
		"forbidden package":      {"auditor/a.go", `import _ "net/http/pprof"`, "forbidden"},
		"forbidden in a test":    {"auditor/a_test.go", `import _ "expvar"`, "forbidden"},
		"dot import":             {"auditor/a.go", `import . "` + module + `/rules"; var _ X`, "dot import"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := fstest.MapFS{
				"rules/ok.go":          {Data: []byte("package p\nfunc NewEvidence() {}")},
				"auditor/ok.go":        {Data: []byte("package p")},
				"auditor/huawei/ok.go": {Data: []byte("package p")},
				c.file:                 {Data: []byte("package p\n" + c.src)},
			}
			faults, err := checkImports(tree, table)
			switch {
			case err != nil:
				t.Fatal(err)
			case c.want == "" && len(faults) > 0:
				t.Errorf("got faults %q, want none", faults)
			case c.want != "" && (len(faults) != 1 || !strings.Contains(faults[0], c.want)):
				t.Errorf("got faults %q, want one that says %q", faults, c.want)
			}
		})
	}
	t.Run("a room that is gone", func(t *testing.T) {
		faults, err := checkImports(fstest.MapFS{"rules/ok.go": {Data: []byte("package p")}}, table)
		if err != nil || len(faults) != 2 {
			t.Errorf("got faults %q, error %v; want one for each of the two rooms without code", faults, err)
		}
	})
}

// checkImports returns what the Go files of a tree import or call against the table, and the rooms of the table that
// hold no code, in a fixed order.
func checkImports(tree fs.FS, table map[string]room) ([]string, error) {
	var faults []string
	seen := map[string]bool{}
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"testdata", "bin", "dist", "tools"}, d.Name())) {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		dir := path.Dir(name)
		r, known := table[dir]
		if !known {
			faults = append(faults, fmt.Sprintf("%s: unknown room %s: say in the table what it may import", name, dir))
			return nil
		}
		seen[dir] = true
		src, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, fault := range checkFile(dir, r, file, strings.HasSuffix(name, "_test.go")) {
			faults = append(faults, name+": "+fault)
		}
		return nil
	})
	for dir := range table {
		if !seen[dir] {
			faults = append(faults, fmt.Sprintf("the table has a room %s, which holds no code", dir))
		}
	}
	slices.Sort(faults)
	return faults, err
}

func checkFile(dir string, r room, file *ast.File, test bool) []string {
	var faults []string
	local := map[string]string{} // name in the file → import path
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		local[name] = imported
		switch why := forbidden[imported]; {
		case why != "":
			faults = append(faults, fmt.Sprintf("import of %q is forbidden: %s", imported, why))
		case name == ".":
			faults = append(faults, fmt.Sprintf("dot import of %q hides where names come from", imported))
		case !r.allows(dir, imported, test):
			faults = append(faults, fmt.Sprintf("%s may not import %q", dir, imported))
		}
	}
	if test {
		return faults
	}
	declared := map[*ast.Ident]bool{}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			declared[f.Name] = true
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		var used string
		switch n := n.(type) {
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			if !ok || local[x.Name] == "" {
				return true
			}
			used = strings.TrimPrefix(local[x.Name], module+"/") + "." + n.Sel.Name
		case *ast.Ident:
			if declared[n] {
				return true
			}
			used = dir + "." + n.Name
		default:
			return true
		}
		if allowed, reserved := builders[used]; reserved && !slices.Contains(allowed, dir) {
			faults = append(faults, fmt.Sprintf("%s may not use %s, only %s may", dir, used, strings.Join(allowed, ", ")))
		}
		if r.noClock && slices.Contains([]string{"time.Now", "time.Since", "time.Until"}, used) {
			faults = append(faults, fmt.Sprintf("%s asks for the time with %s; it is an argument", dir, used))
		}
		return true
	})
	return faults
}

func (r room) allows(dir, imported string, test bool) bool {
	uses, libs := r.uses, r.libs
	if test {
		uses, libs = slices.Concat(uses, r.testUses, []string{dir}), slices.Concat(libs, r.testLibs)
	}
	if inner, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.Contains(uses, inner)
	}
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return test || r.std == nil || slices.Contains(r.std, imported)
	}
	return slices.ContainsFunc(libs, func(lib string) bool {
		return imported == lib || strings.HasPrefix(imported, lib+"/")
	})
}

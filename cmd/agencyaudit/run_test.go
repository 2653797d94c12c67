package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// pass lets time pass in a bubble.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// try runs a command in this process, without a terminal and without an environment.
func try(t *testing.T, args ...string) (code int, out, err string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, console{
		in: strings.NewReader(""), out: &o, err: &e, lookupEnv: func(string) (string, bool) { return "", false },
	})
	return code, o.String(), e.String()
}

// commands are all commands of the program with the root in front.
func commands() []*cobra.Command {
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		all = append(all, c)
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk((&app{console: console{out: io.Discard, err: io.Discard}}).root())
	return all
}

// examples are the command lines in a command's examples, without comments, redirections and other programs.
func examples(c *cobra.Command) [][]string {
	var lines [][]string
	for line := range strings.Lines(strings.ReplaceAll(c.Example, "\\\n", " ")) {
		line, _, _ = strings.Cut(line, " #")
		line, _, _ = strings.Cut(line, " >")
		line, _, _ = strings.Cut(line, ")")
		_, line, found := strings.Cut(line, "agencyaudit ")
		if found {
			lines = append(lines, words(strings.TrimSpace(line)))
		}
	}
	return lines
}

// words splits a command as a shell does that knows single quotes alone.
func words(command string) (out []string) {
	for _, m := range regexp.MustCompile(`'([^']*)'|([^ ']+)`).FindAllStringSubmatch(command, -1) {
		out = append(out, m[1]+m[2])
	}
	return out
}

func TestEveryCommandIsDescribed(t *testing.T) {
	for _, c := range commands() {
		path := c.CommandPath()
		if c.Short == "" || c.Long == "" || len(examples(c)) == 0 {
			t.Errorf("%s lacks a short or long description, or an example", path)
		}
		if silent := []string{
			"agencyaudit version", "agencyaudit completion", "agencyaudit baseline", "agencyaudit ledger", "agencyaudit waiver",
		}; !slices.Contains(silent, path) &&
			!strings.Contains(c.Long, "Exit codes") {
			t.Errorf("%s does not say its exit codes", path)
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 100 {
				t.Errorf("%s: a line of %d columns in its help: %s", path, n, line)
			}
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" && !f.Hidden {
				t.Errorf("%s: --%s is not described", path, f.Name)
			}
		})
	}
}

// Examples that do not work are worse than none: each one names a command, its flags, and as many arguments as it takes.
func TestExamplesAreCommands(t *testing.T) {
	for _, described := range commands() {
		for _, args := range examples(described) {
			root := (&app{console: console{out: io.Discard, err: io.Discard}}).root()
			c, rest, err := root.Find(args)
			if err == nil {
				err = c.ParseFlags(rest)
			}
			if err == nil {
				err = c.ValidateArgs(c.Flags().Args())
			}
			if err == nil && c.PreRunE != nil {
				err = c.PreRunE(c, c.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: the example %q: %v", described.CommandPath(), args, err)
			}
		}
	}
}

// TestDocsCommands holds docs/commands.md against the commands: a section for each, which names each of its flags, and no
// flag that is not there.
func TestDocsCommands(t *testing.T) {
	data, err := os.ReadFile("../../docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for part := range strings.SplitSeq(string(data), "\n## ") {
		title, body, _ := strings.Cut(part, "\n")
		sections[strings.Trim(title, "`")] = body
	}
	for _, c := range commands() {
		title := strings.TrimPrefix(c.CommandPath(), "agencyaudit ")
		if !c.HasParent() {
			title = "All commands"
		}
		if c.HasSubCommands() && c.HasParent() && !c.LocalNonPersistentFlags().HasAvailableFlags() {
			continue // its subcommands have the sections
		}
		body, ok := sections[title]
		if !ok {
			t.Errorf("docs/commands.md has no section %q", title)
			continue
		}
		delete(sections, title)
		known := map[string]bool{}
		flags := c.LocalNonPersistentFlags()
		if !c.HasParent() {
			flags = c.PersistentFlags()
		}
		flags.VisitAll(func(f *pflag.Flag) {
			known[f.Name] = !f.Hidden
			if f.Name != "help" && !f.Hidden && !strings.Contains(body, "| `--"+f.Name) && !strings.Contains(body, ", `--"+f.Name) {
				t.Errorf("docs/commands.md, %s: no line for --%s", title, f.Name)
			}
		})
		for line := range strings.Lines(body) {
			if name, ok := strings.CutPrefix(line, "| `--"); ok {
				name = name[:strings.IndexAny(name, " `=")]
				if !known[name] {
					t.Errorf("docs/commands.md, %s: there is no flag --%s", title, name)
				}
			}
		}
	}
	for title := range sections {
		if !strings.HasPrefix(title, "# ") && title != "Exit codes" && title != "Output" {
			t.Errorf("docs/commands.md has a section %q about no command", title)
		}
	}
}

func TestTheVerdictIsTheExitCode(t *testing.T) {
	for name, c := range map[string]struct {
		states map[rules.State]int
		want   int
	}{
		"compliant":          {map[rules.State]int{rules.StateCompliant: 3}, exitOK},
		"waived":             {map[rules.State]int{rules.StateWaived: 1}, exitOK},
		"not enabled":        {map[rules.State]int{rules.StateNotEnabled: 1}, exitOK},
		"drifted":            {map[rules.State]int{rules.StateCompliant: 9, rules.StateDrifted: 1}, exitDrift},
		"unknown":            {map[rules.State]int{rules.StateCompliant: 9, rules.StateUnknown: 1}, exitPartial},
		"unknown wins":       {map[rules.State]int{rules.StateDrifted: 9, rules.StateUnknown: 1}, exitPartial},
		"nothing to be read": {nil, exitOK},
	} {
		code := exitOK
		if f, ok := errors.AsType[*failure](verdict(&auditor.Run{States: c.states})); ok {
			code = f.code
			if f.err != nil {
				t.Errorf("%s: the verdict has a message: %v", name, f.err)
			}
		}
		if code != c.want {
			t.Errorf("%s: exit code %d, want %d", name, code, c.want)
		}
	}
}

func TestAPanicTellsNoSecret(t *testing.T) {
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"baseline", "list"}, console{
		in: strings.NewReader(""), out: &out, err: &errs, outTerminal: true, size: func() (int, int, error) { return 80, 24, nil },
		lookupEnv: func(string) (string, bool) { panic("the key is SK-CANARY") },
	})
	if code != exitPartial {
		t.Errorf("exit code %d, want %d", code, exitPartial)
	}
	if s := out.String() + errs.String(); strings.Contains(s, "CANARY") || !strings.Contains(s, "a bug in this program") {
		t.Errorf("output:\n%s", s)
	}
	if !strings.Contains(errs.String(), `"panic_type":"string"`) || !strings.Contains(errs.String(), "layout") {
		t.Errorf("the log does not say where:\n%s", errs.String())
	}
}

func TestWhatIsTypedCannotActOnTheTerminal(t *testing.T) {
	for _, args := range [][]string{{"\x1b[31mred"}, {"audit", "--\x1b[31mred"}, {"audit", "--config", "\x1b[31mred"}, {"audit", "\x1b[31mred"}} {
		code, out, errs := try(t, args...)
		if code != exitUsage || strings.Contains(out+errs, "\x1b") || !strings.Contains(errs, `\x1b[31mred`) {
			t.Errorf("%q: exit code %d, output %q%q", args, code, out, errs)
		}
	}
}

func TestARunThatIsInterruptedIsNotWhole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	code := run(ctx, []string{"demo", "--once"}, console{
		in: strings.NewReader(""), out: &out, err: &errs, lookupEnv: func(string) (string, bool) { return "", false },
	})
	if code != exitPartial || !strings.Contains(out.String(), "4 unknown   0 drifted") || !strings.Contains(out.String(), "Accounts may be missing") {
		t.Errorf("exit code %d, output:\n%s%s", code, out.String(), errs.String())
	}
}

// shared is a buffer that one goroutine writes and another reads.
type shared struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// until is a writer that calls done when what was written contains n times the text.
type until struct {
	shared
	text string
	n    int
	done func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.shared.Write(p)
	if strings.Count(u.String(), u.text) >= u.n {
		u.done()
	}
	return n, err
}

// The demo goes on until it is interrupted, shows that things drift and are repaired, and ends in order, leaving nothing
// behind that still runs.
func TestTheDemoShowsDriftAndRepairAndEndsInOrder(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &until{text: "\n  now ", n: 9, done: cancel}
	var errs bytes.Buffer
	code := run(ctx, []string{"demo", "--every", "1s", "--seed", "25", "--listen", "127.0.0.1:0"}, console{
		in: strings.NewReader(""), out: out, err: &errs, lookupEnv: func(string) (string, bool) { return "", false },
	})
	if code != exitOK {
		t.Errorf("exit code %d, want %d; stderr:\n%s", code, exitOK, errs.String())
	}
	_, changes, _ := strings.Cut(out.String(), "--explain")
	for _, want := range []string{"somebody ", "compliant → drifted", "drifted → compliant", "compliant → unknown", "unknown → compliant", "+ critical", "- "} {
		if !strings.Contains(changes, want) {
			t.Errorf("nothing says %q:\n%s", want, changes)
		}
	}
	if !strings.Contains(errs.String(), "nothing in it is real") {
		t.Errorf("stderr:\n%s", errs.String())
	}
}

// An interrupt in the middle of a run leaves accounts unread. The demo must not show them as if the cloud had changed.
func TestAnInterruptedDemoShowsNoRunThatIsNotWhole(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs := &until{text: `"msg":"run started"`, n: 3, done: cancel}
	var out bytes.Buffer
	code := run(ctx, []string{"demo", "--every", "1s", "--log-level", "info", "--listen", "127.0.0.1:0"}, console{
		in: strings.NewReader(""), out: &out, err: errs, lookupEnv: func(string) (string, bool) { return "", false },
	})
	// The run under way may still end in time; then it is whole.
	if n := strings.Count(out.String(), "\n  now "); code != exitOK || strings.Contains(out.String(), "timeout") || n < 1 || n > 2 {
		t.Errorf("exit code %d, output:\n%s", code, out.String())
	}
}

// Whatever a drill does, its repairs undo: the cloud is in the end as it was in the beginning.
func TestADrillUndoesWhatItDid(t *testing.T) {
	state := func(c *simcloud.Cloud) string {
		org := c.Organization()
		for i := range org.Accounts {
			for j := range org.Accounts[i].Agencies {
				slices.SortFunc(org.Accounts[i].Agencies[j].Grants, func(a, b simcloud.Grant) int {
					return strings.Compare(a.PolicyID+a.Scope+a.In, b.PolicyID+b.Scope+b.In)
				})
			}
		}
		b, err := json.Marshal(org)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	compliant := &auditor.Run{}
	for _, e := range mustReadExpectations(t) {
		compliant.Sweeps = append(compliant.Sweeps, auditor.Sweep{Report: rules.Report{State: rules.State(e.State)}})
	}
	start := func(seed uint64) (*simcloud.Cloud, *drill) {
		cloud, err := simcloud.New(simcloud.Bundled())
		if err != nil {
			t.Fatal(err)
		}
		for i, a := range cloud.Organization().Accounts { // which stand in the order of the expectations
			compliant.Sweeps[i].Report.Account.ID = a.ID
		}
		return cloud, newDrill(cloud, compliant, seed)
	}
	steps := func(d *drill) []string {
		var said []string
		for range 307 {
			what, err := d.next()
			if err != nil {
				t.Fatal(err)
			}
			if said = append(said, what); len(d.open) > mostOpen {
				t.Fatalf("%d mishaps at once", len(d.open))
			}
		}
		return said
	}
	for seed := range uint64(5) {
		cloud, d := start(seed)
		before := state(cloud)
		said := steps(d)
		if slices.Contains(said, "management: the account was suspended") {
			t.Errorf("seed %d suspends the account whose key the auditor uses", seed)
		}
		if len(d.open) == 0 || state(cloud) == before {
			t.Error("nothing is open after so many steps; take another number")
		}
		d.targets = nil // from here on there are only repairs
		for len(d.open) > 0 {
			if _, err := d.next(); err != nil {
				t.Fatal(err)
			}
		}
		if got := state(cloud); got != before {
			t.Errorf("seed %d: the cloud is not as it was\nbefore %s\nafter  %s", seed, before, got)
		}
		if _, again := start(seed); !slices.Equal(said, steps(again)) {
			t.Errorf("seed %d lets other things happen the second time", seed)
		}
	}
}

func TestProgressComesAfterASecondAndMakesRoomForLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b shared
		s, m := newScreen(&b), &meter{}
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		g.Go(func() { m.show(ctx, s) })
		m.set(1, 4)
		pass(progressAfter - 1)
		if b.String() != "" {
			t.Errorf("there is progress before a second: %q", b.String())
		}
		pass(2)
		line := eraseLine + "reading accounts: 1 of 4 (25 %)"
		if b.String() != line {
			t.Errorf("after a second: %q, want %q", b.String(), line)
		}
		pass(10 * progressEvery)
		if b.String() != line {
			t.Errorf("the same is drawn again: %q", b.String())
		}
		if _, err := s.Write([]byte("a log line\n")); err != nil {
			t.Error(err)
		}
		line += eraseLine + "a log line\nreading accounts: 1 of 4 (25 %)"
		m.set(3, 4)
		pass(progressEvery)
		line += eraseLine + "reading accounts: 3 of 4 (75 %)"
		cancel()
		g.Wait()
		if line += eraseLine; b.String() != line {
			t.Errorf("in all: %q, want %q", b.String(), line)
		}
		if _, err := s.Write([]byte("result\n")); err != nil || !strings.HasSuffix(b.String(), eraseLine+"result\n") {
			t.Errorf("afterwards: %q", b.String())
		}
	})
}

func TestAShortRunShowsNoProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b shared
		ctx, cancel := context.WithCancel(t.Context())
		var g sync.WaitGroup
		g.Go(func() { (&meter{}).show(ctx, newScreen(&b)) })
		pass(progressAfter / 2)
		cancel()
		g.Wait()
		if b.String() != "" {
			t.Errorf("it shows %q", b.String())
		}
	})
}

func TestAnUnfinishedFileLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "report.json")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	names := func() []string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, e := range entries {
			out = append(out, e.Name())
		}
		return out
	}
	a := &app{}
	r, err := a.openResult(target, newFileMode)
	if err != nil {
		t.Fatal(err)
	}
	if len(names()) != 2 {
		t.Errorf("while it is written there are the files %v", names())
	}
	err = r.write(func(w io.Writer) error {
		if _, err := io.WriteString(w, "half"); err != nil {
			t.Error(err)
		}
		return errors.New("no more paper")
	})
	if f, ok := errors.AsType[*failure](err); !ok || f.code != exitPartial || !strings.Contains(err.Error(), "no more paper") {
		t.Errorf("error %v", err)
	}
	if b, _ := os.ReadFile(target); string(b) != "old" || len(names()) != 1 {
		t.Errorf("the old file holds %q, the folder %v", b, names())
	}

	// The place is lost while the file is made: the same.
	r, err = a.openResult(filepath.Join(dir, "new.json"), newFileMode)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "new.json", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := r.write(func(io.Writer) error { return nil }); err == nil || len(names()) != 2 {
		t.Errorf("error %v, the folder holds %v", err, names())
	}
}

func TestASimulatedOrganizationIsAuditedByWhoMayEnterItsAccounts(t *testing.T) {
	key := func(access string) []simcloud.Key { return []simcloud.Key{{Access: access, Secret: "made-up"}} }
	reader := simcloud.Account{ID: "1", Name: "one", Users: []simcloud.User{{Name: "nobody"}, {Name: "reader", Keys: key("READER")}}}
	operator := simcloud.Account{ID: "2", Name: "two", Users: []simcloud.User{{Keys: key("OPERATOR"), Policies: []string{"Agent Operator"}}}}
	for name, c := range map[string]struct {
		accounts []simcloud.Account
		want     string
	}{
		"an operator goes before a reader": {[]simcloud.Account{reader, operator}, "OPERATOR"},
		"a reader is better than nobody":   {[]simcloud.Account{reader}, "READER"},
		"nobody":                           {[]simcloud.Account{{ID: "3"}}, ""},
	} {
		id, err := identityOf(&simcloud.Organization{Accounts: c.accounts})
		if id.key.Access != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: key %q, error %v", name, id.key.Access, err)
		}
	}
	entered := simcloud.Account{Agencies: []simcloud.Agency{
		{Name: "theirs", Trust: simcloud.Trust{ID: "9"}}, {Name: "ours", Trust: simcloud.Trust{ID: operator.ID}},
	}}
	if got := agencyFor(entered, operator); got != "ours" {
		t.Errorf("the account is entered by the agency %q", got)
	}
}

func TestShellWordsReadBackAsTheyAre(t *testing.T) {
	for in, want := range map[string]string{
		"plain-1.yaml": "plain-1.yaml", "/a/b": "/a/b", "": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(rm)": "'$(rm)'",
	} {
		if got := shellWord(in); got != want {
			t.Errorf("shellWord(%q) = %s, want %s", in, got, want)
		}
	}
}

func TestTheVersionOfTheBuildIsShown(t *testing.T) {
	code, out, _ := try(t, "version", "-o", "json")
	var b build
	if err := json.Unmarshal([]byte(out), &b); err != nil || code != exitOK {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	if b != buildInfo() || b.Version == "" || b.Go == "" {
		t.Errorf("got %+v, want %+v", b, buildInfo())
	}
	if got, want := (build{Version: "v1", Commit: "abc", Modified: true, Go: "go1", OS: "o", Arch: "a"}).String(), "v1 (commit abc, modified) go1 o/a"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// tree are all commands that can be run, by what is typed to run them.
func tree() map[string]*cobra.Command {
	a := &app{
		console: console{in: strings.NewReader(""), out: io.Discard, err: io.Discard, lookupEnv: func(string) (string, bool) { return "", false }},
		screen:  newScreen(io.Discard),
	}
	all := map[string]*cobra.Command{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Runnable() {
			all[c.CommandPath()] = c
		}
		for _, inner := range c.Commands() {
			walk(inner)
		}
	}
	walk(a.root())
	return all
}

// lair is a scene with files that hold its secrets, and a folder in which programs are run.
type lair struct {
	*scene
	// in has the configurations and the files with secrets; nobody but these tests writes there.
	in string
	// repairing is a configuration by which accounts are changed.
	repairing string
}

func (l *lair) path(name string) string { return filepath.Join(l.in, name) }

func (l *lair) write(name, text string, mode fs.FileMode) {
	l.t.Helper()
	if err := os.WriteFile(l.path(name), []byte(text), mode); err != nil {
		l.t.Fatal(err)
	}
	if err := os.Chmod(l.path(name), mode); err != nil { // whatever the umask is
		l.t.Fatal(err)
	}
}

// openLair writes a right configuration, one by files, and all the wrong ones.
func openLair(t *testing.T) *lair {
	t.Helper()
	l := &lair{
		scene: stage(t, fault{id: "none", state: "right", do: trick{organization: func(org *simcloud.Organization) { equip(t, org) }}}), in: t.TempDir(),
	}
	l.env = append(l.env, repairAccessVariable+"="+repairAccess, repairSecretVariable+"="+repairSecret)
	l.secrets.add(repairAccess, repairSecret)
	l.repairing = l.config(l.door.url(), repairSection("approve", l.accounts[0].id, ample+
		"  excess: {enabled: true, via: iam, agency: "+revoker+", policies: [Tenant Guest]}\n"))
	good := l.config(l.door.url(), "") + "waivers: {file: waivers.yaml}\n"
	l.write("waivers.yaml", "version: 1\nwaivers: []\n", 0o600)
	ak, sk := l.secrets.all()[0], l.secrets.all()[1]
	l.secrets.add("CANARYTOKEN" + strings.Repeat("tOkEn", 60)) // which the scene itself has no use for
	l.write("ak", ak+"\n", 0o600)
	l.write("sk", sk, 0o600)
	l.write("loose", sk, 0o644)
	l.write("lines", sk+"\n"+sk+"\n", 0o600)
	l.write("empty", "", 0o600)
	if err := os.Symlink(l.path("sk"), l.path("linked")); err != nil {
		t.Fatal(err)
	}
	credentials := fmt.Sprintf("credentials: {source: environment, account_id: %q}", l.accounts[0].id)
	const access = "access: {via: keys, ak_env: AK_0, sk_env: SK_0}"
	if strings.Count(good, credentials) != 1 || strings.Count(good, access) != 1 {
		t.Fatalf("the configuration is another than was expected:\n%s", good)
	}
	quoted := "'" + sk + "'"
	for name, text := range map[string]string{
		"good.yaml": good,
		"files.yaml": strings.NewReplacer(credentials, strings.Replace(credentials, "environment", "file, ak_file: ak, sk_file: sk", 1),
			access, "access: {via: keys, ak_file: ak, sk_file: sk}").Replace(good),
		"away.yaml":        strings.Replace(good, l.door.url(), "http://127.0.0.1:1", 1),
		"bad-syntax.yaml":  good + "secret: \"" + sk + "\n  - [" + sk,
		"bad-key.yaml":     strings.Replace(good, credentials, strings.Replace(credentials, "}", ", secret_key: "+quoted+"}", 1), 1),
		"bad-top.yaml":     "secret_access_key: " + quoted + "\n" + good,
		"bad-env.yaml":     strings.Replace(good, "sk_env: SK_0", "sk_env: "+quoted, 1),
		"bad-file.yaml":    strings.Replace(good, access, "access: {via: keys, ak_file: ak, sk_file: "+quoted+"}", 1),
		"bad-loose.yaml":   strings.Replace(good, access, "access: {via: keys, ak_file: ak, sk_file: loose}", 1),
		"bad-lines.yaml":   strings.Replace(good, access, "access: {via: keys, ak_file: ak, sk_file: lines}", 1),
		"bad-empty.yaml":   strings.Replace(good, access, "access: {via: keys, ak_file: ak, sk_file: empty}", 1),
		"bad-link.yaml":    strings.Replace(good, access, "access: {via: keys, ak_file: ak, sk_file: linked}", 1),
		"bad-id.yaml":      strings.Replace(good, l.accounts[1].id, strings.ReplaceAll(sk, `"`, ""), 1),
		"bad-type.yaml":    strings.Replace(good, "sk_env: SK_0", "sk_env: {value: "+quoted+"}", 1),
		"bad-twice.yaml":   strings.Replace(good, "sk_env: SK_0", "sk_env: "+quoted+", sk_env: "+quoted, 1),
		"bad-anchor.yaml":  strings.Replace(good, "sk_env: SK_0", "sk_env: &key "+quoted, 1),
		"bad-missing.yaml": strings.Replace(good, "sk_env: SK_0", "sk_env: NOT_SET", 1),
	} {
		l.write(name, text, 0o600)
	}
	return l
}

// bad are the names of the configurations that nothing may be done with.
func (l *lair) bad() []string {
	l.t.Helper()
	files, err := filepath.Glob(l.path("bad-*.yaml"))
	if err != nil || len(files) < 12 {
		l.t.Fatalf("%d files, %v", len(files), err)
	}
	return files
}

// searched wants no secret in anything that a program said, or left in its folder.
func (l *lair) searched(t *testing.T, what, dir string, p *process) {
	t.Helper()
	for where, text := range l.left(t, dir, p) {
		if found := l.secrets.in(text); found != "" {
			t.Errorf("%s: %s shows a secret, in the form %s", what, where, found)
		}
	}
}

// left is everything that a program said and wrote.
func (l *lair) left(t *testing.T, dir string, p *process) map[string]string {
	t.Helper()
	all := map[string]string{"stdout": p.out.String(), "stderr": p.err.String()}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// rightly is how each command is run with nothing wrong, and wrongly with something wrong on the command line. $C is the
// configuration, or one of the program's own folder by which accounts are changed if nothing is wrong, which is $K; $A an account of it, $R a report
// of an audit with it, and $P a plan; $H is the directory of a history, and $L that of a ledger.
var (
	rightly = map[string][][]string{
		"agencyaudit":         {{}},
		"agencyaudit apply":   {{"--config", "$K", "$P"}, {"--config", "$K", "$P", "-o", "json"}},
		"agencyaudit approve": {{"--config", "$K", "$P", "--yes"}},
		"agencyaudit audit": {
			{"--config", "$C"}, {"--config", "$C", "--verbose"}, {"--config", "$C", "-o", "json", "--out", "report.json"},
			{"--config", "$C", "-o", "prom", "--out", "metrics.prom"},
		},
		"agencyaudit baseline":      {{}},
		"agencyaudit baseline list": {{"--config", "$C"}},
		"agencyaudit baseline show": {{"coc"}},
		"agencyaudit baseline test": {{"--config", "$C", "coc", "--from", "$R"}, {"coc", "--from", "$R"}},
		"agencyaudit check":         {{"--config", "$C"}},
		"agencyaudit completion":    {{"bash"}},
		"agencyaudit demo":          {{"--once"}},
		"agencyaudit doctor":        {{"--config", "$C"}, {"--config", "$C", "-o", "json", "--verbose"}},
		"agencyaudit explain":       {{"--config", "$C", "$A"}},
		"agencyaudit freeze":        {{"--config", "$K", "--reason", "why"}},
		"agencyaudit history": {
			{"--state-dir", "$H", "--from", "2025-11-20"}, {"--state-dir", "$H", "--account", "prod-eu", "--at", "2025-11-21", "-o", "json"},
		},
		"agencyaudit history check": {{"--state-dir", "$H"}},
		"agencyaudit history runs":  {{"--state-dir", "$H"}},
		"agencyaudit ledger":        {{}},
		"agencyaudit ledger renew":  {{"--config", "$K", "--reason", "why"}},
		"agencyaudit ledger show":   {{"--state-dir", "$L"}, {"--state-dir", "$L", "-o", "json"}},
		"agencyaudit ledger verify": {{"--state-dir", "$L"}},
		"agencyaudit plan":          {{"--config", "$K"}, {"--config", "$K", "-o", "json", "--out", "plan.json"}},
		"agencyaudit run":           {{"--config", "$C"}, {"--config", "$K"}},
		"agencyaudit simcloud":      {{"--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--config-out", "sim.yaml"}},
		"agencyaudit undo":          {{"--config", "$K", "0123456789abcdef"}},
		"agencyaudit unfreeze":      {{"--config", "$K", "--reason", "why"}},
		"agencyaudit version":       {{}, {"-o", "json"}},
		"agencyaudit waiver":        {{}},
		"agencyaudit waiver add": {{
			"--config", "$C", "--from", "$R", "--dry-run", "--id", "one", "--account", "$A", "--rule", "grant/missing",
			"--expires", time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly), "--owner", "shop", "--reason", "why",
		}},
		"agencyaudit waiver check": {{"--config", "$C", "--from", "$R"}},
		"agencyaudit waiver list":  {{"--config", "$C", "--from", "$R"}, {"--config", "$C", "-o", "json"}},
	}
	wrongly = [][]string{{"--help"}, {"--no-such-flag"}, {"--log-level", "loud"}, {"one", "two", "three"}}
	// badKeys are the configurations with which only a key is wrong, and offline the commands that look at none.
	badKeys = []string{"bad-empty.yaml", "bad-env.yaml", "bad-file.yaml", "bad-lines.yaml", "bad-link.yaml", "bad-loose.yaml", "bad-missing.yaml"}
	offline = []string{"agencyaudit baseline test", "agencyaudit waiver add", "agencyaudit waiver check", "agencyaudit waiver list"}
	// atWork is what a command says that goes on until a signal.
	atWork = map[string]string{"agencyaudit run": `"msg":"run ended"`, "agencyaudit simcloud": "Ctrl-C ends it."}
)

// repairs has commands carry out a plan and take it back, and keeps the plan, and the ledger that says so. None of them shows a secret.
func (l *lair) repairs(t *testing.T) {
	t.Helper()
	l.write("repair.yaml", l.repairing, 0o600)
	asks := func(code int, args ...string) {
		t.Helper()
		p := launch(t, l.in, l.env, append(args, "--config", "repair.yaml", "--log-level", "debug"))
		if got := p.wait(t); got != code {
			t.Fatalf("%v: exit code %d, want %d:\n%s", args, got, code, last(p.err.String(), 2000))
		}
		l.hidden(strings.Join(args, " "), p.out.String()+p.err.String())
	}
	asks(exitDrift, "plan", "--out", "plan.json")
	asks(exitOK, "approve", "plan.json", "--yes")
	asks(exitOK, "apply", "plan.json")
	var run string
	ledger := readFile(t, l.path("state/ledger.jsonl"))
	if m := regexp.MustCompile(`"kind":"intent".*?"run":"([0-9a-f]+)"`).FindStringSubmatch(ledger); m != nil {
		run = m[1]
	}
	asks(exitDrift, "undo", run, "--out", "undo.json")
	asks(exitOK, "approve", "undo.json", "--yes")
	asks(exitOK, "freeze", "--reason", "why")
	asks(exitOK, "unfreeze", "--reason", "why")
	asks(exitOK, "ledger", "show")
	asks(exitOK, "ledger", "verify")
	for _, file := range []string{"plan.json", "undo.json", "state/ledger.jsonl"} {
		l.hidden(file, readFile(t, l.path(file)))
	}
	if n := len(l.cloud.Load().Journal()); n != 2 {
		t.Errorf("%d changes, want those of the plan: of each account that has drifted", n)
	}
	// What was changed is as it was again, for a cloud without a journal.
	l.replaceCloud(l.cloud.Load().Organization())
}

// TestSecretsStayInside runs every command that there is, at debug level, with everything right and with everything wrong that can
// be: its command line, its configuration, its secrets' files, its keys, its cloud. Nothing that any of them says or writes holds
// a key, in whatever encoding: not the permanent ones in the environment and in files, nor the temporary ones that the cloud made
// meanwhile.
func TestSecretsStayInside(t *testing.T) {
	t.Parallel()
	l := openLair(t)
	type execution struct {
		command, config string
		args, env       []string
		right           bool // nothing is wrong with the command line and the configuration
	}
	var all []execution
	for command, inner := range tree() {
		good := rightly[command]
		if good == nil {
			t.Errorf("nobody has run %q here: say in the table how it is run", command)
		}
		for _, args := range good {
			all = append(all, execution{command, "good.yaml", args, l.env, true})
		}
		for _, args := range wrongly {
			all = append(all, execution{command, "good.yaml", args, l.env, false})
		}
		if len(good) == 0 || !slices.Contains(good[0], "$C") && !slices.Contains(good[0], "$K") {
			continue
		}
		all = append(all, execution{command, "nowhere.yaml", good[0], l.env, false})
		for _, file := range l.bad() {
			all = append(all, execution{command, filepath.Base(file), good[0], l.env, false})
		}
		if slices.Contains([]string{"baseline", "check", "list", "add", "test"}, inner.Name()) {
			continue // which ask no cloud
		}
		known := l.secrets.all()
		ak, sk := known[0], known[1]
		token := known[slices.IndexFunc(known, func(s string) bool { return strings.HasPrefix(s, "CANARYTOKEN") })]
		all = append(all,
			execution{command, "files.yaml", good[0], l.env, false},
			execution{command, "away.yaml", good[0], l.env, false},
			execution{command, "good.yaml", good[0], changed(l.env, sk, sk+"wrong"), false},
			execution{command, "good.yaml", good[0], changed(l.env, ak, "CANARYACCESS9999"), false},
			execution{command, "good.yaml", good[0], append(slices.Clone(l.env), "HUAWEICLOUD_SDK_SECURITY_TOKEN="+token), false},
		)
	}
	// Of what an audit recorded, some commands say more.
	audit := launch(t, t.TempDir(), l.env, []string{"audit", "--config", l.path("good.yaml"), "-o", "json", "--out", l.path("report.json")})
	if code := audit.wait(t); code == exitUsage {
		t.Fatalf("exit code %d\n%s", code, last(audit.err.String(), 2000))
	}
	if err := chronicleOf(l.path("history")); err != nil {
		t.Fatal(err)
	}
	l.repairs(t)
	if n := len(all); n < 100 {
		t.Errorf("only %d runs", n)
	}
	places := make(chan struct{}, 4)
	t.Run("all", func(t *testing.T) {
		for i, e := range all {
			if testing.Short() && !e.right && i%8 != 0 {
				continue // where time is short, of what is wrong an eighth
			}
			name := fmt.Sprintf("%d %s %s %s", i, e.command, e.config, strings.Join(e.args, " "))
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				places <- struct{}{}
				defer func() { <-places }()
				args := append(strings.Fields(e.command)[1:], "--log-level", "debug")
				dir, own := t.TempDir(), l.path(e.config)
				if e.config == "good.yaml" {
					own = filepath.Join(dir, "repair.yaml")
					replace(t, own, l.repairing)
				}
				for _, arg := range e.args {
					args = append(args, strings.NewReplacer("$C", l.path(e.config), "$K", own, "$A", l.accounts[0].name, "$R", l.path("report.json"),
						"$P", l.path("plan.json"), "$H", l.path("history"), "$L", l.path("state")).Replace(arg))
				}
				p := launch(t, dir, e.env, args)
				if sign := atWork[e.command]; sign != "" {
					within(t, "it is at work, or has ended", func() string {
						if p.gone() || strings.Contains(p.out.String()+p.err.String(), sign) {
							return ""
						}
						return "not yet"
					})
					if !p.gone() {
						p.signal(t, syscall.SIGTERM)
					}
				}
				code := p.wait(t)
				if code < exitOK || code > exitUsage {
					t.Errorf("exit code %d:\n%s", code, last(p.err.String(), 2000))
				}
				// By a ledger that knows nothing of it.
				refused := slices.Contains([]string{"agencyaudit apply", "agencyaudit approve", "agencyaudit undo"}, e.command)
				if e.right && code == exitUsage && !refused {
					t.Errorf("exit code %d, though it is run rightly:\n%s", code, last(p.err.String(), 2000))
				}
				keyless := slices.Contains(badKeys, e.config) && slices.Contains(offline, e.command)
				if strings.HasPrefix(e.config, "bad-") && (code == exitUsage) == keyless {
					t.Errorf("exit code %d with %s, want %d: %t", code, e.config, exitUsage, !keyless)
				}
				if p.out.String()+p.err.String() == "" && code != exitOK {
					t.Error("it failed without a word")
				}
				l.searched(t, name, dir, p)
			})
		}
	})
	noWrites(t, l.cloud.Load())
	issued := 0
	for _, s := range l.secrets.all() {
		if strings.HasPrefix(s, "HST") {
			issued++
		}
	}
	if issued < 5 {
		t.Errorf("only %d temporary keys were made, and looked for", issued)
	}
}

// changed is an environment with other values in the place of one.
func changed(env []string, old, other string) []string {
	out := slices.Clone(env)
	for i := range out {
		if name, value, _ := strings.Cut(out[i], "="); value == old {
			out[i] = name + "=" + other
		}
	}
	return out
}

// A program that does leak is found out by the same search, wherever and however it leaks: the search is no proof otherwise.
func TestALeakIsFound(t *testing.T) {
	t.Parallel()
	l := openLair(t)
	secret := l.secrets.all()[1]
	for _, where := range []string{"stdout", "stderr", "debug.log"} {
		for _, form := range []string{"raw", "base64", "hex", "URL", "beginning"} {
			dir := t.TempDir()
			p := launchAs(t, "leaky", dir, []string{"LEAK=" + secret}, []string{where, form})
			if code := p.wait(t); code != 0 {
				t.Fatalf("%d: %s", code, p.err.String())
			}
			found := false
			for _, text := range l.left(t, dir, p) {
				found = found || l.secrets.in(text) != ""
			}
			if !found {
				t.Errorf("a secret on %s in the form %s is not found", where, form)
			}
		}
	}
}

// TestTheDaemonsSecrets looks at everything that a daemon serves, also after it was handed configurations with secrets in the wrong
// places, and at what it says when it is killed in a way that has a program write down all it knows.
func TestTheDaemonsSecrets(t *testing.T) {
	t.Parallel()
	l := openLair(t)
	dir := t.TempDir()
	file, socket := filepath.Join(dir, "agencyaudit.yaml"), filepath.Join(dir, "pprof.sock")
	good := strings.Replace(l.config(l.door.url(), ""), `listen: {address: "127.0.0.1:0"}`, `listen: {address: "127.0.0.1:0", pprof_socket: pprof.sock}`, 1)
	replace(t, file, good)
	l.daemon = (&simulator{secret: l.secrets.all()[1]}).serveFile(t, dir, file, append(slices.Clone(l.env), "GOTRACEBACK=crash"))
	l.await("everything is known", l.allAsTheyAre)
	pages := l.pages()
	for path, text := range pages {
		l.hidden(path, text)
	}
	for _, wrong := range l.bad() {
		text, err := os.ReadFile(wrong)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, file, string(text)) // a file of secrets beside it is missing here, which is wrong as well
		l.hidden("the answer to a reload of "+wrong, l.daemon.send(t, http.MethodPost, "/-/reload", nil).body)
		l.hidden("the page after "+wrong, l.daemon.get(t, "/").body)
		l.hidden("/metrics after "+wrong, l.daemon.get(t, "/metrics").body)
	}
	for _, form := range []http.Header{{"Accept": {openMetrics}}, {"Accept": {"application/json"}}} {
		l.hidden("/metrics", l.daemon.send(t, http.MethodGet, "/metrics", func(r *http.Request) { r.Header = form }).body)
	}

	// Profiles are on their socket, and nowhere else.
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/debug/vars", "/debug/requests", "/debug/events", "/debug/pprof/"} {
		if a := l.daemon.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("%s of the daemon's port: status %d", path, a.status)
		}
	}
	for _, path := range []string{"/debug/pprof/goroutine?debug=2", "/debug/pprof/heap", "/debug/pprof/allocs?debug=1"} {
		if a := l.daemon.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("%s of the daemon's port: status %d", path, a.status)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://socket"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
		if err != nil || resp.StatusCode != http.StatusOK || len(text) == 0 {
			t.Errorf("%s of the socket: %d, %v", path, resp.StatusCode, err)
		}
		l.hidden(path, string(text))
	}

	replace(t, file, "{}")
	l.daemon.signal(t, syscall.SIGABRT)
	within(t, "the daemon is gone", func() string {
		if l.daemon.gone() {
			return ""
		}
		return "it still runs"
	})
	said := l.daemon.err.String()
	if !strings.Contains(said, "SIGABRT") {
		t.Errorf("it does not say how it ended:\n%s", last(said, 1000))
	}
	l.hidden("the daemon's last words", said)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), "core") {
			t.Errorf("it left %s", e.Name())
		}
	}
	l.searched(t, "the daemon", dir, l.daemon.process)
}

// No flag takes a secret: what stands on a command line is seen by every user of the machine, and kept by shells.
func TestNoFlagTakesASecret(t *testing.T) {
	secret := regexp.MustCompile(`(?i)secret|passw|token|credential|api.?key|access.?key|(^|-|\b)(ak|sk|key)(\b|-|$)`)
	for _, name := range []string{"ak", "sk", "secret-key", "access-key", "security-token", "password", "key"} {
		if !secret.MatchString(name) {
			t.Errorf("a flag --%s would not be noticed", name)
		}
	}
	seen := 0
	for path, c := range tree() {
		for _, set := range []*pflag.FlagSet{c.Flags(), c.PersistentFlags(), c.InheritedFlags()} {
			set.VisitAll(func(f *pflag.Flag) {
				seen++
				// A tag has a key and an account has one, and the file of a private key is named, not shown.
				usage := strings.NewReplacer("key=value", "", "the key's", "", "with a key for that", "", "private key in this `file`", "").Replace(f.Usage)
				if f.Name == "key" && usage != f.Usage {
					return
				}
				if secret.MatchString(f.Name) || secret.MatchString(usage) {
					t.Errorf("%s --%s: %s", path, f.Name, f.Usage)
				}
			})
		}
	}
	if seen < 30 {
		t.Errorf("only %d flags", seen)
	}
}

// The package that serves profiles to whoever asks registers itself on the default routes as soon as anything links it. Nothing
// does: profiles have a socket of their own. What libraries do register there, variables and traces, is served nowhere either.
func TestProfilesAreNotLinked(t *testing.T) {
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile"} {
		if _, pattern := http.DefaultServeMux.Handler(httptest.NewRequest(http.MethodGet, path, nil)); pattern != "" {
			t.Errorf("%s is served by %q", path, pattern)
		}
	}
}

package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// loop is a daemon that runs on a simulated cloud behind a gate, which holds requests up while it is shut.
type loop struct {
	t    *testing.T
	file string
	// cloudURL is the gate's address, url that of the daemon's pages.
	cloudURL, url string
	cloud         *simcloud.Cloud
	d             *Daemon

	gate sync.RWMutex
	// runs has every committed run.
	runs chan *auditor.Run
	log  words
	// end ends the daemon; ended has what Run returned.
	end   context.CancelFunc
	ended chan error
}

// words are what a log says.
type words struct {
	mu sync.Mutex
	b  strings.Builder
}

func (w *words) Write(p []byte) (int, error) { w.mu.Lock(); defer w.mu.Unlock(); return w.b.Write(p) }
func (w *words) String() string              { w.mu.Lock(); defer w.mu.Unlock(); return w.b.String() }

// accountLine is an account of the bundled organization as a configuration lists it.
const accountLine = "    - {name: %s, id: %s, require_agency: true, access: {via: iam, agency: AgencyAuditReader}}\n"

func (l *loop) config(more string, accounts ...simcloud.Account) string {
	var b strings.Builder
	fmt.Fprintf(&b, "credentials: {source: file, account_id: d0000000000000000000000000000001, ak_file: ak, sk_file: sk}\n"+
		"cloud: {site: custom, region: ap-southeast-3, endpoints: {iam: %q}}\n"+
		"listen: {address: '127.0.0.1:0'}\n%s\naccounts:\n  static:\n", l.cloudURL, more)
	for _, a := range accounts {
		fmt.Fprintf(&b, accountLine, a.Name, a.ID)
	}
	return b.String()
}

// startLoop starts a daemon that watches its configuration, and lets it make its first run when the gate is opened.
func startLoop(t *testing.T, more string, accounts ...string) *loop {
	t.Helper()
	return startLoopWith(t, func(*loop, *Options) {}, more, accounts...)
}

func startLoopWith(t *testing.T, change func(l *loop, o *Options), more string, accounts ...string) *loop {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	cloud, err := simcloud.New(simcloud.Bundled())
	if err != nil {
		t.Fatal(err)
	}
	server, err := cloud.Start(simcloud.Listen{Cloud: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{t: t, cloud: cloud, runs: make(chan *auditor.Run, 100), ended: make(chan error, 1)}
	// Requests are signed for the gate's own address: their Host stays as it is.
	proxy := &httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	transport := &http.Transport{}
	proxy.Transport = transport
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.gate.RLock()
		defer l.gate.RUnlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		gate.Close()
		transport.CloseIdleConnections()
	})
	l.cloudURL = gate.URL
	dir := t.TempDir()
	l.file = filepath.Join(dir, "agencyaudit.yaml")
	write(t, filepath.Join(dir, "ak"), "SIMMGMTAUDITOR0001", 0o600)
	write(t, filepath.Join(dir, "sk"), "made-up-secret-of-the-simulated-auditor", 0o600)
	write(t, l.file, l.config(more, l.named(accounts...)...), 0o600)
	l.start(change)
	return l
}

// start starts a daemon by the configuration that is there now, and lets it make its first run when the gate is opened.
func (l *loop) start(change func(l *loop, o *Options)) {
	t := l.t
	t.Helper()
	cfg, err := LoadConfig(l.file)
	if err != nil {
		t.Fatal(err)
	}
	for len(l.runs) > 0 {
		<-l.runs // of a daemon before
	}
	listening := make(chan string, 1)
	o := Options{
		Config: cfg, Version: "test", Watch: true, Logger: slog.New(slog.NewTextHandler(io.MultiWriter(t.Output(), &l.log), nil)),
		Committed: func(run *auditor.Run) { l.runs <- run },
		Listening: func(url string) { listening <- url },
	}
	change(l, &o)
	if l.d, err = New(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.end = cancel
	l.gate.Lock()
	go func() { l.ended <- l.d.Run(ctx) }()
	select {
	case l.url = <-listening:
	case err := <-l.ended:
		t.Fatalf("the daemon ended: %v", err)
	}
	<-l.d.begun
}

// named are accounts of the bundled organization.
func (l *loop) named(names ...string) []simcloud.Account {
	var list []simcloud.Account
	for _, a := range l.cloud.Organization().Accounts {
		for _, name := range names {
			if a.Name == name {
				list = append(list, a)
			}
		}
	}
	if len(list) != len(names) {
		l.t.Fatalf("the organization has %d of %q", len(list), names)
	}
	return list
}

// rewrite replaces the configuration file as an editor does.
func (l *loop) rewrite(text string) {
	l.t.Helper()
	write(l.t, l.file+".new", text, 0o600)
	if err := os.Rename(l.file+".new", l.file); err != nil {
		l.t.Fatal(err)
	}
}

// next waits for a run to be committed.
func (l *loop) next() *auditor.Run {
	l.t.Helper()
	select {
	case run := <-l.runs:
		return run
	case err := <-l.ended:
		l.t.Fatalf("the daemon ended: %v", err)
	case <-time.After(30 * time.Second):
		l.t.Fatal("no run came")
	}
	return nil
}

// wait waits until something is the case.
func (l *loop) wait(what string, is func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); runtime.Gosched() {
		if time.Now().After(deadline) {
			l.t.Fatalf("it never comes about that %s", what)
		}
	}
}

// stop ends the daemon and returns what Run did.
func (l *loop) stop() error {
	l.t.Helper()
	l.end()
	defer l.d.Close()
	return <-l.ended
}

// get asks the daemon, and returns the status and the text.
func (l *loop) get(method, path string) (int, string) {
	l.t.Helper()
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.url+path, http.NoBody)
	if err != nil {
		l.t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// has waits until the metrics have a line.
func (l *loop) has(line string) {
	l.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		_, text := l.get("GET", "/metrics")
		if strings.Contains("\n"+text, "\n"+line+"\n") {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("the metrics never have %s:\n%s", line, text)
		}
	}
}

const hourly = "schedule: {cron: '@hourly', jitter: 0s, drain: 1s}\nmax_age: 3h\n"

// What a reload brings comes into force between two runs: the one that is under way is judged and committed as it began.
func TestAReloadInTheMiddleOfARun(t *testing.T) {
	l := startLoop(t, hourly, "exact-baseline")
	next := strings.Replace(hourly, "'@hourly'", "'30 6 * * *'", 1) + "max_age: 30h\n"
	next = strings.Replace(strings.Replace(next, "max_age: 3h\n", "", 1), "drain: 1s", "drain: 7s", 1)
	l.rewrite(l.config(next, l.named("exact-baseline", "beta-without-fourth-policy")...))
	// Watched, read and accepted while the first run is held up: it says so, and is not in force yet.
	digest := func() string { return l.d.current().config.Digest() }
	before := digest()
	l.wait("the new configuration waits for the end of the run", func() bool {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		return l.d.pending != nil
	})
	if digest() != before {
		t.Error("the new configuration is in force in the middle of a run")
	}
	if _, text := l.get("GET", "/metrics"); !strings.Contains(text, "\nagencyaudit_accounts_expected 1\n") {
		t.Error("before the first run has ended the metrics do not say how many accounts are expected")
	}
	l.gate.Unlock()
	if run := l.next(); run.Trigger != "start" || len(run.Sweeps) != 1 {
		t.Errorf("the first run is of %d accounts by %q", len(run.Sweeps), run.Trigger)
	}
	run := l.next()
	if run.Trigger != "reload" || len(run.Sweeps) != 2 || run.States[rules.StateDrifted] != 1 {
		t.Errorf("the run after the reload is of %d accounts by %q: %v", len(run.Sweeps), run.Trigger, run.States)
	}
	if digest() == before {
		t.Error("the new configuration is not in force")
	}
	l.has("agencyaudit_accounts_expected 2")
	l.has(`agencyaudit_config_info{digest="` + digest() + `"} 1`)
	if at := l.d.scheduler.Status().Next; at.Hour() != 6 || at.Minute() != 30 {
		t.Errorf("the next run is at %s, and not by the new schedule", at)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	if !strings.Contains(l.log.String(), "msg=ending drain=7s") {
		t.Error("the log does not say the time to drain that is in force")
	}
}

// What a run saw is what the next one compares itself with, across a reload too: an account that is as it was costs six
// requests, and one that changed those that confirm it.
func TestAChangeIsConfirmedByASecondWitness(t *testing.T) {
	l := startLoop(t, hourly, "exact-baseline", "beta-without-fourth-policy")
	l.gate.Unlock()
	if run := l.next(); run.States[rules.StateCompliant] != 1 || run.States[rules.StateDrifted] != 1 {
		t.Fatalf("states %v", run.States)
	}
	costs := func(severity string) map[string]int {
		l.rewrite(l.config(hourly+"severities: {grant/wider: "+severity+"}\n", l.named("exact-baseline", "beta-without-fourth-policy")...))
		cost := map[string]int{}
		for _, s := range l.next().Sweeps {
			cost[s.Report.Account.Name] = s.Trail.Requests
		}
		return cost
	}
	check := func(when string, got map[string]int, changed int) {
		t.Helper()
		if got["exact-baseline"] != changed || got["beta-without-fourth-policy"] != 6 {
			t.Errorf("%s: the accounts cost %v requests, want %d and 6", when, got, changed)
		}
	}
	check("nothing changed", costs("warning"), 6)
	if err := l.cloud.Drift(simcloud.Drift{
		Kind: simcloud.DriftRevoke, Account: "exact-baseline", Agency: "ServiceAgencyForCOC",
		Grant: &simcloud.Grant{Policy: "IAM ReadOnlyAccess", Scope: "global"},
	}); err != nil {
		t.Fatal(err)
	}
	check("a grant is gone", costs("high"), 7)
	check("it stays gone", costs("critical"), 6)
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// Where much is lost at once, the run says so by itself: as a metric and on the pages, while what is known stays.
func TestASuspectRun(t *testing.T) {
	names := []string{"exact-baseline", "beta-without-fourth-policy", "trust-upper-case", "extra-on-one-project"}
	l := startLoop(t, hourly, names...)
	l.gate.Unlock()
	l.next()
	l.has("agencyaudit_run_suspect 0")
	again := func(when string) *auditor.Run { // by a reload that changes nothing
		l.rewrite(l.config(hourly+"# "+when+"\n", l.named(names...)...))
		return l.next()
	}
	settings := l.cloud.Settings()
	for _, name := range names[1:] {
		settings.Failures = append(settings.Failures, simcloud.Failure{Account: name, Operation: "ListAgencies", Style: "html_502"})
	}
	if err := l.cloud.SetSettings(settings); err != nil {
		t.Fatal(err)
	}
	if run := again("trouble"); len(run.Suspect) != 1 || run.States[rules.StateUnknown] != 3 {
		t.Errorf("suspect %q, states %v", run.Suspect, run.States)
	}
	l.has("agencyaudit_run_suspect 1")
	l.has(`agencyaudit_accounts{state="compliant"} 1`)
	if _, page := l.get("GET", "/"); !strings.Contains(page, "The last run is suspect") || !strings.Contains(page, " ago: missing COCServiceAgencyDefaultPolicy") {
		t.Errorf("the page does not say so, or not what was known before:\n%s", page)
	}
	settings.Failures = nil
	if err := l.cloud.SetSettings(settings); err != nil {
		t.Fatal(err)
	}
	if run := again("no more"); run.Suspect != nil || run.States[rules.StateUnknown] != 0 {
		t.Errorf("recovered: suspect %q, states %v", run.Suspect, run.States)
	}
	l.has("agencyaudit_run_suspect 0")
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// A configuration that is not right changes nothing, whatever is wrong with it; the next one that is right counts.
func TestABadReloadChangesNothing(t *testing.T) {
	l := startLoop(t, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	good := l.d.current()
	write(t, filepath.Join(filepath.Dir(l.file), "web.yaml"), "http_server_config: {http2: false}\n", 0o600)
	listen := func(more string) string {
		return strings.Replace(l.config(hourly, l.named("exact-baseline")...), "'127.0.0.1:0'", "'127.0.0.1:0'"+more, 1)
	}
	for name, text := range map[string]string{
		"no yaml":     "{",
		"unknown key": l.config(hourly+"extra: 1\n", l.named("exact-baseline")...),
		"never":       l.config("schedule: {cron: '0 0 31 2 *'}\n", l.named("exact-baseline")...),
		"listen":      strings.Replace(listen(""), "127.0.0.1:0", "127.0.0.1:1", 1),
		"listen, who": listen(", web_config: web.yaml"),
		"listen, by":  listen(", hosts: [audit.example.com]"),
		"listen, too": listen(", pprof_socket: pprof"),
		"empty":       "",
	} {
		l.rewrite(text)
		code, says := l.get("POST", "/-/reload")
		if code != http.StatusBadRequest || !strings.Contains(says, "agencyaudit.yaml") ||
			strings.HasPrefix(name, "listen") && !strings.Contains(says, "listen: differs") {
			t.Errorf("%s: %d %s", name, code, says)
		}
		if l.d.current() != good {
			t.Errorf("%s: another configuration is in force", name)
		}
		l.has("agencyaudit_config_reload_success 0")
		if _, page := l.get("GET", "/"); !strings.Contains(page, "agencyaudit.yaml") {
			t.Errorf("%s: the page does not say that the reload failed", name)
		}
	}
	l.rewrite(l.config(hourly+"severities: {grant/wider: warning}\n", l.named("exact-baseline")...))
	if run := l.next(); run.Trigger != "reload" {
		t.Errorf("trigger %q", run.Trigger)
	}
	l.has("agencyaudit_config_reload_success 1")
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// A run that is cut short at the end is not committed: its accounts were not unknown, only unread.
func TestARunThatIsCutShortIsNotCommitted(t *testing.T) {
	l := startLoop(t, "schedule: {cron: '@hourly', jitter: 0s, drain: 0s}\nmax_age: 3h\n", "exact-baseline")
	l.wait("a run is under way", func() bool { return l.d.scheduler.Status().Running })
	done := make(chan error, 1)
	go func() { done <- l.stop() }()
	if err := <-done; err != nil {
		t.Error(err)
	}
	l.gate.Unlock()
	if len(l.runs) > 0 || l.d.snapshot.Load().Run != nil {
		t.Error("a run was committed that was cut short")
	}
	if !strings.Contains(l.d.runError, "cut short") {
		t.Errorf("the page says of it %q", l.d.runError)
	}
}

// The end waits for the run under way, and shows it.
func TestTheEndWaitsForTheRunUnderWay(t *testing.T) {
	l := startLoop(t, "schedule: {cron: '@hourly', jitter: 0s, drain: 1m}\nmax_age: 3h\n", "exact-baseline")
	l.end()
	l.wait("the schedule ends", func() bool { return l.d.scheduler.Status().Stopping })
	if code, says := l.get("GET", "/-/ready"); code != http.StatusServiceUnavailable {
		t.Errorf("ready while it ends: %d %s", code, says)
	}
	l.gate.Unlock()
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	if run := <-l.runs; run.States[rules.StateCompliant] != 1 {
		t.Errorf("states %v", run.States)
	}
}

// A run that a bug ended gave no result, and metrics and page say so until a run does.
func TestARunThatPanicsIsSaidToHaveGivenNoResult(t *testing.T) {
	l := startLoop(t, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	sound := l.d.current()
	use := func(e *engine) {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		l.d.engine = e
	}
	const failed = `agencyaudit_runs_total{result="failed"} `
	said := func() bool {
		_, page := l.get("GET", "/")
		return strings.Contains(page, "Last run failed")
	}
	mute := *sound
	mute.log = nil // a run cannot begin without one
	use(&mute)
	l.d.scheduler.Request("broken")
	l.has(failed + "1")
	l.has("agencyaudit_run_complete 0")
	l.has(`agencyaudit_panics_total{where="run"} 1`)
	if !said() {
		t.Error("the page does not say that the run failed")
	}
	use(sound)
	l.d.scheduler.Request("sound")
	if run := l.next(); run.Trigger != "sound" {
		t.Errorf("trigger %q", run.Trigger)
	}
	l.has("agencyaudit_run_complete 1")
	l.wait("the page forgets the failure", func() bool { return !said() })

	// What a part of a run panics in is told by its place; the run has a result.
	blind := *sound
	blind.cloud = nil
	use(&blind)
	l.d.scheduler.Request("blind")
	if run := l.next(); run.States[rules.StateUnknown] != 1 {
		t.Errorf("states %v", run.States)
	}
	use(sound)
	for _, where := range []string{"identity", "read", "catalogue"} {
		l.has(`agencyaudit_panics_total{where="` + where + `"} 1`)
	}
	// So is what a page panics in.
	was := l.d.snapshot.Swap(nil)
	if code, _ := l.get("GET", "/"); code != http.StatusInternalServerError {
		t.Errorf("a page about nothing: %d", code)
	}
	l.d.snapshot.Store(was)
	l.has(`agencyaudit_panics_total{where="web"} 1`)
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// clock is the real one, put forward by hand.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// A run that does not end makes the program unhealthy, so that a supervisor restarts it.
func TestAHungRunIsNotHealthy(t *testing.T) {
	var c clock
	l := startLoopWith(t, func(_ *loop, o *Options) { o.Now = c.now }, hourly, "exact-baseline")
	l.wait("a run is under way", func() bool { return l.d.scheduler.Status().Running })
	if code, says := l.get("GET", "/-/healthy"); code != http.StatusOK {
		t.Errorf("at first: %d %s", code, says)
	}
	l.wait("the metrics say that a run began", func() bool {
		_, text := l.get("GET", "/metrics")
		return strings.Contains(text, "\nagencyaudit_run_last_start_timestamp_seconds ")
	})
	c.ahead.Store(int64(12 * time.Minute)) // past its deadline, and a minute more
	if code, says := l.get("GET", "/-/healthy"); code != http.StatusServiceUnavailable || !strings.Contains(says, "scheduler") {
		t.Errorf("while the run hangs: %d %s", code, says)
	}
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// A reload waits until runs are made, or until nobody waits for it any more; of a program that comes to nothing it is refused.
func TestAReloadBeforeTheBeginning(t *testing.T) {
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	var refused error
	waited := make(chan error, 1)
	l := startLoopWith(t, func(l *loop, o *Options) {
		listening := o.Listening
		o.Listening = func(url string) { // Run has come so far, and makes no runs yet
			refused = l.d.Reload(impatient)
			go func() { waited <- l.d.Reload(context.WithoutCancel(impatient)) }()
			listening(url)
		}
	}, hourly, "exact-baseline")
	l.gate.Unlock()
	if err := <-waited; err != nil || refused == nil {
		t.Errorf("with patience %v, without %v", err, refused)
	}
	for _, want := range []string{"start", triggerReload} {
		if run := l.next(); run.Trigger != want {
			t.Errorf("a run by %q, want %q", run.Trigger, want)
		}
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// Reloads come one after the other, each to its last word; and what takes long in one holds up nobody who asks how the
// program is.
func TestAReloadHoldsUpOtherReloadsAndNobodyElse(t *testing.T) {
	free := func(l *sync.Mutex, patience time.Duration) bool {
		over, again := time.NewTimer(patience), time.NewTicker(time.Millisecond)
		defer over.Stop()
		defer again.Stop()
		for !l.TryLock() { // others may hold it for a moment
			select {
			case <-again.C:
			case <-over.C:
				return false
			}
		}
		l.Unlock()
		return true
	}
	var reloading atomic.Bool
	var asked, serial, silent atomic.Int64
	l := startLoopWith(t, func(l *loop, o *Options) {
		o.Watch = false
		o.Now = func() time.Time { // a reload asks for the time to render what it shows, and to say what came of it
			if reloading.Load() {
				asked.Add(1)
				if !free(&l.d.reloading, 0) {
					serial.Add(1)
				}
				if !free(&l.d.mu, time.Minute) {
					silent.Add(1)
				}
			}
			return time.Now()
		}
	}, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	l.gate.Lock()
	reloading.Store(true)
	if err := l.d.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	reloading.Store(false)
	if asked.Load() < 2 || serial.Load() < 2 || silent.Load() > 0 {
		t.Errorf("of %d times another reload could not have begun at %d, and a page would have had to wait at %d", asked.Load(), serial.Load(), silent.Load())
	}
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

// A reload takes no web config that asks for less than the one that the program was started with.
func TestAReloadThatOpensWhatWasClosedIsRefused(t *testing.T) {
	var file string
	l := startLoopWith(t, func(_ *loop, o *Options) {
		file = filepath.Join(filepath.Dir(o.Config.file), "web.yaml")
		write(t, file, "basic_auth_users: {u: $2a$04$BNkSlwXTuJ2.3NRvXoIEj.iBr3zA06J.RDhvnngOzsjev5/2RcNNm}\n", 0o600)
		text, err := os.ReadFile(o.Config.file)
		if err != nil {
			t.Fatal(err)
		}
		write(t, o.Config.file, strings.Replace(string(text), "'127.0.0.1:0'", "'127.0.0.1:0', web_config: web.yaml", 1), 0o600)
		if o.Config, err = LoadConfig(o.Config.file); err != nil {
			t.Fatal(err)
		}
		o.Watch = false
	}, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	if err := l.d.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	l.next()
	write(t, file, "", 0o600)
	if err := l.d.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), "asks for less") {
		t.Errorf("error %v", err)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

func TestAnAddressThatIsTakenIsAnError(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	cfg, err := parse(t, minimal+"listen: {address: '"+strings.TrimPrefix(taken.URL, "http://")+"'}\n")
	if err != nil {
		t.Fatal(err)
	}
	d, err := New(Options{Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	reloaded := make(chan error, 1)
	go func() { reloaded <- d.Reload(context.WithoutCancel(t.Context())) }()
	defer func() {
		if err := <-reloaded; err == nil || !strings.Contains(err.Error(), "not begun") {
			t.Errorf("a reload of what came to nothing: %v", err)
		}
	}()
	if err := d.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error %v", err)
	}
}

//go:build unix

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// patience is how long a test waits for what has to come: far longer than it takes on a busy machine, since nothing but a
// failure takes that long.
const patience = 60 * time.Second

// glance is how long a test leaves a daemon alone before it looks again: to make and to read a scrape is dear, and a test that
// looks twenty times a second keeps the machine from the daemon that it waits for.
const glance = 200 * time.Millisecond

// within waits until the condition says nothing any more; what it says is why it does not hold yet.
func within(t *testing.T, what string, condition func() string) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(glance)
	defer again.Stop()
	for {
		why := condition()
		if why == "" {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			t.Fatalf("waited in vain until %s: %s", what, why)
		}
	}
}

// process is the program at work, as a process of its own.
type process struct {
	cmd      *exec.Cmd
	out, err *shared
	ended    chan struct{} // closed when it has ended
	failure  error         // of its end; read after ended
}

// launch starts the program with nothing but these variables as its environment, and kills it when the test is over.
func launch(t *testing.T, dir string, env, args []string) *process {
	t.Helper()
	return launchAs(t, "agencyaudit", dir, env, args)
}

// launchAs starts one of the programs that TestMain knows.
func launchAs(t *testing.T, name, dir string, env, args []string) *process {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{out: &shared{}, err: &shared{}, ended: make(chan struct{})}
	p.cmd = &exec.Cmd{
		Path: program, Dir: dir, Env: append([]string{"HOME=" + dir}, env...), Args: append([]string{name}, args...),
		Stdout: p.out, Stderr: p.err,
	}
	p.start(t)
	return p
}

// start starts the process, and kills it when the test is over.
func (p *process) start(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.failure = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
	})
}

// signal sends the process a signal.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %v: %v", s, err)
	}
}

// gone says whether the process has ended.
func (p *process) gone() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// wait waits for the end of the process and returns its exit code; -1 when a signal ended it.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	within(t, "the process ends", func() string {
		if p.gone() {
			return ""
		}
		return "it still runs; stderr:\n" + p.err.String()
	})
	if failed, ok := errors.AsType[*exec.ExitError](p.failure); ok {
		return failed.ExitCode()
	} else if p.failure != nil {
		t.Fatal(p.failure)
	}
	return 0
}

// simulator is the simulated cloud as a process of its own.
type simulator struct {
	*process
	control string
	// config is the configuration that it wrote, without what is about the daemon.
	config string
	// key are the variables by which it is audited, and secret is the one of them that nothing may ever show.
	key    []string
	secret string
}

// startSimulator starts a simulated cloud: args say of which organization.
func startSimulator(t *testing.T, args ...string) *simulator {
	t.Helper()
	dir := t.TempDir()
	s := &simulator{process: launch(t, dir, nil, append([]string{
		"simcloud", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--config-out", "sim.yaml",
	}, args...))}
	within(t, "the simulated cloud serves", func() string {
		if s.gone() {
			t.Fatalf("the simulated cloud ended: %s", s.err.String())
		}
		if !strings.Contains(s.out.String(), "Ctrl-C ends it.") {
			return "not yet: " + s.err.String()
		}
		return ""
	})
	said := s.out.String()
	s.control = controlLine.FindStringSubmatch(said)[1]
	for _, m := range exportLine.FindAllStringSubmatch(said, -1) {
		s.key = append(s.key, m[1]+"="+m[2])
		if m[1] == secretKeyVariable {
			s.secret = m[2]
		}
	}
	if len(s.secret) < 20 {
		t.Fatalf("there is no secret to look for: %s", said)
	}
	text, err := os.ReadFile(filepath.Join(dir, "sim.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.config = string(text)
	return s
}

// do asks the control port.
func (s *simulator) do(t *testing.T, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.control+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := (&http.Client{Timeout: patience}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, resp.Status, err, answer)
	}
	return string(answer)
}

// drift lets something happen in the cloud that no client did.
func (s *simulator) drift(t *testing.T, format string, a ...any) {
	t.Helper()
	s.do(t, http.MethodPost, "/drift", fmt.Sprintf(format, a...))
}

// latency is how long the cloud waits before every answer from now on.
func (s *simulator) latency(t *testing.T, d time.Duration) {
	t.Helper()
	s.do(t, http.MethodPut, "/settings", fmt.Sprintf(`{"latency": %q}`, d))
}

// untouched wants nothing to have been written in the cloud.
func (s *simulator) untouched(t *testing.T) {
	t.Helper()
	if journal := strings.TrimSpace(s.do(t, http.MethodGet, "/journal", "")); journal != "[]" {
		t.Errorf("the auditor changed something in the cloud: %s", journal)
	}
}

// looped is a configuration of the simulated cloud with what the daemon needs. Runs are frequent and their evidence lasts.
func (s *simulator) looped() string {
	return s.config + `schedule: {cron: "@every 1s", jitter: 0s, drain: 20s}
max_age: 15m
listen: {address: "127.0.0.1:0"}
limits: {run_timeout: 1m}
`
}

// served is the daemon at work.
type served struct {
	*process
	dir, file string
	url       string
	secret    string
	client    *http.Client
	scrapes   atomic.Int64
}

var servingLine = regexp.MustCompile(`"msg":"serving metrics and pages","url":"([^"]+)"`)

// serve writes the configuration and starts the daemon. Once the test is over nothing that it ever said may have held the
// cloud's secret.
func (s *simulator) serve(t *testing.T, config string) *served {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(t, file, config)
	return s.serveFile(t, dir, file, s.key)
}

func (s *simulator) serveFile(t *testing.T, dir, file string, env []string) *served {
	t.Helper()
	d := &served{
		process: launch(t, dir, env, []string{"run", "--config", file, "--log-level", "debug"}), dir: dir, file: file, secret: s.secret,
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}},
	}
	t.Cleanup(func() {
		said := d.out.String() + d.err.String()
		if strings.Contains(said, s.secret) {
			t.Error("the daemon's log shows the secret key")
		}
		if strings.Contains(said, `"msg":"panic"`) || strings.Contains(said, "panic_type") || strings.Contains(said, "goroutine 1 [") {
			t.Errorf("the daemon has a bug:\n%s", said)
		}
		if t.Failed() {
			t.Logf("the daemon said:\n%s", last(said, 4000))
		}
	})
	within(t, "the daemon serves", func() string {
		if d.gone() {
			t.Fatalf("the daemon ended:\n%s", d.err.String())
		}
		m := servingLine.FindStringSubmatch(d.err.String())
		if m == nil {
			return "not yet: " + d.err.String()
		}
		d.url = m[1]
		return ""
	})
	return d
}

// last is the end of a text.
func last(s string, n int) string { return s[max(0, len(s)-n):] }

// replace has a file hold a text from one instant to the next.
func replace(t *testing.T, file, text string) {
	t.Helper()
	aside := file + ".new"
	if err := os.WriteFile(aside, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, file); err != nil {
		t.Fatal(err)
	}
}

// answer is what the daemon answered.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request. The error is that of a daemon that does not answer.
func (d *served) ask(ctx context.Context, method, path string, change func(r *http.Request)) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, d.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	if change != nil {
		change(req)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body)}, err
}

// get wants an answer, which does not show the secret.
func (d *served) get(t *testing.T, path string) answer {
	t.Helper()
	return d.send(t, http.MethodGet, path, nil)
}

func (d *served) send(t *testing.T, method, path string, change func(r *http.Request)) answer {
	t.Helper()
	a, err := d.ask(t.Context(), method, path, change)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	if strings.Contains(a.body, d.secret) {
		t.Fatalf("%s %s shows the secret key", method, path)
	}
	return a
}

// series are the samples of a scrape, by name and sorted labels as they are written.
type series map[string]float64

// parseExposition reads an exposition in the text format with the reference parser.
func parseExposition(text string) (series, error) {
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	all := series{}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			key := name + "{" + strings.Join(labels, ",") + "}"
			if _, twice := all[key]; twice {
				return nil, fmt.Errorf("two samples of %s", key)
			}
			switch {
			case m.Gauge != nil:
				all[key] = m.GetGauge().GetValue()
			case m.Counter != nil:
				all[key] = m.GetCounter().GetValue()
			case m.Untyped != nil:
				all[key] = m.GetUntyped().GetValue()
			case m.Histogram != nil:
				all[key] = float64(m.GetHistogram().GetSampleCount())
			case m.Summary != nil:
				all[key] = float64(m.GetSummary().GetSampleCount())
			}
		}
	}
	return all, nil
}

// where returns the series of a metric whose labels hold all of these, such as account="a".
func (s series) where(name string, labels ...string) series {
	out := series{}
	for key, v := range s {
		if rest, ok := strings.CutPrefix(key, "agencyaudit_"+name+"{"); ok {
			rest = "," + strings.TrimSuffix(rest, "}") + ","
			if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, ","+l+",") }) {
				out[key] = v
			}
		}
	}
	return out
}

// one is the value of the only series that fits, -1 when there is none or more than one.
func (s series) one(name string, labels ...string) float64 {
	found := s.where(name, labels...)
	if len(found) != 1 {
		return -1
	}
	for _, v := range found {
		return v
	}
	return -1
}

// count is how many of the series have that value.
func (s series) count(value float64) int {
	n := 0
	for _, v := range s {
		if v == value {
			n++
		}
	}
	return n
}

var (
	accountLabels = regexp.MustCompile(`account="[^"]*",account_id="[^"]*",agency="[^"]*"`)
	stateLabel    = regexp.MustCompile(`state="([a-z_]+)"`)
)

// consistent says what no scrape may ever show: states that do not sum to what is expected, an account in no state or in
// several, a zero that nobody vouches for, or a one in an account that is said to be compliant.
func (s series) consistent() error {
	sum := 0.0
	for _, v := range s.where("accounts") {
		sum += v
	}
	expected := s.one("accounts_expected")
	if sum != expected || len(s.where("accounts")) != 5 {
		return fmt.Errorf("%d states sum to %v, want %v", len(s.where("accounts")), sum, expected)
	}
	states := s.where("account_state")
	if float64(states.count(1)) != expected || float64(len(states)) != 5*expected {
		return fmt.Errorf("%v accounts have %d states, of which %d are 1", expected, len(states), states.count(1))
	}
	// What is said of each account, by its labels: how many grants are missing and how many are not, and how many reasons there are.
	type said struct{ missing, held, reasons int }
	about := map[string]said{}
	for key, v := range s {
		ofGrant, ofReason := strings.HasPrefix(key, "agencyaudit_policy_missing{"), strings.HasPrefix(key, "agencyaudit_account_unknown{")
		if !ofGrant && !ofReason {
			continue
		}
		labels := accountLabels.FindString(key)
		a := about[labels]
		switch {
		case ofReason:
			a.reasons++
		case v == 0:
			a.held++
		default:
			a.missing++
		}
		about[labels] = a
	}
	seen := map[string]bool{}
	counted := map[string]float64{}
	for key, v := range states {
		if v == 0 {
			continue
		}
		labels := accountLabels.FindString(key)
		if labels == "" || seen[labels] {
			return fmt.Errorf("an account in two states: %s", key)
		}
		seen[labels] = true
		state := stateLabel.FindStringSubmatch(key)[1]
		counted[state]++
		switch a := about[labels]; {
		case state == "unknown" && (a.held > 0 || a.reasons != 1):
			return fmt.Errorf("unknown, but %d series are 0 and there are %d reasons: %s", a.held, a.reasons, labels)
		case state != "unknown" && a.reasons > 0:
			return fmt.Errorf("%s, but it has a reason to be unknown: %s", state, labels)
		case state == "compliant" && (a.missing > 0 || a.held == 0):
			return fmt.Errorf("compliant, but of %d grants %d are missing: %s", a.held+a.missing, a.missing, labels)
		}
	}
	for state, n := range counted {
		if got := s.one("accounts", `state="`+state+`"`); got != n {
			return fmt.Errorf("%v accounts are %s, but accounts says %v", n, state, got)
		}
	}
	return nil
}

// What contradicts itself is found, by whatever tests look at scrapes with.
func TestScrapesThatContradictThemselves(t *testing.T) {
	t.Parallel()
	const one, two = `account="a",account_id="1",agency="x"`, `account="b",account_id="2",agency="x"`
	for what, change := range map[string]func(s series){
		"":         func(series) {},
		"sum to":   func(s series) { s[`agencyaudit_accounts_expected{}`] = 3 },
		"of which": func(s series) { s[`agencyaudit_account_state{`+one+`,state="unknown"}`] = 1 },
		"in two states": func(s series) {
			s[`agencyaudit_account_state{`+one+`,state="drifted"}`], s[`agencyaudit_account_state{`+two+`,state="unknown"}`] = 1, 0
		},
		"1 series are 0":         func(s series) { s[`agencyaudit_policy_missing{`+two+`,policy="p",scope="global"}`] = 0 },
		"there are 0 reasons":    func(s series) { delete(s, `agencyaudit_account_unknown{`+two+`,reason="denied"}`) },
		"there are 2 reasons":    func(s series) { s[`agencyaudit_account_unknown{`+two+`,reason="stale"}`] = 1 },
		"a reason to be unknown": func(s series) { s[`agencyaudit_account_unknown{`+one+`,reason="stale"}`] = 1 },
		"of 1 grants 1":          func(s series) { s[`agencyaudit_policy_missing{`+one+`,policy="p",scope="global"}`] = 1 },
		"of 0 grants 0":          func(s series) { delete(s, `agencyaudit_policy_missing{`+one+`,policy="p",scope="global"}`) },
		"accounts says": func(s series) {
			s[`agencyaudit_accounts{state="compliant"}`], s[`agencyaudit_accounts{state="drifted"}`] = 0, 1
		},
	} {
		s := series{
			`agencyaudit_accounts_expected{}`:                                   2,
			`agencyaudit_policy_missing{` + one + `,policy="p",scope="global"}`: 0,
			`agencyaudit_account_unknown{` + two + `,reason="denied"}`:          1,
		}
		for _, state := range []string{"compliant", "drifted", "unknown", "waived", "not_enabled"} {
			for labels, is := range map[string]string{one: "compliant", two: "unknown"} {
				v := 0.0
				if state == is {
					v = 1
				}
				s[`agencyaudit_account_state{`+labels+`,state="`+state+`"}`] = v
				s[`agencyaudit_accounts{state="`+state+`"}`] += v
			}
		}
		change(s)
		if err := s.consistent(); (err == nil) != (what == "") || err != nil && !strings.Contains(err.Error(), what) {
			t.Errorf("%q: %v", what, err)
		}
	}
}

// openMetrics is how Prometheus asks.
const openMetrics = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5"

// scrapeAs scrapes in one of the two formats, compressed or not, and wants the answer to be whole and consistent.
func (d *served) scrapeAs(ctx context.Context, open, compressed bool) (series, error) {
	a, err := d.ask(ctx, http.MethodGet, "/metrics", func(r *http.Request) {
		if open {
			r.Header.Set("Accept", openMetrics)
		}
		if compressed {
			r.Header.Set("Accept-Encoding", "gzip")
		}
	})
	if err != nil {
		return nil, err
	}
	fault := func(err error) error {
		return &scrapeFault{fmt.Errorf("OpenMetrics %v, gzip %v: %w", open, compressed, err)}
	}
	if a.status != http.StatusOK || (a.header.Get("Content-Encoding") == "gzip") != compressed {
		return nil, fault(fmt.Errorf("status %d, encoding %q: %s", a.status, a.header.Get("Content-Encoding"), last(a.body, 200)))
	}
	if compressed {
		// One member and nothing behind it, since not every client reads on.
		source := bytes.NewReader([]byte(a.body))
		z, err := gzip.NewReader(source)
		if err != nil {
			return nil, fault(err)
		}
		z.Multistream(false)
		plain, err := io.ReadAll(z)
		if err != nil || source.Len() > 0 {
			return nil, fault(fmt.Errorf("%w; %d bytes are left", err, source.Len()))
		}
		a.body = string(plain)
	}
	body, isOpen := strings.CutSuffix(a.body, "# EOF\n")
	if isOpen != open || strings.HasPrefix(a.header.Get("Content-Type"), "application/openmetrics-text") != open {
		return nil, fault(fmt.Errorf("content type %q, and the end is %q", a.header.Get("Content-Type"), last(a.body, 40)))
	}
	if strings.Contains(body, d.secret) {
		return nil, fault(errors.New("it shows the secret key"))
	}
	if open {
		if body, err = untyped(body); err != nil {
			return nil, fault(err)
		}
	}
	all, err := parseExposition(body)
	if err == nil {
		err = all.consistent()
	}
	if err != nil {
		return nil, fault(err)
	}
	d.scrapes.Add(1)
	return all, nil
}

// untyped takes the lines away that describe families in OpenMetrics, for which there is no reference parser in Go but that
// of Prometheus itself (.ci/prometheus has it read them); what is left reads the same in both formats. Families must be
// described once.
func untyped(body string) (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return "", fmt.Errorf("a comment that says nothing: %q", line)
		}
		key := words[1] + " " + words[2]
		if seen[key] {
			return "", fmt.Errorf("twice: %s", line)
		}
		seen[key] = true
	}
	return b.String(), nil
}

// scrapeFault is what is wrong with a scrape that was answered.
type scrapeFault struct{ error }

// scrape wants a scrape to work.
func (d *served) scrape(t *testing.T) series {
	t.Helper()
	all, err := d.scrapeAs(t.Context(), false, true)
	if err != nil {
		t.Fatalf("scrape: %v", err)
	}
	return all
}

// shows waits until a scrape shows what the condition wants.
func (d *served) shows(t *testing.T, what string, condition func(s series) bool) series {
	t.Helper()
	var all series
	within(t, what, func() string {
		if d.gone() {
			t.Fatalf("the daemon ended:\n%s", last(d.err.String(), 4000))
		}
		if all = d.scrape(t); condition(all) {
			return ""
		}
		return fmt.Sprintf("%v\n%v", all.where("accounts"), all.where("account_unknown"))
	})
	return all
}

// settled waits until all accounts of a daemon are in a state.
func (d *served) settled(t *testing.T, state string) series {
	t.Helper()
	return d.shows(t, "all accounts are "+state, func(s series) bool {
		return s.one("accounts", `state="`+state+`"`) == s.one("accounts_expected") && s.one("accounts_expected") > 0
	})
}

// always scrapes without a pause, in every form, until the test is over or the daemon has ended: whatever happens meanwhile,
// each scrape must be right. A daemon that was told to end may stop to answer. also is what this daemon must hold to beyond
// that; nil is nothing.
func (d *served) always(t *testing.T, also func(s series) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var g sync.WaitGroup
	g.Go(func() {
		leave := 5 * time.Millisecond // the machine to the others
		if testing.Short() {
			leave = glance // as under the race detector, where reading a scrape takes long
		}
		pause := time.NewTicker(leave)
		defer pause.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			if i > 0 {
				<-pause.C
			}
			all, err := d.scrapeAs(ctx, i&1 == 0, i&2 == 0)
			if err == nil && also != nil {
				err = also(all)
			}
			if err == nil || ctx.Err() != nil {
				continue
			}
			_, answered := errors.AsType[*scrapeFault](err)
			if !answered && all == nil && d.wasToldToEnd() {
				return
			}
			t.Errorf("scrape %d: %v", i, err)
			return
		}
	})
	t.Cleanup(func() {
		cancel()
		g.Wait()
		if d.scrapes.Load() < 3 { // on a busy machine one takes half a second
			t.Errorf("there were only %d scrapes", d.scrapes.Load())
		}
	})
}

// wasToldToEnd says whether a daemon that does not answer has a reason. Its log comes through a pipe, and may come a moment
// after the last answer.
func (d *served) wasToldToEnd() bool {
	moment := time.NewTimer(patience / 10)
	defer moment.Stop()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !d.gone() && !strings.Contains(d.err.String(), `"msg":"ending"`) {
		select {
		case <-again.C:
		case <-moment.C:
			return false
		}
	}
	return true
}

// ready is the status of /-/ready.
func (d *served) ready(t *testing.T) int {
	t.Helper()
	return d.get(t, "/-/ready").status
}

// running says whether a scrape was made in the middle of a run.
func (s series) running() bool {
	return s.one("run_last_start_timestamp_seconds") > s.one("run_last_end_timestamp_seconds")
}

// runs is how many runs have ended, by result.
func (s series) runs(result string) float64 { return s.one("runs_total", `result="`+result+`"`) }

// interrupt ends the daemon in order.
func (d *served) interrupt(t *testing.T) {
	t.Helper()
	d.signal(t, syscall.SIGTERM)
	if code := d.wait(t); code != exitOK {
		t.Errorf("exit code %d, want %d; stderr:\n%s", code, exitOK, last(d.err.String(), 4000))
	}
}

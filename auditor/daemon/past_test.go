package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

const kept = hourly + "state_dir: state\n"

// missing are the values of policy_missing of an account by policy, and with the state of it.
func (l *loop) missing(account string) map[string]string {
	l.t.Helper()
	_, text := l.get("GET", "/metrics")
	is := map[string]string{}
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(series, `{account="`+account+`"`) {
			continue
		}
		label := func(name string) string {
			_, rest, _ := strings.Cut(series, ","+name+`="`)
			word, _, _ := strings.Cut(rest, `"`)
			return word
		}
		switch {
		case strings.HasPrefix(series, "agencyaudit_policy_missing{"):
			is[label("policy")] = value
		case strings.HasPrefix(series, "agencyaudit_account_state{") && value == "1":
			is["state"] = label("state")
		case strings.HasPrefix(series, "agencyaudit_finding_first_seen_timestamp_seconds{"):
			is["since"] = value
		}
	}
	return is
}

// TestARestartForgetsNoBadNewsAndInventsNoGood: after it nothing is right before it was read, and what was wrong is there at once, be
// the cloud away for as long as it likes.
func TestARestartForgetsNoBadNewsAndInventsNoGood(t *testing.T) {
	plain := func(_ *loop, o *Options) { o.Watch = false }
	l := startLoopWith(t, plain, kept, alpha, beta)
	l.gate.Unlock()
	l.next()
	was := map[string]map[string]string{alpha: l.missing(alpha), beta: l.missing(beta)}
	if was[alpha]["state"] != "compliant" || was[beta]["state"] != "drifted" || was[beta]["since"] == "" {
		t.Fatalf("before: %v", was)
	}
	_, text := l.get("GET", "/metrics")
	completed := valueOf(t, text, "agencyaudit_run_last_complete_timestamp_seconds ")
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.start(plain)
	check := func(when string) {
		t.Helper()
		for _, name := range []string{alpha, beta} {
			is := l.missing(name)
			if is["state"] != "unknown" {
				t.Errorf("%s %s is %s", when, name, is["state"])
			}
			for policy, value := range was[name] {
				switch {
				case policy == "state":
				case value == "0" && is[policy] != "":
					t.Errorf("%s %s is said to have %s", when, name, policy)
				case value != "0" && is[policy] != value:
					t.Errorf("%s of %s it says %q of %s, want %q", when, name, is[policy], policy, value)
				}
			}
		}
	}
	check("after a restart")
	_, text = l.get("GET", "/metrics")
	if got := valueOf(t, text, "agencyaudit_run_last_complete_timestamp_seconds "); got > completed || got < completed-1 {
		t.Errorf("the last complete run was at %f, and at %f before", got, completed)
	}
	l.end() // the first run is told to end, and with the gate closed nothing is read
	l.gate.Unlock()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	l.start(plain)
	check("after another one")
	l.gate.Unlock()
	run := l.next()
	if !run.Complete {
		t.Errorf("the run is not complete: %v", run.States)
	}
	for name := range was {
		if is := l.missing(name); fmt.Sprint(is) != fmt.Sprint(was[name]) {
			t.Errorf("when it was read again %s is %v, and was %v", name, is, was[name])
		}
	}
	l.has("agencyaudit_history_errors_total 0")
	// The page draws what the runs found, over the restarts.
	l.wait("the page shows the fleet over time", func() bool {
		_, text := l.get("GET", "/")
		return strings.Contains(text, `aria-label="The fleet by state over time. Compliant or waived: 50 % `)
	})
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

func lineOf(text, begin string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}

func valueOf(t *testing.T, text, begin string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(strings.TrimPrefix(lineOf(text, begin), begin), 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// TestARestartForgetsNoAccount: members of the organization are expected before it was asked, and while it refuses. One that left
// meanwhile vanishes as if the program had gone on.
func TestARestartForgetsNoAccount(t *testing.T) {
	g := &guarded{}
	names := []string{alpha, beta, gamma}
	change := func(l *loop, o *Options) {
		if g.members == nil {
			for _, acct := range l.named(names...) {
				g.members = append(g.members, huawei.Member{
					ID: acct.ID, Name: acct.Name, Status: "active", OUs: []huawei.OU{{ID: "ou-prod", Name: "prod"}}, Tags: map[string]string{"owner": "me", "env": "x"},
				})
			}
		}
		config := strings.Replace(l.config(kept), "accounts:\n  static:\n", "accounts:\n  organization:\n"+
			"    {enabled: true, include_ous: [ou-prod], keep_vanished: 2, labels: {tags: [owner]}, access: {via: iam, agency: AgencyAuditReader}}\n", 1)
		config = strings.Replace(config, "endpoints: {", "endpoints: {organizations: 'http://127.0.0.1:1', ", 1) // which is never asked
		write(t, l.file, config, 0o600)
		var err error
		if o.Config, err = LoadConfig(l.file); err != nil {
			t.Fatal(err)
		}
		o.organization, o.Watch = g, false
	}
	l := startLoopWith(t, change, "", names...)
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, m := range g.members {
		ids[m.Name] = m.ID
	}
	refused := func(o *organization) { o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "not now"} }
	g.set(refused)
	l.start(change)
	if infos := l.scraped(); len(infos) != 3 {
		t.Errorf("before the first run %v are expected", infos)
	}
	_, text := l.get("GET", "/metrics")
	if !strings.Contains(text, `ou="prod",tag_owner="me"`) || strings.Contains(text, "tag_env") {
		t.Error("the place or the tags of the accounts are not what was chosen")
	}
	if is := l.missing(beta); is["state"] != "unknown" || is["since"] == "" {
		t.Errorf("beta is %v", is)
	}
	l.gate.Unlock()
	if run := l.next(); run.Complete || len(run.Sweeps) != 3 || len(run.Gaps) != 1 || reasonOf(run, ids[beta]) != "drifted" {
		t.Errorf("while the organization refuses: %d sweeps, %v, beta is %s", len(run.Sweeps), run.Gaps, reasonOf(run, ids[beta]))
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	// One leaves while the program is down.
	g.set(func(o *organization) { o.err, o.members = nil, slices.Delete(o.members, 2, 3) })
	l.start(change)
	l.gate.Unlock()
	for i, run := 0, l.next(); i < 2; i++ {
		if got := reasonOf(run, ids[gamma]); got != "vanished" || run.Complete {
			t.Errorf("run %d: gamma is %q", i, got)
		}
		if err := l.stop(); err != nil { // another restart does not begin to count anew
			t.Fatal(err)
		}
		l.start(change)
		if infos := l.scraped(); len(infos) != 3 {
			t.Errorf("after restart %d %v are expected", i, infos)
		}
		l.gate.Unlock()
		run = l.next()
	}
	if infos := l.scraped(); infos[gamma] != 0 || len(infos) != 2 {
		t.Errorf("afterwards %v", infos)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	// And it does not come back by a restart.
	l.start(change)
	if infos := l.scraped(); infos[gamma] != 0 || len(infos) != 2 {
		t.Errorf("after a restart %v", infos)
	}
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestAnAccountThatTheFileLostWhileTheProgramWasDown vanishes, as if it had gone on.
func TestAnAccountThatTheFileLostWhileTheProgramWasDown(t *testing.T) {
	change := func(_ *loop, o *Options) { o.Watch = false }
	l := startLoopWith(t, func(l *loop, o *Options) {
		write(t, filepath.Join(filepath.Dir(l.file), "accounts.yaml"), "accounts:\n"+filed(l, alpha, beta), 0o600)
		write(t, l.file, strings.Replace(l.config(kept), "  static:\n", "  file: accounts.yaml\n", 1), 0o600)
		var err error
		if o.Config, err = LoadConfig(l.file); err != nil {
			t.Fatal(err)
		}
		change(l, o)
	}, "", alpha, beta)
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(filepath.Dir(l.file), "accounts.yaml"), "accounts:\n"+filed(l, alpha), 0o600)
	l.start(change)
	if is := l.missing(beta); is["state"] != "unknown" || is["since"] == "" {
		t.Errorf("beta is %v", is)
	}
	l.gate.Unlock()
	if run := l.next(); reasonOf(run, l.named(beta)[0].ID) != "vanished" {
		t.Errorf("beta is %q", reasonOf(run, l.named(beta)[0].ID))
	}
	for range 3 {
		l.again()
	}
	if infos := l.scraped(); infos[beta] != 0 || len(infos) != 1 {
		t.Errorf("afterwards %v", infos)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
}

// TestAWaiverThatComesIsShownAtOnce: what changed is on the first page after the next run, also when a reload judged it anew before.
func TestAWaiverThatComesIsShownAtOnce(t *testing.T) {
	l := startLoopWith(t, func(_ *loop, o *Options) { o.Watch = false }, kept, beta)
	l.gate.Unlock()
	l.next()
	write(t, filepath.Join(filepath.Dir(l.file), "waivers.yaml"), fmt.Sprintf("version: 1\nwaivers:\n"+
		"  - {id: one, accounts: [%s], rules: [grant/missing], added: %s, expires: %s, owner: shop, reason: agreed}\n", beta,
		time.Now().Format(time.DateOnly), time.Now().AddDate(0, 0, 2).Format(time.DateOnly)), 0o600)
	l.rewrite(l.config(kept+"waivers: {file: waivers.yaml}\n", l.named(beta)...))
	if code, says := l.get("POST", "/-/reload"); code != 200 {
		t.Fatalf("%d %s", code, says)
	}
	if run := l.next(); run.States[rules.StateWaived] != 1 {
		t.Fatalf("states %v", run.States)
	}
	if _, page := l.get("GET", "/"); !strings.Contains(page, "drifted → waived") {
		t.Error("the page does not say that the account is waived now")
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
}

// filed are accounts as a file of accounts lists them.
func filed(l *loop, names ...string) string {
	var b strings.Builder
	for _, a := range l.named(names...) {
		fmt.Fprintf(&b, accountLine, a.Name, a.ID)
	}
	return b.String()
}

// TestAWaiverThatEndedIsNotRemembered: what a history remembers of a waiver accepts nothing.
func TestAWaiverThatEndedIsNotRemembered(t *testing.T) {
	var now clock
	waiver := func(l *loop, expires time.Time) {
		write(t, filepath.Join(filepath.Dir(l.file), "waivers.yaml"), fmt.Sprintf(
			"version: 1\nwaivers:\n  - {id: one, accounts: [%s], rules: [grant/missing], added: %s, expires: %s, owner: shop, reason: agreed}\n",
			beta, expires.AddDate(0, 0, -2).Format(time.DateOnly), expires.Format(time.DateOnly)), 0o600)
	}
	change := func(_ *loop, o *Options) { o.Watch, o.Now = false, now.now }
	end := time.Now().AddDate(0, 0, 2)
	l := startLoopWith(t, func(l *loop, o *Options) {
		waiver(l, end)
		write(t, l.file, l.config(kept+"waivers: {file: waivers.yaml}\n", l.named(beta)...), 0o600)
		var err error
		if o.Config, err = LoadConfig(l.file); err != nil {
			t.Fatal(err)
		}
		change(l, o)
	}, "", beta)
	l.gate.Unlock()
	if run := l.next(); run.States[rules.StateWaived] != 1 {
		t.Fatalf("states %v", run.States)
	}
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"the waiver is gone", "the waiver has ended"} {
		if when == "the waiver is gone" {
			write(t, filepath.Join(filepath.Dir(l.file), "waivers.yaml"), "version: 1\nwaivers: []\n", 0o600)
		} else {
			waiver(l, end)
			now.ahead.Store(int64(72 * time.Hour))
		}
		l.start(change)
		if _, text := l.get("GET", "/metrics"); strings.Contains(text, `agencyaudit_finding_waived{account="`+beta) && strings.Contains(lineOf(text, `agencyaudit_finding_waived{account="`+beta), "} 1") {
			t.Errorf("%s: and still accepts", when)
		}
		if err := l.stopClosed(); err != nil {
			t.Fatal(err)
		}
	}
}

// stopClosed ends a daemon whose first run waits for the gate.
func (l *loop) stopClosed() error {
	l.end()
	l.gate.Unlock()
	return l.stop()
}

// faulty is a history that fails when it is told to.
type faulty struct {
	history.Store
	fail  error
	panic bool
	// late has it panic after a run was recorded.
	late bool
	// hang keeps it from answering until it is closed.
	hang chan struct{}
}

func (f *faulty) Compact(ctx context.Context, before time.Time) error {
	if f.late {
		panic("a bug")
	}
	return f.Store.Compact(ctx, before)
}

func (f *faulty) Record(ctx context.Context, s *auditor.Snapshot) error {
	if f.hang != nil {
		<-f.hang
	}
	if f.panic {
		panic("a bug")
	}
	if f.fail != nil {
		return f.fail
	}
	return f.Store.Record(ctx, s)
}

// TestAHistoryThatFailsCostsHistoryAlone: a full disk, and a bug, are counted and told; runs go on, and the history catches up.
func TestAHistoryThatFailsCostsHistoryAlone(t *testing.T) {
	f := &faulty{Store: history.NewMemory(), fail: errors.New("the disk is full")}
	l := startLoopWith(t, func(_ *loop, o *Options) { o.Watch, o.History = false, f }, hourly, alpha, beta)
	l.gate.Unlock()
	if run := l.next(); !run.Complete || l.missing(beta)["state"] != "drifted" {
		t.Errorf("%v", run.States)
	}
	l.has("agencyaudit_history_errors_total 1")
	l.has(`agencyaudit_runs_total{result="complete"} 1`)
	if _, page := l.get("GET", "/"); !strings.Contains(page, "the disk is full") {
		t.Error("the page does not say that the run was not recorded")
	}
	f.panic = true
	l.again()
	l.has("agencyaudit_history_errors_total 2")
	l.has(`agencyaudit_panics_total{where="history"} 1`)
	f.panic, f.late, f.fail = false, true, nil
	late := l.again()
	l.has("agencyaudit_history_errors_total 3")
	l.has(`agencyaudit_panics_total{where="history"} 2`)
	f.late = false
	run := l.again()
	l.has("agencyaudit_history_errors_total 3")
	if _, page := l.get("GET", "/"); strings.Contains(page, "History not kept") {
		t.Error("the page says that the run was not recorded, and it was")
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	runs, err := f.Runs(t.Context(), time.Time{}, time.Time{})
	if err != nil || len(runs) != 2 || runs[0].ID != late.ID || runs[1].ID != run.ID {
		t.Errorf("%v: %+v", err, runs)
	}
	if found, err := f.Findings(t.Context(), history.Query{}); err != nil || len(found) == 0 || found[0].Account.Name != beta {
		t.Errorf("%v: %+v", err, found)
	}
}

// TestADiskThatHangsStopsNoRun: what it has not taken is counted, and is recorded once it answers.
func TestADiskThatHangsStopsNoRun(t *testing.T) {
	f := &faulty{Store: history.NewMemory(), hang: make(chan struct{})}
	l := startLoopWith(t, func(_ *loop, o *Options) { o.Watch, o.History, o.recordWait = false, f, time.Millisecond }, hourly, alpha, beta)
	l.gate.Unlock()
	l.next()
	l.again()
	last := l.again()
	l.has("agencyaudit_history_errors_total 3")
	if _, page := l.get("GET", "/"); !strings.Contains(page, "the disk takes too long") {
		t.Error("the page does not say that the runs are not recorded")
	}
	close(f.hang)
	l.wait("the last run is recorded", func() bool { return strings.Contains(l.log.String(), "msg=\"run recorded\" run="+last.ID) })
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	if runs, err := f.Runs(t.Context(), time.Time{}, time.Time{}); err != nil || len(runs) != 2 || runs[1].ID != last.ID {
		t.Errorf("%v: %+v", err, runs)
	}
}

// TestAFullDiskAtTheStart costs history, not auditing: what can be read of it is known, and it is opened as soon as there is room.
func TestAFullDiskAtTheStart(t *testing.T) {
	plain := func(_ *loop, o *Options) { o.Watch = false }
	l := startLoopWith(t, plain, kept, alpha, beta)
	l.gate.Unlock()
	l.next()
	was := l.missing(beta)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	var full atomic.Bool
	full.Store(true)
	l.start(func(_ *loop, o *Options) {
		o.Watch = false
		o.openHistory = func(dir string, ho history.Options) (history.Store, error) {
			if full.Load() {
				return nil, fmt.Errorf("open it: %w", history.ErrDisk)
			}
			return history.OpenSQLite(dir, ho)
		}
	})
	if is := l.missing(beta); is["state"] != "unknown" || is["since"] != was["since"] || was["since"] == "" {
		t.Errorf("after the start beta is %v, and was %v", is, was)
	}
	l.gate.Unlock()
	if run := l.next(); !run.Complete || l.missing(beta)["state"] != "drifted" {
		t.Errorf("states %v", run.States)
	}
	l.has("agencyaudit_history_errors_total 2")
	full.Store(false)
	last := l.again()
	l.has("agencyaudit_history_errors_total 2")
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	s, err := history.OpenReadOnly(filepath.Join(filepath.Dir(l.file), "state"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if runs, err := s.Runs(t.Context(), time.Time{}, time.Time{}); err != nil || len(runs) != 2 || runs[1].ID != last.ID {
		t.Errorf("%v: %+v", err, runs)
	}
}

// TestAClockThatWasWrong: nothing that is remembered is later than now, and a jump of the clock forgets nothing.
func TestAClockThatWasWrong(t *testing.T) {
	var now clock
	store := history.NewMemory()
	change := func(_ *loop, o *Options) { o.Watch, o.History, o.Now = false, store, now.now }
	l := startLoopWith(t, change, hourly, beta)
	l.gate.Unlock()
	l.next()
	l.named(beta)
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	now.ahead.Store(int64(-5 * time.Minute)) // the first run was by a clock that was ahead
	l.start(change)
	_, text := l.get("GET", "/metrics")
	if at := valueOf(t, text, "agencyaudit_run_last_complete_timestamp_seconds "); at > float64(time.Now().Add(-5*time.Minute).Unix()+1) {
		t.Errorf("the last complete run is said to have been at %f, which is later than now", at)
	}
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	findings := func() int {
		found, err := store.Findings(t.Context(), history.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	before := findings()
	if err := l.cloud.Drift(simcloud.Drift{
		Kind: simcloud.DriftGrant, Account: beta, Agency: "ServiceAgencyForCOC", Grant: &simcloud.Grant{Policy: "COCServiceAgencyDefaultPolicy", Scope: "all_resources"},
	}); err != nil {
		t.Fatal(err)
	}
	now.ahead.Store(int64(20 * time.Second))
	l.start(change)
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	now.ahead.Store(int64(73 * 365 * 24 * time.Hour)) // as a machine that lost its clock
	l.start(change)
	l.gate.Unlock()
	l.next()
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	if got := findings(); got != before || before == 0 {
		t.Errorf("%d findings are known, and %d were before", got, before)
	}
}

// TestAStateDirectoryThatCannotBeUsedEndsTheStart: one that another process has, and one that is damaged. Nothing is begun anew.
func TestAStateDirectoryThatCannotBeUsedEndsTheStart(t *testing.T) {
	l := startLoopWith(t, func(_ *loop, o *Options) { o.Watch = false }, kept, alpha)
	l.gate.Unlock()
	l.next()
	begin := func() error {
		cfg, err := LoadConfig(l.file)
		if err != nil {
			t.Fatal(err)
		}
		d, err := New(Options{Config: cfg, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		return d.Run(t.Context())
	}
	dir := filepath.Join(filepath.Dir(l.file), "state")
	if err := begin(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("the state directory %s is in use by process %d since", dir, os.Getpid())) {
		t.Errorf("a second one: %v", err)
	}
	// It cannot change by a reload.
	l.rewrite(strings.Replace(l.config(kept, l.named(alpha)...), "state_dir: state", "state_dir: other", 1))
	if code, says := l.get("POST", "/-/reload"); code == 200 || !strings.Contains(says, "state_dir: differs from what the program was started with") {
		t.Errorf("%d %s", code, says)
	}
	l.rewrite(l.config(kept, l.named(alpha)...))
	if err := l.stop(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, history.FileName)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, string(data[:len(data)/2]), 0o600)
	damaged, isDamaged := errors.AsType[*history.Unreadable](begin())
	if !isDamaged || damaged.File != file || !strings.Contains(damaged.Error(), "restore a copy") {
		t.Errorf("a damaged one: %v", damaged)
	}
	if after, err := os.ReadFile(file); err != nil || len(after) != len(data)/2 {
		t.Errorf("it was written: %v", err)
	}
}

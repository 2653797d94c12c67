package auditor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

const cocID = "c0c00000000000000000000000000001"

func testBaseline() rules.Baseline {
	return rules.Baseline{
		Name: "coc", Agency: "A", Trust: rules.Trust{Name: "op_svc_coc"},
		Required: []rules.Requirement{{Policy: "P", Scope: rules.Global, Accepts: []string{"Q"}}},
	}
}

// inventory is a fixed list of accounts.
type inventory []rules.Account

func (i inventory) Accounts(context.Context) (auditor.Listing, error) {
	if i == nil {
		return auditor.Listing{}, errors.New("no inventory")
	}
	return auditor.Listing{Accounts: i}, nil
}

// observer answers for each account by a function of its name.
type observer struct {
	observe   func(ctx context.Context, a rules.Account) (rules.Evidence, error)
	verify    error
	catalogue error
}

func (o observer) Observe(
	ctx context.Context, a rules.Account, _ rules.Baseline, _ rules.Last,
) (rules.Evidence, auditor.Trail, error) {
	e, err := o.observe(ctx, a)
	return e, auditor.Trail{Requests: 6}, err
}

func (o observer) PolicyIDs(_ context.Context, names []string) (map[string][]string, time.Time, error) {
	if !slices.Equal(names, []string{"P", "Q"}) {
		return nil, time.Time{}, fmt.Errorf("asked for %v", names)
	}
	return map[string][]string{"P": {"p"}}, noon, o.catalogue
}

func (o observer) Verify(context.Context) error { return o.verify }

func evidenceOf(t *testing.T, a rules.Account, trustID string, granted bool) rules.Evidence {
	t.Helper()
	obs := rules.Observation{
		Account: a, AgencyName: "A", StartedAt: time.Unix(1, 0), EndedAt: time.Unix(2, 0),
		Listed: []rules.Agency{{ID: "a", Name: "A", AccountID: a.ID, Trust: rules.Trust{ID: trustID, Name: "op_svc_coc"}}},
	}
	for _, kind := range rules.Planes() {
		p := rules.Plane{Kind: kind, State: rules.PlaneRead, Witnessed: true}
		if kind == rules.Global && granted {
			p.Total, p.WitnessIDs = 1, []string{"p"}
			p.Grants = []rules.Grant{{Policy: rules.Policy{ID: "p", Name: "P", Origin: rules.System}, Scope: rules.Scope{Kind: kind}}}
		}
		obs.Planes = append(obs.Planes, p)
	}
	e, err := rules.NewEvidence(testBaseline(), rules.Last{}, obs)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newAuditor(o observer, accounts inventory, log *bytes.Buffer) *auditor.Auditor {
	return &auditor.Auditor{
		Inventory: accounts, Observer: o, Baselines: []rules.Baseline{testBaseline()},
		Logger: slog.New(slog.NewTextHandler(log, nil)), Now: time.Now, Program: "v1",
		Concurrency: 4, RunTimeout: time.Hour, AccountTimeout: time.Minute,
	}
}

func accounts(names ...string) inventory {
	list := inventory{}
	for _, n := range names {
		list = append(list, rules.Account{ID: "id of " + n, Name: n})
	}
	return list
}

func states(r *auditor.Run) map[string]string {
	out := map[string]string{}
	for _, s := range r.Sweeps {
		out[s.Report.Account.Name] = string(s.Report.State)
		if s.Report.Unknown != nil {
			out[s.Report.Account.Name] = string(s.Report.Unknown.Reason)
		}
	}
	return out
}

func TestOneAccountsFateTouchesNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := observer{observe: func(ctx context.Context, a rules.Account) (rules.Evidence, error) {
			switch a.Name {
			case "panics":
				panic("the secret is SK-CANARY")
			case "hangs":
				<-ctx.Done()
				return rules.Evidence{}, fmt.Errorf("list agencies: %w", context.Cause(ctx))
			case "hangs and says so":
				<-ctx.Done()
				return rules.Evidence{}, fmt.Errorf("list agencies: %w", ctx.Err())
			case "refused":
				return rules.Evidence{}, fmt.Errorf("list agencies: %w", &rules.Unknown{Reason: rules.ReasonDenied, Detail: "403"})
			case "breaks":
				return rules.Evidence{}, errors.New("boom")
			case "gives nothing":
				return rules.Evidence{}, nil
			case "gives another's":
				return evidenceOf(t, rules.Account{ID: "id of other", Name: "other"}, cocID, true), nil
			case "drifts":
				return evidenceOf(t, a, cocID, false), nil
			}
			return evidenceOf(t, a, cocID, true), nil
		}}
		var log bytes.Buffer
		a := newAuditor(o, accounts("refused", "zebra", "panics", "hangs", "hangs and says so", "breaks", "gives nothing", "gives another's", "drifts", "alpha"), &log)
		var last atomic.Int64
		run, err := a.Run(t.Context(), "test", func(done, total int) { last.Store(int64(done*100 + total)) })
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{
			"alpha": "compliant", "zebra": "compliant", "drifts": "drifted", "refused": "denied", "panics": "panic",
			"hangs": "timeout", "hangs and says so": "timeout", "breaks": "rejected", "gives nothing": "rejected", "gives another's": "rejected",
		}
		if got := states(run); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("states\n got %v\nwant %v", got, want)
		}
		if run.Complete || run.Whole() || !run.Drifted() || run.States[rules.StateUnknown] != 7 || run.States[rules.StateWaived] != 0 {
			t.Errorf("run %+v", run.States)
		}
		if last.Load() != 1010 {
			t.Errorf("last progress %d", last.Load())
		}
		if !slices.IsSortedFunc(run.Sweeps, func(a, b auditor.Sweep) int {
			return strings.Compare(a.Report.Account.Name, b.Report.Account.Name)
		}) {
			t.Error("sweeps are not sorted by account")
		}
		if strings.Contains(log.String(), "CANARY") {
			t.Errorf("the value of a panic is in the log:\n%s", log.String())
		}
	})
}

func TestTheRunsDeadlineLeavesTheRestUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		a := newAuditor(observer{observe: func(ctx context.Context, _ rules.Account) (rules.Evidence, error) {
			<-ctx.Done()
			return rules.Evidence{}, ctx.Err()
		}}, accounts("a", "b", "c"), &log)
		a.Concurrency, a.RunTimeout, a.AccountTimeout = 1, 90*time.Second, time.Minute
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := states(run); fmt.Sprint(got) != "map[a:timeout b:timeout c:timeout]" {
			t.Errorf("states %v", got)
		}
		if d := run.EndedAt.Sub(run.StartedAt); d != 90*time.Second {
			t.Errorf("the run took %s", d)
		}
	})
}

func TestASuspectRunIsLoggedWithItsReasons(t *testing.T) {
	failing := false
	o := observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		if failing && a.Name != "a" {
			return rules.Evidence{}, &rules.Unknown{Reason: rules.ReasonTimeout}
		}
		return evidenceOf(t, a, cocID, true), nil
	}}
	var log bytes.Buffer
	list := accounts("a", "b", "c", "d")
	a := newAuditor(o, list, &log)
	a.Before = auditor.NewSnapshot(auditor.Subjects(list, a.Baselines), a.Baselines, time.Hour)
	run := func() *auditor.Run {
		r, err := a.Run(t.Context(), "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Before = a.Before.Next(r)
		return r
	}
	if first := run(); first.Suspect != nil || strings.Contains(log.String(), "suspect") {
		t.Errorf("the first run is suspect: %q", first.Suspect)
	}
	failing = true
	if r := run(); len(r.Suspect) != 1 || !strings.Contains(log.String(), "3 of 4 accounts changed their state") {
		t.Errorf("suspect: %q, log\n%s", r.Suspect, log.String())
	}
	a.Before = nil
	if r, err := a.Run(t.Context(), "test", nil); err != nil || r.Suspect != nil {
		t.Errorf("one-shot: %v, %v", r, err)
	}
}

func TestNoInventoryIsNoRun(t *testing.T) {
	var log bytes.Buffer
	run, err := newAuditor(observer{}, nil, &log).Run(t.Context(), "test", nil)
	if err == nil || run != nil {
		t.Errorf("run %v, err %v", run, err)
	}
}

func TestAnUnconfirmedIdentityDoesNotStopTheOthers(t *testing.T) {
	var log bytes.Buffer
	o := observer{verify: errors.New("another account"), observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		return evidenceOf(t, a, cocID, true), nil
	}}
	run, err := newAuditor(o, accounts("a"), &log).Run(t.Context(), "test", nil)
	if err != nil || !run.Whole() || !strings.Contains(log.String(), "another account") {
		t.Errorf("run %v, err %v, log %s", run, err, log.String())
	}
}

func TestTheFleetIsCountedBeforeAnyoneIsJudged(t *testing.T) {
	var log bytes.Buffer
	o := observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		id := cocID
		if a.Name == "a" {
			id = "ee000000000000000000000000000001"
		}
		return evidenceOf(t, a, id, true), nil
	}}
	run, err := newAuditor(o, accounts("a", "b", "c"), &log).Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := states(run); fmt.Sprint(got) != "map[a:drifted b:compliant c:compliant]" {
		t.Errorf("states %v", got)
	}
}

func TestWithoutACatalogueNothingIsCalledMissing(t *testing.T) {
	var log bytes.Buffer
	o := observer{catalogue: errors.New("403"), observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		return evidenceOf(t, a, cocID, a.Name == "has it"), nil
	}}
	run, err := newAuditor(o, accounts("has it", "lacks it"), &log).Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := states(run); fmt.Sprint(got) != "map[has it:compliant lacks it:incomplete]" {
		t.Errorf("states %v", got)
	}
}

func TestAnUnresolvablePolicyIsAFindingOfTheRunAndNotARead(t *testing.T) {
	var log bytes.Buffer
	a := newAuditor(observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		return evidenceOf(t, a, cocID, false), nil
	}}, accounts("a"), &log)
	a.Observer = unresolving{a.Observer.(observer)}
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(run.Findings) != 1 || run.Findings[0].Rule != rules.RuleUnresolvable || !run.Complete || run.Whole() {
		t.Errorf("run %+v", run)
	}
}

// unresolving is an observer on a site whose catalogue lacks the policy.
type unresolving struct{ observer }

func (unresolving) PolicyIDs(context.Context, []string) (map[string][]string, time.Time, error) {
	return map[string][]string{}, noon, nil
}

// silent is an observer that says nothing of the catalogue.
type silent struct{ observer }

func (silent) PolicyIDs(context.Context, []string) (map[string][]string, time.Time, error) {
	return nil, noon, nil
}

// panicking is an observer with a bug in one place.
type panicking struct {
	observer
	verify, catalogue bool
}

func (p panicking) Verify(context.Context) error {
	if p.verify {
		panic("the secret is SK-CANARY")
	}
	return nil
}

func (p panicking) PolicyIDs(ctx context.Context, names []string) (map[string][]string, time.Time, error) {
	if p.catalogue {
		panic("the secret is SK-CANARY")
	}
	return p.observer.PolicyIDs(ctx, names)
}

func TestAPanicOutsideOfAnAccountCostsNoAccount(t *testing.T) {
	for name, o := range map[string]panicking{"identity": {verify: true}, "catalogue": {catalogue: true}} {
		var log bytes.Buffer
		a := newAuditor(observer{}, accounts("a"), &log)
		o.observe = func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
			return evidenceOf(t, acct, cocID, true), nil
		}
		a.Observer = o
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil || fmt.Sprint(states(run)) != "map[a:compliant]" {
			t.Errorf("%s: run %v, err %v", name, run, err)
		}
		if strings.Contains(log.String(), "CANARY") || !strings.Contains(log.String(), "panic_type=string") {
			t.Errorf("%s: log\n%s", name, log.String())
		}
	}
}

func TestARunThatNoBaselineCouldJudgeIsNotWhole(t *testing.T) {
	var log bytes.Buffer
	a := newAuditor(observer{}, accounts("a"), &log)
	a.Observer = unresolving{observer{observe: func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
		o := rules.Observation{
			Account: acct, AgencyName: "A", StartedAt: time.Unix(1, 0), EndedAt: time.Unix(2, 0), UnfilteredAsked: true,
		}
		return rules.NewEvidence(testBaseline(), rules.Last{}, o)
	}}}
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil || fmt.Sprint(states(run)) != "map[a:not_enabled]" || run.Whole() || run.Drifted() {
		t.Errorf("run %+v, err %v", run, err)
	}
}

// A panic counts as one wherever it was survived: by the auditor, or by the observer, in one of its own goroutines.
func TestAPanicThatTheObserverSurvivedIsCounted(t *testing.T) {
	bug := &rules.Unknown{Reason: rules.ReasonPanic, Detail: "a bug"}
	var places []string
	a := &auditor.Auditor{
		Inventory: inventory{{ID: "1", Name: "one"}, {ID: "2", Name: "two"}, {ID: "3", Name: "three"}}, Baselines: []rules.Baseline{testBaseline()},
		Observer: observer{verify: bug, observe: func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
			switch acct.Name {
			case "one":
				return rules.Evidence{}, fmt.Errorf("read it: %w", bug)
			case "two":
				panic("a bug")
			}
			return evidenceOf(t, acct, cocID, true), nil
		}},
		Logger: slog.New(slog.DiscardHandler), Now: time.Now, Concurrency: 1, RunTimeout: time.Minute, AccountTimeout: time.Minute,
		Panicked: func(where string) { places = append(places, where) },
	}
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(places, ","); got != "identity,read,read" {
		t.Errorf("panics in %s", got)
	}
	if run.States[rules.StateUnknown] != 2 || run.States[rules.StateCompliant] != 1 {
		t.Errorf("states %v", run.States)
	}
}

// A check of the program's own identity that does not come to an end takes the time of one account, not that of the run.
func TestACheckOfTheIdentityThatHangsDoesNotCostTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &auditor.Auditor{
			Inventory: inventory{{ID: "1", Name: "one"}}, Baselines: []rules.Baseline{testBaseline()},
			Observer: hanging{observer{observe: func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
				return evidenceOf(t, acct, cocID, true), nil
			}}},
			Logger: slog.New(slog.DiscardHandler), Now: time.Now, Concurrency: 1, RunTimeout: time.Hour, AccountTimeout: time.Minute,
		}
		began := time.Now()
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != time.Minute || run.States[rules.StateCompliant] != 1 {
			t.Errorf("the run took %s and found %v", took, run.States)
		}
	})
}

// TestWhatIsPutOffIsMadeLater in the same run, when all else has ended, and again as long as something comes of it, but not beyond the run.
func TestWhatIsPutOffIsMadeLater(t *testing.T) {
	for name, tc := range map[string]struct {
		// late is how long the cloud puts each sweep of a later account off, and times how often.
		late      time.Duration
		times     int
		sweeps    int
		compliant int
		took      time.Duration
	}{
		"once":           {10 * time.Minute, 1, 2, 3, 10 * time.Minute},
		"twice":          {10 * time.Minute, 2, 3, 3, 20 * time.Minute},
		"for ever":       {10 * time.Minute, 100, 3, 1, 20 * time.Minute},
		"beyond the run": {time.Hour, 1, 1, 1, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				tries := map[string]int{}
				var mu sync.Mutex
				a := newAuditor(observer{observe: func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
					mu.Lock()
					defer mu.Unlock()
					if tries[acct.Name]++; acct.Name != "now" && tries[acct.Name] <= tc.times {
						return rules.Evidence{}, &auditor.Postponed{
							Until: time.Now().Add(tc.late), Why: &rules.Unknown{Reason: rules.ReasonThrottled, Detail: "later"},
						}
					}
					return evidenceOf(t, acct, cocID, true), nil
				}}, accounts("later", "latest", "now"), &log)
				a.Concurrency = 1
				began := time.Now()
				var dones []int
				run, err := a.Run(t.Context(), "test", func(done, _ int) { dones = append(dones, done) })
				if err != nil {
					t.Fatal(err)
				}
				if run.States[rules.StateCompliant] != tc.compliant || tries["later"] != tc.sweeps || tries["now"] != 1 {
					t.Errorf("%v after %v", states(run), tries)
				}
				if d := time.Since(began); d < tc.took-time.Second || d > tc.took+time.Second {
					t.Errorf("the run took %s", d)
				}
				if !slices.Equal(dones, []int{1, 2, 3}) {
					t.Errorf("progress %v", dones)
				}
				if n := strings.Count(log.String(), "account not read"); n != 3-tc.compliant {
					t.Errorf("log\n%s", log.String())
				}
			})
		})
	}
}

// TestWhatIsPutOffInPartIsMadeAsLongAsSomethingComesOfIt: each time that the cloud asks for a pause it has let some accounts in.
func TestWhatIsPutOffInPartIsMadeAsLongAsSomethingComesOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var until time.Time
		a := newAuditor(observer{observe: func(_ context.Context, acct rules.Account) (rules.Evidence, error) {
			mu.Lock()
			defer mu.Unlock()
			if time.Now().Before(until) {
				return rules.Evidence{}, &auditor.Postponed{Until: until, Why: &rules.Unknown{Reason: rules.ReasonThrottled}}
			}
			until = time.Now().Add(time.Minute)
			return evidenceOf(t, acct, cocID, true), nil
		}}, accounts("a", "b", "c", "d", "e", "f"), &bytes.Buffer{})
		a.Concurrency = 1
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil || run.States[rules.StateCompliant] != 6 {
			t.Errorf("%v, %v", run.States, err)
		}
	})
}

// hanging is an observer whose Verify ends with its context.
type hanging struct{ observer }

func (hanging) Verify(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestWhatIsRequiredIsKnownOnce as long as nothing changes, and never of what changed.
func TestWhatIsRequiredIsKnownOnce(t *testing.T) {
	granted := map[string]bool{"same": true, "lost": true}
	o := observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		return evidenceOf(t, a, cocID, granted[a.Name]), nil
	}}
	list := accounts("lost", "same")
	a := newAuditor(o, list, new(bytes.Buffer))
	a.Before = auditor.NewSnapshot(auditor.Subjects(list, a.Baselines), a.Baselines, time.Hour)
	run := func() (lost, same []rules.Covered) {
		r, err := a.Run(t.Context(), "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		a.Before = a.Before.Next(r)
		return r.Sweeps[0].Report.Required, r.Sweeps[1].Report.Required
	}
	_, same := run()
	granted["lost"] = false
	lost, again := run()
	if len(same) == 0 || &same[0] != &again[0] {
		t.Errorf("what has not changed is kept twice: %v, %v", same, again)
	}
	if len(lost) != 1 || lost[0].Coverage != rules.CoverageMissing {
		t.Errorf("what was lost: %v", lost)
	}
}

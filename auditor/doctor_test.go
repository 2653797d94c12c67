package auditor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// prober probes by a function of the account's name.
type prober struct {
	probe  func(ctx context.Context, name string) auditor.Probe
	verify error
}

func (p prober) Verify(context.Context) error { return p.verify }

func (p prober) Probe(ctx context.Context, a rules.Account, agencies []string) auditor.Probe {
	if !slices.Equal(agencies, []string{"A"}) {
		panic("asked for other agencies")
	}
	return p.probe(ctx, a.Name)
}

func (p prober) Clock() (time.Duration, bool) { return time.Minute, true }

func well() auditor.Probe {
	return auditor.Probe{Tries: []auditor.Try{
		{What: auditor.TryEnter, Outcome: auditor.TryOK}, {What: auditor.TryWhose, Outcome: auditor.TryOK},
		{What: auditor.TryRead, Outcome: auditor.TryOK}, {What: auditor.TryRead, Outcome: auditor.TryAbsent},
	}}
}

func doctor(accounts inventory) *auditor.Auditor {
	return &auditor.Auditor{
		Inventory: accounts, Baselines: []rules.Baseline{testBaseline()}, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Program: "v1",
		Concurrency: 2, RunTimeout: time.Hour, AccountTimeout: time.Minute,
	}
}

// Every account has its probe, in the order of the names, whatever happens in others: a bug costs one account, a prober that hangs
// its time.
func TestDiagnose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := doctor(inventory{{ID: "3", Name: "hangs"}, {ID: "2", Name: "well"}, {ID: "1", Name: "bug"}, {ID: "4", Name: "ill"}})
		var panics []string
		a.Panicked = func(where string) { panics = append(panics, where) }
		var done []int
		d, err := a.Diagnose(t.Context(), prober{probe: func(ctx context.Context, name string) auditor.Probe {
			p := well()
			switch name {
			case "bug":
				panic("secret-value")
			case "ill":
				p.Tries[2].Outcome = auditor.TryFailed
			case "hangs":
				<-ctx.Done()
				p.Tries[0] = auditor.Try{What: auditor.TryEnter, Outcome: auditor.TryFailed, Why: &rules.Unknown{Reason: rules.ReasonTimeout, Detail: context.Cause(ctx).Error()}}
			}
			return p
		}}, func(n, total int) {
			if total != 4 {
				t.Errorf("%d of %d", n, total)
			}
			done = append(done, n)
		})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, p := range d.Probes {
			names = append(names, p.Account.Name)
			if p.Well() != (p.Account.Name == "well") {
				t.Errorf("%s is well: %v", p.Account.Name, p.Well())
			}
		}
		if !slices.Equal(names, []string{"bug", "hangs", "ill", "well"}) || !slices.Equal(done, []int{1, 2, 3, 4}) {
			t.Errorf("%q, progress %v", names, done)
		}
		if why := d.Probes[0].Tries[0].Why; why == nil || why.Reason != rules.ReasonPanic || strings.Contains(why.Detail, "secret") {
			t.Errorf("%+v", why)
		}
		if !slices.Equal(panics, []string{auditor.PlaceRead}) {
			t.Errorf("%q", panics)
		}
		if d.Well() || d.Main != nil || !d.ClockKnown || d.Ahead != time.Minute || d.EndedAt.Sub(d.StartedAt) != time.Minute {
			t.Errorf("%+v", d)
		}
	})
}

// A main identity that is not confirmed is a fault by itself; an inventory that is not known is no diagnosis.
func TestDiagnoseWithoutIdentity(t *testing.T) {
	a := doctor(inventory{{ID: "1", Name: "well"}})
	d, err := a.Diagnose(t.Context(), prober{
		verify: &rules.Unknown{Reason: rules.ReasonUnauthenticated, Detail: "x"},
		probe:  func(context.Context, string) auditor.Probe { return well() },
	}, nil)
	if err != nil || d.Main == nil || d.Well() || !d.Probes[0].Well() {
		t.Errorf("%v %+v", err, d)
	}
	if _, err := doctor(nil).Diagnose(t.Context(), prober{verify: errors.New("x")}, nil); err == nil {
		t.Error("a diagnosis without an inventory")
	}
}

// refused is an inventory of which nothing is known.
type refused struct{ why error }

func (r refused) Accounts(context.Context) (auditor.Listing, error) { return auditor.Listing{}, r.why }

// That no account is known is what a doctor finds, with what to do about it.
func TestDiagnoseOfNothing(t *testing.T) {
	a := doctor(nil)
	a.Inventory = refused{fmt.Errorf("wrapped: %w", &rules.Unknown{Reason: rules.ReasonDenied, Detail: "x", Remedy: "y"})}
	d, err := a.Diagnose(t.Context(), prober{}, nil)
	if err != nil || d.Well() || len(d.Probes) != 0 || len(d.Gaps) != 1 || d.Gaps[0].Remedy != "y" {
		t.Errorf("%v %+v", err, d)
	}
	a.Inventory = refused{errors.New("broken")}
	if _, err := a.Diagnose(t.Context(), prober{}, nil); err == nil {
		t.Error("a diagnosis of a broken inventory")
	}
}

// fixed is an inventory that says just this.
type fixed struct{ is auditor.Listing }

func (l fixed) Accounts(context.Context) (auditor.Listing, error) { return l.is, nil }

// Accounts that vanished are not probed and not well; a list that is not whole is a fault, and what is left alone is none.
func TestDiagnoseListing(t *testing.T) {
	a := doctor(nil)
	l := auditor.Listing{
		Accounts: []rules.Account{{ID: "2", Name: "well"}}, Vanished: []auditor.Absence{{Account: rules.Account{ID: "1", Name: "lost"}, Detail: "no longer listed"}},
		Excluded: []auditor.Exclusion{{Account: rules.Account{ID: "3", Name: "closed"}, Reason: auditor.ExcludedSuspended}}, Notes: []string{"odd"},
	}
	probe := func(_ context.Context, name string) auditor.Probe {
		if name != "well" {
			t.Errorf("%s is probed", name)
		}
		return well()
	}
	diagnose := func() *auditor.Diagnosis {
		a.Inventory = fixed{l}
		d, err := a.Diagnose(t.Context(), prober{probe: probe}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := diagnose()
	if len(d.Probes) != 2 || d.Well() || d.Probes[0].Well() || d.Probes[0].Tries[0].Why.Reason != rules.ReasonVanished || len(d.Excluded) != 1 || len(d.Notes) != 1 {
		t.Errorf("%+v", d)
	}
	l.Vanished = nil
	if d := diagnose(); !d.Well() {
		t.Errorf("%+v", d)
	}
	l.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "x"}}
	if d := diagnose(); d.Well() || len(d.Gaps) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestHeadroom(t *testing.T) {
	for _, c := range []struct {
		requests  int
		perSecond float64
		want      time.Duration
	}{{6000, 200, 30 * time.Second}, {6000, 0, 0}, {3, 0.5, 6 * time.Second}, {0, 8, 0}} {
		if got := (auditor.Headroom{Requests: c.requests, PerSecond: c.perSecond}).Takes(); got != c.want {
			t.Errorf("%d at %v a second take %v", c.requests, c.perSecond, got)
		}
	}
}

// What one account reads for all is needed by each that has an agency as soon as no account is told it.
func TestDiagnoseWhatOneReadsForAll(t *testing.T) {
	probes := map[string]auditor.Probe{}
	for name, has := range map[string]bool{"one": true, "two": true, "without": false} {
		p := well()
		p.Agencies = map[string]bool{"A": has}
		p.Tries[2].Outcome, p.Tries[2].Maybe, p.Tries[2].Shared = auditor.TryFailed, true, true
		probes[name] = p
	}
	readable := func() (names []string) {
		d, err := doctor(inventory{{ID: "1", Name: "one"}, {ID: "2", Name: "two"}, {ID: "3", Name: "without"}}).Diagnose(t.Context(),
			prober{probe: func(_ context.Context, name string) auditor.Probe {
				p := probes[name]
				p.Tries = slices.Clone(p.Tries)
				return p
			}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range d.Probes {
			if d.Probes[i].Readable() {
				names = append(names, d.Probes[i].Account.Name)
			}
		}
		return names
	}
	if got := readable(); !slices.Equal(got, []string{"without"}) {
		t.Errorf("nobody is told: readable are %q", got)
	}
	probes["two"].Tries[2].Outcome = auditor.TryOK
	if got := readable(); !slices.Equal(got, []string{"one", "two", "without"}) {
		t.Errorf("one is told: readable are %q", got)
	}
	probes["one"].Tries[1].Outcome = auditor.TryUntried
	if got := readable(); !slices.Equal(got, []string{"two", "without"}) {
		t.Errorf("whose a key is, is not known: readable are %q", got)
	}
}

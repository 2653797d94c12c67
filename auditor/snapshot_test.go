package auditor_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const maxAge = time.Hour

// base requires two grants.
func base() rules.Baseline {
	return rules.Baseline{Name: "coc", Agency: "A", Digest: "1", Required: []rules.Requirement{
		{Policy: "P", Scope: rules.Global}, {Policy: "Q", Scope: rules.AllResources},
	}}
}

var acct = rules.Account{ID: "1", Name: "one"}

func start() *auditor.Snapshot {
	b := []rules.Baseline{base()}
	return auditor.NewSnapshot(auditor.Subjects([]rules.Account{acct}, b), b, maxAge)
}

// sweep is one pass over the account that ends in evidence; with a reason, in evidence that could not be judged whole.
func sweep(at time.Time, state rules.State, why rules.Reason, p, q rules.Coverage, findings ...rules.Finding) auditor.Sweep {
	r := rules.Report{
		Account: acct, Baseline: "coc", AgencyName: "A", Agency: &rules.Agency{ID: "g"}, State: state, Findings: findings,
	}
	if why != "" {
		r.Unknown = &rules.Unknown{Reason: why}
	}
	for i, c := range []rules.Coverage{p, q} {
		if c != "" {
			r.Required = append(r.Required, rules.Covered{Policy: base().Required[i].Policy, Scope: base().Required[i].Scope, Coverage: c})
		}
	}
	return auditor.Sweep{StartedAt: at, EndedAt: at.Add(time.Second), Report: r, RequestIDs: []string{"r"}}
}

// dark is a pass over the account that read nothing.
func dark(at time.Time, why rules.Reason) auditor.Sweep {
	return auditor.Sweep{StartedAt: at, EndedAt: at, Report: rules.Report{
		Account: acct, Baseline: "coc", AgencyName: "A", State: rules.StateUnknown, Unknown: &rules.Unknown{Reason: why},
	}}
}

func runOf(sweeps ...auditor.Sweep) *auditor.Run {
	r := &auditor.Run{Complete: true, Sweeps: sweeps, Baselines: []rules.Baseline{base()}}
	for i := range sweeps {
		r.EndedAt = sweeps[i].EndedAt
		if u := sweeps[i].Report.Unknown; u != nil && u.Reason != rules.ReasonUnresolvable {
			r.Complete = false
		}
	}
	return r
}

// words are what the one standing says of the two grants, and of its findings.
func words(st *auditor.Standing) string {
	s := ""
	for _, c := range st.Required {
		s += c.Policy + "=" + string(c.Coverage) + " "
	}
	for _, f := range st.Findings {
		s += f.Rule + " "
	}
	return s
}

func TestBadNewsSticksAndGoodNewsExpires(t *testing.T) {
	const exact, missing, wider = rules.CoverageExact, rules.CoverageMissing, rules.CoverageWider
	trust := rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical}
	excess := rules.Finding{Rule: rules.RuleExcess, Severity: rules.Warning}
	lacks := rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global}
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		runs  []*auditor.Run
		state rules.State
		why   rules.Reason
		says  string
	}{
		"nothing was read": {nil, rules.StateUnknown, rules.ReasonStale, ""},
		"compliant":        {[]*auditor.Run{runOf(sweep(at(0), rules.StateCompliant, "", exact, wider))}, rules.StateCompliant, "", "P=exact Q=wider "},
		"drift and then nothing read": {
			[]*auditor.Run{
				runOf(sweep(at(0), rules.StateDrifted, "", missing, exact, trust, excess)), runOf(dark(at(1), rules.ReasonTimeout)),
			},
			rules.StateUnknown, rules.ReasonTimeout, "P=missing Q=exact trust/mismatch grant/excess ",
		},
		"repaired": {
			[]*auditor.Run{
				runOf(sweep(at(0), rules.StateDrifted, "", missing, exact, trust, excess)), runOf(sweep(at(1), rules.StateCompliant, "", exact, exact)),
			},
			rules.StateCompliant, "", "P=exact Q=exact ",
		},
		"evidence that cannot decide one grant keeps what was wrong of it, and drops what it refutes": {
			[]*auditor.Run{
				runOf(sweep(at(0), rules.StateDrifted, "", missing, missing, lacks, excess)),
				runOf(sweep(at(1), rules.StateUnknown, rules.ReasonUnresolvable, "", exact)),
			},
			rules.StateUnknown, rules.ReasonUnresolvable, "Q=exact P=missing grant/missing ",
		},
		"and what such evidence finds itself goes beside it, the worst first": {
			[]*auditor.Run{
				runOf(sweep(at(0), rules.StateDrifted, "", missing, missing, lacks)),
				runOf(sweep(at(1), rules.StateUnknown, rules.ReasonUnresolvable, "", exact, trust, excess)),
			},
			rules.StateUnknown, rules.ReasonUnresolvable, "Q=exact P=missing trust/mismatch grant/missing grant/excess ",
		},
		"evidence that cannot decide the trust keeps the mismatch": {
			[]*auditor.Run{
				runOf(sweep(at(0), rules.StateDrifted, "", exact, exact, trust)),
				runOf(sweep(at(1), rules.StateUnknown, rules.ReasonIncomplete, exact, exact, excess)),
			},
			rules.StateUnknown, rules.ReasonIncomplete, "P=exact Q=exact trust/mismatch grant/excess ",
		},
		"a run that left the account out": {
			[]*auditor.Run{runOf(sweep(at(0), rules.StateDrifted, "", missing, exact)), runOf()},
			rules.StateUnknown, rules.ReasonVanished, "P=missing Q=exact ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := start()
			for _, r := range c.runs {
				s = s.Next(r)
			}
			st := &s.Standings[0]
			state, why := st.At(at(10), maxAge)
			if state != c.state || (why == nil) != (c.why == "") || why != nil && why.Reason != c.why {
				t.Errorf("state %s (%v), want %s (%s)", state, why, c.state, c.why)
			}
			if got := words(st); got != c.says {
				t.Errorf("it says %q, want %q", got, c.says)
			}
			sum := 0
			for _, n := range s.Count(at(10)) {
				sum += n
			}
			if sum != len(s.Standings) {
				t.Errorf("the states sum to %d, of %d", sum, len(s.Standings))
			}
		})
	}
}

// What is kept is as old as the reading that it rests on, and not as young as the last one.
func TestWhatIsKeptKeepsItsAge(t *testing.T) {
	const exact, missing = rules.CoverageExact, rules.CoverageMissing
	trust := rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical}
	lacks := rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global}
	excess := rules.Finding{Rule: rules.RuleExcess, Severity: rules.Warning, PolicyID: "x"}
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	s := start().Next(runOf(sweep(at(0), rules.StateDrifted, "", missing, exact, trust, lacks)))
	ages := func(want map[string]int) {
		t.Helper()
		st := &s.Standings[0]
		got := map[string]int{}
		for _, f := range st.Findings {
			got[f.Rule] = int(st.FoundAt(f).Sub(noon).Minutes())
		}
		for _, c := range st.Required {
			got[c.Policy] = int(st.CoveredAt(c).Sub(noon).Minutes())
		}
		if !maps.Equal(got, want) {
			t.Errorf("read at minute %v, want %v", got, want)
		}
	}
	ages(map[string]int{"trust/mismatch": 0, "grant/missing": 0, "P": 0, "Q": 0})
	// Nothing is read: all of it stays, and gets older.
	s = s.Next(runOf(dark(at(1), rules.ReasonTimeout)))
	ages(map[string]int{"trust/mismatch": 0, "grant/missing": 0, "P": 0, "Q": 0})
	// Evidence that cannot decide trust and P, twice: both are of the first reading still.
	for n := 2; n < 4; n++ {
		s = s.Next(runOf(sweep(at(n), rules.StateUnknown, rules.ReasonUnresolvable, "", exact, excess)))
		ages(map[string]int{"trust/mismatch": 0, "grant/missing": 0, "grant/excess": n, "P": 0, "Q": n})
	}
	s = s.Next(runOf(sweep(at(4), rules.StateDrifted, "", missing, exact, lacks)))
	ages(map[string]int{"grant/missing": 4, "P": 4, "Q": 4})
	s = s.Next(runOf(sweep(at(5), rules.StateUnknown, rules.ReasonUnresolvable, "", exact)))
	ages(map[string]int{"grant/missing": 4, "P": 4, "Q": 5})
}

// TestAnotherTrustedAccountIsSomethingNew: that somebody else is trusted than who is accepted is not accepted with them, and is as old as the
// reading that first showed it, also while the account is unknown since the cloud does not name them.
func TestAnotherTrustedAccountIsSomethingNew(t *testing.T) {
	const exact = rules.CoverageExact
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	waivers := []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleTrustMismatch}, Trusts: []string{"contractor", "second"},
		Added: noon, Expires: at(60),
	}}
	pass := func(n int, trusts string, state rules.State, why rules.Reason) auditor.Sweep {
		mismatch := []rules.Finding{{Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Trusts: trusts, Message: "It trusts " + trusts}}
		if why != "" {
			mismatch = nil
		}
		s := sweep(at(n), state, why, exact, exact, mismatch...)
		s.Report.Agency.Trust.ID = trusts
		rules.Accept(&s.Report, waivers, at(n))
		return s
	}
	s := start().Accept(waivers, noon)
	before := s
	for n, c := range []struct {
		sweep  auditor.Sweep
		state  rules.State
		trusts string
		waived bool
		since  int
	}{
		{pass(0, "contractor", rules.StateDrifted, ""), rules.StateWaived, "contractor", true, 0},
		{pass(1, "contractor", rules.StateDrifted, ""), rules.StateWaived, "contractor", true, 0},
		{pass(2, "intruder", rules.StateDrifted, ""), rules.StateDrifted, "intruder", false, 2},
		{dark(at(3), rules.ReasonTimeout), rules.StateUnknown, "intruder", false, 2},
		{pass(4, "contractor", rules.StateDrifted, ""), rules.StateWaived, "contractor", true, 4},
		{dark(at(5), rules.ReasonTimeout), rules.StateUnknown, "contractor", true, 4},
		{pass(6, "contractor", rules.StateUnknown, rules.ReasonIncomplete), rules.StateUnknown, "contractor", true, 4},
		{pass(7, "intruder", rules.StateUnknown, rules.ReasonIncomplete), rules.StateUnknown, "intruder", false, 7},
		{pass(8, "second", rules.StateUnknown, rules.ReasonIncomplete), rules.StateUnknown, "second", true, 8},
		{pass(9, "intruder", rules.StateDrifted, ""), rules.StateDrifted, "intruder", false, 9},
	} {
		s = s.Next(runOf(c.sweep))
		st := &s.Standings[0]
		if state, _ := st.At(at(n), maxAge); state != c.state || len(st.Findings) != 1 {
			t.Fatalf("minute %d: %s, %+v", n, state, st.Findings)
		}
		f := &st.Findings[0]
		if f.Trusts != c.trusts || f.WaivedAt(at(n)) != c.waived || !st.Since(f).Equal(at(c.since)) {
			t.Errorf("minute %d: trusting %s, accepted: %t, since %s", n, f.Trusts, f.WaivedAt(at(n)), st.Since(f))
		}
		if !strings.Contains(f.Message, c.trusts) {
			t.Errorf("minute %d: trusting %s, and it says: %s", n, c.trusts, f.Message)
		}
		if moved := s.Moved(before); n == 2 && !moved || n == 1 && moved {
			t.Errorf("minute %d: anything changed: %t", n, moved)
		}
		before = s
	}
}

// TestWhatIsNotReadIsAcceptedAsTheAccountIsNow: an account that cannot be read is renamed, moved and tagged all the same, and a waiver begins.
func TestWhatIsNotReadIsAcceptedAsTheAccountIsNow(t *testing.T) {
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	lab := acct
	lab.Name, lab.OU, lab.Tags = "lab-1", "Lab", []rules.Tag{{Key: "env", Value: "lab"}}
	named, moved, tagged := lab, lab, lab
	named.Name, moved.OU, tagged.Tags = "prod-1", "Production", nil
	waiver := rules.Waiver{
		ID: "w", Rules: []string{rules.RuleMissing}, Added: noon, Expires: at(60),
		Selector: rules.Selector{Accounts: []string{"lab-*"}, OUs: []string{"Lab"}, Tags: map[string][]string{"env": {"lab"}}},
	}
	later := waiver
	later.Added = at(1)
	for name, c := range map[string]struct {
		waiver   rules.Waiver
		then     rules.Account
		unlisted bool
		was, is  bool
	}{
		"the same": {waiver, lab, false, true, true}, "renamed": {waiver, named, false, true, false}, "moved": {waiver, moved, false, true, false},
		"tagged": {waiver, tagged, false, true, false}, "begun": {later, lab, false, false, true}, "begun, and not listed": {later, lab, true, false, true},
	} {
		found := sweep(noon, rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageExact,
			rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global})
		found.Report.Account = lab
		rules.Accept(&found.Report, []rules.Waiver{c.waiver}, noon)
		s := start().Accept([]rules.Waiver{c.waiver}, noon).Next(runOf(found))
		unread := dark(at(2), rules.ReasonTimeout)
		unread.Report.Account = c.then
		run := runOf(unread)
		if c.unlisted {
			run.Sweeps = nil
		}
		next := s.Next(run)
		if was, is := s.Standings[0].Findings[0].WaivedAt(noon), next.Standings[0].Findings[0].WaivedAt(at(2)); was != c.was || is != c.is {
			t.Errorf("%s: it was accepted: %t, want %t; and then: %t, want %t", name, was, c.was, is, c.is)
		}
	}
}

// Where the agency must be and is not, nothing of it is there; where it need not be, nothing is said.
func TestAbsentAgencies(t *testing.T) {
	for require, want := range map[bool]string{true: "P=missing Q=missing agency/absent ", false: ""} {
		a := acct
		a.RequireAgency = require
		state, findings := rules.StateNotEnabled, []rules.Finding(nil)
		if require {
			state, findings = rules.StateDrifted, []rules.Finding{{Rule: rules.RuleAbsent}}
		}
		gone := auditor.Sweep{StartedAt: noon, RequestIDs: []string{"r"}, Report: rules.Report{
			Account: a, Baseline: "coc", AgencyName: "A", State: state, Findings: findings,
		}}
		s := start().Next(runOf(sweep(noon, rules.StateCompliant, "", "exact", "exact"))).Next(runOf(gone))
		if got := words(&s.Standings[0]); got != want {
			t.Errorf("required %t: it says %q, want %q", require, got, want)
		}
	}
}

func TestEvidenceThatIsTooOldIsUnknown(t *testing.T) {
	s := start().Next(runOf(sweep(noon, rules.StateCompliant, "", "exact", "exact")))
	at := s.StaleAt(noon)
	if !at.Equal(noon.Add(maxAge)) {
		t.Fatalf("stale at %s", at)
	}
	st := &s.Standings[0]
	if state, _ := st.At(at.Add(-time.Nanosecond), maxAge); state != rules.StateCompliant {
		t.Errorf("just before: %s", state)
	}
	if state, why := st.At(at, maxAge); state != rules.StateUnknown || why.Reason != rules.ReasonStale {
		t.Errorf("at that instant: %s", state)
	}
	if next := s.StaleAt(at); !next.IsZero() {
		t.Errorf("the next one is stale at %s, and there is none", next)
	}
	// What is unknown stays so for its own reason.
	dim := s.Next(runOf(dark(noon, rules.ReasonDenied)))
	if _, why := dim.Standings[0].At(at, maxAge); why.Reason != rules.ReasonDenied {
		t.Errorf("reason %s", why.Reason)
	}
}

// readings are two readings of the clock between which the wall clock has gone on more than the monotonic one, or less. The
// two are never read at the very same instant, so that such readings come by themselves.
func readings(t *testing.T, more bool) (first, second time.Time) {
	t.Helper()
	for range 10_000_000 {
		first, second = time.Now(), time.Now()
		if d := second.Round(0).Sub(first.Round(0)) - second.Sub(first); d != 0 && d > 0 == more {
			return first, second
		}
	}
	t.Fatal("the wall clock and the monotonic one never differ")
	return first, second
}

// A clock that is set back makes nothing younger, and neither does a machine that was suspended, whose monotonic clock stands
// still: the clock counts that says more.
func TestNoClockMakesEvidenceYounger(t *testing.T) {
	for _, more := range []bool{true, false} {
		first, second := readings(t, more)
		greatest := max(second.Sub(first), second.Round(0).Sub(first.Round(0)))
		s := start().Next(runOf(sweep(first, rules.StateCompliant, "", "exact", "exact")))
		if state, _ := s.Standings[0].At(second, greatest); state != rules.StateUnknown {
			t.Errorf("as old as may be by the clock that says more (the wall's: %t): %s", more, state)
		}
		if state, _ := s.Standings[0].At(second, greatest+1); state != rules.StateCompliant {
			t.Errorf("not as old as may be by either clock: %s", state)
		}
	}
}

// A run that judged the subject by another baseline is none that judged it.
func TestARunByAnotherBaselineSaysNothing(t *testing.T) {
	other := sweep(noon.Add(time.Minute), rules.StateCompliant, "", "exact", "exact")
	other.Report.Baseline = "other"
	s := start().Next(runOf(sweep(noon, rules.StateDrifted, "", "missing", "exact"))).Next(runOf(other))
	if state, why := s.Standings[0].At(noon, maxAge); state != rules.StateUnknown || why.Reason != rules.ReasonVanished || words(&s.Standings[0]) != "P=missing Q=exact " {
		t.Errorf("state %s (%v): %q", state, why, words(&s.Standings[0]))
	}
}

func TestUnknownSinceTheFirstOfTheRunsThatCouldNotJudge(t *testing.T) {
	s := start().Next(runOf(dark(noon, rules.ReasonTimeout))).Next(runOf(dark(noon.Add(time.Minute), rules.ReasonDenied)))
	if !s.Standings[0].UnknownSince.Equal(noon) {
		t.Errorf("unknown since %s", s.Standings[0].UnknownSince)
	}
	if s = s.Next(runOf(sweep(noon.Add(2*time.Minute), rules.StateCompliant, "", "exact", "exact"))); !s.Standings[0].UnknownSince.IsZero() {
		t.Errorf("unknown since %s, and it is compliant", s.Standings[0].UnknownSince)
	}
	if !s.CompletedAt.Equal(s.Run.EndedAt) {
		t.Errorf("completed at %s", s.CompletedAt)
	}
	if again := s.Next(runOf(dark(noon.Add(3*time.Minute), rules.ReasonDenied))); !again.CompletedAt.Equal(s.CompletedAt) {
		t.Error("a run that was not complete moved the time of the last complete one")
	}
}

func TestAChangeOfConfiguration(t *testing.T) {
	other := rules.Account{ID: "2", Name: "two"}
	b := []rules.Baseline{base()}
	s := start().Next(runOf(sweep(noon, rules.StateDrifted, "", "missing", "exact", rules.Finding{Rule: rules.RuleExcess})))

	grown := s.Expect(auditor.Subjects([]rules.Account{acct, other}, b), b, maxAge)
	if state, _ := grown.Standings[0].At(noon, maxAge); state != rules.StateDrifted || words(&grown.Standings[0]) != "P=missing Q=exact grant/excess " {
		t.Errorf("the account that stayed: %s, %q", state, words(&grown.Standings[0]))
	}
	if state, why := grown.Standings[1].At(noon, maxAge); state != rules.StateUnknown || why.Reason != rules.ReasonStale {
		t.Errorf("the new account: %s", state)
	}
	if gone := s.Expect(auditor.Subjects([]rules.Account{other}, b), b, maxAge); len(gone.Standings) != 1 || words(&gone.Standings[0]) != "" {
		t.Error("the account that left is still there")
	}

	// By another baseline nothing is known to be right, and what it does not require is not missing.
	strict := base()
	strict.Digest, strict.Required = "2", append(strict.Required[:1:1], rules.Requirement{Policy: "R", Scope: rules.Global})
	judged := s.Expect(auditor.Subjects([]rules.Account{acct}, []rules.Baseline{strict}), []rules.Baseline{strict}, maxAge)
	lacks := sweep(noon, rules.StateDrifted, "", "missing", "missing", rules.Finding{Rule: rules.RuleMissing, Policy: "P", Scope: rules.Global},
		rules.Finding{Rule: rules.RuleMissing, Policy: "Q", Scope: rules.AllResources})
	if got := start().Next(runOf(lacks)).Expect(auditor.Subjects([]rules.Account{acct}, []rules.Baseline{strict}), []rules.Baseline{strict}, maxAge); words(&got.Standings[0]) != "P=missing grant/missing " {
		t.Errorf("by another baseline: %q", words(&got.Standings[0]))
	}
	if state, _ := judged.Standings[0].At(noon, maxAge); state != rules.StateUnknown || words(&judged.Standings[0]) != "P=missing grant/excess " {
		t.Errorf("by another baseline: %s, %q", state, words(&judged.Standings[0]))
	}
	// Nor is it where rules weigh more or less than before, or where the agency must be that need not have been.
	weighty := base()
	weighty.Severities = map[string]rules.Severity{rules.RuleWider: rules.Warning}
	allowing := base()
	allowing.Overlays = []string{"an overlay"}
	needed := acct
	needed.RequireAgency = true
	for name, c := range map[string]struct {
		account  rules.Account
		baseline rules.Baseline
	}{"severities": {acct, weighty}, "overlays": {acct, allowing}, "require_agency": {needed, base()}} {
		judged := s.Expect(auditor.Subjects([]rules.Account{c.account}, []rules.Baseline{c.baseline}), []rules.Baseline{c.baseline}, maxAge)
		if state, _ := judged.Standings[0].At(noon, maxAge); state != rules.StateUnknown || words(&judged.Standings[0]) != "P=missing grant/excess " {
			t.Errorf("by other %s: %s, %q", name, state, words(&judged.Standings[0]))
		}
		if again := judged.Expect(auditor.Subjects([]rules.Account{c.account}, []rules.Baseline{c.baseline}), []rules.Baseline{c.baseline}, maxAge); !reflect.DeepEqual(again.Standings[0].Account, c.account) {
			t.Errorf("%s: the account is the old one", name)
		}
	}
	// A baseline of another name that judges the same agency is another one.
	renamed := base()
	renamed.Name = "other"
	if judged := s.Expect(auditor.Subjects([]rules.Account{acct}, []rules.Baseline{renamed}), []rules.Baseline{renamed}, maxAge); words(&judged.Standings[0]) != "" {
		t.Errorf("by a baseline of another name: %q", words(&judged.Standings[0]))
	}
	// The last run stays, and its evidence is good for as long as the new configuration says.
	shorter := s.Expect(auditor.Subjects([]rules.Account{acct}, b), b, maxAge/2)
	if shorter.MaxAge != maxAge/2 || shorter.Run != s.Run || !shorter.CompletedAt.Equal(s.CompletedAt) {
		t.Errorf("max_age %s, run %v, complete at %s", shorter.MaxAge, shorter.Run, shorter.CompletedAt)
	}
	// The snapshot that was is as it was.
	if words(&s.Standings[0]) != "P=missing Q=exact grant/excess " {
		t.Errorf("the old snapshot says %q", words(&s.Standings[0]))
	}
}

func TestASnapshotThatMoved(t *testing.T) {
	lacks := rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global}
	at := noon
	next := func(s *auditor.Snapshot, sweep auditor.Sweep) *auditor.Snapshot { return s.Next(runOf(sweep)) }
	good := func() auditor.Sweep {
		at = at.Add(time.Minute)
		return sweep(at, rules.StateCompliant, "", rules.CoverageExact, rules.CoverageExact)
	}
	none := start()
	first := next(none, good())
	again := next(first, good())
	drifted := next(again, sweep(at.Add(time.Minute), rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageExact, lacks))
	unread := next(drifted, dark(at.Add(2*time.Minute), rules.ReasonTimeout))
	refused := next(unread, dark(at.Add(3*time.Minute), rules.ReasonDenied))
	for name, tc := range map[string]struct {
		is, was *auditor.Snapshot
		want    bool
	}{
		"the first run": {first, none, true}, "nothing": {again, first, false}, "a finding": {drifted, again, true},
		"no evidence": {unread, drifted, true}, "another reason": {refused, unread, true}, "as it was": {drifted, drifted, false},
	} {
		if got := tc.is.Moved(tc.was); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

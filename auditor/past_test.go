package auditor_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// remembered is what a history would remember of the account after these runs.
func remembered(runs ...*auditor.Run) *auditor.Past {
	s := start()
	for _, r := range runs {
		s = s.Next(r)
	}
	st := &s.Standings[0]
	m := auditor.Remembered{Subject: st.Subject, Evidence: st.Evidence, UnknownSince: st.UnknownSince}
	for i := range st.Findings {
		m.Findings = append(m.Findings, auditor.Stuck{Finding: st.Findings[i], Since: st.Since(&st.Findings[i])})
	}
	return &auditor.Past{CompletedAt: s.CompletedAt, Subjects: []auditor.Remembered{m}}
}

func restore(past *auditor.Past, b rules.Baseline) *auditor.Snapshot {
	bs := []rules.Baseline{b}
	return auditor.Restore(auditor.Subjects([]rules.Account{acct}, bs), bs, maxAge, past)
}

func TestNothingIsRightAfterARestart(t *testing.T) {
	const exact, wider = rules.CoverageExact, rules.CoverageWider
	for name, sweep := range map[string]auditor.Sweep{
		"compliant":   sweep(noon, rules.StateCompliant, "", exact, wider),
		"not enabled": {StartedAt: noon, Report: rules.Report{Account: acct, Baseline: "coc", AgencyName: "A", State: rules.StateNotEnabled}, RequestIDs: []string{"r"}},
		"waived":      sweep(noon, rules.StateWaived, "", exact, exact, rules.Finding{Rule: rules.RuleExcess, Severity: rules.Warning}),
	} {
		t.Run(name, func(t *testing.T) {
			s := restore(remembered(runOf(sweep)), base())
			st := &s.Standings[0]
			if state, why := st.At(noon.Add(time.Minute), maxAge); state != rules.StateUnknown || why == nil || why.Reason != rules.ReasonStale {
				t.Errorf("it is %s (%v)", state, why)
			}
			if len(st.Required) > 0 {
				t.Errorf("it says %v of grants", st.Required)
			}
			if st.Last != nil || s.Run != nil {
				t.Error("it has a run")
			}
			if st.Evidence == nil || !st.Evidence.Replayed || !st.ReadAt().Equal(noon) {
				t.Errorf("the last evidence is %+v", st.Evidence)
			}
			// A run that cannot read it makes nothing right of it, either.
			st = &s.Next(runOf(dark(noon.Add(time.Minute), rules.ReasonTimeout))).Standings[0]
			if state, _ := st.At(noon.Add(time.Minute), maxAge); state != rules.StateUnknown || len(st.Required) > 0 {
				t.Errorf("after a run that read nothing it is %s and says %v", state, st.Required)
			}
		})
	}
}

func TestBadNewsOutlivesARestart(t *testing.T) {
	trust := rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical}
	lacks := rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global}
	past := remembered(
		runOf(sweep(noon, rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageExact, lacks)),
		runOf(sweep(noon.Add(time.Minute), rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageExact, trust, lacks)),
		runOf(dark(noon.Add(2*time.Minute), rules.ReasonTimeout)),
	)
	s := restore(past, base())
	st := &s.Standings[0]
	if got := words(st); got != "P=missing trust/mismatch grant/missing " {
		t.Errorf("it says %q", got)
	}
	if !st.Since(&lacks).Equal(noon) || !st.Since(&trust).Equal(noon.Add(time.Minute)) || !st.FoundAt(lacks).Equal(noon.Add(time.Minute)) {
		t.Errorf("since %s and %s, found at %s", st.Since(&lacks), st.Since(&trust), st.FoundAt(lacks))
	}
	if !st.UnknownSince.Equal(noon.Add(2 * time.Minute)) {
		t.Errorf("unknown since %s", st.UnknownSince)
	}
	if !s.CompletedAt.Equal(past.CompletedAt) || s.CompletedAt.IsZero() {
		t.Errorf("the last complete run ended at %s, want %s", s.CompletedAt, past.CompletedAt)
	}
	// The first evidence after it refutes, or goes on.
	st = &s.Next(runOf(sweep(noon.Add(time.Hour), rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageExact, lacks))).Standings[0]
	if got := words(st); got != "P=missing Q=exact grant/missing " || !st.Since(&lacks).Equal(noon) {
		t.Errorf("afterwards it says %q, since %s", got, st.Since(&lacks))
	}
}

func TestARestartWithAnotherBaseline(t *testing.T) {
	lacks := rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global}
	excess := rules.Finding{Rule: rules.RuleExcess, Severity: rules.Warning, Policy: "X", PolicyID: "x", Scope: rules.Global}
	past := remembered(runOf(sweep(noon, rules.StateDrifted, "", rules.CoverageMissing, rules.CoverageMissing, lacks, excess)))
	past.Catalogue = []auditor.Resolution{
		{Baseline: "coc", Policy: "P", At: noon, Lacking: []rules.Finding{{Rule: rules.RuleUnresolvable, Policy: "P"}}},
		{Baseline: "coc", Policy: "Q", At: noon, Lacking: []rules.Finding{{Rule: rules.RuleUnresolvable, Policy: "Q"}}},
		{Baseline: "coc", Policy: "Q", At: noon},
		{Baseline: "other", Policy: "Q", At: noon, Lacking: []rules.Finding{{Rule: rules.RuleUnresolvable, Policy: "Q"}}},
	}
	b := base()
	b.Required = b.Required[1:]
	s := restore(past, b)
	if got := words(&s.Standings[0]); got != "Q=missing grant/excess " {
		t.Errorf("it says %q of what is still required", got)
	}
	if len(s.Catalogue) != 1 || s.Catalogue[0].Policy != "Q" || len(s.Catalogue[0].Lacking) != 1 {
		t.Errorf("of the catalogue it says %+v", s.Catalogue)
	}
	b.Name = "renamed"
	if got := words(&restore(past, b).Standings[0]); got != "" {
		t.Errorf("of an account that is judged by another baseline it says %q", got)
	}
	if got := words(&restore(nil, b).Standings[0]); got != "" {
		t.Errorf("without a past it says %q", got)
	}
}

// TestSecondWitnessAfterARestart shows that the last evidence is asked after, as if the program had gone on.
func TestSecondWitnessAfterARestart(t *testing.T) {
	evidence := sweep(noon, rules.StateCompliant, "", rules.CoverageExact, rules.CoverageExact)
	evidence.Planes = []rules.Plane{{Kind: rules.Global, State: rules.PlaneRead}}
	o := &lastAsked{observer: observer{observe: func(context.Context, rules.Account) (rules.Evidence, error) {
		return rules.Evidence{}, &rules.Unknown{Reason: rules.ReasonTimeout}
	}}}
	a := newAuditor(o.observer, inventory{acct}, &bytes.Buffer{})
	a.Observer, a.Before = o, restore(remembered(runOf(evidence)), base())
	if _, err := a.Run(t.Context(), "test", nil); err != nil {
		t.Fatal(err)
	}
	asked := o.last
	if !asked.Known || !reflect.DeepEqual(asked.Agency, evidence.Report.Agency) || !reflect.DeepEqual(asked.Planes, evidence.Planes) {
		t.Errorf("the reader was told %+v of the last evidence", asked)
	}
}

// lastAsked is an observer that keeps the last evidence that it was told of.
type lastAsked struct {
	observer
	last rules.Last
}

func (o *lastAsked) Observe(
	ctx context.Context, a rules.Account, b rules.Baseline, last rules.Last,
) (rules.Evidence, auditor.Trail, error) {
	o.last = last
	return o.observer.Observe(ctx, a, b, last)
}

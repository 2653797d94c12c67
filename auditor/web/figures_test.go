package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The figures of the first page, of a fleet with an account in each state, of which two lack a policy and hold one too many.
func TestFigures(t *testing.T) {
	s := open(t)
	expect(t, page(t, s.ask("GET", "/")),
		"50 % of the accounts in which the service is to be in order (2 of 4) are compliant or waived.",
		"The oldest drift has stood for 4 min , since 2026-03-01 11:59:00 UTC: account-drifted , excess Tenant Administrator (project project-name).",
		"Missing, by policy IAM ReadOnlyAccess 0 RMS ReadOnlyAccess 0 DCS UserAccess 2 COCServiceAgencyDefaultPolicy 0",
		"Excess grants, by risk critical 2 high 0 medium 0 low 0", "Of 1 account that is unknown, what was known to be wrong is counted.")
	// What a waiver accepts is not among them, until it ends.
	accept := func(expires time.Time) {
		for i := range s.view.Snapshot.Standings {
			for j := range s.view.Snapshot.Standings[i].Findings {
				s.view.Snapshot.Standings[i].Findings[j].Waived = &rules.Acceptance{Waiver: "w", Expires: expires}
			}
		}
	}
	accept(noon.Add(time.Hour))
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "DCS UserAccess 0 COC", "critical 0 high")
	if strings.Contains(text, "oldest drift") {
		t.Error("what is accepted is told as drift")
	}
	accept(noon)
	expect(t, page(t, s.ask("GET", "/")), "DCS UserAccess 2 COC", "critical 2 high", "The oldest drift")
}

// Nothing is said to be none before it was looked for.
func TestNoFiguresBeforeTheFirstRun(t *testing.T) {
	s := open(t)
	snap := s.view.Snapshot
	var subjects []auditor.Subject
	for i := range snap.Standings {
		subjects = append(subjects, snap.Standings[i].Subject)
	}
	s.view.Snapshot = auditor.NewSnapshot(subjects, snap.Baselines, snap.MaxAge)
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "Missing, by policy Nothing was read yet. Excess grants, by risk Nothing was read yet.")
	for _, claim := range []string{"UserAccess 0", "critical 0", "are compliant or waived"} {
		if strings.Contains(text, claim) {
			t.Errorf("it says %q", claim)
		}
	}
}

// Somebody who waits for an agency has waived all that it would hold.
func TestAFigureOfAnAgencyThatIsAwaited(t *testing.T) {
	c := rules.Covered{Policy: "P", Scope: rules.Global, Coverage: rules.CoverageMissing}
	until := &rules.Acceptance{Expires: noon.Add(time.Hour)}
	for _, x := range []struct {
		f    rules.Finding
		want bool
	}{
		{rules.Finding{Rule: rules.RuleAbsent, Waived: until}, true},
		{rules.Finding{Rule: rules.RuleAbsent}, false},
		{rules.Finding{Rule: rules.RuleMissing, Policy: "P", Scope: rules.Global, Waived: until}, true},
		{rules.Finding{Rule: rules.RuleNarrower, Policy: "P", Scope: rules.Global, Waived: until}, true},
		{rules.Finding{Rule: rules.RuleMissing, Policy: "Q", Scope: rules.Global, Waived: until}, false},
		{rules.Finding{Rule: rules.RuleMissing, Policy: "P", Scope: rules.AllResources, Waived: until}, false},
		{rules.Finding{Rule: rules.RuleExcess, Policy: "P", Scope: rules.Global, Waived: until}, false},
	} {
		if got := acceptedAt([]rules.Finding{x.f}, c, noon); got != x.want {
			t.Errorf("%+v accepts it: %v", x.f, got)
		}
	}
}

func TestPercent(t *testing.T) {
	for ratio, want := range map[float64]string{
		0: "0 %", 0.0001: "0.1 %", 0.5: "50 %", 2.0 / 3: "66.7 %", 0.9999: "99.9 %", 1: "100 %", 0.9949: "99.5 %",
	} {
		if got := percent(ratio); got != want {
			t.Errorf("%v is %q, want %q", ratio, got, want)
		}
	}
}

func was(at time.Time, compliant, drifted, notEnabled int) Was {
	return Was{at, map[rules.State]int{rules.StateCompliant: compliant, rules.StateDrifted: drifted, rules.StateNotEnabled: notEnabled}}
}

// The fleet over time is a picture, and the same in words.
func TestTheTrendIsShown(t *testing.T) {
	s := open(t)
	s.view.Past = &Past{Since: noon.Add(-hours(720)), Begins: noon.Add(-hours(72)), Trend: []Was{
		was(noon.Add(-hours(80)), 0, 1, 0), // before the history is whole
		was(noon.Add(-hours(72)), 4, 0, 1), was(noon.Add(-hours(48)), 1, 3, 0), was(noon.Add(-hours(24)), 3, 1, 0),
	}}
	says := "Compliant or waived: 100 % at 2026-02-26 12:00:00 UTC, 75 % in the last run that is drawn, and no less than 25 %, at 2026-02-27 12:00:00 UTC."
	w := s.ask("GET", "/")
	expect(t, page(t, w), says, "2026-02-26 12:00:00 UTC 2026-03-01 12:03:00 UTC")
	body := w.Body.String()
	for _, want := range []string{
		`role="img" aria-label="The fleet by state over time. ` + says + `"`,
		`<rect class="not_enabled" x="0" y="0" width="333" height="200"/><rect class="compliant" x="0" y="200" width="333" height="800"/>`,
		`<rect class="drifted" x="333" y="0" width="333" height="750"/><rect class="compliant" x="333" y="750" width="333" height="250"/>`,
		`<rect class="drifted" x="666" y="0" width="334" height="250"/>`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %s:\n%s", want, body)
		}
	}
	s.view.Past.Trend = []Was{was(noon.Add(-hours(2)), 1, 1, 0), was(noon.Add(-hours(1)), 2, 2, 0)}
	expect(t, page(t, s.ask("GET", "/")), "Compliant or waived: 50 % all the time.")
	// Of one run there is nothing to draw, nor of accounts that have nothing to be in order.
	for _, few := range [][]Was{nil, {was(noon, 1, 0, 0)}, {was(noon.Add(-time.Hour), 0, 0, 2), was(noon, 0, 0, 2)}, {was(noon, 1, 0, 0), was(noon.Add(time.Hour), 1, 0, 0)}} {
		s.view.Past.Trend = few
		if strings.Contains(s.ask("GET", "/").Body.String(), "trend") {
			t.Errorf("there is a trend of %v", few)
		}
	}
}

// However many runs there were, few instants are drawn: of each span the last, and the last of all.
func TestThin(t *testing.T) {
	from := noon.Add(-hours(720))
	var runs []Was
	for i := range 2880 {
		runs = append(runs, was(from.Add(time.Duration(i)*15*time.Minute), i, 0, 0))
	}
	thin := Thin(runs, from, noon)
	if len(thin) != maxTrend || !thin[len(thin)-1].At.Equal(runs[len(runs)-1].At) || thin[0].States[rules.StateCompliant] != 31 {
		t.Errorf("%d of %d runs are drawn, from %v to %v", len(thin), len(runs), thin[0], thin[len(thin)-1])
	}
	if !slices.IsSortedFunc(thin, func(a, b Was) int { return a.At.Compare(b.At) }) {
		t.Error("they are in disorder")
	}
	if got := fmt.Sprint(len(Thin(runs[:3], from, noon)), len(Thin(nil, from, noon)), len(Thin(runs[:1], noon, noon))); got != "1 0 1" {
		t.Errorf("of three, none and one run, %s are drawn", got)
	}
}

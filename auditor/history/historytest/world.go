package historytest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const maxAge = time.Hour

var (
	one   = rules.Account{ID: "00000000000000000000000000000001", Name: "one"}
	two   = rules.Account{ID: "00000000000000000000000000000002", Name: "two"}
	three = rules.Account{ID: "00000000000000000000000000000003", Name: "three"}

	missing = rules.Finding{
		Rule: rules.RuleMissing, Severity: rules.High, Policy: "P", Scope: rules.Global, Message: "missing P", Consequences: []string{"C"},
	}
	excess = rules.Finding{
		Rule: rules.RuleExcess, Severity: rules.Warning, Policy: "X", PolicyID: "x", Scope: rules.Project, Risk: rules.RiskMedium,
		Message: "excess X", Consequences: []string{}, Grants: []rules.Grant{extra},
	}
	trust = rules.Finding{
		Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Trusts: "trusted", Message: "trusts another", Consequences: []string{"C"},
	}
	extra = rules.Grant{
		Policy: rules.Policy{ID: "x", Name: "X", Origin: rules.System}, Scope: rules.Scope{Kind: rules.Project, ID: "p", Name: "north"},
	}
)

// base requires two grants.
func base() rules.Baseline {
	return rules.Baseline{Name: "coc", Agency: "A", Digest: "1", Required: []rules.Requirement{
		{Policy: "P", Scope: rules.Global}, {Policy: "Q", Scope: rules.AllResources},
	}}
}

// world makes runs, one every quarter of an hour, and knows what is known after them.
type world struct {
	accounts []rules.Account
	now      *auditor.Snapshot
	n        int
}

func newWorld(accounts ...rules.Account) *world {
	w := &world{accounts: slices.Clone(accounts)}
	w.now = auditor.NewSnapshot(nil, []rules.Baseline{base()}, maxAge)
	w.now = w.now.Expect(w.subjects(), w.now.Baselines, maxAge)
	return w
}

func (w *world) subjects() []auditor.Subject { return auditor.Subjects(w.accounts, w.now.Baselines) }

func (w *world) subject(a rules.Account) auditor.Subject {
	return auditor.Subject{Account: a, Agency: "A", Baseline: "coc"}
}

// expect has the accounts judged by another baseline from now on.
func (w *world) expect(b rules.Baseline) {
	w.now = w.now.Expect(auditor.Subjects(w.accounts, []rules.Baseline{b}), []rules.Baseline{b}, maxAge)
}

// at is about now.
func (w *world) at() time.Time { return noon.Add(time.Duration(w.n+1) * 15 * time.Minute) }

// run makes a run that saw this. Every reading of it begins later than the run, and has request ids of its own.
func (w *world) run(sweeps ...auditor.Sweep) *auditor.Run {
	w.n++
	r := &auditor.Run{
		ID: fmt.Sprintf("run-%d", w.n), Trigger: "test", Program: "v1", StartedAt: noon.Add(time.Duration(w.n) * 15 * time.Minute), Complete: true,
		Baselines: w.now.Baselines, States: map[rules.State]int{}, Findings: []rules.Finding{},
	}
	for i := range sweeps {
		s := &sweeps[i]
		s.StartedAt = r.StartedAt.Add(time.Duration(i+1) * time.Second)
		s.EndedAt = s.StartedAt.Add(time.Second)
		s.Trail.Requests = 6 + w.n%3
		for j := range s.RequestIDs {
			s.RequestIDs[j] = fmt.Sprintf("list-%s-%d", r.ID, i+1)
		}
		for j := range s.Planes {
			s.Planes[j].RequestIDs = []string{fmt.Sprintf("plane-%s-%d-%d", r.ID, i+1, j)}
			s.Planes[j].Witnessed = w.n%2 == 0
		}
		if u := s.Report.Unknown; u != nil {
			u.Detail = fmt.Sprintf("it was so in %s", r.ID)
			if u.Reason != rules.ReasonUnresolvable {
				r.Complete = false
			}
		}
		r.States[s.Report.State]++
	}
	r.EndedAt = r.StartedAt.Add(time.Minute)
	r.Sweeps = sweeps
	return r
}

// take takes note of a run.
func (w *world) take(r *auditor.Run) { w.now = w.now.Next(r) }

// record takes note of a run, and has a store record it.
func (w *world) record(t testing.TB, s history.Store, r *auditor.Run) {
	t.Helper()
	w.take(r)
	must(t, s.Record(t.Context(), w.now))
}

func compliant(a rules.Account) auditor.Sweep { return drifted(a) }

// drifted is a pass over an account that ends in evidence of these findings.
func drifted(a rules.Account, findings ...rules.Finding) auditor.Sweep {
	p := rules.Grant{Policy: rules.Policy{ID: "p", Name: "P", Origin: rules.System}, Scope: rules.Scope{Kind: rules.Global}}
	q := rules.Grant{Policy: rules.Policy{ID: "q", Name: "Q", Origin: rules.System}, Scope: rules.Scope{Kind: rules.AllResources}}
	s := auditor.Sweep{
		Report: rules.Report{
			Account: a, Baseline: "coc", AgencyName: "A", State: rules.StateCompliant,
			Agency: &rules.Agency{ID: "agency-" + a.ID, Name: "A", AccountID: a.ID, Trust: rules.Trust{ID: "trusted", Name: "op"}, CreatedAt: noon},
			Required: []rules.Covered{
				{Policy: "P", Scope: rules.Global, Coverage: rules.CoverageExact, By: []rules.Grant{p}, PolicyIDs: []string{"p"}},
				{Policy: "Q", Scope: rules.AllResources, Coverage: rules.CoverageExact, By: []rules.Grant{q}, PolicyIDs: []string{"q"}},
			},
			Findings: []rules.Finding{},
		},
		Planes: []rules.Plane{
			{Kind: rules.Global, State: rules.PlaneRead, Total: 1, Grants: []rules.Grant{p}},
			{Kind: rules.AllResources, State: rules.PlaneRead, Total: 1, Grants: []rules.Grant{q}},
			{Kind: rules.Project, State: rules.PlaneRead},
			{Kind: rules.EnterpriseProject, State: rules.PlaneAbsent},
			{Kind: rules.Identity, State: rules.PlaneRead},
		},
		RequestIDs: []string{""},
	}
	for _, f := range findings {
		s.Report.State = rules.StateDrifted
		s.Report.Findings = append(s.Report.Findings, f)
		switch f.Rule {
		case rules.RuleMissing:
			s.Report.Required[0] = rules.Covered{Policy: "P", Scope: rules.Global, Coverage: rules.CoverageMissing, PolicyIDs: []string{"p"}}
			s.Planes[0].Total, s.Planes[0].Grants = 0, nil
		case rules.RuleExcess:
			s = held(s, f)
		}
	}
	return s
}

// held is a pass that shows the grants of a finding as well.
func held(s auditor.Sweep, f rules.Finding) auditor.Sweep {
	s.Planes = slices.Clone(s.Planes)
	s.Planes[2].Grants = append(slices.Clone(s.Planes[2].Grants), f.Grants...)
	s.Planes[2].Total = len(s.Planes[2].Grants)
	return s
}

func trusting(s auditor.Sweep, id string) auditor.Sweep {
	s.Report.Agency.Trust.ID = id
	return s
}

// unresolved is a pass whose evidence could not decide whether P is granted.
func unresolved(a rules.Account, findings ...rules.Finding) auditor.Sweep {
	s := drifted(a, findings...)
	s.Report.State, s.Report.Unknown = rules.StateUnknown, &rules.Unknown{Reason: rules.ReasonUnresolvable}
	s.Report.Required = s.Report.Required[1:]
	s.Report.Findings = slices.DeleteFunc(s.Report.Findings, func(f rules.Finding) bool { return f.Rule == rules.RuleMissing })
	return s
}

// absent is a pass over an account that does not have the agency.
func absent(a rules.Account) auditor.Sweep {
	return auditor.Sweep{
		Report:     rules.Report{Account: a, Baseline: "coc", AgencyName: "A", State: rules.StateNotEnabled, Findings: []rules.Finding{}},
		RequestIDs: []string{""},
	}
}

// dark is a pass over an account that read nothing.
func dark(a rules.Account, why rules.Reason) auditor.Sweep {
	return auditor.Sweep{Report: rules.Report{
		Account: a, Baseline: "coc", AgencyName: "A", State: rules.StateUnknown, Unknown: &rules.Unknown{Reason: why}, Findings: []rules.Finding{},
	}}
}

// words are what the one standing says of the grants, and of its findings.
func words(s *auditor.Snapshot) string {
	var text strings.Builder
	for _, c := range s.Standings[0].Required {
		text.WriteString(c.Policy + "=" + string(c.Coverage) + " ")
	}
	for _, f := range s.Standings[0].Findings {
		text.WriteString(f.Rule + " ")
	}
	return text.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check(t testing.TB, s history.Store) {
	t.Helper()
	must(t, s.Check(t.Context()))
}

func last(t testing.TB, s history.Store) *auditor.Past {
	t.Helper()
	past, err := s.Last(t.Context())
	must(t, err)
	return past
}

func runs(t testing.TB, s history.Store) []history.Run {
	t.Helper()
	list, err := s.Runs(t.Context(), time.Time{}, time.Time{})
	must(t, err)
	return list
}

func findings(t testing.TB, s history.Store, q history.Query) []history.Finding {
	t.Helper()
	list, err := s.Findings(t.Context(), q)
	must(t, err)
	return list
}

func verdicts(t testing.TB, s history.Store, q history.Query) []history.Verdict {
	t.Helper()
	list, err := s.Verdicts(t.Context(), q)
	must(t, err)
	return list
}

// all is all that a store shows.
type all struct {
	past     *auditor.Past
	runs     []history.Run
	findings []history.Finding
	verdicts []history.Verdict
}

func everything(t testing.TB, s history.Store) all {
	t.Helper()
	return all{last(t, s), runs(t, s), findings(t, s, history.Query{}), verdicts(t, s, history.Query{})}
}

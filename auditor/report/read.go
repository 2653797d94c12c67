package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Recorded is what a document of JSON says of a run, as far as other agreements can be tried on it.
type Recorded struct {
	ID      string
	EndedAt time.Time
	// Baselines are those that the run was judged by, as far as their names go. Sweeps are what was read of each agency, and the
	// verdicts, in the document's order.
	Baselines []rules.Baseline
	Sweeps    []auditor.Recorded
	// Partial says that the run does not know of all accounts: only chosen ones were read, or not all could be listed.
	Partial bool
}

var errNoReport = errors.New("it is no report of this program")

// Read reads a document that JSON wrote. A document of another schema, or that is cut short, is an error.
func Read(r io.Reader) (*Recorded, error) {
	var doc struct {
		Schema    string         `json:"schema"`
		Run       *runForm       `json:"run"`
		Baselines []baselineForm `json:"baselines"`
		Sweeps    []sweepForm    `json:"sweeps"`
	}
	dec := json.NewDecoder(r)
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoReport, err)
	}
	if doc.Schema != Schema || doc.Run == nil || doc.Sweeps == nil {
		return nil, fmt.Errorf("%w of the schema %s", errNoReport, Schema)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the document", errNoReport)
	}
	ended, err := time.Parse(time.RFC3339Nano, doc.Run.EndedAt)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoReport, err)
	}
	past := &Recorded{ID: doc.Run.ID, EndedAt: ended, Partial: doc.Run.Restricted || len(doc.Run.Gaps) > 0}
	for _, b := range doc.Baselines {
		past.Baselines = append(past.Baselines, rules.Baseline{Name: b.Name, Agency: b.Agency, Digest: b.Digest, Overlays: b.Overlays})
	}
	for i := range doc.Sweeps {
		past.Sweeps = append(past.Sweeps, auditor.Recorded{Sweep: doc.Sweeps[i].sweep()})
	}
	return past, nil
}

func (s *sweepForm) sweep() auditor.Sweep {
	sweep := auditor.Sweep{Report: s.report(), StartedAt: instantOf(&s.StartedAt), EndedAt: instantOf(&s.EndedAt)}
	if s.Evidence == nil {
		return sweep
	}
	sweep.RequestIDs = s.Evidence.RequestIDs
	for _, p := range s.Evidence.Planes {
		sweep.Planes = append(sweep.Planes, rules.Plane{
			Kind: rules.ScopeKind(p.Kind), State: rules.PlaneState(p.State), Total: p.Total, Grants: grantsOf(p.Grants), Witnessed: p.Witnessed,
			WitnessIDs: p.WitnessIDs, RequestIDs: p.RequestIDs,
		})
	}
	return sweep
}

// instantOf is the instant that a text says; zero for none, or for one that cannot be read.
func instantOf(s *string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, orEmpty(s))
	return t
}

func grantsOf(forms []grantForm) []rules.Grant {
	grants := make([]rules.Grant, len(forms))
	for i, g := range forms {
		grants[i] = rules.Grant{
			Policy: rules.Policy{ID: g.Policy.ID, Name: orEmpty(g.Policy.Name), Origin: rules.Origin(g.Policy.Origin), Unbounded: g.Policy.Unbounded},
			Scope:  rules.Scope{Kind: rules.ScopeKind(g.Scope.Kind), ID: orEmpty(g.Scope.ID), Name: orEmpty(g.Scope.Name)},
		}
	}
	return grants
}

func (s *sweepForm) report() rules.Report {
	r := rules.Report{
		Account:  rules.Account{ID: s.Account.ID, Name: s.Account.Name, RequireAgency: s.Account.RequireAgency, OU: orEmpty(s.Account.OU)},
		Baseline: s.Baseline, AgencyName: s.Agency, State: rules.State(s.State), Findings: []rules.Finding{},
	}
	for _, t := range s.Account.Tags {
		r.Account.Tags = append(r.Account.Tags, rules.Tag(t))
	}
	if a := s.Found; a != nil {
		r.Agency = &rules.Agency{
			ID: a.ID, Name: a.Name, AccountID: r.Account.ID, Trust: rules.Trust{ID: orEmpty(a.Trust.ID), Name: orEmpty(a.Trust.Name)},
			CreatedAt: instantOf(a.CreatedAt), ExpiresAt: instantOf(a.ExpiresAt),
		}
	}
	for _, c := range s.Required {
		r.Required = append(r.Required, rules.Covered{
			Policy: c.Policy, Scope: rules.ScopeKind(c.Scope), Coverage: rules.Coverage(c.Coverage), By: grantsOf(c.By), PolicyIDs: c.PolicyIDs,
		})
	}
	if s.Unknown != nil {
		r.Unknown = &rules.Unknown{Reason: rules.Reason(s.Unknown.Reason), Detail: s.Unknown.Detail, Remedy: orEmpty(s.Unknown.Remedy)}
	}
	for _, f := range s.Findings {
		finding := rules.Finding{
			Rule: f.Rule, Severity: rules.Severity(f.Severity), Policy: orEmpty(f.Policy), PolicyID: orEmpty(f.PolicyID),
			Scope: rules.ScopeKind(orEmpty(f.Scope)), Trusts: orEmpty(f.Trusts), Risk: rules.Risk(orEmpty(f.Risk)), Message: f.Message,
			Consequences: f.Consequences, Cohort: orEmpty(f.Cohort),
		}
		if len(f.Grants) > 0 {
			finding.Grants = grantsOf(f.Grants)
		}
		if w := f.Waived; w != nil {
			finding.Waived = &rules.Acceptance{Waiver: w.Waiver, Expires: instantOf(&w.Expires), Owner: w.Owner, Reason: w.Reason, Ticket: orEmpty(w.Ticket)}
		}
		r.Findings = append(r.Findings, finding)
	}
	return r
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Recorded is what a document of JSON says of a run, as far as other agreements can be tried on it.
type Recorded struct {
	ID      string
	EndedAt time.Time
	// Reports are the verdicts, in the document's order. They are replayed: nothing may be repaired by them.
	Reports []rules.Report
}

var errNoReport = errors.New("it is no report of this program")

// Read reads a document that JSON wrote. A document of another schema, or that is cut short, is an error.
func Read(r io.Reader) (*Recorded, error) {
	var doc struct {
		Schema string      `json:"schema"`
		Run    *runForm    `json:"run"`
		Sweeps []sweepForm `json:"sweeps"`
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
	past := &Recorded{ID: doc.Run.ID, EndedAt: ended}
	for i := range doc.Sweeps {
		past.Reports = append(past.Reports, doc.Sweeps[i].report())
	}
	return past, nil
}

func (s *sweepForm) report() rules.Report {
	r := rules.Report{
		Account:  rules.Account{ID: s.Account.ID, Name: s.Account.Name, RequireAgency: s.Account.RequireAgency, OU: orEmpty(s.Account.OU)},
		Baseline: s.Baseline, AgencyName: s.Agency, State: rules.State(s.State), Findings: []rules.Finding{},
	}
	for _, t := range s.Account.Tags {
		r.Account.Tags = append(r.Account.Tags, rules.Tag(t))
	}
	if s.Unknown != nil {
		r.Unknown = &rules.Unknown{Reason: rules.Reason(s.Unknown.Reason), Detail: s.Unknown.Detail, Remedy: orEmpty(s.Unknown.Remedy)}
	}
	for _, f := range s.Findings {
		finding := rules.Finding{
			Rule: f.Rule, Severity: rules.Severity(f.Severity), Policy: orEmpty(f.Policy), PolicyID: orEmpty(f.PolicyID),
			Scope: rules.ScopeKind(orEmpty(f.Scope)), Risk: rules.Risk(orEmpty(f.Risk)), Message: f.Message, Consequences: f.Consequences,
			Cohort: orEmpty(f.Cohort),
		}
		for _, g := range f.Grants {
			finding.Grants = append(finding.Grants, rules.Grant{
				Policy: rules.Policy{ID: g.Policy.ID, Name: orEmpty(g.Policy.Name), Origin: rules.Origin(g.Policy.Origin), Unbounded: g.Policy.Unbounded},
				Scope:  rules.Scope{Kind: rules.ScopeKind(g.Scope.Kind), ID: orEmpty(g.Scope.ID), Name: orEmpty(g.Scope.Name)},
			})
		}
		if w := f.Waived; w != nil {
			expires, _ := time.Parse(time.RFC3339Nano, w.Expires) // an instant that is none has passed
			finding.Waived = &rules.Acceptance{Waiver: w.Waiver, Expires: expires, Owner: w.Owner, Reason: w.Reason, Ticket: orEmpty(w.Ticket)}
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

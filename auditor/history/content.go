package history

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// digest tells contents apart: the first half of their SHA-256.
type digest [sha256.Size / 2]byte

// digestOf is the digest of a value's JSON text.
func digestOf(v any) (digest, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return digest{}, fmt.Errorf("write down what is known: %w", err)
	}
	sum := sha256.Sum256(text)
	return digest(sum[:]), nil
}

// contentOf is the digest of what a sweep with evidence says of its subject, without all that differs from one reading of the
// same to the next: instants, request ids, how many were asked, the words of a reason.
func contentOf(s *auditor.Sweep) (digest, error) {
	said := auditor.Sweep{Report: s.Report, Planes: slices.Clone(s.Planes)}
	if u := said.Report.Unknown; u != nil {
		said.Report.Unknown = &rules.Unknown{Reason: u.Reason}
	}
	for i := range said.Planes {
		p := &said.Planes[i]
		p.Witnessed, p.WitnessIDs, p.RequestIDs = false, nil, nil
	}
	return digestOf(&said)
}

// reading is what differs between two sweeps whose contents are the same.
type reading struct {
	StartedAt  time.Time      `json:"started_at"`
	EndedAt    time.Time      `json:"ended_at"`
	Requests   int            `json:"requests"`
	RequestIDs []string       `json:"request_ids,omitempty"`
	Planes     []planeReading `json:"planes,omitempty"`
}

type planeReading struct {
	Witnessed  bool     `json:"witnessed,omitempty"`
	WitnessIDs []string `json:"witness_ids,omitempty"`
	RequestIDs []string `json:"request_ids,omitempty"`
}

func readingOf(s *auditor.Sweep) *reading {
	r := &reading{StartedAt: s.StartedAt, EndedAt: s.EndedAt, Requests: s.Trail.Requests, RequestIDs: s.RequestIDs}
	for i := range s.Planes {
		p := &s.Planes[i]
		r.Planes = append(r.Planes, planeReading{p.Witnessed, p.WitnessIDs, p.RequestIDs})
	}
	return r
}

// of is the sweep that the reading was, whose content another sweep has.
func (r *reading) of(same *auditor.Sweep, unknown *rules.Unknown) *auditor.Sweep {
	s := *same
	s.StartedAt, s.EndedAt, s.Trail.Requests, s.RequestIDs, s.Report.Unknown = r.StartedAt, r.EndedAt, r.Requests, r.RequestIDs, unknown
	s.Planes = slices.Clone(s.Planes)
	for i := range min(len(s.Planes), len(r.Planes)) {
		p := &s.Planes[i]
		p.Witnessed, p.WitnessIDs, p.RequestIDs = r.Planes[i].Witnessed, r.Planes[i].WitnessIDs, r.Planes[i].RequestIDs
	}
	return &s
}

// kept is what a standing keeps of older evidence, since its last evidence could not decide it.
type kept struct {
	Required []rules.Covered `json:"required,omitempty"`
	Findings []rules.Finding `json:"findings,omitempty"`
	At       time.Time       `json:"at,omitzero"`
}

func (k *kept) empty() bool { return len(k.Required) == 0 && len(k.Findings) == 0 }

// keptOf is what a standing keeps beyond its last evidence.
func keptOf(st *auditor.Standing) kept {
	var k kept
	e := st.Evidence
	if e == nil {
		return k
	}
	at := func(t time.Time) {
		if k.At.IsZero() || t.Before(k.At) {
			k.At = t
		}
	}
	if e.Report.Agency != nil {
		for _, c := range st.Required {
			if !c.Coverage.Satisfied() && !slices.ContainsFunc(e.Report.Required, func(is rules.Covered) bool {
				return is.Policy == c.Policy && is.Scope == c.Scope
			}) {
				k.Required = append(k.Required, c)
				at(st.CoveredAt(c))
			}
		}
	}
	for i := range st.Findings {
		f := &st.Findings[i]
		if !slices.ContainsFunc(e.Report.Findings, func(is rules.Finding) bool { return nameOf(&is) == nameOf(f) }) {
			k.Findings = append(k.Findings, *f)
			at(st.FoundAt(*f))
		}
	}
	return k
}

// printOf is the digest of all of a baseline that judging by it depends on.
func printOf(b *rules.Baseline) (string, error) {
	d, err := digestOf(struct {
		Baseline   *rules.Baseline
		Risks      rules.RiskTable
		Severities map[string]rules.Severity
	}{b, b.Risks, b.Severities})
	return hex.EncodeToString(d[:]), err
}

// agencyOf is the digest of what evidence shows of the agency itself; nothing without one.
func agencyOf(s *auditor.Sweep) string {
	a := s.Report.Agency
	if a == nil {
		return ""
	}
	d := sha256.Sum256(fmt.Appendf(nil, "%q %q %q %d", a.ID, a.Trust.ID, a.Trust.Name, a.ExpiresAt.UnixNano()))
	return hex.EncodeToString(d[:8])
}

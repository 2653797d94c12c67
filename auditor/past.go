package auditor

import (
	"cmp"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Past is what a history remembers of the fleet. Restore makes of it what a program starts from.
type Past struct {
	// EndedAt is when the last run ended, and CompletedAt when the last that was complete did; zero when there was none.
	EndedAt, CompletedAt time.Time
	// Catalogue is the site's catalogue's last word on the required policies that it lacked.
	Catalogue []Resolution
	// Partial says that the last run could not list all accounts.
	Partial bool
	// Subjects are all that were ever recorded, those that left included, in the order of Subjects.
	Subjects []Remembered
}

// Remembered is what a history remembers of one subject.
type Remembered struct {
	Subject
	// Left says that it is no longer expected: its account left the fleet, or is left alone, or it is judged by no baseline any more.
	Left bool
	// Vanished is in how many of the last runs, one after the other, the account was expected and nobody listed it.
	Vanished int
	// Evidence is the last sweep that ended in evidence, marked as replayed; nil when there was none, or when the subject has
	// left. Its request ids are those of the reading that first showed all this; it begins with the last reading that
	// showed it still or, where that instant was not recorded, with the run of that reading. It is never younger than the truth.
	Evidence *Sweep
	// Findings are what evidence found wrong and none had refuted.
	Findings []Stuck
	// Required are the unsatisfied grants that Evidence could not decide, as older evidence decided them, and KeptAt is when
	// the oldest reading began that they or findings that Evidence could not decide rest on; zero when there are none.
	Required []rules.Covered
	KeptAt   time.Time
	// UnknownSince is when the first of the runs started that could not judge the subject, one after the other until the last;
	// zero when the last could.
	UnknownSince time.Time
	// Unknown is why the last run could not judge the subject; nil when it could.
	Unknown *rules.Unknown
	// Read says that Evidence is what the last run read, be it enough to judge the subject or not; else it is of an earlier one.
	Read bool
	// Trust is the first account that the agency was seen to trust, and TrustedAt when the reading began that saw it; zero
	// when none was seen.
	Trust     rules.Trust
	TrustedAt time.Time
}

// Stuck is a finding that nothing has refuted, with when the reading began that first showed it.
type Stuck struct {
	rules.Finding
	Since time.Time
}

// Restore is what is known after a start, before the first run. Nothing is right: every subject is unknown until a run has read
// it. What was wrong still is, with its age, as far as these baselines require it; and what differs from the last evidence needs
// a second witness, as if the program had never ended. A past that is nil is one of which nothing is known.
func Restore(subjects []Subject, baselines []rules.Baseline, maxAge time.Duration, past *Past) *Snapshot {
	s := NewSnapshot(subjects, baselines, maxAge)
	if past == nil {
		return s
	}
	s.CompletedAt = past.CompletedAt
	for _, r := range past.Catalogue {
		if len(r.Lacking) > 0 && slices.ContainsFunc(baselines, func(b rules.Baseline) bool {
			return b.Name == r.Baseline && slices.ContainsFunc(b.Required, func(q rules.Requirement) bool { return q.Policy == r.Policy })
		}) {
			s.Catalogue = append(s.Catalogue, r)
		}
	}
	type judged struct {
		key
		baseline string
	}
	known := make(map[judged]*Remembered, len(past.Subjects))
	for i := range past.Subjects {
		r := &past.Subjects[i]
		known[judged{r.key(), r.Baseline}] = r
	}
	byName := make(map[string]*rules.Baseline, len(baselines))
	for i := range baselines {
		byName[baselines[i].Name] = &baselines[i]
	}
	for i := range s.Standings {
		st := &s.Standings[i]
		if r := known[judged{st.key(), st.Baseline}]; r != nil {
			st.restore(r, byName[st.Baseline].Required)
		}
	}
	return s
}

// restore takes over what is remembered of the subject, but for what was right.
func (st *Standing) restore(r *Remembered, required []rules.Requirement) {
	st.UnknownSince = r.UnknownSince
	if r.Evidence == nil {
		return
	}
	evidence := *r.Evidence
	evidence.Replayed = true
	st.Evidence, st.keptAt = &evidence, r.KeptAt
	requires := func(policy string, scope rules.ScopeKind) bool {
		return slices.ContainsFunc(required, func(q rules.Requirement) bool { return q.Policy == policy && q.Scope == scope })
	}
	covered := slices.Concat(evidence.Report.Required, r.Required)
	if evidence.Report.Agency == nil {
		covered = nil
		if evidence.Report.Account.RequireAgency {
			covered = none(required)
		}
	}
	for _, c := range covered {
		if !c.Coverage.Satisfied() && requires(c.Policy, c.Scope) {
			st.Required = append(st.Required, c)
		}
	}
	st.since = make(map[findingKey]time.Time, len(r.Findings))
	for i := range r.Findings {
		f := &r.Findings[i].Finding
		if (f.Rule == rules.RuleMissing || f.Rule == rules.RuleNarrower) && !requires(f.Policy, f.Scope) {
			continue
		}
		st.Findings = append(st.Findings, *f)
		st.since[keyOf(f)] = r.Findings[i].Since
	}
	slices.SortStableFunc(st.Findings, func(a, b rules.Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
}

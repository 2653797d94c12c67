package auditor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Subject is one agency of one account that runs are expected to judge.
type Subject struct {
	Account  rules.Account
	Agency   string
	Baseline string
}

// Subjects pairs every account with every baseline, in the order of Run.Sweeps.
func Subjects(accounts []rules.Account, baselines []rules.Baseline) []Subject {
	list := make([]Subject, 0, len(accounts)*len(baselines))
	for _, a := range accounts {
		for i := range baselines {
			list = append(list, Subject{Account: a, Agency: baselines[i].Agency, Baseline: baselines[i].Name})
		}
	}
	slices.SortFunc(list, compareSubjects)
	return list
}

func compareSubjects(a, b Subject) int {
	return cmp.Or(
		cmp.Compare(a.Account.Name, b.Account.Name), cmp.Compare(a.Account.ID, b.Account.ID),
		cmp.Compare(a.Agency, b.Agency), cmp.Compare(a.Baseline, b.Baseline),
	)
}

// Snapshot is what is known of the fleet after the runs that were committed so far: the one value that metrics and pages
// show. It is never changed after it was made, so that whoever holds one sees a fleet that does not move.
//
// Bad news sticks, good news expires: what evidence found wrong stays until other evidence refutes it, while an account
// that cannot be read, or whose evidence is older than MaxAge, is unknown, whatever good was known of it.
type Snapshot struct {
	// MaxAge is how old evidence may be.
	MaxAge time.Duration
	// Run is the last committed run; nil before the first.
	Run *Run
	// CompletedAt is when the last run that was complete ended; zero before it.
	CompletedAt time.Time
	// Baselines are those that the subjects are judged by.
	Baselines []rules.Baseline
	// Waivers are those that findings are accepted by.
	Waivers []rules.Waiver
	// Catalogue is the site's catalogue's last word on each policy that the baselines require, in their order; there is none
	// on a policy that no catalogue was read for.
	Catalogue []Resolution
	// Standings has one entry for each expected subject, in the order of Subjects.
	Standings []Standing
	// Excluded, Gaps, Notes and TagKeys are those of the last committed run or, if the configuration was changed since or no
	// run was, of what is known of the accounts by it.
	Excluded []Exclusion
	Gaps     []rules.Unknown
	Notes    []string
	TagKeys  []string
}

// Standing is what is known of one subject.
type Standing struct {
	Subject
	// Last is what the last committed run saw; nil while there was none.
	Last *Sweep
	// Evidence is the last sweep that ended in evidence, which may be Last; nil when there was none.
	Evidence *Sweep
	// Required is the last word of evidence on each required grant, in the baseline's order. What no evidence has decided
	// is left out; so is everything while the agency is not enabled. While the state is unknown, only the unsatisfied ones
	// still count.
	Required []rules.Covered
	// Findings are what evidence found wrong and none has refuted since.
	Findings []rules.Finding
	// since is when the readings began that first showed each of Findings.
	since map[findingKey]time.Time
	// keptAt is when the oldest reading began that something in Required or Findings rests on which Evidence could not decide;
	// zero when there is none.
	keptAt time.Time
	// UnknownSince is when the first of the runs started that could not judge the subject, one after the other until now;
	// zero when the last one could.
	UnknownSince time.Time
}

// NewSnapshot is what is known before the first run: which subjects are expected, and nothing of any of them.
func NewSnapshot(subjects []Subject, baselines []rules.Baseline, maxAge time.Duration) *Snapshot {
	s := &Snapshot{MaxAge: maxAge, Baselines: baselines, Standings: make([]Standing, len(subjects))}
	for i := range subjects {
		s.Standings[i].Subject = subjects[i]
	}
	return s
}

// Expect is the snapshot after a change of configuration: subjects that are no longer expected are gone, new ones are
// not read yet, and nothing else is forgotten. A subject that is judged by other rules than before, since its baseline, an overlay of
// that, the severities or what is required of its account changed, keeps what is wrong of it, as far as the new baseline requires it.
func (s *Snapshot) Expect(subjects []Subject, baselines []rules.Baseline, maxAge time.Duration) *Snapshot {
	next := NewSnapshot(subjects, baselines, maxAge)
	next.Run, next.CompletedAt, next.Waivers = s.Run, s.CompletedAt, s.Waivers
	next.Excluded, next.Gaps, next.Notes, next.TagKeys = s.Excluded, s.Gaps, s.Notes, s.TagKeys
	old := s.index()
	before := map[string]*rules.Baseline{}
	for i := range s.Baselines {
		before[s.Baselines[i].Name] = &s.Baselines[i]
	}
	required := map[string][]rules.Requirement{}
	same := map[string]bool{}
	for i := range baselines {
		required[baselines[i].Name] = baselines[i].Required
		was := before[baselines[i].Name]
		same[baselines[i].Name] = was != nil && was.Digest == baselines[i].Digest &&
			slices.Equal(was.Overlays, baselines[i].Overlays) && maps.Equal(was.Severities, baselines[i].Severities)
	}
	next.Catalogue = s.expect(baselines, same)
	for i := range next.Standings {
		st := &next.Standings[i]
		was, known := old[st.key()]
		if !known || was.Baseline != st.Baseline {
			continue
		}
		subject := st.Subject
		*st = *was
		st.Subject = subject
		if !same[st.Baseline] || was.Account.RequireAgency != subject.Account.RequireAgency {
			// What was right by other rules is not known to be right by these.
			st.Last = nil
			requires := func(policy string, scope rules.ScopeKind) bool {
				return slices.ContainsFunc(required[st.Baseline], func(r rules.Requirement) bool {
					return r.Policy == policy && r.Scope == scope
				})
			}
			st.Required = slices.DeleteFunc(slices.Clone(st.Required), func(c rules.Covered) bool {
				return c.Coverage.Satisfied() || !requires(c.Policy, c.Scope)
			})
			st.Findings = slices.DeleteFunc(slices.Clone(st.Findings), func(f rules.Finding) bool {
				return (f.Rule == rules.RuleMissing || f.Rule == rules.RuleNarrower) && !requires(f.Policy, f.Scope)
			})
		}
	}
	return next
}

// Accept is the snapshot with its findings accepted by these waivers and no others.
func (s *Snapshot) Accept(waivers []rules.Waiver, now time.Time) *Snapshot {
	next := *s
	next.Waivers, next.Standings = waivers, slices.Clone(s.Standings)
	for i := range next.Standings {
		st := &next.Standings[i]
		st.Findings = rules.Accepted(st.Account, st.Baseline, st.Findings, waivers, now)
		if st.Last != nil {
			last := *st.Last
			rules.Accept(&last.Report, waivers, now)
			if st.Evidence == st.Last {
				st.Evidence = &last
			}
			st.Last = &last
		}
	}
	return &next
}

// Next is the snapshot after one more run. What is expected from then on is what the run swept; accounts that it excluded, or
// says to be gone, are left out, and any other one that it did not sweep is unknown.
func (s *Snapshot) Next(run *Run) *Snapshot {
	next := &Snapshot{MaxAge: s.MaxAge, Run: run, CompletedAt: s.CompletedAt, Baselines: s.Baselines, Waivers: s.Waivers, Catalogue: s.resolve(run)}
	next.Excluded, next.Gaps, next.Notes, next.TagKeys = run.Excluded, run.Gaps, run.Notes, run.TagKeys
	if run.Complete {
		next.CompletedAt = run.EndedAt
	}
	baselines := make(map[string]*rules.Baseline, len(s.Baselines))
	for i := range s.Baselines {
		baselines[s.Baselines[i].Name] = &s.Baselines[i]
	}
	left := make(map[string]bool, len(run.Excluded)+len(run.Gone))
	for i := range run.Excluded {
		left[run.Excluded[i].Account.ID] = true
	}
	for i := range run.Gone {
		left[run.Gone[i].ID] = true
	}
	old := s.index()
	next.Standings = make([]Standing, 0, max(len(s.Standings), len(run.Sweeps)))
	swept := make(map[key]bool, len(run.Sweeps))
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		b := baselines[r.Baseline]
		if b == nil || b.Agency != r.AgencyName || swept[key{r.Account.ID, r.AgencyName}] {
			continue // it is about nothing that is judged here
		}
		st := Standing{Subject: Subject{Account: r.Account, Agency: r.AgencyName, Baseline: r.Baseline}}
		if was := old[st.key()]; was != nil && was.Baseline == st.Baseline {
			subject := st.Subject
			st = *was
			st.Subject = subject
		}
		swept[st.key()] = true
		st.take(&run.Sweeps[i], b.Required)
		st.accept(s.Waivers, run.EndedAt)
		next.Standings = append(next.Standings, st)
	}
	for i := range s.Standings {
		st := s.Standings[i]
		if swept[st.key()] || left[st.Account.ID] {
			continue
		}
		st.take(unswept(st.Subject, run), baselines[st.Baseline].Required)
		st.accept(s.Waivers, run.EndedAt)
		next.Standings = append(next.Standings, st)
	}
	slices.SortFunc(next.Standings, func(a, b Standing) int { return compareSubjects(a.Subject, b.Subject) })
	return next
}

// accept judges anew what is accepted of a subject of which not everything was read: it bears another name meanwhile, say, than the one by
// which a waiver chose it, or trusts another account.
func (st *Standing) accept(waivers []rules.Waiver, now time.Time) {
	if st.Last.Report.State == rules.StateUnknown {
		st.Findings = rules.Accepted(st.Account, st.Baseline, st.Findings, waivers, now)
	}
}

// unswept is the sweep of a subject that a run left out.
func unswept(s Subject, run *Run) *Sweep {
	return &Sweep{
		StartedAt: run.StartedAt, EndedAt: run.EndedAt,
		Report: rules.Report{
			Account: s.Account, Baseline: s.Baseline, AgencyName: s.Agency, State: rules.StateUnknown, Findings: []rules.Finding{},
			Unknown: &rules.Unknown{
				Reason: rules.ReasonVanished, Detail: "the last run did not list the account", Remedy: vanishedRemedy,
			},
		},
	}
}

// take adds what one more sweep says.
func (st *Standing) take(sweep *Sweep, required []rules.Requirement) {
	st.Last = sweep
	r := &sweep.Report
	switch {
	case r.State != rules.StateUnknown:
		st.UnknownSince = time.Time{}
	case st.UnknownSince.IsZero():
		st.UnknownSince = sweep.StartedAt
	}
	if !sweep.HasEvidence() {
		return
	}
	defer func() { st.since = st.first(sweep.StartedAt) }()
	before, found, readAt := st.Required, st.Findings, st.ReadAt()
	if !st.keptAt.IsZero() {
		readAt = st.keptAt
	}
	st.Evidence, st.keptAt = sweep, time.Time{}
	st.Required, st.Findings = r.Required, r.Findings
	if r.Agency == nil {
		st.Required = nil
		if r.Account.RequireAgency {
			st.Required = none(required)
		}
		return
	}
	if r.State != rules.StateUnknown {
		return
	}
	// Evidence that could not decide everything refutes nothing of what it could not decide.
	st.Required, st.Findings = slices.Clone(r.Required), slices.Clone(r.Findings)
	for _, c := range before {
		if !c.Coverage.Satisfied() && !decides(r, c.Policy, c.Scope) {
			st.Required, st.keptAt = append(st.Required, c), readAt
		}
	}
	for i := range found {
		f := found[i]
		kept := false
		switch f.Rule {
		case rules.RuleTrustMismatch:
			kept = st.find(f.Rule) == nil
			if r.Agency.Trust.Name == "" {
				f.TrustUnnamed(r.Agency.Trust.ID) // so that it is not known whether it is the right one
			}
		case rules.RuleMissing, rules.RuleNarrower:
			kept = !decides(r, f.Policy, f.Scope)
		}
		if kept {
			st.Findings, st.keptAt = append(st.Findings, f), readAt
		}
	}
	slices.SortStableFunc(st.Findings, func(a, b rules.Finding) int { return cmp.Compare(rank(a.Severity), rank(b.Severity)) })
}

// findingKey tells the findings of a standing apart.
type findingKey struct {
	rule, policy, policyID string
	scope                  rules.ScopeKind
	// trusts has an agency that trusts another account than before be something new: it is not as old as what was known before.
	trusts string
}

func keyOf(f *rules.Finding) findingKey {
	return findingKey{f.Rule, f.Policy, f.PolicyID, f.Scope, f.Trusts}
}

// first is since for the findings that there are now: those that were not there before are of the reading that began at an instant.
func (st *Standing) first(at time.Time) map[findingKey]time.Time {
	if len(st.Findings) == 0 {
		return nil
	}
	since := make(map[findingKey]time.Time, len(st.Findings))
	for i := range st.Findings {
		k := keyOf(&st.Findings[i])
		if was, known := st.since[k]; known {
			since[k] = was
		} else {
			since[k] = at
		}
	}
	return since
}

// Since is when the reading began that first showed a finding of the standing, which no evidence has refuted since.
func (st *Standing) Since(f *rules.Finding) time.Time { return st.since[keyOf(f)] }

// decides says whether a report has a word on a required grant.
func decides(r *rules.Report, policy string, scope rules.ScopeKind) bool {
	return slices.ContainsFunc(r.Required, func(c rules.Covered) bool { return c.Policy == policy && c.Scope == scope })
}

// rank is the place of a severity, the worst first.
func rank(s rules.Severity) int {
	return slices.Index([]rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}, s)
}

// none says of every requirement that nothing satisfies it.
func none(required []rules.Requirement) []rules.Covered {
	list := make([]rules.Covered, len(required))
	for i, r := range required {
		list[i] = rules.Covered{Policy: r.Policy, Scope: r.Scope, Coverage: rules.CoverageMissing}
	}
	return list
}

func (st *Standing) find(rule string) *rules.Finding {
	for i := range st.Findings {
		if st.Findings[i].Rule == rule {
			return &st.Findings[i]
		}
	}
	return nil
}

// ReadAt is when the reading began that the last evidence rests on; zero when there is none.
func (st *Standing) ReadAt() time.Time {
	if st.Evidence == nil {
		return time.Time{}
	}
	return st.Evidence.StartedAt
}

// FoundAt is when the reading began that a finding of the standing rests on: ReadAt or, for one that the last evidence could
// not decide, an earlier instant; never a later one than is true.
func (st *Standing) FoundAt(f rules.Finding) time.Time {
	if st.Evidence != nil && !slices.ContainsFunc(st.Evidence.Report.Findings, func(is rules.Finding) bool {
		return is.Rule == f.Rule && is.Policy == f.Policy && is.PolicyID == f.PolicyID && is.Scope == f.Scope
	}) {
		return st.keptAt
	}
	return st.ReadAt()
}

// CoveredAt is FoundAt for what is known of a required grant.
func (st *Standing) CoveredAt(c rules.Covered) time.Time {
	if e := st.Evidence; e != nil && e.Report.Agency != nil && !decides(&e.Report, c.Policy, c.Scope) {
		return st.keptAt
	}
	return st.ReadAt()
}

// last is what the last evidence showed. There is none of a standing that is nil.
func (st *Standing) last() rules.Last {
	if st == nil || st.Evidence == nil {
		return rules.Last{}
	}
	return rules.Last{Known: true, Agency: st.Evidence.Report.Agency, Planes: st.Evidence.Planes}
}

// LastEvidence is what the last evidence showed, for reading the subject again.
func (st *Standing) LastEvidence() rules.Last { return st.last() }

// At is the subject's state at an instant, with the reason when that is unknown.
func (st *Standing) At(now time.Time, maxAge time.Duration) (rules.State, *rules.Unknown) {
	switch {
	case st.Last == nil:
		return rules.StateUnknown, &rules.Unknown{
			Reason: rules.ReasonStale, Detail: "no run has read it since the program started or its configuration changed",
		}
	case st.Last.Report.State == rules.StateUnknown:
		return rules.StateUnknown, st.Last.Report.Unknown
	case age(now, st.ReadAt()) >= maxAge:
		return rules.StateUnknown, &rules.Unknown{
			Reason: rules.ReasonStale, Detail: "the last evidence is older than max_age (" + rules.Span(maxAge) + ")",
			Remedy: "see why no run was committed since: the page's last error, or the log",
		}
	}
	return st.Last.Report.StateAt(now), nil
}

// Moved says whether anything changed since another snapshot of the same program: which subjects there are and what they are called,
// what the last run said of them, or what is wrong with them.
func (s *Snapshot) Moved(since *Snapshot) bool {
	return !slices.EqualFunc(s.Standings, since.Standings, func(a, b Standing) bool {
		return a.key() == b.key() && a.Baseline == b.Baseline && a.Account.Name == b.Account.Name && (a.Last == nil) == (b.Last == nil) &&
			(a.Last == nil || a.Last.Report.State == b.Last.Report.State && reasonOf(a.Last) == reasonOf(b.Last)) &&
			slices.EqualFunc(a.Findings, b.Findings, func(f, g rules.Finding) bool { return keyOf(&f) == keyOf(&g) })
	})
}

func reasonOf(s *Sweep) rules.Reason {
	if s.Report.Unknown == nil {
		return ""
	}
	return s.Report.Unknown.Reason
}

// StaleAt is the next instant after now at which evidence of a subject that is not unknown yet, or good news of the
// catalogue, gets too old, or at which a waiver of a finding ends; zero when there is none.
func (s *Snapshot) StaleAt(now time.Time) time.Time {
	var first time.Time
	since := func(then time.Time) {
		if at := now.Add(s.MaxAge - age(now, then)); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	for i := range s.Catalogue {
		if r := &s.Catalogue[i]; len(r.Lacking) == 0 && r.Counts(now, s.MaxAge) {
			since(r.At)
		}
	}
	for i := range s.Standings {
		st := &s.Standings[i]
		if state, _ := st.At(now, s.MaxAge); state == rules.StateUnknown {
			continue
		}
		since(st.ReadAt())
	}
	s.waiversEnd(now, func(at time.Time) {
		if first.IsZero() || at.Before(first) {
			first = at
		}
	})
	return first
}

// waiversEnd tells the instants after now at which a finding is no longer accepted.
func (s *Snapshot) waiversEnd(now time.Time, at func(time.Time)) {
	for i := range s.Standings {
		for j := range s.Standings[i].Findings {
			if f := &s.Standings[i].Findings[j]; f.WaivedAt(now) {
				at(f.Waived.Expires)
			}
		}
	}
}

// Count counts the standings by their state at an instant; every state is a key, and the sum is len(Standings).
func (s *Snapshot) Count(now time.Time) map[rules.State]int {
	counts := make(map[rules.State]int, len(rules.States()))
	for _, state := range rules.States() {
		counts[state] = 0
	}
	for i := range s.Standings {
		state, _ := s.Standings[i].At(now, s.MaxAge)
		counts[state]++
	}
	return counts
}

// age is the time since an instant by the clock that says more: the wall clock, which goes on while the machine is
// suspended, or the monotonic one, which is never set back.
func age(now, then time.Time) time.Duration {
	return max(now.Sub(then), now.Round(0).Sub(then.Round(0)))
}

type key struct{ account, agency string }

func (s Subject) key() key { return key{s.Account.ID, s.Agency} }

// index finds standings; nothing is known of a snapshot that is nil.
func (s *Snapshot) index() map[key]*Standing {
	if s == nil {
		return nil
	}
	m := make(map[key]*Standing, len(s.Standings))
	for i := range s.Standings {
		m[s.Standings[i].key()] = &s.Standings[i]
	}
	return m
}

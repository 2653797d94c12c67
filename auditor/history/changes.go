package history

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Change is something that happened to one subject.
type Change struct {
	// Subject has the account as it was called then.
	auditor.Subject
	// At is when it happened, as far as that is known: when the reading began that showed it or, of a state or a name, when the run
	// ended that brought it. A reading may have begun before the time whose changes these are.
	At time.Time
	// Run is the run that recorded it.
	Run string
	// Kind is one of the constants Change….
	Kind string
	// Finding is what came or went; nil of another kind.
	Finding *Finding
	// Was and Is are the states before and after. Was is empty for a subject that came into the fleet, Is for one that left it.
	Was, Is rules.State
	// WasUnknown and Unknown are the reasons of either state where that is unknown.
	WasUnknown, Unknown *rules.Unknown
	// CalledBefore is the name that the account had before; empty if it is the same.
	CalledBefore string
	// Until is when what came was over, or the state another one; zero where it still held when the time ended.
	Until time.Time
}

// The kinds of change.
const (
	ChangeCame    = "came"
	ChangeWent    = "went"
	ChangeState   = "state"
	ChangeRenamed = "renamed"
)

// Changes are what happened in a time, by what was known: each belongs to the time in which the run ended that recorded it, so that
// what two times hold that follow each other is what both of them hold as one.
type Changes struct {
	// From and To are the time: after From, and at To or earlier.
	From, To time.Time
	// Begins is the instant from which on the history is whole. What happened earlier is not among the changes.
	Begins time.Time
	// Runs are those that ended in the time, and Known is when the last of them did: what happened later is not known.
	Runs  []Run
	Known time.Time
	// Changes are ordered by their instants, the oldest first.
	Changes []Change
	// Stand counts the findings that stand at Known.
	Stand int
	// Subjects counts those that are expected at Known, and Unknown those of them that are unknown then.
	Subjects, Unknown int
}

// Covers says whether the history knows the whole time: it begins early enough, runs were made until its end, and nothing was unknown
// when the last of them ended.
func (c *Changes) Covers() bool {
	return !c.Begins.IsZero() && !c.Begins.After(c.From) && len(c.Runs) > 0 && c.Unknown == 0 && !c.Broke()
}

// Broke says whether the runs seem to have ended before the time did: none followed the last for more than twice the longest pause
// between two of the time. Of fewer than two runs that cannot be told.
func (c *Changes) Broke() bool {
	var longest time.Duration
	for i := range c.Runs {
		if i > 0 {
			longest = max(longest, c.Runs[i].EndedAt.Sub(c.Runs[i-1].EndedAt))
		}
	}
	return len(c.Runs) > 1 && c.To.Sub(c.Known) > 2*longest
}

// Count counts the findings that came, and those that went by how they did.
func (c *Changes) Count() (came int, went map[Ending]int) {
	went = map[Ending]int{EndingRefuted: 0, EndingReplaced: 0, EndingBaseline: 0, EndingGone: 0}
	for i := range c.Changes {
		switch f := c.Changes[i].Finding; c.Changes[i].Kind {
		case ChangeCame:
			came++
		case ChangeWent:
			went[f.How]++
		}
	}
	return came, went
}

// Repair is the median of how long the findings had stood that were put right in the time; false when none was.
func (c *Changes) Repair() (time.Duration, bool) {
	var all []time.Duration
	for i := range c.Changes {
		if f := c.Changes[i].Finding; c.Changes[i].Kind == ChangeWent && f.How == EndingRefuted {
			all = append(all, f.EndedAt.Sub(f.FirstSeen))
		}
	}
	if len(all) == 0 {
		return 0, false
	}
	slices.Sort(all)
	n := len(all)
	return (all[(n-1)/2] + all[n/2]) / 2, true
}

// Compare says what happened after one instant and until another, to one account, by its id or a name that it bore, or to all if that
// is empty.
func Compare(ctx context.Context, s Store, from, to time.Time, account string) (*Changes, error) {
	return compare(ctx, s, Query{From: from, To: to, Account: account})
}

// Recent is Compare without Stand, Subjects and Unknown, and without what evidence says of the findings; so it does not say what
// Covers does. It costs what changed, and not what there is.
func Recent(ctx context.Context, s Store, from, to time.Time, account string) (*Changes, error) {
	return compare(ctx, s, Query{From: from, To: to, Account: account, Moved: true, Bare: true})
}

// compare is either, as the query for findings says.
func compare(ctx context.Context, s Store, q Query) (*Changes, error) {
	from, to := q.From, q.To
	c := &Changes{From: from, To: to, Known: from}
	var err error
	if c.Begins, err = s.Begins(ctx); err != nil {
		return nil, err
	}
	if c.Runs, err = s.Runs(ctx, from.Add(1), to.Add(1)); err != nil {
		return nil, err
	}
	for i := range c.Runs {
		if at := c.Runs[i].EndedAt; at.After(c.Known) {
			c.Known = at
		}
	}
	// What was so when the history begins is no change. What a run recorded that is under way now ends later than Known.
	since := from
	if c.Begins.After(since) {
		since = c.Begins
	}
	q.From, q.To = since, c.Known.Add(1)
	findings, err := s.Findings(ctx, q)
	if err != nil {
		return nil, err
	}
	if !q.Moved {
		if err := c.unknown(ctx, s, q.Account); err != nil {
			return nil, err
		}
	}
	q.Moved, q.Bare = true, true
	verdicts, err := s.Verdicts(ctx, q)
	if err != nil {
		return nil, err
	}
	in := func(at time.Time) bool { return at.After(since) && !at.After(c.Known) }
	c.findings(findings, in) // first, since a state follows from what is found
	c.states(verdicts, in)
	slices.SortStableFunc(c.Changes, func(a, b Change) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Account.Name, b.Account.Name), cmp.Compare(a.Account.ID, b.Account.ID),
			cmp.Compare(a.Agency, b.Agency), cmp.Compare(a.Baseline, b.Baseline))
	})
	return c, nil
}

// unknown counts the subjects that are expected when the last run ended, and those that are unknown then.
func (c *Changes) unknown(ctx context.Context, s Store, account string) error {
	q := At(c.Known, account)
	q.Bare = true
	verdicts, err := s.Verdicts(ctx, q)
	if err != nil {
		return err
	}
	c.Subjects = len(verdicts)
	for i := range verdicts {
		if verdicts[i].State == rules.StateUnknown {
			c.Unknown++
		}
	}
	return nil
}

// findings adds the findings that came and went.
func (c *Changes) findings(list []Finding, in func(time.Time) bool) {
	for i := range list {
		f := &list[i]
		over := !f.EndKnown.IsZero() && !f.EndKnown.After(c.Known)
		if !over && !f.FirstKnown.After(c.Known) {
			c.Stand++
		}
		if in(f.FirstKnown) {
			came := Change{Subject: f.Subject, At: f.FirstSeen, Run: f.FirstRun, Kind: ChangeCame, Finding: f}
			if over {
				came.Until = f.EndedAt
			}
			c.Changes = append(c.Changes, came)
		}
		if over && in(f.EndKnown) {
			c.Changes = append(c.Changes, Change{Subject: f.Subject, At: f.EndedAt, Run: f.EndedRun, Kind: ChangeWent, Finding: f})
		}
	}
}

// states adds what became of the subjects: verdicts are in the order in which they were recorded.
func (c *Changes) states(verdicts []Verdict, in func(time.Time) bool) {
	last := map[subjectKey]*Verdict{}
	// open is the last change of state of a subject, which the next one ends.
	open := map[subjectKey]int{}
	add := func(k subjectKey, change Change) {
		if i, has := open[k]; has {
			c.Changes[i].Until = change.At
		}
		c.Changes = append(c.Changes, change)
		if change.Is != "" {
			open[k] = len(c.Changes) - 1
		} else {
			delete(open, k)
		}
	}
	left := func(k subjectKey, v *Verdict) {
		if !v.Until.IsZero() && in(v.Until) {
			add(k, Change{
				Subject: v.Subject, At: v.Until, Run: v.UntilRun, Kind: ChangeState, Was: v.State, WasUnknown: v.Unknown,
			})
		}
	}
	for i := range verdicts {
		v := &verdicts[i]
		k := keyOf(v.Subject)
		was := last[k]
		last[k] = v
		change := Change{Subject: v.Subject, At: v.From, Run: v.FromRun, Kind: ChangeState, Is: v.State, Unknown: v.Unknown}
		switch {
		case was != nil && was.UntilRun == v.FromRun:
			change.Was, change.WasUnknown = was.State, was.Unknown
			if was.Account.Name != v.Account.Name && in(v.From) {
				c.Changes = append(c.Changes, Change{
					Subject: v.Subject, At: v.From, Run: v.FromRun, Kind: ChangeRenamed, CalledBefore: was.Account.Name,
				})
			}
		case was != nil:
			left(k, was)
		}
		if in(v.From) && (change.Was != change.Is || reasonOf(change.WasUnknown) != reasonOf(change.Unknown)) {
			add(k, change)
		}
	}
	for i := range verdicts {
		v := &verdicts[i]
		if k := keyOf(v.Subject); last[k] == v {
			left(k, v)
		}
	}
}

func reasonOf(u *rules.Unknown) rules.Reason {
	if u == nil {
		return ""
	}
	return u.Reason
}

// Known is what was known of a subject at an instant.
type Known struct {
	// Verdict is the one that held.
	Verdict
	// Since is when the state became what it was, and the reason, as far back as the history goes.
	Since time.Time
	// Lapsed says that the state is not what the run said: the account was waived, and a waiver ended after that, at Since.
	Lapsed bool
	// Findings are those that stood, as the history knows them now: some may have ended since.
	Findings []Finding
	// Run is the last run that had ended.
	Run Run
	// LastRead is not later than the last reading of the evidence until then began; zero without evidence.
	LastRead time.Time
}

// Then is what was known at an instant of an account, by its id or a name that it bore: one entry for each of its agencies. There
// is none when nothing was known of it.
func Then(ctx context.Context, s Store, at time.Time, account string) ([]Known, error) {
	runs, err := s.Runs(ctx, time.Time{}, at.Add(1))
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	last := runs[len(runs)-1]
	// What a run under way had read by then was not known yet.
	q := At(last.EndedAt, account)
	verdicts, err := s.Verdicts(ctx, q)
	if err != nil || len(verdicts) == 0 {
		return nil, err
	}
	findings, err := s.Findings(ctx, q)
	if err != nil {
		return nil, err
	}
	q.From, q.Bare = time.Time{}, true
	before, err := s.Verdicts(ctx, q)
	if err != nil {
		return nil, err
	}
	known := make([]Known, len(verdicts))
	for i, v := range verdicts {
		k := Known{Verdict: v, Since: v.From, Run: last, LastRead: v.ReadAt}
		if v.Judged && last.StartedAt.After(v.ReadAt) {
			k.LastRead = last.StartedAt // it read the same
		}
		run := v.FromRun
		for _, was := range slices.Backward(before) {
			if keyOf(was.Subject) == keyOf(v.Subject) && was.UntilRun == run && was.State == v.State && reasonOf(was.Unknown) == reasonOf(v.Unknown) {
				k.Since, run = was.From, was.FromRun
			}
		}
		for _, f := range findings {
			if keyOf(f.Subject) == keyOf(v.Subject) {
				k.Findings = append(k.Findings, f)
			}
		}
		k.lapse(at)
		known[i] = k
	}
	return known, nil
}

// lapse has what was waived be drifted from the instant on at which the first of the waivers ended that it took.
func (k *Known) lapse(at time.Time) {
	if k.State != rules.StateWaived || k.Evidence == nil || k.Evidence.Report.StateAt(at) != rules.StateDrifted {
		return
	}
	var first time.Time
	for i := range k.Evidence.Report.Findings {
		f := &k.Evidence.Report.Findings[i]
		if f.Severity.Drift() && f.Waived != nil && (first.IsZero() || f.Waived.Expires.Before(first)) {
			first = f.Waived.Expires
		}
	}
	k.State, k.Lapsed = rules.StateDrifted, true
	if first.After(k.Since) {
		k.Since = first
	}
}

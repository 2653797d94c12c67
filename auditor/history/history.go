// Package history remembers what runs found: each run and its outcome, since when each verdict and each finding has held and
// how it ended, and the evidence behind every verdict. It is written when something changes, so that it grows with drift and
// not with time.
//
// A Store in a file is SQLite inside of this process. What it cannot read it does not replace: damage is an error that says what
// to do, and a row that was altered is never shown as what was recorded.
package history

import (
	"context"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Store keeps a history. It is used by many goroutines at once. Package historytest holds every kind of store to what is
// promised here.
type Store interface {
	// Record adds what is known after a run, which is after.Run: all of it or nothing. When it returns nil, that is durable.
	// A run that is recorded already changes nothing. After an error the next Record catches up: what it records follows
	// from what the store has and from what is known, so that only the instants of changes are less exact.
	//
	// A restricted run is refused, since it does not know of the others.
	Record(ctx context.Context, after *auditor.Snapshot) error
	// Last is what a program starts from: see auditor.Restore.
	Last(ctx context.Context) (*auditor.Past, error)
	// Runs are the runs that ended at from or later and before to, in the order in which they were recorded. A zero instant
	// is no bound; so it is everywhere.
	Runs(ctx context.Context, from, to time.Time) ([]Run, error)
	// Findings are those that were known to stand at some time of the query's, in the order in which they were recorded: from when
	// the run ended that recorded one until the run did that recorded its end, whenever the readings had begun.
	Findings(ctx context.Context, q Query) ([]Finding, error)
	// Verdicts are those that were the last word at some time of the query's, in the order in which they were recorded.
	Verdicts(ctx context.Context, q Query) ([]Verdict, error)
	// Begins is the instant from which on the history is whole: when its first run ended or, if that is later, the last one before
	// which Compact forgot. What began earlier and still held then is whole, too. Zero before the first run.
	Begins(ctx context.Context) (time.Time, error)
	// Accounts are all that were ever recorded and are not forgotten, as each was called last, in the order of names and ids.
	Accounts(ctx context.Context) ([]rules.Account, error)
	// Compact forgets the verdicts and findings that ended before an instant, and the runs that did unless something begins or
	// ends with them that is kept. The last run, the last complete one, the last verdict of each subject, and the first account
	// that it trusted stay. An instant after the newest run ended is refused, and nothing is forgotten: a clock is wrong then. Before
	// the first run there is nothing to forget.
	Compact(ctx context.Context, before time.Time) error
	// Mark remembers a short text by a name, in place of the one before; an empty one is forgotten. When it returns nil, that is durable.
	// Runs and Compact leave marks alone.
	Mark(ctx context.Context, name, value string) error
	// Marks are all that are remembered, by their names.
	Marks(ctx context.Context) (map[string]string, error)
	// Check reads everything and fails if any of it is not as it was recorded.
	Check(ctx context.Context) error
	// Size is how many bytes the history takes on disk.
	Size() (int64, error)
	// Close ends the use of the store. What is durable does not depend on it.
	Close() error
}

// Query chooses a part of the history.
type Query struct {
	// From and To bound the time: what holds at From or later and before To. A zero instant is no bound.
	From, To time.Time
	// Account chooses one account by its id or by a name that it bore; empty chooses all. What is written like an id is never a name:
	// an account can call itself by the id of another one.
	Account string
	// Moved chooses, of that, what began or ended after From and before To: what changed, and not what was as before.
	Moved bool
	// Bare leaves the evidence of verdicts out, which is nearly all of their size, and what evidence says of findings.
	Bare bool
}

// called is the name that is asked for; nil, which is none, where it is an id.
func (q Query) called() any {
	if rules.IsAccountID(q.Account) {
		return nil
	}
	return q.Account
}

// At is the query for what held at one instant, of one account or of all.
func At(t time.Time, account string) Query { return Query{From: t, To: t.Add(1), Account: account} }

// overlaps says whether something that holds from an instant until another, or for ever if that is zero, is of the query's time.
func (q Query) overlaps(from, until time.Time) bool {
	return (q.To.IsZero() || from.Before(q.To)) && (until.IsZero() || until.After(q.From))
}

// chooses says whether something that holds from an instant until another, or for ever if that is zero, is asked for.
func (q Query) chooses(from, until time.Time) bool {
	in := func(at time.Time) bool { return at.After(q.From) && (q.To.IsZero() || at.Before(q.To)) }
	return q.overlaps(from, until) && (!q.Moved || in(from) || !until.IsZero() && in(until))
}

// Run is one run and its outcome.
type Run struct {
	ID      string `json:"id"`
	Trigger string `json:"trigger"`
	// Program is the version of the program that made the run.
	Program   string    `json:"program"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Complete  bool      `json:"complete"`
	// Suspect says in words why the run should not be acted on; none when it may be.
	Suspect []string `json:"suspect,omitempty"`
	// States counts the subjects by what the run said of them; every state is a key.
	States map[rules.State]int `json:"states"`
	// Baselines are what the run judged by, by name.
	Baselines []Baseline `json:"baselines"`
}

// Baseline is a baseline as a run knew it.
type Baseline struct {
	Name string `json:"name"`
	// Digest is that of its file, Print one of all that judging by it depends on, with severities and what is allowed to whom.
	Digest string `json:"digest"`
	Print  string `json:"print"`
}

// Finding is the time during which a finding stood: from the reading that first showed it until evidence refuted it. While an
// account is unknown, what was found in it stands.
type Finding struct {
	auditor.Subject
	Rule     string          `json:"rule"`
	Policy   string          `json:"policy,omitempty"`
	PolicyID string          `json:"policy_id,omitempty"`
	Scope    rules.ScopeKind `json:"scope,omitempty"`
	// Trusts is the account that the agency trusted, where the finding is about that: one that trusts another one is another finding.
	Trusts string `json:"trusts,omitempty"`
	// FirstSeen is when the reading began that first showed it, FirstRun the run that recorded it, and FirstKnown when that ended.
	FirstSeen  time.Time `json:"first_seen"`
	FirstRun   string    `json:"first_run"`
	FirstKnown time.Time `json:"first_known"`
	// LastRun is the last run in which it stood, and LastSeen when that run ended.
	LastSeen time.Time `json:"last_seen"`
	LastRun  string    `json:"last_run"`
	// EndedAt is when the reading began that no longer showed it, or when the run ended that knew it to be over for another
	// reason; zero while it stands. EndedRun is the run that recorded that, EndKnown when it ended, and How says why.
	EndedAt  time.Time `json:"ended_at,omitzero"`
	EndedRun string    `json:"ended_run,omitempty"`
	EndKnown time.Time `json:"end_known,omitzero"`
	How      Ending    `json:"how,omitempty"`
	// As is the finding as the evidence has it that first showed it, or the earliest that is not forgotten; nil in a bare query.
	As *rules.Finding `json:"as,omitempty"`
}

// Ending says how a finding ended.
type Ending string

// The endings of a finding.
const (
	// EndingRefuted is that evidence showed that it was so no longer.
	EndingRefuted Ending = "refuted"
	// EndingReplaced is that it gave way to something that is no better: to a policy that is not granted at all, to the end of the agency that
	// was near, to no agency, or to another wrong account that the agency trusts.
	EndingReplaced Ending = "replaced"
	// EndingBaseline is that it is judged by other rules, and may well be so still. Before there was EndingReplaced it was that as well.
	EndingBaseline Ending = "baseline"
	// EndingGone is that the account left the fleet, or is left alone.
	EndingGone Ending = "gone"
)

// Verdict is the time during which the same was known of a subject.
type Verdict struct {
	// Subject has the account as it was called then.
	auditor.Subject
	// From is when the run ended that brought the verdict, and Until when the run did that brought another one, or in which the
	// subject had left; zero while it holds. FromRun and UntilRun are these runs.
	From     time.Time `json:"from"`
	FromRun  string    `json:"from_run"`
	Until    time.Time `json:"until,omitzero"`
	UntilRun string    `json:"until_run,omitempty"`
	// State is what the run said, with the reason when that is unknown.
	State   rules.State    `json:"state"`
	Unknown *rules.Unknown `json:"unknown,omitempty"`
	// Evidence is the sweep that the verdict rests on, as it was read, if Judged says so; else it is the last evidence that
	// there was, as it was first read; nil when there was none. It is marked as replayed.
	Evidence *auditor.Sweep `json:"evidence,omitempty"`
	Judged   bool           `json:"judged"`
	// ReadAt is when the last reading of the evidence began that the run knew of which brought the verdict; never later than is
	// true, and zero without evidence.
	ReadAt time.Time `json:"read_at,omitzero"`
}

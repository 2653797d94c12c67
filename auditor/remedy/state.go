package remedy

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// day is the span of the limits that are by the day. It slides, so that no midnight doubles them.
const day = 24 * time.Hour

// writesOfAGrant is how often one grant may be written in a day: what is undone once more than that is undone by somebody on purpose.
const writesOfAGrant = 2

// maxCooling is how many times as long an account is left alone after many failures as after one.
const maxCooling = 32

// State is what follows from the ledger's entries: what is open, what was done in the last day, what stands still. It is a fold over them
// and nothing else, so that a restart knows what the program knew.
type State struct {
	entries int64
	at      time.Time // of the last entry
	ledger  string    // the hash of the first entry, by which one ledger is told from another
	frozen  *Freeze
	// open are the intents without outcome, by their number.
	open map[int64]*Open
	// writes are the requests of the last day, or what may have been one.
	writes     []write
	touched    map[string]time.Time // when the last request was about to be sent, or was settled, by account
	failures   map[string]failures  // by account
	quarantine map[string]Quarantine
	approvals  map[int64]*approval
	nonces     map[string]bool
	// waiting is since when a plan waits for approval, by its digest.
	waiting map[string]time.Time
	// done are the intents that had their effect, or may yet show it, by number, and undone those of them that were taken back.
	done   map[int64]Done
	undone map[int64]bool
	last   []Done
}

// Freeze is that all repair stands still.
type Freeze struct {
	Since  time.Time `json:"since"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// Open is an intent of which it is not known yet what became of it.
type Open struct {
	Intent   int64      `json:"intent"`
	Run      string     `json:"run"`
	Plan     string     `json:"plan"`
	Step     rules.Step `json:"step"`
	Since    time.Time  `json:"since"`
	Baseline string     `json:"baseline"`
	// SentAt is when its request was about to be sent; zero when it was not. Said is what the answer claimed, empty when that is not known.
	SentAt    time.Time `json:"sent_at,omitzero"`
	Said      string    `json:"said,omitempty"`
	RequestID string    `json:"request_id,omitempty"`
	Actor     string    `json:"actor"`
}

// Quarantine is a grant that is left alone until a person lifts that.
type Quarantine struct {
	Target    string     `json:"target"`
	AccountID string     `json:"account_id"`
	Since     time.Time  `json:"since"`
	Reason    string     `json:"reason"`
	Step      rules.Step `json:"step"`
}

// Done is an intent with what became of it.
type Done struct {
	Open
	EndedAt time.Time `json:"ended_at"`
	Outcome Outcome   `json:"outcome"`
	Reason  string    `json:"reason,omitempty"`
}

type write struct {
	at             time.Time
	intent         int64
	run            string
	action         rules.Action
	undoes         bool
	account        string
	policy, target string // target is as flips says
	// failed says that the request is known to have had no effect.
	failed bool
}

// flips is what somebody and this program may write in turn: a grant of the agency of that name, for who deletes the agency and makes it anew undoes
// what was granted as well.
func flips(step *rules.Step) string {
	same := *step
	same.AgencyID = step.Agency
	return same.Target()
}

// kind is the kind of repair by whose limit a write counts: one that takes another back counts like that, so that whatever was within
// the limits can be taken back within them.
func kind(action rules.Action, undoes bool) rules.Action {
	switch {
	case !undoes:
		return action
	case action == rules.ActionGrant:
		return rules.ActionRevoke
	}
	return rules.ActionGrant
}

type failures struct {
	n    int
	last time.Time
}

type approval struct {
	Consent
	seq     int64
	digests []string
	plan    string
	used    bool
}

// keptWrites is how long writes are kept beyond the last one: many times the longest span that is asked for. It goes by the ledger's own
// times, since a clock that was ahead for a moment would have them forgotten.
const keptWrites = 30 * day

// lastShown is how many of the last outcomes are kept for people to see.
const lastShown = 20

// NewState is the state of an empty ledger.
func NewState() *State {
	return &State{
		open: map[int64]*Open{}, touched: map[string]time.Time{}, failures: map[string]failures{}, quarantine: map[string]Quarantine{},
		approvals: map[int64]*approval{},
		nonces:    map[string]bool{}, waiting: map[string]time.Time{}, done: map[int64]Done{}, undone: map[int64]bool{},
	}
}

// Add takes an entry into account. Entries come in the order of the ledger.
func (s *State) Add(e Entry) {
	s.entries, s.at = e.Seq, e.Time
	if e.Seq == 1 {
		s.ledger = e.Hash
	}
	switch e.Kind {
	case KindStarted:
	case KindPlanned:
		if e.Approval == 0 && len(e.Digests) > 0 {
			if _, known := s.waiting[e.Plan]; !known {
				s.waiting = map[string]time.Time{e.Plan: e.Time} // one waits at a time
			}
			return
		}
		s.use(e.Approval)
		delete(s.waiting, e.Plan)
	case KindApproved:
		s.approvals[e.Seq] = &approval{
			Consent: Consent{Actor: e.Actor, Nonce: e.Nonce, Expires: e.Expires, Signature: e.Signature}, seq: e.Seq, digests: e.Digests, plan: e.Plan,
			// What was signed counts once and for these steps, whoever wrote the entry.
			used: s.nonces[e.Nonce] || planDigest(e.RequestedBy, s.ledger, e.Undoes, e.Digests) != e.Plan,
		}
		s.nonces[e.Nonce] = true
	case KindRejected:
		// Whoever was told no is not taken at their word later, when it would count, by somebody who kept it.
		s.nonces[e.Nonce] = e.Nonce != ""
	case KindIntent:
		if e.Step != nil {
			s.open[e.Seq] = &Open{Intent: e.Seq, Run: e.Run, Plan: e.Plan, Step: *e.Step, Since: e.Time, Actor: e.Actor, Baseline: e.Baseline}
		}
	case KindSent:
		if o := s.open[e.Intent]; o != nil {
			o.SentAt = e.Time
			s.touched[o.Step.AccountID] = e.Time
			s.writes = append(s.writes, write{
				at: e.Time, intent: e.Intent, run: o.Run, action: o.Step.Action, undoes: o.Step.Undoes > 0, account: o.Step.AccountID,
				policy: o.Step.Grant.Policy.ID, target: flips(&o.Step),
			})
			s.writes = slices.DeleteFunc(s.writes, func(w write) bool { return e.Time.Sub(w.at) > keptWrites })
		}
	case KindPending:
		if o := s.open[e.Intent]; o != nil {
			o.Said, o.RequestID = cmp.Or(e.Said, o.Said), cmp.Or(e.RequestID, o.RequestID)
		}
	case KindOutcome:
		s.end(e)
	case KindFrozen:
		s.use(e.Approval) // else what was approved and exceeded a limit would freeze again, each time that a person lifts that
		if s.frozen == nil {
			s.frozen = &Freeze{Since: e.Time, By: e.Actor, Reason: e.Reason}
		}
	case KindUnfrozen:
		s.frozen = nil
	case KindQuarantined:
		q := Quarantine{Target: e.Target, AccountID: e.AccountID, Since: e.Time, Reason: e.Reason}
		if e.Step != nil {
			q.Step = *e.Step
		}
		s.quarantine[e.Target] = q
	case KindReleased:
		maps.DeleteFunc(s.quarantine, func(_ string, q Quarantine) bool { return q.AccountID == e.AccountID })
		delete(s.failures, e.AccountID)
	}
}

// use says that an approval does not count any more, by the number of its entry, nor any other of the same plan; 0 is none.
func (s *State) use(approval int64) {
	if a := s.approvals[approval]; a != nil {
		for _, same := range s.approvals {
			same.used = same.used || same.plan == a.plan
		}
	}
}

// end takes an outcome into account.
func (s *State) end(e Entry) {
	o := s.open[e.Intent]
	if o == nil {
		return
	}
	delete(s.open, e.Intent)
	d := Done{Open: *o, EndedAt: e.Time, Outcome: e.Outcome, Reason: e.Reason}
	d.Said, d.RequestID = cmp.Or(e.Said, o.Said), cmp.Or(e.RequestID, o.RequestID)
	s.last = append(s.last, d)
	if n := len(s.last) - lastShown; n > 0 {
		s.last = slices.Delete(s.last, 0, n)
	}
	id := o.Step.AccountID
	if !o.SentAt.IsZero() {
		s.touched[id] = e.Time
	}
	switch e.Outcome {
	case OutcomeNotSent:
		s.writes = slices.DeleteFunc(s.writes, func(w write) bool { return w.intent == e.Intent })
	case OutcomeFailed:
		for i := range s.writes {
			s.writes[i].failed = s.writes[i].failed || s.writes[i].intent == e.Intent
		}
	case OutcomeDone, OutcomeNoop, OutcomeSuperseded, OutcomeUnverified:
	}
	switch e.Outcome {
	case OutcomeDone:
		delete(s.failures, id)
		s.done[e.Intent] = d
		if o.Step.Undoes > 0 {
			s.undone[o.Step.Undoes] = true
		}
	case OutcomeNoop:
		delete(s.failures, id)
	case OutcomeFailed, OutcomeUnverified:
		if e.Outcome == OutcomeUnverified { // it may show when nobody waits for it any more
			s.done[e.Intent] = d
		}
		f := s.failures[id]
		s.failures[id] = failures{f.n + 1, e.Time}
	case OutcomeNotSent, OutcomeSuperseded:
	}
}

// busy says whether something is open in an account.
func (s *State) busy(account string) bool {
	for _, o := range s.open {
		if o.Step.AccountID == account {
			return true
		}
	}
	return false
}

// intents are the open ones in the order of the ledger.
func (s *State) intents() []*Open {
	return slices.SortedFunc(maps.Values(s.open), func(a, b *Open) int { return cmp.Compare(a.Intent, b.Intent) })
}

// spent is until when a grant of an account was written within a day as often as one may be; zero when none was.
func (s *State) spent(account string, now time.Time) (until time.Time) {
	s.within(now, func(w *write) {
		if w.account != account {
			return
		}
		if all, _, first := s.written(w.target, now); all >= writesOfAGrant && first.Add(day).After(until) {
			until = first.Add(day)
		}
	})
	return until
}

// Claimed says that the cloud said that it was done, or was so already, and that the account does not show it yet.
func (o *Open) Claimed() bool {
	return o.Said == string(auditor.SaidDone) || o.Said == string(auditor.SaidAlready)
}

// cooling is until when an account is left alone after failures; zero when it is not.
func (s *State) cooling(account string, coolDown time.Duration) time.Time {
	f := s.failures[account]
	if f.n == 0 {
		return time.Time{}
	}
	times := 1
	for range f.n - 1 {
		if times *= 2; times >= maxCooling {
			times = maxCooling
			break
		}
	}
	return f.last.Add(time.Duration(times) * coolDown)
}

// within are the writes of the last day.
func (s *State) within(now time.Time, yield func(*write)) {
	for i := range s.writes {
		if now.Sub(s.writes[i].at) < day {
			yield(&s.writes[i])
		}
	}
}

// written counts the writes of a grant in the last day, and those of them that may have had an effect; first is when the first was.
func (s *State) written(target string, now time.Time) (all, effective int, first time.Time) {
	s.within(now, func(w *write) {
		if w.target != target {
			return
		}
		if all == 0 || w.at.Before(first) {
			first = w.at
		}
		all++
		if !w.failed {
			effective++
		}
	})
	return all, effective, first
}

// inForce are the approvals that count, the newest first: not used, not ended, and of somebody who may approve now.
func (s *State) inForce(p Policy, now time.Time) []*approval {
	var list []*approval
	for _, a := range s.approvals {
		if !a.used && now.Before(a.Expires) && p.hears(&a.Consent, a.plan) == nil {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b *approval) int { return cmp.Compare(b.seq, a.seq) })
	return list
}

// approved is the newest approval of a plan that counts, by the plan's digest; nil when none does.
func (s *State) approved(p Policy, plan string, now time.Time) *approval {
	for _, a := range s.inForce(p, now) {
		if a.plan == plan {
			return a
		}
	}
	return nil
}

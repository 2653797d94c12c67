package remedy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// firstWaits are the pauses before each reading that follows a request: most changes show within seconds. What takes longer is pending, and
// read again after later runs.
var firstWaits = [...]time.Duration{0, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// errStop ends what is carried out, and is no error of the ledger.
var errStop = errors.New("stopped")

// trip is one plan while it is carried out.
type trip struct {
	job  *Job
	plan *Plan
	// fleet is how many accounts there are by what is known now, whatever the plan's file says.
	fleet    int
	approval int64
	actor    string
	// expected is the digest of what each agency should hold now, by account and agency.
	expected map[string]string
	// void are the accounts that are not as they should be, or of which it is not known yet whether they are, so that nothing more is done there.
	void map[string]bool
	// pending says that the cloud does not show yet what it said.
	pending bool
	// intents are those of the plan, in order.
	intents []int64
	// done says that a step had its effect.
	done bool
	// held is why a request was held back in the moment before it would have been sent, with the details; empty when none was.
	held   rules.Hold
	detail string
}

// unit are steps of one kind in one agency, which are carried out together.
type unit []rules.Step

// carry carries out a plan, which is a part of what is proposed now: all of it within the limits, or nothing. The caller holds turn. Its
// error is one of the ledger.
func (e *Engine) carry(ctx context.Context, job *Job, p, proposed *Plan, approval int64, actor string) (*trip, error) {
	now := e.clock.Now()
	t := &trip{job: job, plan: p, fleet: proposed.Fleet, approval: approval, actor: actor, expected: map[string]string{}, void: map[string]bool{}}
	if why, detail := e.stopped(job, now); why != "" {
		e.meter.Blocked(why)
		e.log.Warn("repair is held back", "reason", why, "detail", detail, "steps", len(p.Steps))
		return t, nil
	}
	for i := range p.Steps {
		if s := &p.Steps[i]; job.Appliers[s.Action] == nil {
			return t, fmt.Errorf("carry out %s: nothing here can do that", s.Short())
		}
	}
	e.mu.Lock()
	e.ended = nil
	over := job.Policy.Limits.exceeds(p, e.state, proposed.Fleet, now)
	e.mu.Unlock()
	if over != "" {
		e.meter.Blocked(rules.HoldBudget)
		e.log.Error("the plan exceeds a limit: nothing of it is carried out", "plan", p.Digest, "reason", over)
		// By whoever had it carried out, as the plan would have been: whom to ask is what people want to know.
		return t, e.freeze(Entry{Actor: actor, Run: p.Run, Plan: p.Digest, Approval: approval, Reason: "a limit is exceeded: " + over})
	}
	if _, err := e.note(Entry{
		Kind: KindPlanned, Actor: actor, Run: p.Run, Plan: p.Digest, Approval: approval, Steps: len(p.Steps), Fleet: proposed.Fleet,
		Reason: "is carried out",
	}); err != nil {
		return t, err
	}
	e.log.Info("repair begins", "plan", p.Digest, "run", p.Run, "steps", len(p.Steps), "by", actor)
	for i := range p.Steps {
		t.expected[agencyKey(&p.Steps[i])] = p.Steps[i].Holding
	}
	if err := e.waves(ctx, t); !errors.Is(err, errStop) {
		return t, err
	}
	return t, nil
}

func agencyKey(s *rules.Step) string { return s.AccountID + ":" + s.Agency }

// units puts the steps of one kind in one agency together, in order.
func units(steps []rules.Step) []unit {
	var all []unit
	for i := range steps {
		n := len(all)
		if n > 0 && all[n-1][0].Action == steps[i].Action && agencyKey(&all[n-1][0]) == agencyKey(&steps[i]) {
			all[n-1] = append(all[n-1], steps[i])
		} else {
			all = append(all, unit{steps[i]})
		}
	}
	return all
}

// waves carries units out in waves of one, two, four and so on: each wave begins when all of the one before is known to have had its effect.
// After one in which nothing was to be done any more the next is no greater.
func (e *Engine) waves(ctx context.Context, t *trip) error {
	todo := units(t.plan.Steps)
	for size := 1; len(todo) > 0; {
		wave := todo[:min(size, len(todo))]
		todo, t.done = todo[len(wave):], false
		for _, u := range wave {
			if err := e.unit(ctx, t, u); err != nil {
				return err
			}
		}
		if t.pending && len(todo) > 0 {
			e.meter.Blocked(rules.HoldPending)
			e.log.Info("repair goes on when the cloud shows what was done", "plan", t.plan.Digest)
			return nil
		}
		if t.done {
			size *= 2
		}
	}
	return nil
}

// unit carries out the steps of one kind in one agency, until one of them finds it otherwise than expected.
func (e *Engine) unit(ctx context.Context, t *trip, u unit) error {
	for i := range u {
		if t.void[u[i].AccountID] {
			e.meter.Blocked(rules.HoldMoved)
			continue
		}
		if err := e.step(ctx, t, &u[i]); err != nil {
			return err
		}
	}
	return nil
}

// step carries out one step: intent, reading, one request, reading, outcome. errStop ends the whole plan.
func (e *Engine) step(ctx context.Context, t *trip, s *rules.Step) error {
	if ctx.Err() != nil {
		e.log.Warn("repair ends with the program; what is left is planned again", "plan", t.plan.Digest)
		return errStop
	}
	if why, detail := e.stopped(t.job, e.clock.Now()); why != "" {
		return e.block(why, detail)
	}
	st, b := find(t.job.Snapshot, s)
	if st == nil {
		e.meter.Blocked(rules.HoldMoved)
		t.void[s.AccountID] = true
		return nil
	}
	intent, err := e.note(Entry{
		Kind: KindIntent, Actor: t.actor, Run: t.plan.Run, Plan: t.plan.Digest, Baseline: b.Digest, Approval: t.approval, Step: s, Fleet: t.fleet,
	})
	if err != nil {
		return err
	}
	t.intents = append(t.intents, intent.Seq)
	o := &Open{Intent: intent.Seq, Run: intent.Run, Plan: intent.Plan, Step: *s, Since: intent.Time, Actor: intent.Actor, Baseline: intent.Baseline}
	void := func(why rules.Hold, detail string) error {
		e.meter.Blocked(why)
		t.void[s.AccountID] = true
		return e.finish(o, OutcomeNotSent, auditor.Answer{}, nil, string(why)+": "+detail)
	}
	if known, _ := find(t.job.known(), s); known == nil { // a run has ended meanwhile
		return void(rules.HoldMoved, "the account is no longer audited")
	}
	before, ids, err := e.read(ctx, t.job, st, b)
	if err != nil {
		return void(rules.HoldUnreachable, err.Error())
	}
	passing("reread", "")
	readAt := e.clock.Now()
	if before.Digest() != t.expected[agencyKey(s)] || before.AgencyID() != s.AgencyID || before.Fits(s) {
		return void(rules.HoldMoved, "the agency is not what it was when the plan was made (reading "+first(ids)+")")
	}
	if by := waivedBy(t.job.Snapshot, st, s, readAt); by != "" {
		return void(rules.HoldWaived, "the waiver "+by+" began after the plan was made")
	}
	why, detail, err := e.begin(t.job, o)
	if err != nil {
		return err
	}
	if why != "" {
		if err := e.finish(o, OutcomeNotSent, auditor.Answer{}, ids, string(why)+": "+detail); err != nil {
			return err
		}
		return e.block(why, detail)
	}
	answer, err := e.apply(ctx, t, o, readAt)
	if err != nil {
		return err
	}
	passing("answered", "")
	return e.verify(ctx, t, o, before, answer)
}

// waivedBy is the waiver that accepts by now what a step would put right; empty when none does.
func waivedBy(snapshot *auditor.Snapshot, st *auditor.Standing, s *rules.Step, now time.Time) string {
	for _, f := range accepted(st, waiversOf(snapshot), now) {
		if f.Rule == s.Rule && f.Scope == s.Grant.Scope.Kind && f.WaivedAt(now) &&
			(f.PolicyID == s.Grant.Policy.ID || f.PolicyID == "" && f.Policy == s.Grant.Policy.Name) {
			return f.Waived.Waiver
		}
	}
	return ""
}

// begin writes down that a request is about to be sent, unless something holds it back. A freeze comes before both or after both.
func (e *Engine) begin(job *Job, o *Open) (rules.Hold, string, error) {
	killed := job.killed()
	e.mu.Lock()
	defer e.mu.Unlock()
	if why, detail := e.holds(job, killed, e.clock.Now()); why != "" {
		return why, detail, nil
	}
	sent, err := e.append(Entry{Kind: KindSent, Actor: e.self, Run: o.Run, Plan: o.Plan, Intent: o.Intent})
	o.SentAt = sent.Time
	return "", "", err
}

func (e *Engine) block(why rules.Hold, detail string) error {
	e.meter.Blocked(why)
	e.log.Warn("repair is held back", "reason", why, "detail", detail)
	return errStop
}

func first(ids []string) string {
	if len(ids) == 0 {
		return "without an id"
	}
	return ids[0]
}

// find is the subject of a step with its baseline.
func find(s *auditor.Snapshot, step *rules.Step) (*auditor.Standing, *rules.Baseline) {
	i := slices.IndexFunc(s.Standings, func(st auditor.Standing) bool {
		return st.Account.ID == step.AccountID && st.Agency == step.Agency && st.Baseline == step.Baseline
	})
	if i < 0 {
		return nil, nil
	}
	b := baselineOf(s, &s.Standings[i])
	if b == nil {
		return nil, nil
	}
	return &s.Standings[i], b
}

// audited is find for a step that was carried out: another baseline may be for its agency by now, or the same one by another name.
func audited(s *auditor.Snapshot, step *rules.Step) (*auditor.Standing, *rules.Baseline) {
	is := *step
	for i := range s.Standings {
		if st := &s.Standings[i]; st.Account.ID == step.AccountID && st.Agency == step.Agency {
			if st.Baseline == step.Baseline {
				return find(s, step)
			}
			is.Baseline = st.Baseline
		}
	}
	return find(s, &is)
}

// read reads an agency anew, every plane of it by two witnesses.
func (e *Engine) read(ctx context.Context, job *Job, st *auditor.Standing, b *rules.Baseline) (h rules.Holding, ids []string, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.meter.Panicked("read")
			e.log.Error("panic", "while", "reading again", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = errors.New("a bug in this program ended the reading")
		}
	}()
	if job.ReadTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, job.ReadTimeout,
			fmt.Errorf("the time of %s for one reading is over: %w", rules.Span(job.ReadTimeout), context.DeadlineExceeded))
		defer cancel()
	}
	last := st.LastEvidence()
	last.All = true
	ev, _, err := job.Reader.Observe(ctx, st.Account, *b, last)
	if err != nil {
		return h, nil, err
	}
	if ev.Account().ID != st.Account.ID || ev.Replayed() || ev.AgencyName() != st.Agency {
		return h, nil, errors.New("the evidence is not of this agency, or not of now")
	}
	ids = ev.RequestIDs()
	for _, p := range ev.Planes() {
		ids = append(ids[:len(ids):len(ids)], p.RequestIDs...)
	}
	return ev.Holding(), ids[:min(len(ids), maxReadIDs)], nil
}

// maxReadIDs is how many ids of a reading's answers the ledger keeps.
const maxReadIDs = 8

// apply has the one request sent. A panic of it, be it survived there already, leaves the intent open, and freezes everything.
//
// What would have held it back before holds it back until it leaves: to write down that it is about to be sent, and to enter the account, may take
// minutes, in which people freeze and accounts change.
func (e *Engine) apply(ctx context.Context, t *trip, o *Open, readAt time.Time) (a auditor.Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			e.log.Error("panic", "while", "sending a change", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			err = e.panicked(o)
		}
	}()
	t.held, t.detail = "", ""
	a = t.job.Appliers[o.Step.Action].Apply(ctx, &o.Step, func() error {
		now := e.clock.Now()
		if t.held, t.detail = e.stopped(t.job, now); t.held == "" && now.Sub(readAt) > mostSinceRead {
			t.held, t.detail = rules.HoldMoved, fmt.Sprintf("the account was read %s before", rules.Span(now.Sub(readAt).Round(time.Second)))
		}
		if t.held != "" {
			return fmt.Errorf("%s: %s", t.held, t.detail)
		}
		return nil
	})
	if a.Why != nil && a.Why.Reason == rules.ReasonPanic {
		return a, e.panicked(o)
	}
	return a, nil
}

// mostSinceRead is how long before its request an account may have been read.
const mostSinceRead = time.Minute

// panicked freezes everything since a bug ended the sending of a change.
func (e *Engine) panicked(o *Open) error {
	e.meter.Panicked("write")
	if err := e.Freeze(e.self, fmt.Sprintf("a bug in this program ended the sending of a change (intent %d)", o.Intent)); err != nil {
		return err
	}
	return errStop
}

// verify reads until the account shows what became of a request, or for as long as one waits at once.
func (e *Engine) verify(ctx context.Context, t *trip, o *Open, before rules.Holding, a auditor.Answer) error {
	s := &o.Step
	if a.Said == auditor.SaidUnsent && t.held != "" {
		t.void[s.AccountID] = true
		if err := e.finish(o, OutcomeNotSent, a, nil, string(t.held)+": "+t.detail); err != nil {
			return err
		}
		return e.block(t.held, t.detail)
	}
	if a.Said == auditor.SaidUnsent {
		t.void[s.AccountID] = true
		if err := e.finish(o, OutcomeNotSent, a, nil, why(a)); err != nil {
			return err
		}
		return e.block(rules.HoldUnreachable, why(a))
	}
	expected := before.After(s)
	st, b := find(t.job.Snapshot, s)
	for _, wait := range firstWaits {
		if wait > 0 {
			if err := e.clock.Sleep(ctx, wait); err != nil {
				break
			}
		}
		after, ids, err := e.read(ctx, t.job, st, b)
		if err != nil {
			continue
		}
		passing("readback", "")
		if after.AgencyID() != "" && !after.SameTrust(before) {
			return e.estranged(t, o, after, a, ids)
		}
		outcome, reason := judge(s, a.Said, after, false)
		if outcome == "" {
			continue
		}
		t.expected[agencyKey(s)] = expected.Digest()
		if after.Digest() != expected.Digest() {
			t.void[s.AccountID] = true // somebody else is at work there
		}
		if err := e.finish(o, outcome, a, ids, join(why(a), reason)); err != nil {
			return err
		}
		if outcome == OutcomeDone || outcome == OutcomeNoop {
			t.done = true
			return nil
		}
		return e.block(rules.HoldStopped, string(outcome)+": "+why(a))
	}
	// It is neither done nor not: later runs read again.
	t.void[s.AccountID] = true
	if err := e.pend(t, o, a); err != nil {
		return err
	}
	if a.Said == auditor.SaidDone || a.Said == auditor.SaidAlready {
		return nil
	}
	return e.block(rules.HoldPending, "it is not known what came of a request: "+why(a))
}

// estranged is that the change went into an agency that trusts somebody else by now: everything stops, whatever came of the request.
func (e *Engine) estranged(t *trip, o *Open, after rules.Holding, a auditor.Answer, ids []string) error {
	// First of all: a process that ends in between finds the intent open, and settles it then.
	if err := e.distrust(o); err != nil {
		return err
	}
	outcome, reason := judge(&o.Step, a.Said, after, false)
	var err error
	if outcome == "" {
		err = e.pend(t, o, a)
	} else {
		err = e.finish(o, outcome, a, ids, join(why(a), reason))
	}
	if err != nil {
		return err
	}
	return errStop
}

// distrust freezes everything since an agency trusts somebody else than it did.
func (e *Engine) distrust(o *Open) error {
	return e.Freeze(e.self, fmt.Sprintf("while intent %d was carried out, it changed whom the agency %s of account %s (%s) trusts: look at it first",
		o.Intent, o.Step.Agency, o.Step.Account, o.Step.AccountID))
}

// pend writes down that it is not known yet what came of a request.
func (e *Engine) pend(t *trip, o *Open, a auditor.Answer) error {
	t.pending = true
	s := &o.Step
	if _, err := e.note(Entry{
		Kind: KindPending, Actor: e.self, Run: o.Run, Plan: o.Plan, Intent: o.Intent, Said: string(a.Said), RequestID: a.RequestID, Reason: why(a),
	}); err != nil {
		return err
	}
	e.log.Warn("a step is pending", "account", s.Account, "account_id", s.AccountID, "step", s.Short(), "said", a.Said,
		"request_id", a.RequestID, "reason", why(a))
	return nil
}

func why(a auditor.Answer) string {
	if a.Why == nil {
		return ""
	}
	text := a.Why.Error()
	if a.Why.Remedy != "" {
		text += "; " + a.Why.Remedy
	}
	return text
}

func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return b + "; " + a
}

// finish is end for whoever does not hold mu.
func (e *Engine) finish(o *Open, outcome Outcome, a auditor.Answer, ids []string, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.end(o, outcome, a, ids, reason)
}

// judge says what became of a request by what is read after it; empty when that is not known yet. over says that the cloud has had all the
// time that it may take.
func judge(s *rules.Step, said auditor.Said, after rules.Holding, over bool) (Outcome, string) {
	switch {
	case after.AgencyID() != s.AgencyID:
		if over || said == auditor.SaidRefused || said == auditor.SaidFailed {
			return OutcomeSuperseded, "the agency is gone, or another one by now"
		}
		return "", ""
	case after.Fits(s):
		switch said {
		case auditor.SaidAlready:
			return OutcomeNoop, ""
		case auditor.SaidRefused, auditor.SaidFailed:
			return OutcomeSuperseded, "the cloud refused, and yet it is so: somebody else did it"
		case auditor.SaidDone, auditor.SaidNothing, auditor.SaidUnsent, "":
		}
		return OutcomeDone, ""
	case said == auditor.SaidRefused || said == auditor.SaidFailed:
		return OutcomeFailed, ""
	case !over:
		return "", ""
	case said == auditor.SaidDone || said == auditor.SaidAlready:
		return OutcomeUnverified, "the cloud said that it was done, and does not show it"
	default:
		return OutcomeFailed, "no answer came, and nothing was done"
	}
}

// settle reads what became of the intents that are open. The caller holds turn. Its error is one of the ledger.
func (e *Engine) settle(ctx context.Context, job *Job) error {
	e.mu.Lock()
	e.ended = nil
	intents := e.state.intents()
	e.mu.Unlock()
	for _, o := range intents {
		if o.SentAt.IsZero() {
			if err := e.finish(o, OutcomeNotSent, auditor.Answer{}, nil, "the program ended before the request was sent"); err != nil {
				return err
			}
			continue
		}
		over := e.clock.Now().Sub(o.SentAt) >= job.Policy.Settle
		said := auditor.Answer{Said: auditor.Said(o.Said), RequestID: o.RequestID}
		st, b := audited(job.Snapshot, &o.Step)
		if st == nil {
			if over {
				if err := e.finish(o, OutcomeSuperseded, said, nil, "the account is no longer audited, so that nobody reads what became of it"); err != nil {
					return err
				}
			}
			continue
		}
		after, ids, err := e.read(ctx, job, st, b)
		if err != nil {
			continue // known when it can be read
		}
		passing("settling", "")
		outcome, reason := judge(&o.Step, said.Said, after, over)
		if outcome == "" {
			continue
		}
		// What holds repair back comes before the outcome: a process that ends in between finds the intent open, and settles it then.
		if o.Step.Action == rules.ActionGrant && after.AgencyID() == o.Step.AgencyID && after.Fits(&o.Step) && !after.Trusts(b.Trust) {
			if err := e.distrust(o); err != nil {
				return err
			}
		}
		if outcome == OutcomeUnverified {
			step := o.Step
			if _, err := e.note(Entry{
				Kind: KindQuarantined, Actor: e.self, Target: step.Target(), AccountID: step.AccountID, Step: &step, Reason: reason,
			}); err != nil {
				return err
			}
		}
		if err := e.finish(o, outcome, said, ids, reason); err != nil {
			return err
		}
	}
	return nil
}

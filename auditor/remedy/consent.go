package remedy

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Consent is a person's approval of a plan, as it is given.
type Consent struct {
	Actor string `json:"actor"`
	// Nonce makes the approval one of its own, and Expires is until when it counts; both are chosen by whoever signs. Where nobody does, the
	// engine chooses the nonce, and Expires as the configuration says unless it is given.
	Nonce   string    `json:"nonce,omitempty"`
	Expires time.Time `json:"expires,omitzero"`
	// Signature is that of Text, in base64, where people have keys.
	Signature string `json:"signature,omitempty"`
}

// Text is what an approver signs.
func (c *Consent) Text(digest string) []byte {
	return fmt.Appendf(nil, "agencyaudit approves\n%s\n%s\n%s\n%s\n", digest, c.Actor, c.Nonce, c.Expires.UTC().Format(time.RFC3339))
}

// Sign makes the consent of somebody who has a key, for a time.
func Sign(digest, actor string, key ed25519.PrivateKey, expires time.Time) Consent {
	c := Consent{Actor: actor, Nonce: rand.Text(), Expires: expires.UTC().Truncate(time.Second)}
	c.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, c.Text(digest)))
	return c
}

// requestText is what whoever asks for a plan signs.
func requestText(digest, requester string) []byte {
	return fmt.Appendf(nil, "agencyaudit requests\n%s\n%s\n", digest, requester)
}

// SignRequest signs a plan as whoever asks for it.
func (p *Plan) SignRequest(key ed25519.PrivateKey) {
	p.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, requestText(p.Digest, p.RequestedBy)))
}

func signed(key ed25519.PublicKey, text []byte, signature string) bool {
	raw, err := base64.StdEncoding.DecodeString(signature)
	return err == nil && len(key) == ed25519.PublicKeySize && ed25519.Verify(key, text, raw)
}

// RefusedError is that somebody's approval, or plan, was refused.
type RefusedError struct{ Why string }

// Error says why.
func (r *RefusedError) Error() string { return r.Why }

func refused(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// Approve writes down that a person approved a plan, which is then carried out once, until the approval ends: after the next run, or by
// Apply. It returns the entry. A refused approval is written down as well; its error is a *RefusedError.
func (e *Engine) Approve(p *Plan, c Consent) (Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.journal == nil && e.policy.Mode != ModeApprove: // it cannot even be written down
		return Entry{}, refused("remediation.mode is %s: there is nothing to approve", e.policy.Mode)
	case e.journal == nil:
		return Entry{}, e.closed()
	}
	now := e.clock.Now()
	if len(e.policy.People) == 0 {
		c.Nonce, c.Signature = rand.Text(), ""
	}
	if len(e.policy.People) == 0 && c.Expires.IsZero() {
		c.Expires = now.Add(e.policy.ApprovalExpires)
	}
	if err := e.refuses(p, &c, now); err != nil {
		e.meter.Blocked(rules.HoldApproval)
		e.log.Warn("an approval was refused", "plan", p.Digest, "by", c.Actor, "reason", err)
		_, failed := e.append(Entry{Kind: KindRejected, Actor: c.Actor, Plan: p.Digest, Run: p.Run, Nonce: c.Nonce, Reason: err.Error()})
		return Entry{}, errors.Join(err, failed)
	}
	if e.plan == nil && len(e.state.inForce(e.policy, now)) > 0 { // which is no reason to refuse it for good
		return Entry{}, errors.New("no run was made yet, without which it is not known what was approved before and is to come; try again in a moment")
	}
	written, err := e.append(Entry{
		Kind: KindApproved, Actor: c.Actor, Run: p.Run, Plan: p.Digest, Steps: len(p.Steps), Digests: p.ids(), RequestedBy: p.RequestedBy,
		Undoes: p.Undoes, Nonce: c.Nonce, Expires: c.Expires.UTC(), Signature: c.Signature,
	})
	if err == nil {
		e.log.Warn("a plan was approved", "plan", p.Digest, "by", c.Actor, "steps", len(p.Steps), "expires", c.Expires.UTC())
	}
	return written, err
}

// Agreed says whether something was approved that is not carried out yet. It takes a plan to hold another approval against that.
func (e *Engine) Agreed() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.state.inForce(e.policy, e.clock.Now())) > 0
}

// refuses says why an approval does not count; nil when it does. The caller holds mu.
func (e *Engine) refuses(p *Plan, c *Consent, now time.Time) error {
	switch {
	case e.policy.Mode != ModeApprove:
		return refused("remediation.mode is %s: there is nothing to approve", e.policy.Mode)
	case len(p.Steps) == 0:
		return refused("the plan has no steps")
	case len(p.Steps) > mostDigests:
		return refused("the plan has %d steps, and one approval may be of %d: make one of fewer accounts", len(p.Steps), mostDigests)
	case p.Digest != p.digest():
		return refused("the plan was changed after it was made: its steps do not fit its digest")
	case Nobody(c.Actor):
		return refused("an approval is a person's: say who approves")
	case len(e.policy.People) > 0 && c.Signature == "":
		return refused("the approval is not signed: remediation.approval.people have keys")
	case e.state.nonces[c.Nonce]:
		return refused("this approval was used before, or refused: give another one")
	case !c.Expires.After(now):
		return refused("this approval ended at %s", c.Expires.UTC().Format(time.RFC3339))
	case c.Expires.After(now.Add(e.policy.ApprovalExpires + time.Minute)):
		return refused("this approval is to count until %s, longer than remediation.approval.expires allows", c.Expires.UTC().Format(time.RFC3339))
	}
	if err := e.askedBy(p); err != nil {
		return err
	}
	if err := e.policy.hears(c, p.Digest); err != nil {
		return err
	}
	if len(e.policy.People) > 0 && c.Actor == p.RequestedBy {
		return refused("%q asked for the plan: somebody else has to approve it", c.Actor)
	}
	if a := e.state.approved(e.policy, p.Digest, now); a != nil {
		return refused("the plan was approved already, by %s until %s", a.Actor, a.Expires.UTC().Format(time.RFC3339))
	}
	again := *p
	if e.plan != nil {
		again.Run = e.plan.Run // on which it would be carried out now, whatever run it was made on
	}
	if over := e.policy.Limits.exceeds(&again, e.state, cmp.Or(e.fleet, p.Fleet), now); over != "" {
		return refused("the plan exceeds a limit, so that it would freeze repair instead of being carried out: %s; make one of fewer accounts with "+
			"`plan --account`, wait for the next run or until a day has passed, or raise that limit", over)
	}
	// What was approved before is carried out as well, after a run of its own but perhaps within the day.
	all := slices.Concat(p.Steps, e.toCome(p, now))
	if both := e.policy.Limits.exceedsDay(all, e.state, cmp.Or(e.fleet, p.Fleet), now); both != "" {
		return refused("the plan exceeds a limit together with what was approved before and is not carried out yet, so that one of them would freeze "+
			"repair: %s; wait until a day after that was carried out, or raise that limit", both)
	}
	return nil
}

// toCome are the steps that are proposed now and were approved already, but for those of a plan. The caller holds mu.
func (e *Engine) toCome(but *Plan, now time.Time) (steps []rules.Step) {
	if e.plan == nil {
		return nil
	}
	approvals, ids := e.state.inForce(e.policy, now), but.ids()
	for i := range e.plan.Steps {
		id := e.plan.Steps[i].ID()
		if !slices.Contains(ids, id) && slices.ContainsFunc(approvals, func(a *approval) bool { return slices.Contains(a.digests, id) }) {
			steps = append(steps, e.plan.Steps[i])
		}
	}
	return steps
}

// hears says why a consent to a plan is nobody's who may approve; nil when it is somebody's. It is asked again when the consent is used:
// whose key was taken away approves nothing any more, nor does who writes an approval into the ledger by other means.
func (p *Policy) hears(c *Consent, digest string) error {
	if len(p.People) == 0 {
		return nil
	}
	switch key, known := p.People[c.Actor]; {
	case !known:
		return refused("remediation.approval.people does not know %q; it knows %s", c.Actor, strings.Join(slices.Sorted(maps.Keys(p.People)), ", "))
	case c.Nonce == "" || !signed(key, c.Text(digest), c.Signature):
		return refused("the approval is not signed by the key of %q", c.Actor)
	}
	return nil
}

// mostDigests is how many steps' identities one entry of the ledger bears at most, so that its line stays short.
const mostDigests = 500

// askedBy says why a plan is not of whom it says, or of before the ledger that is kept now. The caller holds mu.
func (e *Engine) askedBy(p *Plan) error {
	if p.Ledger != e.state.ledger {
		return refused("the plan is of another ledger than the one that is kept now, which does not know what was approved or refused before: make it anew")
	}
	if p.RequestedBy == Daemon {
		if e.plan == nil || e.plan.Digest != p.Digest {
			return refused("this is not the plan that waits now: look at it again, something changed since")
		}
		return nil
	}
	if len(e.policy.People) == 0 {
		return nil
	}
	if key, known := e.policy.People[p.RequestedBy]; !known || !signed(key, requestText(p.Digest, p.RequestedBy), p.Signature) {
		return refused("the plan is not signed by %q, who is said to have asked for it: make it with `plan --as NAME --key FILE --out PLAN`", p.RequestedBy)
	}
	return nil
}

// Result is what came of a plan that somebody had carried out.
type Result struct {
	// Done are the steps of which something became, in order; Open those of which it is not known yet.
	Done []Done `json:"done"`
	Open []Open `json:"open"`
	// Void are those that were not begun, with the reason.
	Void []rules.Held `json:"void"`
	// Stopped says why nothing more was done; empty when nothing was in the way.
	Stopped rules.Hold `json:"stopped,omitempty"`
	Detail  string     `json:"detail,omitempty"`
}

// Whole says whether all of the plan was done.
func (r *Result) Whole() bool {
	return len(r.Open) == 0 && len(r.Void) == 0 && !slices.ContainsFunc(r.Done, func(d Done) bool {
		return d.Outcome != OutcomeDone && d.Outcome != OutcomeNoop
	})
}

// Apply carries out a plan that somebody was shown, as far as it is still what would be proposed: what has changed since is void. In
// ModeApprove it must have been approved. The error is a *RefusedError, or one of the ledger.
func (e *Engine) Apply(ctx context.Context, job Job, p *Plan, actor string) (*Result, error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	job.Snapshot = job.known() // a run may have ended while others had their turn
	e.mu.Lock()
	e.policy = job.Policy
	noLedger := e.closed()
	e.mu.Unlock()
	switch {
	case !job.Policy.Mode.Acts():
		return nil, refused("remediation.mode is %s: nothing can be carried out", job.Policy.Mode)
	case noLedger != nil:
		return nil, noLedger
	case p.Digest != p.digest():
		return nil, refused("the plan was changed after it was made: its steps do not fit its digest")
	}
	if err := e.settle(ctx, &job); err != nil {
		return nil, err
	}
	setback, now := e.setback(), e.clock.Now()
	proposed := e.propose(&job, now)
	e.show(proposed)
	if err := e.fighting(proposed); err != nil {
		return nil, err
	}
	if p.Undoes != "" {
		proposed = e.undo(&job, p.Undoes, p.RequestedBy, now)
	}
	e.mu.Lock()
	err := e.askedBy(p)
	var consent *approval
	if job.Policy.Mode == ModeApprove {
		if consent = e.state.approved(job.Policy, p.Digest, now); consent == nil && err == nil {
			err = refused("nobody approved the plan %s, or the approval was used (see `agencyaudit ledger show`) or has ended: `agencyaudit approve PLAN`",
				p.Digest)
		}
	}
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	// What is carried out is what is proposed now, in its order, as far as it was asked for and, where that is needed, approved.
	still := *p
	still.Run, still.Steps = proposed.Run, nil
	r := &Result{Stopped: proposed.Stopped, Detail: proposed.Detail}
	asked := p.ids()
	covers := func(id string) bool {
		return slices.Contains(asked, id) && (consent == nil || slices.Contains(consent.digests, id))
	}
	ids := proposed.ids()
	for i := range proposed.Steps {
		if covers(ids[i]) {
			still.Steps = append(still.Steps, proposed.Steps[i])
		}
	}
	for i := range p.Steps {
		if !covers(asked[i]) || !slices.Contains(ids, asked[i]) {
			r.Void = append(r.Void, voided(&p.Steps[i], proposed))
		}
	}
	if setback && r.Stopped == "" && len(still.Steps) > 0 { // it would have ended what was carried out then
		e.meter.Blocked(rules.HoldStopped)
		r.Stopped = rules.HoldStopped
		r.Detail = "it is known only now; look at the last outcomes first, and have the plan carried out again if it still is meant"
	}
	if r.Stopped != "" {
		r.voidRest(&still, nil)
	}
	if r.Stopped != "" || len(still.Steps) == 0 {
		return r, nil
	}
	seq := int64(0)
	if consent != nil {
		seq = consent.seq
	}
	t, err := e.carry(ctx, &job, &still, proposed, seq, actor)
	e.tell(r, &still, t, &job)
	return r, err
}

// voided says why a step of a plan is proposed no more.
func voided(s *rules.Step, proposed *Plan) rules.Held {
	h := rules.Held{
		AccountID: s.AccountID, Account: s.Account, Agency: s.Agency, Baseline: s.Baseline, Action: s.Action, Policy: s.Grant.Policy.Name,
		PolicyID: s.Grant.Policy.ID, Scope: s.Grant.Scope.Kind, Reason: rules.HoldMoved, Detail: "make the plan anew, and see what changed",
	}
	for _, is := range proposed.Held {
		if is.AccountID == h.AccountID && is.Agency == h.Agency && is.Action == h.Action && is.Scope == h.Scope &&
			(is.PolicyID == h.PolicyID || is.PolicyID == "" && is.Policy == h.Policy) {
			h.Reason, h.Detail = is.Reason, is.Detail
		}
	}
	return h
}

// tell puts together what came of a plan.
func (e *Engine) tell(r *Result, p *Plan, t *trip, job *Job) {
	stopped, detail := e.stopped(job, e.clock.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	begun := map[string]bool{}
	for _, n := range t.intents {
		if o := e.state.open[n]; o != nil {
			r.Open = append(r.Open, *o)
			begun[o.Step.ID()] = true
			continue
		}
		for _, d := range e.ended {
			if d.Intent == n {
				r.Done = append(r.Done, d)
				begun[d.Step.ID()] = true
			}
		}
	}
	r.Stopped, r.Detail = stopped, detail
	r.voidRest(p, begun)
}

// voidRest adds the steps of a plan that were not begun, by their ids.
func (r *Result) voidRest(p *Plan, begun map[string]bool) {
	for i := range p.Steps {
		s := &p.Steps[i]
		if begun[s.ID()] {
			continue
		}
		h := voided(s, &Plan{})
		h.Reason, h.Detail = rules.HoldStopped, "a step before it did not have its effect, or does not show it yet"
		if r.Stopped != "" {
			h.Reason, h.Detail = r.Stopped, r.Detail
		}
		r.Void = append(r.Void, h)
	}
}

// Settle reads what became of the steps that are open, as after each run: for whoever makes runs and has nothing carried out after them. Its
// error is one of the ledger.
func (e *Engine) Settle(ctx context.Context, job Job) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	return e.settle(ctx, &job)
}

// Undo is the plan that takes back what a run's plan did, as far as it is still so: what was granted is revoked, and what was revoked is
// granted. Whatever it does, it is somebody's own doing: see Plan.By.
func (e *Engine) Undo(job Job, run, requester string) (*Plan, error) {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.mu.Lock()
	err := e.closed()
	e.mu.Unlock()
	if err != nil {
		return nil, err
	}
	p := e.undo(&job, run, requester, e.clock.Now())
	if len(p.Steps) == 0 && len(p.Held) == 0 {
		return nil, refused("the ledger has nothing of the run %s that could be undone", run)
	}
	return p, nil
}

// undo makes that plan. The caller holds turn.
func (e *Engine) undo(job *Job, run, requester string, now time.Time) *Plan {
	s := job.Snapshot
	p := &Plan{CreatedAt: now.UTC(), RequestedBy: requester, Ledger: e.ledger(), Undoes: run, Steps: []rules.Step{}}
	if s.Run != nil {
		p.Run, p.RunEndedAt = s.Run.ID, s.Run.EndedAt
	}
	accounts := map[string]bool{}
	for i := range s.Standings {
		accounts[s.Standings[i].Account.ID] = true
	}
	p.Fleet = len(accounts)
	e.mu.Lock()
	for _, o := range e.state.intents() {
		if o.Run == run && o.Step.Undoes == 0 {
			h := voided(&o.Step, &Plan{})
			h.Reason, h.Detail = rules.HoldPending, "what came of it is not known yet: ask again once a run has read the account"
			p.Held = append(p.Held, h)
		}
	}
	var done []Done
	for _, d := range e.state.done {
		if d.Run == run && !e.state.undone[d.Intent] && d.Step.Undoes == 0 {
			done = append(done, d)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(done, func(a, b Done) int { return cmp.Compare(a.Intent, b.Intent) })
	for i := range done {
		e.inverse(p, job, &done[i], now)
	}
	slices.SortStableFunc(p.Steps, func(a, b rules.Step) int { return rules.CompareSteps(&a, &b) })
	p.Steps, p.Held = e.sift(p, job, now)
	p.fights = nil
	p.seal()
	p.Stopped, p.Detail = e.stopped(job, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Over = job.Policy.Limits.exceeds(p, e.state, p.Fleet, now)
	return p
}

// inverse adds the step that takes one back.
func (e *Engine) inverse(p *Plan, job *Job, d *Done, now time.Time) {
	step := d.Step
	step.Undoes, step.Rule = d.Intent, ""
	step.Action = rules.ActionRevoke
	step.Affects = []string{fmt.Sprintf("It takes back what was granted on %s by the plan %s.", d.EndedAt.UTC().Format(time.RFC3339), short(d.Plan))}
	if d.Step.Action == rules.ActionRevoke {
		step.Action = rules.ActionGrant
		step.Affects = []string{fmt.Sprintf("It gives back what was revoked on %s by the plan %s.", d.EndedAt.UTC().Format(time.RFC3339), short(d.Plan))}
	}
	hold := func(why rules.Hold, detail string) {
		h := voided(&step, &Plan{})
		h.Reason, h.Detail = why, detail
		p.Held = append(p.Held, h)
	}
	st, _ := audited(job.Snapshot, &step)
	if st != nil {
		step.Baseline = st.Baseline
	}
	switch {
	case st == nil || !fresh(job.Snapshot, st, now):
		hold(rules.HoldUnreachable, "the last run did not read the account")
		return
	case step.Action == rules.ActionGrant && (rules.NeverGranted(step.Grant.Policy.Name) || step.Grant.Policy.Unbounded):
		hold(rules.HoldDenied, "grant it by hand if it is really meant")
		return
	case step.Action == rules.ActionGrant && step.Grant.Policy.Name == "":
		hold(rules.HoldUnclear, "what the policy is called was not read, so that it may be one that is never granted: give it back by hand")
		return
	case step.Action == rules.ActionGrant && step.Grant.Scope.Kind != rules.Global && step.Grant.Scope.Kind != rules.AllResources:
		hold(rules.HoldUnclear, "this program grants at Global service and All resources alone: give it back by hand")
		return
	case job.Appliers[step.Action] == nil:
		key := map[rules.Action]string{rules.ActionGrant: "missing", rules.ActionRevoke: "excess"}[step.Action]
		hold(rules.HoldOff, fmt.Sprintf("this is done in the modes approve and auto alone, where remediation.%s is enabled; else %s it by hand",
			key, step.Action))
		return
	}
	e.mu.Lock()
	why, detail := e.settling(step.AccountID, st.ReadAt())
	e.mu.Unlock()
	holding := rules.HoldingOf(st.Last.Report.Agency, st.Last.Planes)
	switch {
	case why != "": // what was read is from before the step that is to be taken back
		hold(why, detail)
		return
	case holding.AgencyID() != step.AgencyID:
		hold(rules.HoldMoved, "the agency is gone, or another one by now")
		return
	case holding.Fits(&step):
		hold(rules.HoldMoved, "it is so already")
		return
	case slices.ContainsFunc(st.Findings, func(f rules.Finding) bool { return f.Rule == rules.RuleTrustMismatch }) && step.Action == rules.ActionGrant:
		hold(rules.HoldTrust, "see to the finding about its trust first")
		return
	}
	step.Holding = holding.Digest()
	p.Steps = append(p.Steps, step)
}

func short(digest string) string { return digest[:min(len(digest), 12)] }

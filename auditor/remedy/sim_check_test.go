package remedy_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// oracle watches a world: it sees the true state of the cloud, each request that arrives there and each entry of the ledger.
// It shares no code with the engine and none with the rules: what should be it computes from the tables of the world alone.
type oracle struct {
	wrong []string
	// committed are the readings of the last run, by account; first is since when runs showed a grant, without one between that did not.
	committed map[string]*reading
	first     map[sighting]time.Time
	// The ledger as it was written.
	intents  map[int64]*remedy.Entry
	outcomes map[int64]*remedy.Entry
	sentAt   map[int64]int // event
	// stale are the intents of which the last reading before the request was of the past: what that showed may have been done already.
	stale    map[int64]bool
	approved map[int64][]rules.Step
	used     map[int64]bool
	muddied  map[int64]bool
	frozen   bool
	// What a call did.
	calling, carrying, stopNow, brokeNow bool
	mine                                 map[int64]bool
	before                               int // requests before it
	policyNow                            remedy.Policy
	approving                            *remedy.Plan
	asked                                map[string]*remedy.Plan // for approval, by digest
	mayUnfreeze, recovering              bool
	froze                                bool // by a limit
}

func (o *oracle) init(*world) {
	o.committed, o.first = map[string]*reading{}, map[sighting]time.Time{}
	o.asked = map[string]*remedy.Plan{}
	o.intents, o.outcomes, o.sentAt = map[int64]*remedy.Entry{}, map[int64]*remedy.Entry{}, map[int64]int{}
	o.stale = map[int64]bool{}
	o.approved, o.used, o.muddied, o.mine = map[int64][]rules.Step{}, map[int64]bool{}, map[int64]bool{}, map[int64]bool{}
}

func (w *world) lastSent() int64 {
	if n := len(w.ledger.entries); n > 0 && w.ledger.entries[n-1].Kind == remedy.KindSent {
		return w.ledger.entries[n-1].Intent
	}
	return 0
}

// contains is the oracle's own word on scopes.
func contains(wide, narrow rules.ScopeKind) bool {
	return wide == narrow || wide == rules.AllResources && narrow != rules.Identity
}

// naive is the difference between what an agency holds and what it should: the grants that are missing at their scope, and those that are too much.
func (w *world) naive(s *state) (missing, excess []at) {
	if s.agency == "" {
		return nil, nil
	}
	for _, r := range w.baseline.Required {
		need, ok := at{kind: r.Scope}, false
		for _, id := range policyIDs {
			if policies[id].Name == r.Policy && policies[id].Origin == rules.System {
				need.policy = id
			}
		}
		for _, g := range s.held {
			ok = ok || g.policy == need.policy && contains(g.kind, r.Scope)
		}
		if !ok {
			missing = append(missing, need)
		}
	}
	for _, g := range s.held {
		ok := false
		for _, r := range w.baseline.Required {
			p := policies[g.policy]
			ok = ok || p.Origin == rules.System && p.Name == r.Policy && (contains(g.kind, r.Scope) || contains(r.Scope, g.kind))
		}
		for _, a := range w.baseline.Allowed {
			ok = ok || policies[g.policy].Name == a.Policy && g.kind == a.Scope
		}
		if !ok {
			excess = append(excess, g)
		}
	}
	return missing, excess
}

// waived says whether somebody accepted a finding about a grant.
func (w *world) waived(rule string, g at, now time.Time) bool {
	for _, v := range w.waivers {
		if v.Holds(now) && slices.Contains(v.Rules, rule) &&
			(len(v.Policies) == 0 || slices.Contains(v.Policies, g.policy) || slices.Contains(v.Policies, policies[g.policy].Name) && policies[g.policy].Origin == rules.System) {
			return true
		}
	}
	return false
}

// mayGrant and mayRevoke say what the configuration allows to be done about a grant at all.
func (w *world) mayGrant(p remedy.Policy, s *state, g at, now time.Time) bool {
	rule := rules.RuleMissing
	for _, h := range s.held {
		if h.policy == g.policy && contains(g.kind, h.kind) {
			rule = rules.RuleNarrower
		}
	}
	return p.May.Grant && g.policy != "ta" && policies[g.policy].Name != w.twice && !w.waived(rule, g, now)
}

func (w *world) mayRevoke(p remedy.Policy, g at, now time.Time) bool {
	if p.May.Revoke == nil {
		return false
	}
	is := policies[g.policy]
	rule := rules.RuleExcess
	for _, r := range w.baseline.Required {
		switch {
		case r.Policy != is.Name:
		case is.Origin == rules.System:
			return false
		case is.Origin == rules.Custom:
			rule = rules.RuleImpostor
		}
	}
	return !w.waived(rule, g, now) && (slices.Contains(p.May.Revoke.Policies, g.policy) || is.Origin == rules.System && slices.Contains(p.May.Revoke.Policies, is.Name))
}

// sighting is one grant of one agency.
type sighting struct {
	account, agency string
	at
}

// commits takes note of what a committed run saw.
func (w *world) commits() {
	w.committed = map[string]*reading{}
	known := map[string]bool{}
	for i := range w.run.Sweeps {
		r := &w.run.Sweeps[i].Report
		if last := w.cloud.last[r.Account.ID]; last != nil && r.State != rules.StateUnknown {
			w.committed[r.Account.ID] = last
		}
		known[r.Account.ID] = len(w.run.Sweeps[i].RequestIDs) > 0
	}
	for _, m := range w.cloud.members {
		id := m.account.ID
		last := w.cloud.last[id]
		if last == nil || !known[id] {
			continue
		}
		for k := range w.first {
			if k.account == id && (k.agency != last.agency || !last.has(k.at)) {
				delete(w.first, k)
			}
		}
		for _, g := range last.held {
			if _, ok := w.first[sighting{id, last.agency, g}]; !ok {
				w.first[sighting{id, last.agency, g}] = last.begun
			}
		}
	}
}

// begin and end enclose a call of the engine.
func (w *world) begin() {
	w.calling, w.carrying, w.stopNow, w.froze, w.brokeNow = true, false, false, false, false
	clear(w.mine)
	w.before, w.policyNow = len(w.cloud.requests), w.policy
}

func (w *world) end(what string) {
	w.calling, w.carrying = false, false
	n := len(w.cloud.requests) - w.before
	if n > 0 && w.froze {
		w.fail("W7 %s sent %d requests of a plan that exceeds a limit", what, n)
	}
	if p := w.engine.Status().Plan; n > 0 && what == "AfterRun" && w.policyNow.Mode == remedy.ModeAuto && p != nil {
		if why := w.exceeds(p.Steps, w.cloud.requests[:w.before]); why != "" {
			w.fail("W7 %d requests although the plan exceeds a limit: %s", n, why)
		}
	}
}

// exceeds is the oracle's own look at the limits, in true time.
func (w *world) exceeds(steps []rules.Step, before []*request) string {
	l := w.policyNow.Limits
	grants, revokes, accounts := map[string]bool{}, map[string]bool{}, map[string]bool{}
	writes, back := map[string]int{}, map[bool]string{true: "back "}
	for i := range steps {
		s := &steps[i]
		if (s.Action == rules.ActionGrant) != (s.Undoes > 0) {
			grants[s.AccountID] = true
		} else {
			revokes[s.AccountID] = true
		}
		accounts[s.AccountID] = true
		writes[back[s.Undoes > 0]+s.Grant.Policy.ID]++
	}
	for _, q := range before {
		if w.now.Sub(q.at) < 24*time.Hour-45*time.Minute {
			accounts[q.step.AccountID] = true
			writes[back[q.step.Undoes > 0]+q.step.Grant.Policy.ID]++
		}
		if w.run != nil && w.intents[q.intent] != nil && w.intents[q.intent].Run == w.run.ID {
			if (q.step.Action == rules.ActionGrant) != (q.step.Undoes > 0) {
				grants[q.step.AccountID] = true
			} else {
				revokes[q.step.AccountID] = true
			}
		}
	}
	switch {
	case len(grants) > l.GrantAccounts:
		return fmt.Sprintf("grants in %d accounts, of %d", len(grants), l.GrantAccounts)
	case len(revokes) > l.RevokeAccounts:
		return fmt.Sprintf("revokes in %d accounts, of %d", len(revokes), l.RevokeAccounts)
	case len(accounts) > 1 && len(accounts)*100 > len(w.cloud.members)*l.FleetPercent:
		return fmt.Sprintf("%d of %d accounts in a day, of %d %%", len(accounts), len(w.cloud.members), l.FleetPercent)
	}
	for i := range steps {
		if p := back[steps[i].Undoes > 0] + steps[i].Grant.Policy.ID; writes[p] > l.PolicyWrites {
			return fmt.Sprintf("%d writes of %s in a day, of %d", writes[p], p, l.PolicyWrites)
		}
	}
	return ""
}

// written looks at an entry as it becomes durable.
func (w *world) written(e *remedy.Entry) {
	switch e.Kind {
	case remedy.KindPlanned:
		if e.Approval == 0 {
			return
		}
		a := &w.ledger.entries[e.Approval-1]
		switch {
		case a.Kind != remedy.KindApproved:
			w.fail("W14 entry %d is no approval", e.Approval)
		case w.used[e.Approval]:
			w.fail("W14 the approval %d is used twice", e.Approval)
		case !a.Expires.After(w.ledger.at):
			w.fail("W14 the approval %d ended at %s, and it was %s", e.Approval, a.Expires, w.ledger.at)
		}
		w.used[e.Approval] = true
		w.count("approval used")
	case remedy.KindApproved:
		p := w.asked[e.Plan]
		if p == nil || w.approving == nil && !w.recovering {
			w.fail("W14 an approval that nobody gave")
			return
		}
		w.approved[e.Seq] = slices.Clone(p.Steps)
		if len(w.policy.People) > 0 && p.RequestedBy == e.Actor {
			w.fail("W14 %s approved their own plan", e.Actor)
		}
	case remedy.KindIntent:
		w.intents[e.Seq] = e
		w.mine[e.Seq], w.carrying = true, true
	case remedy.KindSent:
		if w.intents[e.Intent] == nil || w.outcomes[e.Intent] != nil {
			w.fail("W4 sent without an open intent")
		}
		w.sentAt[e.Intent], w.stale[e.Intent] = w.ledger.events[e.Seq-1], w.ledger.past
	case remedy.KindPending:
		if e.Said == "nothing" {
			w.stopNow = true
		}
	case remedy.KindOutcome:
		w.ends(e)
	case remedy.KindFrozen:
		w.frozen = true
		if e.Approval > 0 {
			w.used[e.Approval] = true
		}
		if strings.Contains(e.Reason, "limits.") {
			w.froze = true
			w.count("frozen by a limit")
		}
	case remedy.KindUnfrozen:
		w.frozen = false
		if !w.mayUnfreeze && !w.recovering || e.Actor == remedy.Daemon {
			w.fail("W9 unfrozen by nobody")
		}
	case remedy.KindQuarantined:
		w.count("quarantined")
	case remedy.KindStarted, remedy.KindRejected, remedy.KindReleased:
	}
}

// ends looks at an outcome.
func (w *world) ends(e *remedy.Entry) {
	intent := w.intents[e.Intent]
	switch {
	case intent == nil:
		w.fail("W5 the outcome of no intent")
		return
	case w.outcomes[e.Intent] != nil:
		w.fail("W5 intent %d ends twice: %s and %s", e.Intent, w.outcomes[e.Intent].Outcome, e.Outcome)
		return
	}
	w.outcomes[e.Intent] = e
	w.count("outcome " + string(e.Outcome))
	if w.mine[e.Intent] && (e.Outcome == remedy.OutcomeFailed || e.Outcome == remedy.OutcomeUnverified || e.Outcome == remedy.OutcomeSuperseded) {
		w.stopNow = true
	}
	q := w.requestOf(e.Intent)
	sent, wasSent := w.sentAt[e.Intent]
	if e.Outcome == remedy.OutcomeNotSent {
		if q != nil {
			w.fail("W5 the request of intent %d arrived, and is said not to have been sent", e.Intent)
		}
		return
	}
	if !wasSent {
		w.fail("W5 intent %d ends as %s, and was never sent", e.Intent, e.Outcome)
	}
	m := w.cloud.byID[intent.Step.AccountID]
	if q != nil {
		q.ended = true
	}
	if len(e.ReadIDs) == 0 {
		w.fail("W5 the outcome %s of intent %d rests on no reading", e.Outcome, e.Intent)
		return
	}
	r := w.cloud.readings[e.ReadIDs[0]]
	fits := r != nil && r.agency == intent.Step.AgencyID && r.has(atOf(intent.Step.Grant)) == (intent.Step.Action == rules.ActionGrant)
	done := e.Outcome == remedy.OutcomeDone || e.Outcome == remedy.OutcomeNoop
	switch {
	case r == nil:
		w.fail("W5 the reading %s does not exist", e.ReadIDs[0])
		return
	case r.event < sent:
		w.fail("W5 the outcome of intent %d rests on a reading before its request", e.Intent)
	case done && !fits:
		w.fail("W5 intent %d is %s, and the reading does not show it", e.Intent, e.Outcome)
	}
	if m.touched > sent || r.lagging || w.stale[e.Intent] {
		w.muddied[e.Intent] = true
		return
	}
	there := q != nil && q.effect && !q.when.After(r.begun)
	if q != nil && q.effect && !there {
		w.muddied[e.Intent] = true // it came later than anybody waits
	}
	if there != (e.Outcome == remedy.OutcomeDone) {
		w.fail("A3 intent %d is %s, and its effect is there: %v", e.Intent, e.Outcome, there)
	}
}

func (w *world) requestOf(intent int64) *request {
	for _, q := range w.cloud.requests {
		if q.intent == intent {
			return q
		}
	}
	return nil
}

// arrives looks at a request as it arrives in the cloud, which is when it does what it does.
func (w *world) arrives(action rules.Action, q *request) {
	w.count("requests")
	w.happen("a request")
	if q.fault == "answer lost" || q.fault == "request lost" {
		w.happen("lost answer")
	}
	s, p := &q.step, w.policyNow
	g := atOf(s.Grant)
	q.intent = w.lastSent()
	intent := w.intents[q.intent]
	if intent == nil {
		w.fail("W4 a request without intent and sent")
		return
	}
	if intent.Step.ID() != s.ID() || action != s.Action {
		w.fail("W4 the request is not what intent %d intends", q.intent)
	}
	if w.requestOf(q.intent) != nil {
		w.fail("W4 two requests for intent %d", q.intent)
	}
	switch {
	case w.frozen:
		w.fail("W9 a request while frozen")
	case !p.Mode.Acts() || !w.calling:
		w.fail("W12 a request in the mode %s", p.Mode)
	case w.offset.Abs() > remedy.MaxSkew, w.stopped, p.Open != nil && !p.Open(w.local()) && w.window > 0 && w.window < 58*time.Minute && !w.nearEdge(),
		w.ledger.broken != nil:
		w.fail("W11 a request with skew %s, kill switch %v, ledger %v", w.offset, w.stopped, w.ledger.broken)
	case len(w.run.Suspect) > 0 || len(w.run.Gaps) > 0 || w.run.Restricted:
		w.fail("W11 a request after a run that should not be acted on")
	case w.stopNow:
		w.fail("W8 a request after one that failed")
	}
	if dark := len(w.cloud.members) - len(w.committed); dark > 1 && dark*10 > len(w.cloud.members) {
		w.fail("W11 a request while %d of %d accounts are not known", dark, len(w.cloud.members))
	}
	if why := w.exceeds([]rules.Step{*s}, w.cloud.requests); why != "" {
		w.fail("W6 %s", why)
	}
	flips := 1
	for _, o := range w.cloud.requests {
		if o.step.AccountID == s.AccountID && atOf(o.step.Grant) == g && w.now.Sub(o.at) < 24*time.Hour-45*time.Minute {
			flips++
		}
	}
	if flips > 2 {
		w.fail("W13 %d writes of one grant in a day", flips)
	}
	if p.Mode == remedy.ModeApprove {
		ok := false
		for _, a := range w.approved[intent.Approval] {
			ok = ok || a.Action == s.Action && a.AccountID == s.AccountID && a.AgencyID == s.AgencyID && atOf(a.Grant) == g && a.Holding == s.Holding
		}
		if !ok || !w.used[intent.Approval] {
			w.fail("W14 a request that nobody approved")
		}
	}
	w.justified(q, intent)
}

// justified looks at what a request rests on.
func (w *world) justified(q *request, intent *remedy.Entry) {
	s, g := &q.step, atOf(q.step.Grant)
	run, last := w.committed[s.AccountID], w.cloud.last[s.AccountID]
	if run == nil || last == nil {
		w.fail("W1 a request without evidence")
		return
	}
	if last.event < w.ledger.events[intent.Seq-1] {
		w.fail("W1 the account was not read again after intent %d", intent.Seq)
	}
	if last.agency != s.AgencyID || last.has(g) == (s.Action == rules.ActionGrant) {
		w.fail("W1 the last reading shows that %s is not to be done", s.Short())
	}
	if !slices.Equal(last.held, run.held) && !w.earlier(s, run, last) {
		w.fail("W1 the account is not what the plan saw")
	}
	if s.Action == rules.ActionGrant && last.trust != cocID {
		w.fail("W3 a grant to an agency that trusts %s", last.trust)
	}
	if s.Action == rules.ActionGrant && policies[g.policy].Name == "" {
		w.fail("W3 a grant of what may be anything")
	}
	if s.Undoes > 0 {
		of := w.intents[s.Undoes]
		if of == nil || atOf(of.Step.Grant) != g || of.Step.Action == s.Action ||
			w.outcomes[s.Undoes].Outcome != remedy.OutcomeDone && w.outcomes[s.Undoes].Outcome != remedy.OutcomeUnverified {
			w.fail("L5 %s takes back what was not done", s.Short())
		}
		return
	}
	missing, excess := w.naive(last.state)
	local := w.local().Add(-30 * time.Minute) // what was so when it was planned
	switch s.Action {
	case rules.ActionGrant:
		if !slices.Contains(missing, g) || !w.mayGrant(w.policyNow, last.state, g, w.local()) && !w.mayGrant(w.policyNow, last.state, g, local) {
			w.fail("W3 %s is not to be granted", s.Short())
		}
	case rules.ActionRevoke:
		since, seen := w.first[sighting{s.AccountID, s.AgencyID, g}]
		switch {
		case !slices.Contains(excess, g), !w.mayRevoke(w.policyNow, g, w.local()):
			w.fail("W2 %s is not to be revoked", s.Short())
		case !seen, run.begun.Sub(since) < w.policyNow.May.Revoke.Grace-20*time.Minute:
			w.fail("W2 %s was seen for %s, and must have been for %s", s.Short(), run.begun.Sub(since), w.policyNow.May.Revoke.Grace)
		case last.trust != cocID:
			w.fail("W2 %s in an agency of which the trust is not right", s.Short())
		}
	}
}

// earlier says whether what differs from the run's reading is what earlier steps of the same call did.
func (w *world) earlier(s *rules.Step, run, last *reading) bool {
	is := run.state
	for _, q := range w.cloud.requests[w.before:] {
		if q.step.AccountID == s.AccountID {
			is = is.with(atOf(q.step.Grant), q.step.Action == rules.ActionGrant)
		}
	}
	return slices.Equal(is.held, last.held)
}

// nearEdge says whether a window closed while the request was on its way.
func (w *world) nearEdge() bool {
	since := w.local().Sub(w.local().Truncate(time.Hour))
	return since-w.window < 2*time.Second
}

// balance compares what the cloud's journal and the ledger say was done, each as it is written down.
func (w *world) balance() {
	var cloud, book []string
	for _, q := range w.cloud.requests {
		if q.effect && !w.muddied[q.intent] && w.outcomes[q.intent] != nil {
			cloud = append(cloud, string(q.step.Action)+" "+q.step.Target())
		}
	}
	for i := range w.ledger.entries {
		e := &w.ledger.entries[i]
		if e.Kind == remedy.KindOutcome && e.Outcome == remedy.OutcomeDone && !w.muddied[e.Intent] {
			of := &w.ledger.entries[e.Intent-1]
			book = append(book, string(of.Step.Action)+" "+of.Step.Target())
		}
	}
	slices.SortFunc(cloud, cmp.Compare[string])
	slices.SortFunc(book, cmp.Compare[string])
	if !slices.Equal(cloud, book) {
		w.fail("A3 the cloud's journal has %d changes, the ledger %d:\n%v\n%v", len(cloud), len(book), cloud, book)
	}
}

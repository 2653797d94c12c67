package remedy_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The policies of the worlds, by id. All else is derived from this table, by the program's rules on one side and the oracle on the other.
var policies = map[string]rules.Policy{
	"iam": {ID: "iam", Name: "IAM ReadOnlyAccess", Origin: rules.System}, "rms": {ID: "rms", Name: "RMS ReadOnlyAccess", Origin: rules.System},
	"dcs": {ID: "dcs", Name: "DCS UserAccess", Origin: rules.System}, "coc": {ID: "coc", Name: "COCServiceAgencyDefaultPolicy", Origin: rules.System},
	"ta": {ID: "ta", Name: "Tenant Administrator", Origin: rules.System}, "guest": {ID: "guest", Name: "Tenant Guest", Origin: rules.System},
	"obs": {ID: "obs", Name: "OBS FullAccess", Origin: rules.System}, "sfs": {ID: "sfs", Name: "SFS ReadOnlyAccess", Origin: rules.System},
	// Custom policies: one that bears a name of the baseline, two of one name, and one that nobody can name.
	"twin": {ID: "twin", Name: "DCS UserAccess", Origin: rules.Custom}, "own1": {ID: "own1", Name: "own", Origin: rules.Custom},
	"own2": {ID: "own2", Name: "own", Origin: rules.Custom}, "lost": {ID: "lost", Origin: rules.Unresolved},
}

var policyIDs = []string{"iam", "rms", "dcs", "coc", "ta", "guest", "obs", "sfs", "twin", "own1", "own2", "lost"}

const (
	agencyName = "ServiceAgencyForCOC"
	cocID      = "c0c00000000000000000000000000001"
	strangerID = "bad00000000000000000000000000001"
)

// at is a grant as the cloud knows it.
type at struct {
	kind          rules.ScopeKind
	scope, policy string
}

func (a at) grant() rules.Grant {
	return rules.Grant{Policy: policies[a.policy], Scope: rules.Scope{Kind: a.kind, ID: a.scope}}
}

func atOf(g rules.Grant) at { return at{g.Scope.Kind, g.Scope.ID, g.Policy.ID} }

// state is an account at an instant: one agency or none, and what it holds. It is never changed after it was made.
type state struct {
	since   time.Time
	agency  string // its id; empty when there is none
	trust   string
	expires time.Time
	held    []at // sorted, each once
}

func compareAt(a, b at) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.scope, b.scope), cmp.Compare(a.policy, b.policy))
}

func (s *state) has(a at) bool {
	_, found := slices.BinarySearchFunc(s.held, a, compareAt)
	return found
}

func (s *state) with(a at, granted bool) *state {
	next := *s
	i, found := slices.BinarySearchFunc(s.held, a, compareAt)
	switch {
	case granted && !found:
		next.held = slices.Insert(slices.Clone(s.held), i, a)
	case !granted && found:
		next.held = slices.Delete(slices.Clone(s.held), i, i+1)
	}
	return &next
}

// member is an account of the model cloud, with all that it ever was.
type member struct {
	account rules.Account
	past    []*state
	// later are changes that the cloud has accepted and not made yet.
	later []delayed
	made  int // agencies
	// touched is when, by the world's count of events, somebody else last changed it.
	touched int
}

// delayed is a change that is not there yet.
type delayed struct {
	at      time.Time
	q       *request
	agency  string
	grant   at
	granted bool
}

func (m *member) now() *state { return m.past[len(m.past)-1] }

func (m *member) become(s *state, now time.Time) {
	s.since = now
	m.past = append(m.past, s)
}

// settle makes the changes that are due.
func (m *member) settle(now time.Time) {
	for i := 0; i < len(m.later); i++ {
		if c := m.later[i]; !c.at.After(now) {
			if is := m.now(); is.agency == c.agency && is.has(c.grant) != c.granted {
				m.become(is.with(c.grant, c.granted), c.at)
				if c.q.ended {
					m.touched = c.q.w.event() // nobody expected it any more
				}
			}
			m.later = slices.Delete(m.later, i, i+1)
			i--
		}
	}
}

// seen is the account as a replica shows it that lags.
func (m *member) seen(now time.Time, lag time.Duration) *state {
	m.settle(now)
	for i := len(m.past) - 1; i > 0; i-- {
		if !m.past[i].since.After(now.Add(-lag)) {
			return m.past[i]
		}
	}
	return m.past[0]
}

// reading is one whole reading of an account: what the oracle knows of what the program knows.
type reading struct {
	id    string
	begun time.Time // true time
	event int
	// lagging says that it is of the past.
	lagging bool
	*state
}

// request is one request that arrived in the cloud to change something: its own journal.
type request struct {
	at     time.Time // true time
	intent int64
	step   rules.Step
	// effect says that it changed the account, or will; fault is what went wrong.
	effect bool
	// when the effect is there.
	when  time.Time
	fault string
	ended bool
	w     *world
}

// cloud is the model cloud, below the SDK.
type cloud struct {
	w       *world
	members []*member
	byID    map[string]*member
	// readings are all whole readings of a process, last the last one by account.
	readings map[string]*reading
	last     map[string]*reading
	requests []*request
	n        int
}

// Accounts is auditor.Inventory.
func (c *cloud) Accounts(context.Context) (auditor.Listing, error) {
	var l auditor.Listing
	for i, m := range c.members {
		if c.w.lost > 0 && i >= len(c.members)-c.w.lost {
			l.Vanished = append(l.Vanished, auditor.Absence{Account: m.account, Detail: "nobody lists it"})
			continue
		}
		l.Accounts = append(l.Accounts, m.account)
	}
	if c.w.gap {
		l.Gaps = []rules.Unknown{{Reason: rules.ReasonIncomplete, Detail: "a page is missing"}}
	}
	return l, nil
}

// Verify is auditor.Observer's.
func (c *cloud) Verify(context.Context) error { return nil }

// PolicyIDs is auditor.Observer's: the catalogue.
func (c *cloud) PolicyIDs(_ context.Context, names []string) (map[string][]string, time.Time, error) {
	ids := map[string][]string{}
	for _, id := range policyIDs {
		if p := policies[id]; p.Origin == rules.System && slices.Contains(names, p.Name) {
			ids[p.Name] = append(ids[p.Name], id)
		}
	}
	if c.w.twice != "" {
		ids[c.w.twice] = append(ids[c.w.twice], "another "+c.w.twice)
	}
	return ids, c.w.local(), nil
}

// Observe is auditor.Observer's. Between its parts, and before and after it, others are at work.
func (c *cloud) Observe(
	ctx context.Context, account rules.Account, b rules.Baseline, last rules.Last,
) (rules.Evidence, auditor.Trail, error) {
	w := c.w
	m := c.byID[account.ID]
	w.pause(w.between(50*time.Millisecond, 2*time.Second))
	w.meddle(m)
	if ctx.Err() != nil || w.unreadable[account.ID] || w.chance(w.rates.unread) {
		w.count("unread")
		return rules.Evidence{}, auditor.Trail{}, &rules.Unknown{Reason: rules.ReasonUnreachable, Detail: "no route"}
	}
	if w.chance(w.rates.readPanic) {
		w.count("panic of a reading")
		panic(canary)
	}
	started := w.now
	o := rules.Observation{Account: account, AgencyName: b.Agency, StartedAt: w.local()}
	lag := w.lag()
	is := m.seen(w.now, lag)
	c.n++
	id := fmt.Sprintf("reading-%d", c.n)
	o.ListRequestIDs = []string{id}
	o.Listed = listed(account, is)
	o.Unfiltered, o.UnfilteredAsked = o.Listed, len(o.Listed) == 0
	// The second witness is another replica.
	again := is
	if w.chance(w.rates.torn) {
		again = m.seen(w.now, w.lag())
	}
	o.ListedAgain, o.ListedTwice = listed(account, again), true
	if is.agency != "" {
		o.Planes = planesOf(is, again)
		for _, g := range is.held {
			o.PoliciesAgain = append(o.PoliciesAgain, policies[g.policy])
		}
	}
	if w.chance(w.rates.torn) && len(o.Planes) > 0 {
		w.count("torn reading")
		i := w.r.IntN(len(o.Planes))
		switch w.r.IntN(3) {
		case 0:
			o.Planes = slices.Delete(o.Planes, i, i+1)
		case 1:
			o.Planes[i].Total++
		case 2:
			o.Planes[i].State = ""
		}
	}
	o.EndedAt = w.local()
	if o.EndedAt.Before(o.StartedAt) {
		o.EndedAt = o.StartedAt
	}
	e, err := rules.NewEvidence(b, last, o)
	if err != nil {
		return rules.Evidence{}, auditor.Trail{}, err
	}
	r := &reading{id: id, begun: started, event: w.event(), lagging: lag > 0, state: is}
	c.readings[id], c.last[account.ID] = r, r
	return e, auditor.Trail{Requests: 6}, nil
}

func listed(account rules.Account, s *state) []rules.Agency {
	if s.agency == "" {
		return nil
	}
	a := rules.Agency{ID: s.agency, Name: agencyName, AccountID: account.ID, Trust: rules.Trust{ID: s.trust, Name: "op_svc_coc"}, ExpiresAt: s.expires}
	if s.trust != cocID {
		a.Trust.Name = "stranger"
	}
	return []rules.Agency{a}
}

func planesOf(is, again *state) []rules.Plane {
	planes := make([]rules.Plane, 0, 5)
	for _, kind := range rules.Planes() {
		p := rules.Plane{Kind: kind, State: rules.PlaneRead, Witnessed: true}
		for _, g := range is.held {
			if g.kind == kind {
				p.Grants = append(p.Grants, g.grant())
			}
		}
		for _, g := range again.held {
			if g.kind == kind {
				p.Again, p.WitnessIDs = append(p.Again, g.grant()), append(p.WitnessIDs, g.policy)
			}
		}
		p.Total = len(p.Grants)
		planes = append(planes, p)
	}
	return planes
}

// applier is one of the two identities that may write.
type applier struct {
	c      *cloud
	action rules.Action
}

// faults of a request, by their names.
var faults = []string{
	"failed", "refused", "answer lost", "request lost", "no effect", "said already", "slow", "late", "unsent", "panic before", "panic after", "trust",
	"recreated", "somebody else", "raced", "answer lost", "request lost",
}

// Apply is auditor.Applier's.
func (a applier) Apply(_ context.Context, s *rules.Step, may func() error) auditor.Answer {
	c, w := a.c, a.c.w
	w.pause(w.between(20*time.Millisecond, time.Second))
	if w.entering != nil {
		w.entering(s)
	}
	if err := may(); err != nil {
		w.count("held back at the last moment")
		return auditor.Answer{Said: auditor.SaidUnsent, Why: &rules.Unknown{Reason: rules.ReasonRejected, Detail: "not sent: " + err.Error()}}
	}
	fault := ""
	if w.chance(w.rates.write) {
		fault = faults[w.r.IntN(len(faults))]
		w.count("fault " + fault)
	}
	if w.fault != nil {
		fault = w.fault(s)
	}
	if fault == "unsent" {
		return auditor.Answer{Said: auditor.SaidUnsent, Why: &rules.Unknown{Reason: rules.ReasonUnreachable, Detail: "no route"}}
	}
	w.mayDie("before the request")
	bug := &rules.Unknown{Reason: rules.ReasonPanic, Detail: "a bug in this program ended the step"}
	switch fault {
	case "panic before":
		w.panics++
		panic(canary)
	case "survived before":
		w.panics++
		return auditor.Answer{Said: auditor.SaidUnsent, Why: bug}
	}
	m := c.byID[s.AccountID]
	m.settle(w.now)
	q := &request{w: w, at: w.now, step: *s, fault: fault}
	w.arrives(a.action, q)
	c.requests = append(c.requests, q)
	id := fmt.Sprintf("request-%d", len(c.requests))
	why := func(r rules.Reason) *rules.Unknown {
		return &rules.Unknown{Reason: r, Detail: "the cloud said no", Remedy: "ask"}
	}
	grant, granted := atOf(s.Grant), s.Action == rules.ActionGrant
	if fault == "raced" {
		w.touch(m, grant, granted)
	}
	is := m.now()
	switch {
	case fault == "failed":
		return auditor.Answer{Said: auditor.SaidFailed, RequestID: id, Why: why(rules.ReasonRejected)}
	case fault == "refused":
		return auditor.Answer{Said: auditor.SaidRefused, RequestID: id, Why: why(rules.ReasonDenied)}
	case fault == "request lost":
		return auditor.Answer{Said: auditor.SaidNothing, Why: why(rules.ReasonTimeout)}
	case fault == "no effect":
		return auditor.Answer{Said: auditor.SaidDone, RequestID: id}
	case fault == "said already":
		return auditor.Answer{Said: auditor.SaidAlready, RequestID: id}
	case is.agency != s.AgencyID && granted:
		return auditor.Answer{Said: auditor.SaidFailed, RequestID: id, Why: why(rules.ReasonRejected)}
	case is.agency != s.AgencyID, is.has(grant) == granted:
		w.count("changed nothing")
		if granted && w.fault == nil && w.chance(0.5) {
			return auditor.Answer{Said: auditor.SaidDone, RequestID: id} // as the cloud answers a grant that is there
		}
		return auditor.Answer{Said: auditor.SaidAlready, RequestID: id}
	}
	q.effect = true
	c.effect(m, q, fault)
	w.mayDie("after the request")
	switch fault {
	case "answer lost", "late":
		return auditor.Answer{Said: auditor.SaidNothing, Why: why(rules.ReasonTimeout)}
	case "panic after":
		w.panics++
		panic(canary)
	case "survived after":
		w.panics++
		return auditor.Answer{Said: auditor.SaidNothing, Why: bug}
	}
	return auditor.Answer{Said: auditor.SaidDone, RequestID: id}
}

// effect makes the change of a request, now or later, and what others do in the same moment.
func (c *cloud) effect(m *member, q *request, fault string) {
	w := c.w
	grant, granted := atOf(q.step.Grant), q.step.Action == rules.ActionGrant
	q.when = w.now
	switch fault {
	case "slow":
		q.when = w.now.Add(w.between(time.Second, 20*time.Minute))
	case "late":
		q.when = w.now.Add(w.between(time.Second, 2*time.Hour))
	}
	m.later = append(m.later, delayed{at: q.when, q: q, agency: q.step.AgencyID, grant: grant, granted: granted})
	m.settle(w.now)
	switch fault {
	case "trust":
		w.trust(m, strangerID)
	case "recreated":
		w.recreate(m)
	case "somebody else":
		w.touch(m, at{rules.Project, "p9", "sfs"}, true)
	}
}

// between is a random span of time.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.r.Int64N(int64(most-least)+1))
}

// lag is how far the replica lags that answers.
func (w *world) lag() time.Duration {
	if w.chance(w.rates.lag) {
		w.count("lagging replica")
		return w.between(time.Second, 15*time.Minute)
	}
	return 0
}

func (w *world) chance(p float64) bool { return p > 0 && w.r.Float64() < p }

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5eed)) }

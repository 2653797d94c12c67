package huawei

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	"golang.org/x/time/rate"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Cloud reads the accounts of one site. It implements auditor.Observer and is used by many goroutines at once.
type Cloud struct {
	cfg       Config
	site      *site
	log       *slog.Logger
	transport http.RoundTripper
	// dial makes the api over a wire: the SDK's, but in tests.
	dial func(w *wire, accountID string) (api, error)
	idle func()
	// source is the way to where the program's own keys come from; nil when they do not change.
	source http.RoundTripper
	// main is by whom everything is done. first is nil unless there is a chain: it then holds the program's own key, by which the
	// main identity's are made and nothing else is done.
	main, first *identity
	doors       doors
	catalogue   *catalogue
	// requests counts what was sent, by operation.
	requests [opCount]atomic.Int64
	// writes is what its wires may change; empty is nothing at all. It is empty in all but a Writer's.
	writes rules.Action

	pauses pauses
	// total is the rate of all requests, allowance what may be sent again, and away the breaker of the whole cloud.
	total     *rate.Limiter
	allowance *allowance
	away      breaker
	clock     skew
	// runs counts the runs that began, by which Verify is told.
	runs atomic.Int64
	open openBreakers
	// listing is until when Organizations is asked nothing.
	listing respite
	// taggings are those of the organization's accounts.
	taggings taggings
}

var _ auditor.Observer = (*Cloud)(nil)

// New makes a reader. It sends nothing. The error names every fault of the configuration.
func New(cfg Config, log *slog.Logger) (*Cloud, error) {
	c, err := newCloud(cfg, "", log)
	if err != nil {
		return nil, fmt.Errorf("reader of Huawei Cloud: %w", err)
	}
	return c, nil
}

// newCloud makes a Cloud whose wires may change what writes says; empty is nothing.
func newCloud(cfg Config, writes rules.Action, log *slog.Logger) (*Cloud, error) {
	cfg, s, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	from, source, err := sourceOf(cfg, s)
	if err != nil {
		return nil, err
	}
	transport := newTransport(s, cfg.Connections, dialTo(s))
	c := &Cloud{
		cfg: cfg, site: s, log: log, transport: drainedLines{transport}, dial: dialSDK, idle: transport.CloseIdleConnections,
		source: source, catalogue: newCatalogue(log), writes: writes,
		pauses: defaultPauses(cfg.RequestTimeout), total: newLimiter(limitOf(cfg.Rate.Total)), allowance: newAllowance(),
	}
	c.prepare(&c.away, &c.pauses.cloud, "many accounts")
	c.listing.most = c.verifyTime()
	c.doors.byID, c.doors.lanes = make(map[string]*door, len(cfg.Accounts)), map[Keys][]*lane{}
	var own *identity
	if link := cfg.Main.Chain; link == nil {
		c.main = c.identity("the "+c.mainTitle(), mainKeys, cfg.Main)
		own = c.main
	} else {
		c.first = c.identity("the program's own identity", firstKeys, cfg.Main)
		c.main = c.identity("the "+c.mainTitle(), mainKeys, Identity{AccountID: link.AccountID})
		c.main.fetch, c.main.from = c.chained, "the chain"
		c.main.care = fmt.Sprintf("check that the chain's agency %q of account %s still exists and still trusts account %s",
			link.Access.Agency, link.AccountID, cfg.Main.AccountID)
		own = c.first
	}
	if from != nil {
		own.fetch = func(ctx context.Context) (pass, *rules.Unknown) { return c.fetch(ctx, own.title, from) }
		own.from, own.care = from.name, from.care
	}
	for id, access := range cfg.Accounts {
		c.doors.add(id, c.newDoor(access))
	}
	if id := c.main.AccountID; id != "" && c.doors.byID[id] == nil {
		d := c.newDoor(Access{Keys: c.main.Keys}) // from the start, so that it knows of refusals
		d.ofMain = true
		c.doors.add(id, d)
	}
	return c, nil
}

// Close closes the connections that are not in use. The Cloud may be used afterwards; it then opens new ones.
func (c *Cloud) Close() { c.idle() }

// Requests returns how many requests were sent since New, by the SDK's name of the operation; every operation that the
// package knows is a key.
func (c *Cloud) Requests() map[string]int64 {
	sent := make(map[string]int64, opCount)
	for o := range operations {
		sent[operations[o].name] = c.requests[o].Load()
	}
	return sent
}

// Verify asks whose key the main identity's is. See auditor.Observer.
func (c *Cloud) Verify(ctx context.Context) (err error) {
	defer c.rescue(&err)
	c.runs.Add(1)
	c.tellBreakers()
	if !c.main.exists() {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.verifyTime(), errVerifyTime)
	defer cancel()
	if err := c.main.lock(ctx); err != nil {
		return c.cutShort(ctx, "checking the main identity")
	}
	defer c.main.unlock()
	c.main.repeats, c.main.behind = 0, true
	if u := c.verify(ctx, c.main, false); u != nil {
		return u
	}
	c.main.begin()
	return nil
}

// verifyTime is how long Verify may take. The run waits for it, be it only that the cloud has asked for a pause.
func (c *Cloud) verifyTime() time.Duration {
	most := verifyRequests * c.cfg.RequestTimeout
	if c.source != nil {
		most += sourceRequests * sourceTimeout
	}
	if c.cfg.Main.Chain != nil {
		most += 2 * c.cfg.RequestTimeout
	}
	return most
}

// verifyRequests is for how many requests that hang Verify has time.
const verifyRequests = 3

var errVerifyTime = fmt.Errorf("the time for checking the main identity is over: %w", context.DeadlineExceeded)

// PolicyIDs looks the names up in the catalogue. See auditor.Observer.
func (c *Cloud) PolicyIDs(_ context.Context, names []string) (map[string][]string, time.Time, error) {
	ids, at := c.catalogue.idsOf(names, c.now())
	if ids == nil {
		return nil, at, &rules.Unknown{
			Reason: rules.ReasonIncomplete,
			Detail: "no account has read the catalogue of system-defined policies",
			Remedy: "at least one account must be read with the permission " + operations[opCatalogue].action,
		}
	}
	return ids, at, nil
}

// identity is an identity of the program and what is known of it.
type identity struct {
	Identity
	// title is what it is called, and by says whose keys its are.
	title string
	by    holder
	lane  *lane
	// turn holds a token while nobody asks about the identity; whoever holds the token may touch the fields below.
	turn chan struct{}
	// asked says that refusal is an answer; refusal is nil while the identity is the configured one.
	asked   bool
	refusal *rules.Unknown
	// putOff says that the refusal is that the cloud asked for a longer pause than there was time, repeats how often it was asked
	// again in this run, and behind that the run has begun, and no check succeeded since.
	putOff  bool
	repeats int
	behind  bool
	supply
	mu sync.Mutex
	// verified are the keys that everything is done with.
	verified pass
	// proven says that an assumption was answered by which the key is good, since the run began and since the last 401.
	proven bool
	// doubted says that an assumption was answered with 401 since it was last asked whose the key is.
	doubted bool
	// refused counts the 401s since the run began, and last is what came of the last of them.
	refused int
	last    *rules.Unknown
	// epoch counts runs and 401s, so that an answer to an earlier request proves nothing.
	epoch int
	// young counts the assumptions that began less than trialPatience ago and have not ended, and hung those that go on for
	// longer and began since it was last asked whose the key is, which is the checks-th time. news is closed and replaced when
	// any of this changes.
	young, hung, checks int
	news                chan struct{}
	// paused is until when the cloud wants nothing of the identity.
	paused time.Time
	crowd  crowd
}

// maxRefused is how many assumptions of one run may be answered with 401. The cloud locks a key after more than five
// refused signatures in a row (facts 10.1).
const maxRefused = 3

// maxYoung is how many assumptions are under way at once with a key that has proved good, not counting those that take longer
// than trialPatience: when the key is revoked, these are refused, and then the question whose it is.
const maxYoung = 4

// trialPatience is how long others wait for an assumption. An account that cannot be entered for hanging must not keep the
// others out.
const trialPatience = 200 * time.Millisecond

func newIdentity(id Identity) *identity {
	m := &identity{Identity: id, verified: pass{keys: id.Keys}, turn: make(chan struct{}, 1), news: make(chan struct{})}
	m.turn <- struct{}{}
	return m
}

// identity makes an identity ready.
func (c *Cloud) identity(title string, by holder, id Identity) *identity {
	m := newIdentity(id)
	m.title, m.by = title, by
	m.lane = c.newLane(0, mainBounds, &c.pauses.main, title)
	c.doors.sign(m.Keys, m.lane)
	return m
}

func (m *identity) lock(ctx context.Context) error {
	select {
	case <-m.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *identity) unlock() { m.turn <- struct{}{} }

// confirm makes sure that the main identity is the configured one before anything is asked in its name. The first to
// come asks; a refusal holds until a later Verify succeeds, so that a locked or foreign key is not tried for each account. One for
// a pause that the cloud asked for is no answer: the question is asked again when that is over.
func (c *Cloud) confirm(ctx context.Context) *rules.Unknown {
	if err := c.main.lock(ctx); err != nil {
		return c.cutShort(ctx, "waiting for the main identity to be checked")
	}
	defer c.main.unlock()
	sure := c.main.asked && !c.main.inDoubt()
	switch {
	case c.main.asked && c.main.refusal != nil:
		if !c.repeats(ctx) {
			return c.main.refusal
		}
		sure = false
	case sure && !c.main.isDue(c.now()):
		return nil
	}
	u := c.verify(ctx, c.main, sure)
	if u == nil && c.main.behind {
		c.main.begin()
	}
	if u != nil && ctx.Err() != nil {
		c.main.asked = false // it was this sweep that ended, which says nothing about the identity
	}
	return u
}

// admit lets an assumption begin, or says why none may. The caller calls settle with what came of it, and whether that proves
// that the key is good.
//
// As long as no assumption was answered, and after one that was answered with 401, they begin one after the other, and
// the identity is checked before each: the check tells whether the 401 was about the identity, which then stays out, or
// about the one account that was to be entered. After maxRefused of them no more are sent until a Verify succeeds. One that
// takes long is not waited for; when as many as may be refused take long, the identity is checked once more, and then
// they count no longer. When one was answered, a few go at once.
func (c *Cloud) admit(ctx context.Context) (settle func(u *rules.Unknown, proves bool), u *rules.Unknown) {
	m := c.main
	t, err := m.try(ctx)
	if err != nil {
		return nil, c.cutShort(ctx, "waiting for another account to be entered")
	}
	defer func() {
		if settle == nil { // refused, or in a panic: nobody else will
			m.leave(t)
		}
	}()
	if u = c.confirm(ctx); u == nil {
		u = m.exhausted()
	}
	if u != nil {
		return nil, u
	}
	epoch := m.start(t)
	return func(u *rules.Unknown, proves bool) {
		m.settle(epoch, u, proves)
		m.leave(t)
	}, nil
}

// trial is an assumption that may begin. The identity's lock guards it.
type trial struct {
	timer *time.Timer
	// hung says that it takes long, and checks is the identity's when it began.
	hung   bool
	checks int
}

// try waits until an assumption may begin. The caller calls leave when it is over.
func (m *identity) try(ctx context.Context) (*trial, error) {
	for {
		m.mu.Lock()
		if m.young == 0 || m.proven && m.young < maxYoung || m.refused >= maxRefused {
			break
		}
		news := m.news
		m.mu.Unlock()
		if !await(ctx, news, -1) {
			return nil, ctx.Err()
		}
	}
	defer m.mu.Unlock()
	m.young++
	if !m.proven && m.refused < maxRefused && m.refused+m.hung >= maxRefused {
		m.doubted = true
	}
	return &trial{}, nil
}

// start has others wait for an assumption no longer than trialPatience from now, and returns the epoch in which it begins.
func (m *identity) start(t *trial) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	t.checks = m.checks
	t.timer = time.AfterFunc(trialPatience, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if t.timer == nil {
			return // it is over
		}
		t.hung = true
		m.young--
		if t.checks == m.checks {
			m.hung++
		}
		m.tell()
	})
	return m.epoch
}

// leave takes note that an assumption is over.
func (m *identity) leave(t *trial) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
	switch {
	case !t.hung:
		m.young--
	case t.checks == m.checks:
		m.hung--
	}
	m.tell()
}

// tell wakes those that wait for an assumption. The caller holds the lock.
func (m *identity) tell() {
	close(m.news)
	m.news = make(chan struct{})
}

// settle takes note of what came of an assumption that began in an epoch; u is nil when it succeeded, and proves says that
// the cloud took the key for good.
func (m *identity) settle(epoch int, u *rules.Unknown, proves bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case u != nil && u.Reason == rules.ReasonUnauthenticated:
		m.proven, m.doubted, m.last = false, true, u
		m.refused++
		m.epoch++
	case epoch == m.epoch && proves:
		m.proven = true
	}
}

// begin takes note that a run begins with an identity that was just confirmed. The caller holds the turn.
func (m *identity) begin() {
	m.behind = false
	m.mu.Lock()
	defer m.mu.Unlock()
	m.proven, m.refused, m.last = false, 0, nil
	m.epoch++
}

// exhausted says why no assumption is tried any more in this run; nil while some may be.
func (m *identity) exhausted() *rules.Unknown {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused < maxRefused {
		return nil
	}
	u := *m.last
	u.Detail = fmt.Sprintf("%d accounts of this run were refused with 401, and the cloud locks a key after more than five; "+
		"the last: %s", m.refused, u.Detail)
	return &u
}

func (m *identity) inDoubt() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.doubted
}

// verify sees to it that an identity has a key, asks whose it is and remembers the answer; sure says that it was answered before, and
// asked again of another key alone. The caller holds the turn.
func (c *Cloud) verify(ctx context.Context, m *identity, sure bool) *rules.Unknown {
	m.asked, m.putOff = false, false // and so it stays, should asking panic
	m.mu.Lock()
	m.doubted = false
	m.mu.Unlock()
	changed, u := c.renew(ctx, m)
	if u == nil && (changed || !sure) {
		if u = c.whose(ctx, m); u != nil {
			m.drop(u)
		}
	}
	m.asked, m.refusal = true, u
	if u == nil {
		c.adopt(m)
		m.checked()
	}
	return u
}

// checked takes note that the key is known to be of the configured account: what hangs since before says nothing against it.
func (m *identity) checked() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hung = 0
	m.checks++
}

// whose says why an identity's key is not known to be of the configured account; nil when it is.
func (c *Cloud) whose(ctx context.Context, m *identity) *rules.Unknown {
	doing := "asking whose " + m.title + "'s key is"
	keys := m.Keys
	if m.fetch != nil {
		keys = m.fresh.keys
	}
	w, done := c.newWire(ctx, keys, c.log)
	defer done()
	w.by, w.lane = m.by, m.lane
	requests, err := w.dial(m.AccountID)
	if err != nil {
		return &rules.Unknown{Reason: rules.ReasonUnauthenticated, Detail: doing + ": " + err.Error()}
	}
	resp, _, err := requests.domains(&model.KeystoneListAuthDomainsRequest{})
	if err != nil {
		f := asFault(opDomains, err)
		m.putOff = f.late
		return c.unknown(opDomains, doing, f, m.by)
	}
	var ids []string
	for _, d := range *resp.Domains {
		ids = append(ids, shorten(d.Id))
	}
	if len(ids) != 1 || ids[0] != m.AccountID {
		return &rules.Unknown{
			Reason: rules.ReasonUnauthenticated,
			Detail: fmt.Sprintf("%s must belong to account %s, and the cloud says that its key belongs to %s", m.title, m.AccountID, listed(ids)),
			Remedy: "configure a key of the right account, or the right account id; no account is entered with this one",
		}
	}
	return nil
}

// listed names accounts in a sentence.
func listed(ids []string) string {
	switch len(ids) {
	case 0:
		return "no account"
	case 1:
		return "account " + ids[0]
	}
	return fmt.Sprintf("%d accounts, account %s first", len(ids), ids[0])
}

// newWire makes the wire of one sweep, of the main identity unless the caller says otherwise. The caller calls done when the
// sweep is over.
func (c *Cloud) newWire(ctx context.Context, keys Keys, log *slog.Logger) (w *wire, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	return &wire{
		ctx: ctx, stop: cancel, cloud: c, keys: keys, log: log, by: mainKeys, lane: c.main.lane, purse: c.newPurse(),
	}, func() { cancel(context.Canceled) }
}

// now is the time in UTC.
func (c *Cloud) now() time.Time { return c.cfg.Now().UTC() }

// cutShort is the Unknown of a wait that ctx ended.
func (c *Cloud) cutShort(ctx context.Context, doing string) *rules.Unknown {
	return &rules.Unknown{
		Reason: rules.ReasonTimeout,
		Detail: doing + ": not waited for any longer: " + shorten(context.Cause(ctx).Error()),
		Remedy: remedyTimeout,
	}
}

// rescue turns a panic of this goroutine into an Unknown.
func (c *Cloud) rescue(err *error) {
	p := recover()
	if p == nil {
		return
	}
	// The value of a panic may hold anything, a key too; its type and the functions on the stack do not.
	c.log.Error("panic while reading", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	*err = &rules.Unknown{
		Reason: rules.ReasonPanic, Detail: "a bug in this program ended the reading",
		Remedy: "report it with the log's stack; the other accounts are not affected",
	}
	if c.writes != "" {
		*err = no(rules.ReasonPanic, "report it with the log's stack", "a bug in this program ended the step")
	}
}

// asUnknown returns the Unknown that every error of this package's readers is.
func asUnknown(err error) *rules.Unknown {
	if u, ok := errors.AsType[*rules.Unknown](err); ok {
		return u
	}
	return &rules.Unknown{Reason: rules.ReasonRejected, Detail: shorten(err.Error())}
}

// parallel runs do for 0 to n-1 at once, the last of them in this goroutine, and returns their errors in that order. A
// panic in one of them is its error.
func (c *Cloud) parallel(n int, do func(i int) error) []error {
	errs := make([]error, n)
	if n == 0 {
		return errs
	}
	guarded := func(i int) {
		defer c.rescue(&errs[i])
		errs[i] = do(i)
	}
	done := make(chan struct{})
	for i := range n - 1 {
		go func() {
			defer func() { done <- struct{}{} }()
			guarded(i)
		}()
	}
	guarded(n - 1)
	for range n - 1 {
		<-done
	}
	return errs
}

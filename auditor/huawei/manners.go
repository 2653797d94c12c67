package huawei

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/agencyaudit/agencyaudit/rules"
)

// pauses are the times and numbers by which the cloud is spared. Tests on a real network shorten them.
type pauses struct {
	// retries is how often a request is sent again after a fault of the cloud; retry is the most that is waited before the
	// first, and twice that before the second.
	retries int
	retry   time.Duration
	// throttled is the least that is waited after the cloud asked for fewer requests; it doubles each time for the same
	// request, up to throttledMost. askedMost is the most that the cloud may ask for.
	throttled, throttledMost, askedMost time.Duration
	// recovery is how long a lowered rate takes to be the full one again.
	recovery time.Duration
	// sign is how old a signature may be. The cloud takes 15 minutes, the difference of the clocks included.
	sign time.Duration
	// account, main and cloud are the rules of the breakers.
	account, main, cloud rule
	// chance returns a duration from 0 up to d, exclusively, at random. It spreads requests, and is no secret.
	chance func(d time.Duration) time.Duration
}

// defaultPauses: the breakers of identities count what happened one after the other, and forgive many 429s at random. The one
// of the whole cloud wants so many failures without any success between them that they are no chance, and of so many
// accounts that none can bring it about for others.
func defaultPauses(requestTimeout time.Duration) pauses {
	return pauses{
		retries: 2, retry: 500 * time.Millisecond,
		throttled: 250 * time.Millisecond, throttledMost: 8 * time.Second, askedMost: 10 * time.Minute,
		recovery: time.Minute, sign: 5 * time.Minute,
		account: rule{failures: 10, causal: true, alone: true, first: time.Minute, most: 5 * time.Minute},
		main: rule{
			failures: 10, causal: true, first: time.Second, most: 30 * time.Second, free: 1,
			patience: requestTimeout * 3 / 2, haste: requestTimeout / 10,
		},
		cloud: rule{
			failures: 16, accounts: 5, first: time.Second, most: 30 * time.Second,
			patience: requestTimeout * 3 / 2, haste: requestTimeout / 10,
		},
		chance: func(d time.Duration) time.Duration { return rand.N(d) }, //nolint:gosec // it is for spreading alone
	}
}

// purse is what one sweep of an account, or one reading of the organization, may still cost.
type purse struct {
	requests, bytes, retries atomic.Int64
	// mostRequests, mostBytes and mostRetries are what it may cost in all.
	mostRequests, mostBytes, mostRetries int64
	// requestsKey and bytesKey are the keys of the configuration that raise the first two; empty where nothing does.
	requestsKey, bytesKey string
}

// newPurse is for one account.
func (c *Cloud) newPurse() *purse {
	return &purse{
		mostRequests: int64(c.cfg.AccountRequests), mostBytes: c.cfg.AccountBytes, mostRetries: retriesOfASweep,
		requestsKey: "limits.account_requests", bytesKey: "limits.account_bytes",
	}
}

// retriesOfASweep is how often one sweep may send something again, so that one account cannot use up what all may.
const retriesOfASweep = 10

// allowance is how often all sweeps together may send something again: a tenth of what they send, and a few more.
type allowance struct {
	mu sync.Mutex
	// tenths are saved up by what is sent.
	tenths int
	few    *rate.Limiter
}

// mostSaved is how many retries are saved up at most.
const mostSaved = 1000

func newAllowance() *allowance {
	return &allowance{few: rate.NewLimiter(rate.Every(6*time.Second), 10)}
}

// earn is told of each request that is sent for the first time.
func (a *allowance) earn() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tenths = min(a.tenths+1, 10*mostSaved)
}

// spend says whether something may be sent again.
func (a *allowance) spend() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tenths >= 10 {
		a.tenths -= 10
		return true
	}
	return a.few.Allow()
}

// politely sends a request when its turn has come, and again where that can help.
//
// What the cloud asked to be sent later (429) is sent later, as long as the sweep has time. What it failed to answer, or
// answered with a fault of its own, is sent at most twice more, after a random pause, and within what all sweeps together
// may: these requests read, or make a key that nobody has seen. Nothing else is sent again, a refused signature least of all. What
// changes something is never sent again, whatever came of it.
func (w *wire) politely(o op, req *http.Request) (*http.Response, *fault) {
	c, signed := w.cloud, time.Now()
	if operations[o].changes != "" {
		resp, f, _ := w.inTurn(o, req, signed)
		return resp, f
	}
	throttled, failures := 0, 0
	for sent := 1; ; sent++ {
		resp, f, counts := w.inTurn(o, req, signed)
		switch {
		case f == nil:
			if sent == 1 {
				c.allowance.earn()
			}
			return resp, nil
		case f.unsent:
			return nil, f
		case sent == 1:
			c.allowance.earn()
		default:
			f.detail += fmt.Sprintf(" (asked %d times)", sent)
		}
		var pause time.Duration
		switch {
		case w.ctx.Err() != nil || req.Body != nil && req.GetBody == nil:
			return nil, f
		case f.status == http.StatusTooManyRequests:
			most := min(c.pauses.throttled<<min(throttled, 10), c.pauses.throttledMost)
			pause = max(f.wait, most-c.pauses.chance(most/2+1)) // at least half of it
			throttled++
			w.throttled(f.wait, counts)
		case passing(f) && failures < c.pauses.retries:
			// Full jitter: what failed together does not come back together.
			pause = max(f.wait, c.pauses.chance(c.pauses.retry<<failures))
			failures++
		default:
			return nil, f
		}
		if pause > w.mostWaited() || !fits(w.ctx, pause) {
			f.late = f.status == http.StatusTooManyRequests && !fits(w.ctx, f.wait)
			if pause >= time.Second {
				f.detail += fmt.Sprintf("; it is too late to ask again in %s", pause.Round(time.Second))
			}
			return nil, f
		}
		if f.status != http.StatusTooManyRequests {
			if w.purse.retries.Add(1) > w.purse.mostRetries || !c.allowance.spend() {
				return nil, f
			}
			c.cfg.Meter.Retried(operations[o].service.String())
		}
		if !await(w.ctx, nil, pause) {
			return nil, f
		}
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, f
			}
			req.Body = body
		}
	}
}

// passing says whether a fault may be gone in a moment.
func passing(f *fault) bool {
	switch f.status {
	case 0:
		return f.reason == rules.ReasonUnreachable || f.reason == rules.ReasonTimeout || f.reason == rules.ReasonIncomplete
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads the header that says when to ask again, in seconds or as a date by the cloud's own clock. What cannot be
// read is no wish, and what is beyond all measure is as long as possible.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(math.MaxInt64/time.Second))) * time.Second
	} else if errors.Is(err, strconv.ErrRange) {
		return math.MaxInt64
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(at.Sub(now), 0)
}

// inTurn sends a request once, when its turn has come. A fault that is unsent kept it from being sent. counts says whether
// the identity's breaker counts the failure.
func (w *wire) inTurn(o op, req *http.Request, signed time.Time) (resp *http.Response, f *fault, counts bool) {
	c, l := w.cloud, w.lane
	if f := w.spend(); f != nil {
		return nil, f, false
	}
	if l.places != nil {
		select {
		case l.places <- struct{}{}:
			defer func() { <-l.places }()
		case <-w.ctx.Done():
			return nil, w.unsent(disconnected(w.ctx, w.ctx.Err(), w.keys)), false
		}
	}
	cloudLeave, leave, f := w.clear(o, signed)
	if f != nil {
		return nil, w.unsent(f), false
	}
	ofCloud, ofIdentity := undecided, undecided
	defer func() { // also when something panics
		c.away.settle(cloudLeave, ofCloud, w.account, f)
		counts = l.breaker.settle(leave, ofIdentity, w.account, f)
		c.share(w.keys, l, leave, ofIdentity, f)
	}()
	if operations[o].changes != "" && w.permit.may != nil {
		if err := w.permit.may(); err != nil {
			return nil, w.unsent(lie(rules.ReasonRejected, "not sent: %s", err)), false
		}
	}
	started := time.Now()
	resp, f = w.once(o, req)
	w.heard(o, f)
	ofCloud, ofIdentity = w.verdicts(o, f, time.Since(started))
	if w.aside && ofIdentity == served {
		ofIdentity = undecided
	}
	if cloudLeave.trial && ofIdentity == failed {
		ofIdentity = undecided // it was let through to see whether the cloud is back, which is not this account's affair
	}
	return resp, f, counts
}

// unsent marks the fault of a request that was not sent: there is no answer that was rejected.
func (w *wire) unsent(f *fault) *fault {
	f.unsent = true
	return f.as("")
}

// clear waits until a request may be sent: by the breakers, by the rates, and by both again, since a breaker may have opened
// and the cloud have asked for a pause in the meantime. Whoever has to wait for a breaker once more takes a new turn, so
// that those who waited do not come all at once when it closes.
func (w *wire) clear(o op, signed time.Time) (cloud, identity leave, f *fault) {
	c, l := w.cloud, w.lane
	for {
		if w.ctx.Err() != nil {
			return cloud, identity, disconnected(w.ctx, w.ctx.Err(), w.keys)
		}
		if f = c.away.hold(w.ctx, w.account); f != nil {
			return cloud, identity, f
		}
		if f = l.breaker.hold(w.ctx, w.account); f != nil {
			return cloud, identity, f
		}
		if err := w.queue(o); err != nil {
			return cloud, identity, w.late(err)
		}
		switch {
		case l.buried(w.keys):
			return cloud, identity, lie(rules.ReasonUnauthenticated, "not sent, since the key was refused before")
		case time.Since(signed) > c.pauses.sign:
			w.paid.Add(1)
			f = lie(rules.ReasonTimeout, "not sent, since its turn came when its signature was too old")
			f.stale = true
			return cloud, identity, f
		}
		if wait := w.pause(); wait > 0 { // the cloud asked for a pause in the meantime
			if !w.bears(wait) {
				return cloud, identity, w.late(errPaused)
			}
			w.paid.Add(1)                                          // it keeps its turn, and those that do come apart
			await(w.ctx, nil, wait+rand.N(min(wait, time.Second))) //nolint:gosec // chance is for spreading alone
			continue
		}
		var ok bool
		if cloud, ok = c.away.ask(w.account); !ok {
			continue
		}
		if identity, ok = l.breaker.ask(w.account); ok {
			return cloud, identity, nil
		}
		c.away.settle(cloud, undecided, w.account, nil)
	}
}

// queue waits for the turn of one request by the rates, unless that was done before. For the catalogue all accounts wait, so that
// its requests go first: they are charged to the rates, which has others wait longer, but do not wait themselves.
func (w *wire) queue(o op) error {
	for n := w.paid.Load(); n > 0; n = w.paid.Load() {
		if w.paid.CompareAndSwap(n, n-1) {
			return nil
		}
	}
	first := o == opCatalogue && !w.cloud.catalogue.crowded()
	if err := w.lane.pace(w.ctx, first, w.bears); err != nil {
		return err
	}
	return turn(w.ctx, w.cloud.total, first)
}

// late is the fault of a request whose turn does not come in time.
func (w *wire) late(err error) *fault {
	switch {
	case errors.Is(err, errPaused):
		f := lie(rules.ReasonThrottled, "not sent: the cloud asked for fewer requests, and its turn would come too late")
		f.late = true
		return f
	case errors.Is(err, errLate):
		return lie(rules.ReasonTimeout, "not sent: by the configured rate (cloud.rate) its turn would come too late")
	}
	return disconnected(w.ctx, err, w.keys)
}

// spend charges one request to the purse, or says that it is empty.
func (w *wire) spend() *fault {
	p := w.purse
	if b := p.bytes.Load(); b > p.mostBytes {
		f := lie(rules.ReasonBudget, "not sent: the answers of this sweep have %d bytes already, and %d are allowed", b, p.mostBytes)
		f.limit = p.bytesKey
		return w.unsent(f)
	}
	if p.requests.Add(1) > p.mostRequests {
		f := lie(rules.ReasonBudget, "not sent: this sweep has taken the %d requests that it may", p.mostRequests)
		f.limit = p.requestsKey
		return w.unsent(f)
	}
	return nil
}

// verdicts are what a sent request says of the cloud and of its identity. took is how long it was under way.
func (w *wire) verdicts(o op, f *fault, took time.Duration) (cloud, identity verdict) {
	switch {
	case f == nil:
		return served, served
	case f.refusesKey() && w.by == assumedKeys:
		w.lane.bury(w.keys) // another key may be made
		return served, undecided
	case f.refusesKey() && !o.assumes(): // which may be about the account that was to be entered
		return served, barred
	case f.status == http.StatusTooManyRequests, passing(f) && w.ctx.Err() == nil, f.reason == rules.ReasonTLS:
		return failed, failed
	case f.status > 0:
		return served, served
	case errors.Is(w.ctx.Err(), context.DeadlineExceeded) && took > w.cloud.cfg.RequestTimeout/4:
		return failed, failed
	}
	return undecided, undecided
}

package huawei

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// verdict is what one request says about whether the cloud serves an identity, and anybody.
type verdict int

const (
	// undecided: this program gave it up before it came to anything.
	undecided verdict = iota
	// served: the cloud answered, whatever it was.
	served
	// failed: it did not answer in time, or with a fault of its own, or asked for fewer requests.
	failed
	// barred: it answered 401, so that the key may not be used again.
	barred
)

// rule is when a breaker opens and for how long.
type rule struct {
	// failures in a row open it, when they are of as many different accounts as accounts says.
	failures, accounts int
	// causal has only those failures count whose requests were sent after the one before was known: of requests that are
	// under way together, one.
	causal bool
	// first is how long it stays open at first, before one request is let through to see; after each that fails it is
	// twice as long, up to most.
	first, most time.Duration
	// alone has requests go one after the other as long as nothing was ever served, so that a bad key is not used twice.
	alone bool
	// free refusals of a key in a row cost no pause.
	free int
	// patience is how long after its opening, or after the first request of a later run, requests wait for what that one
	// request finds, instead of being refused; haste is the same as long as nothing was ever served.
	patience, haste time.Duration
}

// How long a refused key is left alone at first, and at most. A key that was refused more than five times in a row is
// locked for five minutes (facts 10.1).
const (
	refusedFirst = 10 * time.Minute
	refusedMost  = 25 * time.Minute
)

// breaker keeps requests from being sent where they would only fail: to a cloud that is away, or with a key that is refused.
// It closes by itself when a request is served. Its methods may be called by many goroutines at once.
//
// While it is open one request is let through from time to time, or one each of several accounts where it stands before
// many, and the others wait for what it finds: those of a run that begins when all is well again are not refused for what
// the run before found. A key that was refused is not used again in the same run in any case.
type breaker struct {
	rule *rule
	// subject says whose requests it stands before.
	subject string
	// cloud tells the time and which run is under way, and is told each time that the breaker opens or closes.
	cloud *Cloud

	mu sync.Mutex
	// inARow counts failures since something was served; whose are the accounts that they were of.
	inARow int
	whose  map[string]struct{}
	// round grows with each failure that counts.
	round int
	open  bool
	// opened is when it opened, until is when the next request is let through, pause is how long that was put off.
	opened, until time.Time
	pause         time.Duration
	// refusals counts refusals in a row; run is the run of the last.
	refusals int
	run      int64
	// held is when the first request of the run heldIn came.
	held   time.Time
	heldIn int64
	// trying counts the requests that were let through and have not come back.
	trying int
	// tried are the accounts that try or have tried in vain, and failing those whose last request failed. Both are kept if the
	// rule counts accounts.
	tried   map[string]try
	failing map[string]struct{}
	why     *fault
	// heard says that something was served before.
	heard bool
	// news is closed when there is some. It is nil while nobody waits.
	news chan struct{}
}

// try is that of one account: when it may again, which is zero while it goes on, and whether the account was a failing one.
type try struct {
	next  time.Time
	again bool
}

// leave is the permission to send one request.
type leave struct {
	round int
	// trial says that it was let through to see, and again that the account was a failing one.
	trial, again bool
}

// shut says whether no request is let through at a time, whoever is trying. The caller holds the lock.
func (b *breaker) shut(now time.Time) bool {
	return b.open && (now.Before(b.until) || b.refusals > 0 && b.run == b.cloud.runs.Load())
}

// single says whether requests go one after the other. The caller holds the lock.
func (b *breaker) single() bool { return b.open || b.rule.alone && !b.heard }

// trialsAgain is how many failing accounts may try at once, beside those that are not. Accounts that always hang would otherwise
// take each trial there is, run after run.
const trialsAgain = 3

// may says whether a request of an account may be let through to see, and if not, when one may. Where a breaker stands before many
// accounts, as many of them try at once as it took to open it, each once: that some hang says nothing about the others. The
// caller holds the lock.
func (b *breaker) may(account string, now time.Time) (bool, time.Time) {
	if b.shut(now) {
		return false, b.until
	}
	if b.rule.accounts <= 1 {
		return b.trying == 0, b.until
	}
	_, again := b.failing[account]
	n, most := 0, b.rule.accounts
	if again {
		most = trialsAgain
	}
	next := now.Add(b.pause)
	for id, t := range b.tried {
		switch {
		case !t.next.IsZero() && !now.Before(t.next):
			continue // long ago
		case id == account:
			return false, t.next
		case t.again == again:
			n++
		}
		if !t.next.IsZero() && t.next.Before(next) {
			next = t.next
		}
	}
	return n < most, next
}

// patient says whether requests wait while none is let through until a time. The caller holds the lock.
func (b *breaker) patient(until time.Time) bool {
	patience := b.rule.patience
	if !b.heard {
		patience = b.rule.haste
	}
	since := b.opened
	if b.held.After(since) {
		since = b.held
	}
	return b.refusals == 0 && until.Sub(since) <= patience
}

// hold returns nil when a request of an account may ask for its leave, and otherwise why it may not. It waits for those that were
// let through, and while its patience lasts for the next one, but not beyond ctx, whose end it leaves to others to tell.
func (b *breaker) hold(ctx context.Context, account string) *fault {
	for {
		b.mu.Lock()
		now := b.cloud.cfg.Now()
		if run := b.cloud.runs.Load(); b.held.IsZero() || b.heldIn != run {
			b.held, b.heldIn = now, run
		}
		if !b.single() {
			b.mu.Unlock()
			return nil
		}
		ok, until := b.may(account, now)
		if ok {
			b.mu.Unlock()
			return nil
		}
		wait := time.Duration(-1)
		if b.trying == 0 {
			if wait = until.Sub(now); !b.patient(until) || !fits(ctx, wait) {
				f := b.refusal(until)
				b.mu.Unlock()
				return f
			}
		}
		if b.news == nil {
			b.news = make(chan struct{})
		}
		news := b.news
		b.mu.Unlock()
		if !await(ctx, news, wait) {
			return nil // whatever comes next will say so
		}
	}
}

// refuses says why hold would not wait; nil if it would, or need not.
func (b *breaker) refuses() *fault {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.cloud.cfg.Now()
	if !b.shut(now) || b.trying > 0 || b.patient(b.until) {
		return nil
	}
	return b.refusal(b.until)
}

// ask gives a request of an account its leave, or says that it has to wait once more.
func (b *breaker) ask(account string) (leave, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := leave{round: b.round}
	if b.single() {
		if ok, _ := b.may(account, b.cloud.cfg.Now()); !ok {
			return l, false
		}
		l.trial = true
		b.trying++
		if b.rule.accounts > 1 {
			if b.tried == nil {
				b.tried = make(map[string]try)
			}
			_, l.again = b.failing[account]
			b.tried[account] = try{again: l.again}
		}
	}
	return l, true
}

// settle takes note of what came of a request that had its leave, and of which account it was; f is its fault. It returns
// whether it was a failure that counts.
func (b *breaker) settle(l leave, v verdict, account string, f *fault) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l.trial {
		b.trying--
		delete(b.tried, account)
		b.tell()
	}
	switch v {
	case served:
		delete(b.failing, account)
		b.close()
		return false
	case barred:
		b.refuse(f, false)
		return false
	case failed:
		if b.rule.causal && l.round != b.round {
			return false
		}
	default:
		return false
	}
	b.round++
	now, why := b.cloud.cfg.Now(), *f // whoever sent it may add to it
	if b.rule.accounts > 1 {
		if b.failing == nil {
			b.failing = make(map[string]struct{})
		}
		b.failing[account] = struct{}{}
	}
	switch {
	case l.trial && b.open:
		b.why, b.refusals = &why, 0
		if b.enough(l, account, now) {
			b.shutFor(now, min(max(2*b.pause, b.rule.first), b.rule.most))
		}
	case b.open: // it was under way when the breaker opened
	default:
		b.inARow++
		if b.rule.accounts > 1 && len(b.whose) < b.rule.accounts {
			if b.whose == nil {
				b.whose = make(map[string]struct{}, b.rule.accounts)
			}
			b.whose[account] = struct{}{}
		}
		if b.inARow >= b.rule.failures && (b.rule.accounts <= 1 || len(b.whose) >= b.rule.accounts) {
			b.why, b.opened = &why, now
			b.shutFor(now, b.rule.first)
		}
	}
	return true
}

// enough takes note that the trial of an account failed, and says whether that is reason to let nothing through for a while: as
// many accounts tried in vain as it takes to open the breaker. The caller holds the lock.
func (b *breaker) enough(l leave, account string, now time.Time) bool {
	if b.rule.accounts <= 1 {
		return true
	}
	if b.tried == nil {
		b.tried = make(map[string]try)
	}
	b.tried[account] = try{now.Add(b.pause), l.again}
	var vain []string
	for id, t := range b.tried {
		if !t.next.IsZero() {
			vain = append(vain, id)
		}
	}
	if len(vain) < b.rule.accounts {
		return false
	}
	for _, id := range vain {
		delete(b.tried, id)
	}
	return true
}

// close takes note that something was served. The caller holds the lock.
func (b *breaker) close() {
	b.inARow, b.whose, b.refusals, b.heard, b.tried = 0, nil, 0, true, nil
	if b.open {
		b.open = false
		b.cloud.noticed(b, false)
		b.why = nil
		b.tell()
	}
}

// bar opens the breaker for a key that was refused, and forRun only for the rest of the run.
func (b *breaker) bar(f *fault, forRun bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse(f, forRun)
}

// pardon closes the breaker if it is open for a key that was refused, since the key has proved good elsewhere.
func (b *breaker) pardon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusals > 0 {
		b.close()
	}
}

// retire closes the breaker, since it stands before nothing any more.
func (b *breaker) retire() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.close()
}

// refuse does what bar does. The caller holds the lock.
func (b *breaker) refuse(f *fault, forRun bool) {
	now, why, pause := b.cloud.cfg.Now(), *f, time.Duration(0)
	if !b.open {
		b.opened = now
	}
	b.why, b.run = &why, b.cloud.runs.Load()
	if b.refusals++; b.refusals > b.rule.free && !forRun {
		pause = min(refusedFirst<<min(b.refusals-b.rule.free-1, 8), refusedMost)
	}
	b.shutFor(now, pause)
	b.tell()
}

// shutFor opens the breaker, or keeps it open. The caller holds the lock and has set why.
func (b *breaker) shutFor(now time.Time, pause time.Duration) {
	was := b.open
	b.open, b.pause, b.until = true, pause, now.Add(pause)
	if !was {
		b.cloud.noticed(b, true)
	}
}

// tell wakes those that wait. The caller holds the lock.
func (b *breaker) tell() {
	if b.news != nil {
		close(b.news)
		b.news = nil
	}
}

// refusal is the fault of a request that is not sent, as none is until a time. The caller holds the lock.
func (b *breaker) refusal(until time.Time) *fault {
	f := &fault{reason: b.why.reason, requestID: b.why.requestID}
	again := "it is not tried again before " + until.UTC().Format(time.RFC3339)
	if b.refusals > 0 && b.run == b.cloud.runs.Load() {
		again += ", and then in another run"
	}
	because := "the requests of " + b.subject + " failed one after the other"
	if b.refusals > 0 {
		because = "the key of " + b.subject + " was refused"
	}
	f.detail = fmt.Sprintf("not sent, since %s; %s; what came last: %s", because, again, b.why.detail)
	return f
}

// fits says whether there is time in ctx to wait that long and to do something afterwards.
func fits(ctx context.Context, wait time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) > wait
}

// await waits for news, and as long as wait says if that is not negative. It returns false when ctx is done before.
func await(ctx context.Context, news <-chan struct{}, wait time.Duration) bool {
	var over <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-news:
		return true
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

package huawei

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// outstanding is how many requests with one account's keys are under way or waiting at once: as many as there are planes. So
// an account with thousands of requests takes its turn with the others, and a key is never refused more often in a row
// than the cloud bears (facts 10.1).
const outstanding = 5

// bounds are those of a rate after the cloud asked for fewer requests: it is halved each time, from most at the most, but not below
// least, and goes evenly back to most and then to what it was.
type bounds struct{ least, most rate.Limit }

// All accounts are entered with the one main identity, which therefore stays faster.
var (
	accountBounds = bounds{least: 1, most: 16}
	mainBounds    = bounds{least: 8, most: 64}
)

// errLate says that a turn would come too late, and errPaused that it would by the will of the cloud.
var (
	errLate   = errors.New("the turn would come too late")
	errPaused = errors.New("the turn would come too late, since the cloud asked for fewer requests")
)

// lane is what is minded of the requests with one identity: the main one, or the keys by which one account is read. Its
// methods may be called by many goroutines at once.
type lane struct {
	breaker breaker
	// places has room for the requests that may be outstanding; nil is any number.
	places  chan struct{}
	limiter *rate.Limiter
	// full is the configured rate.
	full   rate.Limit
	bounds bounds

	mu sync.Mutex
	// slowed says that the rate is not the full one; low was it at the time lowAt.
	slowed bool
	low    rate.Limit
	lowAt  time.Time
	// pausedTo is until when the cloud asked for no requests at all.
	pausedTo time.Time
	// dead are the keys that were refused last.
	dead Keys
}

// limitOf makes the limit of a configured rate.
func limitOf(perSecond float64) rate.Limit {
	if perSecond == 0 {
		return rate.Inf
	}
	return rate.Limit(perSecond)
}

// burstOf is one second's worth.
func burstOf(l rate.Limit) int {
	if l == rate.Inf {
		return 1 // a limiter without a limit does not ask for it
	}
	return max(1, int(l))
}

func newLimiter(l rate.Limit) *rate.Limiter { return rate.NewLimiter(l, burstOf(l)) }

// pace waits for the turn of one request, not beyond ctx; first says that it goes before the others, and bears whether it waits for
// a pause. Its error is errLate, errPaused or that of ctx.
func (l *lane) pace(ctx context.Context, first bool, bears func(time.Duration) bool) error {
	for {
		wait := l.recover(l.breaker.cloud.cfg.Now())
		if wait <= 0 {
			err := turn(ctx, l.limiter, first)
			if errors.Is(err, errLate) && l.isSlowed() {
				return errPaused
			}
			return err
		}
		if !bears(wait) {
			return errPaused
		}
		if !await(ctx, nil, wait) {
			return ctx.Err()
		}
	}
}

// turn waits for a limiter, or is merely charged when it is the first.
func turn(ctx context.Context, limiter *rate.Limiter, first bool) error {
	if first {
		limiter.Reserve()
		return nil
	}
	if err := limiter.Wait(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errLate
	}
	return nil
}

// recover raises a lowered rate by what is due since, and returns how long no request may be sent.
func (l *lane) recover(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slowed {
		if due := l.due(now); due < l.ceiling() {
			l.limiter.SetLimit(due)
			l.limiter.SetBurst(burstOf(due))
		} else {
			l.slowed = false
			l.limiter.SetLimit(l.full)
			l.limiter.SetBurst(burstOf(l.full))
		}
	}
	return l.pausedTo.Sub(now)
}

// ceiling is the rate up to which there is something to recover.
func (l *lane) ceiling() rate.Limit { return min(l.full, l.bounds.most) }

// due is the rate at a time after it was lowered.
func (l *lane) due(now time.Time) rate.Limit {
	return l.low + l.ceiling()*rate.Limit(now.Sub(l.lowAt).Seconds()/l.breaker.cloud.pauses.recovery.Seconds())
}

// slow halves the rate and sends nothing for a while, since the cloud asked for fewer requests. halve is false for the answers
// to requests that were sent before the last of them was known.
func (l *lane) slow(now time.Time, pause time.Duration, halve bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := now.Add(pause); until.After(l.pausedTo) {
		l.pausedTo = until
	}
	if !halve {
		return
	}
	from := l.ceiling()
	if l.slowed {
		from = min(from, l.due(now))
	}
	l.slowed, l.lowAt, l.low = true, now, min(max(from/2, l.bounds.least), l.ceiling())
	l.limiter.SetLimit(l.low)
	l.limiter.SetBurst(burstOf(l.low))
}

// isSlowed says whether the cloud asked for fewer requests a while ago.
func (l *lane) isSlowed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.slowed
}

// bury remembers keys that were refused.
func (l *lane) bury(k Keys) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = k
}

// buried says whether the keys were refused.
func (l *lane) buried(k Keys) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dead == k && !k.IsZero()
}

// newLane makes the lane of an identity with a rate, where zero is none.
func (c *Cloud) newLane(perSecond float64, b bounds, r *rule, subject string) *lane {
	full := limitOf(perSecond)
	l := &lane{limiter: newLimiter(full), full: full, bounds: b}
	c.prepare(&l.breaker, r, subject)
	return l
}

// prepare makes a breaker ready.
func (c *Cloud) prepare(b *breaker, r *rule, subject string) {
	b.rule, b.subject, b.cloud = r, subject, c
}

// openBreakers are those that are open.
type openBreakers struct {
	mu   sync.Mutex
	away bool
	// identities counts those of the main identity, and of the one before it in a chain.
	identities, accounts int
}

// noticed takes note that a breaker opened or closed. It is called with the breaker locked.
func (c *Cloud) noticed(b *breaker, open bool) {
	level, of := slog.LevelWarn, b.subject
	one := -1
	if open {
		one = 1
	}
	c.open.mu.Lock()
	switch {
	case b == &c.away:
		c.open.away = open
	case c.ofIdentity(b):
		c.open.identities += one
	default:
		c.open.accounts += one
		level = slog.LevelDebug // the sweeps say so, and of which account
	}
	c.open.mu.Unlock()
	c.tellBreakers()
	if open {
		c.log.Log(context.Background(), level, "breaker opened: nothing is sent for a while", "of", of, "reason", b.why.reason,
			"detail", b.why.detail, "for", b.pause)
		return
	}
	c.log.Log(context.Background(), level, "breaker closed", "of", of)
}

// tellBreakers tells the meter which breakers are open. That of the whole cloud stands before every identity.
func (c *Cloud) tellBreakers() {
	c.open.mu.Lock()
	defer c.open.mu.Unlock()
	if c.open.away {
		c.cfg.Meter.Breakers(c.main.exists(), c.doors.count())
		return
	}
	c.cfg.Meter.Breakers(c.open.identities > 0, c.open.accounts)
}

// ofIdentity says whether a breaker is one of the program's identities, and not an account's.
func (c *Cloud) ofIdentity(b *breaker) bool {
	return b == &c.main.lane.breaker || c.first != nil && b == &c.first.lane.breaker
}

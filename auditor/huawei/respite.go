package huawei

import (
	"context"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// respite is until when nothing is asked about one account that is to be entered, or the organization, since the cloud asked for that.
// The main identity goes on with whatever else it does. A nil respite is none.
type respite struct {
	// most is the longest pause that is waited for, if that is less than for an identity.
	most time.Duration

	mu    sync.Mutex
	until time.Time
}

func (r *respite) grant(until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if until.After(r.until) {
		r.until = until
	}
}

// left is how long it still lasts.
func (r *respite) left(now time.Time) time.Duration {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.until.Sub(now)
}

// crowdOf is of how many accounts one after the other the cloud must ask for a pause, with none of another kind of answer between
// them, so that it is the main identity that pauses. One account, or a few that stand together, must not keep out all the others;
// that so many others are refused by chance, be it that three in ten are, is hardly ever so.
const crowdOf = 12

// crowd are the accounts about whose entering a 429 came, since the last about which anything else came.
type crowd struct {
	mu   sync.Mutex
	ids  map[string]struct{}
	last time.Time
}

// join adds an account and returns how many there are. Those that were alone for as long as within are none.
func (c *crowd) join(account string, now time.Time, within time.Duration) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil || now.Sub(c.last) > within {
		c.ids = map[string]struct{}{}
	}
	c.last = now
	if len(c.ids) < crowdOf {
		c.ids[account] = struct{}{}
	}
	return len(c.ids)
}

func (c *crowd) disperse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids = nil
}

// asideMost is the most that the main identity pauses for a 429 that is about something else.
const asideMost = 4 * time.Second

// throttled sees to the pause that a 429 asks for; counts is false for the answers to requests that were sent before the last of
// them was known.
//
// The identity pauses for as long as the cloud says. That one request has no luck is its own affair. What the main identity is
// told about one account that it was to enter, or of the organization that it lists, holds for these alone: it makes a short
// pause that grows with the number of accounts, until these are a crowd.
func (w *wire) throttled(asked time.Duration, counts bool) {
	c := w.cloud
	now := c.cfg.Now()
	pause := min(max(asked, c.pauses.throttled), c.pauses.askedMost)
	about, all := w.about != nil, true
	if about {
		w.about.grant(now.Add(pause))
		n := 1
		if w.account != "" {
			n = c.main.crowd.join(w.account, now, c.pauses.recovery)
		}
		if all = n >= crowdOf; !all {
			pause = min(pause, c.pauses.throttled<<(n-1), asideMost)
		}
	}
	if all && w.lane == c.main.lane {
		c.main.pausing(now, asked, c.pauses.askedMost)
	}
	w.lane.slow(now, pause, counts)
}

// heard takes note of an answer to the entering of an account: the identity is not kept from that as a whole.
func (w *wire) heard(o op, f *fault) {
	if o.assumes() && (f == nil || proves(f.status)) {
		w.cloud.main.crowd.disperse()
	}
}

// mostWaited is the longest pause that is waited for.
func (w *wire) mostWaited() time.Duration {
	if w.about != nil && w.about.most > 0 {
		return min(w.about.most, w.cloud.pauses.askedMost)
	}
	return w.cloud.pauses.askedMost
}

// bears says whether a pause is waited for before a request is sent that was not sent before.
func (w *wire) bears(wait time.Duration) bool {
	if w.about != nil && w.account != "" {
		return brief(w.ctx, wait)
	}
	return wait <= w.mostWaited() && fits(w.ctx, wait)
}

// pause is how long the cloud wants none of these requests.
func (w *wire) pause() time.Duration {
	now := w.cloud.cfg.Now()
	return max(w.lane.recover(now), w.about.left(now))
}

// rest waits until nothing stands against asking about it. It returns why there is no time for that.
func (r *respite) rest(ctx context.Context, c *Cloud) *fault {
	for {
		wait := r.left(c.cfg.Now())
		if wait <= 0 {
			return nil
		}
		if !fits(ctx, wait) {
			return lie(rules.ReasonThrottled, "not sent: the cloud asked for fewer requests about it, and its turn would come too late").as("")
		}
		if !await(ctx, nil, wait) {
			return nil // whatever comes next will say so
		}
	}
}

// pausing takes note of a pause that the cloud asked the main identity for. One that is beyond the most is not waited for.
func (m *identity) pausing(now time.Time, asked, most time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch until := now.Add(asked); {
	case asked > most:
		m.paused = time.Time{}
	case asked > 0 && until.After(m.paused):
		m.paused = until
	}
}

// pausedTo is until when the main identity pauses, or did last, at the wish of the cloud; zero when that is not waited for.
func (m *identity) pausedTo() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.paused
}

// mostRepeats is how often the check of the main identity that had to be put off is made again in one run, at most.
const mostRepeats = 2

// brief says whether a pause of the main identity is waited for in a sweep: it leaves it most of its time, and others the places in which
// accounts are read.
func brief(ctx context.Context, wait time.Duration) bool { return fits(ctx, 4*wait) }

// repeats says whether a check that failed is made again, since it was put off for a pause that is over soon. The caller holds the turn.
func (c *Cloud) repeats(ctx context.Context) bool {
	m := c.main
	until := m.pausedTo()
	if !m.putOff || until.IsZero() || m.repeats >= mostRepeats || !brief(ctx, until.Sub(c.cfg.Now())) {
		return false
	}
	m.repeats++
	return true
}

// notEntered is the error of an account that was not entered. When that is for a pause of the main identity that is not brief, it says
// when the account can be.
func (c *Cloud) notEntered(ctx context.Context, d *door, u *rules.Unknown) error {
	until := c.main.pausedTo()
	if now := c.cfg.Now(); u.Reason != rules.ReasonThrottled || until.IsZero() || brief(ctx, until.Sub(now)) {
		return u
	} else if alone := now.Add(d.respite.left(now)); alone.After(until) {
		until = alone
	}
	return &auditor.Postponed{Until: until, Why: u}
}

package huawei

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

const (
	// renewal is how long before their end the main identity's keys are fetched anew, while the old ones are still good.
	renewal = 30 * time.Minute
	// renewalPause is how long is waited after that was tried in vain.
	renewalPause = time.Minute
	// renewalPatience is how long others are kept waiting for new keys while the old ones are good.
	renewalPatience = 10 * time.Second
)

var errRenewalTime = fmt.Errorf("the time for fetching a key while the old one is good is over: %w", context.DeadlineExceeded)

// supply is what is known of keys that are fetched. Whoever holds the identity's turn may touch it.
type supply struct {
	// fetch gets keys, from says where it gets them, and care what to look at when the cloud refuses them. There are none for keys
	// that do not change.
	fetch      func(ctx context.Context) (pass, *rules.Unknown)
	from, care string
	// fresh are the keys that were fetched last, verified or not; tried is when that was last tried.
	fresh pass
	tried time.Time
}

// exists says whether there is a main identity.
func (m *identity) exists() bool { return m.fetch != nil || !m.Keys.IsZero() }

// current returns the keys that were last found to be the configured account's; those that do not change are taken for it. It is
// for whoever was let through by confirm.
func (m *identity) current() pass {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verified
}

// isDue says whether keys have to be fetched. The caller holds the turn.
func (m *identity) isDue(now time.Time) bool {
	switch {
	case m.fetch == nil:
		return false
	case m.spent(now):
		return true
	}
	return !now.Before(m.fresh.expires.Add(-renewal)) && now.Sub(m.tried) >= renewalPause
}

// spent says whether there are no keys to begin anything with.
func (m *identity) spent(now time.Time) bool {
	return m.fresh.keys.IsZero() || !now.Before(m.fresh.expires.Add(-expiryMargin))
}

// renew fetches keys if that is due, or if those that there are were refused. It returns why there are none; changed says that
// there are others than those that were verified last. The caller holds the turn, so that this happens once at a time.
func (c *Cloud) renew(ctx context.Context, m *identity) (changed bool, u *rules.Unknown) {
	if m.fetch == nil {
		return false, nil
	}
	now, refused := c.now(), m.lane.breaker.refusedKey()
	if m.isDue(now) || refused {
		p, u := m.fetchInTime(ctx, !refused && !m.spent(now))
		m.tried = now
		switch {
		case u == nil:
			if p.keys != m.fresh.keys {
				c.log.Info("key fetched", "of", m.title, "from", m.from, "expires_at", p.expires)
				for _, l := range c.lanesOf(m) { // that another key was refused says nothing about this one
					l.breaker.pardon()
				}
			}
			m.fresh = p
		case refused || m.spent(now):
			return false, u
		default:
			c.log.Warn("a key is not fetched anew; the old one is still good", "of", m.title, "from", m.from, "err", u,
				"expires_at", m.fresh.expires)
		}
	}
	return m.fresh != m.current(), nil
}

// fetchInTime fetches keys; spare says that there are others, for which not to wait long.
func (m *identity) fetchInTime(ctx context.Context, spare bool) (pass, *rules.Unknown) {
	if spare {
		within, cancel := context.WithTimeoutCause(ctx, renewalPatience, errRenewalTime)
		defer cancel()
		ctx = within
	}
	return m.fetch(ctx)
}

// adopt takes the fetched keys for the configured account's, as they were found to be. The caller holds the turn.
func (c *Cloud) adopt(m *identity) {
	if m.fetch == nil {
		return
	}
	m.mu.Lock()
	old := m.verified
	m.verified = m.fresh
	m.mu.Unlock()
	if old.keys != m.fresh.keys {
		c.doors.resign(old.keys, m.fresh.keys, c.lanesOf(m))
	}
}

// drop forgets keys that are not the configured account's, or that the cloud refused, so that others are fetched before the next
// try. The caller holds the turn.
func (m *identity) drop(u *rules.Unknown) {
	if m.fetch != nil && u.Reason == rules.ReasonUnauthenticated {
		m.fresh = pass{}
	}
}

// lanesOf are those whose requests are signed with an identity's keys.
func (c *Cloud) lanesOf(m *identity) []*lane {
	lanes := []*lane{m.lane}
	if m == c.main {
		if d := c.door(m.AccountID); d != nil && d.ofMain {
			lanes = append(lanes, d.lane)
		}
	}
	return lanes
}

// borrow lets an account be read with the main identity's keys.
func (c *Cloud) borrow(ctx context.Context) (pass, *rules.Unknown) {
	if u := c.confirm(ctx); u != nil {
		u := *u
		u.Detail = "the account was not entered: " + u.Detail
		return pass{}, &u
	}
	return c.main.current(), nil
}

// resign takes note that requests of lanes are signed with other keys than before.
func (ds *doors) resign(old, now Keys, lanes []*lane) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	ds.unsign(old, lanes...)
	for _, l := range lanes {
		ds.sign(now, l)
	}
}

// refusedKey says whether the breaker is open for a key that was refused.
func (b *breaker) refusedKey() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusals > 0
}

// sourceOf makes the way to where the main identity's keys come from; nil when they do not change.
func sourceOf(cfg Config, s *site) (*origin, http.RoundTripper, error) {
	if cfg.Main.Source == nil {
		return nil, nil, nil
	}
	o, err := cfg.Main.Source.origin()
	if err != nil {
		return nil, nil, err
	}
	return o, o.transport(sourceRoots(s)), nil
}

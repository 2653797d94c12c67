package huawei

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestWhatIsUnderWayTogetherCountsOnce: requests that fail at once are one failure of their identity, not many in a row.
func TestWhatIsUnderWayTogetherCountsOnce(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &c.main.lane.breaker
	together := func(n int) (counted int) {
		leaves := make([]leave, n)
		for i := range leaves {
			l, ok := b.ask("a")
			if !ok {
				t.Fatalf("no leave for request %d", i)
			}
			leaves[i] = l
		}
		for _, l := range leaves {
			if b.settle(l, failed, "a", lie(rules.ReasonUnreachable, "no")) {
				counted++
			}
		}
		return counted
	}
	if n := together(100); n != 1 || b.open {
		t.Errorf("%d failures count, open %t", n, b.open)
	}
	for range 9 {
		if b.open {
			t.Error("open too soon")
		}
		together(1)
	}
	if !b.open {
		t.Error("not open after ten in a row")
	}
}

// TestAFaultMayBeAddedToAfterItOpenedABreaker, while others are told of it. The race detector watches.
func TestAFaultMayBeAddedToAfterItOpenedABreaker(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &c.main.lane.breaker
	f := lie(rules.ReasonUnauthenticated, "no")
	b.bar(f, false)
	var wg sync.WaitGroup
	wg.Go(func() { f.detail += "!" })
	wg.Go(func() {
		if u := b.refuses(); u != nil && u.reason != rules.ReasonUnauthenticated {
			t.Errorf("%v", u)
		}
	})
	wg.Wait()
}

// TestTheNextTryIsPutOff further each time, up to a point.
func TestTheNextTryIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := &c.main.lane.breaker
		var pauses []time.Duration
		for len(pauses) < 7 {
			l, ok := b.ask("a")
			if !ok {
				t.Fatal("no leave")
			}
			b.settle(l, failed, "a", lie(rules.ReasonUnreachable, "no"))
			if b.open {
				wait := time.Until(b.until)
				pauses = append(pauses, wait)
				if _, ok := b.ask("a"); ok {
					t.Error("leave while it is shut")
				}
				pause(wait)
			}
		}
		const s = time.Second
		want := []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}
		if !slices.Equal(pauses, want) {
			t.Errorf("put off by %v", pauses)
		}
	})
}

// TestAFaultAfterARefusal that cost no pause puts the next try off as any first one.
func TestAFaultAfterARefusal(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &c.main.lane.breaker
	b.bar(lie(rules.ReasonUnauthenticated, "no"), false)
	c.runs.Add(1)
	l, ok := b.ask("a")
	if !ok {
		t.Fatal("no leave in the next run")
	}
	b.settle(l, failed, "a", lie(rules.ReasonUnreachable, "no"))
	if b.pause != time.Second {
		t.Errorf("put off by %s", b.pause)
	}
}

// TestALaneWithoutALimitHasNoneAgain when a minute has passed since it was slowed.
func TestALaneWithoutALimitHasNoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		l := c.main.lane
		l.slow(time.Now(), 0, true)
		l.slow(time.Now(), 0, true)
		for _, tc := range []struct {
			passes time.Duration
			limit  rate.Limit
		}{{0, 16}, {30 * time.Second, 48}, {16 * time.Second, rate.Inf}, {time.Hour, rate.Inf}} {
			pause(tc.passes)
			if err := l.pace(t.Context(), false, func(time.Duration) bool { return true }); err != nil {
				t.Error(err)
			}
			if got := l.limiter.Limit(); got < tc.limit*0.99 || got > tc.limit*1.01 || l.isSlowed() != (tc.limit != rate.Inf) {
				t.Errorf("the limit is %v, want %v; slowed %t", got, tc.limit, l.isSlowed())
			}
		}
	})
}

// TestALeaveThatIsNotUsedIsGivenBack: the cloud lets one request through, whose identity turns out to be busy when its turn has
// come.
func TestALeaveThatIsNotUsedIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.away.why, c.away.open = lie(rules.ReasonUnreachable, "no"), true
		ctx, cancel := context.WithCancel(t.Context())
		w, done := c.newWire(ctx, Keys{}, c.log)
		defer done()
		w.lane = c.newLane(1, accountBounds, &c.pauses.account, "an account")
		if err := w.queue(opAgencies); err != nil { // so that the next waits for a second
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, f := w.clear(opAgencies, time.Now()); f == nil {
				t.Error("cleared")
			}
		})
		synctest.Wait()
		if _, ok := w.lane.breaker.ask("a"); !ok {
			t.Fatal("no leave")
		}
		pause(2 * time.Second)
		if _, ok := c.away.ask("a"); !ok {
			t.Error("the leave was not given back")
		}
		cancel()
		wg.Wait()
	})
}

// TestPatienceBeginsWithTheRun: what a run found long ago is no reason to refuse the first requests of the next one at once, while
// those of the run that found it wait no longer.
func TestPatienceBeginsWithTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.away.heard = true
		b := awayBy(t, c, "a", "b", "c", "d", "e")
		if f := b.hold(t.Context(), "a"); f != nil {
			t.Fatalf("not waited for: %s", f.detail)
		}
		pause(c.pauses.cloud.patience)
		b.shutFor(time.Now(), c.pauses.cloud.patience-time.Second)
		began := time.Now()
		if f := b.hold(t.Context(), "a"); f == nil || !time.Now().Equal(began) {
			t.Errorf("the run that found it: %v, after %s", f, time.Since(began))
		}
		c.runs.Add(1)
		if f := b.hold(t.Context(), "a"); f != nil || time.Since(began) != c.pauses.cloud.patience-time.Second {
			t.Errorf("the next run: %v, after %s", f, time.Since(began))
		}
	})
}

// TestATrialForTheCloudCountsForNoAccount: whoever is let through to see whether the cloud is back and finds that it is not has a
// sound account all the same.
func TestATrialForTheCloudCountsForNoAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
		for _, away := range []bool{false, true} {
			c.away.why, c.away.open = lie(rules.ReasonUnreachable, "no"), away
			w, done := c.newWire(t.Context(), Keys{}, c.log)
			w.lane = c.newLane(0, accountBounds, &c.pauses.account, "an account")
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://iam.example.com/v3/roles", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if _, f, _ := w.inTurn(opCatalogue, req, time.Now()); f == nil || f.unsent {
				t.Errorf("cloud away %t: %v", away, f)
			}
			if counted := w.lane.breaker.inARow == 1; counted == away {
				t.Errorf("cloud away %t: counted %t", away, counted)
			}
			done()
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// awayBy opens the breaker of the whole cloud by failures of these accounts, and waits until one may try.
func awayBy(t *testing.T, c *Cloud, accounts ...string) *breaker {
	t.Helper()
	b := &c.away
	for i := range c.pauses.cloud.failures {
		account := accounts[i%len(accounts)]
		l, ok := b.ask(account)
		if !ok {
			t.Fatal("no leave")
		}
		b.settle(l, failed, account, lie(rules.ReasonUnreachable, "no"))
	}
	if !b.open {
		t.Fatal("not open")
	}
	pause(time.Until(b.until))
	return b
}

// TestWhoMayTry whether the cloud is back: each account once, and those that failed last do not take the trials of the others.
func TestWhoMayTry(t *testing.T) {
	inVain := func(b *breaker, account string) bool {
		l, ok := b.ask(account)
		if ok {
			b.settle(l, failed, account, lie(rules.ReasonUnreachable, "no"))
		}
		return ok
	}
	for name, do := range map[string]func(t *testing.T, c *Cloud, b *breaker){
		"each once": func(t *testing.T, _ *Cloud, b *breaker) {
			if !inVain(b, "v") || inVain(b, "v") || !inVain(b, "w") {
				t.Error("not each once")
			}
			pause(b.pause)
			if !inVain(b, "v") {
				t.Error("not again after a pause")
			}
		},
		"no more at once than open it": func(t *testing.T, c *Cloud, b *breaker) {
			n := 0
			for _, account := range []string{"1", "2", "3", "4", "5", "6", "7", "8"} {
				if _, ok := b.ask(account); ok {
					n++
				}
			}
			if n != c.pauses.cloud.accounts {
				t.Errorf("%d at once", n)
			}
		},
		"a few of those that failed": func(t *testing.T, _ *Cloud, b *breaker) {
			n := 0
			for _, account := range []string{"a", "b", "c", "d", "e"} { // by which it opened
				if _, ok := b.ask(account); ok {
					n++
				}
			}
			if n != trialsAgain {
				t.Errorf("%d of those that failed at once", n)
			}
			if _, ok := b.ask("v"); !ok {
				t.Error("they take the trials of the others")
			}
		},
		"one that is served has not failed": func(t *testing.T, c *Cloud, b *breaker) {
			l, _ := b.ask("a")
			b.settle(l, served, "a", nil)
			b = awayBy(t, c, "b", "c", "d", "e", "f")
			if l, ok := b.ask("a"); !ok || l.again {
				t.Errorf("leave %t, as one that failed %t", ok, l.again)
			}
		},
		"what was tried before it closed counts no longer": func(t *testing.T, c *Cloud, b *breaker) {
			for _, account := range []string{"v", "w", "x", "y"} {
				if !inVain(b, account) {
					t.Fatal("no leave")
				}
			}
			l, _ := b.ask("z")
			b.settle(l, served, "z", nil)
			b = awayBy(t, c, "a", "b", "c", "d", "e")
			if !inVain(b, "1") || !inVain(b, "2") {
				t.Error("shut after one trial")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				do(t, c, awayBy(t, c, "a", "b", "c", "d", "e"))
			})
		})
	}
}

// TestWhatProvesTheMainKey: an assumption that the cloud answered, unless a key was refused since it began or nothing says that the
// signature was looked at.
func TestWhatProvesTheMainKey(t *testing.T) {
	refusal := &rules.Unknown{Reason: rules.ReasonUnauthenticated}
	for _, tc := range []struct {
		name   string
		before func(m *identity)
		proves bool
		want   bool
	}{
		{"answered", func(*identity) {}, true, true},
		{"not looked at", func(*identity) {}, false, false},
		{"refused since", func(m *identity) { m.settle(m.epoch, refusal, false) }, true, false},
		{"a run began since", func(m *identity) { m.begin() }, true, false},
	} {
		m := newIdentity(Identity{})
		epoch := m.start(&trial{})
		tc.before(m)
		m.settle(epoch, nil, tc.proves)
		if m.proven != tc.want {
			t.Errorf("%s: proven %t", tc.name, m.proven)
		}
	}
	for status, want := range map[int]bool{0: false, 201: true, 401: false, 403: true, 404: true, 429: false, 500: false, 503: false} {
		if proves(status) != want {
			t.Errorf("status %d proves %t", status, !want)
		}
	}
}

// TestWhatHangsIsCountedSinceTheIdentityWasChecked, and only once.
func TestWhatHangsIsCountedSinceTheIdentityWasChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newIdentity(Identity{})
		begin := func() *trial {
			a, err := m.try(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			m.start(a)
			return a
		}
		look := func(when string, hung, young int) {
			t.Helper()
			synctest.Wait()
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.hung != hung || m.young != young {
				t.Errorf("%s: %d hang and %d are young, want %d and %d", when, m.hung, m.young, hung, young)
			}
		}
		before := begin()
		pause(trialPatience)
		look("one hangs", 1, 0)
		m.checked()
		look("the identity was checked", 0, 0)
		during := begin()
		m.checked()
		pause(trialPatience)
		look("one hangs that began before a check", 0, 0)
		after := begin()
		pause(trialPatience)
		look("another hangs", 1, 0)
		m.leave(before)
		m.leave(during)
		look("those of before are over", 1, 0)
		m.leave(after)
		look("all are over", 0, 0)
	})
}

package auditor_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// fleet are sweeps in the time of a bubble, each as long as takes says.
type fleet struct {
	t     *testing.T
	takes func(n int) time.Duration

	mu sync.Mutex
	// now are the sweeps under way, most is the most there were, ended is when each ended.
	now, most int
	ended     map[string]time.Time
	delays    map[string]time.Duration
}

func newFleet(t *testing.T, n int, takes func(n int) time.Duration) (*fleet, inventory) {
	f := &fleet{t: t, takes: takes, ended: map[string]time.Time{}, delays: map[string]time.Duration{}}
	var names []string
	for i := range n {
		name := fmt.Sprintf("account-%04d", i)
		names = append(names, name)
		f.delays[name] = takes(i)
	}
	return f, accounts(names...)
}

func (f *fleet) observe(ctx context.Context, a rules.Account) (rules.Evidence, error) {
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
		f.ended[a.Name] = time.Now()
	}()
	select {
	case <-time.After(f.delays[a.Name]):
		return evidenceOf(f.t, a, cocID, true), nil
	case <-ctx.Done():
		return rules.Evidence{}, &rules.Unknown{Reason: rules.ReasonTimeout, Detail: context.Cause(ctx).Error()}
	}
}

// run makes one run and returns it with how long it took until all but the slow ones had ended.
func (f *fleet) run(list inventory, concurrency int, slow func(n int) bool) (*auditor.Run, time.Duration) {
	f.t.Helper()
	var log bytes.Buffer
	a := newAuditor(observer{observe: f.observe}, list, &log)
	a.Concurrency, a.RunTimeout = concurrency, 10*time.Minute
	started := time.Now()
	run, err := a.Run(f.t.Context(), "test", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	last := started
	for i, acct := range list {
		if at := f.ended[acct.Name]; !slow(i) && at.After(last) {
			last = at
		}
	}
	return run, last.Sub(started)
}

// TestAHangingAccountDelaysNobody: one of a hundred hangs, wherever it stands, and the others take at most a tenth longer.
func TestAHangingAccountDelaysNobody(t *testing.T) {
	usual := func(int) time.Duration { return 200 * time.Millisecond }
	for _, concurrency := range []int{4, 16, 64} {
		for _, hanging := range []int{0, 50, 99} {
			var normal, took time.Duration
			synctest.Test(t, func(t *testing.T) {
				f, list := newFleet(t, 100, usual)
				_, normal = f.run(list, concurrency, func(int) bool { return false })
			})
			synctest.Test(t, func(t *testing.T) {
				hangs := func(n int) bool { return n == hanging }
				f, list := newFleet(t, 100, func(n int) time.Duration {
					if hangs(n) {
						return time.Hour
					}
					return usual(n)
				})
				var run *auditor.Run
				run, took = f.run(list, concurrency, hangs)
				if run.States[rules.StateCompliant] != 99 || run.States[rules.StateUnknown] != 1 {
					t.Errorf("states %v", run.States)
				}
			})
			if took > normal*11/10 {
				t.Errorf("%d at once, account %d hangs: the others took %s, and %s without it", concurrency, hanging, took, normal)
			}
		}
	}
}

// TestManyThatStall: three in ten accounts stall one after the other, some for good, and the rest come back in random order.
// The others hardly notice, each ends as it should, and no more are under way than may be.
func TestManyThatStall(t *testing.T) {
	const n = 1000
	rnd := rand.New(rand.NewPCG(1, 2))
	stalls := make([]time.Duration, n)
	for _, i := range rnd.Perm(n)[:3*n/10] {
		stalls[i] = time.Duration(rnd.IntN(120)+1) * time.Second // half of them for longer than an account may take
	}
	stalled := func(i int) bool { return stalls[i] > 0 }
	usual := 200 * time.Millisecond
	var normal time.Duration
	synctest.Test(t, func(t *testing.T) {
		f, list := newFleet(t, n, func(int) time.Duration { return usual })
		_, normal = f.run(list, 64, func(int) bool { return false })
	})
	synctest.Test(t, func(t *testing.T) {
		f, list := newFleet(t, n, func(i int) time.Duration { return usual + stalls[i] })
		run, took := f.run(list, 64, stalled)
		for i, s := range run.Sweeps { // they are in the order of names, which is that of the list
			wants := rules.StateCompliant
			if usual+stalls[i] > time.Minute {
				wants = rules.StateUnknown
			}
			if s.Report.Account.ID != list[i].ID || s.Report.State != wants {
				t.Errorf("account %d, which takes %s more, is %s", i, stalls[i], s.Report.State)
			}
		}
		if whole := run.EndedAt.Sub(run.StartedAt); whole > 90*time.Second {
			t.Errorf("the run took %s", whole)
		}
		// With the places held for a minute each it would be four minutes and a half.
		if took > normal+30*time.Second {
			t.Errorf("those that did not stall took %s, and %s when none does", took, normal)
		}
		if f.most > 64+256 {
			t.Errorf("%d at once", f.most)
		}
	})
}

// TestASlowCloudIsNotReadByMoreAtOnce: when all take long, nobody is slow.
func TestASlowCloudIsNotReadByMoreAtOnce(t *testing.T) {
	for _, takes := range []time.Duration{50 * time.Millisecond, 5 * time.Second, 25 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			f, list := newFleet(t, 200, func(int) time.Duration { return takes })
			f.run(list, 10, func(int) bool { return false })
			if f.most != 10 {
				t.Errorf("%d at once, each for %s", f.most, takes)
			}
		})
	}
}

// TestTheSlowAreBounded: however many hang, only so many do at once.
func TestTheSlowAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, list := newFleet(t, 300, func(i int) time.Duration {
			if i < 100 {
				return 50 * time.Millisecond
			}
			return time.Hour
		})
		f.run(list, 10, func(i int) bool { return i >= 100 })
		if f.most != 10+40 {
			t.Errorf("%d at once", f.most)
		}
	})
}

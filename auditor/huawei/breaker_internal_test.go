package huawei

import (
	"sync"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestWhatIsUnderWayTogetherCountsOnce: requests that fail at once are one failure of their identity, not many in a row.
func TestWhatIsUnderWayTogetherCountsOnce(t *testing.T) {
	c, err := New(Config{Endpoint: "https://iam.example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &c.main.lane.breaker
	together := func(n int) (counted int) {
		leaves := make([]leave, n)
		for i := range leaves {
			l, ok := b.ask()
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
	c, err := New(Config{Endpoint: "https://iam.example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &c.main.lane.breaker
	f := lie(rules.ReasonUnauthenticated, "no")
	b.bar(f)
	var wg sync.WaitGroup
	wg.Go(func() { f.detail += "!" })
	wg.Go(func() {
		if u := b.refuses(); u != nil && u.reason != rules.ReasonUnauthenticated {
			t.Errorf("%v", u)
		}
	})
	wg.Wait()
}

package huawei

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// pause passes the time of a bubble.
func pause(d time.Duration) { <-time.After(d) }

type reader func() (map[string]rules.Policy, error)

func works(name string) reader {
	return func() (map[string]rules.Policy, error) {
		return map[string]rules.Policy{"r": {ID: "r", Name: name, Origin: rules.System}}, nil
	}
}

// after waits before it reads.
func after(d time.Duration, read reader) reader {
	return func() (map[string]rules.Policy, error) {
		pause(d)
		return read()
	}
}

func fails() (map[string]rules.Policy, error) { return nil, errors.New("denied") }

// counted counts the attempts.
func counted(n *atomic.Int64, read reader) reader {
	return func() (map[string]rules.Policy, error) {
		n.Add(1)
		return read()
	}
}

// at runs ensure a while after the start and returns how long it took from there.
func at(ctx context.Context, k *catalogue, start time.Duration, read reader, wg *sync.WaitGroup, took *time.Duration, err *error) {
	wg.Go(func() {
		pause(start)
		began := time.Now()
		*err = k.ensure(ctx, time.Now, time.Hour, read)
		*took = time.Since(began)
	})
}

func TestCatalogueIsReadOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		var n atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := k.ensure(t.Context(), time.Now, time.Hour, counted(&n, after(time.Second, works("x")))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n.Load() != 1 {
			t.Errorf("%d attempts", n.Load())
		}
	})
}

// TestCatalogueOfTheDenied has a thousand accounts that may not read it: none waits for more than one other.
func TestCatalogueOfTheDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		start := time.Now()
		var n atomic.Int64
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if err := k.ensure(t.Context(), time.Now, time.Hour, counted(&n, after(time.Second, fails))); err == nil {
					t.Error("no error")
				}
			})
		}
		wg.Wait()
		if took := time.Since(start); took != 2*time.Second || n.Load() != 1000 {
			t.Errorf("%d attempts in %s", n.Load(), took)
		}
	})
}

// TestCatalogueAfterOneFailure: the first is denied, and then has the names that another one reads.
func TestCatalogueAfterOneFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		var took [3]time.Duration
		var errs [3]error
		at(t.Context(), k, 0, after(time.Second, fails), &wg, &took[0], &errs[0])
		at(t.Context(), k, 100*time.Millisecond, after(500*time.Millisecond, works("x")), &wg, &took[1], &errs[1])
		at(t.Context(), k, 5*time.Second, fails, &wg, &took[2], &errs[2])
		wg.Wait()
		if errs[0] != nil || errs[1] != nil || errs[2] != nil {
			t.Errorf("errors %v", errs)
		}
		if took[0] != 1500*time.Millisecond || took[1] != 1400*time.Millisecond || took[2] != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestCatalogueThatHangsForOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		var took [4]time.Duration
		var errs [4]error
		at(t.Context(), k, 0, after(time.Hour/2, fails), &wg, &took[0], &errs[0])
		at(t.Context(), k, time.Second, after(time.Second, fails), &wg, &took[1], &errs[1]) // denied, and the other still hangs
		at(t.Context(), k, 4*time.Second, after(time.Second, works("x")), &wg, &took[2], &errs[2])
		at(t.Context(), k, 4*time.Second, after(time.Second, fails), &wg, &took[3], &errs[3]) // denied, and saved by the one before
		wg.Wait()
		if errs[0] != nil || errs[1] == nil || errs[2] != nil || errs[3] != nil {
			t.Errorf("errors %v", errs)
		}
		if took[1] != cataloguePatience+time.Second || took[2] != time.Second || took[3] != time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestCatalogueWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		var wg sync.WaitGroup
		wg.Go(func() { _ = k.ensure(t.Context(), time.Now, time.Hour, after(time.Minute, fails)) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := k.ensure(ctx, time.Now, time.Hour, fails); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		wg.Wait()
	})
}

// TestCatalogueIsRenewedByOne: while one account renews an old catalogue, the others go on with it.
func TestCatalogueIsRenewedByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newCatalogue(slog.New(slog.DiscardHandler))
		if err := k.ensure(t.Context(), time.Now, time.Hour, works("old")); err != nil {
			t.Fatal(err)
		}
		pause(time.Hour)
		var n atomic.Int64
		var wg sync.WaitGroup
		var waited atomic.Int64
		for range 100 {
			wg.Go(func() {
				start := time.Now()
				if err := k.ensure(t.Context(), time.Now, time.Hour, counted(&n, after(time.Second, works("new")))); err != nil {
					t.Error(err)
				}
				if time.Since(start) > 0 {
					waited.Add(1)
				}
			})
		}
		wg.Wait()
		if p, _ := k.lookup("r"); p.Name != "new" || n.Load() != 1 || waited.Load() != 1 {
			t.Errorf("%q after %d attempts; %d waited", p.Name, n.Load(), waited.Load())
		}
		// A renewal that fails is tried again a minute later, not by the next account.
		pause(time.Hour)
		n.Store(0)
		for range 3 {
			if err := k.ensure(t.Context(), time.Now, time.Hour, counted(&n, fails)); err != nil {
				t.Error(err)
			}
		}
		pause(catalogueRetry)
		if err := k.ensure(t.Context(), time.Now, time.Hour, counted(&n, fails)); err != nil {
			t.Error(err)
		}
		if n.Load() != 2 {
			t.Errorf("%d attempts", n.Load())
		}
	})
}

func TestCatalogueThatPanics(t *testing.T) {
	k := newCatalogue(slog.New(slog.DiscardHandler))
	func() {
		defer func() { _ = recover() }()
		_ = k.ensure(t.Context(), time.Now, time.Hour, func() (map[string]rules.Policy, error) { panic("x") })
	}()
	if err := k.ensure(t.Context(), time.Now, time.Hour, works("x")); err != nil {
		t.Error(err)
	}
}

func TestUnbounded(t *testing.T) {
	enum := model.GetPolicyStatementEffectEnum()
	doc := func(effect model.PolicyStatementEffect, actions ...string) *model.RolePolicy {
		return &model.RolePolicy{Statement: []model.PolicyStatement{{Effect: enum.ALLOW, Action: []string{"a:b:c"}}, {Effect: effect, Action: actions}}}
	}
	for action, want := range map[string]bool{
		"*": true, "*:*:*": true, "*:*": true, "*:*:*:*": true, "": false, ":": false, "ecs:*:*": false, "*:*:get*": false, "*:agencies:*": false,
	} {
		if got := unbounded(doc(enum.ALLOW, "x:y:z", action)); got != want {
			t.Errorf("Allow %q: %t", action, got)
		}
		if unbounded(doc(enum.DENY, action)) {
			t.Errorf("Deny %q allows everything", action)
		}
	}
	if unbounded(nil) {
		t.Error("a document that was not read allows everything")
	}
}

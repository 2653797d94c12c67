package schedule

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// meter keeps what it is told.
type meter struct {
	mu       sync.Mutex
	beats    int
	next     time.Time
	skipped  int
	panicked []string
}

func (m *meter) Beat(time.Time)       { m.mu.Lock(); defer m.mu.Unlock(); m.beats++ }
func (m *meter) NextRun(at time.Time) { m.mu.Lock(); defer m.mu.Unlock(); m.next = at }
func (m *meter) Skipped()             { m.mu.Lock(); defer m.mu.Unlock(); m.skipped++ }
func (m *meter) Panicked(where string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.panicked = append(m.panicked, where)
}

func (m *meter) count() int { m.mu.Lock(); defer m.mu.Unlock(); return m.beats }

// run is one call of the job.
type run struct {
	trigger    string
	start, end time.Time
}

// job keeps the runs, and fails the test when two are under way at once.
type job struct {
	t     *testing.T
	mu    sync.Mutex
	under bool
	runs  []run
	do    func(ctx context.Context, n int)
}

func (j *job) Run(ctx context.Context, trigger string) {
	j.mu.Lock()
	if j.under {
		j.t.Error("two runs at once")
	}
	j.under = true
	n := len(j.runs)
	j.runs = append(j.runs, run{trigger: trigger, start: time.Now()})
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.under, j.runs[n].end = false, time.Now()
	}()
	if j.do != nil {
		j.do(ctx, n)
	}
}

func (j *job) all() []run { j.mu.Lock(); defer j.mu.Unlock(); return append([]run(nil), j.runs...) }

func start(t *testing.T, o Options, do func(ctx context.Context, n int)) (*Scheduler, *job, *meter) {
	t.Helper()
	j, m := &job{t: t, do: do}, &meter{}
	o.Job, o.Meter = j.Run, m
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Plan.Timeout == 0 {
		o.Plan.Timeout = 10 * time.Minute
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	return s, j, m
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// In ten years, with runs that are often longer than the pause between two slots, every slot is either a run or skipped
// and counted, and never are two runs under way.
func TestTenYears(t *testing.T) {
	inNewYork(t)
	synctest.Test(t, func(t *testing.T) {
		seed := rand.New(rand.NewPCG(1, 2))
		began := time.Now() // midnight of 1 January 2000, in UTC
		s, j, m := start(t, Options{Plan: Plan{Cron: "*/30 * * * *", Jitter: time.Minute, Timeout: 2 * time.Hour}, Beat: 15 * time.Minute},
			func(ctx context.Context, _ int) {
				d := time.Duration(seed.Int64N(int64(20 * time.Minute)))
				if seed.IntN(10) == 0 {
					d = time.Duration(seed.Int64N(int64(3 * time.Hour)))
				}
				pause(ctx, d)
			})
		days := 10*365 + 3 // with three leap days
		if testing.Short() {
			days = 366 + 2*365 // three years
		}
		end := began.AddDate(0, 0, days)
		time.Sleep(end.Sub(began) - time.Second)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		runs := j.all()
		// The first slot is half an hour after the beginning, when a run of its own is made.
		slots := days*48 - 1
		if n := len(runs) - 1 + m.skipped; n != slots {
			t.Errorf("%d runs on schedule and %d slots skipped are %d, of %d slots", len(runs)-1, m.skipped, n, slots)
		}
		if m.skipped < days/4 || len(runs) < slots/2 {
			t.Errorf("%d skipped, %d runs: the test does not test what it should", m.skipped, len(runs))
		}
		if runs[0].trigger != TriggerStart || !runs[0].start.Equal(began) {
			t.Errorf("the first run: %+v", runs[0])
		}
		for _, r := range runs[1:] {
			at := r.start.UTC()
			if late := at.Sub(at.Truncate(30 * time.Minute)); r.trigger != TriggerSchedule || late >= time.Minute {
				t.Fatalf("a run by %q at %s, which is %s after its slot", r.trigger, at, late)
			}
			if took := r.end.Sub(r.start); took > 2*time.Hour {
				t.Fatalf("a run took %s, past its deadline", took)
			}
		}
		if quarters := days * 96; m.beats < quarters-2 || m.beats > quarters+1 {
			t.Errorf("%d beats in %d quarters of an hour", m.beats, quarters)
		}
	})
}

// freezer is a log handler that holds cron's loop up once, as the suspension of the machine does.
type freezer struct {
	slog.Handler
	mu   sync.Mutex
	held time.Duration
}

func (f *freezer) Enabled(context.Context, slog.Level) bool { return true }

func (f *freezer) Handle(_ context.Context, r slog.Record) error {
	says := ""
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "says" {
			says = a.Value.String()
		}
		return true
	})
	f.mu.Lock()
	d := f.held
	if says == "wake" {
		f.held = 0
	}
	f.mu.Unlock()
	if says == "wake" && d > 0 {
		time.Sleep(d)
	}
	return nil
}

func TestOneCatchUpAfterASuspend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &freezer{Handler: slog.DiscardHandler}
		s, j, m := start(t, Options{Plan: Plan{Cron: "*/15 * * * *"}, Logger: slog.New(f)}, nil)
		time.Sleep(time.Hour + 5*time.Minute)
		if n := len(j.all()); n != 5 {
			t.Fatalf("%d runs in the first hour, want 5", n)
		}
		f.mu.Lock()
		f.held = 72 * time.Hour
		f.mu.Unlock()
		time.Sleep(72*time.Hour + time.Minute) // frozen at the next beat, awake a beat after the end
		if n := len(j.all()); n != 6 {
			t.Errorf("%d runs after the suspension, want one more than 5", n)
		}
		before := m.count()
		time.Sleep(15 * time.Minute)
		if n := len(j.all()); n != 7 {
			t.Errorf("%d runs a quarter of an hour later, want 7", n)
		}
		if m.count() < before+50 {
			t.Error("the heartbeat did not go on")
		}
		if m.skipped != 0 {
			t.Errorf("%d slots skipped", m.skipped)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A run that ignores its deadline costs the slots that come meanwhile, and the heartbeat, until it ends.
func TestAHungRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s, j, m := start(t, Options{Plan: Plan{Cron: "*/15 * * * *", Timeout: 10 * time.Minute}}, func(_ context.Context, n int) {
			if n == 1 {
				<-release
			}
		})
		time.Sleep(15*time.Minute + time.Second)
		time.Sleep(11*time.Minute + 15*time.Second)
		stopped := m.count()
		time.Sleep(2 * time.Hour)
		if n := m.count(); n != stopped {
			t.Errorf("%d beats while a run was overdue", n-stopped)
		}
		if st := s.Status(); !st.Running || st.Skipped != 8 || m.skipped != 8 {
			t.Errorf("running %t, %d slots skipped (%d told), want 8", st.Running, st.Skipped, m.skipped)
		}
		close(release)
		time.Sleep(15 * time.Minute)
		if m.count() < stopped+50 {
			t.Error("the heartbeat did not begin again")
		}
		if n := len(j.all()); n != 3 {
			t.Errorf("%d runs, want 3", n)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestARunEndsAtItsDeadlineAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause error
		s, j, _ := start(t, Options{Plan: Plan{Cron: "@daily", Timeout: 10 * time.Minute}}, func(ctx context.Context, _ int) {
			<-ctx.Done()
			cause = context.Cause(ctx)
		})
		time.Sleep(time.Hour)
		if r := j.all(); len(r) != 1 || r[0].end.Sub(r[0].start) != 10*time.Minute {
			t.Errorf("runs %+v", r)
		}
		if !errors.Is(cause, context.DeadlineExceeded) || !strings.Contains(cause.Error(), "10m") {
			t.Errorf("cause %v", cause)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A panic is survived; what it holds is not logged.
func TestAPanicIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s, j, m := start(t, Options{Plan: Plan{Cron: "@hourly"}, Logger: slog.New(slog.NewJSONHandler(&log, nil))}, func(_ context.Context, n int) {
			if n < 2 {
				panic("a secret CANARY")
			}
		})
		time.Sleep(3*time.Hour + time.Minute)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(j.all()); n != 4 || strings.Join(m.panicked, "+") != "run+run" || m.skipped != 0 {
			t.Errorf("%d runs, panicked %q, skipped %d", n, m.panicked, m.skipped)
		}
		if strings.Contains(log.String(), "CANARY") || strings.Count(log.String(), `"msg":"panic"`) != 2 {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

func TestAnotherPlanInTheMiddleOfARun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j, m := start(t, Options{Plan: Plan{Cron: "@daily"}}, func(ctx context.Context, _ int) { pause(ctx, 5*time.Minute) })
		time.Sleep(time.Minute)
		if err := s.Replace(Plan{Cron: "TZ=UTC", Timeout: 1}); err == nil {
			t.Error("an impossible plan was taken")
		}
		if next := s.Status().Next; time.Until(next) < 23*time.Hour {
			t.Errorf("the refused plan changed the next slot to %s", next)
		}
		if err := s.Replace(Plan{Cron: "*/10 * * * *", Timeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		want := time.Now().Truncate(10 * time.Minute).Add(10 * time.Minute)
		if st := s.Status(); !st.Next.Equal(want) || !m.next.Equal(want) || !st.Running {
			t.Errorf("next %s (told %s), want %s; running %t", st.Next, m.next, want, st.Running)
		}
		for range 3 {
			s.Request("reload")
		}
		time.Sleep(30 * time.Minute)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		var triggers []string
		for _, r := range j.all() {
			triggers = append(triggers, r.trigger)
		}
		if got := strings.Join(triggers, ","); got != "start,reload,schedule,schedule,schedule" {
			t.Errorf("runs by %s", got)
		}
		if took := j.all()[0].end.Sub(j.all()[0].start); took != 5*time.Minute {
			t.Errorf("the run that was under way took %s, want the 5m that its own plan allowed", took)
		}
		if took := j.all()[2].end.Sub(j.all()[2].start); took != time.Minute {
			t.Errorf("a run of the new plan took %s, want its deadline of 1m", took)
		}
	})
}

func TestTheEndWaits(t *testing.T) {
	for name, c := range map[string]struct {
		run   func(ctx context.Context)
		bound time.Duration
		took  time.Duration
		says  string
	}{
		"for the run under way":         {func(ctx context.Context) { pause(ctx, 10*time.Second) }, time.Minute, 10 * time.Second, ""},
		"no longer than it was told":    {func(ctx context.Context) { pause(ctx, time.Hour) }, time.Minute, time.Minute, "was cancelled"},
		"not for a run that never ends": {func(context.Context) { time.Sleep(time.Hour) }, time.Minute, time.Minute + patience, "does not end"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, j, _ := start(t, Options{Plan: Plan{Cron: "* * * * *", Timeout: 2 * time.Hour}}, func(ctx context.Context, _ int) { c.run(ctx) })
				synctest.Wait()
				s.Request("later")
				ctx, cancel := context.WithTimeout(t.Context(), c.bound)
				defer cancel()
				at := time.Now()
				err := s.Stop(ctx)
				if took := time.Since(at); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Errorf("error %v, want that it %q", err, c.says)
				}
				s.Request("too late")
				time.Sleep(2 * time.Hour)
				if n := len(j.all()); n != 1 {
					t.Errorf("%d runs, want the one that was under way", n)
				}
			})
		})
	}
}

// The jitter is within its bound, only before runs on schedule, and does not delay the end.
func TestJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times, bound atomic.Int64
		s, j, _ := start(t, Options{Plan: Plan{Cron: "@hourly", Jitter: 10 * time.Minute}, Random: func(n int64) int64 {
			times.Add(1)
			bound.Store(n)
			return n - 1
		}}, nil)
		time.Sleep(time.Hour + 15*time.Minute)
		runs := j.all()
		if len(runs) != 2 || times.Load() != 1 || bound.Load() != int64(10*time.Minute) {
			t.Fatalf("%d runs, asked %d times for less than %s", len(runs), times.Load(), time.Duration(bound.Load()))
		}
		if late := runs[1].start.Sub(runs[1].start.Truncate(time.Hour)); late != 10*time.Minute-1 {
			t.Errorf("it came %s after its slot", late)
		}
		time.Sleep(50 * time.Minute)
		at := time.Now()
		if err := s.Stop(t.Context()); err != nil || time.Since(at) != 0 || len(j.all()) != 2 {
			t.Errorf("the end took %s (%v), with %d runs", time.Since(at), err, len(j.all()))
		}
	})
}

// A clock that is set back makes the slots anew.
func TestAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var back time.Duration
		var log strings.Builder
		s, _, m := start(t, Options{
			Plan: Plan{Cron: "@hourly"}, Logger: slog.New(slog.NewJSONHandler(&log, nil)),
			Now: func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(-back) },
		}, nil)
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		slot := s.slot
		s.mu.Unlock()
		mu.Lock()
		back = 3 * time.Hour
		mu.Unlock()
		before := m.count()
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.slot == slot || strings.Count(log.String(), "set back") != 1 {
			t.Errorf("the slots were not computed anew, once; log:\n%s", log.String())
		}
		if m.beats < before+3 {
			t.Error("the heartbeat stopped")
		}
		s.mu.Unlock()
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		s.mu.Lock()
	})
}

// A clock that is set an hour ahead or back in the middle of a run disturbs neither the run nor the ones after it: every slot
// is one run, and never are two under way. The timers of cron go by the machine's own clock, which no test can set; what it
// does when that leaps ahead is what it does after a suspension.
func TestFaultClockSteps(t *testing.T) {
	for name, step := range map[string]time.Duration{"ahead": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const takes = 5 * time.Minute
				var stepped atomic.Int64
				s, j, m := start(t, Options{
					Plan: Plan{Cron: "*/15 * * * *"},
					Now:  func() time.Time { return time.Now().Add(time.Duration(stepped.Load())) },
				}, func(ctx context.Context, n int) {
					pause(ctx, takes/2)
					if n == 2 {
						stepped.Store(int64(step))
					}
					pause(ctx, takes/2)
				})
				began := time.Now()
				time.Sleep(3*time.Hour + time.Minute)
				beats := m.count()
				time.Sleep(10 * time.Minute)
				if m.count() < beats+30 {
					t.Error("the heartbeat stopped")
				}
				if err := s.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				runs := j.all()
				if len(runs) != 13 || m.skipped != 0 {
					t.Errorf("%d runs and %d slots skipped in three hours, want 13 and none", len(runs), m.skipped)
				}
				for i, r := range runs {
					if late := r.start.Sub(began) - time.Duration(i)*15*time.Minute; late != 0 || r.end.Sub(r.start) != takes {
						t.Errorf("run %d came %s after its slot and took %s", i, late, r.end.Sub(r.start))
					}
				}
			})
		})
	}
}

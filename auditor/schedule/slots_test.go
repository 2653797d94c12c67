package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	_ "time/tzdata" // the machine may have none

	"github.com/robfig/cron/v3"
)

// inNewYork has the machine be where clocks change twice a year, until the test is over.
func inNewYork(t *testing.T) {
	t.Helper()
	there, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	here := time.Local
	time.Local = there
	t.Cleanup(func() { time.Local = here })
}

// Half past two in the morning is an hour that a clock in summer time leaves out once a year, and has twice once a year. In
// ten years it comes once a day all the same.
func TestTheHourThatClocksLeaveOut(t *testing.T) {
	inNewYork(t)
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().UTC() // midnight
		s, j, _ := start(t, Options{Plan: Plan{Cron: "30 2 * * *"}, Beat: 6 * time.Hour}, nil)
		const days = 10*365 + 3
		time.Sleep(days * 24 * time.Hour)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		runs := j.all()[1:]
		if len(runs) != days {
			t.Errorf("%d runs in %d days", len(runs), days)
		}
		for i, r := range runs {
			if want := began.Add(time.Duration(i)*24*time.Hour + 2*time.Hour + 30*time.Minute); !r.start.Equal(want) {
				t.Fatalf("run %d at %s, want %s", i, r.start.UTC(), want)
			}
		}
	})
}

// A run that is put off, and a reload meanwhile, are one run, which is by the new plan.
func TestARunThatIsPutOffIsTheOneThatIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j, m := start(t, Options{
			Plan:   Plan{Cron: "@hourly", Jitter: 20 * time.Minute, Timeout: time.Minute},
			Random: func(n int64) int64 { return n - 1 },
		}, func(ctx context.Context, n int) {
			if n > 0 {
				<-ctx.Done()
			}
		})
		time.Sleep(time.Hour + 10*time.Minute)
		// Put off for longer than a run may take, it is not overdue.
		if beats := m.count(); beats < 4*70-2 || !s.Status().Running {
			t.Errorf("%d beats in 70 minutes, running %t", beats, s.Status().Running)
		}
		if err := s.Replace(Plan{Cron: "@hourly", Jitter: 5 * time.Minute, Timeout: 3 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		s.Request("reload")
		synctest.Wait()
		if st := s.Status(); st.Trigger != "reload" || !st.StartedAt.Equal(time.Now()) || !st.Deadline.Equal(time.Now().Add(3*time.Minute)) {
			t.Errorf("status %+v", st)
		}
		s.Request("another") // it is under way now, so that this is another one
		time.Sleep(56 * time.Minute)
		s.Request("third") // as is this one: what was put off has begun by itself
		time.Sleep(10 * time.Minute)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		var got []string
		for _, r := range j.all() {
			after := r.start.Sub(j.all()[0].start).Round(time.Second)
			got = append(got, fmt.Sprintf("%s after %s for %s", r.trigger, after, r.end.Sub(r.start)))
		}
		want := "start after 0s for 0s, reload after 1h10m0s for 3m0s, another after 1h13m0s for 3m0s, " +
			"schedule after 2h5m0s for 3m0s, third after 2h8m0s for 3m0s"
		if strings.Join(got, ", ") != want {
			t.Errorf("runs %s\nwant %s", strings.Join(got, ", "), want)
		}
	})
}

// A plan that is replaced makes no run any more, and the next slot is told as soon as it is another one.
func TestTheSlotsAreThoseOfThePlanInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, j, m := start(t, Options{Plan: Plan{Cron: "*/30 * * * *"}, Beat: 12 * time.Hour}, nil)
		next := func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.next }
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		if want := time.Now().Add(30 * time.Minute); !next().Equal(want) || !s.Status().Next.Equal(want) {
			t.Errorf("after a slot the next one is told to be %s, want %s", next(), want)
		}
		if err := s.Replace(Plan{Cron: "0 6 * * *", Timeout: time.Minute}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(48 * time.Hour)
		if n := len(j.all()); n != 2+2 {
			t.Errorf("%d runs, want the first, one by the old plan and two by the new one", n)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// readings are two readings of the clock between which the wall clock has gone on less than the monotonic one. The two are
// never read at the very same instant, so that such readings come by themselves.
func readings(t *testing.T) (first, second time.Time, less time.Duration) {
	t.Helper()
	for range 10_000_000 {
		first, second = time.Now(), time.Now()
		if less = second.Sub(first) - second.Round(0).Sub(first.Round(0)); less > 1 {
			return first, second, less
		}
	}
	t.Fatal("the wall clock and the monotonic one never differ")
	return first, second, less
}

// Slots, and whether the clock was set back, are matters of the clock on the wall; the heartbeat is one of the other clock,
// which goes on when the first is set.
func TestWhichClockCounts(t *testing.T) {
	if at := (wall{cron.Every(time.Minute)}).Next(time.Now()); at != at.Round(0) {
		t.Errorf("a slot at %s, by the monotonic clock", at)
	}
	s, _, _ := start(t, Options{Plan: Plan{Cron: "@every 90s"}}, nil)
	defer func() {
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	var kinds []string
	for _, e := range s.cron.Entries() {
		kinds = append(kinds, fmt.Sprintf("%T", e.Schedule))
	}
	if slices.Sort(kinds); strings.Join(kinds, " ") != "cron.ConstantDelaySchedule schedule.wall" {
		t.Errorf("the entries are %q", kinds)
	}
	first, second, less := readings(t)
	first = first.Add(second.Sub(first)) // no time has passed by the monotonic clock
	if !setBack(first, second, less-1) || setBack(first, second, less) {
		t.Errorf("a wall clock that was set back by %s", less)
	}
}

// While a run hangs nothing moves the heartbeat, and a clock that is set back does not either.
func TestAClockThatIsSetBackRevivesNothing(t *testing.T) {
	first, second, less := readings(t)
	first = first.Add(second.Sub(first)) // no time has passed by the monotonic clock
	j, m := &job{t: t}, &meter{}
	s, err := New(Options{
		Plan: Plan{Cron: "@daily", Timeout: time.Minute}, Job: j.Run, Meter: m, Logger: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return second },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.tolerance = less - 1
	s.lastWall = first
	s.status = Status{Running: true, Deadline: second.Add(-grace - 1), LastBeat: first}
	s.beat()
	if s.status.LastBeat != first || m.beats != 0 || s.lastWall != second {
		t.Errorf("the heartbeat moved to %s, %d times; the wall clock said %s", s.status.LastBeat, m.beats, s.lastWall)
	}
	s.status.Running = false
	if s.beat(); s.status.LastBeat != second || m.beats != 1 {
		t.Errorf("when the run has ended the heartbeat is at %s, %d times", s.status.LastBeat, m.beats)
	}
}

// moody is a meter that has a bug once.
type moody struct {
	meter
	panics int
}

func (m *moody) NextRun(at time.Time) {
	if m.panics++; m.panics == 2 {
		panic("a bug")
	}
	m.meter.NextRun(at)
}

// A bug in a slot costs that slot and no more.
func TestABugInASlotIsSurvived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, m := &job{t: t}, &moody{}
		s, err := New(Options{
			Plan: Plan{Cron: "@hourly", Timeout: time.Minute}, Job: j.Run, Meter: m, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		time.Sleep(3*time.Hour + time.Minute)
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if n := len(j.all()); n != 3 || strings.Join(m.panicked, " ") != "scheduler" {
			t.Errorf("%d runs in three hours, want 3; panicked %q", n, m.panicked)
		}
	})
}

package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/robfig/cron/v3"
)

// The triggers that the scheduler itself knows.
const (
	TriggerStart    = "start"
	TriggerSchedule = "schedule"
)

const (
	// DefaultBeat is how often the heartbeat moves.
	DefaultBeat = 15 * time.Second
	// grace is how long after its deadline a run is overdue.
	grace = time.Minute
	// patience is how long Stop waits for a run that it has cancelled.
	patience = 5 * time.Second
)

// Meter is told what the scheduler does. It must not block.
type Meter interface {
	// Beat is called by the scheduler's own loop alone.
	Beat(at time.Time)
	// NextRun is called whenever the next slot is another one.
	NextRun(at time.Time)
	// Skipped is called for each slot that came while a run was under way.
	Skipped()
	// Panicked is called with "run" or "scheduler" when a panic was survived.
	Panicked(where string)
}

// Options are what New needs. Plan, Job, Meter and Logger are required.
type Options struct {
	Plan Plan
	// Job makes one run. It is never called twice at once. trigger is TriggerStart, TriggerSchedule, or what Request said.
	// ctx ends at the run's deadline, or when Stop has waited long enough.
	Job    func(ctx context.Context, trigger string)
	Meter  Meter
	Logger *slog.Logger
	// Now is the wall clock; nil is the real one.
	Now func() time.Time
	// Beat is how often the heartbeat moves; zero is DefaultBeat.
	Beat time.Duration
	// Random returns a number from 0 to n-1; nil is a generator of its own.
	Random func(n int64) int64
}

// Status is what the scheduler does at one instant.
type Status struct {
	// Running says that a run is under way, or about to be after its jitter; the next three are about it.
	Running   bool
	Trigger   string
	StartedAt time.Time
	Deadline  time.Time
	// Next is the next slot; zero before Start and after Stop.
	Next time.Time
	// LastBeat is when the heartbeat moved last.
	LastBeat time.Time
	// Skipped counts the slots that came while a run was under way.
	Skipped int
	// Stopping says that Stop was called.
	Stopping bool
}

// Scheduler makes runs. Its methods may be called from many goroutines, Start and Stop once each.
type Scheduler struct {
	o      Options
	cron   *cron.Cron
	ctx    context.Context //nolint:containedctx // cron's jobs get none; this one ends when Stop is out of patience
	cancel context.CancelCauseFunc
	// stopping is closed by Stop.
	stopping chan struct{}
	// tolerance is by how much the clock may be set back without notice.
	tolerance time.Duration

	mu     sync.Mutex // guards what follows
	plan   Plan
	times  cron.Schedule
	slot   cron.EntryID
	status Status
	// lastWall is what the wall clock said at the last beat, be the heartbeat moved by it or not.
	lastWall time.Time
	// wanted is the trigger of a run that was asked for while another one was under way; empty for none.
	wanted string
	// hurry ends the jitter of the run that is about to begin; nil when none is.
	hurry chan struct{}
	// idle is closed when the run under way has ended.
	idle chan struct{}
}

// New makes a scheduler, which does nothing before Start. The error says what is wrong with the plan.
func New(o Options) (*Scheduler, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Beat == 0 {
		o.Beat = DefaultBeat
	}
	if o.Random == nil {
		o.Random = rand.Int64N
	}
	if err := o.Plan.Check(); err != nil {
		return nil, err
	}
	times, err := o.Plan.parse()
	if err != nil {
		return nil, err
	}
	s := &Scheduler{
		o: o, plan: o.Plan, times: times, stopping: make(chan struct{}), idle: make(chan struct{}), tolerance: time.Second,
		cron: cron.New(cron.WithLocation(time.UTC), cron.WithLogger(cronLog{o.Logger})),
	}
	close(s.idle)
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	return s, nil
}

// Start begins: with a run at once, and then on schedule.
func (s *Scheduler) Start() {
	s.mu.Lock()
	// cron's own constant delay counts by the monotonic clock: it beats on when the wall clock is set, and wakes cron's loop
	// up often enough to notice that a suspended machine has missed slots.
	s.cron.Schedule(cron.Every(s.o.Beat), s.guarded(s.beat))
	s.slot = s.cron.Schedule(wall{s.times}, s.guarded(s.onSlot))
	s.status.LastBeat = s.o.Now()
	s.lastWall = s.status.LastBeat
	s.o.Meter.Beat(s.status.LastBeat)
	s.cron.Start()
	s.next()
	s.mu.Unlock()
	s.begin(TriggerStart, true)
}

// Replace puts another plan in the old one's place, at once; a run that is under way goes on as it began. The error says
// what is wrong with the plan; then nothing has changed.
func (s *Scheduler) Replace(p Plan) error {
	if err := p.Check(); err != nil {
		return err
	}
	times, err := p.parse()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.times = p, times
	s.place()
	return nil
}

// place computes the slots anew. The caller holds mu.
func (s *Scheduler) place() {
	if s.slot == 0 || s.status.Stopping {
		return
	}
	s.cron.Remove(s.slot)
	s.slot = s.cron.Schedule(wall{s.times}, s.guarded(s.onSlot))
	s.next()
}

// next looks up the next slot. The caller holds mu.
func (s *Scheduler) next() {
	if s.status.Stopping {
		return
	}
	if at := s.cron.Entry(s.slot).Next; !at.Equal(s.status.Next) {
		s.status.Next = at
		s.o.Meter.NextRun(at)
	}
}

// Request asks for a run out of turn: at once or, when one is under way, right after it. Several requests while one run is
// under way are one. A run that is still put off by its jitter is the one that was asked for, and begins at once.
func (s *Scheduler) Request(trigger string) { s.begin(trigger, true) }

// Status returns what the scheduler does now.
func (s *Scheduler) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}

// Stop ends the schedule. No run begins any more; the one that is under way is waited for until ctx is done, then it is
// cancelled and waited for a few seconds more. The error says that the run did not end by itself.
func (s *Scheduler) Stop(ctx context.Context) error {
	s.mu.Lock()
	s.status.Stopping, s.status.Next, s.wanted = true, time.Time{}, ""
	close(s.stopping)
	idle := s.idle
	s.mu.Unlock()
	<-s.cron.Stop().Done() // its jobs are short: runs have goroutines of their own
	defer s.cancel(nil)
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
	}
	s.cancel(errStopped)
	patient := time.NewTimer(patience)
	defer patient.Stop()
	select {
	case <-idle:
		return errors.New("the run under way took too long and was cancelled")
	case <-patient.C:
		return errors.New("the run under way took too long, was cancelled, and does not end")
	}
}

var errStopped = errors.New("the program ends")

// onSlot is called by cron for each slot.
func (s *Scheduler) onSlot() {
	func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.next()
	}()
	s.begin(TriggerSchedule, false)
}

// beat is called by cron again and again.
func (s *Scheduler) beat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if s.status.Stopping {
		return
	}
	if setBack(s.lastWall, now, s.tolerance) {
		s.o.Logger.Warn("the clock was set back; the schedule is computed anew", "by", s.lastWall.Round(0).Sub(now.Round(0)))
		s.place()
	}
	s.lastWall = now
	if s.status.Running && now.After(s.status.Deadline.Add(grace)) {
		s.o.Logger.Error("the run under way ignores its deadline; the heartbeat stops until it ends",
			"trigger", s.status.Trigger, "started_at", s.status.StartedAt, "deadline", s.status.Deadline)
		return
	}
	s.status.LastBeat = now
	s.o.Meter.Beat(now)
}

// setBack says whether a clock on the wall was set back between two readings, by more than clocks are corrected by all the time.
func setBack(before, now time.Time, tolerance time.Duration) bool {
	return now.Round(0).Before(before.Round(0).Add(-tolerance))
}

// begin begins a run. While one is under way a request is remembered, and a slot skipped.
func (s *Scheduler) begin(trigger string, remember bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.status.Stopping:
		return
	case s.status.Running && remember && s.hurry != nil:
		s.status.Trigger = trigger
		close(s.hurry)
		s.hurry = nil
		return
	case s.status.Running && remember:
		s.wanted = trigger
		return
	case s.status.Running:
		s.status.Skipped++
		s.o.Meter.Skipped()
		s.o.Logger.Warn("a run is still under way; this slot is skipped", "started_at", s.status.StartedAt)
		return
	}
	plan := s.plan
	var pause time.Duration
	if trigger == TriggerSchedule && plan.Jitter > 0 {
		pause = time.Duration(s.o.Random(int64(plan.Jitter)))
	}
	s.status.Running, s.status.Trigger, s.status.StartedAt = true, trigger, s.o.Now()
	s.status.Deadline = s.status.StartedAt.Add(pause + plan.Timeout)
	s.idle = make(chan struct{})
	if pause > 0 {
		s.hurry = make(chan struct{})
	}
	go s.work(pause, s.hurry)
}

// work makes one run, after a pause that ends early when hurry does. The run is by the plan that is then in force.
func (s *Scheduler) work(pause time.Duration, hurry <-chan struct{}) {
	defer s.finish()
	if pause > 0 {
		wait := time.NewTimer(pause)
		defer wait.Stop()
		select {
		case <-s.stopping:
			return
		case <-hurry:
		case <-wait.C:
		}
	}
	trigger, timeout := s.starts()
	ctx, cancel := context.WithTimeoutCause(s.ctx, timeout, fmt.Errorf("the run's time of %s is over: %w", timeout, context.DeadlineExceeded))
	defer cancel()
	s.survive("run", func() { s.o.Job(ctx, trigger) })
}

// starts begins the run under way in earnest, and returns what it is made for and how long it may take.
func (s *Scheduler) starts() (trigger string, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurry = nil
	s.status.StartedAt = s.o.Now()
	s.status.Deadline = s.status.StartedAt.Add(s.plan.Timeout)
	return s.status.Trigger, s.plan.Timeout
}

// finish ends a run, and begins the one that was asked for meanwhile.
func (s *Scheduler) finish() {
	s.mu.Lock()
	wanted := s.wanted
	s.wanted, s.hurry, s.status.Running = "", nil, false
	close(s.idle)
	s.mu.Unlock()
	if wanted != "" {
		s.begin(wanted, true)
	}
}

// survive does something that may panic. The value of a panic may hold anything, a credential too; its type and the
// stack's functions do not.
func (s *Scheduler) survive(where string, do func()) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Logger.Error("panic", "while", where, "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			s.o.Meter.Panicked(where)
		}
	}()
	do()
}

func (s *Scheduler) guarded(do func()) cron.Job {
	return cron.FuncJob(func() { s.survive("scheduler", do) })
}

// wall counts by the wall clock alone, so that slots are due once a suspended machine is awake.
type wall struct{ cron.Schedule }

// Next returns the slot after an instant.
func (w wall) Next(t time.Time) time.Time { return w.Schedule.Next(t.Round(0)) }

// cronLog is where cron says what it does, which is of interest to its debuggers alone.
type cronLog struct{ log *slog.Logger }

// Info logs routine messages.
func (l cronLog) Info(msg string, keysAndValues ...any) {
	l.log.Debug("cron", append([]any{"says", msg}, keysAndValues...)...)
}

// Error logs what went wrong.
func (l cronLog) Error(err error, msg string, keysAndValues ...any) {
	l.log.Error("cron", append([]any{"says", msg, "err", err}, keysAndValues...)...)
}

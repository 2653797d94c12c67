package remedy_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestHeldBackAtTheLastMoment: between the note that a request is about to be sent and the request the account is entered, which may take
// minutes. What stops repair meanwhile stops this request.
func TestHeldBackAtTheLastMoment(t *testing.T) {
	for name, tt := range map[string]struct {
		meanwhile func(*world)
		why       rules.Hold
	}{
		"a freeze":         {func(w *world) { w.note(w.engine.Freeze("alice", "stop")) }, rules.HoldFrozen},
		"the kill switch":  {func(w *world) { w.stopped = true }, rules.HoldSwitch},
		"a window's end":   {func(w *world) { w.window = -1 }, rules.HoldWindow},
		"a long time":      {func(w *world) { w.pause(61 * time.Second) }, rules.HoldMoved},
		"a doubt":          {func(w *world) { w.engine.Halt("a bug") }, rules.HoldLedger},
		"nothing for long": {func(w *world) { w.pause(50 * time.Second) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 3)
			w.policy.Open = func(time.Time) bool { return w.window >= 0 }
			w.turn()
			w.lacks(0, baselineGrants[0])
			w.lacks(1, baselineGrants[0])
			once := true
			w.entering = func(*rules.Step) {
				if once {
					once = false
					tt.meanwhile(w)
				}
			}
			w.turn()
			got := w.outcomesOf()
			if tt.why == "" {
				w.check(t, "in time", 2, false)
				return
			}
			w.check(t, name, 0, tt.why == rules.HoldFrozen)
			last := w.ledger.entries[len(w.ledger.entries)-1]
			if len(got) != 1 || got[0] != string(remedy.OutcomeNotSent) || last.Kind != remedy.KindOutcome || !strings.HasPrefix(last.Reason, string(tt.why)+": ") {
				t.Errorf("%v, last %+v", got, last)
			}
		})
	}
}

// TestHeldBackBeforeItIsWrittenDown: what stops repair when a request is about to be written down stops it, also where that is over a
// moment later, and then nothing says that it is about to be sent.
func TestHeldBackBeforeItIsWrittenDown(t *testing.T) {
	w := still(t, 2)
	w.turn()
	w.lacks(0, baselineGrants[0])
	last := func() remedy.Kind { return w.ledger.entries[len(w.ledger.entries)-1].Kind }
	w.policy.Stopped = func() string {
		if last() == remedy.KindIntent {
			return "for a moment"
		}
		return ""
	}
	w.turn()
	w.check(t, "held", 0, false)
	if got := w.outcomesOf(); len(got) != 1 || got[0] != string(remedy.OutcomeNotSent) {
		t.Errorf("%v", got)
	}
	for _, e := range w.ledger.entries {
		if e.Kind == remedy.KindSent {
			t.Errorf("entry %d says that it is about to be sent", e.Seq)
		}
	}
}

// faltering is a ledger that cannot take one kind of entries, and goes on all the same.
type faltering struct {
	*ledger
	kind remedy.Kind
}

func (f faltering) Append(e remedy.Entry) (remedy.Entry, error) {
	if e.Kind == f.kind {
		return e, errors.New("it could not be written")
	}
	return f.ledger.Append(e)
}

// TestNothingIsSentThatIsNotWrittenDown, even by a ledger that takes everything else before and after.
func TestNothingIsSentThatIsNotWrittenDown(t *testing.T) {
	for _, kind := range []remedy.Kind{remedy.KindPlanned, remedy.KindIntent, remedy.KindSent} {
		w := still(t, 2)
		w.turn()
		w.lacks(0, baselineGrants[0])
		w.engine.Attach(faltering{w.ledger, kind}, remedy.NewState())
		w.audit()
		if err := w.engine.AfterRun(t.Context(), w.job()); err == nil || len(w.cloud.requests) > 0 {
			t.Errorf("%s was not written: %v, %d requests", kind, err, len(w.cloud.requests))
		}
	}
}

// TestARunThatEndsMeanwhile: a plan that waits for its turn is carried out by what is known then.
func TestARunThatEndsMeanwhile(t *testing.T) {
	w := still(t, 2)
	w.policy.Mode = remedy.ModePlan
	w.lacks(0, baselineGrants[0])
	w.turn()
	p := w.engine.Plan(w.job(), "alice", nil)
	w.policy.Mode = remedy.ModeAuto
	job := w.job()
	w.pause(time.Minute)
	w.audit()
	w.run.Suspect = []string{"many accounts changed at once"}
	job.Latest = func() *auditor.Snapshot { return w.snapshot }
	var r *remedy.Result
	w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), job, p, "alice"); return err })
	if r == nil || r.Stopped != rules.HoldSuspect || r.Whole() {
		t.Errorf("%+v", r)
	}
	w.check(t, "suspect meanwhile", 0, false)
	// What the run found put right is not begun.
	job = w.job()
	w.touch(w.cloud.members[0], baselineGrants[0], true)
	w.pause(time.Minute)
	w.audit()
	job.Latest = func() *auditor.Snapshot { return w.snapshot }
	w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), job, p, "alice"); return err })
	if r == nil || len(r.Void) != 1 || len(r.Done)+len(r.Open) > 0 {
		t.Errorf("%+v", r)
	}
	w.check(t, "right meanwhile", 0, false)
}

// TestAnotherConfigurationWaits: what is carried out by the one before ends before its next request.
func TestAnotherConfigurationWaits(t *testing.T) {
	w := still(t, 4)
	w.turn()
	for i := range 3 {
		w.lacks(i, baselineGrants[0])
	}
	w.pause(15 * time.Minute)
	w.audit()
	job := w.job()
	job.Over = func() string { return map[bool]string{true: "another configuration waits"}[len(w.cloud.requests) == 1] }
	w.call("AfterRun", func() error { return w.engine.AfterRun(t.Context(), job) })
	w.check(t, "after the first step", 1, false)
	w.turn()
	w.check(t, "by the other one", 3, false)
}

// TestAKillSwitchOnADiskThatHangs: to look for it may take as long as it likes, and whoever asks how things are is answered meanwhile.
func TestAKillSwitchOnADiskThatHangs(t *testing.T) {
	w := still(t, 2)
	w.turn()
	w.lacks(0, baselineGrants[0])
	w.pause(15 * time.Minute)
	w.audit()
	job, looked := w.job(), 0
	job.Policy.Stopped = func() string {
		looked++
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			w.engine.Status()
		}()
		select {
		case <-answered:
		case <-time.After(10 * time.Second):
			t.Error("nobody is told how things are while the kill switch is looked for")
		}
		return ""
	}
	w.call("AfterRun", func() error { return w.engine.AfterRun(t.Context(), job) })
	w.check(t, "granted", 1, false)
	if looked < 4 {
		t.Errorf("it was looked for %d times", looked)
	}
}

// TestAFleetThatAFileMakesUp: how many accounts there are is what the program knows, in the limits and in the ledger, and not what a plan's file says.
func TestAFleetThatAFileMakesUp(t *testing.T) {
	w := still(t, 4)
	w.policy.Limits.FleetPercent = 25
	w.policy.Mode = remedy.ModePlan
	w.lacks(0, baselineGrants[0])
	w.turn()
	p := w.engine.Plan(w.job(), "alice", nil)
	w.policy.Mode = remedy.ModeAuto
	p.Fleet = 10_000
	w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	w.check(t, "granted", 1, false)
	for i := range w.ledger.entries {
		if e := &w.ledger.entries[i]; (e.Kind == remedy.KindIntent || e.Kind == remedy.KindPlanned) && e.Fleet != 4 {
			t.Errorf("%s: a fleet of %d accounts", e.Kind, e.Fleet)
		}
	}
}

// TestUndoOfWhatHasNoName: a policy whose name was not read may be one that is never granted.
func TestUndoOfWhatHasNoName(t *testing.T) {
	w := still(t, 2)
	w.policy.May.Revoke.Policies = append(w.policy.May.Revoke.Policies, "lost")
	w.touch(w.cloud.members[0], at{rules.Global, "", "lost"}, true)
	w.turn()
	w.pause(3 * time.Hour)
	w.turn()
	w.check(t, "revoked", 1, false)
	run := w.run.ID
	w.turn()
	if p, err := w.engine.Undo(w.job(), run, "alice"); err != nil || len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != rules.HoldUnclear {
		t.Errorf("%v, %+v", err, p)
	}
}

// hangs is a reader that gets no answer.
type hangs struct{ auditor.Observer }

// Observe waits for as long as it may.
func (hangs) Observe(ctx context.Context, _ rules.Account, _ rules.Baseline, _ rules.Last) (rules.Evidence, auditor.Trail, error) {
	<-ctx.Done()
	return rules.Evidence{}, auditor.Trail{}, &rules.Unknown{Reason: rules.ReasonTimeout, Detail: context.Cause(ctx).Error()}
}

// TestAReadingThatHangs: each has its time, whoever has it made.
func TestAReadingThatHangs(t *testing.T) {
	w := still(t, 2)
	w.turn()
	w.lacks(0, baselineGrants[0])
	w.pause(15 * time.Minute)
	w.audit()
	job := w.job()
	job.Reader, job.ReadTimeout = hangs{w.cloud}, 20*time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	w.call("AfterRun", func() error { return w.engine.AfterRun(ctx, job) })
	if ctx.Err() != nil {
		t.Error("it hangs")
	}
	last := w.ledger.entries[len(w.ledger.entries)-1]
	if last.Outcome != remedy.OutcomeNotSent || !strings.Contains(last.Reason, "the time of 20ms for one reading is over") {
		t.Errorf("%+v", last)
	}
	w.check(t, "unread", 0, false)
}

package remedy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// asking is a world in which a plan of alice's, of one account of two that lack something, waits for bob's approval.
func asking(t *testing.T, withKeys bool) (*world, *remedy.Plan) {
	t.Helper()
	w := still(t, 3)
	w.policy.Mode = remedy.ModeApprove
	if withKeys {
		w.policy.People = publicKeys()
	}
	w.lacks(0, baselineGrants[0])
	w.lacks(1, baselineGrants[0])
	w.turn()
	p := w.engine.Plan(w.job(), "alice", []string{"name-00"})
	if len(p.Steps) != 1 || p.Over != "" {
		t.Fatalf("the plan %+v", p)
	}
	p.SignRequest(people["alice"])
	return w, p
}

// bob is an approval of a plan by bob, for an hour.
func bob(w *world, p *remedy.Plan) remedy.Consent {
	return remedy.Sign(p.Digest, "bob", people["bob"], w.local().Add(time.Hour))
}

// agrees is that bob approves a plan.
func (w *world) agrees(t *testing.T, p *remedy.Plan) {
	t.Helper()
	w.asks(p)
	if _, err := w.engine.Approve(p, bob(w, p)); err != nil {
		t.Fatal(err)
	}
	w.approving = nil
}

func isRefused(err error) bool {
	_, is := errors.AsType[*remedy.RefusedError](err)
	return is
}

// given gives a consent and has the plan carried out then.
func (w *world) given(p *remedy.Plan, c remedy.Consent) (approve, apply error) {
	w.asks(p)
	_, approve = w.engine.Approve(p, c)
	w.approving = nil
	w.call("Apply", func() error { _, apply = w.engine.Apply(context.Background(), w.job(), p, "alice"); return apply })
	return approve, apply
}

// TestApprovals: an approval counts for one plan as it is, by somebody else who may approve, for a time, and once.
func TestApprovals(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(w *world, p *remedy.Plan, c *remedy.Consent)
		ok     bool
	}{
		"as it should be": {func(*world, *remedy.Plan, *remedy.Consent) {}, true},
		"for as long as may be": {func(w *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, "bob", people["bob"], w.local().Add(12*time.Hour))
		}, true},
		"for too long": {func(w *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, "bob", people["bob"], w.local().Add(13*time.Hour))
		}, false},
		"ended":        {func(w *world, _ *remedy.Plan, _ *remedy.Consent) { w.pause(time.Hour) }, false},
		"made to last": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) { c.Expires = c.Expires.Add(time.Minute) }, false},
		"another digest": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign("other", "bob", people["bob"], c.Expires)
		}, false},
		"another nonce": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) { c.Nonce += "x" }, false},
		"no nonce": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) {
			c.Nonce = ""
			c.Signature = ""
		}, false},
		"unsigned": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) { c.Signature = "" }, false},
		"signed by alice": {func(_ *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, "bob", people["alice"], c.Expires)
		}, false},
		"her own plan": {func(_ *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, "alice", people["alice"], c.Expires)
		}, false},
		"nobody known": {func(_ *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, "carol", people["bob"], c.Expires)
		}, false},
		"nobody": {func(_ *world, _ *remedy.Plan, c *remedy.Consent) { c.Actor = " " }, false},
		"the daemon": {func(_ *world, p *remedy.Plan, c *remedy.Consent) {
			*c = remedy.Sign(p.Digest, remedy.Daemon, people["bob"], c.Expires)
		}, false},
		"a plan that nobody signed": {func(_ *world, p *remedy.Plan, _ *remedy.Consent) { p.Signature = "" }, false},
		"a plan of another requester": {func(w *world, p *remedy.Plan, c *remedy.Consent) {
			*p = p.By("mallory", nil)
			*c = bob(w, p)
		}, false},
		"a plan that is said to be the daemon's": {func(w *world, p *remedy.Plan, c *remedy.Consent) {
			*p = p.By(remedy.Daemon, nil)
			*c = bob(w, p)
		}, false},
		"steps of another account under its digest": {func(w *world, p *remedy.Plan, _ *remedy.Consent) {
			p.Steps = w.engine.Plan(w.job(), "alice", []string{"name-01"}).Steps
		}, false},
		"one step more": {func(w *world, p *remedy.Plan, _ *remedy.Consent) {
			p.Steps = append(slices.Clone(p.Steps), w.engine.Plan(w.job(), "alice", []string{"name-01"}).Steps...)
		}, false},
		"another mode": {func(w *world, _ *remedy.Plan, _ *remedy.Consent) {
			w.policy.Mode = remedy.ModePlan
			w.engine.Configure(w.policy)
		}, false},
		"no steps": {func(w *world, p *remedy.Plan, c *remedy.Consent) {
			*p = p.By("alice", []string{"nobody"})
			p.SignRequest(people["alice"])
			*c = bob(w, p)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := asking(t, true)
			c := bob(w, p)
			tt.change(w, p, &c)
			approve, apply := w.given(p, c)
			if tt.ok {
				if approve != nil || apply != nil || len(w.cloud.requests) != 1 {
					t.Errorf("%v, %v, %d requests", approve, apply, len(w.cloud.requests))
				}
				return
			}
			if !isRefused(approve) || !isRefused(apply) || len(w.cloud.requests) > 0 {
				t.Errorf("%v, %v, %d requests", approve, apply, len(w.cloud.requests))
			}
			if last := w.ledger.entries[len(w.ledger.entries)-1]; last.Kind != remedy.KindRejected {
				t.Errorf("the refusal is not written down: %s", last.Kind)
			}
		})
	}
}

// TestRefusedForGood: an approval that was refused does not count later, when it would, for whoever kept it.
func TestRefusedForGood(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w, p := asking(t, true)
		c := bob(w, p)
		w.policy.Mode = remedy.ModePlan
		w.engine.Configure(w.policy)
		if _, err := w.engine.Approve(p, c); !isRefused(err) {
			t.Fatal(err)
		}
		w.policy.Mode = remedy.ModeApprove
		w.engine.Configure(w.policy)
		if restart {
			w.start()
		}
		if approve, apply := w.given(p, c); !isRefused(approve) || !strings.Contains(approve.Error(), "refused: give another one") || !isRefused(apply) {
			t.Errorf("restart %v: %v %v", restart, approve, apply)
		}
		if approve, _ := w.given(p, bob(w, p)); approve != nil {
			t.Errorf("restart %v: another one: %v", restart, approve)
		}
	}
}

// TestConsentOfALedgerBefore: another ledger does not know what was used up or refused, so that nothing which was signed before it began is of use.
func TestConsentOfALedgerBefore(t *testing.T) {
	w, p := asking(t, true)
	c := bob(w, p)
	state := remedy.NewState()
	state.Add(remedy.Entry{Seq: 1, Kind: remedy.KindStarted, Hash: "another"})
	e := remedy.New(remedy.Options{Journal: &plainJournal{}, State: state, Clock: clock{w}, Meter: meter{w}})
	again := e.Plan(w.job(), "alice", []string{"name-00"})
	unsigned := *again
	unsigned.Signature = p.Signature
	again.SignRequest(people["alice"])
	for what, try := range map[string]struct {
		p *remedy.Plan
		c remedy.Consent
	}{
		"both as they were":                     {p, c},
		"the plan as it was, approved anew":     {p, bob(w, p)},
		"a plan made anew, approved before":     {again, c},
		"a plan made anew, as it was asked for": {&unsigned, bob(w, &unsigned)},
	} {
		if _, err := e.Approve(try.p, try.c); !isRefused(err) {
			t.Errorf("%s: %v", what, err)
		}
		if _, err := e.Apply(t.Context(), w.job(), try.p, "alice"); !isRefused(err) {
			t.Errorf("%s: carried out: %v", what, err)
		}
	}
	w.policy.Mode = remedy.ModeAuto
	if _, err := e.Apply(t.Context(), w.job(), p, "alice"); !isRefused(err) || !strings.Contains(err.Error(), "another ledger") {
		t.Errorf("without approval: %v", err)
	}
	w.policy.Mode = remedy.ModeApprove
	e.Configure(w.policy)
	if _, err := e.Approve(again, bob(w, again)); err != nil {
		t.Error(err)
	}
}

// TestApprovalOnce: an approval is used up when its plan begins, whatever becomes of that, and is not given twice.
func TestApprovalOnce(t *testing.T) {
	w, p := asking(t, true)
	c := bob(w, p)
	w.fault = func(*rules.Step) string { return "refused" }
	if approve, apply := w.given(p, c); approve != nil || apply != nil {
		t.Fatal(approve, apply)
	}
	if approve, apply := w.given(p, c); !isRefused(approve) || !isRefused(apply) || !strings.Contains(approve.Error(), "used") {
		t.Errorf("again: %v, %v", approve, apply)
	}
	w.start()
	w.turn()
	if _, err := w.engine.Approve(p, c); !isRefused(err) || !strings.Contains(err.Error(), "used") {
		t.Errorf("after a restart: %v", err)
	}
	w.check(t, "in all", 1, false)
}

// TestApprovalOverALimit: a plan that exceeds a limit cannot be approved, which freezes nothing. A smaller one can, but for as long as what was
// written on the last run leaves nothing for it, whatever run it was made on.
func TestApprovalOverALimit(t *testing.T) {
	w, small := asking(t, true)
	w.policy.Limits.GrantAccounts = 1
	large := w.engine.Plan(w.job(), "alice", nil)
	if len(large.Steps) != 2 || large.Over == "" {
		t.Fatalf("the plan %+v", large)
	}
	large.SignRequest(people["alice"])
	w.asks(large)
	if _, err := w.engine.Approve(large, bob(w, large)); !isRefused(err) || !strings.Contains(err.Error(), "limits.grant_accounts_per_run") {
		t.Errorf("the large one: %v", err)
	}
	w.approving = nil
	if last := w.ledger.entries[len(w.ledger.entries)-1]; last.Kind != remedy.KindRejected || last.Actor != "bob" || last.Plan != large.Digest {
		t.Errorf("the last entry: %+v", last)
	}
	w.turn()
	w.check(t, "after the large one", 0, false)
	rest := w.engine.Plan(w.job(), "alice", []string{"name-01"})
	rest.SignRequest(people["alice"])
	w.turn()
	w.asks(small)
	e, err := w.engine.Approve(small, bob(w, small))
	if err != nil || e.Kind != remedy.KindApproved || e.Seq != int64(len(w.ledger.entries)) || e.Actor != "bob" || e.Expires.IsZero() {
		t.Errorf("the small one: %+v %v", e, err)
	}
	w.approving = nil
	w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), small, "alice"); return err })
	w.check(t, "the small one", 1, false)
	w.asks(rest)
	if _, err := w.engine.Approve(rest, bob(w, rest)); !isRefused(err) || !strings.Contains(err.Error(), "in 2 accounts, and limits.grant_accounts_per_run") {
		t.Errorf("the rest, on the same run: %v", err)
	}
	w.turn()
	w.agrees(t, rest)
	w.turn()
	w.check(t, "the rest, after the next run", 2, false)
}

// TestApprovedOneByOne: two plans that exceed a limit of the day together are not both approved, also while neither can be carried out yet. A
// limit of a run is none of both.
func TestApprovedOneByOne(t *testing.T) {
	for name, tt := range map[string]struct {
		limits  remedy.Limits
		refused string
	}{
		"of the fleet":  {remedy.Limits{GrantAccounts: 5, RevokeAccounts: 1, FleetPercent: 5, PolicyWrites: 20}, "limits.fleet_percent_per_day"},
		"of the policy": {remedy.Limits{GrantAccounts: 5, RevokeAccounts: 1, FleetPercent: 100, PolicyWrites: 1}, "limits.policy_writes_per_day"},
		"of a run":      {remedy.Limits{GrantAccounts: 1, RevokeAccounts: 1, FleetPercent: 100, PolicyWrites: 20}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, first := asking(t, true)
			w.policy.Limits, w.stopped = tt.limits, true
			w.turn()
			second := w.engine.Plan(w.job(), "alice", []string{"name-01"})
			second.SignRequest(people["alice"])
			w.agrees(t, first)
			w.asks(second)
			_, err := w.engine.Approve(second, bob(w, second))
			w.approving = nil
			if isRefused(err) != (tt.refused != "") || err != nil && (!strings.Contains(err.Error(), tt.refused) || !strings.Contains(err.Error(), "together")) {
				t.Error(err)
			}
			w.stopped = false
			w.turn()
			w.turn()
			w.check(t, "in the end", map[bool]int{true: 1, false: 2}[tt.refused != ""], false)
		})
	}
}

// TestApprovedAfterARestart: what was approved before a restart counts as well, so that it takes a run to approve more. The approval is not lost.
func TestApprovedAfterARestart(t *testing.T) {
	w, first := asking(t, true)
	w.policy.Limits.FleetPercent, w.stopped = 5, true
	w.turn()
	second := w.engine.Plan(w.job(), "alice", []string{"name-01"})
	second.SignRequest(people["alice"])
	w.agrees(t, first)
	w.start()
	c := bob(w, second)
	w.asks(second)
	if _, err := w.engine.Approve(second, c); err == nil || isRefused(err) || !strings.Contains(err.Error(), "no run was made yet") {
		t.Errorf("before a run: %v", err)
	}
	w.turn()
	if _, err := w.engine.Approve(second, c); !isRefused(err) || !strings.Contains(err.Error(), "together") {
		t.Errorf("after it: %v", err)
	}
}

// TestApprovedBeforeALimit: an approved plan that exceeds a limit by the time at which it is carried out freezes once, by whoever approved it.
// When a person lifts that, the approval is used up, and another one of fewer accounts counts.
func TestApprovedBeforeALimit(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w, small := asking(t, true)
		large := w.engine.Plan(w.job(), "alice", nil)
		if len(large.Steps) != 2 || large.Over != "" {
			t.Fatalf("the plan %+v", large)
		}
		large.SignRequest(people["alice"])
		w.agrees(t, large)
		w.policy.Limits.GrantAccounts = 1
		w.turn()
		w.check(t, "at first", 0, true)
		if f := w.engine.Status().Frozen; f == nil || f.By != "bob" || !strings.HasPrefix(f.Reason, "a limit is exceeded: ") {
			t.Errorf("frozen: %+v", f)
		}
		if restart {
			w.start()
		}
		w.mayUnfreeze = true
		if err := w.engine.Unfreeze("alice", "it is understood"); err != nil {
			t.Fatal(err)
		}
		w.mayUnfreeze = false
		w.turn()
		w.check(t, "after that was lifted", 0, false)
		w.agrees(t, small)
		w.turn()
		w.check(t, "the smaller one", 1, false)
	}
}

// TestApprovedTwice: a plan that was approved is not approved again before that is used or has ended, and waits for nobody. Of a ledger that has
// two approvals of it all the same, one use is the use of both.
func TestApprovedTwice(t *testing.T) {
	for _, twice := range []bool{false, true} {
		w, _ := asking(t, true)
		w.policy.Limits.GrantAccounts = 5
		w.policy.Open = func(time.Time) bool { return false }
		w.turn()
		p := w.engine.Status().Plan
		if len(w.engine.Status().Waiting) != 1 {
			t.Fatal("nothing waits")
		}
		w.asks(p)
		if _, err := w.engine.Approve(p, bob(w, p)); err != nil {
			t.Fatal(err)
		}
		if waits := w.engine.Status().Waiting; len(waits) > 0 {
			t.Errorf("it is approved and waits: %v", waits)
		}
		again := bob(w, p)
		if _, err := w.engine.Approve(p, again); !isRefused(err) || !strings.Contains(err.Error(), "approved already, by bob") {
			t.Errorf("again: %v", err)
		}
		if twice {
			var ids []string
			for i := range p.Steps {
				ids = append(ids, p.Steps[i].ID())
			}
			if _, err := w.ledger.Append(remedy.Entry{
				Kind: remedy.KindApproved, Actor: "bob", Run: p.Run, Plan: p.Digest, Steps: len(ids), Digests: ids, Nonce: again.Nonce,
				Expires: again.Expires, Signature: again.Signature, Time: w.local(),
			}); err != nil {
				t.Fatal(err)
			}
			w.start()
		}
		w.approving = nil
		w.policy.Open = nil
		w.turn()
		w.check(t, "carried out", 2, false)
		w.lacks(0, baselineGrants[0])
		w.lacks(1, baselineGrants[0])
		w.turn()
		w.turn()
		w.check(t, "and nothing that nobody approved", 2, false)
	}
}

// TestClaimed: pending is what the cloud said that it did. What was sent and not answered is open, and not claimed by anybody.
func TestClaimed(t *testing.T) {
	for fault, pending := range map[string]int{"answer lost": 0, "no effect": 1} {
		w := still(t, 3)
		w.lacks(0, baselineGrants[0])
		w.fault = func(*rules.Step) string { w.unreadable["account-00"] = true; return fault }
		w.turn()
		if s := w.engine.Status(); len(s.Open) != 1 || s.Pending != pending {
			t.Errorf("%s: open %+v, pending %d", fault, s.Open, s.Pending)
		}
	}
}

// TestApprovalOutlivesRestarts, and is used up by a plan that began when the process died before its first intent.
func TestApprovalOutlivesRestarts(t *testing.T) {
	for _, dies := range []bool{false, true} {
		w, p := asking(t, true)
		w.agrees(t, p)
		w.start()
		w.pause(15 * time.Minute)
		w.audit()
		if dies {
			w.dieAt = 3 // after the plan was written down, before its intent
		}
		w.repair()
		w.dieAt = 0
		last := w.ledger.entries[len(w.ledger.entries)-1]
		if dies && (last.Kind != remedy.KindStarted || w.ledger.entries[len(w.ledger.entries)-2].Kind != remedy.KindPlanned) {
			t.Fatalf("it ended elsewhere: %s", last.Kind)
		}
		w.turn()
		w.check(t, fmt.Sprintf("dies %v", dies), map[bool]int{true: 0, false: 1}[dies], false)
	}
}

// TestApprovalOfSomebodyGone: whose key was taken away approves nothing any more, nor does one that the ledger alone knows.
func TestApprovalOfSomebodyGone(t *testing.T) {
	w, p := asking(t, true)
	w.agrees(t, p)
	delete(w.policy.People, "bob")
	w.turn()
	w.check(t, "without bob", 0, false)
	w.policy.People = publicKeys()
	for i := range w.ledger.entries {
		w.ledger.entries[i].Signature = ""
	}
	w.ledger.lines = nil
	w.start()
	w.turn()
	w.check(t, "forged in the ledger", 0, false)
}

// TestForgedApproval: whoever can add to the ledger, and has no key, makes nothing of an approval that stands there: not the same once more, and
// not one of other steps.
func TestForgedApproval(t *testing.T) {
	w, p := asking(t, true)
	all := w.engine.Plan(w.job(), "alice", nil)
	w.agrees(t, p)
	whole := w.ledger.entries[len(w.ledger.entries)-1]
	if whole.Kind != remedy.KindApproved {
		t.Fatal(whole)
	}
	other := whole
	other.Digests = nil
	for i := range all.Steps {
		other.Digests = append(other.Digests, all.Steps[i].ID())
	}
	for name, entries := range map[string][]remedy.Entry{
		"as it is": {whole}, "of more steps": {other}, "refused, and given all the same": {{Kind: remedy.KindRejected, Nonce: whole.Nonce}, whole},
		"once more": {whole, {Kind: remedy.KindPlanned, Approval: 1}, whole},
	} {
		state := remedy.NewState()
		for i, e := range entries {
			e.Seq = int64(i + 1)
			state.Add(e)
		}
		e := remedy.New(remedy.Options{Journal: &plainJournal{}, State: state, Clock: clock{w}, Meter: meter{w}})
		e.Configure(w.policy)
		if counts := name == "as it is"; e.Agreed() != counts {
			t.Errorf("%s: counts %v", name, e.Agreed())
		}
	}
}

// TestApprovalWithoutKeys: where nobody has a key, whoever reaches the program approves.
func TestApprovalWithoutKeys(t *testing.T) {
	w, p := asking(t, false)
	if approve, apply := w.given(p, remedy.Consent{Actor: "alice"}); approve != nil || apply != nil {
		t.Error(approve, apply)
	}
	w.check(t, "approved", 1, false)
	daemons := w.engine.Plan(w.job(), "", nil)
	w.asks(daemons)
	if _, err := w.engine.Approve(daemons, remedy.Consent{Actor: "alice"}); err != nil {
		t.Fatal(err)
	}
	w.approving = nil
	w.turn()
	w.check(t, "the daemon's", 2, false)
	w.turn()
	if _, err := w.engine.Approve(daemons, remedy.Consent{Actor: "alice"}); !isRefused(err) {
		t.Errorf("the daemon's plan of before: %v", err)
	}
}

// TestWaiting: one plan waits at a time, since when it does, and none when there is nothing to wait for.
func TestWaiting(t *testing.T) {
	w, _ := asking(t, false)
	first := w.engine.Status().Waiting
	w.turn()
	if got := w.engine.Status().Waiting; len(got) != 1 || fmt.Sprint(got) != fmt.Sprint(first) {
		t.Errorf("%v, then %v", first, got)
	}
	w.lacks(2, baselineGrants[1])
	w.turn()
	if got := w.engine.Status().Waiting; len(got) != 1 || fmt.Sprint(got) == fmt.Sprint(first) {
		t.Errorf("%v, and changed %v", first, got)
	}
	for i, g := range []at{baselineGrants[0], baselineGrants[0], baselineGrants[1]} {
		w.touch(w.cloud.members[i], g, true)
	}
	w.turn()
	if got := w.engine.Status().Waiting; len(got) > 0 {
		t.Errorf("all is right, and %v waits", got)
	}
}

// TestAppliedAfterASetback: what is found only now to have failed ends what somebody has carried out, as it would have at the time.
func TestAppliedAfterASetback(t *testing.T) {
	for _, fault := range []string{"no effect", "request lost"} {
		w := still(t, 20)
		w.policy.Mode = remedy.ModePlan
		w.lacks(0, baselineGrants[0])
		w.lacks(1, baselineGrants[0])
		w.turn()
		w.policy.Mode = remedy.ModeAuto
		w.fault = func(*rules.Step) string { return fault }
		var r *remedy.Result
		apply := func() {
			p := w.engine.Plan(w.job(), "alice", nil)
			w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
		}
		apply()
		w.check(t, "pending", 1, false)
		w.fault = nil
		w.pause(50 * time.Minute)
		w.audit()
		apply()
		w.check(t, "settled, and no more", 1, false)
		if r.Stopped != rules.HoldStopped || r.Detail == "" || len(r.Void) != 1 || r.Void[0].Reason != rules.HoldStopped || r.Void[0].AccountID != "account-01" {
			t.Errorf("%s: %+v", fault, r)
		}
		w.audit()
		apply()
		w.check(t, "after that", 2, false)
	}
}

// TestOldPlan: of a plan that somebody kept, what has changed since is void, and the rest is done.
func TestOldPlan(t *testing.T) {
	w := still(t, 3)
	w.policy.Mode = remedy.ModePlan
	for i := range 3 {
		w.lacks(i, baselineGrants[0])
	}
	w.lacks(1, baselineGrants[1])
	w.turn()
	p := w.engine.Plan(w.job(), "alice", nil)
	w.touch(w.cloud.members[1], at{rules.Project, "p1", "sfs"}, true)
	w.policy.Mode = remedy.ModeAuto
	w.policy.May.Revoke = nil
	w.pause(15 * time.Minute)
	w.audit()
	var r *remedy.Result
	apply := func() {
		w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	}
	apply()
	if len(r.Done) != 2 || len(r.Void) != 2 || r.Whole() || r.Void[0].AccountID != "account-01" || r.Void[1].AccountID != "account-01" || r.Void[0].Reason != rules.HoldMoved {
		t.Errorf("%+v", r)
	}
	apply()
	if len(r.Done) > 0 || len(r.Void) != 4 {
		t.Errorf("again: %+v", r)
	}
	w.check(t, "in all", 2, false)
}

// TestPlanFile: what was changed in a plan's file is refused, and so is what is none.
func TestPlanFile(t *testing.T) {
	w := still(t, 2)
	w.policy.Mode = remedy.ModePlan
	w.lacks(0, baselineGrants[0])
	w.touch(w.cloud.members[1], at{rules.Project, "p1", "sfs"}, true)
	w.turn()
	p := w.engine.Plan(w.job(), "alice", nil)
	data, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	read, err := remedy.ParsePlan(data)
	if err != nil || read.Digest != p.Digest || len(read.Steps) != 1 {
		t.Fatal(err, read)
	}
	for _, change := range [][2]string{
		{`"account_id": "account-00"`, `"account_id": "account-01"`}, {`"account": "name-00"`, `"account": "name-01"`}, {`"id": "iam"`, `"id": "ta"`},
		{`"agency_id": "agency-1"`, `"agency_id": "agency-2"`}, {`"action": "grant"`, `"action": "revoke"`}, {`"kind": "global"`, `"kind": "all_resources"`},
		{`"requested_by": "alice"`, `"requested_by": "bob"`}, {`can use IAM`, `can no longer use IAM`}, {`"format": 1`, `"format": 2`},
		{`"format": 1`, `"format": 1, "also": 2`}, {`"holding": "`, `"holding": "0`},
	} {
		edited := bytes.Replace(data, []byte(change[0]), []byte(change[1]), 1)
		if bytes.Equal(edited, data) {
			t.Errorf("the plan has no %s:\n%s", change[0], data)
		}
		if _, err := remedy.ParsePlan(edited); err == nil {
			t.Errorf("%s for %s is read", change[1], change[0])
		}
	}
	other := bytes.Replace(data, []byte(`"steps": [`), []byte(`"steps": [], "Steps": [`), 1)
	hidden := bytes.Replace(data, []byte(`"account": "name-00"`), []byte(`"account": "name-01", "Account": "name-00"`), 1)
	for name, text := range map[string][]byte{
		"no steps to whoever looks": other, "another account to whoever looks": hidden,
		"nothing": nil, "a list": []byte("[]"), "two plans": append(slices.Clone(data), data...), "more": append(slices.Clone(data), 'x'),
		"too much": bytes.Repeat([]byte(" "), 17<<20),
	} {
		if _, err := remedy.ParsePlan(text); err == nil {
			t.Errorf("%s is a plan", name)
		}
	}
	// A digest that fits other steps is found out by the engine as well.
	w.policy.Mode = remedy.ModeAuto
	forged := *p
	forged.Steps = append(slices.Clone(p.Steps), p.Steps[0])
	if _, err := w.engine.Apply(t.Context(), w.job(), &forged, "alice"); !isRefused(err) {
		t.Errorf("a forged plan: %v", err)
	}
}

// TestUndo: what a run did is taken back to the grant, also where policies share a name, within the limits by which it was done, once.
func TestUndo(t *testing.T) {
	w := still(t, 4)
	w.policy.Limits = remedy.Limits{GrantAccounts: 3, RevokeAccounts: 1, FleetPercent: 100, PolicyWrites: 100}
	for i := range 3 {
		w.lacks(i, baselineGrants[i])
	}
	for _, g := range []at{{rules.Global, "", "own1"}, {rules.Global, "", "own2"}, {rules.AllResources, "", "own1"}, {rules.AllResources, "", "guest"}, {rules.Project, "p2", "guest"}} {
		w.touch(w.cloud.members[3], g, true)
	}
	w.policy.Mode = remedy.ModePlan
	w.turn()
	w.pause(3 * time.Hour)
	w.policy.Mode = remedy.ModeAuto
	before := w.held()
	w.turn()
	w.check(t, "done", 8, false)
	run := w.run.ID
	w.policy.Mode = remedy.ModePlan
	w.turn()
	w.policy.Mode = remedy.ModeAuto
	if _, err := w.engine.Undo(w.job(), "another run", "alice"); !isRefused(err) {
		t.Error(err)
	}
	p, err := w.engine.Undo(w.job(), run, "alice")
	if err != nil || len(p.Steps) != 7 || p.Over != "" || p.Steps[0].Action != rules.ActionGrant {
		t.Fatal(err, p)
	}
	// The program cannot grant in a project, and says so.
	if len(p.Held) != 1 || p.Held[0].Scope != rules.Project || p.Held[0].Reason != rules.HoldUnclear {
		t.Errorf("held %+v", p.Held)
	}
	before["account-03"] = (&state{held: before["account-03"]}).with(at{rules.Project, "p2", "guest"}, false).held
	for i := range p.Steps {
		if p.Steps[i].Undoes == 0 || len(p.Steps[i].Affects) == 0 {
			t.Errorf("%+v", p.Steps[i])
		}
	}
	var r *remedy.Result
	apply := func() {
		w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	}
	apply()
	if !r.Whole() || len(r.Done) != 7 {
		t.Errorf("%+v", r)
	}
	for id, held := range w.held() {
		if !slices.Equal(held, before[id]) {
			t.Errorf("%s holds %v, and held %v", id, held, before[id])
		}
	}
	w.start()
	w.pause(15 * time.Minute)
	w.audit()
	if p, err := w.engine.Undo(w.job(), run, "alice"); err != nil || len(p.Steps) > 0 {
		t.Errorf("twice: %v, %v", err, p)
	}
	apply()
	w.check(t, "in all", 15, false)
}

// TestUndoOfAsMuchAsMayBe: all that one plan could do by the limits can be taken back by one.
func TestUndoOfAsMuchAsMayBe(t *testing.T) {
	w := still(t, 20)
	w.policy.Limits = remedy.Limits{GrantAccounts: 5, RevokeAccounts: 1, FleetPercent: 25, PolicyWrites: 5}
	for i := range 5 {
		w.lacks(i, baselineGrants[0])
	}
	w.turn()
	w.check(t, "done", 5, false)
	run := w.run.ID
	w.policy.Mode = remedy.ModeApprove
	w.turn()
	p, err := w.engine.Undo(w.job(), run, "alice")
	if err != nil || len(p.Steps) != 5 || p.Over != "" {
		t.Fatalf("%+v %v", p, err)
	}
	w.agrees(t, p)
	w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	w.check(t, "undone", 10, false)
	w.policy.Mode = remedy.ModeAuto
	w.lacks(5, baselineGrants[0])
	w.policy.Limits.FleetPercent = 100
	w.turn()
	w.check(t, "one more", 10, true)
}

// TestUndoHeld: what would not be taken back says why.
func TestUndoHeld(t *testing.T) {
	for name, tt := range map[string]struct {
		move func(*world)
		why  rules.Hold
	}{
		"it is so already":    {func(w *world) { w.lacks(0, baselineGrants[0]) }, rules.HoldMoved},
		"another agency":      {func(w *world) { w.recreate(w.cloud.members[0]) }, rules.HoldMoved},
		"the account is dark": {func(w *world) { w.unreadable["account-00"] = true }, rules.HoldUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 2)
			w.lacks(0, baselineGrants[0])
			w.turn()
			run := w.run.ID
			w.policy.Mode = remedy.ModePlan
			tt.move(w)
			w.turn()
			p, err := w.engine.Undo(w.job(), run, "alice")
			if err != nil || len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != tt.why || p.Held[0].Detail == "" {
				t.Errorf("%v, %+v", err, p)
			}
		})
	}
	// What was read before it was done does not say that it is not so.
	early := still(t, 2)
	early.lacks(0, baselineGrants[0])
	early.turn()
	if p, err := early.engine.Undo(early.job(), early.run.ID, "alice"); err != nil || len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != rules.HoldPending {
		t.Errorf("%v, %+v", err, p)
	}
	// A grant is not given back to whoever it is that the agency trusts by now.
	w := still(t, 2)
	w.touch(w.cloud.members[0], at{rules.Global, "", "guest"}, true)
	w.turn()
	w.pause(3 * time.Hour)
	w.turn()
	w.check(t, "revoked", 1, false)
	run := w.run.ID
	w.trust(w.cloud.members[0], strangerID)
	w.turn()
	if p, err := w.engine.Undo(w.job(), run, "alice"); err != nil || len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != rules.HoldTrust {
		t.Errorf("%v, %+v", err, p)
	}
}

// TestUndoOfWhatIsNotKnown: of what a run led to and nobody saw the outcome of, an undo says so, and not that there was nothing.
func TestUndoOfWhatIsNotKnown(t *testing.T) {
	w := still(t, 20)
	w.lacks(0, baselineGrants[0])
	w.fault = func(*rules.Step) string { return "no effect" }
	w.turn()
	run := w.run.ID
	held := func(what string, why rules.Hold) {
		t.Helper()
		p, err := w.engine.Undo(w.job(), run, "alice")
		if err != nil || len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != why || p.Held[0].Detail == "" || p.Held[0].AccountID != "account-00" {
			t.Errorf("%s: %v, %+v", what, err, p)
		}
	}
	held("pending", rules.HoldPending)
	w.start()
	w.turn()
	held("after a restart", rules.HoldPending)
	w.pause(50 * time.Minute)
	w.turn()
	if s := w.engine.Status(); len(s.Last) != 1 || s.Last[0].Outcome != remedy.OutcomeUnverified {
		t.Fatalf("%+v", s.Last)
	}
	w.turn()
	held("it never showed", rules.HoldMoved)
	w.touch(w.cloud.members[0], baselineGrants[0], true)
	w.turn()
	held("it shows at last", rules.HoldQuarantine)
	w.pause(25 * time.Hour)
	if err := w.engine.Release("account-00", "alice", "seen to"); err != nil {
		t.Fatal(err)
	}
	w.turn()
	if p, err := w.engine.Undo(w.job(), run, "alice"); err != nil || len(p.Steps) != 1 || len(p.Held) > 0 {
		t.Errorf("released: %v, %+v", err, p)
	}
	w.check(t, "in all", 1, false)
}

// TestUndoOnce: what was undone is not undone again when a later run did it anew.
func TestUndoOnce(t *testing.T) {
	w := still(t, 2)
	w.lacks(0, baselineGrants[0])
	w.turn()
	run := w.run.ID
	w.policy.Mode = remedy.ModePlan
	w.turn()
	w.policy.Mode = remedy.ModeAuto
	p, err := w.engine.Undo(w.job(), run, "alice")
	if err != nil || len(p.Steps) != 1 {
		t.Fatal(err, p)
	}
	w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	w.pause(25 * time.Hour)
	w.turn() // which grants it once more
	w.turn()
	w.check(t, "granted, undone, granted", 3, false)
	if p, err := w.engine.Undo(w.job(), run, "alice"); !isRefused(err) {
		t.Errorf("%v, %+v", err, p)
	}
}

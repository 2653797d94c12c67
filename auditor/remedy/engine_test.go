package remedy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

var baselineGrants = []at{{rules.Global, "", "iam"}, {rules.Global, "", "rms"}, {rules.AllResources, "", "dcs"}, {rules.AllResources, "", "coc"}}

// still is a world in which nothing happens but what a test says: n accounts that are as they should be, all repair on, wide limits.
func still(t *testing.T, n int) *world {
	t.Helper()
	w := newWorld(1, newTally())
	t.Cleanup(w.over)
	w.mode, w.rates, w.reverting, w.twice, w.waivers, w.window = "calm", rates{}, false, "", nil, 0
	w.baseline.Required, w.baseline.Allowed = w.baseline.Required[:4], nil
	w.cloud.members, w.cloud.byID = nil, map[string]*member{}
	for i := range n {
		m := &member{account: rules.Account{ID: fmt.Sprintf("account-%02d", i), Name: fmt.Sprintf("name-%02d", i)}, made: 1}
		s := &state{since: w.now.Add(-time.Hour), agency: "agency-1", trust: cocID}
		for _, g := range baselineGrants {
			s.held = s.with(g, true).held
		}
		m.past = []*state{s}
		w.cloud.members, w.cloud.byID[m.account.ID] = append(w.cloud.members, m), m
	}
	w.policy = remedy.Policy{
		Mode:   remedy.ModeAuto,
		May:    rules.Repairs{Grant: true, Revoke: &rules.Revocation{Policies: []string{"Tenant Guest", "own1", "own2"}, Grace: 2 * time.Hour}},
		Limits: remedy.Limits{GrantAccounts: 50, RevokeAccounts: 50, FleetPercent: 100, PolicyWrites: 100},
		Settle: 30 * time.Minute, CoolDown: time.Hour, ApprovalExpires: 12 * time.Hour,
		Open: func(time.Time) bool { return true }, Stopped: func() string { return map[bool]string{true: "the file is there"}[w.stopped] },
	}
	w.stays = true
	w.oracle.init(w)
	w.ledger = &ledger{w: w}
	w.start()
	t.Cleanup(func() {
		for _, line := range w.wrong {
			t.Errorf("the oracle: %s", line)
		}
		w.balance()
		w.leaks()
	})
	return w
}

// lacks takes a grant of the baseline away from an account.
func (w *world) lacks(i int, g at) { w.touch(w.cloud.members[i], g, false) }

// turn is a run and what follows from it, a quarter of an hour after the last.
func (w *world) turn() {
	w.pause(15 * time.Minute)
	w.audit()
	w.repair()
}

// outcomesOf are the outcomes so far, in order.
func (w *world) outcomesOf() (list []string) {
	for i := range w.ledger.entries {
		if e := &w.ledger.entries[i]; e.Kind == remedy.KindOutcome {
			list = append(list, string(e.Outcome))
		}
	}
	return list
}

func (w *world) check(t *testing.T, what string, requests int, frozen bool) {
	t.Helper()
	st := w.engine.Status()
	if got := len(w.cloud.requests); got != requests || (st.Frozen != nil) != frozen {
		t.Errorf("%s: %d requests, want %d; frozen %+v, want %v", what, got, requests, st.Frozen, frozen)
	}
}

// TestLimits: a plan is carried out whole, or not at all; then all repair stands still, also after a restart.
func TestLimits(t *testing.T) {
	for name, tt := range map[string]struct {
		fleet, lacking, excess int
		limits                 remedy.Limits
		requests               int
		frozen                 string
	}{
		"as many as may be":             {20, 5, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 5}, 5, ""},
		"one account more":              {20, 6, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 50}, 0, "grant_accounts_per_run"},
		"one revoke":                    {20, 0, 1, remedy.Limits{RevokeAccounts: 1, FleetPercent: 100, PolicyWrites: 50}, 1, ""},
		"two revokes":                   {20, 0, 2, remedy.Limits{RevokeAccounts: 1, FleetPercent: 100, PolicyWrites: 50}, 0, "revoke_accounts_per_run"},
		"no revoke at all":              {20, 1, 1, remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 50}, 0, "revoke_accounts_per_run"},
		"the percentage":                {20, 1, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 5, PolicyWrites: 50}, 1, ""},
		"beyond the percentage":         {20, 2, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 5, PolicyWrites: 50}, 0, "fleet_percent_per_day"},
		"rounded down":                  {19, 2, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, 0, "fleet_percent_per_day"},
		"one at least":                  {3, 1, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, 1, ""},
		"no more than one at the least": {3, 2, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, 0, "fleet_percent_per_day"},
		"too often one policy":          {20, 5, 0, remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 4}, 0, "policy_writes_per_day"},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, tt.fleet)
			w.policy.Limits = tt.limits
			for i := range tt.lacking {
				w.lacks(i, baselineGrants[0])
			}
			for i := range tt.excess {
				w.touch(w.cloud.members[i], at{rules.Global, "", "guest"}, true)
			}
			w.policy.Mode = remedy.ModePlan
			w.turn() // which also sees what is too much
			w.pause(3 * time.Hour)
			w.policy.Mode = remedy.ModeAuto
			w.turn()
			w.check(t, "at first", tt.requests, tt.frozen != "")
			if f := w.engine.Status().Frozen; f != nil && (!strings.Contains(f.Reason, tt.frozen) || f.By != remedy.Daemon) {
				t.Errorf("frozen: %+v", f)
			}
			w.start()
			w.policy.Limits = remedy.Limits{GrantAccounts: 50, RevokeAccounts: 50, FleetPercent: 100, PolicyWrites: 100}
			w.turn()
			w.check(t, "with wide limits after a restart", tt.requests, tt.frozen != "")
		})
	}
}

// TestDay: what was done in a day counts for all of it, wherever midnight is and whoever restarts.
func TestDay(t *testing.T) {
	for name, tt := range map[string]struct {
		limits  remedy.Limits
		after   time.Duration
		account int
		frozen  bool
	}{
		"accounts, within a day":     {remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, 23 * time.Hour, 1, true},
		"accounts, after a day":      {remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, 24 * time.Hour, 1, false},
		"the same account":           {remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, time.Hour, 0, false},
		"writes of a policy":         {remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 1}, 23 * time.Hour, 1, true},
		"writes of a policy, later":  {remedy.Limits{GrantAccounts: 5, FleetPercent: 100, PolicyWrites: 1}, 24 * time.Hour, 1, false},
		"a clock ahead for a moment": {remedy.Limits{GrantAccounts: 5, FleetPercent: 10, PolicyWrites: 50}, -time.Hour, 1, true},
	} {
		for _, restart := range []bool{false, true} {
			t.Run(fmt.Sprint(name, restart), func(t *testing.T) {
				w := still(t, 5)
				w.policy.Limits = tt.limits
				w.lacks(0, baselineGrants[0])
				w.turn()
				w.check(t, "first", 1, false)
				if tt.after < 0 {
					w.offset = 30 * time.Hour
					w.turn()
					w.offset = 0
				} else {
					w.pause(tt.after)
				}
				if restart {
					w.start()
				}
				w.lacks(tt.account, baselineGrants[0])
				w.turn()
				w.check(t, "then", map[bool]int{true: 1, false: 2}[tt.frozen], tt.frozen)
			})
		}
	}
}

// TestTwoPlansOfARun have one limit, whoever carries them out.
func TestTwoPlansOfARun(t *testing.T) {
	w := still(t, 4)
	w.policy.Limits.GrantAccounts = 1
	w.policy.Mode = remedy.ModePlan
	w.lacks(0, baselineGrants[0])
	w.lacks(1, baselineGrants[0])
	w.turn()
	w.policy.Mode = remedy.ModeAuto
	for i := range 2 {
		p := w.engine.Plan(w.job(), "alice", []string{w.cloud.members[i].account.ID})
		w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	}
	w.check(t, "two plans of one account each", 1, true)
}

// TestWaves: one account goes first, then two, then four, and none before what was done before shows.
func TestWaves(t *testing.T) {
	for name, tt := range map[string]struct{ slow, requests int }{
		"the first": {0, 1}, "the second": {1, 3}, "the third": {2, 3}, "the fourth": {3, 7}, "the last": {7, 8},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 8)
			for i := range 8 {
				w.lacks(i, baselineGrants[0])
			}
			w.fault = func(s *rules.Step) string {
				if s.AccountID == w.cloud.members[tt.slow].account.ID {
					return "slow"
				}
				return ""
			}
			w.r = newRand(3) // it takes minutes
			w.turn()
			w.check(t, "in the first run", tt.requests, false)
			if st := w.engine.Status(); st.Pending != 1 || len(st.Open) != 1 {
				t.Errorf("pending %d, open %v", st.Pending, st.Open)
			}
			w.fault = nil
			w.pause(25 * time.Minute)
			w.turn()
			w.turn()
			w.check(t, "at last", 8, false)
			if st := w.engine.Status(); st.Pending != 0 {
				t.Errorf("pending %d", st.Pending)
			}
		})
	}
}

// TestHolds: each of what holds repair back does so, says so, and ends.
func TestHolds(t *testing.T) {
	for name, tt := range map[string]struct {
		before, after func(*world)
		why           rules.Hold
	}{
		"the kill switch":     {func(w *world) { w.stopped = true }, func(w *world) { w.stopped = false }, rules.HoldSwitch},
		"a window":            {func(w *world) { w.policy.Open = func(time.Time) bool { return false } }, func(w *world) { w.policy.Open = nil }, rules.HoldWindow},
		"a clock ahead":       {func(w *world) { w.offset = 11 * time.Minute }, func(w *world) { w.offset = 9 * time.Minute }, rules.HoldSkew},
		"a clock behind":      {func(w *world) { w.offset = -11 * time.Minute }, func(w *world) { w.offset = -9 * time.Minute }, rules.HoldSkew},
		"a source with a gap": {func(w *world) { w.gap = true }, func(w *world) { w.gap = false }, rules.HoldIncomplete},
		"two of eight dark": {func(w *world) { w.unreadable["account-06"], w.unreadable["account-07"] = true, true }, func(w *world) { clear(w.unreadable) },
			rules.HoldIncomplete},
		"a freeze":             {func(w *world) { w.note(w.engine.Freeze("alice", "x")) }, func(w *world) { w.unfreeze() }, rules.HoldFrozen},
		"a ledger that failed": {func(w *world) { w.ledger.broken = errors.New("the disk is full") }, func(w *world) { w.start() }, rules.HoldLedger},
		"a doubt":              {func(w *world) { w.engine.Halt("older than it was") }, func(w *world) { w.start() }, rules.HoldLedger},
		"a restricted run":     {func(w *world) { w.restricted = true }, func(w *world) { w.restricted = false }, rules.HoldIncomplete},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 8)
			w.turn()
			w.lacks(0, baselineGrants[0])
			tt.before(w)
			w.turn()
			if st := w.engine.Status(); len(w.cloud.requests) > 0 || st.Plan == nil || st.Plan.Stopped != tt.why || st.Plan.Detail == "" || len(st.Plan.Steps) != 1 {
				t.Errorf("%d requests, plan %+v", len(w.cloud.requests), st.Plan)
			}
			// Nor by hand.
			p := w.engine.Plan(w.job(), "alice", nil)
			w.call("Apply", func() error {
				_, err := w.engine.Apply(t.Context(), w.job(), p, "alice")
				return err
			})
			if len(w.cloud.requests) > 0 {
				t.Error("by hand it is done")
			}
			tt.after(w)
			w.turn()
			w.turn()
			w.check(t, "afterwards", 1, false)
		})
	}
}

// TestSuspect: a run that should not be acted on is not.
func TestSuspect(t *testing.T) {
	w := still(t, 8)
	w.turn()
	w.lost = 1
	w.turn()
	w.lost = 8
	w.lacks(0, baselineGrants[0])
	w.audit()
	if len(w.run.Suspect) == 0 {
		t.Fatal("the run is not suspect")
	}
	w.snapshot.Run.Suspect = w.run.Suspect
	w.repair()
	w.check(t, "suspect", 0, false)
	// What is suspect, and else as it should be.
	w.lost = 0
	w.turn()
	w.check(t, "again all", 1, false)
	w.lacks(1, baselineGrants[0])
	w.pause(15 * time.Minute)
	w.audit()
	w.run.Suspect = []string{"many accounts changed at once"}
	w.repair()
	w.check(t, "suspect, and whole", 1, false)
	if p := w.engine.Status().Plan; p.Stopped != rules.HoldSuspect {
		t.Errorf("%+v", p)
	}
}

// TestModes: what is off proposes nothing, what plans does nothing.
func TestModes(t *testing.T) {
	for _, m := range []remedy.Mode{remedy.ModeOff, remedy.ModePlan, remedy.ModeApprove} {
		w := still(t, 2)
		w.policy.Mode = m
		w.lacks(0, baselineGrants[0])
		for range 3 {
			w.turn()
		}
		w.check(t, string(m), 0, false)
		if p := w.engine.Status().Plan; (p == nil) != (m == remedy.ModeOff) {
			t.Errorf("%s: %v", m, p)
		}
		if m == remedy.ModeApprove {
			continue
		}
		p := (&remedy.Plan{}).By("alice", nil)
		if _, err := w.engine.Apply(t.Context(), w.job(), &p, "alice"); err == nil {
			t.Errorf("%s: a plan is carried out", m)
		}
	}
}

// TestAnswers: what the cloud says is a claim. What becomes of a step is what is read.
func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		fault string
		// outcomes after the first run, after a quarter of an hour, and after an hour.
		first, second, third []string
		frozen, quarantined  bool
	}{
		"done":                           {"", []string{"done"}, []string{"done"}, []string{"done"}, false, false},
		"refused":                        {"refused", []string{"failed"}, []string{"failed"}, []string{"failed", "done"}, false, false},
		"failed":                         {"failed", []string{"failed"}, []string{"failed"}, []string{"failed", "done"}, false, false},
		"done, and the answer is lost":   {"answer lost", []string{"done"}, []string{"done"}, []string{"done"}, false, false},
		"not done, and no answer came":   {"request lost", nil, nil, []string{"failed"}, false, false},
		"said to be done":                {"no effect", nil, nil, []string{"unverified"}, false, true},
		"said to have been so":           {"said already", nil, nil, []string{"unverified"}, false, true},
		"somebody else was faster":       {"raced", []string{"noop"}, []string{"noop"}, []string{"noop"}, false, false},
		"not sent":                       {"unsent", []string{"not_sent"}, []string{"not_sent", "done"}, []string{"not_sent", "done"}, false, false},
		"a bug before it was sent":       {"panic before", nil, nil, []string{"failed"}, true, false},
		"a bug that was survived before": {"survived before", nil, nil, []string{"failed"}, true, false},
		"a bug that was survived after":  {"survived after", nil, []string{"done"}, []string{"done"}, true, false},
		"a bug when it was done":         {"panic after", nil, []string{"done"}, []string{"done"}, true, false},
		"the trust changed meanwhile":    {"trust", []string{"done"}, []string{"done"}, []string{"done"}, true, false},
		"the agency was made anew":       {"recreated", nil, nil, []string{"superseded"}, false, false},
		"somebody else granted as well":  {"somebody else", []string{"done"}, []string{"done"}, []string{"done"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 3)
			w.r = newRand(5)
			w.lacks(0, baselineGrants[0])
			w.lacks(2, baselineGrants[1])
			first := true
			w.fault = func(*rules.Step) string {
				if !first {
					return ""
				}
				first = false
				return tt.fault
			}
			of := func() (list []string) {
				for _, d := range w.engine.Status().Last {
					if d.Step.AccountID == "account-00" {
						list = append(list, string(d.Outcome))
					}
				}
				return list
			}
			w.turn()
			if got := of(); !slices.Equal(got, tt.first) {
				t.Errorf("first %v, want %v", got, tt.first)
			}
			// The first step that does not have its effect ends the plan.
			others := 0
			for _, q := range w.cloud.requests {
				if q.step.AccountID == "account-02" {
					others++
				}
			}
			if whole := slices.Equal(tt.first, []string{"done"}) || slices.Equal(tt.first, []string{"noop"}); (others == 1) != (whole && !tt.frozen) {
				t.Errorf("%d requests in another account after %v", others, tt.first)
			}
			w.turn()
			if got := of(); !slices.Equal(got, tt.second) {
				t.Errorf("second %v, want %v", got, tt.second)
			}
			w.pause(50 * time.Minute)
			w.turn()
			if got := of(); !slices.Equal(got, tt.third) {
				t.Errorf("third %v, want %v", got, tt.third)
			}
			st := w.engine.Status()
			if (st.Frozen != nil) != tt.frozen || len(st.Quarantined) > 0 != tt.quarantined {
				t.Errorf("frozen %+v, quarantined %v", st.Frozen, st.Quarantined)
			}
			for _, d := range st.Last {
				if d.Outcome == remedy.OutcomeFailed && tt.fault == "refused" && !strings.Contains(d.Reason, "ask") {
					t.Errorf("it does not say what to do: %q", d.Reason)
				}
			}
		})
	}
}

// TestEstranged: a change that went into an agency which trusts somebody else by now stops everything, whenever that is seen.
func TestEstranged(t *testing.T) {
	for name, steps := range map[string]func(*world){
		"while the change is not visible": func(w *world) { w.trust(w.cloud.members[0], strangerID) },
		"in a later run": func(w *world) {
			w.hook = nil
			w.cloud.members[0].later = nil
			w.pause(20 * time.Minute)
			w.touch(w.cloud.members[0], baselineGrants[0], true)
			w.trust(w.cloud.members[0], strangerID)
			w.turn()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 2)
			w.r = newRand(5)
			w.lacks(0, baselineGrants[0])
			w.fault = func(*rules.Step) string { return "slow" }
			if name != "in a later run" {
				w.hook = func(*member) {
					if len(w.cloud.requests) > 0 {
						steps(w)
					}
				}
				w.turn()
			} else {
				w.turn()
				steps(w)
			}
			if f := w.engine.Status().Frozen; f == nil || !strings.Contains(f.Reason, "trusts") {
				t.Errorf("frozen: %+v", f)
			}
		})
	}
}

// TestMoved: what changes between the plan and the request voids it.
func TestMoved(t *testing.T) {
	for name, move := range map[string]func(*world, *member){
		"the trust":              func(w *world, m *member) { w.trust(m, strangerID) },
		"the agency":             func(w *world, m *member) { w.recreate(m) },
		"another grant":          func(w *world, m *member) { w.touch(m, at{rules.Project, "p1", "sfs"}, true) },
		"somebody puts it right": func(w *world, m *member) { w.touch(m, baselineGrants[0], true) },
		"it cannot be read":      func(w *world, m *member) { w.unreadable[m.account.ID] = true },
		"the freeze":             func(w *world, _ *member) { w.note(w.engine.Freeze("alice", "stop")) },
		"the kill switch":        func(w *world, _ *member) { w.stopped = true },
		"the clock":              func(w *world, _ *member) { w.offset = time.Hour },
		"the window":             func(w *world, _ *member) { w.shut = true },
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 2)
			w.policy.Open = func(time.Time) bool { return !w.shut }
			w.lacks(0, baselineGrants[0])
			w.lacks(0, baselineGrants[1])
			moved := false
			w.hook = func(m *member) {
				if w.carrying && !moved {
					moved = true
					move(w, m)
				}
			}
			w.turn()
			if got := w.outcomesOf(); len(w.cloud.requests) > 0 || !slices.Equal(got, []string{"not_sent"}) {
				t.Errorf("%d requests, outcomes %v", len(w.cloud.requests), got)
			}
		})
	}
}

// TestLedgerFailsAnywhere: wherever the ledger fails, nothing is written that it does not know of, nothing is done after it until a
// restart, and then nothing twice.
func TestLedgerFailsAnywhere(t *testing.T) {
	for _, durable := range []bool{false, true} {
		for n := 2; n < 40; n++ {
			w := still(t, 2)
			w.lacks(0, baselineGrants[0])
			w.lacks(1, baselineGrants[0])
			w.failAt, w.failsDurably = n, durable
			w.rates.kill = 0
			w.pause(15 * time.Minute)
			w.audit()
			var err error
			w.begin()
			w.alive(func() { err = w.engine.AfterRun(t.Context(), w.job()) })
			w.end("AfterRun")
			failed := w.failAt <= 1
			if failed != (err != nil) {
				t.Fatalf("entry %d: %v", n, err)
			}
			requests := len(w.cloud.requests)
			if failed {
				w.repair()
				if len(w.cloud.requests) > requests {
					t.Fatalf("entry %d: a request after the ledger failed", n)
				}
			}
			w.failAt = 0
			w.start()
			for range 6 {
				w.pause(time.Hour)
				w.turn()
			}
			w.check(t, fmt.Sprintf("entry %d, durable %v", n, durable), 2, false)
			if !failed {
				if n < 8 {
					t.Errorf("only %d entries", n)
				}
				break
			}
		}
	}
}

// TestKilledAnywhere: wherever the process dies, nothing is done twice, and in the end all is as it should be.
func TestKilledAnywhere(t *testing.T) {
	died := 0
	for n := 2; n < 60; n++ {
		w := still(t, 2)
		w.lacks(0, baselineGrants[0])
		w.lacks(1, baselineGrants[0])
		w.dieAt = n
		w.turn()
		if w.dieAt <= 1 {
			died++
		}
		w.dieAt = 0
		for range 6 {
			w.pause(time.Hour)
			w.turn()
		}
		effects := 0
		for _, q := range w.cloud.requests {
			if q.effect {
				effects++
			}
		}
		if effects != 2 || w.engine.Status().Frozen != nil || !w.cloud.members[0].now().has(baselineGrants[0]) || !w.cloud.members[1].now().has(baselineGrants[0]) {
			t.Errorf("killed at %d: %d effects, frozen %v", n, effects, w.engine.Status().Frozen)
		}
	}
	if died < 15 {
		t.Errorf("it died %d times", died)
	}
}

// TestKilledBeforeItHolds: what an outcome leads to holds repair back, wherever the process dies between the two.
func TestKilledBeforeItHolds(t *testing.T) {
	for fault, held := range map[string]func(remedy.Status) bool{
		"trust":     func(s remedy.Status) bool { return s.Frozen != nil },         // when it is read back
		"no effect": func(s remedy.Status) bool { return len(s.Quarantined) == 1 }, // when it is settled
	} {
		for n := 2; ; n++ {
			w := still(t, 2)
			w.lacks(0, baselineGrants[0])
			asked := 0
			w.fault = func(*rules.Step) string {
				asked++
				return map[bool]string{true: fault}[asked == 1]
			}
			if fault == "no effect" {
				w.turn()
				w.pause(50 * time.Minute)
			}
			w.dieAt = n
			w.turn()
			died := w.dieAt <= 1
			w.dieAt = 0
			for range 4 {
				w.pause(time.Hour)
				w.turn()
			}
			arrived := len(w.cloud.requests) > 0 && w.cloud.requests[0].fault == fault
			if s := w.engine.Status(); arrived && (!held(s) || len(w.cloud.requests) != 1) {
				t.Errorf("%s, killed at %d: %d requests, outcomes %v, frozen %v, quarantined %v",
					fault, n, len(w.cloud.requests), w.outcomesOf(), s.Frozen, s.Quarantined)
			}
			if !died {
				if n < 5 {
					t.Errorf("%s: it died %d times", fault, n-2)
				}
				break
			}
		}
	}
}

// TestSettledByAnotherBaseline: what is pending in an agency that another baseline is for by now is read all the same, and holds back what it would have.
func TestSettledByAnotherBaseline(t *testing.T) {
	for fault, held := range map[string]func(remedy.Status) bool{
		"no effect": func(s remedy.Status) bool { return len(s.Quarantined) == 1 },
		"slow":      func(s remedy.Status) bool { return len(s.Last) == 1 && s.Last[0].Outcome == remedy.OutcomeDone },
	} {
		w := still(t, 20)
		w.lacks(0, baselineGrants[0])
		w.fault = func(*rules.Step) string { return fault }
		w.turn()
		w.fault = nil
		w.baseline.Name = "renamed"
		w.snapshot = w.snapshot.Expect(auditor.Subjects(w.accounts(), []rules.Baseline{w.baseline}), []rules.Baseline{w.baseline}, 40*time.Hour)
		w.pause(50 * time.Minute)
		w.turn()
		if s := w.engine.Status(); !held(s) || len(w.cloud.requests) != 1 {
			t.Errorf("%s: %d requests, outcomes %v, quarantined %v", fault, len(w.cloud.requests), w.outcomesOf(), s.Quarantined)
		}
		if fault == "slow" {
			run := w.engine.Status().Last[0].Run
			w.turn()
			p, err := w.engine.Undo(w.job(), run, "alice")
			if err != nil || len(p.Steps) != 1 || p.Steps[0].Baseline != "renamed" {
				t.Fatalf("%v, %+v", err, p)
			}
			w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
			w.check(t, "undone", 2, false)
		}
	}
}

// twoAgencies shows each account with another agency besides, which lacks the same unless the account is the first.
type twoAgencies struct{ *cloud }

func (c twoAgencies) Observe(ctx context.Context, a rules.Account, b rules.Baseline, last rules.Last) (rules.Evidence, auditor.Trail, error) {
	if b.Agency == agencyName {
		return c.cloud.Observe(ctx, a, b, last)
	}
	is := *c.byID[a.ID].now()
	is.agency += "-too"
	if c.members[0].account.ID == a.ID {
		is.held = c.members[2].now().held
	}
	ids := listed(a, &is)
	ids[0].Name = b.Agency
	o := rules.Observation{
		Account: a, AgencyName: b.Agency, StartedAt: c.w.local(), EndedAt: c.w.local(), Listed: ids, Unfiltered: ids, ListedAgain: ids, ListedTwice: true,
		Planes: planesOf(&is, &is),
	}
	for _, g := range is.held {
		o.PoliciesAgain = append(o.PoliciesAgain, policies[g.policy])
	}
	e, err := rules.NewEvidence(b, last, o)
	return e, auditor.Trail{Requests: 6}, err
}

// TestTheRestOfTheAccount: while it is not known what came of a step in one agency of an account, nothing is done in another one of it.
func TestTheRestOfTheAccount(t *testing.T) {
	w := still(t, 3)
	too := w.baseline
	too.Name, too.Agency = "too", agencyName+"Too"
	baselines := []rules.Baseline{w.baseline, too}
	reader := twoAgencies{w.cloud}
	a := &auditor.Auditor{
		Inventory: w.cloud, Observer: reader, Baselines: baselines, Logger: w.log, Now: w.local, Program: "v1", Concurrency: 1, RunTimeout: time.Hour,
		AccountTimeout: time.Hour, Before: auditor.NewSnapshot(auditor.Subjects(w.accounts(), baselines), baselines, 40*time.Hour),
	}
	w.lacks(0, baselineGrants[0])
	w.lacks(1, baselineGrants[0])
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.run, w.snapshot = run, a.Before.Next(run)
	w.commits()
	w.fault = func(s *rules.Step) string { return map[bool]string{true: "no effect"}[s.AccountID == "account-01"] }
	job := w.job()
	job.Reader = reader
	w.call("AfterRun", func() error { return w.engine.AfterRun(t.Context(), job) })
	if s := w.engine.Status(); s.Plan == nil || len(s.Plan.Steps) != 3 || len(s.Open) != 1 || len(s.Last) != 1 || s.Last[0].Outcome != remedy.OutcomeDone {
		t.Errorf("%+v", s)
	}
	w.check(t, "one in each account", 2, false)
}

// TestCooling: an account is left alone after a failure, twice as long after each further one, and up to 32 times.
func TestCooling(t *testing.T) {
	for n, times := range map[int]int{1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 6: 32, 7: 32, 20: 32} {
		w := still(t, 1)
		w.lacks(0, baselineGrants[0])
		w.policy.Mode = remedy.ModePlan
		w.turn()
		step := w.engine.Status().Plan.Steps[0]
		w.policy.Mode = remedy.ModeAuto
		for range n {
			w.ledger.entries = append(w.ledger.entries,
				remedy.Entry{Kind: remedy.KindIntent, Step: &step, Time: w.now.Add(-48 * time.Hour)},
				remedy.Entry{Kind: remedy.KindSent, Time: w.now.Add(-48 * time.Hour)}, remedy.Entry{Kind: remedy.KindOutcome, Outcome: remedy.OutcomeFailed, Time: w.now})
			for i := range 3 {
				e := &w.ledger.entries[len(w.ledger.entries)-3+i]
				e.Seq = int64(len(w.ledger.entries) - 2 + i)
				if i > 0 {
					e.Intent = int64(len(w.ledger.entries) - 2)
				}
				w.ledger.events = append(w.ledger.events, w.event())
			}
		}
		w.start()
		w.pause(time.Duration(times)*time.Hour - time.Minute - 15*time.Minute)
		w.turn()
		w.check(t, fmt.Sprintf("after %d failures, before the end", n), 0, false)
		if h := w.engine.Status().Plan.Held; len(h) != 1 || h[0].Reason != rules.HoldCooling {
			t.Errorf("held %+v", h)
		}
		w.turn()
		w.check(t, fmt.Sprintf("after %d failures, at the end", n), 1, false)
	}
}

// TestFlips: what somebody undoes again and again is left alone after the second time, until a person lifts that.
func TestFlips(t *testing.T) {
	w := still(t, 2)
	for range 4 {
		w.lacks(0, baselineGrants[0])
		w.turn()
	}
	w.check(t, "in an hour", 2, false)
	if q := w.engine.Status().Quarantined; len(q) != 1 || q[0].AccountID != "account-00" || q[0].Reason == "" {
		t.Fatalf("quarantined: %+v", q)
	}
	w.turn()
	if h := w.engine.Status().Plan.Held; len(h) != 1 || !strings.Contains(h[0].Detail, "lifts it after 2026-") {
		t.Errorf("held: %+v", h)
	}
	if err := w.engine.Release("account-00", "alice", "x"); err == nil || !strings.Contains(err.Error(), "2 times within a day") {
		t.Errorf("released, and quarantined again by the next run: %v", err)
	}
	w.start()
	w.pause(25 * time.Hour)
	w.turn()
	w.check(t, "a day later", 2, false)
	if err := w.engine.Release("account-01", "alice", "x"); err == nil {
		t.Error("what is not held is released")
	}
	w.note(w.engine.Release("account-00", "alice", "it was the old pipeline"))
	w.turn()
	w.check(t, "released", 3, false)
	if q := w.engine.Status().Quarantined; len(q) > 0 {
		t.Errorf("quarantined: %+v", q)
	}
}

// TestRefusedAgain: what is refused twice was undone by nobody. It is left alone for the day, and then tried again.
func TestRefusedAgain(t *testing.T) {
	w := still(t, 1)
	w.lacks(0, baselineGrants[0])
	w.fault = func(*rules.Step) string { return "refused" }
	for range 23 {
		w.turn()
		w.pause(45 * time.Minute)
	}
	w.check(t, "in a day", 2, false)
	if st := w.engine.Status(); len(st.Quarantined) > 0 || len(st.Plan.Held) != 1 || st.Plan.Held[0].Reason != rules.HoldCooling {
		t.Errorf("quarantined %v, held %v", st.Quarantined, st.Plan.Held)
	}
	w.fault = nil
	w.pause(10 * time.Hour)
	w.turn()
	w.check(t, "later", 3, false)
}

// TestGrace: what was away while nobody looked is not as old as it looks, and no clock makes it older.
func TestGrace(t *testing.T) {
	guest := at{rules.Global, "", "guest"}
	for name, tt := range map[string]struct {
		then     func(*world)
		requests int
	}{
		"seen for long enough": {func(w *world) { w.pause(2 * time.Hour) }, 1},
		"seen for too short":   {func(w *world) { w.pause(90 * time.Minute) }, 0},
		"gone in between": {func(w *world) {
			w.touch(w.cloud.members[0], guest, false)
			w.turn()
			w.touch(w.cloud.members[0], guest, true)
			w.pause(2 * time.Hour)
		}, 0},
		"gone while it was off": {func(w *world) {
			w.policy.Mode = remedy.ModeOff
			w.touch(w.cloud.members[0], guest, false)
			w.turn()
			w.touch(w.cloud.members[0], guest, true)
			w.pause(2 * time.Hour)
			w.policy.Mode = remedy.ModeAuto
		}, 0},
		"gone while nobody asked": {func(w *world) {
			w.touch(w.cloud.members[0], guest, false)
			w.pause(15 * time.Minute)
			w.audit()
			w.touch(w.cloud.members[0], guest, true)
			w.pause(2 * time.Hour)
		}, 0},
		"a restart": {func(w *world) { w.pause(2 * time.Hour); w.start() }, 0},
		"a new agency": {func(w *world) {
			w.recreate(w.cloud.members[0])
			w.touch(w.cloud.members[0], guest, true)
			w.pause(2 * time.Hour)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := still(t, 2)
			w.r = newRand(4)
			w.touch(w.cloud.members[0], guest, true)
			w.turn()
			tt.then(w)
			w.turn()
			w.check(t, "then", tt.requests, false)
		})
	}
	t.Run("a clock behind", func(t *testing.T) {
		w := still(t, 2)
		w.touch(w.cloud.members[0], guest, true)
		w.offset = -26 * time.Hour
		w.turn()
		w.offset = 0
		w.turn()
		w.check(t, "the clock is right", 0, false)
	})
	t.Run("a clock behind while it was read", func(t *testing.T) {
		w := still(t, 2)
		w.touch(w.cloud.members[0], guest, true)
		w.pause(15 * time.Minute)
		w.offset = -26 * time.Hour
		w.audit()
		w.offset = 0
		w.repair()
		w.turn()
		w.check(t, "the clock is right", 0, false)
	})
}

// TestWaiver: what is accepted is left alone, also if the clock was wrong when it was judged.
func TestWaiver(t *testing.T) {
	w := still(t, 1)
	w.lacks(0, baselineGrants[0])
	w.waivers = []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleMissing}, Added: w.now, Expires: w.now.Add(2 * time.Hour), Owner: "o", Reason: "r",
	}}
	w.turn()
	w.check(t, "accepted", 0, false)
	w.pause(15 * time.Minute)
	w.offset = -26 * time.Hour
	w.audit()
	w.offset = 0
	w.repair()
	w.check(t, "accepted, and judged by a clock before that", 0, false)
	w.pause(2 * time.Hour)
	w.turn()
	w.check(t, "accepted no longer", 1, false)
}

// TestWaiverBegins: a waiver that begins while a plan is carried out is kept from then on; what it is not about goes on.
func TestWaiverBegins(t *testing.T) {
	for policy, want := range map[string]int{"": 1, "ECS FullAccess": 3} {
		w := still(t, 3)
		for i := range 3 {
			w.lacks(i, baselineGrants[0])
		}
		v := rules.Waiver{
			ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleMissing}, Added: w.now.Add(40 * time.Minute),
			Expires: w.now.Add(4 * time.Hour), Owner: "o", Reason: "r",
		}
		if policy != "" {
			v.Policies = []string{policy}
		}
		w.waivers = []rules.Waiver{v}
		w.hook = func(*member) {
			if w.carrying && len(w.cloud.requests) == 1 && w.now.Before(v.Added) {
				w.pause(v.Added.Sub(w.now))
			}
		}
		w.turn()
		w.check(t, "it begins after the first request, about "+policy, want, false)
	}
}

// TestOwnWritesAreReadFirst: no plan rests on a reading from before the account's last change.
func TestOwnWritesAreReadFirst(t *testing.T) {
	w := still(t, 1)
	w.lacks(0, baselineGrants[0])
	w.turn()
	w.repair()
	p := w.engine.Plan(w.job(), "alice", nil)
	if len(p.Steps) > 0 || len(p.Held) != 1 || p.Held[0].Reason != rules.HoldPending {
		t.Errorf("%+v", p)
	}
	if n := len(w.intents); n != 1 {
		t.Errorf("%d intents", n)
	}
}

// TestStart: a process that starts closes what was never sent, and nothing else.
func TestStart(t *testing.T) {
	w := still(t, 1)
	w.lacks(0, baselineGrants[0])
	w.policy.Mode = remedy.ModePlan
	w.turn()
	step := w.engine.Status().Plan.Steps[0]
	st := remedy.NewState()
	st.Add(remedy.Entry{Seq: 1, Kind: remedy.KindIntent, Step: &step})
	st.Add(remedy.Entry{Seq: 2, Kind: remedy.KindIntent, Step: &step})
	st.Add(remedy.Entry{Seq: 3, Kind: remedy.KindSent, Intent: 2, Time: w.now})
	j := &plainJournal{}
	e := remedy.New(remedy.Options{Journal: j, State: st, Clock: clock{w}, Meter: meter{w}})
	if err := e.Start("v2"); err != nil {
		t.Fatal(err)
	}
	if len(j.entries) != 2 || j.entries[0].Kind != remedy.KindStarted || j.entries[1].Outcome != remedy.OutcomeNotSent || j.entries[1].Intent != 1 {
		t.Errorf("%+v", j.entries)
	}
	if s := e.Status(); len(s.Open) != 1 || s.Open[0].SentAt.IsZero() {
		t.Errorf("%+v", s)
	}
}

// plainJournal keeps entries and nothing else.
type plainJournal struct{ entries []remedy.Entry }

func (j *plainJournal) Err() error { return nil }

func (j *plainJournal) Append(e remedy.Entry) (remedy.Entry, error) {
	e.Seq = int64(len(j.entries) + 4)
	j.entries = append(j.entries, e)
	return e, nil
}

// TestBigPlan: a plan of a thousand steps can wait for approval, and one approval is of fewer.
func TestBigPlan(t *testing.T) {
	w := still(t, 300)
	w.policy.Mode = remedy.ModeApprove
	for i := range w.cloud.members {
		for _, g := range baselineGrants {
			w.lacks(i, g)
		}
	}
	w.turn()
	last := w.ledger.entries[len(w.ledger.entries)-1]
	line, err := json.Marshal(last)
	if err != nil || last.Kind != remedy.KindPlanned || last.Steps != 1200 || len(line) > 60<<10 {
		t.Errorf("%s of %d steps, %d bytes, %v", last.Kind, last.Steps, len(line), err)
	}
	p := w.engine.Status().Plan
	if _, err := w.engine.Approve(p, remedy.Consent{Actor: "bob"}); err == nil || !strings.Contains(err.Error(), "fewer accounts") {
		t.Error(err)
	}
}

var _ auditor.Applier = applier{}

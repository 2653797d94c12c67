package remedy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// hasNoEffect is that the cloud says of what is done in an account that it is done, and does nothing.
func (w *world) hasNoEffect(i int) {
	w.fault = func(s *rules.Step) string {
		return map[bool]string{true: "no effect"}[s.AccountID == w.cloud.members[i].account.ID]
	}
}

// TestSettledWhileOff: what became of a request is read and written down also when repair was turned off after it was sent.
func TestSettledWhileOff(t *testing.T) {
	w := still(t, 2)
	w.lacks(0, baselineGrants[0])
	w.hasNoEffect(0)
	w.turn()
	w.policy.Mode = remedy.ModeOff
	w.start()
	w.pause(50 * time.Minute)
	w.turn()
	if s := w.engine.Status(); len(s.Open) > 0 || len(s.Last) != 1 || s.Last[0].Outcome != remedy.OutcomeUnverified || s.Plan != nil {
		t.Errorf("open %+v, last %+v, plan %+v", s.Open, s.Last, s.Plan)
	}
	w.check(t, "in the end", 1, false)
}

// TestFlipsByHand: what somebody undoes again and again is quarantined also where no daemon runs.
func TestFlipsByHand(t *testing.T) {
	w := still(t, 2)
	for range 3 {
		w.lacks(0, baselineGrants[0])
		w.pause(15 * time.Minute)
		w.audit()
		p := w.engine.Plan(w.job(), "alice", nil)
		w.call("Apply", func() error { _, err := w.engine.Apply(t.Context(), w.job(), p, "alice"); return err })
	}
	if q := w.engine.Status().Quarantined; len(q) != 1 || q[0].AccountID != "account-00" {
		t.Errorf("quarantined: %+v", q)
	}
	w.pause(25 * time.Hour)
	w.turn()
	w.check(t, "a day later", 2, false)
}

// TestFlipsOfAnAgencyMadeAnew: who deletes the agency and makes it anew undoes what was granted as well, and is not fought.
func TestFlipsOfAnAgencyMadeAnew(t *testing.T) {
	w := still(t, 2)
	m := w.cloud.members[0]
	for range 4 {
		w.recreate(m)
		is := *m.now()
		is.held = nil
		m.become(&is, w.now)
		w.turn()
	}
	w.check(t, "four grants, twice each", 8, false)
	if q := w.engine.Status().Quarantined; len(q) == 0 {
		t.Error("nothing is quarantined")
	}
}

// TestAnAccountThatLeavesMeanwhile: a run may end while a plan is carried out, and know an account no more.
func TestAnAccountThatLeavesMeanwhile(t *testing.T) {
	w := still(t, 4)
	w.policy.Mode = remedy.ModePlan
	for i := range 3 {
		w.lacks(i, baselineGrants[0])
	}
	w.turn()
	w.policy.Mode = remedy.ModeAuto
	p := w.engine.Plan(w.job(), "alice", nil)
	job := w.job()
	less := *job.Snapshot
	less.Standings = slices.DeleteFunc(slices.Clone(less.Standings), func(st auditor.Standing) bool { return st.Account.ID == "account-02" })
	job.Latest = func() *auditor.Snapshot {
		if len(w.cloud.requests) > 0 {
			return &less
		}
		return job.Snapshot
	}
	var r *remedy.Result
	w.call("Apply", func() (err error) { r, err = w.engine.Apply(t.Context(), job, p, "alice"); return err })
	if r.Whole() || len(r.Done) != 3 || r.Done[2].Outcome != remedy.OutcomeNotSent || !strings.Contains(r.Done[2].Reason, "no longer audited") {
		t.Errorf("%+v", r)
	}
	w.check(t, "but for the one that left", 2, false)
}

package daemon

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/web"
	"github.com/agencyaudit/agencyaudit/rules"
)

// meter counts for the engine.
type meter struct{ *metrics.Metrics }

// Blocked is remedy.Meter.Blocked.
func (m meter) Blocked(why rules.Hold) { m.RepairHeld(why) }

// Stepped is remedy.Meter.Stepped.
func (m meter) Stepped(action rules.Action, outcome remedy.Outcome) {
	m.RepairStepped(action, string(outcome))
}

// AppendFailed is remedy.Meter.AppendFailed.
func (m meter) AppendFailed() { m.LedgerFailed() }

// tellRepair has metrics and pages show what repair is at.
func (d *Daemon) tellRepair() {
	d.repair.telling.Lock() // nobody shows an older status last
	defer d.repair.telling.Unlock()
	s := d.repair.engine.Status()
	cfg := d.current().config
	kill := ""
	if stopped := policyOf(cfg).Stopped; stopped != nil && s.Mode.Acts() {
		kill = stopped()
	}
	subjects := map[string]auditor.Subject{}
	if known := d.snapshot.Load(); known != nil {
		for i := range known.Standings {
			st := known.Standings[i].Subject
			subjects[st.Account.ID+st.Agency] = st
		}
	}
	d.metrics.SetRepair(d.measuredRepair(&s, kill != "", subjects))
	d.repair.shown.Store(shownRepair(&s, kill, cfg, subjects))
}

// subjectOf is what a step is about, as it is called now.
func subjectOf(s *rules.Step, known map[string]auditor.Subject) auditor.Subject {
	if is, ok := known[s.AccountID+s.Agency]; ok {
		return is
	}
	return auditor.Subject{Account: rules.Account{ID: s.AccountID, Name: s.Account}, Agency: s.Agency, Baseline: s.Baseline}
}

// measuredRepair is what the metrics say.
func (d *Daemon) measuredRepair(s *remedy.Status, killed bool, known map[string]auditor.Subject) metrics.Repair {
	m := metrics.Repair{
		Mode: cmp.Or(string(s.Mode), string(remedy.ModeOff)), Frozen: s.Frozen != nil || killed, Open: len(s.Open),
		Pending: s.Pending, Approvals: len(s.Waiting),
	}
	if s.Mode.Acts() {
		m.Budget = s.Remaining
	}
	for _, since := range s.Waiting {
		if m.Oldest.IsZero() || since.Before(m.Oldest) {
			m.Oldest = since
		}
	}
	for i := range s.Quarantined {
		is := subjectOf(&s.Quarantined[i].Step, known)
		if is.Account.ID == "" {
			is.Account.ID = s.Quarantined[i].AccountID
		}
		at := slices.IndexFunc(m.Quarantined, func(q metrics.Quarantined) bool { return q.Account.ID == is.Account.ID && q.Agency == is.Agency })
		if at < 0 {
			at = len(m.Quarantined)
			m.Quarantined = append(m.Quarantined, metrics.Quarantined{Account: is.Account, Agency: is.Agency})
		}
		m.Quarantined[at].Grants++
	}
	if d.repair.ledger.Load() != nil || s.Ledger != "" {
		m.Ledger = &metrics.Ledger{Entries: s.Entries, OK: s.Ledger == ""}
	}
	return m
}

// shownRepair is what the pages show.
func shownRepair(s *remedy.Status, kill string, cfg *Config, known map[string]auditor.Subject) *web.Repair {
	r := &web.Repair{Mode: cmp.Or(string(s.Mode), string(remedy.ModeOff))}
	switch {
	case s.Ledger != "":
		r.Frozen = &web.Freeze{By: "the ledger", Why: s.Ledger, Lift: "agencyaudit ledger verify, which says what to do"}
	case s.Frozen != nil:
		r.Frozen = &web.Freeze{Since: s.Frozen.Since, By: s.Frozen.By, Why: s.Frozen.Reason, Lift: "agencyaudit unfreeze --reason TEXT"}
	case kill != "":
		r.Frozen = &web.Freeze{By: "the kill switch", Why: kill, Lift: "rm " + cfg.FreezeFile()}
	}
	if p := s.Plan; p != nil {
		r.Held = p.Held
		if len(p.Steps) > 0 {
			_, waits := s.Waiting[p.Digest]
			r.Plan = &web.Plan{
				Digest: p.Digest, Run: p.Run, PlannedAt: p.CreatedAt, Waits: waits, Over: p.Over, Steps: p.Steps,
				Commands: []string{"agencyaudit plan", "agencyaudit approve " + p.Digest[:12]},
			}
		}
	}
	for i := range s.Open {
		o := &s.Open[i]
		at := o.Since
		if !o.SentAt.IsZero() {
			at = o.SentAt
		}
		r.Open = append(r.Open, web.Step{Step: o.Step, At: at, Pending: o.Claimed(), RequestID: o.RequestID})
	}
	for i := range s.Quarantined {
		q := &s.Quarantined[i]
		r.Quarantined = append(r.Quarantined, web.Quarantine{
			Subject: subjectOf(&q.Step, known), Grant: q.Step.Short(), Since: q.Since, Why: q.Reason,
			Lift: "agencyaudit unfreeze --account " + q.AccountID + " --reason TEXT",
		})
	}
	for i := len(s.Last) - 1; i >= 0; i-- {
		d := &s.Last[i]
		r.Last = append(r.Last, web.Step{Step: d.Step, At: d.EndedAt, Outcome: string(d.Outcome), Why: d.Reason, RequestID: d.RequestID})
	}
	return r
}

// pause waits, and says whether it did so to the end.
func (d *Daemon) pause(ctx context.Context, span time.Duration) bool {
	return wallClock{d.options.Now}.Sleep(ctx, span) == nil
}

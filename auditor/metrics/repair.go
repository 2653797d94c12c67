package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Repair is the state of repair at one instant.
type Repair struct {
	// Mode is off, plan, approve or auto.
	Mode string
	// Frozen says that nothing is changed until a person lifts that, or while the kill switch is there.
	Frozen bool
	// Open counts the steps of which it is not known what became of them, and Pending those of them that the cloud said it did and does
	// not show yet.
	Open, Pending int
	// Budget is in how many more accounts the next plan may do each action; nil when nothing is changed, or that is not known.
	Budget map[rules.Action]int
	// Quarantined are the agencies with grants that are left alone.
	Quarantined []Quarantined
	// Approvals counts the plans that wait for a person, the oldest since Oldest.
	Approvals int
	Oldest    time.Time
	// Ledger is nil when there is none.
	Ledger *Ledger
}

// Quarantined is an agency of an account with how many of its grants are left alone.
type Quarantined struct {
	Account rules.Account
	Agency  string
	Grants  int
}

// Ledger is the state of the ledger.
type Ledger struct {
	// Entries counts them. OK says that it can be relied on.
	Entries int64
	OK      bool
}

// The closed lists of label values of repair. Those of results are the outcomes of steps; package remedy is no business of this one.
var (
	repairModes   = []string{"off", "plan", "approve", "auto"}
	repairResults = []string{"done", "noop", "failed", "not_sent", "superseded", "unverified"}
)

// repairMetrics exports one Repair as it is, so that a scrape sees no half of another.
type repairMetrics struct {
	now atomic.Pointer[Repair]

	steps    *prometheus.CounterVec
	blocked  *prometheus.CounterVec
	unlogged prometheus.Counter

	mode, frozen, open, pending, budget, quarantined, approvals, oldest, entries, ok *prometheus.Desc
}

func (f family) repair() *repairMetrics {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
	}
	r := &repairMetrics{
		steps:    f.counters("remediation_steps_total", "Steps of repair that ended, by what became of them.", "action", "result"),
		blocked:  f.counters("remediation_blocked_total", "Steps that were not carried out, or not proposed, by the reason, in each run anew.", "reason"),
		unlogged: f.counter("ledger_append_errors_total", "Entries that could not be written to the ledger."),

		mode:    desc("remediation_mode", "The mode of repair: one of the series is 1.", "mode"),
		frozen:  desc("remediation_frozen", "Whether nothing is changed until a person lifts that, or while the kill switch is there."),
		open:    desc("remediation_open_intents", "Steps of which it is not known what became of them."),
		pending: desc("remediation_pending_verification", "Steps that the cloud said it did and does not show yet."),
		budget:  desc("remediation_budget_remaining", "In how many more accounts the next plan may do it; absent when nothing is changed.", "action"),
		quarantined: desc("remediation_quarantined", "How many grants of the agency are left alone until a person lifts that; absent when none is.",
			"account", "account_id", "agency"),
		approvals: desc("remediation_approvals_waiting", "Plans that wait for a person."),
		oldest:    desc("remediation_oldest_approval_timestamp_seconds", "Since when the oldest of them waits; absent when none does."),
		entries:   desc("ledger_entries", "Entries of the ledger; absent without one."),
		ok:        desc("ledger_ok", "Whether the ledger can be relied on; absent without one."),
	}
	for _, action := range rules.Actions() {
		for _, result := range repairResults {
			r.steps.WithLabelValues(string(action), result)
		}
	}
	for _, h := range rules.Holds() {
		r.blocked.WithLabelValues(string(h))
	}
	r.now.Store(&Repair{Mode: repairModes[0]})
	f.r.MustRegister(r)
	return r
}

// Describe implements prometheus.Collector.
func (r *repairMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		r.mode, r.frozen, r.open, r.pending, r.budget, r.quarantined, r.approvals, r.oldest, r.entries, r.ok,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (r *repairMetrics) Collect(to chan<- prometheus.Metric) {
	now := r.now.Load()
	say := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	for _, m := range repairModes {
		say(r.mode, oneIf(m == now.Mode), m)
	}
	say(r.frozen, oneIf(now.Frozen))
	say(r.open, float64(now.Open))
	say(r.pending, float64(now.Pending))
	for _, a := range rules.Actions() {
		if left, known := now.Budget[a]; known {
			say(r.budget, float64(left), string(a))
		}
	}
	grants := map[[3]string]int{} // of one agency, be it named more than once
	for i := range now.Quarantined {
		q := &now.Quarantined[i]
		grants[[3]string{label(q.Account.Name), label(q.Account.ID), label(q.Agency)}] += q.Grants
	}
	for l, n := range grants {
		say(r.quarantined, float64(n), l[0], l[1], l[2])
	}
	say(r.approvals, float64(now.Approvals))
	if now.Approvals > 0 && !now.Oldest.IsZero() {
		say(r.oldest, seconds(now.Oldest))
	}
	if now.Ledger != nil {
		say(r.entries, float64(now.Ledger.Entries))
		say(r.ok, oneIf(now.Ledger.OK))
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// SetRepair is told the state of repair, all of which replaces what was said before. The caller changes nothing of it afterwards.
func (m *Metrics) SetRepair(r Repair) { m.repair.now.Store(&r) }

// RepairStepped counts a step of repair that ended, by what became of it.
func (m *Metrics) RepairStepped(action rules.Action, outcome string) {
	m.repair.steps.WithLabelValues(oneOf(actionNames(), string(action)), oneOf(repairResults, outcome)).Inc()
}

// RepairHeld counts a step that was not carried out, or not proposed.
func (m *Metrics) RepairHeld(why rules.Hold) {
	m.repair.blocked.WithLabelValues(oneOf(holdNames(), string(why))).Inc()
}

// LedgerFailed counts an entry that could not be written to the ledger.
func (m *Metrics) LedgerFailed() { m.repair.unlogged.Inc() }

func actionNames() []string { return names(rules.Actions()) }

func holdNames() []string { return names(rules.Holds()) }

func names[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, v := range list {
		all[i] = string(v)
	}
	return all
}

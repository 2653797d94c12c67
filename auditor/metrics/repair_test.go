package metrics

import (
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// repairOf is a state of repair in which every metric of it says something.
func repairOf(a rules.Account) Repair {
	return Repair{
		Mode: "approve", Frozen: true, Open: 2, Pending: 1, Budget: map[rules.Action]int{rules.ActionGrant: 4, rules.ActionRevoke: 0},
		Quarantined: []Quarantined{{a, "ServiceAgencyForCOC", 1}, {a, "ServiceAgencyForCOC", 2}}, Approvals: 1, Oldest: noon,
		Ledger: &Ledger{Entries: 42, OK: true},
	}
}

// repairLines are the series of repair, but for the counters that are 0.
func repairLines(t *testing.T, m *Metrics) map[string]string {
	t.Helper()
	_, text := scrape(t, m)
	lines := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		name, value, ok := strings.Cut(line, "} ")
		if !ok {
			name, value, _ = strings.Cut(line, " ")
		} else {
			name += "}"
		}
		name, ours := strings.CutPrefix(name, "agencyaudit_")
		if ours && (strings.HasPrefix(name, "remediation_") || strings.HasPrefix(name, "ledger_")) && !(strings.Contains(name, "_total") && value == "0") {
			lines[name] = value
		}
	}
	return lines
}

func sameLines(t *testing.T, got, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got[name] != value {
			t.Errorf("%s is %q, want %q", name, got[name], value)
		}
	}
	for name, value := range got {
		if _, wanted := want[name]; !wanted {
			t.Errorf("%s is there: %s", name, value)
		}
	}
}

// TestRepairBeforeAnybodySaysAnything: it is off, and what makes no sense then is absent.
func TestRepairBeforeAnybodySaysAnything(t *testing.T) {
	m, _ := open(t)
	want := map[string]string{
		`remediation_mode{mode="off"}`: "1", `remediation_mode{mode="plan"}`: "0", `remediation_mode{mode="approve"}`: "0",
		`remediation_mode{mode="auto"}`: "0", "remediation_frozen": "0", "remediation_open_intents": "0", "remediation_pending_verification": "0",
		"remediation_approvals_waiting": "0",
	}
	sameLines(t, repairLines(t, m), want)
	m.SetRepair(repairOf(account(1)))
	m.SetRepair(Repair{Mode: "off"}) // all of what was said is replaced
	sameLines(t, repairLines(t, m), want)
}

func TestRepair(t *testing.T) {
	m, _ := open(t)
	a := account(1)
	m.SetRepair(repairOf(a))
	m.RepairStepped(rules.ActionGrant, "done")
	m.RepairStepped(rules.ActionGrant, "done")
	m.RepairStepped("delete", "lost")
	m.RepairHeld(rules.HoldBudget)
	m.RepairHeld("because")
	m.LedgerFailed()
	m.Panicked("write")
	sameLines(t, repairLines(t, m), map[string]string{
		`remediation_mode{mode="off"}`: "0", `remediation_mode{mode="plan"}`: "0", `remediation_mode{mode="approve"}`: "1",
		`remediation_mode{mode="auto"}`: "0", "remediation_frozen": "1", "remediation_open_intents": "2", "remediation_pending_verification": "1",
		"remediation_approvals_waiting": "1", "remediation_oldest_approval_timestamp_seconds": "1.7723664e+09",
		`remediation_budget_remaining{action="grant"}`: "4", `remediation_budget_remaining{action="revoke"}`: "0",
		`remediation_quarantined{account="` + a.Name + `",account_id="` + a.ID + `",agency="ServiceAgencyForCOC"}`: "3",
		"ledger_entries": "42", "ledger_ok": "1", "ledger_append_errors_total": "1",
		`remediation_steps_total{action="grant",result="done"}`: "2", `remediation_steps_total{action="other",result="other"}`: "1",
		`remediation_blocked_total{reason="budget"}`: "1", `remediation_blocked_total{reason="other"}`: "1",
	})
	m.SetRepair(Repair{Mode: "auto", Ledger: &Ledger{}})
	if got := repairLines(t, m); got["ledger_ok"] != "0" || got[`remediation_mode{mode="auto"}`] != "1" || got["remediation_frozen"] != "0" {
		t.Errorf("%v", got)
	}
}

// TestRepairCountsFromZero for every value that is known beforehand.
func TestRepairCountsFromZero(t *testing.T) {
	m, _ := open(t)
	_, text := scrape(t, m)
	has := func(line string) {
		if !strings.Contains(string(text), "\nagencyaudit_"+line+" 0\n") {
			t.Errorf("%s does not begin at 0", line)
		}
	}
	for _, a := range rules.Actions() {
		for _, r := range repairResults {
			has(`remediation_steps_total{action="` + string(a) + `",result="` + r + `"}`)
		}
	}
	for _, h := range rules.Holds() {
		has(`remediation_blocked_total{reason="` + string(h) + `"}`)
	}
	has("ledger_append_errors_total")
	has(`panics_total{where="write"}`)
}

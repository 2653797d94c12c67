package auditor

import (
	"log/slog"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Listing is what an inventory knows of the accounts. An id is in one of Accounts, Vanished, Excluded and Gone, once.
type Listing struct {
	// Accounts are those to audit.
	Accounts []rules.Account
	// Vanished are accounts that were listed before, and that a list which is whole no longer has: unknown, and not read.
	Vanished []Absence
	// Gone are accounts that are no longer expected from now on: vanished for long enough, or of another organization.
	Gone []rules.Account
	// Excluded are accounts that are left alone on purpose.
	Excluded []Exclusion
	// Gaps say which source could not be listed whole. The accounts known before from that source are still in Accounts.
	Gaps []rules.Unknown
	// Notes say in words what is odd, such as an entry of the configuration that fits no account.
	Notes []string
	// TagKeys are the keys of tags that the configuration chose for labels; Accounts have no other tags.
	TagKeys []string
}

// Absence is an account that the inventory no longer has.
type Absence struct {
	Account rules.Account
	// Detail says who no longer lists it, and since when.
	Detail string
}

// Exclusion is an account that is left alone on purpose.
type Exclusion struct {
	Account rules.Account   `json:"account"`
	Reason  ExclusionReason `json:"reason"`
	// Detail says in words why.
	Detail string `json:"detail"`
}

// ExclusionReason says why an account is left alone. The list is closed and its values are values of a metric label.
type ExclusionReason string

// The reasons for which accounts are left alone.
const (
	ExcludedSuspended  ExclusionReason = "suspended"       // the organization suspended it
	ExcludedClosing    ExclusionReason = "pending_closure" // it is being closed
	ExcludedStatus     ExclusionReason = "status_unknown"  // the organization gives it a status that this program does not know
	ExcludedConfigured ExclusionReason = "configured"      // the configuration says so
)

// ExclusionReasons returns the closed list of reasons.
func ExclusionReasons() []ExclusionReason {
	return []ExclusionReason{ExcludedSuspended, ExcludedClosing, ExcludedStatus, ExcludedConfigured}
}

// Words says the reason in words.
func (r ExclusionReason) Words() string {
	switch r {
	case ExcludedSuspended:
		return "suspended by the organization"
	case ExcludedClosing:
		return "being closed"
	case ExcludedStatus:
		return "of a status that this program does not know"
	case ExcludedConfigured:
		return "left out by the configuration"
	}
	return string(r)
}

// CountExcluded counts exclusions by reason; every reason is a key.
func CountExcluded(list []Exclusion) map[ExclusionReason]int {
	counts := make(map[ExclusionReason]int, len(ExclusionReasons()))
	for _, r := range ExclusionReasons() {
		counts[r] = 0
	}
	for i := range list {
		counts[list[i].Reason]++
	}
	return counts
}

// take takes over what a run tells of the list of accounts.
func (r *Run) take(l Listing) {
	r.Excluded, r.Gone, r.Gaps, r.Notes, r.TagKeys = l.Excluded, l.Gone, l.Gaps, l.Notes, l.TagKeys
}

const vanishedRemedy = "if it was closed or left the organization, nothing: it ends by itself; if not, see who moved it"

// vanished are the sweeps of accounts that are not read, since the inventory no longer has them.
func (a *Auditor) vanished(log *slog.Logger, list []Absence) []job {
	jobs := make([]job, 0, len(list)*len(a.Baselines))
	for i := range list {
		now := a.Now().UTC()
		why := &rules.Unknown{Reason: rules.ReasonVanished, Detail: list[i].Detail, Remedy: vanishedRemedy}
		log.Warn("account vanished", "account", list[i].Account.Name, "account_id", list[i].Account.ID, "detail", why.Detail)
		for b := range a.Baselines {
			jobs = append(jobs, job{
				account: list[i].Account, baseline: &a.Baselines[b], why: why, sweep: Sweep{StartedAt: now, EndedAt: now},
			})
		}
	}
	return jobs
}

// left tells which accounts that were expected so far are left alone from now on: their series end, and with them their alerts.
func (a *Auditor) left(log *slog.Logger, list []Exclusion) {
	if a.Before == nil || a.Restricted {
		return
	}
	expected := make(map[string]bool, len(a.Before.Standings))
	for i := range a.Before.Standings {
		expected[a.Before.Standings[i].Account.ID] = true
	}
	for i := range list {
		if e := &list[i]; expected[e.Account.ID] {
			log.Warn("account left out: it is not audited from now on, and its series end", "account", e.Account.Name,
				"account_id", e.Account.ID, "reason", e.Reason, "detail", e.Detail)
		}
	}
}

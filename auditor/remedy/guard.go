package remedy

import (
	"cmp"
	"fmt"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// MaxSkew is how far this machine's clock and the cloud's may differ: signatures end to be accepted soon after, and every span of time
// that a limit is about is then in doubt.
const MaxSkew = 10 * time.Minute

// Limits bound what repair may do. All are held against a whole plan before its first write.
type Limits struct {
	// GrantAccounts and RevokeAccounts are in how many accounts one plan may grant, and revoke.
	GrantAccounts, RevokeAccounts int
	// FleetPercent is in how many of a hundred accounts something may be written within a day, rounded down, but in one at least.
	FleetPercent int
	// PolicyWrites is how often one policy may be granted or revoked within a day, and as often again to take that back.
	PolicyWrites int
}

// accounts is in how many accounts of a fleet something may be written within a day.
func (l Limits) accounts(fleet int) int { return max(1, fleet*l.FleetPercent/100) }

// exceeds says which limit a plan exceeds, given what was done within the last day; empty when it exceeds none.
func (l Limits) exceeds(p *Plan, s *State, fleet int, now time.Time) string {
	if len(p.Steps) == 0 {
		return ""
	}
	return cmp.Or(l.exceedsRun(p, s), l.exceedsDay(p.Steps, s, fleet, now))
}

// exceedsRun says which limit of a run a plan exceeds, given what was done on the evidence of that run.
func (l Limits) exceedsRun(p *Plan, s *State) string {
	// What was written already on the evidence of one run counts with the next plan that rests on it.
	run := map[rules.Action]map[string]bool{rules.ActionGrant: {}, rules.ActionRevoke: {}}
	for _, w := range s.writes {
		if w.run == p.Run {
			run[kind(w.action, w.undoes)][w.account] = true
		}
	}
	for i := range p.Steps {
		step := &p.Steps[i]
		run[kind(step.Action, step.Undoes > 0)][step.AccountID] = true
	}
	if n := len(run[rules.ActionGrant]); n > l.GrantAccounts {
		return fmt.Sprintf("with the plan the run would grant in %d accounts, and limits.grant_accounts_per_run is %d", n, l.GrantAccounts)
	}
	if n := len(run[rules.ActionRevoke]); n > l.RevokeAccounts {
		return fmt.Sprintf("with the plan the run would revoke in %d accounts, and limits.revoke_accounts_per_run is %d", n, l.RevokeAccounts)
	}
	return ""
}

// exceedsDay says which limit of a day steps exceed, given what was done within the last day.
func (l Limits) exceedsDay(steps []rules.Step, s *State, fleet int, now time.Time) string {
	// What takes something back is counted apart from what did it: else nothing could be taken back of what was as much as may be.
	type counted struct {
		policy string
		undoes bool
	}
	accounts, policies := map[string]bool{}, map[counted]int{}
	s.within(now, func(w *write) {
		accounts[w.account] = true
		policies[counted{w.policy, w.undoes}]++
	})
	for i := range steps {
		step := &steps[i]
		accounts[step.AccountID] = true
		c := counted{step.Grant.Policy.ID, step.Undoes > 0}
		policies[c]++
		if n := policies[c]; n > l.PolicyWrites {
			return fmt.Sprintf("with the plan %s would be written more than %d times within a day, which limits.policy_writes_per_day allows",
				nameOf(step.Grant.Policy), l.PolicyWrites)
		}
	}
	if most := l.accounts(fleet); len(accounts) > most {
		return fmt.Sprintf("with the plan something would be written in %d accounts within a day; limits.fleet_percent_per_day is %d, "+
			"which is %d of %d accounts", len(accounts), l.FleetPercent, most, fleet)
	}
	return ""
}

// remaining is in how many accounts more something of a kind may be done now.
func (l Limits) remaining(action rules.Action, s *State, fleet int, now time.Time) int {
	accounts := map[string]bool{}
	s.within(now, func(w *write) { accounts[w.account] = true })
	most := l.GrantAccounts
	if action == rules.ActionRevoke {
		most = l.RevokeAccounts
	}
	return max(0, min(most, l.accounts(fleet)-len(accounts)))
}

func nameOf(p rules.Policy) string {
	if p.Name == "" {
		return p.ID
	}
	return p.Name
}

// tooDark says that so much of the fleet is not known that what is known may not be trusted either: a source of accounts was not listed
// whole, only some were read, or more than a tenth of the accounts, two at least, are unknown.
func tooDark(s *auditor.Snapshot, now time.Time) string {
	run := s.Run
	switch {
	case run == nil:
		return "no run was made yet"
	case run.Restricted:
		return "the run read chosen accounts alone"
	case len(run.Gaps) > 0 || len(s.Gaps) > 0:
		return "a source of accounts could not be listed whole"
	}
	if n, all := s.Count(now)[rules.StateUnknown], len(s.Standings); n > 1 && n*10 > all {
		return fmt.Sprintf("%d of %d accounts are unknown", n, all)
	}
	return ""
}

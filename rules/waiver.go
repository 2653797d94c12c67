package rules

import (
	"cmp"
	"slices"
	"time"
)

// Waiver is a written statement that certain findings are accepted until an instant. What it covers is still found, recorded
// and shown; it no longer makes an account drifted.
type Waiver struct {
	// ID is the waiver's own name.
	ID string `json:"id"`
	// Selector chooses the accounts.
	Selector Selector `json:"selector"`
	// Baselines are names of baselines; none is every baseline.
	Baselines []string `json:"baselines,omitempty"`
	// Rules are ids of rules. There is at least one: whatever else turns up in an account later on was not accepted with it.
	Rules []string `json:"rules"`
	// Policies are ids of policies, or display names of system-defined ones; none is every policy, and no policy. A custom
	// policy is known by its id alone, since an account can call its own policies as it likes.
	Policies []string `json:"policies,omitempty"`
	// Scopes are kinds of scope; none is every kind.
	Scopes []ScopeKind `json:"scopes,omitempty"`
	// Trusts are ids of the accounts that an agency may trust although it should trust another one. They restrict RuleTrustMismatch and
	// no other rule; none is nobody: that the agency trusts somebody else again, be it an intruder, was not accepted with it.
	Trusts []string `json:"trusts,omitempty"`
	// Added is when it was accepted, Expires the instant from which on it is not any more.
	Added   time.Time `json:"added"`
	Expires time.Time `json:"expires"`
	// WarnAt is when it begins to be spoken of, since it ends soon.
	WarnAt time.Time `json:"warn_at"`
	// Owner answers for it, Reason says why, Ticket where that was decided; there may be no ticket.
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
	Ticket string `json:"ticket,omitempty"`
}

// Acceptance is a waiver as a finding bears it.
type Acceptance struct {
	// Waiver is the waiver's id.
	Waiver  string    `json:"waiver"`
	Expires time.Time `json:"expires"`
	Owner   string    `json:"owner"`
	Reason  string    `json:"reason"`
	Ticket  string    `json:"ticket,omitempty"`
}

// Holds says whether the waiver is in force at an instant.
func (w *Waiver) Holds(now time.Time) bool { return !now.Before(w.Added) && now.Before(w.Expires) }

// Covers says whether the waiver is about a finding of an account, whether it is in force or not. It is the one place that
// decides so.
func (w *Waiver) Covers(account Account, baseline string, f *Finding) bool {
	return slices.Contains(w.Rules, f.Rule) &&
		(len(w.Baselines) == 0 || slices.Contains(w.Baselines, baseline)) &&
		(len(w.Scopes) == 0 || slices.Contains(w.Scopes, f.Scope)) &&
		(len(w.Policies) == 0 || slices.ContainsFunc(w.Policies, f.isAbout)) &&
		(f.Rule != RuleTrustMismatch || f.Trusts != "" && slices.Contains(w.Trusts, f.Trusts)) &&
		w.Selector.Selects(account)
}

// ScopesOf are the kinds of scope that findings of a rule can be about, by baselines that can be loaded; none where they are about the
// agency and no grant. A waiver that names another one accepts nothing of the rule.
func ScopesOf(rule string) []ScopeKind {
	switch rule {
	case RuleMissing, RuleUnresolvable: // what can be required
		return []ScopeKind{Global, AllResources, Project}
	case RuleNarrower, RuleWider: // the required one and the held one, of which there is a part
		return []ScopeKind{AllResources}
	case RuleRedundant:
		return []ScopeKind{Global, AllResources, Project, EnterpriseProject}
	case RuleExcess, RuleImpostor:
		return Planes()
	}
	return nil
}

// isAbout says whether a finding is about the policy that a text names: by its id or, if the vendor defined it, by its name.
func (f *Finding) isAbout(policy string) bool {
	if f.PolicyID != "" && f.PolicyID == policy {
		return true
	}
	return f.Policy == policy && !slices.ContainsFunc(f.Grants, func(g Grant) bool { return g.Policy.Origin != System })
}

// Accept marks the findings of a report that a waiver in force covers, and no others; of several waivers the one counts that
// ends last. An account is then drifted only if a finding that makes it so is left, and waived if none is.
func Accept(r *Report, waivers []Waiver, now time.Time) {
	r.Findings = Accepted(r.Account, r.Baseline, r.Findings, waivers, now)
	r.State = r.StateAt(now)
}

// Accepted are findings of an account with the marks that Accept makes. The slice that was given is not changed.
func Accepted(account Account, baseline string, findings []Finding, waivers []Waiver, now time.Time) []Finding {
	marked := findings
	for i := range findings {
		by := acceptance(account, baseline, &findings[i], waivers, now)
		if by == nil && findings[i].Waived == nil {
			continue
		}
		if &marked[0] == &findings[0] {
			marked = slices.Clone(findings)
		}
		marked[i].Waived = by
	}
	return marked
}

func acceptance(account Account, baseline string, f *Finding, waivers []Waiver, now time.Time) *Acceptance {
	var best *Waiver
	for i := range waivers {
		w := &waivers[i]
		if !w.Holds(now) || !w.Covers(account, baseline, f) {
			continue
		}
		if best == nil || cmp.Or(w.Expires.Compare(best.Expires), cmp.Compare(best.ID, w.ID)) > 0 {
			best = w
		}
	}
	if best == nil {
		return nil
	}
	return &Acceptance{Waiver: best.ID, Expires: best.Expires, Owner: best.Owner, Reason: best.Reason, Ticket: best.Ticket}
}

// WaivedAt says whether the finding is accepted at an instant.
func (f *Finding) WaivedAt(now time.Time) bool {
	return f.Waived != nil && now.Before(f.Waived.Expires)
}

// StateAt is the report's state at an instant after it was made: when a waiver ends, the account is drifted again.
func (r *Report) StateAt(now time.Time) State {
	if r.State != StateDrifted && r.State != StateWaived {
		return r.State
	}
	state := r.State
	for i := range r.Findings {
		switch f := &r.Findings[i]; {
		case !f.Severity.Drift():
		case !f.WaivedAt(now):
			return StateDrifted
		default:
			state = StateWaived
		}
	}
	return state
}

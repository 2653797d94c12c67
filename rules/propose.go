package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Repairs says which repairs may be proposed. The zero value is none.
type Repairs struct {
	// Grant says that what is missing may be granted.
	Grant bool
	// Revoke says what may be revoked; nil is nothing.
	Revoke *Revocation
}

// Revocation says which excess grants may be revoked, and when.
type Revocation struct {
	// Policies are ids of policies, or display names of system-defined ones. A custom policy is known by its id alone, since an account
	// can call its own policies as it likes.
	Policies []string
	// Grace is how long before the evidence that a step rests on other evidence must have shown the grant, without any between
	// them that did not.
	Grace time.Duration
}

// lists says whether the policy may be revoked.
func (r *Revocation) lists(p Policy) bool {
	return slices.Contains(r.Policies, p.ID) || p.Origin == System && p.Name != "" && slices.Contains(r.Policies, p.Name)
}

// Case is one agency of one account with everything that Propose looks at.
type Case struct {
	Baseline *Baseline
	// Report is the verdict of the last run, with its findings accepted or not, and Planes what it rests on.
	Report *Report
	Planes []Plane
	// ReadAt is when the reading began, and Replayed says that it is not of the last run but recorded.
	ReadAt   time.Time
	Replayed bool
	// Since is when the reading began that first showed an excess grant, with no evidence since that did not; zero when that is not
	// known. A finding may be older than a grant of it.
	Since func(Grant) time.Time
}

// neverGranted are the policies that are granted by no plan, whatever a baseline says: each gives its holder the account, or the
// means to get it.
var neverGranted = [...]string{"Security Administrator", "Tenant Administrator", "FullAccess", "Agent Operator"}

// NeverGranted says whether a policy is one that no plan grants, by its display name in any letter case.
func NeverGranted(policy string) bool {
	return slices.ContainsFunc(neverGranted[:], func(n string) bool { return strings.EqualFold(n, strings.TrimSpace(policy)) })
}

// Propose returns the steps that would put an agency right, in order, and what of it stays as it is, with the reason. It decides by
// its arguments alone; what depends on anything else, such as limits and approval, is decided when steps are carried out.
//
// A step is proposed for a required grant that is missing or held too narrowly, at the scope that the baseline names, and for an excess
// grant that may be revoked. Nothing is proposed for an account that is unknown, or whose agency is absent.
func Propose(c Case, may Repairs, now time.Time) (steps []Step, held []Held) {
	r := c.Report
	if r.State == StateUnknown || r.Agency == nil {
		return nil, nil
	}
	p := &proposal{Case: c, may: may, now: now, holding: HoldingOf(r.Agency, c.Planes).Digest()}
	for i := range r.Findings {
		f := &r.Findings[i]
		switch f.Rule {
		case RuleMissing, RuleNarrower:
			p.grant(f)
		case RuleExcess, RuleImpostor:
			p.revoke(f)
		case RuleTrustMismatch, RuleAbsent, RuleExpired, RuleExpiring, RuleUnresolvable, RuleWider, RuleRedundant:
			// These are for people: consent, and what somebody may rely on.
		}
	}
	slices.SortFunc(p.steps, func(a, b Step) int { return CompareSteps(&a, &b) })
	return p.steps, p.held
}

// proposal is a Case while it is decided.
type proposal struct {
	Case
	may     Repairs
	now     time.Time
	holding string
	steps   []Step
	held    []Held
}

// stays says why nothing in the account is changed, whatever it is; empty when something may be.
func (p *proposal) stays(f *Finding) (Hold, string) {
	has := func(rule string) bool {
		return slices.ContainsFunc(p.Report.Findings, func(f Finding) bool { return f.Rule == rule })
	}
	ends := p.Report.Agency.ExpiresAt
	switch {
	case p.Replayed:
		return HoldReplayed, "a run has to read the account first"
	case f.WaivedAt(p.now):
		return HoldWaived, fmt.Sprintf("the waiver %s accepts it until %s", f.Waived.Waiver, f.Waived.Expires.UTC().Format(time.RFC3339))
	case has(RuleTrustMismatch):
		// Whether it is accepted or not: a grant would be given to whoever it is that the agency trusts.
		return HoldTrust, "see to the finding about its trust first"
	case has(RuleExpired) || !ends.IsZero() && !ends.After(p.now):
		return HoldExpired, "extend its validity period first"
	}
	return "", ""
}

func (p *proposal) hold(action Action, f *Finding, policyID string, why Hold, detail string) {
	p.held = append(p.held, Held{
		AccountID: p.Report.Account.ID, Account: p.Report.Account.Name, Agency: p.Report.AgencyName, Baseline: p.Report.Baseline,
		Action: action, Policy: f.Policy, PolicyID: policyID, Scope: f.Scope, Reason: why, Detail: detail,
	})
}

func (p *proposal) step(action Action, f *Finding, g Grant, affects []string) {
	p.steps = append(p.steps, Step{
		Action: action, AccountID: p.Report.Account.ID, Account: p.Report.Account.Name, AgencyID: p.Report.Agency.ID,
		Agency: p.Report.AgencyName, Baseline: p.Report.Baseline, Grant: g, Rule: f.Rule, Affects: affects, Holding: p.holding,
	})
}

// grant proposes what puts a missing or too narrow grant right.
func (p *proposal) grant(f *Finding) {
	why, detail := p.stays(f)
	id := ""
	i := p.Baseline.requirement(f.Policy, f.Scope)
	var req Requirement
	if i >= 0 {
		req = p.Baseline.Required[i]
	}
	switch {
	case why != "":
	case !p.may.Grant:
		why, detail = HoldOff, "remediation.missing is not enabled"
	case i < 0:
		why, detail = HoldUnclear, "the baseline does not require it"
	case NeverGranted(req.Policy):
		why, detail = HoldDenied, "grant it by hand if it is really meant"
	case req.Scope != Global && req.Scope != AllResources:
		why, detail = HoldUnclear, "which project is meant is for a person to say"
	default:
		id, why, detail = p.policyID(req)
	}
	if why != "" {
		p.hold(ActionGrant, f, id, why, detail)
		return
	}
	g := Grant{Policy: Policy{ID: id, Name: req.Policy, Origin: System}, Scope: Scope{Kind: req.Scope}}
	affects := append(p.Baseline.uses(req, "can"), fmt.Sprintf("%s may use %s at %s from then on.",
		p.Report.Agency.trusted(), req.Policy, req.Scope.Label()))
	p.step(ActionGrant, f, g, affects)
}

// policyID is the one id of a required policy, by its own name.
func (p *proposal) policyID(req Requirement) (id string, why Hold, detail string) {
	for _, c := range p.Report.Required {
		if c.Policy != req.Policy || c.Scope != req.Scope {
			continue
		}
		switch {
		case len(c.PolicyIDs) == 1 && len(req.Accepts) == 0:
			return c.PolicyIDs[0], "", ""
		case len(c.PolicyIDs) == 0:
			return "", HoldUnready, "the site's catalogue does not have the policy"
		default:
			return "", HoldAmbiguous, fmt.Sprintf("%d policies answer to %s: %s; grant the right one by hand",
				len(c.PolicyIDs), strings.Join(req.names(), " or "), strings.Join(c.PolicyIDs, ", "))
		}
	}
	return "", HoldUnready, "nothing is known of the policy"
}

// revoke proposes to take away what the baseline does not have, grant by grant.
func (p *proposal) revoke(f *Finding) {
	why, detail := p.stays(f)
	policy := Policy{ID: f.PolicyID, Name: f.Policy}
	if len(f.Grants) > 0 {
		policy = f.Grants[0].Policy
	}
	switch may := p.may.Revoke; {
	case why != "":
	case may == nil:
		why, detail = HoldOff, "remediation.excess is not enabled"
	case policy.Origin != Custom && p.Baseline.names(policy.Name) || p.requires(policy.ID):
		why, detail = HoldRequired, "look at what relies on it, and take it away by hand"
	case !may.lists(policy):
		why, detail = HoldNotListed, "add it to remediation.excess.policies if it may be taken away"
		if policy.Origin != System {
			detail += ", by its id, since it is no system-defined policy"
		}
	}
	if why != "" {
		p.hold(ActionRevoke, f, f.PolicyID, why, detail)
		return
	}
	for _, g := range f.Grants {
		if detail, ok := p.lasted(g); !ok {
			p.hold(ActionRevoke, f, f.PolicyID, HoldGrace, detail)
			continue
		}
		p.step(ActionRevoke, f, g, []string{
			fmt.Sprintf("%s may no longer use %s at %s.", p.Report.Agency.trusted(), policyWords(policy.Name, policy.ID), g.Scope),
			fmt.Sprintf("What relies on that fails from then on: changing the permissions of an agency may affect functions of %s.", p.Baseline.Service),
		})
	}
}

// lasted says whether a grant has been seen for as long as it must have been, or what is lacking.
func (p *proposal) lasted(g Grant) (detail string, ok bool) {
	grace := p.may.Revoke.Grace
	// A clock that was ahead while it was read makes nothing older.
	readAt := p.ReadAt
	if readAt.After(p.now) {
		readAt = p.now
	}
	since := time.Time{}
	if p.Since != nil {
		since = p.Since(g)
	}
	switch {
	case since.IsZero():
		return fmt.Sprintf("its grant at %s must have been seen for %s", g.Scope, Span(grace)), false
	case readAt.Sub(since) < grace:
		return fmt.Sprintf("its grant at %s must have been seen for %s, which is so from %s on", g.Scope, Span(grace),
			since.Add(grace).UTC().Format(time.RFC3339)), false
	}
	return "", true
}

// requires says whether a policy is one by which the baseline is satisfied on this site.
func (p *proposal) requires(policyID string) bool {
	return slices.ContainsFunc(p.Report.Required, func(c Covered) bool { return slices.Contains(c.PolicyIDs, policyID) })
}

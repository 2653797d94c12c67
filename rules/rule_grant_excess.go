package rules

import "fmt"

// ruleExcess finds grants that the baseline does not have. Its severity follows the grant's risk.
var ruleExcess = Rule{
	ID: RuleExcess, Severity: Warning, Title: "A policy is granted that the baseline does not have",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, g := range group(j.excess) {
			p := g[0].Policy
			f := Finding{Policy: p.Name, PolicyID: p.ID, Scope: g[0].Scope.Kind, Risk: j.baseline.Risks.Of(p), Grants: g}
			f.Message = fmt.Sprintf("%s is granted at %s; the baseline does not have it.", policyWords(p.Name, p.ID), scopeWords(f))
			f.Consequences = []string{exposed(j.evidence.agency, p, f.Risk)}
			out = append(out, f)
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy {
		return revokeRemedy(b, f, "Ask the account's owner whether something relies on it, and for how long.")
	},
}

// exposed says what a needless grant opens.
func exposed(a Agency, p Policy, r Risk) string {
	who := a.trusted()
	switch {
	case r == RiskCritical:
		return fmt.Sprintf("Through this agency %s can take over the account: the policy allows every action, or lets its holder obtain it.", who)
	case r == RiskHigh:
		return fmt.Sprintf("Through this agency %s can change and delete resources of the service that the policy administers.", who)
	case r == RiskLow:
		return fmt.Sprintf("Through this agency %s can read more than the baseline asks for.", who)
	case p.Origin == Unresolved:
		return fmt.Sprintf("Through this agency %s holds rights that cannot be named: the policy's id is in no catalogue.", who)
	case p.Origin == Custom:
		return fmt.Sprintf("Through this agency %s holds what the account wrote into that custom policy, today or later.", who)
	}
	return fmt.Sprintf("Through this agency %s can operate resources that the baseline does not ask for.", who)
}

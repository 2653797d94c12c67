package rules

import "fmt"

// ruleWider finds policies of the baseline that are held at a scope that contains the required one and more.
var ruleWider = Rule{
	ID: RuleWider, Severity: Info, Title: "A required policy is granted at a wider scope",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, g := range group(j.wider) {
			f := Finding{Policy: g[0].Policy.Name, PolicyID: g[0].Policy.ID, Scope: g[0].Scope.Kind, Grants: g}
			f.Message = fmt.Sprintf("%s is granted at the scope %s, which is wider than the baseline asks for.",
				f.Policy, f.Scope.Label())
			f.Consequences = []string{fmt.Sprintf("Nothing of %s breaks. %s may use the policy in every present and future project too.",
				j.baseline.Service, j.evidence.agency.trusted())}
			out = append(out, f)
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy {
		return revokeRemedy(b, f, "Make sure first that the policy is also granted at the scope that the baseline names; "+
			"otherwise authorize it there before you delete the wider one.")
	},
}

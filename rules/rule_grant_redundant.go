package rules

import "fmt"

// ruleRedundant finds grants of baseline policies that another grant already contains.
var ruleRedundant = Rule{
	ID: RuleRedundant, Severity: Info, Title: "A grant adds nothing to another one",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, g := range group(j.redundant) {
			f := Finding{Policy: g[0].Policy.Name, PolicyID: g[0].Policy.ID, Scope: g[0].Scope.Kind, Grants: g}
			f.Message = fmt.Sprintf("%s is also granted at %s, where another grant holds already.", f.Policy, scopeWords(f))
			f.Consequences = []string{"Nothing breaks and nothing more is exposed; the grant counts against the agency's quota."}
			out = append(out, f)
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy {
		return revokeRemedy(b, f, "Make sure first that the other authorization of the same policy is still there.")
	},
}

package rules

import "fmt"

// ruleNarrower finds required grants that the agency holds only at a part of the required scope.
var ruleNarrower = Rule{
	ID: RuleNarrower, Severity: High, Title: "A required policy is granted at too small a scope",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, c := range j.covered {
			if c.Coverage != CoverageNarrower {
				continue
			}
			req := j.baseline.Required[j.baseline.requirement(c.Policy, c.Scope)]
			held := Finding{Scope: c.By[0].Scope.Kind, Grants: c.By}
			out = append(out, Finding{
				Policy: c.Policy, Scope: c.Scope, Grants: c.By,
				Message: fmt.Sprintf("%s is granted only at %s; it is required at the scope %s.",
					c.Policy, scopeWords(held), c.Scope.Label()),
				Consequences: j.baseline.uses(req, "cannot, outside of that scope,"),
			})
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy {
		out := grantRemedies(b, f.Policy, f.Scope)
		last := &out[len(out)-1]
		last.Steps = append(last.Steps, "The narrower authorization then adds nothing and may be deleted.")
		return out
	},
}

package rules

import "fmt"

// ruleImpostor finds granted custom policies that bear the name of a policy of the baseline. Their risk is always critical,
// whatever the document allows today: under that name nobody looks twice, and whoever may edit the policy may add anything.
var ruleImpostor = Rule{
	ID: RuleImpostor, Severity: Critical, Title: "A custom policy bears the name of a required system-defined policy",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, g := range group(j.impostors) {
			p := g[0].Policy
			f := Finding{Policy: p.Name, PolicyID: p.ID, Scope: g[0].Scope.Kind, Grants: g, Risk: RiskCritical}
			f.Message = fmt.Sprintf("A custom policy named %s (id %s) is granted at %s; it is not the system-defined policy of that name.",
				p.Name, p.ID, scopeWords(f))
			f.Consequences = []string{fmt.Sprintf("It satisfies nothing of the baseline. What it allows is what the account wrote "+
				"into it, and on the consoles it looks like the policy that %s needs.", j.baseline.Service)}
			out = append(out, f)
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy {
		out := revokeRemedy(b, f, "Open the custom policy under Permissions > Policies, keep a copy of what it allows, and find "+
			"out in the audit trail (CTS: createRole, updateRole) who made it.")
		out[0].Steps = append(out[0].Steps, fmt.Sprintf("If the system-defined policy %s is reported missing, authorize that one.", f.Policy))
		return out
	},
}

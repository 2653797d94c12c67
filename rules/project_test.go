package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestAGrantInAnyProject: what is required in a project is satisfied by each project in which it is held, and by all resources; no
// project is one too many.
func TestAGrantInAnyProject(t *testing.T) {
	const policy = "DLI Notification Agency Access"
	b := baseline()
	b.Required = []rules.Requirement{{Policy: policy, Scope: rules.Project}}
	f := rules.Fleet{PolicyIDs: map[string][]string{policy: {"id of " + policy}}}
	one, two := in(policy, rules.Project, "p1"), in(policy, rules.Project, "p2")
	for name, c := range map[string]struct {
		grants   []rules.Grant
		coverage rules.Coverage
		by       int
		state    rules.State
		findings []want
	}{
		"in none":                    {nil, rules.CoverageMissing, 0, rules.StateDrifted, []want{{rules.RuleMissing, rules.High, policy, rules.Project, ""}}},
		"in one":                     {[]rules.Grant{one}, rules.CoverageExact, 1, rules.StateCompliant, nil},
		"in two":                     {[]rules.Grant{one, two}, rules.CoverageExact, 2, rules.StateCompliant, nil},
		"everywhere":                 {[]rules.Grant{grant(policy, rules.AllResources)}, rules.CoverageWider, 1, rules.StateCompliant, []want{{rules.RuleWider, rules.Info, policy, rules.AllResources, ""}}},
		"in one and everywhere":      {[]rules.Grant{one, grant(policy, rules.AllResources)}, rules.CoverageExact, 1, rules.StateCompliant, []want{{rules.RuleWider, rules.Info, policy, rules.AllResources, ""}}},
		"at global service":          {[]rules.Grant{grant(policy, rules.Global)}, rules.CoverageMissing, 0, rules.StateDrifted, []want{{rules.RuleMissing, rules.High, policy, rules.Project, ""}, {rules.RuleExcess, rules.Warning, policy, rules.Global, rules.RiskMedium}}},
		"in an enterprise project":   {[]rules.Grant{in(policy, rules.EnterpriseProject, "0")}, rules.CoverageMissing, 0, rules.StateDrifted, []want{{rules.RuleMissing, rules.High, policy, rules.Project, ""}, {rules.RuleExcess, rules.Warning, policy, rules.EnterpriseProject, rules.RiskMedium}}},
		"a custom one, in a project": {[]rules.Grant{{Policy: rules.Policy{ID: "c", Name: policy, Origin: rules.Custom}, Scope: one.Scope}}, rules.CoverageMissing, 0, rules.StateDrifted, []want{{rules.RuleImpostor, rules.Critical, policy, rules.Project, rules.RiskCritical}, {rules.RuleMissing, rules.High, policy, rules.Project, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := rules.NewEvidence(b, rules.Last{}, observation(agency(), c.grants...))
			if err != nil {
				t.Fatal(err)
			}
			r := rules.Evaluate(b, e, f, now)
			check(t, r, c.state, c.findings...)
			if r.Required[0].Coverage != c.coverage || len(r.Required[0].By) != c.by {
				t.Errorf("%+v", r.Required[0])
			}
		})
	}
}

package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestHeldOnlyAtAPartIsNarrowerAndNoExcess(t *testing.T) {
	for name, held := range map[string][]rules.Grant{
		"one project":           {in(dcsUser, rules.Project, "p1")},
		"several projects":      {in(dcsUser, rules.Project, "p1"), in(dcsUser, rules.Project, "p2")},
		"global service":        {grant(dcsUser, rules.Global)},
		"an enterprise project": {in(dcsUser, rules.EnterpriseProject, "0")},
		"a bit of everything":   {grant(dcsUser, rules.Global), in(dcsUser, rules.Project, "p1"), in(dcsUser, rules.EnterpriseProject, "0")},
	} {
		t.Run(name, func(t *testing.T) {
			r := judge(t, append(without(exact(), dcsUser), held...)...)
			check(t, r, rules.StateDrifted, want{rules.RuleNarrower, rules.High, dcsUser, rules.AllResources, ""})
			if coverage(r, dcsUser) != rules.CoverageNarrower || len(r.Findings[0].Grants) != len(held) {
				t.Errorf("coverage %q by %v", coverage(r, dcsUser), r.Findings[0].Grants)
			}
		})
	}
}

func TestAProjectIsNoPartOfTheGlobalService(t *testing.T) {
	r := judge(t, append(without(exact(), iamRead), in(iamRead, rules.Project, "p1"))...)
	check(t, r, rules.StateDrifted,
		want{rules.RuleMissing, rules.High, iamRead, rules.Global, ""},
		want{rules.RuleExcess, rules.Warning, iamRead, rules.Project, rules.RiskLow})
}

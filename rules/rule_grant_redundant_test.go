package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestANarrowerGrantBesideTheExactOneIsRedundant(t *testing.T) {
	r := judge(t, append(exact(), in(dcsUser, rules.Project, "p1"), in(dcsUser, rules.Project, "p2"), grant(cocSelf, rules.Global))...)
	check(t, r, rules.StateCompliant,
		want{rules.RuleRedundant, rules.Info, cocSelf, rules.Global, ""},
		want{rules.RuleRedundant, rules.Info, dcsUser, rules.Project, ""})
	if n := len(r.Findings[1].Grants); n != 2 {
		t.Errorf("the two projects are %d grants of one finding", n)
	}
}

func TestASecondIDOfTheSameNameIsRedundant(t *testing.T) {
	second := grant(iamRead, rules.Global)
	second.Policy.ID = "id of another IAM ReadOnlyAccess"
	r := judge(t, append(exact(), second)...)
	check(t, r, rules.StateCompliant, want{rules.RuleRedundant, rules.Info, iamRead, rules.Global, ""})
}

func TestAPolicyRequiredAtTwoScopesIsNeitherWiderNorRedundant(t *testing.T) {
	b := baseline()
	b.Required = append(b.Required, rules.Requirement{Policy: iamRead, Scope: rules.AllResources})
	e := evidence(t, observation(agency(), append(exact(), grant(iamRead, rules.AllResources))...))
	check(t, rules.Evaluate(b, e, fleet(), now), rules.StateCompliant)
}

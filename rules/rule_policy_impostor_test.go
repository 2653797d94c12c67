package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestACustomTwinSatisfiesNothing(t *testing.T) {
	r := judge(t, append(without(exact(), iamRead), custom(iamRead, "twin", rules.Global))...)
	check(t, r, rules.StateDrifted,
		want{rules.RuleImpostor, rules.Critical, iamRead, rules.Global, rules.RiskCritical},
		want{rules.RuleMissing, rules.High, iamRead, rules.Global, ""})
}

func TestACustomTwinBesideTheRightPolicyIsAnImpostorToo(t *testing.T) {
	for _, kind := range []rules.ScopeKind{rules.Global, rules.AllResources, rules.Identity} {
		check(t, judge(t, append(exact(), custom(iamRead, "twin", kind))...), rules.StateDrifted,
			want{rules.RuleImpostor, rules.Critical, iamRead, kind, rules.RiskCritical})
	}
}

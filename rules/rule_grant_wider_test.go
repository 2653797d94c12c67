package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestAllFourAtAllResourcesIsCompliantAndWider(t *testing.T) {
	r := judge(t, grant(iamRead, rules.AllResources), grant(rmsRead, rules.AllResources),
		grant(dcsUser, rules.AllResources), grant(cocSelf, rules.AllResources))
	check(t, r, rules.StateCompliant,
		want{rules.RuleWider, rules.Info, iamRead, rules.AllResources, ""},
		want{rules.RuleWider, rules.Info, rmsRead, rules.AllResources, ""})
	if coverage(r, iamRead) != rules.CoverageWider || coverage(r, dcsUser) != rules.CoverageExact {
		t.Errorf("coverages %+v", r.Required)
	}
}

func TestExactAndWiderIsExactWithAFinding(t *testing.T) {
	r := judge(t, append(exact(), grant(iamRead, rules.AllResources))...)
	check(t, r, rules.StateCompliant, want{rules.RuleWider, rules.Info, iamRead, rules.AllResources, ""})
	if coverage(r, iamRead) != rules.CoverageExact {
		t.Errorf("coverage %q", coverage(r, iamRead))
	}
}

func TestConfiguredSeverityCounts(t *testing.T) {
	b := baseline()
	b.Severities = map[string]rules.Severity{rules.RuleWider: rules.Warning}
	e := evidence(t, observation(agency(), append(exact(), grant(iamRead, rules.AllResources))...))
	check(t, rules.Evaluate(b, e, fleet(), now), rules.StateDrifted,
		want{rules.RuleWider, rules.Warning, iamRead, rules.AllResources, ""})
	b.Severities = map[string]rules.Severity{rules.RuleMissing: rules.Info}
	e = evidence(t, observation(agency(), without(exact(), iamRead)...))
	check(t, rules.Evaluate(b, e, fleet(), now), rules.StateCompliant, want{rules.RuleMissing, rules.Info, iamRead, rules.Global, ""})
}

package rules_test

import (
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestExcessOnEveryPlane(t *testing.T) {
	for _, kind := range rules.Planes() {
		g := grant("VPC Administrator", kind)
		if kind == rules.Project || kind == rules.EnterpriseProject {
			g.Scope.ID = "p1"
		}
		check(t, judge(t, append(exact(), g)...), rules.StateDrifted,
			want{rules.RuleExcess, rules.High, "VPC Administrator", kind, rules.RiskHigh})
	}
}

func TestSeverityOfExcessFollowsItsRisk(t *testing.T) {
	unbounded := custom("harmless", "c1", rules.Global)
	unbounded.Policy.Unbounded = true
	unresolved := rules.Grant{Policy: rules.Policy{ID: "gone", Origin: rules.Unresolved}, Scope: rules.Scope{Kind: rules.Global}}
	for name, c := range map[string]struct {
		grant    rules.Grant
		risk     rules.Risk
		severity rules.Severity
	}{
		"critical by name":                   {grant("Tenant Administrator", rules.Global), rules.RiskCritical, rules.Critical},
		"critical by whole name":             {grant("FullAccess", rules.Global), rules.RiskCritical, rules.Critical},
		"critical by document":               {unbounded, rules.RiskCritical, rules.Critical},
		"critical name of a custom policy":   {custom("Tenant Administrator", "c2", rules.Global), rules.RiskCritical, rules.Critical},
		"high by ending":                     {grant("ECS FullAccess", rules.Global), rules.RiskHigh, rules.High},
		"low by ending":                      {grant("ECS ReadOnlyAccess", rules.Global), rules.RiskLow, rules.Warning},
		"low by name":                        {grant("Tenant Guest", rules.Global), rules.RiskLow, rules.Warning},
		"a custom policy is never low":       {custom("ECS ReadOnlyAccess", "c3", rules.Global), rules.RiskMedium, rules.Warning},
		"a policy without a name is not low": {unresolved, rules.RiskMedium, rules.Warning},
		"medium otherwise":                   {grant("ECS CommonOperations", rules.Global), rules.RiskMedium, rules.Warning},
	} {
		t.Run(name, func(t *testing.T) {
			check(t, judge(t, append(exact(), c.grant)...), rules.StateDrifted,
				want{rules.RuleExcess, c.severity, c.grant.Policy.Name, rules.Global, c.risk})
		})
	}
}

func TestExcessGroupsProjectsAndNothingElse(t *testing.T) {
	r := judge(t, append(exact(),
		in("ECS FullAccess", rules.Project, "p1"), in("ECS FullAccess", rules.Project, "p2"), in("ECS FullAccess", rules.EnterpriseProject, "0"))...)
	check(t, r, rules.StateDrifted,
		want{rules.RuleExcess, rules.High, "ECS FullAccess", rules.Project, rules.RiskHigh},
		want{rules.RuleExcess, rules.High, "ECS FullAccess", rules.EnterpriseProject, rules.RiskHigh})
	if len(r.Findings[0].Grants) != 2 || rules.FindingID(r, r.Findings[0]) == rules.FindingID(r, r.Findings[1]) {
		t.Errorf("findings %+v", r.Findings)
	}
}

func TestAnAttachedPolicyIsExcessEvenUnderABaselineName(t *testing.T) {
	check(t, judge(t, append(exact(), grant(iamRead, rules.Identity))...), rules.StateDrifted,
		want{rules.RuleExcess, rules.Warning, iamRead, rules.Identity, rules.RiskLow})
}

func TestAnUnnamedPolicyIsShownByItsID(t *testing.T) {
	g := rules.Grant{Policy: rules.Policy{ID: "f00", Origin: rules.Unresolved}, Scope: rules.Scope{Kind: rules.Global}}
	if m := judge(t, append(exact(), g)...).Findings[0].Message; !strings.Contains(m, "f00") {
		t.Errorf("message %q", m)
	}
}

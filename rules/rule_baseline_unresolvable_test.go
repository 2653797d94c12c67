package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestAPolicyThatTheSiteLacksIsNeitherRedNorGreen(t *testing.T) {
	f := fleet()
	delete(f.PolicyIDs, rmsRead)
	found := rules.Unresolvable(baseline(), f)
	if len(found) != 1 || found[0].Rule != rules.RuleUnresolvable || found[0].Policy != rmsRead || found[0].Baseline != baseline().Name || found[0].Severity != rules.High {
		t.Fatalf("findings of the run: %+v", found)
	}
	if len(rules.Remedies(baseline(), found[0])) == 0 {
		t.Error("no remedy")
	}
	r := rules.Evaluate(baseline(), evidence(t, observation(agency(), without(exact(), rmsRead)...)), f, now)
	check(t, r, rules.StateUnknown)
	if r.Unknown.Reason != rules.ReasonUnresolvable || coverage(r, rmsRead) != "" || coverage(r, iamRead) != rules.CoverageExact {
		t.Errorf("report %+v", r)
	}
	// What the evidence does show stays said.
	r = rules.Evaluate(baseline(), evidence(t, observation(agency(), append(without(exact(), rmsRead), grant("FullAccess", rules.Global))...)), f, now)
	check(t, r, rules.StateUnknown, want{rules.RuleExcess, rules.Critical, "FullAccess", rules.Global, rules.RiskCritical})
	// Who holds it all the same, holds it.
	check(t, rules.Evaluate(baseline(), evidence(t, observation(agency(), exact()...)), f, now), rules.StateCompliant)
}

func TestAnAcceptedNameResolves(t *testing.T) {
	b, f := baseline(), fleet()
	b.Required[1].Accepts = []string{"Config ReadOnlyAccess"}
	f.PolicyIDs["Config ReadOnlyAccess"] = []string{"config"}
	delete(f.PolicyIDs, rmsRead)
	if found := rules.Unresolvable(b, f); len(found) != 0 {
		t.Fatalf("findings of the run: %+v", found)
	}
	r := rules.Evaluate(b, evidence(t, observation(agency(), without(exact(), rmsRead)...)), f, now)
	check(t, r, rules.StateDrifted, want{rules.RuleMissing, rules.High, rmsRead, rules.Global, ""})
}

func TestWithoutACatalogueMissingIsNotProved(t *testing.T) {
	if found := rules.Unresolvable(baseline(), rules.Fleet{}); len(found) != 0 {
		t.Fatalf("findings of the run: %+v", found)
	}
	r := rules.Evaluate(baseline(), evidence(t, observation(agency(), without(exact(), rmsRead)...)), rules.Fleet{}, now)
	check(t, r, rules.StateUnknown)
	if r.Unknown.Reason != rules.ReasonIncomplete {
		t.Errorf("unknown: %v", r.Unknown)
	}
}

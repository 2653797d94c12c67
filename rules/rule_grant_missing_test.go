package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestExactBaselineIsCompliant(t *testing.T) {
	r := judge(t, exact()...)
	check(t, r, rules.StateCompliant)
	for _, c := range r.Required {
		if c.Coverage != rules.CoverageExact || len(c.By) != 1 || len(c.PolicyIDs) != 1 {
			t.Errorf("%s: %+v", c.Policy, c)
		}
	}
	if len(r.Required) != 4 {
		t.Errorf("%d coverages", len(r.Required))
	}
}

func TestMissingIsReportedForEachRequiredGrant(t *testing.T) {
	for _, req := range baseline().Required {
		r := judge(t, without(exact(), req.Policy)...)
		check(t, r, rules.StateDrifted, want{rules.RuleMissing, rules.High, req.Policy, req.Scope, ""})
		if got := coverage(r, req.Policy); got != rules.CoverageMissing {
			t.Errorf("%s: coverage %q", req.Policy, got)
		}
	}
}

func TestEverythingMissing(t *testing.T) {
	r := judge(t)
	check(t, r, rules.StateDrifted,
		want{rules.RuleMissing, rules.High, cocSelf, rules.AllResources, ""},
		want{rules.RuleMissing, rules.High, dcsUser, rules.AllResources, ""},
		want{rules.RuleMissing, rules.High, iamRead, rules.Global, ""},
		want{rules.RuleMissing, rules.High, rmsRead, rules.Global, ""},
	)
}

func TestMissingSaysWhatBreaksAndHowToFixIt(t *testing.T) {
	r := judge(t, without(exact(), iamRead)...)
	f := r.Findings[0]
	if want := []string{"COC's Personnel Management cannot read people."}; !slices.Equal(f.Consequences, want) {
		t.Errorf("consequences %q", f.Consequences)
	}
	ways := rules.Remedies(baseline(), f)
	if len(ways) != 2 || ways[0].Where != "COC console" || ways[1].Where != "IAM console" {
		t.Fatalf("ways %+v", ways)
	}
	for _, w := range ways {
		text := strings.Join(w.Steps, "\n")
		if !strings.Contains(text, "iam:permissions:grantRoleToAgency") || !strings.Contains(text, iamRead) {
			t.Errorf("%s does not say what to do when refused:\n%s", w.Where, text)
		}
	}
	f = judge(t, without(exact(), dcsUser)...).Findings[0]
	if text := strings.Join(rules.Remedies(baseline(), f)[1].Steps, "\n"); !strings.Contains(text, "everything, also later") {
		t.Errorf("the scope is not in the document's words:\n%s", text)
	}
}

func TestCohortExplainsOnlyOldAgenciesThatLackNothingElse(t *testing.T) {
	before := agency()
	before.CreatedAt = time.Date(2024, 6, 30, 23, 59, 59, 0, time.UTC)
	boundary := agency()
	boundary.CreatedAt = time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	unreadable := agency()
	unreadable.CreatedAt = time.Time{}
	for name, c := range map[string]struct {
		agency rules.Agency
		grants []rules.Grant
		cohort string
	}{
		"old and only the fourth":   {before, without(exact(), cocSelf), "beta"},
		"made when the beta ended":  {boundary, without(exact(), cocSelf), ""},
		"creation time unreadable":  {unreadable, without(exact(), cocSelf), ""},
		"old and another one too":   {before, without(without(exact(), cocSelf), rmsRead), ""},
		"old, another one narrower": {before, append(without(without(exact(), cocSelf), dcsUser), grant(dcsUser, rules.Global)), ""},
		"old and another one wider": {before, append(without(without(exact(), cocSelf), iamRead), grant(iamRead, rules.AllResources)), "beta"},
		"old and another policy":    {before, without(exact(), iamRead), ""},
	} {
		r := rules.Evaluate(baseline(), evidence(t, observation(c.agency, c.grants...)), fleet(), now)
		got := ""
		for _, f := range r.Findings {
			if f.Cohort != "" {
				got = f.Cohort
				if f.Rule != rules.RuleMissing || f.Policy != cocSelf || f.CohortSays != "It enabled COC in the beta." ||
					slices.Contains(f.Consequences, f.CohortSays) {
					t.Errorf("%s: cohort on %+v", name, f)
				}
			}
		}
		if got != c.cohort {
			t.Errorf("%s: cohort %q, want %q", name, got, c.cohort)
		}
	}
}

func TestAcceptedNameSatisfies(t *testing.T) {
	b := baseline()
	b.Required[3].Accepts = []string{"COCServiceAgencyPolicy"}
	f := fleet()
	f.PolicyIDs["COCServiceAgencyPolicy"] = []string{"other"}
	grants := append(without(exact(), cocSelf), grant("COCServiceAgencyPolicy", rules.AllResources))
	e, err := rules.NewEvidence(b, rules.Last{}, observation(agency(), grants...))
	if err != nil {
		t.Fatal(err)
	}
	check(t, rules.Evaluate(b, e, f, now), rules.StateCompliant)
	// Without the operator's word for it, it is another policy.
	check(t, judge(t, grants...), rules.StateDrifted,
		want{rules.RuleMissing, rules.High, cocSelf, rules.AllResources, ""},
		want{rules.RuleExcess, rules.Warning, "COCServiceAgencyPolicy", rules.AllResources, rules.RiskMedium})
}

func TestNamesAreComparedToTheByte(t *testing.T) {
	for _, name := range []string{
		"IAM ReadOnlyAccess ", " IAM ReadOnlyAccess", "iam readonlyaccess", "IAM\u00a0ReadOnlyAccess", "IАM ReadOnlyAccess", "IAM ReadOnlyAccess\u200b",
	} {
		r := judge(t, append(without(exact(), iamRead), grant(name, rules.Global))...)
		if coverage(r, iamRead) != rules.CoverageMissing {
			t.Errorf("%q counts as %q", name, iamRead)
		}
	}
}

func TestNoCohortWhileAnotherPolicyCannotBeResolved(t *testing.T) {
	before := agency()
	before.CreatedAt = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC)
	f := fleet()
	delete(f.PolicyIDs, rmsRead)
	r := rules.Evaluate(baseline(), evidence(t, observation(before, without(without(exact(), cocSelf), rmsRead)...)), f, now)
	check(t, r, rules.StateUnknown, want{rules.RuleMissing, rules.High, cocSelf, rules.AllResources, ""})
	if r.Findings[0].Cohort != "" {
		t.Errorf("the account is said to lack one policy alone: %+v", r.Findings[0])
	}
}

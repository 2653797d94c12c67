package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestWhatAnOverlayAllows: an allowed grant is no excess, and whatever differs from what was allowed is.
func TestWhatAnOverlayAllows(t *testing.T) {
	allowed := rules.Allowance{
		Selector: rules.Selector{Accounts: []string{account.Name}}, Policy: "VPC Administrator", Scope: rules.AllResources, Owner: "network",
		Reason: "drills of routes",
	}
	byID := allowed
	byID.Policy, byID.PolicyID = "", "c1"
	critical := allowed
	critical.Policy = "Tenant Administrator"
	meant := critical
	meant.Critical = true
	elsewhere := allowed
	elsewhere.Selector.Accounts = []string{"another"}
	global := allowed
	global.Scope = rules.Global
	unbounded := custom("own", "c1", rules.AllResources)
	unbounded.Policy.Unbounded = true
	for name, c := range map[string]struct {
		allowed rules.Allowance
		grant   rules.Grant
		want    bool
	}{
		"as it was allowed":                    {allowed, grant("VPC Administrator", rules.AllResources), true},
		"at a part of the scope":               {allowed, in("VPC Administrator", rules.Project, "p1"), true},
		"at a wider scope":                     {global, grant("VPC Administrator", rules.AllResources), false},
		"at another scope":                     {global, in("VPC Administrator", rules.Project, "p1"), false},
		"as an identity policy":                {allowed, grant("VPC Administrator", rules.Identity), false},
		"another policy":                       {allowed, grant("ECS Administrator", rules.AllResources), false},
		"another account":                      {elsewhere, grant("VPC Administrator", rules.AllResources), false},
		"a custom policy of the name":          {allowed, custom("VPC Administrator", "c1", rules.AllResources), false},
		"a custom policy by its id":            {byID, custom("own", "c1", rules.AllResources), true},
		"which came to allow everything":       {byID, unbounded, false},
		"a critical one":                       {critical, grant("Tenant Administrator", rules.AllResources), false},
		"a critical one that is meant":         {meant, grant("Tenant Administrator", rules.AllResources), true},
		"an impostor of the baseline's policy": {byID, custom(iamRead, "c1", rules.Global), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := baseline()
			b.Allowed = []rules.Allowance{c.allowed}
			r := rules.Evaluate(b, evidence(t, observation(agency(), append(exact(), c.grant)...)), fleet(), now)
			if got := r.State == rules.StateCompliant; got != c.want || len(r.Allowed) == 1 != c.want {
				t.Fatalf("%s, allowed %+v, findings %+v", r.State, r.Allowed, r.Findings)
			}
			if c.want && (r.Allowed[0].Grant != c.grant || r.Allowed[0].Owner != "network" || r.Allowed[0].Reason != "drills of routes") {
				t.Errorf("%+v", r.Allowed[0])
			}
		})
	}
}

// TestAnOverlayChangesNothingElse: what the baseline requires is missing with an overlay as without, and a wider grant stays one.
func TestAnOverlayChangesNothingElse(t *testing.T) {
	b := baseline()
	for _, r := range b.Required {
		b.Allowed = append(b.Allowed, rules.Allowance{Selector: rules.Selector{Accounts: []string{"*"}}, Policy: r.Policy, Scope: rules.AllResources})
	}
	for _, grants := range [][]rules.Grant{nil, exact(), without(exact(), dcsUser), append(exact(), grant(iamRead, rules.AllResources))} {
		o := observation(agency(), grants...)
		with, without := rules.Evaluate(b, evidence(t, o), fleet(), now), rules.Evaluate(baseline(), evidence(t, o), fleet(), now)
		if with.State != without.State || len(with.Findings) != len(without.Findings) || len(with.Allowed) > 0 {
			t.Errorf("%s with, %s without: %+v", with.State, without.State, with.Findings)
		}
	}
}

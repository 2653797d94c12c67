package rules_test

import (
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestTrust(t *testing.T) {
	const other = "ee000000000000000000000000000001"
	mismatch := []want{{rules.RuleTrustMismatch, rules.Critical, "", "", ""}}
	for name, c := range map[string]struct {
		got   rules.Trust
		pin   string
		fleet map[string]int
		state rules.State
		wants []want
	}{
		"as agreed":                      {rules.Trust{ID: cocID, Name: "op_svc_coc"}, "", nil, rules.StateCompliant, nil},
		"other letter case":              {rules.Trust{ID: cocID, Name: "op_svc_COC"}, "", nil, rules.StateCompliant, nil},
		"another account":                {rules.Trust{ID: other, Name: "mallory"}, "", nil, rules.StateDrifted, mismatch},
		"a longer name":                  {rules.Trust{ID: other, Name: "op_svc_coc2"}, "", nil, rules.StateDrifted, mismatch},
		"a shorter name":                 {rules.Trust{ID: other, Name: "op_svc_co"}, "", nil, rules.StateDrifted, mismatch},
		"a homoglyph":                    {rules.Trust{ID: other, Name: "op_svc_сoc"}, "", nil, rules.StateDrifted, mismatch},
		"a letter that folds to ASCII":   {rules.Trust{ID: other, Name: "op_\u017fvc_coc"}, "", nil, rules.StateDrifted, mismatch},
		"pinned and equal":               {rules.Trust{ID: cocID, Name: "op_svc_coc"}, cocID, nil, rules.StateCompliant, nil},
		"pinned and equal, unnamed":      {rules.Trust{ID: cocID}, cocID, nil, rules.StateCompliant, nil},
		"pinned and different":           {rules.Trust{ID: other, Name: "op_svc_coc"}, cocID, nil, rules.StateDrifted, mismatch},
		"pinned and different, unnamed":  {rules.Trust{ID: other}, cocID, nil, rules.StateDrifted, mismatch},
		"pinned and equal, other name":   {rules.Trust{ID: cocID, Name: "mallory"}, cocID, nil, rules.StateDrifted, mismatch},
		"unnamed and not pinned":         {rules.Trust{ID: cocID}, "", nil, rules.StateUnknown, nil},
		"like the fleet":                 {rules.Trust{ID: cocID, Name: "op_svc_coc"}, "", map[string]int{cocID: 3, other: 1}, rules.StateCompliant, nil},
		"unlike the fleet":               {rules.Trust{ID: other, Name: "op_svc_coc"}, "", map[string]int{cocID: 3, other: 1}, rules.StateDrifted, mismatch},
		"half of the fleet":              {rules.Trust{ID: cocID, Name: "op_svc_coc"}, "", map[string]int{cocID: 2, other: 2}, rules.StateDrifted, mismatch},
		"most but no majority":           {rules.Trust{ID: cocID, Name: "op_svc_coc"}, "", map[string]int{cocID: 2, other: 1, "x": 1}, rules.StateDrifted, mismatch},
		"the only one of the fleet":      {rules.Trust{ID: other, Name: "op_svc_coc"}, "", map[string]int{other: 1}, rules.StateCompliant, nil},
		"pinned, and the fleet is wrong": {rules.Trust{ID: cocID, Name: "op_svc_coc"}, cocID, map[string]int{cocID: 1, other: 9}, rules.StateCompliant, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := agency()
			a.Trust = c.got
			b := baseline()
			b.Trust.ID = c.pin
			f := fleet()
			f.TrustIDs = c.fleet
			r := rules.Evaluate(b, evidence(t, observation(a, exact()...)), f, now)
			check(t, r, c.state, c.wants...)
			for _, f := range r.Findings {
				if f.Trusts != c.got.ID {
					t.Errorf("it says that %q is trusted", f.Trusts)
				}
			}
			if c.state == rules.StateUnknown && r.Unknown.Reason != rules.ReasonIncomplete {
				t.Errorf("unknown: %v", r.Unknown)
			}
		})
	}
}

func TestCountTrustCountsWhatFitsByName(t *testing.T) {
	var f rules.Fleet
	foreign := agency()
	foreign.Trust = rules.Trust{ID: "e", Name: "mallory"}
	upper := agency()
	upper.Trust.Name = "OP_SVC_COC"
	for _, o := range []rules.Observation{
		observation(agency(), exact()...), observation(upper, exact()...), observation(foreign, exact()...), absent(),
	} {
		f.CountTrust(baseline(), evidence(t, o))
	}
	f.CountTrust(baseline(), rules.Evidence{})
	if len(f.TrustIDs) != 1 || f.TrustIDs[cocID] != 2 {
		t.Errorf("counted %v", f.TrustIDs)
	}
}

func TestATrustThatCannotBeJudgedHidesNothingElse(t *testing.T) {
	a := agency()
	a.Trust.Name, a.ExpiresAt = "", now.Add(-time.Hour)
	r := rules.Evaluate(baseline(), evidence(t, observation(a, append(without(exact(), iamRead), grant("FullAccess", rules.AllResources))...)), fleet(), now)
	check(t, r, rules.StateUnknown,
		want{rules.RuleExpired, rules.Critical, "", "", ""},
		want{rules.RuleExcess, rules.Critical, "FullAccess", rules.AllResources, rules.RiskCritical},
		want{rules.RuleMissing, rules.High, iamRead, rules.Global, ""})
	if r.Unknown.Reason != rules.ReasonIncomplete || len(r.Required) != 4 {
		t.Errorf("report %+v", r)
	}
}

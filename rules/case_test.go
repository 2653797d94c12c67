package rules_test

import (
	"slices"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// The baseline of these tests is written out here, so that a change of the bundled file cannot change what they test.
const (
	iamRead = "IAM ReadOnlyAccess"
	rmsRead = "RMS ReadOnlyAccess"
	dcsUser = "DCS UserAccess"
	cocSelf = "COCServiceAgencyDefaultPolicy"

	accountID = "d0000000000000000000000000000001"
	cocID     = "c0c00000000000000000000000000001"
)

var (
	now     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	account = rules.Account{ID: accountID, Name: "prod"}
)

func baseline() rules.Baseline {
	return rules.Baseline{
		Name: "coc", Service: "COC", Agency: "ServiceAgencyForCOC", Trust: rules.Trust{Name: "op_svc_coc"},
		WarnBeforeExpiry: 30 * 24 * time.Hour,
		Required: []rules.Requirement{
			{Policy: iamRead, Scope: rules.Global, Scenarios: []rules.Scenario{{Module: "Personnel Management", Use: "read people"}}},
			{Policy: rmsRead, Scope: rules.Global, Scenarios: []rules.Scenario{{Module: "Resource Management", Use: "see resources"}}},
			{Policy: dcsUser, Scope: rules.AllResources, ScopeLabel: "everything, also later"},
			{Policy: cocSelf, Scope: rules.AllResources},
		},
		Cohorts: []rules.Cohort{{
			Name: "beta", CreatedBefore: time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC), Missing: cocSelf, Says: "It enabled COC in the beta.",
		}},
		ServiceSteps: []string{"Click Obtain Permission."},
		Risks: rules.RiskTable{
			Critical: []string{"Tenant Administrator", "FullAccess"}, HighSuffixes: []string{"Administrator", "FullAccess"},
			LowSuffixes: []string{"ReadOnlyAccess"}, LowNames: []string{"Tenant Guest"},
		},
	}
}

func fleet() rules.Fleet {
	ids := map[string][]string{}
	for _, r := range baseline().Required {
		ids[r.Policy] = []string{"id of " + r.Policy}
	}
	return rules.Fleet{PolicyIDs: ids}
}

// grant is a grant of a system-defined policy at global service or all resources.
func grant(policy string, kind rules.ScopeKind) rules.Grant {
	return rules.Grant{
		Policy: rules.Policy{ID: "id of " + policy, Name: policy, Origin: rules.System}, Scope: rules.Scope{Kind: kind},
	}
}

// in puts a grant into one project or enterprise project.
func in(policy string, kind rules.ScopeKind, id string) rules.Grant {
	g := grant(policy, kind)
	g.Scope.ID, g.Scope.Name = id, "name-"+id
	return g
}

// custom is a grant of a policy that the account defined.
func custom(policy, id string, kind rules.ScopeKind) rules.Grant {
	g := grant(policy, kind)
	g.Policy.ID, g.Policy.Origin = id, rules.Custom
	return g
}

// exact are the four grants of the baseline.
func exact() []rules.Grant {
	return []rules.Grant{
		grant(iamRead, rules.Global), grant(rmsRead, rules.Global),
		grant(dcsUser, rules.AllResources), grant(cocSelf, rules.AllResources),
	}
}

// without takes the grants of one policy away.
func without(grants []rules.Grant, policy string) []rules.Grant {
	return slices.DeleteFunc(grants, func(g rules.Grant) bool { return g.Policy.Name == policy })
}

func agency() rules.Agency {
	return rules.Agency{
		ID: "a0000000000000000000000000000001", Name: "ServiceAgencyForCOC", AccountID: accountID,
		Trust: rules.Trust{ID: cocID, Name: "op_svc_coc"}, CreatedAt: time.Date(2024, 9, 2, 6, 0, 0, 0, time.UTC),
	}
}

// observation is a whole reading of an agency with these grants: every witness asked, all of them agreeing.
func observation(a rules.Agency, grants ...rules.Grant) rules.Observation {
	o := rules.Observation{
		Account: account, AgencyName: "ServiceAgencyForCOC", StartedAt: now.Add(-time.Minute), EndedAt: now,
		Listed: []rules.Agency{a},
	}
	for _, kind := range rules.Planes() {
		p := rules.Plane{Kind: kind, State: rules.PlaneRead}
		for _, g := range grants {
			if g.Scope.Kind == kind {
				p.Grants = append(p.Grants, g)
			}
		}
		p.Total = len(p.Grants)
		p.Witnessed = p.Total == 0
		o.Planes = append(o.Planes, p)
	}
	return o
}

// absent is a whole reading of an account without the agency.
func absent() rules.Observation {
	return rules.Observation{
		Account: account, AgencyName: "ServiceAgencyForCOC", StartedAt: now.Add(-time.Minute), EndedAt: now, UnfilteredAsked: true,
	}
}

func evidence(t *testing.T, o rules.Observation) rules.Evidence {
	t.Helper()
	e, err := rules.NewEvidence(baseline(), rules.Last{}, o)
	if err != nil {
		t.Fatalf("a whole observation is no evidence: %v", err)
	}
	return e
}

func judge(t *testing.T, grants ...rules.Grant) rules.Report {
	t.Helper()
	return rules.Evaluate(baseline(), evidence(t, observation(agency(), grants...)), fleet(), now)
}

// want is what a test expects of a finding: rule, severity, policy, scope, risk.
type want struct {
	rule     string
	severity rules.Severity
	policy   string
	scope    rules.ScopeKind
	risk     rules.Risk
}

func check(t *testing.T, r rules.Report, state rules.State, wants ...want) {
	t.Helper()
	if r.State != state {
		t.Errorf("state %q, want %q (unknown: %v)", r.State, state, r.Unknown)
	}
	var got []want
	for _, f := range r.Findings {
		got = append(got, want{f.Rule, f.Severity, f.Policy, f.Scope, f.Risk})
		if f.Message == "" || len(f.Consequences) == 0 {
			t.Errorf("%s says nothing: %+v", f.Rule, f)
		}
		if len(rules.Remedies(baseline(), f)) == 0 {
			t.Errorf("%s offers no remedy", f.Rule)
		}
	}
	if !slices.Equal(got, wants) {
		t.Errorf("findings\n got %v\nwant %v", got, wants)
	}
}

func coverage(r rules.Report, policy string) rules.Coverage {
	for _, c := range r.Required {
		if c.Policy == policy {
			return c.Coverage
		}
	}
	return ""
}

package huawei_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

const grantAgency, revokeAgency = "AgencyAuditGrant", "AgencyAuditRevoke"

// published are the actions of the policies for repair in deploy/iam.
var published = map[rules.Action][]string{
	rules.ActionGrant: {"iam:permissions:grantRoleToAgency", "iam:permissions:grantRoleToAgencyOnDomain"},
	rules.ActionRevoke: {
		"iam:agencies:detachPolicyV5", "iam:permissions:revokeRoleFromAgency", "iam:permissions:revokeRoleFromAgencyOnDomain",
		"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", "iam:permissions:revokeRoleFromAgencyOnProject",
	},
}

// shopSite is a simulated organization of two accounts. The second, shop, is repaired by agencies that the first one's user repairer assumes.
type shopSite struct {
	cloud  *simcloud.Cloud
	server *simcloud.Server
	org    *simcloud.Organization
}

// newShop makes one; change may change what it is made of.
func newShop(t testing.TB, change func(*simcloud.Organization)) *shopSite {
	t.Helper()
	way := func(name, policy string) simcloud.Agency {
		return simcloud.Agency{
			Name: name, Trust: simcloud.Trust{Name: "audit"}, Grants: []simcloud.Grant{{Policy: policy, Custom: true, Scope: "global"}},
		}
	}
	org := &simcloud.Organization{
		Region: "ap-southeast-3", ServiceAccounts: map[string]string{"op_svc_coc": "c0c00000000000000000000000000001"},
		Accounts: []simcloud.Account{
			{Name: "audit", Users: []simcloud.User{
				{Name: "auditor", Keys: []simcloud.Key{{Access: "SIMREAD", Secret: "canary-reader-secret"}}, Actions: []string{"iam:agencies:assume"}},
				{Name: "repairer", Keys: []simcloud.Key{{Access: "SIMREPAIR", Secret: "canary-repair-secret"}}, Actions: []string{
					"iam:agencies:assume", "sts:agencies:assume",
				}},
			}},
			{
				Name: "shop", EnterpriseProjects: []simcloud.Project{{Name: "eshop"}},
				Policies: []simcloud.Policy{
					{DisplayName: "Grants", Type: "AX", Allow: published[rules.ActionGrant]},
					{DisplayName: "Revokes", Type: "AX", Allow: published[rules.ActionRevoke]},
					{DisplayName: "Extra", Version: "5.0", Allow: []string{"ecs:*:get"}},
				},
				Agencies: []simcloud.Agency{
					way(grantAgency, "Grants"), way(revokeAgency, "Revokes"), way("AgencyAuditReader", "IAM ReadOnlyAccess"), {
						Name: coc, Trust: simcloud.Trust{Name: "op_svc_coc"}, Attached: []string{"Extra"}, Grants: []simcloud.Grant{
							{Policy: "IAM ReadOnlyAccess", Scope: "global"}, {Policy: "Tenant Guest", Scope: "global"},
							{Policy: "DCS UserAccess", Scope: "all_resources"}, {Policy: "Tenant Guest", Scope: "all_resources"},
							{Policy: "DCS UserAccess", Scope: "project", In: "ap-southeast-3"},
							{Policy: "DCS UserAccess", Scope: "enterprise_project", In: "eshop"},
						},
					},
				},
			},
		},
	}
	for i := range org.Accounts[1].Agencies[:3] {
		if g := &org.Accounts[1].Agencies[i]; g.Name == "AgencyAuditReader" {
			g.Grants[0].Custom = false
		}
	}
	if change != nil {
		change(org)
	}
	s := &shopSite{}
	s.cloud, s.server = simulate(t, org, simcloud.Listen{})
	s.org = s.cloud.Organization()
	return s
}

// shop is the account that is repaired, and coc its agency.
func (s *shopSite) shop() *simcloud.Account {
	s.org = s.cloud.Organization()
	return &s.org.Accounts[1]
}

func (s *shopSite) coc() *simcloud.Agency {
	shop := s.shop()
	return &shop.Agencies[slices.IndexFunc(shop.Agencies, func(g simcloud.Agency) bool { return g.Name == coc })]
}

// config is that of a writer.
func (s *shopSite) config(action rules.Action, via huawei.Via) huawei.Config {
	agency := map[rules.Action]string{rules.ActionGrant: grantAgency, rules.ActionRevoke: revokeAgency}[action]
	return huawei.Config{
		Endpoints: huawei.Endpoints{IAM: s.server.URL, STS: s.server.URL, Organizations: s.server.URL}, CAPEM: s.server.CAPEM,
		Main:    huawei.Identity{AccountID: s.org.Accounts[0].ID, Keys: simKeys(s.org.Accounts[0].Users[1])},
		Members: huawei.Access{Agency: agency, Via: via},
	}
}

func (s *shopSite) writer(t testing.TB, action rules.Action, via huawei.Via) *huawei.Writer {
	t.Helper()
	w, err := huawei.NewWriter(s.config(action, via), action, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Hasten()
	return w
}

// policy finds a policy by its display name.
func (s *shopSite) policy(t testing.TB, name string) rules.Policy {
	t.Helper()
	for _, p := range s.cloud.Catalogue() {
		if p.DisplayName == name {
			return rules.Policy{ID: p.ID, Name: name, Origin: rules.System}
		}
	}
	for _, p := range s.shop().Policies {
		if p.DisplayName == name {
			return rules.Policy{ID: p.ID, Name: name, Origin: rules.Custom}
		}
	}
	t.Fatalf("no policy %s", name)
	return rules.Policy{}
}

func (s *shopSite) step(t testing.TB, action rules.Action, kind rules.ScopeKind, policy string) *rules.Step {
	t.Helper()
	shop := s.shop()
	st := &rules.Step{
		Action: action, AccountID: shop.ID, Account: shop.Name, AgencyID: s.coc().ID, Agency: coc, Baseline: "coc",
		Grant: rules.Grant{Policy: s.policy(t, policy), Scope: rules.Scope{Kind: kind}},
	}
	switch kind {
	case rules.Project:
		i := slices.IndexFunc(shop.Projects, func(p simcloud.Project) bool { return p.Name == "ap-southeast-3" })
		st.Grant.Scope.ID = shop.Projects[i].ID
	case rules.EnterpriseProject:
		i := slices.IndexFunc(shop.EnterpriseProjects, func(p simcloud.Project) bool { return p.Name == "eshop" })
		st.Grant.Scope.ID = shop.EnterpriseProjects[i].ID
	}
	return st
}

// holds says whether the step has had its effect on the agency, straight from the cloud's state.
func (s *shopSite) holds(st *rules.Step) bool {
	g := s.coc()
	if st.Grant.Scope.Kind == rules.Identity {
		return slices.Contains(g.Attached, st.Grant.Policy.Name)
	}
	shop := s.shop()
	return slices.ContainsFunc(g.Grants, func(x simcloud.Grant) bool {
		in := x.In
		for _, p := range slices.Concat(shop.Projects, shop.EnterpriseProjects) {
			if p.Name == in {
				in = p.ID
			}
		}
		return x.PolicyID == st.Grant.Policy.ID && x.Scope == string(st.Grant.Scope.Kind) && in == st.Grant.Scope.ID
	})
}

// writes are the steps that there can be: one for each request that changes something.
func writes(t testing.TB, s *shopSite) []*rules.Step {
	return []*rules.Step{
		s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess"), s.step(t, rules.ActionGrant, rules.AllResources, "COCServiceAgencyDefaultPolicy"),
		s.step(t, rules.ActionRevoke, rules.Global, "Tenant Guest"), s.step(t, rules.ActionRevoke, rules.AllResources, "Tenant Guest"),
		s.step(t, rules.ActionRevoke, rules.Project, "DCS UserAccess"), s.step(t, rules.ActionRevoke, rules.EnterpriseProject, "DCS UserAccess"),
		s.step(t, rules.ActionRevoke, rules.Identity, "Extra"),
	}
}

// name is what a test of a step is called.
func name(s *rules.Step) string { return fmt.Sprintf("%s at %s", s.Action, s.Grant.Scope.Kind) }

// Each step does what it says, in one request with exactly the published rights, and nothing else.
func TestAStepIsOneRequest(t *testing.T) {
	t.Parallel()
	for _, via := range []huawei.Via{huawei.ViaIAM, huawei.ViaSTS} {
		s := newShop(t, nil)
		for i, st := range writes(t, s) {
			w := s.writer(t, st.Action, via)
			if s.holds(st) == (st.Action == rules.ActionGrant) {
				t.Fatalf("%s: nothing to do", name(st))
			}
			a := w.Apply(t.Context(), st)
			if a.Said != auditor.SaidDone || a.Why != nil || a.RequestID == "" {
				t.Fatalf("%s: %+v %v", name(st), a, a.Why)
			}
			if s.holds(st) != (st.Action == rules.ActionGrant) {
				t.Errorf("%s: it was not done", name(st))
			}
			j := s.cloud.Journal()
			if len(j) != i+1 || j[i].RequestID != a.RequestID || j[i].PolicyID != st.Grant.Policy.ID || j[i].Scope != string(st.Grant.Scope.Kind) ||
				j[i].In != st.Grant.Scope.ID || !strings.HasPrefix(j[i].Actor, "agency/AgencyAudit") || j[i].AccountID != st.AccountID {
				t.Errorf("%s: journal %+v", name(st), j)
			}
			if n := w.Requests()[j[i].Operation]; n != 1 {
				t.Errorf("%s: %d requests", name(st), n)
			}
		}
	}
}

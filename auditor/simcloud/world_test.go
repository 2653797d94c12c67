package simcloud_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// The names and ids of the small organization that the tests live in.
const (
	region = "ap-southeast-3"

	alphaID      = "d0000000000000000000000000000001"
	betaID       = "d0000000000000000000000000000002"
	managementID = "d0000000000000000000000000000003"
	plainID      = "d0000000000000000000000000000004"
	frozenID     = "d0000000000000000000000000000005"
	serviceID    = "c0c00000000000000000000000000001"
	strangerID   = "ee000000000000000000000000000001"

	cocID      = "0a000000000000000000000000000001"
	readerID   = "0a000000000000000000000000000002"
	expiredID  = "0a000000000000000000000000000003"
	foreignID  = "0a000000000000000000000000000004"
	betaCOCID  = "0b000000000000000000000000000001"
	subID      = "b0000000000000000000000000000001"
	payrollID  = "e0000000000000000000000000000001"
	customID   = "f0000000000000000000000000000001"
	customV5ID = "f0000000000000000000000000000005"

	coc    = "ServiceAgencyForCOC"
	reader = "AgencyAuditReader"
)

var (
	begin = time.Date(2024, 9, 2, 6, 11, 27, 0, time.UTC)
	// The keys of the organization's users: what they are allowed stands with the users.
	adminKey   = simcloud.Key{Access: "AKALPHAADMIN", Secret: "alpha-admin-secret"}
	readKey    = simcloud.Key{Access: "AKALPHAREADER", Secret: "alpha-reader-secret"}
	nobodyKey  = simcloud.Key{Access: "AKALPHANOBODY", Secret: "alpha-nobody-secret"}
	betaKey    = simcloud.Key{Access: "AKBETAADMIN", Secret: "beta-admin-secret"}
	auditorKey = simcloud.Key{Access: "AKAUDITOR", Secret: "management-auditor-secret"}
	limitedKey = simcloud.Key{Access: "AKLIMITED", Secret: "management-limited-secret"}
	plainKey   = simcloud.Key{Access: "AKPLAIN", Secret: "plain-admin-secret"}
	frozenKey  = simcloud.Key{Access: "AKFROZEN", Secret: "frozen-admin-secret"}
)

func users(name string, key simcloud.Key, actions ...string) []simcloud.User {
	return []simcloud.User{{Name: name, Keys: []simcloud.Key{key}, Actions: actions}}
}

// organization returns a fresh small organization.
func organization() *simcloud.Organization {
	trusted := simcloud.Trust{Name: "op_svc_COC"}
	return &simcloud.Organization{
		Region:          region,
		ServiceAccounts: map[string]string{"op_svc_COC": serviceID},
		Instances:       []simcloud.Instance{{Name: "vm", Account: "management", Agency: "ForServers"}},
		Pods: []simcloud.Pod{{Name: "pod", Account: "management", Agency: "ForPods", Token: "made-up-token",
			KeyLifetime: time.Hour}},
		SystemPolicies: []simcloud.Policy{
			{DisplayName: "Withdrawn Access", Type: "AA", Allow: []string{"iam:*:*"}, Hidden: true},
			{DisplayName: "Nowhere Access", Type: "XX", Allow: []string{"iam:*:get*"}},
		},
		Structure: &simcloud.Structure{
			ID: "o-1", RootID: "r-1", Management: "management", CreatedAt: begin,
			Units: []simcloud.Unit{
				{ID: "ou-1", Name: "Workloads", Tags: map[string]string{"owner": "platform"},
					Units: []simcloud.Unit{{ID: "ou-11", Name: "Production"}, {ID: "ou-12", Name: "Testing"}}},
				{ID: "ou-2", Name: "Closing"},
			},
			Delegates: []simcloud.Delegate{{Account: "alpha", EnabledAt: begin}},
		},
		Accounts: []simcloud.Account{
			{
				ID: alphaID, Name: "alpha",
				Member: &simcloud.Member{OU: "Workloads/Production", JoinMethod: "created", JoinedAt: begin,
					Tags: map[string]string{"owner": "shop", "env": "prod"}},
				Projects:           []simcloud.Project{{ID: subID, Name: region + "_sub"}},
				EnterpriseProjects: []simcloud.Project{{ID: payrollID, Name: "payroll"}},
				Users: []simcloud.User{
					{Name: "admin", Keys: []simcloud.Key{adminKey}, Actions: []string{"*:*:*"},
						Policies: []string{"IAMReadOnlyPolicy"}}, // which role assignments do not show
					{Name: "reader", Keys: []simcloud.Key{readKey}, Policies: []string{"IAM ReadOnlyAccess"}},
					{Name: "nobody", Keys: []simcloud.Key{nobodyKey}},
				},
				Policies: []simcloud.Policy{
					{ID: customID, DisplayName: "audit-read", Type: "AX", Description: "what auditors may do",
						Allow: []string{"iam:agencies:assume"}, Resources: []string{"/iam/agencies/" + cocID}},
					{ID: customV5ID, DisplayName: "audit-identity", Version: "5.0", Allow: []string{"iam:agencies:listV5"}},
				},
				Agencies: []simcloud.Agency{
					{
						ID: cocID, Name: coc, Trust: trusted, CreatedAt: begin,
						Grants: []simcloud.Grant{
							{Policy: "IAM ReadOnlyAccess", Scope: "global"},
							{Policy: "RMS ReadOnlyAccess", Scope: "global"},
							{Policy: "DCS UserAccess", Scope: "all_resources"},
							{Policy: "COCServiceAgencyDefaultPolicy", Scope: "all_resources"},
							{Policy: "Tenant Guest", Scope: "project", In: region + "_sub"},
							{Policy: "Tenant Administrator", Scope: "enterprise_project", In: "payroll"},
						},
						Attached: []string{"IAMReadOnlyPolicy", "audit-identity"},
					},
					{ID: readerID, Name: reader, Trust: simcloud.Trust{Name: "management"}, CreatedAt: begin,
						Description: "read by the security team",
						Grants:      []simcloud.Grant{{Policy: "IAM ReadOnlyAccess", Scope: "global"}}},
					{ID: expiredID, Name: "Expired", Trust: simcloud.Trust{ID: managementID}, CreatedAt: begin,
						ExpiresAt: begin.Add(20 * 24 * time.Hour)},
					{ID: foreignID, Name: "Foreign", Trust: simcloud.Trust{ID: strangerID, Name: "stranger"}, CreatedAt: begin},
				},
			},
			{
				ID: betaID, Name: "beta", Member: &simcloud.Member{OU: "ou-12"}, Users: users("admin", betaKey, "*"),
				Agencies: []simcloud.Agency{{ID: betaCOCID, Name: coc, Trust: trusted, CreatedAt: begin}},
			},
			{
				ID: managementID, Name: "management", Member: &simcloud.Member{},
				Agencies: []simcloud.Agency{
					{Name: "ForServers", Trust: trusted, Grants: []simcloud.Grant{{Policy: "IAM ReadOnlyAccess", Scope: "global"}}},
					{Name: "ForPods", TrustPolicy: &simcloud.TrustPolicy{Principals: []string{"service.CCE"}},
						Attached: []string{"IAMReadOnlyPolicy"}},
				},
				Policies: []simcloud.Policy{{DisplayName: "assume-alpha-reader", Allow: []string{"iam:agencies:assume"},
					Resources: []string{"/iam/agencies/" + readerID}}},
				Users: []simcloud.User{
					{Name: "auditor", Keys: []simcloud.Key{auditorKey}, Policies: []string{"Agent Operator"},
						Actions: []string{"sts:agencies:assume"}},
					{Name: "limited", Keys: []simcloud.Key{limitedKey}, Policies: []string{"assume-alpha-reader"}},
				},
			},
			{
				ID: plainID, Name: "plain", Users: users("admin", plainKey, "*:*:*"),
				Planes:   simcloud.Planes{NoEnterpriseProjects: true, NoIdentity: true},
				Agencies: []simcloud.Agency{{Name: coc, Trust: trusted}},
			},
			{
				ID: frozenID, Name: "frozen", Status: "suspended", Member: &simcloud.Member{OU: "Closing"}, Users: users("admin", frozenKey, "*:*:*"),
				Agencies: []simcloud.Agency{{Name: reader, Trust: simcloud.Trust{Name: "management"}}},
			},
		},
	}
}

// newCloud makes a cloud of the small organization as the changes leave it.
func newCloud(t testing.TB, change ...func(*simcloud.Organization)) *simcloud.Cloud {
	t.Helper()
	org := organization()
	for _, do := range change {
		do(org)
	}
	c, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// switches changes the switches of an organization.
func switches(do func(*simcloud.Switches)) func(*simcloud.Organization) {
	return func(o *simcloud.Organization) { do(&o.Settings.Switches) }
}

// serve puts a cloud behind a real HTTP port.
func serve(t testing.TB, c *simcloud.Cloud) string {
	t.Helper()
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	return s.URL
}

// policyID returns the id of a policy by its display name.
func policyID(t testing.TB, c *simcloud.Cloud, name string) string {
	t.Helper()
	for _, p := range c.Catalogue() {
		if p.DisplayName == name {
			return p.ID
		}
	}
	t.Fatalf("the catalogue has no policy %q", name)
	return ""
}

// do sends a request to a cloud within the process.
func do(c http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w.Result()
}

// grantsOf returns what an agency truly holds as "policy scope in".
func grantsOf(c *simcloud.Cloud, account, agency string) []string {
	var out []string
	for _, a := range c.Organization().Accounts {
		for _, g := range a.Agencies {
			if a.Name != account || g.Name != agency {
				continue
			}
			for _, x := range g.Grants {
				out = append(out, fmt.Sprint(x.Policy, " ", x.Scope, " ", x.In))
			}
		}
	}
	return out
}

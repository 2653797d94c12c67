package simcloud_test

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

func TestNewReportsEveryProblemAtItsPath(t *testing.T) {
	org := organization()
	org.Region = ""
	org.ServiceAccounts["op_svc_coc"] = serviceID // differs in case only, and has the id too
	org.Settings = simcloud.Settings{Latency: -1, Switches: simcloud.Switches{Throttle: "429"}}
	org.SystemPolicies = append(org.SystemPolicies,
		simcloud.Policy{Type: "BX", Version: "2", Allow: []string{"iam:list", "*", "iam:*:*"}})
	alpha := &org.Accounts[0]
	alpha.Projects = append(alpha.Projects, simcloud.Project{Name: subIDName}, simcloud.Project{})
	alpha.Users[0].Policies = []string{"No Such Policy", "OBS Administrator"}
	alpha.Users[1].Name = "admin"
	alpha.Users[1].Actions = []string{"everything"}
	alpha.Users[2].Keys = []simcloud.Key{{Access: adminKey.Access, Secret: "x"},
		{Access: "a b", Secret: "sesame"}, {Access: "ok"}}
	alpha.Policies[0].Type = "AA"
	alpha.Policies[1].DisplayName = "audit-read"
	g := &alpha.Agencies[0]
	g.Grants = []simcloud.Grant{
		{Policy: "IAM ReadOnlyAccess", Scope: "everywhere"},
		{Scope: "global"},
		{Policy: "No Such Policy", Scope: "global"},
		{PolicyID: "nothing", Scope: "global"},
		{PolicyID: customID, Policy: "another", Scope: "global"},
		{Policy: "OBS Administrator", Scope: "global"},
		{Policy: "audit-read", Scope: "global"}, // custom, but not said to be
		{PolicyID: customV5ID, Scope: "global"},
		{Policy: "Tenant Guest", Scope: "global", In: region},
		{Policy: "Tenant Guest", Scope: "project", In: "MOS"},
		{Policy: "Tenant Guest", Scope: "enterprise_project"},
		{Policy: "Tenant Guest", Scope: "global"},
		{Policy: "Tenant Guest", Scope: "global"},
	}
	g.Attached = []string{"IAMReadOnlyPolicy", "IAMReadOnlyPolicy", "nothing", "Tenant Guest"}
	alpha.Agencies[1].Trust = simcloud.Trust{Name: "nobody"}
	alpha.Agencies[2].Trust = simcloud.Trust{ID: managementID, Name: "gamma"}
	alpha.Agencies[2].ExpiresAt = begin
	alpha.Agencies[3].Trust = simcloud.Trust{ID: alphaID, Name: "management"}
	alpha.Agencies = append(alpha.Agencies, simcloud.Agency{Name: "Twin", Trust: simcloud.Trust{Name: "beta"}},
		simcloud.Agency{Name: "Twin", Trust: simcloud.Trust{Name: "beta"}},
		simcloud.Agency{ID: "a/b", Name: strings.Repeat("n", 65)})
	org.Accounts[1].ID, org.Accounts[1].Status = alphaID, "not open"
	org.Accounts[4].Name = "alpha"
	plain := &org.Accounts[3]
	plain.EnterpriseProjects = []simcloud.Project{{Name: "p"}}
	plain.Agencies[0].Grants = []simcloud.Grant{{Policy: "Tenant Guest", Scope: "enterprise_project", In: "p"}}
	plain.Agencies[0].Attached = []string{"IAMReadOnlyPolicy"}

	_, err := simcloud.New(org)
	problems, ok := errors.AsType[simcloud.Problems](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	got := map[string]string{}
	for _, p := range problems {
		got[p.Path] += p.Message
		if !strings.Contains(err.Error(), p.Path+": "+p.Message) {
			t.Errorf("%q does not contain %v", err, p)
		}
	}
	want := map[string]string{
		"$.region":                                      "is missing",
		"$.service_accounts.op_svc_coc":                 "in case only",
		"$.service_accounts.op_svc_coc.id":              "already has",
		"$.settings.latency":                            "0s or more",
		"$.settings.switches.throttle":                  "write one of APIGW.0308, IAM.0012",
		"$.system_policies[2].display_name":             "is missing",
		"$.system_policies[2].type":                     "write one of AX, XA, AA, XX",
		"$.system_policies[2].version":                  "5.0 for an identity policy",
		"$.system_policies[2].allow[0]":                 "service:resource:operation",
		"$.accounts[0].projects[1].name":                "as another project",
		"$.accounts[0].projects[2].name":                "is missing",
		"$.accounts[0].users[0].policies[0]":            "names no policy",
		"$.accounts[0].users[0].policies[1]":            "write the id",
		"$.accounts[0].users[1].name":                   "as another user",
		"$.accounts[0].users[1].id":                     "already has",
		"$.accounts[0].users[1].actions[0]":             "service:resource:operation",
		"$.accounts[0].users[2].keys[0].access":         "already has",
		"$.accounts[0].users[2].keys[1].access":         "letters, digits",
		"$.accounts[0].users[2].keys[2].secret":         "is missing",
		"$.accounts[0].policies[0].type":                "write one of AX, XA",
		"$.accounts[0].policies[1].display_name":        "as another custom policy",
		"$.accounts[0].agencies[0].grants[0].scope":     "write one of global, all_resources, project, enterprise_project",
		"$.accounts[0].agencies[0].grants[1].policy":    "is missing",
		"$.accounts[0].agencies[0].grants[2].policy":    "names no system-defined policy",
		"$.accounts[0].agencies[0].grants[3].policy_id": "names no policy",
		"$.accounts[0].agencies[0].grants[4].policy":    `"audit-read"`,
		"$.accounts[0].agencies[0].grants[5].policy":    "names 3 policies",
		"$.accounts[0].agencies[0].grants[6].policy":    "names no system-defined policy",
		"$.accounts[0].agencies[0].grants[7]":           "put it under attached",
		"$.accounts[0].agencies[0].grants[8].in":        "the whole account",
		"$.accounts[0].agencies[0].grants[9].in":        "MOS",
		"$.accounts[0].agencies[0].grants[10].in":       "names no enterprise project",
		"$.accounts[0].agencies[0].grants[12]":          "repeats a grant",
		"$.accounts[0].agencies[0].attached[1]":         "repeats an attachment",
		"$.accounts[0].agencies[0].attached[2]":         "names no identity policy",
		"$.accounts[0].agencies[0].attached[3]":         "names no identity policy",
		"$.accounts[0].agencies[1].trust":               "give its id as well",
		"$.accounts[0].agencies[2].trust":               "contradicts itself",
		"$.accounts[0].agencies[2].expires_at":          "is not after created_at",
		"$.accounts[0].agencies[3].trust":               "contradicts itself",
		"$.accounts[0].agencies[5].id":                  "need an id each",
		"$.accounts[0].agencies[6].id":                  "letters, digits",
		"$.accounts[0].agencies[6].name":                "1 to 64 characters",
		"$.accounts[0].agencies[6].trust":               "is missing",
		"$.accounts[1].id":                              "already has",
		"$.accounts[1].users[0].id":                     "already has", // for the account has the other's id
		"$.accounts[1].status":                          "another word",
		"$.accounts[4].name":                            "as another account",
		"$.accounts[3].enterprise_projects":             "no_enterprise_projects",
		"$.accounts[3].agencies[0].grants[0].scope":     "no_enterprise_projects",
		"$.accounts[3].agencies[0].attached[0]":         "no_identity",
	}
	for path, text := range want {
		if !strings.Contains(got[path], text) {
			t.Errorf("%s: %q, want %q", path, got[path], text)
		}
		delete(got, path)
	}
	for path, text := range got {
		t.Errorf("not expected: %s: %s", path, text)
	}
	if strings.Contains(err.Error(), "sesame") {
		t.Error("the error shows a secret")
	}
}

func TestIDsAreDerivedFromNames(t *testing.T) {
	strip := func(o *simcloud.Organization) {
		for i := range o.Accounts {
			a := &o.Accounts[i]
			a.ID = ""
			a.Policies = nil
			for j := range a.Users {
				a.Users[j].Policies = nil
			}
			a.EnterpriseProjects, a.Projects = []simcloud.Project{{Name: "payroll"}}, []simcloud.Project{{Name: subIDName}}
			if a.Planes.NoEnterpriseProjects {
				a.EnterpriseProjects = nil
			}
			for j := range a.Agencies {
				g := &a.Agencies[j]
				g.ID, g.Attached, g.Grants = "", nil, []simcloud.Grant{{Policy: "Tenant Guest", Scope: "project", In: subIDName}}
				if g.TrustPolicy != nil {
					g.Grants = nil
				} else if g.Trust.ID != strangerID {
					g.Trust = simcloud.Trust{Name: "beta"}
				}
			}
		}
	}
	first, second := newCloud(t, strip).Organization(), newCloud(t, strip).Organization()
	if encode(t, first) != encode(t, second) {
		t.Error("two clouds of one organization have different ids")
	}
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	ids := map[string]bool{}
	check := func(id string) {
		t.Helper()
		if !hex.MatchString(id) || ids[id] {
			t.Errorf("id %q", id)
		}
		ids[id] = true
	}
	for _, a := range first.Accounts {
		check(a.ID)
		for _, p := range a.Projects {
			if p.Name != "MOS" {
				check(p.ID)
			}
		}
		for _, u := range a.Users {
			check(u.ID)
		}
		for _, g := range a.Agencies {
			if check(g.ID); g.TrustPolicy != nil {
				continue
			}
			if !hex.MatchString(g.Trust.ID) || !hex.MatchString(g.Grants[0].PolicyID) || !hex.MatchString(g.Grants[0].In) {
				t.Errorf("agency %+v", g)
			}
		}
	}
}

func TestTheSnapshotIsDeepAndMakesTheSameCloudAgain(t *testing.T) {
	org := organization()
	c, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	before := encode(t, c.Organization())
	// Neither the organization that the cloud was made of nor what it shows is the cloud's own.
	for _, o := range []*simcloud.Organization{org, c.Organization()} {
		o.ServiceAccounts["op_svc_COC"] = "x"
		o.SystemPolicies[0].Allow[0] = "x"
		a := &o.Accounts[0]
		a.Users[0].Keys[0].Secret, a.Users[0].Actions[0], a.Users[1].Policies[0] = "x", "x", "x"
		a.Policies[0].Allow[0], a.Policies[0].Resources[0] = "x", "x"
		a.Projects[0].Name, a.EnterpriseProjects[0].Name = "x", "x"
		a.Agencies[0].Grants[0].PolicyID, a.Agencies[0].Attached[0] = "x", "x"
	}
	if after := encode(t, c.Organization()); after != before {
		t.Errorf("the state changed from\n%s\nto\n%s", before, after)
	}
	put("project", readerID, policyID(t, c, "Tenant Guest")).send(t, c).accepted(t, 204)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSuspend, Account: "beta"})
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSettings, Settings: &simcloud.Settings{
		ReadAfterWriteDelays: map[string]time.Duration{"ListAgencies": time.Second},
		Failures:             []simcloud.Failure{{Style: "reset", Skip: 5}}}})
	now := c.Organization()
	again, err := simcloud.New(now)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := encode(t, again.Organization()), encode(t, now); got != want {
		t.Errorf("made again:\n%s\nwant\n%s", got, want)
	}
	grants := now.Accounts[0].Agencies[0].Grants
	if want := (simcloud.Grant{Policy: "Tenant Guest", PolicyID: policyID(t, c, "Tenant Guest"), Scope: "project",
		In: subID}); !slices.Contains(grants, want) {
		t.Errorf("grants %+v, want %+v among them", grants, want)
	}
}

// Projects that every account has may be listed in the file: they keep their odd ids, and are there once.
func TestProjectsThatEveryAccountHas(t *testing.T) {
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[1].Projects = []simcloud.Project{{Name: "MOS"}, {Name: region}}
		o.Accounts[1].EnterpriseProjects = []simcloud.Project{{Name: "default"}}
	})
	listed, unlisted := c.Organization().Accounts[1], newCloud(t).Organization().Accounts[1]
	if want := []simcloud.Project{{ID: "MOS", Name: "MOS"}, unlisted.Projects[0]}; !slices.Equal(listed.Projects, want) {
		t.Errorf("projects %v, want %v", listed.Projects, want)
	}
	want := []simcloud.Project{{ID: "0", Name: "default"}}
	if !slices.Equal(listed.EnterpriseProjects, want) || !slices.Equal(unlisted.EnterpriseProjects, want) {
		t.Errorf("enterprise projects %v and %v, want %v", listed.EnterpriseProjects, unlisted.EnterpriseProjects, want)
	}
}

// ExpiresIn counts by the clock that the cloud is made with.
func TestExpiresInCountsByTheCloudsClock(t *testing.T) {
	k := newClock()
	org := organization()
	org.Accounts[0].Agencies[1].ExpiresIn = time.Hour
	c, err := simcloud.NewAt(org, k.now)
	if err != nil {
		t.Fatal(err)
	}
	if body := k.ask(t, c, "GET", agencies+"/"+readerID, "").body; !strings.Contains(body, "2026-01-02T04:04:05.000000") {
		t.Errorf("agency %s", body)
	}
}

// Custom policies of one account are shared by nobody, and an organization may replace a policy of the catalogue.
func TestPoliciesOfTheOrganization(t *testing.T) {
	iam := policyID(t, newCloud(t), "IAM ReadOnlyAccess")
	c := newCloud(t, func(o *simcloud.Organization) {
		o.SystemPolicies = append(o.SystemPolicies, simcloud.Policy{ID: iam, DisplayName: "IAM ReadOnlyAccess",
			InternalName: "system_all_24", Type: "AX", Catalog: "IAM", Allow: []string{"iam:agencies:listAgencies"}})
	})
	r := get(readKey, "/v3/roles/"+iam).send(t, c)
	r.wantKeystone(t, 403, "identity:get_role") // the replaced policy does not allow it any more
	if body := get(adminKey, "/v3/roles/"+iam).send(t, c).body; !strings.Contains(body, `"name":"system_all_24"`) {
		t.Errorf("policy %s", body)
	}
	withdrawn := policyID(t, c, "Withdrawn Access")
	get(adminKey, "/v3/roles/"+withdrawn).send(t, c).wantKeystone(t, 404, "Could not find role")
	if body := get(adminKey, "/v3/roles?display_name=Withdrawn").send(t, c).body; strings.Contains(body, withdrawn) {
		t.Errorf("policies %s", body)
	}
	put("global", readerID, withdrawn).send(t, c).accepted(t, 204)
	if _, got := rows(t, get(adminKey, assignments+"?scope=domain&domain_id="+alphaID+"&subject.agency_id="+readerID).
		send(t, c)); !slices.Contains(got, withdrawn) {
		t.Errorf("rows %v", got)
	}
}

package simcloud_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	m5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	morg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"
	msts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// published are the actions of a policy document that the project publishes.
func published(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../deploy/iam", file))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Statement) != 1 || len(doc.Statement[0].Action) == 0 {
		t.Fatalf("%s: %v, %+v", file, err, doc)
	}
	return doc.Statement[0].Action
}

// writes sends every request by which something can be changed, or another identity be taken on, with the official SDK. Each is
// one that an administrator would have granted.
func writes(t testing.TB, c *simcloud.Cloud, s sdk) map[string]func() error {
	t.Helper()
	role, forever := policyID(t, c, "Server Administrator"), interface{}("FOREVER")
	held := func(name string) string { return policyID(t, c, name) }
	onEP := func(role, ep string) *m3.AssociateRoleToAgencyOnEnterpriseProjectRequest {
		return &m3.AssociateRoleToAgencyOnEnterpriseProjectRequest{Body: &m3.CreateAgencyEpPolicyAssignmentReqBody{
			RoleAssignments: []m3.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{{AgencyId: cocID, EnterpriseProjectId: ep, RoleId: role}},
		}}
	}
	err := func(_ any, err error) error { return err }
	return map[string]func() error{
		"CreateAgency": func() error {
			return err(s.v3.CreateAgency(&m3.CreateAgencyRequest{Body: &m3.CreateAgencyRequestBody{Agency: &m3.CreateAgencyOption{
				Name: "made", DomainId: alphaID, TrustDomainName: ptr("beta"), Duration: &forever,
			}}}))
		},
		"UpdateAgency": func() error {
			return err(s.v3.UpdateAgency(&m3.UpdateAgencyRequest{AgencyId: cocID, Body: &m3.UpdateAgencyRequestBody{
				Agency: &m3.UpdateAgencyOption{TrustDomainId: ptr(betaID)},
			}}))
		},
		"DeleteAgency": func() error { return err(s.v3.DeleteAgency(&m3.DeleteAgencyRequest{AgencyId: expiredID})) },
		"AssociateAgencyWithDomainPermission": func() error {
			return err(s.v3.AssociateAgencyWithDomainPermission(&m3.AssociateAgencyWithDomainPermissionRequest{DomainId: alphaID, AgencyId: cocID, RoleId: role}))
		},
		"RemoveDomainPermissionFromAgency": func() error {
			return err(s.v3.RemoveDomainPermissionFromAgency(&m3.RemoveDomainPermissionFromAgencyRequest{DomainId: alphaID, AgencyId: cocID, RoleId: held("IAM ReadOnlyAccess")}))
		},
		"AssociateAgencyWithProjectPermission": func() error {
			return err(s.v3.AssociateAgencyWithProjectPermission(&m3.AssociateAgencyWithProjectPermissionRequest{ProjectId: subID, AgencyId: cocID, RoleId: role}))
		},
		"RemoveProjectPermissionFromAgency": func() error {
			return err(s.v3.RemoveProjectPermissionFromAgency(&m3.RemoveProjectPermissionFromAgencyRequest{ProjectId: subID, AgencyId: cocID, RoleId: held("Tenant Guest")}))
		},
		"AssociateAgencyWithAllProjectsPermission": func() error {
			return err(s.v3.AssociateAgencyWithAllProjectsPermission(&m3.AssociateAgencyWithAllProjectsPermissionRequest{DomainId: alphaID, AgencyId: cocID, RoleId: role}))
		},
		"RemoveAllProjectsPermissionFromAgency": func() error {
			return err(s.v3.RemoveAllProjectsPermissionFromAgency(&m3.RemoveAllProjectsPermissionFromAgencyRequest{DomainId: alphaID, AgencyId: cocID, RoleId: held("DCS UserAccess")}))
		},
		"AssociateRoleToAgencyOnEnterpriseProject": func() error {
			return err(s.v3.AssociateRoleToAgencyOnEnterpriseProject(onEP(role, "0")))
		},
		"RevokeRoleFromAgencyOnEnterpriseProject": func() error {
			return err(s.v3.RevokeRoleFromAgencyOnEnterpriseProject(&m3.RevokeRoleFromAgencyOnEnterpriseProjectRequest{
				Body: &m3.CreateOrDelAgencyEpPolicyAssignmentReqBody{
					RoleAssignments: []m3.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{
						{AgencyId: cocID, EnterpriseProjectId: payrollID, RoleId: held("Tenant Administrator")},
					},
				},
			}))
		},
		"AttachAgencyPolicyV5": func() error {
			return err(s.v5.AttachAgencyPolicyV5(&m5.AttachAgencyPolicyV5Request{PolicyId: customV5ID, Body: &m5.AttachAgencyPolicyReqBody{AgencyId: readerID}}))
		},
		"DetachAgencyPolicyV5": func() error {
			return err(s.v5.DetachAgencyPolicyV5(&m5.DetachAgencyPolicyV5Request{PolicyId: customV5ID, Body: &m5.DetachAgencyPolicyReqBody{AgencyId: cocID}}))
		},
		"CreateTemporaryAccessKeyByAgency": func() error {
			return err(s.v3.CreateTemporaryAccessKeyByAgency(&m3.CreateTemporaryAccessKeyByAgencyRequest{
				Body: &m3.CreateTemporaryAccessKeyByAgencyRequestBody{Auth: &m3.AgencyAuth{Identity: &m3.AgencyAuthIdentity{
					Methods:    []m3.AgencyAuthIdentityMethods{m3.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
					AssumeRole: &m3.IdentityAssumerole{AgencyName: "ToAlpha", DomainId: ptr(betaID)},
				}}},
			}))
		},
		"AssumeAgency": func() error { return assumed(s, "iam::"+betaID+":agency:ToAlpha") },
	}
}

// assumed assumes an agency by STS.
func assumed(s sdk, urn string) error {
	_, err := s.sts.AssumeAgency(&msts.AssumeAgencyRequest{Body: &msts.AssumeAgencyReqBody{
		AgencyUrn: urn, AgencySessionName: "tested", ExternalId: ptr("sesame"),
	}})
	return err
}

// testedUser is a user of the account alpha with exactly these rights.
func testedUser(user simcloud.User, policies ...simcloud.Policy) (func(*simcloud.Organization), simcloud.Key) {
	key := simcloud.Key{Access: "AKTESTED", Secret: "tested-secret"}
	return func(o *simcloud.Organization) {
		user.Name, user.Keys = "tested", []simcloud.Key{key}
		o.Accounts[0].Users = append(o.Accounts[0].Users, user)
		o.Accounts[0].Policies = append(o.Accounts[0].Policies, policies...)
		for _, name := range []string{"ToAlpha", reader} {
			o.Accounts[1].Agencies = append(o.Accounts[1].Agencies, simcloud.Agency{Name: name, Trust: simcloud.Trust{Name: "alpha"}})
		}
	}, key
}

// The reader that the project publishes, and IAM ReadOnlyAccess in its place, can change nothing: whatever the cloud can do, it
// is refused. The same requests are carried out for an administrator, so that the refusals are about rights.
func TestTheReaderCannotWrite(t *testing.T) {
	policy := func(version, file string) simcloud.Policy {
		return simcloud.Policy{DisplayName: "published", Type: "AX", Version: version, Allow: published(t, file)}
	}
	for name, c := range map[string]struct {
		user     simcloud.User
		policies []simcloud.Policy
		refused  bool
	}{
		"reader, version 1.1": {simcloud.User{Policies: []string{"published"}}, []simcloud.Policy{policy("1.1", "v1.1/reader.json")}, true},
		"reader, version 5.0": {simcloud.User{Policies: []string{"published"}}, []simcloud.Policy{policy("5.0", "v5.0/reader.json")}, true},
		"IAM ReadOnlyAccess":  {simcloud.User{Policies: []string{"IAM ReadOnlyAccess"}}, nil, true},
		"administrator":       {simcloud.User{Actions: []string{"*:*:*"}}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if c.policies != nil && c.policies[0].Version == "5.0" {
				c.policies[0].Type = ""
			}
			with, key := testedUser(c.user, c.policies...)
			cloud := newCloud(t, with)
			s := newSDK(t, serve(t, cloud), alphaID, key, "", nil)
			all := writes(t, cloud, s)
			for _, name := range simcloud.Writes() {
				do := all[name]
				if do == nil {
					t.Errorf("nobody tried %s", name)
					continue
				}
				delete(all, name)
				switch err := do(); {
				case c.refused:
					wantStatus(t, err, 403)
				case err != nil:
					t.Errorf("%s is refused to an administrator: %v", name, err)
				}
			}
			if len(all) > 0 {
				t.Errorf("these are no writes: %v", all)
			}
			journal := cloud.Journal()
			if c.refused && len(journal) > 0 || !c.refused && len(journal) < len(simcloud.Writes())-2 { // making a key is no entry
				t.Errorf("%d entries in the journal: %+v", len(journal), journal)
			}
		})
	}
}

// Keys that were made by assuming the reader's agency are as helpless: they are what the auditor has in an account.
func TestAnAssumedReaderCannotWrite(t *testing.T) {
	for version, held := range map[string]simcloud.Agency{
		"1.1": {Grants: []simcloud.Grant{{Policy: "published", Custom: true, Scope: "global"}}}, "5.0": {Attached: []string{"published"}},
	} {
		t.Run(version, func(t *testing.T) {
			policy := simcloud.Policy{DisplayName: "published", Version: version, Allow: published(t, "v"+version+"/reader.json")}
			if version == "1.1" {
				policy.Type = "AX"
			}
			key := simcloud.Key{Access: "AKENTERING", Secret: "entering-secret"}
			cloud := newCloud(t, func(o *simcloud.Organization) {
				held.Name, held.Trust = "Tested", simcloud.Trust{Name: "beta"}
				o.Accounts[0].Policies = append(o.Accounts[0].Policies, policy)
				o.Accounts[0].Agencies = append(o.Accounts[0].Agencies, held)
				o.Accounts[1].Users = append(o.Accounts[1].Users, simcloud.User{Name: "entering", Keys: []simcloud.Key{key}, Actions: []string{"sts:agencies:assume"}})
			})
			url := serve(t, cloud)
			resp, err := newSDK(t, url, betaID, key, "", nil).sts.AssumeAgency(&msts.AssumeAgencyRequest{Body: &msts.AssumeAgencyReqBody{
				AgencyUrn: "iam::" + alphaID + ":agency:Tested", AgencySessionName: "tested",
			}})
			if err != nil {
				t.Fatal(err)
			}
			c := resp.Credentials
			s := newSDK(t, url, alphaID, simcloud.Key{Access: c.AccessKeyId, Secret: c.SecretAccessKey}, c.SecurityToken, nil)
			if _, err := s.v3.ListAgencies(&m3.ListAgenciesRequest{DomainId: alphaID}); err != nil {
				t.Errorf("it cannot read either: %v", err)
			}
			for name, do := range writes(t, cloud, s) {
				if err := do(); err == nil {
					t.Errorf("%s is let in", name)
				} else {
					wantStatus(t, err, 403)
				}
			}
			if n := len(cloud.Journal()); n > 0 {
				t.Errorf("%d entries in the journal", n)
			}
		})
	}
}

// The documents for repair let in what they say and nothing beyond: each of their actions is one of a write that the cloud has,
// granting and revoking share none, and neither makes, changes or deletes an agency.
func TestRepairCanDoWhatItMust(t *testing.T) {
	grants := []string{"AssociateAgencyWithDomainPermission", "AssociateAgencyWithAllProjectsPermission"}
	revokes := []string{
		"RemoveDomainPermissionFromAgency", "RemoveAllProjectsPermissionFromAgency", "RemoveProjectPermissionFromAgency",
		"RevokeRoleFromAgencyOnEnterpriseProject", "DetachAgencyPolicyV5",
	}
	for _, version := range []string{"1.1", "5.0"} {
		for file, may := range map[string][]string{"repair-grant.json": grants, "repair-revoke.json": revokes} {
			t.Run("v"+version+"/"+file, func(t *testing.T) {
				actions := published(t, "v"+version+"/"+file)
				if len(actions) != len(may) {
					t.Errorf("%d actions for %d requests: %q", len(actions), len(may), actions)
				}
				for skip := -1; skip < len(actions); skip++ {
					some := slices.Clone(actions)
					if skip >= 0 {
						some = slices.Delete(some, skip, skip+1)
					}
					p := simcloud.Policy{DisplayName: "published", Version: version, Allow: some}
					if version == "1.1" {
						p.Type = "AX"
					}
					with, key := testedUser(simcloud.User{Policies: []string{"published"}}, p)
					cloud := newCloud(t, with)
					s := newSDK(t, serve(t, cloud), alphaID, key, "", nil)
					var done []string
					for name, do := range writes(t, cloud, s) {
						if do() == nil {
							done = append(done, name)
						} else if skip < 0 && slices.Contains(may, name) {
							t.Errorf("%s is refused", name)
						}
					}
					if want := len(some); len(done) != want {
						t.Errorf("with %q: %q are let in", some, done)
					}
					for _, name := range done {
						if !slices.Contains(may, name) {
							t.Errorf("%s is let in", name)
						}
					}
				}
			})
		}
	}
}

// Whoever has the documents of the main identity can read the organization and enter the accounts, by either way, and nothing else;
// without one of the actions the request that it is for is refused.
func TestTheMainIdentityCanDoWhatItMust(t *testing.T) {
	reads := map[string]func(sdk) error{
		"organizations:organizations:get": func(s sdk) error {
			_, err := s.org.ShowOrganization(&morg.ShowOrganizationRequest{})
			return err
		},
		"organizations:roots:list": func(s sdk) error {
			_, err := s.org.ListRoots(&morg.ListRootsRequest{})
			return err
		},
		"organizations:ous:list": func(s sdk) error {
			_, err := s.org.ListOrganizationalUnits(&morg.ListOrganizationalUnitsRequest{})
			return err
		},
		"organizations:accounts:list": func(s sdk) error {
			_, err := s.org.ListAccounts(&morg.ListAccountsRequest{})
			return err
		},
		"organizations:tags:list": func(s sdk) error {
			_, err := s.org.ListTagsForResource(&morg.ListTagsForResourceRequest{ResourceId: betaID})
			return err
		},
	}
	with := func(t *testing.T, version string, resources []string, actions ...string) (*simcloud.Cloud, sdk) {
		p := simcloud.Policy{DisplayName: "published", Version: version, Allow: actions, Resources: resources}
		if version == "1.1" {
			p.Type = "AX"
		}
		user, key := testedUser(simcloud.User{Policies: []string{"published"}}, p)
		cloud := newCloud(t, user)
		return cloud, newSDK(t, serve(t, cloud), alphaID, key, "", nil)
	}
	for _, version := range []string{"1.1", "5.0"} {
		t.Run("v"+version, func(t *testing.T) {
			all := published(t, "v"+version+"/main-organizations.json")
			if len(all) != len(reads) {
				t.Errorf("%d actions for %d requests: %q", len(all), len(reads), all)
			}
			for skip := range len(all) + 1 {
				some := slices.Clone(all)
				if skip < len(all) {
					some = slices.Delete(some, skip, skip+1)
				}
				cloud, s := with(t, version, nil, some...)
				for action, read := range reads {
					if err := read(s); (err == nil) != slices.Contains(some, action) {
						t.Errorf("with %q, what needs %s: %v", some, action, err)
					}
				}
				for name, do := range writes(t, cloud, s) {
					if do() == nil {
						t.Errorf("%s is let in", name)
					}
				}
				if n := len(cloud.Journal()); n != 0 {
					t.Errorf("%d entries in the journal", n)
				}
			}
		})
	}
	t.Run("entering accounts by STS", func(t *testing.T) {
		const file = "v5.0/main-assume.json"
		text, err := os.ReadFile(filepath.Join("../../deploy/iam", file))
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Statement []struct{ Resource []string } }
		if err := json.Unmarshal(text, &doc); err != nil || len(doc.Statement) != 1 || len(doc.Statement[0].Resource) != 1 {
			t.Fatalf("%s: %v, %+v", file, err, doc)
		}
		cloud, s := with(t, "5.0", doc.Statement[0].Resource, published(t, file)...)
		for _, name := range []string{reader, "ToAlpha"} {
			allowed := name == reader
			if err := assumed(s, "iam::"+betaID+":agency:"+name); (err == nil) != allowed {
				t.Errorf("assuming %s: %v", name, err)
			}
		}
		for name, do := range writes(t, cloud, s) {
			if do() == nil {
				t.Errorf("%s is let in", name)
			}
		}
	})
}

// Whatever is published is an action that the cloud has a request for, once, in order, in the language of its folder.
func TestPublishedActionsAreSorted(t *testing.T) {
	files, err := filepath.Glob("../../deploy/iam/v*/*.json")
	if err != nil || len(files) < 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Version string }
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if want := strings.TrimPrefix(filepath.Base(filepath.Dir(file)), "v"); doc.Version != want {
			t.Errorf("%s has the version %q", file, doc.Version)
		}
		name, _ := filepath.Rel("../../deploy/iam", file)
		actions := published(t, name)
		if !slices.IsSorted(actions) || len(slices.Compact(slices.Clone(actions))) != len(actions) {
			t.Errorf("%s: %q", file, actions)
		}
		for _, a := range actions {
			if strings.Contains(a, "*") {
				t.Errorf("%s allows %s, which is more than is known", file, a)
			}
		}
	}
}

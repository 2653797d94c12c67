package simcloud_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	morg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// testSDKOrganization reads the organization as a delegated administrator.
func testSDKOrganization(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	o := must[*morg.ShowOrganizationResponse](t)(s.org.ShowOrganization(&morg.ShowOrganizationRequest{})).Organization
	if o.Id != "o-1" || o.Urn != "organizations::"+managementID+":organization:o-1" || o.ManagementAccountId != managementID ||
		o.ManagementAccountName != "management" || !time.Time(*o.CreatedAt).Equal(begin) {
		t.Errorf("organization %v", o)
	}
	roots := must[*morg.ListRootsResponse](t)(s.org.ListRoots(&morg.ListRootsRequest{}))
	if r := *roots.Roots; len(r) != 1 || r[0].Id != "r-1" || r[0].PolicyTypes == nil || roots.PageInfo.NextMarker != "" {
		t.Errorf("roots %v", roots)
	}
	units := func(parent *string) (out []string) {
		r := must[*morg.ListOrganizationalUnitsResponse](t)(s.org.ListOrganizationalUnits(
			&morg.ListOrganizationalUnitsRequest{ParentId: parent}))
		for _, u := range *r.OrganizationalUnits {
			out = append(out, u.Id+" "+u.Name)
			if u.Urn != "organizations::"+managementID+":ou:o-1/"+u.Id || time.Time(*u.CreatedAt).IsZero() {
				t.Errorf("unit %v", u)
			}
		}
		return out
	}
	for parent, want := range map[string]string{
		"": "ou-1 Workloads,ou-11 Production,ou-12 Testing,ou-2 Closing", "r-1": "ou-1 Workloads,ou-2 Closing",
		"ou-1": "ou-11 Production,ou-12 Testing", "ou-11": "",
	} {
		p := &parent
		if parent == "" {
			p = nil
		}
		if got := strings.Join(units(p), ","); got != want {
			t.Errorf("units below %q: %s, want %s", parent, got, want)
		}
	}
	all := must[*morg.ListAccountsResponse](t)(s.org.ListAccounts(&morg.ListAccountsRequest{}))
	var rows []string
	for _, a := range *all.Accounts {
		rows = append(rows, fmt.Sprint(a.Id, " ", a.Name, " ", a.JoinMethod, " ", a.Status))
		if a.Urn != "organizations::"+managementID+":account:o-1/"+a.Id || !time.Time(*a.JoinedAt).Equal(begin) || a.Email != nil {
			t.Errorf("account %v", a)
		}
	}
	want := []string{alphaID + " alpha created active", betaID + " beta invited active",
		managementID + " management created active", frozenID + " frozen invited suspended"}
	if !slices.Equal(rows, want) || *all.PageInfo.CurrentCount != 4 || all.PageInfo.NextMarker != "" {
		t.Errorf("accounts %q, want %q", rows, want)
	}
	below := must[*morg.ListAccountsResponse](t)(s.org.ListAccounts(&morg.ListAccountsRequest{
		ParentId: ptr("r-1"), WithRegisterContactInfo: ptr(true), Limit: ptr(int32(200))}))
	if a := *below.Accounts; len(a) != 1 || a[0].Id != managementID || a[0].Email == nil {
		t.Errorf("accounts directly below the root: %v", a)
	}
	shown := must[*morg.ShowAccountResponse](t)(s.org.ShowAccount(&morg.ShowAccountRequest{AccountId: betaID}))
	if shown.Account.Name != "beta" {
		t.Errorf("account %v", shown)
	}
	entities := func(q morg.ListEntitiesRequest) (out []string) {
		r := must[*morg.ListEntitiesResponse](t)(s.org.ListEntities(&q))
		for _, e := range *r.Entities {
			out = append(out, e.Type+" "+e.Name)
		}
		return out
	}
	for want, q := range map[string]morg.ListEntitiesRequest{
		"[account management organizational_unit Workloads organizational_unit Closing]": {ParentId: ptr("r-1")},
		"[organizational_unit Production]":                                               {ChildId: ptr(alphaID)},
		"[organizational_unit Workloads]":                                                {ChildId: ptr("ou-11")},
		"[]":                                                                             {ChildId: ptr("r-1")},
	} {
		if got := fmt.Sprint(entities(q)); got != want {
			t.Errorf("entities %s, want %s", got, want)
		}
	}
	if n := len(entities(morg.ListEntitiesRequest{})); n != 9 {
		t.Errorf("%d entities, want 9", n)
	}
	for id, want := range map[string]string{alphaID: "[env=prod owner=shop]", "ou-1": "[owner=platform]", "r-1": "[]",
		betaID: "[]"} {
		r := must[*morg.ListTagsForResourceResponse](t)(s.org.ListTagsForResource(
			&morg.ListTagsForResourceRequest{ResourceId: id}))
		got := []string{}
		for _, tag := range *r.Tags {
			got = append(got, tag.Key+"="+tag.Value)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("tags of %s: %s, want %s", id, got, want)
		}
	}
	d := must[*morg.ListDelegatedAdministratorsResponse](t)(s.org.ListDelegatedAdministrators(
		&morg.ListDelegatedAdministratorsRequest{}))
	if a := *d.DelegatedAdministrators; len(a) != 1 || a[0].AccountId != alphaID || a[0].AccountName != "alpha" ||
		!time.Time(*a[0].DelegationEnabledAt).Equal(begin) {
		t.Errorf("delegated administrators %v", a)
	}
}

// operator gives a user of the management account, of beta and of plain every right.
func operator(o *simcloud.Organization) {
	for _, i := range []int{1, 2, 3} {
		o.Accounts[i].Users[0].Actions = []string{"*:*:*"}
	}
}

// Only the management account and delegated administrators read the organization; the refusal is 401, in Organizations'
// own form. Every member may ask what organization it is in.
func TestOrganizationsRefusesOthers(t *testing.T) {
	paths := []string{"/roots", "/organizational-units", "/accounts", "/accounts/" + betaID, "/entities",
		"/resources/" + betaID + "/tags", "/delegated-administrators"}
	c := newCloud(t, operator)
	alone := newCloud(t, operator, func(o *simcloud.Organization) {
		o.Structure = nil
		for i := range o.Accounts {
			o.Accounts[i].Member = nil
		}
	})
	strict := newCloud(t, operator, switches(func(s *simcloud.Switches) { s.OrganizationReaders = "management" }))
	for _, path := range paths {
		get(auditorKey, orgs+path).send(t, c).accepted(t, 200)
		get(adminKey, orgs+path).send(t, c).accepted(t, 200)
		get(betaKey, orgs+path).send(t, c).wantCode(t, 401, "Organizations.1002", "delegated administrator")
		get(plainKey, orgs+path).send(t, c).wantCode(t, 401, "Organizations.1002", "")
		get(auditorKey, orgs+path).send(t, alone).wantCode(t, 401, "Organizations.1002", "")
		get(auditorKey, orgs+path).send(t, strict).accepted(t, 200)
		get(adminKey, orgs+path).send(t, strict).wantCode(t, 401, "Organizations.1001", "management account")
	}
	get(betaKey, orgs).send(t, c).accepted(t, 200)
	get(plainKey, orgs).send(t, c).wantCode(t, 404, "Organizations.1200", plainID)
	get(auditorKey, orgs).send(t, alone).wantCode(t, 404, "Organizations.1200", managementID)
	for path, what := range map[string]string{
		"/accounts/" + plainID: "account", "/accounts?parent_id=ou-9": "parent", "/entities?child_id=ou-9": "child",
		"/resources/" + plainID + "/tags": "resource", "/organizational-units?parent_id=" + alphaID: "parent",
	} {
		get(auditorKey, orgs+path).send(t, c).wantCode(t, 404, "Organizations.1200", what)
	}
}

// Lists are paged by markers, from 1 to 2000 rows, 200 of them unasked; contact data lowers that to 200.
func TestOrganizationsPages(t *testing.T) {
	c := newCloud(t, operator)
	var ids []string
	marker := ""
	for range 5 {
		var body struct {
			Accounts []struct {
				ID string `json:"id"`
			}
			PageInfo struct {
				Next  *string `json:"next_marker"`
				Count int     `json:"current_count"`
			} `json:"page_info"`
		}
		r := get(auditorKey, orgs+"/accounts?limit=2"+marker).send(t, c)
		unmarshal(t, r.body, &body)
		for _, a := range body.Accounts {
			ids = append(ids, a.ID)
		}
		if body.PageInfo.Count != len(body.Accounts) {
			t.Errorf("%s", r.body)
		}
		if body.PageInfo.Next == nil {
			if !strings.Contains(r.body, `"next_marker":null`) {
				t.Errorf("%s", r.body)
			}
			break
		}
		if n := len(*body.PageInfo.Next); n < 4 || n > 400 {
			t.Errorf("a marker of %d characters", n)
		}
		marker = "&marker=" + *body.PageInfo.Next
	}
	if !slices.Equal(ids, []string{alphaID, betaID, managementID, frozenID}) {
		t.Errorf("accounts %q", ids)
	}
	for _, q := range []string{"limit=0", "limit=2001", "limit=x", "marker=nonsense", "limit=1&limit=2",
		"with_register_contact_info=true&limit=201", "with_register_contact_info=1"} {
		get(auditorKey, orgs+"/accounts?"+q).send(t, c).wantCode(t, 400, "APIGW.0201", "")
	}
	for value, want := range map[string]string{"null": `{"next_marker":null,"current_count":4}`, "absent": `{"current_count":4}`,
		"empty": `{"next_marker":"","current_count":4}`} {
		c := newCloud(t, operator, switches(func(s *simcloud.Switches) { s.LastMarker = value }))
		if r := get(auditorKey, orgs+"/accounts?limit=2000").send(t, c); !strings.Contains(r.body, `"page_info":`+want+"}") {
			t.Errorf("%s: %s", value, r.body)
		}
	}
	big, err := simcloud.New(simcloud.GenerateSteady(3, 450))
	if err != nil {
		t.Fatal(err)
	}
	first := big.Organization().Accounts[0]
	var body struct{ Accounts []struct{} }
	unmarshal(t, get(first.Users[0].Keys[0], orgs+"/accounts").send(t, big).body, &body)
	if len(body.Accounts) != 200 {
		t.Errorf("%d accounts unasked, want 200", len(body.Accounts))
	}
}

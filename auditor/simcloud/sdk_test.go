package simcloud_test

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	eps "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1"
	epsmodel "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/eps/v1/model"
	iam3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	iam5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5"
	m5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	organizations "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1"
	sts1 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// sdk is the official SDK's clients for one key.
type sdk struct {
	v3  *iam3.IamClient
	v5  *iam5.IamClient
	eps *eps.EpsClient
	org *organizations.OrganizationsClient
	sts *sts1.StsClient
}

// newSDK points the SDK at a cloud. A nil transport is the SDK's own.
func newSDK(t testing.TB, url, account string, key simcloud.Key, token string, transport http.RoundTripper) sdk {
	t.Helper()
	credentials, err := global.NewCredentialsBuilder().WithAk(key.Access).WithSk(key.Secret).WithDomainId(account).
		WithSecurityToken(token).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	// STS takes credentials of a project, though it has none.
	plain, err := basic.NewCredentialsBuilder().WithAk(key.Access).WithSk(key.Secret).WithSecurityToken(token).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return sdkWith(t, url, credentials, plain, transport)
}

// sdkWith points the SDK at a cloud with credentials of its two kinds.
func sdkWith(t testing.TB, url string, credentials, plain auth.ICredential, transport http.RoundTripper) sdk {
	t.Helper()
	// Without a user agent the SDK leaves a file in the home directory.
	settings := config.DefaultHttpConfig().WithUserAgent("simcloud-test").WithTimeout(time.Minute)
	if transport != nil {
		settings = settings.WithHttpRoundTripper(transport)
	}
	with := func(b *core.HcHttpClientBuilder, k auth.ICredential) *core.HcHttpClient {
		client, err := b.WithEndpoint(url).WithCredential(k).WithHttpConfig(settings).SafeBuild()
		if err != nil {
			t.Fatal(err)
		}
		return client
	}
	build := func(b *core.HcHttpClientBuilder) *core.HcHttpClient { return with(b, credentials) }
	return sdk{
		org: organizations.NewOrganizationsClient(build(organizations.OrganizationsClientBuilder())),
		sts: sts1.NewStsClient(with(sts1.StsClientBuilder(), plain)),
		v3:  iam3.NewIamClient(build(iam3.IamClientBuilder())),
		v5:  iam5.NewIamClient(build(iam5.IamClientBuilder())),
		eps: eps.NewEpsClient(build(eps.EpsClientBuilder())),
	}
}

// must ends the test when a call of the SDK fails.
func must[T any](t testing.TB) func(T, error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantStatus checks the status that the SDK saw. For good answers the SDK's error is nil.
func wantStatus(t testing.TB, err error, status int) *sdkerr.ServiceResponseError {
	t.Helper()
	refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err)
	if !ok || refused.StatusCode != status {
		t.Fatalf("error %v, want status %d", err, status)
	}
	if len(refused.RequestId) != 32 {
		t.Errorf("request id %q", refused.RequestId)
	}
	return refused
}

func ptr[T any](v T) *T { return &v }

// The SDK decodes "duration": null into an empty string, and the like: what the wire looks like is for other tests.
func testSDKAgencies(t *testing.T, c *simcloud.Cloud) {
	url := serve(t, c)
	s := newSDK(t, url, alphaID, adminKey, "", nil)

	all := must[*m3.ListAgenciesResponse](t)(s.v3.ListAgencies(&m3.ListAgenciesRequest{DomainId: alphaID}))
	if n := len(*all.Agencies); n != 4 {
		t.Fatalf("%d agencies, want 4", n)
	}
	list := must[*m3.ListAgenciesResponse](t)(s.v3.ListAgencies(&m3.ListAgenciesRequest{
		DomainId: alphaID, Name: ptr(coc), TrustDomainId: ptr(serviceID), Page: ptr(int32(1)), PerPage: ptr(int32(500))}))
	got := (*list.Agencies)[0]
	want := m3.AgencyListResult{
		Id: cocID, Name: coc, DomainId: ptr(alphaID), TrustDomainId: ptr(serviceID), TrustDomainName: ptr("op_svc_coc"),
		Duration: "FOREVER", CreateTime: "2024-09-02T06:11:27.000000",
		AgencyUrn: ptr("iam::" + alphaID + ":agency:" + coc),
	}
	if len(*list.Agencies) != 1 || got.String() != want.String() {
		t.Errorf("agencies %v, want %v", *list.Agencies, want)
	}
	shown := must[*m3.ShowAgencyResponse](t)(s.v3.ShowAgency(&m3.ShowAgencyRequest{AgencyId: expiredID}))
	if a := shown.Agency; a.Duration != "480" || a.ExpireTime != "2024-09-22T06:11:27.000000" ||
		*a.TrustDomainName != "management" {
		t.Errorf("expired agency %v", a)
	}

	days := interface{}(20)
	created := must[*m3.CreateAgencyResponse](t)(s.v3.CreateAgency(&m3.CreateAgencyRequest{
		Body: &m3.CreateAgencyRequestBody{Agency: &m3.CreateAgencyOption{
			Name: "made", DomainId: alphaID, TrustDomainName: ptr("beta"), Description: ptr("by the test"), Duration: &days,
		}}}))
	if a := created.Agency; created.HttpStatusCode != 201 || len(a.Id) != 32 || a.Duration != "480" ||
		*a.TrustDomainId != betaID || a.ExpireTime == "" {
		t.Errorf("created %v", created)
	}
	updated := must[*m3.UpdateAgencyResponse](t)(s.v3.UpdateAgency(&m3.UpdateAgencyRequest{
		AgencyId: created.Agency.Id, Body: &m3.UpdateAgencyRequestBody{Agency: &m3.UpdateAgencyOption{
			TrustDomainId: ptr(managementID), Description: ptr("changed"), Duration: ptr(interface{}("ONEDAY")),
		}}}))
	if a := updated.Agency; fmt.Sprint(*a.Duration) != "24" || *a.TrustDomainId != managementID ||
		a.Description != "changed" || a.Name != "made" {
		t.Errorf("updated %v", a)
	}
	gone := must[*m3.DeleteAgencyResponse](t)(s.v3.DeleteAgency(&m3.DeleteAgencyRequest{AgencyId: created.Agency.Id}))
	if gone.HttpStatusCode != 204 {
		t.Errorf("status %d", gone.HttpStatusCode)
	}
	_, err := s.v3.ShowAgency(&m3.ShowAgencyRequest{AgencyId: created.Agency.Id})
	if refused := wantStatus(t, err, 404); !strings.Contains(refused.ErrorMessage, "Could not find agency") {
		t.Errorf("message %q", refused.ErrorMessage)
	}

	var operations []string
	for _, w := range c.Journal() {
		operations = append(operations, w.Operation+" "+w.Agency+" "+w.Actor)
		if w.AccountID != alphaID || w.Account != "alpha" || w.AgencyID != created.Agency.Id || len(w.RequestID) != 32 ||
			time.Since(w.Time) > time.Minute || w.NoChange {
			t.Errorf("journal %+v", w)
		}
	}
	if want := []string{"CreateAgency made user/admin", "UpdateAgency made user/admin",
		"DeleteAgency made user/admin"}; !slices.Equal(operations, want) {
		t.Errorf("journal %q, want %q", operations, want)
	}
}

// grantCalls are the four operations of one of the three scopes that have a path of their own.
type grantCalls struct {
	name                string
	list                func(agency string) ([]string, error)
	check, put, removal func(agency, role string) (int, error)
}

func grantsBySDK(s sdk) []grantCalls {
	roles := func(in *[]m3.RoleResult, err error) ([]string, error) {
		if err != nil {
			return nil, err
		}
		var out []string
		for _, r := range *in {
			if r.DisplayName == nil || r.Policy.Version == "" || len(r.Policy.Statement) != 1 || r.DomainId != nil {
				return nil, fmt.Errorf("not a whole role: %v", r)
			}
			out = append(out, r.Id)
		}
		return out, nil
	}
	return []grantCalls{
		{
			name: "domain",
			list: func(agency string) ([]string, error) {
				r, err := s.v3.ListDomainPermissionsForAgency(&m3.ListDomainPermissionsForAgencyRequest{
					DomainId: alphaID, AgencyId: agency})
				if err != nil {
					return nil, err
				}
				return roles(r.Roles, nil)
			},
			check: func(agency, role string) (int, error) {
				r, err := s.v3.CheckDomainPermissionForAgency(&m3.CheckDomainPermissionForAgencyRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			put: func(agency, role string) (int, error) {
				r, err := s.v3.AssociateAgencyWithDomainPermission(&m3.AssociateAgencyWithDomainPermissionRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			removal: func(agency, role string) (int, error) {
				r, err := s.v3.RemoveDomainPermissionFromAgency(&m3.RemoveDomainPermissionFromAgencyRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
		},
		{
			name: "project",
			list: func(agency string) ([]string, error) {
				r, err := s.v3.ListProjectPermissionsForAgency(&m3.ListProjectPermissionsForAgencyRequest{
					ProjectId: subID, AgencyId: agency})
				if err != nil {
					return nil, err
				}
				return roles(r.Roles, nil)
			},
			check: func(agency, role string) (int, error) {
				r, err := s.v3.CheckProjectPermissionForAgency(&m3.CheckProjectPermissionForAgencyRequest{
					ProjectId: subID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			put: func(agency, role string) (int, error) {
				r, err := s.v3.AssociateAgencyWithProjectPermission(&m3.AssociateAgencyWithProjectPermissionRequest{
					ProjectId: subID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			removal: func(agency, role string) (int, error) {
				r, err := s.v3.RemoveProjectPermissionFromAgency(&m3.RemoveProjectPermissionFromAgencyRequest{
					ProjectId: subID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
		},
		{
			name: "all projects",
			list: func(agency string) ([]string, error) {
				r, err := s.v3.ListAllProjectsPermissionsForAgency(&m3.ListAllProjectsPermissionsForAgencyRequest{
					DomainId: alphaID, AgencyId: agency})
				if err != nil {
					return nil, err
				}
				var out []string
				for _, x := range *r.Roles {
					if x.Name == "" || !strings.HasSuffix(x.Links.Self, "/v3/roles/"+x.Id) {
						return nil, fmt.Errorf("not id, name and link: %v", x)
					}
					out = append(out, x.Id)
				}
				return out, nil
			},
			check: func(agency, role string) (int, error) {
				r, err := s.v3.CheckAllProjectsPermissionForAgency(&m3.CheckAllProjectsPermissionForAgencyRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			put: func(agency, role string) (int, error) {
				r, err := s.v3.AssociateAgencyWithAllProjectsPermission(&m3.AssociateAgencyWithAllProjectsPermissionRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
			removal: func(agency, role string) (int, error) {
				r, err := s.v3.RemoveAllProjectsPermissionFromAgency(&m3.RemoveAllProjectsPermissionFromAgencyRequest{
					DomainId: alphaID, AgencyId: agency, RoleId: role})
				return status(r, err)
			},
		},
	}
}

// status returns the status of an answer, whether the SDK takes it for an error or not.
func status(r any, err error) (int, error) {
	if refused, ok := errors.AsType[*sdkerr.ServiceResponseError](err); ok {
		return refused.StatusCode, nil
	}
	if err != nil {
		return 0, err
	}
	return int(reflect.ValueOf(r).Elem().FieldByName("HttpStatusCode").Int()), nil
}

func testSDKGrants(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	role := policyID(t, c, "Server Administrator")
	for _, g := range grantsBySDK(s) {
		t.Run(g.name, func(t *testing.T) {
			want := func(what string, do func(agency, role string) (int, error), agency, role string, status int) {
				t.Helper()
				if got, err := do(agency, role); err != nil || got != status {
					t.Errorf("%s: %d, %v, want %d", what, got, err, status)
				}
			}
			held := must[[]string](t)(g.list(readerID))
			want("check before", g.check, readerID, role, 404)
			want("grant", g.put, readerID, role, 204)
			want("check after", g.check, readerID, role, 204)
			if got := must[[]string](t)(g.list(readerID)); !slices.Equal(got, append(slices.Clone(held), role)) {
				t.Errorf("list %v, want %v and %s", got, held, role)
			}
			want("repeat", g.put, readerID, role, 204)
			want("revoke", g.removal, readerID, role, 204)
			want("revoke again", g.removal, readerID, role, 404)
			if got := must[[]string](t)(g.list(readerID)); !slices.Equal(got, held) {
				t.Errorf("list %v, want %v", got, held)
			}
			want("check nothing", g.check, "nothing", role, 404)
			want("grant to nothing", g.put, "nothing", role, 404)
			want("grant nothing", g.put, readerID, "nothing", 404)
			want("revoke nothing", g.removal, readerID, "nothing", 404)
			if _, err := g.list("nothing"); err == nil {
				t.Error("the list of an unknown agency is not an error")
			}
		})
	}
	var seen []string
	for _, w := range c.Journal() {
		seen = append(seen, fmt.Sprint(w.Scope, " ", w.In, " ", w.Policy, " ", w.NoChange))
	}
	var want []string
	for _, at := range []string{"global ", "project " + subID, "all_resources "} {
		for _, noChange := range []bool{false, true, false} {
			want = append(want, fmt.Sprint(at, " Server Administrator ", noChange))
		}
	}
	if !slices.Equal(seen, want) {
		t.Errorf("journal %q, want %q", seen, want)
	}
}

// assignmentsBySDK reads every page of role-assignments and returns "role scope id inherited".
func assignmentsBySDK(t testing.TB, s sdk, q m3.ShowDomainRoleAssignmentsRequest, perPage int32) []string {
	t.Helper()
	out := []string{}
	q.PerPage = &perPage
	for page := int32(1); ; page++ {
		q.Page = &page
		r := must[*m3.ShowDomainRoleAssignmentsResponse](t)(s.v3.ShowDomainRoleAssignments(&q))
		for _, row := range *r.RoleAssignments {
			scope := ""
			switch {
			case row.Scope.Domain != nil:
				scope = "domain " + *row.Scope.Domain.Id
			case row.Scope.Project != nil:
				scope = "project " + *row.Scope.Project.Id
			case row.Scope.EnterpriseProject != nil:
				scope = "enterprise " + *row.Scope.EnterpriseProject.Id
			}
			subject := "agency"
			if row.Agency == nil {
				subject = "user " + *row.User.Id
			}
			out = append(out, fmt.Sprint(subject, " ", *row.Role.Id, " ", scope, " ", *row.IsInherited))
		}
		if len(*r.RoleAssignments) == 0 {
			if int(*r.TotalNum) != len(out) {
				t.Errorf("total_num %d, but %d rows", *r.TotalNum, len(out))
			}
			return out
		}
	}
}

func testSDKRoleAssignments(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	id := func(name string) string { return policyID(t, c, name) }
	iam, rms, dcs := id("IAM ReadOnlyAccess"), id("RMS ReadOnlyAccess"), id("DCS UserAccess")
	cocPolicy, guest, tenant := id("COCServiceAgencyDefaultPolicy"), id("Tenant Guest"), id("Tenant Administrator")
	ofAgency := m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, SubjectAgencyId: ptr(cocID)}
	with := func(base m3.ShowDomainRoleAssignmentsRequest, do func(*m3.ShowDomainRoleAssignmentsRequest),
	) m3.ShowDomainRoleAssignmentsRequest {
		do(&base)
		return base
	}
	domain := "domain " + alphaID
	var readerUser string
	for _, u := range c.Organization().Accounts[0].Users {
		if u.Name == "reader" {
			readerUser = u.ID
		}
	}
	for name, tt := range map[string]struct {
		q    m3.ShowDomainRoleAssignmentsRequest
		want []string
	}{
		"global": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) { q.Scope = ptr("domain") }),
			[]string{"agency " + iam + " " + domain + " false", "agency " + rms + " " + domain + " false"}},
		"global by id": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.ScopeDomainId, q.IsInherited = ptr(alphaID), ptr(false)
		}), []string{"agency " + iam + " " + domain + " false", "agency " + rms + " " + domain + " false"}},
		"inherited": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.Scope, q.IsInherited = ptr("domain"), ptr(true)
		}), []string{"agency " + dcs + " " + domain + " true", "agency " + cocPolicy + " " + domain + " true"}},
		"project": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) { q.Scope = ptr("project") }),
			[]string{"agency " + guest + " project " + subID + " false"}},
		"inherited has no effect": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.ScopeProjectId, q.IsInherited = ptr(subID), ptr(true)
		}), []string{"agency " + guest + " project " + subID + " false"}},
		"another project": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) { q.ScopeProjectId = ptr("p") }),
			[]string{}},
		"enterprise project": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.Scope = ptr("enterprise_project")
		}), []string{"agency " + tenant + " enterprise " + payrollID + " false"}},
		"enterprise project by id": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.ScopeEnterpriseProjectsId = ptr("0")
		}), []string{}},
		"role": {with(ofAgency, func(q *m3.ShowDomainRoleAssignmentsRequest) {
			q.Scope, q.RoleId = ptr("domain"), &rms
		}), []string{"agency " + rms + " " + domain + " false"}},
		"agencies": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), Subject: ptr("agency")},
			[]string{"agency " + iam + " " + domain + " false", "agency " + rms + " " + domain + " false",
				"agency " + iam + " " + domain + " false"}},
		"everybody": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), IsInherited: ptr(true)},
			[]string{"agency " + dcs + " " + domain + " true", "agency " + cocPolicy + " " + domain + " true",
				"user " + readerUser + " " + iam + " " + domain + " true"}},
		"users": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), IsInherited: ptr(true),
			Subject: ptr("user"), IncludeGroup: ptr(false)}, []string{"user " + readerUser + " " + iam + " " + domain + " true"}},
		"one user": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), IsInherited: ptr(true),
			SubjectUserId: &readerUser}, []string{"user " + readerUser + " " + iam + " " + domain + " true"}},
		"groups": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), Subject: ptr("group")},
			[]string{}},
		"one group": {m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("domain"), SubjectGroupId: ptr("g")},
			[]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, perPage := range []int32{1, 50} {
				if got := assignmentsBySDK(t, s, tt.q, perPage); !slices.Equal(got, tt.want) {
					t.Errorf("%d a page: %q, want %q", perPage, got, tt.want)
				}
			}
		})
	}
}

func testSDKEnterpriseProjectGrants(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	roles := []string{policyID(t, c, "Tenant Guest"), policyID(t, c, "Server Administrator")}
	var grants []m3.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments
	for _, r := range roles {
		grants = append(grants, m3.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{
			AgencyId: readerID, EnterpriseProjectId: "0", RoleId: r})
	}
	granted := must[*m3.AssociateRoleToAgencyOnEnterpriseProjectResponse](t)(s.v3.AssociateRoleToAgencyOnEnterpriseProject(
		&m3.AssociateRoleToAgencyOnEnterpriseProjectRequest{
			Body: &m3.CreateAgencyEpPolicyAssignmentReqBody{RoleAssignments: grants}}))
	if granted.HttpStatusCode != 200 {
		t.Errorf("status %d, want 200", granted.HttpStatusCode)
	}
	q := m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, SubjectAgencyId: ptr(readerID),
		ScopeEnterpriseProjectsId: ptr("0")}
	want := []string{"agency " + roles[0] + " enterprise 0 false", "agency " + roles[1] + " enterprise 0 false"}
	if got := assignmentsBySDK(t, s, q, 50); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	revoke := &m3.RevokeRoleFromAgencyOnEnterpriseProjectRequest{
		Body: &m3.CreateOrDelAgencyEpPolicyAssignmentReqBody{RoleAssignments: grants}}
	if r := must[*m3.RevokeRoleFromAgencyOnEnterpriseProjectResponse](t)(
		s.v3.RevokeRoleFromAgencyOnEnterpriseProject(revoke)); r.HttpStatusCode != 204 {
		t.Errorf("status %d, want 204", r.HttpStatusCode)
	}
	_, err := s.v3.RevokeRoleFromAgencyOnEnterpriseProject(revoke)
	wantStatus(t, err, 404)
	if j := c.Journal(); len(j) != 4 || j[0].RequestID != j[1].RequestID || j[0].In != "0" || j[0].NoChange {
		t.Errorf("journal %+v", j)
	}
}

func testSDKRoles(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	list := func(q m3.KeystoneListPermissionsRequest) *m3.KeystoneListPermissionsResponse {
		return must[*m3.KeystoneListPermissionsResponse](t)(s.v3.KeystoneListPermissions(&q))
	}
	want := 0 // policies that lists show
	for _, p := range c.Catalogue() {
		if p.Version != "5.0" && !p.Hidden {
			want++
		}
	}
	if want < 700 {
		t.Fatalf("%d policies, want 700 or more", want)
	}
	ids := map[string]bool{}
	for page := int32(1); ; page++ {
		r := list(m3.KeystoneListPermissionsRequest{Page: &page, PerPage: ptr(int32(300))})
		for _, x := range *r.Roles {
			ids[x.Id] = true
			if x.DomainId != nil || (x.Policy.Version == "1.1") != (x.Flag != nil && *x.Flag == "fine_grained") {
				t.Errorf("domain or flag of %v", x)
			}
		}
		if r.TotalNumber != nil || r.Links.Self == "" || r.Links.Next != "" {
			t.Errorf("total %v, links %v", r.TotalNumber, r.Links)
		}
		if len(*r.Roles) < 300 {
			break
		}
	}
	if len(ids) != want {
		t.Errorf("%d policies on all pages, want %d", len(ids), want)
	}
	if n := len(*list(m3.KeystoneListPermissionsRequest{}).Roles); n != 300 {
		t.Errorf("%d policies without paging, want 300", n)
	}

	byName := func(q m3.KeystoneListPermissionsRequest) []string {
		var out []string
		for _, x := range *list(q).Roles {
			out = append(out, *x.DisplayName)
		}
		return out
	}
	if got := byName(m3.KeystoneListPermissionsRequest{Name: ptr("te_admin")}); !slices.Equal(got,
		[]string{"Tenant Administrator"}) {
		t.Errorf("by name: %q", got)
	}
	for _, name := range byName(m3.KeystoneListPermissionsRequest{DisplayName: ptr("administrator")}) {
		if !strings.Contains(name, "Administrator") {
			t.Errorf("display_name found %q", name)
		}
	}
	if got := byName(m3.KeystoneListPermissionsRequest{DisplayName: ptr("IAM Read")}); !slices.Equal(got,
		[]string{"IAM ReadOnlyAccess"}) {
		t.Errorf("by display_name: %q", got)
	}
	for _, x := range *list(m3.KeystoneListPermissionsRequest{PermissionType: ptr("role")}).Roles {
		if x.Policy.Version != "1.0" || x.Flag != nil {
			t.Errorf("permission_type role found %v", x)
		}
	}
	for _, x := range *list(m3.KeystoneListPermissionsRequest{PermissionType: ptr("policy")}).Roles {
		if x.Policy.Version != "1.1" {
			t.Errorf("permission_type policy found %v", x)
		}
	}
	for kind, allowed := range map[string][]string{
		"domain": {"AX", "AA"}, "project": {"XA", "AA"}, "all": {"AX", "XA", "AA"}} {
		r := *list(m3.KeystoneListPermissionsRequest{Type: &kind}).Roles
		for _, x := range r {
			if !slices.Contains(allowed, x.Type) {
				t.Errorf("type %s found %s", kind, x.Type)
			}
		}
		if len(r) == 0 {
			t.Errorf("type %s found nothing", kind)
		}
	}
	for _, x := range *list(m3.KeystoneListPermissionsRequest{Catalog: ptr("IAM")}).Roles {
		if *x.Catalog != "IAM" {
			t.Errorf("catalog IAM found %s", *x.Catalog)
		}
	}

	custom := list(m3.KeystoneListPermissionsRequest{DomainId: ptr(alphaID), PermissionType: ptr("role"),
		Page: ptr(int32(1)), PerPage: ptr(int32(1))})
	if r := *custom.Roles; len(r) != 1 || r[0].Id != customID || *r[0].DomainId != alphaID || *custom.TotalNumber != 1 ||
		*r[0].Catalog != "CUSTOMED" || r[0].Flag != nil {
		t.Errorf("custom policies %v", custom)
	}
	tenant := must[*m3.KeystoneShowPermissionResponse](t)(s.v3.KeystoneShowPermission(
		&m3.KeystoneShowPermissionRequest{RoleId: policyID(t, c, "Server Administrator")}))
	if r := tenant.Role; r.Name != "server_adm" || r.Policy.Version != "1.0" || len(*r.Policy.Depends) == 0 ||
		(*r.Policy.Depends)[0].DisplayName != "Tenant Guest" || (*r.Policy.Depends)[0].Catalog != "BASE" {
		t.Errorf("role %v", r)
	}
	shown := must[*m3.KeystoneShowPermissionResponse](t)(s.v3.KeystoneShowPermission(
		&m3.KeystoneShowPermissionRequest{RoleId: customID}))
	if r := shown.Role; *r.DisplayName != "audit-read" ||
		fmt.Sprint(*r.Policy.Statement[0].Resource) != "map[uri:[/iam/agencies/"+cocID+"]]" {
		t.Errorf("custom policy %v", r)
	}
	for _, id := range []string{"nothing", customV5ID, policyID(t, c, "Withdrawn Access")} {
		_, err := s.v3.KeystoneShowPermission(&m3.KeystoneShowPermissionRequest{RoleId: id})
		if refused := wantStatus(t, err, 404); !strings.Contains(refused.ErrorMessage, "Could not find role: "+id) {
			t.Errorf("message %q", refused.ErrorMessage)
		}
	}
	customs := must[*m3.ListCustomPoliciesResponse](t)(s.v3.ListCustomPolicies(&m3.ListCustomPoliciesRequest{}))
	if r := *customs.Roles; len(r) != 1 || *customs.TotalNumber != 1 || r[0].DisplayName != "audit-read" ||
		r[0].DomainId != alphaID || r[0].Description != "what auditors may do" {
		t.Errorf("custom policies %v", customs)
	}
	one := must[*m3.ShowCustomPolicyResponse](t)(s.v3.ShowCustomPolicy(&m3.ShowCustomPolicyRequest{RoleId: customID}))
	if *one.Role.References != 0 || one.Role.Name != "custom_f0000000" {
		t.Errorf("custom policy %v", one.Role)
	}
	if code, err := grantsBySDK(s)[0].put(readerID, customID); err != nil || code != 204 {
		t.Fatalf("grant the custom policy: %d, %v", code, err)
	}
	one = must[*m3.ShowCustomPolicyResponse](t)(s.v3.ShowCustomPolicy(&m3.ShowCustomPolicyRequest{RoleId: customID}))
	if *one.Role.References != 1 {
		t.Errorf("%d references, want 1", *one.Role.References)
	}
	_, err := s.v3.ShowCustomPolicy(&m3.ShowCustomPolicyRequest{RoleId: policyID(t, c, "IAM ReadOnlyAccess")})
	wantStatus(t, err, 404)
	beta := newSDK(t, serve(t, c), betaID, betaKey, "", nil)
	_, err = beta.v3.KeystoneShowPermission(&m3.KeystoneShowPermissionRequest{RoleId: customID})
	wantStatus(t, err, 404)
	_, err = beta.v3.KeystoneListPermissions(&m3.KeystoneListPermissionsRequest{DomainId: ptr(alphaID)})
	wantStatus(t, err, 403)
}

func testSDKProjectsDomainsAndRegions(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, nobodyKey, "", nil) // none of these needs a permission
	list := must[*m3.KeystoneListProjectsResponse](t)(s.v3.KeystoneListProjects(&m3.KeystoneListProjectsRequest{
		DomainId: ptr(alphaID), Enabled: ptr(true), IsDomain: ptr(false), Page: ptr(int32(1)), PerPage: ptr(int32(5000))}))
	var names []string
	byName := map[string]m3.ProjectResult{}
	for _, p := range *list.Projects {
		names = append(names, p.Name)
		byName[p.Name] = p
		if p.DomainId != alphaID || !p.Enabled || p.IsDomain {
			t.Errorf("project %v", p)
		}
	}
	if want := []string{region, "MOS", region + "_sub"}; !slices.Equal(names, want) {
		t.Errorf("projects %q, want %q", names, want)
	}
	if byName[region].ParentId != alphaID || byName[region+"_sub"].ParentId != byName[region].Id ||
		byName["MOS"].Id != "MOS" {
		t.Errorf("projects %v", byName)
	}
	one := must[*m3.KeystoneListProjectsResponse](t)(s.v3.KeystoneListProjects(&m3.KeystoneListProjectsRequest{
		Name: ptr(region)}))
	if len(*one.Projects) != 1 {
		t.Errorf("projects %v", *one.Projects)
	}
	sub := must[*m3.KeystoneListProjectsResponse](t)(s.v3.KeystoneListProjects(&m3.KeystoneListProjectsRequest{
		ParentId: ptr(byName[region].Id)}))
	if len(*sub.Projects) != 1 || (*sub.Projects)[0].Id != subID {
		t.Errorf("projects %v", *sub.Projects)
	}
	off := must[*m3.KeystoneListProjectsResponse](t)(s.v3.KeystoneListProjects(&m3.KeystoneListProjectsRequest{
		Enabled: ptr(false)}))
	if off.Projects == nil || len(*off.Projects) != 0 {
		t.Errorf("disabled projects %v", off.Projects)
	}
	auth := must[*m3.KeystoneListAuthProjectsResponse](t)(s.v3.KeystoneListAuthProjects(
		&m3.KeystoneListAuthProjectsRequest{}))
	if len(*auth.Projects) != 3 {
		t.Errorf("projects %v", *auth.Projects)
	}
	domains := must[*m3.KeystoneListAuthDomainsResponse](t)(s.v3.KeystoneListAuthDomains(
		&m3.KeystoneListAuthDomainsRequest{}))
	if d := *domains.Domains; len(d) != 1 || d[0].Id != alphaID || d[0].Name != "alpha" || !d[0].Enabled {
		t.Errorf("domains %v", d)
	}
	regions := must[*m3.KeystoneListRegionsResponse](t)(s.v3.KeystoneListRegions(&m3.KeystoneListRegionsRequest{}))
	if r := *regions.Regions; len(r) != 1 || r[0].Id != region || r[0].Type != "public" {
		t.Errorf("regions %v", r)
	}
	_, err := s.v3.KeystoneListProjects(&m3.KeystoneListProjectsRequest{DomainId: ptr(betaID)})
	wantStatus(t, err, 403)
}

func testSDKEnterpriseProjects(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	r := must[*epsmodel.ListEnterpriseProjectResponse](t)(s.eps.ListEnterpriseProject(
		&epsmodel.ListEnterpriseProjectRequest{}))
	if p := *r.EnterpriseProjects; len(p) != 2 || *r.TotalCount != 2 || p[0].Id != "0" || p[0].Name != "default" ||
		p[1].Id != payrollID || p[1].Status != 1 || p[1].CreatedAt == nil {
		t.Errorf("enterprise projects %v", r)
	}
	r = must[*epsmodel.ListEnterpriseProjectResponse](t)(s.eps.ListEnterpriseProject(
		&epsmodel.ListEnterpriseProjectRequest{Limit: ptr(int32(1)), Offset: ptr(int32(1))}))
	if p := *r.EnterpriseProjects; len(p) != 1 || *r.TotalCount != 2 || p[0].Id != payrollID {
		t.Errorf("enterprise projects %v", r)
	}
	r = must[*epsmodel.ListEnterpriseProjectResponse](t)(s.eps.ListEnterpriseProject(
		&epsmodel.ListEnterpriseProjectRequest{Name: ptr("pay"), Status: ptr(int32(1)), Id: ptr(payrollID)}))
	if p := *r.EnterpriseProjects; len(p) != 1 || *r.TotalCount != 1 {
		t.Errorf("enterprise projects %v", r)
	}
	r = must[*epsmodel.ListEnterpriseProjectResponse](t)(s.eps.ListEnterpriseProject(
		&epsmodel.ListEnterpriseProjectRequest{Status: ptr(int32(2))}))
	if p := *r.EnterpriseProjects; len(p) != 0 {
		t.Errorf("enterprise projects %v", r)
	}
}

func testSDKIdentity(t *testing.T, c *simcloud.Cloud) {
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	var ids []string
	q := m5.ListAgenciesV5Request{Limit: ptr(int32(3))}
	for {
		r := must[*m5.ListAgenciesV5Response](t)(s.v5.ListAgenciesV5(&q))
		for _, a := range *r.Agencies {
			ids = append(ids, a.AgencyId)
		}
		if int(r.PageInfo.CurrentCount) != len(*r.Agencies) {
			t.Errorf("current_count %d of %d", r.PageInfo.CurrentCount, len(*r.Agencies))
		}
		if r.PageInfo.NextMarker == nil {
			break
		}
		q.Marker = r.PageInfo.NextMarker
	}
	if want := []string{cocID, readerID, expiredID, foreignID}; !slices.Equal(ids, want) {
		t.Errorf("agencies %v, want %v", ids, want)
	}
	if r := must[*m5.ListAgenciesV5Response](t)(s.v5.ListAgenciesV5(&m5.ListAgenciesV5Request{
		PathPrefix: ptr("service-linked-agency/")})); len(*r.Agencies) != 0 {
		t.Errorf("agencies %v under a path", *r.Agencies)
	}
	one := must[*m5.GetAgencyV5Response](t)(s.v5.GetAgencyV5(&m5.GetAgencyV5Request{AgencyId: cocID}))
	if a := one.Agency; a.AgencyName != coc || *a.TrustDomainId != serviceID || *a.TrustDomainName != "op_svc_coc" ||
		a.TrustPolicy != nil || a.Tags == nil || a.MaxSessionDuration != 3600 || a.Path != "" ||
		a.Urn != "iam::"+alphaID+":agency:"+coc || a.CreatedAt.String() == "" {
		t.Errorf("agency %v", a)
	}

	attached := func(limit int32) (names []string, pages int) {
		q := m5.ListAttachedAgencyPoliciesV5Request{AgencyId: cocID, Limit: &limit}
		for {
			r := must[*m5.ListAttachedAgencyPoliciesV5Response](t)(s.v5.ListAttachedAgencyPoliciesV5(&q))
			pages++
			for _, p := range *r.AttachedPolicies {
				names = append(names, p.PolicyName)
				if p.PolicyId == customV5ID && p.Urn != "iam::"+alphaID+":policy:audit-identity" {
					t.Errorf("urn %s", p.Urn)
				}
			}
			if r.PageInfo.NextMarker == nil {
				slices.Sort(names)
				return names, pages
			}
			q.Marker = r.PageInfo.NextMarker
		}
	}
	want := []string{"IAMReadOnlyPolicy", "audit-identity"}
	for limit, pages := range map[int32]int{1: 2, 2: 1, 200: 1} {
		if got, n := attached(limit); !slices.Equal(got, want) || n != pages {
			t.Errorf("%d a page: %q on %d pages, want %q on %d", limit, got, n, want, pages)
		}
	}
	id := policyID(t, c, "IAMFullAccessPolicy")
	attach := &m5.AttachAgencyPolicyV5Request{PolicyId: id, Body: &m5.AttachAgencyPolicyReqBody{AgencyId: cocID}}
	detach := &m5.DetachAgencyPolicyV5Request{PolicyId: id, Body: &m5.DetachAgencyPolicyReqBody{AgencyId: cocID}}
	for range 2 {
		if r := must[*m5.AttachAgencyPolicyV5Response](t)(s.v5.AttachAgencyPolicyV5(attach)); r.HttpStatusCode != 200 {
			t.Errorf("status %d", r.HttpStatusCode)
		}
	}
	if got, _ := attached(100); !slices.Equal(got, []string{"IAMFullAccessPolicy", want[0], want[1]}) {
		t.Errorf("attached %q", got)
	}
	if r := must[*m5.DetachAgencyPolicyV5Response](t)(s.v5.DetachAgencyPolicyV5(detach)); r.HttpStatusCode != 200 {
		t.Errorf("status %d", r.HttpStatusCode)
	}
	_, err := s.v5.DetachAgencyPolicyV5(detach)
	if refused := wantStatus(t, err, 404); refused.ErrorCode != "PAP5.0012" {
		t.Errorf("code %s", refused.ErrorCode)
	}
	if got, _ := attached(100); !slices.Equal(got, want) {
		t.Errorf("attached %q, want %q", got, want)
	}
	var journal []string
	for _, w := range c.Journal() {
		journal = append(journal, fmt.Sprint(w.Operation, " ", w.Policy, " ", w.Scope, " ", w.NoChange))
	}
	if want := []string{"AttachAgencyPolicyV5 IAMFullAccessPolicy identity false",
		"AttachAgencyPolicyV5 IAMFullAccessPolicy identity true",
		"DetachAgencyPolicyV5 IAMFullAccessPolicy identity false"}; !slices.Equal(journal, want) {
		t.Errorf("journal %q, want %q", journal, want)
	}
}

func testSDKTemporaryKeys(t *testing.T, c *simcloud.Cloud) {
	url := serve(t, c)
	s := newSDK(t, url, managementID, auditorKey, "", nil)
	assume := m3.IdentityAssumerole{AgencyName: reader, DomainName: ptr("alpha"), DurationSeconds: ptr(int32(3600)),
		SessionUser: &m3.AssumeroleSessionuser{Name: ptr("nightly-run")}}
	r := must[*m3.CreateTemporaryAccessKeyByAgencyResponse](t)(s.v3.CreateTemporaryAccessKeyByAgency(
		&m3.CreateTemporaryAccessKeyByAgencyRequest{Body: &m3.CreateTemporaryAccessKeyByAgencyRequestBody{
			Auth: &m3.AgencyAuth{Identity: &m3.AgencyAuthIdentity{
				Methods:    []m3.AgencyAuthIdentityMethods{m3.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
				AssumeRole: &assume,
			}}}}))
	k := r.Credential
	expires, err := time.Parse("2006-01-02T15:04:05.000000Z", k.ExpiresAt)
	if err != nil || r.HttpStatusCode != 201 || time.Until(expires).Round(time.Minute) != time.Hour ||
		k.Access == "" || k.Secret == "" || k.Securitytoken == "" {
		t.Fatalf("credential with an end at %s, status %d", k.ExpiresAt, r.HttpStatusCode)
	}
	temporary := newSDK(t, url, alphaID, simcloud.Key{Access: k.Access, Secret: k.Secret}, k.Securitytoken, nil)
	domains := must[*m3.KeystoneListAuthDomainsResponse](t)(temporary.v3.KeystoneListAuthDomains(
		&m3.KeystoneListAuthDomainsRequest{}))
	if (*domains.Domains)[0].Id != alphaID {
		t.Errorf("the key acts in %v", *domains.Domains)
	}
	must[*m3.ListAgenciesResponse](t)(temporary.v3.ListAgencies(&m3.ListAgenciesRequest{DomainId: alphaID}))
	must[*m3.ShowDomainRoleAssignmentsResponse](t)(temporary.v3.ShowDomainRoleAssignments(
		&m3.ShowDomainRoleAssignmentsRequest{DomainId: alphaID, Scope: ptr("project")}))
	must[*m5.ListAttachedAgencyPoliciesV5Response](t)(temporary.v5.ListAttachedAgencyPoliciesV5(
		&m5.ListAttachedAgencyPoliciesV5Request{AgencyId: cocID}))
	_, err = temporary.v3.DeleteAgency(&m3.DeleteAgencyRequest{AgencyId: foreignID})
	wantStatus(t, err, 403)
	if len(c.Journal()) != 0 {
		t.Errorf("journal %+v", c.Journal())
	}
}

// Every operation that the cloud has is driven by the SDK, and what the SDK decodes is checked.
func TestSDK(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, *simcloud.Cloud)
	}{
		{"agencies", testSDKAgencies},
		{"grants", testSDKGrants},
		{"role assignments", testSDKRoleAssignments},
		{"enterprise project grants", testSDKEnterpriseProjectGrants},
		{"roles", testSDKRoles},
		{"projects, domains and regions", testSDKProjectsDomainsAndRegions},
		{"enterprise projects", testSDKEnterpriseProjects},
		{"identity", testSDKIdentity},
		{"temporary keys", testSDKTemporaryKeys},
		{"organization", testSDKOrganization},
		{"temporary keys of STS", testSDKAssumeAgency},
	}
	driven, ran := map[string]bool{}, 0
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ran++
			c := newCloud(t)
			tt.run(t, c)
			for _, n := range c.Counters() {
				driven[n.Operation] = driven[n.Operation] || n.OK > 0
			}
		})
	}
	for _, name := range simcloud.OperationNames() {
		if ran == len(tests) && !driven[name] {
			t.Errorf("no test drives %s with the SDK", name)
		}
	}
}

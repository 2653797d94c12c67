package huawei

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/utils"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	modelorg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"
	modelsts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// light is an api that makes the SDK's requests without the SDK, and decodes what passes the wire with the SDK's own
// decoder. It signs nothing: the header only says whose key it is. TestTheLightClientIsTheSDK holds it to the SDK.
type light struct {
	w      *wire
	header http.Header
	// before is called with each request; nil is not.
	before func(*http.Request)
}

// dialLight makes a light api for the wire.
func dialLight(w *wire, accountID string) (api, error) {
	return &light{w: w, header: http.Header{
		"Authorization": {"SDK-HMAC-SHA256 Access=" + w.keys.AccessKey.reveal() + ", light"},
		"X-Domain-Id":   {accountID},
	}}, nil
}

// query is a raw query in the making. Its values need no escaping but for names.
type query struct{ b []byte }

func (q *query) text(key string, value *string) {
	if value != nil {
		q.add(key, url.QueryEscape(*value))
	}
}

func (q *query) number(key string, value *int32) {
	if value != nil {
		q.add(key, strconv.Itoa(int(*value)))
	}
}

func (q *query) add(key, value string) {
	if len(q.b) > 0 {
		q.b = append(q.b, '&')
	}
	q.b = append(append(append(q.b, key...), '='), value...)
}

// ask sends a request over the wire and decodes the answer.
func ask[T any](l *light, method, path string, q query, body []byte) (*T, string, error) {
	o, _ := identify(method, path)
	scheme, host, _ := strings.Cut(l.w.cloud.site.at(o).endpoint, "://")
	req := &http.Request{
		Method: method, URL: &url.URL{Scheme: scheme, Host: host, Path: path, RawQuery: string(q.b)},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: l.header, Host: host,
	}
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	if l.before != nil {
		l.before(req)
	}
	out := new(T)
	resp, err := l.w.RoundTrip(req)
	if err != nil {
		return out, "", err
	}
	defer resp.Body.Close()
	id := resp.Header.Get("X-Request-Id")
	data, err := io.ReadAll(resp.Body)
	if err == nil && len(data) > 0 {
		err = utils.Unmarshal(data, out)
	}
	if err != nil {
		return out, id, &sdkerr.ServiceResponseError{StatusCode: resp.StatusCode, RequestId: id, ErrorMessage: err.Error()}
	}
	return out, id, nil
}

func (l *light) agencies(r *model.ListAgenciesRequest) (*model.ListAgenciesResponse, string, error) {
	var q query
	q.text("domain_id", &r.DomainId)
	q.text("name", r.Name)
	q.number("page", r.Page)
	q.number("per_page", r.PerPage)
	return ask[model.ListAgenciesResponse](l, "GET", "/v3.0/OS-AGENCY/agencies", q, nil)
}

func (l *light) assignments(r *model.ShowDomainRoleAssignmentsRequest) (*model.ShowDomainRoleAssignmentsResponse, string, error) {
	var q query
	q.text("domain_id", &r.DomainId)
	if r.IsInherited != nil {
		q.add("is_inherited", strconv.FormatBool(*r.IsInherited))
	}
	q.number("page", r.Page)
	q.number("per_page", r.PerPage)
	q.text("scope", r.Scope)
	q.text("subject.agency_id", r.SubjectAgencyId)
	return ask[model.ShowDomainRoleAssignmentsResponse](l, "GET", "/v3.0/OS-PERMISSION/role-assignments", q, nil)
}

func (l *light) attached(r *model5.ListAttachedAgencyPoliciesV5Request) (*model5.ListAttachedAgencyPoliciesV5Response, string, error) {
	var q query
	q.number("limit", r.Limit)
	q.text("marker", r.Marker)
	return ask[model5.ListAttachedAgencyPoliciesV5Response](l, "GET", "/v5/agencies/"+r.AgencyId+"/attached-policies", q, nil)
}

func (l *light) globalRoles(r *model.ListDomainPermissionsForAgencyRequest) (*model.ListDomainPermissionsForAgencyResponse, string, error) {
	return ask[model.ListDomainPermissionsForAgencyResponse](l, "GET",
		"/v3.0/OS-AGENCY/domains/"+r.DomainId+"/agencies/"+r.AgencyId+"/roles", query{}, nil)
}

func (l *light) inheritedRoles(r *model.ListAllProjectsPermissionsForAgencyRequest) (
	*model.ListAllProjectsPermissionsForAgencyResponse, string, error,
) {
	return ask[model.ListAllProjectsPermissionsForAgencyResponse](l, "GET",
		"/v3.0/OS-INHERIT/domains/"+r.DomainId+"/agencies/"+r.AgencyId+"/roles/inherited_to_projects", query{}, nil)
}

func (l *light) catalogue(r *model.KeystoneListPermissionsRequest) (*model.KeystoneListPermissionsResponse, string, error) {
	var q query
	q.number("page", r.Page)
	q.number("per_page", r.PerPage)
	return ask[model.KeystoneListPermissionsResponse](l, "GET", "/v3/roles", q, nil)
}

func (l *light) policy(r *model.KeystoneShowPermissionRequest) (*model.KeystoneShowPermissionResponse, string, error) {
	return ask[model.KeystoneShowPermissionResponse](l, "GET", "/v3/roles/"+r.RoleId, query{}, nil)
}

func (l *light) projects(r *model.KeystoneListProjectsRequest) (*model.KeystoneListProjectsResponse, string, error) {
	var q query
	q.text("domain_id", r.DomainId)
	return ask[model.KeystoneListProjectsResponse](l, "GET", "/v3/projects", q, nil)
}

func (l *light) domains(*model.KeystoneListAuthDomainsRequest) (*model.KeystoneListAuthDomainsResponse, string, error) {
	return ask[model.KeystoneListAuthDomainsResponse](l, "GET", "/v3/auth/domains", query{}, nil)
}

func (l *light) assume(r *model.CreateTemporaryAccessKeyByAgencyRequest) (
	*model.CreateTemporaryAccessKeyByAgencyResponse, string, error,
) {
	body, err := utils.Marshal(r.Body)
	if err != nil {
		return nil, "", err
	}
	return ask[model.CreateTemporaryAccessKeyByAgencyResponse](l, "POST", "/v3.0/OS-CREDENTIAL/securitytokens", query{}, body)
}

func (l *light) assumeSTS(r *modelsts.AssumeAgencyRequest) (*modelsts.AssumeAgencyResponse, string, error) {
	body, err := utils.Marshal(r.Body)
	if err != nil {
		return nil, "", err
	}
	header := l.header.Clone()
	header.Del("X-Domain-Id")
	bare := *l
	bare.header = header
	return ask[modelsts.AssumeAgencyResponse](&bare, "POST", "/v5/agencies/assume", query{}, body)
}

func (l *light) organization(*modelorg.ShowOrganizationRequest) (*modelorg.ShowOrganizationResponse, string, error) {
	return ask[modelorg.ShowOrganizationResponse](l, "GET", "/v1/organizations", query{}, nil)
}

func (l *light) roots(r *modelorg.ListRootsRequest) (*modelorg.ListRootsResponse, string, error) {
	var q query
	q.number("limit", r.Limit)
	q.text("marker", r.Marker)
	return ask[modelorg.ListRootsResponse](l, "GET", "/v1/organizations/roots", q, nil)
}

func (l *light) units(r *modelorg.ListOrganizationalUnitsRequest) (*modelorg.ListOrganizationalUnitsResponse, string, error) {
	var q query
	q.number("limit", r.Limit)
	q.text("marker", r.Marker)
	q.text("parent_id", r.ParentId)
	return ask[modelorg.ListOrganizationalUnitsResponse](l, "GET", "/v1/organizations/organizational-units", q, nil)
}

func (l *light) members(r *modelorg.ListAccountsRequest) (*modelorg.ListAccountsResponse, string, error) {
	var q query
	q.number("limit", r.Limit)
	q.text("marker", r.Marker)
	q.text("parent_id", r.ParentId)
	return ask[modelorg.ListAccountsResponse](l, "GET", "/v1/organizations/accounts", q, nil)
}

func (l *light) tags(r *modelorg.ListTagsForResourceRequest) (*modelorg.ListTagsForResourceResponse, string, error) {
	var q query
	q.number("limit", r.Limit)
	q.text("marker", r.Marker)
	return ask[modelorg.ListTagsForResourceResponse](l, "GET", "/v1/organizations/resources/"+r.ResourceId+"/tags", q, nil)
}

func (l *light) write(o op, s *rules.Step) (id string, err error) {
	policy, scope := s.Grant.Policy.ID, s.Grant.Scope.ID
	send := func(path string, body any) (string, error) {
		var data []byte
		if body != nil {
			if data, err = utils.Marshal(body); err != nil {
				return "", err
			}
		}
		_, id, err := ask[struct{}](l, operations[o].method, path, query{}, data)
		return id, err
	}
	switch o {
	case opGrantGlobal, opRevokeGlobal:
		return send("/v3.0/OS-AGENCY/domains/"+s.AccountID+"/agencies/"+s.AgencyID+"/roles/"+policy, nil)
	case opGrantInherited, opRevokeInherited:
		return send("/v3.0/OS-INHERIT/domains/"+s.AccountID+"/agencies/"+s.AgencyID+"/roles/"+policy+"/inherited_to_projects", nil)
	case opRevokeProject:
		return send("/v3.0/OS-AGENCY/projects/"+scope+"/agencies/"+s.AgencyID+"/roles/"+policy, nil)
	case opRevokeEnterprise:
		return send("/v3.0/OS-PERMISSION/subjects/agency/scopes/enterprise-project/role-assignments", &model.CreateOrDelAgencyEpPolicyAssignmentReqBody{
			RoleAssignments: []model.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{
				{AgencyId: s.AgencyID, EnterpriseProjectId: scope, RoleId: policy},
			},
		})
	case opDetach:
		return send("/v5/policies/"+policy+"/detach-agency", &model5.DetachAgencyPolicyReqBody{AgencyId: s.AgencyID})
	}
	return "", errNoWrite
}

package huawei

import (
	"errors"
	"fmt"
	"sync"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/invoker"
	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	iam5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	organizations "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1"
	modelorg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"
	sts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1"
	modelsts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// api are the requests of this package, each answered with the cloud's id of the answer, which is empty when none came.
// What is returned without an error has passed the wire beneath.
//
// The one that is used is the SDK's. Tests put a lighter one over the same wire, so that what the wire believes and what is
// made of it can be tried a hundred thousand times.
type api interface {
	agencies(*model.ListAgenciesRequest) (*model.ListAgenciesResponse, string, error)
	assignments(*model.ShowDomainRoleAssignmentsRequest) (*model.ShowDomainRoleAssignmentsResponse, string, error)
	attached(*model5.ListAttachedAgencyPoliciesV5Request) (*model5.ListAttachedAgencyPoliciesV5Response, string, error)
	globalRoles(*model.ListDomainPermissionsForAgencyRequest) (*model.ListDomainPermissionsForAgencyResponse, string, error)
	inheritedRoles(*model.ListAllProjectsPermissionsForAgencyRequest) (
		*model.ListAllProjectsPermissionsForAgencyResponse, string, error)
	catalogue(*model.KeystoneListPermissionsRequest) (*model.KeystoneListPermissionsResponse, string, error)
	policy(*model.KeystoneShowPermissionRequest) (*model.KeystoneShowPermissionResponse, string, error)
	projects(*model.KeystoneListProjectsRequest) (*model.KeystoneListProjectsResponse, string, error)
	domains(*model.KeystoneListAuthDomainsRequest) (*model.KeystoneListAuthDomainsResponse, string, error)
	assume(*model.CreateTemporaryAccessKeyByAgencyRequest) (*model.CreateTemporaryAccessKeyByAgencyResponse, string, error)
	assumeSTS(*modelsts.AssumeAgencyRequest) (*modelsts.AssumeAgencyResponse, string, error)
	organization(*modelorg.ShowOrganizationRequest) (*modelorg.ShowOrganizationResponse, string, error)
	roots(*modelorg.ListRootsRequest) (*modelorg.ListRootsResponse, string, error)
	units(*modelorg.ListOrganizationalUnitsRequest) (*modelorg.ListOrganizationalUnitsResponse, string, error)
	members(*modelorg.ListAccountsRequest) (*modelorg.ListAccountsResponse, string, error)
	tags(*modelorg.ListTagsForResourceRequest) (*modelorg.ListTagsForResourceResponse, string, error)
	// write makes the request of a step, which is an operation that changes something, and sends it once. Its id is that of the answer.
	write(o op, s *rules.Step) (string, error)
}

// sdk is the api of the official SDK over one wire.
type sdk struct {
	v3 *iam.IamClient
	v5 *iam5.IamClient
	// org makes the client of Organizations, once; few wires need it.
	org func() (*organizations.OrganizationsClient, error)
	// sts does the same of STS.
	sts func() (*sts.StsClient, error)
}

// dialSDK makes the SDK's clients for the wire. accountID is the account that the keys belong to.
func dialSDK(w *wire, accountID string) (api, error) {
	builder := global.NewCredentialsBuilder().WithDomainId(accountID).
		WithAk(w.keys.AccessKey.reveal()).WithSk(w.keys.SecretKey.reveal())
	if !w.keys.SecurityToken.IsZero() {
		builder.WithSecurityToken(w.keys.SecurityToken.reveal())
	}
	credentials, err := builder.SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("make the SDK's credentials of account %s: %w", accountID, err)
	}
	// Only the round tripper is set: beside an HttpTransport it would be ignored (facts 5.5). The SDK's own timeout is
	// off, since the wire's context ends every request.
	settings := config.DefaultHttpConfig().WithHttpRoundTripper(w).WithUserAgent(w.cloud.cfg.UserAgent).WithTimeout(0)
	client, err := iam.IamClientBuilder().WithEndpoint(w.cloud.site.places[serviceIAM].endpoint).WithCredential(credentials).
		WithHttpConfig(settings).SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("make the SDK's client of account %s: %w", accountID, err)
	}
	org := sync.OnceValues(func() (*organizations.OrganizationsClient, error) {
		endpoint := w.cloud.site.places[serviceOrganizations].endpoint
		if endpoint == "" {
			return nil, errNoEndpoint
		}
		client, err := organizations.OrganizationsClientBuilder().WithEndpoint(endpoint).WithCredential(credentials).
			WithHttpConfig(settings).SafeBuild()
		if err != nil {
			return nil, fmt.Errorf("make the SDK's client of account %s: %w", accountID, err)
		}
		return organizations.NewOrganizationsClient(client), nil
	})
	ofSTS := sync.OnceValues(func() (*sts.StsClient, error) { return dialSTS(w, settings) })
	return sdk{v3: iam.NewIamClient(client), v5: iam5.NewIamClient(client), org: org, sts: ofSTS}, nil
}

// dialSTS makes the SDK's client of STS, which takes credentials of another kind (facts 5.1).
func dialSTS(w *wire, settings *config.HttpConfig) (*sts.StsClient, error) {
	endpoint := w.cloud.site.places[serviceSTS].endpoint
	if endpoint == "" {
		return nil, errNoEndpoint
	}
	builder := basic.NewCredentialsBuilder().WithAk(w.keys.AccessKey.reveal()).WithSk(w.keys.SecretKey.reveal())
	if !w.keys.SecurityToken.IsZero() {
		builder.WithSecurityToken(w.keys.SecurityToken.reveal())
	}
	credentials, err := builder.SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("make the SDK's credentials for STS: %w", err)
	}
	client, err := sts.StsClientBuilder().WithEndpoint(endpoint).WithCredential(credentials).WithHttpConfig(settings).SafeBuild()
	if err != nil {
		return nil, fmt.Errorf("make the SDK's client of STS: %w", err)
	}
	return sts.NewStsClient(client), nil
}

// errNoEndpoint says that the SDK must not be given an empty endpoint.
var errNoEndpoint = errors.New("its endpoint is not configured")

// call is one request made ready by the SDK.
type call[R any] interface {
	Invoke() (R, error)
	GetBaseInvoker() *invoker.BaseInvoker
}

// invoke sends the request, signed anew when it had to wait for too long. The id of the answer is known to the call alone.
func invoke[R any](c call[R]) (R, string, error) {
	resp, err := c.Invoke()
	for err != nil && isStale(err) {
		resp, err = c.Invoke()
	}
	return resp, c.GetBaseInvoker().Exchange.ApiReference.RequestId, err
}

func isStale(err error) bool {
	f, ok := errors.AsType[*fault](err)
	return ok && f.stale
}

func (s sdk) agencies(r *model.ListAgenciesRequest) (*model.ListAgenciesResponse, string, error) {
	return invoke(s.v3.ListAgenciesInvoker(r))
}

func (s sdk) assignments(r *model.ShowDomainRoleAssignmentsRequest) (*model.ShowDomainRoleAssignmentsResponse, string, error) {
	return invoke(s.v3.ShowDomainRoleAssignmentsInvoker(r))
}

func (s sdk) attached(r *model5.ListAttachedAgencyPoliciesV5Request) (
	*model5.ListAttachedAgencyPoliciesV5Response, string, error,
) {
	return invoke(s.v5.ListAttachedAgencyPoliciesV5Invoker(r))
}

func (s sdk) globalRoles(r *model.ListDomainPermissionsForAgencyRequest) (
	*model.ListDomainPermissionsForAgencyResponse, string, error,
) {
	return invoke(s.v3.ListDomainPermissionsForAgencyInvoker(r))
}

func (s sdk) inheritedRoles(r *model.ListAllProjectsPermissionsForAgencyRequest) (
	*model.ListAllProjectsPermissionsForAgencyResponse, string, error,
) {
	return invoke(s.v3.ListAllProjectsPermissionsForAgencyInvoker(r))
}

func (s sdk) catalogue(r *model.KeystoneListPermissionsRequest) (*model.KeystoneListPermissionsResponse, string, error) {
	return invoke(s.v3.KeystoneListPermissionsInvoker(r))
}

func (s sdk) policy(r *model.KeystoneShowPermissionRequest) (*model.KeystoneShowPermissionResponse, string, error) {
	return invoke(s.v3.KeystoneShowPermissionInvoker(r))
}

func (s sdk) projects(r *model.KeystoneListProjectsRequest) (*model.KeystoneListProjectsResponse, string, error) {
	return invoke(s.v3.KeystoneListProjectsInvoker(r))
}

func (s sdk) domains(r *model.KeystoneListAuthDomainsRequest) (*model.KeystoneListAuthDomainsResponse, string, error) {
	return invoke(s.v3.KeystoneListAuthDomainsInvoker(r))
}

func (s sdk) assume(r *model.CreateTemporaryAccessKeyByAgencyRequest) (
	*model.CreateTemporaryAccessKeyByAgencyResponse, string, error,
) {
	return invoke(s.v3.CreateTemporaryAccessKeyByAgencyInvoker(r))
}

func (s sdk) assumeSTS(r *modelsts.AssumeAgencyRequest) (*modelsts.AssumeAgencyResponse, string, error) {
	c, err := s.sts()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.AssumeAgencyInvoker(r))
}

func (s sdk) organization(r *modelorg.ShowOrganizationRequest) (*modelorg.ShowOrganizationResponse, string, error) {
	c, err := s.org()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.ShowOrganizationInvoker(r))
}

func (s sdk) roots(r *modelorg.ListRootsRequest) (*modelorg.ListRootsResponse, string, error) {
	c, err := s.org()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.ListRootsInvoker(r))
}

func (s sdk) units(r *modelorg.ListOrganizationalUnitsRequest) (*modelorg.ListOrganizationalUnitsResponse, string, error) {
	c, err := s.org()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.ListOrganizationalUnitsInvoker(r))
}

func (s sdk) members(r *modelorg.ListAccountsRequest) (*modelorg.ListAccountsResponse, string, error) {
	c, err := s.org()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.ListAccountsInvoker(r))
}

func (s sdk) tags(r *modelorg.ListTagsForResourceRequest) (*modelorg.ListTagsForResourceResponse, string, error) {
	c, err := s.org()
	if err != nil {
		return nil, "", err
	}
	return invoke(c.ListTagsForResourceInvoker(r))
}

func (s sdk) write(o op, st *rules.Step) (string, error) {
	policy, scope := st.Grant.Policy.ID, st.Grant.Scope.ID
	switch o {
	case opGrantGlobal:
		return invokeOnce(s.v3.AssociateAgencyWithDomainPermissionInvoker(&model.AssociateAgencyWithDomainPermissionRequest{
			DomainId: st.AccountID, AgencyId: st.AgencyID, RoleId: policy,
		}))
	case opGrantInherited:
		return invokeOnce(s.v3.AssociateAgencyWithAllProjectsPermissionInvoker(&model.AssociateAgencyWithAllProjectsPermissionRequest{
			DomainId: st.AccountID, AgencyId: st.AgencyID, RoleId: policy,
		}))
	case opRevokeGlobal:
		return invokeOnce(s.v3.RemoveDomainPermissionFromAgencyInvoker(&model.RemoveDomainPermissionFromAgencyRequest{
			DomainId: st.AccountID, AgencyId: st.AgencyID, RoleId: policy,
		}))
	case opRevokeInherited:
		return invokeOnce(s.v3.RemoveAllProjectsPermissionFromAgencyInvoker(&model.RemoveAllProjectsPermissionFromAgencyRequest{
			DomainId: st.AccountID, AgencyId: st.AgencyID, RoleId: policy,
		}))
	case opRevokeProject:
		return invokeOnce(s.v3.RemoveProjectPermissionFromAgencyInvoker(&model.RemoveProjectPermissionFromAgencyRequest{
			ProjectId: scope, AgencyId: st.AgencyID, RoleId: policy,
		}))
	case opRevokeEnterprise:
		return invokeOnce(s.v3.RevokeRoleFromAgencyOnEnterpriseProjectInvoker(&model.RevokeRoleFromAgencyOnEnterpriseProjectRequest{
			Body: &model.CreateOrDelAgencyEpPolicyAssignmentReqBody{
				RoleAssignments: []model.CreateAgencyEpPolicyAssignmentReqBodyRoleAssignments{
					{AgencyId: st.AgencyID, EnterpriseProjectId: scope, RoleId: policy},
				},
			},
		}))
	case opDetach:
		return invokeOnce(s.v5.DetachAgencyPolicyV5Invoker(&model5.DetachAgencyPolicyV5Request{
			PolicyId: policy, Body: &model5.DetachAgencyPolicyReqBody{AgencyId: st.AgencyID},
		}))
	}
	return "", errNoWrite
}

// invokeOnce sends a request that changes something, and never signs it anew.
func invokeOnce[R any](c call[R]) (string, error) {
	_, err := c.Invoke()
	return c.GetBaseInvoker().Exchange.ApiReference.RequestId, err
}

// errNoWrite says that an operation changes nothing.
var errNoWrite = errors.New("it changes nothing")

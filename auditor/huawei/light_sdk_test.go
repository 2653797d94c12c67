package huawei

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	modelorg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"
	modelsts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// recorder answers each request with the next of its answers, and keeps what was asked.
type recorder struct {
	status int
	body   string
	asked  []string
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	body := ""
	if req.Body != nil {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		var parsed any
		if len(raw) > 0 {
			if err := json.Unmarshal(raw, &parsed); err != nil {
				return nil, err
			}
			body = fmt.Sprint(parsed)
		}
	}
	access, _, _ := strings.Cut(req.Header.Get("Authorization"), ",")
	r.asked = append(r.asked, strings.Join([]string{
		req.Method, req.URL.Scheme, req.URL.Host, req.URL.Path, req.URL.Query().Encode(), req.Header.Get("X-Domain-Id"), access, body,
	}, " "))
	return &http.Response{
		StatusCode: r.status, Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {"r1"}}, Request: req,
		Body: io.NopCloser(strings.NewReader(r.body)), ContentLength: int64(len(r.body)),
	}, nil
}

// TestTheLightClientIsTheSDK holds the client that the random worlds use to the SDK: the same request for each operation,
// the same values from the same answer, and an error of the same kind where the answer cannot be decoded.
func TestTheLightClientIsTheSDK(t *testing.T) {
	name, id, page, per, yes, scope, marker, seconds := "a name & more", "a1", int32(2), int32(50), true, "domain", "m/1=", int32(900)
	assume := &model.CreateTemporaryAccessKeyByAgencyRequest{
		Body: &model.CreateTemporaryAccessKeyByAgencyRequestBody{Auth: &model.AgencyAuth{Identity: &model.AgencyAuthIdentity{
			Methods: []model.AgencyAuthIdentityMethods{model.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
			AssumeRole: &model.IdentityAssumerole{
				AgencyName: name, DomainId: &id, DurationSeconds: &seconds, SessionUser: &model.AssumeroleSessionuser{Name: &name},
			},
		}}},
	}
	role := `{"id":"p1","name":"n","display_name":"d","type":"AX","catalog":"C","domain_id":null,` +
		`"policy":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["a:b:c"]},{"Effect":"Deny","Action":["*"]}]}}`
	const end = `"page_info":{"next_marker":"m","current_count":1}}`
	cases := [opCount]struct {
		do     func(api) (any, string, error)
		status int
		// good is an answer, bad one that the wire lets through and the decoder does not.
		good, bad string
	}{
		opAgencies: {
			do: func(a api) (any, string, error) {
				return three(a.agencies(&model.ListAgenciesRequest{DomainId: id, Name: &name, Page: &page, PerPage: &per}))
			},
			good: `{"agencies":[{"id":"a1","name":"é","domain_id":"d","trust_domain_id":"t","trust_domain_name":null,"duration":"24",` +
				`"description":"","create_time":"2024","expire_time":null}]}`,
			bad: `{"agencies":[{"id":1,"expire_time":null}]}`,
		},
		opAssignments: {
			do: func(a api) (any, string, error) {
				return three(a.assignments(&model.ShowDomainRoleAssignmentsRequest{
					DomainId: id, SubjectAgencyId: &id, Scope: &scope, IsInherited: &yes, Page: &page, PerPage: &per,
				}))
			},
			good: `{"total_num":1,"role_assignments":[{"agency":{"id":"a"},"role":{"id":"p"},"scope":{"domain":{"id":"d"}},"is_inherited":true}]}`,
			bad:  `{"total_num":1,"role_assignments":[{"agency":"a"}]}`,
		},
		opAttached: {
			do: func(a api) (any, string, error) {
				return three(a.attached(&model5.ListAttachedAgencyPoliciesV5Request{AgencyId: id, Limit: &per, Marker: &marker}))
			},
			good: `{"attached_policies":[{"policy_id":"p","policy_name":"n","urn":"iam::system:policy:n","attached_at":"2024-09-02T06:11:27Z"}],` +
				`"page_info":{"next_marker":"m","current_count":1}}`,
			bad: `{"attached_policies":[{"policy_id":7}],"page_info":{"current_count":1}}`,
		},
		opGlobalRoles: {
			do: func(a api) (any, string, error) {
				return three(a.globalRoles(&model.ListDomainPermissionsForAgencyRequest{DomainId: id, AgencyId: "a2"}))
			},
			good: `{"roles":[` + role + `],"links":{"self":"s"}}`, bad: `{"roles":[{"id":true}]}`,
		},
		opInheritedRoles: {
			do: func(a api) (any, string, error) {
				return three(a.inheritedRoles(&model.ListAllProjectsPermissionsForAgencyRequest{DomainId: id, AgencyId: "a2"}))
			},
			good: `{"roles":[` + role + `],"links":{"self":"s"}}`, bad: `{"roles":[{"id":true}]}`,
		},
		opCatalogue: {
			do: func(a api) (any, string, error) {
				return three(a.catalogue(&model.KeystoneListPermissionsRequest{Page: &page, PerPage: &per}))
			},
			good: `{"roles":[` + role + `],"links":{"self":"s","next":"n"}}`, bad: `{"roles":[{"domain_id":null,"id":{}}]}`,
		},
		opPolicy: {
			do: func(a api) (any, string, error) {
				return three(a.policy(&model.KeystoneShowPermissionRequest{RoleId: "p1"}))
			},
			good: `{"role":` + role + `}`, bad: `{"role":{"domain_id":null,"id":1}}`,
		},
		opProjects: {
			do: func(a api) (any, string, error) {
				return three(a.projects(&model.KeystoneListProjectsRequest{DomainId: &id}))
			},
			good: `{"projects":[{"id":"p","name":"n","domain_id":"d","is_domain":false,"parent_id":"d","enabled":true,"description":"",` +
				`"links":{"self":"s"}}]}`,
			bad: `{"projects":[7]}`,
		},
		opDomains: {
			do:   func(a api) (any, string, error) { return three(a.domains(&model.KeystoneListAuthDomainsRequest{})) },
			good: `{"domains":[{"id":"d","name":"n","enabled":true,"description":""}],"links":{"self":"s"}}`, bad: `{"domains":["d"]}`,
		},
		opAssume: {
			do:     func(a api) (any, string, error) { return three(a.assume(assume)) },
			status: 201, bad: `{"credential":{"access":1}}`,
			good: `{"credential":{"access":"a","secret":"s","securitytoken":"t","expires_at":"2026-01-01T00:00:00.000000Z"}}`,
		},
		opAssumeSTS: {
			do: func(a api) (any, string, error) {
				return three(a.assumeSTS(&modelsts.AssumeAgencyRequest{Body: &modelsts.AssumeAgencyReqBody{
					AgencyUrn: "iam::a1:agency:n", AgencySessionName: "session", DurationSeconds: &seconds, ExternalId: &marker,
				}}))
			},
			good: `{"assumed_agency":{"urn":"u","id":"i"},"credentials":{"access_key_id":"a","secret_access_key":"s","security_token":"t",` +
				`"expiration":"2026-01-01T00:00:00.000Z"}}`,
			bad: `{"assumed_agency":{"urn":"u","id":"i"},"credentials":{"access_key_id":"a","secret_access_key":"s","security_token":"t",` +
				`"expiration":"soon"}}`,
		},
		opOrganization: {
			do:   func(a api) (any, string, error) { return three(a.organization(&modelorg.ShowOrganizationRequest{})) },
			good: `{"organization":{"id":"o-1","urn":"u","management_account_id":"m","management_account_name":"n","created_at":"2024-09-02T06:11:27Z"}}`,
			bad:  `{"organization":{"id":"o-1","management_account_id":"m","created_at":7}}`,
		},
		opRoots: {
			do: func(a api) (any, string, error) {
				return three(a.roots(&modelorg.ListRootsRequest{Limit: &per, Marker: &marker}))
			},
			good: `{"roots":[{"id":"r-1","urn":"u","name":"root","policy_types":[],"created_at":"2024-09-02T06:11:27Z"}],` + end,
			bad:  `{"roots":[{"id":"r-1","created_at":[]}],` + end,
		},
		opUnits: {
			do: func(a api) (any, string, error) {
				return three(a.units(&modelorg.ListOrganizationalUnitsRequest{ParentId: &id, Limit: &per, Marker: &marker}))
			},
			good: `{"organizational_units":[{"id":"ou-1","urn":"u","name":"é","created_at":"2024-09-02T06:11:27Z"}],` + end,
			bad:  `{"organizational_units":[{"id":"ou-1","name":"n","urn":7}],` + end,
		},
		opMembers: {
			do: func(a api) (any, string, error) {
				return three(a.members(&modelorg.ListAccountsRequest{ParentId: &id, Limit: &per, Marker: &marker}))
			},
			good: `{"accounts":[{"id":"a","urn":"u","join_method":"invited","status":"active","joined_at":"2024-09-02T06:11:27Z","name":"n",` +
				`"mobile_phone":null,"email":null}],` + end,
			bad: `{"accounts":[{"id":"a","status":"active","joined_at":"yesterday","name":"n"}],` + end,
		},
		opTags: {
			do: func(a api) (any, string, error) {
				return three(a.tags(&modelorg.ListTagsForResourceRequest{ResourceId: "a2", Limit: &per, Marker: &marker}))
			},
			good: `{"tags":[{"key":"env","value":""}],` + end, bad: `{"tags":[{"key":"env","value":7}],` + end,
		},
	}
	c, err := New(Config{Endpoints: Endpoints{
		IAM: "https://iam.example.com", STS: "https://sts.example.com", Organizations: "https://organizations.example.com",
	}, Accounts: map[string]Access{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	step := &rules.Step{AccountID: id, AgencyID: "a2", Grant: rules.Grant{Policy: rules.Policy{ID: "p1"}, Scope: rules.Scope{ID: "s1"}}}
	for o := range cases {
		if operations[o].changes == "" {
			continue
		}
		tc := &cases[o]
		tc.status, tc.good, tc.bad = operations[o].status, "", `{"roles":[]}`
		tc.do = func(a api) (any, string, error) {
			id, err := a.write(op(o), step)
			return &struct{ HttpStatusCode int }{}, id, err //nolint:revive // as the SDK calls it
		}
	}
	for o, tc := range cases {
		t.Run(operations[o].name, func(t *testing.T) {
			for _, body := range []string{tc.good, tc.bad, "{}"} {
				r := &recorder{status: max(tc.status, 200), body: body}
				c.transport = r
				w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("AK"), SecretKey: NewSecret("SK")}, slog.New(slog.DiscardHandler))
				defer done()
				c.writes = operations[o].changes
				var answers [2]any
				var ids [2]string
				var faults [2]*fault
				for i, dial := range []func(*wire, string) (api, error){dialSDK, dialLight} {
					w.permit = &permit{op: op(o)}
					a, err := dial(w, "d1")
					if err != nil {
						t.Fatal(err)
					}
					answers[i], ids[i], err = tc.do(a)
					if err != nil {
						faults[i], answers[i] = asFault(op(o), err), nil
						continue
					}
					// The SDK adds the status, which nothing here looks at.
					v := reflect.ValueOf(answers[i]).Elem()
					v.FieldByName("HttpStatusCode").SetInt(0)
				}
				switch {
				case len(r.asked) != 2 || r.asked[0] != r.asked[1]:
					t.Errorf("asked\n%s", strings.Join(r.asked, "\n"))
				case (faults[0] == nil) != (body == tc.good):
					t.Errorf("%s: %+v", body, faults[0])
				case (faults[0] == nil) != (faults[1] == nil):
					t.Errorf("%s: the SDK says %+v, the light client %+v", body, faults[0], faults[1])
				case faults[0] != nil && (faults[0].reason != faults[1].reason || faults[0].status != faults[1].status ||
					faults[0].requestID != faults[1].requestID):
					t.Errorf("%s: the SDK says %+v, the light client %+v", body, faults[0], faults[1])
				case faults[0] == nil && (ids[0] != ids[1] || !reflect.DeepEqual(answers[0], answers[1])):
					t.Errorf("%s: the SDK has %q %+v, the light client %q %+v", body, ids[0], answers[0], ids[1], answers[1])
				}
			}
		})
	}
}

func three[T any](answer T, id string, err error) (any, string, error) { return answer, id, err }

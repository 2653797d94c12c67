package huawei

import (
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules"
)

// op is one request of the closed list that a wire lets through. All of them read, but for opAssume and opAssumeSTS, which make
// a temporary key and change nothing, and for those that change something, which only the wires of a Writer let through.
type op int

const (
	opAgencies op = iota
	opAssignments
	opAttached
	opGlobalRoles
	opInheritedRoles
	opCatalogue
	opPolicy
	opProjects
	opDomains
	opAssume
	opAssumeSTS
	opOrganization
	opRoots
	opUnits
	opMembers
	opTags
	opGrantGlobal
	opGrantInherited
	opRevokeGlobal
	opRevokeInherited
	opRevokeProject
	opRevokeEnterprise
	opDetach
	opCount
)

// service is one of the cloud's services, each of which has its own host.
type service int

const (
	serviceIAM service = iota
	serviceSTS
	serviceOrganizations
	serviceCount
)

// String is what Meter hears of it.
func (s service) String() string {
	return [serviceCount]string{serviceIAM: "iam", serviceSTS: "sts", serviceOrganizations: "organizations"}[s]
}

// title is how people write it.
func (s service) title() string {
	return [serviceCount]string{serviceIAM: "IAM", serviceSTS: "STS", serviceOrganizations: "Organizations"}[s]
}

// operation is what is known of an op.
type operation struct {
	// name is what the SDK calls it.
	name string
	// service is whose host it is sent to.
	service service
	// method and path identify it; {} in path stands for one id.
	method, path string
	// status is the only one that counts as success.
	status int
	// part is which part of Config.MaxBody its answer may have: the whole, unless it is short by nature.
	part int64
	// envelope are the members that the answer must have. One that changes something is answered without a body.
	envelope []member
	// action is the permission that it needs, as policies spell it (facts 8, 10.5); empty when it needs none.
	action string
	// secret says that the answer holds credentials, so that no part of it may be shown.
	secret bool
	// shared says that it is sent for all accounts and charged to none.
	shared bool
	// changes is what it does to grants; empty when it changes nothing.
	changes rules.Action
}

// member is what is read of an answer's object, or of each object in a list: its name, and the first bytes that its value may
// have, where 0 stands for a count, t and f for a boolean and n for null. inner are the members of the value, or of its rows.
type member struct {
	name  string
	kinds string
	// optional says that it may be missing. It may not be there under a name that only a lenient decoder takes for it.
	optional bool
	inner    []member
	// rows is how many rows a list may have: what the request asks for at most or, where it does not say, far more than there
	// can be. id is the name of the member that each row is known by; empty when no single one is.
	rows int
	id   string
	// row says that it is one row of a list, or the one thing that was asked for.
	row bool
}

// Lists that are not asked for by the page.
const (
	maxRoles    = 2000 // of one agency at one scope
	maxProjects = 5000 // facts 4
	maxDomains  = 100  // one is expected
)

// organizationPerPage is how many rows a page of Organizations is asked for, which gives 2000 at most (facts 7).
const organizationPerPage = 1000

// text is a member that is a string.
func text(name string) member { return member{name: name, kinds: `"`} }

// maybe are members that may be missing, or of one of the kinds.
func maybe(kinds string, names ...string) []member {
	members := make([]member, len(names))
	for i, n := range names {
		members[i] = member{name: n, kinds: kinds, optional: true}
	}
	return members
}

// part is an object that may be missing or null.
func part(name string, inner ...member) member {
	return member{name: name, kinds: "{n", optional: true, inner: inner}
}

// withID are objects of which the id alone is read.
func withID(names ...string) []member {
	members := make([]member, len(names))
	for i, n := range names {
		members[i] = part(n, maybe(`"n`, "id")...)
	}
	return members
}

// role is a policy with what it allows. Only its owner tells a system-defined policy, where it is null, from a custom one
// (facts 3.3); to the SDK an owner that is missing is null as well.
var role = slices.Concat(
	[]member{text("id"), {name: "domain_id", kinds: `n"`}},
	maybe(`"n`, "name", "display_name", "catalog"),
	[]member{part("policy", member{
		name: "Statement", kinds: "[n", optional: true,
		inner: slices.Concat(maybe(`"`, "Effect"), maybe("[n", "Action")),
	})},
)

// pageInfo is how the newer services end a page.
var pageInfo = member{
	name: "page_info", kinds: "{", inner: append(maybe(`"n`, "next_marker"), member{name: "current_count", kinds: "0"}),
}

// operations are all of them. Paths: facts 1.1, 2.1 to 2.5, 3.1, 3.2, 4, 6.1, 7 and 8.
var operations = [opCount]operation{
	opAgencies: {
		name: "ListAgencies", method: "GET", path: "/v3.0/OS-AGENCY/agencies", status: 200, part: 2,
		envelope: []member{{name: "agencies", kinds: "[", rows: agenciesPerPage, id: "id", inner: slices.Concat(
			// Without its end an agency would be valid for ever (facts 1.1).
			[]member{text("id"), {name: "expire_time", kinds: `n"`}},
			maybe(`"n`, "name", "domain_id", "trust_domain_id", "trust_domain_name", "create_time", "duration"),
		)}},
		action: "iam:agencies:listAgencies",
	},
	opAssignments: {
		name: "ShowDomainRoleAssignments", method: "GET", path: "/v3.0/OS-PERMISSION/role-assignments", status: 200,
		part: 16,
		envelope: []member{
			{name: "total_num", kinds: "0"},
			{name: "role_assignments", kinds: "[", rows: assignmentsPerPage, inner: slices.Concat(
				withID("role", "agency"), maybe("{n", "user", "group"), maybe("tfn", "is_inherited"),
				[]member{part("scope", withID("domain", "project", "enterprise_project")...)},
			)},
		},
		action: "iam:permissions:listRoleAssignments",
	},
	opAttached: {
		name: "ListAttachedAgencyPoliciesV5", method: "GET", path: "/v5/agencies/{}/attached-policies", status: 200,
		part: 8,
		envelope: []member{
			{name: "attached_policies", kinds: "[", rows: attachedPerPage, id: "policy_id", inner: slices.Concat(
				[]member{text("policy_id")}, maybe(`"n`, "policy_name", "urn"),
			)},
			pageInfo,
		},
		action: "iam:agencies:listAttachedPoliciesV5",
	},
	opGlobalRoles: {
		name: "ListDomainPermissionsForAgency", method: "GET", status: 200, part: 1,
		path:     "/v3.0/OS-AGENCY/domains/{}/agencies/{}/roles",
		envelope: []member{{name: "roles", kinds: "[", rows: maxRoles, id: "id", inner: []member{text("id")}}},
		action:   "iam:permissions:listRolesForAgencyOnDomain",
	},
	opInheritedRoles: {
		name: "ListAllProjectsPermissionsForAgency", method: "GET", status: 200, part: 4,
		path:     "/v3.0/OS-INHERIT/domains/{}/agencies/{}/roles/inherited_to_projects",
		envelope: []member{{name: "roles", kinds: "[", rows: maxRoles, id: "id", inner: []member{text("id")}}},
		action:   "iam:permissions:listRolesForAgency",
	},
	opCatalogue: {
		name: "KeystoneListPermissions", method: "GET", path: "/v3/roles", status: 200, part: 1,
		envelope: []member{
			{name: "roles", kinds: "[", rows: cataloguePerPage, id: "id", inner: role}, part("links", maybe(`"n`, "next")...),
		},
		action: "iam:roles:listRoles", shared: true,
	},
	opPolicy: {
		name: "KeystoneShowPermission", method: "GET", path: "/v3/roles/{}", status: 200, part: 4,
		envelope: []member{{name: "role", kinds: "{", inner: role, row: true}}, action: "iam:roles:getRole",
	},
	opProjects: {
		name: "KeystoneListProjects", method: "GET", path: "/v3/projects", status: 200, part: 1,
		envelope: []member{{name: "projects", kinds: "[", rows: maxProjects, id: "id", inner: slices.Concat(
			[]member{text("id")}, maybe(`"n`, "name"),
		)}},
	},
	opDomains: {
		name: "KeystoneListAuthDomains", method: "GET", path: "/v3/auth/domains", status: 200, part: 64,
		envelope: []member{{name: "domains", kinds: "[", rows: maxDomains, id: "id", inner: []member{text("id")}}},
	},
	opAssume: {
		name: "CreateTemporaryAccessKeyByAgency", method: "POST", path: "/v3.0/OS-CREDENTIAL/securitytokens", status: 201,
		part: 64,
		envelope: []member{{name: "credential", kinds: "{", row: true, inner: []member{
			text("access"), text("secret"), text("securitytoken"), text("expires_at"),
		}}},
		action: "iam:agencies:assume", secret: true, shared: true,
	},
	opAssumeSTS: {
		name: "AssumeAgency", service: serviceSTS, method: "POST", path: "/v5/agencies/assume", status: 200, part: 64,
		envelope: []member{
			{name: "assumed_agency", kinds: "{", row: true, inner: []member{text("urn"), text("id")}},
			{name: "credentials", kinds: "{", row: true, inner: []member{
				text("access_key_id"), text("secret_access_key"), text("security_token"), text("expiration"),
			}},
		},
		action: "sts:agencies:assume", secret: true, shared: true,
	},
	opOrganization: {
		name: "ShowOrganization", service: serviceOrganizations, method: "GET", path: "/v1/organizations", status: 200, part: 64,
		envelope: []member{{name: "organization", kinds: "{", row: true, inner: []member{text("id"), text("management_account_id")}}},
		action:   "organizations:organizations:get", shared: true,
	},
	opRoots: {
		name: "ListRoots", service: serviceOrganizations, method: "GET", path: "/v1/organizations/roots", status: 200, part: 64,
		envelope: []member{
			{name: "roots", kinds: "[", rows: organizationPerPage, id: "id", inner: []member{text("id")}}, pageInfo,
		},
		action: "organizations:roots:list", shared: true,
	},
	opUnits: {
		name: "ListOrganizationalUnits", service: serviceOrganizations, method: "GET", path: "/v1/organizations/organizational-units",
		status: 200, part: 4,
		envelope: []member{
			{name: "organizational_units", kinds: "[", rows: organizationPerPage, id: "id", inner: []member{text("id"), text("name")}},
			pageInfo,
		},
		action: "organizations:ous:list", shared: true,
	},
	opMembers: {
		name: "ListAccounts", service: serviceOrganizations, method: "GET", path: "/v1/organizations/accounts", status: 200, part: 1,
		envelope: []member{
			{name: "accounts", kinds: "[", rows: organizationPerPage, id: "id", inner: []member{
				text("id"), text("name"), text("status"), text("joined_at"),
			}},
			pageInfo,
		},
		action: "organizations:accounts:list", shared: true,
	},
	opTags: {
		name: "ListTagsForResource", service: serviceOrganizations, method: "GET", path: "/v1/organizations/resources/{}/tags",
		status: 200, part: 16,
		envelope: []member{
			// A key is no id: people choose it. That each comes once is seen to where the pages are read.
			{name: "tags", kinds: "[", rows: organizationPerPage, inner: []member{text("key"), text("value")}}, pageInfo,
		},
		action: "organizations:tags:list", shared: true,
	},
	opGrantGlobal: {
		name: "AssociateAgencyWithDomainPermission", method: "PUT", path: "/v3.0/OS-AGENCY/domains/{}/agencies/{}/roles/{}",
		status: 204, part: 64, action: "iam:permissions:grantRoleToAgencyOnDomain", changes: rules.ActionGrant,
	},
	opGrantInherited: {
		name: "AssociateAgencyWithAllProjectsPermission", method: "PUT",
		path:   "/v3.0/OS-INHERIT/domains/{}/agencies/{}/roles/{}/inherited_to_projects",
		status: 204, part: 64, action: "iam:permissions:grantRoleToAgency", changes: rules.ActionGrant,
	},
	opRevokeGlobal: {
		name: "RemoveDomainPermissionFromAgency", method: "DELETE", path: "/v3.0/OS-AGENCY/domains/{}/agencies/{}/roles/{}",
		status: 204, part: 64, action: "iam:permissions:revokeRoleFromAgencyOnDomain", changes: rules.ActionRevoke,
	},
	opRevokeInherited: {
		name: "RemoveAllProjectsPermissionFromAgency", method: "DELETE",
		path:   "/v3.0/OS-INHERIT/domains/{}/agencies/{}/roles/{}/inherited_to_projects",
		status: 204, part: 64, action: "iam:permissions:revokeRoleFromAgency", changes: rules.ActionRevoke,
	},
	opRevokeProject: {
		name: "RemoveProjectPermissionFromAgency", method: "DELETE", path: "/v3.0/OS-AGENCY/projects/{}/agencies/{}/roles/{}",
		status: 204, part: 64, action: "iam:permissions:revokeRoleFromAgencyOnProject", changes: rules.ActionRevoke,
	},
	opRevokeEnterprise: {
		name: "RevokeRoleFromAgencyOnEnterpriseProject", method: "DELETE",
		path:   "/v3.0/OS-PERMISSION/subjects/agency/scopes/enterprise-project/role-assignments",
		status: 204, part: 64, action: "iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", changes: rules.ActionRevoke,
	},
	opDetach: {
		name: "DetachAgencyPolicyV5", method: "POST", path: "/v5/policies/{}/detach-agency", status: 200, part: 64,
		action: "iam:agencies:detachPolicyV5", changes: rules.ActionRevoke,
	},
}

// assumes says whether it makes a temporary key.
func (o op) assumes() bool { return o == opAssume || o == opAssumeSTS }

// identify returns the operation that a request is, if it is one of the list.
func identify(method, path string) (op, bool) {
	for o := range operations {
		if operations[o].method == method && matches(operations[o].path, path) {
			return op(o), true
		}
	}
	return 0, false
}

// matches says whether path is the pattern with an id for each {}.
func matches(pattern, path string) bool {
	for {
		fixed, rest, more := strings.Cut(pattern, "{}")
		if !more {
			return path == pattern
		}
		if !strings.HasPrefix(path, fixed) {
			return false
		}
		path = path[len(fixed):]
		end := strings.IndexByte(path, '/')
		if end < 0 {
			end = len(path)
		}
		if !isID(path[:end]) {
			return false
		}
		path, pattern = path[end:], rest
	}
}

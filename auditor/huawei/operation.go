package huawei

import "strings"

// op is one request of the closed list that a wire lets through. All of them read, but for opAssume, which makes a
// temporary key and changes nothing.
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
	opCount
)

// operation is what is known of an op.
type operation struct {
	// name is what the SDK calls it.
	name string
	// method and path identify it; {} in path stands for one id.
	method, path string
	// status is the only one that counts as success.
	status int
	// envelope are the members that the answer must have.
	envelope []member
	// action is the permission that it needs, as policies spell it (facts 8, 10.5); empty when it needs none.
	action string
	// secret says that the answer holds credentials, so that no part of it may be shown.
	secret bool
	// shared says that it is sent for all accounts and charged to none.
	shared bool
}

// member is what an answer's object must contain: a name, and the first bytes that its value may have, where 0 stands
// for a number and n for null. inner are the members of the value, or of each of its rows when it is an array.
type member struct {
	name  string
	kinds string
	inner []member
}

// owner is what tells a system-defined policy, where it is null, from a custom one (facts 3.3). To the SDK a member that
// is missing is null as well.
var owner = []member{{name: "domain_id", kinds: `n"`}}

// operations are all of them. Paths: facts 1.1, 2.1, 2.3, 2.5, 3.1, 3.2, 4, 6.1 and 8.
var operations = [opCount]operation{
	opAgencies: {
		name: "ListAgencies", method: "GET", path: "/v3.0/OS-AGENCY/agencies", status: 200,
		// Without its end an agency would be valid for ever (facts 1.1).
		envelope: []member{{name: "agencies", kinds: "[", inner: []member{{name: "expire_time", kinds: `n"`}}}},
		action:   "iam:agencies:listAgencies",
	},
	opAssignments: {
		name: "ShowDomainRoleAssignments", method: "GET", path: "/v3.0/OS-PERMISSION/role-assignments", status: 200,
		envelope: []member{{name: "total_num", kinds: "0"}, {name: "role_assignments", kinds: "["}},
		action:   "iam:permissions:listRoleAssignments",
	},
	opAttached: {
		name: "ListAttachedAgencyPoliciesV5", method: "GET", path: "/v5/agencies/{}/attached-policies", status: 200,
		envelope: []member{
			{name: "attached_policies", kinds: "["},
			{name: "page_info", kinds: "{", inner: []member{{name: "current_count", kinds: "0"}}},
		},
		action: "iam:agencies:listAttachedPoliciesV5",
	},
	opGlobalRoles: {
		name: "ListDomainPermissionsForAgency", method: "GET", status: 200,
		path:     "/v3.0/OS-AGENCY/domains/{}/agencies/{}/roles",
		envelope: []member{{name: "roles", kinds: "["}}, action: "iam:permissions:listRolesForAgencyOnDomain",
	},
	opInheritedRoles: {
		name: "ListAllProjectsPermissionsForAgency", method: "GET", status: 200,
		path:     "/v3.0/OS-INHERIT/domains/{}/agencies/{}/roles/inherited_to_projects",
		envelope: []member{{name: "roles", kinds: "["}}, action: "iam:permissions:listRolesForAgency",
	},
	opCatalogue: {
		name: "KeystoneListPermissions", method: "GET", path: "/v3/roles", status: 200,
		envelope: []member{{name: "roles", kinds: "[", inner: owner}}, action: "iam:roles:listRoles", shared: true,
	},
	opPolicy: {
		name: "KeystoneShowPermission", method: "GET", path: "/v3/roles/{}", status: 200,
		envelope: []member{{name: "role", kinds: "{", inner: owner}}, action: "iam:roles:getRole",
	},
	opProjects: {
		name: "KeystoneListProjects", method: "GET", path: "/v3/projects", status: 200,
		envelope: []member{{name: "projects", kinds: "["}},
	},
	opDomains: {
		name: "KeystoneListAuthDomains", method: "GET", path: "/v3/auth/domains", status: 200,
		envelope: []member{{name: "domains", kinds: "["}},
	},
	opAssume: {
		name: "CreateTemporaryAccessKeyByAgency", method: "POST", path: "/v3.0/OS-CREDENTIAL/securitytokens", status: 201,
		envelope: []member{{name: "credential", kinds: "{"}}, action: "iam:agencies:assume", secret: true, shared: true,
	},
}

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

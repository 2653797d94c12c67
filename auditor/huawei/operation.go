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

// member is what an answer's object must contain: a name and the first byte of its value, where 0 stands for a number.
type member struct {
	name  string
	kind  byte
	inner []member
}

// operations are all of them. Paths: facts 1.1, 2.1, 2.3, 2.5, 3.1, 3.2, 4, 6.1 and 8.
var operations = [opCount]operation{
	opAgencies: {
		name: "ListAgencies", method: "GET", path: "/v3.0/OS-AGENCY/agencies", status: 200,
		envelope: []member{{name: "agencies", kind: '['}}, action: "iam:agencies:listAgencies",
	},
	opAssignments: {
		name: "ShowDomainRoleAssignments", method: "GET", path: "/v3.0/OS-PERMISSION/role-assignments", status: 200,
		envelope: []member{{name: "total_num", kind: '0'}, {name: "role_assignments", kind: '['}},
		action:   "iam:permissions:listRoleAssignments",
	},
	opAttached: {
		name: "ListAttachedAgencyPoliciesV5", method: "GET", path: "/v5/agencies/{}/attached-policies", status: 200,
		envelope: []member{
			{name: "attached_policies", kind: '['},
			{name: "page_info", kind: '{', inner: []member{{name: "current_count", kind: '0'}}},
		},
		action: "iam:agencies:listAttachedPoliciesV5",
	},
	opGlobalRoles: {
		name: "ListDomainPermissionsForAgency", method: "GET", status: 200,
		path:     "/v3.0/OS-AGENCY/domains/{}/agencies/{}/roles",
		envelope: []member{{name: "roles", kind: '['}}, action: "iam:permissions:listRolesForAgencyOnDomain",
	},
	opInheritedRoles: {
		name: "ListAllProjectsPermissionsForAgency", method: "GET", status: 200,
		path:     "/v3.0/OS-INHERIT/domains/{}/agencies/{}/roles/inherited_to_projects",
		envelope: []member{{name: "roles", kind: '['}}, action: "iam:permissions:listRolesForAgency",
	},
	opCatalogue: {
		name: "KeystoneListPermissions", method: "GET", path: "/v3/roles", status: 200,
		envelope: []member{{name: "roles", kind: '['}}, action: "iam:roles:listRoles", shared: true,
	},
	opPolicy: {
		name: "KeystoneShowPermission", method: "GET", path: "/v3/roles/{}", status: 200,
		envelope: []member{{name: "role", kind: '{'}}, action: "iam:roles:getRole",
	},
	opProjects: {
		name: "KeystoneListProjects", method: "GET", path: "/v3/projects", status: 200,
		envelope: []member{{name: "projects", kind: '['}},
	},
	opDomains: {
		name: "KeystoneListAuthDomains", method: "GET", path: "/v3/auth/domains", status: 200,
		envelope: []member{{name: "domains", kind: '['}}, shared: true,
	},
	opAssume: {
		name: "CreateTemporaryAccessKeyByAgency", method: "POST", path: "/v3.0/OS-CREDENTIAL/securitytokens", status: 201,
		envelope: []member{{name: "credential", kind: '{'}}, action: "iam:agencies:assume", secret: true, shared: true,
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

package simcloud

import (
	"slices"
	"strings"
)

// service decides the shape of errors.
type service uint8

const (
	keystoneService      service = iota // IAM v3, /v3 and /v3.0
	identityService                     // IAM v5
	enterpriseService                   // EPS
	organizationsService                // Organizations
	stsService                          // STS
	metadataService                     // the metadata server and pod identity, which are not on the cloud's port
)

// operation is one thing that the cloud can do.
type operation struct {
	// name is the SDK's.
	name, method, path string
	service            service
	// enterprise says that the operation is about enterprise projects, which an account may not have.
	enterprise bool
	// list says that the read-after-write delay applies.
	list bool
	// actions are those of which one is needed, by their names in the role and policy model (facts 10.5) and, for IAM
	// v5, by the names that are printed there (facts 8). None is needed when there are none.
	actions []string
	// identityAction is the name for identity policies, which differs for IAM v3 (facts 8; those that are not printed
	// there follow the printed ones: our inference).
	identityAction string
	// internal is the name that refusals of IAM v3 print. Only two of them are known (facts 10.1), the others follow.
	internal string
	handle   func(*call) answer
	index    int
	// answers is the shape of the good answer, for faults.
	answers shape
}

// shape says what the body of a good answer looks like. Without a key there is none.
type shape struct {
	// key is the member that matters: the rows of a list, or the one thing that was asked for.
	key string
	// id is where in a row its id is, with a dot between keys; empty for what is no list.
	id string
	// owner is the member of a row that says whose it is; empty where none does.
	owner string
	// count is where the number of rows is, with a dot between keys: of all rows at the top, of this page below page_info.
	count string
	// pages says that there is a parameter for the next page.
	pages bool
	// time is the member of a row that says when; empty where none does.
	time string
	// keys says that what was asked for are temporary keys.
	keys bool
}

// shapes are the answers that have a body, by operation. The count of policies is there for custom ones only.
var shapes = map[string]shape{
	"ListAgencies": {key: "agencies", id: "id", owner: "domain_id", pages: true},
	"ShowAgency":   {key: "agency"},
	"CreateAgency": {key: "agency"},
	"UpdateAgency": {key: "agency"},

	"ListDomainPermissionsForAgency":      {key: "roles", id: "id", owner: "domain_id"},
	"ListProjectPermissionsForAgency":     {key: "roles", id: "id", owner: "domain_id"},
	"ListAllProjectsPermissionsForAgency": {key: "roles", id: "id"},
	"ShowDomainRoleAssignments": {key: "role_assignments", id: "role.id", owner: "agency", count: "total_num",
		pages: true},

	"KeystoneListPermissions": {key: "roles", id: "id", owner: "domain_id", count: "total_number", pages: true},
	"KeystoneShowPermission":  {key: "role"},
	"ListCustomPolicies":      {key: "roles", id: "id", owner: "domain_id", count: "total_number", pages: true},
	"ShowCustomPolicy":        {key: "role"},

	"KeystoneListProjects":     {key: "projects", id: "id", owner: "domain_id", pages: true},
	"KeystoneListAuthProjects": {key: "projects", id: "id", owner: "domain_id"},
	"KeystoneListAuthDomains":  {key: "domains", id: "id", owner: "id"},
	"KeystoneListRegions":      {key: "regions", id: "id"},
	"ListEnterpriseProject":    {key: "enterprise_projects", id: "id", count: "total_count", pages: true},

	assumeByIAM: {key: "credential", keys: true},

	"ShowOrganization": {key: "organization"},
	"ListRoots":        {key: "roots", id: "id", owner: "urn", count: orgCount, time: "created_at", pages: true},
	"ListOrganizationalUnits": {key: "organizational_units", id: "id", owner: "urn", count: orgCount,
		time: "created_at", pages: true},
	"ListAccounts":        {key: "accounts", id: "id", owner: "urn", count: orgCount, time: "joined_at", pages: true},
	"ShowAccount":         {key: "account"},
	"ListEntities":        {key: "entities", id: "id", count: orgCount, pages: true},
	"ListTagsForResource": {key: "tags", id: "key", count: orgCount, pages: true},
	"ListDelegatedAdministrators": {key: "delegated_administrators", id: "account_id", owner: "account_urn",
		count: orgCount, time: "joined_at", pages: true},

	assumeBySTS:         {key: "credentials", keys: true},
	"GetCallerIdentity": {key: "account_id"},

	"GetSecurityKey":             {key: "credential", keys: true},
	"AssumeAgencyForPodIdentity": {key: "credentials", keys: true},

	"ListAgenciesV5": {key: "agencies", id: "agency_id", owner: "urn", count: "page_info.current_count", pages: true},
	"GetAgencyV5":    {key: "agency"},
	"ListAttachedAgencyPoliciesV5": {key: "attached_policies", id: "policy_id", owner: "urn",
		count: "page_info.current_count", pages: true},
}

// orgCount is where the lists of Organizations count the rows of the page.
const orgCount = "page_info.current_count"

// The operations that assume an agency.
const (
	assumeByIAM = "CreateTemporaryAccessKeyByAgency"
	assumeBySTS = "AssumeAgency"
)

// maxOperations bounds the number of operations: they are members of an operationSet.
const maxOperations = 64

// operations is everything that the cloud can do.
func operations() []operation {
	const (
		get, head, put, post, del = "GET", "HEAD", "PUT", "POST", "DELETE"

		agencies  = "/v3.0/OS-AGENCY/agencies"
		inDomain  = "/v3.0/OS-AGENCY/domains/{domain_id}/agencies/{agency_id}/roles"
		inProject = "/v3.0/OS-AGENCY/projects/{project_id}/agencies/{agency_id}/roles"
		inherited = "/v3.0/OS-INHERIT/domains/{domain_id}/agencies/{agency_id}/roles"
		inherits  = "/inherited_to_projects"
		role      = "/{role_id}"
		agency    = "/{agency_id}"
		inEP      = "/v3.0/OS-PERMISSION/subjects/agency/scopes/enterprise-project/role-assignments"
	)
	v3 := func(name, method, path, action, identityAction, internal string, handle func(*call) answer) operation {
		o := operation{name: name, method: method, path: path, handle: handle, internal: "identity:" + internal}
		if action != "" {
			o.actions, o.identityAction = []string{action}, identityAction
		}
		return o
	}
	ep := func(o operation) operation { o.enterprise = true; return o }
	list := func(o operation) operation { o.list = true; return o }
	v5 := func(name, method, path, action string, handle func(*call) answer) operation {
		return operation{name: name, method: method, path: path, service: identityService,
			actions: []string{action}, identityAction: action, handle: handle}
	}
	// The actions of Organizations have the same names in both permission languages.
	orgs := func(name, path, action string, handle func(*call) answer) operation {
		action = "organizations:" + action
		return operation{name: name, method: get, path: "/v1/organizations" + path, service: organizationsService,
			actions: []string{action}, identityAction: action, handle: handle}
	}
	assume := v3(assumeByIAM, post, "/v3.0/OS-CREDENTIAL/securitytokens",
		"iam:agencies:assume", "iam:agencies:assume", "create_temporary_access_key", (*call).assume)
	assume.actions = append(assume.actions, "iam:tokens:assume")

	return []operation{
		list(v3("ListAgencies", get, agencies, "iam:agencies:listAgencies", "iam:agencies:list", "list_agencies",
			(*call).listAgencies)),
		v3("CreateAgency", post, agencies, "iam:agencies:createAgency", "iam:agencies:create", "create_agency",
			(*call).createAgency),
		v3("ShowAgency", get, agencies+agency, "iam:agencies:getAgency", "iam:agencies:get", "get_agency",
			(*call).showAgency),
		v3("UpdateAgency", put, agencies+agency, "iam:agencies:updateAgency", "iam:agencies:update", "update_agency",
			(*call).updateAgency),
		v3("DeleteAgency", del, agencies+agency, "iam:agencies:deleteAgency", "iam:agencies:delete", "delete_agency",
			(*call).deleteAgency),

		list(v3("ListDomainPermissionsForAgency", get, inDomain, "iam:permissions:listRolesForAgencyOnDomain",
			"iam:agencies:listRolesOnDomain", "list_domain_grants", on((*call).onDomain, (*call).list))),
		v3("CheckDomainPermissionForAgency", head, inDomain+role, "iam:permissions:checkRoleForAgencyOnDomain",
			"iam:agencies:checkRoleOnDomain", "check_domain_grant", on((*call).onDomain, (*call).check)),
		v3("AssociateAgencyWithDomainPermission", put, inDomain+role, "iam:permissions:grantRoleToAgencyOnDomain",
			"iam:agencies:grantRoleOnDomain", "create_domain_grant", on((*call).onDomain, (*call).grant)),
		v3("RemoveDomainPermissionFromAgency", del, inDomain+role, "iam:permissions:revokeRoleFromAgencyOnDomain",
			"iam:agencies:revokeRoleOnDomain", "revoke_domain_grant", on((*call).onDomain, (*call).revoke)),

		list(v3("ListProjectPermissionsForAgency", get, inProject, "iam:permissions:listRolesForAgencyOnProject",
			"iam:agencies:listRolesOnProject", "list_project_grants", on((*call).onProject, (*call).list))),
		v3("CheckProjectPermissionForAgency", head, inProject+role, "iam:permissions:checkRoleForAgencyOnProject",
			"iam:agencies:checkRoleOnProject", "check_project_grant", on((*call).onProject, (*call).check)),
		v3("AssociateAgencyWithProjectPermission", put, inProject+role, "iam:permissions:grantRoleToAgencyOnProject",
			"iam:agencies:grantRoleOnProject", "create_project_grant", on((*call).onProject, (*call).grant)),
		v3("RemoveProjectPermissionFromAgency", del, inProject+role, "iam:permissions:revokeRoleFromAgencyOnProject",
			"iam:agencies:revokeRoleOnProject", "revoke_project_grant", on((*call).onProject, (*call).revoke)),

		list(v3("ListAllProjectsPermissionsForAgency", get, inherited+inherits, "iam:permissions:listRolesForAgency",
			"iam:agencies:listRoles", "list_inherited_grants", on((*call).onAll, (*call).list))),
		v3("CheckAllProjectsPermissionForAgency", head, inherited+role+inherits, "iam:permissions:checkRoleForAgency",
			"iam:agencies:checkRole", "check_inherited_grant", on((*call).onAll, (*call).check)),
		v3("AssociateAgencyWithAllProjectsPermission", put, inherited+role+inherits, "iam:permissions:grantRoleToAgency",
			"iam:agencies:grantRole", "create_inherited_grant", on((*call).onAll, (*call).grant)),
		v3("RemoveAllProjectsPermissionFromAgency", del, inherited+role+inherits, "iam:permissions:revokeRoleFromAgency",
			"iam:agencies:revokeRole", "revoke_inherited_grant", on((*call).onAll, (*call).revoke)),

		ep(v3("AssociateRoleToAgencyOnEnterpriseProject", put, inEP,
			"iam:permissions:grantRoleToAgencyOnEnterpriseProject", "iam:agencies:grantRoleOnEnterpriseProject",
			"create_enterprise_project_grant", (*call).grantOnEnterpriseProjects)),
		ep(v3("RevokeRoleFromAgencyOnEnterpriseProject", del, inEP,
			"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", "iam:agencies:revokeRoleOnEnterpriseProject",
			"revoke_enterprise_project_grant", (*call).revokeOnEnterpriseProjects)),
		list(v3("ShowDomainRoleAssignments", get, "/v3.0/OS-PERMISSION/role-assignments",
			"iam:permissions:listRoleAssignments", "iam::listRoleAssignments", "list_role_assignments",
			(*call).listAssignments)),

		v3("KeystoneListPermissions", get, "/v3/roles", "iam:roles:listRoles", "iam:roles:list", "list_roles",
			(*call).listRoles),
		v3("KeystoneShowPermission", get, "/v3/roles/{role_id}", "iam:roles:getRole", "iam:roles:get", "get_role",
			(*call).showRole),
		v3("ListCustomPolicies", get, "/v3.0/OS-ROLE/roles", "iam:roles:listRoles", "iam:roles:list", "list_roles",
			(*call).listCustomPolicies),
		v3("ShowCustomPolicy", get, "/v3.0/OS-ROLE/roles/{role_id}", "iam:roles:getRole", "iam:roles:get", "get_role",
			(*call).showCustomPolicy),

		v3("KeystoneListProjects", get, "/v3/projects", "", "", "list_projects", (*call).listProjects),
		v3("KeystoneListAuthProjects", get, "/v3/auth/projects", "", "", "list_auth_projects", (*call).listAuthProjects),
		v3("KeystoneListAuthDomains", get, "/v3/auth/domains", "", "", "list_auth_domains", (*call).listAuthDomains),
		v3("KeystoneListRegions", get, "/v3/regions", "", "", "list_regions", (*call).listRegions),
		assume,

		{name: "ListEnterpriseProject", method: get, path: "/v1.0/enterprise-projects", service: enterpriseService,
			enterprise: true, actions: []string{"eps:enterpriseProjects:list"},
			identityAction: "eps:enterpriseProjects:list", handle: (*call).listEnterpriseProjects},

		orgs("ShowOrganization", "", "organizations:get", (*call).showOrganization),
		orgs("ListRoots", "/roots", "roots:list", organized((*call).listRoots)),
		orgs("ListOrganizationalUnits", "/organizational-units", "ous:list", organized((*call).listOrganizationalUnits)),
		orgs("ListAccounts", "/accounts", "accounts:list", organized((*call).listMembers)),
		orgs("ShowAccount", "/accounts/{account_id}", "accounts:get", organized((*call).showMember)),
		orgs("ListEntities", "/entities", "entities:list", organized((*call).listEntities)),
		orgs("ListTagsForResource", "/resources/{resource_id}/tags", "tags:list", organized((*call).listTags)),
		orgs("ListDelegatedAdministrators", "/delegated-administrators", "delegatedAdministrators:list",
			organized((*call).listDelegates)),

		{name: "GetMetadataToken", method: put, path: "/meta-data/latest/api/token", service: metadataService,
			handle: (*call).metadataToken},
		{name: "GetSecurityKey", method: get, path: "/openstack/latest/securitykey", service: metadataService,
			handle: (*call).securityKey},
		{name: "AssumeAgencyForPodIdentity", method: post, path: "/pods/{pod}", service: metadataService,
			handle: (*call).podIdentity},

		{name: assumeBySTS, method: post, path: "/v5/agencies/assume", service: stsService,
			actions: []string{"sts:agencies:assume"}, identityAction: "sts:agencies:assume", handle: (*call).assumeAgency},
		{name: "GetCallerIdentity", method: get, path: "/v5/caller-identity", service: stsService,
			handle: (*call).callerIdentity},

		list(v5("ListAgenciesV5", get, "/v5/agencies", "iam:agencies:listV5", (*call).listAgenciesV5)),
		v5("GetAgencyV5", get, "/v5/agencies/{agency_id}", "iam:agencies:getV5", (*call).getAgencyV5),
		list(v5("ListAttachedAgencyPoliciesV5", get, "/v5/agencies/{agency_id}/attached-policies",
			"iam:agencies:listAttachedPoliciesV5", (*call).listAttached)),
		v5("AttachAgencyPolicyV5", post, "/v5/policies/{policy_id}/attach-agency", "iam:agencies:attachPolicyV5",
			(*call).attach),
		v5("DetachAgencyPolicyV5", post, "/v5/policies/{policy_id}/detach-agency", "iam:agencies:detachPolicyV5",
			(*call).detach),
	}
}

// indexOperations numbers the operations and builds the routes to them.
func (c *Cloud) indexOperations() {
	c.routes, c.metadataRoutes = &route{}, &route{}
	for i := range c.operations {
		op := &c.operations[i]
		op.index, op.answers = i, shapes[op.name]
		if op.service == metadataService {
			c.metadataRoutes.add(op)
		} else {
			c.routes.add(op)
		}
	}
	c.assuming.add(c.operationIndex(assumeByIAM))
	c.assuming.add(c.operationIndex(assumeBySTS))
}

// operationIndex returns the index of an operation by its name, or -1.
func (c *Cloud) operationIndex(name string) int {
	return slices.IndexFunc(c.operations, func(o operation) bool { return o.name == name })
}

// listNames returns the operations to which the read-after-write delay applies.
func (c *Cloud) listNames() []string {
	var out []string
	for i := range c.operations {
		if c.operations[i].list {
			out = append(out, c.operations[i].name)
		}
	}
	return out
}

// route is one part of the paths that the cloud serves.
type route struct {
	fixed    map[string]*route
	variable *route
	byMethod map[string]*operation
}

func (t *route) add(op *operation) {
	for part := range strings.SplitSeq(strings.TrimPrefix(op.path, "/"), "/") {
		if strings.HasPrefix(part, "{") {
			if t.variable == nil {
				t.variable = &route{}
			}
			t = t.variable
			continue
		}
		if t.fixed == nil {
			t.fixed = map[string]*route{}
		}
		if t.fixed[part] == nil {
			t.fixed[part] = &route{}
		}
		t = t.fixed[part]
	}
	if t.byMethod == nil {
		t.byMethod = map[string]*operation{}
	}
	t.byMethod[op.method] = op
}

// find returns the operation for a method and a path, with the variable parts of the path; nil when there is none.
func (t *route) find(method string, segments []string) (*operation, []string) {
	var params []string
	for _, part := range segments {
		next := t.fixed[part]
		if next == nil {
			if next = t.variable; next == nil || part == "" {
				return nil, nil
			}
			params = append(params, part)
		}
		t = next
	}
	return t.byMethod[method], params
}

package simcloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

const (
	agencies    = "/v3.0/OS-AGENCY/agencies"
	assignments = "/v3.0/OS-PERMISSION/role-assignments"
	inEP        = "/v3.0/OS-PERMISSION/subjects/agency/scopes/enterprise-project/role-assignments"
	tokens      = "/v3.0/OS-CREDENTIAL/securitytokens"
	orgs        = "/v1/organizations"
	sts         = "/v5/agencies/assume"
)

// action is an operation with what it needs.
type action struct {
	operation string
	q         request
	// action is what the role and policy model calls it, identity what identity policies call it, and refusal how the
	// answer of somebody without it names it.
	action, identity, refusal string
}

// actions are all operations that need a permission, as the user does them in the account alpha.
func actions(t *testing.T, c *simcloud.Cloud) []action {
	role := policyID(t, c, "Server Administrator")
	held := policyID(t, c, "IAM ReadOnlyAccess")
	inDomain := "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + cocID + "/roles"
	inProject := "/v3.0/OS-AGENCY/projects/" + subID + "/agencies/" + cocID + "/roles"
	inherited := "/v3.0/OS-INHERIT/domains/" + alphaID + "/agencies/" + cocID + "/roles"
	const up = "/inherited_to_projects"
	onEP := fmt.Sprintf(`{"role_assignments":[{"agency_id":%q,"enterprise_project_id":"0","role_id":%q}]}`, cocID, role)
	attach := fmt.Sprintf(`{"agency_id":%q}`, readerID)
	q := func(method, target, body string) request { return request{method: method, target: target, body: body} }
	guest := policyID(t, c, "Tenant Guest")
	return []action{
		{"ListAgencies", q("GET", agencies+"?domain_id="+alphaID, ""), "iam:agencies:listAgencies", "iam:agencies:list",
			"identity:list_agencies"},
		{"ShowAgency", q("GET", agencies+"/"+cocID, ""), "iam:agencies:getAgency", "iam:agencies:get",
			"identity:get_agency"},
		{"CreateAgency", q("POST", agencies, `{"agency":{"name":"n","domain_id":"`+alphaID+`","trust_domain_name":"beta"}}`),
			"iam:agencies:createAgency", "iam:agencies:create", "identity:create_agency"},
		{"UpdateAgency", q("PUT", agencies+"/"+foreignID, `{"agency":{"description":"x"}}`), "iam:agencies:updateAgency",
			"iam:agencies:update", "identity:update_agency"},
		{"DeleteAgency", q("DELETE", agencies+"/"+foreignID, ""), "iam:agencies:deleteAgency", "iam:agencies:delete",
			"identity:delete_agency"},
		{"ListDomainPermissionsForAgency", q("GET", inDomain, ""), "iam:permissions:listRolesForAgencyOnDomain",
			"iam:agencies:listRolesOnDomain", "identity:list_domain_grants"},
		{"CheckDomainPermissionForAgency", q("HEAD", inDomain+"/"+held, ""), "iam:permissions:checkRoleForAgencyOnDomain",
			"iam:agencies:checkRoleOnDomain", ""},
		{"AssociateAgencyWithDomainPermission", q("PUT", inDomain+"/"+role, ""),
			"iam:permissions:grantRoleToAgencyOnDomain", "iam:agencies:grantRoleOnDomain", "identity:create_domain_grant"},
		{"RemoveDomainPermissionFromAgency", q("DELETE", inDomain+"/"+held, ""),
			"iam:permissions:revokeRoleFromAgencyOnDomain", "iam:agencies:revokeRoleOnDomain", "identity:revoke_domain_grant"},
		{"ListProjectPermissionsForAgency", q("GET", inProject, ""), "iam:permissions:listRolesForAgencyOnProject",
			"iam:agencies:listRolesOnProject", "identity:list_project_grants"},
		{"CheckProjectPermissionForAgency", q("HEAD", inProject+"/"+guest, ""),
			"iam:permissions:checkRoleForAgencyOnProject", "iam:agencies:checkRoleOnProject", ""},
		{"AssociateAgencyWithProjectPermission", q("PUT", inProject+"/"+role, ""),
			"iam:permissions:grantRoleToAgencyOnProject", "iam:agencies:grantRoleOnProject", "identity:create_project_grant"},
		{"RemoveProjectPermissionFromAgency", q("DELETE", inProject+"/"+guest, ""),
			"iam:permissions:revokeRoleFromAgencyOnProject", "iam:agencies:revokeRoleOnProject",
			"identity:revoke_project_grant"},
		{"ListAllProjectsPermissionsForAgency", q("GET", inherited+up, ""), "iam:permissions:listRolesForAgency",
			"iam:agencies:listRoles", "identity:list_inherited_grants"},
		{"CheckAllProjectsPermissionForAgency", q("HEAD", inherited+"/"+policyID(t, c, "DCS UserAccess")+up, ""),
			"iam:permissions:checkRoleForAgency", "iam:agencies:checkRole", ""},
		{"AssociateAgencyWithAllProjectsPermission", q("PUT", inherited+"/"+role+up, ""),
			"iam:permissions:grantRoleToAgency", "iam:agencies:grantRole", "identity:create_inherited_grant"},
		{"RemoveAllProjectsPermissionFromAgency", q("DELETE", inherited+"/"+policyID(t, c, "DCS UserAccess")+up, ""),
			"iam:permissions:revokeRoleFromAgency", "iam:agencies:revokeRole", "identity:revoke_inherited_grant"},
		{"AssociateRoleToAgencyOnEnterpriseProject", q("PUT", inEP, onEP),
			"iam:permissions:grantRoleToAgencyOnEnterpriseProject", "iam:agencies:grantRoleOnEnterpriseProject",
			"identity:create_enterprise_project_grant"},
		{"RevokeRoleFromAgencyOnEnterpriseProject", q("DELETE", inEP, strings.NewReplacer(`"0"`, `"`+payrollID+`"`,
			role, policyID(t, c, "Tenant Administrator")).Replace(onEP)),
			"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", "iam:agencies:revokeRoleOnEnterpriseProject",
			"identity:revoke_enterprise_project_grant"},
		{"ShowDomainRoleAssignments", q("GET", assignments+"?scope=project&domain_id="+alphaID, ""),
			"iam:permissions:listRoleAssignments", "iam::listRoleAssignments", "identity:list_role_assignments"},
		{"KeystoneListPermissions", q("GET", "/v3/roles", ""), "iam:roles:listRoles", "iam:roles:list",
			"identity:list_roles"},
		{"KeystoneShowPermission", q("GET", "/v3/roles/"+role, ""), "iam:roles:getRole", "iam:roles:get",
			"identity:get_role"},
		{"ListCustomPolicies", q("GET", "/v3.0/OS-ROLE/roles", ""), "iam:roles:listRoles", "iam:roles:list",
			"identity:list_roles"},
		{"ShowCustomPolicy", q("GET", "/v3.0/OS-ROLE/roles/"+customID, ""), "iam:roles:getRole", "iam:roles:get",
			"identity:get_role"},
		{"CreateTemporaryAccessKeyByAgency", q("POST", tokens, assumeBody("ToAlpha", "beta", "")),
			"iam:agencies:assume", "iam:agencies:assume", "identity:create_temporary_access_key"},
		{"CreateTemporaryAccessKeyByAgency", q("POST", tokens, assumeBody("ToAlpha", "beta", "")),
			"iam:tokens:assume", "iam:agencies:assume", "identity:create_temporary_access_key"},
		{"AssumeAgency", q("POST", sts, stsBody("iam::"+betaID+":agency:ToAlpha", "")),
			"sts:agencies:assume", "sts:agencies:assume", "STS5.1001"},
		{"ShowOrganization", q("GET", orgs, ""), "organizations:organizations:get", "organizations:organizations:get",
			"Organizations.1007"},
		{"ListRoots", q("GET", orgs+"/roots", ""), "organizations:roots:list", "organizations:roots:list",
			"Organizations.1007"},
		{"ListOrganizationalUnits", q("GET", orgs+"/organizational-units", ""), "organizations:ous:list",
			"organizations:ous:list", "Organizations.1007"},
		{"ListAccounts", q("GET", orgs+"/accounts", ""), "organizations:accounts:list", "organizations:accounts:list",
			"Organizations.1007"},
		{"ShowAccount", q("GET", orgs+"/accounts/"+betaID, ""), "organizations:accounts:get", "organizations:accounts:get",
			"Organizations.1007"},
		{"ListEntities", q("GET", orgs+"/entities", ""), "organizations:entities:list", "organizations:entities:list",
			"Organizations.1007"},
		{"ListTagsForResource", q("GET", orgs+"/resources/"+alphaID+"/tags", ""), "organizations:tags:list",
			"organizations:tags:list", "Organizations.1007"},
		{"ListDelegatedAdministrators", q("GET", orgs+"/delegated-administrators", ""),
			"organizations:delegatedAdministrators:list", "organizations:delegatedAdministrators:list", "Organizations.1007"},
		{"ListEnterpriseProject", q("GET", "/v1.0/enterprise-projects", ""), "eps:enterpriseProjects:list",
			"eps:enterpriseProjects:list", "EPS.0004"},
		{"ListAgenciesV5", q("GET", "/v5/agencies", ""), "iam:agencies:listV5", "iam:agencies:listV5", "PAP5.0001"},
		{"GetAgencyV5", q("GET", "/v5/agencies/"+cocID, ""), "iam:agencies:getV5", "iam:agencies:getV5", "PAP5.0001"},
		{"ListAttachedAgencyPoliciesV5", q("GET", "/v5/agencies/"+cocID+"/attached-policies", ""),
			"iam:agencies:listAttachedPoliciesV5", "iam:agencies:listAttachedPoliciesV5", "PAP5.0001"},
		{"AttachAgencyPolicyV5", q("POST", "/v5/policies/"+customV5ID+"/attach-agency", attach),
			"iam:agencies:attachPolicyV5", "iam:agencies:attachPolicyV5", "PAP5.0001"},
		{"DetachAgencyPolicyV5", q("POST", "/v5/policies/"+customV5ID+"/detach-agency",
			strings.Replace(attach, readerID, cocID, 1)),
			"iam:agencies:detachPolicyV5", "iam:agencies:detachPolicyV5", "PAP5.0001"},
	}
}

// assumeBody is a body of securitytokens; more is put into assume_role.
func assumeBody(agency, domain, more string) string {
	return fmt.Sprintf(`{"auth":{"identity":{"methods":["assume_role"],`+
		`"assume_role":{"agency_name":%q,"domain_name":%q%s}}}}`, agency, domain, more)
}

// stsBody is a body of AssumeAgency; more is put into it.
func stsBody(urn, more string) string {
	return fmt.Sprintf(`{"agency_urn":%q,"agency_session_name":"session-1"%s}`, urn, more)
}

// Each operation is allowed by its one action, and by nothing less than it.
func TestEveryOperationNeedsItsAction(t *testing.T) {
	// Agencies in beta trust alpha, so that alpha's users can be the ones who assume.
	toAlpha := func(o *simcloud.Organization) {
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: "ToAlpha", Trust: simcloud.Trust{Name: "alpha"}})
	}
	all := actions(t, newCloud(t))
	var granted []string
	for _, a := range all {
		granted = append(granted, a.action, a.identity)
	}
	covered := map[string]bool{}
	for _, a := range all {
		covered[a.operation] = true
		with := func(user simcloud.User, policies ...simcloud.Policy) *simcloud.Cloud {
			return newCloud(t, toAlpha, func(o *simcloud.Organization) {
				user.Name, user.Keys = "tester", []simcloud.Key{{Access: "AKTEST", Secret: "secret"}}
				o.Accounts[0].Users = append(o.Accounts[0].Users, user)
				o.Accounts[0].Policies = append(o.Accounts[0].Policies, policies...)
			})
		}
		send := func(c *simcloud.Cloud) reply {
			q := a.q
			q.key = simcloud.Key{Access: "AKTEST", Secret: "secret"}
			return q.send(t, c)
		}
		allowed := func(t *testing.T, c *simcloud.Cloud) {
			t.Helper()
			if r := send(c); r.status >= 300 {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		}
		denied := func(t *testing.T, c *simcloud.Cloud) {
			t.Helper()
			switch r := send(c); {
			case a.q.method == "HEAD":
				if r.status != 403 || r.body != "" {
					t.Errorf("HEAD: status %d: %s", r.status, r.body)
				}
			case strings.HasPrefix(a.refusal, "identity:"):
				r.wantKeystone(t, 403, "You are not authorized to perform the requested action: "+a.refusal)
			default:
				r.wantCode(t, 403, a.refusal, a.action)
			}
		}
		t.Run(a.operation+" "+a.action, func(t *testing.T) {
			allowed(t, with(simcloud.User{Actions: []string{a.action}}))
			allowed(t, with(simcloud.User{Actions: []string{a.identity}}))
			denied(t, with(simcloud.User{}))
			// Everything else together does not allow it.
			others := slices.DeleteFunc(slices.Clone(granted), func(s string) bool {
				return s == a.action || s == a.identity ||
					a.operation == "CreateTemporaryAccessKeyByAgency" && strings.HasPrefix(s, "iam:") && strings.HasSuffix(s, ":assume")
			})
			denied(t, with(simcloud.User{Actions: others}))
			// A policy speaks the language of its version.
			own := []string{"own"}
			allowed(t, with(simcloud.User{Policies: own}, simcloud.Policy{DisplayName: "own", Allow: []string{a.action}}))
			allowed(t, with(simcloud.User{Policies: own}, simcloud.Policy{DisplayName: "own", Version: "5.0",
				Allow: []string{a.identity}}))
			if a.identity != a.action && !strings.HasSuffix(a.action, ":assume") {
				denied(t, with(simcloud.User{Policies: own}, simcloud.Policy{DisplayName: "own", Allow: []string{a.identity}}))
				denied(t, with(simcloud.User{Policies: own}, simcloud.Policy{DisplayName: "own", Version: "5.0",
					Allow: []string{a.action}}))
			}
		})
	}
	free := []string{"KeystoneListProjects", "KeystoneListAuthProjects", "KeystoneListAuthDomains", "KeystoneListRegions",
		"GetCallerIdentity"}
	for _, name := range simcloud.OperationNames() {
		if covered[name] == slices.Contains(free, name) {
			t.Errorf("%s: tested %t, needs no permission %t", name, covered[name], !covered[name])
		}
	}
	c := newCloud(t)
	for _, target := range []string{"/v3/projects", "/v3/auth/projects", "/v3/auth/domains", "/v3/regions", "/v5/caller-identity"} {
		get(nobodyKey, target).send(t, c).accepted(t, 200)
	}
}

func TestKeysActInTheirOwnAccountOnly(t *testing.T) {
	c := newCloud(t)
	role := policyID(t, c, "IAM ReadOnlyAccess")
	for _, q := range []request{
		get(betaKey, agencies+"?domain_id="+alphaID),
		get(betaKey, assignments+"?scope=domain&domain_id="+alphaID),
		get(betaKey, assignments+"?scope.domain_id="+alphaID+"&domain_id="+betaID),
		get(betaKey, "/v3/roles?domain_id="+alphaID),
		get(betaKey, "/v3/projects?domain_id="+alphaID),
		get(betaKey, "/v3.0/OS-AGENCY/domains/"+alphaID+"/agencies/"+cocID+"/roles"),
		get(betaKey, "/v3.0/OS-INHERIT/domains/"+alphaID+"/agencies/"+cocID+"/roles/inherited_to_projects"),
		{method: "PUT", target: "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + cocID + "/roles/" + role, key: betaKey},
		{method: "POST", target: agencies, key: betaKey,
			body: `{"agency":{"name":"n","domain_id":"` + alphaID + `","trust_domain_name":"beta"}}`},
		// An account that does not exist is refused the same way: the answer does not tell.
		get(betaKey, agencies+"?domain_id="+strangerID),
	} {
		q.send(t, c).wantKeystone(t, 403, "You are not authorized to perform the requested action: identity:")
	}
	for _, q := range []request{
		get(betaKey, agencies+"/"+cocID),
		{method: "DELETE", target: agencies + "/" + cocID, key: betaKey},
		{method: "PUT", target: agencies + "/" + cocID, key: betaKey, body: `{"agency":{"description":"x"}}`},
		get(betaKey, "/v3.0/OS-AGENCY/domains/"+betaID+"/agencies/"+cocID+"/roles"),
		{method: "PUT", target: "/v3.0/OS-AGENCY/domains/" + betaID + "/agencies/" + cocID + "/roles/" + role, key: betaKey},
		{method: "PUT", target: inEP, key: betaKey, body: fmt.Sprintf(
			`{"role_assignments":[{"agency_id":%q,"enterprise_project_id":"0","role_id":%q}]}`, cocID, role)},
	} {
		q.send(t, c).wantKeystone(t, 404, "Could not find agency: "+cocID)
	}
	get(betaKey, "/v3.0/OS-AGENCY/projects/"+subID+"/agencies/"+betaCOCID+"/roles").send(t, c).
		wantKeystone(t, 404, "Could not find project: "+subID)
	get(betaKey, "/v3/roles/"+customID).send(t, c).wantKeystone(t, 404, "Could not find role: "+customID)
	get(betaKey, "/v5/agencies/"+cocID).send(t, c).wantCode(t, 404, "PAP5.0012", cocID)
	get(betaKey, "/v5/agencies/"+cocID+"/attached-policies").send(t, c).wantCode(t, 404, "PAP5.0012", cocID)
	request{method: "POST", target: "/v5/policies/" + customV5ID + "/attach-agency", key: betaKey,
		body: `{"agency_id":"` + betaCOCID + `"}`}.send(t, c).wantCode(t, 404, "PAP5.0012", customV5ID)
	if j := c.Journal(); len(j) != 0 {
		t.Errorf("journal %+v", j)
	}
}

func TestParametersAreChecked(t *testing.T) {
	c := newCloud(t)
	ra := assignments + "?domain_id=" + alphaID
	post := func(target, body string) request {
		return request{method: "POST", target: target, body: body, key: adminKey}
	}
	create := func(more string) request {
		return post(agencies, `{"agency":{"domain_id":"`+alphaID+`"`+more+`}}`)
	}
	update := func(agency string) request {
		return request{method: "PUT", target: agencies + "/" + cocID, body: `{"agency":` + agency + `}`, key: adminKey}
	}
	const named = `,"name":"n","trust_domain_name":"beta"`
	for name, tt := range map[string]struct {
		q    request
		text string
	}{
		"agencies without account": {get(adminKey, agencies), "domain_id is required"},
		"agencies, page alone":     {get(adminKey, agencies+"?domain_id="+alphaID+"&page=1"), "together"},
		"agencies, per_page alone": {get(adminKey, agencies+"?domain_id="+alphaID+"&per_page=1"), "together"},
		"agencies, page 0":         {get(adminKey, agencies+"?domain_id="+alphaID+"&page=0&per_page=1"), "page is"},
		"agencies, per_page 501":   {get(adminKey, agencies+"?domain_id="+alphaID+"&page=1&per_page=501"), "1 to 500"},
		"agencies, per_page 0":     {get(adminKey, agencies+"?domain_id="+alphaID+"&page=1&per_page=0"), "1 to 500"},
		"agencies, page -1":        {get(adminKey, agencies+"?domain_id="+alphaID+"&page=-1&per_page=1"), "page is"},
		"agencies, page of words":  {get(adminKey, agencies+"?domain_id="+alphaID+"&page=one&per_page=1"), "page is"},
		"agencies, page too large": {get(adminKey, agencies+"?page=2147483648&per_page=1&domain_id="+alphaID),
			"page is"},
		"agencies, parameter twice":    {get(adminKey, agencies+"?domain_id="+alphaID+"&name=a&name=b"), "more than once"},
		"assignments without account":  {get(adminKey, assignments+"?scope=domain"), "domain_id is required"},
		"assignments without scope":    {get(adminKey, ra), "is required"},
		"assignments, per_page 51":     {get(adminKey, ra+"&scope=domain&page=1&per_page=51"), "1 to 50"},
		"assignments, page alone":      {get(adminKey, ra+"&scope=domain&page=1"), "together"},
		"assignments, two scopes":      {get(adminKey, ra+"&scope=project&scope.project_id=x"), "exclude each other"},
		"assignments, two scope ids":   {get(adminKey, ra+"&scope.domain_id="+alphaID+"&scope.project_id=x"), "exclude"},
		"assignments, three scopes":    {get(adminKey, ra+"&scope.enterprise_projects_id=0&scope=domain"), "exclude"},
		"assignments, two subjects":    {get(adminKey, ra+"&scope=domain&subject=agency&subject.agency_id=x"), "exclude"},
		"assignments, two subject ids": {get(adminKey, ra+"&scope=domain&subject.user_id=y&subject.agency_id=x"), "exclude"},
		"assignments, other scope":     {get(adminKey, ra+"&scope=region"), "scope is"},
		"assignments, other subject":   {get(adminKey, ra+"&scope=domain&subject=robot"), "subject is"},
		"assignments, empty subject":   {get(adminKey, ra+"&scope=domain&subject.agency_id="), "empty"},
		"assignments, singular":        {get(adminKey, ra+"&scope.enterprise_project_id=0"), "is required"},
		"assignments, inherited maybe": {get(adminKey, ra+"&scope=domain&is_inherited=yes"), "true or false"},
		"assignments, groups maybe":    {get(adminKey, ra+"&scope=domain&include_group=1"), "true or false"},
		"roles, page alone":            {get(adminKey, "/v3/roles?page=1"), "together"},
		"roles, per_page 301":          {get(adminKey, "/v3/roles?page=1&per_page=301"), "1 to 300"},
		"roles, other kind":            {get(adminKey, "/v3/roles?permission_type=all"), "policy or role"},
		"roles, other type":            {get(adminKey, "/v3/roles?type=AX"), "domain, project or all"},
		"custom policies, per_page":    {get(adminKey, "/v3.0/OS-ROLE/roles?page=1&per_page=301"), "1 to 300"},
		"projects, per_page 5001":      {get(adminKey, "/v3/projects?page=1&per_page=5001"), "1 to 5000"},
		"projects, enabled maybe":      {get(adminKey, "/v3/projects?enabled=2"), "true or false"},
		"projects, domain maybe":       {get(adminKey, "/v3/projects?is_domain=2"), "true or false"},

		"create, no JSON":     {post(agencies, `{"agency":`), "valid JSON in the request body: it cannot be read"},
		"create, two values":  {post(agencies, `{} {}`), "there is more after it"},
		"create, nothing":     {post(agencies, ``), "valid JSON"},
		"create, other type":  {post(agencies, `{"agency":{"name":1}}`), "body: a member is of the wrong type"},
		"create, no agency":   {post(agencies, `{}`), "agency"},
		"create, no name":     {create(`,"trust_domain_name":"beta"`), "name is required"},
		"create, long name":   {create(`,"trust_domain_name":"beta","name":"` + strings.Repeat("n", 65) + `"`), "64"},
		"create, slash":       {create(`,"trust_domain_name":"beta","name":"a/b"`), "no slash"},
		"create, control":     {create(`,"trust_domain_name":"beta","name":"b c\u0000"`), "no control character"},
		"create, C1 control":  {create(`,"trust_domain_name":"beta","name":"b\u0085"`), "no control character"},
		"create, no account":  {post(agencies, `{"agency":{"name":"n","trust_domain_name":"beta"}}`), "domain_id"},
		"create, no trust":    {create(`,"name":"n"`), "trust_domain_id or trust_domain_name"},
		"create, description": {create(named + `,"description":"a<b"`), "description"},
		"create, long description": {create(named + `,"description":"` + strings.Repeat("d", 256) + `"`),
			"description"},
		"create, duration 0":   {create(named + `,"duration":0`), "duration is 0"},
		"create, half a day":   {create(named + `,"duration":1.5`), "duration"},
		"create, words":        {create(named + `,"duration":"forever"`), "duration"},
		"create, too long":     {create(named + `,"duration":36501`), "duration"},
		"create, list of days": {create(named + `,"duration":[1]`), "duration"},
		"update, nothing":      {update(`{}`), "is required"},
		"update, name":         {update(`{"name":"n"}`), "cannot be changed"},
		"update, description":  {update(`{"description":"a\\b"}`), "description"},
		"update, empty trust":  {update(`{"trust_domain_id":""}`), "trust_domain_id or"},
		"update, duration":     {update(`{"duration":"-3"}`), "duration"},
		"form instead of JSON": {formBody(), "content type"},
		"tokens, no JSON":      {post(tokens, `x`), "body: it cannot be read"},
		"tokens, other type":   {post(tokens, `{"auth":[]}`), "body: a member is of the wrong type"},
		"tokens, nothing":      {post(tokens, `{"auth":{"identity":{}}}`), "assume_role"},
		"tokens, other method": {post(tokens, strings.Replace(assumeBody("a", "b", ""), `["ass`, `["x","ass`, 1)),
			"methods"},
		"tokens, no agency":      {post(tokens, assumeBody("", "alpha", "")), "agency_name"},
		"tokens, no account":     {post(tokens, assumeBody("a", "", "")), "domain_id or domain_name"},
		"tokens, too short":      {post(tokens, assumeBody("a", "b", `,"duration_seconds":899`)), "900 to 86400"},
		"tokens, too long":       {post(tokens, assumeBody("a", "b", `,"duration_seconds":86401`)), "900 to 86400"},
		"tokens, short session":  {post(tokens, assumeBody("a", "b", `,"session_user":{"name":"abcd"}`)), "session_user"},
		"tokens, digit first":    {post(tokens, assumeBody("a", "b", `,"session_user":{"name":"1abcd"}`)), "session_user"},
		"tokens, dotted session": {post(tokens, assumeBody("a", "b", `,"session_user":{"name":"ab.cd"}`)), "session_user"},
		"tokens, policy version": {sessionPolicy(`"Version":"5.0","Statement":[]`), "Version must be 1.1"},
		"tokens, policy empty":   {sessionPolicy(`"Version":"1.1","Statement":[]`), "must not be empty"},
		"tokens, policy action": {sessionPolicy(`"Version":"1.1","Statement":[{"Effect":"Allow","Action":["iam"]}]`),
			"is not service:resource:operation"},
		"tokens, policy effect": {sessionPolicy(`"Version":"1.1","Statement":[{"Effect":"Maybe","Action":["*"]}]`), "Effect"},
		"enterprise projects, none": {request{method: "PUT", target: inEP, key: adminKey,
			body: `{"role_assignments":[]}`}, "must have 1 to 250"},
		"enterprise projects, 251": {request{method: "PUT", target: inEP, key: adminKey,
			body: enterpriseBody(251, "0", "x")}, "must have 1 to 250"},
		"enterprise projects, no role": {request{method: "DELETE", target: inEP, key: adminKey,
			body: enterpriseBody(1, "0", "")}, "are required"},
	} {
		t.Run(name, func(t *testing.T) {
			r := tt.q.send(t, c)
			r.wantKeystone(t, 400, tt.text)
			for _, inner := range []string{"json:", "Go ", "invalid character"} {
				if strings.Contains(r.body, inner) {
					t.Errorf("the answer shows how the simulation is made: %s", r.body)
				}
			}
		})
	}
	for name, tt := range map[string]struct {
		q          request
		code, text string
	}{
		"limit 0":           {get(adminKey, "/v5/agencies?limit=0"), "APIGW.0201", "1 to 200"},
		"limit 201":         {get(adminKey, "/v5/agencies?limit=201"), "APIGW.0201", "1 to 200"},
		"marker":            {get(adminKey, "/v5/agencies?marker=%3F%3F%3F%3F"), "PAP5.0010", "marker"},
		"marker of others":  {get(adminKey, "/v5/agencies?marker=YWJj"), "PAP5.0010", "marker"},
		"attached, limit":   {get(adminKey, "/v5/agencies/"+cocID+"/attached-policies?limit=201"), "APIGW.0201", "1 to 200"},
		"limit twice":       {get(adminKey, "/v5/agencies?limit=1&limit=2"), "APIGW.0201", "more than once"},
		"attach, no agency": {post("/v5/policies/"+customV5ID+"/attach-agency", `{}`), "APIGW.0201", "agency_id"},
		"attach, no JSON":   {post("/v5/policies/"+customV5ID+"/attach-agency", `[]`), "APIGW.0201", "valid JSON"},
		"EPS, limit 1001":   {get(adminKey, "/v1.0/enterprise-projects?limit=1001"), "APIGW.0201", "1 to 1000"},
		"EPS, offset -1":    {get(adminKey, "/v1.0/enterprise-projects?offset=-1"), "APIGW.0201", "0 to"},
	} {
		t.Run(name, func(t *testing.T) { tt.q.send(t, c).wantCode(t, 400, tt.code, tt.text) })
	}
	for name, tt := range map[string]struct {
		q    request
		text string
	}{
		"create, unknown trust":    {create(`,"name":"n","trust_domain_name":"nobody"`), "Could not find domain: nobody"},
		"create, unknown trust id": {create(`,"name":"n","trust_domain_id":"nobody"`), "Could not find domain: nobody"},
		"the project MOS": {get(adminKey, "/v3.0/OS-AGENCY/projects/MOS/agencies/"+cocID+"/roles"),
			"Could not find project: MOS"},
		"no such project": {get(adminKey, "/v3.0/OS-AGENCY/projects/p/agencies/"+cocID+"/roles"),
			"Could not find project: p"},
		"no such enterprise project": {request{method: "PUT", target: inEP, key: adminKey,
			body: enterpriseBody(1, "nowhere", policyID(t, c, "Tenant Guest"))}, "Could not find enterprise project: nowhere"},
		"an identity policy on an enterprise project": {request{method: "PUT", target: inEP, key: adminKey,
			body: enterpriseBody(1, "0", customV5ID)}, "Could not find role: " + customV5ID},
	} {
		t.Run(name, func(t *testing.T) { tt.q.send(t, c).wantKeystone(t, 404, tt.text) })
	}
	// Roles and policies are not identity policies.
	post("/v5/policies/"+customID+"/attach-agency", `{"agency_id":"`+cocID+`"}`).send(t, c).
		wantCode(t, 404, "PAP5.0012", customID)
	if j := c.Journal(); len(j) != 0 {
		t.Errorf("a refused request wrote %+v", j)
	}
}

func formBody() request {
	return request{method: "POST", target: agencies, body: `{"agency":{}}`, key: adminKey,
		header: map[string]string{"content-type": "application/x-www-form-urlencoded"}}
}

func sessionPolicy(policy string) request {
	body := strings.Replace(assumeBody("a", "b", ""), `"methods"`, `"policy":{`+policy+`},"methods"`, 1)
	return request{method: "POST", target: tokens, body: body, key: adminKey}
}

// enterpriseBody is n grants of roles to the agency reader.
func enterpriseBody(n int, project string, roles ...string) string {
	type row struct {
		AgencyID            string `json:"agency_id"`
		EnterpriseProjectID string `json:"enterprise_project_id"`
		RoleID              string `json:"role_id"`
	}
	var rows []row
	for i := range n {
		rows = append(rows, row{readerID, project, roles[i%len(roles)]})
	}
	b, err := json.Marshal(map[string]any{"role_assignments": rows})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestShapesOnTheWire(t *testing.T) {
	c := newCloud(t)
	site := "https://iam." + region + ".myhuaweicloud.com"
	for target, want := range map[string]string{
		agencies + "?domain_id=" + alphaID + "&name=" + coc: `{"agencies":[{"id":"` + cocID + `","name":"` + coc +
			`","domain_id":"` + alphaID + `","trust_domain_id":"` + serviceID + `","trust_domain_name":"op_svc_coc",` +
			`"description":"","duration":"FOREVER","expire_time":null,"create_time":"2024-09-02T06:11:27.000000",` +
			`"agency_urn":"iam::` + alphaID + `:agency:` + coc + `"}]}`,
		agencies + "?domain_id=" + alphaID + "&name=none": `{"agencies":[]}`,
		agencies + "/" + expiredID: `{"agency":{"id":"` + expiredID + `","name":"Expired","domain_id":"` + alphaID +
			`","trust_domain_id":"` + managementID + `","trust_domain_name":"management","description":"",` +
			`"duration":"480","expire_time":"2024-09-22T06:11:27.000000","create_time":"2024-09-02T06:11:27.000000",` +
			`"agency_urn":"iam::` + alphaID + `:agency:Expired"}}`,
		assignments + "?scope=project&domain_id=" + alphaID: `{"total_num":1,"role_assignments":[{"agency":{"id":"` +
			cocID + `"},"role":{"id":"` + policyID(t, c, "Tenant Guest") + `"},"scope":{"project":{"id":"` + subID +
			`"}},"is_inherited":false}]}`,
		assignments + "?scope=project&page=2&per_page=50&domain_id=" + alphaID: `{"total_num":1,"role_assignments":[]}`,
		"/v3.0/OS-INHERIT/domains/" + alphaID + "/agencies/" + readerID + "/roles/inherited_to_projects": `{"roles":[],` +
			`"links":{"self":"` + site + `/v3.0/OS-INHERIT/domains/` + alphaID + `/agencies/` + readerID +
			`/roles/inherited_to_projects"}}`,
		"/v3.0/OS-AGENCY/projects/" + subID + "/agencies/" + readerID + "/roles": `{"roles":[]}`,
		"/v3/roles/" + customID: `{"role":{"id":"` + customID + `","name":"custom_f0000000","display_name":"audit-read",` +
			`"type":"AX","catalog":"CUSTOMED","domain_id":"` + alphaID + `","description":"what auditors may do",` +
			`"description_cn":"what auditors may do","links":{"self":"` + site + `/v3/roles/` + customID +
			`","next":null,"previous":null},"updated_time":"1718000000000","created_time":"1717000000000",` +
			`"policy":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["iam:agencies:assume"],` +
			`"Resource":{"uri":["/iam/agencies/` + cocID + `"]}}]}}}`,
		"/v3/roles?name=none": `{"roles":[],"links":{"self":"` + site + `/v3/roles","next":null,"previous":null}}`,
		"/v3/auth/domains": `{"domains":[{"id":"` + alphaID + `","name":"alpha","enabled":true,"description":"",` +
			`"links":{"self":"` + site + `/v3/domains/` + alphaID + `"}}],"links":{"self":"` + site + `/v3/auth/domains"}}`,
		"/v5/agencies/" + readerID + "/attached-policies": `{"attached_policies":[],"page_info":{"current_count":0}}`,
		"/v5/agencies/" + cocID: `{"agency":{"agency_id":"` + cocID + `","agency_name":"` + coc + `","urn":"iam::` + alphaID +
			`:agency:` + coc + `","path":"","created_at":"2024-09-02T06:11:27.000Z","description":"",` +
			`"max_session_duration":3600,"trust_domain_id":"` + serviceID + `","trust_domain_name":"op_svc_coc","tags":[]}}`,
	} {
		r := get(adminKey, target).send(t, c)
		if r.status != 200 || r.body != want {
			t.Errorf("GET %s: %d\n got %s\nwant %s", target, r.status, r.body, want)
		}
		if r.header.Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: content type %q", target, r.header.Get("Content-Type"))
		}
	}
	// domain_id is null, not absent, in system-defined policies, and a role has no flag.
	for id, flag := range map[string]bool{
		policyID(t, c, "IAM ReadOnlyAccess"): true, policyID(t, c, "Tenant Guest"): false} {
		body := get(adminKey, "/v3/roles/"+id).send(t, c).body
		if !strings.Contains(body, `"domain_id":null`) || strings.Contains(body, `"flag":"fine_grained"`) != flag {
			t.Errorf("role %s", body)
		}
	}
	// Creating answers without the trusted account's name; nothing comes back from grants.
	r := request{method: "POST", target: agencies, key: adminKey, body: `{"agency":{"name":"n","domain_id":"` + alphaID +
		`","trust_domain_id":"` + betaID + `"}}`}.send(t, c)
	if r.status != 201 || strings.Contains(r.body, "trust_domain_name") || !strings.Contains(r.body, betaID) {
		t.Errorf("create: %d %s", r.status, r.body)
	}
	role := policyID(t, c, "Server Administrator")
	put := request{method: "PUT", target: "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + cocID + "/roles/" + role,
		key: adminKey}.send(t, c)
	if put.status != 204 || put.body != "" || put.header.Get("Content-Type") != "" {
		t.Errorf("grant: %d %q %v", put.status, put.body, put.header)
	}
	head := request{method: "HEAD", target: "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + cocID + "/roles/none",
		key: adminKey}.send(t, c)
	if head.status != 404 || head.body != "" {
		t.Errorf("check: %d %q", head.status, head.body)
	}
}

func TestGrantsOfAProjectAreThatProjects(t *testing.T) {
	c := newCloud(t)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc,
		Grant: &simcloud.Grant{Policy: "Server Administrator", Scope: "project", In: region}})
	main := c.Organization().Accounts[0].Projects[0].ID
	for id, want := range map[string]string{subID: "Tenant Guest", main: "Server Administrator"} {
		var body struct {
			Roles []struct {
				Name string `json:"display_name"`
			}
		}
		r := get(adminKey, "/v3.0/OS-AGENCY/projects/"+id+"/agencies/"+cocID+"/roles").send(t, c)
		if err := json.Unmarshal([]byte(r.body), &body); err != nil || len(body.Roles) != 1 || body.Roles[0].Name != want {
			t.Errorf("%d %s, %v, want %s alone", r.status, r.body, err, want)
		}
		for name, role := range map[string]string{want: "204", "IAM ReadOnlyAccess": "404"} {
			q := request{method: "HEAD", key: adminKey,
				target: "/v3.0/OS-AGENCY/projects/" + id + "/agencies/" + cocID + "/roles/" + policyID(t, c, name)}
			if got := fmt.Sprint(q.send(t, c).status); got != role {
				t.Errorf("HEAD %s in %s: %s, want %s", name, id, got, role)
			}
		}
	}
}

func TestAgenciesAreCreatedAndChangedAsAsked(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type agency struct {
		ID         string  `json:"id"`
		TrustID    string  `json:"trust_domain_id"`
		TrustName  *string `json:"trust_domain_name"`
		Duration   *string `json:"duration"`
		ExpireTime *string `json:"expire_time"`
	}
	send := func(t *testing.T, c *simcloud.Cloud, method, target, body string) agency {
		t.Helper()
		r := request{method: method, target: target, body: body, key: adminKey, at: now}.send(t, c)
		if r.status >= 300 {
			t.Fatalf("%s %s: %d %s", method, body, r.status, r.body)
		}
		var out struct{ Agency agency }
		if err := json.Unmarshal([]byte(r.body), &out); err != nil {
			t.Fatal(err)
		}
		return out.Agency
	}
	text := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	for duration, want := range map[string]string{
		``: "FOREVER null", `,"duration":null`: "FOREVER null", `,"duration":"FOREVER"`: "FOREVER null",
		`,"duration":"ONEDAY"`: "24 2026-01-03T03:04:05.000000", `,"duration":20`: "480 2026-01-22T03:04:05.000000",
		`,"duration":"20"`: "480 2026-01-22T03:04:05.000000",
	} {
		c := newCloud(t)
		c.Now = func() time.Time { return now }
		a := send(t, c, "POST", agencies, `{"agency":{"name":"n","domain_id":"`+alphaID+`","trust_domain_id":"`+betaID+
			`"`+duration+`}}`)
		if got := text(a.Duration) + " " + text(a.ExpireTime); got != want {
			t.Errorf("duration %s: %s, want %s", duration, got, want)
		}
		if duration == "" || strings.Contains(duration, "null") {
			continue
		}
		a = send(t, c, "PUT", agencies+"/"+cocID, `{"agency":{`+duration[1:]+`}}`)
		if got := text(a.Duration) + " " + text(a.ExpireTime); got != want {
			t.Errorf("update to %s: %s, want %s", duration, got, want)
		}
	}
	for trust, want := range map[string]string{
		`"trust_domain_name":"beta"`:                                       betaID,
		`"trust_domain_name":"op_svc_coc"`:                                 serviceID,
		`"trust_domain_name":"OP_SVC_COC"`:                                 serviceID,
		`"trust_domain_name":"stranger"`:                                   strangerID,
		`"trust_domain_id":"` + strangerID + `"`:                           strangerID,
		`"trust_domain_id":"` + serviceID + `"`:                            serviceID,
		`"trust_domain_id":"` + alphaID + `","trust_domain_name":"beta"`:   betaID, // the name wins
		`"trust_domain_id":"` + managementID + `","trust_domain_name":""`:  managementID,
		`"trust_domain_id":"no such id","trust_domain_name":"management"`:  managementID,
		`"trust_domain_name":"management","description":"now it is thus."`: managementID,
	} {
		c := newCloud(t)
		c.Now = func() time.Time { return now }
		if a := send(t, c, "PUT", agencies+"/"+foreignID, `{"agency":{`+trust+`}}`); a.TrustID != want || a.TrustName != nil {
			t.Errorf("trust %s: %s %s, want %s", trust, a.TrustID, text(a.TrustName), want)
		}
		if a := send(t, c, "GET", agencies+"/"+foreignID, ""); a.TrustID != want || text(a.TrustName) == "null" {
			t.Errorf("trust %s, shown: %s %s, want %s", trust, a.TrustID, text(a.TrustName), want)
		}
	}
	c := newCloud(t)
	create := request{method: "POST", target: agencies, key: adminKey,
		body: `{"agency":{"name":"` + coc + `","domain_id":"` + alphaID + `","trust_domain_name":"beta"}}`}
	create.send(t, c).wantKeystone(t, 409, "taken")
	request{method: "DELETE", target: agencies + "/" + cocID, key: adminKey}.send(t, c).
		wantKeystone(t, 409, "identity policies attached")
	// An update that changes nothing says so in the journal.
	same := request{method: "PUT", target: agencies + "/" + foreignID, key: adminKey,
		body: `{"agency":{"trust_domain_id":"` + strangerID + `"}}`}
	same.send(t, c).accepted(t, 200)
	if j := c.Journal(); len(j) != 1 || !j[0].NoChange {
		t.Errorf("journal %+v", j)
	}
}

func TestQuotas(t *testing.T) {
	c := newCloud(t, func(o *simcloud.Organization) {
		for i := range 45 {
			o.Accounts[0].Agencies = append(o.Accounts[0].Agencies,
				simcloud.Agency{Name: fmt.Sprint("filler-", i), Trust: simcloud.Trust{Name: "beta"}})
		}
	})
	create := func(name string) reply {
		return request{method: "POST", target: agencies, key: adminKey,
			body: `{"agency":{"name":"` + name + `","domain_id":"` + alphaID + `","trust_domain_name":"beta"}}`}.send(t, c)
	}
	create("fiftieth").accepted(t, 201)
	create("one too many").wantKeystone(t, 403, "quota of 50 agencies")

	n := 0
	for _, p := range c.Catalogue() {
		if p.Version == "5.0" || p.InternalName == "secu_admin" || p.InternalName == "te_agency" {
			continue
		}
		r := request{method: "PUT", key: adminKey,
			target: "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + foreignID + "/roles/" + p.ID}.send(t, c)
		if n == 200 {
			r.wantKeystone(t, 403, "quota of 200 permissions")
			break
		}
		r.accepted(t, 204)
		n++
	}
	if n != 200 {
		t.Errorf("%d grants", n)
	}
	attached := 0
	for _, p := range c.Catalogue() {
		if p.Version != "5.0" {
			continue
		}
		r := request{method: "POST", target: "/v5/policies/" + p.ID + "/attach-agency", key: adminKey,
			body: `{"agency_id":"` + foreignID + `"}`}.send(t, c)
		if attached == 10 {
			r.wantCode(t, 409, "PAP5.0003", "limit")
			break
		}
		r.accepted(t, http.StatusOK)
		attached++
	}
	if attached != 10 {
		t.Errorf("%d identity policies", attached)
	}
}

func TestEnterpriseProjectWritesAreAllOrNothing(t *testing.T) {
	c := newCloud(t)
	guest, server := policyID(t, c, "Tenant Guest"), policyID(t, c, "Server Administrator")
	before := grantsOf(c, "alpha", reader)
	put := func(body string) reply {
		return request{method: "PUT", target: inEP, body: body, key: adminKey}.send(t, c)
	}
	put(enterpriseBody(3, payrollID, guest, server, "none")).wantKeystone(t, 404, "Could not find role: none")
	put(enterpriseBody(2, payrollID, guest, policyID(t, c, "Agent Operator"))).wantKeystone(t, 403, "te_agency")
	if got := grantsOf(c, "alpha", reader); !slices.Equal(got, before) {
		t.Errorf("grants %q, want %q", got, before)
	}
	put(enterpriseBody(250, payrollID, guest, server)).accepted(t, 200) // repeats within the request change nothing
	want := append(slices.Clone(before), "Tenant Guest enterprise_project "+payrollID,
		"Server Administrator enterprise_project "+payrollID)
	if got := grantsOf(c, "alpha", reader); !slices.Equal(got, want) {
		t.Errorf("grants %q, want %q", got, want)
	}
	remove := func(body string) reply {
		return request{method: "DELETE", target: inEP, body: body, key: adminKey}.send(t, c)
	}
	remove(enterpriseBody(3, payrollID, guest, server, guest)).wantKeystone(t, 404, "Could not find role: "+guest)
	if got := grantsOf(c, "alpha", reader); !slices.Equal(got, want) {
		t.Errorf("grants %q, want %q", got, want)
	}
	remove(enterpriseBody(2, payrollID, guest, server)).accepted(t, 204)
	if got := grantsOf(c, "alpha", reader); !slices.Equal(got, before) {
		t.Errorf("grants %q, want %q", got, before)
	}
}

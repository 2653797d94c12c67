package huawei

// identityActions are the actions that identity policies call otherwise than the model of roles and policies does (facts 8).
// deploy/iam has the policy documents.
var identityActions = map[string]string{
	"iam:agencies:listAgencies":                  "iam:agencies:list",
	"iam:permissions:listRoleAssignments":        "iam::listRoleAssignments",
	"iam:permissions:listRolesForAgencyOnDomain": "iam:agencies:listRolesOnDomain",
	"iam:permissions:listRolesForAgency":         "iam:agencies:listRoles",
	"iam:roles:listRoles":                        "iam:roles:list",
	"iam:roles:getRole":                          "iam:roles:get",
}

// spelt names an action in both languages of policies, as far as they differ.
func spelt(action string) string {
	if other := identityActions[action]; other != "" {
		return action + " (in an identity policy " + other + ")"
	}
	return action
}

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

	"iam:permissions:grantRoleToAgency":                       "iam:agencies:grantRole",
	"iam:permissions:grantRoleToAgencyOnDomain":               "iam:agencies:grantRoleOnDomain",
	"iam:permissions:revokeRoleFromAgency":                    "iam:agencies:revokeRole",
	"iam:permissions:revokeRoleFromAgencyOnDomain":            "iam:agencies:revokeRoleOnDomain",
	"iam:permissions:revokeRoleFromAgencyOnProject":           "iam:agencies:revokeRoleOnProject",
	"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject": "iam:agencies:revokeRoleOnEnterpriseProject",
}

// spelt names an action in both languages of policies, as far as they differ.
func spelt(action string) string {
	if other := identityActions[action]; other != "" {
		return action + " (in an identity policy " + other + ")"
	}
	return action
}

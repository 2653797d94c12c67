package huawei

import (
	"context"

	"github.com/agencyaudit/agencyaudit/rules"
)

// OrganizationQuery says what of an organization is asked for beside its accounts.
type OrganizationQuery struct {
	// Tags says that the tags of every account are read.
	Tags bool
}

// Organization is every account of an organization.
type Organization struct {
	ID, ManagementAccountID string
	Members                 []Member
}

// Member is one account of an organization.
type Member struct {
	ID, Name, Status string
	// OUs are the organizational units around the account, from the one below the root to its parent.
	OUs  []OU
	Tags map[string]string
}

// OU is an organizational unit.
type OU struct{ ID, Name string }

// Organization lists the accounts of the organization of the program's own account.
func (c *Cloud) Organization(context.Context, OrganizationQuery) (Organization, error) {
	return Organization{}, &rules.Unknown{Reason: rules.ReasonDenied, Detail: "this build cannot list an organization"}
}

package huawei

import (
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
)

// PanicIn has the SDK panic when it has the answer to an operation in an account, until mend is called.
func (c *Cloud) PanicIn(accountID, operation string, value any) (mend func()) {
	dial := c.dial
	c.dial = func(w *wire, id string) (api, error) {
		a, err := dial(w, id)
		if id == accountID && err == nil {
			a = panicking{a, operation, value}
		}
		return a, err
	}
	return func() { c.dial = dial }
}

// panicking panics after the answer to one operation.
type panicking struct {
	api
	operation string
	value     any
}

func (p panicking) in(operation string) {
	if p.operation == operation {
		panic(p.value)
	}
}

func (p panicking) agencies(r *model.ListAgenciesRequest) (*model.ListAgenciesResponse, string, error) {
	defer p.in("ListAgencies")
	return p.api.agencies(r)
}

func (p panicking) assignments(r *model.ShowDomainRoleAssignmentsRequest) (*model.ShowDomainRoleAssignmentsResponse, string, error) {
	defer p.in("ShowDomainRoleAssignments")
	return p.api.assignments(r)
}

func (p panicking) attached(r *model5.ListAttachedAgencyPoliciesV5Request) (*model5.ListAttachedAgencyPoliciesV5Response, string, error) {
	defer p.in("ListAttachedAgencyPoliciesV5")
	return p.api.attached(r)
}

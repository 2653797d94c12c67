package report

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestTheNameOfTwoAccountsIsNoArgument(t *testing.T) {
	a := rules.Account{ID: "d1", Name: "twin"}
	if got := argument(a, map[string]bool{"twin": true}); got != "d1" {
		t.Errorf("%q", got)
	}
	if got := argument(a, nil); got != "twin" {
		t.Errorf("%q", got)
	}
}

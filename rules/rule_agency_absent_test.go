package rules_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestAbsentIsDriftOnlyWhereRequired(t *testing.T) {
	check(t, rules.Evaluate(baseline(), evidence(t, absent()), rules.Fleet{}, now), rules.StateNotEnabled)
	o := absent()
	o.Account.RequireAgency = true
	r := rules.Evaluate(baseline(), evidence(t, o), rules.Fleet{}, now)
	check(t, r, rules.StateDrifted, want{rules.RuleAbsent, rules.High, "", "", ""})
	if r.Agency != nil || len(r.Required) != 0 {
		t.Errorf("an absent agency is %+v with %v", r.Agency, r.Required)
	}
}

package rules_test

import (
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestTheWarningIsTheBaselines(t *testing.T) {
	a := agency()
	a.ExpiresAt = now.Add(time.Hour)
	b := baseline()
	b.WarnBeforeExpiry = 0
	check(t, rules.Evaluate(b, evidence(t, observation(a, exact()...)), fleet(), now), rules.StateCompliant)
}

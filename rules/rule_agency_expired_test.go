package rules_test

import (
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestValidity(t *testing.T) {
	expired := want{rules.RuleExpired, rules.Critical, "", "", ""}
	expiring := want{rules.RuleExpiring, rules.Warning, "", "", ""}
	for name, c := range map[string]struct {
		ends  time.Time
		state rules.State
		wants []want
	}{
		"never":                       {time.Time{}, rules.StateCompliant, nil},
		"long over":                   {now.AddDate(-1, 0, 0), rules.StateDrifted, []want{expired}},
		"this very instant":           {now, rules.StateDrifted, []want{expired}},
		"in a second":                 {now.Add(time.Second), rules.StateDrifted, []want{expiring}},
		"at the end of the warning":   {now.Add(30 * 24 * time.Hour), rules.StateDrifted, []want{expiring}},
		"just outside of the warning": {now.Add(30*24*time.Hour + time.Second), rules.StateCompliant, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := agency()
			a.ExpiresAt = c.ends
			check(t, rules.Evaluate(baseline(), evidence(t, observation(a, exact()...)), fleet(), now), c.state, c.wants...)
		})
	}
}

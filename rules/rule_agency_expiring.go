package rules

import (
	"fmt"
	"time"
)

// ruleExpiring finds agencies whose validity ends soon.
var ruleExpiring = Rule{
	ID: RuleExpiring, Severity: Warning, Title: "The agency is about to expire",
	find: func(j *judgement) []Finding {
		a := j.evidence.agency
		if !j.evidence.present || a.ExpiresAt.IsZero() || !a.ExpiresAt.After(j.now) ||
			a.ExpiresAt.Sub(j.now) > j.baseline.WarnBeforeExpiry {
			return nil
		}
		return []Finding{{
			Message: fmt.Sprintf("The agency expires at %s.", a.ExpiresAt.UTC().Format(time.RFC3339)),
			Consequences: []string{fmt.Sprintf("From then on %s can no longer act in the account, whatever the agency is granted.",
				j.baseline.Service)},
		}}
	},
	remedies: validityRemedies,
}

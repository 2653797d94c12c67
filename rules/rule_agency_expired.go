package rules

import (
	"fmt"
	"time"
)

// ruleExpired finds agencies whose validity has ended.
var ruleExpired = Rule{
	ID: RuleExpired, Severity: Critical, Title: "The agency has expired",
	find: func(j *judgement) []Finding {
		a := j.evidence.agency
		if !j.evidence.present || a.ExpiresAt.IsZero() || a.ExpiresAt.After(j.now) {
			return nil
		}
		return []Finding{{
			Message:      fmt.Sprintf("The agency expired at %s.", a.ExpiresAt.UTC().Format(time.RFC3339)),
			Consequences: []string{fmt.Sprintf("%s can no longer act in the account, whatever the agency is granted.", j.baseline.Service)},
		}}
	},
	remedies: validityRemedies,
}

func validityRemedies(b Baseline, _ Finding) []Remedy {
	return []Remedy{{Where: iamConsole, Steps: []string{
		"Log in to the IAM console of the account.",
		fmt.Sprintf("Open Agencies, locate %s and click Modify.", b.Agency),
		"Ask first who shortened the validity period, and why: the service itself sets none.",
		"Set Validity Period to Unlimited, or to the period that was agreed, and click OK.",
	}}}
}

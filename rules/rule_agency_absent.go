package rules

import "fmt"

// ruleAbsent finds accounts that must have the agency and do not.
var ruleAbsent = Rule{
	ID: RuleAbsent, Severity: High, Title: "The required agency does not exist",
	find: func(j *judgement) []Finding {
		if j.evidence.present || !j.evidence.account.RequireAgency {
			return nil
		}
		return []Finding{{
			Message:      fmt.Sprintf("The account has no agency %s, and it is required here.", j.baseline.Agency),
			Consequences: []string{fmt.Sprintf("%s is not enabled in this account and can do nothing in it.", j.baseline.Service)},
		}}
	},
	remedies: func(b Baseline, _ Finding) []Remedy {
		return []Remedy{{Where: b.Service + " console", Steps: []string{
			fmt.Sprintf("Log in to the %s console with an administrator of the account.", b.Service),
			"Read the service statement that is shown: agreeing to it is the account owner's decision.",
			fmt.Sprintf("Agree, authorize and enable the service; it creates %s with its permissions.", b.Agency),
			"Do not create an agency of that name by hand: the service would find one that is not its own.",
		}}, {Where: "Configuration", Steps: []string{
			fmt.Sprintf("If %s is not wanted in this account, take require_agency away from it.", b.Service),
		}}}
	},
}

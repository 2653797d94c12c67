package rules

import "fmt"

// ruleUnresolvable finds required policies that the site's catalogue does not have. It is about the run: see Unresolvable.
var ruleUnresolvable = Rule{
	ID: RuleUnresolvable, Severity: High, Title: "A required policy does not exist on this site",
	remedies: func(b Baseline, f Finding) []Remedy {
		return []Remedy{{Where: iamConsole, Steps: []string{
			"Log in to the IAM console of any account of the site and open Permissions > Policies.",
			fmt.Sprintf("Search for %s. If the vendor renamed it, read the new policy and decide whether it is the same one.", f.Policy),
		}}, {Where: "Baseline", Steps: []string{
			fmt.Sprintf("Copy the baseline %s to a file, list the new name under accepts of %s, and name the file in the configuration.",
				b.Name, f.Policy),
		}}}
	},
}

func unresolvableFinding(b Baseline, req Requirement) Finding {
	return Finding{
		Policy: req.Policy, Scope: req.Scope,
		Message: fmt.Sprintf("The site's catalogue has no system-defined policy named %s.", quoted(req.names())),
		Consequences: []string{fmt.Sprintf("Accounts that do not hold it can be called neither compliant nor drifted "+
			"against the baseline %s, and are unknown.", b.Name)},
	}
}

package rules

import "fmt"

// ruleMissing finds required grants that the agency does not hold at any scope that helps.
var ruleMissing = Rule{
	ID: RuleMissing, Severity: High, Title: "A required policy is not granted",
	find: func(j *judgement) []Finding {
		var out []Finding
		for _, c := range j.covered {
			if c.Coverage != CoverageMissing {
				continue
			}
			req := j.baseline.Required[j.baseline.requirement(c.Policy, c.Scope)]
			f := Finding{
				Policy: c.Policy, Scope: c.Scope,
				Message:      fmt.Sprintf("%s is not granted; it is required at the scope %s.", c.Policy, c.Scope.Label()),
				Consequences: j.baseline.uses(req, "cannot"),
			}
			if cohort := j.cohort(c.Policy); cohort != nil {
				f.Cohort, f.CohortSays = cohort.Name, cohort.Says
			}
			out = append(out, f)
		}
		return out
	},
	remedies: func(b Baseline, f Finding) []Remedy { return grantRemedies(b, f.Policy, f.Scope) },
}

// cohort returns the cohort that explains why the policy is missing: the agency is old enough, and it lacks nothing else.
func (j *judgement) cohort(policy string) *Cohort {
	if len(j.covered) < len(j.baseline.Required) {
		return nil // of some other policy it is not known whether it is lacking
	}
	for _, c := range j.covered {
		if !c.Coverage.Satisfied() && c.Policy != policy {
			return nil
		}
	}
	created := j.evidence.agency.CreatedAt
	for i, c := range j.baseline.Cohorts {
		if c.Missing == policy && !created.IsZero() && created.Before(c.CreatedBefore) {
			return &j.baseline.Cohorts[i]
		}
	}
	return nil
}

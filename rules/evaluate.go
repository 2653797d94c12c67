package rules

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Evaluate judges what was seen of one agency against what was agreed. It reads nothing else: now is the instant at which
// validity is judged, fleet is what the account alone cannot show. The Report is the same for the same input, to the byte.
//
// The zero Evidence, and evidence about another agency than the baseline's, give an unknown account.
func Evaluate(b Baseline, e Evidence, fleet Fleet, now time.Time) Report {
	r := Report{Account: e.account, Baseline: b.Name, AgencyName: b.Agency, Findings: []Finding{}}
	if !e.valid || e.agencyName != b.Agency {
		return Undecided(b, e.account, unknown(ReasonIncomplete, "there is no evidence about the agency %q", b.Agency))
	}
	j := &judgement{baseline: b, evidence: e, fleet: fleet, now: now}
	if e.present {
		agency := e.agency
		r.Agency = &agency
		// What cannot be judged hides nothing of what can: the findings of both stand beside the reason.
		trust, grants := j.weighTrust(), j.weighGrants()
		r.Unknown = cmp.Or(trust, grants)
		r.Required = j.covered
		r.Allowed = j.allowed
		slices.SortFunc(r.Allowed, func(a, b AllowedGrant) int { return compareGrants(a.Grant, b.Grant) })
	}
	for _, rule := range ruleTable {
		if rule.find == nil {
			continue
		}
		for _, f := range rule.find(j) {
			f.Rule = rule.ID
			f.Severity = b.severity(rule, f)
			f.SharesName = j.sharesName(f)
			r.Findings = append(r.Findings, f)
		}
	}
	slices.SortFunc(r.Findings, compareFindings)
	switch {
	case r.Unknown != nil:
		r.State = StateUnknown
	case slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity.Drift() }):
		r.State = StateDrifted
	case !e.present && !e.account.RequireAgency:
		r.State = StateNotEnabled
	default:
		r.State = StateCompliant
	}
	return r
}

// Undecided returns the report of an account that could not be judged.
func Undecided(b Baseline, account Account, why *Unknown) Report {
	return Report{
		Account: account, Baseline: b.Name, AgencyName: b.Agency, State: StateUnknown, Unknown: why, Findings: []Finding{},
	}
}

// Unresolvable returns one finding for each required policy that the site's catalogue knows by none of its accepted
// names, in the baseline's order. They are findings of the run, not of an account.
func Unresolvable(b Baseline, fleet Fleet) []Finding {
	var findings []Finding
	for _, req := range b.Required {
		if fleet.PolicyIDs == nil || len(fleet.ids(req)) > 0 {
			continue
		}
		f := unresolvableFinding(b, req)
		f.Rule, f.Baseline = RuleUnresolvable, b.Name
		f.Severity = b.severity(ruleByID(RuleUnresolvable), f)
		findings = append(findings, f)
	}
	return findings
}

// severity is the one place that decides how urgent a finding is: the configuration, the risk, or the rule.
func (b Baseline) severity(r Rule, f Finding) Severity {
	if s, ok := b.Severities[r.ID]; ok {
		return s
	}
	if r.ID != RuleExcess {
		return r.Severity
	}
	switch f.Risk {
	case RiskCritical:
		return Critical
	case RiskHigh:
		return High
	default:
		return Warning
	}
}

func compareFindings(a, b Finding) int {
	return cmp.Or(
		cmp.Compare(a.Severity.order(), b.Severity.order()),
		cmp.Compare(a.Rule, b.Rule),
		cmp.Compare(a.Policy, b.Policy),
		cmp.Compare(a.Scope.order(), b.Scope.order()),
		cmp.Compare(a.PolicyID, b.PolicyID),
	)
}

// FindingID is a finding's identity across runs: the same subject under the same rule has the same id for ever.
func FindingID(r Report, f Finding) string {
	return strings.Join([]string{f.Rule, r.Account.ID, r.AgencyName, cmp.Or(f.PolicyID, f.Policy), string(f.Scope)}, ":")
}

// judgement is one account's case: what goes in, and what each grant was found to be. Every grant has exactly one part.
type judgement struct {
	baseline Baseline
	evidence Evidence
	fleet    Fleet
	now      time.Time

	trustFault string
	covered    []Covered
	wider      []Grant
	redundant  []Grant
	impostors  []Grant
	excess     []Grant
	allowed    []AllowedGrant
}

// sharesName says whether a finding about one policy needs its id to be told apart by whoever looks at a console.
func (j *judgement) sharesName(f Finding) bool {
	return f.PolicyID != "" && f.Policy != "" && slices.ContainsFunc(j.evidence.Grants(), func(g Grant) bool {
		return g.Policy.Name == f.Policy && g.Policy.ID != f.PolicyID && g.Scope.Kind == f.Scope
	})
}

// weighGrants gives each grant its part. It returns why the account cannot be judged, if a required policy is not held
// and does not exist on the site.
func (j *judgement) weighGrants() *Unknown {
	parts := j.evidence.parts()
	touched := make([]bool, len(parts)) // by some requirement
	var why *Unknown
	j.covered = make([]Covered, 0, len(j.baseline.Required))
	for _, req := range j.baseline.Required {
		var exact, wider, narrower []Grant
		for i, part := range parts {
			g := part[0]
			if g.Policy.Origin != System || !req.accepts(g.Policy.Name) {
				continue
			}
			switch {
			case g.Scope.Kind == req.Scope:
				exact = one(exact, part)
			case g.Scope.Kind.contains(req.Scope):
				wider = one(wider, part)
			case req.Scope.contains(g.Scope.Kind):
				narrower = one(narrower, part)
			default:
				continue
			}
			touched[i] = true
		}
		// The policy's own name goes before a name that the operator accepts in its place.
		slices.SortStableFunc(exact, func(a, b Grant) int {
			return cmp.Compare(rank(a.Policy.Name != req.Policy), rank(b.Policy.Name != req.Policy))
		})
		cov := Covered{Policy: req.Policy, Scope: req.Scope, PolicyIDs: j.fleet.ids(req)}
		switch {
		case len(exact) > 0 && req.Scope == Project:
			cov.Coverage, cov.By = CoverageExact, exact // in each of these projects it is what was asked for
			j.wider = append(j.wider, j.unrequired(wider)...)
		case len(exact) > 0:
			cov.Coverage, cov.By = CoverageExact, exact[:1]
			j.redundant = append(j.redundant, exact[1:]...)
			j.redundant = append(j.redundant, j.unrequired(narrower)...)
			j.wider = append(j.wider, j.unrequired(wider)...)
		case len(wider) > 0:
			cov.Coverage, cov.By = CoverageWider, wider
			j.redundant = append(j.redundant, j.unrequired(narrower)...)
			j.wider = append(j.wider, j.unrequired(wider)...)
		case len(narrower) > 0:
			cov.Coverage, cov.By = CoverageNarrower, narrower
		case j.fleet.PolicyIDs == nil:
			why = cmp.Or(why, unknown(ReasonIncomplete,
				"the site's catalogue of policies was not read, so that it is not known whether %q exists", req.Policy))
			continue
		case len(cov.PolicyIDs) == 0:
			why = cmp.Or(why, &Unknown{
				Reason: ReasonUnresolvable,
				Detail: "the site has no system-defined policy named " + quoted(req.names()),
				Remedy: "look the policy up on the IAM console of this site; if it bears another name there, list that name " +
					"under accepts in the baseline",
			})
			continue
		default:
			cov.Coverage = CoverageMissing
		}
		j.covered = append(j.covered, cov)
	}
	for i, part := range parts {
		g := part[0]
		switch {
		case touched[i]:
		case g.Policy.Origin == Custom && j.baseline.names(g.Policy.Name):
			j.impostors = append(j.impostors, g)
		default:
			if a := j.baseline.allowance(j.evidence.account, g); a != nil {
				j.allowed = append(j.allowed, AllowedGrant{Grant: g, Owner: a.Owner, Reason: a.Reason})
				continue
			}
			j.excess = append(j.excess, g)
		}
	}
	return why
}

// one adds a grant to a list. A list of one is a part of the grants themselves, since nearly all are.
func one(list, part []Grant) []Grant {
	if list == nil {
		return part
	}
	return append(list, part...)
}

// unrequired leaves out the grants that another requirement asks for.
func (j *judgement) unrequired(grants []Grant) []Grant {
	return slices.DeleteFunc(slices.Clone(grants), j.baseline.requires)
}

// requires says whether some requirement asks for exactly this grant.
func (b Baseline) requires(g Grant) bool {
	return slices.ContainsFunc(b.Required, func(r Requirement) bool {
		return r.Scope == g.Scope.Kind && r.accepts(g.Policy.Name)
	})
}

// names says whether some requirement is satisfied by a system-defined policy of that name.
func (b Baseline) names(policy string) bool {
	return slices.ContainsFunc(b.Required, func(r Requirement) bool { return r.accepts(policy) })
}

func (r Requirement) names() []string { return append([]string{r.Policy}, r.Accepts...) }

// ids are the ids of every policy that satisfies the requirement, sorted.
func (f Fleet) ids(r Requirement) []string {
	if ids := f.PolicyIDs[r.Policy]; len(r.Accepts) == 0 && len(ids) <= 1 {
		return slices.Clip(ids) // the same for every account
	}
	var ids []string
	for _, name := range r.names() {
		ids = append(ids, f.PolicyIDs[name]...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func rank(later bool) int {
	if later {
		return 1
	}
	return 0
}

// group puts grants of one policy on one kind of scope together, in a fixed order.
func group(grants []Grant) [][]Grant {
	sorted := slices.Clone(grants)
	slices.SortFunc(sorted, compareGrants)
	var groups [][]Grant
	for i, g := range sorted {
		if i > 0 && g.Policy.ID == sorted[i-1].Policy.ID && g.Scope.Kind == sorted[i-1].Scope.Kind {
			groups[len(groups)-1] = append(groups[len(groups)-1], g)
		} else {
			groups = append(groups, []Grant{g})
		}
	}
	return groups
}

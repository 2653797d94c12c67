package rules

import (
	"fmt"
	"strings"
)

// Rule is one named test of evidence against a baseline. Its page is docs/rules/<id with - for />.md.
type Rule struct {
	// ID is permanent: a rule that changes its meaning gets another one.
	ID string `json:"id"`
	// Severity is the default. Excess grants take theirs from the grant's risk instead.
	Severity Severity `json:"severity"`
	// Title says in a few words what the rule finds.
	Title string `json:"title"`

	// find returns what the rule finds in one account, without rule id and severity; nil for a rule about the run.
	find func(*judgement) []Finding
	// remedies returns the ways to put one of its findings right by hand.
	remedies func(Baseline, Finding) []Remedy
}

// The permanent ids of the rules.
const (
	RuleMissing       = "grant/missing"
	RuleNarrower      = "grant/narrower"
	RuleWider         = "grant/wider"
	RuleExcess        = "grant/excess"
	RuleRedundant     = "grant/redundant"
	RuleAbsent        = "agency/absent"
	RuleExpired       = "agency/expired"
	RuleExpiring      = "agency/expiring"
	RuleTrustMismatch = "trust/mismatch"
	RuleImpostor      = "policy/impostor"
	RuleUnresolvable  = "baseline/unresolvable"
)

// ruleTable is every rule, ordered by id. It is never changed.
var ruleTable = [...]Rule{
	ruleAbsent, ruleExpired, ruleExpiring, ruleUnresolvable, ruleExcess, ruleMissing, ruleNarrower, ruleRedundant, ruleWider,
	ruleImpostor, ruleTrustMismatch,
}

// Rules returns every rule, ordered by id.
func Rules() []Rule { return append([]Rule(nil), ruleTable[:]...) }

func ruleByID(id string) Rule {
	for _, r := range ruleTable {
		if r.ID == id {
			return r
		}
	}
	return Rule{}
}

// Page is the path of the rule's page in the repository.
func (r Rule) Page() string { return "docs/rules/" + strings.ReplaceAll(r.ID, "/", "-") + ".md" }

// Remedies returns the ways to put a finding right by hand, the best one first, each with its steps. Every way is a
// person's; what the program may do by itself is proposed by Propose.
func Remedies(b Baseline, f Finding) []Remedy {
	for _, r := range ruleTable {
		if r.ID == f.Rule {
			return r.remedies(b, f)
		}
	}
	return nil
}

const iamConsole = "IAM console"

// openAgency are the steps that lead to the agency on the IAM console.
func openAgency(b Baseline) []string {
	return []string{
		"Log in to the IAM console of the account.",
		fmt.Sprintf("Open Agencies, search for %s and click its name.", b.Agency),
	}
}

// grantRemedies are the two ways to add a system-defined policy: on the service's own console and on the IAM console.
func grantRemedies(b Baseline, policy string, scope ScopeKind) []Remedy {
	label := scope.Label()
	if i := b.requirement(policy, scope); i >= 0 && b.Required[i].ScopeLabel != "" {
		label = b.Required[i].ScopeLabel
	}
	refused := fmt.Sprintf("If it is refused, your user lacks iam:permissions:grantRoleToAgency: ask the account's owner or "+
		"an administrator to add %s to %s.", policy, b.Agency)
	var out []Remedy
	if len(b.ServiceSteps) > 0 {
		out = append(out, Remedy{Where: b.Service + " console", Steps: append(append([]string(nil), b.ServiceSteps...), refused)})
	}
	return append(out, Remedy{Where: iamConsole, Steps: append(openAgency(b),
		"Open Permissions and click Authorize.",
		fmt.Sprintf("Set Type to System-defined policy, enter %s and select it.", policy),
		fmt.Sprintf("Click Next, choose the scope %s, and click OK.", label),
		refused,
	)})
}

// revokeRemedy is the way to take a grant away, with the warning that belongs to it.
func revokeRemedy(b Baseline, f Finding, why string) []Remedy {
	policy, it := policyWords(f.Policy, f.PolicyID), "that authorization"
	if f.SharesName {
		policy += fmt.Sprintf(" (id %s, since another policy there bears the same name)", f.PolicyID)
	}
	if n := len(f.Grants); n > 1 {
		it = fmt.Sprintf("those %d authorizations", n)
	}
	return []Remedy{{Where: iamConsole, Steps: append(openAgency(b),
		why,
		fmt.Sprintf("Open Permissions, find %s at %s and delete %s.", policy, scopeWords(f), it),
		fmt.Sprintf("Afterwards check %s: changing the permissions of a cloud service agency may affect functions of the service.", b.Service),
	)}}
}

func (b Baseline) requirement(policy string, scope ScopeKind) int {
	for i, r := range b.Required {
		if r.Policy == policy && r.Scope == scope {
			return i
		}
	}
	return -1
}

// policyWords names a policy for people: by its name, or by its id when nothing names it.
func policyWords(name, id string) string {
	if name == "" {
		return "the policy with the id " + id
	}
	return name
}

// scopeWords names the scopes that a finding's grants hold at. More than three are counted.
func scopeWords(f Finding) string {
	if len(f.Grants) == 0 {
		return f.Scope.Label()
	}
	if len(f.Grants) == 1 {
		return f.Grants[0].Scope.String()
	}
	if len(f.Grants) > 3 {
		noun := "projects"
		if f.Scope == EnterpriseProject {
			noun = "enterprise projects"
		}
		return fmt.Sprintf("%d %s", len(f.Grants), noun)
	}
	names := make([]string, len(f.Grants))
	for i, g := range f.Grants {
		names[i] = g.Scope.String()
	}
	return joinWords(names)
}

// joinWords joins with commas and a final "and".
func joinWords(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(out, " or ")
}

// uses says what the service does with a requirement, a sentence for each scenario; verb is "can no longer", for instance.
func (b Baseline) uses(r Requirement, verb string) []string {
	if len(r.Scenarios) == 0 {
		return []string{fmt.Sprintf("%s %s use %s.", b.Service, verb, r.Policy)}
	}
	var out []string
	for _, s := range r.Scenarios {
		who := b.Service
		if s.Module != "" {
			who += "'s " + s.Module
		}
		out = append(out, fmt.Sprintf("%s %s %s.", who, verb, s.Use))
	}
	return out
}

// trusted names the account that acts through the agency.
func (a Agency) trusted() string {
	if a.Trust.Name == "" {
		return "the account " + a.Trust.ID
	}
	return a.Trust.Name
}

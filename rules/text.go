package rules

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Span writes a span of time as a person would, and as configurations read it: 407ms, 1m30s, 1h, 30d. From two days on the
// days are counted.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day {
		days := fmt.Sprintf("%dd", d/day)
		if d %= day; d == 0 {
			return days
		}
		return days + Span(d)
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Words names the kind of scope inside a sentence.
func (k ScopeKind) Words() string {
	switch k {
	case Global:
		return "global service"
	case AllResources:
		return "all resources"
	case Project:
		return "project"
	case EnterpriseProject:
		return "enterprise project"
	case Identity:
		return "identity policy, v5"
	}
	return string(k)
}

// heldAt names the scopes at which a finding's grants hold; many projects are counted.
func heldAt(grants []Grant) string {
	if len(grants) == 0 {
		return ""
	}
	kind := grants[0].Scope.Kind
	if kind != Project && kind != EnterpriseProject {
		return kind.Words()
	}
	if len(grants) == 1 {
		return kind.Words() + " " + cmp.Or(grants[0].Scope.Name, grants[0].Scope.ID)
	}
	return fmt.Sprintf("%d %ss", len(grants), kind.Words())
}

// Short says in a few words what the finding is about, and no two findings of a report the same. What a cloud or a user wrote is
// in it as it is.
func (f Finding) Short() string {
	policy := cmp.Or(f.Policy, "policy with the id "+f.PolicyID)
	var s string
	switch f.Rule {
	case RuleMissing:
		s = fmt.Sprintf("missing %s (%s)", policy, f.Scope.Words())
	case RuleNarrower:
		s = fmt.Sprintf("narrower %s (%s instead of %s)", policy, heldAt(f.Grants), f.Scope.Words())
	case RuleWider:
		s = fmt.Sprintf("wider %s (%s)", policy, heldAt(f.Grants))
	case RuleExcess:
		s = fmt.Sprintf("excess %s (%s)", policy, heldAt(f.Grants))
	case RuleRedundant:
		s = fmt.Sprintf("redundant %s (%s)", policy, heldAt(f.Grants))
	case RuleImpostor:
		s = fmt.Sprintf("impostor: custom policy named %s (%s)", policy, heldAt(f.Grants))
	default:
		s = strings.TrimSuffix(f.Message, ".")
	}
	if f.SharesName {
		s += ", policy id " + f.PolicyID
	}
	if f.Cohort != "" {
		s += " · " + f.Cohort
	}
	return s
}

// Words says what the reason means.
func (r Reason) Words() string {
	switch r {
	case ReasonUnreachable:
		return "no connection to the cloud, one that broke, or a gateway that has none"
	case ReasonTimeout:
		return "no whole answer came in time"
	case ReasonTLS:
		return "the server could not prove that it is the cloud"
	case ReasonThrottled:
		return "the cloud asks for fewer requests"
	case ReasonUnauthenticated:
		return "the cloud refused the key"
	case ReasonDenied:
		return "the key may not read this, or the account may not be entered"
	case ReasonRejected:
		return "the answer was not one that may be believed"
	case ReasonIncomplete:
		return "something of the answer is missing"
	case ReasonDisagree:
		return "two witnesses contradict each other"
	case ReasonAmbiguous:
		return "more than one agency bears the name"
	case ReasonVanished:
		return "the account left the inventory"
	case ReasonStale:
		return "the last evidence is too old"
	case ReasonUnresolvable:
		return "a policy of the baseline does not exist on this site"
	case ReasonPanic:
		return "a bug in this program"
	case ReasonBudget:
		return "the account cost more requests or bytes than one account may"
	}
	return "not one of the known reasons"
}

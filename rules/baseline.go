package rules

import (
	"slices"
	"strings"
	"time"
)

// Baseline is the reviewed statement of what one agency must be. Package rules/baseline reads it from a file.
type Baseline struct {
	// Name is the baseline's short name, such as coc.
	Name string `json:"name"`
	// Title says in a few words what the baseline is for.
	Title string `json:"title"`
	// Source and SourceDate say which document the baseline restates, and that document's date.
	Source     string `json:"source"`
	SourceDate string `json:"source_date"`
	// Digest is the SHA-256 of the file, in lower-case hexadecimal.
	Digest string `json:"digest"`
	// Service is the cloud service that works through the agency, as its console is called.
	Service string `json:"service"`
	// Agency is the agency's name, compared to the byte.
	Agency string `json:"agency"`
	// Trust is the account that the agency must trust. Its Name is compared with ASCII case folded; its ID, when it is
	// pinned, to the byte.
	Trust Trust `json:"trust"`
	// WarnBeforeExpiry is how long before its end an agency's validity becomes a finding.
	WarnBeforeExpiry time.Duration `json:"warn_before_expiry_ns"`
	// Required are the grants that the agency must have, in the order of the document.
	Required []Requirement `json:"required"`
	// Cohorts are known groups of accounts whose drift has one known cause.
	Cohorts []Cohort `json:"cohorts,omitempty"`
	// ServiceSteps are the steps on the service's own console that add a missing policy; empty when there are none.
	ServiceSteps []string `json:"service_steps,omitempty"`
	// Allowed are grants that certain accounts may have beyond Required, from overlays of the baseline. Overlays are the SHA-256
	// of those files, in lower-case hexadecimal.
	Allowed  []Allowance `json:"allowed,omitempty"`
	Overlays []string    `json:"overlays,omitempty"`
	// Risks classifies what the baseline does not have.
	Risks RiskTable `json:"-"`
	// Severities replaces the severity of a rule, by rule id, where the operator wants another one.
	Severities map[string]Severity `json:"-"`
}

// Requirement is one grant that the agency must have.
type Requirement struct {
	// Policy is the display name of a system-defined policy.
	Policy string `json:"policy"`
	// Accepts are display names of other system-defined policies that the operator takes for the same one.
	Accepts     []string `json:"accepts,omitempty"`
	Description string   `json:"description"`
	// Scope is Global, AllResources, or Project, which asks for one project at least, whichever that is.
	Scope ScopeKind `json:"scope"`
	// ScopeLabel is the scope in the document's own words.
	ScopeLabel string `json:"scope_label"`
	// Scenarios say what the service does with the policy.
	Scenarios []Scenario `json:"scenarios"`
}

// Scenario is one thing that the service does with a policy.
type Scenario struct {
	// Module is the part of the service; empty when the document names none.
	Module string `json:"module,omitempty"`
	// Use completes the sentence "the service can …".
	Use string `json:"use"`
}

// accepts says whether a system-defined policy of that display name satisfies the requirement.
func (r Requirement) accepts(name string) bool {
	return name == r.Policy || slices.Contains(r.Accepts, name)
}

// Allowance is a grant that certain accounts may have although the baseline does not require it.
type Allowance struct {
	Selector Selector `json:"selector"`
	// Policy is the display name of a system-defined policy, PolicyID the id of any policy; one of the two is set.
	Policy   string `json:"policy,omitempty"`
	PolicyID string `json:"policy_id,omitempty"`
	// Scope is where it may be granted: there, and at every scope that it contains.
	Scope ScopeKind `json:"scope"`
	// Critical says that the grant is allowed although its risk is critical.
	Critical bool `json:"critical,omitempty"`
	// Owner answers for it, and Reason says why it is meant.
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
}

// allows says whether the allowance is about a grant of an account, of that risk.
func (a *Allowance) allows(account Account, g Grant, risk Risk) bool {
	named := a.PolicyID != "" && a.PolicyID == g.Policy.ID ||
		a.Policy != "" && a.Policy == g.Policy.Name && g.Policy.Origin == System
	return named && (a.Scope == g.Scope.Kind || a.Scope.contains(g.Scope.Kind)) && (a.Critical || risk != RiskCritical) &&
		a.Selector.Selects(account)
}

// allowance is the first allowance that is about a grant of an account; nil when there is none.
func (b *Baseline) allowance(account Account, g Grant) *Allowance {
	for i := range b.Allowed {
		if b.Allowed[i].allows(account, g, b.Risks.Of(g.Policy)) {
			return &b.Allowed[i]
		}
	}
	return nil
}

// Cohort is a group of accounts that lack one policy for one known reason.
type Cohort struct {
	Name string `json:"name"`
	// CreatedBefore bounds the agency's creation, exclusively, in UTC.
	CreatedBefore time.Time `json:"created_before"`
	// Missing is the only required policy that such an account lacks.
	Missing string `json:"missing"`
	// Says is the sentence that the finding adds.
	Says string `json:"says"`
}

// RiskTable classifies policies by their display names. A policy that no line names is of medium risk.
type RiskTable struct {
	// Critical are display names, compared to the byte.
	Critical []string
	// HighSuffixes and LowSuffixes are endings of display names, LowNames whole ones. High wins over low.
	HighSuffixes []string
	LowSuffixes  []string
	LowNames     []string
}

// Of returns the risk of holding the policy without need. Only a system-defined policy can be of low risk: a name that
// an account chose for its own policy proves nothing.
func (t RiskTable) Of(p Policy) Risk {
	switch {
	case p.Unbounded, slices.Contains(t.Critical, p.Name):
		return RiskCritical
	case hasAnySuffix(p.Name, t.HighSuffixes):
		return RiskHigh
	case p.Origin == System && (slices.Contains(t.LowNames, p.Name) || hasAnySuffix(p.Name, t.LowSuffixes)):
		return RiskLow
	}
	return RiskMedium
}

func hasAnySuffix(name string, suffixes []string) bool {
	return slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

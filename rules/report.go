package rules

// Coverage says how far one required grant is satisfied.
type Coverage string

// The coverages. Exact and wider satisfy the need; narrower and missing do not.
const (
	CoverageExact    Coverage = "exact"
	CoverageWider    Coverage = "wider"
	CoverageNarrower Coverage = "narrower"
	CoverageMissing  Coverage = "missing"
)

// Satisfied says whether the required grant is held, if perhaps at more than it needs.
func (c Coverage) Satisfied() bool { return c == CoverageExact || c == CoverageWider }

// Covered is the coverage of one required grant.
type Covered struct {
	Policy   string    `json:"policy"`
	Scope    ScopeKind `json:"scope"`
	Coverage Coverage  `json:"coverage"`
	// By are the grants that the coverage rests on.
	By []Grant `json:"by,omitempty"`
	// PolicyIDs are the ids by which the site's catalogue knows the policy.
	PolicyIDs []string `json:"policy_ids,omitempty"`
}

// Finding is one rule's statement about one subject.
type Finding struct {
	// Rule is the rule's permanent id.
	Rule string `json:"rule"`
	// Baseline is the name of the baseline that a finding of the run is about; empty in a report, which has it itself.
	Baseline string   `json:"baseline,omitempty"`
	Severity Severity `json:"severity"`
	// Policy is the display name of the policy that the finding is about; empty when it is about none, or about one that
	// cannot be named.
	Policy   string `json:"policy,omitempty"`
	PolicyID string `json:"policy_id,omitempty"`
	// SharesName says that the agency holds another policy of the same name at the same kind of scope, so that its id alone
	// tells which one is meant.
	SharesName bool `json:"shares_name,omitempty"`
	// Scope is the kind of scope that the finding is about: the required one when a grant is missing, else the held one.
	Scope ScopeKind `json:"scope,omitempty"`
	// Risk is set for grants that the baseline does not have.
	Risk Risk `json:"risk,omitempty"`
	// Trusts is the id of the account that the agency trusts; set where the finding is about that alone, see RuleTrustMismatch.
	Trusts string `json:"trusts,omitempty"`
	// Message says in one sentence what is the case.
	Message string `json:"message"`
	// Consequences say, a sentence each, what breaks or what is exposed.
	Consequences []string `json:"consequences"`
	// Grants are the grants that the finding rests on; none when something is absent.
	Grants []Grant `json:"grants,omitempty"`
	// Cohort names the known group of accounts that the account belongs to, if the finding is explained by it.
	Cohort string `json:"cohort,omitempty"`
	// CohortSays says what is known of that group; it is no consequence.
	CohortSays string `json:"cohort_says,omitempty"`
	// Waived says that the finding was accepted, and until when; nil when it was not, see WaivedAt.
	Waived *Acceptance `json:"waived,omitempty"`
}

// Report is the verdict on one agency in one account.
type Report struct {
	Account  Account `json:"account"`
	Baseline string  `json:"baseline"`
	// AgencyName is the agency that was judged, Agency what was found of it; nil when it is absent or not known.
	AgencyName string  `json:"agency_name"`
	Agency     *Agency `json:"agency,omitempty"`
	State      State   `json:"state"`
	// Unknown says why, when State is StateUnknown, and is nil otherwise.
	Unknown *Unknown `json:"unknown,omitempty"`
	// Required has one entry for each required grant, in the baseline's order; none without evidence or without agency.
	Required []Covered `json:"required,omitempty"`
	// Allowed are the grants that the baseline does not require and that an overlay allows to the account.
	Allowed []AllowedGrant `json:"allowed,omitempty"`
	// Findings are in their total order: severity, rule, policy, scope, policy id.
	Findings []Finding `json:"findings"`
}

// AllowedGrant is a grant that an overlay allows, with what its Allowance says of it.
type AllowedGrant struct {
	Grant  Grant  `json:"grant"`
	Owner  string `json:"owner"`
	Reason string `json:"reason"`
}

// Remedy is one way to put a finding right by hand.
type Remedy struct {
	// Where names the console or the tool.
	Where string   `json:"where"`
	Steps []string `json:"steps"`
}

// Fleet is what Evaluate needs to know beyond one account.
type Fleet struct {
	// PolicyIDs has, for each required policy's name and each accepted one, the ids under which the site's catalogue of
	// system-defined policies knows it. A name without ids does not exist on the site.
	PolicyIDs map[string][]string
	// TrustIDs counts, by id of the trusted account, the agencies of this run whose trust fits the baseline by name.
	TrustIDs map[string]int
}

package rules

import (
	"cmp"
	"strings"
	"time"
)

// Account is one account of the cloud, which its API calls a domain.
type Account struct {
	// ID is the account's (domain) id: 32 lower-case hexadecimal digits. It is the identity; Name is for people.
	ID string `json:"id"`
	// Name is what the configuration or the organization calls the account.
	Name string `json:"name"`
	// RequireAgency says that the account must have the agency; without it an absent agency means "not enabled".
	RequireAgency bool `json:"require_agency"`
	// OU is where the organization keeps the account, see OUPath; empty directly below its root, and without organization.
	OU string `json:"ou,omitempty"`
	// Tags are the account's tags of the keys that the configuration chose, sorted by key.
	Tags []Tag `json:"tags,omitempty"`
}

// Tag is one tag of an account.
type Tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// OUPath is the path of an organizational unit, from the names of the units from the one below the root downwards. They are
// joined by "/"; a "/" or a "%" of a name itself is written as in an address, so that two places never have one path.
func OUPath(names []string) string {
	escaped := make([]string, len(names))
	for i, name := range names {
		escaped[i] = ouName.Replace(name)
	}
	return strings.Join(escaped, "/")
}

var ouName = strings.NewReplacer("%", "%25", "/", "%2F")

// ScopeKind says where a grant holds. Its values are also the values of the metric label "scope".
type ScopeKind string

// The five kinds of scope, which are the five planes on which permissions of one agency can sit.
const (
	// Global is the global-service scope: the account (domain) itself, not inherited by its projects.
	Global ScopeKind = "global"
	// AllResources is the whole account with every present and future project, and its global services.
	AllResources ScopeKind = "all_resources"
	// Project is one region-specific project.
	Project ScopeKind = "project"
	// EnterpriseProject is one enterprise project.
	EnterpriseProject ScopeKind = "enterprise_project"
	// Identity is the attachment of an identity policy (IAM v5), which names no scope.
	Identity ScopeKind = "identity"
)

// Planes are the five kinds of scope in their fixed order.
var planes = [...]ScopeKind{Global, AllResources, Project, EnterpriseProject, Identity}

// Planes returns the five kinds of scope in the order in which everything shows them.
func Planes() []ScopeKind { return append([]ScopeKind(nil), planes[:]...) }

func (k ScopeKind) order() int {
	for i, p := range planes {
		if p == k {
			return i
		}
	}
	return len(planes)
}

// Label returns the words that the vendor's consoles use for the kind of scope.
func (k ScopeKind) Label() string {
	switch k {
	case Global:
		return "Global service"
	case AllResources:
		return "All resources"
	case Project:
		return "Region-specific project"
	case EnterpriseProject:
		return "Enterprise project"
	case Identity:
		return "Identity policy (v5)"
	}
	return string(k)
}

// contains says whether a grant at scope k holds everywhere where one at scope part does, and beyond it.
func (k ScopeKind) contains(part ScopeKind) bool {
	return k == AllResources && (part == Global || part == Project || part == EnterpriseProject)
}

// Scope is where one grant holds.
type Scope struct {
	Kind ScopeKind `json:"kind"`
	// ID is the project's or enterprise project's id, and empty for the other kinds.
	ID string `json:"id,omitempty"`
	// Name is the project's or enterprise project's name where it was read, for people only.
	Name string `json:"name,omitempty"`
}

// String returns the scope for people: its label and, where there is one, the project.
func (s Scope) String() string {
	switch name := cmp.Or(s.Name, s.ID); {
	case name == "":
		return s.Kind.Label()
	default:
		return s.Kind.Label() + " " + name
	}
}

// Origin says who defined a policy.
type Origin string

// The origins of a policy.
const (
	// System policies are defined by the vendor: the API gives them no owning account.
	System Origin = "system"
	// Custom policies are defined by an account.
	Custom Origin = "custom"
	// Unresolved policies are ids that the account grants and that no catalogue can name.
	Unresolved Origin = "unresolved"
)

// Policy is a named bundle of permissions. The API calls v3 policies roles.
type Policy struct {
	// ID is the policy's identity. Several ids may bear one name.
	ID string `json:"id"`
	// Name is the display name, to the byte as the cloud wrote it; empty for an unresolved policy.
	Name   string `json:"name,omitempty"`
	Origin Origin `json:"origin"`
	// Unbounded says that the policy's document was read and allows every action of every service.
	Unbounded bool `json:"unbounded,omitempty"`
}

// Grant gives an agency one policy at one scope: the atom that is compared.
type Grant struct {
	Policy Policy `json:"policy"`
	Scope  Scope  `json:"scope"`
}

func compareGrants(a, b Grant) int {
	return cmp.Or(
		cmp.Compare(a.Scope.Kind.order(), b.Scope.Kind.order()),
		cmp.Compare(a.Policy.Name, b.Policy.Name),
		cmp.Compare(a.Policy.ID, b.Policy.ID),
		cmp.Compare(cmp.Or(a.Scope.Name, a.Scope.ID), cmp.Or(b.Scope.Name, b.Scope.ID)), // as people see it
		cmp.Compare(a.Scope.ID, b.Scope.ID),
	)
}

// Trust is the account that may act through an agency.
type Trust struct {
	// ID is the trusted account's id.
	ID string `json:"id,omitempty"`
	// Name is the trusted account's name as the cloud wrote it; the API may leave it out.
	Name string `json:"name,omitempty"`
}

// Agency is the trust record by which an account lets another one act within it.
type Agency struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	AccountID string `json:"account_id"`
	Trust     Trust  `json:"trust"`
	// CreatedAt is when the agency was made, in UTC; zero when the cloud's text for it could not be read.
	CreatedAt time.Time `json:"created_at,omitzero"`
	// ExpiresAt is when the agency ends, in UTC; zero means never.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// Severity says how urgent a finding is.
type Severity string

// The severities, worst first. A finding of Warning or worse makes its account drifted.
const (
	Critical Severity = "critical"
	High     Severity = "high"
	Warning  Severity = "warning"
	Info     Severity = "info"
)

var severities = [...]Severity{Critical, High, Warning, Info}

func (s Severity) order() int {
	for i, v := range severities {
		if v == s {
			return i
		}
	}
	return len(severities)
}

// Drift says whether a finding of this severity makes its account drifted.
func (s Severity) Drift() bool { return s.order() <= Warning.order() }

// Risk says how dangerous a grant is that the baseline does not have.
type Risk string

// The risks of an excess grant. Design: docs/design.md, "Words".
const (
	RiskCritical Risk = "critical"
	RiskHigh     Risk = "high"
	RiskMedium   Risk = "medium"
	RiskLow      Risk = "low"
)

// State is what is known of one account, exactly one of five.
type State string

// The states of an account.
const (
	// StateUnknown means that there is no evidence: neither right nor wrong may be said.
	StateUnknown State = "unknown"
	// StateNotEnabled means that the agency does not exist and need not.
	StateNotEnabled State = "not_enabled"
	// StateDrifted means that at least one unwaived finding is a warning or worse.
	StateDrifted State = "drifted"
	// StateWaived means that all such findings are waived.
	StateWaived State = "waived"
	// StateCompliant means that evidence shows no such finding.
	StateCompliant State = "compliant"
)

// States returns the five states in the order in which everything shows them, worst first.
func States() []State {
	return []State{StateUnknown, StateDrifted, StateWaived, StateNotEnabled, StateCompliant}
}

// Reason says why an account is unknown. The list is closed and its values are values of a metric label.
type Reason string

// The reasons for which an account is unknown.
const (
	ReasonUnreachable     Reason = "unreachable"     // no connection, one that broke, or a gateway that has none
	ReasonTimeout         Reason = "timeout"         // no whole answer in time
	ReasonTLS             Reason = "tls"             // the server could not be authenticated
	ReasonThrottled       Reason = "throttled"       // the cloud asks for fewer requests
	ReasonUnauthenticated Reason = "unauthenticated" // the key was refused
	ReasonDenied          Reason = "denied"          // the key may not read this, or the account may not be entered
	ReasonRejected        Reason = "rejected"        // the answer was not one that may be believed
	ReasonIncomplete      Reason = "incomplete"      // something of the answer is missing
	ReasonDisagree        Reason = "disagree"        // two witnesses contradict each other
	ReasonAmbiguous       Reason = "ambiguous"       // more than one agency bears the name
	ReasonVanished        Reason = "vanished"        // the account left the inventory
	ReasonStale           Reason = "stale"           // the last evidence is too old
	ReasonUnresolvable    Reason = "unresolvable"    // a baseline policy does not exist on this site
	ReasonPanic           Reason = "panic"           // a bug in this program
	ReasonBudget          Reason = "budget"          // the account cost more than one account may
)

// Reasons returns the closed list of reasons.
func Reasons() []Reason {
	return []Reason{
		ReasonUnreachable, ReasonTimeout, ReasonTLS, ReasonThrottled, ReasonUnauthenticated, ReasonDenied, ReasonRejected,
		ReasonIncomplete, ReasonDisagree, ReasonAmbiguous, ReasonVanished, ReasonStale, ReasonUnresolvable, ReasonPanic,
		ReasonBudget,
	}
}

// Unknown says why an account could not be judged. It is the error of every failed read.
type Unknown struct {
	Reason Reason `json:"reason"`
	// Detail says in words what was asked and what came back; which account it is about is said by what it is part of.
	Detail string `json:"detail"`
	// Remedy says what the operator can do, and who can grant a missing permission.
	Remedy string `json:"remedy,omitempty"`
	// RequestID is the cloud's id of the refused request, for its support; empty when no answer came.
	RequestID string `json:"request_id,omitempty"`
}

// Error returns the reason, the detail and the request id in one line.
func (u *Unknown) Error() string {
	s := string(u.Reason) + ": " + u.Detail
	if u.RequestID != "" {
		s += " (request id " + u.RequestID + ")"
	}
	return s
}

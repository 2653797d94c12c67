package simcloud

import "time"

// Organization is the true state of a simulated cloud: every account with what is in it, and how the cloud behaves.
// It is what an organization file holds; see LoadOrganization for the file's rules and Bundled for a worked one.
// Whatever has an id may leave it out: ids are then derived from the names, the same ones every time.
type Organization struct {
	// Region is the one region of the simulated site; its default project in every account bears its name.
	Region string `yaml:"region" json:"region"`
	// ServiceAccounts are the internal accounts that cloud service agencies trust, name to id.
	ServiceAccounts map[string]string `yaml:"service_accounts" json:"service_accounts"`
	// Settings say how the cloud behaves; facts that the vendor's documentation leaves open are switches there.
	Settings Settings `yaml:"settings" json:"settings"`
	// SystemPolicies are added to the built-in catalogue of system-defined policies, or replace one by its id.
	SystemPolicies []Policy `yaml:"system_policies" json:"system_policies"`
	// Structure is the organization of accounts that the service Organizations shows; without one every account is in none.
	Structure *Structure `yaml:"organization" json:"organization,omitempty"`
	// Instances are servers that get the keys of an agency from the metadata server, and Pods are those of containers.
	Instances []Instance `yaml:"instances" json:"instances,omitempty"`
	Pods      []Pod      `yaml:"pods" json:"pods,omitempty"`
	// Accounts in the order of the file.
	Accounts []Account `yaml:"accounts" json:"accounts"`
}

// Account is one account, which the API calls a domain.
type Account struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
	// Note says in words what is special about the account. The cloud does nothing with it.
	Note string `yaml:"note" json:"note"`
	// Status is active (the default), suspended, pending_closure, or any other text: Organizations shows it as it is. Every
	// key of a suspended account is answered with 401; a switch says the same of one that is about to be closed.
	Status string `yaml:"status" json:"status"`
	// Member is the account's place in the organization; without one it is in none.
	Member *Member `yaml:"member" json:"member,omitempty"`
	// Planes switches off what the account does not have.
	Planes             Planes    `yaml:"planes" json:"planes"`
	Projects           []Project `yaml:"projects" json:"projects"`
	EnterpriseProjects []Project `yaml:"enterprise_projects" json:"enterprise_projects"`
	Users              []User    `yaml:"users" json:"users"`
	// Policies are the account's custom policies.
	Policies []Policy `yaml:"policies" json:"policies"`
	Agencies []Agency `yaml:"agencies" json:"agencies"`
}

// Planes says which planes of permissions an account has. All of them unless said otherwise.
type Planes struct {
	NoEnterpriseProjects bool `yaml:"no_enterprise_projects" json:"no_enterprise_projects"`
	NoIdentity           bool `yaml:"no_identity" json:"no_identity"`
}

// Project is a project or an enterprise project. Every account has the region's project, the project MOS and the
// enterprise project default (id 0) without being told.
type Project struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
}

// User is a person or a program of the account. It may do what its policies and its actions allow.
type User struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
	Keys []Key  `yaml:"keys" json:"keys"`
	// Policies by display name or id: system-defined ones, or custom ones of the account.
	Policies []string `yaml:"policies" json:"policies"`
	// Actions are allowed beside the policies: service:resource:operation, each part with * as a wildcard.
	Actions []string `yaml:"actions" json:"actions"`
}

// Key is a permanent access key. It is a made-up value that opens nothing but the simulator.
type Key struct {
	Access string `yaml:"access" json:"access"`
	Secret string `yaml:"secret" json:"secret"`
}

// Policy is a system-defined or custom policy (v3), or an identity policy (v5).
type Policy struct {
	ID string `yaml:"id" json:"id"`
	// InternalName is what the API calls name: te_admin, system_all_24, custom_….
	InternalName string `yaml:"internal_name" json:"internal_name"`
	DisplayName  string `yaml:"display_name" json:"display_name"`
	// Type is AX, XA, AA or XX: where the console shows the policy.
	Type    string `yaml:"type" json:"type"`
	Catalog string `yaml:"catalog" json:"catalog"`
	// Version is 1.0 for a role, 1.1 for a policy, 5.0 for an identity policy.
	Version string `yaml:"version" json:"version"`
	// Depends are the display names of system-defined policies that have to be granted alongside.
	Depends []string `yaml:"depends" json:"depends"`
	// Allow are the actions that the policy's one statement allows: service:resource:operation with * as a wildcard in
	// each part, or a single *.
	Allow []string `yaml:"allow" json:"allow"`
	// Resources limits the statement to what these paths name, which makes sense for the actions that assume an agency
	// only: /iam/agencies/AGENCY_ID, or iam::ACCOUNT_ID:agency:NAME. None is no limit.
	Resources []string `yaml:"resources" json:"resources"`
	// Hidden policies can be granted, but neither lists nor look-ups of policies know them.
	Hidden bool `yaml:"hidden" json:"hidden"`
	// Description is shown by the API.
	Description string `yaml:"description" json:"description"`
}

// Agency is the record by which the account lets another account act within it: a v3 agency with a Trust, or a trust
// agency with a TrustPolicy.
type Agency struct {
	ID   string `yaml:"id" json:"id"`
	Name string `yaml:"name" json:"name"`
	// Trust is the account that may use the agency. One of its fields is enough when it names a service account or an
	// account of the file. Trust with both names an account outside of the file.
	Trust Trust `yaml:"trust" json:"trust"`
	// TrustPolicy makes it a trust agency of IAM v5, which can hold identity policies only and is unknown to IAM v3.
	TrustPolicy *TrustPolicy `yaml:"trust_policy" json:"trust_policy,omitempty"`
	// MaxSessionDuration is how many seconds a session may last that STS begins: 3600, which is the default, to 43200.
	MaxSessionDuration int    `yaml:"max_session_duration" json:"max_session_duration,omitempty"`
	Description        string `yaml:"description" json:"description"`
	// CreatedAt is 2025-01-01 when it is left out.
	CreatedAt time.Time `yaml:"created_at" json:"created_at"`
	// ExpiresAt is zero for an agency that is valid for ever.
	ExpiresAt time.Time `yaml:"expires_at" json:"expires_at"`
	// ExpiresIn says the same relative to the moment of New, which turns it into ExpiresAt. Not both; a negative one has
	// expired before New.
	ExpiresIn time.Duration `yaml:"expires_in" json:"expires_in,omitempty"`
	Grants    []Grant       `yaml:"grants" json:"grants"`
	// Attached are the display names or ids of identity policies (v5) that are attached to the agency.
	Attached []string `yaml:"attached" json:"attached"`
}

// Trust names the trusted account. HideName leaves the name out of every answer, as the API may.
type Trust struct {
	ID       string `yaml:"id" json:"id"`
	Name     string `yaml:"name" json:"name"`
	HideName bool   `yaml:"hide_name" json:"hide_name"`
}

// TrustPolicy says who may assume a trust agency.
type TrustPolicy struct {
	// Principals are accounts (name or id), urns of users or of an account's root, services (service.X), or * for anyone.
	Principals []string `yaml:"principals" json:"principals"`
	// ExternalID is what the caller must bring; empty for nothing.
	ExternalID string `yaml:"external_id" json:"external_id"`
}

// Structure is an organization of accounts: a root, the organizational units below it, and who rules it. Where an account
// is stands with the account.
type Structure struct {
	ID string `yaml:"id" json:"id"`
	// Management is the management account, which must be a member.
	Management string `yaml:"management_account" json:"management_account"`
	// CreatedAt is 2023-01-01 when it is left out, and members have joined then who do not say.
	CreatedAt time.Time `yaml:"created_at" json:"created_at"`
	RootID    string    `yaml:"root_id" json:"root_id"`
	// Units are those directly below the root.
	Units []Unit `yaml:"organizational_units" json:"organizational_units"`
	// Delegates are the delegated administrators.
	Delegates []Delegate `yaml:"delegated_administrators" json:"delegated_administrators"`
}

// Unit is an organizational unit with everything below it.
type Unit struct {
	ID    string            `yaml:"id" json:"id"`
	Name  string            `yaml:"name" json:"name"`
	Tags  map[string]string `yaml:"tags" json:"tags,omitempty"`
	Units []Unit            `yaml:"organizational_units" json:"organizational_units,omitempty"`
}

// Delegate is a delegated administrator.
type Delegate struct {
	// Account is a member, by name or id.
	Account string `yaml:"account" json:"account"`
	// Services are the principals of the services that it administers, service.X; none is any.
	Services  []string  `yaml:"services" json:"services,omitempty"`
	EnabledAt time.Time `yaml:"enabled_at" json:"enabled_at"`
}

// Member is an account's place in the organization.
type Member struct {
	// OU is an organizational unit: its id, or the names from the root's child down with / between them. Empty is directly
	// below the root.
	OU string `yaml:"ou" json:"ou"`
	// JoinMethod is invited (the default, but for the management account) or created.
	JoinMethod  string            `yaml:"join_method" json:"join_method"`
	JoinedAt    time.Time         `yaml:"joined_at" json:"joined_at"`
	Description string            `yaml:"description" json:"description"`
	Tags        map[string]string `yaml:"tags" json:"tags,omitempty"`
}

// Instance is a server that gets temporary keys of an agency, which must trust a cloud service: a service account, or
// service.X in its trust policy.
type Instance struct {
	Name string `yaml:"name" json:"name"`
	// Account is a name or an id, Agency the name of an agency of it.
	Account string `yaml:"account" json:"account"`
	Agency  string `yaml:"agency" json:"agency"`
	// KeyLifetime is how long its keys are good; 6h when it is left out.
	KeyLifetime time.Duration `yaml:"key_lifetime" json:"key_lifetime,omitempty"`
}

// Pod is a container that gets them by its token, which is a made-up value.
type Pod struct {
	Name        string        `yaml:"name" json:"name"`
	Account     string        `yaml:"account" json:"account"`
	Agency      string        `yaml:"agency" json:"agency"`
	Token       string        `yaml:"token" json:"token"`
	KeyLifetime time.Duration `yaml:"key_lifetime" json:"key_lifetime,omitempty"`
}

// Grant gives an agency a policy at a scope.
type Grant struct {
	// Policy is a display name, PolicyID an id; one of the two, or both where they agree. A display name that several
	// policies bear is ambiguous and must be written as an id. Custom policies of the account win over system-defined
	// ones only by id or Custom.
	Policy   string `yaml:"policy" json:"policy"`
	PolicyID string `yaml:"policy_id" json:"policy_id"`
	// Custom says that Policy names a custom policy of the account rather than a system-defined one.
	Custom bool `yaml:"custom" json:"custom"`
	// Scope is global, all_resources, project or enterprise_project.
	Scope string `yaml:"scope" json:"scope"`
	// In names the project or enterprise project (name or id) for these two scopes.
	In string `yaml:"in" json:"in"`
}

// Settings is how the cloud behaves.
type Settings struct {
	// Latency is waited before every answer.
	Latency time.Duration `yaml:"latency" json:"latency"`
	// ReadAfterWriteDelay is how long lists do not show a write.
	ReadAfterWriteDelay time.Duration `yaml:"read_after_write_delay" json:"read_after_write_delay"`
	// ReadAfterWriteDelays overrides ReadAfterWriteDelay for single lists, by the SDK's name of the operation.
	ReadAfterWriteDelays map[string]time.Duration `yaml:"read_after_write_delays" json:"read_after_write_delays"`
	// ClockOffset is how much the clock is fast that the cloud shows and judges signatures by; negative is slow.
	ClockOffset time.Duration `yaml:"clock_offset" json:"clock_offset"`
	// RateLimit is requests a second for each account; 0 is no limit.
	RateLimit float64 `yaml:"rate_limit" json:"rate_limit"`
	// PageSize caps the rows of a page below what the API allows; 0 is the API's own cap.
	PageSize int `yaml:"page_size" json:"page_size"`
	// Instance is the server that asks the metadata server; empty is the first.
	Instance string `yaml:"instance" json:"instance"`
	// Failures are answers that come from a broken gateway rather than from the cloud; the first that fits is taken.
	Failures []Failure `yaml:"failures" json:"failures"`
	// Events are what somebody else does to the true state when certain requests come.
	Events []Event `yaml:"events" json:"events"`
	// Switches choose where the documentation leaves open what the cloud does.
	Switches Switches `yaml:"switches" json:"switches"`
}

// Failure has requests fail the way they do behind a broken gateway, or in front of a broken cloud.
type Failure struct {
	// Account (name or id) and Operation (the SDK's name) say which requests fail; empty is any.
	Account   string `yaml:"account" json:"account"`
	Operation string `yaml:"operation" json:"operation"`
	// Query are parameters that the request must have, name to value. An empty value fits a request without the parameter
	// too: {marker: ""} is the first page.
	Query map[string]string `yaml:"query" json:"query,omitempty"`
	// Style is how they fail: one of the table of faults, which docs/simcloud.md explains. Requests that a style has no
	// use for, many_rows for what is no list for instance, do not fit.
	Style string `yaml:"style" json:"style"`
	// Skip is how many fitting requests are answered properly first. Of those that follow each Every-th fails, 0 being all
	// of them, until so many as Times says have failed, 0 being no end.
	Skip  int `yaml:"skip" json:"skip"`
	Times int `yaml:"times" json:"times"`
	Every int `yaml:"every" json:"every"`
}

// Event has the true state change at the moment of a request: somebody else who was faster, or who comes right behind.
type Event struct {
	// Account, Operation and Query choose requests as those of a Failure do, and Skip, Times and Every those of them at which it happens.
	Account   string            `yaml:"account" json:"account"`
	Operation string            `yaml:"operation" json:"operation"`
	Query     map[string]string `yaml:"query" json:"query,omitempty"`
	Skip      int               `yaml:"skip" json:"skip"`
	Times     int               `yaml:"times" json:"times"`
	Every     int               `yaml:"every" json:"every"`
	// When is before, the default: before the request is carried out; or after: when it was, and before it is answered.
	When string `yaml:"when" json:"when"`
	// Drift is what happens, in order. What cannot be done, such as to revoke what is not granted, is left out.
	Drift []Drift `yaml:"drift" json:"drift"`
}

// Switches are the ambiguities of the documentation (facts 14), each with its first value as default.
// docs/simcloud.md says what each value does.
type Switches struct {
	// RepeatGrant is the answer to a grant that exists: 204, 409.
	RepeatGrant string `yaml:"repeat_grant" json:"repeat_grant"`
	// RevokeMissing is the answer to revoking a grant that does not exist: 404, 204.
	RevokeMissing string `yaml:"revoke_missing" json:"revoke_missing"`
	// ScopeTypeMismatch is the answer to a grant whose policy is not shown at that scope: accept, 400, 403.
	ScopeTypeMismatch string `yaml:"scope_type_mismatch" json:"scope_type_mismatch"`
	// Blacklist is what cannot be granted for global services and all resources: te_agency, both (secu_admin too).
	Blacklist string `yaml:"blacklist" json:"blacklist"`
	// AgencyNameFilter is what the parameter name of ListAgencies does: exact, substring, ignored.
	AgencyNameFilter string `yaml:"agency_name_filter" json:"agency_name_filter"`
	// AssignmentsWithoutScope is the answer to role-assignments that name no scope: 400, domain.
	AssignmentsWithoutScope string `yaml:"assignments_without_scope" json:"assignments_without_scope"`
	// AssignmentsUnpaged is what role-assignments without page and per_page return: capped (the first 50), all.
	AssignmentsUnpaged string `yaml:"assignments_unpaged" json:"assignments_unpaged"`
	// Throttle is the shape of status 429: APIGW.0308, IAM.0012.
	Throttle string `yaml:"throttle" json:"throttle"`
	// RetryAfter adds the header Retry-After to status 429.
	RetryAfter bool `yaml:"retry_after" json:"retry_after"`
	// COCPolicyName says how COC's policy is called: default (COCServiceAgencyDefaultPolicy), service
	// (COCServiceAgencyPolicy), both.
	COCPolicyName string `yaml:"coc_policy_name" json:"coc_policy_name"`
	// RMSPolicyName says how Config's read-only policy is called: rms (RMS ReadOnlyAccess), config
	// (Config ReadOnlyAccess), both.
	RMSPolicyName string `yaml:"rms_policy_name" json:"rms_policy_name"`
	// DuplicateDisplayName has every policy of COC's table exist under two ids.
	DuplicateDisplayName bool `yaml:"duplicate_display_name" json:"duplicate_display_name"`
	// TrustNameCase is how answers write the names of trusted service accounts: lower, upper (op_svc_COC), absent.
	TrustNameCase string `yaml:"trust_name_case" json:"trust_name_case"`
	// CreateTimeFormat is how IAM v3 writes times: no_zone (2024-09-02T06:11:27.000000), z (2024-09-02T06:11:27Z),
	// six_decimals (2024-09-02T06:11:27.000000Z).
	CreateTimeFormat string `yaml:"create_time_format" json:"create_time_format"`
	// UnlimitedDuration is how IAM v3 writes the duration of an agency that never ends: FOREVER, null.
	UnlimitedDuration string `yaml:"unlimited_duration" json:"unlimited_duration"`
	// PendingClosure is what an account of that status is for keys: open, closed.
	PendingClosure string `yaml:"pending_closure" json:"pending_closure"`
	// OrganizationReaders says who may read the organization: delegated (the management account and delegated
	// administrators), management (only it).
	OrganizationReaders string `yaml:"organization_readers" json:"organization_readers"`
	// LastMarker is how the next_marker of Organizations says that there is no more: null, absent, empty.
	LastMarker string `yaml:"last_marker" json:"last_marker"`
	// AgentOperator is where who may assume by IAM v3 may assume: iam, sts (by STS too).
	AgentOperator string `yaml:"agent_operator" json:"agent_operator"`
	// MetadataToken is what the metadata server does with tokens: required, optional, absent (it has none).
	MetadataToken string `yaml:"metadata_token" json:"metadata_token"`
	// TrustPrincipal is how trust policies write an account: account (its id), urn (iam::ID:root).
	TrustPrincipal string `yaml:"trust_principal" json:"trust_principal"`
}

package simcloud

import "time"

// The kinds of drift.
const (
	DriftGrant        = "grant"         // Account, Agency, Grant
	DriftRevoke       = "revoke"        // Account, Agency, Grant
	DriftAttach       = "attach"        // Account, Agency, Policy
	DriftDetach       = "detach"        // Account, Agency, Policy
	DriftCreateAgency = "create_agency" // Account, New
	DriftUpdateAgency = "update_agency" // Account, Agency, and any of Trust, ExpiresAt, Description
	DriftDeleteAgency = "delete_agency" // Account, Agency
	DriftSuspend      = "suspend"       // Account
	DriftResume       = "resume"        // Account
	DriftSettings     = "settings"      // Settings
)

// Drift is one change of the true state that no client made. It is visible at once and is not in the journal; neither
// blacklists nor quotas bind it, since service-made agencies carry what nobody could grant them.
type Drift struct {
	// Kind is one of the kinds of drift, whose comments say which of the other fields it takes.
	Kind string `json:"kind"`
	// Account and Agency are names or ids.
	Account string `json:"account,omitempty"`
	Agency  string `json:"agency,omitempty"`
	Grant   *Grant `json:"grant,omitempty"`
	// Policy is the display name or the id of an identity policy.
	Policy string `json:"policy,omitempty"`
	// New is the agency to create, with its grants and attachments.
	New   *Agency `json:"new,omitempty"`
	Trust *Trust  `json:"trust,omitempty"`
	// ExpiresAt is the new end of the agency; the zero time makes it valid for ever.
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	Description *string    `json:"description,omitempty"`
	// Settings replace all of the cloud's settings.
	Settings *Settings `json:"settings,omitempty"`
}

// Drift changes the true state. It changes nothing when it fails.
func (c *Cloud) Drift(d Drift) error { return nil }

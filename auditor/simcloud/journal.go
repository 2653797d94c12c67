package simcloud

import (
	"slices"
	"sync"
	"time"
)

// Write is one write that a client asked for and the cloud accepted.
type Write struct {
	Time      time.Time `json:"time"`
	AccountID string    `json:"account_id"`
	Account   string    `json:"account"`
	// Operation is the SDK's name of it.
	Operation string `json:"operation"`
	AgencyID  string `json:"agency_id,omitempty"`
	Agency    string `json:"agency,omitempty"`
	PolicyID  string `json:"policy_id,omitempty"`
	// Policy is the display name.
	Policy string `json:"policy,omitempty"`
	// Scope is global, all_resources, project, enterprise_project or identity; empty for writes of the agency itself.
	Scope string `json:"scope,omitempty"`
	// In is the id of the project or enterprise project.
	In string `json:"in,omitempty"`
	// Actor is user/NAME, or agency/NAME/SESSION for a temporary key.
	Actor     string `json:"actor"`
	RequestID string `json:"request_id"`
	// NoChange says that everything was already as asked for, and that the cloud accepted the write all the same.
	NoChange bool `json:"no_change,omitempty"`
}

// journal is the list of writes. The lock of the account that a write changes is held while it is added, so that the
// order of the journal is the order in which the writes of an account were applied.
type journal struct {
	mu     sync.Mutex
	writes []Write
}

func (j *journal) add(w Write) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = append(j.writes, w)
}

// Journal returns every write that was accepted, in the order in which they were applied. Drift is not in it, and
// neither are temporary keys, which change nothing.
func (c *Cloud) Journal() []Write {
	c.journal.mu.Lock()
	defer c.journal.mu.Unlock()
	return slices.Clone(c.journal.writes)
}

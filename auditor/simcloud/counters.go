package simcloud

// Counter counts the requests of one operation in one account.
type Counter struct {
	// AccountID and Account are empty for requests whose key is unknown.
	AccountID string `json:"account_id"`
	Account   string `json:"account"`
	// Operation is the SDK's name of it, or "unknown" for a path or method that the cloud does not have.
	Operation string `json:"operation"`
	// OK counts the answers below 400, Refused the others by status; status 0 is a connection that was reset.
	OK      int         `json:"ok"`
	Refused map[int]int `json:"refused,omitempty"`
}

// Counters returns what was counted since the start or the last ResetCounters, ordered by account and operation.
// Operations that were not asked for are left out.
func (c *Cloud) Counters() []Counter { return nil }

// ResetCounters sets all counters back to nothing.
func (c *Cloud) ResetCounters() {}

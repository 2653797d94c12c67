package simcloud

import (
	"cmp"
	"slices"
	"sync"
)

// Counter counts the requests of one operation in one account.
type Counter struct {
	// AccountID and Account are empty for requests whose key is unknown.
	AccountID string `json:"account_id"`
	Account   string `json:"account"`
	// Operation is the SDK's name of it, or "unknown" for a path or method that the cloud does not have.
	Operation string `json:"operation"`
	// OK counts the answers below 400, Refused the others by status; status 0 is a request that was not answered.
	OK      int         `json:"ok"`
	Refused map[int]int `json:"refused,omitempty"`
}

// counts are the answers of one account by operation and status.
type counts struct {
	mu sync.Mutex
	n  map[answered]int
}

// answered is the index of an operation (-1 for an unknown one) with a status.
type answered struct{ operation, status int16 }

func (k *counts) add(operation, status int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.n == nil {
		k.n = map[answered]int{}
	}
	k.n[answered{int16(operation), int16(status)}]++
}

func (k *counts) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n = nil
}

// Counters returns what was counted since the start or the last ResetCounters, in the order of the accounts and by name
// of the operation. Operations that were not asked for are left out.
func (c *Cloud) Counters() []Counter {
	out := c.strangers.list(c, nil)
	for _, a := range c.directory.Load().accounts {
		out = append(out, a.counts.list(c, a)...)
	}
	return out
}

func (k *counts) list(c *Cloud, a *account) []Counter {
	k.mu.Lock()
	defer k.mu.Unlock()
	rows := map[int16]*Counter{}
	for key, n := range k.n {
		row := rows[key.operation]
		if row == nil {
			row = &Counter{Operation: "unknown"}
			if key.operation >= 0 {
				row.Operation = c.operations[key.operation].name
			}
			if a != nil {
				row.AccountID, row.Account = a.id, a.name()
			}
			rows[key.operation] = row
		}
		if key.status > 0 && key.status < 400 {
			row.OK += n
			continue
		}
		if row.Refused == nil {
			row.Refused = map[int]int{}
		}
		row.Refused[int(key.status)] += n
	}
	var out []Counter
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(x, y Counter) int { return cmp.Compare(x.Operation, y.Operation) })
	return out
}

// ResetCounters sets all counters back to nothing.
func (c *Cloud) ResetCounters() {
	c.strangers.reset()
	for _, a := range c.directory.Load().accounts {
		a.counts.reset()
	}
}

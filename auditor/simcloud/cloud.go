package simcloud

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Cloud is a running simulation. Its methods may be called from many goroutines at once.
type Cloud struct {
	// Now is the cloud's clock: signatures, expiry, rate limits and delays go by it. Nil is the real clock. It is called
	// from many goroutines, and must be set before the first request.
	Now func() time.Time
	// Log receives what the HTTP servers complain about, failed handshakes for instance. Nil discards it. It must be set
	// before Start.
	Log *slog.Logger
}

// New makes a cloud of a copy of the organization: it derives the ids that are left out and resolves the names of
// policies, trusted accounts and projects. The error is a Problems with every fault of the organization.
func New(org *Organization) (*Cloud, error) { return nil, errors.New("simcloud: not built yet") }

// ServeHTTP is the cloud's port: everything that the real cloud serves under its various hosts.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// Control is the port of whoever steers the simulation; see docs/simcloud.md. It has no authentication.
func (c *Cloud) Control() http.Handler { return http.NotFoundHandler() }

// Organization returns a deep copy of the true state, with all ids filled in: every grant has its PolicyID and the
// display name, every trust its id, every project is listed. No read-after-write delay applies.
func (c *Cloud) Organization() *Organization { return nil }

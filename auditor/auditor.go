// Package auditor sweeps accounts: it has each one observed, has the evidence judged by package rules, and puts the
// outcome of all of them into one Run, which is what every output sees.
//
// It declares the small interfaces that it consumes and knows no SDK, no HTTP, no file and no screen.
package auditor

import (
	"context"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Inventory says which accounts there are.
type Inventory interface {
	// Accounts lists the accounts. An error means that nothing at all is known of them; it never means that there are fewer.
	Accounts(ctx context.Context) (Listing, error)
}

// Observer reads accounts. It is used by many goroutines at once.
type Observer interface {
	// Observe reads everything about the baseline's agency in one account and returns evidence, or an error that wraps a
	// *rules.Unknown. Where what it reads differs from the last evidence it asks a second witness. It returns soon after
	// ctx is done. Whatever happens in one account touches no other. The Trail is valid in both cases. The error is a *Postponed
	// when the account can be read at a later time that is known.
	Observe(ctx context.Context, account rules.Account, b rules.Baseline, last rules.Last) (rules.Evidence, Trail, error)
	// PolicyIDs returns, for each of the names, the ids of the system-defined policies that bear it on this site; a name
	// that does not exist has none. at is the instant until which that is known to be so. It fails with a *rules.Unknown
	// when no account could read the catalogue.
	PolicyIDs(ctx context.Context, names []string) (ids map[string][]string, at time.Time, err error)
	// Verify checks that the program's own identity, through which accounts are entered, is the configured one; without
	// such an identity it does nothing. It is called at the start of every run and fails with a *rules.Unknown. After a
	// failure Observe fails with the same error for every account that is entered through that identity, until a later
	// Verify succeeds; accounts with keys of their own are not affected. When it fails since the cloud asked for a pause, Observe
	// makes the check once that is over.
	Verify(ctx context.Context) error
}

// Postponed is the error of a sweep that the cloud asked to put off, for longer than a sweep should wait.
type Postponed struct {
	// Until is when the pause is over.
	Until time.Time
	Why   *rules.Unknown
}

// Error is that of Why.
func (p *Postponed) Error() string { return p.Why.Error() }

// Unwrap returns Why.
func (p *Postponed) Unwrap() error { return p.Why }

// Trail is what an observation cost.
type Trail struct {
	// Requests counts the HTTP requests sent for the account, tokens and shared catalogues left out.
	Requests int `json:"requests"`
}

// Progress is told how far a run is. It is called from many goroutines and must not block.
type Progress func(done, total int)

// Run is one occasion on which all accounts were swept: the one value that every output shows.
type Run struct {
	ID      string `json:"id"`
	Trigger string `json:"trigger"`
	// Program is the version of the program that made the run.
	Program   string    `json:"program"`
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	// Restricted says that only chosen accounts were read. Then no trust was compared with that of the whole fleet.
	Restricted bool `json:"restricted"`
	// Complete says that no account is unknown for want of reading.
	Complete bool `json:"complete"`
	// Suspect says in words why the run should not be acted on, see Suspicions; none when it may be. Its evidence stands.
	Suspect []string `json:"suspect,omitempty"`
	// Baselines are the baselines that the accounts were compared with.
	Baselines []rules.Baseline `json:"baselines"`
	// Waivers are what findings of the run were accepted by, whether they accepted any or not.
	Waivers []rules.Waiver `json:"waivers,omitempty"`
	// States counts the sweeps by state; every state is a key.
	States map[rules.State]int `json:"states"`
	// CatalogueAt is, by baseline, the instant until which the catalogue of policies that it was judged with is known to be
	// so; a baseline for which no catalogue could be read has none.
	CatalogueAt map[string]time.Time `json:"catalogue_at"`
	// Findings are about the whole run rather than one account.
	Findings []rules.Finding `json:"findings"`
	// Excluded are the accounts that were left alone on purpose, with the reason; Gone those that left the fleet with this run,
	// having been vanished for as long as the configuration says, or being of another organization than the one that is asked now.
	Excluded []Exclusion     `json:"excluded,omitempty"`
	Gone     []rules.Account `json:"gone,omitempty"`
	// Gaps say which source of accounts could not be listed whole. Then the run is not complete: accounts may be missing.
	Gaps []rules.Unknown `json:"gaps,omitempty"`
	// Notes say in words what is odd about the list of accounts, such as an entry of the configuration that fits none.
	Notes []string `json:"notes,omitempty"`
	// TagKeys are the keys of tags that the configuration chose for labels.
	TagKeys []string `json:"tag_keys,omitempty"`
	// Sweeps are ordered by account name, account id and agency name.
	Sweeps []Sweep `json:"sweeps"`
}

// Sweep is one pass over one agency of one account: observe, evaluate.
type Sweep struct {
	StartedAt time.Time    `json:"started_at"`
	EndedAt   time.Time    `json:"ended_at"`
	Trail     Trail        `json:"trail"`
	Report    rules.Report `json:"report"`
	// Planes are the readings that the report rests on; none without evidence or without agency.
	Planes []rules.Plane `json:"planes,omitempty"`
	// RequestIDs are the cloud's ids of the answers that say which agencies exist.
	RequestIDs []string `json:"request_ids,omitempty"`
	// Replayed says that the sweep comes from a history rather than from the cloud: it says what was known, and nothing may
	// be done on its account.
	Replayed bool `json:"replayed,omitempty"`
}

// HasEvidence says whether the sweep ended in evidence: it was judged, or what it read stands beside the reason for which
// it was not.
func (s *Sweep) HasEvidence() bool {
	return s.Report.State != rules.StateUnknown || len(s.Planes) > 0 || len(s.RequestIDs) > 0
}

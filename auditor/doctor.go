package auditor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Prober tries what it takes to read accounts, and changes nothing. It is used by many goroutines at once.
type Prober interface {
	// Verify is that of Observer.
	Verify(ctx context.Context) error
	// Probe tries everything that reading the account takes, and asks which of the agencies it has. It returns soon after ctx
	// is done, and always a Probe: what could not be tried says why.
	Probe(ctx context.Context, account rules.Account, agencies []string) Probe
	// Clock is how far this machine's clock is ahead of the cloud's, by the answers so far; known is false while no answer told.
	Clock() (ahead time.Duration, known bool)
}

// Tries are what a probe is made of, in the order in which they are made.
const (
	TryEnter = "enter" // having a key for the account
	TryWhose = "whose" // that key being one of this account
	TryRead  = "read"  // one of the permissions that reading takes
)

// Outcome is what came of a try.
type Outcome string

// The outcomes of tries.
const (
	TryOK      Outcome = "ok"
	TryFailed  Outcome = "failed"
	TryAbsent  Outcome = "absent"  // the site or the account has nothing to be read there
	TryUntried Outcome = "untried" // for a reason that Note says
)

// Try is one thing that was tried.
type Try struct {
	// What is one of the constants Try….
	What string
	// Operation, Action and IdentityAction are of a permission: the SDK's name of the request, and the action that it needs in
	// either language of policies.
	Operation, Action, IdentityAction string
	Outcome                           Outcome
	// Maybe says that an audit sends the request only if what it finds in the account calls for it.
	Maybe bool
	// Shared says that the answer to one account is good for all of them.
	Shared bool
	// Why says why it failed, and what to do about it; nil otherwise.
	Why *rules.Unknown
	// Note says why it was not tried, or what is absent.
	Note string
}

// Probe is what came of trying to read one account.
type Probe struct {
	Account rules.Account
	// Way is how the account is entered: keys, iam or sts.
	Way string
	// Tries are in the order in which they were made; every probe has the same.
	Tries []Try
	// Agencies says of each of the agencies whether the account has it; one about which that is not known is missing.
	Agencies map[string]bool
	// Throttled says that the cloud asked for fewer requests meanwhile.
	Throttled bool
	// Requests counts the requests that were sent for the account.
	Requests int
}

// Well says whether everything that was tried succeeded, and nothing was left untried for want of something else.
func (p *Probe) Well() bool {
	return !slices.ContainsFunc(p.Tries, func(t Try) bool { return t.Outcome == TryFailed }) &&
		!slices.ContainsFunc(p.Tries, func(t Try) bool { return t.What != TryRead && t.Outcome != TryOK })
}

// Readable says whether an audit could read the account as it is: nothing has failed that it needs in any case.
func (p *Probe) Readable() bool {
	return !slices.ContainsFunc(p.Tries, func(t Try) bool {
		return t.Outcome == TryFailed && !t.Maybe || t.What != TryRead && t.Outcome != TryOK
	})
}

// Diagnosis is what a doctor found out about all accounts.
type Diagnosis struct {
	Program            string
	StartedAt, EndedAt time.Time
	// Main says why the program's own identity is not the configured one, or cannot be asked about; nil when it is right, or
	// when there is none.
	Main *rules.Unknown
	// Account is that of the program's own key; empty when there is no such key.
	Account string
	// Chain is the agency between the program's own key and the accounts; nil when there is none.
	Chain *Chain
	// Ahead is how far this machine's clock is ahead of the cloud's, if ClockKnown.
	Ahead      time.Duration
	ClockKnown bool
	// Headroom is how much of the time that a run has its requests take by the configured rate.
	Headroom Headroom
	// Agencies are those of the baselines.
	Agencies []string
	// Restricted says that only chosen accounts were probed.
	Restricted bool
	// Probes are ordered by the account's name and id.
	Probes []Probe
	// Excluded are the accounts that were left alone on purpose; Gaps say which source of accounts could not be listed whole;
	// Notes say in words what is odd about the list.
	Excluded []Exclusion
	Gaps     []rules.Unknown
	Notes    []string
}

// Chain is an agency that the program's own key assumes, and by which everything else is done.
type Chain struct {
	// AccountID is the account that the agency is in, and Via the service that lets it be assumed: iam or sts.
	AccountID, Agency, Via string
}

// Headroom compares what a run asks of the cloud with what it may ask.
type Headroom struct {
	// Requests are those of a run in which nothing changed; PerSecond is how many may be sent, 0 for no limit.
	Requests  int
	PerSecond float64
	// Of is the time that a run has.
	Of time.Duration
}

// Takes is how long the requests take at least, by the rate alone.
func (h Headroom) Takes() time.Duration {
	if h.PerSecond == 0 {
		return 0
	}
	return time.Duration(float64(h.Requests) / h.PerSecond * float64(time.Second))
}

// Well says whether nothing stands in the way of an audit.
func (d *Diagnosis) Well() bool {
	return d.Main == nil && len(d.Gaps) == 0 && !slices.ContainsFunc(d.Probes, func(p Probe) bool { return !p.Well() })
}

// Diagnose probes every account of the inventory once. Whatever stands in the way of reading one of them is part of the Diagnosis, as is
// why no account is known at all. An error means that there is no diagnosis: chosen accounts are not there, or the inventory is broken.
func (a *Auditor) Diagnose(ctx context.Context, prober Prober, progress Progress) (*Diagnosis, error) {
	d := &Diagnosis{Program: a.Program, StartedAt: a.Now().UTC(), Restricted: a.Restricted}
	for i := range a.Baselines {
		d.Agencies = append(d.Agencies, a.Baselines[i].Agency)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, a.RunTimeout,
		fmt.Errorf("the time of %s for all accounts is over: %w", rules.Span(a.RunTimeout), context.DeadlineExceeded))
	defer cancel()
	err := a.guard(a.Logger, PlaceIdentity, "check of the program's own identity", func() error {
		ctx, cancel := context.WithTimeoutCause(ctx, a.AccountTimeout,
			fmt.Errorf("the time of %s for the check is over: %w", rules.Span(a.AccountTimeout), context.DeadlineExceeded))
		defer cancel()
		return prober.Verify(ctx)
	})
	if err != nil {
		d.Main = whyUnknown(err)
	}
	listing, err := a.Inventory.Accounts(ctx)
	if err != nil {
		why, ok := errors.AsType[*rules.Unknown](err)
		if !ok {
			return nil, fmt.Errorf("list the accounts: %w", err)
		}
		listing = Listing{Gaps: []rules.Unknown{*why}}
	}
	d.Excluded, d.Gaps, d.Notes = listing.Excluded, listing.Gaps, listing.Notes
	accounts := listing.Accounts
	d.Probes = make([]Probe, len(accounts))
	var mu sync.Mutex
	done := 0
	var wg sync.WaitGroup
	at := newPlaces(a.Concurrency, a.AccountTimeout)
	for i := range accounts {
		stay := at.take()
		wg.Go(func() {
			defer stay.leave()
			d.Probes[i] = a.probe(ctx, prober, accounts[i], d.Agencies)
			if progress != nil {
				mu.Lock()
				defer mu.Unlock()
				done++
				progress(done, len(accounts))
			}
		})
	}
	wg.Wait()
	for i := range listing.Vanished {
		why := &rules.Unknown{Reason: rules.ReasonVanished, Detail: listing.Vanished[i].Detail, Remedy: vanishedRemedy}
		d.Probes = append(d.Probes, Probe{
			Account: listing.Vanished[i].Account, Tries: []Try{{What: TryEnter, Outcome: TryFailed, Why: why}},
		})
	}
	slices.SortFunc(d.Probes, func(a, b Probe) int {
		return cmp.Or(cmp.Compare(a.Account.Name, b.Account.Name), cmp.Compare(a.Account.ID, b.Account.ID))
	})
	d.shared()
	d.Ahead, d.ClockKnown = prober.Clock()
	d.EndedAt = a.Now().UTC()
	return d, nil
}

// shared has it count what an audit asks one account for all of them, when none of them was told: no account that has an agency can
// be judged without.
func (d *Diagnosis) shared() {
	told := false
	each := func(do func(p *Probe, t *Try)) {
		for i := range d.Probes {
			for j := range d.Probes[i].Tries {
				do(&d.Probes[i], &d.Probes[i].Tries[j])
			}
		}
	}
	each(func(_ *Probe, t *Try) { told = told || t.Shared && t.Outcome == TryOK })
	each(func(p *Probe, t *Try) {
		if t.Shared && !told && slices.Contains(slices.Collect(maps.Values(p.Agencies)), true) {
			t.Maybe = false
		}
	})
}

// probe probes one account. Nothing that happens in it, a panic included, leaves it but as its outcome.
func (a *Auditor) probe(ctx context.Context, prober Prober, account rules.Account, agencies []string) Probe {
	ctx, cancel := context.WithTimeoutCause(ctx, a.AccountTimeout,
		fmt.Errorf("the account's time of %s is over: %w", rules.Span(a.AccountTimeout), context.DeadlineExceeded))
	defer cancel()
	var p Probe
	log := a.Logger.With("account", account.Name, "account_id", account.ID)
	err := a.guard(log, PlaceRead, "probing", func() error {
		p = prober.Probe(ctx, account, agencies)
		return nil
	})
	if err != nil {
		p = Probe{Tries: []Try{{What: TryEnter, Outcome: TryFailed, Why: whyUnknown(err)}}}
	}
	p.Account = account
	return p
}

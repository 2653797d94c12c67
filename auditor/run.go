package auditor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Auditor makes runs. Its fields are set once, before the first run; runs may be concurrent.
type Auditor struct {
	Inventory Inventory
	Observer  Observer
	Baselines []rules.Baseline
	// Waivers are what findings are accepted by.
	Waivers []rules.Waiver
	Logger  *slog.Logger
	// Now is the clock, in any zone.
	Now func() time.Time
	// Program is the version that the runs carry.
	Program string
	// Concurrency is how many sweeps may be under way at once, those left out that take much longer than the others: up to
	// four times as many of these go on beside them.
	Concurrency int
	// Restricted says that the inventory is of chosen accounts rather than of all.
	Restricted bool
	// Before is what was known before the run; nil when nothing was. What differs from its evidence needs a second witness,
	// and a run may differ from it so much that it is suspect.
	Before *Snapshot
	// Panicked is told where a bug in this program ended something, by one of the constants Place…, from many goroutines; nil tells nobody.
	Panicked func(where string)
	// RunTimeout bounds a whole run, AccountTimeout one sweep and the check of the program's own identity.
	RunTimeout, AccountTimeout time.Duration
}

// The places where a panic is survived, which Auditor.Panicked is told.
const (
	PlaceIdentity  = "identity"
	PlaceRead      = "read"
	PlaceCatalogue = "catalogue"
	PlaceJudge     = "judge"
)

// Run sweeps every account of the inventory once and returns what was found. An error means that there is no run at
// all, since the accounts are not known. An account that cannot be read is never an error, but unknown in the Run; so are
// the accounts that a deadline or a cancelled ctx left over.
//
// Everything is read before anything is judged, since the trust of one agency is compared with that of the others.
func (a *Auditor) Run(ctx context.Context, trigger string, progress Progress) (*Run, error) {
	run := &Run{
		ID: newID(), Trigger: trigger, Program: a.Program, StartedAt: a.Now().UTC(), Baselines: a.Baselines, Waivers: a.Waivers,
		Restricted: a.Restricted, Findings: []rules.Finding{}, CatalogueAt: map[string]time.Time{},
	}
	log := a.Logger.With("run", run.ID)
	ctx, cancel := context.WithTimeoutCause(ctx, a.RunTimeout,
		fmt.Errorf("the run's time of %s is over: %w", rules.Span(a.RunTimeout), context.DeadlineExceeded))
	defer cancel()
	if err := a.guard(log, PlaceIdentity, "check of the program's own identity", func() error { return a.verify(ctx) }); err != nil {
		// Every account entered through that identity says so itself; those with keys of their own are still read.
		log.Warn("the program's own identity was not confirmed", "err", err)
	}
	listing, err := a.Inventory.Accounts(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the accounts: %w", err)
	}
	run.take(listing)
	log.Info("run started", "trigger", trigger, "accounts", len(listing.Accounts), "excluded", len(listing.Excluded),
		"vanished", len(listing.Vanished))
	for _, gap := range listing.Gaps {
		log.Warn("a source of accounts could not be listed whole: accounts may be missing", "reason", gap.Reason,
			"detail", gap.Detail, "request_id", gap.RequestID)
	}
	for _, note := range listing.Notes {
		log.Warn("the list of accounts is odd", "note", note)
	}
	for _, gone := range listing.Gone {
		log.Warn("account gone: nobody lists it any more, and its series end", "account", gone.Name,
			"account_id", gone.ID)
	}
	a.left(log, listing.Excluded)

	jobs := a.observe(ctx, log, listing.Accounts, progress)
	jobs = append(jobs, a.vanished(log, listing.Vanished)...)
	a.judge(ctx, log, run, jobs)

	if run.Suspect = Suspicions(a.Before, run); len(run.Suspect) > 0 {
		log.Warn("the run is suspect: do not act on it before you know why", "reasons", run.Suspect)
	}
	run.EndedAt = a.Now().UTC()
	log.Info("run ended", "complete", run.Complete, "duration", run.EndedAt.Sub(run.StartedAt),
		"compliant", run.States[rules.StateCompliant], "drifted", run.States[rules.StateDrifted],
		"unknown", run.States[rules.StateUnknown], "not_enabled", run.States[rules.StateNotEnabled],
		"waived", run.States[rules.StateWaived])
	return run, nil
}

// verify checks the program's own identity, in the time that one account has: however long the cloud puts the check off, the
// accounts that can be read without that identity are read.
func (a *Auditor) verify(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, a.AccountTimeout,
		fmt.Errorf("the time of %s for the check is over: %w", rules.Span(a.AccountTimeout), context.DeadlineExceeded))
	defer cancel()
	return a.Observer.Verify(ctx)
}

// job is one sweep in the making.
type job struct {
	account  rules.Account
	baseline *rules.Baseline
	// before is what was known of the subject; nil when nothing was.
	before   *Standing
	sweep    Sweep
	evidence rules.Evidence
	why      *rules.Unknown
	// until is when the sweep is made again, since it was put off; zero when it is not.
	until time.Time
}

func (a *Auditor) observe(ctx context.Context, log *slog.Logger, accounts []rules.Account, progress Progress) []job {
	jobs := make([]job, 0, len(accounts)*len(a.Baselines))
	before := a.Before.index()
	for _, acct := range accounts {
		for i := range a.Baselines {
			b := &a.Baselines[i]
			jobs = append(jobs, job{account: acct, baseline: b, before: before[key{acct.ID, b.Agency}]})
		}
	}
	var mu sync.Mutex
	done := 0
	var wg sync.WaitGroup
	at := newPlaces(a.Concurrency, a.AccountTimeout)
	todo := make([]*job, len(jobs))
	for i := range jobs {
		todo[i] = &jobs[i]
	}
	// What was put off is made again, and then as long as some of it comes to an end.
	for n, repeat := 0, true; len(todo) > 0; n++ {
		for _, j := range todo {
			stay := at.take()
			wg.Go(func() {
				defer stay.leave()
				a.sweep(ctx, log, j, repeat)
				if progress != nil && j.until.IsZero() {
					mu.Lock()
					defer mu.Unlock()
					done++
					progress(done, len(jobs))
				}
			})
		}
		wg.Wait()
		before := len(todo)
		todo = slices.DeleteFunc(todo, func(j *job) bool { return j.until.IsZero() })
		repeat = n == 0 || len(todo) < before
		a.rest(ctx, log, todo)
	}
	return jobs
}

// rest waits until sweeps that were put off can be made, or the run is over. All others have ended before, so that nobody waits for it.
func (a *Auditor) rest(ctx context.Context, log *slog.Logger, todo []*job) {
	if len(todo) == 0 {
		return
	}
	last := slices.MaxFunc(todo, func(x, y *job) int { return x.until.Compare(y.until) })
	log.Info("the cloud asked for a pause, and sweeps are made when it is over", "sweeps", len(todo), "until", last.until.UTC(),
		"detail", last.why.Detail)
	timer := time.NewTimer(last.until.Sub(a.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// again returns when a sweep that was put off can be made; zero if it was not, or cannot be before the end of ctx.
func (a *Auditor) again(ctx context.Context, err error) time.Time {
	p, ok := errors.AsType[*Postponed](err)
	if end, bounded := ctx.Deadline(); !ok || ctx.Err() != nil || bounded && time.Until(end) <= p.Until.Sub(a.Now()) {
		return time.Time{}
	}
	return p.Until
}

// guard runs one part of a run. A panic of it is its error, a *rules.Unknown: a bug in this program may cost one part,
// never the rest.
func (a *Auditor) guard(log *slog.Logger, where, doing string, do func() error) (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		// The value of a panic may hold anything, a credential too; its type and the stack's functions do not.
		log.Error("panic", "while", doing, "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		if a.Panicked != nil {
			a.Panicked(where)
		}
		err = &rules.Unknown{
			Reason: rules.ReasonPanic, Detail: "a bug in this program ended the " + doing,
			Remedy: "report it with the log's stack; the other accounts are not affected",
		}
	}()
	err = do()
	if u, ok := errors.AsType[*rules.Unknown](err); ok && u.Reason == rules.ReasonPanic && a.Panicked != nil {
		a.Panicked(where) // the observer survived it by itself
	}
	return err
}

// sweep observes one account. Nothing that happens in it, a panic included, leaves it but as its outcome. With repeat it may be put
// off.
func (a *Auditor) sweep(ctx context.Context, log *slog.Logger, j *job, repeat bool) {
	run := ctx
	before := j.why // of a sweep that was put off
	j.why, j.until = nil, time.Time{}
	log = log.With("account", j.account.Name, "account_id", j.account.ID, "agency", j.baseline.Agency)
	ctx, cancel := context.WithTimeoutCause(ctx, a.AccountTimeout,
		fmt.Errorf("the account's time of %s is over: %w", rules.Span(a.AccountTimeout), context.DeadlineExceeded))
	defer cancel()
	j.sweep.StartedAt = a.Now().UTC()
	err := a.guard(log, PlaceRead, "reading", func() error {
		switch {
		case ctx.Err() == nil:
		case before != nil:
			return before
		default:
			return &rules.Unknown{Reason: rules.ReasonTimeout, Detail: "not read: " + context.Cause(ctx).Error()}
		}
		evidence, trail, err := a.Observer.Observe(ctx, j.account, *j.baseline, j.before.last())
		j.sweep.Trail = trail
		if err == nil && evidence.Account().ID != j.account.ID {
			err = fmt.Errorf("the evidence is of account %q", evidence.Account().ID)
		}
		if err == nil {
			j.evidence = evidence
		}
		return err
	})
	j.sweep.EndedAt = a.Now().UTC()
	if err != nil {
		j.why = whyUnknown(err)
		if repeat {
			j.until = a.again(run, err)
		}
		if !j.until.IsZero() {
			return // there is more to come of it
		}
		log.Warn("account not read", "reason", j.why.Reason, "detail", j.why.Detail, "request_id", j.why.RequestID)
	}
}

// anyRead says whether an account was read for a baseline.
func anyRead(jobs []job, b *rules.Baseline) bool {
	return slices.ContainsFunc(jobs, func(j job) bool { return j.baseline == b && j.why == nil })
}

func (a *Auditor) judge(ctx context.Context, log *slog.Logger, run *Run, jobs []job) {
	now := a.Now().UTC()
	fleets := make(map[*rules.Baseline]*rules.Fleet, len(a.Baselines))
	run.Complete = len(run.Gaps) == 0
	for i := range a.Baselines {
		b := &a.Baselines[i]
		fleet := &rules.Fleet{}
		err := a.guard(log, PlaceCatalogue, "reading of the catalogue", func() (err error) {
			fleet.PolicyIDs, run.CatalogueAt[b.Name], err = a.Observer.PolicyIDs(ctx, policyNames(b))
			return err
		})
		if err != nil {
			fleet.PolicyIDs = nil
			level := slog.LevelWarn
			if !anyRead(jobs, b) {
				level = slog.LevelInfo // it follows from what each account was logged for
			}
			log.Log(ctx, level, "catalogue of policies not read", "baseline", b.Name, "err", err)
		}
		if fleet.PolicyIDs == nil {
			delete(run.CatalogueAt, b.Name)
		}
		fleets[b] = fleet
		run.Findings = append(run.Findings, rules.Unresolvable(*b, *fleet)...)
	}
	for i := range jobs {
		fleets[jobs[i].baseline].CountTrust(*jobs[i].baseline, jobs[i].evidence)
	}
	run.States = make(map[rules.State]int, len(rules.States()))
	for _, s := range rules.States() {
		run.States[s] = 0
	}
	run.Sweeps = make([]Sweep, 0, len(jobs))
	for i := range jobs {
		j := &jobs[i]
		if j.why == nil {
			err := a.guard(log.With("account", j.account.Name, "account_id", j.account.ID), PlaceJudge, "judging", func() error {
				j.sweep.Report = rules.Evaluate(*j.baseline, j.evidence, *fleets[j.baseline], now)
				rules.Accept(&j.sweep.Report, a.Waivers, now)
				j.sweep.share(j.before)
				j.sweep.Planes = j.evidence.Planes()
				j.sweep.RequestIDs = j.evidence.RequestIDs()
				return nil
			})
			if err != nil {
				j.why = whyUnknown(err)
			}
		}
		j.evidence = rules.Evidence{} // judged: its memory is wanted for the rest
		if j.why != nil {
			j.sweep.Report = rules.Undecided(*j.baseline, j.account, j.why)
		}
		run.States[j.sweep.Report.State]++
		if dark(&j.sweep.Report) {
			run.Complete = false
		}
		run.Sweeps = append(run.Sweeps, j.sweep)
	}
	slices.SortFunc(run.Sweeps, func(a, b Sweep) int {
		return cmp.Or(
			cmp.Compare(a.Report.Account.Name, b.Report.Account.Name),
			cmp.Compare(a.Report.Account.ID, b.Report.Account.ID),
			cmp.Compare(a.Report.AgencyName, b.Report.AgencyName),
			cmp.Compare(a.Report.Baseline, b.Report.Baseline),
		)
	})
}

// share has a sweep hold what is known of the required grants in common with the last evidence if that was the same. Both are kept
// for as long as there is no newer evidence, of every account.
func (s *Sweep) share(before *Standing) {
	if before == nil || before.Evidence == nil {
		return
	}
	was := before.Evidence.Report.Required
	if slices.EqualFunc(was, s.Report.Required, func(a, b rules.Covered) bool {
		return a.Policy == b.Policy && a.Scope == b.Scope && a.Coverage == b.Coverage && slices.Equal(a.By, b.By) &&
			slices.Equal(a.PolicyIDs, b.PolicyIDs)
	}) {
		s.Report.Required = was
	}
}

// Drifted says whether an account is drifted.
func (r *Run) Drifted() bool { return r.States[rules.StateDrifted] > 0 }

// Whole says whether every account is known and could be judged, by baselines that can be. A run that is not whole answers
// only in part.
func (r *Run) Whole() bool {
	return r.States[rules.StateUnknown] == 0 && len(r.Gaps) == 0 &&
		!slices.ContainsFunc(r.Findings, func(f rules.Finding) bool { return f.Severity.Drift() })
}

func policyNames(b *rules.Baseline) []string {
	var names []string
	for _, r := range b.Required {
		names = append(append(names, r.Policy), r.Accepts...)
	}
	return names
}

// whyUnknown makes an Unknown of any error. One that the observer did not classify counts as a rejected answer.
func whyUnknown(err error) *rules.Unknown {
	if u, ok := errors.AsType[*rules.Unknown](err); ok {
		return u
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &rules.Unknown{Reason: rules.ReasonTimeout, Detail: err.Error()}
	}
	return &rules.Unknown{Reason: rules.ReasonRejected, Detail: err.Error()}
}

// newID returns 16 random hexadecimal digits.
func newID() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, as crypto/rand promises
	return fmt.Sprintf("%x", b)
}

package remedy

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Mode says how far repair goes.
type Mode string

// The modes.
const (
	// ModeOff is that nothing is even proposed.
	ModeOff Mode = "off"
	// ModePlan is that plans are shown, and nothing can be carried out.
	ModePlan Mode = "plan"
	// ModeApprove is that what a person approved is carried out.
	ModeApprove Mode = "approve"
	// ModeAuto is that plans are carried out as they are made.
	ModeAuto Mode = "auto"
)

// Modes returns them, the safest first.
func Modes() []Mode { return []Mode{ModeOff, ModePlan, ModeApprove, ModeAuto} }

// Acts says whether anything can be carried out.
func (m Mode) Acts() bool { return m == ModeApprove || m == ModeAuto }

// Policy is how repair is configured.
type Policy struct {
	Mode   Mode
	May    rules.Repairs
	Limits Limits
	// Open says whether changes may be made at an instant; nil is always.
	Open func(now time.Time) bool
	// Stopped says why the kill switch is on; empty while it is off. nil is that there is none.
	Stopped func() string
	// Settle is how long the cloud may take to show a change, CoolDown how long an account is left alone after a failure.
	Settle, CoolDown time.Duration
	// ApprovalExpires is how long an approval counts. People are the keys of those who may approve, by name; without any, whoever
	// reaches the program may.
	ApprovalExpires time.Duration
	People          map[string]ed25519.PublicKey
}

// Job is what the engine works on after a run.
type Job struct {
	// Snapshot is what is known after the run, and Latest what is known now: a run may end while something is carried out, or while
	// that waits for its turn. nil is that no run can.
	Snapshot *auditor.Snapshot
	Latest   func() *auditor.Snapshot
	Policy   Policy
	// Reader reads accounts again, by the identity that cannot write.
	Reader auditor.Observer
	// ReadTimeout bounds one reading; 0 is that nothing does but the caller's context.
	ReadTimeout time.Duration
	// Appliers are by what they do; what is not there cannot be done.
	Appliers map[rules.Action]auditor.Applier
	// Over says why nothing is begun by this Job any more, such as another configuration that waits; empty while it may be. nil is never.
	Over func() string
	// Skew is how far this machine's clock is ahead of the cloud's, if that is known; nil is that it is not.
	Skew func() (ahead time.Duration, known bool)
}

// Journal is the ledger as the engine uses it.
type Journal interface {
	// Append adds an entry and returns it as it was written. When it returns without error, the entry is durable.
	Append(Entry) (Entry, error)
	// Err says why nothing can be appended any more; nil while something can.
	Err() error
}

// Clock is the time.
type Clock interface {
	Now() time.Time
	// Sleep waits, or until ctx is done, the error of which it then returns.
	Sleep(ctx context.Context, d time.Duration) error
}

// Meter counts what repair does.
type Meter interface {
	// Blocked counts that something was not carried out, for a reason of rules.Holds.
	Blocked(why rules.Hold)
	// Stepped counts an outcome.
	Stepped(action rules.Action, outcome Outcome)
	// AppendFailed counts that the ledger could not be written.
	AppendFailed()
	// Panicked counts a bug that was survived.
	Panicked(where string)
}

// Options are what New needs; all but Log are required, Journal and State from ModeApprove on.
type Options struct {
	// Journal is the ledger, and State what follows from its entries; both nil in the modes in which nothing is carried out.
	Journal Journal
	State   *State
	Clock   Clock
	Meter   Meter
	Log     *slog.Logger
	// Self is who the ledger says did what the engine does of itself: Daemon, which it is when it is empty, or Command.
	Self string
}

// Engine plans, guards and carries out. Its methods may be called by many goroutines; what carries steps out does so one after the other.
type Engine struct {
	journal Journal
	clock   Clock
	meter   Meter
	log     *slog.Logger
	self    string

	turn sync.Mutex // held while something is carried out
	// seen is when the reading began that first showed each excess grant, by target, with no evidence since that did not. It is the
	// program's own, not the ledger's: a restart begins it anew. turn guards it.
	seen map[string]time.Time

	mu    sync.Mutex // guards what follows, and is held for moments and for as long as the ledger takes
	state *State
	// halted says why nothing is carried out any more until a restart, over and above what the ledger says; empty if it may be.
	halted string
	policy Policy
	plan   *Plan // the last one
	fleet  int
	// counted is by what was held at the last plan, so that what is held for days is counted once.
	counted map[string]bool
	// ended are the intents that ended since a plan began to be carried out.
	ended []Done
}

// New makes an engine. It reads and writes nothing.
func New(o Options) *Engine {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.State == nil {
		o.State = NewState()
	}
	return &Engine{
		journal: o.Journal, state: o.State, clock: o.Clock, meter: o.Meter, log: o.Log, self: cmp.Or(o.Self, Daemon), seen: map[string]time.Time{},
		counted: map[string]bool{},
	}
}

var errNoLedger = errors.New("there is no ledger: it is in state_dir, if remediation.mode is not off")

// closed says why there is no ledger to write; nil when there is one. The caller holds mu.
func (e *Engine) closed() error {
	switch {
	case e.journal != nil:
		return nil
	case e.halted != "":
		return errors.New(e.halted)
	}
	return errNoLedger
}

// append writes an entry down and takes it into account. The caller holds mu.
func (e *Engine) append(entry Entry) (Entry, error) {
	if err := e.closed(); err != nil {
		return entry, err
	}
	entry.Time = e.clock.Now().UTC()
	written, err := e.journal.Append(entry)
	if err != nil {
		e.meter.AppendFailed()
		if errors.Is(err, ErrBroken) {
			e.log.Error("the ledger cannot be written: nothing is repaired until the program was started again and has read it", "err", err)
		} else {
			e.log.Error("an entry of the ledger was not written", "kind", entry.Kind, "err", err)
		}
		return entry, fmt.Errorf("write the ledger: %w", err)
	}
	passing("acknowledged", entry.Kind)
	e.state.Add(written)
	return written, nil
}

// note is append for whoever does not hold mu.
func (e *Engine) note(entry Entry) (Entry, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.append(entry)
}

// Start writes down that a process took the ledger over, so that it is known of every entry which version wrote it, and closes the intents
// of which no request was ever sent.
func (e *Engine) Start(version string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, err := e.append(Entry{Kind: KindStarted, Actor: e.self, Reason: "agencyaudit " + version}); err != nil {
		return err
	}
	for _, o := range e.state.intents() {
		if o.SentAt.IsZero() {
			if err := e.end(o, OutcomeNotSent, auditor.Answer{}, nil, "the program ended before the request was sent"); err != nil {
				return err
			}
		}
	}
	return nil
}

// end writes down what became of an intent. The caller holds mu.
func (e *Engine) end(o *Open, outcome Outcome, a auditor.Answer, readIDs []string, reason string) error {
	step := o.Step
	_, err := e.append(Entry{
		Kind: KindOutcome, Actor: e.self, Run: o.Run, Plan: o.Plan, Intent: o.Intent, Outcome: outcome, Said: string(a.Said),
		RequestID: a.RequestID, ReadIDs: readIDs, Reason: reason,
	})
	if err != nil {
		return err
	}
	e.meter.Stepped(step.Action, outcome)
	if n := len(e.state.last); n > 0 {
		e.ended = append(e.ended, e.state.last[n-1])
	}
	level := slog.LevelInfo
	if outcome != OutcomeDone && outcome != OutcomeNoop {
		level = slog.LevelWarn
	}
	e.log.Log(context.Background(), level, "a step ended", "outcome", outcome, "action", step.Action, "account", step.Account,
		"account_id", step.AccountID, "agency", step.Agency, "policy", nameOf(step.Grant.Policy), "policy_id", step.Grant.Policy.ID,
		"scope", step.Grant.Scope.String(),
		"request_id", a.RequestID, "intent", o.Intent, "reason", reason)
	return nil
}

// Freeze stops all repair until somebody lifts that. It does not wait for what is carried out: that ends before its next request.
func (e *Engine) Freeze(actor, reason string) error {
	return e.freeze(Entry{Actor: actor, Reason: reason})
}

func (e *Engine) freeze(entry Entry) error {
	entry.Kind = KindFrozen
	_, err := e.note(entry)
	if err == nil {
		e.log.Warn("repair is frozen", "by", entry.Actor, "reason", entry.Reason)
	}
	return err
}

// Unfreeze lifts it.
func (e *Engine) Unfreeze(actor, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state.frozen == nil {
		return errors.New("repair is not frozen")
	}
	if _, err := e.append(Entry{Kind: KindUnfrozen, Actor: actor, Reason: reason}); err != nil {
		return err
	}
	e.log.Warn("repair is no longer frozen", "by", actor, "reason", reason)
	return nil
}

// Release lifts the quarantines of an account, by its id, and ends its cooling down. It is refused for as long as a grant of the account was
// written as often within a day as one may be.
func (e *Engine) Release(accountID, actor, reason string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if until := e.state.spent(accountID, e.clock.Now()); !until.IsZero() {
		return fmt.Errorf("a grant of the account %s was written, or tried, %d times within a day, which nobody can lift: the next run would leave it "+
			"alone again; lift what stands still there after %s, or see to the account by hand", accountID, writesOfAGrant, until.UTC().Format(time.RFC3339))
	}
	held := e.state.failures[accountID].n > 0
	for _, q := range e.state.quarantine {
		held = held || q.AccountID == accountID
	}
	if !held {
		return fmt.Errorf("of the account %s nothing is quarantined or cooling down; `agencyaudit plan` says what is held back, and why", accountID)
	}
	_, err := e.append(Entry{Kind: KindReleased, Actor: actor, AccountID: accountID, Reason: reason})
	return err
}

// stopped says why nothing at all may be carried out now; empty when something may be.
func (e *Engine) stopped(job *Job, now time.Time) (rules.Hold, string) {
	killed := job.killed()
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.holds(job, killed, now)
}

// killed says why the kill switch is on. To look may take as long as a disk likes, so that no lock may be held.
func (j *Job) killed() string {
	if j.Policy.Stopped == nil {
		return ""
	}
	return j.Policy.Stopped()
}

// holds is stopped for whoever holds mu.
func (e *Engine) holds(job *Job, killed string, now time.Time) (rules.Hold, string) {
	if e.halted != "" {
		return rules.HoldLedger, e.halted
	}
	if e.journal != nil {
		if err := e.journal.Err(); err != nil {
			return rules.HoldLedger, err.Error()
		}
	}
	if f := e.state.frozen; f != nil {
		return rules.HoldFrozen, fmt.Sprintf("since %s, by %s: %s; `agencyaudit unfreeze` lifts it", f.Since.UTC().Format(time.RFC3339), f.By, f.Reason)
	}
	if killed != "" {
		return rules.HoldSwitch, killed
	}
	if job.Over != nil {
		if why := job.Over(); why != "" {
			return rules.HoldStopped, why
		}
	}
	known := job.known()
	if why := tooDark(known, now); why != "" {
		return rules.HoldIncomplete, why
	}
	if run := known.Run; len(run.Suspect) > 0 {
		return rules.HoldSuspect, run.Suspect[0]
	}
	if job.Skew != nil {
		if ahead, known := job.Skew(); known && ahead.Abs() > MaxSkew {
			return rules.HoldSkew, fmt.Sprintf("by %s; set this machine's clock", rules.Span(ahead.Abs().Round(time.Second)))
		}
	}
	if job.Policy.Open != nil && !job.Policy.Open(now) {
		return rules.HoldWindow, "remediation.windows says when it is"
	}
	return "", ""
}

// Halt has nothing carried out until the program is started again, and says why: for what makes the ledger doubtful beyond what it
// knows itself.
func (e *Engine) Halt(why string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.halted = why
	e.log.Error("nothing is repaired until this is cleared up", "reason", why)
}

// standing is a subject with what of it a plan may rest on: that of the last run.
func fresh(s *auditor.Snapshot, st *auditor.Standing, now time.Time) bool {
	state, _ := st.At(now, s.MaxAge)
	return state != rules.StateUnknown && st.Last != nil && st.Last == st.Evidence && !st.Last.Replayed && s.Run != nil
}

// look takes note of which excess grants the run saw. The caller holds turn.
//
// One that was not seen before counts from now on, which is later than its reading: the clock may have been set in between. While the
// clock is known to be wrong, nothing counts that was not seen before.
func (e *Engine) look(s *auditor.Snapshot, skewed bool, now time.Time) {
	next := make(map[string]time.Time, len(e.seen))
	for i := range s.Standings {
		st := &s.Standings[i]
		if st.Evidence == nil {
			continue
		}
		agency := st.Evidence.Report.Agency
		if agency == nil {
			continue
		}
		for j := range st.Findings {
			f := &st.Findings[j]
			if f.Rule != rules.RuleExcess && f.Rule != rules.RuleImpostor {
				continue
			}
			for _, g := range f.Grants {
				t := target(st.Account.ID, agency.ID, g)
				was, known := e.seen[t]
				switch {
				case known && was.Before(now):
					next[t] = was
				case !skewed:
					next[t] = now
				}
			}
		}
	}
	e.seen = next
}

func target(accountID, agencyID string, g rules.Grant) string {
	return (&rules.Step{AccountID: accountID, AgencyID: agencyID, Grant: g}).Target()
}

// propose makes the plan that follows from what is known. The caller holds turn.
func (e *Engine) propose(job *Job, now time.Time) *Plan {
	s := job.Snapshot
	p := &Plan{CreatedAt: now.UTC(), RequestedBy: Daemon, Ledger: e.ledger(), Steps: []rules.Step{}}
	if s.Run != nil {
		p.Run, p.RunEndedAt = s.Run.ID, s.Run.EndedAt
	}
	accounts := map[string]bool{}
	p.Unread = unread(s, nil, now)
	waivers := waiversOf(s)
	for i := range s.Standings {
		st := &s.Standings[i]
		accounts[st.Account.ID] = true
		if !fresh(s, st, now) {
			continue
		}
		b := baselineOf(s, st)
		if b == nil {
			continue
		}
		report := st.Last.Report
		report.Findings = accepted(st, waivers, now)
		agencyID := ""
		if report.Agency != nil {
			agencyID = report.Agency.ID
		}
		steps, held := rules.Propose(rules.Case{
			Baseline: b, Report: &report, Planes: st.Last.Planes, ReadAt: st.ReadAt(),
			Since: func(g rules.Grant) time.Time { return e.since(st, target(st.Account.ID, agencyID, g), g) },
		}, job.Policy.May, now)
		p.Steps, p.Held = append(p.Steps, steps...), append(p.Held, held...)
	}
	p.Fleet = len(accounts)
	slices.SortStableFunc(p.Steps, func(a, b rules.Step) int { return rules.CompareSteps(&a, &b) })
	p.Steps, p.Held = e.sift(p, job, now)
	p.seal()
	p.Stopped, p.Detail = e.stopped(job, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	p.Over = job.Policy.Limits.exceeds(p, e.state, p.Fleet, now)
	return p
}

// waiversOf are those in force, and those that the last run judged by.
func waiversOf(s *auditor.Snapshot) []rules.Waiver {
	if s.Run == nil {
		return s.Waivers
	}
	return slices.Concat(s.Waivers, s.Run.Waivers)
}

// accepted are the findings of a standing, with what is accepted now: a clock that was wrong when the run judged them has none of them
// repaired.
func accepted(st *auditor.Standing, waivers []rules.Waiver, now time.Time) []rules.Finding {
	again := rules.Accepted(st.Account, st.Baseline, st.Findings, waivers, now)
	for i := range again {
		if again[i].Waived == nil && st.Findings[i].Waived != nil { // then it is a copy
			again[i].Waived = st.Findings[i].Waived
		}
	}
	return again
}

// unread counts the accounts, of those with these names or ids or of all of them, of which the last run does not know everything.
func unread(s *auditor.Snapshot, accounts []string, now time.Time) int {
	dark := map[string]bool{}
	for i := range s.Standings {
		if st := &s.Standings[i]; !fresh(s, st, now) && chosen(accounts, st.Account.ID, st.Account.Name) {
			dark[st.Account.ID] = true
		}
	}
	return len(dark)
}

// since is when the reading began that first showed a grant, with no evidence since that did not: as far as this program saw it, and not
// before the finding that it is part of, of which the snapshot knows also in the runs after which nothing was repaired.
func (e *Engine) since(st *auditor.Standing, target string, g rules.Grant) time.Time {
	at, known := e.seen[target]
	if !known {
		return time.Time{}
	}
	for i := range st.Findings {
		f := &st.Findings[i]
		if (f.Rule == rules.RuleExcess || f.Rule == rules.RuleImpostor) && f.PolicyID == g.Policy.ID && f.Scope == g.Scope.Kind {
			if found := st.Since(f); found.After(at) {
				at = found
			}
		}
	}
	return at
}

// ledger is by what the ledger is told from another one.
func (e *Engine) ledger() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state.ledger
}

// sift takes out of a plan the steps that have to wait, with the reasons.
func (e *Engine) sift(p *Plan, job *Job, now time.Time) (steps []rules.Step, held []rules.Held) {
	readAt := map[string]time.Time{}
	for i := range job.Snapshot.Standings {
		if len(p.Steps) == 0 {
			break
		}
		st := &job.Snapshot.Standings[i]
		readAt[st.Account.ID+":"+st.Agency] = st.ReadAt()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	steps, held = make([]rules.Step, 0, len(p.Steps)), p.Held
	for i := range p.Steps {
		step := &p.Steps[i]
		why, detail := e.waits(step, job.Policy, readAt[agencyKey(step)], now)
		if why == "" {
			steps = append(steps, *step)
			continue
		}
		if detail == fought {
			p.fights = append(p.fights, *step)
		}
		held = append(held, rules.Held{
			AccountID: step.AccountID, Account: step.Account, Agency: step.Agency, Baseline: step.Baseline, Action: step.Action,
			Policy: step.Grant.Policy.Name, PolicyID: step.Grant.Policy.ID, Scope: step.Grant.Scope.Kind, Reason: why, Detail: detail,
		})
	}
	return steps, held
}

// fought is why a grant is quarantined that somebody else undoes.
const fought = "it was written twice within a day, and a third time would be a fight: with another tool, with somebody else, or with an undo"

// waits says why a step is not to be carried out now, by what the ledger knows. The caller holds mu.
func (e *Engine) waits(step *rules.Step, p Policy, readAt, now time.Time) (rules.Hold, string) {
	t := step.Target()
	if q, ok := e.state.quarantine[t]; ok {
		from := "lifts it"
		if until := e.state.spent(step.AccountID, now); !until.IsZero() {
			from = "lifts it after " + until.UTC().Format(time.RFC3339)
		}
		return rules.HoldQuarantine, fmt.Sprintf("since %s: %s; `agencyaudit unfreeze --account %s --reason TEXT` %s", q.Since.UTC().Format(time.RFC3339),
			q.Reason, step.AccountID, from)
	}
	if why, detail := e.settling(step.AccountID, readAt); why != "" {
		return why, detail
	}
	if until := e.state.cooling(step.AccountID, p.CoolDown); now.Before(until) {
		return rules.HoldCooling, "until " + until.UTC().Format(time.RFC3339)
	}
	switch all, effective, first := e.state.written(flips(step), now); {
	case effective >= writesOfAGrant:
		return rules.HoldQuarantine, fought
	case all >= writesOfAGrant:
		return rules.HoldCooling, fmt.Sprintf("it was tried %d times within a day, and is tried again from %s on", all,
			first.Add(day).UTC().Format(time.RFC3339))
	}
	return "", ""
}

// settling says why what was read of an account at an instant does not show yet what was done there; empty when it does. The caller holds mu.
func (e *Engine) settling(account string, readAt time.Time) (rules.Hold, string) {
	if e.state.busy(account) {
		return rules.HoldPending, "what came of the last step in the account is read first"
	}
	if readAt.Before(e.state.touched[account]) {
		return rules.HoldPending, "the account was not read since the last step in it: the next run does"
	}
	return "", ""
}

func baselineOf(s *auditor.Snapshot, st *auditor.Standing) *rules.Baseline {
	i := slices.IndexFunc(s.Baselines, func(b rules.Baseline) bool { return b.Name == st.Baseline })
	if i < 0 {
		return nil
	}
	return &s.Baselines[i]
}

// AfterRun settles what is open, makes the plan that follows from a run, and carries it out as far as the mode says. It is called
// after each committed run. The error is one of the ledger, with which nothing more is carried out.
func (e *Engine) AfterRun(ctx context.Context, job Job) error {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.mu.Lock()
	e.policy = job.Policy
	e.mu.Unlock()
	// What a run saw counts in every mode: what was gone meanwhile is not as old as it looks.
	e.look(job.Snapshot, job.skewed(), e.clock.Now())
	if job.Policy.Mode != ModeApprove {
		e.waitsNot()
	}
	failed := e.settle(ctx, &job) // in every mode: what was sent before repair was turned off is read as well
	if job.Policy.Mode == ModeOff {
		e.show(nil)
		return failed
	}
	now := e.clock.Now()
	p := e.propose(&job, now)
	e.show(p)
	e.count(p)
	if failed != nil || !job.Policy.Mode.Acts() {
		return failed
	}
	if err := e.fighting(p); err != nil {
		return err
	}
	if e.setback() {
		if len(p.Steps) > 0 {
			e.meter.Blocked(rules.HoldStopped)
			e.log.Warn("repair waits for the next run: what is settled only now has failed", "steps", len(p.Steps))
		}
		return nil
	}
	switch job.Policy.Mode {
	case ModeAuto:
		if len(p.Steps) == 0 || p.Stopped != "" {
			return nil
		}
		_, err := e.carry(ctx, &job, p, p, 0, Daemon)
		return err
	case ModeApprove:
		return e.ask(ctx, &job, p, now)
	case ModeOff, ModePlan:
	}
	return nil
}

// waitsNot says that no plan waits for approval any more.
func (e *Engine) waitsNot() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.state.waiting)
}

// known is what is known now.
func (j *Job) known() *auditor.Snapshot {
	if j.Latest != nil {
		return j.Latest()
	}
	return j.Snapshot
}

// skewed says whether this machine's clock is known to differ too much from the cloud's.
func (j *Job) skewed() bool {
	if j.Skew == nil {
		return false
	}
	ahead, known := j.Skew()
	return known && ahead.Abs() > MaxSkew
}

// setback says whether something failed that was settled by this run.
func (e *Engine) setback() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.ContainsFunc(e.ended, func(d Done) bool { return d.Outcome == OutcomeFailed || d.Outcome == OutcomeUnverified })
}

// ask has a plan wait for approval, or carries out what was approved of it.
func (e *Engine) ask(ctx context.Context, job *Job, p *Plan, now time.Time) error {
	e.mu.Lock()
	approvals := e.state.inForce(job.Policy, now)
	_, waits := e.state.waiting[p.Digest]
	e.mu.Unlock()
	for _, a := range approvals {
		some := e.approvedOf(p, a)
		if len(some.Steps) == 0 {
			continue
		}
		if p.Stopped != "" {
			return nil // the approval stands until it ends
		}
		_, err := e.carry(ctx, job, some, p, a.seq, a.Actor)
		return err
	}
	switch {
	case len(p.Steps) == 0:
		e.waitsNot()
		return nil
	case waits:
		return nil
	}
	e.log.Warn("repair waits for approval", "plan", p.Digest, "steps", len(p.Steps))
	ids := p.ids()
	_, err := e.note(Entry{
		Kind: KindPlanned, Actor: e.self, Run: p.Run, Plan: p.Digest, Steps: len(p.Steps), Digests: ids[:min(len(ids), mostDigests)], Fleet: p.Fleet,
		Reason: "waits for approval",
	})
	return err
}

// approvedOf is the part of a plan that an approval covers. What is not in the plan any more has moved since, and is void.
func (e *Engine) approvedOf(p *Plan, a *approval) *Plan {
	some := *p
	some.Steps = slices.DeleteFunc(slices.Clone(p.Steps), func(s rules.Step) bool { return !slices.Contains(a.digests, s.ID()) })
	some.Digest = a.plan
	return &some
}

// fighting quarantines what was written again and again.
func (e *Engine) fighting(p *Plan) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range p.fights {
		step := &p.fights[i]
		if _, err := e.append(Entry{
			Kind: KindQuarantined, Actor: e.self, Target: step.Target(), AccountID: step.AccountID, Step: step, Reason: fought,
		}); err != nil {
			return err
		}
		e.log.Error("a repair was undone again and again: the grant is quarantined", "account", step.Account, "account_id", step.AccountID,
			"agency", step.Agency, "step", step.Short(), "policy_id", step.Grant.Policy.ID)
	}
	return nil
}

// show keeps the plan for people to see.
func (e *Engine) show(p *Plan) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.plan = p
	if p != nil {
		e.fleet = p.Fleet
	}
}

// count counts what is held, once for as long as it is held for the same reason.
func (e *Engine) count(p *Plan) {
	next := map[string]bool{}
	for i := range p.Held {
		h := &p.Held[i]
		if h.Reason == rules.HoldOff || h.Reason == rules.HoldWaived || h.Reason == rules.HoldNotListed {
			continue // as people said
		}
		next[string(h.Reason)+h.AccountID+h.Agency+string(h.Action)+h.Policy+h.PolicyID+string(h.Scope)] = true
	}
	if p.Stopped != "" && len(p.Steps) > 0 {
		next[string(p.Stopped)] = true
	}
	for i := range p.Held {
		h := &p.Held[i]
		if k := string(h.Reason) + h.AccountID + h.Agency + string(h.Action) + h.Policy + h.PolicyID + string(h.Scope); next[k] && !e.counted[k] {
			e.meter.Blocked(h.Reason)
		}
	}
	if p.Stopped != "" && len(p.Steps) > 0 && !e.counted[string(p.Stopped)] {
		e.meter.Blocked(p.Stopped)
		e.log.Warn("repair is held back", "reason", p.Stopped, "detail", p.Detail, "steps", len(p.Steps))
	}
	e.counted = next
}

// Status is what repair is at.
type Status struct {
	Mode Mode `json:"mode"`
	// Plan is what the last run led to; nil before the first, and in ModeOff.
	Plan *Plan `json:"plan,omitempty"`
	// Waiting is since when a plan waits for approval, by digest: one or none. One that was approved waits for no person.
	Waiting map[string]time.Time `json:"waiting,omitempty"`
	Frozen  *Freeze              `json:"frozen,omitempty"`
	// Open are the intents that are not settled, Pending how many of them are Claimed.
	Open    []Open `json:"open,omitempty"`
	Pending int    `json:"pending"`
	// Quarantined are the grants that are left alone, and Last the last outcomes, the newest last.
	Quarantined []Quarantine `json:"quarantined,omitempty"`
	Last        []Done       `json:"last,omitempty"`
	// Remaining is in how many accounts more something may be done now, by action.
	Remaining map[rules.Action]int `json:"remaining"`
	// Entries counts those of the ledger; Ledger says why it cannot be relied on, and is empty when it can, or when there is none.
	Entries int64  `json:"entries"`
	Ledger  string `json:"ledger,omitempty"`
}

// Status says what repair is at. It waits for nothing that is carried out.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.clock.Now()
	s := Status{
		Mode: e.policy.Mode, Plan: e.plan, Waiting: maps.Clone(e.state.waiting), Entries: e.state.entries,
		Last: slices.Clone(e.state.last), Remaining: map[rules.Action]int{},
		Quarantined: slices.SortedFunc(maps.Values(e.state.quarantine), func(a, b Quarantine) int { return a.Since.Compare(b.Since) }),
	}
	for _, a := range e.state.inForce(e.policy, now) {
		delete(s.Waiting, a.plan)
	}
	if f := e.state.frozen; f != nil {
		copied := *f
		s.Frozen = &copied
	}
	for _, o := range e.state.intents() {
		s.Open = append(s.Open, *o)
		if o.Claimed() {
			s.Pending++
		}
	}
	for _, a := range rules.Actions() {
		s.Remaining[a] = e.policy.Limits.remaining(a, e.state, e.fleet, now)
	}
	switch {
	case e.halted != "":
		s.Ledger = e.halted
	case e.journal != nil:
		if err := e.journal.Err(); err != nil {
			s.Ledger = err.Error()
		}
	}
	return s
}

// Attach gives an engine its ledger that had none. Nothing may be under way.
func (e *Engine) Attach(j Journal, s *State) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.journal, e.state = j, s
}

// Configure tells the engine how repair is configured, until the next Job does.
func (e *Engine) Configure(p Policy) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.policy = p
}

// Plan makes the plan that follows from what is known, and does nothing. With a requester it is that person's own: of the accounts with
// these names or ids, or of all of them when there are none.
func (e *Engine) Plan(job Job, requester string, accounts []string) *Plan {
	e.turn.Lock()
	defer e.turn.Unlock()
	e.Configure(job.Policy)
	now := e.clock.Now()
	p := e.propose(&job, now)
	e.show(p)
	if requester == "" {
		return p
	}
	own := p.By(requester, accounts)
	own.Unread = unread(job.Snapshot, accounts, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	own.Over = job.Policy.Limits.exceeds(&own, e.state, own.Fleet, now)
	return &own
}

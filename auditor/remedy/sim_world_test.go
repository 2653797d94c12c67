package remedy_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// canary stands for a secret that a bug might hold.
const canary = "SK-CANARY-7f3a"

// people are those who may approve, with their keys.
var people = map[string]ed25519.PrivateKey{
	"alice": ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32)), "bob": ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32)),
}

func publicKeys() map[string]ed25519.PublicKey {
	keys := map[string]ed25519.PublicKey{}
	for name, key := range people {
		keys[name] = key.Public().(ed25519.PublicKey)
	}
	return keys
}

// rates say how often something goes wrong.
type rates struct {
	unread, readPanic, torn, lag, write, meddle, ledger, kill, clock, person float64
}

var modes = map[string]rates{
	"calm":   {},
	"faulty": {unread: 0.005, torn: 0.02, lag: 0.03, write: 0.5, person: 0.05},
	"moving": {lag: 0.03, write: 0.1, meddle: 0.3, person: 0.05},
	"wild":   {unread: 0.005, readPanic: 0.001, torn: 0.01, lag: 0.05, write: 0.3, meddle: 0.1, ledger: 0.005, kill: 0.02, clock: 0.1, person: 0.1},
	"deadly": {write: 0.2, ledger: 0.01, kill: 0.05},
}

var modeNames = []string{"calm", "faulty", "moving", "wild", "deadly"}

// world is one organization with all that happens to it and to the program. Everything in it follows from the seed, and happens in one
// goroutine at a time, by a clock that is the world's own.
type world struct {
	seed   uint64
	r      *rand.Rand
	mode   string
	rates  rates
	now    time.Time
	offset time.Duration // of this machine's clock
	events int
	tally  *tally
	log    *slog.Logger
	logged bytes.Buffer

	cloud *cloud
	// What the cloud and the inventory are like in a run.
	unreadable map[string]bool
	lost       int
	gap        bool
	twice      string
	reverting  bool // somebody's Terraform undoes what is granted

	baseline rules.Baseline
	waivers  []rules.Waiver
	policy   remedy.Policy
	window   time.Duration // how long of each hour changes may be made; 0 is always
	stopped  bool          // the kill switch

	ledger   *ledger
	engine   *remedy.Engine
	snapshot *auditor.Snapshot
	run      *auditor.Run
	plans    []*remedy.Plan   // that people kept
	consents []remedy.Consent // that were given
	panics   int
	// What a test chooses instead of chance: the fault of a request, what happens while an account is read or waited for, and the place
	// at which the process dies or the ledger fails, counted down.
	fault         func(*rules.Step) string
	entering      func(*rules.Step) // what happens while an account is entered to be written to
	hook          func(*member)
	dieAt, failAt int
	failsDurably  bool
	restricted    bool        // the run is
	stays         bool        // the process does not end when the ledger failed
	shut          bool        // the window is
	todo          chan func() // the process, as long as it lives
	ended         chan bool

	oracle
}

func (w *world) event() int              { w.events++; return w.events }
func (w *world) local() time.Time        { return w.now.Add(w.offset) }
func (w *world) pause(d time.Duration)   { w.now = w.now.Add(d) }
func (w *world) count(what string)       { w.tally.count(what) }
func (w *world) happen(what string)      { w.tally.inWorld[what] = true }
func (w *world) fail(f string, a ...any) { w.wrong = append(w.wrong, fmt.Sprintf(f, a...)) }
func (w *world) one(of []string) string  { return of[w.r.IntN(len(of))] }
func (w *world) member() *member         { return w.cloud.members[w.r.IntN(len(w.cloud.members))] }

// clock is remedy.Clock.
type clock struct{ w *world }

func (c clock) Now() time.Time { return c.w.local() }

func (c clock) Sleep(ctx context.Context, d time.Duration) error {
	c.w.pause(d)
	c.w.meddle(c.w.member())
	return ctx.Err()
}

// meter is remedy.Meter.
type meter struct{ w *world }

func (m meter) Blocked(why rules.Hold) { m.w.count("blocked " + string(why)) }
func (m meter) Stepped(a rules.Action, o remedy.Outcome) {
	m.w.count("outcome " + string(o) + " of a " + string(a))
}
func (m meter) AppendFailed()         { m.w.count("append failed") }
func (m meter) Panicked(where string) { m.w.count("panic while " + where) }

func newWorld(seed uint64, t *tally) *world {
	w := &world{
		seed: seed, r: newRand(seed), now: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), tally: t, unreadable: map[string]bool{},
		baseline: rules.Baseline{
			Name: "coc", Digest: "digest", Service: "COC", Agency: agencyName, Trust: rules.Trust{Name: "op_svc_coc"},
			Risks: rules.RiskTable{Critical: []string{"Tenant Administrator"}, LowSuffixes: []string{"ReadOnlyAccess"}},
			Required: []rules.Requirement{
				{Policy: "IAM ReadOnlyAccess", Scope: rules.Global}, {Policy: "RMS ReadOnlyAccess", Scope: rules.Global},
				{Policy: "DCS UserAccess", Scope: rules.AllResources}, {Policy: "COCServiceAgencyDefaultPolicy", Scope: rules.AllResources},
			},
		},
	}
	w.log = slog.New(slog.DiscardHandler)
	if seed%32 == 0 {
		w.log = slog.New(slog.NewTextHandler(&w.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	w.mode = modeNames[w.r.IntN(len(modeNames))]
	w.rates = modes[w.mode]
	w.baseline.Trust.ID = w.one([]string{"", cocID})
	if w.chance(0.1) {
		w.baseline.Required = append(w.baseline.Required, rules.Requirement{Policy: "Tenant Administrator", Scope: rules.Global})
	}
	if w.chance(0.1) {
		w.twice = w.baseline.Required[w.r.IntN(4)].Policy
	}
	if w.chance(0.2) {
		w.baseline.Allowed = []rules.Allowance{{
			Selector: rules.Selector{Accounts: []string{"*"}}, Policy: "SFS ReadOnlyAccess", Scope: rules.Project, Owner: "o", Reason: "r",
		}}
	}
	if w.chance(0.2) {
		w.waivers = []rules.Waiver{{
			ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleMissing, rules.RuleExcess, rules.RuleTrustMismatch},
			Trusts: []string{strangerID}, Added: w.now.Add(-time.Hour), Expires: w.now.Add(w.between(time.Hour, 40*time.Hour)), Owner: "o", Reason: "r",
		}}
		if w.chance(0.5) {
			w.waivers[0].Policies = []string{"RMS ReadOnlyAccess", "obs"}
		}
	}
	w.reverting = w.rates.meddle > 0 && w.chance(0.3)
	w.settings()
	w.cloud = &cloud{w: w, byID: map[string]*member{}, readings: map[string]*reading{}, last: map[string]*reading{}}
	for i := range 1 + w.r.IntN(6) {
		w.join(i)
	}
	w.oracle.init(w)
	w.ledger = &ledger{w: w}
	if w.rates.kill > 0 {
		w.ledger.disk = &disk{}
	}
	w.start()
	return w
}

// join adds an account that is more or less as it should be.
func (w *world) join(i int) {
	m := &member{account: rules.Account{ID: fmt.Sprintf("account-%d", i), Name: fmt.Sprintf("name-%d", i)}}
	w.cloud.members, w.cloud.byID[m.account.ID] = append(w.cloud.members, m), m
	s := &state{since: w.now.Add(-time.Hour)}
	m.past = []*state{s}
	if w.chance(0.05) {
		return
	}
	m.made++
	s.agency, s.trust = "agency-1", cocID
	if i > 2 && w.chance(0.03) {
		s.trust = strangerID
	}
	if w.chance(0.1) {
		s.expires = w.now.Add(w.between(-time.Hour, 30*time.Hour))
	}
	held := []at{{rules.Global, "", "iam"}, {rules.Global, "", "rms"}, {rules.AllResources, "", "dcs"}, {rules.AllResources, "", "coc"}}
	for _, g := range held {
		if !w.chance(0.25) {
			s.held = s.with(g, true).held
		}
	}
	for w.chance(0.4) {
		s.held = s.with(w.anyGrant(), true).held
	}
}

func (w *world) anyGrant() at {
	kinds := rules.Planes()
	g := at{kind: kinds[w.r.IntN(len(kinds))], policy: policyIDs[w.r.IntN(len(policyIDs))]}
	if g.kind == rules.Project || g.kind == rules.EnterpriseProject {
		g.scope = fmt.Sprintf("p%d", w.r.IntN(3))
	}
	return g
}

// settings are those of the configuration, at first or after a reload.
func (w *world) settings() {
	p := remedy.Policy{
		Mode:   []remedy.Mode{remedy.ModeAuto, remedy.ModeAuto, remedy.ModeAuto, remedy.ModeApprove, remedy.ModeApprove, remedy.ModePlan, remedy.ModeOff}[w.r.IntN(7)],
		May:    rules.Repairs{Grant: !w.chance(0.1)},
		Limits: remedy.Limits{GrantAccounts: 1 + w.r.IntN(10), RevokeAccounts: 1 + w.r.IntN(8), FleetPercent: []int{5, 30, 100, 100}[w.r.IntN(4)], PolicyWrites: 1 + w.r.IntN(40)},
		Settle: 30 * time.Minute, CoolDown: time.Duration(1+w.r.IntN(3)) * 30 * time.Minute, ApprovalExpires: time.Duration(1+w.r.IntN(24)) * time.Hour,
		Open:    func(now time.Time) bool { return w.window == 0 || now.Sub(now.Truncate(time.Hour)) < w.window },
		Stopped: func() string { return map[bool]string{true: "the file is there"}[w.stopped] },
	}
	if !w.chance(0.15) {
		p.May.Revoke = &rules.Revocation{Grace: time.Duration(1+w.r.IntN(10)) * time.Hour}
		for _, id := range []string{"twin", "Tenant Guest", "obs", "own", "own1", "lost", "DCS UserAccess", "iam", "sfs"} {
			if w.chance(0.6) {
				p.May.Revoke.Policies = append(p.May.Revoke.Policies, id)
			}
		}
	}
	if w.chance(0.3) {
		p.People = publicKeys()
	}
	w.window = 0
	if w.chance(0.1) {
		w.window = w.between(time.Minute, time.Hour)
	}
	w.policy = p
}

// start begins a process over the ledger that there is.
func (w *world) start() {
	for {
		w.ledger.broken = nil
		st := remedy.NewState()
		if !w.ledger.open(st) {
			return
		}
		w.engine = remedy.New(remedy.Options{Journal: w.ledger, State: st, Clock: clock{w}, Meter: meter{w}, Log: w.log})
		w.engine.Configure(w.policy)
		w.snapshot = auditor.NewSnapshot(auditor.Subjects(w.accounts(), []rules.Baseline{w.baseline}), []rules.Baseline{w.baseline}, 40*time.Hour)
		w.run, w.committed = nil, map[string]*reading{}
		var err error
		if !w.alive(func() { err = w.engine.Start("v1") }) || err != nil {
			w.count("start failed")
			continue
		}
		return
	}
}

func (w *world) accounts() []rules.Account {
	list := make([]rules.Account, len(w.cloud.members))
	for i, m := range w.cloud.members {
		list[i] = m.account
	}
	return list
}

// alive does something that may end the process, as kill -9 does; then it says no.
func (w *world) alive(do func()) bool {
	if w.todo == nil {
		w.todo, w.ended = make(chan func()), make(chan bool)
		go func() {
			defer func() { w.ended <- false }()
			for do := range w.todo {
				do()
				w.ended <- true
			}
			runtime.Goexit()
		}()
	}
	w.todo <- do
	if !<-w.ended {
		w.todo = nil
		return false
	}
	return true
}

// over ends what stands for the process.
func (w *world) over() {
	if w.todo != nil {
		close(w.todo)
		<-w.ended
	}
}

// act is what a person has the process do.
func (w *world) act(do func()) {
	if !w.alive(do) {
		w.start()
	}
}

// mayDie is a place where the process may be killed. Deferred calls of the program run, which only let go of locks.
func (w *world) mayDie(where string) {
	if w.dieAt > 0 {
		w.dieAt--
	}
	if w.chance(w.rates.kill) || w.dieAt == 1 {
		w.count("killed " + where)
		if where == "before the request" || where == "after the request" || w.open() {
			w.happen("killed between intent and outcome")
		}
		runtime.Goexit()
	}
}

// ledger is a Journal of which what was appended is durable, with a disk that may fail and a process that may die at each entry.
type ledger struct {
	w       *world
	entries []remedy.Entry
	lines   [][]byte  // as they are on the disk, as far as they were read from there
	events  []int     // when their writing began
	began   int       // the last of them, be it durable or not
	at      time.Time // by the process's clock
	past    bool      // then the last reading of the account that it is about was of the past
	broken  error
	// disk, if there is one, has a real Ledger on it.
	disk *disk
	real *remedy.Ledger
}

// open reads the ledger as a process does that starts, after a kill or after a cut of the power.
func (l *ledger) open(st *remedy.State) bool {
	w := l.w
	if l.disk == nil {
		for i := range l.entries {
			st.Add(l.read(i))
		}
		return true
	}
	if l.real != nil && w.chance(0.5) {
		w.count("power cut")
		w.happen("a power cut")
		l.disk = l.disk.someCut(w.r)
	} else {
		l.disk = l.disk.killed()
	}
	n := 0
	var err error
	l.real, err = remedy.OpenLedger(l.disk, name, remedy.LedgerOptions{Each: func(e remedy.Entry) {
		switch {
		case n < len(l.entries) && l.entries[n].Hash != e.Hash:
			w.fail("A1 entry %d is not what was written", e.Seq)
		case n == len(l.entries):
			w.count("entry that nobody was told of")
			w.recovering = true
			l.took(e)
			w.recovering = false
		}
		n++
		st.Add(e)
	}})
	if err != nil || n < len(l.entries) {
		w.fail("A1 of %d entries, %d are there: %v", len(l.entries), n, err)
		return false
	}
	return true
}

// took takes note of an entry that is durable.
func (l *ledger) took(e remedy.Entry) {
	l.entries, l.events = append(l.entries, e), append(l.events, l.began)
	l.w.written(&l.entries[len(l.entries)-1])
}

// write has the real ledger write an entry. It may fail, or the process may end, at any operation of that.
func (l *ledger) write(e remedy.Entry, fails bool) (remedy.Entry, error) {
	w := l.w
	ends := w.chance(w.rates.kill)
	if fails || ends {
		l.disk.at, l.disk.met, l.disk.errno = l.disk.ops+1+w.r.IntN(3), "", errnos[w.r.IntN(len(errnos))]
		l.disk.fate = failNone + fate(w.r.IntN(int(fates-failNone)))
		if ends {
			l.disk.fate = endBefore + fate(w.r.IntN(2))
		}
	}
	written, err := l.real.Append(e)
	if l.disk.dead {
		w.count("killed within an entry")
		if w.open() {
			w.happen("killed between intent and outcome")
		}
		runtime.Goexit()
	}
	if err != nil {
		l.broken = err
		return e, err
	}
	l.took(written)
	w.mayDie("after an entry")
	return written, nil
}

func (l *ledger) Err() error { return l.broken }

func (l *ledger) Append(e remedy.Entry) (remedy.Entry, error) {
	w := l.w
	if l.broken != nil {
		return e, l.broken
	}
	w.mayDie("before an entry")
	e.Seq = int64(len(l.entries) + 1)
	l.began, l.at, l.past = w.event(), w.local(), false
	if of := w.intents[e.Intent]; of != nil {
		last := w.cloud.last[of.Step.AccountID]
		l.past = last != nil && last.lagging
	}
	fails := w.chance(w.rates.ledger)
	durable := w.chance(0.5)
	if w.failAt > 0 {
		if w.failAt--; w.failAt == 1 {
			fails, durable = true, w.failsDurably
		}
	}
	if fails {
		w.count("ledger failed")
		l.broken = errors.New("the disk is full")
	}
	if l.disk != nil {
		return l.write(e, fails)
	}
	if !fails || durable {
		if e.Step != nil {
			step := *e.Step
			e.Step = &step
		}
		l.took(e)
	}
	if fails {
		return e, l.broken
	}
	w.mayDie("after an entry")
	return l.entries[len(l.entries)-1], nil
}

// read is an entry as it is read from the disk.
func (l *ledger) read(i int) remedy.Entry {
	for j := len(l.lines); j < len(l.entries); j++ {
		line, err := json.Marshal(l.entries[j])
		if err != nil {
			l.w.fail("an entry cannot be written: %v", err)
		}
		l.lines = append(l.lines, line)
	}
	var e remedy.Entry
	if err := json.Unmarshal(l.lines[i], &e); err != nil {
		l.w.fail("an entry cannot be read: %v", err)
	}
	return e
}

// open says whether an intent has no outcome yet.
func (w *world) open() bool { return len(w.intents) > len(w.outcomes) }

// job is what the engine is given.
func (w *world) job() remedy.Job {
	return remedy.Job{
		Snapshot: w.snapshot, Policy: w.policy, Reader: w.cloud,
		Appliers: map[rules.Action]auditor.Applier{
			rules.ActionGrant: applier{w.cloud, rules.ActionGrant}, rules.ActionRevoke: applier{w.cloud, rules.ActionRevoke},
		},
		Skew: func() (time.Duration, bool) { return w.offset, true },
	}
}

// audit makes a run, which is then committed.
func (w *world) audit() {
	a := &auditor.Auditor{
		Inventory: w.cloud, Observer: w.cloud, Baselines: []rules.Baseline{w.baseline}, Waivers: w.waivers, Logger: w.log, Now: w.local, Program: "v1",
		Concurrency: 1, Before: w.snapshot, RunTimeout: time.Hour, AccountTimeout: time.Hour,
		Restricted: w.restricted,
	}
	clear(w.cloud.last)
	run, err := a.Run(context.Background(), "test", nil)
	if err != nil {
		w.fail("there is no run: %v", err)
		return
	}
	w.run, w.snapshot = run, w.snapshot.Next(run)
	w.commits()
}

// repair has the engine act after a run, and whoever else acts then.
func (w *world) repair() {
	w.call("AfterRun", func() error { return w.engine.AfterRun(context.Background(), w.job()) })
}

// call is one call of the engine, which the process may not survive.
func (w *world) call(what string, do func() error) {
	w.begin()
	var err error
	alive := w.alive(func() { err = do() })
	w.end(what)
	refused, isRefused := errors.AsType[*remedy.RefusedError](err)
	if isRefused {
		w.count("refused")
		_ = refused
	}
	switch {
	case !alive:
		w.start()
	case w.ledger.broken != nil:
		if err == nil && w.brokeNow {
			w.fail("%s says nothing of the ledger's failure", what)
		}
		w.count("restarted since the ledger failed")
		if !w.stays && w.chance(0.7) {
			w.start()
		}
	case err != nil && !isRefused:
		w.fail("%s: %v", what, err)
	}
}

// round is one interval: what others do, a run, and what follows from it.
func (w *world) round() {
	w.pause(w.between(5*time.Minute, 30*time.Minute))
	if w.chance(0.3) {
		w.pause(w.between(time.Hour, 13*time.Hour))
	}
	for w.chance(0.6) {
		w.drift(w.member())
	}
	if w.reverting {
		w.revert()
	}
	clear(w.unreadable)
	w.lost, w.gap = 0, false
	if w.mode == "wild" {
		if w.chance(0.1) {
			w.unreadable[w.member().account.ID] = true
		}
		if w.chance(0.05) {
			for _, m := range w.cloud.members[:len(w.cloud.members)/2] {
				w.unreadable[m.account.ID] = true
			}
		}
		if w.chance(0.05) {
			w.lost = w.r.IntN(len(w.cloud.members) + 1)
		}
		w.gap = w.chance(0.03)
	}
	if w.chance(w.rates.clock) {
		w.offset = []time.Duration{0, 5 * time.Minute, -8 * time.Minute, 25 * time.Minute, -2 * time.Hour, 26 * time.Hour, -26 * time.Hour}[w.r.IntN(7)]
		w.count("clock set")
	}
	w.audit()
	if w.chance(w.rates.clock / 2) {
		w.offset = 0
	}
	if w.chance(w.rates.clock / 4) {
		w.offset = -26 * time.Hour
	}
	w.person()
	w.repair()
	if w.chance(0.2) {
		w.person()
		w.byHand()
	}
	if w.chance(0.05) {
		w.start()
		w.count("restart")
	}
}

// drift is that somebody changes an account.
func (w *world) drift(m *member) {
	if m.now().agency == "" {
		if w.chance(0.2) {
			w.recreate(m)
		}
		return
	}
	switch w.r.IntN(20) {
	case 0:
		w.trust(m, w.one([]string{strangerID, cocID}))
	case 1:
		w.recreate(m)
	case 2, 3, 4, 5, 10, 11, 12, 13:
		if held := m.now().held; len(held) > 0 {
			w.touch(m, held[w.r.IntN(len(held))], false)
		}
	case 6, 7, 8:
		w.touch(m, w.anyGrant(), true)
	case 9: // another auditor
		if missing, _ := w.naive(m.now()); len(missing) > 0 {
			w.touch(m, missing[0], true)
		}
	default:
		w.trust(m, cocID)
	}
}

func (w *world) touch(m *member, g at, granted bool) {
	m.settle(w.now)
	if is := m.now(); is.agency != "" && is.has(g) != granted {
		m.become(is.with(g, granted), w.now)
		m.touched = w.event()
		w.count("somebody else's change")
	}
}

func (w *world) trust(m *member, id string) {
	m.settle(w.now)
	if is := *m.now(); is.agency != "" && is.trust != id {
		is.trust = id
		m.become(&is, w.now)
		m.touched = w.event()
		w.count("trust changed")
		if w.carrying && id != cocID {
			w.happen("trust changed between plan and write")
		}
	}
}

func (w *world) recreate(m *member) {
	m.settle(w.now)
	is := *m.now()
	m.made++
	is.agency, is.trust = fmt.Sprintf("agency-%d", m.made), cocID
	if w.chance(0.3) {
		is.held = nil
	}
	m.become(&is, w.now)
	m.touched = w.event()
	w.count("agency made anew")
}

// revert is a tool of somebody else, by whose file what we granted is too much.
func (w *world) revert() {
	for i := range w.cloud.requests {
		if q := w.cloud.requests[i]; q.step.Action == rules.ActionGrant {
			w.touch(w.cloud.byID[q.step.AccountID], atOf(q.step.Grant), false)
		}
	}
}

// meddle is what others do while the program is at work in an account.
func (w *world) meddle(m *member) {
	if w.hook != nil {
		w.hook(m)
	}
	if !w.chance(w.rates.meddle) {
		return
	}
	switch w.r.IntN(8) {
	case 0, 1, 2, 3:
		if w.carrying {
			w.trust(m, strangerID)
		}
	case 4:
		if w.carrying {
			w.note(w.engine.Freeze("alice", "wait"))
			w.count("frozen while it carries out")
		}
	case 5:
		w.stopped = w.carrying
	default:
		w.drift(m)
	}
}

// note is what a person is told.
func (w *world) note(err error) {
	if err != nil && w.ledger.broken == nil {
		w.fail("a person is refused: %v", err)
	}
}

// person is what people do between runs.
func (w *world) person() {
	st := w.engine.Status()
	if st.Frozen != nil && w.chance(0.8) {
		w.unfreeze()
	}
	if w.ledger.broken != nil {
		return
	}
	w.stopped = w.stopped && !w.chance(0.5) || w.chance(w.rates.person/2)
	for _, q := range st.Quarantined {
		if w.chance(0.2) {
			w.act(func() {
				if w.engine.Release(q.AccountID, "bob", "looked at") == nil {
					w.count("released")
				}
			})
			break
		}
	}
	if w.chance(w.rates.person) {
		w.act(func() { w.note(w.engine.Freeze("alice", "holiday")) })
		w.count("frozen by a person")
	}
	if w.chance(w.rates.person) {
		w.settings()
		w.engine.Configure(w.policy)
		w.count("reload")
	}
	if st.Plan == nil || len(st.Plan.Steps) == 0 {
		return
	}
	if w.chance(0.3) {
		w.plans = append(w.plans, w.own(st.Plan))
	}
	if w.policy.Mode == remedy.ModeApprove && w.chance(0.7) {
		p := st.Plan
		if w.chance(0.5) {
			p = w.own(p)
			w.plans = append(w.plans, p)
		}
		w.approve(p)
	}
	if w.chance(w.rates.person) && len(w.plans) > 1 {
		w.splice(w.plans[w.r.IntN(len(w.plans))], w.plans[w.r.IntN(len(w.plans))])
	}
	if w.chance(w.rates.person) && len(w.consents) > 0 {
		w.approves(st.Plan, w.consents[w.r.IntN(len(w.consents))], len(w.policy.People) > 0)
		w.count("consent used again")
	}
}

// own is a plan as alice's own, of all accounts or of some, as it is when it was written to a file and read again.
func (w *world) own(p *remedy.Plan) *remedy.Plan {
	var some []string
	if w.chance(0.5) {
		some = []string{p.Steps[w.r.IntN(len(p.Steps))].AccountID, w.member().account.Name}
	}
	own := p.By("alice", some)
	own.SignRequest(people["alice"])
	data, err := own.Encode()
	if err != nil {
		w.fail("a plan cannot be written: %v", err)
	}
	read, err := remedy.ParsePlan(data)
	if err != nil {
		w.fail("a plan cannot be read: %v", err)
		return &own
	}
	return read
}

func (w *world) approve(p *remedy.Plan) {
	c := remedy.Sign(p.Digest, "bob", people["bob"], w.local().Add(w.policy.ApprovalExpires))
	if w.approves(p, c, false) && len(w.policy.People) > 0 {
		w.consents = append(w.consents, c)
	}
}

// approves gives a consent, which must be refused or not.
func (w *world) approves(p *remedy.Plan, c remedy.Consent, mustRefuse bool) (counts bool) {
	w.asks(p)
	var err error
	whole := w.alive(func() { _, err = w.engine.Approve(p, c) })
	if !whole {
		w.start()
		return false
	}
	if _, is := errors.AsType[*remedy.RefusedError](err); err == nil && mustRefuse {
		w.fail("W14 a consent counts twice")
	} else if err != nil && !is && w.ledger.broken == nil && w.run != nil { // before a run it is not known what is to come
		w.fail("approve: %v", err)
	}
	return err == nil
}

// asks is that a plan is about to be approved.
func (w *world) asks(p *remedy.Plan) {
	w.approving, w.asked[p.Digest] = p, p
}

// splice is a plan with the digest of one and the steps of another.
func (w *world) splice(a, b *remedy.Plan) {
	p := *a
	p.Steps = append(slices.Clone(a.Steps[:1]), b.Steps...)
	if slices.EqualFunc(p.Steps, a.Steps, func(a, b rules.Step) bool { return a.ID() == b.ID() }) {
		return
	}
	c := remedy.Sign(p.Digest, "bob", people["bob"], w.local().Add(time.Minute))
	w.approves(&p, c, true)
	w.count("spliced plan")
}

// byHand is that somebody has a plan carried out, a new one or one that was kept.
func (w *world) byHand() {
	if w.run == nil || len(w.plans) == 0 || w.ledger.broken != nil {
		return
	}
	p := w.plans[w.r.IntN(len(w.plans))]
	w.count("applied by hand")
	w.call("Apply", func() error {
		r, err := w.engine.Apply(context.Background(), w.job(), p, "alice")
		if err == nil && len(r.Done)+len(r.Open)+len(r.Void) < len(p.Steps) && r.Stopped == "" {
			w.fail("of %d steps, %d are done, %d open and %d void", len(p.Steps), len(r.Done), len(r.Open), len(r.Void))
		}
		return err
	})
}

func (w *world) unfreeze() {
	w.mayUnfreeze = true
	w.act(func() { w.note(w.engine.Unfreeze("alice", "looked at")) })
	w.mayUnfreeze = false
	w.count("unfrozen")
}

// leaks looks for secrets in all that was written down.
func (w *world) leaks() {
	for _, l := range w.ledger.lines {
		if bytes.Contains(l, []byte(canary)) {
			w.fail("A4 the ledger has a secret: %s", l)
		}
	}
	if w.ledger.disk != nil && bytes.Contains(w.ledger.disk.shown, []byte(canary)) {
		w.fail("A4 the ledger has a secret")
	}
	if strings.Contains(w.logged.String(), canary) {
		w.fail("A4 the log has a secret")
	}
}

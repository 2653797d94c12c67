package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/web"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// repair is the engine of repair with what belongs to it.
type repair struct {
	engine *remedy.Engine
	// ledger holds nil without a state directory, when it cannot be relied on, and while nothing ever was to be repaired; refused says that
	// it was tried to open.
	ledger  atomic.Pointer[remedy.Ledger]
	refused bool
	// shown is what the pages show; nil before the engine was made.
	shown   atomic.Pointer[web.Repair]
	telling sync.Mutex
}

// openRepair makes the engine of repair, which is called self in the ledger. With a state directory its ledger is opened once repair is
// configured, or if there is one. A ledger that cannot be relied on stops repair and nothing else.
func (d *Daemon) openRepair(ctx context.Context, self string) error {
	cfg := d.current().config
	o := remedy.Options{Clock: wallClock{d.options.Now}, Meter: meter{d.metrics}, Log: d.options.Logger, State: remedy.NewState(), Self: self}
	halted := ""
	if d.past.dir != "" && (cfg.RepairMode() != remedy.ModeOff || d.hasLedger()) {
		switch ledger, err := d.openLedger(ctx, o.State); {
		case err != nil:
			halted, d.repair.refused = err.Error(), true
			o.State = remedy.NewState()
		default:
			d.repair.ledger.Store(ledger)
			o.Journal = ledger
		}
	}
	d.repair.engine = remedy.New(o)
	d.repair.engine.Configure(policyOf(cfg))
	if halted != "" {
		d.repair.engine.Halt(halted)
		return nil
	}
	if o.Journal == nil {
		return nil
	}
	if err := d.repair.engine.Start(d.options.Version); err != nil {
		d.repair.engine.Halt(err.Error())
	}
	d.rememberHead(ctx)
	return nil
}

// attachLedger opens the ledger for a configuration that has things repaired, if the one before did not. One that was refused stays so
// until the program is started again.
func (d *Daemon) attachLedger(ctx context.Context, cfg *Config) {
	if d.repair.ledger.Load() != nil || d.past.dir == "" || cfg.RepairMode() == remedy.ModeOff || d.repair.refused {
		return
	}
	state := remedy.NewState()
	ledger, err := d.openLedger(ctx, state)
	if err != nil {
		d.repair.refused = true
		d.repair.engine.Halt(err.Error())
		return
	}
	d.repair.ledger.Store(ledger)
	d.repair.engine.Attach(ledger, state)
	if err := d.repair.engine.Start(d.options.Version); err != nil {
		d.repair.engine.Halt(err.Error())
	}
}

func (d *Daemon) ledgerFile() string { return filepath.Join(d.past.dir, remedy.LedgerName) }

func (d *Daemon) hasLedger() bool {
	_, err := os.Lstat(d.ledgerFile())
	return err == nil
}

// openLedger opens the ledger, which may not be older than what the history remembers of it.
func (d *Daemon) openLedger(ctx context.Context, state *remedy.State) (*remedy.Ledger, error) {
	if d.past.store == nil {
		return nil, errors.New("the state directory could not be opened, so that the ledger is not ours to write")
	}
	floor, err := d.floor(ctx)
	if err != nil {
		return nil, err
	}
	return remedy.OpenLedger(remedy.OSFS{}, d.ledgerFile(), remedy.LedgerOptions{Floor: floor, Each: state.Add, Log: d.options.Logger})
}

// closeRepair gives up the ledger. Nothing may be carried out any more.
func (d *Daemon) closeRepair() error {
	ledger := d.repair.ledger.Load()
	if ledger == nil {
		return nil
	}
	d.rememberHead(context.Background())
	return ledger.Close()
}

// wallClock is the time as the engine wants it.
type wallClock struct{ now func() time.Time }

// Now is the clock's time.
func (c wallClock) Now() time.Time { return c.now() }

// Sleep waits in real time.
func (wallClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// policyOf is how a configuration has things repaired.
func policyOf(cfg *Config) remedy.Policy {
	r := &cfg.Remediation
	p := remedy.Policy{
		Mode: r.Mode, May: cfg.Repairs(),
		Limits: remedy.Limits{
			GrantAccounts: r.Limits.GrantAccountsPerRun, RevokeAccounts: r.Limits.RevokeAccountsPerRun,
			FleetPercent: r.Limits.FleetPercentPerDay, PolicyWrites: r.Limits.PolicyWritesPerDay,
		},
		Settle: r.Settle, CoolDown: r.CoolDown, ApprovalExpires: r.Approval.Expires, People: cfg.Approvers(),
	}
	if windows := cfg.RepairWindows(); len(windows) > 0 {
		p.Open = func(now time.Time) bool {
			for _, w := range windows {
				if w.Open(now) {
					return true
				}
			}
			return false
		}
	}
	if file := cfg.FreezeFile(); file != "" {
		p.Stopped = func() string {
			switch _, err := os.Lstat(file); {
			case err == nil:
				return fmt.Sprintf("the file %s is there; delete it to go on", file)
			case !os.IsNotExist(err):
				return fmt.Sprintf("whether the file %s is there cannot be seen: %s", file, reason(err))
			}
			return ""
		}
	}
	return p
}

// jobOf is what the engine works on, by a configuration and what is known.
func (e *engine) jobOf(s *auditor.Snapshot) remedy.Job {
	job := remedy.Job{
		Snapshot: s, Policy: policyOf(e.config), Reader: e.cloud, ReadTimeout: e.config.Limits.AccountTimeout,
		Appliers: map[rules.Action]auditor.Applier{},
	}
	for action, w := range e.writers {
		job.Appliers[action] = w
	}
	if e.cloud != nil {
		job.Skew = e.cloud.Clock
	}
	return job
}

// newWriters makes what can change accounts: nothing, unless the configuration says so.
func (d *Daemon) newWriters(cfg *Config) (map[rules.Action]*huawei.Writer, error) {
	writers := map[rules.Action]*huawei.Writer{}
	for action, how := range map[rules.Action]func() (huawei.Config, bool){
		rules.ActionGrant: cfg.GrantWriter, rules.ActionRevoke: cfg.RevokeWriter,
	} {
		c, wanted := how()
		if !wanted {
			continue
		}
		c.UserAgent, c.Now, c.Meter = userAgent(d.options.Version), d.options.Now, d.metrics
		w, err := huawei.NewWriter(c, action, d.options.Logger)
		if err != nil {
			return nil, fmt.Errorf("make what can %s: %w", action, err)
		}
		writers[action] = w
	}
	return writers, nil
}

// close gives up an engine's connections.
func (e *engine) close() {
	e.cloud.Close()
	for _, w := range e.writers {
		w.Close()
	}
}

// errBug is what a bug leads to that ended a repair.
var errBug = errors.New("a bug in this program ended a repair; see the log, and start the program again")

// rescue survives a bug in the middle of a repair, after which nothing is repaired until the program was started again. It is deferred.
func (d *Daemon) rescue(err *error) {
	p := recover()
	if p == nil {
		return
	}
	d.metrics.Panicked("write")
	d.options.Logger.Error("panic", "while", "repairing", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
	d.repair.engine.Halt(errBug.Error())
	if err != nil {
		*err = errBug
	}
}

// mend has what a run found put right, as far as the configuration says. It is a part of the run's job.
func (d *Daemon) mend(ctx context.Context, e *engine, s *auditor.Snapshot) {
	defer d.tellRepair()
	d.attachLedger(ctx, e.config)
	defer d.rescue(nil)
	job := e.jobOf(s)
	job.Over = d.over
	if err := d.repair.engine.AfterRun(ctx, job); err != nil {
		d.options.Logger.Error("repair ended early", "err", err)
	}
	d.rememberHead(ctx)
}

// planned is the plan that follows from what is known or, with a requester, that person's own of some accounts, or of all.
func (d *Daemon) planned(requester string, accounts []string) (*remedy.Plan, error) {
	e := d.current()
	if e.config.RepairMode() == remedy.ModeOff {
		return nil, &remedy.RefusedError{Why: `remediation.mode is off: nothing is proposed; mode: plan shows what would be done`}
	}
	s := d.snapshot.Load()
	if s == nil || s.Run == nil {
		return nil, errors.New("no run was made yet; try again in a moment")
	}
	if err := among(s, accounts); err != nil {
		return nil, err
	}
	return d.repair.engine.Plan(e.jobOf(s), requester, accounts), nil
}

// among refuses accounts that are not audited, and names that several bear.
func among(s *auditor.Snapshot, accounts []string) error {
	for _, wanted := range accounts {
		ids := map[string]bool{}
		var names []string
		for i := range s.Standings {
			a := &s.Standings[i].Account
			names = append(names, a.Name)
			if a.ID == wanted || a.Name == wanted {
				ids[a.ID] = true
			}
		}
		switch near := strictyaml.Nearest(wanted, names); {
		case len(ids) > 1:
			return &remedy.RefusedError{Why: fmt.Sprintf("%d accounts bear the name %q: name them by their ids", len(ids), wanted)}
		case len(ids) == 0 && near != "":
			return &remedy.RefusedError{Why: fmt.Sprintf("the last run knows no account %q; did you mean %s?", wanted, near)}
		case len(ids) == 0:
			return &remedy.RefusedError{Why: fmt.Sprintf("the last run knows no account %q", wanted)}
		}
	}
	return nil
}

// Propose is the plan that would follow from one run alone, by a configuration. It asks nobody, and nothing can come of it.
func Propose(cfg *Config, run *auditor.Run, now time.Time) *remedy.Plan {
	baselines := cfg.LoadedBaselines()
	s := auditor.NewSnapshot(nil, baselines, cfg.MaxAge).Accept(cfg.LoadedWaivers(), now).Next(run)
	e := remedy.New(remedy.Options{Clock: wallClock{func() time.Time { return now }}})
	return e.Plan(remedy.Job{Snapshot: s, Policy: policyOf(cfg)}, "", nil)
}

// busy keeps the configuration in force while something is done by it.
func (d *Daemon) busy() (e *engine, done func()) {
	return d.begin(), func() {
		d.idle()
		d.tellRepair()
	}
}

// applied carries a plan out.
func (d *Daemon) applied(ctx context.Context, p *remedy.Plan, actor string) (r *remedy.Result, err error) {
	e, done := d.busy()
	defer done()
	defer d.rescue(&err)
	s := d.snapshot.Load()
	if s == nil || s.Run == nil {
		return nil, errors.New("no run was made yet; try again in a moment")
	}
	job := e.jobOf(s)
	job.Latest, job.Over = d.snapshot.Load, d.over
	r, err = d.repair.engine.Apply(ctx, job, p, actor)
	d.rememberHead(ctx)
	return r, err
}

// over says why what is carried out ends before its next request: the program was told to end, or there is another configuration, by which
// somebody may want just that. It waits for the end of what is carried out, or was refused: the waiver that was just written in it, or that
// nothing is to be repaired, is not known then.
func (d *Daemon) over() string {
	if d.ending.Load() {
		return "the program was told to end: what is left is planned again after the next run"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.pending != nil:
		return "another configuration waits: what is left is planned by it"
	case d.reloadError != "":
		return "the configuration was changed and was refused: nothing is repaired until it is right, or as it was; agencyaudit check has the faults"
	}
	return ""
}

// undoing is the plan that takes back what was done after a run.
func (d *Daemon) undoing(run, requester string) (*remedy.Plan, error) {
	s := d.snapshot.Load()
	if s == nil || s.Run == nil {
		return nil, errors.New("no run was made yet; try again in a moment")
	}
	return d.repair.engine.Undo(d.current().jobOf(s), run, requester)
}

// unfrozen lifts a freeze, or what stands still in one account.
func (d *Daemon) unfrozen(accountID, actor, reason string) error {
	defer d.tellRepair()
	if accountID == "" {
		return d.repair.engine.Unfreeze(actor, reason)
	}
	return d.repair.engine.Release(accountID, actor, reason)
}

// floor is how far the ledger went, by what the history remembers.
func (d *Daemon) floor(ctx context.Context) (remedy.Head, error) {
	marks, err := d.past.store.Marks(ctx)
	if err != nil {
		return remedy.Head{}, fmt.Errorf("how far the ledger went: %w", err)
	}
	return remedy.RememberedHead(marks)
}

// rememberHead has the history remember how far the ledger goes, so that one which is cut, or older, is found out.
func (d *Daemon) rememberHead(ctx context.Context) {
	ledger := d.repair.ledger.Load()
	if ledger == nil || d.past.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordWait)
	defer cancel()
	text, err := json.Marshal(ledger.Head())
	if err == nil {
		err = d.past.store.Mark(ctx, remedy.HeadMark, string(text))
	}
	if err != nil {
		d.options.Logger.Error("the history does not remember how far the ledger goes", "err", err)
	}
}

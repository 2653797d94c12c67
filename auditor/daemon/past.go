package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/web"
	"github.com/agencyaudit/agencyaudit/rules"
)

const (
	// recordTimeout bounds the recording of one run. It is no part of the run, which it may outlive.
	recordTimeout = 2 * time.Minute
	// compactEvery is how often what has ended long ago is forgotten.
	compactEvery = 24 * time.Hour
	// lookEvery is how often the pages are given what changed when nothing did: what is long ago goes out of their sight.
	lookEvery = time.Hour
)

// past is the history as the daemon keeps it. Its methods are called by one goroutine at a time.
type past struct {
	// store is where it is kept; nil when it is not.
	store history.Store
	// compacted is when what ended long ago was forgotten last, and looked when the pages were given what changed.
	compacted, looked time.Time
}

// openPast opens the history that the configuration names, or the one that was given.
func (d *Daemon) openPast(cfg *Config) error {
	switch dir := cfg.StateFolder(); {
	case d.options.History != nil:
		d.past.store = d.options.History
	case dir != "":
		store, err := history.OpenSQLite(dir, history.Options{})
		if err != nil {
			return err
		}
		d.past.store = store
		if is, err := os.Stat(dir); err == nil && is.Mode().Perm()&0o022 != 0 {
			d.options.Logger.Warn("others may write in the state directory, and so could change what is known: let its owner alone do so",
				"dir", dir, "mode", is.Mode().Perm().String())
		}
	default:
		d.options.Logger.Info("there is no state_dir: what is known ends with the program")
	}
	return nil
}

// closePast gives up the history, and with it the state directory.
func (d *Daemon) closePast() error {
	if d.past.store == nil || d.options.History != nil {
		return nil
	}
	return d.past.store.Close()
}

// first is what is known before the first run: what a history remembers, if there is one, and nothing that was right.
func (d *Daemon) first(ctx context.Context) (*auditor.Snapshot, error) {
	e := d.current()
	cfg := e.config
	var was *auditor.Past
	if store := d.past.store; store != nil {
		var err error
		if was, err = store.Last(ctx); err != nil {
			return nil, fmt.Errorf("what was known: %w", err)
		}
		e.remember(was)
		d.metrics.Resumed(was.CompletedAt)
		d.measure()
		d.look(ctx)
		agencies, findings := 0, 0
		for i := range was.Subjects {
			if r := &was.Subjects[i]; !r.Left {
				agencies++
				findings += len(r.Findings)
			}
		}
		switch {
		case len(was.Subjects) == 0:
			d.options.Logger.Info("the history is empty: it begins with the first run", "state_dir", cfg.StateFolder())
		default:
			d.options.Logger.Info("bad news from before is known, and nothing is right before it was read again", "agencies", agencies,
				"findings", findings, "state_dir", cfg.StateFolder())
		}
	}
	known := e.known()
	s := auditor.Restore(e.expected(known), cfg.LoadedBaselines(), cfg.MaxAge, was).Accept(cfg.LoadedWaivers(), d.options.Now())
	s.Excluded, s.Notes, s.TagKeys = known.Excluded, known.Notes, known.TagKeys
	return s, nil
}

// record adds what is known after a run to the history. That it cannot costs the history, and nothing else: it is counted and
// said, and the next run catches up. moved says whether anything is otherwise than before.
func (d *Daemon) record(ctx context.Context, s *auditor.Snapshot, moved bool) {
	if d.past.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	defer cancel()
	began := d.options.Now()
	err := d.write(ctx, s)
	said := ""
	if err != nil {
		said = err.Error()
		d.metrics.HistoryFailed()
		d.options.Logger.Error("the run was not recorded in the history; the next one catches up", "run", s.Run.ID, "err", err)
	} else {
		if moved || d.options.Now().Sub(d.past.looked) >= lookEvery {
			d.look(ctx)
		}
		d.options.Logger.Info("run recorded", "run", s.Run.ID, "took", d.options.Now().Sub(began))
	}
	d.measure()
	d.mu.Lock()
	d.historyError = said
	d.mu.Unlock()
}

// write records a run, and forgets what ended long ago once in a while. A bug in the history is an error of it.
func (d *Daemon) write(ctx context.Context, s *auditor.Snapshot) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.metrics.Panicked("history")
			d.options.Logger.Error("a bug in this program kept a run from being recorded", "panic_type", fmt.Sprintf("%T", p),
				"stack", string(debug.Stack()))
			err = errors.New("a bug in this program; see the log")
		}
	}()
	if err := d.past.store.Record(ctx, s); err != nil {
		return err
	}
	now := d.options.Now()
	if !d.past.compacted.IsZero() && now.Sub(d.past.compacted) < compactEvery {
		return nil
	}
	d.past.compacted = now
	if err := d.past.store.Compact(ctx, now.Add(-d.current().config.History.Keep)); err != nil {
		return fmt.Errorf("forget what ended long ago: %w", err)
	}
	return nil
}

// measure says how large the history is.
func (d *Daemon) measure() {
	if size, err := d.past.store.Size(); err == nil {
		d.metrics.HistorySize(size)
	}
}

// remember has an engine expect the accounts that a history says were in the fleet and that it would not know of before it has
// asked: those of the organization, and those that the file of accounts lists no more, as if the program had gone on.
func (e *engine) remember(p *auditor.Past) {
	named := map[string]bool{}
	for _, a := range e.config.Inventory() {
		named[a.ID] = true
	}
	for i := range p.Subjects {
		r := &p.Subjects[i]
		a := r.Account
		switch {
		case r.Left || named[a.ID]:
		case e.config.Accounts.Organization.Enabled:
			if e.memory.members.entries == nil {
				e.memory.members.entries = map[string]entry[huawei.Member]{}
			}
			e.memory.members.entries[a.ID] = entry[huawei.Member]{is: huawei.Member{ID: a.ID, Name: a.Name, Status: statusActive}, was: &a}
		case e.config.Accounts.File != "":
			if e.memory.filed.entries == nil {
				e.memory.filed.entries = map[string]entry[AccountConfig]{}
			}
			e.memory.filed.entries[a.ID] = entry[AccountConfig]{is: AccountConfig{ID: a.ID, Name: a.Name, RequireAgency: a.RequireAgency}, missed: 1}
		}
	}
}

// remembered is an account as a history knew it, by what is chosen and required now.
func (v *inventory) remembered(was rules.Account) rules.Account {
	o := &v.config.Accounts.Organization
	was.RequireAgency = o.RequireAgency
	was.Tags = slices.DeleteFunc(slices.Clone(was.Tags), func(t rules.Tag) bool { return !slices.Contains(o.Labels.Tags, t.Key) })
	return was
}

const (
	// pastSpan is how far back the pages look.
	pastSpan = 30 * 24 * time.Hour
	// fleetChanges is how many changes of the fleet they show, and accountChanges how many of one account.
	fleetChanges, accountChanges = 5, 20
)

// look has the first page show what the history says now.
func (d *Daemon) look(ctx context.Context) {
	now := d.options.Now()
	c, err := history.Recent(ctx, d.past.store, now.Add(-pastSpan), now, "")
	var last []web.Change
	if err == nil {
		last, err = d.changesOf(ctx, c, fleetChanges)
	}
	if err != nil {
		d.options.Logger.Error("the history cannot be read for the pages", "err", err)
		return
	}
	came, went := c.Count()
	p := &web.Past{Since: c.From, Begins: c.Begins, Came: came, Repaired: went[history.EndingRefuted], Changes: last}
	for _, n := range went {
		p.Went += n
	}
	p.Repair, _ = c.Repair()
	d.past.looked = now
	d.shown.Store(p)
}

// changes are the last changes of an account.
func (d *Daemon) changes(ctx context.Context, account string) ([]web.Change, error) {
	now := d.options.Now()
	c, err := history.Recent(ctx, d.past.store, now.Add(-pastSpan), now, account)
	if err != nil {
		return nil, err
	}
	return d.changesOf(ctx, c, accountChanges)
}

// changesOf are so many of the last changes, the newest first: every one of a state, and of findings those that say more than that
// something is worth knowing.
func (d *Daemon) changesOf(ctx context.Context, c *history.Changes, most int) ([]web.Change, error) {
	var list []web.Change
	for i := len(c.Changes) - 1; i >= 0 && len(list) < most; i-- {
		is := &c.Changes[i]
		change := web.Change{Subject: is.Subject, At: is.At, Was: is.Was, Is: is.Is, CalledBefore: is.CalledBefore}
		if is.Unknown != nil {
			change.Reason = is.Unknown.Reason
		}
		if f := is.Finding; f != nil {
			var err error
			if change.Finding, err = d.asFound(ctx, f); err != nil {
				return nil, err
			}
			if !change.Finding.Severity.Drift() {
				continue
			}
			change.Since = f.FirstSeen
			if is.Kind == history.ChangeWent {
				change.Went = string(f.How)
			}
		}
		list = append(list, change)
	}
	return list, nil
}

// asFound is a finding as evidence had it.
func (d *Daemon) asFound(ctx context.Context, f *history.Finding) (*rules.Finding, error) {
	q := history.At(f.FirstSeen, f.Account.ID)
	found, err := d.past.store.Findings(ctx, q)
	if err != nil {
		return nil, err
	}
	for i := range found {
		is := &found[i]
		if is.Subject.Agency == f.Agency && is.Baseline == f.Baseline && is.Rule == f.Rule && is.Policy == f.Policy && is.PolicyID == f.PolicyID &&
			is.Scope == f.Scope && is.As != nil {
			return is.As, nil
		}
	}
	return &rules.Finding{Rule: f.Rule, Policy: f.Policy, PolicyID: f.PolicyID, Scope: f.Scope, Message: f.Rule, Severity: rules.Warning}, nil
}

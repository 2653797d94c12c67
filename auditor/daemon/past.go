package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
	// recordWait is how long a run waits for its recording, unless Options say otherwise. The disk may take longer; the schedule does not.
	recordWait = 30 * time.Second
	// compactEvery is how often what has ended long ago is forgotten.
	compactEvery = 24 * time.Hour
	// lookEvery is how often the pages are given what changed when nothing did: what is long ago goes out of their sight.
	lookEvery = time.Hour
)

// past is the history as the daemon keeps it.
type past struct {
	// store is where it is kept; nil when it is not, or when dir cannot be used for now.
	store history.Store
	// dir is the state directory; empty when there is none.
	dir string
	// todo is the last run that is to be recorded. One goroutine records them until enough is closed, and closes done then.
	todo         chan *recording
	enough, done chan struct{}
	// Of that goroutine: compacted is when what ended long ago was forgotten last, and looked when the pages were given what changed.
	compacted, looked time.Time
}

// recording is a run that is to be recorded.
type recording struct {
	known *auditor.Snapshot
	// moved says that something is otherwise than before.
	moved bool
	done  chan struct{}
}

// openPast opens the history that the configuration names, or the one that was given. A disk that is full keeps no program from
// auditing: what it can read of the history is known, and the rest is tried again at each run.
func (d *Daemon) openPast(cfg *Config) (was *auditor.Past, err error) {
	ctx := context.Background()
	d.past.todo, d.past.done = make(chan *recording, 1), make(chan struct{})
	d.past.enough = make(chan struct{})
	if d.past.dir = cfg.StateFolder(); d.options.History != nil {
		d.past.store = d.options.History
	}
	switch {
	case d.past.store == nil && d.past.dir == "":
		return nil, nil
	case d.past.store == nil:
		if d.past.store, err = d.openState(); errors.Is(err, history.ErrDisk) {
			return d.readPast(ctx, err)
		}
		if err != nil {
			return nil, err
		}
	}
	if was, err = d.past.store.Last(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("what was known: %w", err), d.closePast())
	}
	return was, nil
}

// openState opens the state directory, of which the process is the owner then.
func (d *Daemon) openState() (history.Store, error) {
	_, before := os.Stat(filepath.Join(d.past.dir, history.FileName))
	open := history.OpenSQLite
	if d.options.openHistory != nil {
		open = d.options.openHistory
	}
	store, err := open(d.past.dir, history.Options{})
	if err != nil {
		return nil, err
	}
	if errors.Is(before, fs.ErrNotExist) {
		d.options.Logger.Warn("there was no history in the state directory: a new one begins, and nothing is known from before", "state_dir", d.past.dir)
	}
	if is, err := os.Stat(d.past.dir); err == nil && is.Mode().Perm()&0o022 != 0 {
		d.options.Logger.Warn("others may write in the state directory, and so could change what is known: let its owner alone do so",
			"state_dir", d.past.dir, "mode", is.Mode().Perm().String())
	}
	return store, nil
}

// readPast is what can be read of a history that cannot be written, for the reason why.
func (d *Daemon) readPast(ctx context.Context, why error) (was *auditor.Past, err error) {
	d.unrecorded("", why)
	s, err := history.OpenReadOnly(d.past.dir)
	if err == nil {
		was, err = s.Last(ctx)
		err = errors.Join(err, s.Close())
	}
	if err != nil {
		d.options.Logger.Error("nothing is known from before", "err", err)
		return nil, nil //nolint:nilnil // the disk costs the history, not the auditing
	}
	return was, nil
}

// closePast gives up the history, and with it the state directory. It waits as long as an answer may take at the end.
func (d *Daemon) closePast() error {
	store := d.past.store
	if store == nil || d.options.History != nil {
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- store.Close() }()
	select {
	case err := <-closed:
		return err
	case <-time.After(shutdownTimeout):
		return errors.New("the history was not closed: its disk does not answer; what was said to be recorded is safe")
	}
}

// first is what is known before the first run: what a history remembers, if there is one, and nothing that was right.
func (d *Daemon) first(ctx context.Context) (*auditor.Snapshot, error) {
	e := d.current()
	cfg := e.config
	was, err := d.openPast(cfg)
	if err != nil {
		return nil, err
	}
	if was != nil {
		now := d.options.Now()
		notLater(was, now)
		e.remember(was)
		d.metrics.Resumed(was.CompletedAt)
		if !was.EndedAt.IsZero() && now.Sub(was.EndedAt) > cfg.History.Keep/4 {
			// Either the program was away for long, or the clock is wrong: nothing is forgotten before it has run for a while.
			d.past.compacted = now
			d.options.Logger.Warn("the last run that the history has ended long ago, by this clock", "ended", was.EndedAt, "now", now)
		}
		agencies, findings := 0, 0
		for i := range was.Subjects {
			if r := &was.Subjects[i]; !r.Left {
				agencies++
				findings += len(r.Findings)
			}
		}
		d.options.Logger.Info("bad news from before is known, and nothing is right before it was read again", "agencies", agencies,
			"findings", findings, "state_dir", d.past.dir)
	}
	if d.past.store != nil {
		d.measure()
		d.look(ctx)
	}
	known := e.known()
	s := auditor.Restore(e.expected(known), cfg.LoadedBaselines(), cfg.MaxAge, was).Accept(cfg.LoadedWaivers(), d.options.Now())
	s.Excluded, s.Notes, s.TagKeys = known.Excluded, known.Notes, known.TagKeys
	return s, nil
}

// notLater has nothing that is remembered be later than now: then this clock was wrong, or is.
func notLater(p *auditor.Past, now time.Time) {
	bound := func(t *time.Time) {
		if t.After(now) {
			*t = now
		}
	}
	bound(&p.CompletedAt)
	for i := range p.Subjects {
		r := &p.Subjects[i]
		bound(&r.KeptAt)
		bound(&r.UnknownSince)
		if r.Evidence != nil {
			bound(&r.Evidence.StartedAt)
		}
		for j := range r.Findings {
			bound(&r.Findings[j].Since)
		}
	}
}

// record has what is known after a run added to the history, and waits a while for it. That it cannot be costs the history, and
// nothing else: it is counted and said, and the next run catches up. moved says whether anything is otherwise than before.
func (d *Daemon) record(s *auditor.Snapshot, moved bool) {
	if d.options.History == nil && d.past.dir == "" {
		return
	}
	r := &recording{known: s, moved: moved, done: make(chan struct{})}
	select {
	case before := <-d.past.todo: // the disk has not got so far; this one has all of it
		r.moved = r.moved || before.moved
	default:
	}
	d.past.todo <- r
	wait := time.NewTimer(cmp.Or(d.options.recordWait, recordWait))
	defer wait.Stop()
	select {
	case <-r.done:
	case <-wait.C:
		d.unrecorded(s.Run.ID, errors.New("the disk takes too long; it goes on trying"))
	}
}

// records has runs recorded until there will be no more.
func (d *Daemon) records() {
	defer close(d.past.done)
	one := func(r *recording) {
		d.keep(r)
		close(r.done)
	}
	for {
		select {
		case r := <-d.past.todo:
			one(r)
		case <-d.past.enough:
			select {
			case r := <-d.past.todo:
				one(r)
			default:
			}
			return
		}
	}
}

// stopRecording ends records, which is given some time for what it is at.
func (d *Daemon) stopRecording() {
	close(d.past.enough)
	select {
	case <-d.past.done:
	case <-time.After(shutdownTimeout):
		d.options.Logger.Error("the last run may not be recorded: the disk does not answer")
	}
}

// keep records one run. A bug in the history costs it, and not the program.
func (d *Daemon) keep(r *recording) {
	began := d.options.Now()
	run := r.known.Run.ID
	defer func() {
		if p := recover(); p != nil {
			d.metrics.Panicked("history")
			d.options.Logger.Error("a bug in this program kept a run from being recorded", "panic_type", fmt.Sprintf("%T", p),
				"stack", string(debug.Stack()))
			d.unrecorded(run, errors.New("a bug in this program; see the log"))
		}
	}()
	if err := d.write(r.known); err != nil {
		d.unrecorded(run, err)
		return
	}
	d.mu.Lock()
	d.historyError = ""
	d.mu.Unlock()
	d.measure()
	now := d.options.Now()
	if r.moved || now.Sub(d.past.looked) >= lookEvery {
		d.look(context.Background())
	}
	d.options.Logger.Info("run recorded", "run", run, "took", d.options.Now().Sub(began))
	if !d.past.compacted.IsZero() && now.Sub(d.past.compacted) < compactEvery {
		return
	}
	if err := d.past.store.Compact(context.Background(), now.Add(-d.current().config.History.Keep)); err != nil {
		d.options.Logger.Error("what ended long ago is not forgotten", "err", err) // the next run tries again
		return
	}
	d.past.compacted = now
}

// unrecorded says that a run was not recorded, or could not be, and why.
func (d *Daemon) unrecorded(run string, why error) {
	d.metrics.HistoryFailed()
	d.options.Logger.Error("the run was not recorded in the history; the next one catches up", "run", run, "err", why)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.historyError = why.Error()
}

// write records what is known, in a history that is opened if it could not be before.
func (d *Daemon) write(s *auditor.Snapshot) (err error) {
	if d.past.store == nil {
		if d.past.store, err = d.openState(); err != nil {
			d.past.store = nil
			return err
		}
	}
	return d.past.store.Record(context.Background(), s)
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
			e.memory.members.entries[a.ID] = entry[huawei.Member]{
				is: huawei.Member{ID: a.ID, Name: a.Name, Status: statusActive}, was: &a, missed: r.Vanished,
			}
		case e.config.Accounts.File != "":
			if e.memory.filed.entries == nil {
				e.memory.filed.entries = map[string]entry[AccountConfig]{}
			}
			e.memory.filed.entries[a.ID] = entry[AccountConfig]{
				is: AccountConfig{ID: a.ID, Name: a.Name, RequireAgency: a.RequireAgency}, was: &a, missed: r.Vanished,
			}
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
	p.Trend = trendOf(c)
	d.past.looked = now
	d.shown.Store(p)
}

// trendOf is how the fleet was at some instants, by the runs of a time.
func trendOf(c *history.Changes) []web.Was {
	runs := make([]web.Was, len(c.Runs))
	for i := range c.Runs {
		runs[i] = web.Was{At: c.Runs[i].EndedAt, States: c.Runs[i].States}
	}
	from := c.From
	if c.Begins.After(from) {
		from = c.Begins
	}
	return web.Thin(runs, from, c.To)
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
	q := history.At(f.FirstKnown, f.Account.ID)
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

package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/auditor/web"
)

const (
	// triggerReload is the trigger of the run that follows a reload.
	triggerReload = "reload"
	// triggerApproval is the trigger of the run after which an approved plan is carried out.
	triggerApproval = "approval"
	// shutdownTimeout bounds how long answers that are under way may take at the end.
	shutdownTimeout = 5 * time.Second
	// beat is how often the scheduler shows that it lives; after silence of four beats it does not.
	beat    = 15 * time.Second
	silence = 4 * beat
)

// progress is how far the run under way is.
type progress struct{ done, total int }

// Run makes runs on schedule, the first one at once, and serves metrics and pages, until ctx is done. Then no run is begun,
// the one that is under way may go on for as long as schedule.drain says, and what was known is served until it has ended.
// The error says why the program could not begin or go on; an orderly end has none. It may be called once.
func (d *Daemon) Run(ctx context.Context) (failed error) {
	begun := sync.OnceFunc(func() { close(d.begun) })
	defer begun()
	cfg := d.current().config
	first, err := d.first(ctx)
	if err != nil {
		return err
	}
	go d.records()
	defer func() {
		d.stopRecording()
		failed = errors.Join(failed, d.closePast())
	}()
	if err := d.openRepair(ctx, remedy.Daemon); err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, d.closeRepair()) }()
	d.tellRepair()
	if err := d.show(first); err != nil {
		return err
	}
	d.metrics.Running(cfg.Digest(), cfg.LoadedBaselines())
	d.metrics.Reloaded(true, d.options.Now())
	scheduler, err := schedule.New(schedule.Options{
		Plan: cfg.Plan(), Job: d.job, Meter: d.metrics, Logger: d.options.Logger, Now: d.options.Now, Beat: beat,
	})
	if err != nil {
		return fmt.Errorf("make the schedule: %w", err)
	}
	var changes func(ctx context.Context, account string) ([]web.Change, error)
	if d.past.store != nil {
		changes = d.changes
	}
	server, err := web.New(web.Options{
		Changes: changes,
		Metrics: d.metrics.Handler(), View: func() web.View { return d.view(scheduler.Status()) }, Reload: d.Reload,
		Now: d.options.Now, Logger: d.options.Logger, Panicked: d.metrics.Panicked,
		Hosts: cfg.Listen.Hosts, WebConfig: cfg.Listen.WebConfig, PprofSocket: cfg.Listen.PprofSocket,
	})
	if err != nil {
		return fmt.Errorf("make the server of metrics and pages: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.Listen.Address)
	if err != nil {
		return fmt.Errorf("listen at %s: %w", cfg.Listen.Address, err)
	}
	var stopWatching func()
	if d.options.Watch {
		if stopWatching, err = d.watch(ctx); err != nil {
			return errors.Join(fmt.Errorf("watch the configuration's files: %w", err), listener.Close())
		}
		defer stopWatching()
	}
	d.announce(cfg.Listen, listener.Addr())
	if d.options.History == nil && d.past.dir == "" {
		d.options.Logger.Info("there is no state_dir: what is known ends with the program")
	}

	d.scheduler, d.guards = scheduler, cfg.Listen.Guards() // before anybody can approve a plan, which begins a run
	if d.past.dir != "" && d.past.store != nil {
		stopHand, err := d.serveHand()
		switch {
		case err == nil:
			defer stopHand()
		case cfg.RepairMode() == remedy.ModeOff: // there are file systems without sockets, and nothing to be told
			d.options.Logger.Warn("the commands of repair cannot reach this process through its state directory", "err", err)
		default:
			return errors.Join(fmt.Errorf("serve the commands at the socket in the state directory: %w", err), listener.Close())
		}
	}

	// What ends first ends the rest: the caller by ctx, or the server by an error.
	g, ctx := errgroup.WithContext(ctx)
	scheduler.Start() // before anybody can ask whether it lives
	begun()
	g.Go(func() error { return server.Serve(listener) })
	g.Go(func() error {
		// The kill switch comes and goes, and days pass, between two runs.
		for d.pause(ctx, beat) {
			d.tellRepair()
		}
		return nil
	})
	<-ctx.Done()
	d.ending.Store(true)
	told, drain, last := d.options.Now(), d.current().config.Schedule.Drain, "none was under way"
	d.options.Logger.Info("ending", "drain", drain)
	if scheduler.Status().Running {
		last = "finished"
	}
	drained, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	if err := scheduler.Stop(drained); err != nil {
		last = "cut short"
		d.options.Logger.Warn("the run under way was cut short", "err", err)
	}
	closing, done := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer done()
	if err := server.Shutdown(closing); err != nil {
		d.options.Logger.Warn("not every answer was finished", "err", err)
	}
	err = g.Wait()
	d.options.Logger.Info("ended", "run", last, "took", d.options.Now().Sub(told))
	if err != nil {
		return fmt.Errorf("serve metrics and pages: %w", err)
	}
	return nil
}

// announce says where metrics and pages are.
func (d *Daemon) announce(l ListenConfig, at net.Addr) {
	host, port, _ := net.SplitHostPort(at.String())
	if host == "::" || host == "0.0.0.0" || host == "" {
		host = "localhost"
	}
	url := l.Scheme() + "://" + net.JoinHostPort(host, port)
	d.options.Logger.Info("serving metrics and pages", "url", url)
	if l.Exposed() {
		d.options.Logger.Warn(ExposedWarning, "address", l.Address)
	}
	if d.options.Listening != nil {
		d.options.Listening(url)
	}
}

// job makes one run, commits it, and has what it found put right if that is configured. It is never called twice at once.
func (d *Daemon) job(ctx context.Context, trigger string) {
	e := d.begin()
	defer d.idle()
	e = d.reread(e)
	known := d.sweep(ctx, e, trigger)
	if known == nil {
		return
	}
	d.mend(ctx, e, known)
	if d.options.Committed != nil {
		d.options.Committed(known.Run)
	}
}

// sweep makes one run and commits it; nil is that it came to nothing.
func (d *Daemon) sweep(ctx context.Context, e *engine, trigger string) *auditor.Snapshot {
	d.progress.Store(&progress{})
	defer d.progress.Store(nil)
	started := d.options.Now().UTC()
	d.metrics.RunStarted(started)
	var run *auditor.Run
	failed := "a bug in this program ended the run; see the log"
	var ended time.Time
	// A panic of this goroutine is survived by the scheduler, but the run has ended all the same.
	defer func() {
		if ended.IsZero() {
			ended = d.options.Now().UTC()
		}
		d.metrics.RunEnded(run, started, ended)
		d.mu.Lock()
		defer d.mu.Unlock()
		d.runError = failed
	}()
	swept, err := e.run(ctx, trigger, nil, d.snapshot.Load(), func(done, total int) {
		d.progress.Store(&progress{done, total})
		if d.options.Progress != nil {
			d.options.Progress(done, total)
		}
	})
	if err == nil && errors.Is(ctx.Err(), context.Canceled) {
		err = fmt.Errorf("the run was cut short: %w", context.Cause(ctx))
	}
	var next *auditor.Snapshot
	before := d.snapshot.Load()
	if err == nil {
		next = before.Next(swept)
		// A run needs several times what is kept of it, and showing it needs memory of its own: not both at once.
		debug.FreeOSMemory()
		err = d.show(next)
	}
	if err != nil {
		failed = err.Error()
		// What was known before stays, until it is too old.
		d.options.Logger.Error("the run gave no result", "trigger", trigger, "err", err)
		return nil
	}
	run, failed = swept, ""
	ended = d.options.Now().UTC() // to record it may take long
	// The next run is minutes away: the machine may have the rest.
	debug.FreeOSMemory()
	d.record(next, d.anew.Swap(false) || next.Moved(before))
	return next
}

// show commits a snapshot: metrics first, since they can fail, then pages.
func (d *Daemon) show(s *auditor.Snapshot) error {
	if err := d.metrics.Commit(s); err != nil {
		return fmt.Errorf("render the metrics: %w", err)
	}
	d.snapshot.Store(s)
	return nil
}

// begin begins a run, by the configuration that it returns.
func (d *Daemon) begin() *engine {
	d.turn.Lock()
	defer d.turn.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running++
	return d.engine
}

// reread reads the file of accounts anew for the run that begins. It returns the engine that knows the accounts of the file:
// while something is wrong with it, the one that knows those of the last good one.
func (d *Daemon) reread(e *engine) *engine {
	cfg := e.config
	if cfg.Accounts.File == "" {
		return e
	}
	filed, err := cfg.readAccounts(cfg.open)
	if e.fileFault = err; err != nil || e.filed != nil && e.filed.digest == filed.digest {
		return e
	}
	changed := *cfg
	changed.filed, changed.fileFault = filed, nil
	next, err := d.newEngine(&changed, nil)
	if err != nil {
		e.fileFault = err
		return e
	}
	next.inherit(e)
	d.mu.Lock()
	d.engine = next
	d.mu.Unlock()
	e.close()
	d.options.Logger.Info("the file of accounts changed", "accounts", len(filed.accounts))
	return next
}

// idle ends a run, and lets a configuration that was waiting for its end come into force.
func (d *Daemon) idle() {
	d.mu.Lock()
	d.running--
	d.mu.Unlock()
	d.swap()
}

// Reload reads the configuration anew. Everything that can fail is done first: on an error, which has every fault, nothing
// has changed. A new configuration comes into force as soon as no run is under way, and is followed by a run. Reloads come
// one after the other, and none before Run makes runs.
func (d *Daemon) Reload(ctx context.Context) error {
	select {
	case <-d.begun:
	case <-ctx.Done():
		return fmt.Errorf("the configuration was not reloaded: %w", context.Cause(ctx))
	}
	if d.scheduler == nil {
		return errors.New("the program has not begun")
	}
	d.reloading.Lock()
	defer d.reloading.Unlock()
	digest, err := d.reload()
	d.metrics.Reloaded(err == nil, d.options.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reloadError = ""
	if err != nil {
		d.reloadError = err.Error()
		for line := range strings.SplitSeq(err.Error(), "\n") {
			d.options.Logger.Error("the configuration was not reloaded; the old one stays in force", "fault", line)
		}
		return err
	}
	d.options.Logger.Info("the configuration was reloaded", "digest", digest)
	return nil
}

// reload returns the digest of the configuration that it accepted.
func (d *Daemon) reload() (digest string, err error) {
	was := d.current().config
	if was.sources == nil {
		return "", errors.New("this configuration was not read from a file and cannot be reloaded")
	}
	cfg, read, err := loadConfig(was.file)
	d.mu.Lock()
	d.read = read
	d.mu.Unlock()
	if err != nil {
		return "", err
	}
	if !cfg.Listen.equal(was.Listen) {
		return "", fmt.Errorf("%s: listen: differs from what the program was started with; restart it, or take the change back", cfg.file)
	}
	if cfg.Listen.Guards().Lacks(d.guards) {
		return "", fmt.Errorf("%s: listen.web_config: the file %q asks for less than when the program was started; write it back, or "+
			"restart the program", cfg.file, cfg.Listen.WebConfig)
	}
	if cfg.StateFolder() != was.StateFolder() {
		return "", fmt.Errorf("%s: state_dir: differs from what the program was started with; restart it, or take the change back", cfg.file)
	}
	e, err := d.newEngine(cfg, d.current().filed)
	if err != nil {
		return "", err
	}
	d.mu.Lock()
	if d.pending != nil {
		d.pending.close()
	}
	d.pending = e
	d.mu.Unlock()
	d.swap()
	return cfg.Digest(), nil
}

// swap brings the waiting configuration into force, if there is one and no run is under way.
func (d *Daemon) swap() {
	d.turn.Lock()
	defer d.turn.Unlock()
	d.mu.Lock()
	next := d.pending
	if next == nil || d.running > 0 {
		d.mu.Unlock()
		return
	}
	d.pending = nil
	d.mu.Unlock()
	cfg := next.config
	// A large fleet takes a second to show, in which others want to know how the program is.
	next.inherit(d.current())
	known := next.known()
	expected := d.snapshot.Load().Expect(next.expected(known), cfg.LoadedBaselines(), cfg.MaxAge).
		Accept(cfg.LoadedWaivers(), d.options.Now())
	expected.Excluded, expected.Notes, expected.TagKeys = known.Excluded, known.Notes, known.TagKeys
	if err := d.show(expected); err != nil {
		d.options.Logger.Error("the new configuration is not shown before its first run", "err", err)
	}
	d.mu.Lock()
	old := d.engine
	d.engine = next
	d.mu.Unlock()
	old.close()
	d.anew.Store(true)
	d.metrics.Running(cfg.Digest(), cfg.LoadedBaselines())
	if err := d.scheduler.Replace(cfg.Plan()); err != nil {
		d.options.Logger.Error("the new schedule was refused", "err", err) // never: the configuration was checked
	}
	d.scheduler.Request(triggerReload)
}

// view is what the pages show, with the scheduler's status.
func (d *Daemon) view(status schedule.Status) web.View {
	now := d.options.Now()
	loop := web.Loop{
		Program: d.options.Version, Running: status.Running, Trigger: status.Trigger, StartedAt: status.StartedAt,
		NextRunAt: status.Next, HeartbeatAt: status.LastBeat, Alive: now.Sub(status.LastBeat) < silence, Stopping: status.Stopping,
		Skipped: status.Skipped, Simulated: d.options.Simulated,
	}
	if p := d.progress.Load(); p != nil {
		loop.Done, loop.Total = p.done, p.total
	}
	d.mu.Lock()
	loop.Cron, loop.ConfigDigest = d.engine.config.Schedule.Cron, d.engine.config.Digest()
	loop.LastError, loop.ReloadError, loop.HistoryError = d.runError, d.reloadError, d.historyError
	d.mu.Unlock()
	return web.View{Snapshot: d.snapshot.Load(), Loop: loop, Past: d.shown.Load(), Repair: d.repair.shown.Load()}
}

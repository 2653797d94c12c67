package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
)

// daemonGC is how much the heap may grow between two collections, in percent of what is in use, unless GOGC says it. A
// daemon waits most of the time: memory is worth more than the processor's time there.
const daemonGC = 20

// daemonMemory is how much memory the garbage collector works to keep the daemon within, in bytes, unless GOMEMLIMIT says it: what
// it has is enough for 100,000 accounts, and eachSweep is what every sweep may have in larger fleets. A limit that is too low
// would have the collector run all the time.
const (
	daemonMemory = 960 << 20
	eachSweep    = 10 << 10
)

func (a *app) runCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "run as a daemon: audit on schedule, serve metrics and pages",
		Long: `Read every account on the schedule of the configuration, the first time at once, and serve what is
known as Prometheus metrics (/metrics) and as pages (/) at the address of the configuration.

SIGHUP, a changed file of the configuration, or POST /-/reload reloads it; a faulty configuration
changes nothing. SIGINT or SIGTERM ends the daemon once the run under way has ended, or after
schedule.drain; a second one ends it at once.

Exit codes: 0 it was told to end, 2 it could not begin or go on, 3 the command line or the
configuration is wrong. What the runs find is no exit code: the metrics say it.`,
		Example: `  agencyaudit run
  agencyaudit run --config /etc/agencyaudit/agencyaudit.yaml
  pkill -HUP -x agencyaudit`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Before anything is read: a configuration of 100,000 accounts takes more memory than what becomes of it.
			if _, set := a.lookupEnv("GOGC"); !set {
				debug.SetGCPercent(daemonGC)
			}
			var committed func(*auditor.Run)
			if _, set := a.lookupEnv("GOMEMLIMIT"); !set {
				debug.SetMemoryLimit(daemonMemory)
				committed = func(run *auditor.Run) { debug.SetMemoryLimit(max(daemonMemory, eachSweep*int64(len(run.Sweeps)))) }
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			b := buildInfo()
			d, err := daemon.New(daemon.Options{
				Config: cfg, Logger: a.log, Version: b.Version, Revision: b.Commit, Watch: true, Committed: committed, Now: clock(),
			})
			if err != nil {
				return &failure{code: exitUsage, err: fmt.Errorf("start the auditor: %w", err)}
			}
			defer d.Close()
			return a.runUntilTold(cmd.Context(), d)
		},
	}
	a.logsFrom(cmd, "info") // nobody reads a daemon's result on its stdout: what it does is said by its log
	return cmd
}

// runUntilTold runs a daemon until ctx is done, and reloads it whenever the terminal hangs up, which is how daemons are
// told to.
func (a *app) runUntilTold(ctx context.Context, d *daemon.Daemon) error {
	hangups, stop := a.hangups()
	ended := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-hangups:
				_ = d.Reload(ctx) // it logs what was wrong, and metrics and pages say so too
			}
		}
	})
	defer func() {
		stop()
		close(ended)
		g.Wait()
	}()
	if err := d.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return &failure{code: exitPartial, err: err}
	}
	return nil
}

// hangups are the signals that reload, where the process has any.
func (a *app) hangups() (<-chan os.Signal, func()) {
	if a.notifyHangup == nil {
		return nil, func() {}
	}
	return a.notifyHangup()
}

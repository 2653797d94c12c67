package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// least is the shortest pause between two runs of the demo.
const least = 10 * time.Millisecond

func (a *app) demoCommand() *cobra.Command {
	var once bool
	var explain string
	var every time.Duration
	var seed uint64
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see it work on a simulated organization; needs no account and no key",
		Long: `Start a simulated cloud inside this process, with an organization that shows every way in which an
agency can be right, wrong or unreadable, and audit it over HTTP with the real auditor.

Without --once it goes on until Ctrl-C: every few seconds something drifts or is repaired, and
what the next run sees differently is printed.

Exit codes of --once: those of audit, so 2, since the organization has accounts that nobody can
read. Without --once: 0.`,
		Example: `  agencyaudit demo --once
  agencyaudit demo --once --explain beta-without-fourth-policy
  agencyaudit demo --every 2s`,
		Args: exactly(0, ""),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			// What cannot be read here is meant not to be; the result says so.
			if !cmd.Flags().Changed("log-level") {
				a.logLevel = "error"
			}
			return a.openLog()
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if explain != "" && !once {
				return misuse("add --once", "--explain is for one run")
			}
			if every < least {
				return misuse("write a duration such as 5s", "--every %s is too often", every)
			}
			d, err := a.startDemo()
			if err != nil {
				return err
			}
			defer d.server.Close()
			switch {
			case explain != "":
				run, err := a.once(cmd.Context(), d.config, "demo", []string{explain})
				if err != nil {
					return err
				}
				return a.explain(run, "table")
			case once:
				return a.demoOnce(cmd.Context(), d)
			}
			return a.demoOn(cmd.Context(), d, every, seed)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "one run, its table and its exit code")
	f.StringVar(&explain, "explain", "", "with --once: everything about this `account` instead of the table")
	f.DurationVar(&every, "every", 5*time.Second, "without --once: `pause` between two runs")
	f.Uint64Var(&seed, "seed", 1, "without --once: `seed` of what happens")
	return cmd
}

// demo is the simulated cloud with the bundled organization, and the auditor's configuration for it.
type demo struct {
	cloud  *simcloud.Cloud
	server *simcloud.Server
	config *daemon.Config
}

func (a *app) startDemo() (*demo, error) {
	failed := func(err error) error {
		return &failure{code: exitPartial, err: fmt.Errorf("start the demo: %w", err)}
	}
	cloud, err := simcloud.New(simcloud.Bundled())
	if err != nil {
		return nil, failed(err)
	}
	cloud.Log = a.log
	id, err := identityOf(cloud.Organization())
	if err != nil {
		return nil, failed(err)
	}
	server, err := cloud.Start(simcloud.Listen{Cloud: "127.0.0.1:0"})
	if err != nil {
		return nil, failed(err)
	}
	text, err := bundledConfigAt(server.URL, "")
	if err == nil {
		var cfg *daemon.Config
		// The demo sees no file and no environment of the machine: no real key can get into it.
		noFile := func(string) (fs.File, error) { return nil, fs.ErrNotExist }
		if cfg, err = daemon.ParseConfig("demo.yaml", text, noFile, id.lookupEnv); err == nil {
			return &demo{cloud, server, cfg}, nil
		}
	}
	return nil, failed(errors.Join(err, server.Close()))
}

func (a *app) demoOnce(ctx context.Context, d *demo) error {
	run, err := a.once(ctx, d.config, "demo", nil)
	if err != nil {
		return err
	}
	o := a.layout()
	o.Verbose, o.Explain = true, "agencyaudit demo --once --explain"
	out := result{to: a.out}
	if err := out.write(func(w io.Writer) error { return report.Table(w, run, o) }); err != nil {
		return err
	}
	fmt.Fprintf(a.err, "\nThis was a simulated organization: nothing in it is real. Exit code 2 is right: %s cannot be read "+
		"on purpose.\n", unreadable(run))
	return verdict(run)
}

func unreadable(run *auditor.Run) string {
	n := 0
	for i := range run.Sweeps {
		if run.Sweeps[i].Report.Unknown != nil {
			n++
		}
	}
	if n == 1 {
		return "one account"
	}
	return fmt.Sprintf("%d accounts", n)
}

// demoOn audits again and again while things happen, until ctx is done, which is the orderly end.
func (a *app) demoOn(ctx context.Context, d *demo, every time.Duration, seed uint64) error {
	auditor, err := daemon.New(daemon.Options{Config: d.config, Logger: a.log, Version: buildInfo().Version})
	if err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("start the auditor: %w", err)}
	}
	defer auditor.Close()
	o := a.layout()
	o.Explain = "agencyaudit demo --once --explain"
	before, err := auditor.Once(ctx, "demo", nil)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return &failure{code: exitPartial, err: err}
	}
	if err := report.Table(a.out, before, o); err != nil {
		return delivered(err)
	}
	fmt.Fprintf(a.err, "\nThis is a simulated organization: nothing in it is real. Something happens every %s; Ctrl-C ends "+
		"it.\n\n", every)
	drill := newDrill(d.cloud, before, seed)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		happened, err := drill.next()
		if err != nil {
			return &failure{code: exitPartial, err: fmt.Errorf("change the simulated cloud: %w", err)}
		}
		after, err := auditor.Once(ctx, "demo", nil)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return &failure{code: exitPartial, err: err}
		}
		if err := report.Changes(a.out, before, after, happened, o); err != nil {
			return delivered(err)
		}
		before = after
	}
}

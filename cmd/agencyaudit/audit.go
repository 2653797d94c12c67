package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
)

func (a *app) auditCommand() *cobra.Command {
	var format, file string
	var accounts []string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "read all accounts once and say what differs from the baselines",
		Long: `Read every account of the configuration, of its file of accounts and of its organization, once,
compare it with the baselines, and write the result to stdout.

An account that cannot be read is unknown, with the reason: it never counts as compliant, and it
never stops the others.

Exit codes: 0 no account has drifted, 1 at least one has, 2 at least one could not be judged, or
not every account could be listed (wins over 1), 3 the command line or the configuration is wrong,
and nothing was read.`,
		Example: `  agencyaudit audit
  agencyaudit audit --account prod-eu --account prod-us
  agencyaudit audit -o json --out report.json
  agencyaudit audit -o prom --out /var/lib/node_exporter/textfile/agencyaudit.prom`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format == "prom" && len(accounts) > 0 {
				return misuse("leave --account out, or use -o table or -o json",
					"-o prom is about all accounts: series of the others would vanish, and their alerts with them")
			}
			cfg, err := a.load()
			if err != nil {
				return err
			}
			mode := newFileMode
			if format == "prom" {
				mode = metricsFileMode
			}
			out, err := a.openResult(file, mode)
			if err != nil {
				return err
			}
			defer out.discard()
			run, err := a.once(cmd.Context(), cfg, "audit", accounts)
			if err != nil {
				return err
			}
			if format == "prom" && cmd.Context().Err() != nil {
				// What it left unread is not unknown, only unread: to say otherwise would end every alert there is.
				return &failure{code: exitPartial, err: errors.New("interrupted: no metrics were written; those of the last run stay")}
			}
			o := a.layout()
			o.Verbose, o.Explain = verbose, a.explainWith()
			if file != "" {
				o.Color, o.Width = false, report.DefaultWidth
			}
			if err := out.write(func(w io.Writer) error {
				switch format {
				case "json":
					return report.JSON(w, run)
				case "prom":
					return daemon.WriteMetrics(w, cfg, run, time.Now())
				}
				return report.Table(w, run, o)
			}); err != nil {
				return err
			}
			return verdict(run)
		},
	}
	outputFlag(cmd, &format, "table", "json", "prom")
	f := cmd.Flags()
	f.StringArrayVar(&accounts, "account", nil, "read only this account, by `name` or id; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("account", a.accountNames)
	f.StringVar(&file, "out", "", "write the result to this `file`, which appears or changes only when it is whole")
	f.BoolVar(&verbose, "verbose", false, "also list accounts in which nothing is wrong, and findings of severity info")
	return cmd
}

func (a *app) explainCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "explain ACCOUNT",
		Short: "say everything about one account: verdict, evidence, and how to put it right by hand",
		Long: `Read one account, by its name or id, and say everything about it: the verdict, the agency, how far
each required grant is covered, what each finding breaks or exposes and how to put it right by
hand, and the evidence.

Only this account is read, so its trust is compared with the baseline but not with the rest of the
fleet; audit does that.

Exit codes: 0 not drifted, 1 drifted, 2 it could not be judged, 3 bad usage or configuration.`,
		Example: `  agencyaudit explain prod-eu
  agencyaudit explain d0000000000000000000000000000004 -o json`,
		Args: exactly(1, "the name or the id of an account"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return a.accountNames(cmd, args, begun)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			run, err := a.once(cmd.Context(), cfg, "explain", args)
			if err != nil {
				return err
			}
			return a.explain(run, format)
		},
	}
	outputFlag(cmd, &format, "table", "json")
	return cmd
}

// explain writes everything about the accounts of a run of chosen ones.
func (a *app) explain(run *auditor.Run, format string) error {
	o := a.layout()
	out := result{to: a.out}
	if err := out.write(func(w io.Writer) error {
		if format == "json" {
			return report.JSON(w, run)
		}
		for i := range run.Sweeps {
			if i > 0 {
				if _, err := io.WriteString(w, "\n\n"); err != nil {
					return err
				}
			}
			if err := report.Explain(w, run, &run.Sweeps[i], o); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	return verdict(run)
}

// explainWith is the command that explains an account of this configuration.
func (a *app) explainWith() string {
	if a.config == defaultConfig {
		return "agencyaudit explain"
	}
	return "agencyaudit explain --config " + shellWord(a.config)
}

// load reads the configuration. Its faults stand one to a line, and the process ends with them.
func (a *app) load() (*daemon.Config, error) { return loaded(daemon.LoadConfig(a.config)) }

// loadWithoutKeys reads the configuration for a command that asks no cloud, and so needs no key.
func (a *app) loadWithoutKeys() (*daemon.Config, error) {
	return loaded(daemon.LoadConfigWithoutKeys(a.config))
}

func loaded(cfg *daemon.Config, err error) (*daemon.Config, error) {
	if err != nil {
		return nil, &failure{code: exitUsage, err: err, faults: true}
	}
	return cfg, nil
}

// once makes one run and shows its progress. The error is of the exit code that it deserves.
func (a *app) once(ctx context.Context, cfg *daemon.Config, trigger string, accounts []string) (run *auditor.Run, err error) {
	err = a.withDaemon(ctx, cfg, func(d *daemon.Daemon) (err error) {
		run, err = d.Once(ctx, trigger, accounts)
		return err
	})
	return run, err
}

// withDaemon has something done with all accounts of a configuration and shows its progress. The error is of the exit code that it
// deserves.
func (a *app) withDaemon(ctx context.Context, cfg *daemon.Config, do func(d *daemon.Daemon) error) error {
	m := &meter{}
	d, err := daemon.New(daemon.Options{Config: cfg, Logger: a.log, Version: buildInfo().Version, Progress: m.set})
	if err != nil {
		return &failure{code: exitUsage, err: fmt.Errorf("start the auditor: %w", err)}
	}
	defer d.Close()
	defer a.progress(ctx, m)()
	err = do(d)
	if lost, ok := errors.AsType[*daemon.UnknownAccountError](err); ok {
		if len(lost.Gaps) > 0 {
			return &failure{code: exitPartial, err: lost, hint: lost.Gaps[0].Remedy} // it may be where nobody could look
		}
		return &failure{code: exitUsage, err: lost}
	}
	if e, ok := errors.AsType[*daemon.AmbiguousAccountError](err); ok {
		return &failure{code: exitUsage, err: e}
	}
	if e, ok := errors.AsType[*daemon.ExcludedAccountError](err); ok {
		return &failure{code: exitUsage, err: e}
	}
	if err != nil {
		return &failure{code: exitPartial, err: err}
	}
	return nil
}

// progress shows a meter on a terminal until the returned function is called.
func (a *app) progress(ctx context.Context, m *meter) (stop func()) {
	if !a.errTerminal || a.dumb() {
		return func() {}
	}
	shown, end := context.WithCancel(ctx)
	var g sync.WaitGroup
	g.Go(func() { m.show(shown, a.screen) })
	return func() {
		end()
		g.Wait()
	}
}

// verdict is the exit code that a run deserves.
func verdict(run *auditor.Run) error {
	switch {
	case !run.Whole():
		return &failure{code: exitPartial}
	case run.Drifted():
		return &failure{code: exitDrift}
	}
	return nil
}

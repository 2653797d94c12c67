package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// demoListen is where the demo serves its page unless it is told otherwise: the daemon's own default.
const demoListen = "127.0.0.1:9878"

func (a *app) demoCommand() *cobra.Command {
	var once bool
	var explain string
	var every time.Duration
	var seed uint64
	var listen string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "see it work on a simulated organization; needs no account and no key",
		Long: `Start a simulated cloud inside this process, with an organization that shows every way in which an
agency can be right, wrong or unreadable, and audit it over HTTP with the real auditor.

Without --once it is the daemon, and goes on until Ctrl-C: every few seconds something drifts or is
repaired, and the next run sees it. Page and metrics are served at the address that is printed. On
a terminal the accounts in which things happen are drawn anew after every run; elsewhere what
changed is printed.

Exit codes of --once: those of audit, so 2, since the organization has accounts that nobody can
read. Without --once: 0.`,
		Example: `  agencyaudit demo --once
  agencyaudit demo --once --explain beta-without-fourth-policy
  agencyaudit demo --every 2s`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := demoFlags(cmd, once, every, listen); err != nil {
				return err
			}
			if !once && !cmd.Flags().Changed("listen") {
				listen = freeOr(cmd.Context(), listen)
			}
			d, err := a.startDemo(every, listen)
			if err != nil {
				return err
			}
			defer d.server.Close()
			switch {
			case explain != "":
				run, err := a.once(cmd.Context(), d.config, "demo", []string{explain})
				if lost, ok := errors.AsType[*daemon.UnknownAccountError](err); ok {
					return misuse("run \"agencyaudit demo --once\" to see the names of the demo's accounts", "%w", lost)
				}
				if err != nil {
					return err
				}
				return a.explain(run, "table")
			case once:
				return a.demoOnce(cmd.Context(), d)
			}
			return a.demoOn(cmd.Context(), d, seed)
		},
	}
	a.logsFrom(cmd, "error") // what cannot be read here is meant not to be; the result says so
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "one run, its table and its exit code")
	f.StringVar(&explain, "explain", "", "with --once: everything about this `account` instead of the table")
	_ = cmd.RegisterFlagCompletionFunc("explain", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		names := map[string]string{}
		for _, acct := range simcloud.Bundled().Accounts {
			names[acct.Name] = acct.Note
		}
		return offered(names), cobra.ShellCompDirectiveNoFileComp
	})
	f.DurationVar(&every, "every", 5*time.Second, "without --once: `pause` between two runs")
	f.Uint64Var(&seed, "seed", 1, "without --once: `seed` of what happens")
	f.StringVar(&listen, "listen", demoListen,
		"without --once: `address` of page and metrics; unless it is given, another port is taken when this one is not free")
	return cmd
}

// demoFlags says what is wrong with the flags of the demo, each by itself and together.
func demoFlags(cmd *cobra.Command, once bool, every time.Duration, listen string) error {
	if cmd.Flags().Changed("explain") && !once {
		return misuse("add --once", "--explain is for one run")
	}
	for _, name := range []string{"every", "seed", "listen"} {
		if cmd.Flags().Changed(name) && once {
			return misuse("leave one of the two out", "--%s does nothing with --once", name)
		}
	}
	if every < time.Second || every%time.Second != 0 {
		return misuse("write a duration of whole seconds such as 5s", "--every %s is no pause between two runs", rules.Span(every))
	}
	if err := daemon.CheckAddress(listen); err != nil {
		return misuse("write host:port, such as "+demoListen, "--listen: %w", err)
	}
	return nil
}

// demoRepair is what the demo's configuration says of repair: in this mode nothing can be written.
const demoRepair = `
remediation:
  mode: plan
  missing: {enabled: true}
  excess: {enabled: true, policies: [ECS ReadOnlyAccess, Tenant Guest]}
`

// demo is the simulated cloud with the bundled organization, and the auditor's configuration for it.
type demo struct {
	cloud  *simcloud.Cloud
	server *simcloud.Server
	config *daemon.Config
}

// freeOr returns the address if nobody listens there, and else one with a port that is free.
func freeOr(ctx context.Context, address string) string {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return "127.0.0.1:0"
	}
	_ = l.Close()
	return address
}

func (a *app) startDemo(every time.Duration, listen string) (*demo, error) {
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
		pause := rules.Span(every)
		if strings.Contains(pause, "d") {
			pause = every.String() // a schedule knows no days
		}
		// The demo sees no file and no environment of the machine: no real key can get into it.
		text = fmt.Appendf(text, "\nschedule: {cron: \"@every %s\", jitter: 0s, drain: 1s}\nmax_age: %s\nlisten: {address: %q}\n%s",
			pause, 2*every+15*time.Minute, listen, demoRepair)
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
	if err := out.write(func(w io.Writer) error {
		if err := report.Table(w, run, o); err != nil {
			return err
		}
		now := time.Now()
		v := report.PlanView{
			Plan: daemon.Propose(d.config, run, now), Now: now,
			Next: "This is what repair would do here, in mode plan, which can write nothing. docs/repair.md leads from there to more.",
		}
		if _, err := io.WriteString(w, "\n"); err != nil {
			return err
		}
		o.Verbose = false
		return report.Plan(w, v, o)
	}); err != nil {
		return err
	}
	fmt.Fprintln(a.err)
	a.paragraph("", "This was a simulated organization: nothing in it is real. Exit code 2 is right: "+unreadable(run)+
		" cannot be read on purpose.")
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

// demoOn runs the daemon on the simulated cloud until ctx is done, which is the orderly end, and lets something happen
// after every run.
func (a *app) demoOn(ctx context.Context, d *demo, seed uint64) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	show := &demoScreen{app: a, demo: d, seed: seed}
	b := buildInfo()
	auditor, err := daemon.New(daemon.Options{
		Config: d.config, Logger: a.log, Version: b.Version, Revision: b.Commit, Simulated: true,
		History:   history.NewMemory(),
		Listening: func(url string) { show.url = url },
		Committed: func(run *auditor.Run) {
			if err := show.next(run); err != nil {
				cancel(err)
			}
		},
	})
	if err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("start the auditor: %w", err)}
	}
	defer auditor.Close()
	err = a.runUntilTold(ctx, auditor)
	if f, ok := errors.AsType[*failure](context.Cause(ctx)); ok {
		return f
	}
	return err
}

// demoScreen shows one run of the demo after the other: on a terminal as a picture that is drawn anew, elsewhere as a table
// and then what changed.
type demoScreen struct {
	app  *app
	demo *demo
	seed uint64
	url  string

	drill    *drill
	before   *auditor.Run
	happened string
}

// next shows a run, and lets the next thing happen. It is called from one goroutine at a time.
func (s *demoScreen) next(run *auditor.Run) error {
	first := s.drill == nil
	if first {
		s.drill = newDrill(s.demo.cloud, run, s.seed)
	}
	var err error
	o := s.app.layout() // taken anew each time: the terminal may have another size by now
	o.Explain = "agencyaudit demo --once --explain"
	switch {
	case s.app.outTerminal && !s.app.dumb():
		err = s.draw(run, o)
	case first:
		o.Verbose = true
		if err = report.Table(s.app.out, run, o); err == nil {
			err = s.footer(s.app.err, o)
		}
	default:
		err = report.Changes(s.app.out, s.before, run, s.happened, o)
	}
	if err != nil {
		f, _ := errors.AsType[*failure](delivered(err))
		return f
	}
	s.before = run
	if s.happened, err = s.drill.next(); err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("change the simulated cloud: %w", err)}
	}
	return nil
}

// clearScreen is the terminal's sequence that goes to the upper left corner and empties everything below it.
const clearScreen = "\x1b[H\x1b[J"

// draw draws the accounts in which things happen, and where to look further. Nothing scrolls: the last row of the terminal
// is left to the cursor.
func (s *demoScreen) draw(run *auditor.Run, o report.Options) error {
	var picture, below bytes.Buffer
	var err error
	if s.happened != "" {
		below.WriteByte('\n')
		err = report.Paragraph(&below, "Just now    ", rules.Escape(s.happened), o)
	}
	err = errors.Join(err, s.footer(&below, o))
	lines := 0 // as many as it takes
	if _, rows, unknown := s.app.size(); unknown == nil && rows > 0 {
		lines = max(rows-1-bytes.Count(below.Bytes(), []byte("\n")), 1)
	}
	picture.WriteString(clearScreen)
	if err = errors.Join(err, report.Live(&picture, run, s.drill.isTarget, lines, o)); err != nil {
		return err
	}
	picture.Write(below.Bytes())
	_, err = picture.WriteTo(s.app.out)
	return err
}

// footer says where to look further, below an empty line.
func (s *demoScreen) footer(w io.Writer, o report.Options) error {
	var b bytes.Buffer
	b.WriteByte('\n')
	err := errors.Join(
		report.Paragraph(&b, "The page    ", s.url+"/?refresh=2", o),
		report.Paragraph(&b, "The metrics ", s.url+"/metrics", o),
	)
	b.WriteByte('\n')
	err = errors.Join(err, report.Paragraph(&b, "", "This is a simulated organization: nothing in it is real. Something happens "+
		"after every run. Ctrl-C ends it.", o))
	if err == nil {
		_, err = b.WriteTo(w)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The exit codes of all commands.
const (
	exitOK      = 0 // done, and nothing is wrong
	exitDrift   = 1 // an account has drifted
	exitPartial = 2 // not everything could be read or done; wins over drift, since the answer is not whole
	exitUsage   = 3 // bad usage or configuration: nothing was done
)

// console is what the program may touch of the process it runs in.
type console struct {
	in       io.Reader
	out, err io.Writer
	// outTerminal and errTerminal say whether a person sees the two, and inTerminal whether a person can answer.
	outTerminal, errTerminal, inTerminal bool
	// size is how many columns and rows the terminal behind out has.
	size      func() (columns, rows int, err error)
	lookupEnv func(name string) (string, bool)
	// notifyHangup has SIGHUP delivered rather than end the process, until the function it returns is called. Nil leaves it.
	notifyHangup func() (<-chan os.Signal, func())
}

// app is the program while it runs one command.
type app struct {
	console
	screen *screen
	log    *slog.Logger

	config    string
	logLevel  string
	logFormat string
}

// failure ends a command with an exit code, and with one message on stderr if there is an error.
type failure struct {
	code int
	err  error
	// hint says what to do instead, in one line.
	hint string
	// faults says that err is a list of faults, one to a line, each of which begins with its place for whoever jumps there.
	faults bool
}

// Error says what went wrong.
func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

// Unwrap returns what went wrong.
func (f *failure) Unwrap() error { return f.err }

// misuse is a failure of whoever wrote the command line.
func misuse(hint, format string, args ...any) error {
	return &failure{code: exitUsage, err: fmt.Errorf(format, args...), hint: hint}
}

// run runs one command and returns the exit code of the process. It is the whole program but for what belongs to the
// process: signals, streams and the exit itself.
func run(ctx context.Context, args []string, c console) (code int) {
	a := &app{console: c, screen: newScreen(c.err)}
	a.err = a.screen
	a.log = a.newLog(c.errTerminal, slog.LevelWarn)
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		// The value of a panic may hold anything, a key too; its type and the names of the stack's functions do not.
		code = exitPartial
		a.log.Error("a bug in this program ended the command", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
		a.say("a bug in this program ended the command. Please report the log line above. Whatever was changed in the cloud stands in the ledger.")
	}()
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	f, ok := errors.AsType[*failure](err)
	if !ok {
		// Whatever cobra itself refuses is a matter of the command line.
		f = &failure{code: exitUsage, err: err}
	}
	switch {
	case f.faults:
		for line := range strings.SplitSeq(strings.TrimRight(f.err.Error(), "\n"), "\n") {
			fmt.Fprintln(a.err, rules.Escape(strings.TrimRight(line, " ")))
		}
	case f.err != nil:
		a.say(f.err.Error())
	}
	switch u, ok := errors.AsType[*rules.Unknown](f.err); {
	case f.hint != "":
		a.say(f.hint)
	case ok && u.Remedy != "":
		a.say(u.Remedy)
	}
	return f.code
}

// say writes one line of the program's own, which is no log, to stderr.
func (a *app) say(message string) { fmt.Fprintf(a.err, "agencyaudit: %s\n", rules.Escape(message)) }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "agencyaudit",
		Short: "audit what the agencies of cloud services may do in your accounts",
		Long: `agencyaudit reads, in every account of a Huawei Cloud organization, what the agency of a cloud
service may do there, compares it with a baseline, and says what is missing, what is too much, and
what could not be read. It only reads, unless it is configured to repair.

Exit codes of all commands: 0 done and nothing is wrong, 1 an account has drifted, 2 not
everything could be read or done (which wins over 1: the answer is not whole), 3 bad usage or
configuration.`,
		Example: `  agencyaudit demo --once                 # see it work; needs no account and no key
  agencyaudit check                       # is the configuration right?
  agencyaudit doctor                      # can every account be read, and what is lacking?
  agencyaudit audit                       # read all accounts once
  agencyaudit run                         # the daemon: audit on schedule, serve metrics and pages
  agencyaudit explain prod-eu             # everything about one account`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if f := cmd.Flags().Lookup("config"); f != nil && f.Hidden && f.Changed {
				return misuse("leave it out", "--config does nothing with %s", cmd.Name())
			}
			return a.openLog()
		},
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetHelpFunc(a.help)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return misuse(seeHelp(cmd), "%w", err) })
	f := root.PersistentFlags()
	f.StringVar(&a.config, "config", defaultConfig, "configuration `file`")
	f.StringVar(&a.logLevel, "log-level", "auto",
		"log from this `level` on: debug, info, warn, error; auto is error on a terminal, warn elsewhere")
	f.StringVar(&a.logFormat, "log-format", "auto",
		"log in this `format`: text, json; auto is text on a terminal and json elsewhere")
	complete(root, "log-level", logLevels...)
	complete(root, "log-format", logFormats...)
	root.AddCommand(
		a.applyCommand(), a.approveCommand(), a.auditCommand(), a.baselineCommand(), a.checkCommand(), noConfig(a.completionCommand()),
		noConfig(a.demoCommand()), a.doctorCommand(), a.explainCommand(), a.freezeCommand(), a.historyCommand(), a.ledgerCommand(),
		a.planCommand(), a.runCommand(), noConfig(a.simcloudCommand()), a.undoCommand(), a.unfreezeCommand(), noConfig(a.versionCommand()),
		a.waiverCommand(),
	)
	return root
}

const defaultConfig = "agencyaudit.yaml"

func seeHelp(cmd *cobra.Command) string {
	return "run \"" + cmd.CommandPath() + " --help\" to see how it is used"
}

// noCommand refuses words that are no command, with what resembles them.
func (a *app) noCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.SuggestionsMinimumDistance == 0 {
		cmd.SuggestionsMinimumDistance = 2
	}
	hint := seeHelp(cmd)
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return misuse(hint, "unknown command %q", args[0])
}

// exactly wants n arguments, which what names.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < n:
			return misuse(seeHelp(cmd), "%s needs %s", cmd.CommandPath(), what)
		case len(args) > n:
			return misuse(seeHelp(cmd), "%s does not take the argument %q", cmd.CommandPath(), args[n])
		}
		return nil
	}
}

// The values of --log-level and --log-format.
var (
	logLevels  = []string{"auto", "debug", "info", "warn", "error"}
	logFormats = []string{"auto", "text", "json"}
)

// logsFrom gives a command a --log-level of its own, whose default says what a person wants to see of it.
func (a *app) logsFrom(cmd *cobra.Command, level string) {
	var chosen string
	cmd.Flags().StringVar(&chosen, "log-level", level, "log from this `level` on: debug, info, warn, error")
	complete(cmd, "log-level", logLevels[1:]...)
	cmd.PreRunE = func(*cobra.Command, []string) error {
		a.logLevel = chosen
		return a.openLog()
	}
}

// noConfig takes --config from a command that has no use for a configuration: it is neither offered nor taken.
func noConfig(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String("config", "", "")
	_ = cmd.Flags().MarkHidden("config")
	return cmd
}

// complete has the shell offer the values of a flag.
func complete(cmd *cobra.Command, flag string, values ...string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}

// completionTime is how long a shell that completes the name of an account waits for the organization.
const completionTime = 3 * time.Second

// accountNames has the shell offer the accounts, with their ids beside them: those of the organization too if it can be listed
// in time, and else those that the configuration lists.
func (a *app) accountNames(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	accounts, err := daemon.ListAccounts(ctx, a.config)
	if err != nil {
		return offered(daemon.AccountNames(a.config)), cobra.ShellCompDirectiveNoFileComp
	}
	bearers := map[string]int{}
	for i := range accounts {
		bearers[accounts[i].Name]++
	}
	names := make(map[string]string, len(accounts))
	for i := range accounts {
		if bearers[accounts[i].Name] > 1 {
			names[accounts[i].ID] = accounts[i].Name // its name alone is not enough
		} else {
			names[accounts[i].Name] = accounts[i].ID
		}
	}
	return offered(names), cobra.ShellCompDirectiveNoFileComp
}

// offered are names and what describes them, for a shell. A name that could act on the terminal is not offered.
func offered(names map[string]string) []cobra.Completion {
	var list []cobra.Completion
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if name != "" && rules.Escape(name) == name {
			list = append(list, cobra.CompletionWithDesc(name, rules.Escape(names[name])))
		}
	}
	return list
}

// openLog makes the logger that the flags ask for.
func (a *app) openLog() error {
	level := slog.LevelWarn
	switch a.logLevel {
	case "auto":
		// On a terminal the result says it all, and better.
		if a.errTerminal {
			level = slog.LevelError
		}
	case "debug", "info", "warn", "error":
		if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
			return err
		}
	default:
		return misuse("write auto, debug, info, warn or error", "unknown --log-level %q", a.logLevel)
	}
	switch a.logFormat {
	case "auto":
		a.log = a.newLog(a.errTerminal, level)
	case "text":
		a.log = a.newLog(true, level)
	case "json":
		a.log = a.newLog(false, level)
	default:
		return misuse("write auto, text or json", "unknown --log-format %q", a.logFormat)
	}
	return nil
}

// layout is how text on stdout is laid out.
func (a *app) layout() report.Options {
	o := report.Options{Width: report.DefaultWidth}
	if !a.outTerminal {
		return o
	}
	if columns, _, err := a.size(); err == nil && columns > 0 {
		o.Width = columns
	}
	noColor, _ := a.lookupEnv("NO_COLOR")
	o.Color = noColor == "" && !a.dumb()
	return o
}

// dumb says that the terminal can do no more than show one line after the other, so that it is sent no escape sequence.
func (a *app) dumb() bool {
	kind, _ := a.lookupEnv("TERM")
	return kind == "dumb"
}

// paragraph writes text of the program's own, which is no log, to stderr.
func (a *app) paragraph(lead, text string) {
	_ = report.Paragraph(a.err, lead, rules.Escape(text), a.layout())
}

// outputFlag adds -o with the formats, the first of which is the default.
func outputFlag(cmd *cobra.Command, to *string, formats ...string) {
	cmd.Flags().StringVarP(to, "output", "o", formats[0], "`format` of the result: "+strings.Join(formats, ", "))
	check := cmd.PreRunE
	cmd.PreRunE = func(cmd *cobra.Command, args []string) error {
		for _, f := range formats {
			if *to == f {
				if check != nil {
					return check(cmd, args)
				}
				return nil
			}
		}
		return misuse("write "+strings.Join(formats, ", "), "unknown --output %q", *to)
	}
	complete(cmd, "output", formats...)
}

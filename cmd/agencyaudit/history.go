package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// past is where a command finds a history.
type past struct{ stateDir string }

// flag adds the flag that names a history.
func (p *past) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.stateDir, "state-dir", "", "look at the history in this `directory`, without any configuration")
	_ = cmd.MarkFlagDirname("state-dir")
}

func (a *app) historyCommand() *cobra.Command {
	var p past
	var from, to, account, at, format string
	var verbose bool
	cmd := &cobra.Command{
		Use:   "history",
		Short: "say what changed between two times or runs, and what was known of an account then",
		Long: `Say what changed in a time, in all accounts or one: which findings came (+) and went (-), which of
those were put right, and which states changed. With --at, say what was known of an account at an
instant, with the evidence of that time.

It looks at the history that the daemon keeps in state_dir, beside the daemon or without one, and
asks no cloud. An instant is a date (2026-11-20), a time (2026-11-20T08:00), a span ago (36h,
7d), or the id of a run, which is when that ended. Dates and times without a zone are in UTC.

Exit codes: 0 nothing changed, or what was known is shown; 1 something changed; 2 the history does
not know the whole time, since it begins later, no run ended in it, the runs broke off, or an
account was unknown at the end, or it knows nothing of the account then, or cannot be read; 3 bad
usage or configuration.`,
		Example: `  agencyaudit history
  agencyaudit history --from 7d --account prod-eu
  agencyaudit history --from 2026-11-20 --to 2026-11-21 -o json
  agencyaudit history --account prod-eu --at 2026-11-20T08:00:00Z`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case at != "" && (from != "" || to != ""):
				return misuse("leave --from and --to out, or --at", "--at is one instant, --from and --to are two")
			case at != "" && account == "":
				return misuse("add --account NAME", "--at is about one account")
			case at != "" && verbose:
				return misuse("leave it out", "--verbose does nothing with --at")
			}
			return a.withHistory(cmd, &p, func(ctx context.Context, s history.Store) error {
				if err := knownAccount(ctx, s, account); err != nil {
					return err
				}
				now := time.Now()
				if at != "" {
					t, err := pastInstant(ctx, s, "--at", at, now)
					if err != nil {
						return err
					}
					return a.then(ctx, s, t, account, format)
				}
				begin, end, err := span(ctx, s, cmp.Or(from, "24h"), to, now)
				if err != nil {
					return err
				}
				if from == "" && !begin.Before(end) {
					return misuse("give --from too, such as --from 7d", "--from is 24h before now unless it is given, and --to %s is not after that", to)
				}
				if err := inOrder(begin, end); err != nil {
					return err
				}
				c, err := history.Compare(ctx, s, begin, end, account)
				if err != nil {
					return err
				}
				return a.changed(c, account, format, verbose)
			})
		},
	}
	outputFlag(cmd, &format, "table", "json")
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "what changed after this `instant`; 24h ago unless it is given")
	f.StringVar(&to, "to", "", "what changed until this `instant`; now unless it is given")
	f.StringVar(&account, "account", "", "only this account, by its id or a `name` that it bears or bore")
	f.StringVar(&at, "at", "", "what was known of the account at this `instant`")
	f.BoolVar(&verbose, "verbose", false, "also show findings of severity info")
	p.flag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("account", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.pastNames(cmd, &p), cobra.ShellCompDirectiveNoFileComp
	})
	cmd.AddCommand(a.historyRunsCommand(&p), a.historyCheckCommand(&p))
	return cmd
}

func (a *app) historyRunsCommand(p *past) *cobra.Command {
	var from, to, format string
	var limit int
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "list the runs of the history, the newest last",
		Long: `List the runs that the history knows: when each ended, what began it, how many accounts were in
which state, and whether it was incomplete or suspect, and why.

Exit codes: 0 listed, 2 the history cannot be read, 3 bad usage or configuration.`,
		Example: `  agencyaudit history runs
  agencyaudit history runs --from 7d --limit 0 -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return misuse("name how many runs are shown, or 0 for all", "--limit %d is less than nothing", limit)
			}
			return a.withHistory(cmd, p, func(ctx context.Context, s history.Store) error {
				var begin time.Time
				end := time.Now()
				if from != "" || to != "" {
					var err error
					if begin, end, err = span(ctx, s, from, to, end); err != nil {
						return err
					}
					if err = inOrder(begin, end); err != nil {
						return err
					}
				}
				runs, err := s.Runs(ctx, begin, end.Add(1))
				if err != nil {
					return err
				}
				shown := runs
				if n := len(runs); limit > 0 && n > limit {
					shown = runs[n-limit:]
				}
				if format == "json" {
					return delivered(report.HistoryRunsJSON(a.out, shown, len(runs), begin, end))
				}
				return delivered(report.HistoryRuns(a.out, shown, len(runs), a.layout()))
			})
		},
	}
	outputFlag(cmd, &format, "table", "json")
	f := cmd.Flags()
	f.StringVar(&from, "from", "", "only runs that ended at this `instant` or later")
	f.StringVar(&to, "to", "", "only runs that ended at this `instant` or earlier")
	p.flag(cmd)
	f.IntVar(&limit, "limit", 20, "show this many of the newest `runs`; 0 is all")
	return cmd
}

func (a *app) historyCheckCommand(p *past) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "check",
		Short: "read the whole history, and say whether it is as it was written",
		Long: `Read everything in the history and say whether it is as it was written: SQLite checks its file, and
the hash of every row is compared with what is in it.

Exit codes: 0 it is as it was written; 2 it is not, or cannot be read, and what to do; 3 bad usage
or configuration.`,
		Example: `  agencyaudit history check
  agencyaudit history check --state-dir /var/lib/agencyaudit`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withHistory(cmd, p, func(ctx context.Context, s history.Store) error {
				if err := s.Check(ctx); err != nil {
					return err
				}
				return a.sound(ctx, s, p)
			})
		},
	}
	p.flag(cmd)
	return cmd
}

// sound says that a history is as it was written, and how much it is.
func (a *app) sound(ctx context.Context, s history.Store, p *past) error {
	size, err := s.Size()
	if err != nil {
		return err
	}
	runs, err := s.Runs(ctx, time.Time{}, time.Time{})
	if err != nil {
		return err
	}
	accounts, err := s.Accounts(ctx)
	if err != nil {
		return err
	}
	begins, err := s.Begins(ctx)
	if err != nil {
		return err
	}
	o := a.layout()
	say := func(lead, format string, args ...any) {
		if err == nil {
			err = report.Paragraph(a.out, lead, rules.Escape(fmt.Sprintf(format, args...)), o)
		}
	}
	say("", "OK: the history in %s is as it was written", p.stateDir)
	say("  size      ", "%.1f MiB", float64(size)/(1<<20))
	say("  accounts  ", "%d", len(accounts))
	if n := len(runs); n == 0 {
		say("  runs      ", "none yet")
	} else {
		say("  runs      ", "%d", n)
		say("  first     ", "%s, ended at %s", runs[0].ID, utc(runs[0].EndedAt))
		say("  last      ", "%s, ended at %s", runs[n-1].ID, utc(runs[n-1].EndedAt))
		say("  whole     ", "from %s on", utc(begins))
	}
	return delivered(err)
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// withHistory has something done with the history that the command line names. It is only looked at.
func (a *app) withHistory(cmd *cobra.Command, p *past, do func(context.Context, history.Store) error) error {
	given := p.stateDir != ""
	if given && cmd.Flags().Changed("config") {
		return misuse("leave one of them out", "--config does nothing with --state-dir")
	}
	if !given {
		cfg, err := a.loadWithoutKeys()
		if err != nil {
			return err
		}
		if p.stateDir = cfg.StateFolder(); p.stateDir == "" {
			return misuse("set state_dir, with which the daemon keeps a history, or name its directory with --state-dir",
				"the configuration %s names no state_dir, so there is no history", a.config)
		}
	} else if info, err := os.Stat(p.stateDir); err == nil && !info.IsDir() {
		return misuse("name its directory: --state-dir "+shellWord(filepath.Dir(p.stateDir)), "%s is a file, and no directory", p.stateDir)
	} else if err != nil && !errors.Is(err, fs.ErrPermission) { // which history.OpenReadOnly says better
		return misuse("name the directory in which "+history.FileName+" is", "there is no directory %s", p.stateDir)
	}
	s, err := history.OpenReadOnly(p.stateDir)
	if err != nil {
		return &failure{code: exitPartial, err: err}
	}
	defer s.Close()
	err = do(cmd.Context(), s)
	if _, said := errors.AsType[*failure](err); err != nil && !said {
		return &failure{code: exitPartial, err: err}
	}
	return err
}

// changed writes what changed. The error is of the exit code that it deserves.
func (a *app) changed(c *history.Changes, account, format string, verbose bool) error {
	o := a.layout()
	o.Verbose = verbose
	var err error
	if format == "json" {
		err = report.HistoryChangesJSON(a.out, c, account)
	} else {
		err = report.HistoryChanges(a.out, c, o)
	}
	switch {
	case err != nil:
		return delivered(err)
	case !c.Covers():
		return &failure{code: exitPartial}
	case len(c.Changes) > 0:
		return &failure{code: exitDrift}
	}
	return nil
}

// then writes what was known of an account.
func (a *app) then(ctx context.Context, s history.Store, at time.Time, account, format string) error {
	known, err := history.Then(ctx, s, at, account)
	if err != nil {
		return err
	}
	begins, err := s.Begins(ctx)
	if err != nil {
		return err
	}
	nothing := ""
	if len(known) == 0 {
		if nothing, err = whyNothing(ctx, s, at, account, begins); err != nil {
			return err
		}
	}
	out := result{to: a.out}
	err = out.write(func(w io.Writer) error {
		if format == "json" {
			return report.HistoryAccountJSON(w, known, at, account, begins, nothing)
		}
		o := a.layout()
		for i := range known {
			if i > 0 {
				if _, err := io.WriteString(w, "\n\n"); err != nil {
					return err
				}
			}
			if err := report.HistoryAccount(w, &known[i], at, o); err != nil {
				return err
			}
		}
		if nothing != "" {
			return report.Paragraph(w, "", rules.Escape("At "+utc(at)+" nothing was known of "+account+": "+nothing+"."), o)
		}
		return nil
	})
	if err == nil && nothing != "" {
		err = &failure{code: exitPartial}
	}
	return err
}

// whyNothing says why nothing was known of an account at an instant.
func whyNothing(ctx context.Context, s history.Store, at time.Time, account string, begins time.Time) (string, error) {
	all, err := s.Verdicts(ctx, history.Query{Account: account, Bare: true})
	if err != nil {
		return "", err
	}
	var left *history.Verdict
	for i := range all {
		if v := &all[i]; !v.Until.IsZero() && !v.Until.After(at) {
			left = v
		}
	}
	switch {
	case at.Before(begins):
		return "the history is whole from " + utc(begins) + " on, and what was before was not recorded, or is forgotten as history.keep says", nil
	case left != nil:
		return "it was no longer in the fleet, or left alone, since " + utc(left.Until) + " (run " + left.UntilRun + ")", nil
	}
	return "it was not in the fleet yet; the first run that knew it ended at " + utc(all[0].From) + " (run " + all[0].FromRun + ")", nil
}

// knownAccount refuses an account that the history never knew, with what resembles it. No account is none to refuse.
func knownAccount(ctx context.Context, s history.Store, account string) error {
	if account == "" {
		return nil
	}
	if list, err := s.Verdicts(ctx, history.Query{Account: account, Bare: true}); err != nil || len(list) > 0 {
		return err
	}
	accounts, err := s.Accounts(ctx)
	if err != nil {
		return err
	}
	var near, names []string
	for _, is := range accounts {
		names = append(names, is.Name)
		if strings.Contains(strings.ToLower(is.Name), strings.ToLower(account)) && len(near) < 5 {
			near = append(near, is.Name)
		}
	}
	if name := strictyaml.Nearest(account, names); name != "" && !slices.Contains(near, name) {
		near = append([]string{name}, near...)
	}
	hint := "name one by its id, or by a name that it bears or bore"
	if len(near) > 0 {
		hint = "did you mean " + strings.Join(near, ", ") + "?"
	}
	return misuse(hint, "the history knows no account %q", account)
}

// span reads the two ends of a time; an empty from is the beginning, an empty to is now.
func span(ctx context.Context, s history.Store, from, to string, now time.Time) (begin, end time.Time, err error) {
	end = now
	if from != "" {
		if begin, err = pastInstant(ctx, s, "--from", from, now); err != nil {
			return begin, end, err
		}
	}
	if to != "" {
		if end, err = pastInstant(ctx, s, "--to", to, now); err != nil {
			return begin, end, err
		}
	}
	return begin, end, nil
}

// inOrder refuses a time that ends before it begins.
func inOrder(begin, end time.Time) error {
	if begin.Before(end) {
		return nil
	}
	return misuse("give the earlier one to --from", "--from, %s, is not before --to, %s", utc(begin), utc(end))
}

// pastInstant reads an instant as people write it.
func pastInstant(ctx context.Context, s history.Store, flag, text string, now time.Time) (time.Time, error) {
	if t, ok := readInstant(text, now); ok {
		if t.After(now) {
			return t, misuse("a history is about the past", "%s %s lies in the future", flag, text)
		}
		return t, nil
	}
	runs, err := s.Runs(ctx, time.Time{}, time.Time{})
	if err != nil {
		return time.Time{}, err
	}
	if i := slices.IndexFunc(runs, func(r history.Run) bool { return r.ID == text }); i >= 0 {
		return runs[i].EndedAt, nil
	}
	return time.Time{}, misuse("write 2026-11-20, 2026-11-20T08:00 (both UTC), 2026-11-20T08:00:00+08:00, a span ago such as 36h or 7d, or the id "+
		"of a run, as history runs has it", "%s %q is no instant, and the history has no such run", flag, text)
}

// readInstant reads a date, a time, or a span ago.
func readInstant(text string, now time.Time) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, time.DateTime, time.DateOnly, "2006-01-02T15:04Z07:00", "2006-01-02 15:04",
		"2006-01-02T15:04:05", "2006-01-02T15:04",
	} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	if text == "" {
		return now, false
	}
	days, rest, hasDays := strings.Cut(text, "d")
	if !hasDays {
		days, rest = "0", text
	}
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return now, false
	}
	var more time.Duration
	if rest != "" {
		if more, err = time.ParseDuration(rest); err != nil || more < 0 {
			return now, false
		}
	}
	return now.AddDate(0, 0, -int(n)).Add(-more), true
}

// pastNames has the shell offer the accounts of the history or, where there is none, those of the configuration. No cloud is asked.
func (a *app) pastNames(cmd *cobra.Command, p *past) []cobra.Completion {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), completionTime)
	defer cancel()
	dir := p.stateDir
	if dir == "" {
		if cfg, err := daemon.LoadConfigWithoutKeys(a.config); err == nil {
			dir = cfg.StateFolder()
		}
	}
	if s, err := history.OpenReadOnly(dir); dir != "" && err == nil {
		defer s.Close()
		if accounts, err := s.Accounts(ctx); err == nil {
			names := map[string]string{}
			for _, is := range accounts {
				names[is.Name] = is.ID
			}
			return offered(names)
		}
	}
	return offered(daemon.AccountNames(a.config))
}

// missing says that there is no history yet.
func missing(dir string) bool {
	_, err := os.Lstat(filepath.Join(dir, history.FileName))
	return errors.Is(err, fs.ErrNotExist)
}

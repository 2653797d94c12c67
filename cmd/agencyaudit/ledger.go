package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// ledgerPlace is where a command finds a ledger.
type ledgerPlace struct{ stateDir string }

func (p *ledgerPlace) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.stateDir, "state-dir", "", "look at the ledger in this `directory`, without any configuration")
	_ = cmd.MarkFlagDirname("state-dir")
}

func (a *app) ledgerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "show or verify the record of all that repair intended, did and was told",
		Long: `Show or verify the ledger in state_dir: what repair wrote down, beforehand, of all that it intended,
did and was told. It is read as it lies there, beside a daemon or without one, and is never
changed by that. Where one is lost for good, renew begins another.`,
		Example: `  agencyaudit ledger show --last 20
  agencyaudit ledger verify`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.ledgerShowCommand(), a.ledgerVerifyCommand(), a.ledgerRenewCommand())
	return cmd
}

func (a *app) ledgerShowCommand() *cobra.Command {
	var place ledgerPlace
	var account, run, format string
	var last int
	cmd := &cobra.Command{
		Use:   "show",
		Short: "show the entries of the ledger, the newest last",
		Long: `Show the entries of the ledger, the newest last. One that cannot be relied on is shown as far as it
is whole, with what is wrong and what to do. Reading alone cannot tell whether its end was cut off:
verify compares it with what the history remembers.

Exit codes: 0 shown, 1 the ledger is not whole, 2 it cannot be read, 3 bad usage or configuration.`,
		Example: `  agencyaudit ledger show --last 20
  agencyaudit ledger show --account prod-eu
  agencyaudit ledger show --run 0f3a9c5d7e1b2a48 -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if last < 0 {
				return misuse("name how many entries are shown, or 0 for all", "--last %d is less than nothing", last)
			}
			file, err := a.ledgerFile(cmd, &place)
			if err != nil {
				return err
			}
			l, err := readLedger(file)
			if err != nil {
				return err
			}
			shown := l.of(account, run)
			if n := len(shown) - last; last > 0 && n > 0 {
				shown = shown[n:]
			}
			if format == "json" {
				err = report.LedgerJSON(a.out, shown, len(l.entries), l.refused)
			} else {
				err = report.Ledger(a.out, shown, l.steps, len(l.entries), a.layout())
			}
			if err != nil {
				return delivered(err)
			}
			if l.refused != nil {
				return &failure{code: exitDrift, err: l.refused}
			}
			return nil
		},
	}
	outputFlag(cmd, &format, "table", "json")
	f := cmd.Flags()
	f.StringVar(&account, "account", "", "only what is about this account, by its `name` or id")
	f.StringVar(&run, "run", "", "only what followed from the run with this `id`")
	f.IntVar(&last, "last", 0, "show this many of the newest `entries`; 0 is all")
	place.flag(cmd)
	_ = cmd.RegisterFlagCompletionFunc("account", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		_, accounts := a.ledgerNames(place)
		return offered(accounts), cobra.ShellCompDirectiveNoFileComp
	})
	_ = cmd.RegisterFlagCompletionFunc("run", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		runs, _ := a.ledgerNames(place)
		return offered(runs), cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

func (a *app) ledgerVerifyCommand() *cobra.Command {
	var place ledgerPlace
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "say whether the ledger is as it was written, and is all of it",
		Long: `Read the whole ledger and say whether every entry is as it was written and follows from the one
before, and whether it goes at least as far as the history in the same state_dir remembers: one that
was altered, cut, or replaced by an older one stops repair.

Exit codes: 0 it is whole, 1 it is not, and what to do, 2 it or the history cannot be read, 3 bad
usage or configuration.`,
		Example: `  agencyaudit ledger verify
  agencyaudit ledger verify --state-dir /var/lib/agencyaudit`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			file, err := a.ledgerFile(cmd, &place)
			if err != nil {
				return err
			}
			return a.verifyLedger(cmd.Context(), file)
		},
	}
	place.flag(cmd)
	return cmd
}

func (a *app) ledgerRenewCommand() *cobra.Command {
	var place ledgerPlace
	var who signer
	var why string
	cmd := &cobra.Command{
		Use:   "renew",
		Short: "put aside a ledger that cannot be relied on, and begin another",
		Long: `Put the ledger aside, under a name with the time, and begin another one. It is for somebody who has
looked into why the ledger cannot be relied on, and takes the loss: the new one knows nothing of
limits that were used up, of quarantines and of intents that are open. So it begins frozen, until
unfreeze; and plans and approvals of before count no more. End the daemon first.

Exit codes: 0 done, 2 it could not be done, 3 bad usage or configuration.`,
		Example: `  agencyaudit ledger renew --reason SEC-77`,
		Args:    exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := reasoned(&who, why)
			if err != nil {
				return err
			}
			file, err := a.ledgerFile(cmd, &place)
			if err != nil {
				return err
			}
			aside, err := daemon.RenewLedger(cmd.Context(), filepath.Dir(file), name, why, time.Now())
			if r, refused := errors.AsType[*remedy.RefusedError](err); refused {
				return misuse("see agencyaudit ledger verify", "%s", r.Why)
			}
			if err != nil {
				return &failure{code: exitPartial, err: err}
			}
			text := "A new ledger begins, and repair is frozen. To lift that: " + a.command("unfreeze", "--reason", "WHY")
			if aside != "" {
				text = "The ledger before lies in " + aside + ". " + text
			}
			return a.said(text)
		},
	}
	place.flag(cmd)
	who.asFlag(cmd)
	reasonFlag(cmd, &why)
	return cmd
}

// ledgerFile is the file of the ledger that the command line names.
func (a *app) ledgerFile(cmd *cobra.Command, p *ledgerPlace) (string, error) {
	switch {
	case p.stateDir != "" && cmd.Flags().Changed("config"):
		return "", misuse("leave one of them out", "--config does nothing with --state-dir")
	case p.stateDir == "":
		cfg, err := a.loadWithoutKeys()
		if err != nil {
			return "", err
		}
		if p.stateDir = cfg.StateFolder(); p.stateDir == "" {
			return "", misuse("set state_dir, in which repair keeps a ledger, or name its directory with --state-dir",
				"the configuration %s names no state_dir, so there is no ledger", a.config)
		}
	default:
		if info, err := os.Stat(p.stateDir); err != nil || !info.IsDir() {
			return "", misuse("name the directory in which "+remedy.LedgerName+" is", "there is no directory %s", p.stateDir)
		}
	}
	return filepath.Join(p.stateDir, remedy.LedgerName), nil
}

// ledger is what a ledger's file says.
type ledger struct {
	entries []remedy.Entry
	// steps are those of the intents, by their numbers.
	steps map[int64]rules.Step
	// refused says why it cannot be relied on from there on; nil when it can.
	refused error
}

// readLedger reads a ledger as far as it is whole. It takes no lock: what is being added meanwhile is not there yet.
func readLedger(file string) (*ledger, error) {
	l := &ledger{steps: map[int64]rules.Step{}}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil // repair was never configured, or never began
	}
	if err != nil {
		return nil, &failure{code: exitPartial, err: fmt.Errorf("the ledger %s cannot be read: %w", file, reason(err))}
	}
	defer f.Close()
	for e, err := range remedy.Read(f) {
		if r, is := errors.AsType[*remedy.Refused](err); is {
			r.File, l.refused = file, r
			break
		}
		if err != nil {
			return nil, &failure{code: exitPartial, err: err}
		}
		l.entries = append(l.entries, e)
		if e.Kind == remedy.KindIntent && e.Step != nil {
			l.steps[e.Seq] = *e.Step
		}
	}
	return l, nil
}

// of are the entries that are about an account, and follow from a run; an empty one is any.
func (l *ledger) of(account, run string) []remedy.Entry {
	var list []remedy.Entry
	for i := range l.entries {
		e := &l.entries[i]
		if run != "" && e.Run != run {
			continue
		}
		step := e.Step
		if s, known := l.steps[e.Intent]; step == nil && known {
			step = &s
		}
		if account == "" || e.AccountID == account || step != nil && (step.AccountID == account || step.Account == account) {
			list = append(list, *e)
		}
	}
	return list
}

// ledgerNames are the runs that something was done after, with when, and the accounts in which it was done, with their ids.
func (a *app) ledgerNames(p ledgerPlace) (runs, accounts map[string]string) {
	runs, accounts = map[string]string{}, map[string]string{}
	if p.stateDir == "" {
		cfg, err := a.loadWithoutKeys()
		if err != nil || cfg.StateFolder() == "" {
			return runs, accounts
		}
		p.stateDir = cfg.StateFolder()
	}
	l, err := readLedger(filepath.Join(p.stateDir, remedy.LedgerName))
	if err != nil {
		return runs, accounts
	}
	for i := range l.entries {
		if e := &l.entries[i]; e.Kind == remedy.KindIntent && e.Step != nil {
			runs[e.Run], accounts[e.Step.Account] = utc(e.Time), e.Step.AccountID
		}
	}
	return runs, accounts
}

// rememberedHead is how far the ledger went by what the history beside it remembers.
func rememberedHead(ctx context.Context, dir string) (head remedy.Head, err error) {
	if _, err := os.Lstat(filepath.Join(dir, history.FileName)); errors.Is(err, fs.ErrNotExist) {
		return head, nil
	}
	s, err := history.OpenReadOnly(dir)
	if err != nil {
		return head, err
	}
	defer s.Close()
	marks, err := s.Marks(ctx)
	if err != nil {
		return head, err
	}
	return remedy.RememberedHead(marks)
}

// verifyLedger says whether a ledger is whole.
func (a *app) verifyLedger(ctx context.Context, file string) error {
	// The history first: the ledger only grows meanwhile.
	head, lost := rememberedHead(ctx, filepath.Dir(file))
	f, err := os.Open(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && head.Seq > 0:
		return &failure{code: exitDrift, err: &remedy.Refused{
			File: file, Entry: 1, What: fmt.Sprintf("it is gone, and had %d entries at least", head.Seq), Older: true,
		}}
	case errors.Is(err, fs.ErrNotExist) && lost != nil:
		return &failure{code: exitPartial, err: fmt.Errorf("whether there was a ledger is not known: %w", lost)}
	case errors.Is(err, fs.ErrNotExist):
		return a.said("There is no ledger " + file + ": nothing was ever repaired.")
	case err != nil:
		return &failure{code: exitPartial, err: fmt.Errorf("the ledger %s cannot be read: %w", file, reason(err))}
	}
	defer f.Close()
	s, err := remedy.Verify(f, head)
	if r, is := errors.AsType[*remedy.Refused](err); is {
		r.File = file
		return &failure{code: exitDrift, err: r}
	}
	if err != nil {
		return &failure{code: exitPartial, err: err}
	}
	lines := []string{"OK: the ledger " + file + " is as it was written", fmt.Sprintf("  entries   %d, %d bytes", s.Head.Seq, s.Size)}
	if s.Head.Seq > 0 {
		lines = append(lines, "  first     "+utc(s.First), "  last      "+utc(s.Last), "  head      "+s.Head.Hash)
	}
	switch {
	case lost != nil:
	case head.Seq == 0:
		lines = append(lines, "  compared  with nothing: the history does not remember any entry")
	default:
		lines = append(lines, fmt.Sprintf("  compared  with entry %d, which the history remembers", head.Seq))
	}
	if s.Torn > 0 {
		lines = append(lines, fmt.Sprintf("  behind    %d bytes of an entry that was not written to its end; it was never acted on", s.Torn))
	}
	o := a.layout()
	for _, line := range lines {
		text := strings.TrimLeft(line, " ")
		lead := line[:len(line)-len(text)]
		if lead != "" {
			lead, text = line[:12], line[12:]
		}
		if err := report.Paragraph(a.out, lead, rules.Escape(text), o); err != nil {
			return delivered(err)
		}
	}
	if lost != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("whether the ledger is all of it is not known: %w", lost)}
	}
	return nil
}

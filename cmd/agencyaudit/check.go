package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "validate the configuration and its baselines without touching the cloud",
		Long: `Read the configuration with every file and every environment variable that it names, and report
every fault at once, each with file, line, column and remedy. The cloud is not touched.

Exit codes: 0 everything is right, 3 something is not.`,
		Example: `  agencyaudit check
  agencyaudit check --config staging.yaml`,
		Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := a.load()
			if err != nil {
				return err
			}
			if err := cfg.AccountsFileFault(); err != nil {
				return &failure{code: exitUsage, err: err, faults: true}
			}
			return delivered(summarize(a.out, a.config, cfg, time.Now(), a.layout()))
		},
	}
}

// summarize says what a configuration that is right amounts to.
func summarize(w io.Writer, file string, cfg *daemon.Config, now time.Time, o report.Options) error {
	var b bytes.Buffer
	say := func(lead, format string, args ...any) { // a buffer takes everything
		_ = report.Paragraph(&b, lead, rules.Escape(fmt.Sprintf(format, args...)), o)
	}
	accounts := cfg.Inventory()
	ways, withID := map[string]int{}, 0
	required := 0
	for i := range accounts {
		way := cfg.Way(accounts[i].ID)
		ways[way.Via]++
		if way.ExternalID != "" {
			withID++
		}
		if accounts[i].RequireAgency {
			required++
		}
	}
	say("", "OK: %s", file)
	lead := "  accounts   "
	if o := cfg.Accounts.Organization; !o.Enabled || len(accounts) > 0 {
		say(lead, "%d; the agency is required in %d; entered %s", len(accounts), required, entered(ways, withID))
		lead = "  and        "
	}
	if o := cfg.Accounts.Organization; o.Enabled {
		required := "not required"
		if o.RequireAgency {
			required = "required"
		}
		say(lead, "the accounts of the organization, listed for every run; the agency is %s; entered by the agency %s via %s%s", required,
			o.Access.Agency, o.Access.Via, externalID(o.Access.ExternalID))
	}
	credentials(say, cfg)
	for _, base := range cfg.LoadedBaselines() {
		say("  baseline   ", "%s: agency %s, %d required grants, sha256 %.12s…", base.Name, base.Agency, len(base.Required), base.Digest)
	}
	agreed(say, cfg, now)
	say("  schedule   ", "%s (UTC); evidence older than %s is unknown", cfg.Schedule.Cron, rules.Span(cfg.MaxAge))
	state(say, cfg)
	repair(say, cfg)
	say("  listen     ", "%s at %s; %s", cfg.Listen.Scheme(), cfg.Listen.Address, askedFor(cfg.Listen))
	if cfg.Listen.Exposed() {
		say("  WARNING    ", "%s", daemon.ExposedWarning)
	}
	say("  cloud      ", "%s (site %s)", cfg.Reader().Endpoints.IAM, cfg.Cloud.Site)
	_, err := b.WriteTo(w)
	return err
}

// entered counts accounts by the way into them; withID are those of them whose trust agency asks for an external id.
func entered(ways map[string]int, withID int) string {
	var parts []string
	for _, way := range []string{"keys", "iam", "sts"} {
		n := ways[way]
		if n == 0 {
			continue
		}
		part := fmt.Sprintf("via %s %d", way, n)
		switch {
		case way == "keys":
			part = fmt.Sprintf("by keys of their own %d", n)
		case way == "sts" && withID > 0:
			part += fmt.Sprintf(" (to trust agencies with an external id %d)", withID)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func externalID(id string) string {
	if id == "" {
		return ""
	}
	return ", a trust agency with an external id"
}

// credentials says where the program's own key comes from, and where it leads.
func credentials(say func(lead, format string, args ...any), cfg *daemon.Config) {
	creds := cfg.Credentials
	if creds.AccountID == "" {
		return
	}
	from := map[string]string{
		"environment": "the environment", "file": "files", "profile": cfg.Reader().Main.From, "ecs": "the metadata service of this server",
		"pod": "the identity of this pod",
	}[creds.Source]
	say("  own key    ", "of account %s, from %s", creds.AccountID, from)
	if chain := creds.Chain; chain.Via != "" {
		say("  chain      ", "to account %s by its agency %s via %s%s", chain.AccountID, chain.Agency, chain.Via, externalID(chain.ExternalID))
	}
}

// agreed says what people agreed on beside the baselines.
func agreed(say func(lead, format string, args ...any), cfg *daemon.Config, now time.Time) {
	if n := len(cfg.Overlays); n > 0 {
		say("  overlays   ", "%d: %s", n, strings.Join(cfg.Overlays, ", "))
	}
	if cfg.Waivers.File == "" {
		return
	}
	waivers := cfg.LoadedWaivers()
	var next *rules.Waiver
	ended := 0
	for i := range waivers {
		switch w := &waivers[i]; {
		case !now.Before(w.Expires):
			ended++
		case next == nil || w.Expires.Before(next.Expires):
			next = w
		}
	}
	words := fmt.Sprintf("%d", len(waivers))
	if ended > 0 {
		words += fmt.Sprintf("; ended %d", ended)
	}
	if next != nil {
		words += fmt.Sprintf("; the next to end is %s of %s, at %s", next.ID, next.Owner, next.Expires.UTC().Format(time.DateOnly))
	}
	say("  waivers    ", "%s", words)
}

// state says what a daemon would know after a restart. What is wrong with a history keeps no account from being audited, and the daemon
// from starting.
func state(say func(lead, format string, args ...any), cfg *daemon.Config) {
	dir := cfg.StateFolder()
	if dir == "" {
		say("  state      ", "none is kept: after a restart nothing is known before it was read again; see state_dir")
		return
	}
	switch is, err := os.Stat(dir); {
	case err == nil && !is.IsDir():
		say("  WARNING    ", "%s is no directory, so that the daemon cannot start: name another state_dir", dir)
		return
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		say("  WARNING    ", "the state directory cannot be used, so that the daemon cannot start: %v", err)
		return
	}
	if _, err := os.Stat(filepath.Join(dir, history.FileName)); errors.Is(err, fs.ErrNotExist) {
		say("  state      ", "%s, without a history yet: it begins with the daemon's first run", dir)
		return
	}
	s, err := history.OpenReadOnly(dir)
	if err != nil {
		say("  WARNING    ", "%v; the daemon does not start like that", err)
		return
	}
	defer s.Close()
	begins, err := s.Begins(context.Background())
	switch {
	case err != nil:
		say("  WARNING    ", "%v; the daemon does not start like that", err)
	case begins.IsZero():
		say("  state      ", "%s, without a run yet", dir)
	default:
		say("  state      ", "%s, a history since %s", dir, begins.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
}

// repair says what is put right, how far by itself, and how much of it.
func repair(say func(lead, format string, args ...any), cfg *daemon.Config) {
	r := cfg.Remediation
	if r.Mode == remedy.ModeOff {
		say("  repair     ", "off")
		return
	}
	var does []string
	way := func(via, agency string) string {
		if agency == "" || !r.Mode.Acts() {
			return ""
		}
		return fmt.Sprintf(" (by %s via %s)", agency, via)
	}
	if r.Missing.Enabled {
		does = append(does, "grants what is missing"+way(r.Missing.Via, r.Missing.Agency))
	}
	if n := len(r.Excess.Policies); r.Excess.Enabled {
		policies := "policies"
		if n == 1 {
			policies = "policy"
		}
		does = append(does, fmt.Sprintf("revokes %d %s where excess for %s%s", n, policies, rules.Span(r.Excess.Grace), way(r.Excess.Via, r.Excess.Agency)))
	}
	if len(does) == 0 {
		does = []string{"proposes nothing: neither missing nor excess is enabled"}
	}
	say("  repair     ", "mode %s; %s", r.Mode, strings.Join(does, ", "))
	say("  and        ", "at most %d accounts granted in and %d revoked in a run, %d%% of the fleet and %d writes of one policy a day",
		r.Limits.GrantAccountsPerRun, r.Limits.RevokeAccountsPerRun, r.Limits.FleetPercentPerDay, r.Limits.PolicyWritesPerDay)
	for _, w := range cfg.RepairWindows() {
		say("  when       ", "%s (UTC), for %s", w.Cron, rules.Span(w.For))
	}
	if r.Mode.Acts() {
		say("  stopped    ", "by agencyaudit freeze, or while %s is there", cfg.FreezeFile())
	}
	if r.Mode == remedy.ModeApprove {
		by := "whoever can use the daemon's socket"
		if people := slices.Sorted(maps.Keys(cfg.Approvers())); len(people) > 0 {
			by = "the signature of one of " + strings.Join(people, ", ")
		}
		say("  approved   ", "by %s, within %s", by, rules.Span(r.Approval.Expires))
	}
}

// askedFor says what a client has to show.
func askedFor(l daemon.ListenConfig) string {
	switch g := l.Guards(); {
	case g.Passwords && g.ClientCertificates:
		return "asks for a password and a client's certificate"
	case g.Passwords:
		return "asks for a password"
	case g.ClientCertificates:
		return "asks for a client's certificate"
	}
	return "asks for no password"
}

func (a *app) baselineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "list, show and try baselines",
		Long: `List, show and try baselines: the statements of what an agency must be. The bundled one, coc, is
Table 1 of COC's documentation.`,
		Example: `  agencyaudit baseline list
  agencyaudit baseline show coc
  agencyaudit baseline test ./our-coc.yaml --from report.json`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.baselineListCommand(), a.baselineShowCommand(), a.baselineTestCommand())
	return cmd
}

func (a *app) baselineListCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the baselines that come with the program, and those of a configuration",
		Long: `List the baselines that come with the program. With --config, list those of that configuration
as well.

Exit codes: 0 listed, 3 bad usage or configuration.`,
		Example: `  agencyaudit baseline list
  agencyaudit baseline list --config agencyaudit.yaml -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []rules.Baseline
			for _, name := range baseline.Names() {
				if b, ok := baseline.Bundled(name); ok {
					all = append(all, b)
				}
			}
			if cmd.Flags().Changed("config") {
				cfg, err := a.load()
				if err != nil {
					return err
				}
				for _, b := range cfg.LoadedBaselines() {
					if _, bundled := bundledAs(b.Digest); !bundled {
						all = append(all, b)
					}
				}
			}
			if format == "json" {
				return delivered(report.BaselinesJSON(a.out, all))
			}
			return delivered(report.Baselines(a.out, all, a.layout()))
		},
	}
	outputFlag(cmd, &format, "table", "json")
	return cmd
}

// bundledAs returns the name of the bundled baseline with that digest.
func bundledAs(digest string) (string, bool) {
	for _, name := range baseline.Names() {
		if b, ok := baseline.Bundled(name); ok && b.Digest == digest {
			return name, true
		}
	}
	return "", false
}

func (a *app) baselineShowCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "show NAME|FILE",
		Short: "show one baseline with the columns of its document",
		Long: `Show a bundled baseline by its name, or a baseline file by its path, with the columns of the
document that it restates. -o yaml shows the file itself: copy it to begin a baseline of your own.

Exit codes: 0 shown, 3 there is no such baseline, or it has faults, which are listed.`,
		Example: `  agencyaudit baseline show coc
  agencyaudit baseline show ./our-coc.yaml
  agencyaudit baseline show coc -o yaml > our-coc.yaml`,
		ValidArgsFunction: cobra.FixedCompletions(baseline.Names(), cobra.ShellCompDirectiveDefault),
		Args:              exactly(1, "the name of a baseline: "+strings.Join(baseline.Names(), ", ")+", or a file"),
		RunE: func(_ *cobra.Command, args []string) error {
			b, source, err := findBaseline(args[0])
			if err != nil {
				return err
			}
			switch format {
			case "yaml":
				_, err := a.out.Write(source)
				return delivered(err)
			case "json":
				return delivered(report.BaselineJSON(a.out, b))
			}
			return delivered(report.Baseline(a.out, b, a.layout()))
		},
	}
	outputFlag(cmd, &format, "table", "yaml", "json")
	return cmd
}

// findBaseline returns a bundled baseline by its name, or one of a file, with its source.
func findBaseline(name string) (rules.Baseline, []byte, error) {
	if b, ok := baseline.Bundled(name); ok {
		return b, baseline.Source(name), nil
	}
	source, err := readInput(name)
	if err != nil {
		return rules.Baseline{}, nil, misuse("bundled baselines: "+strings.Join(baseline.Names(), ", "),
			"there is no bundled baseline %q, and no file of that name can be read: %w", name, reason(err))
	}
	b, err := baseline.Load(name, source)
	if err != nil {
		return rules.Baseline{}, nil, &failure{code: exitUsage, err: err, faults: true}
	}
	return b, source, nil
}

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

func (a *app) baselineTestCommand() *cobra.Command {
	var from string
	var overlays []string
	cmd := &cobra.Command{
		Use:   "test NAME|FILE",
		Short: "try a baseline on what was recorded, and show which accounts it would judge otherwise",
		Long: `Judge by another baseline what a report recorded of its agency, and show what it would say
otherwise: accounts that change their state, findings that come (+) and go (-). Without --from, it
is tried on the last evidence in the history of the configuration's state_dir. The cloud is not
touched. Validity is judged as of today. With --overlay, grants are allowed as the file says; with
--config, or without --from, by the overlays and waivers of the configuration as well.

Exit codes: 0 nothing changes, 1 something does, 2 what was recorded does not know every account, or
cannot be read, 3 bad usage, baseline or configuration.`,
		Example: `  agencyaudit baseline test ./our-coc.yaml
  agencyaudit baseline test ./our-coc.yaml --from report.json
  agencyaudit baseline test coc --overlay network.yaml --from report.json`,
		ValidArgsFunction: cobra.FixedCompletions(baseline.Names(), cobra.ShellCompDirectiveDefault),
		Args:              exactly(1, "the name of a baseline: "+strings.Join(baseline.Names(), ", ")+", or a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, _, err := findBaseline(args[0])
			if err != nil {
				return err
			}
			const hint = "name one with --from, which agencyaudit audit -o json writes, or a configuration with a state_dir"
			var cfg *daemon.Config
			if configured := cmd.Flags().Changed("config"); configured || from == "" {
				if _, err := os.Stat(a.config); !configured && errors.Is(err, fs.ErrNotExist) {
					return misuse(hint, "there is no report to try it on, and no configuration %s", a.config)
				}
				if cfg, err = a.loadWithoutKeys(); err != nil {
					return err
				}
			}
			past, err := a.recorded(cmd.Context(), from, cfg)
			switch {
			case err != nil:
				return err
			case past == nil && cfg.StateFolder() != "":
				err := fmt.Errorf("there is nothing to try it on: the history in %s has no run yet", cfg.StateFolder())
				return &failure{code: exitPartial, err: err, hint: "start the daemon, or name with --from a report that agencyaudit audit -o json wrote"}
			case past == nil:
				return misuse(hint, "there is no report to try it on, and %s names no state_dir", a.config)
			}
			var waivers []rules.Waiver
			instead := ""
			if cfg != nil {
				waivers, b, instead = cfg.LoadedWaivers(), cfg.WithOverlays(b), a.config
			}
			if err := a.taken(past, true); err != nil {
				return err
			}
			for _, file := range overlays {
				o, err := readOverlay(file, b.Name)
				if err != nil {
					return err
				}
				b = baseline.Apply(b, []baseline.Overlay{o})
			}
			return a.try(args[0], b, waivers, instead, past)
		},
	}
	fromFlag(cmd, &from)
	cmd.Flags().StringArrayVar(&overlays, "overlay", nil, "also allow what this `file` allows; may be repeated")
	return cmd
}

// readOverlay reads an overlay of a baseline.
func readOverlay(file, name string) (baseline.Overlay, error) {
	data, err := readInput(file)
	if err != nil {
		return baseline.Overlay{}, misuse("name an overlay", "%s cannot be read: %w", file, reason(err))
	}
	o, _, err := baseline.LoadOverlay(file, data)
	if err != nil {
		return o, &failure{code: exitUsage, err: err, faults: true}
	}
	if o.Baseline != name {
		return o, misuse("name an overlay of the baseline "+name, "%s is an overlay of the baseline %s", file, o.Baseline)
	}
	return o, nil
}

// try shows what a baseline changes in what was recorded. The waivers are those of the configuration instead; of none if that is empty.
func (a *app) try(name string, b rules.Baseline, waivers []rules.Waiver, instead string, past *recorded) error {
	before, after, assumed := auditor.Replay(b, waivers, past.Sweeps, time.Now().UTC())
	if len(after.Sweeps) == 0 {
		return misuse("take what a run by a baseline of that agency recorded", "nothing is recorded of the agency %s", b.Agency)
	}
	o := a.layout()
	title := fmt.Sprintf("what %s changes in run %s of %s", name, past.ID, past.EndedAt.UTC().Format(time.DateTime))
	after.StartedAt = time.Time{} // it was no run
	err := report.Changes(a.out, before, after, title, o)
	if says := triedWords(before, after, past); err == nil && says != "" {
		err = report.Paragraph(a.out, "  ", says, o)
	}
	if err != nil {
		return delivered(err)
	}
	if n := accepted(before); n > 0 {
		counts := "no waiver counts here, unless --config names the configuration that has them"
		if instead != "" {
			counts = "here those of " + rules.Escape(instead) + " count, as they are now"
		}
		a.paragraph("", fmt.Sprintf("Findings that waivers accepted when they were recorded: %d; %s.", n, counts))
	}
	if len(assumed) > 0 {
		a.paragraph("", "Nobody is recorded to hold "+strings.Join(assumed, ", ")+": it is taken for granted here that the site has it.")
	}
	switch {
	case after.States[rules.StateUnknown] > 0:
		return &failure{code: exitPartial}
	case report.Differ(before, after):
		return &failure{code: exitDrift}
	}
	return nil
}

// triedWords says what a table of changes does not: that nothing changes, and of how many accounts it is not known.
func triedWords(before, after *auditor.Run, past *recorded) string {
	all, unknown, earlier := len(after.Sweeps), after.States[rules.StateUnknown], 0
	for i := range past.Sweeps {
		if s := &past.Sweeps[i]; s.Earlier && s.Report.AgencyName == after.Baselines[0].Agency {
			earlier++
		}
	}
	var says []string
	switch same := !report.Differ(before, after); {
	case same && unknown == 0:
		says = append(says, "Nothing changes.")
	case same && unknown < all:
		says = append(says, fmt.Sprintf("Nothing changes in the %d of %d that are known.", all-unknown, all))
	}
	if earlier > 0 {
		says = append(says, fmt.Sprintf("%d of %d could not be read by that run: they were tried on earlier evidence, and stay unknown: "+
			"hence exit code %d.", earlier, all, exitPartial))
	}
	if whole := unknown - earlier; whole > 0 {
		says = append(says, fmt.Sprintf("%d of %d cannot be tried, since what was recorded of them is not whole: hence exit code %d.", whole, all,
			exitPartial))
	}
	return strings.Join(says, " ")
}

// accepted counts the findings of a run that are accepted by a waiver.
func accepted(run *auditor.Run) (n int) {
	for i := range run.Sweeps {
		for _, f := range run.Sweeps[i].Report.Findings {
			if f.Waived != nil {
				n++
			}
		}
	}
	return n
}

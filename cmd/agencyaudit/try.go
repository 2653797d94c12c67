package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

func (a *app) baselineTestCommand() *cobra.Command {
	var from string
	var overlays []string
	cmd := &cobra.Command{
		Use:   "test NAME|FILE",
		Short: "try a baseline on what a report recorded, and show which accounts it would judge otherwise",
		Long: `Judge by another baseline what a report recorded of its agency, and show what it would say
otherwise: accounts that change their state, findings that come (+) and go (-). The cloud is not
touched. Validity is judged as of today. With --overlay, grants are allowed as the file says; with
--config, by the overlays and waivers of that configuration as well.

Exit codes: 0 nothing changes, 1 something does, 2 the report does not know every account, 3 bad
usage, baseline or configuration.`,
		Example: `  agencyaudit baseline test ./our-coc.yaml --from report.json
  agencyaudit baseline test coc --overlay network.yaml --from report.json`,
		ValidArgsFunction: cobra.FixedCompletions(baseline.Names(), cobra.ShellCompDirectiveDefault),
		Args:              exactly(1, "the name of a baseline: "+strings.Join(baseline.Names(), ", ")+", or a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, _, err := findBaseline(args[0])
			if err != nil {
				return err
			}
			if from == "" {
				return misuse("name one with --from; agencyaudit audit -o json writes it", "there is no report to try it on")
			}
			past, err := a.recorded(from)
			if err != nil {
				return err
			}
			var waivers []rules.Waiver
			if cmd.Flags().Changed("config") {
				cfg, err := a.load()
				if err != nil {
					return err
				}
				waivers, b = cfg.LoadedWaivers(), cfg.WithOverlays(b)
			}
			for _, file := range overlays {
				o, err := readOverlay(file, b.Name)
				if err != nil {
					return err
				}
				b = baseline.Apply(b, []baseline.Overlay{o})
			}
			return a.try(args[0], b, waivers, past)
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

// try shows what a baseline changes in what was recorded.
func (a *app) try(name string, b rules.Baseline, waivers []rules.Waiver, past *report.Recorded) error {
	before, after, assumed := auditor.Replay(b, waivers, past.Sweeps, time.Now().UTC())
	if len(after.Sweeps) == 0 {
		return misuse("take a report of a run by a baseline of that agency", "the report records nothing of the agency %s", b.Agency)
	}
	o := a.layout()
	title := fmt.Sprintf("what %s changes in run %s of %s", name, past.ID, past.EndedAt.UTC().Format(time.DateTime))
	if err := report.Changes(a.out, before, after, title, o); err != nil {
		return delivered(err)
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

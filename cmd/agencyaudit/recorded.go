package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// recorded is what was recorded of a run, with where that was taken from; empty for a report, which the command line names.
type recorded struct {
	report.Recorded
	from string
}

// fromFlag adds the flag that names what was recorded.
func fromFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "from", "", "try it on this `report`, which audit -o json wrote; else on the history, if there is one")
}

// recorded reads what the flag --from names or, if it names nothing, the last evidence in the history of a configuration. It is nil
// where there is neither.
func (a *app) recorded(ctx context.Context, file string, cfg *daemon.Config) (*recorded, error) {
	if file == "" {
		dir := cfg.StateFolder()
		if dir == "" || missing(dir) {
			return nil, nil //nolint:nilnil // there is nothing, and that may be right
		}
		past, err := lastEvidence(ctx, dir, time.Now())
		if err != nil {
			return nil, &failure{code: exitPartial, err: err}
		}
		return past, nil
	}
	data, err := readInput(file)
	if err != nil {
		return nil, misuse("write one with agencyaudit audit -o json --out "+shellWord(file), "the report %s cannot be read: %w", file, reason(err))
	}
	past, err := report.Read(bytes.NewReader(data))
	if err != nil {
		return nil, misuse("write one with agencyaudit audit -o json", "%s: %w", file, err)
	}
	return &recorded{Recorded: *past}, nil
}

// recordedIfAny is recorded for a command that has work to do without it: a history that cannot be read is said, and is none. If there
// is nothing for another reason, lacks says which, and what to do.
func (a *app) recordedIfAny(ctx context.Context, file string, cfg *daemon.Config) (past *recorded, lacks string, err error) {
	past, err = a.recorded(ctx, file, cfg)
	switch dir := cfg.StateFolder(); {
	case err != nil && file == "":
		a.paragraph("WARNING: ", err.Error()+". What the waivers mean for what was found is not said.")
		return nil, "", nil
	case err != nil || past != nil:
		return past, "", err
	case dir != "":
		return nil, "What that changes is not shown: the history in " + dir + " has no run yet. Start the daemon, or name with --from a report " +
			"that agencyaudit audit -o json wrote.", nil
	}
	return nil, "What that changes is shown with --from, on a report that agencyaudit audit -o json wrote, or by the history of a daemon, if " +
		"the configuration has a state_dir.", nil
}

// taken says where what was recorded was taken from, if that was not named, and how old it is: with the result if that is text.
func (a *app) taken(past *recorded, text bool) error {
	if past == nil || past.from == "" {
		return nil
	}
	if !text {
		a.paragraph("", past.from)
		return nil
	}
	return delivered(report.Paragraph(a.out, "", rules.Escape(past.from), a.layout()))
}

// lastEvidence is what is known of every account that is expected by the last run of a history, with its last evidence; nil before that.
func lastEvidence(ctx context.Context, dir string, now time.Time) (*recorded, error) {
	s, err := history.OpenReadOnly(dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	all, err := s.Last(ctx)
	if err != nil || all.EndedAt.IsZero() {
		return nil, err
	}
	// A daemon may have recorded more since: what was read is of the run that ended then.
	runs, err := s.Runs(ctx, all.EndedAt, all.EndedAt.Add(1))
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	last := runs[len(runs)-1]
	past := &recorded{Recorded: report.Recorded{ID: last.ID, EndedAt: last.EndedAt, Partial: all.Partial}}
	unknown, old, never, oldest := 0, 0, 0, now
	agencies := map[string]string{}
	for i := range all.Subjects {
		r := &all.Subjects[i]
		if r.Left {
			continue
		}
		agencies[r.Baseline] = r.Agency
		if r.Unknown != nil {
			unknown++
		}
		switch {
		case r.Evidence == nil:
			never++
		case !r.Read:
			old++
			if r.Evidence.StartedAt.Before(oldest) {
				oldest = r.Evidence.StartedAt
			}
		}
		past.Sweeps = append(past.Sweeps, r.Recorded())
	}
	for _, b := range last.Baselines {
		past.Baselines = append(past.Baselines, rules.Baseline{Name: b.Name, Agency: agencies[b.Name], Digest: b.Digest})
	}
	past.from = fmt.Sprintf("Taken from the history in %s: the last evidence until run %s, which ended at %s, %s ago.", dir, last.ID, utc(last.EndedAt),
		report.Roughly(now.Sub(last.EndedAt)))
	if all.Partial {
		past.from += " That run could not list all accounts."
	}
	if unknown > 0 {
		past.from += fmt.Sprintf(" Not known by that run: %d of %d.", unknown, len(past.Sweeps))
	}
	if old > 0 {
		past.from += fmt.Sprintf(" The evidence of %d of %d is older than that run: up to %s.", old, len(past.Sweeps),
			report.Roughly(now.Sub(oldest)))
	}
	if never > 0 {
		past.from += fmt.Sprintf(" Of %d there never was any.", never)
	}
	return past, nil
}

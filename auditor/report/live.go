package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Live writes a run as one picture of a sequence: the counts, and the chosen accounts, whatever their state, in the order of
// the run, so that a row does not jump about. Nothing is explained, and findings of severity info are left out. It has at
// most that many lines, if there is a maximum and as long as the counts fit: the accounts that are left out for that, those
// in which nothing is amiss first, are counted. Its error is the writer's.
func Live(w io.Writer, run *auditor.Run, chosen func(rules.Account) bool, lines int, o Options) error {
	o.Verbose = false
	var shown []*auditor.Sweep
	for i := range run.Sweeps {
		if chosen(run.Sweeps[i].Report.Account) {
			shown = append(shown, &run.Sweeps[i])
		}
	}
	for left := 0; ; left++ {
		p := &page{o: o, live: true}
		p.say("", fmt.Sprintf("Run %s of %s at %s, in %s", rules.Escape(run.ID), plural(accounts(run), "account"),
			instant(run.StartedAt), seconds(run.EndedAt.Sub(run.StartedAt))))
		p.states(run)
		p.sweeps(run, shown)
		if left > 0 {
			p.say("", fmt.Sprintf("… and %d more", left))
		}
		if len(shown) == 0 || lines <= 0 || strings.Count(p.b.String(), "\n") <= lines {
			_, err := io.WriteString(w, p.b.String())
			return err
		}
		shown = withoutOne(shown)
	}
}

// withoutOne leaves out the last sweep in which nothing is amiss, or else the last one.
func withoutOne(shown []*auditor.Sweep) []*auditor.Sweep {
	for i, sweep := range slices.Backward(shown) {
		if s := sweep.Report.State; s == rules.StateCompliant || s == rules.StateNotEnabled {
			return append(shown[:i:i], shown[i+1:]...)
		}
	}
	return shown[:len(shown)-1]
}

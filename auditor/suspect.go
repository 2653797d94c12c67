package auditor

import (
	"fmt"

	"github.com/agencyaudit/agencyaudit/rules"
)

// What makes a run suspect. Two runs that follow each other are compared, over the accounts that the first of them swept
// and that are still expected: so the first run, accounts that a reload adds or takes away, and a baseline that is new
// make nothing suspect.
const (
	// fleetPart: more than one account in so many is more than people change between two runs, a quarter of an hour apart,
	// and less than a lost page of the inventory or the failure of what accounts share takes away.
	fleetPart = 10
	// leastVanished and leastChanged keep small fleets quiet: one account that is closed, or two that drift while a third
	// is not answered, are those accounts' own affairs. An inventory that is empty is always odd.
	leastVanished, leastChanged = 2, 3
	// errorsPart: errors rose when at least one account in so many more could not be read. In a large fleet some account
	// or other always fails.
	errorsPart = 100
)

// Suspicions says in words why a run should not be acted on although its evidence is whole: the inventory shrank, or many
// accounts changed their state at once while more of them could not be read, either of which looks more like trouble with
// the reading than like what people do. It says nothing of a run that is not. before is what was known before the run.
//
// An account that could not be read and now can be has recovered and is no such change. Trouble that lasts is suspect
// when it begins; then it is known, and its accounts are unknown. An account that is left alone on purpose is not missed; one that the
// organization gives a status that is not known is.
func Suspicions(before *Snapshot, run *Run) []string {
	if before == nil || before.Run == nil || run.Restricted {
		return nil
	}
	sweeps := make(map[key]*Sweep, len(run.Sweeps))
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		sweeps[key{r.Account.ID, r.AgencyName}] = &run.Sweeps[i]
	}
	excluded := make(map[string]bool, len(run.Excluded))
	for i := range run.Excluded {
		// That the cloud has a word for some which nobody here knows is no purpose of anybody.
		excluded[run.Excluded[i].Account.ID] = run.Excluded[i].Reason != ExcludedStatus
	}
	// With several baselines an account has several standings, and shares their fates.
	type fate struct{ vanished, changed, wasDark, isDark bool }
	fates := make(map[string]fate, len(before.Standings))
	for i := range before.Standings {
		st := &before.Standings[i]
		if st.Last == nil || vanished(&st.Last.Report) || excluded[st.Account.ID] {
			continue
		}
		f := fates[st.Account.ID]
		was := dark(&st.Last.Report)
		f.wasDark = f.wasDark || was
		if is := sweeps[st.key()]; is == nil || vanished(&is.Report) {
			f.vanished = true
		} else {
			f.isDark = f.isDark || dark(&is.Report)
			f.changed = f.changed || !was && (dark(&is.Report) || found(is.Report.State) != found(st.Last.Report.State))
		}
		fates[st.Account.ID] = f
	}
	total, gone, changed, darkBefore, darkNow := len(fates), 0, 0, 0, 0
	for _, f := range fates {
		gone += count(f.vanished)
		changed += count(f.changed)
		darkBefore += count(f.wasDark)
		darkNow += count(f.isDark)
	}
	var why []string
	if gone*fleetPart > total && (gone >= leastVanished || gone == total) {
		why = append(why, fmt.Sprintf("the inventory shrank: %d of %d accounts are not listed any more, or with a status that is not known", gone, total))
	}
	if changed*fleetPart > total && changed >= leastChanged && (darkNow-darkBefore)*errorsPart >= total {
		why = append(why, fmt.Sprintf("%d of %d accounts changed their state at once, while those that could not be read rose "+
			"from %d to %d", changed, total, darkBefore, darkNow))
	}
	return why
}

// found is a state for comparison: what people accept is found in the cloud all the same.
func found(s rules.State) rules.State {
	if s == rules.StateWaived {
		return rules.StateDrifted
	}
	return s
}

// dark says whether an account could not be read, or not be judged by what was.
func dark(r *rules.Report) bool {
	return r.Unknown != nil && r.Unknown.Reason != rules.ReasonUnresolvable
}

func vanished(r *rules.Report) bool {
	return r.Unknown != nil && r.Unknown.Reason == rules.ReasonVanished
}

func count(is bool) int {
	if is {
		return 1
	}
	return 0
}

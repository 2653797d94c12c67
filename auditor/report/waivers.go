package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// waiverState is what a waiver is, in a word for people, and its colour.
func waiverState(is string) (words, color string) {
	switch is {
	case auditor.WaiverEnding:
		return "ends soon", yellow
	case auditor.WaiverEnded:
		return "ended", red
	case auditor.WaiverAhead:
		return "not yet", dim
	case auditor.WaiverUnused:
		return "unused", dim
	}
	return "in force", green
}

// Waivers lists waivers as they are at an instant. Whether they are about anything is said if counted is true. The error is the
// writer's.
func Waivers(w io.Writer, uses []auditor.WaiverUse, counted bool, now time.Time, o Options) error {
	p := &page{o: o}
	if len(uses) == 0 {
		p.say("", "There are no waivers.")
	} else {
		columns := []column{{"WAIVER", 24}, {"STATE", 9}, {"EXPIRES", 10}, {"OWNER", 16}, {"ABOUT", 0}}
		if counted {
			columns = slices.Insert(columns, 4, column{"FINDINGS", 8})
		}
		var rows [][]cell
		for i := range uses {
			u := &uses[i]
			words, color := waiverState(u.Is(now))
			row := []cell{
				{rules.Escape(u.ID), ""}, {words, color}, {strings.Replace(ends(u.Expires), " ", "\n", 1), ""}, {elide(u.Owner, maxName), ""},
				{elide(about(&u.Waiver), maxSentence) + "\n" + elide(u.Reason, maxSentence), ""},
			}
			if counted {
				row = slices.Insert(row, 4, cell{fmt.Sprint(u.Findings), ""})
			}
			rows = append(rows, row)
		}
		p.grid(0, columns, rows)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// WaiversJSON writes waivers as an array of the form that they have in the run's document. The error is the writer's.
func WaiversJSON(w io.Writer, uses []auditor.WaiverUse, now time.Time) error {
	return writeJSON(w, forms(uses, func(u auditor.WaiverUse) waiverForm { return formWaiver(u, now) }))
}

// about says what a waiver is about, as it is: a cloud or a user wrote it.
func about(w *rules.Waiver) string {
	parts := []string{strings.Join(w.Rules, ", ")}
	if len(w.Policies) > 0 {
		parts = append(parts, "of "+strings.Join(w.Policies, ", "))
	}
	if len(w.Scopes) > 0 {
		var kinds []string
		for _, k := range w.Scopes {
			kinds = append(kinds, k.Words())
		}
		parts = append(parts, "at "+strings.Join(kinds, ", "))
	}
	if len(w.Trusts) > 0 {
		parts = append(parts, "trusting "+strings.Join(w.Trusts, ", "))
	}
	if len(w.Baselines) > 0 {
		parts = append(parts, "of the baseline "+strings.Join(w.Baselines, ", "))
	}
	s := w.Selector
	if len(s.Accounts) > 0 {
		parts = append(parts, "in "+strings.Join(s.Accounts, ", "))
	}
	if len(s.OUs) > 0 {
		parts = append(parts, "below "+strings.Join(s.OUs, ", "))
	}
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		parts = append(parts, key+"="+strings.Join(s.Tags[key], "|"))
	}
	return strings.Join(parts, " ")
}

// WaiverDiff writes what other waivers change in what was recorded: which accounts change their state at an instant, and which
// findings are accepted that were not, or no longer. before and after are all waivers that are compared. It returns how many
// findings that are. The error is the writer's.
func WaiverDiff(w io.Writer, past *Recorded, before, after []rules.Waiver, now time.Time, o Options) (changed int, err error) {
	p := &page{o: o}
	var rows [][]cell
	flips := map[string]int{}
	for i := range past.Sweeps {
		was, is := past.Sweeps[i].Report, past.Sweeps[i].Report
		rules.Accept(&was, before, now)
		rules.Accept(&is, after, now)
		name := cmp.Or(elide(is.Account.Name, maxName), rules.Escape(is.Account.ID))
		state := stateWords(was.State) + " → " + stateWords(is.State)
		if was.State == is.State {
			state = "stays " + stateWords(is.State)
		}
		first := []cell{{name, ""}, {state, stateColor(is.State)}}
		for j := range is.Findings {
			f := &is.Findings[j]
			a, b := was.Findings[j].Waived, f.Waived
			if (a == nil) == (b == nil) && (a == nil || *a == *b) {
				continue
			}
			words, color := "accepted by "+rules.Escape(waiverOf(b))+" until "+dateOf(b), green
			if b == nil {
				words, color = "no longer accepted by "+rules.Escape(waiverOf(a)), red
			}
			rows = append(rows, append(first, cell{string(f.Severity), severityColor(f.Severity)}, cell{elide(f.Short(), maxSentence) + "\n" + words, color}))
			first = make([]cell, 2)
			changed++
		}
		if was.State != is.State {
			flips[state]++
		}
	}
	if len(rows) == 0 {
		p.say("", fmt.Sprintf("Nothing changes in what run %s found, which ended at %s.", rules.Escape(past.ID), instant(past.EndedAt)))
	} else {
		p.grid(0, []column{{"ACCOUNT", 28}, {"STATE", 20}, {"SEVERITY", 8}, {"WHAT CHANGES", 0}}, rows)
		p.gap()
		var parts []string
		for _, flip := range slices.Sorted(maps.Keys(flips)) {
			parts = append(parts, fmt.Sprintf("%d %s", flips[flip], flip))
		}
		says := plural(changed, "finding") + " of run " + rules.Escape(past.ID) + ", which ended at " + instant(past.EndedAt)
		if len(parts) > 0 {
			says += ". Accounts: " + strings.Join(parts, ", ")
		}
		p.say("", says+".")
	}
	_, err = io.WriteString(w, p.b.String())
	return changed, err
}

func waiverOf(a *rules.Acceptance) string {
	if a == nil {
		return ""
	}
	return a.Waiver
}

// ends writes when a waiver ends: a date, at whose beginning in UTC it does, or a time.
func ends(t time.Time) string {
	t = t.UTC()
	switch {
	case t.Equal(t.Truncate(24 * time.Hour)):
		return t.Format(time.DateOnly)
	case t.Equal(t.Truncate(time.Minute)):
		return t.Format("2006-01-02 15:04 UTC")
	}
	return instant(t)
}

func dateOf(a *rules.Acceptance) string {
	if a == nil {
		return ""
	}
	return ends(a.Expires)
}

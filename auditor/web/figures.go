package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// figures are those of the fleet that dashboards show too: how much is as agreed, what is missing and what is too much, by kind, and
// what has stood for longest. What a waiver accepts is not among them, and what was wrong while an account was known is while it is not.
type figures struct {
	Compliant string
	Oldest    *oldest
	// Missing and Excess are empty before anything was read.
	Missing, Excess []share
	// Note says what is not counted, if something is not.
	Note string
}

// oldest is the drift that has stood for longest.
type oldest struct{ Name, Link, Says, At, For string }

// share is one of several counts, with its width beside the largest, in thousandths.
type share struct {
	Name         string
	Count, Width int
}

// figuresOf counts a snapshot at an instant; keep is the query of links.
func figuresOf(s *auditor.Snapshot, counts map[rules.State]int, now time.Time, keep string) figures {
	var f figures
	var since time.Time
	if s.Run != nil {
		if ratio, of := inOrder(counts); of > 0 {
			f.Compliant = fmt.Sprintf("%s of the accounts in which the service is to be in order (%d of %d) are compliant or waived.",
				percent(ratio), counts[rules.StateCompliant]+counts[rules.StateWaived], of)
		}
	}
	missing, excess := map[string]int{}, map[rules.Risk]int{}
	for i := range s.Standings {
		st := &s.Standings[i]
		for _, c := range st.Required {
			if !c.Coverage.Satisfied() && !acceptedAt(st.Findings, c, now) {
				missing[c.Policy]++
			}
		}
		for j := range st.Findings {
			is := &st.Findings[j]
			if is.WaivedAt(now) {
				continue
			}
			if is.Rule == rules.RuleExcess || is.Rule == rules.RuleImpostor {
				excess[is.Risk] += max(len(is.Grants), 1)
			}
			if at := st.Since(is); is.Severity.Drift() && !at.IsZero() && (f.Oldest == nil || at.Before(since)) {
				since = at
				f.Oldest = &oldest{
					Name: cmp.Or(st.Account.Name, st.Account.ID), Link: accountLink(st.Subject) + keep, Says: is.Short(), At: instant(at),
					For: duration(now.Sub(at)),
				}
			}
		}
	}
	switch n := counts[rules.StateUnknown]; {
	case s.Run == nil && f.Oldest == nil:
		return f
	case n == 1:
		f.Note = "Of 1 account that is unknown, what was known to be wrong is counted."
	case n > 1:
		f.Note = fmt.Sprintf("Of %d accounts that are unknown, what was known to be wrong is counted.", n)
	}
	for i := range s.Baselines {
		for _, r := range s.Baselines[i].Required {
			if !slices.ContainsFunc(f.Missing, func(o share) bool { return o.Name == r.Policy }) {
				f.Missing = append(f.Missing, share{Name: r.Policy, Count: missing[r.Policy]})
			}
		}
	}
	for _, risk := range []rules.Risk{rules.RiskCritical, rules.RiskHigh, rules.RiskMedium, rules.RiskLow} {
		f.Excess = append(f.Excess, share{Name: string(risk), Count: excess[risk]})
	}
	widen(f.Missing)
	widen(f.Excess)
	return f
}

// acceptedAt says whether a waiver accepts that a required grant is not satisfied.
func acceptedAt(findings []rules.Finding, c rules.Covered, now time.Time) bool {
	return slices.ContainsFunc(findings, func(f rules.Finding) bool {
		about := f.Rule == rules.RuleAbsent ||
			(f.Rule == rules.RuleMissing || f.Rule == rules.RuleNarrower) && f.Policy == c.Policy && f.Scope == c.Scope
		return about && f.WaivedAt(now)
	})
}

func widen(all []share) {
	most := 1
	for _, s := range all {
		most = max(most, s.Count)
	}
	for i := range all {
		all[i].Width = 1000 * all[i].Count / most
	}
}

// inOrder is how much of what can be in order is, and how many accounts those are: not enabled ones have nothing to be in order.
func inOrder(counts map[rules.State]int) (ratio float64, of int) {
	for state, n := range counts {
		if state != rules.StateNotEnabled {
			of += n
		}
	}
	if of == 0 {
		return 0, 0
	}
	return float64(counts[rules.StateCompliant]+counts[rules.StateWaived]) / float64(of), of
}

// percent never says that all or nothing is where it is not quite so.
func percent(ratio float64) string {
	tenths := int(1000*ratio + 0.5)
	if ratio < 1 {
		tenths = min(tenths, 999)
	}
	if ratio > 0 {
		tenths = max(tenths, 1)
	}
	return strings.TrimSuffix(fmt.Sprintf("%d.%d", tenths/10, tenths%10), ".0") + " %"
}

// Was is the fleet by state at an instant, as the run found it that ended then.
type Was struct {
	At     time.Time
	States map[rules.State]int
}

// maxTrend is how many instants a trend has at most.
const maxTrend = 90

// Thin chooses the last of the runs of each of so many spans of a time, so that they can be drawn.
func Thin(runs []Was, from, to time.Time) []Was {
	span := max(to.Sub(from)/maxTrend, 1)
	var thin []Was
	for i := range runs {
		if i+1 == len(runs) || runs[i+1].At.Sub(from)/span != runs[i].At.Sub(from)/span {
			thin = append(thin, runs[i])
		}
	}
	return thin
}

// trendView is the fleet by state over time: columns of rectangles, and in words what they say.
type trendView struct {
	Says        string
	Columns     []column
	From, Until string
}

type column struct {
	X, Width int
	Parts    []part
}

// part is the share of a state in a column, from the top down, both in thousandths.
type part struct {
	State     string
	Y, Height int
}

// trend draws what was in a time of which nothing is said before from; nil when there is too little to draw.
func trend(all []Was, from, now time.Time) *trendView {
	all = slices.DeleteFunc(slices.Clone(all), func(w Was) bool { return w.At.Before(from) || w.At.After(now) })
	if len(all) < 2 {
		return nil
	}
	from = all[0].At
	v := &trendView{From: instant(from), Until: instant(now)}
	whole := max(now.Sub(from), 1)
	place := func(t time.Time) int { return int(1000 * t.Sub(from) / whole) }
	var lowest, highest float64
	var lowestAt time.Time
	for i := range all {
		until := now
		if i+1 < len(all) {
			until = all[i+1].At
		}
		c := column{X: place(all[i].At)}
		c.Width = max(place(until)-c.X, 1)
		total := 0
		for _, n := range all[i].States {
			total += n
		}
		// Good lies at the bottom, so that what is wrong comes down from above.
		sum := 0
		for _, state := range rules.States() {
			sum += all[i].States[state]
			if n := all[i].States[state]; n > 0 {
				height := max(1000*n/total, narrowest)
				c.Parts = append(c.Parts, part{string(state), max(1000*sum/total-height, 0), height})
			}
		}
		v.Columns = append(v.Columns, c)
		if ratio, of := inOrder(all[i].States); of > 0 {
			if lowestAt.IsZero() || ratio < lowest {
				lowest, lowestAt = ratio, all[i].At
			}
			highest = max(highest, ratio)
		}
	}
	if lowestAt.IsZero() {
		return nil
	}
	if lowest == highest {
		v.Says = "Compliant or waived: " + percent(lowest) + " all the time."
		return v
	}
	first, _ := inOrder(all[0].States)
	last, _ := inOrder(all[len(all)-1].States)
	v.Says = fmt.Sprintf("Compliant or waived: %s at %s, %s in the last run that is drawn, and no less than %s, at %s.",
		percent(first), instant(from), percent(last), percent(lowest), instant(lowestAt))
	return v
}

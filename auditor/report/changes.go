package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Changes writes what a run sees differently from an earlier one: accounts whose state changed, findings that came (+)
// and went (-), accounts that came, went, or are left alone, and then the counts in one line. title stands above it all, behind the
// time of after if it has one. The error is the writer's.
func Changes(w io.Writer, before, after *auditor.Run, title string, o Options) error {
	p := &page{o: o}
	lead := ""
	if !after.StartedAt.IsZero() {
		lead = after.StartedAt.UTC().Format("15:04:05") + "  "
	}
	p.paint(lead, bold, rules.Escape(title))
	type key struct{ account, baseline string }
	of := func(r *rules.Report) key { return key{r.Account.ID, r.Baseline} }
	old := make(map[key]*rules.Report, len(before.Sweeps))
	for i := range before.Sweeps {
		old[of(&before.Sweeps[i].Report)] = &before.Sweeps[i].Report
	}
	var rows [][]cell
	add := func(r *rules.Report, from, to string, color string, what [][]cell) {
		if len(what) == 0 {
			what = [][]cell{{{}}}
		}
		first := []cell{{cmp.Or(elide(r.Account.Name, maxName), rules.Escape(r.Account.ID)), ""}, {from + " → " + to, color}}
		for _, line := range what {
			rows = append(rows, append(first, line...))
			first = make([]cell, len(first))
		}
	}
	for i := range after.Sweeps {
		r := &after.Sweeps[i].Report
		was, known := old[of(r)]
		delete(old, of(r))
		if !known {
			from := "new"
			if leftAlone(before, r.Account.ID) != "" {
				from = "left alone"
			}
			add(r, from, stateWords(r.State), stateColor(r.State), differences(&rules.Report{}, r))
			continue
		}
		if what := differences(was, r); len(what) > 0 || was.State != r.State {
			add(r, stateWords(was.State), stateWords(r.State), stateColor(r.State), what)
		}
	}
	for i := range before.Sweeps {
		if r := &before.Sweeps[i].Report; old[of(r)] != nil {
			to, what := "gone", [][]cell(nil)
			if why := leftAlone(after, r.Account.ID); why != "" {
				to, what = "left alone", [][]cell{{{why, ""}}}
			}
			add(r, stateWords(r.State), to, dim, what)
		}
	}
	if len(rows) > 0 {
		p.grid(2, []column{{"", 34}, {"", 24}, {"", 0}}, rows)
	}
	for _, why := range after.Suspect {
		p.paint("  ", red, "suspect: "+rules.Escape(why))
	}
	var counts []string
	for _, s := range rules.States() {
		if n := after.States[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, stateWords(s)))
		}
	}
	p.paint("  ", dim, "now "+strings.Join(counts, ", "))
	_, err := io.WriteString(w, p.b.String())
	return err
}

// Differ says whether Changes would show an account of the two runs, which are of the same accounts.
func Differ(before, after *auditor.Run) bool {
	for i := range after.Sweeps {
		was, is := &before.Sweeps[i].Report, &after.Sweeps[i].Report
		if was.State != is.State || len(differences(was, is)) > 0 {
			return true
		}
	}
	return false
}

// leftAlone says in a word why a run left an account alone; nothing when it did not.
func leftAlone(run *auditor.Run, id string) string {
	for i := range run.Excluded {
		if run.Excluded[i].Account.ID == id {
			return strings.ReplaceAll(string(run.Excluded[i].Reason), "_", " ")
		}
	}
	return ""
}

// differences are the lines about what came and what went between two reports on one agency. While the account is
// unknown, findings that went are not said to be gone: nobody knows.
func differences(was, is *rules.Report) [][]cell {
	var out [][]cell
	ids := func(r *rules.Report) map[string]bool {
		m := make(map[string]bool, len(r.Findings))
		for _, f := range r.Findings {
			m[rules.FindingID(*r, f)] = true
		}
		return m
	}
	had, has := ids(was), ids(is)
	if u := is.Unknown; u != nil && (was.Unknown == nil || was.Unknown.Reason != u.Reason) {
		out = append(out, []cell{{"? " + string(u.Reason) + ": " + elide(u.Detail, maxSentence), stateColor(rules.StateUnknown)}})
	}
	for _, f := range is.Findings {
		if !had[rules.FindingID(*is, f)] {
			out = append(out, []cell{{fmt.Sprintf("+ %s %s", f.Severity, elide(f.Short(), maxSentence)), severityColor(f.Severity)}})
		}
	}
	for _, f := range was.Findings {
		if is.Unknown == nil && !has[rules.FindingID(*was, f)] {
			out = append(out, []cell{{"- " + elide(f.Short(), maxSentence), green}})
		}
	}
	return out
}

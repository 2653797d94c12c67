package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// How long names and sentences may be in the overview before they are shortened in the middle.
const (
	maxName     = 160
	maxSentence = 480
)

// Table writes the overview of a run: which accounts are not as they should be, the worst first, what is the matter with
// each, and what to do next. Its error is the writer's.
func Table(w io.Writer, run *auditor.Run, o Options) error {
	p := &page{o: o}
	p.head(run)
	p.states(run)
	shown := p.worstFirst(run)
	p.sweeps(run, shown)
	p.unjudged(run, shown)
	p.excluded(run.Excluded)
	p.runFindings(run)
	p.closing(run)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// page is text in the making.
type page struct {
	o Options
	b strings.Builder
	// live says that this is one picture of a sequence.
	live bool
}

// say writes one paragraph, wrapped, its first line behind first and the others behind as many spaces.
func (p *page) say(first, s string) { p.paint(first, "", s) }

// paint is say in a colour, which does not colour what stands before the paragraph.
func (p *page) paint(first, color, s string) {
	indent := text.StringWidthWithoutEscSequences(first)
	for i, line := range wrap(s, max(p.o.width()-indent, 1)) {
		if i > 0 {
			first = strings.Repeat(" ", indent)
		}
		if line == "" {
			first = strings.TrimRight(first, " ")
		}
		p.b.WriteString(first + p.o.paint(color, line) + "\n")
	}
}

func (p *page) gap() { p.b.WriteByte('\n') }

// column is one column of a grid.
type column struct {
	title string
	// max is the most columns of text that it takes; zero is whatever the other ones leave.
	max int
}

// cell is one cell of a grid, still unwrapped, and its colour.
type cell struct {
	text, color string
}

const gutter = 2

// grid writes rows under headings, if any column has one, each line behind indent spaces. Cells are wrapped, never cut
// off: every line fits into the page, since the one column without a maximum takes what the others leave.
func (p *page) grid(indent int, columns []column, rows [][]cell) {
	widths := make([]int, len(columns))
	left := p.o.width() - indent - gutter*(len(columns)-1)
	for i, c := range columns {
		if c.max == 0 {
			continue
		}
		w := text.StringWidthWithoutEscSequences(c.title)
		for _, row := range rows {
			w = max(w, text.LongestLineLen(row[i].text))
		}
		widths[i] = min(w, c.max)
		left -= widths[i]
	}
	for i, c := range columns {
		if c.max == 0 {
			widths[i] = left
		}
	}
	narrow(widths, columns)
	t := table.NewWriter()
	t.SetStyle(gridStyle())
	t.SuppressTrailingSpaces()
	head := make([]cell, len(columns))
	for i, c := range columns {
		head[i] = cell{c.title, bold}
	}
	if slices.ContainsFunc(columns, func(c column) bool { return c.title != "" }) {
		t.AppendHeader(p.row(head, widths))
	}
	for _, row := range rows {
		t.AppendRow(p.row(row, widths))
	}
	for line := range strings.Lines(t.Render() + "\n") {
		p.b.WriteString(strings.Repeat(" ", indent) + line)
	}
}

// row wraps and colours the cells of one row.
func (p *page) row(cells []cell, widths []int) table.Row {
	out := make(table.Row, len(cells))
	for i, c := range cells {
		var lines []string
		for paragraph := range strings.SplitSeq(c.text, "\n") { // Escape leaves no line break but those of this package
			lines = append(lines, wrap(paragraph, widths[i])...)
		}
		for j := range lines {
			lines[j] = p.o.paint(c.color, lines[j])
		}
		out[i] = strings.Join(lines, "\n")
	}
	return out
}

// narrow takes from the widest of the columns with a maximum until the one without has room for words.
func narrow(widths []int, columns []column) {
	const least = 16
	rest := slices.IndexFunc(columns, func(c column) bool { return c.max == 0 })
	for widths[rest] < least {
		widest := -1
		for i := range widths {
			if i != rest && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		widths[widest]--
		widths[rest]++
	}
}

// gridStyle separates columns by two spaces and nothing else, so that a line can be read, copied and searched.
func gridStyle() table.Style {
	s := table.StyleDefault
	s.Box.PaddingLeft, s.Box.PaddingRight = "", strings.Repeat(" ", gutter)
	s.Options = table.Options{}
	s.Format.Header = text.FormatDefault
	return s
}

func (p *page) head(run *auditor.Run) {
	n := accounts(run)
	took := seconds(run.EndedAt.Sub(run.StartedAt))
	p.say("", fmt.Sprintf("Run %s of %s at %s, in %s, by agencyaudit %s",
		rules.Escape(run.ID), plural(n, "account"), instant(run.StartedAt), took, rules.Escape(run.Program)))
	for _, b := range run.Baselines {
		p.say("", fmt.Sprintf("Baseline %s: agency %s, %s (%s, %s)", rules.Escape(b.Name), rules.Escape(b.Agency),
			plural(len(b.Required), "required grant"), rules.Escape(b.Source), rules.Escape(b.SourceDate)))
	}
	if left := excludedWords(run.Excluded); left != "" {
		p.say("", "Left alone: "+left+p.listsThem())
	}
	for i := range run.Gaps {
		p.paint("", magenta, "Accounts may be missing: "+elide(run.Gaps[i].Detail, maxSentence)+requestOf(&run.Gaps[i])+".")
		if remedy := run.Gaps[i].Remedy; remedy != "" {
			p.say("  → ", elide(remedy, 2*maxSentence))
		}
	}
	for _, note := range run.Notes {
		p.paint("", yellow, "Note: "+elide(note, maxSentence)+".")
	}
	p.waivers(run)
	for _, why := range run.Suspect {
		p.paint("", red, "Suspect: "+rules.Escape(why)+". Do not act on this run before you know why.")
	}
}

// waivers says which waivers somebody has to look at: those that end soon, have ended, or accept nothing.
func (p *page) waivers(run *auditor.Run) {
	uses := run.WaiverUses()
	for i := range uses {
		u := &uses[i]
		about := fmt.Sprintf("Waiver %s of %s ", rules.Escape(u.ID), elide(u.Owner, maxName))
		switch u.Is(run.EndedAt) {
		case auditor.WaiverEnding:
			p.paint("", yellow, about+"ends at "+instant(u.Expires)+"; it is about "+plural(u.Findings, "finding")+".")
		case auditor.WaiverEnded:
			p.paint("", yellow, about+"ended at "+instant(u.Expires)+"; it was about "+plural(u.Findings, "finding")+": renew it, or delete it.")
		case auditor.WaiverUnused:
			p.paint("", dim, about+"accepts nothing, since there is no such finding: delete it.")
		}
	}
}

// accepted says by which waiver a finding is accepted; nothing of one that is not.
func accepted(f rules.Finding) string {
	if f.Waived == nil {
		return ""
	}
	return " · waived until " + ends(f.Waived.Expires) + " by " + rules.Escape(f.Waived.Waiver)
}

// requestOf names the request that a refusal was the answer to, if it is known.
func requestOf(u *rules.Unknown) string {
	if u.RequestID == "" {
		return ""
	}
	return " (request id " + rules.Escape(u.RequestID) + ")"
}

// excludedWords counts the accounts that were left alone: "3 accounts: 1 suspended, 2 configured".
func excludedWords(list []auditor.Exclusion) string {
	if len(list) == 0 {
		return ""
	}
	counts := auditor.CountExcluded(list)
	var parts []string
	for _, r := range auditor.ExclusionReasons() {
		if n := counts[r]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.Words()))
		}
	}
	return plural(len(list), "account") + ": " + strings.Join(parts, ", ")
}

// listsThem says how to see the accounts of which only the number is shown.
func (p *page) listsThem() string {
	if p.o.Verbose {
		return ""
	}
	return " (--verbose lists them)"
}

// excluded lists the accounts that were left alone, and why.
func (p *page) excluded(list []auditor.Exclusion) {
	if !p.o.Verbose || len(list) == 0 {
		return
	}
	p.gap()
	p.paint("", bold, "LEFT ALONE, AND WHY")
	for i := range list {
		a := &list[i].Account
		p.say("- ", fmt.Sprintf("%s (%s), %s: %s", cmp.Or(elide(a.Name, maxName), "without a name"), rules.Escape(a.ID), list[i].Reason,
			elide(list[i].Detail, maxSentence)))
	}
}

// states counts the accounts by state.
func (p *page) states(run *auditor.Run) {
	p.gap()
	used := 0
	for _, s := range rules.States() {
		count := fmt.Sprintf("%d %s", run.States[s], stateWords(s))
		switch {
		case used == 0:
		case used+3+len(count) > p.o.width():
			p.gap()
			used = 0
		default:
			p.b.WriteString("   ")
			used += 3
		}
		used += len(count)
		color := stateColor(s)
		if run.States[s] == 0 {
			color = dim
		}
		p.b.WriteString(p.o.paint(color, count))
	}
	p.gap()
}

// findings are those that the overview has lines for.
func (p *page) findings(r *rules.Report) []rules.Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f rules.Finding) bool { return !p.o.Verbose && !f.Severity.Drift() })
}

// worstFirst are the sweeps that the overview has rows for: states in their order, then the severity of the worst finding,
// then the order of the run.
func (p *page) worstFirst(run *auditor.Run) []*auditor.Sweep {
	var shown []*auditor.Sweep
	for i := range run.Sweeps {
		s := &run.Sweeps[i]
		if p.o.Verbose || s.Report.State != rules.StateCompliant && s.Report.State != rules.StateNotEnabled {
			shown = append(shown, s)
		}
	}
	slices.SortStableFunc(shown, func(a, b *auditor.Sweep) int {
		return cmp.Or(
			cmp.Compare(slices.Index(rules.States(), a.Report.State), slices.Index(rules.States(), b.Report.State)),
			cmp.Compare(worst(&a.Report), worst(&b.Report)),
		)
	})
	return shown
}

// sweeps writes a row for each finding of each of the run's sweeps that are shown.
func (p *page) sweeps(run *auditor.Run, shown []*auditor.Sweep) {
	if len(shown) == 0 {
		return
	}
	shared := sharedNames(run)
	columns := []column{{"ACCOUNT", 34}, {"STATE", 11}, {"SEVERITY", 8}, {"WHAT", 0}}
	several := len(run.Baselines) > 1
	if several {
		columns = slices.Insert(columns, 1, column{"BASELINE", 16})
		columns[0].max = 24
	}
	var rows [][]cell
	for _, s := range shown {
		r := &s.Report
		name := cmp.Or(elide(r.Account.Name, maxName), rules.Escape(r.Account.ID))
		if shared[name] {
			name += "\n" + rules.Escape(r.Account.ID)
		}
		first := []cell{{name, ""}, {stateWords(r.State), stateColor(r.State)}}
		if several {
			first = slices.Insert(first, 1, cell{rules.Escape(r.Baseline), ""})
		}
		for i, w := range p.what(r) {
			if i > 0 {
				first = make([]cell, len(first))
			}
			rows = append(rows, slices.Concat(first, w))
		}
	}
	p.gap()
	p.grid(0, columns, rows)
}

// sharedNames are the names, as they are displayed, that different accounts of the run bear.
func sharedNames(run *auditor.Run) map[string]bool {
	names := map[string]string{} // displayed name → id of the account that bears it
	shared := map[string]bool{}
	for i := range run.Sweeps {
		a := &run.Sweeps[i].Report.Account
		name := elide(a.Name, maxName)
		if id, ok := names[name]; ok && id != a.ID {
			shared[name] = true
		}
		names[name] = a.ID
	}
	return shared
}

// mostUnjudged is how many accounts the overview says in full why they are unknown, unless it is verbose. A cloud that is
// down has the same to say about all of them.
const mostUnjudged = 10

// unjudged says of each unknown account what was asked, what came back, and what can be done.
func (p *page) unjudged(run *auditor.Run, shown []*auditor.Sweep) {
	n, shared := 0, sharedNames(run)
	for _, s := range shown {
		u := s.Report.Unknown
		if u == nil {
			continue
		}
		if n++; n > mostUnjudged && !p.o.Verbose {
			continue
		}
		if n == 1 {
			p.gap()
			p.paint("", bold, "WHY UNKNOWN, AND WHAT TO DO")
		}
		name := cmp.Or(elide(s.Report.Account.Name, maxName), rules.Escape(s.Report.Account.ID))
		if shared[name] {
			name += " (" + rules.Escape(s.Report.Account.ID) + ")"
		}
		p.say("- ", name+": "+elide(u.Detail, maxSentence)+requestOf(u))
		if u.Remedy != "" {
			p.say("  → ", elide(u.Remedy, 2*maxSentence))
		}
	}
	if n > mostUnjudged && !p.o.Verbose {
		p.say("- ", fmt.Sprintf("and %d more; --verbose shows all", n-mostUnjudged))
	}
}

// worst is the rank of the first finding's severity, the findings being in their order; reports without one come last.
func worst(r *rules.Report) int {
	order := []rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}
	if len(r.Findings) == 0 {
		return len(order)
	}
	return slices.Index(order, r.Findings[0].Severity)
}

// what returns severity and words for each line that the overview has on one sweep, at least one.
func (p *page) what(r *rules.Report) [][]cell {
	var out [][]cell
	if u := r.Unknown; u != nil {
		why := string(u.Reason) + ", see below"
		if p.live {
			why = string(u.Reason) + ": " + u.Reason.Words()
		}
		out = append(out, []cell{{}, {why, ""}})
	}
	found := p.findings(r)
	for _, f := range found {
		out = append(out, []cell{{string(f.Severity), severityColor(f.Severity)}, {elide(f.Short(), maxSentence) + accepted(f), ""}})
	}
	switch {
	case r.State == rules.StateNotEnabled:
		out = append(out, []cell{{}, {"no agency " + rules.Escape(r.AgencyName) + ", and none is required here", dim}})
	case r.State == rules.StateCompliant && len(r.Findings) == 0:
		out = append(out, []cell{{}, {"as the baseline asks", dim}})
	case r.State == rules.StateCompliant && len(found) == 0:
		out = append(out, []cell{{}, {"as the baseline asks; " + plural(len(r.Findings), "finding") + " of severity info", dim}})
	}
	if len(out) == 0 {
		out = append(out, []cell{{}, {}})
	}
	return out
}

func (p *page) runFindings(run *auditor.Run) {
	if len(run.Findings) == 0 {
		return
	}
	p.gap()
	p.paint("", bold, "ABOUT THE WHOLE RUN")
	for _, f := range run.Findings {
		p.paint(p.o.label(f.Severity), "", elide(f.Message, maxSentence))
		for _, c := range f.Consequences {
			p.say("          ", elide(c, maxSentence))
		}
		for _, way := range rules.Remedies(baselineOf(run, f.Baseline), f) {
			p.say("          → ", elide(way.Where+": "+strings.Join(way.Steps, " "), 2*maxSentence))
		}
	}
}

// label is a severity in a column of its own.
func (o Options) label(s rules.Severity) string {
	return o.paint(severityColor(s), string(s)) + strings.Repeat(" ", max(10-len(s), 1))
}

// closing says what the counts do and do not mean, and what to do next.
func (p *page) closing(run *auditor.Run) {
	p.gap()
	hidden := 0
	var next *rules.Report // the account to look at first
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		hidden += len(r.Findings) - len(p.findings(r))
		if r.State == rules.StateDrifted && (next == nil || worst(r) < worst(next)) {
			next = r
		}
	}
	if hidden > 0 {
		p.say("", plural(hidden, "finding")+" of severity info not shown; --verbose shows all.")
	}
	if n := run.States[rules.StateUnknown]; n > 0 {
		noun := "account"
		if len(run.Baselines) > 1 {
			noun = "agency"
		}
		p.say("", plural(n, noun)+" could not be judged. Unknown is neither compliant nor drifted: the answer above is not "+
			"whole.")
		for i := range run.Sweeps {
			if r := &run.Sweeps[i].Report; next == nil && r.State == rules.StateUnknown {
				next = r
			}
		}
	}
	if run.Restricted {
		p.say("", notCompared)
	}
	switch {
	case len(run.Sweeps) == 0:
		p.say("", "There was no account to read, so nothing is known.")
	case next != nil:
		p.say("", "What this means for an account, and how to put it right by hand, step by step:")
		p.say("  ", cmp.Or(p.o.Explain, "agencyaudit explain")+" "+argument(next.Account, sharedNames(run)))
	case len(run.Gaps) > 0:
		p.say("", "Every account that is known was read, and none has drifted; but there may be others: the answer above is not whole.")
	case !run.Whole():
		p.say("", "Not every baseline can be judged on this site: the answer above is not whole.")
	case run.Restricted:
		p.say("", "The chosen accounts were read, and none has drifted.")
	default:
		p.say("", "Every account was read, and none has drifted.")
	}
}

const notCompared = "Only chosen accounts were read, so no trust was compared with the rest of the fleet's; a run of all accounts does that."

// argument is the account as the argument of a command that a person can paste: its name where it is harmless and
// no other account's, else its id.
func argument(a rules.Account, shared map[string]bool) string {
	harmless := func(r rune) bool {
		return r == '-' || r == '_' || r == '.' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if shared[a.Name] || a.Name == "" || a.Name[0] == '-' || strings.ContainsFunc(a.Name, func(r rune) bool { return !harmless(r) }) {
		return rules.Escape(a.ID)
	}
	return a.Name
}

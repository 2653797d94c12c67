package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// HistoryChanges writes what happened in a time: findings that came (+) and went (-), and states, account by account, each with its
// instant, and then the counts. Findings of severity info are left out unless o is verbose. The error is the writer's.
func HistoryChanges(w io.Writer, c *history.Changes, o Options) error {
	p := &page{o: o}
	p.paint("", bold, "What changed after "+instant(c.From)+", until "+instant(c.To))
	p.uncovered(c)
	rows, hidden := changeRows(c, o)
	p.gap()
	if len(rows) > 0 {
		p.grid(0, []column{{"ACCOUNT", 26}, {"WHEN (UTC)", 19}, {"WHAT", 0}}, rows)
	} else {
		says := "Nothing changed."
		switch {
		case !c.Covers():
			says = "Nothing is known to have changed."
		case hidden > 0:
			says = "No state changed, and no finding of severity warning or worse."
		}
		p.say("", says)
	}
	p.gap()
	if hidden > 0 {
		p.say("", plural(hidden, "change")+" of findings of severity info not shown; --verbose shows all.")
	}
	p.tally(c)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// uncovered says what of the time is not known.
func (p *page) uncovered(c *history.Changes) {
	switch {
	case c.Begins.IsZero():
		p.paint("", magenta, "The history has no run yet: nothing is known.")
	case c.Begins.After(c.From):
		p.paint("", magenta, "The history is whole from "+instant(c.Begins)+" on: what changed before is not known.")
	}
	if !c.Begins.IsZero() && len(c.Runs) == 0 {
		p.paint("", magenta, "No run ended in this time: that nothing changed is not known.")
	}
	if c.Unknown > 0 && len(c.Runs) > 0 {
		p.paint("", magenta, fmt.Sprintf("Unknown when the last run of this time ended: %d of %s. What happened there since the last reading is "+
			"not known.", c.Unknown, plural(c.Subjects, "account")))
	}
	if c.Broke() {
		p.paint("", magenta, "No run ended in the last "+Roughly(c.To.Sub(c.Known))+" of this time, which is more than twice the longest pause "+
			"between two before: what happened then is not known.")
	}
}

// changeRows are the rows of a table of changes: accounts in the order of the first of them, and how many are left out.
func changeRows(c *history.Changes, o Options) (rows [][]cell, hidden int) {
	var order []string
	of := map[string][]*history.Change{}
	baselines, names := map[string]bool{}, map[string]string{}
	shared := map[string]bool{}
	for i := range c.Changes {
		is := &c.Changes[i]
		if is.Finding != nil && is.Finding.As != nil && !is.Finding.As.Severity.Drift() && !o.Verbose {
			hidden++
			continue
		}
		if of[is.Account.ID] == nil {
			order = append(order, is.Account.ID)
		}
		of[is.Account.ID] = append(of[is.Account.ID], is)
		baselines[is.Baseline] = true
		if id, has := names[is.Account.Name]; has && id != is.Account.ID {
			shared[is.Account.Name] = true
		}
		names[is.Account.Name] = is.Account.ID
	}
	for _, id := range order {
		list := of[id]
		last := list[len(list)-1].Account
		name := cmp.Or(elide(last.Name, maxName), rules.Escape(id))
		if shared[last.Name] {
			name += "\n" + rules.Escape(id)
		}
		for _, is := range list {
			what, color := changeWords(is, c.Known)
			if len(baselines) > 1 {
				what += " [" + rules.Escape(is.Baseline) + "]"
			}
			rows = append(rows, []cell{{name, ""}, {is.At.UTC().Format(time.DateTime), ""}, {what, color}})
			name = ""
		}
	}
	return rows, hidden
}

// changeWords says what a change is, and in which colour. known is the instant until which something is known.
func changeWords(is *history.Change, known time.Time) (what, color string) {
	lasted := ""
	switch {
	case !is.Until.IsZero():
		lasted = ", for " + Roughly(is.Until.Sub(is.At))
	case shows(known.Sub(is.At)):
		lasted = ", still so after " + Roughly(known.Sub(is.At))
	}
	switch is.Kind {
	case history.ChangeRenamed:
		return "renamed from " + elide(is.CalledBefore, maxName) + " to " + elide(is.Account.Name, maxName), ""
	case history.ChangeState:
		if is.Is == "" {
			return stateWords(is.Was) + " → no longer in the fleet, or left alone", dim
		}
		to, from := stateWords(is.Is), "new"
		if is.Was != "" {
			from = stateWords(is.Was)
		}
		if is.Unknown != nil {
			to += fmt.Sprintf(" (%s: %s)", is.Unknown.Reason, is.Unknown.Reason.Words())
		}
		if is.WasUnknown != nil {
			from += fmt.Sprintf(" (%s)", is.WasUnknown.Reason)
		}
		return from + " → " + to + lasted, stateColor(is.Is)
	}
	f := is.Finding
	words, severity := findingWords(f)
	if is.Kind == history.ChangeCame {
		return fmt.Sprintf("+ %s %s%s", severity, words, lasted), severityColor(severity)
	}
	stood := Roughly(f.EndedAt.Sub(f.FirstSeen))
	switch f.How {
	case history.EndingReplaced:
		return "- " + words + ": gave way to something else that is no better; it had stood for " + stood, yellow
	case history.EndingBaseline:
		if f.Rule == rules.RuleTrustMismatch { // it was recorded so of both, at first
			return "- " + words + ": trusts another wrong account from then on, or is judged by other rules; it had stood for " + stood, yellow
		}
		return "- " + words + ": judged by other rules from then on, and perhaps so still; it had stood for " + stood, yellow
	case history.EndingGone:
		return "- " + words + ": the account left the fleet, or is left alone; it had stood for " + stood, dim
	}
	return "- " + words + ": put right after " + stood, green
}

// findingWords says what a finding is about, harmless on a terminal, and how bad it is.
func findingWords(f *history.Finding) (string, rules.Severity) {
	as := f.As
	if as == nil {
		as = &rules.Finding{Policy: f.Policy, PolicyID: f.PolicyID, Scope: f.Scope, Message: f.Rule}
	}
	return elide(as.Short(), maxSentence), as.Severity
}

// Roughly writes a span for people, to a minute from an hour on, and to an hour from two days on.
func Roughly(d time.Duration) string {
	switch d = max(d, 0); {
	case d >= 48*time.Hour:
		return rules.Span(d.Round(time.Hour))
	case d >= time.Hour:
		return rules.Span(d.Round(time.Minute))
	}
	return rules.Span(d.Round(time.Second))
}

// shows says whether Roughly leaves anything of a span.
func shows(d time.Duration) bool { return d.Round(time.Second) > 0 }

// tally says in a sentence what the time was like.
func (p *page) tally(c *history.Changes) {
	incomplete, suspect := 0, 0
	for i := range c.Runs {
		if !c.Runs[i].Complete {
			incomplete++
		}
		if len(c.Runs[i].Suspect) > 0 {
			suspect++
		}
	}
	if len(c.Runs) > 0 {
		says := fmt.Sprintf("%s, %d of them incomplete, %d suspect; the last ended at %s", plural(len(c.Runs), "run"), incomplete, suspect,
			instant(c.Known))
		if shows(c.To.Sub(c.Known)) {
			says += ", " + Roughly(c.To.Sub(c.Known)) + " before the end of this time"
			if len(c.Runs) == 1 {
				says += "; from one run it cannot be told whether another one was due since"
			}
		}
		p.say("", says+".")
	}
	came, went := c.Count()
	says := fmt.Sprintf("Findings: %d came; %d went: %d put right, %d gave way, %d by other rules, %d with their account; %d at the end.", came,
		went[history.EndingRefuted]+went[history.EndingReplaced]+went[history.EndingBaseline]+went[history.EndingGone],
		went[history.EndingRefuted], went[history.EndingReplaced], went[history.EndingBaseline], went[history.EndingGone], c.Stand)
	if median, ok := c.Repair(); ok {
		says += " Median time to repair: " + Roughly(median) + "."
	}
	p.say("", says)
}

// sweepThen is what was known of an account as a sweep: the state of that instant, the findings that stood, and the evidence.
func sweepThen(k *history.Known) *auditor.Sweep {
	s := auditor.Sweep{Report: rules.Report{Findings: []rules.Finding{}}, StartedAt: k.From, EndedAt: k.From, Replayed: true}
	if k.Evidence != nil {
		s = *k.Evidence
	}
	r := &s.Report
	r.Account, r.Baseline, r.AgencyName, r.State, r.Unknown = k.Account, k.Baseline, k.Agency, k.State, k.Unknown
	seen := r.Findings
	r.Findings = []rules.Finding{}
	for i := range k.Findings {
		f := &k.Findings[i]
		// As it was at that time, accepted or not; or as it was when that was still to be seen.
		as := f.As
		if at := slices.IndexFunc(seen, func(is rules.Finding) bool {
			return is.Rule == f.Rule && is.Policy == f.Policy && is.PolicyID == f.PolicyID && is.Scope == f.Scope
		}); at >= 0 {
			as = &seen[at]
		}
		if as != nil {
			r.Findings = append(r.Findings, *as)
		}
	}
	order := []rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}
	slices.SortStableFunc(r.Findings, func(a, b rules.Finding) int {
		return cmp.Compare(slices.Index(order, a.Severity), slices.Index(order, b.Severity))
	})
	return &s
}

// since is when a finding was first seen, of those that stood.
func since(k *history.Known, f *rules.Finding) time.Time {
	for i := range k.Findings {
		if is := &k.Findings[i]; is.Rule == f.Rule && is.Policy == f.Policy && is.PolicyID == f.PolicyID && is.Scope == f.Scope {
			return is.FirstSeen
		}
	}
	return time.Time{}
}

// HistoryAccount writes what was known at an instant of one agency of an account, with the evidence of that time. The error is
// the writer's.
func HistoryAccount(w io.Writer, k *history.Known, at time.Time, o Options) error {
	p := &page{o: o}
	s := sweepThen(k)
	r := &s.Report
	p.paint("", bold, "WHAT WAS KNOWN AT "+instant(at))
	p.say("", "This is what the program knew then, by its history. It is not what is so now: agencyaudit explain reads that.")
	p.gap()
	p.verdict(s, false)
	p.title("Since when, and how old that was")
	lapsed := ""
	if k.Lapsed {
		lapsed = ", when a waiver ended; run " + rules.Escape(k.FromRun) + " had said " + stateWords(rules.StateWaived)
	}
	p.say("  state     ", stateWords(k.State)+" since "+instant(k.Since)+", "+Roughly(at.Sub(k.Since))+" before"+lapsed+p.ended(k))
	odd := ""
	if !k.Run.Complete {
		odd = "; it was incomplete"
	}
	for _, why := range k.Run.Suspect {
		odd += "; it was suspect: " + rules.Escape(why)
	}
	p.say("  last run  ", fmt.Sprintf("%s by agencyaudit %s, ended at %s, %s before%s", rules.Escape(k.Run.ID), rules.Escape(k.Run.Program),
		instant(k.Run.EndedAt), Roughly(at.Sub(k.Run.EndedAt)), odd))
	p.aged(k, at)
	if k.Unknown != nil {
		p.title("Why it was unknown")
		p.why(k.Unknown)
		if k.Evidence != nil && !k.Judged {
			p.gap()
			p.say("  ", "What stands below is the last evidence before that. What was wrong by it had not been refuted; what was right by it "+
				"was no longer known to be so.")
		}
	}
	b := rules.Baseline{Name: k.Baseline, Agency: k.Agency}
	p.agency(b, r)
	p.coverage(b, r)
	p.allowed(r)
	for i, f := range r.Findings {
		p.found(r, i, f)
		if first := since(k, &f); !first.IsZero() {
			p.say("  ", "Since "+instant(first)+", "+Roughly(at.Sub(first))+" before.")
		}
		p.b.WriteString("  Finding id: " + rules.Escape(rules.FindingID(*r, f)) + "\n")
	}
	p.title("Evidence")
	for _, judged := range k.Run.Baselines {
		if judged.Name == k.Baseline {
			p.say("  ", fmt.Sprintf("Baseline %s, sha256 %s.", rules.Escape(judged.Name), rules.Escape(judged.Digest)))
		}
	}
	if k.Evidence == nil {
		p.say("  ", "There was none: no reading had ended in evidence by then.")
	} else {
		p.planes(s)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// ended says until when a verdict held, if the history knows by now that it is over.
func (p *page) ended(k *history.Known) string {
	if k.Until.IsZero() {
		return ""
	}
	return "; this was the last word until " + instant(k.Until) + " (run " + rules.Escape(k.UntilRun) + ")"
}

// aged says how old the evidence was at an instant.
func (p *page) aged(k *history.Known, at time.Time) {
	if k.Evidence == nil {
		return
	}
	p.say("  read      ", fmt.Sprintf("at %s, in %s, with %s; these are the request ids below", instant(k.Evidence.StartedAt),
		seconds(k.Evidence.EndedAt.Sub(k.Evidence.StartedAt)), plural(k.Evidence.Trail.Requests, "request")))
	again := ""
	if k.LastRead.After(k.Evidence.StartedAt) {
		again = "; it was read again at " + instant(k.LastRead) + " or later, and was the same"
	}
	p.say("  age       ", "the evidence was "+Roughly(at.Sub(k.LastRead))+" old, or less"+again)
}

// HistoryRuns writes a row for each run, the newest last. total counts those of the time, of which only the last may be shown. The
// error is the writer's.
func HistoryRuns(w io.Writer, runs []history.Run, total int, o Options) error {
	p := &page{o: o}
	rows := make([][]cell, len(runs))
	for i := range runs {
		r := &runs[i]
		var counts []string
		for _, s := range rules.States() {
			if n := r.States[s]; n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", n, stateWords(s)))
			}
		}
		what, color := cmp.Or(strings.Join(counts, ", "), "no account"), ""
		if !r.Complete {
			what, color = what+"\nincomplete: not everything could be read", magenta
		}
		for _, why := range r.Suspect {
			what, color = what+"\nsuspect: "+elide(why, maxSentence), red
		}
		rows[i] = []cell{
			{rules.Escape(r.ID), ""}, {r.EndedAt.UTC().Format(time.DateTime), ""}, {seconds(r.EndedAt.Sub(r.StartedAt)), ""},
			{rules.Escape(r.Trigger), ""}, {what, color},
		}
	}
	if len(runs) == 0 {
		p.say("", "No run ended in this time.")
	} else {
		p.grid(0, []column{{"RUN", 20}, {"ENDED (UTC)", 19}, {"TOOK", 8}, {"TRIGGER", 9}, {"STATES", 0}}, rows)
	}
	if n := total - len(runs); n > 0 {
		p.gap()
		p.say("", fmt.Sprintf("%d of %s are shown, the newest last; --limit shows more, and 0 all.", len(runs), plural(total, "run")))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

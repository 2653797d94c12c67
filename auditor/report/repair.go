package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The names of the forms of the JSON documents about repair, which docs/commands.md describes. Fields and values may be added to a form;
// nothing is renamed, removed or changed in meaning without another name.
const (
	PlanSchema     = "agencyaudit.repair.plan/v1"
	ApprovalSchema = "agencyaudit.repair.approval/v1"
	OutcomeSchema  = "agencyaudit.repair.outcome/v1"
	LedgerSchema   = "agencyaudit.repair.ledger/v1"
)

// PlanView is a plan with what people want to know beside it.
type PlanView struct {
	Plan *remedy.Plan
	// Status is what repair is at; nil leaves it out.
	Status *remedy.Status
	// Now is when it is shown, and Daemon says whether a daemon made it, by its last run.
	Now    time.Time
	Daemon bool
	// Next says how to go on, and Commands are those for it, to be copied.
	Next     string
	Commands []string
}

type planForm struct {
	Schema string         `json:"schema"`
	Daemon bool           `json:"daemon"`
	Plan   *remedy.Plan   `json:"plan"`
	Repair *remedy.Status `json:"repair"`
}

// PlanJSON writes a plan and what repair is at as JSON. The error is the writer's.
func PlanJSON(w io.Writer, v PlanView) error {
	s := v.Status
	if s != nil && s.Plan != nil {
		without := *s
		without.Plan = nil // it stands beside
		s = &without
	}
	return writeJSON(w, planForm{PlanSchema, v.Daemon, v.Plan, s})
}

type approvalForm struct {
	Schema   string        `json:"schema"`
	Daemon   bool          `json:"daemon"`
	Plan     *remedy.Plan  `json:"plan"`
	Approval *remedy.Entry `json:"approval"`
}

// ApprovalJSON writes a plan that was approved as JSON, with what the ledger says of that; byDaemon says that a daemon was told. The error
// is the writer's.
func ApprovalJSON(w io.Writer, p *remedy.Plan, approval *remedy.Entry, byDaemon bool) error {
	return writeJSON(w, approvalForm{ApprovalSchema, byDaemon, p, approval})
}

// PlanFile writes a plan so that remedy.ParsePlan reads it. The error is the writer's.
func PlanFile(w io.Writer, p *remedy.Plan) error { return writeJSON(w, p) }

// maxListed is how many accounts are named where many have one thing in common, unless all are wanted.
const maxListed = 5

// digestShown is how much of a digest is shown in sentences: enough to tell plans apart.
const digestShown = 12

// Plan writes what would be done, what would not and why, and how to go on. The error is the writer's.
func Plan(w io.Writer, v PlanView, o Options) error {
	p := &page{o: o}
	plan := v.Plan
	p.planHead(v)
	if len(plan.Steps) > 0 {
		p.gap()
		p.steps(plan.Steps)
	}
	p.held(plan.Held)
	p.gap()
	p.limits(v)
	p.standing(v)
	if v.Next != "" {
		p.gap()
		p.say("", v.Next)
		for _, c := range v.Commands {
			p.b.WriteString("  " + rules.Escape(c) + "\n")
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) planHead(v PlanView) {
	plan := v.Plan
	what := "nothing to do"
	if n := len(plan.Steps); n > 0 {
		ids := map[string]bool{}
		for i := range plan.Steps {
			ids[plan.Steps[i].AccountID] = true
		}
		what = plural(n, "step") + " in " + plural(len(ids), "account")
	} else if plan.Undoes != "" && len(plan.Held) > 0 {
		what = "nothing can be"
	}
	if plan.Undoes != "" {
		p.paint("", bold, rules.Escape("Plan to take back what was done after run "+plan.Undoes+": "+what))
	} else {
		p.paint("", bold, "Plan: "+what)
	}
	p.say("  digest        ", rules.Escape(plan.Digest))
	asked := elide(plan.RequestedBy, maxName) + map[bool]string{true: ", signed"}[plan.Signature != ""]
	if plan.RequestedBy == remedy.Daemon && !v.Daemon { // it is the plan that a daemon would make, which there was none to ask for
		asked = "no person: it is what follows from the run"
	}
	p.say("  asked for by  ", asked)
	from := "a run made for it"
	if v.Daemon {
		from = "the daemon's last run"
	}
	if plan.Run != "" {
		from += " (" + rules.Escape(plan.Run) + ")"
	}
	if !plan.RunEndedAt.IsZero() {
		from += ", which ended at " + instant(plan.RunEndedAt) + ", " + Roughly(max(v.Now.Sub(plan.RunEndedAt), 0)) + " ago"
	}
	p.say("  rests on      ", from)
	if plan.Unread > 0 {
		p.paint("  not read      ", magenta, plural(plan.Unread, "account")+", for which nothing is proposed: audit says why")
	}
}

// steps are the steps of a plan, in the order in which they are carried out. What one affects is said once.
func (p *page) steps(steps []rules.Step) {
	rows := make([][]cell, len(steps))
	said := map[string]int{}
	for i := range steps {
		s := &steps[i]
		what := []string{elide(policyOf(s.Grant.Policy.Name, s.Grant.Policy.ID), maxName), "at " + elide(s.Grant.Scope.String(), maxName)}
		if s.Grant.Policy.Origin == rules.Custom {
			what = append(what, "custom policy "+rules.Escape(s.Grant.Policy.ID))
		}
		all := fmt.Sprintf("%q", s.Affects)
		if as := said[all]; as > 0 {
			what = append(what, fmt.Sprintf("- it affects what step %d does", as))
		} else {
			said[all] = i + 1
			for _, affected := range s.Affects {
				what = append(what, "- "+elide(affected, maxSentence))
			}
		}
		rows[i] = []cell{
			{fmt.Sprintf("%d", i+1), ""}, {rules.Escape(string(s.Action)), actionColor(s.Action)},
			{elide(s.Account, maxName) + "\n" + rules.Escape(s.AccountID) + "\n" + elide(s.Agency, maxName), ""},
			{strings.Join(what, "\n"), ""},
		}
	}
	p.grid(0, []column{{"#", 5}, {"ACTION", 6}, {"ACCOUNT", 32}, {"WHAT", 0}}, rows)
}

func actionColor(a rules.Action) string {
	if a == rules.ActionRevoke {
		return yellow
	}
	return green
}

func policyOf(name, id string) string { return cmp.Or(name, id, "a policy") }

// held is what is not put right, grouped by why.
func (p *page) held(all []rules.Held) {
	if len(all) == 0 {
		return
	}
	p.gap()
	p.paint("", bold, "Not put right")
	for _, why := range rules.Holds() {
		var of []rules.Held
		for i := range all {
			if all[i].Reason == why {
				of = append(of, all[i])
			}
		}
		if len(of) > 0 {
			p.paint("  ", dim, fmt.Sprintf("%s: %s (%d)", why, why.Words(), len(of)))
			p.heldFor(of)
		}
	}
}

// heldFor is what is held for one reason, grouped by what would have to be otherwise.
func (p *page) heldFor(all []rules.Held) {
	type thing struct{ detail, what string }
	var order []thing
	accounts := map[thing][]string{}
	for i := range all {
		h := &all[i]
		t := thing{h.Detail, fmt.Sprintf("%s %s at %s", h.Action, elide(policyOf(h.Policy, h.PolicyID), maxName), h.Scope.Label())}
		if accounts[t] == nil {
			order = append(order, t)
		}
		if name := cmp.Or(elide(h.Account, maxName), rules.Escape(h.AccountID)); !slices.Contains(accounts[t], name) {
			accounts[t] = append(accounts[t], name)
		}
	}
	slices.SortStableFunc(order, func(a, b thing) int { return strings.Compare(a.detail, b.detail) })
	for i, t := range order {
		if i == 0 || order[i-1].detail != t.detail {
			p.say("    ", elide(t.detail, maxSentence))
		}
		p.say("      - ", t.what+": "+p.listed(accounts[t]))
	}
}

// listed are names, of which only the first are shown unless all are wanted.
func (p *page) listed(names []string) string {
	if more := len(names) - maxListed; more > 0 && !p.o.Verbose {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), more)
	}
	return strings.Join(names, ", ")
}

// limits says whether a plan fits into them.
func (p *page) limits(v PlanView) {
	plan := v.Plan
	grants, revokes := plan.Accounts(rules.ActionGrant), plan.Accounts(rules.ActionRevoke)
	text := fmt.Sprintf("it grants in %s and revokes in %s", plural(grants, "account"), plural(revokes, "account"))
	if s := v.Status; s != nil && s.Mode.Acts() {
		text += fmt.Sprintf("; in accounts that were not written in today, %d and %d may be",
			s.Remaining[rules.ActionGrant], s.Remaining[rules.ActionRevoke])
	}
	switch {
	case plan.Over != "":
		p.paint("  limits        ", red,
			"it exceeds one, so that nothing of it would be carried out, and all repair frozen: "+elide(plan.Over, maxSentence))
	case len(plan.Steps) > 0:
		p.say("  limits        ", "it fits: "+text)
	}
	if plan.Stopped != "" {
		p.paint("  stopped       ", red, string(plan.Stopped)+": "+plan.Stopped.Words()+": "+elide(plan.Detail, maxSentence))
	}
}

// standing is what repair is at.
func (p *page) standing(v PlanView) {
	s := v.Status
	if s == nil {
		return
	}
	text := "mode " + rules.Escape(string(s.Mode))
	if v.Daemon {
		text += ", by the daemon"
	}
	if s.Entries > 0 {
		text += fmt.Sprintf("; the ledger has %d %s", s.Entries, map[bool]string{true: "entry", false: "entries"}[s.Entries == 1])
	}
	p.say("  repair        ", text)
	if s.Ledger != "" {
		p.paint("  ledger        ", red, elide(s.Ledger, 2*maxSentence))
	}
	if f := s.Frozen; f != nil {
		p.paint("  frozen        ", red, fmt.Sprintf("since %s, by %s: %s", instant(f.Since), elide(f.By, maxName), elide(f.Reason, maxSentence)))
	}
	for _, digest := range slices.Sorted(maps.Keys(s.Waiting)) {
		p.paint("  waits         ", yellow, fmt.Sprintf("for approval since %s: %s", instant(s.Waiting[digest]), rules.Escape(cut(digest))))
	}
	for i := range s.Open {
		o := &s.Open[i]
		said := ""
		if o.Said != "" {
			said = ", and the cloud said: " + rules.Escape(o.Said)
		}
		p.paint("  pending       ", yellow, fmt.Sprintf("intent %d, since %s: %s in %s%s", o.Intent, instant(o.Since), elide(o.Step.Short(), maxSentence),
			elide(o.Step.Account, maxName), said))
	}
	for i := range s.Quarantined {
		q := &s.Quarantined[i]
		what := cmp.Or(q.Step.Account, q.AccountID) + ": " + q.Reason
		if q.Step.Account != "" {
			what = q.Step.Short() + " in " + what
		}
		p.paint("  quarantined   ", yellow, fmt.Sprintf("since %s: %s", instant(q.Since), elide(what, maxSentence)))
	}
	if n := len(s.Last); n > 0 {
		d := &s.Last[n-1]
		p.say("  last          ", fmt.Sprintf("%s: %s: %s in %s", instant(d.EndedAt), d.Outcome, elide(d.Step.Short(), maxSentence),
			elide(d.Step.Account, maxName)))
	}
}

func cut(digest string) string { return digest[:min(len(digest), digestShown)] }

type outcomeForm struct {
	Schema string         `json:"schema"`
	Plan   string         `json:"plan"`
	Whole  bool           `json:"whole"`
	Result *remedy.Result `json:"result"`
}

// OutcomeJSON writes what came of a plan as JSON. The error is the writer's.
func OutcomeJSON(w io.Writer, p *remedy.Plan, r *remedy.Result) error {
	shown := *r
	shown.Done, shown.Open = append([]remedy.Done{}, r.Done...), append([]remedy.Open{}, r.Open...)
	shown.Void = append([]rules.Held{}, r.Void...)
	return writeJSON(w, outcomeForm{OutcomeSchema, p.Digest, r.Whole(), &shown})
}

// Outcome writes what came of a plan: step by step, what became of each, what is not known yet, and what was void, and why. The error is
// the writer's.
func Outcome(w io.Writer, plan *remedy.Plan, r *remedy.Result, o Options) error {
	p := &page{o: o}
	done := 0
	var rows [][]cell
	add := func(n int64, s *rules.Step, outcome, color, more string) {
		intent := "-"
		if n > 0 {
			intent = fmt.Sprintf("%d", n)
		}
		rows = append(rows, []cell{
			{intent, ""}, {outcome, color}, {elide(s.Account, maxName) + "\n" + rules.Escape(s.AccountID), ""}, {elide(s.Short(), maxSentence) + more, ""},
		})
	}
	for i := range r.Done {
		d := &r.Done[i]
		more, color := "", red
		if d.Outcome == remedy.OutcomeDone || d.Outcome == remedy.OutcomeNoop {
			color = green
			done++
		}
		if d.RequestID != "" {
			more += "\nrequest " + rules.Escape(d.RequestID)
		}
		if d.Reason != "" {
			more += "\n" + elide(d.Reason, 2*maxSentence)
		}
		add(d.Intent, &d.Step, string(d.Outcome), color, more)
	}
	for i := range r.Open {
		n := &r.Open[i]
		more := "\nthe cloud does not show yet what came of it"
		if n.RequestID != "" {
			more = "\nrequest " + rules.Escape(n.RequestID) + more
		}
		add(n.Intent, &n.Step, "pending", yellow, more)
	}
	for i := range r.Void {
		h := &r.Void[i]
		step := rules.Step{
			Action: h.Action, AccountID: h.AccountID, Account: h.Account,
			Grant: rules.Grant{Policy: rules.Policy{ID: h.PolicyID, Name: h.Policy}, Scope: rules.Scope{Kind: h.Scope}},
		}
		add(0, &step, "void", magenta, "\n"+string(h.Reason)+": "+h.Reason.Words()+"; "+elide(h.Detail, maxSentence))
	}
	p.paint("", bold, fmt.Sprintf("Plan %s: %d of %s done", rules.Escape(cut(plan.Digest)), done, plural(len(plan.Steps), "step")))
	if len(rows) > 0 {
		p.grid(0, []column{{"INTENT", 8}, {"OUTCOME", 10}, {"ACCOUNT", 32}, {"WHAT", 0}}, rows)
	}
	if r.Stopped != "" {
		p.gap()
		p.paint("Stopped: ", red, string(r.Stopped)+": "+r.Stopped.Words()+": "+elide(r.Detail, maxSentence))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

type ledgerForm struct {
	Schema  string         `json:"schema"`
	Total   int            `json:"total"`
	Whole   bool           `json:"whole"`
	Problem string         `json:"problem,omitempty"`
	Entries []remedy.Entry `json:"entries"`
}

// LedgerJSON writes entries of a ledger as JSON, with how many there are in all, and with what is wrong with it behind them. The error is
// the writer's.
func LedgerJSON(w io.Writer, entries []remedy.Entry, total int, problem error) error {
	form := ledgerForm{LedgerSchema, total, problem == nil, "", append([]remedy.Entry{}, entries...)}
	if problem != nil {
		form.Problem = problem.Error()
	}
	return writeJSON(w, form)
}

// Ledger writes entries of a ledger, the newest last; steps are the steps of its intents by their numbers, and total is how many entries
// there are in all. The error is the writer's.
func Ledger(w io.Writer, entries []remedy.Entry, steps map[int64]rules.Step, total int, o Options) error {
	p := &page{o: o}
	rows := make([][]cell, len(entries))
	for i := range entries {
		e := &entries[i]
		what, color := told(e, steps)
		rows[i] = []cell{
			{fmt.Sprintf("%d", e.Seq), ""}, {e.Time.UTC().Format(time.DateTime), ""}, {rules.Escape(string(e.Kind)), color},
			{elide(e.Actor, maxName), ""}, {what, ""},
		}
	}
	if len(rows) == 0 {
		p.say("", "No entry.")
	} else {
		p.grid(0, []column{{"ENTRY", 7}, {"TIME (UTC)", 19}, {"KIND", 11}, {"BY", 14}, {"WHAT", 0}}, rows)
	}
	if n := total - len(rows); n > 0 {
		p.gap()
		p.say("", fmt.Sprintf("%d of %s are shown.", len(rows), plural(total, "entry")))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// told says what an entry says, in lines, and the colour of its kind.
func told(e *remedy.Entry, steps map[int64]rules.Step) (text, color string) {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	of, known := steps[e.Intent]
	switch {
	case e.Step != nil:
		say("%s", elide(e.Step.Short(), maxSentence))
		say("in %s (%s)", elide(e.Step.Account, maxName), rules.Escape(e.Step.AccountID))
	case e.Intent > 0 && known:
		say("intent %d: %s in %s", e.Intent, elide(of.Short(), maxSentence), elide(of.Account, maxName))
	case e.Intent > 0:
		say("intent %d", e.Intent)
	case e.AccountID != "":
		say("account %s", rules.Escape(e.AccountID))
	}
	if e.Outcome != "" {
		say("outcome: %s", rules.Escape(string(e.Outcome)))
	}
	if e.Said != "" {
		say("the cloud said: %s", rules.Escape(e.Said))
	}
	if e.RequestID != "" {
		say("request %s", rules.Escape(e.RequestID))
	}
	switch plan := rules.Escape(cut(e.Plan)); {
	case e.Run != "" && plan != "":
		say("run %s, plan %s", rules.Escape(e.Run), plan)
	case e.Run != "":
		say("run %s", rules.Escape(e.Run))
	case plan != "":
		say("plan %s", plan)
	}
	if e.Steps > 0 {
		say("%s", plural(e.Steps, "step"))
	}
	if !e.Expires.IsZero() {
		say("until %s", instant(e.Expires))
	}
	if e.Reason != "" {
		say("%s", elide(e.Reason, 2*maxSentence))
	}
	return strings.Join(lines, "\n"), kindColor(e)
}

func kindColor(e *remedy.Entry) string {
	switch e.Kind {
	case remedy.KindFrozen, remedy.KindRejected, remedy.KindQuarantined:
		return red
	case remedy.KindPending:
		return yellow
	case remedy.KindOutcome:
		if e.Outcome == remedy.OutcomeDone || e.Outcome == remedy.OutcomeNoop {
			return green
		}
		return red
	case remedy.KindStarted, remedy.KindPlanned, remedy.KindApproved, remedy.KindIntent, remedy.KindSent, remedy.KindUnfrozen, remedy.KindReleased:
	}
	return ""
}

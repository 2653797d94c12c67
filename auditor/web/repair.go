package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// repairOff is the mode in which nothing is proposed.
const repairOff = "off"

// Repair is how repair stands at one instant. Pages show it, and change nothing of it.
type Repair struct {
	// Mode is off, plan, approve or auto.
	Mode string
	// Frozen says why nothing is changed; nil when something may be.
	Frozen *Freeze
	// Plan is what is proposed; nil when nothing is.
	Plan *Plan
	// Open are the steps of which it is not known yet what became of them.
	Open []Step
	// Quarantined are the grants that are left alone.
	Quarantined []Quarantine
	// Held is what differs from the baseline and is not put right.
	Held []rules.Held
	// Last are the steps that ended last, the newest first.
	Last []Step
}

// Freeze says why nothing is changed, and how that is lifted.
type Freeze struct {
	Since time.Time
	// By is a person, or what else stopped it.
	By, Why string
	// Lift is the command that lifts it, or what else does.
	Lift string
}

// Plan is what is proposed.
type Plan struct {
	Digest string
	// Run is the run that it comes from.
	Run       string
	PlannedAt time.Time
	// Waits says that a person has to approve it, and Commands how that is done.
	Waits    bool
	Commands []string
	// Over is the limit that it exceeds, in words; empty when it fits.
	Over  string
	Steps []rules.Step
}

// Step is a step that was begun.
type Step struct {
	rules.Step
	At time.Time
	// Pending says that the cloud said it did it and does not show it yet.
	Pending bool
	// Outcome is what became of it; empty while that is not known. Why says it in words.
	Outcome, Why string
	RequestID    string
}

// Quarantine is a grant that is left alone.
type Quarantine struct {
	auditor.Subject
	// Grant is what it is, in words.
	Grant string
	Since time.Time
	Why   string
	// Lift is the command that lifts it.
	Lift string
}

// The most rows that a page has of one kind, and the most examples of one reason for which something is held.
const (
	maxRepairRows = 100
	maxHeldShown  = 5
)

// repairView is what a page shows of repair.
type repairView struct {
	Mode, Says  string
	Frozen      *freezeView
	Plan        *planView
	Open        []stepView
	OpenMore    int
	Quarantined []quarantineView
	QuarMore    int
	Held        []heldView
	Last        []stepView
	LastMore    int
}

type freezeView struct {
	moment
	By, Why, Lift string
}

type planView struct {
	moment
	Digest, Run string
	Waits       bool
	Commands    []string
	Over        string
	Steps       []stepView
	More        int
}

// stepView is a step in words.
type stepView struct {
	moment
	Name, Link, Agency, Says  string
	Affects                   []string
	Tone, Outcome, Why, AskID string
}

type quarantineView struct {
	moment
	Name, Link, Agency, Grant, Why, Lift string
}

// heldView is what is held for one reason.
type heldView struct {
	Reason, Words string
	Count         int
	Items         []heldItem
	More          int
}

type heldItem struct{ Name, Link, Says, Detail string }

// repairSays says in a sentence what a mode means.
func repairSays(mode string) string {
	switch mode {
	case "plan":
		return "What would be done is shown; nothing is changed."
	case "approve":
		return "What a person approved is done."
	case "auto":
		return "What is proposed is done, within the limits."
	}
	return ""
}

// line says in the few words of a list how repair stands.
func (r *Repair) line() line {
	switch {
	case r == nil || r.Mode == repairOff && len(r.Open) == 0:
		return line{Name: "Repair", Says: repairOff}
	case r.Mode == repairOff:
		return line{"Repair", "off; what became of " + plural(len(r.Open), "step") + begun(len(r.Open)) + " is not known", true}
	case r.Frozen != nil:
		return line{"Repair", "mode " + r.Mode + ", frozen", true}
	}
	return line{Name: "Repair", Says: "mode " + r.Mode}
}

func begun(n int) string {
	if n == 1 {
		return " that was begun before"
	}
	return " that were begun before"
}

// about is what of it is about one agency of one account.
func (r *Repair) about(s auditor.Subject) *Repair {
	if r == nil {
		return nil
	}
	step := func(st *rules.Step) bool { return st.AccountID == s.Account.ID && st.Agency == s.Agency }
	own := &Repair{Mode: r.Mode, Frozen: r.Frozen}
	if r.Plan != nil {
		plan := *r.Plan
		plan.Steps = chosen(plan.Steps, func(st *rules.Step) bool { return step(st) })
		if len(plan.Steps) > 0 {
			own.Plan = &plan
		}
	}
	own.Open = chosen(r.Open, func(st *Step) bool { return step(&st.Step) })
	own.Last = chosen(r.Last, func(st *Step) bool { return step(&st.Step) })
	own.Quarantined = chosen(r.Quarantined, func(q *Quarantine) bool { return q.Account.ID == s.Account.ID && q.Agency == s.Agency })
	own.Held = chosen(r.Held, func(h *rules.Held) bool { return h.AccountID == s.Account.ID && h.Agency == s.Agency })
	if own.Plan == nil && len(own.Open)+len(own.Last)+len(own.Quarantined)+len(own.Held) == 0 {
		return nil
	}
	return own
}

func chosen[T any](list []T, fits func(*T) bool) []T {
	var some []T
	for i := range list {
		if fits(&list[i]) {
			some = append(some, list[i])
		}
	}
	return some
}

// shown is repair for people; nil when it is off. keep is the query that links keep.
func (r *Repair) shown(now time.Time, keep string) *repairView {
	if r == nil || r.Mode == repairOff {
		return nil
	}
	v := &repairView{Mode: r.Mode, Says: repairSays(r.Mode)}
	if f := r.Frozen; f != nil {
		v.Frozen = &freezeView{at(f.Since, now), f.By, f.Why, f.Lift}
	}
	if p := r.Plan; p != nil {
		v.Plan = &planView{moment: at(p.PlannedAt, now), Digest: p.Digest, Run: p.Run, Waits: p.Waits, Commands: p.Commands, Over: p.Over}
		for i := range p.Steps[:min(len(p.Steps), maxRepairRows)] {
			v.Plan.Steps = append(v.Plan.Steps, shownStep(&p.Steps[i], keep))
		}
		v.Plan.More = len(p.Steps) - len(v.Plan.Steps)
	}
	for i := range r.Open[:min(len(r.Open), maxRepairRows)] {
		v.Open = append(v.Open, r.Open[i].shown(now, keep))
	}
	for i := range r.Last[:min(len(r.Last), maxRepairRows)] {
		v.Last = append(v.Last, r.Last[i].shown(now, keep))
	}
	for i := range r.Quarantined[:min(len(r.Quarantined), maxRepairRows)] {
		q := &r.Quarantined[i]
		v.Quarantined = append(v.Quarantined, quarantineView{
			at(q.Since, now), cmp.Or(q.Account.Name, q.Account.ID), accountLink(q.Subject) + keep, q.Agency, q.Grant, q.Why, q.Lift,
		})
	}
	v.OpenMore, v.LastMore, v.QuarMore = len(r.Open)-len(v.Open), len(r.Last)-len(v.Last), len(r.Quarantined)-len(v.Quarantined)
	v.hold(r.Held, keep)
	return v
}

// hold groups what is held by the reason, in the order of rules.Holds.
func (v *repairView) hold(held []rules.Held, keep string) {
	groups := map[rules.Hold]*heldView{}
	for i := range held {
		h := &held[i]
		g := groups[h.Reason]
		if g == nil {
			g = &heldView{Reason: string(h.Reason), Words: h.Reason.Words()}
			groups[h.Reason] = g
		}
		g.Count++
		if len(g.Items) == maxHeldShown {
			g.More++
			continue
		}
		says := string(h.Action) + " " + cmp.Or(h.Policy, h.PolicyID, "what the agency lacks")
		if h.Scope != "" {
			says += " at " + h.Scope.Words()
		}
		subject := auditor.Subject{Account: rules.Account{ID: h.AccountID, Name: h.Account}, Agency: h.Agency}
		g.Items = append(g.Items, heldItem{cmp.Or(h.Account, h.AccountID), accountLink(subject) + keep, says, h.Detail})
	}
	for _, reason := range rules.Holds() {
		if g := groups[reason]; g != nil {
			v.Held = append(v.Held, *g)
			delete(groups, reason)
		}
	}
	var others []rules.Hold // that this program does not know
	for reason := range groups {
		others = append(others, reason)
	}
	slices.Sort(others)
	for _, reason := range others {
		v.Held = append(v.Held, *groups[reason])
	}
}

func shownStep(s *rules.Step, keep string) stepView {
	subject := auditor.Subject{Account: rules.Account{ID: s.AccountID, Name: s.Account}, Agency: s.Agency}
	return stepView{
		Name: cmp.Or(s.Account, s.AccountID), Link: accountLink(subject) + keep, Agency: s.Agency, Says: s.Short(), Affects: s.Affects,
	}
}

func (s *Step) shown(now time.Time, keep string) stepView {
	v := shownStep(&s.Step, keep)
	v.moment, v.Outcome, v.Why, v.AskID = at(s.At, now), s.Outcome, s.Why, s.RequestID
	switch {
	case s.Outcome == "" && s.Pending:
		v.Outcome = "pending: the cloud said that it did it, and does not show it yet"
	case s.Outcome == "":
		v.Outcome = "open: the account has to be read first"
	case s.Outcome == "done" || s.Outcome == "noop":
		v.Tone = toneBetter
	case s.Outcome == "failed" || s.Outcome == "unverified":
		v.Tone = toneWorse
	}
	return v
}

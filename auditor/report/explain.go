package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Explain writes everything about one account of the run: the verdict and what it rests on, the agency, how far each
// required grant is covered, each finding with what it breaks and how to put it right by hand, and the evidence. The
// sweep is one of the run's. The error is the writer's.
func Explain(w io.Writer, run *auditor.Run, sweep *auditor.Sweep, o Options) error {
	p := &page{o: o}
	b := baselineOf(run, sweep.Report.Baseline)
	p.verdict(sweep, run.Restricted && b.Trust.ID == "" && sweep.Report.Agency != nil)
	p.unknown(&sweep.Report)
	p.agency(b, &sweep.Report)
	p.coverage(b, &sweep.Report)
	p.allowed(&sweep.Report)
	for i, f := range sweep.Report.Findings {
		p.finding(b, &sweep.Report, i, f)
	}
	p.evidence(run, sweep)
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) title(s string) {
	p.gap()
	p.paint("", bold, s)
}

// verdict says what an account is called. alone is that its trust was compared with no other account's.
func (p *page) verdict(s *auditor.Sweep, alone bool) {
	r := &s.Report
	name := cmp.Or(rules.Escape(r.Account.Name), "account without a name")
	p.paint("", bold, fmt.Sprintf("%s (account id %s)", name, rules.Escape(r.Account.ID)))
	if where := placeOf(r.Account); where != "" {
		p.say("", where)
	}
	p.paint("", stateColor(r.State), strings.ToUpper(stateWords(r.State))+p.meaning(r))
	if alone {
		p.paint("", yellow, "That is as far as this account shows by itself. "+notCompared)
	}
}

// placeOf says where the organization keeps an account, and its tags; nothing of one that it says nothing of.
func placeOf(a rules.Account) string {
	var parts []string
	if a.OU != "" {
		parts = append(parts, "organizational unit "+rules.Escape(a.OU))
	}
	for _, tag := range a.Tags {
		parts = append(parts, "tag "+rules.Escape(tag.Key)+"="+rules.Escape(tag.Value))
	}
	return strings.Join(parts, ", ")
}

// meaning says in a sentence what the state rests on.
func (p *page) meaning(r *rules.Report) string {
	against := fmt.Sprintf("against the baseline %s", rules.Escape(r.Baseline))
	switch r.State {
	case rules.StateUnknown:
		return " " + against + ": it can be called neither compliant nor drifted."
	case rules.StateDrifted:
		return fmt.Sprintf(" %s: %s.", against, severities(r.Findings))
	case rules.StateNotEnabled:
		return fmt.Sprintf(": the account has no agency %s, and none is required here.", rules.Escape(r.AgencyName))
	case rules.StateWaived:
		return fmt.Sprintf(" %s: every difference was accepted.", against)
	}
	if len(r.Findings) > 0 {
		return fmt.Sprintf(" %s; %s.", against, severities(r.Findings))
	}
	return " " + against + ": evidence shows exactly what it asks for."
}

// severities counts findings by severity: "3 findings: 1 critical, 2 high".
func severities(findings []rules.Finding) string {
	count := map[rules.Severity]int{}
	var order []rules.Severity // as the findings stand: worst first
	for _, f := range findings {
		if count[f.Severity] == 0 {
			order = append(order, f.Severity)
		}
		count[f.Severity]++
	}
	parts := make([]string, len(order))
	for i, s := range order {
		parts[i] = fmt.Sprintf("%d %s", count[s], s)
	}
	return plural(len(findings), "finding") + ": " + strings.Join(parts, ", ")
}

func (p *page) unknown(r *rules.Report) {
	u := r.Unknown
	if u == nil {
		return
	}
	p.title("Why it is unknown")
	p.why(u)
	p.gap()
	p.say("  ", "It does not mean that the account is compliant, and not that it has drifted: what could not be read may hold "+
		"anything. Nothing was changed: this only reads.")
	if len(r.Findings) > 0 {
		p.say("  ", "What was read all the same stands below. It is true, but it is not the whole.")
	}
}

// why says in which words an account is unknown.
func (p *page) why(u *rules.Unknown) {
	p.say("  reason      ", fmt.Sprintf("%s: %s", u.Reason, u.Reason.Words()))
	p.say("  what        ", rules.Escape(u.Detail))
	if u.Remedy != "" {
		p.say("  what to do  ", rules.Escape(u.Remedy))
	}
	if u.RequestID != "" {
		p.say("  request id  ", rules.Escape(u.RequestID)+" (the cloud's support can look it up)")
	}
}

func (p *page) agency(b rules.Baseline, r *rules.Report) {
	a := r.Agency
	if a == nil {
		return
	}
	p.title("Agency")
	p.say("  name     ", rules.Escape(a.Name))
	p.say("  id       ", rules.Escape(a.ID))
	trusted := cmp.Or(rules.Escape(a.Trust.Name), "an account that the cloud did not name")
	trusted = fmt.Sprintf("%s (id %s)", trusted, rules.Escape(a.Trust.ID))
	if b.Trust != (rules.Trust{}) {
		trusted += "; the baseline asks for " + trustWords(b.Trust)
	}
	p.say("  trusts   ", trusted)
	created, expires := "the cloud's text for it could not be read", "never"
	if !a.CreatedAt.IsZero() {
		created = instant(a.CreatedAt)
	}
	if !a.ExpiresAt.IsZero() {
		expires = instant(a.ExpiresAt)
	}
	p.say("  created  ", created)
	p.say("  expires  ", expires)
}

func trustWords(t rules.Trust) string {
	if t.ID == "" {
		return rules.Escape(t.Name) + ", without a pinned id"
	}
	return fmt.Sprintf("%s (id %s)", rules.Escape(t.Name), rules.Escape(t.ID))
}

func (p *page) coverage(b rules.Baseline, r *rules.Report) {
	if len(r.Required) == 0 {
		return
	}
	p.title("Required grants")
	rows := make([][]cell, len(r.Required))
	for i, c := range r.Required {
		label := c.Scope.Label()
		for _, req := range b.Required {
			if req.Policy == c.Policy && req.Scope == c.Scope {
				label = cmp.Or(req.ScopeLabel, label)
			}
		}
		color := green
		if !c.Coverage.Satisfied() {
			color = red
		}
		rows[i] = []cell{
			{rules.Escape(c.Policy), ""}, {string(c.Coverage), color}, {rules.Escape(label), ""}, {grantList(c.By, c.Policy), ""},
		}
	}
	p.grid(2, []column{{"POLICY", 32}, {"COVERAGE", 8}, {"REQUIRED AT", 28}, {"HELD AT", 0}}, rows)
}

// allowed lists the grants that are meant, though the baseline does not require them.
func (p *page) allowed(r *rules.Report) {
	if len(r.Allowed) == 0 {
		return
	}
	p.title("Allowed beyond the baseline")
	rows := make([][]cell, len(r.Allowed))
	for i, a := range r.Allowed {
		name := cmp.Or(a.Grant.Policy.Name, a.Grant.Policy.ID)
		rows[i] = []cell{
			{rules.Escape(name), ""}, {rules.Escape(scopeOf(a.Grant.Scope)), ""}, {rules.Escape(a.Owner), ""}, {rules.Escape(a.Reason), ""},
		}
	}
	p.grid(2, []column{{"POLICY", 32}, {"HELD AT", 24}, {"OWNER", 16}, {"REASON", 0}}, rows)
}

// grantList names where grants hold, and their policy where it bears another name than the required one.
func grantList(grants []rules.Grant, name string) string {
	if len(grants) == 0 {
		return "–"
	}
	words := make([]string, len(grants))
	for i, g := range grants {
		words[i] = rules.Escape(g.Scope.String())
		if g.Policy.Name != name {
			words[i] = rules.Escape(g.Policy.Name) + " at " + words[i]
		}
	}
	return strings.Join(words, ", ")
}

// scopeOf names one scope in full: a project by its name and its id.
func scopeOf(s rules.Scope) string {
	words := s.Kind.Words()
	switch {
	case s.Name != "" && s.Name != s.ID:
		return fmt.Sprintf("%s %s (id %s)", words, s.Name, s.ID)
	case s.ID != "":
		return words + " " + s.ID
	}
	return words
}

func (p *page) finding(b rules.Baseline, r *rules.Report, i int, f rules.Finding) {
	p.found(r, i, f)
	for n, way := range rules.Remedies(b, f) {
		lead := "To put it right"
		if n > 0 {
			lead = "Or"
		}
		p.gap()
		p.say("  ", lead+" ("+rules.Escape(way.Where)+"):")
		for k, step := range way.Steps {
			p.say(fmt.Sprintf("  %2d. ", k+1), rules.Escape(step))
		}
	}
	p.gap()
	p.say("  ", "More: "+cmp.Or(pageOf(f.Rule), "no page"))
	// However long: an id that is broken over two lines cannot be copied.
	p.b.WriteString("  Finding id: " + rules.Escape(rules.FindingID(*r, f)) + "\n")
}

// found says what a finding is about, and what it rests on.
func (p *page) found(r *rules.Report, i int, f rules.Finding) {
	p.gap()
	head := fmt.Sprintf("Finding %d of %d, %s: %s", i+1, len(r.Findings), f.Severity, f.Rule)
	if f.Risk != "" {
		head += fmt.Sprintf(", risk %s", f.Risk)
	}
	if f.Cohort != "" {
		head += ", known cohort " + rules.Escape(f.Cohort)
	}
	p.paint("", severityColor(f.Severity), head)
	p.say("  ", rules.Escape(f.Message))
	for _, c := range f.Consequences {
		p.say("  - ", rules.Escape(c))
	}
	if f.CohortSays != "" {
		p.gap()
		p.say("  ", rules.Escape(f.CohortSays))
	}
	if w := f.Waived; w != nil {
		says := fmt.Sprintf("Accepted until %s by the waiver %s of %s: %s", instant(w.Expires), rules.Escape(w.Waiver), rules.Escape(w.Owner),
			rules.Escape(w.Reason))
		if w.Ticket != "" {
			says += " (" + rules.Escape(w.Ticket) + ")"
		}
		p.gap()
		p.paint("  ", green, says)
	}
	for _, g := range f.Grants {
		name := cmp.Or(rules.Escape(g.Policy.Name), "without a name")
		p.say("  held: ", fmt.Sprintf("%s policy %s (id %s) at %s", g.Policy.Origin, name, rules.Escape(g.Policy.ID), rules.Escape(scopeOf(g.Scope))))
	}
}

func (p *page) evidence(run *auditor.Run, s *auditor.Sweep) {
	p.title("Evidence")
	with := plural(s.Trail.Requests, "request")
	if s.Trail.Requests == 0 {
		with = "no request in the account (those that enter an account, and those of which all have the answer, are not counted)"
	}
	p.say("  ", fmt.Sprintf("Run %s by agencyaudit %s. Read at %s, in %s, with %s.", rules.Escape(run.ID), rules.Escape(run.Program),
		instant(s.StartedAt), seconds(s.EndedAt.Sub(s.StartedAt)), with))
	b := baselineOf(run, s.Report.Baseline)
	p.say("  ", fmt.Sprintf("Baseline %s: %s (%s), sha256 %s.",
		rules.Escape(b.Name), rules.Escape(b.Source), rules.Escape(b.SourceDate), rules.Escape(b.Digest)))
	if !s.HasEvidence() {
		p.say("  ", "There is no evidence: the reading did not end in one. What came back until then is not shown, since half an "+
			"answer proves nothing.")
		return
	}
	p.planes(s)
}

// planes says what evidence was read.
func (p *page) planes(s *auditor.Sweep) {
	p.say("  ", "Which agencies there are: request ids "+ids(s.RequestIDs)+".")
	if len(s.Planes) == 0 {
		p.say("  ", "The agency is absent, by the list by name and by the whole list.")
		return
	}
	p.gap()
	rows := make([][]cell, len(s.Planes))
	absent := false
	for i, plane := range s.Planes {
		count, witness := fmt.Sprint(plane.Total), "not asked"
		if plane.State == rules.PlaneAbsent {
			absent, count = true, "–"
		}
		if plane.Witnessed {
			witness = "agrees"
		}
		rows[i] = []cell{
			{plane.Kind.Label(), ""}, {string(plane.State), ""}, {count, ""}, {fmt.Sprint(len(plane.Grants)), ""}, {witness, ""},
			{ids(plane.RequestIDs), ""},
		}
	}
	p.grid(2, []column{
		{"PLANE", 24}, {"STATE", 6}, {"CLOUD'S COUNT", 7}, {"GRANTS", 6}, {"SECOND WITNESS", 9}, {"REQUEST IDS", 0},
	}, rows)
	if absent {
		p.say("  ", "Absent: the cloud said that the account or the site does not have such grants at all.")
	}
	p.gap()
	if !slices.ContainsFunc(s.Planes, func(x rules.Plane) bool { return len(x.Grants) > 0 }) {
		p.say("  ", "The agency holds no grant at all.")
		return
	}
	var grants [][]cell
	for _, plane := range s.Planes {
		for _, g := range plane.Grants {
			id := rules.Escape(g.Policy.ID)
			if g.Scope.ID != "" {
				id += "\n" + rules.Escape(g.Scope.ID)
			}
			grants = append(grants, []cell{
				{cmp.Or(rules.Escape(g.Policy.Name), "–"), ""}, {string(g.Policy.Origin), ""}, {id, ""},
				{rules.Escape(cmp.Or(g.Scope.Name, g.Scope.Kind.Words())), ""},
			})
		}
	}
	p.grid(2, []column{{"GRANTED POLICY", 30}, {"ORIGIN", 10}, {"POLICY ID, PROJECT ID", 32}, {"AT", 0}}, grants)
}

// ids lists request ids; none is said, since an answer without an id cannot be looked up.
func ids(list []string) string {
	if len(list) == 0 {
		return "none given"
	}
	out := make([]string, len(list))
	for i, id := range list {
		out[i] = rules.Escape(id)
	}
	return strings.Join(out, " ")
}

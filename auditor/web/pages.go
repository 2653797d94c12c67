package web

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

//go:embed page.html index.html account.html repair.html
var files embed.FS

// templates are the pages. That they can be parsed is found by any test.
var templates = template.Must(template.New("").Funcs(template.FuncMap{"see": rules.Escape}).ParseFS(files, "*.html"))

const (
	// perPage is how many accounts a page lists.
	perPage = 100
	// perRow is how many findings a row has in words.
	perRow = 3
	// narrowest is the width of a state in the bar in which there is one account, in thousandths of the bar.
	narrowest = 4
	// maxQuery bounds what is searched for, in bytes.
	maxQuery = 200
	// maxDetail is how much of a detail a row has, in characters; the account's page has all of it.
	maxDetail = 100
)

// head is what every page has.
type head struct {
	Title   string
	Refresh int
	// Keep is the query that has the next page refresh as this one does, for links to it.
	Keep      string
	Simulated bool
	Program   string
	Now       string
	// Suspect says why the last run should not be acted on; nothing when it may be.
	Suspect []string
}

// moment is an instant for people.
type moment struct{ At, Ago string }

func (s *Server) head(title string, r *http.Request, v View) head {
	n, _ := strconv.Atoi(r.FormValue("refresh"))
	if n < 2 || n > 3600 {
		n = 0
	}
	h := head{Title: title, Refresh: n, Simulated: v.Loop.Simulated, Program: v.Loop.Program, Now: instant(s.o.Now())}
	if v.Snapshot.Run != nil {
		h.Suspect = v.Snapshot.Run.Suspect
	}
	if n > 0 {
		h.Keep = "?refresh=" + strconv.Itoa(n)
	}
	return h
}

// indexPage is what the first page shows.
type indexPage struct {
	head
	Verdict   string
	Tone      string // of the verdict: good, bad or unsure
	Segments  []segment
	Expected  int
	Filter    string
	Listed    string // what the list has, as a heading
	Query     string
	Rows      []accountRow
	Matching  int
	From, To  int
	Prev      string
	Next      string
	Loop      []line
	Run       []rules.Finding
	Excluded  []line // by reason, with how many there are
	Left      []leftRow
	LeftMore  int
	Gaps      []rules.Unknown
	Notes     []string
	Waivers   []line // those that somebody has to look at
	Figures   figures
	Past      *pastView
	Repair    *repairView
	Baselines []rules.Baseline
	Toggle    string // the address that turns the refreshing on or off
	Other     string // the address of the other one of the two main lists
}

// leftRow is an account that is left alone.
type leftRow struct{ Name, ID, OU, Reason, Detail string }

// line is one thing about the program, in words.
type line struct {
	Name, Says string
	Bad        bool
}

// segment is the share of one state in the bar, in thousandths of it.
type segment struct {
	State, Words string
	Count        int
	X, Width     int
	Link         string
	Current      bool
}

// accountRow is one account in a row of words.
type accountRow struct {
	Name, ID, Agency, Link string
	// OU is where the organization keeps the account; Shared says that another account bears the name, so that the id is shown.
	OU           string
	Shared       bool
	State, Words string
	Severity     string
	What         []string
	Detail       string // of an unknown account
	More         int
	Before       []aged
	Read         moment
	Since        moment
}

// aged is what was known to be wrong when an account that is unknown was read last.
type aged struct{ Says, Ago string }

// listed is a standing that may be shown, with what it is sorted by.
type listed struct {
	*auditor.Standing
	state rules.State
	why   *rules.Unknown
}

func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	v, now := s.o.View(), s.o.Now()
	snap := v.Snapshot
	p := &indexPage{
		head: s.head("Fleet", r, v), Expected: len(snap.Standings), Baselines: snap.Baselines,
		Filter: filter(r.FormValue("state")), Query: shorten(strings.TrimSpace(r.FormValue("q"))),
		Run: snap.Findings(), Gaps: snap.Gaps, Notes: snap.Notes,
	}
	p.Past = v.Past.shown(now)
	p.Repair = v.Repair.shown(now, p.Keep)
	p.exclude(snap)
	p.accept(snap, now)
	address := func(set ...string) string { return p.address(set...) }
	counts := snap.Count(now)
	p.Verdict, p.Tone = verdict(snap, counts)
	p.Figures = figuresOf(snap, counts, now, p.Keep)
	x, widths := 0, bar(counts)
	for i, state := range rules.States() {
		p.Segments = append(p.Segments, segment{
			State: string(state), Words: words(state), Count: counts[state], X: x, Width: widths[i],
			Link: address("state", string(state), "page", ""), Current: p.Filter == string(state),
		})
		x += widths[i]
	}
	p.list(snap, now, r.FormValue("page"))
	p.Loop = s.loop(v, now)
	p.Listed, p.Other = "Accounts that are not compliant", address("state", "all", "q", "")
	switch {
	case p.Filter != "":
		p.Listed, p.Other = "All accounts", address("state", "", "q", "")
		if p.Filter != "all" {
			p.Listed = "Accounts: " + words(rules.State(p.Filter))
		}
	case p.Query != "":
		p.Listed = "Accounts that match"
	}
	p.Toggle = address("refresh", "10")
	if p.Refresh > 0 {
		p.Toggle = address("refresh", "")
	}
	s.render(w, http.StatusOK, "index.html", p)
}

// accept says which waivers somebody has to look at.
func (p *indexPage) accept(s *auditor.Snapshot, now time.Time) {
	uses := s.WaiverUses(now)
	for i := range uses {
		u := &uses[i]
		about := " " + plural(u.Findings, "finding")
		switch u.Is(now) {
		case auditor.WaiverEnding:
			says := "of " + u.Owner + " ends at " + instant(u.Expires) + ", " + until(u.Expires, now) + "; it is about" + about
			p.Waivers = append(p.Waivers, line{u.ID, says, false})
		case auditor.WaiverEnded:
			p.Waivers = append(p.Waivers, line{u.ID, "of " + u.Owner + " ended at " + instant(u.Expires) + "; it was about" + about, true})
		case auditor.WaiverUnused:
			p.Waivers = append(p.Waivers, line{u.ID, "of " + u.Owner + " accepts nothing, since there is no such finding", false})
		}
	}
}

// maxLeft is how many accounts that are left alone the first page lists, of those that fit what is searched for.
const maxLeft = 100

// exclude fills in the accounts that are left alone.
func (p *indexPage) exclude(snap *auditor.Snapshot) {
	counts := auditor.CountExcluded(snap.Excluded)
	for _, r := range auditor.ExclusionReasons() {
		if n := counts[r]; n > 0 {
			p.Excluded = append(p.Excluded, line{Name: string(r), Says: plural(n, "account") + " " + r.Words()})
		}
	}
	query := strings.ToLower(p.Query)
	for i := range snap.Excluded {
		e := &snap.Excluded[i]
		if query != "" && !found(e.Account, query) {
			continue
		}
		if len(p.Left) == maxLeft {
			p.LeftMore++
			continue
		}
		p.Left = append(p.Left, leftRow{cmp.Or(e.Account.Name, e.Account.ID), e.Account.ID, e.Account.OU, string(e.Reason), e.Detail})
	}
}

// found says whether an account is what is searched for, in lower case.
func found(a rules.Account, query string) bool {
	return strings.Contains(strings.ToLower(a.Name), query) || strings.Contains(a.ID, query) ||
		strings.Contains(strings.ToLower(a.OU), query)
}

// bar are the widths of the states in the bar, which are 1000 together. One account of ten thousand is seen too.
func bar(counts map[rules.State]int) []int {
	total := 0
	for _, n := range counts {
		total += n
	}
	widths := make([]int, len(rules.States()))
	widest, sum := 0, 0
	for i, state := range rules.States() {
		if n := counts[state]; n > 0 {
			widths[i] = max(1000*n/total, narrowest)
		}
		if sum += widths[i]; widths[i] > widths[widest] {
			widest = i
		}
	}
	if total > 0 {
		widths[widest] += 1000 - sum
	}
	return widths
}

// filter is a state, all, or "" for every account that is not compliant.
func filter(text string) string {
	if text == "all" || slices.Contains(rules.States(), rules.State(text)) {
		return text
	}
	return ""
}

// shorten makes what is searched for short, and text in which everything is seen: it is shown again in its field.
func shorten(query string) string {
	return strings.Map(func(r rune) rune {
		if rules.Acts(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(query[:min(len(query), maxQuery)], ""))
}

// address is this page's with some of what it is asked for replaced.
func (p *indexPage) address(set ...string) string {
	q := url.Values{}
	add := func(name, value string) {
		q.Del(name)
		if value != "" {
			q.Set(name, value)
		}
	}
	add("state", p.Filter)
	add("q", p.Query)
	if p.Refresh > 0 {
		add("refresh", strconv.Itoa(p.Refresh))
	}
	for i := 0; i+1 < len(set); i += 2 {
		add(set[i], set[i+1])
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

// list fills in the accounts of one page.
func (p *indexPage) list(snap *auditor.Snapshot, now time.Time, page string) {
	var all []listed
	bearer, shared := map[string]string{}, map[string]bool{} // by name: an account that bears it, and whether another one does
	query := strings.ToLower(p.Query)
	for i := range snap.Standings {
		st := &snap.Standings[i]
		state, why := st.At(now, snap.MaxAge)
		if id, known := bearer[st.Account.Name]; known && id != st.Account.ID {
			shared[st.Account.Name] = true
		}
		bearer[st.Account.Name] = st.Account.ID
		switch {
		case p.Filter == "" && p.Query == "" && state == rules.StateCompliant:
		case p.Filter != "" && p.Filter != "all" && p.Filter != string(state):
		case query != "" && !found(st.Account, query):
		default:
			all = append(all, listed{st, state, why})
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int {
		return cmp.Or(
			cmp.Compare(slices.Index(rules.States(), a.state), slices.Index(rules.States(), b.state)),
			cmp.Compare(worst(a.Findings), worst(b.Findings)),
		)
	})
	p.Matching = len(all)
	pages := max((len(all)+perPage-1)/perPage, 1)
	n, _ := strconv.Atoi(page)
	n = min(max(n, 1), pages)
	first := (n - 1) * perPage
	all = all[first:min(first+perPage, len(all))]
	p.From, p.To = first+1, first+len(all)
	if n > 1 {
		p.Prev = p.address("page", strconv.Itoa(n-1))
	}
	if n < pages {
		p.Next = p.address("page", strconv.Itoa(n+1))
	}
	for i := range all {
		row := rowOf(&all[i], now, p.Keep)
		row.OU, row.Shared = all[i].Account.OU, shared[all[i].Account.Name]
		p.Rows = append(p.Rows, row)
	}
}

func rowOf(l *listed, now time.Time, keep string) accountRow {
	row := accountRow{
		Name: cmp.Or(l.Account.Name, l.Account.ID), ID: l.Account.ID, Agency: l.Agency, Link: accountLink(l.Subject) + keep,
		State: string(l.state), Words: words(l.state), Read: at(l.ReadAt(), now), Since: at(l.UnknownSince, now),
	}
	var says []string
	var before []aged
	severity := ""
	for i := range l.Findings {
		f := &l.Findings[i]
		if !f.Severity.Drift() && l.state != rules.StateCompliant {
			continue
		}
		if len(says) == perRow {
			row.More++
			continue
		}
		short := f.Short()
		if f.WaivedAt(now) {
			short += " · waived until " + f.Waived.Expires.UTC().Format(time.DateOnly)
		}
		says, before = append(says, short), append(before, aged{short, at(l.FoundAt(*f), now).Ago})
		severity = cmp.Or(severity, string(f.Severity))
	}
	if l.state == rules.StateUnknown {
		row.What, row.Before = []string{reasonWords(l.Standing, l.why)}, before
		if l.Last != nil {
			row.Detail = cut(l.why.Detail, maxDetail)
		}
		return row
	}
	row.What, row.Severity = says, severity
	if l.state == rules.StateNotEnabled {
		row.What = []string{"there is no agency " + l.Agency + ", and none is required"}
	}
	return row
}

// notRead is what is said of an account that no run has read yet.
const notRead = "not read yet"

// reasonWords says why nothing may be said of an account.
func reasonWords(st *auditor.Standing, why *rules.Unknown) string {
	switch {
	case st.Last != nil:
		return why.Reason.Words()
	case st.Evidence != nil && st.Evidence.Replayed:
		return notRead + " since the program started"
	case st.Evidence != nil:
		return notRead + " since the configuration changed"
	}
	return notRead
}

// cut shortens a text to so many characters.
func cut(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return strings.TrimRight(string(runes[:most-1]), " ") + "…"
	}
	return s
}

func accountLink(s auditor.Subject) string {
	return "/accounts/" + url.PathEscape(s.Account.ID) + "/" + url.PathEscape(s.Agency)
}

// worst is the place of the worst finding's severity, the smaller the worse.
func worst(findings []rules.Finding) int {
	order := []rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}
	n := len(order)
	for i := range findings {
		if at := slices.Index(order, findings[i].Severity); at >= 0 {
			n = min(n, at)
		}
	}
	return n
}

// verdict says in a sentence how the fleet is.
func verdict(s *auditor.Snapshot, counts map[rules.State]int) (says, tone string) {
	unknown, drifted := counts[rules.StateUnknown], counts[rules.StateDrifted]
	total := len(s.Standings)
	switch {
	case total == 0:
		return "No account is expected, so nothing is known.", "unsure"
	case s.Run == nil && wereDrifted(s) > 0:
		return fmt.Sprintf("%s not read yet since the program started; %d had drifted when last read.", are(total), wereDrifted(s)), "unsure"
	case s.Run == nil:
		return fmt.Sprintf("Nothing is known yet of %s: the first run has not ended.", plural(total, "account")), "unsure"
	case unknown == 0 && drifted == 0 && len(s.Gaps) > 0:
		return fmt.Sprintf("No account has drifted, of %d that were read, but others may be missing.", total), "unsure"
	case unknown == 0 && drifted == 0:
		return fmt.Sprintf("No account has drifted, of %d that were read.", total), "good"
	case unknown == 0:
		return fmt.Sprintf("%d of %s drifted.", drifted, has(drifted, total)), "bad"
	case unknown == total:
		return noneJudged(s), "unsure"
	case drifted == 0:
		return fmt.Sprintf("%d of %d accounts could not be judged; no other one has drifted.", unknown, total), "unsure"
	}
	return fmt.Sprintf("%d of %s drifted, and %d could not be judged.", drifted, has(drifted, total), unknown), "bad"
}

// noneJudged is the verdict when every account is unknown: how many had drifted before, as far as anything was read.
func noneJudged(s *auditor.Snapshot) string {
	before := wereDrifted(s)
	switch total := len(s.Standings); {
	case total == 1 && before == 1:
		return "The only account could not be judged; it had drifted when it was last read."
	case total == 1:
		return "The only account could not be judged."
	case before == 0:
		return fmt.Sprintf("None of %d accounts could be judged.", total)
	default:
		return fmt.Sprintf("None of %d accounts could be judged; %d of them had drifted when last read.", total, before)
	}
}

// wereDrifted counts the accounts in which something is known to be wrong, whatever may be said of them now.
func wereDrifted(s *auditor.Snapshot) int {
	n := 0
	for i := range s.Standings {
		if slices.ContainsFunc(s.Standings[i].Findings, func(f rules.Finding) bool { return f.Severity.Drift() }) {
			n++
		}
	}
	return n
}

func are(accounts int) string {
	if accounts == 1 {
		return "1 account is"
	}
	return fmt.Sprintf("%d accounts are", accounts)
}

func has(n, total int) string {
	if n == 1 {
		return fmt.Sprintf("%d accounts has", total)
	}
	return fmt.Sprintf("%d accounts have", total)
}

// loop says what the program does now and next.
func (s *Server) loop(v View, now time.Time) []line {
	var lines []line
	add := func(name, says string, bad bool) { lines = append(lines, line{name, says, bad}) }
	l := &v.Loop
	switch {
	case l.Stopping:
		add("Now", "the program was told to end", true)
	case !l.Alive:
		add("Now", "the scheduler has not shown that it lives since "+instant(l.HeartbeatAt)+": it hangs, or a run does", true)
	case l.Running && l.Total > 0:
		add("Now", fmt.Sprintf("reading, %d of %d done, since %s (%s)", l.Done, l.Total, instant(l.StartedAt), l.Trigger), false)
	case l.Running:
		add("Now", fmt.Sprintf("a run is beginning (%s)", l.Trigger), false)
	default:
		add("Now", "waiting", false)
	}
	if !l.NextRunAt.IsZero() && !l.Stopping {
		add("Next run", instant(l.NextRunAt)+", "+until(l.NextRunAt, now)+" · schedule "+l.Cron+" (UTC)", false)
	}
	if run := v.Snapshot.Run; run != nil {
		says := fmt.Sprintf("%s, in %s, run %s (%s)", instant(run.EndedAt), duration(run.EndedAt.Sub(run.StartedAt)), run.ID, run.Trigger)
		if !run.Complete {
			says += "; not everything was read"
		}
		add("Last run", says, false)
	}
	if l.LastError != "" {
		add("Last run failed", l.LastError, true)
	}
	if l.ReloadError != "" {
		add("Reload refused", l.ReloadError, true)
	}
	if l.HistoryError != "" {
		add("History not kept", l.HistoryError, true)
	}
	lines = append(lines, v.Repair.line())
	if l.Skipped > 0 {
		add("Skipped", plural(l.Skipped, "slot")+" of the schedule came while a run was under way", false)
	}
	return append(lines, line{Name: "Evidence", Says: "older than " + duration(v.Snapshot.MaxAge) + " counts no longer"})
}

// accountPage is what the page of one account shows.
type accountPage struct {
	head
	Account       rules.Account
	AgencyName    string
	Baseline      rules.Baseline
	State, Words  string
	Meaning       string
	Known         bool   // there was evidence once
	AsOf          string // when what is shown was so, while the account is unknown
	Unknown       *rules.Unknown
	Reason        string
	Read, Since   moment
	Agency        *rules.Agency
	Created, Ends string
	Required      []requiredView
	Allowed       []rules.AllowedGrant
	Findings      []findingView
	Old           bool // all of it is of a reading before, since nothing may be said now
	Planes        []rules.Plane
	Sweep         *auditor.Sweep
	Took          string
	Requests      string
	Changes       []changeView
	Repair        *repairView
	NoChanges     string // why the history says nothing of it
}

// findingView is a finding with what can be done about it, and when the reading was that it rests on.
type findingView struct {
	rules.Finding
	Page     string
	Remedies []rules.Remedy
	Read     moment
	// First is when the reading was that first showed it; By the waiver that accepts it, nil if none does.
	First moment
	By    *rules.Acceptance
	Ends  string
}

// requiredView is a required grant, and when the reading was that the word on it rests on.
type requiredView struct {
	rules.Covered
	Read moment
}

func (s *Server) account(w http.ResponseWriter, r *http.Request) {
	v, now := s.o.View(), s.o.Now()
	i := slices.IndexFunc(v.Snapshot.Standings, func(st auditor.Standing) bool {
		return st.Account.ID == r.PathValue("account") && st.Agency == r.PathValue("agency")
	})
	if i < 0 {
		say(w, http.StatusNotFound, "no such agency of an account is expected; see / for those that are")
		return
	}
	st := &v.Snapshot.Standings[i]
	state, why := st.At(now, v.Snapshot.MaxAge)
	p := &accountPage{
		head: s.head(rules.Escape(cmp.Or(st.Account.Name, st.Account.ID)), r, v), Account: st.Account, AgencyName: st.Agency,
		State: string(state), Words: words(state), Meaning: meaning(state, len(st.Findings) > 0), Known: st.Evidence != nil, Unknown: why,
		Read: at(st.ReadAt(), now), Since: at(st.UnknownSince, now), Sweep: st.Evidence,
		Old: state == rules.StateUnknown,
	}
	for _, c := range st.Required {
		p.Required = append(p.Required, requiredView{c, at(st.CoveredAt(c), now)})
	}
	for i := range v.Snapshot.Baselines {
		if v.Snapshot.Baselines[i].Name == st.Baseline {
			p.Baseline = v.Snapshot.Baselines[i]
		}
	}
	if why != nil {
		p.Reason = reasonWords(st, why)
		if st.Evidence != nil {
			p.AsOf = instant(st.ReadAt())
		}
	}
	if e := st.Evidence; e != nil {
		p.Agency, p.Planes, p.Allowed = e.Report.Agency, e.Planes, e.Report.Allowed
		p.Took, p.Requests = duration(e.EndedAt.Sub(e.StartedAt)), plural(e.Trail.Requests, "request")
	}
	if p.Agency != nil {
		p.Created, p.Ends = "not known", "never"
		if !p.Agency.CreatedAt.IsZero() {
			p.Created = instant(p.Agency.CreatedAt)
		}
		if !p.Agency.ExpiresAt.IsZero() {
			p.Ends = instant(p.Agency.ExpiresAt) + ", " + until(p.Agency.ExpiresAt, now)
		}
	}
	for _, f := range st.Findings {
		page := ""
		for _, rule := range rules.Rules() {
			if rule.ID == f.Rule {
				page = rule.Page()
			}
		}
		view := findingView{
			Finding: f, Page: page, Remedies: rules.Remedies(p.Baseline, f), Read: at(st.FoundAt(f), now), First: at(st.Since(&f), now),
		}
		if f.WaivedAt(now) {
			view.By, view.Ends = f.Waived, instant(f.Waived.Expires)+", "+until(f.Waived.Expires, now)
		}
		p.Findings = append(p.Findings, view)
	}
	p.Repair = v.Repair.about(st.Subject).shown(now, p.Keep)
	if s.o.Changes != nil {
		changes, err := s.o.Changes(r.Context(), st.Account.ID)
		if err != nil {
			p.NoChanges = err.Error()
		}
		for i := range changes {
			if changes[i].Account.ID == st.Account.ID && changes[i].Agency == st.Agency {
				p.Changes = append(p.Changes, changes[i].shown(now))
			}
		}
	}
	s.render(w, http.StatusOK, "account.html", p)
}

// meaning says in a sentence what a state rests on, of an account with or without findings.
func meaning(s rules.State, findings bool) string {
	switch s {
	case rules.StateUnknown:
		if findings {
			return "It can be called neither compliant nor drifted. What was known to be wrong before still stands below."
		}
		return "It can be called neither compliant nor drifted."
	case rules.StateDrifted:
		return "Evidence shows that it differs from the baseline."
	case rules.StateWaived:
		return "Every difference from the baseline was accepted."
	case rules.StateNotEnabled:
		return "It has no such agency, and none is required here."
	}
	return "Evidence shows that it is as the baseline asks."
}

// render answers with a page, or with nothing but an error when it cannot be made.
func (s *Server) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		s.o.Logger.Error("a page cannot be made", "page", name, "err", err)
		say(w, http.StatusInternalServerError, "the page cannot be made; see the program's log")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

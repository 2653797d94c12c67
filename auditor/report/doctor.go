package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// fewAccounts is up to how many accounts the table of a diagnosis has them all.
const fewAccounts = 50

// mostNamed is how many accounts are named of those that one thing is to be done in.
const mostNamed = 12

// permissionTitles are the columns of a diagnosis, by the SDK's name of the request.
var permissionTitles = map[string]string{
	"ListAgencies": "AGENCY", "ShowDomainRoleAssignments": "GRANTS", "ListAttachedAgencyPoliciesV5": "V5",
	"ListDomainPermissionsForAgency": "GLOBAL", "ListAllProjectsPermissionsForAgency": "ALL", "KeystoneListPermissions": "LIST",
	"KeystoneShowPermission": "POLICY",
}

// Doctor writes what a doctor found out: of the program, of each account, and what to do about each fault. Its error is the writer's.
func Doctor(w io.Writer, d *auditor.Diagnosis, o Options) error {
	p := &page{o: o}
	p.diagnosisHead(d)
	p.probes(d)
	p.doctorsOrders(d)
	p.excluded(d.Excluded)
	p.prognosis(d)
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) diagnosisHead(d *auditor.Diagnosis) {
	p.say("", fmt.Sprintf("Doctor of %s at %s, in %s, by agencyaudit %s", plural(len(d.Probes), "account"), instant(d.StartedAt),
		seconds(d.EndedAt.Sub(d.StartedAt)), rules.Escape(d.Program)))
	p.gap()
	p.doctorsList(d)
	switch chain := d.Chain; {
	case d.Main != nil && chain == nil:
		p.paint("identity  ", red, "the program's own key is not confirmed: "+string(d.Main.Reason)+", see below")
	case d.Main != nil:
		p.paint("identity  ", red, "the program's own key, or the chain to account "+rules.Escape(chain.AccountID)+", is not confirmed: "+
			string(d.Main.Reason)+", see below")
	case d.Account == "":
		p.say("identity  ", "the program has no key of its own: every account is entered with its own key")
	case chain == nil:
		p.say("identity  ", "the program's own key is of account "+rules.Escape(d.Account)+", as is configured")
	default:
		p.say("identity  ", "the program's own key let it enter account "+rules.Escape(chain.AccountID)+" by the chain's agency "+
			rules.Escape(chain.Agency)+" ("+rules.Escape(chain.Via)+"), and the key from there is of that account")
	}
	p.say("clock     ", clockWords(d.Ahead, d.ClockKnown))
	p.say("rate      ", headroomWords(d))
	p.say("writes    ", "not probed: the doctor only reads")
}

// doctorsList says of which accounts the doctor knows.
func (p *page) doctorsList(d *auditor.Diagnosis) {
	words, color := plural(len(d.Probes), "account"), ""
	if d.Restricted {
		words += " chosen"
	}
	if left := excludedWords(d.Excluded); left != "" {
		words += "; left alone: " + left + p.listsThem()
	}
	if len(d.Gaps) > 0 {
		words, color = words+"; some may be missing, see below", red
	}
	p.paint("accounts  ", color, words)
	for _, note := range d.Notes {
		p.paint("          ", yellow, elide(note, maxSentence))
	}
}

// clockWords says how far this machine's clock is from the cloud's.
func clockWords(ahead time.Duration, known bool) string {
	off := ahead.Round(time.Second)
	switch {
	case !known:
		return "not known: the cloud has answered nothing"
	case off.Abs() <= time.Second:
		return "as the cloud's"
	case off > 0:
		return rules.Span(off) + " ahead of the cloud's; signatures that are 15 minutes off are refused"
	}
	return rules.Span(off.Abs()) + " behind the cloud's; signatures that are 15 minutes off are refused"
}

func headroomWords(d *auditor.Diagnosis) string {
	throttled := 0
	for i := range d.Probes {
		if d.Probes[i].Throttled {
			throttled++
		}
	}
	h := d.Headroom
	words := fmt.Sprintf("a run takes %s", plural(h.Requests, "request"))
	if h.PerSecond > 0 {
		words += fmt.Sprintf(", which takes %s at %s a second (cloud.rate.total); it has %s",
			seconds(h.Takes()), decimal(h.PerSecond), rules.Span(h.Of))
	}
	if throttled > 0 {
		return words + fmt.Sprintf("; the cloud asked for fewer requests in %s", plural(throttled, "account"))
	}
	return words + "; the cloud did not ask for fewer"
}

// probes writes a row for each account in which something is the matter, and for all of them where they are few.
func (p *page) probes(d *auditor.Diagnosis) {
	var shown []*auditor.Probe
	for i := range d.Probes {
		if probe := &d.Probes[i]; p.o.Verbose || len(d.Probes) <= fewAccounts || !probe.Well() {
			shown = append(shown, probe)
		}
	}
	if len(shown) > 0 {
		slices.SortStableFunc(shown, func(a, b *auditor.Probe) int {
			return cmp.Compare(rank(a.Well()), rank(b.Well()))
		})
		columns := []column{{"ACCOUNT", 0}, {"ENTER", 6}, {"WHOSE", 6}}
		for _, t := range permissions(shown) {
			columns = append(columns, column{cmp.Or(permissionTitles[t.Operation], "?"), 6})
		}
		columns = append(columns, column{"ENABLED", 7})
		rows := make([][]cell, len(shown))
		for i, probe := range shown {
			rows[i] = p.probeRow(probe, d.Agencies, len(columns))
		}
		p.gap()
		p.grid(0, columns, rows)
		if p.o.Verbose || !d.Well() {
			p.legend(shown, d.Agencies)
		}
	}
	if hidden := len(d.Probes) - len(shown); hidden > 0 {
		p.gap()
		p.say("", fmt.Sprintf("%s in which everything works not shown; --verbose shows all.", plural(hidden, "account")))
	}
}

// legend says what the columns are.
func (p *page) legend(shown []*auditor.Probe, agencies []string) {
	var rows [][]cell
	for _, t := range permissions(shown) {
		rows = append(rows, []cell{{permissionTitles[t.Operation], ""}, {t.Action, dim}})
	}
	rows = append(rows, []cell{{"ENABLED", ""}, {"whether the account has " + rules.Escape(strings.Join(agencies, ", ")), dim}})
	p.gap()
	p.grid(0, []column{{"", 7}, {"", 0}}, rows)
}

func rank(well bool) int {
	if well {
		return 1
	}
	return 0
}

// permissions are the tries of permissions, which are the same of all accounts that were probed at all.
func permissions(probes []*auditor.Probe) []auditor.Try {
	for _, p := range probes {
		i := slices.IndexFunc(p.Tries, func(t auditor.Try) bool { return t.What == auditor.TryRead })
		if i >= 0 {
			return p.Tries[i:]
		}
	}
	return nil
}

func (p *page) probeRow(probe *auditor.Probe, agencies []string, n int) []cell {
	row := []cell{{cmp.Or(elide(probe.Account.Name, maxName), rules.Escape(probe.Account.ID)), ""}}
	for _, t := range probe.Tries {
		c := tryCell(t)
		if t.What == auditor.TryEnter && t.Outcome == auditor.TryOK {
			c.text = rules.Escape(cmp.Or(probe.Way, "ok"))
		}
		row = append(row, c)
	}
	for len(row) < n-1 {
		row = append(row, cell{"-", dim})
	}
	has := 0
	for _, name := range agencies {
		if probe.Agencies[name] {
			has++
		}
	}
	switch {
	case len(probe.Agencies) < len(agencies):
		return append(row, cell{"?", dim})
	case len(agencies) > 1:
		return append(row, cell{fmt.Sprintf("%d of %d", has, len(agencies)), ""})
	case has > 0:
		return append(row, cell{"yes", ""})
	}
	return append(row, cell{"no", ""})
}

func tryCell(t auditor.Try) cell {
	switch t.Outcome {
	case auditor.TryOK:
		return cell{"ok", green}
	case auditor.TryFailed:
		return cell{"FAIL", red}
	case auditor.TryAbsent:
		return cell{"none", dim}
	}
	return cell{"-", dim}
}

// order is one thing that somebody has to do, and where.
type order struct {
	what     []string
	why      *rules.Unknown
	more     string
	accounts []string
	// last is the id of the last of them.
	last string
}

// add takes what is to be done elsewhere too, of an account if there is one.
func (o *order) add(what []string, a rules.Account) {
	for _, w := range what {
		if !slices.Contains(o.what, w) {
			o.what = append(o.what, w)
		}
	}
	if a.ID != "" && a.ID != o.last {
		o.accounts, o.last = append(o.accounts, cmp.Or(elide(a.Name, maxName), rules.Escape(a.ID))), a.ID
	}
}

// orders are what is to be done about the failed tries of one account. Permissions that were denied are one thing, since one
// policy grants them all.
func orders(probe *auditor.Probe) []order {
	var out []order
	var denied []string
	first := -1
	for _, t := range probe.Tries {
		switch {
		case t.Outcome != auditor.TryFailed || t.Why == nil:
		case t.What == auditor.TryRead && t.Why.Reason == rules.ReasonDenied && first >= 0:
			denied = append(denied, t.Action)
		case t.What == auditor.TryRead && t.Why.Reason == rules.ReasonDenied:
			first = len(out)
			fallthrough
		default:
			out = append(out, order{what: []string{tryWords(t)}, why: t.Why})
		}
	}
	if len(denied) > 0 {
		out[first].what = []string{plural(len(denied)+1, "permission")}
		out[first].more = "likewise " + strings.Join(denied, ", ") + "; deploy/iam has all of them as one policy"
	}
	return out
}

// doctorsOrders says of each fault what it is, in which accounts, and what to do about it. What many accounts have in common is said once.
func (p *page) doctorsOrders(d *auditor.Diagnosis) {
	var all []*order
	index := map[string]*order{}
	take := func(one order, a rules.Account) {
		key := strings.Join([]string{one.more, string(one.why.Reason), one.why.Remedy}, "\n")
		if one.why.Remedy == "" {
			key = strings.Join(one.what, "\n")
		}
		o := index[key]
		if o == nil {
			o = &order{why: one.why, more: one.more}
			index[key] = o
			all = append(all, o)
		}
		o.add(one.what, a)
	}
	if d.Main != nil {
		what := "the program's own key"
		if d.Chain != nil {
			what += ", or the chain"
		}
		take(order{what: []string{what}, why: d.Main}, rules.Account{})
	}
	for i := range d.Gaps {
		take(order{what: []string{"the list of accounts"}, why: &d.Gaps[i]}, rules.Account{})
	}
	for i := range d.Probes {
		probe := &d.Probes[i]
		for _, one := range orders(probe) {
			take(one, probe.Account)
		}
	}
	for i, o := range all {
		if i == 0 {
			p.gap()
			p.paint("", bold, "WHAT TO DO")
		}
		said, detail := strings.Join(o.what, "; "), ""
		if n := len(o.accounts); n > 0 {
			names := o.accounts
			more := ""
			if n > mostNamed && !p.o.Verbose {
				names, more = names[:mostNamed], fmt.Sprintf(" and %d more", n-mostNamed)
			}
			said += ", in " + plural(n, "account") + ": " + strings.Join(names, ", ") + more
		}
		p.say("- ", said)
		if len(o.accounts) > 1 || len(o.what) > 1 {
			detail = ", for instance"
		}
		detail = string(o.why.Reason) + detail + ": " + elide(o.why.Detail, maxSentence)
		if o.why.RequestID != "" {
			detail += " (request id " + rules.Escape(o.why.RequestID) + ")"
		}
		p.say("  ", detail)
		if o.why.Remedy != "" {
			p.say("  → ", elide(o.why.Remedy, 2*maxSentence))
		}
		if o.more != "" {
			p.say("  → ", rules.Escape(o.more))
		}
	}
}

func tryWords(t auditor.Try) string {
	switch t.What {
	case auditor.TryEnter:
		return "entering the account"
	case auditor.TryWhose:
		return "whose the key is"
	}
	return t.Action
}

// prognosis says what that means for an audit.
func (p *page) prognosis(d *auditor.Diagnosis) {
	p.gap()
	closed, maybe := 0, 0
	for i := range d.Probes {
		switch p := &d.Probes[i]; {
		case !p.Readable():
			closed++
		case !p.Well():
			maybe++
		}
	}
	switch {
	case len(d.Probes) == 0:
		p.say("", "There was no account to look at, so nothing is known.")
	case closed > 0 || maybe > 0:
		if closed > 0 {
			p.say("", fmt.Sprintf("%s of %d could not be read by an audit, as things are, and would be unknown.", plural(closed, "account"), len(d.Probes)))
		}
		if maybe > 0 {
			p.say("", fmt.Sprintf("%s of %d would be unknown only if what an audit finds there calls for what is lacking.",
				plural(maybe, "account"), len(d.Probes)))
		}
	case len(d.Gaps) > 0:
		p.say("", "Every account that is known could be read, but the list of accounts is not whole.")
	case d.Main != nil:
		p.say("", "No account needs the program's own key, which is not confirmed; everything else works.")
	default:
		p.say("", "Everything that an audit needs works.")
	}
}

// DoctorSchema names the form of the JSON document of a diagnosis. Fields and values may be added to a form; nothing is renamed,
// removed or changed in meaning without another name.
const DoctorSchema = "agencyaudit.doctor/v1"

type diagnosisForm struct {
	Schema     string       `json:"schema"`
	Program    programForm  `json:"program"`
	StartedAt  string       `json:"started_at"`
	EndedAt    string       `json:"ended_at"`
	Restricted bool         `json:"restricted"`
	Well       bool         `json:"well"`
	Identity   *unknownForm `json:"identity_fault"`
	Chain      *chainForm   `json:"chain"`
	// Ahead is null while no answer told.
	Ahead    *float64     `json:"clock_ahead_seconds"`
	Headroom headroomForm `json:"headroom"`
	Writes   string       `json:"writes"`
	Agencies []string     `json:"agencies"`
	// Gaps, Notes and Excluded are of the list of accounts.
	Gaps     []unknownForm   `json:"inventory_gaps"`
	Notes    []string        `json:"inventory_notes"`
	Excluded []exclusionForm `json:"excluded"`
	Accounts []patientForm   `json:"accounts"`
}

type headroomForm struct {
	Requests  int      `json:"requests"`
	PerSecond *float64 `json:"requests_per_second"`
	Takes     float64  `json:"takes_seconds"`
	Of        float64  `json:"of_seconds"`
}

type patientForm struct {
	Account   patientAccountForm `json:"account"`
	Way       *string            `json:"way"`
	Well      bool               `json:"well"`
	Readable  bool               `json:"readable"`
	Throttled bool               `json:"throttled"`
	Requests  int                `json:"requests"`
	Enabled   []enabledForm      `json:"enabled"`
	Tries     []tryForm          `json:"tries"`
}

type patientAccountForm struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type enabledForm struct {
	Agency string `json:"agency"`
	// Present is null where it is not known.
	Present *bool `json:"present"`
}

type tryForm struct {
	What           string       `json:"what"`
	Operation      *string      `json:"operation"`
	Action         *string      `json:"action"`
	IdentityAction *string      `json:"identity_action"`
	Outcome        string       `json:"outcome"`
	Maybe          bool         `json:"maybe"`
	Note           *string      `json:"note"`
	Why            *unknownForm `json:"why"`
}

// formFault is null where nothing is the matter.
func formFault(u *rules.Unknown) *unknownForm {
	if u == nil {
		return nil
	}
	f := formUnknown(*u)
	return &f
}

type chainForm struct {
	AccountID string `json:"account_id"`
	Agency    string `json:"agency"`
	Via       string `json:"via"`
}

// DoctorJSON writes a diagnosis as a JSON document. Its error is the writer's.
func DoctorJSON(w io.Writer, d *auditor.Diagnosis) error {
	f := diagnosisForm{
		Schema: DoctorSchema, Program: programForm{"agencyaudit", d.Program}, StartedAt: stamp(d.StartedAt), EndedAt: stamp(d.EndedAt),
		Restricted: d.Restricted, Well: d.Well(), Identity: formFault(d.Main), Writes: "not_probed", Agencies: slices.Clone(d.Agencies),
		Headroom: headroomForm{Requests: d.Headroom.Requests, Takes: d.Headroom.Takes().Seconds(), Of: d.Headroom.Of.Seconds()},
		Gaps:     forms(d.Gaps, formUnknown), Notes: list(d.Notes), Excluded: forms(d.Excluded, formExclusion),
		Accounts: forms(d.Probes, func(p auditor.Probe) patientForm { return formProbe(p, d.Agencies) }),
	}
	if d.Chain != nil {
		f.Chain = &chainForm{d.Chain.AccountID, d.Chain.Agency, d.Chain.Via}
	}
	if d.ClockKnown {
		ahead := d.Ahead.Seconds()
		f.Ahead = &ahead
	}
	if d.Headroom.PerSecond > 0 {
		f.Headroom.PerSecond = &d.Headroom.PerSecond
	}
	return writeJSON(w, f)
}

func formProbe(p auditor.Probe, agencies []string) patientForm {
	f := patientForm{
		Account: patientAccountForm{p.Account.ID, p.Account.Name}, Way: orNull(p.Way), Well: p.Well(), Readable: p.Readable(),
		Throttled: p.Throttled, Requests: p.Requests,
		Tries: forms(p.Tries, func(t auditor.Try) tryForm {
			return tryForm{
				What: t.What, Operation: orNull(t.Operation), Action: orNull(t.Action), IdentityAction: orNull(t.IdentityAction),
				Outcome: string(t.Outcome), Maybe: t.Maybe, Note: orNull(t.Note), Why: formFault(t.Why),
			}
		}),
	}
	for _, name := range agencies {
		e := enabledForm{Agency: name}
		if has, known := p.Agencies[name]; known {
			e.Present = &has
		}
		f.Enabled = append(f.Enabled, e)
	}
	return f
}

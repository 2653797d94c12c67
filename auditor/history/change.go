package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The rows of a history, as both kinds of store know them. Ids count up from 1.
type (
	runRow struct {
		id int64
		Run
		// readAt is not later than any reading of the run began.
		readAt time.Time
		// lacking are the required policies that the site's catalogue lacked.
		lacking []auditor.Resolution
		// partial says that some source of accounts could not be listed whole.
		partial bool
	}
	subjectRow struct {
		id                        int64
		account, agency, baseline string
	}
	evidenceRow struct {
		id      int64
		subject *subjectRow
		content digest
		// agency is agencyOf the sweep.
		agency string
		// sweep is left out once it is in a file.
		sweep *auditor.Sweep
	}
	verdictRow struct {
		id      int64
		subject *subjectRow
		// from is the run that brought it, until the one that ended it; 0 while it holds.
		from, until int64
		account     rules.Account
		state       rules.State
		unknown     *rules.Unknown
		// evidence is what it rests on if judged says so, else the last that there was; nil when there was none.
		evidence *evidenceRow
		judged   bool
		// reading is the one that the verdict rests on, if an earlier one had shown the same evidence; else nil.
		reading *reading
		// readAt is when the evidence's last reading before the verdict's first run ended began; exact, if judged, for that run.
		readAt       time.Time
		unknownSince time.Time
		content      digest
		kept         kept
	}
	findingRow struct {
		id      int64
		subject *subjectRow
		findingName
		firstSeen time.Time
		first     int64
		// last is the last run in which it stood, ended the one in which it did no longer; both 0 while it stands.
		last, ended int64
		endedAt     time.Time
		how         Ending
	}
	trustRow struct {
		subject *subjectRow
		trust   rules.Trust
		seenAt  time.Time
	}
)

// mayForget fails for an instant after the newest run: what is before that is all that there is, and whatever would be recorded until then
// would count as forgotten.
func (r *runRow) mayForget(before time.Time) error {
	if !before.After(r.EndedAt) {
		return nil
	}
	return fmt.Errorf("nothing is forgotten: what ended before %s was to be, and the newest run, %s, ended at %s; look whether the clock is right",
		before.UTC().Format(time.RFC3339Nano), r.ID, r.EndedAt.UTC().Format(time.RFC3339Nano))
}

// findingName tells the findings of one subject apart.
type findingName struct {
	rule, policy, policyID string
	scope                  rules.ScopeKind
	trusts                 string
}

func nameOf(f *rules.Finding) findingName {
	return findingName{f.Rule, f.Policy, f.PolicyID, f.Scope, f.Trusts}
}

func (n findingName) compare(m findingName) int {
	return slices.Compare([]string{n.rule, n.policy, n.policyID, string(n.scope), n.trusts},
		[]string{m.rule, m.policy, m.policyID, string(m.scope), m.trusts})
}

type subjectKey struct{ account, agency, baseline string }

func keyOf(s auditor.Subject) subjectKey { return subjectKey{s.Account.ID, s.Agency, s.Baseline} }

// tip is what holds after the last recorded run: all that Record needs to know of the past.
type tip struct {
	// run is the last recorded run; nil before the first.
	run      *runRow
	subjects map[subjectKey]*tipSubject
	// The highest ids in use.
	lastRun, lastSubject, lastEvidence, lastVerdict, lastFinding int64
}

type tipSubject struct {
	row *subjectRow
	// verdict holds now; nil when the subject has left.
	verdict  *verdictRow
	findings map[findingName]*findingRow
	trusted  bool
}

// change is what one Record adds.
type change struct {
	run      *runRow
	subjects []*subjectRow
	evidence []*evidenceRow
	verdicts []*verdictRow
	findings []*findingRow
	trusts   []*trustRow
	// ended and endedFindings are what ends, by rows as they are afterwards.
	ended         []*verdictRow
	endedFindings []*findingRow
}

// diff is what has to be added so that the history says what is known after a run. It changes nothing.
func (t *tip) diff(after *auditor.Snapshot) (*change, error) {
	run := after.Run
	switch {
	case run == nil:
		return nil, errors.New("there is no run to record")
	case run.ID == "":
		return nil, errors.New("the run to record has no id")
	case run.Restricted:
		return nil, errors.New("a run of chosen accounts is not recorded: it says nothing of the others")
	}
	d := differ{tip: t, after: after, change: &change{}, next: *t, baselines: map[string]*rules.Baseline{}, judgedOtherwise: map[string]bool{}}
	if err := d.run(); err != nil {
		return nil, err
	}
	seen := make(map[subjectKey]bool, len(after.Standings))
	for i := range after.Standings {
		st := &after.Standings[i]
		k := keyOf(st.Subject)
		if seen[k] {
			return nil, fmt.Errorf("the account %s occurs twice for agency %s and baseline %s", k.account, k.agency, k.baseline)
		}
		seen[k] = true
		if err := d.standing(k, st); err != nil {
			return nil, err
		}
	}
	d.left(seen)
	return d.change, nil
}

// differ makes one change.
type differ struct {
	*change
	tip   *tip
	after *auditor.Snapshot
	// next counts ids on.
	next      tip
	baselines map[string]*rules.Baseline
	// judgedOtherwise says by which baselines the run judged otherwise than the one before.
	judgedOtherwise map[string]bool
}

func (d *differ) run() error {
	run := d.after.Run
	d.next.lastRun++
	row := &runRow{id: d.next.lastRun, Run: Run{
		ID: run.ID, Trigger: run.Trigger, Program: run.Program, StartedAt: run.StartedAt, EndedAt: run.EndedAt, Complete: run.Complete,
		Suspect: slices.Clone(run.Suspect), States: map[rules.State]int{}, Baselines: []Baseline{},
	}, readAt: run.StartedAt, partial: len(d.after.Gaps) > 0}
	for _, s := range rules.States() {
		row.States[s] = run.States[s]
	}
	before := map[string]string{}
	if d.tip.run != nil {
		for _, b := range d.tip.run.Baselines {
			before[b.Name] = b.Print
		}
	}
	for i := range d.after.Baselines {
		b := &d.after.Baselines[i]
		now, err := printOf(b)
		if err != nil {
			return err
		}
		row.Baselines = append(row.Baselines, Baseline{Name: b.Name, Digest: b.Digest, Print: now})
		d.baselines[b.Name], d.judgedOtherwise[b.Name] = b, before[b.Name] != now
	}
	for _, r := range d.after.Catalogue {
		if len(r.Lacking) > 0 {
			row.lacking = append(row.lacking, r)
		}
	}
	for i := range d.after.Standings {
		if last := d.after.Standings[i].Last; last != nil && last.StartedAt.Before(row.readAt) {
			row.readAt = last.StartedAt
		}
	}
	d.change.run = row
	return nil
}

// standing adds what is new of one subject.
func (d *differ) standing(k subjectKey, st *auditor.Standing) error {
	was := d.tip.subjects[k]
	if was == nil {
		d.next.lastSubject++
		was = &tipSubject{row: &subjectRow{d.next.lastSubject, k.account, k.agency, k.baseline}}
		d.subjects = append(d.subjects, was.row)
	}
	is, err := d.verdict(was, st)
	if err != nil {
		return err
	}
	if was.verdict == nil || is.content != was.verdict.content {
		d.end(was.verdict)
		if is.evidence != nil && is.evidence.id == 0 {
			d.next.lastEvidence++
			is.evidence.id = d.next.lastEvidence
			d.evidence = append(d.evidence, is.evidence)
		}
		d.next.lastVerdict++
		is.id = d.next.lastVerdict
		d.verdicts = append(d.verdicts, is)
	}
	d.findingsOf(was, st)
	if e := st.Evidence; !was.trusted && e != nil && e.Report.Agency != nil && e.Report.Agency.Trust.ID != "" {
		d.trusts = append(d.trusts, &trustRow{subject: was.row, trust: e.Report.Agency.Trust, seenAt: e.StartedAt})
	}
	return nil
}

// verdict is what is known of a subject, as a row that may be new; its evidence has no id if it is.
func (d *differ) verdict(was *tipSubject, st *auditor.Standing) (*verdictRow, error) {
	row := &verdictRow{
		subject: was.row, from: d.change.run.id, account: st.Account, state: rules.StateUnknown, readAt: st.ReadAt(),
		unknownSince: st.UnknownSince, kept: keptOf(st),
	}
	var had digest
	if was.verdict != nil && was.verdict.evidence != nil {
		row.evidence, had = was.verdict.evidence, was.verdict.evidence.content
	}
	if row.evidence != nil && st.Evidence == nil {
		row.readAt, row.kept = was.verdict.readAt, was.verdict.kept // whoever records does not know what the history knows
	}
	if st.Last != nil {
		row.state, row.unknown = st.Last.Report.State, st.Last.Report.Unknown
		row.judged = st.Last.HasEvidence()
	}
	evidence := st.Evidence
	if row.judged {
		evidence, row.readAt = st.Last, st.Last.StartedAt
	}
	has := had
	if evidence != nil {
		var err error
		if has, err = contentOf(evidence); err != nil {
			return nil, err
		}
		switch {
		case has != had && !evidence.Replayed:
			row.evidence = &evidenceRow{subject: was.row, content: has, agency: agencyOf(evidence), sweep: evidence}
		case row.judged:
			row.reading = readingOf(evidence)
		}
	}
	var reason rules.Reason
	if row.unknown != nil {
		reason = row.unknown.Reason
	}
	said := struct {
		State    rules.State
		Reason   rules.Reason
		Account  rules.Account
		Judged   bool
		Evidence digest
		Kept     *kept
	}{row.state, reason, row.account, row.judged, has, nil}
	if !row.kept.empty() {
		said.Kept = &kept{Required: row.kept.Required, Findings: row.kept.Findings}
	}
	var err error
	row.content, err = digestOf(&said)
	return row, err
}

// end ends a verdict, if there is one, with the run.
func (d *differ) end(v *verdictRow) {
	if v == nil {
		return
	}
	row := *v
	row.until = d.change.run.id
	d.ended = append(d.ended, &row)
}

// findingsOf adds the findings of a subject that begin, and ends those that are over.
func (d *differ) findingsOf(was *tipSubject, st *auditor.Standing) {
	begun := make(map[findingName]bool, len(st.Findings))
	for i := range st.Findings {
		f := &st.Findings[i]
		name := nameOf(f)
		if begun[name] {
			continue
		}
		begun[name] = true
		if was.findings[name] != nil {
			continue
		}
		since := st.Since(f)
		if since.IsZero() {
			since = st.FoundAt(*f)
		}
		d.next.lastFinding++
		d.findings = append(d.findings, &findingRow{
			id: d.next.lastFinding, subject: was.row, findingName: name, firstSeen: since, first: d.change.run.id,
		})
	}
	if st.Evidence == nil {
		return // nothing can have refuted anything
	}
	for _, row := range sorted(was.findings) {
		if begun[row.findingName] {
			continue
		}
		at := d.change.run.EndedAt
		how := d.ending(was, row.findingName, st)
		if how == EndingRefuted {
			at = st.ReadAt()
		}
		d.endFinding(row, at, how)
	}
}

func sorted(findings map[findingName]*findingRow) []*findingRow {
	rows := make([]*findingRow, 0, len(findings))
	for _, row := range findings {
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b *findingRow) int { return a.compare(b.findingName) })
	return rows
}

func (d *differ) endFinding(f *findingRow, at time.Time, how Ending) {
	row := *f
	row.last, row.ended, row.endedAt, row.how = d.tip.run.id, d.change.run.id, at, how
	d.endedFindings = append(d.endedFindings, &row)
}

// ending says how a finding ended that the subject's standing does not have any more. Where what it rested on is as it was, nothing
// has refuted it: it is judged by other rules, whenever these came, or by what else is known of the account. Where it is not, and is no
// better, nothing was put right either.
func (d *differ) ending(was *tipSubject, f findingName, st *auditor.Standing) Ending {
	// Of a subject that was not judged in the last run, it is not known by which rules it was.
	otherwise := d.judgedOtherwise[st.Baseline] || was.verdict == nil || !was.verdict.judged
	e := st.Evidence
	still, worse := false, false
	switch f.rule {
	case rules.RuleMissing, rules.RuleNarrower: // neither a part of the scope nor an agency that is gone gives what was lacking
		is := covers(e, f)
		still = !d.requires(st.Baseline, f) || is == lackOf(f.rule) || is == "" && e.Report.Agency != nil
		worse = !is.Satisfied()
	case rules.RuleAbsent:
		still = e.Report.Agency == nil
	case rules.RuleExcess, rules.RuleImpostor:
		still = shows(e, f)
	case rules.RuleWider, rules.RuleRedundant: // they rest on other grants, too
		still = otherwise && shows(e, f)
	default:
		still = otherwise && was.verdict != nil && was.verdict.evidence != nil && was.verdict.evidence.agency == agencyOf(e)
		switch f.rule {
		case rules.RuleExpiring:
			worse = finds(st, rules.RuleExpired) || finds(st, rules.RuleAbsent)
			still = still && !worse // that it ended is the doing of time
		case rules.RuleExpired:
			worse = finds(st, rules.RuleAbsent)
		case rules.RuleTrustMismatch: // of one that was recorded before there was trusts, whom the agency trusted is not known
			worse = finds(st, f.rule)
			still = worse && f.trusts == "" || still
		}
	}
	switch {
	case still:
		return EndingBaseline
	case worse:
		return EndingReplaced
	}
	return EndingRefuted
}

// lackOf is the coverage that a rule finds.
func lackOf(rule string) rules.Coverage {
	if rule == rules.RuleNarrower {
		return rules.CoverageNarrower
	}
	return rules.CoverageMissing
}

// finds says whether a standing has a finding of a rule.
func finds(st *auditor.Standing, rule string) bool {
	return slices.ContainsFunc(st.Findings, func(f rules.Finding) bool { return f.Rule == rule })
}

// requires says whether a baseline requires what a finding lacked.
func (d *differ) requires(baseline string, f findingName) bool {
	return slices.ContainsFunc(d.baselines[baseline].Required, func(r rules.Requirement) bool {
		return r.Policy == f.policy && r.Scope == f.scope
	})
}

// covers is how far evidence shows what a finding lacked; empty when it does not say.
func covers(e *auditor.Sweep, f findingName) rules.Coverage {
	for _, c := range e.Report.Required {
		if c.Policy == f.policy && c.Scope == f.scope {
			return c.Coverage
		}
	}
	return ""
}

// shows says whether evidence shows a grant of a finding.
func shows(e *auditor.Sweep, f findingName) bool {
	return slices.ContainsFunc(e.Planes, func(p rules.Plane) bool {
		return slices.ContainsFunc(p.Grants, func(g rules.Grant) bool { return g.Policy.ID == f.policyID && g.Scope.Kind == f.scope })
	})
}

// left ends what the history has of subjects that are not among those that are known.
func (d *differ) left(known map[subjectKey]bool) {
	var gone []subjectKey
	for k, s := range d.tip.subjects {
		if !known[k] && s.verdict != nil {
			gone = append(gone, k)
		}
	}
	slices.SortFunc(gone, func(a, b subjectKey) int {
		return strings.Compare(a.account+"\x00"+a.agency+"\x00"+a.baseline, b.account+"\x00"+b.agency+"\x00"+b.baseline)
	})
	for _, k := range gone {
		s := d.tip.subjects[k]
		how := EndingGone
		if d.baselines[k.baseline] == nil {
			how = EndingBaseline
		}
		d.end(s.verdict)
		for _, row := range sorted(s.findings) {
			d.endFinding(row, d.change.run.EndedAt, how)
		}
	}
}

// apply is the tip after a change that was recorded.
func (t *tip) apply(c *change) {
	t.run, t.lastRun = c.run, c.run.id
	if t.subjects == nil {
		t.subjects = map[subjectKey]*tipSubject{}
	}
	of := func(s *subjectRow) *tipSubject { return t.subjects[subjectKey{s.account, s.agency, s.baseline}] }
	for _, s := range c.subjects {
		t.subjects[subjectKey{s.account, s.agency, s.baseline}] = &tipSubject{row: s, findings: map[findingName]*findingRow{}}
		t.lastSubject = s.id
	}
	for _, v := range c.ended {
		of(v.subject).verdict = nil
	}
	for _, e := range c.evidence {
		t.lastEvidence = e.id
	}
	for _, v := range c.verdicts {
		of(v.subject).verdict, t.lastVerdict = v, v.id
	}
	for _, f := range c.endedFindings {
		delete(of(f.subject).findings, f.findingName)
	}
	for _, f := range c.findings {
		of(f.subject).findings[f.findingName], t.lastFinding = f, f.id
	}
	for _, r := range c.trusts {
		of(r.subject).trusted = true
	}
}

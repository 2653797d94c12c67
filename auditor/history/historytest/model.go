package historytest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// model keeps everything that was known after each run, as it was, and answers from that, without a thought for size. It has no
// code in common with the stores.
type model struct {
	known []*auditor.Snapshot
	// forgotten are the names of the verdicts and findings that were compacted away.
	forgotten map[string]bool
}

func (v *verdict) name() string { return fmt.Sprint(v.Account.ID, v.Baseline, v.FromRun) }

func (f *finding) name() string {
	return fmt.Sprint(f.Account.ID, f.Baseline, f.FirstRun, f.Rule, f.Policy, f.PolicyID, f.Scope, f.Trusts)
}

// compact forgets what ended before an instant.
func (m *model) compact(before time.Time) {
	for _, k := range m.subjects() {
		list := m.verdicts(k)
		for i := range list {
			if v := &list[i]; i < len(list)-1 && v.Until.Before(before) {
				m.forgotten[v.name()] = true
			}
		}
		for _, f := range m.findings(k) {
			if !f.EndKnown.IsZero() && f.EndKnown.Before(before) {
				m.forgotten[f.name()] = true
			}
		}
	}
}

// moment is what one run said of one subject.
type moment struct {
	run      int
	standing *auditor.Standing
}

// moments are the times at which a subject was expected, one list for each time without a break.
func (m *model) moments(k any) [][]moment {
	var list [][]moment
	open := false
	for i, s := range m.known {
		at := slices.IndexFunc(s.Standings, func(st auditor.Standing) bool { return subjectOf(&st) == k })
		if at < 0 {
			open = false
			continue
		}
		if !open {
			list, open = append(list, nil), true
		}
		n := len(list) - 1
		list[n] = append(list[n], moment{i, &s.Standings[at]})
	}
	return list
}

func subjectOf(st *auditor.Standing) [3]string {
	return [3]string{st.Account.ID, st.Agency, st.Baseline}
}

// subjects are all that were ever known, in the order in which they came to be.
func (m *model) subjects() [][3]string {
	var list [][3]string
	for _, s := range m.known {
		for i := range s.Standings {
			if k := subjectOf(&s.Standings[i]); !slices.Contains(list, k) {
				list = append(list, k)
			}
		}
	}
	return list
}

// said is a text of what a sweep says that does not change unless something does.
func said(s *auditor.Sweep) string {
	if s == nil {
		return ""
	}
	var facts []any
	for _, p := range s.Planes {
		facts = append(facts, p.Kind, p.State, p.Total, p.Grants)
	}
	r := s.Report
	reason := rules.Reason("")
	if r.Unknown != nil {
		reason = r.Unknown.Reason
	}
	text, err := json.Marshal([]any{r.Account, r.Agency, r.State, reason, r.Required, r.Findings, facts, s.HasEvidence()})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// stands is a text of the findings and coverages that a standing has although its last evidence does not.
func stands(st *auditor.Standing) string {
	text := ""
	if st.Evidence == nil {
		return text
	}
	for _, f := range st.Findings {
		if !slices.ContainsFunc(st.Evidence.Report.Findings, func(is rules.Finding) bool { return id(is) == id(f) }) {
			text += fmt.Sprint(f)
		}
	}
	if st.Evidence.Report.Agency == nil {
		return text
	}
	for _, c := range st.Required {
		if !c.Coverage.Satisfied() && !slices.ContainsFunc(st.Evidence.Report.Required, func(is rules.Covered) bool {
			return is.Policy == c.Policy && is.Scope == c.Scope
		}) {
			text += fmt.Sprint(c)
		}
	}
	return text
}

func id(f rules.Finding) [5]string {
	return [5]string{f.Rule, f.Policy, f.PolicyID, string(f.Scope), f.Trusts}
}

// verdict is one of the model.
type verdict struct{ history.Verdict }

// verdicts are all of them, of one subject.
func (m *model) verdicts(k [3]string) []verdict {
	var list []verdict
	for _, part := range m.moments(k) {
		var evidence *auditor.Sweep // as it was first read
		was := ""
		for i, now := range part {
			st := now.standing
			judged := st.Last.HasEvidence()
			is := said(st.Last) + " and " + stands(st)
			if judged && (evidence == nil || said(evidence) != said(st.Last)) {
				evidence = st.Last
			}
			if i > 0 && is == was {
				continue
			}
			run := m.known[now.run].Run
			v := verdict{history.Verdict{
				Subject: st.Subject, From: run.EndedAt, FromRun: run.ID, State: st.Last.Report.State, Unknown: st.Last.Report.Unknown, Judged: judged,
				ReadAt: st.ReadAt(),
			}}
			shown := evidence
			if judged {
				shown = st.Last
			}
			if shown != nil {
				shown := *shown
				shown.Replayed = true
				v.Evidence = &shown
			}
			if i > 0 {
				end(&list[len(list)-1].Verdict, run)
			}
			list, was = append(list, v), is
		}
		if next := part[len(part)-1].run + 1; next < len(m.known) {
			end(&list[len(list)-1].Verdict, m.known[next].Run)
		}
	}
	return list
}

func end(v *history.Verdict, run *auditor.Run) { v.Until, v.UntilRun = run.EndedAt, run.ID }

// finding is one of the model.
type finding struct{ history.Finding }

func (m *model) findings(k [3]string) []finding {
	var list []finding
	for _, part := range m.moments(k) {
		open := map[[5]string]int{}
		for _, now := range part {
			st, run := now.standing, m.known[now.run].Run
			for key, i := range open {
				if slices.ContainsFunc(st.Findings, func(f rules.Finding) bool { return id(f) == key }) {
					list[i].LastRun, list[i].LastSeen = run.ID, run.EndedAt
					continue
				}
				f := &list[i]
				f.EndedRun, f.EndKnown, f.EndedAt, f.How = run.ID, run.EndedAt, st.Evidence.StartedAt, history.EndingRefuted
				switch {
				case m.gaveWay(now.run, k, f.Finding):
					f.EndedAt, f.How = run.EndedAt, history.EndingReplaced
				case m.judgedOtherwise(now.run, k, f.Finding):
					f.EndedAt, f.How = run.EndedAt, history.EndingBaseline
				}
				delete(open, key)
			}
			for _, f := range st.Findings {
				if _, known := open[id(f)]; known {
					continue
				}
				open[id(f)] = len(list)
				list = append(list, finding{history.Finding{
					Subject: st.Subject, Rule: f.Rule, Policy: f.Policy, PolicyID: f.PolicyID, Scope: f.Scope, Trusts: f.Trusts,
					FirstSeen: st.Since(&f), FirstRun: run.ID, FirstKnown: run.EndedAt, LastSeen: run.EndedAt, LastRun: run.ID, As: asFound(f),
				}})
			}
		}
		if next := part[len(part)-1].run + 1; next < len(m.known) {
			for _, i := range open {
				run := m.known[next].Run
				list[i].EndedAt, list[i].EndKnown, list[i].EndedRun, list[i].How = run.EndedAt, run.EndedAt, run.ID, history.EndingGone
				if !slices.ContainsFunc(m.known[next].Baselines, func(b rules.Baseline) bool { return b.Name == k[2] }) {
					list[i].How = history.EndingBaseline
				}
			}
		}
	}
	last := m.verdicts(k)
	for i := range list {
		list[i].Account = last[len(last)-1].Account
	}
	return list
}

// asFound is a finding without what was accepted of it meanwhile.
func asFound(f rules.Finding) *rules.Finding {
	f.Waived = nil
	return &f
}

// gaveWay says whether something that is no better is there instead of a finding.
func (m *model) gaveWay(run int, k [3]string, f history.Finding) bool {
	is := m.known[run]
	st := is.Standings[slices.IndexFunc(is.Standings, func(st auditor.Standing) bool { return subjectOf(&st) == k })]
	switch f.Rule {
	case rules.RuleMissing:
		return st.Evidence.Report.Agency == nil && !m.judgedOtherwise(run, k, f)
	case rules.RuleTrustMismatch:
		return !m.judgedOtherwise(run, k, f) && slices.ContainsFunc(st.Findings, func(g rules.Finding) bool { return g.Rule == f.Rule })
	}
	return false
}

// judgedOtherwise says whether a finding that a run no longer has is so still, as far as what it rested on goes.
func (m *model) judgedOtherwise(run int, k [3]string, f history.Finding) bool {
	was, is := m.known[run-1], m.known[run]
	of := func(s *auditor.Snapshot) *auditor.Standing {
		i := slices.IndexFunc(s.Standings, func(st auditor.Standing) bool { return subjectOf(&st) == k })
		return &s.Standings[i]
	}
	e := of(is).Evidence
	switch f.Rule {
	case rules.RuleMissing:
		return !slices.ContainsFunc(is.Baselines[0].Required, func(r rules.Requirement) bool { return r.Policy == f.Policy })
	case rules.RuleExcess:
		for _, p := range e.Planes {
			for _, g := range p.Grants {
				if g.Policy.ID == f.PolicyID {
					return true
				}
			}
		}
		return false
	}
	if of(was).Last.HasEvidence() && reflect.DeepEqual(was.Baselines, is.Baselines) {
		return false
	}
	return of(was).Evidence != nil && reflect.DeepEqual(of(was).Evidence.Report.Agency, e.Report.Agency)
}

// checkAgainst compares what a store says with what the model does.
func (m *model) checkAgainst(t *rapid.T, s history.Store, q history.Query) {
	in := func(from, until time.Time) bool {
		moved := from.After(q.From) || !until.IsZero() && until.After(q.From) && (q.To.IsZero() || until.Before(q.To))
		return (q.To.IsZero() || from.Before(q.To)) && (until.IsZero() || until.After(q.From)) && (!q.Moved || moved)
	}
	var wantVerdicts []verdict
	var wantFindings []finding
	// The order in which they were recorded: by the run that began them, and then by the order of the accounts in it.
	for _, k := range m.subjects() {
		list := m.verdicts(k)
		if q.Account != "" && !slices.ContainsFunc(m.left(list), func(v verdict) bool { return q.Account == v.Account.ID || q.Account == v.Account.Name }) {
			continue
		}
		for _, v := range m.left(list) {
			if in(v.From, v.Until) {
				wantVerdicts = append(wantVerdicts, v)
			}
		}
		for _, f := range m.findings(k) {
			if in(f.FirstKnown, f.EndKnown) && !m.forgotten[f.name()] {
				wantFindings = append(wantFindings, f)
			}
		}
	}
	gotVerdicts, err := s.Verdicts(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]history.Verdict{}, map[string]history.Verdict{}
	for _, v := range gotVerdicts {
		got[(&verdict{Verdict: v}).name()] = v
	}
	for _, v := range wantVerdicts {
		want[v.name()] = v.Verdict
	}
	if len(got) != len(gotVerdicts) || len(gotVerdicts) != len(wantVerdicts) {
		t.Fatalf("%+v: got %d verdicts, want %d", q, len(gotVerdicts), len(wantVerdicts))
	}
	for k, w := range want {
		if !reflect.DeepEqual(got[k], w) {
			t.Fatalf("verdict %s is\n%s\nwant\n%s", k, pretty(got[k]), pretty(w))
		}
	}
	gotFindings, err := s.Findings(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for i := range gotFindings {
		if gotFindings[i].As == nil {
			t.Fatalf("nothing is said of the finding\n%s", pretty(gotFindings[i]))
		}
		gotFindings[i].As = asFound(*gotFindings[i].As)
	}
	if len(gotFindings) != len(wantFindings) {
		t.Fatalf("%+v: got %d findings, want %d", q, len(gotFindings), len(wantFindings))
	}
	for _, w := range wantFindings {
		if !slices.ContainsFunc(gotFindings, func(f history.Finding) bool { return reflect.DeepEqual(f, w.Finding) }) {
			t.Fatalf("there is no finding\n%s\namong\n%s", pretty(w.Finding), pretty(gotFindings))
		}
	}
}

// checkRecent compares what changed by two ways.
func (m *model) checkRecent(t *rapid.T, s history.Store, q history.Query) {
	if q.To.IsZero() {
		q.To = m.known[len(m.known)-1].Run.EndedAt
	}
	all, err := history.Compare(t.Context(), s, q.From, q.To, q.Account)
	if err != nil {
		t.Fatal(err)
	}
	recent, err := history.Recent(t.Context(), s, q.From, q.To, q.Account)
	if err != nil {
		t.Fatal(err)
	}
	all.Stand, all.Subjects, all.Unknown = recent.Stand, recent.Subjects, recent.Unknown
	for i := range all.Changes {
		if f := all.Changes[i].Finding; f != nil {
			f.As = nil
		}
	}
	if !reflect.DeepEqual(all, recent) {
		t.Fatalf("%+v: what changed is\n%s\nand recently\n%s", q, pretty(all), pretty(recent))
	}
}

func pretty(v any) string {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		panic(err)
	}
	return string(text)
}

// left are those verdicts that are not forgotten.
func (m *model) left(list []verdict) []verdict {
	return slices.DeleteFunc(slices.Clone(list), func(v verdict) bool { return m.forgotten[v.name()] })
}

// checkPast compares what a start begins with.
func (m *model) checkPast(t *rapid.T, s history.Store) {
	past, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(past.Subjects) != len(m.subjects()) {
		t.Fatalf("%d subjects are remembered, want %d", len(past.Subjects), len(m.subjects()))
	}
	if len(m.known) == 0 {
		return
	}
	now := m.known[len(m.known)-1]
	if !past.CompletedAt.Equal(now.CompletedAt) {
		t.Fatalf("the last complete run ended at %s, want %s", past.CompletedAt, now.CompletedAt)
	}
	for _, r := range past.Subjects {
		there := slices.ContainsFunc(now.Standings, func(st auditor.Standing) bool {
			return subjectOf(&st) == [3]string{r.Account.ID, r.Agency, r.Baseline}
		})
		if there == r.Left {
			t.Fatalf("%v is there: %t; it is remembered to have left: %t", r.Subject, there, r.Left)
		}
	}
	checkRecorded(t, past, now)
	restored := auditor.Restore(standingsOf(now), now.Baselines, now.MaxAge, past)
	for i := range now.Standings {
		was, is := &now.Standings[i], &restored.Standings[i]
		if state, _ := is.At(now.Run.EndedAt, now.MaxAge); state != rules.StateUnknown {
			t.Fatalf("%s is %s after a start", is.Account.Name, state)
		}
		if (was.Evidence == nil) != (is.Evidence == nil) {
			t.Fatalf("%s: evidence %v, want %v", is.Account.Name, is.Evidence, was.Evidence)
		}
		if is.Evidence != nil {
			if !is.Evidence.Replayed || said(is.Evidence) != said(was.Evidence) {
				t.Fatalf("%s: the last evidence is\n%s\nwant\n%s", is.Account.Name, said(is.Evidence), said(was.Evidence))
			}
			if is.ReadAt().After(was.ReadAt()) {
				t.Fatalf("%s was read at %s, and after a start it is said %s, which is younger", is.Account.Name, was.ReadAt(), is.ReadAt())
			}
		}
		if !is.UnknownSince.Equal(was.UnknownSince) {
			t.Fatalf("%s: unknown since %s, want %s", is.Account.Name, is.UnknownSince, was.UnknownSince)
		}
		if len(is.Findings) != len(was.Findings) {
			t.Fatalf("%s: findings\n%s\nwant\n%s", is.Account.Name, pretty(is.Findings), pretty(was.Findings))
		}
		for j := range was.Findings {
			f := &was.Findings[j]
			k := slices.IndexFunc(is.Findings, func(g rules.Finding) bool { return id(g) == id(*f) })
			if k < 0 || !reflect.DeepEqual(is.Findings[k], *f) {
				t.Fatalf("%s: findings\n%s\nwant\n%s", is.Account.Name, pretty(is.Findings), pretty(was.Findings))
			}
			if !is.Since(f).Equal(was.Since(f)) || is.FoundAt(*f).After(was.FoundAt(*f)) {
				t.Fatalf("%s: %v since %s, found %s; want %s, %s", is.Account.Name, id(*f), is.Since(f), is.FoundAt(*f), was.Since(f), was.FoundAt(*f))
			}
		}
		unsatisfied := slices.DeleteFunc(slices.Clone(was.Required), func(c rules.Covered) bool { return c.Coverage.Satisfied() })
		// What was not required for a while, and is again, is as the last evidence had it.
		again := slices.DeleteFunc(slices.Clone(is.Required), func(c rules.Covered) bool {
			return !slices.ContainsFunc(unsatisfied, func(d rules.Covered) bool { return reflect.DeepEqual(c, d) }) &&
				slices.ContainsFunc(was.Evidence.Report.Required, func(d rules.Covered) bool { return reflect.DeepEqual(c, d) })
		})
		if len(unsatisfied) != len(again) || len(unsatisfied) > 0 && !reflect.DeepEqual(unsatisfied, again) {
			t.Fatalf("%s: required\n%s\nwant\n%s", is.Account.Name, pretty(is.Required), pretty(unsatisfied))
		}
	}
}

// checkRecorded compares what is recorded of the last run with what was known then: states, and what waivers are good for.
func checkRecorded(t *rapid.T, past *auditor.Past, now *auditor.Snapshot) {
	all := auditor.Run{Restricted: past.Partial}
	for i := range past.Subjects {
		if !past.Subjects[i].Left {
			all.Sweeps = append(all.Sweeps, past.Subjects[i].Recorded().Sweep)
		}
	}
	if len(all.Sweeps) != len(now.Standings) {
		t.Fatalf("%d sweeps are recorded, want %d", len(all.Sweeps), len(now.Standings))
	}
	selectors := []rules.Selector{{Accounts: []string{"*"}}}
	for i := range now.Standings {
		was := &now.Standings[i]
		is := &all.Sweeps[slices.IndexFunc(all.Sweeps, func(s auditor.Sweep) bool {
			return [3]string{s.Report.Account.ID, s.Report.AgencyName, s.Report.Baseline} == subjectOf(was)
		})].Report
		if state, why := was.At(now.Run.EndedAt, now.MaxAge); is.State != state || (why == nil) != (is.Unknown == nil) ||
			why != nil && is.Unknown.Reason != why.Reason {
			t.Fatalf("%s is recorded as %s, %+v, want %s, %+v", was.Account.Name, is.State, is.Unknown, state, why)
		}
		selectors = append(selectors, rules.Selector{Accounts: []string{was.Account.ID}})
	}
	for _, s := range selectors {
		for _, r := range rules.Rules() {
			all.Waivers = append(all.Waivers, rules.Waiver{ID: r.ID, Selector: s, Rules: []string{r.ID}})
		}
	}
	if is, was := all.WaiverUses(), now.Accept(all.Waivers, now.Run.EndedAt).WaiverUses(now.Run.EndedAt); !reflect.DeepEqual(is, was) {
		t.Fatalf("what is recorded says of waivers\n%s\nwant\n%s", pretty(is), pretty(was))
	}
}

func standingsOf(s *auditor.Snapshot) []auditor.Subject {
	list := make([]auditor.Subject, len(s.Standings))
	for i := range s.Standings {
		list[i] = s.Standings[i].Subject
	}
	return list
}

// testModel lets random things happen to three accounts, and compares.
func testModel(t *testing.T, open func(t *testing.T) history.Store) {
	rapid.Check(t, func(r *rapid.T) {
		s := open(t)
		defer s.Close()
		w, m := newWorld(one, two, three), &model{forgotten: map[string]bool{}}
		names := []string{"one", "uno"}
		kinds := []string{"run", "run", "run", "run", "run", "again", "baseline", "restart", "rename", "waive", "compact"}
		run := func() {
			is := w.run(draw(r, w)...)
			for _, a := range w.accounts {
				if !slices.ContainsFunc(is.Sweeps, func(s auditor.Sweep) bool { return s.Report.Account.ID == a.ID }) && rapid.Bool().Draw(r, "gone") {
					is.Gone = append(is.Gone, a)
				}
			}
			w.take(is)
			if err := s.Record(r.Context(), w.now); err != nil {
				r.Fatal(err)
			}
			m.known = append(m.known, w.now)
		}
		steps := rapid.IntRange(1, 12).Draw(r, "steps")
		for range steps {
			switch rapid.SampledFrom(kinds).Draw(r, "step") {
			case "run":
				run()
			case "again":
				if w.now.Run != nil && len(m.known) > 0 && m.known[len(m.known)-1].Run == w.now.Run {
					if err := s.Record(r.Context(), w.now); err != nil {
						r.Fatal(err)
					}
				}
			case "baseline":
				b := base()
				b.Digest = rapid.SampledFrom([]string{"1", "2"}).Draw(r, "digest")
				if rapid.Bool().Draw(r, "less") {
					b.Digest, b.Required = b.Digest+"less", b.Required[1:]
				}
				b.Name = rapid.SampledFrom([]string{"coc", "coc", "coc", "other"}).Draw(r, "name")
				another := b.Name != w.now.Baselines[0].Name
				w.expect(b)
				if another {
					run() // what was known by the other is forgotten here, and must be by the history
				}
			case "restart":
				past, err := s.Last(r.Context())
				if err != nil {
					r.Fatal(err)
				}
				w.now = auditor.Restore(w.subjects(), w.now.Baselines, maxAge, past)
			case "rename":
				w.accounts[0].Name = rapid.SampledFrom(names).Draw(r, "called")
			case "waive":
				w.now = w.now.Accept([]rules.Waiver{{
					ID: "w", Rules: []string{rules.RuleExcess}, Added: noon, Expires: noon.Add(time.Duration(rapid.IntRange(1, 9).Draw(r, "hours")) * time.Hour),
				}}, w.at())
			case "compact":
				if len(m.known) == 0 {
					continue
				}
				before := m.known[rapid.IntRange(0, len(m.known)-1).Draw(r, "compact")].Run.EndedAt.Add(time.Duration(rapid.IntRange(-1, 1).Draw(r, "off")))
				err := s.Compact(r.Context(), before)
				if future := before.After(m.known[len(m.known)-1].Run.EndedAt); future != (err != nil) {
					r.Fatalf("to forget what ended before %s it said %v", before, err)
				}
				if err == nil {
					m.compact(before)
				}
			}
			m.checkPast(r, s)
		}
		m.checkAgainst(r, s, history.Query{})
		for range 4 {
			q := history.Query{Account: rapid.SampledFrom([]string{"", "one", "uno", two.ID, "nobody"}).Draw(r, "account")}
			q.Moved = rapid.Bool().Draw(r, "moved")
			if n := len(m.known); n > 0 && rapid.Bool().Draw(r, "timed") {
				under := time.Duration(rapid.SampledFrom([]int{0, 30}).Draw(r, "under way")) * time.Second
				q.From = m.known[rapid.IntRange(0, n-1).Draw(r, "from")].Run.EndedAt.Add(-under)
				q.To = m.known[rapid.IntRange(0, n-1).Draw(r, "to")].Run.EndedAt.Add(1)
			}
			m.checkAgainst(r, s, q)
			if len(m.known) > 0 {
				m.checkRecent(r, s, q)
			}
		}
		if err := s.Check(r.Context()); err != nil {
			r.Fatal(err)
		}
	})
}

// draw makes what a run sees.
func draw(r *rapid.T, w *world) []auditor.Sweep {
	var sweeps []auditor.Sweep
	b := w.now.Baselines[0]
	for _, a := range w.accounts {
		var s auditor.Sweep
		var found []rules.Finding
		for _, f := range []rules.Finding{missing, excess, trust} {
			if rapid.IntRange(0, 3).Draw(r, "finds") == 0 {
				if f.Rule == rules.RuleTrustMismatch {
					f.Trusts = rapid.SampledFrom([]string{"trusted", "an-intruder"}).Draw(r, "trusts")
				}
				found = append(found, f)
			}
		}
		slices.SortFunc(found, func(a, b rules.Finding) int { return order(a.Severity) - order(b.Severity) })
		switch rapid.IntRange(0, 9).Draw(r, a.Name) {
		case 0:
			continue
		case 1, 2:
			s = dark(a, rapid.SampledFrom([]rules.Reason{rules.ReasonTimeout, rules.ReasonDenied}).Draw(r, "reason"))
		case 3:
			s = absent(a)
		case 4:
			s = unresolved(a, found...)
			mismatch := slices.ContainsFunc(found, func(f rules.Finding) bool { return f.Rule == rules.RuleTrustMismatch })
			if !mismatch && rapid.Bool().Draw(r, "unnamed") {
				s.Report.Agency.Trust = rules.Trust{ID: rapid.SampledFrom([]string{"trusted", "an-intruder"}).Draw(r, "trusts unnamed")}
			}
		case 5:
			s = held(compliant(a), excess)
		case 6:
			s = trusting(compliant(a), "somebody-else")
		case 7:
			s = compliant(a)
		default:
			s = drifted(a, found...)
		}
		for _, f := range s.Report.Findings {
			if f.Rule == rules.RuleTrustMismatch {
				s = trusting(s, f.Trusts)
			}
		}
		s.Report.Baseline = b.Name
		if len(b.Required) < 2 {
			// What is not required is not judged.
			s.Report.Required = slices.DeleteFunc(s.Report.Required, func(c rules.Covered) bool { return c.Policy == "P" })
			s.Report.Findings = slices.DeleteFunc(s.Report.Findings, func(f rules.Finding) bool { return f.Rule == rules.RuleMissing })
		}
		sweeps = append(sweeps, s)
	}
	return sweeps
}

func order(s rules.Severity) int {
	return slices.Index([]rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}, s)
}

// Package historytest holds stores of a history to what history.Store promises: whatever keeps a history runs Conformance.
package historytest

import (
	"context"
	"maps"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Conformance tests every promise of the interface on stores that open makes, each of them empty and to be closed by open's own
// clean-up.
func Conformance(t *testing.T, open func(t *testing.T) history.Store) {
	for name, test := range map[string]func(*testing.T, history.Store){
		"empty":                       testEmpty,
		"a run":                       testRun,
		"recorded twice":              testTwice,
		"no change":                   testNoChange,
		"drift and repair":            testDrift,
		"unknown":                     testUnknown,
		"gone":                        testGone,
		"an id as a name":             testIDAsName,
		"another baseline":            testBaseline,
		"another baseline, unread":    testBaselineUnread,
		"what is there still":         testThereStill,
		"what got worse":              testWorse,
		"what was missed":             testMissed,
		"restart":                     testRestart,
		"first trust":                 testTrust,
		"queries":                     testQueries,
		"what changed":                testCompare,
		"where a time begins":         testCompareBegins,
		"times that follow":           testFollowing,
		"what was unknown at the end": testUnknownAtEnd,
		"a waiver that ended":         testLapsed,
		"what was known":              testThen,
		"accounts":                    testAccounts,
		"where it begins":             testBegins,
		"compact":                     testCompact,
		"the future is not forgotten": testFuture,
		"marks":                       testMarks,
		"what is refused":             testRefused,
		"what is shown is one's own":  testShown,
		"many at once":                testConcurrent,
		"cancelled":                   testCancelled,
		"closed":                      testClosed,
		"a starter without history":   testStranger,
		"the catalogue":               testCatalogue,
		"what evidence cannot decide": testKept,
		"accounts that nobody lists":  testPartial,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
	t.Run("times that follow each other", func(t *testing.T) { testPartition(t, open) })
	t.Run("like a model that keeps everything", func(t *testing.T) { testModel(t, open) })
}

func testEmpty(t *testing.T, s history.Store) {
	past := last(t, s)
	if len(past.Subjects) != 0 || !past.CompletedAt.IsZero() || len(past.Catalogue) != 0 {
		t.Errorf("an empty history remembers %+v", past)
	}
	if got := runs(t, s); len(got) != 0 {
		t.Errorf("an empty history has %d runs", len(got))
	}
	if got := findings(t, s, history.Query{}); len(got) != 0 {
		t.Errorf("an empty history has %d findings", len(got))
	}
	if got := verdicts(t, s, history.Query{}); len(got) != 0 {
		t.Errorf("an empty history has %d verdicts", len(got))
	}
	check(t, s)
	// There is nothing to forget, and what comes is not forgotten by that.
	must(t, s.Compact(t.Context(), noon.AddDate(99, 0, 0)))
	w := newWorld(one)
	w.record(t, s, w.run(compliant(one)))
	if at, err := s.Begins(t.Context()); err != nil || !at.Equal(w.now.Run.EndedAt) {
		t.Errorf("it begins at %s (%v), want %s", at, err, w.now.Run.EndedAt)
	}
}

func testRun(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	run := w.run(compliant(one), dark(two, rules.ReasonTimeout))
	run.Suspect, run.Complete = []string{"the inventory shrank"}, false
	w.record(t, s, run)
	got := runs(t, s)
	want := history.Run{
		ID: run.ID, Trigger: "test", Program: "v1", StartedAt: run.StartedAt, EndedAt: run.EndedAt, Suspect: run.Suspect,
		States: map[rules.State]int{
			rules.StateUnknown: 1, rules.StateCompliant: 1, rules.StateDrifted: 0, rules.StateWaived: 0, rules.StateNotEnabled: 0,
		},
	}
	if len(got) != 1 || len(got[0].Baselines) != 1 || got[0].Baselines[0].Name != "coc" || got[0].Baselines[0].Digest != "1" {
		t.Fatalf("got %+v", got)
	}
	got[0].Baselines = nil
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if past := last(t, s); !past.CompletedAt.IsZero() {
		t.Errorf("a run was complete at %s", past.CompletedAt)
	}
	complete := w.run(compliant(one), compliant(two))
	w.record(t, s, complete)
	if past := last(t, s); !past.CompletedAt.Equal(complete.EndedAt) {
		t.Errorf("the last complete run ended at %s, want %s", past.CompletedAt, complete.EndedAt)
	}
	check(t, s)
}

func testTwice(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(drifted(one, missing)))
	before := everything(t, s)
	must(t, s.Record(t.Context(), w.now))
	// Even if what is known is something else by now.
	again := *w.run(compliant(one))
	again.ID = w.now.Run.ID
	must(t, s.Record(t.Context(), w.now.Next(&again)))
	if after := everything(t, s); !reflect.DeepEqual(before, after) {
		t.Errorf("a run that was recorded twice changed the history:\n%+v\n%+v", before, after)
	}
}

func testNoChange(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(drifted(one, missing, excess), dark(two, rules.ReasonDenied)))
	for range 5 {
		w.record(t, s, w.run(drifted(one, missing, excess), dark(two, rules.ReasonDenied)))
	}
	if got := verdicts(t, s, history.Query{}); len(got) != 2 || !got[0].Until.IsZero() || got[0].FromRun != "run-1" {
		t.Errorf("got %d verdicts, want one of each account since the first run: %+v", len(got), got)
	}
	got := findings(t, s, history.Query{})
	if len(got) != 2 {
		t.Fatalf("got %d findings, want 2", len(got))
	}
	if f := got[0]; f.FirstRun != "run-1" || f.LastRun != "run-6" || !f.LastSeen.Equal(w.now.Run.EndedAt) || !f.EndedAt.IsZero() || f.How != "" {
		t.Errorf("got %+v", f)
	}
	if got := runs(t, s); len(got) != 6 {
		t.Errorf("got %d runs, want 6", len(got))
	}
	// What was read last is as old as the last run.
	if got := last(t, s).Subjects[0].Evidence.StartedAt; got.After(w.now.Run.Sweeps[0].StartedAt) || got.Before(w.now.Run.StartedAt) {
		t.Errorf("the last evidence is said to be of %s; the run started at %s and read the account at %s", got, w.now.Run.StartedAt,
			w.now.Run.Sweeps[0].StartedAt)
	}
}

func testDrift(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(compliant(one)))
	found := w.run(drifted(one, missing))
	w.record(t, s, found)
	w.record(t, s, w.run(drifted(one, missing, excess)))
	fixed := w.run(compliant(one))
	w.record(t, s, fixed)
	w.record(t, s, w.run(drifted(one, missing)))
	got := findings(t, s, history.Query{})
	if len(got) != 3 {
		t.Fatalf("got %d findings, want 3", len(got))
	}
	want := history.Finding{
		Subject: w.subject(one), Rule: missing.Rule, Policy: missing.Policy, PolicyID: missing.PolicyID, Scope: missing.Scope,
		FirstSeen: found.Sweeps[0].StartedAt, FirstRun: "run-2", FirstKnown: found.EndedAt, LastSeen: got[0].LastSeen, LastRun: "run-3",
		EndedAt: fixed.Sweeps[0].StartedAt, EndedRun: "run-4", EndKnown: fixed.EndedAt, How: history.EndingRefuted, As: &missing,
	}
	if !reflect.DeepEqual(got[0], want) || got[0].LastSeen.IsZero() {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	if f := got[2]; f.Rule != missing.Rule || f.FirstRun != "run-5" || !f.EndedAt.IsZero() {
		t.Errorf("what came back is %+v", f)
	}
	list := verdicts(t, s, history.Query{})
	if len(list) != 5 {
		t.Fatalf("got %d verdicts, want 5", len(list))
	}
	for i, v := range list {
		switch {
		case v.Evidence == nil || !v.Evidence.Replayed || !v.Judged:
			t.Errorf("verdict %d is not shown with its evidence as replayed: %+v", i, v)
		case i > 0 && (!list[i-1].Until.Equal(v.From) || list[i-1].UntilRun != v.FromRun):
			t.Errorf("verdict %d does not begin where the one before ends: %+v", i, v)
		}
	}
	sweep := found.Sweeps[0]
	sweep.Replayed = true
	if !reflect.DeepEqual(*list[1].Evidence, sweep) {
		t.Errorf("got evidence\n%+v\nwant\n%+v", *list[1].Evidence, sweep)
	}
}

func testUnknown(t *testing.T, s history.Store) {
	w := newWorld(one)
	first := w.run(drifted(one, missing))
	w.record(t, s, first)
	second := w.run(drifted(one, missing))
	w.record(t, s, second)
	gone := w.run(dark(one, rules.ReasonTimeout))
	w.record(t, s, gone)
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout)))
	w.record(t, s, w.run(dark(one, rules.ReasonDenied)))
	list := verdicts(t, s, history.Query{})
	if len(list) != 3 {
		t.Fatalf("got %d verdicts, want 3", len(list))
	}
	for i, reason := range []rules.Reason{"", rules.ReasonTimeout, rules.ReasonDenied} {
		v := list[i]
		if i > 0 && (v.Judged || v.State != rules.StateUnknown || v.Unknown == nil || v.Unknown.Reason != reason) {
			t.Errorf("verdict %d is %+v", i, v)
		}
		if v.Evidence == nil || !v.Evidence.StartedAt.Equal(first.Sweeps[0].StartedAt) {
			t.Errorf("verdict %d has lost the last evidence", i)
		}
	}
	if f := findings(t, s, history.Query{}); len(f) != 1 || !f[0].EndedAt.IsZero() || f[0].LastRun != "run-5" {
		t.Errorf("while an account is unknown what was wrong stands; got %+v", f)
	}
	r := last(t, s).Subjects[0]
	if !r.UnknownSince.Equal(gone.Sweeps[0].StartedAt) {
		t.Errorf("unknown since %s, want %s", r.UnknownSince, gone.Sweeps[0].StartedAt)
	}
	if !r.Evidence.StartedAt.Equal(second.Sweeps[0].StartedAt) {
		t.Errorf("the last evidence is of %s, want %s", r.Evidence.StartedAt, second.Sweeps[0].StartedAt)
	}
	w.record(t, s, w.run(drifted(one, missing)))
	list = verdicts(t, s, history.Query{})
	if len(list) != 4 || !list[3].Judged || !reflect.DeepEqual(list[3].Evidence.RequestIDs, []string{"list-run-6-1"}) {
		t.Errorf("a verdict after a time of none has the evidence of its own reading; got %+v", list)
	}
}

// testIDAsName: an account that calls itself by the id of another one is not that one.
func testIDAsName(t *testing.T, s history.Store) {
	liar := rules.Account{ID: two.ID, Name: one.ID}
	w := newWorld(one, liar)
	w.record(t, s, w.run(compliant(one), drifted(liar, missing)))
	if f := findings(t, s, history.Query{Account: one.ID}); len(f) != 0 {
		t.Errorf("of %s it has findings of another account: %+v", one.ID, f)
	}
	if v := verdicts(t, s, history.Query{Account: one.ID}); len(v) != 1 || v[0].Account.ID != one.ID {
		t.Errorf("of %s it has verdicts %+v", one.ID, v)
	}
	if f := findings(t, s, history.Query{Account: liar.ID}); len(f) != 1 {
		t.Errorf("got %+v", f)
	}
}

func testGone(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(drifted(one, missing), compliant(two)))
	run := w.run(compliant(two))
	run.Gone = []rules.Account{one}
	w.record(t, s, run)
	f := findings(t, s, history.Query{})
	if len(f) != 1 || f[0].How != history.EndingGone || !f[0].EndedAt.Equal(run.EndedAt) || f[0].EndedRun != "run-2" {
		t.Errorf("got %+v", f)
	}
	if v := verdicts(t, s, history.Query{Account: one.ID}); len(v) != 1 || !v[0].Until.Equal(run.EndedAt) {
		t.Errorf("got %+v", v)
	}
	if p := last(t, s); !p.EndedAt.Equal(run.EndedAt) {
		t.Errorf("the last run ended at %s, want %s", p.EndedAt, run.EndedAt)
	}
	r := last(t, s).Subjects[0]
	if r.Account.ID != one.ID || !r.Left || r.Evidence != nil || len(r.Findings) > 0 || r.Trust.ID != "trusted" {
		t.Errorf("of an account that left, got %+v", r)
	}
	// It comes back as one of which nothing is known.
	w.record(t, s, w.run(drifted(one, missing), compliant(two)))
	if f := findings(t, s, history.Query{}); len(f) != 2 || f[1].FirstRun != "run-3" || !f[1].EndedAt.IsZero() {
		t.Errorf("got %+v", f)
	}
	check(t, s)
}

func testBaseline(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(drifted(one, missing, excess)))
	// P is no longer required, and what is too much is allowed; the account holds what it held.
	b := base()
	b.Digest, b.Required = "2", b.Required[1:]
	w.expect(b)
	w.record(t, s, w.run(held(compliant(one), excess)))
	for _, f := range findings(t, s, history.Query{}) {
		if f.How != history.EndingBaseline || !f.EndedAt.Equal(w.now.Run.EndedAt) {
			t.Errorf("got %+v, want it to have ended with the baseline", f)
		}
	}
	w.record(t, s, w.run(drifted(one, excess)))
	b.Digest = "3"
	w.expect(b)
	w.record(t, s, w.run(compliant(one)))
	if f := findings(t, s, history.Query{}); len(f) != 3 || f[2].How != history.EndingRefuted {
		t.Errorf("got %+v, want the last one to be refuted by evidence", f)
	}
	// Without the baseline, nothing of it is known.
	w.record(t, s, w.run(drifted(one, missing)))
	other := base()
	other.Name = "other"
	w.expect(other)
	w.record(t, s, w.run())
	if f := findings(t, s, history.Query{}); len(f) != 4 || f[3].How != history.EndingBaseline {
		t.Errorf("got %+v, want the last one to have ended with the baseline", f)
	}
}

// testBaselineUnread: an account that could not be read in the run after its baseline changed has not put right what is allowed now.
func testBaselineUnread(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	redundant := excess
	redundant.Rule = rules.RuleRedundant
	w.record(t, s, w.run(drifted(one, missing, excess, redundant, trust), drifted(two, missing, excess, redundant, trust)))
	b := base()
	b.Digest, b.Required = "2", b.Required[1:]
	w.expect(b)
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout), dark(two, rules.ReasonTimeout)))
	unread := w.now.Run.EndedAt // what is not required is no finding then
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout), dark(two, rules.ReasonTimeout)))
	// One has what it had; two has put right what it could.
	w.record(t, s, w.run(held(compliant(one), excess), trusting(compliant(two), "somebody-else")))
	got := findings(t, s, history.Query{})
	if len(got) != 8 {
		t.Fatalf("got %d findings, want 8", len(got))
	}
	for _, f := range got {
		want, at := history.EndingBaseline, w.now.Run.EndedAt
		switch {
		case f.Rule == rules.RuleMissing:
			at = unread
		case f.Account.ID == two.ID:
			want, at = history.EndingRefuted, w.now.Run.Sweeps[1].StartedAt
		}
		if f.How != want || !f.EndedAt.Equal(at) {
			t.Errorf("%s of %s ended as %s at %s, want %s at %s", f.Rule, f.Account.Name, f.How, f.EndedAt, want, at)
		}
	}
}

// testWorse: what gives way to something worse was not put right: a part of the scope is lost or given, an agency ends or is gone.
func testWorse(t *testing.T, s history.Store) {
	finding := func(rule string) rules.Finding {
		return rules.Finding{Rule: rule, Severity: rules.High, Message: rule, Consequences: []string{"C"}}
	}
	narrower := missing
	narrower.Rule = rules.RuleNarrower
	covered := func(a rules.Account, c rules.Coverage, findings ...rules.Finding) auditor.Sweep {
		sweep := drifted(a, findings...)
		sweep.Report.Required[0].Coverage = c
		return sweep
	}
	gone := func(a rules.Account) auditor.Sweep {
		none := absent(a)
		none.Report.State, none.Report.Findings = rules.StateDrifted, []rules.Finding{finding(rules.RuleAbsent)}
		return none
	}
	w := newWorld(one, two, three)
	w.record(t, s, w.run(covered(one, rules.CoverageNarrower, narrower, finding(rules.RuleExpiring)),
		drifted(two, missing, finding(rules.RuleExpiring)), drifted(three, missing, finding(rules.RuleExpired))))
	w.record(t, s, w.run(drifted(one, missing, finding(rules.RuleExpired)), gone(two), gone(three)))
	w.record(t, s, w.run(covered(one, rules.CoverageNarrower, narrower), gone(two), gone(three)))
	w.record(t, s, w.run(compliant(one), gone(two), gone(three)))
	ended := map[history.Ending]int{}
	for _, f := range findings(t, s, history.Query{}) {
		right := f.Account.ID == one.ID && (f.Rule == rules.RuleExpired || f.Rule == rules.RuleNarrower && f.FirstRun == "run-3")
		if ended[f.How]++; right != (f.How == history.EndingRefuted) {
			t.Errorf("%s of %s, found by %s, ended as %q", f.Rule, f.Account.Name, f.FirstRun, f.How)
		}
	}
	if ended[history.EndingRefuted] != 2 || ended[history.EndingReplaced] != 7 || ended[""] != 2 {
		t.Errorf("they ended as %v", ended)
	}
	// Of a trust that was recorded before its account was, nothing says that it is another one.
	four := rules.Account{ID: "00000000000000000000000000000004", Name: "four"}
	unsaid := trust
	unsaid.Trusts = ""
	w.accounts = append(w.accounts, four)
	w.expect(base())
	w.record(t, s, w.run(compliant(one), gone(two), gone(three), drifted(four, unsaid)))
	w.record(t, s, w.run(compliant(one), gone(two), gone(three), drifted(four, trust)))
	if f := findings(t, s, history.Query{Account: four.ID}); len(f) != 2 || f[0].How != history.EndingBaseline {
		t.Errorf("got %+v", f)
	}
	// What ends by itself has ended, whatever rules came at the same time.
	w.record(t, s, w.run(compliant(one), gone(two), gone(three), drifted(four, finding(rules.RuleExpiring))))
	b := base()
	b.Digest, b.Required = "2", b.Required[:1]
	w.expect(b)
	w.record(t, s, w.run(compliant(one), gone(two), gone(three), drifted(four, finding(rules.RuleExpired))))
	if f := findings(t, s, history.Query{Account: four.ID}); len(f) != 4 || f[2].How != history.EndingReplaced {
		t.Errorf("got %+v", f)
	}
}

// testThereStill: what a finding rested on may be there although it is a finding no longer, by the same baseline: it is allowed where the
// account is now, or need not be there any more, or the agency trusts another wrong account.
func testThereStill(t *testing.T, s history.Store) {
	absence := rules.Finding{Rule: rules.RuleAbsent, Severity: rules.High, Message: "no agency", Consequences: []string{"C"}}
	impostor, redundant := excess, excess
	impostor.Rule, redundant.Rule = rules.RuleImpostor, rules.RuleRedundant
	none := absent(two)
	none.Report.State, none.Report.Findings = rules.StateDrifted, []rules.Finding{absence}
	narrower := missing
	narrower.Rule, narrower.Policy, narrower.Scope = rules.RuleNarrower, "Q", rules.AllResources
	lacking := func(findings ...rules.Finding) auditor.Sweep {
		sweep := drifted(three, findings...)
		sweep.Report.Required[0].Coverage, sweep.Report.Required[1].Coverage = rules.CoverageMissing, rules.CoverageNarrower
		return sweep
	}
	w := newWorld(one, two, three)
	elsewhere := trust
	elsewhere.Trusts = "an-intruder"
	w.record(t, s, w.run(drifted(one, excess, impostor, trust), none, lacking(missing, narrower, redundant)))
	// What was redundant is not where the other grant is gone. An agency that trusts another wrong account is not put right.
	w.record(t, s, w.run(held(trusting(drifted(one, elsewhere), elsewhere.Trusts), excess), absent(two), held(lacking(), redundant)))
	got := findings(t, s, history.Query{})
	if len(got) != 8 {
		t.Fatalf("got %d findings, want 8", len(got))
	}
	for _, f := range got {
		want := history.EndingBaseline
		switch {
		case f.Rule == rules.RuleRedundant:
			want = history.EndingRefuted
		case f.Rule == rules.RuleTrustMismatch && f.Trusts == elsewhere.Trusts:
			want = ""
		case f.Rule == rules.RuleTrustMismatch:
			want = history.EndingReplaced
		}
		if f.How != want {
			t.Errorf("%s of %s ended as %s, want %s", f.Rule, f.Account.Name, f.How, want)
		}
	}
}

func testMissed(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(compliant(one), drifted(two, missing)))
	missed := w.run(drifted(one, missing), compliant(two))
	w.take(missed)
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout), compliant(two)))
	f := findings(t, s, history.Query{})
	if len(f) != 2 || f[0].EndedRun != "run-3" || !f[1].FirstSeen.Equal(missed.Sweeps[0].StartedAt) || f[1].FirstRun != "run-3" {
		t.Errorf("got %+v", f)
	}
	v := verdicts(t, s, history.Query{Account: one.ID})
	if len(v) != 2 || v[1].Judged || v[1].Evidence == nil || len(v[1].Evidence.Report.Findings) != 1 {
		t.Errorf("the evidence of the run that was missed is lost: %+v", v)
	}
	if r := last(t, s).Subjects[0]; len(r.Findings) != 1 || !r.Evidence.StartedAt.Equal(missed.Sweeps[0].StartedAt) {
		t.Errorf("got %+v", r)
	}
}

func testRestart(t *testing.T, s history.Store) {
	w := newWorld(one, two, three)
	first := w.run(drifted(one, missing, excess), compliant(two), drifted(three, excess))
	w.record(t, s, first)
	w.record(t, s, w.run(drifted(one, missing, excess), compliant(two), dark(three, rules.ReasonDenied)))
	before := w.now
	w.now = auditor.Restore(w.subjects(), w.now.Baselines, maxAge, last(t, s))
	for i := range w.now.Standings {
		st, was := &w.now.Standings[i], &before.Standings[i]
		if state, why := st.At(before.Run.EndedAt, maxAge); state != rules.StateUnknown || why.Reason != rules.ReasonStale {
			t.Errorf("%s is %s (%v) after a restart", st.Account.Name, state, why)
		}
		if st.Evidence == nil || !st.Evidence.Replayed || st.ReadAt().After(was.ReadAt()) {
			t.Fatalf("%s: what was read last is %+v", st.Account.Name, st.Evidence)
		}
		if len(st.Findings) != len(was.Findings) || len(st.Findings) > 0 && !reflect.DeepEqual(st.Findings, was.Findings) {
			t.Errorf("%s: found %+v, want %+v", st.Account.Name, st.Findings, was.Findings)
		}
		for j := range st.Findings {
			if !st.Since(&st.Findings[j]).Equal(was.Since(&was.Findings[j])) {
				t.Errorf("%s: found since %s, want %s", st.Account.Name, st.Since(&st.Findings[j]), was.Since(&was.Findings[j]))
			}
		}
		if !st.UnknownSince.Equal(was.UnknownSince) {
			t.Errorf("%s: unknown since %s, want %s", st.Account.Name, st.UnknownSince, was.UnknownSince)
		}
	}
	// Nothing that goes on begins anew.
	count := len(verdicts(t, s, history.Query{}))
	w.record(t, s, w.run(drifted(one, missing, excess), compliant(two), dark(three, rules.ReasonDenied)))
	if got := verdicts(t, s, history.Query{}); len(got) != count {
		t.Errorf("a restart made verdicts: %d, were %d", len(got), count)
	}
	for _, f := range findings(t, s, history.Query{}) {
		if f.FirstRun != "run-1" || !f.EndedAt.IsZero() {
			t.Errorf("a restart changed %+v", f)
		}
	}
}

func testTrust(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout)))
	first := w.run(compliant(one))
	w.record(t, s, first)
	w.record(t, s, w.run(trusting(compliant(one), "somebody-else")))
	r := last(t, s).Subjects[0]
	if r.Trust.ID != "trusted" || !r.TrustedAt.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("the first trust is %+v at %s", r.Trust, r.TrustedAt)
	}
	if r.Evidence.Report.Agency.Trust.ID != "somebody-else" {
		t.Errorf("the last evidence shows trust in %+v", r.Evidence.Report.Agency.Trust)
	}
}

func testQueries(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(drifted(one, missing), compliant(two)))
	w.record(t, s, w.run(compliant(one), drifted(two, excess)))
	w.record(t, s, w.run(compliant(one), drifted(two, excess)))
	list := runs(t, s)
	at := func(i int) time.Time { return list[i].EndedAt }
	if got, err := s.Runs(t.Context(), at(1), at(2)); err != nil || len(got) != 1 || got[0].ID != "run-2" {
		t.Errorf("got runs %+v, %v", got, err)
	}
	if got, err := s.Runs(t.Context(), at(1), time.Time{}); err != nil || len(got) != 2 {
		t.Errorf("got runs %+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		q                  history.Query
		verdicts, findings int
	}{
		"all":                       {history.Query{}, 4, 2},
		"before anything":           {history.Query{To: noon}, 0, 0},
		"when the first run ended":  {history.At(at(0), ""), 2, 1},
		"just before the second":    {history.At(at(1).Add(-1), ""), 2, 1},
		"when the second run ended": {history.At(at(1), ""), 2, 1},
		"afterwards":                {history.Query{From: at(2).Add(time.Hour)}, 2, 1},
		"one account by id":         {history.Query{Account: one.ID}, 2, 1},
		"one account by name":       {history.Query{Account: two.Name}, 2, 1},
		"no account":                {history.Query{Account: "nobody"}, 0, 0},
		"one account at a time":     {history.At(at(0), one.Name), 1, 1},
	} {
		if got := verdicts(t, s, c.q); len(got) != c.verdicts {
			t.Errorf("%s: got %d verdicts, want %d: %+v", name, len(got), c.verdicts, got)
		}
		if got := findings(t, s, c.q); len(got) != c.findings {
			t.Errorf("%s: got %d findings, want %d: %+v", name, len(got), c.findings, got)
		}
	}
	for _, f := range findings(t, s, history.Query{Bare: true}) {
		if f.As != nil {
			t.Errorf("got %+v, want it without what evidence says", f)
		}
	}
	for _, v := range verdicts(t, s, history.Query{Bare: true}) {
		if v.Evidence != nil || !v.Judged || v.Account.Name == "" {
			t.Errorf("got %+v, want it without evidence", v)
		}
	}
	// An account that got another name is found by both, and each verdict says what it was called.
	renamed := one
	renamed.Name, renamed.OU, renamed.Tags = "uno", "units/one", []rules.Tag{{Key: "env", Value: "prod"}}
	w.accounts[0] = renamed
	w.record(t, s, w.run(compliant(renamed), drifted(two, excess)))
	for _, name := range []string{"one", "uno"} {
		list := verdicts(t, s, history.Query{Account: name})
		if len(list) != 3 || list[1].Account.Name != "one" || !reflect.DeepEqual(list[2].Account, renamed) {
			t.Errorf("got %+v", list)
		}
		if got := findings(t, s, history.Query{Account: name}); len(got) != 1 || !reflect.DeepEqual(got[0].Account, renamed) {
			t.Errorf("got %+v", got)
		}
	}
}

func testAccounts(t *testing.T, s history.Store) {
	if got, err := s.Accounts(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("an empty history has the accounts %+v, %v", got, err)
	}
	w := newWorld(two, one)
	w.record(t, s, w.run(compliant(one), dark(two, rules.ReasonDenied)))
	renamed := two
	renamed.Name = "also"
	w.accounts = []rules.Account{renamed}
	left := w.run(dark(renamed, rules.ReasonDenied))
	left.Gone = []rules.Account{one}
	w.record(t, s, left)
	got, err := s.Accounts(t.Context())
	if want := []rules.Account{renamed, one}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

func testBegins(t *testing.T, s history.Store) {
	begins := func(want time.Time) {
		t.Helper()
		if got, err := s.Begins(t.Context()); err != nil || !got.Equal(want) {
			t.Errorf("it begins at %s (%v), want %s", got, err, want)
		}
	}
	begins(time.Time{})
	w := newWorld(one)
	first := w.run(drifted(one, missing))
	w.record(t, s, first)
	w.record(t, s, w.run(compliant(one)))
	begins(first.EndedAt)
	must(t, s.Compact(t.Context(), first.EndedAt.Add(-time.Hour)))
	begins(first.EndedAt)
	at := w.now.Run.EndedAt
	must(t, s.Compact(t.Context(), at))
	begins(at)
	must(t, s.Compact(t.Context(), at.Add(-time.Hour)))
	begins(at)
	check(t, s)
}

func testCompact(t *testing.T, s history.Store) {
	w := newWorld(one, two, three)
	w.record(t, s, w.run(drifted(one, missing), drifted(two, excess), compliant(three)))
	w.record(t, s, w.run(compliant(one), drifted(two, excess), compliant(three)))
	left := w.run(drifted(one, missing), drifted(two, excess))
	left.Gone = []rules.Account{three}
	w.record(t, s, left)
	w.record(t, s, w.run(compliant(one), drifted(two, excess)))
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout), dark(two, rules.ReasonTimeout)))
	past := last(t, s)
	must(t, s.Compact(t.Context(), time.Time{}))
	if got := verdicts(t, s, history.Query{}); len(got) != 8 {
		t.Errorf("compaction before nothing left %d verdicts, of 8", len(got))
	}
	must(t, s.Compact(t.Context(), w.now.Run.EndedAt.Add(-time.Minute)))
	check(t, s)
	var kept []string
	for _, v := range verdicts(t, s, history.Query{}) {
		kept = append(kept, v.Account.Name+" "+v.FromRun)
		if v.Evidence == nil {
			t.Errorf("the last evidence is lost of %+v", v)
		}
	}
	if want := []string{"three run-1", "two run-1", "one run-4", "one run-5", "two run-5"}; !reflect.DeepEqual(kept, want) {
		t.Errorf("kept %q, want %q", kept, want)
	}
	if f := findings(t, s, history.Query{}); len(f) != 1 || f[0].Account.Name != "two" || f[0].FirstRun != "run-1" {
		t.Errorf("kept findings %+v, want what stands", f)
	}
	var ids []string
	for _, r := range runs(t, s) {
		ids = append(ids, r.ID)
	}
	if want := []string{"run-1", "run-3", "run-4", "run-5"}; !reflect.DeepEqual(ids, want) {
		t.Errorf("kept runs %q, want %q", ids, want)
	}
	if now := last(t, s); !reflect.DeepEqual(now, past) {
		t.Errorf("compaction changed what a start begins with:\n%+v\n%+v", past, now)
	}
	w.record(t, s, w.run(compliant(one), compliant(two)))
	check(t, s)
}

// testFuture: a clock that is wrong once does not blind the history.
func testFuture(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(drifted(one, missing)))
	w.record(t, s, w.run(compliant(one)))
	before := everything(t, s)
	for _, late := range []time.Duration{1, 100 * 365 * 24 * time.Hour} {
		err := s.Compact(t.Context(), w.now.Run.EndedAt.Add(late))
		if err == nil || !strings.Contains(err.Error(), w.now.Run.ID) || !strings.Contains(err.Error(), "clock") {
			t.Errorf("it was to forget what is later than the newest run by %s, and said %v", late, err)
		}
	}
	if after := everything(t, s); !reflect.DeepEqual(before, after) {
		t.Errorf("it forgot:\n%+v\n%+v", before, after)
	}
	if at, err := s.Begins(t.Context()); err != nil || !at.Equal(before.runs[0].EndedAt) {
		t.Errorf("it begins at %s (%v), want %s", at, err, before.runs[0].EndedAt)
	}
	w.record(t, s, w.run(drifted(one, missing)))
	check(t, s)
}

func testMarks(t *testing.T, s history.Store) {
	has := func(want map[string]string) {
		t.Helper()
		if got, err := s.Marks(t.Context()); err != nil || !maps.Equal(got, want) {
			t.Errorf("got the marks %q (%v), want %q", got, err, want)
		}
		check(t, s)
	}
	has(nil)
	must(t, s.Mark(t.Context(), "a", "1"))
	must(t, s.Mark(t.Context(), "b", "2"))
	must(t, s.Mark(t.Context(), "a", "3"))
	must(t, s.Mark(t.Context(), "none", ""))
	has(map[string]string{"a": "3", "b": "2"})
	// What is handed out is the caller's.
	got, err := s.Marks(t.Context())
	must(t, err)
	got["a"] = "mine"
	w := newWorld(one)
	for range 3 {
		w.record(t, s, w.run(compliant(one)))
	}
	must(t, s.Compact(t.Context(), w.now.Run.EndedAt))
	has(map[string]string{"a": "3", "b": "2"})
	must(t, s.Mark(t.Context(), "b", ""))
	has(map[string]string{"a": "3"})
}

func testRefused(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(drifted(one, missing)))
	before := everything(t, s)
	if err := s.Record(t.Context(), auditor.NewSnapshot(nil, nil, maxAge)); err == nil {
		t.Error("what is known before any run was recorded as a run")
	}
	chosen := w.run()
	chosen.Restricted = true
	if err := s.Record(t.Context(), w.now.Next(chosen)); err == nil {
		t.Error("a run of chosen accounts was recorded")
	}
	nameless := w.run(compliant(one))
	nameless.ID = ""
	if err := s.Record(t.Context(), w.now.Next(nameless)); err == nil {
		t.Error("a run without an id was recorded")
	}
	if after := everything(t, s); !reflect.DeepEqual(before, after) {
		t.Errorf("what was refused changed the history:\n%+v\n%+v", before, after)
	}
}

func testShown(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(drifted(one, missing)))
	if w.now.Standings[0].Evidence.Replayed {
		t.Error("recording marked what is known as replayed")
	}
	before := everything(t, s)
	spoil := everything(t, s)
	spoil.verdicts[0].Evidence.Report.State = rules.StateCompliant
	spoil.past.Subjects[0].Evidence.StartedAt = noon
	spoil.findings[0].Rule = "spoilt"
	if after := everything(t, s); !reflect.DeepEqual(before, after) {
		t.Error("who changes what a store shows changes the store")
	}
}

func testConcurrent(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(compliant(one), compliant(two)))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := s.Last(context.Background()); err != nil { //nolint:usetesting // the test's own may be over
					t.Error(err)
					return
				}
				list, err := s.Verdicts(context.Background(), history.Query{}) //nolint:usetesting // see above
				if err != nil || len(list)%2 != 0 {
					t.Errorf("got %d verdicts (%v), which is half of a run", len(list), err)
					return
				}
			}
		})
	}
	for i := range 30 {
		if i%2 == 0 {
			w.record(t, s, w.run(drifted(one, missing), drifted(two, missing)))
		} else {
			w.record(t, s, w.run(compliant(one), compliant(two)))
		}
	}
	close(stop)
	readers.Wait()
	check(t, s)
}

func testCancelled(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(compliant(one)))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.take(w.run(drifted(one, missing)))
	if err := s.Record(ctx, w.now); err == nil {
		t.Error("a run was recorded although that was cancelled")
	}
	if err := s.Mark(ctx, "a", "b"); err == nil {
		t.Error("a mark is remembered although that was cancelled")
	}
	if got := runs(t, s); len(got) != 1 {
		t.Errorf("got %d runs, want 1", len(got))
	}
	must(t, s.Record(t.Context(), w.now))
	if got := findings(t, s, history.Query{}); len(got) != 1 {
		t.Errorf("got %d findings, want 1", len(got))
	}
}

func testClosed(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(compliant(one)))
	must(t, s.Close())
	w.take(w.run(compliant(one)))
	if err := s.Record(t.Context(), w.now); err == nil {
		t.Error("a store that is closed recorded a run")
	}
	if _, err := s.Last(t.Context()); err == nil {
		t.Error("a store that is closed said what was last")
	}
	if err := s.Mark(t.Context(), "a", "b"); err == nil {
		t.Error("a store that is closed remembers a mark")
	}
	must(t, s.Close())
}

func testStranger(t *testing.T, s history.Store) {
	w := newWorld(one)
	first := w.run(drifted(one, missing))
	w.record(t, s, first)
	// Whoever starts without asking what was, and cannot read the account, refutes nothing.
	w.now = auditor.NewSnapshot(w.subjects(), w.now.Baselines, maxAge)
	w.record(t, s, w.run(dark(one, rules.ReasonTimeout)))
	r := last(t, s).Subjects[0]
	if r.Evidence == nil || len(r.Findings) != 1 || !r.Findings[0].Since.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("got %+v", r)
	}
	if !r.Evidence.StartedAt.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("the last evidence is said to be of %s, was of %s", r.Evidence.StartedAt, first.Sweeps[0].StartedAt)
	}
}

func testCatalogue(t *testing.T, s history.Store) {
	w := newWorld(one)
	run := w.run(unresolved(one))
	lacks := rules.Finding{Rule: rules.RuleUnresolvable, Baseline: "coc", Policy: "P", Severity: rules.High, Consequences: []string{}}
	run.Findings, run.CatalogueAt = []rules.Finding{lacks}, map[string]time.Time{"coc": run.StartedAt}
	w.record(t, s, run)
	past := last(t, s)
	if len(past.Catalogue) != 1 || !reflect.DeepEqual(past.Catalogue[0].Lacking, []rules.Finding{lacks}) || !past.Catalogue[0].At.Equal(run.StartedAt) {
		t.Errorf("got %+v", past.Catalogue)
	}
	if got := auditor.Restore(w.subjects(), w.now.Baselines, maxAge, past).Findings(); len(got) != 1 {
		t.Errorf("after a restart the catalogue lacks %+v", got)
	}
}

// testPartial: that the last run could not list all accounts is remembered, until one can.
func testPartial(t *testing.T, s history.Store) {
	w := newWorld(one)
	for _, want := range []bool{false, true, false} {
		run := w.run(compliant(one))
		if want {
			run.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied}}
		}
		w.record(t, s, run)
		if got := last(t, s).Partial; got != want {
			t.Errorf("the last run is remembered to be partial: %t, want %t", got, want)
		}
	}
}

func testKept(t *testing.T, s history.Store) {
	w := newWorld(one)
	first := w.run(drifted(one, missing))
	w.record(t, s, first)
	w.record(t, s, w.run(unresolved(one)))
	if got := words(w.now); got != "P=missing Q=exact grant/missing " && got != "Q=exact P=missing grant/missing " {
		t.Fatalf("before the restart it says %q", got)
	}
	kept := auditor.Restore(w.subjects(), w.now.Baselines, maxAge, last(t, s))
	if got := words(kept); got != "P=missing grant/missing " {
		t.Errorf("after the restart it says %q", got)
	}
	st := &kept.Standings[0]
	if at := st.FoundAt(st.Findings[0]); !at.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("it is said to be found at %s, was found at %s", at, first.Sweeps[0].StartedAt)
	}
	if at := st.CoveredAt(st.Required[0]); !at.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("it is said to be missing at %s, was at %s", at, first.Sweeps[0].StartedAt)
	}
	if since := st.Since(&st.Findings[0]); !since.Equal(first.Sweeps[0].StartedAt) {
		t.Errorf("found since %s, want %s", since, first.Sweeps[0].StartedAt)
	}
}

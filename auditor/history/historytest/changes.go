package historytest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// told is one line for each change.
func told(c *history.Changes) []string {
	var list []string
	for _, is := range c.Changes {
		line := fmt.Sprintf("%s %s %s", is.At.Format("15:04:05"), is.Account.Name, is.Kind)
		switch is.Kind {
		case history.ChangeState:
			line += fmt.Sprintf(" %s->%s", is.Was, is.Is)
			if is.Unknown != nil {
				line += " " + string(is.Unknown.Reason)
			}
		case history.ChangeRenamed:
			line += " from " + is.CalledBefore
		default:
			line += fmt.Sprintf(" %s %s", is.Finding.Rule, is.Finding.As.Severity)
			if is.Kind == history.ChangeWent {
				line += " " + string(is.Finding.How)
			}
		}
		if !is.Until.IsZero() {
			line += " until " + is.Until.Format("15:04:05")
		}
		list = append(list, line+" "+is.Run)
	}
	return list
}

func compare(t testing.TB, s history.Store, from, to time.Time, account string) *history.Changes {
	t.Helper()
	c, err := history.Compare(t.Context(), s, from, to, account)
	must(t, err)
	return c
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// eventful lets a lot happen to three accounts: runs end at 12:16, 12:31 and so on.
func eventful(t *testing.T, s history.Store) *world {
	t.Helper()
	w := newWorld(one, two, three)
	w.record(t, s, w.run(compliant(one), drifted(two, excess), compliant(three)))
	w.record(t, s, w.run(drifted(one, missing), drifted(two, excess), dark(three, rules.ReasonTimeout)))
	w.record(t, s, w.run(drifted(one, missing, excess), compliant(two), dark(three, rules.ReasonDenied)))
	renamed := two
	renamed.Name = "zwei"
	w.accounts = []rules.Account{one, renamed}
	left := w.run(compliant(one), compliant(renamed))
	left.Gone, left.Suspect = []rules.Account{three}, []string{"why"}
	w.record(t, s, left)
	w.record(t, s, w.run(drifted(one, missing), compliant(renamed)))
	w.accounts = []rules.Account{one, renamed, three}
	w.record(t, s, w.run(drifted(one, missing), compliant(renamed), compliant(three)))
	return w
}

func testCompare(t *testing.T, s history.Store) {
	w := eventful(t, s)
	list := runs(t, s)
	at := func(i int) time.Time { return list[i].EndedAt }
	all := compare(t, s, at(0), at(5), "")
	same(t, "all", told(all),
		"12:30:01 one came grant/missing high until 13:00:01 run-2",
		"12:31:00 one state compliant->drifted until 13:01:00 run-2",
		"12:31:00 three state compliant->unknown timeout until 12:46:00 run-2",
		"12:45:01 one came grant/excess warning until 13:00:01 run-3",
		"12:45:02 zwei went grant/excess warning refuted run-3",
		"12:46:00 three state unknown->unknown denied until 13:01:00 run-3",
		"12:46:00 two state drifted->compliant run-3",
		"13:00:01 one went grant/missing high refuted run-4",
		"13:00:01 one went grant/excess warning refuted run-4",
		"13:01:00 one state drifted->compliant until 13:16:00 run-4",
		"13:01:00 three state unknown-> run-4",
		"13:01:00 zwei renamed from two run-4",
		"13:15:01 one came grant/missing high run-5",
		"13:16:00 one state compliant->drifted run-5",
		"13:31:00 three state ->compliant run-6",
	)
	came, went := all.Count()
	want := map[history.Ending]int{history.EndingRefuted: 3, history.EndingReplaced: 0, history.EndingBaseline: 0, history.EndingGone: 0}
	if came != 3 ||
		!reflect.DeepEqual(went, want) || all.Stand != 1 || len(all.Runs) != 5 || !all.Known.Equal(at(5)) || !all.Covers() {
		t.Errorf("got %d came, %v went, %d stand, %d runs until %s", came, went, all.Stand, len(all.Runs), all.Known)
	}
	// 15 minutes, 30, and half an hour and a second.
	if median, ok := all.Repair(); !ok || median != 30*time.Minute {
		t.Errorf("the median of the repairs is %s (%t)", median, ok)
	}
	// What a run brought belongs to the time that ends with it, and to no other.
	same(t, "one run", told(compare(t, s, at(1), at(2), "")), "12:45:01 one came grant/excess warning run-3",
		"12:45:02 zwei went grant/excess warning refuted run-3", "12:46:00 three state unknown->unknown denied run-3",
		"12:46:00 two state drifted->compliant run-3")
	first, rest := compare(t, s, at(0), at(2), ""), compare(t, s, at(2), at(5), "")
	if n := len(first.Changes) + len(rest.Changes); n != len(all.Changes) {
		t.Errorf("two halves have %d changes, the whole has %d", n, len(all.Changes))
	}
	if first.Stand != 2 {
		t.Errorf("%d findings stand, want 2", first.Stand)
	}
	same(t, "one account by the name that it bore", told(compare(t, s, at(0), at(5), "two")), told(all)[4], told(all)[6], told(all)[11])
	// While a run is under way, nothing of it is known.
	under := compare(t, s, at(0), at(1).Add(-time.Second), "")
	if len(under.Changes) != 0 || under.Covers() {
		t.Errorf("before a run ended, it was known that %q", told(under))
	}
	// Other rules are no repair.
	b := base()
	b.Digest, b.Required = "2", b.Required[1:]
	w.expect(b)
	w.record(t, s, w.run(compliant(w.accounts[0]), compliant(w.accounts[1]), compliant(w.accounts[2])))
	after := compare(t, s, at(5), w.now.Run.EndedAt, "one")
	same(t, "other rules", told(after), "13:46:00 one went grant/missing high baseline run-7", "13:46:00 one state drifted->compliant run-7")
	if _, ok := after.Repair(); ok {
		t.Error("other rules are taken for a repair")
	}
}

func testCompareBegins(t *testing.T, s history.Store) {
	if c := compare(t, s, noon, noon.Add(time.Hour), ""); c.Covers() || len(c.Changes) > 0 {
		t.Errorf("an empty history says %+v", c)
	}
	eventful(t, s)
	list := runs(t, s)
	at := func(i int) time.Time { return list[i].EndedAt }
	// What was so in the first run is no change, and neither is it known what was before.
	early := compare(t, s, noon.Add(-time.Hour), at(1), "")
	same(t, "from before it begins", told(early), "12:30:01 one came grant/missing high run-2", "12:31:00 one state compliant->drifted run-2",
		"12:31:00 three state compliant->unknown timeout run-2")
	if early.Covers() {
		t.Error("it is said to know what was before it began")
	}
	must(t, s.Compact(t.Context(), at(2)))
	c := compare(t, s, at(0), at(3), "one")
	if c.Covers() || !c.Begins.Equal(at(2)) {
		t.Errorf("what was forgotten is said to be known, since it begins at %s", c.Begins)
	}
	same(t, "of what is left", told(c), "13:00:01 one went grant/missing high refuted run-4", "13:00:01 one went grant/excess warning refuted run-4",
		"13:01:00 one state drifted->compliant run-4")
	if c := compare(t, s, at(2), at(3), "one"); !c.Covers() {
		t.Error("what is left is said not to be whole")
	}
}

func testThen(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	then := func(at time.Time, account string) []history.Known {
		t.Helper()
		known, err := history.Then(t.Context(), s, at, account)
		must(t, err)
		return known
	}
	if got := then(noon, "one"); len(got) != 0 {
		t.Errorf("an empty history knew %+v", got)
	}
	first := w.run(compliant(one), compliant(two))
	w.record(t, s, first)
	found := w.run(drifted(one, missing), compliant(two))
	w.record(t, s, found)
	more := w.run(drifted(one, missing, excess), compliant(two))
	w.record(t, s, more)
	again := w.run(drifted(one, missing, excess), compliant(two))
	w.record(t, s, again)
	away := w.run(dark(one, rules.ReasonTimeout), compliant(two))
	w.record(t, s, away)
	still := w.run(dark(one, rules.ReasonTimeout), compliant(two))
	w.record(t, s, still)
	fixed := w.run(compliant(one), compliant(two))
	w.record(t, s, fixed)

	if got := then(first.EndedAt.Add(-1), "one"); len(got) != 0 {
		t.Errorf("before the first run it knew %+v", got)
	}
	got := then(again.EndedAt.Add(time.Minute), "one")
	if len(got) != 1 {
		t.Fatalf("got %+v", got)
	}
	k := got[0]
	if k.State != rules.StateDrifted || !k.Since.Equal(found.EndedAt) || k.FromRun != more.ID || k.Run.ID != again.ID || len(k.Findings) != 2 ||
		!k.LastRead.Equal(again.StartedAt) || k.Evidence == nil || !k.Evidence.StartedAt.Equal(more.Sweeps[0].StartedAt) {
		t.Errorf("got %+v", k)
	}
	if f := k.Findings[0]; !f.FirstSeen.Equal(found.Sweeps[0].StartedAt) {
		t.Errorf("it stood since %s", f.FirstSeen)
	}
	// When its run ended, its own reading was the last.
	if k := then(more.EndedAt, one.ID)[0]; !k.LastRead.Equal(more.Sweeps[0].StartedAt) {
		t.Errorf("the last reading began at %s", k.LastRead)
	}
	k = then(away.EndedAt, "one")[0]
	if k.State != rules.StateUnknown || k.Judged || !k.Since.Equal(away.EndedAt) || len(k.Findings) != 2 ||
		!k.LastRead.Equal(again.Sweeps[0].StartedAt) {
		t.Errorf("got %+v", k)
	}
	// A run that could not read it makes nothing younger.
	if k := then(still.EndedAt, "one")[0]; !k.Since.Equal(away.EndedAt) || !k.LastRead.Equal(again.Sweeps[0].StartedAt) || k.Run.ID != still.ID {
		t.Errorf("got %+v", k)
	}
	// While the next run was under way, what it read was not known yet.
	k = then(fixed.EndedAt.Add(-time.Second), "one")[0]
	if k.State != rules.StateUnknown || len(k.Findings) != 2 {
		t.Errorf("while a run was under way it knew %+v", k)
	}
	if k := then(fixed.EndedAt, "one")[0]; k.State != rules.StateCompliant || len(k.Findings) != 0 {
		t.Errorf("got %+v", k)
	}
	if got := then(fixed.EndedAt, "nobody"); len(got) != 0 {
		t.Errorf("got %+v", got)
	}
}

// testFollowing asks for two times between which a run was under way.
func testFollowing(t *testing.T, s history.Store) {
	w := newWorld(one)
	w.record(t, s, w.run(compliant(one)))
	for _, found := range [][]rules.Finding{{missing}, nil} {
		is := w.run(drifted(one, found...))
		w.record(t, s, is)
		between := is.StartedAt.Add(30 * time.Second) // the account has been read, and that is not recorded
		if got := told(compare(t, s, is.StartedAt.Add(-time.Minute), between, "")); len(got) != 0 {
			t.Errorf("while a run was under way it was known that %q", got)
		}
		got := compare(t, s, between, is.EndedAt, "")
		if len(got.Changes) != 2 || got.Changes[0].Finding == nil || got.Stand != len(found) ||
			!got.Changes[0].At.Equal(is.Sweeps[0].StartedAt) {
			t.Errorf("when it had ended it was known that %q, and %d findings stood", told(got), got.Stand)
		}
	}
	// What was recorded as over is not forgotten as long as that is part of the whole.
	must(t, s.Compact(t.Context(), w.now.Run.EndedAt.Add(-1)))
	if got := compare(t, s, w.now.Run.EndedAt.Add(-1), w.now.Run.EndedAt, ""); !got.Covers() || len(got.Changes) != 2 {
		t.Errorf("what is left says %q", told(got))
	}
}

// testPartition lets random things happen, cuts the time anywhere, and wants the parts to be the whole.
func testPartition(t *testing.T, open func(t *testing.T) history.Store) {
	rapid.Check(t, func(r *rapid.T) {
		s := open(t)
		defer s.Close()
		w := newWorld(one, two, three)
		for range rapid.IntRange(2, 6).Draw(r, "runs") {
			w.take(w.run(draw(r, w)...))
			if rapid.IntRange(0, 4).Draw(r, "lost") == 0 {
				continue // it could not be recorded, and the next one catches up
			}
			if err := s.Record(r.Context(), w.now); err != nil {
				r.Fatal(err)
			}
		}
		begins, err := s.Begins(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		if begins.IsZero() {
			return
		}
		changes := func(from, to time.Time) *history.Changes {
			c, err := history.Compare(r.Context(), s, from, to, "")
			if err != nil {
				r.Fatal(err)
			}
			return c
		}
		// An instant is a second of a run, or a pause.
		cuts := []time.Time{begins}
		for range 2 {
			run, second := rapid.IntRange(0, w.n).Draw(r, "run"), rapid.IntRange(0, 70).Draw(r, "second")
			cuts = append(cuts, begins.Add(time.Duration(run)*15*time.Minute+time.Duration(second-60)*time.Second))
		}
		slices.SortFunc(cuts, time.Time.Compare)
		if cuts[0].Before(begins) || cuts[0].Equal(cuts[1]) || cuts[1].Equal(cuts[2]) {
			return
		}
		first, second, whole := changes(cuts[0], cuts[1]), changes(cuts[1], cuts[2]), changes(cuts[0], cuts[2])
		parts := slices.Concat(lines(first), lines(second))
		want := lines(whole)
		slices.Sort(parts)
		slices.Sort(want)
		if !slices.Equal(parts, want) {
			r.Fatalf("cut at %s, the parts say\n%s\nand the whole says\n%s", cuts, strings.Join(parts, "\n"), strings.Join(want, "\n"))
		}
		came, went := second.Count()
		n := first.Stand + came
		for _, ended := range went {
			n -= ended
		}
		if n != second.Stand {
			r.Fatalf("%d stood, %d came and %v went, and then %d stand", first.Stand, came, went, second.Stand)
		}
	})
}

// lines are the changes without until when what came held, which depends on what is known.
func lines(c *history.Changes) []string {
	for i := range c.Changes {
		c.Changes[i].Until = time.Time{}
	}
	return told(c)
}

func testUnknownAtEnd(t *testing.T, s history.Store) {
	w := newWorld(one, two)
	w.record(t, s, w.run(compliant(one), dark(two, rules.ReasonDenied)))
	first := w.now.Run.EndedAt
	w.record(t, s, w.run(compliant(one), dark(two, rules.ReasonDenied)))
	second := w.now.Run.EndedAt
	for account, want := range map[string][2]int{"": {2, 1}, "one": {1, 0}, "two": {1, 1}} {
		c := compare(t, s, first, second, account)
		if got := [2]int{c.Subjects, c.Unknown}; got != want || len(c.Changes) != 0 || c.Covers() != (want[1] == 0) {
			t.Errorf("%q: got %v, want %v; it is said to know all: %t", account, got, want, c.Covers())
		}
	}
	w.record(t, s, w.run(compliant(one), compliant(two)))
	third := w.now.Run.EndedAt
	if c := compare(t, s, first, third, ""); c.Unknown != 0 || !c.Covers() {
		t.Errorf("got %d unknown", c.Unknown)
	}
	// Runs were a quarter of an hour apart.
	for after, broke := range map[time.Duration]bool{30 * time.Minute: false, 30*time.Minute + 1: true} {
		if c := compare(t, s, first, third.Add(after), ""); c.Broke() != broke || c.Covers() == broke {
			t.Errorf("%s after the last run: no run is missing: %t", after, c.Covers())
		}
	}
	if c := compare(t, s, second, third.Add(99*time.Hour), ""); c.Broke() || !c.Covers() {
		t.Error("by one run it is told when the next was due")
	}
}

func testLapsed(t *testing.T, s history.Store) {
	w := newWorld(one)
	accepted := excess
	ends := noon.Add(time.Hour)
	accepted.Waived = &rules.Acceptance{Waiver: "w", Expires: ends}
	is := drifted(one, accepted)
	is.Report.State = rules.StateWaived
	run := w.run(is)
	w.record(t, s, run)
	for _, c := range []struct {
		at, since time.Time
		want      rules.State
	}{{ends.Add(-1), run.EndedAt, rules.StateWaived}, {ends, ends, rules.StateDrifted}} {
		known, err := history.Then(t.Context(), s, c.at, "one")
		must(t, err)
		if len(known) != 1 || known[0].State != c.want || !known[0].Since.Equal(c.since) || known[0].Lapsed != (c.want == rules.StateDrifted) {
			t.Errorf("at %s got %+v, want %s", c.at, known, c.want)
		}
	}
}

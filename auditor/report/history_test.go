package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// remembered is a history in which everything happens that can: runs are an hour apart, the first at noon.
func remembered(t testing.TB) history.Store {
	t.Helper()
	of := func(name string) fixture {
		list := layouts()
		return list[slices.IndexFunc(list, func(f fixture) bool { return strings.HasPrefix(f.name, name) })]
	}
	// like is an account as another one is.
	like := func(name string, other fixture) fixture {
		other.name = name
		return other
	}
	evil := of("evil").name
	base, other := cocBaseline(), cocBaseline()
	other.Digest = strings.Repeat("f", 64)
	other.Required = other.Required[:3]
	h := history.NewMemory()
	t.Cleanup(func() { _ = h.Close() })
	var now *auditor.Snapshot
	for i, s := range []struct {
		fixtures []fixture
		baseline rules.Baseline
		change   func(*auditor.Run)
	}{
		{[]fixture{of("exact"), like("beta", of("exact")), of("extra-in"), of("redundant"), of("evil"), of("refused")}, base, nil},
		{[]fixture{like("exact", of("beta")), like("beta", of("beta")), of("extra-in"), like("redundant", of("exact")), like(evil, of("foreign")), of("refused")}, base, nil},
		{[]fixture{like("exact", of("refused")), like("beta", of("beta")), of("extra-in"), of("redundant"), of("evil"), of("refused")}, base, func(r *auditor.Run) {
			r.Suspect = []string{"many accounts changed their state \x1b[2J at once"}
		}},
		{[]fixture{of("exact"), like("beta", of("beta")), of("redundant"), of("evil"), like("refused", of("unreachable")), of("not-enabled")}, base, func(r *auditor.Run) {
			r.Gone = []rules.Account{of("extra-in").account()}
			for i := range r.Sweeps {
				if a := &r.Sweeps[i].Report.Account; a.Name == "redundant" {
					a.Name = "renamed\u202e"
				}
			}
		}},
		{[]fixture{of("exact"), like("beta", of("beta")), of("redundant"), of("evil"), of("refused"), of("not-enabled")}, other, nil},
	} {
		run := runOf(t, cloud{fixtures: s.fixtures, waivers: waivers()[:1]}, s.baseline)
		run.ID, run.StartedAt = fmt.Sprintf("%016x", i+1), noon.Add(time.Duration(i)*time.Hour)
		run.EndedAt = run.StartedAt.Add(time.Minute)
		for j := range run.Sweeps {
			run.Sweeps[j].StartedAt = run.StartedAt.Add(time.Duration(j+1) * time.Second)
			run.Sweeps[j].EndedAt = run.Sweeps[j].StartedAt.Add(time.Second)
		}
		if s.change != nil {
			s.change(run)
		}
		if now == nil {
			now = auditor.NewSnapshot(nil, run.Baselines, time.Hour)
		}
		now = now.Expect(subjectsOf(now), run.Baselines, time.Hour).Next(run)
		if err := h.Record(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// noon is when the first of the remembered runs began.
var noon = now

func subjectsOf(s *auditor.Snapshot) []auditor.Subject {
	list := make([]auditor.Subject, len(s.Standings))
	for i := range s.Standings {
		list[i] = s.Standings[i].Subject
	}
	return list
}

// memories are what is said of the remembered history, as text and as JSON.
func memories(t testing.TB, o report.Options) (texts map[string]string, documents map[string][]byte) {
	t.Helper()
	h := remembered(t)
	texts, documents = map[string]string{}, map[string][]byte{}
	write := func(to map[string]string, name string, show func(io.Writer) error) {
		t.Helper()
		var b bytes.Buffer
		if err := show(&b); err != nil {
			t.Fatal(err)
		}
		if to == nil {
			documents[name] = b.Bytes()
		} else {
			to[name] += b.String()
		}
	}
	runs, err := h.Runs(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		from, to time.Time
		account  string
	}{
		"all":    {runs[0].EndedAt, runs[4].EndedAt.Add(time.Hour), ""},
		"early":  {runs[0].StartedAt, runs[1].EndedAt, "exact"},
		"calm":   {runs[4].EndedAt, runs[4].EndedAt.Add(time.Hour), ""},
		"rules":  {runs[3].EndedAt, runs[4].EndedAt, "beta"},
		"hidden": {runs[0].EndedAt, runs[1].EndedAt, "redundant"},
	} {
		changes, err := history.Compare(t.Context(), h, c.from, c.to, c.account)
		if err != nil {
			t.Fatal(err)
		}
		write(texts, "history_"+name+".txt", func(w io.Writer) error { return report.HistoryChanges(w, changes, o) })
		write(nil, name, func(w io.Writer) error { return report.HistoryChangesJSON(w, changes, c.account) })
	}
	for name, c := range map[string]struct {
		at      time.Time
		account string
	}{
		"drifted":   {runs[1].EndedAt.Add(time.Minute), "exact"},
		"unread":    {runs[2].EndedAt.Add(30 * time.Minute), "exact"},
		"never":     {runs[0].EndedAt, "refused"},
		"hostile":   {runs[4].EndedAt, layouts()[len(layouts())-1].account().ID},
		"confirmed": {runs[3].EndedAt, "beta"},
	} {
		at := c.at
		known, err := history.Then(t.Context(), h, at, c.account)
		if err != nil || len(known) != 1 {
			t.Fatalf("%s: got %+v, %v", name, known, err)
		}
		write(texts, "history_then_"+name+".txt", func(w io.Writer) error { return report.HistoryAccount(w, &known[0], at, o) })
		write(nil, name, func(w io.Writer) error {
			return report.HistoryAccountJSON(w, known, at, c.account, runs[0].EndedAt, "")
		})
	}
	write(nil, "nothing", func(w io.Writer) error {
		return report.HistoryAccountJSON(w, nil, runs[0].StartedAt, "exact", time.Time{}, "it was not in the fleet yet")
	})
	write(texts, "history_runs.txt", func(w io.Writer) error { return report.HistoryRuns(w, runs[1:], 5, o) })
	write(texts, "history_runs_none.txt", func(w io.Writer) error { return report.HistoryRuns(w, nil, 0, o) })
	write(nil, "runs", func(w io.Writer) error { return report.HistoryRunsJSON(w, runs, 5, runs[0].EndedAt, runs[4].EndedAt) })
	write(nil, "no runs", func(w io.Writer) error { return report.HistoryRunsJSON(w, nil, 0, time.Time{}, time.Time{}) })
	empty, err := history.Compare(t.Context(), history.NewMemory(), noon, noon.Add(time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	write(texts, "history_empty.txt", func(w io.Writer) error { return report.HistoryChanges(w, empty, o) })
	write(nil, "empty", func(w io.Writer) error { return report.HistoryChangesJSON(w, empty, "") })
	return texts, documents
}

func TestHistory(t *testing.T) {
	texts, _ := memories(t, report.Options{})
	for name, got := range texts {
		golden(t, name, []byte(got))
	}
	verbose, _ := memories(t, report.Options{Verbose: true})
	if hidden := "redundant DCS UserAccess"; strings.Contains(texts["history_hidden.txt"], hidden) ||
		!strings.Contains(texts["history_hidden.txt"], "--verbose shows all") || !strings.Contains(verbose["history_hidden.txt"], hidden) {
		t.Errorf("findings of severity info are not shown when they are asked for, and only then:\n%s\n%s", texts["history_hidden.txt"],
			verbose["history_hidden.txt"])
	}
}

// A run said that an account is waived, and the waiver ended before the instant that is asked for.
func TestHistoryOfAWaiverThatEnded(t *testing.T) {
	all := layouts()
	admin := all[slices.IndexFunc(all, func(f fixture) bool { return f.name == "extra-admin" })]
	run := runOf(t, cloud{fixtures: []fixture{admin}, waivers: waivers()[:1]}, cocBaseline())
	h := history.NewMemory()
	defer h.Close()
	if err := h.Record(t.Context(), auditor.NewSnapshot(nil, run.Baselines, time.Hour).Next(run)); err != nil {
		t.Fatal(err)
	}
	ends := waivers()[0].Expires
	for at, want := range map[time.Time]string{ends.Add(-time.Second): "waived", ends: "drifted"} {
		known, err := history.Then(t.Context(), h, at, "extra-admin")
		if err != nil || len(known) != 1 {
			t.Fatalf("got %+v, %v", known, err)
		}
		var page, document bytes.Buffer
		err = errors.Join(report.HistoryAccount(&page, &known[0], at, report.Options{}),
			report.HistoryAccountJSON(&document, known, at, "", noon, ""))
		lapsed := want == "drifted"
		if err != nil || !strings.Contains(page.String(), strings.ToUpper(want)+" against the baseline") ||
			strings.Contains(page.String(), "when a waiver") != lapsed ||
			!strings.Contains(document.String(), fmt.Sprintf("\"state\": %q", want)) ||
			!strings.Contains(document.String(), fmt.Sprintf("\"waiver_lapsed\": %t", lapsed)) {
			t.Errorf("at %s, want %s: %v\n%s\n%s", at, want, err, page.String(), document.String())
		}
	}
}

// Whatever a name is, and however narrow the page, no line is wider than that, and no character acts on a terminal.
func TestHistoryIsHarmless(t *testing.T) {
	for _, width := range []int{60, 100, 180} {
		texts, _ := memories(t, report.Options{Width: width, Verbose: true})
		for name, got := range texts {
			for line := range strings.Lines(got) {
				line = strings.TrimSuffix(line, "\n")
				if n := text.StringWidthWithoutEscSequences(line); n > width && !strings.HasPrefix(line, "  Finding id: ") {
					t.Errorf("%s at width %d: a line has %d columns: %s", name, width, n, line)
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
					t.Errorf("%s: %q holds what acts on a terminal", name, line)
				}
			}
		}
	}
}

func TestHistoryJSONFollowsItsSchema(t *testing.T) {
	data, err := os.ReadFile("../../docs/history.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	reports := publishedSchema(t)["$defs"].(map[string]any)
	closeObjects(map[string]any(s))
	closeObjects(reports)
	defs := s["$defs"].(map[string]any)
	met := map[string]int{}
	_, documents := memories(t, report.Options{})
	forms := map[string]string{
		report.HistoryChangesSchema: "changes", report.HistoryAccountSchema: "past", report.HistoryRunsSchema: "runs",
	}
	for name, document := range documents {
		v := validateWith(t, s, document)
		if len(v.faults) > 0 {
			var d map[string]any
			if err := json.Unmarshal(document, &d); err != nil {
				t.Fatal(err)
			}
			form := forms[d["schema"].(string)]
			exact := &validator{root: s, applied: map[string]int{}}
			exact.check(defs[form].(map[string]any), "", "$", d)
			t.Errorf("%s: %q", name, append(v.faults, exact.faults...))
		}
		for w, n := range v.applied {
			met[w] += n
		}
		for _, r := range string(document) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("%s: the document holds %U", name, r)
			}
		}
	}
	// What it shares with reports is the same there, and met by the tests of reports.
	own := maps.Clone(defs)
	for name, def := range defs {
		if is, shared := reports[name]; shared && name != "runs" {
			delete(own, name)
			a, errA := json.Marshal(def)
			b, errB := json.Marshal(is)
			if err := errors.Join(errA, errB); err != nil || !bytes.Equal(a, b) {
				t.Errorf("the two schemas differ about %s: %v", name, err)
			}
		}
	}
	for _, w := range places(schema{"$defs": own}, "") {
		if met[w] == 0 && w != "" {
			t.Errorf("no document holds what the schema describes at %s", w)
		}
	}
	for _, w := range loose(schema(own), "") {
		t.Errorf("the schema does not name every field, or not as required, at %s", w)
	}
}

func TestAFailedWriteOfHistoryIsAnError(t *testing.T) {
	h := remembered(t)
	c, err := history.Compare(t.Context(), h, noon, noon.Add(9*time.Hour), "")
	if err != nil {
		t.Fatal(err)
	}
	known, err := history.Then(t.Context(), h, noon.Add(9*time.Hour), "exact")
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(*full) error{
		"changes":      func(w *full) error { return report.HistoryChanges(w, c, report.Options{}) },
		"changes json": func(w *full) error { return report.HistoryChangesJSON(w, c, "") },
		"account":      func(w *full) error { return report.HistoryAccount(w, &known[0], noon, report.Options{}) },
		"account json": func(w *full) error { return report.HistoryAccountJSON(w, known, noon, "exact", noon, "") },
		"runs":         func(w *full) error { return report.HistoryRuns(w, c.Runs, 9, report.Options{}) },
		"runs json":    func(w *full) error { return report.HistoryRunsJSON(w, c.Runs, 9, noon, noon) },
	} {
		if err := write(&full{20}); !errors.Is(err, errFull) {
			t.Errorf("%s on a disk with 20 bytes left: %v", name, err)
		}
	}
}

// TestNoSpanOfNothing: what is so since the last run, which is the end of the time, has not lasted yet.
func TestNoSpanOfNothing(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for later, want := range map[time.Duration][]string{
		0:                      {"compliant → drifted\n", "ended at 2026-03-01 12:00:00 UTC.\n"},
		400 * time.Millisecond: {"compliant → drifted\n", "ended at 2026-03-01 12:00:00 UTC.\n"},
		time.Second:            {"drifted, still so after 1s", "UTC, 1s before the end of this time"},
	} {
		c := history.Changes{
			From: at.Add(-time.Hour), To: at.Add(2 * later), Begins: at.Add(-time.Hour), Known: at.Add(later), Runs: []history.Run{{ID: "1", EndedAt: at.Add(later), Complete: true}},
			Changes: []history.Change{{
				Kind: history.ChangeState, At: at, Was: rules.StateCompliant, Is: rules.StateDrifted,
				Subject: auditor.Subject{Account: rules.Account{ID: "1", Name: "one"}, Baseline: "coc"},
			}},
		}
		var b bytes.Buffer
		if err := report.HistoryChanges(&b, &c, report.Options{Width: 180}); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if text = strings.Replace(text, "ended at 2026-03-01 12:00:00", "ended at "+c.Known.Format(time.DateTime), 1); !strings.Contains(b.String(), text) {
				t.Errorf("after %v it does not say %q:\n%s", later, text, b.String())
			}
		}
	}
}

// TestTheEndOfAWaiver is a date where it is the beginning of a day, and a time where it is not.
func TestTheEndOfAWaiver(t *testing.T) {
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for later, want := range map[time.Duration]string{
		0: "2026-03-01  o", 7 * time.Hour: "2026-03-01  o      grant/excess\n                   07:00 UTC",
		time.Second: "00:00:01",
	} {
		uses := []auditor.WaiverUse{{Waiver: rules.Waiver{ID: "w", Rules: []string{rules.RuleExcess}, Expires: day.Add(later), Owner: "o", Reason: "r"}}}
		var b bytes.Buffer
		if err := report.Waivers(&b, uses, false, day, report.Options{Width: 100}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.String(), want) || strings.Contains(b.String(), "UTC") != (later != 0) {
			t.Errorf("%v after the day began it does not say %q:\n%s", later, want, b.String())
		}
	}
}

// TestHowFindingsEnded: nothing but what was put right is said to be, and what was recorded before there was a word for what gave way keeps
// its own.
func TestHowFindingsEnded(t *testing.T) {
	c := history.Changes{From: noon, To: noon.Add(time.Hour), Begins: noon, Known: noon.Add(time.Hour), Runs: make([]history.Run, 1)}
	for _, f := range []history.Finding{
		{Rule: rules.RuleMissing, Policy: "A", How: history.EndingRefuted}, {Rule: rules.RuleMissing, Policy: "B", How: history.EndingReplaced},
		{Rule: rules.RuleMissing, Policy: "C", How: history.EndingBaseline}, {Rule: rules.RuleTrustMismatch, How: history.EndingReplaced},
		{Rule: rules.RuleTrustMismatch, How: history.EndingBaseline}, {Rule: rules.RuleMissing, Policy: "D", How: history.EndingGone},
	} {
		f.As = &rules.Finding{Rule: f.Rule, Policy: f.Policy, Scope: rules.Global, Severity: rules.High, Message: "It trusts another account."}
		f.FirstSeen, f.EndedAt = noon, noon.Add(time.Hour)
		c.Changes = append(c.Changes, history.Change{At: noon.Add(time.Hour), Kind: history.ChangeWent, Finding: &f})
	}
	var out bytes.Buffer
	if err := report.HistoryChanges(&out, &c, report.Options{Width: 500}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"A (global service): put right after 1h", "B (global service): gave way to something else that is no better; it had stood for 1h",
		"C (global service): judged by other rules from then on", "another account: gave way to something else that is no better",
		"another account: trusts another wrong account from then on, or is judged by other rules", "D (global service): the account left",
		"6 went: 1 put right, 2 gave way, 2 by other rules, 1 with their account;",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}

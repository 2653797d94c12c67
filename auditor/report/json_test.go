package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

func jsonOf(t testing.TB, run *auditor.Run) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := report.JSON(&b, run); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// odd is a run of which everything is said that can be said of a list of accounts.
func odd(run *auditor.Run) *auditor.Run {
	a := rules.Account{ID: "d9", Name: "away", OU: "a%2Fb/c", Tags: []rules.Tag{{Key: "owner", Value: "nobody"}}}
	run.Excluded = []auditor.Exclusion{{Account: a, Reason: auditor.ExcludedSuspended, Detail: "the organization says so"}}
	run.Gone = []rules.Account{{ID: "d8", Name: "gone"}}
	run.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "the organization could not be listed", Remedy: "ask", RequestID: "r1"}}
	run.Notes = []string{"an entry fits no account"}
	run.Complete = false
	return run
}

// documents are runs that together show everything that a document can hold.
func documents(t testing.TB) map[string]*auditor.Run {
	t.Helper()
	pinned := cocBaseline()
	pinned.Trust.ID = cocID
	pinned.Required[1].Accepts = []string{"Config ReadOnlyAccess"}
	few := slices.DeleteFunc(layouts(), func(f fixture) bool {
		return !slices.Contains([]string{"beta-2024", "impostor", "refused", "not-enabled"}, f.name)
	})
	return map[string]*auditor.Run{
		"report.json":  runOf(t, cloud{fixtures: few}),
		"whole":        runOf(t, cloud{fixtures: layouts()}, pinned),
		"unresolvable": runOf(t, cloud{fixtures: layouts()[:3], lacks: cocSelf}),
		"empty.json":   runOf(t, cloud{}),
		"inventory":    odd(runOf(t, cloud{fixtures: layouts()[:1]})),
		"accepted":     runOf(t, cloud{fixtures: layouts(), waivers: waivers()}, allowing()),
		"suspect":      suspect(runOf(t, cloud{fixtures: layouts()[:1]})),
	}
}

// suspect makes a run suspect.
func suspect(run *auditor.Run) *auditor.Run {
	run.Suspect = []string{"the inventory shrank: 40 of 100 accounts are not listed any more"}
	return run
}

func TestASuspectRunSaysSoEverywhere(t *testing.T) {
	calm, odd := runOf(t, cloud{fixtures: layouts()[:1]}), suspect(runOf(t, cloud{fixtures: layouts()[:1]}))
	for name, show := range map[string]func(w io.Writer, run *auditor.Run) error{
		"json":  report.JSON,
		"table": func(w io.Writer, run *auditor.Run) error { return report.Table(w, run, report.Options{Width: 200}) },
		"changes": func(w io.Writer, run *auditor.Run) error {
			return report.Changes(w, calm, run, "title", report.Options{Width: 200})
		},
	} {
		for run, want := range map[*auditor.Run]bool{calm: false, odd: true} {
			var b bytes.Buffer
			if err := show(&b, run); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(b.String(), "the inventory shrank: 40 of 100"); got != want {
				t.Errorf("%s: suspect %t, says so %t:\n%s", name, want, got, b.String())
			}
		}
	}
}

func TestJSONFollowsItsSchema(t *testing.T) {
	met := map[string]int{}
	for name, run := range documents(t) {
		document := jsonOf(t, run)
		v := validate(t, document)
		for _, f := range v.faults {
			t.Errorf("%s: %s", name, f)
		}
		for w, n := range v.applied {
			met[w] += n
		}
		if strings.HasSuffix(name, ".json") {
			golden(t, name, document)
		}
	}
	s := readSchema(t)
	for _, w := range places(s, "") {
		if met[w] == 0 {
			t.Errorf("no document holds what the schema describes at %s", w)
		}
	}
	for _, w := range loose(s, "") {
		t.Errorf("the schema does not name every field, or not as required, at %s", w)
	}
}

func TestTheSchemaRefusesWhatItDoesNotDescribe(t *testing.T) {
	document := jsonOf(t, runOf(t, cloud{fixtures: layouts()}))
	for name, c := range map[string]struct {
		change func(d map[string]any)
		says   string
	}{
		"another form":      {func(d map[string]any) { d["schema"] = "agencyaudit.report/v2" }, "is not agencyaudit.report/v1"},
		"an unknown field":  {func(d map[string]any) { d["sweeps"].([]any)[0].(map[string]any)["colour"] = "red" }, "does not know"},
		"a missing field":   {func(d map[string]any) { delete(d["run"].(map[string]any), "complete") }, "complete is missing"},
		"an unknown state":  {func(d map[string]any) { d["sweeps"].([]any)[0].(map[string]any)["state"] = "fine" }, "none of"},
		"an unknown reason": {func(d map[string]any) { d["run"].(map[string]any)["unknown_reasons"] = map[string]any{"boredom": 1.0} }, "none of"},
		"a local time":      {func(d map[string]any) { d["run"].(map[string]any)["ended_at"] = "2026-11-23T12:00:00+08:00" }, "does not match"},
		"no time":           {func(d map[string]any) { d["run"].(map[string]any)["ended_at"] = "soonZ" }, "parsing time"},
		"a negative count":  {func(d map[string]any) { d["sweeps"].([]any)[0].(map[string]any)["requests"] = -1.0 }, "less than"},
		"a broken count":    {func(d map[string]any) { d["sweeps"].([]any)[0].(map[string]any)["requests"] = 1.5 }, "is not"},
	} {
		t.Run(name, func(t *testing.T) {
			var d map[string]any
			if err := json.Unmarshal(document, &d); err != nil {
				t.Fatal(err)
			}
			c.change(d)
			changed, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			if v := validate(t, changed); len(v.faults) == 0 || !strings.Contains(strings.Join(v.faults, "\n"), c.says) {
				t.Errorf("faults %q, want one that says %q", v.faults, c.says)
			}
		})
	}
}

// Readers are told to ignore fields that they do not know, so the published schema must let them pass, in every object.
// The same fields must fail against the closed schema, each of them: else a field could be added without the schema.
func TestThePublishedSchemaIsOpenAndTheTestsIsClosed(t *testing.T) {
	for name, run := range documents(t) {
		var d any
		if err := json.Unmarshal(jsonOf(t, run), &d); err != nil {
			t.Fatal(err)
		}
		added := colour(d)
		changed, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range validateWith(t, publishedSchema(t), changed).faults {
			t.Errorf("%s against the published schema: %s", name, f)
		}
		if refused := len(validate(t, changed).faults); refused != added || added == 0 {
			t.Errorf("%s: the closed schema refuses %d of %d added fields", name, refused, added)
		}
	}
}

// colour adds a field to every object of a document, and says to how many. The one object whose names are data, not
// fields, is left as it is.
func colour(at any) int {
	n := 0
	switch at := at.(type) {
	case []any:
		for _, below := range at {
			n += colour(below)
		}
	case map[string]any:
		for name, below := range at {
			if name != "unknown_reasons" {
				n += colour(below)
			}
		}
		at["colour"] = "red"
		n++
	}
	return n
}

// Every rule, state and reason of the program must be a value of the schema, which lists them.
func TestTheSchemaListsWhatTheRulesHave(t *testing.T) {
	s := readSchema(t)["$defs"].(map[string]any)
	enum := func(path ...string) []string {
		at := s[path[0]].(map[string]any)
		for _, p := range path[1:] {
			at = at["properties"].(map[string]any)[p].(map[string]any)
		}
		var out []string
		for _, v := range at["enum"].([]any) {
			if v != nil {
				out = append(out, v.(string))
			}
		}
		slices.Sort(out)
		return out
	}
	sorted := func(list []string) []string { slices.Sort(list); return list }
	var ids, reasons, states, kinds []string
	for _, r := range rules.Rules() {
		ids = append(ids, r.ID)
	}
	for _, r := range rules.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, x := range rules.States() {
		states = append(states, string(x))
	}
	for _, k := range rules.Planes() {
		kinds = append(kinds, string(k))
	}
	for name, c := range map[string]struct{ schema, rules []string }{
		"rules":   {enum("finding", "rule"), sorted(ids)},
		"reasons": {enum("reason"), sorted(reasons)},
		"states":  {enum("sweep", "state"), sorted(states)},
		"scopes":  {enum("kind"), sorted(kinds)},
	} {
		if !slices.Equal(c.schema, c.rules) {
			t.Errorf("%s: the schema lists %v, the program has %v", name, c.schema, c.rules)
		}
	}
}

func TestJSONKeepsHostileNamesAndShowsThemHarmless(t *testing.T) {
	hostile := "a\x1b[2J\u202eb\u200b\u2066\U000e0041\"\\</script>\u2028é中"
	document := jsonOf(t, runOf(t, cloud{fixtures: []fixture{{name: hostile, grants: exact()}}}))
	for _, r := range string(document) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("the document holds %U", r)
		}
	}
	var d struct {
		Sweeps []struct{ Account struct{ Name string } }
	}
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	if got := d.Sweeps[0].Account.Name; got != hostile {
		t.Errorf("the name came back as %q, want %q", got, hostile)
	}
}

func TestFindingsOfTheRunBelongToTheirBaseline(t *testing.T) {
	one, two := cocBaseline(), cocBaseline()
	two.Name, two.Agency = "other", "OtherAgency"
	run := runOf(t, cloud{lacks: cocSelf}, one, two)
	var d struct {
		Findings []struct{ ID string }
	}
	if err := json.Unmarshal(jsonOf(t, run), &d); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(d.Findings)
	want := "[{baseline/unresolvable::ServiceAgencyForCOC:" + cocSelf + ":all_resources} {baseline/unresolvable::OtherAgency:" + cocSelf + ":all_resources}]"
	if got != want {
		t.Errorf("findings of the run\n got %s\nwant %s", got, want)
	}
}

// Two baselines require the same policy at different scopes, and only the second has no name for it that the site knows.
func TestFindingsOfTheRunAreToldApartByScope(t *testing.T) {
	one, two := cocBaseline(), cocBaseline()
	one.Required[3].Scope, one.Required[3].Accepts = rules.Global, []string{"Another Name"}
	two.Name, two.Agency = "other", "OtherAgency"
	got := string(jsonOf(t, runOf(t, cloud{lacks: cocSelf}, one, two)))
	if !strings.Contains(got, `"baseline/unresolvable::OtherAgency:`+cocSelf+`:all_resources"`) {
		t.Errorf("the finding is of another baseline:\n%s", got)
	}
}

// full fails every write after the first n bytes, as a full disk does.
type full struct{ n int }

var errFull = errors.New("no space left")

func (f *full) Write(p []byte) (int, error) {
	if len(p) > f.n {
		return f.n, errFull
	}
	f.n -= len(p)
	return len(p), nil
}

func TestAFailedWriteIsAnError(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()})
	for name, write := range map[string]func(*full) error{
		"json":    func(w *full) error { return report.JSON(w, run) },
		"table":   func(w *full) error { return report.Table(w, run, report.Options{}) },
		"explain": func(w *full) error { return report.Explain(w, run, &run.Sweeps[0], report.Options{}) },
	} {
		for _, n := range []int{0, 100} {
			if err := write(&full{n}); !errors.Is(err, errFull) {
				t.Errorf("%s on a disk with %d bytes left: %v", name, n, err)
			}
		}
	}
}

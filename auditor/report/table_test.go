package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

func tableOf(t testing.TB, run *auditor.Run, o report.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Table(&b, run, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func explainOf(t testing.TB, run *auditor.Run, o report.Options) string {
	t.Helper()
	var b bytes.Buffer
	for i := range run.Sweeps {
		b.WriteString(strings.Repeat("=", 20) + "\n")
		if err := report.Explain(&b, run, &run.Sweeps[i], o); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func TestTable(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()})
	golden(t, "table.txt", []byte(tableOf(t, run, report.Options{})))
	golden(t, "table_verbose.txt", []byte(tableOf(t, run, report.Options{Verbose: true})))
	golden(t, "table_unresolvable.txt", []byte(tableOf(t, runOf(t, cloud{fixtures: layouts()[:3], lacks: cocSelf}), report.Options{})))
}

func TestExplain(t *testing.T) {
	agreed := runOf(t, cloud{fixtures: layouts()[:11], waivers: waivers()}, allowing())
	golden(t, "table_agreed.txt", []byte(tableOf(t, agreed, report.Options{})))
	golden(t, "explain_agreed.txt", []byte(explainOf(t, agreed, report.Options{})))
	golden(t, "explain.txt", []byte(explainOf(t, runOf(t, cloud{fixtures: layouts()}), report.Options{})))
	golden(t, "explain_unresolvable.txt", []byte(explainOf(t, runOf(t, cloud{fixtures: layouts()[2:3], lacks: cocSelf, restricted: true}), report.Options{})))
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// wide are accounts whose every name is as long as anything can be, or longer.
func wide() []fixture {
	long := layouts()
	for i := range long {
		long[i].name = fmt.Sprint(long[i].name, " ", strings.Repeat("账号name-", 40), i, strings.Repeat("x", 20*i))
		for j := range long[i].grants {
			g := &long[i].grants[j]
			if g.Scope.ID != "" {
				g.Scope.Name = strings.Repeat("project", 30)
			}
		}
	}
	long[3].grants = append(long[3].grants, grant(strings.Repeat("Policy", 40)+"FullAccess", rules.Global), grant(strings.Repeat("名", 2000), rules.Global))
	long[0].unknown = &rules.Unknown{
		Reason: rules.ReasonUnauthenticated, Detail: strings.Repeat("d", 300) + strings.Repeat(" detail", 100), Remedy: strings.Repeat("remedy ", 90),
		RequestID: strings.Repeat("r", 150),
	}
	return long
}

// TestAFindingIDIsWhole: it stands on one line, however narrow that is, so that it can be copied.
func TestAFindingIDIsWhole(t *testing.T) {
	run, found := runOf(t, cloud{fixtures: layouts()}), 0
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		var out strings.Builder
		if err := report.Explain(&out, run, &run.Sweeps[i], report.Options{Width: 60}); err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Findings {
			found++
			if id := rules.Escape(rules.FindingID(*r, f)); !strings.Contains(out.String(), "\n  Finding id: "+id+"\n") {
				t.Errorf("%s is not on a line of its own:\n%s", id, out.String())
			}
		}
	}
	if found == 0 {
		t.Error("no finding")
	}
}

// TestARunWithoutRequestsSaysWhichItDoesNotCount: an account that could not be entered has a request id all the same.
func TestARunWithoutRequestsSaysWhichItDoesNotCount(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()[:1]})
	run.Sweeps[0].Trail.Requests = 0
	if out := explainOf(t, run, report.Options{Width: 200}); !strings.Contains(out, "those that enter an account") || strings.Contains(out, "with 0 requests") {
		t.Error(out)
	}
}

// TestWhatToDoIsWhole: the advice for a chain that lets nobody in is the longest there is.
func TestWhatToDoIsWhole(t *testing.T) {
	const account = "d0000000000000000000000000000001"
	long := "an administrator of account " + account + " creates the agency or trust agency, lets it trust account " + account + ", with the " +
		"external id if it asks for one, and lets it assume the agencies of the accounts that are read; an administrator of account " + account +
		" allows the program's own identity the action sts:agencies:assume on it; if all that is so, the account may be suspended or in " +
		"arrears, or the agency may have expired"
	f := layouts()
	f[0].unknown = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "the chain", Remedy: long}
	run := runOf(t, cloud{fixtures: f})
	run.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "the organization could not be listed", Remedy: long}}
	out := strings.Join(strings.Fields(tableOf(t, run, report.Options{Width: 100})), " ")
	if n := strings.Count(out, long); n != 2 {
		t.Errorf("whole %d times:\n%s", n, out)
	}
}

func TestNoLineIsTooWide(t *testing.T) {
	other := cocBaseline()
	other.Name, other.Source = strings.Repeat("other", 20), strings.Repeat("source ", 50)
	for name, run := range map[string]*auditor.Run{
		"layouts":       runOf(t, cloud{fixtures: layouts()}),
		"long names":    runOf(t, cloud{fixtures: wide()}),
		"two baselines": runOf(t, cloud{fixtures: layouts()}, cocBaseline(), other),
		"unresolvable":  runOf(t, cloud{fixtures: wide(), lacks: cocSelf, restricted: true}),
		"empty":         runOf(t, cloud{}),
	} {
		for _, width := range []int{0, 1, 60, 61, 80, 100, 140, 200} {
			for _, o := range []report.Options{
				{Width: width}, {Width: width, Color: true, Verbose: true, Explain: "agencyaudit explain --config " + strings.Repeat("deep/", 40)},
			} {
				limit := max(width, 60)
				if width == 0 {
					limit = 100
				}
				for kind, out := range map[string]string{"table": tableOf(t, run, o), "explain": explainOf(t, run, o)} {
					for line := range strings.Lines(out) {
						if strings.HasPrefix(line, "  Finding id: ") {
							continue // TestAFindingIDIsWhole
						}
						if w := text.StringWidthWithoutEscSequences(sgr.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")); w > limit {
							t.Errorf("%s, %s at %+v: a line of %d columns: %s", name, kind, o, w, line)
						}
					}
				}
			}
		}
	}
}

func TestATerminalTooNarrowForWordsIsTakenForAWiderOne(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()})
	if got, want := tableOf(t, run, report.Options{Width: 1}), tableOf(t, run, report.Options{Width: 60}); got != want {
		t.Errorf("at one column the table is\n%s\nwant\n%s", got, want)
	}
}

func TestColoursSayNothingThatTheWordsDoNot(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()})
	for kind, of := range map[string]func(testing.TB, *auditor.Run, report.Options) string{"table": tableOf, "explain": explainOf} {
		plain, colored := of(t, run, report.Options{}), of(t, run, report.Options{Color: true})
		if strings.Contains(plain, "\x1b") {
			t.Errorf("%s: escape sequences without colour", kind)
		}
		if !strings.Contains(colored, "\x1b[1;31m") {
			t.Errorf("%s: no colour", kind)
		}
		if got := sgr.ReplaceAllString(colored, ""); got != plain {
			t.Errorf("%s: without its colours the coloured text is\n%s\nwant\n%s", kind, got, plain)
		}
	}
}

// A finding is never lost in the overview: each one of warning or worse has its row, and the rest is counted.
func TestTheOverviewLeavesOutNothing(t *testing.T) {
	run := runOf(t, cloud{fixtures: layouts()})
	out := tableOf(t, run, report.Options{Width: 200})
	for _, s := range run.Sweeps {
		r := s.Report
		quiet := r.State == rules.StateCompliant || r.State == rules.StateNotEnabled
		first := strings.Fields(rules.Escape(r.Account.Name))[0]
		if shown := strings.Contains(out, "\n"+first); shown == quiet {
			t.Errorf("account %q, which is %s: shown is %v", r.Account.Name, r.State, shown)
		}
	}
	if !strings.Contains(out, "3 findings of severity info not shown") {
		t.Error("the hidden findings are not counted")
	}
}

func TestAccountsOfTheSameNameAreToldApart(t *testing.T) {
	run := runOf(t, cloud{fixtures: []fixture{{name: "twin", grants: exact(grant("FullAccess", rules.Global))}, {name: "single", absent: true, require: true}}})
	twin := run.Sweeps[1]
	twin.Report.Account.ID = hex("d", "the other twin")
	run.Sweeps = append(run.Sweeps, twin)
	out := tableOf(t, run, report.Options{})
	if !strings.Contains(out, hex("d", "twin")) || !strings.Contains(out, hex("d", "the other twin")) {
		t.Errorf("the twins' ids are not shown:\n%s", out)
	}
	if strings.Contains(out, hex("d", "single")) {
		t.Errorf("the id of an account with a name of its own is shown:\n%s", out)
	}
}

func TestTheCommandToGoOnWithCanBePasted(t *testing.T) {
	for name, want := range map[string]string{
		"prod-eu.1":  "\n  agencyaudit explain prod-eu.1\n",
		"prod eu":    "\n  agencyaudit explain " + hex("d", "prod eu") + "\n",
		"$(rm -rf)":  "\n  agencyaudit explain " + hex("d", "$(rm -rf)") + "\n",
		"-v":         "\n  agencyaudit explain " + hex("d", "-v") + "\n",
		"--config=x": "\n  agencyaudit explain " + hex("d", "--config=x") + "\n",
	} {
		if out := tableOf(t, runOf(t, cloud{fixtures: []fixture{{name: name, absent: true, require: true}}}), report.Options{}); !strings.HasSuffix(out, want) {
			t.Errorf("the table ends in %q, want %q", out[max(0, len(out)-100):], want)
		}
	}
}

// What is good news and what is not.
func TestTheClosingLineIsTrue(t *testing.T) {
	good := []fixture{{name: "exact", grants: exact()}, {name: "not-enabled", absent: true}}
	refused := layout("refused")
	for name, c := range map[string]struct {
		cloud cloud
		says  string
		never string
	}{
		"all well":       {cloud{fixtures: good}, "Every account was read, and none has drifted.", "could not be judged"},
		"one is unknown": {cloud{fixtures: append(good, refused)}, "1 account could not be judged", "none has drifted"},
		"no account":     {cloud{}, "nothing is known", "none has drifted"},
		"chosen ones":    {cloud{fixtures: good, restricted: true}, "Only chosen accounts were read", "Every account was read"},
		"no baseline":    {cloud{fixtures: good[1:], lacks: cocSelf}, "the answer above is not whole", "none has drifted"},
	} {
		t.Run(name, func(t *testing.T) {
			out := strings.ReplaceAll(tableOf(t, runOf(t, c.cloud), report.Options{}), "\n", " ")
			if !strings.Contains(out, c.says) || strings.Contains(out, c.never) {
				t.Errorf("the table must say %q and not %q:\n%s", c.says, c.never, out)
			}
		})
	}
}

func layout(name string) fixture {
	all := layouts()
	return all[slices.IndexFunc(all, func(f fixture) bool { return f.name == name })]
}

func TestBaseline(t *testing.T) {
	b := cocBaseline()
	b.Required[1].Accepts = []string{"Config ReadOnlyAccess"}
	b.Required[0].ScopeLabel = ""
	var table, list, object, array bytes.Buffer
	if err := errors.Join(
		report.Baseline(&table, b, report.Options{}), report.Baselines(&list, []rules.Baseline{b, {Name: "short"}}, report.Options{}),
		report.BaselineJSON(&object, b), report.BaselinesJSON(&array, []rules.Baseline{b}),
	); err != nil {
		t.Fatal(err)
	}
	golden(t, "baseline.txt", table.Bytes())
	golden(t, "baselines.txt", list.Bytes())
	for kind, out := range map[string]string{"one": table.String(), "list": list.String()} {
		for line := range strings.Lines(out) {
			if w := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); w > report.DefaultWidth {
				t.Errorf("%s: a line of %d columns: %s", kind, w, line)
			}
		}
	}
	s := readSchema(t)
	for name, document := range map[string][]byte{"object": object.Bytes(), "array": []byte(strings.Trim(strings.TrimSpace(array.String()), "[]"))} {
		var value any
		if err := json.Unmarshal(document, &value); err != nil {
			t.Fatal(err)
		}
		v := &validator{root: s, applied: map[string]int{}}
		v.check(schema{"$ref": "#/$defs/baseline"}, "", "$", value)
		if len(v.faults) > 0 {
			t.Errorf("%s: %q", name, v.faults)
		}
	}
}

func TestManyUnknownAccountsAreCountedRatherThanRepeated(t *testing.T) {
	var down []fixture
	for i := range 25 {
		down = append(down, fixture{name: fmt.Sprintf("down-%02d", i), unknown: &rules.Unknown{
			Reason: rules.ReasonUnreachable, Detail: fmt.Sprintf("dial %02d: refused", i), Remedy: "look whether the cloud is up",
		}})
	}
	run := runOf(t, cloud{fixtures: down})
	for verbose, want := range map[bool]int{false: 10, true: 25} {
		out := tableOf(t, run, report.Options{Verbose: verbose})
		if n := strings.Count(out, ": refused"); n != want {
			t.Errorf("verbose %v: %d accounts are explained, want %d", verbose, n, want)
		}
		if n := strings.Count(out, "unreachable, see below"); n != 25 {
			t.Errorf("verbose %v: %d accounts are listed, want 25", verbose, n)
		}
		if strings.Contains(out, "and 15 more; --verbose shows all") == verbose {
			t.Errorf("verbose %v: the rest is not counted as it should be:\n%s", verbose, out)
		}
	}
}

func TestPoliciesOfTheSameNameAreToldApart(t *testing.T) {
	twin := grant("OBS Administrator", rules.Global)
	twin.Policy.ID = hex("p", "the other")
	out := tableOf(t, runOf(t, cloud{fixtures: []fixture{{name: "a", grants: exact(grant("OBS Administrator", rules.Global), twin)}}}), report.Options{Width: 140})
	for _, id := range []string{twin.Policy.ID, hex("p", "OBS Administrator")} {
		if !strings.Contains(out, "excess OBS Administrator (global service), policy id "+id) {
			t.Errorf("the id %s is not shown:\n%s", id, out)
		}
	}
}

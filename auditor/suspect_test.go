package auditor_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// fleetOf are accounts, and what a run said of each: c compliant, d drifted, n not enabled, t timeout, u a policy that cannot
// be resolved, and - not listed.
func fleetOf(says string) (accounts []rules.Account, run *auditor.Run) {
	run = &auditor.Run{Complete: true, EndedAt: noon, Baselines: []rules.Baseline{base()}}
	for i, c := range says {
		a := rules.Account{ID: fmt.Sprintf("%08d", i), Name: fmt.Sprintf("account %d", i)}
		accounts = append(accounts, a)
		r := rules.Report{Account: a, Baseline: "coc", AgencyName: "A", State: map[rune]rules.State{
			'c': rules.StateCompliant, 'd': rules.StateDrifted, 'n': rules.StateNotEnabled, 't': rules.StateUnknown, 'u': rules.StateUnknown,
		}[c]}
		switch c {
		case '-':
			continue
		case 't':
			r.Unknown = &rules.Unknown{Reason: rules.ReasonTimeout}
		case 'u':
			r.Unknown = &rules.Unknown{Reason: rules.ReasonUnresolvable}
		}
		run.Sweeps = append(run.Sweeps, auditor.Sweep{StartedAt: noon, EndedAt: noon, Report: r, RequestIDs: []string{"r"}})
	}
	return accounts, run
}

// after is what is known after a run that said so, of accounts that are all expected.
func after(says string) *auditor.Snapshot {
	accounts, run := fleetOf(says)
	b := []rules.Baseline{base()}
	return auditor.NewSnapshot(auditor.Subjects(accounts, b), b, maxAge).Next(run)
}

func TestSuspectRuns(t *testing.T) {
	x := strings.Repeat
	for name, c := range map[string]struct {
		before, now string
		says        []string
	}{
		"nothing changed":                               {x("c", 20), x("c", 20), nil},
		"nothing to be read":                            {"", "", nil},
		"an account is closed":                          {x("c", 5), x("c", 4) + "-", nil},
		"a tenth of the inventory is closed":            {x("c", 20), x("c", 18) + "--", nil},
		"more than a tenth of the inventory is missing": {x("c", 20), x("c", 17) + "---", []string{"the inventory shrank: 3 of 20 accounts"}},
		"the second page is missing":                    {x("c", 100), x("c", 60) + x("-", 40), []string{"the inventory shrank: 40 of 100 accounts"}},
		"two of three are missing":                      {"ccc", "c--", []string{"the inventory shrank: 2 of 3"}},
		"the inventory is empty":                        {"c", "-", []string{"the inventory shrank: 1 of 1"}},
		"they were missing before":                      {x("c", 60) + x("-", 40), x("c", 60) + x("-", 40), nil},
		"more are missing than before":                  {x("c", 50) + x("-", 50), x("c", 40) + x("-", 60), []string{"10 of 50"}},
		"many drift at once and nothing fails":          {x("c", 20), x("d", 20), nil},
		"many drift at once and something fails":        {x("c", 20), x("d", 19) + "t", []string{"20 of 20 accounts changed their state at once, while those that could not be read rose from 0 to 1"}},
		"many are repaired at once and something fails": {x("d", 20), x("c", 19) + "t", []string{"20 of 20"}},
		"an outage begins":                              {x("c", 20), x("c", 10) + x("t", 10), []string{"10 of 20 accounts changed their state at once, while those that could not be read rose from 0 to 10"}},
		"an outage lasts":                               {x("c", 10) + x("t", 10), x("c", 10) + x("t", 10), nil},
		"an outage moves":                               {x("c", 10) + x("t", 10), x("t", 10) + x("c", 10), nil},
		"an outage grows":                               {x("c", 19) + "t", x("c", 10) + x("t", 10), []string{"9 of 20 accounts", "rose from 1 to 10"}},
		"an outage ends":                                {x("c", 10) + x("t", 10), x("c", 20), nil},
		"an outage ends, and all of them have drifted":  {x("t", 20), x("d", 20), nil},
		"an outage ends, and something new fails":       {x("c", 1) + x("t", 19), "t" + x("c", 19), nil},
		"one of three fails":                            {"ccc", "cct", nil},
		"two of three, one drifts and one fails":        {"ccc", "cdt", nil},
		"all of three":                                  {"ccc", "ddt", []string{"3 of 3 accounts"}},
		"a few of a large fleet":                        {x("c", 1000), x("c", 950) + x("t", 50), nil},
		"many of a large fleet, and one fails":          {x("c", 1000), x("d", 999) + "t", nil},
		"many of a large fleet, and many fail":          {x("c", 1000), x("d", 990) + x("t", 10), []string{"1000 of 1000 accounts"}},
		"a policy that cannot be resolved is no error":  {x("c", 20), x("u", 20), nil},
		"both": {x("c", 20), x("t", 15) + x("-", 5), []string{"the inventory shrank: 5 of 20", "15 of 20 accounts changed"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, run := fleetOf(c.now)
			before := after(c.before)
			got := auditor.Suspicions(before, run)
			if all := strings.Join(got, "; "); (len(got) > 0) != (len(c.says) > 0) {
				t.Errorf("it says %q, want %q", all, c.says)
			} else {
				for _, want := range c.says {
					if !strings.Contains(all, want) {
						t.Errorf("it says %q, not %q", all, want)
					}
				}
			}
			// What nobody asked of all accounts, or has nothing before it, is never suspect.
			run.Restricted = true
			if got := auditor.Suspicions(before, run); got != nil {
				t.Errorf("a restricted run is suspect: %q", got)
			}
			run.Restricted = false
			accounts, _ := fleetOf(c.before)
			b := []rules.Baseline{base()}
			for name, before := range map[string]*auditor.Snapshot{
				"one-shot": nil, "first": auditor.NewSnapshot(auditor.Subjects(accounts, b), b, maxAge),
			} {
				if got := auditor.Suspicions(before, run); got != nil {
					t.Errorf("a %s run is suspect: %q", name, got)
				}
			}
		})
	}
}

// What a person does to the configuration is no trouble of the cloud.
func TestAReloadMakesNoRunSuspect(t *testing.T) {
	accounts, _ := fleetOf(strings.Repeat("c", 20))
	b := []rules.Baseline{base()}
	before := after(strings.Repeat("c", 20))

	_, fewer := fleetOf("cccct")
	if got := auditor.Suspicions(before.Expect(auditor.Subjects(accounts[:5], b), b, maxAge), fewer); got != nil {
		t.Errorf("15 of 20 accounts were taken out of the configuration: %q", got)
	}
	few := after("ccccc")
	_, more := fleetOf("ccccc" + strings.Repeat("t", 15))
	if got := auditor.Suspicions(few.Expect(auditor.Subjects(accounts, b), b, maxAge), more); got != nil {
		t.Errorf("15 accounts were added that cannot be read yet: %q", got)
	}
	strict := base()
	strict.Digest = "2"
	_, judged := fleetOf(strings.Repeat("d", 15) + strings.Repeat("t", 5))
	bs := []rules.Baseline{strict}
	if got := auditor.Suspicions(before.Expect(auditor.Subjects(accounts, bs), bs, maxAge), judged); got != nil {
		t.Errorf("all are judged by another baseline: %q", got)
	}
}

// With several baselines an account is counted once.
func TestSuspicionsCountAccounts(t *testing.T) {
	second := base()
	second.Name, second.Agency = "other", "B"
	b := []rules.Baseline{base(), second}
	both := func(says string) *auditor.Run {
		_, run := fleetOf(says)
		for _, s := range run.Sweeps {
			s.Report.Baseline, s.Report.AgencyName = "other", "B"
			run.Sweeps = append(run.Sweeps, s)
		}
		return run
	}
	accounts, _ := fleetOf("cccc")
	before := auditor.NewSnapshot(auditor.Subjects(accounts, b), b, maxAge).Next(both("cccc"))
	if got := auditor.Suspicions(before, both("ttt-")); len(got) != 1 || !strings.HasPrefix(got[0], "3 of 4 accounts") {
		t.Errorf("it says %q", got)
	}
}

// A run in which nothing fails and nothing is missing is never suspect, and neither is the one after it that is the same.
func TestWhatIsReadWholeIsNeverSuspect(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 40).Draw(t, "accounts")
		draw := func(name, of string) string {
			return rapid.StringOfN(rapid.RuneFrom([]rune(of)), n, n, -1).Draw(t, name)
		}
		before, now := after(draw("before", "cdntu-")), draw("now", "cdnu")
		_, run := fleetOf(now)
		if got := auditor.Suspicions(before, run); got != nil {
			t.Fatalf("%q", got)
		}
		_, run = fleetOf(draw("any", "cdntu-"))
		if got := auditor.Suspicions(before.Next(run), run); got != nil {
			t.Fatalf("the same again: %q", got)
		}
	})
}

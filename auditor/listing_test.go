package auditor_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// listed is an inventory that says everything that one can say.
type listed struct{ is auditor.Listing }

func (l listed) Accounts(context.Context) (auditor.Listing, error) { return l.is, nil }

func TestARunCarriesWhatTheInventorySays(t *testing.T) {
	var log bytes.Buffer
	var read []string
	a := newAuditor(observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		read = append(read, a.Name)
		return evidenceOf(t, a, "t", true), nil
	}}, nil, &log)
	all := listed{auditor.Listing{
		Accounts: accounts("good"),
		Vanished: []auditor.Absence{{Account: accounts("lost")[0], Detail: "nobody lists it"}},
		Excluded: []auditor.Exclusion{{Account: accounts("asleep")[0], Reason: auditor.ExcludedSuspended}},
		Gone:     accounts("gone"), Notes: []string{"a note"}, TagKeys: []string{"owner"},
	}}
	a.Inventory = all
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(states(run)); got != "map[good:compliant lost:vanished]" {
		t.Errorf("%s", got)
	}
	// A vanished account is not read, and never good news.
	if !slices.Equal(read, []string{"good"}) || run.Complete || run.Whole() {
		t.Errorf("read %q, complete %t, whole %t", read, run.Complete, run.Whole())
	}
	if len(run.Excluded) != 1 || len(run.Gone) != 1 || len(run.Notes) != 1 || len(run.TagKeys) != 1 {
		t.Errorf("%+v", run)
	}
	for _, want := range []string{"account gone", "account vanished", "the list of accounts is odd", "excluded=1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	// A source that could not be listed makes the run neither complete nor whole, however good the rest is.
	a.Inventory = listed{auditor.Listing{Accounts: accounts("good"), Gaps: []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "refused"}}}}
	if run, err = a.Run(t.Context(), "test", nil); err != nil || run.Complete || run.Whole() || run.States[rules.StateCompliant] != 1 {
		t.Errorf("with a gap: %v, %+v", err, run)
	}
	a.Inventory = listed{auditor.Listing{Accounts: accounts("good")}}
	if run, err = a.Run(t.Context(), "test", nil); err != nil || !run.Complete || !run.Whole() {
		t.Errorf("without: %v, %+v", err, run)
	}
}

// What is expected follows the inventory of each run, and the states sum to it.
func TestExpectedFollowsTheInventory(t *testing.T) {
	b := []rules.Baseline{base()}
	two := rules.Account{ID: "2", Name: "two"}
	of := func(a rules.Account, s auditor.Sweep) auditor.Sweep { s.Report.Account = a; return s }
	names := func(s *auditor.Snapshot) (list []string) {
		sum := 0
		for _, n := range s.Count(noon) {
			sum += n
		}
		if sum != len(s.Standings) {
			t.Errorf("%d states of %d", sum, len(s.Standings))
		}
		for i := range s.Standings {
			state, _ := s.Standings[i].At(noon, maxAge)
			list = append(list, s.Standings[i].Account.Name+" "+string(state))
		}
		return list
	}
	want := func(s *auditor.Snapshot, want ...string) {
		t.Helper()
		if got := names(s); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	good := sweep(noon, rules.StateCompliant, "", "exact", "exact")
	bad := sweep(noon, rules.StateDrifted, "", "missing", "exact", rules.Finding{Rule: rules.RuleMissing, Policy: "P", Scope: rules.Global})
	s := auditor.NewSnapshot(nil, b, maxAge).Next(runOf(good, of(two, bad)))
	want(s, "one compliant", "two drifted")

	// A rename keeps what is known, also of two accounts that swap their names.
	renamed, other := acct, two
	renamed.Name, other.Name, renamed.OU = "two", "one", "moved"
	s = s.Next(runOf(of(renamed, dark(noon, rules.ReasonTimeout)), of(other, dark(noon, rules.ReasonTimeout))))
	want(s, "one unknown", "two unknown")
	if words(&s.Standings[0]) != "P=missing Q=exact missing/" && len(s.Standings[0].Findings) != 1 {
		t.Errorf("what was wrong with two is %q", words(&s.Standings[0]))
	}
	if len(s.Standings[1].Findings) != 0 || s.Standings[1].Account.OU != "moved" || s.Standings[1].Account.ID != "1" {
		t.Errorf("%+v", s.Standings[1].Account)
	}
	s = s.Next(runOf(good, of(two, bad)))

	// One that the run says nothing of stays, unknown; one that it excludes or calls gone leaves.
	want(s.Next(runOf(good)), "one compliant", "two unknown")
	excluding := runOf(good)
	excluding.Excluded = []auditor.Exclusion{{Account: two, Reason: auditor.ExcludedSuspended}}
	want(s.Next(excluding), "one compliant")
	if got := s.Next(excluding); len(got.Excluded) != 1 {
		t.Errorf("excluded: %v", got.Excluded)
	}
	gone := runOf(good)
	gone.Gone = []rules.Account{two}
	want(s.Next(gone), "one compliant")
	vanished := runOf(good, of(two, dark(noon, rules.ReasonVanished)))
	want(s.Next(vanished), "one compliant", "two unknown")
	// An account of whom a run has two sweeps has one standing.
	want(s.Next(runOf(good, good, of(two, bad))), "one compliant", "two drifted")
}

// Accounts that are left alone on purpose are not missed; those that vanish are.
func TestWhichAccountsAreMissed(t *testing.T) {
	before := after(strings.Repeat("c", 20))
	list, run := fleetOf(strings.Repeat("c", 17) + "---")
	for _, a := range list[17:] {
		run.Excluded = append(run.Excluded, auditor.Exclusion{Account: a, Reason: auditor.ExcludedClosing})
	}
	if why := auditor.Suspicions(before, run); why != nil {
		t.Errorf("%q", why)
	}
	for i := range run.Excluded {
		run.Excluded[i].Reason = auditor.ExcludedStatus // which is a word, and no purpose
	}
	if why := auditor.Suspicions(before, run); len(why) == 0 || !strings.Contains(why[0], "the inventory shrank: 3 of 20 accounts") {
		t.Errorf("of a status that is not known: %q", why)
	}
	_, run = fleetOf(strings.Repeat("c", 20))
	for i := range run.Sweeps[17:] {
		run.Sweeps[17+i].Report.State, run.Sweeps[17+i].Report.Unknown = rules.StateUnknown, &rules.Unknown{Reason: rules.ReasonVanished}
	}
	if why := auditor.Suspicions(before, run); len(why) == 0 || !strings.Contains(why[0], "the inventory shrank: 3 of 20 accounts") {
		t.Errorf("%q", why)
	}
}

// An account whose series end since it is left alone is told of, once: it may have called itself by a name that is left alone.
func TestAnAccountThatIsLeftOutIsTold(t *testing.T) {
	var log bytes.Buffer
	a := newAuditor(observer{observe: func(_ context.Context, a rules.Account) (rules.Evidence, error) {
		return evidenceOf(t, a, "t", true), nil
	}}, nil, &log)
	told := func(l auditor.Listing) int {
		t.Helper()
		log.Reset()
		a.Inventory = listed{l}
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Before == nil {
			a.Before = auditor.NewSnapshot(nil, a.Baselines, maxAge)
		}
		a.Before = a.Before.Next(run)
		return strings.Count(log.String(), "account left out")
	}
	never := auditor.Exclusion{Account: accounts("never")[0], Reason: auditor.ExcludedConfigured, Detail: "why"}
	renamed := auditor.Exclusion{Account: accounts("two")[0], Reason: auditor.ExcludedConfigured, Detail: "of no interest"}
	if n := told(auditor.Listing{Accounts: accounts("one", "two"), Excluded: []auditor.Exclusion{never}}); n != 0 {
		t.Errorf("told %d times of one that was never expected", n)
	}
	shorter := auditor.Listing{Accounts: accounts("one"), Excluded: []auditor.Exclusion{never, renamed}}
	if n := told(shorter); n != 1 || !strings.Contains(log.String(), "of no interest") {
		t.Errorf("told %d times\n%s", n, &log)
	}
	if n := told(shorter); n != 0 {
		t.Errorf("told %d times again", n)
	}
}

func TestAMaxAgeAppliesToTheVanished(t *testing.T) {
	s := start().Next(runOf(sweep(noon, rules.StateCompliant, "", "exact", "exact"))).Next(runOf(dark(noon.Add(time.Minute), rules.ReasonVanished)))
	for _, at := range []time.Time{noon.Add(time.Minute), noon.Add(3 * time.Hour)} {
		if state, why := s.Standings[0].At(at, maxAge); state != rules.StateUnknown || why.Reason != rules.ReasonVanished {
			t.Errorf("%s %v", state, why)
		}
	}
}

func TestEveryExclusionHasWords(t *testing.T) {
	for _, r := range auditor.ExclusionReasons() {
		if r.Words() == string(r) {
			t.Errorf("%s has no words", r)
		}
	}
	if n := len(auditor.CountExcluded(nil)); n != 4 {
		t.Errorf("%d reasons are counted", n)
	}
	if rules.OUPath([]string{"a/b", "c"}) == rules.OUPath([]string{"a", "b/c"}) || rules.OUPath([]string{"a%2Fb"}) == rules.OUPath([]string{"a/b"}) {
		t.Error("two places have one path")
	}
}

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestLastEvidence: an account that could not be read lately is unknown, and has its last evidence and what that found, and one that
// never was has none; how many they are, and how old that is, is said.
func TestLastEvidence(t *testing.T) {
	dir := t.TempDir()
	s, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if past, err := lastEvidence(t.Context(), dir, time.Now()); past != nil || err != nil {
		t.Errorf("before the first run there is %+v, %v", past, err)
	}
	id := func(n string) string { return strings.Repeat("0", 31) + n }
	c := &chronicle{at: time.Date(2025, 11, 20, 0, 0, 0, 0, time.UTC), dark: map[string]bool{id("3"): true}}
	for _, n := range []string{"1", "2", "3"} {
		c.members = append(c.members, chronicled{account: rules.Account{ID: id(n), Name: "account-" + n}})
	}
	c.member("account-2").lacks = "DCS UserAccess"
	for range 3 {
		if err := c.run(s, nil); err != nil {
			t.Fatal(err)
		}
		c.dark[id("2")] = true
		c.at = c.at.Add(6 * time.Hour)
	}
	past, err := lastEvidence(t.Context(), dir, c.at)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"the last evidence until run 00005ca1ab1e0003, which ended at 2025-11-20 12:00:41 UTC, 5h59m ago.",
		"Not known by that run: 2 of 3. The evidence of 1 of 3 is older than that run: up to 18h.", "Of 1 there never was any.",
	} {
		if !strings.Contains(past.from, want) {
			t.Errorf("it does not say %q: %s", want, past.from)
		}
	}
	if len(past.Sweeps) != 3 || len(past.Baselines) != 1 || past.Baselines[0].Agency != "ServiceAgencyForCOC" {
		t.Fatalf("got %+v", past)
	}
	for i, want := range []struct {
		state    rules.State
		evidence bool
		earlier  bool
		findings int
	}{{rules.StateCompliant, true, false, 0}, {rules.StateUnknown, true, true, 1}, {rules.StateUnknown, false, false, 0}} {
		s := &past.Sweeps[i]
		if s.Report.State != want.state || s.HasEvidence() != want.evidence || s.Earlier != want.earlier || len(s.Report.Findings) != want.findings {
			t.Errorf("%s is %s, with evidence %t, an earlier run's %t, and %d findings, want %+v", s.Report.Account.Name, s.Report.State,
				s.HasEvidence(), s.Earlier, len(s.Report.Findings), want)
		}
	}
}

// TestWaiversOfTheHistoryAreThoseOfTheMetrics: over fleets in which things happen, what the commands say of waivers from the history is
// what the metrics say of the snapshot that was recorded: of accounts that cannot be read, of findings that newer evidence could not
// decide, and while not all accounts can be listed.
func TestWaiversOfTheHistoryAreThoseOfTheMetrics(t *testing.T) {
	const policy = "DCS UserAccess"
	unknown, kept, unused := 0, 0, 0
	for seed := range uint64(3) {
		dir := t.TempDir()
		s, err := history.OpenSQLite(dir, history.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		r := rand.New(rand.NewPCG(seed, 6))
		c := &chronicle{at: time.Date(2025, 11, 20, 0, 0, 0, 0, time.UTC), dark: map[string]bool{}, unlisted: map[string]bool{}}
		for i := range 5 {
			c.members = append(c.members, chronicled{account: rules.Account{ID: fmt.Sprintf("%032x", i+1), Name: fmt.Sprintf("account-%d", i+1)}})
		}
		var waivers []rules.Waiver
		for _, who := range []string{"*", "account-1", "account-2", "account-3", "account-4", "account-5"} {
			waivers = append(waivers, rules.Waiver{
				ID: who, Selector: rules.Selector{Accounts: []string{who}}, Rules: []string{rules.RuleMissing}, Policies: []string{policy},
				Added: c.at.Add(-time.Hour), Expires: c.at.Add(1000 * time.Hour), WarnAt: c.at.Add(999 * time.Hour),
			})
		}
		for range 16 {
			for i := range c.members {
				m := &c.members[i]
				c.dark[m.account.ID] = r.IntN(3) == 0
				if m.lacks = ""; r.IntN(3) == 0 {
					m.lacks = policy
				}
			}
			c.unlisted[policy] = r.IntN(3) == 0 // what nobody holds and the site does not list is not known to be missing
			err := c.run(s, func(run *auditor.Run) {
				if r.IntN(4) == 0 {
					run.Gaps, run.Complete = []rules.Unknown{{Reason: rules.ReasonDenied}}, false
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			past, err := lastEvidence(t.Context(), dir, c.at)
			if err != nil {
				t.Fatal(err)
			}
			end := c.now.Run.EndedAt
			is, was := usesOf(waivers, past), c.now.Accept(waivers, end).WaiverUses(end)
			for i := range was {
				if is[i].Findings != was[i].Findings || is[i].Known != was[i].Known || is[i].Is(end) != was[i].Is(end) {
					t.Errorf("seed %d, run %d: waiver %s is said to be %s, about %d findings, known %t; the metrics say %s, %d, %t", seed, c.n, was[i].ID,
						is[i].Is(end), is[i].Findings, is[i].Known, was[i].Is(end), was[i].Findings, was[i].Known)
				}
				if was[i].Is(end) == auditor.WaiverUnused {
					unused++
				}
			}
			for i := range c.now.Standings {
				st := &c.now.Standings[i]
				if st.Last.Report.State == rules.StateUnknown && !st.Last.HasEvidence() {
					unknown++
				}
				if st.Last.HasEvidence() && len(st.Findings) > len(st.Last.Report.Findings) {
					kept++
				}
			}
			c.at = c.at.Add(time.Hour)
		}
	}
	if unknown == 0 || kept == 0 || unused == 0 {
		t.Errorf("%d times an account was unknown, %d times it kept findings, %d times a waiver was unused: that tests too little", unknown, kept, unused)
	}
}

func TestInstants(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"2026-02-01":                "2026-02-01T00:00:00Z",
		"2026-02-01T08:00:00Z":      "2026-02-01T08:00:00Z",
		"2026-02-01T08:00:00+08:00": "2026-02-01T00:00:00Z",
		"2026-02-01T08:00Z":         "2026-02-01T08:00:00Z",
		"2026-02-01 08:00:07":       "2026-02-01T08:00:07Z",
		"2026-02-01 08:00":          "2026-02-01T08:00:00Z",
		"2026-02-01T08:00:07":       "2026-02-01T08:00:07Z",
		"2026-02-01T08:00":          "2026-02-01T08:00:00Z",
		"7d":                        "2026-02-22T12:00:00Z",
		"1d12h":                     "2026-02-28T00:00:00Z",
		"36h":                       "2026-02-28T00:00:00Z",
		"90m":                       "2026-03-01T10:30:00Z",
		"-7d":                       "", "d": "", "7": "", "1d-3h": "", "-3h": "", "99999999d": "", "0123456789abcdef": "", "": "", "yesterday": "", "2026-13-01": "",
	} {
		got, ok := readInstant(text, now)
		if ok != (want != "") || ok && got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%q is read as %s (%t), want %q", text, got, ok, want)
		}
	}
}

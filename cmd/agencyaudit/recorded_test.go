package main

import (
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestLastEvidence: an account that could not be read lately is tried by its last evidence, and one that never was is unknown; how old
// that is, and of how many there is none, is said.
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
		"The evidence of 1 of 3 is older than that run: up to 18h.", "Of 1 there never was any.",
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
		findings int
	}{{rules.StateCompliant, true, 0}, {rules.StateDrifted, true, 1}, {rules.StateUnknown, false, 0}} {
		if s := &past.Sweeps[i]; s.Report.State != want.state || s.HasEvidence() != want.evidence || len(s.Report.Findings) != want.findings {
			t.Errorf("%s is %s, with evidence %t and %d findings, want %+v", s.Report.Account.Name, s.Report.State, s.HasEvidence(), len(s.Report.Findings), want)
		}
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

package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

// TestAWaiverIsWrittenAsItIsMeant: whatever a flag says, the file says the same and no more, be it like a number, a date or a line of YAML.
func TestAWaiverIsWrittenAsItIsMeant(t *testing.T) {
	day := time.Now().UTC()
	for _, text := range []string{
		"00000000000000000000000000000004", "12345678901234567890123456789012", "1e000000000000000000000000000001", "0e000000000000000000000000000000",
		"0x10", "0o17", "0b1", "010", "1_000", "1.5", ".inf", ".nan", "~", "null", "Null", "yes", "No", "true", "on", "2026-11-01", "12:30:45", "=", "<<",
		"-", "- a", "a: b", "a:", "#a", "a #b", "*a", "&a", "!a", "%a", "@a", "`a", "|", ">", "?", "? a", "]a", "{a", "}a", "a, b", `"a`, `a"b`, "'a", "a'b",
		`a\nb`, "prod-*", "*", "ü", "<a", "+1", "-1", "1.", "1:2",
	} {
		w := newWaiver{
			ID: "x", Accounts: []string{text}, Tags: map[string][]string{"env": {text}}, Rules: []string{"grant/excess"}, Policies: []string{text, "P"},
			Added: day.Format(time.DateOnly), Expires: day.AddDate(0, 0, 1).Format(time.DateOnly), Owner: text, Reason: text, Ticket: text,
		}
		file, err := withWaiver([]byte("version: 1\nwaivers: []\n"), &w)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := baseline.LoadWaivers("w.yaml", file, baseline.DefaultWaiverAge)
		if err != nil {
			t.Errorf("%q: %v\n%s", text, err, file)
			continue
		}
		is := got[0]
		if said, want := fmt.Sprint(is.Selector.Accounts, is.Selector.Tags, is.Policies, len(is.Policies), is.Owner, is.Reason, is.Ticket),
			fmt.Sprint(w.Accounts, w.Tags, w.Policies, 2, text, text, text); said != want {
			t.Errorf("%q is written as %s, want %s", text, said, want)
		}
	}
}

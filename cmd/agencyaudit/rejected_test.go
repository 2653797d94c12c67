//go:build unix

package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An answer that says "there is no such thing" is believed: accounts without enterprise projects, without identity policies,
// or without the agency are read to the end, and no answer counts as one that could not be believed.
func TestNoIsAnAnswer(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	kept := []string{"management", "planes-missing", "coc-not-wanted", "look-alikes-only"}
	head, list, _ := strings.Cut(cloud.config, "  static:\n")
	config := head + "  static:\n"
	for _, entry := range regexp.MustCompile(`(?m)^    - name: .*\n(?:      .*\n)*`).FindAllString(list, -1) {
		name, _, _ := strings.Cut(strings.TrimPrefix(entry, "    - name: "), "\n")
		if slices.Contains(kept, name) {
			config += entry
		}
	}
	cloud.config = config
	d := cloud.serve(t, cloud.looped())
	all := d.shows(t, "everything was read", func(s series) bool { return s.runs("complete") >= 2 })
	if all.one("accounts", `state="compliant"`) != 2 || all.one("accounts", `state="not_enabled"`) != 2 {
		t.Errorf("states: %v", all.where("accounts"))
	}
	rejected := all.where("api_responses_rejected_total")
	if len(rejected) == 0 || rejected.count(0) != len(rejected) {
		t.Errorf("rejected: %v", rejected)
	}
	cloud.untouched(t)
}

package simcloud_test

import (
	"slices"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// A failure that did not happen is told from one that did.
func TestFailedCountsWhatBroke(t *testing.T) {
	failures := []simcloud.Failure{
		{Account: "beta", Style: "html_502"},
		{Account: "alpha", Operation: "ListAgencies", Style: "empty_200", Skip: 1, Times: 2},
		{Operation: "ListAgencies", Style: "html_502", Skip: 1},
	}
	c := newCloud(t, func(o *simcloud.Organization) { o.Settings.Failures = failures })
	for range 5 {
		get(adminKey, agencies+"?domain_id="+alphaID).send(t, c)
	}
	// The third failure fits what the second lets pass: the first request, which it skips, and the last two.
	if got := c.Failed(); !slices.Equal(got, []int{0, 2, 2}) {
		t.Errorf("the failures broke %v requests, want 0, 2, 2", got)
	}
	if err := c.SetSettings(simcloud.Settings{Failures: failures[:1]}); err != nil {
		t.Fatal(err)
	}
	if got := c.Failed(); !slices.Equal(got, []int{0}) {
		t.Errorf("after new settings: %v", got)
	}
}

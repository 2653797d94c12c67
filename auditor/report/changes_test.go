package report_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

func changesOf(t *testing.T, before, after *auditor.Run, o report.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Changes(&b, before, after, "something\x1b happened", o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestChanges(t *testing.T) {
	admin := grant("Tenant Administrator", rules.Global)
	down := &rules.Unknown{Reason: rules.ReasonTimeout, Detail: "no answer within 20s"}
	before := []fixture{
		{name: "becomes-drifted", grants: exact()},
		{name: "is-repaired", grants: exact(admin)},
		{name: "worse", grants: exact(admin)},
		{name: "becomes-unknown", grants: exact(admin)},
		{name: "becomes-known", unknown: down},
		{name: "unknown-for-another-reason", unknown: down},
		{name: "stays", grants: exact(admin)},
		{name: "leaves", grants: exact()},
		{name: "is-suspended", grants: exact(admin)},
	}
	after := []fixture{
		{name: "becomes-drifted", grants: without(exact(), cocSelf)},
		{name: "is-repaired", grants: exact()},
		{name: "worse", grants: without(exact(admin), dcsUser)},
		{name: "becomes-unknown", unknown: down},
		{name: "becomes-known", grants: exact()},
		{name: "unknown-for-another-reason", unknown: &rules.Unknown{Reason: rules.ReasonDenied, Detail: "403"}},
		{name: "stays", grants: exact(admin)},
		{name: "comes", grants: exact(admin)},
		{name: "is-resumed", grants: exact()},
	}
	first, second := runOf(t, cloud{fixtures: before}), runOf(t, cloud{fixtures: after})
	alone := func(run, in *auditor.Run, name string) {
		i := slices.IndexFunc(in.Sweeps, func(s auditor.Sweep) bool { return s.Report.Account.Name == name })
		run.Excluded = []auditor.Exclusion{{Account: in.Sweeps[i].Report.Account, Reason: auditor.ExcludedSuspended}}
	}
	alone(first, second, "is-resumed")
	alone(second, first, "is-suspended")
	out := changesOf(t, first, second, report.Options{})
	golden(t, "changes.txt", []byte(out))
	if strings.Contains(out, "stays") {
		t.Error("an account that did not change is shown")
	}
	// What cannot be read any more is not said to be gone.
	if i := strings.Index(out, "becomes-unknown"); strings.Contains(strings.SplitN(out[i:], "\n", 2)[0], "- excess") {
		t.Errorf("a finding of an unknown account is said to be gone:\n%s", out)
	}
	if got := changesOf(t, first, first, report.Options{}); strings.Count(got, "\n") != 2 {
		t.Errorf("without a change it says\n%s", got)
	}
	long := slices.Clone(after)
	for i := range long {
		long[i].name = strings.Repeat(long[i].name, 10)
	}
	for _, width := range []int{60, 100, 140} {
		for line := range strings.Lines(changesOf(t, first, runOf(t, cloud{fixtures: long}), report.Options{Width: width})) {
			if w := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("a line of %d columns: %s", w, line)
			}
		}
	}
}

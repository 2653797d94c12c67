package report_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

func liveOf(t *testing.T, run *auditor.Run, lines, width int) string {
	t.Helper()
	var b bytes.Buffer
	everyone := func(rules.Account) bool { return true }
	if err := report.Live(&b, run, everyone, lines, report.Options{Width: width, Verbose: true}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// However little room there is, the counts stay, what is amiss goes last, and what is left out is counted.
func TestALivePictureFits(t *testing.T) {
	run := runOf(t, cloud{fixtures: slices.DeleteFunc(layouts(), func(f fixture) bool { return strings.Contains(f.name, "very") })})
	whole := liveOf(t, run, 0, 80)
	if strings.Contains(whole, " more") || strings.Contains(whole, " info ") || strings.Contains(whole, "see below") {
		t.Errorf("without a limit:\n%s", whole)
	}
	if words := strings.Join(strings.Fields(whole), " "); !strings.Contains(words, "as the baseline asks; 1 finding of severity info") ||
		!strings.Contains(words, "denied: the key may not read this") {
		t.Errorf("it does not say how the accounts are:\n%s", whole)
	}
	counts := fmt.Sprintf("%d unknown   %d drifted", run.States[rules.StateUnknown], run.States[rules.StateDrifted])
	amiss := run.States[rules.StateUnknown] + run.States[rules.StateDrifted]
	for lines := strings.Count(whole, "\n"); lines >= 5; lines-- {
		out := liveOf(t, run, lines, 80)
		if n := strings.Count(out, "\n"); n > lines {
			t.Fatalf("%d lines instead of %d:\n%s", n, lines, out)
		}
		for line := range strings.Lines(out) {
			if w := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); w > 80 {
				t.Errorf("a line of %d columns: %s", w, line)
			}
		}
		if !strings.Contains(out, counts) {
			t.Fatalf("in %d lines the counts are gone:\n%s", lines, out)
		}
		shown := 0
		for i := range run.Sweeps {
			if strings.Contains(out, "\n"+run.Sweeps[i].Report.Account.Name+" ") {
				shown++
			}
		}
		left := len(run.Sweeps) - shown
		if strings.Contains(out, fmt.Sprintf("… and %d more\n", left)) != (left > 0) {
			t.Errorf("in %d lines %d accounts are left out, and it does not say so:\n%s", lines, left, out)
		}
		if strings.Contains(out, " compliant  ") && shown < amiss {
			t.Errorf("in %d lines a compliant account takes the place of one that is not:\n%s", lines, out)
		}
	}
}

func TestAParagraphIsWrapped(t *testing.T) {
	var b bytes.Buffer
	if err := report.Paragraph(&b, "lead  ", strings.Repeat("word ", 20)+"end", report.Options{Width: 60}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "lead  word") || !strings.HasPrefix(lines[1], "      word") || len(lines[0]) > 60 {
		t.Errorf("%q", lines)
	}
}

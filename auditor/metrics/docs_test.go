package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

var (
	tableRow = regexp.MustCompile("(?m)^\\| `(agencyaudit_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|")
	word     = regexp.MustCompile("`([a-z_]+)`")
)

// TestMetricsPage holds docs/metrics.md against a scrape in which every metric says something: name, type and labels, both
// ways, and the closed lists of values.
func TestMetricsPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	accounts, _, _ := strings.Cut(string(page), "\n## Fleet")
	documented := map[string]string{}
	for _, m := range tableRow.FindAllStringSubmatch(string(page), -1) {
		var labels []string
		if strings.Contains(accounts, m[0]) {
			labels = []string{"account", "account_id", "agency"}
		}
		for _, w := range word.FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, w[1])
		}
		slices.Sort(labels)
		if _, twice := documented[m[1]]; twice {
			t.Errorf("%s is documented twice", m[1])
		}
		documented[m[1]] = fmt.Sprint(m[2], labels)
	}
	m, _ := open(t)
	full(t, m)
	_, text := scrape(t, m)
	exported := map[string]string{}
	for name, f := range parse(t, text) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		var labels []string
		for _, l := range f.Metric[0].Label {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		exported[name] = fmt.Sprint(strings.ToLower(f.GetType().String()), labels)
	}
	for name, want := range exported {
		if got := documented[name]; got != want {
			t.Errorf("%s is %s, and documented as %q", name, want, got)
		}
	}
	for name := range documented {
		if exported[name] == "" {
			t.Errorf("%s is documented and not exported", name)
		}
	}
	_, values, _ := strings.Cut(string(page), "\n## Values of labels")
	list := func(row string, want []string) {
		t.Helper()
		for line := range strings.SplitSeq(values, "\n") {
			if rest, ok := strings.CutPrefix(line, "| "+row+" | "); ok {
				for _, w := range want {
					if !strings.Contains(rest, "`"+w+"`") {
						t.Errorf("%s: the page does not list %s", row, w)
					}
				}
				return
			}
		}
		t.Errorf("the page has no line for %s", row)
	}
	var states, reasons, scopes, risks []string
	for _, s := range rules.States() {
		states = append(states, string(s))
	}
	for _, r := range rules.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, s := range rules.Planes() {
		scopes = append(scopes, string(s))
	}
	for _, r := range riskOrder {
		risks = append(risks, string(r))
	}
	list("`state`", states)
	list("`reason` of `account_unknown`", reasons)
	list("`scope`", scopes)
	list("`risk`", risks)
	list("`kind`", []string{"grant", "wider", "redundant", "impostor"})
	list("`result` of `runs_total`", results)
	list("`reason` of `api_responses_rejected_total`", rejections)
	list("`where`", places)
}

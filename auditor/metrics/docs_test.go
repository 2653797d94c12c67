package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

var (
	tableRow = regexp.MustCompile("(?m)^\\| `(agencyaudit_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|")
	valueRow = regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*)\\|")
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
	exported, shown := map[string]string{}, map[string][]string{}
	for name, f := range parse(t, text) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		for _, series := range f.Metric {
			var labels []string
			for _, l := range series.Label {
				labels = append(labels, l.GetName())
				shown[l.GetName()] = append(shown[l.GetName()], l.GetValue())
			}
			slices.Sort(labels)
			is := fmt.Sprint(strings.ToLower(f.GetType().String()), labels)
			if was, seen := exported[name]; seen && was != is {
				t.Errorf("%s is %s, and in another series %s", name, is, was)
			}
			exported[name] = is
		}
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
	var excluded []string
	for _, r := range auditor.ExclusionReasons() {
		excluded = append(excluded, string(r))
	}
	want := map[string][]string{
		"`reason` of `accounts_excluded`": excluded,
		"`state`":                         states, "`reason` of `account_unknown`": reasons, "`scope`": scopes, "`risk`": risks,
		"`kind`": {"grant", "wider", "redundant", "impostor"}, "`where`": places, "`mode`": repairModes, "`action`": actionNames(),
		"`result` of `remediation_steps_total`": repairResults, "`reason` of `remediation_blocked_total`": holdNames(),
		"`way`": ways, "`identity`": identities,
		"`result` of `runs_total`": results, "`result` of `credential_refreshes_total`": refreshResults,
		"`reason` of `api_responses_rejected_total`": rejections,
		// Of those in openLists the page lists the values that are words of this program.
		"`policy`": {string(rules.Custom), string(rules.Unresolved)}, "`policy_id`": nil, "`code`": {noAnswer, other}, "`service`, `operation`": {other},
	}
	openLists := []string{"policy", "policy_id", "code", "service"}
	_, values, _ := strings.Cut(string(page), "\n## Values of labels")
	for _, row := range valueRow.FindAllStringSubmatch(values, -1) {
		listed, known := want[row[1]]
		if delete(want, row[1]); !known {
			t.Errorf("the page lists values of %s, which is no label or is there twice", row[1])
			continue
		}
		var got []string
		for _, w := range word.FindAllStringSubmatch(row[2], -1) {
			got = append(got, w[1])
		}
		for _, w := range listed {
			if !slices.Contains(got, w) {
				t.Errorf("%s: the page does not list %s", row[1], w)
			}
		}
		for _, w := range got {
			if !slices.Contains(listed, w) {
				t.Errorf("%s: the page lists %s, which is no value of it", row[1], w)
			}
		}
		label := word.FindStringSubmatch(row[1])[1]
		for _, v := range shown[label] {
			// Two labels have a list for each of two metrics.
			if !slices.Contains(openLists, label) && !strings.Contains(row[1], " of ") && !slices.Contains(listed, v) {
				t.Errorf("%s: a scrape shows %s, which the page does not list", row[1], v)
			}
		}
	}
	for row := range want {
		t.Errorf("the page has no line for %s", row)
	}
}

package main_test

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

// What is watched stands in several places: the metrics in docs/metrics.md (which auditor/metrics holds against the code), rules and
// panels that look at them, runbooks. These tests hold each against the others. promtool, a real Prometheus and a real Alertmanager say what the
// rules do: .ci/rules and .ci/e2e.
const (
	alertsFile    = root + "/deploy/prometheus/alerts.yaml"
	recordingFile = root + "/deploy/prometheus/recording.yaml"
	routesFile    = root + "/deploy/alertmanager/alertmanager.example.yaml"
	exemptFile    = root + "/deploy/exempt.yaml"
	rulesPage     = root + "/deploy/prometheus/README.md"
	runbooks      = root + "/docs/runbooks"
	dashboards    = root + "/deploy/grafana/dashboards"
	runbookURL    = "https://github.com/agencyaudit/agencyaudit/blob/main/docs/runbooks/"
)

var (
	metricRow     = regexp.MustCompile("(?m)^\\| `(agencyaudit_[a-z_]+)` \\| ([a-z]+) \\|")
	seriesName    = regexp.MustCompile(`\bagencyaudit[_:][a-z0-9_:]+`)
	selector      = regexp.MustCompile(`(agencyaudit_[a-z_]+)\{([^}]*)\}`)
	labelMatcher  = regexp.MustCompile(`([a-z_]+)(=~|!~|!=|=)"([^"]*)"`)
	absentMatcher = regexp.MustCompile(`\babsent(?:_over_time)?\s*\(([^)]*)\)`)
	onLabels      = regexp.MustCompile(`\bon \(([^)]*)\)`)
	byLabels      = regexp.MustCompile(`\bby \(([^)]*)\)`)
	alertName     = regexp.MustCompile(`\bAgencyAudit[A-Za-z]+(\.\+)?`)
	codeWord      = regexp.MustCompile("`([a-z_]+)`")
	valuesRow     = regexp.MustCompile("(?m)^\\| (`[^|]*) \\| ([^|]*)\\|")
)

// rule is one rule of Prometheus.
type rule struct {
	Record        string            `yaml:"record"`
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for"`
	KeepFiringFor string            `yaml:"keep_firing_for"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

func rulesOf(t *testing.T, file string) []rule {
	t.Helper()
	var content struct {
		Groups []struct {
			Name     string `yaml:"name"`
			Interval string `yaml:"interval"`
			Rules    []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(read(t, file)), &content, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var all []rule
	for _, g := range content.Groups {
		if g.Interval != "1m" {
			t.Errorf("%s: the group %s has the interval %q: counts and offsets are made for 1m", file, g.Name, g.Interval)
		}
		all = append(all, g.Rules...)
	}
	return all
}

func watchRules(t *testing.T) []rule {
	t.Helper()
	return append(rulesOf(t, recordingFile), rulesOf(t, alertsFile)...)
}

// alertsByName are the rules of each alert.
func alertsByName(t *testing.T) map[string][]rule {
	t.Helper()
	all := map[string][]rule{}
	for _, r := range rulesOf(t, alertsFile) {
		if r.Alert != "" {
			all[r.Alert] = append(all[r.Alert], r)
		}
	}
	return all
}

// panelQueries are the queries of all panels and variables, and all other texts of the dashboards.
func panelQueries(t *testing.T) (queries, texts []string) {
	t.Helper()
	found, err := filepath.Glob(dashboards + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, member := range v {
				walk(k, member)
			}
		case []any:
			for _, element := range v {
				walk(key, element)
			}
		case string:
			if key == "expr" || key == "query" {
				queries = append(queries, v)
			} else {
				texts = append(texts, v)
			}
		}
	}
	for _, file := range found {
		var content any
		if err := json.Unmarshal([]byte(read(t, file)), &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		walk("", content)
	}
	return queries, texts
}

// TestDocsWatchMetrics holds the metrics against what looks at them, both ways: each is in a rule, a panel or the list of those that
// are in none, with the reason; and no rule, panel or exemption names one that does not exist.
func TestDocsWatchMetrics(t *testing.T) {
	exists := map[string]bool{}
	for _, m := range metricRow.FindAllStringSubmatch(read(t, root+"/docs/metrics.md"), -1) {
		exists[m[1]] = true
		if m[2] == "histogram" {
			exists[m[1]+"_bucket"], exists[m[1]+"_sum"], exists[m[1]+"_count"] = true, true, true
		}
	}
	if len(exists) < 50 {
		t.Fatalf("docs/metrics.md has only %d metrics", len(exists))
	}
	base := func(name string) string {
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if short, has := strings.CutSuffix(name, suffix); has && exists[short] {
				return short
			}
		}
		return name
	}
	all := watchRules(t)
	for i := range all {
		if all[i].Record != "" {
			if exists[all[i].Record] {
				t.Errorf("%s is recorded twice", all[i].Record)
			}
			exists[all[i].Record] = true
		}
	}
	used := map[string]bool{}
	look := func(where, text string) {
		for _, name := range seriesName.FindAllString(text, -1) {
			begins := func(known string) bool { return strings.HasSuffix(name, "_") && strings.HasPrefix(known, name) } // of a pattern
			if !exists[name] && !slices.ContainsFunc(slices.Collect(maps.Keys(exists)), begins) {
				t.Errorf("%s looks at %s, which does not exist", where, name)
			}
		}
	}
	for i := range all {
		r := &all[i]
		for _, name := range seriesName.FindAllString(r.Expr, -1) {
			// What a rule records does not count as looked at because the rule itself refers to it.
			if name != r.Record {
				look(r.Alert+r.Record, name)
				used[base(name)] = true
			}
		}
		for _, text := range r.Annotations {
			look(r.Alert, text)
		}
	}
	queries, texts := panelQueries(t)
	for _, text := range append(queries, texts...) {
		look("a dashboard", text)
	}
	// Who only names one in a sentence does not look at it.
	for _, text := range queries {
		for _, name := range seriesName.FindAllString(text, -1) {
			used[base(name)] = true
		}
	}
	var exempt struct {
		Metrics []struct {
			Metric string `yaml:"metric"`
			Reason string `yaml:"reason"`
		} `yaml:"metrics"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(read(t, exemptFile)), &exempt, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", exemptFile, err)
	}
	excused := map[string]bool{}
	for _, e := range exempt.Metrics {
		switch {
		case !exists[e.Metric]:
			t.Errorf("%s exempts %s, which does not exist", exemptFile, e.Metric)
		case used[e.Metric]:
			t.Errorf("%s exempts %s, which is in a rule or a panel", exemptFile, e.Metric)
		case excused[e.Metric]:
			t.Errorf("%s exempts %s twice", exemptFile, e.Metric)
		case len(strings.Fields(e.Reason)) < 4:
			t.Errorf("%s exempts %s without a reason", exemptFile, e.Metric)
		}
		excused[e.Metric] = true
	}
	for _, name := range slices.Sorted(maps.Keys(exists)) {
		if base(name) == name && !used[name] && !excused[name] {
			t.Errorf("%s is in no rule, no panel and not in %s", name, exemptFile)
		}
	}
}

// TestDocsWatchRunbooks: each alert has its runbook and each runbook its alert, and the index has a line for each.
func TestDocsWatchRunbooks(t *testing.T) {
	alerts := alertsByName(t)
	entries, err := os.ReadDir(runbooks)
	if err != nil {
		t.Fatal(err)
	}
	index := read(t, runbooks+"/README.md")
	found := map[string]bool{}
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		name := strings.TrimSuffix(e.Name(), ".md")
		if found[name] = true; alerts[name] == nil {
			t.Errorf("%s/%s is about no alert", runbooks, e.Name())
		}
		if !strings.HasPrefix(read(t, filepath.Join(runbooks, e.Name())), "# "+name+"\n") {
			t.Errorf("%s/%s does not begin with the name of the alert", runbooks, e.Name())
		}
	}
	for name := range alerts {
		if !found[name] {
			t.Errorf("%s has no runbook", name)
		}
		if !strings.Contains(index, "("+name+".md)") {
			t.Errorf("%s/README.md has no link to that of %s", runbooks, name)
		}
	}
}

// ofTemplates is what of an annotation is replaced when it is told.
var ofTemplates = regexp.MustCompile(`{{[^}]*}}`)

// TestDocsWatchAlerts: every alert has the labels and annotations by which it is routed, understood and followed.
func TestDocsWatchAlerts(t *testing.T) {
	severities := []string{"critical", "warning", "info"}
	categories := []string{"permissions", "agency", "coverage", "loop", "cloud", "program", "repair", "slo"}
	for name, all := range alertsByName(t) {
		for i := range all {
			r := &all[i]
			if !slices.Contains(severities, r.Labels["severity"]) || !slices.Contains(categories, r.Labels["category"]) {
				t.Errorf("%s has the labels %v", name, r.Labels)
			}
			if r.Labels["category"] != all[0].Labels["category"] {
				t.Errorf("%s has two categories", name)
			}
			// What is about no auditor in particular has no instance, and http:/// leads nowhere.
			annotations := []string{"description", "page_url", "runbook_url", "summary"}
			nowhere := slices.Contains([]string{"lost", "fewer", "none"}, r.Labels["sign"]) && name == "AgencyAuditAbsent"
			if nowhere {
				annotations = []string{"description", "runbook_url", "summary"}
			}
			if got := slices.Sorted(maps.Keys(r.Annotations)); !slices.Equal(got, annotations) {
				t.Errorf("%s has the annotations %v", name, got)
			}
			if want := runbookURL + name + ".md"; r.Annotations["runbook_url"] != want {
				t.Errorf("%s has the runbook %s, want %s", name, r.Annotations["runbook_url"], want)
			}
			page, about := "http://{{ $labels.instance }}/", "{{ $labels."
			if strings.Contains(r.Annotations["summary"], "$labels.account }}") {
				page, about = page+`accounts/{{ $labels.account_id }}/{{ $labels.agency | urlquery | reReplaceAll "[+]" "%20" }}`, "{{ $labels.account }}: "
			}
			if !nowhere && r.Annotations["page_url"] != page {
				t.Errorf("%s leads to %s, want %s", name, r.Annotations["page_url"], page)
			}
			if s := r.Annotations["summary"]; strings.Contains(s, "\n") || len(ofTemplates.ReplaceAllString(s, "")) > 100 || !strings.Contains(s, about) && r.Labels["sign"] != "none" {
				t.Errorf("%s has the summary %q: one line that begins with what it is about", name, s)
			}
			if d := r.Annotations["description"]; len(d) < 60 || !strings.Contains(d, "First ") {
				t.Errorf("%s has the description %q: what follows from it, and what to do first", name, d)
			}
			// What is about a policy names it and its scope, so that a message can be understood without the page.
			if strings.HasPrefix(r.Expr, "agencyaudit:policy_missing:open") || strings.HasPrefix(r.Expr, "agencyaudit:policy_excess:open") {
				for _, label := range []string{"agency", "policy", "scope"} {
					if !strings.Contains(r.Annotations["summary"], "{{ $labels."+label+" }}") {
						t.Errorf("%s: its summary does not say the %s", name, label)
					}
				}
			}
		}
	}
}

// TestDocsWatchExpressions holds the expressions against what makes alerts lie.
func TestDocsWatchExpressions(t *testing.T) {
	values := map[string][]string{} // the closed lists of docs/metrics.md, by "`label` of `metric`" and "`label`"
	_, table, _ := strings.Cut(read(t, root+"/docs/metrics.md"), "\n## Values of labels")
	for _, row := range valuesRow.FindAllStringSubmatch(table, -1) {
		for _, w := range codeWord.FindAllStringSubmatch(row[2], -1) {
			values[row[1]] = append(values[row[1]], w[1])
		}
	}
	matched := 0
	all := watchRules(t)
	for i := range all {
		r := &all[i]
		name := r.Alert + r.Record
		for _, m := range absentMatcher.FindAllStringSubmatch(r.Expr, -1) {
			if strings.Contains(m[1], "{") {
				t.Errorf("%s asks for the absence of a labelled series, %s: it is absent for other reasons, too", name, m[0])
			}
		}
		// Of several auditors none may speak for another, and what is summed up has to lead to its page.
		for _, m := range slices.Concat(onLabels.FindAllStringSubmatch(r.Expr, -1), byLabels.FindAllStringSubmatch(r.Expr, -1)) {
			if m[1] != "" && m[1] != "job" && !strings.HasPrefix(m[1], "job, instance") {
				t.Errorf("%s matches or sums up by (%s), which mixes auditors", name, m[1])
			}
		}
		for _, s := range selector.FindAllStringSubmatch(r.Expr, -1) {
			for _, m := range labelMatcher.FindAllStringSubmatch(s[2], -1) {
				label, value := m[1], m[3]
				if label == "rule" {
					pattern := regexp.MustCompile("^(?:" + value + ")$")
					if !slices.ContainsFunc(rules.Rules(), func(known rules.Rule) bool { return pattern.MatchString(known.ID) }) {
						t.Errorf("%s asks for the rule %q, which there is not", name, value)
					}
					continue
				}
				known, closed := values["`"+label+"` of `"+strings.TrimPrefix(s[1], "agencyaudit_")+"`"]
				if !closed {
					if known, closed = values["`"+label+"`"]; !closed || label == "policy" {
						continue
					}
				}
				matched++
				for word := range strings.SplitSeq(value, "|") {
					if !slices.Contains(known, word) {
						t.Errorf("%s asks for %s{%s%s%q}, and docs/metrics.md has no such value", name, s[1], label, m[2], value)
					}
				}
			}
		}
	}
	if matched < 15 {
		t.Errorf("only %d matchers of closed lists were found", matched)
	}
}

// TestDocsWatchBaseline: each policy that the bundled baseline requires has an alert that says what it breaks, in the baseline's words.
func TestDocsWatchBaseline(t *testing.T) {
	b, ok := baseline.Bundled("coc")
	if !ok {
		t.Fatal("no baseline coc is bundled")
	}
	for _, req := range b.Required {
		var modules []string
		for _, s := range req.Scenarios {
			if s.Module != "" {
				modules = append(modules, s.Module)
			}
		}
		want := `agencyaudit:policy_missing:open{agency="` + b.Agency + `",policy="` + req.Policy + `"}`
		found := false
		for _, r := range alertsByName(t)["AgencyAuditPolicyMissing"] {
			found = found || r.Expr == want && r.Labels["breaks"] == strings.Join(modules, ", ")
		}
		if !found {
			t.Errorf("no alert says that without %s %v breaks", req.Policy, modules)
		}
	}
}

// TestDocsWatchTests: promtool sees each alert fire and not fire, and the table of the page has a line for each of its rules.
func TestDocsWatchTests(t *testing.T) {
	files, err := filepath.Glob(root + "/deploy/prometheus/tests/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		var content struct {
			Tests []struct {
				Name   string `yaml:"name"`
				Checks []struct {
					Expr    string `yaml:"expr"`
					Samples []struct {
						Value float64 `yaml:"value"`
					} `yaml:"exp_samples"`
				} `yaml:"promql_expr_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal([]byte(read(t, file)), &content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, test := range content.Tests {
			for _, c := range test.Checks {
				for _, name := range alertName.FindAllString(c.Expr, -1) {
					if len(c.Samples) == 0 || c.Samples[0].Value == 0 {
						silent[name] = true
					} else {
						fires[name] = true
					}
				}
			}
		}
	}
	page := read(t, rulesPage)
	alerts := alertsByName(t)
	for name, all := range alerts {
		if !fires[name] || !silent[name] {
			t.Errorf("%s: seen to fire %v, seen not to fire %v", name, fires[name], silent[name])
		}
		for i := range all {
			wait := all[i].For
			if wait == "" {
				wait = "at once"
			}
			l := all[i].Labels
			row := "| [" + name + "](../../docs/runbooks/" + name + ".md) | " + l["severity"] + " | " + wait + " | " + l["category"] + " | "
			if !strings.Contains(page, row) {
				t.Errorf("%s has no line %s", rulesPage, row)
			}
		}
	}
	// The routes, and the page, name no alert that does not exist; a name may stand for several by its beginning.
	for _, file := range []string{routesFile, rulesPage} {
		for _, name := range alertName.FindAllString(read(t, file), -1) {
			begin, several := strings.CutSuffix(name, ".+")
			if alerts[name] == nil && (!several || !slices.ContainsFunc(slices.Collect(maps.Keys(alerts)), func(a string) bool {
				return strings.HasPrefix(a, begin)
			})) {
				t.Errorf("%s names the alert %s, which there is not", file, name)
			}
		}
	}
}

// route is one of Alertmanager's, with what it does not say itself taken from the one above it.
type route struct {
	Receiver       string   `yaml:"receiver"`
	Matchers       []string `yaml:"matchers"`
	GroupBy        []string `yaml:"group_by"`
	GroupWait      string   `yaml:"group_wait"`
	GroupInterval  string   `yaml:"group_interval"`
	RepeatInterval string   `yaml:"repeat_interval"`
	Routes         []route  `yaml:"routes"`
}

// taken is the route that alerts of a category and a severity take.
func (r route) taken(category, severity string) route {
	says := func(matcher, label, value string) bool {
		pattern, ok := strings.CutPrefix(matcher, label)
		pattern = strings.Trim(pattern, `=~"`)
		return !ok || regexp.MustCompile("^(?:"+pattern+")$").MatchString(value)
	}
	for _, inner := range r.Routes {
		if slices.ContainsFunc(inner.Matchers, func(m string) bool {
			return !says(m, "category", category) || !says(m, "severity", severity)
		}) {
			continue
		}
		inner.Receiver, inner.GroupWait = cmp.Or(inner.Receiver, r.Receiver), cmp.Or(inner.GroupWait, r.GroupWait)
		inner.GroupInterval = cmp.Or(inner.GroupInterval, r.GroupInterval)
		inner.RepeatInterval = cmp.Or(inner.RepeatInterval, r.RepeatInterval)
		if inner.GroupBy == nil {
			inner.GroupBy = r.GroupBy
		}
		return inner.taken(category, severity)
	}
	return r
}

// TestDocsWatchMessages: the page says of every alert whom the example tells of it, in which message, and how long that waits. What a
// message brings together is .ci/rules's business.
func TestDocsWatchMessages(t *testing.T) {
	var content struct {
		Route route `yaml:"route"`
	}
	if err := yaml.Unmarshal([]byte(read(t, routesFile)), &content); err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(read(t, rulesPage), "\n## Messages\n")
	table, _, _ = strings.Cut(table, "\n## ")
	said := map[[2]string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) != 7 || cells[0] == "category" || cells[0] == "---" {
			continue
		}
		for category := range strings.SplitSeq(cells[0], ", ") {
			for severity := range strings.SplitSeq(cells[1], ", ") {
				said[[2]string{category, severity}] = strings.ReplaceAll(strings.Join(cells[2:], " | "), "`", "")
			}
		}
	}
	if len(said) < 20 {
		t.Fatalf("the page says of %d kinds of alerts only what becomes of them", len(said))
	}
	for kind, says := range said {
		r := content.Route.taken(kind[0], kind[1])
		is := strings.Join([]string{r.Receiver, strings.Join(r.GroupBy, ", "), r.GroupWait, r.GroupInterval, r.RepeatInterval}, " | ")
		if is != says {
			t.Errorf("%v: the example has %s, the page says %s", kind, is, says)
		}
	}
	for name, all := range alertsByName(t) {
		for i := range all {
			if kind := [2]string{all[i].Labels["category"], all[i].Labels["severity"]}; said[kind] == "" {
				t.Errorf("%s: the page does not say what becomes of %v", name, kind)
			}
		}
	}
}

// escapedBar is a query in a cell of a table in which a bar had to be escaped: what is copied from the page cannot be asked.
var escapedBar = regexp.MustCompile("(?m)^\\|.*`[^`\n]*agencyaudit[_:][^`\n]*\\\\\\|[^`\n]*`.*$")

// TestDocsWatchQueriesPaste: no page has a query that reads other than Prometheus takes it.
func TestDocsWatchQueriesPaste(t *testing.T) {
	for _, pattern := range []string{"/*.md", "/docs/*.md", "/docs/*/*.md", "/deploy/*.md", "/deploy/*/*.md"} {
		files, err := filepath.Glob(root + pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no pages %s: %v", pattern, err)
		}
		for _, file := range files {
			for _, row := range escapedBar.FindAllString(read(t, file), -1) {
				t.Errorf("%s has a query with an escaped bar: %s", file, row)
			}
		}
	}
}

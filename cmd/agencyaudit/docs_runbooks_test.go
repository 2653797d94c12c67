package main

import (
	"fmt"
	"io"
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

const runbooksDir = "../../docs/runbooks/"

// firstScreen is how many lines somebody sees without scrolling: by then it has been said what it means, what breaks, and what to do first.
const firstScreen = 36

var (
	runbookHeadings = []string{"What it means", "What breaks", "Do first", "Look", "Fix on the consoles", "Fix by command", "Accept", "Over when"}
	blockPattern    = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	// A metric in a query, and the matchers behind it.
	selectorPattern = regexp.MustCompile(`\b((?:agencyaudit|process)[_:][\w:]+)(?:\{([^}]*)\})?`)
	matcherPattern  = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"([^"]*)"`)
	joinPattern     = regexp.MustCompile(`\b(?:on|ignoring) \(([^)]*)\)`)
	valuePattern    = regexp.MustCompile(`^[\w/]+$`)
	// A paragraph about the log, and what it quotes of that: a message begins in lower case, what is on a console does not.
	logPattern   = regexp.MustCompile(`\blog\b`)
	quotePattern = regexp.MustCompile(`\*([a-z][^*]+)\*`)
	// A row of a table of metrics: the name, the labels, and what it says.
	metricRowPattern = regexp.MustCompile("(?m)^\\| `(agencyaudit_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
)

// runbooks are the pages that are about one alert, by its name.
func runbooks(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(runbooksDir + "*.md")
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".md"); name != "README" {
			pages[name] = readText(t, file)
		}
	}
	if len(pages) < 20 {
		t.Fatalf("only %d runbooks were found", len(pages))
	}
	return pages
}

func readText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDocsRunbooks holds what somebody who was woken relies on: every page has the same headings in the same order, what to do first stands on
// its first screen, every command is one that the program takes, every query asks for what there is, no block that is pasted as a whole lifts
// a freeze behind another command, and the index has each page with the severities of its alert.
func TestDocsRunbooks(t *testing.T) {
	index, severities := readText(t, runbooksDir+"README.md"), alertSeverities(t)
	pages := runbooks(t)
	for name, page := range pages {
		var headings []string
		for line := range strings.Lines(blockPattern.ReplaceAllString(page, "")) {
			if h, ok := strings.CutPrefix(strings.TrimSpace(line), "#"); ok {
				headings = append(headings, strings.TrimSpace(strings.TrimLeft(h, "#")))
			}
		}
		if want := append([]string{name}, runbookHeadings...); !slices.Equal(headings, want) {
			t.Errorf("%s has the headings %q, want %q", name, headings, want)
		}
		if first, _, _ := strings.Cut(page, "\n## Look\n"); strings.Count(first, "\n") > firstScreen {
			t.Errorf("%s says what to do first only after %d lines: a screen has %d", name, strings.Count(first, "\n"), firstScreen)
		}
		if row := fmt.Sprintf("| [%s](%[1]s.md) | %s |", name, strings.Join(severities[name], ", ")); !strings.Contains(index, row) {
			t.Errorf("the index has no line that begins with %s", row)
		}
	}
	pages["README"], pages["consoles"] = index, readText(t, "../../docs/consoles.md")
	commands, queries := 0, 0
	known := metricsOfQueries(t)
	for name, page := range pages {
		for _, m := range blockPattern.FindAllStringSubmatch(page, -1) {
			if before, _, lifts := strings.Cut(m[2], "agencyaudit unfreeze --reason"); lifts && strings.TrimSpace(before) != "" {
				t.Errorf("%s: a block lifts a freeze behind another command", name)
			}
			for line := range strings.Lines(m[2]) {
				line = strings.TrimSpace(line)
				switch m[1] {
				case "sh":
					if !strings.HasPrefix(line, "agencyaudit ") {
						continue // of the system
					}
					commands++
					if err := taken(line); err != nil {
						t.Errorf("%s: %s: %v", name, line, err)
					}
				case "promql":
					queries++
					for _, fault := range known.faults(line) {
						t.Errorf("%s: %s: %s", name, line, fault)
					}
				default:
					t.Errorf("%s has a block of %q", name, m[1])
				}
			}
		}
	}
	if commands < 60 || queries < 60 {
		t.Errorf("only %d commands and %d queries were found", commands, queries)
	}
}

// taken says whether the program takes a command line, short of doing what it says.
func taken(line string) error {
	line, _, _ = strings.Cut(line, " #")
	line, _, _ = strings.Cut(line, " >")
	line, _, _ = strings.Cut(line, " |")
	root := (&app{console: console{out: io.Discard, err: io.Discard}}).root()
	c, rest, err := root.Find(words(line)[1:])
	if err == nil {
		err = c.ParseFlags(rest)
	}
	if err == nil {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err == nil {
		err = c.ValidateRequiredFlags()
	}
	if err == nil && c.PreRunE != nil {
		err = c.PreRunE(c, c.Flags().Args())
	}
	if err == nil && !c.Runnable() {
		err = fmt.Errorf("%s does nothing by itself", c.CommandPath())
	}
	return err
}

// known is what queries may ask for: the labels of each metric, and the words that labels may have as values.
type known struct {
	labels map[string][]string
	values string
}

// metricsOfQueries are the metrics of docs/metrics.md, which another test compares with the code, and those that the rules record.
func metricsOfQueries(t *testing.T) known {
	t.Helper()
	page := readText(t, "../../docs/metrics.md")
	k := known{labels: map[string][]string{"process_start_time_seconds": nil}, values: page}
	accounts, _, _ := strings.Cut(page[strings.Index(page, "\n## Accounts\n"):], "\n## Fleet\n")
	for _, m := range metricRowPattern.FindAllStringSubmatch(page, -1) {
		var labels []string
		for _, l := range strings.Split(m[3], ",") {
			labels = append(labels, strings.Trim(l, " `"))
		}
		if strings.Contains(accounts, "| `"+m[1]+"` |") {
			labels = append(labels, "account", "account_id", "agency")
		}
		k.labels[m[1]] = labels
		if m[2] == "histogram" {
			k.labels[m[1]+"_bucket"], k.labels[m[1]+"_count"], k.labels[m[1]+"_sum"] = append(labels, "le"), labels, labels
		}
	}
	for _, r := range ruleFiles(t) {
		if r.Record != "" {
			k.labels[r.Record] = nil
		}
	}
	return k
}

// faults are the names and words of a query that there are not.
func (k known) faults(query string) (all []string) {
	found := selectorPattern.FindAllStringSubmatch(query, -1)
	if len(found) == 0 && !strings.HasPrefix(query, "up{") {
		return []string{"it asks for nothing of this program"}
	}
	for _, m := range joinPattern.FindAllStringSubmatch(query, -1) {
		if !strings.HasPrefix(m[1], "job, instance") { // with two auditors it would match both
			all = append(all, "it joins on "+m[1]+", without job and instance")
		}
	}
	for _, m := range found {
		labels, ok := k.labels[m[1]]
		if !ok {
			all = append(all, "there is no metric "+m[1])
			continue
		}
		for _, l := range matcherPattern.FindAllStringSubmatch(m[2], -1) {
			if l[1] == "job" || l[1] == "instance" {
				continue
			}
			if !slices.Contains(labels, l[1]) {
				all = append(all, fmt.Sprintf("%s has no label %s", m[1], l[1]))
			}
			for value := range strings.SplitSeq(l[2], "|") {
				rule := slices.ContainsFunc(rules.Rules(), func(r rules.Rule) bool { return r.ID == value })
				if !rule && l[1] != "code" && (!valuePattern.MatchString(value) || !strings.Contains(k.values, "`"+value+"`")) {
					all = append(all, fmt.Sprintf("no %s is %q", l[1], value))
				}
			}
		}
	}
	return all
}

// promRule is a rule of deploy/prometheus, as far as a runbook is concerned.
type promRule struct {
	Alert  string            `yaml:"alert"`
	Record string            `yaml:"record"`
	Labels map[string]string `yaml:"labels"`
}

func ruleFiles(t *testing.T) (all []promRule) {
	t.Helper()
	for _, file := range []string{"alerts", "recording"} {
		var doc struct {
			Groups []struct {
				Rules []promRule `yaml:"rules"`
			} `yaml:"groups"`
		}
		if err := yaml.Unmarshal([]byte(readText(t, "../../deploy/prometheus/"+file+".yaml")), &doc); err != nil {
			t.Fatal(err)
		}
		for _, g := range doc.Groups {
			all = append(all, g.Rules...)
		}
	}
	return all
}

// alertSeverities are the severities that each alert can have, the worst first.
func alertSeverities(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, severity := range []string{"critical", "warning", "info"} {
		for _, r := range ruleFiles(t) {
			if r.Alert != "" && r.Labels["severity"] == severity && !slices.Contains(all[r.Alert], severity) {
				all[r.Alert] = append(all[r.Alert], severity)
			}
		}
	}
	return all
}

// TestDocsRunbooksAreWhole holds the tables that have to have a row for everything there is: what breaks without each policy of the
// bundled baseline and at which scope it is required, and what to do about each reason of an unknown account and of a step that is held.
func TestDocsRunbooksAreWhole(t *testing.T) {
	pages := runbooks(t)
	b, ok := baseline.Bundled("coc")
	if !ok {
		t.Fatal("no baseline coc is bundled")
	}
	missing := pages["AgencyAuditPolicyMissing"]
	for _, r := range b.Required {
		if !strings.Contains(missing, fmt.Sprintf("| %s | `%s` |", r.Policy, r.Scope)) {
			t.Errorf("AgencyAuditPolicyMissing has no row for %s at %s", r.Policy, r.Scope)
		}
		for _, s := range r.Scenarios {
			says := s.Use
			if s.Module != "" {
				says = s.Module + ": " + s.Use
			}
			if !strings.Contains(missing, "| "+says+" |") {
				t.Errorf("AgencyAuditPolicyMissing does not say what breaks without %s: %s", r.Policy, says)
			}
		}
	}
	for _, r := range rules.Reasons() {
		if !strings.Contains(pages["AgencyAuditAccountUnknown"], "`"+string(r)+"`") {
			t.Errorf("AgencyAuditAccountUnknown does not say what to do about %s", r)
		}
	}
	for _, h := range rules.Holds() {
		if !strings.Contains(pages["AgencyAuditRepairBlocked"], "`"+string(h)+"`") {
			t.Errorf("AgencyAuditRepairBlocked does not say what to do about %s", h)
		}
	}
}

// TestDocsRunbooksQuoteTheLog holds what runbooks quote of the log: somebody searches for it, and takes its absence for an answer.
func TestDocsRunbooksQuoteTheLog(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{"../../auditor", "."} {
		err := filepath.WalkDir(dir, func(file string, _ os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go") {
				code.WriteString(readText(t, file))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	quotes := 0
	for name, page := range runbooks(t) {
		for paragraph := range strings.SplitSeq(page, "\n\n") {
			if !logPattern.MatchString(paragraph) {
				continue
			}
			for _, m := range quotePattern.FindAllStringSubmatch(strings.ReplaceAll(paragraph, "**", ""), -1) {
				quotes++
				if message := strings.Join(strings.Fields(m[1]), " "); !strings.Contains(code.String(), `"`+message) {
					t.Errorf("%s: nothing logs %q", name, message)
				}
			}
		}
	}
	if quotes < 8 {
		t.Errorf("only %d quotes of the log were found", quotes)
	}
}

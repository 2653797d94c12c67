package main_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

const root = "../.."

var (
	linkPattern    = regexp.MustCompile(`!?\[[^\]]*\]\(([^)\s]+)\)`)
	headingPattern = regexp.MustCompile(`(?m)^#+ +(.+?) *$`)
	fencePattern   = regexp.MustCompile("(?ms)^```.*?^```$")
	anchorDropped  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	// A citation may go on in the next line of a comment, and name several sections.
	citationPattern = regexp.MustCompile(`\b[Ff]acts[\s/]+(\d+(?:\.\d+)?(?:(?:,|\s+(?://\s*)?and\b)[\s/]*\d+(?:\.\d+)?)*)`)
	sectionPattern  = regexp.MustCompile(`\d+(?:\.\d+)?`)
	numberedPattern = regexp.MustCompile(`(?m)^#+ +(\d+(?:\.\d+)?) `)
	examplePattern  = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```\n+```text\n(.*?)^```$")
)

// TestDocsLinks follows every link of every page that leads into the repository, headings included.
func TestDocsLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range linkPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(read(t, page), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := filepath.Join(filepath.Dir(page), target)
			if target == "" {
				file = page
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], file)
			}
		}
	}
}

// TestDocsRules holds the pages against the rules: each rule has its page and its line in the index, both name its
// severity, every page says the same things in the same order, and no page is about a rule that is not there.
func TestDocsRules(t *testing.T) {
	index := read(t, root+"/docs/rules/README.md")
	expected := map[string]bool{"README.md": true}
	for _, r := range rules.Rules() {
		expected[filepath.Base(r.Page())] = true
		page := read(t, filepath.Join(root, r.Page()))
		severity := string(r.Severity)
		if r.ID == rules.RuleExcess {
			severity = "by risk"
		}
		if !strings.HasPrefix(page, "# "+r.ID+"\n") {
			t.Errorf("%s does not begin with the rule's id %s", r.Page(), r.ID)
		}
		if !strings.Contains(page, "| severity | "+severity+" |") {
			t.Errorf("%s does not name the severity %q", r.Page(), severity)
		}
		if !strings.Contains(index, "| ["+r.ID+"]("+filepath.Base(r.Page())+") | "+severity+" |") {
			t.Errorf("the index has no line for %s with the severity %q", r.ID, severity)
		}
		if !strings.Contains(page, "severities: {"+r.ID+": ") {
			t.Errorf("%s does not show how to change the severity of %s", r.Page(), r.ID)
		}
		var headings []string
		for _, m := range headingPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(page, ""), -1) {
			headings = append(headings, m[1])
		}
		want := []string{
			r.ID, "What it means", "Why it matters", "Exactly when", "Example", "How to fix it", "What it never claims",
			"Changing the severity",
		}
		if !slices.Equal(headings, want) {
			t.Errorf("%s has the headings %q, want %q", r.Page(), headings, want)
		}
	}
	entries, err := os.ReadDir(root + "/docs/rules")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !expected[e.Name()] {
			t.Errorf("docs/rules/%s is about no rule", e.Name())
		}
	}
}

// example is what a rule's page shows: an account as it is found.
type example struct {
	Now     time.Time `yaml:"now"`
	Account struct {
		RequireAgency bool `yaml:"require_agency"`
	} `yaml:"account"`
	NoAgency bool `yaml:"no_agency"`
	// Agency is what differs from a healthy agency.
	Agency struct {
		Trust     rules.Trust `yaml:"trust"`
		ExpiresAt time.Time   `yaml:"expires_at"`
	} `yaml:"agency"`
	// Fleet counts the agencies of the run by the id of the account they trust.
	Fleet          map[string]int `yaml:"fleet"`
	CatalogueLacks []string       `yaml:"catalogue_lacks"`
	Grants         []struct {
		Policy string       `yaml:"policy"`
		Scope  string       `yaml:"scope"`
		In     string       `yaml:"in"`
		Origin rules.Origin `yaml:"origin"`
	} `yaml:"grants"`
}

// TestDocsExamples runs the examples of the rules' pages against the bundled baseline: state and findings must be the
// page's, word for word.
func TestDocsExamples(t *testing.T) {
	b, ok := baseline.Bundled("coc")
	if !ok {
		t.Fatal("no baseline coc is bundled")
	}
	for _, r := range rules.Rules() {
		t.Run(r.ID, func(t *testing.T) {
			examples := examplePattern.FindAllStringSubmatch(read(t, filepath.Join(root, r.Page())), -1)
			shown := false
			for _, m := range examples {
				var e example
				if err := yaml.UnmarshalWithOptions([]byte(m[1]), &e, yaml.Strict()); err != nil {
					t.Fatal(err)
				}
				got := e.outcome(t, b)
				if want := strings.TrimSpace(m[2]); got != want {
					t.Errorf("the page's example\n%s\ngives\n%s\n\nthe page says\n%s", m[1], got, want)
				}
				shown = shown || strings.Contains(got, " "+r.ID+" ")
			}
			if !shown {
				t.Errorf("none of the page's %d examples shows the rule's finding", len(examples))
			}
		})
	}
}

// outcome judges the example and writes its state and findings in the form of the pages.
func (e example) outcome(t *testing.T, b rules.Baseline) string {
	t.Helper()
	const id = "d0000000000000000000000000000001"
	now := e.Now
	if now.IsZero() {
		now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	}
	o := rules.Observation{
		Account:    rules.Account{ID: id, Name: "example", RequireAgency: e.Account.RequireAgency},
		AgencyName: b.Agency, StartedAt: now, EndedAt: now, UnfilteredAsked: true,
	}
	if !e.NoAgency {
		a := rules.Agency{ID: "a1", Name: b.Agency, AccountID: id, Trust: e.Agency.Trust, ExpiresAt: e.Agency.ExpiresAt}
		if a.Trust == (rules.Trust{}) {
			a.Trust = rules.Trust{ID: "c0c00000000000000000000000000001", Name: b.Trust.Name}
		}
		o.Listed = []rules.Agency{a}
		custom := 0
		grants := map[rules.ScopeKind][]rules.Grant{}
		for _, g := range e.Grants {
			p := rules.Policy{ID: "system-" + g.Policy, Name: g.Policy, Origin: rules.System}
			if g.Origin == rules.Custom {
				custom++
				p.ID, p.Origin = "custom-"+string(rune('0'+custom)), rules.Custom
			}
			kind := rules.ScopeKind(g.Scope)
			grants[kind] = append(grants[kind], rules.Grant{Policy: p, Scope: rules.Scope{Kind: kind, ID: g.In, Name: g.In}})
		}
		for _, kind := range rules.Planes() {
			p := rules.Plane{Kind: kind, State: rules.PlaneRead, Total: len(grants[kind]), Grants: grants[kind], Witnessed: true, Again: grants[kind]}
			for _, g := range p.Grants {
				p.WitnessIDs = append(p.WitnessIDs, g.Policy.ID)
			}
			o.Planes = append(o.Planes, p)
			delete(grants, kind)
		}
		if len(grants) > 0 {
			t.Fatalf("grants of unknown scopes: %v", grants)
		}
	}
	fleet := rules.Fleet{PolicyIDs: map[string][]string{}, TrustIDs: e.Fleet}
	for _, req := range b.Required {
		if !slices.Contains(e.CatalogueLacks, req.Policy) {
			fleet.PolicyIDs[req.Policy] = []string{"system-" + req.Policy}
		}
	}
	evidence, err := rules.NewEvidence(b, rules.Last{}, o)
	if err != nil {
		t.Fatal(err)
	}
	report := rules.Evaluate(b, evidence, fleet, now)
	lines := []string{string(report.State)}
	if report.Unknown != nil {
		lines[0] += " " + string(report.Unknown.Reason)
	}
	for _, f := range report.Findings {
		lines = append(lines, string(f.Severity)+" "+f.Rule+" "+f.Message)
	}
	for _, f := range rules.Unresolvable(b, fleet) {
		lines = append(lines, "run: "+string(f.Severity)+" "+f.Rule+" "+f.Message)
	}
	return strings.Join(lines, "\n")
}

// TestDocsFacts looks up every section that a comment or a page cites as "facts N.N" on the page of facts.
func TestDocsFacts(t *testing.T) {
	const page = root + "/docs/huawei-iam.md"
	var sections []string
	for _, m := range numberedPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(read(t, page), ""), -1) {
		if slices.Contains(sections, m[1]) {
			t.Errorf("%s has the section %s twice", page, m[1])
		}
		sections = append(sections, m[1])
	}
	cited := 0
	for _, file := range append(files(t, ".go"), pages(t)...) {
		if filepath.Base(file) == "docs_test.go" {
			continue // it shows how sections are cited
		}
		for _, section := range citations(read(t, file)) {
			cited++
			if !slices.Contains(sections, section) {
				t.Errorf("%s cites facts %s, and %s has no such section", file, section, page)
			}
		}
	}
	if cited < 100 {
		t.Errorf("only %d citations were found", cited)
	}
}

// The forms in which comments cite, so that none of them escapes TestDocsFacts.
func TestDocsFactsKnowsHowTheyAreCited(t *testing.T) {
	for text, want := range map[string][]string{
		"as it does (facts 1.1).":                                  {"1.1"},
		"it is Facts 10: no more":                                  {"10"},
		"sites (facts 1, 5.4).":                                    {"1", "5.4"},
		"the bodies of facts 1.3 and 1.4.":                         {"1.3", "1.4"},
		"Paths: facts 1.1, 2.1, 3 and 8. It is":                    {"1.1", "2.1", "3", "8"},
		"each (facts\n// 1.1). Without":                            {"1.1"},
		"are\n\t// known (facts\n\t// 2.1,\n\t// 2.3 and\n\t// 8)": {"2.1", "2.3", "8"},
		"facts that the vendor leaves open; artefacts 3":           nil,
	} {
		if got := citations(text); !slices.Equal(got, want) {
			t.Errorf("%q cites %q, want %q", text, got, want)
		}
	}
}

// citations are the sections of the page of facts that a text cites.
func citations(text string) []string {
	var all []string
	for _, m := range citationPattern.FindAllStringSubmatch(text, -1) {
		all = append(all, sectionPattern.FindAllString(m[1], -1)...)
	}
	return all
}

// pages are all Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	found := files(t, ".md")
	if len(found) < len(rules.Rules()) {
		t.Fatalf("only %d pages were found", len(found))
	}
	return found
}

// files are all files of the repository whose names end so.
func files(t *testing.T, ext string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case filepath.Ext(name) == ext:
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// anchors are the ids that a page's headings get where such pages are shown.
func anchors(page string) []string {
	var all []string
	for _, m := range headingPattern.FindAllStringSubmatch(fencePattern.ReplaceAllString(page, ""), -1) {
		name := anchorDropped.ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

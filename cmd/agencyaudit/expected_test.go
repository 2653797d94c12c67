package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"
)

// expectation is what somebody wrote down by hand for one account of the bundled organization.
type expectation struct {
	Name          string            `yaml:"name"`
	Excluded      string            `yaml:"excluded"`
	RequireAgency bool              `yaml:"require_agency"`
	State         string            `yaml:"state"`
	Reason        string            `yaml:"reason"`
	Coverage      map[string]string `yaml:"coverage"`
	Findings      []expectedFinding `yaml:"findings"`
}

type expectedFinding struct {
	Rule     string   `yaml:"rule"`
	Severity string   `yaml:"severity"`
	Policy   string   `yaml:"policy"`
	Scope    string   `yaml:"scope"`
	In       []string `yaml:"in"`
	Places   int      `yaml:"places"`
	Risk     string   `yaml:"risk"`
	Cohort   string   `yaml:"cohort"`
}

// equal compares what was found with what was written down.
func (w expectedFinding) equal(got expectedFinding) bool {
	places := got.In
	if w.Places > 0 {
		places = nil
	}
	return got.Rule == w.Rule && got.Severity == w.Severity && got.Policy == w.Policy && got.Scope == w.Scope &&
		got.Risk == w.Risk && got.Cohort == w.Cohort && slices.Equal(places, w.In) && (w.Places == 0 || len(got.In) == w.Places)
}

const expectedFile = "../../auditor/simcloud/bundled/expected.yaml"

// readExpectations returns them in the order of the file, each account once.
func readExpectations(file string) ([]expectation, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var written struct {
		Accounts []expectation `yaml:"accounts"`
	}
	if err := yaml.UnmarshalWithOptions(data, &written, yaml.Strict()); err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, e := range written.Accounts {
		names[e.Name] = true
	}
	if len(names) < 24 || len(names) != len(written.Accounts) {
		return nil, fmt.Errorf("%d accounts with %d names are expected", len(written.Accounts), len(names))
	}
	return written.Accounts, nil
}

func mustReadExpectations(t *testing.T) []expectation {
	t.Helper()
	want, err := readExpectations(expectedFile)
	if err != nil {
		t.Fatal(err)
	}
	return want
}

// published is the part of the program's JSON document that the expectations are about.
type published struct {
	Sweeps []struct {
		Account struct {
			Name          string `json:"name"`
			RequireAgency bool   `json:"require_agency"`
		} `json:"account"`
		State   string `json:"state"`
		Unknown *struct {
			Reason string `json:"reason"`
		} `json:"unknown"`
		Required []struct {
			Policy   string `json:"policy"`
			Coverage string `json:"coverage"`
		} `json:"required"`
		Findings []publishedFinding `json:"findings"`
	} `json:"sweeps"`
	Run struct {
		Excluded []struct {
			Account struct {
				Name string `json:"name"`
			} `json:"account"`
			Reason string `json:"reason"`
		} `json:"excluded"`
	} `json:"run"`
}

type publishedFinding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Policy   string `json:"policy"`
	Scope    string `json:"scope"`
	Risk     string `json:"risk"`
	Cohort   string `json:"cohort"`
	Grants   []struct {
		Scope struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		} `json:"scope"`
	} `json:"grants"`
}

func (f publishedFinding) found() expectedFinding {
	e := expectedFinding{Rule: f.Rule, Severity: f.Severity, Policy: f.Policy, Scope: f.Scope, Risk: f.Risk, Cohort: f.Cohort}
	for _, g := range f.Grants {
		if g.Scope.ID != "" {
			e.In = append(e.In, cmp.Or(g.Scope.Name, g.Scope.ID))
		}
	}
	slices.Sort(e.In)
	return e
}

// differences compares a JSON document of the program with the expectations, all of both.
func differences(document []byte, expected []expectation) ([]string, error) {
	want := map[string]expectation{}
	for _, e := range expected {
		want[e.Name] = e
	}
	var doc published
	if err := json.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	var out []string
	differ := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	seen := map[string]bool{}
	for _, s := range doc.Sweeps {
		name := s.Account.Name
		w, ok := want[name]
		if !ok || seen[name] || w.Excluded != "" {
			differ("account %s is judged and not expected, or judged twice", name)
			continue
		}
		seen[name] = true
		reason := ""
		if s.Unknown != nil {
			reason = s.Unknown.Reason
		}
		if s.Account.RequireAgency != w.RequireAgency || s.State != w.State || reason != w.Reason {
			differ("%s: require_agency %v, %s %s; want %v, %s %s", name, s.Account.RequireAgency, s.State, reason,
				w.RequireAgency, w.State, w.Reason)
		}
		coverage := map[string]string{}
		for _, c := range s.Required {
			coverage[c.Policy] = c.Coverage
		}
		if !maps.Equal(coverage, w.Coverage) {
			differ("%s: coverage %v, want %v", name, coverage, w.Coverage)
		}
		var got []expectedFinding
		for _, f := range s.Findings {
			got = append(got, f.found())
		}
		if !slices.EqualFunc(w.Findings, got, expectedFinding.equal) {
			differ("%s: findings\n got %+v\nwant %+v", name, got, w.Findings)
		}
	}
	for _, e := range doc.Run.Excluded {
		name := e.Account.Name
		if w, ok := want[name]; !ok || seen[name] || w.Excluded != e.Reason {
			differ("account %s is left alone (%s), want %q", name, e.Reason, w.Excluded)
		}
		seen[name] = true
	}
	for name := range want {
		if !seen[name] {
			differ("account %s is expected, and neither judged nor left alone", name)
		}
	}
	slices.Sort(out)
	return out, nil
}

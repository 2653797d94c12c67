package main

import (
	"bytes"
	"errors"
	"os"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// expectation is what somebody wrote down by hand for one account of the bundled organization.
type expectation struct {
	Name          string            `yaml:"name"`
	RequireAgency bool              `yaml:"require_agency"`
	State         string            `yaml:"state"`
	Reason        string            `yaml:"reason"`
	Coverage      map[string]string `yaml:"coverage"`
	Findings      []expectedFinding `yaml:"findings"`
}

type expectedFinding struct {
	Rule     string `yaml:"rule"`
	Severity string `yaml:"severity"`
	Policy   string `yaml:"policy"`
	Scope    string `yaml:"scope"`
	Risk     string `yaml:"risk"`
	Cohort   string `yaml:"cohort"`
}

func readExpectations(t *testing.T) []expectation {
	t.Helper()
	data, err := os.ReadFile("../../auditor/simcloud/bundled/expected.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Accounts []expectation `yaml:"accounts"`
	}
	if err := yaml.UnmarshalWithOptions(data, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return file.Accounts
}

// whatIsShown is everything that the commands say in text about a run.
func whatIsShown(t *testing.T, run *auditor.Run) string {
	t.Helper()
	var b bytes.Buffer
	err := report.Table(&b, run, report.Options{Verbose: true})
	for i := range run.Sweeps {
		err = errors.Join(err, report.Explain(&b, run, &run.Sweeps[i], report.Options{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBundledOrganizationIsJudgedAsWrittenByHand audits the bundled organization over HTTP with the configuration that the
// program brings along, and compares all of the outcome with the expectations beside the organization.
func TestBundledOrganizationIsJudgedAsWrittenByHand(t *testing.T) {
	cloud, server := startCloud(t, simcloud.Bundled())
	org := cloud.Organization()
	text, err := bundledConfigAt(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	run := once(t, newDaemon(t, parse(t, text, mustIdentity(t, org).lookupEnv)))
	noWrites(t, cloud)
	if line, n := longest(whatIsShown(t, run)); n > report.DefaultWidth {
		t.Errorf("a line of %d columns: %s", n, line)
	}

	want := map[string]expectation{}
	for _, e := range readExpectations(t) {
		if _, twice := want[e.Name]; twice {
			t.Fatalf("account %s is expected twice", e.Name)
		}
		want[e.Name] = e
	}
	if len(want) < 24 || len(want) != len(org.Accounts) || len(run.Sweeps) != len(want) {
		t.Errorf("%d accounts, %d of them judged and %d expected; want as many of each, and at least 24", len(org.Accounts), len(run.Sweeps), len(want))
	}
	for _, s := range run.Sweeps {
		r := s.Report
		got := expectation{Name: r.Account.Name, RequireAgency: r.Account.RequireAgency, State: string(r.State)}
		if r.Unknown != nil {
			got.Reason = string(r.Unknown.Reason)
		}
		for _, c := range r.Required {
			if got.Coverage == nil {
				got.Coverage = map[string]string{}
			}
			got.Coverage[c.Policy] = string(c.Coverage)
		}
		for _, f := range r.Findings {
			got.Findings = append(got.Findings, expectedFinding{f.Rule, string(f.Severity), f.Policy, string(f.Scope), string(f.Risk), f.Cohort})
		}
		w, ok := want[got.Name]
		if !ok {
			t.Errorf("account %s is judged and not expected", got.Name)
			continue
		}
		if got.RequireAgency != w.RequireAgency || got.State != w.State || got.Reason != w.Reason {
			t.Errorf("%s: require_agency %v, %s %s; want %v, %s %s (%v)", got.Name, got.RequireAgency, got.State, got.Reason,
				w.RequireAgency, w.State, w.Reason, r.Unknown)
		}
		if len(got.Coverage) != len(w.Coverage) {
			t.Errorf("%s: coverage %v, want %v", got.Name, got.Coverage, w.Coverage)
		}
		for policy, c := range w.Coverage {
			if got.Coverage[policy] != c {
				t.Errorf("%s: %s is %q, want %q", got.Name, policy, got.Coverage[policy], c)
			}
		}
		if !slices.Equal(got.Findings, w.Findings) {
			t.Errorf("%s: findings\n got %+v\nwant %+v", got.Name, got.Findings, w.Findings)
		}
	}
}

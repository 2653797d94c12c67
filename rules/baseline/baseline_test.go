package baseline_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestTable1 holds the bundled baseline against the facts of Table 1 of "Enabling COC", written out here by hand: every
// row with every column, nothing beside them, and what the page says around the table.
func TestTable1(t *testing.T) {
	b, ok := baseline.Bundled("coc")
	if !ok {
		t.Fatal("coc is not bundled")
	}
	everywhere := "Permissions on all resources (including new projects in the future)"
	rows := []struct {
		policy      string
		scope       rules.ScopeKind
		label       string
		description []string // words of the column
		modules     []string
		uses        []string // words of the column, in the order of its sentences
	}{{
		"IAM ReadOnlyAccess", rules.Global, "Global service [Global]", []string{"Read-only", "IAM"},
		[]string{"Personnel Management"}, []string{"personnel information"},
	}, {
		"RMS ReadOnlyAccess", rules.Global, "Global service [Global]", []string{"Read-only", "RMS"},
		[]string{"Resource Management"}, []string{"managed cloud service resources"},
	}, {
		"DCS UserAccess", rules.AllResources, everywhere,
		[]string{"Common user permissions", "DCS", "creating", "modifying", "deleting", "scaling"},
		[]string{"Chaos Drills"}, []string{"faults into DCS resources"},
	}, {
		"COCServiceAgencyDefaultPolicy", rules.AllResources, everywhere, []string{"Service agency policy", "COC", "across accounts"},
		[]string{"Personnel Management", "Batch Resource Operations", ""},
		[]string{"notification channels", "ECSs and RDS DB instances", "organization information"},
	}}
	if len(b.Required) != len(rows) {
		t.Fatalf("%d requirements, the table has %d rows", len(b.Required), len(rows))
	}
	for i, row := range rows {
		r := b.Required[i]
		if r.Policy != row.policy || r.Scope != row.scope || r.ScopeLabel != row.label || len(r.Accepts) > 0 {
			t.Errorf("row %d: %+v", i+1, r)
		}
		for _, words := range row.description {
			if !strings.Contains(r.Description, words) {
				t.Errorf("%s: the description %q does not say %q", r.Policy, r.Description, words)
			}
		}
		if len(r.Scenarios) != len(row.uses) {
			t.Errorf("%s: %d scenarios, the table has %d", r.Policy, len(r.Scenarios), len(row.uses))
			continue
		}
		for j, s := range r.Scenarios {
			if s.Module != row.modules[j] || !strings.Contains(s.Use, row.uses[j]) {
				t.Errorf("%s: scenario %+v", r.Policy, s)
			}
		}
	}

	if b.Name != "coc" || b.Service != "COC" || b.Agency != "ServiceAgencyForCOC" || b.Title == "" {
		t.Errorf("%+v", b)
	}
	if b.SourceDate != "2025-08-08" || !strings.Contains(b.Source, "Enabling COC") || !strings.Contains(b.Source, "Table 1") {
		t.Errorf("source %q of %q", b.Source, b.SourceDate)
	}
	if b.Trust != (rules.Trust{Name: "op_svc_coc"}) {
		t.Errorf("trust %+v; the id is not public and must not be pinned here", b.Trust)
	}
	if b.WarnBeforeExpiry != 30*24*time.Hour {
		t.Errorf("warns %s before expiry", b.WarnBeforeExpiry)
	}
	if len(b.Cohorts) != 1 {
		t.Fatalf("cohorts %+v", b.Cohorts)
	}
	c := b.Cohorts[0]
	if c.Name != "open-beta-2024" || c.Missing != "COCServiceAgencyDefaultPolicy" ||
		!c.CreatedBefore.Equal(time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)) || !strings.Contains(c.Says, "first half of 2024") {
		t.Errorf("cohort %+v", c)
	}
	if steps := strings.Join(b.ServiceSteps, " "); !strings.Contains(steps, "Obtain Permission") || !strings.Contains(steps, "OK") {
		t.Errorf("steps %q", steps)
	}
}

func TestRisks(t *testing.T) {
	b, _ := baseline.Bundled("coc")
	for policy, want := range map[string]rules.Risk{
		"Security Administrator": rules.RiskCritical, "Tenant Administrator": rules.RiskCritical,
		"FullAccess": rules.RiskCritical, "Agent Operator": rules.RiskCritical,
		"Server Administrator": rules.RiskHigh, "OBS Administrator": rules.RiskHigh, "ECS FullAccess": rules.RiskHigh,
		"COCFullAccess": rules.RiskHigh, "COC FullAccessPolicy": rules.RiskHigh, "FullAccessPolicy": rules.RiskCritical,
		"ECS ReadOnlyAccess": rules.RiskLow, "COC ReadOnlyPolicy": rules.RiskLow, "OBS ReadOnly": rules.RiskLow,
		"OBS Buckets Viewer": rules.RiskLow, "Tenant Guest": rules.RiskLow,
		"Tenant Guests": rules.RiskMedium, "DCS UserAccess": rules.RiskMedium, "tenant administrator": rules.RiskMedium, "": rules.RiskMedium,
	} {
		if got := b.Risks.Of(rules.Policy{Name: policy, Origin: rules.System}); got != want {
			t.Errorf("%s: %s, want %s", policy, got, want)
		}
	}
}

func TestBundled(t *testing.T) {
	names := baseline.Names()
	if !slices.IsSorted(names) || !slices.Contains(names, "coc") {
		t.Errorf("names %q", names)
	}
	for _, name := range names {
		b, ok := baseline.Bundled(name)
		if !ok || b.Name != name {
			t.Errorf("%s: %v, %q", name, ok, b.Name)
		}
		file, err := os.ReadFile(name + ".yaml")
		if err != nil || !bytes.Equal(file, baseline.Source(name)) {
			t.Errorf("%s: the source is not the file: %v", name, err)
		}
		sum := sha256.Sum256(file)
		if b.Digest != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: digest %s", name, b.Digest)
		}
	}
	for _, name := range []string{"", "risk", "COC", "coc.yaml", "../coc"} {
		if _, ok := baseline.Bundled(name); ok || baseline.Source(name) != nil {
			t.Errorf("%q is bundled", name)
		}
	}
	baseline.Source("coc")[0] = 'X'
	if _, ok := baseline.Bundled("coc"); !ok || baseline.Source("coc")[0] == 'X' {
		t.Error("whoever reads the source can change it")
	}
}

// TestFaults compares every fault of each file of testdata/faults with the golden file beside it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) < 14 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b, err := baseline.Load("own.yaml", data)
			if !reflect.ValueOf(b).IsZero() {
				t.Errorf("a faulty file gave a baseline: %+v", b)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", fmt.Sprintf("%v\n", err))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

const small = `version: 1
name: own
title: A baseline of our own
source: An agreement
source_date: 2026-01-31
service: Some Service
agency: SomeAgency
trust: {name: op_svc_some, id: c0c00000000000000000000000000001}
required:
  - {policy: A ReadOnlyAccess, scope: global}
  - {policy: A ReadOnlyAccess, scope: all_resources}
  - policy: B Administrator
    scope: all_resources
    accepts: [B Admin, "B管理员"]
`

func TestLoad(t *testing.T) {
	b, err := baseline.Load("own.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	coc, _ := baseline.Bundled("coc")
	sum := sha256.Sum256([]byte(small))
	want := rules.Baseline{
		Name: "own", Title: "A baseline of our own", Source: "An agreement", SourceDate: "2026-01-31", Service: "Some Service",
		Agency: "SomeAgency", Trust: rules.Trust{ID: "c0c00000000000000000000000000001", Name: "op_svc_some"},
		WarnBeforeExpiry: baseline.DefaultWarnBeforeExpiry, Digest: hex.EncodeToString(sum[:]), Risks: coc.Risks,
		Required: []rules.Requirement{
			{Policy: "A ReadOnlyAccess", Scope: rules.Global},
			{Policy: "A ReadOnlyAccess", Scope: rules.AllResources},
			{Policy: "B Administrator", Scope: rules.AllResources, Accepts: []string{"B Admin", "B管理员"}},
		},
	}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("got  %+v\nwant %+v", b, want)
	}
}

func TestWarningsOfNoTimeAreAllowed(t *testing.T) {
	b, err := baseline.Load("own.yaml", []byte(small+"warn_before_expiry: 0s\n"))
	if err != nil || b.WarnBeforeExpiry != 0 {
		t.Errorf("%s, %v", b.WarnBeforeExpiry, err)
	}
}

// FuzzLoad holds what is accepted to what the package promises of it, and what is not to an error with faults.
func FuzzLoad(f *testing.F) {
	f.Add(baseline.Source("coc"))
	f.Add([]byte(small))
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := baseline.Load("f.yaml", data)
		if err != nil {
			var faults strictyaml.Faults
			if !errors.As(err, &faults) || len(faults) == 0 || !reflect.ValueOf(b).IsZero() {
				t.Fatalf("%T %v with %+v", err, err, b)
			}
			return
		}
		again, err := baseline.Load("f.yaml", data)
		if err != nil || !reflect.DeepEqual(b, again) {
			t.Fatalf("two answers: %v", err)
		}
		if b.Name == "" || b.Agency == "" || b.Service == "" || b.Trust.Name == "" || b.Digest == "" || len(b.Required) == 0 {
			t.Errorf("incomplete: %+v", b)
		}
		names := map[string]string{}
		for _, r := range b.Required {
			if r.Scope != rules.Global && r.Scope != rules.AllResources {
				t.Errorf("requires the scope %q", r.Scope)
			}
			for _, name := range append([]string{r.Policy}, r.Accepts...) {
				if name == "" || strings.TrimSpace(name) != name {
					t.Errorf("requires %q", name)
				}
				if b.Risks.Of(rules.Policy{Name: name, Origin: rules.System}) == rules.RiskCritical {
					t.Errorf("requires the dangerous %q", name)
				}
				if owner, taken := names[name]; taken && owner != r.Policy {
					t.Errorf("%q stands for %q and %q", name, owner, r.Policy)
				}
				names[name] = r.Policy
			}
		}
		if !rules.SameTrustName(b.Trust.Name, b.Trust.Name) {
			t.Errorf("the trust name %q could never match", b.Trust.Name)
		}
	})
}

package rules_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestEveryRuleHasAFileATestAndAPage(t *testing.T) {
	var ids []string
	for _, r := range rules.Rules() {
		ids = append(ids, r.ID)
		name := "rule_" + strings.ReplaceAll(r.ID, "/", "_")
		for _, path := range []string{name + ".go", name + "_test.go", filepath.Join("..", r.Page())} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("rule %s: %v", r.ID, err)
			}
		}
		if r.Title == "" || r.Severity == "" || strings.HasSuffix(r.Title, ".") {
			t.Errorf("rule %s: title %q, severity %q", r.ID, r.Title, r.Severity)
		}
	}
	if !slices.IsSorted(ids) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("ids are not sorted and unique: %v", ids)
	}
	files, err := filepath.Glob("rule_*_test.go")
	if err != nil || len(files) != len(ids) {
		t.Errorf("%d rules and %d test files", len(ids), len(files))
	}
}

func TestAnUnknownRuleHasNoRemedy(t *testing.T) {
	if got := rules.Remedies(baseline(), rules.Finding{Rule: "no/such"}); got != nil {
		t.Errorf("remedies %v", got)
	}
}

// grants draws up to 12 grants of system-defined and custom policies on all planes, each once.
func grants(t *rapid.T) []rules.Grant {
	policy := rapid.SampledFrom([]string{iamRead, rmsRead, dcsUser, cocSelf, "ECS FullAccess", "Tenant Administrator", "Odd"})
	gen := rapid.Custom(func(t *rapid.T) rules.Grant {
		g := grant(policy.Draw(t, "policy"), rapid.SampledFrom(rules.Planes()).Draw(t, "kind"))
		if rapid.IntRange(0, 4).Draw(t, "custom") == 0 {
			g = custom(g.Policy.Name, "custom "+g.Policy.Name, g.Scope.Kind)
		}
		if g.Scope.Kind == rules.Project || g.Scope.Kind == rules.EnterpriseProject {
			g.Scope.ID = rapid.SampledFrom([]string{"p1", "p2", "p3"}).Draw(t, "in")
		}
		return g
	})
	return rapid.SliceOfNDistinct(gen, 0, 12, func(g rules.Grant) string {
		return fmt.Sprint(g.Policy.ID, g.Scope.Kind, g.Scope.ID)
	}).Draw(t, "grants")
}

// rapidEvidence is evidence of these grants.
func rapidEvidence(t *rapid.T, list []rules.Grant) rules.Evidence {
	e, err := rules.NewEvidence(baseline(), rules.Last{}, observation(agency(), list...))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheOrderOfGrantsNeverMatters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := grants(t)
		shuffled := rapid.Permutation(list).Draw(t, "shuffled")
		a, _ := json.Marshal(rules.Evaluate(baseline(), rapidEvidence(t, list), fleet(), now))
		b, _ := json.Marshal(rules.Evaluate(baseline(), rapidEvidence(t, shuffled), fleet(), now))
		if string(a) != string(b) {
			t.Fatalf("two orders, two reports:\n%s\n%s", a, b)
		}
	})
}

func TestEveryGrantHasExactlyOnePart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := grants(t)
		r := rules.Evaluate(baseline(), rapidEvidence(t, list), fleet(), now)
		parts := map[rules.Grant]int{}
		for _, c := range r.Required {
			// A wider grant is both what the coverage rests on and a finding of its own.
			if c.Coverage == rules.CoverageExact || c.Coverage == rules.CoverageNarrower {
				for _, g := range c.By {
					parts[g]++
				}
			}
		}
		for _, f := range r.Findings {
			if f.Rule == rules.RuleNarrower {
				continue
			}
			for _, g := range f.Grants {
				parts[g]++
			}
		}
		for _, g := range list {
			if parts[g] != 1 {
				t.Fatalf("%v has %d parts in %+v", g, parts[g], r)
			}
		}
		if len(parts) != len(list) {
			t.Fatalf("%d parts of %d grants", len(parts), len(list))
		}
	})
}

func TestRenamingWhatIsNotOfTheBaselineSatisfiesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := grants(t)
		before := rules.Evaluate(baseline(), rapidEvidence(t, list), fleet(), now)
		for i := range list {
			if list[i].Policy.Origin == rules.Custom {
				list[i].Policy.Name = rapid.SampledFrom([]string{iamRead, dcsUser, "new name"}).Draw(t, "name")
			}
		}
		after := rules.Evaluate(baseline(), rapidEvidence(t, list), fleet(), now)
		for i := range before.Required {
			if before.Required[i].Coverage != after.Required[i].Coverage {
				t.Fatalf("%s: %s became %s by renaming custom policies", before.Required[i].Policy,
					before.Required[i].Coverage, after.Required[i].Coverage)
			}
		}
	})
}

func TestMoreGrantsNeverMakeAMissingOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := grants(t)
		all := rules.Evaluate(baseline(), rapidEvidence(t, list), fleet(), now)
		cut := rapid.IntRange(0, len(list)).Draw(t, "cut")
		some := rules.Evaluate(baseline(), rapidEvidence(t, list[:cut]), fleet(), now)
		for i := range all.Required {
			if some.Required[i].Coverage.Satisfied() && !all.Required[i].Coverage.Satisfied() {
				t.Fatalf("%s: satisfied by %d grants and not by %d", all.Required[i].Policy, cut, len(list))
			}
		}
	})
}

func TestNoTwoFindingsSoundTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rules.Evaluate(baseline(), rapidEvidence(t, grants(t)), fleet(), now)
		said := map[string]rules.Finding{}
		for _, f := range r.Findings {
			if other, twice := said[f.Short()]; twice {
				t.Fatalf("%q is said of two: %+v and %+v", f.Short(), other, f)
			}
			said[f.Short()] = f
		}
	})
}

// Whoever deletes an authorization by hand must be told which one, when the console shows two of one name.
func TestTheStepThatDeletesNamesTheIDOfANamesake(t *testing.T) {
	step := func(r rules.Report, id string) string {
		t.Helper()
		for _, f := range r.Findings {
			if f.PolicyID != id {
				continue
			}
			for _, s := range rules.Remedies(baseline(), f)[0].Steps {
				if strings.Contains(s, "and delete ") {
					return s
				}
			}
		}
		t.Fatalf("no step deletes the policy %q: %+v", id, r.Findings)
		return ""
	}
	twin := grant("OBS Administrator", rules.Global)
	twin.Policy.ID = "twin"
	// Beside the right one an impostor is the more dangerous to mistake.
	r := judge(t, append(exact(), grant("OBS Administrator", rules.Global), twin, grant("ECS FullAccess", rules.Global), custom(iamRead, "mine", rules.Global))...)
	for id, want := range map[string]string{
		"twin":                    "find OBS Administrator (id twin, since another policy there bears the same name) at Global service",
		"id of OBS Administrator": "find OBS Administrator (id id of OBS Administrator, since",
		"id of ECS FullAccess":    "find ECS FullAccess at Global service and delete that authorization.",
		"mine":                    "find " + iamRead + " (id mine, since",
	} {
		if got := step(r, id); !strings.Contains(got, want) {
			t.Errorf("%s: the step says %q, want %q", id, got, want)
		}
	}
	// The same name elsewhere is no namesake.
	r = judge(t, append(exact(), grant("OBS Administrator", rules.AllResources), twin)...)
	if got := step(r, "twin"); strings.Contains(got, "(id ") {
		t.Errorf("the step names an id that nobody needs: %q", got)
	}
	for _, f := range r.Findings {
		if strings.Contains(f.Short(), "policy id") {
			t.Errorf("it is told apart although the scope does that: %q", f.Short())
		}
	}
	several := judge(t, append(exact(), in("ECS FullAccess", rules.Project, "p1"), in("ECS FullAccess", rules.Project, "p2"))...)
	if got := step(several, "id of ECS FullAccess"); !strings.HasSuffix(got, "and delete those 2 authorizations.") {
		t.Errorf("two authorizations are one: %q", got)
	}
}

func TestGrantsStandByTheNamesOfTheirProjects(t *testing.T) {
	a, b := in("ECS FullAccess", rules.Project, "1"), in("ECS FullAccess", rules.Project, "2")
	a.Scope.Name, b.Scope.Name = "zebra", "ant"
	r := judge(t, append(exact(), a, b)...)
	if g := r.Findings[0].Grants; g[0].Scope.Name != "ant" || g[1].Scope.Name != "zebra" {
		t.Errorf("the order is %v", g)
	}
}

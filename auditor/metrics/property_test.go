package metrics

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// hostile are names that somebody may choose.
var hostile = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "plain", `"`, `\`, "\n", `{}"`, `a="b",c`, "\xff\xfe", "\u202eevil", "zero\u200bwidth", "<script>", "# HELP x", "name} 1\nother 2",
		strings.Repeat("x", 10_000), strings.Repeat("x", 10_000) + "y", strings.Repeat("é", 500), "P", "custom",
	}),
	rapid.String(),
	rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
)

func pick[T any](list ...T) *rapid.Generator[T] { return rapid.SampledFrom(list) }

// Whatever anybody calls anything, the exposition parses and is what the library would have written: no series is there
// twice, and an account has no more of them than it may.
func TestHostileNames(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		two := base
		two.Name, two.Agency = "two", "B"
		two.Required = append(two.Required, rules.Requirement{Policy: hostile.Draw(rt, "required"), Scope: rules.Global}, rules.Requirement{Policy: "P", Scope: rules.AllResources})
		var accounts []rules.Account
		keys := rapid.SliceOfNDistinct(hostile, 0, 5, rapid.ID[string]).Draw(rt, "keys")
		for n := range rapid.IntRange(0, 4).Draw(rt, "accounts") {
			a := rules.Account{ID: fmt.Sprintf("d%031d", n), Name: hostile.Draw(rt, "name"), OU: hostile.Draw(rt, "ou")}
			for _, key := range keys {
				if rapid.Bool().Draw(rt, "tagged") {
					a.Tags = append(a.Tags, rules.Tag{Key: key, Value: hostile.Draw(rt, "value")})
				}
			}
			accounts = append(accounts, a)
		}
		baselines := []rules.Baseline{base, two}
		s := auditor.NewSnapshot(auditor.Subjects(accounts, baselines), baselines, hour)
		s.TagKeys = keys
		var waivers []rules.Waiver
		for n := range rapid.IntRange(0, 3).Draw(rt, "waivers") {
			waivers = append(waivers, rules.Waiver{
				ID: fmt.Sprint("w-", n), Rules: []string{pick(rules.RuleExcess, rules.RuleTrustMismatch).Draw(rt, "waived")},
				Selector: rules.Selector{Accounts: []string{pick("*", fmt.Sprintf("d%031d", n)).Draw(rt, "chosen")}},
				Trusts:   []string{"contractor"},
				Added:    noon.Add(-hour), Expires: noon.Add(time.Duration(rapid.IntRange(-10, 90).Draw(rt, "ends")) * time.Minute),
			})
		}
		s = s.Accept(waivers, noon)
		for n := range rapid.IntRange(0, 3).Draw(rt, "runs") {
			at := noon.Add(time.Duration(n) * time.Minute)
			var sweeps []auditor.Sweep
			for _, a := range accounts {
				if rapid.Bool().Draw(rt, "dark") {
					sweeps = append(sweeps, dark(a, at, pick(rules.Reasons()...).Draw(rt, "reason")))
					continue
				}
				var findings []rules.Finding
				for range rapid.IntRange(0, 6).Draw(rt, "findings") {
					f := rules.Finding{
						Rule:   pick(rules.RuleExcess, rules.RuleWider, rules.RuleRedundant, rules.RuleImpostor, rules.RuleTrustMismatch, rules.RuleExpiring).Draw(rt, "rule"),
						Policy: hostile.Draw(rt, "policy"), PolicyID: hostile.Draw(rt, "policy id"),
						Scope: pick(rules.Planes()...).Draw(rt, "scope"), Risk: pick(rules.RiskCritical, rules.RiskLow, "").Draw(rt, "risk"),
					}
					if f.Rule == rules.RuleTrustMismatch {
						f.Trusts = pick("contractor", "intruder").Draw(rt, "trusts")
					}
					for range rapid.IntRange(0, 3).Draw(rt, "grants") {
						f.Grants = append(f.Grants, rules.Grant{Policy: rules.Policy{Origin: pick(rules.System, rules.Custom, rules.Unresolved).Draw(rt, "origin")}})
					}
					findings = append(findings, f)
				}
				coverage := pick(rules.CoverageExact, rules.CoverageMissing, rules.CoverageWider, rules.CoverageNarrower)
				sw := judged(a, at, pick(rules.StateCompliant, rules.StateDrifted, rules.StateUnknown).Draw(rt, "state"),
					coverage.Draw(rt, "p"), coverage.Draw(rt, "q"), findings...)
				if sw.Report.State == rules.StateUnknown {
					sw.Report.Unknown = &rules.Unknown{Reason: rules.ReasonIncomplete}
				}
				rules.Accept(&sw.Report, waivers, at)
				sweeps = append(sweeps, sw)
			}
			r := run(sweeps...)
			if rapid.Bool().Draw(rt, "suspect") {
				r.Suspect = []string{hostile.Draw(rt, "why")}
			}
			r.TagKeys = keys
			for n := range rapid.IntRange(0, 3).Draw(rt, "excluded") {
				r.Excluded = append(r.Excluded, auditor.Exclusion{
					Account: rules.Account{ID: fmt.Sprintf("e%031d", n)}, Reason: pick(auditor.ExclusionReasons()...).Draw(rt, "why excluded"),
				})
			}
			r.CatalogueAt = map[string]time.Time{}
			for _, b := range baselines {
				if !rapid.Bool().Draw(rt, "catalogue read") {
					continue
				}
				r.CatalogueAt[b.Name] = at
				for _, req := range b.Required {
					if rapid.Bool().Draw(rt, "lacking") {
						r.Findings = append(r.Findings, rules.Finding{Rule: rules.RuleUnresolvable, Baseline: b.Name, Policy: req.Policy})
					}
				}
			}
			s = s.Next(r)
		}
		sameAsTheLibrary(t, s, noon.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "minutes"))*time.Minute))
	})
}

func TestSeriesOfOneAccountAreBounded(t *testing.T) {
	var findings []rules.Finding
	for n := range 10_000 {
		risk := rules.RiskLow
		if n == 9_999 {
			risk = rules.RiskCritical
		}
		findings = append(findings, rules.Finding{Rule: rules.RuleExcess, Policy: fmt.Sprint("p", n), PolicyID: fmt.Sprint(n), Scope: rules.Global, Risk: risk})
	}
	list, dropped := excesses(findings, time.Now())
	if len(list) != maxExcess || dropped != 10_000-maxExcess {
		t.Errorf("%d series and %d dropped", len(list), dropped)
	}
	if list[0].risk != rules.RiskCritical {
		t.Errorf("the worst one is not the first: %+v", list[0])
	}
	// Nothing else is lost behind them.
	findings = append(findings, rules.Finding{Rule: rules.RuleExpiring})
	r := row{Standing: &auditor.Standing{Findings: findings}}
	all := r.seen(time.Now())
	if len(all) != maxExcess+1 || all[maxExcess].rule != rules.RuleExpiring {
		t.Errorf("%d series about findings, the last %+v", len(all), all[len(all)-1])
	}
}

// TestAcceptedExcessIsShownAsAccepted: what is shown of grants beyond the bound is what nobody accepted, and what of the accepted ones is
// shown is said to be accepted. Nobody misses those that are left out.
func TestAcceptedExcessIsShownAsAccepted(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	accepted := &rules.Acceptance{Expires: now.Add(time.Hour)}
	var findings []rules.Finding
	for n := range 120 {
		f := rules.Finding{
			Rule: rules.RuleExcess, Policy: fmt.Sprintf("P%03d", n), PolicyID: fmt.Sprint(n), Scope: rules.Global,
			Risk: []rules.Risk{rules.RiskLow, rules.RiskMedium}[n%2], Grants: []rules.Grant{{Policy: rules.Policy{Origin: rules.System}}},
		}
		if n >= 10 {
			f.Waived = accepted
		}
		findings = append(findings, f)
	}
	r := row{Standing: &auditor.Standing{Findings: findings}}
	for _, at := range []struct {
		now      time.Time
		accepted int
		dropped  int
	}{{now, maxExcess - 10, 0}, {now.Add(2 * time.Hour), 0, 120 - maxExcess}} {
		list, dropped := excesses(findings, at.now)
		of := r.seen(at.now)
		waived := 0
		for _, e := range list {
			n := slices.IndexFunc(of, func(s seen) bool { return s.policy == e.policy && s.scope == e.scope })
			switch {
			case n < 0:
				t.Errorf("%s is in no series about findings", e.policy)
			case of[n].waived != e.accepted:
				t.Errorf("%s: accepted %v, and the series about the finding says %v", e.policy, e.accepted, of[n].waived)
			case e.accepted:
				waived++
			}
		}
		if len(list) != maxExcess || len(of) != maxExcess || waived != at.accepted || dropped != at.dropped {
			t.Errorf("%d series, %d about findings, %d accepted, %d dropped", len(list), len(of), waived, dropped)
		}
	}
}

func TestLabels(t *testing.T) {
	long := strings.Repeat("é", 200)
	for _, s := range []string{long, long + "x", "\xff" + long, strings.Repeat("\u202e", 100)} {
		got := label(s)
		if len(got) > maxLabel || !utf8.ValidString(got) {
			t.Errorf("%d bytes, valid %t: %q", len(got), utf8.ValidString(got), got)
		}
	}
	if label(long) == label(long+"x") {
		t.Error("two long names are one")
	}
	if got := label("plain name"); got != "plain name" {
		t.Errorf("%q", got)
	}
}

func TestNamesOfTagLabels(t *testing.T) {
	for _, c := range []struct{ keys, want []string }{
		{[]string{"owner", "env_1"}, []string{"tag_owner", "tag_env_1"}},
		{[]string{"cost-center"}, []string{"tag_cost_center"}},
		{[]string{"a.b", "a_b"}, []string{"tag_a_b_2e7336dc", "tag_a_b"}},
		{[]string{"a.b", "a-b"}, []string{"tag_a_b_2e7336dc", "tag_a_b_d44362d6"}},
		{[]string{"责任人"}, []string{"tag_____756122ee"}},
		{[]string{""}, []string{"tag__e3b0c442"}},
		{[]string{strings.Repeat("k", 300)}, []string{"tag_" + strings.Repeat("k", 55) + "_17b16d8e"}},
	} {
		got := tagLabels(c.keys)
		seen := map[string]bool{}
		for i, name := range got {
			if seen[name] {
				t.Errorf("%q: %q twice", c.keys, name)
			}
			seen[name] = true
			if !regexp.MustCompile(`^tag_[a-zA-Z0-9_]{1,80}$`).MatchString(name) {
				t.Errorf("%q is no good name", name)
			}
			if name != c.want[i] {
				t.Errorf("%q: %q, want %q", c.keys[i], name, c.want[i])
			}
		}
	}
}

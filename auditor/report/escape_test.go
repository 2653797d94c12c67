package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// FuzzEscape holds Escape to what it promises for any bytes: nothing invisible is left, nothing is lost, and it stays in
// its lines when wrapped.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "a b", "  ", "\x00\xff", "\u202e\u2066", `\x20`, "e\u0301\u0301\u0301\u0301\u0301", "мixed wоrds", "中\ufe0f", strings.Repeat("é ", 80)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := rules.Escape(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Escape(%q) is not UTF-8: %q", s, got)
		}
		for _, r := range got {
			if !unicode.IsPrint(r) || unicode.In(r, unicode.Cf, unicode.Cc, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
				t.Fatalf("Escape(%q) = %q leaves %U", s, got, r)
			}
		}
		if strings.Contains(got, "  ") || strings.HasPrefix(got, " ") || strings.HasSuffix(got, " ") {
			t.Fatalf("Escape(%q) = %q hides spaces", s, got)
		}
		back, err := strconv.Unquote(`"` + strings.ReplaceAll(got, `"`, `\"`) + `"`)
		if err != nil || back != s {
			t.Fatalf("Escape(%q) = %q reads back as %q (%v)", s, got, back, err)
		}
		if again := strings.Join(wrap(got, 20), ""); strings.ReplaceAll(again, " ", "") != strings.ReplaceAll(got, " ", "") {
			t.Fatalf("wrapping %q loses something: %q", got, again)
		}
		for _, line := range wrap(got, 20) {
			if w := text.StringWidthWithoutEscSequences(line); w > 20 {
				t.Fatalf("a line of %q is %d columns wide: %q", got, w, line)
			}
		}
	})
}

func TestElideSaysWhatItLeavesOut(t *testing.T) {
	if got := elide("short\x00", 20); got != `short\x00` {
		t.Errorf("got %q", got)
	}
	got := elide(strings.Repeat("a", 90)+strings.Repeat("z", 10), 20)
	if want := strings.Repeat("a", 15) + "…[100 bytes in all]…zzzzz"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := elide(strings.Repeat("\xff", 10_000), 20); len(got) > 200 || !strings.Contains(got, "10000 bytes") {
		t.Errorf("got %q", got)
	}
}

// hostile are texts that a cloud may hold, or that somebody chose.
var hostile = rapid.OneOf(
	rapid.SampledFrom([]string{
		"", "plain", "two words", "\x1b[2J\x1b]0;title\a", "\u009b31m", "line\nbreak\r", "tab\t", "\x00\x7f", "\u202egnol\u2066", "\u061c\u200e",
		"zero\u200bwidth\u2060\ufeff", "\u3164\u115f\uffa0\u2800", "a\u034f\ufe0f\U000e0041\U000e0100", "\u2028\u2029", "\xff\xfe", "e\u0301\u0301\u0301\u0301\u0301",
		`{}"\`, "=HYPERLINK(\"http://x\")", "<script>alert(1)</script>", "%s%n", "op_svc_c\u043ec", " ends with a space ", "中文账号", strings.Repeat("long ", 500),
		strings.Repeat("x", 5000), strings.Repeat("\u202e", 2000),
	}),
	rapid.String(),
	rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
)

// Whatever anybody calls anything: each output keeps to its lines, shows everything that is there, and JSON can be read.
func TestHostileTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return hostile.Draw(t, name) }
		grant := rules.Grant{
			Policy: rules.Policy{ID: text("policy id"), Name: text("policy"), Origin: rules.Custom},
			Scope:  rules.Scope{Kind: rules.Project, ID: text("project id"), Name: text("project")},
		}
		b := rules.Baseline{Name: "coc", Service: "COC", Agency: "A", Required: []rules.Requirement{{Policy: text("required"), Scope: rules.Global}}}
		run := func() *auditor.Run {
			r := &auditor.Run{ID: "r", Program: text("program"), Baselines: []rules.Baseline{b}, States: map[rules.State]int{}}
			for _, state := range []rules.State{rules.StateDrifted, rules.StateUnknown} {
				rep := rules.Report{
					Account: rules.Account{ID: text("account id"), Name: text("account")}, Baseline: "coc", AgencyName: "A", State: state,
					Agency:   &rules.Agency{ID: text("agency id"), Name: text("agency"), Trust: rules.Trust{ID: text("trust id"), Name: text("trust")}},
					Required: []rules.Covered{{Policy: b.Required[0].Policy, Scope: rules.Global, Coverage: rules.CoverageWider, By: []rules.Grant{grant}}},
					Findings: []rules.Finding{{
						Rule: rules.RuleImpostor, Severity: rules.Critical, Policy: grant.Policy.Name, PolicyID: grant.Policy.ID, Scope: rules.Project,
						Message: text("message"), Consequences: []string{text("consequence")}, Grants: []rules.Grant{grant}, Cohort: text("cohort"),
					}},
				}
				if state == rules.StateUnknown {
					rep.Unknown = &rules.Unknown{Reason: rules.ReasonDenied, Detail: text("detail"), Remedy: text("remedy"), RequestID: text("request id")}
				}
				r.States[state]++
				r.Sweeps = append(r.Sweeps, auditor.Sweep{Report: rep, RequestIDs: []string{text("answer")}, Planes: []rules.Plane{
					{Kind: rules.Project, State: rules.PlaneRead, Total: 1, Grants: []rules.Grant{grant}, RequestIDs: []string{text("answer")}},
				}})
			}
			return r
		}
		one, two := run(), run()
		const width = 80
		o := Options{Width: width, Verbose: true}
		for name, show := range map[string]func(w io.Writer) error{
			"table":   func(w io.Writer) error { return Table(w, one, o) },
			"live":    func(w io.Writer) error { return Live(w, one, func(rules.Account) bool { return true }, 100, o) },
			"changes": func(w io.Writer) error { return Changes(w, one, two, text("title"), o) },
			"explain": func(w io.Writer) error { return Explain(w, one, &one.Sweeps[1], o) },
			"json":    func(w io.Writer) error { return JSON(w, one) },
		} {
			var out bytes.Buffer
			if err := show(&out); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if i := strings.IndexFunc(line, rules.Acts); i >= 0 || !utf8.ValidString(line) {
					t.Fatalf("%s: a line leaves %q: %q", name, line[max(i, 0):], line)
				}
				if name != "json" && !strings.HasPrefix(line, "  Finding id: ") && tooWide(line, width) {
					t.Fatalf("%s: a line of more than %d columns: %q", name, width, line)
				}
			}
			if name == "json" && !json.Valid(out.Bytes()) {
				t.Fatalf("no JSON: %s", out.Bytes())
			}
		}
	})
}

func tooWide(line string, width int) bool { return text.StringWidthWithoutEscSequences(line) > width }

package report

import (
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

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

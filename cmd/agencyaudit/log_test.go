package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules"
)

// FuzzLog holds the log to its promise for any text that a cloud, a file or a person wrote: one record is one line, in which
// everything is seen for what it is, and as JSON it reads back as it was.
func FuzzLog(f *testing.F) {
	for _, s := range []string{
		"", "plain", "two words", "\x1b[2J\x1b[31mred", "line\nbreak\r\n", "\u202egnol\u2066", "zero\u200bwidth\u2060\ufeff", "\x00\x07\x7f\x9b", "\u009b31m",
		"\xff\xfe\xc0\xaf", "\ud7ff\ue000", `{}"\`, `a="b" level=ERROR msg=x`, `","level":"ERROR"`, "=HYPERLINK(\"http://x\")", "<script>&amp;",
		"\u3164\u115f\uffa0\u2800", "a\u034f\ufe0f\U000e0041\U000e0100", "\u2028\u2029", "e\u0301", "中文", "😀", strings.Repeat("long ", 2000),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, text := range []bool{true, false} {
			var b bytes.Buffer
			a := &app{console: console{err: &b}}
			log := a.newLog(text, slog.LevelDebug).With("account", s)
			log.Warn("account not read", "detail", s, "err", errors.New(s), slog.Group("in", "agency", s))
			line, more, ended := strings.Cut(b.String(), "\n")
			if !ended || more != "" || !utf8.ValidString(line) {
				t.Fatalf("text %t: %q is not one line: %q", text, s, b.String())
			}
			if i := strings.IndexFunc(line, rules.Acts); i >= 0 {
				t.Fatalf("text %t: %q leaves %q", text, s, line[i:])
			}
			if text {
				if !strings.HasPrefix(line, "time=") || strings.Count(line, " level=WARN msg=\"account not read\" account=") < 1 {
					t.Fatalf("%q makes the line %q", s, line)
				}
				continue
			}
			var got struct {
				Level, Msg, Account, Detail, Err string
				In                               struct{ Agency string }
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%q makes the line %q: %v", s, line, err)
			}
			want := string([]rune(s)) // what is not UTF-8 is U+FFFD
			if got.Level != "WARN" || got.Account != want || got.Detail != want || got.Err != want || got.In.Agency != want {
				t.Fatalf("%q reads back as %+v", s, got)
			}
		}
	})
}

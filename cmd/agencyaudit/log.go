package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules"
)

// newLog makes a logger on stderr, of text or of JSON.
func (a *app) newLog(text bool, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: withUnit}
	if text {
		return slog.New(slog.NewTextHandler(visibleLog{w: a.err}, o))
	}
	return slog.New(slog.NewJSONHandler(visibleLog{w: a.err, json: true}, o))
}

// visibleLog is what log handlers write to. They escape what would end a line or act on a terminal, and leave much of what
// is not seen or turns text around; that is written as escapes here. In JSON an escape means the same character, so that
// whoever reads it gets the name as it is.
type visibleLog struct {
	w    io.Writer
	json bool
}

// Write writes one record, which handlers hand over as a whole, its line break at the end.
func (v visibleLog) Write(p []byte) (int, error) {
	var out []byte
	done := 0
	for i := 0; i < len(p); {
		r, size := utf8.DecodeRune(p[i:])
		if r != '\n' && (rules.Acts(r) || r == utf8.RuneError && size == 1) {
			out = append(out, p[done:i]...)
			switch {
			case size == 1 && r != utf8.RuneError:
				out = fmt.Appendf(out, `\u%04x`, r)
			case size == 1 && v.json:
				out = append(out, `\ufffd`...)
			case size == 1:
				out = fmt.Appendf(out, `\x%02x`, p[i])
			case r < 0x10000:
				out = fmt.Appendf(out, `\u%04x`, r)
			case v.json:
				high, low := utf16.EncodeRune(r)
				out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
			default:
				out = fmt.Appendf(out, `\U%08x`, r)
			}
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return v.w.Write(p)
	}
	if _, err := v.w.Write(append(out, p[done:]...)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// withUnit writes a span of time as text with its unit, in every format: 407ms, where JSON would have 407000000.
func withUnit(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindDuration {
		return a
	}
	d, unit := a.Value.Duration(), time.Millisecond
	if d < unit {
		unit = time.Microsecond
	}
	return slog.String(a.Key, rules.Span(d.Round(unit)))
}

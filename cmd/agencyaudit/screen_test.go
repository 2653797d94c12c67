package main

import (
	"bytes"
	"cmp"
	"context"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

// terminal is a console of a person, with a size that may change.
type terminal struct {
	out  *until
	err  bytes.Buffer
	size atomic.Pointer[[2]int]
	env  map[string]string
	// written is called after each write; nil does nothing.
	written func()
}

// Write writes to it.
func (s *terminal) Write(p []byte) (int, error) {
	n, err := s.out.Write(p)
	if s.written != nil {
		s.written()
	}
	return n, err
}

// demo runs the demo in the terminal until it has shown so many pictures, which begin with a text.
func (s *terminal) demo(t *testing.T, n int, beginning string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // for when the text never comes
	defer cancel()
	s.out = &until{text: beginning, n: n, done: cancel}
	code := run(ctx, []string{"demo", "--every", "1s", "--listen", "127.0.0.1:0"}, console{
		in: strings.NewReader(""), out: s, err: &s.err, outTerminal: true, errTerminal: true,
		size:      func() (int, int, error) { size := s.size.Load(); return size[0], size[1], nil },
		lookupEnv: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok },
	})
	if code != exitOK || strings.Count(s.out.String(), beginning) < n {
		t.Fatalf("exit code %d; stdout:\n%q\nstderr:\n%s", code, s.out.String(), s.err.String())
	}
	return s.out.String()
}

// The demo's picture fits into a small terminal: no line is broken by it, nothing scrolls, and the counts are there.
func TestTheDemoIsDrawnWithoutScrolling(t *testing.T) {
	t.Parallel()
	s := &terminal{}
	s.size.Store(&[2]int{80, 24})
	pictures := strings.Split(colors.ReplaceAllString(s.demo(t, 6, clearScreen), ""), clearScreen)[1:]
	for i, p := range pictures {
		if n := strings.Count(p, "\n"); n > 23 || !strings.HasSuffix(p, "Ctrl-C ends it.\n") {
			t.Errorf("picture %d has %d lines and the cursor's:\n%s", i, n, p)
		}
		if line, n := longest(p); n > 80 {
			t.Errorf("picture %d: a line of %d columns: %s", i, n, line)
		}
		if !strings.Contains(p, " unknown   ") || !strings.Contains(p, " compliant\n") || strings.Contains(p, " info  ") {
			t.Errorf("picture %d lacks the counts, or shows what is only information:\n%s", i, p)
		}
		if strings.Contains(p, "Just now    ") != (i > 0) {
			t.Errorf("picture %d does not say what happened, or says it too early:\n%s", i, p)
		}
	}
	if last := pictures[len(pictures)-1]; !strings.Contains(last, "drifted") {
		t.Errorf("nothing drifts:\n%s", last)
	}
}

// A terminal that is made larger has the next picture as large.
func TestTheDemoFollowsTheTerminalsSize(t *testing.T) {
	t.Parallel()
	s := &terminal{env: map[string]string{"NO_COLOR": "1"}}
	s.size.Store(&[2]int{64, 12})
	s.written = func() { s.size.Store(&[2]int{120, 50}) }
	pictures := strings.Split(s.demo(t, 2, clearScreen), clearScreen)[1:]
	if len(pictures) != 2 {
		t.Fatalf("%d pictures:\n%s", len(pictures), s.out.String())
	}
	small, large := pictures[0], pictures[1]
	if _, n := longest(small); n > 64 || !strings.Contains(small, " more\n") {
		t.Errorf("in 64 columns and 12 rows:\n%s", small)
	}
	if _, n := longest(large); n <= 80 || strings.Contains(large, " more\n") {
		t.Errorf("in 120 columns and 50 rows:\n%s", large)
	}
}

// A dumb terminal gets what a pipe gets: one line after the other, and not one escape sequence.
func TestADumbTerminalGetsNoEscapeSequence(t *testing.T) {
	t.Parallel()
	s := &terminal{env: map[string]string{"TERM": "dumb"}}
	s.size.Store(&[2]int{80, 24})
	out := s.demo(t, 3, "\n  now ")
	if strings.Contains(out+s.err.String(), "\x1b") {
		t.Errorf("stdout:\n%q\nstderr:\n%q", out, s.err.String())
	}
	if !strings.Contains(out, "WHY UNKNOWN") || !strings.Contains(s.err.String(), "The metrics http://") {
		t.Errorf("it is not what a pipe gets:\n%s\n%s", out, s.err.String())
	}
	if _, n := longest(out + s.err.String()); n > 80 {
		t.Errorf("a line has %d columns", n)
	}
}

// No help is wider than its terminal, but for commands, which are there to be copied.
func TestHelpFitsIntoTheTerminal(t *testing.T) {
	for _, width := range []int{60, 80, 100, 133, 0} {
		for _, c := range commands() {
			var out bytes.Buffer
			con := console{
				in: strings.NewReader(""), out: &out, err: &out, outTerminal: width > 0,
				size:      func() (int, int, error) { return width, 24, nil },
				lookupEnv: func(string) (string, bool) { return "", false },
			}
			path := strings.Fields(c.CommandPath())[1:]
			if code := run(t.Context(), append(path, "--help"), con); code != exitOK {
				t.Fatalf("%s: exit code %d: %s", c.CommandPath(), code, out.String())
			}
			help, most := out.String(), cmp.Or(width, 100)
			for line := range strings.Lines(help) {
				line = strings.TrimSuffix(line, "\n")
				isCommand := strings.Contains(line, "agencyaudit ") && !strings.Contains(line, " # ") && strings.HasPrefix(line, "  ")
				if n := len([]rune(line)); n > most && !isCommand {
					t.Errorf("%s in %d columns: a line of %d: %s", c.CommandPath(), width, n, line)
				}
			}
			for _, want := range []string{"Usage:\n  agencyaudit", "Examples:\n", "Flags:\n", c.Example[:20]} {
				if !strings.Contains(help, want) {
					t.Errorf("%s in %d columns says no %q:\n%s", c.CommandPath(), width, want, help)
				}
			}
		}
	}
}

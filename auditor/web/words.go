package web

import (
	"fmt"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// words names a state for people.
func words(s rules.State) string { return strings.ReplaceAll(string(s), "_", " ") }

// instant writes a time for people.
func instant(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

func at(t, now time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{instant(t), until(t, now)}
}

// until says how far away an instant is.
func until(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d >= time.Second:
		return "in " + duration(d)
	case d > -time.Second:
		return "now"
	default:
		return duration(-d) + " ago"
	}
}

// duration writes a time span with the one or two units that matter.
func duration(d time.Duration) string {
	d = max(d, 0)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return twoUnits(d, time.Minute, "min", time.Second, "s")
	case d < 48*time.Hour:
		return twoUnits(d, time.Hour, "h", time.Minute, "min")
	}
	return plural(int(d/(24*time.Hour)), "day")
}

func twoUnits(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	s := fmt.Sprintf("%d %s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		s += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return s
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// visibleLines makes what acts on a screen visible, line by line.
func visibleLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = rules.Escape(lines[i])
	}
	return strings.Join(lines, "\n")
}

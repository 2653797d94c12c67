package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestPlansThatCannotBeCarriedOut(t *testing.T) {
	for text, says := range map[string]string{
		"":                        "is empty",
		" ":                       "is empty",
		"TZ=UTC":                  "time zone",
		"TZ=UTC * * * * *":        "time zone",
		"CRON_TZ=Asia/Shanghai":   "time zone",
		"CRON_TZ= 0 2 * * *":      "time zone",
		"0 0 31 2 *":              "never comes",
		"0 0 30 2 *":              "never comes",
		"0 0 31 4,6,9,11 *":       "never comes",
		"@every 0s":               "no pause",
		"@every -5m":              "no pause",
		"@every 10ms":             "no pause",
		"@every 1500ms":           "not a whole number",
		"@every":                  "no duration",
		"@every soon":             "no duration",
		"@every 200000h":          "longer than any program runs",
		"@reboot":                 "no schedule",
		"* * * * * *":             "no schedule",
		"60 * * * *":              "no schedule",
		"*/0 * * * *":             "no schedule",
		"every day":               "no schedule",
		strings.Repeat("1,", 200): "more than 256 bytes",
	} {
		err := Plan{Cron: text, Timeout: time.Minute}.Check()
		p, ok := errors.AsType[Problem](err)
		if !ok || p.Key != "cron" || !strings.Contains(p.Problem, says) || p.Remedy == "" {
			t.Errorf("%q: %v, want that it %s", text, err, says)
		}
		if _, err := New(Options{Plan: Plan{Cron: text, Timeout: time.Minute}}); err == nil {
			t.Errorf("%q: the scheduler took it", text)
		}
	}
	for want, p := range map[string]Plan{
		"timeout": {Cron: "@hourly"},
		"jitter":  {Cron: "*/5 0-23 * * 1,3", Jitter: 5 * time.Minute, Timeout: time.Minute},
		"jitter ": {Cron: "@hourly", Jitter: -1, Timeout: time.Minute},
	} {
		if p, ok := errors.AsType[Problem](p.Check()); !ok || p.Key != strings.TrimSpace(want) {
			t.Errorf("%s: %v", want, p)
		}
	}
	if err := (Plan{Cron: "TZ=UTC", Jitter: -1}).Check(); err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("not every fault is said: %v", err)
	}
}

func TestGaps(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string][2]time.Duration{
		"*/15 * * * *":   {15 * time.Minute, 15 * time.Minute},
		"* * * * *":      {time.Minute, time.Minute},
		"@hourly":        {time.Hour, time.Hour},
		"@every 90s":     {90 * time.Second, 90 * time.Second},
		"0 6 * * *":      {day, day},
		"0 6 * * 1-5":    {day, 3 * day},
		"0,10 8-9 * * *": {10 * time.Minute, day - 70*time.Minute},
		"* * * 1-3 *":    {time.Minute, 275*day + time.Minute},
		"@weekly":        {7 * day, 7 * day},
		"0 0 1 1 *":      {365 * day, 366 * day},
		"0 0 29 2 *":     {1461 * day, 1461 * day},
		"59 23 31 12 *":  {365 * day, 366 * day},
		"*/7 * * * *":    {4 * time.Minute, 7 * time.Minute},
		"0 0 13 * 5":     {day, 7 * day}, // either of the two, as cron has it
	} {
		shortest, longest, err := Plan{Cron: text}.Gaps(epoch)
		if err != nil || shortest != want[0] || longest != want[1] {
			t.Errorf("%s: %s to %s (%v), want %s to %s", text, shortest, longest, err, want[0], want[1])
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, s := range []string{"*/15 * * * *", "TZ=UTC", "@every 1h", "0 0 31 2 *", "@every", "CRON_TZ=x ", "1-0 * * * *", "*/99999999999 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p := Plan{Cron: s, Timeout: time.Minute}
		err := p.Check()
		shortest, longest, gapsErr := p.Gaps(epoch)
		if (err == nil) != (gapsErr == nil) {
			t.Fatalf("%q: checked %v, measured %v", s, err, gapsErr)
		}
		if err == nil && (shortest < time.Second || longest < shortest) {
			t.Fatalf("%q: from %s to %s", s, shortest, longest)
		}
	})
}

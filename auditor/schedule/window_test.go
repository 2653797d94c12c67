package schedule_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor/schedule"
)

func at(t testing.TB, text string) time.Time {
	t.Helper()
	when, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return when
}

func TestWindowEdges(t *testing.T) {
	for _, c := range []struct {
		cron string
		open time.Duration
		now  string
		want bool
	}{
		// 2026-11-23 is a Monday.
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T08:59:59.999999999Z", false},
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T09:00:00Z", true},
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T12:59:59.999999999Z", true},
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T13:00:00Z", false},
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-22T10:00:00Z", false},
		// In UTC, whatever the clock's zone is.
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T10:00:00+02:00", false},
		{"0 9 * * 1-5", 4 * time.Hour, "2026-11-23T11:00:00+02:00", true},
		// Over midnight, into a day on which it does not open itself, and over the ends of months and years.
		{"0 22 * * 5", 4 * time.Hour, "2026-11-28T01:59:59Z", true},
		{"0 22 * * 5", 4 * time.Hour, "2026-11-28T02:00:00Z", false},
		{"0 22 * * 5", 4 * time.Hour, "2026-11-28T22:30:00Z", false},
		{"30 23 30 11 *", time.Hour, "2026-12-01T00:29:59Z", true},
		{"30 23 30 11 *", time.Hour, "2026-12-01T00:00:00Z", true},
		{"30 23 30 11 *", time.Hour, "2026-12-01T00:30:00Z", false},
		{"0 12 31 12 *", 24 * time.Hour, "2027-01-01T11:59:59Z", true},
		{"0 12 31 12 *", 24 * time.Hour, "2027-01-01T12:00:00Z", false},
		{"0 20 29 2 *", 8 * time.Hour, "2027-03-01T01:00:00Z", false},
		{"0 20 29 2 *", 8 * time.Hour, "2028-03-01T03:59:59Z", true},
		{"0 20 29 2 *", 8 * time.Hour, "2028-03-01T04:00:00Z", false},
		{"@daily", time.Minute, "2026-11-23T00:00:59Z", true},
		{"@daily", time.Minute, "2026-11-23T00:01:00Z", false},
		// One that opens anew before it closes is always open.
		{"@hourly", 2 * time.Hour, "2026-11-23T12:34:56Z", true},
		// What Check refuses is never open.
		{"@every 1h", 2 * time.Hour, "2026-11-23T12:34:56Z", false},
		{"* * * * *", 0, "2026-11-23T12:00:00Z", false},
		{"* * * * *", 25 * time.Hour, "2026-11-23T12:00:00Z", false},
		{"at nine", time.Hour, "2026-11-23T12:34:56Z", false},
		{"0 0 31 2 *", time.Hour, "2026-11-23T12:34:56Z", false},
	} {
		if got := (schedule.Window{Cron: c.cron, For: c.open}).Open(at(t, c.now)); got != c.want {
			t.Errorf("%q for %s at %s: %v", c.cron, c.open, c.now, got)
		}
	}
}

// TestWindowIsOpenAfterEachTimeThatItOpens compares with the plain meaning, minute by minute.
func TestWindowIsOpenAfterEachTimeThatItOpens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hour, minute := rapid.IntRange(0, 23).Draw(t, "hour"), rapid.IntRange(0, 59).Draw(t, "minute")
		open := time.Duration(rapid.IntRange(1, 24*60).Draw(t, "open")) * time.Minute
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.Int64Range(0, int64(2*365*24*time.Hour)).Draw(t, "now")))
		w := schedule.Window{Cron: strings.Join([]string{itoa(minute), itoa(hour), "* * *"}, " "), For: open}
		want := false
		for day := -1; day <= 0; day++ {
			from := time.Date(now.Year(), now.Month(), now.Day()+day, hour, minute, 0, 0, time.UTC)
			want = want || !now.Before(from) && now.Before(from.Add(open))
		}
		if got := w.Open(now); got != want {
			t.Fatalf("%+v at %s: %v", w, now, got)
		}
	})
}

func itoa(n int) string { return string([]byte{byte('0' + n/10), byte('0' + n%10)}) }

func TestWindowCheck(t *testing.T) {
	for _, c := range []struct {
		w    schedule.Window
		want string
	}{
		{schedule.Window{Cron: "0 9 * * 1-5", For: time.Minute}, ""},
		{schedule.Window{Cron: "@daily", For: 24 * time.Hour}, ""},
		{schedule.Window{Cron: "0 9 * * 1-5", For: time.Minute - 1}, "for: "},
		{schedule.Window{Cron: "0 9 * * 1-5", For: 24*time.Hour + 1}, "for: "},
		{schedule.Window{Cron: "@every 5m", For: time.Hour}, "cron: \"@every 5m\" comes at no time of its own"},
		{schedule.Window{Cron: "CRON_TZ=Asia/Shanghai 0 9 * * *", For: time.Hour}, "cron: names a time zone"},
		{schedule.Window{Cron: "", For: 0}, "cron: is empty"},
	} {
		err := c.w.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.w, err)
		}
	}
	err := schedule.Window{}.Check()
	many, ok := err.(interface{ Unwrap() []error })
	if p, is := errors.AsType[schedule.Problem](err); !is || p.Key != "cron" || !ok || len(many.Unwrap()) != 2 {
		t.Errorf("not every fault at once: %v", err)
	}
}

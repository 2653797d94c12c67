package history_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
)

// A year and more of what happens: every account drifts and is put right about six times, cannot be read about eight times,
// and moves within the organization once or twice.
const days, runsADay = 400, 1

var plausible = chances{
	drift: 6.0 / (days * runsADay), repair: 0.2, dark: 8.0 / (days * runsADay), light: 0.7, moved: 1.5 / (days * runsADay),
}

// TestSize plays 400 days of drift in 60 accounts, or in as many as AGENCYAUDIT_HISTORY says, and holds the history to 20 KiB an
// account, which is 200 MiB for 10,000. What the other runs of a day cost, in which nothing changes, is measured by itself.
func TestSize(t *testing.T) {
	const perAccount, runsInAll = 20 << 10, days * 24 * 4
	n := 60
	if text := os.Getenv("AGENCYAUDIT_HISTORY"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("AGENCYAUDIT_HISTORY=%s is no number of accounts", text)
		}
	}
	dir := t.TempDir()
	s := open(t, dir)
	f := newFleet(1, n)
	for range days * runsADay {
		f.run(24 * time.Hour / runsADay)
		record(t, s, f)
		f.drift(plausible)
	}
	drifted := size(t, s)
	const still = 100
	f.run(time.Minute)
	record(t, s, f)
	before := size(t, s)
	for range still {
		f.run(time.Minute)
		record(t, s, f)
	}
	perRun := (size(t, s) - before) / still
	drifted -= perRun * days * runsADay
	total := drifted + perRun*runsInAll
	list, err := s.Verdicts(t.Context(), history.Query{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Findings(t.Context(), history.Query{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d accounts, %d days: %.1f MiB, of which %.1f MiB for runs at %d bytes each; %d verdicts, %d findings; %d bytes an account without runs",
		n, days, float64(total)/(1<<20), float64(perRun*runsInAll)/(1<<20), perRun, len(list), len(found), drifted/int64(n))
	// The runs are there however many accounts there are: their part of 200 MiB is an account's part of theirs.
	if per := drifted/int64(n) + perRun*runsInAll/10_000; per > perAccount {
		t.Errorf("the history takes %d bytes an account, more than %d", per, perAccount)
	}
	if perRun > 1000 {
		t.Errorf("a run in which nothing changes takes %d bytes", perRun)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func record(t testing.TB, s history.Store, f *fleet) {
	t.Helper()
	if err := s.Record(t.Context(), f.now); err != nil {
		t.Fatal(err)
	}
}

// size is what is in the database's file once all of it is there.
func size(t testing.TB, s history.Store) int64 {
	t.Helper()
	if err := s.Compact(t.Context(), time.Time{}); err != nil {
		t.Fatal(err)
	}
	n, err := s.Size()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkRecordNothing is a run over 10,000 accounts in which nothing changed.
func BenchmarkRecordNothing(b *testing.B) {
	s := open(b, b.TempDir())
	f := newFleet(1, 10_000)
	f.run(time.Minute)
	record(b, s, f)
	for b.Loop() {
		b.StopTimer()
		f.run(time.Minute)
		b.StartTimer()
		record(b, s, f)
	}
}

// BenchmarkLast is what a start with 10,000 accounts reads.
func BenchmarkLast(b *testing.B) {
	s := open(b, b.TempDir())
	f := newFleet(1, 10_000)
	f.run(time.Minute)
	record(b, s, f)
	for b.Loop() {
		if _, err := s.Last(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

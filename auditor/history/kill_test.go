package history_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
)

// With this variable in its environment the test's program records runs in the directory that it names, without an end.
const childOf = "AGENCYAUDIT_TEST_RECORDS_IN"

func TestMain(m *testing.M) {
	if dir, cycle, ok := strings.Cut(os.Getenv(childOf), "\n"); ok {
		fmt.Fprintln(os.Stderr, recordForEver(dir, cycle))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// recordForEver records runs, and says the id of each as soon as it is recorded.
func recordForEver(dir, cycle string) error {
	seed, err := strconv.ParseUint(cycle, 10, 64)
	if err != nil {
		return err
	}
	s, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		return err
	}
	f := newFleet(1, 20)
	f.r, f.at = rand.New(rand.NewPCG(seed, 1)), noon.Add(time.Duration(seed)*24*time.Hour)
	ctx := context.Background()
	past, err := s.Last(ctx)
	if err != nil {
		return err
	}
	f.now = auditor.Restore(f.subjects(), f.baselines, maxAge, past)
	for {
		f.drift(lively)
		f.run(time.Minute)
		if err := s.Record(ctx, f.now); err != nil {
			return err
		}
		if f.n%5 == 0 {
			if err := s.Compact(ctx, noon); err != nil {
				return err
			}
		}
		fmt.Println(f.now.Run.ID)
	}
}

// TestKilled kills a process that records, 20 times or as often as AGENCYAUDIT_KILLS says: what was recorded is there, and whole.
func TestKilled(t *testing.T) {
	cycles := 20
	if text := os.Getenv("AGENCYAUDIT_KILLS"); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatalf("AGENCYAUDIT_KILLS=%s is no number", text)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := ""
	r := rand.New(rand.NewPCG(5, 5))
	var recorded []string
	const perHistory = 50 // a history that is read whole after every kill should not grow for ever
	total := 0
	for cycle := range cycles {
		if cycle%perHistory == 0 {
			dir, recorded, total = t.TempDir(), nil, total+len(recorded)
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), childOf+"="+dir+"\n"+strconv.Itoa(cycle))
		var problem strings.Builder
		cmd.Stderr = &problem
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 1 + r.IntN(6); n > 0 && lines.Scan(); n-- {
			recorded = append(recorded, lines.Text())
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			recorded = append(recorded, lines.Text()) // said before it was killed
		}
		if err := cmd.Wait(); err == nil || problem.Len() > 0 {
			t.Fatalf("cycle %d: the process ended by itself (%v): %s", cycle, err, problem.String())
		}
		s, err := history.OpenSQLite(dir, history.Options{})
		if err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		if err := s.Check(t.Context()); err != nil {
			t.Fatalf("cycle %d: %v", cycle, err)
		}
		list, err := s.Runs(t.Context(), time.Time{}, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		has := make([]string, len(list))
		for i := range list {
			has[i] = list[i].ID
		}
		for _, id := range recorded {
			if !slices.Contains(has, id) {
				t.Fatalf("cycle %d: run %s was recorded, and is lost", cycle, id)
			}
		}
		// At most the run that was under way may be there without having been said to be.
		if len(has) > len(recorded)+cycle%perHistory+1 {
			t.Fatalf("cycle %d: there are %d runs, and %d were recorded", cycle, len(has), len(recorded))
		}
		closing(t, s)
	}
	if total += len(recorded); total < cycles {
		t.Errorf("in %d cycles %d runs were recorded: too little happened", cycles, total)
	}
	t.Logf("%d cycles, %d runs recorded, none lost", cycles, total)
}

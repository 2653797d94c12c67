package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/agencyaudit/agencyaudit/auditor/history"
)

// A disk that takes nothing more, which is played by a limit of the kernel's to the size of the daemon's files, costs the history and
// nothing else: it is counted and told, what drifts is seen, and when there is room again the history catches up. A kill in between
// loses what was not recorded, and no more.
func TestADiskThatIsFullCostsHistoryAlone(t *testing.T) {
	t.Parallel()
	r := stageWithHistory(t)
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.recorded(1)
	room := func(bytes uint64) {
		t.Helper()
		limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
		if err := unix.Prlimit(r.daemon.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
			t.Fatal(err)
		}
	}
	lost := func(m moment) float64 { return m.one("history_errors_total") }
	room(0)
	m := r.await("the history fails", func(m moment) string {
		if lost(m) > 0 {
			return ""
		}
		return fmt.Sprint("it failed as often as ", lost(m))
	})
	failed := lost(m)
	drifted := &r.accounts[3]
	drifted.drifted = true
	r.happens(revoked(drifted.id))
	r.await("the drift is seen all the same", r.allAsTheyAre)
	r.ranSince(time.Now())
	during := r.look()
	if lost(during) <= failed || during.one("run_complete") != 1 {
		t.Errorf("%v runs were not recorded, and before it were %v; complete: %v", lost(during), failed, during.one("run_complete"))
	}
	if page := r.daemon.get(t, "/").body; !strings.Contains(page, "History not kept") {
		t.Error("the page does not say that the history is not kept")
	}
	if !strings.Contains(r.daemon.err.String(), "the run was not recorded in the history; the next one catches up") {
		t.Error("the log does not say it")
	}

	room(unix.RLIM_INFINITY)
	before := strings.Count(r.daemon.err.String(), `"msg":"run recorded"`)
	r.recorded(before + 1)
	m = r.look()
	r.kill()
	s, err := history.OpenReadOnly(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	found, err := s.Findings(t.Context(), history.Query{Account: drifted.id, Bare: true})
	if err != nil || len(found) != 1 || found[0].Policy != "DCS UserAccess" {
		t.Errorf("the drift that happened while the disk was full is %v, %v", found, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	r.door.close(t)
	r.start()
	if d := m.where(sinceSeries).diff(r.look().where(sinceSeries)); d != "" {
		t.Errorf("after a restart it is not as old as it was:\n%s", d)
	}
	r.kill()
	r.door.open(t)
	r.start()
	r.await("everything is known again", r.allAsTheyAre)
	r.end()
}

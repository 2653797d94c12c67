package main

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/agencyaudit/agencyaudit/rules"
)

// full has a disk that takes nothing any more: nothing is written in the cloud, also once there is room again, until a restart has verified the
// ledger.
var full = trouble{
	before: func(w *workshop) { w.room(0) },
	after: func(w *workshop) {
		w.await("the ledger fails", func(m moment) string {
			if m.one("ledger_append_errors_total") > 0 && m.one("ledger_ok") == 0 {
				return ""
			}
			return "not yet"
		})
		w.room(unix.RLIM_INFINITY)
		w.twoRuns()
		w.held(rules.HoldLedger)
		w.ranSince(time.Now())
	},
}

// room is how long a file of the daemon may become.
func (w *workshop) room(bytes uint64) {
	w.t.Helper()
	limit := unix.Rlimit{Cur: bytes, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(w.daemon.cmd.Process.Pid, unix.RLIMIT_FSIZE, &limit, nil); err != nil {
		w.t.Fatal(err)
	}
}

//go:build unix

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// remembering is a scene whose daemon keeps a history.
type remembering struct {
	*scene
	dir, file string
}

func stageWithHistory(t *testing.T) *remembering {
	t.Helper()
	dir := t.TempDir()
	r := &remembering{scene: stage(t, fault{}), dir: filepath.Join(dir, "state"), file: filepath.Join(dir, "agencyaudit.yaml")}
	replace(t, r.file, r.config(r.door.url(), "state_dir: state\n"))
	return r
}

// start starts the daemon, the first time or again.
func (r *remembering) start() {
	r.t.Helper()
	r.daemon = (&simulator{secret: r.secrets.all()[1]}).serveFile(r.t, filepath.Dir(r.file), r.file, r.env)
}

// watched has every scrape of the daemon be looked at from now on, and waits until some were.
func (r *remembering) watched(also func(s series) error) {
	r.t.Helper()
	r.daemon.always(r.t, also)
	r.wait("some scrapes were looked at", patience, func() string {
		if n := r.daemon.scrapes.Load(); n < 5 {
			return fmt.Sprint(n, " were")
		}
		return ""
	})
}

// kill kills it.
func (r *remembering) kill() {
	r.t.Helper()
	_ = r.daemon.cmd.Process.Kill()
	if code := r.daemon.wait(r.t); code != -1 {
		r.t.Fatalf("the daemon ended by itself with code %d", code)
	}
}

// recorded waits until so many runs of the daemon were recorded.
func (r *remembering) recorded(n int) {
	r.t.Helper()
	r.wait("runs are recorded", patience, func() string {
		if got := strings.Count(r.daemon.err.String(), `"msg":"run recorded"`); got < n {
			return fmt.Sprintf("%d are", got)
		}
		return ""
	})
}

// notStarted starts a daemon that has to end by itself, and returns what it says.
func (r *remembering) notStarted() string {
	r.t.Helper()
	p := launch(r.t, filepath.Dir(r.file), r.env, []string{"run", "--config", r.file})
	within(r.t, "it ends", func() string {
		if strings.Contains(p.err.String(), "serving metrics and pages") {
			r.t.Fatalf("it serves: %s", p.err.String())
		}
		if !p.gone() {
			return "it still runs"
		}
		return ""
	})
	if code := p.wait(r.t); code != exitPartial {
		r.t.Errorf("exit code %d, want %d: %s", code, exitPartial, p.err.String())
	}
	r.hidden("what it says", p.err.String())
	return p.err.String()
}

// revoked is that an account's agency loses a grant that the baseline requires.
func revoked(account string) simcloud.Drift {
	return simcloud.Drift{
		Kind: simcloud.DriftRevoke, Account: account, Agency: auditedAgency, Grant: &simcloud.Grant{Policy: "DCS UserAccess", Scope: "all_resources"},
	}
}

const sinceSeries = "finding_first_seen_timestamp_seconds"

// nothingRight says what a scrape may not show while nothing was read.
func (r *remembering) nothingRight(s series) error {
	if s.one("accounts", `state="unknown"`) != float64(len(r.accounts)) || s.where("policy_missing").count(0) > 0 ||
		s.where("agency_trust_mismatch").count(0) > 0 || s.where("account_state", `state="unknown"`).count(1) != len(r.accounts) {
		return fmt.Errorf("something is right that was not read: %v\n%v", s.where("accounts"), s.where("policy_missing"))
	}
	return nil
}

// After a kill and a start with the cloud away nothing is right, from the first scrape on; what was wrong is there, with the instant
// since when and the age of its evidence; and that stays so, run by run, until the cloud is read again.
func TestAfterAKillNothingIsRightAndNothingForgotten(t *testing.T) {
	t.Parallel()
	r := stageWithHistory(t)
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.recorded(1)
	before := r.look()
	bad, green := before.where("policy_missing"), before.where("policy_missing").count(0)
	if bad.count(1) != 2 || green == 0 || len(before.where(sinceSeries)) < 4 || len(before.where("policy_excess")) == 0 {
		t.Fatalf("there is too little to remember: %v\n%v", bad, before.where(sinceSeries))
	}
	r.kill()
	killed := float64(time.Now().UnixMilli()) / 1000
	r.door.close(t)

	remembered := func(s series) error {
		if err := r.nothingRight(s); err != nil {
			return err
		}
		if is := s.where("policy_missing"); is.count(1) != bad.count(1) {
			return fmt.Errorf("missing was\n%v\nand is\n%v", bad.ones(), is)
		}
		for _, name := range []string{sinceSeries, "policy_excess"} {
			if d := before.where(name).diff(s.where(name)); d != "" {
				return fmt.Errorf("%s is not what it was:\n%s", name, d)
			}
		}
		reads := s.where("account_last_complete_read_timestamp_seconds")
		for key, at := range reads {
			if at > killed {
				return fmt.Errorf("%s: read at %f, and the daemon was killed at %f", key, at, killed)
			}
		}
		if at := s.one("run_last_complete_timestamp_seconds"); len(reads) != len(r.accounts) || at <= 0 || at > killed || s.runs("complete") > 0 {
			return fmt.Errorf("%d accounts were read, the last complete run ended at %f, and the daemon was killed at %f", len(reads), at, killed)
		}
		return nil
	}
	r.start()
	first := r.look()
	if err := remembered(first.series); err != nil {
		t.Fatalf("the first scrape: %v", err)
	}
	r.watched(remembered)
	r.await("runs have read nothing", func(m moment) string {
		if m.where("account_unknown", `reason="unreachable"`).count(1) == len(r.accounts) && m.runs > 0 {
			return ""
		}
		return fmt.Sprint(m.where("account_unknown"))
	})
	if page := r.pages()["/"]; !strings.Contains(page, "DCS UserAccess") {
		t.Errorf("the page does not show what was wrong:\n%s", page)
	}
	r.recorded(1)
	r.kill() // and what could not be read is no reason to forget

	r.start()
	if err := remembered(r.look().series); err != nil {
		t.Fatalf("the first scrape after another kill: %v", err)
	}
	r.kill()
	r.door.open(t)
	r.start()
	after := r.await("everything is known again", r.allAsTheyAre)
	if d := before.where(sinceSeries).diff(after.where(sinceSeries)); d != "" {
		t.Errorf("what has stood all the time is not as old as it was:\n%s", d)
	}
	if d := bad.diff(after.where("policy_missing")); d != "" {
		t.Errorf("nothing has changed, but\n%s", d)
	}
	r.end()
}

// An account that the configuration lost while the daemon was dead has no series from the first scrape on, and what was wrong with it
// does not come back with it.
func TestAfterAKillNoSeriesOutlivesItsAccount(t *testing.T) {
	t.Parallel()
	r := stageWithHistory(t)
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.recorded(1)
	r.kill()
	all := r.accounts
	gone := all[1]
	if !gone.drifted {
		t.Fatal("nothing is wrong with the account that leaves")
	}
	text, err := os.ReadFile(r.file)
	if err != nil {
		t.Fatal(err)
	}
	var without strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(line, gone.id) {
			without.WriteString(line)
		}
	}
	replace(t, r.file, without.String())
	lacks := func(s series) error {
		for key := range s {
			if strings.Contains(key, gone.name) || strings.Contains(key, gone.id) {
				return fmt.Errorf("it is gone, and there is %s", key)
			}
		}
		if n := s.one("accounts_expected"); n != float64(len(all)-1) {
			return fmt.Errorf("%v accounts are expected", n)
		}
		return nil
	}
	r.start()
	if err := lacks(r.look().series); err != nil {
		t.Fatalf("the first scrape: %v", err)
	}
	r.watched(lacks)
	r.recorded(1)
	r.kill()

	replace(t, r.file, string(text))
	r.door.close(t)
	r.start()
	if is := r.look(); len(is.where(sinceSeries, gone.label())) > 0 || is.one("account_state", gone.label(), `state="unknown"`) != 1 {
		t.Errorf("of an account that had left it knows %v", is.where(sinceSeries, gone.label()))
	}
	r.kill()
	r.door.open(t)
	r.start()
	r.await("everything is known again", r.allAsTheyAre)
	r.end()
}

// A second daemon with the same state directory ends at once, and says which process has it; the first one is not touched, and when it
// is killed, the directory is free.
func TestASecondDaemonIsTurnedAway(t *testing.T) {
	t.Parallel()
	r := stageWithHistory(t)
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	said := r.notStarted()
	if want := fmt.Sprintf("%s is in use by process %d since ", r.dir, r.daemon.cmd.Process.Pid); !strings.Contains(said, want) {
		t.Errorf("it does not say %q: %s", want, said)
	}
	r.ranSince(time.Now())
	if failed := r.look().one("history_errors_total"); failed != 0 {
		t.Errorf("the first one failed to record %v runs", failed)
	}
	r.kill()
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.end()
}

// A history that cannot be believed ends the start, with its file and what to do; nothing of it is changed, and nothing is begun anew
// until somebody moves it away.
func TestADamagedHistoryEndsTheStart(t *testing.T) {
	t.Parallel()
	r := stageWithHistory(t)
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.recorded(1)
	r.daemon.interrupt(t)
	file := filepath.Join(r.dir, history.FileName)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	name := r.accounts[1].name
	if bytes.Count(whole, []byte(name)) == 0 {
		t.Fatal("the file does not name the account")
	}
	for what, damage := range map[string][]byte{
		"cut off":         whole[:len(whole)/2],
		"empty":           {},
		"something else":  []byte("this is no history, but a letter\n"),
		"altered in rows": bytes.ReplaceAll(whole, []byte(name), []byte("X"+name[1:])), // where every page is as SQLite wants it
	} {
		if err := os.WriteFile(file, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		said := r.notStarted()
		for _, want := range []string{"the history in " + file + " cannot be read", "restore a copy of it", "move it away"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s: it does not say %q: %s", what, want, said)
			}
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, damage) {
			t.Errorf("%s: the file was changed: %v", what, err)
		}
	}
	for _, beside := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(file+beside, file+beside+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	r.start()
	r.await("everything is known", r.allAsTheyAre)
	r.end()
}

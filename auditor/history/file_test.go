package history_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// everything is all that a store shows.
type everything struct {
	past     *auditor.Past
	runs     []history.Run
	findings []history.Finding
	verdicts []history.Verdict
	begins   time.Time
	accounts []rules.Account
	marks    map[string]string
}

func read(t testing.TB, s history.Store) (all everything, err error) {
	t.Helper()
	if all.past, err = s.Last(t.Context()); err != nil {
		return all, err
	}
	if all.runs, err = s.Runs(t.Context(), time.Time{}, time.Time{}); err != nil {
		return all, err
	}
	if all.findings, err = s.Findings(t.Context(), history.Query{}); err != nil {
		return all, err
	}
	if all.verdicts, err = s.Verdicts(t.Context(), history.Query{}); err != nil {
		return all, err
	}
	if all.begins, err = s.Begins(t.Context()); err != nil {
		return all, err
	}
	if all.accounts, err = s.Accounts(t.Context()); err != nil {
		return all, err
	}
	all.marks, err = s.Marks(t.Context())
	return all, err
}

func mustRead(t testing.TB, s history.Store) everything {
	t.Helper()
	all, err := read(t, s)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lively makes a lot happen, so that a small history has rows of every kind.
var lively = chances{drift: 0.3, repair: 0.2, dark: 0.2, light: 0.5, moved: 0.1}

// filled fills a history with some runs, and closes it.
func filled(t testing.TB, dir string) everything {
	t.Helper()
	s, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f := newFleet(7, 8)
	for range 12 {
		f.run(time.Hour)
		record(t, s, f)
		f.drift(lively)
		if err := s.Mark(t.Context(), "runs", fmt.Sprint(f.at.Unix())); err != nil {
			t.Fatal(err)
		}
	}
	all := mustRead(t, s)
	closing(t, s)
	return all
}

func TestWhatIsRecordedIsThereAfterwards(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a directory?", "of #1 and 100%")
	before := filled(t, dir)
	s := open(t, dir)
	if after := mustRead(t, s); !reflect.DeepEqual(before, after) {
		t.Error("a history is another one when it is opened again")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for name, want := range map[string]os.FileMode{".": 0o700 | os.ModeDir, "history.db": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s has the mode %v (%v), want %v", name, info.Mode(), err, want)
		}
	}
	for _, beside := range []string{"history.db-wal", "history.db-shm"} {
		if info, err := os.Stat(filepath.Join(dir, beside)); err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v", beside, info.Mode())
		}
	}
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := history.OpenSQLite(dir, history.Options{})
	var used *history.InUse
	if !errors.As(err, &used) || used.Dir != dir {
		t.Fatalf("a second owner got %v", err)
	}
	for _, want := range []string{dir, fmt.Sprintf("process %d since 20", os.Getpid()), "state directory of its own"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error %q does not say %q", err, want)
		}
	}
	closing(t, s)
	open(t, dir)
}

// TestAHistoryThatIsTakenAway: SQLite and the kernel go on with files that have no name any more. What is recorded in them is not.
func TestAHistoryThatIsTakenAway(t *testing.T) {
	for name, take := range map[string]func(dir string) error{
		"the directory is deleted": os.RemoveAll,
		"the directory is moved":   func(dir string) error { return os.Rename(dir, dir+".moved") },
		"the history is deleted":   func(dir string) error { return os.Remove(filepath.Join(dir, history.FileName)) },
		"its WAL is deleted":       func(dir string) error { return os.Remove(filepath.Join(dir, history.FileName+"-wal")) },
		"the lock is deleted":      func(dir string) error { return os.Remove(filepath.Join(dir, "lock")) },
		"another one is there": func(dir string) error {
			file := filepath.Join(dir, history.FileName)
			data, err := os.ReadFile(file)
			return errors.Join(err, os.Rename(file, file+".old"), os.WriteFile(file, data, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			s := open(t, dir)
			f := newFleet(7, 3)
			f.run(time.Hour)
			record(t, s, f)
			if err := take(dir); err != nil {
				t.Fatal(err)
			}
			f.run(time.Hour)
			if err := s.Record(t.Context(), f.now); err == nil || !strings.Contains(err.Error(), "was moved, deleted or replaced while the program ran") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	if _, err := history.OpenReadOnly(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no history") {
		t.Errorf("where there is no history, got %v", err)
	}
	dir := t.TempDir()
	want := filled(t, dir)
	content := func() map[string]string {
		t.Helper()
		is := map[string]string{}
		list, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			data, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			is[e.Name()] = string(data)
		}
		return is
	}
	before := content()
	look, err := history.OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, look) })
	if got := mustRead(t, look); !reflect.DeepEqual(got, want) {
		t.Error("a history that is looked at is another one")
	}
	if err := look.Check(t.Context()); err != nil {
		t.Error(err)
	}
	f := newFleet(7, 8)
	f.run(time.Hour)
	if err := look.Record(t.Context(), f.now); err == nil {
		t.Error("a history that is looked at was written")
	}
	if err := look.Compact(t.Context(), noon); err == nil {
		t.Error("a history that is looked at was compacted")
	}
	if err := look.Mark(t.Context(), "a", "b"); err == nil {
		t.Error("a history that is looked at was marked")
	}
	if after := content(); !reflect.DeepEqual(before, after) {
		t.Error("looking at a history changed its directory")
	}
	// An owner begins to write while it is looked at, and goes on, and ends.
	s := open(t, dir)
	f = newFleet(8, 8)
	for range 20 {
		f.run(time.Hour)
		record(t, s, f)
		f.drift(lively)
		if err := s.Mark(t.Context(), "runs", f.at.String()); err != nil {
			t.Fatal(err)
		}
		if got, want := mustRead(t, look), mustRead(t, s); !reflect.DeepEqual(got, want) {
			t.Fatal("who looks does not see what was recorded")
		}
	}
	if err := s.Compact(t.Context(), f.at); err != nil {
		t.Fatal(err)
	}
	want = mustRead(t, s)
	closing(t, s)
	if got := mustRead(t, look); !reflect.DeepEqual(got, want) {
		t.Error("who looks does not see what was recorded last")
	}
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir)
	info, err := os.Stat(filepath.Join(dir, history.FileName))
	if err != nil {
		t.Fatal(err)
	}
	s, err := history.OpenSQLite(dir, history.Options{MaxBytes: info.Size() + 2*4096})
	if err != nil {
		t.Fatal(err)
	}
	before := mustRead(t, s)
	f := newFleet(9, 50)
	failed := 0
	for range 3 {
		f.run(time.Hour)
		err := s.Record(t.Context(), f.now)
		if err == nil {
			continue
		}
		failed++
		if !strings.Contains(err.Error(), "disk is full") {
			t.Errorf("a full disk is said to be %q", err)
		}
	}
	if failed != 3 {
		t.Fatalf("%d of 3 runs failed", failed)
	}
	if after := mustRead(t, s); !reflect.DeepEqual(before, after) {
		t.Error("a run that could not be recorded left something behind")
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	closing(t, s)
	// With room again, the next run catches up.
	s = open(t, dir)
	f.run(time.Hour)
	record(t, s, f)
	past, err := s.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, r := range past.Subjects {
		if r.Evidence != nil {
			found++
		}
	}
	if found != 50 {
		t.Errorf("of 50 accounts, %d are known", found)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	ruin := func(how func(t *testing.T, file string)) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			filled(t, dir)
			how(t, filepath.Join(dir, history.FileName))
		}
	}
	run := func(statements ...string) func(*testing.T, string) {
		return ruin(func(t *testing.T, file string) {
			db, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			for _, s := range statements {
				if _, err := db.ExecContext(t.Context(), s); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	write := func(text string) func(*testing.T, string) {
		return ruin(func(t *testing.T, file string) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		})
	}
	for name, c := range map[string]struct {
		ruin  func(*testing.T, string)
		wants []string
	}{
		"no database": {write("this is a letter, not a history, and a long one"), []string{"no database", "restore a copy", "lost"}},
		"empty":       {write(""), []string{"no database", "restore a copy"}},
		"cut off": {ruin(func(t *testing.T, file string) {
			if err := os.Truncate(file, 5*4096); err != nil {
				t.Fatal(err)
			}
		}), []string{"restore a copy"}},
		"another database": {ruin(func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open("sqlite", file)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if _, err := db.ExecContext(t.Context(), "CREATE TABLE other (x)"); err != nil {
				t.Fatal(err)
			}
		}), []string{"no history", "restore a copy"}},
		"of the future": {
			run("INSERT INTO history_version (version_id, is_applied) VALUES (99, 1)"), []string{"version 99", "newer"},
		},
		"an index that lacks a row": {ruin(spoilIndex), []string{"integrity check", "restore a copy"}},
		"without versions":          {run("DELETE FROM history_version"), []string{"no version"}},
		"a table gone":              {run("DROP TABLE trust"), []string{"no such table", "restore a copy"}},
		"an open verdict changed":   {run("UPDATE verdict SET state = 'compliant' WHERE until_run = 0"), []string{"not as it was written"}},
		"an open finding taken":     {run("UPDATE finding SET ended_run = 1 WHERE id IN (SELECT id FROM finding WHERE ended_run = 0)"), nil},
		"an open finding changed":   {run("UPDATE finding SET first_seen = first_seen + 1 WHERE ended_run = 0"), []string{"not as it was written"}},
		"whom it trusted changed":   {run("UPDATE finding SET trusts = 'evil' WHERE ended_run = 0"), []string{"not as it was written"}},
		"the first trust changed":   {run("UPDATE trust SET id = 'evil'"), []string{"trust", "not as it was written"}},
		"when it begins changed":    {run("INSERT INTO forgot VALUES (1, 7, zeroblob(32))"), nil},
		"a mark changed":            {run("UPDATE mark SET value = '1' || value"), nil},
		"a mark by another name":    {run("UPDATE mark SET name = 'others'"), nil},
		"subjects exchanged":        {run("UPDATE subject SET account_id = account_id || 'x'"), []string{"not as it was written"}},
		"the last run changed":      {run("UPDATE run SET complete = 1 - complete"), []string{"not as it was written"}},
		"the baselines changed":     {run("UPDATE judged SET baselines = '[]'"), []string{"not as it was written"}},
		"the dictionary changed":    {run("UPDATE dictionary SET text = zeroblob(length(text))"), []string{"dictionary"}},
		"evidence of another":       {run("UPDATE evidence SET subject = 1 + subject % 8"), []string{"evidence"}},
		"evidence exchanged":        {run("UPDATE verdict SET evidence = (SELECT min(id) FROM evidence)"), []string{"not as it was written"}},
		"evidence changed":          {run("UPDATE evidence SET body = zeroblob(9)"), []string{"not as it was written"}},
		"an ended verdict changed":  {run("UPDATE verdict SET state = 'compliant' WHERE until_run <> 0"), nil},
		"an ended verdict's run":    {run("DELETE FROM run WHERE id = 3"), nil},
		"the file gone, not its -wal": {ruin(func(t *testing.T, file string) {
			if err := errors.Join(os.Rename(file, file+"-wal")); err != nil {
				t.Fatal(err)
			}
		}), []string{"it is gone", "put it back"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.ruin(t, dir)
			before, _ := os.ReadFile(filepath.Join(dir, history.FileName))
			s, err := history.OpenSQLite(dir, history.Options{})
			if err == nil {
				defer closing(t, s)
				if c.wants != nil {
					t.Fatal("it was opened")
				}
				// What is over is not read at the start, but whenever it is asked for.
				err = s.Check(t.Context())
				if _, errRead := read(t, s); errRead == nil && name != "an open finding taken" {
					t.Error("it was shown")
				}
			}
			var u *history.Unreadable
			if !errors.As(err, &u) || u.File != filepath.Join(dir, history.FileName) || u.Remedy == "" {
				t.Fatalf("got %v", err)
			}
			for _, want := range append(c.wants, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if after, _ := os.ReadFile(filepath.Join(dir, history.FileName)); c.wants != nil && !bytes.Equal(before, after) {
				t.Error("what could not be read was changed")
			}
		})
	}
}

// spoilIndex has an index name another row than there is.
func spoilIndex(t *testing.T, file string) {
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	var page int
	err = db.QueryRowContext(t.Context(), "SELECT rootpage FROM sqlite_schema WHERE name = 'finding_of'").Scan(&page)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	whole[page*4096-1] ^= 0x40 // the end of a page is the number of a row
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestFlippedBytes changes single bytes anywhere in a history: that is found, or it makes no difference.
func TestFlippedBytes(t *testing.T) {
	dir := t.TempDir()
	want := filled(t, dir)
	whole, err := os.ReadFile(filepath.Join(dir, history.FileName))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	found, same := 0, 0
	n := 200
	if testing.Short() {
		n = 80
	}
	for i := range n {
		at, flip := r.IntN(len(whole)), byte(1+r.IntN(255))
		if i < 50 {
			at = 2 * i // the header
		}
		spoilt := slices.Clone(whole)
		spoilt[at] ^= flip
		if err := os.WriteFile(filepath.Join(dir, history.FileName), spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := history.OpenSQLite(dir, history.Options{})
		if err != nil {
			found++
			continue
		}
		got, err := read(t, s)
		switch checked := s.Check(t.Context()); {
		case err == nil && !reflect.DeepEqual(got, want):
			if checked == nil {
				t.Errorf("byte %d ^ %#x: something else is shown, and nobody notices", at, flip)
			}
			for _, v := range got.verdicts {
				if !slices.ContainsFunc(want.verdicts, func(w history.Verdict) bool { return reflect.DeepEqual(v, w) }) {
					t.Errorf("byte %d ^ %#x: a verdict is shown that was not recorded: %+v", at, flip, v)
				}
			}
			found++
		case err != nil || checked != nil:
			found++
		default:
			same++
		}
		if err := s.Close(); err != nil {
			t.Logf("byte %d ^ %#x: %v", at, flip, err)
		}
	}
	t.Logf("of %d changes %d were found, %d made no difference", n, found, same)
	if found < n*3/10 {
		t.Errorf("only %d of %d changes were found", found, n)
	}
}

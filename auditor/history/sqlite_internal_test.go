package history

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestMigration brings a history of every older version up to date: its rows stay.
func TestMigration(t *testing.T) {
	ctx := t.Context()
	account := rules.Account{ID: "1", Name: "one"}
	baselines := []rules.Baseline{{Name: "coc", Agency: "A"}}
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	runOf := func(id string) *auditor.Run {
		return &auditor.Run{ID: id, StartedAt: at, EndedAt: at, Sweeps: []auditor.Sweep{{
			StartedAt: at, EndedAt: at, RequestIDs: []string{"r"},
			Report: rules.Report{Account: account, Baseline: "coc", AgencyName: "A", State: rules.StateNotEnabled, Findings: []rules.Finding{}},
		}}}
	}
	after := auditor.NewSnapshot(auditor.Subjects([]rules.Account{account}, baselines), baselines, time.Hour).Next(runOf("old"))
	db := dial(filepath.Join(t.TempDir(), "none"), Options{})
	defer db.Close()
	_, newest, err := versions(ctx, db)
	if err == nil || newest < 2 {
		t.Fatalf("got %d versions, error %v", newest, err)
	}
	for version := int64(1); version < newest; version++ {
		dir := t.TempDir()
		file := filepath.Join(dir, FileName)
		old(ctx, t, file, version, after)
		if _, err := OpenReadOnly(dir); err == nil || !strings.Contains(err.Error(), "start the daemon") {
			t.Errorf("a history of version %d is looked at: %v", version, err)
		}
		s, err := OpenSQLite(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if is, _, err := versions(ctx, s.(*database).write); err != nil || is != newest {
			t.Errorf("from version %d it came to version %d (%v), not %d", version, is, err, newest)
		}
		past, err := s.Last(ctx)
		if err != nil || len(past.Subjects) != 1 || past.Subjects[0].Evidence == nil {
			t.Errorf("from version %d it remembers %+v (%v)", version, past, err)
		}
		if err := s.Record(ctx, after.Next(runOf("new"))); err != nil {
			t.Error(err)
		}
		if list, err := s.Verdicts(ctx, Query{}); err != nil || len(list) != 1 || list[0].FromRun != "old" {
			t.Errorf("from version %d it has %+v (%v)", version, list, err)
		}
		if list, err := s.Findings(ctx, Query{}); err != nil || len(list) != 1 || list[0].Rule != rules.RuleExpired || list[0].EndedRun != "new" {
			t.Errorf("from version %d it has %+v (%v)", version, list, err)
		}
		if err := s.Check(ctx); err != nil {
			t.Error(err)
		}
	}
}

// old makes a history of a version, with one run.
func old(ctx context.Context, t *testing.T, file string, version int64, after *auditor.Snapshot) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := newCodec(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &database{
		file: file, plain: plain, commit: (*sql.Tx).Commit,
		write: dial(file, Options{}, "_txlock=immediate", "_pragma=journal_mode(WAL)"), read: dial(file, Options{}),
	}
	d.write.SetMaxOpenConns(1)
	if _, err := d.write.ExecContext(ctx, "PRAGMA application_id = 1634165109"); err != nil {
		t.Fatal(err)
	}
	if err := migrate(ctx, d.write, version); err != nil {
		t.Fatal(err)
	}
	d.tip = &tip{} // nothing is in it, and its tables may lack what is read today
	if err := d.Record(ctx, after); err != nil {
		t.Fatal(err)
	}
	f := &findingRow{
		id: 1, subject: &subjectRow{1, after.Standings[0].Account.ID, "A", "coc"}, findingName: findingName{rule: rules.RuleExpired},
		firstSeen: after.Run.StartedAt, first: 1,
	}
	_, err = d.write.ExecContext(ctx, `INSERT INTO finding (id, subject, rule, policy, policy_id, scope, first_seen, first_run, last_run, ended_run, ended_at,
		how, hash) VALUES (1, 1, ?, '', '', '', ?, 1, 0, 0, 0, '', ?)`, f.rule, stamp(f.firstSeen), f.sum())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDoubtfulCommit has the database say that a run was not recorded which was: the history goes on from what is in the file.
func TestDoubtfulCommit(t *testing.T) {
	store, err := OpenSQLite(t.TempDir(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	d := store.(*database)
	account := rules.Account{ID: "1", Name: "one"}
	baselines := []rules.Baseline{{Name: "coc", Agency: "A"}}
	now := auditor.NewSnapshot(auditor.Subjects([]rules.Account{account}, baselines), baselines, time.Hour)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	record := func(id string, why rules.Reason) error {
		now = now.Next(&auditor.Run{ID: id, StartedAt: at, EndedAt: at, Sweeps: []auditor.Sweep{{StartedAt: at, EndedAt: at, Report: rules.Report{
			Account: account, Baseline: "coc", AgencyName: "A", State: rules.StateUnknown, Unknown: &rules.Unknown{Reason: why},
		}}}})
		return d.Record(t.Context(), now)
	}
	d.commit = func(tx *sql.Tx) error { return errors.Join(tx.Commit(), errors.New("or so it seems")) }
	if err := record("a", rules.ReasonTimeout); err == nil {
		t.Fatal("the error is lost")
	}
	d.commit = (*sql.Tx).Commit
	if err := record("b", rules.ReasonDenied); err != nil {
		t.Fatal(err)
	}
	if list, err := d.Verdicts(t.Context(), Query{}); err != nil || len(list) != 2 || list[0].UntilRun != "b" {
		t.Errorf("got %+v (%v)", list, err)
	}
}

// TestLookAgain has somebody begin to write while a history is looked at that nobody wrote to: it is looked at again.
func TestLookAgain(t *testing.T) {
	dir := t.TempDir()
	s, err := OpenSQLite(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	look, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	looked := 0
	err = look.(*database).look(t.Context(), func() error {
		if looked++; looked > 1 {
			return nil
		}
		s, err := OpenSQLite(dir, Options{})
		if err != nil {
			return err
		}
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		run := &auditor.Run{ID: "a", StartedAt: at, EndedAt: at}
		return errors.Join(s.Record(t.Context(), auditor.NewSnapshot(nil, nil, time.Hour).Next(run)), s.Close())
	})
	if err != nil || looked != 2 {
		t.Errorf("it was looked at %d times (%v), not twice", looked, err)
	}
	if list, err := look.Runs(t.Context(), time.Time{}, time.Time{}); err != nil || len(list) != 1 {
		t.Errorf("got %d runs (%v), not 1", len(list), err)
	}
}

// TestWhoMayNotLook is not told to make the daemon's file their own; the daemon, which needs it, is.
func TestWhoMayNotLook(t *testing.T) {
	denied := &fs.PathError{Op: "open", Path: "history.db", Err: fs.ErrPermission}
	for _, c := range []struct {
		err     error
		looking bool
		want    string
	}{
		{denied, true, "run this as that user, who runs the daemon, and leave owner and mode as they are"},
		{denied, false, "see that it belongs to the user that this program runs as"},
		{fs.ErrClosed, true, "see that it belongs"},
	} {
		if err := closed("history.db", c.err, c.looking); !strings.Contains(err.Error(), c.want) || strings.Count(err.Error(), "history.db") != 1 {
			t.Errorf("%v, looking %t: %v, want %q", c.err, c.looking, err, c.want)
		}
	}
	if os.Geteuid() != 0 { // whom nothing is denied
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), nil, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenReadOnly(dir); err == nil || !strings.Contains(err.Error(), "run this as that user") {
			t.Errorf("got %v", err)
		}
	}
}

package history

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// database is a history in a file of SQLite.
type database struct {
	file string
	lock *flock.Flock
	// is and locked are the two files as they were opened; nil where nothing may be written, and locked where there is no owner.
	is, locked fs.FileInfo
	// plain is the codec without a dictionary, packed the one with the history's; nil until that was read.
	plain  *codec
	packed atomic.Pointer[codec]
	// write has one connection, read several; write is nil where nothing may be written.
	write, read *sql.DB
	// looking says that the database is only looked at, see look.
	looking bool

	// mu is held while something is written and, where the database is only looked at, while something is read.
	mu sync.Mutex
	// tip is what holds after the last recorded run; nil when it has to be read from the file.
	tip    *tip
	closed bool
	// commit is (*sql.Tx).Commit; a test has another one.
	commit func(*sql.Tx) error
}

var errReadOnly = errors.New("the history was opened to be looked at, not to be written")

// tx calls do with a view of the database at one instant.
func (d *database) tx(ctx context.Context, do func(*view) error) error {
	tx, err := d.read.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer rollback(tx)
	v := &view{Tx: tx, subjects: map[int64]*subjectRow{}, runs: map[int64]*runRow{}}
	if v.codec, err = d.codec(ctx, tx); err != nil {
		return err
	}
	if err := v.names(ctx); err != nil {
		return err
	}
	return do(v)
}

// rollback ends a transaction that was not committed; of one that was, it does nothing.
func rollback(tx *sql.Tx) { _ = tx.Rollback() }

// codec is the codec for what a transaction reads.
func (d *database) codec(ctx context.Context, tx *sql.Tx) (*codec, error) {
	if c := d.packed.Load(); c != nil {
		return c, nil
	}
	var text, hash []byte
	err := tx.QueryRowContext(ctx, "SELECT text, hash FROM dictionary WHERE id = ?", dictionaryID).Scan(&text, &hash)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d.plain, nil
	case err != nil:
		return nil, err
	case !bytes.Equal(hash, hashOf("dictionary", text)):
		return nil, flawf("its dictionary is not as it was written")
	}
	c, err := newCodec(text)
	if err != nil {
		return nil, err
	}
	if !d.packed.CompareAndSwap(nil, c) {
		c.close()
	}
	return d.packed.Load(), nil
}

// compile writes a dictionary made of a change, unless there is one, and has the rows packed by it.
func (w *writer) compile(c *change) error {
	var n int
	if err := w.QueryRowContext(w.ctx, "SELECT count(*) FROM dictionary").Scan(&n); err != nil || n > 0 {
		return err
	}
	text, err := dictionaryOf(c)
	if err != nil || len(text) == 0 {
		return err
	}
	if w.codec, err = newCodec(text); err != nil {
		return err
	}
	w.made = w.codec
	return w.exec("INSERT INTO dictionary VALUES (?, ?, ?)", dictionaryID, text, hashOf("dictionary", text))
}

// load reads the tip. The caller holds the lock.
func (d *database) load(ctx context.Context) error {
	t := &tip{subjects: map[subjectKey]*tipSubject{}}
	err := d.tx(ctx, func(v *view) (err error) {
		if t.run, err = v.newestRun(ctx, ""); err != nil {
			return err
		}
		by := make(map[int64]*tipSubject, len(v.subjects))
		for _, s := range v.subjects {
			by[s.id] = &tipSubject{row: s, findings: map[findingName]*findingRow{}}
			t.subjects[subjectKey{s.account, s.agency, s.baseline}] = by[s.id]
		}
		err = v.verdicts(ctx, false, func(row *verdictRow) error {
			if row.evidence != nil {
				row.evidence.sweep = nil
			}
			by[row.subject.id].verdict = row
			return nil
		}, "WHERE verdict.until_run = 0")
		if err != nil {
			return err
		}
		err = v.findings(ctx, func(row *findingRow) error {
			by[row.subject.id].findings[row.findingName] = row
			return nil
		}, "WHERE finding.ended_run = 0")
		if err != nil {
			return err
		}
		if err := v.trusts(ctx, func(row *trustRow) { by[row.subject.id].trusted = true }); err != nil {
			return err
		}
		for table, last := range map[string]*int64{
			"run": &t.lastRun, "subject": &t.lastSubject, "evidence": &t.lastEvidence, "verdict": &t.lastVerdict, "finding": &t.lastFinding,
		} {
			if err := v.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM "+table).Scan(last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return d.fault("read it", err)
	}
	d.tip = t
	return nil
}

// Record is Store.Record.
func (d *database) Record(ctx context.Context, after *auditor.Snapshot) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	if d.write == nil {
		return errReadOnly
	}
	if d.tip == nil {
		if err := d.load(ctx); err != nil {
			return err
		}
	}
	if after.Run != nil {
		var n int
		if err := d.write.QueryRowContext(ctx, "SELECT count(*) FROM run WHERE run_id = ?", after.Run.ID).Scan(&n); err != nil {
			return d.fault("look for a run", err)
		}
		if n > 0 {
			return nil
		}
	}
	if err := d.there(); err != nil {
		return err
	}
	c, err := d.tip.diff(after)
	if err != nil {
		return err
	}
	if err := d.add(ctx, c); err != nil {
		d.tip = nil // whether it was added or not is read from the file
		return d.fault("record a run", err)
	}
	for _, e := range c.evidence {
		e.sweep = nil
	}
	d.tip.apply(c)
	if _, err := os.Stat(d.file + walSuffix); errors.Is(err, fs.ErrNotExist) {
		return moved(d.file + walSuffix)
	}
	return d.there()
}

// there fails unless the files are where they were opened. SQLite goes on writing to one that was moved or deleted, and so does the
// kernel with its lock; what is written then is lost, or is somebody else's.
func (d *database) there() error {
	for name, was := range map[string]fs.FileInfo{d.file: d.is, filepath.Join(filepath.Dir(d.file), lockName): d.locked} {
		if was == nil {
			continue
		}
		if is, err := os.Stat(name); err != nil || !os.SameFile(is, was) {
			return moved(name)
		}
	}
	return nil
}

// moved is the error of a file that is not where it was opened.
func moved(file string) error {
	return fmt.Errorf("%s was moved, deleted or replaced while the program ran, so that what is recorded is lost: end the program, put back "+
		"what was there, and start it again", file)
}

// add writes a change.
func (d *database) add(ctx context.Context, c *change) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer rollback(tx)
	w := &writer{ctx: ctx, view: &view{Tx: tx}}
	if w.codec, err = d.codec(ctx, tx); err != nil {
		return err
	}
	defer w.close()
	for _, step := range []func(*change) error{w.compile, w.run, w.subject, w.evidence, w.ends, w.verdict, w.finding} {
		if err := step(c); err != nil {
			return err
		}
	}
	return d.commit(tx)
}

// writer writes rows within one transaction.
type writer struct {
	ctx context.Context
	*view
	statements map[string]*sql.Stmt
	// made is a codec that was made for this transaction; nil when none was.
	made *codec
}

func (w *writer) exec(query string, args ...any) error {
	s := w.statements[query]
	if s == nil {
		var err error
		if s, err = w.PrepareContext(w.ctx, query); err != nil {
			return err
		}
		if w.statements == nil {
			w.statements = map[string]*sql.Stmt{}
		}
		w.statements[query] = s
	}
	_, err := s.ExecContext(w.ctx, args...)
	return err
}

func (w *writer) close() {
	for _, s := range w.statements {
		_ = s.Close()
	}
	if w.made != nil {
		w.made.close()
	}
}

func (w *writer) run(c *change) error {
	s, err := storeRun(c.run)
	if err != nil {
		return err
	}
	err = w.QueryRowContext(w.ctx, "SELECT id FROM judged WHERE baselines = ?", s.judged).Scan(&s.judgedID)
	if errors.Is(err, sql.ErrNoRows) {
		err = w.QueryRowContext(w.ctx, "INSERT INTO judged (baselines) VALUES (?) RETURNING id", s.judged).Scan(&s.judgedID)
	}
	if err != nil {
		return err
	}
	return w.exec("INSERT INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", s.id, s.runID, s.cause, s.program, s.startedAt, s.endedAt,
		s.readAt, s.complete, s.body, s.judgedID, s.hash)
}

func (w *writer) subject(c *change) error {
	for _, s := range c.subjects {
		if err := w.exec("INSERT INTO subject VALUES (?, ?, ?, ?)", s.id, s.account, s.agency, s.baseline); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) evidence(c *change) error {
	for _, e := range c.evidence {
		s, err := w.storeEvidence(e)
		if err != nil {
			return err
		}
		err = w.exec("INSERT INTO evidence VALUES (?, ?, ?, ?, ?, ?)", s.id, s.subject.id, s.content, s.agency, s.body, s.hash)
		if err != nil {
			return err
		}
	}
	return nil
}

// ends writes which verdicts and findings are over.
func (w *writer) ends(c *change) error {
	for _, v := range c.ended {
		s, subject := storedVerdict{}, int64(0)
		err := w.QueryRowContext(w.ctx, "SELECT "+verdictColumns+"FROM verdict WHERE id = ?", v.id).Scan(s.into(&subject)...)
		if err != nil {
			return err
		}
		if s.subject = v.subject; subject != v.subject.id {
			return flawf("verdict %d is not as it was written", v.id)
		}
		if _, err := w.view.verdict(&s); err != nil {
			return err
		}
		// Nothing is compared with its content any more, and a row that gets no longer stays on its page.
		s.until, s.content = v.until, []byte{}
		err = w.exec("UPDATE verdict SET until_run = ?, content = ?, hash = ? WHERE id = ?", s.until, s.content, s.sum(), s.id)
		if err != nil {
			return err
		}
	}
	for _, f := range c.endedFindings {
		err := w.exec("UPDATE finding SET last_run = ?, ended_run = ?, ended_at = ?, how = ?, hash = ? WHERE id = ?",
			f.last, f.ended, stamp(f.endedAt), string(f.how), f.sum(), f.id)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) verdict(c *change) error {
	for _, v := range c.verdicts {
		s, err := w.storeVerdict(v)
		if err != nil {
			return err
		}
		err = w.exec("INSERT INTO verdict VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", s.id, s.subject.id, s.from, s.until, s.name, s.state,
			s.evidence, s.judged, s.readAt, s.unknownSince, s.content, s.body, s.hash)
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) finding(c *change) error {
	for _, f := range c.findings {
		err := w.exec("INSERT INTO finding VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", f.id, f.subject.id, f.rule, f.policy, f.policyID,
			string(f.scope), stamp(f.firstSeen), f.first, f.last, f.ended, stamp(f.endedAt), string(f.how), f.sum(), f.trusts)
		if err != nil {
			return err
		}
	}
	for _, t := range c.trusts {
		err := w.exec("INSERT INTO trust VALUES (?, ?, ?, ?, ?)", t.subject.id, t.trust.ID, t.trust.Name, stamp(t.seenAt), t.sum())
		if err != nil {
			return err
		}
	}
	return nil
}

// Last is Store.Last.
func (d *database) Last(ctx context.Context) (*auditor.Past, error) {
	var past *auditor.Past
	err := d.view(ctx, func(v *view) error {
		last, err := v.newestRun(ctx, "")
		if err != nil {
			return err
		}
		complete, err := v.newestRun(ctx, "WHERE run.complete = 1")
		if err != nil {
			return err
		}
		findings := map[int64]map[findingName]*findingRow{}
		err = v.findings(ctx, func(row *findingRow) error {
			if findings[row.subject.id] == nil {
				findings[row.subject.id] = map[findingName]*findingRow{}
			}
			findings[row.subject.id][row.findingName] = row
			return nil
		}, "WHERE ended_run = 0")
		if err != nil {
			return err
		}
		trusts := map[int64]*trustRow{}
		if err := v.trusts(ctx, func(row *trustRow) { trusts[row.subject.id] = row }); err != nil {
			return err
		}
		subjects := make([]auditor.Remembered, 0, len(v.subjects))
		words := vocabulary{}
		err = v.verdicts(ctx, false, func(row *verdictRow) error {
			if row.evidence != nil {
				words.share(row.evidence.sweep)
			}
			subjects = append(subjects, rememberedOf(row, findings[row.subject.id], trusts[row.subject.id], last))
			return nil
		}, "WHERE verdict.id IN (SELECT max(id) FROM verdict GROUP BY subject)")
		past = pastOf(subjects, last, complete)
		return err
	})
	return past, err
}

// Runs is Store.Runs.
func (d *database) Runs(ctx context.Context, from, to time.Time) (runs []Run, err error) {
	err = d.view(ctx, func(v *view) error {
		runs = nil
		return v.each(ctx, func(scan func(...any) error) error {
			var s storedRun
			if err := scan(s.into()...); err != nil {
				return err
			}
			r, err := s.row()
			if err == nil {
				runs = append(runs, r.Run)
			}
			return err
		}, "SELECT "+runColumns+"WHERE run.ended_at >= ? AND (? = 0 OR run.ended_at < ?) ORDER BY run.id", stamp(from), stamp(to), stamp(to))
	})
	return runs, err
}

// during is the condition that what a run began and another one ended is of a query's time, see Query.chooses. Where a run is gone, that is
// found out when it is looked up.
const during = `LEFT JOIN run f ON f.id = %[1]s.%[2]s LEFT JOIN run u ON u.id = %[1]s.%[3]s
	WHERE (? = 0 OR coalesce(f.ended_at < ?, 1)) AND (%[1]s.%[3]s = 0 OR coalesce(u.ended_at > ?, 1))
	AND (NOT ? OR coalesce(f.ended_at > ?, 1) OR %[1]s.%[3]s <> 0 AND (? = 0 OR coalesce(u.ended_at < ?, 1)))`

// named is the condition that a subject is of a query's account, which takes three arguments: the account, Query.called and the account.
const named = ` (? = '' OR %s.subject IN (SELECT subject FROM verdict WHERE name = ? UNION SELECT id FROM subject WHERE account_id = ?)) `

// Findings is Store.Findings.
func (d *database) Findings(ctx context.Context, q Query) (findings []Finding, err error) {
	err = d.view(ctx, func(v *view) error {
		findings = nil
		newest, err := v.newestRun(ctx, "")
		if err != nil {
			return err
		}
		var rows []*findingRow
		err = v.findings(ctx, func(row *findingRow) error {
			rows = append(rows, row)
			return nil
		}, fmt.Sprintf(during, "finding", "first_run", "ended_run")+" AND "+fmt.Sprintf(named, "finding")+"ORDER BY finding.id",
			stamp(q.To), stamp(q.To), stamp(q.From), q.Moved, stamp(q.From), stamp(q.To), stamp(q.To), q.Account, q.called(), q.Account)
		if err != nil {
			return err
		}
		called, err := v.called(ctx, rows, q)
		if err != nil {
			return err
		}
		as := firstShown()
		for _, row := range rows {
			first, err := v.run(ctx, row.first)
			if err != nil {
				return err
			}
			last, err := v.run(ctx, row.last)
			if err != nil {
				return err
			}
			if last == nil {
				last = newest
			}
			ended, err := v.run(ctx, row.ended)
			if err != nil {
				return err
			}
			account := called[row.subject.id]
			account.ID = row.subject.account
			shown := shownFinding(row, account, first, last, ended)
			if !q.Bare {
				if shown.As, err = as(ctx, v, row); err != nil {
					return err
				}
			}
			findings = append(findings, shown)
		}
		return nil
	})
	return findings, err
}

// called are the accounts of findings as they are called now, by their subjects.
func (v *view) called(ctx context.Context, rows []*findingRow, q Query) (map[int64]rules.Account, error) {
	called := map[int64]rules.Account{}
	take := func(row *verdictRow) error {
		called[row.subject.id] = row.account
		return nil
	}
	if !q.Moved {
		err := v.verdicts(ctx, true, take, "WHERE verdict.id IN (SELECT max(id) FROM verdict GROUP BY subject) AND"+
			fmt.Sprintf(named, "verdict"), q.Account, q.called(), q.Account)
		return called, err
	}
	for _, f := range rows {
		if _, known := called[f.subject.id]; known {
			continue
		}
		if err := v.verdicts(ctx, true, take, "WHERE verdict.id = (SELECT max(id) FROM verdict WHERE subject = ?)", f.subject.id); err != nil {
			return nil, err
		}
	}
	return called, nil
}

// firstShown looks up what evidence says of findings. Those that one run brought to one account stand in a row.
func firstShown() func(context.Context, *view, *findingRow) (*rules.Finding, error) {
	var last *verdictRow
	found := errors.New("found")
	return func(ctx context.Context, v *view, f *findingRow) (as *rules.Finding, err error) {
		if last != nil && last.subject == f.subject && last.from == f.first {
			if as = last.finding(f.findingName); as != nil {
				return as, nil
			}
		}
		err = v.verdicts(ctx, false, func(row *verdictRow) error {
			if as = row.finding(f.findingName); as == nil {
				return nil
			}
			last = row
			return found
		}, "WHERE verdict.subject = ? AND verdict.from_run >= ? ORDER BY verdict.id", f.subject.id, f.first)
		if errors.Is(err, found) {
			err = nil
		}
		return as, err
	}
}

// Verdicts is Store.Verdicts.
func (d *database) Verdicts(ctx context.Context, q Query) (verdicts []Verdict, err error) {
	err = d.view(ctx, func(v *view) error {
		verdicts = nil
		var rows []*verdictRow
		err := v.verdicts(ctx, q.Bare, func(row *verdictRow) error {
			rows = append(rows, row)
			return nil
		}, fmt.Sprintf(during, "verdict", "from_run", "until_run")+" AND "+fmt.Sprintf(named, "verdict")+"ORDER BY verdict.id",
			stamp(q.To), stamp(q.To), stamp(q.From), q.Moved, stamp(q.From), stamp(q.To), stamp(q.To), q.Account, q.called(), q.Account)
		if err != nil {
			return err
		}
		for _, row := range rows {
			from, err := v.run(ctx, row.from)
			if err != nil {
				return err
			}
			until, err := v.run(ctx, row.until)
			if err != nil {
				return err
			}
			verdicts = append(verdicts, shownVerdict(row, from, until))
		}
		return nil
	})
	return verdicts, err
}

// Begins is Store.Begins.
func (d *database) Begins(ctx context.Context) (at time.Time, err error) {
	err = d.view(ctx, func(v *view) error {
		at = time.Time{}
		first, err := v.oneRun(ctx, "ORDER BY run.id LIMIT 1")
		if err != nil || first == nil {
			return err
		}
		forgot, err := v.forgot(ctx)
		at = begins(first, forgot)
		return err
	})
	return at, err
}

// Accounts is Store.Accounts.
func (d *database) Accounts(ctx context.Context) (accounts []rules.Account, err error) {
	err = d.view(ctx, func(v *view) error {
		last := map[string]rules.Account{}
		err := v.verdicts(ctx, true, func(row *verdictRow) error {
			last[row.account.ID] = row.account
			return nil
		}, "WHERE verdict.id IN (SELECT max(id) FROM verdict GROUP BY subject) ORDER BY verdict.id")
		accounts = called(last)
		return err
	})
	return accounts, err
}

// view calls do with a view of the database at one instant. It may do so more than once.
func (d *database) view(ctx context.Context, do func(*view) error) error {
	if d.looking {
		return d.look(ctx, func() error { return d.fault("read it", d.tx(ctx, do)) })
	}
	return d.fault("read it", d.tx(ctx, do))
}

// Compact is Store.Compact.
func (d *database) Compact(ctx context.Context, before time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	if d.write == nil {
		return errReadOnly
	}
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return d.fault("forget what is old", err)
	}
	defer rollback(tx)
	newest, err := (&view{Tx: tx}).newestRun(ctx, "")
	if err != nil {
		return d.fault("forget what is old", err)
	}
	if newest == nil {
		return nil
	}
	if err := newest.mayForget(before); err != nil {
		return err
	}
	at := stamp(before)
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM verdict WHERE until_run IN (SELECT id FROM run WHERE ended_at < ?)
			AND id NOT IN (SELECT max(id) FROM verdict GROUP BY subject)`, []any{at}},
		{"DELETE FROM evidence WHERE id NOT IN (SELECT evidence FROM verdict WHERE evidence IS NOT NULL)", nil},
		{"DELETE FROM finding WHERE ended_run IN (SELECT id FROM run WHERE ended_at < ?)", []any{at}},
		{`DELETE FROM run WHERE ended_at < ? AND id NOT IN (SELECT max(id) FROM run) AND id NOT IN (SELECT max(id) FROM run WHERE complete = 1)
			AND id NOT IN (SELECT from_run FROM verdict UNION SELECT until_run FROM verdict UNION SELECT first_run FROM finding
			UNION SELECT last_run FROM finding UNION SELECT ended_run FROM finding)`, []any{at}},
		{"DELETE FROM judged WHERE id NOT IN (SELECT judged FROM run)", nil},
		{`INSERT INTO forgot VALUES (1, ?, ?) ON CONFLICT (id) DO UPDATE SET at = excluded.at, hash = excluded.hash
			WHERE excluded.at > forgot.at`, []any{at, hashOf("forgot", at)}},
	} {
		if _, err := tx.ExecContext(ctx, step.query, step.args...); err != nil {
			return d.fault("forget what is old", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return d.fault("forget what is old", err)
	}
	if err := d.drain(ctx, "PRAGMA incremental_vacuum"); err != nil {
		return d.fault("give space back", err)
	}
	return d.fault("give space back", d.drain(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"))
}

// Mark is Store.Mark.
func (d *database) Mark(ctx context.Context, name, value string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	if d.write == nil {
		return errReadOnly
	}
	if err := d.there(); err != nil {
		return err
	}
	query, args := "DELETE FROM mark WHERE name = ?", []any{name}
	if value != "" {
		query = "INSERT INTO mark VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value, hash = excluded.hash"
		args = append(args, value, hashOf("mark", name, value))
	}
	if _, err := d.write.ExecContext(ctx, query, args...); err != nil {
		return d.fault("remember a mark", err)
	}
	return d.there()
}

// Marks is Store.Marks.
func (d *database) Marks(ctx context.Context) (marks map[string]string, err error) {
	err = d.view(ctx, func(v *view) error {
		marks, err = v.marks(ctx)
		return err
	})
	return marks, err
}

// drain runs a pragma that works row by row.
func (d *database) drain(ctx context.Context, pragma string) error {
	rows, err := d.write.QueryContext(ctx, pragma)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		continue
	}
	return rows.Err()
}

// Check has SQLite check the file, and reads every row.
func (d *database) Check(ctx context.Context) error {
	whole := func() error { return d.sound(ctx, d.read) }
	if d.looking {
		whole = func() error { return d.look(ctx, func() error { return d.sound(ctx, d.read) }) }
	}
	if err := whole(); err != nil {
		return err
	}
	return d.view(ctx, func(v *view) error {
		has := map[int64]bool{0: true}
		err := v.each(ctx, func(scan func(...any) error) error {
			var s storedRun
			if err := scan(s.into()...); err != nil {
				return err
			}
			has[s.id] = true
			_, err := s.row()
			return err
		}, "SELECT "+runColumns)
		if err != nil {
			return err
		}
		must := func(ids ...int64) error {
			if i := slices.IndexFunc(ids, func(id int64) bool { return !has[id] }); i >= 0 {
				return flawf("there is no run %d", ids[i])
			}
			return nil
		}
		err = v.verdicts(ctx, false, func(row *verdictRow) error { return must(row.from, row.until) }, "")
		if err != nil {
			return err
		}
		err = v.findings(ctx, func(row *findingRow) error { return must(row.first, row.last, row.ended) }, "")
		if err != nil {
			return err
		}
		if err := v.trusts(ctx, func(*trustRow) {}); err != nil {
			return err
		}
		if _, err := v.forgot(ctx); err != nil {
			return err
		}
		if _, err := v.marks(ctx); err != nil {
			return err
		}
		return v.each(ctx, func(func(...any) error) error { return flawf("a row belongs to nothing") }, "PRAGMA foreign_key_check")
	})
}

// Size is what the database and what was written ahead of it take.
func (d *database) Size() (int64, error) {
	var size int64
	for _, suffix := range []string{"", walSuffix} {
		info, err := os.Stat(d.file + suffix)
		switch {
		case err == nil:
			size += info.Size()
		case suffix == "" || !errors.Is(err, os.ErrNotExist):
			return 0, fmt.Errorf("measure the history: %w", err)
		}
	}
	return size, nil
}

// Close gives up the state directory.
func (d *database) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var err error
	if d.read != nil {
		err = d.read.Close()
	}
	if d.write != nil {
		err = errors.Join(err, d.write.Close())
	}
	d.plain.close()
	if c := d.packed.Load(); c != nil {
		c.close()
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Unlock())
	}
	return err
}

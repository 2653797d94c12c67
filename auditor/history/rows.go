package history

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The rows as they are stored. Each has fields, which are its columns in order but for the hash.
type (
	storedRun struct {
		id                                             int64
		runID, cause, program                          string
		startedAt, endedAt, readAt, complete, judgedID int64
		body, judged                                   string
		hash                                           []byte
	}
	storedEvidence struct {
		id      int64
		subject *subjectRow
		content []byte
		agency  string
		body    []byte
		hash    []byte
	}
	storedVerdict struct {
		id                           int64
		subject                      *subjectRow
		from, until                  int64
		name, state                  string
		evidence                     sql.NullInt64
		judged, readAt, unknownSince int64
		content, body, hash          []byte
	}
	// runBody is what a run has beyond its columns.
	runBody struct {
		Suspect []string             `json:"suspect,omitempty"`
		States  map[rules.State]int  `json:"states"`
		Lacking []auditor.Resolution `json:"lacking,omitempty"`
		Partial bool                 `json:"partial,omitempty"`
	}
	// verdictBody is what a verdict has beyond its columns, which have the account's name, as the subject has its id.
	verdictBody struct {
		Account rules.Account  `json:"account"`
		Unknown *rules.Unknown `json:"unknown,omitempty"`
		Kept    *kept          `json:"kept,omitempty"`
		Reading *reading       `json:"reading,omitempty"`
	}
)

// flaw says that something in the history is not as it was written.
type flaw struct{ what string }

func (f *flaw) Error() string { return f.what }

func flawf(format string, args ...any) error { return &flaw{fmt.Sprintf(format, args...)} }

func (s *subjectRow) names() []any { return []any{s.account, s.agency, s.baseline} }

func storeRun(r *runRow) (*storedRun, error) {
	body, err := json.Marshal(runBody{r.Suspect, r.States, r.lacking, r.partial})
	if err != nil {
		return nil, fmt.Errorf("write a run: %w", err)
	}
	judged, err := json.Marshal(r.Baselines)
	if err != nil {
		return nil, fmt.Errorf("write a run: %w", err)
	}
	s := &storedRun{
		id: r.id, runID: r.ID, cause: r.Trigger, program: r.Program, startedAt: stamp(r.StartedAt), endedAt: stamp(r.EndedAt),
		readAt: stamp(r.readAt), complete: number(r.Complete), body: string(body), judged: string(judged),
	}
	s.hash = s.sum()
	return s, nil
}

func (s *storedRun) sum() []byte {
	return hashOf("run", s.id, s.runID, s.cause, s.program, s.startedAt, s.endedAt, s.readAt, s.complete, s.body, s.judged)
}

const runColumns = `run.id, run.run_id, run.cause, run.program, run.started_at, run.ended_at, run.read_at, run.complete, run.body,
	run.judged, run.hash, judged.baselines FROM run JOIN judged ON judged.id = run.judged `

func (s *storedRun) into() []any {
	return []any{
		&s.id, &s.runID, &s.cause, &s.program, &s.startedAt, &s.endedAt, &s.readAt, &s.complete, &s.body, &s.judgedID, &s.hash, &s.judged,
	}
}

// row is the run, if it is as it was written.
func (s *storedRun) row() (*runRow, error) {
	if !bytes.Equal(s.hash, s.sum()) {
		return nil, flawf("run %d is not as it was written", s.id)
	}
	var body runBody
	r := &runRow{id: s.id, readAt: unstamp(s.readAt), Run: Run{
		ID: s.runID, Trigger: s.cause, Program: s.program, StartedAt: unstamp(s.startedAt), EndedAt: unstamp(s.endedAt),
		Complete: s.complete != 0,
	}}
	if err := errors.Join(json.Unmarshal([]byte(s.body), &body), json.Unmarshal([]byte(s.judged), &r.Baselines)); err != nil {
		return nil, flawf("run %d: %v", s.id, err)
	}
	r.Suspect, r.States, r.lacking, r.partial = body.Suspect, body.States, body.Lacking, body.Partial
	return r, nil
}

func (c *codec) storeEvidence(e *evidenceRow) (*storedEvidence, error) {
	body, err := c.encode(e.sweep)
	if err != nil {
		return nil, err
	}
	s := &storedEvidence{id: e.id, subject: e.subject, content: e.content[:], agency: e.agency, body: body}
	s.hash = s.sum()
	return s, nil
}

func (s *storedEvidence) sum() []byte {
	return hashOf("evidence", append(s.subject.names(), s.id, s.content, s.agency, s.body)...)
}

// row is the evidence, if it is as it was written.
func (c *codec) evidence(s *storedEvidence) (*evidenceRow, error) {
	if !bytes.Equal(s.hash, s.sum()) {
		return nil, flawf("evidence %d, of account %s, is not as it was written", s.id, s.subject.account)
	}
	e := &evidenceRow{id: s.id, subject: s.subject, content: digest(s.content), agency: s.agency, sweep: &auditor.Sweep{}}
	if err := c.decode(s.body, e.sweep); err != nil {
		return nil, flawf("evidence %d: %v", s.id, err)
	}
	return e, nil
}

func bodyOf(v *verdictRow) verdictBody {
	b := verdictBody{Account: v.account, Unknown: v.unknown, Reading: v.reading}
	b.Account.ID, b.Account.Name = "", ""
	if !v.kept.empty() {
		b.Kept = &v.kept
	}
	return b
}

func (c *codec) storeVerdict(v *verdictRow) (*storedVerdict, error) {
	body, err := c.encode(bodyOf(v))
	if err != nil {
		return nil, err
	}
	s := &storedVerdict{
		id: v.id, subject: v.subject, from: v.from, until: v.until, name: v.account.Name, state: string(v.state), judged: number(v.judged),
		readAt: stamp(v.readAt), unknownSince: stamp(v.unknownSince), content: v.content[:], body: body,
	}
	if v.evidence != nil {
		s.evidence = sql.NullInt64{Int64: v.evidence.id, Valid: true}
	}
	s.hash = s.sum()
	return s, nil
}

func (s *storedVerdict) sum() []byte {
	return hashOf("verdict", append(s.subject.names(), s.id, s.from, s.until, s.name, s.state, s.evidence.Int64, s.judged, s.readAt,
		s.unknownSince, s.content, s.body)...)
}

const verdictColumns = `verdict.id, verdict.subject, verdict.from_run, verdict.until_run, verdict.name, verdict.state, verdict.evidence,
	verdict.judged, verdict.read_at, verdict.unknown_since, verdict.content, verdict.body, verdict.hash `

func (s *storedVerdict) into(subject *int64) []any {
	return []any{
		&s.id, subject, &s.from, &s.until, &s.name, &s.state, &s.evidence, &s.judged, &s.readAt, &s.unknownSince, &s.content, &s.body, &s.hash,
	}
}

// verdict is the verdict, if it is as it was written, without its evidence.
func (c *codec) verdict(s *storedVerdict) (*verdictRow, error) {
	if !bytes.Equal(s.hash, s.sum()) {
		return nil, flawf("verdict %d, of account %s, is not as it was written", s.id, s.subject.account)
	}
	var body verdictBody
	if err := c.decode(s.body, &body); err != nil {
		return nil, flawf("verdict %d: %v", s.id, err)
	}
	v := &verdictRow{
		id: s.id, subject: s.subject, from: s.from, until: s.until, account: body.Account, state: rules.State(s.state), unknown: body.Unknown,
		judged: s.judged != 0, readAt: unstamp(s.readAt), unknownSince: unstamp(s.unknownSince),
	}
	if s.until == 0 {
		v.content = digest(s.content)
	}
	v.account.ID, v.account.Name, v.reading = s.subject.account, s.name, body.Reading
	if body.Kept != nil {
		v.kept = *body.Kept
	}
	return v, nil
}

func (f *findingRow) fields() []any {
	fields := []any{
		f.id, f.rule, f.policy, f.policyID, string(f.scope), stamp(f.firstSeen), f.first, f.last, f.ended, stamp(f.endedAt), string(f.how),
	}
	if f.trusts != "" {
		fields = append(fields, f.trusts) // rows that were written before there was this column have their hash without it
	}
	return fields
}

func (f *findingRow) sum() []byte {
	return hashOf("finding", append(f.subject.names(), f.fields()...)...)
}

func (t *trustRow) sum() []byte {
	return hashOf("trust", append(t.subject.names(), t.trust.ID, t.trust.Name, stamp(t.seenAt))...)
}

const (
	findingColumns = `finding.id, finding.subject, finding.rule, finding.policy, finding.policy_id, finding.scope, finding.first_seen,
	finding.first_run, finding.last_run, finding.ended_run, finding.ended_at, finding.how, finding.hash, finding.trusts `
	evidenceColumns = `evidence.id, evidence.subject, evidence.content, evidence.agency, evidence.body, evidence.hash `
)

// view reads rows within one transaction, and believes none that is not as it was written.
type view struct {
	*sql.Tx
	*codec
	subjects map[int64]*subjectRow
	runs     map[int64]*runRow
}

// each calls do for every row of a query.
func (v *view) each(ctx context.Context, do func(scan func(...any) error) error, query string, args ...any) error {
	rows, err := v.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		scan := func(into ...any) error {
			if err := rows.Scan(into...); err != nil {
				return flawf("%v", err)
			}
			return nil
		}
		if err := do(scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// names reads the subjects.
func (v *view) names(ctx context.Context) error {
	return v.each(ctx, func(scan func(...any) error) error {
		s := &subjectRow{}
		if err := scan(&s.id, &s.account, &s.agency, &s.baseline); err != nil {
			return err
		}
		v.subjects[s.id] = s
		return nil
	}, "SELECT id, account_id, agency, baseline FROM subject")
}

func (v *view) subject(id int64) (*subjectRow, error) {
	if s := v.subjects[id]; s != nil {
		return s, nil
	}
	return nil, flawf("there is no subject %d", id)
}

// run is the run of an id; nil for 0.
func (v *view) run(ctx context.Context, id int64) (*runRow, error) {
	if r := v.runs[id]; r != nil || id == 0 {
		return r, nil
	}
	var s storedRun
	if err := v.QueryRowContext(ctx, "SELECT "+runColumns+"WHERE run.id = ?", id).Scan(s.into()...); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return nil, flawf("there is no run %d", id)
		}
		return nil, err
	}
	r, err := s.row()
	if err == nil {
		v.runs[id] = r
	}
	return r, err
}

// newestRun is the run with the highest id, of those that a condition is true of; nil when there is none.
func (v *view) newestRun(ctx context.Context, where string) (*runRow, error) {
	return v.oneRun(ctx, where+" ORDER BY run.id DESC LIMIT 1")
}

// oneRun is the one that a query chooses; nil when there is none.
func (v *view) oneRun(ctx context.Context, which string) (r *runRow, err error) {
	err = v.each(ctx, func(scan func(...any) error) error {
		var s storedRun
		if err := scan(s.into()...); err != nil {
			return err
		}
		r, err = s.row()
		return err
	}, "SELECT "+runColumns+which)
	return r, err
}

// forgot is the last instant before which the history forgot; zero when it never did.
func (v *view) forgot(ctx context.Context) (at time.Time, err error) {
	err = v.each(ctx, func(scan func(...any) error) error {
		var n int64
		var hash []byte
		if err := scan(&n, &hash); err != nil {
			return err
		}
		if !bytes.Equal(hash, hashOf("forgot", n)) {
			return flawf("from when on it is whole is not as it was written")
		}
		at = unstamp(n)
		return nil
	}, "SELECT at, hash FROM forgot")
	return at, err
}

// marks reads what is remembered by name.
func (v *view) marks(ctx context.Context) (map[string]string, error) {
	marks := map[string]string{}
	err := v.each(ctx, func(scan func(...any) error) error {
		var name, value string
		var hash []byte
		if err := scan(&name, &value, &hash); err != nil {
			return err
		}
		if !bytes.Equal(hash, hashOf("mark", name, value)) {
			return flawf("the mark %q is not as it was written", name)
		}
		marks[name] = value
		return nil
	}, "SELECT name, value, hash FROM mark")
	return marks, err
}

// verdicts reads verdicts with their evidence, or without.
func (v *view) verdicts(ctx context.Context, bare bool, do func(*verdictRow) error, query string, args ...any) error {
	columns := verdictColumns + "FROM verdict "
	if !bare {
		columns = verdictColumns + ", " + evidenceColumns + "FROM verdict LEFT JOIN evidence ON evidence.id = verdict.evidence "
	}
	return v.each(ctx, func(scan func(...any) error) error {
		var (
			s            storedVerdict
			e            storedEvidence
			subject      int64
			id, subject2 sql.NullInt64
			agency       sql.NullString
		)
		into := s.into(&subject)
		if !bare {
			into = append(into, &id, &subject2, &e.content, &agency, &e.body, &e.hash)
		}
		if err := scan(into...); err != nil {
			return err
		}
		var err error
		if s.subject, err = v.subject(subject); err != nil {
			return err
		}
		row, err := v.verdict(&s)
		if err != nil {
			return err
		}
		if s.evidence.Valid && !bare {
			if !id.Valid || subject2.Int64 != subject {
				return flawf("verdict %d has lost its evidence", s.id)
			}
			e.id, e.subject, e.agency = id.Int64, s.subject, agency.String
			if row.evidence, err = v.evidence(&e); err != nil {
				return err
			}
		}
		return do(row)
	}, "SELECT "+columns+query, args...)
}

func (v *view) findings(ctx context.Context, do func(*findingRow) error, query string, args ...any) error {
	return v.each(ctx, func(scan func(...any) error) error {
		var (
			f                           findingRow
			subject, firstSeen, endedAt int64
			hash                        []byte
		)
		err := scan(&f.id, &subject, &f.rule, &f.policy, &f.policyID, &f.scope, &firstSeen, &f.first, &f.last, &f.ended, &endedAt, &f.how, &hash, &f.trusts)
		if err != nil {
			return err
		}
		if f.subject, err = v.subject(subject); err != nil {
			return err
		}
		f.firstSeen, f.endedAt = unstamp(firstSeen), unstamp(endedAt)
		if !bytes.Equal(hash, f.sum()) {
			return flawf("finding %d, of account %s, is not as it was written", f.id, f.subject.account)
		}
		return do(&f)
	}, "SELECT "+findingColumns+"FROM finding "+query, args...)
}

func (v *view) trusts(ctx context.Context, do func(*trustRow)) error {
	return v.each(ctx, func(scan func(...any) error) error {
		var (
			t               trustRow
			subject, seenAt int64
			hash            []byte
		)
		err := scan(&subject, &t.trust.ID, &t.trust.Name, &seenAt, &hash)
		if err != nil {
			return err
		}
		if t.subject, err = v.subject(subject); err != nil {
			return err
		}
		t.seenAt = unstamp(seenAt)
		if !bytes.Equal(hash, t.sum()) {
			return flawf("the first trust of account %s is not as it was written", t.subject.account)
		}
		do(&t)
		return nil
	}, "SELECT subject, id, name, seen_at, hash FROM trust")
}

package history

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// memory is a history that ends with the process.
type memory struct {
	mu       sync.Mutex
	tip      tip
	runs     []*runRow
	verdicts []*verdictRow
	findings []*findingRow
	trusts   map[int64]*trustRow
	// complete is the last complete run; nil before the first.
	complete *runRow
	// forgot is the last instant before which it forgot.
	forgot time.Time
	marks  map[string]string
	closed bool
}

// NewMemory makes an empty store that keeps its history in memory, for as long as the program runs.
func NewMemory() Store { return &memory{trusts: map[int64]*trustRow{}, marks: map[string]string{}} }

var errClosed = errors.New("the history is closed")

// use has do work on the store, alone.
func (m *memory) use(ctx context.Context, do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return do()
}

// Record is Store.Record.
func (m *memory) Record(ctx context.Context, after *auditor.Snapshot) error {
	return m.use(ctx, func() error {
		if after.Run != nil && slices.ContainsFunc(m.runs, func(r *runRow) bool { return r.ID == after.Run.ID }) {
			return nil
		}
		c, err := m.tip.diff(after)
		if err != nil {
			return err
		}
		m.runs = append(m.runs, c.run)
		if c.run.Complete {
			m.complete = c.run
		}
		for _, v := range c.ended {
			i, _ := slices.BinarySearchFunc(m.verdicts, v.id, func(r *verdictRow, id int64) int { return int(r.id - id) })
			m.verdicts[i] = v
		}
		m.verdicts = append(m.verdicts, c.verdicts...)
		for _, f := range c.endedFindings {
			i, _ := slices.BinarySearchFunc(m.findings, f.id, func(r *findingRow, id int64) int { return int(r.id - id) })
			m.findings[i] = f
		}
		m.findings = append(m.findings, c.findings...)
		for _, t := range c.trusts {
			m.trusts[t.subject.id] = t
		}
		m.tip.apply(c)
		return nil
	})
}

// run is the run of an id; nil for 0.
func (m *memory) run(id int64) *runRow {
	if i, found := slices.BinarySearchFunc(m.runs, id, func(r *runRow, id int64) int { return int(r.id - id) }); found {
		return m.runs[i]
	}
	return nil
}

// lastVerdicts are the last verdicts of the subjects, by their ids.
func (m *memory) lastVerdicts() map[int64]*verdictRow {
	last := make(map[int64]*verdictRow, len(m.tip.subjects))
	for _, v := range m.verdicts {
		last[v.subject.id] = v
	}
	return last
}

// Last is Store.Last.
func (m *memory) Last(ctx context.Context) (past *auditor.Past, err error) {
	err = m.use(ctx, func() error {
		var subjects []auditor.Remembered
		for _, v := range m.lastVerdicts() {
			s := m.tip.subjects[subjectKey{v.subject.account, v.subject.agency, v.subject.baseline}]
			subjects = append(subjects, rememberedOf(v, s.findings, m.trusts[v.subject.id], m.tip.run))
		}
		past = pastOf(subjects, m.tip.run, m.complete)
		return nil
	})
	return past, err
}

// Runs is Store.Runs.
func (m *memory) Runs(ctx context.Context, from, to time.Time) (runs []Run, err error) {
	err = m.use(ctx, func() error {
		for _, r := range m.runs {
			if !r.EndedAt.Before(from) && (to.IsZero() || r.EndedAt.Before(to)) {
				runs = append(runs, r.Run)
			}
		}
		return nil
	})
	return runs, err
}

// of says whether an account is one that a query asks for.
func (m *memory) of(q Query) func(s *subjectRow) bool {
	if q.Account == "" {
		return func(*subjectRow) bool { return true }
	}
	named := map[int64]bool{}
	for _, v := range m.verdicts {
		if v.account.Name == q.called() || v.account.ID == q.Account {
			named[v.subject.id] = true
		}
	}
	return func(s *subjectRow) bool { return named[s.id] }
}

// Findings is Store.Findings.
func (m *memory) Findings(ctx context.Context, q Query) (findings []Finding, err error) {
	err = m.use(ctx, func() error {
		of, called := m.of(q), m.lastVerdicts()
		for _, f := range m.findings {
			var over time.Time
			if f.ended != 0 {
				over = m.run(f.ended).EndedAt
			}
			if !of(f.subject) || !q.chooses(m.run(f.first).EndedAt, over) {
				continue
			}
			last := m.tip.run
			if f.last != 0 {
				last = m.run(f.last)
			}
			var account rules.Account
			if v := called[f.subject.id]; v != nil {
				account = v.account
			}
			shown := shownFinding(f, account, m.run(f.first), last, m.run(f.ended))
			for _, v := range m.verdicts {
				if !q.Bare && shown.As == nil && v.subject == f.subject && v.from >= f.first {
					shown.As = v.finding(f.findingName)
				}
			}
			findings = append(findings, shown)
		}
		return nil
	})
	return findings, err
}

// Verdicts is Store.Verdicts.
func (m *memory) Verdicts(ctx context.Context, q Query) (verdicts []Verdict, err error) {
	err = m.use(ctx, func() error {
		of := m.of(q)
		for _, v := range m.verdicts {
			shown := shownVerdict(v, m.run(v.from), m.run(v.until))
			if of(v.subject) && q.chooses(shown.From, shown.Until) {
				if q.Bare {
					shown.Evidence = nil
				}
				verdicts = append(verdicts, shown)
			}
		}
		return nil
	})
	return verdicts, err
}

// Begins is Store.Begins.
func (m *memory) Begins(ctx context.Context) (at time.Time, err error) {
	err = m.use(ctx, func() error {
		if len(m.runs) > 0 {
			at = begins(m.runs[0], m.forgot)
		}
		return nil
	})
	return at, err
}

// Accounts is Store.Accounts.
func (m *memory) Accounts(ctx context.Context) (accounts []rules.Account, err error) {
	err = m.use(ctx, func() error {
		last := map[string]rules.Account{}
		for _, v := range m.verdicts {
			last[v.account.ID] = v.account
		}
		accounts = called(last)
		return nil
	})
	return accounts, err
}

// Compact is Store.Compact.
func (m *memory) Compact(ctx context.Context, before time.Time) error {
	return m.use(ctx, func() error {
		if m.tip.run == nil {
			return nil
		}
		if err := m.tip.run.mayForget(before); err != nil {
			return err
		}
		if before.After(m.forgot) {
			m.forgot = before
		}
		last := m.lastVerdicts()
		m.verdicts = slices.DeleteFunc(m.verdicts, func(v *verdictRow) bool {
			return v.until != 0 && m.run(v.until).EndedAt.Before(before) && last[v.subject.id] != v
		})
		m.findings = slices.DeleteFunc(m.findings, func(f *findingRow) bool {
			return f.ended != 0 && m.run(f.ended).EndedAt.Before(before)
		})
		used := map[int64]bool{m.tip.lastRun: true}
		if m.complete != nil {
			used[m.complete.id] = true
		}
		for _, v := range m.verdicts {
			used[v.from], used[v.until] = true, true
		}
		for _, f := range m.findings {
			used[f.first], used[f.last], used[f.ended] = true, true, true
		}
		m.runs = slices.DeleteFunc(m.runs, func(r *runRow) bool { return r.EndedAt.Before(before) && !used[r.id] })
		return nil
	})
}

// Mark is Store.Mark.
func (m *memory) Mark(ctx context.Context, name, value string) error {
	return m.use(ctx, func() error {
		if m.marks[name] = value; value == "" {
			delete(m.marks, name)
		}
		return nil
	})
}

// Marks is Store.Marks.
func (m *memory) Marks(ctx context.Context) (marks map[string]string, err error) {
	err = m.use(ctx, func() error {
		marks = maps.Clone(m.marks)
		return nil
	})
	return marks, err
}

// Check has nothing to find fault with.
func (m *memory) Check(ctx context.Context) error {
	return m.use(ctx, func() error { return nil })
}

// Size is nothing: it takes no place on disk.
func (m *memory) Size() (int64, error) { return 0, nil }

// Close is Store.Close.
func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

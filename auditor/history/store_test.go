package history_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/history/historytest"
)

func TestMemory(t *testing.T) {
	historytest.Conformance(t, func(t *testing.T) history.Store {
		s := history.NewMemory()
		t.Cleanup(func() { closing(t, s) })
		return s
	})
}

func TestSQLite(t *testing.T) {
	historytest.Conformance(t, func(t *testing.T) history.Store { return open(t, t.TempDir()) })
}

// open opens the history of a directory until the test ends.
func open(t testing.TB, dir string) history.Store {
	t.Helper()
	s, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closing(t, s) })
	return s
}

func closing(t testing.TB, s history.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

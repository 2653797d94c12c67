package daemon

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
)

// dying is a history whose process dies when it is to remember something, before or after it does.
type dying struct {
	history.Store
	before bool
}

var errDied = errors.New("died")

func (d dying) Mark(ctx context.Context, name, value string) error {
	if d.before {
		panic(errDied)
	}
	if err := d.Store.Mark(ctx, name, value); err != nil {
		return err
	}
	panic(errDied)
}

// TestRenewedLedgerIsNeverUnfrozen: wherever a process dies that begins another ledger, what it leaves is refused or frozen, and can be renewed.
func TestRenewedLedgerIsNeverUnfrozen(t *testing.T) {
	for name, tt := range map[string]struct{ remembered, before, putAside bool }{
		"before the history knows":                     {before: true, remembered: true},
		"after it knows":                               {remembered: true},
		"when the old one is aside":                    {remembered: true, putAside: true},
		"before a history that knew nothing knows":     {before: true},
		"after a history that knew nothing knows":      {},
		"when one that nobody knew the end of is away": {putAside: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir, now := t.TempDir(), time.Now()
			store, err := history.OpenSQLite(dir, history.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			file := filepath.Join(dir, remedy.LedgerName)
			if err := os.WriteFile(file, []byte("altered\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if tt.remembered {
				if err := store.Mark(t.Context(), remedy.HeadMark, `{"seq":7,"hash":"is"}`); err != nil {
					t.Fatal(err)
				}
			}
			func() {
				defer func() {
					if died, _ := recover().(error); !errors.Is(died, errDied) {
						t.Error("it did not die")
					}
				}()
				_, err := renewLedger(t.Context(), dying{store, tt.before}, dir, "alice", "why", now)
				t.Error(err)
			}()
			if tt.putAside {
				if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
			opened := func() (*remedy.Freeze, error) {
				marks, err := store.Marks(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				floor, err := remedy.RememberedHead(marks)
				if err != nil {
					t.Fatal(err)
				}
				state := remedy.NewState()
				l, err := remedy.OpenLedger(remedy.OSFS{}, file, remedy.LedgerOptions{Floor: floor, Each: state.Add})
				if err != nil {
					return nil, err
				}
				defer l.Close()
				return remedy.New(remedy.Options{Journal: l, State: state, Clock: wallClock{time.Now}}).Status().Frozen, nil
			}
			if frozen, err := opened(); err == nil && frozen == nil {
				t.Error("what it left is taken for a ledger, and is not frozen")
			}
			if _, err := renewLedger(t.Context(), store, dir, "alice", "why", now.Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			if frozen, err := opened(); err != nil || frozen == nil {
				t.Errorf("renewed: %v %v", frozen, err)
			}
		})
	}
}

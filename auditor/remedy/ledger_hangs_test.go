package remedy_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
)

// stuck is a disk that does not answer once it was told so.
type stuck struct {
	remedy.OSFS
	from chan struct{}
}

type stuckFile struct {
	remedy.File
	from chan struct{}
}

func (s stuck) Open(name string) (remedy.File, error) {
	f, err := s.OSFS.Open(name)
	return stuckFile{f, s.from}, err
}

// Sync never returns.
func (f stuckFile) Sync() error {
	select {
	case <-f.from:
		select {}
	default:
		return f.File.Sync()
	}
}

// TestADiskThatHangs costs repair, and neither a freeze nor the end of the program.
func TestADiskThatHangs(t *testing.T) {
	s := stuck{from: make(chan struct{})}
	l, err := remedy.OpenLedger(s, filepath.Join(t.TempDir(), remedy.LedgerName), remedy.LedgerOptions{Wait: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(remedy.Entry{Kind: remedy.KindStarted, Actor: remedy.Daemon}); err != nil {
		t.Fatal(err)
	}
	head := l.Head()
	close(s.from)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 {
			if _, err := l.Append(remedy.Entry{Kind: remedy.KindFrozen, Actor: "alice"}); !errors.Is(err, remedy.ErrBroken) || !strings.Contains(err.Error(), "does not answer") {
				t.Errorf("append: %v", err)
			}
		}
		if l.Head() != head || l.Err() == nil {
			t.Errorf("head %+v, %v", l.Head(), l.Err())
		}
		if err := l.Close(); err == nil {
			t.Error("it was closed")
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it hangs")
	}
}

package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
)

// RenewLedger puts the ledger of a state directory aside and begins another one, for a person who has looked into why it cannot be
// relied on and takes the loss: the new one knows nothing of limits used up, quarantines and open intents, and so begins frozen. No
// daemon may own the directory. It returns where the old one lies now; empty if there was none.
func RenewLedger(ctx context.Context, dir, actor, reason string, now time.Time) (aside string, err error) {
	store, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	file := filepath.Join(dir, remedy.LedgerName)
	if err := sound(ctx, store, file); err != nil {
		return "", err
	}
	switch _, err := os.Lstat(file); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", fmt.Errorf("put the ledger aside: %w", err)
	default:
		aside = file + "." + now.UTC().Format("20060102T150405Z")
		if _, err := os.Lstat(aside); err == nil {
			return "", fmt.Errorf("put the ledger aside: %s is there already; try again in a second", aside)
		}
		if err := os.Rename(file, aside); err != nil {
			return "", fmt.Errorf("put the ledger aside: %w", err)
		}
	}
	// Only now does the history forget how far it went: a crash before leaves a ledger that is missing, which is noticed.
	if err := store.Mark(ctx, remedy.HeadMark, ""); err != nil {
		return aside, fmt.Errorf("forget how far the ledger went: %w", err)
	}
	l, err := remedy.OpenLedger(remedy.OSFS{}, file, remedy.LedgerOptions{})
	if err != nil {
		return aside, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	began := reason
	if aside != "" {
		began += "; the one before lies in " + filepath.Base(aside)
	}
	for _, e := range []remedy.Entry{
		{Kind: remedy.KindStarted, Reason: "a new ledger begins: " + began},
		{Kind: remedy.KindFrozen, Reason: "the ledger is new: see first what the one before left open, and what was changed of late"},
	} {
		e.Time, e.Actor = now.UTC(), actor
		if _, err := l.Append(e); err != nil {
			return aside, err
		}
	}
	return aside, nil
}

// sound refuses to give up a ledger that can be relied on: with it would go the limits that were used up, the quarantines, and what is open.
func sound(ctx context.Context, store history.Store, file string) error {
	marks, err := store.Marks(ctx)
	if err != nil {
		return nil // that the history does not know is one of the reasons for a new one
	}
	head, err := remedy.RememberedHead(marks)
	if err != nil {
		return nil // the same
	}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the ledger: %w", err)
	}
	defer f.Close()
	if _, err := remedy.Verify(f, head); err != nil {
		return nil // which is what a new one is for
	}
	return &remedy.RefusedError{Why: "the ledger can be relied on, and with it would go the limits that were used up, the quarantines " +
		"and what is open: keep it"}
}

package daemon

import (
	"context"
	"encoding/json"
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
	return renewLedger(ctx, store, dir, actor, reason, now)
}

// renewLedger is RenewLedger with the history of the directory. Wherever it ends, what lies there then is the old ledger, which is refused, or
// none, which is missing, or the whole new one, which is frozen: an empty one would know of no freeze.
func renewLedger(ctx context.Context, store history.Store, dir, actor, reason string, now time.Time) (aside string, err error) {
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
		reason += "; the one before lies in " + filepath.Base(aside)
	}
	next := file + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("begin another ledger: %w", err)
	}
	head, err := beginLedger(next, actor, reason, now)
	if err != nil {
		return "", err
	}
	// From here on the history knows of the new one alone, so that no other is taken for it.
	text, err := json.Marshal(head)
	if err == nil {
		err = store.Mark(ctx, remedy.HeadMark, string(text))
	}
	if err != nil {
		return "", fmt.Errorf("remember how far the new ledger goes: %w", err)
	}
	if aside != "" {
		if err := os.Rename(file, aside); err != nil {
			return "", fmt.Errorf("put the ledger aside: %w", err)
		}
	}
	if err := os.Rename(next, file); err != nil {
		return aside, fmt.Errorf("begin another ledger: %w", err)
	}
	return aside, remedy.OSFS{}.SyncDir(dir)
}

// beginLedger writes a new ledger, which is frozen.
func beginLedger(file, actor, reason string, now time.Time) (head remedy.Head, err error) {
	l, err := remedy.OpenLedger(remedy.OSFS{}, file, remedy.LedgerOptions{})
	if err != nil {
		return head, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	for _, e := range []remedy.Entry{
		{Kind: remedy.KindStarted, Reason: "a new ledger begins: " + reason},
		{Kind: remedy.KindFrozen, Reason: "the ledger is new: see first what the one before left open, and what was changed of late"},
	} {
		e.Time, e.Actor = now.UTC(), actor
		if _, err := l.Append(e); err != nil {
			return head, err
		}
	}
	return l.Head(), nil
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

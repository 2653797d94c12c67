package remedy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sync"
	"time"
)

// LedgerName is the name of a ledger in its directory.
const LedgerName = "ledger.jsonl"

// HeadMark is the name by which somebody else remembers how far a ledger goes: as the JSON of its Head.
const HeadMark = "ledger"

// RememberedHead is the head that such marks hold: the zero Head when nobody remembers one.
func RememberedHead(marks map[string]string) (h Head, err error) {
	text := marks[HeadMark]
	if text == "" {
		return h, nil
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return Head{}, fmt.Errorf("how far the ledger went: %w", err)
	}
	return h, nil
}

// Ledger is the durable record of all that repair intends, does and is told. It is a file to which lines are added, each of them an
// Entry that bears the hash of the one before. What Append has returned, and what OpenLedger has shown, outlives a kill and a power cut.
//
// It belongs to one process at a time: the one that owns the directory. It is used by many goroutines at once.
type Ledger struct {
	name string
	file File
	torn int64
	wait time.Duration

	// writing is held while an entry is added or the file is closed, mu for the fields below it.
	writing sync.Mutex
	closed  bool
	hangs   bool // a write is under way that nobody waits for any more
	mu      sync.Mutex
	head    Head
	size    int64
	err     error
}

// LedgerOptions are what can be chosen when a ledger is opened. The zero value is ready to use.
type LedgerOptions struct {
	// Floor is an entry that has to be there, with that hash: the last one that somebody else remembers. The zero value demands none.
	Floor Head
	// Each is called for each entry in order. If OpenLedger fails in the end, what it was told counts for nothing.
	Each func(Entry)
	// Log is told what was repaired; nil is nobody.
	Log *slog.Logger
	// Wait is how long the disk may take for one entry; 0 is 30 seconds. Then the ledger cannot be relied on any more, as after any error.
	Wait time.Duration
}

// usualWait is how long the disk may take unless LedgerOptions say otherwise: whoever freezes repair waits for it meanwhile.
const usualWait = 30 * time.Second

// ErrBroken is what the errors of a ledger wrap that could not be written. What became of the entry is not known: it may be in the file or not.
// Nothing is added any more by this process or until OpenLedger has verified the file again.
var ErrBroken = errors.New("the ledger cannot be written, so that nothing is repaired until this program was started again and has verified it")

var errLedgerClosed = errors.New("the ledger is closed")

// OpenLedger opens a ledger, verifies all of it, and makes an empty one if there is none. What a power cut left of an entry that
// was never acknowledged is cut off; nothing else is ever taken away. A ledger that cannot be relied on is left as it is, and the
// error is a *Refused.
func OpenLedger(fsys FS, name string, o LedgerOptions) (*Ledger, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	l := &Ledger{name: name, file: f, wait: cmp.Or(o.Wait, usualWait)}
	if err := l.start(fsys, o); err != nil {
		_ = f.Close()
		return nil, err
	}
	return l, nil
}

// start verifies the file and makes durable what is in it.
func (l *Ledger) start(fsys FS, o LedgerOptions) error {
	lines := readLines(io.NewSectionReader(l.file, 0, math.MaxInt64), o.Floor)
	for {
		e, err := lines.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if refused, is := errors.AsType[*Refused](err); is {
			refused.File = l.name
		}
		if err != nil {
			return err
		}
		if o.Each != nil {
			o.Each(e)
		}
	}
	l.head, l.size, l.torn = lines.head, lines.size, lines.torn
	if l.torn > 0 {
		if o.Log != nil {
			o.Log.Warn("the last line of the ledger was not written to its end, as by a power cut: it is cut off; it was never acted on",
				"ledger", l.name, "bytes", l.torn, "entries", l.head.Seq)
		}
		if err := l.file.Truncate(l.size); err != nil {
			return fmt.Errorf("cut off what is left of an entry that was not written to its end: %w", err)
		}
	}
	// A process that was killed may have written the last line and not made it durable. After a sync that failed it may even stand
	// in the kernel's memory alone, and a new sync would not write it. So it is written once more, over itself.
	if n := int64(len(lines.last)); n > 0 {
		if _, err := l.file.WriteAt(lines.last, l.size-n); err != nil {
			return fmt.Errorf("make the ledger durable: %w", err)
		}
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("make the ledger durable: %w", err)
	}
	if err := fsys.SyncDir(filepath.Dir(l.name)); err != nil {
		return fmt.Errorf("make the ledger durable: %w", err)
	}
	return nil
}

// Append adds an entry, whose Seq, Prev and Hash it fills in, and returns it as it is read back. When it returns nil, the entry is
// durable. An entry that cannot be written down as it is, or is too long, is refused and changes nothing; any other error wraps
// ErrBroken, and is that of every later call, too.
func (l *Ledger) Append(e Entry) (Entry, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	if err := l.Err(); err != nil {
		return Entry{}, err
	}
	e.Seq, e.Prev = l.head.Seq+1, l.head.Hash
	line, err := encodeEntry(&e)
	if err != nil {
		return Entry{}, fmt.Errorf("write entry %d of the ledger: %w", e.Seq, err)
	}
	if err := l.add(line, e.Kind); err != nil {
		err = fmt.Errorf("%w: entry %d: %w", ErrBroken, e.Seq, err)
		l.become(l.head, l.size, err)
		return Entry{}, err
	}
	l.become(Head{Seq: e.Seq, Hash: e.Hash}, l.size+int64(len(line)), nil)
	return e, nil
}

// add writes a line durably behind all others, or gives up waiting for that. The caller holds writing.
func (l *Ledger) add(line []byte, kind Kind) error {
	at, added := l.size, make(chan error, 1)
	go func() { added <- l.addAt(line, at, kind) }()
	late := time.NewTimer(l.wait)
	defer late.Stop()
	select {
	case err := <-added:
		return err
	case <-late.C:
		l.hangs = true
		return fmt.Errorf("the disk does not answer for %s", l.wait)
	}
}

// addAt is add, for as long as it takes.
func (l *Ledger) addAt(line []byte, at int64, kind Kind) error {
	size, err := l.file.Size()
	if err != nil {
		return err
	}
	if size != at {
		return fmt.Errorf("%s has %d bytes and not %d: something else writes to it", l.name, size, at)
	}
	passing("begin", kind)
	tearing(l.file, line, at, kind)
	if _, err := l.file.WriteAt(line, at); err != nil {
		return err
	}
	passing("written", kind)
	if err := l.file.Sync(); err != nil {
		return err
	}
	passing("synced", kind)
	return nil
}

func (l *Ledger) become(head Head, size int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head, l.size, l.err = head, size, err
}

// Head is how far the ledger goes: its last durable entry.
func (l *Ledger) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Err says why nothing can be added any more; nil while something can.
func (l *Ledger) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Torn is how many bytes were cut off when the ledger was opened, since they were no whole entry.
func (l *Ledger) Torn() int64 { return l.torn }

// Close ends the use of the ledger. What is durable does not depend on it.
func (l *Ledger) Close() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.become(l.head, l.size, cmp.Or(l.Err(), errLedgerClosed))
	if l.hangs {
		return errors.New("the ledger was not closed: its disk does not answer")
	}
	return l.file.Close()
}

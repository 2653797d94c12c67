package history

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// OpenReadOnly opens the history in a state directory to be looked at, beside the process that owns it or without one. It takes
// no ownership and leaves the history as it is: Record and Compact fail.
func OpenReadOnly(dir string) (Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the state directory: %w", err)
	}
	file := filepath.Join(dir, FileName)
	if _, err := os.Lstat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no history in %s yet: the daemon makes it with its first run", dir)
	}
	if err := recognize(file, true); err != nil {
		return nil, err
	}
	plain, err := newCodec(nil)
	if err != nil {
		return nil, err
	}
	d := &database{file: file, plain: plain, looking: true}
	ctx := context.Background()
	err = d.look(ctx, func() error {
		if err := d.sound(ctx, d.read); err != nil {
			return err
		}
		version, newest, err := versions(ctx, d.read)
		if err == nil && version < newest {
			return &Unreadable{File: file, What: fmt.Sprintf("it is of version %d, and this program reads version %d", version, newest),
				Remedy: "start the daemon of this program once, which brings it up to date"}
		}
		return d.fault("read its version", err)
	})
	if err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// still is what a database looks like that nobody writes to: all of it is in its file, and nothing beside it.
type still struct {
	size    int64
	changed time.Time
}

// standstill says whether nobody writes to the database now, and what it looks like then.
func (d *database) standstill() (still, bool) {
	if wal, err := os.Stat(d.file + walSuffix); err == nil && wal.Size() > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) {
		return still{}, false
	}
	info, err := os.Stat(d.file)
	if err != nil {
		return still{}, false
	}
	return still{info.Size(), info.ModTime()}, true
}

// look calls do with a connection for looking at the database. SQLite takes part in the locking of a database that somebody may
// write to, in files beside it. Where nobody does, it is read without, so that not even such a file is made; and if somebody
// began meanwhile, what was read is not believed, and is read again.
func (d *database) look(ctx context.Context, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	before, alone := d.standstill()
	if alone {
		if err := d.dial("mode=ro&immutable=1"); err != nil {
			return err
		}
		err := do()
		if after, alone := d.standstill(); alone && after == before || ctx.Err() != nil {
			return err
		}
	}
	if err := d.dial("mode=ro"); err != nil {
		return err
	}
	return do()
}

// dial has the database read through connections of a kind.
func (d *database) dial(kind string) error {
	if d.read != nil {
		if err := d.read.Close(); err != nil {
			return err
		}
	}
	d.read = dial(d.file, Options{}, kind, "_pragma=query_only(1)")
	d.read.SetMaxOpenConns(1)
	return nil
}

package history

import (
	"cmp"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// The files of a history in its directory: the database, what SQLite keeps beside it, and one that is being made.
const (
	FileName   = "history.db"
	walSuffix  = "-wal"
	shmSuffix  = "-shm"
	newSuffix  = ".new"
	magic      = "SQLite format 3\x00"
	pageSize   = 4096
	walLimit   = 16 << 20
	busy       = 10 * time.Second
	appID      = 0x61676175 // "agau": what tells the file from others of SQLite
	versionsOf = "history_version"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options are what can be chosen of a history in a file. The zero value is ready to use.
type Options struct {
	// MaxBytes is how large the database may get, in whole pages; what would make it larger fails as on a full disk. 0 is
	// no limit.
	MaxBytes int64
}

// ErrDisk is what the error of a history wraps that is as it was, and could not be used since the disk is full or fails: later it may
// be.
var ErrDisk = errors.New("the disk is full, or cannot be written")

// onDisk has an error of a full or failing disk wrap ErrDisk.
func onDisk(err error) error {
	full := errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EIO)
	if code, is := errors.AsType[*sqlite.Error](err); is {
		switch code.Code() {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_FSYNC,
			sqlite3.SQLITE_IOERR_DIR_FSYNC, sqlite3.SQLITE_IOERR_TRUNCATE:
			full = true
		}
	}
	if full && !errors.Is(err, ErrDisk) {
		return fmt.Errorf("%w: %w", ErrDisk, err)
	}
	return err
}

// Unreadable is the error of a history that cannot be believed: it is no history, or of a program that is newer, or damaged.
type Unreadable struct {
	// File is the database, and What is wrong with it.
	File string
	What string
	// Remedy says what to do.
	Remedy string
}

// Error says what is wrong with which file, and what to do.
func (u *Unreadable) Error() string {
	return fmt.Sprintf("the history in %s cannot be read: %s; %s", u.File, u.What, u.Remedy)
}

// damaged is the error of a history that is not as it was written.
func damaged(file, format string, args ...any) error {
	return &Unreadable{File: file, What: fmt.Sprintf(format, args...), Remedy: "end the program that writes it, and restore a copy of it " +
		"or, if there is none, move it away with the files beside it that begin with its name: then what was known is lost, and history begins anew"}
}

// OpenSQLite opens the history in a state directory, and makes both where they are missing. The process owns the directory until
// Close; an *InUse is the error where another process does, an *Unreadable that of a history which cannot be believed.
//
// Where the disk is full or fails, the error wraps ErrDisk.
func OpenSQLite(dir string, o Options) (Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", onDisk(err))
	}
	owned, err := lock(dir, time.Now())
	if err != nil {
		return nil, err
	}
	d, err := open(context.Background(), filepath.Join(dir, FileName), o)
	if err != nil {
		_ = owned.Unlock()
		return nil, onDisk(err)
	}
	d.lock = owned
	if d.locked, err = os.Stat(filepath.Join(dir, lockName)); err != nil {
		return nil, errors.Join(fmt.Errorf("look at the history: %w", err), d.Close())
	}
	return d, nil
}

func open(ctx context.Context, file string, o Options) (*database, error) {
	if err := create(ctx, file); err != nil {
		return nil, err
	}
	if err := recognize(file, false); err != nil {
		return nil, err
	}
	plain, err := newCodec(nil)
	if err != nil {
		return nil, err
	}
	d := &database{
		file: file, plain: plain, commit: (*sql.Tx).Commit,
		write: dial(file, o, "_txlock=immediate"), read: dial(file, o, "_pragma=query_only(1)"),
	}
	if d.is, err = os.Stat(file); err != nil {
		return nil, fmt.Errorf("look at the history: %w", err)
	}
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxOpenConns(4)
	if err := d.start(ctx); err != nil {
		_ = d.Close()
		return nil, err
	}
	return d, nil
}

// start makes sure of the history, and brings it up to this program's version.
func (d *database) start(ctx context.Context) error {
	if err := d.sound(ctx, d.write); err != nil {
		return err
	}
	var mode string
	if err := d.write.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil || mode != "wal" {
		return fmt.Errorf("history %s: it cannot be written ahead (%s): its file system lacks what SQLite needs: %w", d.file, mode,
			cmp.Or(err, errors.ErrUnsupported))
	}
	if version, newest, err := versions(ctx, d.write); err != nil || version < newest {
		if err := cmp.Or(err, migrate(ctx, d.write, 0)); err != nil {
			return d.fault("bring it up to date", err)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.load(ctx)
}

// create makes an empty history if there is none. It comes into being whole or not at all, so that an empty file always is damage.
func create(ctx context.Context, file string) error {
	for _, suffix := range []string{"", walSuffix, shmSuffix, "-journal"} {
		if err := os.Remove(file + newSuffix + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove a history that was not finished: %w", err)
		}
	}
	if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if wal, err := os.Stat(file + walSuffix); err == nil && wal.Size() > 0 {
		return &Unreadable{File: file, What: "it is gone, and " + file + walSuffix + ", which belongs to it, is there",
			Remedy: "put it back or, if that cannot be, move what is left away, too: then what was known is lost, and history begins anew"}
	}
	fresh := file + newSuffix
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	db := dial(fresh, Options{}, "_txlock=immediate", "_pragma=auto_vacuum(2)", "_pragma=journal_mode(WAL)")
	db.SetMaxOpenConns(1)
	_, err = db.ExecContext(ctx, "PRAGMA application_id = "+strconv.Itoa(appID))
	if err == nil {
		err = migrate(ctx, db, 0)
	}
	if err == nil {
		_, err = db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	if err := os.Rename(fresh, file); err != nil {
		return fmt.Errorf("make a history: %w", err)
	}
	return syncDir(filepath.Dir(file))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("make a history durable: %w", err)
	}
	_ = d.Sync() // not every system can
	return d.Close()
}

// closed is the error of a file that cannot be opened. Whoever is only looking shall not take it from the process that owns it.
func closed(file string, err error, looking bool) error {
	remedy := "see that it belongs to the user that this program runs as, and can be read"
	if looking && errors.Is(err, fs.ErrPermission) {
		remedy = "it belongs to another user: run this as that user, who runs the daemon, and leave owner and mode as they are"
	}
	return &Unreadable{File: file, What: reason(err), Remedy: remedy}
}

// reason is what a file system says is wrong, without the path.
func reason(err error) string {
	if pathErr, is := errors.AsType[*fs.PathError](err); is {
		return pathErr.Err.Error()
	}
	return err.Error()
}

// recognize fails if a file is no database. looking says that nothing is to be written.
func recognize(file string, looking bool) error {
	f, err := os.Open(file)
	if err != nil {
		return closed(file, err, looking)
	}
	defer f.Close()
	head := make([]byte, len(magic))
	if _, err := io.ReadFull(f, head); err != nil || string(head) != magic {
		return damaged(file, "it is no database of SQLite")
	}
	return nil
}

// dial opens a database. Nothing is read yet, and nothing is changed by it.
func dial(file string, o Options, more ...string) *sql.DB {
	params := append([]string{
		"_pragma=busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")", "_pragma=foreign_keys(1)",
		"_pragma=cell_size_check(1)", "_pragma=trusted_schema(0)",
	}, more...)
	if !strings.Contains(strings.Join(more, "&"), "mode=ro") {
		params = append(params, "_pragma=synchronous(FULL)", "_pragma=journal_size_limit("+strconv.Itoa(walLimit)+")")
		if o.MaxBytes > 0 {
			params = append(params, "_pragma=max_page_count("+strconv.FormatInt(max(o.MaxBytes/pageSize, 1), 10)+")")
		}
	}
	name := (&url.URL{Scheme: "file", Path: filepath.ToSlash(file), OmitHost: true}).String() + "?" + strings.Join(params, "&")
	db, err := sql.Open("sqlite", name)
	if err != nil {
		panic(err) // the driver is part of this program, and it does not look at the name yet
	}
	return db
}

// sound fails if a database is none of a history, or is damaged.
func (d *database) sound(ctx context.Context, db *sql.DB) error {
	var id int64
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return d.fault("open it", err)
	}
	if id != appID {
		return damaged(d.file, "it is a database of SQLite, but no history")
	}
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check(1)")
	if err != nil {
		return d.fault("check it", err)
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return d.fault("check it", err)
		}
		if text != "ok" {
			return damaged(d.file, "its integrity check says: %s", strings.ReplaceAll(text, "\n", " "))
		}
	}
	if err := rows.Err(); err != nil {
		return d.fault("check it", err)
	}
	version, newest, err := versions(ctx, db)
	switch {
	case err != nil:
		return d.fault("read its version", err)
	case version > newest:
		return &Unreadable{File: d.file, What: fmt.Sprintf("it is of version %d, and this program knows versions up to %d", version, newest),
			Remedy: "use the program that wrote it, or a newer one"}
	case version < 1:
		return damaged(d.file, "it has no version")
	}
	return nil
}

// versions are that of the database and the newest that this program knows.
func versions(ctx context.Context, db *sql.DB) (version, newest int64, err error) {
	list, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, 0, err
	}
	err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionsOf).Scan(&version)
	return version, int64(len(list)), err
}

// migrate brings a database up to a version, or to the newest.
func migrate(ctx context.Context, db *sql.DB, to int64) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir, goose.WithTableName(versionsOf), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if to > 0 {
		_, err = p.UpTo(ctx, to)
	} else {
		_, err = p.Up(ctx)
	}
	return err
}

// fault is an error of the database in words: damage that SQLite sees is an *Unreadable.
func (d *database) fault(doing string, err error) error {
	if _, said := errors.AsType[*Unreadable](err); err == nil || said {
		return err
	}
	if f, is := errors.AsType[*flaw](err); is {
		return damaged(d.file, "%s", f.what)
	}
	if code, is := errors.AsType[*sqlite.Error](err); is {
		switch code.Code() & 0xff {
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_MISMATCH,
			sqlite3.SQLITE_ERROR:
			return damaged(d.file, "%s", code.Error())
		case sqlite3.SQLITE_FULL:
			return fmt.Errorf("history %s: %s: the disk is full, or the history is as large as it may get: %w", d.file, doing, err)
		}
	}
	return fmt.Errorf("history %s: %s: %w", d.file, doing, err)
}

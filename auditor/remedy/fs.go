package remedy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// FS is what a Ledger needs of a file system. OSFS is the real one; tests have one whose power is cut.
type FS interface {
	// Open opens a plain file to be read and written, and makes an empty one if there is none.
	Open(name string) (File, error)
	// SyncDir makes durable which files are in a directory.
	SyncDir(dir string) error
}

// File is an open file of an FS. What was written is durable only when Sync has returned nil after it; when it has returned
// an error nothing can be said of what was written since the last time, nor by calling it again.
type File interface {
	io.ReaderAt
	io.WriterAt
	// Size is how many bytes are in the file. It fails if the file is no longer where it was opened.
	Size() (int64, error)
	// Truncate cuts off what is behind the first bytes.
	Truncate(size int64) error
	Sync() error
	Close() error
}

// OSFS is the operating system's file system. Files are made with the mode 0600, a directory that is missing with 0700. No symbolic
// link is followed to a file, and nothing is opened but plain files.
type OSFS struct{}

// Open is FS.Open.
func (OSFS) Open(name string) (File, error) {
	if err := makeDir(filepath.Dir(name)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = openPlain(name)
	}
	if err != nil {
		return nil, err
	}
	is, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &osFile{f, is}, nil
}

// makeDir makes a directory durably if there is none.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return OSFS{}.SyncDir(filepath.Dir(dir))
}

// openPlain opens a file that is there. What somebody puts in its place meanwhile is not opened.
func openPlain(name string) (*os.File, error) {
	was, err := os.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !was.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no plain file: move it away, and see who put it there", name)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if is, err := f.Stat(); err != nil || !os.SameFile(is, was) {
		_ = f.Close()
		return nil, fmt.Errorf("%s was replaced while it was opened", name)
	}
	return f, nil
}

// SyncDir is FS.SyncDir. Where a file system knows no such thing, there is nothing to be done.
func (OSFS) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}

// osFile is a file and what it was when it was opened.
type osFile struct {
	*os.File
	is fs.FileInfo
}

// Size is File.Size.
func (f *osFile) Size() (int64, error) {
	there, err := os.Lstat(f.Name())
	if err != nil || !os.SameFile(there, f.is) {
		return 0, fmt.Errorf("%s was moved, deleted or replaced while the program ran", f.Name())
	}
	return there.Size(), nil
}

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// newFileMode is the mode of a file that did not exist: a report says where an organization is weak, so it is its
// owner's. A file that exists keeps its mode.
const newFileMode fs.FileMode = 0o600

// metricsFileMode is that of a new file of metrics: what reads it runs as another user, and shows it to whoever asks.
const metricsFileMode fs.FileMode = 0o644

// outfile is a file in the making, beside the one that it will replace: readers see the old one or the new one, whole.
type outfile struct {
	*os.File
	target string
	mode   fs.FileMode
}

// createAside begins a file, which gets the mode if it is new. It fails at once when the place cannot be written to, before
// anything is read for it.
func createAside(target string, mode fs.FileMode) (*outfile, error) {
	// A link stays: what it points to is replaced.
	if pointed, err := filepath.EvalSymlinks(target); err == nil {
		target = pointed
	}
	switch info, err := os.Stat(target); {
	case err == nil && !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file; redirect the output there instead")
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*.tmp")
	if err != nil {
		return nil, err
	}
	return &outfile{File: f, target: target, mode: mode}, nil
}

// commit puts the file in its place, on disk and for good. Whatever fails, the old file is as it was.
func (f *outfile) commit() error {
	err := errors.Join(f.Chmod(f.mode), f.Sync())
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), f.target)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	// The new name is on disk when the folder is.
	dir, err := os.Open(filepath.Dir(f.target))
	if err != nil {
		return fmt.Errorf("open its folder: %w", err)
	}
	defer dir.Close()
	return dir.Sync()
}

// discard removes the unfinished file. After commit it does nothing.
func (f *outfile) discard() {
	if f.Close() == nil {
		_ = os.Remove(f.Name())
	}
}

// result is where a command's result goes: stdout, or a file that appears when it is whole.
type result struct {
	to   io.Writer
	file *outfile
}

// openResult prepares a result in the file, or on stdout when no file is named.
func (a *app) openResult(file string, mode fs.FileMode) (*result, error) {
	if file == "" {
		return &result{to: a.out}, nil
	}
	f, err := createAside(file, mode)
	if err != nil {
		return nil, misuse("name a file in a folder that you may write to", "the result cannot be written to %s: %w", file, err)
	}
	return &result{to: f, file: f}, nil
}

// write writes the result with one of the functions of package report and commits it.
func (r *result) write(render func(io.Writer) error) error {
	err := render(r.to)
	if err == nil && r.file != nil {
		err = r.file.commit()
	}
	if err != nil {
		r.discard()
		return &failure{code: exitPartial, err: fmt.Errorf("write the result: %w", err)}
	}
	return nil
}

// discard gives a result up that was not written; one that was stays.
func (r *result) discard() {
	if r.file != nil {
		r.file.discard()
	}
}

package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settle is how long the files have to lie still before they are read: whoever writes several does so one after the other.
const settle = 300 * time.Millisecond

// sources are what a configuration was read from, by path, with a digest of what stood in each; zero where it could not be
// read.
type sources map[string][sha256.Size]byte

// recorder opens files and remembers what stood in them.
type recorder struct {
	open func(path string) (fs.File, error)
	seen sources
}

func (r *recorder) openFile(path string) (fs.File, error) {
	r.seen[path] = digest(r.open, path)
	return r.open(path)
}

// digest is that of a file's content. What cannot be read has none.
func digest(open func(path string) (fs.File, error), path string) (sum [sha256.Size]byte) {
	data, err := read(open, path, maxWatched, func(fs.FileInfo) error { return nil })
	if err != nil {
		return sum
	}
	return sha256.Sum256(data)
}

// maxWatched bounds what is read of a file to see whether it changed.
const maxWatched = 16 << 20

// changed says whether one of the files differs from what was read.
func (f sources) changed() bool {
	for path, was := range f {
		if now := digest(openFile, path); !bytes.Equal(now[:], was[:]) {
			return true
		}
	}
	return false
}

// folders are those of the files.
func (f sources) folders() []string {
	var list []string
	for path := range f {
		list = append(list, filepath.Dir(path))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// watch reloads whenever a file of the configuration has changed, until ctx is done or stop is called. Folders are watched
// rather than files, since editors replace files, and Kubernetes the link to a whole folder of them.
func (d *Daemon) watch(ctx context.Context) (stop func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	follow := func() error {
		d.mu.Lock()
		folders := d.read.folders()
		d.mu.Unlock()
		watched := w.WatchList()
		for _, f := range folders {
			if slices.Contains(watched, f) {
				continue
			}
			if err := w.Add(f); err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
		}
		return nil
	}
	if err := follow(); err != nil {
		_ = w.Close()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		still := time.NewTimer(settle) // what changed between reading and watching is found at once
		defer still.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-w.Events:
				if !open {
					return
				}
				still.Reset(settle)
			case err, open := <-w.Errors:
				if !open {
					return
				}
				d.options.Logger.Warn("a change of the configuration may go unnoticed", "err", err)
				still.Reset(settle)
			case <-still.C:
				d.mu.Lock()
				read := d.read
				d.mu.Unlock()
				if !read.changed() {
					continue
				}
				_ = d.Reload(ctx) // it says itself what was wrong
				if err := follow(); err != nil {
					d.options.Logger.Warn("a change of the configuration may go unnoticed", "err", err)
				}
			}
		}
	}()
	return func() {
		_ = w.Close()
		<-done
	}, nil
}

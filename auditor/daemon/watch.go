package daemon

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// settle is how long the files have to lie still before they are read, since whoever writes several does so one after the
	// other; but what goes on beside them puts that off by no more than unsettled.
	settle, unsettled = 300 * time.Millisecond, 2 * time.Second
	// lookAnyway is how often the files are compared although nobody said that they changed.
	lookAnyway = 30 * time.Second
	// maxLinks is how many links a path may lead over.
	maxLinks = 40
)

// sources are what a configuration was read from, by path, with a digest of what stood in each; zero where it could not be
// read.
type sources map[string][sha256.Size]byte

// recorder opens files and remembers what stood in them.
type recorder struct {
	open, openSecret func(path string) (fs.File, error)
	seen             sources
}

func (r *recorder) openFile(path string) (fs.File, error) {
	r.seen[path] = digest(r.open, path)
	return r.open(path)
}

// openSecretFile opens a file with a secret, which may lie in fewer places.
func (r *recorder) openSecretFile(path string) (fs.File, error) {
	r.seen[path] = digest(r.open, path)
	return r.openSecret(path)
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

// folders are those in which something has to happen for one of the files to become another one: its own, and those of what
// links lead to. Each is named without a link, so that it is there once. One that is missing is stood in for by that in which
// it would be made.
func (f sources) folders() []string {
	var list []string
	for path := range f {
		for range maxLinks {
			folder, there := standing(filepath.Dir(path))
			list = append(list, folder)
			target, err := os.Readlink(path)
			if !there || err != nil {
				break
			}
			if !filepath.IsAbs(target) {
				target = filepath.Join(folder, target)
			}
			path = target
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// standing is a folder without a link in its name, or, when it is not there, the nearest one above it that is.
func standing(folder string) (name string, there bool) {
	for there = true; ; there = false {
		if name, err := filepath.EvalSymlinks(folder); err == nil {
			return name, there
		}
		above := filepath.Dir(folder)
		if above == folder {
			return folder, false
		}
		folder = above
	}
}

// watch reloads whenever a file of the configuration has changed, until ctx is done or stop is called. Folders are watched
// rather than files, since editors replace files, and Kubernetes the link to a whole folder of them.
func (d *Daemon) watch(ctx context.Context) (stop func(), err error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := follow(w, d.lastRead().folders()); err != nil {
		_ = w.Close()
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		follow := func() {
			if err := follow(w, d.lastRead().folders()); err != nil {
				d.options.Logger.Warn("a change of the configuration is noticed late", "err", err)
			}
		}
		watchLoop(ctx, w.Events, w.Errors, func(err error) {
			if err != nil {
				d.options.Logger.Warn("a change of the configuration is noticed late", "err", err)
			}
			follow() // before it looks, so that nothing happens in between
			if d.lastRead().changed() {
				_ = d.Reload(ctx) // it says itself what was wrong
				follow()
			}
		})
	}()
	return func() {
		_ = w.Close()
		<-done
	}, nil
}

// follow has a watcher watch these folders and no others. One that was lost is watched again.
func follow(w *fsnotify.Watcher, folders []string) error {
	watched := w.WatchList()
	for _, f := range watched {
		if !slices.Contains(folders, f) {
			_ = w.Remove(f) // it may be gone
		}
	}
	var failed error
	for _, f := range folders {
		if slices.Contains(watched, f) {
			continue
		}
		if err := w.Add(f); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f, err))
		}
	}
	return failed
}

// watchLoop looks, soon after something happened and now and then anyway, until ctx is done or there are no more events. It
// begins with a look, which finds what changed before anything was watched. look is told what went wrong with the watching.
func watchLoop[E any](ctx context.Context, events <-chan E, errs <-chan error, look func(err error)) {
	still := time.NewTimer(settle)
	defer still.Stop()
	anyway := time.NewTicker(lookAnyway)
	defer anyway.Stop()
	since := time.Now() // the first thing that happened since it looked; zero when nothing did
	var wrong error
	happened := func() {
		if since.IsZero() {
			since = time.Now()
		}
		still.Reset(max(0, min(settle, unsettled-time.Since(since))))
	}
	for {
		select {
		case <-ctx.Done():
			return
		case _, open := <-events:
			if !open {
				return
			}
			happened()
			continue
		case err, open := <-errs:
			if !open {
				return
			}
			wrong = err
			happened()
			continue
		case <-still.C:
		case <-anyway.C:
		}
		look(wrong)
		since, wrong = time.Time{}, nil
		still.Stop()
	}
}

// lastRead are the files of the configuration that was read last, be it in force or refused.
func (d *Daemon) lastRead() sources {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read
}

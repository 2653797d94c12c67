package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// ListenPrivate listens at a Unix socket that only the program's own user may use (mode 0600). What is at its path must be nothing, or a
// socket: that of a process that is no more, which it takes the place of. The directory must be the program's own, since whoever may write there
// can put another socket in its place. Who closes the listener removes the socket.
func ListenPrivate(path string) (net.Listener, error) {
	switch is, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, err
	case is.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("%s is there and is no socket: move it away, and see who put it there", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	// A socket can be used as soon as it is there: it is made where nobody else can look, and then moved.
	aside, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(aside)
	short, release, err := shortFolder(aside)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(short, "s"), Net: "unix"})
	release()
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	made := filepath.Join(aside, "s")
	if err := errors.Join(os.Chmod(made, 0o600), os.Rename(made, path)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// DialPrivate connects to a socket that ListenPrivate made, however long its path is.
func DialPrivate(ctx context.Context, path string) (net.Conn, error) {
	short, release, err := shortFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer release()
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "unix", filepath.Join(short, filepath.Base(path)))
}

// maxSocketFolder is how long the path of a folder may be so that every system takes that of a socket in it, and in a folder in it.
const maxSocketFolder = 70

// shortFolder is a path of a folder by which a socket in it can be used, however long its own is, until it is released.
func shortFolder(dir string) (path string, release func(), err error) {
	if len(dir) <= maxSocketFolder || runtime.GOOS != "linux" {
		return dir, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d", f.Fd()), func() { _ = f.Close() }, nil
}

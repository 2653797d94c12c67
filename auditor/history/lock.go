package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// lockName is the file in a state directory that the process which owns the directory holds locked.
const lockName = "lock"

// InUse is the error of a state directory that another process owns.
type InUse struct {
	// Dir is the directory.
	Dir string
	// Owner says which process owns it, and since when, as that process wrote it down; empty when it could not be read.
	Owner string
}

// Error says who has the directory and what to do.
func (e *InUse) Error() string {
	owner := e.Owner
	if owner == "" {
		owner = "another process"
	}
	return fmt.Sprintf("the state directory %s is in use by %s: end that process first, or give this one a state directory of its own",
		e.Dir, owner)
}

// lock makes the process the owner of a state directory, or fails with an *InUse. The kernel ends the ownership with the process.
func lock(dir string, now time.Time) (*flock.Flock, error) {
	file := filepath.Join(dir, lockName)
	if is, err := os.Lstat(file); err == nil && !is.Mode().IsRegular() {
		return nil, fmt.Errorf("lock the state directory: %s is no plain file: move it away, and see who put it there", file)
	}
	l := flock.New(file, flock.SetPermissions(0o600))
	locked, err := l.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", onDisk(err))
	}
	if !locked {
		owner, _ := os.ReadFile(file) // who it is helps, and is not needed
		return nil, &InUse{Dir: dir, Owner: strings.ToValidUTF8(strings.TrimSpace(string(owner[:min(len(owner), 200)])), "?")}
	}
	text := fmt.Sprintf("process %d since %s\n", os.Getpid(), now.UTC().Format(time.RFC3339))
	_ = os.WriteFile(file, []byte(text), 0o600) // the lock holds on a full disk, too
	return l, nil
}

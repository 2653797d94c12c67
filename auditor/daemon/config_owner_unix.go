//go:build unix

package daemon

import (
	"io/fs"
	"syscall"
)

// ownedByRoot says whether the file belongs to the superuser.
func ownedByRoot(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == 0
}

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

// foreign says whether the file belongs to neither this user nor the superuser.
func foreign(info fs.FileInfo, user int) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid != 0 && int(stat.Uid) != user
}

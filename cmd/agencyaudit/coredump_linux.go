package main

import "golang.org/x/sys/unix"

// forbidCoreDumps keeps the memory of the process, which holds keys, out of files and away from other processes of the
// same user. The limit alone does not bind a system that pipes dumps to a program. If the system refuses, nothing is lost
// but that precaution.
func forbidCoreDumps() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}

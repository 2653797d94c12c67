package main

import "golang.org/x/sys/unix"

// forbidCoreDumps keeps the memory of the process, which holds keys, out of files. If the system refuses, nothing is lost
// but that precaution.
func forbidCoreDumps() { _ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }

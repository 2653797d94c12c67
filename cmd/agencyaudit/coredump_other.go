//go:build !linux

package main

// forbidCoreDumps does nothing where the system has other means than Linux.
func forbidCoreDumps() {}

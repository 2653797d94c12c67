//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// What could not be put on disk does not take the old file's place: a pipe, for one, cannot.
func TestAFileThatIsNotOnDiskLeavesTheOldOne(t *testing.T) {
	target := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(target, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := (&outfile{File: w, target: target, mode: 0o600}).commit(); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("error %v, want that of fsync", err)
	}
	if text, err := os.ReadFile(target); err != nil || string(text) != "old" {
		t.Errorf("the file holds %q (%v)", text, err)
	}
}

//go:build unix

package daemon

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestPipesAreNotWaitedFor would hang if a named pipe that nobody writes to were opened like a file.
func TestPipesAreNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "agencyaudit.yaml")
	write(t, file, strings.Replace(minimal, "ak_env: PROD_AK, sk_env: PROD_SK", "ak_file: pipe, sk_file: pipe", 1), 0o644)
	for _, name := range []string{file, pipe} {
		if _, err := LoadConfig(name); err == nil || !strings.Contains(err.Error(), "it is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

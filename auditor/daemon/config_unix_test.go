//go:build unix

package daemon

import (
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestSecretFilesArePrivate(t *testing.T) {
	for _, c := range []struct {
		mode fs.FileMode
		uid  uint32
		want bool
	}{
		{0o600, 1000, true}, {0o400, 1000, true}, {0o700, 1000, true}, {0o640, 1000, false}, {0o604, 1000, false},
		{0o620, 1000, false}, {0o610, 1000, false}, {0o666, 1000, false},
		{0o600, 0, true}, {0o640, 0, true}, {0o440, 0, true}, {0o644, 0, false}, {0o660, 0, false}, {0o650, 0, false}, {0o602, 0, false},
	} {
		fsys := fstest.MapFS{"f": {Mode: c.mode, Sys: &syscall.Stat_t{Uid: c.uid}}}
		info, err := fsys.Stat("f")
		if err != nil {
			t.Fatal(err)
		}
		if err := private(info); (err == nil) != c.want {
			t.Errorf("mode %04o of user %d: %v", c.mode, c.uid, err)
		}
	}
}

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

//go:build unix

package daemon

import (
	"io/fs"
	"os"
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
		{0o600, 1001, false}, {0o400, 1001, false},
		{0o600, 0, true}, {0o640, 0, true}, {0o440, 0, true}, {0o644, 0, false}, {0o660, 0, false}, {0o650, 0, false}, {0o602, 0, false},
	} {
		fsys := fstest.MapFS{"f": {Mode: c.mode, Sys: &syscall.Stat_t{Uid: c.uid}}}
		info, err := fsys.Stat("f")
		if err != nil {
			t.Fatal(err)
		}
		if err := private(info, 1000); (err == nil) != c.want {
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

// A link is followed within the folder of the file that is named, which is how Kubernetes mounts secrets, and not out of it.
func TestSecretFilesAreWhereTheyAreSaidToBe(t *testing.T) {
	dir := t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	for _, folder := range []string{"keys", "keys/..2026_11_25", "elsewhere"} {
		if err := os.Mkdir(at(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	secret := "value" + canary
	for _, file := range []string{"keys/plain", "keys/..2026_11_25/ak", "elsewhere/ak"} {
		write(t, at(file), secret, 0o600)
	}
	for link, to := range map[string]string{
		"keys/..data": "..2026_11_25", "keys/ak": "..data/ak", // as Kubernetes makes them
		"keys/out": "../elsewhere/ak", "keys/absolute": at("keys/plain"), "keys/far": at("elsewhere/ak"), "keys/round": "../keys/plain",
		"keys/chain": "out", "keys/dangling": "nothing", "keys/loop": "loop", "linked": "keys",
	} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	const leadsOut, missing = "it is a link that leads out of its folder", "no such file or directory"
	for name, want := range map[string]string{
		"keys/plain": "", "keys/ak": "", "linked/ak": "", "linked/plain": "", // the folder is the operator's word
		"keys/out": leadsOut, "keys/absolute": leadsOut, "keys/far": leadsOut, "keys/chain": leadsOut, "keys/round": leadsOut,
		"linked/out": leadsOut, "keys/dangling": missing, "keys/loop": "too many levels of symbolic links", "nowhere/ak": missing,
	} {
		file := at("agencyaudit.yaml")
		write(t, file, strings.Replace(minimal, "ak_env: PROD_AK, sk_env: PROD_SK", "ak_file: "+name+", sk_file: keys/plain", 1), 0o644)
		_, err := LoadConfig(file)
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %q", name, err, want)
		case err != nil && strings.Contains(err.Error(), canary):
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// What an earlier start left is left as it is. Anything else in the file's place is not replaced, whatever it is.
func TestAConfigurationReplacesNoFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write("linked", "another"), link); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]struct{ there, refused bool }{
		filepath.Join(dir, "new"):   {},
		dir:                         {}, // writing it fails
		write("same", "config"):     {there: true},
		write("longer", "config\n"): {refused: true},
		write("empty", ""):          {refused: true},
		link:                        {refused: true},
	} {
		there, err := wroteBefore(file, []byte("config"))
		f, _ := errors.AsType[*failure](err)
		if there != want.there || (f != nil && f.code == exitUsage) != want.refused || (err != nil) != want.refused {
			t.Errorf("%s: %v %v", file, there, err)
		}
	}
}

//go:build unix

package main

import (
	"bytes"
	gobuild "go/build"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What reads these variables kills the program, or has it believe that it is another day.
var dangerous = []string{"AGENCYAUDIT_FAILPOINT", "AGENCYAUDIT_AHEAD"}

// TestNoFailpoints wants nothing of the points at which a program kills itself to be in one that is released: in no file that is built without
// the tag failpoints, for any system, nor in the program that AGENCYAUDIT_PROGRAM names.
func TestNoFailpoints(t *testing.T) {
	t.Parallel()
	has := func(data []byte) bool {
		return slices.ContainsFunc(dangerous, func(name string) bool { return bytes.Contains(data, []byte(name)) })
	}
	found := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".cache" || d.Name() == ".git"):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil || !has(data) {
			return err
		}
		found++
		for _, system := range []string{"linux", "darwin", "windows"} {
			c := gobuild.Default
			c.GOOS, c.BuildTags = system, nil
			if matches, err := c.MatchFile(filepath.Split(path)); err != nil || matches {
				t.Errorf("%s is built for %s without a tag: %v %v", path, system, matches, err)
			}
			c.BuildTags = []string{"failpoints"}
			if matches, err := c.MatchFile(filepath.Split(path)); err != nil || !matches {
				t.Errorf("%s is not built for %s with the tag: %v %v", path, system, matches, err)
			}
		}
		return nil
	})
	if err != nil || found != len(dangerous) {
		t.Errorf("%d files read %v: %v", found, dangerous, err)
	}
	for variable, want := range map[string]bool{programVariable: false, failpointsVariable: true} {
		program := os.Getenv(variable)
		if program == "" {
			continue
		}
		data, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		if has(data) != want {
			t.Errorf("%s has failpoints: %v", program, !want)
		}
	}
}

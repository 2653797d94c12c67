package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"testing"
)

// TestMutantsFitTheCode holds the list to the code that it breaks: each replacement still fits, exactly once, and leaves a
// file that is Go. Whether it compiles and is caught is for the command itself, which takes minutes.
func TestMutantsFitTheCode(t *testing.T) {
	if len(mutants) < 20 {
		t.Errorf("only %d mutants", len(mutants))
	}
	names := map[string]bool{}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			if names[m.name] {
				t.Error("the name is taken")
			}
			names[m.name] = true
			if met := m.stages(); m.by != "" && met[0].name != m.by {
				t.Errorf("there is no stage %q", m.by)
			}
			source, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(m.file)))
			if err != nil {
				t.Fatal(err)
			}
			mutated, err := m.apply(source)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := parser.ParseFile(token.NewFileSet(), m.file, mutated, parser.SkipObjectResolution); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestApplyRefuses proves the guards of apply.
func TestApplyRefuses(t *testing.T) {
	for name, m := range map[string]mutant{
		"a text that is not there":        {old: "x", new: "y"},
		"a text that is there twice":      {old: "b", new: "y"},
		"a replacement by the same thing": {old: "a", new: "a"},
	} {
		if got, err := m.apply([]byte("abb")); err == nil {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got, err := (mutant{old: "a", new: "y"}).apply([]byte("abb")); err != nil || string(got) != "ybb" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestVerdict reads what go test prints.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct{ out, want string }{
		{"--- FAIL: TestA (0.0s)\n    --- FAIL: TestA/b (0.0s)\n        a_test.go:3: seed 7: lost\nFAIL\n", "TestA/b: seed 7: lost"},
		{"panic: runtime error: index out of range\n", "panic: runtime error: index out of range"},
		{"panic: test timed out after 5m0s\n", ""},
		{"FAIL\n", ""},
	} {
		if got := verdict([]byte(tt.out)); got != tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

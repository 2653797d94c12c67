package strictyaml_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// FuzzDecode holds every text to what Decode promises: no panic, the same answer twice, faults in order that say
// something on one line at a place within the text, and, for a key of any text, a path that leads back to it.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(places))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v, again sample
		doc, err := strictyaml.Decode("f", data, &v)
		if _, err2 := strictyaml.Decode("f", data, &again); !reflect.DeepEqual(err, err2) || !reflect.DeepEqual(v, again) {
			t.Fatalf("two answers:\n%v\n%v", err, err2)
		}
		if doc == nil {
			t.Fatal("no document")
		}
		if err == nil {
			if !doc.Readable() || !doc.Sound("") || !doc.Has("") {
				t.Error("a document without faults is not believed")
			}
			return
		}
		var faults strictyaml.Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data)), "\n")
		for i, fault := range faults {
			if fault.Problem == "" || fault.Remedy == "" {
				t.Errorf("says nothing: %#v", fault)
			}
			text := fault.Error()
			if strings.ContainsFunc(text, unicode.IsControl) || !utf8.ValidString(text) {
				t.Errorf("not one line of text: %q", text)
			}
			if fault.Line > 0 && (fault.Line > len(lines) || fault.Column < 1 || fault.Column > utf8.RuneCountInString(lines[fault.Line-1])+1) {
				t.Errorf("not within the text: %s", text)
			}
			if i > 0 && (fault.Line < faults[i-1].Line || fault.Line == faults[i-1].Line && fault.Column < faults[i-1].Column) {
				t.Errorf("out of order: %s", text)
			}
			if fault.Path != "" && !doc.Has(fault.Path) {
				t.Errorf("the path leads nowhere: %s", text)
			}
		}
	})
}

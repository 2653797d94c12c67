package strictyaml_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

const places = `text: a
inner:
  text: b
list:
  - text: c
  - {text: d, tags: [e, f]}
labels:
  a.b: x
  "c[0]": y
tags: []
`

func decode(t *testing.T, text string) (*strictyaml.Document, error) {
	t.Helper()
	var v sample
	return strictyaml.Decode("f.yaml", []byte(text), &v)
}

func TestFaultKnowsItsPlace(t *testing.T) {
	doc, err := decode(t, places)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                    "f.yaml:1:1: p; r",
		"text":                "f.yaml:1:7: text: p; r",
		"inner":               "f.yaml:2:1: inner: p; r", // what stands on several lines is where its key is
		"inner.text":          "f.yaml:3:9: inner.text: p; r",
		"inner.lost":          "f.yaml:2:1: inner.lost: p; r",
		"inner.lost.deep[3]":  "f.yaml:2:1: inner.lost.deep[3]: p; r",
		"list[0]":             "f.yaml:5:5: list[0]: p; r",
		"list[0].text":        "f.yaml:5:11: list[0].text: p; r",
		"list[1].tags[1]":     "f.yaml:6:25: list[1].tags[1]: p; r",
		"list[1].tags[2]":     "f.yaml:6:15: list[1].tags[2]: p; r",
		"list[9].text":        "f.yaml:4:1: list[9].text: p; r",
		`labels["a.b"]`:       `f.yaml:8:8: labels["a.b"]: p; r`,
		`labels["c[0]"]`:      `f.yaml:9:11: labels["c[0]"]: p; r`,
		`labels["c[0]"].x`:    `f.yaml:9:11: labels["c[0]"].x: p; r`,
		"tags":                "f.yaml:10:1: tags: p; r",
		"lost":                "f.yaml:1:1: lost: p; r",
		"list[-1]":            "f.yaml:4:1: list[-1]: p; r",
		"list[x]":             "f.yaml:4:1: list[x]: p; r",
		"list[":               "f.yaml:4:1: list[: p; r",
		`labels["a.b`:         `f.yaml:7:1: labels["a.b: p; r`,
		"text.deeper":         "f.yaml:1:7: text.deeper: p; r",
		"text[0]":             "f.yaml:1:7: text[0]: p; r",
		"..":                  "f.yaml:1:1: ..: p; r",
		"inner[0]":            "f.yaml:2:1: inner[0]: p; r",
		"list.text":           "f.yaml:4:1: list.text: p; r",
		`["text"]`:            `f.yaml:1:7: ["text"]: p; r`,
		`list[1]["tags"][0]`:  `f.yaml:6:22: list[1]["tags"][0]: p; r`,
		"list[00000000000001": "f.yaml:4:1: list[00000000000001: p; r",
	} {
		if got := doc.Fault(path, "p", "r").Error(); got != want {
			t.Errorf("%q\n got %s\nwant %s", path, got, want)
		}
	}
}

func TestHas(t *testing.T) {
	doc, err := decode(t, places)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		"": true, "text": true, "inner": true, "inner.text": true, "list[1].tags[0]": true, "tags": true, `labels["a.b"]`: true,
		"whole": false, "inner.lost": false, "list[2]": false, "tags[0]": false, "labels.a.b": false, "text.a": false, "text[0]": false,
	} {
		if doc.Has(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
	faulty, err := decode(t, "text: 5\nwhole:\n")
	if err == nil || !faulty.Has("text") || !faulty.Has("whole") {
		t.Error("a key is written even if its value is wrong")
	}
}

func TestSound(t *testing.T) {
	doc, err := decode(t, `text: 5
whole: 5
inner: {txet: a}
list:
  - {text: a, wait: 5}
  - <<: *a
    whole: 1
  - {text: b}
labels: {a: *b, c: &d e}
`)
	if err == nil {
		t.Fatal("no fault")
	}
	for path, want := range map[string]bool{
		"": false, "text": false, "text.deeper": false, "tex": true, "text2": true, "whole": true, "missing": true,
		"inner": false, "inner.txet": false, "inner.text": false, // the key that was meant
		"list": false, "list[0]": false, "list[0].wait": false, "list[0].text": true, "list[0].tags": true,
		"list[1]": false, "list[1].whole": false, // a merge key: nothing is known
		"list[2]": true, "list[2].text": true, "list[20]": true,
		"labels": false, "labels.a": false, "labels.c": true,
	} {
		if doc.Sound(path) != want {
			t.Errorf("%q: %v", path, !want)
		}
	}
}

func TestSoundOfManyFaults(t *testing.T) {
	doc, err := decode(t, "tags: ["+strings.Repeat("5, ", 2000)+"5]\n")
	if err == nil || doc.Sound("text") {
		t.Error("beyond a thousand faults nothing may be called sound")
	}
}

func TestAddJoinsBothSortsOfFaults(t *testing.T) {
	doc, err := decode(t, "whole: 3\ntext: 5\ninner: {text: a}\n")
	if err == nil {
		t.Fatal("no fault")
	}
	doc.Add("inner.text", "is too short", "write more")
	doc.Add("text", "is an echo", "say nothing")
	doc.Add("whole", "is too small", "write 4")
	doc.Add("whole", "is too odd", "write 4")
	doc.Add("whole", "is too odd", "write 4")
	want := `f.yaml:1:8: whole: is too odd; write 4
f.yaml:1:8: whole: is too small; write 4
f.yaml:2:7: text: is the number 5 where text is wanted; put it in quotes: "5"
f.yaml:3:15: inner.text: is too short; write more`
	if got := doc.Err(); got == nil || got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
	if len(strings.Split(err.Error(), "\n")) != 1 {
		t.Errorf("the error of Decode grew: %v", err)
	}
}

func TestUnreadable(t *testing.T) {
	doc, err := decode(t, "text: [\n")
	if err == nil || doc == nil {
		t.Fatal("no fault, or no document")
	}
	doc.Add("text", "is an echo", "say nothing")
	if doc.Readable() || doc.Sound("") || doc.Sound("text") || doc.Has("text") || doc.Err().Error() != err.Error() {
		t.Errorf("an unreadable document is believed: %v", doc.Err())
	}
	if got := doc.Fault("text", "p", "r").Error(); got != "f.yaml: text: p; r" {
		t.Errorf("a place out of nowhere: %s", got)
	}
}

func TestRequire(t *testing.T) {
	doc, err := decode(t, "inner: {txet: a}\ntext: a\n")
	if err == nil {
		t.Fatal("no fault")
	}
	if !doc.Require("text", "r") || doc.Require("whole", "write one") || doc.Require("inner.text", "write one") {
		t.Error("wrong about what is written")
	}
	want := "f.yaml:1:1: whole: is missing; write one\n" +
		"f.yaml:1:9: inner.txet: unknown key; did you mean text? the keys here are text"
	if got := doc.Err().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                    "",
		"ünïcode 漢字":               "",
		"":                         "is empty; r",
		" a":                       "begins or ends with a space; delete the space",
		"a\u00a0":                  "begins or ends with a space; delete the space",
		"a\u00a0b":                 "has a character that does not show; write it anew on one line, with plain spaces",
		"a\u200bb":                 "has a character that does not show; write it anew on one line, with plain spaces",
		"a\u202eb":                 "has a character that does not show; write it anew on one line, with plain spaces",
		"a\nb":                     "has a character that does not show; write it anew on one line, with plain spaces",
		"a\x1bb":                   "has a character that does not show; write it anew on one line, with plain spaces",
		strings.Repeat("é", 20):    "",
		strings.Repeat("é", 21):    "has more than 20 characters; shorten it",
		"a\xffb":                   "is not UTF-8; write it anew",
		"a" + string(rune(0xfffd)): "",
	} {
		doc, err := decode(t, "text: x\n")
		if err != nil {
			t.Fatal(err)
		}
		ok := doc.Line("text", text, 20, "r")
		got := ""
		if err := doc.Err(); err != nil {
			got = strings.TrimPrefix(err.Error(), "f.yaml:1:7: text: ")
		}
		if got != want || ok != (want == "") {
			t.Errorf("%q: %v, %q, want %q", text, ok, got, want)
		}
	}
	doc, _ := decode(t, "text: x\n")
	if !doc.Line("whole", "", 20, "r") || doc.Err() != nil {
		t.Error("a key that is not written was checked")
	}
}

func TestFaultsErr(t *testing.T) {
	if strictyaml.Faults(nil).Err() != nil {
		t.Error("no faults are an error")
	}
	faults := strictyaml.Faults{
		{File: "b", Line: 1, Column: 2, Problem: "x"}, {File: "a", Line: 10, Column: 1, Problem: "x"},
		{File: "a", Line: 9, Column: 10, Problem: "x"}, {File: "a", Line: 9, Column: 9, Path: "p", Problem: "x", Remedy: "y"},
		{File: "a", Line: 10, Column: 1, Problem: "x"}, {File: "a", Problem: "z"},
	}
	want := "a: z\na:9:9: p: x; y\na:9:10: x\na:10:1: x\nb:1:2: x"
	err := faults.Err()
	if err.Error() != want {
		t.Errorf("got\n%s\nwant\n%s", err, want)
	}
	var got strictyaml.Faults
	if !errors.As(err, &got) || len(got) != 5 {
		t.Errorf("the error is not Faults: %#v", err)
	}
	if faults[0].File != "b" {
		t.Error("the faults themselves were sorted")
	}
}

func TestNearest(t *testing.T) {
	known := []string{"name", "id", "require_agency", "access", "ak_env", "sk_env"}
	for written, want := range map[string]string{
		"nmae": "name", "Name": "name", "names": "name", "requireAgency": "require_agency", "require-agency": "require_agency",
		"reqire_agncy": "require_agency", "acess": "access", "akenv": "ak_env", "aK_ENV": "ak_env", "ID": "id", "ids": "id",
		"x": "", "": "", "something": "", "_": "", "i": "", strings.Repeat("n", 1<<16): "",
	} {
		if got := strictyaml.Nearest(written, known); got != want {
			t.Errorf("%.40q: %q, want %q", written, got, want)
		}
	}
}

func FuzzPath(f *testing.F) {
	for _, key := range []string{"a", "", "a.b", "[0]", `"`, "é", "\x00", "\xff", "]", "a b", `\`, "grant/wider"} {
		f.Add(key, 3)
	}
	f.Fuzz(func(t *testing.T, key string, i int) {
		doc, err := decode(t, places)
		if err != nil {
			t.Fatal(err)
		}
		path := strictyaml.Key("", key)
		doc.Has(path)
		doc.Fault(path, "p", "r")
		doc.Has(key)
		doc.Sound(key)
		if other := strictyaml.Key(path, "x"); other == path {
			t.Errorf("%q leads to two values", path)
		}
		if doc.Has(strictyaml.Index("list", i)) != (i == 0 || i == 1) {
			t.Errorf("list[%d]", i)
		}
	})
}

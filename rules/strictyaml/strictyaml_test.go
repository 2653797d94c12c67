package strictyaml_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample has a field of every kind that can be decoded into.
type sample struct {
	Text     string            `yaml:"text"`
	Whole    int               `yaml:"whole"`
	Small    uint8             `yaml:"small"`
	Negative uint64            `yaml:"negative"`
	Share    float64           `yaml:"share"`
	Flag     bool              `yaml:"flag"`
	Wait     time.Duration     `yaml:"wait"`
	Since    time.Time         `yaml:"since"`
	Tags     []string          `yaml:"tags"`
	Labels   map[string]string `yaml:"labels"`
	Inner    inner             `yaml:"inner"`
	List     []sample          `yaml:"list"`
	Maybe    *bool             `yaml:"maybe"`
	Level    level             `yaml:"level"`
	Waits    map[named]*inner  `yaml:"waits"`

	NotWritten string
	Dash       string `yaml:"-"`
	hidden     string
}

type inner struct {
	Text string `yaml:"text"`
}

type named string

// level reads itself from text.
type level int

func (l *level) UnmarshalText(text []byte) error {
	switch string(text) {
	case "low", "high":
		*l = level(len(text))
		return nil
	case "odd":
		return strictyaml.Fault{Problem: "is odd", Remedy: "write low or high"}
	}
	return errors.New("no such level")
}

// TestFaults compares every fault of each file of testdata/faults with the golden file beside it.
func TestFaults(t *testing.T) {
	files, err := filepath.Glob("testdata/faults/*.yaml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v sample
			_, err = strictyaml.Decode("f.yaml", data, &v)
			golden(t, strings.TrimSuffix(file, ".yaml")+".want", fmt.Sprintf("%v\n", err))
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestDecode(t *testing.T) {
	text := `# a comment
text: "0777" # another
whole: -12
small: 255
negative: 18446744073709551615
share: 1.5e-3
flag: true
wait: 1d12h30m
since: 2025-08-08T14:00:00+02:00
tags: [a b, 'it''s', "tab\t", x#y, http://h:1/p, "", yes, 2025-08-08, -x]
labels:
  "1": é
  'a: b': >-
    one
    line
inner: {"text":"a"}
list:
- text: |
    two
    lines
  since: 2025-08-08
- {whole: 0, share: 3, wait: 0, list: [{flag: false}], maybe: true}
maybe: false
level: high
waits: {a: {text: b}}
`
	yes, no := true, false
	want := sample{
		Text: "0777", Whole: -12, Small: 255, Negative: 18446744073709551615, Share: 0.0015, Flag: true,
		Wait: 36*time.Hour + 30*time.Minute, Since: time.Date(2025, 8, 8, 12, 0, 0, 0, time.UTC),
		Tags:   []string{"a b", "it's", "tab\t", "x#y", "http://h:1/p", "", "yes", "2025-08-08", "-x"},
		Labels: map[string]string{"1": "é", "a: b": "one line"},
		Inner:  inner{Text: "a"},
		List: []sample{
			{Text: "two\nlines\n", Since: time.Date(2025, 8, 8, 0, 0, 0, 0, time.UTC)},
			{Share: 3, List: []sample{{}}, Maybe: &yes},
		},
		Maybe: &no, Level: 4, Waits: map[named]*inner{"a": {Text: "b"}},
	}
	for _, form := range []string{text, strings.ReplaceAll(text, "\n", "\r\n"), "\ufeff---\n" + text + "...\n", strings.TrimSuffix(text, "\n")} {
		var got sample
		doc, err := strictyaml.Decode("f.yaml", []byte(form), &got)
		if err != nil || doc.Err() != nil {
			t.Fatalf("%v\n%v", err, doc.Err())
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	}
}

func TestDefaultsStayUnlessWritten(t *testing.T) {
	yes := true
	v := sample{
		Text: "default", Whole: 7, Wait: time.Hour, Tags: []string{"a", "b"}, Labels: map[string]string{"a": "b"},
		Inner: inner{Text: "default"}, Maybe: &yes, NotWritten: "kept", Dash: "kept", hidden: "kept",
	}
	if _, err := strictyaml.Decode("f.yaml", []byte("tags: [c]\nlabels: {c: d}\ninner: {}\nwhole: 0\nmaybe: false\n"), &v); err != nil {
		t.Fatal(err)
	}
	no := false
	want := sample{
		Text: "default", Wait: time.Hour, Tags: []string{"c"}, Labels: map[string]string{"c": "d"},
		Inner: inner{Text: "default"}, Maybe: &no, NotWritten: "kept", Dash: "kept", hidden: "kept",
	}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("got  %+v\nwant %+v", v, want)
	}
	if !yes {
		t.Error("the value behind a default pointer was changed")
	}
}

func TestDurations(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "20ms": 20 * time.Millisecond, "1.5h": 90 * time.Minute, "30d": 720 * time.Hour,
		"1d1s": 24*time.Hour + time.Second, "106751d": 106751 * 24 * time.Hour, "-5s": -5 * time.Second, `"5s"`: 5 * time.Second,
	} {
		var v sample
		if _, err := strictyaml.Decode("f.yaml", []byte("wait: "+text+"\n"), &v); err != nil || v.Wait != want {
			t.Errorf("%s is %s, want %s: %v", text, v.Wait, want, err)
		}
	}
	for _, text := range []string{
		"20", "-1", "1.5d", "-1d", "+1d", "01d", "1d-1s", "1d+1s", "d", "1dd", "1d 1s", "1 d", "106752d", "106751d24h",
		"99999999999d", "30 s", "1w", "5S", "true", `""`,
	} {
		var v sample
		if _, err := strictyaml.Decode("f.yaml", []byte("wait: "+text+"\n"), &v); err == nil {
			t.Errorf("%s was taken for %s", text, v.Wait)
		}
	}
}

func TestTimes(t *testing.T) {
	for _, text := range []string{
		"2025-8-8", "2025-02-30", "08.08.2025", "2025-08-08T12:00:00", "2025-08-08 12:00:00Z", "2025-08-08T25:00:00Z", "20250808", "now",
	} {
		var v sample
		if _, err := strictyaml.Decode("f.yaml", []byte("since: "+text+"\n"), &v); err == nil {
			t.Errorf("%s was taken for %s", text, v.Since)
		}
	}
}

func TestTextUnmarshalers(t *testing.T) {
	for text, want := range map[string]string{
		"odd":    `f.yaml:1:8: level: is odd; write low or high`,
		"middle": `f.yaml:1:8: level: is not accepted: no such level; write another value`,
		"5":      `f.yaml:1:8: level: is the number 5 where text is wanted; put it in quotes: "5"`,
	} {
		var v sample
		if _, err := strictyaml.Decode("f.yaml", []byte("level: "+text+"\n"), &v); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// TestParserIsNotTrusted has texts that the parser beneath takes for something else than YAML does, or loses part of.
func TestParserIsNotTrusted(t *testing.T) {
	for _, text := range []string{
		"text: 'a'!\n", "text: a\nwhole: !5\n", "text: |b\n", "text: [}\n", "labels: {a:b}\n", "labels: {a: b:c}}\n",
		"list:\n-\ntext: a\n", "inner:\n\ntext: a\n b\n", "labels: {a: \n  k3: \"q\"-\n}\n", "labels:\n  'y'\n: a\n",
		"tags:\n  - [b}\n]\n", "labels: {, }\n", "text: >-\n  f\n: g\n", "text: , a\n", "text: %a\n", "text:\n  |\n  t\n: b\n",
		"text: 'a'#b\n", "text: |-# c\n  a\n",
	} {
		var v sample
		if _, err := strictyaml.Decode("f.yaml", []byte(text), &v); err == nil {
			t.Errorf("%q was accepted as %+v", text, v)
		}
	}
}

func TestTextAtTheEndIsWhole(t *testing.T) {
	var v sample
	if _, err := strictyaml.Decode("f.yaml", []byte("text: >-\n  a\n  b\n  c"), &v); err != nil || v.Text != "a b c" {
		t.Errorf("%q, %v", v.Text, err)
	}
}

// TestBounds has texts that, longer still, would keep a reader busy for ever or end the process by exhausting its stack,
// which nothing can recover from.
func TestBounds(t *testing.T) {
	const many = 1 << 13
	for _, c := range []struct{ name, text, want string }{
		{"bytes", "text: " + strings.Repeat("x", strictyaml.MaxBytes), "has 16777222 bytes, more than the 16777216"},
		{"brackets", "tags: " + strings.Repeat("[", many), "nested more than 64 deep"},
		{"one bracket", "tags: " + strings.Repeat("[", strictyaml.MaxDepth) + strings.Repeat("]", strictyaml.MaxDepth), "nested more than"},
		{"braces", "labels: " + strings.Repeat("{a: ", many), "nested more than"},
		{"dashes", "tags:\n" + strings.Repeat("- ", many), "nested more than"},
		{"indentation", staircase(many / 8), "nested more than"},
		{"documents", strings.Repeat("a: b\n---\n", many), "a second document begins"},
		{"tags", "text: " + strings.Repeat("!a ", many), "a tag (!)"},
		{"anchors", "text: " + strings.Repeat("&a ", many), "an anchor (&)"},
		{"aliases", "text: " + strings.Repeat("*a ", many), "an alias (*)"},
		{"merge keys", "inner: {" + strings.Repeat("<<: a, ", many), "a merge key (<<)"},
		{"question marks", strings.Repeat("? ", many), `a key that begins with "?"`},
		{"a bomb", "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\ntags: [*c, *c]\n", "an alias (*)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v sample
			doc, err := strictyaml.Decode("f.yaml", []byte(c.text), &v)
			switch {
			case err == nil:
				t.Fatal("accepted")
			case !strings.Contains(err.Error(), c.want):
				t.Errorf("not %q but %.300v", c.want, err)
			case strings.Count(err.Error(), "\n") > 110:
				t.Errorf("%d lines of error", strings.Count(err.Error(), "\n"))
			}
			if doc.Readable() && c.name != "a bomb" && c.name != "documents" {
				t.Error("read all the same")
			}
		})
	}
}

func TestWithinBounds(t *testing.T) {
	var deep struct {
		Tags nest `yaml:"tags"`
	}
	n := strictyaml.MaxDepth - 1 // the root is a level too
	if _, err := strictyaml.Decode("f.yaml", []byte("tags: "+strings.Repeat("[", n)+strings.Repeat("]", n)+"\n"), &deep); err != nil {
		t.Error(err)
	}
	var flat struct {
		Labels map[string]string `yaml:"labels"`
	}
	const many = 20000
	if _, err := strictyaml.Decode("f.yaml", []byte("labels:\n"+numbered(many)), &flat); err != nil || len(flat.Labels) != many {
		t.Errorf("%d keys: %v", len(flat.Labels), err)
	}
	// As long as may be, and refused at once for another reason.
	_, err := strictyaml.Decode("f.yaml", []byte("@"+strings.Repeat("x", strictyaml.MaxBytes-1)), &flat)
	if err == nil || !strings.Contains(err.Error(), "reserved") {
		t.Errorf("%.300v", err)
	}
}

type nest []nest

// staircase is a mapping in a mapping in a mapping.
func staircase(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  k%d: v\n", i)
	}
	return b.String()
}

func TestTooManyFaultsAreCounted(t *testing.T) {
	var v sample
	_, err := strictyaml.Decode("f.yaml", []byte("tags: ["+strings.Repeat("5, ", 1500)+"5]\n"), &v)
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 1001 || lines[0] != "f.yaml: 501 more faults follow; mend the others first" {
		t.Errorf("%d lines, the first is %s", len(lines), lines[0])
	}
}

func TestUndecodableTypesAreErrors(t *testing.T) {
	for _, v := range []any{
		nil, sample{}, (*sample)(nil), new(chan int),
		&struct {
			F func() `yaml:"f"`
		}{},
		&struct {
			M map[int]string `yaml:"m"`
		}{},
		&struct {
			L []any `yaml:"l"`
		}{},
	} {
		_, err := strictyaml.Decode("f.yaml", []byte("a: b\n"), v)
		var faults strictyaml.Faults
		if err == nil || errors.As(err, &faults) {
			t.Errorf("%T: %v", v, err)
		}
	}
}

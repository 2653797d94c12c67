package simcloud

import (
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestDocsSimcloud holds docs/simcloud.md against the code: every operation, every key of an organization, every switch
// with its values, every style of failure, every kind of drift and every request to the control port is named there.
func TestDocsSimcloud(t *testing.T) {
	raw, err := os.ReadFile("../../docs/simcloud.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	section := func(title string) string {
		_, rest, ok := strings.Cut(page, "# "+title+"\n")
		if !ok {
			t.Fatalf("the page has no section %q", title)
		}
		text, _, _ := strings.Cut(rest, "\n## ")
		return text
	}
	has := func(title, word string) {
		t.Helper()
		if !strings.Contains(section(title), "`"+word+"`") {
			t.Errorf("the section %q does not name `%s`", title, word)
		}
	}
	for _, o := range operations() {
		has("What it does", o.name)
	}
	seen := map[reflect.Type]bool{}
	var keys func(section string, of reflect.Type)
	keys = func(title string, of reflect.Type) {
		for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
			of = of.Elem()
		}
		if of.Kind() != reflect.Struct || of.PkgPath() != reflect.TypeFor[Organization]().PkgPath() || seen[of] {
			return
		}
		seen[of] = true
		for f := range of.Fields() {
			has(title, f.Tag.Get("yaml"))
			if f.Tag.Get("yaml") != f.Tag.Get("json") && f.Tag.Get("yaml")+",omitempty" != f.Tag.Get("json") {
				t.Errorf("%s.%s: YAML and JSON have different keys", of.Name(), f.Name)
			}
			keys(title, f.Type)
		}
	}
	seen[reflect.TypeFor[Settings]()], seen[reflect.TypeFor[Drift]()] = true, true // the kinds of drift are looked at below
	keys("The organization file", reflect.TypeFor[Organization]())
	delete(seen, reflect.TypeFor[Settings]())
	keys("Settings", reflect.TypeFor[Settings]())
	for _, w := range new(Switches).table() {
		row := "| `" + w.key + "` | `" + strings.Join(w.values, "`, `") + "` |"
		if !strings.Contains(section("Settings"), row) {
			t.Errorf("the page has no row %s", row)
		}
	}
	for _, f := range faults {
		instead := "no"
		if f.instead != nil {
			instead = "yes"
		}
		row := "| `" + f.style + "` | " + f.needs.String() + " | " + instead + " | "
		if !strings.Contains(section("Failures"), row) {
			t.Errorf("the page has no row %s", row)
		}
	}
	for _, k := range driftFields {
		has("The control port", k.kind)
		for field := range strings.FieldsSeq(k.fields) {
			has("The control port", strings.TrimSuffix(field, "?"))
		}
	}
	// What the page shows works: the examples of the control port on the bundled organization, and the smallest file.
	c, err := New(Bundled())
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile(`(?s)\$control/(\w+) -d '(.*?)'\n`).FindAllStringSubmatch(page, -1)
	for _, x := range examples {
		r := httptest.NewRequest(map[string]string{"drift": "POST", "settings": "PUT"}[x[1]], "http://localhost/"+x[1],
			strings.NewReader(x[2]))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if c.Control().ServeHTTP(w, r); w.Code != http.StatusNoContent {
			t.Errorf("%s: %d %s", x[2], w.Code, w.Body)
		}
	}
	_, file, _ := strings.Cut(page, "```yaml\n")
	file, _, _ = strings.Cut(file, "```")
	if _, err := LoadOrganization("simcloud.md", []byte(file)); err != nil || len(examples) != 24 {
		t.Errorf("%d examples that change something, %v", len(examples), err)
	}
	for _, request := range []string{"GET /healthz", "GET /organization", "GET /policies", "POST /drift", "GET /journal",
		"GET /counters", "POST /counters/reset", "GET /failures", "GET /events", "GET /settings", "PUT /settings"} {
		has("The control port", request)
	}
}

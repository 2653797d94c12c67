package baseline

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func page(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/baselines.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// section is one section of a page of the documentation.
func section(t *testing.T, file, title string) string {
	t.Helper()
	data, err := os.ReadFile("../../docs/" + file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "\n## "+title+"\n")
	if !found {
		t.Fatalf("%s has no section %s", file, title)
	}
	text, _, _ := strings.Cut(rest, "\n## ")
	return text
}

// TestPageHasEveryKey holds the tables of keys against the formats of files: each key has one line in its table, and there is no
// line for anything else.
func TestPageHasEveryKey(t *testing.T) {
	for _, c := range []struct {
		file, title string
		format      reflect.Type
	}{
		{"baselines.md", "Keys", reflect.TypeFor[written]()},
		{"baselines.md", "Overlays", reflect.TypeFor[writtenOverlay]()},
		{"waivers.md", "Write one", reflect.TypeFor[writtenWaivers]()},
	} {
		var keys []string
		var walk func(t reflect.Type, path string)
		walk = func(t reflect.Type, path string) {
			if path != "" && !strings.HasSuffix(path, "[]") {
				keys = append(keys, path)
			}
			switch {
			case t.Kind() == reflect.Struct && t.PkgPath() == c.format.PkgPath():
				for f := range t.Fields() {
					walk(f.Type, strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), "."))
				}
			case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
				walk(t.Elem(), path+"[]")
			}
		}
		walk(c.format, "")
		slices.Sort(keys)
		var documented []string
		for _, row := range regexp.MustCompile("(?m)^\\| (`[a-z_.\\[\\]]+`(?:, `[a-z_.\\[\\]]+`)*) \\|").FindAllStringSubmatch(section(t, c.file, c.title), -1) {
			for _, key := range strings.Split(row[1], ", ") {
				documented = append(documented, strings.Trim(key, "`"))
			}
		}
		slices.Sort(documented)
		if !slices.Equal(keys, documented) {
			t.Errorf("%s, %s: documented\n%q\nin the format\n%q", c.file, c.title, documented, keys)
		}
	}
}

// TestExamplesOfWhatIsAgreed loads the examples of an overlay and of waivers.
func TestExamplesOfWhatIsAgreed(t *testing.T) {
	block := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	if _, _, err := LoadOverlay("example.yaml", []byte(block.FindStringSubmatch(section(t, "baselines.md", "Overlays"))[1])); err != nil {
		t.Error(err)
	}
	if w, _, err := LoadWaivers("example.yaml", []byte(block.FindStringSubmatch(section(t, "waivers.md", "Write one"))[1]), DefaultWaiverAge); err != nil || len(w) != 1 {
		t.Error(err)
	}
}

// TestPageExamples loads the complete example of the page, and the bundled file with the page's changes put in.
func TestPageExamples(t *testing.T) {
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(page(t), -1)
	if len(examples) != 6 { // the last one is an overlay
		t.Fatalf("%d examples", len(examples))
	}
	if b, err := Load("example.yaml", []byte(examples[2][1])); err != nil || b.Agency != "BackupServiceAgency" {
		t.Error(err)
	}
	accepts := regexp.MustCompile(`(?m)^    accepts: .*\n`).FindString(examples[3][1])
	changed := strings.Replace(cocYAML, "  - policy: RMS ReadOnlyAccess\n", "  - policy: RMS ReadOnlyAccess\n"+accepts, 1)
	changed = strings.Replace(changed, "trust:\n  name: op_svc_coc\n", examples[4][1], 1)
	b, err := Load("example.yaml", []byte(changed))
	if err != nil || !slices.Equal(b.Required[1].Accepts, []string{"Config ReadOnlyAccess"}) || b.Trust.ID == "" {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestPageNamesWhatIsDangerous compares the page with the table of risks.
func TestPageNamesWhatIsDangerous(t *testing.T) {
	risks, err := loadRisks(riskYAML)
	if err != nil {
		t.Fatal(err)
	}
	list := strings.Join(risks.Critical[:len(risks.Critical)-1], ", ") + " and " + risks.Critical[len(risks.Critical)-1]
	if !strings.Contains(page(t), "\n- "+list+" may be neither") {
		t.Errorf("the page does not name %s", list)
	}
}

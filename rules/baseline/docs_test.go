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

// TestPageHasEveryKey holds docs/baselines.md against the file format: each key has one line in its table, and there is
// no line for anything else.
func TestPageHasEveryKey(t *testing.T) {
	var keys []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		if path != "" && !strings.HasSuffix(path, "[]") {
			keys = append(keys, path)
		}
		switch {
		case t.Kind() == reflect.Struct && t.PkgPath() == reflect.TypeFor[written]().PkgPath():
			for f := range t.Fields() {
				walk(f.Type, strings.TrimPrefix(path+"."+f.Tag.Get("yaml"), "."))
			}
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			walk(t.Elem(), path+"[]")
		}
	}
	walk(reflect.TypeFor[written](), "")
	slices.Sort(keys)
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|").FindAllStringSubmatch(page(t), -1) {
		documented = append(documented, m[1])
	}
	slices.Sort(documented)
	if !slices.Equal(keys, documented) {
		t.Errorf("documented\n%q\nin the format\n%q", documented, keys)
	}
}

// TestPageExamples loads the complete example of the page, and the bundled file with the page's changes put in.
func TestPageExamples(t *testing.T) {
	examples := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindAllStringSubmatch(page(t), -1)
	if len(examples) != 4 {
		t.Fatalf("%d examples", len(examples))
	}
	if b, err := Load("example.yaml", []byte(examples[1][1])); err != nil || b.Agency != "BackupServiceAgency" {
		t.Error(err)
	}
	accepts := regexp.MustCompile(`(?m)^    accepts: .*\n`).FindString(examples[2][1])
	changed := strings.Replace(cocYAML, "  - policy: RMS ReadOnlyAccess\n", "  - policy: RMS ReadOnlyAccess\n"+accepts, 1)
	changed = strings.Replace(changed, "trust:\n  name: op_svc_coc\n", examples[3][1], 1)
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

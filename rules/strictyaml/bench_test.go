package strictyaml_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// BenchmarkDecode reads an organization file of 2,000 accounts.
func BenchmarkDecode(b *testing.B) {
	var text strings.Builder
	text.WriteString("accounts:\n")
	for i := range 2000 {
		fmt.Fprintf(&text, "  - name: account-%d\n    id: \"%032x\"\n    agencies:\n      - name: ServiceAgencyForCOC\n"+
			"        grants:\n          - {policy: IAM ReadOnlyAccess, scope: global}\n"+
			"          - {policy: DCS UserAccess, scope: all_resources}\n", i, i)
	}
	type file struct {
		Accounts []struct {
			Name     string `yaml:"name"`
			ID       string `yaml:"id"`
			Agencies []struct {
				Name   string              `yaml:"name"`
				Grants []map[string]string `yaml:"grants"`
			} `yaml:"agencies"`
		} `yaml:"accounts"`
	}
	data := []byte(text.String())
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		var f file
		if _, err := strictyaml.Decode("org.yaml", data, &f); err != nil || len(f.Accounts) != 2000 {
			b.Fatal(err)
		}
	}
}

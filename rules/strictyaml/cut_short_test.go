package strictyaml_test

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// A document may end anywhere, behind a mark too; that is a fault and never a panic.
func TestDocumentsThatAreCutShort(t *testing.T) {
	for _, text := range []string{
		"{!0", "{!", "[!0", "[!", "[&a", "{&a", "{a: !0", "{a: [!0", "a: !0", "a: [!0", "- !0", "- &a", "&a", "!0", "{a: &b", "{", "[", "{a", "{a:", "[a,",
		"a: {!0", "[a, !0", "{a: b, !0", "? ", "a:\n  !0", "a:\n- !0\n", "{!0 !1", "*", "[*", "{*a",
	} {
		var v map[string]string
		if _, err := strictyaml.Decode("x.yaml", []byte(text), &v); err == nil {
			t.Errorf("%q is taken for a document", text)
		}
	}
}

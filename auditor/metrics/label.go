package metrics

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules"
)

// maxLabel bounds the value of a label, in bytes.
const maxLabel = 128

// label makes a text fit to be the value of a label: everything in it is visible and valid UTF-8, and it is short. What
// had to be cut ends in a part of its digest, so that two long texts with one beginning stay apart.
func label(s string) string {
	visible := rules.Escape(s)
	if len(visible) <= maxLabel {
		return visible
	}
	sum := sha256.Sum256([]byte(s))
	end := "…" + hex.EncodeToString(sum[:4])
	cut := maxLabel - len(end)
	for !utf8.RuneStart(visible[cut]) {
		cut--
	}
	return visible[:cut] + end
}

// quoted escapes the value of a label as the exposition formats want it.
var quoted = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// appendLabel appends name="value" of a value that has passed label.
func appendLabel(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, `="`...)
	if strings.ContainsAny(value, "\\\n\"") {
		value = quoted.Replace(value)
	}
	b = append(b, value...)
	return append(b, '"')
}

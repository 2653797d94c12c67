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

// tagLabels are the names of the labels of the tags with these keys: tag_ and the key, in which whatever no name of a label
// may have is an underscore. A key that no underscore is needed for has its name to itself; where several others would share
// one, or nothing of a key is left, the name ends in a part of the key's digest. The keys are different.
func tagLabels(keys []string) []string {
	const maxKey = 64
	plain := func(key string) string {
		return strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
				return r
			}
			return '_'
		}, key)
	}
	names := make([]string, len(keys))
	taken, sharing := map[string]bool{}, map[string]int{}
	for i, key := range keys {
		if p := plain(key); p == key && len(key) <= maxKey && key != "" {
			names[i] = "tag_" + key
			taken[names[i]] = true
		} else {
			sharing[p]++
		}
	}
	for i, key := range keys {
		if names[i] != "" {
			continue
		}
		p := plain(key)
		name := "tag_" + p
		sum := sha256.Sum256([]byte(key))
		digest := hex.EncodeToString(sum[:])
		for n := 8; sharing[p] > 1 || taken[name] || strings.Trim(name[4:], "_") == "" || len(name) > 4+maxKey; n++ {
			name = "tag_" + p[:min(len(p), maxKey-9)] + "_" + digest[:n]
			if !taken[name] {
				break
			}
		}
		names[i] = name
		taken[name] = true
	}
	return names
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

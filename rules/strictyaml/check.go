package strictyaml

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Require says whether the key at a path is written, and adds the fault that it is missing if it is not.
func (d *Document) Require(path, remedy string) bool {
	if d.Has(path) {
		return true
	}
	d.Add(path, "is missing", remedy)
	return false
}

// Line checks a text that is written at a path and that people have to recognize: one line without spaces around it, of
// at most so many characters, each of which shows. It adds the fault if there is one and says whether there is none. A key
// that is not written is not checked.
func (d *Document) Line(path, s string, most int, remedy string) bool {
	var problem string
	switch {
	case !d.Has(path):
		return true
	case s == "":
		problem = "is empty"
	case !utf8.ValidString(s): // an escape can spell what the text itself may not have
		problem, remedy = "is not UTF-8", "write it anew"
	case s != strings.TrimSpace(s):
		problem, remedy = "begins or ends with a space", "delete the space"
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		problem, remedy = "has a character that does not show", "write it anew on one line, with plain spaces"
	case utf8.RuneCountInString(s) > most:
		problem, remedy = fmt.Sprintf("has more than %d characters", most), "shorten it"
	default:
		return true
	}
	d.Add(path, problem, remedy)
	return false
}

package huawei

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of what is in one answer. They are far above what any documented answer has, and so low that the SDK cannot be
// made to allocate much: its decoder takes up to 312 bytes for a value of three, and 620 for an object of seven.
const (
	// maxDepth is how deep objects and arrays may be nested. The deepest that are documented, conditions of statements of
	// policies of roles, need nine levels.
	maxDepth = 32
	// maxMembers is how many members one object may have. No documented one has more than twenty, and with a bound it stays
	// cheap to compare them.
	maxMembers = 128
	// maxName is how many bytes the name of a member may have.
	maxName = 256
	// maxString is how many bytes a string may have, some of which are kept for as long as the evidence is. The longest that is
	// documented is a security token of some thousand.
	maxString = 64 << 10
	// maxValues and maxContainers are how many values, and how many objects and arrays among them, a body may have. A page
	// of 300 policies has about 20,000 and 4,000.
	maxValues, maxContainers = 1 << 16, 1 << 14
)

// flaw is why the body of an answer may not be believed: a word of Rejections, and what the body is instead of an answer.
type flaw struct{ rejection, what string }

func (f *flaw) Error() string { return f.what }

func flawed(rejection, format string, args ...any) *flaw {
	return &flaw{rejection, fmt.Sprintf(format, args...)}
}

// checkBody says why the body of an answer may not be believed; nil when it may. It looks at what the SDK does not: that
// the body is one whole JSON object and nothing after it, that every decoder reads the same in it, that it is no error,
// that each required member is there under its exact name, with a value of its type, that the rows of a list bear ids,
// each its own, and are no more than were asked for. Without this the SDK takes nothing for an empty list (facts 5.5), and
// of two members the last, however its name is capitalised.
func checkBody(body []byte, required []member) *flaw {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return flawed(rejectedEnvelope, "an empty body")
	case !utf8.Valid(body):
		return flawed(rejectedJSON, "a body that is not UTF-8")
	case !json.Valid(body):
		return flawed(rejectedJSON, "a body that is not one whole JSON value")
	}
	i := skipSpace(body, 0)
	if body[i] != '{' {
		return flawed(rejectedEnvelope, "a JSON value that is no object")
	}
	var root *member
	if required != nil {
		root = &member{inner: required}
	}
	var names [12][]byte
	w := walk{data: body, names: names[:0]}
	_, f := w.value(i, root, maxDepth)
	return f
}

// walk goes once over valid JSON.
type walk struct {
	data []byte
	// names are those of the members seen so far of every object that is open, the innermost object's last; foreign says
	// that one of them was not ASCII.
	names   [][]byte
	foreign bool
	// values and containers count what was seen.
	values, containers int
	// ids are those of the rows of the list that is open; rows is how many rows, one in the other, are open.
	ids  [][]byte
	rows int
}

// value checks the value that begins at i, and returns the index after it. m is what is known of it; nil when it is
// nothing that is required.
func (w *walk) value(i int, m *member, depth int) (int, *flaw) {
	if w.values++; w.values > maxValues {
		return i, flawed(rejectedTooMany, "more than %d values", maxValues)
	}
	switch w.data[i] {
	case '"':
		return w.text(i)
	case '{', '[':
		if w.containers++; w.containers > maxContainers {
			return i, flawed(rejectedTooMany, "more than %d objects and arrays", maxContainers)
		}
		if depth--; depth < 0 {
			return i, flawed(rejectedJSON, "JSON nested deeper than %d levels", maxDepth)
		}
		if w.data[i] == '{' {
			return w.object(i, m, depth)
		}
		return w.array(i, m, depth)
	}
	return w.literal(i), nil
}

// literal returns the index after the number, boolean or null that begins at i.
func (w *walk) literal(i int) int {
	for ; i < len(w.data); i++ {
		switch w.data[i] {
		case ',', '}', ']', ' ', '\n', '\t', '\r':
			return i
		}
	}
	return i
}

// array checks the array that begins at i. Of one that is known to be a list of objects each row must be one.
func (w *walk) array(i int, m *member, depth int) (int, *flaw) {
	list := m != nil && m.inner != nil
	var row *member
	if list {
		row = &member{inner: m.inner, id: m.id, row: true}
	}
	n := 0
	for i = skipSpace(w.data, i+1); w.data[i] != ']'; n++ {
		if w.data[i] == ',' {
			i = skipSpace(w.data, i+1)
		}
		switch {
		case list && m.rows > 0 && n == m.rows:
			return i, flawed(rejectedTooMany, "more than the %d rows that %q may have", m.rows, m.name)
		case list && w.data[i] != '{':
			return i, flawed(rejectedItem, "a row of %q that is no object", m.name)
		}
		var f *flaw
		if i, f = w.value(i, row, depth); f != nil {
			return i, f
		}
		i = skipSpace(w.data, i)
	}
	if list && m.id != "" {
		slices.SortFunc(w.ids, bytes.Compare)
		for n, id := range w.ids[min(1, len(w.ids)):] {
			if bytes.Equal(id, w.ids[n]) {
				return i, flawed(rejectedItem, "two rows with the %s %s", m.id, id)
			}
		}
		w.ids = nil
	}
	return i + 1, nil
}

// object checks the members of the object that begins at i.
func (w *walk) object(i int, m *member, depth int) (int, *flaw) {
	first := len(w.names)
	if m != nil && m.row {
		w.rows++
	}
	var seen uint
	for i = skipSpace(w.data, i+1); w.data[i] != '}'; {
		if w.data[i] == ',' {
			i = skipSpace(w.data, i+1)
		}
		start := i
		var f *flaw
		if i, f = w.text(i); f != nil {
			return i, f
		}
		name := unquote(w.data[start:i])
		if f := w.open(name, first); f != nil {
			return i, f
		}
		i = skipSpace(w.data, skipSpace(w.data, i)+1) // after the colon
		var known *member
		if m != nil {
			n, f := w.find(m, name, w.data[i:w.end(i)])
			if f != nil {
				return i, f
			}
			if n >= 0 {
				seen |= 1 << n
				known = &m.inner[n]
			}
			if m.id != "" && string(name) == m.id {
				if f := w.identify(i, m); f != nil {
					return i, f
				}
			}
		}
		if i, f = w.value(i, known, depth); f != nil {
			return i, f
		}
		i = skipSpace(w.data, i)
	}
	if m != nil {
		for n := range m.inner {
			if seen&(1<<n) == 0 && !m.inner[n].optional {
				return i, flawed(w.word(), "no member %q", m.inner[n].name)
			}
		}
	}
	if m != nil && m.row {
		w.rows--
	}
	w.names = w.names[:first]
	return i + 1, nil
}

// open takes note of a member of the object whose first member's name is w.names[first].
func (w *walk) open(name []byte, first int) *flaw {
	if len(name) > maxName {
		return flawed(rejectedTooMany, "a member whose name is longer than %d bytes", maxName)
	}
	w.foreign = w.foreign || !isASCII(name)
	for _, other := range w.names[first:] {
		if w.same(name, other) {
			return flawed(rejectedJSON, "the member %q twice", shorten(string(name)))
		}
	}
	if len(w.names)-first == maxMembers {
		return flawed(rejectedTooMany, "an object of more than %d members", maxMembers)
	}
	w.names = append(w.names, name)
	return nil
}

// end returns the index after the number, boolean or null that begins at i, and i+1 for anything else: as much of a value
// as tells its type.
func (w *walk) end(i int) int {
	switch w.data[i] {
	case '"', '{', '[':
		return i + 1
	}
	return w.literal(i)
}

// identify takes note of the id that is the value at i, of a row that has m.
func (w *walk) identify(i int, m *member) *flaw {
	var id []byte
	if w.data[i] == '"' {
		id = unquote(w.data[i:skipString(w.data, i)])
	}
	if !isID(string(id)) {
		return flawed(rejectedItem, "a row whose %q is no id", m.id)
	}
	w.ids = append(w.ids, id)
	return nil
}

// word is what an answer is rejected as that lacks a member of the object that is open.
func (w *walk) word() string {
	if w.rows > 0 {
		return rejectedItem
	}
	return rejectedEnvelope
}

// find returns which of the inner members of m the name is, or -1. value is as much of its value as tells its type.
func (w *walk) find(m *member, name, value []byte) (int, *flaw) {
	if m.name == "" && !m.row {
		switch string(name) {
		case "error", "error_code", "error_msg":
			return -1, flawed(rejectedError, "an error instead of a result")
		}
	}
	for n := range m.inner {
		want := &m.inner[n]
		switch {
		case string(name) == want.name && !want.takes(value):
			return -1, flawed(w.word(), "the member %q with a value of no documented kind", want.name)
		case string(name) == want.name:
			return n, nil
		case w.same(name, []byte(want.name)):
			return -1, flawed(w.word(), "the member %q, which is spelt %q", shorten(string(name)), want.name)
		}
	}
	return -1, nil
}

// takes says whether the value that begins so is one of the documented types. A number is a count: what one decoder
// rounds and another refuses, such as 3.0 or 1e999, is none.
func (m *member) takes(value []byte) bool {
	if head := value[0]; head != '-' && (head < '0' || head > '9') {
		return strings.IndexByte(m.kinds, head) >= 0
	}
	_, err := strconv.ParseUint(string(value), 10, 31)
	return err == nil && strings.IndexByte(m.kinds, '0') >= 0
}

// same says whether a decoder that takes any spelling could take one member's name for another's. The SDK's puts names into
// lower case, and the standard library's folds them, which is not the same: İ in lower case is i, and folded is no other
// letter; K folded is k.
func (w *walk) same(a, b []byte) bool {
	if !w.foreign {
		return len(a) == len(b) && bytes.EqualFold(a, b)
	}
	return bytes.EqualFold(a, b) || bytes.EqualFold(bytes.ToLower(a), bytes.ToLower(b))
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// text checks the string that begins at i, and returns the index after it.
func (w *walk) text(i int) (int, *flaw) {
	end := skipString(w.data, i)
	if end-i > maxString+2 {
		return end, flawed(rejectedTooLarge, "a text of more than %d bytes", maxString)
	}
	for {
		escape := bytes.IndexByte(w.data[i:end], '\\')
		if escape < 0 {
			return end, nil
		}
		if i += escape + 2; w.data[i-1] != 'u' {
			continue
		}
		// Half a pair of surrogates is no character: one decoder puts one sign of doubt in its place, another two.
		if r := hex(w.data[i:]); utf16.IsSurrogate(r) {
			if w.data[i+4] != '\\' || w.data[i+5] != 'u' || utf16.DecodeRune(r, hex(w.data[i+6:])) == utf8.RuneError {
				return i, flawed(rejectedJSON, "a text that is not Unicode")
			}
			i += 6
		}
		i += 4
	}
}

// hex reads four hexadecimal digits.
func hex(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // they are, in valid JSON
	return rune(n)
}

// unquote returns the text of a JSON string. Escapes in names are rare, and the SDK follows them.
func unquote(quoted []byte) []byte {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1]
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return quoted // it is no string, and no name that anybody asks for
	}
	return []byte(s)
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(data []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(data[i:], '"')
		escapes := 0
		for data[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i + 1
		}
	}
}

// overflow says more exactly why a body is too large, of which only the beginning is there: a list of more rows than it may
// have, or what is nested too deep. It believes nothing, and decides no more than what to call an answer that is refused.
func overflow(beginning []byte, required []member) *flaw {
	most := maxValues
	for _, m := range required {
		if m.rows > 0 {
			most = m.rows
		}
	}
	depth, rows := 0, 0
	list, quoted := false, false
	for i := 0; i < len(beginning); i++ {
		c := beginning[i]
		switch {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth == 2 {
				list, rows = c == '[', 0
			} else if depth == 3 && list && rows == 0 {
				rows = 1
			}
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 2 && list:
			rows++
		}
		if rows > most {
			return flawed(rejectedTooMany, "more than the %d rows that it may have, and more bytes", most)
		}
		if depth > maxDepth {
			return flawed(rejectedJSON, "JSON nested deeper than %d levels, and more bytes than it may have", maxDepth)
		}
	}
	return errTooLarge
}

var errTooLarge = flawed(rejectedTooLarge, "more bytes than it may have")

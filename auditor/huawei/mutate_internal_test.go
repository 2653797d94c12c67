package huawei

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// mutator makes inputs of recorded answers: the seed alone says which.
type mutator struct {
	texts [][]byte
	trees []*tree
}

func newMutator(recorded []string) *mutator {
	m := &mutator{}
	for _, text := range recorded {
		d, err := parseTree(json.RawMessage(text))
		if err != nil {
			panic(err)
		}
		m.texts, m.trees = append(m.texts, []byte(text)), append(m.trees, d)
	}
	return m
}

// tree is a JSON value whose members keep their order.
type tree struct {
	text  string   // of what has no parts
	names []string // of members; nil for an array
	parts []*tree
	open  byte // '{' or '[', 0 for what has no parts
	size  int  // how many values there are, itself included
}

func parseTree(raw json.RawMessage) (*tree, error) {
	n := &tree{size: 1}
	dec := json.NewDecoder(strings.NewReader(string(raw)))
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	open, ok := token.(json.Delim)
	if !ok {
		n.text = string(raw)
		return n, nil
	}
	n.open = byte(open)
	for dec.More() {
		if n.open == '{' {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			n.names = append(n.names, name.(string))
		}
		var inner json.RawMessage
		if err := dec.Decode(&inner); err != nil {
			return nil, err
		}
		part, err := parseTree(inner)
		if err != nil {
			return nil, err
		}
		n.parts, n.size = append(n.parts, part), n.size+part.size
	}
	return n, nil
}

// write appends the input of a seed: a recorded answer with one to three changes to its structure, its bytes, or both.
func (m *mutator) write(b []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	which := r.IntN(len(m.trees))
	start := len(b)
	if kind := r.IntN(8); kind < 5 {
		e := &edit{r: r, at: r.IntN(m.trees[which].size)}
		if kind < 2 {
			e.also = r.IntN(m.trees[which].size)
		} else {
			e.also = -1
		}
		if b = e.write(b, m.trees[which]); kind < 4 {
			return b
		}
	} else {
		b = append(b, m.texts[which]...)
	}
	for range 1 + r.IntN(3) {
		b = append(b[:start], m.bytes(r, b[start:])...)
	}
	return b
}

// edit writes a tree with changes at the values that are numbered at and also, from the root on; -1 is none.
type edit struct {
	r        *rand.Rand
	at, also int
	n        int
}

// values are put in the place of others.
var values = []string{
	"null", "{}", "[]", `""`, "0", "1", "2", "-1", "1.0", "1e0", "1e999", "99999999999999999999", "true", "false", `"x"`, `"\u0000"`, `"\ud83d"`,
	`"\ud83d\ude00"`, `"\ud800\ud83d\ude00"`, `"0"`, `[{}]`, `[null]`, `[[]]`, `{"id":"x"}`, `"../x"`, `"2099-01-01T00:00:00Z"`, `"FOREVER"`, `"Deny"`, `"*"`, `["*:*:*"]`,
	`"\u0041llow"`, `"` + recordedAgency + `"`, `"` + recordedName + `"`, `"` + recordedAccount + `"`, `"IAM.0001"`, `"APIGW.0101"`,
	`"active"`, `"a0"`, `"m1"`, `"ou-1"`, `"9999-12-31T23:59:59Z"`, `"2026-01-08T02:56:19+08:00"`, `"0001-01-01T00:00:00Z"`, `" "`,
}

// names are given to members.
var names = []string{
	"id", "name", "error", "error_code", "error_msg", "roles", "agencies", "domain_id", "total_num", "next", "next_marker", "Action", "message", "x", "",
	"catalog", "policy", "user", "is_inherited", "current_count", "expire_time", "accounts", "page_info", "status", "key", "value", "urn",
	"credential", "credentials", "expires_at", "expiration", "management_account_id",
}

func (e *edit) write(b []byte, n *tree) []byte {
	here := e.n == e.at || e.n == e.also
	e.n++
	change := -1
	if here {
		change = e.r.IntN(12)
	}
	if n.open == 0 || change == 0 {
		e.n += n.size - 1
		switch {
		case !here:
			return append(b, n.text...)
		case change == 1:
			b = append(b, '[')
			return append(append(b, n.text...), ']')
		case change == 2 && len(n.text) > 2: // a part of it
			return append(append(b, n.text[:1+e.r.IntN(len(n.text)-2)]...), n.text[len(n.text)-1])
		default:
			return append(b, pick(e.r, values...)...)
		}
	}
	of := 0
	if len(n.parts) > 0 {
		of = e.r.IntN(len(n.parts))
	}
	b = append(b, n.open)
	wrote := false
	part := func(name string, n *tree, count bool) {
		if wrote {
			b = append(b, ',')
		}
		wrote = true
		if count {
			b = e.write(e.name(b, name), n)
			return
		}
		still := *e
		still.at, still.also = -1, -1
		b = still.write(e.name(b, name), n)
	}
	nameOf := func(i int) string {
		switch {
		case n.open == '[':
			return "\xff" // none
		case i == len(n.names):
			return "x"
		}
		return n.names[i]
	}
	if change == 1 { // something before everything else
		part(e.newName(n, nameOf(of), nameOf(of)), &tree{text: pick(e.r, values...), size: 1}, false)
	}
	for i, p := range n.parts {
		switch {
		case change == 2 && i == of: // left out
			e.n += p.size
			continue
		case change == 3 && i == of: // twice
			part(e.newName(n, nameOf(i), nameOf(i)), p, false)
		case change == 4 && i == of && n.open == '{': // by another name
			part(e.newName(n, nameOf(i), pick(e.r, names...)), p, true)
			continue
		case change == 5 && i >= of: // cut off
			e.n += p.size
			continue
		case change == 6 && i == of && n.open == '[': // very often
			for range 1 << e.r.IntN(10) {
				part("\xff", p, false)
			}
		}
		part(nameOf(i), p, true)
	}
	if change == 7 { // something after everything else
		part(e.newName(n, nameOf(of), pick(e.r, names...)), &tree{text: pick(e.r, values...), size: 1}, false)
	}
	if change == 8 && len(n.parts) > 0 {
		part(e.newName(n, nameOf(of), nameOf(of)), n.parts[e.r.IntN(len(n.parts))], false)
	}
	if change == 9 {
		b = append(b, " \n\t\r"[:e.r.IntN(5)]...)
	}
	return append(b, n.open+2)
}

// newName is a name that a decoder may take for the given one, or is another.
func (e *edit) newName(n *tree, name, other string) string {
	if n.open == '[' {
		return name
	}
	switch e.r.IntN(5) {
	case 0:
		return name
	case 1:
		return strings.ToUpper(name[:min(1, len(name))]) + name[min(1, len(name)):]
	case 2:
		return strings.ToUpper(name)
	case 3:
		return strings.NewReplacer("i", "İ", "s", "ſ", "k", "K").Replace(name)
	}
	return other
}

// name writes the name of a member, now and then in escapes.
func (e *edit) name(b []byte, name string) []byte {
	if name == "\xff" {
		return b
	}
	b = append(b, '"')
	if e.r.IntN(40) == 0 {
		for _, c := range name {
			b = fmt.Appendf(b, `\u%04x`, c)
		}
	} else {
		b = append(b, name...)
	}
	return append(b, '"', ':')
}

// pieces are put in between.
var pieces = []string{
	"null", "{}", "[]", `""`, ",", ":", "{", "}", "[", "]", `"`, `\`, `\u`, `\u0000`, `\ud800`, `\udc00`, "\x00", "\xff", "\ufeff", "İ", "K", "ſ", "1e999", "-", ".0",
	" ", "\n", "\u2028", `"id":"x",`, `"error":{},`, `"roles":[],`, "{}{}", "0", "9",
}

// bytes changes bytes of a text.
func (m *mutator) bytes(r *rand.Rand, b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	at := r.IntN(len(b))
	to := min(len(b), at+1+r.IntN(8))
	switch r.IntN(9) {
	case 0:
		b[at] ^= 1 << r.IntN(8)
	case 1:
		b[at] = byte(r.UintN(256))
	case 2:
		b = append(b[:at], b[to:]...)
	case 3:
		b = b[:at]
	case 4: // twice
		b = append(b[:to], append([]byte(nil), b[at:]...)...)
	case 5:
		p := pick(r, pieces...)
		b = append(b[:at], append([]byte(p), b[at:]...)...)
	case 6:
		p := pick(r, pieces...)
		b = append(b[:at], append([]byte(p), b[to:]...)...)
	case 7: // another letter, digit or sign of the same kind
		switch c := b[at]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			b[at] ^= 0x20
		case c >= '0' && c <= '9':
			b[at] = '0' + byte(r.UintN(10))
		default:
			b[at] = pick(r, []byte(`,:{}[]" `)...)
		}
	case 8: // the end of another answer
		other := m.texts[r.IntN(len(m.texts))]
		b = append(b[:at], other[r.IntN(len(other)):]...)
	}
	return b
}

// TestMutationsRepeat: a seed is enough to have an input again.
func TestMutationsRepeat(t *testing.T) {
	for i := range parsers {
		a, b := newMutator(parsers[i].recorded), newMutator(parsers[i].recorded)
		for seed := range uint64(1000) {
			if x, y := string(a.write(nil, seed)), string(b.write(nil, seed)); x != y {
				t.Fatalf("%s, seed %d: %q and %q", parsers[i].name, seed, x, y)
			}
		}
	}
}

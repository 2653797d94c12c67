package simcloud

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// object is a JSON object whose members keep their order and may come twice, which maps cannot say. Faults use it to
// change one thing of a real answer and nothing else.
type object []member

// member is one member of an object; its value is JSON.
type member struct {
	key   string
	value []byte
}

// parseObject takes an object apart that this package has encoded. The values are parts of the text.
func parseObject(text []byte) object {
	d := json.NewDecoder(bytes.NewReader(text))
	token := func() json.Token {
		t, err := d.Token()
		if err != nil {
			panic("simcloud: an answer of the cloud cannot be read back: " + err.Error())
		}
		return t
	}
	if token() != json.Delim('{') {
		panic("simcloud: an answer of the cloud is no object")
	}
	out := object{}
	for d.More() {
		key, _ := token().(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			panic("simcloud: an answer of the cloud cannot be read back: " + err.Error())
		}
		out = append(out, member{key, value})
	}
	return out
}

// encode is the object as text.
func (o object) encode() []byte {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, mustJSON(m.key)...), ':'), m.value...)
	}
	return append(b, '}')
}

// member returns the first member of that key, to read or change; nil when there is none.
func (o object) member(key string) *member {
	for i := range o {
		if o[i].key == key {
			return &o[i]
		}
	}
	return nil
}

// without returns the object without the members of that key.
func (o object) without(key string) object {
	return slices.DeleteFunc(slices.Clone(o), func(m member) bool { return m.key == key })
}

// set returns the object with another value at a path of keys with dots between them. Nil takes the member away.
func (o object) set(path string, value []byte) object {
	key, rest, nested := strings.Cut(path, ".")
	m := o.member(key)
	if nested {
		inner := object{}
		if m != nil {
			inner = parseObject(m.value)
		}
		value = inner.set(rest, value).encode()
	}
	switch {
	case value == nil:
		return o.without(key)
	case m == nil:
		return append(slices.Clone(o), member{key, value})
	}
	out := slices.Clone(o)
	out.member(key).value = value
	return out
}

// parseArray takes an array apart.
func parseArray(text []byte) []json.RawMessage {
	var out []json.RawMessage
	if err := json.Unmarshal(text, &out); err != nil {
		panic("simcloud: an answer of the cloud cannot be read back: " + err.Error())
	}
	return out
}

// parseRows takes an array of objects apart.
func parseRows(text []byte) []object {
	var out []object
	for _, row := range parseArray(text) {
		out = append(out, parseObject(row))
	}
	return out
}

// encodeArray is an array of what is JSON already.
func encodeArray(elements [][]byte) []byte {
	return slices.Concat([]byte("["), bytes.Join(elements, []byte(",")), []byte("]"))
}

// encodeRows is an array of objects as text.
func encodeRows(rows []object) []byte {
	elements := make([][]byte, 0, len(rows))
	for _, row := range rows {
		elements = append(elements, row.encode())
	}
	return encodeArray(elements)
}

// rewrite returns the text with every member's value, at any depth, as change leaves it.
func rewrite(text []byte, change func(key string, value []byte) []byte) []byte {
	switch text[0] {
	case '{':
		o := parseObject(text)
		for i := range o {
			o[i].value = change(o[i].key, rewrite(o[i].value, change))
		}
		return o.encode()
	case '[':
		var elements [][]byte
		for _, e := range parseArray(text) {
			elements = append(elements, rewrite(e, change))
		}
		return encodeArray(elements)
	}
	return text
}

// number changes a whole number.
func number(text []byte, change func(int) int) []byte {
	n, err := strconv.Atoi(string(text))
	if err != nil {
		panic("simcloud: an answer of the cloud has a count that is no number: " + err.Error())
	}
	return []byte(strconv.Itoa(change(n)))
}

// text is what a JSON string says; empty for any other value.
func text(value []byte) string {
	var s string
	_ = json.Unmarshal(value, &s) // then it stays empty
	return s
}

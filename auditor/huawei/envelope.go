package huawei

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep the objects and arrays of an answer may be nested. The deepest that are documented, conditions of
// statements of policies of roles, need nine levels.
const maxDepth = 32

// maxMembers is how many members one object of an answer may have. No documented one has more than twenty, and with a
// bound it stays cheap to compare them.
const maxMembers = 128

// checkEnvelope says why the body of a successful answer may not be believed. It looks at what the SDK does not: that
// the body is one whole JSON object and nothing after it, that it is no error, that each required member is there under
// its exact name, with a value of its type, and that no object anywhere in it has one member twice. Without this the SDK
// takes nothing for an empty list (facts 5.5), and of two members the last, however its name is capitalised.
func checkEnvelope(body []byte, required []member) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return fmt.Errorf("an empty body")
	case !utf8.Valid(body):
		return fmt.Errorf("a body that is not UTF-8")
	case !json.Valid(body):
		return fmt.Errorf("a body that is not one whole JSON value")
	}
	i := skipSpace(body, 0)
	if body[i] != '{' {
		return fmt.Errorf("a JSON value that is no object")
	}
	_, err := (&walk{data: body}).value(i, required, maxDepth)
	return err
}

// walk goes once over valid JSON.
type walk struct {
	data []byte
	// keys are the names of the members seen so far of every object that is open, the innermost object's last.
	keys [][]byte
}

// value checks the value that begins at i, and returns the index after it. required are the members of an object, or of
// each row of an array.
func (w *walk) value(i int, required []member, depth int) (int, error) {
	switch w.data[i] {
	case '"':
		return skipString(w.data, i), nil
	case '{':
		if depth--; depth < 0 {
			return i, errTooDeep
		}
		return w.object(i, required, depth)
	case '[':
		if depth--; depth < 0 {
			return i, errTooDeep
		}
		for i = skipSpace(w.data, i+1); w.data[i] != ']'; {
			if w.data[i] == ',' {
				i = skipSpace(w.data, i+1)
			}
			if required != nil && w.data[i] != '{' {
				return i, fmt.Errorf("a row that is no object")
			}
			var err error
			if i, err = w.value(i, required, depth); err != nil {
				return i, err
			}
			i = skipSpace(w.data, i)
		}
		return i + 1, nil
	}
	for i < len(w.data) && bytes.IndexByte([]byte(",}] \n\t\r"), w.data[i]) < 0 {
		i++
	}
	return i, nil
}

var errTooDeep = fmt.Errorf("JSON nested deeper than %d levels", maxDepth)

// object checks the members of the object that begins at i, and returns the index after it.
func (w *walk) object(i int, required []member, depth int) (int, error) {
	first := len(w.keys)
	var seen uint
	for i = skipSpace(w.data, i+1); w.data[i] != '}'; {
		if w.data[i] == ',' {
			i = skipSpace(w.data, i+1)
		}
		start := i
		i = skipString(w.data, i)
		key, err := unquote(w.data[start:i])
		if err != nil {
			return i, err
		}
		for _, other := range w.keys[first:] {
			if bytes.EqualFold(key, other) {
				return i, fmt.Errorf("the member %q twice", shorten(string(key)))
			}
		}
		if len(w.keys)-first == maxMembers {
			return i, fmt.Errorf("an object of more than %d members", maxMembers)
		}
		w.keys = append(w.keys, key)
		i = skipSpace(w.data, skipSpace(w.data, i)+1) // after the colon
		var inner []member
		if required != nil {
			n, err := find(required, key, w.data[i])
			if err != nil {
				return i, err
			}
			if n >= 0 {
				seen |= 1 << n
				inner = required[n].inner
			}
		}
		if i, err = w.value(i, inner, depth); err != nil {
			if inner != nil {
				err = fmt.Errorf("%w, in %q", err, key)
			}
			return i, err
		}
		i = skipSpace(w.data, i)
	}
	for n, m := range required {
		if seen&(1<<n) == 0 {
			return i, fmt.Errorf("no member %q", m.name)
		}
	}
	w.keys = w.keys[:first]
	return i + 1, nil
}

// find returns which of the required members the key is, or -1. head is the first byte of its value.
func find(required []member, key []byte, head byte) (int, error) {
	switch string(key) {
	case "error", "error_code", "error_msg":
		return -1, fmt.Errorf("an error instead of a result")
	}
	if head == '-' || (head >= '0' && head <= '9') {
		head = '0'
	}
	for n, m := range required {
		switch {
		case string(key) == m.name && strings.IndexByte(m.kinds, head) < 0:
			return -1, fmt.Errorf("the member %q of another type than documented", key)
		case string(key) == m.name:
			return n, nil
		case strings.EqualFold(string(key), m.name):
			return -1, fmt.Errorf("the member %q, which is spelt %q", shorten(string(key)), m.name)
		}
	}
	return -1, nil
}

// unquote returns the text of a JSON string. Escapes in names are rare, and the SDK follows them.
func unquote(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return nil, fmt.Errorf("a name that cannot be read")
	}
	return []byte(s), nil
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && (data[i] == ' ' || data[i] == '\n' || data[i] == '\t' || data[i] == '\r') {
		i++
	}
	return i
}

// skipString returns the index after the string that begins at i.
func skipString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

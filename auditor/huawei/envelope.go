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

// checkEnvelope says why the body of a successful answer may not be believed. It looks at what the SDK does not: that
// the body is one whole JSON object and nothing after it, that it is no error, and that each required member is there
// once, under its exact name, with a value of its type. Without this the SDK takes nothing for an empty list (facts 5.5).
func checkEnvelope(body []byte, required []member) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return fmt.Errorf("an empty body")
	case !utf8.Valid(body):
		return fmt.Errorf("a body that is not UTF-8")
	case !json.Valid(body):
		return fmt.Errorf("a body that is not one whole JSON value")
	}
	return checkObject(body, required, maxDepth)
}

// checkObject checks the members of one object of valid JSON.
func checkObject(data []byte, required []member, depth int) error {
	i := skipSpace(data, 0)
	if data[i] != '{' {
		return fmt.Errorf("a JSON value that is no object")
	}
	var seen uint
	for i = skipSpace(data, i+1); data[i] != '}'; {
		if data[i] == ',' {
			i = skipSpace(data, i+1)
		}
		start := i
		i = skipString(data, i)
		key, err := unquote(data[start:i])
		if err != nil {
			return err
		}
		i = skipSpace(data, skipSpace(data, i)+1) // the colon
		start = i
		if i = skipValue(data, i, depth-1); i < 0 {
			return fmt.Errorf("JSON nested deeper than %d levels", maxDepth)
		}
		value := data[start:i]
		i = skipSpace(data, i)
		switch key {
		case "error", "error_code", "error_msg":
			return fmt.Errorf("an error instead of a result")
		}
		for n, m := range required {
			switch {
			case key != m.name && strings.EqualFold(key, m.name):
				return fmt.Errorf("the member %q, which is spelt %q", key, m.name)
			case key != m.name:
				continue
			case seen&(1<<n) != 0:
				return fmt.Errorf("the member %q twice", key)
			}
			seen |= 1 << n
			if kindOf(value) != m.kind {
				return fmt.Errorf("the member %q of another type than documented", key)
			}
			if m.inner == nil {
				continue
			}
			if err := checkObject(value, m.inner, depth-1); err != nil {
				return fmt.Errorf("%w, in %q", err, key)
			}
		}
	}
	for n, m := range required {
		if seen&(1<<n) == 0 {
			return fmt.Errorf("no member %q", m.name)
		}
	}
	return nil
}

// kindOf returns the first byte of a value, and 0 for numbers.
func kindOf(value []byte) byte {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return c
	}
	return '0'
}

// unquote returns the text of a JSON string. Escapes in names are rare, and the SDK follows them.
func unquote(quoted []byte) (string, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted[1 : len(quoted)-1]), nil
	}
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return "", fmt.Errorf("a name that cannot be read")
	}
	return s, nil
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

// skipValue returns the index after the value that begins at i, or -1 when it is nested deeper than depth.
func skipValue(data []byte, i, depth int) int {
	switch data[i] {
	case '"':
		return skipString(data, i)
	case '{', '[':
	default:
		for i < len(data) && !bytes.ContainsRune([]byte(",}] \n\t\r"), rune(data[i])) {
			i++
		}
		return i
	}
	for open := 0; ; {
		switch data[i] {
		case '"':
			i = skipString(data, i)
			continue
		case '{', '[':
			if open++; open > depth {
				return -1
			}
		case '}', ']':
			if open--; open == 0 {
				return i + 1
			}
		}
		i++
	}
}

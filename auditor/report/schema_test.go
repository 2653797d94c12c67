package report_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// schema is a JSON Schema (2020-12) as far as docs/report.schema.json uses it. A keyword that it does not know is an
// error: a schema that is only half understood would prove nothing.
type schema map[string]any

// validator holds values against a schema. applied counts how often each place of the schema met a value, so that a test
// can see which ones never did.
type validator struct {
	root    schema
	applied map[string]int
	faults  []string
}

// publishedSchema is the schema as readers get it: open for fields that a later program may add.
func publishedSchema(t *testing.T) schema {
	t.Helper()
	b, err := os.ReadFile("../../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// readSchema is the schema, closed: this program must not write a field that its own schema does not name.
func readSchema(t *testing.T) schema {
	t.Helper()
	s := publishedSchema(t)
	closeObjects(map[string]any(s))
	return s
}

// closeObjects adds additionalProperties: false to every object schema that says nothing of other properties.
func closeObjects(at any) {
	switch at := at.(type) {
	case []any:
		for _, below := range at {
			closeObjects(below)
		}
	case map[string]any:
		for _, below := range at {
			closeObjects(below)
		}
		if _, said := at["additionalProperties"]; !said && slices.Contains(listOf(at["type"]), any("object")) {
			at["additionalProperties"] = false
		}
	}
}

func (v *validator) fault(at, format string, args ...any) {
	v.faults = append(v.faults, at+": "+fmt.Sprintf(format, args...))
}

// check holds a decoded JSON value against the schema s, which stands at the place where of the schema document.
func (v *validator) check(s schema, where, at string, value any) {
	v.applied[where]++
	for keyword, arg := range s {
		switch keyword {
		case "$schema", "$id", "title", "description", "$defs", "properties", "format":
		case "$ref":
			name := strings.TrimPrefix(arg.(string), "#/$defs/")
			def, ok := v.root["$defs"].(map[string]any)[name].(map[string]any)
			if !ok {
				v.fault(at, "the schema has no definition %s", name)
				continue
			}
			v.check(def, "$defs/"+name, at, value)
		case "type":
			if types := listOf(arg); !slices.ContainsFunc(types, func(t any) bool { return is(t.(string), value) }) {
				v.fault(at, "%v is not %v", value, types)
			}
		case "const":
			if !reflect.DeepEqual(value, arg) {
				v.fault(at, "%v is not %v", value, arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), value) {
				v.fault(at, "%v is none of %v", value, arg)
			}
		case "oneOf":
			fit := 0
			for i, option := range arg.([]any) {
				trial := &validator{root: v.root, applied: map[string]int{}}
				trial.check(option.(map[string]any), fmt.Sprintf("%s/oneOf/%d", where, i), at, value)
				if len(trial.faults) == 0 {
					fit++
					for w, n := range trial.applied {
						v.applied[w] += n
					}
				}
			}
			if fit != 1 {
				v.fault(at, "%v fits %d of the options", value, fit)
			}
		case "minimum":
			if n, ok := value.(float64); ok && n < arg.(float64) {
				v.fault(at, "%v is less than %v", n, arg)
			}
		case "pattern":
			if text, ok := value.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				v.fault(at, "%q does not match %v", text, arg)
			}
		case "items":
			rows, _ := value.([]any)
			for i, row := range rows {
				v.check(arg.(map[string]any), where+"/items", fmt.Sprintf("%s[%d]", at, i), row)
			}
		case "required":
			object, ok := value.(map[string]any)
			for _, name := range arg.([]any) {
				if _, has := object[name.(string)]; ok && !has {
					v.fault(at, "%s is missing", name)
				}
			}
		case "propertyNames":
			object, _ := value.(map[string]any)
			for name := range object {
				v.check(arg.(map[string]any), where+"/propertyNames", at, name)
			}
		case "additionalProperties":
		default:
			v.fault(at, "the schema uses the keyword %s, which this test does not know", keyword)
		}
	}
	if s["format"] == "date-time" {
		if text, ok := value.(string); ok {
			if _, err := time.Parse(time.RFC3339, text); err != nil {
				v.fault(at, "%v", err)
			}
		}
	}
	v.members(s, where, at, value)
}

func (v *validator) members(s schema, where, at string, value any) {
	object, ok := value.(map[string]any)
	if !ok {
		return
	}
	known, _ := s["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(object)) {
		below, extra := at+"."+name, s["additionalProperties"]
		switch member, ok := known[name].(map[string]any); {
		case ok:
			v.check(member, where+"/properties/"+name, below, object[name])
		case extra == false:
			v.fault(below, "the schema does not know it")
		case extra != nil:
			v.check(extra.(map[string]any), where+"/additionalProperties", below, object[name])
		}
	}
}

func listOf(arg any) []any {
	if list, ok := arg.([]any); ok {
		return list
	}
	return []any{arg}
}

func is(kind string, value any) bool {
	switch value := value.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case float64:
		return kind == "number" || kind == "integer" && value == float64(int64(value))
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	}
	return false
}

// places lists every place of a schema document that a value can meet.
func places(s schema, where string) []string {
	out := []string{where}
	below := func(keyword string) {
		members, _ := s[keyword].(map[string]any)
		for name, m := range members {
			out = append(out, places(m.(map[string]any), where+"/"+keyword+"/"+name)...)
		}
	}
	if defs, ok := s["$defs"].(map[string]any); ok {
		for name, d := range defs {
			out = append(out, places(d.(map[string]any), "$defs/"+name)...)
		}
	}
	below("properties")
	for _, keyword := range []string{"items", "propertyNames", "additionalProperties"} {
		if m, ok := s[keyword].(map[string]any); ok {
			out = append(out, places(m, where+"/"+keyword)...)
		}
	}
	if options, ok := s["oneOf"].([]any); ok {
		for i, o := range options {
			out = append(out, places(o.(map[string]any), fmt.Sprintf("%s/oneOf/%d", where, i))...)
		}
	}
	return out
}

// loose lists the objects of the schema that would let a field through that they do not name, and those with a field
// that need not be there.
func loose(s schema, where string) []string {
	var out []string
	known, isObject := s["properties"].(map[string]any)
	if isObject {
		names := slices.Sorted(maps.Keys(known))
		var required []string
		for _, n := range listOf(s["required"]) {
			required = append(required, n.(string))
		}
		slices.Sort(required)
		if s["additionalProperties"] != false || !slices.Equal(names, required) {
			out = append(out, where)
		}
	}
	for name, v := range s {
		switch v := v.(type) {
		case map[string]any:
			out = append(out, loose(v, where+"/"+name)...)
		case []any:
			for i, o := range v {
				if m, ok := o.(map[string]any); ok {
					out = append(out, loose(m, fmt.Sprintf("%s/%s/%d", where, name, i))...)
				}
			}
		}
	}
	return out
}

func validate(t *testing.T, document []byte) *validator {
	t.Helper()
	return validateWith(t, readSchema(t), document)
}

func validateWith(t *testing.T, s schema, document []byte) *validator {
	t.Helper()
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		t.Fatalf("not JSON: %v\n%s", err, document)
	}
	v := &validator{root: s, applied: map[string]int{}}
	v.check(v.root, "", "$", value)
	return v
}

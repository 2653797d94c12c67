package strictyaml

import (
	"encoding"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Decode reads one YAML document into v, a pointer to a struct whose fields have yaml tags. file is the name that faults
// give the document.
//
// Only what is written is set, so that defaults may stand in v beforehand; a list or a map that is written replaces its
// default whole. Fields may be strings, bools, numbers, time.Duration, time.Time, anything that reads itself from text
// (encoding.TextUnmarshaler), structs, pointers, slices, and maps with string keys.
//
// The error is Faults with every fault of the document, each with its place, and v must then not be used, but for
// finding more faults in what is Sound. The Document is never nil. A v of a type that cannot be decoded into is a bug of
// the caller and is an error of its own.
func Decode(file string, data []byte, v any) (*Document, error) {
	d := &Document{file: file}
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return d, fmt.Errorf("decode %s: cannot decode into a %T", file, v)
	}
	if err := decodable(target.Type().Elem(), map[reflect.Type]bool{}); err != nil {
		return d, fmt.Errorf("decode %s: %w", file, err)
	}
	if d.parse(data); d.root != nil {
		d.decode(d.root, target.Elem(), "")
	}
	return d, d.Err()
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	timeType     = reflect.TypeFor[time.Time]()
	textType     = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// decodable says why a type cannot be decoded into.
func decodable(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] || readsText(t) {
		return nil
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return nil
	case reflect.Pointer, reflect.Slice:
		return decodable(t.Elem(), seen)
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return decodable(t.Elem(), seen)
		}
	case reflect.Struct:
		for f := range t.Fields() {
			if name := fieldName(f); name == "" {
				continue
			}
			if err := decodable(f.Type, seen); err != nil {
				return fmt.Errorf("%s.%s: %w", t, f.Name, err)
			}
		}
		return nil
	}
	return fmt.Errorf("cannot decode into a %s", t)
}

// readsText says whether values of the type are written as one text of a form of their own.
func readsText(t reflect.Type) bool {
	return t == durationType || t == timeType || reflect.PointerTo(t).Implements(textType)
}

// fieldName returns the key of a field; empty when the field takes no part.
func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if !f.IsExported() || name == "-" {
		return ""
	}
	return name
}

// decode sets v to what n says, or records what is wrong and leaves v as it is.
func (d *Document) decode(n *node, v reflect.Value, path string) {
	t := v.Type()
	if n.kind == refused {
		d.spoil(path)
		return
	}
	if t.Kind() == reflect.Pointer && !readsText(t) {
		into := reflect.New(t.Elem())
		if !v.IsNil() {
			into.Elem().Set(v.Elem())
		}
		d.decode(n, into.Elem(), path)
		v.Set(into)
		return
	}
	if n.kind == null {
		d.fault(n.at, path, "has no value", "write "+want(t)+", or delete it")
		return
	}
	switch {
	case readsText(t):
		d.decodeText(n, v, path)
	case t.Kind() == reflect.Struct:
		d.decodeStruct(n, v, path)
	case t.Kind() == reflect.Map:
		d.decodeMap(n, v, path)
	case t.Kind() == reflect.Slice:
		if n.kind != sequence {
			d.wrong(n, t, path)
			return
		}
		list := reflect.MakeSlice(t, len(n.items), len(n.items))
		for i, item := range n.items {
			d.decode(item, list.Index(i), Index(path, i))
		}
		v.Set(list)
	default:
		d.decodeScalar(n, v, path)
	}
}

func (d *Document) decodeStruct(n *node, v reflect.Value, path string) {
	if n.kind != mapping {
		d.wrong(n, v.Type(), path)
		return
	}
	fields := map[string]int{}
	var known []string
	for i := range v.NumField() {
		if name := fieldName(v.Type().Field(i)); name != "" {
			fields[name] = i
			known = append(known, name)
		}
	}
	for name, k := range d.keys(n, path) {
		if i, ok := fields[k.text]; ok {
			d.decode(k.value, v.Field(i), name)
			continue
		}
		remedy := "the keys here are " + strings.Join(known, ", ")
		if near := Nearest(k.text, known); near != "" {
			remedy = "did you mean " + near + "? " + remedy
			d.spoil(Key(path, near)) // that it is missing need not be said as well
		}
		d.fault(k.at, name, "unknown key", remedy)
	}
}

// keys goes through the keys of a mapping, each with its path, and records those that are written twice.
func (d *Document) keys(n *node, path string) iter.Seq2[string, *key] {
	return func(yield func(string, *key) bool) {
		if n.partial {
			d.spoil(path)
		}
		for i := range n.keys {
			k := &n.keys[i]
			name := Key(path, k.text)
			if k.first != (place{}) {
				d.fault(k.at, name, fmt.Sprintf("the key is written twice, first at %d:%d", k.first.line, k.first.column), "keep one of them")
			}
			if !yield(name, k) {
				return
			}
		}
	}
}

func (d *Document) decodeMap(n *node, v reflect.Value, path string) {
	t := v.Type()
	if n.kind != mapping {
		d.wrong(n, t, path)
		return
	}
	m := reflect.MakeMapWithSize(t, len(n.keys))
	for name, k := range d.keys(n, path) {
		if k.kind != text {
			d.fault(k.at, name, "the key is "+(&node{kind: k.kind, text: k.text}).describe()+", not text", "put the key in quotes")
		}
		value := reflect.New(t.Elem()).Elem()
		d.decode(k.value, value, name)
		m.SetMapIndex(reflect.ValueOf(k.text).Convert(t.Key()), value)
	}
	v.Set(m)
}

// decodeText decodes what is written as a text of a form of its own.
func (d *Document) decodeText(n *node, v reflect.Value, path string) {
	if n.kind == mapping || n.kind == sequence {
		d.wrong(n, v.Type(), path)
		return
	}
	switch v.Type() {
	case durationType:
		duration, err := parseDuration(n.text)
		if err != nil {
			d.wrong(n, v.Type(), path)
			return
		}
		v.SetInt(int64(duration))
	case timeType:
		at, err := parseTime(n.text)
		if err != nil {
			d.wrong(n, v.Type(), path)
			return
		}
		v.Set(reflect.ValueOf(at))
	default:
		if n.kind != text {
			d.quote(n, path)
			return
		}
		into := reflect.New(v.Type())
		err := into.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text))
		if fault, ok := errors.AsType[Fault](err); ok {
			d.fault(n.at, path, fault.Problem, fault.Remedy)
			return
		}
		if err != nil {
			d.fault(n.at, path, "is not accepted: "+err.Error(), "write another value")
			return
		}
		v.Set(into.Elem())
	}
}

func (d *Document) decodeScalar(n *node, v reflect.Value, path string) {
	t := v.Type()
	switch {
	case t.Kind() == reflect.String && (n.kind == number || n.kind == boolean):
		d.quote(n, path)
	case t.Kind() == reflect.String && n.kind == text:
		v.SetString(n.text)
	case t.Kind() == reflect.Bool && n.kind == boolean && (n.text == "true" || n.text == "false"):
		v.SetBool(n.text == "true")
	case v.CanInt() && n.plain && wholeNumber(n.text):
		if i, err := strconv.ParseInt(n.text, 10, t.Bits()); err == nil {
			v.SetInt(i)
			return
		}
		low := int64(-1) << (t.Bits() - 1)
		d.fault(n.at, path, "is out of range", fmt.Sprintf("write a whole number from %d to %d", low, ^low))
	case v.CanUint() && n.plain && wholeNumber(n.text):
		if u, err := strconv.ParseUint(n.text, 10, t.Bits()); err == nil {
			v.SetUint(u)
			return
		}
		d.fault(n.at, path, "is out of range", fmt.Sprintf("write a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits())))
	case v.CanFloat() && n.plain && decimal(n.text):
		f, err := strconv.ParseFloat(n.text, t.Bits())
		if err != nil || math.IsInf(f, 0) {
			d.fault(n.at, path, "is out of range", "write "+want(t))
			return
		}
		v.SetFloat(f)
	default:
		d.wrong(n, t, path)
	}
}

// quote records that text is wanted where something else is written without quotes.
func (d *Document) quote(n *node, path string) {
	d.fault(n.at, path, "is "+n.describe()+" where text is wanted", "put it in quotes: "+strconv.Quote(shorten(n.text)))
}

// wrong records that the value is not of the kind that the type wants.
func (d *Document) wrong(n *node, t reflect.Type, path string) {
	d.fault(n.at, path, "is "+n.describe(), "write "+want(t))
}

// describe says what sort of value is written, with its content where a person would look for it.
func (n *node) describe() string {
	switch n.kind {
	case null:
		return "nothing"
	case mapping:
		return "keys and values"
	case sequence:
		return "a list"
	case number:
		return "the number " + shorten(n.text)
	case boolean:
		return "the truth value " + shorten(n.text)
	}
	return "the text " + strconv.Quote(shorten(n.text))
}

// shorten keeps a fault on one line.
func shorten(s string) string {
	const most = 40
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most]) + "…"
}

// want says what a type wants to be written, with an example.
func want(t reflect.Type) string {
	switch {
	case t == durationType:
		return "a duration with its unit, such as 20ms, 30s, 10m or 30d"
	case t == timeType:
		return "a date such as 2025-08-08, or a time such as 2025-08-08T12:00:00Z"
	case reflect.PointerTo(t).Implements(textType):
		return "text"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return want(t.Elem())
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number such as 10 or 0.5"
	case reflect.String:
		return "text"
	case reflect.Slice:
		return "a list such as [a, b], or one line with a dash for each element"
	case reflect.Struct, reflect.Map:
		return "keys with their values, one on a line"
	}
	return "a whole number such as 10, without quotes"
}

package strictyaml

import (
	"fmt"

	"github.com/goccy/go-yaml/token"
)

// builder makes the tree of values out of the lexemes that passed the gate. It knows the part of YAML that people write
// by hand, and stops at the first lexeme that fits nowhere.
type builder struct {
	lexemes []lexeme
	// last is the line in which the lexeme ends that was taken last; depth how many values are being read.
	last  int32
	depth int
	// why and at say why and where it stopped; then what has been built counts for nothing.
	why refusal
	at  place
}

// build returns the document's value; nil, after recording the fault, if the lexemes are not YAML.
func (d *Document) build(lexemes []lexeme) (root *node) {
	b := &builder{lexemes: lexemes}
	defer func() {
		// A hole in the builder must cost a file, never the program that was asked to read it.
		if recover() != nil {
			d.refuse(place{1, 1}, "cannot be read as YAML", "write it in a simpler form")
			root = nil
		}
	}()
	if b.peek() == token.DocumentHeaderType {
		b.take()
	}
	root = b.value(place{}, false)
	if b.peek() != token.UnknownType {
		b.misfit()
	}
	if b.why.problem != "" {
		d.refuse(b.at, b.why.problem, b.why.remedy)
		return nil
	}
	return root
}

// peek returns the type of the next lexeme; UnknownType behind the last one, and once the builder has stopped.
func (b *builder) peek() token.Type {
	if len(b.lexemes) == 0 || b.why.problem != "" {
		return token.UnknownType
	}
	return b.lexemes[0].Type
}

// here returns the place of the next lexeme.
func (b *builder) here() place { return b.lexemes[0].at }

func (b *builder) take() lexeme {
	l := b.lexemes[0]
	b.lexemes = b.lexemes[1:]
	if l.Type != token.StringType || l.value != "" { // but for the text of an empty block
		b.last = l.ends
	}
	return l
}

// stop gives up at a place.
func (b *builder) stop(at place, problem, remedy string) {
	if b.why.problem == "" {
		b.why, b.at = refusal{problem: "is not YAML: " + problem, remedy: remedy}, at
	}
}

// enter counts the values that are being read, one within the other, and gives up when there are too many.
func (b *builder) enter() (leave func()) {
	if b.depth++; b.depth > MaxDepth && b.why.problem == "" {
		b.why = refusal{problem: fmt.Sprintf("values are nested more than %d deep", MaxDepth), remedy: "make it simpler"}
		b.at = b.here()
	}
	return func() { b.depth-- }
}

// misfit gives up at the next lexeme, which fits nowhere.
func (b *builder) misfit() {
	at := b.here()
	switch b.peek() {
	case token.MappingValueType:
		b.stop(at, "the colon has no key before it", "write key: value, and put text with a colon in quotes")
	case token.SequenceEndType, token.MappingEndType:
		b.stop(at, "the bracket was not opened", "delete it, or put the text in quotes")
	case token.CollectEntryType:
		b.stop(at, "the comma separates nothing", "delete it, or put the text in quotes")
	default:
		if at.line == b.last {
			b.stop(at, "nothing may follow the value in its line", "put the whole text in quotes")
		} else {
			b.stop(at, "the line fits nothing above it", "indent it like the keys or dashes that it belongs to; a key needs a colon")
		}
	}
}

// value reads the value of the key or, if dash is set, of the dash at the place under; at the zero place, the document's
// value. In another line it has to stand to the right, only the dashes of a list may stand right below their key.
func (b *builder) value(under place, dash bool) *node {
	least := under.column + 1
	if b.peek() == token.SequenceEntryType && !dash {
		least = max(1, under.column)
	}
	if b.peek() == token.UnknownType || b.here().line != under.line && b.here().column < least {
		return &node{kind: null, at: under}
	}
	at := b.here()
	if b.skipMarks() {
		if b.peek() == token.UnknownType || b.here().line != at.line && b.here().column <= under.column {
			return &node{kind: refused, at: at}
		}
		if b.here().line != at.line {
			at = b.here()
		}
	}
	behindKey := at.line == under.line && !dash
	switch {
	case b.peek() == token.SequenceEntryType:
		if behindKey {
			b.stop(b.here(), "a list begins behind its key", "begin it in the next line, or write it as [a, b]")
		}
		return b.sequence()
	case b.keyAhead():
		if behindKey {
			b.stop(b.here(), "there is a second key in the line", `begin a new line, or put text with ": " in quotes`)
		}
		return b.mapping(at.column)
	}
	return b.single()
}

// skipMarks reads over anchors with their names and tags. The gate has refused them.
func (b *builder) skipMarks() (marked bool) {
	for {
		switch b.peek() {
		case token.AnchorType:
			b.take()
			if b.peek() != token.UnknownType {
				b.take()
			}
		case token.TagType:
			b.take()
		default:
			return marked
		}
		marked = true
	}
}

// keyAhead says whether a key and its colon are next.
func (b *builder) keyAhead() bool {
	length := 1
	switch b.peek() {
	case token.AliasType:
		length = 2 // with its name
	case token.UnknownType, token.SequenceStartType, token.MappingStartType, token.SequenceEndType, token.MappingEndType,
		token.CollectEntryType, token.SequenceEntryType, token.MappingValueType:
		return false
	}
	return len(b.lexemes) > length && b.lexemes[length].Type == token.MappingValueType
}

// sequence reads the elements whose dashes stand below each other, from the next lexeme on.
func (b *builder) sequence() *node {
	out := &node{kind: sequence, at: b.here()}
	defer b.enter()()
	for b.peek() == token.SequenceEntryType && b.here().column == out.at.column {
		dash := b.here()
		b.take()
		out.items = append(out.items, b.value(dash, true))
		b.newLine(out.at.column)
	}
	return out
}

// mapping reads the keys that stand below each other in a column, from the next lexeme on.
func (b *builder) mapping(column int32) *node {
	out := &node{kind: mapping, at: b.here()}
	defer b.enter()()
	written := map[string]place{}
	for first := true; first || b.peek() != token.UnknownType && b.here().column == column; first = false {
		b.skipMarks()
		if !b.keyAhead() {
			break
		}
		at := b.here()
		merge := b.peek() == token.MergeKeyType
		k := b.key()
		k.value = b.value(at, false)
		b.add(out, written, merge, k)
		b.newLine(column)
	}
	return out
}

// key takes a key and its colon.
func (b *builder) key() key {
	n := b.single()
	b.take()
	return key{text: n.text, kind: n.kind, at: n.at}
}

// newLine stops if what follows an element or a key of the block in that column stands in the same line, or to the right
// of the block.
func (b *builder) newLine(column int32) {
	if b.peek() != token.UnknownType && (b.here().line == b.last || b.here().column > column) {
		b.misfit()
	}
}

// add puts a key with its value into a mapping.
func (b *builder) add(m *node, written map[string]place, merge bool, k key) {
	if merge || k.kind == refused {
		m.partial = true // which keys it would add is not known
		return
	}
	if k.value.kind == mapping || k.value.kind == sequence {
		k.value.at = k.at
	}
	if first, twice := written[k.text]; twice {
		k.first = first
	} else {
		written[k.text] = k.at
	}
	m.keys = append(m.keys, k)
}

// single reads a value that is no block: one within brackets, a text, a number.
func (b *builder) single() *node {
	switch b.peek() {
	case token.UnknownType:
		return &node{kind: null}
	case token.SequenceStartType:
		return b.list()
	case token.MappingStartType:
		return b.braces()
	case token.AliasType:
		out := &node{kind: refused, at: b.here()}
		b.take()
		if b.peek() != token.UnknownType {
			b.take()
		}
		return out
	case token.LiteralType, token.FoldedType:
		out := &node{kind: text, at: b.here()}
		b.take()
		if b.peek() == token.StringType && !b.keyAhead() {
			out.text = b.take().value
		}
		return out
	case token.SequenceEndType, token.MappingEndType, token.CollectEntryType, token.MappingValueType, token.SequenceEntryType,
		token.DocumentHeaderType, token.DocumentEndType:
		b.misfit()
		return &node{kind: null}
	}
	out := &node{at: b.here()}
	l := b.take()
	out.text, out.plain = l.value, true
	switch l.Type {
	case token.SingleQuoteType, token.DoubleQuoteType:
		out.kind, out.plain = text, false
	case token.StringType, token.MergeKeyType:
		out.kind = text
		if numeric(l.value) {
			out.kind = number
		}
	case token.BoolType:
		out.kind = boolean
	case token.NullType, token.ImplicitNullType:
		out.kind = null
	default:
		out.kind = number
	}
	return out
}

// within reads a value within brackets.
func (b *builder) within() *node {
	if marked := b.skipMarks(); marked && (b.peek() == token.CollectEntryType || b.closing()) {
		return &node{kind: refused, at: b.here()}
	}
	if b.keyAhead() {
		b.stop(b.here(), "a key stands in a list", "put the key and its value in braces: {key: value}")
	}
	return b.single()
}

func (b *builder) closing() bool {
	return b.peek() == token.SequenceEndType || b.peek() == token.MappingEndType
}

// list reads a list in brackets.
func (b *builder) list() *node {
	out := &node{kind: sequence, at: b.here()}
	defer b.enter()()
	b.take()
	for b.peek() != token.SequenceEndType && b.more(out.at) {
		out.items = append(out.items, b.within())
		b.comma(token.SequenceEndType, "a comma or ] is missing")
	}
	b.close(out.at)
	return out
}

// braces reads keys and values in braces.
func (b *builder) braces() *node {
	out := &node{kind: mapping, at: b.here()}
	defer b.enter()()
	written := map[string]place{}
	b.take()
	for b.peek() != token.MappingEndType && b.more(out.at) {
		b.skipMarks()
		if !b.more(out.at) {
			break
		}
		if !b.keyAhead() {
			b.stop(b.here(), "a key without a colon stands in braces", "write {key: value}, or [a, b] for a list")
			break
		}
		at := b.here()
		merge := b.peek() == token.MergeKeyType
		k := b.key()
		k.value = &node{kind: null, at: at}
		if b.peek() != token.CollectEntryType && !b.closing() {
			k.value = b.within()
		}
		b.add(out, written, merge, k)
		b.comma(token.MappingEndType, "a comma or } is missing")
	}
	b.close(out.at)
	return out
}

// more says whether there is another lexeme; if not, the bracket at the place was not closed.
func (b *builder) more(open place) bool {
	if len(b.lexemes) == 0 {
		b.stop(open, "the bracket is not closed", "close it")
	}
	return b.peek() != token.UnknownType
}

// comma takes the comma between two elements; there need be none before the closing bracket.
func (b *builder) comma(closing token.Type, missing string) {
	switch b.peek() {
	case token.CollectEntryType:
		b.take()
	case closing, token.UnknownType:
	default:
		b.stop(b.here(), missing, "check that brackets and commas match, and put text that contains them in quotes")
	}
}

// close takes the closing bracket.
func (b *builder) close(open place) {
	if b.more(open) {
		b.take()
	}
}

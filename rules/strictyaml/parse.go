package strictyaml

import (
	"errors"
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one document. They are far above anything that a person writes, and keep the parser, which recurses once for
// every level and once for every key of a block mapping, within its stack.
const (
	// MaxBytes bounds the text. An organization of tens of thousands of accounts fits.
	MaxBytes = 16 << 20
	// MaxDepth bounds how deep values may be nested.
	MaxDepth = 64
	// MaxKeys bounds the keys of one mapping.
	MaxKeys = 5000
)

// kind is what sort of value a node is.
type kind int

const (
	null     kind = iota
	text          // quoted, a block of text, or plain text that cannot be taken for anything else
	boolean       // plain true or false in any spelling that YAML knows
	number        // plain text that some reader of YAML takes for a number
	mapping       // keys and values
	sequence      // a list
	refused       // an alias or the like: its fault has been recorded
)

// node is one value of a document.
type node struct {
	kind kind
	// at is where the value is written; for a mapping, a list or nothing under a key, where that key is.
	at place
	// text is a scalar's content, as written when it is plain.
	text string
	// plain says that a scalar is written without quotes and not as a block.
	plain bool
	keys  []key
	items []*node
	// partial says that a mapping has more than its keys: a merge key, which was refused.
	partial bool
}

// key is one key of a mapping with its value.
type key struct {
	node
	value *node
	// first is where the same key is written before; zero when it is not.
	first place
}

// child returns the value of a key or, when index is not negative, an element; nil when there is none.
func (n *node) child(name string, index int) *node {
	if index >= 0 {
		if n.kind == sequence && index < len(n.items) {
			return n.items[index]
		}
		return nil
	}
	for i := range n.keys {
		if n.keys[i].text == name {
			return n.keys[i].value
		}
	}
	return nil
}

// parse reads the text into d.root, or records why it cannot. Faults of refused tokens do not keep it from going on.
func (d *Document) parse(data []byte) {
	if !d.checkSize(data) {
		return
	}
	// The lexer counts a CR LF as two lines here and there.
	d.text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(data), "\ufeff"))
	if !strings.HasSuffix(d.text, "\n") {
		d.text += "\n" // without it the lexer folds the last block wrongly
	}
	d.lines = []int{0}
	for i := range len(d.text) {
		if d.text[i] == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if !d.checkText() {
		return
	}
	// A text that the parser did not foresee, and panics on, is no more than a syntax error.
	defer func() {
		if recover() != nil {
			d.root = nil
			d.syntaxFault(place{}, "the parser gave up")
		}
	}()
	g := gate{doc: d}
	tokens, ok := g.pass(tokenize(d.text))
	if !ok {
		return
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if syntax, ok := errors.AsType[yaml.Error](err); ok {
		d.syntaxFault(d.position(syntax.GetToken()), syntax.GetMessage())
		return
	}
	if err != nil {
		d.syntaxFault(place{}, err.Error())
		return
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		g.refuse(place{1, 1}, empty)
		return
	}
	root, sound := d.convert(file.Docs[0].Body)
	if sound {
		d.root = root
	}
}

// tokenize returns the tokens of the text up to the first invalid one, behind which nothing can be relied on.
func tokenize(text string) token.Tokens {
	var s scanner.Scanner
	s.Init(text)
	var tokens token.Tokens
	for {
		more, err := s.Scan()
		tokens.Add(more...)
		if err != nil || len(more) == 0 {
			return tokens
		}
	}
}

func (d *Document) checkSize(data []byte) bool {
	if len(data) <= MaxBytes {
		return true
	}
	d.refuse(place{}, fmt.Sprintf("has %d bytes, more than the %d that are read", len(data), MaxBytes),
		"split it or make it smaller")
	return false
}

// checkText refuses what no YAML document may consist of.
func (d *Document) checkText() bool {
	sound := true
	for i, size := 0, 0; i < len(d.text); i += size {
		var r rune
		r, size = utf8.DecodeRuneInString(d.text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.refuse(d.locate(i), fmt.Sprintf("the byte 0x%02x is not UTF-8", d.text[i]), "save the file in UTF-8")
			sound = false
		case r != '\t' && r != '\n' && unprintable(r):
			d.refuse(d.locate(i), fmt.Sprintf("the character U+%04X may not be in a YAML file", r),
				`delete it, or write it as an escape such as "\u0007" in double quotes`)
			sound = false
		}
	}
	return sound
}

// unprintable says whether YAML allows the character only as an escape: control characters, the byte order mark within
// the text, and the two that are no characters.
func unprintable(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

func (d *Document) syntaxFault(at place, message string) {
	r := syntax(message)
	d.refuse(at, r.problem, r.remedy)
}

// syntax returns the refusal for a message of the parser or the lexer.
func syntax(message string) refusal {
	message = strings.NewReplacer("\t", `\t`, "\n", `\n`).Replace(message)
	return refusal{problem: "is not YAML: " + message, remedy: syntaxRemedy(message)}
}

// syntaxRemedy says what usually is behind a message of the parser.
func syntaxRemedy(message string) string {
	switch {
	case strings.Contains(message, "to the right"):
		return "indent it, or give that line a value of its own"
	case strings.Contains(message, `\t`):
		return "indent with spaces, not with tabs"
	case strings.Contains(message, "quoted"):
		return "close the quotes"
	case strings.Contains(message, "reserved"):
		return "put the text in quotes"
	case strings.Contains(message, "mapping value"), strings.Contains(message, "invalid key"),
		strings.Contains(message, "not allowed in this context"):
		return `check the indentation, and quote text that contains ": "`
	case strings.Contains(message, "',' or"), strings.Contains(message, "end token"), strings.Contains(message, "corresponding"):
		return "check that brackets and commas match"
	}
	return "check the indentation and the colons above this place"
}

// convert turns the parser's tree into ours. It says whether the tree fits the indentation of the text: the parser now
// and then hangs a value on a key or a dash that it does not stand to the right of.
func (d *Document) convert(body ast.Node) (*node, bool) {
	c := converter{doc: d, sound: true}
	return c.node(body, place{}), c.sound
}

type converter struct {
	doc   *Document
	flow  int
	sound bool
}

// node converts one value. under is where the key or the dash is that it belongs to. What is refused has been said by
// checkTokens and is read over.
func (c *converter) node(n ast.Node, under place) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return c.mapping(n.Start, n.IsFlowStyle, n.Values, under)
	case *ast.MappingValueNode:
		return c.mapping(n.Start, false, []*ast.MappingValueNode{n}, under)
	case *ast.SequenceNode:
		return c.sequence(n, under)
	case *ast.AnchorNode:
		return c.marked(n.Value, under)
	case *ast.TagNode:
		return c.marked(n.Value, under)
	case nil:
		return &node{kind: null}
	}
	out := c.scalar(n)
	if out.kind != null || out.plain {
		c.checkIndent(out.at, under, under.column+1)
	}
	return out
}

// marked converts the value behind an anchor or a tag. That there is none need not be said as well.
func (c *converter) marked(n ast.Node, under place) *node {
	out := c.node(n, under)
	if out.kind == null && !out.plain {
		out.kind = refused
	}
	return out
}

func (c *converter) scalar(n ast.Node) *node {
	tk := n.GetToken()
	out := &node{at: c.doc.position(tk), text: tk.Value, plain: true}
	switch n := n.(type) {
	case *ast.LiteralNode:
		return &node{kind: text, at: c.doc.position(n.Start), text: n.Value.Value}
	case *ast.StringNode:
		out.kind, out.text, out.plain = text, n.Value, tk.Type == token.StringType
		if out.plain && numeric(n.Value) {
			out.kind = number
		}
	case *ast.BoolNode:
		out.kind = boolean
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		out.kind = number
	case *ast.NullNode:
		if out.plain = tk.Type != token.ImplicitNullType; !out.plain {
			out.text = ""
		}
	default:
		out.kind = refused
	}
	return out
}

func (c *converter) sequence(n *ast.SequenceNode, under place) *node {
	out := &node{kind: sequence, at: c.doc.position(n.Start), items: make([]*node, len(n.Values))}
	if n.IsFlowStyle {
		c.checkIndent(out.at, under, under.column+1)
		c.flow++
		defer func() { c.flow-- }()
	} else {
		c.checkIndent(out.at, under, under.column) // dashes may stand below their key
	}
	for i, v := range n.Values {
		dash := place{}
		if !n.IsFlowStyle {
			dash = c.doc.position(n.Entries[i].Start)
		}
		out.items[i] = c.node(v, dash)
	}
	return out
}

func (c *converter) mapping(start *token.Token, flow bool, values []*ast.MappingValueNode, under place) *node {
	out := &node{kind: mapping, at: c.doc.position(start), keys: make([]key, 0, len(values))}
	if flow {
		c.checkIndent(out.at, under, under.column+1)
		c.flow++
		defer func() { c.flow-- }()
	}
	written := make(map[string]place, len(values))
	for i, v := range values {
		at := c.doc.position(v.Key.GetToken())
		if !flow {
			if i == 0 {
				out.at = at
			}
			c.checkIndent(at, under, under.column+1)
		}
		value := c.node(v.Value, at)
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			out.partial = true
			continue
		}
		k := key{node: *c.scalar(v.Key), value: value}
		if value.kind == mapping || value.kind == sequence || value.kind == null && !value.plain {
			value.at = k.at
		}
		if first, twice := written[k.text]; twice {
			k.first = first
		} else {
			written[k.text] = k.at
		}
		out.keys = append(out.keys, k)
	}
	return out
}

// checkIndent refuses what stands in another line than what it belongs to and in a column before least.
func (c *converter) checkIndent(at, under place, least int) {
	if c.flow > 0 || at.line == under.line || at.column >= least || !c.sound {
		return
	}
	c.sound = false
	c.doc.syntaxFault(at, fmt.Sprintf("this belongs to line %d and does not stand to the right of it", under.line))
}

// position returns where an aligned token is.
func (d *Document) position(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{}
	}
	return d.locate(tk.Position.Offset)
}

// locate returns the line and the column of an offset.
func (d *Document) locate(offset int) place {
	offset = min(max(offset, 0), len(d.text))
	line := sort.SearchInts(d.lines, offset+1)
	return place{line, utf8.RuneCountInString(d.text[d.lines[line-1]:offset]) + 1}
}

package strictyaml

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
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
	// maxRefused bounds how many refused tokens are read over to find the faults behind them.
	maxRefused = 100
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
}

// key is one key of a mapping with its value.
type key struct {
	node
	value *node
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
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(data), "\ufeff"))
	if !d.checkText(text) {
		return
	}
	tokens, ok := d.checkTokens(lexer.Tokenize(text))
	if !ok {
		return
	}
	file, err := parseTokens(tokens)
	if syntax, ok := errors.AsType[yaml.Error](err); ok {
		d.syntaxFault(position(syntax.GetToken()), syntax.GetMessage())
		return
	}
	if err != nil {
		d.syntaxFault(place{}, err.Error())
		return
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		d.refuse(place{1, 1}, "the document is empty", "write its keys, or leave the file out")
		return
	}
	d.root = d.convert(file.Docs[0].Body, "")
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
func (d *Document) checkText(s string) bool {
	at := place{1, 1}
	sound := true
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && size == 1:
			d.refuse(at, fmt.Sprintf("the byte 0x%02x is not UTF-8", s[0]), "save the file in UTF-8")
			sound = false
		case r == '\n':
			at = place{at.line + 1, 0}
		case r != '\t' && unprintable(r):
			d.refuse(at, fmt.Sprintf("the character U+%04X may not be in a YAML file", r),
				`delete it, or write it as an escape such as "\u0007" in double quotes`)
			sound = false
		}
		at.column++
		s = s[size:]
	}
	return sound
}

// unprintable says whether YAML allows the character only as an escape: control characters, the byte order mark within
// the text, and the two that are no characters.
func unprintable(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

// checkTokens refuses what is never needed and what would lead the parser too deep. It returns the tokens of the first
// document, and whether they can be parsed.
func (d *Document) checkTokens(tokens token.Tokens) (token.Tokens, bool) {
	var (
		first   token.Tokens
		ended   bool // the first document has
		content bool // there was more than comments
		dead    bool // the parser must not see this
		count   int
		shape   shape
	)
	refuse := func(tk *token.Token, problem, remedy string) {
		count++
		d.refuse(position(tk), problem, remedy)
	}
	for _, tk := range tokens {
		switch tk.Type {
		case token.CommentType:
			continue
		case token.DocumentHeaderType:
			ended = ended || content
		case token.DocumentEndType:
			ended = true
			continue
		case token.InvalidType:
			d.syntaxFault(position(tk), tk.Error)
			return nil, false
		case token.DirectiveType:
			refuse(tk, "a directive is not accepted", "delete the line that begins with %")
			return nil, false
		case token.MappingKeyType:
			refuse(tk, `a key that begins with "?" is not accepted`, "write it as key: value")
			dead = true
		case token.AnchorType:
			refuse(tk, "an anchor (&) is not accepted", "write the value out wherever it is needed; quote text that begins with &")
		case token.AliasType:
			refuse(tk, "an alias (*) is not accepted", "write the value out; quote text that begins with *")
		case token.MergeKeyType:
			refuse(tk, "a merge key (<<) is not accepted", "write the keys out")
		case token.TagType:
			refuse(tk, "a tag (!) is not accepted", "delete it; quote text that begins with !")
		}
		if ended {
			d.refuse(position(tk), "a second document begins", "keep one document in a file")
			break
		}
		content = content || tk.Type != token.DocumentHeaderType
		first = append(first, tk)
		if problem := shape.add(tk); problem != "" {
			d.refuse(position(tk), problem, "make it simpler")
			return nil, false
		}
		if count > maxRefused {
			return nil, false
		}
	}
	if !content {
		d.refuse(place{1, 1}, "the document is empty", "write its keys, or leave the file out")
		return nil, false
	}
	return first, !dead
}

// shape follows how deep the parser would have to go.
type shape struct {
	flow   int      // open brackets
	keys   int      // keys since the last bracket or comma, within brackets
	blocks []column // open blocks, outermost first
	prev   *token.Token
}

// column is a block that is open: where its keys or dashes stand, and how many keys it has.
type column struct{ number, keys int }

// add takes the next token. It returns what is too much, if anything is.
func (s *shape) add(tk *token.Token) string {
	at := tk
	if tk.Type == token.MappingValueType && s.prev != nil {
		at = s.prev
	}
	s.prev = tk
	switch tk.Type {
	case token.MappingStartType, token.SequenceStartType:
		s.flow++
		s.keys = 0
	case token.MappingEndType, token.SequenceEndType:
		s.flow = max(0, s.flow-1)
		s.keys = 0
	case token.CollectEntryType:
		s.keys = 0
	case token.MappingValueType:
		if s.flow > 0 {
			s.keys++
			break
		}
		s.open(at).keys++
	case token.SequenceEntryType:
		if s.flow == 0 {
			s.open(at)
		}
	}
	switch {
	case s.flow+len(s.blocks) > MaxDepth:
		return fmt.Sprintf("values are nested more than %d deep", MaxDepth)
	case s.keys > MaxKeys, len(s.blocks) > 0 && s.blocks[len(s.blocks)-1].keys > MaxKeys:
		return fmt.Sprintf("a mapping has more than %d keys", MaxKeys)
	}
	return ""
}

// open returns the block at the token's column, after closing those further to the right.
func (s *shape) open(tk *token.Token) *column {
	at := tk.Position.Column
	for len(s.blocks) > 0 && s.blocks[len(s.blocks)-1].number > at {
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	if len(s.blocks) == 0 || s.blocks[len(s.blocks)-1].number < at {
		s.blocks = append(s.blocks, column{number: at})
	}
	return &s.blocks[len(s.blocks)-1]
}

// parseTokens runs the parser, whose panic on a text that it did not foresee is no more than a syntax error.
func parseTokens(tokens token.Tokens) (file *ast.File, err error) {
	defer func() {
		if r := recover(); r != nil {
			file, err = nil, errors.New("the parser gave up")
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

func (d *Document) syntaxFault(at place, message string) {
	message = strings.NewReplacer("\t", `\t`, "\n", `\n`).Replace(message)
	d.refuse(at, "is not YAML: "+message, syntaxRemedy(message))
}

// syntaxRemedy says what usually is behind a message of the parser.
func syntaxRemedy(message string) string {
	switch {
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

// convert turns the parser's node into one of ours. What is refused has been said by checkTokens and is read over.
func (d *Document) convert(n ast.Node, path string) *node {
	switch n := n.(type) {
	case *ast.MappingNode:
		return d.convertMapping(n.Start, n.IsFlowStyle, n.Values, path)
	case *ast.MappingValueNode:
		return d.convertMapping(n.Start, false, []*ast.MappingValueNode{n}, path)
	case *ast.SequenceNode:
		out := &node{kind: sequence, at: position(n.Start), items: make([]*node, len(n.Values))}
		for i, v := range n.Values {
			out.items[i] = d.convert(v, Index(path, i))
		}
		return out
	case *ast.LiteralNode:
		return &node{kind: text, at: position(n.Start), text: n.Value.Value}
	case *ast.AnchorNode:
		return d.convert(n.Value, path)
	case *ast.TagNode:
		return d.convert(n.Value, path)
	case *ast.StringNode:
		out := &node{kind: text, at: position(n.Token), text: n.Value}
		if n.Token.Type == token.StringType {
			out.plain = true
			if numeric(n.Value) {
				out.kind = number
			}
		}
		return out
	case *ast.BoolNode:
		return &node{kind: boolean, at: position(n.Token), text: n.Token.Value, plain: true}
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		tk := n.GetToken()
		return &node{kind: number, at: position(tk), text: tk.Value, plain: true}
	case *ast.NullNode:
		return &node{kind: null, at: position(n.Token), plain: n.Token.Type != token.ImplicitNullType}
	case nil:
		return &node{kind: null}
	}
	return &node{kind: refused, at: position(n.GetToken())}
}

func (d *Document) convertMapping(start *token.Token, flow bool, values []*ast.MappingValueNode, path string) *node {
	out := &node{kind: mapping, at: position(start), keys: make([]key, 0, len(values))}
	written := make(map[string]place, len(values))
	for _, v := range values {
		if _, merge := v.Key.(*ast.MergeKeyNode); merge {
			d.spoil(path)
			continue
		}
		k := key{node: *d.convert(v.Key, path)}
		name := Key(path, k.text)
		k.value = d.convert(v.Value, name)
		if k.value.kind == mapping || k.value.kind == sequence || k.value.kind == null && !k.value.plain {
			k.value.at = k.at
		}
		if first, twice := written[k.text]; twice {
			d.fault(k.at, name, fmt.Sprintf("the key is written twice, first at %d:%d", first.line, first.column), "keep one of them")
		} else {
			written[k.text] = k.at
		}
		out.keys = append(out.keys, k)
	}
	if !flow && len(out.keys) > 0 {
		out.at = out.keys[0].at
	}
	return out
}

func position(tk *token.Token) place {
	if tk == nil || tk.Position == nil {
		return place{}
	}
	return place{tk.Position.Line, tk.Position.Column}
}

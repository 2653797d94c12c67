package strictyaml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// maxRefused bounds how many refused tokens are read over to find the faults behind them. Anchors and tags may follow
// each other, and the parser recurses for each.
const maxRefused = 100

// gate stands between the lexer and the parser. It refuses what is never needed, what the two let pass although YAML does
// not, and what would lead the parser too deep.
type gate struct {
	doc   *Document
	shape shape
	// prev is the token before, comments left out.
	prev *token.Token
	// header says that prev announces a block of text, block that prev is one.
	header, block bool
}

// refusal is why a token is not let through.
type refusal struct {
	problem, remedy string
	// mild says that the parser may see the token all the same, so that the faults behind it are found too; last, that what
	// is behind it is not worth looking at.
	mild, last bool
}

// pass returns the tokens of the first document without its comments, and whether they can be parsed.
func (g *gate) pass(tokens token.Tokens) (token.Tokens, bool) {
	var passed token.Tokens
	sound, content, ended, refused := true, false, false, 0
	for _, tk := range tokens {
		if tk.Type == token.InvalidType {
			g.refuse(place{tk.Position.Line, tk.Position.Column}, syntax(tk.Error))
			return nil, false
		}
		if !g.doc.align(tk) {
			g.refuse(g.doc.locate(g.doc.cursor), meaningless)
			return nil, false
		}
		if tk.Type == token.CommentType {
			continue
		}
		ended = ended || content && tk.Type == token.DocumentHeaderType
		if ended && tk.Type != token.DocumentEndType {
			g.refuse(g.doc.position(tk), refusal{problem: "a second document begins", remedy: "keep one document in a file"})
			return passed, sound
		}
		if tk.Type == token.DocumentEndType {
			ended = true
			continue
		}
		if r := g.check(tk); r.problem != "" {
			g.refuse(g.doc.position(tk), r)
			sound = sound && r.mild
			if refused++; refused > maxRefused || r.last {
				return nil, false
			}
		}
		g.block, g.header = g.header, tk.Type == token.LiteralType || tk.Type == token.FoldedType
		g.prev = tk
		content = content || tk.Type != token.DocumentHeaderType
		passed = append(passed, tk)
	}
	if g.doc.skipSpace(); g.doc.cursor < len(g.doc.text) {
		g.refuse(g.doc.locate(g.doc.cursor), meaningless)
		return nil, false
	}
	if !content {
		g.refuse(place{1, 1}, empty)
		return nil, false
	}
	return passed, sound
}

var (
	meaningless = refusal{
		problem: "is not YAML: this text has no meaning here", remedy: "put it in quotes, or check what stands before it",
	}
	empty = refusal{problem: "the document is empty", remedy: "write its keys, or leave the file out"}
)

func (g *gate) refuse(at place, r refusal) { g.doc.refuse(at, r.problem, r.remedy) }

// check returns why the token is refused; the zero refusal if it is not.
func (g *gate) check(tk *token.Token) refusal {
	g.shape.add(tk, g.prev)
	if excess := g.shape.excess(); excess != "" {
		return refusal{problem: excess, remedy: "make it simpler", last: true}
	}
	const inQuotes = "put the text in quotes"
	flow := g.shape.flow > 0
	switch tk.Type {
	case token.DirectiveType:
		return refusal{problem: "a directive is not accepted", remedy: "delete the line that begins with %", last: true}
	case token.MappingKeyType:
		return refusal{problem: `a key that begins with "?" is not accepted`, remedy: "write it as key: value", last: true}
	case token.AnchorType:
		return refusal{
			problem: "an anchor (&) is not accepted", mild: true,
			remedy: "write the value out wherever it is needed; quote text that begins with &",
		}
	case token.AliasType:
		return refusal{
			problem: "an alias (*) is not accepted", remedy: "write the value out; quote text that begins with *", mild: true,
		}
	case token.MergeKeyType:
		return refusal{problem: "a merge key (<<) is not accepted", remedy: "write the keys out", mild: true}
	case token.TagType:
		return refusal{problem: "a tag (!) is not accepted", remedy: "delete it; quote text that begins with !", mild: true}
	case token.StringType:
		switch first := reserved(tk.Value); {
		case g.header:
		case first != "":
			return refusal{problem: "is not YAML: text may not begin with " + first, remedy: inQuotes}
		case strings.HasSuffix(tk.Value, ":"), strings.Contains(tk.Value, ": "), flow && strings.ContainsAny(tk.Value, ",[]{}"):
			return refusal{problem: "is not YAML: there is a colon or a bracket in the text", remedy: inQuotes}
		case manyLines(tk):
			return refusal{
				problem: "text goes on in the next line",
				remedy:  "put it in quotes or write it as a block behind >-, or check the indentation if that was not meant",
			}
		}
	case token.LiteralType, token.FoldedType:
		switch {
		case !blockHeader.MatchString(strings.TrimSpace(tk.Origin)):
			return refusal{
				problem: "is not YAML: nothing may stand behind " + tk.Value[:1],
				remedy:  "begin the text on the next line, or put it in quotes",
			}
		case flow:
			return refusal{problem: "is not YAML: a block of text may not stand within brackets", remedy: inQuotes}
		}
	case token.SequenceEntryType:
		if flow {
			return refusal{
				problem: "is not YAML: a dash may not stand within brackets",
				remedy:  "separate the elements with commas, or put the text in quotes",
			}
		}
	case token.CollectEntryType:
		if g.prev != nil && slices.Contains([]token.Type{token.SequenceStartType, token.MappingStartType, token.CollectEntryType}, g.prev.Type) {
			return refusal{problem: "is not YAML: nothing stands before the comma", remedy: "delete the comma"}
		}
	case token.MappingValueType:
		return g.checkColon(tk)
	}
	return refusal{}
}

func (g *gate) checkColon(tk *token.Token) refusal {
	switch {
	case g.prev == nil:
	case !g.block && g.prev.Type == token.StringType && manyLines(g.prev): // refused already
	case g.block, g.doc.position(g.prev).line != g.doc.position(tk).line:
		return refusal{
			problem: "is not YAML: the colon stands in another line than its key", remedy: "write key: value in one line",
		}
	case g.prev.Type == token.DoubleQuoteType, g.prev.Type == token.SingleQuoteType:
	case !strings.ContainsRune(" \n\t,[]{}", rune(g.doc.text[g.doc.cursor])):
		return refusal{
			problem: "is not YAML: the colon has no space behind it", remedy: "write key: value, or put text with a colon in quotes",
		}
	}
	return refusal{}
}

func manyLines(tk *token.Token) bool { return strings.Contains(strings.TrimSpace(tk.Origin), "\n") }

var blockHeader = regexp.MustCompile(`^[|>]([1-9]?[+-]?|[+-][1-9])$`)

// reserved returns what plain text begins with if YAML reserves it.
func reserved(s string) string {
	switch {
	case s == "":
		return ""
	case strings.IndexByte(",[]{}#&*!|>'\"%@`", s[0]) >= 0:
		return s[:1]
	case strings.IndexByte("-?:", s[0]) >= 0 && (len(s) == 1 || s[1] == ' '):
		return s[:1]
	}
	return ""
}

// align finds the token in the text, behind the one before it, and notes its place in its Offset, which the parser does
// not use. It says whether the token is there: the lexer drops text that it cannot make sense of, and is now and then
// mistaken about columns.
func (d *Document) align(tk *token.Token) bool {
	d.skipSpace()
	tk.Position.Offset = d.cursor
	if tk.Type == token.DoubleQuoteType || tk.Type == token.SingleQuoteType {
		length := quotedLength(d.text[d.cursor:])
		d.cursor += length
		return length > 0
	}
	for _, r := range tk.Origin {
		if space(r) {
			continue
		}
		d.skipSpace()
		if !strings.HasPrefix(d.text[d.cursor:], string(r)) {
			return false
		}
		d.cursor += utf8.RuneLen(r)
	}
	return true
}

// quotedLength returns the length of the quoted text that s begins with; 0 when it begins with none.
func quotedLength(s string) int {
	if s == "" || s[0] != '"' && s[0] != '\'' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] == '"':
			i++
		case s[i] != s[0]:
		case s[0] == '\'' && i+1 < len(s) && s[i+1] == '\'':
			i++
		default:
			return i + 1
		}
	}
	return 0
}

func (d *Document) skipSpace() {
	for d.cursor < len(d.text) && space(rune(d.text[d.cursor])) {
		d.cursor++
	}
}

func space(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }

// shape follows how deep the parser would have to go.
type shape struct {
	flow   int      // open brackets
	keys   int      // keys since the last bracket or comma, within brackets
	blocks []column // open blocks, outermost first
}

// column is a block that is open: where its keys or dashes stand, and how many keys it has.
type column struct{ number, keys int }

// add takes the next token; prev is the one before it, which is the key when the token is a colon.
func (s *shape) add(tk, prev *token.Token) {
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
		} else if prev != nil {
			s.open(prev).keys++
		}
	case token.SequenceEntryType:
		if s.flow == 0 {
			s.open(tk)
		}
	}
}

// excess says what is too much; it is empty if nothing is.
func (s *shape) excess() string {
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

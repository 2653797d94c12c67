package strictyaml

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// maxRefused bounds how many refused tokens are read over to find the faults behind them.
const maxRefused = 100

// lexeme is a token that passed the gate.
type lexeme struct {
	token.Type
	// value is a text's content.
	value string
	// at is where it begins, ends the line in which it ends.
	at   place
	ends int32
}

// gate stands between the lexer and the builder. It refuses what is never needed, and what the lexer lets pass although
// YAML does not.
type gate struct {
	doc *Document
	// rest is the part of the text in which no token has been found yet, at where it begins.
	rest string
	at   place
	// flow is how many brackets are open.
	flow int
	// passed are the lexemes that passed, comments left out.
	passed []lexeme
	// header says that the last one announces a block of text, block that it is one.
	header, block bool
}

// refusal is why a token is not let through.
type refusal struct {
	problem, remedy string
	// mild says that the builder reads over the token, so that the faults behind it are found too; last, that what is
	// behind it is not worth looking at.
	mild, last bool
}

// pass lets the tokens of the first document through, without its comments. It says whether they may be built upon.
func (g *gate) pass(tokens token.Tokens) bool {
	sound, content, ended, refused := true, false, false, 0
	g.passed = make([]lexeme, 0, len(tokens))
	for _, tk := range tokens {
		if tk.Type == token.InvalidType {
			g.refuse(place{int32(tk.Position.Line), int32(tk.Position.Column)}, syntax(tk.Error))
			return false
		}
		glued := g.at != (place{1, 1}) && strings.HasPrefix(g.rest, "#")
		l, ok := g.find(tk)
		if !ok || glued {
			g.refuse(g.at, meaningless)
			return false
		}
		if l.Type == token.CommentType {
			continue
		}
		ended = ended || content && l.Type == token.DocumentHeaderType
		if ended && l.Type != token.DocumentEndType {
			g.refuse(l.at, refusal{problem: "a second document begins", remedy: "keep one document in a file"})
			return sound
		}
		if l.Type == token.DocumentEndType {
			ended = true
			continue
		}
		if r := g.check(l, strings.TrimSpace(tk.Origin)); r.problem != "" {
			g.refuse(l.at, r)
			sound = sound && r.mild
			if refused++; refused > maxRefused || r.last {
				return false
			}
		}
		g.block, g.header = g.header, l.Type == token.LiteralType || l.Type == token.FoldedType
		content = content || l.Type != token.DocumentHeaderType
		g.passed = append(g.passed, l)
	}
	if g.skipSpace(); g.rest != "" {
		g.refuse(g.at, meaningless)
		return false
	}
	if !content {
		g.refuse(place{1, 1}, empty)
		return false
	}
	return sound
}

var (
	meaningless = refusal{
		problem: "is not YAML: this text has no meaning here", remedy: "put it in quotes, or check what stands before it",
	}
	empty = refusal{problem: "the document is empty", remedy: "write its keys, or leave the file out"}
)

func (g *gate) refuse(at place, r refusal) { g.doc.refuse(at, r.problem, r.remedy) }

// check returns why a lexeme is refused; the zero refusal if it is not. source is its text as it is written.
func (g *gate) check(l lexeme, source string) refusal {
	const inQuotes = "put the text in quotes"
	flow := g.flow > 0
	switch l.Type {
	case token.MappingStartType, token.SequenceStartType:
		g.flow++
	case token.MappingEndType, token.SequenceEndType:
		g.flow = max(0, g.flow-1)
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
		switch first := reserved(l.value); {
		case g.header:
		case first != "":
			return refusal{problem: "is not YAML: text may not begin with " + first, remedy: inQuotes}
		case strings.HasSuffix(l.value, ":"), strings.Contains(l.value, ": "), flow && strings.ContainsAny(l.value, ",[]{}"):
			return refusal{problem: "is not YAML: there is a colon or a bracket in the text", remedy: inQuotes}
		case strings.Contains(source, "\n"):
			return refusal{
				problem: "text goes on in the next line",
				remedy:  "put it in quotes or write it as a block behind >-, or check the indentation if that was not meant",
			}
		}
	case token.LiteralType, token.FoldedType:
		switch {
		case !blockHeader.MatchString(source):
			return refusal{
				problem: "is not YAML: nothing may stand behind " + source[:1],
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
		switch g.last().Type {
		case token.SequenceStartType, token.MappingStartType, token.CollectEntryType:
			return refusal{problem: "is not YAML: nothing stands before the comma", remedy: "delete the comma"}
		}
	case token.MappingValueType:
		return g.checkColon(l)
	}
	return refusal{}
}

func (g *gate) checkColon(colon lexeme) refusal {
	key := g.last()
	switch {
	case len(g.passed) == 0:
	case !g.block && key.Type == token.StringType && key.ends > key.at.line: // refused already
	case g.block, key.at.line != colon.at.line:
		return refusal{
			problem: "is not YAML: the colon stands in another line than its key", remedy: "write key: value in one line",
		}
	case key.Type == token.DoubleQuoteType, key.Type == token.SingleQuoteType:
	case !strings.ContainsRune(" \n\t,[]{}", rune(g.rest[0])):
		return refusal{
			problem: "is not YAML: the colon has no space behind it", remedy: "write key: value, or put text with a colon in quotes",
		}
	}
	return refusal{}
}

// last returns the lexeme that passed last.
func (g *gate) last() lexeme {
	if len(g.passed) == 0 {
		return lexeme{}
	}
	return g.passed[len(g.passed)-1]
}

// syntax returns the refusal for a message of the lexer.
func syntax(message string) refusal {
	message = strings.NewReplacer("\t", `\t`, "\n", `\n`).Replace(message)
	r := refusal{problem: "is not YAML: " + message, remedy: "put the text in quotes"}
	switch {
	case strings.Contains(message, `\t`), strings.Contains(message, "tab"):
		r.remedy = "indent with spaces, not with tabs"
	case strings.Contains(message, "end character"):
		r.remedy = "close the quotes"
	case strings.Contains(message, "escape"), strings.Contains(message, "surrogate"):
		r.remedy = `write \\ for a backslash, or use single quotes`
	case strings.Contains(message, "header"), strings.Contains(message, "indent"):
		r.remedy = "begin the text in the next line, further to the right than its key"
	}
	return r
}

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

// find finds the token in the text, behind the one before it. It says whether it is there: the lexer drops text that it
// cannot make sense of, and is now and then mistaken about columns.
func (g *gate) find(tk *token.Token) (lexeme, bool) {
	if tk.Origin != "" {
		g.skipSpace()
	}
	l := lexeme{Type: tk.Type, value: tk.Value, at: g.at, ends: g.at.line}
	if tk.Type == token.DoubleQuoteType || tk.Type == token.SingleQuoteType {
		length := quotedLength(g.rest)
		g.advance(length)
		l.ends = g.at.line
		return l, length > 0
	}
	for _, r := range tk.Origin {
		if space(r) {
			continue
		}
		g.skipSpace()
		if !strings.HasPrefix(g.rest, string(r)) {
			return l, false
		}
		g.advance(utf8.RuneLen(r))
		l.ends = g.at.line
	}
	return l, true
}

// advance moves the beginning of the rest on by so many bytes.
func (g *gate) advance(n int) {
	for _, r := range g.rest[:n] {
		g.at.column++
		if r == '\n' {
			g.at = place{g.at.line + 1, 1}
		}
	}
	g.rest = g.rest[n:]
}

func (g *gate) skipSpace() {
	n := 0
	for n < len(g.rest) && space(rune(g.rest[n])) {
		n++
	}
	g.advance(n)
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

func space(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }

package strictyaml

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/scanner"
	"github.com/goccy/go-yaml/token"
)

// Bounds of one document. They are far above anything that a person writes.
const (
	// MaxBytes bounds the text. An organization of tens of thousands of accounts fits.
	MaxBytes = 16 << 20
	// MaxDepth bounds how deep values may be nested.
	MaxDepth = 64
)

// kind is what sort of value a node is.
type kind uint8

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
	text string
	kind kind
	at   place
	// first is where the same key is written before; zero when it is not.
	first place
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
	// The lexer counts a CR LF as two lines here and there, and folds the last block wrongly if no line break follows.
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(string(data), "\ufeff"))
	if !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	if !d.checkText(text) {
		return
	}
	g := gate{doc: d, rest: text, at: place{1, 1}}
	if g.pass(tokenize(text)) {
		d.root = d.build(g.passed)
	}
}

// tokenize returns the tokens of the text up to the first invalid one, behind which nothing can be relied on. If the
// lexer panics on a text that it did not foresee, some or all of the tokens are missing, which does not go unnoticed.
func tokenize(text string) (tokens token.Tokens) {
	defer func() { _ = recover() }()
	var s scanner.Scanner
	s.Init(text)
	for {
		more, err := s.Scan()
		tokens = append(tokens, more...)
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
func (d *Document) checkText(text string) bool {
	sound := true
	for at := (place{1, 1}); text != ""; at.column++ {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			d.refuse(at, fmt.Sprintf("the byte 0x%02x is not UTF-8", text[0]), "save the file in UTF-8")
			sound = false
		case r == '\n':
			at = place{at.line + 1, 0}
		case r != '\t' && unprintable(r):
			d.refuse(at, fmt.Sprintf("the character U+%04X may not be in a YAML file", r),
				`delete it, or write it as an escape such as "\u0007" in double quotes`)
			sound = false
		}
		text = text[size:]
	}
	return sound
}

// unprintable says whether YAML allows the character only as an escape: control characters, the byte order mark within
// the text, and the two that are no characters.
func unprintable(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 && r != 0x85 || r == 0xfeff || r == 0xfffe || r == 0xffff
}

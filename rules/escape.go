package rules

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxMarks is how many combining marks in a row are shown as they are: enough for any script, too few to climb over the
// lines above.
const maxMarks = 3

// Escape makes everything in s visible that a terminal would act on, hide or reorder: control characters and escape
// sequences, bidirectional controls, zero-width and other invisible characters, unusual spaces, spaces at either end or in
// a row, stray combining marks, and bytes that are not UTF-8. They are written as Go writes them in a string, and so is
// the backslash; different strings never look the same for want of escaping. (Letters that look alike still do: that is
// what ids are for.)
func Escape(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	marks := maxMarks // as if marks had gone before: one at the start has nothing to sit on
	latin, wordEnd := false, 0
	for i := 0; i < len(s); {
		if i >= wordEnd {
			word, _, _ := strings.Cut(s[i:], " ")
			latin, wordEnd = strings.ContainsFunc(word, isASCIILetter), i+len(word)+1
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\\':
			b.WriteString(`\\`)
		case r == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' '):
			b.WriteString(`\x20`)
		case unicode.IsMark(r) && marks >= maxMarks, latin && imitates(r), Acts(r):
			writeEscaped(&b, r)
		default:
			b.WriteString(s[i : i+size])
		}
		switch {
		case unicode.IsMark(r):
			marks++
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			marks = 0
		default:
			marks = maxMarks
		}
		i += size
	}
	return b.String()
}

// plain says whether s is printable ASCII without a backslash and with single spaces inside only: nearly every name.
func plain(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c >= 0x7f || c == '\\':
			return false
		case c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' '):
			return false
		}
	}
	return true
}

// Acts says whether a character is not seen for what it is.
func Acts(r rune) bool {
	if r < utf8.RuneSelf {
		return r < ' ' || r == 0x7f
	}
	const brailleBlank = '\u2800'
	return !unicode.IsPrint(r) || r == brailleBlank || unicode.Is(unicode.Me, r) ||
		unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

func isASCIILetter(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' }

// imitates says whether a letter is of a script many of whose letters look like Latin ones, or a Latin letter in another
// dress.
func imitates(r rune) bool {
	return r >= 0x80 && (unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee, unicode.Coptic,
		unicode.Lisu) || unicode.Is(dressedLatin, r))
}

// dressedLatin are letters that look like ASCII ones and that no language is written with beside them.
var dressedLatin = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x017f, Hi: 0x017f, Stride: 1}, // long s
		{Lo: 0x0250, Hi: 0x02af, Stride: 1}, // phonetic
		{Lo: 0x1d00, Hi: 0x1dbf, Stride: 1}, // phonetic, small capitals
		{Lo: 0x2100, Hi: 0x218f, Stride: 1}, // letterlike such as the Kelvin sign, Roman numerals
		{Lo: 0x24b6, Hi: 0x24e9, Stride: 1}, // in circles
		{Lo: 0xa720, Hi: 0xa7ff, Stride: 1}, // of medievalists
		{Lo: 0xff21, Hi: 0xff5a, Stride: 1}, // full-width
	},
	R32: []unicode.Range32{{Lo: 0x1d400, Hi: 0x1d7ff, Stride: 1}}, // mathematical
}

func writeEscaped(b *strings.Builder, r rune) {
	switch {
	case r == '\n':
		b.WriteString(`\n`)
	case r == '\r':
		b.WriteString(`\r`)
	case r == '\t':
		b.WriteString(`\t`)
	case r < 0x80:
		fmt.Fprintf(b, `\x%02x`, r)
	case r < 0x10000:
		fmt.Fprintf(b, `\u%04x`, r)
	default:
		fmt.Fprintf(b, `\U%08x`, r)
	}
}

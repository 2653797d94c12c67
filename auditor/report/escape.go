package report

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/agencyaudit/agencyaudit/rules"
)

// elide escapes s and shortens it in the middle when it is longer than anything that the cloud's rules allow, saying how
// much there is. Ids and ordinary names are far below the limit.
func elide(s string, limit int) string {
	if utf8.RuneCountInString(s) <= limit {
		return rules.Escape(s)
	}
	runes := []rune(s)
	tail := limit / 4
	start, end := string(runes[:limit-tail]), string(runes[len(runes)-tail:])
	return rules.Escape(start) + fmt.Sprintf("…[%d bytes in all]…", len(s)) + rules.Escape(end)
}

// wrap breaks text that rules.Escape has made harmless into lines of at most width columns, between words where it can and
// inside of them where it must: there behind a hyphen or the like, if one is near enough. Nothing is left out.
func wrap(s string, width int) []string {
	var lines []string
	var line strings.Builder
	used := 0
	flush := func() {
		lines = append(lines, line.String())
		line.Reset()
		used = 0
	}
	for word := range strings.SplitSeq(s, " ") {
		w := text.StringWidthWithoutEscSequences(word)
		if used > 0 && used+1+w <= width {
			line.WriteByte(' ')
			line.WriteString(word)
			used += 1 + w
			continue
		}
		if used > 0 {
			flush()
		}
		for w > width {
			part := firstPart(word, width)
			if part == "" {
				break
			}
			lines, word = append(lines, part), word[len(part):]
			w = text.StringWidthWithoutEscSequences(word)
		}
		for _, r := range word {
			if n := text.RuneWidth(r); used+n > width && used > 0 {
				flush()
			}
			line.WriteRune(r)
			used += text.RuneWidth(r)
		}
	}
	flush()
	return lines
}

// firstPart is the longest beginning of a word that ends with a separator and fits; none if it would leave half of the line empty.
func firstPart(word string, width int) (part string) {
	used := 0
	for i, r := range word {
		if used += text.RuneWidth(r); used > width {
			break
		}
		if strings.ContainsRune("-_./:", r) && used >= (width+1)/2 {
			part = word[:i+1]
		}
	}
	return part
}

package strictyaml

import "strings"

// Nearest returns which of the known words was probably meant by the written one; empty when none is near enough.
func Nearest(written string, known []string) string {
	best, found := 0, ""
	plain := simplify(written)
	for _, k := range known {
		distance := 0
		if simplify(k) != plain {
			distance = edits(plain, simplify(k))
		}
		if distance <= max(1, len(k)/3) && distance < len(plain) && (found == "" || distance < best) {
			best, found = distance, k
		}
	}
	return found
}

// simplify takes away what people most often get wrong: letter case, and what stands between words.
func simplify(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "", " ", "").Replace(shorten(s)))
}

// edits counts the characters that have to be inserted, deleted, replaced or swapped with their neighbour to get from a
// to b.
func edits(a, b string) int {
	var older []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], older[j-1]+1)
			}
		}
		older, row = row, next
	}
	return row[len(b)]
}

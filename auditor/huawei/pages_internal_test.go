package huawei

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// cloudOfPages answers a listing of a kind: with a count, with markers, or with neither.
type cloudOfPages struct {
	kind  string
	limit int
	page  func(page int, marker string) listPage[string]
	asked int
}

func (c *cloudOfPages) read(perPage int) ([]string, []string, error) {
	return pages(listing[string]{
		limit: c.limit, perPage: perPage, key: func(s string) string { return s },
		fetch: func(page int, marker string) (listPage[string], error) {
			c.asked++
			return c.page(page, marker), nil
		},
	})
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// TestPagesReadAWholeList from clouds of each kind that cut pages as they like.
func TestPagesReadAWholeList(t *testing.T) {
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 1))
		perPage, want, from := 1+r.IntN(5), make([]string, r.IntN(30)), 0
		for i := range want {
			want[i] = fmt.Sprint("id", i)
		}
		c := &cloudOfPages{kind: pick(r, "counted", "marked", "bare"), limit: 1000}
		c.page = func(page int, marker string) (p listPage[string]) {
			if page != c.asked || (c.kind == "marked" && page > 1) != (marker != "") {
				t.Fatalf("seed %d: page %d is asked for by %q as the request %d", seed, page, marker, c.asked)
			}
			n := min(1+r.IntN(perPage), len(want)-from)
			p.rows, p.requestID = want[from:from+n], "r"
			from += n
			switch total, next := len(want), ""; c.kind {
			case "counted":
				p.total, p.counted = total, true
			case "marked":
				if from < total {
					next = fmt.Sprint("m", from)
				}
				p.marker, p.marked = next, true
			}
			return p
		}
		if got, ids, err := c.read(perPage); err != nil || !slices.Equal(got, want) || len(ids) == 0 {
			t.Fatalf("seed %d: %v, %d requests: %q, want %q", seed, err, c.asked, got, want)
		}
	}
}

// TestPagesBelieveNoList that contradicts itself: what they return was shown by one reading, each row once.
func TestPagesBelieveNoList(t *testing.T) {
	seen := map[string]int{}
	for seed := range uint64(50000) {
		r := rand.New(rand.NewPCG(seed, 2))
		perPage := 1 + r.IntN(3)
		total := r.IntN(8)
		c := &cloudOfPages{kind: pick(r, "counted", "marked", "bare"), limit: 1 + r.IntN(8)}
		var shown []listPage[string] // in the reading that is under way
		c.page = func(page int, _ string) (p listPage[string]) {
			if page == 1 {
				shown = nil
			}
			for range r.IntN(perPage + 1) {
				p.rows = append(p.rows, pick(r, "", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"))
			}
			switch c.kind {
			case "counted":
				p.total, p.counted = total+r.IntN(20)/19, true
			case "marked":
				p.marker, p.marked = pick(r, "", "v", "w", "x", "y", "z", "bad marker"), true
			default:
				p.more = r.IntN(4) == 0
			}
			shown = append(shown, p)
			return p
		}
		got, _, err := c.read(perPage)
		if c.asked > c.limit {
			t.Fatalf("seed %d: %d requests, at most %d are allowed", seed, c.asked, c.limit)
		}
		if err != nil {
			f, ok := errors.AsType[*fault](err)
			if !ok || f.rejection == "" || f.detail == "" || got != nil || (f.rejection == rejectedTooMany) != (f.reason == rules.ReasonBudget) {
				t.Fatalf("seed %d: %v with rows %q", seed, err, got)
			}
			seen[f.rejection]++
			continue
		}
		seen[c.kind]++
		var rows []string
		followed := map[string]bool{}
		for i, p := range shown {
			last := i == len(shown)-1
			if c.kind == "marked" && followed[p.marker] {
				t.Fatalf("seed %d: followed %q twice: %v", seed, p.marker, shown)
			}
			followed[p.marker] = true
			if c.kind == "counted" && p.total != len(got) || c.kind == "marked" && (p.marker == "") != last {
				t.Fatalf("seed %d: believed %q of %v", seed, got, shown)
			}
			if c.kind == "bare" && last {
				if p.more || len(p.rows) > 0 && !slices.Equal(p.rows, shown[i-1].rows) {
					t.Fatalf("seed %d: believed %q of %v", seed, got, shown)
				}
				break
			}
			rows = append(rows, p.rows...)
		}
		unique := slices.Sorted(slices.Values(got))
		if !slices.Equal(rows, got) || len(slices.Compact(unique)) != len(got) || slices.Contains(got, "") {
			t.Fatalf("seed %d: believed %q of %v", seed, got, shown)
		}
	}
	for _, what := range []string{
		"counted", "marked", "bare", rejectedItem, rejectedLoop, rejectedUnstable, rejectedWitness, rejectedTooMany,
	} {
		if seen[what] < 100 {
			t.Errorf("%s: seen in %d of 50,000 lists", what, seen[what])
		}
	}
}

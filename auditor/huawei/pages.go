package huawei

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules"
)

// listing is a list of pages, and how it is read.
type listing[T any] struct {
	// limit is how many requests it may cost in all.
	limit int
	// perPage is how many rows a page is asked for.
	perPage int
	// fetch asks for a page, by its number or by the marker of the page before. It says whose answer an error is about in
	// requestID.
	fetch func(page int, marker string) (listPage[T], error)
	// key is what tells a row from every other one of the list.
	key func(T) string
	// enough says that no page comes after these rows; it may be nil.
	enough func(rows []T) bool
}

// listPage is one page of a list.
type listPage[T any] struct {
	rows      []T
	requestID string
	// total is the cloud's own count of the rows of the whole list, where counted says that it has one.
	total   int
	counted bool
	// marker is the name of the next page and empty on the last, where marked says that pages have names.
	marker string
	marked bool
	// more says that a page of a list without marker and count names a next one all the same.
	more bool
}

// pages reads a list whole, or not at all. One that changes while it is read, so that a row comes again on another page or
// the count becomes another, is read once more from its first page; when it changes again, it is unknown. The ids are
// those of the answers that the rows are from.
func pages[T any](l listing[T]) (rows []T, requestIDs []string, err error) {
	asked := 0
	rows, requestIDs, err = l.read(&asked)
	if f, ok := errors.AsType[*fault](err); ok && f.rejection == rejectedUnstable {
		rows, requestIDs, err = l.read(&asked)
		if again, ok := errors.AsType[*fault](err); ok {
			again.detail = "read once more, since it changed: " + again.detail
		}
	}
	return rows, requestIDs, err
}

// read reads the list from its first page. asked counts the requests.
//
// A list with a count ends when it has as many rows; one with markers, on the page that has none. One with neither ends with
// an empty page, or where enough says so; a cloud may cut pages short, so that a short one alone proves nothing. A short
// page that comes again as the next one ends such a list as well: so answer servers that know no page numbers, or that are
// asked for more pages than there are.
func (l listing[T]) read(asked *int) (all []T, requestIDs []string, err error) {
	var (
		seen    map[string]int      // the page of each row
		begins  [4]int              // room for starts
		starts  = begins[:0]        // where in all each page begins
		markers map[string]struct{} // those that were followed
		marker  string
		total   int
	)
	for page := 1; *asked < l.limit; page++ {
		*asked++
		got, err := l.fetch(page, marker)
		fail := func(f *fault) ([]T, []string, error) {
			if f.requestID == "" {
				f.requestID = cleanID(got.requestID)
			}
			if f.page = *asked; page > 1 {
				f.detail = fmt.Sprintf("page %d: %s", page, f.detail)
			}
			return nil, nil, f
		}
		if err != nil {
			if f, ok := errors.AsType[*fault](err); ok {
				return fail(f)
			}
			return nil, nil, err
		}
		requestIDs = appendID(requestIDs, got.requestID)
		rows := got.rows
		bare := !got.counted && !got.marked
		if bare && (len(rows) == 0 || (len(rows) < l.perPage && page > 1 && l.same(rows, all[starts[page-2]:]))) {
			if got.more {
				return fail(lie(rules.ReasonRejected, "the list ends on a page that names a next one").as(rejectedLoop))
			}
			return all, requestIDs, nil
		}
		if got.counted {
			if page > 1 && got.total != total {
				return fail(lie(rules.ReasonIncomplete, "the cloud counts %d rows, and counted %d before", got.total, total).
					as(rejectedUnstable))
			}
			total = got.total
		}
		if f := l.note(&seen, page, rows, all, starts); f != nil {
			return fail(f)
		}
		starts = append(starts, len(all))
		if page == 1 {
			all = rows // most lists have no other
		} else {
			all = append(all, rows...)
		}
		switch {
		case got.counted && len(all) == total:
			return all, requestIDs, nil
		case got.counted && (len(all) > total || len(rows) == 0):
			return fail(lie(rules.ReasonDisagree, "the cloud counts %d rows and shows %d", total, len(all)))
		case got.marked && got.marker == "", bare && l.enough != nil && l.enough(rows):
			return all, requestIDs, nil
		case got.marked:
			if marker = got.marker; !isMarker(marker) {
				return fail(lie(rules.ReasonRejected, "the marker of the next page is none").as(rejectedItem))
			}
			if _, ok := markers[marker]; ok {
				return fail(lie(rules.ReasonRejected, "the marker of the next page is one that was followed before").as(rejectedLoop))
			}
			if markers == nil {
				markers = make(map[string]struct{})
			}
			markers[marker] = struct{}{}
		}
	}
	return nil, nil, lie(rules.ReasonBudget, "the list does not end after %d pages", l.limit).as(rejectedTooMany)
}

// note takes note of the rows of a page in seen, or says what is wrong with them. all are the rows of the pages before,
// which begin at starts.
func (l listing[T]) note(seen *map[string]int, page int, rows, all []T, starts []int) *fault {
	if *seen == nil {
		if page == 1 && len(rows) == 1 && l.key(rows[0]) != "" {
			return nil // the common case, which is not worth a map
		}
		*seen = make(map[string]int, len(rows))
		for _, r := range all {
			(*seen)[l.key(r)] = 1
		}
	}
	for i, r := range rows {
		key := l.key(r)
		switch before, ok := (*seen)[key]; {
		case key == "":
			return lie(rules.ReasonRejected, "the list shows a row without an id").as(rejectedItem)
		case !ok:
			(*seen)[key] = page
		case before == page:
			return lie(rules.ReasonRejected, "row %d shows %q again", i+1, shorten(strings.TrimSpace(key))).as(rejectedItem)
		default:
			from, to := starts[before-1], len(all)
			if before < len(starts) {
				to = starts[before]
			}
			if l.same(rows, all[from:to]) {
				return lie(rules.ReasonRejected, "the page is page %d again", before).as(rejectedLoop)
			}
			return lie(rules.ReasonIncomplete, "row %d shows %q, as did page %d", i+1, shorten(strings.TrimSpace(key)), before).as(rejectedUnstable)
		}
	}
	return nil
}

// same says whether two pages have the same rows in the same order.
func (l listing[T]) same(a, b []T) bool {
	return slices.EqualFunc(a, b, func(x, y T) bool { return l.key(x) == l.key(y) })
}

// isMarker says whether a text is a marker (facts 8). Its length is bounded, since it goes back to the cloud.
func isMarker(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '+' && c != '/' && c != '=' && !isID(s[i:i+1]) {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 400
}

package huawei_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestListThatChangesIsReadOnceMore has lists that move between two pages, once or whenever they are read.
func TestListThatChangesIsReadOnceMore(t *testing.T) {
	id := accountID(0)
	for _, tc := range []struct {
		on     string
		page   string // the query that asks for the second page
		change func(string) string
		// cut is how many pages are asked for until it is seen to have changed.
		cut int
	}{
		{"project", "page=2", func(b string) string { return strings.Replace(b, `"p50"`, `"p49"`, 1) }, 2},
		{"project", "page=2", func(b string) string { return strings.Replace(b, `"total_num":120`, `"total_num":119`, 1) }, 2},
		{"enterprise_project", "page=2", func(b string) string { return strings.Replace(b, `"p50"`, `"p0"`, 1) }, 2},
		{"attached", "marker=mark200", func(b string) string { return strings.Replace(b, `"v200"`, `"v7"`, 1) }, 2},
		{"catalogue", "page=2", func(b string) string { return strings.Replace(b, id32(300), id32(299), 1) }, 2},
		{"agencies", "page=2", func(b string) string { return strings.Replace(b, id32(0xb00+500), id32(0xb00), 1) }, 2},
	} {
		for _, still := range []bool{false, true} {
			f := newFake(t, 1)
			a := f.accounts[id]
			for i := range 120 {
				g := fakeGrant{id32(roleGuest), fmt.Sprintf("p%d", i)}
				a.grants["project"], a.grants["enterprise_project"] = append(a.grants["project"], g), append(a.grants["enterprise_project"], g)
			}
			for i := range 250 {
				a.attached = append(a.attached, map[string]any{"policy_id": fmt.Sprint("v", i), "policy_name": "x", "urn": "", "attached_at": "2025-01-01T00:00:00Z"})
			}
			c, _ := open(t, f.config())
			if tc.on == "agencies" { // the whole list, which is read when the agency is absent
				a.agencies = nil
				for i := range 600 {
					a.agencies = append(a.agencies, agency(id, fmt.Sprint("other", i), 0xb00+i))
				}
			} else {
				c.Close()
			}
			want, trail, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
			if err != nil {
				t.Fatal(err)
			}
			usual := asked(f.log(), tc.on)
			if tc.on == "catalogue" {
				c, _ = open(t, f.config()) // one that has not read it
			}
			var changes atomic.Int32
			f.lie(tc.on, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				if strings.Contains(r.URL.RawQuery, tc.page) && (still || changes.Load() == 0) {
					changes.Add(1)
					edit(func(b string) string {
						if tc.change(b) == b {
							panic("nothing changed in " + b)
						}
						return tc.change(b)
					})(w, r, truth)
					return
				}
				truth(w, r)
			})
			if still {
				u := unknown(t, c, 0, rules.ReasonIncomplete)
				if n := asked(f.log(), tc.on); !strings.HasSuffix(u.Detail, "; rejected: unstable_paging") || u.RequestID == "" ||
					n != 2*tc.cut && tc.on != "agencies" || n != 1+2*tc.cut && tc.on == "agencies" {
					t.Errorf("%s: %d requests: %v", tc.on, n, u)
				}
				continue
			}
			got, again, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
			if err != nil {
				t.Errorf("%s: %v", tc.on, err)
				continue
			}
			wantLines(t, grants(got), grants(want))
			sent := asked(f.log(), tc.on)
			if sent != usual+tc.cut || (tc.on != "catalogue" && again.Requests != trail.Requests+tc.cut) {
				t.Errorf("%s: %d requests, of which %d are charged, want %d more than %d", tc.on, sent, again.Requests, tc.cut, usual)
			}
		}
	}
}

// TestReadingOnceMoreIsBounded by the same number of pages, and a plane that answered is not absent when it is read again.
func TestReadingOnceMoreIsBounded(t *testing.T) {
	id := accountID(0)
	f := newFake(t, 1)
	a := f.accounts[id]
	for i := range 220 {
		a.grants["enterprise_project"] = append(a.grants["enterprise_project"], fakeGrant{id32(roleGuest), fmt.Sprintf("p%d", i)})
	}
	cfg := f.config()
	cfg.MaxPages = 6
	c, _ := open(t, cfg)
	var overlaps, first atomic.Int32
	overlap := func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if strings.Contains(r.URL.RawQuery, "page=2") && overlaps.Add(1) == 1 {
			swap(`"p50"`, `"p49"`)(w, r, truth)
			return
		}
		truth(w, r)
	}
	f.lie("enterprise_project", overlap)
	u := unknown(t, c, 0, rules.ReasonBudget) // two pages, and four of the five
	if strings.Contains(u.Remedy, "limits.") || !strings.Contains(u.Remedy, "this limit is fixed") {
		t.Errorf("a limit that nothing raises: %q", u.Remedy)
	}
	if n := asked(f.log(), "enterprise_project"); n != 6 {
		t.Errorf("%d requests", n)
	}
	overlaps.Store(0)
	f.lie("enterprise_project", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if strings.Contains(r.URL.RawQuery, "page=1") && first.Add(1) > 1 {
			f.gateway(w, 404, "APIGW.0101", "x")
			return
		}
		overlap(w, r, truth)
	})
	if u := unknown(t, c, 0, rules.ReasonRejected); !strings.Contains(u.Detail, "404") {
		t.Errorf("%v", u)
	}
}

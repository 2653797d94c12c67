package huawei_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// meter keeps what it is told.
type meter struct {
	mu                            sync.Mutex
	requests, rejected, refreshed []string
	skews                         []time.Duration
	retries                       int
	main                          bool
	accounts                      int
}

func (m *meter) Retried(string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retries++
}

func (m *meter) Breakers(main bool, accounts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.main, m.accounts = main, accounts
}

func (m *meter) Request(service, operation string, code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, service+" "+operation+" "+http.StatusText(code))
	if took < 0 {
		m.requests = append(m.requests, "a negative time")
	}
}

func (m *meter) Rejected(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejected = append(m.rejected, reason)
}

func (m *meter) Refreshed(way string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshed = append(m.refreshed, way+map[bool]string{true: " came", false: " refused"}[ok])
}

func (m *meter) Skew(ahead time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.skews = append(m.skews, ahead)
}

// TestMeterHearsOfEveryRequest compares the meter with what the server saw.
func TestMeterHearsOfEveryRequest(t *testing.T) {
	f := newFake(t, 1)
	m := &meter{}
	cfg := f.assuming()
	cfg.Meter = m
	c, _ := open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err != nil {
		t.Fatal(err)
	}
	if len(m.requests) != len(f.log()) || len(m.requests) < 6 {
		t.Errorf("the meter heard of %d requests, the server of %d", len(m.requests), len(f.log()))
	}
	known := huawei.Operations()
	for _, r := range m.requests {
		part := strings.Fields(r)
		if !slices.ContainsFunc(known, func(o huawei.Operation) bool { return o.Service == part[0] && o.Name == part[1] }) {
			t.Errorf("the meter heard of %q, which is no operation of the list", r)
		}
	}
	for _, o := range known {
		want := 200
		switch {
		case o.Name == "CreateTemporaryAccessKeyByAgency":
			want = 201
		case strings.HasPrefix(o.Name, "Associate"), strings.HasPrefix(o.Name, "Remove"), strings.HasPrefix(o.Name, "Revoke"):
			want = 204
		}
		if o.Success != want {
			t.Errorf("%s succeeds with %d, want %d", o.Name, o.Success, want)
		}
	}
	if !slices.Equal(m.refreshed, []string{"iam came"}) || len(m.rejected) > 0 {
		t.Errorf("refreshed %q, rejected %q", m.refreshed, m.rejected)
	}
}

// TestRejectionsAreCountedOnce has for each reason answers that may not be believed, found by the wire or by what reads
// above it, and looks at what the meter and the operator hear.
func TestRejectionsAreCountedOnce(t *testing.T) {
	id := accountID(0)
	raw := func(head, body string) answerFunc {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			conn, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			fmt.Fprintf(buf, "HTTP/1.1 %s\r\nConnection: close\r\n\r\n%s", strings.ReplaceAll(head, "\n", "\r\n"), body)
			_ = buf.Flush()
			_ = conn.Close()
		}
	}
	headed := func(key string, values ...string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			rec := httptest.NewRecorder()
			truth(rec, r)
			maps.Copy(w.Header(), rec.Header())
			w.Header()[key] = values
			w.WriteHeader(rec.Code)
			_, _ = w.Write(rec.Body.Bytes())
		}
	}
	row := func(n int) string {
		return fmt.Sprintf(`{"agency":{"id":"%s"},"role":{"id":"%s"},"scope":{"project":{"id":"p%d"}},"is_inherited":false}`, id32(agencyFrom), id32(roleGuest), n)
	}
	rows := func(from, to int) string {
		var list []string
		for n := from; n < to; n++ {
			list = append(list, row(n))
		}
		return strings.Join(list, ",")
	}
	// paged answers with rows of each page, of a list that is said to have so many.
	paged := func(total func(page int) int, list func(page int) string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			page, _ := strconv.Atoi(r.URL.Query().Get("page"))
			say(200, fmt.Sprintf(`{"total_num":%d,"role_assignments":[%s]}`, total(page), list(page)))(w, r, truth)
		}
	}
	always := func(n int) func(int) int { return func(int) int { return n } }
	marked := func(next func(marker string) string, list func(marker string) []string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			marker := r.URL.Query().Get("marker")
			ids := list(marker)
			for i, id := range ids {
				ids[i] = fmt.Sprintf(`{"policy_id":"%s","policy_name":"n","urn":"","attached_at":"2025-01-01T00:00:00Z"}`, id)
			}
			say(200, fmt.Sprintf(`{"attached_policies":[%s],"page_info":{"current_count":%d,"next_marker":"%s"}}`,
				strings.Join(ids, ","), len(ids), next(marker)))(w, r, truth)
		}
	}
	heard := map[string]bool{}
	for _, tc := range []struct {
		want, name, on string
		reason         rules.Reason
		answer         answerFunc
	}{
		{"status", "202", "domain", "", restatus(202, 202)},
		{"status", "204", "domain", "", say(204, "")},
		{"status", "206", "domain", "", restatus(206, 206)},
		{"status", "304", "domain", "", say(304, "")},
		{"status", "404", "domain", "", say(404, `{"error":{"message":"x","code":404}}`)},
		{"status", "500", "assume", "", say(500, `{"error_code":"IAM.0006","error_msg":"x"}`)},
		{"redirect", "302", "attached", "", raw("302 Found\nLocation: http://169.254.169.254/latest", "")},
		{"redirect", "308", "policy", "", raw("308 Moved\nLocation: /v3/auth/domains", "")},
		{"content_type", "HTML", "domain", "", retype("text/html", nil)},
		{"content_type", "none", "domain", "", raw("200 OK\nContent-Length: 2", "{}")},
		{"content_type", "two", "domain", "", headed("Content-Type", "application/json", "text/html")},
		{"encoding", "gzip", "domain", "", headed("Content-Encoding", "gzip")},
		{"encoding", "a second one", "domain", "", headed("Content-Encoding", "identity", "gzip")},
		{"too_large", "announced", "domain", "", edit(func(b string) string { return b + strings.Repeat(" ", 1<<20) })},
		{"too_large", "not announced", "domain", "", raw("200 OK\nContent-Type: application/json", "{"+strings.Repeat(" ", 1<<20))},
		{"too_large", "one text", "policy", "", edit(func(b string) string { return `{"x":"` + strings.Repeat("x", 65537) + `",` + b[1:] })},
		{"short_body", "by a byte", "domain", rules.ReasonIncomplete, shortBody},
		{"short_body", "by a chunk", "domain", rules.ReasonIncomplete, raw("200 OK\nContent-Type: application/json\nTransfer-Encoding: chunked", "2\r\n{}\r\n")},
		{"json", "truncated", "domain", "", edit(func(b string) string { return b[:len(b)/2] })},
		{"json", "trailing bytes", "domain", "", edit(func(b string) string { return b + "{}" })},
		{"json", "a NUL at the end", "domain", "", edit(func(b string) string { return b + "\x00" })},
		{"json", "a byte order mark", "domain", "", edit(func(b string) string { return "\ufeff" + b })},
		{"json", "member twice", "attached", "", edit(func(b string) string { return `{"attached_policies":[],` + b[1:] })},
		{"json", "not UTF-8", "domain", "", edit(func(b string) string { return "{\"x\":\"\xff\"," + b[1:] })},
		{"json", "half a pair of surrogates", "domain", "", edit(func(b string) string { return `{"x":"\ud83d",` + b[1:] })},
		{"json", "deep", "domain", "", edit(func(b string) string {
			return `{"x":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + "," + b[1:]
		})},
		{"json", "deep and large", "domain", "", edit(func(b string) string {
			return `{"x":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + "," + b[1:]
		})},
		{"envelope", "empty, of no type", "domain", "", raw("200 OK\nContent-Length: 0", "")},
		{"envelope", "empty, of no length", "domain", "", raw("200 OK", "")},
		{"envelope", "{}", "domain", "", say(200, "{}")},
		{"envelope", "null", "agencies", "", say(200, "null")},
		{"envelope", "null list", "agencies", "", say(200, `{"agencies":null}`)},
		{"envelope", "list in capitals", "agencies", "", edit(func(b string) string { return strings.Replace(b, "agencies", "Agencies", 1) })},
		{"envelope", "a count that is none", "domain", "", edit(func(b string) string { return strings.Replace(b, `"total_num":1`, `"total_num":1.0`, 1) })},
		{"envelope", "a count below zero", "domain", "", edit(func(b string) string { return strings.Replace(b, `"total_num":1`, `"total_num":-1`, 1) })},
		{"envelope", "a count without end", "domain", "", edit(func(b string) string { return strings.Replace(b, `"total_num":1`, `"total_num":1e999`, 1) })},
		{"error_envelope", "error of IAM", "domain", "", say(200, `{"error_code":"IAM.0006","error_msg":"x"}`)},
		{"error_envelope", "error and rows", "domain", "", edit(func(b string) string { return `{"error":{"code":500},` + b[1:] })},
		{"item", "no id", "agencies", "", swap(id32(agencyFrom), "")},
		{"item", "an id that is a path", "catalogue", "", swap(id32(7), "../7")},
		{"item", "one id twice", "catalogue", "", swap(id32(7), id32(8))},
		{"item", "foreign row", "agencies", "", swap(`"domain_id":"`+id, `"domain_id":"`+accountID(1))},
		{"item", "grant of another agency", "domain", "", swap(id32(agencyFrom), id32(0xdead))},
		{"item", "a type that only the SDK knows", "attached", "", swap(`"2025-01-01T00:00:00Z"`, `{}`)},
		{"item", "a marker that is none", "attached", "", marked(func(string) string { return "a b" }, func(string) []string { return nil })},
		{"item", "a marker without end", "attached", "", marked(func(string) string { return strings.Repeat("x", 401) }, func(string) []string { return nil })},
		{"item", "half a key", "assume", "", swap(`"canary-temporary-secret"`, `""`)},
		{"item", "a key without end", "assume", "", swap(`"expires_at"`, `"expires"`)},
		{"too_many_items", "200,000 rows", "project", "", paged(always(200000), func(int) string { return rows(0, 200000) })},
		{"too_many_items", "one row too many", "project", "", paged(always(51), func(int) string { return rows(0, 51) })},
		{"too_many_items", "no end", "project", rules.ReasonBudget, paged(always(1e9), func(n int) string { return row(n) })},
		{"too_many_items", "many keys", "policy", "", edit(func(b string) string {
			var keys strings.Builder
			for n := range 129 {
				fmt.Fprintf(&keys, `"a%d":0,`, n)
			}
			return `{"x":{` + keys.String() + `"b":0},` + b[1:]
		})},
		{"too_many_items", "a hundred thousand values", "catalogue", "", edit(func(b string) string { return `{"x":[` + strings.Repeat("0,", 1e5) + "0]," + b[1:] })},
		{"too_many_items", "twenty thousand objects", "catalogue", "", edit(func(b string) string { return `{"x":[` + strings.Repeat("{},", 2e4) + "0]," + b[1:] })},
		{"too_many_items", "a long name", "policy", "", edit(func(b string) string { return `{"` + strings.Repeat("x", 257) + `":0,` + b[1:] })},
		{"page_loop", "the first page again", "project", "", paged(always(99), func(int) string { return rows(0, 50) })},
		{"page_loop", "one of three again", "project", "", paged(always(150), func(n int) string { return rows(n%3*40, n%3*40+40) })},
		{"page_loop", "the first page again under new names", "attached", "", marked(func(m string) string { return m + "x" }, func(string) []string { return []string{"a", "b"} })},
		{"page_loop", "one name again", "attached", "", marked(func(string) string { return "x" }, func(string) []string { return nil })},
		{"page_loop", "the catalogue's first page again", "catalogue", "", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			r.URL.RawQuery = "page=1&per_page=300"
			truth(w, r)
		}},
		{"unstable_paging", "overlap", "project", rules.ReasonIncomplete, paged(always(99), func(n int) string { return rows(n*49-49, n*49+1) })},
		{"unstable_paging", "overlap of named pages", "attached", rules.ReasonIncomplete, marked(func(m string) string { return m + "x" }, func(m string) []string {
			return []string{fmt.Sprint(len(m)), fmt.Sprint(len(m) + 1)}
		})},
		{"unstable_paging", "a count that grows", "project", rules.ReasonIncomplete, paged(func(n int) int { return 100 + n }, func(n int) string { return rows(n*50, n*50+50) })},
		{"unstable_paging", "the catalogue overlaps", "catalogue", rules.ReasonIncomplete, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			edit(func(b string) string {
				return strings.Replace(b, id32(300), id32(299), 1)
			})(w, r, truth)
		}},
		{"count_mismatch", "v5", "attached", rules.ReasonDisagree, swap(`"current_count":1`, `"current_count":2`)},
		{"witness_mismatch", "fewer than shown", "domain", rules.ReasonDisagree, swap(`"total_num":1`, `"total_num":0`)},
		{"witness_mismatch", "more than shown", "inherited", rules.ReasonDisagree, swap(`"total_num":2`, `"total_num":3`)},
		{"witness_mismatch", "a catalogue that changes", "catalogue", rules.ReasonIncomplete, func() answerFunc {
			var pages atomic.Int32
			return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				if pages.Add(1) > 4 {
					edit(func(b string) string { return strings.Replace(b, `"Tenant Guest"`, `"Guest"`, 1) })(w, r, truth)
					return
				}
				truth(w, r)
			}
		}()},
		{"witness_mismatch", "a list without the way in", "agencies", rules.ReasonIncomplete, edit(func(string) string { return `{"agencies":[]}` })},
		{"other", "", "", "", nil},
	} {
		heard[tc.want] = true
		if tc.answer == nil {
			continue
		}
		t.Run(tc.want+"/"+tc.name, func(t *testing.T) {
			f := newFake(t, 1)
			a := f.accounts[id]
			a.grants["inherited"] = append(a.grants["inherited"], fakeGrant{id32(9001), id})
			a.custom[id32(9001)] = custom(9001, id)
			a.attached = []map[string]any{{"policy_id": "v5a", "policy_name": "x", "urn": "", "attached_at": "2025-01-01T00:00:00Z"}}
			m := &meter{}
			cfg := f.assuming()
			cfg.Meter, cfg.MaxBody, cfg.MaxPages = m, 1<<20, 20
			c, _ := open(t, cfg)
			f.lie(tc.on, tc.answer)
			u := unknown(t, c, 0, cmp.Or(tc.reason, rules.ReasonRejected))
			if !slices.Equal(m.rejected, []string{tc.want}) {
				t.Errorf("the meter heard %q, want %q once", m.rejected, tc.want)
			}
			if !strings.HasSuffix(u.Detail, "; rejected: "+tc.want) {
				t.Errorf("the operator is told %q, want %q", u.Detail, tc.want)
			}
		})
	}
	f, cfg := needsEverything(t)
	m := &meter{}
	cfg.Meter = m
	c, _ := open(t, cfg)
	f.lie("globalRoles", say(200, `{"roles":[{"id":"x","name":"n"}]}`))
	u := unknown(t, c, 0, rules.ReasonDisagree)
	if !slices.Equal(m.rejected, []string{"witness_mismatch"}) || !strings.HasSuffix(u.Detail, "; rejected: witness_mismatch") {
		t.Errorf("two witnesses that contradict each other: %q, %v", m.rejected, u)
	}
	if got := slices.Sorted(maps.Keys(heard)); !slices.Equal(got, slices.Sorted(slices.Values(huawei.Rejections()))) {
		t.Errorf("tried %q of %q", got, huawei.Rejections())
	}
}

// TestMeterHearsOfRefusedKeysAndOfSilence: a refused assume is no refresh, and a request without answer has no code.
func TestMeterHearsOfRefusedKeysAndOfSilence(t *testing.T) {
	f := newFake(t, 1)
	f.lie("assume", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		f.keystone(w, 403, "no")
	})
	m := &meter{}
	cfg := f.assuming()
	cfg.Meter = m
	c, _ := open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err == nil {
		t.Fatal("the account was read")
	}
	if !slices.Equal(m.refreshed, []string{"iam refused"}) {
		t.Errorf("refreshed %q", m.refreshed)
	}
	f.lie("assume", func(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic(http.ErrAbortHandler) })
	m.requests = nil
	_, _, _ = c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if !slices.Contains(m.requests, "iam CreateTemporaryAccessKeyByAgency ") {
		t.Errorf("requests %q, want one without a code", m.requests)
	}
}

// TestMeterHearsHowFarTheClockIsOff by the Date of the cloud's answers, however they end.
func TestMeterHearsHowFarTheClockIsOff(t *testing.T) {
	f := newFake(t, 1)
	m := &meter{}
	cfg := f.config()
	cfg.Meter = m
	cfg.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	c, _ := open(t, cfg)
	_, _, _ = c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if len(m.skews) == 0 || slices.ContainsFunc(m.skews, func(d time.Duration) bool { return d < 19*time.Minute || d > 21*time.Minute }) {
		t.Errorf("skews %v, want about 20 minutes", m.skews)
	}
}

package simcloud_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// failing has an organization's cloud fail.
func failing(failures ...simcloud.Failure) func(*simcloud.Organization) {
	return func(o *simcloud.Organization) { o.Settings.Failures = failures }
}

// arrived is what came over a connection of its own, byte for byte, and how that ended.
type arrived struct {
	reply
	length int64
	err    error
}

// over asks over a real connection. An error before the headers leaves the status at 0.
func over(t testing.TB, at string, q request) arrived {
	t.Helper()
	r := q.build()
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	r.RequestURI, r.URL.Host, r.URL.Scheme = "", u.Host, "http"
	answer, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(r)
	if err != nil {
		return arrived{err: err}
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	return arrived{reply{answer.StatusCode, answer.Header, string(body)}, answer.ContentLength, err}
}

// wants checks an answer that arrived whole.
func (a arrived) wants(t *testing.T, status int, kind, body string) {
	t.Helper()
	if a.err != nil || a.status != status || a.header.Get("Content-Type") != kind || a.body != body {
		t.Errorf("%d %s %.300q, %v; want %d %s %.300q", a.status, a.header.Get("Content-Type"), a.body, a.err,
			status, kind, body)
	}
}

const isJSON = "application/json"

// carriedOut are the styles that let the request be carried out, whatever arrives of the answer.
var carriedOut = []string{"hang", "reset", "reset_mid_body", "slow_body", "drip", "short_body", "surplus", "truncated", "status_202",
	"status_204", "status_206", "status_304", "gzip", "gzip_bomb", "huge_body", "trailing_bytes", "deep_json",
	"invalid_utf8", "duplicate_key", "wrong_case_key", "wrong_type", "null_list", "empty_list", "many_rows", "no_id",
	"same_id", "foreign_rows", "count_off", "page_loop", "page_overlap", "ends_early", "missing_row", "repeated_row",
	"number_time", "foreign_keys", "expired_keys", "garbage_keys", "no_expiry", "done_500"}

// Each style is what docs/simcloud.md says, over a real connection: on a list of agencies, where nothing else is said.
func TestEveryStyleArrivesAsItIsDocumented(t *testing.T) {
	list := get(adminKey, agencies+"?domain_id="+alphaID)
	listV5 := get(adminKey, "/v5/agencies")
	changed := func(was, is string) func(*testing.T, arrived, string) {
		return func(t *testing.T, a arrived, right string) {
			if strings.Count(right, was) != 1 {
				t.Fatalf("%s is not there once in %s", was, right)
			}
			a.wants(t, 200, isJSON, strings.Replace(right, was, is, 1))
		}
	}
	status := func(status int, body bool) func(*testing.T, arrived, string) {
		return func(t *testing.T, a arrived, right string) {
			if body {
				a.wants(t, status, isJSON, right)
				return
			}
			a.wants(t, status, "", "")
		}
	}
	fixed := func(status int, kind, body string) func(*testing.T, arrived, string) {
		return func(t *testing.T, a arrived, _ string) { a.wants(t, status, kind, body) }
	}
	redirect := func(to string) func(*testing.T, arrived, string) {
		return func(t *testing.T, a arrived, _ string) {
			a.wants(t, 302, "", "")
			if got := a.header.Get("Location"); got != to {
				t.Errorf("to %s, want %s", got, to)
			}
		}
	}
	refused := func(status int, text string) func(*testing.T, arrived, string) {
		return func(t *testing.T, a arrived, _ string) { a.wantKeystone(t, status, text) }
	}
	rowsOf := func(t *testing.T, a arrived, key string) []map[string]any {
		t.Helper()
		var out map[string]json.RawMessage
		a.decode(t, &out)
		var rows []map[string]any
		if err := json.Unmarshal(out[key], &rows); err != nil || a.status != 200 || a.err != nil {
			t.Fatalf("%d %.300s, %v", a.status, a.body, err)
		}
		return rows
	}
	expired := newCloud(t)
	temporary := assume(t, expired, auditorKey, "", assumeBody(reader, "alpha", ""), time.Time{})

	type row struct {
		q     request
		check func(t *testing.T, a arrived, right string)
	}
	styles := map[string]row{
		"html_502": {list, func(t *testing.T, a arrived, _ string) {
			a.wants(t, 502, "text/html", a.body)
			if !strings.HasPrefix(a.body, "<html>") {
				t.Errorf("body %s", a.body)
			}
		}},
		"html_200": {list, func(t *testing.T, a arrived, _ string) {
			a.wants(t, 200, "text/html", a.body)
			if !strings.HasPrefix(a.body, "<html>") {
				t.Errorf("body %s", a.body)
			}
		}},
		"empty_200":         {list, fixed(200, "", "")},
		"object_200":        {list, fixed(200, isJSON, "{}")},
		"null_200":          {list, fixed(200, isJSON, "null")},
		"redirect_302":      {list, redirect("https://iam." + region + ".myhuaweicloud.com/maintenance")},
		"redirect_metadata": {list, redirect("http://169.254.169.254/openstack/latest/securitykey")},

		"status_400": {list, refused(400, "The request is invalid")},
		"status_401": {list, func(t *testing.T, a arrived, _ string) { a.refused(t, "Unauthorized") }},
		"status_403": {list, refused(403, "identity:list_agencies")},
		"status_404": {list, refused(404, "Could not find")},
		"status_429": {list, func(t *testing.T, a arrived, _ string) {
			a.wantCode(t, 429, "APIGW.0308", "limit:1,time:1 second")
			if after, given := a.header["Retry-After"]; given {
				t.Errorf("Retry-After %s", after)
			}
		}},
		"status_500": {list, refused(500, "An unexpected error")},
		"status_503": {list, refused(503, "temporarily unavailable")},
		"error_200": {list, func(t *testing.T, a arrived, _ string) {
			a.wants(t, 200, isJSON, `{"error":{"message":"You are not authorized to perform the requested action: `+
				`identity:list_agencies","code":403,"title":"Forbidden"}}`)
		}},
		"key_expired": {temporary.get(agencies+"?domain_id="+alphaID, time.Time{}),
			func(t *testing.T, a arrived, _ string) { a.refused(t, "token expires") }},

		"reset": {list, func(t *testing.T, a arrived, _ string) {
			if a.status != 0 || !errors.Is(a.err, syscall.ECONNRESET) && !errors.Is(a.err, io.EOF) {
				t.Errorf("%d, %v", a.status, a.err)
			}
		}},
		"reset_mid_body": {list, func(t *testing.T, a arrived, right string) {
			if a.status != 200 || a.length != int64(len(right)) || a.body != right[:len(right)/2] ||
				!errors.Is(a.err, syscall.ECONNRESET) {
				t.Errorf("%d %q of %d, %v", a.status, a.body, a.length, a.err)
			}
		}},
		"short_body": {list, func(t *testing.T, a arrived, right string) {
			if a.status != 200 || a.length != int64(len(right))+1 || a.body != right || !errors.Is(a.err, io.ErrUnexpectedEOF) {
				t.Errorf("%d %q of %d, %v", a.status, a.body, a.length, a.err)
			}
		}},
		"surplus": {list, func(t *testing.T, a arrived, right string) { a.wants(t, 200, isJSON, right) }},
		"truncated": {list, func(t *testing.T, a arrived, right string) {
			a.wants(t, 200, isJSON, right[:len(right)/2])
			if a.length != int64(len(right)/2) {
				t.Errorf("length %d", a.length)
			}
		}},

		"status_202": {list, status(202, true)},
		"status_204": {list, status(204, false)},
		"status_206": {list, status(206, true)},
		"status_304": {list, status(304, false)},

		"gzip": {list, func(t *testing.T, a arrived, right string) {
			r, err := gzip.NewReader(strings.NewReader(a.body))
			if err != nil || a.status != 200 || a.header.Get("Content-Encoding") != "gzip" {
				t.Fatalf("%d %v, %v", a.status, a.header, err)
			}
			if body, err := io.ReadAll(r); err != nil || string(body) != right {
				t.Errorf("%s, %v", body, err)
			}
		}},
		"trailing_bytes": {list, func(t *testing.T, a arrived, right string) { a.wants(t, 200, isJSON, right+" {}") }},
		"deep_json": {list, func(t *testing.T, a arrived, right string) {
			a.wants(t, 200, isJSON, `{"nested":`+strings.Repeat("[", 100_000)+strings.Repeat("]", 100_000)+","+right[1:])
		}},
		"invalid_utf8": {list, func(t *testing.T, a arrived, right string) {
			names := regexp.MustCompile(`("name":"[^"]*)"`)
			if len(names.FindAllString(right, -1)) != 4 {
				t.Fatalf("names in %s", right)
			}
			a.wants(t, 200, isJSON, names.ReplaceAllString(right, "$1\xff\""))
		}},
		"duplicate_key": {list, func(t *testing.T, a arrived, right string) {
			a.wants(t, 200, isJSON, strings.TrimSuffix(right, "}")+`,"agencies":[]}`)
		}},
		"wrong_case_key": {list, changed(`{"agencies":`, `{"AGENCIES":`)},
		"wrong_type": {list, func(t *testing.T, a arrived, right string) {
			rows := strings.TrimSuffix(strings.TrimPrefix(right, `{"agencies":`), "}")
			a.wants(t, 200, isJSON, `{"agencies":`+encode(t, rows)+`}`)
		}},

		"null_list": {list, fixed(200, isJSON, `{"agencies":null}`)},
		"empty_list": {get(adminKey, "/v5/agencies?limit=2"),
			fixed(200, isJSON, `{"agencies":[],"page_info":{"current_count":0}}`)},
		"no_id": {list, changed(`"id":"`+foreignID+`",`, "")},
		"same_id": {listV5, func(t *testing.T, a arrived, _ string) {
			rows := rowsOf(t, a, "agencies")
			twin := maps.Clone(rows[3])
			twin["agency_name"] = "Foreign-2"
			if len(rows) != 5 || !reflect.DeepEqual(rows[4], twin) || !strings.Contains(a.body, `"current_count":5`) {
				t.Errorf("body %s", a.body)
			}
		}},
		"foreign_rows": {list, func(t *testing.T, a arrived, right string) {
			if strings.Count(right, alphaID) != 8 { // in domain_id and agency_urn
				t.Fatal(right)
			}
			a.wants(t, 200, isJSON, strings.ReplaceAll(right, alphaID, betaID))
		}},
		"count_off": {listV5, changed(`"current_count":4`, `"current_count":5`)},
		"page_loop": {get(adminKey, assignments+"?scope=domain&is_inherited=true&domain_id="+alphaID+"&page=9&per_page=1"),
			func(t *testing.T, a arrived, _ string) {
				right := get(adminKey, strings.Replace(assignments+"?scope=domain&is_inherited=true&domain_id="+alphaID+
					"&page=9&per_page=1", "=9", "=1", 1)).send(t, newCloud(t)).body
				a.wants(t, 200, isJSON, strings.Replace(right, `"total_num":3`, `"total_num":3000`, 1))
			}},
		"ends_early": {get(adminKey, assignments+"?scope=domain&is_inherited=true&domain_id="+alphaID+"&page=1&per_page=2"),
			changed(`"total_num":3`, `"total_num":2`)},
		"missing_row": {listV5, func(t *testing.T, a arrived, _ string) {
			if rows := rowsOf(t, a, "agencies"); len(rows) != 3 || !strings.Contains(a.body, `"current_count":3`) {
				t.Errorf("body %s", a.body)
			}
		}},
		"repeated_row": {listV5, func(t *testing.T, a arrived, _ string) {
			rows := rowsOf(t, a, "agencies")
			if len(rows) != 5 || !reflect.DeepEqual(rows[4], rows[3]) || !strings.Contains(a.body, `"current_count":5`) {
				t.Errorf("body %s", a.body)
			}
		}},
		"number_time": {get(adminKey, orgs+"/accounts"), func(t *testing.T, a arrived, right string) {
			at := `"joined_at":"2024-09-02T06:11:27Z"`
			i := strings.LastIndex(right, at)
			a.wants(t, 200, isJSON, right[:i]+fmt.Sprintf(`"joined_at":%d`, begin.UnixMilli())+right[i+len(at):])
		}},
		"page_overlap": {get(adminKey, agencies+"?page=2&per_page=3&domain_id="+alphaID),
			func(t *testing.T, a arrived, _ string) {
				if got := names(t, a.reply); !slices.Equal(got, []string{"Expired", "Foreign"}) {
					t.Errorf("page 2 has %s", got)
				}
			}},
	}
	elsewhere := []string{
		"hang", "slow_body", "drip", // TestWhatNeverEnds
		"huge_body", "gzip_bomb", "many_rows", // TestWhatIsTooLarge
		"foreign_keys", "expired_keys", "garbage_keys", "no_expiry", // TestWrongKeys
		"not_done", "done_500", // TestWritesThatAreNotWhatTheyAreCalled
	}
	for _, style := range simcloud.Styles() {
		tt, ok := styles[style]
		if !ok {
			if !slices.Contains(elsewhere, style) {
				t.Errorf("%s is not tested", style)
			}
			continue
		}
		t.Run(style, func(t *testing.T) {
			c := newCloud(t)
			right := list.send(t, c).body
			if tt.q.token != "" {
				c = expired
			} else {
				right = tt.q.send(t, c).body
			}
			if err := c.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{{Style: style, Times: 1}}}); err != nil {
				t.Fatal(err)
			}
			at := serve(t, c)
			tt.check(t, over(t, at, tt.q), right)
			if tt.q.token == "" {
				over(t, at, tt.q).wants(t, 200, isJSON, right) // past its times
			}
			if got := c.Failures(); len(got) != 1 || got[0].Failed != 1 || got[0].Fitted > 2 {
				t.Errorf("failures %+v", got)
			}
		})
	}
}

// pipes is a listener without a network, so that a connection can be waited for in virtual time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error { close(p.closed); return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// asker sends a request until its context ends.
type asker func(context.Context, request) (*http.Response, error)

// virtually runs in virtual time, in which a client asks the cloud. Whatever the cloud has not ended by then hangs the
// test.
func virtually(t *testing.T, c *simcloud.Cloud, do func(t *testing.T, ask asker)) {
	synctest.Test(t, func(t *testing.T) {
		l := pipes{make(chan net.Conn), make(chan struct{})}
		server := &http.Server{Handler: c}
		go func() { _ = server.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial, DisableKeepAlives: true, DisableCompression: true}
		do(t, func(ctx context.Context, q request) (*http.Response, error) {
			r := q.build()
			r.RequestURI, r.URL.Host, r.URL.Scheme = "", "cloud", "http"
			return transport.RoundTrip(r.WithContext(ctx))
		})
		synctest.Wait()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
}

// What never ends, or takes its time, is over as soon as the client has had enough.
func TestWhatNeverEnds(t *testing.T) {
	right := get(adminKey, domains).send(t, newCloud(t)).body
	status := func(c *simcloud.Cloud) string { return fmt.Sprint(c.Counters()) }
	t.Run("hang", func(t *testing.T) {
		c := newCloud(t, failing(simcloud.Failure{Style: "hang"}))
		virtually(t, c, func(t *testing.T, ask asker) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			begin := time.Now()
			if r, err := ask(ctx, get(adminKey, domains)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, %v", r, err)
			}
			if d := time.Since(begin); d != time.Hour {
				t.Errorf("ended after %v", d)
			}
		})
		if got := status(c); !strings.Contains(got, "KeystoneListAuthDomains 0 map[0:1]") {
			t.Errorf("counters %s", got)
		}
	})
	t.Run("slow_body", func(t *testing.T) {
		c := newCloud(t, failing(simcloud.Failure{Style: "slow_body"}))
		virtually(t, c, func(t *testing.T, ask asker) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			r, err := ask(ctx, get(adminKey, domains))
			if err != nil || r.StatusCode != 200 || r.ContentLength != int64(len(right)) {
				t.Fatalf("%v, %v", r, err)
			}
			body, err := io.ReadAll(r.Body)
			if !errors.Is(err, context.DeadlineExceeded) || string(body) != right[:len(right)/2] {
				t.Errorf("%q, %v", body, err)
			}
		})
		if got := status(c); !strings.Contains(got, "KeystoneListAuthDomains 1 map[]") {
			t.Errorf("counters %s", got)
		}
	})
	drip := newCloud(t, failing(simcloud.Failure{Style: "drip"}))
	t.Run("drip", func(t *testing.T) {
		virtually(t, drip, func(t *testing.T, ask asker) {
			begin := time.Now()
			r, err := ask(t.Context(), get(adminKey, domains))
			if err != nil || r.ContentLength != int64(len(right)) || time.Since(begin) != 0 {
				t.Fatalf("%v after %v, %v", r, time.Since(begin), err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != right || time.Since(begin) != time.Duration(len(right))*time.Second {
				t.Errorf("%q after %v, %v", body, time.Since(begin), err)
			}
		})
	})
	t.Run("drip, given up", func(t *testing.T) {
		virtually(t, drip, func(t *testing.T, ask asker) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second+time.Millisecond)
			defer cancel()
			r, err := ask(ctx, get(adminKey, domains))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(r.Body); !errors.Is(err, context.DeadlineExceeded) || string(body) != right[:10] {
				t.Errorf("%q, %v", body, err)
			}
		})
	})
}

// ends reads without keeping more than the first bytes and the last, and counts quotes and backslashes.
type ends struct {
	n, marks    int64
	first, last []byte
}

const endSize = 4 << 10

func (e *ends) Write(p []byte) (int, error) {
	if room := endSize - len(e.first); room > 0 {
		e.first = append(e.first, p[:min(room, len(p))]...)
	}
	e.n += int64(len(p))
	e.marks += int64(bytes.Count(p, []byte(`"`)) + bytes.Count(p, []byte(`\`)))
	if e.last == nil {
		e.last = make([]byte, 0, 2*endSize)
	}
	e.last = append(e.last, p[max(0, len(p)-endSize):]...)
	e.last = append(e.last[:0], e.last[max(0, len(e.last)-endSize):]...)
	return len(p), nil
}

// What is too large is valid all the same, and costs the cloud next to no memory.
func TestWhatIsTooLarge(t *testing.T) {
	list := get(adminKey, agencies+"?domain_id="+alphaID)
	right := list.send(t, newCloud(t)).body
	// ask reads the answer of a style, unpacked, and returns how much memory that took.
	ask := func(t *testing.T, style string, q request, into io.Writer) (*http.Response, uint64) {
		t.Helper()
		c := newCloud(t, failing(simcloud.Failure{Style: style}))
		r := q.build()
		u, _ := url.Parse(serve(t, c))
		r.RequestURI, r.URL.Host, r.URL.Scheme = "", u.Host, "http"
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		answer, err := (&http.Transport{DisableKeepAlives: true, DisableCompression: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		body := io.Reader(answer.Body)
		if answer.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.Copy(into, body); err != nil || answer.StatusCode != 200 ||
			answer.Header.Get("Content-Type") != isJSON {
			t.Fatalf("%v, %v", answer, err)
		}
		runtime.ReadMemStats(&after)
		return answer, after.TotalAlloc - before.TotalAlloc
	}
	const frugal = 8 << 20
	t.Run("huge_body", func(t *testing.T) {
		var got ends
		r, memory := ask(t, "huge_body", list, &got)
		if r.ContentLength != -1 || got.n != 256<<20 || memory > frugal {
			t.Errorf("length %d, %d bytes, %d of memory", r.ContentLength, got.n, memory)
		}
		if !bytes.HasPrefix(got.first, []byte(`{"padding":"padding.padding`)) || !bytes.HasSuffix(got.last, []byte(`",`+right[1:])) {
			t.Errorf("%.40s … %s", got.first, got.last)
		}
		if marks := int64(strings.Count(right, `"`) + 4); got.marks != marks {
			t.Errorf("%d quotes, want %d: what is in between is no string", got.marks, marks)
		}
	})
	t.Run("gzip_bomb", func(t *testing.T) {
		over(t, serve(t, newCloud(t, failing(simcloud.Failure{Style: "gzip_bomb"}))), list) // made by now
		var got ends
		r, memory := ask(t, "gzip_bomb", list, &got)
		if r.ContentLength < 254<<10 || r.ContentLength > 256<<10 || got.n != int64(256<<20+len(right)) || memory > frugal {
			t.Errorf("length %d, %d bytes, %d of memory", r.ContentLength, got.n, memory)
		}
		if strings.TrimLeft(string(got.first), " ") != "" || strings.TrimLeft(string(got.last), " ") != right {
			t.Errorf("%.40q … %s", got.first, got.last)
		}
	})
	t.Run("many_rows", func(t *testing.T) {
		for name, tt := range map[string]struct {
			q   request
			own int
			// id is what the id of a row follows, and count what is said of all rows.
			id, count string
		}{
			"domains": {get(adminKey, domains), 1, `{"id":"`, ""},
			"role assignments": {get(adminKey, assignments+"?scope=domain&is_inherited=true&domain_id="+alphaID), 3,
				`"role":{"id":"`, `"total_num":200000`},
			"nothing": {get(adminKey, assignments+"?scope=project&role_id=none&domain_id="+alphaID), 0,
				`"role":{"id":"`, `"total_num":200000`},
		} {
			var body bytes.Buffer
			r, _ := ask(t, "many_rows", tt.q, &body)
			if r.ContentLength != -1 || !strings.Contains(body.String(), tt.count) || tt.own == 0 && !json.Valid(body.Bytes()) {
				t.Errorf("%s: length %d, %.400s", name, r.ContentLength, body.String())
			}
			ids := map[string]bool{}
			for part := range strings.SplitSeq(body.String(), tt.id) {
				if id, _, isRow := strings.Cut(part[:min(len(part), 40)], `"`); isRow && len(id) == 32 {
					ids[id] = true
				}
			}
			if rows := strings.Count(body.String(), tt.id); rows != 200_000 || len(ids) != 200_000 {
				t.Errorf("%s: %d rows, %d ids", name, rows, len(ids))
			}
			own := firstRows(t, tt.q.send(t, newCloud(t)).body, tt.own)
			all := firstRows(t, body.String(), tt.own+1)
			if !slices.Equal(all[:tt.own], own) {
				t.Errorf("%s: %s, want %s", name, all, own)
			}
			id := regexp.MustCompile(`("role":{)?"id":"[0-9a-f]{32}"`)
			if tt.own > 0 && id.ReplaceAllString(all[tt.own], "$1") != id.ReplaceAllString(own[0], "$1") {
				t.Errorf("%s: a copy is %s, of %s", name, all[tt.own], own[0])
			}
		}
	})
}

// firstRows returns the first rows of the list in a body.
func firstRows(t *testing.T, body string, n int) []string {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(body[strings.IndexByte(body, '['):]))
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
	var out []string
	for range n {
		var row json.RawMessage
		if err := d.Decode(&row); err != nil {
			t.Fatalf("%.400s: %v", body, err)
		}
		out = append(out, string(row))
	}
	return out
}

// everything has agencies that alpha's users may assume, so that each operation can be asked for as alpha.
func everything(o *simcloud.Organization) {
	o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
		simcloud.Agency{Name: "ToAlpha", Trust: simcloud.Trust{Name: "alpha"}})
}

// everyRequest is one good request of each operation, in an order in which they can follow each other. Policies are the
// custom ones, which are counted.
func everyRequest(t *testing.T, c *simcloud.Cloud) map[string]request {
	out := map[string]request{
		"KeystoneListProjects": {target: "/v3/projects"}, "KeystoneListAuthProjects": {target: "/v3/auth/projects"},
		"KeystoneListAuthDomains": {target: domains}, "KeystoneListRegions": {target: "/v3/regions"},
		"GetCallerIdentity": {target: "/v5/caller-identity"},
	}
	for name, q := range out {
		q.method = "GET"
		out[name] = q
	}
	for _, a := range actions(t, c) {
		out[a.operation] = a.q
	}
	for name, q := range out {
		q.key = adminKey
		if name == "KeystoneListPermissions" {
			q.target += "?domain_id=" + alphaID
		}
		out[name] = q
	}
	return out
}

// writer takes an answer within the process, and is gone after the first MiB of it.
type writer struct {
	header http.Header
	status int
	n      int
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) { w.status = status }

func (w *writer) Write(p []byte) (int, error) {
	if w.n += len(p); w.n > 1<<20 {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

// serveGone serves a request whose client is gone, and says what it was sent all the same and whether the connection was
// cut.
func serveGone(c *simcloud.Cloud, q request) (w *writer, cut bool) {
	w = &writer{header: http.Header{}}
	defer func() {
		if x := recover(); x != nil {
			cut = true
			if err, _ := x.(error); !errors.Is(err, http.ErrAbortHandler) {
				panic(x)
			}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.ServeHTTP(w, q.build().WithContext(ctx))
	return w, false
}

// Each style fails each operation for which it makes sense and passes over all others; to name one of these is a fault
// of the settings. The journal holds what was carried out, and nothing else.
func TestEveryStyleAtEveryOperation(t *testing.T) {
	all := everyRequest(t, newCloud(t))
	paged := []string{"ListAgencies", "ShowDomainRoleAssignments", "KeystoneListPermissions", "ListCustomPolicies",
		"KeystoneListProjects", "ListEnterpriseProject", "ListAgenciesV5", "ListAttachedAgencyPoliciesV5", "ListRoots",
		"ListOrganizationalUnits", "ListAccounts", "ListEntities", "ListTagsForResource", "ListDelegatedAdministrators"}
	ownerless := []string{"ListAllProjectsPermissionsForAgency", "KeystoneListRegions", "ListEnterpriseProject", "ListEntities",
		"ListTagsForResource"}
	type facts struct{ body, list, count, pages, owner, writes, time, keys, grants bool }
	about := map[string]facts{}
	for _, name := range simcloud.OperationNames() {
		c := newCloud(t, everything)
		q, ok := all[name]
		if !ok {
			t.Fatalf("%s is not asked for", name)
		}
		r := q.send(t, c)
		if r.status >= 300 {
			t.Fatalf("%s: %d %s", name, r.status, r.body)
		}
		var body map[string]any
		_ = json.Unmarshal([]byte(r.body), &body) // of which there may be none
		f := facts{body: body != nil, pages: slices.Contains(paged, name), writes: len(c.Journal()) > 0}
		for key, value := range body {
			_, list := value.([]any)
			f.list = f.list || list
			f.count = f.count || strings.HasPrefix(key, "total_") || key == "page_info"
		}
		f.time = f.list && strings.HasPrefix(q.target, orgs) && strings.Contains(r.body, `_at":`)
		f.grants = f.writes && !f.body && name != "DeleteAgency"
		f.keys = name == "AssumeAgency" || name == "CreateTemporaryAccessKeyByAgency"
		f.owner = f.list && !slices.Contains(ownerless, name)
		about[name] = f
	}
	needs := map[string]func(facts) bool{"key_expired": func(facts) bool { return true }}
	for need, styles := range map[*func(facts) bool][]string{
		ptr(func(f facts) bool { return f.body }): {"reset_mid_body", "slow_body", "drip", "short_body", "surplus", "truncated", "gzip",
			"gzip_bomb", "huge_body", "trailing_bytes", "deep_json", "invalid_utf8", "duplicate_key", "wrong_case_key",
			"wrong_type"},
		ptr(func(f facts) bool { return f.list }): {"null_list", "empty_list", "many_rows", "no_id", "same_id", "missing_row",
			"repeated_row"},
		ptr(func(f facts) bool { return f.grants }): {"not_done", "done_500"},
		ptr(func(f facts) bool { return f.time }):   {"number_time"},
		ptr(func(f facts) bool { return f.keys }):   {"foreign_keys", "expired_keys", "garbage_keys", "no_expiry"},
		ptr(func(f facts) bool { return f.count }):  {"count_off"},
		ptr(func(f facts) bool { return f.owner }):  {"foreign_rows"},
		ptr(func(f facts) bool { return f.pages }):  {"page_loop", "page_overlap", "ends_early"},
	} {
		for _, style := range styles {
			needs[style] = *need
		}
	}
	names := simcloud.OperationNames() // in which an update of an agency comes before its end
	settings := newCloud(t)
	for _, style := range simcloud.Styles() {
		c := newCloud(t, everything, failing(simcloud.Failure{Style: style}))
		for _, name := range names {
			f := about[name]
			fits := needs[style] == nil || needs[style](f)
			err := settings.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{{Style: style, Operation: name}}})
			if (err == nil) != fits {
				t.Errorf("%s named for %s: %v", name, style, err)
			} else if err != nil && !strings.Contains(err.Error(), `$.settings.failures[0].style: is "`+style+`", which needs `) {
				t.Errorf("%s named for %s: %v", name, style, err)
			}
			if style == "key_expired" {
				fits = false // for the key that asks is not a temporary one
			}
			failures, writes := c.Failures()[0], len(c.Journal())
			w, cut := serveGone(c, all[name])
			if ends := slices.Contains([]string{"hang", "reset", "reset_mid_body", "slow_body", "drip"}, style); cut != (ends && fits) {
				t.Errorf("%s at %s: cut %t", style, name, cut)
			}
			if w.n > 2<<20 {
				t.Errorf("%s at %s: %d bytes went to a client that is gone", style, name, w.n)
			}
			failed := c.Failures()[0].Failed - failures.Failed
			if (failed == 1) != fits || c.Failures()[0].Fitted-failures.Fitted != failed {
				t.Errorf("%s at %s: failed %d times, fits %t", style, name, failed, fits)
			}
			wrote := f.writes && (!fits || slices.Contains(carriedOut, style))
			if got := len(c.Journal()) - writes; (got == 1) != wrote || got > 1 {
				t.Errorf("%s at %s: %d lines of the journal, want %t", style, name, got, wrote)
			}
		}
		if !slices.Contains(carriedOut, style) && encode(t, c.Organization().Accounts) !=
			encode(t, newCloud(t, everything).Organization().Accounts) && style != "key_expired" && style != "not_done" { // for they pass over some
			t.Errorf("%s has changed something", style)
		}
	}
}

// shown is how a list looks: the key of its rows, where in a row the id is, and where its count.
var shown = map[string]struct{ key, id, count string }{
	"ListAgencies":                        {"agencies", "id", ""},
	"ListDomainPermissionsForAgency":      {"roles", "id", ""},
	"ListProjectPermissionsForAgency":     {"roles", "id", ""},
	"ListAllProjectsPermissionsForAgency": {"roles", "id", ""},
	"ShowDomainRoleAssignments":           {"role_assignments", "role.id", "total_num"},
	"KeystoneListPermissions":             {"roles", "id", "total_number"},
	"ListCustomPolicies":                  {"roles", "id", "total_number"},
	"KeystoneListProjects":                {"projects", "id", ""},
	"KeystoneListAuthProjects":            {"projects", "id", ""},
	"KeystoneListAuthDomains":             {"domains", "id", ""},
	"KeystoneListRegions":                 {"regions", "id", ""},
	"ListEnterpriseProject":               {"enterprise_projects", "id", "total_count"},
	"ListAgenciesV5":                      {"agencies", "agency_id", "page_info.current_count"},
	"ListAttachedAgencyPoliciesV5":        {"attached_policies", "policy_id", "page_info.current_count"},
	"ListRoots":                           {"roots", "id", "page_info.current_count"},
	"ListOrganizationalUnits":             {"organizational_units", "id", "page_info.current_count"},
	"ListAccounts":                        {"accounts", "id", "page_info.current_count"},
	"ListEntities":                        {"entities", "id", "page_info.current_count"},
	"ListTagsForResource":                 {"tags", "key", "page_info.current_count"},
	"ListDelegatedAdministrators":         {"delegated_administrators", "account_id", "page_info.current_count"},
}

// A spoiled list is the real one but for the one thing that is wrong with it.
func TestSpoiledListsAreTheRealOnes(t *testing.T) {
	all := everyRequest(t, newCloud(t))
	for name, l := range shown {
		q := all[name]
		decoded := func(body string) map[string]any {
			var out map[string]any
			if err := json.Unmarshal([]byte(body), &out); err != nil {
				t.Fatalf("%s: %s: %v", name, body, err)
			}
			return out
		}
		body := q.send(t, newCloud(t)).body
		right := decoded(body)
		rows := right[l.key].([]any)
		if len(rows) == 0 {
			t.Fatalf("%s has no rows", name)
		}
		last := rows[len(rows)-1]
		// want checks the answer of a style against the real one, as the change leaves it.
		want := func(style string, change func(want map[string]any)) {
			t.Helper()
			got := decoded(q.send(t, newCloud(t, failing(simcloud.Failure{Operation: name, Style: style}))).body)
			w := decoded(body)
			change(w)
			if !reflect.DeepEqual(got, w) {
				t.Errorf("%s, %s:\n%s, want\n%s", name, style, encode(t, got), encode(t, w))
			}
		}
		recount := func(w map[string]any, n func(float64) float64) {
			outer, inner, nested := strings.Cut(l.count, ".")
			switch {
			case nested:
				in := w[outer].(map[string]any)
				in[inner] = n(in[inner].(float64))
			case l.count != "":
				w[outer] = n(w[outer].(float64))
			}
		}
		want("null_list", func(w map[string]any) { w[l.key] = nil })
		want("empty_list", func(w map[string]any) {
			w[l.key] = []any{}
			recount(w, func(float64) float64 { return 0 })
		})
		want("no_id", func(w map[string]any) {
			row := w[l.key].([]any)[len(rows)-1].(map[string]any)
			if path, key, nested := strings.Cut(l.id, "."); nested {
				delete(row[path].(map[string]any), key)
			} else {
				delete(row, l.id)
			}
		})
		want("same_id", func(w map[string]any) {
			twin := decoded(encode(t, last))
			for _, key := range []string{"name", "display_name", "agency_name", "policy_name", "account_name"} {
				if s, ok := twin[key].(string); ok {
					twin[key] = s + "-2"
				}
			}
			w[l.key] = append(w[l.key].([]any), twin)
			recount(w, func(n float64) float64 { return n + 1 })
		})
		want("missing_row", func(w map[string]any) {
			w[l.key] = w[l.key].([]any)[:len(rows)-1]
			recount(w, func(n float64) float64 { return n - 1 })
		})
		want("repeated_row", func(w map[string]any) {
			w[l.key] = append(w[l.key].([]any), last)
			recount(w, func(n float64) float64 { return n + 1 })
		})
		want("wrong_case_key", func(w map[string]any) {
			w[strings.ToUpper(l.key)] = w[l.key]
			delete(w, l.key)
		})
		want("wrong_type", func(w map[string]any) {
			raw := map[string]json.RawMessage{}
			if err := json.Unmarshal([]byte(body), &raw); err != nil {
				t.Fatal(err)
			}
			w[l.key] = string(raw[l.key])
		})
		want("duplicate_key", func(w map[string]any) { w[l.key] = []any{} })
		if l.count != "" {
			want("count_off", func(w map[string]any) { recount(w, func(n float64) float64 { return n + 1 }) })
		}
	}
}

// Rows of another account or agency are the real rows in everything else.
func TestForeignRowsBelongToSomebodyElse(t *testing.T) {
	all := everyRequest(t, newCloud(t))
	for name, tt := range map[string]struct {
		own, foreign string
		n            int
	}{
		"ListAgencies":                {alphaID, betaID, 8},
		"ListAgenciesV5":              {alphaID, betaID, 4},
		"KeystoneListProjects":        {alphaID, betaID, 5},
		"KeystoneListAuthProjects":    {alphaID, betaID, 5},
		"KeystoneListAuthDomains":     {`"id":"` + alphaID, `"id":"` + betaID, 1},
		"KeystoneListPermissions":     {alphaID, betaID, 1},
		"ListCustomPolicies":          {alphaID, betaID, 1},
		"ListRoots":                   {"organizations::" + managementID, "organizations::" + betaID, 1},
		"ListOrganizationalUnits":     {"organizations::" + managementID, "organizations::" + betaID, 4},
		"ListAccounts":                {"organizations::" + managementID, "organizations::" + betaID, 4},
		"ListDelegatedAdministrators": {"organizations::" + managementID, "organizations::" + betaID, 1},
		// System-defined policies belong to nobody.
		"ListDomainPermissionsForAgency":  {`"domain_id":null`, `"domain_id":"` + betaID + `"`, 2},
		"ListProjectPermissionsForAgency": {`"domain_id":null`, `"domain_id":"` + betaID + `"`, 1},
		"ShowDomainRoleAssignments":       {`{"agency":{"id":"` + cocID, `{"agency":{"id":"` + readerID, 1},
	} {
		q := all[name]
		right := q.send(t, newCloud(t)).body
		got := q.send(t, newCloud(t, failing(simcloud.Failure{Operation: name, Style: "foreign_rows"}))).body
		// The same rows, with the owner replaced; parents of projects and links may name the account besides.
		if n := strings.Count(got, tt.foreign); n != tt.n || got == right {
			t.Errorf("%s: %d of %s, want %d: %s\n%s", name, n, tt.foreign, tt.n, got, right)
		}
		if back := strings.ReplaceAll(got, tt.foreign, tt.own); back != right {
			t.Errorf("%s: %s\nwant %s", name, got, strings.ReplaceAll(right, tt.own, tt.foreign))
		}
	}
	attached := all["ListAttachedAgencyPoliciesV5"].send(t, newCloud(t, failing(simcloud.Failure{Style: "foreign_rows"}))).body
	for _, urn := range []string{"iam::" + betaID + ":policy:audit-identity", "iam::" + betaID + ":policy:IAMReadOnlyPolicy"} {
		if !strings.Contains(attached, `"urn":"`+urn+`"`) {
			t.Errorf("%s is not among %s", urn, attached)
		}
	}
	// Users' assignments become somebody else's as well, and so do rows of an account or an agency that is alone.
	users := get(adminKey, assignments+"?scope=domain&is_inherited=true&subject=user&domain_id="+alphaID)
	right := users.send(t, newCloud(t)).body
	if got := users.send(t, newCloud(t, failing(simcloud.Failure{Style: "foreign_rows"}))).body; got == right ||
		!strings.Contains(got, `{"user":{"id":"`) {
		t.Errorf("users: %s, was %s", got, right)
	}
	alone := newCloud(t, failing(simcloud.Failure{Style: "foreign_rows"}), func(o *simcloud.Organization) {
		o.Accounts, o.Structure, o.Accounts[1].Member, o.Instances, o.Pods = o.Accounts[1:2], nil, nil, nil, nil
	})
	if got := get(betaKey, agencies+"?domain_id="+betaID).send(t, alone).body; strings.Contains(got, betaID) ||
		!strings.Contains(got, betaCOCID) {
		t.Errorf("alone: %s", got)
	}
}

// The rows of a list that has none cannot be spoiled, and what the cloud refuses is no list.
func TestFaultsOfListsNeedRows(t *testing.T) {
	nothing := get(adminKey, assignments+"?scope=project&role_id=none&domain_id="+alphaID)
	refused := get(nobodyKey, agencies+"?domain_id="+alphaID)
	right := newCloud(t)
	for _, style := range []string{"no_id", "same_id", "foreign_rows", "missing_row", "repeated_row"} {
		c := newCloud(t, failing(simcloud.Failure{Style: style}))
		if got, want := nothing.send(t, c).body, nothing.send(t, right).body; got != want {
			t.Errorf("%s: %s, want %s", style, got, want)
		}
	}
	for _, style := range simcloud.Styles() {
		spoils := slices.Contains([]string{"hang", "reset", "reset_mid_body", "slow_body", "drip", "short_body", "truncated"},
			style)
		if !slices.Contains(carriedOut, style) || spoils {
			continue
		}
		c := newCloud(t, failing(simcloud.Failure{Style: style}))
		refused.send(t, c).wantKeystone(t, 403, "identity:list_agencies")
	}
}

// Where nothing has a name, a member of its own holds what is no UTF-8. Objects are spoiled like lists.
func TestFaultsOfOtherAnswers(t *testing.T) {
	fail := func(style string) *simcloud.Cloud {
		return newCloud(t, everything, failing(simcloud.Failure{Style: style}))
	}
	all := everyRequest(t, newCloud(t))
	ra, show := all["ShowDomainRoleAssignments"], all["GetAgencyV5"]
	for _, tt := range []struct {
		style, want string
		q           request
	}{
		{"invalid_utf8", "{\"note\":\"\xff\"," + ra.send(t, newCloud(t)).body[1:], ra},
		{"duplicate_key", strings.TrimSuffix(show.send(t, newCloud(t)).body, "}") + `,"agency":{}}`, show},
		{"wrong_case_key", strings.Replace(show.send(t, newCloud(t)).body, `{"agency"`, `{"AGENCY"`, 1), show},
	} {
		if got := tt.q.send(t, fail(tt.style)).body; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.style, got, tt.want)
		}
	}
	if r := all["CreateTemporaryAccessKeyByAgency"].send(t, fail("wrong_type")); r.status != 201 ||
		!strings.HasPrefix(r.body, `{"credential":"{\"access\":`) {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What cannot be told from the form of a service's answers: each service refuses in its own.
func TestRefusalsHaveTheFormOfTheService(t *testing.T) {
	v5, ep := get(adminKey, "/v5/agencies/"+cocID), get(adminKey, "/v1.0/enterprise-projects")
	fail := func(style string) *simcloud.Cloud { return newCloud(t, failing(simcloud.Failure{Style: style})) }
	for _, q := range []request{v5, ep} {
		q.send(t, fail("status_400")).wantCode(t, 400, "APIGW.0201", "")
		q.send(t, fail("status_401")).refused(t, "Unauthorized")
		q.send(t, fail("status_429")).wantCode(t, 429, "APIGW.0308", "")
		q.send(t, fail("status_500")).wantCode(t, 500, "APIGW.0103", "")
		q.send(t, fail("status_503")).wantCode(t, 503, "APIGW.0103", "")
	}
	v5.send(t, fail("status_403")).wantCode(t, 403, "PAP5.0001", "iam:agencies:getV5")
	v5.send(t, fail("status_404")).wantCode(t, 404, "PAP5.0012", "cannot be found")
	v5.send(t, fail("error_200")).wantCode(t, 200, "PAP5.0001", "iam:agencies:getV5")
	ep.send(t, fail("status_403")).wantCode(t, 403, "EPS.0004", "")
	ep.send(t, fail("status_404")).wantCode(t, 404, "APIGW.0101", "")
	ep.send(t, fail("error_200")).wantCode(t, 200, "EPS.0004", "")

	c := newCloud(t, failing(simcloud.Failure{Style: "status_429"}), switches(func(s *simcloud.Switches) {
		s.Throttle, s.RetryAfter = "IAM.0012", true
	}))
	r := get(adminKey, domains).send(t, c)
	r.wantCode(t, 429, "IAM.0012", "Threshold: 1 times per 1 seconds")
	if after := r.header.Get("Retry-After"); after != "1" {
		t.Errorf("Retry-After %q", after)
	}
}

// A failure chooses by account, operation and query, and among these by number.
func TestFailuresChoose(t *testing.T) {
	page := func(key simcloud.Key, id, more string) request { return get(key, agencies+"?domain_id="+id+more) }
	for name, tt := range map[string]struct {
		failure simcloud.Failure
		q       request
		want    string // a digit for each request: 1 fails
	}{
		"all":          {simcloud.Failure{}, page(adminKey, alphaID, ""), "1111"},
		"skip":         {simcloud.Failure{Skip: 2}, page(adminKey, alphaID, ""), "00111"},
		"times":        {simcloud.Failure{Times: 2}, page(adminKey, alphaID, ""), "1100"},
		"skip, times":  {simcloud.Failure{Skip: 1, Times: 2}, page(adminKey, alphaID, ""), "01100"},
		"every 1":      {simcloud.Failure{Every: 1}, page(adminKey, alphaID, ""), "111"},
		"every":        {simcloud.Failure{Every: 3}, page(adminKey, alphaID, ""), "001001001"},
		"all of them":  {simcloud.Failure{Skip: 1, Every: 2, Times: 2}, page(adminKey, alphaID, ""), "0010100000"},
		"account":      {simcloud.Failure{Account: "alpha"}, page(adminKey, alphaID, ""), "1"},
		"account's id": {simcloud.Failure{Account: alphaID}, page(adminKey, alphaID, ""), "1"},
		"another":      {simcloud.Failure{Account: "alpha"}, page(betaKey, betaID, ""), "00"},
		"operation":    {simcloud.Failure{Operation: "ListAgencies"}, page(adminKey, alphaID, ""), "1"},
		"another one":  {simcloud.Failure{Operation: "ShowAgency"}, page(adminKey, alphaID, ""), "00"},
		"query": {simcloud.Failure{Query: map[string]string{"page": "2", "per_page": "1"}},
			page(adminKey, alphaID, "&page=2&per_page=1"), "1"},
		"half a query": {simcloud.Failure{Query: map[string]string{"page": "2", "per_page": "1"}},
			page(adminKey, alphaID, "&page=2&per_page=2"), "0"},
		"encoded": {simcloud.Failure{Query: map[string]string{"name": "a b/c"}}, page(adminKey, alphaID, "&name=a%20b%2Fc"),
			"1"},
		"absent": {simcloud.Failure{Query: map[string]string{"name": "x"}}, page(adminKey, alphaID, ""), "0"},
		"empty":  {simcloud.Failure{Query: map[string]string{"name": ""}}, page(adminKey, alphaID, "&name=x"), "0"},
		"empty, absent": {simcloud.Failure{Query: map[string]string{"name": ""}}, page(adminKey, alphaID, ""),
			"1"},
	} {
		tt.failure.Style = "status_503"
		c := newCloud(t, failing(tt.failure))
		got := ""
		for range tt.want {
			got += strconv.Itoa(map[int]int{200: 0, 503: 1}[tt.q.send(t, c).status])
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
		if f := c.Failures()[0]; f.Failed != strings.Count(tt.want, "1") || f.Style != "status_503" {
			t.Errorf("%s: %+v", name, f)
		}
	}

	// The first that fits is taken, and what it takes does not count for the others.
	c := newCloud(t, failing(
		simcloud.Failure{Account: "beta", Style: "status_500"},
		simcloud.Failure{Skip: 1, Times: 1, Style: "status_503"},
		simcloud.Failure{Style: "html_502"},
	))
	for i, want := range []int{502, 503, 502} {
		if r := page(adminKey, alphaID, "").send(t, c); r.status != want {
			t.Errorf("request %d: %d, want %d", i, r.status, want)
		}
		page(betaKey, betaID, "").send(t, c).wantKeystone(t, 500, "")
	}
	// What is nobody's request does not fail otherwise than it would.
	get(simcloud.Key{Access: "AKGHOST", Secret: "x"}, domains).send(t, c).refused(t, "ak AKGHOST not exist")
	var fitted, failed []int
	for _, f := range c.Failures() {
		fitted, failed = append(fitted, f.Fitted), append(failed, f.Failed)
	}
	if !slices.Equal(fitted, []int{3, 3, 2}) || !slices.Equal(failed, []int{3, 1, 2}) {
		t.Errorf("fitted %v, failed %v", fitted, failed)
	}
}

// Failures count right when many ask at once.
func TestFailuresCountUnderConcurrency(t *testing.T) {
	c := newCloud(t, failing(simcloud.Failure{Skip: 10, Every: 3, Times: 20, Style: "status_503"}))
	failed := make(chan int)
	for range 10 {
		go func() {
			n := 0
			for range 20 {
				w := &writer{header: http.Header{}}
				if c.ServeHTTP(w, get(adminKey, domains).build()); w.status == 503 {
					n++
				}
			}
			failed <- n
		}()
	}
	n := 0
	for range 10 {
		n += <-failed
	}
	if f := c.Failures()[0]; n != 20 || f.Failed != 20 || f.Fitted != 200 {
		t.Errorf("%d failed, %+v", n, f)
	}
}

// A temporary key that a fault has ended stays so, and no other key does.
func TestAnExpiredKeyStaysExpired(t *testing.T) {
	c := newCloud(t)
	body := assumeBody(reader, "alpha", "")
	first, second := assume(t, c, auditorKey, "", body, time.Time{}), assume(t, c, auditorKey, "", body, time.Time{})
	set := func(failures ...simcloud.Failure) {
		t.Helper()
		if err := c.SetSettings(simcloud.Settings{Failures: failures}); err != nil {
			t.Fatal(err)
		}
	}
	set(simcloud.Failure{Account: "alpha", Style: "key_expired", Skip: 1, Times: 1})
	get(adminKey, domains).send(t, c).accepted(t, 200) // a permanent key, which does not count
	first.get(domains, time.Time{}).send(t, c).accepted(t, 200)
	first.get(domains, time.Time{}).send(t, c).refused(t, "token expires")
	for range 10 { // which would lock the key if these were wrong signatures
		first.get(domains, time.Time{}).send(t, c).refused(t, "token expires")
	}
	second.get(domains, time.Time{}).send(t, c).accepted(t, 200)
	third := assume(t, c, auditorKey, "", body, time.Time{})
	third.get(domains, time.Time{}).send(t, c).accepted(t, 200)
	set()
	first.get(domains, time.Time{}).send(t, c).refused(t, "token expires")
	// What follows in the account that assumes is not touched either.
	set(simcloud.Failure{Style: "key_expired"})
	second.get(domains, time.Time{}).send(t, c).refused(t, "token expires")
	fourth := assume(t, c, auditorKey, "", body, time.Time{})
	set()
	fourth.get(domains, time.Time{}).send(t, c).accepted(t, 200)
	if f := c.Failures(); len(f) != 0 {
		t.Errorf("failures %+v", f)
	}
}

// pageable is a list with pages: how to ask for the page after one, and what its rows are.
type pageable struct {
	operation, target string
	// key and id are the member with the rows and the one of a row with its id.
	key, id string
	// next turns the page's number (from 1), the rows so far and the last marker into the parameters of the next page.
	next func(page, rows int, marker string) string
}

// listsOfPages are all lists with pages, cut into pages of two rows.
func listsOfPages() []pageable {
	number := func(page, _ int, _ string) string { return fmt.Sprintf("page=%d&per_page=2", page) }
	offset := func(_, rows int, _ string) string { return fmt.Sprintf("limit=2&offset=%d", rows) }
	marker := func(_, _ int, marker string) string {
		if marker == "" {
			return "limit=2"
		}
		return "limit=2&marker=" + url.QueryEscape(marker)
	}
	return []pageable{
		{"ListAgencies", agencies + "?domain_id=" + alphaID + "&", "agencies", "id", number},
		{"ShowDomainRoleAssignments", assignments + "?scope=domain&is_inherited=true&subject=agency&domain_id=" + alphaID + "&",
			"role_assignments", "role", number},
		{"KeystoneListPermissions", "/v3/roles?display_name=OBS&", "roles", "id", number},
		{"KeystoneListPermissions", "/v3/roles?domain_id=" + alphaID + "&", "roles", "id", number},
		{"ListCustomPolicies", "/v3.0/OS-ROLE/roles?", "roles", "id", number},
		{"KeystoneListProjects", "/v3/projects?", "projects", "id", number},
		{"ListEnterpriseProject", "/v1.0/enterprise-projects?", "enterprise_projects", "id", offset},
		{"ListAgenciesV5", "/v5/agencies?", "agencies", "agency_id", marker},
		{"ListAttachedAgencyPoliciesV5", "/v5/agencies/" + cocID + "/attached-policies?", "attached_policies", "policy_id",
			marker},
		{"ListOrganizationalUnits", orgs + "/organizational-units?", "organizational_units", "id", marker},
		{"ListAccounts", orgs + "/accounts?", "accounts", "id", marker},
		{"ListAccounts", orgs + "/accounts?parent_id=ou-2&", "accounts", "id", marker},
		{"ListEntities", orgs + "/entities?", "entities", "id", marker},
		{"ListEntities", orgs + "/entities?parent_id=ou-2&", "entities", "id", marker},
		{"ListTagsForResource", orgs + "/resources/" + alphaID + "/tags?", "tags", "key", marker},
		{"ListDelegatedAdministrators", orgs + "/delegated-administrators?", "delegated_administrators", "account_id", marker},
	}
}

// longer makes every list with pages at least five rows long.
func longer(o *simcloud.Organization) {
	a := &o.Accounts[0]
	for i := range 5 {
		name := fmt.Sprintf("more-%d", i)
		a.Agencies = append(a.Agencies, simcloud.Agency{Name: name, Trust: simcloud.Trust{Name: "management"}})
		a.Policies = append(a.Policies, simcloud.Policy{DisplayName: name, Allow: []string{"iam:*:list*"}},
			simcloud.Policy{DisplayName: name + "-v5", Version: "5.0", Allow: []string{"iam:*:list*"}})
		a.Projects = append(a.Projects, simcloud.Project{Name: region + "_" + name})
		a.EnterpriseProjects = append(a.EnterpriseProjects, simcloud.Project{Name: name})
		a.Agencies[0].Attached = append(a.Agencies[0].Attached, name+"-v5")
		a.Member.Tags[name] = "x"
		o.Structure.Units = append(o.Structure.Units, simcloud.Unit{Name: name})
		o.Structure.Delegates = append(o.Structure.Delegates, simcloud.Delegate{Account: name})
		o.Accounts = append(o.Accounts, simcloud.Account{Name: name, Member: &simcloud.Member{OU: "Closing"}})
		a = &o.Accounts[0]
		a.Agencies[0].Grants = append(a.Agencies[0].Grants, simcloud.Grant{Policy: name, Custom: true, Scope: "all_resources"})
	}
}

// onePage is a page as a client sees it.
type onePage struct {
	ids []string
	// total is the count of all rows, marker the next page's, and link its link; -1 and empty where there is none.
	total        float64
	marker, link string
}

// read reads the page after n pages with so many rows.
func (l pageable) read(t *testing.T, c *simcloud.Cloud, n, rows int, marker string) onePage {
	t.Helper()
	r := get(adminKey, l.target+l.next(n+1, rows, marker)).send(t, c)
	var body map[string]any
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != 200 {
		t.Fatalf("%s: %d %s", l.operation, r.status, r.body)
	}
	out := onePage{total: -1}
	for _, row := range body[l.key].([]any) {
		out.ids = append(out.ids, fmt.Sprint(row.(map[string]any)[l.id]))
	}
	for key, value := range body {
		if strings.HasPrefix(key, "total_") {
			out.total = value.(float64)
		}
	}
	if info, ok := body["page_info"].(map[string]any); ok {
		out.marker, _ = info["next_marker"].(string)
		if info["current_count"] != float64(len(out.ids)) {
			t.Errorf("%s: %s", l.operation, r.body)
		}
	}
	if links, ok := body["links"].(map[string]any); ok {
		out.link, _ = links["next"].(string)
	}
	return out
}

// all reads pages until the list ends, at most so many.
func (l pageable) all(t *testing.T, c *simcloud.Cloud, most int) []onePage {
	t.Helper()
	var out []onePage
	for rows := 0; len(out) < most; {
		marker := ""
		if len(out) > 0 {
			if marker = out[len(out)-1].marker; marker == "" && strings.Contains(l.next(2, 0, "x"), "marker") {
				break
			}
		}
		page := l.read(t, c, len(out), rows, marker)
		if len(page.ids) == 0 {
			break
		}
		rows += len(page.ids)
		out = append(out, page)
	}
	return out
}

// However a client pages, a loop never ends for it, and an overlap shows it rows twice, and none too few but at the end.
func TestPagesLoopAndOverlap(t *testing.T) {
	fail := func(style string) *simcloud.Cloud {
		return newCloud(t, longer, failing(simcloud.Failure{Style: style}))
	}
	for _, l := range listsOfPages() {
		good := l.all(t, newCloud(t, longer), 1000)
		var ids []string
		for _, p := range good {
			ids = append(ids, p.ids...)
		}
		if len(ids) < 5 || len(slices.Compact(slices.Sorted(slices.Values(ids)))) != len(ids) {
			t.Fatalf("%s: %q", l.operation, ids)
		}

		ended := l.all(t, fail("ends_early"), 1000)
		if total := min(good[0].total, 2); len(ended) != 1 || !slices.Equal(ended[0].ids, good[0].ids) ||
			ended[0].total != total || ended[0].marker != "" || ended[0].link != "" {
			t.Errorf("%s, ends_early: %+v, first page %+v", l.operation, ended, good[0])
		}

		looped := l.all(t, fail("page_loop"), len(ids)+3)
		if len(looped) != len(ids)+3 {
			t.Errorf("%s: the loop ends after %d pages", l.operation, len(looped))
		}
		for _, p := range looped {
			total := good[0].total
			if total >= 0 {
				total *= 1000
			}
			if !slices.Equal(p.ids, good[0].ids) || p.total != total || p.marker != good[0].marker ||
				(p.link == "") == strings.Contains("KeystoneListPermissions ListCustomPolicies KeystoneListProjects", l.operation) {
				t.Errorf("%s, page_loop: %+v, first page %+v", l.operation, p, good[0])
			}
		}

		overlapping := l.all(t, fail("page_overlap"), 1000)
		if len(overlapping) < len(ids)-1 {
			t.Errorf("%s: %d pages overlap", l.operation, len(overlapping))
		}
		var seen []string
		for i, p := range overlapping {
			if i > 0 {
				before := overlapping[i-1].ids
				if p.ids[0] != before[len(before)-1] {
					t.Errorf("%s: page %d begins with %s, the one before ends with %s", l.operation, i+1, p.ids[0],
						before[len(before)-1])
				}
				p.ids = p.ids[1:]
			}
			if p.total != good[0].total || len(p.ids) > 2 {
				t.Errorf("%s, page_overlap: %+v, without %+v", l.operation, p, good[0])
			}
			seen = append(seen, p.ids...)
			if len(seen) > len(ids) {
				break
			}
		}
		if !slices.Equal(seen[:min(len(seen), len(ids))], ids) {
			t.Errorf("%s: the overlap shows\n%q, want\n%q", l.operation, seen, ids)
		}
	}
	// Even a page that is the last one has a marker, and a list without rows has none.
	c := fail("page_loop")
	if p := listsOfPages()[8].read(t, newCloud(t, failing(simcloud.Failure{Style: "page_loop"})), 0, 0, ""); p.marker == "" {
		t.Errorf("page %+v", p)
	}
	if r := get(adminKey, "/v5/agencies/"+readerID+"/attached-policies").send(t, c); strings.Contains(r.body, "next_marker") {
		t.Errorf("body %s", r.body)
	}
	// Without paging there is one page, and the cache of the catalogue is not spoiled.
	whole := get(adminKey, agencies+"?domain_id="+alphaID)
	if got, want := whole.send(t, fail("page_overlap")).body, whole.send(t, newCloud(t, longer)).body; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	second := get(adminKey, "/v3/roles?page=2&per_page=300")
	want := second.send(t, c).body
	if err := c.SetSettings(simcloud.Settings{}); err != nil {
		t.Fatal(err)
	}
	if got := second.send(t, c).body; got == want || got != second.send(t, newCloud(t, longer)).body {
		t.Error("the second page of policies is not what it was")
	}
}

// The cloud's clock is off in what it shows and judges signatures by, and in nothing else.
func TestClockOffset(t *testing.T) {
	for _, offset := range []time.Duration{20 * time.Minute, -20 * time.Minute, 10 * time.Minute} {
		k := newClock()
		c := newCloud(t, func(o *simcloud.Organization) { o.Settings.ClockOffset = offset })
		c.Now = k.now
		theirs := k.at.Add(offset)
		ask := func(at time.Time) reply {
			return request{method: "GET", target: domains, key: adminKey, at: at}.send(t, c)
		}
		if got := ask(theirs); got.status != 200 || got.header.Get("Date") != theirs.Format(http.TimeFormat) {
			t.Errorf("%v: %d, %s", offset, got.status, got.header.Get("Date"))
		}
		if got := ask(theirs.Add(15 * time.Minute)); got.status != 200 {
			t.Errorf("%v: %d", offset, got.status)
		}
		const layout = "20060102T150405Z"
		late := theirs.Add(16 * time.Minute)
		ask(late).refused(t, "calc aksk signature fail:signature expired, signature time:"+late.Format(layout)+
			",server time:"+theirs.Format(layout))
		if got := ask(k.at); (got.status == 200) != (offset == 10*time.Minute) {
			t.Errorf("%v: %d by the real time", offset, got.status)
		}

		// A temporary key shows the cloud's time, and lasts as long as it would.
		body := assumeBody(reader, "alpha", "")
		r := request{method: "POST", target: tokens, body: body, key: auditorKey, at: theirs}.send(t, c)
		if end := theirs.Add(15 * time.Minute).Format("2006-01-02T15:04:05.000000Z"); !strings.Contains(r.body, end) {
			t.Errorf("%v: %s, want the end %s", offset, r.body, end)
		}
		key := assume(t, c, auditorKey, "", body, theirs)
		k.at = k.at.Add(15*time.Minute - time.Second)
		key.get(domains, k.at.Add(offset)).send(t, c).accepted(t, 200)
		k.at = k.at.Add(time.Second)
		key.get(domains, k.at.Add(offset)).send(t, c).refused(t, "token expires")

		// The journal goes by the real time, and so do lists that lag behind: another offset does not reach into them.
		request{method: "PUT", target: rolePath("global", readerID, policyID(t, c, "Tenant Guest")), key: adminKey,
			at: k.at.Add(offset)}.send(t, c).accepted(t, 204)
		if j := c.Journal(); len(j) != 1 || !j[0].Time.Equal(k.at) {
			t.Errorf("%v: journal %+v, want %v", offset, j, k.at)
		}
	}
	// Without a clock of its own the cloud goes by the real one.
	c := newCloud(t, func(o *simcloud.Organization) { o.Settings.ClockOffset = -time.Hour })
	r := request{method: "GET", target: domains, key: adminKey, at: time.Now().Add(-time.Hour)}.send(t, c)
	at, err := http.ParseTime(r.header.Get("Date"))
	if d := time.Since(at); r.status != 200 || err != nil || d < 30*time.Minute || d > 90*time.Minute {
		t.Errorf("%d, %v, %v off", r.status, err, d)
	}
}

// What the settings of failures may say, through the control port and in a file.
func TestFailuresAreChecked(t *testing.T) {
	c := newCloud(t)
	const negative = `: has a negative skip, times or every; write 0 or more`
	for failure, want := range map[string]string{
		`{"style":"explode"}`: `.style: is "explode"; write one of html_502, html_200, empty_200, object_200, `,
		`{"style":""}`:        `.style: is ""; write one of html_502, `,
		`{"style":"many_rows","operation":"ShowAgency"}`: `.style: is "many_rows", which needs a list, and ShowAgency answers ` +
			`with none; write another style, or an operation that does, ListAgencies for instance`,

		`{"style":"hang","operation":"x"}`:            `.operation: names no operation of the cloud`,
		`{"style":"no_id","operation":"nonsense"}`:    `.operation: names no operation of the cloud`,
		`{"style":"hang","account":"x"}`:              `.account: names no account of the organization`,
		`{"style":"hang","skip":-1}`:                  negative,
		`{"style":"hang","every":-1}`:                 negative,
		`{"style":"hang","times":-1}`:                 negative,
		`{"style":"hang","query":{"":"x"}}`:           `.query: has a parameter without a name`,
		`{"style":"hang","query":{"page":2}}`:         `decode the body`,
		`{"style":"hang","often":2}`:                  `.often: unknown key; the keys here are account, operation, query, style, `,
		`{"style":"html_200"},{"style":"html_201"}`:   `$.settings.failures[1].style: is `,
		`{"style":"html_200"}],"clock_offset":["20m"`: `decode the body`,

		`{"style":"html_200"}],"clock_offset":"soon","failures":[`: `clock_offset is "soon"; write a duration`,
	} {
		r := control(t, c, "PUT", "/settings", `{"failures":[`+failure+`]}`)
		var body struct{ Error string }
		if r.status != 400 || json.Unmarshal([]byte(r.body), &body) != nil ||
			!strings.Contains(body.Error, want) {
			t.Errorf("%s: %d %s, want %s", failure, r.status, r.body, want)
		}
	}
	if s := c.Settings(); len(s.Failures) != 0 || s.ClockOffset != 0 {
		t.Errorf("settings %+v", s)
	}
	const put = `{"clock_offset":"-20m","failures":[{"account":"alpha","operation":"ShowDomainRoleAssignments",` +
		`"query":{"scope":"enterprise_project"},"style":"page_loop","skip":1,"times":3,"every":2}]}`
	if r := control(t, c, "PUT", "/settings", put); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	want := simcloud.Failure{Account: "alpha", Operation: "ShowDomainRoleAssignments",
		Query: map[string]string{"scope": "enterprise_project"}, Style: "page_loop", Skip: 1, Times: 3, Every: 2}
	s := c.Settings()
	if s.ClockOffset != -20*time.Minute || !reflect.DeepEqual(s.Failures, []simcloud.Failure{want}) {
		t.Errorf("settings %+v", s)
	}
	// What is given remains the caller's, what is shown is, and can be put back.
	if err := c.SetSettings(s); err != nil {
		t.Fatal(err)
	}
	s.Failures[0].Query["scope"] = "x"
	c.Failures()[0].Query["scope"] = "x"
	c.Organization().Settings.Failures[0].Query["scope"] = "x"
	if got := c.Settings().Failures[0]; !reflect.DeepEqual(got, want) {
		t.Errorf("failure %+v", got)
	}
	shown := control(t, c, "GET", "/settings", "").body
	if r := control(t, c, "PUT", "/settings", shown); r.status != 204 || control(t, c, "GET", "/settings", "").body != shown {
		t.Errorf("%d %s, settings %s", r.status, r.body, shown)
	}
	at := time.Now().Add(-20 * time.Minute)
	for range 4 {
		request{method: "GET", key: adminKey, at: at, target: assignments + "?scope=enterprise_project&domain_id=" + alphaID}.
			send(t, c).accepted(t, 200)
	}
	var counts []struct {
		Style          string
		Fitted, Failed int
	}
	r := control(t, c, "GET", "/failures", "")
	if err := json.Unmarshal([]byte(r.body), &counts); err != nil || len(counts) != 1 || counts[0].Style != "page_loop" ||
		counts[0].Fitted != 4 || counts[0].Failed != 1 {
		t.Errorf("failures %s", r.body)
	}
	if r := control(t, newCloud(t), "GET", "/failures", ""); strings.TrimSpace(r.body) != "[]" {
		t.Errorf("failures %s", r.body)
	}
}

// The official SDK takes these answers for an account without agencies, and reports no error: that is what these styles
// are for. The others it refuses, or reads as they are.
func TestTheSDKBelievesInNothing(t *testing.T) {
	believed := []string{"empty_200", "object_200", "null_200", "redirect_302", "redirect_metadata", "error_200", "status_204",
		"status_304", "duplicate_key", "null_list", "empty_list"}
	elsewhere := []string{"hang", "slow_body", "drip", "gzip_bomb", "huge_body", "many_rows"}
	for _, style := range simcloud.Styles() {
		if slices.Contains(elsewhere, style) {
			continue
		}
		at := serve(t, newCloud(t, failing(simcloud.Failure{Style: style})))
		client := newSDK(t, at, alphaID, adminKey, "", &http.Transport{})
		r, err := client.v3.ListAgencies(&m3.ListAgenciesRequest{DomainId: alphaID})
		none := err == nil && (r.Agencies == nil || len(*r.Agencies) == 0)
		if none != slices.Contains(believed, style) {
			t.Errorf("%s: %v, %v", style, r, err)
		}
	}
}

package huawei_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

type answerFunc func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc)

// say answers with a JSON body of one's own.
func say(status int, body string) answerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// edit answers with the truth, changed.
func edit(change func(body string) string) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		rec := httptest.NewRecorder()
		truth(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(rec.Code)
		_, _ = io.WriteString(w, change(rec.Body.String()))
	}
}

// steps are the requests of an observation that needs every operation.
var steps = []string{
	"agencies", "domain", "inherited", "project", "enterprise_project", "attached", "globalRoles", "catalogue", "policy", "assume", "domains",
}

// keyOf is the member that the answer to a step must have.
func keyOf(step string) string {
	switch step {
	case "agencies":
		return "agencies"
	case "attached":
		return "attached_policies"
	case "globalRoles", "catalogue":
		return "roles"
	case "policy":
		return "role"
	case "assume":
		return "credential"
	case "domains":
		return "domains"
	}
	return "role_assignments"
}

// needsEverything makes a cloud with one account whose observation takes every step.
func needsEverything(t testing.TB) (*fake, huawei.Config) {
	f := newFake(t, 1)
	id := accountID(0)
	f.accounts[id].grants["domain"] = nil // so that the second witness is asked
	f.accounts[id].grants["inherited"] = append(f.accounts[id].grants["inherited"], fakeGrant{id32(9001), id})
	f.accounts[id].custom[id32(9001)] = map[string]any{
		"id": id32(9001), "name": "custom_1", "type": "AX", "display_name": "ours", "domain_id": id, "policy": document("a:b:c"),
	}
	return f, f.assuming()
}

// TestNoLieBecomesEvidence gives each answer that is not a whole and documented one to each request there is.
func TestNoLieBecomesEvidence(t *testing.T) {
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
		_ = z.Close()
		return b.Bytes()
	}()
	lies := map[string]struct {
		reason rules.Reason
		answer func(step string) answerFunc
	}{
		"empty 200":     {rules.ReasonRejected, func(string) answerFunc { return say(200, "") }},
		"empty 201":     {rules.ReasonRejected, func(string) answerFunc { return say(201, "") }},
		"blank":         {rules.ReasonRejected, func(string) answerFunc { return edit(func(string) string { return " \n" }) }},
		"empty object":  {rules.ReasonRejected, func(string) answerFunc { return edit(func(string) string { return "{}" }) }},
		"null":          {rules.ReasonRejected, func(string) answerFunc { return edit(func(string) string { return "null" }) }},
		"array":         {rules.ReasonRejected, func(string) answerFunc { return edit(func(string) string { return "[]" }) }},
		"null member":   {rules.ReasonRejected, func(s string) answerFunc { return edit(func(string) string { return `{"` + keyOf(s) + `":null}` }) }},
		"member's type": {rules.ReasonRejected, func(s string) answerFunc { return edit(func(string) string { return `{"` + keyOf(s) + `":"x"}` }) }},
		"member's case": {rules.ReasonRejected, func(s string) answerFunc {
			return edit(func(b string) string { return strings.Replace(b, keyOf(s), strings.ToUpper(keyOf(s)), 1) })
		}},
		"member twice": {rules.ReasonRejected, func(s string) answerFunc {
			return edit(func(b string) string { return `{"` + keyOf(s) + `":[],` + b[1:] })
		}},
		"member escaped": {rules.ReasonRejected, func(s string) answerFunc {
			return edit(func(b string) string { return fmt.Sprintf(`{"\u%04x%s":[],`, keyOf(s)[0], keyOf(s)[1:]) + b[1:] })
		}},
		"error envelope": {rules.ReasonRejected, func(string) answerFunc {
			return edit(func(string) string { return `{"error_code":"IAM.0006","error_msg":"x"}` })
		}},
		"error and rows": {rules.ReasonRejected, func(string) answerFunc {
			return edit(func(b string) string { return `{"error":{"code":500},` + b[1:] })
		}},
		"trailing bytes": {rules.ReasonRejected, func(string) answerFunc { return edit(func(b string) string { return b + "{}" }) }},
		"truncated":      {rules.ReasonRejected, func(string) answerFunc { return edit(func(b string) string { return b[:len(b)/2] }) }},
		"not UTF-8":      {rules.ReasonRejected, func(string) answerFunc { return edit(func(b string) string { return "{\"x\":\"\xff\"," + b[1:] }) }},
		"nested": {rules.ReasonRejected, func(string) answerFunc {
			return edit(func(b string) string {
				return `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + "," + b[1:]
			})
		}},
		"too large":       {rules.ReasonRejected, func(string) answerFunc { return edit(func(b string) string { return b + strings.Repeat(" ", 2<<20) }) }},
		"200 or 201":      {rules.ReasonRejected, func(s string) answerFunc { return restatus(map[string]int{"assume": 200}[s], 201) }},
		"202":             {rules.ReasonRejected, func(string) answerFunc { return restatus(202, 202) }},
		"204":             {rules.ReasonRejected, func(string) answerFunc { return say(204, "") }},
		"206":             {rules.ReasonRejected, func(string) answerFunc { return restatus(206, 206) }},
		"304":             {rules.ReasonRejected, func(string) answerFunc { return say(304, "") }},
		"302":             {rules.ReasonRejected, redirect},
		"307":             {rules.ReasonRejected, redirect},
		"HTML":            {rules.ReasonRejected, func(string) answerFunc { return retype("text/html", nil) }},
		"no content type": {rules.ReasonRejected, func(string) answerFunc { return retype("", nil) }},
		"gzip":            {rules.ReasonRejected, func(string) answerFunc { return retype("application/json", bomb) }},
		"400":             {rules.ReasonRejected, func(string) answerFunc { return say(400, `{"error":{"message":"bad","code":400}}`) }},
		"401":             {rules.ReasonUnauthenticated, func(string) answerFunc { return say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`) }},
		"403":             {rules.ReasonDenied, func(string) answerFunc { return say(403, `{"error":{"message":"no","code":403}}`) }},
		"403 HTML":        {rules.ReasonDenied, func(string) answerFunc { return say(403, "<html>") }},
		"429":             {rules.ReasonThrottled, func(string) answerFunc { return say(429, `{"error_code":"APIGW.0308","error_msg":"slow down"}`) }},
		"500":             {rules.ReasonRejected, func(string) answerFunc { return say(500, `{"error_code":"IAM.0006","error_msg":"x"}`) }},
		"502":             {rules.ReasonUnreachable, func(string) answerFunc { return say(502, "<html>") }},
		"503":             {rules.ReasonUnreachable, func(string) answerFunc { return say(503, "") }},
		"504":             {rules.ReasonUnreachable, func(string) answerFunc { return say(504, "") }},
		"reset":           {rules.ReasonUnreachable, func(string) answerFunc { return hangUp(true) }},
		"short body":      {rules.ReasonIncomplete, func(string) answerFunc { return shortBody }},
		"hangs":           {rules.ReasonTimeout, func(string) answerFunc { return hang }},
		"drips":           {rules.ReasonTimeout, func(string) answerFunc { return drip }},
	}
	for _, name := range slices.Sorted(maps.Keys(lies)) {
		lie := lies[name]
		t.Run(name, func(t *testing.T) {
			f, cfg := needsEverything(t)
			cfg.MaxBody = 1 << 20
			for _, step := range steps {
				if lie.reason == rules.ReasonTimeout {
					cfg.RequestTimeout = 50 * time.Millisecond
				}
				// A new reader for each, since catalogue and keys are kept.
				c, log := open(t, cfg)
				f.lie(step, lie.answer(step))
				u := unknown(t, c, 0, lie.reason)
				f.lie(step, nil)
				if u.Detail == "" || u.Remedy == "" {
					t.Errorf("%s: %+v says too little", step, u)
				}
				if strings.Contains(log.String()+u.Error()+u.Remedy, "canary") {
					t.Errorf("%s: a secret came out: %v", step, u)
				}
				if slices.ContainsFunc(f.log(), func(s string) bool { return strings.HasPrefix(s, "unknown") }) {
					t.Errorf("%s: a request left the closed list", step)
				}
				c.Close()
			}
			cfg.RequestTimeout = 0
			c, _ := open(t, cfg)
			mustObserve(t, c, 0) // without the lie the same cloud is believed
		})
	}
}

func restatus(status, otherwise int) answerFunc {
	if status == 0 {
		status = otherwise
	}
	return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		rec := httptest.NewRecorder()
		truth(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.WriteHeader(status)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

func retype(kind string, compressed []byte) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		rec := httptest.NewRecorder()
		truth(rec, r)
		w.Header()["Content-Type"] = []string{kind}
		if compressed != nil {
			w.Header().Set("Content-Encoding", "gzip")
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	}
}

func redirect(string) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		http.Redirect(w, r, "/v3/redirected", http.StatusTemporaryRedirect)
	}
}

// hangUp ends the connection without an answer.
func hangUp(reset bool) answerFunc {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

func shortBody(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
	rec := httptest.NewRecorder()
	truth(rec, r)
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	fmt.Fprintf(buf, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", rec.Code, rec.Body.Len()+1, rec.Body)
	_ = buf.Flush()
	_ = conn.Close()
}

// TestAnAnswerThatBreaksOffKeepsItsID: what came of an answer says which one it is, however its body ends.
func TestAnAnswerThatBreaksOffKeepsItsID(t *testing.T) {
	f := newFake(t, 1)
	c, _ := open(t, f.config())
	f.lie("agencies", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("X-Request-Id", "the-short-one")
		_, _ = io.WriteString(w, `{"agencies":[]}`)
	})
	if u := unknown(t, c, 0, rules.ReasonIncomplete); u.RequestID != "the-short-one" {
		t.Errorf("%+v", u)
	}
}

// hang answers nothing until the client has gone.
func hang(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// drip begins an answer and does not end it.
func drip(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	if r.Method == http.MethodPost {
		w.WriteHeader(201)
	}
	_, _ = io.WriteString(w, "{")
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// TestRowsThatCannotBeTrue gives each list rows that are no answer to what was asked.
func TestRowsThatCannotBeTrue(t *testing.T) {
	id, other := accountID(0), accountID(1)
	replace := func(old, replacement string) answerFunc {
		return edit(func(b string) string {
			if !strings.Contains(b, old) {
				panic(fmt.Sprintf("%q is not in %s", old, b))
			}
			return strings.Replace(b, old, replacement, 1)
		})
	}
	agencyID := id32(agencyFrom)
	for _, lie := range []struct {
		name   string
		on     string
		reason rules.Reason
		answer answerFunc
	}{
		{"agency of another account", "agencies", rules.ReasonRejected, replace(`"domain_id":"`+id, `"domain_id":"`+other)},
		{"agency of no account", "agencies", rules.ReasonRejected, replace(`"domain_id":"`+id+`",`, ``)},
		{"agency without id", "agencies", rules.ReasonRejected, replace(agencyID, ``)},
		{"agency whose id is a path", "agencies", rules.ReasonRejected, replace(agencyID, `../x`)},
		{"agency without trust", "agencies", rules.ReasonIncomplete, replace(`"trust_domain_id":"`+cocTrust+`",`, ``)},
		{"agency with a number for duration", "agencies", rules.ReasonRejected, replace(`"FOREVER"`, `24`)},
		{"grant of another agency", "domain", rules.ReasonRejected, replace(agencyID, id32(0xdead))},
		{"grant of no agency", "domain", rules.ReasonRejected, replace(`"agency":{"id":"`+agencyID+`"},`, ``)},
		{"grant of a user as well", "domain", rules.ReasonRejected, replace(`{"agency"`, `{"user":{"id":"u"},"agency"`)},
		{"grant of a group as well", "domain", rules.ReasonRejected, replace(`{"agency"`, `{"group":{"id":"u"},"agency"`)},
		{"grant without role", "domain", rules.ReasonRejected, replace(`"role":{"id":"`+id32(roleIAM)+`"},`, ``)},
		{"grant without role id", "domain", rules.ReasonRejected, replace(`"role":{"id":"`+id32(roleIAM)+`"},`, `"role":{"id":""},`)},
		{"grant whose role id is a path", "domain", rules.ReasonRejected, replace(id32(roleIAM), `../x`)},
		{"grant without scope", "domain", rules.ReasonRejected, replace(`"scope":{"domain":{"id":"`+id+`"}}`, `"scope":null`)},
		{"grant with an empty scope", "domain", rules.ReasonRejected, replace(`{"domain":{"id":"`+id+`"}}`, `{}`)},
		{"grant with two scopes", "domain", rules.ReasonRejected, replace(`"scope":{`, `"scope":{"project":{"id":"p"},`)},
		{"grant of another account", "domain", rules.ReasonRejected, replace(`"scope":{"domain":{"id":"`+id, `"scope":{"domain":{"id":"`+other)},
		{"grant of another kind", "domain", rules.ReasonRejected, replace(`{"domain":`, `{"project":`)},
		{"grant that is inherited", "domain", rules.ReasonRejected, replace(`"is_inherited":false`, `"is_inherited":true`)},
		{"grant that is not inherited", "inherited", rules.ReasonRejected, replace(`"is_inherited":true`, `"is_inherited":false`)},
		{"project grant of another kind", "project", rules.ReasonRejected, replace(`{"project":`, `{"enterprise_project":`)},
		{"project grant without project", "project", rules.ReasonRejected, replace(`{"id":"p1"}`, `{}`)},
		{"project grant that is inherited", "project", rules.ReasonRejected, replace(`"is_inherited":false`, `"is_inherited":true`)},
		{"enterprise project of another kind", "enterprise_project", rules.ReasonRejected, replace(`{"enterprise_project":`, `{"project":`)},
		{"enterprise project without id", "enterprise_project", rules.ReasonRejected, replace(`{"id":"e1"}`, `{"id":""}`)},
		{"more counted than shown", "domain", rules.ReasonDisagree, replace(`"total_num":1`, `"total_num":2`)},
		{"fewer counted than shown", "domain", rules.ReasonDisagree, replace(`"total_num":1`, `"total_num":0`)},
		{"count below zero", "domain", rules.ReasonRejected, replace(`"total_num":1`, `"total_num":-1`)},
		{"count that is no number", "domain", rules.ReasonRejected, replace(`"total_num":1`, `"total_num":"1"`)},
		{"no count", "domain", rules.ReasonRejected, replace(`,"total_num":1`, ``)},
		{"rows as an object", "domain", rules.ReasonRejected, edit(func(string) string { return `{"total_num":1,"role_assignments":{}}` })},
		{"v5 count", "attached", rules.ReasonDisagree, replace(`"current_count":1`, `"current_count":2`)},
		{"v5 without count", "attached", rules.ReasonRejected, replace(`"current_count":1`, `"x":1`)},
		{"v5 without page info", "attached", rules.ReasonRejected, replace(`"page_info"`, `"info"`)},
		{"v5 policy without id", "attached", rules.ReasonRejected, replace(`"v5a"`, `""`)},
		{"v5 endless marker", "attached", rules.ReasonRejected, edit(func(string) string {
			return `{"attached_policies":[],"page_info":{"current_count":0,"next_marker":"again"}}`
		})},
		{"v5 policy attached twice", "attached", rules.ReasonRejected, edit(func(b string) string {
			row := b[strings.Index(b, "[")+1 : strings.Index(b, "]")]
			return strings.Replace(strings.Replace(b, row, row+","+row, 1), `"current_count":1`, `"current_count":2`, 1)
		})},
		{"grant of the account twice", "domain", rules.ReasonRejected, edit(func(b string) string {
			row := b[strings.Index(b, "[")+1 : strings.LastIndex(b, "]")]
			return strings.Replace(strings.Replace(b, row, row+","+row, 1), `"total_num":1`, `"total_num":2`, 1)
		})},
		{"v5 policy again", "attached", rules.ReasonRejected, replace(`"current_count":1`, `"current_count":1,"next_marker":"mark0"`)},
		{"policy of the catalogue with an owner", "catalogue", rules.ReasonRejected, replace(`"domain_id":null`, `"domain_id":"`+id+`"`)},
		{"policy of the catalogue without id", "catalogue", rules.ReasonRejected, replace(`"id":"`+id32(5)+`"`, `"id":""`)},
		{"policy of the catalogue twice", "catalogue", rules.ReasonRejected, replace(`"id":"`+id32(5)+`"`, `"id":"`+id32(6)+`"`)},
		{"empty catalogue", "catalogue", rules.ReasonIncomplete, edit(func(string) string { return `{"roles":[]}` })},
		{"another policy", "policy", rules.ReasonRejected, replace(id32(9001), id32(9002))},
		{"half a key", "assume", rules.ReasonRejected, replace(`"canary-temporary-secret"`, `""`)},
		{"key without token", "assume", rules.ReasonRejected, replace(`"canary-security-token-`+id+`"`, `""`)},
		{"key without end", "assume", rules.ReasonRejected, replace(`"expires_at":"2`, `"expires_at":"x2`)},
		{"key that has ended", "assume", rules.ReasonRejected, replace(`"expires_at":"2`, `"expires_at":"1`)},
		{"key of a wrong type", "assume", rules.ReasonRejected, replace(`"access":"`, `"access":7,"x":"`)},
	} {
		t.Run(lie.name, func(t *testing.T) {
			f := newFake(t, 1)
			a := f.accounts[id]
			a.grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}}
			a.grants["enterprise_project"] = []fakeGrant{{id32(9001), "e1"}}
			a.custom[id32(9001)] = map[string]any{
				"id": id32(9001), "name": "custom_1", "type": "AX", "display_name": "ours", "domain_id": id, "policy": document("a:b:c"),
			}
			a.attached = []map[string]any{{"policy_id": "v5a", "policy_name": "x", "urn": "iam::system:policy:x", "attached_at": "2025-01-01T00:00:00Z"}}
			c, log := open(t, f.assuming())
			f.lie(lie.on, lie.answer)
			u := unknown(t, c, 0, lie.reason)
			if strings.Contains(log.String()+u.Error()+u.Remedy, "canary") {
				t.Errorf("a secret came out: %v", u)
			}
			if strings.Contains(u.Detail, "not sent") {
				t.Errorf("it was found only when it was used: %v", u)
			}
			if n := asked(f.log(), lie.on); lie.name == "fewer counted than shown" && n != 1 {
				t.Errorf("it took %d requests to find out", n)
			}
			if strings.HasSuffix(lie.name, "attached twice") && !strings.Contains(u.Detail, "two rows with the policy_id v5a") {
				t.Errorf("%v", u)
			}
			if lie.name == "grant of the account twice" && !strings.Contains(u.Detail, `row 2 shows "`+id32(roleIAM)+`" again`) {
				t.Errorf("%v", u)
			}
			if strings.Contains(u.Detail, "byte of") {
				t.Errorf("the decoder quotes the answer: %v", u)
			}
			if lie.name == "key of a wrong type" && !strings.Contains(u.Detail, "withheld") {
				t.Errorf("the decoder speaks of credentials: %v", u)
			}
			f.lie(lie.on, nil)
			c, _ = open(t, f.assuming())
			mustObserve(t, c, 0)
		})
	}
}

// TestPagingThatLies gives lists of many pages that do not fit together.
func TestPagingThatLies(t *testing.T) {
	id := accountID(0)
	onPage := func(n string, answer answerFunc) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if r.URL.Query().Get("page") == n {
				answer(w, r, truth)
				return
			}
			truth(w, r)
		}
	}
	always := func(n string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			q := r.URL.Query()
			q.Set("page", n)
			r.URL.RawQuery = q.Encode()
			truth(w, r)
		}
	}
	for _, lie := range []struct {
		name, on string
		reason   rules.Reason
		answer   answerFunc
	}{
		{"the first page again", "project", rules.ReasonRejected, always("1")},
		{"a count that changes", "project", rules.ReasonIncomplete, onPage("2", edit(func(b string) string {
			return strings.Replace(b, `"total_num":120`, `"total_num":121`, 1)
		}))},
		{"an early end", "project", rules.ReasonDisagree, onPage("3", edit(func(string) string { return `{"total_num":120,"role_assignments":[]}` }))},
		{"a page that fails", "project", rules.ReasonUnreachable, onPage("3", say(503, ""))},
		{"a page that is denied", "project", rules.ReasonDenied, onPage("2", say(403, "{}"))},
		{"the catalogue's first page again", "catalogue", rules.ReasonRejected, always("1")},
		{"a page of the catalogue that fails", "catalogue", rules.ReasonUnreachable, onPage("2", say(502, ""))},
		{"the catalogue's end is missing", "catalogue", rules.ReasonUnreachable, onPage("4", say(502, ""))},
		{"the agencies' first page again", "agencies", rules.ReasonRejected, always("1")},
	} {
		t.Run(lie.name, func(t *testing.T) {
			f := newFake(t, 1)
			a := f.accounts[id]
			for i := range 120 {
				a.grants["project"] = append(a.grants["project"], fakeGrant{id32(roleGuest), fmt.Sprintf("p%d", i)})
			}
			if lie.on == "agencies" {
				a.agencies = nil
				for i := range 600 {
					a.agencies = append(a.agencies, agency(id, coc+"x", 0xb00+i))
				}
				answer := lie.answer
				lie.answer = func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
					q := r.URL.Query()
					q.Del("name")
					r.URL.RawQuery = q.Encode()
					answer(w, r, truth)
				}
			}
			c, _ := open(t, f.config())
			f.lie(lie.on, lie.answer)
			wantUnknown(t, c, 0, lie.reason)
			f.lie(lie.on, nil)
			mustObserve(t, c, 0)
		})
	}
}

// TestListsHaveAnEnd has a cloud that invents new rows for ever.
func TestListsHaveAnEnd(t *testing.T) {
	var rows atomic.Int64
	for on, row := range map[string]func(n int) string{
		"agencies": func(n int) string {
			b, _ := json.Marshal(map[string]any{"agencies": []any{agency(accountID(0), "x", 0xb00+n)}})
			return string(b)
		},
		"catalogue": func(n int) string {
			return fmt.Sprintf(`{"roles":[{"id":"%s","name":"n","type":"AX","domain_id":null}]}`, id32(0xc00+n))
		},
		"project": func(n int) string {
			return fmt.Sprintf(`{"total_num":99999,"role_assignments":[{"agency":{"id":"%s"},"role":{"id":"r"},"scope":{"project":{"id":"p%d"}}}]}`,
				id32(agencyFrom), n)
		},
		"attached": func(n int) string {
			return fmt.Sprintf(`{"attached_policies":[],"page_info":{"current_count":0,"next_marker":"mark%d"}}`, n)
		},
	} {
		f := newFake(t, 1)
		cfg := f.config()
		cfg.MaxPages = 25
		c, _ := open(t, cfg)
		f.lie(on, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			say(200, row(int(rows.Add(1))))(w, r, truth)
		})
		wantUnknown(t, c, 0, rules.ReasonBudget)
		asked := 0
		for _, s := range f.log() {
			if strings.HasPrefix(s, on+" ") {
				asked++
			}
		}
		if asked != 25 {
			t.Errorf("%s: %d pages were asked for, want 25", on, asked)
		}
	}
}

// TestNoAnswerRepeatsAKey has answers that repeat what the request was signed with at places that are shown: the id of the answer,
// the name of an agency, an error.
func TestNoAnswerRepeatsAKey(t *testing.T) {
	key := "AK-" + accountID(0)
	for name, lie := range map[string]func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc){
		"id of a refusal": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("X-Request-Id", key)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusForbidden)
			_, _ = w.Write([]byte(`{"error_code":"IAM.0003","error_msg":"no ` + key + `"}`))
		},
		"id of a list that is none": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("X-Request-Id", key)
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"agencies":[{"id":"a b","expire_time":null}]}`))
		},
		"name of an agency": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"agencies":[{"id":"a1","name":"` + key + `","domain_id":"d9","trust_domain_id":"d8","expire_time":null}]}`))
		},
	} {
		f := newFake(t, 1)
		f.lie("agencies", lie)
		c, log := open(t, f.config())
		_, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
		u, ok := errors.AsType[*rules.Unknown](err)
		if !ok {
			t.Fatalf("%s: %v", name, err)
		}
		if text := fmt.Sprintf("%+v", *u) + log.String(); strings.Contains(text, key) {
			t.Errorf("%s: the key is shown: %s", name, text)
		}
	}
	// An id that repeats it does not reach what evidence rests on either.
	f := newFake(t, 1)
	f.lie("domain", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		rec := httptest.NewRecorder()
		truth(rec, r)
		maps.Copy(w.Header(), rec.Header())
		w.Header().Set("X-Request-Id", key)
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
	c, _ := open(t, f.config())
	if ev := mustObserve(t, c, 0); strings.Contains(fmt.Sprintf("%+v", ev.Planes()), key) {
		t.Errorf("the key is shown: %+v", ev.Planes())
	}
}

package simcloud_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// request is a request to be signed by hand. Its signer shares no code with the cloud or with the SDK, so that an error
// in the reading of the scheme shows.
type request struct {
	method, target string
	body           string
	header         map[string]string
	key            simcloud.Key
	token          string
	at             time.Time
	// also are further headers to sign, host for instance.
	also []string
	// undated leaves the date out of the signed headers, though not out of the signature.
	undated bool
	// unsigned headers are sent and left out of the signature.
	unsigned map[string]string
	// after changes the signed request before it is sent.
	after func(*http.Request)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return fmt.Sprintf("%x", sum)
}

// percent escapes everything but unreserved characters.
func percent(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// build signs the request.
func (q request) build() *http.Request {
	r := httptest.NewRequest(q.method, "http://iam.example.com"+q.target, strings.NewReader(q.body))
	if q.at.IsZero() {
		q.at = time.Now()
	}
	date := q.at.UTC().Format("20060102T150405Z")
	headers := map[string]string{"x-sdk-date": date}
	if q.token != "" {
		headers["x-security-token"] = q.token
	}
	if q.body != "" && q.header["content-type"] == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range q.header {
		headers[k] = v
	}
	var names []string
	for k, v := range headers {
		r.Header.Set(k, v)
		if k != "x-sdk-date" || !q.undated {
			names = append(names, k)
		}
	}
	for _, k := range q.also {
		headers[k] = r.Header.Get(k)
		if k == "host" {
			headers[k] = r.Host
		}
		names = append(names, k)
	}
	sort.Strings(names)

	path, rawQuery, _ := strings.Cut(q.target, "?")
	path, _ = url.PathUnescape(path)
	var parts []string
	for _, part := range strings.Split(path, "/") {
		parts = append(parts, percent(part))
	}
	uri := strings.Join(parts, "/")
	if !strings.HasSuffix(uri, "/") {
		uri += "/"
	}
	values, _ := url.ParseQuery(rawQuery)
	var keys, pairs []string
	for k, vs := range values {
		keys = append(keys, k)
		sort.Strings(vs)
	}
	sort.Strings(keys)
	for _, k := range keys {
		for _, v := range values[k] {
			pairs = append(pairs, percent(k)+"="+percent(v))
		}
	}
	hash := hexHash([]byte(q.body))
	if named := q.header["x-sdk-content-sha256"]; named != "" {
		hash = named
	}
	canonical := q.method + "\n" + uri + "\n" + strings.Join(pairs, "&") + "\n"
	for _, k := range names {
		canonical += k + ":" + strings.TrimSpace(headers[k]) + "\n"
	}
	canonical += "\n" + strings.Join(names, ";") + "\n" + hash

	mac := hmac.New(sha256.New, []byte(q.key.Secret))
	mac.Write([]byte("SDK-HMAC-SHA256\n" + date + "\n" + hexHash([]byte(canonical))))
	r.Header.Set("Authorization", fmt.Sprintf("SDK-HMAC-SHA256 Access=%s, SignedHeaders=%s, Signature=%x",
		q.key.Access, strings.Join(names, ";"), mac.Sum(nil)))
	for k, v := range q.unsigned {
		r.Header.Set(k, v)
	}
	if q.after != nil {
		q.after(r)
	}
	return r
}

// reply is an answer with its body read.
type reply struct {
	status int
	header http.Header
	body   string
}

// send has the cloud answer the request.
func (q request) send(t testing.TB, c http.Handler) reply {
	t.Helper()
	return read(t, do(c, q.build()))
}

func read(t testing.TB, r *http.Response) reply {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{r.StatusCode, r.Header, string(body)}
}

// get is a signed GET.
func get(key simcloud.Key, target string) request {
	return request{method: http.MethodGet, target: target, key: key}
}

// decode reads a JSON body strictly: a member that the test does not know fails it.
func (r reply) decode(t testing.TB, v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader([]byte(r.body)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("decode %s: %v", r.body, err)
	}
}

// wantKeystone checks an error of IAM v3.
func (r reply) wantKeystone(t testing.TB, status int, text string) {
	t.Helper()
	var body struct {
		Error struct {
			Message string
			Code    int
			Title   string
		}
	}
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	r.decode(t, &body)
	if body.Error.Code != status || body.Error.Title != http.StatusText(status) ||
		!strings.Contains(body.Error.Message, text) {
		t.Errorf("answer %s, want %d with %q", r.body, status, text)
	}
}

// wantCode checks an error of the gateway, of IAM v5 or of EPS: the request id is the one of the header.
func (r reply) wantCode(t testing.TB, status int, code, text string) {
	t.Helper()
	var body struct {
		Code      string `json:"error_code"`
		Message   string `json:"error_msg"`
		RequestID string `json:"request_id"`
		Detail    string `json:"encoded_authorization_message"`
	}
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	r.decode(t, &body)
	id := r.header.Get("X-Request-Id")
	if strings.HasPrefix(code, "Organizations.") || strings.HasPrefix(code, "STS5.") {
		id = "" // these services put none into the body
	}
	if body.Code != code || !strings.Contains(body.Message, text) || body.RequestID != id {
		t.Errorf("answer %s, want %d %s with %q and the request id %s", r.body, status, code, text,
			r.header.Get("X-Request-Id"))
	}
	if gateway := strings.HasPrefix(code, "APIGW."); gateway != strings.HasSuffix(r.body, "\n") {
		t.Errorf("answer %q: only the gateway ends bodies with a newline", r.body)
	}
	if (code == "PAP5.0001" || code == "STS5.1001") && body.Detail == "" {
		t.Errorf("answer %s: want encoded_authorization_message", r.body)
	}
}

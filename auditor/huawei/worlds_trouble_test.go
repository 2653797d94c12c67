package huawei_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// trouble is what happens to some of the answers of one run: those of its endpoints, from the skip-th on, so many times.
type trouble struct {
	kind        *spoil
	eps         []endpoint
	run         int
	skip, times int
	salt        uint64
}

// spoil is one way in which an answer can be spoilt.
type spoil struct {
	name string
	// on are the endpoints that it makes sense for; nil for all.
	on []endpoint
	// harmless ones leave the answer true, in another dress or later; late ones so late that it may not be waited for.
	harmless, late bool
	// lies are whole, and untrue. They are told of every page, of the same list.
	lies bool
	// Exactly one of these says how: carry replaces the answer, list the rows of all pages, page those of one page, bytes
	// the body and head the header.
	carry func(x *exchange) (*http.Response, error)
	list  func(x *exchange)
	page  func(x *exchange, rows []item, next int) ([]item, int)
	bytes func(x *exchange, body []byte) []byte
	head  func(h http.Header, body []byte) []byte
}

var (
	planeEndpoints = []endpoint{epGlobal, epInherited, epProject, epEnterprise}
	pagedEndpoints = []endpoint{epAgencies, epAllAgencies, epGlobal, epInherited, epProject, epEnterprise, epIdentity, epCatalogue}
	countEndpoints = []endpoint{epGlobal, epInherited, epProject, epEnterprise, epIdentity}
	grantEndpoints = []endpoint{epGlobal, epInherited, epProject, epEnterprise, epIdentity, epGlobalRoles, epInheritedRoles}
	listEndpoints  = []endpoint{
		epAgencies, epAllAgencies, epGlobal, epInherited, epProject, epEnterprise, epIdentity, epGlobalRoles, epInheritedRoles, epCatalogue,
	}
)

// listKey is the member that holds the list of an endpoint's answer.
var listKey = [epCount]string{
	"agencies", "agencies", "role_assignments", "role_assignments", "role_assignments", "role_assignments", "attached_policies", "roles",
	"roles", "roles", "role", "projects", "domains", "credential",
}

// fails makes a request fail without an answer.
func fails(err error) func(*exchange) (*http.Response, error) {
	return func(x *exchange) (*http.Response, error) {
		if err := x.pass(x.latency()); err != nil {
			return nil, err
		}
		return nil, err
	}
}

// says answers with a status, in the form of errors of the service or with the body that is given.
func says(status int, body string) func(*exchange) (*http.Response, error) {
	return func(x *exchange) (*http.Response, error) {
		if err := x.pass(x.latency()); err != nil {
			return nil, err
		}
		if body == "" {
			return x.keystone(status, http.StatusText(status)), nil
		}
		return x.reply(status, []byte(body)), nil
	}
}

// whole answers with the truth under another status.
func whole(status int) func(*exchange) (*http.Response, error) {
	return func(x *exchange) (*http.Response, error) {
		if err := x.pass(x.latency()); err != nil {
			return nil, err
		}
		resp := x.answer()
		resp.StatusCode = status
		return resp, nil
	}
}

// broken sends the first half of the truth, and then an error.
func broken(err error, length bool) func(*exchange) (*http.Response, error) {
	return func(x *exchange) (*http.Response, error) {
		if err := x.pass(x.latency()); err != nil {
			return nil, err
		}
		resp := x.answer()
		body, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), &failing{err}))
		if !length {
			resp.ContentLength = -1
		}
		return resp, nil
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

// dripping gives a byte a second until it is given up.
type dripping struct {
	x    *exchange
	body []byte
}

func (d *dripping) Read(p []byte) (int, error) {
	if err := d.x.pass(time.Second); err != nil {
		return 0, err
	}
	if len(d.body) == 0 {
		return 0, io.EOF
	}
	p[0] = d.body[0]
	d.body = d.body[1:]
	return 1, nil
}

// replaced turns the first occurrence of one text into another.
func replaced(from, to string) func(*exchange, []byte) []byte {
	return func(_ *exchange, body []byte) []byte { return bytes.Replace(body, []byte(from), []byte(to), 1) }
}

// instead sends a text that does not depend on the truth.
func instead(body string) func(*exchange, []byte) []byte {
	return func(*exchange, []byte) []byte { return []byte(body) }
}

// flawed spoils one row.
func flawed(f flaw) func(*exchange) {
	return func(x *exchange) {
		if n := len(x.list); n > 0 {
			x.list = slices.Clone(x.list)
			x.list[x.trouble.salt%uint64(n)].flaw = f
		}
	}
}

// recounted changes the count that goes with a list.
func recounted(by int) func(*exchange, []item, int) ([]item, int) {
	return func(x *exchange, rows []item, next int) ([]item, int) {
		x.total += by
		return rows, next
	}
}

var spoils = []*spoil{
	// Connections.
	{name: "refused", carry: fails(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})},
	{name: "dns", carry: fails(&net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "iam", IsNotFound: true}})},
	{name: "reset", carry: fails(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)})},
	{name: "tls", carry: fails(&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}})},
	{name: "reset_mid_body", carry: broken(&net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, true)},
	{name: "short_body", carry: broken(io.ErrUnexpectedEOF, true)},
	{name: "chunk_lost", carry: broken(io.EOF, false)},
	// Time.
	{name: "hang", carry: func(x *exchange) (*http.Response, error) { return nil, x.pass(24 * time.Hour) }},
	{name: "drip", late: true, carry: func(x *exchange) (*http.Response, error) {
		resp := x.answer()
		body, _ := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(&dripping{x, body})
		return resp, nil
	}},
	{name: "slow", harmless: true, carry: func(x *exchange) (*http.Response, error) {
		if err := x.pass(lateness); err != nil {
			return nil, err
		}
		return x.answer(), nil
	}},
	// Status.
	{name: "status_202", carry: whole(202)}, {name: "status_206", carry: whole(206)}, {name: "status_203", carry: whole(203)},
	{name: "status_204", carry: func(x *exchange) (*http.Response, error) { return x.reply(204, nil), x.pass(x.latency()) }},
	{name: "status_304", carry: func(x *exchange) (*http.Response, error) { return x.reply(304, nil), x.pass(x.latency()) }},
	{name: "redirect", carry: func(x *exchange) (*http.Response, error) {
		resp := x.reply(302, nil)
		resp.Header.Set("Location", "http://169.254.169.254/latest/meta-data")
		return resp, x.pass(x.latency())
	}},
	{name: "status_400", carry: says(400, "")}, {name: "status_401", carry: says(401, "")}, {name: "status_403", carry: says(403, "")},
	{name: "status_404", carry: says(404, "")}, {name: "status_409", carry: says(409, "")}, {name: "status_500", carry: says(500, "")},
	{name: "status_502", carry: says(502, "<html>bad gateway</html>")}, {name: "status_503", carry: says(503, "")},
	{name: "status_504", carry: says(504, "<html>gateway timeout</html>")},
	{name: "status_429", carry: says(429, `{"error_msg":"slow down","error_code":"APIGW.0308"}`)},
	{name: "retry_after", carry: func(x *exchange) (*http.Response, error) {
		resp := x.reply(429, []byte(`{"error_msg":"slow down","error_code":"APIGW.0308"}`))
		resp.Header.Set("Retry-After", strconv.Itoa(1+int(x.salt%5)))
		return resp, x.pass(x.latency())
	}},
	{name: "unpublished", carry: says(404, `{"error_msg":"The API does not exist","error_code":"APIGW.0101","request_id":"r"}`)},
	{name: "key_expired", carry: func(x *exchange) (*http.Response, error) {
		x.s.mu.Lock()
		if t, ok := x.s.keys[x.key]; ok {
			t.ends = time.Now()
			x.s.keys[x.key] = t
		}
		x.s.mu.Unlock()
		return says(401, "")(x)
	}},
	// A bug of this program, since no cloud can be the cause of one.
	{name: "panic", carry: func(*exchange) (*http.Response, error) { panic("a bug that was put here, with a canary-secret") }},
	// Bytes.
	{name: "empty_200", bytes: instead("")}, {name: "object_200", bytes: instead("{}")}, {name: "null_200", bytes: instead("null")},
	{name: "array_200", bytes: instead("[]")}, {name: "html_200", bytes: instead("<html>log in</html>")},
	{name: "error_200", bytes: instead(`{"error_code":"IAM.0001","error_msg":"no"}`)},
	{name: "keystone_200", bytes: instead(`{"error":{"code":500,"message":"no"}}`)},
	{name: "error_beside_list", bytes: func(_ *exchange, body []byte) []byte {
		return append(append([]byte(`{"error_code":"IAM.0001",`), body[1:len(body)-1]...), '}')
	}},
	{name: "null_list", on: listEndpoints, bytes: func(x *exchange, _ []byte) []byte { return withoutList(x, "null") }},
	{name: "list_is_object", on: listEndpoints, bytes: func(x *exchange, _ []byte) []byte { return withoutList(x, "{}") }},
	{name: "truncated", bytes: func(x *exchange, body []byte) []byte { return body[:x.salt%uint64(len(body))] }},
	{name: "trailing_bytes", bytes: func(_ *exchange, body []byte) []byte { return append(bytes.Clone(body), `{"more":1}`...) }},
	{name: "duplicate_key", bytes: func(x *exchange, body []byte) []byte {
		return append(append(bytes.Clone(body[:len(body)-1]), `,"`+listKey[x.ep]+`":[]`...), '}')
	}},
	{name: "duplicate_id", bytes: func(_ *exchange, body []byte) []byte {
		return bytes.Replace(body, []byte(`"id":"`), []byte(`"id":"","id":"`), 1)
	}},
	{name: "wrong_case_key", bytes: func(x *exchange, body []byte) []byte {
		key := []byte(listKey[x.ep])
		return bytes.Replace(body, key, bytes.ToUpper(key), 1)
	}},
	{name: "wrong_type", bytes: func(x *exchange, body []byte) []byte {
		return replaced(`"`+listKey[x.ep]+`":`, `"`+listKey[x.ep]+`":7,"x":`)(x, body)
	}},
	{name: "invalid_utf8", bytes: func(_ *exchange, body []byte) []byte {
		return append([]byte("{\"x\":\"\xff\xfe\","), body[1:]...)
	}},
	{name: "byte_order_mark", bytes: func(_ *exchange, body []byte) []byte { return append([]byte("\xef\xbb\xbf"), body...) }},
	{name: "deep_json", bytes: func(_ *exchange, body []byte) []byte {
		deep := append(bytes.Repeat([]byte("["), 3000), bytes.Repeat([]byte("]"), 3000)...)
		return append(append(append([]byte(`{"x":`), deep...), ','), body[1:]...)
	}},
	{name: "flip", bytes: flip}, {name: "flip_alike", bytes: flipAlike},
	{name: "byte_lost", bytes: func(x *exchange, body []byte) []byte {
		i := int(x.salt % uint64(len(body)))
		return slices.Delete(bytes.Clone(body), i, i+1)
	}},
	{name: "huge_body", bytes: func(_ *exchange, body []byte) []byte {
		return append(append(bytes.Clone(body[:len(body)-1]), `,"x":"`+string(bytes.Repeat([]byte("x"), worldMaxBody))+`"`...), '}')
	}},
	{name: "space", harmless: true, bytes: func(_ *exchange, body []byte) []byte {
		return append(append([]byte(" \r\n\t"), bytes.ReplaceAll(body, []byte(`},{`), []byte("} ,\n {"))...), " \n"...)
	}},
	{name: "unknown_members", harmless: true, bytes: func(_ *exchange, body []byte) []byte {
		return append([]byte(`{"new_member":[{"a":null}],`), body[1:]...)
	}},
	// Headers.
	{name: "content_type", head: func(h http.Header, body []byte) []byte { h.Set("Content-Type", "text/html"); return body }},
	{name: "gzip", head: func(h http.Header, body []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body)
		_ = z.Close()
		h.Set("Content-Encoding", "gzip")
		return b.Bytes()
	}},
	{name: "no_request_id", harmless: true, head: func(h http.Header, body []byte) []byte { h.Del("X-Request-Id"); return body }},
	{name: "hostile_request_id", harmless: true, head: func(h http.Header, body []byte) []byte {
		h.Set("X-Request-Id", "\"><script>\u202e"+string(bytes.Repeat([]byte("x"), 500)))
		return body
	}},
	// Pages.
	{name: "page_loop", on: pagedEndpoints, page: func(x *exchange, _ []item, _ int) ([]item, int) {
		x.page = 1
		rows, next := x.paged()
		return rows, max(next, 1)
	}},
	{name: "page_overlap", on: pagedEndpoints, page: func(x *exchange, rows []item, next int) ([]item, int) {
		if x.page > 1 && len(rows) > 0 {
			if at := slices.Index(x.list, rows[0]); at > 0 {
				rows = append([]item{x.list[at-1]}, rows...)
			}
		}
		return rows, next
	}},
	{name: "page_skipped", on: pagedEndpoints, page: func(x *exchange, _ []item, _ int) ([]item, int) {
		if x.page > 1 {
			x.page++
		}
		return x.paged()
	}},
	{name: "early_end", on: pagedEndpoints, page: func(x *exchange, rows []item, next int) ([]item, int) {
		if x.page > 1 || x.query("marker") != "" {
			return nil, 0
		}
		return rows, next
	}},
	{name: "rows_lost", on: countEndpoints, page: func(x *exchange, rows []item, next int) ([]item, int) {
		if x.ep == epIdentity && len(rows) > 0 {
			x.total++ // its count is of the page
		}
		return rows[:max(0, len(rows)-1)], next
	}},
	{name: "endless", on: pagedEndpoints, page: func(x *exchange, _ []item, _ int) ([]item, int) {
		filler := item{id: hexID('9', int(x.salt%1e6), x.page+int(x.salt>>40)), name: "filler", owner: x.agencyID, agency: &agencyRecord{created: began}}
		switch {
		case x.m != nil && (x.ep <= epAllAgencies || x.ep <= epInherited):
			filler.in = x.m.account.ID
			if x.ep <= epAllAgencies {
				filler.owner = x.m.account.ID
			}
		case x.ep == epCatalogue:
			filler.owner = ""
		}
		if x.ep >= epProject && x.ep <= epEnterprise {
			filler.in = "p1"
		}
		if x.ep <= epEnterprise {
			x.total = 1 << 20
		}
		return []item{filler}, int(x.salt>>20)&0xffffff + 1
	}},
	{name: "unstable", on: pagedEndpoints, list: func(x *exchange) {
		if n := len(x.list); n > 1 {
			x.list = append(slices.Clone(x.list[x.page%n:]), x.list[:x.page%n]...)
		}
	}},
	{name: "last_again", on: []endpoint{epAgencies, epAllAgencies, epCatalogue}, harmless: true, page: func(x *exchange, rows []item, next int) ([]item, int) {
		for len(rows) == 0 && x.page > 1 {
			x.page--
			rows, next = x.paged()
		}
		return rows, next
	}},
	{name: "reversed", on: listEndpoints, harmless: true, list: func(x *exchange) {
		x.list = slices.Clone(x.list)
		slices.Reverse(x.list)
	}},
	// Counts.
	{name: "count_up", on: countEndpoints, page: recounted(1)}, {name: "count_down", on: countEndpoints, page: recounted(-1)},
	{name: "count_wild", on: countEndpoints, page: func(x *exchange, rows []item, next int) ([]item, int) {
		x.total += 1 + int(x.salt%7)
		return rows, next
	}},
	// Rows.
	{name: "no_id", on: listEndpoints, list: flawed(noID)}, {name: "number_id", on: listEndpoints, list: flawed(numberID)},
	{name: "other_scope", on: planeEndpoints, list: flawed(otherScope)},
	{name: "other_inheritance", on: planeEndpoints, list: flawed(otherInheritance)},
	{name: "also_a_user", on: planeEndpoints, list: flawed(alsoUser)},
	{name: "no_owner", on: []endpoint{epCatalogue, epPolicy}, list: flawed(noOwner)},
	{name: "custom_of_nobody", on: []endpoint{epCatalogue, epPolicy}, list: flawed(customCatalogue)},
	{name: "same_id", on: listEndpoints, list: func(x *exchange) {
		if n := len(x.list); n > 0 {
			x.list = append(slices.Clone(x.list), x.list[x.trouble.salt%uint64(n)])
		}
	}},
	{name: "foreign_agency", on: planeEndpoints, list: foreign(func(_ *exchange, r *item) { r.owner = hexID('a', 99, 9) })},
	{name: "foreign_account", on: []endpoint{epAgencies, epAllAgencies, epGlobal, epInherited}, list: foreign(func(x *exchange, r *item) {
		r.in = hexID('d', 99, 0)
		if x.ep <= epAllAgencies {
			r.owner = r.in
		}
	})},
	// Keys.
	{name: "half_key", on: []endpoint{epAssume}, bytes: replaced(`"canary-token"`, `""`)},
	{name: "ended_key", on: []endpoint{epAssume}, bytes: replaced(`"expires_at":"2`, `"expires_at":"1`)},
	{name: "endless_key", on: []endpoint{epAssume}, bytes: replaced(`"expires_at":"2`, `"expires_at":"9`)},
	{name: "key_of_another", on: []endpoint{epAssume}, list: func(x *exchange) {
		x.s.mu.Lock()
		defer x.s.mu.Unlock()
		t := x.s.keys[x.list[0].id]
		t.account = x.s.members[(x.m.n+1)%len(x.s.members)].account.ID
		if t.account == x.m.account.ID {
			t.account = homeID
		}
		x.s.keys[x.list[0].id] = t
	}},
	{name: "owner_of_another", on: []endpoint{epDomains}, list: func(x *exchange) { x.list = []item{{id: hexID('d', 99, 0), name: "n"}} }},
	{name: "two_owners", on: []endpoint{epDomains}, list: func(x *exchange) { x.list = append(x.list, item{id: hexID('d', 99, 0), name: "n"}) }},
	// Lies: whole answers that are untrue.
	{name: "lie_empty", lies: true, on: append([]endpoint{epAgencies, epAllAgencies}, grantEndpoints...), list: func(x *exchange) { x.list = nil }},
	{name: "lie_row_lost", lies: true, on: grantEndpoints, list: func(x *exchange) {
		if n := len(x.list); n > 0 {
			i := int(x.trouble.salt % uint64(n))
			x.list = slices.Delete(slices.Clone(x.list), i, i+1)
		}
	}},
	{name: "lie_other_policy", lies: true, on: grantEndpoints, list: func(x *exchange) {
		if n := len(x.list); n > 0 {
			x.list = slices.Clone(x.list)
			x.list[x.trouble.salt%uint64(n)].id = vendorID(int(x.trouble.salt>>8) % vendorCount)
			x.list = distinct(x.list)
		}
	}},
	{name: "lie_another_row", lies: true, on: grantEndpoints, list: func(x *exchange) {
		r := item{id: vendorID(int(x.trouble.salt>>8) % vendorCount), name: "AdministratorAccess", urn: "iam::system:policy:AdministratorAccess"}
		r.owner, r.in = x.agencyID, x.m.account.ID
		if x.ep == epProject || x.ep == epEnterprise {
			r.in = "0"
		}
		x.list = distinct(append(slices.Clone(x.list), r))
	}},
	{name: "lie_no_agency", lies: true, on: []endpoint{epAgencies, epAllAgencies}, list: func(x *exchange) {
		x.list = slices.DeleteFunc(slices.Clone(x.list), func(r item) bool { return r.name == audited })
	}},
	{name: "lie_trust", lies: true, on: []endpoint{epAgencies}, list: another(func(a *agencyRecord) { a.trustID = hexID('c', 8, 8) })},
	{name: "lie_validity", lies: true, on: []endpoint{epAgencies}, list: another(func(a *agencyRecord) {
		if a.ends.IsZero() {
			a.ends = began.AddDate(0, 0, 3)
		} else {
			a.ends = time.Time{}
		}
	})},
	{name: "lie_policy_name", lies: true, on: []endpoint{epPolicy}, list: func(x *exchange) {
		x.list = slices.Clone(x.list)
		x.list[0].name = "another name"
	}},
	{name: "lie_policy_owner", lies: true, on: []endpoint{epPolicy}, list: func(x *exchange) {
		x.list = slices.Clone(x.list)
		x.list[0].owner = ""
	}},
}

// dark is how many of the spoils make an account dark: those of connections, time and status.
var dark = slices.IndexFunc(spoils, func(k *spoil) bool { return k.bytes != nil })

// distinct leaves out what is twice in a list.
func distinct(list []item) []item {
	var out []item
	for _, r := range list {
		if !slices.ContainsFunc(out, func(o item) bool { return o.id == r.id && o.in == r.in }) {
			out = append(out, r)
		}
	}
	return out
}

// foreign turns a copy of one row into one that does not belong there, and counts it.
func foreign(change func(*exchange, *item)) func(*exchange) {
	return func(x *exchange) {
		if n := len(x.list); n > 0 {
			r := x.list[x.trouble.salt%uint64(n)]
			change(x, &r)
			r.id = hexID('9', 9, 9)
			x.list = append(slices.Clone(x.list), r)
		}
	}
}

// another tells of the audited agency what is not true.
func another(change func(*agencyRecord)) func(*exchange) {
	return func(x *exchange) {
		x.list = slices.Clone(x.list)
		for i := range x.list {
			if x.list[i].name == audited {
				a := *x.list[i].agency
				change(&a)
				x.list[i].agency = &a
			}
		}
	}
}

// withoutList is an answer that has something else where the list should be.
func withoutList(x *exchange, value string) []byte {
	body := `{"total_num":0,"page_info":{"current_count":0},"links":{},"` + listKey[x.ep] + `":` + value + `}`
	return []byte(body)
}

// flip turns one byte into another.
func flip(x *exchange, body []byte) []byte {
	body = bytes.Clone(body)
	body[x.salt%uint64(len(body))] ^= 1 << (x.salt >> 32 % 8)
	return body
}

// flipAlike turns one letter or digit into another of its kind, so that the answer still makes sense.
func flipAlike(x *exchange, body []byte) []byte {
	body = bytes.Clone(body)
	n := uint64(len(body))
	for i := x.salt % n; ; i = (i + 1) % n {
		step := byte(x.salt>>32%8) + 1
		switch c := body[i]; {
		case c >= '0' && c <= '9':
			body[i] = '0' + (c-'0'+step)%10
		case c >= 'a' && c <= 'z':
			body[i] = 'a' + (c-'a'+step)%26
		default:
			continue
		}
		return body
	}
}

// lateness is how long a late answer takes.
const lateness = 7 * time.Second

// worldMaxBody bounds the answers in the worlds.
const worldMaxBody = 64 << 10

// spoil answers a request that is in trouble, and writes down what came of it.
func (x *exchange) spoil(b *book) (*http.Response, error) {
	k := x.trouble.kind
	if k.carry != nil {
		x.now = time.Now()
		x.note(func() {
			b.touched = append(b.touched, k.name)
			if k.harmless || k.late {
				b.honest[x.ep]++
			}
			if !k.harmless {
				b.spoilt = true
			}
			if k.name == "unpublished" && (x.ep == epEnterprise || x.ep == epIdentity) {
				b.lies = append(b.lies, lie{ep: x.ep, kind: k.name, agencyID: x.agencyID})
			}
		})
		x.s.tally.happened(k.name)
		return k.carry(x)
	}
	if err := x.pass(x.latency()); err != nil {
		return nil, err
	}
	if refusal := x.prepare(); refusal != nil {
		x.note(func() { b.honest[x.ep]++ })
		return refusal, nil
	}
	truth := x.list
	clean := x.render()
	if k.list != nil {
		x.list = truth
		x.page = max(number(x.query("page")), 1)
		k.list(x)
	}
	rows, next := x.paged()
	if k.page != nil {
		rows, next = k.page(x, rows, next)
	}
	body := x.write(rows, next)
	if k.bytes != nil {
		body = k.bytes(x, body)
	}
	resp := x.respond(body)
	if k.head != nil {
		body = k.head(resp.Header, body)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	idle := bytes.Equal(body, clean) && k.head == nil && k.name != "key_of_another"
	x.note(func() {
		switch {
		case idle || k.harmless:
			b.honest[x.ep]++
		case k.lies:
			b.spoilt = true
			b.lies = append(b.lies, lie{ep: x.ep, kind: k.name, items: x.list, agencyID: x.agencyID})
		default:
			b.spoilt = true
			if !sensible(clean, body) {
				break
			}
			b.said[x.ep]++
			switch {
			case k.page != nil && (x.ep <= epAllAgencies || x.ep == epCatalogue):
				// A list without a count that ends too early is whole to whoever reads it, be it twice.
				b.lies = append(b.lies, lie{ep: x.ep, kind: k.name, items: rows})
			case k.page != nil && x.ep == epIdentity:
				from := min(number(strings.TrimPrefix(x.query("marker"), "m")), len(x.list))
				b.lies = append(b.lies, lie{ep: x.ep, kind: k.name, items: slices.Concat(x.list[:from], rows)})
			case k.name == "count_down":
				// Short pages that are counted short are the list without its last rows, page by page.
				b.lies = append(b.lies, lie{ep: x.ep, kind: k.name, items: x.list[:max(0, min(x.total, len(x.list)))], agencyID: x.agencyID})
			case k.bytes != nil:
				b.flips[x.ep]++
			}
		}
		if !idle {
			b.touched = append(b.touched, k.name)
		}
	})
	if !idle {
		x.s.tally.happened(k.name)
	}
	return resp, nil
}

// note writes into a book.
func (x *exchange) note(do func()) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	do()
}

// sensible says whether a spoilt body is still JSON and says something else.
func sensible(clean, body []byte) bool {
	var was, is any
	return json.Unmarshal(body, &is) == nil && json.Unmarshal(clean, &was) == nil && !reflect.DeepEqual(was, is)
}

// troubleFor finds what happens to the nth request of a run to an endpoint.
func (s *sky) troubleFor(m *member, ep endpoint, run, nth int) *trouble {
	if m != nil && m == s.hail {
		kinds := kindsOn[ep]
		return &trouble{kind: kinds[mix(s.seed, uint64(ep), uint64(nth), uint64(run), 0xba1)%uint64(len(kinds))], salt: mix(s.seed, uint64(nth))}
	}
	list := s.mainFaults
	if m != nil {
		list = m.faults
	}
	for _, t := range list {
		if t.run != run || nth < t.skip || t.times > 0 && nth >= t.skip+t.times {
			continue
		}
		if slices.Contains(t.eps, ep) || t.eps[0] == epAny {
			return t
		}
	}
	return nil
}

// kindsOn are the spoils that make sense for an endpoint, by endpoint.
var kindsOn = func() (list [epCount][]*spoil) {
	for ep := range epCount {
		for _, k := range spoils {
			if k.on == nil || slices.Contains(k.on, ep) {
				list[ep] = append(list[ep], k)
			}
		}
	}
	return list
}()

// witnesses are the endpoints that say the same as another one.
var witnesses = map[endpoint]endpoint{
	epAgencies: epAllAgencies, epAllAgencies: epAgencies, epGlobal: epGlobalRoles, epGlobalRoles: epGlobal,
	epInherited: epInheritedRoles, epInheritedRoles: epInherited,
}

// anywhere are the endpoints that troubles without a place of their own happen at, in the shares in which they matter.
var anywhere = []endpoint{
	epAgencies, epAgencies, epAgencies, epAllAgencies, epGlobal, epGlobal, epGlobal, epInherited, epInherited, epInherited, epProject, epProject,
	epEnterprise, epEnterprise, epIdentity, epIdentity, epGlobalRoles, epInheritedRoles, epCatalogue, epCatalogue, epPolicy, epProjects, epDomains,
	epAssume,
}

func newTrouble(r *rand.Rand, kind *spoil, ep endpoint, run int) *trouble {
	t := &trouble{kind: kind, eps: []endpoint{ep}, run: run, salt: r.Uint64(), times: pick(r, 1, 1, 1, 2, 3, 0), skip: pick(r, 0, 0, 0, 0, 1, 2)}
	if kind.list != nil && kind.harmless || kind.page != nil {
		t.skip, t.times = 0, 0 // of all pages alike
	}
	if kind.lies {
		t.skip, t.times = 0, pick(r, 0, 0, 1) // always, or to the first who asks
		if other, ok := witnesses[ep]; ok && chance(r, 1, 3) && slices.Contains(kind.on, other) {
			t.eps = append(t.eps, other) // all witnesses tell the same lie
		}
	}
	return t
}

// newTroubles makes what happens to an account's answers.
func newTroubles(r *rand.Rand, w *world, m *member) {
	for run := range w.runs {
		for range pick(r, 0, 0, 0, 1, 1, 1, 1, 2, 3) {
			kind := pick(r, spoils...)
			on := kind.on
			if on == nil {
				on = anywhere
			}
			ep := pick(r, on...)
			if slices.ContainsFunc(m.faults, func(t *trouble) bool { return t.run == run && slices.Contains(t.eps, ep) }) {
				continue // two on one endpoint could make a lie together
			}
			m.provoke(r, kind, ep)
			m.faults = append(m.faults, newTrouble(r, kind, ep, run))
		}
		if chance(r, 1, 30) { // an account that is dark altogether
			t := newTrouble(r, pick(r, spoils[:dark]...), epAny, run)
			t.skip, t.times = pick(r, 0, 1, 2, 5), 0
			m.faults = append(m.faults, t)
		}
	}
}

// provoke makes the account such that a kind of trouble at an endpoint makes a difference.
func (m *member) provoke(r *rand.Rand, kind *spoil, ep endpoint) {
	first := m.history[0].state
	switch {
	case (kind.page != nil || kind.name == "unstable") && chance(r, 3, 4): // short pages
		m.habits.rowCap, m.habits.attachedCap, m.habits.agencyCap, m.habits.ragged = 1, 1, 1, false
		if ep <= epAllAgencies && len(first.named(audited)) == 1 && chance(r, 1, 2) { // and none of them enough
			m.replace(&state{custom: first.custom, agencies: []*agencyRecord{{
				id: hexID('a', m.n+1, 3), name: entrance, trustID: homeID, trustName: "home", created: began,
			}, {id: hexID('a', m.n+1, 4), name: "other", trustID: homeID, created: began}}})
		}
	case slices.Contains(kind.on, epPolicy) || kind.on == nil && ep == epPolicy: // a policy that has to be looked up
		if list := first.named(audited); len(list) > 0 {
			a := list[0].clone()
			p := customPolicy{id: hexID('f', m.n+1, r.IntN(1<<30)), name: pick(r, hostileNames...)}
			a.add(r.IntN(2), row{p.id, ""})
			next := first.with(a)
			next.custom = append(slices.Clone(first.custom), p)
			m.replace(next)
		}
	case ep == epDomains || ep == epAllAgencies: // asked about where there is no agency
		next := &state{custom: first.custom}
		for _, a := range first.agencies {
			if a.name != audited {
				next.agencies = append(next.agencies, a)
			}
		}
		m.replace(next)
	case ep == epIdentity && !m.habits.noIdentity && chance(r, 1, 2):
		if list := first.named(audited); len(list) > 0 {
			a := list[0].clone()
			a.attached = append(a.attached, attachment{hexID('7', m.n+1, r.IntN(1<<30)), "IAMReadOnlyPolicy", "iam::system:policy:IAMReadOnlyPolicy"})
			m.replace(first.with(a))
		}
	}
}

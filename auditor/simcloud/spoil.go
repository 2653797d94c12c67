package simcloud

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The sizes of what is too large.
const (
	hugeSize = 256 << 20 // bytes, of a huge body and of an unpacked bomb
	deepSize = 100_000   // arrays within each other
	manySize = 200_000   // rows
)

// What answers in the cloud's place.
const (
	badGatewayPage = "<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\r\n"
	signInPage     = "<html><head><title>Sign in</title></head><body>Sign in to use this network.</body></html>\r\n"
	// metadataURL is where servers of the cloud find their own credentials.
	metadataURL = "http://169.254.169.254/openstack/latest/securitykey"
)

// fixed is an answer that has nothing to do with the request.
func fixed(status int, kind, body string) func(*call) answer {
	return func(*call) answer { return answer{status: status, kind: kind, body: []byte(body)} }
}

func redirect(to string) answer { return answer{status: http.StatusFound, location: to} }

// refusing refuses the request in the form of the service that was asked. Codes of IAM v5 and EPS that are not printed
// anywhere are replaced by the gateway's: our inference.
func refusing(status int) func(*call) answer {
	return func(x *call) answer {
		switch {
		case x.op.service == metadataService:
			return x.plain(status, strconv.Itoa(status)+" "+http.StatusText(status))
		case status == http.StatusBadRequest:
			return x.badRequest("The request is invalid")
		case status == http.StatusUnauthorized:
			return x.unauthenticated(unauthorized)
		case status == http.StatusForbidden:
			return x.denied()
		case status == http.StatusTooManyRequests:
			return x.throttled(time.Second)
		case x.op.service == keystoneService:
			return x.keystone(status, "%s", refusals[status])
		case status == http.StatusNotFound && x.op.service == identityService:
			return x.noEntity("resource", "that was asked for")
		case status == http.StatusNotFound && x.op.service == organizationsService:
			return x.noResource("resource", "that was asked for")
		case status == http.StatusNotFound && x.op.name == assumeBySTS:
			return x.stsError(status, "STS5.1106", "The agency cannot be found.", "")
		case status == http.StatusNotFound:
			return x.gateway(status, "APIGW.0101", notPublished)
		}
		return x.gateway(status, "APIGW.0103", refusals[status])
	}
}

// refusals are the texts of refusals that say nothing about the request.
var refusals = map[int]string{
	http.StatusNotFound:            "Could not find the resource",
	http.StatusInternalServerError: "An unexpected error prevented the server from fulfilling your request",
	http.StatusServiceUnavailable:  "The service is temporarily unavailable",
}

// errorAs200 refuses the request and calls that a success.
func (x *call) errorAs200() answer {
	a := x.denied()
	a.status = http.StatusOK
	return a
}

// doneWith are the operations that change grants, with the status of their good answers, none of which has a body.
var doneWith = map[string]int{
	"AssociateAgencyWithDomainPermission": http.StatusNoContent, "RemoveDomainPermissionFromAgency": http.StatusNoContent,
	"AssociateAgencyWithProjectPermission": http.StatusNoContent, "RemoveProjectPermissionFromAgency": http.StatusNoContent,
	"AssociateAgencyWithAllProjectsPermission": http.StatusNoContent, "RemoveAllProjectsPermissionFromAgency": http.StatusNoContent,
	"AssociateRoleToAgencyOnEnterpriseProject": http.StatusOK, "RevokeRoleFromAgencyOnEnterpriseProject": http.StatusNoContent,
	"AttachAgencyPolicyV5": http.StatusOK, "DetachAgencyPolicyV5": http.StatusOK,
}

// asDone says that it was done.
func (x *call) asDone() answer { return answer{status: doneWith[x.op.name]} }

// doneButFailed calls what was done a failure of the service.
func doneButFailed(x *call, a answer) answer {
	if a.status >= 300 {
		return a
	}
	return refusing(http.StatusInternalServerError)(x)
}

// expireKey ends the temporary key that is used, now and for good. Keys that are made afterwards are others.
func (x *call) expireKey() answer {
	x.key.session.ended.Store(true)
	return x.unauthenticated(tokenExpired)
}

// renumbered changes the status of a good answer, and leaves out the body where the new one has none.
func renumbered(status int) func(*call, answer) answer {
	return func(_ *call, a answer) answer {
		if a.status >= 300 {
			return a
		}
		a.status = status
		if status == http.StatusNoContent || status == http.StatusNotModified {
			a.body = nil
		}
		return a
	}
}

// hang lets the client wait until it gives up.
func hang(x *call, _ http.ResponseWriter, _ answer) {
	<-x.r.Context().Done()
	panic(http.ErrAbortHandler)
}

// resetAtOnce cuts the connection without an answer.
func resetAtOnce(_ *call, w http.ResponseWriter, _ answer) { reset(w) }

// slowBody stops in the middle of the body until the client gives up.
func slowBody(x *call, w http.ResponseWriter, a answer) {
	x.half(w, a)
	hang(x, w, a)
}

// resetMidBody cuts the connection in the middle of the body.
func resetMidBody(x *call, w http.ResponseWriter, a answer) {
	x.half(w, a)
	reset(w)
}

// half sends the first half of the body and makes sure that it is under way.
func (x *call) half(w http.ResponseWriter, a answer) {
	x.begin(w, a)
	_, _ = w.Write(a.body[:len(a.body)/2]) // an error means that the client is gone, which shows anyway
	_ = http.NewResponseController(w).Flush()
}

// drip sends the body at a byte a second.
func drip(x *call, w http.ResponseWriter, a answer) {
	x.begin(w, a)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for i := range a.body {
		if !wait(x.r.Context(), time.Second) {
			panic(http.ErrAbortHandler)
		}
		_, _ = w.Write(a.body[i : i+1])
		_ = flush()
	}
}

// shortBody promises a byte more than comes.
func shortBody(_ *call, a answer) answer {
	a.missing = 1
	return a
}

// nothingAtAll is what surplus sends: the body of every list, with no rows.
const nothingAtAll = `{"agencies":[],"role_assignments":[],"total_num":0,"roles":[],"attached_policies":[],"projects":[],` +
	`"page_info":{"current_count":0},"links":{}}`

// surplusLasts is how long the client may wait with its next request, before the connection is closed.
const surplusLasts = 10 * time.Second

// surplus sends the answer and, behind it, another one to whatever the client asks next over the connection. Both leave at once. What is
// no connection gets the answer alone.
func surplus(x *call, w http.ResponseWriter, a answer) {
	head := &unsent{header: http.Header{}}
	x.begin(head, a)
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		x.begin(w, a)
		_, _ = w.Write(a.body) // an error means that the client is gone
		return
	}
	defer conn.Close()
	both := bytes.NewBuffer(nil)
	for _, body := range [][]byte{a.body, []byte(nothingAtAll)} {
		resp := http.Response{
			StatusCode: head.status, ProtoMajor: 1, ProtoMinor: 1, Header: head.header, Body: io.NopCloser(bytes.NewReader(body)),
			ContentLength: int64(len(body)), Request: x.r,
		}
		_ = resp.Write(both) // a Buffer takes everything
	}
	_, _ = conn.Write(both.Bytes()) // an error means that the client is gone
	// The next request is taken, and has its answer already.
	_ = conn.SetReadDeadline(time.Now().Add(surplusLasts))
	_, _ = conn.Read(make([]byte, 1))
}

// unsent keeps the head of an answer.
type unsent struct {
	header http.Header
	status int
}

// Header is kept.
func (u *unsent) Header() http.Header { return u.header }

// Write keeps nothing.
func (u *unsent) Write(p []byte) (int, error) { return len(p), nil }

// WriteHeader keeps the status.
func (u *unsent) WriteHeader(status int) { u.status = status }

// truncated is half the body, which is all that is promised.
func truncated(_ *call, a answer) answer {
	a.body = a.body[:len(a.body)/2]
	return a
}

// onSuccess leaves refusals alone: a fault of what the cloud says is not for what it does not say.
func onSuccess(spoil func(*call, answer) answer) func(*call, answer) answer {
	return func(x *call, a answer) answer {
		if a.status >= 300 || len(a.body) == 0 {
			return a
		}
		return spoil(x, a)
	}
}

// onObject is onSuccess for answers that are JSON objects.
func onObject(spoil func(*call, answer, object) answer) func(*call, answer) answer {
	return onSuccess(func(x *call, a answer) answer { return spoil(x, a, parseObject(a.body)) })
}

// with returns the answer with another body.
func (a answer) with(o object) answer {
	a.body = o.encode()
	return a
}

// gzipped packs the body, asked for or not.
func gzipped(_ *call, a answer) answer {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(a.body) // a Buffer takes everything
	_ = w.Close()
	a.body, a.encoding = b.Bytes(), "gzip"
	return a
}

// deflate packs text in the middle or at the end of a stream, with nothing of what is before it in mind.
func deflate(text []byte, end bool) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // the level is right
	_, _ = w.Write(text)                               // a Buffer takes everything
	if end {
		_ = w.Close()
	} else {
		_ = w.Flush()
	}
	return b.Bytes()
}

// blanks are 256 MiB of blanks, which JSON does not mind, packed, with their checksum. They are made once, and cheaply:
// one packed piece of them after the other is a stream as well.
var blanks = sync.OnceValues(func() ([]byte, uint32) {
	piece := bytes.Repeat([]byte(" "), 4<<20)
	sum := uint32(0)
	for range hugeSize / len(piece) {
		sum = crc32.Update(sum, crc32.IEEETable, piece)
	}
	return bytes.Repeat(deflate(piece, false), hugeSize/len(piece)), sum
})

// gzipBomb packs the body behind 256 MiB of blanks.
func gzipBomb(_ *call, a answer) answer {
	packed, sum := blanks()
	sum = crc32.Update(sum, crc32.IEEETable, a.body)
	end := binary.LittleEndian.AppendUint32(nil, sum)
	end = binary.LittleEndian.AppendUint32(end, uint32(hugeSize+len(a.body)))
	a.body = slices.Concat([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"), packed, deflate(a.body, true), end)
	a.encoding = "gzip"
	return a
}

// padding is what a huge body repeats.
var padding = bytes.Repeat([]byte("padding."), 8<<10)

// hugeBody has a first member that makes the body 256 MiB long.
func hugeBody(_ *call, a answer) answer {
	const begin = `{"padding":"`
	end := slices.Concat([]byte(`",`), a.body[1:])
	a.stream = func(w io.Writer) error {
		if _, err := io.WriteString(w, begin); err != nil {
			return err
		}
		for left := hugeSize - len(begin) - len(end); left > 0; left -= len(padding) {
			if _, err := w.Write(padding[:min(left, len(padding))]); err != nil {
				return err
			}
		}
		_, err := w.Write(end)
		return err
	}
	return a
}

// trailingBytes has a second, empty answer follow the first.
func trailingBytes(_ *call, a answer) answer {
	a.body = slices.Concat(a.body, []byte(" {}"))
	return a
}

// withFirst returns the body with one more member before all others.
func (a answer) withFirst(key, value string) answer {
	a.body = slices.Concat([]byte(`{"`+key+`":`+value+`,`), a.body[1:])
	return a
}

// deepJSON has a first member of arrays within arrays.
func deepJSON(_ *call, a answer) answer {
	return a.withFirst("nested", strings.Repeat("[", deepSize)+strings.Repeat("]", deepSize))
}

// duplicateKey repeats the member that matters at the end, where it is empty: most decoders believe the last one.
func duplicateKey(x *call, a answer, o object) answer {
	m := *o.member(x.op.answers.key)
	m.value = []byte("{}")
	if x.op.answers.id != "" {
		m.value = []byte("[]")
	}
	return a.with(append(o, m))
}

// wrongCaseKey writes the key of the member that matters in upper case.
func wrongCaseKey(x *call, a answer, o object) answer {
	m := o.member(x.op.answers.key)
	m.key = strings.ToUpper(m.key)
	return a.with(o)
}

// wrongType makes the member that matters a string.
func wrongType(x *call, a answer, o object) answer {
	m := o.member(x.op.answers.key)
	m.value = mustJSON(string(m.value))
	return a.with(o)
}

// nameKeys are the members that hold names for people.
var nameKeys = []string{"name", "display_name", "agency_name", "policy_name", "account_name"}

// invalidUTF8 ends every name with a byte that is no UTF-8; an answer without names has a first member of that byte.
func invalidUTF8(_ *call, a answer) answer {
	found := false
	body := rewrite(a.body, func(key string, value []byte) []byte {
		if !slices.Contains(nameKeys, key) || value[0] != '"' {
			return value
		}
		found = true
		return slices.Concat(value[:len(value)-1], []byte("\xff\""))
	})
	if !found {
		return a.withFirst("note", "\"\xff\"")
	}
	a.body = body
	return a
}

// recount changes the count of a list that has one.
func (x *call) recount(o object, change func(int) int) {
	outer, inner, nested := strings.Cut(x.op.answers.count, ".")
	m := o.member(outer)
	if m == nil {
		return
	}
	if !nested {
		m.value = number(m.value, change)
		return
	}
	in := parseObject(m.value)
	count := in.member(inner)
	count.value = number(count.value, change)
	m.value = in.encode()
}

// onRows changes the rows of a list that has some; its count follows their number.
func onRows(change func(*call, []object) []object) func(*call, answer) answer {
	return onObject(func(x *call, a answer, o object) answer {
		m := o.member(x.op.answers.key)
		was := parseRows(m.value)
		if len(was) == 0 {
			return a
		}
		is := change(x, slices.Clone(was))
		m.value = encodeRows(is)
		x.recount(o, func(n int) int { return n + len(is) - len(was) })
		return a.with(o)
	})
}

// nullList has no list where the rows should be.
func nullList(x *call, a answer, o object) answer {
	o.member(x.op.answers.key).value = []byte("null")
	return a.with(o)
}

// countOff counts a row that is not there.
func countOff(x *call, a answer, o object) answer {
	x.recount(o, func(n int) int { return n + 1 })
	return a.with(o)
}

// emptyList says that there is nothing, and that this is all.
func emptyList(x *call, a answer, o object) answer {
	o.member(x.op.answers.key).value = []byte("[]")
	x.recount(o, func(int) int { return 0 })
	x.endPages(o, 0)
	return a.with(o)
}

// endPages has a list that is paged by markers say that this page of n rows is the last.
func (x *call) endPages(o object, n int) {
	m := o.member("page_info")
	switch {
	case m == nil:
	case x.op.service == organizationsService:
		m.value = mustJSON(x.orgPageInfo("", n))
	default:
		m.value = mustJSON(pageInfo{CurrentCount: n})
	}
}

// manyRows fills the list up with copies of its rows under ids of their own. A list without rows gets rows of nothing
// but an id.
func manyRows(x *call, a answer, o object) answer {
	gap := []byte{0} // which is in no JSON
	m := o.member(x.op.answers.key)
	own := parseRows(m.value)
	patterns := own
	if len(own) == 0 {
		patterns = []object{{}}
	}
	var halves [][2][]byte
	for _, row := range patterns {
		before, after, _ := bytes.Cut(row.set(x.op.answers.id, gap).encode(), gap)
		halves = append(halves, [2][]byte{before, after})
	}
	x.recount(o, func(int) int { return manySize })
	m.value = slices.Concat([]byte("["), gap, []byte("]"))
	begin, end, _ := bytes.Cut(o.encode(), gap)
	a.stream = func(w io.Writer) error {
		b := bytes.NewBuffer(slices.Clone(begin))
		for i := range manySize {
			if i > 0 {
				b.WriteByte(',')
			}
			if i < len(own) {
				b.Write(own[i].encode())
			} else {
				row := halves[i%len(halves)]
				b.Write(row[0])
				fmt.Fprintf(b, `"%032x"`, i)
				b.Write(row[1])
			}
			if b.Len() < 64<<10 {
				continue
			}
			if _, err := b.WriteTo(w); err != nil {
				return err
			}
		}
		b.Write(end)
		_, err := b.WriteTo(w)
		return err
	}
	return a
}

// noID takes the last row's id away.
func noID(x *call, rows []object) []object {
	last := len(rows) - 1
	rows[last] = rows[last].set(x.op.answers.id, nil)
	return rows
}

// sameID repeats the last row under the same id and, where rows have names, another name.
func sameID(_ *call, rows []object) []object {
	twin := slices.Clone(rows[len(rows)-1])
	for i, m := range twin {
		if slices.Contains(nameKeys, m.key) && m.value[0] == '"' {
			twin[i].value = slices.Concat(m.value[:len(m.value)-1], []byte(`-2"`))
		}
	}
	return append(rows, twin)
}

// missingRow leaves the last row out.
func missingRow(_ *call, rows []object) []object { return rows[:len(rows)-1] }

// repeatedRow has the last row twice.
func repeatedRow(_ *call, rows []object) []object { return append(rows, rows[len(rows)-1]) }

// numberTime writes when the last row began as a number, milliseconds since 1970.
func numberTime(x *call, rows []object) []object {
	last := len(rows) - 1
	at, err := time.Parse(time.RFC3339, text(rows[last].member(x.op.answers.time).value))
	if err != nil {
		panic("simcloud: a time of the cloud cannot be read back: " + err.Error())
	}
	rows[last] = rows[last].set(x.op.answers.time, mustJSON(at.UnixMilli()))
	return rows
}

// endsEarly has the count of all rows be that of the first page, which is all that there is.
func endsEarly(x *call, a answer, o object) answer {
	if x.pageRows > 0 && !strings.Contains(x.op.answers.count, ".") {
		x.recount(o, func(n int) int { return min(n, x.pageRows) })
	}
	return a.with(o)
}

// onKeys changes new temporary keys, in the answer and in truth. Each service calls the parts of a key otherwise.
func onKeys(change func(x *call, key *accessKey, parts object) object) func(*call, answer) answer {
	return onObject(func(x *call, a answer, o object) answer {
		m := o.member(x.op.answers.key)
		parts := parseObject(m.value)
		for _, part := range parts {
			if key := x.c.key(text(part.value)); key != nil {
				m.value = change(x, key, parts).encode()
				return a.with(o)
			}
		}
		return a
	})
}

// foreignKeys are those of another account: of its agency of the same name if it can be, or else of any of its agencies
// that the caller may be let into by.
func foreignKeys(x *call, key *accessKey, parts object) object {
	s := key.session
	var found *account
	var as *agency
	for _, other := range x.c.directory.Load().accounts {
		if other == key.account || x.s.closed(other) {
			continue
		}
		for _, g := range other.truth() {
			fits := s.caller != nil && g.admits(s.caller, s.urn) || s.caller == nil && g.serves()
			if fits && !g.expired(x.now) && (as == nil || as.name != s.agencyName && g.name == s.agencyName) {
				found, as = other, g
			}
		}
	}
	if as == nil {
		return parts
	}
	// Nobody has the key yet.
	key.account, s.agency, s.agencyName = found, as.id, as.name
	return parts
}

// expiredKeys have ended a minute ago, and say so.
func expiredKeys(x *call, key *accessKey, parts object) object {
	key.session.expires = x.now.Add(-time.Minute)
	end, layout := expiryOf(parts)
	end.value = mustJSON(key.session.expires.Add(x.s.ClockOffset).Format(layout))
	return parts
}

// garbageKeys look like keys, and nobody has issued them.
func garbageKeys(_ *call, _ *accessKey, parts object) object {
	end, _ := expiryOf(parts)
	for i := range parts {
		if &parts[i] != end {
			parts[i].value = mustJSON(randomText(len(text(parts[i].value))))
		}
	}
	return parts
}

// noExpiry does not say when the keys end.
func noExpiry(_ *call, _ *accessKey, parts object) object {
	end, _ := expiryOf(parts)
	return parts.without(end.key)
}

// expiryOf finds the member that says when keys end, and how it is written.
func expiryOf(parts object) (end *member, layout string) {
	const iamLayout = "2006-01-02T15:04:05.000000Z"
	if m := parts.member("expires_at"); m != nil {
		return m, iamLayout
	}
	if parts.member("accessKeyId") != nil {
		return parts.member("expiration"), iamLayout
	}
	return parts.member("expiration"), v5Time
}

// foreignRows makes the rows those of another account, and role assignments those of another agency.
func foreignRows(x *call, rows []object) []object {
	other := x.otherAccount()
	for _, row := range rows {
		for i := range row {
			m := &row[i]
			switch owner := x.op.answers.owner; {
			case m.key == "agency" && owner == "agency", m.key == "user" && owner == "agency":
				subject := parseObject(m.value)
				m.value = subject.set("id", mustJSON(x.otherAgency(text(subject.member("id").value)))).encode()
			case m.key == "urn", m.key == "agency_urn", m.key == "account_urn":
				parts := strings.SplitN(text(m.value), ":", 4) // iam::ACCOUNT:…
				parts[2] = other
				m.value = mustJSON(strings.Join(parts, ":"))
			case m.key == owner, m.key == "parent_id" && text(m.value) == x.account.id:
				m.value = mustJSON(other)
			}
		}
	}
	return rows
}

// otherAccount is the id of another account of the organization, or of none where there is no other.
func (x *call) otherAccount() string {
	for _, a := range x.c.directory.Load().accounts {
		if a != x.account {
			return a.id
		}
	}
	return deriveID("another account", x.account.id)
}

// otherAgency is the id of another agency of the account, or of none where there is no other.
func (x *call) otherAgency(id string) string {
	for _, g := range x.account.truth() {
		if g.id != id {
			return g.id
		}
	}
	return deriveID("another agency", id)
}

// cut is how lists are cut into pages.
type cut uint8

const (
	inOrder cut = iota
	// looped: every page is the first one.
	looped
	// overlapping: as if a row had come in at the front before each further page, which therefore begins with the last row
	// of the page before.
	overlapping
	// ending: the first page is all that there is.
	ending
)

// cut is how the fault of the request, if any, cuts lists into pages.
func (x *call) cut() cut {
	if x.fault == nil {
		return inOrder
	}
	return x.fault.cut
}

// from is the first row of the page of that number, counted from 0.
func (c cut) from(page, size int) int64 {
	switch c {
	case looped:
		return 0
	case overlapping:
		size--
	case ending:
		if page > 1 {
			return math.MaxInt32
		}
	}
	return int64(page-1) * int64(size)
}

// offset is the first row after so many, for a client that has read pages of that size.
func (c cut) offset(rows, size int) int {
	switch c {
	case looped:
		return 0
	case overlapping:
		return rows - rows/size
	case ending:
		if rows > 0 {
			return math.MaxInt32
		}
	}
	return rows
}

// pageLoop has counts and links say that there is more, on whatever page; markers do so where they are made.
func pageLoop(x *call, a answer, o object) answer {
	if !strings.Contains(x.op.answers.count, ".") { // of all rows, not of those on the page
		x.recount(o, func(n int) int { return 1000 * n })
	}
	if m := o.member("links"); m != nil {
		in := parseObject(m.value)
		m.value = in.set("next", in.member("self").value).encode()
	}
	return a.with(o)
}

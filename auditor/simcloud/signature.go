package simcloud

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	algorithm   = "SDK-HMAC-SHA256"
	dateLayout  = "20060102T150405Z"
	clockWindow = 15 * time.Minute
	// More than maxFailures wrong signatures in a row lock a key for lockTime (facts 10.1).
	maxFailures = 5
	lockTime    = 5 * time.Minute

	// emptyHash is the SHA-256 of nothing.
	emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	// unsigned stands for the hash of a body that is not signed.
	unsigned = "UNSIGNED-PAYLOAD"
)

// The texts of refused signatures (facts 10.1, and the FAQ of the API gateway for the locked key).
const (
	badSignature  = "verify aksk signature fail"
	badToken      = "decrypt token fail"
	tokenExpired  = "token expires"
	tokenNotFound = "x-auth-token not found"
	keyLocked     = "AK access failed to reach the limit,forbidden."
	unauthorized  = "Unauthorized"
)

// accessKey is a permanent key of a user, or a temporary one of a session.
type accessKey struct {
	access  string
	secret  []byte
	account *account
	// One of the two.
	user    *user
	session *session
	lock    keyLock
}

// keyLock counts wrong signatures in a row.
type keyLock struct {
	mu sync.Mutex
	// failures is written under mu; reading it without is how the usual case, none, costs nothing.
	failures atomic.Int32
	until    time.Time
}

// locked says whether the key is locked.
func (l *keyLock) locked(now time.Time) bool {
	if l.failures.Load() <= maxFailures {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures.Load() > maxFailures && !now.Before(l.until) {
		l.failures.Store(0)
	}
	return l.failures.Load() > maxFailures
}

func (l *keyLock) failed(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures.Add(1) == maxFailures+1 {
		l.until = now.Add(lockTime)
	}
}

// passed forgets earlier failures, but not a lock that another request has set meanwhile.
func (l *keyLock) passed() {
	if l.failures.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures.Load() <= maxFailures {
		l.failures.Store(0)
	}
}

// authenticate finds out who asks: it verifies the signature the way the gateway does (facts 5.3) and returns why it
// is refused, or nothing. The account is known as soon as the key is, for the counters.
func (x *call) authenticate() string {
	h := x.r.Header
	if len(h["X-Auth-Token"]) > 0 {
		return badToken // the simulation issues none
	}
	authorization := h.Get("Authorization")
	if authorization == "" {
		return tokenNotFound
	}
	access, signed, signature, ok := parseAuthorization(authorization)
	if !ok || len(h["Authorization"]) != 1 {
		return unauthorized
	}
	key := x.c.key(access)
	if key == nil {
		return "ak " + access + " not exist"
	}
	x.account = key.account
	dates := h["X-Sdk-Date"]
	if len(dates) != 1 || !slices.Contains(strings.Split(signed, ";"), "x-sdk-date") {
		return badSignature + ",the signed header x-sdk-date is required"
	}
	date, err := time.Parse(dateLayout, dates[0])
	if err != nil {
		return badSignature + ",x-sdk-date is not in the format " + dateLayout
	}
	if d := x.clock().Sub(date); d > clockWindow || d < -clockWindow {
		return fmt.Sprintf("calc aksk signature fail:signature expired, signature time:%s,server time:%s",
			dates[0], x.clock().Format(dateLayout))
	}
	if key.lock.locked(x.now) {
		return keyLocked
	}
	want, ok := x.sign(key.secret, dates[0], signed)
	if !ok || subtle.ConstantTimeCompare([]byte(want), []byte(signature)) != 1 {
		key.lock.failed(x.now)
		return badSignature
	}
	key.lock.passed()
	if why := x.checkToken(key); why != "" {
		return why
	}
	if id, given := h["X-Domain-Id"]; given && (len(id) != 1 || id[0] != key.account.id) {
		return "X-Domain-Id is not the account of the key"
	}
	if id, given := h["X-Project-Id"]; given && (len(id) != 1 || !key.account.hasProject(id[0])) {
		return "X-Project-Id is not a project of the account of the key"
	}
	if x.s.closed(key.account) {
		return unauthorized
	}
	x.key = key
	return ""
}

// checkToken checks X-Security-Token, which a temporary key needs and a permanent one must not have.
func (x *call) checkToken(key *accessKey) string {
	tokens := x.r.Header["X-Security-Token"]
	if key.session == nil {
		if len(tokens) > 0 {
			return badToken
		}
		return ""
	}
	switch {
	case len(tokens) != 1 || subtle.ConstantTimeCompare([]byte(tokens[0]), []byte(key.session.token)) != 1:
		return badToken
	case key.session.ended.Load(), !x.now.Before(key.session.expires), !x.alive(key.session, key.account):
		return tokenExpired
	}
	return ""
}

func (a *account) hasProject(id string) bool {
	return slices.ContainsFunc(a.projects, func(p Project) bool { return p.ID == id })
}

// parseAuthorization takes the header of that name apart.
func parseAuthorization(s string) (access, signed, signature string, ok bool) {
	scheme, rest, _ := strings.Cut(s, " ")
	if scheme != algorithm {
		return "", "", "", false
	}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch name {
		case "Access":
			access = value
		case "SignedHeaders":
			signed = value
		case "Signature":
			signature = value
		default:
			return "", "", "", false
		}
	}
	return access, signed, signature, access != "" && signed != "" && signature != ""
}

// sign computes the signature that the request must have, over the headers that it says are signed. It fails when one
// of them is not written in lower case, or when the body is not what the request says.
func (x *call) sign(secret []byte, date, signed string) (string, bool) {
	buf := make([]byte, 0, 1024)
	buf = append(append(buf, x.r.Method...), '\n')
	for _, part := range x.segments {
		buf = escape(append(buf, '/'), part)
	}
	if buf[len(buf)-1] != '/' {
		buf = append(buf, '/')
	}
	buf = append(buf, '\n')
	buf = canonicalQuery(buf, x.query)
	buf = append(buf, '\n')
	for name := range strings.SplitSeq(signed, ";") {
		if name == "host" {
			buf = append(append(append(buf, "host:"...), strings.TrimSpace(x.r.Host)...), '\n')
			continue
		}
		if name != strings.ToLower(name) {
			return "", false
		}
		values := x.r.Header[http.CanonicalHeaderKey(name)]
		if len(values) > 1 {
			values = slices.Sorted(slices.Values(values))
		}
		for _, v := range values {
			buf = append(append(append(append(buf, name...), ':'), strings.TrimSpace(v)...), '\n')
		}
	}
	buf = append(append(append(buf, '\n'), signed...), '\n')
	hash, ok := x.bodyHash()
	if !ok {
		return "", false
	}
	buf = append(buf, hash...)
	sum := sha256.Sum256(buf)

	buf = append(append(append(append(buf[:0], algorithm...), '\n'), date...), '\n')
	buf = hex.AppendEncode(buf, sum[:])
	mac := hmac.New(sha256.New, secret)
	mac.Write(buf)
	return hex.EncodeToString(mac.Sum(nil)), true
}

// bodyHash is the last line of the canonical request: the hash of the body as it was received, unless the request
// names it itself; only what is not JSON may leave it unsigned (facts 5.3).
func (x *call) bodyHash() (string, bool) {
	actual := emptyHash
	if len(x.body) > 0 {
		sum := sha256.Sum256(x.body)
		actual = hex.EncodeToString(sum[:])
	}
	named := x.r.Header["X-Sdk-Content-Sha256"]
	switch {
	case len(named) == 0:
		return actual, true
	case len(named) > 1:
		return "", false
	case named[0] == unsigned:
		kind := x.r.Header.Get("Content-Type")
		return unsigned, kind != "" && !strings.Contains(kind, "application/json") &&
			!strings.Contains(kind, "application/bson")
	}
	return actual, named[0] == actual
}

// canonicalQuery appends the query sorted by name and value.
func canonicalQuery(buf []byte, query []parameter) []byte {
	if len(query) > 1 {
		query = slices.Clone(query)
		slices.SortFunc(query, func(a, b parameter) int {
			if d := strings.Compare(a.name, b.name); d != 0 {
				return d
			}
			return strings.Compare(a.value, b.value)
		})
	}
	for i, p := range query {
		if i > 0 {
			buf = append(buf, '&')
		}
		buf = escape(buf, p.name)
		buf = escape(append(buf, '='), p.value)
	}
	return buf
}

// escape appends text with everything but letters, digits and -_.~ percent-encoded.
func escape(buf []byte, text string) []byte {
	for i := range len(text) {
		c := text[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.~", c) >= 0 {
			buf = append(buf, c)
			continue
		}
		const digits = "0123456789ABCDEF"
		buf = append(buf, '%', digits[c>>4], digits[c&15])
	}
	return buf
}

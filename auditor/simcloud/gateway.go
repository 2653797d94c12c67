package simcloud

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// call is one request on its way through the cloud.
type call struct {
	c *Cloud
	r *http.Request
	// id is the request's, as the header X-Request-Id shows it.
	id  string
	now time.Time
	s   *settings
	// op is what is asked for; nil when the cloud has no such path or method.
	op *operation
	// key is who asks and account is where it acts, which is always the key's own. Both are nil while they are unknown.
	key     *accessKey
	account *account
	// instance is the server or pod that asks the metadata server, without a key.
	instance *instance
	// pageRows is how many rows a page has; 0 where all come at once.
	pageRows int
	// segments are the parts of the path and params those of them that stand for something, in order.
	segments []string
	params   []string
	query    []parameter
	body     []byte
	// fault is how a broken gateway fails the request; nil for not at all.
	fault *fault
}

// parameter is one parameter of the query, decoded.
type parameter struct{ name, value string }

// answer is what the cloud says.
type answer struct {
	status int
	body   []byte
	// kind is the content type of the body; empty for JSON.
	kind string
	// location and retryAfter are the headers of these names; empty and 0 leave them out.
	location   string
	retryAfter int
	// encoding is the header Content-Encoding; empty leaves it out.
	encoding string
	// missing is how many bytes more than there are the header Content-Length promises.
	missing int
	// stream writes the body instead of body, in chunks. An error means that the client is gone.
	stream func(io.Writer) error
}

// maxBody is how much of a body may be signed (facts 10.1, APIGW.0201).
const maxBody = 12 << 20

// notPublished is what the gateway says of what it does not have.
const notPublished = "The API does not exist or has not been published in the environment"

// ServeHTTP is the cloud's port: everything that the real cloud serves under its various hosts.
//
// A request passes the latency, the route, the body, the signature and the throttling of the gateway, and then the
// permissions, the parameters and the state of the service, in this order. Whoever gives up waiting is not served.
func (c *Cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := c.settings.Load()
	if !wait(r.Context(), s.Latency) {
		return
	}
	x := &call{c: c, r: r, s: s, id: requestID(), now: c.now()}
	a, err := x.serve()
	if err != nil {
		// The body did not arrive: there is nobody to answer.
		return
	}
	x.count(a)
	x.send(w, a)
}

// serve finds the answer. An error means that the client is gone.
func (x *call) serve() (answer, error) {
	c := x.c
	if !x.parse() {
		return x.gateway(http.StatusBadRequest, "APIGW.0201", "Bad request: the query cannot be decoded"), nil
	}
	x.op, x.params = c.routes.find(x.r.Method, x.segments)
	if x.op == nil {
		return x.gateway(http.StatusNotFound, "APIGW.0101", notPublished), nil
	}
	if x.r.Body != nil && x.r.ContentLength != 0 {
		body, err := io.ReadAll(io.LimitReader(x.r.Body, maxBody+1))
		if err != nil {
			return answer{}, fmt.Errorf("read body: %w", err)
		}
		if len(body) > maxBody {
			return x.gateway(http.StatusRequestEntityTooLarge, "APIGW.0201", "Request entity too large"), nil
		}
		x.body = body
	}
	if why := x.authenticate(); why != "" {
		return x.unauthenticated(why), nil
	}
	return x.failOr((*call).carryOut), nil
}

// failOr fails the request if it is to fail, and does what it asks for as far as it is not. Before and after that somebody else may
// change something.
func (x *call) failOr(do func(*call) answer) answer {
	x.happen(false)
	if x.fault = x.failing(); x.fault == nil {
		a := do(x)
		x.happen(true)
		return a
	}
	if x.fault.instead != nil {
		a := x.fault.instead(x)
		x.happen(true)
		return a
	}
	a := do(x)
	x.happen(true)
	if x.fault.spoil != nil {
		a = x.fault.spoil(x, a)
	}
	return a
}

// carryOut does what the request asks for, or refuses it.
func (x *call) carryOut() answer {
	if after, ok := x.account.bucket.take(x.now, x.s.RateLimit); !ok {
		return x.throttled(after)
	}
	switch {
	case x.op.service == identityService && x.account.planes.NoIdentity,
		x.op.enterprise && x.account.planes.NoEnterpriseProjects:
		// How the real cloud answers for a plane that an account does not have is not known; that the gateway does not
		// publish it there is our inference.
		return x.gateway(http.StatusNotFound, "APIGW.0101", notPublished)
	case len(x.op.actions) > 0 && !x.allowed():
		return x.denied()
	}
	return x.op.handle(x)
}

// parse takes the path and the query apart. It fails when the query cannot be decoded.
func (x *call) parse() bool {
	// An escaped slash separates segments like any other, in the route as in the signature: signers decode the whole
	// path before they take it apart, and the two must not see different paths.
	x.segments = strings.Split(strings.TrimPrefix(x.r.URL.Path, "/"), "/")
	for rest := x.r.URL.RawQuery; rest != ""; {
		var pair string
		pair, rest, _ = strings.Cut(rest, "&")
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		if strings.ContainsAny(pair, "%+") {
			var err, err2 error
			name, err = url.QueryUnescape(name)
			value, err2 = url.QueryUnescape(value)
			if err != nil || err2 != nil {
				return false
			}
		}
		x.query = append(x.query, parameter{name, value})
	}
	return true
}

// wait sleeps for the latency and says whether the client is still there.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// clock is the time that the cloud shows, and by which it judges signatures.
func (x *call) clock() time.Time { return x.now.Add(x.s.ClockOffset) }

// requestID makes 32 hexadecimal digits.
func requestID() string {
	var raw [16]byte
	a, b := rand.Uint64(), rand.Uint64()
	for i := range 8 {
		raw[i], raw[8+i] = byte(a>>(8*i)), byte(b>>(8*i))
	}
	return hex.EncodeToString(raw[:])
}

// count counts the answer before the client can see it.
func (x *call) count(a answer) {
	status, operation, counts := a.status, -1, &x.c.strangers
	if x.op != nil {
		operation = x.op.index
	}
	if x.account != nil {
		counts = &x.account.counts
	}
	if x.fault != nil && x.fault.mute {
		status = 0
	}
	counts.add(operation, status)
}

// send writes the answer, or what a broken gateway makes of it.
func (x *call) send(w http.ResponseWriter, a answer) {
	if x.fault != nil && x.fault.send != nil {
		x.fault.send(x, w, a)
		return
	}
	x.begin(w, a)
	if a.stream != nil {
		_ = a.stream(w) // an error means that the client is gone
		return
	}
	if x.r.Method != http.MethodHead {
		_, _ = w.Write(a.body) // an error means that the client is gone
	}
}

// begin writes the status and the headers.
func (x *call) begin(w http.ResponseWriter, a answer) {
	h := w.Header()
	h["Server"] = []string{"api-gateway"}
	h["X-Request-Id"] = []string{x.id}
	if x.c.Now != nil || x.s.ClockOffset != 0 {
		h["Date"] = []string{x.clock().Format(http.TimeFormat)} // clients may set their clocks by it
	}
	if len(a.body) > 0 {
		kind := a.kind
		if kind == "" {
			kind = "application/json"
		}
		h["Content-Type"] = []string{kind}
	}
	if a.location != "" {
		h["Location"] = []string{a.location}
	}
	if a.encoding != "" {
		h["Content-Encoding"] = []string{a.encoding}
	}
	if a.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(a.retryAfter)}
	}
	bodyless := x.r.Method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if !bodyless && a.stream == nil {
		h["Content-Length"] = []string{strconv.Itoa(len(a.body) + a.missing)}
	}
	w.WriteHeader(a.status)
}

// reset cuts the connection without an answer, with a TCP reset where there is a TCP connection. It does not return.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		plain := conn
		if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
			plain = t.NetConn()
		}
		if t, ok := plain.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // the connection is closed in any case
		}
		_ = plain.Close()
	}
	panic(http.ErrAbortHandler)
}

// gateway is an error of the API gateway, which ends its bodies with a newline (facts 10.1).
func (x *call) gateway(status int, code, message string) answer {
	body := mustJSON(struct {
		Message   string `json:"error_msg"`
		Code      string `json:"error_code"`
		RequestID string `json:"request_id"`
	}{message, code, x.id})
	return answer{status: status, body: append(body, '\n')}
}

// unauthenticated is the gateway's refusal of a signature.
func (x *call) unauthenticated(why string) answer {
	return x.gateway(http.StatusUnauthorized, "APIGW.0301", "Incorrect IAM authentication information: "+why)
}

// throttled is status 429 in the shape that the switch asks for (facts 10.1).
func (x *call) throttled(after time.Duration) answer {
	limit, seconds := x.s.RateLimit, 1
	if limit > 0 && limit < 1 {
		seconds = int(math.Ceil(1 / limit))
	}
	limit = max(limit, 1)
	var a answer
	if x.s.Switches.Throttle == "IAM.0012" {
		a = answer{body: mustJSON(struct {
			Message   string `json:"error_msg"`
			Code      string `json:"error_code"`
			RequestID string `json:"request_id"`
		}{fmt.Sprintf("The throttling threshold has been reached. Threshold: %d times per %d seconds", int(limit), seconds),
			"IAM.0012", x.id})}
	} else {
		a = x.gateway(0, "APIGW.0308", fmt.Sprintf("The throttling threshold has been reached: "+
			"policy user over ratelimit,limit:%d,time:%d second", int(limit), seconds))
	}
	a.status = http.StatusTooManyRequests
	if x.s.Switches.RetryAfter {
		a.retryAfter = max(1, int(math.Ceil(after.Seconds())))
	}
	return a
}

// bucket is a token bucket: it lets the rate through, and one second's worth of it at once.
type bucket struct {
	mu     sync.Mutex
	rate   float64
	tokens float64
	filled time.Time
}

// take takes a token, or says when there will be one. A rate of 0 is no limit.
func (b *bucket) take(now time.Time, rate float64) (time.Duration, bool) {
	if rate <= 0 {
		return 0, true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	burst := max(1, rate)
	if b.rate != rate {
		b.rate, b.tokens, b.filled = rate, burst, now
	}
	if d := now.Sub(b.filled); d > 0 {
		b.tokens, b.filled = min(burst, b.tokens+d.Seconds()*rate), now
	}
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) / rate * float64(time.Second)), false
	}
	b.tokens--
	return 0, true
}

// keystone is an error of IAM v3 (facts 10.1).
func (x *call) keystone(status int, format string, args ...any) answer {
	type inner struct {
		Message string `json:"message"`
		Code    int    `json:"code"`
		Title   string `json:"title"`
	}
	return answer{status: status, body: mustJSON(struct {
		Error inner `json:"error"`
	}{inner{fmt.Sprintf(format, args...), status, http.StatusText(status)}})}
}

// pap is an error of IAM v5 (facts 8). The detail is encoded as the real cloud does with refusals; empty leaves it out.
func (x *call) pap(status int, code, message, detail string) answer {
	return answer{status: status, body: mustJSON(struct {
		Code      string `json:"error_code"`
		Message   string `json:"error_msg"`
		RequestID string `json:"request_id"`
		Detail    string `json:"encoded_authorization_message,omitempty"`
	}{code, message, x.id, detail})}
}

// denied is the refusal of an action, in the shape of the service that was asked.
func (x *call) denied() answer {
	switch x.op.service {
	case identityService:
		detail := hex.EncodeToString([]byte(x.key.actor() + " " + x.op.actions[0]))
		return x.pap(http.StatusForbidden, "PAP5.0001",
			"Access denied: "+x.key.actor()+" is not authorized to perform: "+x.op.actions[0], detail)
	case metadataService:
		return x.plain(http.StatusForbidden, "403 Forbidden")
	case organizationsService:
		return x.orgError(http.StatusForbidden, "Organizations.1007",
			"Policy doesn't allow '"+x.op.actions[0]+"' to be performed.")
	case stsService:
		// Its code is not among the facts: our inference.
		action := "sts:agencies:assume"
		return x.stsError(http.StatusForbidden, "STS5.1001",
			"Access denied: "+x.key.actor()+" is not authorized to perform: "+action,
			hex.EncodeToString([]byte(x.key.actor()+" "+action)))
	case enterpriseService:
		// Its codes are not among the facts: our inference.
		return x.pap(http.StatusForbidden, "EPS.0004", "You are not authorized to perform: "+x.op.actions[0], "")
	}
	return x.keystone(http.StatusForbidden, "You are not authorized to perform the requested action: %s", x.op.internal)
}

// badRequest is the refusal of a parameter, in the shape of the service that was asked. The other services have no
// documented code for it, and the gateway's is taken: our inference.
func (x *call) badRequest(format string, args ...any) answer {
	if x.op.service == keystoneService {
		return x.keystone(http.StatusBadRequest, format, args...)
	}
	return x.gateway(http.StatusBadRequest, "APIGW.0201", "Bad request: "+fmt.Sprintf(format, args...))
}

// get returns a parameter of the query, and whether it was there.
func (x *call) get(name string) (string, bool) {
	for _, p := range x.query {
		if p.name == name {
			return p.value, true
		}
	}
	return "", false
}

// once refuses parameters that are there more than once: what the real cloud makes of them is not known.
func (x *call) once() *answer {
	for i, p := range x.query {
		for _, q := range x.query[:i] {
			if p.name == q.name {
				a := x.badRequest("Invalid input: %s is given more than once", p.name)
				return &a
			}
		}
	}
	return nil
}

// paging is what page and per_page ask for: rows from the one counted from 0, at most as many as the size says.
type paging struct {
	given      bool
	from, size int
}

// paging reads page and per_page, which must come together, per_page from 1 to the limit.
func (x *call) paging(limit int) (paging, *answer) {
	if a := x.once(); a != nil {
		return paging{}, a
	}
	page, hasPage := x.get("page")
	size, hasSize := x.get("per_page")
	if !hasPage && !hasSize {
		return paging{size: math.MaxInt}, nil
	}
	var a answer
	p, errPage := decimal(page)
	n, errSize := decimal(size)
	switch {
	case hasPage != hasSize:
		a = x.badRequest("Invalid input: page and per_page must be given together")
	case errPage != nil || p < 1:
		a = x.badRequest("Invalid input: page is %q, must be 1 or more", page)
	case errSize != nil || n < 1 || n > limit:
		a = x.badRequest("Invalid input: per_page is %q, must be 1 to %d", size, limit)
	default:
		size := x.cap(n)
		x.pageRows = size
		return paging{given: true, from: int(min(x.cut().from(p, size), math.MaxInt32)), size: size}, nil
	}
	return paging{}, &a
}

// cap lowers the rows of a page to what the settings allow.
func (x *call) cap(n int) int {
	if x.s.PageSize > 0 {
		return min(n, x.s.PageSize)
	}
	return n
}

// decimal reads digits and nothing else, up to what an int32 holds.
func decimal(s string) (int, error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not a number")
	}
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err
}

// pageOf returns the rows of the page.
func pageOf[T any](p paging, rows []T) []T {
	from := min(p.from, len(rows))
	return rows[from : from+min(len(rows)-from, p.size)]
}

// ok is a good answer with a body.
func ok(body []byte) answer { return answer{status: http.StatusOK, body: body} }

// noContent is a good answer without one.
func noContent() answer { return answer{status: http.StatusNoContent} }

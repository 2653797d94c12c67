package huawei

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// How long each phase of a request may take, beside Config.RequestTimeout for all of them together.
const (
	dialTimeout   = 10 * time.Second // the name service included
	tlsTimeout    = 10 * time.Second
	headerTimeout = 15 * time.Second // from the end of the request to the end of the answer's head
)

// dialFunc makes one connection.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// dialTo makes connections to the services of the site, and to no address at which they cannot be.
func dialTo(s *site) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		i := slices.IndexFunc(s.places[:], func(p place) bool { return p.address != "" && strings.EqualFold(p.address, address) })
		if i < 0 {
			return nil, &addressError{fmt.Errorf("%q is no host of the cloud", address)}
		}
		return s.places[i].dialer().DialContext(ctx, network, address)
	}
}

// dialer connects to the place.
func (p *place) dialer() *net.Dialer {
	return &net.Dialer{
		KeepAlive: 30 * time.Second,
		// Control sees the address after the name was resolved, so that no name can lead to a metadata service.
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return &addressError{fmt.Errorf("address %q: %w", address, err)}
			}
			if err := CheckAddress(ap.Addr()); err != nil {
				return &addressError{fmt.Errorf("%s leads to a forbidden address: %w", p.host, err)}
			}
			switch here := ap.Addr().Unmap().IsLoopback(); {
			case here && !p.loopback:
				return &addressError{fmt.Errorf("%s leads to this machine itself (%s)", p.host, ap.Addr())}
			case !here && p.loopback: // where nothing but a name service says what localhost is
				return &addressError{fmt.Errorf("%s does not lead to this machine but to %s", p.host, ap.Addr())}
			}
			return nil
		},
	}
}

// newTransport keeps the connections that all sweeps share. It knows no proxy, no HTTP/2 and no compression, and it
// never waits for a free connection: an account whose requests hang must not hold those of others.
func newTransport(s *site, connections int, dial dialFunc) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, dialTimeout)
			defer cancel()
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return newLine(conn), nil
		},
		Protocols:              &protocols,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots},
		TLSHandshakeTimeout:    tlsTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		DisableCompression:     true,
		MaxIdleConns:           connections,
		MaxIdleConnsPerHost:    connections,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// addressError is the refusal to connect to an address.
type addressError struct{ error }

// wire carries the requests of one sweep with one set of keys between the SDK and the shared transport. It is the only
// holder of the sweep's context, which the SDK has no place for.
//
// It sends the operations of the closed list and nothing else, counts them, and turns everything but a whole successful answer
// into an error that is a *fault. How often and when it sends them is politely's business. It is used by several goroutines
// at once.
type wire struct {
	ctx   context.Context
	stop  context.CancelCauseFunc
	cloud *Cloud
	keys  Keys
	log   *slog.Logger
	// account is the account that is read or entered; by says whose the keys are, lane what is minded of them, and purse what
	// the sweep may cost.
	account string
	by      holder
	lane    *lane
	purse   *purse
	// aside says that an answer tells the identity's breaker nothing: whoever is refused what it reads may still ask whose its key is.
	aside bool
	// permit lets one request that changes something through; nil none.
	permit *permit
	// about is what the requests are about if their 429s are about that and not about the identity; nil if they are not.
	about *respite
	// sent counts the requests that are charged to the account, and paid the turns that were waited for in vain.
	sent, paid atomic.Int64
}

// errKeyRefused is why requests are not sent after one was answered with 401.
var errKeyRefused = errors.New("the cloud refused the key")

// dial makes the requests' way over the wire. accountID is the account that the keys belong to.
func (w *wire) dial(accountID string) (api, error) {
	if err := w.keys.check(); err != nil {
		return nil, err
	}
	return w.cloud.dial(w, accountID)
}

// RoundTrip sends one request. Its errors are faults.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	o, ok := identify(req.Method, req.URL.Path)
	if !ok || req.URL.Scheme+"://"+req.URL.Host != w.cloud.site.at(o).endpoint {
		return nil, lie(rules.ReasonRejected, "not sent: %s %s is no request of this program", req.Method, shorten(req.URL.Path)).as("")
	}
	if operations[o].changes != "" && !w.permits(o) {
		return nil, lie(rules.ReasonRejected, "not sent: %s changes something, which is not what this program is here for",
			operations[o].name).as("")
	}
	if w.ctx.Err() != nil {
		return nil, disconnected(w.ctx, w.ctx.Err(), w.keys)
	}
	resp, f := w.politely(o, req)
	if f != nil {
		return nil, f
	}
	return resp, nil
}

// permits says whether a request that changes something may be sent, as each may once: the Cloud was made for what it does, and the
// wire for this one request.
func (w *wire) permits(o op) bool {
	return w.cloud.writes == operations[o].changes && w.permit != nil && w.permit.op == o && w.permit.used.CompareAndSwap(false, true)
}

// cleanID takes out of an answer's head an id that does not look like one, or that repeats what the request was signed with:
// it is shown wherever the answer is spoken of.
func (w *wire) cleanID(h http.Header) {
	const key = "X-Request-Id"
	if id := cleanID(h.Get(key)); id == "" || w.keys.scrub(id) != id {
		h.Del(key)
	}
}

// once sends a request a single time.
func (w *wire) once(o op, req *http.Request) (*http.Response, *fault) {
	ctx, cancel := context.WithTimeout(w.ctx, w.cloud.cfg.RequestTimeout)
	defer cancel()
	if req.Context().Done() != nil { // the SDK's requests have none, today
		defer context.AfterFunc(req.Context(), cancel)()
	}
	w.cloud.requests[o].Add(1)
	if !operations[o].shared {
		w.sent.Add(1)
	}
	changes := operations[o].changes != ""
	if changes {
		w.permit.sent.Store(true)
	}
	started := time.Now()
	resp, body, err := w.exchange(o, req.WithContext(ctx))
	if changes && unconnected(err) {
		w.permit.sent.Store(false)
	}
	code := 0
	if resp != nil {
		w.cleanID(resp.Header)
	}
	if err == nil {
		code = resp.StatusCode
		w.cloud.skew(resp)
	}
	w.cloud.cfg.Meter.Request(operations[o].service.String(), operations[o].name, code, time.Since(started))
	debug := w.log.Enabled(ctx, slog.LevelDebug)
	if err != nil {
		f := disconnected(w.ctx, err, w.keys)
		if resp != nil && w.ctx.Err() == nil { // what was given up says nothing about the answer
			f.requestID = requestID(resp)
		}
		if debug {
			w.log.LogAttrs(ctx, slog.LevelDebug, "no answer", slog.String("operation", operations[o].name), slog.Any("err", f))
		}
		return nil, f
	}
	f := w.judge(o, resp, body)
	if debug {
		w.log.LogAttrs(ctx, slog.LevelDebug, "answer", slog.String("operation", operations[o].name),
			slog.Int("status", resp.StatusCode), slog.Int("bytes", len(body)),
			slog.String("request_id", requestID(resp)), slog.Bool("believed", f == nil))
	}
	if f != nil {
		f.wait = retryAfter(resp.Header, w.cloud.now())
		if f.reason == rules.ReasonUnauthenticated {
			// More than five refused signatures in a row lock the key for minutes (facts 10.1).
			w.stop(errKeyRefused)
		}
		return nil, f
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}

// unconnected says whether an error of a request means that no byte of it left: there was no connection that it could leave over.
func unconnected(err error) bool {
	var (
		network   *net.OpError
		dns       *net.DNSError
		verify    *tls.CertificateVerificationError
		forbidden *addressError
	)
	return errors.As(err, &network) && network.Op == "dial" || errors.As(err, &dns) || errors.As(err, &verify) || errors.As(err, &forbidden)
}

// charged charges what is read of an answer to a purse, whatever becomes of the answer.
type charged struct {
	io.ReadCloser
	purse *purse
}

// Read reads.
func (c *charged) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.purse.bytes.Add(int64(n))
	return n, err
}

// exchange sends the request and reads the answer: the whole of it when its head is that of a success, a little of an
// error, and nothing of what is rejected by its head. An answer whose body fails is returned with the error.
func (w *wire) exchange(o op, req *http.Request) (*http.Response, []byte, error) {
	resp, err := w.cloud.transport.RoundTrip(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	resp.Body = &charged{resp.Body, w.purse}
	want := &operations[o]
	rejection, _ := rejectHead(resp)
	switch {
	case resp.StatusCode != want.status && (resp.StatusCode < 400 || rejection != ""):
		return resp, nil, nil
	case resp.StatusCode != want.status:
		// The status counts, whatever becomes of the rest, which is believed when it is whole.
		body, err := readBody(resp.Body, resp.ContentLength, maxErrorBody)
		if err != nil {
			body = nil
		}
		return resp, body, nil
	case rejection != "":
		// A byte tells whether there is anything to be of that type: nothing at all has none.
		body, err := readBody(resp.Body, 0, 0)
		if errors.Is(err, errTooLarge) {
			err = nil
		}
		return resp, body, err
	}
	limit := max(w.cloud.cfg.MaxBody/want.part, min(w.cloud.cfg.MaxBody, maxErrorBody))
	body, err := readBody(resp.Body, resp.ContentLength, limit)
	if errors.Is(err, errTooLarge) {
		return resp, nil, overflow(body, want.envelope)
	}
	return resp, body, err
}

// rejectHead says why an answer may not be believed whatever its body is, and what it is instead: JSON, plain, and said
// to be so once.
func rejectHead(resp *http.Response) (rejection, what string) {
	if kinds := resp.Header["Content-Type"]; len(kinds) != 1 || !isJSON(kinds[0]) {
		return rejectedContentType, fmt.Sprintf("content of the type %q instead of JSON", strings.Join(kinds, ", "))
	}
	for _, coding := range resp.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return rejectedEncoding, "compressed content, which was not asked for"
		}
	}
	return "", ""
}

// judge says why an answer may not be believed; nil when it may.
func (w *wire) judge(o op, resp *http.Response, body []byte) *fault {
	want := &operations[o]
	rejection, what := rejectHead(resp)
	if resp.StatusCode != want.status {
		if rejection != "" {
			body = nil
		}
		return refused(o, resp, body, w.keys)
	}
	reject := func(rejection, what string) *fault {
		return &fault{
			reason: rules.ReasonRejected, rejection: rejection,
			detail: fmt.Sprintf("the cloud answered %d with %s", resp.StatusCode, what),
			status: resp.StatusCode, requestID: requestID(resp),
		}
	}
	if rejection == rejectedEncoding || (rejection != "" && len(body) > 0) {
		return reject(rejection, shorten(w.keys.scrub(what)))
	}
	if want.changes != "" {
		if len(body) > 0 {
			return reject(rejectedEnvelope, "a body, where there is none to be")
		}
		return nil
	}
	if f := checkBody(body, want.envelope); f != nil {
		if want.secret {
			f.what = "a body that is not of the documented form; what it is instead is withheld"
		}
		return reject(f.rejection, f.what)
	}
	return nil
}

package huawei

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"

	"github.com/agencyaudit/agencyaudit/rules"
)

// fault is why one request brought nothing that may be believed. It carries no secret.
type fault struct {
	reason rules.Reason
	// detail says what came instead of an answer, as the rest of a sentence that says what was asked.
	detail string
	// status and code are the cloud's own, where it answered.
	status int
	code   string
	// keystone says that the answer was an error of IAM itself rather than of a gateway before it.
	keystone  bool
	requestID string
	// page is which page of a list it is about; zero for what is no list.
	page int
}

func (f *fault) Error() string { return string(f.reason) + ": " + f.detail }

// lie makes the fault of an answer whose content cannot be true or whole.
func lie(reason rules.Reason, format string, args ...any) *fault {
	return &fault{reason: reason, detail: fmt.Sprintf(format, args...)}
}

// asFault finds the fault in an error of the SDK.
func asFault(o op, err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if s, ok := errors.AsType[*sdkerr.ServiceResponseError](err); ok {
		// Every answer that reaches the SDK has passed the wire: what is left to fail is the decoding of its members.
		// The decoder quotes the answer after these words.
		text, _, _ := strings.Cut(s.ErrorMessage, ", error found in")
		if operations[o].secret {
			text = "the decoder's message is withheld"
		}
		return &fault{
			reason: rules.ReasonRejected, detail: "the answer's members are not of the documented types: " + shorten(text),
			status: s.StatusCode, requestID: cleanID(s.RequestId),
		}
	}
	return &fault{reason: rules.ReasonRejected, detail: "the SDK made no request: " + shorten(err.Error())}
}

// errorBody is the union of the three shapes that errors have (facts 10.1).
type errorBody struct {
	ErrorCode string `json:"error_code"`
	ErrorMsg  string `json:"error_msg"`
	Error     *struct {
		Message string `json:"message"`
		Title   string `json:"title"`
	} `json:"error"`
}

// refused makes the fault of an answer with a status that is not the documented one of success.
func refused(resp *http.Response, body []byte, keys Keys) *fault {
	f := &fault{status: resp.StatusCode, requestID: cleanID(resp.Header.Get("X-Request-Id"))}
	var e errorBody
	message := ""
	if json.Unmarshal(body, &e) == nil {
		f.code, message = shorten(keys.scrub(e.ErrorCode)), e.ErrorMsg
		f.keystone = strings.HasPrefix(e.ErrorCode, "IAM.")
		if e.Error != nil {
			f.keystone, message = true, e.Error.Message
		}
	}
	f.detail = fmt.Sprintf("the cloud answered %d", f.status)
	if f.code != "" {
		f.detail += " " + f.code
	}
	if message = shorten(keys.scrub(message)); message != "" {
		f.detail += ": " + message
	} else if len(body) > 0 && f.code == "" {
		f.detail += fmt.Sprintf(" with %d bytes that are no error of this API", len(body))
	}
	switch s := f.status; {
	case s == http.StatusUnauthorized:
		f.reason = rules.ReasonUnauthenticated
	case s == http.StatusForbidden:
		f.reason = rules.ReasonDenied
	case s == http.StatusTooManyRequests:
		f.reason = rules.ReasonThrottled
	case s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		// A gateway says that it could not reach IAM; what IAM says itself, 500 included, is an answer that is rejected.
		f.reason = rules.ReasonUnreachable
	case s >= 300 && s < 400:
		f.reason = rules.ReasonRejected
		f.detail = fmt.Sprintf("a redirect (%d), which is never followed", s)
	case s >= 200 && s < 300:
		f.reason = rules.ReasonRejected
		f.detail = fmt.Sprintf("status %d, which is not the one that this request is answered with", s)
	default:
		f.reason = rules.ReasonRejected
	}
	return f
}

// disconnected makes the fault of a request that brought no whole answer. sweep is the context of the sweep, of which
// the request's own is a child.
func disconnected(sweep context.Context, err error, keys Keys) *fault {
	f := &fault{reason: rules.ReasonUnreachable}
	var (
		unknownCA x509.UnknownAuthorityError
		wrongHost x509.HostnameError
		invalid   x509.CertificateInvalidError
		notTLS    tls.RecordHeaderError
		verify    *tls.CertificateVerificationError
		dns       *net.DNSError
		network   *net.OpError
		timeout   net.Error
		forbidden *addressError
	)
	text := shorten(keys.scrub(err.Error()))
	switch {
	case sweep.Err() != nil:
		f.reason = rules.ReasonTimeout
		f.detail = "not waited for any longer: " + shorten(context.Cause(sweep).Error())
	case errors.Is(err, errTooLarge):
		f.reason = rules.ReasonRejected
		f.detail = err.Error()
	case errors.As(err, &forbidden):
		f.reason = rules.ReasonRejected
		f.detail = "no connection was made: " + text
	case errors.As(err, &verify), errors.As(err, &unknownCA), errors.As(err, &wrongHost), errors.As(err, &invalid),
		errors.As(err, &notTLS), strings.Contains(text, "server gave HTTP response to HTTPS client"),
		errors.As(err, &network) && network.Op == "remote error":
		f.reason = rules.ReasonTLS
		f.detail = "the server could not be authenticated: " + text
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout() && !errors.As(err, &dns):
		f.reason = rules.ReasonTimeout
		f.detail = "no whole answer in time: " + text
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.reason = rules.ReasonIncomplete
		f.detail = "the connection ended before the answer did"
	default:
		f.detail = "no answer: " + text
	}
	return f
}

// scrub takes out of a text of the cloud what it may repeat of the request: refused signatures are answered with the
// canonical request, which holds the security token (facts 10.1).
func (k Keys) scrub(text string) string {
	if at := canonicalRequest.FindStringIndex(text); at != nil {
		text = text[:at[0]] + "…"
	}
	for _, s := range []Secret{k.AccessKey, k.SecretKey, k.SecurityToken} {
		text = cutOut(text, s.reveal())
	}
	return text
}

var canonicalRequest = regexp.MustCompile(`(?i)canonical_?request`)

// cutOut replaces each occurrence of a secret in a text. The head of a secret is enough to know it by, since whoever
// wrote the text may have cut off the rest.
func cutOut(text, secret string) string {
	if secret == "" {
		return text
	}
	head := secret[:min(len(secret), 12)]
	var b strings.Builder
	for {
		i := strings.Index(text, head)
		if i < 0 {
			return b.String() + text
		}
		n := len(head)
		for i+n < len(text) && n < len(secret) && text[i+n] == secret[n] {
			n++
		}
		b.WriteString(text[:i] + hidden)
		text = text[i+n:]
	}
}

// maxText is how much of a foreign text is shown, in bytes.
const maxText = 200

// shorten makes a text from outside fit for a line of a report: one line, at most 200 bytes and an ellipsis, with
// everything that does not print shown escaped.
func shorten(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		var piece string
		switch {
		case r == utf8.RuneError && n == 1:
			piece = fmt.Sprintf(`\x%02x`, text[i])
		case unicode.IsPrint(r):
			piece = text[i : i+n]
		case r < 0x10000:
			piece = fmt.Sprintf(`\u%04x`, r)
		default:
			piece = fmt.Sprintf(`\U%08x`, r)
		}
		if b.Len()+len(piece) > maxText {
			return b.String() + "…"
		}
		b.WriteString(piece)
		i += n
	}
	return b.String()
}

// cleanID returns the cloud's id of an answer, or nothing when it does not look like one.
func cleanID(id string) string {
	if !isID(id) {
		return ""
	}
	return id
}

// isJSON says whether a content type is JSON, with or without parameters.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// readBody reads at most limit bytes. size is what the answer's header says, or less than zero.
func readBody(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, errTooLarge
	}
	var b bytes.Buffer
	if size >= 0 {
		b.Grow(int(size) + bytes.MinRead) // as much as ReadFrom wants before it grows the buffer again
	}
	n, err := b.ReadFrom(io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return nil, err
	case n > limit:
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

var errTooLarge = errors.New("the answer is larger than one may be")

package huawei

import (
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
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/sdkerr"

	"github.com/agencyaudit/agencyaudit/rules"
)

// fault is why one request brought nothing that may be believed. It carries no secret.
type fault struct {
	reason rules.Reason
	// rejection is one of the words of Rejections when an answer came that may not be believed; counted says that the meter
	// was told of it.
	rejection string
	counted   bool
	// detail says what came instead of an answer, as the rest of a sentence that says what was asked.
	detail string
	// status and code are the cloud's own, where it answered.
	status int
	code   string
	// keystone says that the answer was an error of IAM itself rather than of a gateway before it.
	keystone bool
	// formal says that the answer was an error in one of the documented forms, and message what it says.
	formal    bool
	message   string
	requestID string
	// wait is how long the cloud asks to wait, late says that there is no time for that, unsent that the request was kept from being
	// sent, and stale that it is to be signed anew.
	wait                time.Duration
	late, unsent, stale bool
	// limit is the key of the configuration that raises what was used up; empty where nothing does.
	limit string
	// page says after how many requests for pages of a list it came; zero for what is no list.
	page int
}

func (f *fault) Error() string { return string(f.reason) + ": " + f.detail }

// refusesKey says whether the cloud refused the key itself.
func (f *fault) refusesKey() bool {
	return f.status == http.StatusUnauthorized && f.reason == rules.ReasonUnauthenticated
}

// lie makes the fault of an answer whose content cannot be true or whole.
func lie(reason rules.Reason, format string, args ...any) *fault {
	f := &fault{reason: reason, rejection: rejectedOther, detail: fmt.Sprintf(format, args...)}
	if reason == rules.ReasonDisagree {
		f.rejection = rejectedWitness
	}
	return f
}

// as says more exactly what an answer is rejected as; with an empty word, that no answer is rejected.
func (f *fault) as(rejection string) *fault {
	f.rejection = rejection
	return f
}

// unknown makes of a fault what is reported: what was being done, what came of it, and what the operator can do. It is here
// that the meter hears of rejected answers, since a refusal that is an answer, such as that a site has no such plane, is
// none; and it hears of each fault once.
func (c *Cloud) unknown(o op, doing string, f *fault, by holder) *rules.Unknown {
	u := &rules.Unknown{
		Reason: f.reason, Detail: doing + ": " + f.detail, Remedy: c.remedy(o, f, by), RequestID: f.requestID,
	}
	if f.rejection == "" {
		return u
	}
	u.Detail += "; rejected: " + f.rejection
	if !f.counted {
		f.counted = true
		c.cfg.Meter.Rejected(f.rejection)
	}
	return u
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
			reason: rules.ReasonRejected, rejection: rejectedItem,
			detail: "the answer's members are not of the documented types: " + shorten(text),
			status: s.StatusCode, requestID: cleanID(s.RequestId),
		}
	}
	return &fault{reason: rules.ReasonRejected, detail: "the SDK made no request: " + shorten(err.Error())}
}

// maxErrorBody is how much is read of an answer that is no success.
const maxErrorBody = 64 << 10

// errorBody is the union of the three shapes that errors have (facts 10.1).
type errorBody struct {
	code, message string
	// keystone says that the error is of IAM itself.
	keystone bool
}

// readError reads the body of an error. It is believed no more easily than a success, since some errors are answers: that
// a site has no such plane, or that a policy does not exist.
func readError(body []byte) (e errorBody) {
	var members struct{ top, inner map[string]json.RawMessage }
	if checkBody(body, nil) != nil || json.Unmarshal(body, &members.top) != nil {
		return e
	}
	text := func(raw json.RawMessage) (s string) {
		if json.Unmarshal(raw, &s) != nil {
			return ""
		}
		return s
	}
	e.code, e.message = text(members.top["error_code"]), text(members.top["error_msg"])
	e.keystone = strings.HasPrefix(e.code, "IAM.")
	if json.Unmarshal(members.top["error"], &members.inner) == nil && text(members.inner["message"]) != "" {
		e.keystone, e.message = true, text(members.inner["message"])
	}
	return e
}

// notLeading are the codes by which Organizations says, with 401, that the key is good and its account is neither the
// management account nor a delegated administrator (facts 7).
var notLeading = []string{"Organizations.1001", "Organizations.1002"}

// refused makes the fault of an answer with a status that is not the documented one of success.
func refused(o op, resp *http.Response, body []byte, keys Keys) *fault {
	f := &fault{status: resp.StatusCode, requestID: requestID(resp)}
	e := readError(body)
	f.code, f.keystone = shorten(keys.scrub(e.code)), e.keystone
	f.detail = fmt.Sprintf("the cloud answered %d", f.status)
	if f.code != "" {
		f.detail += " " + f.code
	}
	f.message, f.formal = shorten(keys.scrub(e.message)), e.code != "" || e.message != ""
	if f.message != "" {
		f.detail += ": " + f.message
	} else if len(body) > 0 && f.code == "" {
		f.detail += fmt.Sprintf(" with %d bytes that are no error of this API", len(body))
	}
	switch s := f.status; {
	case s == http.StatusUnauthorized && operations[o].service == serviceOrganizations && slices.Contains(notLeading, f.code):
		f.reason = rules.ReasonDenied
	case s == http.StatusUnauthorized:
		f.reason = rules.ReasonUnauthenticated
	case s == http.StatusForbidden:
		f.reason = rules.ReasonDenied
	case s == http.StatusTooManyRequests:
		f.reason = rules.ReasonThrottled
	case s == http.StatusBadGateway, s == http.StatusServiceUnavailable, s == http.StatusGatewayTimeout:
		// A gateway says that it could not reach IAM; what IAM says itself, 500 included, is an answer that is rejected.
		f.reason = rules.ReasonUnreachable
	case s >= 300 && s < 400 && s != http.StatusNotModified:
		f.reason, f.rejection = rules.ReasonRejected, rejectedRedirect
		f.detail = fmt.Sprintf("a redirect (%d), which is never followed", s)
	case s < 400:
		f.reason, f.rejection = rules.ReasonRejected, rejectedStatus
		f.detail = fmt.Sprintf("status %d, which is not the one that this request is answered with", s)
	default:
		f.reason, f.rejection = rules.ReasonRejected, rejectedStatus
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
		over      *flaw
	)
	text := shorten(keys.scrub(err.Error()))
	switch {
	case errors.Is(context.Cause(sweep), errKeyRefused):
		f.reason = rules.ReasonUnauthenticated
		f.detail = "not waited for any longer, since the cloud refused the key"
	case sweep.Err() != nil:
		f.reason = rules.ReasonTimeout
		f.detail = "not waited for any longer: " + shorten(context.Cause(sweep).Error())
	case errors.As(err, &over):
		f.reason, f.rejection = rules.ReasonRejected, over.rejection
		f.detail = "the cloud answered with " + over.what
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
		f.reason, f.rejection = rules.ReasonIncomplete, rejectedShortBody
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
		if n < len(secret) { // cut off there, or written in another way, which goes on
			n += len(text[i+n:]) - len(strings.TrimLeft(text[i+n:], tokenLetters))
		}
		b.WriteString(text[:i] + hidden)
		text = text[i+n:]
	}
}

// tokenLetters are those that a secret can be written with, also where a sign is written as a number.
const tokenLetters = `ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=%\`

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

// requestID returns the cloud's id of an answer.
func requestID(resp *http.Response) string { return cleanID(resp.Header.Get("X-Request-Id")) }

// isJSON says whether a content type is JSON, with or without parameters.
func isJSON(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.EqualFold(strings.TrimSpace(media), "application/json")
}

// readBody reads a body to its end, or until it has more bytes than limit; then it returns those that it read, and
// errTooLarge. size is what the answer's header says, or less than zero. What it allocates follows what has come, not what
// is announced, and is at most three times the limit in all.
func readBody(r io.Reader, size, limit int64) ([]byte, error) {
	const first = 64 << 10
	if size < 0 {
		size = 2 << 10
	}
	b := make([]byte, 0, min(size, limit, first)+1) // one more, so that the end is seen without growing
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case int64(len(b)) > limit:
			return b, errTooLarge
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		case len(b) == cap(b):
			b = append(make([]byte, 0, min(2*int64(cap(b)), limit+1)), b...)
		}
	}
}

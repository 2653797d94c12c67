package huawei

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// SourceKind is a service that hands out temporary keys of the program's own.
type SourceKind int

// SourceECS is the metadata service of a server (facts 5.2).
const (
	SourceECS SourceKind = iota + 1
)

// Source is where the main identity's keys come from if they are temporary and have to be fetched again and again.
//
// It is asked by a client of its own, which reaches the one address of the service and nothing else: none that a redirect, a
// proxy or a name leads to.
type Source struct {
	Kind SourceKind
	// Address is where the service is. That of SourceECS is the link-local address of metadata services unless it says http:// and
	// a loopback address.
	Address string
}

// metadataAddress is where the metadata service of a server is.
const metadataAddress = "http://169.254.169.254"

const (
	// sourceTimeout bounds one request to a source: it is one hop away.
	sourceTimeout = 3 * time.Second
	// sourceRequests is how many requests it takes at most to get keys.
	sourceRequests = 2
	// maxSourceBody bounds an answer of a source, in bytes, and maxKeyText each text of a key.
	maxSourceBody, maxKeyText = 64 << 10, 16 << 10
	// longestKeys is how long temporary keys may last. A source that says more is not believed.
	longestKeys = 24 * time.Hour
)

// origin is a Source made ready.
type origin struct {
	kind SourceKind
	// way is what Meter hears, and name what people read.
	way, name string
	// url is scheme://host of the metadata service, address the host with its port, and only the addresses that the host may lead to.
	url, address string
	only         func(ip netip.Addr) bool
}

// Check says what is wrong with the source; nil when nothing is.
func (s Source) Check() error {
	_, err := s.origin()
	return err
}

// origin makes the source ready.
func (s Source) origin() (*origin, error) {
	if s.Kind != SourceECS {
		return nil, errors.New("an unknown source of keys")
	}
	o := &origin{kind: s.Kind, way: "ecs", name: "the metadata service", url: metadataAddress}
	link := netip.MustParseAddr(strings.TrimPrefix(metadataAddress, "http://"))
	if s.Address == "" || s.Address == metadataAddress {
		o.address, o.only = net.JoinHostPort(link.String(), "80"), func(ip netip.Addr) bool { return ip == link }
		return o, nil
	}
	p, err := placeOf(s.Address)
	switch {
	case err != nil:
		return nil, err
	case !p.loopback || !strings.HasPrefix(p.endpoint, "http://"):
		return nil, fmt.Errorf("endpoint %q: a metadata service is at %s, or at a loopback address with http://", s.Address, metadataAddress)
	}
	o.url, o.address, o.only = p.endpoint, p.address, netip.Addr.IsLoopback
	return o, nil
}

// transport makes the way to the source. No connection is kept: there are hours between two questions.
func (o *origin) transport(roots *tls.Config) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		ap, err := netip.ParseAddrPort(address)
		if err != nil || !o.only(ap.Addr().Unmap()) {
			return &addressError{fmt.Errorf("%s is not where %s is", address, o.name)}
		}
		return nil
	}}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if address != o.address {
				return nil, &addressError{fmt.Errorf("%q is not where %s is", address, o.name)}
			}
			return dialer.DialContext(ctx, network, address)
		},
		Protocols: &protocols, TLSClientConfig: roots, DisableCompression: true, DisableKeepAlives: true,
		TLSHandshakeTimeout: sourceTimeout, ResponseHeaderTimeout: sourceTimeout, MaxResponseHeaderBytes: 16 << 10,
	}
}

// sourceRoots are the certificates by which a source is known.
func sourceRoots(s *site) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots}
}

// fetch gets keys. Nothing of an answer is shown in what is wrong with it.
func (c *Cloud) fetch(ctx context.Context) (pass, *rules.Unknown) {
	o := c.main.origin
	var p pass
	var err error
	body, f := c.metadata(ctx)
	if f == nil {
		p, err = o.keys(body)
	}
	if fl, ok := errors.AsType[*flaw](err); ok {
		f = lie(rules.ReasonRejected, "it answered with a body that is not of the documented form; what it is instead is withheld").as(fl.rejection)
	} else if err != nil {
		f = lie(rules.ReasonRejected, "it answered with %v", err).as(rejectedItem)
	}
	now := c.now()
	switch {
	case f != nil:
	case !p.expires.After(now.Add(expiryMargin)):
		f = lie(rules.ReasonRejected, "it answered with a key that ends at %s, which is too soon", p.expires.Format(time.RFC3339)).as(rejectedItem)
	default:
		if latest := now.Add(longestKeys); p.expires.After(latest) {
			p.expires = latest
		}
		return p, nil
	}
	u := &rules.Unknown{
		Reason: f.reason, Detail: fmt.Sprintf("getting the main identity's key from %s: %s", o.name, f.detail), Remedy: o.remedy(f),
	}
	if f.rejection != "" {
		u.Detail += "; rejected: " + f.rejection
		c.cfg.Meter.Rejected(f.rejection)
	}
	return pass{}, u
}

// remedy is what an operator can do about a fault of the source.
func (o *origin) remedy(f *fault) string {
	switch f.reason {
	case rules.ReasonDenied:
		return "give the server an agency that trusts the cloud service ECS, or configure another source of the main identity's key"
	case rules.ReasonUnreachable, rules.ReasonTimeout:
		return "run the program on a server of the cloud that reaches its metadata service, or configure another source of the main identity's key"
	}
	return "see what answers at the address of " + o.name + "; no key of it is used"
}

// metadata asks the metadata service for keys: for a token first, and with that for the keys. A service that has no tokens, which
// it says with 404 or 405, is asked without.
func (c *Cloud) metadata(ctx context.Context) ([]byte, *fault) {
	const ttl = "60" // it is used at once, and once
	status, body, f := c.ask(ctx, http.MethodPut, "/meta-data/latest/api/token", http.Header{"X-Metadata-Token-Ttl-Seconds": {ttl}}, nil)
	header := http.Header{}
	switch {
	case f != nil:
		return nil, f
	case status == http.StatusOK:
		token := string(bytes.TrimSuffix(body, []byte("\n")))
		if !printable(token, 1024) {
			return nil, lie(rules.ReasonRejected, "it answered with something that is no token").as(rejectedItem)
		}
		header.Set("X-Metadata-Token", token)
	case status != http.StatusNotFound && status != http.StatusMethodNotAllowed:
		return nil, otherStatus(status, body)
	}
	status, body, f = c.ask(ctx, http.MethodGet, "/openstack/latest/securitykey", header, nil)
	if f == nil && status != http.StatusOK {
		f = otherStatus(status, body)
	}
	return body, f
}

// otherStatus is the fault of an answer of another status than that of success. Its body is not shown.
func otherStatus(status int, body []byte) *fault {
	switch {
	case status == http.StatusUnauthorized && bytes.Contains(body, []byte("Please configure Cloud Service Agency first")): // facts 5.2
		return lie(rules.ReasonDenied, "it answered 401, since the server has no agency").as("")
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return lie(rules.ReasonDenied, "it answered %d", status).as("")
	case status == http.StatusTooManyRequests, status >= 500:
		return lie(rules.ReasonUnreachable, "it answered %d", status).as("")
	case status >= 300 && status < 400:
		return lie(rules.ReasonRejected, "a redirect (%d), which is never followed", status).as(rejectedRedirect)
	}
	return lie(rules.ReasonRejected, "it answered %d", status).as(rejectedStatus)
}

// ask sends one request to the source and reads the whole answer.
func (c *Cloud) ask(ctx context.Context, method, path string, header http.Header, body []byte) (int, []byte, *fault) {
	within, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(within, method, c.main.origin.url+path, content)
	if err != nil {
		return 0, nil, lie(rules.ReasonRejected, "not sent: the request cannot be made").as("")
	}
	req.Header = header
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	resp, err := c.source.RoundTrip(req)
	if err != nil {
		return 0, nil, lost(ctx, err)
	}
	defer resp.Body.Close()
	for _, coding := range resp.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return 0, nil, lie(rules.ReasonRejected, "it answered with compressed content, which was not asked for").as(rejectedEncoding)
		}
	}
	got, err := readBody(resp.Body, resp.ContentLength, maxSourceBody)
	switch {
	case errors.Is(err, errTooLarge):
		return 0, nil, lie(rules.ReasonRejected, "it answered with more than %d bytes", maxSourceBody).as(rejectedTooLarge)
	case err != nil:
		return 0, nil, lost(ctx, err)
	}
	return resp.StatusCode, got, nil
}

// lost is the fault of a request to the source that brought no whole answer.
func lost(ctx context.Context, err error) *fault {
	if f, ok := errors.AsType[*url.Error](err); ok {
		err = f.Err
	}
	return disconnected(ctx, err, Keys{})
}

// members are what an answer with keys must have.
func (o *origin) members() []member {
	return []member{{name: "credential", kinds: "{", row: true, inner: []member{
		text("access"), text("secret"), text("securitytoken"), text("expires_at"),
	}}}
}

// keys reads an answer with keys. An error that is no flaw says what is wrong without any of it.
func (o *origin) keys(body []byte) (p pass, err error) {
	if f := checkBody(body, o.members()); f != nil {
		return p, f
	}
	var form struct {
		Credential struct {
			Access        string `json:"access"`
			Secret        string `json:"secret"`
			SecurityToken string `json:"securitytoken"`
			ExpiresAt     string `json:"expires_at"`
		} `json:"credential"`
	}
	if err := json.Unmarshal(body, &form); err != nil {
		return p, errors.New("a body that cannot be read")
	}
	is := form.Credential
	for _, part := range []string{is.Access, is.Secret, is.SecurityToken} {
		if !printable(part, maxKeyText) {
			return p, errors.New("half a temporary key, or something that is none")
		}
	}
	p.keys = Keys{AccessKey: NewSecret(is.Access), SecretKey: NewSecret(is.Secret), SecurityToken: NewSecret(is.SecurityToken)}
	if p.expires, err = parseTime(is.ExpiresAt); err != nil {
		return pass{}, errors.New("a temporary key whose end cannot be read")
	}
	return p, nil
}

// printable says whether a text can be part of a header: not empty, not too long, and without spaces.
func printable(text string, most int) bool {
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

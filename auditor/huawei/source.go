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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// SourceKind is a service that hands out temporary keys of the program's own.
type SourceKind int

// SourceECS is the metadata service of a server, and SourcePod the service that gives pods an identity (facts 5.2).
const (
	SourceECS SourceKind = iota + 1
	SourcePod
)

// Source is where the main identity's keys come from if they are temporary and have to be fetched again and again.
//
// It is asked by a client of its own, which reaches the one address of the service and nothing else: none that a redirect, a
// proxy or a name leads to.
type Source struct {
	Kind SourceKind
	// Address is where the service is. That of SourceECS is the link-local address of metadata services unless it says http:// and
	// a loopback address. That of SourcePod is the whole address to ask; with http:// it must be of a loopback or a link-local host.
	Address string
	// Token reads the token of the pod, which is another one every so often. SourcePod only. An error of it holds no secret.
	Token func() (Secret, error)
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
	token        func() (Secret, error)
	// form is what an answer with keys must have, and names are those of the parts of a key in it.
	form  []member
	names [4]string
	// advice is what to do when there is no key to be had, silence when nobody answers, and care what to look at when the cloud refuses
	// a key that came.
	advice, silence, care string
}

// Check says what is wrong with the source; nil when nothing is.
func (s Source) Check() error {
	_, err := s.origin()
	return err
}

// origin makes the source ready.
func (s Source) origin() (*origin, error) {
	switch s.Kind {
	case SourceECS:
		return s.server()
	case SourcePod:
		return s.pod()
	}
	return nil, errors.New("an unknown source of keys")
}

// formOf is an object with the parts of a key, in the order of origin.names.
func formOf(name string, names [4]string) []member {
	inner := make([]member, len(names))
	for i, n := range names {
		inner[i] = text(n)
	}
	return []member{{name: name, kinds: "{", row: true, inner: inner}}
}

// server makes the metadata service ready.
func (s Source) server() (*origin, error) {
	if s.Token != nil {
		return nil, errors.New("a token, which a metadata service gives itself")
	}
	o := &origin{
		kind: s.Kind, way: "ecs", name: "the metadata service", url: metadataAddress,
		names:   [4]string{"access", "secret", "securitytoken", "expires_at"},
		advice:  "give the server an agency that trusts the cloud service ECS, or configure another source of the program's own key",
		silence: "run the program on a server of the cloud that reaches its metadata service, or configure another source of the program's own key",
		care:    "check that the server's agency, whose key the metadata service gave, still exists and still trusts the cloud service ECS",
	}
	o.form = formOf("credential", o.names)
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

// pod makes the identity service of a pod ready.
func (s Source) pod() (*origin, error) {
	o := &origin{
		kind: s.Kind, way: "pod", name: "the identity service of the pod", url: s.Address, token: s.Token,
		names:   [4]string{"accessKeyId", "secretAccessKey", "securityToken", "expiration"},
		advice:  "give the pod's service account an agency, see that the token is this pod's, or configure another source of the program's own key",
		silence: "run the program in a pod that has an identity and reaches the service, or configure another source of the program's own key",
		care:    "check that the agency of the pod's service account, whose key the pod's identity service gave, still exists and still trusts it",
	}
	o.form = formOf("credentials", o.names)
	u, err := url.Parse(s.Address)
	switch {
	case err != nil, u.Opaque != "", u.Scheme != "https" && u.Scheme != "http", len(s.Address) > 2048:
		return nil, errors.New("the address of the pod's identity service is none of the form https://host/path")
	case u.User != nil, strings.Contains(s.Address, "#"):
		return nil, errors.New("the address of the pod's identity service holds a user, a password or a fragment")
	case s.Token == nil:
		return nil, errors.New("no token of the pod")
	}
	host := u.Hostname()
	ip, err := netip.ParseAddr(host)
	literal := err == nil
	switch {
	case literal && (ip.IsUnspecified() || ip.IsMulticast()), !literal && (!hostPattern.MatchString(host) || strings.Contains(host, "..")):
		return nil, errors.New("the address of the pod's identity service is of no host")
	case literal:
		o.only = func(to netip.Addr) bool { return to == ip.Unmap() }
	case strings.EqualFold(host, "localhost"):
		o.only = netip.Addr.IsLoopback
	default:
		o.only = func(to netip.Addr) bool { return !to.IsUnspecified() && !to.IsMulticast() }
	}
	near := literal && (ip.Unmap().IsLoopback() || ip.Unmap().IsLinkLocalUnicast()) || strings.EqualFold(host, "localhost")
	if u.Scheme == "http" && !near {
		return nil, errors.New("the address of the pod's identity service is plain http, which is for loopback and link-local addresses only")
	}
	port := u.Port()
	if n, err := strconv.ParseUint(port, 10, 16); port != "" && (err != nil || n == 0) || strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("the address of the pod's identity service has a port that is none")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	o.address = net.JoinHostPort(host, port)
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

// fetch gets keys of an identity from where they come from. Nothing of an answer is shown in what is wrong with it.
func (c *Cloud) fetch(ctx context.Context, title string, o *origin) (p pass, u *rules.Unknown) {
	defer func() { c.cfg.Meter.Refreshed(o.way, u == nil) }()
	var err error
	ask := c.metadata
	if o.kind == SourcePod {
		ask = c.podIdentity
	}
	body, f := ask(ctx, o)
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
	u = &rules.Unknown{
		Reason: f.reason, Detail: fmt.Sprintf("getting %s's key from %s: %s", title, o.name, f.detail), Remedy: o.remedy(f),
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
		return o.advice
	case rules.ReasonUnreachable, rules.ReasonTimeout:
		return o.silence
	}
	return "see what answers at the address of " + o.name + "; no key of it is used"
}

// metadata asks the metadata service for keys: for a token first, and with that for the keys. A service that has no tokens, which
// it says with 404 or 405, is asked without.
func (c *Cloud) metadata(ctx context.Context, o *origin) ([]byte, *fault) {
	const ttl = "60" // it is used at once, and once
	status, body, f := c.ask(ctx, o, http.MethodPut, "/meta-data/latest/api/token", http.Header{"X-Metadata-Token-Ttl-Seconds": {ttl}}, nil)
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
	status, body, f = c.ask(ctx, o, http.MethodGet, "/openstack/latest/securitykey", header, nil)
	if f == nil && status != http.StatusOK {
		f = otherStatus(status, body)
	}
	return body, f
}

// podIdentity asks the identity service of the pod for keys, with the token as it is now.
func (c *Cloud) podIdentity(ctx context.Context, o *origin) ([]byte, *fault) {
	token, err := o.token()
	if err != nil {
		return nil, lie(rules.ReasonDenied, "not asked, since the pod's token cannot be used: %s", shorten(err.Error())).as("")
	}
	if !printable(token.reveal(), maxKeyText) {
		return nil, lie(rules.ReasonDenied, "not asked, since the pod's token is none").as("")
	}
	status, body, f := c.ask(ctx, o, http.MethodPost, "", http.Header{
		"Authorization": {token.reveal()}, "Content-Type": {"application/json; charset=utf-8"},
	}, []byte("{}"))
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
func (c *Cloud) ask(ctx context.Context, o *origin, method, path string, header http.Header, body []byte) (int, []byte, *fault) {
	within, cancel := context.WithTimeout(ctx, sourceTimeout)
	defer cancel()
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(within, method, o.url+path, content)
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

// keys reads an answer with keys. An error that is no flaw says what is wrong without any of it.
func (o *origin) keys(body []byte) (p pass, err error) {
	if f := checkBody(body, o.form); f != nil {
		return p, f
	}
	var form map[string]json.RawMessage
	var is map[string]any
	if json.Unmarshal(body, &form) != nil || json.Unmarshal(form[o.form[0].name], &is) != nil {
		return p, errors.New("a body that cannot be read")
	}
	var parts [len(o.names)]string
	for i, name := range o.names {
		parts[i], _ = is[name].(string)
		if !printable(parts[i], maxKeyText) {
			return p, errors.New("half a temporary key, or something that is none")
		}
	}
	p.keys = Keys{AccessKey: NewSecret(parts[0]), SecretKey: NewSecret(parts[1]), SecurityToken: NewSecret(parts[2])}
	if p.expires, err = parseTime(parts[3]); err != nil {
		return pass{}, errors.New("a temporary key whose end cannot be read")
	}
	return p, nil
}

// printable says whether a text can be part of a header: not empty, not too long, and without spaces.
func printable(text string, most int) bool {
	return text != "" && len(text) <= most && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

package huawei

import (
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The values that a zero field of Config stands for.
const (
	DefaultRequestTimeout  = 20 * time.Second
	DefaultMaxBody         = 4 << 20
	DefaultMaxPages        = 400
	DefaultConnections     = 384
	DefaultSessionName     = "agencyaudit"
	DefaultSessionDuration = time.Hour
	DefaultCatalogueAge    = 12 * time.Hour
	DefaultAccountRequests = 1000
	DefaultAccountBytes    = 64 << 20
)

// Keys sign requests.
type Keys struct {
	// AccessKey and SecretKey are the two halves of an access key; both are needed.
	AccessKey, SecretKey Secret
	// SecurityToken belongs to a temporary access key, and is absent for a permanent one.
	SecurityToken Secret
}

// IsZero says whether there is nothing in it.
func (k Keys) IsZero() bool {
	return k.AccessKey.IsZero() && k.SecretKey.IsZero() && k.SecurityToken.IsZero()
}

// Identity is who the program is: an access key and the account that it must belong to.
type Identity struct {
	Keys Keys
	// From says for people where Keys were found, if nobody wrote them down for this program alone.
	From string
	// Source is where temporary keys come from, instead of Keys.
	Source    *Source
	AccountID string
	// Chain is nil when everything is done with these keys themselves.
	Chain *Chain
}

// Chain is an agency of another account, which the program's own key assumes: all that the main identity does, this agency does.
type Chain struct {
	// AccountID is the account that the agency is in.
	AccountID string
	// Access is how it is entered: by an agency.
	Access Access
}

// same says whether two identities are one, with the same key or a key from the same place.
func (i Identity) same(other Identity) bool {
	if (i.Source == nil) != (other.Source == nil) || (i.Chain == nil) != (other.Chain == nil) {
		return false
	}
	return i.Keys == other.Keys && i.AccountID == other.AccountID &&
		(i.Source == nil || i.Source.Kind == other.Source.Kind && i.Source.Address == other.Source.Address) &&
		(i.Chain == nil || *i.Chain == *other.Chain)
}

// Account is the account in whose name accounts are entered and the organization is listed.
func (i Identity) Account() string {
	if i.Chain != nil {
		return i.Chain.AccountID
	}
	return i.AccountID
}

// Access says how to read one account: by keys of its own, or by an agency of it that trusts the main identity's
// account. Exactly one of the two.
type Access struct {
	Keys Keys
	// Agency is the name of the agency to assume. It is the program's own way in, never the agency that is audited.
	Agency string
	// Via is the service that lets the agency be assumed.
	Via Via
	// ExternalID is what the agency's trust policy asks for; ViaSTS only.
	ExternalID string
}

// isZero says that there is no way in.
func (a Access) isZero() bool {
	return a.Keys.IsZero() && a.Agency == "" && a.Via == ViaIAM && a.ExternalID == ""
}

// Via is a service that makes temporary keys for an agency.
type Via int

// IAM assumes agencies, STS trust agencies as well.
const (
	ViaIAM Via = iota
	ViaSTS
)

// Rate is how many requests a second are sent, over and above a burst of one second's worth. Zero is no limit.
type Rate struct {
	// PerAccount is for the requests that are signed with a key of one account, assumed keys included.
	PerAccount float64
	// Total is for all requests together.
	Total float64
}

// Endpoints are addresses of services: https://host[:port], or http:// for a loopback address.
type Endpoints struct {
	// IAM serves v3 and v5 alike.
	IAM string
	// STS makes temporary keys, and Organizations lists the accounts of an organization.
	STS, Organizations string
}

// Config says where the cloud is and how to enter its accounts. A zero limit is its default.
type Config struct {
	// Endpoints are the addresses of the services. When all are empty they follow from Region; otherwise each service
	// that is used must have one.
	Endpoints Endpoints
	// Region is the id of the region whose IAM and STS are asked. Every region serves the same data (facts 1).
	Region string
	// CAPEM are the only certificate authorities that are believed, in PEM; empty, those of the system.
	CAPEM []byte
	// UserAgent is what the program calls itself, such as agencyaudit/1.2.3.
	UserAgent string

	// Main is the identity that assumes agencies. It may be empty when no account is entered by an agency.
	Main Identity
	// Accounts says how to read each account, by account id. The main identity's own account is, unless it is among them, read
	// with the main identity's keys.
	Accounts map[string]Access
	// Members is the way into every other account: an agency. Zero is none.
	Members Access
	// SessionName is what the members' audit logs call the program; SessionDuration is how long assumed keys are valid.
	SessionName     string
	SessionDuration time.Duration

	// RequestTimeout bounds one request from first dial to last byte.
	RequestTimeout time.Duration
	// MaxBody bounds one answer, in bytes.
	MaxBody int64
	// MaxPages bounds one list, in pages.
	MaxPages int
	// Connections is how many idle connections are kept. Fewer than are busy at once means that some are opened anew for
	// each request; the default suits 64 accounts at a time, which have five requests each under way.
	Connections int
	// CatalogueAge is when the catalogue of system-defined policies is read anew.
	CatalogueAge time.Duration

	// Rate bounds the requests a second.
	Rate Rate
	// AccountRequests and AccountBytes bound the requests of one sweep of one account, and the bytes of its answers
	// together. What is over is unknown for want of budget.
	AccountRequests int
	AccountBytes    int64

	// Meter is told what requests came to; nil tells nobody.
	Meter Meter
	// Now is the clock; nil is the real one. It is called from many goroutines.
	Now func() time.Time
}

var (
	regionPattern  = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	hostPattern    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$`)
	sessionPattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{4,63}$`)
	// agentPattern is a product of RFC 9110: what may stand in the User-Agent header without being escaped.
	agentPattern = regexp.MustCompile(`^[A-Za-z0-9._+/-]{1,100}$`)
)

// withDefaults returns the configuration with the defaults in it, or one error with all its faults.
func (c Config) withDefaults() (Config, *site, error) {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	orDefault(&c.RequestTimeout, DefaultRequestTimeout)
	orDefault(&c.MaxBody, DefaultMaxBody)
	orDefault(&c.MaxPages, DefaultMaxPages)
	orDefault(&c.Connections, DefaultConnections)
	orDefault(&c.SessionName, DefaultSessionName)
	orDefault(&c.SessionDuration, DefaultSessionDuration)
	orDefault(&c.CatalogueAge, DefaultCatalogueAge)
	orDefault(&c.AccountRequests, DefaultAccountRequests)
	orDefault(&c.AccountBytes, DefaultAccountBytes)
	orDefault(&c.UserAgent, "agencyaudit") // without any, the SDK writes a file into the home folder (facts 5.5)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Meter == nil {
		c.Meter = noMeter{}
	}

	s, err := c.site()
	if err != nil {
		faults = append(faults, err)
	}
	if !agentPattern.MatchString(c.UserAgent) {
		fault("user agent %q: letters, digits and ._+/- only", c.UserAgent)
	}
	if c.RequestTimeout < 0 || c.MaxBody < 0 || c.MaxPages < 0 || c.Connections < 0 || c.CatalogueAge < 0 ||
		c.AccountRequests < 0 || c.AccountBytes < 0 {
		fault("a limit is negative")
	}
	for _, r := range []float64{c.Rate.PerAccount, c.Rate.Total} {
		if !(r >= 0 && r <= 1e6) { // whatever is no number is neither
			fault("a rate of %v requests a second: from 0, which is no limit, to a million", r)
		}
	}
	if !sessionPattern.MatchString(c.SessionName) {
		fault("session name %q: 5 to 64 letters, digits, - and _, the first of them a letter", c.SessionName)
	}
	if c.SessionDuration < 15*time.Minute || c.SessionDuration > 24*time.Hour {
		fault("session duration %s: from 15m to 24h", c.SessionDuration)
	}
	assumes := false
	for _, id := range slices.Sorted(maps.Keys(c.Accounts)) {
		a := c.Accounts[id]
		if !isID(id) {
			fault("account %q: that is no account id", id)
		}
		if err := a.check(s); err != nil {
			fault("account %s: %w", id, err)
		}
		assumes = assumes || a.Agency != ""
	}
	if !c.Members.isZero() {
		if err := c.Members.check(s); err != nil {
			fault("members: %w", err)
		} else if c.Members.Agency == "" {
			fault("members: keys open one account alone")
		}
		assumes = assumes || c.Members.Agency != ""
	}
	switch {
	case c.Main.Keys.IsZero() && c.Main.Source == nil && c.Main.Account() == "":
		if assumes {
			fault("an account is entered by an agency, and there is no main identity to assume it")
		}
	default:
		if err := c.Main.check(); err != nil {
			fault("main identity: %w", err)
		}
		if !isID(c.Main.AccountID) {
			fault("main identity: %q is no account id; it is needed to check whose key it is", c.Main.AccountID)
		}
		if err := c.Main.Chain.check(c.Main.AccountID, s); err != nil {
			fault("chain: %w", err)
		}
	}
	return c, s, errors.Join(faults...)
}

// check says what is wrong with the access. s is nil when something is wrong with the site.
func (a Access) check(s *site) error {
	switch {
	case a.Agency == "" && a.Keys.IsZero():
		return errors.New("neither keys nor an agency to assume")
	case a.Agency != "" && !a.Keys.IsZero():
		return errors.New("both keys and an agency to assume")
	case a.Agency == "" && (a.Via != ViaIAM || a.ExternalID != ""):
		return errors.New("keys, and a service or an external id")
	case a.Agency == "":
		return a.Keys.check()
	case len(a.Agency) > 64:
		return errors.New("the name of the agency to assume is longer than 64 bytes")
	case a.Via != ViaIAM && a.Via != ViaSTS:
		return errors.New("an unknown service to assume the agency")
	case a.ExternalID != "" && a.Via != ViaSTS:
		return errors.New("an external id, which IAM has no place for")
	case a.ExternalID != "" && (len(a.ExternalID) < 2 || utf8.RuneCountInString(a.ExternalID) > 1224 || !utf8.ValidString(a.ExternalID)):
		return errors.New("the external id must have 2 to 1224 characters")
	case a.Via == ViaSTS && strings.ContainsAny(a.Agency, ":/"):
		return errors.New("the name of the agency cannot be part of a urn")
	case a.Via == ViaSTS && s != nil && s.places[serviceSTS].endpoint == "":
		return errors.New("the address of STS is not known")
	}
	return nil
}

// isID says whether a text is an id: what may stand in a path, which the SDK does not escape (facts 5.3).
func isID(s string) bool {
	for i := range len(s) {
		if c := s[i]; c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// check refuses half a key: the SDK would take an empty one for an order to ask the metadata service (facts 5.1).
func (k Keys) check() error {
	switch {
	case k.AccessKey.IsZero() && k.SecretKey.IsZero():
		return errors.New("access key and secret key are empty")
	case k.AccessKey.IsZero():
		return errors.New("the access key is empty")
	case k.SecretKey.IsZero():
		return errors.New("the secret key is empty")
	}
	return nil
}

// check says what is wrong with where the keys come from.
func (i Identity) check() error {
	switch {
	case i.Source == nil:
		return i.Keys.check()
	case !i.Keys.IsZero():
		return errors.New("both keys and a source of them")
	}
	return i.Source.Check()
}

// check says what is wrong with a chain that begins with a key of the account from. There may be none.
func (h *Chain) check(from string, s *site) error {
	switch {
	case h == nil:
		return nil
	case !isID(h.AccountID):
		return fmt.Errorf("%q is no account id; it is needed to check whose key is made", h.AccountID)
	case h.AccountID == from:
		return errors.New("it leads into the account that the key is of")
	case h.Access.Agency == "":
		return errors.New("it names no agency to assume")
	}
	return h.Access.check(s)
}

// site is where requests go.
type site struct {
	places [serviceCount]place
	// roots are nil for those of the system.
	roots *x509.CertPool
}

// place is where the requests of one service go; empty when that is not known.
type place struct {
	// endpoint is scheme://host[:port], and host the latter part of it. address is the host with a port in any case.
	endpoint, host, address string
	loopback                bool
}

// at is where the requests of an operation go.
func (s *site) at(o op) *place { return &s.places[operations[o].service] }

// endpointsOf are the addresses that follow from a region. That of Organizations is empty where none is known.
func endpointsOf(region string) Endpoints {
	// The one region that is served from another domain (facts 5.4). The SDK's own table of regions is not used: it
	// can be redirected by environment variables and by a file in the home folder.
	if region == "eu-west-101" {
		return Endpoints{IAM: "https://iam." + region + ".myhuaweicloud.eu", STS: "https://sts." + region + ".myhuaweicloud.eu"}
	}
	return Endpoints{
		IAM: "https://iam." + region + ".myhuaweicloud.com", STS: "https://sts." + region + ".myhuaweicloud.com",
		Organizations: "https://organizations.myhuaweicloud.com",
	}
}

func (c Config) site() (*site, error) {
	s := &site{}
	if len(c.CAPEM) > 0 {
		s.roots = x509.NewCertPool()
		if !s.roots.AppendCertsFromPEM(c.CAPEM) {
			return nil, errors.New("certificate authorities: no certificate in PEM form found")
		}
	}
	e := c.Endpoints
	if e == (Endpoints{}) {
		switch {
		case c.Region == "":
			return nil, errors.New("neither an endpoint nor a region is set")
		case !regionPattern.MatchString(c.Region):
			return nil, fmt.Errorf("region %q: lower-case letters, digits and - only", c.Region)
		}
		e = endpointsOf(c.Region)
	}
	if e.IAM == "" {
		return nil, errors.New("endpoint of IAM: it is missing")
	}
	var faults []error
	for i, endpoint := range [serviceCount]string{serviceIAM: e.IAM, serviceSTS: e.STS, serviceOrganizations: e.Organizations} {
		if endpoint == "" {
			continue
		}
		var err error
		if s.places[i], err = placeOf(endpoint); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", service(i).title(), err))
		}
	}
	return s, errors.Join(faults...)
}

// placeOf reads an endpoint.
func placeOf(endpoint string) (p place, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return p, errors.New("endpoint: it is not an address of the form https://host")
	}
	switch {
	case u.User != nil:
		return p, errors.New("endpoint: a user or password in it would be sent with every request; remove it")
	case u.Opaque != "" || (u.Scheme != "https" && u.Scheme != "http"):
		return p, fmt.Errorf("endpoint %q: it must begin with https://", endpoint)
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(endpoint, "#"):
		return p, fmt.Errorf("endpoint %q: nothing may follow the host; the SDK would drop it", endpoint)
	}
	host := u.Hostname()
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case ipErr == nil:
		if err := CheckAddress(ip); err != nil {
			return p, fmt.Errorf("endpoint %q: %w", endpoint, err)
		}
		p.loopback = ip.Unmap().IsLoopback()
	case !hostPattern.MatchString(host) || strings.Contains(host, ".."):
		return p, fmt.Errorf("endpoint %q: %q is no host name", endpoint, host)
	default:
		p.loopback = strings.EqualFold(host, "localhost")
	}
	port := u.Port()
	if port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return p, fmt.Errorf("endpoint %q: %q is no port", endpoint, port)
		}
	} else if port = "443"; u.Scheme == "http" {
		port = "80"
	}
	if u.Scheme == "http" && !p.loopback {
		return p, fmt.Errorf("endpoint %q: plain http is for loopback addresses only", endpoint)
	}
	p.endpoint, p.host, p.address = u.Scheme+"://"+u.Host, u.Host, net.JoinHostPort(host, port)
	return p, nil
}

// CheckAddress refuses the addresses at which no service of the cloud can be: those of one link, where metadata services answer
// with credentials, and those of nobody or of many. An address of IPv6 that routers take for one of IPv4 is judged by that.
func CheckAddress(ip netip.Addr) error {
	ip = ip.Unmap()
	inner := inIPv4(ip)
	switch {
	case ip.IsLinkLocalUnicast(), inner.IsLinkLocalUnicast():
		return fmt.Errorf("%s is a link-local address, where metadata services are and no other service of the cloud", ip)
	case ip.Zone() != "":
		return fmt.Errorf("%s is an address of one of this machine's networks", ip)
	case ip.IsUnspecified(), ip.IsMulticast(), inner.Is4() && (inner.As4()[0] == 0 || inner.As4()[0] >= 224):
		return fmt.Errorf("%s is not the address of one host", ip)
	case inner != ip && inner.IsLoopback():
		return fmt.Errorf("%s may lead to this machine itself", ip)
	}
	return nil
}

// inIPv4 is the address of IPv4 that one of IPv6 stands for: in the prefix for translation (NAT64), of 6to4, and in the old form
// that ends with one. Any other address is itself.
func inIPv4(ip netip.Addr) netip.Addr {
	b := ip.As16()
	switch {
	case ip.Is4(), ip.IsLoopback(), ip.IsUnspecified():
	case netip.MustParsePrefix("64:ff9b::/96").Contains(ip), netip.MustParsePrefix("::/96").Contains(ip):
		return netip.AddrFrom4([4]byte(b[12:]))
	case netip.MustParsePrefix("2002::/16").Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

package daemon

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
)

// site is one of the vendor's sites (facts 1, 5.4, 6.2, 7).
type site struct {
	// domain is where its services are: https://iam.<region>.<domain>.
	domain string
	// organizations is the one address of Organizations; empty when none is known.
	organizations string
	// serves says whether the site has the region, as far as a name can tell.
	serves func(region string) bool
}

func sites() map[string]site {
	european := func(region string) bool { return strings.HasPrefix(region, "eu-west-1") }
	other := func(region string) bool { return !european(region) }
	return map[string]site{
		"intl": {domain: "myhuaweicloud.com", organizations: "https://organizations.myhuaweicloud.com", serves: other},
		"cn":   {domain: "myhuaweicloud.com", organizations: "https://organizations.myhuaweicloud.com", serves: other},
		"eu":   {domain: "myhuaweicloud.eu", serves: european},
	}
}

const custom = "custom"

var (
	regionPattern = regexp.MustCompile(`^[a-z]+(-[a-z0-9]+)+$`)
	hostPattern   = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)
)

// checkCloud works out the addresses of the services.
func (c *configCheck) checkCloud() {
	cloud := &c.cfg.Cloud
	known := slices.Sorted(maps.Keys(sites()))
	s, ok := sites()[cloud.Site]
	if !ok && cloud.Site != custom {
		c.doc.Add("cloud.site", fmt.Sprintf("unknown site %q", cloud.Site),
			"write "+strings.Join(known, ", ")+" for one of the vendor's sites, or custom")
	}
	written := c.doc.Has("cloud.region")
	switch {
	case written && !regionPattern.MatchString(cloud.Region):
		c.doc.Add("cloud.region", fmt.Sprintf("%q is not the id of a region", cloud.Region), "write an id such as ap-southeast-3")
	case written && ok && !s.serves(cloud.Region):
		c.doc.Add("cloud.region", fmt.Sprintf("the site %s has no region %s", cloud.Site, cloud.Region),
			"name the site that the region belongs to, or another region")
	}
	e := &c.cfg.reader.Endpoints
	missing := false
	for _, service := range []struct {
		key, name, written string
		into               *string
		// follows is the address on a site of the vendor; empty when it is not known. used says that it is needed. Who needs STS
		// says so where it stands.
		follows string
		used    bool
	}{
		{"iam", "IAM", cloud.Endpoints.IAM, &e.IAM, "https://iam." + cloud.Region + "." + s.domain, true},
		{"sts", "STS", cloud.Endpoints.STS, &e.STS, "https://sts." + cloud.Region + "." + s.domain, false},
		{"organizations", "Organizations", cloud.Endpoints.Organizations, &e.Organizations, s.organizations, c.cfg.Accounts.Organization.Enabled},
	} {
		at := "cloud.endpoints." + service.key
		switch {
		case c.doc.Has(at):
			host, err := checkEndpoint(service.written)
			if err != nil {
				c.doc.Add(at, err.Error(), "write https://host or https://host:port")
			} else if ok && !strings.HasSuffix(host, "."+s.domain) {
				c.doc.Add(at, fmt.Sprintf("%s is not a host of the site %s, and would be sent signed requests", host, cloud.Site),
					"leave it out, or write site: custom if you mean it")
			}
			*service.into = service.written
		case cloud.Site == custom && service.used:
			c.doc.Add(at, "is missing",
				"write the address of "+service.name+", since nothing else says where the site custom is")
		case cloud.Site == custom:
		case service.follows == "":
			if service.used {
				c.doc.Add(at, "is missing", "write the address of "+service.name+" on the site "+cloud.Site+", which is not known")
			}
		case !written && service.key != "organizations":
			if service.used && !missing {
				missing = true
				c.doc.Add("cloud.region", "is missing", "write the id of a region of the site, such as ap-southeast-3")
			}
		default:
			*service.into = service.follows
		}
	}
	c.cfg.reader.Region = cloud.Region
	c.checkMetadata()
}

// checkEndpoint refuses an address to which signed requests must not be sent, or that the SDK would send elsewhere. It
// returns the host in lower case.
func checkEndpoint(address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("is not an address of the form https://host")
	case u.User != nil:
		return "", errors.New("holds a user or a password, which would go out with every request")
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(address, "#"):
		return "", errors.New("has something behind the host, which would be lost") // facts 5.4
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", errors.New("has a port that is none")
		}
	}
	host := strings.ToLower(u.Hostname())
	loopback := host == "localhost"
	if ip, err := netip.ParseAddr(host); err == nil {
		if err := huawei.CheckAddress(ip); err != nil {
			return "", err
		}
		loopback = ip.Unmap().IsLoopback()
	} else if !hostPattern.MatchString(host) || numericHost(host) {
		return "", errors.New("has a host that is neither a name nor an address")
	}
	if u.Scheme == "http" && !loopback {
		return "", errors.New("is plain http, which is for loopback addresses only")
	}
	return host, nil
}

// numericHost says whether some resolvers would read the name as an address in disguise: 2130706433, 0x7f.1.
func numericHost(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	_, err := strconv.ParseUint(last, 0, 64)
	return err == nil || strings.Trim(last, "0123456789") == ""
}

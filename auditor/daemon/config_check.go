package daemon

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// The environment variables of credentials with source environment. They are those of the vendor's own tools.
const (
	envAccessKey     = "HUAWEICLOUD_SDK_AK"
	envSecretKey     = "HUAWEICLOUD_SDK_SK"
	envSecurityToken = "HUAWEICLOUD_SDK_SECURITY_TOKEN"
)

const (
	viaKeys = "keys"
	viaIAM  = "iam"
	viaSTS  = "sts"

	// maxName bounds the names of accounts and agencies in characters, as the cloud does (facts 1.1).
	maxName = 64
	// maxTimeout is beyond any sense and within any clock.
	maxTimeout = 24 * time.Hour
	// requestsAtOnce is how many requests of one account are under way at a time, and one to spare.
	requestsAtOnce = 6
	// requestsOfASweep is the fewest requests by which an account can be read.
	requestsOfASweep = 6
)

var accountIDPattern = regexp.MustCompile(`^[0-9a-f]{32}$`)

const accountIDRemedy = "write the account's (domain) id, 32 lower-case hexadecimal digits, as the console shows it under My Credentials"

// configCheck checks a decoded configuration, adds what is wrong to its document, and resolves what it names.
type configCheck struct {
	cfg  *Config
	doc  *strictyaml.Document
	file string
	open func(string) (fs.File, error)
	// openSecret opens files that hold secrets. It is nil if no secret is resolved, from whatever place.
	openSecret func(string) (fs.File, error)
	lookupEnv  func(string) (string, bool)
	// others are the faults of baseline files.
	others strictyaml.Faults
}

// err returns every fault. decoding is what Decode said, which is more than faults if this program is wrong.
func (c *configCheck) err(decoding error) error {
	var faults strictyaml.Faults
	if decoding != nil && !errors.As(decoding, &faults) {
		return decoding
	}
	faults = nil
	errors.As(c.doc.Err(), &faults)
	return append(faults, c.others...).Err()
}

func (c *configCheck) check() {
	c.checkBaselines()
	c.checkSeverities()
	c.checkCredentials()
	c.checkRepairCredentials()
	c.checkAccounts()
	c.checkAgreed()
	c.checkCloud()
	c.checkLimits()
	c.checkSchedule()
	c.checkState()
	c.checkRemediation()
	c.checkListen()
	c.checkCA()
}

func (c *configCheck) checkBaselines() {
	if len(c.cfg.Baselines) == 0 {
		c.doc.Add("baselines", "is an empty list, so that nothing would be compared", "list at least one baseline, such as coc")
	}
	named, agencies := map[string]string{}, map[string]string{} // the path of the first baseline of a name, about an agency
	for i, ref := range c.cfg.Baselines {
		at := strictyaml.Index("baselines", i)
		if slices.Contains(c.cfg.Baselines[:i], ref) && ref != "" {
			c.doc.Add(at, fmt.Sprintf("%q is listed twice", ref), "delete one of the two")
			continue
		}
		b, ok := c.loadBaseline(at, ref)
		if !ok {
			continue
		}
		if first, twice := agencies[b.Agency]; twice {
			c.doc.Add(at, fmt.Sprintf("is about the agency %s, as is %s; an agency can have one baseline", b.Agency, first),
				"delete one of the two, or merge them")
		} else if first, twice := named[b.Name]; twice {
			c.doc.Add(at, fmt.Sprintf("bears the name %s, as does %s", b.Name, first), "give one of them another name")
		}
		agencies[b.Agency], named[b.Name] = at, at
		c.cfg.baselines = append(c.cfg.baselines, b)
	}
}

// loadBaseline loads the baseline that is named at a place of the configuration. It adds the faults of its file.
func (c *configCheck) loadBaseline(at, ref string) (rules.Baseline, bool) {
	if ref == "" {
		c.doc.Add(at, "is empty", "write the name of a bundled baseline, such as coc, or the path of a file")
		return rules.Baseline{}, false
	}
	if b, ok := baseline.Bundled(ref); ok {
		return b, true
	}
	if !strings.ContainsAny(ref, `/\`) && filepath.Ext(ref) == "" {
		c.doc.Add(at, fmt.Sprintf("no baseline called %q is bundled", ref),
			"the bundled ones are "+strings.Join(baseline.Names(), ", ")+"; write a file with its ending, such as ./"+ref+".yaml")
		return rules.Baseline{}, false
	}
	data, path, ok := c.agreed(at, ref, "a baseline file")
	if !ok {
		return rules.Baseline{}, false
	}
	b, err := baseline.Load(path, data)
	return b, c.foreign(at, err)
}

func (c *configCheck) checkSeverities() {
	var ids []string
	for _, r := range rules.Rules() {
		ids = append(ids, r.ID)
	}
	levels := []rules.Severity{rules.Critical, rules.High, rules.Warning, rules.Info}
	for id, severity := range c.cfg.Severities {
		at := strictyaml.Key("severities", id)
		if !slices.Contains(ids, id) {
			c.doc.Add(at, fmt.Sprintf("there is no rule %q", id), didYouMean(id, ids)+"the rules are "+strings.Join(ids, ", "))
		}
		if !slices.Contains(levels, severity) {
			c.doc.Add(at, fmt.Sprintf("%q is no severity", severity),
				didYouMean(string(severity), []string{"critical", "high", "warning", "info"})+"write critical, high, warning or info")
		}
	}
	for i := range c.cfg.baselines {
		c.cfg.baselines[i].Severities = c.cfg.Severities
	}
}

// didYouMean begins a remedy with the word that was probably meant.
func didYouMean(written string, known []string) string {
	if near := strictyaml.Nearest(written, known); near != "" {
		return "did you mean " + near + "? "
	}
	return ""
}

// keyPlace is where an account's key stands, and which account it is of.
type keyPlace struct{ at, id string }

// access resolves the way into the account with an id, which is empty for the members of the organization. keys remembers which
// account's key stands where.
func (c *configCheck) access(at, id string, a AccessConfig, keys map[huawei.Secret]keyPlace) huawei.Access {
	if !c.doc.Require(at+".via", "write keys for a key of the account, or iam or sts for an agency to assume") {
		return huawei.Access{}
	}
	switch a.Via {
	case viaKeys:
		c.useless(at, "via: keys", "agency", "external_id")
		k := c.keys(at, a)
		c.once(at, id, k.AccessKey, keys)
		return huawei.Access{Keys: k}
	case viaIAM, viaSTS:
		c.useless(at, "via: "+a.Via, "ak_env", "sk_env", "ak_file", "sk_file")
		remedy := "write the name of the account's agency that trusts the account of " + c.trusted(at) + ", such as AgencyAuditReader"
		if len(a.Agency) > maxName {
			c.doc.Add(at+".agency", fmt.Sprintf("has more than %d bytes", maxName), "write the name as the console shows it")
		} else if by := c.cfg.Remediation.changesBy(a.Agency); by != "" {
			c.doc.Add(at+".agency", fmt.Sprintf("%s is the agency of %s, which may change the account", a.Agency, by),
				"name another agency to read by, one that may read alone")
		} else if c.doc.Require(at+".agency", remedy) && c.doc.Line(at+".agency", a.Agency, maxName, remedy) &&
			slices.ContainsFunc(c.cfg.baselines, func(b rules.Baseline) bool { return b.Agency == a.Agency }) {
			c.doc.Add(at+".agency", fmt.Sprintf("%s is an agency to be judged, which trusts its own service alone", a.Agency),
				"name an agency that was made for the auditor")
		}
		if a.Via == viaIAM {
			c.useless(at, "via: iam", "external_id")
			return huawei.Access{Agency: a.Agency}
		}
		c.sts(at, a)
		return huawei.Access{Agency: a.Agency, Via: huawei.ViaSTS, ExternalID: a.ExternalID}
	}
	c.doc.Add(at+".via", fmt.Sprintf("%q is no way into an account", a.Via), "write keys, iam or sts")
	return huawei.Access{}
}

// trusted is where the account stands that an agency must trust.
func (c *configCheck) trusted(at string) string {
	const chain = "credentials.chain"
	if c.doc.Has(chain) && at != chain {
		return chain
	}
	return "credentials"
}

// sts checks what is particular to STS.
func (c *configCheck) sts(at string, a AccessConfig) {
	if strings.ContainsAny(a.Agency, ":/") {
		c.doc.Add(at+".agency", "holds a colon or a slash, which mean something else to STS", "write the name as the console shows it")
	}
	const remedy = "write what the agency's trust policy asks for, 2 to 1224 characters, or leave it out"
	if c.doc.Has(at+".external_id") && c.doc.Line(at+".external_id", a.ExternalID, 1224, remedy) && len(a.ExternalID) < 2 {
		c.doc.Add(at+".external_id", "is too short", remedy)
	}
	if cloud := &c.cfg.Cloud; cloud.Endpoints.STS == "" && (cloud.Site == custom || cloud.Region == "") {
		c.doc.Add(at+".via", "sts has no known address", "write cloud.endpoints.sts, or site and region of the vendor's cloud")
	}
}

// once refuses a key that is another account's, be it under another name.
func (c *configCheck) once(at, id string, key huawei.Secret, seen map[huawei.Secret]keyPlace) {
	if key.IsZero() {
		return
	}
	first, twice := seen[key]
	switch main := &c.cfg.reader.Main; {
	case twice && first.id != id:
		c.doc.Add(at, "uses the same key as "+first.at+", and a key opens its own account alone",
			"name a key of this account, or use via: iam with an agency that trusts the account of "+c.trusted(at))
	case key == c.cfg.writer.Keys.AccessKey:
		c.doc.Add(at, "uses the key of remediation.credentials, which is there for changes alone",
			"name another key to read by, one that may read alone")
	case key == main.Keys.AccessKey && id != main.AccountID:
		c.doc.Add(at, "uses the key of credentials, and a key opens its own account alone",
			"name a key of this account, or use via: iam with an agency that trusts the account of "+c.trusted(at))
	case !twice:
		seen[key] = keyPlace{fmt.Sprintf("%s (%s:%d)", at, c.file, c.doc.Fault(at, "", "").Line), id}
	}
}

// keys resolves the key of one account.
func (c *configCheck) keys(at string, a AccessConfig) huawei.Keys {
	env := c.doc.Has(at+".ak_env") || c.doc.Has(at+".sk_env")
	file := c.doc.Has(at+".ak_file") || c.doc.Has(at+".sk_file")
	var k huawei.Keys
	switch {
	case env && file:
		c.doc.Add(at, "names both environment variables and files", "keep ak_env and sk_env, or ak_file and sk_file")
		return k
	case env:
		k.AccessKey = c.half(at+".ak_env", a.AKEnv, "the environment variable with the access key id", c.secretEnv)
		k.SecretKey = c.half(at+".sk_env", a.SKEnv, "the environment variable with the secret access key", c.secretEnv)
	case file:
		k.AccessKey = c.half(at+".ak_file", a.AKFile, fileWithAK, c.secretFile)
		k.SecretKey = c.half(at+".sk_file", a.SKFile, fileWithSK, c.secretFile)
	default:
		c.doc.Add(at, "names no key", "write ak_env and sk_env for environment variables, or ak_file and sk_file for files")
		return k
	}
	return k
}

const (
	fileWithAK = "the file with the access key id"
	fileWithSK = "the file with the secret access key"
)

// half resolves one half of a key. Both halves are needed.
func (c *configCheck) half(at, name, what string, resolve func(at, name string) huawei.Secret) huawei.Secret {
	switch {
	case !c.doc.Require(at, "name "+what):
	case name == "":
		c.doc.Add(at, "is empty", "name "+what)
	default:
		return resolve(at, name)
	}
	return huawei.Secret{}
}

// useless adds a fault for each of the keys that means nothing here.
func (c *configCheck) useless(at, here string, keys ...string) {
	for _, k := range keys {
		if path := strictyaml.Key(at, k); c.doc.Has(path) {
			c.doc.Add(path, "means nothing with "+here, "delete it")
		}
	}
}

func (c *configCheck) checkCredentials() {
	const at = "credentials"
	if !c.doc.Has(at) {
		if c.cfg.Accounts.Organization.Enabled {
			return // where it is needed in any case, and missed
		}
		for i, a := range c.cfg.Accounts.Static {
			if a.Access.Via == viaIAM || a.Access.Via == viaSTS {
				c.doc.Add(at, fmt.Sprintf("is missing, and %s is entered via %s", strictyaml.Index("accounts.static", i), a.Access.Via),
					"write source and account_id of the key that assumes agencies")
				return
			}
		}
		return
	}
	main := &c.cfg.reader.Main
	creds := c.cfg.Credentials
	if c.doc.Require(at+".account_id", accountIDRemedy) && !accountIDPattern.MatchString(creds.AccountID) {
		c.doc.Add(at+".account_id", "is not the id of an account", accountIDRemedy)
	}
	main.AccountID = creds.AccountID
	c.checkSource(at, creds, main)
	main.Chain = c.checkChain(at+".chain", creds.AccountID, creds.Chain)
}

func (c *configCheck) checkLimits() {
	l := c.cfg.Limits
	if l.Concurrency < 1 || l.Concurrency > 1024 {
		c.doc.Add("limits.concurrency", fmt.Sprintf("%d is out of range", l.Concurrency), "write a whole number from 1 to 1024")
	}
	if l.BodyBytes < 64<<10 || l.BodyBytes > 256<<20 {
		c.doc.Add("limits.body_bytes", fmt.Sprintf("%d is out of range", l.BodyBytes),
			fmt.Sprintf("write a number of bytes from %d to %d", 64<<10, 256<<20))
	}
	if l.AccountRequests < 20 || l.AccountRequests > 1_000_000 {
		c.doc.Add("limits.account_requests", fmt.Sprintf("%d is out of range", l.AccountRequests), "write a whole number from 20 to 1000000")
	}
	if !c.doc.Has("limits.account_bytes") {
		l.AccountBytes = max(l.AccountBytes, l.BodyBytes)
	}
	switch {
	case l.AccountBytes < 64<<10 || l.AccountBytes > 4<<30:
		c.doc.Add("limits.account_bytes", fmt.Sprintf("%d is out of range", l.AccountBytes),
			fmt.Sprintf("write a number of bytes from body_bytes to %d", 4<<30))
	case l.AccountBytes < l.BodyBytes:
		c.doc.Add("limits.account_bytes", fmt.Sprintf("%d is less than body_bytes, which is %d, and one answer may have that many",
			l.AccountBytes, l.BodyBytes), "write more, or make body_bytes less")
	}
	timeouts := []struct {
		key string
		is  time.Duration
	}{{"run_timeout", l.RunTimeout}, {"account_timeout", l.AccountTimeout}, {"request_timeout", l.RequestTimeout}}
	for i, t := range timeouts {
		at := strictyaml.Key("limits", t.key)
		switch {
		case t.is < time.Second || t.is > maxTimeout:
			c.doc.Add(at, fmt.Sprintf("%s is out of range", rules.Span(t.is)), "write a duration from 1s to 24h")
		case i > 0 && t.is > timeouts[i-1].is:
			c.doc.Add(at, fmt.Sprintf("%s is longer than %s, which is %s", rules.Span(t.is), timeouts[i-1].key, rules.Span(timeouts[i-1].is)),
				"make it shorter, or the other one longer")
		}
	}
	c.cfg.reader.RequestTimeout = l.RequestTimeout
	c.cfg.reader.MaxBody = l.BodyBytes
	c.cfg.reader.Connections = requestsAtOnce * l.Concurrency
	c.cfg.reader.AccountRequests, c.cfg.reader.AccountBytes = l.AccountRequests, l.AccountBytes
	c.checkRate()
}

// checkRate checks how many requests are sent, and that accounts can be read at that pace in the time that they have.
func (c *configCheck) checkRate() {
	rate, l := c.cfg.Cloud.Rate, c.cfg.Limits
	// Those of the organization are not known yet; that a run has too little time for them is told when it begins.
	sweeps := len(c.cfg.Inventory()) * len(c.cfg.Baselines)
	for _, r := range []struct {
		key      string
		is, most float64
		requests int
		limit    string
		in       time.Duration
	}{
		{"per_account", rate.PerAccount, 1000, 2 * requestsOfASweep, "account_timeout", l.AccountTimeout},
		{"total", rate.Total, 10_000, requestsOfASweep * sweeps, "run_timeout", l.RunTimeout},
	} {
		at := strictyaml.Key("cloud.rate", r.key)
		switch {
		case r.is != 0 && !(r.is >= 0.1 && r.is <= r.most): // whatever is no number is out of range as well
			c.doc.Add(at, fmt.Sprintf("%v is out of range", r.is),
				fmt.Sprintf("write requests a second, from 0.1 to %v, or 0 for no limit", r.most))
		case r.is != 0 && r.in >= time.Second && float64(r.requests) > r.is*(r.in.Seconds()+1):
			c.doc.Add(at, fmt.Sprintf("%v a second are too few for %d requests within %s, which is %s", r.is, r.requests, r.limit, rules.Span(r.in)),
				"write a higher rate if the cloud bears it, or raise limits."+r.limit)
		}
	}
	c.cfg.reader.Rate = huawei.Rate{PerAccount: rate.PerAccount, Total: rate.Total}
}

func (c *configCheck) checkCA() {
	const at = "cloud.ca_file"
	if !c.doc.Has(at) {
		return
	}
	path := c.path(c.cfg.Cloud.CAFile)
	pem, err := readAll(c.open, path)
	switch {
	case err != nil:
		c.doc.Add(at, fmt.Sprintf("the file %q cannot be read: %s", path, reason(err)), "name a file of certificates in PEM form")
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		c.doc.Add(at, fmt.Sprintf("the file %q holds no certificate in PEM form", path), "name a file of certificates in PEM form")
	}
	c.cfg.reader.CAPEM = pem
}

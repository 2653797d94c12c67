package daemon

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// RemediationConfig says what is put right of that which the runs find wrong, how, and by whom.
type RemediationConfig struct {
	// Mode is off; or plan, to show what would be done; or approve, to do what a person approved; or auto, to do it by itself. In off
	// and plan the program has nothing by which it could change an account. Default: "off".
	Mode remedy.Mode `yaml:"mode"`
	// Credentials are the key by which accounts are changed, another one than that by which they are read. Needed from approve on.
	Credentials RepairCredentialsConfig `yaml:"credentials"`
	// Missing says whether and how what is missing is granted.
	Missing MissingConfig `yaml:"missing"`
	// Excess says whether and how what is excess is revoked.
	Excess ExcessConfig `yaml:"excess"`
	// Limits bound what may be changed. A plan that exceeds one is not carried out in part, but stops all repair until a person lifts that.
	Limits RepairLimitsConfig `yaml:"limits"`
	// Windows are the times at which accounts may be changed. Default: any time.
	Windows []WindowConfig `yaml:"windows"`
	// FreezeFile is the kill switch: while there is anything of that path, nothing is changed. Default: FREEZE in StateDir.
	FreezeFile string `yaml:"freeze_file"`
	// Settle is how long the cloud may take to show a change; from 1m to 24h. A grant that does not show by then is quarantined.
	// Default: 30m.
	Settle time.Duration `yaml:"settle"`
	// CoolDown is how long an account is left alone after a step in it failed; from 1m to 7d. It doubles with each further failure, up to
	// 32 times as long. Default: 1h.
	CoolDown time.Duration `yaml:"cool_down"`
	// Approval says who approves, and for how long.
	Approval ApprovalConfig `yaml:"approval"`
}

// RepairCredentialsConfig is the key by which accounts are changed. It is read from mode approve on.
type RepairCredentialsConfig struct {
	// Source is environment, for AKEnv and SKEnv; or file, profile, ecs or pod, as for the program's own key. With ecs or pod that
	// key must come from elsewhere, since a server and a pod have one identity each.
	Source string `yaml:"source"`
	// AccountID is the id of the account that the key belongs to. The agencies of Missing and Excess trust it.
	AccountID string `yaml:"account_id"`
	// AKEnv and SKEnv name the environment variables with the access key id and the secret access key. Source environment only.
	AKEnv string `yaml:"ak_env"`
	SKEnv string `yaml:"sk_env"`
	// AKFile and SKFile name the files with the two. Source file only.
	AKFile string `yaml:"ak_file"`
	SKFile string `yaml:"sk_file"`
	// ProfileFile is an INI file such as the vendor's tools have. Source profile only.
	ProfileFile string `yaml:"profile_file"`
	// Profile is the section of it. Source profile only. Default: global.
	Profile string `yaml:"profile"`
}

// MissingConfig says whether and how what is missing is granted.
type MissingConfig struct {
	// Enabled says that it is, in the modes other than off. No baseline may then require a policy that is never granted. Default: false.
	Enabled bool `yaml:"enabled"`
	// Via is iam or sts, for the service that lets Agency be assumed. Needed from approve on.
	Via string `yaml:"via"`
	// Agency is the agency of each account that may grant, and nothing else. Needed from approve on.
	Agency string `yaml:"agency"`
	// ExternalID is what the trust policy of a trust agency asks for. Via sts only.
	ExternalID string `yaml:"external_id"`
}

// ExcessConfig says whether and how what is excess is revoked.
type ExcessConfig struct {
	// Enabled says that it is, in the modes other than off. Default: false.
	Enabled bool `yaml:"enabled"`
	// Via is iam or sts, for the service that lets Agency be assumed. Needed from approve on.
	Via string `yaml:"via"`
	// Agency is the agency of each account that may revoke, and nothing else. Needed from approve on.
	Agency string `yaml:"agency"`
	// ExternalID is what the trust policy of a trust agency asks for. Via sts only.
	ExternalID string `yaml:"external_id"`
	// Policies are what may be revoked, display names of system-defined policies or ids of any: none that a baseline names, nor one
	// that an overlay allows. Needed when Enabled.
	Policies []string `yaml:"policies"`
	// Grace is how long a grant must have been seen before it is revoked; from 1h to 365d. Default: 24h.
	Grace time.Duration `yaml:"grace"`
}

// RepairLimitsConfig bounds what may be changed.
type RepairLimitsConfig struct {
	// GrantAccountsPerRun and RevokeAccountsPerRun are in how many accounts one plan may grant, and revoke; from 1 to 100000.
	// Default: 5, and 1.
	GrantAccountsPerRun  int `yaml:"grant_accounts_per_run"`
	RevokeAccountsPerRun int `yaml:"revoke_accounts_per_run"`
	// FleetPercentPerDay is in how many of the expected accounts anything may be changed within 24 hours, from 1 to 100 percent of them,
	// rounded down, but one at least. Default: 5.
	FleetPercentPerDay int `yaml:"fleet_percent_per_day"`
	// PolicyWritesPerDay is how often one policy may be granted or revoked within 24 hours; from 1 to 100000. Default: 20.
	PolicyWritesPerDay int `yaml:"policy_writes_per_day"`
}

// WindowConfig is a time at which accounts may be changed.
type WindowConfig struct {
	// Cron is when it begins, in the form of the schedule but for @every. Always in UTC.
	Cron string `yaml:"cron"`
	// For is how long it lasts; from 1m to 24h.
	For time.Duration `yaml:"for"`
}

// ApprovalConfig says who approves plans, and for how long.
type ApprovalConfig struct {
	// Expires is how long an approval counts at most; from 1m to 30d. Default: 24h.
	Expires time.Duration `yaml:"expires"`
	// People are those who may approve: by name the file of each one's public key, ed25519 in PEM. With them an approval must be signed by
	// one of them, and not by whoever asked for the plan. Default: whoever can use the daemon's socket.
	People map[string]string `yaml:"people"`
}

// freezeName is the kill switch's file in the state directory.
const freezeName = "FREEZE"

const (
	maxGrace    = 365 * 24 * time.Hour
	maxCoolDown = 7 * 24 * time.Hour
	maxApproval = 30 * 24 * time.Hour
	// maxPerRun is beyond any fleet.
	maxPerRun = 100_000
	// maxPolicy bounds the names and ids of policies in characters, as the cloud does.
	maxPolicy = 128
)

// personPattern is what a name of a person looks like: short, and the same wherever it is shown.
var personPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// enabled says whether anything is put right at all.
func (r *RemediationConfig) enabled() bool { return r.Missing.Enabled || r.Excess.Enabled }

// changesBy is the key of the agency by which accounts are changed and that bears a name; empty when none does. Letter case does not
// make another agency of it.
func (r *RemediationConfig) changesBy(agency string) string {
	switch {
	case agency == "":
		return ""
	case strings.EqualFold(agency, r.Missing.Agency):
		return "remediation.missing"
	case strings.EqualFold(agency, r.Excess.Agency):
		return "remediation.excess"
	}
	return ""
}

// RepairMode is the mode of repair.
func (c *Config) RepairMode() remedy.Mode { return c.Remediation.Mode }

// Repairs returns which repairs may be proposed; none in mode off.
func (c *Config) Repairs() rules.Repairs {
	r := &c.Remediation
	if r.Mode == remedy.ModeOff {
		return rules.Repairs{}
	}
	may := rules.Repairs{Grant: r.Missing.Enabled}
	if r.Excess.Enabled {
		may.Revoke = &rules.Revocation{Policies: slices.Clone(r.Excess.Policies), Grace: r.Excess.Grace}
	}
	return may
}

// GrantWriter returns how accounts are entered to grant what is missing, secrets included; false when nothing is granted.
func (c *Config) GrantWriter() (huawei.Config, bool) {
	m := &c.Remediation.Missing
	return c.repairBy("grant", m.Enabled, m.Via, m.Agency, m.ExternalID)
}

// RevokeWriter returns how accounts are entered to revoke what is excess, secrets included; false when nothing is revoked.
func (c *Config) RevokeWriter() (huawei.Config, bool) {
	e := &c.Remediation.Excess
	return c.repairBy("revoke", e.Enabled, e.Via, e.Agency, e.ExternalID)
}

// repairBy is how accounts are entered to change them: each by the agency of one name and in no other way, whoever lists the account.
// The account of the key itself is none that its key opens: it would open it for everything that the key may do.
func (c *Config) repairBy(what string, enabled bool, via, agency, externalID string) (huawei.Config, bool) {
	if !enabled || !c.Remediation.Mode.Acts() {
		return huawei.Config{}, false
	}
	way := huawei.Access{Agency: agency, ExternalID: externalID}
	if via == viaSTS {
		way.Via = huawei.ViaSTS
	}
	w := c.reader
	w.Main, w.Members = c.writer, way
	w.Accounts = map[string]huawei.Access{c.writer.Account(): way}
	w.SessionName = huawei.DefaultSessionName + "-" + what
	w.Connections = requestsAtOnce
	return w, true
}

// RepairWindows returns the times at which accounts may be changed; none is any time.
func (c *Config) RepairWindows() []schedule.Window {
	var all []schedule.Window
	for _, w := range c.Remediation.Windows {
		all = append(all, schedule.Window{Cron: w.Cron, For: w.For})
	}
	return all
}

// FreezeFile is the path of the kill switch; empty when there is none, which is so without a state directory if no file is named.
func (c *Config) FreezeFile() string {
	switch {
	case c.Remediation.FreezeFile != "":
		return c.path(c.Remediation.FreezeFile)
	case c.StateDir != "":
		return filepath.Join(c.StateFolder(), freezeName)
	}
	return ""
}

// Approvers returns the public keys of the people who may approve, by name; none when nobody is named.
func (c *Config) Approvers() map[string]ed25519.PublicKey { return maps.Clone(c.approvers) }

// repairSourceKeys are the keys of remediation.credentials that mean something with each source, beside source and account_id.
func repairSourceKeys() map[string][]string {
	keys := sourceKeys()
	keys[sourceEnvironment] = []string{"ak_env", "sk_env"}
	return keys
}

// checkRepairCredentials resolves the key by which accounts are changed, if it is ever used.
func (c *configCheck) checkRepairCredentials() {
	const at = "remediation.credentials"
	r := &c.cfg.Remediation
	if !c.doc.Has(at) {
		if r.Mode.Acts() && r.enabled() {
			c.doc.Add(at, fmt.Sprintf("is missing, and in mode %s accounts are changed", r.Mode),
				"write source and account_id of a key that is used for nothing else")
		}
		return
	}
	creds := r.Credentials
	if c.doc.Require(at+".account_id", accountIDRemedy) && !accountIDPattern.MatchString(creds.AccountID) {
		c.doc.Add(at+".account_id", "is not the id of an account", accountIDRemedy)
	}
	w := &c.cfg.writer
	w.AccountID = creds.AccountID
	for _, key := range []string{"ak_env", "sk_env"} {
		if _, known := repairSourceKeys()[creds.Source]; known && creds.Source != sourceEnvironment {
			c.useless(at, "source: "+creds.Source, key)
		}
	}
	check := *c
	if !r.Mode.Acts() {
		check.openSecret = nil // a key that is not used is not read
	}
	if creds.Source == sourceEnvironment {
		c.useless(at, "source: "+creds.Source, "ak_file", "sk_file", "profile_file", "profile")
		w.Keys.AccessKey = check.half(at+".ak_env", creds.AKEnv, "the environment variable with the access key id", check.secretEnv)
		w.Keys.SecretKey = check.half(at+".sk_env", creds.SKEnv, "the environment variable with the secret access key", check.secretEnv)
	} else {
		check.checkSource(at, CredentialsConfig{
			Source: creds.Source, AccountID: creds.AccountID, AKFile: creds.AKFile, SKFile: creds.SKFile,
			ProfileFile: creds.ProfileFile, Profile: creds.Profile,
		}, w)
	}
	const remedy = "make another key for changes, of another user, that is used for nothing else"
	main := &c.cfg.reader.Main
	switch {
	case !w.Keys.AccessKey.IsZero() && w.Keys.AccessKey == main.Keys.AccessKey:
		c.doc.Add(at, "is the key of credentials, by which accounts are read", remedy)
	case (creds.Source == sourceECS || creds.Source == sourcePod) && creds.Source == c.cfg.Credentials.Source:
		c.doc.Add(at+".source", "is that of credentials, so that accounts are changed by whom they are read", remedy)
	}
}

func (c *configCheck) checkRemediation() {
	const at = "remediation"
	r := &c.cfg.Remediation
	if !slices.Contains(remedy.Modes(), r.Mode) {
		c.doc.Add(at+".mode", fmt.Sprintf("%q is no mode", r.Mode), didYouMean(string(r.Mode), []string{"off", "plan", "approve", "auto"})+
			`write "off", plan, approve or auto`)
	}
	if r.Mode.Acts() {
		if c.cfg.StateDir == "" && !c.doc.Has("state_dir") {
			c.doc.Add(at+".mode", fmt.Sprintf("%s needs a state_dir, where it is written down what is changed", r.Mode),
				"write state_dir, or mode: plan")
		}
		if !r.enabled() {
			c.doc.Add(at+".mode", fmt.Sprintf("%s has nothing to do: neither missing nor excess is enabled", r.Mode),
				"write enabled: true below one of them, or mode: plan")
		}
	}
	c.checkRepairAgency(at+".missing", r.Missing.Enabled, r.Missing.Via, r.Missing.Agency, r.Missing.ExternalID)
	c.checkRepairAgency(at+".excess", r.Excess.Enabled, r.Excess.Via, r.Excess.Agency, r.Excess.ExternalID)
	if r.Missing.Agency != "" && strings.EqualFold(r.Missing.Agency, r.Excess.Agency) {
		c.doc.Add(at+".excess.agency", "is that of remediation.missing, which could then revoke as well",
			"name two agencies, one of which may grant and the other one revoke")
	}
	c.checkNeverGranted(at + ".missing.enabled")
	c.checkRevocable(at + ".excess")
	c.checkRepairLimits(at)
	for i, w := range r.Windows {
		entry := strictyaml.Index(at+".windows", i)
		opens := c.doc.Require(entry+".cron", `write when it begins, such as "0 9 * * 1-5"`)
		lasts := c.doc.Require(entry+".for", "write how long it lasts, such as 4h")
		if err := (schedule.Window{Cron: w.Cron, For: w.For}).Check(); err != nil {
			for _, p := range problems(err) {
				if p.Key == "cron" && opens || p.Key == "for" && lasts {
					c.doc.Add(strictyaml.Key(entry, p.Key), p.Problem, p.Remedy)
				}
			}
		}
	}
	if c.doc.Has(at+".freeze_file") && r.FreezeFile == "" {
		c.doc.Add(at+".freeze_file", "is empty", "name a file, relative to this file's folder, or delete it for FREEZE in state_dir")
	}
	c.checkApprovers(at + ".approval.people")
}

// checkRepairAgency checks the agency by which accounts are changed.
func (c *configCheck) checkRepairAgency(at string, enabled bool, via, agency, externalID string) {
	const viaRemedy = "write iam or sts, for the service that lets the agency be assumed"
	const remedy = "write the name of an agency that each account has for this alone, and that trusts the account of remediation.credentials"
	if enabled && c.cfg.Remediation.Mode.Acts() {
		c.doc.Require(at+".via", viaRemedy)
		c.doc.Require(at+".agency", remedy)
	}
	switch {
	case !c.doc.Has(at + ".via"):
	case via == viaIAM:
		c.useless(at, "via: iam", "external_id")
	case via == viaSTS:
		c.sts(at, AccessConfig{Via: via, Agency: agency, ExternalID: externalID})
	default:
		c.doc.Add(at+".via", fmt.Sprintf("%q is no way into the accounts", via), viaRemedy)
	}
	if len(agency) > maxName {
		c.doc.Add(at+".agency", fmt.Sprintf("has more than %d bytes", maxName), "write the name as the console shows it")
	} else if c.doc.Line(at+".agency", agency, maxName, remedy) && slices.ContainsFunc(c.cfg.baselines, func(b rules.Baseline) bool {
		return agency != "" && strings.EqualFold(b.Agency, agency)
	}) {
		c.doc.Add(at+".agency", fmt.Sprintf("%s is an agency to be judged, which trusts its own service alone", agency), remedy)
	}
}

// checkNeverGranted refuses to grant by a baseline that requires what is never granted.
func (c *configCheck) checkNeverGranted(at string) {
	if !c.cfg.Remediation.Missing.Enabled {
		return
	}
	for _, b := range c.cfg.baselines {
		for _, req := range b.Required {
			if rules.NeverGranted(req.Policy) {
				c.doc.Add(at, fmt.Sprintf("the baseline %s requires %s, which gives its holder the account and is never granted by itself",
					b.Name, req.Policy), "take it out of the baseline, or grant what is missing by hand and write enabled: false")
			}
		}
	}
}

// checkRevocable checks what may be revoked, and when.
func (c *configCheck) checkRevocable(at string) {
	e := &c.cfg.Remediation.Excess
	list := at + ".policies"
	if e.Enabled && len(e.Policies) == 0 {
		c.doc.Add(list, "names no policy, so that nothing could be revoked",
			"list display names of system-defined policies, or ids of policies, that may be taken away wherever they are excess")
	}
	for i, policy := range e.Policies {
		entry := strictyaml.Index(list, i)
		if !c.doc.Line(entry, policy, maxPolicy, "write the display name of a system-defined policy, or the id of a policy") {
			continue
		}
		if slices.Contains(e.Policies[:i], policy) {
			c.doc.Add(entry, fmt.Sprintf("%q is listed twice", policy), "delete one of the two")
			continue
		}
		for _, b := range c.cfg.baselines {
			if slices.ContainsFunc(b.Required, func(r rules.Requirement) bool {
				return strings.EqualFold(r.Policy, policy) || slices.ContainsFunc(r.Accepts, func(a string) bool { return strings.EqualFold(a, policy) })
			}) {
				c.doc.Add(entry, fmt.Sprintf("the baseline %s names %s", b.Name, policy), "delete it: what a baseline names is never revoked")
			}
			if slices.ContainsFunc(b.Allowed, func(a rules.Allowance) bool {
				return a.Policy != "" && strings.EqualFold(a.Policy, policy) || a.PolicyID == policy
			}) {
				c.doc.Add(entry, fmt.Sprintf("an overlay of the baseline %s allows %s", b.Name, policy),
					"delete it here, or the allowance in the overlay")
			}
		}
	}
	if e.Grace < time.Hour || e.Grace > maxGrace {
		c.doc.Add(at+".grace", fmt.Sprintf("%s is out of range", rules.Span(e.Grace)), "write a duration from 1h to 365d")
	}
}

// checkRepairLimits checks how much is changed, and how long is waited.
func (c *configCheck) checkRepairLimits(at string) {
	r := &c.cfg.Remediation
	for _, l := range []struct {
		key      string
		is, most int
	}{
		{"grant_accounts_per_run", r.Limits.GrantAccountsPerRun, maxPerRun},
		{"revoke_accounts_per_run", r.Limits.RevokeAccountsPerRun, maxPerRun},
		{"fleet_percent_per_day", r.Limits.FleetPercentPerDay, 100},
		{"policy_writes_per_day", r.Limits.PolicyWritesPerDay, maxPerRun},
	} {
		if l.is < 1 || l.is > l.most {
			c.doc.Add(strictyaml.Key(at+".limits", l.key), fmt.Sprintf("%d is out of range", l.is),
				fmt.Sprintf("write a whole number from 1 to %d", l.most))
		}
	}
	for _, d := range []struct {
		key      string
		is, most time.Duration
	}{
		{"settle", r.Settle, 24 * time.Hour}, {"cool_down", r.CoolDown, maxCoolDown}, {"approval.expires", r.Approval.Expires, maxApproval},
	} {
		if d.is < time.Minute || d.is > d.most {
			most := "24h"
			if days := int(d.most / (24 * time.Hour)); days > 1 {
				most = fmt.Sprintf("%dd", days)
			}
			c.doc.Add(at+"."+d.key, fmt.Sprintf("%s is out of range", rules.Span(d.is)), "write a duration from 1m to "+most)
		}
	}
}

// checkApprovers reads the public keys of the people who may approve.
func (c *configCheck) checkApprovers(at string) {
	people := c.cfg.Remediation.Approval.People
	if c.doc.Has(at) && len(people) == 0 {
		c.doc.Add(at, "names nobody, so that nobody could approve", "name people with their public keys, or delete it")
	}
	c.cfg.approvers = make(map[string]ed25519.PublicKey, len(people))
	owners := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(people)) {
		entry := strictyaml.Key(at, name)
		switch {
		case !personPattern.MatchString(name):
			c.doc.Add(entry, "is no name of a person", "write up to 64 letters, digits, dots, hyphens, underscores and @, first a letter or digit")
			continue
		case remedy.Nobody(name):
			c.doc.Add(entry, "is what the program calls itself", "write the name of a person")
			continue
		case people[name] == "":
			c.doc.Add(entry, "is empty", "name the file with the person's public key")
			continue
		}
		path := c.path(people[name])
		const remedy = "name a file with one ed25519 public key in PEM form, as openssl pkey -pubout writes it"
		data, err := readAll(c.open, path)
		if err != nil {
			c.doc.Add(entry, fmt.Sprintf("the file %s cannot be read: %s", shown(path), reason(err)), remedy)
			continue
		}
		key, err := publicKey(data)
		if err != nil {
			c.doc.Add(entry, fmt.Sprintf("the file %s %s", shown(path), err), remedy)
			continue
		}
		if first, twice := owners[string(key)]; twice {
			c.doc.Add(entry, "has the same key as "+first, "have each person make a key of their own")
			continue
		}
		owners[string(key)], c.cfg.approvers[name] = name, key
	}
}

// publicKey reads the one ed25519 public key of a PEM file.
func publicKey(data []byte) (ed25519.PublicKey, error) {
	block, rest := pem.Decode(data)
	switch {
	case block == nil:
		return nil, errors.New("holds nothing in PEM form")
	case strings.Contains(block.Type, "PRIVATE"):
		return nil, errors.New("holds a private key, which its owner alone may have")
	case block.Type != "PUBLIC KEY" || strings.TrimSpace(string(rest)) != "":
		return nil, errors.New("holds something else than one public key")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, errors.New("holds a public key that cannot be read")
	}
	own, ok := key.(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("holds a public key of another kind")
	}
	return own, nil
}

// maxKeyFile is more than the file of any ed25519 key has.
const maxKeyFile = 16 << 10

// ReadPrivateKey reads the ed25519 key by which a person signs: PKCS #8 in PEM, as openssl genpkey writes it. A file that others than its
// owner can read is refused, as any other file with a secret. The error is in two parts: what is wrong, and what to do.
func ReadPrivateKey(file string) (key ed25519.PrivateKey, problem, remedy string) {
	data, problem, remedy := readPrivate(openSecret, file, maxKeyFile, "your private key and nothing else")
	if problem != "" {
		return nil, problem, remedy
	}
	remedy = "make one with openssl genpkey -algorithm ed25519"
	block, rest := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" || strings.TrimSpace(string(rest)) != "" {
		return nil, fmt.Sprintf("the file %s does not hold one private key in PEM form, without a password", shown(file)), remedy
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil { // the text of which might quote the key
		return nil, fmt.Sprintf("the file %s holds a private key that cannot be read", shown(file)), remedy
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Sprintf("the file %s holds a private key of another kind", shown(file)), remedy
	}
	return key, "", ""
}

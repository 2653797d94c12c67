package daemon

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// Config is the configuration file: strict YAML, in which every key is known and every value checked. Its comments are
// the manual; docs/configuration.md says the same at more length. Files that it names are relative to its own folder.
//
// A Config comes from LoadConfig or ParseConfig only. It is not changed afterwards.
type Config struct {
	// Baselines are what accounts are compared with, each the name of a bundled baseline or the path of a baseline file.
	// No two may be about the same agency. Default: [coc].
	Baselines []string `yaml:"baselines"`
	// Overlays are files that allow certain accounts grants beyond their baseline. Default: none.
	Overlays []string `yaml:"overlays"`
	// Waivers says which findings are accepted, and until when.
	Waivers WaiversConfig `yaml:"waivers"`
	// Accounts are the accounts to audit.
	Accounts AccountsConfig `yaml:"accounts"`
	// Credentials are the program's own key, by which it assumes agencies. Needed when an account is entered via iam or sts.
	Credentials CredentialsConfig `yaml:"credentials"`
	// Cloud says which cloud is asked.
	Cloud CloudConfig `yaml:"cloud"`
	// Schedule says when the daemon makes its runs. The first one is made at its start.
	Schedule ScheduleConfig `yaml:"schedule"`
	// MaxAge is how old evidence may be: an account whose last evidence is older is unknown, even if no run ever ends again.
	// It must be longer than the longest pause between two runs, with the time that a run may take. Default: 1h.
	MaxAge time.Duration `yaml:"max_age"`
	// StateDir is the directory in which the daemon keeps what it has to know after a restart; it is made if it is missing, and
	// belongs to one process at a time. Default: none, and what is known ends with the program.
	StateDir string `yaml:"state_dir"`
	// History says what is kept of the past.
	History HistoryConfig `yaml:"history"`
	// Listen says where the daemon serves its metrics and pages.
	Listen ListenConfig `yaml:"listen"`
	// Limits bound what a run may take.
	Limits LimitsConfig `yaml:"limits"`
	// Remediation says what is put right, how, and by whom. Default: nothing is.
	Remediation RemediationConfig `yaml:"remediation"`
	// Severities replaces the severity of rules, by rule id: critical, high, warning or info. With info a rule still
	// reports, but no longer makes an account drifted. Default: the severity on each rule's page.
	Severities map[string]rules.Severity `yaml:"severities"`

	file      string
	sources   sources
	digest    string
	baselines []rules.Baseline
	waivers   []rules.Waiver
	overlays  []baseline.Overlay
	reader    huawei.Config
	// writer is the identity that changes accounts, approvers are whose approval counts.
	writer    huawei.Identity
	approvers map[string]ed25519.PublicKey
	// keysAt says where the keys of accounts stand.
	keysAt map[huawei.Secret]keyPlace
	// tokenFile is the file with the token of the pod, which is read anew each time.
	tokenFile string
	// filed is the file of accounts as it was read, nil if there is none or something is wrong with it, which fileFault says.
	filed     *accountsFile
	fileFault error
	// open and lookupEnv are for reading the file of accounts again. openSecret is nil if secrets are not resolved.
	open, openSecret func(path string) (fs.File, error)
	lookupEnv        func(name string) (string, bool)
}

// ScheduleConfig says when the daemon makes its runs. How long one may take is said by limits.run_timeout.
type ScheduleConfig struct {
	// Cron is when: five fields (minute, hour, day of the month, its name or number, day of the week), or @hourly, @daily, @weekly, @monthly,
	// @yearly, or @every with a duration of whole seconds. Always in UTC. Default: "*/15 * * * *".
	Cron string `yaml:"cron"`
	// Jitter is the most by which a scheduled run is put off, at random, so that many programs do not ask the cloud at one
	// instant. It must be shorter than the shortest pause between two runs. Default: 30s.
	Jitter time.Duration `yaml:"jitter"`
	// Drain is how long a run that is under way may go on after the program was told to end. Default: 20s.
	Drain time.Duration `yaml:"drain"`
}

// HistoryConfig says what is kept of the past.
type HistoryConfig struct {
	// Keep is how long what has ended is kept; from 1d to 3650d. What still holds is kept for as long as it does. Default: 400d.
	Keep time.Duration `yaml:"keep"`
}

// ListenConfig says where the daemon serves its metrics and pages, and to whom.
type ListenConfig struct {
	// Address is host:port; without a host it is every address of the machine. Whoever can reach it sees where the accounts
	// are weak, so that anything but a loopback address wants WebConfig. Default: 127.0.0.1:9878.
	Address string `yaml:"address"`
	// WebConfig is a file with certificates and users in the form of every Prometheus exporter (exporter-toolkit). It is
	// read anew for each connection, and may not ask for less then than when the program was started.
	WebConfig string `yaml:"web_config"`
	// Hosts are names under which the server may be asked. On a loopback address localhost and loopback addresses always
	// are; on any other address every name is, unless this says which.
	Hosts []string `yaml:"hosts"`
	// PprofSocket is the path of a socket for profiles of the program, which only its owner can use. Default: none.
	PprofSocket string `yaml:"pprof_socket"`
}

// AccountsConfig says which accounts are audited: those of all three sources together. An account that several of them name
// is one account, for which Static counts before File, and File before Organization; its organizational unit and its tags
// are the organization's. At least one source is needed.
type AccountsConfig struct {
	// Organization has the accounts listed by the organization of the account of Credentials, anew for every run.
	Organization OrganizationConfig `yaml:"organization"`
	// Static lists accounts one by one.
	Static []AccountConfig `yaml:"static"`
	// File is a file with accounts: a list of the same entries as Static below its one key, accounts. It is read anew at the
	// start of every run. While something is wrong with it, the accounts of the last good one are audited, and runs are not
	// complete.
	File string `yaml:"file"`
}

// OrganizationConfig says which accounts of the organization are audited, and how they are entered. Accounts that are
// suspended, being closed or of an unknown status are left alone; they are counted, as are those that are not chosen.
type OrganizationConfig struct {
	// Enabled says that the organization is asked. Default: false.
	Enabled bool `yaml:"enabled"`
	// IncludeOUs are ids of organizational units: an account counts that is in one of them, or anywhere below it. None is the
	// whole organization.
	IncludeOUs []string `yaml:"include_ous"`
	// IncludeTags are tags that an account must bear: of every key one of the values.
	IncludeTags map[string][]string `yaml:"include_tags"`
	// IncludeNames are shell patterns, such as prod-*, of which an account's name must fit one.
	IncludeNames []string `yaml:"include_names"`
	// ExcludeAccounts are accounts to leave alone, whichever source names them.
	ExcludeAccounts []ExcludeConfig `yaml:"exclude_accounts"`
	// Labels says which tags become labels of account_info.
	Labels LabelsConfig `yaml:"labels"`
	// RequireAgency says that accounts must have the agency, as for Static. Default: false.
	RequireAgency bool `yaml:"require_agency"`
	// Access is how the accounts are read that neither Static nor File names: by an agency of the same name in each.
	Access AccessConfig `yaml:"access"`
	// KeepVanished is for how many runs an account is shown as unknown that the organization, or File, no longer lists; from 1
	// to 1000. So often, too, a list is doubted that suddenly lacks more than a tenth of the accounts. Default: 3.
	KeepVanished int `yaml:"keep_vanished"`
}

// ExcludeConfig are accounts to leave alone.
type ExcludeConfig struct {
	// Account is the id of an account, or a shell pattern of names.
	Account string `yaml:"account"`
	// Reason says why, to whoever reads the report.
	Reason string `yaml:"reason"`
}

// LabelsConfig says what of the organization becomes labels of metrics.
type LabelsConfig struct {
	// Tags are keys of tags, at most 20, each of which becomes a label tag_… of account_info. Default: none.
	Tags []string `yaml:"tags"`
}

// AccountConfig is one account and the way into it.
type AccountConfig struct {
	// Name is what reports call the account. Two accounts must not share one.
	Name string `yaml:"name"`
	// ID is the account's (domain) id: 32 lower-case hexadecimal digits. The console shows it under My Credentials.
	ID string `yaml:"id"`
	// RequireAgency says that the account must have the agency. Without it an absent agency means "not enabled", which is
	// no drift. Default: false.
	RequireAgency bool `yaml:"require_agency"`
	// Access is how the account is read.
	Access AccessConfig `yaml:"access"`
}

// AccessConfig is a way into one account: by a key of its own, or by an agency in it.
type AccessConfig struct {
	// Via is keys, for an access key of a user of the account; or iam, for an agency of the account that trusts the account
	// of Credentials and is assumed for an hour at a time; or sts, for such an agency or a trust agency, by STS.
	Via string `yaml:"via"`
	// AKEnv and SKEnv name the environment variables with the access key id and the secret access key. Via keys only.
	AKEnv string `yaml:"ak_env"`
	SKEnv string `yaml:"sk_env"`
	// AKFile and SKFile name the files with the two, instead of AKEnv and SKEnv. Nobody but the files' owner may be able to
	// read them; if that is root, a group may.
	AKFile string `yaml:"ak_file"`
	SKFile string `yaml:"sk_file"`
	// Agency is the name of the agency to assume. Via iam and sts only. It is an agency made for the auditor, never one that a
	// baseline is about.
	Agency string `yaml:"agency"`
	// ExternalID is what the trust policy of a trust agency asks for. Via sts only.
	ExternalID string `yaml:"external_id"`
}

// CredentialsConfig is the program's own key. Where it comes from is always said: no place is searched for one.
type CredentialsConfig struct {
	// Source is environment, for the variables HUAWEICLOUD_SDK_AK, HUAWEICLOUD_SDK_SK and, for a temporary key,
	// HUAWEICLOUD_SDK_SECURITY_TOKEN; or file, for AKFile and SKFile; or profile, for a section of ProfileFile; or
	// ecs, for the temporary keys that the metadata service of a server gives it; or pod, for
	// those of the pod's identity, by the variables HC_CONTAINER_CREDENTIALS_FULL_URI and HC_CONTAINER_AUTHORIZATION_TOKEN_FILE.
	Source string `yaml:"source"`
	// AccountID is the id of the account that the key belongs to. It is checked at the start of every run: with a key of
	// another account no agency is assumed.
	AccountID string `yaml:"account_id"`
	// AKFile and SKFile name the files with the access key id and the secret access key. Source file only.
	AKFile string `yaml:"ak_file"`
	SKFile string `yaml:"sk_file"`
	// ProfileFile is an INI file such as the vendor's tools have, which is as private as AKFile. Source profile only.
	ProfileFile string `yaml:"profile_file"`
	// Profile is the section of it in which ak, sk and, for a temporary key, security_token are read. A domain_id there must be
	// AccountID. Source profile only. Default: global.
	Profile string `yaml:"profile"`
	// Chain is an agency of another account that the key assumes, and by which everything else is then done: the organization is
	// listed by it, and the agencies that are assumed trust its account. Default: none.
	Chain ChainConfig `yaml:"chain"`
}

// ChainConfig is an agency between the program's own key and the accounts.
type ChainConfig struct {
	// Via is iam or sts, for the service that lets the agency be assumed.
	Via string `yaml:"via"`
	// AccountID is the id of the account that the agency is in. That the keys which come are of it is checked before they are used.
	AccountID string `yaml:"account_id"`
	// Agency is the name of the agency, which trusts the account of the key.
	Agency string `yaml:"agency"`
	// ExternalID is what the trust policy of a trust agency asks for. Via sts only.
	ExternalID string `yaml:"external_id"`
}

// CloudConfig says which cloud is asked, and where.
type CloudConfig struct {
	// Site is intl, cn or eu for one of the vendor's sites, or custom for an address of your own. Default: intl.
	Site string `yaml:"site"`
	// Region is the id of the region whose IAM is asked, such as ap-southeast-3. All regions of a site serve the same IAM
	// data. Needed unless Endpoints names IAM.
	Region string `yaml:"region"`
	// Endpoints replace the addresses that follow from site and region.
	Endpoints EndpointsConfig `yaml:"endpoints"`
	// CAFile is a file of certificates (PEM). If it is set, they alone are believed. Default: those of the system.
	CAFile string `yaml:"ca_file"`
	// Rate is how many requests the cloud is sent.
	Rate RateConfig `yaml:"rate"`
}

// RateConfig is how many requests a second the cloud is sent, over and above a burst of one second's worth. 0 is no limit.
type RateConfig struct {
	// PerAccount is for the requests that read one account, from 0.1 to 1000. Twelve of them have to fit into
	// limits.account_timeout. Default: 8.
	PerAccount float64 `yaml:"per_account"`
	// Total is for all requests together, from 0.1 to 10000. Six for each account and baseline have to fit into
	// limits.run_timeout. Default: 200.
	Total float64 `yaml:"total"`
}

// EndpointsConfig are addresses of the cloud's services.
type EndpointsConfig struct {
	// IAM is the address of IAM: https://host or https://host:port, nothing behind it; http:// for a loopback address only.
	// On a site of the vendor it must lie within the site's own domain. Needed for site custom.
	IAM string `yaml:"iam"`
	// STS and Organizations are the addresses of these services, in the same form. Needed for site custom if they are used.
	STS           string `yaml:"sts"`
	Organizations string `yaml:"organizations"`
	// Metadata is where source ecs finds its keys, instead of http://169.254.169.254: http:// and a loopback address. Site custom
	// only.
	Metadata string `yaml:"metadata"`
}

// LimitsConfig bounds what a run may take.
type LimitsConfig struct {
	// Concurrency is how many accounts are read at once, from 1 to 1024; fewer when cloud.rate.total is too low for so many.
	// Those that take much longer than the others do not count, up to four times as many. Default: 64.
	Concurrency int `yaml:"concurrency"`
	// RunTimeout bounds a run. Accounts that it leaves over are unknown. Default: 10m.
	RunTimeout time.Duration `yaml:"run_timeout"`
	// AccountTimeout bounds the reading of one account, and may not exceed RunTimeout. Default: 1m.
	AccountTimeout time.Duration `yaml:"account_timeout"`
	// RequestTimeout bounds one request, and may not exceed AccountTimeout. Default: 20s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
	// BodyBytes bounds one answer of the cloud, in bytes, from 65536 to 268435456. A longer one is not believed.
	// Default: 4194304.
	BodyBytes int64 `yaml:"body_bytes"`
	// AccountRequests bounds the requests of one reading of one account, from 20 to 1000000. An account that needs more is
	// unknown. Default: 1000.
	AccountRequests int `yaml:"account_requests"`
	// AccountBytes bounds the answers of one reading of one account together, in bytes, from BodyBytes to 4294967296. An
	// account that sends more is unknown. Default: 67108864.
	AccountBytes int64 `yaml:"account_bytes"`
}

// defaultConfig is the configuration before anything is read.
func defaultConfig() *Config {
	return &Config{
		Baselines: []string{"coc"},
		Accounts:  AccountsConfig{Organization: OrganizationConfig{KeepVanished: 3}}, Credentials: CredentialsConfig{Profile: "global"},
		Cloud:    CloudConfig{Site: "intl", Rate: RateConfig{PerAccount: 8, Total: 200}},
		Schedule: ScheduleConfig{Cron: "*/15 * * * *", Jitter: 30 * time.Second, Drain: 20 * time.Second},
		MaxAge:   time.Hour,
		Waivers:  WaiversConfig{MaxAge: baseline.DefaultWaiverAge, WarnBefore: 14 * 24 * time.Hour},
		History:  HistoryConfig{Keep: 400 * 24 * time.Hour},
		Listen:   ListenConfig{Address: "127.0.0.1:9878"},
		Remediation: RemediationConfig{
			Mode: remedy.ModeOff, Credentials: RepairCredentialsConfig{Profile: "global"}, Excess: ExcessConfig{Grace: 24 * time.Hour},
			Limits: RepairLimitsConfig{GrantAccountsPerRun: 5, RevokeAccountsPerRun: 1, FleetPercentPerDay: 5, PolicyWritesPerDay: 20},
			Settle: 30 * time.Minute, CoolDown: time.Hour, Approval: ApprovalConfig{Expires: 24 * time.Hour},
		},
		Limits: LimitsConfig{
			Concurrency: 64, RunTimeout: 10 * time.Minute, AccountTimeout: time.Minute, RequestTimeout: 20 * time.Second,
			BodyBytes: 4 << 20, AccountRequests: huawei.DefaultAccountRequests, AccountBytes: huawei.DefaultAccountBytes,
		},
	}
}

// LoadConfig reads a configuration file with everything that it names: baselines, certificates and secrets. The error
// has every fault of all of them, one per line, each with its place and its remedy; it never holds a secret.
func LoadConfig(file string) (*Config, error) {
	cfg, _, err := loadConfig(file)
	return cfg, err
}

// LoadConfigWithoutKeys is LoadConfig for whoever asks no cloud: no secret is read, nor missed, and no daemon can be made of it.
func LoadConfigWithoutKeys(file string) (*Config, error) {
	data, err := readAll(openFile, file)
	if err != nil {
		return nil, unreadableConfig(file, err)
	}
	return parseConfig(file, data, openFile, nil, os.LookupEnv)
}

func unreadableConfig(file string, err error) strictyaml.Faults {
	return strictyaml.Faults{{
		File: file, Problem: "the configuration cannot be read: " + reason(err),
		Remedy: "name another file with --config, or begin with a copy of deploy/agencyaudit.example.yaml",
	}}
}

// loadConfig also returns the files that were read, or tried, whatever came of it.
func loadConfig(file string) (*Config, sources, error) {
	r := &recorder{open: openFile, openSecret: openSecret, seen: sources{}}
	data, err := readAll(r.openFile, file)
	if err != nil {
		return nil, r.seen, unreadableConfig(file, err)
	}
	cfg, err := parseConfig(file, data, r.openFile, r.openSecretFile, os.LookupEnv)
	if err == nil {
		delete(r.seen, cfg.tokenFile) // that it is replaced is no change of the configuration
		cfg.sources, cfg.open, cfg.openSecret = r.seen, openFile, openSecret
	}
	return cfg, r.seen, err
}

// ParseConfig does what LoadConfig does, for the text of a configuration. file is its path, to which the files that it
// names are relative; open opens them; lookupEnv knows the environment. The error is a strictyaml.Faults.
func ParseConfig(
	file string, data []byte, open func(path string) (fs.File, error), lookupEnv func(name string) (string, bool),
) (*Config, error) {
	return parseConfig(file, data, open, open, lookupEnv)
}

// parseConfig is ParseConfig with another way to open files that hold secrets. If that is nil, no secret is resolved.
func parseConfig(
	file string, data []byte, open, openSecret func(path string) (fs.File, error), lookupEnv func(name string) (string, bool),
) (*Config, error) {
	cfg := defaultConfig()
	doc, err := strictyaml.Decode(file, data, cfg)
	cfg.file, cfg.digest = file, fmt.Sprintf("%x", sha256.Sum256(data))
	cfg.open, cfg.openSecret, cfg.lookupEnv = open, openSecret, lookupEnv
	c := configCheck{cfg: cfg, doc: doc, file: file, open: open, openSecret: openSecret, lookupEnv: lookupEnv}
	c.check()
	if faults := c.err(err); faults != nil {
		return nil, faults
	}
	return cfg, nil
}

// AccountNames returns the names of the accounts that a configuration file lists, with their ids, as far as it is sound YAML
// of the right shape. It looks at nothing that the file names: it is for a shell that completes words.
func AccountNames(file string) map[string]string {
	data, err := readAll(openFile, file)
	if err != nil {
		return nil
	}
	cfg := defaultConfig()
	if _, err := strictyaml.Decode(file, data, cfg); err != nil {
		return nil
	}
	names := make(map[string]string, len(cfg.Accounts.Static))
	for _, a := range cfg.Accounts.Static {
		names[a.Name] = a.ID
	}
	return names
}

// LoadedBaselines returns the baselines, in the order of Baselines, with Severities in them.
func (c *Config) LoadedBaselines() []rules.Baseline { return slices.Clone(c.baselines) }

// Inventory returns the accounts that are known without asking the cloud: those of the configuration in the order of the
// file, and then those of the file of accounts.
func (c *Config) Inventory() []rules.Account {
	var accounts []rules.Account
	known := map[string]bool{}
	for _, list := range [][]AccountConfig{c.Accounts.Static, c.filed.list()} {
		for _, a := range list {
			if !known[a.ID] {
				known[a.ID] = true
				accounts = append(accounts, rules.Account{ID: a.ID, Name: a.Name, RequireAgency: a.RequireAgency})
			}
		}
	}
	return accounts
}

// Way is how an account of Inventory is entered, as its access says it.
func (c *Config) Way(id string) AccessConfig {
	for _, list := range [][]AccountConfig{c.Accounts.Static, c.filed.list()} {
		for _, a := range list {
			if a.ID == id {
				return a.Access
			}
		}
	}
	return AccessConfig{}
}

// StateFolder is the path of StateDir; empty when there is none.
func (c *Config) StateFolder() string {
	if c.StateDir == "" {
		return ""
	}
	return c.path(c.StateDir)
}

// AccountsFileFault says what is wrong with the file of accounts; nil when nothing is, or there is none. It does not keep the
// other accounts from being audited.
func (c *Config) AccountsFileFault() error { return c.fileFault }

// Digest is the SHA-256 of the configuration file in lower-case hexadecimal. The files that it names are not part of it.
func (c *Config) Digest() string { return c.digest }

// Plan returns when runs are made, and how long one may take.
func (c *Config) Plan() schedule.Plan {
	return schedule.Plan{Cron: c.Schedule.Cron, Jitter: c.Schedule.Jitter, Timeout: c.Limits.RunTimeout}
}

// atOnce is how many accounts are read at once: as many as may be, but no more than the total rate lets be read in a third of
// the time that each of them has. Otherwise a low rate would have all of them run out of time together.
func (c *Config) atOnce() int {
	if c.Cloud.Rate.Total == 0 {
		return c.Limits.Concurrency
	}
	inTime := c.Cloud.Rate.Total * c.Limits.AccountTimeout.Seconds() / (3 * requestsOfASweep)
	return max(1, min(c.Limits.Concurrency, int(inTime)))
}

// Reader returns how the cloud is to be read, secrets included. The user agent is the caller's to set.
func (c *Config) Reader() huawei.Config { return c.reader }

// openFile opens a file for reading. A named pipe is opened rather than waited for, so that it can be refused.
func openFile(path string) (fs.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// reason is what a file system says is wrong, without the path, which may be what somebody took for a secret.
func reason(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err.Error()
	}
	return err.Error()
}

package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

var update = flag.Bool("update", false, "write the golden files anew")

// canary is part of every secret of these tests and must never come out.
const canary = "cAnArY0cAnArY"

// environment is what the tests' configurations may look up.
var environment = map[string]string{
	"PROD_AK": "AKPROD" + canary, "PROD_SK": "SKPROD" + canary, "OTHER_AK": "AKOTHER" + canary, "OTHER_SK": "SKOTHER" + canary,
	"EMPTY": "", "SPACED": canary + " ", "BROKEN": canary + "\n" + canary, "UMLAUT": canary + "ä",
	"LONG":               strings.Repeat(canary, 1<<12),
	"HUAWEICLOUD_SDK_AK": "AKMAIN" + canary, "HUAWEICLOUD_SDK_SK": "SKMAIN" + canary,
	"REPAIR_AK": "AKREPAIR" + canary, "REPAIR_SK": "SKREPAIR" + canary,
	"MAIN_AGAIN": "AKMAIN" + canary, "PROD_AGAIN": "AKPROD" + canary,
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

const waiversText = `version: 1
waivers:
  - {id: w, accounts: [prod], baselines: [coc, own], rules: [grant/excess], added: 2026-11-01, expires: 2027-01-01, owner: o, reason: r}
  - {id: v, ous: [Lab], tags: {env: [prod], owner: [me]}, rules: [grant/missing], added: 2026-11-01, expires: 2026-11-02, owner: o, reason: r}
`

const overlayText = `version: 1
baseline: coc
allow:
  - {accounts: [prod], policy: VPC Administrator, scope: all_resources, owner: o, reason: r}
`

// files are what the tests' configurations, which stand in the folder etc, may name.
func files(t testing.TB) fstest.MapFS {
	own := strings.NewReplacer("name: coc", "name: own", "agency: ServiceAgencyForCOC", "agency: OtherAgency")
	coc := string(baseline.Source("coc"))
	file := func(text string, mode fs.FileMode) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(text), Mode: mode}
	}
	return fstest.MapFS{
		"etc/shared.yaml": file("accounts:\n"+
			"  - {name: again, id: d0000000000000000000000000000001, access: {via: keys, ak_env: PROD_AK, sk_env: PROD_SK}}\n"+
			"  - {name: other, id: d0000000000000000000000000000002, access: {via: keys, ak_env: PROD_AGAIN, sk_env: PROD_SK}}\n"+
			"  - {name: main, id: d0000000000000000000000000000003, access: {via: keys, ak_env: MAIN_AGAIN, sk_env: PROD_SK}}\n", 0o644),
		"etc/secrets/prod-ak":       file("AKPROD"+canary+"\n", 0o600),
		"etc/secrets/ak":            file("AKFILE"+canary+"\n", 0o600),
		"etc/secrets/sk":            file("SKFILE"+canary+"\r\n", 0o400),
		"etc/secrets/world":         file(canary, 0o604),
		"etc/secrets/group":         file(canary, 0o640),
		"etc/secrets/empty":         file("\n", 0o600),
		"etc/secrets/two":           file(canary+"\n"+canary+"\n", 0o600),
		"etc/secrets/long":          file(strings.Repeat("x", maxSecret+1), 0o600),
		"etc/secrets/pipe":          file("", 0o600|fs.ModeNamedPipe),
		"etc/secrets/profiles":      file(profiles, 0o600),
		"etc/secrets/profiles-long": file(strings.Repeat(";\n", maxProfileFile/2+1), 0o600),
		"etc/own.yaml":              file(own.Replace(coc), 0o644),
		"etc/same-name.yaml":        file(strings.Replace(own.Replace(coc), "OtherAgency", "ThirdAgency", 1), 0o644),
		"etc/same-agency.yaml":      file(strings.Replace(coc, "name: coc", "name: mine", 1), 0o644),
		"etc/faulty.yaml":           file(strings.Replace(coc, "scope: global\n", "scope: gobal\n", 1)+"extra: 1\n", 0o644),
		"etc/waivers.yaml":          file(strings.ReplaceAll(waiversText, "coc, ", ""), 0o644),
		"etc/faulty-waivers.yaml":   file(strings.Replace(waiversText, "[grant/excess]", "[grant/exces]", 1), 0o644),
		"etc/foreign-waivers.yaml":  file(waiversText, 0o644),
		"etc/overlay.yaml":          file(overlayText, 0o644),
		"etc/foreign-overlay.yaml":  file(strings.NewReplacer("baseline: coc", "baseline: cco", "accounts: [prod]", "tags: {env: [prod]}").Replace(overlayText), 0o644),
		"etc/ca.pem":                file(certificate(t), 0o644),
		"etc/accepts.yaml":          file(strings.Replace(own.Replace(coc), "policy: DCS UserAccess\n", "policy: DCS UserAccess\n    accepts: [DCS OldAccess]\n", 1), 0o644),
		"etc/overlay-id.yaml":       file(strings.Replace(overlayText, "policy: VPC Administrator", "policy_id: 0123abcd", 1), 0o644),
		"etc/never.yaml":            file(strings.Replace(own.Replace(coc), "policy: DCS UserAccess", "policy: tenant administrator", 1), 0o644),
		"etc/alice.pem":             file(publicPEM(t, 1), 0o644),
		"etc/bob.pem":               file(publicPEM(t, 2), 0o644),
		"etc/private.pem":           file(privatePEM(t), 0o644),
		"etc/two.pem":               file(publicPEM(t, 1)+publicPEM(t, 2), 0o644),
		"etc/ecdsa.pem":             file(ecdsaPEM(t), 0o644),
		"etc/odd.pem":               file("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0o644),
		"etc/broken.pem":            file("-----BEGIN CERTIFICATE-----\nxx\n", 0o644),
	}
}

// certificate returns a certificate in PEM form.
func certificate(t testing.TB) string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func parse(t testing.TB, text string) (*Config, error) {
	return ParseConfig("etc/agencyaudit.yaml", []byte(text), files(t).Open, lookup(environment))
}

const minimal = `accounts:
  static:
    - {name: prod, id: d0000000000000000000000000000001, access: {via: keys, ak_env: PROD_AK, sk_env: PROD_SK}}
cloud: {region: ap-southeast-3}
`

// TestConfigFaults compares every fault of each file of testdata/config with the golden file beside it.
func TestConfigFaults(t *testing.T) {
	names, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil || len(names) < 10 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".yaml"), func(t *testing.T) {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := parse(t, string(data))
			var faults strictyaml.Faults
			if cfg != nil || !errors.As(err, &faults) {
				t.Fatalf("%T: %v", err, err)
			}
			got := err.Error() + "\n"
			if strings.Contains(got, canary) {
				t.Error("a secret came out")
			}
			file := strings.TrimSuffix(name, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestMinimalConfig(t *testing.T) {
	cfg, err := parse(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	coc, _ := baseline.Bundled("coc")
	if got := cfg.LoadedBaselines(); !reflect.DeepEqual(got, []rules.Baseline{coc}) {
		t.Errorf("baselines %+v", got)
	}
	if cfg.Limits != (LimitsConfig{64, 10 * time.Minute, time.Minute, 20 * time.Second, 4194304, 1000, 67108864}) {
		t.Errorf("limits %+v", cfg.Limits)
	}
	if got := cfg.Inventory(); !reflect.DeepEqual(got, []rules.Account{{ID: "d0000000000000000000000000000001", Name: "prod"}}) {
		t.Errorf("inventory %+v", got)
	}
	r := cfg.Reader()
	if r.Endpoints.IAM != "https://iam.ap-southeast-3.myhuaweicloud.com" || r.RequestTimeout != 20*time.Second || r.MaxBody != 4194304 ||
		r.Connections < 64*5 || r.Rate != (huawei.Rate{PerAccount: 8, Total: 200}) || r.AccountRequests != 1000 || r.AccountBytes != 64<<20 || !r.Main.Keys.IsZero() || len(r.CAPEM) > 0 {
		t.Errorf("reader %+v", r)
	}
	accept(t, cfg)
}

// accept checks that the reader accepts what the configuration makes of it.
func accept(t testing.TB, cfg *Config) {
	t.Helper()
	cloud, err := huawei.New(cfg.Reader(), nil)
	if err != nil {
		t.Errorf("the configuration was accepted, and the reader does not accept it: %v", err)
		return
	}
	cloud.Close()
}

func TestFullConfig(t *testing.T) {
	cfg, err := parse(t, `baselines: [coc, own.yaml]
accounts:
  static:
    - {name: prod, id: d0000000000000000000000000000001, require_agency: true, access: {via: keys, ak_env: PROD_AK, sk_env: PROD_SK}}
    - {name: "Ünit 2", id: d0000000000000000000000000000002, access: {via: keys, ak_file: secrets/ak, sk_file: ./secrets/sk}}
    - {name: d0000000000000000000000000000003, id: d0000000000000000000000000000003, access: {via: iam, agency: AgencyAuditReader}}
    - {name: own, id: d0000000000000000000000000000009, access: {via: keys, ak_env: HUAWEICLOUD_SDK_AK, sk_env: HUAWEICLOUD_SDK_SK}}
    - {name: partner, id: d0000000000000000000000000000004, access: {via: sts, agency: AuditTrust, external_id: sesame}}
  organization: {enabled: true, access: {via: sts, agency: AuditTrust, external_id: abracadabra}}
credentials: {source: environment, account_id: d0000000000000000000000000000009}
cloud: {site: custom, region: eu-west-101, endpoints: {iam: "https://iam.internal:8443", sts: "https://sts.internal", organizations: "https://orgs.internal"}, ca_file: ca.pem, rate: {per_account: 0.5, total: 0}}
max_age: 2h
state_dir: state
history: {keep: 30d}
limits: {concurrency: 3, run_timeout: 1h, account_timeout: 2m, request_timeout: 1s, body_bytes: 65536, account_requests: 20, account_bytes: 65536}
severities: {grant/wider: warning, grant/excess: critical}
`)
	if err != nil {
		t.Fatal(err)
	}
	secret := huawei.NewSecret
	same := func(what string, got, want huawei.Keys) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("wrong keys: %s", what)
		}
	}
	r := cfg.Reader()
	prod, second, dev := r.Accounts["d0000000000000000000000000000001"], r.Accounts["d0000000000000000000000000000002"],
		r.Accounts["d0000000000000000000000000000003"]
	same("prod", prod.Keys, huawei.Keys{AccessKey: secret("AKPROD" + canary), SecretKey: secret("SKPROD" + canary)})
	same("second", second.Keys, huawei.Keys{AccessKey: secret("AKFILE" + canary), SecretKey: secret("SKFILE" + canary)})
	same("main", r.Main.Keys, huawei.Keys{AccessKey: secret("AKMAIN" + canary), SecretKey: secret("SKMAIN" + canary)})
	same("own", r.Accounts["d0000000000000000000000000000009"].Keys, r.Main.Keys)
	if got := r.Accounts["d0000000000000000000000000000004"]; got != (huawei.Access{Agency: "AuditTrust", Via: huawei.ViaSTS, ExternalID: "sesame"}) {
		t.Errorf("partner %+v", got)
	}
	if r.Members != (huawei.Access{Agency: "AuditTrust", Via: huawei.ViaSTS, ExternalID: "abracadabra"}) ||
		r.Endpoints.STS != "https://sts.internal" || r.Endpoints.Organizations != "https://orgs.internal" {
		t.Errorf("members %+v at %+v", r.Members, r.Endpoints)
	}
	if len(r.Accounts) != 5 || prod.Agency+second.Agency != "" || dev.Agency != "AgencyAuditReader" || !dev.Keys.IsZero() {
		t.Errorf("accounts %+v", r.Accounts)
	}
	if r.Main.AccountID != "d0000000000000000000000000000009" || r.Endpoints.IAM != "https://iam.internal:8443" ||
		r.RequestTimeout != time.Second || r.MaxBody != 65536 || r.Rate != (huawei.Rate{PerAccount: 0.5}) || r.AccountRequests != 20 || r.AccountBytes != 65536 || !bytes.HasPrefix(r.CAPEM, []byte("-----BEGIN CERTIFICATE")) {
		t.Errorf("reader %+v", r)
	}
	want := []rules.Account{
		{ID: "d0000000000000000000000000000001", Name: "prod", RequireAgency: true},
		{ID: "d0000000000000000000000000000002", Name: "Ünit 2"}, {ID: "d0000000000000000000000000000003", Name: "d0000000000000000000000000000003"},
		{ID: "d0000000000000000000000000000009", Name: "own"}, {ID: "d0000000000000000000000000000004", Name: "partner"},
	}
	if got := cfg.Inventory(); !reflect.DeepEqual(got, want) {
		t.Errorf("inventory %+v", got)
	}
	if cfg.StateFolder() != filepath.Join("etc", "state") || cfg.History.Keep != 30*24*time.Hour {
		t.Errorf("state in %q, kept for %s", cfg.StateFolder(), cfg.History.Keep)
	}
	b := cfg.LoadedBaselines()
	if len(b) != 2 || b[0].Name != "coc" || b[1].Name != "own" || b[1].Agency != "OtherAgency" {
		t.Errorf("baselines %+v", b)
	}
	for _, b := range b {
		if !maps.Equal(b.Severities, map[string]rules.Severity{"grant/wider": rules.Warning, "grant/excess": rules.Critical}) {
			t.Errorf("severities %v", b.Severities)
		}
	}
	accept(t, cfg)
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(form, cfg) + fmt.Sprintf(form, *cfg) + fmt.Sprintf(form, r); strings.Contains(text, canary) {
			t.Errorf("%s shows a secret", form)
		}
	}
}

// TestKeysOfTheAccountsFile: a key opens one account, wherever it stands; the same account may be named in both places.
func TestKeysOfTheAccountsFile(t *testing.T) {
	cfg, err := parse(t, `
accounts:
  file: shared.yaml
  static: [{name: prod, id: d0000000000000000000000000000001, access: {via: keys, ak_env: PROD_AK, sk_env: PROD_SK}}]
credentials: {source: environment, account_id: d0000000000000000000000000000009}
cloud: {region: ap-southeast-3}
`)
	if err != nil {
		t.Fatal(err)
	}
	const remedy = "name a key of this account, or use via: iam with an agency that trusts the account of credentials"
	want := "etc/shared.yaml:3:57: accounts[1].access: uses the same key as accounts.static[0].access (etc/agencyaudit.yaml:4), and a key opens " +
		"its own account alone; " + remedy + "\n" +
		"etc/shared.yaml:4:56: accounts[2].access: uses the key of credentials, and a key opens its own account alone; " + remedy
	if got := fmt.Sprint(cfg.AccountsFileFault()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestAFileOfAccountsThatNeedsTheProgramsOwnKey: whoever checks the configuration is told, not whoever runs it.
func TestAFileOfAccountsThatNeedsTheProgramsOwnKey(t *testing.T) {
	const accounts = "accounts: {file: accounts.yaml}\ncloud: {region: ap-southeast-3}\n"
	dir := t.TempDir()
	file := filepath.Join(dir, "agencyaudit.yaml")
	write(t, filepath.Join(dir, "accounts.yaml"), "accounts:\n"+
		"  - {name: one, id: d0000000000000000000000000000001, access: {via: keys, ak_env: PROD_AK, sk_env: PROD_SK}}\n"+
		"  - {name: two, id: d0000000000000000000000000000002, access: {via: iam, agency: R}}\n"+
		"  - {name: three, id: d0000000000000000000000000000003, access: {via: sts, agency: R}}\n", 0o600)
	env := lookup(map[string]string{
		"PROD_AK": "access-key-one", "PROD_SK": "secret-key-one", envAccessKey: "access-key-two", envSecretKey: "secret-key-two",
	})
	cfg, err := ParseConfig(file, []byte(accounts), openFile, env)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cfg.AccountsFileFault()); !strings.Contains(got, "accounts.yaml:3:69: accounts[1].access.via: needs credentials") ||
		strings.Contains(got, "\n") {
		t.Error(got)
	}
	cfg, err = ParseConfig(file, []byte(accounts+"credentials: {source: environment, account_id: d0000000000000000000000000000009}\n"), openFile, env)
	if err != nil || cfg.AccountsFileFault() != nil {
		t.Errorf("%v, %v", err, cfg.AccountsFileFault())
	}
}

// TestALowRateHasFewerReadAtOnce: otherwise all of them would run out of time together.
func TestALowRateHasFewerReadAtOnce(t *testing.T) {
	for text, want := range map[string]int{
		"": 64, "limits: {concurrency: 1000}\n": 666, "limits: {concurrency: 1000, account_timeout: 3m}\n": 1000, "limits: {account_timeout: 1s, request_timeout: 1s}\n": 11,
	} {
		cfg, err := parse(t, minimal+text)
		if err != nil || cfg.atOnce() != want {
			t.Errorf("%s: %d at once, want %d: %v", text, cfg.atOnce(), want, err)
		}
	}
	for rate, want := range map[string]int{"0": 64, "2": 6, "0.1": 1} {
		cfg, err := parse(t, strings.Replace(minimal, "cloud: {", "cloud: {rate: {total: "+rate+"}, ", 1))
		if err != nil || cfg.atOnce() != want {
			t.Errorf("rate %s: %d at once, want %d: %v", rate, cfg.atOnce(), want, err)
		}
	}
}

func TestSecurityToken(t *testing.T) {
	text := minimal + "credentials: {source: environment, account_id: d0000000000000000000000000000009}\n"
	env := maps.Clone(environment)
	for token, want := range map[string]huawei.Secret{"token-of-a-test": huawei.NewSecret("token-of-a-test"), "": {}} {
		env["HUAWEICLOUD_SDK_SECURITY_TOKEN"] = token
		cfg, err := ParseConfig("etc/a.yaml", []byte(text), files(t).Open, lookup(env))
		if err != nil || !reflect.DeepEqual(cfg.Reader().Main.Keys.SecurityToken, want) {
			t.Errorf("token %q: %v", token, err)
		}
	}
	env["HUAWEICLOUD_SDK_SECURITY_TOKEN"] = "to ken"
	if _, err := ParseConfig("etc/a.yaml", []byte(text), files(t).Open, lookup(env)); err == nil {
		t.Error("a broken token was accepted")
	}
}

func TestCredentialsFromFiles(t *testing.T) {
	cfg, err := parse(t, minimal+"credentials: {source: file, account_id: d0000000000000000000000000000009, ak_file: secrets/ak, sk_file: secrets/sk}\n")
	want := huawei.Keys{AccessKey: huawei.NewSecret("AKFILE" + canary), SecretKey: huawei.NewSecret("SKFILE" + canary)}
	if err != nil || !reflect.DeepEqual(cfg.Reader().Main.Keys, want) {
		t.Error(err)
	}
}

// TestEndpointsOfOtherServices follow from the site too, and a custom one has none but those that are written.
func TestEndpointsOfOtherServices(t *testing.T) {
	for cloud, want := range map[string]huawei.Endpoints{
		"{region: cn-north-4}": {
			IAM: "https://iam.cn-north-4.myhuaweicloud.com", STS: "https://sts.cn-north-4.myhuaweicloud.com",
			Organizations: "https://organizations.myhuaweicloud.com",
		},
		"{site: eu, region: eu-west-101}": {
			IAM: "https://iam.eu-west-101.myhuaweicloud.eu", STS: "https://sts.eu-west-101.myhuaweicloud.eu",
		},
		"{endpoints: {iam: 'https://iam.myhuaweicloud.com'}}": {
			IAM: "https://iam.myhuaweicloud.com", Organizations: "https://organizations.myhuaweicloud.com",
		},
		"{region: cn-north-4, endpoints: {sts: 'https://sts.myhuaweicloud.com', organizations: 'https://o.myhuaweicloud.com'}}": {
			IAM: "https://iam.cn-north-4.myhuaweicloud.com", STS: "https://sts.myhuaweicloud.com", Organizations: "https://o.myhuaweicloud.com",
		},
		"{site: custom, region: cn-north-4, endpoints: {iam: 'http://127.0.0.1:1'}}": {IAM: "http://127.0.0.1:1"},
		"{site: custom, endpoints: {iam: 'http://127.0.0.1:1', sts: 'http://127.0.0.1:2', organizations: 'http://127.0.0.1:3'}}": {
			IAM: "http://127.0.0.1:1", STS: "http://127.0.0.1:2", Organizations: "http://127.0.0.1:3",
		},
	} {
		cfg, err := parse(t, strings.Replace(minimal, "{region: ap-southeast-3}", cloud, 1))
		if err != nil || cfg.Reader().Endpoints != want {
			t.Errorf("%s: %v", cloud, err)
			continue
		}
		accept(t, cfg)
	}
}

func TestEndpointFollowsFromSite(t *testing.T) {
	for cloud, want := range map[string]string{
		"{region: cn-north-4}":                                         "https://iam.cn-north-4.myhuaweicloud.com",
		"{site: intl, region: la-south-2}":                             "https://iam.la-south-2.myhuaweicloud.com",
		"{site: cn, region: cn-east-3}":                                "https://iam.cn-east-3.myhuaweicloud.com",
		"{site: eu, region: eu-west-101}":                              "https://iam.eu-west-101.myhuaweicloud.eu",
		"{endpoints: {iam: 'https://iam.myhuaweicloud.com'}}":          "https://iam.myhuaweicloud.com",
		"{site: eu, endpoints: {iam: 'https://IAM.MyHuaweiCloud.EU'}}": "https://IAM.MyHuaweiCloud.EU",
		"{site: custom, endpoints: {iam: 'http://127.0.0.1:9879'}}":    "http://127.0.0.1:9879",
	} {
		cfg, err := parse(t, strings.Replace(minimal, "{region: ap-southeast-3}", cloud, 1))
		if err != nil || cfg.Reader().Endpoints.IAM != want {
			t.Errorf("%s: %v", cloud, err)
			continue
		}
		accept(t, cfg)
	}
}

// TestEndpoints has addresses that may and may not be asked. Whatever is refused would send signed requests to a host
// that is not the cloud, or to another place than the one that is written.
func TestEndpoints(t *testing.T) {
	for _, address := range []string{
		"https://iam.example.com", "https://iam.example.com:8443", "https://IAM.Example.com", "https://iam", "https://10.0.0.1",
		"https://[2001:db8::1]", "https://[2001:db8::1]:8443", "https://xn--nxasmq6b.example", "http://localhost", "http://localhost:80",
		"http://LOCALHOST:80", "http://127.0.0.1:9879", "http://127.8.9.1", "http://[::1]:80", "http://[::ffff:127.0.0.1]", "https://localhost",
	} {
		if _, err := checkEndpoint(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{
		"", "iam.example.com", "//iam.example.com", "https:", "https://", "https:///v3", "https:iam.example.com", "ftp://iam.example.com",
		"file:///etc/passwd", "javascript:alert(1)", "http://iam.example.com", "http://10.0.0.1", "http://localhost.example.com",
		"http://127.0.0.1.example.com", "http://1270.0.1", "https://user@iam.example.com", "https://user:hunter2@iam.example.com",
		"https://iam.example.com@evil.example", "https://@iam.example.com", "https://iam.example.com/", "https://iam.example.com/v3",
		"https://iam.example.com?x=y", "https://iam.example.com?", "https://iam.example.com#x", "https://iam.example.com#",
		`https://iam.example.com\@evil.example`, "https://iam.example.com%2f@evil.example", "https://iam..example.com",
		"https://.example.com", "https://iam.example.com.", "https://-iam.example.com", "https://iam-.example.com", "https://i_am.example.com",
		"https://iäm.example.com", "https://iam。example.com", "https://iam.example.com:", "https://iam.example.com:0",
		"https://iam.example.com:65536", "https://iam.example.com:http", "https://iam.example.com:80:80", "https://169.254.169.254",
		"https://[fe80::1]", "https://[fe80::1%25eth0]", "https://[::ffff:169.254.169.254]", "https://[::ffff:a9fe:a9fe]", "https://0.0.0.0",
		"https://[::]", "https://224.0.0.1", "https://[ff02::1]", "https://2852039166", "https://0xa9fea9fe", "https://169.254.43518",
		"https://0251.0376.0251.0376", "https://169.254.0xa9fe", "https://127.1", "https://1.2.3.4.5", "https://256.0.0.1", "https://1_0.0.0.1",
		"https://192.168.0.08", "https://99999999999999999999",
		" https://iam.example.com", "https://iam.example.com ", "https://iam example.com", "https://iam.example.com\n", "https://[::1",
	} {
		if host, err := checkEndpoint(address); err == nil {
			t.Errorf("%q was accepted as the host %q", address, host)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the password came out: %v", address, err)
		}
	}
}

func TestVendorSitesKeepToTheirDomain(t *testing.T) {
	for _, host := range []string{
		"iam.example.com", "myhuaweicloud.com.example.com", "evilmyhuaweicloud.com", "myhuaweicloud.com", "iam.myhuaweicloud.eu", "127.0.0.1", "myhuaweicloud.co",
	} {
		_, err := parse(t, strings.Replace(minimal, "region: ap-southeast-3", "endpoints: {iam: 'https://"+host+"'}", 1))
		if err == nil || !strings.Contains(err.Error(), "is not a host of the site intl") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

// TestExample loads the example as it ships, and with everything that is commented out in it put in.
func TestExample(t *testing.T) {
	data, err := os.ReadFile("../../deploy/agencyaudit.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"staging.ak", "staging.sk", "auditor.ak", "auditor.sk"} {
		write(t, filepath.Join(dir, "secrets", name), name, 0o600)
	}
	write(t, filepath.Join(dir, "ca.pem"), certificate(t), 0o644)
	write(t, filepath.Join(dir, "alice.pem"), publicPEM(t, 1), 0o644)
	write(t, filepath.Join(dir, "web.yml"), "{}", 0o644)
	write(t, filepath.Join(dir, "accounts.yaml"), "accounts:\n  - {name: filed, id: d0000000000000000000000000000004, access: {via: iam, agency: R}}\n", 0o644)
	for _, name := range []string{"overlay", "waivers"} {
		text, err := os.ReadFile("../../deploy/" + name + ".example.yaml")
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name+".yaml"), string(text), 0o644)
	}
	file := filepath.Join(dir, "agencyaudit.yaml")

	cfg, err := ParseConfig(file, data, openFile, lookup(environment))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Limits != defaultConfig().Limits || cfg.Schedule != defaultConfig().Schedule || cfg.MaxAge != defaultConfig().MaxAge ||
		cfg.Remediation.Limits != defaultConfig().Remediation.Limits || cfg.Remediation.Mode != remedy.ModeOff ||
		cfg.Remediation.Settle != 30*time.Minute || cfg.Remediation.CoolDown != time.Hour || cfg.Remediation.Excess.Grace != 24*time.Hour ||
		cfg.Remediation.Approval.Expires != 24*time.Hour ||
		cfg.Listen.Address != defaultConfig().Listen.Address || cfg.Cloud.Site != defaultConfig().Cloud.Site || !slices.Equal(cfg.Baselines, defaultConfig().Baselines) {
		t.Error("the example calls something a default that is none")
	}
	accept(t, cfg)

	commented := regexp.MustCompile(`(?m)^( *)# ((- |  )?[a-z_]+: .*)$`)
	all := commented.ReplaceAllString(string(data), "$1$2")
	all = strings.NewReplacer("\n  file: ak_file and", "\n  # file: ak_file and", "\n  environment: HUAWEI", "\n  # environment: HUAWEI",
		"\n  profile: the section", "\n  # profile: the section", "\n  ecs: temporary", "\n  # ecs: temporary",
		"\n  pod: those", "\n  # pod: those", "/etc/agencyaudit/", "").Replace(all)
	write(t, filepath.Join(dir, "credentials"), "[global]\nak = AK"+canary+"\nsk = SK"+canary+"\n", 0o600)
	env := maps.Clone(environment)
	env[envPodURI], env[envPodTokenFile] = "http://127.0.0.1/identity", filepath.Join(dir, "secrets", "auditor.ak")
	for source, keys := range sourceKeys() {
		text := strings.Replace(all, "source: environment", "source: "+source, 1)
		text = regexp.MustCompile(`(?m)^    (ak_env|sk_env|profile_file|profile): .*$`).ReplaceAllString(text, "") // of repair, whose source is file
		for other, theirs := range sourceKeys() {
			for _, key := range theirs {
				if other != source && !slices.Contains(keys, key) {
					text = regexp.MustCompile(`(?m)^  `+key+`: .*$`).ReplaceAllString(text, "")
				}
			}
		}
		cfg, err = ParseConfig(file, []byte(text), openFile, lookup(env))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if len(cfg.Inventory()) != 4 || cfg.AccountsFileFault() != nil || len(cfg.Reader().CAPEM) == 0 ||
			cfg.Reader().Main.Keys.IsZero() && cfg.Reader().Main.Source == nil {
			t.Errorf("source %s: not everything was put in: %+v", source, cfg)
		}
	}
	doc, err := strictyaml.Decode(file, []byte(all), defaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range configKeys() {
		if strings.HasPrefix(key, "accounts.organization.access.") && strings.Contains(key, "k_") {
			continue // a key opens no other account
		}
		if key == "cloud.endpoints.metadata" {
			continue // which site custom alone has
		}
		has := doc.Has(key) || doc.Has(strings.Replace(key, "[]", "[0]", 1))
		for i := range cfg.Accounts.Static {
			has = has || doc.Has(strings.Replace(key, "[]", fmt.Sprintf("[%d]", i), 1))
		}
		if !has {
			t.Errorf("the example does not show %s", key)
		}
	}
}

func write(t *testing.T, file, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// configKeys are the paths of all keys of the configuration, with [] for any element.
func configKeys() []string {
	var keys []string
	var walk func(t reflect.Type, path string)
	walk = func(t reflect.Type, path string) {
		switch {
		case t.Kind() == reflect.Struct:
			for f := range t.Fields() {
				if name := f.Tag.Get("yaml"); name != "" {
					walk(f.Type, strings.TrimPrefix(path+"."+name, "."))
				}
			}
			if path != "" && !strings.HasSuffix(path, "[]") {
				keys = append(keys, path) // a group of keys is a key too
			}
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			keys = append(keys, path)
			walk(t.Elem(), path+"[]")
		default:
			keys = append(keys, path)
		}
	}
	walk(reflect.TypeFor[Config](), "")
	slices.Sort(keys)
	return keys
}

// TestConfigurationPage holds docs/configuration.md against the configuration: each key has one line in its tables, and
// there is no line for anything else.
func TestConfigurationPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.\\[\\]]+)` \\|").FindAllSubmatch(page, -1) {
		documented = append(documented, string(m[1]))
	}
	slices.Sort(documented)
	if keys := configKeys(); !slices.Equal(documented, keys) {
		t.Errorf("documented\n%q\nin the configuration\n%q", documented, keys)
	}
	defaults := defaultConfig()
	for key, value := range map[string]string{
		"cloud.site": defaults.Cloud.Site, "limits.concurrency": fmt.Sprint(defaults.Limits.Concurrency),
		"limits.run_timeout": "10m", "limits.account_timeout": "1m", "limits.request_timeout": "20s",
		"limits.body_bytes": fmt.Sprint(defaults.Limits.BodyBytes), "limits.account_requests": fmt.Sprint(defaults.Limits.AccountRequests),
		"limits.account_bytes": fmt.Sprint(defaults.Limits.AccountBytes), "cloud.rate.per_account": fmt.Sprint(defaults.Cloud.Rate.PerAccount),
		"cloud.rate.total": fmt.Sprint(defaults.Cloud.Rate.Total),
		"remediation.mode": `"off"`, "remediation.missing.enabled": "false", "remediation.excess.enabled": "false", "remediation.excess.grace": "24h",
		"remediation.limits.grant_accounts_per_run":  fmt.Sprint(defaults.Remediation.Limits.GrantAccountsPerRun),
		"remediation.limits.revoke_accounts_per_run": fmt.Sprint(defaults.Remediation.Limits.RevokeAccountsPerRun),
		"remediation.limits.fleet_percent_per_day":   fmt.Sprint(defaults.Remediation.Limits.FleetPercentPerDay),
		"remediation.limits.policy_writes_per_day":   fmt.Sprint(defaults.Remediation.Limits.PolicyWritesPerDay),
		"remediation.settle":                         "30m", "remediation.cool_down": "1h", "remediation.approval.expires": "24h", "baselines": "[coc]", "accounts.static[].require_agency": "false",
	} {
		if !strings.Contains(string(page), "\n| `"+key+"` | `"+value+"` | ") {
			t.Errorf("the page does not give %s the default %s", key, value)
		}
	}
}

func TestLoadConfig(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "agencyaudit.yaml")
	write(t, file, strings.Replace(minimal, "ak_env: PROD_AK, sk_env: PROD_SK", "ak_file: ak, sk_file: sk", 1), 0o644)
	write(t, filepath.Join(dir, "ak"), "AK"+canary, 0o600)
	write(t, filepath.Join(dir, "sk"), "SK"+canary, 0o600)
	cfg, err := LoadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	accept(t, cfg)

	write(t, filepath.Join(dir, "sk"), "SK"+canary, 0o644)
	_, err = LoadConfig(file)
	want := file + ":3:100: accounts.static[0].access.sk_file: the file \"" + filepath.Join(dir, "sk") +
		"\" cannot be used: others than its owner can read it (mode 0644); take the others' rights away with chmod 600"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}

	for name, problem := range map[string]string{
		filepath.Join(dir, "none.yaml"): "the configuration cannot be read: no such file or directory",
		dir:                             "the configuration cannot be read: it is not a regular file",
	} {
		_, err := LoadConfig(name)
		if err == nil || !strings.Contains(err.Error(), problem) || !strings.Contains(err.Error(), "agencyaudit.example.yaml") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// brokenFile opens and then says no more about itself.
type brokenFile struct{ fs.File }

func (brokenFile) Stat() (fs.FileInfo, error) { return nil, errors.New("the disk is gone") }
func (brokenFile) Close() error               { return nil }

func TestFilesThatCannotBeRead(t *testing.T) {
	text := strings.Replace(minimal, "ak_env: PROD_AK, sk_env: PROD_SK", "ak_file: forbidden, sk_file: broken", 1)
	_, err := ParseConfig("etc/a.yaml", []byte(text), func(path string) (fs.File, error) {
		if path == filepath.Join("etc", "broken") {
			return brokenFile{}, nil
		}
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}, lookup(environment))
	want := `etc/a.yaml:3:87: accounts.static[0].access.ak_file: the file "etc/forbidden" cannot be used: permission denied; ` +
		"make the user that runs the program the owner of the file\n" +
		`etc/a.yaml:3:107: accounts.static[0].access.sk_file: the file "etc/broken" cannot be used: the disk is gone; ` +
		"create the file, or name another one"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestTooLongFilesAreNotReadWhole(t *testing.T) {
	data, err := readAll(func(string) (fs.File, error) {
		return fstest.MapFS{"f": {Data: make([]byte, strictyaml.MaxBytes+100)}}.Open("f")
	}, "f")
	if err != nil || len(data) != strictyaml.MaxBytes+1 {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func TestKeysInPlaceOfNamesAreNotShown(t *testing.T) {
	for name, want := range map[string]string{
		"PROD_SK": `"PROD_SK"`, "secrets/prod.sk": `"secrets/prod.sk"`, "MY_TEAM_2_PRODUCTION_SK": `"MY_TEAM_2_PRODUCTION_SK"`,
		"PRODUCTIONSECRETKEY":                          `"PRODUCTIONSECRETKEY"`,
		"aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5hJ7k":     "that is named here",
		"etc/aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5hJ7k": "that is named here",
		"HPUAABCDEF1234567890":                         "that is named here",
	} {
		if got := shown(name); got != want {
			t.Errorf("%s is shown as %s, want %s", name, got, want)
		}
	}
	secret := "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5hJ7k"
	for _, keys := range []string{"ak_env: A, sk_env: " + secret, "ak_file: a, sk_file: " + secret} {
		_, err := parse(t, strings.Replace(minimal, "ak_env: PROD_AK, sk_env: PROD_SK", keys, 1))
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}

// TestAPlaceholderIsNoKey: hidden wherever it is shown, a key of a few characters would hide parts of every text.
func TestAPlaceholderIsNoKey(t *testing.T) {
	for key, refused := range map[string]bool{"~": true, "~~~~~~~": true, "~~~~~~~~": false} {
		env := maps.Clone(environment)
		env["PROD_AK"] = key
		_, err := ParseConfig("etc/agencyaudit.yaml", []byte(minimal), files(t).Open, lookup(env))
		switch {
		case !refused && err != nil:
			t.Error(err)
		case !refused:
		case err == nil || !strings.Contains(err.Error(), `"PROD_AK" `+tooShort+"; put the whole value into it") || strings.Contains(err.Error(), "~"):
			t.Errorf("%d characters: %v", len(key), err)
		}
	}
}

// FuzzConfigValues puts values into the places of a configuration that reach the reader of the cloud. What is accepted
// here must be accepted there: a fault that only the reader finds has no line.
func FuzzConfigValues(f *testing.F) {
	f.Add("custom", "ap-southeast-3", "https://iam.example.com", "prod", "AgencyAuditReader", "d0000000000000000000000000000001", 64, "1m")
	f.Add("intl", "cn-north-4", "", "ünit", "a b", "00000000000000000000000000000000", 1024, "24h")
	f.Add("eu", "eu-west-101", "https://iam.eu-west-101.myhuaweicloud.eu", "x", "ä", "d0000000000000000000000000000009", 1, "1s")
	f.Add("custom", "", "http://[::1]:9879", "x", "A", "ffffffffffffffffffffffffffffffff", 3, "90s")
	f.Add("custom", "-", "https://a-.b", "\x00", strings.Repeat("é", 40), "", 0, "")
	fsys := files(f)
	f.Fuzz(func(t *testing.T, site, region, endpoint, name, agency, id string, concurrency int, timeout string) {
		quoted := func(s string) string {
			b, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		text := "accounts: {static: [{name: " + quoted(name) + ", id: " + quoted(id) + ", access: {via: iam, agency: " + quoted(agency) + "}}]}\n" +
			"credentials: {source: environment, account_id: d0000000000000000000000000000009}\n" +
			"limits: {concurrency: " + strconv.Itoa(concurrency) + ", run_timeout: 24h, account_timeout: 24h, request_timeout: " + quoted(timeout) + "}\n" +
			"cloud: {site: " + quoted(site)
		if region != "" {
			text += ", region: " + quoted(region)
		}
		if endpoint != "" {
			text += ", endpoints: {iam: " + quoted(endpoint) + "}"
		}
		if cfg, err := ParseConfig("etc/a.yaml", []byte(text+"}\n"), fsys.Open, lookup(environment)); err == nil {
			accept(t, cfg)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("a secret came out: %v", err)
		}
	})
}

// FuzzParseConfig holds every text to: no panic, the same answer twice, no secret in an error, and a reader that accepts
// what is accepted.
func FuzzParseConfig(f *testing.F) {
	names, err := filepath.Glob("testdata/config/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(names, "../../deploy/agencyaudit.example.yaml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(minimal))
	fsys := files(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, err := ParseConfig("etc/a.yaml", data, fsys.Open, lookup(environment))
		_, again := ParseConfig("etc/a.yaml", data, fsys.Open, lookup(environment))
		if !reflect.DeepEqual(err, again) {
			t.Fatalf("two answers:\n%v\n%v", err, again)
		}
		if err != nil {
			var faults strictyaml.Faults
			if cfg != nil || !errors.As(err, &faults) {
				t.Fatalf("%T: %v", err, err)
			}
			if strings.Contains(err.Error(), canary) && !bytes.Contains(data, []byte(canary)) {
				t.Fatalf("a secret came out: %v", err)
			}
			return
		}
		accept(t, cfg)
		if len(cfg.Inventory()) == 0 || len(cfg.LoadedBaselines()) == 0 {
			t.Error("nothing to do")
		}
	})
}

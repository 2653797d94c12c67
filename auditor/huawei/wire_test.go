package huawei_test

import (
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestPanicIsUnknown has a bug at each request in turn.
func TestPanicIsUnknown(t *testing.T) {
	f, cfg := needsEverything(t)
	probe, _ := open(t, cfg)
	mustObserve(t, probe, 0)
	all := len(f.log())
	for at := range all {
		c, log := open(t, cfg)
		var n atomic.Int64
		c.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if n.Add(1) == int64(at)+1 {
					panic("canary-panic " + r.Header.Get("X-Security-Token"))
				}
				return next.RoundTrip(r)
			})
		})
		wantUnknown(t, c, 0, rules.ReasonPanic)
		if !strings.Contains(log.String(), "panic_type") || strings.Contains(log.String(), "canary") {
			t.Errorf("request %d: log %s", at, log)
		}
		mustObserve(t, c, 0) // nothing is locked for ever
		c.Close()
	}
	c, _ := open(t, cfg)
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	var network http.RoundTripper
	c.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
		network = next
		return roundTripper(func(*http.Request) (*http.Response, error) { panic("in Verify") })
	})
	if err := c.Verify(t.Context()); err == nil || !strings.HasPrefix(err.Error(), string(rules.ReasonPanic)) {
		t.Errorf("Verify: %v", err)
	}
	// An identity that nobody could ask about is not taken for a confirmed one.
	c.WrapTransport(func(http.RoundTripper) http.RoundTripper { return network })
	f.log()
	mustObserve(t, c, 0)
	if sent := f.log(); asked(sent, "domains") != 2 { // of the identity and of the account
		t.Errorf("sent %q", sent)
	}
}

// TestNothingButReads runs everything that the package does, and looks at what left it.
func TestNothingButReads(t *testing.T) {
	f, cfg := needsEverything(t)
	f.accounts[accountID(0)].grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}}
	f.accounts[accountID(1)] = newFake(t, 2).accounts[accountID(1)]
	cfg.Members = huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
	c, _ := open(t, cfg)
	c.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodGet && r.URL.Path != "/v3.0/OS-CREDENTIAL/securitytokens" && r.URL.Path != "/v5/agencies/assume" {
				t.Errorf("%s %s", r.Method, r.URL.Path)
			}
			if _, ok := r.Context().Deadline(); !ok {
				t.Errorf("%s has no deadline", r.URL.Path)
			}
			return next.RoundTrip(r)
		})
	})
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustObserve(t, c, 0)
	mustObserve(t, c, 1)
	if _, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true}); err != nil {
		t.Fatal(err)
	}
	for name, sent := range c.Requests() {
		if huawei.Changes(name) != "" {
			if sent > 0 {
				t.Errorf("%s was part of it", name)
			}
			continue
		}
		if sent == 0 && name != "ListAllProjectsPermissionsForAgency" {
			t.Errorf("%s was not part of it", name)
		}
	}
}

func TestTLS(t *testing.T) {
	f := newFake(t, 1)
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	cfg := f.config()
	cfg.Endpoints.IAM = server.URL
	c, _ := open(t, cfg)
	u := unknown(t, c, 0, rules.ReasonTLS) // an authority that nobody knows
	if !strings.Contains(u.Remedy, "certificate") {
		t.Errorf("%+v", u)
	}
	cfg.CAPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	c, _ = open(t, cfg)
	mustObserve(t, c, 0)
	cfg.Endpoints.IAM = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	c, _ = open(t, cfg)
	wantUnknown(t, c, 0, rules.ReasonTLS) // a name that is not on the certificate
	cfg.Endpoints.IAM = "https://" + f.Listener.Addr().String()
	c, _ = open(t, cfg)
	wantUnknown(t, c, 0, rules.ReasonTLS) // a server that speaks no TLS
}

// TestProxyOfTheEnvironmentIsIgnored: the variables of a shell must not lead signed requests elsewhere.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	f := newFake(t, 1)
	c, _ := open(t, f.assuming())
	mustObserve(t, c, 0)
}

// TestKeysOfTheEnvironmentAreIgnored: the SDK looks for keys in many places when it is given none, and for endpoints. Nothing that
// lies there is used, nor is anything sent for who has no key.
func TestKeysOfTheEnvironmentAreIgnored(t *testing.T) {
	const stranger = "AK-e0000000000000000000000000000000"
	home := t.TempDir()
	section := "\nak = " + stranger + "\nsk = canary\ndomain_id = e0000000000000000000000000000000\n"
	file := filepath.Join(home, ".huaweicloud", "credentials")
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte("[basic]"+section+"[global]"+section), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"HOME": home, "HUAWEICLOUD_SDK_CREDENTIALS_FILE": file, "HUAWEICLOUD_SDK_AK": stranger, "HUAWEICLOUD_SDK_SK": "canary",
		"HUAWEICLOUD_SDK_SECURITY_TOKEN": "canary", "HUAWEICLOUD_SDK_DOMAIN_ID": "e0000000000000000000000000000000",
		"HUAWEICLOUD_SDK_IAM_ENDPOINT": "http://127.0.0.1:1", "HUAWEICLOUD_SDK_STS_ENDPOINT": "http://127.0.0.1:1",
		"HC_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": file,
	} {
		t.Setenv(name, value)
	}
	f := newFake(t, 3)
	cfg := f.assuming()
	cfg.Accounts[accountID(1)] = huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
	cfg.Accounts[accountID(2)] = f.config().Accounts[accountID(2)]
	own := map[string]huawei.Access{accountID(2): cfg.Accounts[accountID(2)]}
	c, _ := open(t, cfg)
	if _, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true}); err != nil {
		t.Error(err)
	}
	for n := range 3 {
		mustObserve(t, c, n)
	}
	for _, sent := range f.log() {
		_, id, _ := strings.Cut(sent, " ")
		if !slices.Contains([]string{mainID, accountID(0), accountID(1), accountID(2)}, id) {
			t.Errorf("sent %s", sent)
		}
	}

	// Without a main identity.
	cfg.Main, cfg.Accounts = huawei.Identity{}, own
	c, _ = open(t, cfg)
	if err := c.Verify(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := c.Organization(t.Context(), huawei.OrganizationQuery{}); err == nil {
		t.Error("the organization is listed without a key")
	}
	wantUnknown(t, c, 0, rules.ReasonDenied)
	if sent := f.log(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
	// Half a key is none, whoever has the other half.
	cfg = f.assuming()
	for _, k := range []huawei.Keys{{AccessKey: huawei.NewSecret("AK-" + mainID)}, {SecretKey: huawei.NewSecret("canary")}, {}} {
		cfg.Main = huawei.Identity{AccountID: mainID, Keys: k}
		if _, err := huawei.New(cfg, nil); err == nil {
			t.Error("half a key is accepted")
		}
	}
}

func TestConfig(t *testing.T) {
	key := huawei.Keys{AccessKey: huawei.NewSecret("a"), SecretKey: huawei.NewSecret("s")}
	half := huawei.Keys{AccessKey: huawei.NewSecret("a")}
	good := huawei.Config{
		Endpoints: huawei.Endpoints{IAM: "https://iam.example.com"}, Main: huawei.Identity{Keys: key, AccountID: mainID},
		Accounts: map[string]huawei.Access{accountID(1): {Keys: key}, accountID(2): {Agency: "Reader"}},
	}
	if _, err := huawei.New(good, nil); err != nil {
		t.Fatal(err)
	}
	for _, endpoint := range []string{
		"https://iam.example.com:8443", "http://127.0.0.1:80", "http://localhost:1", "http://[::1]:1", "https://10.1.2.3",
		"https://IAM.example.com",
	} {
		cfg := good
		cfg.Endpoints.IAM = endpoint
		if _, err := huawei.New(cfg, nil); err != nil {
			t.Errorf("%s: %v", endpoint, err)
		}
	}
	for _, region := range []string{"cn-north-4", "eu-west-101"} {
		cfg := good
		cfg.Endpoints, cfg.Region = huawei.Endpoints{}, region
		if _, err := huawei.New(cfg, nil); err != nil {
			t.Errorf("%s: %v", region, err)
		}
	}
	for _, endpoint := range []string{
		"", "iam.example.com", "http://iam.example.com", "ftp://iam.example.com", "https://", "https://user@iam.example.com",
		"https://user:canary@iam.example.com", "https://iam.example.com/v3", "https://iam.example.com/", "https://iam.example.com?x=1",
		"https://iam.example.com?", "https://iam.example.com#x", "https://iam.example.com#", "https://169.254.169.254", "https://[fe80::1]",
		"https://[fe80::1%25eth0]", "https://[::ffff:169.254.169.254]", "https://0.0.0.0", "https://[::]", "https://224.0.0.1",
		"https://iam..example.com", "https://-iam.example.com", "https://iam_x.example.com", "https://iam.exämple.com",
		"https://iam.example.com:0", "https://iam.example.com:70000", "https://iam.example.com:", "https://iam.example.com:x",
		"http://127.0.0.1.example.com", "http://2130706433", "http://0x7f.1", "https:iam.example.com", "https://iam.example.com\\@evil",
		"https://iam.example.com evil", "javascript:alert(1)", "https://%69am.example.com",
	} {
		cfg := good
		cfg.Endpoints.IAM = endpoint
		if _, err := huawei.New(cfg, nil); err == nil {
			t.Errorf("endpoint %q was accepted", endpoint)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("a password came out: %v", err)
		}
	}
	for name, change := range map[string]func(c *huawei.Config){
		"region":           func(c *huawei.Config) { c.Endpoints, c.Region = huawei.Endpoints{}, "evil.com/x" },
		"user agent":       func(c *huawei.Config) { c.UserAgent = "x\r\nX-Evil: 1" },
		"negative":         func(c *huawei.Config) { c.MaxBody = -1 },
		"authorities":      func(c *huawei.Config) { c.CAPEM = []byte("none") },
		"session name":     func(c *huawei.Config) { c.SessionName = "x" },
		"session duration": func(c *huawei.Config) { c.SessionDuration = 1 },
		"account id":       func(c *huawei.Config) { c.Accounts = map[string]huawei.Access{"../x": {Keys: key}} },
		"no access":        func(c *huawei.Config) { c.Accounts = map[string]huawei.Access{"x": {}} },
		"two ways":         func(c *huawei.Config) { c.Accounts = map[string]huawei.Access{"x": {Keys: key, Agency: "y"}} },
		"half a key":       func(c *huawei.Config) { c.Accounts = map[string]huawei.Access{"x": {Keys: half}} },
		"the other half": func(c *huawei.Config) {
			c.Accounts = map[string]huawei.Access{"x": {Keys: huawei.Keys{SecretKey: key.SecretKey}}}
		},
		"only a token": func(c *huawei.Config) {
			c.Accounts = map[string]huawei.Access{"x": {Keys: huawei.Keys{SecurityToken: key.SecretKey}}}
		},
		"agency name":       func(c *huawei.Config) { c.Accounts = map[string]huawei.Access{"x": {Agency: strings.Repeat("y", 65)}} },
		"no main identity":  func(c *huawei.Config) { c.Main = huawei.Identity{} },
		"half of the main":  func(c *huawei.Config) { c.Main.Keys = half },
		"main without id":   func(c *huawei.Config) { c.Main.AccountID = "" },
		"main without keys": func(c *huawei.Config) { c.Main.Keys = huawei.Keys{} },
	} {
		cfg := good
		change(&cfg)
		if _, err := huawei.New(cfg, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	_, err := huawei.New(huawei.Config{Accounts: map[string]huawei.Access{"../x": {}, "y": {Keys: half}}, SessionName: "!"}, nil)
	if err == nil || strings.Count(err.Error(), "\n") < 4 {
		t.Errorf("not every fault is named: %v", err)
	}
}

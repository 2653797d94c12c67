package simcloud_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	"go.uber.org/goleak"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

func encode(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// start starts a cloud and stops it with the test.
func start(t *testing.T, c *simcloud.Cloud, l simcloud.Listen) *simcloud.Server {
	t.Helper()
	s, err := c.Start(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStartServesBothPortsAndClosesThem(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	c := newCloud(t)
	s, err := c.Start(simcloud.Listen{Cloud: ":0", Control: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	client := newSDK(t, s.URL, alphaID, adminKey, "", transport)
	must[*m3.KeystoneListAuthDomainsResponse](t)(client.v3.KeystoneListAuthDomains(&m3.KeystoneListAuthDomainsRequest{}))
	r, err := (&http.Client{Transport: transport}).Get(s.ControlURL + "/healthz")
	if err != nil || r.StatusCode != 200 {
		t.Fatalf("%v, %v", r, err)
	}
	if err := errors.Join(r.Body.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	transport.CloseIdleConnections()
	for _, at := range []string{s.URL, s.ControlURL} {
		u, _ := url.Parse(at)
		if conn, err := net.Dial("tcp", u.Host); err == nil {
			_ = conn.Close()
			t.Errorf("%s is still open", at)
		}
	}
}

func TestStartWithACertificateOfItsOwn(t *testing.T) {
	c := newCloud(t)
	s := start(t, c, simcloud.Listen{Cloud: "127.0.0.1:0", SelfSigned: true})
	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") || s.ControlURL != "" {
		t.Errorf("URLs %q and %q", s.URL, s.ControlURL)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(s.CAPEM) {
		t.Fatalf("no certificate in %s", s.CAPEM)
	}
	trusting := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	t.Cleanup(trusting.CloseIdleConnections)
	client := newSDK(t, s.URL, alphaID, adminKey, "", trusting)
	must[*m3.KeystoneListAuthDomainsResponse](t)(client.v3.KeystoneListAuthDomains(&m3.KeystoneListAuthDomainsRequest{}))
	local := newSDK(t, strings.Replace(s.URL, "127.0.0.1", "localhost", 1), alphaID, adminKey, "", trusting)
	must[*m3.KeystoneListAuthDomainsResponse](t)(local.v3.KeystoneListAuthDomains(&m3.KeystoneListAuthDomainsRequest{}))

	_, err := newSDK(t, s.URL, alphaID, adminKey, "", &http.Transport{}).v3.KeystoneListAuthDomains(
		&m3.KeystoneListAuthDomainsRequest{})
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("a client that trusts nobody: %v", err)
	}
}

func TestStartWithCertificateFiles(t *testing.T) {
	cert := httptest.NewUnstartedServer(nil)
	cert.StartTLS()
	defer cert.Close()
	pair := cert.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile := write("cert.pem", "CERTIFICATE", pair.Certificate[0])
	keyFile := write("key.pem", "PRIVATE KEY", key)
	c := newCloud(t)
	s := start(t, c, simcloud.Listen{Cloud: "127.0.0.1:0", TLSCert: certFile, TLSKey: keyFile})
	transport := cert.Client().Transport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	client := newSDK(t, s.URL, alphaID, adminKey, "", transport)
	must[*m3.KeystoneListAuthDomainsResponse](t)(client.v3.KeystoneListAuthDomains(&m3.KeystoneListAuthDomainsRequest{}))

	for want, l := range map[string]simcloud.Listen{
		"needs both":               {Cloud: ":0", TLSCert: certFile},
		"exclude each other":       {Cloud: ":0", TLSKey: keyFile, SelfSigned: true},
		"load the certificate":     {Cloud: ":0", TLSCert: keyFile, TLSKey: keyFile},
		"is not host:port":         {Cloud: "localhost"},
		"is not on loopback":       {Cloud: ":0", Control: "0.0.0.0:0"},
		"control port":             {Cloud: ":0", Control: "nonsense"},
		"start the simulated clou": {Cloud: "203.0.113.1:1"},
	} {
		if s, err := c.Start(l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, %v, want %q", l, s, err, want)
		}
	}
}

func TestPortsOnAllAddressesAreReachedOverLoopback(t *testing.T) {
	s := start(t, newCloud(t), simcloud.Listen{Cloud: "0.0.0.0:0"})
	if !strings.HasPrefix(s.URL, "http://127.0.0.1:") {
		t.Errorf("URL %s", s.URL)
	}
}

// control sends a request to the control port.
func control(t testing.TB, c *simcloud.Cloud, method, path, body string, change ...func(*http.Request)) reply {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:9999"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:5555"
	r.Header.Set("Content-Type", "application/json")
	for _, do := range change {
		do(r)
	}
	return read(t, do(c.Control(), r))
}

func TestControlShowsTheState(t *testing.T) {
	c := newCloud(t)
	put("project", readerID, policyID(t, c, "Tenant Guest")).send(t, c).accepted(t, 204)
	get(nobodyKey, "/v3/roles").send(t, c).accepted(t, 403)
	get(nobodyKey, "/nowhere").send(t, c).accepted(t, 404)
	get(simcloud.Key{Access: "AKGHOST", Secret: "x"}, domains).send(t, c).accepted(t, 401)

	r := control(t, c, "GET", "/organization", "")
	var shown struct {
		simcloud.Organization
		Settings json.RawMessage `json:"settings"`
	}
	r.decode(t, &shown)
	org := shown.Organization
	if strings.Contains(r.body, adminKey.Secret) || org.Accounts[0].Users[0].Keys[0].Secret != "<secret>" {
		t.Error("the control port shows secrets")
	}
	truth := c.Organization()
	for i := range truth.Accounts {
		for j := range truth.Accounts[i].Users {
			for k := range truth.Accounts[i].Users[j].Keys {
				truth.Accounts[i].Users[j].Keys[k].Secret = "<secret>"
			}
		}
	}
	truth.Pods[0].Token = "<secret>"
	org.Settings = truth.Settings
	if got, want := encode(t, org), encode(t, truth); got != want {
		t.Errorf("organization\n%s\nwant\n%s", got, want)
	}

	var journal []simcloud.Write
	control(t, c, "GET", "/journal", "").decode(t, &journal)
	if len(journal) != 1 || journal[0] != c.Journal()[0] || journal[0].In != subID {
		t.Errorf("journal %+v, want %+v", journal, c.Journal())
	}
	var counters []simcloud.Counter
	control(t, c, "GET", "/counters", "").decode(t, &counters)
	if got, want := encode(t, counters), encode(t, []simcloud.Counter{
		{Operation: "KeystoneListAuthDomains", Refused: map[int]int{401: 1}},
		{Operation: "unknown", Refused: map[int]int{404: 1}},
		{AccountID: alphaID, Account: "alpha", Operation: "AssociateAgencyWithProjectPermission", OK: 1},
		{AccountID: alphaID, Account: "alpha", Operation: "KeystoneListPermissions", Refused: map[int]int{403: 1}},
	}); got != want {
		t.Errorf("counters %s, want %s", got, want)
	}
	if r := control(t, c, "POST", "/counters/reset", ""); r.status != 204 {
		t.Errorf("reset: %d %s", r.status, r.body)
	}
	if r := control(t, c, "GET", "/counters", ""); strings.TrimSpace(r.body) != "[]" {
		t.Errorf("counters %s", r.body)
	}
	var policies []simcloud.Policy
	control(t, c, "GET", "/policies", "").decode(t, &policies)
	if len(policies) != len(c.Catalogue()) {
		t.Errorf("%d policies, want %d", len(policies), len(c.Catalogue()))
	}
	if r := control(t, c, "GET", "/healthz", ""); r.status != 200 {
		t.Errorf("health: %d", r.status)
	}
}

func TestControlChangesTheState(t *testing.T) {
	c := newCloud(t)
	for _, body := range []string{
		`{"kind":"grant","account":"alpha","agency":"AgencyAuditReader","grant":{"policy":"FullAccess","scope":"global"}}`,
		`{"kind":"update_agency","account":"alpha","agency":"Foreign","expires_at":"2030-01-01T00:00:00Z"}`,
		`{"kind":"suspend","account":"beta"}`,
		`{"kind":"settings","settings":{"latency":"1ms","read_after_write_delays":{"ListAgencies":"2s"}}}`,
	} {
		if r := control(t, c, "POST", "/drift", body); r.status != 204 || r.body != "" {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	if !slices.Contains(grantsOf(c, "alpha", reader), "FullAccess global ") {
		t.Errorf("grants %q", grantsOf(c, "alpha", reader))
	}
	if s := c.Settings(); s.Latency != time.Millisecond || s.ReadAfterWriteDelays["ListAgencies"] != 2*time.Second {
		t.Errorf("settings %+v", s)
	}
	get(betaKey, domains).send(t, c).refused(t, "Unauthorized")

	body := `{"latency":"3ms","rate_limit":7,"page_size":5,"failures":[{"style":"reset","skip":2}],` +
		`"switches":{"throttle":"IAM.0012","retry_after":true}}`
	if r := control(t, c, "PUT", "/settings", body); r.status != 204 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s := c.Settings()
	if s.Latency != 3*time.Millisecond || s.RateLimit != 7 || s.PageSize != 5 || len(s.Failures) != 1 ||
		!s.Switches.RetryAfter || s.ReadAfterWriteDelays != nil {
		t.Errorf("settings %+v", s)
	}
	// What is shown can be put back.
	shown := control(t, c, "GET", "/settings", "")
	if r := control(t, c, "PUT", "/settings", shown.body); r.status != 204 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if again := control(t, c, "GET", "/settings", ""); again.body != shown.body {
		t.Errorf("settings %s, want %s", again.body, shown.body)
	}
}

func TestControlRefusesWhatItDoesNotUnderstand(t *testing.T) {
	c := newCloud(t)
	before := encode(t, c.Organization())
	for body, want := range map[string]string{
		``:                                    "decode the body",
		`[]`:                                  "decode the body",
		`{"kind":"suspend","acount":"alpha"}`: "$.acount: unknown key; did you mean account? the keys here are kind, ",
		`{"kind":"suspend","account":"alpha"} {}`:                                                          "more after",
		`{"kind":"suspend","account":"nowhere"}`:                                                           "nowhere",
		`{"kind":"settings","settings":{"latency":20}}`:                                                    "decode the body",
		`{"kind":"settings","settings":{"latency":"soon","read_after_write_delays":{"ListAgencies":"x"}}}`: "latency is",
		`{"kind":"settings","settings":{"speed":1}}`:                                                       "$.settings.speed: unknown key; the keys here are latency, ",
		`{"kind":"settings","settings":{"switches":{"coc_policy":"x"}}}`:                                   "$.settings.switches.coc_policy: unknown key",
	} {
		if r := control(t, c, "POST", "/drift", body); r.status != 400 || !strings.Contains(r.body, want) {
			t.Errorf("%s: %d %s, want %q", body, r.status, r.body, want)
		}
	}
	for body, want := range map[string]string{
		`{"latncy":"1s"}`: "$.settings.latncy: unknown key; did you mean latency? the keys here are latency, read_after_write_delay, ",
		`{"failures":[{"style":"reset"},{"sytle":"reset"}]}`: "$.settings.failures[1].sytle: unknown key; did you mean style?",
		`{"latency":"-1s"}`:                                   "$.settings.latency",
		`{"read_after_write_delay":"-1s"}`:                    "$.settings.read_after_write_delay",
		`{"read_after_write_delays":{"ShowAgency":"1s"}}`:     "is not a list",
		`{"read_after_write_delays":{"ListAgencies":"-1s"}}`:  "read_after_write_delays.ListAgencies",
		`{"rate_limit":-1}`:                                   "$.settings.rate_limit",
		`{"failures":[{"style":"explode"}]}`:                  "$.settings.failures[0].style",
		`{"failures":[{"style":"reset","account":"x"}]}`:      "$.settings.failures[0].account",
		`{"failures":[{"style":"reset","operation":"x"}]}`:    "$.settings.failures[0].operation",
		`{"failures":[{"style":"reset","skip":-1}]}`:          "$.settings.failures[0]",
		`{"switches":{"repeat_grant":"200"}}`:                 "write one of 204, 409",
		`{"latency":"` + strings.Repeat("0", 4<<20) + `1ms"}`: "longer than",
	} {
		if r := control(t, c, "PUT", "/settings", body); r.status != 400 || !strings.Contains(r.body, want) {
			t.Errorf("%.80s: %d %s, want %q", body, r.status, r.body, want)
		}
	}
	if r := control(t, c, "POST", "/drift", `{"kind":"suspend","account":"alpha"}`, func(r *http.Request) {
		r.Header.Set("Content-Type", "text/plain") // what a web page may send without asking
	}); r.status != 400 {
		t.Errorf("text/plain: %d %s", r.status, r.body)
	}
	for name, from := range map[string]func(*http.Request){
		"another machine":      func(r *http.Request) { r.RemoteAddr = "203.0.113.9:1234" },
		"the name of a page":   func(r *http.Request) { r.Host = "attacker.example:9999" },
		"another address":      func(r *http.Request) { r.Host = "203.0.113.9" },
		"a name like loopback": func(r *http.Request) { r.Host = "127.0.0.1.example.com:80" },
	} {
		if r := control(t, c, "GET", "/organization", "", from); r.status != 403 {
			t.Errorf("%s: %d", name, r.status)
		}
	}
	for _, host := range []string{"localhost:1", "localhost", "[::1]:80", "127.0.0.2:80"} {
		if r := control(t, c, "GET", "/healthz", "", func(r *http.Request) { r.Host = host }); r.status != 200 {
			t.Errorf("%s: %d %s", host, r.status, r.body)
		}
	}
	for path, method := range map[string]string{"/nowhere": "GET", "/drift": "GET", "/journal": "POST"} {
		if r := control(t, c, method, path, ""); r.status != 404 && r.status != 405 {
			t.Errorf("%s %s: %d", method, path, r.status)
		}
	}
	if after := encode(t, c.Organization()); after != before {
		t.Errorf("the state changed from\n%s\nto\n%s", before, after)
	}
}

// lines sends what is written to a channel.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestLogsGoWhereTheyAreSent(t *testing.T) {
	log := make(lines, 10)
	c := newCloud(t)
	c.Log = slog.New(slog.NewTextHandler(log, nil))
	s := start(t, c, simcloud.Listen{Cloud: "127.0.0.1:0", SelfSigned: true})
	u, _ := url.Parse(s.URL)
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if line := <-log; !strings.Contains(line, "TLS handshake error") {
		t.Errorf("log %q", line)
	}
}

//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The accounts of the organization that these tests generate: six, and nothing amiss in them.
var steadySix = []string{"--generate", "6", "--steady"}

const (
	victim   = "data-stage-000002"
	ofVictim = `account="` + victim + `"`
	// lost is a grant that the baseline requires.
	lost   = `"account": "` + victim + `", "agency": "ServiceAgencyForCOC", "grant": {"policy": "DCS UserAccess", "scope": "all_resources"}`
	ofLost = `policy="DCS UserAccess"`
)

// Drift shows as a one and on the page, a repair by hand takes it away again, and the auditor wrote nothing meanwhile.
func TestDriftIsShownUntilItIsRepaired(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, cloud.looped())
	d.always(t, nil)
	all := d.settled(t, "compliant")
	missing := all.where("policy_missing")
	if len(missing) != 6*4 || missing.count(0) != 6*4 {
		t.Errorf("a steady organization shows %v", missing)
	}
	if body := d.get(t, "/").body; strings.Contains(body, victim) {
		t.Errorf("the page has a row for a compliant account:\n%s", body)
	}

	cloud.drift(t, `{"kind": "revoke", %s}`, lost)
	all = d.shows(t, "the drift shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 1 })
	if all.where("policy_missing").count(1) != 1 || all.one("account_state", ofVictim, `state="drifted"`) != 1 || all.one("accounts", `state="drifted"`) != 1 {
		t.Errorf("after the drift: %v %v", all.where("policy_missing"), all.where("accounts"))
	}
	within(t, "the page shows the drift", func() string {
		body := d.get(t, "/").body
		if strings.Contains(body, victim) && strings.Contains(body, "DCS UserAccess") {
			return ""
		}
		return body
	})

	cloud.drift(t, `{"kind": "grant", %s}`, lost)
	all = d.shows(t, "the repair shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 0 })
	if all.one("account_state", ofVictim, `state="compliant"`) != 1 {
		t.Errorf("after the repair: %v", all.where("account_state", ofVictim))
	}
	within(t, "the page no longer shows it", func() string {
		if body := d.get(t, "/").body; strings.Contains(body, victim) {
			return body
		}
		return ""
	})
	cloud.untouched(t)
	d.interrupt(t)
}

// Before the first run is committed nothing is claimed: every account is unknown, and nobody is told that all is ready.
func TestBeforeTheFirstRunNothingIsClaimed(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	cloud.latency(t, 3*time.Second)
	d := cloud.serve(t, cloud.looped())
	d.always(t, nil)
	if status := d.ready(t); status != http.StatusServiceUnavailable {
		t.Errorf("/-/ready: status %d", status)
	}
	if status := d.get(t, "/-/healthy").status; status != http.StatusOK {
		t.Errorf("/-/healthy: status %d", status)
	}
	all := d.scrape(t)
	if all.one("accounts", `state="unknown"`) != 6 || len(all.where("policy_missing")) != 0 ||
		len(all.where("account_last_complete_read_timestamp_seconds")) != 0 || all.runs("complete") != 0 {
		t.Errorf("before the first run: %v %v", all.where("accounts"), all.where("policy_missing"))
	}
	if a := d.get(t, "/"); a.status != http.StatusOK {
		t.Errorf("the page: status %d", a.status)
	}
	cloud.latency(t, 0)
	d.settled(t, "compliant")
	if status := d.ready(t); status != http.StatusOK {
		t.Errorf("/-/ready after the first run: status %d", status)
	}
}

// neverUnknown is what a daemon must hold to whose first run is committed: half a run would show the other half as unknown.
func neverUnknown(s series) error {
	if n := s.one("accounts", `state="unknown"`); n != 0 {
		return fmt.Errorf("half a run is shown: %v accounts are unknown: %v", n, s.where("account_unknown"))
	}
	return nil
}

// midRun makes the cloud slow and waits until a run is under way that began since: one that began before may end at once.
func midRun(t *testing.T, d *served, cloud *simulator, latency time.Duration) {
	t.Helper()
	cloud.latency(t, latency)
	since := float64(time.Now().UnixMilli()) / 1000
	d.shows(t, "a run that began since is under way", func(s series) bool {
		return s.running() && s.one("run_last_start_timestamp_seconds") > since
	})
}

// Told to end in the middle of a run, the daemon finishes it, serves meanwhile, and ends in order.
func TestToldToEndItFinishesTheRun(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, cloud.looped())
	d.settled(t, "compliant")
	d.always(t, neverUnknown)
	midRun(t, d, cloud, 400*time.Millisecond)
	d.signal(t, syscall.SIGTERM)
	within(t, "it says that it ends", func() string {
		a, err := d.ask(t.Context(), http.MethodGet, "/-/ready", nil)
		if err != nil {
			return "" // on a very slow machine it has ended already
		}
		if a.status != http.StatusServiceUnavailable {
			return fmt.Sprintf("status %d", a.status)
		}
		if _, err := d.scrapeAs(t.Context(), false, false); err != nil && !strings.Contains(err.Error(), "connection") {
			t.Errorf("while it drains: %v", err)
		}
		return ""
	})
	if code := d.wait(t); code != exitOK {
		t.Errorf("exit code %d, want 0; stderr:\n%s", code, last(d.err.String(), 2000))
	}
	if said := d.err.String(); !strings.Contains(said, `"msg":"ending","drain":"20s"`) || strings.Contains(said, "cut short") ||
		!strings.Contains(said, `"msg":"ended","run":"finished","took":"`) {
		t.Errorf("the run was not finished:\n%s", last(said, 2000))
	}
	cloud.untouched(t)
}

// Without time to drain the run is given up: nothing of it is shown, and the end is as orderly.
func TestToldToEndAtOnceItGivesTheRunUp(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, strings.Replace(cloud.looped(), "drain: 20s", "drain: 0s", 1))
	d.settled(t, "compliant")
	d.always(t, neverUnknown)
	midRun(t, d, cloud, time.Hour)
	d.signal(t, syscall.SIGTERM)
	if code := d.wait(t); code != exitOK {
		t.Errorf("exit code %d, want 0; stderr:\n%s", code, last(d.err.String(), 2000))
	}
	if said := d.err.String(); !strings.Contains(said, `"msg":"ended","run":"cut short"`) || !strings.Contains(said, `"msg":"the run gave no result"`) {
		t.Errorf("the run was not given up:\n%s", last(said, 2000))
	}
}

// The second signal ends the process, however long it might have drained.
func TestASecondSignalEndsItAtOnce(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	cloud.latency(t, time.Hour)
	d := cloud.serve(t, strings.Replace(cloud.looped(), "drain: 20s", "drain: 1h", 1))
	d.shows(t, "a run is under way", series.running)
	d.signal(t, syscall.SIGTERM)
	within(t, "it was told to end", func() string {
		if !strings.Contains(d.err.String(), `"msg":"ending"`) {
			return "the log does not say it"
		}
		return ""
	})
	if d.gone() {
		t.Error("the first signal ended it")
	}
	d.signal(t, syscall.SIGTERM)
	if code := d.wait(t); code != -1 {
		t.Errorf("exit code %d, want the end by a signal", code)
	}
}

// digest is that of the configuration in force.
func digest(s series) string {
	for key, v := range s.where("config_info") {
		if v == 1 {
			return key
		}
	}
	return ""
}

// reload asks for one by the web.
func (d *served) reload(t *testing.T) answer {
	t.Helper()
	return d.send(t, http.MethodPost, "/-/reload", nil)
}

// A configuration that is not right changes nothing, whoever asked for the reload, and a good one all of it.
func TestABadReloadChangesNothing(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	good := cloud.looped()
	d := cloud.serve(t, good)
	d.always(t, func(s series) error {
		if len(s.where("config_info")) != 1 {
			return fmt.Errorf("configurations in force: %v", s.where("config_info"))
		}
		return nil
	})
	all := d.settled(t, "compliant")
	before := digest(all)
	if before == "" || all.one("config_reload_success") != 1 {
		t.Fatalf("at the start: %v", all.where("config_reload_success"))
	}
	refused := func(how string) {
		t.Helper()
		all := d.shows(t, how+" is refused", func(s series) bool { return s.one("config_reload_success") == 0 })
		if digest(all) != before || all.one("accounts_expected") != 6 {
			t.Errorf("%s changed something: %s", how, digest(all))
		}
	}

	bad := strings.Replace(good, "run_timeout: 1m", "run_timeout: 1m, colour: red", 1) + "max_age: 1s\n"
	replace(t, d.file, bad)
	refused("a changed file")
	faults := func() int { return strings.Count(d.err.String(), "was not reloaded") }
	n := faults()
	d.signal(t, syscall.SIGHUP)
	within(t, "a hangup is answered", func() string {
		if faults() == n {
			return "the log does not say so"
		}
		return ""
	})
	refused("a hangup")
	a := d.reload(t)
	for _, want := range []string{"agencyaudit.yaml:", "colour", "max_age", "stays in force"} {
		if a.status != http.StatusBadRequest || !strings.Contains(a.body, want) {
			t.Errorf("reload: status %d, no %q in:\n%s", a.status, want, a.body)
		}
	}
	refused("a request")
	if body := d.get(t, "/").body; !strings.Contains(body, "colour") {
		t.Errorf("the page does not show why:\n%s", body)
	}
	// What the program was started with cannot change.
	replace(t, d.file, strings.Replace(good, `"127.0.0.1:0"`, `"127.0.0.1:1"`, 1))
	if a := d.reload(t); a.status != http.StatusBadRequest || !strings.Contains(a.body, "listen") {
		t.Errorf("another address: status %d, %s", a.status, a.body)
	}
	refused("another address")
	// No file at all.
	if err := os.Remove(d.file); err != nil {
		t.Fatal(err)
	}
	if a := d.reload(t); a.status != http.StatusBadRequest {
		t.Errorf("no file: status %d, %s", a.status, a.body)
	}
	refused("no file")

	// A good one comes into force whole: digest, accounts, page.
	var kept []string
	for line := range strings.Lines(good) {
		if !strings.Contains(line, victim) {
			kept = append(kept, line)
		}
	}
	replace(t, d.file, strings.Join(kept, ""))
	all = d.shows(t, "the good configuration is in force", func(s series) bool {
		return s.one("config_reload_success") == 1 && digest(s) != before && s.one("accounts", `state="compliant"`) == 5
	})
	if all.one("accounts_expected") != 5 || len(all.where("account_state", ofVictim)) != 0 {
		t.Errorf("the account that was taken out is still there: %v", all.where("account_state"))
	}
	// The same bytes again are the same configuration again.
	replace(t, d.file, good)
	d.shows(t, "the first configuration is in force again", func(s series) bool {
		return s.one("config_reload_success") == 1 && digest(s) == before && s.one("accounts", `state="compliant"`) == 6
	})
	// What comes and goes leaves what stays.
	replace(t, d.file, bad)
	replace(t, d.file, good)
	if a := d.reload(t); a.status != http.StatusOK {
		t.Errorf("reload: status %d, %s", a.status, a.body)
	}
	all = d.settled(t, "compliant")
	if digest(all) != before || all.one("config_reload_success") != 1 {
		t.Errorf("after a short visit: %s", digest(all))
	}
	d.interrupt(t)
}

// A reload in the middle of a run waits for its end: the run is finished, and counts.
func TestAReloadWaitsForTheRun(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, cloud.looped())
	all := d.settled(t, "compliant")
	d.always(t, neverUnknown)
	before := digest(all)
	midRun(t, d, cloud, 2*time.Second)
	run := d.scrape(t).one("run_last_start_timestamp_seconds")
	replace(t, d.file, "# changed\n"+cloud.looped())
	if a := d.reload(t); a.status != http.StatusOK {
		t.Errorf("reload: status %d, %s", a.status, a.body)
	}
	// On a busy machine the next run may be under way already.
	if now := d.scrape(t); now.running() && now.one("run_last_start_timestamp_seconds") == run && digest(now) != before {
		t.Error("it is in force before the run has ended")
	}
	cloud.latency(t, 0)
	d.shows(t, "it is in force after the run", func(s series) bool { return digest(s) != before })
	all = d.settled(t, "compliant")
	if all.runs("failed") != 0 || all.runs("incomplete") != 0 {
		t.Errorf("a run came to nothing: %v", all.where("runs_total"))
	}
}

// What the configuration names belongs to it: baselines, and the files of a key.
func TestFilesThatTheConfigurationNamesAreWatched(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	dir := t.TempDir()
	source := launch(t, dir, nil, []string{"baseline", "show", "coc", "-o", "yaml"})
	if code := source.wait(t); code != exitOK {
		t.Fatal(source.err.String())
	}
	access := strings.TrimPrefix(cloud.key[0], accessKeyVariable+"=")
	const wrong = "not-the-secret-at-all-0123456789"
	for name, text := range map[string]string{"own.yaml": source.out.String(), "ak": access + "\n", "sk": wrong + "\n"} {
		replace(t, filepath.Join(dir, name), text)
	}
	config := cloud.looped()
	for old, text := range map[string]string{
		"baselines: [coc]":     "baselines: [own.yaml]",
		"{source: environment": "{source: file, ak_file: ak, sk_file: sk",
		"ak_env: HUAWEICLOUD_SDK_AK, sk_env: HUAWEICLOUD_SDK_SK": "ak_file: ak, sk_file: sk",
		"@every 1s": "@hourly", "max_age: 15m": "max_age: 2h", // one run, and one for each reload: wrong keys are locked
	} {
		config = strings.Replace(config, old, text, 1)
	}
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(t, file, config)
	d := cloud.serveFile(t, dir, file, nil)
	d.always(t, nil)
	all := d.shows(t, "a wrong key leaves all unknown", func(s series) bool {
		return s.runs("incomplete") == 1 && s.one("accounts", `state="unknown"`) == 6
	})
	if len(all.where("policy_missing")) > 0 {
		t.Errorf("nothing was read, but %v", all.where("policy_missing"))
	}
	replace(t, filepath.Join(dir, "sk"), cloud.secret+"\n")
	all = d.settled(t, "compliant")

	baselines := func(s series) string { return fmt.Sprint(s.where("baseline_info")) }
	before := baselines(all)
	replace(t, filepath.Join(dir, "own.yaml"), "# ours\n"+source.out.String())
	all = d.shows(t, "the changed baseline is in force", func(s series) bool { return baselines(s) != before })
	if len(all.where("baseline_info")) != 1 {
		t.Errorf("baselines in force: %v", all.where("baseline_info"))
	}
	before = baselines(all)
	replace(t, filepath.Join(dir, "own.yaml"), "colour: red\n")
	d.shows(t, "a bad baseline is refused", func(s series) bool {
		return s.one("config_reload_success") == 0 && baselines(s) == before
	})
	replace(t, filepath.Join(dir, "own.yaml"), "# ours\n"+source.out.String())
	d.shows(t, "it is good again", func(s series) bool { return s.one("config_reload_success") == 1 && baselines(s) == before })
	// A secret that others can read is refused, and said without being shown.
	if err := os.Chmod(filepath.Join(dir, "sk"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := d.reload(t); a.status != http.StatusBadRequest || !strings.Contains(a.body, "chmod") {
		t.Errorf("a secret for all to read: status %d, %s", a.status, a.body)
	}
	if strings.Contains(d.err.String(), wrong) {
		t.Error("the log shows a key")
	}
}

// Kubernetes replaces the link to a folder of files, and no file in the folder that is watched.
func TestAFolderThatIsSwappedIsNoticed(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	dir := t.TempDir()
	link := func(to, at string) {
		t.Helper()
		if err := errors.Join(os.Symlink(to, filepath.Join(dir, "aside")), os.Rename(filepath.Join(dir, "aside"), filepath.Join(dir, at))); err != nil {
			t.Fatal(err)
		}
	}
	version := func(name, text string) {
		t.Helper()
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(dir, name, "agencyaudit.yaml"), text)
	}
	version("..1", cloud.looped())
	link("..1", "..data")
	link(filepath.Join("..data", "agencyaudit.yaml"), "agencyaudit.yaml")
	d := cloud.serveFile(t, dir, filepath.Join(dir, "agencyaudit.yaml"), cloud.key)
	before := digest(d.settled(t, "compliant"))
	for i, name := range []string{"..2", "..3"} {
		version(name, strings.Repeat("# changed\n", i+1)+cloud.looped())
		link(name, "..data")
		was := before
		before = digest(d.shows(t, "the new folder is in force", func(s series) bool { return digest(s) != was }))
	}
}

// The hash of the password below, made by bcrypt at its lowest cost.
const (
	password     = "open sesame"
	passwordHash = "$2a$04$4XiiQQ5xYk1Skq7CVsQm6eJ2Rxq.vojoiFRGiMtW65RrimuecJO.."
)

// certificate makes one for 127.0.0.1 and writes it and its key to files of a folder.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, data []byte) {
		replace(t, filepath.Join(dir, name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data})))
	}
	write("tls.crt", "CERTIFICATE", der)
	write("tls.key", "PRIVATE KEY", private)
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

// Whoever does not say the password learns nothing, not even over TLS.
func TestPasswordsAndCertificates(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	dir := t.TempDir()
	pool := certificate(t, dir)
	replace(t, filepath.Join(dir, "web.yaml"), fmt.Sprintf(
		"tls_server_config: {cert_file: tls.crt, key_file: tls.key}\nbasic_auth_users: {prometheus: %q}\n", passwordHash))
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(t, file, strings.Replace(cloud.looped(), `"127.0.0.1:0"`, `"127.0.0.1:0", web_config: web.yaml`, 1))
	d := cloud.serveFile(t, dir, file, cloud.key)
	if !strings.HasPrefix(d.url, "https://") {
		t.Fatalf("it serves at %s", d.url)
	}
	if a, err := d.ask(t.Context(), http.MethodGet, "/metrics", nil); err == nil {
		t.Errorf("a certificate of nobody was believed: %d", a.status)
	}
	d.client.Transport = &http.Transport{
		DisableCompression: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
	}
	for _, path := range []string{"/", "/metrics", "/-/healthy", "/-/ready", "/nothing"} {
		if a := d.get(t, path); a.status != http.StatusUnauthorized || strings.Contains(a.body, victim) {
			t.Errorf("%s without a password: status %d, %s", path, a.status, a.body)
		}
	}
	if a := d.reload(t); a.status != http.StatusUnauthorized {
		t.Errorf("a reload without a password: status %d", a.status)
	}
	as := func(user, pass string) func(r *http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, pass) }
	}
	for _, who := range [][2]string{{"prometheus", "wrong"}, {"somebody", password}, {"", ""}} {
		if a := d.send(t, http.MethodGet, "/metrics", as(who[0], who[1])); a.status != http.StatusUnauthorized {
			t.Errorf("%q: status %d", who, a.status)
		}
	}
	a := d.send(t, http.MethodGet, "/metrics", as("prometheus", password))
	if all, err := parseExposition(a.body); a.status != http.StatusOK || err != nil || all.consistent() != nil {
		t.Errorf("with the password: status %d, %v", a.status, err)
	}
	if a := d.send(t, http.MethodGet, "/", as("prometheus", password)); a.status != http.StatusOK {
		t.Errorf("the page with the password: status %d", a.status)
	}
	d.interrupt(t)
	if said := d.err.String(); strings.Contains(said, password) || strings.Contains(said, passwordHash) {
		t.Error("the log shows a password")
	}
}

// Whom the server answers, and what it does not have.
func TestWhatIsNotServed(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	// The path of a socket may have about a hundred bytes, which the folder of a test can exceed.
	sockets, err := os.MkdirTemp("", "s") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(sockets) })
	socket := filepath.Join(sockets, "p")
	d := cloud.serve(t, strings.Replace(cloud.looped(), `"127.0.0.1:0"`, fmt.Sprintf(`"127.0.0.1:0", pprof_socket: %q`, socket), 1))
	d.settled(t, "compliant")
	for _, path := range []string{"/nothing", "/debug/pprof/", "/debug/pprof/heap", "/debug/vars", "/metrics/", "/-/quit", "/accounts/x/y"} {
		if a := d.get(t, path); a.status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, a.status)
		}
	}
	host := func(name string) func(r *http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, want := range map[string]int{"localhost": 200, "127.0.0.1:1": 200, "[::1]": 200, "evil.example": 421, "10.0.0.1": 421} {
		for _, path := range []string{"/", "/metrics"} {
			if a := d.send(t, http.MethodGet, path, host(name)); a.status != want || (want != 200 && strings.Contains(a.body, victim)) {
				t.Errorf("%s as %s: status %d, want %d", path, name, a.status, want)
			}
		}
	}
	digests := digest(d.scrape(t))
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://evil.example"}} {
		a := d.send(t, http.MethodPost, "/-/reload", func(r *http.Request) { r.Header.Set(header[0], header[1]) })
		if a.status != http.StatusForbidden {
			t.Errorf("a reload of another site's page (%s): status %d, %s", header, a.status, a.body)
		}
	}
	if a := d.get(t, "/-/reload"); a.status != http.StatusMethodNotAllowed {
		t.Errorf("GET /-/reload: status %d", a.status)
	}
	if got := digest(d.scrape(t)); got != digests || strings.Contains(d.err.String(), "was reloaded") {
		t.Errorf("something was reloaded: %s", got)
	}

	info, err := os.Lstat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("the socket for profiles: %v %v", info, err)
	}
	inside := &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/debug/pprof/goroutine?debug=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := inside.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var profile bytes.Buffer
	if _, err := profile.ReadFrom(resp.Body); err != nil || !strings.Contains(profile.String(), "goroutine profile") {
		t.Errorf("the profile: %v\n%s", err, profile.String())
	}
	d.interrupt(t)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is left behind")
	}
}

// An account that cannot be read any more keeps its bad news and loses its good news, until it can be read again.
func TestAnUnreadableAccountKeepsItsOnesAndLosesItsZeros(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, cloud.looped())
	d.always(t, nil)
	d.settled(t, "compliant")
	cloud.drift(t, `{"kind": "revoke", %s}`, lost)
	all := d.shows(t, "the drift shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 1 })
	read := all.one("account_last_complete_read_timestamp_seconds", ofVictim)

	cloud.drift(t, `{"kind": "suspend", "account": %q}`, victim)
	all = d.shows(t, "the account is unknown", func(s series) bool { return s.one("account_unknown", ofVictim) == 1 })
	if v := all.where("policy_missing", ofVictim); len(v) != 1 || v.count(1) != 1 || all.one("policy_missing", ofVictim, ofLost) != 1 {
		t.Errorf("while unknown: %v", v)
	}
	if all.one("account_state", ofVictim, `state="unknown"`) != 1 || all.one("accounts", `state="compliant"`) != 5 {
		t.Errorf("states: %v", all.where("accounts"))
	}
	if at := all.one("account_last_complete_read_timestamp_seconds", ofVictim); at < read {
		t.Errorf("read at %v, before that at %v", at, read)
	}
	within(t, "the page says what was known before", func() string {
		body := d.get(t, "/").body
		if strings.Contains(body, victim) && strings.Contains(body, "before, ") && strings.Contains(body, "DCS UserAccess") {
			return ""
		}
		return body
	})
	// A repair that nobody can see is none.
	cloud.drift(t, `{"kind": "grant", %s}`, lost)
	runs := d.scrape(t).runs("incomplete")
	all = d.shows(t, "two more runs", func(s series) bool { return s.runs("incomplete") >= runs+2 })
	if all.one("policy_missing", ofVictim, ofLost) != 1 {
		t.Errorf("the one went unseen: %v", all.where("policy_missing", ofVictim))
	}
	cloud.drift(t, `{"kind": "resume", "account": %q}`, victim)
	all = d.settled(t, "compliant")
	if v := all.where("policy_missing", ofVictim); len(v) != 4 || v.count(0) != 4 {
		t.Errorf("read again: %v", v)
	}
	cloud.untouched(t)
}

// Without a cloud nothing is known, and no zero remains.
func TestWithoutTheCloudEveryAccountIsUnknown(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, cloud.looped())
	d.always(t, nil)
	d.settled(t, "compliant")
	cloud.signal(t, syscall.SIGKILL)
	cloud.wait(t)
	all := d.settled(t, "unknown")
	if v := all.where("policy_missing"); len(v) != 0 || len(all.where("account_unknown")) != 6 {
		t.Errorf("without a cloud: %v %v", v, all.where("account_unknown"))
	}
	if status := d.get(t, "/-/healthy").status; status != http.StatusOK {
		t.Errorf("the program is no less healthy for it: status %d", status)
	}
	d.interrupt(t)
}

// A process that was stopped and goes on, like a laptop that was shut, does not pass old evidence off as new, and makes its
// runs again.
func TestAStoppedProcessGoesOnAndShowsNoOldEvidence(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	d := cloud.serve(t, strings.NewReplacer(
		"max_age: 15m", "max_age: 6s", "{run_timeout: 1m}", "{run_timeout: 5s, account_timeout: 5s, request_timeout: 5s}",
	).Replace(cloud.looped()))
	all := d.settled(t, "compliant")
	d.signal(t, syscall.SIGSTOP)
	stopped := time.Now()
	cloud.latency(t, time.Hour)
	within(t, "its evidence is too old", func() string {
		if time.Since(stopped) < 7*time.Second {
			return "not yet"
		}
		return ""
	})
	runs := all.runs("complete") + all.runs("incomplete")
	d.signal(t, syscall.SIGCONT)
	all = d.scrape(t) // the very first one
	if all.one("accounts", `state="unknown"`) != 6 || len(all.where("policy_missing")) > 0 {
		t.Errorf("the first scrape shows old evidence: %v %v", all.where("accounts"), all.where("policy_missing"))
	}
	cloud.latency(t, 0)
	d.settled(t, "compliant")
	d.shows(t, "runs go on", func(s series) bool { return s.runs("complete")+s.runs("incomplete") >= runs+3 })
	d.interrupt(t)
}

// An address that is taken is said in one line that everybody understands.
func TestAnAddressThatIsTaken(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cloud := startSimulator(t, steadySix...)
	dir := t.TempDir()
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(t, file, strings.Replace(cloud.looped(), "127.0.0.1:0", l.Addr().String(), 1))
	p := launch(t, dir, cloud.key, []string{"run", "--config", file})
	code := p.wait(t)
	said := strings.TrimSpace(p.err.String())
	if code != exitPartial || strings.Contains(said, "\n") || !strings.Contains(said, l.Addr().String()) || !strings.Contains(said, "in use") {
		t.Errorf("exit code %d, stderr:\n%s", code, said)
	}
}

// `audit -o prom` and the daemon say the same of the same cloud, in which there is everything.
func TestAnAuditWritesWhatTheDaemonServes(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	d := cloud.serve(t, cloud.looped())
	d.always(t, nil)
	all := d.shows(t, "a run is committed", func(s series) bool { return s.runs("complete")+s.runs("incomplete") > 0 })
	file := filepath.Join(d.dir, "metrics.prom")
	p := launch(t, d.dir, cloud.key, []string{"audit", "--config", d.file, "-o", "prom", "--out", file, "--log-level", "debug"})
	if code := p.wait(t); code != exitPartial {
		t.Errorf("exit code %d, want %d: %s", code, exitPartial, last(p.err.String(), 500))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if said := string(text) + p.out.String() + p.err.String(); strings.Contains(said, cloud.secret) {
		t.Error("the secret key is shown")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("the file: %v %v", info, err)
	}
	written, err := parseExposition(string(text))
	if err == nil {
		err = written.consistent()
	}
	if err != nil {
		t.Fatal(err)
	}
	families := []string{
		"accounts", "accounts_expected", "account_state", "account_unknown", "policy_missing", "policy_excess", "policy_excess_dropped",
		"agency_trust_mismatch", "baseline_policy_unresolvable", "baseline_info", "run_complete",
	}
	for _, name := range families {
		served, audited := all.where(name), written.where(name)
		if len(served) == 0 {
			t.Errorf("the daemon shows no %s", name)
		}
		for key, v := range served {
			if got, ok := audited[key]; !ok || got != v {
				t.Errorf("the daemon says %v, the audit %v (%v): %s", v, got, ok, key)
			}
		}
		if len(audited) != len(served) {
			t.Errorf("%s: the daemon has %d series, the audit %d", name, len(served), len(audited))
		}
	}
	cloud.untouched(t)
}

// An audit that is interrupted knows nothing of the accounts that it did not reach, and ends no alert about them.
func TestAnAuditThatIsInterruptedLeavesTheOldMetrics(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, steadySix...)
	cloud.drift(t, `{"kind": "revoke", %s}`, lost)
	dir := t.TempDir()
	config, file := filepath.Join(dir, "agencyaudit.yaml"), filepath.Join(dir, "metrics.prom")
	replace(t, config, cloud.looped())
	audit := []string{"audit", "--config", config, "-o", "prom", "--log-level", "info"}
	if code := launch(t, dir, cloud.key, append(audit, "--out", file)).wait(t); code != exitDrift {
		t.Fatalf("exit code %d, want %d", code, exitDrift)
	}
	before, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(before), "agencyaudit_policy_missing") {
		t.Fatalf("%v\n%s", err, before)
	}
	cloud.latency(t, 2*time.Second) // for each of many answers
	for _, out := range [][]string{{"--out", file}, nil} {
		p := launch(t, dir, cloud.key, append(audit, out...))
		within(t, "the audit reads", func() string {
			if !strings.Contains(p.err.String(), `"msg":"run started"`) {
				return "not yet: " + p.err.String()
			}
			return ""
		})
		p.signal(t, syscall.SIGTERM)
		if code := p.wait(t); code != exitPartial || p.out.String() != "" || !strings.Contains(p.err.String(), "interrupted") {
			t.Errorf("%q: exit code %d, want %d; output %q, stderr:\n%s", out, code, exitPartial, p.out.String(), p.err.String())
		}
	}
	after, err := os.ReadFile(file)
	if err != nil || string(after) != string(before) {
		t.Errorf("%v; the file holds\n%s", err, after)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 2 {
		t.Errorf("something is left behind: %v %v", names, err)
	}
}

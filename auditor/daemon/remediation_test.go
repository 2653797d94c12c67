package daemon

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

// person is a key of its own for each number.
func person(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicPEM(t testing.TB, n byte) string { return pkix(t, person(n).Public()) }

func pkix(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func privatePEM(t testing.TB) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(person(1))
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func ecdsaPEM(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return pkix(t, key.Public())
}

const repairing = minimal + `state_dir: state
remediation:
  mode: MODE
  credentials: {source: environment, account_id: d00000000000000000000000000000ee, ak_env: REPAIR_AK, sk_env: REPAIR_SK}
  missing: {enabled: true, via: iam, agency: AgencyAuditGrant}
  excess: {enabled: true, via: sts, agency: AgencyAuditRevoke, external_id: sesame, policies: [OBS Foo, 0123abcd], grace: 2h}
  windows: [{cron: "0 9 * * 1-5", for: 4h}]
  approval: {people: {alice: alice.pem, b.o-b@example_1: bob.pem}}
`

func repairConfig(t *testing.T, mode string) *Config {
	t.Helper()
	cfg, err := parse(t, strings.Replace(repairing, "MODE", mode, 1))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestRepairIsOffUnlessConfigured(t *testing.T) {
	cfg, err := parse(t, minimal+"state_dir: state\n")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.RepairMode() != remedy.ModeOff || cfg.RepairMode().Acts() || cfg.Repairs() != (rules.Repairs{}) || len(cfg.RepairWindows())+len(cfg.Approvers()) > 0 ||
		!cfg.writer.Keys.IsZero() {
		t.Errorf("%+v", cfg.Remediation)
	}
	noWriters(t, cfg)
	r := cfg.Remediation
	if r.Limits != (RepairLimitsConfig{5, 1, 5, 20}) || r.Settle != 30*time.Minute || r.CoolDown != time.Hour || r.Excess.Grace != 24*time.Hour ||
		r.Approval.Expires != 24*time.Hour || cfg.FreezeFile() != filepath.Join("etc", "state", "FREEZE") {
		t.Errorf("%+v, %s", r, cfg.FreezeFile())
	}
	if cfg, err = parse(t, minimal); err != nil || cfg.FreezeFile() != "" {
		t.Errorf("%v, %v", cfg.FreezeFile(), err)
	}
	if cfg, err = parse(t, minimal+"remediation: {freeze_file: stop}\n"); err != nil || cfg.FreezeFile() != filepath.Join("etc", "stop") {
		t.Errorf("%v, %v", cfg.FreezeFile(), err)
	}
}

func noWriters(t *testing.T, cfg *Config) {
	t.Helper()
	if w, ok := cfg.GrantWriter(); ok || !reflect.DeepEqual(w, huawei.Config{}) {
		t.Errorf("something may grant: %+v", w)
	}
	if w, ok := cfg.RevokeWriter(); ok || !reflect.DeepEqual(w, huawei.Config{}) {
		t.Errorf("something may revoke: %+v", w)
	}
}

// TestNothingCanWriteInOffAndPlan, however complete the rest of the section is: not even the key is read.
func TestNothingCanWriteInOffAndPlan(t *testing.T) {
	for _, mode := range []string{`"off"`, "plan"} {
		cfg := repairConfig(t, mode)
		noWriters(t, cfg)
		if !cfg.writer.Keys.IsZero() {
			t.Errorf("%s: the key was read", mode)
		}
		may := cfg.Repairs()
		if mode == "plan" != (may.Grant && may.Revoke != nil) {
			t.Errorf("%s: %+v", mode, may)
		}
		// Nor is one missed.
		if _, err := parse(t, strings.NewReplacer("MODE", mode, "REPAIR_AK", "NOBODY_AK").Replace(repairing)); err != nil {
			t.Error(err)
		}
	}
	if _, err := parse(t, strings.NewReplacer("MODE", "auto", "REPAIR_AK", "NOBODY_AK").Replace(repairing)); err == nil ||
		!strings.Contains(err.Error(), `remediation.credentials.ak_env: the environment variable "NOBODY_AK" is not set`) {
		t.Error(err)
	}
}

func TestWriters(t *testing.T) {
	for _, mode := range []string{"approve", "auto"} {
		cfg := repairConfig(t, mode)
		may := cfg.Repairs()
		if !may.Grant || !reflect.DeepEqual(may.Revoke, &rules.Revocation{Policies: []string{"OBS Foo", "0123abcd"}, Grace: 2 * time.Hour}) {
			t.Errorf("%+v", may)
		}
		if got := cfg.RepairWindows(); !reflect.DeepEqual(got, []schedule.Window{{Cron: "0 9 * * 1-5", For: 4 * time.Hour}}) {
			t.Errorf("%+v", got)
		}
		people := cfg.Approvers()
		if len(people) != 2 || !people["alice"].Equal(person(1).Public()) || !people["b.o-b@example_1"].Equal(person(2).Public()) {
			t.Errorf("%v", people)
		}
		grant, may1 := cfg.GrantWriter()
		revoke, may2 := cfg.RevokeWriter()
		if !may1 || !may2 {
			t.Fatal("there is no writer")
		}
		reader := cfg.Reader()
		for _, c := range []struct {
			w    huawei.Config
			want huawei.Access
			name string
		}{
			{grant, huawei.Access{Agency: "AgencyAuditGrant"}, "agencyaudit-grant"},
			{revoke, huawei.Access{Agency: "AgencyAuditRevoke", Via: huawei.ViaSTS, ExternalID: "sesame"}, "agencyaudit-revoke"},
		} {
			const own = "d00000000000000000000000000000ee"
			if c.w.Members != c.want || !reflect.DeepEqual(c.w.Accounts, map[string]huawei.Access{own: c.want}) || c.w.SessionName != c.name {
				t.Errorf("%+v", c.w)
			}
			if c.w.Main.AccountID != own || c.w.Main.Keys.AccessKey != huawei.NewSecret("AKREPAIR"+canary) || c.w.Main.Chain != nil {
				t.Errorf("%+v", c.w.Main)
			}
			if c.w.Endpoints != reader.Endpoints || c.w.Rate != reader.Rate || c.w.RequestTimeout != reader.RequestTimeout || c.w.MaxBody != reader.MaxBody ||
				c.w.AccountRequests != reader.AccountRequests || c.w.Region != reader.Region {
				t.Errorf("%+v", c.w)
			}
			cloud, err := huawei.New(c.w, nil)
			if err != nil {
				t.Fatalf("the writer is not accepted: %v", err)
			}
			cloud.Close()
		}
		if len(reader.Accounts) != 1 || !reader.Main.Keys.IsZero() {
			t.Error("the reader has something of the writers")
		}
		for _, form := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(form, cfg) + fmt.Sprintf(form, grant); strings.Contains(text, canary) {
				t.Errorf("%s shows a secret", form)
			}
		}
	}
}

// TestOneWriterAlone: granting does not bring revoking with it, nor the other way round.
func TestOneWriterAlone(t *testing.T) {
	only := func(off string) *Config {
		cfg, err := parse(t, strings.NewReplacer("MODE", "auto", off+": {enabled: true", off+": {enabled: false").Replace(repairing))
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	cfg := only("excess")
	if _, ok := cfg.RevokeWriter(); ok || cfg.Repairs().Revoke != nil || !cfg.Repairs().Grant {
		t.Errorf("%+v", cfg.Repairs())
	}
	cfg = only("missing")
	if _, ok := cfg.GrantWriter(); ok || cfg.Repairs().Revoke == nil || cfg.Repairs().Grant {
		t.Errorf("%+v", cfg.Repairs())
	}
}

// TestAFileOfAccountsMayNotEnterByWhatChanges: a file of accounts is read anew at each run, and is held to the same.
func TestAFileOfAccountsMayNotEnterByWhatChanges(t *testing.T) {
	const text = `accounts: {file: accounts.yaml}
credentials: {source: environment, account_id: d0000000000000000000000000000009}
cloud: {region: ap-southeast-3}
state_dir: state
remediation:
  mode: auto
  credentials: {source: environment, account_id: d00000000000000000000000000000ee, ak_env: REPAIR_AK, sk_env: REPAIR_SK}
  missing: {enabled: true, via: iam, agency: AgencyAuditGrant}
`
	dir := t.TempDir()
	write(t, filepath.Join(dir, "accounts.yaml"), "accounts:\n"+
		"  - {name: one, id: d0000000000000000000000000000001, access: {via: keys, ak_env: REPAIR_AK, sk_env: REPAIR_SK}}\n"+
		"  - {name: two, id: d0000000000000000000000000000002, access: {via: iam, agency: agencyauditgrant}}\n", 0o600)
	cfg, err := ParseConfig(filepath.Join(dir, "agencyaudit.yaml"), []byte(text), openFile, lookup(environment))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(cfg.AccountsFileFault())
	for _, want := range []string{
		"accounts[0].access: uses the key of remediation.credentials", "accounts[1].access.agency: agencyauditgrant is the agency of remediation.missing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}

// TestMetricsKnowEveryOutcomeAndMode: the metrics cannot ask the package of repair for its words.
func TestMetricsKnowEveryOutcomeAndMode(t *testing.T) {
	m, err := metrics.New(metrics.Options{Version: "v1"})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, o := range remedy.Outcomes() {
		for _, a := range rules.Actions() {
			if want := fmt.Sprintf("agencyaudit_remediation_steps_total{action=%q,result=%q} 0\n", a, o); !strings.Contains(w.Body.String(), want) {
				t.Errorf("no %s", want)
			}
		}
	}
	if got, want := strings.Count(w.Body.String(), "\nagencyaudit_remediation_steps_total{"), len(remedy.Outcomes())*len(rules.Actions()); got != want {
		t.Errorf("%d series of steps, want %d", got, want)
	}
	for _, mode := range remedy.Modes() {
		if want := fmt.Sprintf("agencyaudit_remediation_mode{mode=%q} ", mode); !strings.Contains(w.Body.String(), want) {
			t.Errorf("no %s", want)
		}
	}
	if got := strings.Count(w.Body.String(), "\nagencyaudit_remediation_mode{"); got != len(remedy.Modes()) {
		t.Errorf("%d series of modes", got)
	}
}

// TestReloadOfRepair: a change takes effect like any other, and while a baseline requires what is never granted the old one goes on.
func TestReloadOfRepair(t *testing.T) {
	l := startLoop(t, hourly, "exact-baseline")
	l.gate.Unlock()
	l.next()
	good := l.d.current()
	if good.config.RepairMode() != remedy.ModeOff {
		t.Errorf("mode %s", good.config.RepairMode())
	}
	own := strings.Replace(string(baseline.Source("coc")), "policy: DCS UserAccess", "policy: tenant administrator", 1) // as no baseline is refused for by itself
	write(t, filepath.Join(filepath.Dir(l.file), "never.yaml"), own, 0o644)
	const planning = "remediation: {mode: plan, missing: {enabled: true}}\n"
	l.rewrite(l.config(hourly+planning+"baselines: [never.yaml]\n", l.named("exact-baseline")...))
	if code, says := l.get("POST", "/-/reload"); code != http.StatusBadRequest || !strings.Contains(says, "requires tenant administrator") {
		t.Errorf("%d %s", code, says)
	}
	if l.d.current() != good {
		t.Error("another configuration is in force")
	}
	l.has("agencyaudit_config_reload_success 0")
	if why := l.d.over(); !strings.Contains(why, "was refused") {
		t.Errorf("repair goes on by the old one: %q", why) // it may lack the waiver that somebody has just written, or mode: "off"
	}
	l.rewrite(l.config(hourly+planning, l.named("exact-baseline")...))
	if run := l.next(); run.Trigger != "reload" {
		t.Errorf("trigger %q", run.Trigger)
	}
	if why := l.d.over(); why != "" {
		t.Errorf("repair is over: %s", why)
	}
	if cfg := l.d.current().config; cfg.RepairMode() != remedy.ModePlan || !cfg.Repairs().Grant {
		t.Errorf("%+v", cfg.Remediation)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

package daemon

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestWhatWasAgreedIsLoaded: a configuration has its waivers, and its baselines what overlays allow.
func TestWhatWasAgreedIsLoaded(t *testing.T) {
	cfg, err := parse(t, minimal+"waivers: {file: waivers.yaml, warn_before: 3d}\noverlays: [overlay.yaml]\nbaselines: [coc, own.yaml]\n"+
		"credentials: {source: environment, account_id: d0000000000000000000000000000009}\n")
	if err == nil || !strings.Contains(err.Error(), "waivers[1].tags.env: accounts are read without this tag") ||
		!strings.Contains(err.Error(), "waivers[1].ous: accounts are in no organizational unit") {
		t.Errorf("%v, %v", cfg, err)
	}
	organized := strings.Replace(minimal, "accounts:\n", "accounts:\n  organization: {enabled: true, labels: {tags: [env, owner]}, access: {via: iam, agency: R}}\n", 1)
	cfg, err = parse(t, organized+"waivers: {file: waivers.yaml, warn_before: 3d}\noverlays: [overlay.yaml]\nbaselines: [coc, own.yaml]\n"+
		"credentials: {source: environment, account_id: d0000000000000000000000000000009}\n")
	if err != nil {
		t.Fatal(err)
	}
	waivers := cfg.LoadedWaivers()
	if len(waivers) != 2 || waivers[0].ID != "w" || waivers[0].Expires.Sub(waivers[0].WarnAt) != 72*time.Hour {
		t.Errorf("%+v", waivers)
	}
	if got := cfg.WaiversFile(); got != filepath.Join("etc", "waivers.yaml") {
		t.Errorf("the file is %s", got)
	}
	for _, b := range cfg.LoadedBaselines() {
		if (len(b.Allowed) == 1) != (b.Name == "coc") || (len(b.Overlays) == 1) != (b.Name == "coc") {
			t.Errorf("%s allows %+v", b.Name, b.Allowed)
		}
	}
}

// TestAnImpostorIsKnownByItsID: the name under which one goes is in the baseline, and accepts none.
func TestAnImpostorIsKnownByItsID(t *testing.T) {
	cfg, err := parse(t, minimal)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ rules, policies, want string }{
		{"policy/impostor", "DCS UserAccess", "w.yaml:3:39: waivers[0].rules[0]: policy/impostor is about custom policies, which are known by their ids alone, so that with names"},
		{"grant/excess, policy/impostor", "DCS UserAccess, IAM ReadOnlyAccess", "waivers[0].rules[1]: policy/impostor is about"},
		{"policy/impostor", "DCS UserAccess, c0000000000000000000000000000001", ""},
		{"grant/excess", "DCS UserAccess", ""},
	} {
		_, err := cfg.ParseWaivers("w.yaml", []byte("version: 1\nwaivers:\n  - {id: w, accounts: [prod], rules: ["+c.rules+"], policies: ["+c.policies+
			"], added: 2026-11-01, expires: 2026-11-02, owner: o, reason: r}\n"))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s of %s: %v, want %q", c.rules, c.policies, err, c.want)
		}
	}
}

// TestAWaiverComesIntoForceAtOnce: a reload accepts what is known to be wrong before another run has read it, and takes that back.
func TestAWaiverComesIntoForceAtOnce(t *testing.T) {
	l := startLoop(t, hourly, beta)
	l.gate.Unlock()
	l.next()
	id := l.named(beta)[0].ID
	missing := `{account="` + beta + `",account_id="` + id + `",agency="ServiceAgencyForCOC"`
	state := func(s rules.State) string {
		return "agencyaudit_account_state" + missing + `,state="` + string(s) + `"} 1`
	}
	finding := missing + `,rule="grant/missing",policy="COCServiceAgencyDefaultPolicy",scope="all_resources"} 1`
	l.has(state(rules.StateDrifted))
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	file := filepath.Join(filepath.Dir(l.file), "waivers.yaml")
	waiver := func(expires string) string {
		return "version: 1\nwaivers:\n  - {id: beta, accounts: [beta-*], rules: [grant/missing], added: " + day(-2) + ", expires: " + expires +
			", owner: o, reason: r}\n"
	}
	write(t, file, waiver(day(30)), 0o600)
	l.gate.Lock() // no run is made meanwhile
	l.rewrite(l.config(hourly+"waivers: {file: waivers.yaml}\n", l.named(beta)...))
	l.has(state(rules.StateWaived))
	l.has("agencyaudit_finding_waived" + finding)
	l.has(`agencyaudit_waiver_unused{waiver="beta"} 0`)
	l.has("agencyaudit_policy_missing" + missing + `,policy="COCServiceAgencyDefaultPolicy",scope="all_resources"} 1`)
	l.gate.Unlock()
	if run := l.next(); run.States[rules.StateWaived] != 1 || run.Drifted() || !run.Whole() {
		t.Errorf("%v", run.States)
	}
	write(t, file, waiver(day(-1)), 0o600) // the file alone changes
	l.has(state(rules.StateDrifted))
	if run := l.next(); !run.Drifted() {
		t.Errorf("%v", run.States)
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
}

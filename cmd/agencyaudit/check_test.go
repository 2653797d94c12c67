package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
)

// TestCheckNamesWhatItFound: how accounts are entered and by whose key, and what was agreed on.
func TestCheckNamesWhatItFound(t *testing.T) {
	const own = "d0000000000000000000000000000001"
	const account = "{name: a%, id: d000000000000000000000000000000%, access: {via: sts, agency: Reader"
	static := "accounts:\n  static:\n"
	for n, end := range []string{"}}", "}}", ", external_id: sesame}}"} {
		static += "    - " + strings.ReplaceAll(account, "%", string(rune('5'+n))) + end + "\n"
	}
	waiver := func(id, added, expires string) string {
		return "  - {id: " + id + ", accounts: ['*'], rules: [grant/excess], added: " + added + ", expires: " + expires + ", owner: me, reason: r}\n"
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ini":   "[audit]\nak = SIMKEY0000000001\nsk = made-up-secret-of-a-profile\n",
		"key":   "made-up-secret",
		"w.yml": "version: 1\nwaivers:\n" + waiver("late", "2026-03-01", "2026-05-20") + waiver("soon", "2026-03-01", "2026-05-03") + waiver("old", "2026-01-01", "2026-02-01"),
		"o.yml": "version: 1\nbaseline: coc\nallow:\n  - {accounts: [a5], policy: ECS FullAccess, scope: project, owner: o, reason: r}\n",
		"p.yml": "version: 1\nwaivers:\n" + waiver("old", "2026-01-01", "2026-02-01"),
	} {
		replace(t, filepath.Join(dir, name), text)
	}
	cloud := "cloud: {region: ap-southeast-3}\n"
	for name, c := range map[string]struct {
		config string
		says   []string
		not    string
	}{
		"a profile": {
			"credentials: {source: profile, profile_file: ini, profile: audit, account_id: " + own + "}\nwaivers: {file: w.yml}\noverlays: [o.yml]\n" + static,
			[]string{
				"accounts   3; the agency is required in 0; entered via sts 3 (to trust agencies with an external id 1)\n",
				"own key    of account " + own + ", from the section \"audit\" of the file ", "overlays   1: o.yml\n",
				"waivers    3; ended 1; the next to end is soon of me, at 2026-05-03\n",
			}, "chain",
		},
		"a server with a chain": {
			"credentials: {source: ecs, account_id: " + own + ", chain: {via: sts, account_id: d0000000000000000000000000000002, agency: Main, external_id: sesame}}\n" +
				"waivers: {file: p.yml}\naccounts: {organization: {enabled: true, access: {via: iam, agency: Reader}}}\n",
			[]string{
				"not required; entered by the agency Reader via iam\n", "own key    of account " + own + ", from the metadata service of this server\n",
				"chain      to account d0000000000000000000000000000002 by its agency Main via sts, a trust agency with an external id\n",
				"waivers    1; ended 1\n",
			}, "overlays",
		},
		"files": {
			"credentials: {source: file, ak_file: key, sk_file: key, account_id: " + own + "}\n" +
				"accounts: {organization: {enabled: true, access: {via: sts, agency: Reader, external_id: sesame}}}\n",
			[]string{"own key    of account " + own + ", from files\n", "by the agency Reader via sts, a trust agency with an external id\n"}, "waivers",
		},
		"keys": {
			"accounts: {static: [{name: a, id: " + own + ", access: {via: keys, ak_file: key, sk_file: key}}]}\n",
			[]string{"accounts   1; the agency is required in 0; entered by keys of their own 1\n"}, "own key ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "config.yaml")
			replace(t, file, cloud+c.config)
			cfg, err := daemon.LoadConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			var b bytes.Buffer
			if err := summarize(&b, file, cfg, time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC), report.Options{Width: 300}); err != nil {
				t.Fatal(err)
			}
			for _, want := range c.says {
				if !strings.Contains(b.String(), want) {
					t.Errorf("%q is missing:\n%s", want, b.String())
				}
			}
			if strings.Contains(b.String(), "  "+c.not) {
				t.Errorf("it says %q:\n%s", c.not, b.String())
			}
			if strings.Contains(b.String(), "made-up") || strings.Contains(b.String(), "sesame") {
				t.Errorf("it says more than it should:\n%s", b.String())
			}
		})
	}
}

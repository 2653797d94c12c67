package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// hostileNames are what somebody may call what is his. A cloud's JSON can carry all of them.
var hostileNames = []string{
	"\x1b[2J\x1b]0;owned\a", "\u009b31mred", "line\nbreak level=ERROR msg=forged", "carriage\rreturn", "\x00\x7f\b\b\b",
	"\u202egnol\u2066\u2069", "\u061c\u200e\u200f", "zero\u200bwidth\u2060\ufeff", "\u3164\u115f\uffa0\u2800", "a\u034f\ufe0f\U000e0041\U000e0100",
	"\u2028\u2029\u0085", "e" + strings.Repeat("\u0301", 9), " space at both ends ", "two  spaces", `{}"\`, `a="b",account="c"} 1`, "# HELP x y",
	`","level":"ERROR","x":"`, `=HYPERLINK("http://evil","x")`, "@SUM(1)", "+1", "<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`,
	"{{.Secret}}", "${jndi:ldap://x}", "%s%n%d", "../../etc/passwd", "op_svc_c\u043ec", "IAM ReadOnlyAccess\u200b", "ＩＡＭ ReadOnlyAccess",
	"中文账号", "😀", strings.Repeat("long ", 300), strings.Repeat("x", 2000),
}

// TestHostileNamesFromCloudToOutput audits accounts in which everything that can be called something is called that, and
// looks at every byte that the program says about them.
func TestHostileNamesFromCloudToOutput(t *testing.T) {
	org := simcloud.Bundled()
	i := slices.IndexFunc(org.Accounts, func(a simcloud.Account) bool { return a.Name == "exact-baseline" })
	exact := org.Accounts[i]
	org.Accounts = org.Accounts[:1:1]
	org.Structure, org.Accounts[0].Member, exact.Member = nil, nil, nil
	for n, name := range hostileNames {
		a := exact
		a.ID, a.Name = fmt.Sprintf("d%031x", 0x100+n), fmt.Sprintf("hostile-%d", n)
		if isName := name == strings.TrimSpace(name) && utf8.RuneCountInString(name) <= 64; isName && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
			a.Name = name // what a configuration lets pass
		}
		a.Projects = []simcloud.Project{{Name: name}}
		a.EnterpriseProjects = []simcloud.Project{{Name: name}}
		a.Policies = []simcloud.Policy{{DisplayName: name, Allow: []string{"ecs:*:*"}, Description: name}}
		a.Agencies = slices.Clone(exact.Agencies)
		for j := range a.Agencies {
			if a.Agencies[j].Name != "ServiceAgencyForCOC" {
				continue
			}
			g := &a.Agencies[j]
			g.Description, g.Trust = name, simcloud.Trust{ID: a.ID, Name: name}
			if a.Name != name {
				g.Trust.ID = fmt.Sprintf("e%031x", n)
			}
			g.Grants = append(slices.Clone(g.Grants), simcloud.Grant{Policy: name, Custom: true, Scope: "global"},
				simcloud.Grant{Policy: "ECS FullAccess", Scope: "project", In: name},
				simcloud.Grant{Policy: "ECS FullAccess", Scope: "enterprise_project", In: name})
		}
		org.Accounts = append(org.Accounts, a)
	}
	cloud, server := startCloud(t, org)
	id := mustIdentity(t, cloud.Organization())
	t.Setenv(accessKeyVariable, id.key.Access)
	t.Setenv(secretKeyVariable, id.key.Secret)
	file := filepath.Join(t.TempDir(), "agencyaudit.yaml")
	if err := os.WriteFile(file, configFor(cloud.Organization(), id, server.URL, ""), 0o600); err != nil {
		t.Fatal(err)
	}
	try := func(args ...string) (out, errs string) {
		t.Helper()
		var o, e bytes.Buffer
		if code := run(t.Context(), append(args, "--config", file), console{in: strings.NewReader(""), out: &o, err: &e, lookupEnv: id.lookupEnv}); code != exitDrift {
			t.Fatalf("%q: exit code %d\n%s", args, code, e.String())
		}
		for name, s := range map[string]string{"output": o.String(), "log": e.String()} {
			for line := range strings.Lines(s) {
				line = strings.TrimSuffix(line, "\n")
				if i := strings.IndexFunc(line, rules.Acts); i >= 0 || !utf8.ValidString(line) {
					t.Errorf("%q, %s: a line leaves %q: %q", args, name, line[max(i, 0):], line)
				}
				if name == "log" && slices.Contains(args, "json") && !json.Valid([]byte(line)) || name == "log" && !slices.Contains(args, "json") && !strings.HasPrefix(line, "time=") {
					t.Errorf("%q: a line of the log is no record: %q", args, line)
				}
			}
		}
		return o.String(), e.String()
	}
	log := []string{"--log-level", "debug", "--log-format"}
	table, _ := try(append(log, "text", "audit", "--verbose")...)
	for _, name := range hostileNames {
		start := rules.Escape(name)
		start, _, _ = strings.Cut(start[:min(len(start), 8)], " ")
		if !strings.Contains(table, start) {
			t.Errorf("the table does not show %q, of %q", start, name)
		}
	}
	for n, a := range cloud.Organization().Accounts {
		if n%6 == 1 { // the same words about each: the table has them all
			try(append(log, "json", "explain", a.ID)...)
		}
	}
	try(append(log, "text", "audit", "-o", "prom")...)
	document, _ := try(append(log, "json", "audit", "-o", "json")...)
	var report struct {
		Sweeps []struct {
			Agency struct{ Trust struct{ Name string } }
		}
	}
	if err := json.Unmarshal([]byte(document), &report); err != nil {
		t.Fatal(err)
	}
	for _, name := range hostileNames {
		if !slices.ContainsFunc(report.Sweeps, func(s struct {
			Agency struct{ Trust struct{ Name string } }
		}) bool {
			return s.Agency.Trust.Name == name
		}) {
			t.Errorf("the document does not carry %q as it is", name)
		}
	}
	noWrites(t, cloud)
}

//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
)

var (
	accountsFile  = regexp.MustCompile("(?ms)^`([a-z]+\\.yaml)`:\n\n```yaml\n(.*?)^```$")
	accountsBlock = regexp.MustCompile("(?ms)^```(yaml|sh|text)\n(.*?)^```$")
)

// TestDocsAccounts does what docs/accounts.md says, in order: its rehearsal, by its own files and commands, whose output has the lines
// that the page shows.
func TestDocsAccounts(t *testing.T) {
	t.Parallel()
	page := readFile(t, "../../docs/accounts.md")
	dir := t.TempDir()
	files := map[string]string{}
	for _, m := range accountsFile.FindAllStringSubmatch(page, -1) {
		files[m[1]] = m[2]
	}
	blocks := func(kind string) (all []string) {
		for _, m := range accountsBlock.FindAllStringSubmatch(page, -1) {
			if m[1] == kind {
				all = append(all, strings.TrimSpace(m[2]))
			}
		}
		return all
	}
	shell, shown := blocks("sh"), blocks("text")
	if len(files) != 2 || len(shell) < 2 || len(shown) != 1 {
		t.Fatalf("%d files, %d blocks of commands, %d of output", len(files), len(shell), len(shown))
	}
	replace(t, filepath.Join(dir, "rehearsal.yaml"), files["rehearsal.yaml"])
	start := append(strings.Fields(shell[0])[1:], "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
	cloud := &simulator{process: launch(t, dir, nil, start)}
	within(t, "the simulated cloud serves", func() string {
		if cloud.gone() {
			t.Fatalf("the simulated cloud ended: %s", cloud.err.String())
		}
		if !strings.Contains(cloud.out.String(), "Ctrl-C ends it.") {
			return "not yet: " + cloud.err.String()
		}
		return ""
	})
	cloud.control = controlLine.FindStringSubmatch(cloud.out.String())[1]
	url := cloudLine.FindStringSubmatch(cloud.out.String())[1]
	replace(t, filepath.Join(dir, "audit.yaml"), strings.ReplaceAll(files["audit.yaml"], "http://"+defaultCloudAddress, url))
	var env []string
	said := ""
	codes := map[string]int{"check": exitOK, "doctor": exitPartial, "audit": exitPartial}
	for line := range strings.SplitSeq(shell[1], "\n") {
		command, _, _ := strings.Cut(line, " #")
		if variable, ok := strings.CutPrefix(command, "export "); ok {
			env = append(env, variable)
			continue
		}
		args := strings.Fields(command)[1:]
		p := launch(t, dir, env, args)
		want, known := codes[args[0]]
		if code := p.wait(t); !known || code != want {
			t.Errorf("%s: exit code %d, want %d:\n%s%s", command, code, want, p.out.String(), p.err.String())
		}
		delete(codes, args[0])
		said += p.out.String()
	}
	if len(codes) > 0 {
		t.Errorf("the page does not run %v", codes)
	}
	for line := range strings.SplitSeq(shown[0], "\n") {
		if !strings.Contains("\n"+said, "\n"+line+"\n") {
			t.Errorf("nothing prints %q:\n%s", line, said)
		}
	}
	for _, want := range []string{`(?m)^billing +drifted +critical +excess Tenant Administrator`, `(?m)^sandbox +unknown`, `1 unknown   1 drifted   0 waived   0 not enabled   1 compliant`} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("the audit does not say %s:\n%s", want, said)
		}
	}
	cloud.untouched(t)
}

// TestDocsAccountsConfigurations has every piece of configuration of docs/accounts.md be one that `check` accepts, with what it leaves
// out added.
func TestDocsAccountsConfigurations(t *testing.T) {
	page := accountsFile.ReplaceAllString(readFile(t, "../../docs/accounts.md"), "")
	whole := map[string]string{
		"cloud":       "cloud: {site: intl, region: ap-southeast-3}\n",
		"credentials": "credentials: {source: environment, account_id: \"0123456789abcdef0123456789abcdef\"}\n",
		"accounts":    "accounts: {static: [{name: x, id: \"d0000000000000000000000000000007\", access: {via: iam, agency: AgencyAuditReader}}]}\n",
	}
	env := map[string]string{
		accessKeyVariable: "AKMAIN00", secretKeyVariable: "SKMAIN00", "PARTNER_AK": "PARTNERAK", "PARTNER_SK": "PARTNERSK",
		"HC_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v1/credentials", "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/token",
	}
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	files := os.DirFS(documented(t))
	open := func(path string) (fs.File, error) { return files.Open(filepath.Base(path)) }
	seen := map[string]bool{}
	for i, m := range accountsBlock.FindAllStringSubmatch(page, -1) {
		if m[1] != "yaml" {
			continue
		}
		text := m[2]
		for key, otherwise := range whole {
			if strings.HasPrefix(text, key+":") || strings.Contains(text, "\n"+key+":") {
				seen[key] = true
				continue
			}
			text += otherwise
		}
		if _, err := daemon.ParseConfig("etc/agencyaudit.yaml", []byte(text), open, lookup); err != nil {
			t.Errorf("block %d:\n%s\n%v", i, m[2], err)
		}
	}
	for _, key := range []string{"credentials", "accounts"} {
		if !seen[key] {
			t.Errorf("the page shows no %s", key)
		}
	}
}

// documented is a folder with the files that the page's configurations name.
func documented(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"ak": "AKFILE00", "sk": "SKFILE00", "credentials": "[global]\nak = AKPROFILE\nsk = SKPROFILE\n", "token": "token-of-the-pod",
		"accounts.yaml": "- {name: y, id: d0000000000000000000000000000008, access: {via: iam, agency: AgencyAuditReader}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// program runs the program as a process of its own.
func program(t *testing.T, args ...string) (code int, out, complaints string) {
	t.Helper()
	return programIn(t, nil, args...)
}

// programIn does the same with more of an environment.
func programIn(t *testing.T, env []string, args ...string) (code int, out, complaints string) {
	t.Helper()
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := &exec.Cmd{Path: file, Args: append([]string{"agencyaudit"}, args...), Env: append([]string{"HOME=" + t.TempDir()}, env...), Stdout: &stdout, Stderr: &stderr}
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), stdout.String(), stderr.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, stdout.String(), stderr.String()
}

// Accounts of the configuration and of a file are audited together, each once; a file with a fault takes none of the others
// away, and is told.
func TestAccountsOfAFile(t *testing.T) {
	t.Parallel()
	_, server := startCloud(t, simcloud.Bundled())
	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ids := map[string]string{}
	for _, a := range simcloud.Bundled().Accounts {
		ids[a.Name] = a.ID
	}
	put("ak", "SIMMGMTAUDITOR0001")
	put("sk", "made-up-secret-of-the-simulated-auditor")
	const good, other = "exact-baseline", "exact-and-wider"
	entry := func(name, id string) string {
		return fmt.Sprintf("{name: %s, id: %s, access: {via: iam, agency: AgencyAuditReader}}", name, id)
	}
	config := put("agencyaudit.yaml", fmt.Sprintf(`credentials: {source: file, account_id: d0000000000000000000000000000001, ak_file: ak, sk_file: sk}
cloud: {site: custom, region: ap-southeast-3, endpoints: {iam: %q}}
accounts:
  file: accounts.yaml
  organization: {exclude_accounts: [{account: "trust-*", reason: "of somebody else"}, {account: nobody, reason: "never"}]}
  static: [%s]
`, server.URL, entry("by-hand", ids[good])))
	audit := func(want int, more ...string) (out, complaints string) {
		t.Helper()
		code, out, complaints := program(t, append([]string{"audit", "--config", config, "--log-level", "warn"}, more...)...)
		if code != want {
			t.Fatalf("exit code %d, want %d\n%s%s", code, want, out, complaints)
		}
		return out, complaints
	}

	put("accounts.yaml", "accounts:\n  - "+entry(good, ids[good])+"\n  - "+entry(other, ids[other])+"\n  - "+
		entry("trust-other-id", ids["trust-other-id"])+"\n  - "+entry("twin", ids[other][:31]+"f")+"\n")
	out, _ := audit(2, "--verbose") // there is no such account as the last one
	for _, want := range []string{"of 3 accounts", "by-hand", other, "1 account: 1 left out by the configuration", "of somebody else", "exclude_accounts[1] (nobody) fits no", "Note: "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	audit(0, "--account", other, "--account", ids[good])
	if _, says := audit(3, "--account", "trust-other-id"); !strings.Contains(says, "of somebody else") {
		t.Errorf("%s", says)
	}

	put("accounts.yaml", "accounts:\n  - {name: broken\n")
	out, says := audit(2)
	if !strings.Contains(out, "of 1 account ") || !strings.Contains(out, "Accounts may be missing: the file of accounts") ||
		!strings.Contains(out, "there may be others") || !strings.Contains(says, "accounts may be missing") {
		t.Errorf("%s%s", out, says)
	}
	out, _ = audit(2, "-o", "json")
	var document struct {
		Run struct {
			Complete bool
			Gaps     []struct{ Reason, Detail string } `json:"inventory_gaps"`
		}
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || document.Run.Complete || len(document.Run.Gaps) != 1 {
		t.Errorf("%v: %+v", err, document)
	}
	if out, _ = audit(2, "-o", "prom"); !strings.Contains(out, "agencyaudit_run_complete 0") || !strings.Contains(out, "agencyaudit_accounts_expected 1") {
		t.Errorf("%s", out)
	}
	if _, says := audit(2, "--account", other); !strings.Contains(says, "it may be where nobody could look") {
		t.Errorf("%s", says)
	}
	if code, _, says := program(t, "check", "--config", config); code != 3 || !strings.Contains(says, "accounts.yaml:2") {
		t.Errorf("check: exit code %d\n%s", code, says)
	}
	_ = os.Remove(filepath.Join(dir, "accounts.yaml"))
	if out, _ := audit(2); !strings.Contains(out, "cannot be read") {
		t.Errorf("%s", out)
	}
}

//go:build unix

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// other is a second account in which something is lost.
const (
	other     = "edge-test-000003"
	lostThere = `"account": "` + other + `", "agency": "ServiceAgencyForCOC", "grant": {"policy": "RMS ReadOnlyAccess", "scope": "global"}`
)

// bench is a simulated organization of eight accounts that can be repaired, and a folder with the configuration for it.
type bench struct {
	*simulator
	dir string
}

// repairable makes one, with repair in a mode. more is added to what its configuration says of repair.
func repairable(t *testing.T, mode, more string) *bench {
	t.Helper()
	return repairableOf(t, "8", mode, more)
}

func repairableOf(t *testing.T, accounts, mode, more string) *bench {
	t.Helper()
	b := &bench{startSimulator(t, "--generate", accounts, "--steady", "--repair", mode), t.TempDir()}
	if !strings.Contains(more, "limits:") {
		more += "  limits: {fleet_percent_per_day: 100}\n"
	}
	b.config += more
	b.write(t, b.config)
	return b
}

func (b *bench) write(t *testing.T, config string) {
	t.Helper()
	replace(t, filepath.Join(b.dir, defaultConfig), config)
}

// asks runs a command to its end, in the folder and with the keys, and wants that exit code.
func (b *bench) asks(t *testing.T, code int, args ...string) (out, err string) {
	t.Helper()
	return b.asksWith(t, b.key, code, args...)
}

func (b *bench) asksWith(t *testing.T, env []string, code int, args ...string) (out, err string) {
	t.Helper()
	p := launch(t, b.dir, env, args)
	got := p.wait(t)
	out, err = p.out.String(), p.err.String()
	if got != code {
		t.Fatalf("agencyaudit %s: exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), got, code, out, err)
	}
	for _, secret := range []string{b.secret, repairKey.Secret, "PRIVATE KEY"} {
		if strings.Contains(out+err, secret) {
			t.Errorf("agencyaudit %s shows a secret", strings.Join(args, " "))
		}
	}
	if line, n := longest(out); n > 100 {
		t.Errorf("agencyaudit %s: a line of %d characters: %s", strings.Join(args, " "), n, line)
	}
	return out, err
}

// wrote are the changes of the cloud that a client made, as operation and account.
func (b *bench) wrote(t *testing.T) []string {
	t.Helper()
	var journal []struct{ Operation, Account string }
	if err := json.Unmarshal([]byte(b.do(t, http.MethodGet, "/journal", "")), &journal); err != nil {
		t.Fatal(err)
	}
	all := make([]string, len(journal))
	for i, j := range journal {
		all[i] = j.Operation + " " + j.Account
	}
	return all
}

var runPattern = regexp.MustCompile(`agencyaudit undo ([0-9a-f]+) `)

// wants a text to hold another.
func wants(t *testing.T, text string, held ...string) {
	t.Helper()
	for _, h := range held {
		if !strings.Contains(text, h) {
			t.Errorf("%q is not in:\n%s", h, text)
		}
	}
}

// By hand and without a daemon: what was shown is approved, done once, and taken back.
func TestAPlanIsApprovedAppliedAndUndone(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	b.asks(t, exitOK, "plan")
	b.drift(t, `{"kind": "revoke", %s}`, lost)

	// What it says to go on with is about the same accounts, not about the whole fleet.
	out, _ := b.asks(t, exitDrift, "plan", "--account", victim)
	wants(t, out, "write it to a file first", "agencyaudit plan --account "+victim+" --out plan.json")
	out, _ = b.asks(t, exitDrift, "plan", "--account", victim, "--out", "plan.json", "--as", "alice")
	wants(t, out, "Plan: 1 step in 1 account", "DCS UserAccess", victim, "inject faults", "it fits", "mode approve", "agencyaudit approve plan.json", "agencyaudit apply plan.json")
	if info, err := os.Stat(filepath.Join(b.dir, "plan.json")); err != nil || info.Mode().Perm() != newFileMode {
		t.Errorf("the plan's file: %v %v", info, err)
	}
	_, said := b.asks(t, exitUsage, "apply", "plan.json")
	wants(t, said, "nobody approved the plan")
	_, said = b.asks(t, exitUsage, "approve", "plan.json", "--as", "bob")
	wants(t, said, "no terminal", "add --yes")
	_, said = b.asks(t, exitUsage, "approve", "plan.json", "--as", "bob", "-o", "json")
	wants(t, said, "with -o json no plan is shown", "add --yes")
	b.untouched(t)

	out, _ = b.asks(t, exitOK, "approve", "plan.json", "--as", "bob", "--yes", "--expires", "4h")
	wants(t, out, "DCS UserAccess", "Approved as bob, until 2", "agencyaudit apply plan.json")
	out, _ = b.asks(t, exitOK, "apply", "plan.json")
	wants(t, out, "1 of 1 step done", "request ", "agencyaudit undo ")
	if got := b.wrote(t); len(got) != 1 {
		t.Fatalf("the cloud was changed: %q", got)
	}
	b.asks(t, exitOK, "audit")
	b.asks(t, exitOK, "plan")
	// The approval counts once.
	_, said = b.asks(t, exitUsage, "apply", "plan.json")
	wants(t, said, "nobody approved the plan")

	run := runPattern.FindStringSubmatch(out)[1]
	out, _ = b.asks(t, exitDrift, "undo", run, "--out", "undo.json")
	wants(t, out, "Plan to take back what was done after run "+run, "revoke", "takes back what was granted")
	out, _ = b.asks(t, exitOK, "approve", "undo.json", "--yes", "--as", "carol", "-o", "json")
	var approved struct {
		Schema   string
		Daemon   bool
		Plan     struct{ Digest, Undoes string }
		Approval remedy.Entry
	}
	if err := json.Unmarshal([]byte(out), &approved); err != nil || approved.Schema != "agencyaudit.repair.approval/v1" || approved.Daemon ||
		approved.Plan.Undoes != run || approved.Approval.Plan != approved.Plan.Digest || approved.Approval.Kind != remedy.KindApproved ||
		approved.Approval.Actor != "carol" || approved.Approval.Seq == 0 || approved.Approval.Expires.IsZero() {
		t.Errorf("the approval: %v\n%s", err, out)
	}
	b.asks(t, exitOK, "apply", "undo.json")
	if got := b.wrote(t); len(got) != 2 {
		t.Fatalf("the cloud was changed: %q", got)
	}
	b.asks(t, exitDrift, "audit")
	_, said = b.asks(t, exitUsage, "undo", run)
	wants(t, said, "nothing of the run")

	out, _ = b.asks(t, exitOK, "ledger", "show", "--account", victim, "-o", "json")
	var shown struct {
		Total   int
		Whole   bool
		Entries []struct {
			Kind, Outcome, Run string
			RequestID          string `json:"request_id"`
		}
	}
	if err := json.Unmarshal([]byte(out), &shown); err != nil || !shown.Whole || len(shown.Entries) != 6 || shown.Total <= 6 ||
		shown.Entries[2].Outcome != "done" || shown.Entries[2].RequestID == "" || shown.Entries[5].Outcome != "done" {
		t.Errorf("the ledger: %v\n%s", err, out)
	}
	// The table says of all that was done in an account after which run it was, by which plan, and what took it back.
	out, _ = b.asks(t, exitOK, "ledger", "show", "--account", victim)
	if n, by := strings.Count(out, "run "+run), strings.Count(out, "plan "+approved.Plan.Digest[:shownDigest]); n != 3 || by != 3 {
		t.Errorf("the run is named %d times, and the plan of the undo %d times:\n%s", n, by, out)
	}
	wants(t, out, "sent     command", "outcome  command")
	out, _ = b.asks(t, exitOK, "ledger", "show")
	wants(t, out, "started   command")
	if strings.Contains(out, "daemon") {
		t.Errorf("there is no daemon:\n%s", out)
	}
	out, _ = b.asks(t, exitOK, "ledger", "show", "--run", run)
	wants(t, out, "grant DCS UserAccess", "is carried out")
	if strings.Contains(out, "revoke") {
		t.Errorf("what followed from another run is shown:\n%s", out)
	}
	out, _ = b.asks(t, exitOK, "ledger", "verify")
	wants(t, out, "OK: the ledger", "which the history remembers")
	out, _ = b.asks(t, exitOK, "__complete", "undo", "")
	wants(t, out, run)
	out, _ = b.asks(t, exitOK, "__complete", "ledger", "show", "--account", "")
	wants(t, out, victim)
}

// Beside a daemon, whose socket is its user's alone, the commands need no key, and the daemon does what was approved, and not what is frozen.
func TestCommandsGoThroughTheDaemon(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	b.write(t, b.looped())
	d := b.serveFile(t, b.dir, filepath.Join(b.dir, defaultConfig), b.key)
	d.settled(t, "compliant")
	info, err := os.Lstat(filepath.Join(b.dir, "state", "agencyaudit.sock"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Fatalf("the socket: %v %v", info, err)
	}
	without := func(code int, args ...string) (out, err string) {
		t.Helper()
		return b.asksWith(t, nil, code, args...)
	}
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	d.shows(t, "the drift shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 1 })
	out, _ := without(exitDrift, "plan")
	wants(t, out, "the daemon's last run", "asked for by  daemon", "mode approve, by the daemon", "To have the daemon carry it out")
	digest := regexp.MustCompile(`agencyaudit approve ([0-9a-f]{12})\n`).FindStringSubmatch(out)[1]
	_, said := without(exitUsage, "approve", digest[:11], "--yes")
	wants(t, said, "too little of a digest")
	_, said = without(exitUsage, "approve", strings.Repeat("0", 12), "--yes")
	wants(t, said, "the plan that is shown now is another one")
	b.untouched(t)

	out, _ = without(exitOK, "freeze", "--reason", "not today")
	wants(t, out, "Repair is frozen", "agencyaudit unfreeze")
	out, _ = without(exitDrift, "plan")
	wants(t, out, "stopped       frozen", "not today")
	out, _ = without(exitOK, "approve", digest, "--yes", "--as", "bob")
	wants(t, out, "Approved as bob, until 2", "The daemon begins a run, but carries", "agencyaudit ledger show")
	within(t, "a run follows", func() string {
		if strings.Contains(d.err.String(), `"trigger":"approval"`) {
			return ""
		}
		return last(d.err.String(), 2000)
	})
	d.ranAgain(t)
	b.untouched(t)
	_, said = without(exitUsage, "unfreeze")
	wants(t, said, `add --reason "WHY"`)
	without(exitOK, "unfreeze", "--reason", "today")
	d.shows(t, "it is repaired", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 0 })
	if got := b.wrote(t); len(got) != 1 {
		t.Errorf("the cloud was changed: %q", got)
	}
	out, _ = without(exitOK, "plan")
	wants(t, out, "Plan: nothing to do", "last          ", "done")
	out, _ = without(exitOK, "ledger", "show", "--last", "3")
	wants(t, out, "outcome", "of ")
	without(exitOK, "ledger", "verify")
	_, said = without(exitPartial, "unfreeze", "--reason", "again")
	wants(t, said, "repair is not frozen")
	// Nobody does it in the daemon's name, nor in nobody's.
	h := daemon.AskDaemon(t.Context(), filepath.Join(b.dir, "state"))
	for _, actor := range []string{"", " ", "daemon", "Daemon", "command"} {
		if err := h.Freeze(t.Context(), actor, "x"); err == nil {
			t.Errorf("%q froze", actor)
		}
		if err := h.Unfreeze(t.Context(), "", actor, "x"); err == nil || strings.Contains(err.Error(), "not frozen") {
			t.Errorf("%q unfroze: %v", actor, err)
		}
		if _, err := h.Apply(t.Context(), &remedy.Plan{}, actor); err == nil || strings.Contains(err.Error(), "digest") {
			t.Errorf("%q applied: %v", actor, err)
		}
	}
	// The kill switch is not lifted by what lifts a freeze.
	kill := filepath.Join(b.dir, "state", "FREEZE")
	if err := os.WriteFile(kill, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, said = without(exitPartial, "unfreeze", "--reason", "again")
	wants(t, said, "repair is not frozen", "FREEZE")
	without(exitOK, "freeze", "--reason", "both")
	out, _ = without(exitOK, "unfreeze", "--reason", "one of them")
	wants(t, out, "nothing is repaired", "FREEZE")
	if err := os.Remove(kill); err != nil {
		t.Fatal(err)
	}
	d.interrupt(t)
	if _, err := os.Lstat(filepath.Join(b.dir, "state", "agencyaudit.sock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

// The path of a state directory may be longer than that of a socket.
func TestTheSocketIsReachedWhereverItIs(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	b.dir = filepath.Join(b.dir, strings.Repeat("deep/", 30))
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b.write(t, b.looped())
	d := b.serveFile(t, b.dir, filepath.Join(b.dir, defaultConfig), b.key)
	d.settled(t, "compliant")
	out, _ := b.asksWith(t, nil, exitOK, "plan")
	wants(t, out, "the daemon's last run")
	d.interrupt(t)
}

// keyOf makes a private key and its public one, as openssl does, by openssl itself where there is one.
func keyOf(t *testing.T, dir, name string) {
	t.Helper()
	private, public := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".pub.pem")
	if openssl, err := exec.LookPath("openssl"); err == nil {
		for _, args := range [][]string{{"genpkey", "-algorithm", "ed25519", "-out", private}, {"pkey", "-in", private, "-pubout", "-out", public}} {
			if out, err := exec.CommandContext(t.Context(), openssl, args...).CombinedOutput(); err != nil {
				t.Fatalf("openssl: %v\n%s", err, out)
			}
		}
	} else {
		pub, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		one, err1 := x509.MarshalPKCS8PrivateKey(key)
		two, err2 := x509.MarshalPKIXPublicKey(pub)
		if err := errors.Join(err1, err2, os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: one}), 0o600),
			os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: two}), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chmod(private, 0o600), os.Chmod(public, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// Where people have keys, a plan is signed by who asked for it and approved by somebody else, each with a key that nobody else can read.
func TestPeopleSignWhatTheyAskForAndApprove(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "  approval: {people: {alice: alice.pub.pem, bob: bob.pub.pem}}\n")
	for _, name := range []string{"alice", "bob", "mallory"} {
		keyOf(t, b.dir, name)
	}
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	out, _ := b.asks(t, exitDrift, "plan", "--out", "unsigned.json", "--as", "alice")
	wants(t, out, "until whoever asks for it has signed it", "agencyaudit plan --out unsigned.json --as NAME --key FILE")
	b.asks(t, exitDrift, "plan", "--out", "forged.json", "--as", "alice", "--key", "mallory.pem")
	out, _ = b.asks(t, exitDrift, "plan", "--out", "plan.json", "--as", "alice", "--key", "alice.pem")
	wants(t, out, "alice, signed", "agencyaudit approve plan.json --as NAME --key FILE")
	for plan, want := range map[string]string{"unsigned.json": "is not signed by", "forged.json": "is not signed by"} {
		_, said := b.asks(t, exitUsage, "approve", plan, "--yes", "--as", "bob", "--key", "bob.pem")
		wants(t, said, want)
	}
	for _, c := range []struct{ as, key, want string }{
		{"alice", "alice.pem", "somebody else has to approve it"},
		{"bob", "mallory.pem", "not signed by the key of"},
		{"mallory", "mallory.pem", "does not know"},
		{"bob", "bob.pub.pem", "does not hold one private key"},
	} {
		_, said := b.asks(t, exitUsage, "approve", "plan.json", "--yes", "--as", c.as, "--key", c.key)
		wants(t, said, c.want)
	}
	_, said := b.asks(t, exitUsage, "approve", "plan.json", "--yes", "--as", "bob")
	wants(t, said, "--as NAME --key FILE")
	if err := os.Chmod(filepath.Join(b.dir, "bob.pem"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, said = b.asks(t, exitUsage, "approve", "plan.json", "--yes", "--as", "bob", "--key", "bob.pem")
	wants(t, said, "others than its owner can read it", "chmod 600")
	if err := os.Chmod(filepath.Join(b.dir, "bob.pem"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, said = b.asks(t, exitUsage, "approve", "plan.json", "--yes", "--as", "bob", "--key", "bob.pem", "--expires", "25h")
	wants(t, said, "longer than remediation.approval.expires allows")
	b.untouched(t)
	b.asks(t, exitOK, "approve", "plan.json", "--yes", "--as", "bob", "--key", "bob.pem")
	b.asks(t, exitOK, "apply", "plan.json")
	if got := b.wrote(t); len(got) != 1 {
		t.Errorf("the cloud was changed: %q", got)
	}
	out, _ = b.asks(t, exitOK, "ledger", "show")
	wants(t, out, "rejected", "approved")
}

// An account that changed since voids its steps, and those alone; a plan that was changed is none.
func TestAnOldPlanIsVoidWhereTheAccountChanged(t *testing.T) {
	t.Parallel()
	b := repairable(t, "auto", "")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.drift(t, `{"kind": "revoke", %s}`, lostThere)
	out, _ := b.asks(t, exitDrift, "plan", "--out", "plan.json")
	wants(t, out, "2 steps in 2 accounts", "agencyaudit apply plan.json")
	data, err := os.ReadFile(filepath.Join(b.dir, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{`"` + victim + `"`: `"another"`, "inject faults": "do nothing", `"grant"`: `"revoke"`} {
		replace(t, filepath.Join(b.dir, "forged.json"), strings.Replace(string(data), from, to, 1))
		_, said := b.asks(t, exitUsage, "apply", "forged.json")
		wants(t, said, "forged.json: the plan was changed after it was written")
	}
	b.drift(t, `{"kind": "grant", "account": %q, "agency": "ServiceAgencyForCOC", "grant": {"policy": "ECS CommonOperations", "scope": "global"}}`, victim)
	b.untouched(t)
	out, _ = b.asks(t, exitDrift, "apply", "plan.json")
	wants(t, out, "1 of 2 steps done", "void", "stale_plan")
	if got := b.wrote(t); len(got) != 1 || !strings.Contains(got[0], other) {
		t.Errorf("the cloud was changed: %q", got)
	}
	out, _ = b.asks(t, exitDrift, "plan", "--account", victim)
	wants(t, out, "1 step in 1 account", "Not put right", "not_listed")
	_, said := b.asks(t, exitUsage, "plan", "--account", "data-stage-000003")
	wants(t, said, "did you mean "+victim+"?")
	// From stdin, as JSON, and of what is done already.
	p := launch(t, b.dir, b.key, nil)
	p.wait(t)
	var o, e bytes.Buffer
	c := exec.CommandContext(t.Context(), p.cmd.Path, "apply", "-", "-o", "json")
	c.Args[0], c.Dir, c.Env, c.Stdin, c.Stdout, c.Stderr = "agencyaudit", b.dir, p.cmd.Env, bytes.NewReader(data), &o, &e
	if err := c.Run(); c.ProcessState.ExitCode() != exitDrift {
		t.Fatalf("%v: %s%s", err, o.String(), e.String())
	}
	wants(t, o.String(), `"agencyaudit.repair.outcome/v1"`, `"whole": false`, `"stale_plan"`)
	if got := b.wrote(t); len(got) != 1 {
		t.Errorf("the cloud was changed: %q", got)
	}
}

// A plan that exceeds a limit is not carried out in part, but stops all repair until a person lifts that.
func TestALimitThatIsExceededFreezes(t *testing.T) {
	t.Parallel()
	b := repairable(t, "auto", "  limits: {grant_accounts_per_run: 1, fleet_percent_per_day: 100}\n")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.drift(t, `{"kind": "revoke", %s}`, lostThere)
	out, _ := b.asks(t, exitDrift, "plan", "--out", "plan.json")
	wants(t, out, "it exceeds one", "limits.grant_accounts_per_run")
	out, _ = b.asks(t, exitDrift, "plan", "--account", other, "--out", "one.json")
	wants(t, out, "it fits")
	out, _ = b.asks(t, exitDrift, "apply", "plan.json", "--as", "alice")
	wants(t, out, "0 of 2 steps done", "Stopped: frozen", "by alice: a limit is exceeded: ", "limits.grant_accounts_per_run is 1")
	out, _ = b.asks(t, exitOK, "ledger", "show", "--last", "2") // a plan that exceeds a limit was its only plan
	wants(t, out, "frozen   alice", "run ", "plan ")
	out, _ = b.asks(t, exitDrift, "apply", "one.json")
	wants(t, out, "0 of 1 step done", "Stopped: frozen")
	b.untouched(t)
	b.asks(t, exitOK, "unfreeze", "--reason", "one at a time")
	b.asks(t, exitOK, "apply", "one.json")
	if got := b.wrote(t); len(got) != 1 {
		t.Errorf("the cloud was changed: %q", got)
	}
	// The kill switch is a file, whatever is in it.
	replace(t, filepath.Join(b.dir, "state", "FREEZE"), "")
	b.asks(t, exitDrift, "plan", "--account", victim, "--out", "two.json")
	out, _ = b.asks(t, exitDrift, "apply", "two.json")
	wants(t, out, "kill_switch", "delete it to go on")
}

// Nobody approves what would only freeze repair, with a daemon or without one; a script is told so by the exit code.
func TestAPlanOverALimitCannotBeApproved(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "  limits: {grant_accounts_per_run: 1, fleet_percent_per_day: 5}\n")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.drift(t, `{"kind": "revoke", %s}`, lostThere)
	out, _ := b.asks(t, exitDrift, "plan", "--out", "plan.json")
	wants(t, out, "it exceeds one", "It cannot be approved like that", "Plan for fewer")
	out, said := b.asks(t, exitUsage, "approve", "plan.json", "--yes", "-o", "json")
	wants(t, said, "would freeze repair instead of being carried out", "limits.grant_accounts_per_run is 1", "plan --account")
	if out != "" {
		t.Errorf("stdout: %s", out)
	}
	_, said = b.asks(t, exitUsage, "apply", "plan.json")
	wants(t, said, "nobody approved the plan")
	out, _ = b.asks(t, exitOK, "ledger", "show")
	wants(t, out, "rejected")
	if strings.Contains(out, "frozen") {
		t.Errorf("it is frozen:\n%s", out)
	}
	b.asks(t, exitDrift, "plan", "--account", other, "--out", "one.json")
	b.asks(t, exitOK, "approve", "one.json", "--yes")
	b.asks(t, exitOK, "apply", "one.json")
	if got := b.wrote(t); len(got) != 1 {
		t.Errorf("the cloud was changed: %q", got)
	}
	// One account is as few as it gets.
	out, _ = b.asks(t, exitDrift, "plan", "--account", victim)
	wants(t, out, "limits.fleet_percent_per_day", "It cannot be approved like that", "Wait until a day has passed")
}

// Of a plan that is approved nothing is promised while the kill switch is on, also where the plan was made before.
func TestApprovedUnderTheKillSwitch(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	d := b.serveFile(t, b.dir, filepath.Join(b.dir, defaultConfig), b.key)
	d.shows(t, "the drift shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 1 })
	b.asksWith(t, nil, exitDrift, "plan", "--out", "plan.json")
	if err := os.WriteFile(filepath.Join(b.dir, "state", "FREEZE"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := b.asksWith(t, nil, exitOK, "approve", "plan.json", "--yes")
	wants(t, out, "but carries nothing out", "the kill switch is on: delete the file")
}

// Without a daemon, too, two plans that exceed a limit of the day together are not both approved: one of them would freeze repair.
func TestTwoPlansOverALimitAreNotBothApproved(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "  limits: {fleet_percent_per_day: 5}\n")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.drift(t, `{"kind": "revoke", %s}`, lostThere)
	b.asks(t, exitDrift, "plan", "--account", victim, "--out", "one.json")
	b.asks(t, exitDrift, "plan", "--account", other, "--out", "two.json")
	b.asks(t, exitOK, "approve", "one.json", "--yes")
	_, said := b.asks(t, exitUsage, "approve", "two.json", "--yes")
	wants(t, said, "together with what was approved before", "limits.fleet_percent_per_day")
	b.asks(t, exitOK, "apply", "one.json")
	out, _ := b.asks(t, exitOK, "ledger", "show")
	if strings.Contains(out, "frozen") {
		t.Errorf("it is frozen:\n%s", out)
	}
}

// writesDown adds entries to the ledger, as a process does that has the state directory. All but an intent are about the last one.
func (b *bench) writesDown(t *testing.T, entries ...remedy.Entry) {
	t.Helper()
	l, err := remedy.OpenLedger(remedy.OSFS{}, filepath.Join(b.dir, "state", remedy.LedgerName), remedy.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	intent := int64(0)
	for _, e := range entries {
		if e.Time, e.Actor, e.Run, e.Intent = time.Now(), "alice", "run", intent; e.Kind == remedy.KindIntent {
			e.Intent, intent = 0, l.Head().Seq+1
		}
		if _, err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// Where no daemon reads what became of a step that was open, the next plan does, and undo.
func TestACommandSettlesWhatIsOpen(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.asks(t, exitDrift, "plan", "--out", "plan.json")
	data, err := os.ReadFile(filepath.Join(b.dir, "plan.json"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := remedy.ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	open := []remedy.Entry{{Kind: remedy.KindIntent, Step: &p.Steps[0]}, {Kind: remedy.KindSent}, {Kind: remedy.KindPending, Said: "done"}}
	b.writesDown(t, open...)
	out, _ := b.asks(t, exitOK, "plan")
	wants(t, out, "pending       intent ", "the cloud said: done")
	b.drift(t, `{"kind": "grant", %s}`, lost)
	out, _ = b.asks(t, exitOK, "plan")
	wants(t, out, ": done: grant DCS UserAccess")
	if strings.Contains(out, "pending") {
		t.Errorf("it is pending:\n%s", out)
	}
	b.writesDown(t, open...)
	b.asks(t, exitDrift, "undo", "run", "--as", "bob")
	out, _ = b.asks(t, exitOK, "ledger", "show", "--last", "1")
	wants(t, out, "outcome", "done")
	b.untouched(t)
}

// An account that cools down is found by its name, however much was done since in others.
func TestAnAccountIsReleasedByItsName(t *testing.T) {
	t.Parallel()
	b := repairable(t, "approve", "")
	step := func(account, id string) []remedy.Entry {
		s := rules.Step{Action: rules.ActionGrant, Account: account, AccountID: id, Agency: "ServiceAgencyForCOC"}
		return []remedy.Entry{{Kind: remedy.KindIntent, Step: &s}, {Kind: remedy.KindSent}, {Kind: remedy.KindOutcome, Outcome: remedy.OutcomeFailed}}
	}
	b.writesDown(t, step("long ago", "1d")...)
	for i := range 30 {
		b.writesDown(t, step("since", strconv.Itoa(i))...)
	}
	out, _ := b.asks(t, exitOK, "unfreeze", "--account", "long ago", "--reason", "the right was added")
	wants(t, out, "long ago", "no longer held")
	out, _ = b.asks(t, exitOK, "ledger", "show", "--account", "1d", "--last", "1")
	wants(t, out, "released")
	_, said := b.asks(t, exitUsage, "unfreeze", "--account", "since", "--reason", "x")
	wants(t, said, "accounts bear the name", "name it by its id")
	_, said = b.asks(t, exitPartial, "unfreeze", "--account", "long ago", "--reason", "x")
	wants(t, said, "of the account 1d nothing is quarantined or cooling down")
}

// What became of every step is told, however many there are.
func TestEveryOutcomeIsTold(t *testing.T) {
	t.Parallel()
	b := repairableOf(t, "25", "auto", "  limits: {grant_accounts_per_run: 100, fleet_percent_per_day: 100, policy_writes_per_day: 100}\n")
	accounts := regexp.MustCompile(`name: "([^"]+)", id: "[^"]+", require_agency: true, access: {via: iam`).FindAllStringSubmatch(b.config, -1)
	for _, a := range accounts {
		b.drift(t, `{"kind": "revoke", "account": %q, "agency": "ServiceAgencyForCOC", "grant": {"policy": "DCS UserAccess", "scope": "all_resources"}}`, a[1])
	}
	b.asks(t, exitDrift, "plan", "--out", "plan.json")
	out, _ := b.asks(t, exitOK, "apply", "plan.json")
	wants(t, out, "24 of 24 steps done")
	if got := b.wrote(t); len(got) != len(accounts) || len(got) != 24 {
		t.Errorf("%d accounts, %d changes", len(accounts), len(got))
	}
}

// A ledger that is not whole stops repair and nothing else, and is shown as far as it is.
func TestALedgerThatIsNotWholeStopsRepairAlone(t *testing.T) {
	t.Parallel()
	b := repairable(t, "auto", "")
	_, said := b.asks(t, exitOK, "ledger", "verify")
	if said != "" {
		t.Errorf("stderr: %s", said)
	}
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	b.asks(t, exitDrift, "plan", "--out", "plan.json")
	b.asks(t, exitOK, "apply", "plan.json")
	b.drift(t, `{"kind": "revoke", %s}`, lostThere)
	b.asks(t, exitDrift, "plan", "--out", "next.json")
	file := filepath.Join(b.dir, "state", "ledger.jsonl")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(whole, []byte("\n"))
	cut := bytes.Join(lines[:len(lines)-2], nil) // the last is empty
	altered := bytes.Replace(whole, []byte(`"outcome":"done"`), []byte(`"outcome":"noop"`), 1)
	for name, c := range map[string]struct {
		text []byte
		show int
	}{"altered": {altered, exitDrift}, "cut": {cut, exitOK}, "gone": {nil, exitOK}} {
		if c.text == nil {
			err = os.Remove(file)
		} else {
			err = os.WriteFile(file, c.text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, said := b.asks(t, exitDrift, "ledger", "verify")
		wants(t, said, "cannot be relied on", "keep the file")
		out, _ := b.asks(t, c.show, "ledger", "show")
		if c.text != nil {
			wants(t, out, "started", "intent")
		}
		_, said = b.asks(t, exitPartial, "apply", "next.json")
		wants(t, said, "cannot be relied on")
		if name == "altered" {
			b.asks(t, exitDrift, "audit")
			out, _ = b.asks(t, exitDrift, "plan")
			wants(t, out, "stopped       ledger", "cannot be relied on")
			_, said = b.asks(t, exitPartial, "freeze", "--reason", "to be sure")
			wants(t, said, "touch ")
		}
		if got := b.wrote(t); len(got) != 1 {
			t.Fatalf("%s: the cloud was changed: %q", name, got)
		}
	}
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	b.asks(t, exitOK, "ledger", "verify")
	b.asks(t, exitOK, "apply", "next.json")
	_, why := b.asks(t, exitUsage, "ledger", "renew", "--reason", "a limit is in the way")
	wants(t, why, "can be relied on", "keep it")
	// Who takes the loss begins another, frozen one.
	if err := os.WriteFile(file, cut, 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ := b.asks(t, exitOK, "ledger", "renew", "--reason", "it is lost")
	wants(t, out, "begins", "unfreeze")
	b.asks(t, exitOK, "ledger", "verify")
	out, _ = b.asks(t, exitOK, "ledger", "show")
	wants(t, out, "frozen", "it is lost")
	if got := b.wrote(t); len(got) != 2 {
		t.Errorf("the cloud was changed: %q", got)
	}
}

// In the modes off and plan nothing can be carried out, whatever is asked for.
func TestInOffAndPlanNothingIsWritten(t *testing.T) {
	t.Parallel()
	b := repairable(t, "plan", "")
	b.drift(t, `{"kind": "revoke", %s}`, lost)
	without := make([]string, 0, len(b.key))
	for _, k := range b.key {
		if !strings.HasPrefix(k, "REPAIR_") { // these are not even read
			without = append(without, k)
		}
	}
	out, _ := b.asksWith(t, without, exitDrift, "plan", "--out", "plan.json")
	wants(t, out, "1 step in 1 account", "Nothing of it can be carried out, since remediation.mode is plan")
	_, said := b.asksWith(t, without, exitUsage, "apply", "plan.json")
	wants(t, said, "remediation.mode is plan")
	_, said = b.asksWith(t, without, exitUsage, "approve", "plan.json", "--yes")
	wants(t, said, "remediation.mode is plan: there is nothing to approve")
	out, _ = b.asksWith(t, without, exitDrift, "plan", "-o", "json")
	var doc struct {
		Schema string
		Plan   struct{ Steps []any }
		Repair struct{ Mode string }
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Schema != "agencyaudit.repair.plan/v1" || len(doc.Plan.Steps) != 1 || doc.Repair.Mode != "plan" {
		t.Errorf("%v: %s", err, out)
	}
	b.write(t, strings.Replace(b.config, "mode: plan", `mode: "off"`, 1))
	for _, args := range [][]string{{"plan"}, {"apply", "plan.json"}, {"undo", "x"}} {
		_, said := b.asksWith(t, without, exitUsage, args...)
		wants(t, said, "remediation.mode is off")
	}
	_, said = b.asksWith(t, without, exitUsage, "ledger", "verify")
	wants(t, said, "names no state_dir")
	b.write(t, b.config)
	d := b.serve(t, b.looped())
	d.shows(t, "the drift shows", func(s series) bool { return s.one("policy_missing", ofVictim, ofLost) == 1 })
	d.ranAgain(t)
	b.untouched(t)
	d.interrupt(t)
}

// ranAgain waits until two more runs have ended.
func (d *served) ranAgain(t *testing.T) {
	t.Helper()
	before := d.scrape(t).runs("complete")
	d.shows(t, "it ran again", func(s series) bool { return s.runs("complete") >= before+2 })
}

// On a terminal whoever approves types how the digest begins.
func TestAnApprovalIsConfirmedOnATerminal(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)
	for typed, want := range map[string]bool{digest[:8] + "\n": true, digest[:8]: true, "01234566\n": false, "01234567 89\n": false, "yes\n": false, "\n": false, "": false} {
		var e bytes.Buffer
		a := &app{console: console{in: strings.NewReader(typed), err: &e, inTerminal: true, errTerminal: true}}
		if err := a.confirm(t.Context(), digest); (err == nil) != want {
			t.Errorf("%q: %v", typed, err)
		}
		wants(t, e.String(), "first 8 characters")
	}
}

// Nobody is called what the program calls itself.
func TestNobodyIsTheDaemon(t *testing.T) {
	for _, name := range []string{"daemon", "Daemon", "command", "Command ", " "} {
		if _, err := (&signer{as: name}).name(); err == nil {
			t.Errorf("%q may be somebody", name)
		}
	}
	if name, err := (&signer{as: "alice"}).name(); err != nil || name != "alice" {
		t.Errorf("alice: %q %v", name, err)
	}
	if name, err := (&signer{}).name(); err != nil || name == "" {
		t.Errorf("the user's name: %q %v", name, err)
	}
}

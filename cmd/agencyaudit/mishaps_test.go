//go:build unix

package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// distrusted has the victims' agencies trust another account.
func distrusted(w *workshop) {
	for _, acct := range w.victims() {
		trustsAnother(w.scene, acct)
	}
}

// trustFlips is that somebody else does that.
func trustFlips(w *workshop) { distrusted(w) }

// madeAnew is that somebody deletes the victims' agencies and makes them anew, as they were but for their ids.
func madeAnew(w *workshop) {
	for _, acct := range w.victims() {
		agency := agencyOf(acct, auditedAgency)
		w.happens(simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: acct.ID, Agency: agency.ID})
		agency.ID = strings.Repeat("9", 32)
		w.happens(simcloud.Drift{Kind: simcloud.DriftCreateAgency, Account: acct.ID, New: &agency})
	}
}

// granted is that somebody grants what the victims lack.
func granted(w *workshop) {
	for _, acct := range w.victims() {
		w.does(simcloud.Drift{Kind: simcloud.DriftGrant, Account: acct.ID, Agency: auditedAgency, Grant: &broken})
	}
}

// atFirst does something at the first request that fits, before it is answered.
func atFirst(fits func(asked request) bool, do func(w *workshop)) trouble {
	var mu sync.Mutex
	done := map[*workshop]bool{}
	return trouble{at: func(w *workshop, asked request, serve func()) {
		mu.Lock()
		if !done[w] && fits(asked) {
			done[w] = true
			do(w)
		}
		mu.Unlock()
		serve()
	}}
}

// beforeReading does something when an account is about to be read again, since there is a plan.
func beforeReading(do func(w *workshop)) trouble {
	return atFirst(func(asked request) bool { return asked.phase == reading }, do)
}

// beforeWriting does something when a change has been sent, and before it arrives.
func beforeWriting(do func(w *workshop)) trouble {
	return atFirst(func(asked request) bool { return asked.writes }, do)
}

// TestToldToEndItBeginsNoOtherStep: the one that is under way ends, with its outcome; the time that a run has for its end is not for more changes.
func TestToldToEndItBeginsNoOtherStep(t *testing.T) {
	t.Parallel()
	w := openWorkshop(t, damage{do: trouble{victims: 4, keyed: true}})
	w.happensAt(func(w *workshop, asked request, serve func()) {
		if asked.writes && w.changing.Load() == 1 {
			w.daemon.signal(t, syscall.SIGTERM)
			within(t, "it knows that it is to end", func() string {
				if strings.Contains(w.daemon.err.String(), `"msg":"ending"`) {
					return ""
				}
				return "not yet"
			})
		}
		serve()
	})
	w.breaks()
	w.begin()
	within(t, "it has ended", func() string {
		if w.daemon.gone() {
			return ""
		}
		return "it still runs"
	})
	effective, without := w.written()
	if len(effective) != 1 || len(without) != 0 || w.ends() != "done" || len(w.entries(remedy.KindIntent)) != 1 {
		t.Errorf("%d changes, %d without effect, %d intents, of which are %s", len(effective), len(without), len(w.entries(remedy.KindIntent)), w.ends())
	}
	w.balanced(1)
}

// during breaks the account, and does something beside it, between the request for its agencies and the first for its grants.
func during(do func(w *workshop)) trouble {
	m := atFirst(func(asked request) bool {
		return strings.HasSuffix(asked.URL.Path, "/role-assignments") && strings.Contains(asked.URL.RawQuery, asked.victim)
	}, func(w *workshop) {
		w.breaks()
		do(w)
	})
	m.breaks = func(*workshop) {}
	return m
}

// twin has custom policies with a required one's name take its place: what is granted is the system-defined one, by its id.
var twin = trouble{
	organization: imitated.organization,
	breaks: func(w *workshop) {
		for _, acct := range w.victims() {
			imitate(w.scene, acct)
		}
	},
	after: func(w *workshop) {
		w.ended("done", 0)
		effective, _ := w.written()
		for _, p := range w.cloud.Load().Catalogue() {
			if p.DisplayName == "COCServiceAgencyDefaultPolicy" && (len(effective) != 1 || effective[0].PolicyID != p.ID) {
				w.t.Errorf("granted was %+v, want the policy %s", effective, p.ID)
			}
		}
	},
}

// rewrite has another cloud answer, in which a required policy allows everything. design.md leaves the documents of required policies out:
// what is granted is what the baseline says, by its id.
func rewrite(w *workshop) {
	rewritten.strike(w.scene)
	w.ranSince(time.Now())
	w.await("everything is known", w.allAsTheyAre)
}

// locksOut has two accounts not let the auditor in.
func locksOut(w *workshop) {
	var locked []string
	for _, acct := range w.victims()[:2] {
		vanishes("AgencyAuditReader")(w.scene, acct)
		locked = append(locked, acct.ID)
	}
	w.await("they are unknown", func(m moment) string {
		if n := m.one("accounts", `state="unknown"`); n != float64(len(locked)) {
			return fmt.Sprintf("%v accounts are", n)
		}
		return ""
	})
}

// unlisted has the list of the organization's accounts fail.
func unlisted(w *workshop) {
	w.set(simcloud.Settings{Failures: []simcloud.Failure{{Operation: "ListAccounts", Style: "html_200"}}})
	w.await("the list is not whole", func(m moment) string {
		if m.one("run_complete") == 0 {
			return ""
		}
		return "it is"
	})
}

// styled has the change of the nth of so many victims fail in the nth of the styles; those that are left go well.
func styled(victims int, styles ...string) trouble {
	return trouble{victims: victims, before: func(w *workshop) {
		var settings simcloud.Settings
		all := w.victims()
		slices.SortFunc(all, func(a, b simcloud.Account) int { return strings.Compare(a.Name, b.Name) }) // as they are carried out
		for i, style := range styles {
			settings.Failures = append(settings.Failures, simcloud.Failure{Account: all[i].ID, Operation: grants, Style: style})
		}
		w.set(settings)
	}}
}

// hasteful has the program wait for seconds.
func hasteful(m trouble) trouble {
	m.hasty = true
	return m
}

// clocked has a trouble be played in this process, and sets the clock once what became of the change is not known.
func clocked(m trouble, span time.Duration) trouble {
	m.clocked = true
	before := m.after
	m.after = func(w *workshop) {
		if before != nil {
			before(w)
		}
		w.pending()
		w.later(span)
	}
	return m
}

// pending waits until it is not known what became of a change.
func (w *workshop) pending() {
	w.t.Helper()
	w.await("a step is pending", func(m moment) string {
		if m.one("remediation_open_intents") == 1 && len(w.entries(remedy.KindPending)) == 1 {
			return ""
		}
		return fmt.Sprintf("%v are open", m.one("remediation_open_intents"))
	})
}

// faster has somebody grant the same at the last moment.
func faster(answer string) trouble {
	m := beforeWriting(granted)
	m.helped = true
	m.before = func(w *workshop) { w.set(simcloud.Settings{Switches: simcloud.Switches{RepeatGrant: answer}}) }
	return m
}

// stale has lists show no change for longer than a cloud may take, or so it looks: for twenty minutes nothing is sent again, and then it shows.
var stale = trouble{
	clocked: true,
	before:  func(w *workshop) { w.set(simcloud.Settings{ReadAfterWriteDelay: time.Hour}) },
	after: func(w *workshop) {
		w.pending()
		w.later(20 * time.Minute)
		if m := w.twoRuns(); m.one("remediation_open_intents") != 1 || m.one("remediation_pending_verification") != 1 || w.changing.Load() != 1 {
			w.t.Errorf("after 20 minutes %v are open, and %d requests were sent", m.one("remediation_open_intents"), w.changing.Load())
		}
		settings := w.cloud.Load().Settings()
		settings.ReadAfterWriteDelay = 0
		w.set(settings)
	},
}

// undoing is somebody who undoes what is granted, as another tool does whose rules say otherwise: each time once it was read to be done.
var undoing = trouble{after: func(w *workshop) {
	for _, ends := range []string{"done", inEach("done", 2)} {
		w.ended(ends, 0)
		w.breaks()
	}
}}

// undoneAtOnce is somebody who does so right behind the change.
var undoneAtOnce = trouble{before: func(w *workshop) {
	acct := w.victims()[0]
	undo := revoked(acct.ID)
	w.set(simcloud.Settings{Events: []simcloud.Event{{Account: acct.ID, Operation: grants, When: "after", Drift: []simcloud.Drift{undo}}}})
}}

// killedAt kills the daemon at the first request of a phase, the one that changes something or another; applied says that it arrives.
func killedAt(at phase, write, applied bool) trouble {
	var mu sync.Mutex
	killed := map[*workshop]chan struct{}{}
	of := func(w *workshop) chan struct{} {
		mu.Lock()
		defer mu.Unlock()
		if killed[w] == nil {
			killed[w] = make(chan struct{})
		}
		return killed[w]
	}
	var first sync.Map
	return trouble{
		at: func(w *workshop, asked request, serve func()) {
			if asked.phase != at || asked.writes != write {
				serve()
				return
			}
			if _, again := first.LoadOrStore(w, true); again {
				serve()
				return
			}
			if applied {
				w.cloudAnswers.ServeHTTP(httptest.NewRecorder(), asked.Request)
			}
			_ = w.daemon.cmd.Process.Kill()
			<-w.daemon.process.ended
			close(of(w))
		},
		after: func(w *workshop) {
			within(w.t, "the daemon is killed", func() string {
				select {
				case <-of(w):
					return ""
				default:
					return "the moment has not come"
				}
			})
			w.leftNothing()
			w.begin()
		},
	}
}

// lostOnTheWay kills the daemon when it has sent a change that does not arrive; what became of it is read when the cloud had its time.
var lostOnTheWay = func() trouble {
	m := killedAt(sending, true, false)
	m.keyed = true
	kill := m.after
	m.after = func(w *workshop) {
		w.damage.do.clocked = true // from now on
		kill(w)
		w.twoRuns()
		if m := w.look(); m.one("remediation_open_intents") != 1 || w.changing.Load() != 1 {
			w.t.Errorf("after the start %v are open, and %d requests were sent", m.one("remediation_open_intents"), w.changing.Load())
		}
		w.later(time.Hour)
	}
	return m
}()

// olderLedger puts an older ledger in the place of the one that there is, as from a backup: after it, nothing is repaired.
var olderLedger = spoils(func(_ *workshop, before, _ []byte) []byte { return before })

// alteredLedger changes a byte of the ledger.
var alteredLedger = spoils(func(w *workshop, _, now []byte) []byte {
	altered := bytes.Replace(now, []byte(`"outcome":"done"`), []byte(`"outcome":"noop"`), 1)
	if bytes.Equal(altered, now) {
		w.t.Error("nothing was altered")
	}
	return altered
})

// spoils has one repair go well, and then the ledger be another one at the next start.
func spoils(spoil func(w *workshop, before, now []byte) []byte) trouble {
	return trouble{spoiled: true, after: func(w *workshop) {
		file := filepath.Join(w.dir, remedy.LedgerName)
		before, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		before = before[:bytes.IndexByte(before, '\n')+1] // as it was when it began
		w.ended("done", 0)
		w.await("everything is right", w.allAsTheyAre)
		w.stop()
		now, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		w.book = filepath.Join(filepath.Dir(w.dir), "true.jsonl")
		spoiled := spoil(w, before, now)
		for file, text := range map[string][]byte{w.book: now, file: spoiled} {
			if err := os.WriteFile(file, text, 0o600); err != nil {
				w.t.Fatal(err)
			}
		}
		w.begin()
		w.breaks()
		w.held(rules.HoldLedger)
		if page := w.daemon.get(w.t, "/").body; !strings.Contains(page, "ledger") {
			w.t.Error("the page does not say it")
		}
		if is, err := os.ReadFile(file); err != nil || !bytes.Equal(is, spoiled) {
			w.t.Errorf("the ledger that cannot be relied on was changed: %v", err)
		}
	}}
}

// second is a second process with the same state directory: it does nothing at all.
var second = trouble{before: func(w *workshop) {
	if said := w.notStarted(); !strings.Contains(said, "is in use by process") {
		w.t.Errorf("it does not say why: %s", said)
	}
}}

// panicking has a bug in the way of a change: the clock that is asked when it is signed.
var panicking = trouble{clocked: true, buggy: true, before: func(w *workshop) { w.clock.panics.Store(true) }}

// sendsChange says whether the caller is about to send a change.
func sendsChange() bool {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "huawei.(*Writer).Apply") {
			return true
		}
		if !more {
			return false
		}
	}
}

// together breaks all victims in one run's eyes, by means of the kill switch.
func together(w *workshop) {
	w.flip(true)
	w.breaks()
	for i := range w.accounts {
		w.accounts[i].drifted = w.accounts[i].victim
	}
	w.await("all of it is seen", w.allAsTheyAre)
	w.ranSince(time.Now())
	w.flip(false)
}

// flip makes the kill switch's file, or deletes it.
func (w *workshop) flip(on bool) {
	w.t.Helper()
	file := filepath.Join(w.dir, "FREEZE")
	var err error
	if on {
		err = os.WriteFile(file, nil, 0o600)
	} else {
		err = os.Remove(file)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// overBudget has a plan exceed a limit: nothing of it is done, and nothing else, over a restart too.
var overBudget = trouble{
	victims: 2, section: "  limits: {grant_accounts_per_run: 1, fleet_percent_per_day: 100}\n", breaks: together,
	after: func(w *workshop) {
		w.held(rules.HoldBudget)
		w.kill()
		w.begin()
		w.held(rules.HoldFrozen)
	},
}

// deniedBaseline has a baseline require a policy that is never granted: with it the program does not start, and does not reload.
var deniedBaseline = trouble{before: func(w *workshop) {
	dir := filepath.Dir(w.file)
	source := launch(w.t, dir, nil, []string{"baseline", "show", "coc", "-o", "yaml"})
	if code := source.wait(w.t); code != exitOK {
		w.t.Fatal(source.err.String())
	}
	own := strings.Replace(source.out.String(), "DCS UserAccess", "Tenant Administrator", 1)
	replace(w.t, filepath.Join(dir, "own.yaml"), own)
	good, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	bad := strings.Replace(string(good), "baselines: [coc]", "baselines: [own.yaml]", 1)
	const want = `"Tenant Administrator" lets its holder take over the account and may not be part of a baseline`
	other := filepath.Join(dir, "other.yaml")
	replace(w.t, other, strings.Replace(bad, "state_dir: state", "state_dir: another", 1))
	p := launch(w.t, dir, w.env, []string{"run", "--config", other})
	if code := p.wait(w.t); code != exitUsage || !strings.Contains(p.err.String(), want) {
		w.t.Errorf("exit code %d, want %d: %s", code, exitUsage, p.err.String())
	}
	replace(w.t, w.file, bad)
	if a := w.daemon.reload(w.t); a.status != http.StatusBadRequest || !strings.Contains(a.body, want) {
		w.t.Errorf("reload: status %d, %s", a.status, a.body)
	}
}}

// approver is somebody with a key.
func approver(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// approvalOf is what is sent to the socket.
func approvalOf(p *remedy.Plan, c remedy.Consent) any {
	return struct {
		Plan    *remedy.Plan    `json:"plan"`
		Consent *remedy.Consent `json:"consent"`
	}{p, &c}
}

// waiting waits until a plan waits for approval, and returns it.
func (w *workshop) waiting(steps int) *remedy.Plan {
	w.t.Helper()
	var p remedy.Plan
	w.await("a plan waits", func(m moment) string {
		if m.one("remediation_approvals_waiting") != 1 {
			return "none does"
		}
		p = remedy.Plan{}
		if status, said := w.asks(http.MethodPost, "plan", struct{}{}, &p); status != http.StatusOK || len(p.Steps) != steps {
			return fmt.Sprintf("%d, %d steps: %s", status, len(p.Steps), said)
		}
		return ""
	})
	return &p
}

// replayed has approvals be used that do not count, in many ways: none leads to anything, and each is written down (T16).
var replayed = trouble{
	mode: "approve", section: ample + "  approval: {people: {alice: alice.pem, bob: bob.pem}}\n",
	breaks: func(w *workshop) {
		alice, mallory := approver(1), approver(3)
		until := time.Now().Add(time.Hour)
		refusals := 0
		refused := func(what string, p *remedy.Plan, c remedy.Consent) {
			w.t.Helper()
			refusals++
			status, said := w.asks(http.MethodPost, "approve", approvalOf(p, c), nil)
			if status != http.StatusUnprocessableEntity || !strings.Contains(said, `"refused":true`) {
				w.t.Errorf("%s: %d %s", what, status, said)
			}
			if n := len(w.entries(remedy.KindRejected)); n != refusals {
				w.t.Errorf("%s: %d are written down", what, n)
			}
		}
		w.breaks()
		first := w.waiting(1)
		w.twoRuns()
		noWrites(w.t, w.cloud.Load())
		refused("unsigned", first, remedy.Consent{Actor: "alice", Nonce: "n", Expires: until})
		refused("signed by somebody else", first, remedy.Sign(first.Digest, "alice", mallory, until))
		refused("of nobody who is known", first, remedy.Sign(first.Digest, "mallory", mallory, until))
		refused("ended", first, remedy.Sign(first.Digest, "alice", alice, time.Now().Add(-time.Minute)))
		refused("of another plan", first, remedy.Sign(strings.Repeat("0", 64), "alice", alice, until))
		consent := remedy.Sign(first.Digest, "alice", alice, until)
		if status, said := w.asks(http.MethodPost, "approve", approvalOf(first, consent), nil); status != http.StatusOK {
			w.t.Fatalf("%d %s", status, said)
		}
		w.ended("done", 0)
		w.await("everything is right", w.allAsTheyAre)

		// Another plan: that it is lacked again, and something else with it.
		acct := w.victims()[0]
		w.happens(simcloud.Drift{Kind: simcloud.DriftRevoke, Account: acct.ID, Agency: auditedAgency, Grant: &simcloud.Grant{Policy: "RMS ReadOnlyAccess", Scope: "global"}})
		w.breaks()
		next := w.waiting(2)
		refused("used again", first, consent)
		refused("used again, for the next plan", next, consent)
		refused("for the plan before", first, remedy.Sign(first.Digest, "alice", alice, until))
		w.kill()
		w.begin()
		w.waiting(2)
		refused("used again after a kill", first, consent)
		refused("used again after a kill, for the next plan", next, consent)
		w.twoRuns()
	},
}

// writePeople writes the public keys of two people beside the configuration.
func (w *workshop) writePeople() {
	w.t.Helper()
	for i, name := range []string{"alice", "bob"} {
		der, err := x509.MarshalPKIXPublicKey(approver(byte(i + 1)).Public())
		if err != nil {
			w.t.Fatal(err)
		}
		replace(w.t, filepath.Join(filepath.Dir(w.file), name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	}
}

// switched has the kill switch on: a plan is shown, and nothing is written. Once it is off it is done.
var switched = trouble{
	breaks: func(w *workshop) {
		w.flip(true)
		w.breaks()
		w.held(rules.HoldSwitch)
		m := w.twoRuns()
		noWrites(w.t, w.cloud.Load())
		var plan remedy.Plan
		if status, said := w.asks(http.MethodPost, "plan", struct{}{}, &plan); status != http.StatusOK || len(plan.Steps) != 1 || plan.Stopped != rules.HoldSwitch {
			w.t.Errorf("the plan: %d %s", status, said)
		}
		if m.one("remediation_frozen") != 1 {
			w.t.Errorf("remediation_frozen is %v", m.one("remediation_frozen"))
		}
		w.flip(false)
	},
}

//go:build unix

package main

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// damage is one row of the matrix that concerns changes of accounts.
type damage struct {
	// id is the row's; several lines may have one.
	id   string
	what string
	do   trouble
	// state is that of the accounts that are struck, at the end; "right" is compliant.
	state string
	// ends are what became of the intents, by the ledger, in the order in which it became so.
	ends string
	// writes is how many changes the cloud made.
	writes int
	// metric is what shows it at the end, as that of a fault.
	metric string
}

// damages are the rows of the matrix that concern changes: an account lacks a grant, repair is in mode auto, and something goes wrong. Each is
// played through the built program, `run` with a state directory, or where the row says so in process, by a clock that is set.
var damages = []damage{
	{"F28", "the agency trusts another account", trouble{before: distrusted}, "drifted(trust/mismatch)", "", 0, "agency_trust_mismatch = 1, remediation_blocked_total{reason=trust} rises"},
	{"F28", "it does so between the reading of agencies and that of grants", during(trustFlips), "drifted(trust/mismatch)", "not_sent", 0, "agency_trust_mismatch = 1, remediation_blocked_total{reason=stale_plan} rises"},
	{"F29", "it does so between the plan and the reading before the write", beforeReading(trustFlips), "drifted(trust/mismatch)", "not_sent", 0, "agency_trust_mismatch = 1, remediation_blocked_total{reason=stale_plan} rises"},
	{"F29", "it does so between that reading and the write", beforeWriting(trustFlips), "drifted(trust/mismatch)", "done", 1, "agency_trust_mismatch = 1, remediation_frozen = 1"},
	{"F30", "the agency is made anew between the plan and the reading", beforeReading(madeAnew), "right", "not_sent, done", 1, "remediation_blocked_total{reason=stale_plan} rises, remediation_steps_total{result=done} rises"},
	{"F30", "it is made anew between that reading and the write", beforeWriting(madeAnew), "right", "superseded, done", 1, "remediation_steps_total{result=superseded} rises, remediation_steps_total{result=done} rises"},
	{"F31", "a custom policy has a required one's name", twin, "drifted(policy/impostor)", "done", 1, "policy_excess{kind=impostor} = 1, remediation_steps_total{result=done} rises"},
	{"F32", "what a required policy allows is changed", trouble{before: rewrite}, "right", "done", 1, "remediation_steps_total{result=done} rises"},
	{"F34", "two accounts cannot be entered", trouble{victims: 3, assumed: true, before: locksOut}, "", "", 0, "remediation_blocked_total{reason=incomplete} rises, run_complete = 0"},
	{"F35", "the organization cannot be listed whole", trouble{organized: true, before: unlisted}, "drifted(policy/missing)", "", 0, "remediation_blocked_total{reason=incomplete} rises, run_complete = 0"},
	{"F44", "refused before effect: 403; the next account is left to the next run", styled(2, "status_403"), "", "failed, done", 1, "remediation_steps_total{result=failed} rises, remediation_blocked_total{reason=cooling} rises"},
	{"F44", "refused before effect: 400", styled(1, "status_400"), "drifted(policy/missing)", "failed", 0, "remediation_steps_total{result=failed} rises, remediation_blocked_total{reason=cooling} rises"},
	{"F44", "500 before effect, which may be after it", clocked(styled(1, "status_500"), time.Hour), "drifted(policy/missing)", "failed", 0, "remediation_steps_total{result=failed} rises"},
	{"F45", "done, and the connection is reset, 500, or a 200 that is none", styled(3, "reset", "done_500", "status_202"), "right", inEach("done", 3), 3, "remediation_steps_total{result=done} rises, remediation_open_intents = 0"},
	{"F45", "done, and no answer comes", hasteful(styled(1, "hang")), "right", "done", 1, "remediation_steps_total{result=done} rises, remediation_open_intents = 0"},
	{"F46", "somebody was faster: 409", faster("409"), "right", "noop", 0, "remediation_steps_total{result=noop} rises"},
	{"F46", "somebody was faster: 204", faster("204"), "right", "done", 0, "remediation_steps_total{result=done} rises"},
	{"F46", "somebody was faster to revoke: 404", elsewhere("auditor/huawei", "TestWhatIsSoBefore"), "right", "noop", 0, "remediation_steps_total{result=noop} rises"},
	{"F47", "it says that it was done, and it was not", clocked(styled(1, "not_done"), time.Hour), "drifted(policy/missing)", "unverified", 0, "remediation_steps_total{result=unverified} rises, remediation_quarantined = 1"},
	{"F48", "what is read is older than the write", stale, "right", "done", 1, "remediation_steps_total{result=done} rises, remediation_pending_verification = 0"},
	{"F49", "somebody undoes it, time and again", undoing, "drifted(policy/missing)", inEach("done", 2), 2, "remediation_quarantined = 1, remediation_blocked_total{reason=quarantine} rises"},
	{"F49", "somebody undoes it before it can be read", clocked(undoneAtOnce, time.Hour), "drifted(policy/missing)", "unverified", 1, "remediation_quarantined = 1"},
	{"F50", "killed after the intent and before the request", killedAt(reading, false, false), "right", "not_sent, done", 1, "remediation_open_intents = 0"},
	{"F51", "killed when it was done and before the answer", killedAt(sending, true, true), "right", "done", 1, "remediation_open_intents = 0"},
	{"F51", "killed when it was sent and did not arrive", lostOnTheWay, "drifted(policy/missing)", "failed", 0, "remediation_open_intents = 0"},
	{"F52", "the disk takes no ledger any more", full, "drifted(policy/missing)", "", 0, "ledger_append_errors_total rises, ledger_ok = 0, run_complete = 1"},
	{"F53", "each operation on the ledger fails: nothing more by this process", elsewhere("auditor/remedy", "TestLedgerFailsAnywhere"), "drifted(policy/missing)", "", 0, "ledger_ok = 0"},
	{"F54", "power cut, wherever the ledger is written", elsewhere("auditor/remedy", "TestCutAnywhere"), "right", "", 0, "ledger_ok = 1"},
	{"F55", "the ledger is older than the history remembers", olderLedger, "drifted(policy/missing)", "done", 1, "ledger_ok = 0, run_complete = 1"},
	{"F55", "a byte of the ledger is another", alteredLedger, "drifted(policy/missing)", "done", 1, "ledger_ok = 0, run_complete = 1"},
	{"F56", "a second process has the same state directory", second, "right", "done", 1, "remediation_steps_total{result=done} rises"},
	{"F59", "panic in a write", panicking, "drifted(policy/missing)", "", 0, "panics_total{where=write} rises, remediation_frozen = 1, remediation_open_intents = 1"},
	{"F63", "the plan exceeds a limit; and a restart", overBudget, "drifted(policy/missing)", "", 0, "remediation_frozen = 1, ledger_ok = 1"},
	{"F64", "a baseline requires what is never granted, at the start and at a reload", deniedBaseline, "drifted(policy/missing)", "", 0, "remediation_blocked_total{reason=stopped} rises, config_reload_success = 0"},
	{"F68", "an approval is used again, or is of an older plan", replayed, "drifted(policy/missing)", "done", 1, "remediation_blocked_total{reason=approval} rises, remediation_approvals_waiting = 1"},
	{"F70", "the kill switch's file is there", switched, "right", "done", 1, "remediation_blocked_total{reason=kill_switch} rises, remediation_frozen = 0"},
}

// trouble is how something goes wrong.
type trouble struct {
	// victims is how many accounts there are that are struck, one if it is not said; assumed has them be entered by an agency.
	victims int
	assumed bool
	// organization changes it before it is there.
	organization func(*simcloud.Organization)
	// mode and section are what the configuration says of repair, instead of mode auto and no limit.
	mode, section string
	// hasty has the program wait for seconds rather than for minutes.
	hasty bool
	// helped says that somebody else does what was intended, spoiled that the ledger is no good in the end.
	helped, spoiled bool
	// organized has the organization list its accounts too.
	organized bool
	// buggy says that there is a bug in the program.
	buggy bool
	// clocked has it be played in this process, by a clock that is set, keyed has no account be entered by an agency.
	clocked, keyed bool
	// before happens before the accounts are broken, when everything is known, breaks instead of taking a grant from each, and after once they are.
	before, breaks, after func(w *workshop)
	// at happens at each request since.
	at func(w *workshop, asked request, serve func())
	// room and test name the test that plays the row.
	room, test string
}

// inEach is the same outcome of so many intents.
func inEach(outcome string, times int) string {
	return strings.Join(slices.Repeat([]string{outcome}, times), ", ")
}

func elsewhere(room, test string) trouble { return trouble{room: room, test: test} }

// play plays the row.
func (d damage) play(t *testing.T) {
	w := openWorkshop(t, d)
	w.begin()
	w.await("everything is known", w.allAsTheyAre)
	before := w.ranSince(time.Now())
	if d.do.before != nil {
		d.do.before(w)
	}
	if d.do.at != nil {
		w.happensAt(d.do.at)
	}
	if d.do.breaks != nil {
		d.do.breaks(w)
	} else {
		w.breaks()
	}
	if d.do.after != nil {
		d.do.after(w)
	}
	w.settles(before)
	w.closed()
}

// settles wants the row to end as it says, to stay so for two runs, and to show it.
func (w *workshop) settles(before moment) {
	w.t.Helper()
	d := w.damage
	open := 0
	if strings.Contains(d.metric, "remediation_open_intents = 1") {
		open = 1
	}
	if d.do.spoiled {
		open = int(w.look().one("remediation_open_intents"))
	}
	w.ended(d.ends, open)
	during := w.await("it is shown", func(m moment) string { return w.lacking(m) })
	if d.metric != "" {
		during = w.twoRuns()
	}
	w.ended(d.ends, open)
	w.balanced(d.writes)
	if d.state != "" {
		w.befallen(before, during)
	}
	w.unscathed(before, during)
	w.shown(before, during)
	w.answersSoon()
	if !d.do.clocked { // a clock that is set makes a scheduler look dead for some seconds
		w.pages()
	}
}

// lacking says which state is not reached yet.
func (w *workshop) lacking(during moment) string {
	want := w.fault.expected()
	for _, a := range w.accounts {
		state := want.state
		if state == "right" {
			state = "compliant"
		}
		if a.victim && state != "" && during.one("account_state", a.label(), `state="`+state+`"`) != 1 {
			return fmt.Sprintf("%s is %v", a.name, during.where("account_state", a.label()).ones())
		}
	}
	return ""
}

// shortDamages are the rows that are played where time is short.
var shortDamages = []string{"F29", "F51", "F63"}

// TestFaultsOfWriting plays every row of the matrix that concerns changes.
func TestFaultsOfWriting(t *testing.T) {
	t.Parallel()
	var g sync.WaitGroup
	lines := map[string]int{}
	for _, d := range damages {
		name := d.id
		if lines[d.id]++; lines[d.id] > 1 {
			name = fmt.Sprintf("%s.%d", d.id, lines[d.id])
		}
		if testing.Short() && !slices.Contains(shortDamages, name) {
			continue
		}
		how := "binary"
		switch {
		case d.do.test != "":
			how = "model"
		case d.do.clocked:
			how = "process"
		}
		writes := fmt.Sprintf("%d writes", d.writes)
		if d.writes == 1 {
			writes = "1 write"
		}
		state := strings.Join(slices.DeleteFunc([]string{d.state, d.ends, writes}, func(s string) bool { return s == "" }), ", ")
		slots <- struct{}{}
		g.Go(func() {
			defer func() { <-slots }()
			t.Run(name, func(t *testing.T) {
				t.Attr("fault", strings.Join([]string{d.id, d.what, state, d.metric, how}, "|"))
				if d.do.test != "" {
					wantTest(t, d.do.room, d.do.test)
					t.Attr("by", d.do.room+" "+d.do.test)
					return
				}
				d.play(t)
			})
		})
	}
	g.Wait()
}

// In the modes off and plan nothing that could change anything is sent, whatever is wrong, and plan shows what would be done.
func TestOffAndPlanSendNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"off", "plan"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := openWorkshop(t, damage{do: trouble{mode: mode, victims: 2}})
			w.begin()
			w.await("everything is known", w.allAsTheyAre)
			w.breaks()
			for i := range w.accounts {
				w.accounts[i].drifted = w.accounts[i].victim
			}
			w.await("it is seen", w.allAsTheyAre)
			m := w.twoRuns()
			if n := w.changing.Load(); n > 0 {
				t.Errorf("%d requests could have changed something", n)
			}
			noWrites(t, w.cloud.Load())
			sent := 0.0 // by the transport's own count
			for key, n := range m.where("api_requests_total") {
				for _, verb := range []string{"Associate", "Remove", "Revoke", "Detach"} {
					if n > 0 && strings.Contains(key, `operation="`+verb) {
						t.Errorf("%v of %s", n, key)
					}
				}
				sent += n
			}
			if n := w.repairing.Load(); n > 0 || sent == 0 {
				t.Errorf("the key of repair was used %d times, and the transport counts %v requests", n, sent)
			}
			if m.one("remediation_mode", fmt.Sprintf("mode=%q", mode)) != 1 || len(w.ledger()) > 0 && mode == "off" {
				t.Errorf("%v, %d entries", m.where("remediation_mode").ones(), len(w.ledger()))
			}
			page := w.daemon.get(t, "/").body
			var plan struct{ Steps []rules.Step }
			status, said := w.asks(http.MethodPost, "plan", struct{}{}, &plan)
			if mode == "plan" && (len(plan.Steps) != 2 || status != http.StatusOK) || mode == "off" && status == http.StatusOK {
				t.Errorf("the plan: %d %s\n%s", status, said, last(page, 2000))
			}
			w.damage.do.spoiled = mode == "off" || len(w.ledger()) == 0
			w.closed()
		})
	}
}

// Somebody changes the account at the first, the second, … request of a plan that is made and carried out (T19): whom the agency trusts, which agency
// it is, or what was lacking. Nothing is written that the last reading does not bear out, and what happens behind that is found out at once.
func TestFaultAtAnyRequest(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(w *workshop){"trust": trustFlips, "made anew": madeAnew, "granted": granted} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := openWorkshop(t, damage{do: trouble{keyed: true, helped: what == "granted"}})
			w.accounts = []actor{w.accounts[0], w.accounts[bystanders]}
			ak, sk := keyVariables(bystanders)
			ak1, sk1 := keyVariables(1)
			for i, e := range w.env { // the second account in the configuration is another one now
				e = strings.NewReplacer(ak1+"=", "OTHER_AK=", sk1+"=", "OTHER_SK=").Replace(e)
				w.env[i] = strings.NewReplacer(ak+"=", ak1+"=", sk+"=", sk1+"=").Replace(e)
			}
			w.configure(w.section)
			org := w.cloud.Load().Organization()
			every := 3
			switch {
			case os.Getenv(faultsInFull) != "":
				every = 1
			case testing.Short():
				every = 16
			}
			written, stopped, last := 0, 0, 1<<30
			for k := 1; k <= last; k += every {
				w.replaceCloud(org)
				if err := os.RemoveAll(w.dir); err != nil {
					t.Fatal(err)
				}
				w.breaks()
				w.changing.Store(0)
				var mu sync.Mutex
				asked, read, write := 0, 0, 0 // how many requests there were, and which was the first to read again, and the one that changes something
				w.happensAt(func(w *workshop, r request, serve func()) {
					mu.Lock()
					if asked++; asked == k {
						change(w)
					}
					switch {
					case r.writes:
						write = asked
					case r.phase == reading && read == 0:
						read = asked
					}
					mu.Unlock()
					serve()
				})
				s := w.byHand()
				frozen := s.Frozen != nil
				n := len(w.entries(remedy.KindSent))
				effective, _ := w.written()
				w.balanced(len(effective))
				switch {
				case n > 1 || len(effective) > 1:
					t.Errorf("request %d: %d were sent, and %d changes made", k, n, len(effective))
				case what == "trust" && (k <= read || read == 0) && w.changing.Load() > 0:
					t.Errorf("request %d: granted to whom the account trusts no more, which the reading from request %d on shows", k, read)
				case what == "trust" && len(effective) > 0 && k <= write && !frozen:
					t.Errorf("request %d: granted to whom the account trusts no more by request %d, and repair goes on", k, write)
				case what == "granted" && k <= read && w.changing.Load() > 0:
					t.Errorf("request %d: granted what is there, which the reading from request %d on shows", k, read)
				case asked < k && (len(effective) != 1 || frozen):
					t.Errorf("nothing happened, and %d changes were made", len(effective))
				}
				if asked < k {
					break
				}
				if what == "made anew" && write > 0 {
					last = write // behind it the cloud may still show what it said
				}
				written += len(effective)
				if frozen {
					stopped++
				}
				if t.Failed() {
					return
				}
			}
			t.Logf("%d changes, %d freezes", written, stopped)
			if every == 1 && (written == 0 && what != "granted" || what == "trust" && stopped == 0) {
				t.Errorf("too little happened: %d changes, %d freezes", written, stopped)
			}
		})
	}
}

// byHand makes a plan in this process and carries it out, and says how repair stands then.
func (w *workshop) byHand() *remedy.Status {
	w.t.Helper()
	h, err := daemon.OpenHand(w.t.Context(), daemon.Options{Config: w.parsed(), Version: "v1.2.3"})
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() {
		if err := h.Close(); err != nil {
			w.t.Error(err)
		}
	}()
	p, err := h.Plan(w.t.Context(), "", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(p.Steps) > 0 {
		if _, err := h.Apply(w.t.Context(), p, "somebody"); err != nil {
			w.t.Fatal(err)
		}
	}
	s, err := h.Status(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// stepOf is a step whose every text is as text says.
func stepOf(action rules.Action, text func(string) string) rules.Step {
	return rules.Step{
		Action: action, AccountID: text("account id"), Account: text("account"), AgencyID: text("agency id"), Agency: text("agency"), Baseline: "coc",
		Grant: rules.Grant{
			Policy: rules.Policy{ID: text("policy id"), Name: text("policy"), Origin: rules.Custom},
			Scope:  rules.Scope{Kind: rules.Project, ID: text("project id"), Name: text("project")},
		},
		Affects: []string{text("affects")}, Holding: "h",
	}
}

// repairOf is a plan with what is held, what repair is at, what came of it, and what the ledger says of that, in texts of text's.
func repairOf(text func(string) string) (PlanView, *remedy.Result, []remedy.Entry) {
	grant, revoke := stepOf(rules.ActionGrant, text), stepOf(rules.ActionRevoke, text)
	held := rules.Held{
		AccountID: text("account id"), Account: text("account"), Action: rules.ActionRevoke, Policy: text("policy"), PolicyID: text("policy id"),
		Scope: rules.Global, Reason: rules.HoldNotListed, Detail: text("detail"),
	}
	p := (&remedy.Plan{
		Run: text("run"), RunEndedAt: noon, Undoes: text("undoes"), Fleet: 3, Unread: 2, Steps: []rules.Step{grant, revoke},
		Held: []rules.Held{held}, Stopped: rules.HoldFrozen, Detail: text("detail"), Over: text("over"),
	}).By(text("requester"), nil)
	p.Signature = "s"
	open := remedy.Open{Intent: 7, Run: text("run"), Step: grant, Since: noon, Said: text("said"), RequestID: text("request")}
	done := remedy.Done{Open: open, EndedAt: noon, Outcome: remedy.OutcomeFailed, Reason: text("reason")}
	s := &remedy.Status{
		Mode: remedy.ModeApprove, Plan: &p, Waiting: map[string]time.Time{p.Digest: noon}, Frozen: &remedy.Freeze{Since: noon, By: text("by"), Reason: text("reason")},
		Open: []remedy.Open{open}, Pending: 1, Quarantined: []remedy.Quarantine{{AccountID: text("account id"), Since: noon, Reason: text("reason"), Step: revoke}},
		Last: []remedy.Done{done}, Remaining: map[rules.Action]int{rules.ActionGrant: 5, rules.ActionRevoke: 1}, Entries: 9, Ledger: text("ledger"),
	}
	v := PlanView{Plan: &p, Status: s, Now: noon.Add(time.Minute), Daemon: true, Next: "To go on:"}
	r := &remedy.Result{Done: []remedy.Done{done}, Open: []remedy.Open{open}, Void: []rules.Held{held}, Stopped: rules.HoldFrozen, Detail: text("detail")}
	entries := []remedy.Entry{
		{Seq: 1, Time: noon, Kind: remedy.KindStarted, Actor: text("actor"), Reason: text("reason")},
		{Seq: 2, Time: noon, Kind: remedy.KindPlanned, Actor: text("actor"), Run: text("run"), Plan: p.Digest, Steps: 2},
		{Seq: 7, Time: noon, Kind: remedy.KindIntent, Actor: text("actor"), Step: &grant},
		{Seq: 8, Time: noon, Kind: remedy.KindOutcome, Actor: text("actor"), Intent: 7, Outcome: remedy.OutcomeFailed, Said: text("said"), RequestID: text("request")},
		{Seq: 9, Time: noon, Kind: remedy.KindOutcome, Actor: text("actor"), Intent: 3, Outcome: remedy.OutcomeDone},
		{Seq: 10, Time: noon, Kind: remedy.KindReleased, Actor: text("actor"), AccountID: text("account id")},
	}
	return v, r, entries
}

// Whatever anybody calls anything, what is shown of repair keeps to its lines, and JSON can be read.
func TestRepairOfHostileTexts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return hostile.Draw(t, name) }
		v, r, entries := repairOf(text)
		width := rapid.SampledFrom([]int{MinWidth, 80, 100}).Draw(t, "width")
		o := Options{Width: width, Verbose: rapid.Bool().Draw(t, "verbose")}
		for name, show := range map[string]func(w io.Writer) error{
			"plan":    func(w io.Writer) error { return Plan(w, v, o) },
			"outcome": func(w io.Writer) error { return Outcome(w, v.Plan, r, o) },
			"ledger":  func(w io.Writer) error { return Ledger(w, entries, map[int64]rules.Step{7: *entries[2].Step}, 20, o) },
			"json of a plan": func(w io.Writer) error {
				return PlanJSON(w, v)
			},
			"json of an outcome": func(w io.Writer) error { return OutcomeJSON(w, v.Plan, r) },
			"json of a ledger":   func(w io.Writer) error { return LedgerJSON(w, entries, 20, errors.New(text("problem"))) },
			"file":               func(w io.Writer) error { return PlanFile(w, v.Plan) },
		} {
			var out bytes.Buffer
			if err := show(&out); err != nil {
				t.Fatal(err)
			}
			coded := name == "file" || strings.HasPrefix(name, "json")
			if coded && !json.Valid(out.Bytes()) {
				t.Fatalf("%s is no JSON: %s", name, out.String())
			}
			for line := range strings.Lines(out.String()) {
				line = strings.TrimSuffix(line, "\n")
				if i := strings.IndexFunc(line, rules.Acts); i >= 0 || !utf8.ValidString(line) {
					t.Fatalf("%s: a line leaves %q: %q", name, line[max(i, 0):], line)
				}
				if !coded && tooWide(line, width) {
					t.Fatalf("%s: a line of more than %d columns: %q", name, width, line)
				}
			}
		}
	})
}

// What was written is the plan that is read, whatever the cloud calls its accounts.
func TestAPlansFileIsReadAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v, _, _ := repairOf(func(name string) string { return strings.ToValidUTF8(hostile.Draw(t, name), "?") })
		var out bytes.Buffer
		if err := PlanFile(&out, v.Plan); err != nil {
			t.Fatal(err)
		}
		p, err := remedy.ParsePlan(out.Bytes())
		if err != nil || p.Digest != v.Plan.Digest || len(p.Steps) != 2 || p.Steps[0].ID() != v.Plan.Steps[0].ID() {
			t.Fatalf("%v: %s", err, out.String())
		}
	})
}

func shownPlan(t *testing.T, v PlanView, o Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := Plan(&b, v, o); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A plan says everything that is there to be decided by.
func TestAPlanSaysWhatIsDecidedByIt(t *testing.T) {
	v, r, entries := repairOf(func(name string) string { return "<" + name + ">" })
	v.Commands = []string{"agencyaudit approve " + strings.Repeat("long-", 30)}
	text := shownPlan(t, v, Options{})
	for _, want := range []string{
		"Plan to take back what was done after run <undoes>: 2 steps in 1 account", v.Plan.Digest, "<requester>, signed", "the daemon's last run (<run>), which ended at 2026-11-23",
		"1m ago", "2 accounts, for which nothing is proposed", "1  grant ", "2  revoke", "<account id>", "<agency>", "<policy>", "custom policy <policy id>", "- <affects>",
		"- it affects what step 1 does", "not_listed: the policy is not on the list of those that may be revoked (1)", "    <detail>\n      - revoke <policy> at Global service: <account>",
		"it exceeds one", "<over>", "stopped       frozen: repair is frozen: <detail>", "mode approve, by the daemon; the ledger has 9 entries", "ledger        <ledger>",
		"frozen        since 2026-11-23 12:00:00 UTC, by <by>: <reason>", "for approval since", "intent 7, since", "the cloud said: <said>", "quarantined   since", "last          ",
		"\nTo go on:\n  agencyaudit approve long-long-",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	v.Plan.Over = ""
	if text := strings.Join(strings.Fields(shownPlan(t, v, Options{})), " "); !strings.Contains(text, "it fits: it grants in 1 account and revokes in 1 account; in accounts that were not written in today, 5 and 1 may be") {
		t.Errorf("it fits:\n%s", text)
	}
	for i := range maxListed {
		h := v.Plan.Held[0]
		h.Account = fmt.Sprintf("other-%d", i)
		v.Plan.Held = append(v.Plan.Held, h)
	}
	if text := shownPlan(t, v, Options{}); !strings.Contains(text, "other-3 and 1 more") || strings.Contains(text, "other-4") {
		t.Errorf("many accounts:\n%s", text)
	}
	if text := shownPlan(t, v, Options{Verbose: true}); !strings.Contains(text, "other-4") {
		t.Errorf("all accounts:\n%s", text)
	}
	v.Plan.Steps, v.Plan.Undoes, v.Status, v.Daemon = nil, "", nil, false
	if text := shownPlan(t, v, Options{}); !strings.HasPrefix(text, "Plan: nothing to do\n") || strings.Contains(text, "it fits") || !strings.Contains(text, "a run made for it") {
		t.Errorf("nothing:\n%s", text)
	}

	var b bytes.Buffer
	if err := Outcome(&b, v.Plan, r, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{": 0 of 0 steps done", "failed", "pending", "void", "request <request>", "<reason>", "does not show yet", "not_listed: ", "Stopped: frozen"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := Ledger(&b, entries, map[int64]rules.Step{7: *entries[2].Step}, 20, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"started", "<actor>", "run <run>", "2 steps", "intent 7: ", "outcome: failed", "the cloud said: <said>", "request <request>", "intent 3\n", "account <account id>",
		"6 of 20 entries are shown.",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in:\n%s", want, b.String())
		}
	}
	b.Reset()
	if err := Ledger(&b, nil, nil, 0, Options{}); err != nil || b.String() != "No entry.\n" {
		t.Errorf("an empty ledger: %v %q", err, b.String())
	}
}

// No list of a document is null, and what is wrong with a ledger is in it.
func TestRepairJSON(t *testing.T) {
	v, _, _ := repairOf(func(name string) string { return name })
	var plan, outcome, ledger bytes.Buffer
	if err := errors.Join(PlanJSON(&plan, v), OutcomeJSON(&outcome, v.Plan, &remedy.Result{}), LedgerJSON(&ledger, nil, 3, errors.New("cut"))); err != nil {
		t.Fatal(err)
	}
	squeezed := func(b *bytes.Buffer) string { return strings.Join(strings.Fields(b.String()), "") }
	if text := squeezed(&plan); !strings.Contains(text, `"schema":"agencyaudit.repair.plan/v1","daemon":true`) || strings.Count(text, `"digest"`) != 1 {
		t.Errorf("the plan: %s", text)
	}
	if v.Status.Plan == nil {
		t.Error("what was shown was changed")
	}
	if text := squeezed(&outcome); !strings.Contains(text, `"whole":true,"result":{"done":[],"open":[],"void":[]}`) {
		t.Errorf("the outcome: %s", text)
	}
	if text := squeezed(&ledger); !strings.Contains(text, `"total":3,"whole":false,"problem":"cut","entries":[]`) {
		t.Errorf("the ledger: %s", text)
	}
}

// Who asked for a plan is said as it is: a daemon asks for nothing where there is none.
func TestWhoAskedForAPlan(t *testing.T) {
	for _, tt := range []struct {
		by     string
		daemon bool
		says   string
	}{
		{remedy.Daemon, true, "daemon\n"}, {remedy.Daemon, false, "no person: it is what follows from the run\n"}, {"alice", false, "alice\n"},
	} {
		text := shownPlan(t, PlanView{Plan: &remedy.Plan{RequestedBy: tt.by}, Now: noon, Daemon: tt.daemon}, Options{})
		if !strings.Contains(text, "asked for by  "+tt.says) {
			t.Errorf("%s, by a daemon: %v: %s", tt.by, tt.daemon, text)
		}
	}
}

// Every reason is one that a plan shows.
func TestEveryReasonIsShown(t *testing.T) {
	p := remedy.Plan{}
	for _, why := range rules.Holds() {
		p.Held = append(p.Held, rules.Held{Account: "a", Action: rules.ActionGrant, Policy: "p", Scope: rules.Global, Reason: why, Detail: "d"})
	}
	slices.Reverse(p.Held)
	text := shownPlan(t, PlanView{Plan: &p, Now: noon}, Options{})
	for _, why := range rules.Holds() {
		if !strings.Contains(text, "  "+string(why)+": "+why.Words()) {
			t.Errorf("%s is not shown", why)
		}
	}
}

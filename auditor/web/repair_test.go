package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// repairing is a state of repair with something of each kind, about the second account of fleet, every text of which may be replaced.
func repairing(text func(string) string) *Repair {
	if text == nil {
		text = func(s string) string { return s }
	}
	const id, agency = "d0000000000000000000000000000001", "ServiceAgencyForCOC"
	step := func(action rules.Action, policy string) rules.Step {
		return rules.Step{
			Action: action, AccountID: id, Account: text("account-drifted"), AgencyID: text("agency-id"), Agency: agency, Baseline: "coc",
			Grant:   rules.Grant{Policy: rules.Policy{ID: text("id-of-" + policy), Name: text(policy)}, Scope: rules.Scope{Kind: rules.AllResources}},
			Affects: []string{text("COC may use " + policy + " from then on.")},
		}
	}
	held := func(reason rules.Hold, policy string) rules.Held {
		return rules.Held{
			AccountID: id, Account: text("account-drifted"), Agency: agency, Action: rules.ActionRevoke, Policy: text(policy), Scope: rules.Project,
			Reason: reason, Detail: text("detail of " + policy),
		}
	}
	r := &Repair{
		Mode:   "approve",
		Frozen: &Freeze{Since: noon.Add(-time.Hour), By: text("alice"), Why: text("a drill"), Lift: text("agencyaudit unfreeze")},
		Plan: &Plan{
			Digest: text("f00d"), Run: text("run1"), PlannedAt: noon, Waits: true,
			Commands: []string{text("agencyaudit approve f00d")}, Steps: []rules.Step{step(rules.ActionGrant, "DCS UserAccess")},
		},
		Open: []Step{
			{Step: step(rules.ActionGrant, "RMS ReadOnlyAccess"), At: noon, Pending: true},
			{Step: step(rules.ActionGrant, "IAM ReadOnlyAccess"), At: noon},
		},
		Quarantined: []Quarantine{{
			Subject: auditor.Subject{Account: rules.Account{ID: id, Name: text("account-drifted")}, Agency: agency},
			Grant:   text("OBS OperateAccess at all resources"), Since: noon.Add(-2 * time.Hour), Why: text("somebody undid it twice"), Lift: text("agencyaudit release 7"),
		}},
		Last: []Step{
			{Step: step(rules.ActionRevoke, "OBS Administrator"), At: noon.Add(-24 * time.Hour), Outcome: "done", RequestID: text("request-1")},
			{Step: step(rules.ActionRevoke, "VPC Administrator"), At: noon.Add(-25 * time.Hour), Outcome: "failed", Why: text("the cloud answered 403"), RequestID: text("request-2")},
		},
	}
	for i := range maxHeldShown + 2 {
		r.Held = append(r.Held, held(rules.HoldGrace, fmt.Sprintf("Policy %d", i)))
	}
	r.Held = append(r.Held, held(rules.HoldWaived, "Waived Policy"), held("of another time", "Odd Policy"))
	return r
}

func TestRepairThatIsOffIsOneLine(t *testing.T) {
	s := open(t)
	for name, r := range map[string]*Repair{"none": nil, "off": {Mode: "off"}} {
		s.view.Repair = r
		text := page(t, s.ask("GET", "/"))
		expect(t, text, "Repair off")
		if strings.Count(text, "Repair") != 1 || strings.Contains(page(t, s.ask("GET", accountPath)), "Repair") {
			t.Errorf("%s: more is said than that it is off:\n%s", name, text)
		}
	}
	full := repairing(nil)
	full.Mode = "off"
	s.view.Repair = full
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "off; what became of 2 steps that were begun before is not known")
	if strings.Count(text, "Repair") != 1 || strings.Contains(page(t, s.ask("GET", accountPath)), "Repair") {
		t.Errorf("more is said:\n%s", text)
	}
}

func TestRepairOnThePages(t *testing.T) {
	s := open(t)
	s.view.Repair = repairing(nil)
	for _, path := range []string{"/", accountPath} {
		w := s.ask("GET", path)
		text := page(t, w)
		expect(t, text, "Repair: mode approve", "What a person approved is done.",
			"Frozen: nothing is changed. Since 2026-03-01 11:00:00 UTC 1 h 3 min ago , by alice: a drill", "To lift it: agencyaudit unfreeze",
			"account-drifted ServiceAgencyForCOC grant DCS UserAccess at All resources COC may use DCS UserAccess from then on.", "agencyaudit approve f00d",
			"Not known yet what became of it", "grant RMS ReadOnlyAccess", "pending: the cloud said that it did it", "open: the account has to be read first",
			"Quarantined", "OBS OperateAccess at all resources somebody undid it twice To lift it: agencyaudit release 7",
			"Not put right, and why", "it was not seen for long enough yet grace 7", "revoke Policy 0 at project · detail of Policy 0", "and 2 more",
			"it is accepted waived 1", "of another time", "Odd Policy",
			"Last steps", "revoke OBS Administrator", "done request id of the cloud: request-1", "failed the cloud answered 403 request id of the cloud: request-2")
		if strings.Contains(text, "Policy 5") {
			t.Errorf("%s has more examples than it should:\n%s", path, text)
		}
		if i, j := strings.Index(text, "it is accepted"), strings.Index(text, "it was not seen"); i < 0 || i > j {
			t.Errorf("%s: the reasons are in another order", path)
		}
		for _, class := range []string{`<td class="better">done`, `<td class="worse">failed`} {
			if !strings.Contains(w.Body.String(), class) {
				t.Errorf("%s: nothing has the tone of %s", path, class)
			}
		}
		// It is for reading alone: the only form is that of the search.
		if n := strings.Count(w.Body.String(), "<form"); n > 1 || strings.Contains(w.Body.String(), `method="post"`) || strings.Count(w.Body.String(), "<button") != n {
			t.Errorf("%s: something can be done there", path)
		}
	}
	expect(t, page(t, s.ask("GET", "/")), "Repair mode approve, frozen")
	s.view.Repair.Frozen, s.view.Repair.Plan.Waits = nil, false
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "Repair mode approve", "What is proposed")
	for _, wrong := range []string{"rozen", "agencyaudit approve", "Can be approved"} {
		if strings.Contains(text, wrong) {
			t.Errorf("it says %q:\n%s", wrong, text)
		}
	}
	if body := s.ask("GET", "/?refresh=7").Body.String(); !strings.Contains(body, `<a href="/accounts/d0000000000000000000000000000001/ServiceAgencyForCOC?refresh=7">account-drifted</a><div class="ago">`) {
		t.Error("the links of repair do not keep the refresh")
	}
}

// TestThePageOfAnotherAccountSaysNothingOfRepair: neither that of another account, nor that of another agency of the same one.
func TestThePageOfAnotherAccountSaysNothingOfRepair(t *testing.T) {
	s := open(t)
	s.view.Repair = repairing(nil)
	if text := page(t, s.ask("GET", strings.Replace(accountPath, "0001/", "0004/", 1))); strings.Contains(text, "Repair") {
		t.Errorf("it is another account's:\n%s", text)
	}
	r := s.view.Repair
	own := auditor.Subject{Account: rules.Account{ID: "d0000000000000000000000000000001"}, Agency: "ServiceAgencyForCOC"}
	other := own
	other.Agency = "Other"
	for i, some := range []*Repair{{Plan: r.Plan}, {Open: r.Open}, {Quarantined: r.Quarantined}, {Held: r.Held}, {Last: r.Last}} {
		if some.about(own) == nil {
			t.Errorf("kind %d is about nobody", i)
		}
		if got := some.about(other); got != nil {
			t.Errorf("kind %d is another agency's: %+v", i, got)
		}
	}
	if len(r.Plan.Steps) != 1 || len(r.Held) == 0 {
		t.Error("what is shown was changed")
	}
}

// TestRepairIsBounded: a plan or a list of reasons of any length makes no page of that length.
func TestRepairIsBounded(t *testing.T) {
	s := open(t)
	r := repairing(nil)
	for range 20_000 {
		r.Plan.Steps = append(r.Plan.Steps, r.Plan.Steps[0])
		r.Open, r.Last, r.Held = append(r.Open, r.Open[0]), append(r.Last, r.Last[0]), append(r.Held, r.Held[0])
		r.Quarantined = append(r.Quarantined, r.Quarantined[0])
	}
	s.view.Repair = r
	for _, path := range []string{"/", accountPath} {
		w := s.ask("GET", path)
		expect(t, page(t, w), "and 19901 more", "and 19902 more", "and 20002 more")
		if w.Body.Len() > 300_000 {
			t.Errorf("%s has %d bytes", path, w.Body.Len())
		}
	}
}

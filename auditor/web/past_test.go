package web

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// changed are changes of every kind, in which every text is what word makes of it.
func changed(word func(string) string) []Change {
	account := rules.Account{ID: "d0000000000000000000000000000001", Name: word("one")}
	of := auditor.Subject{Account: account, Agency: "ServiceAgencyForCOC", Baseline: "coc"}
	lacks := &rules.Finding{Rule: rules.RuleMissing, Severity: rules.High, Policy: word("P"), Scope: rules.Global}
	trusts := &rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Message: word("It trusts another account.")}
	at := noon.Add(-time.Hour)
	return []Change{
		{Subject: of, At: at, Finding: lacks, Since: at},
		{Subject: of, At: at, Finding: lacks, Since: at.Add(-2 * time.Hour), Went: "refuted"},
		{Subject: of, At: at, Finding: lacks, Since: at.Add(-2 * time.Hour), Went: "baseline"},
		{Subject: of, At: at, Finding: trusts, Since: at.Add(-2 * time.Hour), Went: "replaced"},
		{Subject: of, At: at, Finding: trusts, Since: at.Add(-2 * time.Hour), Went: "baseline"},
		{Subject: of, At: at, Finding: lacks, Since: at.Add(-2 * time.Hour), Went: "gone"},
		{Subject: of, At: at, Is: rules.StateCompliant},
		{Subject: of, At: at, Was: rules.StateCompliant, Is: rules.StateUnknown, Reason: rules.ReasonDenied},
		{Subject: of, At: at, Was: rules.StateNotEnabled},
		{Subject: of, At: at, CalledBefore: word("two")},
	}
}

func TestThePastIsShown(t *testing.T) {
	plain := func(s string) string { return s }
	var asked string
	var fault error
	s := open(t, func(o *Options) {
		o.Changes = func(_ context.Context, account string) ([]Change, error) {
			asked = account
			other := Change{Subject: auditor.Subject{Account: rules.Account{ID: "d0000000000000000000000000000009", Name: account}, Agency: "ServiceAgencyForCOC"}, At: noon}
			other.CalledBefore = "impostor"
			return append(changed(plain), other), fault
		}
	})
	if text := page(t, s.ask("GET", "/")); strings.Contains(text, "What changed") {
		t.Error("without a history it says what changed")
	}
	s.view.Past = &Past{Since: noon.Add(-hours(720))}
	expect(t, page(t, s.ask("GET", "/")), "The history begins with the first run.")
	s.view.Past = &Past{Since: noon.Add(-hours(720)), Begins: noon.Add(-hours(72))}
	expect(t, page(t, s.ask("GET", "/")), "Since 2026-02-26 12:00:00 UTC no finding came or went.")
	s.view.Past = &Past{Since: noon.Add(-hours(720)), Begins: noon.Add(-hours(7200)), Came: 3, Went: 1}
	expect(t, page(t, s.ask("GET", "/")), "Since 2026-01-30 12:00:00 UTC 3 findings came, and none was put right.")
	s.view.Past = &Past{
		Since: noon.Add(-hours(720)), Begins: noon.Add(-hours(7200)), Came: 3, Went: 3, Repaired: 2, Repair: hours(5), Changes: changed(plain),
	}
	says := []string{
		"high: missing P", "put right: missing P", "it had stood for 2 h", "judged by other rules from then on: missing P",
		"gave way to something else that is no better: It trusts another", "trusts another wrong account from then on, or is judged by other rules: It trusts another", "gone with the account: missing P", "new → compliant",
		"compliant → unknown, " + rules.ReasonDenied.Words(), "not enabled → no longer in the fleet, or left alone", "renamed; it was called two",
	}
	expect(t, page(t, s.ask("GET", "/")), append(says, "3 findings came, and 2 findings were put right, half of them within 5 h. The last change was 1 h 3 min ago.")...)
	expect(t, page(t, s.ask("GET", accountPath)), says...)
	if text := page(t, s.ask("GET", accountPath)); strings.Contains(text, "impostor") {
		t.Error("the page of an account has a change of another one")
	}
	if asked != "d0000000000000000000000000000001" {
		t.Errorf("the history was asked for %q", asked)
	}
	s.view.Past.Repaired = 1
	expect(t, page(t, s.ask("GET", "/")), "and one was put right, after 5 h.")
	fault = errors.New("the history in x is damaged")
	expect(t, page(t, s.ask("GET", accountPath)), "The history cannot be read: the history in x is damaged")
}

func hours(n int) time.Duration { return time.Duration(n) * time.Hour }

// What is known from before the program started is told as that.
func TestAFleetThatIsRemembered(t *testing.T) {
	s := open(t)
	snap := s.view.Snapshot
	past := &auditor.Past{}
	var subjects []auditor.Subject
	for i := range snap.Standings {
		st := &snap.Standings[i]
		subjects = append(subjects, st.Subject)
		r := auditor.Remembered{Subject: st.Subject, Evidence: st.Evidence}
		for j := range st.Findings {
			r.Findings = append(r.Findings, auditor.Stuck{Finding: st.Findings[j], Since: st.Since(&st.Findings[j])})
		}
		past.Subjects = append(past.Subjects, r)
	}
	s.view.Snapshot = auditor.Restore(subjects, snap.Baselines, snap.MaxAge, past)
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "accounts are not read yet since the program started; ", "not read yet since the program started", "before, ")
	if strings.Contains(text, "since the configuration changed") {
		t.Error("it says that the configuration changed")
	}
}

package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// tried is the probe of an account whose tries came out like this: o for ok, f for failed, a for absent, - for untried.
func tried(name, way, outcomes string, has map[string]bool) auditor.Probe {
	p := auditor.Probe{Account: rules.Account{ID: fmt.Sprintf("d%031x", crc32.ChecksumIEEE([]byte(name))), Name: name}, Way: way, Agencies: has}
	operations := []string{"ListAgencies", "ShowDomainRoleAssignments", "ListAttachedAgencyPoliciesV5", "ListDomainPermissionsForAgency",
		"ListAllProjectsPermissionsForAgency", "KeystoneListPermissions", "KeystoneShowPermission"}
	for i, c := range outcomes {
		t := auditor.Try{What: auditor.TryRead}
		switch i {
		case 0:
			t.What = auditor.TryEnter
		case 1:
			t.What = auditor.TryWhose
		default:
			t.Operation, t.Action, t.IdentityAction = operations[i-2], "iam:x:"+operations[i-2], "iam:y:"+operations[i-2]
		}
		t.Outcome = map[rune]auditor.Outcome{'o': auditor.TryOK, 'f': auditor.TryFailed, 'a': auditor.TryAbsent, '-': auditor.TryUntried}[c]
		if c == 'f' {
			t.Why = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "the cloud said no to " + name, Remedy: "an administrator allows " + t.Action, RequestID: "r1"}
		}
		p.Tries = append(p.Tries, t)
	}
	return p
}

func diagnosis(probes ...auditor.Probe) *auditor.Diagnosis {
	return &auditor.Diagnosis{
		Program: "v1.2.3", StartedAt: now, EndedAt: now.Add(1500 * time.Millisecond), Agencies: []string{"ServiceAgencyForCOC"}, Probes: probes,
		Ahead: 3 * time.Minute, ClockKnown: true, Headroom: auditor.Headroom{Requests: 6 * len(probes), PerSecond: 200, Of: 10 * time.Minute},
	}
}

func doctorText(t *testing.T, d *auditor.Diagnosis, o report.Options) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.Doctor(&b, d, o); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 100 && !o.Color {
			t.Errorf("%d characters: %s", n, line)
		}
	}
	return b.String()
}

var (
	has  = map[string]bool{"ServiceAgencyForCOC": true}
	lack = map[string]bool{"ServiceAgencyForCOC": false}
)

// What many accounts have in common is said once, with the accounts; those in which something is the matter come first.
func TestDoctor(t *testing.T) {
	d := diagnosis(tried("a-well", "iam", "ooooooooo", has), tried("b-denied", "iam", "oofoooooo", nil), tried("c-denied", "sts", "oofoaoooo", nil),
		tried("d-closed", "", "f--------", nil), tried("e-without", "keys", "ooooooooo", lack))
	text := doctorText(t, d, report.Options{})
	for _, want := range []string{
		"Doctor of 5 accounts at 2026-11-23 12:00:00 UTC, in 1.5 s, by agencyaudit v1.2.3",
		"clock     3m ahead of the cloud's; signatures that are 15 minutes off are refused",
		"rate      a run takes 30 requests, which takes 150 ms at 200 a second (cloud.rate.total); it has",
		"writes    not probed",
		"- iam:x:ListAgencies, in 2 accounts: b-denied, c-denied", "denied, for instance: the cloud said no to b-denied (request id r1)",
		"- entering the account, in 1 account: d-closed", "→ an administrator allows iam:x:ListAgencies",
		"3 accounts of 5 could not be read by an audit, as things are, and would be unknown.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if strings.Index(text, "\nd-closed ") > strings.Index(text, "\na-well ") {
		t.Errorf("who is well comes first:\n%s", text)
	}
	if fields := strings.Fields(text[strings.Index(text, "\nc-denied "):])[:11]; strings.Join(fields, ",") != "c-denied,sts,ok,FAIL,ok,none,ok,ok,ok,ok,?" {
		t.Errorf("%q", fields)
	}
	d.Main = &rules.Unknown{Reason: rules.ReasonUnauthenticated, Detail: "the key belongs to another account", Remedy: "configure another key"}
	if text := doctorText(t, d, report.Options{}); !strings.Contains(text, "- the program's own key\n  unauthenticated: the key belongs to another account\n  → configure another key") {
		t.Errorf("%s", text)
	}
}

// A list of accounts that is not whole is a fault, whatever became of the accounts that are known; who is left alone is none.
func TestDoctorOfTheList(t *testing.T) {
	d := diagnosis(tried("a", "iam", "ooooooooo", has))
	d.Excluded = []auditor.Exclusion{{Account: rules.Account{ID: "d1", Name: "b"}, Reason: auditor.ExcludedSuspended, Detail: "it says so"}}
	d.Notes = []string{"odd\x1b[31m entry"}
	text := doctorText(t, d, report.Options{})
	if !strings.Contains(text, "accounts  1 account; left alone: 1 account: 1 suspended by the organization (--verbose lists them)\n          odd") ||
		!strings.Contains(text, "Everything that an audit needs works.") || strings.Contains(text, "\x1b") {
		t.Errorf("%s", text)
	}
	d.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "the organization cannot be listed", Remedy: "let it", RequestID: "r9"}}
	text = doctorText(t, d, report.Options{})
	for _, want := range []string{
		" (--verbose lists them);\n          some may be missing,", "- the list of accounts\n  denied: the organization cannot be listed (request id r9)\n  → let it",
		"Every account that is known could be read, but the list of accounts is not whole.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	var b bytes.Buffer
	if err := report.DoctorJSON(&b, d); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"well": false`, `"reason": "suspended"`, `"request_id": "r9"`, `"inventory_notes": [`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing:\n%s", want, b.String())
		}
	}
}

// Who is left alone is counted, and listed when everything is to be shown.
func TestDoctorListsWhoIsLeftAlone(t *testing.T) {
	d := diagnosis(tried("a", "iam", "ooooooooo", has))
	d.Excluded = []auditor.Exclusion{{Account: rules.Account{ID: "d1", Name: "b"}, Reason: auditor.ExcludedSuspended, Detail: "it says so"}}
	if text := doctorText(t, d, report.Options{Verbose: true}); !strings.Contains(text, "- b (d1), suspended: it says so\n") || strings.Contains(text, "--verbose") {
		t.Errorf("%s", text)
	}
}

// Advice that several faults have in common is given once, with all that it is for: the list of accounts and the key of the program,
// requests, and accounts, two of which may bear one name.
func TestDoctorSaysAdviceOnce(t *testing.T) {
	d := diagnosis(tried("a", "iam", "ooffooooo", nil), tried("a", "iam", "oofoooooo", nil), tried("c", "iam", "f--------", nil))
	d.Probes[1].Account.ID = "d2"
	broken := rules.Unknown{Reason: rules.ReasonRejected, Detail: "500", Remedy: "wait"}
	for i := range d.Probes {
		for j := range d.Probes[i].Tries {
			if d.Probes[i].Tries[j].Why != nil {
				d.Probes[i].Tries[j].Why = &broken
			}
		}
	}
	d.Main, d.Gaps = &broken, []rules.Unknown{broken}
	text := strings.Join(strings.Fields(doctorText(t, d, report.Options{})), " ")
	want := "- the program's own key; the list of accounts; iam:x:ListAgencies; iam:x:ShowDomainRoleAssignments; entering the account, in " +
		"3 accounts: a," + " a, c rejected, for instance: 500 → wait "
	if !strings.Contains(text, want) || strings.Count(text, "wait") != 1 {
		t.Errorf("%s", text)
	}
	// Where there is no advice, nothing is in common.
	broken.Remedy = ""
	if text := doctorText(t, d, report.Options{}); strings.Count(text, "\n- ") != 5 {
		t.Errorf("%s", text)
	}
}

// What an audit needs only where something calls for it does not make an account unknown for certain.
func TestDoctorOfWhatMayBeNeeded(t *testing.T) {
	d := diagnosis(tried("a", "iam", "oooooofoo", has), tried("b", "iam", "oofoooooo", has))
	d.Probes[0].Tries[6].Maybe = true
	for n, want := range []string{
		1: "1 account of 1 would be unknown only if what an audit finds there calls for what is lacking.",
		2: "1 account of 2 could not be read by an audit, as things are, and would be unknown.\n1 account of 2 would be unknown only if",
	} {
		if n == 0 {
			continue
		}
		some := *d
		some.Probes = d.Probes[:n]
		if text := doctorText(t, &some, report.Options{}); !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	var b bytes.Buffer
	if err := report.DoctorJSON(&b, d); err != nil || strings.Count(b.String(), `"readable": false`) != 1 || strings.Count(b.String(), `"maybe": true`) != 1 {
		t.Errorf("%v: %s", err, b.String())
	}
}

// A name that does not fit its column is broken behind a hyphen, so that its parts can be read.
func TestDoctorBreaksLongNames(t *testing.T) {
	text := doctorText(t, diagnosis(tried("security-administrator-everywhere", "iam", "ooooooooo", has)), report.Options{})
	if !strings.Contains(text, "\nsecurity-administrator-  ") || !strings.Contains(text, "\neverywhere\n") {
		t.Errorf("%s", text)
	}
}

// Whose the program's own key is, is said, and that it has none.
func TestDoctorOfTheProgramsOwnKey(t *testing.T) {
	d := diagnosis(tried("a", "keys", "ooooooooo", has))
	if text := doctorText(t, d, report.Options{}); !strings.Contains(text, "identity  the program has no key of its own: every account is entered with its own key\n") {
		t.Errorf("%s", text)
	}
	d.Account = "d1"
	if text := doctorText(t, d, report.Options{}); !strings.Contains(text, "identity  the program's own key is of account d1, as is configured\n") {
		t.Errorf("%s", text)
	}
}

// What one policy grants is said once, and its actions are all named.
func TestDoctorOfManyPermissions(t *testing.T) {
	text := doctorText(t, diagnosis(tried("a", "iam", "oofffffff", nil), tried("b", "iam", "oofffffff", nil), tried("c", "iam", "ooofooooo", has)), report.Options{})
	for _, want := range []string{
		"- 7 permissions, in 2 accounts: a, b\n", "→ an administrator allows iam:x:ListAgencies\n  → likewise iam:x:ShowDomainRoleAssignments,",
		"- iam:x:ShowDomainRoleAssignments, in 1 account: c\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "\n- "); n != 2 {
		t.Errorf("%d things to do:\n%s", n, text)
	}
}

// A thousand accounts do not scroll away what is to be done in three of them.
func TestDoctorOfMany(t *testing.T) {
	var probes []auditor.Probe
	for i := range 1000 {
		p := tried(fmt.Sprintf("account-%04d", i), "iam", "ooooooooo", has)
		if i%20 == 0 {
			p = tried(p.Account.Name, "iam", "ooofooooo", has)
		}
		probes = append(probes, p)
	}
	text := doctorText(t, diagnosis(probes...), report.Options{})
	if n := strings.Count(text, "\n"); n > 80 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{"950 accounts in which everything works not shown; --verbose shows all.", "in 50 accounts: account-0000, ", " and 38 more"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing:\n%s", want, text)
		}
	}
	text = doctorText(t, diagnosis(probes...), report.Options{Verbose: true})
	if !strings.Contains(text, "\naccount-0999 ") || strings.Contains(text, "more") {
		t.Error("--verbose leaves something out")
	}
}

// Names and answers come from the cloud.
func TestDoctorOfHostileNames(t *testing.T) {
	evil := "\x1b]0;pwned\a\u202e\n" + strings.Repeat("n", 300)
	p := tried(evil, evil, "of-------", map[string]bool{})
	p.Tries[1].Why.Detail, p.Tries[1].Why.Remedy, p.Tries[1].Why.RequestID = evil, evil, evil
	d := diagnosis(p)
	d.Agencies, d.Program = []string{evil}, evil
	text := doctorText(t, d, report.Options{Verbose: true})
	if strings.ContainsAny(text, "\x1b\a\u202e") {
		t.Errorf("it acts on the terminal: %q", text)
	}
	var b bytes.Buffer
	if err := report.DoctorJSON(&b, d); err != nil || bytes.ContainsAny(b.Bytes(), "\x1b\a\u202e") || !json.Valid(b.Bytes()) {
		t.Errorf("%v: %s", err, b.String())
	}
}

// Every field of the document is there, null where it does not apply.
func TestDoctorJSON(t *testing.T) {
	d := diagnosis(tried("well", "iam", "ooooooooo", has), tried("ill", "", "f--------", nil))
	d.ClockKnown, d.Headroom.PerSecond = false, 0
	var b bytes.Buffer
	if err := report.DoctorJSON(&b, d); err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if doc["schema"] != report.DoctorSchema || doc["writes"] != "not_probed" || doc["well"] != false || doc["clock_ahead_seconds"] != nil {
		t.Errorf("%s", b.String())
	}
	for _, want := range []string{
		`"requests_per_second": null`, `"identity_fault": null`, `"chain": null`, `"way": null`, `"present": null`, `"present": true`, `"outcome": "untried"`,
		`"reason": "denied"`, `"identity_action": "iam:y:ListAgencies"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is missing:\n%s", want, b.String())
		}
	}
	d.Chain = &auditor.Chain{AccountID: "d1", Agency: "Hop", Via: "sts"}
	b.Reset()
	if err := report.DoctorJSON(&b, d); err != nil {
		t.Fatal(err)
	}
	if want := `"chain":{"account_id":"d1","agency":"Hop","via":"sts"}`; !strings.Contains(strings.Join(strings.Fields(b.String()), ""), want) {
		t.Errorf("%s is missing:\n%s", want, b.String())
	}
	failing := writer(func([]byte) (int, error) { return 0, errors.New("full") })
	if report.DoctorJSON(failing, d) == nil || report.Doctor(failing, d, report.Options{}) == nil {
		t.Error("a full disk is not noticed")
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

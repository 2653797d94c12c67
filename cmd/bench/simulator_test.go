package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRequestsAreCountedForEachAccount(t *testing.T) {
	counter := func(account, operation string, ok int, refused string) string {
		return fmt.Sprintf(`{"account_id": %q, "account": %q, "operation": %q, "ok": %d, "refused": {%s}}`,
			account, account, operation, ok, refused)
	}
	six := func(account string) []string {
		return []string{
			counter(account, "ListAgencies", 1, ""), counter(account, "ShowDomainRoleAssignments", 4, ""),
			counter(account, "ListAttachedAgencyPoliciesV5", 1, ""),
		}
	}
	for name, c := range map[string]struct {
		counters    []string
		own, others int
		fault       string
	}{
		"six each":              {append(six("a"), six("b")...), 12, 0, ""},
		"a catalogue beside":    {append(append(six("a"), six("b")...), counter("a", "KeystoneListPermissions", 3, "")), 12, 3, ""},
		"one account forgotten": {six("a"), 0, 0, "1 accounts of 2"},
		"uneven with the same sum": {
			append(append(six("a"), six("b")[:2]...), counter("a", "ListAgencies", 1, "")), 0, 0, "asked",
		},
		"a refusal": {append(append(six("a"), six("b")...), counter("a", "ListAgencies", 0, `"429": 1`)), 0, 0, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			own, others, err := countRequests([]byte("["+strings.Join(c.counters, ",")+"]"), 2)
			switch {
			case c.fault == "" && (err != nil || own != c.own || others != c.others):
				t.Errorf("got %d, %d, error %v; want %d, %d", own, others, err, c.own, c.others)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("got error %v, want one that says %q", err, c.fault)
			}
		})
	}
}

func TestMembersAreEnteredOnce(t *testing.T) {
	counter := func(account, operation string, ok int) string {
		return fmt.Sprintf(`{"account_id": %q, "account": %q, "operation": %q, "ok": %d}`, account, account, operation, ok)
	}
	read := []string{
		counter("main", "ListAccounts", 2), counter("main", "KeystoneListAuthDomains", 1),
		counter("main", "ListAgencies", 1), counter("main", "ShowDomainRoleAssignments", 4), counter("main", "ListAttachedAgencyPoliciesV5", 1),
		counter("a", "ListAgencies", 1), counter("a", "ShowDomainRoleAssignments", 4), counter("a", "ListAttachedAgencyPoliciesV5", 1),
	}
	bySTS, byIAM := counter("main", "AssumeAgency", 1), counter("main", "CreateTemporaryAccessKeyByAgency", 1)
	for name, c := range map[string]struct {
		counters []string
		first    bool
		want     tally
		fault    string
	}{
		"first, by STS":     {append(read[:len(read):len(read)], bySTS), true, tally{iam: 13, sts: 1, organizations: 2, keys: 1, own: 12, others: 4}, ""},
		"first, by IAM":     {append(read[:len(read):len(read)], byIAM), true, tally{iam: 14, organizations: 2, keys: 1, own: 12, others: 4}, ""},
		"second":            {read, false, tally{iam: 13, organizations: 2, own: 12, others: 3}, ""},
		"not entered":       {read, true, tally{}, "0 temporary keys were made for 1 members"},
		"entered again":     {append(read[:len(read):len(read)], byIAM), false, tally{}, "1 temporary keys were made"},
		"entered twice":     {append(read[:len(read):len(read)], byIAM, bySTS), true, tally{}, "2 temporary keys were made"},
		"who am I":          {append(read[:len(read):len(read)], counter("main", "GetCallerIdentity", 1)), false, tally{}, "STS was asked 1 times"},
		"not listed at all": {read[1:], false, tally{}, "not listed"},
		"one not read":      {read[:5], false, tally{}, "1 accounts of 2"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := countServices([]byte("["+strings.Join(c.counters, ",")+"]"), 2)
			if err == nil {
				err = got.check(2, c.first)
			}
			switch {
			case c.fault == "" && (err != nil || got != c.want):
				t.Errorf("got %+v, error %v; want %+v", got, err, c.want)
			case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
				t.Errorf("got error %v, want one that says %q", err, c.fault)
			}
		})
	}
}

func TestOnlyAReportOfCompliantAccountsIsRight(t *testing.T) {
	s := &simulator{accounts: 2}
	for report, right := range map[string]bool{
		`{"run":{"states":{"compliant":2,"drifted":0,"unknown":0}}}`: true,
		`{"run":{"states":{"compliant":1,"drifted":1}}}`:             false,
		`{"run":{"states":{"compliant":2,"unknown":1}}}`:             false,
		`{"run":{"states":{"unknown":0}}}`:                           false,
		`{"run":{"states":{}}}`:                                      false,
		`{}`:                                                         false,
		`{"run":`:                                                    false,
	} {
		file := filepath.Join(t.TempDir(), "report.json")
		if err := os.WriteFile(file, []byte(report), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.checkReport(file); (err == nil) != right {
			t.Errorf("%s: got error %v", report, err)
		}
	}
}

func TestAddressesAreReadFromTheGreeting(t *testing.T) {
	greeting := "Simulated cloud of 5 accounts.\n  cloud    http://127.0.0.1:41001\n  control  http://127.0.0.1:41002\nTo audit it:\n"
	got := addresses(strings.NewReader(greeting))
	if len(got) != 2 || got[0] != "http://127.0.0.1:41001" || got[1] != "http://127.0.0.1:41002" {
		t.Errorf("got %q", got)
	}
	if got := addresses(strings.NewReader("agencyaudit: address already in use\n")); len(got) != 0 {
		t.Errorf("got %q of an output without addresses", got)
	}
}

package main

import (
	"maps"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// steady is what one account costs in a run in which nothing is amiss: the six requests of docs/design.md.
var steady = map[string]int{"ListAgencies": 1, "ShowDomainRoleAssignments": 4, "ListAttachedAgencyPoliciesV5": 1}

// counted is what the cloud counted: by account and operation, and everything that it refused.
func counted(cloud *simcloud.Cloud) (byAccount map[string]map[string]int, refused int) {
	byAccount = map[string]map[string]int{}
	for _, c := range cloud.Counters() {
		if byAccount[c.AccountID] == nil {
			byAccount[c.AccountID] = map[string]int{}
		}
		byAccount[c.AccountID][c.Operation] += c.OK
		for _, n := range c.Refused {
			refused += n
		}
	}
	return byAccount, refused
}

// TestASteadyRunCostsSixRequestsAnAccount accounts for every single request of three runs of one program: a first one of a
// single account, which reads the catalogue for all (with more than one, another would read it too once it had waited
// long enough), one in which temporary keys are taken and asked about, and one that needs neither.
func TestASteadyRunCostsSixRequestsAnAccount(t *testing.T) {
	t.Parallel()
	const n = 200
	cloud, server := startCloud(t, simcloud.GenerateSteady(7, n))
	org := cloud.Organization()
	id := mustIdentity(t, org)
	text, env := oracleConfig(org, id, server.URL)
	d := newDaemon(t, parse(t, text, func(name string) (string, bool) { v, ok := env[name]; return v, ok }))
	byAgency := n / 2 // every second account is entered by an agency, the others by their own keys

	catalogue := 0
	for _, p := range cloud.Catalogue() {
		if p.Version != "5.0" {
			catalogue++
		}
	}
	// 300 to a page (facts 3.1), and an empty one: a short page may be a server's own cap, only an empty one is the end.
	// All of it is read twice, since one account reads it for all.
	pages := 2 * ((catalogue+299)/300 + 1)
	for _, c := range []struct {
		name     string
		chosen   []string
		accounts int
		shared   map[string]int
	}{
		{"one account", []string{id.account.ID}, 1, map[string]int{"KeystoneListAuthDomains": 1, "KeystoneListPermissions": pages}},
		{"all accounts", nil, n, map[string]int{"KeystoneListAuthDomains": 1 + byAgency, "CreateTemporaryAccessKeyByAgency": byAgency}},
		{"all accounts again", nil, n, map[string]int{"KeystoneListAuthDomains": 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cloud.ResetCounters()
			run, err := d.Once(t.Context(), "test", c.chosen)
			if err != nil {
				t.Fatal(err)
			}
			if !run.Whole() || run.Drifted() || len(run.Sweeps) != c.accounts {
				t.Fatalf("the organization is not steady: %v", run.States)
			}
			byAccount, refused := counted(cloud)
			if refused > 0 || len(byAccount) != c.accounts {
				t.Errorf("%d accounts were asked and %d requests refused, want %d and 0", len(byAccount), refused, c.accounts)
			}
			left := maps.Clone(c.shared)
			for account, operations := range byAccount {
				for operation, want := range steady {
					if operations[operation] != want {
						t.Errorf("account %s: %d requests %s, want %d", account, operations[operation], operation, want)
					}
					delete(operations, operation)
				}
				// What is left is shared by all accounts and must be accounted for to the last request.
				for operation, got := range operations {
					left[operation] -= got
				}
			}
			for operation, n := range left {
				if n != 0 {
					t.Errorf("%s was sent %d times, want %d", operation, c.shared[operation]-n, c.shared[operation])
				}
			}
			for _, s := range run.Sweeps {
				if s.Trail.Requests != 6 {
					t.Errorf("account %s: the run says that it cost %d requests", s.Report.Account.Name, s.Trail.Requests)
				}
			}
		})
	}
	noWrites(t, cloud)
}

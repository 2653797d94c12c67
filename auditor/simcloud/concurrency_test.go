package simcloud_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// Clients write and read, things drift and settings change, all at once: nothing is lost, and the journal tells in
// which order. (With the race detector this test says more.)
func TestManyClientsAtOnce(t *testing.T) {
	c := newCloud(t)
	const rounds = 50
	policies := []string{"Tenant Guest", "Server Administrator", "IAM FullAccess", "FullAccess"}
	before := grantsOf(c, "alpha", reader)
	var writers, others sync.WaitGroup
	stop := make(chan struct{})
	for i, name := range policies {
		id := policyID(t, c, name)
		writers.Go(func() {
			for n := range 2*rounds + 1 { // ends with a grant
				q := put
				if n%2 == 1 {
					q = revoke
				}
				if r := q("all_resources", readerID, id).send(t, c); r.status != 204 {
					t.Errorf("%s: %d %s", name, r.status, r.body)
				}
			}
		})
		writers.Go(func() {
			d := simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: reader,
				Grant: &simcloud.Grant{PolicyID: id, Scope: "project", In: []string{region, subIDName}[i%2]}}
			for n := range rounds {
				d.Kind = []string{simcloud.DriftGrant, simcloud.DriftRevoke}[n%2]
				if err := c.Drift(d); err != nil {
					t.Error(err)
				}
			}
		})
	}
	busy := func(do func(n int)) {
		others.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
					do(n)
				}
			}
		})
	}
	busy(func(int) {
		if r := get(adminKey, lists(readerID)["ShowDomainRoleAssignments"]).send(t, c); r.status != 200 {
			t.Errorf("%d %s", r.status, r.body)
		}
	})
	busy(func(n int) {
		err := c.SetSettings(simcloud.Settings{PageSize: n % 3})
		if err != nil {
			t.Error(err)
		}
	})
	busy(func(int) {
		_, _, _ = c.Organization(), c.Counters(), c.Journal()
		assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), time.Now())
	})
	writers.Wait()
	close(stop)
	others.Wait()

	want := slices.Clone(before)
	for _, name := range policies {
		want = append(want, name+" all_resources ")
	}
	got := grantsOf(c, "alpha", reader)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("grants %q, want %q", got, want)
	}
	held := map[string]bool{}
	for i, w := range c.Journal() {
		grants := w.Operation == "AssociateAgencyWithAllProjectsPermission"
		if w.NoChange || held[w.Policy] == grants {
			t.Fatalf("entry %d of the journal does not follow from those before it: %+v", i, w)
		}
		held[w.Policy] = grants
	}
	if n := len(c.Journal()); n != len(policies)*(2*rounds+1) {
		t.Errorf("%d writes, want %d", n, len(policies)*(2*rounds+1))
	}
	for _, n := range c.Counters() {
		if n.Operation == "AssociateAgencyWithAllProjectsPermission" && n.OK != len(policies)*(rounds+1) {
			t.Errorf("counted %d grants, want %d", n.OK, len(policies)*(rounds+1))
		}
	}
}

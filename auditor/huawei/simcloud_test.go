package huawei_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// simulate starts a simulated cloud, which unlike the fake checks signatures and rights.
func simulate(t testing.TB, org *simcloud.Organization, l simcloud.Listen) (*simcloud.Cloud, *simcloud.Server) {
	t.Helper()
	cloud, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	l.Cloud = "127.0.0.1:0"
	server, err := cloud.Start(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	return cloud, server
}

func simKeys(u simcloud.User) huawei.Keys {
	return huawei.Keys{AccessKey: huawei.NewSecret(u.Keys[0].Access), SecretKey: huawei.NewSecret(u.Keys[0].Secret)}
}

// simConfig enters the first account by its user's key and the others by the agency that trusts it.
func simConfig(org *simcloud.Organization, server *simcloud.Server) huawei.Config {
	first := org.Accounts[0]
	cfg := huawei.Config{
		Endpoints: huawei.Endpoints{IAM: server.URL}, CAPEM: server.CAPEM, Accounts: map[string]huawei.Access{first.ID: {Keys: simKeys(first.Users[0])}},
		Main: huawei.Identity{AccountID: first.ID, Keys: simKeys(first.Users[0])},
	}
	for _, a := range org.Accounts[1:] {
		cfg.Accounts[a.ID] = huawei.Access{Agency: "AgencyAuditReader"}
	}
	return cfg
}

// truth is what must be read of an account's agency, straight from the simulated cloud's state.
func truth(cloud *simcloud.Cloud, a simcloud.Account) (lines []string) {
	system := map[string]simcloud.Policy{}
	for _, p := range cloud.Catalogue() {
		system[p.ID] = p
	}
	i := slices.IndexFunc(a.Agencies, func(g simcloud.Agency) bool { return g.Name == coc })
	if i < 0 {
		return []string{"absent"}
	}
	g := a.Agencies[i]
	name := g.Trust.Name
	if g.Trust.HideName {
		name = ""
	}
	lines = append(lines, fmt.Sprintf("agency %s trusts %s %q until %s", g.ID, g.Trust.ID, name, ending(g.ExpiresAt)))
	for _, x := range g.Grants {
		in := ""
		for _, p := range slices.Concat(a.Projects, a.EnterpriseProjects) {
			if x.In != "" && (x.In == p.Name || x.In == p.ID) {
				in = p.ID
			}
		}
		origin, name := "custom", x.Policy
		if p, ok := system[x.PolicyID]; ok && p.Hidden {
			origin, name = "unresolved", ""
		} else if ok {
			origin, name = "system", p.DisplayName
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %q %s", x.Scope, origin, x.PolicyID, name, in))
	}
	for _, name := range g.Attached {
		lines = append(lines, fmt.Sprintf("identity %q", name))
	}
	slices.Sort(lines)
	return lines
}

func ending(t time.Time) string {
	if t.IsZero() {
		return "ever"
	}
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}

// seen is what was read, in the words of truth.
func seen(ev rules.Evidence) (lines []string) {
	a, ok := ev.Agency()
	if !ok {
		return []string{"absent"}
	}
	lines = append(lines, fmt.Sprintf("agency %s trusts %s %q until %s", a.ID, a.Trust.ID, a.Trust.Name, ending(a.ExpiresAt)))
	for _, g := range ev.Grants() {
		if g.Scope.Kind == rules.Identity {
			lines = append(lines, fmt.Sprintf("identity %q", g.Policy.Name))
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %q %s", g.Scope.Kind, g.Policy.Origin, g.Policy.ID, g.Policy.Name, g.Scope.ID))
	}
	slices.Sort(lines)
	return lines
}

// observeAll reads every account of an organization, several at a time.
func observeAll(t testing.TB, c *huawei.Cloud, org *simcloud.Organization) ([]rules.Evidence, []error) {
	evidence, errs := make([]rules.Evidence, len(org.Accounts)), make([]error, len(org.Accounts))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 16)
	for i, a := range org.Accounts {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			evidence[i], _, errs[i] = c.Observe(t.Context(), rules.Account{ID: a.ID, Name: a.Name}, baseline(), rules.Last{})
		})
	}
	wg.Wait()
	return evidence, errs
}

// TestAgainstTheSimulatedCloud reads the bundled organization and generated ones, in every way that the cloud can be
// set to behave, and compares what was read with what is there.
func TestAgainstTheSimulatedCloud(t *testing.T) {
	unreadable := map[string]rules.Reason{
		"suspended": rules.ReasonDenied, "audit-agency-missing": rules.ReasonDenied, "audit-agency-trusts-another": rules.ReasonDenied,
		"audit-agency-without-rights": rules.ReasonDenied,
	}
	settings := map[string]simcloud.Settings{
		"as it is":            {},
		"pages of seven":      {PageSize: 7},
		"filter ignored":      {PageSize: 3, Switches: simcloud.Switches{AgencyNameFilter: "ignored"}},
		"filter by part":      {Switches: simcloud.Switches{AgencyNameFilter: "substring"}},
		"times with a Z":      {Switches: simcloud.Switches{CreateTimeFormat: "z"}},
		"times with decimals": {Switches: simcloud.Switches{CreateTimeFormat: "six_decimals"}},
		"doubled names":       {Switches: simcloud.Switches{DuplicateDisplayName: true, COCPolicyName: "both", RMSPolicyName: "both"}},
	}
	for name, s := range settings {
		t.Run(name, func(t *testing.T) {
			org := simcloud.Bundled()
			org.Settings = s
			cloud, server := simulate(t, org, simcloud.Listen{SelfSigned: name == "as it is"})
			org = cloud.Organization()
			c, log := open(t, simConfig(org, server))
			if err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			evidence, errs := observeAll(t, c, org)
			for i, a := range org.Accounts {
				u, _ := errors.AsType[*rules.Unknown](errs[i])
				switch reason := unreadable[a.Name]; {
				case reason == "" && errs[i] != nil:
					t.Errorf("%s: %v", a.Name, errs[i])
				case reason != "" && (u == nil || u.Reason != reason):
					t.Errorf("%s: %v, want %s", a.Name, errs[i], reason)
				case reason == "":
					wantLines(t, seen(evidence[i]), truth(cloud, a))
				}
			}
			if writes := cloud.Journal(); len(writes) != 0 {
				t.Errorf("%d writes: %+v", len(writes), writes)
			}
			if strings.Contains(log.String(), org.Accounts[0].Users[0].Keys[0].Secret) {
				t.Error("the log holds a secret")
			}
		})
	}
}

// TestSteadyRequestsOfTheSimulatedCloud counts on the cloud's side.
func TestSteadyRequestsOfTheSimulatedCloud(t *testing.T) {
	cloud, server := simulate(t, simcloud.GenerateSteady(1, 40), simcloud.Listen{})
	org := cloud.Organization()
	c, _ := open(t, simConfig(org, server))
	if _, _, err := c.Observe(t.Context(), rules.Account{ID: org.Accounts[0].ID}, baseline(), rules.Last{}); err != nil {
		t.Fatal(err)
	}
	if n := c.Requests()["KeystoneListPermissions"]; n < 8 || n > 12 {
		t.Errorf("the catalogue took %d pages", n) // three full ones at least, and the empty one that ends the list, twice
	}
	for run := range 3 {
		cloud.ResetCounters()
		_, errs := observeAll(t, c, org)
		for i, err := range errs {
			if err != nil {
				t.Fatalf("%s: %v", org.Accounts[i].Name, err)
			}
		}
		got := map[string]int{}
		for _, n := range cloud.Counters() {
			if len(n.Refused) > 0 {
				t.Errorf("run %d: %+v", run, n)
			}
			got[n.Operation] += n.OK
		}
		want := map[string]int{"ListAgencies": 40, "ShowDomainRoleAssignments": 160, "ListAttachedAgencyPoliciesV5": 40}
		if run == 0 {
			want["CreateTemporaryAccessKeyByAgency"], want["KeystoneListAuthDomains"] = 39, 40
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("run %d: %v, want %v", run, got, want)
		}
	}
	if writes := cloud.Journal(); len(writes) != 0 {
		t.Errorf("%d writes", len(writes))
	}
}

// TestGeneratedOrganization has every layout of the generator, some of them often.
func TestGeneratedOrganization(t *testing.T) {
	n := 600
	if testing.Short() {
		n = 150
	}
	cloud, server := simulate(t, simcloud.Generate(7, n), simcloud.Listen{})
	org := cloud.Organization()
	c, _ := open(t, simConfig(org, server))
	evidence, errs := observeAll(t, c, org)
	for i, a := range org.Accounts {
		if errs[i] != nil {
			t.Errorf("%s (%s): %v", a.Name, a.Note, errs[i])
			continue
		}
		wantLines(t, seen(evidence[i]), truth(cloud, a))
	}
}

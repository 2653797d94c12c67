package simcloud_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// membersOf is what Organizations says of the accounts below a parent, or of all: name, status.
func membersOf(t testing.TB, c *simcloud.Cloud, parent string) string {
	t.Helper()
	target := orgs + "/accounts"
	if parent != "" {
		target += "?parent_id=" + parent
	}
	r := get(auditorKey, target).send(t, c)
	r.accepted(t, 200)
	var body struct {
		Accounts []struct{ Name, Status string }
	}
	unmarshal(t, r.body, &body)
	var out []string
	for _, a := range body.Accounts {
		out = append(out, a.Name+" "+a.Status)
	}
	return strings.Join(out, ", ")
}

// Accounts come, are renamed, moved and tagged, change their status and go; the organization shows it at once, and what
// else knows the account follows.
func TestTheOrganizationDrifts(t *testing.T) {
	c := newCloud(t, operator)
	shows := func(parent, want string) {
		t.Helper()
		if got := membersOf(t, c, parent); got != want {
			t.Errorf("below %q: %s, want %s", parent, got, want)
		}
	}
	has := func(target, text string, want bool) {
		t.Helper()
		if body := get(auditorKey, target).send(t, c).body; strings.Contains(body, text) != want {
			t.Errorf("%s: %s\n%q is there: %t", target, body, text, !want)
		}
	}
	shows("ou-11", "alpha active")
	key := simcloud.Key{Access: "AKFRESH", Secret: "fresh-secret"}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{
		ID: "d0000000000000000000000000000009", Name: "fresh", Member: &simcloud.Member{OU: "Workloads/Production"},
		Users: []simcloud.User{{Name: "admin", Keys: []simcloud.Key{key}, Actions: []string{"*:*:*"}}},
		Agencies: []simcloud.Agency{{Name: reader, Trust: simcloud.Trust{Name: "management"},
			Grants: []simcloud.Grant{{Policy: "IAM ReadOnlyAccess", Scope: "global"}}}}}})
	shows("ou-11", "alpha active, fresh active")
	get(key, domains).send(t, c).accepted(t, 200)
	get(key, orgs).send(t, c).accepted(t, 200)
	temporaryKey(t, assumeBySTS(auditorKey, "iam::d0000000000000000000000000000009:agency:"+reader, "").send(t, c))
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftGrant, Account: "fresh", Agency: reader,
		Grant: &simcloud.Grant{Policy: "Tenant Guest", Scope: "project", In: region}})

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftJoin, Account: "plain", Member: &simcloud.Member{}})
	shows("r-1", "management active, plain active")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftMove, Account: "plain", OU: "ou-12"})
	shows("ou-12", "beta active, plain active")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftMove, Account: "beta"})
	shows("r-1", "beta active, management active")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftTag, Account: "beta", Tags: map[string]string{"owner": "you"}})
	has(orgs+"/resources/"+betaID+"/tags", `{"key":"owner","value":"you"}`, true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftTag, Account: "beta", Tags: map[string]string{}})
	has(orgs+"/resources/"+betaID+"/tags", "owner", false)

	// The management account is renamed: what trusts it shows that, and can still be assumed.
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftRename, Account: "management", Name: "headquarters"})
	has(orgs, `"management_account_name":"headquarters"`, true)
	has(domains, `"name":"headquarters"`, true)
	if r := get(adminKey, agencies+"/"+readerID).send(t, c); !strings.Contains(r.body, `"trust_domain_name":"headquarters"`) {
		t.Errorf("%s", r.body)
	}
	temporaryKey(t, assumeBySTS(auditorKey, readerURN, "").send(t, c))
	q := request{method: "POST", target: tokens, key: adminKey, body: assumeBody("x", "management", "")}
	q.send(t, c).wantKeystone(t, 404, "Could not find domain: management")

	for _, status := range []string{"suspended", "pending_closure", "being_moved", "active"} {
		drift(t, c, simcloud.Drift{Kind: simcloud.DriftStatus, Account: "fresh", Status: status})
		shows("ou-11", "alpha active, fresh "+status)
		if r := get(key, domains).send(t, c); (r.status == 401) != (status == "suspended") {
			t.Errorf("%s: %d", status, r.status)
		}
	}
	if err := c.SetSettings(simcloud.Settings{Switches: simcloud.Switches{PendingClosure: "closed"}}); err != nil {
		t.Fatal(err)
	}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftStatus, Account: "fresh", Status: "pending_closure"})
	get(key, domains).send(t, c).refused(t, "Unauthorized")
	assumeBySTS(auditorKey, "iam::d0000000000000000000000000000009:agency:"+reader, "").send(t, c).wantCode(t, 403, "STS5.1001", "")

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDelegate, Account: "beta"})
	get(betaKey, orgs+"/accounts").send(t, c).accepted(t, 200)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUndelegate, Account: "alpha"})
	get(adminKey, orgs+"/accounts").send(t, c).wantCode(t, 401, "Organizations.1002", "")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftLeave, Account: "beta"}) // and is no administrator any more
	get(betaKey, orgs+"/accounts").send(t, c).wantCode(t, 401, "Organizations.1002", "")
	get(betaKey, domains).send(t, c).accepted(t, 200)
	shows("", "alpha active, headquarters active, plain active, frozen suspended, fresh pending_closure")

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateOU, OU: "Workloads", Name: "Staging"})
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateOU, Name: "Attic"})
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftRenameOU, OU: "Workloads/Staging", Name: "Stage"})
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftTag, OU: "Workloads/Stage", Tags: map[string]string{"env": "stage"}})
	has(orgs+"/organizational-units?parent_id=ou-1", `"name":"Stage"`, true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDeleteOU, OU: "Attic"})
	has(orgs+"/organizational-units", "Attic", false)
	has(orgs+"/entities", `"name":"Stage","type":"organizational_unit"`, true)

	again, err := simcloud.New(c.Organization())
	if err != nil {
		t.Fatal(err)
	}
	if a, b := encode(t, again.Organization()), encode(t, c.Organization()); a != b {
		t.Errorf("the organization is another one when it is loaded again:\n%s\n%s", a, b)
	}
	if len(c.Journal()) != 0 {
		t.Errorf("journal %+v", c.Journal())
	}
}

func TestDriftOfTheOrganizationThatMakesNoSense(t *testing.T) {
	c := newCloud(t)
	before := encode(t, c.Organization())
	for want, d := range map[string]simcloud.Drift{
		"needs name":              {Kind: simcloud.DriftRename, Account: "alpha"},
		"takes no ou":             {Kind: simcloud.DriftRename, Account: "alpha", Name: "x", OU: "ou-1"},
		`is called "beta"`:        {Kind: simcloud.DriftRename, Account: "alpha", Name: "beta"},
		`is called "OP_svc_coc"`:  {Kind: simcloud.DriftRename, Account: "alpha", Name: "OP_svc_coc"},
		"no account":              {Kind: simcloud.DriftRename, Account: "none", Name: "x"},
		"needs status":            {Kind: simcloud.DriftStatus, Account: "alpha"},
		"or another word":         {Kind: simcloud.DriftStatus, Account: "alpha", Status: "a b"},
		"needs new_account":       {Kind: simcloud.DriftCreateAccount},
		"needs member":            {Kind: simcloud.DriftJoin, Account: "plain"},
		"organization: true":      {Kind: simcloud.DriftJoin, Account: "beta", Member: &simcloud.Member{}},
		"organization: false":     {Kind: simcloud.DriftLeave, Account: "plain"},
		"which is no member":      {Kind: simcloud.DriftLeave, Account: "management"},
		"no organizational unit":  {Kind: simcloud.DriftMove, Account: "beta", OU: "none"},
		"$.member.ou":             {Kind: simcloud.DriftJoin, Account: "plain", Member: &simcloud.Member{OU: "none"}},
		"$.member.join_method":    {Kind: simcloud.DriftJoin, Account: "plain", Member: &simcloud.Member{JoinMethod: "born"}},
		"needs one of account":    {Kind: simcloud.DriftTag, Tags: map[string]string{"a": "b"}},
		"needs tags":              {Kind: simcloud.DriftTag, Account: "beta"},
		"is one already":          {Kind: simcloud.DriftDelegate, Account: "alpha"},
		"needs no delegation":     {Kind: simcloud.DriftDelegate, Account: "management"},
		"no delegated admin":      {Kind: simcloud.DriftUndelegate, Account: "beta"},
		"is not empty":            {Kind: simcloud.DriftDeleteOU, OU: "ou-12"},
		"as its neighbour is":     {Kind: simcloud.DriftCreateOU, OU: "Workloads", Name: "Production"},
		"$.new_account.name":      {Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "beta"}},
		"$.new_account.id":        {Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n", ID: betaID}},
		"$.new_account.member.ou": {Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n", Member: &simcloud.Member{OU: "x"}}},
		"keys[0].access": {Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n",
			Users: users("admin", adminKey)}},
		"agencies[0].trust": {Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n",
			Agencies: []simcloud.Agency{{Name: "a"}}}},
		"no trust agency": {Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc,
			TrustPolicy: &simcloud.TrustPolicy{Principals: []string{"beta"}}},
		"has no trust": {Kind: simcloud.DriftUpdateAgency, Account: "management", Agency: "ForPods",
			Trust: &simcloud.Trust{Name: "beta"}},
		"holds identity policies only": {Kind: simcloud.DriftGrant, Account: "management", Agency: "ForPods",
			Grant: &simcloud.Grant{Policy: "Tenant Guest", Scope: "global"}},
	} {
		if err := c.Drift(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("drift %+v: error %v, want %q", d, err, want)
		}
	}
	if after := encode(t, c.Organization()); after != before {
		t.Errorf("the state changed from\n%s\nto\n%s", before, after)
	}
	alone := newCloud(t, func(o *simcloud.Organization) {
		o.Structure = nil
		for i := range o.Accounts {
			o.Accounts[i].Member = nil
		}
	})
	for _, d := range []simcloud.Drift{{Kind: simcloud.DriftLeave, Account: "beta"},
		{Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n", Member: &simcloud.Member{}}}} {
		if err := alone.Drift(d); err == nil || !strings.Contains(err.Error(), "no organization") {
			t.Errorf("drift %+v: error %v", d, err)
		}
	}
	drift(t, alone, simcloud.Drift{Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "n"}})
}

// What is wrong with an organization of accounts is said where it is wrong.
func TestNewReportsProblemsOfTheStructure(t *testing.T) {
	for want, change := range map[string]func(*simcloud.Organization){
		"$.organization.management_account: names no account": func(o *simcloud.Organization) { o.Structure.Management = "none" },
		"$.organization.management_account: is the account":   func(o *simcloud.Organization) { o.Structure.Management = "plain" },
		"$.organization.id: is":                               func(o *simcloud.Organization) { o.Structure.ID = "o/1" },
		"$.organization.root_id: is":                          func(o *simcloud.Organization) { o.Structure.RootID = "r/1" },
		"$.organization.organizational_units[1].name: is missing": func(o *simcloud.Organization) {
			o.Structure.Units[1].Name = ""
		},
		"$.organization.organizational_units[1].id: is ou-2, which another one has": func(o *simcloud.Organization) {
			o.Structure.Units[0].Units[1].ID, o.Structure.Units[1].ID = "ou-2", "ou-2"
		},
		"$.organization.organizational_units[1].id: is": func(o *simcloud.Organization) { o.Structure.Units[1].ID = "ou 2" },
		"$.organization.delegated_administrators[0].account: names no member": func(o *simcloud.Organization) {
			o.Structure.Delegates[0].Account = "plain"
		},
		"$.accounts[1].member.ou: names no organizational unit": func(o *simcloud.Organization) { o.Accounts[1].Member.OU = "none" },
		"$.accounts[1].member: is there although":               func(o *simcloud.Organization) { o.Structure = nil },
	} {
		o := organization()
		change(o)
		if _, err := simcloud.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Whoever reads while accounts come, go and are renamed sees one organization or the other, and the pages of a list lose
// no account that is there all the while.
func TestReadingWhileTheOrganizationDrifts(t *testing.T) {
	c := newCloud(t, operator, func(o *simcloud.Organization) { o.Settings.PageSize = 2 })
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				seen, marker := "", ""
				for {
					r := get(auditorKey, orgs+"/accounts?limit=2"+marker).send(t, c)
					var body struct {
						Accounts []struct{ Name string }
						PageInfo struct {
							Next string `json:"next_marker"`
						} `json:"page_info"`
					}
					unmarshal(t, r.body, &body)
					for _, a := range body.Accounts {
						seen += a.Name + " "
					}
					if marker = "&marker=" + body.PageInfo.Next; body.PageInfo.Next == "" {
						break
					}
				}
				for _, name := range []string{"alpha ", "beta ", "frozen "} {
					if strings.Count(seen, name) != 1 {
						t.Errorf("%s is not there once: %s", name, seen)
					}
				}
				get(auditorKey, orgs+"/entities").send(t, c)
				c.Organization()
				c.Counters()
			}
		})
	}
	for i := range 40 {
		name := fmt.Sprintf("passing-%d", i)
		drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: name,
			Member: &simcloud.Member{OU: "ou-11"}}})
		drift(t, c, simcloud.Drift{Kind: simcloud.DriftRename, Account: name, Name: name + "-on"})
		drift(t, c, simcloud.Drift{Kind: simcloud.DriftMove, Account: "alpha", OU: []string{"ou-11", "ou-12"}[i%2]})
		drift(t, c, simcloud.Drift{Kind: simcloud.DriftLeave, Account: name + "-on"})
	}
	close(done)
	readers.Wait()
}

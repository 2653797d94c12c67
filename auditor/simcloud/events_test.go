package simcloud_test

import (
	"slices"
	"strings"
	"testing"

	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	m5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// heldByReader are the policies that the agency of alpha's readers holds in truth, at global service, and those that are attached.
func heldByReader(t *testing.T, c *simcloud.Cloud) (out []string) {
	t.Helper()
	org := c.Organization()
	alpha := org.Accounts[slices.IndexFunc(org.Accounts, func(a simcloud.Account) bool { return a.ID == alphaID })]
	i := slices.IndexFunc(alpha.Agencies, func(g simcloud.Agency) bool { return g.ID == readerID })
	for _, g := range alpha.Agencies[i].Grants {
		if g.Scope == "global" {
			out = append(out, g.Policy)
		}
	}
	return append(out, alpha.Agencies[i].Attached...)
}

// What is answered as done is not done, and what is done is answered as a failure; each as often as it is told to, and the SDK takes
// both for what they are called.
func TestWritesThatAreNotWhatTheyAreCalled(t *testing.T) {
	c := newCloud(t)
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	role := policyID(t, c, "Server Administrator")
	for _, g := range grantsBySDK(s) {
		for _, tt := range []struct {
			style          string
			put, check     int
			removal, after int
		}{{"not_done", 204, 404, 404, 404}, {"done_500", 500, 204, 204, 404}} {
			fail := simcloud.Settings{Failures: []simcloud.Failure{{Style: tt.style, Times: 1}}}
			if err := c.SetSettings(fail); err != nil {
				t.Fatal(err)
			}
			for n, call := range []func(string, string) (int, error){g.put, g.check, g.removal, g.check} {
				if got, err := call(readerID, role); err != nil || got != []int{tt.put, tt.check, tt.removal, tt.after}[n] {
					t.Errorf("%s: %s, request %d: %d, %v", g.name, tt.style, n, got, err)
				}
			}
		}
	}
	// The other three are answered otherwise when all is well.
	for op, want := range map[string]int{"AssociateRoleToAgencyOnEnterpriseProject": 200, "RevokeRoleFromAgencyOnEnterpriseProject": 204} {
		if err := c.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{{Style: "not_done", Operation: op}}}); err != nil {
			t.Fatal(err)
		}
		all, writes := everyRequest(t, c), len(c.Journal())
		if r := all[op].send(t, c); r.status != want || r.body != "" || len(c.Journal()) != writes {
			t.Errorf("%s: %d %q", op, r.status, r.body)
		}
	}
	if err := c.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{{Style: "not_done"}}}); err != nil {
		t.Fatal(err)
	}
	before := heldByReader(t, c)
	policy := ""
	for _, p := range c.Catalogue() {
		if p.Version == "5.0" {
			policy = p.ID
		}
	}
	r, err := s.v5.AttachAgencyPolicyV5(&m5.AttachAgencyPolicyV5Request{PolicyId: policy, Body: &m5.AttachAgencyPolicyReqBody{AgencyId: readerID}})
	if err != nil || r.HttpStatusCode != 200 || !slices.Equal(heldByReader(t, c), before) {
		t.Errorf("attach: %+v, %v, %v", r, err, heldByReader(t, c))
	}
}

// Somebody else undoes each grant before it is answered, and only that one.
func TestSomebodyUndoesEachGrant(t *testing.T) {
	c := newCloud(t)
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	role := policyID(t, c, "Server Administrator")
	before := heldByReader(t, c)
	err := c.SetSettings(simcloud.Settings{Events: []simcloud.Event{{
		Account: "alpha", Operation: "AssociateAgencyWithDomainPermission", When: "after", Skip: 1,
		Drift: []simcloud.Drift{{
			Kind: simcloud.DriftRevoke, Account: "alpha", Agency: readerID, Grant: &simcloud.Grant{Policy: "Server Administrator", Scope: "global"},
		}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	q := &m3.AssociateAgencyWithDomainPermissionRequest{DomainId: alphaID, AgencyId: readerID, RoleId: role}
	for n := range 4 {
		must[*m3.AssociateAgencyWithDomainPermissionResponse](t)(s.v3.AssociateAgencyWithDomainPermission(q))
		if held := len(heldByReader(t, c)) > len(before); held != (n == 0) {
			t.Errorf("after grant %d: held %t", n+1, held)
		}
	}
	if e := c.Events(); len(e) != 1 || e[0].Fitted != 4 || e[0].Happened != 3 || e[0].Failed != 0 {
		t.Errorf("%+v", e)
	}
	if j := c.Journal(); len(j) != 4 || j[0].NoChange || !j[1].NoChange || j[2].NoChange {
		t.Errorf("journal %+v", j) // in which what somebody else does is not
	}
}

// Between two requests the agency is deleted and made anew under another id, and its trust is another one's: at the request that was
// chosen, and before it is answered.
func TestAnAgencyChangesBetweenTwoRequests(t *testing.T) {
	c := newCloud(t)
	s := newSDK(t, serve(t, c), alphaID, adminKey, "", nil)
	err := c.SetSettings(simcloud.Settings{Events: []simcloud.Event{
		{Operation: "ShowAgency", Skip: 1, Times: 1, Drift: []simcloud.Drift{
			{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: readerID, Trust: &simcloud.Trust{ID: "ee000000000000000000000000000001", Name: "stranger"}},
		}},
		{Operation: "ShowAgency", Skip: 2, Times: 1, Drift: []simcloud.Drift{
			{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: readerID},
			{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: readerID},
			{Kind: simcloud.DriftCreateAgency, Account: "alpha", New: &simcloud.Agency{ID: "anew", Name: "AuditReader", Trust: simcloud.Trust{Name: "alpha"}}},
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{alphaID, "ee000000000000000000000000000001", ""} {
		r, err := s.v3.ShowAgency(&m3.ShowAgencyRequest{AgencyId: readerID})
		switch {
		case want == "":
			wantStatus(t, err, 404)
		case err != nil || (*r.Agency.TrustDomainId == "ee000000000000000000000000000001") != (n == 1):
			t.Errorf("request %d: %+v, %v", n+1, r, err)
		}
	}
	must[*m3.ShowAgencyResponse](t)(s.v3.ShowAgency(&m3.ShowAgencyRequest{AgencyId: "anew"}))
	if e := c.Events(); e[0].Happened != 1 || e[1].Happened != 1 || e[1].Failed != 1 || e[1].Fitted != 4 {
		t.Errorf("%+v", e)
	}
}

// What is wrong with an event is a fault of the settings.
func TestEventsThatCannotBe(t *testing.T) {
	c := newCloud(t)
	grant := simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: "x"}
	for want, e := range map[string]simcloud.Event{
		".account: names no account":     {Account: "nobody", Drift: []simcloud.Drift{grant}},
		".operation: names no operation": {Operation: "Nothing", Drift: []simcloud.Drift{grant}},
		".when: is \"later\"":            {When: "later", Drift: []simcloud.Drift{grant}},
		".drift: is empty":               {},
		".drift: has \"grant\"":          {Drift: []simcloud.Drift{{Kind: simcloud.DriftGrant}}},
		".drift: has settings":           {Drift: []simcloud.Drift{{Kind: simcloud.DriftSettings, Settings: &simcloud.Settings{}}}},
		": has a negative":               {Skip: -1, Drift: []simcloud.Drift{grant}},
		".query: has a parameter":        {Query: map[string]string{"": "x"}, Drift: []simcloud.Drift{grant}},
	} {
		err := c.SetSettings(simcloud.Settings{Events: []simcloud.Event{e}})
		if err == nil || !strings.Contains(err.Error(), "$.settings.events[0]"+want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if len(c.Events()) > 0 {
		t.Error("refused settings are in force")
	}
}

// Events are in the organization file and on the control port, in the same words.
func TestEventsOfAFile(t *testing.T) {
	const file = `region: ap-southeast-3
settings:
  events:
    - {operation: ListAgencies, when: after, times: 2, drift: [{kind: delete_agency, account: a, agency: g}]}
accounts:
  - {name: a, agencies: [{name: g, trust: {id: t0}}]}
`
	org, err := simcloud.LoadOrganization("f.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	c, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	if e := c.Settings().Events; len(e) != 1 || e[0].Drift[0].Agency != "g" || e[0].Times != 2 {
		t.Errorf("%+v", e)
	}
	if _, err := simcloud.LoadOrganization("f.yaml", []byte(strings.Replace(file, "kind: delete_agency", "kind: x", 1))); err == nil ||
		!strings.Contains(err.Error(), "f.yaml:4:56") && !strings.Contains(err.Error(), "settings.events[0].drift") {
		t.Errorf("%v", err)
	}
}

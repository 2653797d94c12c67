package simcloud_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// clock is a clock that a test moves.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (k *clock) now() time.Time { return k.at }

// ask signs a request of alpha's administrator at the clock's time.
func (k *clock) ask(t testing.TB, c http.Handler, method, target, body string) reply {
	t.Helper()
	return request{method: method, target: target, body: body, key: adminKey, at: k.at}.send(t, c)
}

// rolePath is the path of a role of an agency at one of the scopes that have one.
func rolePath(scope, agency, role string) string {
	switch scope {
	case "global":
		return "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + agency + "/roles/" + role
	case "project":
		return "/v3.0/OS-AGENCY/projects/" + subID + "/agencies/" + agency + "/roles/" + role
	}
	return "/v3.0/OS-INHERIT/domains/" + alphaID + "/agencies/" + agency + "/roles/" + role + "/inherited_to_projects"
}

func put(scope, agency, role string) request {
	return request{method: "PUT", target: rolePath(scope, agency, role), key: adminKey}
}

func revoke(scope, agency, role string) request {
	return request{method: "DELETE", target: rolePath(scope, agency, role), key: adminKey}
}

func TestSwitchRepeatGrant(t *testing.T) {
	for value, want := range map[string]int{"": 204, "204": 204, "409": 409} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.RepeatGrant = value }))
		guest := policyID(t, c, "Tenant Guest")
		before := grantsOf(c, "alpha", reader)
		for _, scope := range []string{"global", "project", "all_resources"} {
			put(scope, readerID, guest).send(t, c).accepted(t, 204)
			if r := put(scope, readerID, guest).send(t, c); r.status != want {
				t.Errorf("%s at %s: %d %s", value, scope, r.status, r.body)
			} else if want == 409 {
				r.wantKeystone(t, 409, "Conflict")
			}
		}
		twice := request{method: "PUT", target: inEP, key: adminKey, body: enterpriseBody(1, "0", guest)}
		twice.send(t, c).accepted(t, 200)
		if r := twice.send(t, c); r.status != want && !(want == 204 && r.status == 200) {
			t.Errorf("%s on an enterprise project: %d %s", value, r.status, r.body)
		}
		if n := len(grantsOf(c, "alpha", reader)); n != len(before)+4 {
			t.Errorf("%d grants after repeats, want %d", n, len(before)+4)
		}
	}
}

func TestSwitchRevokeMissing(t *testing.T) {
	for value, want := range map[string]int{"": 404, "404": 404, "204": 204} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.RevokeMissing = value }))
		guest := policyID(t, c, "Tenant Guest")
		for _, scope := range []string{"global", "project", "all_resources"} {
			revoke(scope, readerID, guest).send(t, c).accepted(t, want)
			revoke(scope, readerID, "none").send(t, c).wantKeystone(t, 404, "Could not find role: none")
		}
		request{method: "DELETE", target: inEP, key: adminKey, body: enterpriseBody(1, "0", guest)}.send(t, c).
			accepted(t, want)
		for _, w := range c.Journal() {
			if !w.NoChange {
				t.Errorf("journal %+v", w)
			}
		}
	}
}

func TestSwitchScopeTypeMismatch(t *testing.T) {
	for value, refused := range map[string]int{"": 204, "accept": 204, "400": 400, "403": 403} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.ScopeTypeMismatch = value }))
		for _, tt := range []struct {
			scope, policy string
			fits          bool
		}{
			{"global", "IAM FullAccess", true}, {"project", "IAM FullAccess", false},
			{"all_resources", "IAM FullAccess", true},
			{"global", "Server Administrator", false}, {"project", "Server Administrator", true},
			{"all_resources", "Server Administrator", true},
			{"global", "Tenant Guest", true}, {"project", "Tenant Guest", true}, {"all_resources", "Tenant Guest", true},
			{"global", "Nowhere Access", false}, {"project", "Nowhere Access", false},
		} {
			want := 204
			if !tt.fits {
				want = refused
			}
			r := put(tt.scope, readerID, policyID(t, c, tt.policy)).send(t, c)
			if r.status != want {
				t.Errorf("%s, %s at %s: %d %s", value, tt.policy, tt.scope, r.status, r.body)
			} else if want != 204 {
				r.wantKeystone(t, want, "cannot be granted at this scope")
			}
		}
	}
}

func TestSwitchBlacklist(t *testing.T) {
	for value, security := range map[string]int{"": 204, "te_agency": 204, "both": 403} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.Blacklist = value }))
		for _, scope := range []string{"global", "all_resources", "project"} {
			put(scope, readerID, policyID(t, c, "Agent Operator")).send(t, c).wantKeystone(t, 403, "te_agency")
			want := security
			if scope == "project" {
				want = 403
			}
			put(scope, readerID, policyID(t, c, "Security Administrator")).send(t, c).accepted(t, want)
		}
		request{method: "PUT", target: inEP, key: adminKey,
			body: enterpriseBody(1, "0", policyID(t, c, "Security Administrator"))}.send(t, c).
			accepted(t, map[int]int{204: 200, 403: 403}[security])
	}
}

// names lists the agencies' names that a list shows.
func names(t testing.TB, r reply) []string {
	t.Helper()
	var body struct {
		Agencies []struct{ Name string }
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != 200 {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	out := []string{}
	for _, a := range body.Agencies {
		out = append(out, a.Name)
	}
	return out
}

func TestSwitchAgencyNameFilter(t *testing.T) {
	all := []string{coc, reader, "Expired", "Foreign"}
	for value, want := range map[string][]string{
		"": {}, "exact": {}, "substring": {coc, reader}, "ignored": all,
	} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.AgencyNameFilter = value }))
		got := names(t, get(adminKey, agencies+"?domain_id="+alphaID+"&name=Agency").send(t, c))
		if !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
		exact := names(t, get(adminKey, agencies+"?domain_id="+alphaID+"&name="+coc).send(t, c))
		if value != "ignored" && !slices.Equal(exact, []string{coc}) {
			t.Errorf("%q: %q, want the one", value, exact)
		}
		trusted := names(t, get(adminKey, agencies+"?domain_id="+alphaID+"&trust_domain_id="+strangerID).send(t, c))
		if !slices.Equal(trusted, []string{"Foreign"}) {
			t.Errorf("by trust: %q", trusted)
		}
	}
}

func TestSwitchAssignmentsWithoutScope(t *testing.T) {
	target := assignments + "?subject=agency&domain_id=" + alphaID
	newCloudWith := func(value string) *simcloud.Cloud {
		return newCloud(t, switches(func(s *simcloud.Switches) { s.AssignmentsWithoutScope = value }))
	}
	for _, value := range []string{"", "400"} {
		get(adminKey, target).send(t, newCloudWith(value)).wantKeystone(t, 400, "is required")
	}
	c := newCloudWith("domain")
	for _, more := range []string{"", "&is_inherited=true"} {
		got, want := get(adminKey, target+more).send(t, c), get(adminKey, target+"&scope=domain"+more).send(t, c)
		if got.status != 200 || got.body != want.body || !strings.Contains(got.body, cocID) {
			t.Errorf("%d %s, want %s", got.status, got.body, want.body)
		}
	}
}

// manyGrants gives the agency reader n grants on all resources.
func manyGrants(n int) func(*simcloud.Organization) {
	return func(o *simcloud.Organization) {
		c, err := simcloud.New(o)
		if err != nil {
			panic(err)
		}
		g := &o.Accounts[0].Agencies[1]
		g.Grants = nil
		for _, p := range c.Catalogue() {
			if p.Version != "5.0" && len(g.Grants) < n {
				g.Grants = append(g.Grants, simcloud.Grant{PolicyID: p.ID, Scope: "all_resources"})
			}
		}
	}
}

// rows reads role-assignments and returns the total and the rows' roles.
func rows(t testing.TB, r reply) (int, []string) {
	t.Helper()
	var body struct {
		Total int                                  `json:"total_num"`
		Rows  []struct{ Role struct{ ID string } } `json:"role_assignments"`
	}
	if err := json.Unmarshal([]byte(r.body), &body); err != nil || r.status != 200 || body.Rows == nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	var out []string
	for _, row := range body.Rows {
		out = append(out, row.Role.ID)
	}
	return body.Total, out
}

func TestSwitchAssignmentsUnpaged(t *testing.T) {
	target := assignments + "?scope=domain&is_inherited=true&domain_id=" + alphaID + "&subject.agency_id=" + readerID
	for value, want := range map[string]int{"": 50, "capped": 50, "all": 120} {
		c := newCloud(t, manyGrants(120), switches(func(s *simcloud.Switches) { s.AssignmentsUnpaged = value }))
		total, got := rows(t, get(adminKey, target).send(t, c))
		if total != 120 || len(got) != want {
			t.Errorf("%q: %d rows of %d, want %d", value, len(got), total, want)
		}
	}
}

func TestSwitchTrustNameCase(t *testing.T) {
	for value, want := range map[string]string{
		"": "op_svc_coc", "lower": "op_svc_coc", "upper": "op_svc_COC", "absent": "",
	} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.TrustNameCase = value }))
		for _, target := range []string{agencies + "/" + cocID, "/v5/agencies/" + cocID} {
			body := get(adminKey, target).send(t, c).body
			if strings.Contains(body, "trust_domain_name") != (want != "") ||
				want != "" && !strings.Contains(body, `"trust_domain_name":"`+want+`"`) {
				t.Errorf("%q: %s, want %q", value, body, want)
			}
		}
		// Only service accounts are written this way and that.
		if body := get(adminKey, agencies+"/"+readerID).send(t, c).body; !strings.Contains(body, `"management"`) {
			t.Errorf("%q: %s", value, body)
		}
	}
	hidden := newCloud(t, func(o *simcloud.Organization) { o.Accounts[0].Agencies[0].Trust.HideName = true })
	if body := get(adminKey, agencies+"/"+cocID).send(t, hidden).body; strings.Contains(body, "trust_domain_name") {
		t.Errorf("hidden: %s", body)
	}
}

func TestSwitchCreateTimeFormatAndUnlimitedDuration(t *testing.T) {
	for value, want := range map[string]string{
		"": "2024-09-02T06:11:27.000000", "no_zone": "2024-09-02T06:11:27.000000", "z": "2024-09-02T06:11:27Z",
		"six_decimals": "2024-09-02T06:11:27.000000Z",
	} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.CreateTimeFormat = value }))
		body := get(adminKey, agencies+"/"+expiredID).send(t, c).body
		if !strings.Contains(body, `"create_time":"`+want+`"`) ||
			!strings.Contains(body, `"expire_time":"`+strings.Replace(want, "09-02", "09-22", 1)+`"`) {
			t.Errorf("%q: %s", value, body)
		}
	}
	for value, want := range map[string]string{"": `"FOREVER"`, "FOREVER": `"FOREVER"`, "null": "null"} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.UnlimitedDuration = value }))
		if body := get(adminKey, agencies+"/"+cocID).send(t, c).body; !strings.Contains(body, `"duration":`+want+`,`) {
			t.Errorf("%q: %s", value, body)
		}
		if body := get(adminKey, agencies+"/"+expiredID).send(t, c).body; !strings.Contains(body, `"duration":"480"`) {
			t.Errorf("%q: %s", value, body)
		}
	}
}

// A file that names a policy by one of its two names means the policy, whatever the site calls it.
func TestSwitchPolicyNames(t *testing.T) {
	for _, tt := range []struct {
		change func(*simcloud.Switches)
		want   []string
	}{
		{func(*simcloud.Switches) {}, []string{"RMS ReadOnlyAccess global", "COCServiceAgencyDefaultPolicy all_resources"}},
		{func(s *simcloud.Switches) { s.COCPolicyName, s.RMSPolicyName = "service", "config" },
			[]string{"Config ReadOnlyAccess global", "COCServiceAgencyPolicy all_resources"}},
		{func(s *simcloud.Switches) { s.COCPolicyName, s.RMSPolicyName = "both", "both" },
			[]string{"RMS ReadOnlyAccess global", "COCServiceAgencyDefaultPolicy all_resources"}},
		{func(s *simcloud.Switches) { s.DuplicateDisplayName = true },
			[]string{"RMS ReadOnlyAccess global", "COCServiceAgencyDefaultPolicy all_resources"}},
	} {
		c := newCloud(t, switches(tt.change))
		held := strings.Join(grantsOf(c, "alpha", coc), "\n")
		for _, want := range tt.want {
			if !strings.Contains(held, want) {
				t.Errorf("grants %q, want %q", held, want)
			}
		}
	}
	c := newCloud(t, switches(func(s *simcloud.Switches) { s.DuplicateDisplayName = true }))
	n := 0
	for _, p := range c.Catalogue() {
		if p.DisplayName == "DCS UserAccess" {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d policies are called DCS UserAccess, want 2", n)
	}
}

func TestThrottling(t *testing.T) {
	for _, tt := range []struct {
		rate       float64
		throttle   string
		retryAfter bool
		code, text string
		header     string
	}{
		{2, "", false, "APIGW.0308", "policy user over ratelimit,limit:2,time:1 second", ""},
		{2, "APIGW.0308", true, "APIGW.0308", "policy user over ratelimit,limit:2,time:1 second", "1"},
		{2, "IAM.0012", false, "IAM.0012", "Threshold: 2 times per 1 seconds", ""},
		{0.1, "IAM.0012", true, "IAM.0012", "Threshold: 1 times per 10 seconds", "10"},
	} {
		k := newClock()
		c := newCloud(t, func(o *simcloud.Organization) {
			o.Settings.RateLimit = tt.rate
			o.Settings.Switches.Throttle, o.Settings.Switches.RetryAfter = tt.throttle, tt.retryAfter
		})
		c.Now = k.now
		for range int(max(1, tt.rate)) {
			k.ask(t, c, "GET", domains, "").accepted(t, 200)
		}
		r := k.ask(t, c, "GET", domains, "")
		r.wantCode(t, 429, tt.code, tt.text)
		if got := r.header.Get("Retry-After"); got != tt.header {
			t.Errorf("Retry-After %q, want %q", got, tt.header)
		}
		k.ask(t, c, "GET", "/v5/agencies", "").wantCode(t, 429, tt.code, tt.text)
		// The limit is the account's: another account, and a bad signature, are none of its business.
		request{method: "GET", target: domains, key: betaKey, at: k.at}.send(t, c).accepted(t, 200)
		request{method: "GET", target: domains, key: simcloud.Key{Access: adminKey.Access, Secret: "x"}, at: k.at}.
			send(t, c).refused(t, "verify")
		wait := time.Duration(float64(time.Second) / tt.rate)
		k.at = k.at.Add(wait - time.Millisecond)
		k.ask(t, c, "GET", domains, "").accepted(t, 429)
		k.at = k.at.Add(time.Millisecond)
		k.ask(t, c, "GET", domains, "").accepted(t, 200)
		k.ask(t, c, "GET", domains, "").accepted(t, 429)
		// Silence does not save up for more than a second's worth.
		k.at = k.at.Add(time.Hour)
		for range int(max(1, tt.rate)) {
			k.ask(t, c, "GET", domains, "").accepted(t, 200)
		}
		k.ask(t, c, "GET", domains, "").accepted(t, 429)
	}
}

// lists are all lists of the agency made or changed in the test, by operation.
func lists(agency string) map[string]string {
	inDomain, inProject := rolePath("global", agency, ""), rolePath("project", agency, "")
	return map[string]string{
		"ListAgencies":                        agencies + "?domain_id=" + alphaID,
		"ListDomainPermissionsForAgency":      strings.TrimSuffix(inDomain, "/"),
		"ListProjectPermissionsForAgency":     strings.TrimSuffix(inProject, "/"),
		"ListAllProjectsPermissionsForAgency": strings.Replace(rolePath("", agency, "x"), "/x/", "/", 1),
		"ShowDomainRoleAssignments": assignments + "?scope=domain&domain_id=" + alphaID +
			"&subject.agency_id=" + agency,
		"ListAgenciesV5":               "/v5/agencies",
		"ListAttachedAgencyPoliciesV5": "/v5/agencies/" + agency + "/attached-policies",
	}
}

func TestListsLagBehindWrites(t *testing.T) {
	k := newClock()
	c := newCloud(t, func(o *simcloud.Organization) { o.Settings.ReadAfterWriteDelay = 10 * time.Second })
	c.Now = k.now
	guest := policyID(t, c, "Tenant Guest")
	before := map[string]string{}
	for name, target := range lists(readerID) {
		before[name] = k.ask(t, c, "GET", target, "").body
	}
	changes := func() (lagging []string) {
		for name, target := range lists(readerID) {
			if k.ask(t, c, "GET", target, "").body == before[name] {
				lagging = append(lagging, name)
			}
		}
		slices.Sort(lagging)
		return lagging
	}
	all := slices.Sorted(func(yield func(string) bool) {
		for name := range lists("") {
			if !yield(name) {
				return
			}
		}
	})
	for _, scope := range []string{"global", "project", "all_resources"} {
		k.ask(t, c, "PUT", rolePath(scope, readerID, guest), "").accepted(t, 204)
	}
	k.ask(t, c, "POST", "/v5/policies/"+customV5ID+"/attach-agency", `{"agency_id":"`+readerID+`"}`).accepted(t, 200)
	k.ask(t, c, "PUT", agencies+"/"+readerID, `{"agency":{"description":"changed"}}`).accepted(t, 200)

	k.at = k.at.Add(10*time.Second - time.Nanosecond)
	if got := changes(); !slices.Equal(got, all) {
		t.Errorf("these lag behind: %q, want %q", got, all)
	}
	// What is asked for by id is true at once, and so are rights and the answers to further writes.
	k.ask(t, c, "HEAD", rolePath("global", readerID, guest), "").accepted(t, 204)
	if body := k.ask(t, c, "GET", agencies+"/"+readerID, "").body; !strings.Contains(body, `"changed"`) {
		t.Errorf("agency %s", body)
	}
	// Drift is visible at once, and what lags behind goes on lagging behind.
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: reader,
		Grant: &simcloud.Grant{Policy: "Tenant Administrator", Scope: "global"}})
	listed := k.ask(t, c, "GET", lists(readerID)["ListDomainPermissionsForAgency"], "").body
	if !strings.Contains(listed, "te_admin") || strings.Contains(listed, guest) {
		t.Errorf("after drift: %s", listed)
	}
	k.at = k.at.Add(time.Nanosecond)
	if got := changes(); len(got) != 0 {
		t.Errorf("these still lag behind: %q", got)
	}
	if listed := k.ask(t, c, "GET", lists(readerID)["ListDomainPermissionsForAgency"], "").body; !strings.Contains(listed,
		"te_admin") || !strings.Contains(listed, guest) {
		t.Errorf("at last: %s", listed)
	}
}

func TestListsLagBehindCreationAndDeletion(t *testing.T) {
	k := newClock()
	c := newCloud(t, func(o *simcloud.Organization) { o.Settings.ReadAfterWriteDelay = time.Minute })
	c.Now = k.now
	var made struct{ Agency struct{ ID string } }
	r := k.ask(t, c, "POST", agencies, `{"agency":{"name":"n","domain_id":"`+alphaID+`","trust_domain_name":"beta"}}`)
	r.accepted(t, 201)
	if err := json.Unmarshal([]byte(r.body), &made); err != nil {
		t.Fatal(err)
	}
	id := made.Agency.ID
	roles := strings.TrimSuffix(rolePath("global", id, ""), "/")
	k.ask(t, c, "GET", agencies+"/"+id, "").accepted(t, 200)
	k.ask(t, c, "GET", roles, "").wantKeystone(t, 404, id)
	k.at = k.at.Add(30 * time.Second)
	k.ask(t, c, "DELETE", agencies+"/"+id, "").accepted(t, 204)
	k.ask(t, c, "GET", agencies+"/"+id, "").accepted(t, 404)
	k.at = k.at.Add(30 * time.Second) // the creation has arrived, the deletion has not
	k.ask(t, c, "GET", roles, "").accepted(t, 200)
	if got := names(t, k.ask(t, c, "GET", agencies+"?domain_id="+alphaID+"&name=n", "")); len(got) != 1 {
		t.Errorf("agencies %q", got)
	}
	k.at = k.at.Add(30 * time.Second)
	k.ask(t, c, "GET", roles, "").accepted(t, 404)
}

func TestEachListLagsBehindByItsOwnDelay(t *testing.T) {
	k := newClock()
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Settings.ReadAfterWriteDelay = time.Second
		o.Settings.ReadAfterWriteDelays = map[string]time.Duration{
			"ListDomainPermissionsForAgency": 0, "ShowDomainRoleAssignments": time.Minute}
	})
	c.Now = k.now
	server := policyID(t, c, "Server Administrator")
	k.ask(t, c, "PUT", rolePath("global", readerID, server), "").accepted(t, 204)
	k.ask(t, c, "PUT", rolePath("all_resources", readerID, server), "").accepted(t, 204)
	shows := func(list string) bool {
		return strings.Contains(k.ask(t, c, "GET", lists(readerID)[list], "").body, server)
	}
	for _, at := range []struct {
		after                       time.Duration
		domain, inherited, assigned bool
	}{{0, true, false, false}, {time.Second, true, true, false}, {59 * time.Second, true, true, true}} {
		k.at = k.at.Add(at.after)
		if shows("ListDomainPermissionsForAgency") != at.domain ||
			shows("ListAllProjectsPermissionsForAgency") != at.inherited ||
			shows("ShowDomainRoleAssignments") != at.assigned {
			t.Errorf("after %v the lists are not as %+v", at.after, at)
		}
	}
}

// Old versions must not pile up: a write throws out what no list shows any more.
func TestVersionsAreForgotten(t *testing.T) {
	k := newClock()
	c := newCloud(t, func(o *simcloud.Organization) { o.Settings.ReadAfterWriteDelay = 10 * time.Second })
	c.Now = k.now
	guest := policyID(t, c, "Tenant Guest")
	for i := range 100 {
		q := put
		if i%2 == 1 {
			q = revoke
		}
		r := q("global", readerID, guest)
		r.at = k.at
		r.send(t, c).accepted(t, 204)
		k.at = k.at.Add(time.Second)
		if n := c.Versions("alpha"); n > 12 {
			t.Fatalf("%d versions after %d writes", n, i+1)
		}
	}
	if err := c.SetSettings(simcloud.Settings{}); err != nil {
		t.Fatal(err)
	}
	r := put("all_resources", readerID, guest)
	r.at = k.at
	r.send(t, c).accepted(t, 204)
	if n := c.Versions("alpha"); n != 1 {
		t.Errorf("%d versions without a delay, want 1", n)
	}
}

func TestPagesEndAtTheirCaps(t *testing.T) {
	c := newCloud(t, manyGrants(120), func(o *simcloud.Organization) { o.Settings.PageSize = 7 })
	target := assignments + "?scope=domain&is_inherited=true&domain_id=" + alphaID + "&subject.agency_id=" + readerID
	seen := map[string]bool{}
	pages := 0
	for page := 1; ; page++ {
		total, got := rows(t, get(adminKey, fmt.Sprint(target, "&per_page=50&page=", page)).send(t, c))
		if total != 120 || len(got) > 7 {
			t.Fatalf("page %d: %d rows of %d", page, len(got), total)
		}
		if len(got) == 0 {
			break
		}
		pages++
		for _, id := range got {
			seen[id] = true
		}
	}
	if len(seen) != 120 || pages != 18 {
		t.Errorf("%d rows on %d pages, want 120 on 18", len(seen), pages)
	}
	if _, got := rows(t, get(adminKey, target).send(t, c)); len(got) != 7 {
		t.Errorf("%d rows without paging, want 7", len(got))
	}
	// A page beyond the end, however far, is empty.
	if _, got := rows(t, get(adminKey, target+"&per_page=50&page=2147483647").send(t, c)); len(got) != 0 {
		t.Errorf("%d rows beyond the end", len(got))
	}
	for target, want := range map[string]int{
		"/v3/roles": 7, "/v3/roles?page=1&per_page=300": 7, "/v3/roles?page=200&per_page=300": 0,
		"/v3/roles?page=2147483647&per_page=300":                    0,
		"/v3/roles?display_name=a":                                  7,
		agencies + "?domain_id=" + alphaID:                          4, // without paging the whole list
		agencies + "?page=1&per_page=3&domain_id=" + alphaID:        3,
		agencies + "?page=2&per_page=3&domain_id=" + alphaID:        1,
		agencies + "?page=3&per_page=3&domain_id=" + alphaID:        0,
		"/v3/projects?page=2&per_page=2":                            1,
		"/v3.0/OS-ROLE/roles?page=2&per_page=1":                     0,
		"/v3/roles?page=1&per_page=300&domain_id=" + alphaID:        1,
		"/v3/roles?page=1&per_page=5":                               5,
		"/v1.0/enterprise-projects?limit=1":                         1,
		"/v1.0/enterprise-projects?offset=2":                        0,
		"/v1.0/enterprise-projects?offset=2147483647":               0,
		"/v5/agencies?limit=200":                                    4,
		"/v5/agencies/" + cocID + "/attached-policies?limit=1":      1,
		"/v5/agencies?path_prefix=service-linked-agency%2Fservice.": 0,
	} {
		body := get(adminKey, target).send(t, c).body
		var members map[string]json.RawMessage
		if err := json.Unmarshal([]byte(body), &members); err != nil {
			t.Fatalf("%s: %s", target, body)
		}
		for name, raw := range members {
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) == nil && len(list) != want {
				t.Errorf("%s: %d %s, want %d", target, len(list), name, want)
			}
		}
	}
}

func TestMarkersSurviveWhatComesAndGoes(t *testing.T) {
	c := newCloud(t)
	page := func(target string) (ids []string, next string) {
		var body struct {
			Agencies []struct {
				ID string `json:"agency_id"`
			}
			PageInfo struct {
				Next  string `json:"next_marker"`
				Count int    `json:"current_count"`
			} `json:"page_info"`
		}
		if err := json.Unmarshal([]byte(get(adminKey, target).send(t, c).body), &body); err != nil {
			t.Fatal(err)
		}
		for _, a := range body.Agencies {
			ids = append(ids, a.ID)
		}
		return ids, body.PageInfo.Next
	}
	first, next := page("/v5/agencies?limit=2")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: reader})
	second, end := page("/v5/agencies?limit=2&marker=" + percent(next))
	if !slices.Equal(first, []string{cocID, readerID}) || !slices.Equal(second, []string{expiredID, foreignID}) ||
		end != "" {
		t.Errorf("pages %v and %v, then %q", first, second, end)
	}
}

func TestPlanesThatAnAccountDoesNotHave(t *testing.T) {
	c := newCloud(t)
	var cocPlain string
	for _, a := range c.Organization().Accounts {
		if a.Name == "plain" {
			cocPlain = a.Agencies[0].ID
		}
	}
	for _, q := range []request{
		get(plainKey, "/v5/agencies"), get(plainKey, "/v5/agencies/"+cocPlain),
		get(plainKey, "/v5/agencies/"+cocPlain+"/attached-policies"),
		{method: "POST", target: "/v5/policies/x/attach-agency", body: `{"agency_id":"x"}`, key: plainKey},
		{method: "POST", target: "/v5/policies/x/detach-agency", body: `{"agency_id":"x"}`, key: plainKey},
		get(plainKey, assignments+"?scope=enterprise_project&domain_id="+plainID),
		get(plainKey, assignments+"?scope.enterprise_projects_id=0&domain_id="+plainID),
		{method: "PUT", target: inEP, body: enterpriseBody(1, "0", "x"), key: plainKey},
		{method: "DELETE", target: inEP, body: enterpriseBody(1, "0", "x"), key: plainKey},
		get(plainKey, "/v1.0/enterprise-projects"),
	} {
		q.send(t, c).wantCode(t, 404, "APIGW.0101", "does not exist")
	}
	for _, scope := range []string{"domain", "project"} {
		get(plainKey, assignments+"?scope="+scope+"&domain_id="+plainID).send(t, c).accepted(t, 200)
	}
	get(plainKey, agencies+"?domain_id="+plainID).send(t, c).accepted(t, 200)
}

// A latency ends when the client gives up, and what it asked for has not happened.
func TestLatencyIsWaitedAndHonoursCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, func(o *simcloud.Organization) { o.Settings.Latency = 20 * time.Millisecond })
		start := time.Now()
		get(adminKey, domains).send(t, c).accepted(t, 200)
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("the answer took %v of virtual time", d)
		}
		r := put("global", readerID, policyID(t, c, "Tenant Guest")).build()
		ctx, cancel := contextWithTimeout(t, 19*time.Millisecond)
		defer cancel()
		start = time.Now()
		do(c, r.WithContext(ctx))
		if d := time.Since(start); d != 19*time.Millisecond {
			t.Errorf("giving up took %v of virtual time", d)
		}
		if j := c.Journal(); len(j) != 0 {
			t.Errorf("journal %+v", j)
		}
	})
}

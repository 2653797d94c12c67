package huawei_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustObserve fails the test without evidence.
func mustObserve(t testing.TB, c *huawei.Cloud, n int) rules.Evidence {
	t.Helper()
	ev, _, err := c.Observe(t.Context(), account(n), baseline(), rules.Last{})
	if err != nil {
		t.Fatalf("no evidence: %v", err)
	}
	return ev
}

// wantUnknown fails the test unless the observation ends for the reason.
func wantUnknown(t testing.TB, c *huawei.Cloud, n int, reason rules.Reason) {
	t.Helper()
	_ = unknown(t, c, n, reason)
}

// unknown is wantUnknown for those who want to know more.
func unknown(t testing.TB, c *huawei.Cloud, n int, reason rules.Reason) *rules.Unknown {
	t.Helper()
	ev, _, err := c.Observe(t.Context(), account(n), baseline(), rules.Last{})
	if err == nil {
		t.Fatalf("evidence with grants %v, want unknown (%s)", ev.Grants(), reason)
	}
	u, ok := errors.AsType[*rules.Unknown](err)
	if !ok {
		t.Fatalf("error %T is no Unknown: %v", err, err)
	}
	if u.Reason != reason {
		t.Fatalf("reason %s, want %s: %v", u.Reason, reason, u)
	}
	if u.Remedy == "" {
		t.Errorf("%v: nothing says what to do", u)
	}
	return u
}

func grants(ev rules.Evidence) (lines []string) {
	for _, g := range ev.Grants() {
		line := fmt.Sprintf("%s %s %q %s", g.Scope.Kind, g.Policy.Origin, g.Policy.Name, g.Scope.ID)
		if g.Policy.Unbounded {
			line += " unbounded"
		}
		if g.Scope.Name != "" {
			line += " " + g.Scope.Name
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

func wantLines(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// six are the requests of a steady observation of an account.
func six(n int) (sent []string) {
	for _, op := range []string{"agencies", "attached", "domain", "enterprise_project", "inherited", "project"} {
		sent = append(sent, op+" "+accountID(n))
	}
	return sent
}

func TestSteadyObservationTakesSixRequests(t *testing.T) {
	f := newFake(t, 2)
	c, _ := open(t, f.config())
	first := slices.Concat(six(0), slices.Repeat([]string{"catalogue " + accountID(0)}, 8))
	slices.Sort(first)
	ev, trail, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if err != nil || trail.Requests != 6 {
		t.Fatalf("%v, charged with %d requests, want 6: the catalogue is for all", err, trail.Requests)
	}
	wantLines(t, grants(ev), []string{`global system "IAM ReadOnlyAccess"`, `all_resources system "DCS UserAccess"`})
	wantLines(t, f.log(), first) // 700 policies in pages of 300, and the empty page that ends the list, twice
	for _, n := range []int{1, 0, 1} {
		ev, trail, err := c.Observe(t.Context(), account(n), baseline(), rules.Last{})
		if err != nil {
			t.Fatal(err)
		}
		if trail.Requests != 6 {
			t.Errorf("trail: %d requests, want 6", trail.Requests)
		}
		wantLines(t, f.log(), six(n))
		for _, p := range ev.Planes() {
			if p.State != rules.PlaneRead || p.Total != len(p.Grants) || p.Witnessed || len(p.RequestIDs) != 1 {
				t.Errorf("plane %+v", p)
			}
		}
		a, ok := ev.Agency()
		created := time.Date(2024, 9, 2, 6, 11, 27, 0, time.UTC)
		want := rules.Agency{
			ID: id32(agencyFrom + n), Name: coc, AccountID: accountID(n), CreatedAt: created,
			Trust: rules.Trust{ID: cocTrust, Name: "op_svc_coc"},
		}
		if !ok || a != want {
			t.Errorf("agency %+v, want %+v", a, want)
		}
		if len(ev.RequestIDs()) != 1 || ev.StartedAt().IsZero() || ev.EndedAt().Before(ev.StartedAt()) {
			t.Errorf("request ids %v, from %v to %v", ev.RequestIDs(), ev.StartedAt(), ev.EndedAt())
		}
	}
	if n := c.Requests()["ListAgencies"]; n != 4 {
		t.Errorf("counter of ListAgencies: %d, want 4", n)
	}
	if n := c.Requests()["KeystoneListPermissions"]; n != 8 {
		t.Errorf("counter of KeystoneListPermissions: %d, want 8", n)
	}
}

func TestEveryPlaneIsReadAndEveryPolicyNamed(t *testing.T) {
	f := newFake(t, 1)
	id := accountID(0)
	a := f.accounts[id]
	a.grants["domain"] = append(a.grants["domain"], fakeGrant{id32(roleFull), id}, fakeGrant{id32(9001), id})
	a.grants["inherited"] = append(a.grants["inherited"], fakeGrant{id32(9002), id})
	a.grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}, {id32(roleGuest), "p2"}, {id32(9003), "p1"}}
	a.grants["enterprise_project"] = []fakeGrant{{id32(roleGuest), "0"}, {id32(9003), "e1"}}
	a.attached = []map[string]any{
		{"policy_id": "v5a", "policy_name": "Vendors", "urn": "iam::system:policy:Vendors", "attached_at": "2025-01-01T00:00:00Z"},
		{"policy_id": "v5b", "policy_name": "Ours", "urn": "iam::" + id + ":policy:Ours", "attached_at": "2025-01-01T00:00:00Z"},
		{"policy_id": "v5c", "policy_name": "Nameless", "urn": "iam:::policy:Nameless", "attached_at": "2025-01-01T00:00:00Z"},
		{"policy_id": "v5d", "policy_name": "No urn", "urn": "", "attached_at": "2025-01-01T00:00:00Z"},
	}
	a.custom[id32(9001)] = map[string]any{
		"id": id32(9001), "name": "custom_1", "type": "AX", "display_name": "IAM ReadOnlyAccess", "domain_id": id, "policy": document("*"),
	}
	a.custom[id32(9002)] = map[string]any{ // of another account, and still custom
		"id": id32(9002), "name": "custom_2", "type": "AX", "display_name": "foreign", "domain_id": accountID(5), "policy": document("a:*:*"),
	}
	a.custom[id32(9003)] = map[string]any{ // system-defined and new since the catalogue was read
		"id": id32(9003), "name": "system_all_9003", "type": "AX", "display_name": "New FullAccess", "domain_id": nil, "policy": document("x:*:*"),
	}
	a.projects = []map[string]any{
		{"id": "p1", "name": "cn-north-4", "domain_id": id, "parent_id": id, "enabled": true, "is_domain": false, "description": ""},
	}
	c, _ := open(t, f.config())
	ev := mustObserve(t, c, 0)
	wantLines(t, grants(ev), []string{
		`global system "FullAccess"  unbounded`,
		`global system "IAM ReadOnlyAccess"`,
		`global custom "IAM ReadOnlyAccess"  unbounded`,
		`all_resources system "DCS UserAccess"`,
		`all_resources custom "foreign"`,
		`project system "New FullAccess" p1 cn-north-4`,
		`project system "Tenant Guest" p1 cn-north-4`,
		`project system "Tenant Guest" p2`,
		`enterprise_project system "New FullAccess" e1`,
		`enterprise_project system "Tenant Guest" 0 default`,
		`identity system "Nameless"`,
		`identity custom "No urn"`,
		`identity custom "Ours"`,
		`identity system "Vendors"`,
	})
	f.log()
	// They are asked for again: custom ones may have been edited, and an account's answer is none for the others.
	a.custom[id32(9001)]["display_name"] = "renamed"
	ev = mustObserve(t, c, 0)
	if !slices.Contains(grants(ev), `global custom "renamed"  unbounded`) {
		t.Errorf("the custom policy's new name is missing: %q", grants(ev))
	}
	want := append(six(0), "policy "+id, "policy "+id, "policy "+id, "projects "+id)
	slices.Sort(want)
	wantLines(t, f.log(), want)
	ids, _, err := c.PolicyIDs(t.Context(), []string{"New FullAccess", "IAM ReadOnlyAccess", "renamed", "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string][]string{
		"New FullAccess": nil, "IAM ReadOnlyAccess": {id32(roleIAM)}, "renamed": nil, "nobody": nil,
	} {
		if got, ok := ids[name]; !ok || !slices.Equal(got, n) {
			t.Errorf("ids of %q: %v, want %v", name, got, n)
		}
	}
}

// TestTimesEncloseEveryRequest lets an hour pass within the first request and another within the last.
func TestTimesEncloseEveryRequest(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}}
	cfg := f.config()
	var clk clock
	cfg.Now = clk.now
	c, _ := open(t, cfg)
	for _, step := range []string{"agencies", "projects"} {
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			clk.advance(time.Hour)
			truth(w, r)
		})
	}
	before := clk.now()
	ev := mustObserve(t, c, 0)
	if ev.StartedAt().Before(before) || ev.EndedAt().Sub(ev.StartedAt()) < 2*time.Hour || ev.EndedAt().After(clk.now()) {
		t.Errorf("from %v to %v", ev.StartedAt(), ev.EndedAt())
	}
}

func TestPolicyThatNobodyCanNameIsUnresolved(t *testing.T) {
	f := newFake(t, 1)
	a := f.accounts[accountID(0)]
	a.grants["domain"] = append(a.grants["domain"], fakeGrant{id32(9009), accountID(0)})
	c, _ := open(t, f.config())
	if got := grants(mustObserve(t, c, 0)); !slices.Contains(got, `global unresolved ""`) {
		t.Errorf("grants %q", got)
	}
	// A custom policy that allows everything is not taken for less because IAM does not find it once.
	a.custom[id32(9009)] = custom(9009, accountID(0))
	var n atomic.Int32
	f.log()
	f.lie("policy", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if n.Add(1) == 1 {
			f.keystone(w, 404, "Could not find role")
			return
		}
		truth(w, r)
	})
	if got := grants(mustObserve(t, c, 0)); !slices.Contains(got, `global custom "DCS UserAccess"  unbounded`) || asked(f.log(), "policy") != 2 {
		t.Errorf("not found once: %q", got)
	}
	// Only IAM itself may say so, not a gateway before it.
	f.lie("policy", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		f.gateway(w, 404, "APIGW.0101", "no such API")
	})
	wantUnknown(t, c, 0, rules.ReasonRejected)
	f.lie("policy", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		http.Error(w, "<html>not found</html>", http.StatusNotFound)
	})
	wantUnknown(t, c, 0, rules.ReasonRejected)
}

func TestPagesAreFollowedToTheEnd(t *testing.T) {
	for _, pageCap := range []int{0, 7, 40} {
		f := newFake(t, 1)
		f.pageCap = pageCap
		id := accountID(0)
		a := f.accounts[id]
		for i := range 120 {
			a.grants["project"] = append(a.grants["project"], fakeGrant{id32(roleGuest), fmt.Sprintf("p%d", i)})
			a.attached = append(a.attached, map[string]any{
				"policy_id": fmt.Sprintf("v5-%d", i), "policy_name": "x", "urn": "iam::system:policy:x", "attached_at": "2025-01-01T00:00:00Z",
			})
		}
		for i := range 30 { // the filter by name is ignored: the agency is the last of the list
			a.agencies = slices.Insert(a.agencies, 0, agency(id, fmt.Sprintf("other%d", i), 0xb00+i))
		}
		f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			q := r.URL.Query()
			q.Del("name")
			r.URL.RawQuery = q.Encode()
			truth(w, r)
		})
		c, _ := open(t, f.config())
		ev := mustObserve(t, c, 0)
		if n := len(ev.Grants()); n != 242 {
			t.Errorf("pages of %d: %d grants, want 242", pageCap, n)
		}
		if ids, _, err := c.PolicyIDs(t.Context(), []string{"Service699 ReadOnlyAccess"}); err != nil || len(ids["Service699 ReadOnlyAccess"]) != 1 {
			t.Errorf("pages of %d: the last policy of the catalogue has the ids %v (%v)", pageCap, ids, err)
		}
	}
}

func TestEmptyPlaneThatTheBaselineFillsHasTwoWitnesses(t *testing.T) {
	for plane, witness := range map[string]string{"domain": "globalRoles", "inherited": "inheritedRoles"} {
		f := newFake(t, 1)
		a := f.accounts[accountID(0)]
		held := a.grants[plane]
		a.grants[plane] = nil
		c, _ := open(t, f.config())
		ev := mustObserve(t, c, 0)
		if len(ev.Grants()) != 1 {
			t.Errorf("%s: grants %q", plane, grants(ev))
		}
		if !slices.Contains(f.log(), witness+" "+accountID(0)) {
			t.Errorf("%s: the second witness was not asked", plane)
		}
		f.lie(witness, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			f.json(w, 200, map[string]any{"roles": []any{map[string]any{"id": held[0].role, "name": "x"}}})
		})
		wantUnknown(t, c, 0, rules.ReasonDisagree)
		f.lie(witness, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { f.keystone(w, 403, "no") })
		wantUnknown(t, c, 0, rules.ReasonDenied)
	}
}

func TestEmptyPlaneThatTheBaselineDoesNotFillHasOneWitness(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].grants["inherited"] = nil
	b := baseline()
	b.Required = b.Required[:1]
	c, _ := open(t, f.config())
	if _, trail, err := c.Observe(t.Context(), account(0), b, rules.Last{}); err != nil || trail.Requests != 6 {
		t.Errorf("%v, %d requests", err, trail.Requests)
	}
}

func TestAgencyWithoutGrantsReadsTheCatalogueForTheOthers(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].grants = nil
	c, _ := open(t, f.config())
	mustObserve(t, c, 0)
	if ids, _, err := c.PolicyIDs(t.Context(), []string{"IAM ReadOnlyAccess"}); err != nil || len(ids["IAM ReadOnlyAccess"]) != 1 {
		t.Errorf("%v, %v", ids, err)
	}
	// It does not matter to the account itself.
	c, _ = open(t, f.config())
	f.lie("catalogue", say(403, "{}"))
	mustObserve(t, c, 0)
}

func TestAbsentAgencyHasTwoWitnesses(t *testing.T) {
	f := newFake(t, 1)
	id := accountID(0)
	a := f.accounts[id]
	present := a.agencies[0]
	a.agencies = []map[string]any{agency(id, coc+"2", 0xb01), agency(id, strings.ToLower(coc), 0xb02)}
	c, _ := open(t, f.config())
	ev := mustObserve(t, c, 0)
	if _, ok := ev.Agency(); ok {
		t.Error("a look-alike was taken for the agency")
	}
	got := f.log()
	want := append(slices.Repeat([]string{"agencies " + id}, 3), slices.Repeat([]string{"catalogue " + id}, 8)...)
	want = append(want, "domains "+id)
	wantLines(t, got, want) // by name, whose key, all of them, the empty page after them; and names for the others
	if _, _, err := c.PolicyIDs(t.Context(), nil); err != nil {
		t.Errorf("an account without the agency has not read the catalogue for the others: %v", err)
	}
	f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if r.URL.Query().Get("name") == "" {
			f.json(w, 200, map[string]any{"agencies": []any{present}})
			return
		}
		truth(w, r)
	})
	wantUnknown(t, c, 0, rules.ReasonDisagree)
	f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if r.URL.Query().Get("name") == "" {
			f.keystone(w, 403, "no")
			return
		}
		truth(w, r)
	})
	wantUnknown(t, c, 0, rules.ReasonDenied)
}

func TestTwoAgenciesOfTheNameAreAmbiguous(t *testing.T) {
	f := newFake(t, 1)
	a := f.accounts[accountID(0)]
	a.agencies = append(a.agencies, agency(accountID(0), coc, 0xb01))
	c, _ := open(t, f.config())
	wantUnknown(t, c, 0, rules.ReasonAmbiguous)
	wantLines(t, f.log(), []string{"agencies " + accountID(0)}) // nothing is asked about either
}

// TestEveryRowIsOfTheAccount: a list that shows another account's agencies is not this account's, whatever their names.
func TestEveryRowIsOfTheAccount(t *testing.T) {
	f := newFake(t, 1)
	a := f.accounts[accountID(0)]
	a.agencies[0]["name"] = "another"
	c, _ := open(t, f.config())
	mustObserve(t, c, 0)
	a.agencies[0]["domain_id"] = accountID(1)
	wantUnknown(t, c, 0, rules.ReasonRejected)
}

func TestPlanesThatASiteLacks(t *testing.T) {
	missing := func(f *fake) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			f.gateway(w, 404, "APIGW.0101", "The API does not exist")
		}
	}
	f := newFake(t, 1)
	f.lie("attached", missing(f))
	f.lie("enterprise_project", missing(f))
	c, _ := open(t, f.config())
	for _, p := range mustObserve(t, c, 0).Planes() {
		absent := p.Kind == rules.Identity || p.Kind == rules.EnterpriseProject
		if (p.State == rules.PlaneAbsent) != absent {
			t.Errorf("plane %s is %s", p.Kind, p.State)
		}
	}
	for _, always := range []string{"domain", "inherited", "project", "agencies"} {
		f := newFake(t, 1)
		f.lie(always, missing(f))
		c, _ := open(t, f.config())
		if u := unknown(t, c, 0, rules.ReasonRejected); !strings.Contains(u.Detail, "404 APIGW.0101") || asked(f.log(), always) != 1 {
			t.Errorf("%s: %v", always, u)
		}
	}
	// The list of answers that mean it is closed.
	for name, answer := range map[string]func(w http.ResponseWriter){
		"another code":   func(w http.ResponseWriter) { f.gateway(w, 404, "APIGW.0103", "The backend does not exist") },
		"another status": func(w http.ResponseWriter) { f.gateway(w, 400, "APIGW.0101", "The API does not exist") },
		"no such entity": func(w http.ResponseWriter) { f.gateway(w, 404, "PAP5.0012", "not found") },
		"keystone":       func(w http.ResponseWriter) { f.keystone(w, 404, "APIGW.0101") },
		"not JSON":       func(w http.ResponseWriter) { http.Error(w, "APIGW.0101", http.StatusNotFound) },
	} {
		f.lie("attached", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { answer(w) })
		if u := unknown(t, c, 0, rules.ReasonRejected); !strings.Contains(u.Detail, `the plane "identity policy, v5"`) {
			t.Errorf("%s: %v", name, u)
		}
	}
}

func TestTimesOfAnAgency(t *testing.T) {
	want := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for text, expires := range map[any]time.Time{
		nil: {}, "": {}, "2031-05-06T07:08:09.000000": want, "2031-05-06T07:08:09": want, "2031-05-06T07:08:09Z": want,
		"2031-05-06T07:08:09.000000Z": want, "2031-05-06 07:08:09": want, "2031-05-06T15:08:09+08:00": want,
		"2031-05-06T15:08:09+0800": want,
	} {
		f := newFake(t, 1)
		f.accounts[accountID(0)].agencies[0]["expire_time"] = text
		c, _ := open(t, f.config())
		if a, _ := mustObserve(t, c, 0).Agency(); !a.ExpiresAt.Equal(expires) {
			t.Errorf("expire_time %v: %v, want %v", text, a.ExpiresAt, expires)
		}
	}
	// What cannot be read must not read as "never".
	for _, text := range []string{"soon", "1700000000000", "0001-01-01T00:00:00Z", "2031-13-06T07:08:09"} {
		f := newFake(t, 1)
		f.accounts[accountID(0)].agencies[0]["expire_time"] = text
		c, _ := open(t, f.config())
		wantUnknown(t, c, 0, rules.ReasonRejected)
	}
	f := newFake(t, 1)
	f.accounts[accountID(0)].agencies[0]["create_time"] = "long ago"
	c, _ := open(t, f.config())
	if a, _ := mustObserve(t, c, 0).Agency(); !a.CreatedAt.IsZero() {
		t.Errorf("created at %v", a.CreatedAt)
	}
}

func TestAccountWithoutAccess(t *testing.T) {
	f := newFake(t, 1)
	c, _ := open(t, f.config())
	wantUnknown(t, c, 7, rules.ReasonDenied)
	if sent := f.log(); len(sent) != 0 {
		t.Errorf("sent %v", sent)
	}
	if _, _, err := c.PolicyIDs(t.Context(), []string{"x"}); err == nil {
		t.Error("ids of a catalogue that nobody has read")
	} else if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonIncomplete {
		t.Errorf("error %v", err)
	}
}

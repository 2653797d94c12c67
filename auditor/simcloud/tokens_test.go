package simcloud_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

func contextWithTimeout(t testing.TB, d time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), d)
}

// temporary is a temporary key.
type temporary struct {
	key   simcloud.Key
	token string
}

// assume has a key assume an agency.
func assume(t testing.TB, c *simcloud.Cloud, key simcloud.Key, token, body string, at time.Time) temporary {
	t.Helper()
	r := request{method: "POST", target: tokens, body: body, key: key, token: token, at: at}.send(t, c)
	if r.status != 201 {
		t.Fatalf("status %d: %s", r.status, r.body)
	}
	var out struct {
		Credential struct {
			Access, Secret string
			Token          string `json:"securitytoken"`
		}
	}
	if err := json.Unmarshal([]byte(r.body), &out); err != nil {
		t.Fatal(err)
	}
	return temporary{simcloud.Key{Access: out.Credential.Access, Secret: out.Credential.Secret}, out.Credential.Token}
}

func (k temporary) get(target string, at time.Time) request {
	return request{method: "GET", target: target, key: k.key, token: k.token, at: at}
}

func TestTemporaryKeysNeedTheirTokenAndEnd(t *testing.T) {
	k := newClock()
	c := newCloud(t)
	c.Now = k.now
	key := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	key.get(domains, k.at).send(t, c).accepted(t, 200)
	without := key.get(domains, k.at)
	without.token = ""
	without.send(t, c).refused(t, "decrypt token fail")
	wrong := key.get(domains, k.at)
	wrong.token += "x"
	wrong.send(t, c).refused(t, "decrypt token fail")
	other := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	others := key.get(domains, k.at)
	others.token = other.token
	others.send(t, c).refused(t, "decrypt token fail")
	twice := key.get(domains, k.at)
	r := twice.build()
	r.Header.Add("X-Security-Token", key.token)
	if got := read(t, do(c, r)); got.status != 401 {
		t.Errorf("two tokens: %d", got.status)
	}
	// 15 minutes are the default.
	k.at = k.at.Add(15*time.Minute - time.Nanosecond)
	key.get(domains, k.at).send(t, c).accepted(t, 200)
	k.at = k.at.Add(time.Nanosecond)
	key.get(domains, k.at).send(t, c).refused(t, "token expires")

	for seconds, d := range map[string]time.Duration{"900": 15 * time.Minute, "86400": 24 * time.Hour} {
		key := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", `,"duration_seconds":`+seconds), k.at)
		start := k.at
		k.at = start.Add(d - time.Second)
		key.get(domains, k.at).send(t, c).accepted(t, 200)
		k.at = start.Add(d)
		key.get(domains, k.at).send(t, c).refused(t, "token expires")
	}
}

func TestWhoMayAssumeWhat(t *testing.T) {
	c := newCloud(t)
	ask := func(key simcloud.Key, body string) reply {
		return request{method: "POST", target: tokens, body: body, key: key}.send(t, c)
	}
	const denied = "You are not authorized to perform the requested action: identity:create_temporary_access_key"
	byID := strings.Replace(assumeBody(reader, "", ""), `"domain_name":""`, `"domain_id":"`+alphaID+`"`, 1)
	both := strings.Replace(assumeBody(reader, "alpha", ""), `"domain_name"`, `"domain_id":"`+alphaID+`","domain_name"`, 1)
	ask(auditorKey, byID).accepted(t, 201)
	ask(auditorKey, both).accepted(t, 201)
	ask(auditorKey, strings.Replace(both, `"alpha"`, `"beta"`, 1)).wantKeystone(t, 404, "Could not find domain")
	ask(limitedKey, assumeBody(reader, "alpha", "")).accepted(t, 201)
	ask(limitedKey, assumeBody("Expired", "alpha", "")).wantKeystone(t, 403, denied) // expired, and not its resource
	ask(auditorKey, assumeBody("Expired", "alpha", "")).wantKeystone(t, 403, denied)
	ask(auditorKey, assumeBody("Foreign", "alpha", "")).wantKeystone(t, 403, denied)
	ask(auditorKey, assumeBody(coc, "alpha", "")).wantKeystone(t, 403, denied)
	ask(auditorKey, assumeBody("None", "alpha", "")).wantKeystone(t, 404, "Could not find agency: None")
	ask(auditorKey, assumeBody(reader, "nowhere", "")).wantKeystone(t, 404, "Could not find domain: nowhere")
	ask(auditorKey, assumeBody(reader, "frozen", "")).wantKeystone(t, 403, denied) // suspended
	ask(nobodyKey, assumeBody(reader, "alpha", "")).wantKeystone(t, 403, denied)
	// The account's own administrator is not the trusted account.
	ask(adminKey, assumeBody(reader, "alpha", "")).wantKeystone(t, 403, denied)

	// A resource limits to one agency: another one of the same trust is refused.
	c = newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: reader, Trust: simcloud.Trust{Name: "management"}})
	})
	ask(auditorKey, assumeBody(reader, "beta", "")).accepted(t, 201)
	ask(limitedKey, assumeBody(reader, "beta", "")).wantKeystone(t, 403, denied)
	ask(limitedKey, assumeBody(reader, "alpha", "")).accepted(t, 201)
	if err := c.Drift(simcloud.Drift{Kind: simcloud.DriftSuspend, Account: "alpha"}); err != nil {
		t.Fatal(err)
	}
	ask(auditorKey, assumeBody(reader, "alpha", "")).wantKeystone(t, 403, denied)
}

// A temporary key has the agency's rights as they are when it is used, in the agency's account and nowhere else.
func TestTemporaryKeysActAsTheAgency(t *testing.T) {
	now := time.Now()
	list := agencies + "?domain_id=" + alphaID
	c := newCloud(t)
	key := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), now)
	key.get(list, now).send(t, c).accepted(t, 200)
	key.get(agencies+"?domain_id="+managementID, now).send(t, c).wantKeystone(t, 403, "identity:list_agencies")
	key.get(agencies+"?domain_id="+betaID, now).send(t, c).wantKeystone(t, 403, "identity:list_agencies")
	write := request{method: "DELETE", target: agencies + "/" + foreignID, key: key.key, token: key.token}
	write.send(t, c).wantKeystone(t, 403, "identity:delete_agency")

	grant := func(kind, policy, scope, in string) {
		drift(t, c, simcloud.Drift{Kind: kind, Account: "alpha", Agency: reader,
			Grant: &simcloud.Grant{Policy: policy, Scope: scope, In: in}})
	}
	grant(simcloud.DriftGrant, "IAM FullAccess", "project", subIDName) // no right for global services
	grant(simcloud.DriftGrant, "IAM FullAccess", "enterprise_project", "0")
	write.send(t, c).wantKeystone(t, 403, "identity:delete_agency")
	grant(simcloud.DriftGrant, "IAM FullAccess", "all_resources", "")
	write.send(t, c).accepted(t, 204)
	if j := c.Journal(); len(j) != 1 || !strings.HasPrefix(j[0].Actor, "agency/"+reader+"/") || j[0].Account != "alpha" {
		t.Errorf("journal %+v", j)
	}
	grant(simcloud.DriftRevoke, "IAM FullAccess", "all_resources", "")
	grant(simcloud.DriftRevoke, "IAM ReadOnlyAccess", "global", "")
	key.get(list, now).send(t, c).wantKeystone(t, 403, "identity:list_agencies")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftAttach, Account: "alpha", Agency: reader, Policy: "audit-identity"})
	key.get("/v5/agencies", now).send(t, c).accepted(t, 200) // the identity policy allows exactly this
	key.get(list, now).send(t, c).wantKeystone(t, 403, "identity:list_agencies")

	grant(simcloud.DriftGrant, "IAM ReadOnlyAccess", "global", "")
	key.get(list, now).send(t, c).accepted(t, 200)
	end := now.Add(-time.Hour)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: reader, ExpiresAt: &end})
	// A key ends with its agency, also for what needs no permission.
	ended := func(why string) {
		t.Helper()
		for _, path := range []string{list, "/v3/projects", "/v3/auth/projects", domains, "/v3/regions"} {
			t.Log(why, path)
			key.get(path, now).send(t, c).refused(t, "token expires")
		}
	}
	ended("expired")
	forEver := time.Time{}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: reader, ExpiresAt: &forEver})
	key.get(domains, now).send(t, c).accepted(t, 200)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSuspend, Account: "management"})
	ended("caller suspended")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftResume, Account: "management"})
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSuspend, Account: "alpha"})
	key.get(domains, now).send(t, c).refused(t, "Unauthorized")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftResume, Account: "alpha"})
	key.get(domains, now).send(t, c).accepted(t, 200)
	stranger := simcloud.Trust{ID: betaID}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: reader, Trust: &stranger})
	ended("trusts another")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: reader})
	ended("deleted")
}

func TestSessionPoliciesNarrow(t *testing.T) {
	now := time.Now()
	list := agencies + "?domain_id=" + alphaID
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[0].Agencies[1].Grants = []simcloud.Grant{{Policy: "FullAccess", Scope: "all_resources"}}
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: "FromAlpha", Trust: simcloud.Trust{Name: "alpha"}})
	})
	with := func(statements string) temporary {
		body := strings.Replace(assumeBody(reader, "alpha", ""), `"methods"`,
			`"policy":{"Version":"1.1","Statement":[`+statements+`]},"methods"`, 1)
		return assume(t, c, auditorKey, "", body, now)
	}
	for statements, want := range map[string][]int{ // list agencies, list policies, assume another agency
		`{"Effect":"Allow","Action":["*"]}`:                                                  {200, 200, 201},
		`{"Effect":"Allow","Action":["iam:agencies:list*"]}`:                                 {200, 403, 403},
		`{"Effect":"Allow","Action":["iam:Agencies:LIST*"]}`:                                 {200, 403, 403},
		`{"Effect":"Allow","Action":["IAM:agencies:list*"]}`:                                 {403, 403, 403},
		`{"Effect":"Allow","Action":["*"]},{"Effect":"Deny","Action":["iam:*:list*"]}`:       {403, 403, 201},
		`{"Effect":"Deny","Action":["iam:roles:*"]},{"Effect":"Allow","Action":["iam:*:*"]}`: {200, 403, 201},
		`{"Effect":"Allow","Action":["*"],"Condition":{"StringEquals":{"g:x":["y"]}}}`:       {403, 403, 403},
		`{"Effect":"Allow","Action":["*"],"Resource":["obs:*:*:bucket:*"]}`:                  {403, 403, 403},
		`{"Effect":"Allow","Action":["*"],"Resource":["*"],"Condition":{}}`:                  {200, 200, 201},
		`{"Effect":"Allow","Action":["ecs:*:*"]}`:                                            {403, 403, 403},
	} {
		key := with(statements)
		got := []int{
			key.get(list, now).send(t, c).status, key.get("/v3/roles", now).send(t, c).status,
			request{method: "POST", target: tokens, body: assumeBody("FromAlpha", "beta", ""), key: key.key,
				token: key.token}.send(t, c).status,
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", statements, got, want)
		}
	}
}

// An agency may assume the next one; its resources limit it as they limit a user.
func TestAgenciesAssumeAgencies(t *testing.T) {
	now := time.Now()
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[0].Policies = append(o.Accounts[0].Policies, simcloud.Policy{DisplayName: "next",
			Allow: []string{"iam:agencies:assume"}, Resources: []string{"/iam/agencies/0b000000000000000000000000000000*"}})
		o.Accounts[0].Agencies[1].Grants = []simcloud.Grant{{Policy: "next", Custom: true, Scope: "global"}}
		for i, name := range []string{"Next", "Other"} {
			o.Accounts[1].Agencies = append(o.Accounts[1].Agencies, simcloud.Agency{Name: name,
				ID: []string{"0b000000000000000000000000000000ff", ""}[i], Trust: simcloud.Trust{Name: "alpha"},
				Grants: []simcloud.Grant{{Policy: "IAM ReadOnlyAccess", Scope: "global"}}})
		}
	})
	first := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", `,"session_user":{"name":"chain"}`), now)
	second := assume(t, c, first.key, first.token, assumeBody("Next", "beta", ""), now)
	second.get(agencies+"?domain_id="+betaID, now).send(t, c).accepted(t, 200)
	request{method: "POST", target: tokens, body: assumeBody("Other", "beta", ""), key: first.key, token: first.token}.
		send(t, c).wantKeystone(t, 403, "identity:create_temporary_access_key")
	// A session policy that does not allow to assume forbids it, resources or not.
	narrow := strings.Replace(assumeBody(reader, "alpha", ""), `"methods"`,
		`"policy":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["iam:*:list*"]}]},"methods"`, 1)
	none := assume(t, c, auditorKey, "", narrow, now)
	request{method: "POST", target: tokens, body: assumeBody("Next", "beta", ""), key: none.key, token: none.token}.
		send(t, c).wantKeystone(t, 403, "identity:create_temporary_access_key")
}

func TestExpiredKeysAreForgottenInTheEnd(t *testing.T) {
	k := newClock()
	c := newCloud(t)
	c.Now = k.now
	first := assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	for range 1023 {
		assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	}
	// The next key is one too many, but for an hour the expired ones are remembered all the same.
	k.at = k.at.Add(15*time.Minute + time.Hour)
	assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	first.get(domains, k.at).send(t, c).refused(t, "token expires")
	k.at = k.at.Add(time.Nanosecond)
	var last temporary
	for range 1024 {
		last = assume(t, c, auditorKey, "", assumeBody(reader, "alpha", ""), k.at)
	}
	first.get(domains, k.at).send(t, c).refused(t, "ak "+first.key.Access+" not exist")
	last.get(domains, k.at).send(t, c).accepted(t, 200)
}

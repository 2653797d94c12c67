package simcloud_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	m3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	m5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	msts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

func unmarshal(t testing.TB, body string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
}

const (
	readerURN  = "iam::" + alphaID + ":agency:" + reader
	trustID    = "0a000000000000000000000000000009"
	trustedURN = "iam::" + alphaID + ":agency:TrustedReader"
)

// trustAgency gives alpha a trust agency that lets management in who knows the external id.
func trustAgency(o *simcloud.Organization) {
	o.Accounts[0].Agencies = append(o.Accounts[0].Agencies, simcloud.Agency{
		ID: trustID, Name: "TrustedReader", CreatedAt: begin, MaxSessionDuration: 7200,
		TrustPolicy: &simcloud.TrustPolicy{Principals: []string{"management"}, ExternalID: "sesame"},
		Attached:    []string{"IAMReadOnlyPolicy"},
	})
}

// iamOnly takes the right to assume by STS from the user auditor of management.
func iamOnly(o *simcloud.Organization) { o.Accounts[2].Users[0].Actions = nil }

// testSDKAssumeAgency assumes a v3 agency and asks who it is then.
func testSDKAssumeAgency(t *testing.T, c *simcloud.Cloud) {
	o := organization()
	trustAgency(o)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateAgency, Account: "alpha", New: &o.Accounts[0].Agencies[4]})
	at := serve(t, c)
	s := newSDK(t, at, managementID, auditorKey, "", nil)
	who := must[*msts.GetCallerIdentityResponse](t)(s.sts.GetCallerIdentity(&msts.GetCallerIdentityRequest{}))
	if *who.AccountId != managementID || *who.PrincipalUrn != "iam::"+managementID+":user:auditor" || len(*who.PrincipalId) != 32 {
		t.Errorf("caller %v", who)
	}
	for urn, agency := range map[string]string{readerURN: readerID, trustedURN: trustID} {
		r := must[*msts.AssumeAgencyResponse](t)(s.sts.AssumeAgency(&msts.AssumeAgencyRequest{Body: &msts.AssumeAgencyReqBody{
			AgencyUrn: urn, AgencySessionName: "run-42", DurationSeconds: ptr(int32(1800)), ExternalId: ptr("sesame")}}))
		name := urn[strings.LastIndex(urn, ":")+1:]
		session := "sts::" + alphaID + "::assumed-agency:" + name + "/run-42"
		k := r.Credentials
		if r.AssumedAgency.Urn != session || r.AssumedAgency.Id != agency+":run-42" ||
			time.Until(time.Time(*k.Expiration)).Round(time.Minute) != 30*time.Minute {
			t.Errorf("assumed %v until %v", r.AssumedAgency, k.Expiration)
		}
		temporary := newSDK(t, at, alphaID, simcloud.Key{Access: k.AccessKeyId, Secret: k.SecretAccessKey}, k.SecurityToken, nil)
		who := must[*msts.GetCallerIdentityResponse](t)(temporary.sts.GetCallerIdentity(&msts.GetCallerIdentityRequest{}))
		if *who.AccountId != alphaID || *who.PrincipalUrn != session || *who.PrincipalId != agency+":run-42" {
			t.Errorf("caller %v", who)
		}
		shown := must[*m5.GetAgencyV5Response](t)(temporary.v5.GetAgencyV5(&m5.GetAgencyV5Request{AgencyId: cocID}))
		if shown.Agency.AgencyName != coc {
			t.Errorf("agency %v", shown)
		}
		_, err := temporary.v3.DeleteAgency(&m3.DeleteAgencyRequest{AgencyId: foreignID})
		wantStatus(t, err, 403)
	}
	_, err := s.sts.AssumeAgency(&msts.AssumeAgencyRequest{Body: &msts.AssumeAgencyReqBody{
		AgencyUrn: "iam::" + alphaID + ":agency:none", AgencySessionName: "run-42"}})
	if refused := wantStatus(t, err, 404); refused.ErrorCode != "STS5.1106" {
		t.Errorf("refused with %s", refused.ErrorCode)
	}
}

func assumeBySTS(key simcloud.Key, urn, more string) request {
	return request{method: "POST", target: sts, key: key, body: stsBody(urn, more)}
}

// temporaryKey is the key that an answer of AssumeAgency holds.
func temporaryKey(t testing.TB, r reply) (key simcloud.Key, token string) {
	t.Helper()
	var body struct {
		Credentials struct {
			Access string `json:"access_key_id"`
			Secret string `json:"secret_access_key"`
			Token  string `json:"security_token"`
		}
	}
	r.accepted(t, 200)
	unmarshal(t, r.body, &body)
	return simcloud.Key{Access: body.Credentials.Access, Secret: body.Credentials.Secret}, body.Credentials.Token
}

func TestAssumeAgencyRefusals(t *testing.T) {
	c := newCloud(t, trustAgency, func(o *simcloud.Organization) {
		o.Accounts[1].Users[0].Actions = []string{"*:*:*"}
	})
	sesame := `,"external_id":"sesame"`
	for name, tt := range map[string]struct {
		q      request
		status int
		code   string
	}{
		"no such account":         {assumeBySTS(auditorKey, "iam::"+strangerID+":agency:x", ""), 404, "STS5.1106"},
		"another account":         {assumeBySTS(betaKey, readerURN, ""), 403, "STS5.1001"},
		"another account's trust": {assumeBySTS(betaKey, trustedURN, sesame), 403, "STS5.1001"},
		"expired":                 {assumeBySTS(auditorKey, "iam::"+alphaID+":agency:Expired", ""), 403, "STS5.1001"},
		"suspended":               {assumeBySTS(auditorKey, "iam::"+frozenID+":agency:"+reader, ""), 403, "STS5.1001"},
		"no external id":          {assumeBySTS(auditorKey, trustedURN, ""), 403, "STS5.1001"},
		"another external id":     {assumeBySTS(auditorKey, trustedURN, `,"external_id":"sesam"`), 403, "STS5.1001"},
		"no permission":           {assumeBySTS(limitedKey, readerURN, ""), 403, "STS5.1001"},
		"too long":                {assumeBySTS(auditorKey, trustedURN, sesame+`,"duration_seconds":43201`), 400, "APIGW.0201"},
		"longer than the agency":  {assumeBySTS(auditorKey, trustedURN, sesame+`,"duration_seconds":7201`), 400, "APIGW.0201"},
		"longer than an agency":   {assumeBySTS(auditorKey, readerURN, `,"duration_seconds":3601`), 400, "APIGW.0201"},
		"too short":               {assumeBySTS(auditorKey, readerURN, `,"duration_seconds":899`), 400, "APIGW.0201"},
		"an external id of one":   {assumeBySTS(auditorKey, trustedURN, `,"external_id":"s"`), 400, "APIGW.0201"},
		"an odd policy":           {assumeBySTS(auditorKey, readerURN, `,"policy":"{}"`), 400, "APIGW.0201"},
		"an unknown policy":       {assumeBySTS(auditorKey, readerURN, `,"policy_ids":["x"]`), 400, "APIGW.0201"},
		"a second factor":         {assumeBySTS(auditorKey, readerURN, `,"token_code":"123456"`), 400, "APIGW.0201"},
		"an odd urn":              {assumeBySTS(auditorKey, "iam::"+alphaID+":user:x", ""), 400, "APIGW.0201"},
	} {
		t.Run(name, func(t *testing.T) { tt.q.send(t, c).wantCode(t, tt.status, tt.code, "") })
	}
	temporaryKey(t, assumeBySTS(auditorKey, trustedURN, sesame+`,"duration_seconds":7200`).send(t, c))
	request{method: "POST", target: sts, key: auditorKey, body: `{"agency_urn":"` + readerURN + `","agency_session_name":"s"}`}.
		send(t, c).wantCode(t, 400, "APIGW.0201", "agency_session_name")
	// The right to assume by IAM is one to assume by STS where a switch says so.
	either := newCloud(t, iamOnly, switches(func(s *simcloud.Switches) { s.AgentOperator = "sts" }))
	temporaryKey(t, assumeBySTS(auditorKey, readerURN, "").send(t, either))
	assumeBySTS(auditorKey, readerURN, "").send(t, newCloud(t, iamOnly)).wantCode(t, 403, "STS5.1001", "sts:agencies:assume")
}

// A temporary key begins sessions of an hour at most, and acts as the agency that it is of.
func TestChainsOfAgencies(t *testing.T) {
	c := newCloud(t, trustAgency, func(o *simcloud.Organization) {
		o.Accounts[0].Agencies = append(o.Accounts[0].Agencies, simcloud.Agency{
			Name: "Hop", TrustPolicy: &simcloud.TrustPolicy{Principals: []string{managementID}},
			Attached: []string{"audit-identity", "STSHop"},
		})
		o.Accounts[0].Policies = append(o.Accounts[0].Policies,
			simcloud.Policy{DisplayName: "STSHop", Version: "5.0", Allow: []string{"sts:agencies:assume"},
				Resources: []string{"iam::*:agency:ToAlpha"}})
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: "ToAlpha", Trust: simcloud.Trust{Name: "alpha"}, MaxSessionDuration: 43200,
				Grants: []simcloud.Grant{{Policy: "IAM ReadOnlyAccess", Scope: "global"}}},
			simcloud.Agency{Name: "NotForHop", Trust: simcloud.Trust{Name: "alpha"}})
	})
	key, token := temporaryKey(t, assumeBySTS(auditorKey, "iam::"+alphaID+":agency:Hop", "").send(t, c))
	hop := func(urn, more string) request {
		q := assumeBySTS(key, urn, more)
		q.token = token
		return q
	}
	to := "iam::" + betaID + ":agency:ToAlpha"
	hop(to, `,"duration_seconds":3601`).send(t, c).wantCode(t, 400, "APIGW.0201", "3600")
	hop("iam::"+betaID+":agency:NotForHop", "").send(t, c).wantCode(t, 403, "STS5.1001", "")
	second, token2 := temporaryKey(t, hop(to, `,"duration_seconds":3600,"source_identity":"ops"`).send(t, c))
	read := get(second, agencies+"?domain_id="+betaID)
	read.token = token2
	read.send(t, c).accepted(t, 200)
	// The session ends with its agency's trust.
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: "Hop",
		TrustPolicy: &simcloud.TrustPolicy{Principals: []string{"beta"}}})
	hop(to, "").send(t, c).refused(t, "token expires")
	read.send(t, c).accepted(t, 200)
}

// A session policy narrows what the agency's key may do, in the language of identity policies.
func TestSessionPoliciesOfSTS(t *testing.T) {
	c := newCloud(t)
	policy, _ := json.Marshal(`{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["iam:agencies:list"]}]}`)
	key, token := temporaryKey(t, assumeBySTS(auditorKey, readerURN, `,"policy":`+string(policy)).send(t, c))
	for target, status := range map[string]int{agencies + "?domain_id=" + alphaID: 200, agencies + "/" + cocID: 403} {
		q := get(key, target)
		q.token = token
		if r := q.send(t, c); r.status != status {
			t.Errorf("%s: %d %s", target, r.status, r.body)
		}
	}
}

// A trust agency is IAM v5's alone, with its trust policy as text.
func TestTrustAgenciesAreUnknownToV3(t *testing.T) {
	document := func(s string) string { b, _ := json.Marshal(s); return `"trust_policy":` + string(b) }
	for value, principal := range map[string]string{"account": managementID, "urn": "iam::" + managementID + ":root"} {
		c := newCloud(t, trustAgency, switches(func(s *simcloud.Switches) { s.TrustPrincipal = value }))
		want := document(fmt.Sprintf(`{"Version":"5.0","Statement":[{"Effect":"Allow","Principal":{"IAM":[%q]},`+
			`"Action":["sts:agencies:assume"],"Condition":{"StringEquals":{"sts:ExternalId":["sesame"]}}}]}`, principal))
		for _, target := range []string{"/v5/agencies", "/v5/agencies/" + trustID} {
			r := get(adminKey, target).send(t, c)
			if !strings.Contains(r.body, want) || !strings.Contains(r.body, `"max_session_duration":7200`) ||
				strings.Contains(r.body, `"trust_domain_id":""`) {
				t.Errorf("%s: %s, want %s", target, r.body, want)
			}
		}
		if r := get(adminKey, agencies+"?domain_id="+alphaID).send(t, c); strings.Contains(r.body, trustID) {
			t.Errorf("v3 lists %s", r.body)
		}
		in := "/v3.0/OS-AGENCY/domains/" + alphaID + "/agencies/" + trustID + "/roles"
		role := policyID(t, c, "Tenant Guest")
		for _, q := range []request{
			get(adminKey, agencies+"/"+trustID), {method: "DELETE", target: agencies + "/" + trustID, key: adminKey},
			{method: "PUT", target: agencies + "/" + trustID, key: adminKey, body: `{"agency":{"description":"x"}}`},
			get(adminKey, in), {method: "PUT", target: in + "/" + role, key: adminKey},
		} {
			q.send(t, c).wantKeystone(t, 404, "Could not find agency: "+trustID)
		}
		q := request{method: "POST", target: tokens, key: auditorKey, body: assumeBody("TrustedReader", "alpha", "")}
		q.send(t, c).wantKeystone(t, 404, "Could not find agency: TrustedReader")
		get(adminKey, "/v5/agencies/"+url.PathEscape(trustID)+"/attached-policies").send(t, c).accepted(t, 200)
		again, err := simcloud.New(c.Organization())
		if err != nil {
			t.Fatal(err)
		}
		if encode(t, again.Organization()) != encode(t, c.Organization()) {
			t.Error("the organization is another one when it is loaded again")
		}
	}
	o := organization()
	trustAgency(o)
	g := &o.Accounts[0].Agencies[len(o.Accounts[0].Agencies)-1]
	g.Trust, g.Grants, g.MaxSessionDuration = simcloud.Trust{Name: "beta"}, []simcloud.Grant{{Policy: "Tenant Guest", Scope: "global"}}, 60
	g.TrustPolicy.Principals, g.TrustPolicy.ExternalID = []string{"nobody"}, "x"
	_, err := simcloud.New(o)
	for _, want := range []string{".trust: is there beside", ".grants: are there although", ".max_session_duration: is 60",
		".trust_policy.principals[0]: names no account", ".trust_policy.external_id: has 1 characters"} {
		if err == nil || !strings.Contains(err.Error(), "$.accounts[0].agencies[4]"+want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// A trust policy may name a user, the root of an account, or anyone, and nobody else is let in.
func TestPrincipalsOfTrustPolicies(t *testing.T) {
	for principal, want := range map[string]int{
		"iam::" + managementID + ":user:auditor": 200, "iam::" + managementID + ":user:limited": 403,
		"iam::" + managementID + ":root": 200, "iam::" + betaID + ":root": 403, "*": 200, "management": 200, "beta": 403,
		"service.CCE": 403,
	} {
		c := newCloud(t, trustAgency, func(o *simcloud.Organization) {
			o.Accounts[0].Agencies[4].TrustPolicy = &simcloud.TrustPolicy{Principals: []string{principal}}
		})
		if r := assumeBySTS(auditorKey, trustedURN, "").send(t, c); r.status != want {
			t.Errorf("%s: %d %s, want %d", principal, r.status, r.body, want)
		}
	}
}

// A session policy narrows the right to assume single agencies too.
func TestSessionPoliciesNarrowAssuming(t *testing.T) {
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[0].Policies = append(o.Accounts[0].Policies, simcloud.Policy{DisplayName: "Hop", Version: "5.0",
			Allow: []string{"sts:agencies:assume"}, Resources: []string{"iam::*:agency:ToAlpha"}})
		o.Accounts[0].Agencies[1].Attached = []string{"Hop"}
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: "ToAlpha", Trust: simcloud.Trust{Name: "alpha"}})
	})
	for action, want := range map[string]int{"sts:agencies:assume": 200, "iam:agencies:list": 403} {
		policy, _ := json.Marshal(`{"Version":"5.0","Statement":[{"Effect":"Allow","Action":["` + action + `"]}]}`)
		key, token := temporaryKey(t, assumeBySTS(auditorKey, readerURN, `,"policy":`+string(policy)).send(t, c))
		q := assumeBySTS(key, "iam::"+betaID+":agency:ToAlpha", "")
		q.token = token
		if r := q.send(t, c); r.status != want {
			t.Errorf("%s: %d %s, want %d", action, r.status, r.body, want)
		}
	}
}

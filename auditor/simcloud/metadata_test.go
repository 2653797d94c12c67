package simcloud_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/provider"
	m5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
	msts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// serveMetadata puts the metadata server behind a real HTTP port.
func serveMetadata(t testing.TB, c *simcloud.Cloud) string {
	t.Helper()
	s := httptest.NewServer(c.Metadata())
	t.Cleanup(s.Close)
	return s.URL
}

// linkLocal sends what is meant for the link-local address to another one.
type linkLocal struct{ to string }

func (l linkLocal) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "169.254.169.254" {
		r = r.Clone(r.Context())
		r.Host, r.URL.Host = "", strings.TrimPrefix(l.to, "http://")
	}
	return (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
}

// ask sends a request without a signature to the metadata server.
func ask(t testing.TB, c *simcloud.Cloud, method, path string, header ...string) reply {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+path, http.NoBody)
	r.RemoteAddr = "127.0.0.1:1"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return read(t, do(c.Metadata(), r))
}

const (
	tokenPath = "/meta-data/latest/api/token"
	keyPath   = "/openstack/latest/securitykey"
	ttl       = "X-Metadata-Token-Ttl-Seconds"
	tokenName = "X-Metadata-Token"
)

// The SDK's own providers get keys from the metadata server and from the pod identity endpoint, and the keys are good.
func TestSDKGetsKeysOfServersAndPods(t *testing.T) {
	for _, tokens := range []string{"required", "optional", "absent"} {
		c := newCloud(t, switches(func(s *simcloud.Switches) { s.MetadataToken = tokens }))
		metadata := serveMetadata(t, c)
		was := http.DefaultTransport
		http.DefaultTransport = linkLocal{metadata}
		t.Cleanup(func() { http.DefaultTransport = was })
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte("made-up-token\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("HC_CONTAINER_CREDENTIALS_FULL_URI", metadata+"/pods/pod")
		t.Setenv("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", file)
		// The SDK remembers its client, but not the transport of the client.
		for name, urn := range map[string]string{"server": "ForServers/vm", "pod": "ForPods/pod"} {
			global, plain := provider.ICredentialProvider(provider.GlobalCredentialMetadataProvider()),
				provider.ICredentialProvider(provider.BasicCredentialMetadataProvider())
			if name == "pod" {
				global, plain = provider.GlobalCredentialPodIdentityProvider(), provider.BasicCredentialPodIdentityProvider()
			}
			k, err := global.GetCredentials()
			if err != nil {
				t.Fatalf("%s, tokens %s: %v", name, tokens, err)
			}
			p, err := plain.GetCredentials()
			if err != nil {
				t.Fatal(err)
			}
			s := sdkWith(t, serve(t, c), k, p, &http.Transport{})
			who := must[*msts.GetCallerIdentityResponse](t)(s.sts.GetCallerIdentity(&msts.GetCallerIdentityRequest{}))
			if *who.AccountId != managementID || *who.PrincipalUrn != "sts::"+managementID+"::assumed-agency:"+urn {
				t.Errorf("%s: caller %v", name, who)
			}
			must[*m5.ListAgenciesV5Response](t)(s.v5.ListAgenciesV5(&m5.ListAgenciesV5Request{}))
		}
	}
}

// A token is asked for with a time to live, is needed unless a switch says otherwise, and ends.
func TestMetadataTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		for _, wrong := range []string{"", "0", "21601", "x"} {
			if r := ask(t, c, "PUT", tokenPath, ttl, wrong); r.status != 400 {
				t.Errorf("a time to live of %q: %d %s", wrong, r.status, r.body)
			}
		}
		token := ask(t, c, "PUT", tokenPath, ttl, "60")
		if token.status != 200 || len(token.body) != 56 {
			t.Errorf("token %d %s", token.status, token.body)
		}
		key := func(header ...string) int { return ask(t, c, "GET", keyPath, header...).status }
		if a, b, d := key(), key(tokenName, "guess"), key(tokenName, token.body); a != 401 || b != 401 || d != 200 {
			t.Errorf("without a token %d, with a wrong one %d, with a good one %d", a, b, d)
		}
		<-time.After(time.Minute)
		if n := key(tokenName, token.body); n != 401 {
			t.Errorf("with a token that is over: %d", n)
		}
		// A switch may do without.
		set := func(value string) {
			if err := c.SetSettings(simcloud.Settings{Switches: simcloud.Switches{MetadataToken: value}}); err != nil {
				t.Fatal(err)
			}
		}
		set("optional")
		if a, b := key(), key(tokenName, "guess"); a != 200 || b != 401 {
			t.Errorf("optional: without a token %d, with a wrong one %d", a, b)
		}
		set("absent")
		if a, b := key(), ask(t, c, "PUT", tokenPath, ttl, "60").status; a != 200 || b != 404 {
			t.Errorf("absent: a key %d, a token %d", a, b)
		}
		if r := ask(t, c, "GET", "/latest/meta-data/ami-id"); r.status != 404 {
			t.Errorf("elsewhere: %d", r.status)
		}
	})
}

// Keys end when they say, with the agency, and with its trust in a cloud service; then there are none.
func TestKeysOfServersEnd(t *testing.T) {
	free := switches(func(s *simcloud.Switches) { s.MetadataToken = "optional" })
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, free)
		read := func(k simcloud.Key, token string) request {
			q := get(k, agencies+"?domain_id="+managementID)
			q.token = token
			return q
		}
		k, token := serverKey(t, c)
		read(k, token).send(t, c).accepted(t, 200)
		<-time.After(6*time.Hour - time.Second)
		read(k, token).send(t, c).accepted(t, 200)
		<-time.After(time.Second)
		read(k, token).send(t, c).refused(t, "token expires")
		k, token = serverKey(t, c)
		for _, d := range []simcloud.Drift{
			{Kind: simcloud.DriftUpdateAgency, Account: "management", Agency: "ForServers", Trust: &simcloud.Trust{Name: "beta"}},
			{Kind: simcloud.DriftDeleteAgency, Account: "management", Agency: "ForServers"},
		} {
			drift(t, c, d)
			read(k, token).send(t, c).refused(t, "token expires")
			if r := ask(t, c, "GET", keyPath); r.status != 401 || r.body != "Please configure Cloud Service Agency first" {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
	})
	c := newCloud(t)
	if r := ask(t, c, "POST", "/pods/pod", "Authorization", "guess"); r.status != 401 {
		t.Errorf("a wrong token: %d %s", r.status, r.body)
	}
	if r := ask(t, c, "POST", "/pods/none", "Authorization", "made-up-token"); r.status != 404 {
		t.Errorf("no such pod: %d %s", r.status, r.body)
	}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "management", Agency: "ForPods"})
	if r := ask(t, c, "POST", "/pods/pod", "Authorization", "made-up-token"); r.status != 403 {
		t.Errorf("no agency: %d %s", r.status, r.body)
	}
	if shown := control(t, c, "GET", "/organization", "").body; strings.Contains(shown, "made-up-token") {
		t.Error("the control port shows the token of a pod")
	}
	from := httptest.NewRequest("GET", "http://localhost"+keyPath, http.NoBody)
	if from.RemoteAddr = "192.0.2.1:1"; do(c.Metadata(), from).StatusCode != 403 {
		t.Error("another machine is answered")
	}
	var n int
	for _, row := range c.Counters() {
		if row.Operation == "AssumeAgencyForPodIdentity" && row.Account == "management" {
			n = row.Refused[401] + row.Refused[403]
		}
	}
	if n != 2 {
		t.Errorf("%d refusals of pods are counted, want 2", n)
	}
}

// serverKey asks the metadata server for a key.
func serverKey(t testing.TB, c *simcloud.Cloud) (simcloud.Key, string) {
	t.Helper()
	r := ask(t, c, "GET", keyPath)
	var body struct {
		Credential struct{ Access, Secret, Securitytoken string }
	}
	unmarshal(t, r.body, &body)
	return simcloud.Key{Access: body.Credential.Access, Secret: body.Credential.Secret}, body.Credential.Securitytoken
}

// The settings say which server asks; two of them get different keys.
func TestTheServerThatAsks(t *testing.T) {
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Instances = append(o.Instances, simcloud.Instance{Name: "other", Account: betaID, Agency: "ForServers"})
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies, simcloud.Agency{Name: "ForServers",
			Trust: simcloud.Trust{Name: "op_svc_COC"}})
	})
	for instance, account := range map[string]string{"": managementID, "vm": managementID, "other": betaID} {
		r := control(t, c, "PUT", "/settings", fmt.Sprintf(`{"instance":%q,"switches":{"metadata_token":"optional"}}`, instance))
		if r.status != 204 {
			t.Fatalf("%d %s", r.status, r.body)
		}
		k, token := serverKey(t, c)
		q := get(k, "/v5/caller-identity")
		q.token = token
		if body := q.send(t, c).body; !strings.Contains(body, `"account_id":"`+account+`"`) {
			t.Errorf("%q: %s", instance, body)
		}
	}
	if r := control(t, c, "PUT", "/settings", `{"instance":"none"}`); r.status != 400 {
		t.Errorf("%d %s", r.status, r.body)
	}
	o := organization()
	o.Instances = []simcloud.Instance{{Name: "a b", Account: "none", KeyLifetime: -1}}
	o.Pods = append(o.Pods, simcloud.Pod{Name: "pod", Account: "alpha", Agency: "x"})
	_, err := simcloud.New(o)
	for _, want := range []string{"$.instances[0].name: is", "$.instances[0].account: names no account",
		"$.instances[0].agency: is missing", "$.instances[0].key_lifetime: is", "$.pods[1].name: is", "$.pods[1].token: is missing"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// New keys can be wrong, whoever gives them out.
func TestWrongKeys(t *testing.T) {
	type given struct {
		body string
		key  simcloud.Key
		tok  string
	}
	ways := map[string]func(*simcloud.Cloud) given{
		"AssumeAgency": func(c *simcloud.Cloud) given {
			r := assumeBySTS(auditorKey, readerURN, "").send(t, c)
			k, token := temporaryKey(t, r)
			return given{r.body, k, token}
		},
		"CreateTemporaryAccessKeyByAgency": func(c *simcloud.Cloud) given {
			r := request{method: "POST", target: tokens, key: auditorKey, body: assumeBody(reader, "alpha", "")}.send(t, c)
			var b struct {
				Credential struct{ Access, Secret, Securitytoken string }
			}
			unmarshal(t, r.body, &b)
			return given{r.body, simcloud.Key{Access: b.Credential.Access, Secret: b.Credential.Secret}, b.Credential.Securitytoken}
		},
		"GetSecurityKey": func(c *simcloud.Cloud) given {
			k, token := serverKey(t, c)
			return given{"", k, token}
		},
		"AssumeAgencyForPodIdentity": func(c *simcloud.Cloud) given {
			r := ask(t, c, "POST", "/pods/pod", "Authorization", "made-up-token")
			var b struct {
				Credentials struct{ AccessKeyID, SecretAccessKey, SecurityToken string }
			}
			unmarshal(t, r.body, &b)
			k := b.Credentials
			return given{r.body, simcloud.Key{Access: k.AccessKeyID, Secret: k.SecretAccessKey}, k.SecurityToken}
		},
	}
	twins := func(o *simcloud.Organization) {
		o.Settings.Switches.MetadataToken = "optional"
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{Name: reader, Trust: simcloud.Trust{Name: "management"}},
			simcloud.Agency{Name: "ForServers", Trust: simcloud.Trust{Name: "op_svc_COC"}},
			simcloud.Agency{Name: "ForPods", TrustPolicy: &simcloud.TrustPolicy{Principals: []string{"service.CCE"}}})
	}
	for operation, way := range ways {
		for _, style := range []string{"foreign_keys", "expired_keys", "garbage_keys", "no_expiry"} {
			t.Run(operation+" "+style, func(t *testing.T) {
				c := newCloud(t, twins, failing(simcloud.Failure{Operation: operation, Style: style}))
				g := way(c)
				q := get(g.key, "/v5/caller-identity")
				q.token = g.tok
				r := q.send(t, c)
				switch style {
				case "foreign_keys":
					if !strings.Contains(r.body, `"account_id":"`+betaID+`"`) {
						t.Errorf("the keys are of %s", r.body)
					}
				case "expired_keys":
					r.refused(t, "token expires")
				case "garbage_keys":
					r.refused(t, "ak "+g.key.Access+" not exist")
				case "no_expiry":
					r.accepted(t, 200)
					if strings.Contains(g.body, "expir") {
						t.Errorf("%s", g.body)
					}
				}
				if n := c.Failures()[0].Failed; n != 1 {
					t.Errorf("failed %d times", n)
				}
			})
		}
	}
	// Other styles break these answers as they break any.
	c := newCloud(t, twins, failing(simcloud.Failure{Operation: "GetSecurityKey", Style: "status_500", Times: 1}))
	if r := ask(t, c, "GET", keyPath); r.status != 500 || r.body != "500 Internal Server Error" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(t, c, "GET", keyPath); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
	for _, style := range simcloud.Styles() {
		if slices.Contains([]string{"hang", "drip", "slow_body", "reset", "reset_mid_body", "huge_body", "gzip_bomb"}, style) {
			continue // which cut the connection, or are large
		}
		c := newCloud(t, twins, failing(simcloud.Failure{Style: style}))
		for _, q := range [][]string{{"GET", keyPath}, {"PUT", tokenPath, ttl, "60"},
			{"POST", "/pods/pod", "Authorization", "made-up-token"}} {
			ask(t, c, q[0], q[1], q[2:]...)
		}
	}
}

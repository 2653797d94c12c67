package simcloud_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

const domains = "/v3/auth/domains"

// refused checks that the gateway refuses a signature with the text.
func (r reply) refused(t testing.TB, text string) {
	t.Helper()
	r.wantCode(t, http.StatusUnauthorized, "APIGW.0301", "Incorrect IAM authentication information: "+text)
}

func (r reply) accepted(t testing.TB, status int) {
	t.Helper()
	if r.status != status {
		t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
}

func TestSignaturesAreAcceptedOverWhateverHeadersAreSigned(t *testing.T) {
	c := newCloud(t)
	list := "/v3.0/OS-AGENCY/agencies?domain_id=" + alphaID
	for name, q := range map[string]request{
		"date only":    get(adminKey, domains),
		"host":         {method: "GET", target: domains, key: adminKey, also: []string{"host"}},
		"more headers": {method: "GET", target: domains, key: adminKey, header: map[string]string{"user-agent": "  a  "}},
		"own account": {method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-domain-id": alphaID}},
		"own project": {method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-project-id": subID}},
		"query":             get(adminKey, list+"&name=b%20c&page=1&per_page=2"),
		"plus for a space":  get(adminKey, list+"&name=b+c"),
		"reserved in query": get(adminKey, list+"&name=%2B%2F%3D%26~%C3%A9"),
		"empty value":       get(adminKey, list+"&name"),
		"named body hash": {method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-sdk-content-sha256": hexHash(nil)}},
		"unsigned payload": {method: "GET", target: domains, key: adminKey, body: "anything", header: map[string]string{
			"content-type": "text/plain", "x-sdk-content-sha256": "UNSIGNED-PAYLOAD"}},
		"nearly too old": {method: "GET", target: domains, key: adminKey,
			at: time.Now().Add(-14 * time.Minute)},
	} {
		t.Run(name, func(t *testing.T) { q.send(t, c).accepted(t, http.StatusOK) })
	}
}

func TestEscapedPathsAreSignedByTheirSegments(t *testing.T) {
	c := newCloud(t)
	// The agency is unknown to the cloud, but the signature over its id must hold.
	get(adminKey, "/v3.0/OS-AGENCY/agencies/b%20c:d%C3%A9").send(t, c).wantKeystone(t, 404, "Could not find agency: b c:dé")
	// An escaped slash is a slash: the path is another one, for the route and for the signature.
	get(adminKey, "/v3.0/OS-AGENCY/agencies/a%2Fb").send(t, c).wantCode(t, 404, "APIGW.0101", "does not exist")
	get(adminKey, "/v3/auth%2Fdomains").send(t, c).accepted(t, http.StatusOK)
}

func TestSignaturesAreRefused(t *testing.T) {
	list := "/v3.0/OS-AGENCY/agencies?domain_id=" + alphaID + "&name=a"
	wrong := simcloud.Key{Access: adminKey.Access, Secret: "not the secret"}
	for name, tt := range map[string]struct {
		q    request
		text string
	}{
		"wrong secret": {get(wrong, domains), "verify aksk signature fail"},
		"unknown key":  {get(simcloud.Key{Access: "AKGHOST", Secret: "x"}, domains), "ak AKGHOST not exist"},
		"nothing": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Del("Authorization")
		}}, "x-auth-token not found"},
		"a token": {request{method: "GET", target: domains, key: adminKey, unsigned: map[string]string{
			"X-Auth-Token": "MIIabc"}}, "decrypt token fail"},
		"another algorithm": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "SDK-HMAC-SHA256", "SDK-HMAC-SM3", 1))
		}}, "Unauthorized"},
		"half a header": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			head, _, _ := strings.Cut(r.Header.Get("Authorization"), ", Signature")
			r.Header.Set("Authorization", head)
		}}, "Unauthorized"},
		"two signatures": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Add("Authorization", r.Header.Get("Authorization"))
		}}, "Unauthorized"},
		"too old": {request{method: "GET", target: domains, key: adminKey, at: time.Now().Add(-16 * time.Minute)},
			"calc aksk signature fail:signature expired, signature time:"},
		"too new": {request{method: "GET", target: domains, key: adminKey, at: time.Now().Add(16 * time.Minute)},
			"calc aksk signature fail:signature expired, signature time:"},
		"date changed": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Set("X-Sdk-Date", time.Now().Add(time.Minute).UTC().Format("20060102T150405Z"))
		}}, "verify aksk signature fail"},
		"no date": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Del("X-Sdk-Date")
		}}, "verify aksk signature fail"},
		"bad date": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header.Set("X-Sdk-Date", "yesterday")
		}}, "verify aksk signature fail"},
		"date not signed": {request{method: "GET", target: domains, key: adminKey, also: []string{"host"}, undated: true},
			"verify aksk signature fail,the signed header x-sdk-date is required"},
		"path changed": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.URL.Path = "/v3/auth/projects"
		}}, "verify aksk signature fail"},
		"method changed": {request{method: "GET", target: "/v3.0/OS-AGENCY/agencies/" + cocID, key: adminKey,
			after: func(r *http.Request) { r.Method = "DELETE" }}, "verify aksk signature fail"},
		"query changed": {request{method: "GET", target: list, key: adminKey, after: func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "name=a", "name=b", 1)
		}}, "verify aksk signature fail"},
		"query added": {request{method: "GET", target: list, key: adminKey, after: func(r *http.Request) {
			r.URL.RawQuery += "&x"
		}}, "verify aksk signature fail"},
		"body changed": {request{method: "POST", target: "/v3.0/OS-AGENCY/agencies", body: `{"a":1}`, key: adminKey,
			after: func(r *http.Request) {
				changed := request{method: "POST", target: r.URL.Path, body: `{"a":2}`, key: adminKey}.build()
				r.Body, r.ContentLength = changed.Body, changed.ContentLength
			}}, "verify aksk signature fail"},
		"signed header changed": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-note": "a"}, after: func(r *http.Request) {
				r.Header.Set("X-Note", "b")
			}}, "verify aksk signature fail"},
		"signed header gone": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-note": ""}, after: func(r *http.Request) {
				r.Header.Del("X-Note")
			}}, "verify aksk signature fail"},
		"upper case": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"X-Note": "a"}}, "verify aksk signature fail"},
		"host changed": {request{method: "GET", target: domains, key: adminKey, also: []string{"host"},
			after: func(r *http.Request) { r.Host = "elsewhere.example.com" }}, "verify aksk signature fail"},
		"unsigned JSON": {request{method: "POST", target: "/v3.0/OS-AGENCY/agencies", body: `{}`, key: adminKey,
			header: map[string]string{"x-sdk-content-sha256": "UNSIGNED-PAYLOAD", "content-type": "application/json"}},
			"verify aksk signature fail"},
		"unsigned without type": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-sdk-content-sha256": "UNSIGNED-PAYLOAD"}}, "verify aksk signature fail"},
		"hash of another body": {request{method: "POST", target: "/v3.0/OS-AGENCY/agencies", body: `{}`, key: adminKey,
			header: map[string]string{"x-sdk-content-sha256": hexHash([]byte("other"))}}, "verify aksk signature fail"},
		"two hashes": {request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
			r.Header["X-Sdk-Content-Sha256"] = []string{hexHash(nil), hexHash([]byte("other"))}
		}}, "verify aksk signature fail"},
		"another account": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-domain-id": betaID}}, "X-Domain-Id"},
		"a project of nobody": {request{method: "GET", target: domains, key: adminKey,
			header: map[string]string{"x-project-id": betaID}}, "X-Project-Id"},
		"a suspended account": {get(frozenKey, domains), "Unauthorized"},
		"a token on a permanent key": {request{method: "GET", target: domains, key: adminKey, token: "abc"},
			"decrypt token fail"},
	} {
		t.Run(name, func(t *testing.T) { tt.q.send(t, newCloud(t)).refused(t, tt.text) })
	}
}

func TestTheWindowOfTheClockIsFifteenMinutes(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := newCloud(t)
	c.Now = func() time.Time { return now }
	for _, d := range []time.Duration{-15 * time.Minute, 15 * time.Minute} {
		request{method: "GET", target: domains, key: adminKey, at: now.Add(d)}.send(t, c).accepted(t, http.StatusOK)
	}
	r := request{method: "GET", target: domains, key: adminKey, at: now}.send(t, c)
	if got := r.header.Get("Date"); got != "Fri, 02 Jan 2026 03:04:05 GMT" {
		t.Errorf("date %q, want the cloud's", got)
	}
	late := request{method: "GET", target: domains, key: adminKey, at: now.Add(-15*time.Minute - time.Second)}
	late.send(t, c).refused(t, "calc aksk signature fail:signature expired, "+
		"signature time:20260102T024904Z,server time:20260102T030405Z")
}

func TestMoreThanFiveWrongSignaturesInARowLockTheKey(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	c := newCloud(t)
	c.Now = func() time.Time { return now }
	good := func(t *testing.T) reply {
		return request{method: "GET", target: domains, key: adminKey, at: now}.send(t, c)
	}
	bad := func(t *testing.T, n int) {
		t.Helper()
		for range n {
			key := simcloud.Key{Access: adminKey.Access, Secret: "wrong"}
			request{method: "GET", target: domains, key: key, at: now}.send(t, c).refused(t, "verify aksk signature fail")
		}
	}
	locked := func(t *testing.T) {
		t.Helper()
		good(t).refused(t, "AK access failed to reach the limit,forbidden.")
	}

	bad(t, 5)
	good(t).accepted(t, http.StatusOK) // five are not more than five, and this forgets them
	bad(t, 5)
	good(t).accepted(t, http.StatusOK)
	bad(t, 6)
	locked(t)
	request{method: "GET", target: domains, key: readKey, at: now}.send(t, c).accepted(t, http.StatusOK) // another key
	now = now.Add(5*time.Minute - time.Nanosecond)
	locked(t)
	now = now.Add(time.Nanosecond)
	bad(t, 5) // the count begins anew
	good(t).accepted(t, http.StatusOK)
}

func TestOtherRefusalsDoNotLockTheKey(t *testing.T) {
	c := newCloud(t)
	for range 10 {
		request{method: "GET", target: domains, key: adminKey, at: time.Now().Add(-time.Hour)}.send(t, c).
			refused(t, "calc aksk signature fail")
		get(nobodyKey, "/v3/roles").send(t, c).wantKeystone(t, 403, "identity:list_roles")
	}
	get(adminKey, domains).send(t, c).accepted(t, http.StatusOK)
	get(nobodyKey, domains).send(t, c).accepted(t, http.StatusOK)
}

// A lock that many requests run into must neither be lifted by those that were verified before it nor race.
func TestKeysAreLockedUnderConcurrency(t *testing.T) {
	c := newCloud(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				get(simcloud.Key{Access: adminKey.Access, Secret: "wrong"}, domains).send(t, c).accepted(t, 401)
			}
		})
	}
	wg.Wait()
	get(adminKey, domains).send(t, c).refused(t, "AK access failed to reach the limit,forbidden.")
}

func TestEveryAnswerHasARequestID(t *testing.T) {
	c := newCloud(t)
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	seen := map[string]bool{}
	for _, q := range []request{
		get(adminKey, domains), get(adminKey, "/nowhere"), get(nobodyKey, "/v3/roles"),
		get(adminKey, "/v3.0/OS-AGENCY/agencies"), {method: "HEAD", target: "/v3/roles/x", key: adminKey},
	} {
		r := q.send(t, c)
		id := r.header.Get("X-Request-Id")
		if !hex.MatchString(id) || seen[id] || r.header.Get("Server") != "api-gateway" {
			t.Errorf("%s: request id %q, server %q", q.target, id, r.header.Get("Server"))
		}
		seen[id] = true
	}
}

func TestTheGatewayKnowsItsRoutesAndLimits(t *testing.T) {
	c := newCloud(t)
	for _, q := range []request{
		get(adminKey, "/"), get(adminKey, "/v3"), get(adminKey, "/v3/roles/"), get(adminKey, "/v3/rolesx"),
		get(adminKey, "/v3//roles"), get(adminKey, "/v3.0/OS-AGENCY/agencies/"+cocID+"/more"),
		{method: "POST", target: "/v3/roles", key: adminKey}, {method: "HEAD", target: domains, key: adminKey},
		{method: "PATCH", target: "/v3.0/OS-AGENCY/agencies/" + cocID, key: adminKey},
		{method: "GET", target: "/v5/policies/" + customV5ID + "/attach-agency", key: adminKey},
	} {
		r := q.send(t, c)
		if q.method == "HEAD" {
			if r.status != http.StatusNotFound || r.body != "" {
				t.Errorf("HEAD %s: %d %q", q.target, r.status, r.body)
			}
			continue
		}
		r.wantCode(t, http.StatusNotFound, "APIGW.0101", "does not exist")
	}
	large := request{method: "POST", target: "/v3.0/OS-AGENCY/agencies", body: strings.Repeat("x", 12<<20+1), key: adminKey}
	large.send(t, c).wantCode(t, http.StatusRequestEntityTooLarge, "APIGW.0201", "too large")
	fits := request{method: "POST", target: "/v3.0/OS-AGENCY/agencies", body: strings.Repeat("x", 12<<20), key: adminKey}
	fits.send(t, c).wantKeystone(t, http.StatusBadRequest, "valid JSON")
	request{method: "GET", target: domains, key: adminKey, after: func(r *http.Request) {
		r.URL.RawQuery = "a=%zz"
	}}.send(t, c).wantCode(t, http.StatusBadRequest, "APIGW.0201", "cannot be decoded")
}

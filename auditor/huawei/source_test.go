package huawei_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// metadata is a metadata service without a network, which gives keys of an account until it is told to do something else.
type metadata struct {
	account string
	lasts   time.Duration
	mu      sync.Mutex
	asked   []string
	given   int
	// tokens counts how often the pod's token was replaced.
	tokens int
	// lies answer instead, by method.
	lies map[string]http.HandlerFunc
	hang bool
}

func newMetadata() *metadata {
	return &metadata{account: mainID, lasts: time.Hour, lies: map[string]http.HandlerFunc{}}
}

// under has a reader ask it.
func (m *metadata) under(c *huawei.Cloud) {
	c.WrapSource(func(http.RoundTripper) http.RoundTripper { return roundTripper(m.roundTrip) })
}

func (m *metadata) roundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.asked = append(m.asked, r.Method+" "+r.URL.String())
	lie, hang := m.lies[r.Method], m.hang
	m.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	rec := httptest.NewRecorder()
	switch {
	case lie != nil:
		lie(rec, r)
	case r.Method == http.MethodPut && r.Header.Get("X-Metadata-Token-Ttl-Seconds") != "":
		_, _ = io.WriteString(rec, "canary-metadata-token")
	case r.Header.Get("X-Metadata-Token") == "canary-metadata-token":
		_, _ = io.WriteString(rec, m.key(m.next()))
	case r.Method == http.MethodPost && r.Header.Get("Authorization") == m.podToken():
		body, _ := io.ReadAll(r.Body)
		if string(body) != "{}" || r.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			rec.WriteHeader(http.StatusBadRequest)
			break
		}
		_, _ = io.WriteString(rec, podForm.Replace(m.key(m.next())))
	default:
		rec.WriteHeader(http.StatusUnauthorized)
	}
	return rec.Result(), nil
}

// podForm makes of an answer for servers one for pods.
var podForm = strings.NewReplacer(`{"credential"`, `{"subject":{"namespace":"n"},"credentials"`, `"access"`, `"accessKeyId"`, `"secret"`, `"secretAccessKey"`,
	`"securitytoken"`, `"securityToken"`, `"expires_at"`, `"expiration"`)

// next counts the keys that are given.
func (m *metadata) next() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.given++
	return m.given
}

// podToken is what a pod must know by now.
func (m *metadata) podToken() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprintf("canary-pod-token-%d", m.tokens)
}

// pod is where a pod finds its keys.
func (m *metadata) pod() *huawei.Source {
	return &huawei.Source{
		Kind: huawei.SourcePod, Address: "http://169.254.170.23/v1/credentials?x=y",
		Token: func() (huawei.Secret, error) { return huawei.NewSecret(m.podToken()), nil },
	}
}

// key is the answer with the n-th key.
func (m *metadata) key(n int) string {
	return fmt.Sprintf(`{"credential":{"access":"AK-%s-%d","secret":"canary-secret-%d","securitytoken":"canary-token-%d","expires_at":%q}}`,
		m.account, n, n, n, time.Now().Add(m.lasts).UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// questions returns and forgets what it was asked.
func (m *metadata) questions() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = nil
	return asked
}

// do changes it.
func (m *metadata) do(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// fetching has the main identity's keys come from a metadata service; the last account has keys of its own.
func (f *fake) fetching() huawei.Config {
	cfg := f.assuming()
	cfg.Main = huawei.Identity{AccountID: mainID, Source: &huawei.Source{Kind: huawei.SourceECS}}
	own := accountID(len(f.accounts) - 1)
	cfg.Accounts[own] = f.config().Accounts[own]
	return cfg
}

// renewedAfter is when keys of an hour may be fetched anew.
const renewedAfter = 31 * time.Minute

const tokenThenKeys = "[PUT http://169.254.169.254/meta-data/latest/api/token GET http://169.254.169.254/openstack/latest/securitykey]"

// TestKeysOfAServerAreRenewed: keys of an hour are fetched once for the first half of it, and once more in the second, by
// whoever comes first; each is asked about before anything is done with it.
func TestKeysOfAServerAreRenewed(t *testing.T) {
	f := newFake(t, 40)
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, f.fetching()), newMetadata()
		m.under(b.cloud)
		for at, want := range []int{1, 1, 2, 2, 3} { // every 16 minutes
			wantReasons(t, b.run(), map[rules.Reason]int{"": 40})
			if m.given != want {
				t.Errorf("after run %d: %d keys were given, want %d", at, m.given, want)
			}
			asked := m.questions()
			if len(asked) > 0 && fmt.Sprint(asked) != tokenThenKeys {
				t.Errorf("run %d asked %v", at, asked)
			}
			passes(16 * time.Minute)
		}
		asked := map[string]bool{}
		for _, s := range b.asked(func(s sending) bool { return strings.HasPrefix(s.key, mainID) }) {
			switch {
			case s.operation == "domains":
				asked[s.key] = true
			case !asked[s.key]:
				t.Errorf("%s was sent with the key %s before it was asked whose it is", s.operation, s.key)
			}
			if !strings.HasPrefix(s.header.Get("X-Security-Token"), "canary-token-") {
				t.Error("sent without the security token")
			}
		}
		if len(asked) != 3 {
			t.Errorf("asked about the keys %v", slices.Sorted(maps.Keys(asked)))
		}
		if !slices.Equal(m.came(b), []string{"ecs came", "ecs came", "ecs came"}) {
			t.Errorf("the meter heard %q", b.meter.refreshed)
		}
		if strings.Contains(b.log.String(), "canary") {
			t.Error("the log holds a secret")
		}
	})
}

// came returns what the meter heard of this source.
func (*metadata) came(b *bubble) []string {
	return slices.DeleteFunc(slices.Clone(b.meter.refreshed), func(s string) bool { return !strings.HasPrefix(s, "ecs ") })
}

// TestASourceThatFails costs those that are entered through it, when the old key is no longer good, and nobody else.
func TestASourceThatFails(t *testing.T) {
	f := newFake(t, 10)
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, f.fetching()), newMetadata()
		m.under(b.cloud)
		b.run()
		m.questions()
		m.do(func() { m.hang = true })
		passes(31 * time.Minute)
		began := time.Now()
		wantReasons(t, b.run(), map[rules.Reason]int{"": 10}) // by the old key
		if took := time.Since(began); took > 10*time.Second || len(m.questions()) != 1 {
			t.Errorf("a run with a key that is still good took %v", took)
		}
		passes(30 * time.Minute)
		began = time.Now()
		run := b.run()
		wantReasons(t, run, map[rules.Reason]int{"": 1, rules.ReasonTimeout: 9})
		if took := time.Since(began); took > 10*time.Second || len(m.questions()) != 1 {
			t.Errorf("a run with a source that hangs took %v", took)
		}
		u := run.Sweeps[0].Report.Unknown
		if u == nil || !strings.Contains(u.Detail, "getting the main identity's key from the metadata service: ") {
			t.Errorf("the words are %v", u)
		}
		m.do(func() { m.hang = false })
		wantReasons(t, b.run(), map[rules.Reason]int{"": 10})
	})
}

// TestKeysAreRenewedInTheMiddle of a run, by one of those that need them, before anything is done with the new ones; an old one that
// is still good does until then.
func TestKeysAreRenewedInTheMiddle(t *testing.T) {
	f := newFake(t, 40)
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, f.fetching()), newMetadata()
		m.under(b.cloud)
		next := 0
		enter := func(want rules.Reason) {
			t.Helper()
			var wg sync.WaitGroup
			for range 8 {
				a := account(next)
				next++
				wg.Go(func() {
					_, _, err := b.Observe(t.Context(), a, baseline(), rules.Last{})
					if u, _ := errors.AsType[*rules.Unknown](err); (u == nil) != (want == "") || u != nil && u.Reason != want {
						t.Errorf("%s: %v, want %q", a.Name, err, want)
					}
				})
			}
			wg.Wait()
		}
		// with says by which keys agencies were assumed since it was last called, and which were asked about before.
		with := func(assumed, about string) {
			t.Helper()
			var used, asked []string
			for _, s := range b.asked(func(s sending) bool { return strings.HasPrefix(s.key, mainID) }) {
				switch {
				case s.operation == "domains":
					asked = append(asked, s.key)
				case len(used) == 0 || used[len(used)-1] != s.key:
					used = append(used, s.key)
				}
			}
			if got := strings.Join(used, " "); got != assumed {
				t.Errorf("assumed with %s, want %s", got, assumed)
			}
			if got := strings.Join(asked, " "); got != about {
				t.Errorf("asked about %s, want %s", got, about)
			}
			b.forget()
		}
		key := func(n int) string { return fmt.Sprintf("%s-AK%d", mainID, n) }
		enter("")
		with(key(1), key(1))
		m.do(func() { m.hang = true })
		passes(renewedAfter)
		m.questions()
		enter("")
		if n := len(m.questions()); n != 1 {
			t.Errorf("asked %d times within a minute", n)
		}
		with(key(1), "")
		m.do(func() { m.hang = false })
		passes(2 * time.Minute)
		enter("")
		if m.given != 2 {
			t.Errorf("%d keys were given", m.given)
		}
		with(key(2), key(2))
		m.do(func() { m.account = "b0000000000000000000000000000000" })
		passes(renewedAfter)
		enter(rules.ReasonUnauthenticated)
		with("", "")
	})
}

// TestASourceOfAnotherAccount: nothing is read or entered with them but the answer to whose they are, at the first time and at a
// renewal alike.
func TestASourceOfAnotherAccount(t *testing.T) {
	const other = "b0000000000000000000000000000000"
	t.Run("of a server", func(t *testing.T) {
		ofAnotherAccount(t, other, func(*metadata) *huawei.Source { return &huawei.Source{Kind: huawei.SourceECS} })
	})
	t.Run("of a pod", func(t *testing.T) { ofAnotherAccount(t, other, (*metadata).pod) })
}

func ofAnotherAccount(t *testing.T, other string, source func(*metadata) *huawei.Source) {
	f := newFake(t, 5)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.fetching(), newMetadata()
		cfg.Main.Source = source(m)
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		check := func() {
			t.Helper()
			run := b.run()
			wantReasons(t, run, map[rules.Reason]int{"": 1, rules.ReasonUnauthenticated: 4})
			want := "the main identity must belong to account " + mainID + ", and the cloud says that its key belongs to account " + other
			if u := run.Sweeps[0].Report.Unknown; u == nil || !strings.Contains(u.Detail, want) || run.Complete {
				t.Errorf("%v", u)
			}
			if _, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the organization: %v", err)
			}
			_, _, err := b.cloud.Observe(t.Context(), rules.Account{ID: mainID}, baseline(), rules.Last{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the main identity's own account: %v", err)
			}
			for _, s := range b.asked(func(s sending) bool { return strings.HasPrefix(s.key, other) || strings.HasPrefix(s.key, mainID) }) {
				if s.operation != "domains" {
					t.Errorf("%s was sent with the key %s", s.operation, s.key)
				}
			}
		}
		m.do(func() { m.account = other })
		check()
		m.do(func() { m.account = mainID })
		wantReasons(t, b.run(), map[rules.Reason]int{"": 5}) // the run after it was put right
		m.do(func() { m.account = other })
		passes(time.Hour)
		b.forget()
		check()
	})
}

// TestTheMainAccountOfAServer is read with the key as it is then.
func TestTheMainAccountOfAServer(t *testing.T) {
	f := newFake(t, 2)
	cfg := f.fetching()
	f.accounts[mainID] = newFake(t, 1).accounts[accountID(0)]
	f.accounts[mainID].agencies[0]["domain_id"] = mainID
	f.accounts[mainID].grants = map[string][]fakeGrant{}
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, cfg), newMetadata()
		m.under(b.cloud)
		main := rules.Account{ID: mainID, Name: "main"}
		for n := range 3 {
			if _, _, err := b.cloud.Observe(t.Context(), main, baseline(), rules.Last{}); err != nil {
				t.Errorf("%d: %v", n, err)
			}
			passes(40 * time.Minute)
		}
		// A key that is refused while the account is read is given up, and the next run goes by another one.
		given := m.given
		f.lie("agencies "+mainID, say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`))
		if _, _, err := b.cloud.Observe(t.Context(), main, baseline(), rules.Last{}); err == nil {
			t.Error("read with a refused key")
		}
		f.lie("agencies "+mainID, nil)
		if err := b.cloud.Verify(t.Context()); err != nil || m.given != given+2 {
			t.Errorf("after a refusal %d keys were given: %v", m.given-given, err)
		}
		if _, _, err := b.cloud.Observe(t.Context(), main, baseline(), rules.Last{}); err != nil {
			t.Error(err)
		}
	})
}

// TestWhatASourceMayNotAnswer is refused without being shown, and costs no more than the accounts entered through it.
func TestWhatASourceMayNotAnswer(t *testing.T) {
	say := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	good := newMetadata()
	full := func() string { return good.key(1) }
	for name, tc := range map[string]struct {
		method string
		answer http.HandlerFunc
		want   rules.Reason
		words  string
	}{
		"a token with a break": {"PUT", say(200, "canary\nX: canary"), rules.ReasonRejected, "something that is no token"},
		"no token":             {"PUT", say(200, ""), rules.ReasonRejected, "something that is no token"},
		"a token that is huge": {"PUT", say(200, strings.Repeat("canary", 1000)), rules.ReasonRejected, "something that is no token"},
		"a token made":         {"PUT", say(201, "canary"), rules.ReasonRejected, "it answered 201"},
		"a token elsewhere":    {"PUT", say(302, "canary"), rules.ReasonRejected, "a redirect (302), which is never followed"},
		"a broken token":       {"PUT", say(500, "canary"), rules.ReasonUnreachable, "it answered 500"},
		"keys elsewhere":       {"GET", say(307, full()), rules.ReasonRejected, "a redirect (307), which is never followed"},
		"keys of another kind": {"GET", say(206, full()), rules.ReasonRejected, "it answered 206"},
		"no agency":            {"GET", say(401, "Please configure Cloud Service Agency first canary"), rules.ReasonDenied, "since the server has no agency"},
		"compressed keys": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, full())
		}, rules.ReasonRejected, "compressed content"},
		"refused":               {"GET", say(403, "canary"), rules.ReasonDenied, "it answered 403"},
		"a page":                {"GET", say(200, "<html>canary</html>"), rules.ReasonRejected, "not of the documented form"},
		"nothing":               {"GET", say(200, ""), rules.ReasonRejected, "not of the documented form"},
		"a list":                {"GET", say(200, "["+full()+"]"), rules.ReasonRejected, "not of the documented form"},
		"two answers":           {"GET", say(200, full()+full()), rules.ReasonRejected, "not of the documented form"},
		"more than is believed": {"GET", say(200, full()+strings.Repeat(" ", 65<<10)), rules.ReasonRejected, "more than 65536 bytes"},
		"two keys": {
			"GET", say(200, strings.Replace(full(), `"secret"`, `"access":"canary","secret"`, 1)), rules.ReasonRejected, "not of the documented form",
		},
		"half a key": {"GET", say(200, strings.Replace(full(), "canary-secret-1", "", 1)), rules.ReasonRejected, "half a temporary key"},
		"a broken key": {
			"GET", say(200, strings.Replace(full(), "canary-token-1", `canary\r\nX-Other: canary`, 1)), rules.ReasonRejected, "half a temporary key",
		},
		"no end": {"GET", say(200, strings.Replace(full(), `"expires_at":"2`, `"expires_at":"canary2`, 1)), rules.ReasonRejected, "whose end cannot be read"},
		"an end so near": {"GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, (&metadata{account: mainID, lasts: 4 * time.Minute}).key(1))
		}, rules.ReasonRejected, "which is too soon"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 3)
			c, log := open(t, f.fetching())
			m := newMetadata()
			m.lies[tc.method] = tc.answer
			m.under(c)
			err := c.Verify(t.Context())
			u, _ := errors.AsType[*rules.Unknown](err)
			if u == nil || u.Reason != tc.want || !strings.Contains(u.Detail, tc.words) || u.Remedy == "" {
				t.Fatalf("%v, want %s: %s", err, tc.want, tc.words)
			}
			wantUnknown(t, c, 0, tc.want)
			wantUnknown(t, c, 1, tc.want)
			mustObserve(t, c, 2) // with its own keys
			if n := len(m.questions()); n > 2 {
				t.Errorf("asked %d times", n)
			}
			if text := log.String() + fmt.Sprintf("%+v", u); strings.Contains(text, "canary") {
				t.Errorf("a secret came out: %s", text)
			}
			for _, sent := range f.log() {
				if strings.HasSuffix(sent, mainID) {
					t.Errorf("sent %s", sent)
				}
			}
		})
	}
}

// TestAServiceWithoutTokens is asked without.
func TestAServiceWithoutTokens(t *testing.T) {
	for _, status := range []int{404, 405} {
		f := newFake(t, 2)
		c, _ := open(t, f.fetching())
		m := newMetadata()
		m.lies["PUT"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
		m.lies["GET"] = func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Metadata-Token") == "" {
				_, _ = io.WriteString(w, m.key(1))
			}
		}
		m.under(c)
		if err := c.Verify(t.Context()); err != nil {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// TestKeysThatNeverEnd are fetched anew within a day all the same.
func TestKeysThatNeverEnd(t *testing.T) {
	f := newFake(t, 2)
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, f.fetching()), newMetadata()
		m.lasts = 5000 * time.Hour
		m.under(b.cloud)
		for range 2 {
			b.run()
			passes(24 * time.Hour)
		}
		if m.given != 2 {
			t.Errorf("%d keys were given in two days", m.given)
		}
	})
}

// TestKeysOfAPodAreRenewed with the pod's token as it is then.
func TestKeysOfAPodAreRenewed(t *testing.T) {
	f := newFake(t, 5)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.fetching(), newMetadata()
		cfg.Main.Source = m.pod()
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		for run, want := range []int{1, 1, 2} {
			wantReasons(t, b.run(), map[rules.Reason]int{"": 5})
			if m.given != want {
				t.Errorf("after run %d: %d keys were given, want %d", run, m.given, want)
			}
			m.do(func() { m.tokens++ })
			passes(16 * time.Minute)
		}
		if asked := fmt.Sprint(m.questions()); asked != "[POST http://169.254.170.23/v1/credentials?x=y POST http://169.254.170.23/v1/credentials?x=y]" {
			t.Errorf("asked %s", asked)
		}
		if !slices.Equal(b.meter.refreshed[:1], []string{"pod came"}) || strings.Contains(b.log.String(), "canary") {
			t.Errorf("the meter heard %q, and the log is %s", b.meter.refreshed, b.log)
		}
	})
}

// TestWhatAPodMayNotHave is told in words, and without a secret.
func TestWhatAPodMayNotHave(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*huawei.Source, *metadata)
		want   rules.Reason
		words  string
	}{
		"an old token": {func(s *huawei.Source, _ *metadata) {
			s.Token = func() (huawei.Secret, error) { return huawei.NewSecret("canary-of-yesterday"), nil }
		}, rules.ReasonDenied, "it answered 401"},
		"no token": {func(s *huawei.Source, _ *metadata) {
			s.Token = func() (huawei.Secret, error) { return huawei.Secret{}, errors.New("the file is gone") }
		}, rules.ReasonDenied, "the pod's token cannot be used: the file is gone"},
		"a broken token": {func(s *huawei.Source, _ *metadata) {
			s.Token = func() (huawei.Secret, error) { return huawei.NewSecret("canary\r\nX: canary"), nil }
		}, rules.ReasonDenied, "the pod's token is none"},
		"keys of a server": {func(_ *huawei.Source, m *metadata) {
			m.lies["POST"] = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, m.key(1)) }
		}, rules.ReasonRejected, "not of the documented form"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 3)
			cfg, m := f.fetching(), newMetadata()
			cfg.Main.Source = m.pod()
			tc.change(cfg.Main.Source, m)
			c, log := open(t, cfg)
			m.under(c)
			u, _ := errors.AsType[*rules.Unknown](c.Verify(t.Context()))
			if u == nil || u.Reason != tc.want || !strings.Contains(u.Detail, tc.words) || !strings.Contains(u.Detail, "the identity service of the pod") {
				t.Fatalf("%v, want %s: %s", u, tc.want, tc.words)
			}
			wantUnknown(t, c, 0, tc.want)
			mustObserve(t, c, 2)
			if text := log.String() + fmt.Sprintf("%+v", u); strings.Contains(text, "canary") {
				t.Errorf("a secret came out: %s", text)
			}
		})
	}
}

// TestAPodIsAskedWhereItMayBe: by https, or near.
func TestAPodIsAskedWhereItMayBe(t *testing.T) {
	for address, ok := range map[string]bool{
		"https://identity.example.com/v1": true, "https://10.1.2.3:8443/x?y=z": true, "http://127.0.0.1:9880/pods/p": true, "http://localhost/p": true,
		"http://169.254.170.23/v1": true, "http://[fe80::1]/v1": true, "http://[::1]:80": true, "http://[::ffff:127.0.0.1]/v1": true,
		"": false, "http://10.1.2.3/v1": false, "http://identity.example.com/v1": false, "http://localhost.example.com/": false, "ftp://127.0.0.1/": false,
		"https://user:canary@identity.example.com/": false, "https://user@127.0.0.1/": false, "https://identity.example.com/#x": false, "https:identity": false,
		"https://0.0.0.0/": false, "https://[::]/": false, "https://224.0.0.1/": false, "https:///v1": false, "https://a..b/": false, "http://127.1/": false,
		"https://127.0.0.1:0/": false, "https://127.0.0.1:/": false, "https://127.0.0.1:70000/": false, "https://a/" + strings.Repeat("x", 2048): false,
	} {
		s := newMetadata().pod()
		s.Address = address
		if err := s.Check(); (err == nil) != ok || err != nil && strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", address, err)
		}
	}
	s := newMetadata().pod()
	s.Token = nil
	if err := s.Check(); err == nil {
		t.Error("a pod without a token was accepted")
	}
	s = newMetadata().pod()
	s.Kind = huawei.SourceECS
	s.Address = ""
	if err := s.Check(); err == nil {
		t.Error("a server with a token was accepted")
	}
}

// TestASourceIsWhereItIs: a metadata service is at its link-local address or, if that is said, at a loopback one.
func TestASourceIsWhereItIs(t *testing.T) {
	for address, ok := range map[string]bool{
		"": true, "http://169.254.169.254": true, "http://127.0.0.1:9880": true, "http://localhost:80": true, "http://[::1]:80": true,
		"https://169.254.169.254": false, "http://169.254.169.253": false, "http://10.0.0.1": false, "http://metadata.example.com": false,
		"https://127.0.0.1": false, "http://127.0.0.1/x": false, "http://user@127.0.0.1": false, "ftp://127.0.0.1": false, "127.0.0.1": false,
		"http://169.254.169.254.example.com": false, "http://[fe80::1]": false, "http://127.0.0.1.example.com": false,
	} {
		if err := (huawei.Source{Kind: huawei.SourceECS, Address: address}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", address, err)
		}
	}
	if err := (huawei.Source{}).Check(); err == nil {
		t.Error("a source of no kind was accepted")
	}
	f := newFake(t, 1)
	cfg := f.fetching()
	cfg.Main.Keys = f.assuming().Main.Keys
	if _, err := huawei.New(cfg, nil); err == nil || !strings.Contains(err.Error(), "both keys and a source of them") {
		t.Errorf("%v", err)
	}
}

// TestASourceLeadsNowhereElse connects to nothing but the address of the service, whatever a name or a proxy says.
func TestASourceLeadsNowhereElse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	reached := make(chan struct{}, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			select {
			case reached <- struct{}{}:
			default:
			}
		}
	}()
	t.Setenv("HTTP_PROXY", "http://"+l.Addr().String())
	for _, address := range []string{"", "http://127.0.0.1:1"} {
		f := newFake(t, 1)
		cfg := f.fetching()
		cfg.Main.Source.Address = address
		c, _ := open(t, cfg)
		c.WrapSource(func(under http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				r.URL.Host = l.Addr().String()
				return under.RoundTrip(r)
			})
		})
		if err := c.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "is not where the metadata service is") {
			t.Errorf("%q: %v", address, err)
		}
	}
	select {
	case <-reached:
		t.Error("a connection was made")
	default:
	}
}

// TestAServerOfTheSimulatedCloud is given keys by the control port, and audits an organization with them while they are renewed.
func TestAServerOfTheSimulatedCloud(t *testing.T) {
	org := simcloud.Bundled()
	org.Instances[0].KeyLifetime = time.Hour
	cloud, at := simulate(t, org, simcloud.Listen{Control: "127.0.0.1:0"})
	org = cloud.Organization()
	cfg := simConfig(org, at)
	delete(cfg.Accounts, org.Accounts[0].ID)
	cfg.Main = huawei.Identity{AccountID: org.Accounts[0].ID, Source: &huawei.Source{Kind: huawei.SourceECS, Address: at.ControlURL}}
	var clk clock
	m := &meter{}
	cfg.Now, cfg.Meter = clk.now, m
	c, log := open(t, cfg)
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	clk.advance(renewedAfter)
	var wg sync.WaitGroup
	for range 20 { // due again and again, by the clock of the reader
		wg.Go(func() {
			clk.advance(time.Minute)
			for _, a := range org.Accounts[:3] {
				_, _, _ = c.Observe(t.Context(), rules.Account{ID: a.ID, Name: a.Name}, baseline(), rules.Last{})
			}
		})
	}
	wg.Wait()
	if n := len(slices.DeleteFunc(slices.Clone(m.refreshed), func(s string) bool { return s != "ecs came" })); n < 3 {
		t.Errorf("%d keys came", n)
	}
	evidence, errs := observeAll(t, c, org)
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	wantLines(t, seen(evidence[0]), truth(cloud, org.Accounts[0]))
	if strings.Contains(log.String(), org.Accounts[0].Users[0].Keys[0].Secret) {
		t.Error("the log holds a secret")
	}
}

// TestAPodOfTheSimulatedCloud is given keys by the control port.
func TestAPodOfTheSimulatedCloud(t *testing.T) {
	cloud, at := simulate(t, simcloud.Bundled(), simcloud.Listen{Control: "127.0.0.1:0"})
	org := cloud.Organization()
	cfg := simConfig(org, at)
	delete(cfg.Accounts, org.Accounts[0].ID)
	cfg.Main = huawei.Identity{AccountID: org.Accounts[0].ID, Source: &huawei.Source{
		Kind: huawei.SourcePod, Address: at.ControlURL + "/pods/" + org.Pods[0].Name,
		Token: func() (huawei.Secret, error) { return huawei.NewSecret(org.Pods[0].Token), nil },
	}}
	c, log := open(t, cfg)
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	evidence, errs := observeAll(t, c, org)
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	wantLines(t, seen(evidence[0]), truth(cloud, org.Accounts[0]))
	if strings.Contains(log.String(), org.Pods[0].Token) {
		t.Error("the log holds a secret")
	}
}

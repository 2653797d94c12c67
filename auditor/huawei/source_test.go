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
		m.mu.Lock()
		m.given++
		n := m.given
		m.mu.Unlock()
		_, _ = io.WriteString(rec, m.key(n))
	default:
		rec.WriteHeader(http.StatusUnauthorized)
	}
	return rec.Result(), nil
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

// TestASourceOfAnotherAccount: nothing is read or entered with them but the answer to whose they are, at the first time and at a
// renewal alike.
func TestASourceOfAnotherAccount(t *testing.T) {
	const other = "b0000000000000000000000000000000"
	f := newFake(t, 5)
	synctest.Test(t, func(t *testing.T) {
		b, m := inBubble(t, f, f.fetching()), newMetadata()
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
		f.lie("agencies "+mainID, refuse)
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
		"a token with a break":  {"PUT", say(200, "canary\ncanary"), rules.ReasonRejected, "something that is no token"},
		"no token":              {"PUT", say(200, ""), rules.ReasonRejected, "something that is no token"},
		"a token that is huge":  {"PUT", say(200, strings.Repeat("canary", 1000)), rules.ReasonRejected, "something that is no token"},
		"a token made":          {"PUT", say(201, "canary"), rules.ReasonRejected, "it answered 201"},
		"a token elsewhere":     {"PUT", say(302, "canary"), rules.ReasonRejected, "a redirect (302), which is never followed"},
		"a broken token":        {"PUT", say(500, "canary"), rules.ReasonUnreachable, "it answered 500"},
		"keys elsewhere":        {"GET", say(307, full()), rules.ReasonRejected, "a redirect (307), which is never followed"},
		"keys of another kind":  {"GET", say(206, full()), rules.ReasonRejected, "it answered 206"},
		"no agency":             {"GET", say(401, "Please configure Cloud Service Agency first canary"), rules.ReasonDenied, "since the server has no agency"},
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
	f := newFake(t, 1)
	c, _ := open(t, f.fetching())
	c.WrapSource(func(under http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			r.URL.Host = l.Addr().String()
			return under.RoundTrip(r)
		})
	})
	if err := c.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "is not where the metadata service is") {
		t.Errorf("%v", err)
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

package huawei_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
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

// Keys may end at any request. Here they do at each in turn, and the cloud becomes another at that very instant: so evidence that was
// put together with two keys, or with the answers up to there, is neither what was true before nor what is true afterwards.

// doom has a key of an account end at its nth request.
type doom struct {
	indoors
	mu sync.Mutex
	// account is whose key ends; the first that signs a request of it from now on.
	account string
	at      int
	// meanwhile happens when it ends.
	meanwhile func()
	key       string
	sent      int
}

var signedWith = regexp.MustCompile(` Access=([^,]+),`)

// RoundTrip answers one request after the other.
func (d *doom) RoundTrip(r *http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := ""
	if m := signedWith.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		key = m[1]
	}
	if d.at > 0 && d.key == "" && r.Header.Get("X-Domain-Id") == d.account {
		d.key = key
	}
	if d.key == "" || key != d.key {
		return d.indoors.RoundTrip(r)
	}
	if d.sent++; d.sent == d.at {
		d.meanwhile()
	}
	if d.sent < d.at {
		return d.indoors.RoundTrip(r)
	}
	return &http.Response{
		StatusCode: http.StatusUnauthorized, ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}, "X-Request-Id": {id32(d.sent)}, "Date": {time.Now().UTC().Format(http.TimeFormat)}},
		Body:   io.NopCloser(strings.NewReader(`{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: token expires"}`)),
	}, nil
}

// arm has the next key of an account end at its nth request, and disarm no key; it says whether one has ended.
func (d *doom) arm(account string, n int, meanwhile func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.account, d.at, d.meanwhile, d.key, d.sent = account, n, meanwhile, "", 0
}

func (d *doom) disarm() (ended bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ended = d.at > 0 && d.sent >= d.at
	d.at, d.key = 0, ""
	return ended
}

// fickle is a small organization that can be one of two, and nothing that it shows of an account is the same in both.
type fickle struct {
	t     *testing.T
	cloud *simcloud.Cloud
	doom  *doom
	// other says that it is as it was not at first.
	other bool
	log   bytes.Buffer
}

// The accounts of it: the one that audits; one with grants on every plane, on several pages; one without the agency at first.
const theAuditor, theRich, theBare = 0, 1, 2

func newFickle(t *testing.T) *fickle {
	t.Helper()
	org := simcloud.Bundled()
	org.Accounts = slices.DeleteFunc(org.Accounts, func(a simcloud.Account) bool {
		return !slices.Contains([]string{"management", "exact-baseline", "agency-missing", "extra-on-one-project"}, a.Name)
	})
	rich, bare := &org.Accounts[theRich], &org.Accounts[2]
	if bare.Name != "agency-missing" {
		org.Accounts[2], org.Accounts[3] = org.Accounts[3], org.Accounts[2]
	}
	var trust simcloud.Agency
	rich.EnterpriseProjects = []simcloud.Project{{Name: "finance"}}
	rich.Policies = []simcloud.Policy{{DisplayName: "ops-helper", Type: "XA", Allow: []string{"ecs:*:get*"}}}
	for i := range rich.Agencies {
		switch a := &rich.Agencies[i]; {
		case a.TrustPolicy != nil:
			trust = *a
		case a.Name == coc:
			a.Grants = append(a.Grants, simcloud.Grant{Policy: "ops-helper", Custom: true, Scope: "all_resources"})
			for n := range 52 { // 50 are a page
				in := fmt.Sprintf("ap-southeast-3_%02d", n)
				rich.Projects = append(rich.Projects, simcloud.Project{Name: in})
				a.Grants = append(a.Grants, simcloud.Grant{Policy: "CES ReadOnlyAccess", Scope: "project", In: in})
			}
		}
	}
	bare.Agencies = append(bare.Agencies, trust)
	cloud, err := simcloud.NewAt(org, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return &fickle{t: t, cloud: cloud, doom: &doom{indoors: indoors{cloud}}}
}

// turn makes the organization the other one.
func (f *fickle) turn() {
	f.t.Helper()
	f.other = !f.other
	grant, attach, create := simcloud.DriftGrant, simcloud.DriftAttach, simcloud.DriftCreateAgency
	name, leaves := "called-otherwise", simcloud.DriftLeave
	if !f.other {
		grant, attach, create = simcloud.DriftRevoke, simcloud.DriftDetach, simcloud.DriftDeleteAgency
		name, leaves = "exact-baseline", simcloud.DriftJoin
	}
	org := f.cloud.Organization()
	id := func(i int) string { return org.Accounts[i].ID }
	happens := func(d simcloud.Drift) {
		if err := f.cloud.Drift(d); err != nil {
			f.t.Error(err)
		}
	}
	for _, g := range []simcloud.Grant{
		{Policy: "Tenant Guest", Scope: "global"}, {Policy: "Tenant Administrator", Scope: "all_resources"},
		{Policy: "ECS FullAccess", Scope: "project", In: "ap-southeast-3_07"}, {Policy: "VPC Administrator", Scope: "enterprise_project", In: "finance"},
	} {
		happens(simcloud.Drift{Kind: grant, Account: id(theRich), Agency: coc, Grant: &g})
		if g.In == "" {
			happens(simcloud.Drift{Kind: grant, Account: id(theAuditor), Agency: coc, Grant: &g})
		}
	}
	for _, i := range []int{theRich, theAuditor} {
		happens(simcloud.Drift{Kind: attach, Account: id(i), Agency: coc, Policy: "OBSReadOnlyPolicy"})
	}
	d := simcloud.Drift{Kind: create, Account: id(theBare)}
	if f.other {
		d.New = &simcloud.Agency{Name: coc, Trust: simcloud.Trust{Name: "op_svc_coc"}, Grants: []simcloud.Grant{{Policy: "DCS UserAccess", Scope: "global"}}}
	} else {
		d.Agency = coc
	}
	happens(d)
	happens(simcloud.Drift{Kind: simcloud.DriftRename, Account: id(theRich), Name: name})
	d = simcloud.Drift{Kind: leaves, Account: id(3)}
	if !f.other {
		d.Member = &simcloud.Member{OU: "Security"}
	}
	happens(d)
}

// truth is what is to be read of an account now.
func (f *fickle) truth(i int) []string { return truth(f.cloud, f.cloud.Organization().Accounts[i]) }

// last is what evidence of an account's other self would have shown.
func (f *fickle) last(c *huawei.Cloud, i int) rules.Last {
	f.t.Helper()
	f.turn()
	defer f.turn()
	ev, err := f.observe(c, i, rules.Last{})
	if err != nil {
		f.t.Fatal(err)
	}
	last := rules.Last{Known: true, Planes: ev.Planes()}
	if a, ok := ev.Agency(); ok {
		last.Agency = &a
	}
	return last
}

func (f *fickle) observe(c *huawei.Cloud, i int, last rules.Last) (rules.Evidence, error) {
	a := f.cloud.Organization().Accounts[i]
	ev, _, err := c.Observe(f.t.Context(), rules.Account{ID: a.ID, Name: a.Name}, baseline(), last)
	return ev, err
}

// open makes a reader of it.
func (f *fickle) open(change func(*huawei.Config)) *huawei.Cloud {
	f.t.Helper()
	org := f.cloud.Organization()
	cfg := orgConfig(org, &simcloud.Server{URL: "http://127.0.0.1:1"})
	delete(cfg.Accounts, org.Accounts[theAuditor].ID) // which is read with the main identity's
	change(&cfg)
	c, err := huawei.New(cfg, slog.New(slog.NewJSONHandler(&f.log, nil)))
	if err != nil {
		f.t.Fatal(err)
	}
	c.WrapTransport(func(http.RoundTripper) http.RoundTripper { return f.doom })
	c.WrapSource(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			in, rec := r.Clone(r.Context()), httptest.NewRecorder()
			in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:1234"
			f.cloud.Metadata().ServeHTTP(rec, in)
			return rec.Result(), nil
		})
	})
	return c
}

// stride is from one request to the next at which a key ends; longer where time is short, as under the race detector.
func stride() int {
	if testing.Short() {
		return 4
	}
	return 1
}

// expired wants an error that says that a key was refused.
func expired(t *testing.T, where string, err error) {
	t.Helper()
	if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonUnauthenticated {
		t.Errorf("%s: %v", where, err)
	}
}

// TestKeysThatEndAtEachRequest: the evidence of an account that was entered begins anew with a new key and is that of one instant,
// if the key was kept from before. One that was made for this very reading and is refused makes the account unknown.
func TestKeysThatEndAtEachRequest(t *testing.T) {
	for way, access := range map[string]huawei.Access{
		"IAM": {Agency: "AgencyAuditReader"}, "STS": {Agency: "AgencyAuditReader", Via: huawei.ViaSTS},
		"trust": {Agency: "AuditTrust", Via: huawei.ViaSTS, ExternalID: "sesame-of-the-simulation"},
	} {
		if testing.Short() && way != "STS" {
			continue // as under the race detector, where time is short
		}
		for subject, least := range map[int]int{theRich: 12, theBare: 3} {
			t.Run(fmt.Sprintf("%s %d", way, subject), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := newFickle(t)
					enter := func(cfg *huawei.Config) { cfg.Accounts, cfg.Members = nil, access }
					id := f.cloud.Organization().Accounts[subject].ID
					c := f.open(enter)
					tried, anew := 0, 0
					for n := 1; ; n += stride() {
						last, before := f.last(c, subject), f.truth(subject)
						f.doom.arm(id, n, f.turn)
						ev, err := f.observe(c, subject, last)
						if !f.doom.disarm() {
							break
						}
						tried++
						switch got := seen(ev); {
						case err != nil:
							t.Fatalf("request %d: %v", n, err)
						case slices.Equal(got, f.truth(subject)):
							anew++
						case !slices.Equal(got, before): // what projects are called, which is no evidence, is asked last
							t.Errorf("request %d: neither before nor after:\n  %s", n, strings.Join(got, "\n  "))
						}
					}
					if anew < least/stride() || anew < tried-1 {
						t.Errorf("of %d requests at which a key ended evidence began anew after %d", tried, anew)
					}

					f.turn()
					n := 1
					for ; ; n += stride() { // those of the catalogue included
						c := f.open(enter)
						before := f.truth(subject)
						f.doom.arm(id, n, f.turn)
						ev, err := f.observe(c, subject, rules.Last{})
						if !f.doom.disarm() {
							break
						}
						switch where := fmt.Sprintf("a new key, request %d", n); {
						case err != nil:
							expired(t, where, err)
						case !slices.Equal(seen(ev), before): // the catalogue is read for others too, when the evidence is whole
							t.Errorf("%s: %q", where, seen(ev))
						}
						passes(30 * time.Minute)
						if err := c.Verify(t.Context()); err != nil {
							t.Fatal(err)
						}
						ev, err = f.observe(c, subject, rules.Last{})
						if err != nil {
							t.Fatalf("after a new key ended at request %d: %v", n, err)
						}
						wantLines(t, seen(ev), f.truth(subject))
					}
					if n <= least+2 {
						t.Errorf("a first reading took %d requests: the test tests little", n-1)
					}
					f.end()
				})
			})
		}
	}
}

// TestMainKeysThatEndAtEachRequest: the program's own key ends at each request of a run, by which the organization is listed, an
// account of its own is read, and others are entered. What came is whole and of one instant; all else is unknown, and known in
// the next run if there is another key to be had.
func TestMainKeysThatEndAtEachRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(org *simcloud.Organization, cfg *huawei.Config)
		// again says that there is another key.
		again bool
	}{
		"of a server": {func(_ *simcloud.Organization, cfg *huawei.Config) {
			cfg.Main.Keys, cfg.Main.Source = huawei.Keys{}, &huawei.Source{Kind: huawei.SourceECS, Address: "http://127.0.0.1:1"}
		}, true},
		"of a pod": {func(org *simcloud.Organization, cfg *huawei.Config) {
			token := org.Pods[0].Token
			cfg.Main.Keys, cfg.Main.Source = huawei.Keys{}, &huawei.Source{
				Kind: huawei.SourcePod, Address: "http://127.0.0.1:1/pods/" + org.Pods[0].Name,
				Token: func() (huawei.Secret, error) { return huawei.NewSecret(token), nil },
			}
		}, true},
		"of the configuration": {func(*simcloud.Organization, *huawei.Config) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFickle(t)
				org := f.cloud.Organization()
				listed, tried, n := 0, 0, 1
				var c *huawei.Cloud
				for ; ; n += stride() {
					if c == nil || !tc.again {
						c = f.open(func(cfg *huawei.Config) {
							tc.change(org, cfg)
							cfg.Accounts[org.Accounts[theBare].ID] = huawei.Access{Agency: "AgencyAuditReader", Via: huawei.ViaSTS}
						})
					}
					passes(61 * time.Minute) // nothing that was kept is good any more
					// states are what was true when the run began, and what is since the key ended.
					var states [2]map[int][]string
					var lists [2][]string
					note := func(at int) {
						states[at] = map[int][]string{}
						for _, i := range []int{theAuditor, theRich, theBare} {
							states[at][i] = f.truth(i)
						}
						lists[at] = members(f.cloud.Organization())
					}
					note(0)
					f.doom.arm(org.Accounts[theAuditor].ID, n, func() {
						f.turn()
						note(1)
					})
					where := fmt.Sprintf("request %d", n)
					run := func(check func(where string, got []string, err error, states ...[]string)) {
						_ = c.Verify(t.Context())
						is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
						var got []string
						if err == nil {
							got = listedMembers(f.cloud.Organization(), is)
						}
						check(where+", the organization", got, err, lists[0], lists[1])
						for _, i := range []int{theAuditor, theRich, theBare} {
							ev, err := f.observe(c, i, rules.Last{})
							var got []string
							if err == nil {
								got = seen(ev)
							}
							check(fmt.Sprintf("%s, account %d", where, i), got, err, states[0][i], states[1][i])
						}
					}
					known := 0
					run(func(where string, got []string, err error, states ...[]string) {
						if err != nil {
							expired(t, where, err)
							return
						}
						known++
						if !slices.Equal(got, states[0]) && !slices.Equal(got, states[1]) {
							t.Errorf("%s: neither before nor after:\n  %s", where, strings.Join(got, "\n  "))
						}
					})
					if !f.doom.disarm() {
						if known != 4 {
							t.Errorf("without a key that ends %d of 4 were known", known)
						}
						break
					}
					tried++
					if known > 0 {
						listed++
					}
					where = "after " + where
					if !tc.again {
						f.doom.arm(org.Accounts[theAuditor].ID, 1, func() {}) // which goes on to be refused
					}
					run(func(where string, got []string, err error, states ...[]string) {
						switch {
						case !tc.again && err == nil && !slices.Equal(got, states[1]):
							t.Errorf("%s: %q", where, got)
						case !tc.again && err != nil:
							expired(t, where, err)
						case tc.again && err != nil:
							t.Errorf("%s: %v", where, err)
						case tc.again:
							wantLines(t, got, states[1])
						}
					})
					f.doom.disarm()
				}
				if n < 20 || listed == 0 || listed == tried {
					t.Errorf("a run took %d requests, and something was known in %d: the test tests little", n-1, listed)
				}
				f.end()
			})
		})
	}
}

// end wants nothing to have been written, and no secret in the log.
func (f *fickle) end() {
	f.t.Helper()
	if n := len(f.cloud.Journal()); n > 0 {
		f.t.Errorf("%d writes", n)
	}
	org := f.cloud.Organization()
	for _, secret := range []string{org.Accounts[0].Users[0].Keys[0].Secret, org.Pods[0].Token} {
		if strings.Contains(f.log.String(), secret) {
			f.t.Error("the log holds a secret")
		}
	}
}

package huawei_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// orgConfig reads the organization as the user of the simulated management account.
func orgConfig(org *simcloud.Organization, server *simcloud.Server) huawei.Config {
	cfg := simConfig(org, server)
	cfg.Endpoints = huawei.Endpoints{IAM: server.URL, STS: server.URL, Organizations: server.URL}
	return cfg
}

// members are the accounts of a simulated organization in words, straight from its state.
func members(org *simcloud.Organization) (lines []string) {
	for _, a := range org.Accounts {
		if a.Member != nil {
			lines = append(lines, fmt.Sprintf("%s %s %s below %q %v", a.ID, a.Name, a.Status, a.Member.OU, a.Member.Tags))
		}
	}
	slices.Sort(lines)
	return lines
}

// listedMembers are those that were listed, in the words of members.
func listedMembers(org *simcloud.Organization, is huawei.Organization) (lines []string) {
	ids := map[string]string{}
	var walk func(path string, units []simcloud.Unit)
	walk = func(path string, units []simcloud.Unit) {
		for _, u := range units {
			ids[strings.TrimPrefix(path+"/"+u.Name, "/")] = u.ID
			walk(path+"/"+u.Name, u.Units)
		}
	}
	walk("", org.Structure.Units)
	for _, m := range is.Members {
		var names []string
		for _, u := range m.OUs {
			if names = append(names, u.Name); ids[strings.Join(names, "/")] != u.ID {
				names = append(names, "which has the id "+u.ID)
			}
		}
		below := strings.Join(names, "/")
		if i := slices.IndexFunc(org.Accounts, func(a simcloud.Account) bool { return a.ID == m.ID }); i >= 0 &&
			org.Accounts[i].Member != nil && org.Accounts[i].Member.OU == ids[below] {
			below = ids[below] // the state has ids
		}
		lines = append(lines, fmt.Sprintf("%s %s %s below %q %v", m.ID, m.Name, m.Status, below, m.Tags))
	}
	return lines
}

// TestOrganizationOfTheSimulatedCloud lists it in every way that the cloud can be set to page.
func TestOrganizationOfTheSimulatedCloud(t *testing.T) {
	for _, marker := range []string{"null", "absent", "empty"} {
		for _, size := range []int{0, 3} {
			t.Run(fmt.Sprint(marker, size), func(t *testing.T) {
				org := simcloud.Bundled()
				org.Settings = simcloud.Settings{PageSize: size, Switches: simcloud.Switches{LastMarker: marker}}
				cloud, server := simulate(t, org, simcloud.Listen{})
				org = cloud.Organization()
				c, _ := open(t, orgConfig(org, server))
				is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
				if err != nil {
					t.Fatal(err)
				}
				if is.ID != org.Structure.ID || is.ManagementAccountID != org.Accounts[0].ID {
					t.Errorf("the organization is %q of %q", is.ID, is.ManagementAccountID)
				}
				wantLines(t, listedMembers(org, is), members(org))
				if !slices.IsSortedFunc(is.Members, func(a, b huawei.Member) int { return strings.Compare(a.ID, b.ID) }) {
					t.Error("the accounts are in no order")
				}
				if n := c.Requests()["KeystoneListAuthDomains"]; n != 1 {
					t.Errorf("asked %d times whose the key is", n)
				}
			})
		}
	}
}

// TestOrganizationFollowsWhatChanges lists it before and after.
func TestOrganizationFollowsWhatChanges(t *testing.T) {
	cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
	c, _ := open(t, orgConfig(cloud.Organization(), server))
	for _, d := range []simcloud.Drift{
		{Kind: simcloud.DriftMove, Account: "exact-baseline", OU: "Closing"},
		{Kind: simcloud.DriftLeave, Account: "pages-of-grants"},
		{Kind: simcloud.DriftStatus, Account: "exact-baseline", Status: "asleep"},
		{Kind: simcloud.DriftRenameOU, OU: "Closing", Name: "Clos/ed"},
		{Kind: simcloud.DriftCreateAccount, NewAccount: &simcloud.Account{Name: "newcomer", Member: &simcloud.Member{OU: "Security"}}},
	} {
		if err := cloud.Drift(d); err != nil && d.Kind != simcloud.DriftLeave {
			t.Fatalf("%s: %v", d.Kind, err)
		}
		is, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
		if err != nil {
			t.Fatalf("%s: %v", d.Kind, err)
		}
		var got, want []string
		for _, m := range is.Members {
			if m.Tags != nil {
				t.Errorf("%s: tags that nobody asked for", m.Name)
			}
			got = append(got, m.ID+" "+m.Name+" "+m.Status+" "+fmt.Sprint(len(m.OUs)))
		}
		now := cloud.Organization()
		depth := map[string]int{"": 0}
		var walk func(n int, units []simcloud.Unit)
		walk = func(n int, units []simcloud.Unit) {
			for _, u := range units {
				depth[u.ID] = n
				walk(n+1, u.Units)
			}
		}
		walk(1, now.Structure.Units)
		for _, a := range now.Accounts {
			if a.Member != nil {
				want = append(want, a.ID+" "+a.Name+" "+a.Status+" "+fmt.Sprint(depth[a.Member.OU]))
			}
		}
		slices.Sort(want)
		wantLines(t, got, want)
	}
}

// TestTagsAreKeptForAnHour and forgotten with their accounts.
func TestTagsAreKeptForAnHour(t *testing.T) {
	cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
	cfg, now := orgConfig(cloud.Organization(), server), time.Now()
	cfg.Now = func() time.Time { return now }
	c, _ := open(t, cfg)
	last := int64(0)
	read := func(want bool, value string) {
		t.Helper()
		is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
		if err != nil {
			t.Fatal(err)
		}
		n := c.Requests()["ListTagsForResource"]
		if n > last != want {
			t.Errorf("%d requests for tags", n-last)
		}
		last = n
		for _, m := range is.Members {
			if m.Name == "exact-baseline" && m.Tags["env"] != value {
				t.Errorf("tags %v", m.Tags)
			}
			clear(m.Tags) // nobody else's
		}
	}
	read(true, "prod")
	if err := cloud.Drift(simcloud.Drift{Kind: simcloud.DriftTag, Account: "exact-baseline", Tags: map[string]string{"env": "test"}}); err != nil {
		t.Fatal(err)
	}
	read(false, "prod")
	now = now.Add(59 * time.Minute)
	read(false, "prod")
	now = now.Add(time.Minute)
	read(true, "test")
}

// TestTagsMayBeCalledAnything: the key of a tag is a person's choice, and no id.
func TestTagsMayBeCalledAnything(t *testing.T) {
	want := map[string]string{"cost.center": "4711", "owner:team": "", "Größe & mehr": "x=y", strings.Repeat("k", 128): "long"}
	org := simcloud.Bundled()
	org.Accounts[0].Member.Tags = want
	cloud, server := simulate(t, org, simcloud.Listen{})
	c, _ := open(t, orgConfig(cloud.Organization(), server))
	is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(is.Members, func(m huawei.Member) bool { return m.ID == cloud.Organization().Accounts[0].ID })
	if got := is.Members[i].Tags; !maps.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestBrokenOrganization has one operation after the other answer in every style of the simulated cloud. An answer is whole and
// true, or there is none.
func TestBrokenOrganization(t *testing.T) {
	const bodies = " gzip_bomb huge_body deep_json many_rows " // which are long, and nothing about lists
	cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
	org := cloud.Organization()
	want := members(org)
	first := org.Accounts[0]
	for _, operation := range []string{"ShowOrganization", "ListRoots", "ListOrganizationalUnits", "ListAccounts", "ListTagsForResource"} {
		believed := 0
		for _, style := range cloudStyles {
			if testing.Short() && strings.Contains(bodies, " "+style+" ") {
				continue
			}
			for _, size := range []int{0, 5} {
				if testing.Short() && size == 0 {
					continue // pages of five have all that a whole list has
				}
				// A fault that goes on, one of the first page, and one of a page in between.
				for n, failure := range []simcloud.Failure{
					{Operation: operation, Style: style},
					{Operation: operation, Style: style, Query: map[string]string{"marker": ""}},
					{Operation: operation, Style: style, Skip: 3, Times: 1},
				} {
					if strings.Contains(bodies, " "+style+" ") && (n > 0 || size > 0) {
						continue
					}
					if cloud.SetSettings(simcloud.Settings{PageSize: size, Failures: []simcloud.Failure{failure}}) != nil {
						continue // the style is not for this operation
					}
					cfg := orgConfig(org, server)
					cfg.RequestTimeout = 300 * time.Millisecond
					c, _ := open(t, cfg)
					is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
					name := fmt.Sprintf("%s %s %d, pages of %d", operation, style, n, size)
					if err != nil {
						if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason == "" || u.Detail == "" || u.Remedy == "" || is.ID != "" || is.Members != nil {
							t.Errorf("%s: %v, %v", name, is, err)
						}
						continue
					}
					believed++
					if got := listedMembers(org, is); !slices.Equal(got, want) && style != "missing_row" && style != "empty_list" && style != "ends_early" {
						t.Errorf("%s: believed\n%s", name, strings.Join(got, "\n"))
					} else if operation != "ListTagsForResource" {
						wantLines(t, got, want)
					}
					if is.ManagementAccountID != first.ID {
						t.Errorf("%s: the management account is %q", name, is.ManagementAccountID)
					}
				}
			}
		}
		if believed == 0 {
			t.Errorf("%s: nothing was ever believed", operation)
		}
	}
}

// cloudStyles are the ways in which lists can be broken.
var cloudStyles = []string{
	"html_502", "html_200", "empty_200", "object_200", "null_200", "redirect_302", "redirect_metadata", "status_400", "status_401", "status_403",
	"status_404", "status_429", "status_500", "status_503", "error_200", "reset", "reset_mid_body", "short_body", "truncated", "status_202",
	"status_204", "status_206", "status_304", "gzip", "gzip_bomb", "huge_body", "trailing_bytes", "deep_json", "invalid_utf8", "duplicate_key",
	"wrong_case_key", "wrong_type", "null_list", "empty_list", "many_rows", "no_id", "same_id", "foreign_rows", "count_off", "page_loop",
	"page_overlap", "ends_early", "missing_row", "repeated_row", "number_time",
}

// TestOrganizationMayNotBeRead: who may not is told so, and the key goes on to be good for accounts.
func TestOrganizationMayNotBeRead(t *testing.T) {
	for name, prepare := range map[string]func(*simcloud.Organization, *huawei.Config){
		"1001": func(o *simcloud.Organization, _ *huawei.Config) {
			o.Settings.Switches.OrganizationReaders = "management"
			o.Structure.Management, o.Structure.Delegates = o.Accounts[1].ID, nil
		},
		"1002": func(o *simcloud.Organization, _ *huawei.Config) {
			o.Structure.Management, o.Structure.Delegates = o.Accounts[1].ID, nil
		},
		"no rights": func(o *simcloud.Organization, _ *huawei.Config) {
			o.Accounts[0].Users[0].Actions = nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			org := simcloud.Bundled()
			prepare(org, nil)
			cloud, server := simulate(t, org, simcloud.Listen{})
			org = cloud.Organization()
			c, _ := open(t, orgConfig(org, server))
			for range 10 { // more often than a key may be refused
				_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
				u, ok := errors.AsType[*rules.Unknown](err)
				if !ok || u.Reason != rules.ReasonDenied || !strings.Contains(u.Remedy, "the action organizations:") ||
					!strings.Contains(u.Remedy, "delegated administrator") || !strings.Contains(u.Remedy, org.Accounts[0].ID) {
					t.Fatalf("%v, remedy %q", err, u.Remedy)
				}
			}
			if err := c.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, _, err := c.Observe(t.Context(), rules.Account{ID: org.Accounts[2].ID, Name: "x"}, baseline(), rules.Last{}); err != nil {
				t.Errorf("an account: %v", err)
			}
		})
	}
}

// TestOrganizationChangesWhileItIsRead: what differs is read once more, and believed when it then agrees.
func TestOrganizationChangesWhileItIsRead(t *testing.T) {
	for name, tc := range map[string]struct {
		times int
		ok    bool
	}{"once": {1, true}, "for ever": {1 << 30, false}} {
		t.Run(name, func(t *testing.T) {
			cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
			org := cloud.Organization()
			meter := &meter{}
			cfg := orgConfig(org, server)
			cfg.Meter = meter
			c, _ := open(t, cfg)
			moves := 0
			c.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					resp, err := next.RoundTrip(r)
					// Each time that all accounts were listed one is renamed, so that the tree shows another name.
					if r.URL.Path == "/v1/organizations/accounts" && r.URL.Query().Get("parent_id") == "" && moves < tc.times {
						moves++
						if err := cloud.Drift(simcloud.Drift{Kind: simcloud.DriftRename, Account: org.Accounts[3].ID, Name: fmt.Sprint("name-", moves)}); err != nil {
							t.Error(err)
						}
					}
					return resp, err
				})
			})
			is, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
			if tc.ok {
				if err != nil {
					t.Fatal(err)
				}
				if i := slices.IndexFunc(is.Members, func(m huawei.Member) bool { return m.Name == "name-1" }); i < 0 || len(meter.rejected) > 0 {
					t.Errorf("%d, rejected %q", i, meter.rejected)
				}
				return
			}
			u, ok := errors.AsType[*rules.Unknown](err)
			if !ok || u.Reason != rules.ReasonDisagree || !slices.Equal(meter.rejected, []string{"witness_mismatch"}) || moves != 2 {
				t.Errorf("%v after %d readings, rejected %q", err, moves, meter.rejected)
			}
		})
	}
}

// TestStatusesMustAgree: an account that one list calls suspended is not audited for what another list says.
func TestStatusesMustAgree(t *testing.T) {
	f := newFake(t, 2)
	f.lie("members", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if r.URL.Query().Get("parent_id") == "" {
			swap(`"status":"active"`, `"status":"suspended"`)(w, r, truth)
			return
		}
		truth(w, r)
	})
	c, _ := open(t, f.assuming())
	_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
	if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree || !strings.Contains(u.Detail, "suspended") {
		t.Errorf("%v", err)
	}
}

// TestAUnitInACircle is noticed as such, also when no account is in it.
func TestAUnitInACircle(t *testing.T) {
	f := newFake(t, 2)
	f.lie("units", say(200, `{"organizational_units":[{"id":"ou-1","name":"n"}],"page_info":{"current_count":1}}`))
	f.lie("members", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		switch q := r.URL.Query(); q.Get("parent_id") {
		case "ou-1":
			say(200, `{"accounts":[],"page_info":{"current_count":0}}`)(w, r, truth)
		case "r-1":
			q.Set("parent_id", "")
			r.URL.RawQuery = q.Encode()
			truth(w, r)
		default:
			truth(w, r)
		}
	})
	c, _ := open(t, f.assuming())
	_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
	if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree || !strings.Contains(u.Detail, "two places") {
		t.Errorf("%v", err)
	}
}

// TestNoOrganization has programs that have nowhere or nobody to ask.
func TestNoOrganization(t *testing.T) {
	f := newFake(t, 1)
	without := f.assuming()
	without.Endpoints.Organizations = ""
	for name, cfg := range map[string]huawei.Config{"no identity": f.config(), "no endpoint": without} {
		c, _ := open(t, cfg)
		_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDenied || u.Remedy == "" {
			t.Errorf("%s: %v", name, err)
		}
		if sent := f.log(); len(sent) > 0 {
			t.Errorf("%s: sent %q", name, sent)
		}
	}
}

// TestOrganizationLies has lists that the simulated cloud does not tell.
func TestOrganizationLies(t *testing.T) {
	const end = `"page_info":{"next_marker":null,"current_count":`
	row := func(id, more string) string {
		return `{"id":"` + id + `","name":"n","status":"active","joined_at":"2024-09-02T06:11:27Z"` + more + `}`
	}
	for name, tc := range map[string]struct {
		on, body  string
		rejection string
		reason    rules.Reason
	}{
		"two roots":          {"roots", `{"roots":[{"id":"r-1"},{"id":"r-2"}],` + end + `2}}`, "item", rules.ReasonRejected},
		"no root":            {"roots", `{"roots":[],` + end + `0}}`, "item", rules.ReasonRejected},
		"a root without id":  {"roots", `{"roots":[{"id":""}],` + end + `1}}`, "item", rules.ReasonRejected},
		"a path as an id":    {"units", `{"organizational_units":[{"id":"../x","name":"n"}],` + end + `1}}`, "item", rules.ReasonRejected},
		"a unit in a circle": {"units", `{"organizational_units":[{"id":"ou-1","name":"n"}],` + end + `1}}`, "witness_mismatch", rules.ReasonDisagree},
		"no management":      {"organization", `{"organization":{"id":"o-1","management_account_id":""}}`, "item", rules.ReasonRejected},
		"another management": {"organization", `{"organization":{"id":"o-1","management_account_id":"m2"}}`, "witness_mismatch", rules.ReasonIncomplete},
		"no status": {
			"members", `{"accounts":[{"id":"a","name":"n","joined_at":"2024-09-02T06:11:27Z"}],` + end + `1}}`, "item", rules.ReasonRejected,
		},
		"no time":      {"members", `{"accounts":[{"id":"a","name":"n","status":"active"}],` + end + `1}}`, "item", rules.ReasonRejected},
		"no page info": {"members", `{"accounts":[` + row("a", "") + `]}`, "envelope", rules.ReasonRejected},
		"no count":     {"members", `{"accounts":[],"page_info":{"next_marker":null}}`, "envelope", rules.ReasonRejected},
		"another count": {
			"members", `{"accounts":[` + row("a", "") + `],` + end + `2}}`, "count_mismatch", rules.ReasonDisagree,
		},
		"without the main account": {"members", `{"accounts":[` + row("a", "") + `],` + end + `1}}`, "witness_mismatch", rules.ReasonDisagree},
		"twice":                    {"members", `{"accounts":[` + row("a", "") + "," + row("a", "") + `],` + end + `2}}`, "item", rules.ReasonRejected},
		"a tag twice": {
			"tags", `{"tags":[{"key":"k","value":"1"},{"key":"k","value":"2"}],` + end + `2}}`, "item", rules.ReasonRejected,
		},
		"a tag without a value": {"tags", `{"tags":[{"key":"k"}],` + end + `1}}`, "item", rules.ReasonRejected},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 2)
			f.lie(tc.on, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(tc.body))
			})
			m := &meter{}
			cfg := f.assuming()
			cfg.Meter = m
			c, _ := open(t, cfg)
			is, err := c.Organization(t.Context(), huawei.OrganizationQuery{Tags: true})
			u, ok := errors.AsType[*rules.Unknown](err)
			if !ok || u.Reason != tc.reason || len(m.rejected) == 0 || m.rejected[0] != tc.rejection || is.Members != nil {
				t.Errorf("%v, rejected %q, want %s %s", err, m.rejected, tc.reason, tc.rejection)
			}
		})
	}
}

// TestARefusedKeyEndsTheListing: unlike a refusal of rights it is not tried again.
func TestARefusedKeyEndsTheListing(t *testing.T) {
	f := newFake(t, 2)
	refuse := func(code string) func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { f.gateway(w, 401, code, "no") }
	}
	for _, code := range []string{"APIGW.0301", "Organizations.1004", ""} {
		c, _ := open(t, f.assuming())
		f.lie("units", refuse(code))
		_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonUnauthenticated {
			t.Errorf("%q: %v", code, err)
		}
		f.log()
		if _, err := c.Organization(t.Context(), huawei.OrganizationQuery{}); err == nil {
			t.Errorf("%q: listed with a refused key", code)
		}
		if sent := f.log(); len(sent) > 0 {
			t.Errorf("%q: sent %q", code, sent)
		}
	}
	// The word of Organizations counts of its own operations alone.
	f.lie("units", nil)
	f.lie("domains", refuse("Organizations.1001"))
	c, _ := open(t, f.assuming())
	_, err := c.Organization(t.Context(), huawei.OrganizationQuery{})
	if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonUnauthenticated {
		t.Errorf("by IAM: %v", err)
	}
}

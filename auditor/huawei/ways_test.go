package huawei_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
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

// TestMembersOfTheSimulatedCloud enters all members by one way and none by name, and compares what was read with what is there.
func TestMembersOfTheSimulatedCloud(t *testing.T) {
	unreadable := map[string]rules.Reason{
		"suspended": rules.ReasonDenied, "audit-agency-missing": rules.ReasonDenied, "audit-agency-trusts-another": rules.ReasonDenied,
		"audit-agency-without-rights": rules.ReasonDenied,
	}
	for name, access := range map[string]huawei.Access{
		"by IAM": {Agency: "AgencyAuditReader"}, "by STS": {Agency: "AgencyAuditReader", Via: huawei.ViaSTS},
	} {
		t.Run(name, func(t *testing.T) {
			cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
			org := cloud.Organization()
			m := &meter{}
			cfg := orgConfig(org, server)
			cfg.Accounts, cfg.Members, cfg.Meter = nil, access, m
			c, log := open(t, cfg)
			evidence, errs := observeAll(t, c, org)
			for i, a := range org.Accounts {
				u, _ := errors.AsType[*rules.Unknown](errs[i])
				switch reason := unreadable[a.Name]; {
				case reason == "" && errs[i] != nil:
					t.Errorf("%s: %v", a.Name, errs[i])
				case reason != "" && (u == nil || u.Reason != reason):
					t.Errorf("%s: %v, want %s", a.Name, errs[i], reason)
				case reason == "":
					wantLines(t, seen(evidence[i]), truth(cloud, a))
				}
			}
			sent := c.Requests()
			by, other := "CreateTemporaryAccessKeyByAgency", "AssumeAgency"
			if access.Via == huawei.ViaSTS {
				by, other = other, by
			}
			if sent[by] != int64(len(org.Accounts)-1) || sent[other] != 0 {
				t.Errorf("assumed %d agencies of %d accounts, and %d the other way", sent[by], len(org.Accounts), sent[other])
			}
			if i := slices.Index(m.refreshed, strings.ToLower(strings.TrimPrefix(name, "by "))+" came"); i < 0 {
				t.Errorf("refreshed %q", m.refreshed)
			}
			if strings.Contains(log.String(), org.Accounts[0].Users[0].Keys[0].Secret) {
				t.Error("the log holds a secret")
			}
		})
	}
}

// TestTrustAgency enters an account by a trust agency, which only STS can assume, and which wants to hear an external id.
func TestTrustAgency(t *testing.T) {
	cloud, server := simulate(t, simcloud.Bundled(), simcloud.Listen{})
	org := cloud.Organization()
	var target simcloud.Account
	var agency simcloud.Agency
	for _, a := range org.Accounts {
		for _, g := range a.Agencies {
			if g.TrustPolicy != nil && g.TrustPolicy.ExternalID != "" {
				target, agency = a, g
			}
		}
	}
	for name, tc := range map[string]struct {
		access huawei.Access
		ok     bool
	}{
		"right":         {huawei.Access{Agency: agency.Name, Via: huawei.ViaSTS, ExternalID: agency.TrustPolicy.ExternalID}, true},
		"another id":    {huawei.Access{Agency: agency.Name, Via: huawei.ViaSTS, ExternalID: "open"}, false},
		"no id":         {huawei.Access{Agency: agency.Name, Via: huawei.ViaSTS}, false},
		"by IAM":        {huawei.Access{Agency: agency.Name}, false},
		"no such thing": {huawei.Access{Agency: "Nobody", Via: huawei.ViaSTS}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := orgConfig(org, server)
			cfg.Accounts = map[string]huawei.Access{target.ID: tc.access}
			c, _ := open(t, cfg)
			ev, _, err := c.Observe(t.Context(), rules.Account{ID: target.ID, Name: target.Name}, baseline(), rules.Last{})
			if tc.ok {
				if err != nil {
					t.Fatal(err)
				}
				wantLines(t, seen(ev), truth(cloud, target))
				return
			}
			u, ok := errors.AsType[*rules.Unknown](err)
			if !ok || u.Reason != rules.ReasonDenied || (tc.access.Via == huawei.ViaSTS && !strings.Contains(u.Remedy, "external id")) {
				t.Errorf("%v, remedy %v", err, u)
			}
		})
	}
}

// TestAnAbsenceByATrustAgency: the list of agencies does not show the agency that let the program in, which is no fault of the list.
func TestAnAbsenceByATrustAgency(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].agencies = nil
	cfg := f.assuming()
	cfg.Accounts = map[string]huawei.Access{accountID(0): {Agency: "Reader", Via: huawei.ViaSTS}}
	c, _ := open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err != nil {
		t.Error(err)
	}
}

// TestKeysOfAnotherAccount has the cloud hand out good keys of another account, by both ways. Nothing that they show is evidence.
func TestKeysOfAnotherAccount(t *testing.T) {
	for operation, access := range map[string]huawei.Access{
		"CreateTemporaryAccessKeyByAgency": {Agency: "AgencyAuditReader"},
		"AssumeAgency":                     {Agency: "AgencyAuditReader", Via: huawei.ViaSTS},
	} {
		for _, style := range []string{"foreign_keys", "expired_keys", "garbage_keys", "no_expiry"} {
			t.Run(operation+" "+style, func(t *testing.T) {
				org := simcloud.Bundled()
				org.Settings.Failures = []simcloud.Failure{{Operation: operation, Style: style}}
				cloud, server := simulate(t, org, simcloud.Listen{})
				org = cloud.Organization()
				cfg := orgConfig(org, server)
				cfg.Accounts, cfg.Members = nil, access
				c, _ := open(t, cfg)
				for _, a := range org.Accounts[2:6] {
					if _, _, err := c.Observe(t.Context(), rules.Account{ID: a.ID, Name: a.Name}, baseline(), rules.Last{}); err == nil {
						t.Errorf("%s was read", a.Name)
					}
				}
			})
		}
	}
}

// TestWhatIsSentToSTS looks at the request, for keys of either kind.
func TestWhatIsSentToSTS(t *testing.T) {
	for name, tc := range map[string]struct {
		token    string
		duration time.Duration
		seconds  int
	}{
		"permanent": {"", 20 * time.Hour, 43200}, "temporary": {"token", 20 * time.Hour, 3600}, "short": {"token", 20 * time.Minute, 1200},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			var got []byte
			f.lie("assumeSTS", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				got, _ = io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(got)))
				truth(w, r)
			})
			cfg := f.assuming()
			cfg.Main.Keys.SecurityToken = huawei.NewSecret(tc.token)
			cfg.SessionName, cfg.SessionDuration = "auditor-1", tc.duration
			cfg.Accounts = map[string]huawei.Access{accountID(0): {Agency: "Reader", Via: huawei.ViaSTS, ExternalID: "sesame"}}
			c, _ := open(t, cfg)
			mustObserve(t, c, 0)
			var body map[string]any
			if err := json.Unmarshal(got, &body); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"agency_urn": "iam::" + accountID(0) + ":agency:Reader", "agency_session_name": "auditor-1",
				"duration_seconds": float64(tc.seconds), "external_id": "sesame",
			}
			if !maps.Equal(body, want) {
				t.Errorf("sent %v, want %v", body, want)
			}
		})
	}
}

// TestAnswersOfSTS has answers that STS must not give.
func TestAnswersOfSTS(t *testing.T) {
	id := accountID(0)
	good := map[string]string{
		"urn": "sts::" + id + "::assumed-agency:Reader/agencyaudit", "id": id32(1) + ":agencyaudit", "ak": "TK-" + id + "-1", "sk": "canary",
		"token": "canary-token", "end": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	for name, change := range map[string]map[string]string{
		"good":            {},
		"another account": {"urn": "sts::" + accountID(1) + "::assumed-agency:Reader/agencyaudit"},
		"another agency":  {"urn": "sts::" + id + "::assumed-agency:Writer/agencyaudit"},
		"another session": {"urn": "sts::" + id + "::assumed-agency:Reader/somebody"},
		"more behind":     {"urn": "sts::" + id + "::assumed-agency:Reader/agencyaudit/x"},
		"no urn":          {"urn": ""},
		"another id":      {"id": id32(1) + ":somebody"},
		"no id":           {"id": ""},
		"no secret":       {"sk": ""},
		"no token":        {"token": ""},
		"ended":           {"end": "2024-09-02T06:11:27.000Z"},
		"no end":          {"end": ""},
		"no time":         {"end": "soon"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 1)
			a := maps.Clone(good)
			maps.Copy(a, change)
			f.lie("assumeSTS", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
				f.json(w, 200, map[string]any{
					"assumed_agency": map[string]any{"urn": a["urn"], "id": a["id"]},
					"credentials": map[string]any{
						"access_key_id": a["ak"], "secret_access_key": a["sk"], "security_token": a["token"], "expiration": a["end"],
					},
				})
			})
			m := &meter{}
			cfg := f.assuming()
			cfg.Meter = m
			cfg.Accounts = map[string]huawei.Access{id: {Agency: "Reader", Via: huawei.ViaSTS}}
			c, log := open(t, cfg)
			if name == "good" {
				mustObserve(t, c, 0)
				return
			}
			u := unknown(t, c, 0, rules.ReasonRejected)
			if asked(f.log(), "agencies") > 0 {
				t.Error("something was read with the keys")
			}
			if !slices.Equal(m.refreshed, []string{"sts refused"}) {
				t.Errorf("refreshed %q", m.refreshed)
			}
			if strings.Contains(log.String()+u.Error(), "canary") {
				t.Errorf("a secret came out: %v", u)
			}
		})
	}
}

// TestKeysOfSTSDoNotOutliveWhatWasAskedFor: the SDK reads an end with an offset as if it were in UTC.
func TestKeysOfSTSDoNotOutliveWhatWasAskedFor(t *testing.T) {
	f := newFake(t, 1)
	id := accountID(0)
	f.lie("assumeSTS", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		f.json(w, 200, map[string]any{
			"assumed_agency": map[string]any{"urn": "sts::" + id + "::assumed-agency:Reader/agencyaudit", "id": id32(1) + ":agencyaudit"},
			"credentials": map[string]any{
				"access_key_id": "TK-" + id + "-1", "secret_access_key": "s", "security_token": "t",
				"expiration": time.Now().Add(9 * time.Hour).UTC().Format("2006-01-02T15:04:05+08:00"),
			},
		})
	})
	cfg := f.assuming()
	var clk clock
	cfg.Now = clk.now
	cfg.Accounts = map[string]huawei.Access{id: {Agency: "Reader", Via: huawei.ViaSTS}}
	c, _ := open(t, cfg)
	mustObserve(t, c, 0)
	clk.advance(56 * time.Minute)
	mustObserve(t, c, 0)
	if n := asked(f.log(), "assumeSTS"); n != 2 {
		t.Errorf("assumed %d times", n)
	}
}

// TestMembersGetADoorEach: many at once, the same account too.
func TestMembersGetADoorEach(t *testing.T) {
	f := newFake(t, 20)
	cfg := f.assuming()
	cfg.Accounts, cfg.Members = nil, huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
	c, _ := open(t, cfg)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() { mustObserve(t, c, i%20) })
	}
	wg.Wait()
	if n := asked(f.log(), "assumeSTS"); n != 20 {
		t.Errorf("assumed %d times for 20 accounts", n)
	}
	if _, _, err := c.Observe(t.Context(), rules.Account{ID: "../x", Name: "x"}, baseline(), rules.Last{}); err == nil {
		t.Error("entered what is no account")
	}
}

// TestKeysAreInherited by a Cloud that would make the same, and by no other.
func TestKeysAreInherited(t *testing.T) {
	for name, tc := range map[string]struct {
		change    func(cfg *huawei.Config)
		inherited int
	}{
		"nothing changed": {func(*huawei.Config) {}, 3},
		"other limits":    {func(cfg *huawei.Config) { cfg.MaxPages, cfg.Rate = 7, huawei.Rate{Total: 1000} }, 3},
		"an account's way": {func(cfg *huawei.Config) {
			cfg.Accounts[accountID(0)] = huawei.Access{Agency: "Other", Via: huawei.ViaSTS}
		}, 2},
		"all ways":         {func(cfg *huawei.Config) { cfg.Members.ExternalID = "audit-4711" }, 0},
		"another main key": {func(cfg *huawei.Config) { cfg.Main.Keys.AccessKey = huawei.NewSecret("another-access-key") }, 0},
		"another account of the main identity": {func(cfg *huawei.Config) {
			cfg.Main.AccountID = mainID
			cfg.Main.Chain = &huawei.Chain{AccountID: accountID(2), Access: huawei.Access{Agency: "Hop", Via: huawei.ViaSTS}}
		}, 0},
		"another session":      {func(cfg *huawei.Config) { cfg.SessionName = "another" }, 0},
		"another address":      {func(cfg *huawei.Config) { cfg.Endpoints.Organizations = "https://organizations.example.com" }, 0},
		"keys that nearly end": {func(cfg *huawei.Config) { cfg.Now = func() time.Time { return time.Now().Add(58 * time.Minute) } }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 3)
			cfg := f.assuming()
			cfg.Accounts, cfg.Members = map[string]huawei.Access{}, huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
			was, _ := open(t, cfg)
			for i := range 3 {
				mustObserve(t, was, i)
			}
			tc.change(&cfg)
			is, _ := open(t, cfg)
			is.Inherit(was)
			_ = f.log()
			entered := 0
			for i := range 3 {
				_, _, err := is.Observe(t.Context(), rules.Account{ID: accountID(i), Name: "x"}, baseline(), rules.Last{})
				if err == nil {
					entered++
				}
			}
			if n := entered - asked(f.log(), "assumeSTS"); n != tc.inherited {
				t.Errorf("%d accounts were read with keys that were there, want %d", n, tc.inherited)
			}
		})
	}
}

// TestWaysThatAreKept are as good as configured ones, until they are no longer kept.
func TestWaysThatAreKept(t *testing.T) {
	f := newFake(t, 4)
	keys := f.config().Accounts
	reader := huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
	cfg := f.assuming()
	cfg.Accounts = map[string]huawei.Access{accountID(0): reader, accountID(1): keys[accountID(1)], accountID(2): reader}
	was, _ := open(t, cfg)
	for i := range 3 {
		mustObserve(t, was, i)
	}
	_ = f.log()
	m := &meter{}
	cfg.Meter = m
	cfg.Accounts = map[string]huawei.Access{accountID(2): {Agency: "Other", Via: huawei.ViaSTS}}
	is, _ := open(t, cfg)
	wantUnknown(t, is, 0, rules.ReasonDenied)
	is.Keep(map[string]huawei.Access{
		accountID(0): reader, accountID(1): keys[accountID(1)], accountID(2): reader, "../x": reader, mainID: {Agency: "Other"},
		accountID(3): keys[accountID(3)],
	})
	is.Inherit(was)
	mustObserve(t, is, 0)
	mustObserve(t, is, 1)
	if sent := f.log(); asked(sent, "assumeSTS") > 0 {
		t.Errorf("what was assumed before is assumed again: %q", sent)
	}
	_, _, _ = is.Observe(t.Context(), account(2), baseline(), rules.Last{})
	_, _, _ = is.Observe(t.Context(), rules.Account{ID: mainID, Name: "main"}, baseline(), rules.Last{})
	_, _, _ = is.Observe(t.Context(), rules.Account{ID: "../x", Name: "x"}, baseline(), rules.Last{})
	if sent := f.log(); asked(sent, "assumeSTS") != 1 || asked(sent, "assume") > 0 {
		t.Errorf("what is configured is not entered as configured, or what is no account is: %q", sent)
	}
	f.lie("agencies "+accountID(3), say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`))
	unknown(t, is, 3, rules.ReasonUnauthenticated)
	if m.accounts != 1 {
		t.Errorf("%d breakers of accounts are open", m.accounts)
	}
	is.Keep(map[string]huawei.Access{accountID(0): {Agency: "Reader", Via: huawei.ViaSTS, ExternalID: "sesame"}})
	if m.accounts != 0 {
		t.Error("a breaker is open that stands before nothing")
	}
	_, _, _ = is.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if sent := f.log(); asked(sent, "assumeSTS") != 1 {
		t.Errorf("another way, and the keys of the one before: %q", sent)
	}
	is.Keep(nil)
	wantUnknown(t, is, 0, rules.ReasonDenied)
	wantUnknown(t, is, 1, rules.ReasonDenied)
	if sent := f.log(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}

	// It goes before the way into members, and that is there again afterwards.
	cfg.Accounts, cfg.Members = nil, reader
	is, _ = open(t, cfg)
	mustObserve(t, is, 0)
	is.Keep(map[string]huawei.Access{accountID(0): keys[accountID(0)]})
	mustObserve(t, is, 0)
	is.Keep(nil)
	mustObserve(t, is, 0)
	if sent := f.log(); asked(sent, "assumeSTS") != 2 {
		t.Errorf("sent %q", sent)
	}

	// An agency wants somebody who assumes it.
	cfg = f.config()
	cfg.Accounts = nil
	is, _ = open(t, cfg)
	is.Keep(map[string]huawei.Access{accountID(0): reader, accountID(1): {Agency: "Reader"}, accountID(2): {}})
	for i := range 3 {
		wantUnknown(t, is, i, rules.ReasonDenied)
	}
	if sent := f.log(); len(sent) > 0 {
		t.Errorf("sent %q", sent)
	}
}

// TestTheMainAccountIsReadWithItsOwnKeys, unless it is listed; without members nobody else is.
func TestTheMainAccountIsReadWithItsOwnKeys(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[mainID] = f.accounts[accountID(0)]
	f.accounts[mainID].agencies[0]["domain_id"] = mainID
	f.accounts[mainID].grants = map[string][]fakeGrant{}
	cfg := f.assuming()
	cfg.Accounts = nil
	main := rules.Account{ID: mainID, Name: "main"}
	for _, members := range []huawei.Access{{}, {Agency: "Reader"}} {
		cfg.Members = members
		c, _ := open(t, cfg)
		if _, _, err := c.Observe(t.Context(), main, baseline(), rules.Last{}); err != nil {
			t.Error(err)
		}
		if sent := f.log(); asked(sent, "assume") > 0 || !slices.Contains(sent, "agencies "+mainID) {
			t.Errorf("sent %q", sent)
		}
	}
	cfg.Members = huawei.Access{}
	c, _ := open(t, cfg)
	unknown(t, c, 0, rules.ReasonDenied)
	cfg.Accounts = map[string]huawei.Access{mainID: {Agency: "Reader"}}
	c, _ = open(t, cfg)
	_, _, _ = c.Observe(t.Context(), main, baseline(), rules.Last{})
	if sent := f.log(); asked(sent, "assume") != 1 {
		t.Errorf("sent %q", sent)
	}
}

// TestAccessesThatCannotBe has configurations of ways in.
func TestAccessesThatCannotBe(t *testing.T) {
	key := huawei.Keys{AccessKey: huawei.NewSecret("a"), SecretKey: huawei.NewSecret("s")}
	good := huawei.Access{Agency: "Reader", Via: huawei.ViaSTS, ExternalID: "sesame"}
	f := newFake(t, 0)
	for i, a := range []huawei.Access{
		{Keys: key, Via: huawei.ViaSTS}, {Keys: key, ExternalID: "sesame"}, {Agency: "Reader", ExternalID: "sesame"},
		{Agency: "Reader", Via: 7}, {Agency: "a:b", Via: huawei.ViaSTS}, {Agency: "a/b", Via: huawei.ViaSTS},
		{Agency: "Reader", Via: huawei.ViaSTS, ExternalID: "s"}, {Agency: "Reader", Via: huawei.ViaSTS, ExternalID: strings.Repeat("é", 1225)},
		{Agency: "Reader", Via: huawei.ViaSTS, ExternalID: "\xff\xfe"}, {Via: huawei.ViaSTS}, {ExternalID: "sesame"},
	} {
		cfg := f.assuming()
		cfg.Accounts = map[string]huawei.Access{accountID(0): a}
		if _, err := huawei.New(cfg, nil); err == nil {
			t.Errorf("%d: accepted for an account", i)
		}
		cfg.Accounts, cfg.Members = nil, a
		if _, err := huawei.New(cfg, nil); err == nil {
			t.Errorf("%d: accepted for members", i)
		}
	}
	for name, change := range map[string]func(*huawei.Config){
		"no address of STS": func(c *huawei.Config) { c.Endpoints.STS = "" },
		"no identity":       func(c *huawei.Config) { c.Main = huawei.Identity{} },
		"keys for all":      func(c *huawei.Config) { c.Members = huawei.Access{Keys: key} },
		"no address of IAM": func(c *huawei.Config) { c.Endpoints.IAM = "" },
		"no address":        func(c *huawei.Config) { c.Endpoints.STS = "https://sts/x" },
		"":                  func(*huawei.Config) {},
	} {
		cfg := f.assuming()
		cfg.Members = good
		change(&cfg)
		if _, err := huawei.New(cfg, nil); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, fmt.Sprint(err))
		}
	}
}

// TestTheAccountBehindAnAgency: keys that IAM made are asked about before anything is read with them, once for as long as they last.
// With those of another account nothing is read at all.
func TestTheAccountBehindAnAgency(t *testing.T) {
	f := newFake(t, 3)
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.assuming())
		for run, asks := range []int{1, 0, 1} {
			b.forget()
			wantReasons(t, b.run(), map[rules.Reason]int{"": 3})
			for id := range f.accounts {
				sent := b.of(id)
				about := slices.DeleteFunc(slices.Clone(sent), func(s sending) bool { return s.operation != "domains" })
				if len(about) != asks || asks == 1 && sent[0].operation != "domains" {
					t.Errorf("run %d: asked %d times, and first of all about %s", run, len(about), sent[0].operation)
				}
			}
			passes(30 * time.Minute)
		}
		passes(time.Hour)
		f.lie("domains "+accountID(0), say(200, `{"domains":[{"id":"`+accountID(1)+`","name":"n","enabled":true,"description":""}]}`))
		for range 2 { // nor is it forgotten
			b.forget()
			run := b.run()
			wantReasons(t, run, map[rules.Reason]int{"": 2, rules.ReasonUnauthenticated: 1})
			want := "the key must belong to account " + accountID(0) + ", and the cloud says that it belongs to account " + accountID(1)
			if u := run.Sweeps[0].Report.Unknown; u == nil || !strings.Contains(u.Detail, want) || !strings.Contains(u.Remedy, "let the agency be assumed") {
				t.Errorf("%v", u)
			}
			if sent := b.of(accountID(0)); len(sent) != 1 || sent[0].operation != "domains" {
				t.Errorf("sent %v", sent)
			}
		}
		// The doctor asks by himself, and what he found out does not pass for an answer afterwards.
		p := b.cloud.Probe(t.Context(), account(0), []string{coc})
		if p.Well() || p.Tries[0].Outcome != "ok" || p.Tries[1].Outcome != "failed" {
			t.Errorf("the doctor says %+v", p.Tries[:2])
		}
		unknown(t, b.cloud, 0, rules.ReasonUnauthenticated)
		// That it is of nobody does not speak against it, and is no proof: the rows say whose they are, and an absence is not believed.
		f.lie("domains "+accountID(0), say(200, `{"domains":[]}`))
		mustObserve(t, b.cloud, 0)
		f.accounts[accountID(0)].agencies = nil
		unknown(t, b.cloud, 0, rules.ReasonUnauthenticated)
	})
}

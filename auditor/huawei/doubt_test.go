package huawei_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// swap replaces each occurrence of a text in the truth, which must have it.
func swap(old, replacement string) answerFunc {
	return edit(func(b string) string {
		if !strings.Contains(b, old) {
			panic(fmt.Sprintf("%q is not in %s", old, b))
		}
		return strings.ReplaceAll(b, old, replacement)
	})
}

// custom is a custom policy that allows everything.
func custom(n int, account any) map[string]any {
	return map[string]any{
		"id": id32(n), "name": "custom_1", "type": "AX", "catalog": "CUSTOMED", "display_name": "DCS UserAccess",
		"domain_id": account, "policy": document("*:*:*"),
	}
}

// TestAnswersThatUnderstate gives answers of the documented form that would let an agency look smaller, younger or less
// dangerous than it may be.
func TestAnswersThatUnderstate(t *testing.T) {
	id := accountID(0)
	const agencies, policy, domain, inherited = "agencies", "policy", "domain", "inherited"
	disagree, rejected := rules.ReasonDisagree, rules.ReasonRejected
	for _, lie := range []struct {
		name, on string
		reason   rules.Reason
		says     string
		answer   answerFunc
	}{
		{"global grant that is neither", domain, rejected, "is inherited", swap(`"is_inherited":false`, `"x":1`)},
		{"inherited grant that is neither", inherited, rejected, "is inherited", swap(`"is_inherited":true`, `"is_inherited":null`)},
		{"custom policy of nobody", policy, rejected, "no account", swap(`"domain_id":"`+id+`"`, `"domain_id":null`)},
		{"policy without owner", policy, rejected, `"domain_id"`, swap(`"domain_id"`, `"domain"`)},
		{"policy without document", policy, rejected, "allows", swap(`"policy":{`, `"p":{`)},
		{"policy without statements", policy, rejected, "allows", swap(`"Statement":`, `"S":`)},
		{"statement without effect", policy, rejected, "allows", swap(`"Effect":`, `"E":`)},
		{"statement with another effect", policy, rejected, "allows", swap(`"Allow"`, `"allow"`)},
		{"statement without actions", policy, rejected, "allows", swap(`"Action":`, `"A":`)},
		{"catalogue without owners", "catalogue", rejected, `"domain_id"`, swap(`"domain_id"`, `"domain"`)},
		{"catalogue with a custom policy", "catalogue", rejected, "no account", swap(`"BASE"`, `"CUSTOMED"`)},
		{"catalogue that goes on", "catalogue", rejected, "names a next one", swap(`"links":{}`, `"links":{"next":"x"}`)},
		{"agency without name", agencies, rejected, "without a name", swap(`"name":"`+coc+`"`, `"name":""`)},
		{"agency without end", agencies, rejected, `"expire_time"`, swap(`"expire_time"`, `"expires"`)},
		{"agency of a day without end", agencies, disagree, "no end", swap(`"FOREVER"`, `"24"`)},
		{"agency with two ends", agencies, rejected, "twice", swap(`"expire_time":null`, `"expire_time":"2020-01-01T00:00:00","expire_\u0074ime":null`)},
		{"agency trusted twice", agencies, rejected, "which is spelt", swap(`"trust_domain_name":`, `"Trust_domain_name":"evil","trust_domain_name":`)},
		{"agency trusted in lower case", agencies, rejected, "which is spelt", swap(`"trust_domain_id":`, `"trust_doma\u0130n_id":`)},
		{"effect twice", policy, rejected, "twice", swap(`"Effect":`, `"Effect":"Deny","effect":`)},
		{"description twice", policy, rejected, "twice", swap(`"type":`, `"description":"","Descr\u0130ption":"","type":`)},
		{"too many members", domain, rejected, "128", swap(`"total_num":`, func() string {
			var b strings.Builder
			for i := range 127 {
				fmt.Fprintf(&b, `"m%d":0,`, i)
			}
			return b.String() + `"total_num":`
		}())},
	} {
		t.Run(lie.name, func(t *testing.T) {
			f := newFake(t, 1)
			a := f.accounts[id]
			a.grants[inherited] = append(a.grants[inherited], fakeGrant{id32(9001), id})
			a.custom[id32(9001)] = custom(9001, id)
			c, _ := open(t, f.config())
			f.lie(lie.on, lie.answer)
			if u := unknown(t, c, 0, lie.reason); !strings.Contains(u.Detail, lie.says) || u.RequestID == "" {
				t.Errorf("%+v does not say %q, or of which request", u, lie.says)
			}
			f.lie(lie.on, nil)
			mustObserve(t, c, 0)
		})
	}
}

// TestRowsOfTheWholeListAreHeldToTheSame: they reach reports when the agency is absent.
func TestRowsOfTheWholeListAreHeldToTheSame(t *testing.T) {
	for name, row := range map[string][2]string{
		"an id that does not print": {"\u009b31m" + id32(1), "other"}, "no id": {"", "other"}, "no name": {id32(1), ""}, "twice": {id32(1), "x"},
	} {
		f := newFake(t, 1)
		g := agency(accountID(0), row[1], 1)
		g["id"] = row[0]
		f.accounts[accountID(0)].agencies = []map[string]any{g}
		if name == "twice" {
			f.accounts[accountID(0)].agencies = []map[string]any{g, g}
		}
		f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if r.URL.Query().Get("name") != "" {
				say(200, `{"agencies":[]}`)(w, r, truth)
				return
			}
			truth(w, r)
		})
		c, log := open(t, f.config())
		u := unknown(t, c, 0, rules.ReasonRejected)
		if u.RequestID == "" || strings.Contains(u.Detail+log.String(), "\u009b") {
			t.Errorf("%s: %+v", name, u)
		}
	}
}

func TestAbsenceIsBelievedOfTheAccountsOwnKey(t *testing.T) {
	f := newFake(t, 2)
	f.accounts[accountID(0)].agencies = nil
	cfg := f.config()
	cfg.Accounts[accountID(0)] = cfg.Accounts[accountID(1)] // the other account's key
	f.lie("agencies", say(200, `{"agencies":[]}`))
	c, _ := open(t, cfg)
	u := unknown(t, c, 0, rules.ReasonUnauthenticated)
	if !strings.Contains(u.Detail, accountID(0)) || !strings.Contains(u.Detail, accountID(1)) || u.RequestID == "" {
		t.Errorf("%+v", u)
	}
	cfg = f.config()
	c, _ = open(t, cfg)
	ev, trail, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if _, ok := ev.Agency(); err != nil || ok || trail.Requests != 3 {
		t.Errorf("%v, %d requests", err, trail.Requests)
	}
	f.lie("domains", say(200, `{"domains":[]}`))
	wantUnknown(t, c, 0, rules.ReasonUnauthenticated)
	f.lie("domains", say(403, `{}`))
	wantUnknown(t, c, 0, rules.ReasonDenied)
}

func TestAbsenceIsNotBelievedOfAListWithoutTheWayIn(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].agencies = []map[string]any{agency(accountID(0), "reader", 1)}
	c, _ := open(t, f.assuming())
	if u := unknown(t, c, 0, rules.ReasonIncomplete); !strings.Contains(u.Detail, `"Reader"`) || u.RequestID == "" {
		t.Errorf("%+v", u)
	}
	f.accounts[accountID(0)].agencies = []map[string]any{agency(accountID(0), "Reader", 1)}
	if _, ok := mustObserve(t, c, 0).Agency(); ok {
		t.Error("found")
	}
}

// TestAbsentPlaneIsBelievedTheSecondTime: after all other planes, and a plane that is there after all is read.
func TestAbsentPlaneIsBelievedTheSecondTime(t *testing.T) {
	for plane, kind := range map[string]rules.ScopeKind{"enterprise_project": rules.EnterpriseProject, "attached": rules.Identity} {
		f := newFake(t, 1)
		f.accounts[accountID(0)].grants["enterprise_project"] = []fakeGrant{{id32(roleFull), "0"}}
		f.accounts[accountID(0)].attached = []map[string]any{
			{"policy_id": "a", "policy_name": "x", "urn": "", "attached_at": "2025-01-01T00:00:00Z"},
			{"policy_id": "b", "policy_name": "y", "urn": "", "attached_at": "2025-01-01T00:00:00Z"},
		}
		missing := func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { f.gateway(w, 404, "APIGW.0101", "x") }
		var n atomic.Int32
		once := func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if n.Add(1) == 1 {
				missing(w, r, truth)
				return
			}
			truth(w, r)
		}
		c, _ := open(t, f.config())
		f.lie(plane, once)
		for _, p := range mustObserve(t, c, 0).Planes() {
			if p.Kind == kind && (p.State != rules.PlaneRead || len(p.Grants) == 0) {
				t.Errorf("%+v", p)
			}
		}
		f.log()
		f.lie(plane, missing)
		for _, p := range mustObserve(t, c, 0).Planes() {
			if p.Kind == kind && (p.State != rules.PlaneAbsent || len(p.RequestIDs) != 2) {
				t.Errorf("%+v", p)
			}
		}
		if sent := f.log(); asked(sent, plane) != 2 || len(sent) != 7 {
			t.Errorf("sent %q", sent)
		}
		var others, refusals atomic.Int32
		for _, other := range []string{"domain", "inherited", "project"} {
			f.lie(other, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				truth(w, r)
				others.Add(1)
			})
		}
		f.lie(plane, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if n := others.Load(); refusals.Add(1) == 2 && n != 3 {
				t.Errorf("%s: asked again after %d other planes", plane, n)
			}
			missing(w, r, truth)
		})
		mustObserve(t, c, 0)
		// One answer that comes twice is one witness.
		f.lie(plane, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			w.Header().Set("X-Request-Id", "stored")
			missing(w, r, truth)
		})
		if u := unknown(t, c, 0, rules.ReasonDisagree); u.RequestID != "stored" {
			t.Errorf("stored: %v", u)
		}
		// Once something was answered, the plane is there.
		f.pageCap = 1
		if plane == "enterprise_project" {
			f.accounts[accountID(0)].grants[plane] = append(f.accounts[accountID(0)].grants[plane], fakeGrant{id32(roleFull), "1"})
		}
		f.lie(plane, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if q := r.URL.Query(); q.Get("page") == "2" || q.Get("marker") != "" {
				missing(w, r, truth)
				return
			}
			truth(w, r)
		})
		wantUnknown(t, c, 0, rules.ReasonRejected)
	}
}

// TestNoGarbageMeansThatAPlaneIsAbsent, or that a policy does not exist: both are answers, and are held to the form of one.
func TestNoGarbageMeansThatAPlaneIsAbsent(t *testing.T) {
	id := accountID(0)
	answer := func(status int, kind, encoding, body string) answerFunc {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", kind)
			if encoding != "" {
				w.Header().Set("Content-Encoding", encoding)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const (
		absent  = `{"error_code":"APIGW.0101","error_msg":"x","request_id":"y"}`
		missing = `{"error":{"message":"Could not find role","code":404,"title":"Not Found"}}`
		json    = "application/json"
	)
	for _, tc := range []struct {
		name, on string
		answer   answerFunc
		believed bool
	}{
		{"absent plane", "attached", answer(404, json, "", absent), true},
		{"missing policy", "policy", answer(404, json, "", missing), true},
		{"another status", "attached", answer(400, json, "", absent), false},
		{"another type", "attached", answer(404, "text/html", "", absent), false},
		{"compressed", "attached", answer(404, json, "gzip", absent), false},
		{"in capitals", "attached", answer(404, json, "", strings.Replace(absent, "error_code", "Error_Code", 1)), false},
		{"twice", "attached", answer(404, json, "", `{"Error_Code":"x",`+absent[1:]), false},
		{"further in", "attached", answer(404, json, "", `{"x":`+absent+`}`), false},
		{"in a list", "attached", answer(404, json, "", `[`+absent+`]`), false},
		{"and more", "attached", answer(404, json, "", absent+`{}`), false},
		{"in a long answer", "attached", answer(404, json, "", absent+strings.Repeat(" ", 64<<10)), false},
		{"another code", "attached", answer(404, json, "", strings.Replace(absent, "0101", "01011", 1)), false},
		{"policy of another type", "policy", answer(404, "text/html", "", missing), false},
		{"policy in capitals", "policy", answer(404, json, "", strings.Replace(missing, "error", "Error", 1)), false},
		{"policy without words", "policy", answer(404, json, "", `{"error":{}}`), false},
		{"policy with a text", "policy", answer(404, json, "", `{"error":"x"}`), false},
		{"policy twice", "policy", answer(404, json, "", `{"ERROR":0,`+missing[1:]), false},
		{"policy of a gateway", "policy", answer(404, json, "", absent), false},
		{"policy of nobody", "policy", answer(404, json, "", "{}"), false},
	} {
		f := newFake(t, 1)
		f.accounts[id].grants["inherited"] = append(f.accounts[id].grants["inherited"], fakeGrant{id32(9001), id})
		f.accounts[id].custom[id32(9001)] = custom(9001, id)
		c, _ := open(t, f.config())
		f.lie(tc.on, tc.answer)
		if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); tc.believed != (err == nil) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestOneAccountsAnswersAreNotAnothers: what an account answers about a policy is its own affair.
func TestOneAccountsAnswersAreNotAnothers(t *testing.T) {
	f := newFake(t, 2)
	for n, p := range []map[string]any{custom(9001, nil), custom(9001, accountID(1))} {
		a := f.accounts[accountID(n)]
		a.grants["inherited"], a.custom[id32(9001)] = []fakeGrant{{id32(9001), accountID(n)}}, p
	}
	f.accounts[accountID(0)].custom[id32(9001)]["catalog"] = "BASE"
	c, _ := open(t, f.config())
	for n, want := range []string{`all_resources system "DCS UserAccess"  unbounded`, `all_resources custom "DCS UserAccess"  unbounded`} {
		if got := grants(mustObserve(t, c, n)); len(got) != 2 || got[1] != want {
			t.Errorf("account %d: %q", n, got)
		}
	}
}

func TestCatalogueIsReadTwice(t *testing.T) {
	for name, change := range map[string][2]string{
		"a name": {`"display_name":"Tenant Guest"`, `"display_name":"Guest"`}, "an id": {id32(699), id32(799)},
	} {
		f := newFake(t, 1)
		var pages atomic.Int32
		f.lie("catalogue", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if pages.Add(1) > 4 {
				edit(func(b string) string { return strings.Replace(b, change[0], change[1], 1) })(w, r, truth)
				return
			}
			truth(w, r)
		})
		c, _ := open(t, f.config())
		wantUnknown(t, c, 0, rules.ReasonIncomplete)
		if _, _, err := c.PolicyIDs(t.Context(), nil); err == nil {
			t.Errorf("%s: believed", name)
		}
		f.lie("catalogue", nil)
		mustObserve(t, c, 0)
	}
}

// TestFreshKeysThatEndSoon are replaced once when they are refused; TestKeysThatEndInTheMiddle has those that do not.
func TestFreshKeysThatEndSoon(t *testing.T) {
	f := newFake(t, 1)
	cfg := f.assuming()
	var clk clock
	clk.advance(57 * 60e9) // the keys are good for an hour of the real clock
	cfg.Now = clk.now
	f.lie("project", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if strings.Contains(r.Header.Get("Authorization"), "TK-"+accountID(0)+"-1,") {
			f.gateway(w, 401, "APIGW.0301", "token expires")
			return
		}
		truth(w, r)
	})
	c, _ := open(t, cfg)
	mustObserve(t, c, 0)
	if sent := f.log(); asked(sent, "assume") != 2 {
		t.Errorf("sent %q", sent)
	}
}

// observeMany reads n accounts, 64 at a time.
func observeMany(t *testing.T, c *huawei.Cloud, n int, check func(error)) {
	t.Helper()
	var wg sync.WaitGroup
	slots := make(chan struct{}, 64)
	for i := range n {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			_, _, err := c.Observe(t.Context(), account(i), baseline(), rules.Last{})
			check(err)
		})
	}
	wg.Wait()
}

// TestRefusedAssumptionsEnd: a key that is refused too often is locked, for whoever else uses it too.
func TestRefusedAssumptionsEnd(t *testing.T) {
	const n = 100
	f := newFake(t, n)
	c, _ := open(t, f.assuming())
	var underWay, crowd atomic.Int32
	refuse := func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if underWay.Add(1) > 1 {
			crowd.Add(1)
		}
		defer underWay.Add(-1)
		say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
	}
	for range 2 { // in each run anew
		if err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		f.log()
		f.lie("assume", refuse)
		var mu sync.Mutex
		details := map[string]int{}
		observeMany(t, c, n, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			u, _ := errors.AsType[*rules.Unknown](err)
			if u == nil || u.Reason != rules.ReasonUnauthenticated || u.Remedy == "" {
				t.Errorf("%v", err)
				return
			}
			details[u.Detail]++
		})
		if sent := f.log(); asked(sent, "assume") != 3 || asked(sent, "domains") != 3 || len(sent) != 6 || crowd.Load() > 0 {
			t.Errorf("%d at once; sent %q", crowd.Load()+1, sent)
		}
		if len(details) != 2 { // that of the three, and that of all others
			t.Errorf("%v", details)
		}
		// Nothing but a new run has it tried again.
		f.lie("assume", nil)
		if wantUnknown(t, c, 0, rules.ReasonUnauthenticated); len(f.log()) != 0 {
			t.Error("tried again")
		}
	}
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	observeMany(t, c, n, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
}

// TestRevokedMainKeyIsNotTriedAgain: the check after the first 401 is refused as well, which is the end.
func TestRevokedMainKeyIsNotTriedAgain(t *testing.T) {
	f := newFake(t, 100)
	c, _ := open(t, f.assuming())
	refused := say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		f.lie("domains", refused)
		refused(w, r, truth)
	})
	observeMany(t, c, 100, func(err error) {
		if err == nil {
			t.Error("entered")
		}
	})
	if sent := f.log(); asked(sent, "assume") != 1 || asked(sent, "domains") != 2 || len(sent) != 3 {
		t.Errorf("sent %q", sent)
	}
}

// TestOneAssumptionIsUnderWayUntilOneIsAnswered: then they are made at once.
func TestOneAssumptionIsUnderWayUntilOneIsAnswered(t *testing.T) {
	const n = 16
	f := newFake(t, n)
	c, _ := open(t, f.assuming())
	all := make(chan struct{})
	var arrived atomic.Int32
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		// The first is answered; the others wait for each other.
		switch arrived.Add(1) {
		case 1:
		case n:
			close(all)
		default:
			<-all
		}
		truth(w, r)
	})
	observeMany(t, c, n, func(err error) {
		if err != nil {
			t.Error(err)
		}
	})
}

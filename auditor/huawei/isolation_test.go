package huawei_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestAccountsAtOnce reads fifty accounts at once, a tenth of which fail in ways of their own.
func TestAccountsAtOnce(t *testing.T) {
	const n = 50
	f := newFake(t, n)
	reasons := map[int]rules.Reason{
		3: rules.ReasonDenied, 13: rules.ReasonRejected, 23: rules.ReasonUnreachable, 33: rules.ReasonThrottled, 43: rules.ReasonDenied,
	}
	f.lie("agencies "+accountID(3), say(403, "{}"))
	f.lie("project "+accountID(13), say(200, "{}"))
	f.lie("attached "+accountID(23), hangUp(true))
	f.lie("domain "+accountID(33), say(429, "{}"))
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		truth(w, r)
	})
	f.lie("catalogue "+accountID(43), say(403, "{}"))
	f.lie("policy "+accountID(43), say(403, "{}"))
	f.accounts[accountID(43)].grants["domain"] = []fakeGrant{{id32(9001), accountID(43)}}
	c, log := open(t, f.assuming())
	for range 2 {
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				ev, _, err := c.Observe(t.Context(), account(i), baseline(), rules.Last{})
				u, _ := errors.AsType[*rules.Unknown](err)
				switch want := reasons[i]; {
				case want == "" && (err != nil || ev.Account().ID != accountID(i) || len(ev.Grants()) != 2):
					t.Errorf("account %d: %v, %d grants of %s", i, err, len(ev.Grants()), ev.Account().ID)
				case want != "" && (u == nil || u.Reason != want):
					t.Errorf("account %d: %v, want %s", i, err, want)
				}
				if a, ok := ev.Agency(); ok && a.ID != id32(agencyFrom+i) {
					t.Errorf("account %d: agency %s", i, a.ID)
				}
			})
		}
		wg.Wait()
	}
	if strings.Contains(log.String(), "canary") {
		t.Error("the log holds a secret")
	}
}

// TestHangingAccountDelaysNobody lets one account hang at every request until all others were read, twice over.
func TestHangingAccountDelaysNobody(t *testing.T) {
	for _, step := range []string{"assume", "agencies", "domain", "attached"} {
		f := newFake(t, 10)
		cfg := f.assuming()
		cfg.Connections = 1
		c, _ := open(t, cfg)
		release := make(chan struct{})
		arrived := make(chan struct{}, 16)
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if step == "assume" || strings.Contains(r.Header.Get("Authorization"), accountID(0)) {
				select {
				case arrived <- struct{}{}:
				default:
				}
				select {
				case <-release:
				case <-r.Context().Done():
				}
			}
			truth(w, r)
		})
		if step == "assume" { // hang for the first account alone: the others hold keys already
			f.lie(step, nil)
			for n := 1; n < 10; n++ {
				mustObserve(t, c, n)
			}
			f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				arrived <- struct{}{}
				<-release
				truth(w, r)
			})
		}
		slow := make(chan error)
		go func() {
			_, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
			slow <- err
		}()
		<-arrived
		for range 2 {
			var wg sync.WaitGroup
			for n := 1; n < 10; n++ {
				wg.Go(func() {
					if _, _, err := c.Observe(t.Context(), account(n), baseline(), rules.Last{}); err != nil {
						t.Errorf("%s: account %d: %v", step, n, err)
					}
				})
			}
			wg.Wait()
		}
		close(release)
		if err := <-slow; err != nil {
			t.Errorf("%s: the slow account: %v", step, err)
		}
	}
}

func TestObserveEndsWithItsContext(t *testing.T) {
	for _, step := range steps {
		f, cfg := needsEverything(t)
		c, _ := open(t, cfg)
		arrived := make(chan struct{}, 8)
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			arrived <- struct{}{}
			hang(w, r, truth)
		})
		cause := fmt.Errorf("the operator has seen enough of %s", step)
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			<-arrived
			cancel(cause)
		}()
		_, _, err := c.Observe(ctx, account(0), baseline(), rules.Last{})
		u, ok := errors.AsType[*rules.Unknown](err)
		if !ok || u.Reason != rules.ReasonTimeout || !strings.Contains(u.Detail, cause.Error()) {
			t.Errorf("%s: %v", step, err)
		}
		// An ended context sends nothing at all.
		before := fmt.Sprint(c.Requests())
		_, trail, err := c.Observe(ctx, account(0), baseline(), rules.Last{})
		if err == nil || trail.Requests != 0 || fmt.Sprint(c.Requests()) != before {
			t.Errorf("%s: after the end: %v, %d requests", step, err, trail.Requests)
		}
	}
}

func TestUnreachable(t *testing.T) {
	f := newFake(t, 1)
	cfg := f.config()
	f.Close()
	c, _ := open(t, cfg)
	u := unknown(t, c, 0, rules.ReasonUnreachable)
	if !strings.Contains(u.Detail, "connection refused") || !strings.Contains(u.Remedy, strings.TrimPrefix(f.URL, "http://")) {
		t.Errorf("%+v", u)
	}
	cfg.Endpoints.IAM = "https://no-such-host.invalid"
	cfg.RequestTimeout = 5 * time.Second
	c, _ = open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err == nil {
		t.Error("evidence from nowhere")
	}
}

func TestRefusalsOfSeveralPlanesAreAllNamed(t *testing.T) {
	f := newFake(t, 1)
	f.lie("domain", say(403, `{"error":{"message":"no","code":403}}`))
	f.lie("attached", say(403, `{"error_code":"PAP5.0001","error_msg":"no"}`))
	c, _ := open(t, f.config())
	u := unknown(t, c, 0, rules.ReasonDenied)
	for _, action := range []string{"iam:permissions:listRoleAssignments", "iam:agencies:listAttachedPoliciesV5"} {
		if !strings.Contains(u.Remedy, action) {
			t.Errorf("remedy %q lacks %s", u.Remedy, action)
		}
	}
	if !strings.Contains(u.Detail, "global service") || !strings.Contains(u.Detail, "PAP5.0001") {
		t.Errorf("detail %q", u.Detail)
	}
}

// TestEqualRefusalsAreSaidOnce, with all that were refused.
func TestEqualRefusalsAreSaidOnce(t *testing.T) {
	f := newFake(t, 1)
	for _, step := range []string{"domain", "inherited", "project", "enterprise_project", "attached"} {
		f.lie(step, say(403, `{"error_code":"PAP5.0001","error_msg":"no"}`))
	}
	c, _ := open(t, f.config())
	const want = `reading the planes "global service", "all resources", "project", "enterprise project", "identity policy, v5": ` +
		`the cloud answered 403 PAP5.0001: no`
	if u := unknown(t, c, 0, rules.ReasonDenied); u.Detail != want {
		t.Errorf("detail %q", u.Detail)
	}
	f.lie("project", say(403, `{"error":{"message":"never","code":403}}`))
	f.lie("attached", nil)
	const other = `reading the planes "global service", "all resources", "enterprise project": the cloud answered 403 PAP5.0001: no; ` +
		`reading the plane "project": the cloud answered 403: never`
	if u := unknown(t, c, 0, rules.ReasonDenied); u.Detail != other {
		t.Errorf("detail %q", u.Detail)
	}
}

// TestCatalogueThatSomeCannotRead: an account that may not read the catalogue does not keep others from having it.
func TestCatalogueThatSomeCannotRead(t *testing.T) {
	f := newFake(t, 3)
	f.lie("catalogue "+accountID(0), say(403, `{"error":{"message":"no","code":403}}`))
	c, _ := open(t, f.config())
	u := unknown(t, c, 0, rules.ReasonDenied)
	if !strings.Contains(u.Remedy, "iam:roles:listRoles") {
		t.Errorf("%+v", u)
	}
	mustObserve(t, c, 1)
	mustObserve(t, c, 0) // now it knows the names from another
	mustObserve(t, c, 2)
	if sent := f.log(); asked(sent, "catalogue") != 9 {
		t.Errorf("sent %q", sent)
	}
}

func TestCatalogueIsReadAnewWhenItIsOld(t *testing.T) {
	f := newFake(t, 2)
	cfg := f.config()
	cfg.CatalogueAge = time.Hour
	var clk clock
	cfg.Now = clk.now
	c, _ := open(t, cfg)
	mustObserve(t, c, 0)
	clk.advance(2 * time.Hour)
	f.roles[roleIAM]["display_name"] = "IAM renamed"
	f.log()
	f.lie("catalogue", say(503, ""))
	ev := mustObserve(t, c, 0) // what is known goes on being good enough
	wantLines(t, grants(ev), []string{`global system "IAM ReadOnlyAccess"`, `all_resources system "DCS UserAccess"`})
	mustObserve(t, c, 1)
	if sent := f.log(); asked(sent, "catalogue") != 3 { // one attempt, with what is asked again
		t.Errorf("sent %q", sent)
	}
	// But it is not passed off as what the site says now.
	if _, at, err := c.PolicyIDs(t.Context(), nil); err != nil || clk.now().Sub(at).Round(time.Minute) != time.Hour {
		t.Errorf("an hour after it should have been read anew it is known until %s before now (%v)", clk.now().Sub(at), err)
	}
	f.lie("catalogue", nil)
	clk.advance(2 * time.Minute)
	ev = mustObserve(t, c, 1)
	if _, at, err := c.PolicyIDs(t.Context(), nil); err != nil || clk.now().Sub(at).Round(time.Minute) != 0 {
		t.Errorf("read anew it is known until %s before now (%v)", clk.now().Sub(at), err)
	}
	wantLines(t, grants(ev), []string{`global system "IAM renamed"`, `all_resources system "DCS UserAccess"`})
}

// TestCatalogueIsReadAnewWhereNothingIsGranted: a policy that the vendor renames must not stay missing for want of an account
// that holds any.
func TestCatalogueIsReadAnewWhereNothingIsGranted(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].grants = nil
	cfg := f.config()
	cfg.CatalogueAge = time.Hour
	var clk clock
	cfg.Now = clk.now
	c, _ := open(t, cfg)
	for range 3 {
		mustObserve(t, c, 0)
	}
	clk.advance(2 * time.Hour)
	f.roles[roleIAM]["display_name"] = "IAM renamed"
	mustObserve(t, c, 0)
	if sent := f.log(); asked(sent, "catalogue") != 16 {
		t.Errorf("sent %q", sent)
	}
	ids, _, err := c.PolicyIDs(t.Context(), []string{"IAM renamed"})
	if err != nil || len(ids["IAM renamed"]) != 1 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestProjectNamesAreNoEvidence(t *testing.T) {
	f := newFake(t, 1)
	f.accounts[accountID(0)].grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}}
	c, _ := open(t, f.config())
	f.lie("projects", say(403, "{}"))
	ev := mustObserve(t, c, 0)
	if got := grants(ev)[2]; got != `project system "Tenant Guest" p1` {
		t.Errorf("grant %q", got)
	}
}

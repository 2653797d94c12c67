package huawei_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// clock is a clock that a test moves.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.offset.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// asked counts requests for an operation.
func asked(sent []string, operation string) (n int) {
	for _, s := range sent {
		if strings.HasPrefix(s, operation+" ") {
			n++
		}
	}
	return n
}

// TestAFaultOfTheCloudIsNobodysRight: an error 500, of IAM or of a gateway before it, sends nobody after permissions or the network.
func TestAFaultOfTheCloudIsNobodysRight(t *testing.T) {
	for on, body := range map[string]string{
		"agencies " + accountID(0): `{"error":{"code":500,"message":"An unexpected error prevented the server from fulfilling your request.","title":"Internal Server Error"}}`,
		"assume":                   `{"error_code":"APIGW.0103","error_msg":"Backend unavailable"}`,
	} {
		f := newFake(t, 1)
		c, _ := open(t, f.assuming())
		f.lie(on, say(500, body))
		u := unknown(t, c, 0, rules.ReasonRejected)
		if u.RequestID == "" || !strings.HasPrefix(u.Remedy, "this is a fault of the cloud") || !strings.Contains(u.Remedy, "ticket") ||
			strings.Contains(u.Remedy, "allows") || strings.Contains(u.Remedy, "answers in its place") {
			t.Errorf("%s: request id %q, %s", on, u.RequestID, u.Remedy)
		}
		f.lie(on, say(418, "{}"))
		if u := unknown(t, c, 0, rules.ReasonRejected); !strings.Contains(u.Remedy, "answers in its place") {
			t.Errorf("%s: %s", on, u.Remedy)
		}
	}
}

func TestAssumedKeysAreKeptUntilTheyNearlyEnd(t *testing.T) {
	f := newFake(t, 2)
	cfg := f.assuming()
	var clk clock
	cfg.Now = clk.now
	c, log := open(t, cfg)
	mustObserve(t, c, 0)
	mustObserve(t, c, 1)
	sent := f.log()
	if asked(sent, "assume") != 2 || asked(sent, "domains") != 3 { // of the main identity and of each account
		t.Errorf("first sweeps: %q", sent)
	}
	if !slices.Contains(sent, "agencies "+accountID(0)) {
		t.Errorf("not read with the assumed keys: %q", sent)
	}
	clk.advance(54 * time.Minute)
	mustObserve(t, c, 0)
	wantLines(t, f.log(), six(0))
	clk.advance(2 * time.Minute) // less than five minutes are left
	mustObserve(t, c, 0)
	if sent := f.log(); asked(sent, "assume") != 1 {
		t.Errorf("keys that nearly end: %q", sent)
	}
	if strings.Contains(log.String(), "canary") {
		t.Error("the log holds a secret")
	}
}

func TestWhatIsSentToAssume(t *testing.T) {
	f := newFake(t, 1)
	var body map[string]any
	var header http.Header
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &body)
		header = r.Header
		r.Body = io.NopCloser(strings.NewReader(string(raw)))
		truth(w, r)
	})
	cfg := f.assuming()
	cfg.SessionName, cfg.SessionDuration = "auditor-1", 20*time.Minute
	c, _ := open(t, cfg)
	mustObserve(t, c, 0)
	got, _ := json.Marshal(body)
	want := `{"auth":{"identity":{"assume_role":{"agency_name":"Reader","domain_id":"` + accountID(0) +
		`","duration_seconds":1200,"session_user":{"name":"auditor-1"}},"methods":["assume_role"]}}}`
	if string(got) != want {
		t.Errorf("body\n%s, want\n%s", got, want)
	}
	if header.Get("X-Domain-Id") != mainID || header.Get("X-Security-Token") != "" {
		t.Errorf("assumed as account %q", header.Get("X-Domain-Id"))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if got := f.headers; got.Get("X-Domain-Id") != accountID(0) ||
		got.Get("X-Security-Token") != "canary-security-token-"+accountID(0) ||
		got.Get("User-Agent") != "huaweicloud-usdk-go/3.0; agencyaudit/test" || got.Get("Accept-Encoding") != "" {
		t.Errorf("read with the headers %v", got)
	}
}

// TestKeysThatEndInTheMiddle has the cloud refuse kept keys at each request in turn: the evidence is begun anew with new
// ones, and is whole.
func TestKeysThatEndInTheMiddle(t *testing.T) {
	for _, step := range []string{"agencies", "domain", "inherited", "project", "enterprise_project", "attached"} {
		f := newFake(t, 1)
		c, log := open(t, f.assuming())
		mustObserve(t, c, 0)
		f.log()
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if strings.Contains(r.Header.Get("Authorization"), "TK-"+accountID(0)+"-1,") {
				f.gateway(w, 401, "APIGW.0301", "token expires")
				return
			}
			truth(w, r)
		})
		ev, trail, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
		sent := f.log()
		if len(ev.Grants()) != 2 || asked(sent, "assume") != 1 || asked(sent, step) != 2 {
			t.Errorf("%s: %d grants; sent %q", step, len(ev.Grants()), sent)
		}
		if trail.Requests < 7 || trail.Requests > 12 {
			t.Errorf("%s: trail says %d requests", step, trail.Requests)
		}
		// Once only: keys that were just made and are refused are not replaced again.
		f.lie(step, say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`))
		wantUnknown(t, c, 0, rules.ReasonUnauthenticated)
		sent = f.log()
		if asked(sent, "assume") != 1 || asked(sent, step) != 2 {
			t.Errorf("%s: sent %q", step, sent)
		}
		if strings.Contains(log.String(), "canary") {
			t.Error("the log holds a secret")
		}
	}
}

// TestKeysThatNeverLastAreReplacedOnce: a cloud that issues keys with hardly any time left, and refuses them.
func TestKeysThatNeverLastAreReplacedOnce(t *testing.T) {
	f := newFake(t, 1)
	c, _ := open(t, f.assuming())
	f.lie("assume", edit(func(b string) string {
		at := strings.Index(b, `"expires_at":"`) + len(`"expires_at":"`)
		soon := time.Now().Add(time.Minute).UTC().Format("2006-01-02T15:04:05.000000Z")
		return b[:at] + soon + b[at+len(soon):]
	}))
	f.lie("agencies", say(401, `{"error_code":"APIGW.0301","error_msg":"token expires"}`))
	wantUnknown(t, c, 0, rules.ReasonUnauthenticated)
	if sent := f.log(); asked(sent, "assume") != 2 || asked(sent, "agencies") != 2 {
		t.Errorf("sent %q", sent)
	}
}

func TestRefusedKeyIsNotTriedAgain(t *testing.T) {
	f := newFake(t, 1)
	c, _ := open(t, f.config())
	f.lie("agencies", say(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information: verify aksk signature fail"}`))
	u := unknown(t, c, 0, rules.ReasonUnauthenticated)
	wantLines(t, f.log(), []string{"agencies " + accountID(0)})
	for _, part := range []string{"looking for the agency", "401", "APIGW.0301", "verify aksk signature fail"} {
		if !strings.Contains(u.Detail, part) {
			t.Errorf("detail %q lacks %q", u.Detail, part)
		}
	}
	if u.RequestID == "" || !strings.Contains(u.Remedy, "clock") {
		t.Errorf("%+v", u)
	}
}

func TestVerify(t *testing.T) {
	domains := func(ids ...string) answerFunc {
		var rows []string
		for _, id := range ids {
			rows = append(rows, `{"id":"`+id+`","name":"x","enabled":true,"description":""}`)
		}
		return say(200, `{"domains":[`+strings.Join(rows, ",")+`]}`)
	}
	for name, tc := range map[string]struct {
		answer answerFunc
		reason rules.Reason
	}{
		"the configured account": {domains(mainID), ""},
		"another account":        {domains(accountID(3)), rules.ReasonUnauthenticated},
		"no account":             {domains(), rules.ReasonUnauthenticated},
		"two accounts":           {domains(mainID, accountID(3)), rules.ReasonUnauthenticated},
		"refused":                {say(401, `{"error_code":"APIGW.0301","error_msg":"ak not exist"}`), rules.ReasonUnauthenticated},
		"broken":                 {say(503, ""), rules.ReasonUnreachable},
		"a lie":                  {say(200, "{}"), rules.ReasonRejected},
	} {
		f := newFake(t, 2)
		cfg := f.assuming()
		own := huawei.Access{Keys: f.config().Accounts[accountID(1)].Keys}
		cfg.Accounts[accountID(1)] = own
		c, _ := open(t, cfg)
		f.lie("domains "+mainID, tc.answer)
		err := c.Verify(t.Context())
		u, _ := errors.AsType[*rules.Unknown](err)
		switch {
		case tc.reason == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case tc.reason != "" && (u == nil || u.Reason != tc.reason):
			t.Errorf("%s: error %v, want %s", name, err, tc.reason)
		}
		if name == "another account" && !(strings.Contains(u.Detail, mainID) && strings.Contains(u.Detail, accountID(3))) {
			t.Errorf("the refusal does not say both accounts: %v", u)
		}
		if name == "refused" && !strings.Contains(u.Remedy, "is one of account "+mainID) {
			t.Errorf("the advice does not say whose the key has to be: %q", u.Remedy)
		}
		f.log()
		if tc.reason == "" {
			mustObserve(t, c, 0)
			continue
		}
		// Nothing is sent in the name of an identity that was not confirmed, until it is.
		got := unknown(t, c, 0, tc.reason)
		if sent := f.log(); len(sent) != 0 {
			t.Errorf("%s: sent %q", name, sent)
		}
		if !strings.Contains(got.Detail, u.Detail) {
			t.Errorf("%s: %v does not say %q", name, got, u.Detail)
		}
		mustObserve(t, c, 1) // accounts with keys of their own are not affected
		f.lie("domains "+mainID, nil)
		if err := c.Verify(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		mustObserve(t, c, 0)
	}
	// Without a main identity there is nothing to verify.
	f := newFake(t, 1)
	c, _ := open(t, f.config())
	if err := c.Verify(t.Context()); err != nil || len(f.log()) != 0 {
		t.Errorf("verified nothing: %v", err)
	}
}

func TestRefusedMainKeyStopsAssuming(t *testing.T) {
	f := newFake(t, 5)
	c, _ := open(t, f.assuming())
	refused := say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)
	mustObserve(t, c, 4)
	f.log()
	// One account that answers so is no reason to doubt the identity for longer than a check takes.
	f.lie("assume", refused)
	wantUnknown(t, c, 3, rules.ReasonUnauthenticated)
	f.lie("assume", nil)
	mustObserve(t, c, 2)
	if sent := f.log(); asked(sent, "assume") != 2 || asked(sent, "domains") != 2 {
		t.Errorf("sent %q", sent)
	}
	f.lie("assume", refused)
	f.lie("domains", refused)
	for n := range 2 {
		wantUnknown(t, c, n, rules.ReasonUnauthenticated)
	}
	wantUnknown(t, c, 3, rules.ReasonUnauthenticated)
	if sent := f.log(); asked(sent, "assume") != 1 || asked(sent, "domains") != 1 || len(sent) != 2 {
		t.Errorf("sent %q", sent)
	}
	f.lie("assume", nil)
	f.lie("domains", nil)
	wantUnknown(t, c, 0, rules.ReasonUnauthenticated) // until Verify says otherwise
	if err := c.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustObserve(t, c, 0)
}

// TestLateRefusalDoesNotForgetAFailedVerify has an assume under way while Verify finds the identity to be another one.
func TestLateRefusalDoesNotForgetAFailedVerify(t *testing.T) {
	f := newFake(t, 2)
	c, _ := open(t, f.assuming())
	mustObserve(t, c, 1)
	arrived, release := make(chan struct{}), make(chan struct{})
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		close(arrived)
		<-release
		say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
	})
	late := make(chan error)
	go func() {
		_, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{})
		late <- err
	}()
	<-arrived
	f.lie("domains", say(200, `{"domains":[]}`))
	if err := c.Verify(t.Context()); err == nil {
		t.Error("verified")
	}
	close(release)
	if err := <-late; err == nil {
		t.Error("evidence")
	}
	f.lie("domains", nil)
	f.lie("assume", nil)
	f.log()
	wantUnknown(t, c, 0, rules.ReasonUnauthenticated)
	if sent := f.log(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
}

func TestAgencyThatCannotBeAssumed(t *testing.T) {
	for name, answer := range map[string]answerFunc{
		"403": say(403, `{"error":{"message":"You are not authorized","code":403}}`),
		"404": say(404, `{"error":{"message":"Could not find agency","code":404}}`),
	} {
		f := newFake(t, 2)
		c, _ := open(t, f.assuming())
		mustObserve(t, c, 1)
		f.lie("assume", answer)
		u := unknown(t, c, 0, rules.ReasonDenied)
		if !strings.Contains(u.Detail, `"Reader"`) || !strings.Contains(u.Remedy, mainID) || !strings.Contains(u.Remedy, "iam:agencies:assume") ||
			!strings.Contains(u.Remedy, "suspended") || !strings.Contains(u.Remedy, "expired") {
			t.Errorf("%s: %+v", name, u)
		}
		mustObserve(t, c, 1)
	}
}

func TestTheAuditedAgencyIsNeverAssumed(t *testing.T) {
	f := newFake(t, 1)
	cfg := f.assuming()
	cfg.Accounts[accountID(0)] = huawei.Access{Agency: coc}
	c, _ := open(t, cfg)
	wantUnknown(t, c, 0, rules.ReasonDenied)
	if sent := f.log(); len(sent) != 0 {
		t.Errorf("sent %q", sent)
	}
}

func TestOneAssumeAtATimeForAnAccount(t *testing.T) {
	f := newFake(t, 1)
	c, _ := open(t, f.assuming())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if sent := f.log(); asked(sent, "assume") != 1 || asked(sent, "domains") != 2 {
		t.Errorf("sent %q", sent)
	}
}

// TestWaitingToEnterEndsWithTheContext has one sweep hang in assuming, another wait behind it, and a third behind the
// check of the main identity.
func TestWaitingToEnterEndsWithTheContext(t *testing.T) {
	for _, step := range []string{"assume", "domains"} {
		f := newFake(t, 2)
		c, _ := open(t, f.assuming())
		arrived := make(chan struct{}, 2)
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			arrived <- struct{}{}
			hang(w, r, truth)
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for _, n := range []int{0, 0, 1} {
			wg.Go(func() {
				_, _, err := c.Observe(ctx, account(n), baseline(), rules.Last{})
				if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonTimeout {
					t.Errorf("%s: %v", step, err)
				}
			})
		}
		<-arrived
		cancel()
		wg.Wait()
		// That sweeps were ended says nothing about the identity.
		f.lie(step, nil)
		mustObserve(t, c, 0)
	}
}

// TestCloudThatRepeatsWhatItWasSent: the text of a refusal may hold the request, credentials included.
func TestCloudThatRepeatsWhatItWasSent(t *testing.T) {
	f := newFake(t, 1)
	token := "canary-security-token-" + accountID(0)
	for _, echo := range []struct{ step, message string }{
		{"agencies", "refused: " + token + " and canary-temporary-secret"},
		{"agencies", "refused: " + token[:20]},
		{"agencies", "verify aksk signature fail, canonicalRequest:GET|/v3/|x-security-token:" + token[5:]},
		{"assume", "refused: canary-main-secret"},
	} {
		c, log := open(t, f.assuming())
		f.lie(echo.step, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			f.gateway(w, 403, "APIGW.0301", echo.message)
		})
		u := unknown(t, c, 0, rules.ReasonDenied)
		f.lie(echo.step, nil)
		for _, secret := range []string{"canary", token[5:20]} {
			if strings.Contains(log.String()+u.Error()+u.Remedy, secret) {
				t.Errorf("%q: %v", echo.message, u)
			}
		}
		if !strings.Contains(u.Detail, "fail") && !strings.Contains(u.Detail, "refused") {
			t.Errorf("%q: nothing is left of it: %v", echo.message, u)
		}
	}
}

// TestRefusedKeyEndsWhatElseIsUnderWay: without that, this test would last for an hour.
func TestRefusedKeyEndsWhatElseIsUnderWay(t *testing.T) {
	f := newFake(t, 1)
	cfg := f.config()
	cfg.RequestTimeout = time.Hour
	c, _ := open(t, cfg)
	hanging := make(chan struct{})
	f.lie("project", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		close(hanging)
		hang(w, r, truth)
	})
	f.lie("attached", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		<-hanging
		say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
	})
	wantUnknown(t, c, 0, rules.ReasonUnauthenticated)
}

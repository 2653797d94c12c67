package huawei_test

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// stsAnswer is the answer of STS with a key of an account, which is the right one if none is named, and with parts of it changed.
func stsAnswer(account string, change func(map[string]string)) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		raw, _ := io.ReadAll(r.Body)
		id := cmp.Or(account, assumed(raw))
		is := map[string]string{
			"urn": "sts::" + id + "::assumed-agency:Reader/agencyaudit", "end": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"),
		}
		change(is)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"assumed_agency":{"urn":%q,"id":"%s:agencyaudit"},"credentials":{"access_key_id":"TK-%s-1","secret_access_key":"canary",`+
			`"security_token":"canary-token","expiration":%q}}`, is["urn"], id32(1), id, is["end"])
	}
}

// assumed is the account that a question to STS is about.
func assumed(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"iam::`)
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// TestASickSTSCostsItsAccounts, however it or the service that assumes agencies for IAM is sick: those that are entered the other way and
// those with keys of their own are read in the same run, which ends in time. In the next run but one after it is well everything is known.
func TestASickSTSCostsItsAccounts(t *testing.T) {
	far := func(by time.Duration) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			w.Header().Set("Date", time.Now().Add(by).UTC().Format(http.TimeFormat))
			truth(w, r)
		}
	}
	slow := func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		passes(19 * time.Second) // of the 20 that a request has
		truth(w, r)
	}
	other := accountID(2)
	for name, tc := range map[string]struct {
		on  string
		lie answerFunc
		// want is why its accounts are unknown; empty when they are not.
		want rules.Reason
	}{
		"hangs":          {"assumeSTS", hang, rules.ReasonTimeout},
		"is slow":        {"assumeSTS", slow, ""},
		"hangs up":       {"assumeSTS", lose(io.ErrUnexpectedEOF), rules.ReasonIncomplete},
		"is away":        {"assumeSTS", lose(syscall.ECONNREFUSED), rules.ReasonUnreachable},
		"fails":          {"assumeSTS", say(503, ""), rules.ReasonUnreachable},
		"is a page":      {"assumeSTS", say(200, "<html></html>"), rules.ReasonRejected},
		"is elsewhere":   {"assumeSTS", say(302, ""), rules.ReasonRejected},
		"refuses":        {"assumeSTS", say(403, `{"error_code":"STS5.1001","error_msg":"no"}`), rules.ReasonDenied},
		"enters another": {"assumeSTS", stsAnswer(other, func(map[string]string) {}), rules.ReasonRejected},
		"says the right one, and enters another": {"assumeSTS", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			raw, _ := io.ReadAll(r.Body)
			stsAnswer(other, func(is map[string]string) { is["urn"] = "sts::" + assumed(raw) + "::assumed-agency:Reader/agencyaudit" })(w, r, nil)
		}, rules.ReasonRejected},
		"keys that ended":    {"assumeSTS", stsAnswer("", func(is map[string]string) { is["end"] = "1999-12-31T23:00:00.000Z" }), rules.ReasonRejected},
		"keys for ever":      {"assumeSTS", stsAnswer("", func(is map[string]string) { is["end"] = "2100-01-01T00:00:00.000Z" }), ""},
		"a clock far ahead":  {"assumeSTS", far(30 * 24 * time.Hour), ""},
		"a clock far behind": {"assumeSTS", far(-30 * 24 * time.Hour), ""},
		"IAM hangs":          {"assume", hang, rules.ReasonTimeout},
		"IAM is slow":        {"assume", slow, ""},
		"IAM fails":          {"assume", say(503, ""), rules.ReasonUnreachable},
		"IAM is a page":      {"assume", say(200, "<html></html>"), rules.ReasonRejected},
	} {
		if testing.Short() && !strings.HasSuffix(name, "hangs") && tc.want != rules.ReasonUnreachable {
			continue // as under the race detector, where time is short: those that are waited for, and sent again
		}
		t.Run(name, func(t *testing.T) {
			const n = 30
			f := newFake(t, n)
			cfg := f.assuming()
			sick := func(i int) bool { return i%3 == map[string]int{"assume": 0, "assumeSTS": 1}[tc.on] }
			for i := range n {
				switch i % 3 {
				case 1:
					cfg.Accounts[accountID(i)] = huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
				case 2:
					cfg.Accounts[accountID(i)] = f.config().Accounts[accountID(i)]
				}
			}
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, f, cfg)
				f.lie(tc.on, tc.lie)
				want := map[rules.Reason]int{"": n}
				if tc.want != "" {
					want = map[rules.Reason]int{"": n - n/3, tc.want: n / 3}
				}
				for range 2 {
					run := b.run()
					for i, s := range run.Sweeps {
						if u := s.Report.Unknown; u != nil && !sick(i) {
							t.Errorf("account %d: %v", i, u)
						}
					}
					wantReasons(t, run, want)
					if took(run) > 2*time.Minute || run.Complete != (tc.want == "") {
						t.Errorf("complete: %v, after %s", run.Complete, took(run))
					}
					passes(15 * time.Minute)
				}
				f.lie(tc.on, nil)
				b.run()
				passes(15 * time.Minute)
				wantReasons(t, b.run(), map[rules.Reason]int{"": n})
				if strings.Contains(b.log.String(), "canary") {
					t.Error("the log holds a secret")
				}
			})
		})
	}
}

// TestASickSourceCostsItsAccounts, whenever it is sick: those that are entered with its keys, once the old one is no longer good, and
// the organization, which is not listed rather than smaller. In the run after it is well everything is known.
func TestASickSourceCostsItsAccounts(t *testing.T) {
	answer := func(change func(m *metadata) string) func(*metadata) {
		return func(m *metadata) {
			m.lies["GET"] = func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, change(m)) }
		}
	}
	const long, soon = 5000 * time.Hour, 4 * time.Minute
	lasting := func(lasts time.Duration, n int) func(m *metadata) string {
		return func(m *metadata) string { return (&metadata{account: m.account, lasts: lasts}).key(n) }
	}
	for name, tc := range map[string]struct {
		sick func(*metadata)
		// early is why the organization is not listed while the old key is good: accounts are read with the keys that they were entered
		// with. late is why either is unknown afterwards.
		early, late rules.Reason
	}{
		"hangs":               {func(m *metadata) { m.hang = true }, "", rules.ReasonTimeout},
		"fails":               {func(m *metadata) { m.lies["PUT"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) } }, "", rules.ReasonUnreachable},
		"is a page":           {answer(func(*metadata) string { return "<html></html>" }), "", rules.ReasonRejected},
		"half a key":          {answer(func(m *metadata) string { return strings.Replace(m.key(2), "canary-secret-2", "", 1) }), "", rules.ReasonRejected},
		"a key that ends":     {answer(lasting(soon, 2)), "", rules.ReasonRejected},
		"a key that is ended": {answer(lasting(-time.Hour, 2)), "", rules.ReasonRejected},
		"a key for ever":      {answer(lasting(long, 2)), "", ""},
		"another account":     {func(m *metadata) { m.account = "b0000000000000000000000000000000" }, rules.ReasonUnauthenticated, rules.ReasonUnauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 10
			f := newFake(t, n)
			synctest.Test(t, func(t *testing.T) {
				b, m := inBubble(t, f, f.fetching()), newMetadata()
				m.under(b.cloud)
				check := func(when string, read, listed rules.Reason) {
					t.Helper()
					run := b.run()
					want := map[rules.Reason]int{"": n}
					if read != "" {
						want = map[rules.Reason]int{"": 1, read: n - 1}
					}
					wantReasons(t, run, want)
					if took(run) > 30*time.Second || run.Complete != (read == "") {
						t.Errorf("%s: complete: %v, after %s", when, run.Complete, took(run))
					}
					is, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{})
					u, _ := errors.AsType[*rules.Unknown](err)
					switch {
					case listed == "" && (err != nil || len(is.Members) != n+1):
						t.Errorf("%s: %d accounts are listed, %v", when, len(is.Members), err)
					case listed != "" && (u == nil || u.Reason != listed || is.Members != nil):
						t.Errorf("%s: the organization: %v, want %s", when, err, listed)
					}
				}
				check("at first", "", "")
				m.do(func() { tc.sick(m) })
				passes(renewedAfter)
				check("while the old key is good", "", tc.early)
				passes(renewedAfter)
				check("when the old key has ended", tc.late, tc.late)
				m.do(func() { m.hang, m.lies, m.account = false, map[string]http.HandlerFunc{}, mainID })
				check("when it is well", "", "")
				if strings.Contains(b.log.String(), "canary") {
					t.Error("the log holds a secret")
				}
			})
		})
	}
}

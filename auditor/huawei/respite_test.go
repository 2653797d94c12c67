package huawei_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// entering are the ways into accounts, with the fake's word for the request and the configuration.
var entering = map[string]struct {
	step   string
	config func(f *fake) huawei.Config
}{
	"IAM": {"assume", (*fake).assuming},
	"STS": {"assumeSTS", func(f *fake) huawei.Config {
		cfg := f.assuming()
		for id := range cfg.Accounts {
			cfg.Accounts[id] = huawei.Access{Agency: "Reader", Via: huawei.ViaSTS}
		}
		return cfg
	}},
}

// busy has the entering of some accounts answered with 429, for a number of seconds or, without one, for nobody knows how long.
func busy(f *fake, step, retryAfter string, is func(body string) bool) {
	f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		body, _ := io.ReadAll(r.Body)
		r.Body = readAgain(body)
		if is(string(body)) {
			throttle(1, func() string { return retryAfter })(w, r, truth)
			return
		}
		truth(w, r)
	})
}

// anyOf says whether a request is about one of the first n accounts.
func anyOf(n int) func(body string) bool {
	return func(body string) bool {
		for i := range n {
			if strings.Contains(body, accountID(i)) {
				return true
			}
		}
		return false
	}
}

// limited is a configuration with the rates that are the default.
func limited(cfg huawei.Config) huawei.Config {
	cfg.Rate = huawei.Rate{PerAccount: 8, Total: 200}
	return cfg
}

// TestAPauseForOneAccountIsItsOwn: the cloud asks for a long pause when an account is entered. It is not entered again before, in
// this run or another, and then it is; the others do not notice. They are many, or few.
func TestAPauseForOneAccountIsItsOwn(t *testing.T) {
	for _, tc := range []struct{ throttled, accounts int }{{1, 300}, {1, 2}, {2, 4}, {7, 100}} {
		for way, by := range entering {
			if testing.Short() && tc.accounts > 100 {
				continue
			}
			t.Run(fmt.Sprintf("%d of %d/%s", tc.throttled, tc.accounts, way), func(t *testing.T) {
				f := newFake(t, tc.accounts)
				for id, a := range f.accounts {
					a.agencies = append(a.agencies, agency(id, "Reader", 0xb000))
				}
				busy(f, by.step, "590", anyOf(tc.throttled))
				synctest.Test(t, func(t *testing.T) {
					b := inBubble(t, f, limited(by.config(f)))
					first := time.Now()
					want := map[rules.Reason]int{"": 2 * (tc.accounts - tc.throttled), rules.ReasonThrottled: 2 * tc.throttled}
					for range 2 {
						run := b.run(baseline(), other())
						wantReasons(t, run, want)
						if d := took(run); d > 90*time.Second {
							t.Errorf("the run took %s", d)
						}
						for _, s := range run.Sweeps { // by the time of the second run, none is tried
							if u := s.Report.Unknown; u != nil && run.StartedAt.After(first) && !strings.Contains(u.Detail, "fewer requests about it") {
								t.Errorf("%v", u)
							}
						}
						passes(time.Minute)
					}
					tried := func(s sending) bool { return s.operation == by.step && anyOf(tc.throttled)(s.body) }
					if n := len(b.asked(tried)); n != tc.throttled {
						t.Errorf("tried %d times to enter %d accounts", n, tc.throttled)
					}
					passes(time.Until(first.Add(11 * time.Minute)))
					f.lie(by.step, nil)
					wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 2 * tc.accounts})
					if b.meter.retries != 0 {
						t.Errorf("%d retries", b.meter.retries)
					}
				})
			})
		}
	}
}

// TestThreeInTenAccountsAreThrottled at random places, for long or for nobody knows how long, and the others are read.
func TestThreeInTenAccountsAreThrottled(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 200
	}
	for _, header := range []string{"590", ""} {
		f := newFake(t, n)
		throttled := 0
		for i := range n {
			if i*7919%1009%10 < 3 {
				throttled++
			}
		}
		busy(f, "assume", header, func(body string) bool {
			for i := range n {
				if i*7919%1009%10 < 3 && strings.Contains(body, accountID(i)) {
					return true
				}
			}
			return false
		})
		synctest.Test(t, func(t *testing.T) {
			b := inBubble(t, f, limited(f.assuming()))
			run := b.run()
			if got := reasons(run); got[""] != n-throttled || got[rules.ReasonThrottled] < throttled*9/10 {
				t.Errorf("sweeps by reason %v, and %d are throttled", got, throttled)
			}
			if d := took(run); d > 6*time.Minute {
				t.Errorf("the run took %s", d)
			}
		})
	}
}

// TestWhenNobodyCanBeEnteredTheIdentityPauses: that the cloud asks for a pause about one account after the other is about whoever
// enters them, and few are tried.
func TestWhenNobodyCanBeEnteredTheIdentityPauses(t *testing.T) {
	for way, by := range entering {
		t.Run(way, func(t *testing.T) {
			f := newFake(t, 300)
			busy(f, by.step, "590", func(string) bool { return true })
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, f, limited(by.config(f)))
				start := time.Now()
				for range 3 {
					run := b.run()
					if got := reasons(run); got[rules.ReasonThrottled]+got[rules.ReasonTimeout] != 300 || got[rules.ReasonTimeout] > 64 {
						t.Errorf("%v", got)
					}
					// After a pause a few are tried again, and a run may end among these.
					if n, most := len(b.asked(func(s sending) bool { return s.operation == by.step })), 16*int(1+time.Since(start)/(590*time.Second)); n > most {
						t.Errorf("tried to enter %d accounts in %s", n, time.Since(start))
					}
					passes(2 * time.Minute)
				}
				f.lie(by.step, nil)
				passes(11 * time.Minute)
				wantReasons(t, b.run(), map[rules.Reason]int{"": 300})
			})
		})
	}
}

// TestAPauseInMidRun: after a number of accounts the cloud asks for a pause, for which a sweep has no time, or hardly any. The rest is
// entered when it is over, in the same run.
func TestAPauseInMidRun(t *testing.T) {
	for _, lasts := range []time.Duration{70 * time.Second, 58 * time.Second} {
		f := newFake(t, 300)
		synctest.Test(t, func(t *testing.T) {
			b := inBubble(t, f, limited(f.assuming()))
			start := time.Now()
			var from time.Time
			f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				f.mu.Lock()
				if from.IsZero() && time.Since(start) > 2*time.Second {
					from = time.Now()
				}
				left := lasts - time.Since(from)
				pauses := !from.IsZero() && left > 0
				f.mu.Unlock()
				if pauses {
					throttle(1, func() string { return fmt.Sprint(1 + int(left.Seconds())) })(w, r, truth)
					return
				}
				truth(w, r)
			})
			run := b.run()
			got := reasons(run) // an account that waited in its own time may have too little of that left
			if got[""] < 288 || got[""]+got[rules.ReasonThrottled]+got[rules.ReasonTimeout] != 300 {
				t.Errorf("%s: %v", lasts, got)
			}
			if n := len(b.asked(func(s sending) bool { return s.operation == "assume" })); n > 320 {
				t.Errorf("%s: tried to enter %d accounts", lasts, n)
			}
			if d := took(run); d > 2*time.Minute {
				t.Errorf("%s: the run took %s", lasts, d)
			}
		})
	}
}

// TestACheckThatIsPutOff: the cloud asks for a pause when it is asked whose the main identity's key is. Accounts with keys of their own
// are read meanwhile, and the others when it is over, as long as the run has time for that.
func TestACheckThatIsPutOff(t *testing.T) {
	for _, tc := range []struct {
		header string
		times  int
		// asked is how often the question is asked, and within how long the run may take.
		asked  int
		late   bool
		least  time.Duration
		within time.Duration
	}{
		{"61", 1, 2, true, 61 * time.Second, 75 * time.Second},
		{"61", 2, 3, true, 122 * time.Second, 140 * time.Second},
		{"61", 1 << 30, 3, false, 0, 130 * time.Second},
		{"30", 2, 3, true, 60 * time.Second, 75 * time.Second},
		{"580", 1, 2, true, 580 * time.Second, 10 * time.Minute},
		{"600", 1, 1, false, 0, 10 * time.Second}, // as long as the run may take
		{"601", 1, 1, false, 0, 10 * time.Second},
	} {
		t.Run(fmt.Sprintf("%s seconds, %d times", tc.header, tc.times), func(t *testing.T) {
			f := newFake(t, 200)
			f.lie("domains "+mainID, throttle(tc.times, func() string { return tc.header }))
			synctest.Test(t, func(t *testing.T) {
				cfg := limited(f.assuming())
				for i := range 3 {
					cfg.Accounts[accountID(199-i)] = f.config().Accounts[accountID(199-i)]
				}
				b := inBubble(t, f, cfg)
				run := b.run()
				want := map[rules.Reason]int{"": 200}
				if !tc.late {
					want = map[rules.Reason]int{"": 3, rules.ReasonThrottled: 197}
				}
				wantReasons(t, run, want)
				if n := len(b.asked(func(s sending) bool { return s.operation == "domains" && s.account() == mainID })); n != tc.asked {
					t.Errorf("asked %d times", n)
				}
				if d := took(run); d < tc.least || d > tc.within {
					t.Errorf("the run took %s", d)
				}
				for i := range 3 {
					// The check itself has half a minute when the pause fits into its time.
					if d := b.ended[accountID(199-i)].Sub(run.StartedAt); d > 35*time.Second {
						t.Errorf("an account with keys of its own was read after %s", d)
					}
				}
				if !tc.late {
					return
				}
				// What a run begins with holds for one that begins late, and the next is as always.
				b.forget()
				passes(2 * time.Hour)
				wantReasons(t, b.run(), map[rules.Reason]int{"": 200})
			})
		})
	}
}

// TestAnIdentityThatIsCheckedLateIsCheckedForThisRun: what the run before found out about its key is over with a check that comes late,
// as it is with one that comes in time.
func TestAnIdentityThatIsCheckedLateIsCheckedForThisRun(t *testing.T) {
	f := newFake(t, 50)
	f.lie("assume", say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`))
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, limited(f.assuming()))
		wantReasons(t, b.run(), map[rules.Reason]int{rules.ReasonUnauthenticated: 50})
		f.lie("assume", nil)
		f.lie("domains "+mainID, throttle(1, func() string { return "70" }))
		passes(15 * time.Minute)
		wantReasons(t, b.run(), map[rules.Reason]int{"": 50})
	})
}

// TestAPauseOfTheOrganizationIsItsOwn: it cannot be listed for a while, and the accounts that are known are read.
func TestAPauseOfTheOrganizationIsItsOwn(t *testing.T) {
	f := newFake(t, 20)
	f.lie("roots", throttle(1, func() string { return "590" }))
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, limited(f.assuming()))
		start := time.Now()
		for range 3 {
			_, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{})
			if u, _ := errors.AsType[*rules.Unknown](err); u == nil || u.Reason != rules.ReasonThrottled {
				t.Fatal(err)
			}
			wantReasons(t, b.run(), map[rules.Reason]int{"": 20})
		}
		if n := len(b.asked(func(s sending) bool { return s.operation == "roots" })); n != 1 || time.Since(start) > time.Minute {
			t.Errorf("asked %d times, in %s", n, time.Since(start))
		}
		passes(10 * time.Minute)
		if _, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{}); err != nil {
			t.Error(err)
		}
	})
}

// TestOneAccountOfAThousandIsThrottled plays it against the simulated cloud, which checks what it is asked.
func TestOneAccountOfAThousandIsThrottled(t *testing.T) {
	n := 1000
	if testing.Short() {
		n = 100
	}
	cloud, server := simulate(t, simcloud.GenerateSteady(5, n), simcloud.Listen{})
	org := cloud.Organization()
	victim := org.Accounts[n/3].ID
	c, _ := open(t, simConfig(org, server))
	hits := 0
	var mu sync.Mutex
	c.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.Method != http.MethodPost {
				return next.RoundTrip(r)
			}
			body, _ := io.ReadAll(r.Body)
			r.Body = readAgain(body)
			if !bytes.Contains(body, []byte(victim)) {
				return next.RoundTrip(r)
			}
			mu.Lock()
			defer mu.Unlock()
			hits++
			return &http.Response{
				StatusCode: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"590"}, "Content-Type": {"application/json"}},
				Body: readAgain([]byte(`{"error_code":"APIGW.0308","error_msg":"slow down"}`)), Request: r,
			}, nil
		})
	})
	all := make([]rules.Account, n)
	for i, a := range org.Accounts {
		all[i] = rules.Account{ID: a.ID, Name: a.Name}
	}
	a := &auditor.Auditor{
		Inventory: accounts(all), Observer: c, Baselines: []rules.Baseline{baseline()}, Logger: slog.New(slog.DiscardHandler),
		Now: time.Now, Concurrency: 32, RunTimeout: 10 * time.Minute, AccountTimeout: time.Minute,
	}
	run, err := a.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	wantReasons(t, run, map[rules.Reason]int{"": n - 1, rules.ReasonThrottled: 1})
	i := slices.IndexFunc(run.Sweeps, func(s auditor.Sweep) bool { return s.Report.Unknown != nil })
	if run.Sweeps[i].Report.Account.ID != victim || hits != 1 {
		t.Errorf("%d requests, and unknown is %s", hits, run.Sweeps[i].Report.Account.Name)
	}
}

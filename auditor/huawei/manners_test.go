package huawei_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// atMost checks that of these requests no more were sent within any time than a rate with a burst of one second's worth lets
// through.
func atMost(t *testing.T, what string, sent []sending, perSecond float64) {
	t.Helper()
	for i := range sent {
		for j := i; j < len(sent); j++ {
			if n, in := float64(j-i+1), sent[j].at.Sub(sent[i].at).Seconds(); n > perSecond*(in+1)+1e-6 {
				t.Errorf("%s: %v requests within %v seconds, at a rate of %v", what, n, in, perSecond)
				return
			}
		}
	}
}

// TestRates: every request waits for its account's rate and for the total, but to enter accounts waits for the total alone.
func TestRates(t *testing.T) {
	f := newFake(t, 40)
	synctest.Test(t, func(t *testing.T) {
		cfg := f.assuming()
		cfg.Rate = huawei.Rate{PerAccount: 2, Total: 10}
		b := inBubble(t, f, cfg)
		run := b.run()
		wantReasons(t, run, map[rules.Reason]int{"": 40})
		// The catalogue goes first, for all, and is read by one account alone.
		catalogue := func(s sending) bool { return s.operation == "catalogue" }
		if n := len(b.asked(catalogue)); n != 8 {
			t.Errorf("%d requests for the catalogue", n)
		}
		atMost(t, "in total", b.asked(func(s sending) bool { return !catalogue(s) }), 10)
		for id := range f.accounts {
			atMost(t, id, b.asked(func(s sending) bool { return s.account() == id && !catalogue(s) }), 2)
		}
		assumed := b.asked(func(s sending) bool { return s.operation == "assume" })
		if len(assumed) != 40 || assumed[39].at.Sub(assumed[0].at) > 30*time.Second {
			t.Errorf("%d accounts entered, the last of them after %s", len(assumed), assumed[39].at.Sub(assumed[0].at))
		}
		// 40 accounts of eight requests and a few for all, at ten a second.
		if d := took(run); d < 31*time.Second || d > 35*time.Second {
			t.Errorf("the run took %s", d)
		}
	})
}

func TestWithoutRatesNothingWaits(t *testing.T) {
	f := newFake(t, 64)
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		if run := b.run(); took(run) > time.Second {
			t.Errorf("the run took %s", took(run))
		}
	})
}

// TestARateThatLeavesNoTime is found out at once, not at the end of the time.
func TestARateThatLeavesNoTime(t *testing.T) {
	f := newFake(t, 1)
	synctest.Test(t, func(t *testing.T) {
		cfg := f.config()
		cfg.Rate = huawei.Rate{PerAccount: 0.08}
		b := inBubble(t, f, cfg)
		run := b.run()
		wantReasons(t, run, map[rules.Reason]int{rules.ReasonTimeout: 1})
		if u := run.Sweeps[0].Report.Unknown; !strings.Contains(u.Detail, "cloud.rate") || took(run) > 51*time.Second {
			t.Errorf("after %s: %v", took(run), u)
		}
	})
}

// TestOneAccountTakesItsTurn has one account of a hundred need thousands of requests: at a low rate of all together, the
// others are read in their usual time and a tenth.
func TestOneAccountTakesItsTurn(t *testing.T) {
	last := func(hostile bool) time.Duration {
		f := newFake(t, 100)
		if hostile {
			grants := make([]fakeGrant, 5000) // of policies that have to be looked up one by one
			for i := range grants {
				grants[i] = fakeGrant{id32(1<<20 + i), accountID(0)}
			}
			f.accounts[accountID(0)].grants["domain"] = grants
		}
		var longest time.Duration
		synctest.Test(t, func(t *testing.T) {
			cfg := f.config()
			cfg.Rate = huawei.Rate{Total: 20} // the account's own rate does not help the others here
			cfg.AccountRequests = 5000
			b := inBubble(t, f, cfg)
			start := time.Now()
			run := b.run()
			for id, at := range b.ended {
				if id != accountID(0) {
					longest = max(longest, at.Sub(start))
				}
			}
			unknown := 0
			if hostile {
				unknown = 1
			}
			if n := run.States[rules.StateUnknown]; n != unknown {
				t.Errorf("%d accounts unknown: %v", n, reasons(run))
			}
		})
		return longest
	}
	normal := last(false)
	if with := last(true); with > normal*11/10 {
		t.Errorf("the others took %s, and %s without the account", with, normal)
	}
}

// TestALowRateReadsAccountsOneAfterTheOther is the daemon's choice of how many are read at once, at work.
func TestOutstandingRequestsOfOneAccount(t *testing.T) {
	f := newFake(t, 1)
	grants := make([]fakeGrant, 100)
	for i := range grants {
		grants[i] = fakeGrant{id32(1<<20 + i), accountID(0)}
	}
	f.accounts[accountID(0)].grants["domain"] = grants
	var mu sync.Mutex
	now, most := 0, 0
	count := func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		passes(latency)
		mu.Lock()
		now--
		mu.Unlock()
		truth(w, r)
	}
	for _, step := range []string{"policy", "domain", "inherited", "project", "enterprise_project", "attached"} {
		f.lie(step, count)
	}
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		second := baseline()
		second.Name, second.Agency = "other", "AnotherAgency"
		wantReasons(t, b.run(baseline(), second), map[rules.Reason]int{"": 2})
		if most != 5 {
			t.Errorf("%d at once", most)
		}
	})
}

// throttle answers n requests with 429, and then the truth.
func throttle(n int, header func() string) answerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		mu.Lock()
		n--
		over := n < 0
		mu.Unlock()
		if over {
			truth(w, r)
			return
		}
		if h := header(); h != "" {
			w.Header().Set("Retry-After", h)
		}
		say(429, `{"error_code":"APIGW.0308","error_msg":"The throttling threshold has been reached"}`)(w, r, truth)
	}
}

// TestThrottledRequestsAreSentLater, when the cloud says or after a pause that grows, while there is time.
func TestThrottledRequestsAreSentLater(t *testing.T) {
	in := func(d time.Duration) func() string {
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	is := func(text string) func() string { return func() string { return text } }
	for name, tc := range map[string]struct {
		times       int
		header      func() string
		least, most time.Duration // of the pauses before the request was sent again
		reason      rules.Reason
		within      time.Duration
	}{
		"without a header":     {4, is(""), 125 * time.Millisecond, 2 * time.Second, "", 10 * time.Second},
		"seconds":              {3, is("7"), 7 * time.Second, 8 * time.Second, "", 30 * time.Second},
		"a date":               {2, in(9 * time.Second), 8 * time.Second, 10 * time.Second, "", 30 * time.Second},
		"a date gone by":       {2, in(-time.Hour), 125 * time.Millisecond, time.Second, "", 10 * time.Second},
		"zero":                 {2, is("0"), 125 * time.Millisecond, time.Second, "", 10 * time.Second},
		"a negative number":    {2, is("-5"), 125 * time.Millisecond, time.Second, "", 10 * time.Second},
		"no number":            {2, is("soon"), 125 * time.Millisecond, time.Second, "", 10 * time.Second},
		"longer than there is": {1, is("61"), 0, 0, rules.ReasonThrottled, time.Second},
		"a year":               {1, is("31536000"), 0, 0, rules.ReasonThrottled, time.Second},
		"beyond all numbers":   {1, is("99999999999999999999999"), 0, 0, rules.ReasonThrottled, time.Second},
		"beyond all durations": {1, is("9999999999999"), 0, 0, rules.ReasonThrottled, time.Second},
		"a number that wraps":  {1, is("18446744074"), 0, 0, rules.ReasonThrottled, time.Second},
		"a date far away":      {1, is("Fri, 31 Dec 9999 23:59:59 GMT"), 0, 0, rules.ReasonThrottled, time.Second},
		"for ever":             {1 << 30, is(""), 125 * time.Millisecond, 20 * time.Second, rules.ReasonThrottled, time.Minute},
		"for ever, by seconds": {1 << 30, is("5"), 5 * time.Second, 8 * time.Second, rules.ReasonThrottled, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 2)
			f.lie("agencies "+accountID(0), throttle(tc.times, tc.header))
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, f, f.config())
				run := b.run()
				want := map[rules.Reason]int{"": 2}
				if tc.reason != "" {
					want = map[rules.Reason]int{"": 1, tc.reason: 1}
				}
				wantReasons(t, run, want)
				if d := took(run); d > tc.within {
					t.Errorf("the run took %s", d)
				}
				sent := b.asked(func(s sending) bool { return s.operation == "agencies" && s.account() == accountID(0) })
				if tc.times < 100 && tc.reason == "" && len(sent) != tc.times+1 || tc.times < 100 && tc.reason != "" && len(sent) != 1 ||
					len(sent) > 12 {
					t.Errorf("sent %d times", len(sent))
				}
				for i := 1; i < len(sent); i++ {
					if pause := sent[i].at.Sub(sent[i-1].at) - latency; pause < tc.least || pause > tc.most {
						t.Errorf("pause %d is %s", i, pause)
					} else if name == "without a header" && pause < 125*time.Millisecond<<(i-1) {
						t.Errorf("pause %d is %s, and does not grow", i, pause)
					}
				}
				if b.meter.retries != 0 {
					t.Errorf("%d retries", b.meter.retries)
				}
				other := b.asked(func(s sending) bool { return s.account() == accountID(1) })
				if d := other[len(other)-1].at.Sub(run.StartedAt); d > time.Second {
					t.Errorf("the other account was read for %s", d)
				}
				if u := run.Sweeps[0].Report.Unknown; u != nil && !strings.Contains(u.Detail, "429") {
					t.Errorf("%v", u)
				}
			})
		})
	}
}

// TestAnIdentityPausesAsLongAsTheCloudSays, with whatever else it was about to send.
func TestAnIdentityPausesAsLongAsTheCloudSays(t *testing.T) {
	f := newFake(t, 1)
	synctest.Test(t, func(t *testing.T) {
		cfg := f.config()
		cfg.Rate.PerAccount = 1 // so that there is something about to be sent
		b := inBubble(t, f, cfg)
		wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 2})
		b.forget()
		passes(time.Minute)
		f.lie("agencies", throttle(1, func() string { return "7" }))
		wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 2})
		sent := b.asked(all)
		if d := sent[1].at.Sub(sent[0].at); d < 7*time.Second {
			t.Errorf("something was sent after %s", d)
		}
	})
}

// TestARateIsHalvedAndComesBack: the cloud asks for fewer requests for a while, and a minute later all is as it was.
func TestARateIsHalvedAndComesBack(t *testing.T) {
	f := newFake(t, 1)
	grants := make([]fakeGrant, 450) // each of which is asked for twice, since it is not found
	for i := range grants {
		grants[i] = fakeGrant{id32(1<<20 + i), accountID(0)}
	}
	f.accounts[accountID(0)].grants["domain"] = grants
	synctest.Test(t, func(t *testing.T) {
		cfg := f.config()
		cfg.Rate.PerAccount = 8
		b := inBubble(t, f, cfg)
		start := time.Now()
		f.lie("policy", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if d := time.Since(start); d > 10*time.Second && d < 12*time.Second {
				throttle(1, func() string { return "" })(w, r, truth)
				return
			}
			truth(w, r)
		})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, _, err := b.cloud.Observe(ctx, account(0), baseline(), rules.Last{}); err != nil {
			t.Fatal(err)
		}
		during := func(from, to time.Duration) (n int) {
			return len(b.asked(func(s sending) bool {
				d := s.at.Sub(start)
				return s.operation == "policy" && d >= from && d < to
			}))
		}
		before, slowed, later := during(5*time.Second, 10*time.Second), during(13*time.Second, 18*time.Second), during(75*time.Second, 80*time.Second)
		if before < 38 || slowed > 20 || later < 38 {
			t.Errorf("%d requests in five seconds before, %d when slowed, %d when all was well again", before, slowed, later)
		}
		throttled := len(b.asked(all)) - len(b.asked(func(s sending) bool { return s.operation != "policy" })) - 900
		if throttled < 1 || throttled > 12 {
			t.Errorf("%d requests were throttled in two seconds", throttled)
		}
	})
}

// TestThrottlingAtRandom is row F41 of the fault matrix: three in ten answers are 429, with and without saying when to come
// again. The run is slower, whole, and says the same.
func TestThrottlingAtRandom(t *testing.T) {
	for _, header := range []string{"", "1"} {
		f := newFake(t, 100)
		rnd := rand.New(rand.NewPCG(7, 7))
		var mu sync.Mutex
		row := map[string]int{} // how often a key was refused one time after the other: four times at most, since more is no chance
		for _, step := range append(steps, "agencies") {
			f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				key, _, _ := strings.Cut(r.Header.Get("Authorization"), ",")
				mu.Lock()
				no := rnd.IntN(10) < 3 && row[key] < 4
				if row[key]++; !no {
					row[key] = 0
				}
				mu.Unlock()
				if no {
					throttle(1, func() string { return header })(w, r, truth)
					return
				}
				truth(w, r)
			})
		}
		synctest.Test(t, func(t *testing.T) {
			cfg := f.assuming()
			cfg.Rate = huawei.Rate{PerAccount: 8, Total: 200}
			b := inBubble(t, f, cfg)
			run := b.run()
			wantReasons(t, run, map[rules.Reason]int{"": 100})
			if d := took(run); d > time.Minute {
				t.Errorf("the run took %s", d)
			}
			if b.meter.retries != 0 || b.meter.main || b.meter.accounts != 0 {
				t.Errorf("%d retries, breakers %t and %d", b.meter.retries, b.meter.main, b.meter.accounts)
			}
		})
	}
}

// faults are the faults of the cloud and of the way to it after which a request may be sent again, and those after which it
// may not.
var faults = map[string]struct {
	answer answerFunc
	reason rules.Reason
	times  int
}{
	"500":             {say(500, `{"error_code":"IAM.0006","error_msg":"x"}`), rules.ReasonRejected, 3},
	"502":             {say(502, "<html>"), rules.ReasonUnreachable, 3},
	"503":             {say(503, ""), rules.ReasonUnreachable, 3},
	"504":             {say(504, ""), rules.ReasonUnreachable, 3},
	"refused":         {lose(syscall.ECONNREFUSED), rules.ReasonUnreachable, 3},
	"reset":           {lose(syscall.ECONNRESET), rules.ReasonUnreachable, 3},
	"cut off":         {lose(io.ErrUnexpectedEOF), rules.ReasonIncomplete, 3},
	"hangs":           {hang, rules.ReasonTimeout, 3},
	"501":             {say(501, "{}"), rules.ReasonRejected, 1},
	"400":             {say(400, "{}"), rules.ReasonRejected, 1},
	"401":             {say(401, "{}"), rules.ReasonUnauthenticated, 1},
	"403":             {say(403, "{}"), rules.ReasonDenied, 1},
	"a lie":           {say(200, "{}"), rules.ReasonRejected, 1},
	"redirect":        {say(302, ""), rules.ReasonRejected, 1},
	"no certificate":  {lose(errors.New("http: server gave HTTP response to HTTPS client")), rules.ReasonTLS, 1},
	"answer too long": {say(200, strings.Repeat(" ", 5<<20)), rules.ReasonRejected, 1},
}

// TestWhatIsSentAgain gives each fault to a read and to an assumption, for good and once.
func TestWhatIsSentAgain(t *testing.T) {
	for name, tc := range faults {
		for _, step := range []string{"agencies", "project", "assume"} {
			for _, once := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/%t", name, step, once), func(t *testing.T) {
					f := newFake(t, 1)
					var mu sync.Mutex
					n := 0
					f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
						mu.Lock()
						n++
						again := n > 1
						mu.Unlock()
						if once && again {
							truth(w, r)
							return
						}
						tc.answer(w, r, truth)
					})
					synctest.Test(t, func(t *testing.T) {
						cfg := f.assuming()
						cfg.RequestTimeout = 10 * time.Second
						b := inBubble(t, f, cfg)
						run := b.run()
						sent := b.asked(func(s sending) bool { return s.operation == step || step == "project" && s.operation == "assignments" })
						count := len(sent)
						if step == "project" {
							count = n
						}
						want, again := tc.times, tc.times-1
						switch {
						case once && tc.times > 1:
							want, again = 2, 1
							wantReasons(t, run, map[rules.Reason]int{"": 1})
						default:
							wantReasons(t, run, map[rules.Reason]int{tc.reason: 1})
						}
						if count != want || b.meter.retries != again {
							t.Errorf("sent %d times, %d of them again, want %d", count, b.meter.retries, want)
						}
						for _, s := range sent {
							if step == "assume" && !strings.Contains(s.body, accountID(0)) {
								t.Errorf("sent with the body %q", s.body)
							}
						}
						if u := run.Sweeps[0].Report.Unknown; u != nil && (want > 1) != strings.Contains(u.Detail, "asked 3 times") {
							t.Errorf("%v", u)
						}
					})
				})
			}
		}
	}
}

// TestRetriesAreATenth: however sick the cloud, no more than a tenth of the requests and a few are sent again.
func TestRetriesAreATenth(t *testing.T) {
	f := newFake(t, 300)
	rnd := rand.New(rand.NewPCG(3, 4))
	var mu sync.Mutex
	for _, step := range []string{"agencies", "domain", "inherited", "project", "enterprise_project", "attached"} {
		f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			mu.Lock()
			sick := rnd.IntN(2) == 0
			mu.Unlock()
			if sick {
				say(503, "")(w, r, truth)
				return
			}
			truth(w, r)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		run := b.run()
		sent := len(b.asked(all))
		first := sent - b.meter.retries
		if b.meter.retries > first/10+10+int(took(run)/(6*time.Second))+1 || b.meter.retries < first/10-1 {
			t.Errorf("%d of %d requests were sent again, in %s", b.meter.retries, sent, took(run))
		}
	})
}

// TestRetriesOfOneAccount: one account that fails now and then does not use up what all accounts may send again.
func TestRetriesOfOneAccount(t *testing.T) {
	f := newFake(t, 1)
	grants := make([]fakeGrant, 800)
	for i := range grants {
		grants[i] = fakeGrant{id32(1<<20 + i), accountID(0)}
	}
	f.accounts[accountID(0)].grants["domain"] = grants
	seen := map[string]bool{}
	var mu sync.Mutex
	f.lie("policy", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		mu.Lock()
		again := seen[r.URL.Path]
		seen[r.URL.Path] = true
		mu.Unlock()
		if !again {
			say(503, "")(w, r, truth)
			return
		}
		truth(w, r)
	})
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		wantReasons(t, b.run(), map[rules.Reason]int{rules.ReasonUnreachable: 1})
		if b.meter.retries > 10 {
			t.Errorf("%d retries", b.meter.retries)
		}
	})
}

// TestRetriesComeApart: what fails together does not come back together.
func TestRetriesComeApart(t *testing.T) {
	f := newFake(t, 4)
	var mu sync.Mutex
	failed := map[string]bool{}
	f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		mu.Lock()
		key := accessKey.FindString(r.Header.Get("Authorization"))
		again := failed[key]
		failed[key] = true
		mu.Unlock()
		if !again {
			say(503, "")(w, r, truth)
			return
		}
		truth(w, r)
	})
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		wantReasons(t, b.run(), map[rules.Reason]int{"": 4})
		sent := b.asked(func(s sending) bool { return s.operation == "agencies" })
		for i := 5; i < len(sent); i++ {
			if sent[i].at.Equal(sent[i-1].at) {
				t.Errorf("two at %s", sent[i].at)
			}
		}
	})
}

// TestBudgetsOfASweep: an account may cost so many requests and bytes, and then it is unknown.
func TestBudgetsOfASweep(t *testing.T) {
	for name, limit := range map[string]func(*huawei.Config){
		"requests": func(cfg *huawei.Config) { cfg.AccountRequests = 100 },
		"bytes":    func(cfg *huawei.Config) { cfg.AccountBytes = 1 << 20 },
	} {
		f := newFake(t, 2)
		grants := make([]fakeGrant, 500)
		for i := range grants {
			id := id32(1<<20 + i)
			grants[i] = fakeGrant{id, accountID(0)}
			f.accounts[accountID(0)].custom[id] = map[string]any{
				"id": id, "name": "c", "type": "AX", "display_name": strings.Repeat("x", 10_000), "domain_id": accountID(0), "policy": document("a:b:c"),
			}
		}
		f.accounts[accountID(0)].grants["domain"] = grants
		synctest.Test(t, func(t *testing.T) {
			cfg := f.config()
			limit(&cfg)
			b := inBubble(t, f, cfg)
			mustObserve(t, b.cloud, 1) // reads the catalogue
			b.forget()
			u := unknown(t, b.cloud, 0, rules.ReasonBudget)
			if !strings.Contains(u.Detail, "sweep") || !strings.Contains(u.Detail, strconv.Itoa(100)) && name == "requests" {
				t.Errorf("%s: %v", name, u)
			}
			if key := "raise limits.account_" + name + " if"; !strings.Contains(u.Remedy, key) {
				t.Errorf("%s: %q does not say %q", name, u.Remedy, key)
			}
			// What was not sent has no answer that could be rejected.
			if strings.Contains(u.Detail, "rejected") {
				t.Errorf("%s: an answer counts as rejected: %v", name, u)
			}
			if n := len(b.asked(all)); name == "requests" && n != 100 || name == "bytes" && (n < 90 || n > 130) {
				t.Errorf("%s: %d requests", name, n)
			}
			// Every sweep has a purse of its own.
			mustObserve(t, b.cloud, 1)
		})
	}
}

// TestAnswersThatBreakOffAreCharged: what came of an answer counts, though nothing of it is believed.
func TestAnswersThatBreakOffAreCharged(t *testing.T) {
	f := newFake(t, 1)
	f.lie("agencies", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(1<<20))
		_, _ = w.Write(make([]byte, 600<<10))
		panic(http.ErrAbortHandler)
	})
	cfg := f.config()
	cfg.AccountBytes = 1 << 20
	c, _ := open(t, cfg)
	c.Hasten()
	unknown(t, c, 0, rules.ReasonBudget)
	if n := c.Requests()["ListAgencies"]; n != 2 {
		t.Errorf("%d requests", n)
	}
}

// TestASignatureThatWaitedIsMadeAnew: a request that waited for its turn for long is signed again before it is sent.
func TestASignatureThatWaitedIsMadeAnew(t *testing.T) {
	f := newFake(t, 1)
	synctest.Test(t, func(t *testing.T) {
		cfg := f.config()
		cfg.Rate.PerAccount = 1.0 / 400
		b := inBubble(t, f, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Hour)
		defer cancel()
		start := time.Now()
		if _, _, err := b.cloud.Observe(ctx, account(0), baseline(), rules.Last{}); err != nil {
			t.Fatal(err)
		}
		sent := b.asked(all)
		for _, s := range sent {
			signed, err := time.Parse("20060102T150405Z", s.header.Get("X-Sdk-Date"))
			if err != nil || s.at.Sub(signed) > 5*time.Minute+time.Second {
				t.Errorf("%s was signed at %s and sent at %s", s.operation, signed, s.at)
			}
		}
		// Nobody had to wait for a second turn for that.
		if d := time.Since(start); d > time.Duration(len(sent))*400*time.Second {
			t.Errorf("%d requests took %s", len(sent), d)
		}
	})
}

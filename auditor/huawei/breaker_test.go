package huawei_test

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// whileIn answers otherwise from one time after the start to another, and else with the truth.
func whileIn(start func() time.Time, from, to time.Duration, otherwise answerFunc) answerFunc {
	return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if d := time.Since(start()); d >= from && d < to {
			otherwise(w, r, truth)
			return
		}
		truth(w, r)
	}
}

// always has every operation of the fake answer so.
func always(f *fake, answer answerFunc) {
	for _, step := range append(steps, "projects", "inheritedRoles") {
		f.lie(step, answer)
	}
}

// other is a baseline of another agency, for a second sweep of each account.
func other() rules.Baseline {
	b := baseline()
	b.Name, b.Agency = "other", "AnotherAgency"
	return b
}

var saysWhen = regexp.MustCompile(`not tried again before (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`)

// TestARefusedKeyIsLeftAlone: it is used once in a run, however many sweeps there are, and in every other run later, so that two
// runs after it is good again it is seen to be.
func TestARefusedKeyIsLeftAlone(t *testing.T) {
	f := newFake(t, 2)
	f.lie("agencies "+accountID(0), say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`))
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		mine := func(s sending) bool { return s.account() == accountID(0) }
		run := b.run(baseline(), other())
		wantReasons(t, run, map[rules.Reason]int{"": 2, rules.ReasonUnauthenticated: 2})
		if n := len(b.asked(mine)); n != 1 {
			t.Errorf("used %d times in a run of two sweeps", n)
		}
		if b.meter.accounts != 1 || b.meter.main {
			t.Errorf("breakers %t and %d", b.meter.main, b.meter.accounts)
		}
		said := false
		for _, s := range run.Sweeps {
			if u := s.Report.Unknown; u != nil && strings.Contains(u.Detail, "not sent") {
				m := saysWhen.FindStringSubmatch(u.Detail)
				said = m != nil && strings.Contains(u.Detail, "401")
				if m != nil {
					if at, err := time.Parse(time.RFC3339, m[1]); err != nil || time.Until(at) < 9*time.Minute {
						t.Errorf("at %s: %v", time.Now(), u)
					}
				}
			}
		}
		if !said {
			t.Error("no sweep says that nothing was sent, why, and until when")
		}
		// However long the run is.
		passes(time.Hour)
		if u := unknown(t, b.cloud, 0, rules.ReasonUnauthenticated); !strings.Contains(u.Detail, "in another run") || len(b.asked(mine)) != 1 {
			t.Errorf("used %d times in a run: %v", len(b.asked(mine)), u)
		}
		for range 4 * 24 {
			passes(15 * time.Minute)
			b.run(baseline(), other())
		}
		if n := len(b.asked(mine)); n > 49 || n < 40 {
			t.Errorf("used %d times in a day", n)
		}
		f.lie("agencies "+accountID(0), nil)
		for range 2 {
			passes(15 * time.Minute)
			run = b.run(baseline(), other())
		}
		wantReasons(t, run, map[rules.Reason]int{"": 4})
		if b.meter.accounts != 0 {
			t.Errorf("%d breakers are open", b.meter.accounts)
		}
	})
}

// TestRefusedAssumedKeys: none of them is used again after it was refused, by whatever sweep, and no more are made for a while.
func TestRefusedAssumedKeys(t *testing.T) {
	for _, from := range []time.Duration{0, time.Minute} { // from the start, and when they have proved good
		f := newFake(t, 1)
		f.accounts[accountID(0)].agencies = append(f.accounts[accountID(0)].agencies, agency(accountID(0), "Reader", 0xb00))
		synctest.Test(t, func(t *testing.T) {
			cfg := f.assuming()
			cfg.Rate.PerAccount = 1 // so that no two sweeps send something at once
			b := inBubble(t, f, cfg)
			start := time.Now()
			refusals := map[string]int{}
			for _, step := range []string{"agencies", "domain", "project"} {
				f.lie(step, whileIn(func() time.Time { return start }, from, 24*time.Hour, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
					f.mu.Lock()
					refusals[accessKey.FindString(r.Header.Get("Authorization"))]++
					f.mu.Unlock()
					say(401, `{"error_code":"APIGW.0301","error_msg":"token expires"}`)(w, r, truth)
				}))
			}
			if from > 0 {
				wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 2})
				passes(from)
			}
			b.forget()
			wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{rules.ReasonUnauthenticated: 2})
			for range 8 {
				passes(15 * time.Minute)
				wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{rules.ReasonUnauthenticated: 2})
			}
			for key, n := range refusals {
				if n > 1 {
					t.Errorf("%s was refused %d times", key, n)
				}
			}
			if n := len(b.asked(func(s sending) bool { return s.operation == "assume" })); n > 10 {
				t.Errorf("%d keys were made", n)
			}
		})
	}
}

// TestAnAccountThatIsRefusedWhenItIsEntered, while the main identity is in order, is tried once in a run.
func TestAnAccountThatIsRefusedWhenItIsEntered(t *testing.T) {
	f := newFake(t, 3)
	for id, a := range f.accounts {
		a.agencies = append(a.agencies, agency(id, "Reader", 0xb00))
	}
	f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		body, _ := io.ReadAll(r.Body)
		r.Body = readAgain(body)
		if strings.Contains(string(body), accountID(0)) {
			say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
			return
		}
		truth(w, r)
	})
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.assuming())
		for run := range 5 {
			b.forget()
			wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 4, rules.ReasonUnauthenticated: 2})
			if n := len(b.asked(func(s sending) bool { return strings.Contains(s.body, accountID(0)) })); n != 1 {
				t.Errorf("run %d: tried %d times", run, n)
			}
			passes(time.Minute)
		}
		f.lie("assume", nil)
		wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 6})
	})
}

// TestARefusedMainKey is row F38 of the fault matrix: it is used once in a run, and not in each of many runs.
func TestARefusedMainKey(t *testing.T) {
	f := newFake(t, 100)
	always(f, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if strings.Contains(r.Header.Get("Authorization"), mainID) {
			say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
			return
		}
		truth(w, r)
	})
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.assuming())
		run := b.run()
		wantReasons(t, run, map[rules.Reason]int{rules.ReasonUnauthenticated: 100})
		if n := len(b.asked(all)); n != 1 || took(run) > time.Second {
			t.Errorf("%d requests in %s", n, took(run))
		}
		if !b.meter.main {
			t.Error("the breaker is not open")
		}
		for range 12 * 24 {
			passes(5 * time.Minute)
			b.run()
		}
		if n := len(b.asked(all)); n > 60 {
			t.Errorf("%d requests in a day", n)
		}
		always(f, nil)
		for range 6 {
			passes(5 * time.Minute)
			run = b.run()
		}
		wantReasons(t, run, map[rules.Reason]int{"": 100})
		if b.meter.main {
			t.Error("the breaker is open")
		}
	})
}

// TestAMainKeyThatIsRevoked in the middle of a run is used by those few that are on their way, and then no more: no more often than
// the cloud bears, unless its answers take long.
func TestAMainKeyThatIsRevoked(t *testing.T) {
	for _, tc := range []struct {
		total    float64
		from     time.Duration
		takes    time.Duration // over and above the latency
		most     int
		accounts int
	}{
		{50, 10 * time.Second, 0, 5, 300},
		{0, 200 * time.Millisecond, 0, 5, 300},
		{200, 3 * time.Second, 150 * time.Millisecond, 5, 300},
		{0, 3 * time.Second, 150 * time.Millisecond, 5, 300},
		{200, 3 * time.Second, 400 * time.Millisecond, 13, 300},
		{0, 3 * time.Second, 400 * time.Millisecond, 13, 300},
	} {
		f := newFake(t, tc.accounts)
		synctest.Test(t, func(t *testing.T) {
			cfg := f.assuming()
			cfg.Rate.Total = tc.total
			b := inBubble(t, f, cfg)
			start := time.Now()
			refused := 0
			for _, step := range []string{"assume", "domains " + mainID} {
				revoked := whileIn(func() time.Time { return start }, tc.from, time.Hour, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
					f.mu.Lock()
					refused++
					f.mu.Unlock()
					say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)(w, r, truth)
				})
				f.lie(step, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
					passes(tc.takes)
					revoked(w, r, truth)
				})
			}
			run := b.run()
			if n := run.States[rules.StateUnknown]; n < 100 || n > 299 {
				t.Errorf("%+v: %v", tc, reasons(run))
			}
			if refused > tc.most || refused < 2 {
				t.Errorf("%+v: refused %d times", tc, refused)
			}
		})
	}
}

// TestThrottlingOfAll is row F42: nothing but 429 for ten minutes. Few requests are sent, and afterwards all is read.
func TestThrottlingOfAll(t *testing.T) {
	for _, header := range []string{"", "1", "100000"} {
		for way, config := range map[string]func(*fake) huawei.Config{"keys": (*fake).config, "agencies": (*fake).assuming} {
			t.Run(way+header, func(t *testing.T) {
				f := newFake(t, 100)
				synctest.Test(t, func(t *testing.T) {
					cfg := config(f)
					cfg.Rate = huawei.Rate{PerAccount: 8, Total: 200}
					b := inBubble(t, f, cfg)
					start := time.Now()
					always(f, whileIn(func() time.Time { return start }, 0, 10*time.Minute, throttle(1<<30, func() string { return header })))
					for time.Since(start) < 9*time.Minute {
						run := b.run()
						wantReasons(t, run, map[rules.Reason]int{rules.ReasonThrottled: 100})
						passes(2 * time.Minute)
					}
					if n := len(b.asked(all)); n > 300 {
						t.Errorf("%d requests", n)
					}
					if open := b.meter.main || b.meter.accounts > 0; !open && header != "100000" {
						t.Error("no breaker is open")
					}
					if n := b.meter.retries; n != 0 {
						t.Errorf("%d retries", n)
					}
					passes(time.Until(start.Add(25 * time.Minute)))
					wantReasons(t, b.run(), map[rules.Reason]int{"": 100})
					if b.meter.main || b.meter.accounts > 0 {
						t.Error("a breaker is open")
					}
				})
			})
		}
	}
}

// TestBurstsOfServerErrors is row F43: every minute the cloud has a fault for ten seconds, with which reads are answered. What
// falls into it is asked again a little, and then unknown; the rest is read.
func TestBurstsOfServerErrors(t *testing.T) {
	answers := []answerFunc{say(503, ""), say(500, `{"error_code":"IAM.0006","error_msg":"x"}`), lose(syscall.ECONNRESET)}
	if testing.Short() {
		answers = answers[:1]
	}
	for _, answer := range answers {
		f := newFake(t, 1000)
		synctest.Test(t, func(t *testing.T) {
			cfg := f.config()
			cfg.Rate = huawei.Rate{PerAccount: 8, Total: 40}
			b := inBubble(t, f, cfg)
			start := time.Now()
			always(f, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				if d := time.Since(start) % time.Minute; d > 20*time.Second && d < 30*time.Second {
					answer(w, r, truth)
					return
				}
				truth(w, r)
			})
			run := b.run()
			if n := run.States[rules.StateUnknown]; n > 50 {
				t.Errorf("%d of 1000 are unknown: %v", n, reasons(run))
			}
			sent := len(b.asked(all))
			if first := sent - b.meter.retries; b.meter.retries > first/10+10+int(took(run).Seconds()/6)+1 || b.meter.retries == 0 {
				t.Errorf("%d of %d requests were sent again", b.meter.retries, sent)
			}
			if sent > 6500 {
				t.Errorf("%d requests", sent)
			}
			if d := took(run); d > 4*time.Minute {
				t.Errorf("the run took %s", d)
			}
		})
	}
}

// TestACloudThatIsAway: ten thousand accounts, and nobody answers, in one way or another. The run ends soon, few requests are
// sent, and the next run after the cloud is back is whole.
func TestACloudThatIsAway(t *testing.T) {
	for name, tc := range map[string]struct {
		answer answerFunc
		reason rules.Reason
		most   int
		within time.Duration // of which the check of the main identity may take a minute
		n      int
	}{
		"hangs":     {hang, rules.ReasonTimeout, 200, 70 * time.Second, 10_000},
		"refuses":   {lose(syscall.ECONNREFUSED), rules.ReasonUnreachable, 200, 10 * time.Second, 1000},
		"503":       {say(503, ""), rules.ReasonUnreachable, 200, 10 * time.Second, 1000},
		"throttles": {throttle(1<<30, func() string { return "" }), rules.ReasonThrottled, 200, 70 * time.Second, 1000},
	} {
		for way, config := range map[string]func(*fake) huawei.Config{"keys": (*fake).config, "agencies": (*fake).assuming} {
			t.Run(name+"/"+way, func(t *testing.T) {
				n := tc.n
				if testing.Short() {
					n = 500
				}
				f := newFake(t, n)
				always(f, tc.answer)
				synctest.Test(t, func(t *testing.T) {
					cfg := config(f)
					b := inBubble(t, f, cfg)
					start := time.Now()
					run := b.run()
					if run.States[rules.StateUnknown] != n || reasons(run)[tc.reason] < n-64 {
						t.Errorf("%v", reasons(run))
					}
					if d := time.Since(start); d > tc.within || len(b.asked(all)) > tc.most {
						t.Errorf("%d requests in %s", len(b.asked(all)), d)
					}
					b.forget()
					passes(15 * time.Minute)
					start = time.Now()
					b.run()
					if d := time.Since(start); d > tc.within || len(b.asked(all)) > 20 {
						t.Errorf("the next run: %d requests in %s", len(b.asked(all)), d)
					}
					if u := run.Sweeps[n-1].Report.Unknown; !strings.Contains(u.Detail, "not sent") && way == "keys" {
						t.Errorf("%v", u)
					}
					always(f, nil)
					passes(15 * time.Minute)
					start = time.Now()
					a, _ := b.Accounts(t.Context())
					for _, acct := range a.Accounts[200:] { // the rest is the same
						delete(f.accounts, acct.ID)
					}
					wantReasons(t, b.run(), map[rules.Reason]int{"": 200})
					if d := time.Since(start); d > 5*time.Second {
						t.Errorf("with the cloud back: %s", d)
					}
				})
			})
		}
	}
}

// TestAShortFaultOfTheCloud costs time and nothing else: the requests wait for the one that is let through.
func TestAShortFaultOfTheCloud(t *testing.T) {
	faults := []time.Duration{4 * time.Second, time.Second, 15 * time.Second}
	if testing.Short() {
		faults = faults[:1]
	}
	for _, lasts := range faults {
		f := newFake(t, 1000)
		synctest.Test(t, func(t *testing.T) {
			cfg := f.config()
			cfg.Rate = huawei.Rate{PerAccount: 8, Total: 200}
			b := inBubble(t, f, cfg)
			start := time.Now()
			always(f, whileIn(func() time.Time { return start }, 10*time.Second, 10*time.Second+lasts, lose(syscall.ECONNREFUSED)))
			run := b.run()
			// What the retries could not save is what was on its way, of a few accounts.
			if n := run.States[rules.StateUnknown]; n > 10 {
				t.Errorf("a fault of %s: %v", lasts, reasons(run))
			}
			if d := took(run); d > 35*time.Second+2*lasts {
				t.Errorf("a fault of %s: the run took %s", lasts, d)
			}
			if n := len(b.asked(all)); n > 6100 {
				t.Errorf("a fault of %s: %d requests", lasts, n)
			}
			if strings.Count(b.log.String(), "breaker opened") != 1 || strings.Count(b.log.String(), "breaker closed") != 1 {
				t.Errorf("log\n%s", b.log.String())
			}
		})
	}
}

// TestNoAccountOpensTheBreakerForOthers: four accounts fail as often as they can, in whatever way, and the fifth does not notice.
func TestNoAccountOpensTheBreakerForOthers(t *testing.T) {
	for name, answer := range map[string]answerFunc{
		"503": say(503, ""), "429": throttle(1<<30, func() string { return "0" }), "resets": lose(syscall.ECONNRESET), "401": say(401, "{}"), "hangs": hang,
	} {
		f := newFake(t, 5)
		for i := range 4 {
			for _, step := range steps {
				f.lie(step+" "+accountID(i), answer)
			}
		}
		synctest.Test(t, func(t *testing.T) {
			b := inBubble(t, f, f.config())
			for range 3 {
				start := time.Now()
				run := b.run(baseline(), other())
				if n := reasons(run)[""]; n != 2 {
					t.Errorf("%s: %v", name, reasons(run))
				}
				if d := b.ended[accountID(4)].Sub(start); d > 3*time.Second {
					t.Errorf("%s: the fifth account took %s", name, d)
				}
				if b.meter.main || b.meter.accounts > 4 {
					t.Errorf("%s: breakers %t and %d", name, b.meter.main, b.meter.accounts)
				}
			}
		})
	}
}

// TestAccountsThatHangBlindNobodyInTheNextRun: they open the breaker of the whole cloud when they are the last of a run, and there is
// no main identity whose check would close it. The others are read in every run all the same.
func TestAccountsThatHangBlindNobodyInTheNextRun(t *testing.T) {
	for _, hanging := range []int{6, 60} {
		f := newFake(t, 200)
		for i := range hanging {
			for _, step := range steps {
				f.lie(step+" "+accountID(i), hang)
			}
		}
		synctest.Test(t, func(t *testing.T) {
			cfg := f.config()
			cfg.Main = huawei.Identity{}
			b := inBubble(t, f, cfg)
			for n := range 3 {
				run := b.run()
				if known := reasons(run)[""]; known != 200-hanging {
					t.Errorf("%d hang, run %d: %v", hanging, n, reasons(run))
				}
				if n == 0 && !strings.Contains(b.log.String(), "many accounts") {
					t.Errorf("%d hang, and the breaker did not open", hanging)
				}
				passes(15 * time.Minute)
			}
		})
	}
}

// TestAnAccountThatFails for long is asked once in a run, until it is well.
func TestAnAccountThatFails(t *testing.T) {
	f := newFake(t, 2)
	for _, step := range steps {
		f.lie(step+" "+accountID(0), say(503, ""))
	}
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		mine := func(s sending) bool { return s.account() == accountID(0) }
		for range 6 {
			wantReasons(t, b.run(), map[rules.Reason]int{"": 1, rules.ReasonUnreachable: 1})
			passes(15 * time.Minute)
		}
		if b.meter.accounts != 1 {
			t.Errorf("%d breakers are open", b.meter.accounts)
		}
		b.forget()
		for range 4 {
			run := b.run(baseline(), other())
			wantReasons(t, run, map[rules.Reason]int{"": 2, rules.ReasonUnreachable: 2})
			passes(16 * time.Minute)
		}
		if n := len(b.asked(mine)); n != 4 {
			t.Errorf("%d requests in four runs", n)
		}
		for _, step := range steps {
			f.lie(step+" "+accountID(0), nil)
		}
		wantReasons(t, b.run(baseline(), other()), map[rules.Reason]int{"": 4})
		if b.meter.accounts != 0 {
			t.Errorf("%d breakers are open", b.meter.accounts)
		}
	})
}

// TestAccountsThatHangWhenTheyAreEntered first keep nobody out, though the key has not proved good yet. It is row F69.
func TestAccountsThatHangWhenTheyAreEntered(t *testing.T) {
	for _, tc := range []struct{ hanging, accounts int }{{1, 100}, {3, 100}, {4, 100}, {60, 200}} {
		f := newFake(t, tc.accounts)
		first := map[string]bool{}
		f.lie("assume", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			body, _ := io.ReadAll(r.Body)
			r.Body = readAgain(body)
			f.mu.Lock()
			if len(first) < tc.hanging {
				first[string(body)] = true
			}
			hangs := first[string(body)]
			f.mu.Unlock()
			if hangs {
				hang(w, r, truth)
				return
			}
			truth(w, r)
		})
		synctest.Test(t, func(t *testing.T) {
			b := inBubble(t, f, f.assuming())
			for range 3 {
				start := time.Now()
				run := b.run()
				if n := reasons(run)[""]; n != tc.accounts-tc.hanging {
					t.Errorf("%d hang: %v", tc.hanging, reasons(run))
				}
				within := time.Second + time.Duration(tc.hanging)*300*time.Millisecond
				for id, at := range b.ended {
					hangs := false
					for body := range first {
						hangs = hangs || strings.Contains(body, id)
					}
					if d := at.Sub(start); !hangs && d > within {
						t.Errorf("%d hang: account %s took %s", tc.hanging, id, d)
					}
				}
				passes(2 * time.Hour) // the kept keys end, and all are entered anew
			}
		})
	}
}

// TestAssumptionsThatHangAreNotManyUnasked: of those that are not answered, no more are under way than may be refused without
// the identity being checked in between.
func TestAssumptionsThatHangAreNotManyUnasked(t *testing.T) {
	f := newFake(t, 100)
	f.lie("assume", hang)
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.assuming())
		start := time.Now()
		b.run()
		unasked, most, total := 0, 0, 0
		for _, s := range b.asked(func(s sending) bool { return s.at.Sub(start) < 19*time.Second }) {
			switch s.operation {
			case "domains":
				unasked = 0
			case "assume":
				unasked++
				total++
			}
			most = max(most, unasked)
		}
		if most > 3 || total < 10 {
			t.Errorf("%d of %d in a row", most, total)
		}
	})
}

// TestClocks is row F39 and what belongs to it: a clock that is off is warned of once, and the remedy of a refusal says how far
// it is off; one answer that lies about the time changes nothing.
func TestClocks(t *testing.T) {
	dated := func(off time.Duration) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
			truth(w, r)
		}
	}
	const warning = "clock is wrong"
	f := newFake(t, 3)
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		b.run()
		f.lie("agencies "+accountID(1), dated(20*time.Minute))
		b.run()
		if strings.Contains(b.log.String(), warning) {
			t.Errorf("one answer lied\n%s", b.log.String())
		}
		always(f, dated(-20*time.Minute))
		f.lie("agencies "+accountID(1), nil)
		b.run()
		b.run()
		if n := strings.Count(b.log.String(), warning); n != 1 || !strings.Contains(b.log.String(), "ahead_of_the_cloud=20m") {
			t.Errorf("%d warnings\n%s", n, b.log.String())
		}
		if d := b.meter.skews[len(b.meter.skews)-1]; d < 19*time.Minute || d > 21*time.Minute {
			t.Errorf("skew %s", d)
		}
		f.lie("agencies "+accountID(0), func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			dated(-20*time.Minute)(w, r, func(w http.ResponseWriter, r *http.Request) {
				say(401, `{"error_code":"APIGW.0301","error_msg":"signature expired"}`)(w, r, nil)
			})
		})
		u := unknown(t, b.cloud, 0, rules.ReasonUnauthenticated)
		if !strings.Contains(u.Remedy, "20m0s ahead of the cloud's") {
			t.Errorf("remedy %q", u.Remedy)
		}
		always(f, nil)
		f.lie("agencies "+accountID(0), nil)
		b.run()
		if n := strings.Count(b.log.String(), "agrees with the cloud's again"); n != 1 {
			t.Errorf("log\n%s", b.log.String())
		}
	})
	// A refusal and a date together are enough at the first answer.
	f = newFake(t, 1)
	f.lie("agencies", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		say(401, "{}")(w, r, nil)
	})
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		run := b.run()
		if u := run.Sweeps[0].Report.Unknown; u == nil || !strings.Contains(u.Remedy, "behind the cloud's") ||
			!strings.Contains(b.log.String(), warning) {
			t.Errorf("%+v\n%s", u, b.log.String())
		}
	})
}

// TestBreakersCountWhatIsOpen: while the whole cloud is away, nothing is sent with any identity.
func TestBreakersCountWhatIsOpen(t *testing.T) {
	f := newFake(t, 20)
	always(f, say(503, ""))
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, f.config())
		b.run()
		if b.meter.main || b.meter.accounts != 20 {
			t.Errorf("breakers %t and %d", b.meter.main, b.meter.accounts)
		}
	})
}

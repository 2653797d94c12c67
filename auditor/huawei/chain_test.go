package huawei_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// hostID is the account in which the program runs, and strangerID one with which it has nothing to do.
const hostID, strangerID = "b0000000000000000000000000000000", "e0000000000000000000000000000000"

// chained has the main identity be an agency that the key of a server assumes; the last account has keys of its own.
func (f *fake) chained(via huawei.Via) (huawei.Config, *metadata) {
	cfg, m := f.fetching(), newMetadata()
	m.account = hostID
	cfg.Main.AccountID = hostID
	cfg.Main.Chain = &huawei.Chain{AccountID: mainID, Access: huawei.Access{Agency: "Hop", Via: via}}
	if via == huawei.ViaSTS {
		cfg.Main.Chain.Access.ExternalID = "sesame"
	}
	return cfg, m
}

// addMain adds the main identity's account to those that there are.
func (f *fake) addMain(t *testing.T) {
	f.accounts[mainID] = newFake(t, 1).accounts[accountID(0)]
	f.accounts[mainID].agencies[0]["domain_id"], f.accounts[mainID].grants = mainID, map[string][]fakeGrant{}
}

// of returns the requests that were signed with keys of an account.
func (b *bubble) of(account string) []sending {
	return b.asked(func(s sending) bool { return s.account() == account })
}

// uses says what was asked with keys of an account, and with which of them: each once, in order.
func (b *bubble) uses(account string) string {
	var list []string
	for _, s := range b.of(account) {
		use := strings.TrimPrefix(s.key, account+"-") + " " + s.operation
		if len(list) == 0 || list[len(list)-1] != use {
			list = append(list, use)
		}
	}
	return strings.Join(list, ", ")
}

// TestAChain: the program's own key does one thing, which is to assume the chain's agency; everything else is done by that.
func TestAChain(t *testing.T) {
	for via, by := range map[huawei.Via]string{huawei.ViaIAM: "assume", huawei.ViaSTS: "assumeSTS"} {
		t.Run(by, func(t *testing.T) {
			f := newFake(t, 10)
			cfg, m := f.chained(via)
			f.addMain(t)
			synctest.Test(t, func(t *testing.T) {
				b := inBubble(t, f, cfg)
				m.under(b.cloud)
				for run, hops := range []int{1, 1, 2, 2, 3} { // every 16 minutes; the keys of each hop last an hour
					wantReasons(t, b.run(), map[rules.Reason]int{"": 11})
					if m.given != hops || len(b.came("chain")) != hops {
						t.Errorf("after run %d: %d keys were given and %d made by the chain, want %d", run, m.given, len(b.came("chain")), hops)
					}
					if run == 0 {
						if got, want := b.uses(hostID), "AK1 domains, AK1 "+by; got != want {
							t.Errorf("with the program's own key: %s, want %s", got, want)
						}
						if got := b.of(mainID); len(got) < 10 || got[0].operation != "domains" || got[1].operation == "domains" {
							t.Errorf("with the key of the chain, first of all: %v", got)
						}
					}
					passes(16 * time.Minute)
				}
				is, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{})
				if err != nil || len(is.Members) != 11 {
					t.Errorf("the organization has %d accounts: %v", len(is.Members), err)
				}
				about := map[string]bool{}
				for _, s := range b.asked(all) {
					hop := s.account() == hostID
					switch hops := strings.Contains(s.body, "Hop"); {
					case s.operation == "domains":
						about[s.key] = true
					case (hop || s.account() == mainID) && !about[s.key]:
						t.Errorf("%s was sent with the key %s before it was asked whose it is", s.operation, s.key)
					case hop && !hops, !hop && hops:
						t.Errorf("%s was sent with the key %s: %s", s.operation, s.key, s.body)
					case hops && (!strings.Contains(s.body, mainID) || !strings.Contains(s.body, `"duration_seconds":3600`) ||
						strings.Contains(s.body, `"external_id":"sesame"`) != (via == huawei.ViaSTS)):
						t.Errorf("the hop was asked for with %s", s.body)
					case strings.HasPrefix(s.operation, "assume") && !hop && s.account() != mainID:
						t.Errorf("%s was sent with the key %s", s.operation, s.key)
					}
				}
				if strings.Contains(b.log.String(), "canary") {
					t.Error("the log holds a secret")
				}
			})
		})
	}
}

// came returns what the meter heard of keys that came by a way.
func (b *bubble) came(way string) []string {
	return slices.DeleteFunc(slices.Clone(b.meter.refreshed), func(s string) bool { return s != way+" came" })
}

// TestAChainFromAKeyThatDoesNotChange begins with a permanent key, which another account may be read with as well.
func TestAChainFromAKeyThatDoesNotChange(t *testing.T) {
	f := newFake(t, 3)
	synctest.Test(t, func(t *testing.T) {
		cfg, _ := f.chained(huawei.ViaIAM)
		cfg.Main.Source, cfg.Main.Keys = nil, huawei.Keys{
			AccessKey: huawei.NewSecret("AK-" + hostID), SecretKey: huawei.NewSecret("canary"),
		}
		b := inBubble(t, f, cfg)
		for range 3 {
			wantReasons(t, b.run(), map[rules.Reason]int{"": 3})
			passes(renewedAfter)
		}
		if got, want := b.uses(hostID), "AK domains, AK assume, AK domains, AK assume, AK domains, AK assume"; got != want {
			t.Errorf("with the program's own key: %s, want %s", got, want)
		}
	})
}

// TestAChainIsRenewedInTheMiddle of a run, with both hops; the old keys do while it cannot be, and are not used beyond their end.
func TestAChainIsRenewedInTheMiddle(t *testing.T) {
	f := newFake(t, 60)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.chained(huawei.ViaSTS)
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		next := 0
		enter := func(want rules.Reason, with string) {
			t.Helper()
			b.forget()
			var wg sync.WaitGroup
			for range 8 {
				a := account(next)
				next++
				wg.Go(func() {
					_, _, err := b.Observe(t.Context(), a, baseline(), rules.Last{})
					if u, _ := errors.AsType[*rules.Unknown](err); (u == nil) != (want == "") || u != nil && u.Reason != want {
						t.Errorf("%s: %v, want %q", a.Name, err, want)
					}
				})
			}
			wg.Wait()
			if got := b.uses(hostID) + "; " + b.uses(mainID); got != with {
				t.Errorf("sent %s, want %s", got, with)
			}
		}
		enter("", "AK1 domains, AK1 assumeSTS; TK1 domains, TK1 assume")
		m.do(func() { m.hang = true })
		passes(renewedAfter)
		enter("", "AK1 domains, AK1 assumeSTS; TK10 domains, TK10 assume") // the key of the server, too, is still good
		passes(renewedAfter)                                               // and now it is not
		enter("", "; TK10 assume")
		m.do(func() { m.hang, m.account = false, strangerID })
		passes(2 * time.Minute)
		enter("", "; TK10 assume") // the stranger's key is asked about, and goes no further
		if got := b.uses(strangerID); got != "AK2 domains" {
			t.Errorf("with a key of another account: %s", got)
		}
		m.do(func() { m.account = hostID })
		passes(2 * time.Minute)
		f.lie("assumeSTS "+hostID, say(403, `{"error_code":"STS5.1001","error_msg":"no"}`))
		enter("", "AK3 domains, AK3 assumeSTS; TK10 assume")
		passes(25 * time.Minute)
		enter(rules.ReasonDenied, "AK3 domains, AK3 assumeSTS; ")
	})
}

// TestAChainThatFails costs exactly what is entered by it, says at which hop and who puts it right, and is whole again in the next
// run.
func TestAChainThatFails(t *testing.T) {
	refused := say(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}`)
	denied := say(403, `{"error":{"message":"You are not authorized","code":403,"title":"Forbidden"}}`)
	keyOf := func(account string) answerFunc {
		return func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			edit(func(body string) string { return strings.ReplaceAll(body, mainID, account) })(w, r, truth)
		}
	}
	const chain, hop = "the chain to account " + mainID, "the chain to account " + mainID + `: assuming its agency "Hop": `
	for name, tc := range map[string]struct {
		on      string
		answer  answerFunc
		change  func(*metadata)
		reason  rules.Reason
		detail  string
		remedy  string
		with    string // the program's own key
		further string // the chain's
	}{
		"the source is away": {
			change: func(m *metadata) { m.lies["PUT"] = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) } },
			reason: rules.ReasonUnreachable, detail: chain + " was not begun: getting the program's own identity's key from the metadata service: ",
			remedy: "run the program on a server of the cloud",
		},
		"a key of another account": {
			on: "domains " + hostID, answer: edit(func(b string) string { return strings.ReplaceAll(b, hostID, strangerID) }),
			reason: rules.ReasonUnauthenticated,
			detail: chain + " was not begun: the program's own identity must belong to account " + hostID +
				", and the cloud says that its key belongs to account " + strangerID,
			remedy: "configure a key of the right account", with: "AK1 domains",
		},
		"a refused key": {
			on: "domains " + hostID, answer: refused, reason: rules.ReasonUnauthenticated,
			detail: chain + " was not begun: asking whose the program's own identity's key is: ",
			remedy: "check that the server's agency, whose key the metadata service gave, still exists", with: "AK1 domains",
		},
		"no such agency": {
			on: "assume " + hostID, answer: denied, reason: rules.ReasonDenied, detail: hop,
			remedy: "an administrator of account " + mainID + " creates the agency, lets it trust account " + hostID + " and lets it assume the " +
				"agencies of the accounts that are read; an administrator of account " + hostID + " gives the program's own identity Agent Operator",
			with: "AK1 domains, AK1 assume",
		},
		"a hop that is refused": {
			on: "assume " + hostID, answer: refused, reason: rules.ReasonUnauthenticated, detail: hop,
			remedy: "check that the server's agency", with: "AK1 domains, AK1 assume",
		},
		"a hop with half a key": {
			on: "assume " + hostID, answer: edit(func(b string) string { return strings.ReplaceAll(b, "canary-temporary-secret", "") }),
			reason: rules.ReasonRejected, detail: hop + "the cloud answered with half a temporary key", remedy: "nothing on the way answers in its place",
			with: "AK1 domains, AK1 assume",
		},
		"a hop that is soon over": {
			on: "assume " + hostID, answer: edit(func(b string) string {
				at := func(d time.Duration) string { return time.Now().Add(d).UTC().Format("2006-01-02T15:04:05") }
				return strings.ReplaceAll(b, at(time.Hour), at(4*time.Minute))
			}),
			reason: rules.ReasonRejected, detail: hop + "the cloud answered with a temporary key that ends at ", remedy: "nothing on the way",
			with: "AK1 domains, AK1 assume",
		},
		"a hop into another account": {
			on: "assume " + hostID, answer: keyOf(strangerID), reason: rules.ReasonUnauthenticated,
			detail: "the main identity must belong to account " + mainID + ", and the cloud says that its key belongs to account " + strangerID,
			remedy: "no account is entered with this one", with: "AK1 domains, AK1 assume",
		},
		"a hop whose key is refused": {
			on: "domains " + mainID, answer: refused, reason: rules.ReasonUnauthenticated, detail: "asking whose the main identity's key is: ",
			remedy: `check that the chain's agency "Hop" of account ` + mainID + " still exists and still trusts account " + hostID,
			with:   "AK1 domains, AK1 assume", further: "TK1 domains",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, 6)
			synctest.Test(t, func(t *testing.T) {
				cfg, m := f.chained(huawei.ViaIAM)
				b := inBubble(t, f, cfg)
				m.under(b.cloud)
				if tc.change != nil {
					m.do(func() { tc.change(m) })
				}
				f.lie(tc.on, tc.answer)
				run := b.run()
				wantReasons(t, run, map[rules.Reason]int{"": 1, tc.reason: 5})
				u := run.Sweeps[0].Report.Unknown
				if u == nil || !strings.Contains(u.Detail, tc.detail) || !strings.Contains(u.Remedy, tc.remedy) || run.Complete {
					t.Errorf("%v\n%+v", u, u)
				}
				if refused := name == "a refused key" || name == "a hop whose key is refused"; b.meter.main != refused || b.meter.accounts != 0 {
					t.Errorf("open breakers: %t, %d", b.meter.main, b.meter.accounts)
				}
				if _, err := b.cloud.Organization(t.Context(), huawei.OrganizationQuery{}); err == nil || !strings.Contains(err.Error(), tc.detail) {
					t.Errorf("the organization: %v", err)
				}
				if _, _, err := b.cloud.Observe(t.Context(), rules.Account{ID: mainID}, baseline(), rules.Last{}); err == nil || !strings.Contains(err.Error(), tc.detail) {
					t.Errorf("the chain's account: %v", err)
				}
				if p := b.cloud.Probe(t.Context(), account(0), []string{coc}); p.Well() || !strings.Contains(p.Tries[0].Why.Detail, tc.detail) {
					t.Errorf("the doctor says %+v", p.Tries[0])
				}
				if with, further := b.uses(hostID), b.uses(mainID); with != tc.with || further != tc.further {
					t.Errorf("sent %q with the program's own key and %q with the chain's, want %q and %q", with, further, tc.with, tc.further)
				}
				for _, s := range b.of(strangerID) {
					if s.operation != "domains" {
						t.Errorf("%s was sent with a key of another account", s.operation)
					}
				}
				if strings.Contains(b.log.String()+fmt.Sprintf("%+v", u), "canary") {
					t.Error("a secret came out")
				}
				f.lie(tc.on, nil)
				m.do(func() { clear(m.lies) })
				passes(11 * time.Minute)
				wantReasons(t, b.run(), map[rules.Reason]int{"": 6})
			})
		})
	}
}

// TestTheAccountBehindAChainOfSTS is told by the answer, so that nothing at all is asked with a key of another one.
func TestTheAccountBehindAChainOfSTS(t *testing.T) {
	f := newFake(t, 2)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.chained(huawei.ViaSTS)
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		f.lie("assumeSTS "+hostID, edit(func(b string) string { return strings.ReplaceAll(b, mainID, strangerID) }))
		run := b.run()
		wantReasons(t, run, map[rules.Reason]int{"": 1, rules.ReasonRejected: 1})
		if got := b.of(strangerID); len(got) > 0 {
			t.Errorf("sent %v", got)
		}
		if u := run.Sweeps[0].Report.Unknown; u == nil || !strings.Contains(u.Detail, "which was not asked for") {
			t.Errorf("%v", u)
		}
	})
}

// TestARefusalOfTheChainsKey in the middle of a run bars all that is signed with it, and the next run has another key.
func TestARefusalOfTheChainsKey(t *testing.T) {
	f := newFake(t, 8)
	cfg, m := f.chained(huawei.ViaIAM)
	f.addMain(t)
	synctest.Test(t, func(t *testing.T) {
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		wantReasons(t, b.run(), map[rules.Reason]int{"": 9})
		bad := 2 // keys of the chain
		f.lie("agencies "+mainID, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if len(b.came("chain")) <= bad {
				say(401, `{"error_code":"APIGW.0301","error_msg":"Incorrect IAM authentication information"}`)(w, r, truth)
				return
			}
			truth(w, r)
		})
		for range bad {
			run := b.run()
			wantReasons(t, run, map[rules.Reason]int{"": 8, rules.ReasonUnauthenticated: 1}) // the others by keys that are still good
			if u := run.Sweeps[0].Report.Unknown; u == nil || !strings.Contains(u.Remedy, "check that the chain's agency") {
				t.Errorf("%v\n%+v", u, u)
			}
			if !b.meter.main {
				t.Error("the main identity's breaker is not said to be open")
			}
		}
		wantReasons(t, b.run(), map[rules.Reason]int{"": 9})
		if b.meter.main || len(b.came("chain")) != bad+1 {
			t.Errorf("open: %t; the chain was entered %d times", b.meter.main, len(b.came("chain")))
		}
	})
}

// TestAChainThatHangs keeps nobody waiting for long whose keys are still good, and costs a run no more than its check may take.
func TestAChainThatHangs(t *testing.T) {
	for _, on := range []string{"domains " + hostID, "assume " + hostID} {
		f := newFake(t, 9)
		synctest.Test(t, func(t *testing.T) {
			cfg, m := f.chained(huawei.ViaIAM)
			b := inBubble(t, f, cfg)
			m.under(b.cloud)
			mustObserve(t, b.cloud, 0)
			passes(renewedAfter)
			f.lie(on, func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { <-r.Context().Done() })
			for i := range 2 { // the second within a minute
				began := time.Now()
				mustObserve(t, b.cloud, 1+i)
				if took, most := time.Since(began), time.Duration(11-10*i)*time.Second; took > most {
					t.Errorf("%s hangs: it took %v", on, took)
				}
			}
			passes(time.Hour)
			began := time.Now()
			run := b.run()
			wantReasons(t, run, map[rules.Reason]int{"": 1, rules.ReasonTimeout: 8})
			if took := time.Since(began); took > 2*time.Minute {
				t.Errorf("%s hangs: the run took %v", on, took)
			}
		})
	}
}

// TestAChainThatIsAskedToWait keeps nobody waiting whose keys are still good.
func TestAChainThatIsAskedToWait(t *testing.T) {
	f := newFake(t, 8)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.chained(huawei.ViaIAM)
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		mustObserve(t, b.cloud, 0)
		passes(renewedAfter)
		f.lie("assume "+hostID, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			w.Header().Set("Retry-After", "300")
			say(429, `{"error_code":"APIGW.0308","error_msg":"throttled"}`)(w, r, truth)
		})
		began := time.Now()
		if err := b.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		mustObserve(t, b.cloud, 1)
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// TestKeysOfAChainThatNeverEnd are made anew within the hour that was asked for all the same.
func TestKeysOfAChainThatNeverEnd(t *testing.T) {
	f := newFake(t, 2)
	synctest.Test(t, func(t *testing.T) {
		cfg, m := f.chained(huawei.ViaIAM)
		b := inBubble(t, f, cfg)
		m.under(b.cloud)
		f.lie("assume "+hostID, edit(func(b string) string { return strings.ReplaceAll(b, `"expires_at":"2`, `"expires_at":"3`) }))
		for range 2 {
			wantReasons(t, b.run(), map[rules.Reason]int{"": 2})
			passes(renewedAfter)
		}
		if n := len(b.came("chain")); n != 2 {
			t.Errorf("the chain was entered %d times", n)
		}
	})
}

// TestChainsThatCannotBe has configurations of chains.
func TestChainsThatCannotBe(t *testing.T) {
	f := newFake(t, 1)
	for want, change := range map[string]func(*huawei.Config){
		"is no account id":           func(c *huawei.Config) { c.Main.Chain.AccountID = "../x" },
		"the account that the key":   func(c *huawei.Config) { c.Main.Chain.AccountID = hostID },
		"it names no agency":         func(c *huawei.Config) { c.Main.Chain.Access = huawei.Access{Keys: f.assuming().Main.Keys} },
		"both keys and an agency":    func(c *huawei.Config) { c.Main.Chain.Access.Keys = f.assuming().Main.Keys },
		"the address of STS is not":  func(c *huawei.Config) { c.Endpoints.STS = "" },
		"access key and secret key":  func(c *huawei.Config) { c.Main.Source = nil },
		`main identity: "" is no`:    func(c *huawei.Config) { c.Main.AccountID = "" },
		"is needed to check whose k": func(c *huawei.Config) { c.Main = huawei.Identity{Chain: c.Main.Chain} },
	} {
		cfg, _ := f.chained(huawei.ViaSTS)
		change(&cfg)
		if _, err := huawei.New(cfg, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	cfg, _ := f.chained(huawei.ViaSTS)
	if _, err := huawei.New(cfg, nil); err != nil {
		t.Error(err)
	}
}

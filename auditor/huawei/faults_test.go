package huawei_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
	bundled "github.com/agencyaudit/agencyaudit/rules/baseline"
)

// The rows of the fault matrix (see cmd/agencyaudit) that need hours, or a bug in the SDK, are played here: the auditor and a
// simulated cloud in one process and without a network, so that time can be virtual.

// indoors is a network without wires: requests are answered by the cloud in the same goroutine.
type indoors struct{ cloud *simcloud.Cloud }

// RoundTrip has the cloud answer.
func (n indoors) RoundTrip(req *http.Request) (*http.Response, error) {
	r := req.Clone(req.Context())
	r.RequestURI, r.RemoteAddr = req.URL.RequestURI(), "192.0.2.1:1234"
	if r.Host == "" {
		r.Host = req.URL.Host
	}
	w := httptest.NewRecorder()
	n.cloud.ServeHTTP(w, r)
	if err := req.Context().Err(); err != nil {
		return nil, err // who gives up is not served
	}
	return w.Result(), nil
}

// told is what a meter is told.
type told struct {
	mu        sync.Mutex
	refreshed map[bool]int
	// main and accounts are the breakers that are open at the moment.
	main     bool
	accounts int
}

func (m *told) Request(string, string, int, time.Duration) {}
func (m *told) Rejected(string)                            {}
func (m *told) Retried(string)                             {}
func (m *told) Skew(time.Duration)                         {}
func (m *told) Refreshed(_ string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshed[ok]++
}

func (m *told) Breakers(main bool, accounts int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.main, m.accounts = main, accounts
}

// played is an auditor of a simulated organization.
type played struct {
	*auditor.Auditor
	cloud    *simcloud.Cloud
	reader   *huawei.Cloud
	meter    *told
	log      bytes.Buffer
	panicked []string
}

// accounts is an inventory of a simulated organization.
type accounts []rules.Account

// Accounts lists them.
func (a accounts) Accounts(context.Context) (auditor.Listing, error) {
	return auditor.Listing{Accounts: a}, nil
}

// play makes an auditor of n accounts. All but the first are entered by an agency, every second has drifted.
func play(t *testing.T, n int) *played {
	t.Helper()
	org := simcloud.GenerateSteady(11, n)
	for i := 1; i < n; i += 2 {
		agencies := append([]simcloud.Agency(nil), org.Accounts[i].Agencies...)
		for j := range agencies {
			if agencies[j].Name == coc {
				agencies[j].Grants = agencies[j].Grants[1:]
			}
		}
		org.Accounts[i].Agencies = agencies
	}
	cloud, err := simcloud.NewAt(org, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	p := &played{cloud: cloud, meter: &told{refreshed: map[bool]int{}}}
	log := slog.New(slog.NewJSONHandler(&p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	cfg := simConfig(org, &simcloud.Server{URL: "http://127.0.0.1:1"})
	cfg.Meter, cfg.RequestTimeout = p.meter, 10*time.Minute
	if p.reader, err = huawei.New(cfg, log); err != nil {
		t.Fatal(err)
	}
	p.reader.WrapTransport(func(http.RoundTripper) http.RoundTripper { return indoors{cloud} })
	b, ok := bundled.Bundled("coc")
	if !ok {
		t.Fatal("there is no baseline coc")
	}
	var list accounts
	for _, a := range org.Accounts {
		list = append(list, rules.Account{ID: a.ID, Name: a.Name, RequireAgency: true})
	}
	p.Auditor = &auditor.Auditor{
		Inventory: list, Observer: p.reader, Baselines: []rules.Baseline{b}, Logger: log, Now: time.Now,
		Concurrency: 8, RunTimeout: time.Hour, AccountTimeout: 30 * time.Minute,
		Panicked: func(where string) { p.panicked = append(p.panicked, where) },
	}
	return p
}

// run makes a run and returns the reasons for which accounts are unknown; every other account must be judged as it is.
func (p *played) run(t *testing.T) map[int]rules.Reason {
	t.Helper()
	run, err := p.Run(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	unknown := map[int]rules.Reason{}
	for i, a := range p.Inventory.(accounts) {
		for _, s := range run.Sweeps {
			if s.Report.Account.ID != a.ID {
				continue
			}
			want := []rules.State{rules.StateCompliant, rules.StateDrifted}[i%2]
			switch {
			case s.Report.State == rules.StateUnknown:
				unknown[i] = s.Report.Unknown.Reason
			case s.Report.State != want:
				t.Errorf("account %d is said to be %s, and is %s", i, s.Report.State, want)
			}
		}
	}
	return unknown
}

// end wants nothing to have been written, and no key in the log.
func (p *played) end(t *testing.T) {
	t.Helper()
	if n := len(p.cloud.Journal()); n > 0 {
		t.Errorf("%d writes", n)
	}
	for _, a := range p.cloud.Organization().Accounts {
		if strings.Contains(p.log.String(), a.Users[0].Keys[0].Secret) {
			t.Errorf("the log shows the key of %s", a.Name)
		}
	}
}

// F58: a panic in the SDK costs the account whose answer it was, wherever it comes, and nobody else.
func TestFaultPanic(t *testing.T) {
	p := play(t, 8)
	if unknown := p.run(t); len(unknown) > 0 {
		t.Fatal(unknown)
	}
	list := p.Inventory.(accounts)
	for i, operation := range []string{"ListAgencies", "ShowDomainRoleAssignments", "ListAttachedAgencyPoliciesV5"} {
		mend := p.reader.PanicIn(list[i+2].ID, operation, "a value with canary-in-a-panic")
		if unknown := p.run(t); len(unknown) != 1 || unknown[i+2] != rules.ReasonPanic {
			t.Errorf("with a panic in %s of account %d: %v", operation, i+2, unknown)
		}
		if got := strings.Join(p.panicked, " "); got != auditor.PlaceRead {
			t.Errorf("panics in %q, want one in %q", got, auditor.PlaceRead)
		}
		p.panicked = nil
		mend()
		if unknown := p.run(t); len(unknown) > 0 || len(p.panicked) > 0 {
			t.Errorf("after the panic in %s: %v, %v", operation, unknown, p.panicked)
		}
	}
	if log := p.log.String(); strings.Contains(log, "canary") || !strings.Contains(log, "panic_type") {
		t.Error("the log shows what the panic held, or does not show where it was")
	}
	p.end(t)
}

// F37: temporary keys are valid for an hour. In a day of runs no request is refused, also where a reading goes on past the end
// of its keys: then it begins anew, with others.
func TestFaultKeysThatEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n, runs = 6, 24 * 4
		p := play(t, n)
		refused := func() (count int) {
			for _, c := range p.cloud.Counters() {
				for _, times := range c.Refused {
					count += times
				}
			}
			return count
		}
		for range runs {
			if unknown := p.run(t); len(unknown) > 0 {
				t.Fatal(unknown)
			}
			passes(15 * time.Minute)
		}
		if got := refused(); got > 0 {
			t.Errorf("%d requests were refused", got)
		}
		if ok, failed := p.meter.refreshed[true], p.meter.refreshed[false]; ok != 24*(n-1) || failed > 0 {
			t.Errorf("%d temporary keys were made and %d were not, want one for each of %d accounts and hours", ok, failed, n-1)
		}
		// From now on an answer takes four minutes. The keys have six left when the first account is entered.
		if unknown := p.run(t); len(unknown) > 0 {
			t.Fatal(unknown)
		}
		before := p.meter.refreshed[true]
		passes(50 * time.Minute)
		if err := p.cloud.SetSettings(simcloud.Settings{Latency: 4 * time.Minute}); err != nil {
			t.Fatal(err)
		}
		if unknown := p.run(t); len(unknown) > 0 {
			t.Error(unknown)
		}
		if got := refused(); got == 0 {
			t.Error("no key ended while it was used: the test tests nothing")
		}
		if got := p.meter.refreshed[true] - before; got != n-1 {
			t.Errorf("%d temporary keys were made anew, want %d", got, n-1)
		}
		p.end(t)
	})
}

// outage is a fault that lasts for hours.
type outage struct {
	begin, end func(t *testing.T, p *played)
	// victims says which accounts it is of, reason why they are unknown.
	victim func(n int) bool
	reason rules.Reason
}

// runs lets an outage last for so many runs, one every fifteen minutes, and wants everything to be known after two more.
func (o outage) runs(t *testing.T, p *played, runs int, during func(t *testing.T, run int)) {
	t.Helper()
	const every = 15 * time.Minute
	wake := func(began time.Time) { passes(time.Until(began.Add(every))) }
	for range 2 {
		began := time.Now()
		if unknown := p.run(t); len(unknown) > 0 {
			t.Fatal(unknown)
		}
		wake(began)
	}
	o.begin(t, p)
	for run := range runs {
		began := time.Now()
		p.cloud.ResetCounters()
		unknown := p.run(t)
		for n := range p.Inventory.(accounts) {
			if why := unknown[n]; o.victim(n) && why != o.reason || !o.victim(n) && why != "" {
				t.Errorf("in run %d of the outage account %d is unknown for %q", run+1, n, why)
			}
		}
		during(t, run)
		wake(began)
	}
	o.end(t, p)
	for run := range 2 {
		began := time.Now()
		unknown := p.run(t)
		if run == 1 && len(unknown) > 0 {
			t.Errorf("two runs after an outage of %d: %v", runs, unknown)
		}
		wake(began)
	}
	p.end(t)
}

// refused counts the answers of a status to requests with keys of an account.
func (p *played) refused(n, status int) (count int) {
	for _, c := range p.cloud.Counters() {
		if c.AccountID == p.Inventory.(accounts)[n].ID {
			count += c.Refused[status]
		}
	}
	return count
}

// asked counts all requests.
func (p *played) asked() (count int) {
	for _, c := range p.cloud.Counters() {
		count += c.OK
		for _, n := range c.Refused {
			count += n
		}
	}
	return count
}

// F38, F39: however long a key is refused, or all keys are since the clock is wrong, none is tried more than three times in a run,
// and after the end of it everything is known again within two.
func TestFaultRefusedKeys(t *testing.T) {
	settings := func(s simcloud.Settings) func(t *testing.T, p *played) {
		return func(t *testing.T, p *played) {
			if err := p.cloud.SetSettings(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	drift := func(kind string) func(t *testing.T, p *played) {
		return func(t *testing.T, p *played) {
			if err := p.cloud.Drift(simcloud.Drift{Kind: kind, Account: p.Inventory.(accounts)[0].ID}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, o := range map[string]outage{
		"main key revoked": {drift(simcloud.DriftSuspend), drift(simcloud.DriftResume), func(int) bool { return true }, rules.ReasonUnauthenticated},
		"clock 20 minutes off": {
			settings(simcloud.Settings{ClockOffset: 20 * time.Minute}), settings(simcloud.Settings{}), func(int) bool { return true }, rules.ReasonUnauthenticated,
		},
	} {
		for _, runs := range []int{1, 2, 3, 4, 8, 96} {
			t.Run(fmt.Sprintf("%s, %d runs", name, runs), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := play(t, 6)
					o.runs(t, p, runs, func(t *testing.T, run int) {
						for n := range p.Inventory.(accounts) {
							if tries := p.refused(n, http.StatusUnauthorized); tries > 3 {
								t.Errorf("in run %d a key of account %d was tried %d times", run+1, n, tries)
							}
						}
					})
				})
			})
		}
	}
}

// F42: in ten minutes of 429 for everything less is asked than in ten minutes without, and afterwards everything is known again
// within two runs. A run is made every minute.
func TestFaultTenMinutesOf429(t *testing.T) {
	for name, retryAfter := range map[string]bool{"with Retry-After": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n, runs = 8, 10
				p := play(t, n)
				p.RunTimeout, p.AccountTimeout = 50*time.Second, 20*time.Second
				minute := func() map[int]rules.Reason {
					began := time.Now()
					unknown := p.run(t)
					passes(time.Until(began.Add(time.Minute)))
					return unknown
				}
				for range 2 {
					if unknown := minute(); len(unknown) > 0 {
						t.Fatal(unknown)
					}
				}
				p.cloud.ResetCounters()
				for range runs {
					minute()
				}
				usual := p.asked()
				set := func(s simcloud.Settings) {
					s.Switches.RetryAfter = retryAfter
					if err := p.cloud.SetSettings(s); err != nil {
						t.Fatal(err)
					}
				}
				set(simcloud.Settings{Failures: []simcloud.Failure{{Style: "status_429"}}})
				p.cloud.ResetCounters()
				for range runs {
					if unknown := minute(); len(unknown) != n {
						t.Errorf("only %d accounts are unknown: %v", len(unknown), unknown)
					}
				}
				if got := p.asked(); got > usual {
					t.Errorf("%d requests were sent in %d minutes of 429, and %d in as many without", got, runs, usual)
				} else {
					t.Logf("%d requests in %d minutes of 429, %d in as many without", got, runs, usual)
				}
				if !p.meter.main || p.meter.accounts == 0 {
					t.Errorf("no breaker is open: %v, %d", p.meter.main, p.meter.accounts)
				}
				set(simcloud.Settings{})
				minute()
				if unknown := minute(); len(unknown) > 0 {
					t.Errorf("two runs later: %v", unknown)
				}
				p.end(t)
			})
		})
	}
}

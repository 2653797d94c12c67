package huawei_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// bubble is a fake that is asked without a network, in the time of a synctest bubble, and what it was asked when. The fake
// is made outside of the bubble, since it listens.
type bubble struct {
	*fake
	t     *testing.T
	cloud *huawei.Cloud
	meter *meter
	log   *buffer

	mu   sync.Mutex
	sent []sending
	// ended is when each account's last sweep ended.
	ended map[string]time.Time
}

// sending is one request.
type sending struct {
	at time.Time
	// operation is the fake's word, key the access key without its kind, and header the request's.
	operation, key string
	header         http.Header
	body           string
}

// account is the account that a request is charged to: the one that the key is of.
func (s sending) account() string {
	id, _, _ := strings.Cut(s.key, "-")
	return id
}

// latency is how long every answer takes.
const latency = 20 * time.Millisecond

// inBubble makes a reader of the fake. It is called in the bubble.
func inBubble(t *testing.T, f *fake, cfg huawei.Config) *bubble {
	t.Helper()
	b := &bubble{fake: f, t: t, meter: &meter{}, log: &buffer{}, ended: map[string]time.Time{}}
	cfg.Meter = b.meter
	c, err := huawei.New(cfg, slog.New(slog.NewTextHandler(b.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c.WrapTransport(func(http.RoundTripper) http.RoundTripper { return roundTripper(b.roundTrip) })
	b.cloud = c
	return b
}

func (b *bubble) roundTrip(r *http.Request) (*http.Response, error) {
	s := sending{at: time.Now(), header: r.Header.Clone()}
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		s.body = string(body)
		r.Body = io.NopCloser(strings.NewReader(s.body))
	}
	if m := accessKey.FindStringSubmatch(r.Header.Get("Authorization")); m != nil {
		s.key = m[2] + "-" + m[1] + m[3]
	}
	for _, route := range routes {
		if route.method == r.Method && route.path.MatchString(r.URL.Path) {
			s.operation = route.name
		}
	}
	b.mu.Lock()
	b.sent = append(b.sent, s)
	b.mu.Unlock()
	select {
	case <-time.After(latency):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	rec := httptest.NewRecorder()
	rec.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	if err := answered(func() { b.fake.ServeHTTP(rec, r) }); err != nil {
		return nil, err
	}
	if r.Context().Err() != nil {
		return nil, r.Context().Err()
	}
	return rec.Result(), nil
}

// lost is what a handler panics with that brings no answer.
type lost struct{ error }

// answered runs a handler and returns the error with which it lost the answer.
func answered(handle func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case lost:
			err = p.error
		default:
			panic(p)
		}
	}()
	handle()
	return nil
}

// lose loses the answer.
func lose(err error) answerFunc {
	return func(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic(lost{err}) }
}

// asked returns the requests that a condition holds of.
func (b *bubble) asked(of func(sending) bool) []sending {
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []sending
	for _, s := range b.sent {
		if of(s) {
			found = append(found, s)
		}
	}
	return found
}

func all(sending) bool { return true }

// forget forgets what was asked.
func (b *bubble) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = nil
}

// Observe is the cloud's, with a note of its end.
func (b *bubble) Observe(ctx context.Context, a rules.Account, base rules.Baseline, last rules.Last) (
	rules.Evidence, auditor.Trail, error,
) {
	ev, trail, err := b.cloud.Observe(ctx, a, base, last)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended[a.ID] = time.Now()
	return ev, trail, err
}

// PolicyIDs is the cloud's.
func (b *bubble) PolicyIDs(ctx context.Context, names []string) (map[string][]string, time.Time, error) {
	return b.cloud.PolicyIDs(ctx, names)
}

// Verify is the cloud's.
func (b *bubble) Verify(ctx context.Context) error { return b.cloud.Verify(ctx) }

// Accounts are all of the fake's, in order.
func (b *bubble) Accounts(context.Context) (auditor.Listing, error) {
	var list []rules.Account
	for _, id := range slices.Sorted(maps.Keys(b.accounts)) {
		list = append(list, rules.Account{ID: id, Name: "account " + id[20:]})
	}
	return auditor.Listing{Accounts: list}, nil
}

// run makes a run as the daemon does, by its default limits.
func (b *bubble) run(baselines ...rules.Baseline) *auditor.Run {
	b.t.Helper()
	if baselines == nil {
		baselines = []rules.Baseline{baseline()}
	}
	a := &auditor.Auditor{
		Inventory: b, Observer: b, Baselines: baselines, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Concurrency: 64, RunTimeout: 10 * time.Minute, AccountTimeout: time.Minute,
	}
	run, err := a.Run(b.t.Context(), "test", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return run
}

// reasons counts the sweeps of a run by why they are unknown; those that are not, under nothing.
func reasons(run *auditor.Run) map[rules.Reason]int {
	found := map[rules.Reason]int{}
	for _, s := range run.Sweeps {
		why := rules.Reason("")
		if s.Report.Unknown != nil {
			why = s.Report.Unknown.Reason
		}
		found[why]++
	}
	return found
}

func took(run *auditor.Run) time.Duration { return run.EndedAt.Sub(run.StartedAt) }

// wantReasons checks reasons.
func wantReasons(t *testing.T, run *auditor.Run, want map[rules.Reason]int) {
	t.Helper()
	if got := reasons(run); !maps.Equal(got, want) {
		t.Errorf("sweeps by reason %v, want %v", got, want)
		for _, s := range run.Sweeps {
			if u := s.Report.Unknown; u != nil {
				t.Logf("such as %s: %v", s.Report.Account.Name, u)
				break
			}
		}
	}
}

// passes lets time go by in a bubble.
func passes(d time.Duration) { <-time.After(d) }

// readAgain makes a body of what was read.
func readAgain(body []byte) io.ReadCloser { return io.NopCloser(bytes.NewReader(body)) }

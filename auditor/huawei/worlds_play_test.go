package huawei_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

const (
	// worldPages bounds the lists in the worlds.
	worldPages = 150
)

// sweepTime is how long one sweep may take in the worlds.
const sweepTime = 3 * time.Minute

// game is one playing of a world.
type game struct {
	w     *world
	sky   *sky
	cloud *huawei.Cloud
	tally *tally
	// shown is the exposition, in some worlds.
	shown *exposition
	run   int
	// names is what the catalogue said last; nil when it said nothing.
	names map[string][]string
	// catalogueLied says that an answer about the catalogue was whole and untrue: one account reads it for all.
	catalogueLied bool
	// believedOnce says that one byte of an answer was another, and was believed.
	believedOnce bool
	// read is when the reading really began that the last evidence of an account rests on.
	read map[string]time.Time
	// refused is when a key of an account was last answered with 401.
	refused map[string]time.Time
	// runs are those that gave a result, in their order.
	runs  []*auditor.Run
	snaps []*auditor.Snapshot
	// wrong is what was found, the first few.
	wrong []string
	mu    sync.Mutex
}

func (g *game) broken(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.wrong) < 20 {
		g.wrong = append(g.wrong, fmt.Sprintf(format, args...))
	}
}

// secret keys of a world open nothing.
func worldKeys(name string) huawei.Keys {
	return huawei.Keys{AccessKey: huawei.NewSecret("AK-" + name), SecretKey: huawei.NewSecret("canary-secret")}
}

// newGame makes everything ready, within the bubble in which it is played.
func newGame(w *world, t *tally) (*game, error) {
	g := &game{w: w, sky: newSky(w, t), tally: t, read: map[string]time.Time{}, refused: map[string]time.Time{}}
	cfg := huawei.Config{
		Endpoints: huawei.Endpoints{IAM: "https://iam.example.com"}, UserAgent: "agencyaudit/worlds", Main: huawei.Identity{Keys: worldKeys("home"), AccountID: homeID},
		Accounts: make(map[string]huawei.Access, len(w.members)), SessionDuration: w.session, CatalogueAge: w.catalogueAge,
		MaxBody: worldMaxBody, MaxPages: worldPages, Meter: worldMeter{t: t}, Now: time.Now,
		Rate: w.rate, AccountRequests: w.budget,
	}
	for _, m := range w.members {
		access := huawei.Access{Agency: entrance}
		if m.own {
			access = huawei.Access{Keys: worldKeys(m.account.ID)}
		}
		cfg.Accounts[m.account.ID] = access
	}
	var err error
	if g.cloud, err = huawei.New(cfg, nil); err != nil {
		return nil, err
	}
	if !w.sdk {
		g.cloud.UseLight(g.stagger)
	}
	g.cloud.Chance(w.seed)
	g.cloud.WrapTransport(func(http.RoundTripper) http.RoundTripper { return g.sky })
	return g, nil
}

// stagger has requests begin at instants of their own, so that luck does not decide whose turn comes first.
func (g *game) stagger(req *http.Request) {
	h := uint64(len(req.Method))
	for _, s := range []string{req.URL.Path, req.URL.RawQuery, req.Header.Get("Authorization")} {
		for i := range len(s) {
			h = h*1099511628211 ^ uint64(s[i])
		}
	}
	time.Sleep(time.Duration(mix(h) % uint64(100*time.Microsecond)))
}

// worldMeter counts what the reader says of its requests.
type worldMeter struct {
	huawei.NoMeter
	t *tally
}

// Rejected counts an answer that was not believed.
func (m worldMeter) Rejected(reason string) { m.t.count("rejected " + reason) }

// Retried counts a request that was sent again.
func (m worldMeter) Retried(string) { m.t.count("retried") }

// Breakers counts the breakers that open.
func (m worldMeter) Breakers(main bool, accounts int) {
	if main || accounts > 0 {
		m.t.count("breaker open")
	}
}

// Accounts is the inventory of the run under way.
func (g *game) Accounts(context.Context) (auditor.Listing, error) {
	if g.w.inventoryFailures[g.run] {
		return auditor.Listing{}, errors.New("the inventory cannot be had")
	}
	var list []rules.Account
	for i := range g.w.members {
		m := g.w.members[i]
		if g.w.order != nil {
			m = g.w.members[g.w.order[i]]
		}
		if gone, ok := g.w.vanished[g.run]; !ok || gone != m.n {
			list = append(list, m.account)
		}
	}
	return auditor.Listing{Accounts: list}, nil
}

// observer has the accounts begin one after the other, a microsecond apart, so that luck decides nothing.
type observer struct {
	*huawei.Cloud
	g *game
}

// Observe reads an account.
func (o observer) Observe(
	ctx context.Context, a rules.Account, b rules.Baseline, last rules.Last,
) (rules.Evidence, auditor.Trail, error) {
	time.Sleep(time.Duration(o.g.sky.member(a.ID).n+1) * time.Microsecond)
	return o.Cloud.Observe(ctx, a, b, last)
}

// PolicyIDs is asked once for each run.
func (o observer) PolicyIDs(ctx context.Context, names []string) (map[string][]string, time.Time, error) {
	ids, at, err := o.Cloud.PolicyIDs(ctx, names)
	o.g.names = ids
	return ids, at, err
}

// play makes the world's runs, and then calm ones until everything that can be known is.
func (g *game) play() {
	w := g.w
	accounts := make([]rules.Account, len(w.members))
	for i, m := range w.members {
		accounts[i] = m.account
	}
	baselines := []rules.Baseline{w.baseline}
	snapshot := auditor.NewSnapshot(auditor.Subjects(accounts, baselines), baselines, w.maxAge)
	a := &auditor.Auditor{
		Inventory: g, Observer: observer{g.cloud, g}, Baselines: baselines, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Concurrency: w.concurrency, RunTimeout: 10 * time.Minute, AccountTimeout: sweepTime,
	}
	g.sky.onRequest = func(n int) {
		if n%11 == 0 { // scrapes while a run is under way
			g.scrape(snapshot)
		}
		if n%32 == 0 {
			g.expose(snapshot)
		}
	}
	g.commit(snapshot)
	const patience = 2 // intervals after which everything is known
	for n := 0; ; n++ {
		calm := n - w.runs
		if calm >= 0 && g.settled(snapshot) {
			if calm > 0 {
				g.tally.count("recovered")
			}
			break
		}
		if calm >= patience && !slices.ContainsFunc(w.members, func(m *member) bool { return g.leftAlone(m, time.Now()) }) {
			g.broken("L3: not everything is known %d intervals after the last fault: %s", patience, g.unsettled(snapshot))
			break
		}
		g.run = n
		if d := time.Until(began.Add(time.Duration(n+1) * w.interval)); d > 0 {
			time.Sleep(d / 2)
			g.scrape(snapshot)
			g.expose(snapshot)
			time.Sleep(time.Until(began.Add(time.Duration(n+1) * w.interval)))
		}
		g.sky.open(n, calm >= 0)
		a.Before = snapshot
		run, err := a.Run(context.Background(), "worlds", nil)
		if err != nil {
			if !w.inventoryFailures[n] {
				g.broken("L3: run %d: %v", n, err)
			}
			g.tally.count("run without inventory")
			g.snaps = append(g.snaps, nil)
			g.runs = append(g.runs, nil)
			continue
		}
		next := snapshot.Next(run)
		g.check(run, snapshot, next)
		snapshot = next
		g.commit(snapshot)
		g.expose(snapshot)
		g.runs, g.snaps = append(g.runs, run), append(g.snaps, next)
		if len(g.wrong) > 0 {
			return
		}
	}
	g.tally.add("requests", g.sky.requests)
}

// settled says whether everything that can be known is.
func (g *game) settled(s *auditor.Snapshot) bool { return g.unsettled(s) == "" }

// unsettled names an account that is unknown and need not be.
func (g *game) unsettled(s *auditor.Snapshot) string {
	for i := range s.Standings {
		st := &s.Standings[i]
		if st.Last == nil || st.Last.Report.State != rules.StateUnknown {
			if st.Last == nil {
				return "no run yet"
			}
			continue
		}
		m := g.sky.member(st.Account.ID)
		u := st.Last.Report.Unknown
		// With every answer true, it may still be unknown for what it is.
		votes := map[string]int{trustID: len(g.w.members)}
		want := g.truth(m, m.last(), around{now: time.Now(), catalogue: g.names, votes: votes}, time.Now())
		if want.state == "unknown" && (want.reason == string(u.Reason) || want.reason == "ambiguous" && m.habits.agencyCap > 0) {
			continue
		}
		return fmt.Sprintf("%q: %s (%s), and by the oracle %v", m.account.Name, u.Reason, u.Detail, want)
	}
	return ""
}

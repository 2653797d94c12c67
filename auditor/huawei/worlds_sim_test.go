package huawei_test

import (
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The same once more through the official SDK and real HTTP: generated organizations of the simulated cloud, which fails in
// its own ways. There is no virtual time, so that nothing changes while an account is read, and no answer is late but in a
// few worlds; and the cloud keeps no books, so that what was told is known from its settings.

const defaultSimWorlds = 20

// simFailures are the ways of the simulated cloud to fail that are cheap enough, late those that keep a client waiting.
var (
	simFailures = []string{
		"html_502", "html_200", "empty_200", "object_200", "null_200", "redirect_302", "redirect_metadata", "status_400", "status_401",
		"status_403", "status_404", "status_429", "status_500", "status_503", "error_200", "key_expired", "reset", "reset_mid_body",
		"short_body", "truncated", "status_202", "status_204", "status_206", "status_304", "gzip", "gzip_bomb", "trailing_bytes",
		"deep_json", "invalid_utf8", "duplicate_key", "wrong_case_key", "wrong_type", "null_list", "empty_list", "no_id", "same_id",
		"foreign_rows", "count_off", "page_loop", "page_overlap",
	}
	simLate = []string{"hang", "drip", "slow_body"}
)

// simOperations are the requests of this program with the endpoints that they stand for.
var simOperations = []struct {
	name string
	eps  []endpoint
}{
	{"ListAgencies", []endpoint{epAgencies, epAllAgencies}},
	{"ShowDomainRoleAssignments", []endpoint{epGlobal, epInherited, epProject, epEnterprise}},
	{"ListAttachedAgencyPoliciesV5", []endpoint{epIdentity}},
	{"ListDomainPermissionsForAgency", []endpoint{epGlobalRoles}},
	{"ListAllProjectsPermissionsForAgency", []endpoint{epInheritedRoles}},
	{"KeystoneListPermissions", []endpoint{epCatalogue}},
	{"KeystoneShowPermission", []endpoint{epPolicy}},
	{"KeystoneListProjects", []endpoint{epProjects}},
	{"KeystoneListAuthDomains", []endpoint{epDomains}},
	{"CreateTemporaryAccessKeyByAgency", []endpoint{epAssume}},
}

// simWorld is a world of the simulated cloud.
type simWorld struct {
	*game
	r     *rand.Rand
	cloud *simcloud.Cloud
	late  bool
}

// newSimWorld makes the world of a seed, and the cloud that it is in.
func newSimWorld(t *testing.T, seed uint64, tally *tally) (*simWorld, func()) {
	r := rand.New(rand.NewPCG(seed, 0x51c))
	org := simcloud.Generate(seed, 1+r.IntN(5))
	org.Settings = simcloud.Settings{
		PageSize: pick(r, 0, 0, 0, 0, 0, 20), // of the thousand policies of its catalogue too
		Switches: simcloud.Switches{
			AgencyNameFilter: pick(r, "exact", "substring", "ignored"), CreateTimeFormat: pick(r, "no_zone", "z", "six_decimals"),
			UnlimitedDuration: pick(r, "FOREVER", "null"), DuplicateDisplayName: chance(r, 1, 4), COCPolicyName: pick(r, "default", "default", "default", "default", "both", "service"),
			RMSPolicyName: pick(r, "rms", "rms", "rms", "rms", "both", "config"), Throttle: pick(r, "APIGW.0308", "IAM.0012"),
		},
	}
	cloud, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	server, err := cloud.Start(simcloud.Listen{Cloud: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		seed: seed, baseline: newBaseline(r), runs: 2, maxAge: time.Hour, concurrency: 1 + r.IntN(8), budget: 1000,
		inventoryFailures: map[int]bool{}, vanished: map[int]int{},
	}
	w.baseline.Trust.ID = ""
	if chance(r, 1, 2) {
		w.baseline.Trust.ID = cocID(cloud.Organization())
	}
	w.baseline.Cohorts[0].CreatedBefore = time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	s := &simWorld{
		game: &game{w: w, tally: tally, read: map[string]time.Time{}, refused: map[string]time.Time{}}, r: r, cloud: cloud, late: chance(r, 1, 20),
	}
	cfg := simConfig(org, server)
	cfg.Meter, cfg.MaxPages = worldMeter{t: tally}, 2000
	if s.late {
		cfg.RequestTimeout = 200 * time.Millisecond
	}
	if s.game.cloud, err = huawei.New(cfg, nil); err != nil {
		t.Fatal(err)
	}
	s.game.cloud.Hasten()
	return s, func() {
		s.game.cloud.Close()
		_ = server.Close()
	}
}

// cocID is the id of the account that the generated agencies trust.
func cocID(org *simcloud.Organization) string {
	for _, id := range org.ServiceAccounts {
		return id
	}
	return ""
}

// look reads the cloud's true state into the world.
func (s *simWorld) look() {
	org := s.cloud.Organization()
	var site []vendorPolicy
	identity := map[string]simcloud.Policy{}
	for _, p := range s.cloud.Catalogue() {
		if p.Version == "5.0" {
			identity[p.DisplayName], identity[p.ID] = p, p
			continue
		}
		site = append(site, vendorPolicy{id: p.ID, name: p.DisplayName, unbounded: slices.Contains(p.Allow, "*:*:*") || slices.Contains(p.Allow, "*"), hidden: p.Hidden})
	}
	s.w.site = []edition{{began, site}}
	precision := time.Microsecond
	if org.Settings.Switches.CreateTimeFormat == "z" {
		precision = time.Second
	}
	s.w.members = nil
	for n, a := range org.Accounts {
		m := &member{
			n: n, own: n == 0, account: rules.Account{ID: a.ID, Name: a.Name, RequireAgency: n%2 == 0},
			habits: habits{noEnterprise: a.Planes.NoEnterpriseProjects, noIdentity: a.Planes.NoIdentity},
		}
		if size := org.Settings.PageSize; size > 0 {
			m.habits.rowCap, m.habits.attachedCap, m.habits.agencyCap = size, size, size
		}
		st := &state{}
		own := maps.Clone(identity)
		for _, p := range a.Policies {
			if p.Version == "5.0" {
				own[p.DisplayName], own[p.ID] = p, p
				continue
			}
			st.custom = append(st.custom, customPolicy{id: p.ID, name: p.DisplayName, unbounded: slices.Contains(p.Allow, "*:*:*") || slices.Contains(p.Allow, "*")})
		}
		places := map[string]string{}
		for _, p := range slices.Concat(a.Projects, a.EnterpriseProjects) {
			places[p.Name], places[p.ID] = p.ID, p.ID
		}
		for _, g := range a.Agencies {
			rec := &agencyRecord{
				id: g.ID, name: g.Name, trustID: g.Trust.ID, trustName: g.Trust.Name, created: g.CreatedAt.Truncate(precision), ends: g.ExpiresAt.Truncate(precision),
			}
			if g.Trust.HideName {
				rec.trustName = ""
			}
			if g.ExpiresAt.IsZero() {
				rec.ends = time.Time{}
			}
			for _, x := range g.Grants {
				plane := slices.Index(rules.Planes(), rules.ScopeKind(x.Scope))
				rec.rows[plane] = append(rec.rows[plane], row{x.PolicyID, places[x.In]})
			}
			for _, name := range g.Attached {
				p := own[name]
				urn := "iam::system:policy:" + p.DisplayName
				if slices.ContainsFunc(a.Policies, func(c simcloud.Policy) bool { return c.ID == p.ID }) {
					urn = "iam::" + a.ID + ":policy:" + p.DisplayName
				}
				rec.attached = append(rec.attached, attachment{p.ID, p.DisplayName, urn})
			}
			st.agencies = append(st.agencies, rec)
		}
		// The main identity is of the first account.
		if n > 0 {
			for _, g := range st.agencies {
				if g.name == entrance && g.trustID == org.Accounts[0].ID {
					g.trustID = homeID
				}
			}
		}
		m.history = []moment{{began, st}}
		s.w.members = append(s.w.members, m)
	}
	if s.sky == nil {
		s.sky = newSky(s.w, s.tally)
	}
}

// drift changes one account, and leaves it when that is not possible.
func (s *simWorld) drift() {
	org := s.cloud.Organization()
	a := org.Accounts[s.r.IntN(len(org.Accounts))]
	policy := pick(s.r, "IAM ReadOnlyAccess", "DCS UserAccess", "Tenant Guest", "ECS FullAccess", "VPC ReadOnlyAccess")
	scope := pick(s.r, "global", "all_resources")
	d := simcloud.Drift{Account: a.Name, Agency: audited}
	switch s.r.IntN(6) {
	case 0, 1:
		d.Kind, d.Grant = simcloud.DriftGrant, &simcloud.Grant{Policy: policy, Scope: scope}
	case 2, 3:
		for _, g := range a.Agencies {
			if g.Name == audited && len(g.Grants) > 0 {
				x := g.Grants[s.r.IntN(len(g.Grants))]
				d.Kind, d.Grant = simcloud.DriftRevoke, &simcloud.Grant{PolicyID: x.PolicyID, Scope: x.Scope, In: x.In}
			}
		}
	case 4:
		d.Kind, d.Trust = simcloud.DriftUpdateAgency, &simcloud.Trust{ID: hexID('c', 7, 7), Name: pick(s.r, "op_svc_coc", "evil")}
	default:
		ends := time.Now().Add(pick(s.r, -time.Hour, 48*time.Hour, 9000*time.Hour)).Truncate(time.Second)
		d.Kind, d.ExpiresAt = simcloud.DriftUpdateAgency, &ends
	}
	if d.Kind != "" && s.cloud.Drift(d) == nil {
		s.tally.count("drift")
	}
}

// fail has the cloud fail in this run, and writes into the books what it may say.
func (s *simWorld) fail(run int, calm bool) {
	s.sky.open(run, calm)
	for _, b := range s.sky.books {
		b.requests = s.w.budget
		for ep := range epCount {
			b.honest[ep], b.asked[ep] = 1, 2
		}
	}
	settings := s.cloud.Settings()
	settings.Failures = nil
	styles := simFailures
	if s.late {
		styles = append(slices.Clone(styles), slices.Repeat(simLate, 8)...)
	}
	for n := pick(s.r, 0, 1, 1, 1, 2, 3); n > 0 && !calm; n-- {
		m := s.w.members[s.r.IntN(len(s.w.members))]
		op := simOperations[s.r.IntN(len(simOperations))]
		f := simcloud.Failure{Account: m.account.Name, Operation: op.name, Style: pick(s.r, styles...), Skip: pick(s.r, 0, 0, 1, 2), Times: pick(s.r, 1, 2, 4)}
		if chance(s.r, 1, 6) {
			f.Account = ""
		}
		eps := op.eps
		if op.name == "ShowDomainRoleAssignments" && chance(s.r, 1, 2) {
			i := s.r.IntN(2)
			f.Query, eps = map[string]string{"scope": pick(s.r, "project", "enterprise_project")}, []endpoint{epProject, epEnterprise}
			if i == 0 {
				f.Query, eps = map[string]string{"scope": "domain"}, []endpoint{epGlobal, epInherited}
			}
		}
		settings.Failures = append(settings.Failures, f)
		if s.cloud.SetSettings(settings) != nil { // the style makes no sense for the operation
			settings.Failures = settings.Failures[:len(settings.Failures)-1]
			n++
			continue
		}
		s.tally.count("style " + f.Style)
		shared := eps[0] == epAssume || eps[0] == epDomains && (f.Account == "" || m.n == 0)
		s.sky.home.spoilt = s.sky.home.spoilt || shared
		if shared {
			s.sky.home.touched = append(s.sky.home.touched, f.Style)
		}
		for _, x := range s.w.members {
			if f.Account == "" || x == m || shared {
				s.sky.books[x.n].expect(f, eps)
			}
		}
	}
	if err := s.cloud.SetSettings(settings); err != nil {
		panic(err)
	}
}

// expect writes down what an account may be told by a failure.
func (b *book) expect(f simcloud.Failure, eps []endpoint) {
	b.spoilt = true
	b.touched = append(b.touched, f.Style, f.Style)
	short := f.Style == "empty_list" || (f.Style == "page_loop" || f.Style == "page_overlap") && (eps[0] <= epAllAgencies || eps[0] == epCatalogue)
	for _, ep := range eps {
		for range f.Times {
			if short {
				b.lies = append(b.lies, lie{ep: ep, kind: f.Style})
			}
		}
	}
}

// play makes the runs.
func (s *simWorld) play(t *testing.T) {
	s.look()
	accounts := make([]rules.Account, len(s.w.members))
	for i, m := range s.w.members {
		accounts[i] = m.account
	}
	baselines := []rules.Baseline{s.w.baseline}
	snapshot := auditor.NewSnapshot(auditor.Subjects(accounts, baselines), baselines, s.w.maxAge)
	a := &auditor.Auditor{
		Inventory: s.game, Observer: observer{s.game.cloud, s.game}, Baselines: baselines, Logger: slog.New(slog.DiscardHandler), Now: time.Now,
		Concurrency: s.w.concurrency, RunTimeout: time.Minute, AccountTimeout: time.Minute,
	}
	for n := 0; ; n++ {
		calm := n - s.w.runs
		if calm >= 0 && s.settled(snapshot) {
			break
		}
		if calm >= 2 {
			if !slices.ContainsFunc(s.w.members, func(m *member) bool { return s.leftAlone(m, time.Now()) }) {
				s.broken("L3: not everything is known 2 runs after the last failure: %s", s.unsettled(snapshot))
			}
			break
		}
		if n > 0 && calm < 0 {
			for range 1 + s.r.IntN(2) {
				s.drift()
			}
		}
		s.run = n
		s.look()
		s.fail(n, calm >= 0)
		a.Before = snapshot
		run, err := a.Run(t.Context(), "worlds", nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range run.Sweeps {
			s.sky.books[s.sky.member(run.Sweeps[i].Report.Account.ID).n].first = run.Sweeps[i].StartedAt
		}
		if s.late { // on a busy machine any answer may be
			for _, b := range s.sky.books {
				b.spoilt = true
			}
		}
		next := snapshot.Next(run)
		s.check(run, snapshot, next)
		if snapshot = next; len(s.wrong) > 0 {
			return
		}
	}
	if writes := s.cloud.Journal(); len(writes) > 0 {
		s.broken("%d writes: %+v", len(writes), writes)
	}
}

// TestSimWorlds plays AGENCYAUDIT_SIM_WORLDS worlds through the SDK, or the one of AGENCYAUDIT_SIM_SEED.
func TestSimWorlds(t *testing.T) {
	from, to := uint64(1), uint64(defaultSimWorlds)
	if testing.Short() {
		to /= 4
	}
	if text := os.Getenv("AGENCYAUDIT_SIM_WORLDS"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		to = n
	}
	if text := os.Getenv("AGENCYAUDIT_SIM_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		from, to = n, n
	}
	all := newTally()
	next, failed := atomic.Uint64{}, atomic.Int64{}
	next.Store(from - 1)
	started := time.Now()
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1); seed <= to && failed.Load() < 10; seed = next.Add(1) {
				s, done := newSimWorld(t, seed, all)
				s.play(t)
				done()
				all.count("worlds")
				if len(s.wrong) > 0 {
					failed.Add(1)
				}
				for _, line := range s.wrong[:min(3, len(s.wrong))] {
					t.Errorf("AGENCYAUDIT_SIM_SEED=%d: %s", seed, line)
				}
			}
		})
	}
	wg.Wait()
	if n := int(to - from + 1); n >= 500 && failed.Load() == 0 {
		least := map[string]int{"evidence": 2 * n, "must be known": n, "second witness": n / 4, "reason rejected": n / 10, "drift": n / 2, "retried": n / 20}
		for _, style := range simFailures {
			least["style "+style] = n / 100
		}
		for what, want := range least {
			if got := all.counts[what]; got < want {
				t.Errorf("%q happened %d times in %d worlds, want at least %d: the campaign proves too little", what, got, n, want)
			}
		}
	}
	all.print(int(to-from+1), time.Since(started))
}

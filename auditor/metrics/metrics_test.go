package metrics

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const hour = time.Hour

var base = rules.Baseline{Name: "coc", SourceDate: "2025-08-08", Digest: "abc", Agency: "A", Required: []rules.Requirement{
	{Policy: "P", Scope: rules.Global}, {Policy: "Q", Scope: rules.AllResources},
}}

func account(n int) rules.Account {
	return rules.Account{ID: fmt.Sprintf("d%031d", n), Name: fmt.Sprintf("account-%d", n)}
}

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time      { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func open(t testing.TB) (*Metrics, *clock) {
	t.Helper()
	c := &clock{t: noon}
	m, err := New(Options{Version: "v1", Revision: "r", Now: c.now, Operations: []Operation{{"iam", "List", 200}, {"iam", "Create", 201}}})
	if err != nil {
		t.Fatal(err)
	}
	return m, c
}

func snapshot(accounts ...rules.Account) *auditor.Snapshot {
	b := []rules.Baseline{base}
	return auditor.NewSnapshot(auditor.Subjects(accounts, b), b, hour)
}

func judged(a rules.Account, at time.Time, state rules.State, p, q rules.Coverage, findings ...rules.Finding) auditor.Sweep {
	return auditor.Sweep{StartedAt: at, EndedAt: at, RequestIDs: []string{"r"}, Report: rules.Report{
		Account: a, Baseline: "coc", AgencyName: "A", State: state, Findings: findings,
		Agency: &rules.Agency{ID: "g", ExpiresAt: at.Add(1000 * hour)},
		Required: []rules.Covered{
			{Policy: "P", Scope: rules.Global, Coverage: p}, {Policy: "Q", Scope: rules.AllResources, Coverage: q},
		},
	}}
}

func dark(a rules.Account, at time.Time, why rules.Reason) auditor.Sweep {
	return auditor.Sweep{StartedAt: at, EndedAt: at, Report: rules.Report{
		Account: a, Baseline: "coc", AgencyName: "A", State: rules.StateUnknown, Unknown: &rules.Unknown{Reason: why},
	}}
}

func run(sweeps ...auditor.Sweep) *auditor.Run {
	return &auditor.Run{
		ID: "1", Program: "v1", Complete: true, CatalogueAt: map[string]time.Time{"coc": noon}, StartedAt: noon, EndedAt: noon.Add(time.Second), Baselines: []rules.Baseline{base}, Sweeps: sweeps,
	}
}

func scrape(t testing.TB, m *Metrics, header ...string) (*httptest.ResponseRecorder, []byte) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w, w.Body.Bytes()
}

func parse(t testing.TB, text []byte) map[string]*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("the reference parser refuses the exposition: %v\n%s", err, text)
	}
	return families
}

// lines are the series of the fleet that mention the account, without namespace and the labels that all of them have.
func lines(t testing.TB, m *Metrics, a rules.Account) string {
	t.Helper()
	w, text := scrape(t, m)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, text)
	}
	parse(t, text)
	var out []string
	for line := range strings.SplitSeq(string(text), "\n") {
		acct := fmt.Sprintf(`account=%q,account_id=%q,agency="A"`, a.Name, a.ID)
		if name, rest, ok := strings.Cut(line, acct); ok {
			line = strings.TrimPrefix(name, "agencyaudit_") + strings.TrimPrefix(rest, ",")
			if !strings.HasPrefix(line, "account_state{") || strings.HasSuffix(line, " 1") {
				out = append(out, strings.Replace(line, "{}", "", 1))
			}
		}
	}
	return strings.Join(out, "\n") + "\n"
}

func TestWhatIsSaidOfAnAccount(t *testing.T) {
	a := account(1)
	const exact, missing, narrower, wider = rules.CoverageExact, rules.CoverageMissing, rules.CoverageNarrower, rules.CoverageWider
	grant := func(id string, o rules.Origin) rules.Grant {
		return rules.Grant{Policy: rules.Policy{ID: id, Origin: o}}
	}
	system := grant("1", rules.System)
	for name, c := range map[string]struct {
		runs []*auditor.Run
		want string
	}{
		"before the first run": {nil, "account_info{ou=\"\"} 1\naccount_state{state=\"unknown\"} 1\naccount_unknown{reason=\"stale\"} 1\npolicy_excess_dropped 0\n"},
		"compliant": {[]*auditor.Run{run(judged(a, noon, rules.StateCompliant, exact, wider))}, `account_info{ou=""} 1
account_state{state="compliant"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 0
policy_missing{policy="Q",scope="all_resources"} 0
policy_excess_dropped 0
agency_trust_mismatch 0
agency_expiry_timestamp_seconds 1775966400
`},
		"drifted": {[]*auditor.Run{run(judged(a, noon, rules.StateDrifted, missing, narrower,
			rules.Finding{Rule: rules.RuleExcess, Policy: "Tenant", PolicyID: "1", Scope: rules.Global, Risk: rules.RiskHigh, Grants: []rules.Grant{system, system}},
			rules.Finding{Rule: rules.RuleExcess, Policy: "my \"own\"\n", PolicyID: "2", Scope: rules.Project, Risk: rules.RiskMedium, Grants: []rules.Grant{grant("2", rules.Custom)}},
			rules.Finding{Rule: rules.RuleExcess, PolicyID: "3", Scope: rules.Identity, Risk: rules.RiskMedium, Grants: []rules.Grant{grant("3", rules.Unresolved)}},
			rules.Finding{Rule: rules.RuleImpostor, Policy: "P", PolicyID: "4", Scope: rules.Global, Risk: rules.RiskCritical, Grants: []rules.Grant{grant("4", rules.Custom)}},
			rules.Finding{Rule: rules.RuleWider, Policy: "Q", PolicyID: "5", Scope: rules.AllResources, Grants: []rules.Grant{system}},
			rules.Finding{Rule: rules.RuleTrustMismatch},
		))}, `account_info{ou=""} 1
account_state{state="drifted"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 1
policy_missing{policy="Q",scope="all_resources"} 1
policy_excess{policy="P",policy_id="4",scope="global",kind="impostor",risk="critical"} 1
policy_excess{policy="Tenant",policy_id="1",scope="global",kind="grant",risk="high"} 2
policy_excess{policy="custom",policy_id="2",scope="project",kind="grant",risk="medium"} 1
policy_excess{policy="unresolved",policy_id="3",scope="identity",kind="grant",risk="medium"} 1
policy_excess{policy="Q",policy_id="5",scope="all_resources",kind="wider",risk="none"} 1
policy_excess_dropped 0
agency_trust_mismatch 1
agency_expiry_timestamp_seconds 1775966400
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="Tenant",scope="global"} 1772366400
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="custom",scope="project"} 1772366400
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="unresolved",scope="identity"} 1772366400
finding_first_seen_timestamp_seconds{rule="policy/impostor",policy="P",scope="global"} 1772366400
finding_first_seen_timestamp_seconds{rule="grant/wider",policy="Q",scope="all_resources"} 1772366400
finding_first_seen_timestamp_seconds{rule="trust/mismatch",policy="",scope=""} 1772366400
`},
		"accepted, one of two that are one series": {[]*auditor.Run{run(judged(a, noon.Add(-time.Minute), rules.StateDrifted, exact, exact,
			rules.Finding{Rule: rules.RuleTrustMismatch})), run(judged(a, noon, rules.StateDrifted, exact, exact,
			rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Waived: &rules.Acceptance{Waiver: "w", Expires: noon.Add(hour)}},
			rules.Finding{Rule: rules.RuleExcess, PolicyID: "2", Scope: rules.Project, Grants: []rules.Grant{grant("2", rules.Custom)}, Severity: rules.Info},
			rules.Finding{
				Rule: rules.RuleExcess, PolicyID: "3", Scope: rules.Project, Grants: []rules.Grant{grant("3", rules.Custom)}, Severity: rules.Info,
				Waived: &rules.Acceptance{Waiver: "w", Expires: noon.Add(hour)},
			},
		))}, `account_info{ou=""} 1
account_state{state="waived"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 0
policy_missing{policy="Q",scope="all_resources"} 0
policy_excess{policy="custom",policy_id="2",scope="project",kind="grant",risk="none"} 1
policy_excess{policy="custom",policy_id="3",scope="project",kind="grant",risk="none"} 1
policy_excess_dropped 0
agency_trust_mismatch 1
agency_expiry_timestamp_seconds 1775966400
finding_first_seen_timestamp_seconds{rule="trust/mismatch",policy="",scope=""} 1772366340
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="custom",scope="project"} 1772366400
finding_waived{rule="trust/mismatch",policy="",scope=""} 1
`},
		"unreadable after drift: ones stay, zeros go": {[]*auditor.Run{
			run(judged(a, noon, rules.StateDrifted, missing, exact, rules.Finding{Rule: rules.RuleTrustMismatch},
				rules.Finding{Rule: rules.RuleExcess, Policy: "T", PolicyID: "1", Scope: rules.Global, Risk: rules.RiskLow, Grants: []rules.Grant{system}})),
			run(dark(a, noon.Add(time.Minute), rules.ReasonDenied)),
		}, `account_info{ou=""} 1
account_state{state="unknown"} 1
account_unknown{reason="denied"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 1
policy_excess{policy="T",policy_id="1",scope="global",kind="grant",risk="low"} 1
policy_excess_dropped 0
agency_trust_mismatch 1
finding_first_seen_timestamp_seconds{rule="trust/mismatch",policy="",scope=""} 1772366400
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="T",scope="global"} 1772366400
`},
		"unreadable after compliance": {[]*auditor.Run{
			run(judged(a, noon, rules.StateCompliant, exact, exact)), run(dark(a, noon.Add(time.Minute), rules.ReasonTimeout)),
		}, `account_info{ou=""} 1
account_state{state="unknown"} 1
account_unknown{reason="timeout"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_excess_dropped 0
`},
		"two findings that are one series": {[]*auditor.Run{run(judged(a, noon, rules.StateDrifted, exact, exact,
			rules.Finding{Rule: rules.RuleExcess, Policy: "T", PolicyID: "1", Scope: rules.Project, Risk: rules.RiskLow, Grants: []rules.Grant{system}},
			rules.Finding{Rule: rules.RuleExcess, Policy: "T", PolicyID: "1", Scope: rules.Project, Risk: rules.RiskLow, Grants: []rules.Grant{system, system}},
		))}, `account_info{ou=""} 1
account_state{state="drifted"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 0
policy_missing{policy="Q",scope="all_resources"} 0
policy_excess{policy="T",policy_id="1",scope="project",kind="grant",risk="low"} 3
policy_excess_dropped 0
agency_trust_mismatch 0
agency_expiry_timestamp_seconds 1775966400
finding_first_seen_timestamp_seconds{rule="grant/excess",policy="T",scope="project"} 1772366400
`},
	} {
		t.Run(name, func(t *testing.T) {
			m, _ := open(t)
			s := snapshot(a)
			for _, r := range c.runs {
				s = s.Next(r)
			}
			if err := m.Commit(s); err != nil {
				t.Fatal(err)
			}
			if got := lines(t, m, a); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestASuspectRunIsAMetric(t *testing.T) {
	m, _ := open(t)
	a := account(1)
	says := func(why ...string) string {
		t.Helper()
		r := run(judged(a, noon, rules.StateDrifted, "missing", "exact"))
		r.Suspect = why
		if err := m.Commit(snapshot(a).Next(r)); err != nil {
			t.Fatal(err)
		}
		_, text := scrape(t, m)
		if parse(t, text); !strings.Contains(string(text), `policy_missing{account="`) {
			t.Error("what was read whole is not published")
		}
		_, after, _ := strings.Cut(string(text), "\nagencyaudit_run_suspect ")
		value, _, _ := strings.Cut(after, "\n")
		return value
	}
	if _, text := scrape(t, m); strings.Contains(string(text), "run_suspect") {
		t.Error("before the first run it says whether it is suspect")
	}
	if got := says(); got != "0" {
		t.Errorf("a run that is not suspect: %q", got)
	}
	if got := says("the inventory shrank"); got != "1" {
		t.Errorf("a suspect run: %q", got)
	}
}

// The loop hangs, and nothing is committed any more: at the scrape after max_age nothing is green.
func TestALoopThatHangsCannotKeepAnAccountGreen(t *testing.T) {
	m, c := open(t)
	a := account(1)
	if err := m.Commit(snapshot(a).Next(run(judged(a, noon, rules.StateDrifted, "missing", "exact")))); err != nil {
		t.Fatal(err)
	}
	before := m.fleet.Load()
	c.add(hour - time.Second)
	lines(t, m, a)
	if m.fleet.Load() != before {
		t.Error("it was rendered anew though nothing had changed")
	}
	c.add(time.Second)
	want := `account_info{ou=""} 1
account_state{state="unknown"} 1
account_unknown{reason="stale"} 1
account_last_complete_read_timestamp_seconds 1772366400
policy_missing{policy="P",scope="global"} 1
policy_excess_dropped 0
`
	if got := lines(t, m, a); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	once := m.fleet.Load()
	lines(t, m, a)
	if m.fleet.Load() != once || once == before {
		t.Error("it was not rendered anew exactly once")
	}
}

// The clock on the wall was ahead, and evidence too old by it: once it is right again, so are the metrics.
func TestAClockThatWasAheadIsForgotten(t *testing.T) {
	m, c := open(t)
	a := account(1)
	if err := m.Commit(snapshot(a).Next(run(judged(a, noon, rules.StateCompliant, "exact", "exact")))); err != nil {
		t.Fatal(err)
	}
	was := lines(t, m, a)
	c.add(3 * hour)
	if got := lines(t, m, a); !strings.Contains(got, `account_unknown{reason="stale"} 1`) {
		t.Errorf("three hours later:\n%s", got)
	}
	c.add(-3 * hour)
	if got := lines(t, m, a); got != was {
		t.Errorf("it shows\n%swant\n%s", got, was)
	}
	once := m.fleet.Load()
	if lines(t, m, a); m.fleet.Load() != once {
		t.Error("it was rendered anew although nothing had changed")
	}
}

// What is shown gets too old by the clock that says more: by that on the wall while the machine is suspended, by the monotonic
// one when the first is set back. Between two readings one of them always has gone on more than the other.
func TestWhatIsShownGetsOldByEitherClock(t *testing.T) {
	seen := map[bool]bool{}
	for tries := 0; len(seen) < 2; tries++ {
		first, second := time.Now(), time.Now()
		monotonic, wall := second.Sub(first), second.Round(0).Sub(first.Round(0))
		if monotonic == wall {
			if tries > 10_000_000 {
				t.Fatal("the wall clock and the monotonic one never differ")
			}
			continue
		}
		seen[wall > monotonic] = true
		f := &fleet{at: first, staleAt: first.Add(max(monotonic, wall))}
		if !f.stale(second) {
			t.Errorf("after %s by the wall clock and %s by the monotonic one nothing is stale that should be after %s", wall, monotonic, max(monotonic, wall))
		}
		if f.staleAt = f.staleAt.Add(1); f.stale(second) {
			t.Error("it is stale too early")
		}
	}
}

// Whoever renders what has got old, and whoever commits what is new, come one after the other: the old never takes the
// place of the new.
func TestRenderingIsSerial(t *testing.T) {
	var m *Metrics
	var free atomic.Int64
	m, err := New(Options{Now: func() time.Time {
		if m != nil && m.rendering.TryLock() {
			m.rendering.Unlock()
			free.Add(1)
		}
		return noon
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Commit(snapshot(account(1))); err != nil || free.Load() > 0 {
		t.Errorf("at %d times while a fleet was committed another one might have been (%v)", free.Load(), err)
	}
	m.fleet.Store(&fleet{snapshot: snapshot(account(1)), at: noon.Add(hour)})
	free.Store(0)
	if _, err := m.current(); err != nil || free.Load() != 1 {
		t.Errorf("at %d times another fleet might have been committed, want only 1, before it was seen that this one is old (%v)", free.Load(), err)
	}
}

// reference is what the official library would make of a snapshot: written naively, by the words of docs/metrics.md.
type reference struct {
	s   *auditor.Snapshot
	now time.Time
}

func (r reference) Describe(chan<- *prometheus.Desc) {}

func (r reference) Collect(ch chan<- prometheus.Metric) {
	send := func(name string, v float64, labels ...string) {
		var names, values []string
		for i := 0; i < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, labels[i+1])
		}
		ch <- prometheus.MustNewConstMetric(prometheus.NewDesc("agencyaudit_"+name, "-", names, nil), prometheus.GaugeValue, v, values...)
	}
	truth := map[bool]float64{true: 1}
	counts := map[rules.State]int{}
	for _, reason := range auditor.ExclusionReasons() {
		n := 0.0
		for _, e := range r.s.Excluded {
			n += truth[e.Reason == reason]
		}
		send("accounts_excluded", n, "reason", string(reason))
	}
	for _, st := range r.s.Standings {
		acct := []string{"account", label(st.Account.Name), "account_id", label(st.Account.ID), "agency", label(st.Agency)}
		with := func(more ...string) []string { return slices.Concat(acct, more) }
		state, why := st.At(r.now, r.s.MaxAge)
		counts[state]++
		unknown := state == rules.StateUnknown
		info := with("ou", label(st.Account.OU))
		for i, name := range tagLabels(r.s.TagKeys) {
			value := ""
			for _, tag := range st.Account.Tags {
				if tag.Key == r.s.TagKeys[i] {
					value = label(tag.Value)
				}
			}
			info = append(info, name, value)
		}
		send("account_info", 1, info...)
		for _, each := range rules.States() {
			send("account_state", truth[each == state], with("state", string(each))...)
		}
		if unknown {
			send("account_unknown", 1, with("reason", string(why.Reason))...)
		}
		if st.Evidence != nil {
			send("account_last_complete_read_timestamp_seconds", float64(st.Evidence.StartedAt.UnixMilli())/1000, acct...)
		}
		for _, c := range st.Required {
			bad := c.Coverage == rules.CoverageMissing || c.Coverage == rules.CoverageNarrower
			if bad || !unknown {
				send("policy_missing", truth[bad], with("policy", label(c.Policy), "scope", string(c.Scope))...)
			}
		}
		excess := map[[5]string]float64{}
		mismatch, ending := false, false
		for _, f := range st.Findings {
			kind := map[string]string{"grant/excess": "grant", "grant/wider": "wider", "grant/redundant": "redundant", "policy/impostor": "impostor"}[f.Rule]
			mismatch = mismatch || f.Rule == "trust/mismatch"
			ending = ending || f.Rule == "agency/expired" || f.Rule == "agency/expiring"
			if kind == "" {
				continue
			}
			risk := string(f.Risk)
			if risk == "" {
				risk = "none"
			}
			excess[[5]string{policyLabel(&f), label(f.PolicyID), string(f.Scope), kind, risk}] += math.Max(1, float64(len(f.Grants)))
		}
		for k, n := range excess {
			send("policy_excess", n, with("policy", k[0], "policy_id", k[1], "scope", k[2], "kind", k[3], "risk", k[4])...)
		}
		send("policy_excess_dropped", 0, acct...)
		oldest, open := map[[3]string]time.Time{}, map[[3]string]bool{}
		for i := range st.Findings {
			f := &st.Findings[i]
			k := [3]string{f.Rule, "", string(f.Scope)}
			if f.Policy+f.PolicyID != "" {
				k[1] = policyLabel(f)
			}
			if at, known := oldest[k]; !known || st.Since(f).Before(at) {
				oldest[k] = st.Since(f)
			}
			open[k] = open[k] || f.Waived == nil || !r.now.Before(f.Waived.Expires)
		}
		for k, at := range oldest {
			labels := with("rule", k[0], "policy", k[1], "scope", k[2])
			send("finding_first_seen_timestamp_seconds", float64(at.UnixMilli())/1000, labels...)
			if !open[k] {
				send("finding_waived", 1, labels...)
			}
		}
		var agency *rules.Agency
		if st.Evidence != nil {
			agency = st.Evidence.Report.Agency
		}
		if mismatch || !unknown && agency != nil {
			send("agency_trust_mismatch", truth[mismatch], acct...)
		}
		if agency != nil && !agency.ExpiresAt.IsZero() && (!unknown || ending) {
			send("agency_expiry_timestamp_seconds", float64(agency.ExpiresAt.UnixMilli())/1000, acct...)
		}
	}
	for i := range r.s.Waivers {
		w := &r.s.Waivers[i]
		send("waiver_expiry_timestamp_seconds", float64(w.Expires.UnixMilli())/1000, "waiver", label(w.ID))
		used, known := false, r.s.Run != nil && len(r.s.Gaps) == 0
		for _, st := range r.s.Standings {
			if state, _ := st.At(r.now, r.s.MaxAge); state == rules.StateUnknown && w.Selector.Selects(st.Account) {
				known = false
			}
			used = used || slices.ContainsFunc(st.Findings, func(f rules.Finding) bool { return w.Covers(st.Account, st.Baseline, &f) })
		}
		if used || known {
			send("waiver_unused", truth[!used], "waiver", label(w.ID))
		}
	}
	for _, each := range rules.States() {
		send("accounts", float64(counts[each]), "state", string(each))
	}
	send("accounts_expected", float64(len(r.s.Standings)))
	if r.s.Run != nil {
		send("run_suspect", truth[len(r.s.Run.Suspect) > 0])
	}
	for _, c := range r.s.Catalogue {
		if lacks := len(c.Lacking) > 0; lacks || r.now.Sub(c.At) < r.s.MaxAge {
			send("baseline_policy_unresolvable", truth[lacks], "baseline", label(c.Baseline), "policy", label(c.Policy))
		}
	}
}

// series are the values of families by name and sorted labels.
func series(families map[string]*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			slices.Sort(labels)
			all[name+"{"+strings.Join(labels, ",")+"}"] = m.GetGauge().GetValue()
		}
	}
	return all
}

// sameAsTheLibrary compares what is rendered with what the library makes of the same snapshot, series by series.
func sameAsTheLibrary(t testing.TB, s *auditor.Snapshot, now time.Time) {
	t.Helper()
	f, err := render(s, now, nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := f.writePlain(&text, nil); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(text.String(), "\n") {
		if i := strings.IndexFunc(line, rules.Acts); i >= 0 {
			t.Fatalf("a line leaves %q: %q", line[i:], line)
		}
	}
	families := parse(t, text.Bytes())
	got := series(families)
	if n := strings.Count(text.String(), "\n") - 2*strings.Count(text.String(), "# TYPE "); n != len(got) {
		t.Fatalf("%d lines are %d series: some are there twice", n, len(got))
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(reference{s, now})
	gathered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, g := range gathered {
		byName[g.GetName()] = g
	}
	want := series(byName)
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			t.Errorf("the library says %s %v, the rendering %v (%t)", k, v, g, ok)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("the rendering says %s, and the library does not", k)
		}
	}
}

func TestEveryScrapeIsCleanAndSums(t *testing.T) {
	m, _ := open(t)
	full(t, m)
	_, text := scrape(t, m)
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	families := parse(t, text)
	sum := 0.0
	for _, s := range families["agencyaudit_accounts"].Metric {
		sum += s.GetGauge().GetValue()
	}
	if want := families["agencyaudit_accounts_expected"].Metric[0].GetGauge().GetValue(); sum != want || want == 0 {
		t.Errorf("the states sum to %v, expected %v", sum, want)
	}
	for _, f := range []string{"runs_total", "panics_total", "api_responses_rejected_total", "api_requests_total", "credential_refreshes_total", "api_throttled_total"} {
		if families["agencyaudit_"+f] == nil {
			t.Errorf("no %s", f)
		}
	}
}

// TestAnotherTrustedAccountIsTold: the one that is accepted is left out by alerts, another one is not, from the first scrape after the run
// on that read it, and as something new.
func TestAnotherTrustedAccountIsTold(t *testing.T) {
	a := account(1)
	waivers := []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleTrustMismatch}, Trusts: []string{"contractor"},
		Added: noon.Add(-hour), Expires: noon.Add(hour),
	}}
	m, _ := open(t)
	s := snapshot(a).Accept(waivers, noon)
	for n, c := range []struct {
		trusts        string
		shows, hidden []string
	}{
		{"contractor", []string{`account_state state="waived"`, `finding_waived rule="trust/mismatch"`, "finding_first_seen 1772366400"}, []string{`waiver_unused`}},
		{"intruder", []string{`account_state state="drifted"`, "finding_first_seen 1772366460", "waiver_unused"}, []string{"finding_waived"}},
	} {
		of := judged(a, noon.Add(time.Duration(n)*time.Minute), rules.StateDrifted, rules.CoverageExact, rules.CoverageExact,
			rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Trusts: c.trusts})
		rules.Accept(&of.Report, waivers, noon)
		s = s.Next(run(of))
		if err := m.Commit(s); err != nil {
			t.Fatal(err)
		}
		_, text := scrape(t, m)
		shown := func(what string) bool {
			words := strings.Fields(what)
			return slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
				return strings.HasPrefix(line, "agencyaudit_"+words[0]) && !strings.HasSuffix(line, " 0") && strings.Contains(line, words[len(words)-1])
			})
		}
		for _, what := range append(c.shows, "agency_trust_mismatch") {
			if !shown(what) {
				t.Errorf("trusting the %s: no %s", c.trusts, what)
			}
		}
		for _, what := range c.hidden {
			if shown(what) {
				t.Errorf("trusting the %s: %s", c.trusts, what)
			}
		}
	}
}

// full has every metric say something.
func full(t testing.TB, m *Metrics) {
	t.Helper()
	a, b := account(1), account(2)
	waivers := []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleExcess}, Added: noon.Add(-hour), Expires: noon.Add(hour),
	}}
	of := judged(a, noon, rules.StateDrifted, "missing", "exact",
		rules.Finding{Rule: rules.RuleExcess, Policy: "T", PolicyID: "1", Scope: rules.Global, Risk: rules.RiskLow})
	rules.Accept(&of.Report, waivers, noon)
	s := snapshot(a, b).Accept(waivers, noon).Next(run(of, dark(b, noon, rules.ReasonDenied)))
	if err := m.Commit(s); err != nil {
		t.Fatal(err)
	}
	m.Beat(noon)
	m.NextRun(noon.Add(hour))
	m.Skew(time.Second)
	m.RunStarted(noon)
	m.RunEnded(s.Run, noon, noon.Add(time.Second))
	m.Running("digest", []rules.Baseline{base})
	m.Reloaded(true, noon)
	m.Resumed(time.Time{})
	m.HistoryFailed()
	m.HistorySize(4096)
	m.Request("iam", "List", 200, time.Second)
	m.Retried("iam")
	m.Breakers(true, 3)
	m.SetRepair(repairOf(a))
}

func TestCountersBeginAtZeroAndKeepToTheirLists(t *testing.T) {
	m, _ := open(t)
	value := func(series string) string {
		_, text := scrape(t, m)
		for line := range strings.SplitSeq(string(text), "\n") {
			if v, ok := strings.CutPrefix(line, "agencyaudit_"+series+" "); ok {
				return v
			}
		}
		return "absent"
	}
	for _, s := range []string{
		`runs_total{result="failed"}`, `runs_skipped_total`, `panics_total{where="read"}`, `api_responses_rejected_total{reason="envelope"}`,
		`api_requests_total{code="200",operation="List",service="iam"}`, `api_requests_total{code="201",operation="Create",service="iam"}`,
		`api_requests_total{code="none",operation="Create",service="iam"}`, `api_throttled_total{service="iam"}`, `credential_refreshes_total{result="failed",way="iam"}`,
		`api_request_duration_seconds_count{operation="List",service="iam"}`, `api_requests_total{code="403",operation="Create",service="iam"}`,
		`api_requests_total{code="503",operation="List",service="iam"}`, `credential_refreshes_total{result="ok",way="other"}`,
		`api_retries_total{service="iam"}`, `api_breaker_open{identity="main"}`, `api_breaker_open{identity="account"}`,
	} {
		if v := value(s); v != "0" {
			t.Errorf("%s is %s before anything happened", s, v)
		}
	}
	// An operation that answers 201 when all is well never says 200.
	for _, s := range []string{`api_requests_total{code="200",operation="Create",service="iam"}`, "run_last_start_timestamp_seconds", "run_last_complete_timestamp_seconds", "api_clock_skew_seconds"} {
		if v := value(s); v != "absent" {
			t.Errorf("%s is %s before anything happened", s, v)
		}
	}
	m.Request("iam", "List", 429, time.Second)
	m.Request("iam", "List", 0, time.Second)
	m.Request("x\n", "y", 99999, time.Second)
	m.Panicked("somewhere")
	m.Rejected("because")
	m.Retried("iam")
	m.Retried("elsewhere")
	m.Breakers(true, 7)
	m.Refreshed("sts\n", true)
	m.NextRun(noon)
	m.NextRun(time.Time{})
	m.RunEnded(&auditor.Run{Complete: true}, noon, noon)
	if v := value("run_complete"); v != "1" {
		t.Errorf("after a complete run: %s", v)
	}
	m.RunEnded(nil, noon, noon)
	for s, want := range map[string]string{
		`api_requests_total{code="429",operation="List",service="iam"}`: "1", `api_throttled_total{service="iam"}`: "1",
		`api_requests_total{code="none",operation="List",service="iam"}`: "1", `api_requests_total{code="other",operation="other",service="other"}`: "1",
		`panics_total{where="other"}`: "1", `api_responses_rejected_total{reason="other"}`: "1", `runs_total{result="failed"}`: "1", `run_complete`: "0",
		`api_retries_total{service="iam"}`: "1", `api_retries_total{service="other"}`: "1",
		`credential_refreshes_total{result="ok",way="other"}`: "1", "scheduler_next_run_timestamp_seconds": "absent", `runs_total{result="complete"}`: "1",
		`api_breaker_open{identity="main"}`: "1", `api_breaker_open{identity="account"}`: "7",
	} {
		if v := value(s); v != want {
			t.Errorf("%s is %s, want %s", s, v, want)
		}
	}
	m.Reloaded(true, noon)
	m.Reloaded(false, noon.Add(hour))
	if v, at := value("config_reload_success"), value("config_reload_success_timestamp_seconds"); v != "0" || at != "1.7723664e+09" {
		t.Errorf("after a refused reload: %s at %s", v, at)
	}
	m.Running("one", []rules.Baseline{base})
	m.Running("two", nil)
	if value(`config_info{digest="one"}`) != "absent" || value(`config_info{digest="two"}`) != "1" || value(`baseline_info{baseline="coc",digest="abc",version="2025-08-08"}`) != "absent" {
		t.Error("what is no longer in force is still said")
	}
}

// Whatever the client accepts, it gets the same series; compressed, as one member of gzip.
func TestFormats(t *testing.T) {
	for _, accounts := range []int{0, 3, 12_000} {
		m, _ := open(t)
		var list []rules.Account
		var sweeps []auditor.Sweep
		for n := range accounts {
			list = append(list, account(n))
			sweeps = append(sweeps, judged(list[n], noon, rules.StateCompliant, "exact", "exact"))
		}
		if err := m.Commit(snapshot(list...).Next(run(sweeps...))); err != nil {
			t.Fatal(err)
		}
		if large := m.fleet.Load().plain == nil; large != (accounts == 12_000) {
			t.Errorf("%d accounts: the text is kept: %t", accounts, !large)
		}
		w, plain := scrape(t, m)
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "text/plain; version=0.0.4") || fmt.Sprint(len(plain)) != w.Header().Get("Content-Length") {
			t.Errorf("content type %q, length %s of %d", got, w.Header().Get("Content-Length"), len(plain))
		}
		stable := func(text []byte) string { // without what differs from one scrape to the next
			before, _, _ := bytes.Cut(text, []byte("# HELP agencyaudit_api"))
			return string(before)
		}
		w, packed := scrape(t, m, "Accept-Encoding", "deflate, gzip;q=0.5")
		if w.Header().Get("Content-Encoding") != "gzip" || accounts > 3 && len(packed) > len(plain)/10 {
			t.Errorf("encoding %q, %d bytes of %d", w.Header().Get("Content-Encoding"), len(packed), len(plain))
		}
		in := bytes.NewReader(packed)
		z, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		z.Multistream(false)
		text, err := io.ReadAll(z)
		if err != nil || in.Len() > 0 || stable(text) != stable(plain) || !bytes.HasSuffix(text, []byte("\n")) {
			t.Errorf("%d accounts: compressed it is another text (%v, %d bytes left)", accounts, err, in.Len())
		}
		w, open := scrape(t, m, "Accept", "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5")
		if got := w.Header().Get("Content-Type"); !strings.HasPrefix(got, "application/openmetrics-text; version=1.0.0") || !bytes.HasSuffix(open, []byte("# EOF\n")) ||
			bytes.Count(open, []byte("# EOF")) != 1 || stable(open) != stable(plain) {
			t.Errorf("%d accounts: OpenMetrics as %q is another text", accounts, got)
		}
		if got := w.Header().Get("Vary"); got != "Accept, Accept-Encoding" {
			t.Errorf("Vary %q", got)
		}
	}
	for header, want := range map[string]bool{"": false, "gzip": true, "GZIP": true, "br, gzip": true, "gzip;q=0": false, "gzip; q=0.0": false, "identity": false, "xgzip": false} {
		if got := acceptsGzip(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}

func TestMoreScrapesThanAreAnsweredAtOnceAreToldToComeAgain(t *testing.T) {
	m, _ := open(t)
	for range maxScrapes {
		m.slots <- struct{}{}
	}
	if w, text := scrape(t, m); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("status %d: %s", w.Code, text)
	}
	<-m.slots
	if w, _ := scrape(t, m); w.Code != http.StatusOK {
		t.Errorf("status %d", w.Code)
	}
}

// While a fleet is rendered and swapped, every scrape sees one of the two, whole.
func TestEveryScrapeSeesOneFleet(t *testing.T) {
	m, _ := open(t)
	var snaps []*auditor.Snapshot
	for n := range 8 {
		var list []rules.Account
		var sweeps []auditor.Sweep
		for i := range 20 * (n + 1) {
			list = append(list, account(i))
			sweeps = append(sweeps, judged(list[i], noon, rules.StateCompliant, "exact", "exact"))
		}
		snaps = append(snaps, snapshot(list...).Next(run(sweeps...)))
	}
	var g sync.WaitGroup
	g.Go(func() {
		for i := range 200 {
			if err := m.Commit(snaps[i%len(snaps)]); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		g.Go(func() {
			for range 40 {
				_, text := scrape(t, m)
				p := expfmt.NewTextParser(model.LegacyValidation)
				families, err := p.TextToMetricFamilies(bytes.NewReader(text))
				if err != nil {
					t.Error(err)
					return
				}
				want := int(families["agencyaudit_accounts_expected"].Metric[0].GetGauge().GetValue())
				states := 0
				if f := families["agencyaudit_account_state"]; f != nil {
					states = len(f.Metric)
				}
				sum := 0
				for _, s := range families["agencyaudit_accounts"].Metric {
					sum += int(s.GetGauge().GetValue())
				}
				if sum != want || states != 5*want {
					t.Errorf("expected %d, the states sum to %d, and there are %d states of accounts", want, sum, states)
				}
			}
		})
	}
	g.Wait()
}

func TestOneRunForACollectorOfFiles(t *testing.T) {
	a, b := account(1), account(2)
	s := snapshot(a, b).Next(run(judged(a, noon, rules.StateDrifted, "missing", "exact"), dark(b, noon, rules.ReasonDenied)))
	var one, two bytes.Buffer
	for _, w := range []*bytes.Buffer{&one, &two} {
		if err := WriteRun(w, s, noon, "v1"); err != nil {
			t.Fatal(err)
		}
	}
	if one.String() != two.String() {
		t.Error("it is not the same twice")
	}
	families := parse(t, one.Bytes())
	for _, name := range []string{"accounts", "policy_missing", "account_unknown", "run_last_end_timestamp_seconds", "run_complete", "build_info", "baseline_info"} {
		if families["agencyaudit_"+name] == nil {
			t.Errorf("no %s", name)
		}
	}
	for name := range families {
		if !strings.HasPrefix(name, "agencyaudit_") || strings.HasSuffix(name, "_total") {
			t.Errorf("%s does not belong there", name)
		}
	}
	problems, err := promlint.New(&one).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
}

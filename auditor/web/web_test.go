package web

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fleet is a snapshot with an account in each state, every text of which may be replaced.
func fleet(text func(string) string) *auditor.Snapshot {
	if text == nil {
		text = func(s string) string { return s }
	}
	coc, _ := baseline.Bundled("coc")
	b := []rules.Baseline{coc}
	grant := rules.Grant{
		Policy: rules.Policy{ID: text("policy-id"), Name: text("Tenant Administrator"), Origin: rules.System},
		Scope:  rules.Scope{Kind: rules.Project, ID: text("project-id"), Name: text("project-name")},
	}
	var accounts []rules.Account
	run := &auditor.Run{ID: "run1", Trigger: "start", Complete: true, StartedAt: noon.Add(-time.Minute), EndedAt: noon, Baselines: b, Findings: []rules.Finding{{
		Rule: rules.RuleUnresolvable, Severity: rules.Warning, Message: text("The site has no policy of that name."),
		Baseline: coc.Name, Policy: coc.Required[0].Policy,
	}}, CatalogueAt: map[string]time.Time{coc.Name: noon}}
	for i, state := range rules.States() {
		a := rules.Account{ID: fmt.Sprintf("d%031d", i), Name: text("account-" + string(state)), RequireAgency: state != rules.StateNotEnabled}
		accounts = append(accounts, a)
		r := rules.Report{Account: a, Baseline: coc.Name, AgencyName: coc.Agency, State: state}
		if state != rules.StateNotEnabled {
			r.Agency = &rules.Agency{ID: text("agency-id"), Trust: rules.Trust{ID: text("trust-id"), Name: text("op_svc_coc")}, ExpiresAt: noon.Add(48 * time.Hour)}
		}
		if state == rules.StateDrifted || state == rules.StateUnknown {
			r.Findings = []rules.Finding{
				{Rule: rules.RuleExcess, Severity: rules.Critical, Policy: text("Tenant Administrator"), PolicyID: text("policy-id"), Scope: rules.Project,
					Risk: rules.RiskCritical, Message: text("Too much."), Consequences: []string{text("A door stands open.")}, Grants: []rules.Grant{grant}},
				{Rule: rules.RuleMissing, Severity: rules.High, Policy: "DCS UserAccess", Scope: rules.AllResources, Message: "Not granted.", Consequences: []string{"It breaks."}, Cohort: text("cohort"), CohortSays: text("All of them are old.")},
			}
			r.Required = []rules.Covered{
				{Policy: "DCS UserAccess", Scope: rules.AllResources, Coverage: rules.CoverageMissing},
				{Policy: "IAM ReadOnlyAccess", Scope: rules.Global, Coverage: rules.CoverageExact},
			}
		}
		if state == rules.StateUnknown {
			r.Unknown = &rules.Unknown{Reason: rules.ReasonDenied, Detail: text("the cloud answered 403"), Remedy: text("grant it"), RequestID: text("request-id")}
			run.Complete = false
		}
		run.Sweeps = append(run.Sweeps, auditor.Sweep{
			StartedAt: noon.Add(-time.Minute), EndedAt: noon, RequestIDs: []string{text("r")}, Report: r,
			Planes: []rules.Plane{{Kind: rules.Project, Total: 1, Grants: []rules.Grant{grant}, RequestIDs: []string{text("plane-request-id")}}},
		})
	}
	return auditor.NewSnapshot(auditor.Subjects(accounts, b), b, time.Hour).Next(run)
}

// site is a server with everything in its reach.
type site struct {
	*Server
	view     View
	reloads  int
	reload   error
	panicked []string
	log      bytes.Buffer
}

func open(t testing.TB, change ...func(*Options)) *site {
	t.Helper()
	s := &site{view: View{Snapshot: fleet(nil), Loop: Loop{Program: "v1", Alive: true, Cron: "*/15 * * * *", NextRunAt: noon.Add(4 * time.Minute)}}}
	o := Options{
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") }),
		View:    func() View { return s.view }, Now: func() time.Time { return noon.Add(3 * time.Minute) },
		Reload:   func(context.Context) error { s.reloads++; return s.reload },
		Logger:   slog.New(slog.NewTextHandler(&s.log, nil)),
		Panicked: func(where string) { s.panicked = append(s.panicked, where) },
	}
	for _, c := range change {
		c(&o)
	}
	var err error
	if s.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// ask sends a request as if it had come in at a loopback address.
func (s *site) ask(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:9878"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9878})))
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

const accountPath = "/accounts/d0000000000000000000000000000001/ServiceAgencyForCOC"

func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/", 200}, {"HEAD", "/", 200}, {"GET", "/metrics", 200}, {"GET", "/-/healthy", 200}, {"GET", "/-/ready", 200},
		{"GET", accountPath, 200}, {"GET", "/style.css", 200}, {"GET", "/favicon.ico", 200}, {"POST", "/-/reload", 200}, {"PUT", "/-/reload", 200},
		{"GET", "/-/reload", 405}, {"POST", "/", 405}, {"DELETE", accountPath, 405}, {"POST", "/metrics", 405},
		{"GET", "/accounts/d0000000000000000000000000000001/Other", 404}, {"GET", "/accounts/x/y", 404}, {"GET", "/index.html", 404},
		{"GET", "/debug/pprof/", 404}, {"GET", "/debug/vars", 404}, {"GET", "/-/quit", 404}, {"GET", "/accounts/", 404},
	} {
		s := open(t)
		w := s.ask(c.method, c.path)
		if w.Code != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.want)
		}
		h := w.Header()
		if h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" ||
			h.Get("X-Frame-Options") != "DENY" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" ||
			h.Get("Cross-Origin-Opener-Policy") != "same-origin" || h.Get("Cache-Control") == "" {
			t.Errorf("%s %s: headers %v", c.method, c.path, h)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	s := open(t)
	s.view.Loop.Alive = false
	if w := s.ask("GET", "/-/healthy"); w.Code != 503 || !strings.Contains(w.Body.String(), "scheduler") {
		t.Errorf("a loop that hangs: %d %s", w.Code, w.Body)
	}
	if w := s.ask("GET", "/"); !strings.Contains(w.Body.String(), "it hangs") {
		t.Error("the page does not say that the loop hangs")
	}
	s.view.Loop.Stopping = true
	if w := s.ask("GET", "/-/ready"); w.Code != 503 {
		t.Errorf("a program that ends: %d", w.Code)
	}
	if w := s.ask("GET", "/-/healthy"); w.Code != 200 {
		t.Errorf("a program that ends, and has time to drain, is not healthy: %d %s", w.Code, w.Body)
	}
	s.view.Loop.Stopping = false
	s.view.Snapshot = auditor.NewSnapshot(nil, nil, time.Hour)
	if w := s.ask("GET", "/-/ready"); w.Code != 503 || !strings.Contains(w.Body.String(), "no run") {
		t.Errorf("before the first run: %d %s", w.Code, w.Body)
	}
}

// Only this site's own pages, and programs, may reload.
func TestReload(t *testing.T) {
	s := open(t)
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}} {
		for _, method := range []string{"POST", "PUT"} {
			if w := s.ask(method, "/-/reload", header...); w.Code != http.StatusForbidden {
				t.Errorf("%s %v: %d", method, header, w.Code)
			}
		}
	}
	if w := s.ask("POST", "/-/reload", "Host", "evil.example"); w.Code != http.StatusMisdirectedRequest || s.reloads != 0 {
		t.Errorf("by another name: %d, %d reloads", w.Code, s.reloads)
	}
	if w := s.ask("POST", "/-/reload", "Sec-Fetch-Site", "same-origin"); w.Code != 200 || s.reloads != 1 {
		t.Errorf("%d, %d reloads", w.Code, s.reloads)
	}
	s.reload = errors.New("a.yaml:1:1: wrong\na.yaml:2:1: \x1b[31mred")
	if w := s.ask("POST", "/-/reload"); w.Code != 400 || !strings.Contains(w.Body.String(), "a.yaml:1:1: wrong\na.yaml:2:1: \\x1b[31mred\n") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestNamesThatTheServerIsAskedBy(t *testing.T) {
	local, hosts := "127.0.0.1", []string{"audit.example.com"}
	for _, c := range []struct {
		at    string
		hosts []string
		host  string
		want  bool
	}{
		{local, nil, "localhost:9878", true}, {local, nil, "LOCALHOST", true}, {local, nil, "127.0.0.1:1", true}, {local, nil, "[::1]:9878", true},
		{local, nil, "127.8.9.1", true}, {local, nil, "evil.example", false}, {local, nil, "localhost.evil.example", false},
		{local, nil, "127.0.0.1.evil.example", false}, {local, nil, "10.0.0.1", false}, {local, nil, "", false},
		{local, hosts, "audit.example.com", true}, {local, hosts, "AUDIT.example.com:443", true}, {local, hosts, "localhost", true}, {local, hosts, "x.example.com", false},
		{"10.0.0.1", nil, "anything", true}, {"10.0.0.1", hosts, "anything", false}, {"10.0.0.1", hosts, "audit.example.com", true},
		{"10.0.0.1", hosts, "10.0.0.1:9878", true}, {"::1", nil, "evil.example", false},
	} {
		s := open(t, func(o *Options) { o.Hosts = c.hosts })
		r := httptest.NewRequest(http.MethodGet, "/-/ready", nil)
		r.Host = c.host
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.ParseIP(c.at), Port: 9878})))
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if ok := w.Code == 200; ok != c.want || !ok && w.Code != http.StatusMisdirectedRequest {
			t.Errorf("at %s with hosts %v, asked as %q: %d", c.at, c.hosts, c.host, w.Code)
		}
	}
}

func TestABugEndsOneAnswer(t *testing.T) {
	s := open(t, func(o *Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret CANARY") })
	})
	w := s.ask("GET", "/metrics")
	if w.Code != 500 || strings.Contains(w.Body.String()+s.log.String(), "CANARY") || !slices.Equal(s.panicked, []string{"web"}) {
		t.Errorf("%d %s; told %q; log %s", w.Code, w.Body, s.panicked, s.log.String())
	}
	if w := s.ask("GET", "/"); w.Code != 200 {
		t.Errorf("afterwards: %d", w.Code)
	}
}

func TestMorePagesThanAreMadeAtOnceAreToldToComeAgain(t *testing.T) {
	s := open(t)
	for range maxPages {
		s.pages <- struct{}{}
	}
	for _, path := range []string{"/", accountPath} {
		if w := s.ask("GET", path); w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := s.ask("GET", "/-/healthy"); w.Code != 200 {
		t.Errorf("health is a page: %d", w.Code)
	}
}

// page parses a page strictly and returns its words, element by element; scripts, handlers and styles inside it are faults.
func page(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code != 200 || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	body := strings.Replace(w.Body.String(), "<!DOCTYPE html>", "", 1)
	d := xml.NewDecoder(strings.NewReader(body))
	var words strings.Builder
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(strings.Fields(words.String()), " ")
		}
		if err != nil {
			t.Fatalf("the page is not well-formed: %v\n%s", err, body)
		}
		switch n := token.(type) {
		case xml.StartElement:
			if slices.Contains([]string{"script", "style", "iframe", "object", "embed", "base"}, n.Name.Local) {
				t.Fatalf("the page has an element %s", n.Name.Local)
			}
			for _, a := range n.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" || a.Name.Local != "value" && strings.HasPrefix(a.Value, "javascript:") {
					t.Fatalf("the page has an attribute %s=%q", a.Name.Local, a.Value)
				}
				if strings.ContainsFunc(a.Value, rules.Acts) {
					t.Fatalf("the page has an attribute %s=%q, of which something is not seen", a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			words.Write(n)
			words.WriteByte(' ')
		}
	}
}

func expect(t testing.TB, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not say %q:\n%s", w, text)
		}
	}
}

func TestTheFirstPage(t *testing.T) {
	s := open(t)
	text := page(t, s.ask("GET", "/"))
	expect(t, text, "1 of 5 accounts has drifted, and 1 could not be judged.", "in 1 min, run run1 (start); not everything was read",
		"account-drifted", "excess Tenant Administrator (project project-name)", "missing DCS UserAccess (all resources) · cohort", "critical",
		"account-unknown", "the key may not read this, or the account may not be entered", "before, 4 min ago: excess Tenant Administrator",
		"unknown since 2026-03-01 11:59:00 UTC", "2026-03-01 11:59:00 UTC 4 min ago", "Next run 2026-03-01 12:04:00 UTC, in 1 min", "schedule */15 * * * * (UTC)",
		"The site has no policy of that name.", "coc", "ServiceAgencyForCOC", "older than 1 h counts no longer")
	if strings.Contains(text, "account-compliant") {
		t.Error("a compliant account is listed")
	}
	_, list, _ := strings.Cut(text, "Accounts that are not compliant")
	if i, j := strings.Index(list, "account-unknown"), strings.Index(list, "account-drifted"); i < 0 || i > j {
		t.Error("the unknown account comes after the drifted one")
	}
	expect(t, page(t, s.ask("GET", "/?state=compliant")), "account-compliant", "1 to 1 of 1")
	expect(t, page(t, s.ask("GET", "/?state=all")), "1 to 5 of 5")
	expect(t, page(t, s.ask("GET", "/?q=ENABLED")), "account-not_enabled", "there is no agency ServiceAgencyForCOC", "1 to 1 of 1")
	expect(t, page(t, s.ask("GET", "/?q=nobody")), "There is none.")
	if w := s.ask("GET", "/?refresh=7&q=a"); !strings.Contains(w.Body.String(), `http-equiv="refresh" content="7"`) || !strings.Contains(w.Body.String(), `href="/?q=a"`) {
		t.Error("it does not refresh, or cannot be stopped")
	}
	for _, refused := range []string{"1", "0", "-5", "99999", "x"} {
		if w := s.ask("GET", "/?refresh="+refused); strings.Contains(w.Body.String(), "http-equiv") {
			t.Errorf("it refreshes every %s", refused)
		}
	}
	s.view.Loop = Loop{Alive: true, Running: true, Trigger: "reload", Done: 3, Total: 5, StartedAt: noon, LastError: "no accounts", ReloadError: "x.yaml:1:1: bad", HistoryError: "the disk is full", Skipped: 2, Simulated: true}
	expect(t, page(t, s.ask("GET", "/")), "reading, 3 of 5 done", "no accounts", "x.yaml:1:1: bad", "the disk is full", "2 slots of the schedule", "nothing here is real")
	s.view.Snapshot = auditor.NewSnapshot(auditor.Subjects([]rules.Account{{ID: "1", Name: "one"}}, s.view.Snapshot.Baselines), s.view.Snapshot.Baselines, time.Hour)
	expect(t, page(t, s.ask("GET", "/")), "Nothing is known yet of 1 account", "one unknown not read yet not read yet")
}

// Where accounts are, which are left alone and which may be missing is said, whatever they are called.
func TestThePageTellsOfTheInventory(t *testing.T) {
	const script = "<script>alert(1)</script>"
	s := open(t)
	snap := *s.view.Snapshot
	snap.Standings = slices.Clone(snap.Standings)
	snap.Standings[0].Account.OU, snap.Standings[0].Account.Tags = "prod/"+script, []rules.Tag{{Key: "owner", Value: script}}
	snap.Standings[1].Account.Name = snap.Standings[0].Account.Name
	for i := range maxLeft + 2 {
		snap.Excluded = append(snap.Excluded, auditor.Exclusion{
			Account: rules.Account{ID: fmt.Sprintf("e%031d", i), Name: script, OU: script}, Reason: auditor.ExcludedSuspended, Detail: script,
		})
	}
	snap.Gaps = []rules.Unknown{{Reason: rules.ReasonDenied, Detail: "the organization could not be listed " + script, Remedy: "ask", RequestID: "r-1"}}
	snap.Notes = []string{"an entry fits no account " + script}
	s.view.Snapshot = &snap
	w := s.ask("GET", "/?state=all")
	if strings.Contains(w.Body.String(), "<script") {
		t.Error("a name is markup")
	}
	text := page(t, w)
	expect(t, text, "Accounts may be missing", "the organization could not be listed", "What to do: ask", "r-1", "an entry fits no account",
		"102 accounts suspended by the organization", "and 2 more", "prod/", snap.Standings[0].Account.ID, snap.Standings[1].Account.ID)
	if w := s.ask("GET", accountLink(snap.Standings[0].Subject)); !strings.Contains(page(t, w), "Organizational unit prod/") || strings.Contains(w.Body.String(), "<script") {
		t.Error("the page of an account does not say where it is, or says too much")
	}
	expect(t, page(t, s.ask("GET", "/?q=e0000000000000000000000000000101")), "e0000000000000000000000000000101")
	// A fleet of which all is well is not called so while accounts may be missing.
	counts := map[rules.State]int{rules.StateCompliant: 1}
	one := auditor.Snapshot{Run: s.view.Snapshot.Run, Gaps: snap.Gaps, Standings: make([]auditor.Standing, 1)}
	if says, tone := verdict(&one, counts); tone != "unsure" || !strings.Contains(says, "may be missing") {
		t.Errorf("%s: %q", tone, says)
	}
}

// TestTheVerdictWhenNothingCouldBeJudged: of accounts that are all unknown there is no other one, and what is known to be wrong of
// them is said.
func TestTheVerdictWhenNothingCouldBeJudged(t *testing.T) {
	bad := auditor.Standing{Findings: []rules.Finding{{Severity: rules.Info}, {Severity: rules.High}}}
	mild := auditor.Standing{Findings: []rules.Finding{{Severity: rules.Info}}}
	for want, standings := range map[string][]auditor.Standing{
		"None of 3 accounts could be judged; 1 of them had drifted when last read.":   {bad, mild, {}},
		"None of 2 accounts could be judged.":                                         {mild, {}},
		"The only account could not be judged.":                                       {mild},
		"The only account could not be judged; it had drifted when it was last read.": {bad},
	} {
		s := auditor.Snapshot{Run: &auditor.Run{}, Standings: standings}
		if says, tone := verdict(&s, map[rules.State]int{rules.StateUnknown: len(standings)}); tone != "unsure" || says != want {
			t.Errorf("%s: %q; want %q", tone, says, want)
		}
	}
}

func TestThePageOfAnAccount(t *testing.T) {
	s := open(t)
	expect(t, page(t, s.ask("GET", accountPath)), "account-drifted", "Evidence shows that it differs", "critical", "A door stands open.", "By hand: IAM console",
		"rule grant/excess", "docs/rules/grant-excess.md", "DCS UserAccess", "missing", "op_svc_coc trust-id", "agency-id", "2026-03-03 12:00:00 UTC, in 47 h 57 min",
		"plane-request-id", "Region-specific project", "Enabling COC, Table 1", "Where State Grants counted by the cloud")
	expect(t, page(t, s.ask("GET", strings.Replace(accountPath, "0001/", "0000/", 1))), "Why nothing may be said", "denied", "the cloud answered 403", "What to do: grant it", "request-id",
		"Unknown since 2026-03-01 11:59:00 UTC 4 min ago", "still stands below", "excess Tenant Administrator")
	if text := page(t, s.ask("GET", accountPath)); strings.Contains(text, "As it was read") || strings.Contains(text, "As read") {
		t.Error("what is known is called old")
	}
}

// What is known of an account that cannot be read any more stays, and every word of it says how old it is.
func TestOldNewsSaysItsAge(t *testing.T) {
	s := open(t)
	drifted := accountPath
	last := s.view.Snapshot.Run
	later := *last
	later.StartedAt, later.EndedAt, later.Sweeps = noon, noon.Add(time.Minute), slices.Clone(last.Sweeps)
	for i := range later.Sweeps {
		r := &later.Sweeps[i].Report
		later.Sweeps[i] = auditor.Sweep{StartedAt: noon.Add(2 * time.Minute), EndedAt: noon.Add(2 * time.Minute), Report: rules.Undecided(
			s.view.Snapshot.Baselines[0], r.Account, &rules.Unknown{Reason: rules.ReasonTimeout, Detail: "no answer"})}
	}
	s.view.Snapshot = s.view.Snapshot.Next(&later)
	expect(t, page(t, s.ask("GET", drifted)), "Unknown since 2026-03-01 12:02:00 UTC 1 min ago",
		"excess Tenant Administrator (project project-name) As it was read 2026-03-01 11:59:00 UTC 4 min ago ; whether it is so still is unknown.",
		"missing DCS UserAccess (all resources) · cohort As it was read 2026-03-01 11:59:00 UTC 4 min ago",
		"As read DCS UserAccess all resources missing 2026-03-01 11:59:00 UTC 4 min ago",
		"The agency, as of 2026-03-01 11:59:00 UTC", "What was read 2026-03-01 11:59:00 UTC 4 min ago")
	expect(t, page(t, s.ask("GET", "/?q=account-drifted")), "before, 4 min ago: excess Tenant Administrator", "before, 4 min ago: missing DCS UserAccess")

	// Evidence that cannot decide the grant makes its finding no younger.
	newest := later
	newest.Sweeps = slices.Clone(last.Sweeps)
	for i := range newest.Sweeps {
		sweep := &newest.Sweeps[i]
		sweep.StartedAt, sweep.Report.State, sweep.Report.Required = noon.Add(2*time.Minute), rules.StateUnknown, nil
		sweep.Report.Unknown = &rules.Unknown{Reason: rules.ReasonUnresolvable}
		sweep.Report.Findings = sweep.Report.Findings[:min(1, len(sweep.Report.Findings))]
	}
	s.view.Snapshot = s.view.Snapshot.Next(&newest)
	expect(t, page(t, s.ask("GET", "/?q=account-drifted")), "before, 1 min ago: excess Tenant Administrator", "before, 4 min ago: missing DCS UserAccess")
	expect(t, page(t, s.ask("GET", drifted)), "missing DCS UserAccess (all resources) · cohort As it was read 2026-03-01 11:59:00 UTC 4 min ago",
		"As read DCS UserAccess all resources missing 2026-03-01 11:59:00 UTC 4 min ago")
}

// Whoever looks at any page is told that the last run should not be acted on, and shown what it read.
func TestASuspectRunIsSaidOnEveryPage(t *testing.T) {
	s := open(t)
	for _, path := range []string{"/", accountPath} {
		if text := page(t, s.ask("GET", path)); strings.Contains(text, "suspect") {
			t.Errorf("%s: a run that is not suspect is called so", path)
		}
	}
	s.view.Snapshot.Run.Suspect = []string{"the inventory shrank: 2 of 3", "<b>\x1b[2J"}
	for _, path := range []string{"/", accountPath} {
		expect(t, page(t, s.ask("GET", path)), "The last run is suspect", "the inventory shrank: 2 of 3", `<b>\x1b[2J`, "account-drifted")
	}
}

func unknownPath() string { return strings.Replace(accountPath, "0001/", "0000/", 1) }

// While an account is unknown its page speaks of what was, and shows nothing in the colour of what is right.
func TestThePageOfAnUnknownAccountSpeaksOfThePast(t *testing.T) {
	s := open(t)
	w := s.ask("GET", unknownPath())
	expect(t, page(t, w), "Findings, as of 2026-03-01 11:59:00 UTC", "still stands below",
		"Required grants, as of 2026-03-01 11:59:00 UTC (may no longer be so)", "The agency, as of 2026-03-01 11:59:00 UTC")
	for _, class := range []string{`class="coverage exact past"`, `class="coverage missing past"`} {
		if !strings.Contains(w.Body.String(), class) {
			t.Errorf("nothing has the %s", class)
		}
	}
	now := s.ask("GET", accountPath)
	if text := page(t, now); strings.Contains(text, "as of") || !strings.Contains(now.Body.String(), `class="coverage exact"`) {
		t.Errorf("an account that is known is shown as the past:\n%s", text)
	}
	stale := open(t, func(o *Options) { o.Now = func() time.Time { return noon.Add(2 * time.Hour) } })
	text := page(t, stale.ask("GET", strings.Replace(accountPath, "0001/", "0004/", 1)))
	expect(t, text, "No findings, as of 2026-03-01 11:59:00 UTC")
	if strings.Contains(text, "still stands below") {
		t.Errorf("it speaks of findings, and there is none:\n%s", text)
	}
}

// Of an account that no run has read there is nothing to say, and that in one wording.
func TestBeforeTheFirstReadingNothingIsSaid(t *testing.T) {
	s := open(t)
	before := s.view.Snapshot
	one := auditor.Subjects([]rules.Account{{ID: "d0000000000000000000000000000001", Name: "one"}}, before.Baselines)
	s.view.Snapshot = auditor.NewSnapshot(one, before.Baselines, time.Hour)
	for _, path := range []string{"/", accountPath} {
		text := page(t, s.ask("GET", path))
		expect(t, text, "not read yet")
		for _, wrong := range []string{"too old", "never", "No findings", "as of", "still stands below", "not yet"} {
			if strings.Contains(text, wrong) {
				t.Errorf("%s says %q:\n%s", path, wrong, text)
			}
		}
	}
	expect(t, page(t, s.ask("GET", accountPath)), "Nothing is known of it yet", "stale : not read yet.",
		"no run has read it since the program started or its configuration changed")
	// A baseline that changed: there is evidence, but by another measure.
	changed := slices.Clone(before.Baselines)
	changed[0].Digest = "other"
	s.view.Snapshot = before.Expect(auditor.Subjects([]rules.Account{before.Standings[1].Account}, changed), changed, time.Hour)
	expect(t, page(t, s.ask("GET", "/")), "not read yet since the configuration changed")
}

func TestTheWaysToPutItRightAreAlternatives(t *testing.T) {
	text := page(t, open(t).ask("GET", accountPath))
	expect(t, text, "By hand: COC console", "Or: IAM console")
	if n := strings.Count(text, "By hand:"); n != 2 { // one for each finding
		t.Errorf("%d ways are said to be the first:\n%s", n, text)
	}
}

func TestACohortIsNamedOnceAndIsNoConsequence(t *testing.T) {
	w := open(t).ask("GET", accountPath)
	if n := strings.Count(page(t, w), "cohort"); n != 1 {
		t.Errorf("it is named %d times:\n%s", n, w.Body)
	}
	if !strings.Contains(w.Body.String(), "</ul>\n<p>All of them are old.</p>") {
		t.Errorf("what is known of it does not stand below the consequences:\n%s", w.Body)
	}
}

var links = regexp.MustCompile(`href="([^"]*)"`)

// Whoever has a page refresh keeps that from page to page.
func TestLinksKeepTheRefresh(t *testing.T) {
	s := open(t)
	for _, path := range []string{"/?refresh=7", "/?refresh=7&state=not_enabled", "/?refresh=7&q=a", accountPath + "?refresh=7"} {
		body := s.ask("GET", path).Body.String()
		kept := 0
		for _, m := range links.FindAllStringSubmatch(body, -1) {
			switch to := html.UnescapeString(m[1]); {
			case to == "/style.css" || to == "/favicon.ico" || to == "/metrics":
			case strings.Contains(body, `<a href="`+m[1]+`">stop refreshing`):
			case !strings.Contains(to, "refresh=7"):
				t.Errorf("%s: the link %s does not keep it", path, to)
			default:
				kept++
			}
		}
		if kept < 2 {
			t.Errorf("%s: only %d links keep it", path, kept)
		}
		if strings.Contains(body, "<form") && !strings.Contains(body, `<input type="hidden" name="refresh" value="7"/>`) {
			t.Errorf("%s: the search does not keep it", path)
		}
	}
	if body := s.ask("GET", "/").Body.String(); strings.Contains(body, "refresh=7") || strings.Contains(body, `name="refresh"`) {
		t.Error("a page that does not refresh has links that do")
	}
}

func TestTheListSaysWhatItLists(t *testing.T) {
	s := open(t)
	for path, want := range map[string]string{
		"/": "Accounts that are not compliant", "/?state=not_enabled": "Accounts: not enabled", "/?state=all": "All accounts", "/?q=a": "Accounts that match",
	} {
		if body := s.ask("GET", path).Body.String(); !strings.Contains(body, "<h2>"+want+"</h2>") {
			t.Errorf("%s does not say %q", path, want)
		}
	}
}

func TestARowSaysMoreOfAnUnknownAccount(t *testing.T) {
	s := open(t)
	if body := s.ask("GET", "/").Body.String(); strings.Count(body, `<div class="detail">`) != 1 || !strings.Contains(body, `<div class="detail">the cloud answered 403</div>`) {
		t.Errorf("the detail is not there, or not only there:\n%s", body)
	}
	s.view.Snapshot = fleet(func(was string) string { return was + strings.Repeat("é", 1000) })
	if text := page(t, s.ask("GET", "/?state=unknown")); strings.Contains(text, "the cloud answered 403"+strings.Repeat("é", maxDetail)) || !strings.Contains(text, "é…") {
		t.Error("a long detail is not shortened")
	}
}

func TestDurationsHaveTheUnitThatMatters(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 407*time.Millisecond + 900*time.Microsecond: "407 ms", time.Second: "1.0 s", 9900 * time.Millisecond: "9.9 s", 59 * time.Second: "59 s",
		61 * time.Second: "1 min 1 s", time.Hour: "1 h", 47 * time.Hour: "47 h", 72 * time.Hour: "3 days", -time.Second: "0 ms",
	} {
		if got := duration(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for d, want := range map[time.Duration]string{0: "now", -999 * time.Millisecond: "now", time.Second: "in 1.0 s", -time.Minute: "1 min ago"} {
		if got := until(noon.Add(d), noon); got != want {
			t.Errorf("%s away is %q, want %q", d, got, want)
		}
	}
}

// The page is made anew for each request: what is too old by then is not called compliant.
func TestAPageJudgesStalenessItself(t *testing.T) {
	s := open(t, func(o *Options) { o.Now = func() time.Time { return noon.Add(2 * time.Hour) } })
	text := page(t, s.ask("GET", "/?state=unknown"))
	expect(t, text, "1 to 5 of 5", "the last evidence is too old")
	expect(t, page(t, s.ask("GET", strings.Replace(accountPath, "0001/", "0004/", 1))), "account-compliant unknown", "older than max_age")
}

// Whatever anybody wrote anywhere, it is text.
func TestHostileNames(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='x`, `</title><svg/onload=alert(1)>`, "javascript:alert(1)", `{{.}}`,
		"\u202etxt.exe", "zero\u200bwidth", "\xff\xfe", "line\nbreak", strings.Repeat("long", 2000), "]]>", "<!--", "&lt;b&gt;",
		"\x1b[2J\x1b]0;title\a", "\x00\x7f\u009b", "\u2066\u2069\u061c\u200e", "\u3164\u115f\uffa0\u2800", "a\u034f\ufe0f\U000e0041", "\u2028\u2029",
		`=HYPERLINK("http://x")`, `{}"\`, "z\u0301\u0301\u0301\u0301\u0301", "op_svc_c\u043ec", "${jndi:ldap://x}", "%s%n",
	} {
		worse := func(was string) string { return was + evil }
		s := open(t, func(o *Options) {
			o.Changes = func(context.Context, string) ([]Change, error) { return changed(worse), errors.New(evil) }
		})
		s.view.Snapshot, s.view.Past = fleet(worse), &Past{Begins: noon, Changes: changed(worse)}
		s.view.Loop.LastError, s.view.Loop.ReloadError, s.view.Loop.Program, s.view.Loop.Cron = evil, evil, evil, evil
		s.view.Loop.HistoryError = evil
		s.view.Repair = repairing(worse)
		for _, path := range []string{"/", "/?state=all", accountPath, strings.Replace(accountPath, "0001/", "0000/", 1), "/?q=" + url.QueryEscape(evil)} {
			text := page(t, s.ask("GET", path))
			if strings.ContainsFunc(text, rules.Acts) || !strings.Contains(path, "q=") && !strings.Contains(text, strings.Join(strings.Fields(rules.Escape(evil)), " ")) {
				t.Errorf("%s: %q is not shown as it is written", path, evil)
			}
		}
	}
}

// The page of an agency is found by the link of its alerts, whatever it is called: deploy/prometheus/tests/agency.yaml has this one.
func TestAlertsLeadToThePageOfAnyAgency(t *testing.T) {
	s := open(t)
	b := []rules.Baseline{s.view.Snapshot.Baselines[0]}
	b[0].Agency = "运维 a/b+c?"
	s.view.Snapshot = auditor.NewSnapshot(auditor.Subjects([]rules.Account{{ID: "d01", Name: "prod"}}, b), b, time.Hour)
	for _, path := range []string{"/accounts/d01/%E8%BF%90%E7%BB%B4%20a%2Fb%2Bc%3F", accountLink(s.view.Snapshot.Standings[0].Subject)} {
		expect(t, page(t, s.ask("GET", path)), "prod", "运维 a/b+c?")
	}
}

// A hundred thousand accounts make no page of a hundred thousand rows.
func TestAPageIsBounded(t *testing.T) {
	s := open(t)
	var accounts []rules.Account
	for n := range 100_000 {
		accounts = append(accounts, rules.Account{ID: fmt.Sprintf("d%031d", n), Name: fmt.Sprintf("a%06d", n)})
	}
	b := s.view.Snapshot.Baselines
	s.view.Snapshot = auditor.NewSnapshot(auditor.Subjects(accounts, b), b, time.Hour)
	w := s.ask("GET", "/?page=7")
	text := page(t, w)
	expect(t, text, "601 to 700 of 100000", "previous", "next", "a000600", "a000699")
	if w.Body.Len() > 200_000 || strings.Contains(text, "a000700") {
		t.Errorf("the page has %d bytes", w.Body.Len())
	}
	expect(t, page(t, s.ask("GET", "/?page=99999")), "99901 to 100000 of 100000")
	expect(t, page(t, s.ask("GET", "/?page=-1")), "1 to 100 of 100000")
}

// serve serves on a free port, and returns the address and what ends it.
func serve(t *testing.T, s *site) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-ended); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func get(t *testing.T, c *http.Client, url string, change ...func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(r)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

func TestPasswords(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	// The hash is that of "correct horse".
	if err := os.WriteFile(file, []byte("basic_auth_users:\n  prometheus: "+hash+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	url := "http://" + serve(t, open(t, func(o *Options) { o.WebConfig = file }))
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, path := range []string{"/", "/metrics", accountPath, "/-/ready"} {
		if code, _ := get(t, c, url+path); code != http.StatusUnauthorized {
			t.Errorf("%s without a password: %d", path, code)
		}
		if code, _ := get(t, c, url+path, func(r *http.Request) { r.SetBasicAuth("prometheus", "wrong") }); code != http.StatusUnauthorized {
			t.Errorf("%s with a wrong password: %d", path, code)
		}
		if code, _ := get(t, c, url+path, func(r *http.Request) { r.SetBasicAuth("prometheus", "correct horse") }); code != 200 {
			t.Errorf("%s with the password: %d", path, code)
		}
	}
	for _, bad := range []string{"basic_auth_users: 3", "unknown: 1", "tls_server_config: {cert_file: missing}", "basic_auth_users: {u: plain}"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := CheckConfig(file); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// A socket can be made wherever the length of its path lets it be.
func TestWhereASocketCanBeMade(t *testing.T) {
	const most = 103                  // on the system with the least
	dir, err := os.MkdirTemp("", "s") //nolint:usetesting // that of the test may be too long
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	folder := filepath.Join(dir, strings.Repeat("d", most-len(dir)-len(made)-1))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(folder, "p"), filepath.Join(folder, strings.Repeat("p", most-len(folder)-1))} {
		if n := SocketLength(path); n != most {
			t.Errorf("%s needs %d bytes, want %d", path, n, most)
		}
		p, err := servePprof(path)
		if err != nil {
			t.Fatal(err)
		}
		p.close()
	}
}

func TestProfilesAreForTheOwnerOfTheSocketAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "pprof.sock")
	serve(t, open(t, func(o *Options) { o.PprofSocket = path }))
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	var code int
	for deadline := time.Now().Add(10 * time.Second); code == 0 && time.Now().Before(deadline); {
		code, _ = get(t, c, "http://x/debug/pprof/heap")
	}
	if code != 200 {
		t.Errorf("heap: %d", code)
	}
	if code, _ := get(t, c, "http://x/debug/pprof/nothing"); code != 404 {
		t.Errorf("nothing: %d", code)
	}
	if code, _ := get(t, c, "http://x/debug/pprof/profile?seconds=0"); code != 400 {
		t.Errorf("a profile of no time: %d", code)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := servePprof(file); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

// hash is the bcrypt hash of "correct horse", of the least cost.
const hash = "$2a$04$BNkSlwXTuJ2.3NRvXoIEj.iBr3zA06J.RDhvnngOzsjev5/2RcNNm"

func TestWhatAWebConfigAsksFor(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]Guards{
		"":                      {},
		"tls_server_config: {}": {},
		"tls_server_config:\n  cert_file: a\n  key_file: b\n":                                                       {TLS: true},
		"{tls_server_config: {cert: a, key: b}}":                                                                    {TLS: true},
		"tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}":              {TLS: true, ClientCertificates: true},
		"tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequestClientCert}":                       {TLS: true},
		"\"basic_auth_users\": {u: x}":                                                                              {Passwords: true},
		"basic_auth_users: {}":                                                                                      {},
		"# tls_server_config: {cert_file: a}\nhttp_server_config: {http2: false}\nbasic_auth_users:\n  u: hash\n\n": {Passwords: true},
		"not: [yaml": {},
	} {
		file := filepath.Join(dir, "web.yml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := GuardsOf(file); got != want {
			t.Errorf("%q asks for %+v, want %+v", text, got, want)
		}
		if want.Closed() != (want.Passwords || want.ClientCertificates) {
			t.Errorf("%q is closed: %v", text, want.Closed())
		}
	}
	if got := GuardsOf(filepath.Join(dir, "nothing")); got != (Guards{}) {
		t.Errorf("no file asks for %+v", got)
	}
}

// TestNoColumnIsWiderThanItsPage: a column that is as wide as it likes has a small phone scroll sideways.
func TestNoColumnIsWiderThanItsPage(t *testing.T) {
	found := regexp.MustCompile(`minmax\(([^,]*),`).FindAllStringSubmatch(string(style), -1)
	for _, m := range found {
		if m[1] != "0" && !strings.HasPrefix(m[1], "min(") {
			t.Errorf("a column is at least %s wide, whatever the page is", m[1])
		}
	}
	if len(found) == 0 {
		t.Error("the style sheet has no columns")
	}
}

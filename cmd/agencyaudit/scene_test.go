//go:build unix

package main

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// scene is one row of the matrix at work: a simulated cloud, a small organization in it, and the built program, which audits
// it every second.
type scene struct {
	t     *testing.T
	fault fault
	// cloud is what answers; it can be exchanged while the program runs.
	cloud    atomic.Pointer[simcloud.Cloud]
	door     *door
	accounts []actor
	// env holds the keys of the accounts, config is the daemon's file without limits.
	env     []string
	secrets *secrets
	daemon  *served
	// schedule is when the daemon makes its runs and how old evidence may be, limits is what it may take.
	schedule, limits string
	// watch is told of every scrape; nil is nobody.
	watch func(m moment)
	// undo is what puts right what happened, original the organization before it did.
	undo     []simcloud.Drift
	original *simcloud.Organization
	// buggy says that there is a bug in the program.
	buggy bool
	// authority is who issued the certificates of a cloud that speaks TLS.
	authority *authority
}

// actor is one account of the organization.
type actor struct {
	id, name string
	// assumed says that the account is entered by an agency rather than with a key of its own.
	assumed bool
	// drifted says that it lacks one grant and has one too many.
	drifted bool
	// victim says that the fault strikes it.
	victim bool
}

func (a actor) label() string { return fmt.Sprintf("account=%q", a.name) }

// state is how the account is while nothing is wrong but what is wrong with it.
func (a actor) state() string {
	if a.drifted {
		return "drifted"
	}
	return "compliant"
}

// bystanders are the accounts that come first in every organization, and that no fault strikes unless it strikes all: the
// main account, whose key enters the others, one that has drifted, and one that is entered by an agency.
const bystanders = 3

// stage builds the scene, but for the daemon.
func stage(t *testing.T, f fault) *scene {
	t.Helper()
	s := &scene{t: t, fault: f, secrets: &secrets{}, schedule: busy, limits: patient}
	if f.do.hasty {
		s.limits = hasty
	}
	if f.do.seldom() {
		s.schedule = calmer
	}
	n := bystanders + max(len(f.do.failures), f.do.accounts)
	if n == bystanders {
		n += 2
	}
	org := simcloud.GenerateSteady(11, n)
	org.Settings = f.do.settings
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		a := actor{
			id: acct.ID, name: acct.Name, assumed: i > 0 && i%2 == 0, drifted: i == 1 && !f.do.steady, victim: f.do.whole,
		}
		if at := i - bystanders; at >= 0 {
			// Of two victims one is right and has a key of its own, the other has drifted and is entered by an agency.
			a.victim, a.drifted, a.assumed = true, (at%4 == 1 || at%4 == 2) && !f.do.steady, a.assumed || f.do.assumed
		}
		if f.do.strikes != nil {
			a.victim = f.do.strikes(i, a)
		}
		if a.drifted {
			drift(acct)
		}
		// With characters that other encodings write differently, so that these are looked for too.
		key := simcloud.Key{Access: fmt.Sprintf("CANARYACCESS%04d", i), Secret: fmt.Sprintf("canary/secret+%04d=%s<&>", i, strings.Repeat("x", 16))}
		acct.Users = slices.Clone(acct.Users)
		acct.Users[0].Keys = []simcloud.Key{key}
		s.secrets.add(key.Access, key.Secret)
		ak, sk := keyVariables(i)
		if i == 0 {
			s.env = append(s.env, accessKeyVariable+"="+key.Access, secretKeyVariable+"="+key.Secret)
		}
		s.env = append(s.env, ak+"="+key.Access, sk+"="+key.Secret)
		s.accounts = append(s.accounts, a)
	}
	if f.do.organization != nil {
		f.do.organization(org)
	}
	s.replaceCloud(org)
	s.door = openDoor(t, s)
	return s
}

// drift takes one required grant of an account's agency away and adds one that nobody requires.
func drift(acct *simcloud.Account) {
	acct.Agencies = slices.Clone(acct.Agencies)
	for i := range acct.Agencies {
		if g := &acct.Agencies[i]; g.Name == auditedAgency {
			g.Grants = slices.DeleteFunc(slices.Clone(g.Grants), func(g simcloud.Grant) bool { return g.Policy == "DCS UserAccess" })
			g.Grants = append(g.Grants, simcloud.Grant{Policy: "Tenant Administrator", Scope: "all_resources"})
		}
	}
}

// replaceCloud has another cloud of an organization answer from now on.
func (s *scene) replaceCloud(org *simcloud.Organization) {
	s.t.Helper()
	cloud, err := simcloud.New(org)
	if err != nil {
		s.t.Fatal(err)
	}
	s.cloud.Store(cloud)
}

// door is the port of the simulated cloud. It sees everything that goes through it, and can be closed and opened again.
type door struct {
	handler http.Handler
	address string
	// cert is nil for plain HTTP.
	cert   *tls.Certificate
	server *http.Server
	ended  chan error
}

func openDoor(t *testing.T, s *scene) *door {
	t.Helper()
	d := &door{address: "127.0.0.1:0", handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/securitytokens") || r.URL.Path == "/v5/agencies/assume" {
			tee := &tee{ResponseWriter: w}
			defer func() { s.secrets.issued(tee.body.Bytes()) }()
			w = tee
		}
		s.cloud.Load().ServeHTTP(w, r)
	})}
	d.open(t)
	t.Cleanup(func() { d.close(t) })
	return d
}

// open serves at the door's address: the same one every time.
func (d *door) open(t *testing.T) {
	t.Helper()
	var l net.Listener
	within(t, "the cloud's port is free", func() (why string) {
		var err error
		if l, err = (&net.ListenConfig{}).Listen(t.Context(), "tcp", d.address); err != nil {
			return err.Error()
		}
		return ""
	})
	d.address = l.Addr().String()
	if d.cert != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*d.cert}, MinVersion: tls.VersionTLS12})
	}
	server, ended := &http.Server{
		Handler: d.handler, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelWarn),
	}, make(chan error, 1)
	d.server, d.ended = server, ended
	go func() { ended <- server.Serve(l) }()
}

// url is where the cloud is.
func (d *door) url() string {
	if d.cert != nil {
		return "https://" + d.address
	}
	return "http://" + d.address
}

// close closes the port and every connection.
func (d *door) close(t *testing.T) {
	t.Helper()
	if d.server == nil {
		return
	}
	_ = d.server.Close()
	if err := <-d.ended; !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("the cloud's port: %v", err)
	}
	d.server = nil
}

// tee keeps what is answered.
type tee struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (w *tee) Write(p []byte) (int, error) {
	w.body.Write(p)
	return w.ResponseWriter.Write(p)
}

// Unwrap lets the cloud reset connections.
func (w *tee) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// secrets are what no output may hold, in whatever encoding.
type secrets struct {
	mu   sync.Mutex
	list []string
	// forms are the secrets in each of the encodings, with the name of it.
	forms map[string]string
}

func (s *secrets) add(list ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, list...)
	if s.forms == nil {
		s.forms = map[string]string{}
	}
	for _, secret := range list {
		for name, encode := range encodings {
			for _, form := range encode(secret) {
				s.forms[form] = name
			}
		}
	}
}

// mostSecrets is how many are looked for: a crowd has more than a search through its log can take.
const mostSecrets = 200

// issued takes note of a temporary key.
func (s *secrets) issued(answer []byte) {
	var a struct {
		Credential struct { // of IAM
			Access string `json:"access"`
			Secret string `json:"secret"`
			Token  string `json:"securitytoken"`
		} `json:"credential"`
		Credentials struct { // of STS
			Access string `json:"access_key_id"`
			Secret string `json:"secret_access_key"`
			Token  string `json:"security_token"`
		} `json:"credentials"`
	}
	s.mu.Lock()
	enough := len(s.list) > mostSecrets
	s.mu.Unlock()
	if enough || json.Unmarshal(answer, &a) != nil {
		return
	}
	if c := a.Credential; c.Token != "" {
		s.add(c.Access, c.Secret, c.Token)
	}
	if c := a.Credentials; c.Token != "" {
		s.add(c.Access, c.Secret, c.Token)
	}
}

// encodings are the forms in which a secret could get out.
var encodings = map[string]func(string) []string{
	"raw":      func(s string) []string { return []string{s} },
	"its head": func(s string) []string { return []string{s[:max(min(len(s), 16), len(s)/2)]} },
	"URL":      func(s string) []string { return []string{url.QueryEscape(s), url.PathEscape(s)} },
	"hex": func(s string) []string {
		return []string{hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))}
	},
	"HTML": func(s string) []string {
		return []string{html.EscapeString(s), strings.ReplaceAll(html.EscapeString(s), "+", "&#43;")}
	},
	"JSON":       func(s string) []string { b, _ := json.Marshal(s); return []string{string(b[1 : len(b)-1])} },
	"Go":         func(s string) []string { q := strconv.Quote(s); return []string{q[1 : len(q)-1]} },
	"base64":     func(s string) []string { return inBase64(base64.RawStdEncoding, s) },
	"base64 URL": func(s string) []string { return inBase64(base64.RawURLEncoding, s) },
}

// inBase64 is what base64 makes of a secret wherever it begins in a longer text: without the characters at both ends, which
// depend on what stands beside it.
func inBase64(e *base64.Encoding, s string) []string {
	var out []string
	for skip := range 3 {
		b := e.EncodeToString([]byte(strings.Repeat("\x00", skip) + s))
		from := (skip*8 + 5) / 6
		out = append(out, b[from:len(b)-2])
	}
	return out
}

// all are those that are known so far.
func (s *secrets) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// in says in which encoding a text holds a secret; empty for none.
func (s *secrets) in(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for form, name := range s.forms {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

// hidden wants no secret in a text.
func (s *scene) hidden(what, text string) {
	s.t.Helper()
	if found := s.secrets.in(text); found != "" {
		s.t.Errorf("%s shows a secret, in the form %s", what, found)
	}
}

// The configurations of daemons: one that makes a run every second, every five, or every hour; one that does not wait long, and
// one that waits for whatever comes.
const (
	busy    = "schedule: {cron: \"@every 1s\", jitter: 0s, drain: 20s}\nmax_age: 15m\n"
	calmer  = "schedule: {cron: \"@every 5s\", jitter: 0s, drain: 20s}\nmax_age: 15m\n"
	lazy    = "schedule: {cron: \"@hourly\", jitter: 0s, drain: 20s}\nmax_age: 2h\n"
	hasty   = "limits: {run_timeout: 20s, account_timeout: 3s, request_timeout: 1500ms}\n"
	patient = "limits: {run_timeout: 10m, account_timeout: 30s, request_timeout: 20s}\n"
)

// config writes the daemon's configuration for a cloud at an address.
func (s *scene) config(endpoint, more string) string {
	var b strings.Builder
	org := s.cloud.Load().Organization()
	fmt.Fprintf(&b, "baselines: [coc]\ncredentials: {source: environment, account_id: %q}\n", s.accounts[0].id)
	endpoints, way := fmt.Sprintf("{iam: %q}", endpoint), byIAM
	if s.fault.do.sts {
		endpoints, way = fmt.Sprintf("{iam: %q, sts: %q}", endpoint, endpoint), bySTS
	}
	fmt.Fprintf(&b, "cloud:\n  site: custom\n  region: %q\n  endpoints: %s\n  rate: {per_account: 0, total: 0}\n%s", org.Region, endpoints, more)
	b.WriteString(s.schedule + "listen: {address: \"127.0.0.1:0\"}\n" + s.limits + "accounts:\n  static:\n")
	for i, a := range s.accounts {
		access := fmt.Sprintf("{via: %s, agency: AgencyAuditReader}", way)
		if !a.assumed {
			ak, sk := keyVariables(i)
			access = fmt.Sprintf("{via: keys, ak_env: %s, sk_env: %s}", ak, sk)
		}
		fmt.Fprintf(&b, "    - {name: %q, id: %q, require_agency: true, access: %s}\n", a.name, a.id, access)
	}
	return b.String()
}

// serve starts the daemon.
func (s *scene) serve() {
	s.t.Helper()
	dir := s.t.TempDir()
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(s.t, file, s.config(s.door.url(), ""))
	s.daemon = (&simulator{secret: s.secrets.all()[1]}).serveFile(s.t, dir, file, s.env)
}

// moment is what the program says at one instant.
type moment struct {
	series
	runs float64
}

// look scrapes once. Whatever is wrong, that works, and shows nothing that contradicts itself.
func (s *scene) look() moment {
	s.t.Helper()
	all := s.daemon.scrape(s.t)
	m := moment{series: all}
	for _, n := range all.where("runs_total") {
		m.runs += n
	}
	if s.watch != nil {
		s.watch(m)
	}
	return m
}

// await looks until the condition says nothing any more.
func (s *scene) await(what string, condition func(m moment) string) moment {
	s.t.Helper()
	var m moment
	s.wait(what, patience, func() string {
		m = s.look()
		return condition(m)
	})
	return m
}

// wait waits until the condition says nothing any more. It asks seldom, which leaves the machine to the other rows.
func (s *scene) wait(what string, most time.Duration, condition func() string) {
	s.t.Helper()
	deadline := time.NewTimer(most)
	defer deadline.Stop()
	again := time.NewTicker(glance)
	defer again.Stop()
	for {
		if s.daemon.gone() {
			s.t.Fatalf("the daemon ended:\n%s", last(s.daemon.err.String(), 4000))
		}
		why := condition()
		if why == "" {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			s.t.Fatalf("waited in vain until %s: %s", what, why)
		}
	}
}

// ranSince waits until a run that began after an instant has been committed.
func (s *scene) ranSince(at time.Time) moment {
	s.t.Helper()
	begun := float64(at.UnixMilli()+1) / 1000
	s.await("a run has begun and ended", func(m moment) string {
		start, end := m.one("run_last_start_timestamp_seconds"), m.one("run_last_end_timestamp_seconds")
		if start >= begun && end >= start {
			return ""
		}
		return fmt.Sprintf("the last began at %v and ended at %v, wanted is one after %v", start, end, begun)
	})
	return s.look() // what a scrape says of accounts can be a little older than what it says of runs
}

// asItIs wants an account to be as it truly is, and says why it is not.
func (s *scene) asItIs(m moment, a actor) string {
	if m.one("account_state", a.label(), `state="`+a.state()+`"`) != 1 {
		return fmt.Sprintf("%s is not %s: %v %v", a.name, a.state(), m.where("account_state", a.label()).ones(), m.where("account_unknown", a.label()))
	}
	return ""
}

// allAsTheyAre says which account is not as it truly is.
func (s *scene) allAsTheyAre(m moment) string {
	for _, a := range s.accounts {
		if why := s.asItIs(m, a); why != "" {
			return why
		}
	}
	return ""
}

// ones are the keys of the series that are 1.
func (s series) ones() []string {
	var keys []string
	for key, v := range s {
		if v == 1 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// about are all series of an account but the time of its last reading.
func (m moment) about(a actor) series {
	out := series{}
	for key, v := range m.series {
		if strings.Contains(key, a.label()) && !strings.HasPrefix(key, "agencyaudit_account_last_complete_read_timestamp_seconds{") {
			out[key] = v
		}
	}
	return out
}

// diff says where two sets of series differ.
func (s series) diff(other series) string {
	var out []string
	for key, v := range s {
		if w, ok := other[key]; !ok {
			out = append(out, "- "+key)
		} else if v != w {
			out = append(out, fmt.Sprintf("%v → %v %s", v, w, key))
		}
	}
	for key := range other {
		if _, ok := s[key]; !ok {
			out = append(out, "+ "+key)
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// unscathed wants every account that the fault spares to be exactly as it was before.
func (s *scene) unscathed(before, during moment) {
	s.t.Helper()
	for _, a := range s.accounts {
		if a.victim {
			continue
		}
		was := before.about(a)
		if len(was) < 8 {
			s.t.Errorf("there is nothing to compare of %s: %v", a.name, was)
		}
		if d := was.diff(during.about(a)); d != "" {
			s.t.Errorf("the fault of others changes %s:\n%s", a.name, d)
		}
	}
}

// verdict is what the matrix expects of an account, as it is written there: a state, and in parentheses the reason for which
// it is unknown or the rule by which it has drifted. "right" is whatever the account truly is.
type expected struct{ state, why string }

func (f fault) expected() expected {
	state, why, _ := strings.Cut(strings.TrimSuffix(f.state, ")"), "(")
	return expected{state, why}
}

// befallen wants each victim to be in the expected state, with bad news kept and good news gone while it is unknown.
func (s *scene) befallen(before, during moment) {
	s.t.Helper()
	want := s.fault.expected()
	for _, a := range s.accounts {
		if !a.victim {
			continue
		}
		switch {
		case want.state == "right":
			if d := before.about(a).diff(during.about(a)); d != "" {
				s.t.Errorf("%s is not as it truly is:\n%s", a.name, d)
			}
			continue
		case during.one("account_state", a.label(), `state="`+want.state+`"`) != 1:
			s.t.Errorf("%s is not %s but %v %v", a.name, want.state, during.where("account_state", a.label()).ones(), during.where("account_unknown", a.label()))
			continue
		case want.state != "unknown":
			continue
		case during.one("account_unknown", a.label(), `reason="`+want.why+`"`) != 1:
			s.t.Errorf("%s is unknown for another reason than %s: %v", a.name, want.why, during.where("account_unknown", a.label()))
		}
		// Bad news sticks, good news goes, and there is no other news.
		for _, name := range []string{"policy_missing", "policy_excess", "agency_trust_mismatch"} {
			was, is := before.where(name, a.label()), during.where(name, a.label())
			if name != "policy_excess" {
				maps.DeleteFunc(was, func(_ string, v float64) bool { return v == 0 })
			}
			if d := was.diff(is); d != "" {
				s.t.Errorf("%s is unknown, and %s is not what was known to be wrong:\n%s", a.name, name, d)
			}
			if name == "policy_missing" && len(was) == 0 == a.drifted {
				s.t.Errorf("before the fault %s has %d series of %s", a.name, len(was), name)
			}
		}
	}
}

var expression = regexp.MustCompile(`^(\w+)((?:\{.*\})?) (rises|=|≤|grows ≤) ?(-?[\d.]*)( MiB)?$`)

// shown wants a metric to show the fault, in the words of the table: a counter that rises, a gauge of a value. A gauge about
// accounts is meant of each victim.
func (s *scene) shown(before, during moment) {
	s.t.Helper()
	for metric := range strings.SplitSeq(s.fault.metric, ", ") {
		m := expression.FindStringSubmatch(metric)
		if m == nil {
			s.t.Fatalf("the table's metric cannot be read: %s", metric)
		}
		var labels []string
		for l := range strings.SplitSeq(strings.Trim(m[2], "{}"), ";") {
			if name, value, ok := strings.Cut(l, "="); ok {
				labels = append(labels, fmt.Sprintf("%s=%q", name, value))
			}
		}
		sum := func(at moment) (total float64) {
			for key, v := range at.series { // some are of libraries
				if name, rest, _ := strings.Cut(key, "{"); name == m[1] || name == "agencyaudit_"+m[1] {
					if !slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(","+rest, ","+l) }) {
						total += v
					}
				}
			}
			return total
		}
		bound, _ := strconv.ParseFloat(cmp.Or(m[4], "0"), 64)
		switch perAccount := accountMetric(m[1]); {
		case metric == flat: // see scene.flat
		case m[3] == "rises":
			if was, is := sum(before), sum(during); is <= was {
				s.t.Errorf("%s: it was %v and is %v", metric, was, is)
			}
		case m[3] == "≤":
			if is := sum(during); len(during.where(m[1], labels...)) == 0 || is > bound {
				s.t.Errorf("%s: it is %v", metric, is)
			}
		case perAccount:
			for _, a := range s.accounts {
				if is := during.where(m[1], append(slices.Clone(labels), a.label())...); a.victim && (len(is) == 0 || is.count(bound) != len(is)) {
					s.t.Errorf("%s, of %s: it is %v", metric, a.name, is)
				}
			}
		default:
			if is := during.one(m[1], labels...); is != bound {
				s.t.Errorf("%s: it is %v", metric, is)
			}
		}
	}
}

func accountMetric(name string) bool {
	return strings.HasPrefix(name, "account_") || strings.HasPrefix(name, "policy_") || strings.HasPrefix(name, "agency_")
}

// answersSoon wants /metrics to answer within a second, whatever the cloud does. The fastest of a few counts, since the
// machine is shared.
func (s *scene) answersSoon() {
	s.t.Helper()
	best := patience
	for range 5 {
		from := time.Now()
		a := s.daemon.send(s.t, http.MethodGet, "/metrics", func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") })
		if a.status != http.StatusOK {
			s.t.Errorf("/metrics: status %d", a.status)
		}
		if best = min(best, time.Since(from)); best < time.Second {
			return
		}
	}
	s.t.Errorf("/metrics takes %v", best)
}

var accountLink = regexp.MustCompile(`href="(/accounts/[^"]+)"`)

// pages wants every page to be served, and to show no secret.
func (s *scene) pages() map[string]string {
	s.t.Helper()
	pages := map[string]string{}
	get := func(path string) string {
		a := s.daemon.get(s.t, path)
		if a.status != http.StatusOK {
			s.t.Errorf("%s: status %d", path, a.status)
		}
		pages[path] = a.body
		s.hidden(path, a.body)
		return a.body
	}
	get("/")
	get("/-/healthy")
	get("/-/ready")
	s.hidden("/metrics", s.daemon.get(s.t, "/metrics").body)
	links := accountLink.FindAllStringSubmatch(get("/?state=all"), -1)
	if want := min(len(s.accounts), 50); len(links) < want {
		s.t.Errorf("the page has %d links to accounts, want %d", len(links), want)
	}
	for _, l := range links {
		get(html.UnescapeString(l[1]))
	}
	return pages
}

// document is the program's JSON, as far as it matters here.
type document struct {
	Run struct {
		Complete bool `json:"complete"`
	} `json:"run"`
	Sweeps []map[string]any `json:"sweeps"`
}

// audit runs `audit` against the cloud as it is and returns its sweeps by the name of the account.
func (s *scene) audit() map[string]map[string]any {
	s.t.Helper()
	dir := s.t.TempDir()
	for _, name := range []string{"agencyaudit.yaml", "ca.pem"} {
		if data, err := os.ReadFile(filepath.Join(s.daemon.dir, name)); err == nil {
			replace(s.t, filepath.Join(dir, name), string(data))
		}
	}
	p := launch(s.t, dir, s.env, []string{
		"audit", "--config", filepath.Join(dir, "agencyaudit.yaml"), "-o", "json", "--out", filepath.Join(dir, "report.json"), "--log-level", "debug",
	})
	code := p.wait(s.t)
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		s.t.Fatalf("exit code %d, %v:\n%s", code, err, last(p.err.String(), 2000))
	}
	s.hidden("audit", p.out.String()+p.err.String())
	s.hidden("audit's file", string(text))
	calm(s.t, "audit", p.err.String())
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		s.t.Fatal(err)
	}
	if len(doc.Sweeps) != len(s.accounts) {
		s.t.Fatalf("audit reports %d accounts, want %d", len(doc.Sweeps), len(s.accounts))
	}
	out, states := map[string]map[string]any{}, map[any]bool{}
	for _, sweep := range doc.Sweeps {
		name, _ := sweep["account"].(map[string]any)["name"].(string)
		states[sweep["state"]] = true
		out[name] = sweep
	}
	want := exitOK
	switch {
	case states["unknown"]:
		want = exitPartial
	case states["drifted"]:
		want = exitDrift
	}
	if code != want {
		s.t.Errorf("audit ends with %d, want %d:\n%s", code, want, last(p.err.String(), 2000))
	}
	return out
}

// lasting is a sweep without what differs from run to run.
func lasting(sweep map[string]any) string {
	var strip func(v any) any
	strip = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			v = maps.Clone(v)
			for _, key := range []string{"started_at", "ended_at", "request_ids"} {
				delete(v, key)
			}
			for key := range v {
				v[key] = strip(v[key])
			}
			return v
		case []any:
			v = slices.Clone(v)
			for i := range v {
				v[i] = strip(v[i])
			}
			return v
		}
		return v
	}
	b, _ := json.MarshalIndent(strip(sweep), "", " ") // it was read from JSON
	return string(b)
}

// judged compares what `audit` says with what the table expects, and of the accounts that the fault spares with what it says
// without any fault.
func (s *scene) judged(sweeps map[string]map[string]any) {
	s.t.Helper()
	want := s.fault.expected()
	for _, a := range s.accounts {
		sweep := sweeps[a.name]
		state, why := sweep["state"], ""
		if u, ok := sweep["unknown"].(map[string]any); ok {
			why = fmt.Sprint(u["reason"], ": ", u["detail"])
		}
		switch {
		case !a.victim || want.state == "right":
			if state != a.state() {
				s.t.Errorf("audit says of %s: %v (%s), and it is %s", a.name, state, why, a.state())
			}
			if usual := untroubled(s.t)[a.name]; !a.victim && usual != "" && lasting(sweep) != usual {
				s.t.Errorf("audit says of %s:\n%s\nand without the fault:\n%s", a.name, lasting(sweep), usual)
			}
		case state != want.state, want.state == "unknown" && !strings.HasPrefix(why, want.why+":"):
			s.t.Errorf("audit says of %s: %v (%s), want %s(%s)", a.name, state, why, want.state, want.why)
		case want.state == "drifted" && want.why != "":
			if !strings.Contains(lasting(sweep), fmt.Sprintf(`"rule": %q`, want.why)) {
				s.t.Errorf("audit reports no %s of %s", want.why, a.name)
			}
		}
	}
}

// untroubled are the bystanders' sweeps of an audit without any fault.
var untroubledOnce struct {
	sync.Mutex
	sweeps map[string]string
}

func untroubled(t *testing.T) map[string]string {
	t.Helper()
	untroubledOnce.Lock()
	defer untroubledOnce.Unlock()
	if untroubledOnce.sweeps == nil {
		s := stage(t, fault{id: "none", state: "right"})
		s.serve()
		out := map[string]string{}
		for name, sweep := range s.audit() {
			out[name] = lasting(sweep)
		}
		untroubledOnce.sweeps = out
	}
	return untroubledOnce.sweeps
}

// calm wants no sign of a bug in a log, whose lines are whole.
func calm(t *testing.T, who, log string) {
	t.Helper()
	for _, sign := range []string{`"msg":"panic`, "panic_type", "goroutine 1 [", "DATA RACE", "fatal error:"} {
		if strings.Contains(log, sign) {
			t.Errorf("%s has a bug:\n%s", who, last(log, 6000))
			return
		}
	}
	for line := range strings.Lines(log) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s: a line of the log is not whole: %q", who, line)
			return
		}
	}
}

// end ends the scene: the daemon ends in order, wrote nothing in the cloud, and left no secret anywhere.
func (s *scene) end() {
	s.t.Helper()
	s.daemon.interrupt(s.t)
	noWrites(s.t, s.cloud.Load())
	s.leftNothing()
}

// leftNothing wants an ended daemon to have left no secret anywhere, and no sign of a bug.
func (s *scene) leftNothing() {
	s.t.Helper()
	s.hidden("the daemon's stdout", s.daemon.out.String())
	s.hidden("the daemon's log", s.daemon.err.String())
	if !s.buggy {
		calm(s.t, "the daemon", s.daemon.err.String())
	}
	if log := s.daemon.err.String(); !strings.Contains(log, `"level":"DEBUG"`) {
		s.t.Error("the log is not at debug level")
	}
	err := filepath.WalkDir(s.daemon.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		s.hidden(path, string(data))
		return err
	})
	if err != nil {
		s.t.Error(err)
	}
	// Temporary keys were made, and are among what was looked for.
	assumed := slices.ContainsFunc(s.accounts, func(a actor) bool { return a.assumed })
	if n := len(s.secrets.list); assumed && n < min(2*len(s.accounts)+3, mostSecrets) {
		s.t.Errorf("only %d secrets were looked for", n)
	}
}

// peak is the most memory that the daemon ever took, in bytes, since the last call; 0 where the system does not say.
func (s *scene) peak() int64 {
	s.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.daemon.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return 0
	}
	if err := os.WriteFile(proc+"clear_refs", []byte("5"), 0o600); err != nil {
		return 0
	}
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return n << 10
}

// mostGrowth is what an answer may cost in memory, however large it is, packed or not.
const mostGrowth = 16 << 20

// flat wants the daemon to have taken hardly more memory since the fault began than it ever did before.
func (s *scene) flat(before int64) {
	s.t.Helper()
	is := s.peak()
	s.t.Logf("at most %d KiB before, %d KiB while the fault lasts", before>>10, is>>10)
	if is-before > mostGrowth {
		s.t.Errorf("the fault costs %d KiB", (is-before)>>10)
	}
}

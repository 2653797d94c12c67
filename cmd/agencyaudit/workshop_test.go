//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// workshop is a scene whose daemon repairs. All of its accounts are right at first, and each has the two agencies by which it is
// changed, with nothing but the published rights.
type workshop struct {
	*remembering
	damage damage
	// mode and section are what the configuration says of repair, where the row does not say otherwise.
	mode, section string
	// at is what happens at each request to the cloud, which serve answers; nil is nothing but that.
	at atomic.Pointer[func(w *workshop, asked request, serve func())]
	// book is the ledger by which the books are balanced, where it is another than the daemon's.
	book string
	// repairing counts the requests that are signed with the key of repair, changing those that could change something: whatever the method says, but for those that let an agency be assumed.
	repairing, changing atomic.Int64
	// cloudAnswers is the cloud without what happens at requests.
	cloudAnswers http.Handler
	// clock is what runs in this process, with a clock that is set; nil for the built program.
	clock *clockwork
}

// request is one that the cloud is asked.
type request struct {
	*http.Request
	// phase is where the step is that is carried out.
	phase phase
	// writes says that it could change something.
	writes bool
	// victim is the id of the first victim's agency.
	victim string
}

// phase is where a step is, by the last entry of the ledger.
type phase string

// The phases of a step.
const (
	idle    phase = ""
	reading phase = "intent" // again, before the request that changes something
	sending phase = "sent"   // or reading what became of it
)

// The key by which accounts are changed.
const repairAccess, repairSecret = "CANARYREPAIRACCESS", "canary/repair+secret=<&>xxxxxxxxxxxxxxxx"

// broken is what an account lacks once it is broken.
var broken = simcloud.Grant{Policy: "DCS UserAccess", Scope: "all_resources"}

// grants is the operation by which that is granted.
const grants = "AssociateAgencyWithAllProjectsPermission"

// equip adds what repair needs to an organization.
func equip(t *testing.T, org *simcloud.Organization) {
	grant, revoke := publishedPolicy(t, "v1.1/repair-grant.json"), publishedPolicy(t, "v1.1/repair-revoke.json")
	main := &org.Accounts[0]
	main.Users = append(slices.Clone(main.Users), simcloud.User{
		Name: "repairer", Keys: []simcloud.Key{{Access: repairAccess, Secret: repairSecret}}, Actions: []string{"iam:agencies:assume"},
	})
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		acct.Policies = append(slices.Clone(acct.Policies), grant, revoke)
		acct.Agencies = slices.Clone(acct.Agencies)
		for name, policy := range map[string]string{granter: grant.DisplayName, revoker: revoke.DisplayName} {
			acct.Agencies = append(acct.Agencies, simcloud.Agency{
				Name: name, Trust: simcloud.Trust{Name: main.Name}, Grants: []simcloud.Grant{{Policy: policy, Custom: true, Scope: "global"}},
			})
		}
	}
}

// repairSection is what the configuration says of repair; rest is in it as it is.
func repairSection(mode, account, rest string) string {
	return fmt.Sprintf(`state_dir: state
remediation:
  mode: %q
  credentials: {source: environment, account_id: %q, ak_env: REPAIR_AK, sk_env: REPAIR_SK}
  missing: {enabled: true, via: iam, agency: %s}
%s`, mode, account, granter, rest)
}

// ample is that no limit is in the way.
const ample = "  limits: {grant_accounts_per_run: 100, revoke_accounts_per_run: 100, fleet_percent_per_day: 100}\n"

// openWorkshop builds one, but for the daemon.
func openWorkshop(t *testing.T, d damage) *workshop {
	t.Helper()
	dir := t.TempDir()
	w := &workshop{damage: d, mode: "auto", section: ample}
	if d.do.mode != "" {
		w.mode = d.do.mode
	}
	if d.do.section != "" {
		w.section = d.do.section
	}
	play := trick{steady: true, accounts: max(d.do.victims, 1), assumed: d.do.assumed, hasty: d.do.hasty, organization: func(org *simcloud.Organization) {
		equip(t, org)
		if d.do.organization != nil {
			d.do.organization(org)
		}
	}}
	w.remembering = &remembering{
		scene: stage(t, fault{id: d.id, what: d.what, do: play, state: d.state, metric: d.metric}),
		dir:   filepath.Join(dir, "state"), file: filepath.Join(dir, "agencyaudit.yaml"),
	}
	for i := range w.accounts { // since temporary keys end when the clock is set
		w.accounts[i].assumed = w.accounts[i].assumed && !d.do.clocked && !d.do.keyed
	}
	if d.do.hasty {
		w.limits, w.schedule = "limits: {run_timeout: 1m, account_timeout: 20s, request_timeout: 3s}\n", busy
	}
	w.env = append(w.env, repairAccessVariable+"="+repairAccess, repairSecretVariable+"="+repairSecret)
	w.secrets.add(repairAccess, repairSecret)
	if strings.Contains(w.section, "people:") {
		w.writePeople()
	}
	w.cloudAnswers = w.door.handler
	w.door.close(t)
	w.door.handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asked := request{Request: r, writes: changes(r)}
		if asked.writes {
			w.changing.Add(1)
			if p := w.phase(); p != sending {
				t.Errorf("%s %s comes while the ledger's last word is %q", r.Method, r.URL.Path, p)
			}
		}
		if strings.Contains(r.Header.Get("Authorization"), repairAccess) {
			w.repairing.Add(1)
		}
		serve := func() { w.cloudAnswers.ServeHTTP(rw, r) }
		if at := w.at.Load(); at != nil {
			asked.phase, asked.victim = w.phase(), agencyOf(w.victims()[0], auditedAgency).ID
			(*at)(w, asked, serve)
			return
		}
		serve()
	})
	w.door.open(t)
	w.configure(w.section)
	return w
}

// configure writes the configuration.
func (w *workshop) configure(section string) {
	w.t.Helper()
	w.section = section
	text := w.config(w.door.url(), repairSection(w.mode, w.accounts[0].id, section))
	if w.damage.do.organized {
		text = strings.Replace(text, fmt.Sprintf("{iam: %q}", w.door.url()), fmt.Sprintf("{iam: %q, organizations: %q}", w.door.url(), w.door.url()), 1) +
			"  organization: {enabled: true, require_agency: true, access: {via: iam, agency: AgencyAuditReader}}\n"
	}
	replace(w.t, w.file, text)
}

// changes says whether a request could change something.
func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && !strings.HasSuffix(r.URL.Path, "/securitytokens") &&
		!strings.HasSuffix(r.URL.Path, "/auth/tokens") && r.URL.Path != "/v5/agencies/assume"
}

// happensAt has something happen at requests from now on.
func (w *workshop) happensAt(do func(w *workshop, asked request, serve func())) { w.at.Store(&do) }

// ledger is what is written down so far.
func (w *workshop) ledger() []remedy.Entry {
	w.t.Helper()
	file := filepath.Join(w.dir, remedy.LedgerName)
	if w.book != "" {
		file = w.book
	}
	data, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Error(err)
	}
	var all []remedy.Entry
	for line := range bytes.Lines(data) {
		var e remedy.Entry
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		if err := json.Unmarshal(line, &e); err != nil {
			w.t.Errorf("a line of the ledger: %v\n%s", err, line)
			return all
		}
		all = append(all, e)
	}
	return all
}

// phase is where the step is that is carried out.
func (w *workshop) phase() phase {
	all := w.ledger()
	if len(all) == 0 {
		return idle
	}
	switch p := phase(all[len(all)-1].Kind); p {
	case reading, sending:
		return p
	default:
		return idle
	}
}

// entries are those of a kind.
func (w *workshop) entries(kind remedy.Kind) []remedy.Entry {
	w.t.Helper()
	return slices.DeleteFunc(w.ledger(), func(e remedy.Entry) bool { return e.Kind != kind })
}

// ends are the outcomes, in the order in which they came.
func (w *workshop) ends() string {
	w.t.Helper()
	var all []string
	for _, e := range w.entries(remedy.KindOutcome) {
		all = append(all, string(e.Outcome))
	}
	return strings.Join(all, ", ")
}

// ended waits until these are the outcomes, and nothing is open but what is counted.
func (w *workshop) ended(ends string, open int) moment {
	w.t.Helper()
	return w.await("the ledger says "+ends, func(m moment) string {
		is, n := w.ends(), m.one("remediation_open_intents")
		if is == ends && n == float64(open) {
			return ""
		}
		return fmt.Sprintf("it says %q, and %v are open; held were %v", is, n, m.where("remediation_blocked_total").some())
	})
}

// some are the series that are not 0.
func (s series) some() series {
	out := series{}
	for key, v := range s {
		if v != 0 {
			out[key] = v
		}
	}
	return out
}

// held waits until something was held for a reason, and returns what is shown then.
func (w *workshop) held(reason rules.Hold) moment {
	w.t.Helper()
	return w.await("repair is held: "+string(reason), func(m moment) string {
		if m.one("remediation_blocked_total", fmt.Sprintf("reason=%q", reason)) > 0 {
			return ""
		}
		return fmt.Sprint(m.where("remediation_blocked_total").some())
	})
}

// victims are the accounts that are struck.
func (w *workshop) victims() []simcloud.Account {
	all := w.cloud.Load().Organization().Accounts
	return slices.DeleteFunc(slices.Clone(all), func(acct simcloud.Account) bool {
		return !slices.ContainsFunc(w.accounts, func(a actor) bool { return a.id == acct.ID && a.victim })
	})
}

// breaks takes the same grant from the agencies of victims.
func (w *workshop) breaks() {
	w.t.Helper()
	for _, acct := range w.victims() {
		w.happens(revoked(acct.ID))
	}
}

// does has something happen that may have been done already.
func (w *workshop) does(d simcloud.Drift) { _ = w.cloud.Load().Drift(d) }

// twoRuns waits for two runs that began after now.
func (w *workshop) twoRuns() moment {
	w.t.Helper()
	now := time.Now
	if w.clock != nil {
		now = w.clock.now
	}
	w.ranSince(now())
	return w.ranSince(now())
}

// written are the changes that the cloud made, those that had an effect and those without.
func (w *workshop) written() (effective, without []simcloud.Write) {
	for _, j := range w.cloud.Load().Journal() {
		if j.NoChange {
			without = append(without, j)
		} else {
			effective = append(effective, j)
		}
	}
	return effective, without
}

// about is what a change is about.
func about(action rules.Action, account, agency, policy, scope, in string) string {
	return strings.Join([]string{string(action), account, agency, policy, scope, in}, " ")
}

// balanced wants the books to balance: every change in the cloud's journal has an intent of its own that was written down as sent before, what
// ended as done is in the journal unless somebody else did it, and those with an effect are so many.
func (w *workshop) balanced(writes int) {
	w.t.Helper()
	effective, without := w.written()
	if len(effective) != writes {
		w.t.Errorf("%d writes, want %d: %+v", len(effective), writes, effective)
	}
	type intent struct {
		sent time.Time
		step *rules.Step
		end  remedy.Outcome
	}
	intents := map[int64]*intent{}
	for _, e := range w.ledger() {
		switch e.Kind {
		case remedy.KindIntent:
			intents[e.Seq] = &intent{step: e.Step}
		case remedy.KindSent:
			if !intents[e.Intent].sent.IsZero() {
				w.t.Errorf("intent %d was sent twice", e.Intent)
			}
			intents[e.Intent].sent = e.Time
		case remedy.KindOutcome:
			if intents[e.Intent].end != "" {
				w.t.Errorf("intent %d ended twice", e.Intent)
			}
			intents[e.Intent].end = e.Outcome
		default:
		}
	}
	sent := map[string][]*intent{}
	for _, i := range intents {
		if s := i.step; !i.sent.IsZero() {
			key := about(s.Action, s.AccountID, s.AgencyID, s.Grant.Policy.ID, string(s.Grant.Scope.Kind), s.Grant.Scope.ID)
			sent[key] = append(sent[key], i)
		}
	}
	for _, list := range sent {
		slices.SortFunc(list, func(a, b *intent) int { return a.sent.Compare(b.sent) })
	}
	done := map[string]int{}
	for _, j := range slices.Concat(effective, without) {
		action := rules.ActionGrant
		if !strings.HasPrefix(j.Operation, "Associate") {
			action = rules.ActionRevoke
		}
		key := about(action, j.AccountID, j.AgencyID, j.PolicyID, j.Scope, j.In)
		// Of a grant that was written twice the first intents go with the first writes; those that had no effect go with none.
		at := slices.IndexFunc(sent[key], func(i *intent) bool { return !i.sent.After(j.Time) && i.end != remedy.OutcomeFailed })
		if at < 0 {
			w.t.Errorf("nobody intended %s %+v", key, j)
			continue
		}
		if sent[key][at].end == remedy.OutcomeNotSent || sent[key][at].end == remedy.OutcomeNoop {
			w.t.Errorf("%s was done, and the ledger says %s", key, sent[key][at].end)
		}
		sent[key] = slices.Delete(sent[key], at, at+1)
		done[key]++
		if want := "agency/" + map[rules.Action]string{rules.ActionGrant: granter, rules.ActionRevoke: revoker}[action] + "/"; !strings.HasPrefix(j.Actor, want) {
			w.t.Errorf("%s was done by %s", key, j.Actor)
		}
	}
	for key, left := range sent {
		for _, i := range left {
			if i.end == remedy.OutcomeDone && !w.damage.do.helped {
				w.t.Errorf("the ledger says that %s was done, and the cloud does not", key)
			}
		}
	}
}

// closed ends the daemon, and wants no secret anywhere, and that the ledger can be relied on.
func (w *workshop) closed() {
	w.t.Helper()
	if !w.daemon.gone() {
		w.stop()
	}
	w.scene.buggy = w.damage.do.buggy
	w.leftNothing()
	if w.damage.do.spoiled {
		return
	}
	l, err := remedy.OpenLedger(remedy.OSFS{}, filepath.Join(w.dir, remedy.LedgerName), remedy.LedgerOptions{})
	if err != nil {
		w.t.Error(err)
		return
	}
	if err := l.Close(); err != nil {
		w.t.Error(err)
	}
}

// stop ends the daemon in order.
func (w *workshop) stop() {
	w.t.Helper()
	if w.clock == nil {
		w.daemon.interrupt(w.t)
		return
	}
	w.clock.cancel()
	within(w.t, "it ends", func() string {
		if w.daemon.gone() {
			return ""
		}
		return "it still runs"
	})
	if w.daemon.failure != nil {
		w.t.Error(w.daemon.failure)
	}
}

// begin starts the daemon: the built program, or in this process.
func (w *workshop) begin() {
	w.t.Helper()
	if w.damage.do.clocked {
		w.startHere()
		return
	}
	w.start()
}

// asks puts a question to the daemon at its socket, and says what it answered.
func (w *workshop) asks(method, path string, in, out any) (status int, said string) {
	w.t.Helper()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		// The path of a socket may not be long.
		dir, err := os.Open(w.dir)
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		return (&net.Dialer{}).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), daemon.SocketName))
	}}}
	body, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://daemon/v1/"+path, bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.hidden("the socket's answer", string(data))
	if out != nil && resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(data, out); err != nil {
			w.t.Fatal(err)
		}
	}
	return resp.StatusCode, string(data)
}

// clockwork is a daemon in this process, by a clock that is set between two runs. The cloud's clock is not: since the two differ by more than
// ten minutes from then on, nothing is changed any more, but what is open is settled.
type clockwork struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	ahead  time.Duration
	jump   time.Duration
	jumped chan struct{}
	// panics says that it breaks when somebody who sends a change asks for the time.
	panics atomic.Bool
}

// now is the daemon's time.
func (c *clockwork) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.panics.Load() && sendsChange() {
		panic("a bug that somebody put in")
	}
	return time.Now().Add(c.ahead)
}

// parsed is the configuration, as the program reads it.
func (w *workshop) parsed() *daemon.Config {
	w.t.Helper()
	text, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	cfg, err := daemon.ParseConfig(w.file, text, func(name string) (fs.File, error) { return os.Open(name) }, func(name string) (string, bool) {
		for _, e := range w.env {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value, true
			}
		}
		return "", false
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// startHere starts the daemon in this process.
func (w *workshop) startHere() {
	w.t.Helper()
	cfg := w.parsed()
	if w.clock == nil {
		w.clock = &clockwork{}
	}
	c := w.clock
	p := &process{out: &shared{}, err: &shared{}, ended: make(chan struct{})}
	w.daemon = &served{
		process: p, dir: filepath.Dir(w.file), file: w.file, secret: repairSecret,
		client: &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}},
	}
	listening := make(chan string, 1)
	d, err := daemon.New(daemon.Options{
		Config: cfg, Logger: slog.New(slog.NewJSONHandler(visibleLog{w: p.err, json: true}, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Version: "v1.2.3", Now: c.now, Listening: func(url string) { listening <- url }, Committed: func(*auditor.Run) { w.maybeJump() },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	var ctx context.Context
	ctx, c.cancel = context.WithCancel(context.Background())
	go func() {
		p.failure = d.Run(ctx)
		d.Close()
		close(p.ended)
	}()
	w.t.Cleanup(func() {
		c.cancel()
		<-p.ended
		if w.t.Failed() {
			w.t.Logf("the daemon said:\n%s", last(p.err.String(), 4000))
		}
	})
	select {
	case w.daemon.url = <-listening:
	case <-p.ended:
		w.t.Fatalf("the daemon ended: %v\n%s", p.failure, p.err.String())
	}
}

// maybeJump sets the clocks if somebody wants them to be set.
func (w *workshop) maybeJump() {
	c := w.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.jumped == nil {
		return
	}
	c.ahead += c.jump
	close(c.jumped)
	c.jumped = nil
}

// later is when so much time has passed.
func (w *workshop) later(span time.Duration) {
	w.t.Helper()
	jumped := make(chan struct{})
	c := w.clock
	c.mu.Lock()
	c.jump, c.jumped = span, jumped
	c.mu.Unlock()
	within(w.t, "the clocks are set", func() string {
		select {
		case <-jumped:
			return ""
		default:
			return "no run has ended"
		}
	})
}

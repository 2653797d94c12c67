//go:build unix

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// failpointsVariable names a program that was built with the tag failpoints, which kills itself at a point and whose clock can be ahead.
const failpointsVariable = "AGENCYAUDIT_FAILPOINTS"

const (
	// perFleet is how often daemons that repair one fleet are killed, before everything has to be settled and right.
	perFleet = 40
	// mended is how many accounts the fleet has; the first one's key enters the others.
	mended = 20
)

// Where the daemon is killed: at points of its own, in an entry of the ledger of each kind, and by the test when the cloud is asked, when the
// log says something, or at random.
var (
	ledgerPoints = []string{"begin", "torn", "written", "synced", "acknowledged"}
	enginePoints = []string{"reread", "answered", "readback", "settling"}
	cloudPoints  = []string{"request", "write asked", "write done", "step ended", "whenever"}
)

// TestKilledRepair kills the daemon with SIGKILL while it grants and revokes, a few times or as often as AGENCYAUDIT_KILLS says, and lets drift
// happen all the while. After each kill the ledger is whole, and has all that was ever seen in it; what the cloud was asked to write was in it
// before, and nothing was written twice. In the end each intent has one outcome, the ledger's outcomes with effect are the cloud's journal, in
// order, and the fleet is right.
//
// Without a program that has failpoints it is killed from outside alone, and only where the next reading settles what is open.
func TestKilledRepair(t *testing.T) {
	t.Parallel()
	cycles := 5
	if testing.Short() {
		cycles = 3
	}
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s=%s is no number", killsVariable, text)
		}
	}
	program := os.Getenv(failpointsVariable)
	failpoints := program != ""
	if !failpoints {
		var err error
		if program, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	// One fleet has nothing to do with another.
	var mu sync.Mutex
	m := newTally()
	t.Run("fleets", func(t *testing.T) {
		for first := 0; first < cycles; first += perFleet {
			t.Run(strconv.Itoa(first), func(t *testing.T) {
				t.Parallel()
				own := &mender{
					t: t, r: rand.New(rand.NewPCG(10, uint64(first))), program: program, failpoints: failpoints, tally: newTally(),
				}
				own.fleet(uint64(first))
				for cycle := first; cycle < min(first+perFleet, cycles); cycle++ {
					if own.cycle(cycle); t.Failed() {
						t.Fatalf("cycle %d, killed at %q; the daemon said:\n%s", cycle, own.killedAt, last(own.log, 4000))
					}
				}
				if own.settle(); t.Failed() {
					t.Fatalf("in the end the daemon said:\n%s", last(own.log, 4000))
				}
				mu.Lock()
				defer mu.Unlock()
				m.add(&own.tally)
			})
		}
	})
	if t.Failed() {
		return
	}
	for _, at := range slices.Sorted(maps.Keys(m.hit)) {
		t.Logf("%5d killed at %s", m.hit[at], at)
	}
	t.Logf("%d kills, %d with an intent open, of which %d were sent; %d torn entries; %d writes (%d of them revoke) of %d intents: %v", cycles,
		m.cutShort, m.cutSent, m.torn, m.writes, m.revokes, m.intents, m.outcomes)
	if m.writes == 0 || m.intents < m.writes {
		t.Errorf("%d writes of %d intents", m.writes, m.intents)
	}
	if cycles < 1000 || !failpoints {
		return
	}
	for _, kind := range []remedy.Kind{remedy.KindPlanned, remedy.KindIntent, remedy.KindSent, remedy.KindOutcome} {
		for _, point := range ledgerPoints {
			if at := point + ":" + string(kind); m.hit[at] < cycles/200 {
				t.Errorf("%d kills at %s: too few", m.hit[at], at)
			}
		}
	}
	for _, point := range slices.Concat(cloudPoints, []string{"reread:", "answered:", "readback:", "settling:"}) {
		if m.hit[point] < cycles/200 {
			t.Errorf("%d kills at %s: too few", m.hit[point], point)
		}
	}
	for what, n := range map[string]int{
		"revokes": m.revokes, "intents cut short": m.cutShort, "requests cut short": m.cutSent, "torn entries": m.torn,
		"writes done": m.outcomes["done"], "not sent": m.outcomes["not_sent"], "sent in vain": m.outcomes["failed"],
	} {
		if n < cycles/50 {
			t.Errorf("%s: %d in %d cycles: too little happened", what, n, cycles)
		}
	}
}

// mender starts daemons that repair, and kills them.
type mender struct {
	t          *testing.T
	r          *rand.Rand
	program    string
	failpoints bool

	// cloud is the fleet's, at url; dir holds the configuration and the state directory.
	cloud      *simcloud.Cloud
	server     *httptest.Server
	dir        string
	env        []string
	accounts   []string // ids
	right      map[string]bool
	policies   map[string]string // ids by display name
	open       atomic.Int64      // connections to the cloud
	ahead      atomic.Int64      // how far the clock of daemon and cloud is ahead of the machine's
	onRequest  atomic.Pointer[func(number int, writes, done bool)]
	requests   atomic.Int64
	undurable  atomic.Pointer[string] // why a write was asked for that the ledger did not announce
	mu         sync.Mutex
	asked      map[int64]bool // intents that a write was asked for
	ledger     []byte         // as it was last, whole entries alone
	log        string
	killedAt   string
	intendedAt map[int64]*intent

	tally
}

// tally is what happened in a campaign, or in a part of it.
type tally struct {
	hit, outcomes                                     map[string]int
	cutShort, cutSent, torn, writes, intents, revokes int
}

func newTally() tally { return tally{hit: map[string]int{}, outcomes: map[string]int{}} }

func (t *tally) add(o *tally) {
	for at, n := range o.hit {
		t.hit[at] += n
	}
	for is, n := range o.outcomes {
		t.outcomes[is] += n
	}
	t.cutShort, t.cutSent, t.torn = t.cutShort+o.cutShort, t.cutSent+o.cutSent, t.torn+o.torn
	t.writes, t.intents, t.revokes = t.writes+o.writes, t.intents+o.intents, t.revokes+o.revokes
}

// intent is one of the ledger's intents with what followed.
type intent struct {
	seq     int64
	step    *rules.Step
	sent    int64
	sentAt  time.Time
	outcome remedy.Outcome
	request string
}

// key is what of a step can be seen in the cloud's journal.
func (i *intent) key() string {
	s := i.step
	return fmt.Sprintf("%s %s %s %s %s %s", s.Action, s.AccountID, s.AgencyID, s.Grant.Scope.Kind, s.Grant.Scope.ID, s.Grant.Policy.ID)
}

func (m *mender) file() string { return filepath.Join(m.dir, "state", remedy.LedgerName) }

// comesAndGoes are the grants that come and go: those that the baseline requires, and some that it does not know.
var comesAndGoes = []struct {
	simcloud.Grant
	required bool
}{
	{simcloud.Grant{Policy: "IAM ReadOnlyAccess", Scope: "global"}, true}, {simcloud.Grant{Policy: "RMS ReadOnlyAccess", Scope: "global"}, true},
	{simcloud.Grant{Policy: "DCS UserAccess", Scope: "all_resources"}, true},
	{simcloud.Grant{Policy: "COCServiceAgencyDefaultPolicy", Scope: "all_resources"}, true},
	{simcloud.Grant{Policy: "Tenant Guest", Scope: "global"}, false}, {simcloud.Grant{Policy: "Tenant Guest", Scope: "all_resources"}, false},
	{simcloud.Grant{Policy: "Tenant Administrator", Scope: "all_resources"}, false},
}

// fleet makes a new organization in which all is right, with what it takes to repair it.
func (m *mender) fleet(seed uint64) {
	t := m.t
	org := simcloud.GenerateSteady(100+seed, mended)
	first := org.Accounts[0].Name
	s := &scene{t: t, secrets: &secrets{}, schedule: busy, limits: patient}
	m.env, m.accounts, m.ledger, m.intendedAt, m.asked = nil, nil, nil, nil, map[int64]bool{}
	for i := range org.Accounts {
		a := &org.Accounts[i]
		s.accounts = append(s.accounts, actor{id: a.ID, name: a.Name, assumed: i > 0})
		m.accounts = append(m.accounts, a.ID)
		a.Users, a.Policies, a.Agencies = slices.Clone(a.Users), slices.Clone(a.Policies), slices.Clone(a.Agencies)
		for name, actions := range map[string][]string{
			"Grants": {"iam:permissions:grantRoleToAgency", "iam:permissions:grantRoleToAgencyOnDomain"},
			"Revokes": {
				"iam:permissions:revokeRoleFromAgency", "iam:permissions:revokeRoleFromAgencyOnDomain",
			},
		} {
			a.Policies = append(a.Policies, simcloud.Policy{DisplayName: name, Type: "AX", Allow: actions})
			a.Agencies = append(a.Agencies, simcloud.Agency{
				Name: "AgencyAudit" + strings.TrimSuffix(name, "s"), Trust: simcloud.Trust{Name: first},
				Grants: []simcloud.Grant{{Policy: name, Custom: true, Scope: "global"}},
			})
		}
	}
	key, repair := simcloud.Key{Access: "SIMREADER0001", Secret: "made-up-secret-of-the-reader"}, simcloud.Key{Access: "SIMREPAIR0001", Secret: "made-up-secret-of-the-repairer"}
	users := org.Accounts[0].Users
	users[0].Keys = []simcloud.Key{key}
	org.Accounts[0].Users = append(users, simcloud.User{Name: "repairer", Keys: []simcloud.Key{repair}, Actions: []string{"iam:agencies:assume"}})
	ak, sk := keyVariables(0)
	m.env = []string{
		accessKeyVariable + "=" + key.Access, secretKeyVariable + "=" + key.Secret, ak + "=" + key.Access, sk + "=" + key.Secret,
		"REPAIR_AK=" + repair.Access, "REPAIR_SK=" + repair.Secret,
	}
	s.replaceCloud(org)
	m.cloud = s.cloud.Load()
	m.policies = map[string]string{}
	for _, p := range m.cloud.Catalogue() {
		m.policies[p.DisplayName] = p.ID
	}
	m.right = m.held()
	if m.server != nil {
		m.server.Close()
	}
	m.server = httptest.NewUnstartedServer(http.HandlerFunc(m.serve))
	m.server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			m.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			m.open.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
	m.server.Start()
	t.Cleanup(m.server.Close)
	m.dir = t.TempDir()
	m.advance(0)
	replace(t, filepath.Join(m.dir, "agencyaudit.yaml"), s.config(m.server.URL, fmt.Sprintf(`state_dir: state
remediation:
  mode: auto
  credentials: {source: environment, account_id: %q, ak_env: REPAIR_AK, sk_env: REPAIR_SK}
  missing: {enabled: true, via: iam, agency: AgencyAuditGrant}
  excess: {enabled: true, via: iam, agency: AgencyAuditRevoke, grace: 1h, policies: [Tenant Guest, Tenant Administrator]}
  limits: {grant_accounts_per_run: 1000, revoke_accounts_per_run: 1000, fleet_percent_per_day: 100, policy_writes_per_day: 100000}
  settle: 1m
  cool_down: 1m
`, m.accounts[0])))
}

// held are the grants of all accounts' agencies, as they truly are.
func (m *mender) held() map[string]bool {
	all := map[string]bool{}
	for _, a := range m.cloud.Organization().Accounts {
		for _, g := range a.Agencies {
			if g.Name != auditedAgency {
				continue
			}
			for _, x := range g.Grants {
				all[a.ID+" "+x.Scope+" "+x.In+" "+x.PolicyID] = true
			}
		}
	}
	return all
}

// expiry is when a temporary key ends, as IAM writes it.
var expiry = regexp.MustCompile(`("expires_at":\s*")([^"]+)(")`)

const expiryLayout = "2006-01-02T15:04:05.000000Z"

// serve is the cloud, by a clock that is ahead.
func (m *mender) serve(w http.ResponseWriter, r *http.Request) {
	ahead := time.Duration(m.ahead.Load())
	n := int(m.requests.Add(1))
	writes := r.Method == http.MethodPut || r.Method == http.MethodDelete
	on := m.onRequest.Load()
	if writes {
		m.announced(r.URL.Path)
	}
	if on != nil {
		(*on)(n, writes, false)
		if r.Context().Err() != nil {
			return // nobody asks any more
		}
	}
	answer := httptest.NewRecorder()
	m.cloud.ServeHTTP(answer, r)
	if on != nil && writes {
		(*on)(n, writes, true)
	}
	maps.Copy(w.Header(), answer.Header())
	w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	w.WriteHeader(answer.Code)
	body := answer.Body.Bytes()
	if strings.HasSuffix(r.URL.Path, "/securitytokens") {
		body = expiry.ReplaceAllFunc(body, func(text []byte) []byte {
			part := expiry.FindSubmatch(text)
			at, err := time.Parse(expiryLayout, string(part[2]))
			if err != nil {
				return text
			}
			return slices.Concat(part[1], []byte(at.Add(ahead).Format(expiryLayout)), part[3])
		})
	}
	_, _ = w.Write(body)
}

// wasAsked says whether the cloud was asked for an intent.
func (m *mender) wasAsked(intent int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[intent]
}

// announced wants the ledger to end with what a request is about: an intent, that it is sent, and no request before.
func (m *mender) announced(path string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	why := ""
	data, err := os.ReadFile(m.file())
	intents, foldErr := fold(data)
	var sent *intent
	for _, i := range intents {
		if i.outcome == "" && i.sent > 0 && (sent == nil || i.seq > sent.seq) {
			sent = i
		}
	}
	switch {
	case err != nil || foldErr != nil:
		why = fmt.Sprint(err, foldErr)
	case sent == nil:
		why = "no intent is open that was sent"
	case !strings.Contains(path, sent.step.AgencyID) || !strings.Contains(path, sent.step.Grant.Policy.ID):
		why = fmt.Sprintf("what is open is intent %d: %s", sent.seq, sent.step.Short())
	case m.asked[sent.seq]:
		why = fmt.Sprintf("intent %d was asked for before", sent.seq)
	default:
		m.asked[sent.seq] = true
		return
	}
	why = path + " was asked for: " + why
	m.undurable.Store(&why)
}

// fold reads a ledger and wants its entries to be in order: one thing at a time, and nothing after its end. What is torn at the end is left out.
func fold(data []byte) (map[int64]*intent, error) {
	intents := map[int64]*intent{}
	for e, err := range remedy.Read(bytes.NewReader(data)) {
		if err != nil {
			return nil, err
		}
		i := intents[e.Intent]
		if e.Intent > 0 && (i == nil || i.outcome != "") {
			return nil, fmt.Errorf("entry %d (%s) is about intent %d, which is not open", e.Seq, e.Kind, e.Intent)
		}
		switch e.Kind {
		case remedy.KindIntent:
			for _, o := range intents {
				if o.outcome == "" && o.sent == 0 {
					return nil, fmt.Errorf("intent %d begins, and %d was not sent and not ended", e.Seq, o.seq)
				}
				if o.outcome == "" && o.step.AccountID == e.Step.AccountID {
					return nil, fmt.Errorf("intent %d begins in the account in which %d is open", e.Seq, o.seq)
				}
			}
			intents[e.Seq] = &intent{seq: e.Seq, step: e.Step}
		case remedy.KindSent:
			if i.sent > 0 {
				return nil, fmt.Errorf("intent %d was sent twice, by entries %d and %d", i.seq, i.sent, e.Seq)
			}
			i.sent, i.sentAt = e.Seq, e.Time
		case remedy.KindOutcome:
			i.outcome, i.request = e.Outcome, e.RequestID
			if i.sent == 0 && i.outcome != remedy.OutcomeNotSent {
				return nil, fmt.Errorf("intent %d, sent by entry %d, is %s", i.seq, i.sent, i.outcome)
			}
		case remedy.KindFrozen, remedy.KindQuarantined:
			return nil, fmt.Errorf("entry %d: %s, %s", e.Seq, e.Kind, e.Reason)
		case remedy.KindStarted, remedy.KindPlanned, remedy.KindApproved, remedy.KindRejected, remedy.KindPending, remedy.KindUnfrozen, remedy.KindReleased:
		}
	}
	return intents, nil
}

// passes lets time pass, and returns when it is then. A grant that was written twice on the last day must not be written again on it.
func (m *mender) passes() time.Time {
	now := time.Now().Add(time.Duration(m.ahead.Load()))
	if !m.failpoints {
		return now
	}
	by := []time.Duration{0, 0, 0, 90 * time.Second, 61 * time.Minute, 25 * time.Hour}[m.r.IntN(6)]
	for _, n := range m.recently(now) {
		if n > 1 {
			by = 25 * time.Hour
		}
	}
	m.advance(by)
	return now.Add(by)
}

// advance moves the clock of the daemon and of the cloud.
func (m *mender) advance(by time.Duration) {
	file := filepath.Join(m.dir, "ahead")
	replace(m.t, file, time.Duration(m.ahead.Add(int64(by))).String())
}

// recently counts how often each grant was sent within the last day, by account, scope and policy.
func (m *mender) recently(now time.Time) map[string]int {
	n := map[string]int{}
	for _, i := range m.intendedAt {
		if i.sent > 0 && now.Sub(i.sentAt) < 24*time.Hour+time.Minute {
			n[i.step.AccountID+" "+string(i.step.Grant.Scope.Kind)+" "+i.step.Grant.Scope.ID+" "+i.step.Grant.Policy.ID]++
		}
	}
	return n
}

// changes lets drift happen to that many grants: of no account in which something is open, since nobody could tell who did it then, and to no
// grant that was written on the last day. Only what is right drifts; the rest is for the daemon.
func (m *mender) changes(now time.Time, most int, excess bool) {
	recently, held := m.recently(now), m.held()
	busy := map[string]bool{m.accounts[0]: true} // whose key is the main one
	for _, i := range m.intendedAt {
		if i.outcome == "" {
			busy[i.step.AccountID] = true
		}
	}
	for n := 0; n < most; {
		d := comesAndGoes[m.r.IntN(len(comesAndGoes))]
		if d.required == excess {
			continue
		}
		id := m.accounts[m.r.IntN(len(m.accounts))]
		key := id + " " + d.Scope + "  " + m.policies[d.Policy]
		if most--; busy[id] || recently[key] > 0 || held[key] != d.required {
			continue
		}
		kind := simcloud.DriftGrant
		if d.required {
			kind = simcloud.DriftRevoke
		}
		held[key] = !held[key]
		if err := m.cloud.Drift(simcloud.Drift{Kind: kind, Account: id, Agency: auditedAgency, Grant: &d.Grant}); err != nil {
			m.t.Error(err)
			return
		}
		n++
		most++
	}
}

// start starts a daemon that tells w what it logs.
func (m *mender) start(w *lines, point string) *process {
	p := &process{out: &shared{}, err: &shared{}, ended: make(chan struct{})}
	env := append([]string{"HOME=" + m.dir}, m.env...)
	if m.failpoints {
		env = append(env, "AGENCYAUDIT_AHEAD="+filepath.Join(m.dir, "ahead"), "AGENCYAUDIT_FAILPOINT="+point)
	}
	w.text = p.err
	p.cmd = &exec.Cmd{
		Path: m.program, Dir: m.dir, Env: env, Args: []string{"agencyaudit", "run", "--config", filepath.Join(m.dir, "agencyaudit.yaml")},
		Stdout: p.out, Stderr: w,
	}
	m.requests.Store(0)
	return p
}

// lines is told of every message of a log, and keeps it.
type lines struct {
	text    *shared
	rest    []byte
	message func(name string, intent int64)
	// point is the failpoint that was passed.
	point string
}

func (l *lines) Write(p []byte) (int, error) {
	_, _ = l.text.Write(p)
	l.rest = append(l.rest, p...)
	for {
		line, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		l.rest = rest
		var said struct {
			Message string `json:"msg"`
			Intent  int64  `json:"intent"`
		}
		if point, ok := bytes.CutPrefix(line, []byte("failpoint ")); ok {
			l.point = string(point)
		} else if json.Unmarshal(line, &said) == nil {
			l.message(said.Message, said.Intent)
		}
	}
}

// aim chooses where the next daemon is killed: at a point of its own, or by the test.
func (m *mender) aim() (point, outside string) {
	if !m.failpoints {
		return "", []string{"request", "write done"}[m.r.IntN(2)]
	}
	nth := func(most int) string { return strconv.Itoa(1 + m.r.IntN(most)) }
	for _, i := range m.intendedAt {
		if i.outcome == "" && i.sent > 0 && m.r.IntN(8) == 0 {
			return "settling", ""
		}
	}
	switch n := m.r.IntN(10); {
	case n < 6:
		kinds := []remedy.Kind{remedy.KindIntent, remedy.KindSent, remedy.KindOutcome, remedy.KindPlanned, remedy.KindStarted}
		kind := kinds[min(m.r.IntN(13)/3, 4)]
		most := 3
		if kind == remedy.KindPlanned || kind == remedy.KindStarted {
			most = 1
		}
		return ledgerPoints[m.r.IntN(len(ledgerPoints))] + ":" + string(kind) + ":" + nth(most), ""
	case n < 8:
		return enginePoints[m.r.IntN(len(enginePoints))] + "::" + nth(2), ""
	}
	return "", cloudPoints[m.r.IntN(len(cloudPoints))]
}

// cycle lets drift happen, has a daemon repair it, kills it, and looks at what is left.
func (m *mender) cycle(n int) {
	t := m.t
	now := m.passes()
	late := m.failpoints && n%3 == 0 // then the second run revokes what both see, an hour apart
	m.changes(now, 2+m.r.IntN(3), late)
	point, outside := m.aim()
	var p *process
	launched := make(chan struct{}) // closed when there is a process
	kill := func() {
		<-launched
		_ = p.cmd.Process.Kill() // one that is dead already, too
	}
	m.killedAt = cmp.Or(outside, point)
	nth, after := 1+m.r.IntN(3), time.Duration(m.r.Int64N(int64(400*time.Millisecond)))
	begun, moved, runs := 0, false, 2
	var carried atomic.Int64
	if late {
		runs = 3
	}
	var acknowledged []int64
	w := &lines{message: func(message string, intent int64) {
		switch message {
		case "a step ended":
			acknowledged = append(acknowledged, intent)
			if outside == "step ended" && len(acknowledged) >= nth {
				kill()
			}
		case "repair begins":
			if moved || !m.failpoints || m.r.IntN(4) > 0 {
				return // without a clock of its own nothing may be under way in the second run, in which it is killed at any moment
			}
			moved = true
			m.changes(now, 2, late) // somebody else is at work there
		case "run started":
			switch begun++; {
			case begun == 2 && late:
				m.advance(61 * time.Minute)
			case begun == runs: // the repair before it has ended, and what was aimed at was not met
				kill()
			}
		}
	}}
	if outside != "" {
		which := 1 + m.r.IntN(40)
		if outside == "request" {
			which += mended * 6 // beyond what the first run asks
		}
		ask := func(number int, writes, done bool) {
			switch {
			case outside == "request" && !writes && number >= which, outside == "write asked" && writes && !done, outside == "write done" && done:
				if outside != "request" && int(carried.Add(1)) < nth {
					return
				}
				kill()
				<-p.ended
			}
		}
		m.onRequest.Store(&ask)
	}
	p = m.start(w, point)
	p.start(t)
	close(launched)
	if outside == "whenever" {
		time.AfterFunc(after, kill)
	}
	m.ended(p)
	m.onRequest.Store(nil)
	if state := p.cmd.ProcessState; state.Exited() {
		t.Fatalf("cycle %d: the daemon ended by itself, %s:\n%s", n, state, m.log)
	}
	at := cmp.Or(w.point, outside)
	if at == "" || begun == runs && w.point == "" {
		at = "between two runs"
	}
	m.hit[at]++
	m.killedAt = at
	m.left(acknowledged)
}

// ended waits until a daemon has ended, and the cloud with all that it was asked.
func (m *mender) ended(p *process) {
	within(m.t, "the daemon ends", func() string {
		if !p.gone() {
			return "it lives:\n" + last(p.err.String(), 2000)
		}
		if n := m.open.Load(); n > 0 {
			return fmt.Sprintf("%d connections are open", n)
		}
		return ""
	})
	m.log = p.err.String()
}

// left looks at what a daemon leaves.
func (m *mender) left(acknowledged []int64) {
	t := m.t
	t.Helper()
	if why := m.undurable.Load(); why != nil {
		t.Fatal(*why)
	}
	data, err := os.ReadFile(m.file())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	sum, err := remedy.Verify(bytes.NewReader(data), remedy.Head{})
	if err != nil {
		t.Fatal(err)
	}
	if sum.Torn > 0 {
		m.torn++
	}
	whole := data[:sum.Size]
	if !bytes.HasPrefix(whole, m.ledger) {
		t.Fatalf("the ledger had %d bytes that it has no more", len(m.ledger))
	}
	intents, err := fold(data)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range acknowledged {
		if i := intents[n]; i == nil || i.outcome == "" {
			t.Errorf("intent %d was said to have ended, and the ledger does not know", n)
		}
	}
	m.ledger, m.intendedAt = whole, intents
	for _, i := range intents {
		if i.outcome == "" {
			m.cutShort++
			if i.sent > 0 {
				m.cutSent++
			}
		}
	}
	m.asJournaled()
}

// asJournaled wants the cloud's journal to be what the ledger says was done, in order. What was sent and is open may be in it, once.
func (m *mender) asJournaled() {
	m.t.Helper()
	journal := m.cloud.Journal()
	sent := slices.SortedFunc(maps.Values(m.intendedAt), func(a, b *intent) int { return cmp.Compare(a.sent, b.sent) })
	for _, i := range sent {
		if i.sent == 0 {
			continue
		}
		is := len(journal) > 0 && writeKey(&journal[0]) == i.key()
		switch {
		case i.outcome == remedy.OutcomeDone && !is:
			m.t.Errorf("intent %d is done, and the journal has\n%v instead of\n%s", i.seq, journal[:min(1, len(journal))], i.key())
			return
		case i.outcome == remedy.OutcomeDone && i.request != "" && journal[0].RequestID != i.request:
			m.t.Errorf("intent %d was done by request %s, and the journal has %s", i.seq, i.request, journal[0].RequestID)
		case i.outcome == remedy.OutcomeNotSent: // held back in the moment before; that nobody was asked is seen where all is settled
			continue
		case i.outcome != remedy.OutcomeDone && i.outcome != remedy.OutcomeFailed && i.outcome != "":
			m.t.Errorf("intent %d is %s, and nobody gave a reason for that", i.seq, i.outcome)
		}
		if is && i.outcome != remedy.OutcomeFailed {
			journal = journal[1:]
		}
	}
	if len(journal) > 0 {
		m.t.Errorf("the journal has what the ledger does not: %+v", journal[0])
	}
}

// writeKey is that of the step that makes a write.
func writeKey(w *simcloud.Write) string {
	action := rules.ActionGrant
	if strings.HasPrefix(w.Operation, "Remove") {
		action = rules.ActionRevoke
	}
	if w.NoChange || !strings.HasPrefix(w.Actor, "agency/AgencyAudit") {
		return fmt.Sprintf("%+v", *w)
	}
	return fmt.Sprintf("%s %s %s %s %s %s", action, w.AccountID, w.AgencyID, w.Scope, w.In, w.PolicyID)
}

// settle lets daemons end in order until everything is settled and right, which takes a few: what failed is left alone for a while.
func (m *mender) settle() {
	t := m.t
	t.Helper()
	why := ""
	// Without a clock of its own a daemon that was killed a moment too late for what was aimed at has what it sent to wait for.
	for end := time.Now().Add(4 * patience); ; {
		if m.failpoints {
			m.advance(25 * time.Hour)
		}
		begun, over := 0, make(chan struct{})
		p := m.start(&lines{message: func(message string, _ int64) {
			if message != "run started" {
				return
			}
			switch begun++; {
			case begun == 2 && m.failpoints:
				m.advance(61 * time.Minute)
			case begun == 3: // so that the second one's repair has ended: nothing more is begun by who was told to end, or to reload
				close(over)
			}
		}}, "")
		p.start(t)
		select {
		case <-over:
		case <-p.ended:
		}
		p.signal(t, os.Interrupt)
		m.ended(p)
		if code := p.wait(t); code != exitOK {
			t.Fatalf("exit code %d:\n%s", code, last(m.log, 4000))
		}
		m.left(nil)
		if t.Failed() {
			return
		}
		if why = m.unsettled(); why == "" || time.Now().After(end) {
			break
		}
	}
	if why != "" {
		t.Errorf("it does not come to an end: %s", why)
	}
	for _, i := range m.intendedAt {
		m.intents++
		m.outcomes[string(i.outcome)]++
		// What was held back in the moment before it would have been sent did not reach the cloud.
		if i.outcome == remedy.OutcomeNotSent && m.wasAsked(i.seq) {
			t.Errorf("intent %d is said not to have been sent, and the cloud was asked for it", i.seq)
		}
		if i.outcome == remedy.OutcomeDone && i.step.Action == rules.ActionRevoke {
			m.revokes++
		}
	}
	m.writes += len(m.cloud.Journal())
}

// unsettled says what is open, or wrong.
func (m *mender) unsettled() string {
	for _, i := range m.intendedAt {
		if i.outcome == "" {
			return fmt.Sprintf("intent %d is open", i.seq)
		}
	}
	held := m.held()
	for key := range m.right {
		if !held[key] {
			return key + " is missing"
		}
	}
	if len(held) != len(m.right) {
		return fmt.Sprintf("%d grants, and right are %d", len(held), len(m.right))
	}
	return ""
}

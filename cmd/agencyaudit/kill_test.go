//go:build unix

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// What the kills are asked for with: how many, and of which program; the test's own is the same code.
const (
	killsVariable   = "AGENCYAUDIT_KILLS"
	programVariable = "AGENCYAUDIT_PROGRAM"
)

// perHistory is how often daemons with one state directory are killed: a history that is read whole after each should not grow for ever.
const perHistory = 50

// TestKilledDaemon kills the daemon at its work with SIGKILL, five times or as often as AGENCYAUDIT_KILLS says, while drift comes and
// goes and accounts cannot be read. After each kill the history is whole, and has every run that the log said to be recorded with what
// that run found; and the next start knows what was wrong before it has read anything, since when, and nothing that was right.
func TestKilledDaemon(t *testing.T) {
	t.Parallel()
	cycles := 5
	if text := os.Getenv(killsVariable); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s=%s is no number", killsVariable, text)
		}
	}
	k := &killer{scene: stage(t, fault{}), r: rand.New(rand.NewPCG(9, 9)), bad: map[flaw]bool{}}
	cloud := k.door.handler
	k.door.handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.asked(r)
		cloud.ServeHTTP(w, r)
	})
	k.door.close(t) // and it opens with the handler around the other one
	k.door.open(t)
	k.program = os.Getenv(programVariable)
	if k.program == "" {
		var err error
		if k.program, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range k.accounts {
		if a.drifted {
			k.bad[flaw{a.id, rules.RuleMissing, "DCS UserAccess"}], k.bad[flaw{a.id, rules.RuleExcess, "Tenant Administrator"}] = true, true
		}
	}
	for cycle := range cycles {
		if cycle%perHistory == 0 {
			k.dir, k.known, k.recorded = t.TempDir(), map[flaw]time.Time{}, nil
		}
		k.cycle(cycle)
		if t.Failed() {
			t.Fatalf("cycle %d; the daemon said:\n%s", cycle, last(k.log, 4000))
		}
	}
	noWrites(t, k.cloud.Load())
	t.Logf("%d kills: %d while it started, %d in the middle of a run, %d between a run and its acknowledgement, %d right after one, %d between two runs",
		cycles, k.starting, k.running, k.recording, k.acknowledged, k.idle)
	t.Logf("%d runs acknowledged, none lost; %d that were not acknowledged were there, and whole; %d starts showed %d findings that were known before",
		k.runs, k.unsaid, k.starts, k.shown)
	// The classes take turns; a start that is cut off shows nothing.
	least := map[string][2]int{
		"in the middle of a run": {k.running, cycles / 5}, "right after an acknowledgement": {k.acknowledged, cycles / 5},
		"acknowledged runs": {k.runs, cycles / 3}, "starts that showed what was known": {k.starts, cycles / 3},
		"starts cut off": {k.starting, cycles / 100}, "kills while a run was recorded": {k.recording, cycles / 100},
		"runs that were there without having been acknowledged": {k.unsaid, cycles / 200},
	}
	for what, is := range least {
		if is[0] < is[1] {
			t.Errorf("%s: %d in %d cycles, want %d: too little happened", what, is[0], cycles, is[1])
		}
	}
}

// killer starts daemons and kills them.
type killer struct {
	*scene
	r       *rand.Rand
	program string
	// dir holds the configuration and the state directory, recorded are the runs that were acknowledged in it.
	dir      string
	recorded []string
	// bad is what is truly wrong, known what the history has of it: since when.
	bad   map[flaw]bool
	known map[flaw]time.Time
	// log is what the last daemon said.
	log string

	// gate holds the cloud's answers back until it is closed, and atRequest is called with the number of each request behind it.
	mu        sync.Mutex
	gate      chan struct{}
	requests  int
	atRequest func(n int)

	starting, running, recording, acknowledged, idle int
	runs, unsaid, starts, shown                      int
}

// flaw is a finding, by the account's id.
type flaw struct{ account, rule, policy string }

// asked lets a request to the cloud through.
func (k *killer) asked(r *http.Request) {
	k.mu.Lock()
	gate := k.gate
	k.mu.Unlock()
	select {
	case <-gate:
	case <-r.Context().Done():
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if gate == k.gate && k.atRequest != nil {
		k.requests++
		k.atRequest(k.requests)
	}
}

// changes lets drift happen: of any account but the one that always has it, what was wrong is put right or the reverse; and sometimes one
// cannot be read, which is returned.
func (k *killer) changes() (unreadable string) {
	for i, a := range k.accounts {
		if i == 1 { // which has drifted, and stays so
			continue
		}
		for rule, grant := range map[string]simcloud.Grant{
			rules.RuleMissing: {Policy: "DCS UserAccess", Scope: "all_resources"}, rules.RuleExcess: {Policy: "Tenant Administrator", Scope: "all_resources"},
		} {
			if k.r.IntN(3) > 0 {
				continue
			}
			f := flaw{a.id, rule, grant.Policy}
			k.bad[f] = !k.bad[f]
			kind := simcloud.DriftGrant
			if k.bad[f] == (rule == rules.RuleMissing) {
				kind = simcloud.DriftRevoke
			}
			k.happens(simcloud.Drift{Kind: kind, Account: a.id, Agency: auditedAgency, Grant: &grant})
		}
	}
	var s simcloud.Settings
	if k.r.IntN(3) == 0 {
		unreadable = k.accounts[k.r.IntN(len(k.accounts))].id
		s.Failures = []simcloud.Failure{{Account: unreadable, Operation: assignments, Style: "status_403"}}
	}
	k.set(s)
	return unreadable
}

// watcher is told of every message of a log.
type watcher struct {
	rest    []byte
	message func(name, run string)
}

func (w *watcher) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, whole := bytes.Cut(w.rest, []byte("\n"))
		if !whole {
			return len(p), nil
		}
		w.rest = rest
		var l struct {
			Message string `json:"msg"`
			Run     string `json:"run"`
		}
		if json.Unmarshal(line, &l) == nil {
			w.message(l.Message, l.Run)
		}
	}
}

// cycle starts a daemon, kills it at a random moment, and looks at what is left.
func (k *killer) cycle(n int) {
	t := k.t
	unreadable := k.changes()
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()

	p := &process{out: &shared{}, err: &shared{}, ended: make(chan struct{})}
	kill := func() { _ = p.cmd.Process.Kill() } // of one that is dead already, too
	later := func(most time.Duration) { time.AfterFunc(time.Duration(k.r.Int64N(int64(most))), kill) }
	var acknowledged []string
	at, nth := "", 1+k.r.IntN(8)/7 // that message of the first run, or of the second
	afterwards := time.Duration(0)
	ends := 0
	listening := make(chan string, 1)
	k.mu.Lock()
	k.gate, k.requests, k.atRequest = gate, 0, nil
	switch n % 4 {
	case 0: // by the cloud, which is asked for something and does not answer before
		which := 1 + k.r.IntN(30)
		k.atRequest = func(n int) {
			if n == which {
				kill()
			}
		}
	case 1:
		at = "run recorded"
	case 2:
		at, afterwards = "run ended", 40*time.Millisecond // which is about what recording takes
	}
	k.mu.Unlock()
	if afterwards > 0 {
		afterwards = time.Duration(k.r.Int64N(int64(afterwards)))
	}
	last := ""
	w := &watcher{message: func(message, run string) {
		switch message {
		case "run started", "run ended", "run recorded":
			last = message
		}
		switch message {
		case "run recorded":
			acknowledged = append(acknowledged, run)
		case "serving metrics and pages":
			listening <- servingLine.FindStringSubmatch(p.err.String())[1]
		}
		if message == at {
			if ends++; ends == nth && afterwards == 0 {
				kill()
			} else if ends == nth {
				time.AfterFunc(afterwards, kill)
			}
		}
	}}
	file := filepath.Join(k.dir, "agencyaudit.yaml")
	replace(t, file, k.config(k.door.url(), "state_dir: state\n"))
	p.cmd = &exec.Cmd{
		Path: k.program, Dir: k.dir, Env: append([]string{"HOME=" + k.dir}, k.env...), Args: []string{"agencyaudit", "run", "--config", file},
		Stdout: p.out, Stderr: &both{p.err, w},
	}
	began := time.Now()
	p.start(t)
	whenever := n%4 == 3
	if whenever && k.r.IntN(3) == 0 {
		later(300 * time.Millisecond) // it has not even begun, perhaps
	}
	select {
	case url := <-listening:
		k.remembers(&served{process: p, url: url, secret: k.secrets.all()[1], client: &http.Client{
			Timeout: patience, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
		}})
	case <-p.ended:
	}
	released := time.Now()
	open()
	if whenever {
		later(1200 * time.Millisecond)
	}
	within(t, "the daemon is killed", func() string {
		if p.gone() {
			return ""
		}
		return "it lives"
	})
	k.log = p.err.String()
	if state := p.cmd.ProcessState; state.Exited() {
		t.Fatalf("the daemon ended by itself, %s:\n%s", state, k.log)
	}
	switch {
	case last == "":
		k.starting++
	case last == "run started":
		k.running++
	case last == "run ended":
		k.recording++
	case at == "run recorded":
		k.acknowledged++
	default:
		k.idle++
	}
	k.runs += len(acknowledged)
	k.recorded = append(k.recorded, acknowledged...)
	k.lost(acknowledged, unreadable, began, released)
}

// both writes to a text, and then tells the watcher.
type both struct {
	text *shared
	w    *watcher
}

func (b *both) Write(p []byte) (int, error) {
	_, _ = b.text.Write(p)
	return b.w.Write(p)
}

// remembers wants the first scrape of a daemon, to which the cloud has not answered anything yet, to show what the history knows to be
// wrong, with the instant since when, and nothing that is right.
func (k *killer) remembers(d *served) {
	k.t.Helper()
	all, err := d.scrapeAs(k.t.Context(), false, true)
	if err != nil {
		if _, answered := errors.AsType[*scrapeFault](err); answered {
			k.t.Errorf("the first scrape: %v", err)
		}
		return // it was killed meanwhile
	}
	if err := k.asKnown(all); err != nil {
		k.t.Errorf("after a restart: %v", err)
	}
	k.starts++
	k.shown += len(k.known)
}

// asKnown says how a scrape of a daemon that has read nothing is not what is known.
func (k *killer) asKnown(all series) error {
	if n := all.one("accounts", `state="unknown"`); n != float64(len(k.accounts)) || all.where("policy_missing").count(0) > 0 {
		return fmt.Errorf("something is right: %v\n%v", all.where("accounts"), all.where("policy_missing"))
	}
	names := map[string]string{}
	for _, a := range k.accounts {
		names[a.id] = a.label()
	}
	missing := 0
	for f, since := range k.known {
		shows := all.one("finding_first_seen_timestamp_seconds", names[f.account], fmt.Sprintf("rule=%q", f.rule), fmt.Sprintf("policy=%q", f.policy))
		if math.Abs(shows-float64(since.UnixMilli())/1000) > 0.002 {
			return fmt.Errorf("%v was first seen at %v, and it says %f", f, since, shows)
		}
		if f.rule == rules.RuleMissing {
			missing++
			if all.one("policy_missing", names[f.account], fmt.Sprintf("policy=%q", f.policy)) != 1 {
				return fmt.Errorf("%v is forgotten: %v", f, all.where("policy_missing"))
			}
		}
	}
	if n := len(all.where("finding_first_seen_timestamp_seconds")); n != len(k.known) {
		return fmt.Errorf("%d findings, and %d were known: %v", n, len(k.known), all.where("finding_first_seen_timestamp_seconds"))
	}
	if n := len(all.where("policy_missing")); n != missing {
		return fmt.Errorf("%d grants are missing, and %d were known to be: %v", n, missing, all.where("policy_missing"))
	}
	return nil
}

// lost wants the history to be whole, and to have what was acknowledged. What the killed daemon's runs can have found is what was truly
// wrong while it ran and, of the account that could not be read, what was known before; and that, or what was known before it started,
// is what has to be there.
func (k *killer) lost(acknowledged []string, unreadable string, began, released time.Time) {
	t := k.t
	t.Helper()
	s, err := history.OpenReadOnly(filepath.Join(k.dir, "state"))
	if err != nil {
		if len(k.recorded) == 0 && strings.Contains(err.Error(), "there is no history") {
			return // it was killed before it made one
		}
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := s.Runs(t.Context(), time.Time{}, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	var has []string
	for i := range list {
		has = append(has, list[i].ID)
	}
	for _, id := range k.recorded {
		if !slices.Contains(has, id) {
			t.Fatalf("run %s was acknowledged, and is lost", id)
		}
	}
	unsaid := len(has) - len(k.recorded) // a run that was recorded, and the daemon killed before it could say so
	if unsaid > 1 {
		t.Fatalf("there are %d runs that nobody acknowledged: %v", unsaid, has)
	}
	k.unsaid += unsaid
	k.recorded = has

	found, err := s.Findings(t.Context(), history.Query{Bare: true})
	if err != nil {
		t.Fatal(err)
	}
	stand := map[flaw]time.Time{}
	for i := range found {
		if f := &found[i]; f.EndedAt.IsZero() {
			stand[flaw{f.Account.ID, f.Rule, f.Policy}] = f.FirstSeen
		}
	}
	could := map[flaw]bool{}
	for f, wrong := range k.bad {
		if wrong && f.account != unreadable {
			could[f] = true
		}
	}
	for f := range k.known {
		if f.account == unreadable {
			could[f] = true
		}
	}
	if !sameKeys(stand, could) && (len(acknowledged)+unsaid > 0 || !sameKeys(stand, k.known)) {
		t.Errorf("with %d runs acknowledged and %d not the history has\n%v\nbefore it was\n%v\nand true is, but of %q,\n%v", len(acknowledged), unsaid,
			stand, k.known, unreadable, k.bad)
	}
	for f, since := range stand {
		switch was, before := k.known[f]; {
		case before && !since.Equal(was):
			t.Errorf("%v was first seen at %s, and now it is said to have been at %s", f, was, since)
		case !before && (since.Before(began.Truncate(time.Second)) || since.After(time.Now())):
			t.Errorf("%v was first seen at %s, and the daemon lived from %s, and read from %s", f, since, began, released)
		}
	}
	k.known = stand
}

// sameKeys says whether two maps have the same keys.
func sameKeys[K comparable, A, B any](a map[K]A, b map[K]B) bool {
	return len(a) == len(b) && !slices.ContainsFunc(slices.Collect(maps.Keys(a)), func(k K) bool { _, ok := b[k]; return !ok })
}

package remedy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The worlds are a simulation of detection and repair together: random organizations, drift, faults, other actors, kills and people from
// seeds, the real auditor and the real engine, and an oracle that sees the true state. docs/testing.md says how to use it:
//
//	AGENCYAUDIT_REPAIRS=100000 go test ./auditor/remedy -run TestRepairs   so many
//	AGENCYAUDIT_SEED=17 go test ./auditor/remedy -run TestRepairs          this one, with everything it finds
//
// The invariants that messages begin with are those of docs/reliability.md.
const (
	defaultWorlds = 2000
	seedsFile     = "testdata/repairs.txt"
)

// tally counts what happened in worlds, so that a campaign in which nothing happens fails.
type tally struct {
	counts  map[string]int
	inWorld map[string]bool
}

func newTally() *tally { return &tally{map[string]int{}, map[string]bool{}} }

func (t *tally) count(what string) { t.counts[what]++ }

// play plays the world of a seed, and says what was wrong in it.
func play(seed uint64, t *tally) []string {
	clear(t.inWorld)
	w := newWorld(seed, t)
	defer w.over()
	t.count("worlds")
	t.count("mode " + w.mode)
	for range 4 + w.r.IntN(8) {
		w.round()
		if len(w.wrong) > 0 {
			return w.wrong
		}
	}
	w.finale()
	w.balance()
	w.leaks()
	for what := range t.inWorld {
		t.count("worlds with " + what)
	}
	return w.wrong
}

// finale is that all trouble ends, time passes, and a person lifts what stands still: everything that may be put right then is, whatever
// crashed before, and nothing more is done from then on.
func (w *world) finale() {
	w.mode, w.rates, w.offset, w.reverting, w.stopped, w.window, w.lost, w.gap = "calm", rates{}, 0, false, false, 0, 0, false
	clear(w.unreadable)
	if w.ledger.broken != nil {
		w.start()
	}
	w.settings()
	w.window = 0
	w.policy.Mode, w.policy.May.Grant = remedy.ModeAuto, true
	w.policy.Limits = remedy.Limits{GrantAccounts: 100, RevokeAccounts: 100, FleetPercent: 100, PolicyWrites: 1000}
	w.pause(42 * time.Hour)
	want := map[string][]at{}
	for _, m := range w.cloud.members {
		m.settle(w.now)
		want[m.account.ID] = w.right(m.now()).held
	}
	before := map[string]map[string][]at{}
	for quiet := 0; quiet < 2 && len(before) < 6; quiet++ {
		n := len(w.cloud.requests)
		w.audit()
		if w.engine.Status().Frozen != nil {
			w.unfreeze()
		}
		for _, m := range w.cloud.members {
			w.act(func() { _ = w.engine.Release(m.account.ID, "bob", "the end") }) // refused where nothing is held
		}
		before[w.run.ID] = w.held()
		w.repair()
		w.pause(25 * time.Hour)
		if len(w.cloud.requests) > n || len(before) < 3 {
			quiet = 0
		}
	}
	for _, m := range w.cloud.members {
		if got := m.now().held; !slices.Equal(got, want[m.account.ID]) {
			w.fail("L1 the account %s holds\n%v and should hold\n%v", m.account.ID, got, want[m.account.ID])
		}
	}
	if n := len(w.intents) - len(w.outcomes); n > 0 {
		w.fail("W5 %d intents have no outcome", n)
	}
	n := len(w.ledger.entries)
	w.audit()
	w.repair()
	if len(w.ledger.entries) != n {
		w.fail("L1 a fleet that is right is not left alone: %+v", w.ledger.entries[n])
	}
	if p := w.engine.Status().Plan; p == nil || len(p.Steps) > 0 {
		w.fail("L1 a fleet that is right has a plan: %v", p)
	}
	if len(w.wrong) == 0 {
		w.takeBack(before)
	}
}

func (w *world) held() map[string][]at {
	all := map[string][]at{}
	for _, m := range w.cloud.members {
		all[m.account.ID] = m.now().held
	}
	return all
}

// right is an account when all that may be put right is.
func (w *world) right(s *state) *state {
	if s.agency == "" || s.trust != cocID || !s.expires.IsZero() && !s.expires.After(w.now) {
		return s
	}
	missing, excess := w.naive(s)
	for _, g := range missing {
		if w.mayGrant(w.policy, s, g, w.now) {
			s = s.with(g, true)
		}
	}
	for _, g := range excess {
		if w.mayRevoke(w.policy, g, w.now) {
			s = s.with(g, false)
		}
	}
	return s
}

// takeBack undoes the last run that did something, and looks whether all is as it was before it, to the grant.
func (w *world) takeBack(before map[string]map[string][]at) {
	run := ""
	for i := range w.ledger.entries {
		if e := &w.ledger.entries[i]; e.Kind == remedy.KindOutcome && e.Outcome == remedy.OutcomeDone && before[e.Run] != nil {
			run = e.Run
		}
	}
	if run == "" {
		return
	}
	w.pause(25 * time.Hour)
	w.audit()
	undo := func() *remedy.Result {
		p, err := w.engine.Undo(w.job(), run, "alice")
		if err != nil {
			if _, is := errors.AsType[*remedy.RefusedError](err); !is {
				w.fail("L5 undo: %v", err)
			}
			return nil
		}
		p.SignRequest(people["alice"])
		var r *remedy.Result
		w.call("Apply of an undoing", func() (err error) {
			r, err = w.engine.Apply(context.Background(), w.job(), p, "alice")
			return err
		})
		return r
	}
	left := w.held()
	r := undo()
	if r != nil && len(r.Done) == 0 && len(r.Void) == 0 && len(r.Open) == 0 {
		return // all of it is for people to give back
	}
	if r == nil || !r.Whole() {
		w.fail("L5 a run is not undone: %+v", r)
		return
	}
	w.happen("an undoing")
	for id, held := range w.held() {
		// What was revoked where the program does not grant, or has no name, is given back by hand.
		want := slices.DeleteFunc(slices.Clone(before[run][id]), func(g at) bool {
			return (g.kind != rules.Global && g.kind != rules.AllResources || policies[g.policy].Name == "") && !slices.Contains(left[id], g)
		})
		if !slices.Equal(held, want) {
			w.fail("L5 undone, the account %s holds\n%v and before the run held\n%v", id, held, want)
		}
	}
	w.pause(time.Hour)
	w.audit()
	n := len(w.cloud.requests)
	undo()
	if len(w.cloud.requests) > n {
		w.fail("L5 a run is undone twice")
	}
}

func TestRepairs(t *testing.T) {
	if text := os.Getenv("AGENCYAUDIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range play(seed, newTally()) {
			t.Errorf("seed %d: %s", seed, line)
		}
		return
	}
	n := uint64(defaultWorlds)
	if testing.Short() {
		n /= 4
	}
	if text := os.Getenv("AGENCYAUDIT_REPAIRS"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(3000)) // worlds are small and many
	all := newTally()
	var failed atomic.Int64
	var next atomic.Uint64
	var mu sync.Mutex
	started := time.Now()
	t.Run("all", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				own := newTally()
				for seed := next.Add(1); seed <= n && failed.Load() < 10; seed = next.Add(1) {
					if wrong := play(seed, own); len(wrong) > 0 {
						failed.Add(1)
						for _, line := range wrong[:min(3, len(wrong))] {
							t.Errorf("seed %d: %s", seed, line)
						}
						keepSeed(t, seed, wrong[0])
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for k, c := range own.counts {
					all.counts[k] += c
				}
			})
		}
	})
	took := time.Since(started)
	if t.Failed() {
		return
	}
	guard(t, all.counts, int(n))
	for _, k := range slices.Sorted(maps.Keys(all.counts)) {
		fmt.Printf("%9d  %s\n", all.counts[k], k)
	}
	fmt.Printf("%d worlds in %.1f s, %.0f a second\n", n, took.Seconds(), float64(n)/took.Seconds())
}

// guards say how often, in a thousand worlds, something must have happened at least.
var guards = map[string]int{
	"worlds with a request": 300, "worlds with killed between intent and outcome": 50, "worlds with lost answer": 50,
	"worlds with trust changed between plan and write": 50, "worlds with an undoing": 300, "worlds with a power cut": 50,
}

// guard fails a campaign of n worlds in which too little happened. Few worlds prove nothing either way.
func guard(t *testing.T, counts map[string]int, n int) {
	t.Helper()
	if n < 1000 {
		return
	}
	least := maps.Clone(guards)
	for _, f := range faults {
		least["fault "+f] = 10
	}
	for _, o := range remedy.Outcomes() {
		least["outcome "+string(o)] = 3
	}
	for what, least := range least {
		if got, want := counts[what], least*n/1000; got < want {
			t.Errorf("%q happened %d times in %d worlds, want at least %d: the campaign proves too little", what, got, n, want)
		}
	}
}

// keepSeed adds a seed that failed to the file of those that are played each time.
func keepSeed(t *testing.T, seed uint64, why string) {
	t.Helper()
	t.Logf("keep it: echo '%d # %s' >> auditor/remedy/%s", seed, strings.ReplaceAll(strings.SplitN(why, "\n", 2)[0], "'", ""), seedsFile)
}

// TestKeptRepairs plays the seeds that failed once.
func TestKeptRepairs(t *testing.T) {
	f, err := os.Open(seedsFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range play(seed, newTally()) {
			t.Errorf("seed %d: %s", seed, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

var (
	_ auditor.Observer  = (*cloud)(nil)
	_ auditor.Inventory = (*cloud)(nil)
	_ rules.Action      = rules.ActionGrant
)

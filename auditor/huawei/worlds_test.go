package huawei_test

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The worlds are a simulation of the read side: random organizations, drift and faults from seeds, the real code from the
// wire up to the snapshot, and an oracle that sees the true state. docs/testing.md says how to use it:
//
//	AGENCYAUDIT_WORLDS=100000 go test ./auditor/huawei -run TestWorlds   so many
//	AGENCYAUDIT_SEED=17 go test ./auditor/huawei -run TestWorlds         this one, with everything it finds
//
// The invariants that messages begin with:
//
//	S1 compliant only by complete evidence of all planes, not older than max_age
//	S2 a verdict is the oracle's, or that of some instant of the reading, endpoint by endpoint
//	S3 no error and no partial answer reduces what is seen as held
//	S4 a spoilt answer gives the same verdict or none
//	S5 the order of lists and accounts, pages and concurrency change nothing
//	S6 what one account answers changes nothing for another
//	S7 names do not decide which grants count
//	M2 the states sum to the accounts that are expected
//	M4 the time of the last reading is never younger than the truth
//	M5 the exposition parses and has a bounded number of series, whatever names there are
//	L3 what is unknown is known two intervals after its faults end
//	L4 requests are bounded, pagers end

const (
	defaultWorlds = 3000
	worldsFile    = "testdata/worlds/seeds.txt"
	// Of one world in so many what a scraper sees is parsed as well.
	shownWorlds = 40
)

// tally counts what happened in worlds, so that a campaign in which nothing happens fails.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

func (t *tally) count(what string) { t.add(what, 1) }

func (t *tally) add(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] += n
}

// happened counts a kind of trouble that changed an answer.
func (t *tally) happened(kind string) { t.count("trouble " + kind) }

func (t *tally) take(o *tally) {
	for k, n := range o.counts {
		t.counts[k] += n
	}
}

// playWorld plays the world of a seed in a bubble of its own.
func playWorld(t *testing.T, seed uint64, into *tally, shown *exposition) (wrong []string) {
	var g *game
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed)
		into.count("worlds")
		into.count("mode " + modeNames[w.mode])
		var err error
		if g, err = newGame(w, into); err != nil {
			wrong = []string{err.Error()}
			return
		}
		if seed%shownWorlds == 0 {
			g.shown = shown
		}
		g.play()
		wrong = g.wrong
	})
	if len(wrong) > 0 {
		return wrong
	}
	return playTwin(t, g, into)
}

func TestWorlds(t *testing.T) {
	if text := os.Getenv("AGENCYAUDIT_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := newExposition()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range playWorld(t, seed, newTally(), shown) {
			t.Errorf("seed %d: %s", seed, line)
		}
		return
	}
	n := uint64(defaultWorlds)
	if testing.Short() {
		n /= 10
	}
	if text := os.Getenv("AGENCYAUDIT_WORLDS"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	defer debug.SetGCPercent(debug.SetGCPercent(1000)) // worlds are small and many
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
				shown, err := newExposition()
				if err != nil {
					t.Fatal(err)
				}
				for seed := next.Add(1); seed <= n && failed.Load() < 10; seed = next.Add(1) {
					if wrong := playWorld(t, seed, own, shown); len(wrong) > 0 {
						failed.Add(1)
						for _, line := range wrong[:min(3, len(wrong))] {
							t.Errorf("seed %d: %s", seed, line)
						}
						keepSeed(t, seed, wrong[0])
					}
				}
				mu.Lock()
				defer mu.Unlock()
				all.take(own)
			})
		}
	})
	took := time.Since(started)
	if t.Failed() {
		return
	}
	guard(t, all.counts, int(n))
	all.print(int(n), took)
}

// print shows the counts, which a plain `go test ./...` does not.
func (t *tally) print(n int, took time.Duration) {
	for _, k := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Printf("%9d  %s\n", t.counts[k], k)
	}
	fmt.Printf("%d worlds in %.1f s, %.0f a second\n", n, took.Seconds(), float64(n)/took.Seconds())
}

// guards say how often, in a thousand worlds, something must have happened at least: a campaign in which it did not proves
// nothing about it. Every kind of trouble must have happened once in a thousand worlds.
var guards = map[string]int{
	"mode still": 150, "mode moving": 100, "mode faulty": 250, "mode wild": 50,
	"evidence": 3000, "must be known": 2500, "drift while read": 300, "second witness": 500, "absent plane": 1000, "bad news kept": 100,
	"recovered": 100, "stale at a scrape": 500, "exposition": 80, "retried": 100, "breaker open": 10, "run without inventory": 20, "suspect run": 5, "vanished": 10,
	"twin S4": 20, "twin S5": 50, "twin S6": 10, "twin S7": 50,
	"state unknown": 700, "state drifted": 1500, "state not_enabled": 80, "state compliant": 1000,
	"reason unreachable": 10, "reason timeout": 4, "reason tls": 4, "reason throttled": 2, "reason unauthenticated": 15, "reason denied": 5,
	"reason rejected": 150, "reason incomplete": 80, "reason disagree": 40, "reason ambiguous": 30, "reason unresolvable": 50,
	"reason panic": 5, "reason budget": 5,
	"lie believed: agency": 5, "lie believed: policy": 5, "lie believed: global": 2, "lie believed: all resources": 2,
}

// guard fails a campaign of n worlds in which too little happened. Few worlds prove nothing either way.
func guard(t *testing.T, counts map[string]int, n int) {
	if n < 1000 {
		return
	}
	least := maps.Clone(guards)
	for _, k := range spoils {
		least["trouble "+k.name] = 1
	}
	for what, least := range least {
		if got, want := counts[what], least*n/1000; got < want {
			t.Errorf("%q happened %d times in %d worlds, want at least %d: the campaign proves too little", what, got, n, want)
		}
	}
}

// TestWorldsRepeat: a seed that failed is worth keeping because it fails again. Everything happens at an instant of its own,
// so that goroutines and their scheduler decide nothing. A world through the SDK may need several attempts.
func TestWorldsRepeat(t *testing.T) {
	for seed := uint64(1); seed <= 200; seed++ {
		if newWorld(seed).sdk {
			continue // which begins the requests of an account at one instant
		}
		var games [2]*game
		for i := range games {
			synctest.Test(t, func(t *testing.T) {
				g, err := newGame(newWorld(seed), newTally())
				if err != nil {
					t.Fatal(err)
				}
				g.play()
				games[i] = g
			})
		}
		if !maps.Equal(games[0].tally.counts, games[1].tally.counts) {
			t.Errorf("seed %d: played twice, it was %v and %v", seed, games[0].tally.counts, games[1].tally.counts)
		}
		for run := range games[0].runs {
			was, is := games[0].runs[run], games[1].runs[run]
			if was == nil || is == nil {
				continue
			}
			for i := range was.Sweeps {
				if a, b := was.Sweeps[i], is.Sweeps[i]; !alike(&a, &b) || !a.StartedAt.Equal(b.StartedAt) || !a.EndedAt.Equal(b.EndedAt) {
					t.Errorf("seed %d, run %d, %q: played twice, it differs", seed, run, a.Report.Account.Name)
				}
			}
		}
	}
}

// keepSeed writes a failing seed down, to be played by every test from then on.
func keepSeed(t *testing.T, seed uint64, wrong string) {
	words := strings.Join(strings.Fields(wrong), " ")
	line := fmt.Sprintf("%d %s\n", seed, strings.ToValidUTF8(words[:min(len(words), 160)], ""))
	if err := os.MkdirAll(filepath.Dir(worldsFile), 0o755); err != nil {
		t.Error(err)
		return
	}
	f, err := os.OpenFile(worldsFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.WriteString(line); err != nil {
		t.Error(err)
	}
}

// TestKeptWorlds plays the seeds that failed once.
func TestKeptWorlds(t *testing.T) {
	f, err := os.Open(worldsFile)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), " ")
		if text == "" || text[0] == '#' {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := newExposition()
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range playWorld(t, seed, newTally(), shown) {
			t.Errorf("seed %d: %s", seed, line)
		}
	}
}

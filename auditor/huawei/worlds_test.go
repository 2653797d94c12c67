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
	shownWorlds = 16
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
	if testing.Verbose() || n != defaultWorlds {
		for _, k := range slices.Sorted(maps.Keys(all.counts)) {
			fmt.Printf("%9d  %s\n", all.counts[k], k)
		}
		fmt.Printf("%d worlds in %.1f s, %.0f a second\n", n, took.Seconds(), float64(n)/took.Seconds())
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

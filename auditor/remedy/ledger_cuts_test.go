package remedy_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
)

// player uses a ledger as a program does that ends and starts again, and knows what has to be in it.
type player struct {
	d *disk
	l *remedy.Ledger
	// known are the entries that were acknowledged, or shown. tried are the reasons of those that were neither since then.
	known []remedy.Entry
	tried []string
	n     int
	// saw counts what happened.
	saw map[string]int
}

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func entry(n, size int) remedy.Entry {
	return remedy.Entry{
		Time: start.Add(time.Duration(n) * time.Second), Kind: remedy.KindIntent, Actor: "daemon",
		Reason: strconv.Itoa(n) + "@" + strings.Repeat("x", size),
	}
}

func (p *player) floor() remedy.Head {
	if len(p.known) == 0 {
		return remedy.Head{}
	}
	last := p.known[len(p.known)-1]
	return remedy.Head{Seq: last.Seq, Hash: last.Hash}
}

// open starts the program. A ledger that is opened has what is known, and perhaps what was being written, and nothing else.
func (p *player) open() error {
	var shown []remedy.Entry
	ended, met := bytes.HasSuffix(p.d.shown, []byte("\n")), p.d.met
	l, err := remedy.OpenLedger(p.d, name, remedy.LedgerOptions{Floor: p.floor(), Each: func(e remedy.Entry) { shown = append(shown, e) }})
	if err != nil {
		if refused, is := errors.AsType[*remedy.Refused](err); is {
			return fmt.Errorf("it is refused: %w", refused)
		}
		if p.d.met == met && !p.d.dead {
			return fmt.Errorf("it is not opened: %w", err)
		}
		return nil
	}
	n := len(p.known)
	switch {
	case len(shown) < n || !slices.EqualFunc(shown[:n], p.known, func(a, b remedy.Entry) bool { return a.Hash == b.Hash && a.Reason == b.Reason }):
		return fmt.Errorf("of %d entries that were acknowledged, %d are there: %+v", n, len(shown), shown)
	case len(shown) > n+1 || len(shown) == n+1 && !slices.Contains(p.tried, shown[n].Reason):
		return fmt.Errorf("an entry is there that nobody wrote: %+v", shown[n:])
	case l.Head() != (&player{known: shown}).floor():
		return fmt.Errorf("its head is %v", l.Head())
	}
	switch {
	case len(shown) > n:
		p.saw["kept what was not acknowledged"]++
	case len(p.tried) > 0:
		p.saw["dropped what was not acknowledged"]++
	}
	if l.Torn() > 0 {
		p.saw["cut off"]++
		if ended {
			p.saw["cut off a line with its end"]++
		}
	}
	p.l, p.known, p.tried = l, shown, nil
	return nil
}

// add adds an entry, with a reason of a size. After one that failed, nothing is added until the ledger was opened again.
func (p *player) add(size int) error {
	if p.l == nil {
		if err := p.open(); err != nil || p.l == nil {
			return err
		}
	}
	p.n++
	e := entry(len(p.known)*1000+p.n, size)
	p.tried = append(p.tried, e.Reason)
	got, err := p.l.Append(e)
	if err == nil {
		if p.d.dead {
			return errors.New("an entry is acknowledged, and nobody lives who could have")
		}
		p.known, p.tried = append(p.known, got), nil
		return nil
	}
	p.saw["failed to add"]++
	if !errors.Is(err, remedy.ErrBroken) || !errors.Is(p.l.Err(), err) || !p.d.dead && !errors.Is(err, p.d.errno) {
		return fmt.Errorf("the error of a ledger that is broken is %w, and then %w", err, p.l.Err())
	}
	if p.l.Head() != p.floor() {
		return fmt.Errorf("its head is %v, and should be %v", p.l.Head(), p.floor())
	}
	ops, shown := p.d.ops, bytes.Clone(p.d.shown)
	if _, err := p.l.Append(entry(0, 0)); !errors.Is(err, remedy.ErrBroken) || p.d.ops != ops || !bytes.Equal(p.d.shown, shown) {
		return fmt.Errorf("after a failure it went on: %w", err)
	}
	p.l = nil
	return nil
}

// script is what happens: entries with a reason of so many bytes, or one of these.
type script []int

const (
	// restart is that the program ends, and starts again.
	restart = -1 - iota
	// half is that half of an entry comes to be at the end, holed that one does with its end and without its middle.
	half
	holed
)

// play plays a script until it or the process ends.
func (p *player) play(s script) error {
	for _, size := range s {
		var err error
		switch size {
		case restart:
			p.l = nil
			err = p.open()
		case half, holed:
			rest := append([]byte(`{"seq":9,"time":"`), make([]byte, 2*sector)...)
			if size == holed {
				rest = append(rest[:2*sector-len(p.d.platter)%sector], "\"}\n"...)
			}
			p.l, p.d = nil, cut(append(p.d.platter, rest...))
		default:
			err = p.add(size)
		}
		if err != nil || p.d.dead {
			return err
		}
	}
	return nil
}

// on is the player with another disk.
func (p *player) on(d *disk) *player {
	return &player{d: d, known: slices.Clone(p.known), tried: p.tried, saw: p.saw, n: p.n + 1}
}

// recover opens what a disk has, and goes on with it. quick leaves that out where nothing had to be cut off.
func (p *player) recover(d *disk, quick bool) error {
	q := p.on(d)
	if err := q.open(); err != nil {
		return err
	}
	if quick && q.l.Torn() == 0 {
		return nil
	}
	if err := q.add(1); err != nil {
		return err
	}
	got, err := remedy.Verify(bytes.NewReader(d.platter), q.floor())
	if err != nil || got.Torn != 0 || got.Head != q.floor() {
		return fmt.Errorf("afterwards it is %+v (%w)", got, err)
	}
	return nil
}

// prepared is a disk on which there is something already.
func prepared(t *testing.T, s script) *player {
	t.Helper()
	p := &player{d: &disk{}, saw: map[string]int{}}
	if err := p.play(s); err != nil {
		t.Fatal(err)
	}
	p.d.ops, p.l, p.n = 0, nil, 100
	return p
}

// scripts are played with something happening at each of their operations: what is there before, and what comes then.
var scripts = map[string][2]script{
	"a new one":                     {{}, {restart, 0, 7, 0}},
	"entries within a sector":       {{0, 0}, {0, restart, 0}},
	"entries over several sectors":  {{3}, {900, 1300}},
	"an entry that ends a sector":   {{}, {sector - 313, 0}},
	"one byte behind a sector":      {{}, {sector - 312, 0}},
	"nothing but starts":            {{0, 600}, {restart, restart}},
	"behind half of an entry":       {{0, half}, {restart, 0}},
	"behind an entry with holes":    {{0, holed}, {restart, 200}},
	"a long one, and another start": {{1800}, {1000, restart, 3}},
}

// TestCutAnywhere cuts the power, and ends the process, at each operation of the scripts, and looks at all that may be left. It has each
// operation fail in each way, and cuts the power at each one after that.
func TestCutAnywhere(t *testing.T) {
	var states, ways atomic.Int64
	saw := map[string]int{}
	var mu sync.Mutex
	t.Run("scripts", func(t *testing.T) {
		for what, s := range scripts {
			t.Run(what, func(t *testing.T) {
				t.Parallel()
				before := prepared(t, s[0])
				type state struct {
					content string
					known   remedy.Head
					tried   string
				}
				seen := map[state]bool{}
				// run plays with a fate at an operation, and looks at all that a cut may leave at the end.
				run := func(p *player, s script, at int, f fate, errno error, fine bool) *player {
					t.Helper()
					p.d.at, p.d.ops, p.d.fate, p.d.errno, p.d.met, p.d.dead = at, 0, f, errno, "", false
					if err := p.play(s); err != nil {
						t.Fatalf("operation %d, fate %d: %v", at, f, err)
					}
					p.d.cuts(fine, func(d *disk) {
						ways.Add(1)
						is := state{string(d.shown), p.floor(), strings.Join(p.tried, "")}
						if seen[is] {
							return
						}
						seen[is] = true
						states.Add(1)
						if err := p.recover(d, false); err != nil {
							t.Fatalf("operation %d (%s), fate %d, cut: %v", at, p.d.met, f, err)
						}
					})
					p.saw["ended at "+p.d.met]++
					ways.Add(1)
					states.Add(1)
					if err := p.recover(p.d.killed(), false); err != nil {
						t.Fatalf("operation %d (%s), fate %d, killed: %v", at, p.d.met, f, err)
					}
					return p
				}
				again := func() *player {
					p := before.on(before.d.killed())
					p.saw = map[string]int{}
					return p
				}
				all := map[string]int{}
				add := func(p *player) {
					for k, n := range p.saw {
						all[k] += n
					}
				}
				ops := run(again(), s[1], 0, endAfter, nil, true).d.ops
				for at := 1; at <= ops; at++ {
					for f := range fates {
						for _, errno := range errnos {
							add(run(again(), s[1], at, f, errno, f.ends()))
							if f.ends() {
								break
							}
						}
						// It ends or fails, and the next time the power is cut.
						for later := 1; ; later++ {
							p := again()
							p.d.at, p.d.fate, p.d.errno = at, f, errnos[0]
							if err := p.play(s[1]); err != nil {
								t.Fatal(err)
							}
							p = p.on(p.d.killed())
							if add(run(p, s[1], later, endAfter, nil, false)); p.d.ops < later {
								break
							}
						}
					}
				}
				mu.Lock()
				defer mu.Unlock()
				for k, n := range all {
					saw[k] += n
				}
			})
		}
	})
	t.Logf("%d states, in %d ways: %v", states.Load(), ways.Load(), saw)
	for _, what := range []string{
		"ended at open", "ended at read", "ended at write", "ended at sync", "ended at size", "ended at sync directory", "ended at truncate",
		"cut off", "cut off a line with its end", "kept what was not acknowledged", "dropped what was not acknowledged", "failed to add",
	} {
		if saw[what] == 0 && !t.Failed() {
			t.Errorf("it never happened: %s", what)
		}
	}
}

// TestRandomCuts plays random scripts with something happening at random operations, again and again over what the last cut left. The
// number of cuts is AGENCYAUDIT_CUTS.
func TestRandomCuts(t *testing.T) {
	cuts := 5000
	if text := os.Getenv("AGENCYAUDIT_CUTS"); text != "" {
		var err error
		if cuts, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	var done atomic.Int64
	var seed atomic.Uint64
	saw := map[string]int{}
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			mine := map[string]int{}
			for done.Load() < int64(cuts) && !t.Failed() {
				n := seed.Add(1)
				k, err := randomLife(rand.New(rand.NewPCG(1, n)), mine)
				if err != nil {
					t.Errorf("seed %d: %v", n, err)
				}
				done.Add(int64(k))
			}
			mu.Lock()
			defer mu.Unlock()
			for k, n := range mine {
				saw[k] += n
			}
		})
	}
	workers.Wait()
	took := time.Since(begin)
	t.Logf("%d cuts of %d lives in %.1f s, %.0f a second", done.Load(), seed.Load(), took.Seconds(), float64(done.Load())/took.Seconds())
	for _, what := range slices.Sorted(maps.Keys(saw)) {
		t.Logf("%9d %s", saw[what], what)
	}
	for _, what := range []string{
		"cut off", "cut off a line with its end", "kept what was not acknowledged", "dropped what was not acknowledged", "failed to add", "ended",
		"cut after a failure",
	} {
		if saw[what] < cuts/1000+1 && !t.Failed() {
			t.Errorf("it happened %d times only: %s", saw[what], what)
		}
	}
}

// randomLife lets a ledger live through some cuts, and returns how many.
func randomLife(r *rand.Rand, saw map[string]int) (cuts int, err error) {
	p := &player{d: &disk{}, saw: saw}
	for range 1 + r.IntN(2) {
		s := script{restart}
		for range 1 + r.IntN(3) {
			switch r.IntN(6) {
			case 0:
				s = append(s, restart)
			case 1:
				s = append(s, r.IntN(1500))
			default:
				s = append(s, r.IntN(300))
			}
		}
		p.l, p.d.ops, p.d.at, p.d.met, p.d.dead = nil, 0, 1+r.IntN(8*len(s)), "", false
		if r.IntN(4) > 0 { // most lives end while there is something that was not synced
			p.d.only, p.d.at = "write", 1+r.IntN(len(s))
		}
		p.d.fate, p.d.errno = fate(r.IntN(int(fates))), errnos[r.IntN(len(errnos))]
		if err := p.play(s); err != nil {
			return cuts, err
		}
		switch {
		case p.d.dead:
			saw["ended"]++
		case p.d.met != "":
			saw["cut after a failure"]++
		}
		for i := range 20 {
			cuts++
			if err := p.recover(p.d.someCut(r), i%4 != 0); err != nil {
				return cuts, fmt.Errorf("after operation %d of %v (%s, fate %d): %w", p.d.at, s, p.d.met, p.d.fate, err)
			}
		}
		// Life goes on with one of them.
		next := p.d.someCut(r)
		if r.IntN(3) == 0 {
			next = p.d.killed()
		}
		p = p.on(next)
		p.n = r.IntN(1 << 30)
	}
	return cuts, nil
}

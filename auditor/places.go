package auditor

import (
	"slices"
	"sync"
	"time"
)

// places are where sweeps are under way, of which only so many may be at once. A sweep that takes much longer than the others
// is waiting for the cloud and costs nothing but its memory: it gives its place back and goes on in a bounded number of
// places for the slow. So accounts that hang do not hold the places of those that answer.
type places struct {
	// free has a token for each free place.
	free chan struct{}
	// begin is how long a sweep keeps its place while too few have ended to tell what is long; most is how long at most.
	begin, most time.Duration

	mu sync.Mutex
	// slow are the free places for the slow.
	slow int
	// took is how long the sweeps took that ended last, next is the oldest of them.
	took []time.Duration
	next int
	// patience is how long a sweep keeps its place now.
	patience time.Duration
}

const (
	// slowPerPlace is how many places for the slow there are for each place, and mostSlow how many at most.
	slowPerPlace, mostSlow = 4, 512
	// A sweep is slow when it takes muchLonger times what half of the last remembered ones took, but not before
	// leastPatience.
	muchLonger    = 4
	remembered    = 64
	enough        = 8
	leastPatience = time.Second
)

// newPlaces makes n places for sweeps that may take as long as timeout says.
func newPlaces(n int, timeout time.Duration) *places {
	p := &places{
		free: make(chan struct{}, n), begin: timeout / 2, most: timeout * 3 / 4,
		slow: min(slowPerPlace*n, max(mostSlow, n)), patience: timeout / 2,
	}
	for range n {
		p.free <- struct{}{}
	}
	return p
}

// stay is the stay of one sweep in its place.
type stay struct {
	places *places
	since  time.Time
	timer  *time.Timer
	// slow says that it goes on in a place for the slow, over that it has ended.
	slow, over bool
}

// take waits for a free place and takes it. The caller calls leave.
func (p *places) take() *stay {
	<-p.free
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &stay{places: p, since: time.Now()}
	s.timer = time.AfterFunc(leastPatience, s.look)
	return s
}

// look gives the place back if the stay has been long.
func (s *stay) look() {
	p := s.places
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case s.over:
	case time.Since(s.since) < p.patience || p.slow == 0:
		s.timer.Reset(leastPatience)
	default:
		s.slow = true
		p.slow--
		p.free <- struct{}{}
	}
}

// leave ends the stay.
func (s *stay) leave() {
	p := s.places
	p.mu.Lock()
	defer p.mu.Unlock()
	s.timer.Stop()
	s.over = true
	if s.slow {
		p.slow++
	} else {
		p.free <- struct{}{}
	}
	p.remember(time.Since(s.since))
}

// remember takes note of how long a sweep took. The caller holds the lock.
func (p *places) remember(took time.Duration) {
	if len(p.took) < remembered {
		p.took = append(p.took, took)
	} else {
		p.took[p.next] = took
		p.next = (p.next + 1) % remembered
	}
	if len(p.took) < enough || p.next%enough != 0 {
		return
	}
	sorted := slices.Sorted(slices.Values(p.took))
	p.patience = min(max(muchLonger*sorted[len(sorted)/2], leastPatience), p.most)
}

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// screen is stderr with a line of progress at its end. Whatever else is written takes the line's place, and the line is
// drawn again below it. It may be used from many goroutines.
type screen struct {
	w io.Writer

	mu   sync.Mutex
	line string // what stands in the last line now
}

func newScreen(w io.Writer) *screen { return &screen{w: w} }

// eraseLine is the terminal's sequence that returns to the start of the line and empties it.
const eraseLine = "\r\x1b[K"

// Write writes whole lines above the progress.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.line == "" {
		return s.w.Write(p)
	}
	if _, err := io.WriteString(s.w, eraseLine); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	if err == nil {
		_, err = io.WriteString(s.w, s.line)
	}
	return n, err
}

// draw replaces the line of progress; an empty one removes it. A terminal that is gone is no reason to stop.
func (s *screen) draw(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if line == s.line {
		return
	}
	s.line = line
	_, _ = io.WriteString(s.w, eraseLine+line)
}

// When progress appears, and how often it is drawn then.
const (
	progressAfter = time.Second
	progressEvery = 100 * time.Millisecond
)

// meter counts what is done and shows it on a terminal once that takes longer than a second.
type meter struct {
	idle        string // is shown while nothing is counted; "starting" if it is empty
	mu          sync.Mutex
	done, total int
}

// set is an auditor.Progress: it only remembers.
func (m *meter) set(done, total int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done, m.total = done, total
}

// String is the line of progress.
func (m *meter) String() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.total == 0 {
		return cmp.Or(m.idle, "starting")
	}
	return fmt.Sprintf("reading accounts: %d of %d (%d %%)", m.done, m.total, 100*m.done/m.total)
}

// show draws the meter until ctx is done, and removes it then. It returns when the last line is drawn.
func (m *meter) show(ctx context.Context, s *screen) {
	defer s.draw("")
	t := time.NewTimer(progressAfter)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			s.draw(m.String())
			t.Reset(progressEvery)
		}
	}
}

package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Window is a time that comes again and again, in which something may be done.
type Window struct {
	// Cron is when it opens, as for a Plan, but never @every, which comes at no time of its own.
	Cron string
	// For is how long it stays open. If it opens anew before it closes, it stays open.
	For time.Duration
}

// The shortest and the longest window.
const (
	MinWindow = time.Minute
	MaxWindow = 24 * time.Hour
)

// Check says what is wrong with a window, each fault a Problem whose key is cron or for; they are joined.
func (w Window) Check() error {
	_, err := w.parse()
	if w.For < MinWindow || w.For > MaxWindow {
		p := Problem{"for", fmt.Sprintf("%s is out of range", rules.Span(w.For)), "write a duration from 1m to 24h"}
		if err != nil {
			return fmt.Errorf("%w, %w", err, p)
		}
		return p
	}
	return err
}

// parse reads when the window opens. The error is a Problem.
func (w Window) parse() (cron.Schedule, error) {
	const remedy = `write five fields such as "0 9 * * 1-5", or @hourly, @daily`
	if text := strings.TrimSpace(w.Cron); strings.HasPrefix(text, "@every") {
		return nil, Problem{"cron", fmt.Sprintf("%q comes at no time of its own", text), remedy}
	}
	s, err := Plan{Cron: w.Cron}.parse()
	if p, ok := errors.AsType[Problem](err); ok && p.Remedy == cronRemedy {
		p.Remedy = remedy
		return nil, p
	}
	return s, err
}

// Open says whether the window is open: from the instant at which it opens, to just before the one at which it closes. One that Check
// refuses never is.
func (w Window) Open(now time.Time) bool {
	if w.For < MinWindow || w.For > MaxWindow {
		return false
	}
	s, err := w.parse()
	if err != nil {
		return false
	}
	opened := s.Next(now.UTC().Add(-w.For)) // the first time after that from which it would be closed by now
	return !opened.IsZero() && !opened.After(now)
}

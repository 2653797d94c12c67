package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Plan is when runs are made, and how long one may take.
type Plan struct {
	// Cron is five fields (minute, hour, day of the month, its name or number, day of the week) or one of robfig/cron's descriptors.
	Cron string
	// Jitter is the most by which a scheduled run is put off, at random.
	Jitter time.Duration
	// Timeout is a run's deadline.
	Timeout time.Duration
}

// Problem is one thing that is wrong with a plan.
type Problem struct {
	// Key is what it is about: cron, jitter or timeout.
	Key string
	// Problem says what is wrong, Remedy what to do.
	Problem, Remedy string
}

// Error says it all in one line.
func (p Problem) Error() string { return p.Key + ": " + p.Problem + "; " + p.Remedy }

// maxCron bounds the text of a schedule, in bytes: beyond it there is no schedule that a person wrote.
const maxCron = 256

const cronRemedy = "write five fields such as */15 * * * *, or @hourly, @daily, @every 90s"

// horizon is how far ahead slots are looked for. cron itself gives up after five years.
const horizon = 9 * 366 * 24 * time.Hour

// epoch is where slots are looked for when a plan is checked, so that the answer does not depend on the day.
var epoch = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)

// Check says what is wrong with a plan, each fault a Problem; they are joined.
func (p Plan) Check() error {
	var faults []error
	add := func(key, problem, remedy string) { faults = append(faults, Problem{key, problem, remedy}) }
	if p.Timeout <= 0 {
		add("timeout", fmt.Sprintf("%s is no time for a run", rules.Span(p.Timeout)), "write a duration such as 10m")
	}
	shortest, _, err := p.Gaps(epoch)
	switch {
	case err != nil:
		faults = append(faults, err)
		if p.Jitter < 0 {
			add("jitter", fmt.Sprintf("%s is negative", rules.Span(p.Jitter)), "write a duration such as 30s, or 0s for none")
		}
	case p.Jitter < 0:
		add("jitter", fmt.Sprintf("%s is negative", rules.Span(p.Jitter)), "write a duration such as 30s, or 0s for none")
	case p.Jitter >= shortest:
		add("jitter", fmt.Sprintf("%s is not shorter than the shortest pause between two runs, which is %s", rules.Span(p.Jitter), rules.Span(shortest)),
			"write a shorter one, or 0s for none")
	}
	return errors.Join(faults...)
}

// parse reads the schedule. Whatever the text is, it does not panic; the error is a Problem.
func (p Plan) parse() (s cron.Schedule, err error) {
	fail := func(problem, remedy string) (cron.Schedule, error) { //nolint:unparam // so that it can be returned as it is
		return nil, Problem{"cron", problem, remedy}
	}
	defer func() {
		if recover() != nil { // cron's parser trusts its caller; what is known of that is refused below
			s, err = fail("is no schedule", cronRemedy)
		}
	}()
	text := strings.TrimSpace(p.Cron)
	every, isEvery := strings.CutPrefix(text, "@every")
	switch {
	case text == "":
		return fail("is empty", cronRemedy)
	case len(text) > maxCron:
		return fail(fmt.Sprintf("has more than %d bytes", maxCron), cronRemedy)
	case strings.Contains(text, "TZ="):
		return fail("names a time zone; the schedule is always in UTC", "delete the time zone, and write the hours in UTC")
	case isEvery:
		d, err := time.ParseDuration(strings.TrimSpace(every))
		switch {
		case err != nil:
			return fail(fmt.Sprintf("%q is no duration", strings.TrimSpace(every)), "write @every with a duration such as 90s or 15m")
		case d < time.Second:
			return fail(fmt.Sprintf("%s is no pause between two runs", rules.Span(d)), "write at least 1s")
		case d%time.Second != 0:
			return fail(fmt.Sprintf("%s is not a whole number of seconds", rules.Span(d)), "write whole seconds")
		case d > horizon:
			return fail(fmt.Sprintf("%s is longer than any program runs", rules.Span(d)), "write a shorter pause")
		}
		return cron.Every(d), nil
	}
	if s, err = cron.ParseStandard(text); err != nil {
		return fail(fmt.Sprintf("%q is no schedule: %s", text, err), cronRemedy)
	}
	if s.Next(epoch).IsZero() {
		return fail(fmt.Sprintf("%q never comes", text), "write a day that exists, such as 28 2 instead of 31 2")
	}
	return s, nil
}

// Gaps returns the shortest and the longest pause between two slots after an instant. The error is a Problem.
func (p Plan) Gaps(from time.Time) (shortest, longest time.Duration, err error) {
	s, err := p.parse()
	if err != nil {
		return 0, 0, err
	}
	if every, ok := s.(cron.ConstantDelaySchedule); ok {
		return every.Delay, every.Delay, nil
	}
	add := func(gap time.Duration) {
		if shortest == 0 || gap < shortest {
			shortest = gap
		}
		longest = max(longest, gap)
	}
	// The slots of one day come at the same times on every day that has any. So one day is walked slot by slot, and the
	// rest day by day.
	first := s.Next(from.UTC().Truncate(24 * time.Hour).Add(-time.Nanosecond))
	last := first
	for next := s.Next(last); next.YearDay() == last.YearDay() && next.Year() == last.Year(); next = s.Next(last) {
		add(next.Sub(last))
		last = next
	}
	length := last.Sub(first)
	for end := from.Add(horizon); first.Before(end); {
		next := s.Next(first.Add(length))
		if next.IsZero() {
			break
		}
		add(next.Sub(first.Add(length)))
		first = next
	}
	if longest == 0 {
		return 0, 0, Problem{"cron", fmt.Sprintf("%q comes only once", strings.TrimSpace(p.Cron)), cronRemedy}
	}
	return shortest, longest, nil
}

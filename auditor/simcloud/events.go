package simcloud

import (
	"maps"
	"sync/atomic"
)

// chooser chooses requests, and counts those that fit and those that it has chosen of them.
type chooser struct {
	account            *account
	operation          string
	query              map[string]string
	skip, every, times int
	fitted, chosen     atomic.Int64
}

// chooses says whether the request is one of them.
func (s *chooser) chooses(x *call) bool {
	if s.account != nil && s.account != x.account || s.operation != "" && s.operation != x.op.name {
		return false
	}
	for name, want := range s.query {
		if value, _ := x.get(name); value != want {
			return false
		}
	}
	n, every := int(s.fitted.Add(1))-s.skip, max(s.every, 1)
	if n <= 0 || n%every != 0 || s.times > 0 && n/every > s.times {
		return false
	}
	s.chosen.Add(1)
	return true
}

// settle makes the chooser ready for use, and reports what is wrong with it.
func (s *chooser) settle(c *Cloud, account string, problem func(at, format string, args ...any)) {
	if account != "" {
		if s.account = c.findAccount(account); s.account == nil {
			problem(".account", "names no account of the organization: %q; write the name or the id of one", account)
		}
	}
	if s.operation != "" && c.operationIndex(s.operation) < 0 {
		problem(".operation", "names no operation of the cloud: %q; write the SDK's name, ListAgencies for instance", s.operation)
	}
	if _, nameless := s.query[""]; nameless {
		problem(".query", "has a parameter without a name; write name: value")
	}
	if s.skip < 0 || s.times < 0 || s.every < 0 {
		problem("", "has a negative skip, times or every; write 0 or more")
	}
}

// When an event happens.
const (
	whenBefore = "before"
	whenAfter  = "after"
)

// event is an Event made ready for use, with the count of what could not be done.
type event struct {
	Event
	chooser
	failed atomic.Int64
}

// EventCount is how often one of the events in force has happened.
type EventCount struct {
	Event
	// Fitted counts the requests that it chose from, Happened those at which it happened, and Failed the changes that could not be made.
	Fitted   int `json:"fitted"`
	Happened int `json:"happened"`
	Failed   int `json:"failed"`
}

// Events returns the events in force, in their order, with what they have done since the settings were made.
func (c *Cloud) Events() []EventCount {
	var out []EventCount
	for _, e := range c.settings.Load().events {
		out = append(out, EventCount{e.Event.clone(), int(e.fitted.Load()), int(e.chosen.Load()), int(e.failed.Load())})
	}
	return out
}

func (e Event) clone() Event {
	e.Query, e.Drift = maps.Clone(e.Query), append([]Drift(nil), e.Drift...)
	return e
}

func cloneEvents(in []Event) []Event {
	var out []Event
	for _, e := range in {
		out = append(out, e.clone())
	}
	return out
}

// settle checks the event and makes it ready for use.
func (e Event) settle(c *Cloud, problem func(at, format string, args ...any)) *event {
	r := &event{Event: e}
	r.operation, r.query, r.skip, r.every, r.times = e.Operation, e.Query, e.Skip, e.Every, e.Times
	r.chooser.settle(c, e.Account, problem)
	if e.When != "" && e.When != whenBefore && e.When != whenAfter {
		problem(".when", "is %q; write before or after", e.When)
	}
	if len(e.Drift) == 0 {
		problem(".drift", "is empty or missing; write what happens, as POST /drift takes it")
	}
	for _, d := range e.Drift {
		switch err := d.check(); {
		case err != nil:
			problem(".drift", "has %q, which %v", d.Kind, err)
		case d.Kind == DriftSettings:
			problem(".drift", "has settings, which no event changes; write another kind")
		}
	}
	return r
}

// happen has the events happen that are to at this moment of the request.
func (x *call) happen(after bool) {
	for _, e := range x.s.events {
		if (e.When == whenAfter) != after || !e.chooses(x) {
			continue
		}
		for _, d := range e.Drift {
			if x.c.Drift(d) != nil {
				e.failed.Add(1)
			}
		}
	}
}

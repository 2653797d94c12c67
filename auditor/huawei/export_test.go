package huawei

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// WrapTransport puts something between the wires and the network.
func (c *Cloud) WrapTransport(wrap func(http.RoundTripper) http.RoundTripper) {
	c.transport = wrap(c.transport)
}

// Hasten makes the pauses short, for tests on a real network, where no clock can be moved.
func (c *Cloud) Hasten() {
	c.pauses.retry, c.pauses.throttled, c.pauses.throttledMost = time.Microsecond, time.Microsecond, time.Microsecond
	c.pauses.recovery = time.Microsecond
	c.pauses.cloud.patience, c.pauses.main.patience = 0, 0
	c.pauses.cloud.haste, c.pauses.main.haste = 0, 0
}

// UseLight puts a light client in the SDK's place: the same requests over the same wire, and the same values from the answers.
// before is called with each request that is about to be sent.
func (c *Cloud) UseLight(before func(*http.Request)) {
	c.dial = func(w *wire, accountID string) (api, error) {
		a, err := dialLight(w, accountID)
		if err == nil {
			a.(*light).before = before
		}
		return a, err
	}
}

// Chance has the pauses between requests depend on a seed.
func (c *Cloud) Chance(seed uint64) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0))
	c.pauses.chance = func(d time.Duration) time.Duration {
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(r.Int64N(int64(d)))
	}
}

// NoMeter is a Meter that keeps nothing, for others to build on.
type NoMeter = noMeter

// WrapSource puts something between the program and where the main identity's keys come from.
func (c *Cloud) WrapSource(wrap func(http.RoundTripper) http.RoundTripper) {
	c.source = wrap(c.source)
}

// Hasten makes the pauses short.
func (w *Writer) Hasten() { w.cloud.Hasten() }

// Changes is what an operation changes, by the SDK's name of it.
func Changes(name string) rules.Action {
	for o := range operations {
		if operations[o].name == name {
			return operations[o].changes
		}
	}
	return ""
}

// OperationOf is the SDK's name of the request of a step.
func OperationOf(s *rules.Step) string {
	o, _ := writeAt(s.Action, s.Grant.Scope.Kind)
	return operations[o].name
}

// WrapTransport puts something between the wires and the network.
func (w *Writer) WrapTransport(wrap func(http.RoundTripper) http.RoundTripper) {
	w.cloud.WrapTransport(wrap)
}

// OnWritten has a function called when a request that changes something is on its way as a whole.
func (w *Writer) OnWritten(do func()) {
	w.cloud.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			if o, ok := identify(r.Method, r.URL.Path); ok && operations[o].changes != "" {
				trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { do() }}
				r = r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
			}
			return next.RoundTrip(r)
		})
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

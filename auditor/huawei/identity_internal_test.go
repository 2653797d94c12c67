package huawei

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestOnlyALaterAnswerProvesTheIdentity: assumptions that were under way when one was refused, or when a run began, may
// be answered well afterwards.
func TestOnlyALaterAnswerProvesTheIdentity(t *testing.T) {
	m := newIdentity(Identity{})
	want := func(when string, proven bool) {
		t.Helper()
		if m.proven != proven {
			t.Errorf("%s: proven %t, want %t", when, m.proven, proven)
		}
	}
	start := m.epoch
	m.settle(start, &rules.Unknown{Reason: rules.ReasonUnauthenticated})
	m.settle(start, nil)
	want("sent before a refusal", false)
	refused := m.epoch
	m.settle(refused, &rules.Unknown{Reason: rules.ReasonDenied})
	want("denied, which is no refusal of the key", true)
	m.begin()
	want("a run begins", false)
	m.settle(refused, nil)
	want("sent in the run before", false)
	m.settle(m.epoch, nil)
	want("answered", true)
}

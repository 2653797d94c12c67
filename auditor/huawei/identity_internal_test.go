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
	m.settle(start, &rules.Unknown{Reason: rules.ReasonUnauthenticated}, false)
	m.settle(start, nil, true)
	want("sent before a refusal", false)
	refused := m.epoch
	m.settle(refused, &rules.Unknown{Reason: rules.ReasonDenied}, proves(403))
	want("denied, which is no refusal of the key", true)
	m.begin()
	want("a run begins", false)
	m.settle(refused, nil, true)
	want("sent in the run before", false)
	m.settle(m.epoch, &rules.Unknown{Reason: rules.ReasonTimeout}, proves(0))
	m.settle(m.epoch, &rules.Unknown{Reason: rules.ReasonThrottled}, proves(429))
	m.settle(m.epoch, &rules.Unknown{Reason: rules.ReasonUnreachable}, proves(503))
	want("not answered, or not by who looks at keys", false)
	m.settle(m.epoch, nil, true)
	want("answered", true)
}

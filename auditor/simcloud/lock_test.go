package simcloud

import (
	"testing"
	"time"
)

// A request whose signature was found good before others locked the key arrives late: it does not lift the lock.
func TestALateSuccessDoesNotLiftTheLock(t *testing.T) {
	var l keyLock
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for range maxFailures + 1 {
		l.failed(now)
	}
	l.passed()
	if !l.locked(now) {
		t.Error("the key is not locked any more")
	}
	// Failures that were verified before the lock do not prolong it.
	l.failed(now.Add(time.Minute))
	if l.locked(now.Add(lockTime)) {
		t.Error("the key is still locked")
	}
}

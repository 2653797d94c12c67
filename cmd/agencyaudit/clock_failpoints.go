//go:build failpoints

package main

import (
	"os"
	"strings"
	"time"
)

// aheadVariable names a file that says how far a daemon's clock is ahead of the machine's, so that days can pass within a second. No program
// is released that reads it: it takes the tag failpoints to build one.
const aheadVariable = "AGENCYAUDIT_AHEAD"

// clock is the daemon's time; nil is the machine's.
func clock() func() time.Time {
	file := os.Getenv(aheadVariable)
	if file == "" {
		return nil
	}
	return func() time.Time {
		now := time.Now()
		if text, err := os.ReadFile(file); err == nil {
			if ahead, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
				return now.Add(ahead)
			}
		}
		return now
	}
}

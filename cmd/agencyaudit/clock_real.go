//go:build !failpoints

package main

import "time"

// clock is the daemon's time; nil is the machine's.
func clock() func() time.Time { return nil }

package rules_test

import (
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestSpansAreWrittenAsAPersonWould(t *testing.T) {
	const day = 24 * time.Hour
	for d, want := range map[time.Duration]string{
		0: "0s", 407 * time.Millisecond: "407ms", 20 * time.Second: "20s", time.Minute: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		90 * time.Minute: "1h30m", time.Hour + time.Second: "1h0m1s", day: "24h", 36 * time.Hour: "36h", 2 * day: "2d", 400 * day: "400d",
		31*day + 10*time.Minute + 30*time.Second: "31d10m30s", 3*day + 12*time.Hour: "3d12h", -time.Hour: "-1h",
	} {
		if got := rules.Span(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}

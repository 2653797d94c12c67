package huawei

import (
	"fmt"
	"testing"
	"time"
)

// TestACrowd holds who stands in one: accounts one after the other, each once, none long after the one before, and nobody any more when
// one got another answer.
func TestACrowd(t *testing.T) {
	var c crowd
	now := time.Now()
	join := func(account string, want int) {
		t.Helper()
		if n := c.join(account, now, time.Minute); n != want {
			t.Errorf("with %s there are %d, want %d", account, n, want)
		}
	}
	join("a", 1)
	join("a", 1)
	now = now.Add(time.Minute)
	join("b", 2)
	now = now.Add(time.Minute + 1)
	join("c", 1)
	c.disperse()
	join("d", 1)
	for i := range 2 * crowdOf {
		join(fmt.Sprint(i), min(i+2, crowdOf))
	}
}

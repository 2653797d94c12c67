package huawei

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// tolerated is how far this machine's clock may be off before it is worth a word. The cloud refuses signatures that are more
// than 15 minutes off.
const tolerated = 5 * time.Minute

// skew is how far this machine's clock is ahead of the cloud's, by the last few answers. The middle one of them counts, so that
// a single one that lies says nothing.
type skew struct {
	mu   sync.Mutex
	last []time.Duration
	next int
	// told is the difference that was warned of; zero when none was.
	told time.Duration
}

// remembered is how many answers are.
const remembered = 5

// hear takes the difference that one answer shows and returns the one that counts. warn says that it should be told: that it
// is too large, by more than what was told before, or that it is no longer. sure says that the answer is not the only sign.
func (s *skew) hear(ahead time.Duration, sure bool) (middle time.Duration, warn bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.last) < remembered {
		s.last = append(s.last, ahead)
	} else {
		s.last[s.next] = ahead
		s.next = (s.next + 1) % remembered
	}
	middle = s.middle()
	switch {
	case len(s.last) < 3 && !sure:
		return middle, false
	case middle.Abs() <= tolerated:
		warn = s.told != 0
		s.told = 0
	case s.told == 0 || (middle-s.told).Abs() > tolerated:
		warn = true
		s.told = middle
	}
	return middle, warn
}

// middle is the median. The caller holds the lock.
func (s *skew) middle() time.Duration {
	if len(s.last) == 0 {
		return 0
	}
	sorted := make([]time.Duration, 0, remembered)
	sorted = append(sorted, s.last...)
	slices.Sort(sorted)
	return sorted[len(sorted)/2]
}

// words say how far the clock is off, as a clause about it; nothing when it is not by much.
func (s *skew) words() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch off := s.middle(); {
	case off > tolerated:
		return fmt.Sprintf(", which is %s ahead of the cloud's,", off.Round(time.Second))
	case off < -tolerated:
		return fmt.Sprintf(", which is %s behind the cloud's,", off.Abs().Round(time.Second))
	}
	return ""
}

// skew tells the meter what an answer's Date header says, if it says anything, and the log when that is alarming.
func (c *Cloud) skew(resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	ahead, warn := c.clock.hear(c.now().Round(0).Sub(at), resp.StatusCode == http.StatusUnauthorized)
	c.cfg.Meter.Skew(ahead)
	switch {
	case warn && ahead.Abs() > tolerated:
		c.log.Warn("this machine's clock is wrong, or the cloud's: signatures that are 15 minutes off are refused",
			"ahead_of_the_cloud", ahead.Round(time.Second))
	case warn:
		c.log.Info("this machine's clock agrees with the cloud's again", "ahead_of_the_cloud", ahead.Round(time.Second))
	}
}

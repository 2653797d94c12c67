//go:build failpoints

package remedy

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
)

// failVariable names the point at which the program kills itself: POINT, POINT:KIND or POINT:KIND:N for the N-th passage, where KIND may be
// empty. No program is released that reads it: it takes the tag failpoints to build one.
const failVariable = "AGENCYAUDIT_FAILPOINT"

var failpoint = readFailpoint(os.Getenv(failVariable))

type failpointAt struct {
	point string
	kind  Kind
	left  atomic.Int64
}

func readFailpoint(text string) *failpointAt {
	parts := append(strings.SplitN(text, ":", 3), "", "")
	at := &failpointAt{point: parts[0], kind: Kind(parts[1])}
	n, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		n = 1
	}
	at.left.Store(n)
	return at
}

// here says whether this is the passage.
func (f *failpointAt) here(point string, kind Kind) bool {
	return f.point == point && (f.kind == "" || f.kind == kind) && f.left.Add(-1) == 0
}

// die ends the process as SIGKILL does, wherever it is.
func die(point string, kind Kind) {
	fmt.Fprintf(os.Stderr, "failpoint %s:%s\n", point, kind)
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {} // the signal may take a moment, and nothing may happen until then
}

// passing kills the process if this is the point.
func passing(point string, kind Kind) {
	if failpoint.here(point, kind) {
		die(point, kind)
	}
}

// tearing writes a part of a line and kills the process, if the point is torn.
func tearing(f File, line []byte, at int64, kind Kind) {
	if failpoint.here("torn", kind) {
		_, _ = f.WriteAt(line[:1+rand.IntN(len(line)-1)], at)
		die("torn", kind)
	}
}

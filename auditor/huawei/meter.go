package huawei

import (
	"net/http"
	"time"
)

// Meter is told what the requests to the cloud came to. It is called from many goroutines and must not block. No argument
// holds anything that the cloud or a user wrote.
type Meter interface {
	// Request is called once for each request that was sent, by the service and the SDK's name of the operation. code is
	// the status of the answer, or 0 when none came; took is the time from first dial to last byte.
	Request(service, operation string, code int, took time.Duration)
	// Rejected is called for each answer that may not be believed, with one of the words of Rejections.
	Rejected(reason string)
	// Refreshed is called when temporary keys were asked for, with the way in ("iam") and whether they came.
	Refreshed(way string, ok bool)
	// Skew is how far this machine's clock is ahead of the cloud's, by the Date header of an answer: it is rounded to a
	// second by the cloud and contains the way of the answer.
	Skew(ahead time.Duration)
}

// service is what Meter hears of every operation of this package.
const service = "iam"

// The reasons for which an answer is rejected.
const (
	rejectedStatus      = "status"
	rejectedContentType = "content_type"
	rejectedEncoding    = "encoding"
	rejectedEnvelope    = "envelope"
	rejectedTooLarge    = "too_large"
	rejectedWitness     = "witness_mismatch"
)

// Rejections returns the closed list of words that Meter.Rejected is called with.
func Rejections() []string {
	return []string{rejectedStatus, rejectedContentType, rejectedEncoding, rejectedEnvelope, rejectedTooLarge, rejectedWitness}
}

// Operations returns the SDK's names of all requests that the package can send, and the service that they go to.
func Operations() (string, []string) {
	names := make([]string, 0, opCount)
	for i := range operations {
		names = append(names, operations[i].name)
	}
	return service, names
}

// noMeter is told everything and keeps nothing.
type noMeter struct{}

// Request is not kept.
func (noMeter) Request(string, string, int, time.Duration) {}

// Rejected is not kept.
func (noMeter) Rejected(string) {}

// Refreshed is not kept.
func (noMeter) Refreshed(string, bool) {}

// Skew is not kept.
func (noMeter) Skew(time.Duration) {}

// skew tells the meter what an answer's Date header says, if it says anything.
func (c *Cloud) skew(resp *http.Response) {
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		c.cfg.Meter.Skew(c.now().Round(0).Sub(at))
	}
}

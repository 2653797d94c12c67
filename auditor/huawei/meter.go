package huawei

import "time"

// Meter is told what the requests to the cloud came to. It is called from many goroutines and must not block. No argument
// holds anything that the cloud or a user wrote.
type Meter interface {
	// Request is called once for each request that was sent, by the service and the SDK's name of the operation. code is
	// the status of the answer, or 0 when none came; took is the time from first dial to last byte.
	Request(service, operation string, code int, took time.Duration)
	// Rejected is called once for each answer, or list of several, that may not be believed, with one of the words of
	// Rejections.
	Rejected(reason string)
	// Retried is called for each request that is sent once more after a fault of the cloud, not after one of 429.
	Retried(service string)
	// Breakers is called with whether the main identity's breaker is open, or that of the one before it in a chain, and how many of the
	// accounts' own and assumed keys have one that is.
	Breakers(main bool, accounts int)
	// Refreshed is called when temporary keys were asked for, with the way in and whether they came: "iam" or "sts" into an account,
	// "ecs" or "pod" for the program's own, "chain" for those of the chain's agency.
	Refreshed(way string, ok bool)
	// Skew is called for each answer with how far this machine's clock is ahead of the cloud's, by the Date headers of the last
	// few: they are rounded to a second by the cloud and contain the way of the answer.
	Skew(ahead time.Duration)
}

// The reasons for which an answer, or a list of several, is rejected.
const (
	rejectedStatus      = "status"           // another status than that of success, and none that is a reason of its own
	rejectedRedirect    = "redirect"         // a status that leads elsewhere
	rejectedContentType = "content_type"     // content that is not JSON
	rejectedEncoding    = "encoding"         // compressed content
	rejectedTooLarge    = "too_large"        // more bytes than an answer, or a text in it, may have
	rejectedShortBody   = "short_body"       // fewer bytes than were announced
	rejectedJSON        = "json"             // not one JSON value that every decoder reads the same
	rejectedEnvelope    = "envelope"         // not the members that were asked for
	rejectedError       = "error_envelope"   // an error under the status of success
	rejectedItem        = "item"             // a row, or the one thing asked for, that is not what was asked for
	rejectedTooMany     = "too_many_items"   // more rows, values or pages than there can be
	rejectedLoop        = "page_loop"        // pages that come again
	rejectedUnstable    = "unstable_paging"  // a list that changed while it was read, twice in a row
	rejectedCount       = "count_mismatch"   // another number of rows on a page than it says
	rejectedWitness     = "witness_mismatch" // two witnesses that contradict each other
	rejectedOther       = "other"            // anything else that may not be believed
)

// Rejections returns the closed list of words that Meter.Rejected is called with.
func Rejections() []string {
	return []string{
		rejectedStatus, rejectedRedirect, rejectedContentType, rejectedEncoding, rejectedTooLarge, rejectedShortBody, rejectedJSON,
		rejectedEnvelope, rejectedError, rejectedItem, rejectedTooMany, rejectedLoop, rejectedUnstable, rejectedCount, rejectedWitness,
		rejectedOther,
	}
}

// Operation is a request that the package can send, in the words that Meter hears.
type Operation struct {
	Service string
	// Name is the SDK's.
	Name string
	// Success is the status that it is answered with when it succeeds.
	Success int
}

// Operations returns all requests that the package can send.
func Operations() []Operation {
	all := make([]Operation, opCount)
	for o := range operations {
		all[o] = Operation{Service: operations[o].service.String(), Name: operations[o].name, Success: operations[o].status}
	}
	return all
}

// noMeter is told everything and keeps nothing.
type noMeter struct{}

// Request is not kept.
func (noMeter) Request(string, string, int, time.Duration) {}

// Rejected is not kept.
func (noMeter) Rejected(string) {}

// Retried is not kept.
func (noMeter) Retried(string) {}

// Breakers is not kept.
func (noMeter) Breakers(bool, int) {}

// Refreshed is not kept.
func (noMeter) Refreshed(string, bool) {}

// Skew is not kept.
func (noMeter) Skew(time.Duration) {}

package auditor

import (
	"context"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Applier changes grants in accounts. Whatever may change anything in the cloud is behind this interface, and a program that is not
// configured to repair has none.
type Applier interface {
	// Apply sends the one request that carries out a step, at most once, whatever comes of it. It returns soon after ctx is done.
	// What the answer says is a claim: only reading the account again shows what is the case. may is asked in the moment before the
	// request leaves, since entering the account may take its time: an error says why it is not sent.
	Apply(ctx context.Context, s *rules.Step, may func() error) Answer
}

// Answer is what came back of the one request.
type Answer struct {
	Said Said
	// RequestID is the cloud's id of the request; empty when no answer came.
	RequestID string
	// Why says what went wrong and what to do about it; nil for SaidDone and SaidAlready.
	Why *rules.Unknown
}

// Said is what an answer claims.
type Said string

// What an answer can claim.
const (
	// SaidDone is the documented success.
	SaidDone Said = "done"
	// SaidAlready is that it was so before: a grant that was there, or one to revoke that was not.
	SaidAlready Said = "already"
	// SaidRefused is that the key may not do it. Nothing was done.
	SaidRefused Said = "refused"
	// SaidFailed is another refusal, by which nothing was done.
	SaidFailed Said = "failed"
	// SaidNothing is that no answer came, or none that may be believed: it was done, or it was not, or it will be.
	SaidNothing Said = "nothing"
	// SaidUnsent is that the request was not sent at all.
	SaidUnsent Said = "unsent"
)

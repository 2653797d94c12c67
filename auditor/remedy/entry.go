package remedy

import (
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Kind says what an Entry of the ledger is about.
type Kind string

// The kinds of entries.
const (
	// KindStarted is that a process took the ledger over.
	KindStarted Kind = "started"
	// KindPlanned is that a plan waits for approval, or is about to be carried out.
	KindPlanned Kind = "planned"
	// KindApproved is that a person approved a plan, KindRejected that an approval was refused.
	KindApproved Kind = "approved"
	KindRejected Kind = "rejected"
	// KindIntent is that a step is about to be carried out, KindSent that its request is about to be sent, and KindOutcome what
	// became of it. KindPending is that the cloud does not show yet what it said.
	KindIntent  Kind = "intent"
	KindSent    Kind = "sent"
	KindPending Kind = "pending"
	KindOutcome Kind = "outcome"
	// KindFrozen is that all repair stops, KindUnfrozen that a person lifted it.
	KindFrozen   Kind = "frozen"
	KindUnfrozen Kind = "unfrozen"
	// KindQuarantined is that a grant is left alone, KindReleased that a person lifted it.
	KindQuarantined Kind = "quarantined"
	KindReleased    Kind = "released"
)

// Outcome is what became of an intent: exactly one of these, once.
type Outcome string

// The outcomes.
const (
	// OutcomeDone is that the request was sent and the account was then read to be as intended.
	OutcomeDone Outcome = "done"
	// OutcomeNoop is that the cloud said that it was so already, and the account was read to be so.
	OutcomeNoop Outcome = "noop"
	// OutcomeFailed is that the cloud refused, and the account was read to be as before.
	OutcomeFailed Outcome = "failed"
	// OutcomeNotSent is that no request was sent: the account had moved, a guard stepped in, or the process ended before.
	OutcomeNotSent Outcome = "not_sent"
	// OutcomeSuperseded is that the account moved meanwhile by somebody else's doing, so that what became of the request cannot be told.
	OutcomeSuperseded Outcome = "superseded"
	// OutcomeUnverified is that the account was not read to be as intended within the time that the cloud may take.
	OutcomeUnverified Outcome = "unverified"
)

// Outcomes returns all of them.
func Outcomes() []Outcome {
	return []Outcome{OutcomeDone, OutcomeNoop, OutcomeFailed, OutcomeNotSent, OutcomeSuperseded, OutcomeUnverified}
}

// Entry is one line of the ledger. Seq, Prev and Hash are the ledger's.
type Entry struct {
	// Seq counts the entries from 1 on.
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	// Actor is who or what did it: a person's name or, of what no person asked for, Daemon or Command.
	Actor string `json:"actor"`
	// Run is the id of the run that the plan comes from, Plan the plan's digest.
	Run  string `json:"run,omitempty"`
	Plan string `json:"plan,omitempty"`
	// Baseline is the digest of the baseline, Fleet the number of accounts that were expected then.
	Baseline string `json:"baseline,omitempty"`
	Fleet    int    `json:"fleet,omitempty"`
	// Steps is how many steps a plan has, and Digests their ids. RequestedBy is who asked for a plan that was approved, and Undoes the run that it
	// takes back, if it does: with them the ids make its digest, which the approver signed.
	Steps       int      `json:"steps,omitempty"`
	Digests     []string `json:"digests,omitempty"`
	RequestedBy string   `json:"requested_by,omitempty"`
	Undoes      string   `json:"undoes,omitempty"`
	// Approval is the number of the entry by which an intent was approved, or a plan that exceeded a limit: the freeze uses it up. Nonce is
	// what makes an approval one of its own; Expires is until when it counts, Signature what the approver signed it with.
	Approval  int64     `json:"approval,omitempty"`
	Nonce     string    `json:"nonce,omitempty"`
	Expires   time.Time `json:"expires,omitzero"`
	Signature string    `json:"signature,omitempty"`
	// Step is what an intent intends. Intent is the number of the intent that an entry of the kinds sent, pending and outcome is about.
	Step   *rules.Step `json:"step,omitempty"`
	Intent int64       `json:"intent,omitempty"`
	// Outcome, and what the answer claimed, with the cloud's ids of the request and of the reading that showed the outcome.
	Outcome   Outcome  `json:"outcome,omitempty"`
	Said      string   `json:"said,omitempty"`
	RequestID string   `json:"request_id,omitempty"`
	ReadIDs   []string `json:"read_ids,omitempty"`
	// Target is the grant that is quarantined or released, see rules.Step.Target; AccountID its account.
	Target    string `json:"target,omitempty"`
	AccountID string `json:"account_id,omitempty"`
	// Reason says in words why.
	Reason string `json:"reason,omitempty"`
	// Prev is the Hash of the entry before, empty for the first; Hash is the SHA-256 of the line without it, in lower-case hexadecimal.
	Prev string `json:"prev"`
	Hash string `json:"hash"`
}

// Head is how far a ledger goes: the number and the hash of its last entry. The zero value is an empty ledger.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"`
}

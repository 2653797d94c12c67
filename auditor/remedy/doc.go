// Package remedy carries repair out: from what a run found wrong, through plan, guards, approval, request, reading, to the outcome in the
// ledger.
//
// # What it promises
//
// Nothing is written to the cloud without an intent that is durable in the Ledger, and each intent leads to one request at most,
// whatever crashes in between: what was open is settled by reading, never by repeating. Each step rests on evidence that is read again
// just before; whatever moved since voids what was planned for the account. All limits are kept in the ledger, so that a restart resets
// none, and are held against the whole plan before its first write: a plan that exceeds one is not carried out in part, but stops all
// repair until a person lifts that. The first step that fails ends the plan.
//
// Grants and revokes are separate: each has its own auditor.Applier, by its own identity in the cloud. In the modes off and plan there is
// none at all.
package remedy

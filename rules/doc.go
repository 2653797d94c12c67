// Package rules decides: it compares what was read of an agency with what was agreed, and says what differs, what that
// breaks or exposes and how a person mends it.
//
// It is the pure core of the program. It reads nothing, writes nothing, knows no clock, no network and no SDK, and for
// the same input it returns the same output to the byte. The whole idea on one page:
//
//	Observation   what a reader saw of one agency in one account, plane by plane, with the cloud's own counts
//	NewEvidence   turns an Observation into Evidence, or says why it must not be judged: an *Unknown
//	Baseline      the agency's required grants, its trust and its validity, as agreed
//	Evaluate      Baseline + Evidence + Fleet + now → Report: the account's state, the coverage of each
//	              required grant, and the findings in a fixed order
//	Remedies      how to put one finding right by hand
//	Propose       the steps that would put it right, and why the rest is left alone
//
// Absence is never represented as emptiness: a plane that was not read cannot become part of Evidence, and without
// Evidence there is no Report but that of an unknown account.
//
// Each rule has a file of its own (rule_*.go), a permanent id, and a page under docs/rules.
package rules

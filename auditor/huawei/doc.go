// Package huawei reads agencies and their permissions from Huawei Cloud, and changes their permissions where it is told to. It is the
// only room that knows the vendor's SDK, the only one that makes evidence, and the only one that can send a request that changes anything.
//
// # What it promises
//
// An answer is believed only when it is whole. Between the SDK and the network stands a round tripper of this package
// (see wire): it lets through the requests of a closed list, none of which changes anything unless a Writer has sent it, and hands
// the SDK nothing but answers with the documented status, content type and envelope. The SDK alone would take an empty body, an error
// envelope or a redirect for an empty list, and of a member that comes twice the last. Whatever is missing, refused,
// repeated or contradictory ends in a *rules.Unknown with a reason, never in fewer grants.
//
// The SDK knows no contexts. The context of a sweep therefore stands in the wire that is made for that sweep, together
// with the sweep's client: making both costs a few microseconds, and nothing of one sweep is left for another. What all
// sweeps share is one http.Transport, with its connections.
//
// # What is changed
//
// A Writer adds grants or takes them away, one at a time, and a program that is not configured to repair has none. It is made for one of
// the two; the wires of everything else refuse what changes something before it is sent, and its own let through one such request
// each. That request is never sent again. What the answer says is passed on as a claim.
//
// # What one account costs
//
// Six requests: the agency by name, then at once the role assignments of the agency for the account, for the account
// with inheritance, for projects and for enterprise projects, and the identity policies (v5) attached to it. More are
// sent only for further pages, for a second witness of an emptiness or an absence that matters and of whatever differs
// from the account's last evidence, for policies that the shared catalogue of system-defined policies does not have, and
// for the names of projects that hold grants. Role ids become names through that catalogue, which one account reads for
// all, twice in a row.
//
// The sections cited as "facts N.N" are those of docs/huawei-iam.md, which says of each fact how well it is known.
package huawei

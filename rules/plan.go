package rules

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Action is what a step does.
type Action string

// The actions. Nothing else is ever proposed: no agency is made, changed or deleted, no trust is edited and no policy is written.
const (
	ActionGrant  Action = "grant"
	ActionRevoke Action = "revoke"
)

// Actions returns both in the order in which they are carried out.
func Actions() []Action { return []Action{ActionGrant, ActionRevoke} }

// Step is one change of one grant of one agency.
type Step struct {
	Action Action `json:"action"`
	// AccountID is the account's identity, Account its name for people.
	AccountID string `json:"account_id"`
	Account   string `json:"account"`
	AgencyID  string `json:"agency_id"`
	Agency    string `json:"agency"`
	Baseline  string `json:"baseline"`
	// Grant is what is added or taken away: the policy by its id, and the scope.
	Grant Grant `json:"grant"`
	// Rule is the rule whose finding the step puts right; empty for one that undoes another.
	Rule string `json:"rule,omitempty"`
	// Affects says, a sentence each, what the step affects.
	Affects []string `json:"affects"`
	// Holding is the digest of what the agency held in the evidence that the plan rests on, see Holding.Digest.
	Holding string `json:"holding"`
	// Undoes is the number of the ledger's entry of the intent that the step takes back; 0 for none.
	Undoes int64 `json:"undoes,omitempty"`
}

// Target is what the step is about: account, agency, policy and scope. Two steps on one target are about the same grant.
func (s *Step) Target() string {
	parts := [...]string{s.AccountID, s.AgencyID, string(s.Grant.Scope.Kind), s.Grant.Scope.ID, s.Grant.Policy.ID}
	for i := range parts {
		parts[i] = targetPart.Replace(parts[i])
	}
	return strings.Join(parts[:], ":")
}

// targetPart writes what stands between the colons of a target, so that no two grants have one target.
var targetPart = strings.NewReplacer("%", "%25", ":", "%3A")

// ID is the step's identity: equal for steps that do the same on the same evidence. It covers all that people are shown of a step, so
// that none can be shown as another one.
func (s *Step) ID() string {
	parts := []string{
		string(s.Action), s.AccountID, s.Account, s.AgencyID, s.Agency, s.Baseline, string(s.Grant.Scope.Kind), s.Grant.Scope.ID,
		s.Grant.Scope.Name, s.Grant.Policy.ID, s.Grant.Policy.Name, string(s.Grant.Policy.Origin),
		strconv.FormatBool(s.Grant.Policy.Unbounded), s.Rule, s.Holding,
		strconv.FormatInt(s.Undoes, 10),
	}
	return digest(append(parts, s.Affects...)...)
}

// Short says in a few words what the step does. What a cloud or a user wrote is in it as it is.
func (s *Step) Short() string {
	return fmt.Sprintf("%s %s at %s", s.Action, policyWords(s.Grant.Policy.Name, s.Grant.Policy.ID), s.Grant.Scope)
}

// Hold is why something that differs from the baseline is not put right. The list is closed and its values are values of a metric label.
type Hold string

// The reasons for which nothing is proposed.
const (
	HoldOff         Hold = "off"          // granting, or revoking, is not configured
	HoldWaived      Hold = "waived"       // somebody accepted it
	HoldTrust       Hold = "trust"        // the agency trusts somebody else, or may do so
	HoldExpired     Hold = "expired"      // the agency has ended
	HoldDenied      Hold = "denied"       // the policy is on the list of those that are never granted
	HoldAmbiguous   Hold = "ambiguous"    // the policy's name does not lead to one id
	HoldUnclear     Hold = "unclear"      // the baseline leaves open which project it should be
	HoldRequired    Hold = "required"     // the baseline names the policy, so that it is never revoked
	HoldNotListed   Hold = "not_listed"   // the policy is not on the list of those that may be revoked
	HoldGrace       Hold = "grace"        // it was not seen for long enough
	HoldReplayed    Hold = "replayed"     // it was not read but recorded
	HoldSuspect     Hold = "suspect"      // the run should not be acted on
	HoldIncomplete  Hold = "incomplete"   // too much of the fleet is not known
	HoldWindow      Hold = "window"       // it is not the time for changes
	HoldFrozen      Hold = "frozen"       // somebody, or a limit, stopped all repair
	HoldSwitch      Hold = "kill_switch"  // the kill switch's file is there
	HoldLedger      Hold = "ledger"       // the ledger cannot be relied on
	HoldSkew        Hold = "skew"         // the clocks differ too much
	HoldBudget      Hold = "budget"       // the plan exceeds a limit
	HoldCooling     Hold = "cooling"      // a step in the account failed not long ago
	HoldQuarantine  Hold = "quarantine"   // somebody else undoes it again and again, or it does not take effect
	HoldPending     Hold = "pending"      // it is not known yet what came of a step in the account
	HoldApproval    Hold = "approval"     // nobody approved it yet
	HoldMoved       Hold = "stale_plan"   // the account is not as the plan saw it
	HoldUnreachable Hold = "unknown"      // the account could not be read again
	HoldStopped     Hold = "stopped"      // a step before it failed
	HoldUnready     Hold = "unresolvable" // the site does not have a policy that the baseline requires
)

// Holds returns the closed list of them.
func Holds() []Hold {
	return []Hold{
		HoldOff, HoldWaived, HoldTrust, HoldExpired, HoldDenied, HoldAmbiguous, HoldUnclear, HoldRequired, HoldNotListed, HoldGrace,
		HoldReplayed, HoldSuspect, HoldIncomplete, HoldWindow, HoldFrozen, HoldSwitch, HoldLedger, HoldSkew, HoldBudget, HoldCooling,
		HoldQuarantine, HoldPending, HoldApproval, HoldMoved, HoldUnreachable, HoldStopped, HoldUnready,
	}
}

// Words says what the reason means.
func (h Hold) Words() string {
	switch h {
	case HoldOff:
		return "this kind of repair is not configured"
	case HoldWaived:
		return "it is accepted"
	case HoldTrust:
		return "whom the agency trusts is not as the baseline says"
	case HoldExpired:
		return "the agency has ended"
	case HoldDenied:
		return "the policy is one that is never granted"
	case HoldAmbiguous:
		return "more than one policy bears the name"
	case HoldUnclear:
		return "the baseline does not say in which project"
	case HoldRequired:
		return "the baseline names the policy"
	case HoldNotListed:
		return "the policy is not on the list of those that may be revoked"
	case HoldGrace:
		return "it was not seen for long enough yet"
	case HoldReplayed:
		return "it was recorded, not read"
	case HoldSuspect:
		return "the run is suspect"
	case HoldIncomplete:
		return "too much of the fleet is not known"
	case HoldWindow:
		return "it is not the time for changes"
	case HoldFrozen:
		return "repair is frozen"
	case HoldSwitch:
		return "the kill switch's file is there"
	case HoldLedger:
		return "the ledger cannot be relied on"
	case HoldSkew:
		return "this machine's clock and the cloud's differ too much"
	case HoldBudget:
		return "the plan exceeds a limit"
	case HoldCooling:
		return "a step in the account failed not long ago"
	case HoldQuarantine:
		return "it is quarantined"
	case HoldPending:
		return "a step was carried out in the account, which has to be read again"
	case HoldApproval:
		return "nobody approved it"
	case HoldMoved:
		return "the account is not as the plan saw it"
	case HoldUnreachable:
		return "the account could not be read again"
	case HoldStopped:
		return "a step before it failed"
	case HoldUnready:
		return "the site's catalogue lacks a policy that the baseline requires"
	}
	return string(h)
}

// Held is something that differs from the baseline and is not put right.
type Held struct {
	AccountID string `json:"account_id"`
	Account   string `json:"account"`
	Agency    string `json:"agency"`
	Baseline  string `json:"baseline"`
	Action    Action `json:"action"`
	// Policy and PolicyID are what it would be; PolicyID is empty where it is not known.
	Policy   string    `json:"policy,omitempty"`
	PolicyID string    `json:"policy_id,omitempty"`
	Scope    ScopeKind `json:"scope"`
	Reason   Hold      `json:"reason"`
	// Detail says what would have to be otherwise.
	Detail string `json:"detail"`
}

// Holding is what an agency is and holds, as far as a step depends on it: whose it is, whom it trusts, until when, and its grants by
// the ids of their policies.
type Holding struct {
	agency Agency
	grants map[held]bool
}

// held is a grant by all that tells grants of one agency apart.
type held struct {
	kind          ScopeKind
	scope, policy string
}

// HoldingOf is the holding that evidence shows; agency is nil for one that is absent.
func HoldingOf(agency *Agency, planes []Plane) Holding {
	h := Holding{grants: map[held]bool{}}
	if agency == nil {
		return h
	}
	h.agency = *agency
	for i := range planes {
		for j := range planes[i].Grants {
			h.grants[heldBy(planes[i].Grants[j])] = true
		}
	}
	return h
}

// Holding is what the evidence shows of its agency.
func (e Evidence) Holding() Holding {
	if !e.present {
		return HoldingOf(nil, nil)
	}
	return HoldingOf(&e.agency, e.planes)
}

func heldBy(g Grant) held { return held{g.Scope.Kind, g.Scope.ID, g.Policy.ID} }

// Has says whether a grant is held: the policy of that id, at that scope and no other.
func (h Holding) Has(g Grant) bool { return h.grants[heldBy(g)] }

// After is the holding when a step was carried out, and nothing else happened.
func (h Holding) After(s *Step) Holding {
	next := Holding{agency: h.agency, grants: make(map[held]bool, len(h.grants)+1)}
	for k := range h.grants {
		next.grants[k] = true
	}
	if s.Action == ActionGrant {
		next.grants[heldBy(s.Grant)] = true
	} else {
		delete(next.grants, heldBy(s.Grant))
	}
	return next
}

// Fits says whether the step has had its effect: what it grants is held, what it revokes is not.
func (h Holding) Fits(s *Step) bool { return h.Has(s.Grant) == (s.Action == ActionGrant) }

// AgencyID is the id of the agency; empty when it is absent.
func (h Holding) AgencyID() string { return h.agency.ID }

// SameTrust says whether two agencies trust the same account, as far as both name it.
func (h Holding) SameTrust(other Holding) bool {
	a, b := h.agency.Trust, other.agency.Trust
	return a.ID == b.ID && (a.Name == b.Name || a.Name == "" || b.Name == "")
}

// Trusts says whether the agency trusts the account of a baseline, as far as the agency alone shows it: nothing of what it shows is otherwise.
func (h Holding) Trusts(t Trust) bool {
	is := h.agency.Trust
	return (t.ID == "" || is.ID == t.ID) && (is.Name == "" || SameTrustName(is.Name, t.Name))
}

// Digest is the SHA-256 of the holding, in lower-case hexadecimal. Two are equal if nothing that a step depends on differs.
func (h Holding) Digest() string {
	a := h.agency
	parts := []string{a.ID, a.Name, a.AccountID, a.Trust.ID, a.Trust.Name, "forever"}
	if !a.ExpiresAt.IsZero() {
		parts[len(parts)-1] = strconv.FormatInt(a.ExpiresAt.UnixMicro(), 10)
	}
	all := make([]held, 0, len(h.grants))
	for k := range h.grants {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b held) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.scope, b.scope), cmp.Compare(a.policy, b.policy))
	})
	for _, k := range all {
		parts = append(parts, string(k.kind), k.scope, k.policy)
	}
	return digest(parts...)
}

// digest is the SHA-256 of texts, so written down that no two lists of them look the same.
func digest(parts ...string) string {
	var text []byte
	for _, p := range parts {
		text = append(strconv.AppendInt(text, int64(len(p)), 10), ':')
		text = append(text, p...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// CompareSteps orders steps: grants before revokes, then by account, agency, scope and policy.
func CompareSteps(a, b *Step) int {
	order := func(s *Step) int { return rank(s.Action == ActionRevoke) }
	return cmp.Or(
		cmp.Compare(order(a), order(b)),
		cmp.Compare(a.Account, b.Account),
		cmp.Compare(a.AccountID, b.AccountID),
		cmp.Compare(a.Agency, b.Agency),
		compareGrants(a.Grant, b.Grant),
	)
}

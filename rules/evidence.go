package rules

import (
	"fmt"
	"slices"
	"time"
)

// PlaneState says whether a plane was read. Its zero value is "not read", so that a forgotten plane is never an empty one.
type PlaneState string

// The states of a plane's reading.
const (
	// PlaneRead means that every page of the plane arrived.
	PlaneRead PlaneState = "read"
	// PlaneAbsent means that the site or the account does not have the plane, which the cloud said by one of a closed list
	// of answers.
	PlaneAbsent PlaneState = "absent"
)

// Plane is what was read of one plane.
type Plane struct {
	Kind  ScopeKind  `json:"kind"`
	State PlaneState `json:"state"`
	// Total is the cloud's own count of the plane's rows: the first witness. It must equal the number of Grants.
	Total  int     `json:"total"`
	Grants []Grant `json:"grants"`
	// Witnessed says that a second witness was asked. WitnessIDs are the ids of the policies that the plane's own list
	// showed; a plane without one is read again, and Again are the rows of that reading. Evidence does not keep Again.
	Witnessed  bool     `json:"witnessed,omitempty"`
	WitnessIDs []string `json:"witness_ids,omitempty"`
	Again      []Grant  `json:"-"`
	// Pages is how many pages the reading was put together from. Evidence does not keep it.
	Pages int `json:"-"`
	// RequestIDs are the cloud's ids of the answers that the plane rests on.
	RequestIDs []string `json:"request_ids,omitempty"`
}

// Observation is what a reader saw of one agency in one account. It proves nothing until NewEvidence accepts it.
type Observation struct {
	Account Account
	// AgencyName is the name that was asked for.
	AgencyName string
	// StartedAt and EndedAt enclose every request of the reading.
	StartedAt, EndedAt time.Time
	// Listed are all agencies of the answer to the request by name, whatever their names.
	Listed []Agency
	// UnfilteredAsked says that the account's whole list of agencies was read as a second witness; Unfiltered is that list.
	UnfilteredAsked bool
	Unfiltered      []Agency
	// ListedTwice says that the request by name was made a second time; ListedAgain are the agencies of that answer.
	ListedTwice bool
	ListedAgain []Agency
	// ListRequestIDs are the cloud's ids of the answers that Listed, Unfiltered and ListedAgain rest on.
	ListRequestIDs []string
	// Planes are the five planes, each once, in any order. None when the agency is absent.
	Planes []Plane
	// PoliciesAgain are policies as a second answer described them.
	PoliciesAgain []Policy
}

// Evidence is a complete observation: every plane was read, every page arrived, and the witnesses agree. Only NewEvidence
// makes one, and Replay one that is marked; the zero value is no evidence, and Evaluate calls it unknown.
type Evidence struct {
	valid      bool
	replayed   bool
	account    Account
	agencyName string
	agency     Agency
	present    bool
	planes     []Plane
	requestIDs []string
	startedAt  time.Time
	endedAt    time.Time
}

// Account returns the account that was read.
func (e Evidence) Account() Account { return e.account }

// AgencyName returns the name of the agency that was looked for.
func (e Evidence) AgencyName() string { return e.agencyName }

// Agency returns the agency, and whether the account has it.
func (e Evidence) Agency() (Agency, bool) { return e.agency, e.present }

// Grants returns every grant of the agency on all planes in a fixed order.
func (e Evidence) Grants() []Grant { return slices.Concat(e.parts()...) }

// parts are the same, each as a part of its plane's list: whoever keeps one keeps no copy.
func (e Evidence) parts() [][]Grant {
	var parts [][]Grant
	for i := range e.planes {
		for n := range e.planes[i].Grants {
			parts = append(parts, e.planes[i].Grants[n:n+1:n+1])
		}
	}
	return parts
}

// Planes returns the readings of the five planes in their fixed order; none when the agency is absent. The caller must
// not change them.
func (e Evidence) Planes() []Plane { return e.planes }

// RequestIDs returns the cloud's ids of the answers that say which agencies exist. The caller must not change them.
func (e Evidence) RequestIDs() []string { return e.requestIDs }

// StartedAt and EndedAt enclose every request behind the evidence.
func (e Evidence) StartedAt() time.Time { return e.startedAt }

// EndedAt is when the last answer arrived.
func (e Evidence) EndedAt() time.Time { return e.endedAt }

// NewEvidence checks the witnesses of an observation: what the baseline or the last evidence contradicts must have two.
// Its error is always an *Unknown, which says what is missing or which two witnesses contradict each other; then there is
// no Evidence.
func NewEvidence(b Baseline, last Last, o Observation) (Evidence, error) {
	e := Evidence{
		account: o.Account, agencyName: o.AgencyName, requestIDs: o.ListRequestIDs, startedAt: o.StartedAt, endedAt: o.EndedAt,
	}
	if o.AgencyName != b.Agency {
		return Evidence{}, unknown(ReasonRejected, "the observation is of agency %q, the baseline is about %q", o.AgencyName, b.Agency)
	}
	if o.StartedAt.IsZero() || o.EndedAt.Before(o.StartedAt) {
		return Evidence{}, unknown(ReasonIncomplete, "the observation does not say when it was made")
	}
	found, u := o.find()
	if u != nil {
		return Evidence{}, u.from(o.ListRequestIDs)
	}
	if found == nil {
		e.valid = true
		return e, nil
	}
	if u := found.check(o.Account); u != nil {
		return Evidence{}, u.from(o.ListRequestIDs)
	}
	if last.NeedsListing(*found) {
		if u := o.confirm(*found); u != nil {
			return Evidence{}, u.from(o.ListRequestIDs)
		}
	}
	e.agency, e.present = *found, true
	e.planes = make([]Plane, 0, len(planes))
	for _, kind := range planes {
		p, err := o.plane(kind)
		if err != nil {
			return Evidence{}, err
		}
		if u := p.check(last.NeedsWitness(b, p)); u != nil {
			return Evidence{}, u.from(p.RequestIDs)
		}
		p.Grants, p.Again, p.Pages = slices.Clone(p.Grants), nil, 0
		slices.SortFunc(p.Grants, compareGrants)
		// A fleet's evidence is kept for as long as it is the last: what has not changed since is kept once.
		if same := last.grants(kind); len(same) > 0 && slices.Equal(p.Grants, same) {
			p.Grants = same
		}
		e.planes = append(e.planes, p)
	}
	if len(o.Planes) != len(planes) {
		return Evidence{}, unknown(ReasonRejected, "the observation has %d planes instead of %d", len(o.Planes), len(planes))
	}
	if u := o.confirmPolicies(last.NewPolicies(e.planes)); u != nil {
		return Evidence{}, u
	}
	e.valid = true
	return e, nil
}

// find returns the one agency of the name, or nil when two witnesses agree that there is none.
func (o Observation) find() (*Agency, *Unknown) {
	var found *Agency
	for i := range o.Listed {
		if o.Listed[i].Name != o.AgencyName {
			continue
		}
		if found != nil {
			return nil, unknown(ReasonAmbiguous, "two agencies bear the name %q: %s and %s", o.AgencyName, found.ID, o.Listed[i].ID)
		}
		found = &o.Listed[i]
	}
	if found != nil {
		return found, nil
	}
	if !o.UnfilteredAsked {
		return nil, unknown(ReasonIncomplete, "no agency %q in the list by name, and the whole list was not read", o.AgencyName)
	}
	for _, a := range o.Unfiltered {
		if a.Name == o.AgencyName {
			return nil, unknown(ReasonDisagree, "the list by name has no agency %q, the whole list has %s", o.AgencyName, a.ID)
		}
	}
	return nil, nil
}

func (a Agency) check(acct Account) *Unknown {
	switch {
	case a.ID == "":
		return unknown(ReasonIncomplete, "the agency %q came without an id", a.Name)
	case a.AccountID != acct.ID:
		return unknown(ReasonRejected, "the agency %q belongs to account %q, asked was %q", a.Name, a.AccountID, acct.ID)
	case a.Trust.ID == "":
		return unknown(ReasonIncomplete, "the agency %q came without the id of the account it trusts", a.Name)
	}
	return nil
}

func (o Observation) plane(kind ScopeKind) (Plane, error) {
	i := slices.IndexFunc(o.Planes, func(p Plane) bool { return p.Kind == kind })
	if i < 0 {
		return Plane{}, unknown(ReasonIncomplete, "the plane %q was not read", kind.Words())
	}
	if slices.ContainsFunc(o.Planes[i+1:], func(p Plane) bool { return p.Kind == kind }) {
		return Plane{}, unknown(ReasonRejected, "the plane %q was read twice", kind.Words())
	}
	return o.Planes[i], nil
}

func (p Plane) check(needsWitness bool) *Unknown {
	switch p.State {
	case PlaneRead:
	case PlaneAbsent:
		if len(p.Grants) > 0 || p.Total != 0 {
			return unknown(ReasonDisagree, "the plane %q does not exist and holds %d grants", p.Kind.Words(), len(p.Grants))
		}
		if p.Kind != EnterpriseProject && p.Kind != Identity {
			return unknown(ReasonRejected, "the plane %q cannot be absent", p.Kind.Words())
		}
		if needsWitness {
			// A gateway that loses an API for a moment must not take grants away, nor hide those that are new.
			u := unknown(ReasonDisagree, "the plane %q does not exist, and was read in the last evidence", p.Kind.Words())
			u.Remedy = "if the site has withdrawn that API for good, restart the program, which then knows no last evidence"
			return u
		}
		return nil
	default:
		return unknown(ReasonIncomplete, "the plane %q was not read", p.Kind.Words())
	}
	if p.Total != len(p.Grants) {
		return unknown(ReasonDisagree, "the plane %q counts %d grants and shows %d", p.Kind.Words(), p.Total, len(p.Grants))
	}
	type key struct{ policy, scope string }
	seen := make(map[key]bool, len(p.Grants))
	for _, g := range p.Grants {
		k := key{g.Policy.ID, g.Scope.ID}
		switch {
		case g.Scope.Kind != p.Kind:
			return unknown(ReasonRejected, "the plane %q shows a grant of scope %q", p.Kind.Words(), g.Scope.Kind.Words())
		case g.Policy.ID == "":
			return unknown(ReasonIncomplete, "the plane %q shows a grant without a policy id", p.Kind.Words())
		case g.Policy.Origin != System && g.Policy.Origin != Custom && g.Policy.Origin != Unresolved:
			return unknown(ReasonIncomplete, "the policy %s on the plane %q was not looked up", g.Policy.ID, p.Kind.Words())
		case (g.Scope.ID == "") != (p.Kind != Project && p.Kind != EnterpriseProject):
			return unknown(ReasonIncomplete, "the plane %q shows a grant whose scope has the id %q", p.Kind.Words(), g.Scope.ID)
		case seen[k]:
			return unknown(ReasonRejected, "the plane %q shows policy %s twice at the same scope", p.Kind.Words(), g.Policy.ID)
		}
		seen[k] = true
	}
	return p.checkWitness(needsWitness)
}

func (p Plane) checkWitness(needed bool) *Unknown {
	switch {
	case !p.Witnessed && needed && len(p.Grants) == 0:
		return unknown(ReasonIncomplete, "the plane %q is empty by one witness, and the baseline or the last evidence fills it", p.Kind.Words())
	case !p.Witnessed && needed && p.Pages > 1:
		return unknown(ReasonIncomplete, "the plane %q was put together from %d pages, by one witness", p.Kind.Words(), p.Pages)
	case !p.Witnessed && needed:
		return unknown(ReasonIncomplete, "the plane %q differs from the last evidence by one witness", p.Kind.Words())
	case !p.Witnessed:
		return nil
	case p.Kind != Global && p.Kind != AllResources:
		if !sameGrants(p.Grants, p.Again) {
			return unknown(ReasonDisagree, "the plane %q shows %d grants, and read again at once %d, or others",
				p.Kind.Words(), len(p.Grants), len(p.Again))
		}
		return nil
	}
	var ids []string
	for _, g := range p.Grants {
		ids = append(ids, g.Policy.ID)
	}
	slices.Sort(ids)
	witness := slices.Clone(p.WitnessIDs)
	slices.Sort(witness)
	if !slices.Equal(slices.Compact(ids), slices.Compact(witness)) {
		return unknown(ReasonDisagree, "the plane %q shows %d policies to the first witness and %d to the second",
			p.Kind.Words(), len(ids), len(witness))
	}
	return nil
}

// from adds the id of the last answer that the reason rests on.
func (u *Unknown) from(requestIDs []string) *Unknown {
	if n := len(requestIDs); n > 0 {
		u.RequestID = requestIDs[n-1]
	}
	return u
}

func unknown(r Reason, format string, args ...any) *Unknown {
	return &Unknown{Reason: r, Detail: fmt.Sprintf(format, args...)}
}

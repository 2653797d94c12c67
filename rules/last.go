package rules

import "slices"

// Last is what the last evidence of one agency showed. A reading that differs from it is believed only of two witnesses,
// so that one false answer can neither hide nor invent a change. The zero value says that there is no such evidence: then
// nothing differs.
type Last struct {
	// Known says that there is last evidence.
	Known bool
	// Agency is the agency that it showed; nil when it showed that there was none.
	Agency *Agency
	// Planes are its readings; none without agency.
	Planes []Plane
	// All says that whatever is read needs a second witness, whether it differs or not: something is to be done on its account.
	All bool
}

// NeedsListing says whether NewEvidence accepts the agency only if it is listed a second time (Observation.ListedTwice):
// it was not there, or another account is trusted, or its id or its end is another one.
func (l Last) NeedsListing(a Agency) bool {
	return l.All || l.Known && (l.Agency == nil || !l.Agency.same(a))
}

// NeedsWitness says whether NewEvidence accepts the reading of a plane only from two witnesses: it is empty and the
// baseline fills it, or it shows other grants than the last evidence, or it was put together from several pages, between which a
// row can be lost: one that is taken away makes the rest move up, and another that is added meanwhile keeps the count right. That
// it shows what the last evidence showed says nothing then, for what is lost may be what is new.
//
// A plane that is absent has no second witness: where the last evidence read it, even as an empty one, it is not believed.
func (l Last) NeedsWitness(b Baseline, p Plane) bool {
	if p.State == PlaneRead && len(p.Grants) == 0 &&
		slices.ContainsFunc(b.Required, func(r Requirement) bool { return r.Scope == p.Kind }) {
		return true
	}
	if p.State == PlaneAbsent && l.Known && l.read(p.Kind) {
		return true
	}
	return l.All && p.State == PlaneRead || p.Pages > 1 || l.Known && !sameGrants(l.grants(p.Kind), p.Grants)
}

// NewPolicies returns the granted policies, each once, of which NewEvidence accepts what is said only from two answers
// (Observation.PoliciesAgain): the last evidence did not show them, or by another name, of somebody else, or with other
// limits. Identity policies are none of them: their plane describes them, and is then read a second time.
func (l Last) NewPolicies(planes []Plane) []Policy {
	if !l.Known && !l.All {
		return nil
	}
	var found []Policy
	var seen map[Policy]bool
	for _, p := range planes {
		if p.Kind == Identity || !l.All && slices.Equal(p.Grants, l.grants(p.Kind)) {
			continue // nearly always
		}
		if seen == nil {
			seen = make(map[Policy]bool)
			for i := range l.Planes {
				if l.All || l.Planes[i].Kind == Identity {
					continue
				}
				for _, g := range l.Planes[i].Grants {
					seen[g.Policy] = true
				}
			}
		}
		for _, g := range p.Grants {
			if !seen[g.Policy] {
				seen[g.Policy] = true
				found = append(found, g.Policy)
			}
		}
	}
	return found
}

// read says whether the last evidence read the plane.
func (l Last) read(kind ScopeKind) bool {
	return slices.ContainsFunc(l.Planes, func(p Plane) bool { return p.Kind == kind && p.State == PlaneRead })
}

func (l Last) grants(kind ScopeKind) []Grant {
	for i := range l.Planes {
		if l.Planes[i].Kind == kind {
			return l.Planes[i].Grants
		}
	}
	return nil
}

// same says whether two records of an agency say the same of all that is judged.
func (a Agency) same(b Agency) bool {
	return a.ID == b.ID && a.Trust == b.Trust && a.ExpiresAt.Equal(b.ExpiresAt)
}

// sameGrants says whether two readings of one plane show the same grants, in any order, each of them once. Policies are
// compared by their ids, since nothing else is known of them before they are looked up; identity policies, which their
// plane describes, by all that it says.
func sameGrants(a, b []Grant) bool {
	if len(a) != len(b) {
		return false
	}
	type key struct {
		policy Policy
		scope  string
	}
	keyOf := func(g Grant) key {
		if g.Scope.Kind == Identity {
			return key{g.Policy, g.Scope.ID}
		}
		return key{Policy{ID: g.Policy.ID}, g.Scope.ID}
	}
	if slices.EqualFunc(a, b, func(g, h Grant) bool { return keyOf(g) == keyOf(h) }) {
		return true // nearly always
	}
	seen := make(map[key]bool, len(a))
	for _, g := range a {
		seen[keyOf(g)] = true
	}
	for _, g := range b {
		if !seen[keyOf(g)] {
			return false
		}
		delete(seen, keyOf(g))
	}
	return true
}

// confirm says what the second listing lacks to confirm the agency.
func (o Observation) confirm(found Agency) *Unknown {
	if !o.ListedTwice {
		return unknown(ReasonIncomplete, "the agency %q is new or differs from the last evidence, by one witness", found.Name)
	}
	n := 0
	for _, a := range o.ListedAgain {
		switch {
		case a.Name != o.AgencyName:
		case !a.same(found):
			return unknown(ReasonDisagree,
				"the agency %q is another one in the second answer, or trusts another account, or ends at another time", found.Name)
		default:
			n++
		}
	}
	if n != 1 {
		return unknown(ReasonDisagree, "the agency %q is listed %d times in the second answer", found.Name, n)
	}
	return nil
}

// confirmPolicies says which of the policies the second answers do not confirm.
func (o Observation) confirmPolicies(policies []Policy) *Unknown {
	for _, p := range policies {
		confirmed := false
		for _, again := range o.PoliciesAgain {
			if again.ID != p.ID {
				continue
			}
			if confirmed = again == p; !confirmed {
				return unknown(ReasonDisagree, "two answers do not say the same of the policy %s", p.ID)
			}
		}
		if !confirmed {
			return unknown(ReasonIncomplete, "the policy %s is new or differs from the last evidence, by one witness", p.ID)
		}
	}
	return nil
}

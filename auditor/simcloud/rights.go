package simcloud

import (
	"slices"
	"strings"
)

// rights returns the operations that the key allows, and the agencies that it may assume where that is limited. A user has
// what its policies and actions allow. A temporary key has what its agency holds at this moment for the whole account: all
// that is simulated here are global services, to which grants in single projects and enterprise projects give no right.
func (k *accessKey) rights() (operationSet, []assumption) {
	if k.user != nil {
		return k.user.allows, k.user.assumes
	}
	g := findAgency(k.account.truth(), k.session.agency)
	if g == nil { // deleted since the request was let in
		return 0, nil
	}
	var allows operationSet
	var assumes []assumption
	for _, y := range g.grants {
		if y.scope == global || y.scope == allResources {
			allows |= y.policy.allows
			assumes = append(assumes, y.policy.assumes...)
		}
	}
	for _, y := range g.attached {
		allows |= y.policy.allows
		assumes = append(assumes, y.policy.assumes...)
	}
	for i := range assumes {
		assumes[i].ways &= k.session.allows
	}
	return allows & k.session.allows, assumes
}

// allowed says whether the key allows what is asked for. A right to assume some agencies passes here; which ones is
// for the operation to find out.
func (x *call) allowed() bool {
	allows, assumes := x.key.rights()
	return x.anywhere(allows) ||
		slices.ContainsFunc(assumes, func(y assumption) bool { return y.ways.has(x.op.index) })
}

// anywhere says whether the rights allow what is asked for, no matter with what it is done. Whether the right to assume
// by IAM v3 is one to assume by STS is not known: a switch decides.
func (x *call) anywhere(allows operationSet) bool {
	return allows.has(x.op.index) ||
		x.op.name == assumeBySTS && x.s.Switches.AgentOperator == "sts" && allows&x.c.assuming != 0
}

// actor names who asks, for the journal.
func (k *accessKey) actor() string {
	if k.user != nil {
		return "user/" + k.user.Name
	}
	return "agency/" + k.session.agencyName + "/" + k.session.name
}

// own refuses a domain_id that is not the key's account: keys act in their own account only, and whether the other
// one exists is not said.
func (x *call) own(domainID string) *answer {
	if domainID == x.account.id {
		return nil
	}
	a := x.denied()
	return &a
}

// ownQuery is own for the parameter domain_id, which may be required.
func (x *call) ownQuery(required bool) *answer {
	id, given := x.get("domain_id")
	if !given {
		if !required {
			return nil
		}
		a := x.badRequest("Invalid input: domain_id is required")
		return &a
	}
	return x.own(id)
}

// mayAssume says whether the key may assume this one agency of the account.
func (x *call) mayAssume(target *account, g *agency) bool {
	allows, assumes := x.key.rights()
	if x.anywhere(allows) {
		return true
	}
	return slices.ContainsFunc(assumes, func(y assumption) bool {
		return y.ways.has(x.op.index) &&
			(matchWildcard(y.path, "/iam/agencies/"+g.id) || matchWildcard(y.path, agencyURN(target, g)))
	})
}

// principal is the urn and the id of who the key belongs to, as STS shows them (facts 6.2).
func (k *accessKey) principal() (urn, id string) {
	if k.user != nil {
		return "iam::" + k.account.id + ":user:" + k.user.Name, k.user.ID
	}
	s := k.session
	return "sts::" + k.account.id + "::assumed-agency:" + s.agencyName + "/" + s.name, s.agency + ":" + s.name
}

// admits says whether the agency's trust lets somebody of the account in. A trust agency's condition is looked at by
// whoever has the external id.
func (g *agency) admits(from *account, urn string) bool {
	if g.trustPolicy == nil {
		return g.trust.ID == from.id
	}
	return slices.ContainsFunc(g.trustPolicy.principals, func(p principal) bool {
		switch {
		case p.account != nil:
			return p.account == from
		case p.text == "*":
			return true
		}
		return strings.HasPrefix(p.text, "iam::"+from.id+":") && (p.text == urn || p.text == "iam::"+from.id+":root")
	})
}

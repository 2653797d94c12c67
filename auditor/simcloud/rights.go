package simcloud

// rights returns the operations that the key allows, and the paths of the agencies that it may assume where that is
// limited. A user has what its policies and actions allow. A temporary key has what its agency holds at this moment for
// the whole account: all that is simulated here are global services, to which grants in single projects and enterprise
// projects give no right.
func (k *accessKey) rights(x *call) (operationSet, []string) {
	if k.user != nil {
		return k.user.allows, k.user.assumes
	}
	g := findAgency(k.account.truth(), k.session.agency)
	if g == nil { // deleted since the request was let in
		return 0, nil
	}
	var allows operationSet
	var assumes []string
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
	if !k.session.allows.has(x.c.assumeOperation) {
		assumes = nil
	}
	return allows & k.session.allows, assumes
}

// allowed says whether the key allows what is asked for. A right to assume some agencies passes here; which ones is
// for the operation to find out.
func (x *call) allowed() bool {
	allows, assumes := x.key.rights(x)
	return allows.has(x.op.index) || x.op.index == x.c.assumeOperation && len(assumes) > 0
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

package simcloud

import (
	"bytes"
	"net/http"
	"slices"
)

// place is what a request about grants is about: an agency, a scope and, but for lists, a policy.
type place struct {
	agency string
	role   string
	scope  scope
	in     string
}

// onDomain reads the path of the global-service scope.
func (x *call) onDomain() (place, *answer) { return x.inDomain(global) }

// onAll reads the path of the all-resources scope.
func (x *call) onAll() (place, *answer) { return x.inDomain(allResources) }

// inDomain reads the path of these two scopes, whose first part is the account.
func (x *call) inDomain(s scope) (place, *answer) {
	if a := x.own(x.params[0]); a != nil {
		return place{}, a
	}
	return x.place(s, ""), nil
}

// onProject reads the path of the project scope. MOS carries no grants of agencies (facts 4), and a project of another
// account is not found: how the real cloud refuses the two is our inference.
func (x *call) onProject() (place, *answer) {
	id := x.params[0]
	if id == "MOS" || !x.account.hasProject(id) {
		a := x.keystone(http.StatusNotFound, "Could not find project: %s", id)
		return place{}, &a
	}
	return x.place(project, id), nil
}

func (x *call) place(s scope, in string) place {
	p := place{agency: x.params[1], scope: s, in: in}
	if len(x.params) > 2 {
		p.role = x.params[2]
	}
	return p
}

// on makes a handler of what reads the place and what is done there, unless the place is refused.
func on(where func(*call) (place, *answer), do func(*call, place) answer) func(*call) answer {
	return func(x *call) answer {
		p, refused := where(x)
		if refused != nil {
			return *refused
		}
		return do(x, p)
	}
}

// list shows the agency's policies at the place: whole ones for a domain or a project (facts 2.1), and nothing but id,
// name and links for all projects (facts 2.3). There is no paging.
func (x *call) list(p place) answer {
	g := findV3(x.listed(), p.agency)
	if g == nil {
		return x.noAgency(p.agency)
	}
	var b bytes.Buffer
	b.WriteString(`{"roles":[`)
	for _, y := range g.grants {
		if y.scope != p.scope || y.in != p.in {
			continue
		}
		if b.Bytes()[b.Len()-1] != '[' {
			b.WriteByte(',')
		}
		if p.scope == allResources {
			b.Write(x.c.brief(y.policy))
		} else {
			b.Write(x.c.role(y.policy))
		}
	}
	b.WriteByte(']')
	if p.scope == allResources {
		b.WriteString(`,"links":`)
		b.Write(mustJSON(selfLink{x.c.site + x.r.URL.EscapedPath()}))
	}
	b.WriteByte('}')
	return ok(b.Bytes())
}

func (x *call) noRole(id string) answer {
	return x.keystone(http.StatusNotFound, "Could not find role: %s", id)
}

// grantable returns the policy of that id; identity policies are unknown to IAM v3.
func (x *call) grantable(id string) *policy {
	if p := x.c.policyByID(x.account, id); p != nil && !p.identity() {
		return p
	}
	return nil
}

// check answers HEAD: there or not, without a body.
func (x *call) check(p place) answer {
	g := findV3(x.account.truth(), p.agency)
	if g == nil {
		return x.noAgency(p.agency)
	}
	if y := x.grantable(p.role); y == nil || !g.holds(grant{y, p.scope, p.in}) {
		return x.noRole(p.role)
	}
	return noContent()
}

// allow refuses what cannot be granted (facts 2.6): policies of the blacklist and, if the switch says so, policies
// that are not shown at the scope. Status and text of the refusals are our inference.
func (x *call) allow(p *policy, s scope) *answer {
	var a answer
	both := s == project || x.s.Switches.Blacklist == "both"
	if p.InternalName == "te_agency" || both && p.InternalName == "secu_admin" {
		a = x.keystone(http.StatusForbidden, "The role %s cannot be granted to an agency", p.InternalName)
		return &a
	}
	fits := true
	switch s {
	case global:
		fits = p.Type[0] == 'A'
	case project:
		fits = p.Type[1] == 'A'
	}
	if !fits && x.s.Switches.ScopeTypeMismatch != "accept" {
		status := http.StatusBadRequest
		if x.s.Switches.ScopeTypeMismatch == "403" {
			status = http.StatusForbidden
		}
		a = x.keystone(status, "The role %s of type %s cannot be granted at this scope", p.InternalName, p.Type)
		return &a
	}
	return nil
}

// entry is the journal's line for a grant.
func entry(g *agency, y grant, noChange bool) Write {
	return Write{
		AgencyID: g.id, Agency: g.name, PolicyID: y.policy.ID, Policy: y.policy.DisplayName,
		Scope: y.scope.String(), In: y.in, NoChange: noChange,
	}
}

// grantAll grants all items or none, and revokeAll revokes them. They are one write.
func (x *call) grantAll(items []place) *answer {
	return x.each(items, func(g *agency, y grant) (*agency, *answer) {
		if a := x.allow(y.policy, y.scope); a != nil {
			return nil, a
		}
		switch {
		case g.holds(y) && x.s.Switches.RepeatGrant == "409":
			a := x.keystone(http.StatusConflict, "Conflict occurred attempting to store grant: the agency %s has the role %s",
				g.id, y.policy.ID)
			return nil, &a
		case g.holds(y):
			return g, nil
		case len(g.grants) >= maxGrants:
			a := x.keystone(http.StatusForbidden, "The quota of %d permissions of the agency is exceeded", maxGrants)
			return nil, &a
		}
		return g.withGrant(y), nil
	})
}

func (x *call) revokeAll(items []place) *answer {
	return x.each(items, func(g *agency, y grant) (*agency, *answer) {
		switch {
		case g.holds(y):
			return g.withoutGrant(y), nil
		case x.s.Switches.RevokeMissing == "404":
			a := x.noRole(y.policy.ID)
			return nil, &a
		}
		return g, nil
	})
}

// each applies a change to the agency of each item, all of them or none.
func (x *call) each(items []place, do func(*agency, grant) (*agency, *answer)) *answer {
	var entries []Write
	return x.write(func(agencies []*agency) ([]*agency, error) {
		entries = entries[:0]
		for _, it := range items {
			g := findV3(agencies, it.agency)
			if g == nil {
				return nil, refusal{x.noAgency(it.agency)}
			}
			p := x.grantable(it.role)
			if p == nil {
				return nil, refusal{x.noRole(it.role)}
			}
			y := grant{p, it.scope, it.in}
			next, refused := do(g, y)
			if refused != nil {
				return nil, refusal{*refused}
			}
			entries = append(entries, entry(g, y, next == g))
			if next != g {
				agencies = replace(agencies, next)
			}
		}
		return agencies, nil
	}, func() []Write { return entries })
}

func (x *call) grant(p place) answer {
	if a := x.grantAll([]place{p}); a != nil {
		return *a
	}
	return noContent()
}

func (x *call) revoke(p place) answer {
	if a := x.revokeAll([]place{p}); a != nil {
		return *a
	}
	return noContent()
}

// maxEnterpriseItems is how many grants one request may be about (facts 2.4).
const maxEnterpriseItems = 250

// enterpriseItems reads the body of facts 2.4.
func (x *call) enterpriseItems() ([]place, *answer) {
	var body struct {
		RoleAssignments []struct {
			AgencyID            string `json:"agency_id"`
			EnterpriseProjectID string `json:"enterprise_project_id"`
			RoleID              string `json:"role_id"`
		} `json:"role_assignments"`
	}
	if a := x.decode(&body); a != nil {
		return nil, a
	}
	if n := len(body.RoleAssignments); n == 0 || n > maxEnterpriseItems {
		a := x.badRequest("Invalid input: role_assignments has %d entries, must have 1 to %d", n, maxEnterpriseItems)
		return nil, &a
	}
	items := make([]place, 0, len(body.RoleAssignments))
	for _, r := range body.RoleAssignments {
		var a answer
		switch {
		case r.AgencyID == "" || r.EnterpriseProjectID == "" || r.RoleID == "":
			a = x.badRequest("Invalid input: agency_id, enterprise_project_id and role_id are required")
		case !slices.ContainsFunc(x.account.enterprise, func(p Project) bool { return p.ID == r.EnterpriseProjectID }):
			a = x.keystone(http.StatusNotFound, "Could not find enterprise project: %s", r.EnterpriseProjectID)
		default:
			items = append(items, place{r.AgencyID, r.RoleID, enterpriseProject, r.EnterpriseProjectID})
			continue
		}
		return nil, &a
	}
	return items, nil
}

// grantOnEnterpriseProjects answers 200, unlike every other grant (facts 2.4).
func (x *call) grantOnEnterpriseProjects() answer {
	items, a := x.enterpriseItems()
	if a == nil {
		a = x.grantAll(items)
	}
	if a != nil {
		return *a
	}
	return answer{status: http.StatusOK}
}

func (x *call) revokeOnEnterpriseProjects() answer {
	items, a := x.enterpriseItems()
	if a == nil {
		a = x.revokeAll(items)
	}
	if a != nil {
		return *a
	}
	return noContent()
}

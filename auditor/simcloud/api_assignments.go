package simcloud

import (
	"bytes"
	"math"
	"net/http"
	"strconv"
)

// maxAssignments is the most that a page of role-assignments holds.
const maxAssignments = 50

// assignment is one row of role-assignments: ids only (facts 2.5).
type assignment struct {
	subject, subjectID, role, scopeID string
	scope                             scope
}

// encode appends the row. Ids need no escaping: they are checked when they come in.
func (r assignment) encode(b *bytes.Buffer) {
	kind, inherited := "domain", "false"
	switch r.scope {
	case allResources:
		inherited = "true"
	case project:
		kind = "project"
	case enterpriseProject:
		kind = "enterprise_project"
	}
	for _, s := range [...]string{
		`{"`, r.subject, `":{"id":"`, r.subjectID, `"},"role":{"id":"`, r.role, `"},"scope":{"`, kind, `":{"id":"`,
		r.scopeID, `"}},"is_inherited":`, inherited, `}`,
	} {
		b.WriteString(s)
	}
}

// assignmentFilter is what the parameters ask for.
type assignmentFilter struct {
	// subject is user, group or agency; empty is any. The ids are empty for any.
	subject, subjectID, role string
	scope                    scope
	scopeID                  string
}

// oneOf returns the one of the parameters that is given, and refuses more than one of them (facts 2.5).
func (x *call) oneOf(names ...string) (name, value string, refused *answer) {
	for _, n := range names {
		v, given := x.get(n)
		switch {
		case !given:
		case name != "":
			a := x.badRequest("Invalid input: %s and %s exclude each other", name, n)
			return "", "", &a
		case v == "":
			a := x.badRequest("Invalid input: %s is empty", n)
			return "", "", &a
		default:
			name, value = n, v
		}
	}
	return name, value, nil
}

// boolean reads true or false.
func (x *call) boolean(name string, otherwise bool) (bool, *answer) {
	v, given := x.get(name)
	switch {
	case !given:
		return otherwise, nil
	case v == "true":
		return true, nil
	case v == "false":
		return false, nil
	}
	a := x.badRequest("Invalid input: %s is %q, must be true or false", name, v)
	return false, &a
}

// assignmentFilter reads the parameters that choose rows.
func (x *call) assignmentFilter() (assignmentFilter, *answer) {
	var f assignmentFilter
	f.role, _ = x.get("role_id")
	name, value, a := x.oneOf("subject", "subject.user_id", "subject.group_id", "subject.agency_id")
	if a != nil {
		return f, a
	}
	switch name {
	case "subject":
		if value != "user" && value != "group" && value != "agency" {
			bad := x.badRequest("Invalid input: subject is %q, must be user, group or agency", value)
			return f, &bad
		}
		f.subject = value
	case "subject.user_id":
		f.subject, f.subjectID = "user", value
	case "subject.group_id":
		f.subject, f.subjectID = "group", value
	case "subject.agency_id":
		f.subject, f.subjectID = "agency", value
	}
	if name, value, a = x.oneOf("scope", "scope.project_id", "scope.domain_id", "scope.enterprise_projects_id"); a != nil {
		return f, a
	}
	// Without a domain scope the parameter has no effect, but it must be a boolean all the same.
	inherited, a := x.boolean("is_inherited", false)
	if a != nil {
		return f, a
	}
	if _, a := x.boolean("include_group", true); a != nil {
		return f, a
	}
	domain := global
	if inherited {
		domain = allResources
	}
	switch {
	case name == "scope.domain_id":
		f.scope = domain
		return f, x.own(value)
	case name == "scope.project_id":
		f.scope, f.scopeID = project, value
	case name == "scope.enterprise_projects_id":
		f.scope, f.scopeID = enterpriseProject, value
	case name == "scope" && value == "project":
		f.scope = project
	case name == "scope" && value == "enterprise_project":
		f.scope = enterpriseProject
	case name == "scope" && value == "domain", name == "" && x.s.Switches.AssignmentsWithoutScope == "domain":
		f.scope = domain
	case name == "":
		bad := x.badRequest("Invalid input: one of scope, scope.project_id, scope.domain_id and " +
			"scope.enterprise_projects_id is required")
		return f, &bad
	default:
		bad := x.badRequest("Invalid input: scope is %q, must be project, domain or enterprise_project", value)
		return f, &bad
	}
	return f, nil
}

// rows returns what the filter lets through: agencies in their order, then users. A user's policies count as grants on
// all resources: an organization does not say where they hold.
func (x *call) rows(f assignmentFilter) []assignment {
	var out []assignment
	if f.subject == "" || f.subject == "agency" {
		for _, g := range x.listed() {
			if f.subjectID != "" && f.subjectID != g.id {
				continue
			}
			for _, y := range g.grants {
				if y.scope != f.scope || f.scopeID != "" && f.scopeID != y.in || f.role != "" && f.role != y.policy.ID {
					continue
				}
				id := y.in
				if id == "" {
					id = x.account.id
				}
				out = append(out, assignment{"agency", g.id, y.policy.ID, id, y.scope})
			}
		}
	}
	if f.scope != allResources || f.subject != "" && f.subject != "user" {
		return out
	}
	for _, u := range x.account.users {
		if f.subjectID != "" && f.subjectID != u.ID {
			continue
		}
		for _, p := range u.policies {
			if !p.identity() && (f.role == "" || f.role == p.ID) {
				out = append(out, assignment{"user", u.ID, p.ID, x.account.id, allResources})
			}
		}
	}
	return out
}

// listAssignments is facts 2.5.
func (x *call) listAssignments() answer {
	if a := x.ownQuery(true); a != nil {
		return *a
	}
	page, a := x.paging(maxAssignments)
	if a != nil {
		return *a
	}
	f, a := x.assignmentFilter()
	if a != nil {
		return *a
	}
	if f.scope == enterpriseProject && x.account.planes.NoEnterpriseProjects {
		return x.gateway(http.StatusNotFound, "APIGW.0101", notPublished)
	}
	if !page.given && x.s.Switches.AssignmentsUnpaged == "capped" {
		page = paging{size: x.cap(maxAssignments)}
	} else if !page.given {
		page.size = math.MaxInt
	}
	rows := x.rows(f)
	var b bytes.Buffer
	b.WriteString(`{"total_num":`)
	b.WriteString(strconv.Itoa(len(rows)))
	b.WriteString(`,"role_assignments":[`)
	for i, row := range pageOf(page, rows) {
		if i > 0 {
			b.WriteByte(',')
		}
		row.encode(&b)
	}
	b.WriteString(`]}`)
	return ok(b.Bytes())
}

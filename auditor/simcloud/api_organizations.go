package simcloud

import (
	"cmp"
	"net/http"
	"slices"
)

// orgTime is how Organizations writes times (facts 7).
const orgTime = "2006-01-02T15:04:05Z"

// The rows of a page of Organizations (facts 7): at most, and without being asked.
const (
	maxOrgRows     = 2000
	maxContactRows = 200
	defaultOrgRows = 200
)

// orgError is an error of Organizations, which has no request id in its body (facts 7).
func (x *call) orgError(status int, code, message string) answer {
	return answer{status: status, body: mustJSON(struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
	}{code, message})}
}

// noResource is the answer for what is not in the organization. The code is our inference.
func (x *call) noResource(what, id string) answer {
	return x.orgError(http.StatusNotFound, "Organizations.1200", "The "+what+" "+id+" cannot be found")
}

// organized makes a handler of what is done in the caller's organization. Whoever is neither its management account nor
// a delegated administrator is refused with 401 (facts 7), as is an account in no organization: the latter is our
// inference.
func organized(do func(*call, *structure) answer) func(*call) answer {
	return func(x *call) answer {
		s := x.c.structure.Load()
		delegated := x.s.Switches.OrganizationReaders == "delegated"
		switch {
		case s != nil && s.leads(x.account, delegated):
			return do(x, s)
		case delegated:
			return x.orgError(http.StatusUnauthorized, "Organizations.1002", "This operation can be called only from the "+
				"management account of an organization or by a member account that is a delegated administrator for a service.")
		}
		return x.orgError(http.StatusUnauthorized, "Organizations.1001",
			"This operation can be called only from the management account of an organization.")
	}
}

// orgPageInfo is the end of a list of Organizations: at the last page next_marker is null (facts 7), or as a switch says.
func (x *call) orgPageInfo(next string, n int) any {
	type info struct {
		NextMarker   *string `json:"next_marker"`
		CurrentCount int     `json:"current_count"`
	}
	if next == "" {
		switch x.s.Switches.LastMarker {
		case "absent":
			return struct {
				CurrentCount int `json:"current_count"`
			}{n}
		case "null":
			return info{nil, n}
		}
	}
	return info{&next, n}
}

// orgList answers with a page of rows, which are in the order of their ids.
func orgList[T, R any](x *call, key string, most int, rows []T, id func(T) string, show func(T) R) answer {
	page, next, a := markerPage(x, rows, id, most, defaultOrgRows)
	if a != nil {
		return *a
	}
	shown := make([]R, 0, len(page))
	for _, row := range page {
		shown = append(shown, show(row))
	}
	return ok(object{
		{key, mustJSON(shown)}, {"page_info", mustJSON(x.orgPageInfo(next, len(page)))},
	}.encode())
}

// showOrganization may be called from any member account. What an account in no organization is told is our inference.
func (x *call) showOrganization() answer {
	s := x.c.structure.Load()
	if s == nil || s.byID[x.account.id] == nil {
		return x.noResource("organization of the account", x.account.id)
	}
	return ok(mustJSON(map[string]any{"organization": struct {
		ID             string `json:"id"`
		URN            string `json:"urn"`
		ManagementID   string `json:"management_account_id"`
		ManagementName string `json:"management_account_name"`
		CreatedAt      string `json:"created_at"`
	}{s.decl.ID, s.urn("organization", ""), s.management.id, s.management.name(), s.decl.CreatedAt.Format(orgTime)}}))
}

// listRoots shows the one root.
func (x *call) listRoots(s *structure) answer {
	type row struct {
		ID          string     `json:"id"`
		URN         string     `json:"urn"`
		Name        string     `json:"name"`
		PolicyTypes []struct{} `json:"policy_types"`
		CreatedAt   string     `json:"created_at"`
	}
	return orgList(x, "roots", maxOrgRows, []*node{s.root}, nodeID, func(n *node) row {
		return row{n.id, s.urn("root", n.id), n.name, []struct{}{}, s.decl.CreatedAt.Format(orgTime)}
	})
}

func nodeID(n *node) string { return n.id }

// below is the node that parent_id names: the root, or a unit. Without the parameter it is nil.
func (x *call) below(s *structure) (*node, *answer) {
	id, given := x.get("parent_id")
	if !given {
		return nil, nil
	}
	if n := s.nodes[id]; n != nil {
		return n, nil
	}
	a := x.noResource("parent", id)
	return nil, &a
}

// listOrganizationalUnits shows the units directly below a parent, or all of them.
func (x *call) listOrganizationalUnits(s *structure) answer {
	type row struct {
		ID        string `json:"id"`
		URN       string `json:"urn"`
		Name      string `json:"name"`
		CreatedAt string `json:"created_at"`
	}
	parent, a := x.below(s)
	if a != nil {
		return *a
	}
	var units []*node
	if parent != nil {
		units = parent.units
	} else {
		for _, n := range s.nodes {
			if n != s.root {
				units = append(units, n)
			}
		}
		slices.SortFunc(units, func(p, q *node) int { return cmp.Compare(p.id, q.id) })
	}
	return orgList(x, "organizational_units", maxOrgRows, units, nodeID, func(n *node) row {
		return row{n.id, s.urn("ou", n.id), n.name, s.decl.CreatedAt.Format(orgTime)}
	})
}

// memberBody is an account as Organizations shows it (facts 7).
type memberBody struct {
	ID          string  `json:"id"`
	URN         string  `json:"urn"`
	JoinMethod  string  `json:"join_method"`
	Status      string  `json:"status"`
	JoinedAt    string  `json:"joined_at"`
	Name        string  `json:"name"`
	MobilePhone *string `json:"mobile_phone"`
	IntlNumber  *string `json:"intl_number_prefix"`
	Email       *string `json:"email"`
	Description *string `json:"description"`
}

func (s *structure) memberBody(m *participant, contact bool) memberBody {
	b := memberBody{
		ID: m.account.id, URN: s.urn("account", m.account.id), JoinMethod: m.decl.JoinMethod, Status: m.account.status(),
		JoinedAt: m.decl.JoinedAt.UTC().Format(orgTime), Name: m.account.name(),
	}
	if m.decl.Description != "" {
		b.Description = &m.decl.Description
	}
	if contact {
		email := m.account.id + "@example.com"
		b.Email = &email
	}
	return b
}

// contact reads with_register_contact_info, which lowers the limit of a page (facts 7).
func (x *call) contact() (bool, int, *answer) {
	contact, a := x.boolean("with_register_contact_info", false)
	if contact {
		return contact, maxContactRows, a
	}
	return false, maxOrgRows, a
}

// listMembers is ListAccounts: with parent_id the accounts directly below it, else all of them.
func (x *call) listMembers(s *structure) answer {
	contact, most, a := x.contact()
	if a != nil {
		return *a
	}
	parent, a := x.below(s)
	if a != nil {
		return *a
	}
	members := s.members
	if parent != nil {
		members = parent.members
	}
	return orgList(x, "accounts", most, members, func(m *participant) string { return m.account.id },
		func(m *participant) memberBody { return s.memberBody(m, contact) })
}

// showMember is ShowAccount.
func (x *call) showMember(s *structure) answer {
	contact, _, a := x.contact()
	if a != nil {
		return *a
	}
	m := s.byID[x.params[0]]
	if m == nil {
		return x.noResource("account", x.params[0])
	}
	return ok(mustJSON(map[string]any{"account": s.memberBody(m, contact)}))
}

// listEntities shows what is directly below a parent, what is directly above a child, or everything. Both together are
// refused: our inference.
func (x *call) listEntities(s *structure) answer {
	type row struct {
		ID   string `json:"id"`
		Name string `json:"name"`
		Type string `json:"type"`
	}
	parent, a := x.below(s)
	if a != nil {
		return *a
	}
	child, upwards := x.get("child_id")
	rows := []entity{}
	switch {
	case parent != nil && upwards:
		return x.badRequest("Invalid input: parent_id and child_id exclude each other")
	case parent != nil:
		rows = parent.entities()
	case !upwards:
		rows = s.entities()
	case s.byID[child] != nil:
		rows = entitiesOf([]*node{s.byID[child].node}, nil)
	case s.nodes[child] == nil:
		return x.noResource("child", child)
	case s.nodes[child].parent != nil:
		rows = entitiesOf([]*node{s.nodes[child].parent}, nil)
	}
	return orgList(x, "entities", maxOrgRows, rows, func(e entity) string { return e.id },
		func(e entity) row { return row{e.id, e.name(), e.kind} })
}

// listTags is ListTagsForResource, for accounts, units and the root.
func (x *call) listTags(s *structure) answer {
	type row struct {
		Key   string `json:"key"`
		Value string `json:"value"`
	}
	id := x.params[0]
	var tags map[string]string
	switch {
	case s.byID[id] != nil:
		tags = s.byID[id].decl.Tags
	case s.nodes[id] != nil:
		tags = s.nodes[id].tags
	default:
		return x.noResource("resource", id)
	}
	return orgList(x, "tags", maxOrgRows, sortedKeys(tags), func(k string) string { return k },
		func(k string) row { return row{k, tags[k]} })
}

// listDelegates is ListDelegatedAdministrators.
func (x *call) listDelegates(s *structure) answer {
	type row struct {
		EnabledAt  string `json:"delegation_enabled_at"`
		ID         string `json:"account_id"`
		URN        string `json:"account_urn"`
		JoinMethod string `json:"join_method"`
		JoinedAt   string `json:"joined_at"`
		Name       string `json:"account_name"`
	}
	service, byService := x.get("service_principal")
	var rows []delegate
	for _, d := range s.delegates {
		if !byService || len(d.Services) == 0 || slices.Contains(d.Services, service) {
			rows = append(rows, d)
		}
	}
	return orgList(x, "delegated_administrators", maxOrgRows, rows, func(d delegate) string { return d.member.account.id },
		func(d delegate) row {
			b := s.memberBody(d.member, false)
			return row{d.EnabledAt.UTC().Format(orgTime), b.ID, b.URN, b.JoinMethod, b.JoinedAt, b.Name}
		})
}

package simcloud

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// The statuses of accounts that mean something here; any other one is shown as it is (facts 7).
const (
	statusActive    = "active"
	statusSuspended = "suspended"
	statusClosing   = "pending_closure"
)

// How accounts come into an organization.
const (
	joinedInvited = "invited"
	joinedCreated = "created"
)

// structure is the organization of accounts as it is served. It never changes: drift makes another one.
type structure struct {
	decl       Structure
	management *account
	root       *node
	// nodes are the root and the units by id; at are the units by their paths of names.
	nodes map[string]*node
	at    map[string]*node
	// members by the account's id, and in its order.
	members []*participant
	byID    map[string]*participant
	// delegates in the order of the account's id.
	delegates []delegate
	entities  func() []entity
	// tags are the different tags that there are, each once: a hundred thousand accounts have few different ones.
	tags map[string]map[string]string
}

// own returns tags that nobody else changes.
func (s *structure) own(tags map[string]string) map[string]string {
	if len(tags) == 0 {
		return nil
	}
	var key []byte
	for _, k := range sortedKeys(tags) {
		key = append(append(append(append(key, k...), 0), tags[k]...), 0)
	}
	if s.tags[string(key)] == nil {
		s.tags[string(key)] = maps.Clone(tags)
	}
	return s.tags[string(key)]
}

// node is the root or an organizational unit.
type node struct {
	id, name string
	parent   *node // nil for the root
	tags     map[string]string
	// units and members are those directly below, by id.
	units    []*node
	members  []*participant
	entities func() []entity
}

// participant is an account in its place.
type participant struct {
	account *account
	node    *node
	decl    Member
}

// delegate is a delegated administrator.
type delegate struct {
	member *participant
	Delegate
}

// placement is an account with its declared place in the organization, and where that is declared.
type placement struct {
	account *account
	decl    Member
	path    string
}

// foundedAt is when organizations were created that do not say.
func foundedAt() time.Time { return time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC) }

// structure makes the organization of accounts of the declaration.
func (b *builder) structure(org *Organization) {
	var places []placement
	for i := range org.Accounts {
		path := fmt.Sprintf("$.accounts[%d].member", i)
		switch m := org.Accounts[i].Member; {
		case m == nil:
		case org.Structure == nil:
			b.problem(path, "is there although there is no organization; write organization, or delete it")
		default:
			places = append(places, placement{b.d.accounts[i], *m, path})
		}
	}
	if org.Structure == nil {
		return
	}
	s, problems := b.c.newStructure(*org.Structure, places)
	b.problems = append(b.problems, problems...)
	b.c.structure.Store(s)
}

// newStructure checks an organization and puts it together.
func (c *Cloud) newStructure(decl Structure, places []placement) (*structure, Problems) {
	var problems Problems
	problem := func(path, format string, args ...any) {
		problems = append(problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
	const path = "$.organization"
	s := &structure{decl: decl, nodes: map[string]*node{}, at: map[string]*node{}, byID: make(map[string]*participant, len(places))}
	if s.management = c.findAccount(decl.Management); s.management == nil {
		problem(path+".management_account", "names no account: %q; write the name or the id of one", decl.Management)
		return s, problems
	}
	s.decl.Management = s.management.id
	s.decl.ID = cmp.Or(decl.ID, "o-"+deriveID("organization", s.management.id))
	s.decl.RootID = cmp.Or(decl.RootID, "r-"+deriveID("root", s.decl.ID))
	for at, id := range map[string]string{".id": s.decl.ID, ".root_id": s.decl.RootID} {
		if !validID(id) {
			problem(path+at, "is %q; write 1 to 64 letters, digits, hyphens and underscores", id)
		}
	}
	if decl.CreatedAt.IsZero() {
		s.decl.CreatedAt = foundedAt()
	}
	s.decl.CreatedAt = s.decl.CreatedAt.UTC()
	s.tags = map[string]map[string]string{}
	s.root = &node{id: s.decl.RootID, name: "root"}
	s.nodes[s.root.id] = s.root
	s.decl.Units = s.addUnits(s.root, "", decl.Units, path+".organizational_units", problem)
	for _, p := range places {
		s.place(p, problem)
	}
	if s.byID[s.management.id] == nil {
		problem(path+".management_account", "is the account %q, which is no member; give it a member", s.management.name())
	}
	for i, d := range decl.Delegates {
		at := fmt.Sprintf("%s.delegated_administrators[%d]", path, i)
		a := c.findAccount(d.Account)
		switch {
		case a == nil || s.byID[a.id] == nil:
			problem(at+".account", "names no member of the organization: %q; write the name or the id of one", d.Account)
			continue
		case a == s.management:
			problem(at+".account", "is the management account, which needs no delegation; delete it")
			continue
		case slices.ContainsFunc(s.delegates, func(e delegate) bool { return e.member.account == a }):
			problem(at+".account", "is %q, which is one already; delete one of them", d.Account)
			continue
		}
		d.Account, d.Services = a.id, slices.Clone(d.Services)
		if d.EnabledAt.IsZero() {
			d.EnabledAt = s.decl.CreatedAt
		}
		s.delegates = append(s.delegates, delegate{s.byID[a.id], d})
	}
	s.sort()
	return s, problems
}

// addUnits puts units below a node, whose own path is that prefix, and returns them with their ids filled in.
func (s *structure) addUnits(under *node, prefix string, decl []Unit, path string, problem func(string, string, ...any)) []Unit {
	var out []Unit
	for i, u := range decl {
		at := fmt.Sprintf("%s[%d]", path, i)
		if u.Name == "" {
			problem(at+".name", "is missing; write a name")
		}
		u.ID = cmp.Or(u.ID, "ou-"+deriveID("organizational unit", under.id, u.Name))
		n := &node{id: u.ID, name: u.Name, parent: under, tags: s.own(u.Tags)}
		own := prefix + u.Name
		switch {
		case !validID(u.ID):
			problem(at+".id", "is %q; write 1 to 64 letters, digits, hyphens and underscores", u.ID)
		case s.at[own] != nil:
			problem(at+".name", "is %q, as its neighbour is called; give it another name", u.Name)
		case s.nodes[u.ID] != nil:
			problem(at+".id", "is %s, which another one has; give each an id of its own", u.ID)
		}
		s.nodes[u.ID], s.at[own] = n, n
		under.units = append(under.units, n)
		u.Tags = n.tags
		u.Units = s.addUnits(n, own+"/", u.Units, at+".organizational_units", problem)
		out = append(out, u)
	}
	return out
}

// find returns the root, or a unit by its id or its path of names; nil when there is none.
func (s *structure) find(ou string) *node {
	if ou == "" {
		return s.root
	}
	if n := s.nodes[ou]; n != nil {
		return n
	}
	return s.at[ou]
}

// place puts an account into its place.
func (s *structure) place(p placement, problem func(string, string, ...any)) {
	m := &participant{account: p.account, node: s.find(p.decl.OU), decl: p.decl}
	if m.node == nil {
		problem(p.path+".ou", "names no organizational unit: %q; write its id, or the names down to it with / between them",
			p.decl.OU)
		return
	}
	switch d := &m.decl; d.JoinMethod {
	case "":
		d.JoinMethod = joinedInvited
		if p.account == s.management {
			d.JoinMethod = joinedCreated
		}
	case joinedInvited, joinedCreated:
	default:
		problem(p.path+".join_method", "is %q; write one of %s, %s", d.JoinMethod, joinedInvited, joinedCreated)
	}
	m.decl.OU = m.node.id
	if m.node.parent == nil {
		m.decl.OU = ""
	}
	m.decl.Tags = s.own(m.decl.Tags)
	if m.decl.JoinedAt.IsZero() {
		m.decl.JoinedAt = s.decl.CreatedAt
	}
	s.byID[p.account.id] = m
	s.members = append(s.members, m)
	m.node.members = append(m.node.members, m)
}

// sort brings everything into the order of the ids, in which lists show it.
func (s *structure) sort() {
	byID := func(p, q *participant) int { return cmp.Compare(p.account.id, q.account.id) }
	slices.SortFunc(s.members, byID)
	slices.SortFunc(s.delegates, func(p, q delegate) int { return byID(p.member, q.member) })
	for _, n := range s.nodes {
		slices.SortFunc(n.units, func(p, q *node) int { return cmp.Compare(p.id, q.id) })
		slices.SortFunc(n.members, byID)
		n.entities = sync.OnceValue(func() []entity { return entitiesOf(n.units, n.members) })
	}
	s.entities = sync.OnceValue(func() []entity {
		return entitiesOf(slices.Collect(maps.Values(s.nodes)), s.members)
	})
}

// leads says whether the account may read the organization: it rules it, or has been made an administrator.
func (s *structure) leads(a *account, delegated bool) bool {
	return a == s.management ||
		delegated && slices.ContainsFunc(s.delegates, func(d delegate) bool { return d.member.account == a })
}

// placeOf is the declared place of an account; nil when it is no member.
func (s *structure) placeOf(a *account) *Member {
	m := s.byID[a.id]
	if m == nil {
		return nil
	}
	d := m.decl
	d.Tags = maps.Clone(d.Tags)
	return &d
}

// declared is the organization with all ids filled in. It shares nothing with the live one.
func (s *structure) declared() *Structure {
	d := s.decl
	d.Units = cloneUnits(d.Units)
	d.Delegates = nil
	for _, e := range s.delegates {
		e.Services = slices.Clone(e.Services)
		d.Delegates = append(d.Delegates, e.Delegate)
	}
	return &d
}

func cloneUnits(in []Unit) []Unit {
	out := slices.Clone(in)
	for i := range out {
		out[i].Tags, out[i].Units = maps.Clone(out[i].Tags), cloneUnits(out[i].Units)
	}
	return out
}

// places are the members, to make another organization of.
func (s *structure) places() []placement {
	out := make([]placement, 0, len(s.members))
	for _, m := range s.members {
		out = append(out, placement{m.account, m.decl, "$.member"})
	}
	return out
}

// urn is the urn of something in the organization (facts 7 has that of an account; the others follow it).
func (s *structure) urn(kind, id string) string {
	urn := "organizations::" + s.management.id + ":" + kind + ":" + s.decl.ID
	if id == "" {
		return urn
	}
	return urn + "/" + id
}

// entity is one row of ListEntities.
type entity struct {
	id, kind string
	node     *node
	account  *account
}

func (e entity) name() string {
	if e.account != nil {
		return e.account.name()
	}
	return e.node.name
}

// entitiesOf are nodes and members in the order of the ids.
func entitiesOf(nodes []*node, members []*participant) []entity {
	out := make([]entity, 0, len(nodes)+len(members))
	for _, n := range nodes {
		kind := "organizational_unit"
		if n.parent == nil {
			kind = "root"
		}
		out = append(out, entity{id: n.id, kind: kind, node: n})
	}
	for _, m := range members {
		out = append(out, entity{id: m.account.id, kind: "account", account: m.account})
	}
	slices.SortFunc(out, func(p, q entity) int { return strings.Compare(p.id, q.id) })
	return out
}

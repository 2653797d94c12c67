package simcloud

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// builder makes a Cloud of an Organization and collects what is wrong with it.
type builder struct {
	c *Cloud
	// d is the directory in the making.
	d        *directory
	problems Problems
	// keyPaths and idPaths say where a key or an id was first seen.
	keyPaths map[string]string
	idPaths  map[string]string
}

// defaultCreatedAt is when agencies were created that do not say.
func defaultCreatedAt() time.Time { return time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC) }

func (b *builder) problem(path, format string, args ...any) {
	b.problems = append(b.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (b *builder) build(org *Organization) {
	b.keyPaths, b.idPaths = map[string]string{}, map[string]string{}
	c := b.c
	c.indexOperations()
	c.directory.Store(b.d) // nobody else has the cloud yet
	if org.Region == "" {
		b.problem("$.region", "is missing; write the id of a region, ap-southeast-3 for instance")
	}
	c.region = org.Region
	c.site = "https://iam." + org.Region + ".myhuaweicloud.com"
	b.serviceAccounts(org)
	for i := range org.Accounts {
		b.account(&org.Accounts[i], fmt.Sprintf("$.accounts[%d]", i))
	}
	b.instances(org)
	settings, problems := c.settle(org.Settings, "$.settings")
	b.problems = append(b.problems, problems...)
	c.settings.Store(settings)
	b.catalogue(org, settings.Switches)
	for i := range org.Accounts {
		a := b.d.accounts[i]
		path := fmt.Sprintf("$.accounts[%d]", i)
		b.policies(a, org.Accounts[i].Policies, path)
		b.users(a, org.Accounts[i].Users, path)
	}
	for i := range org.Accounts {
		b.outsiders(&org.Accounts[i])
	}
	for i := range org.Accounts {
		b.agencies(b.d.accounts[i], org.Accounts[i].Agencies, fmt.Sprintf("$.accounts[%d]", i))
	}
	b.structure(org)
}

// id checks a declared id, or derives it, and says whether nothing else of its kind has it.
func (b *builder) id(declared, path, kind string, names ...string) string {
	id := declared
	if id == "" {
		id = deriveID(append([]string{kind}, names...)...)
	} else if !validID(id) {
		b.problem(path+".id", "is %q; write 1 to 64 letters, digits, hyphens and underscores", id)
	}
	key := kind + "\x00" + id
	if first, taken := b.idPaths[key]; taken {
		b.problem(path+".id", "is %s, which %s already has; give each an id of its own", id, first)
	}
	b.idPaths[key] = path
	return id
}

func (b *builder) serviceAccounts(org *Organization) {
	for _, name := range sortedKeys(org.ServiceAccounts) {
		path := "$.service_accounts." + name
		id := b.id(org.ServiceAccounts[name], path, "account", name)
		key := strings.ToLower(name)
		if other, taken := b.c.services[key]; taken {
			b.problem(path, "differs from %s in case only; delete one of them", other.Name)
		}
		b.c.services[key] = Trust{ID: id, Name: name}
		b.c.serviceNames[name] = id
	}
}

// account makes the account with everything that needs no other account.
func (b *builder) account(decl *Account, path string) {
	c := b.c
	a := &account{note: decl.Note, planes: decl.Planes}
	a.label.Store(&decl.Name)
	if decl.Name == "" {
		b.problem(path+".name", "is missing; write a name")
	} else if b.d.byName[decl.Name] != nil || c.services[strings.ToLower(decl.Name)].ID != "" {
		b.problem(path+".name", "is %q, as another account is called; give it another name", decl.Name)
	}
	a.id = b.id(decl.ID, path, "account", decl.Name)
	status := cmp.Or(decl.Status, statusActive)
	if !validID(status) {
		b.problem(path+".status", "is %q; write active, suspended, pending_closure, or another word", status)
	}
	a.state.Store(&status)
	a.versions.Store(&[]version{{}})
	builtin := []Project{{Name: c.region}, {ID: "MOS", Name: "MOS"}}
	if c.region == "" { // which has been said
		builtin = builtin[1:]
	}
	a.projects = b.projects(decl.Projects, path+".projects", a.id, "project", builtin...)
	if a.planes.NoEnterpriseProjects {
		if len(decl.EnterpriseProjects) > 0 {
			b.problem(path+".enterprise_projects", "are there although planes.no_enterprise_projects is set; "+
				"delete one of the two")
		}
	} else {
		a.enterprise = b.projects(decl.EnterpriseProjects, path+".enterprise_projects", a.id, "enterprise project",
			Project{ID: "0", Name: "default"})
	}
	b.d.accounts = append(b.d.accounts, a)
	b.d.byID[a.id] = a
	b.d.byName[a.name()] = a
}

// projects adds those that every account has, unless the organization lists them itself.
func (b *builder) projects(decl []Project, path, owner, kind string, builtin ...Project) []Project {
	out := make([]Project, 0, len(decl)+len(builtin))
	names := map[string]bool{}
	ids := map[string]bool{}
	add := func(p Project, at string) {
		if p.Name == "" {
			b.problem(at+".name", "is missing; write a name")
			return
		}
		if names[p.Name] {
			b.problem(at+".name", "is %q, as another %s of the account is called; give it another name", p.Name, kind)
		}
		switch {
		case p.ID == "":
			p.ID = deriveID(kind, owner, p.Name)
		case !validID(p.ID):
			b.problem(at+".id", "is %q; write 1 to 64 letters, digits, hyphens and underscores", p.ID)
		}
		if ids[p.ID] {
			b.problem(at+".id", "is %s, which another %s of the account has; give each an id of its own", p.ID, kind)
		}
		names[p.Name], ids[p.ID] = true, true
		out = append(out, p)
	}
	for _, p := range builtin {
		if !slices.ContainsFunc(decl, func(d Project) bool { return d.Name == p.Name }) {
			add(p, path)
		}
	}
	for i, p := range decl {
		for _, q := range builtin {
			if p.Name == q.Name && p.ID == "" {
				p.ID = q.ID
			}
		}
		add(p, fmt.Sprintf("%s[%d]", path, i))
	}
	return out
}

// catalogue puts the system-defined policies together: those built in, and the organization's own.
func (b *builder) catalogue(org *Organization, s Switches) {
	c := b.c
	all := append(systemPolicies(s), identityPolicies()...)
	at := make(map[string]int, len(all))
	for i, p := range all {
		at[p.ID] = i
	}
	c.declared = clonePolicies(org.SystemPolicies)
	for i, p := range org.SystemPolicies {
		path := fmt.Sprintf("$.system_policies[%d]", i)
		p = b.policy(p, path, "policy")
		c.declared[i].ID = p.ID
		if j, replaces := at[p.ID]; replaces {
			all[j] = p
			continue
		}
		at[p.ID] = len(all)
		all = append(all, p)
	}
	for _, decl := range all {
		p := c.newPolicy(decl, nil)
		c.systemByID[p.ID] = p
		c.systemByName[p.DisplayName] = append(c.systemByName[p.DisplayName], p)
		if !p.identity() && !p.Hidden {
			c.system = append(c.system, p)
		}
	}
}

// policy checks a declared policy and fills in what it leaves out.
func (b *builder) policy(p Policy, path, kind string, owner ...string) Policy {
	p = clonePolicy(p)
	if p.DisplayName == "" {
		b.problem(path+".display_name", "is missing; write a name")
	}
	p.ID = b.id(p.ID, path, kind, append(owner, p.DisplayName)...)
	custom := len(owner) > 0
	types := []string{"AX", "XA", "AA", "XX"}
	if custom {
		types = types[:2]
	}
	if p.Type == "" {
		p.Type = types[0]
	} else if !slices.Contains(types, p.Type) {
		b.problem(path+".type", "is %q; write one of %s", p.Type, strings.Join(types, ", "))
	}
	if p.Version == "" {
		p.Version = "1.1"
	} else if v := p.Version; v != "1.1" && v != "5.0" && (v != "1.0" || custom) {
		b.problem(path+".version", "is %q; write 1.1 for a policy, 5.0 for an identity policy, or, for a system-defined "+
			"one, 1.0 for a role", v)
	}
	if p.Catalog == "" {
		p.Catalog = "BASE"
		if custom {
			p.Catalog = "CUSTOMED"
		}
	}
	if p.InternalName == "" {
		p.InternalName = "system_all_" + p.ID[:min(8, len(p.ID))]
		if custom {
			p.InternalName = "custom_" + p.ID[:min(8, len(p.ID))]
		}
	}
	for i, action := range p.Allow {
		if !validAction(action) {
			b.problem(fmt.Sprintf("%s.allow[%d]", path, i), "is %q; write service:resource:operation or *", action)
		}
	}
	return p
}

// policies makes the account's custom policies.
func (b *builder) policies(a *account, decl []Policy, path string) {
	names := map[string]bool{}
	for i, p := range decl {
		at := fmt.Sprintf("%s.policies[%d]", path, i)
		if names[p.DisplayName] {
			b.problem(at+".display_name", "is %q, as another custom policy of the account is called; "+
				"give it another name", p.DisplayName)
		}
		names[p.DisplayName] = true
		p = b.policy(p, at, "policy", a.id)
		if b.c.systemByID[p.ID] != nil {
			b.problem(at+".id", "is %s, which a system-defined policy has; give it another id", p.ID)
		}
		a.policies = append(a.policies, b.c.newPolicy(p, a))
	}
}

// users makes the account's users with their keys and rights.
func (b *builder) users(a *account, decl []User, path string) {
	names := map[string]bool{}
	for i, d := range decl {
		at := fmt.Sprintf("%s.users[%d]", path, i)
		if d.Name == "" {
			b.problem(at+".name", "is missing; write a name")
		} else if names[d.Name] {
			b.problem(at+".name", "is %q, as another user of the account is called; give it another name", d.Name)
		}
		names[d.Name] = true
		d.ID = b.id(d.ID, at, "user", a.id, d.Name)
		d.Keys, d.Policies, d.Actions = slices.Clone(d.Keys), slices.Clone(d.Policies), slices.Clone(d.Actions)
		u := &user{User: d}
		for j, name := range d.Policies {
			p := b.userPolicy(a, name, fmt.Sprintf("%s.policies[%d]", at, j))
			if p != nil {
				u.policies = append(u.policies, p)
				u.allows |= p.allows
				u.assumes = append(u.assumes, p.assumes...)
			}
		}
		for j, action := range d.Actions {
			if !validAction(action) {
				b.problem(fmt.Sprintf("%s.actions[%d]", at, j), "is %q; write service:resource:operation or *", action)
			}
		}
		u.allows |= b.c.allowed(d.Actions, true, true)
		for j, k := range d.Keys {
			at := fmt.Sprintf("%s.keys[%d]", at, j)
			if !validID(k.Access) {
				b.problem(at+".access", "is none; write 1 to 64 letters, digits, hyphens and underscores")
			} else if first, taken := b.keyPaths[k.Access]; taken {
				b.problem(at+".access", "is %s, which %s already has; make up another one", k.Access, first)
			}
			if k.Secret == "" {
				b.problem(at+".secret", "is missing; write a made-up one")
			}
			b.keyPaths[k.Access] = at
			b.d.keys[k.Access] = &accessKey{access: k.Access, secret: []byte(k.Secret), account: a, user: u}
		}
		a.users = append(a.users, u)
	}
}

// userPolicy resolves a policy of a user: by id, else by display name.
func (b *builder) userPolicy(a *account, name, path string) *policy {
	if p := b.c.policyByID(a, name); p != nil {
		return p
	}
	custom := named(a.policies, name)
	system := b.c.systemNamed(name)
	switch {
	case len(custom) > 0 && len(system) > 0:
		b.problem(path, "names both a system-defined and a custom policy: %q; write the id", name)
	case len(custom) > 0:
		return custom[0]
	case len(system) == 1:
		return system[0]
	case len(system) > 1:
		b.problem(path, "names %d policies: %q; write the id", len(system), name)
	default:
		b.problem(path, "names no policy: %q; write the display name of one, to the byte", name)
	}
	return nil
}

func named(in []*policy, name string) []*policy {
	var out []*policy
	for _, p := range in {
		if p.DisplayName == name {
			out = append(out, p)
		}
	}
	return out
}

// otherName are the two names under which the vendor may have the same policy (facts 3.4).
func otherName(name string) string {
	switch name {
	case "COCServiceAgencyDefaultPolicy":
		return "COCServiceAgencyPolicy"
	case "COCServiceAgencyPolicy":
		return "COCServiceAgencyDefaultPolicy"
	case "RMS ReadOnlyAccess":
		return "Config ReadOnlyAccess"
	case "Config ReadOnlyAccess":
		return "RMS ReadOnlyAccess"
	}
	return ""
}

// systemNamed returns the system-defined policies that an organization means by a display name. A policy that the
// switches have renamed is meant by either of its names, and of two that the switches have made of one the first is.
func (c *Cloud) systemNamed(name string) []*policy {
	found := c.systemByName[name]
	if other := otherName(name); len(found) == 0 && other != "" {
		found = c.systemByName[other]
	}
	if len(found) > 1 && c.settings.Load().Switches.DuplicateDisplayName {
		found = found[:1]
	}
	return found
}

// outsiders learns of the accounts beyond the organization that its trusts name in full.
func (b *builder) outsiders(decl *Account) {
	for _, g := range decl.Agencies {
		if g.Trust.ID != "" && g.Trust.Name != "" && b.d.byID[g.Trust.ID] == nil {
			b.c.outside[g.Trust.ID] = g.Trust.Name
		}
	}
}

func (b *builder) agencies(a *account, decl []Agency, path string) {
	var agencies []*agency
	ids := map[string]bool{}
	for i := range decl {
		at := fmt.Sprintf("%s.agencies[%d]", path, i)
		g, problems := b.c.newAgency(a, &decl[i], at)
		b.problems = append(b.problems, problems...)
		if ids[g.id] {
			b.problem(at+".id", "is %s, which another agency of the account has; agencies of one name need an id each", g.id)
		}
		ids[g.id] = true
		agencies = append(agencies, g)
	}
	a.versions.Store(&[]version{{agencies: agencies}})
}

// newAgency checks a declared agency and resolves the names in it.
func (c *Cloud) newAgency(a *account, decl *Agency, path string) (*agency, Problems) {
	var problems Problems
	problem := func(at, format string, args ...any) {
		problems = append(problems, Problem{Path: path + at, Message: fmt.Sprintf(format, args...)})
	}
	g := &agency{
		id: decl.ID, name: decl.Name, description: decl.Description,
		createdAt: decl.CreatedAt.UTC(), expiresAt: decl.ExpiresAt.UTC(),
	}
	if g.id == "" {
		g.id = deriveID("agency", a.id, g.name)
	} else if !validID(g.id) {
		problem(".id", "is %q; write 1 to 64 letters, digits, hyphens and underscores", g.id)
	}
	if n := len([]rune(g.name)); n == 0 || n > 64 {
		problem(".name", "is %q; write 1 to 64 characters", g.name)
	}
	if g.createdAt.IsZero() {
		g.createdAt = defaultCreatedAt()
	}
	switch {
	case decl.ExpiresIn != 0:
		if !decl.ExpiresAt.IsZero() {
			problem(".expires_in", "is there beside expires_at; delete one of the two")
		}
		// A clock that stands before created_at is no fault of the organization.
		g.expiresAt = c.now().Add(decl.ExpiresIn).Truncate(time.Second)
	case decl.ExpiresAt.IsZero():
		g.expiresAt = time.Time{}
	case !g.expiresAt.After(g.createdAt):
		problem(".expires_at", "is not after created_at (%s); write a later time", g.createdAt.Format(time.RFC3339))
	}
	g = g.validFor(g.createdAt, g.expiresAt)
	switch {
	case decl.TrustPolicy != nil:
		c.trustAgency(g, decl, problem)
	default:
		t, err := c.resolveTrust(decl.Trust)
		if err != nil {
			problem(".trust", "%v", err)
		}
		g.trust = t
	}
	g.maxSession = cmp.Or(decl.MaxSessionDuration, defaultSession)
	if g.maxSession < defaultSession || g.maxSession > longestSession {
		problem(".max_session_duration", "is %d; write %d to %d seconds", g.maxSession, defaultSession, longestSession)
	}
	for i, x := range decl.Grants {
		y, at, err := c.resolveGrant(a, x)
		switch {
		case err != nil:
			problem(fmt.Sprintf(".grants[%d]%s", i, at), "%v", err)
		case g.holds(y):
			problem(fmt.Sprintf(".grants[%d]", i), "repeats a grant of the agency; delete it")
		default:
			g.grants = append(g.grants, y)
		}
	}
	for i, name := range decl.Attached {
		p, err := c.resolveIdentityPolicy(a, name)
		switch {
		case err != nil:
			problem(fmt.Sprintf(".attached[%d]", i), "%v", err)
		case g.has(p):
			problem(fmt.Sprintf(".attached[%d]", i), "repeats an attachment of the agency; delete it")
		default:
			g = g.withPolicy(p, g.createdAt)
		}
	}
	return g, problems
}

// resolveTrust completes a trust. One of its fields is enough for an account that the cloud knows. Both together are
// taken as they are written where the name is a service account's, with another id or in another letter case: an agency
// can show such a trust, and whoever audits it must not be fooled by either.
func (c *Cloud) resolveTrust(t Trust) (trust, error) {
	out := trust{Trust: t}
	s, ok := c.services[strings.ToLower(t.Name)]
	if ok && (t.ID == "" || t.ID == s.ID && t.Name == s.Name) {
		out.ID, out.Name, out.service = s.ID, s.Name, true
		return out, nil
	}
	d := c.directory.Load()
	if a := d.byName[t.Name]; a != nil && (t.ID == "" || t.ID == a.id) {
		out.ID, out.account = a.id, a
		return out, nil
	}
	known, service := c.accountName(t.ID)
	switch {
	case t.ID == "" && t.Name == "":
		return out, fmt.Errorf("is missing; write the name or the id of the trusted account")
	case t.ID == "":
		return out, fmt.Errorf("names %q, which is neither a service account nor an account of the organization; "+
			"give its id as well", t.Name)
	case t.Name != "" && d.byName[t.Name] != nil:
		return out, fmt.Errorf("contradicts itself: the account %q has another id than %s; write one of the two",
			t.Name, t.ID)
	case t.Name != "" && known != "" && known != t.Name && !(service && strings.EqualFold(known, t.Name)):
		return out, fmt.Errorf("contradicts itself: the account %s is called %q, not %q; write one of the two",
			t.ID, known, t.Name)
	case t.Name == "":
		out.Name, out.service, out.account = known, service, d.byID[t.ID]
	}
	return out, nil
}

// accountName returns the name of an account that the cloud knows, in the organization or beyond it, and whether it is
// a service account.
func (c *Cloud) accountName(id string) (name string, service bool) {
	if a := c.directory.Load().byID[id]; a != nil {
		return a.name(), false
	}
	for _, s := range c.services {
		if s.ID == id {
			return s.Name, true
		}
	}
	return c.outside[id], false
}

// validID says whether an id can stand in a path and in an answer as it is.
func validID(id string) bool {
	for _, r := range id {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return false
		}
	}
	return id != "" && len(id) <= 64
}

// resolveGrant finds the policy and the project of a declared grant. The text is where in the grant the error is.
func (c *Cloud) resolveGrant(a *account, x Grant) (grant, string, error) {
	var out grant
	s, ok := parseScope(x.Scope)
	if !ok {
		return out, ".scope", fmt.Errorf("is %q; write one of %s", x.Scope, strings.Join(scopeNames[:], ", "))
	}
	out.scope = s
	p, at, err := c.resolvePolicy(a, x)
	if err != nil {
		return out, at, err
	}
	if p.identity() {
		return out, at, fmt.Errorf("is the identity policy %q, which cannot be granted; put it under attached", p.DisplayName)
	}
	out.policy = p
	switch s {
	case global, allResources:
		if x.In != "" {
			return out, ".in", fmt.Errorf("is %q, but the scope %s is the whole account; leave it out", x.In, s)
		}
	case project:
		found, ok := a.project(x.In)
		switch {
		case !ok:
			return out, ".in", fmt.Errorf("names no project of the account: %q; list it under projects, or name %s",
				x.In, c.region)
		case found.ID == "MOS":
			return out, ".in", fmt.Errorf("is MOS, which carries no grants of agencies; name another project")
		}
		out.in = found.ID
	case enterpriseProject:
		if a.planes.NoEnterpriseProjects {
			return out, ".scope", fmt.Errorf("is enterprise_project, but the account has planes.no_enterprise_projects; " +
				"write another scope")
		}
		found, ok := findProject(a.enterprise, x.In)
		if !ok {
			return out, ".in", fmt.Errorf("names no enterprise project of the account: %q; "+
				"list it under enterprise_projects, or name default", x.In)
		}
		out.in = found.ID
	}
	return out, "", nil
}

func (c *Cloud) resolvePolicy(a *account, x Grant) (*policy, string, error) {
	if x.PolicyID != "" {
		p := c.policyByID(a, x.PolicyID)
		switch {
		case p == nil:
			return nil, ".policy_id", fmt.Errorf("names no policy: %q; write the id of one of the catalogue or of the "+
				"account's own", x.PolicyID)
		case x.Policy != "" && p.DisplayName != x.Policy:
			return nil, ".policy", fmt.Errorf("is %q, but policy_id is the policy %q; write one of them",
				x.Policy, p.DisplayName)
		}
		return p, "", nil
	}
	if x.Policy == "" {
		return nil, ".policy", fmt.Errorf("is missing; write a display name, or policy_id")
	}
	kind, found := "system-defined policy", c.systemNamed(x.Policy)
	if x.Custom {
		kind, found = "custom policy of the account", named(a.policies, x.Policy)
	}
	switch len(found) {
	case 0:
		return nil, ".policy", fmt.Errorf("names no %s: %q; write the display name of one, to the byte", kind, x.Policy)
	case 1:
		return found[0], "", nil
	}
	return nil, ".policy", fmt.Errorf("names %d policies: %q; write policy_id", len(found), x.Policy)
}

// resolveIdentityPolicy finds an identity policy by id or display name.
func (c *Cloud) resolveIdentityPolicy(a *account, name string) (*policy, error) {
	if a.planes.NoIdentity {
		return nil, fmt.Errorf("is there although the account has planes.no_identity; delete one of the two")
	}
	p := c.policyByID(a, name)
	if p == nil {
		var found []*policy
		for _, q := range append(c.systemNamed(name), named(a.policies, name)...) {
			if q.identity() {
				found = append(found, q)
			}
		}
		switch len(found) {
		case 0:
			return nil, fmt.Errorf("names no identity policy: %q; write the display name of one, to the byte", name)
		case 1:
			p = found[0]
		default:
			return nil, fmt.Errorf("names %d identity policies: %q; write the id", len(found), name)
		}
	}
	if !p.identity() {
		return nil, fmt.Errorf("is %q, which is no identity policy (version 5.0); put it under grants", p.DisplayName)
	}
	return p, nil
}

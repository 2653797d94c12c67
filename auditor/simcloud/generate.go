package simcloud

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Generate makes an organization of n accounts (at least one) from a seed: always the same one from the same seed, and
// of the same seed a smaller one is the beginning of a larger one. It is meant for tests and measurements.
//
// About six accounts of ten hold exactly COC's table; the others show every way of drift, odd names among them, as
// often as one would expect to meet it. Account.Note is the name of the account's layout. Every account can be judged:
// it is active, it trusts nobody whose name is hidden, and it can be entered in three ways: through the agency
// AgencyAuditReader, which trusts the first account; unless it has no IAM v5, through the trust agency AuditTrust, which
// wants an external id; and by the key of its own user auditor. The first account is exact, and its user may assume the
// others' agencies, by IAM and by STS, as a server of it may that gets the keys of its agency AuditorServer.
//
// They are an organization: the first account manages it, the others are in units of their teams and stages, and each has
// the tags owner and env.
//
// Accounts of one layout share slices, so that a hundred thousand of them fit into little memory: whoever changes one
// must first copy what is within it.
func Generate(seed uint64, n int) *Organization {
	return generate(seed, n, layouts[:])
}

// GenerateSteady makes an organization like Generate, in which every account holds exactly COC's table.
func GenerateSteady(seed uint64, n int) *Organization {
	return generate(seed, n, layouts[:1])
}

// The names in every generated organization.
const (
	generatedRegion = "ap-southeast-3"
	cocAgency       = "ServiceAgencyForCOC"
	readerAgency    = "AgencyAuditReader"
	cocAccount      = "op_svc_coc"
	cocAccountID    = "c0c00000000000000000000000000001"
	trustedReader   = "AuditTrust"
	externalID      = "sesame-of-the-simulation"
	serverAccount   = "op_svc_ecs"
	serverAccountID = "ec500000000000000000000000000001"
	serverAgency    = "AuditorServer"
	serverPolicy    = "AuditTheOrganization"
)

// generator is what the accounts of one generated organization have in common.
type generator struct {
	seed    uint64
	layouts []layout
	// reader and trusted are the two agencies by which an account is entered.
	reader, trusted Agency
	// extras are the display names of the system-defined policies that the catalogue has once and COC does not need;
	// attachable are those of the identity policies.
	extras     []string
	attachable []string
	// deck has the number of a layout for each of its cards. Accounts are dealt one deck after the other, each shuffled,
	// so that every deck's worth of accounts shows every layout as often as its cards say.
	deck     []int
	shuffled []int
	made     map[variant]*content
}

// variant is one of the different contents that a layout has.
type variant struct{ layout, number int }

// content is what accounts of one variant share.
type content struct {
	planes     Planes
	projects   []Project
	enterprise []Project
	policies   []Policy
	agencies   []Agency
}

func generate(seed uint64, n int, from []layout) *Organization {
	n = max(n, 1)
	g := &generator{seed: seed, layouts: from, made: map[variant]*content{}}
	for i, l := range from {
		g.deck = append(g.deck, slices.Repeat([]int{i}, l.cards)...)
	}
	g.pick()
	org := &Organization{
		Region:          generatedRegion,
		ServiceAccounts: map[string]string{cocAccount: cocAccountID, serverAccount: serverAccountID},
		Accounts:        make([]Account, n),
	}
	first := accountName(0)
	org.Structure = &Structure{Management: first, Units: generatedUnits()}
	org.Instances = []Instance{{Name: "auditor-server", Account: first, Agency: serverAgency}}
	members := map[string]*Member{}
	g.readers(first)
	users, keys := make([]User, n), make([]Key, n)
	// By id: an account may have a custom policy of the same name.
	reads := []string{catalogueID("policy", nameIAMRead, 0)}
	for i := range n {
		l := 0
		if i > 0 {
			l = g.deal(i - 1)
		}
		c := g.share(variant{l, int(mix(seed^mix(uint64(i))) % uint64(from[l].variants))})
		keys[i] = Key{
			Access: fmt.Sprintf("SIMGEN%014d", i),
			Secret: fmt.Sprintf("made-up-%016x%016x", mix(^seed), mix(^uint64(i))),
		}
		users[i] = User{Name: "auditor", Keys: keys[i : i+1 : i+1], Policies: reads}
		if i == 0 {
			users[i].Policies = []string{reads[0], "Agent Operator"}
			users[i].Actions = []string{"sts:agencies:assume", "organizations:*:get", "organizations:*:list"}
		}
		team, stage := accountTeam(i), accountStage(i)
		at := team + "/" + stage
		if i == 0 {
			at = ""
		}
		if members[at] == nil {
			members[at] = &Member{OU: at, JoinMethod: joinedCreated, Tags: map[string]string{"owner": team, "env": stage}}
		}
		org.Accounts[i] = Account{
			ID: fmt.Sprintf("%016x%016x", mix(seed), mix(uint64(i))), Name: accountName(i), Note: from[l].name,
			Member: members[at], Planes: c.planes, Projects: c.projects, EnterpriseProjects: c.enterprise,
			Users: users[i : i+1 : i+1], Policies: c.policies, Agencies: c.agencies,
		}
		if i == 0 {
			org.Accounts[i].serve()
		}
	}
	return org
}

// readers are the two agencies by which the first account enters any other.
func (g *generator) readers(first string) {
	g.reader = Agency{
		Name: readerAgency, Trust: Trust{Name: first}, Grants: []Grant{{Policy: nameIAMRead, Scope: global.String()}},
	}
	g.trusted = Agency{
		Name: trustedReader, TrustPolicy: &TrustPolicy{Principals: []string{first}, ExternalID: externalID},
		Attached: []string{"IAMReadOnlyPolicy"},
	}
}

// serve gives the account an agency by which a server of it can audit the others.
func (a *Account) serve() {
	a.Policies = append(slices.Clone(a.Policies), Policy{
		DisplayName: serverPolicy, Version: versionIdentity, Allow: []string{"iam:*:get*", "iam:*:list*", "iam:agencies:assume",
			"sts:agencies:assume", "organizations:*:get", "organizations:*:list"},
	})
	a.Agencies = append(slices.Clone(a.Agencies), Agency{
		Name: serverAgency, Trust: Trust{Name: serverAccount}, Attached: []string{serverPolicy},
	})
}

// accountName is made of what such names are made of, and of the account's number.
func accountName(i int) string { return fmt.Sprintf("%s-%s-%06d", accountTeam(i), accountStage(i), i) }

var (
	teams  = [...]string{"billing", "checkout", "data", "edge", "games", "iot", "media", "risk", "search", "shop", "tools"}
	stages = [...]string{"prod", "prod", "stage", "test", "dev"}
)

func accountTeam(i int) string  { return teams[i%len(teams)] }
func accountStage(i int) string { return stages[i%len(stages)] }

// generatedUnits are a unit of each team with one of each stage in it.
func generatedUnits() []Unit {
	var out []Unit
	for _, team := range teams {
		u := Unit{Name: team, Tags: map[string]string{"owner": team}}
		for _, stage := range stages[1:] {
			u.Units = append(u.Units, Unit{Name: stage})
		}
		out = append(out, u)
	}
	return out
}

// deal returns the layout of the ith card of endless decks. Cards must be asked for in order.
func (g *generator) deal(i int) int {
	if i%len(g.deck) == 0 {
		g.shuffled = append(g.shuffled[:0], g.deck...)
		r := g.random(1, uint64(i))
		r.Shuffle(len(g.shuffled), func(a, b int) { g.shuffled[a], g.shuffled[b] = g.shuffled[b], g.shuffled[a] })
	}
	return g.shuffled[i%len(g.deck)]
}

// share makes what the variant's accounts share, once.
func (g *generator) share(v variant) *content {
	if c := g.made[v]; c != nil {
		return c
	}
	l := g.layouts[v.layout]
	d := &draft{generator: g, Rand: g.random(2, uint64(v.layout)<<32|uint64(v.number))}
	d.coc = Agency{Name: cocAgency, Trust: Trust{Name: cocAccount}, CreatedAt: d.between(2024, 7, 2026, 6)}
	l.fill(d)
	c := &d.content
	c.agencies = append(c.agencies, g.reader)
	if !c.planes.NoIdentity {
		c.agencies = append(c.agencies, g.trusted)
	}
	if !d.absent {
		c.agencies = append(c.agencies, d.coc)
	}
	c.agencies = append(c.agencies, d.others...)
	g.made[v] = c
	return c
}

// pick chooses the policies that may be granted beyond COC's table.
func (g *generator) pick() {
	bearers := map[string]int{}
	policies := systemPolicies(Switches{})
	for _, p := range policies {
		bearers[p.DisplayName]++
	}
	for _, p := range policies {
		if bearers[p.DisplayName] == 1 && !slices.Contains(tableNames[:], p.DisplayName) {
			g.extras = append(g.extras, p.DisplayName)
		}
	}
	for _, p := range identityPolicies() {
		g.attachable = append(g.attachable, p.DisplayName)
	}
}

// random returns a source of its own for each purpose and number.
func (g *generator) random(purpose, number uint64) *rand.Rand {
	return rand.New(rand.NewPCG(g.seed, mix(purpose)^number))
}

// mix spreads a number over all 64 bits, different numbers to different results (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// draft is one variant in the making.
type draft struct {
	*rand.Rand
	*generator
	content
	coc    Agency
	absent bool
	others []Agency
}

// grant adds a grant to the audited agency, unless it is there.
func (d *draft) grant(policy string, s scope, in string) {
	d.add(Grant{Policy: policy, Scope: s.String(), In: in})
}

func (d *draft) add(g Grant) {
	if !slices.Contains(d.coc.Grants, g) {
		d.coc.Grants = append(d.coc.Grants, g)
	}
}

// custom declares a custom policy and grants it.
func (d *draft) custom(name, allow string, s scope, in string) {
	if !slices.ContainsFunc(d.policies, func(p Policy) bool { return p.DisplayName == name }) {
		d.policies = append(d.policies, Policy{
			DisplayName: name, Type: typeProject, Version: versionPolicy, Allow: []string{allow},
		})
	}
	d.add(Grant{Policy: name, Custom: true, Scope: s.String(), In: in})
}

// attach attaches an identity policy, unless it is there.
func (d *draft) attach(name string) {
	if !slices.Contains(d.coc.Attached, name) {
		d.coc.Attached = append(d.coc.Attached, name)
	}
}

// attachCustom declares a custom identity policy and attaches it.
func (d *draft) attachCustom(name string) {
	if slices.ContainsFunc(d.policies, func(p Policy) bool { return p.DisplayName == name }) {
		return
	}
	d.policies = append(d.policies, Policy{DisplayName: name, Version: versionIdentity, Allow: []string{"obs:*:*"}})
	d.attach(name)
}

// withProjects gives the account so many projects beside the one that every account has.
func (d *draft) withProjects(n int) {
	for len(d.projects) < n {
		d.projects = append(d.projects, Project{Name: fmt.Sprintf("%s_unit%03d", generatedRegion, len(d.projects))})
	}
}

// withEnterpriseProjects gives the account so many enterprise projects beside the one that every account has.
func (d *draft) withEnterpriseProjects(n int) {
	for len(d.enterprise) < n {
		d.enterprise = append(d.enterprise, Project{Name: fmt.Sprintf("cost-centre-%d", len(d.enterprise))})
	}
}

// place is somewhere in the account where a grant of that scope can hold.
func (d *draft) place(s scope) string {
	switch s {
	case project:
		if i := d.IntN(len(d.projects) + 1); i > 0 {
			return d.projects[i-1].Name
		}
		return generatedRegion
	case enterpriseProject:
		if i := d.IntN(len(d.enterprise) + 1); i > 0 {
			return d.enterprise[i-1].Name
		}
		return "default"
	}
	return ""
}

// anyScope is a scope that the account has.
func (d *draft) anyScope() scope {
	if d.planes.NoEnterpriseProjects {
		return scope(d.IntN(int(enterpriseProject)))
	}
	return scope(d.IntN(int(enterpriseProject) + 1))
}

// extra is a system-defined policy that COC does not need.
func (d *draft) extra() string { return one(d, d.extras) }

// between is a moment from the beginning of one month to that of another, to the second.
func (d *draft) between(year int, month time.Month, endYear int, endMonth time.Month) time.Time {
	from := time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(endYear, endMonth, 1, 0, 0, 0, 0, time.UTC)
	return from.Add(time.Duration(d.Int64N(int64(to.Sub(from)/time.Second))) * time.Second)
}

// one is any of them.
func one[T any](d *draft, of []T) T { return of[d.IntN(len(of))] }

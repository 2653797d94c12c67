package simcloud

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Cloud is a running simulation. Its methods may be called from many goroutines at once.
type Cloud struct {
	// Now is the cloud's clock: signatures, expiry, rate limits and delays go by it. Nil is the real clock. It is called
	// from many goroutines, and must be set before the first request; see NewAt for organizations that depend on it.
	Now func() time.Time
	// Log receives what the HTTP servers complain about, failed handshakes for instance. Nil discards it. It must be set
	// before Start.
	Log *slog.Logger

	// region is the site's one region, and site the base of every link in an answer: the name of the real host, so that
	// answers do not depend on where the simulation listens.
	region, site string
	// operations is what the cloud can do; an operation's index is its place here.
	operations []operation
	// routes lead to the operations of the cloud's port, metadataRoutes to the others.
	routes, metadataRoutes *route
	// assuming are the operations that assume an agency.
	assuming operationSet

	// system are the system-defined policies that lists of policies show, in the order of the catalogue.
	system       []*policy
	systemByID   map[string]*policy
	systemByName map[string][]*policy
	declared     []Policy
	rolePages    rolePages

	// directory is replaced whole and never changed; so is structure, which is nil where there is no organization of
	// accounts. Who replaces one of them holds changes.
	changes   sync.Mutex
	directory atomic.Pointer[directory]
	structure atomic.Pointer[structure]
	// services are the service accounts by their name in lower case; outside are accounts beyond the organization that
	// a trust names, by id.
	services     map[string]Trust
	outside      map[string]string
	serviceNames map[string]string
	sessions     sessions
	// instances and pods get the keys of an agency; the names are in the order of the organization.
	instances      []*instance
	pods           map[string]*instance
	podNames       []string
	metadataTokens metadataTokens

	settingsMu sync.Mutex
	settings   atomic.Pointer[settings]
	journal    journal
	// strangers counts the requests whose key is unknown.
	strangers counts
}

// New makes a cloud of a copy of the organization: it derives the ids that are left out and resolves the names of
// policies, trusted accounts and projects. The error is a Problems with every fault of the organization.
func New(org *Organization) (*Cloud, error) { return NewAt(org, nil) }

// NewAt is New with a clock from the beginning, by which Agency.ExpiresIn counts too.
func NewAt(org *Organization, now func() time.Time) (*Cloud, error) {
	b := builder{c: &Cloud{
		Now:          now,
		operations:   operations(),
		systemByID:   map[string]*policy{},
		systemByName: map[string][]*policy{},
		services:     map[string]Trust{},
		serviceNames: map[string]string{},
		outside:      map[string]string{},
	}, d: newDirectory()}
	b.build(org)
	if len(b.problems) > 0 {
		return nil, b.problems
	}
	return b.c, nil
}

// now is the cloud's time, in UTC.
func (c *Cloud) now() time.Time {
	if c.Now != nil {
		return c.Now().UTC()
	}
	return time.Now().UTC()
}

// directory is who is there: the accounts in the order of the organization, and their permanent keys.
type directory struct {
	accounts     []*account
	byID, byName map[string]*account
	keys         map[string]*accessKey
}

func newDirectory() *directory {
	return &directory{byID: map[string]*account{}, byName: map[string]*account{}, keys: map[string]*accessKey{}}
}

// clone is a directory to change.
func (d *directory) clone() *directory {
	return &directory{accounts: slices.Clone(d.accounts), byID: maps.Clone(d.byID), byName: maps.Clone(d.byName),
		keys: maps.Clone(d.keys)}
}

// findAccount returns an account by name or id.
func (c *Cloud) findAccount(name string) *account {
	d := c.directory.Load()
	if a := d.byID[name]; a != nil {
		return a
	}
	return d.byName[name]
}

// policyByID returns the system-defined policy of that id, or the account's own custom one.
func (c *Cloud) policyByID(a *account, id string) *policy {
	if p := c.systemByID[id]; p != nil {
		return p
	}
	for _, p := range a.policies {
		if p.ID == id {
			return p
		}
	}
	return nil
}

// Organization returns a deep copy of the true state, with all ids filled in: every grant has its PolicyID and the
// display name, every trust its id, every project is listed. No read-after-write delay applies. New makes the same
// cloud of it again, but for temporary keys, which are forgotten.
func (c *Cloud) Organization() *Organization {
	out := &Organization{
		Region:          c.region,
		ServiceAccounts: maps.Clone(c.serviceNames),
		Settings:        c.Settings(),
		SystemPolicies:  clonePolicies(c.declared),
	}
	// Both at once: an account that has just come is in both of them.
	c.changes.Lock()
	accounts, s := c.directory.Load().accounts, c.structure.Load()
	c.changes.Unlock()
	out.Accounts = make([]Account, 0, len(accounts))
	for _, a := range accounts {
		v := c.snapshot(a)
		if s != nil {
			v.Member = s.placeOf(a)
		}
		out.Accounts = append(out.Accounts, v)
	}
	if s != nil {
		out.Structure = s.declared()
	}
	for _, i := range c.instances {
		out.Instances = append(out.Instances, i.declared())
	}
	for _, name := range c.podNames {
		i := c.pods[name].declared()
		out.Pods = append(out.Pods, Pod{i.Name, i.Account, i.Agency, c.pods[name].token, i.KeyLifetime})
	}
	return out
}

// Catalogue returns a copy of every system-defined policy that the cloud knows, identity policies and hidden ones
// included: what an oracle needs to name the ids of an Organization.
func (c *Cloud) Catalogue() []Policy {
	out := make([]Policy, 0, len(c.systemByID))
	for _, p := range c.systemByID {
		out = append(out, clonePolicy(p.Policy))
	}
	slices.SortFunc(out, func(a, b Policy) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// identityName is how an organization refers to an identity policy: by display name where that is enough.
func (c *Cloud) identityName(a *account, p *policy) string {
	if found, err := c.resolveIdentityPolicy(a, p.DisplayName); err == nil && found == p {
		return p.DisplayName
	}
	return p.ID
}

func (c *Cloud) snapshot(a *account) Account {
	out := Account{
		ID: a.id, Name: a.name(), Note: a.note, Status: a.status(), Planes: a.planes,
		Projects: slices.Clone(a.projects), EnterpriseProjects: slices.Clone(a.enterprise),
	}
	for _, u := range a.users {
		v := u.User
		v.Keys, v.Policies, v.Actions = slices.Clone(v.Keys), slices.Clone(v.Policies), slices.Clone(v.Actions)
		out.Users = append(out.Users, v)
	}
	for _, p := range a.policies {
		out.Policies = append(out.Policies, clonePolicy(p.Policy))
	}
	for _, g := range a.truth() {
		v := Agency{
			ID: g.id, Name: g.name, Trust: g.trust.shown(), TrustPolicy: g.trustPolicy.declared(), Description: g.description,
			CreatedAt: g.createdAt, ExpiresAt: g.expiresAt, MaxSessionDuration: g.maxSession,
		}
		for _, x := range g.grants {
			v.Grants = append(v.Grants, Grant{
				Policy: x.policy.DisplayName, PolicyID: x.policy.ID, Custom: x.policy.owner != nil,
				Scope: x.scope.String(), In: x.in,
			})
		}
		for _, x := range g.attached {
			v.Attached = append(v.Attached, c.identityName(a, x.policy))
		}
		out.Agencies = append(out.Agencies, v)
	}
	return out
}

func clonePolicy(p Policy) Policy {
	p.Allow, p.Depends, p.Resources = slices.Clone(p.Allow), slices.Clone(p.Depends), slices.Clone(p.Resources)
	return p
}

func clonePolicies(in []Policy) []Policy {
	var out []Policy
	for _, p := range in {
		out = append(out, clonePolicy(p))
	}
	return out
}

// deriveID makes an id of names: 32 hexadecimal digits, the same ones every time.
func deriveID(names ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	return hex.EncodeToString(sum[:16])
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

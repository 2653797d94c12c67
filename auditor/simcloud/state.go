package simcloud

import (
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// account is the live state of one account. What has no lock never changes after New.
type account struct {
	id, note   string
	planes     Planes
	projects   []Project
	enterprise []Project
	users      []*user
	// policies are the custom policies, identity policies among them.
	policies []*policy

	// label and state are the name and the status, which drift may change.
	label, state atomic.Pointer[string]
	// mu is held by whoever changes versions, and while the journal entry of the change is written.
	mu sync.Mutex
	// versions are the states of the account that a list may still have to show, oldest first; the last is the truth.
	// Readers take no lock: a version and everything in it is immutable.
	versions atomic.Pointer[[]version]
	bucket   bucket
	counts   counts
}

// version is the account's agencies from a time on.
type version struct {
	at       time.Time
	agencies []*agency
}

// agency is one version of an agency; it never changes.
type agency struct {
	id, name string
	trust    trust
	// trustPolicy is there for a trust agency, which has no trust.
	trustPolicy *trustPolicy
	// maxSession is how many seconds a session may last that STS begins.
	maxSession  int
	description string
	createdAt   time.Time
	// expiresAt is zero for an agency that is valid for ever; hours is what duration then shows.
	expiresAt time.Time
	hours     int
	grants    []grant
	attached  []attachment
}

// trust is the trusted account. A service account's name is written as a switch says.
type trust struct {
	Trust
	service bool
	// account is the trusted account where it is one of the cloud's and is called what it is called: its name changes with
	// it.
	account *account
}

// shown is the trust with the account's name of now.
func (t trust) shown() Trust {
	if t.account != nil {
		t.Name = t.account.name()
	}
	return t.Trust
}

// grant is one policy at one scope.
type grant struct {
	policy *policy
	scope  scope
	// in is the id of the project or enterprise project.
	in string
}

// attachment is an identity policy that is attached to an agency.
type attachment struct {
	policy *policy
	at     time.Time
}

// scope is where a grant holds.
type scope uint8

const (
	global scope = iota
	allResources
	project
	enterpriseProject
)

var scopeNames = [...]string{"global", "all_resources", "project", "enterprise_project"}

func (s scope) String() string { return scopeNames[s] }

func parseScope(s string) (scope, bool) {
	i := slices.Index(scopeNames[:], s)
	return scope(max(i, 0)), i >= 0
}

// user is a person or a program of the account.
type user struct {
	User
	policies []*policy
	// allows and assumes are the union of what its policies and actions allow.
	allows  operationSet
	assumes []assumption
}

// name and status are those of now.
func (a *account) name() string   { return *a.label.Load() }
func (a *account) status() string { return *a.state.Load() }

// closed says whether the account's keys are refused and nobody can enter it.
func (s *settings) closed(a *account) bool {
	switch a.status() {
	case statusSuspended:
		return true
	case statusClosing:
		return s.Switches.PendingClosure == "closed"
	}
	return false
}

// truth returns the agencies as they are.
func (a *account) truth() []*agency {
	v := *a.versions.Load()
	return v[len(v)-1].agencies
}

// listed returns the agencies as a list shows them that lags behind by the delay.
func (a *account) listed(now time.Time, delay time.Duration) []*agency {
	v := *a.versions.Load()
	i := len(v) - 1
	for i > 0 && now.Before(v[i].at.Add(delay)) {
		i--
	}
	return v[i].agencies
}

// findV3 is findAgency for IAM v3, which knows nothing of trust agencies.
func findV3(agencies []*agency, id string) *agency {
	if g := findAgency(agencies, id); g != nil && g.trustPolicy == nil {
		return g
	}
	return nil
}

func findAgency(agencies []*agency, id string) *agency {
	for _, g := range agencies {
		if g.id == id {
			return g
		}
	}
	return nil
}

// transition is one step from a list of agencies to the next. It must not change what it is given, and returns the same
// list when there is nothing to change.
type transition func([]*agency) ([]*agency, error)

// write applies a client's change. Lists go on showing the older versions for as long as keep says. The callback runs
// while no other change can come in between, with whether anything changed.
func (a *account) write(now time.Time, keep time.Duration, do transition, done func(changed bool)) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	versions := *a.versions.Load()
	was := versions[len(versions)-1].agencies
	is, err := do(was)
	if err != nil {
		return err
	}
	changed := !slices.Equal(was, is)
	if changed {
		// Everything before the newest version that every list shows already is of no use any more.
		first := len(versions) - 1
		for first > 0 && now.Before(versions[first].at.Add(keep)) {
			first--
		}
		next := append(slices.Clone(versions[first:]), version{at: now, agencies: is})
		if keep <= 0 {
			next = next[len(next)-1:]
		}
		a.versions.Store(&next)
	}
	done(changed)
	return nil
}

// drift applies a change of the truth that is visible at once: it is made to every version that a list may still show,
// as far as it makes sense there.
func (a *account) drift(do transition) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	versions := slices.Clone(*a.versions.Load())
	for i := len(versions) - 1; i >= 0; i-- {
		is, err := do(versions[i].agencies)
		if err != nil && i == len(versions)-1 {
			return err
		}
		if err == nil {
			versions[i].agencies = is
		}
	}
	a.versions.Store(&versions)
	return nil
}

// replace returns the agencies with one of them replaced by a new version of it.
func replace(agencies []*agency, next *agency) []*agency {
	out := slices.Clone(agencies)
	for i := range out {
		if out[i].id == next.id {
			out[i] = next
		}
	}
	return out
}

// without returns the agencies without one of them.
func without(agencies []*agency, id string) []*agency {
	return slices.DeleteFunc(slices.Clone(agencies), func(g *agency) bool { return g.id == id })
}

// holds says whether the agency has exactly this grant.
func (g *agency) holds(x grant) bool { return slices.Contains(g.grants, x) }

// withGrant returns the agency with one more grant.
func (g *agency) withGrant(x grant) *agency {
	n := *g
	n.grants = append(slices.Clone(g.grants), x)
	return &n
}

// withoutGrant returns the agency without the grant.
func (g *agency) withoutGrant(x grant) *agency {
	n := *g
	n.grants = slices.DeleteFunc(slices.Clone(g.grants), func(y grant) bool { return x == y })
	return &n
}

// has says whether the identity policy is attached.
func (g *agency) has(p *policy) bool {
	return slices.ContainsFunc(g.attached, func(x attachment) bool { return x.policy == p })
}

// withPolicy returns the agency with one more identity policy.
func (g *agency) withPolicy(p *policy, at time.Time) *agency {
	n := *g
	n.attached = append(slices.Clone(g.attached), attachment{policy: p, at: at})
	slices.SortFunc(n.attached, func(x, y attachment) int { return strings.Compare(x.policy.ID, y.policy.ID) })
	return &n
}

// withoutPolicy returns the agency without the identity policy.
func (g *agency) withoutPolicy(p *policy) *agency {
	n := *g
	n.attached = slices.DeleteFunc(slices.Clone(g.attached), func(x attachment) bool { return x.policy == p })
	return &n
}

// expired says whether the agency's validity has ended.
func (g *agency) expired(now time.Time) bool {
	return !g.expiresAt.IsZero() && !now.Before(g.expiresAt)
}

// validFor returns the agency with its validity from begin to end; a zero end is for ever.
func (g *agency) validFor(begin, end time.Time) *agency {
	n := *g
	n.expiresAt, n.hours = end, 0
	if !end.IsZero() {
		n.hours = max(1, int(math.Round(end.Sub(begin).Hours())))
	}
	return &n
}

// project returns a project of the account by name or id.
func (a *account) project(name string) (Project, bool) { return findProject(a.projects, name) }

func findProject(in []Project, name string) (Project, bool) {
	for _, p := range in {
		if p.ID == name {
			return p, true
		}
	}
	for _, p := range in {
		if p.Name == name {
			return p, true
		}
	}
	return Project{}, false
}

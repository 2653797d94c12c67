package huawei_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// A world is one organization and everything that happens to it while it is audited several times: what its accounts hold
// and when that changes, how its cloud behaves where the documentation is silent, and which answers are spoilt. All of it
// follows from the seed. It shares nothing with the simulated cloud, so that the two can be wrong in different ways.
type world struct {
	seed     uint64
	mode     mode
	baseline rules.Baseline
	members  []*member
	// site is the vendor's catalogue as it changes over time, the first version from the beginning on.
	site []edition
	// catalogueCap cuts the pages of the catalogue; zero does not.
	catalogueCap int
	// goneIsEmpty answers about an agency that does not exist with an empty list rather than with 404.
	goneIsEmpty bool
	// lag is how far behind some of the cloud's replicas are; zero is none.
	lag time.Duration

	runs              int
	interval, maxAge  time.Duration
	catalogueAge      time.Duration
	session           time.Duration
	concurrency       int
	rate              huawei.Rate
	budget            int  // of requests in one sweep
	sdk               bool // the SDK instead of the light client
	mainFaults        []*trouble
	inventoryFailures map[int]bool // runs whose inventory cannot be had
	vanished          map[int]int  // run → member that its inventory lacks
	order             []int        // in which the inventory lists the members; nil is theirs
}

// mode says what may happen in a world.
type mode int

const (
	still  mode = iota // nothing changes while an account is read, and no answer is spoilt
	moving             // accounts change while they are read
	faulty             // answers are spoilt
	wild               // both, with replicas that are behind
	modes
)

var modeNames = [modes]string{"still", "moving", "faulty", "wild"}

func (w *world) moves() bool  { return w.mode == moving || w.mode == wild }
func (w *world) spoils() bool { return w.mode == faulty || w.mode == wild }

// edition is the vendor's catalogue from an instant on.
type edition struct {
	at       time.Time
	policies []vendorPolicy
}

// vendorPolicy is a system-defined policy. A hidden one can be granted and is in no list.
type vendorPolicy struct {
	id, name          string
	unbounded, hidden bool
}

// member is one account of the organization.
type member struct {
	n       int
	account rules.Account
	// own says that the account is entered with its own key rather than by an agency.
	own     bool
	history []moment
	habits  habits
	faults  []*trouble
	// projects and enterprise are the ids of its projects.
	projects, enterprise []string
}

// moment is the account's state from an instant on.
type moment struct {
	at time.Time
	*state
}

// state is what an account holds. It is never changed: whoever changes the account makes another one.
type state struct {
	agencies []*agencyRecord
	custom   []customPolicy
}

// agencyRecord is one agency with what it is granted: rows of the four v3 planes in the order of rules.Planes, and the
// identity policies attached to it.
type agencyRecord struct {
	id, name           string
	trustID, trustName string
	created, ends      time.Time // ends is zero for never
	rows               [4][]row
	attached           []attachment
}

// row is a grant of one v3 plane; in is the id of its project, empty on the planes of the account itself.
type row struct{ policy, in string }

// attachment is an identity policy that is attached to an agency.
type attachment struct{ id, name, urn string }

// customPolicy is a policy that the account wrote.
type customPolicy struct {
	id, name  string
	unbounded bool
}

// habits are how the cloud treats one account where the documentation leaves it open.
type habits struct {
	// filter is what the list of agencies makes of a name: exact, substring or ignored.
	filter int
	// caps cut pages short by endpoint; zero does not. ragged ones cut each page to another size.
	agencyCap, rowCap, attachedCap int
	ragged                         bool
	// unpaged lists of agencies ignore the number of the page.
	unpaged bool
	// absent planes do not exist in the account, and their requests are unknown to the gateway.
	noEnterprise, noIdentity bool
	// timeForm is how times are written, duration how one without end is.
	timeForm, duration int
	// silent rows do not say whether they are inherited where nobody asked.
	silent bool
}

const (
	filterExact = iota
	filterSubstring
	filterIgnored
)

const (
	audited  = "ServiceAgencyForCOC"
	entrance = "AgencyAuditReader"
	homeID   = "a0000000000000000000000000000000"
	trustID  = "c0c00000000000000000000000000001"
)

// began is when time begins in a synctest bubble.
var began = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// hexID makes an id of 32 digits that begins with a letter and tells a and b.
func hexID(kind byte, a, b int) string {
	var id [32]byte
	for i := range id {
		id[i] = '0'
	}
	id[0] = kind
	const digits = "0123456789abcdef"
	for i := 31; b > 0; i-- {
		id[i] = digits[b&15]
		b >>= 4
	}
	for i := 15; a > 0; i-- {
		id[i] = digits[a&15]
		a >>= 4
	}
	return string(id[:])
}

// The policies that every site has, by their place in the catalogue.
const (
	vIAM = iota
	vRMS
	vDCS
	vCOC
	vGuest
	vFull
	vECSFull
	vVPCRead
	vSecurity
	vOBS
	vConfig
	vHidden
	vendorCount
)

var vendorNames = [vendorCount]string{
	"IAM ReadOnlyAccess", "RMS ReadOnlyAccess", "DCS UserAccess", "COCServiceAgencyDefaultPolicy", "Tenant Guest", "FullAccess",
	"ECS FullAccess", "VPC ReadOnlyAccess", "Security Administrator", "OBS OperateAccess", "Config ReadOnlyAccess", "Retired Policy",
}

func vendorID(n int) string { return hexID('5', 0, n+1) }

// hostileNames are what somebody may call a policy or an account.
var hostileNames = []string{
	"IAM ReadOnlyAccess", "DCS UserAccess", "RMS ReadOnlyAccess", "COCServiceAgencyDefaultPolicy", "IAM ReadOnlyAccess ", "iam readonlyaccess",
	"IАM ReadOnlyAccess", "Tenant Guest", "harmless", "a\nb", `"} 1`, "{}\\", "<script>alert(1)</script>", "\u202egnp.exe",
	"zero\u200bwidth", "# HELP x", "name} 1\nother 2", "FullAccess", strings.Repeat("x", 300), strings.Repeat("é", 200), "custom", "",
}

// pick chooses one of a list.
func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

func chance(r *rand.Rand, one, in int) bool { return r.IntN(in) < one }

// newWorld makes the world of a seed.
func newWorld(seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 0x5eed))
	w := &world{
		seed: seed, mode: pick(r, still, still, still, moving, moving, faulty, faulty, faulty, faulty, wild),
		runs: pick(r, 2, 2, 2, 2, 2, 3, 3, 4), interval: 15 * time.Minute, maxAge: pick(r, time.Hour, time.Hour, 40*time.Minute, 10*time.Minute),
		catalogueAge: pick(r, 12*time.Hour, 12*time.Hour, 20*time.Minute), session: pick(r, time.Hour, 15*time.Minute, 24*time.Hour),
		concurrency: pick(r, 1, 2, 3, 16), goneIsEmpty: chance(r, 1, 2), sdk: seed%100 == 99,
		inventoryFailures: map[int]bool{}, vanished: map[int]int{},
		rate: pick(r, huawei.Rate{}, huawei.Rate{PerAccount: 8, Total: 200}, huawei.Rate{PerAccount: 3, Total: 20}), budget: pick(r, 1000, 300),
	}
	w.baseline = newBaseline(r)
	if chance(r, 1, 6) {
		w.catalogueCap = 1 + r.IntN(6)
	}
	if w.mode == wild && chance(r, 1, 2) {
		w.lag = pick(r, 50*time.Millisecond, 400*time.Millisecond, 20*time.Minute)
	}
	w.site = []edition{{began, newSite(r, w.baseline)}}
	for n := range pick(r, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 4, 6) {
		w.members = append(w.members, newMember(r, w, n))
	}
	for run := range w.runs {
		if chance(r, 1, 60) {
			w.inventoryFailures[run] = true
		}
		if len(w.members) > 1 && chance(r, 1, 40) {
			w.vanished[run] = r.IntN(len(w.members))
		}
	}
	if w.spoils() {
		for _, m := range w.members {
			newTroubles(r, w, m)
		}
		if chance(r, 1, 25) {
			w.mainFaults = append(w.mainFaults, newTrouble(r, pick(r, kindsOn[epDomains]...), epDomains, r.IntN(w.runs)))
		}
	}
	if seed%shownWorlds == 0 && chance(r, 1, 2) {
		w.members[0].crowd(r)
	}
	w.planDrift(r)
	return w
}

// planDrift decides what changes between the runs and, in worlds that move, during them.
func (w *world) planDrift(r *rand.Rand) {
	for run := range w.runs {
		start := began.Add(time.Duration(run+1) * w.interval)
		if run > 0 {
			for _, m := range w.members {
				if chance(r, 1, 3) {
					m.change(start.Add(-time.Duration(1+r.IntN(int(w.interval/2)))), m.edit(r, w, m.last()))
				}
			}
			if chance(r, 1, 60) { // the vendor renames a policy, perhaps one that the baseline needs
				was := w.site[len(w.site)-1].policies
				is := slices.Clone(was)
				is[r.IntN(len(is))].name = pick(r, "Renamed Access", "VPC ReadOnlyAccess", vendorNames[vRMS])
				w.site = append(w.site, edition{start.Add(-time.Minute), is})
				w.catalogueAge = 10 * time.Minute
			}
		}
		if !w.moves() {
			continue
		}
		for _, m := range w.members {
			var at time.Duration
			for range pick(r, 0, 1, 1, 2) {
				at += time.Duration(1 + r.IntN(int(90*time.Millisecond)*(1+len(w.members)/2)))
				m.change(start.Add(at), m.edit(r, w, m.last()))
			}
		}
	}
}

// newBaseline is Table 1 in most worlds, with a trust that is pinned in some and other variations in few.
func newBaseline(r *rand.Rand) rules.Baseline {
	b := rules.Baseline{
		Name: "coc", Agency: audited, Service: "COC", Trust: rules.Trust{Name: "op_svc_coc"}, WarnBeforeExpiry: 30 * 24 * time.Hour,
		Required: []rules.Requirement{
			{Policy: vendorNames[vIAM], Scope: rules.Global}, {Policy: vendorNames[vRMS], Scope: rules.Global},
			{Policy: vendorNames[vDCS], Scope: rules.AllResources}, {Policy: vendorNames[vCOC], Scope: rules.AllResources},
		},
		Cohorts: []rules.Cohort{{Name: "beta", CreatedBefore: began.AddDate(-1, 0, 0), Missing: vendorNames[vCOC], Says: "beta"}},
		Risks: rules.RiskTable{
			Critical: []string{"FullAccess", "Security Administrator"}, HighSuffixes: []string{"FullAccess", "Administrator"},
			LowSuffixes: []string{"ReadOnlyAccess"}, LowNames: []string{"Tenant Guest"},
		},
	}
	if chance(r, 1, 2) {
		b.Trust.ID = trustID
	}
	if chance(r, 1, 8) {
		b.Required[vRMS].Accepts = []string{vendorNames[vConfig]}
	}
	if chance(r, 1, 12) {
		b.Required = b.Required[:1+r.IntN(3)]
	}
	if chance(r, 1, 12) { // the same policy at both scopes
		b.Required = append(b.Required, rules.Requirement{Policy: vendorNames[vIAM], Scope: rules.AllResources})
	}
	return b
}

// newSite is the vendor's catalogue. It may know a policy of the baseline by two ids, or not at all.
func newSite(r *rand.Rand, b rules.Baseline) []vendorPolicy {
	var site []vendorPolicy
	for n := range vendorCount {
		site = append(site, vendorPolicy{id: vendorID(n), name: vendorNames[n], unbounded: n == vFull, hidden: n == vHidden})
	}
	if chance(r, 1, 6) {
		n := r.IntN(4)
		site = append(site, vendorPolicy{id: hexID('5', 1, n+1), name: vendorNames[n]})
	}
	if chance(r, 1, 25) {
		n := r.IntN(len(b.Required))
		gone := b.Required[n].Policy
		site = slices.DeleteFunc(site, func(p vendorPolicy) bool { return p.name == gone })
	}
	return site
}

func newMember(r *rand.Rand, w *world, n int) *member {
	m := &member{
		n: n, own: chance(r, 1, 2),
		account: rules.Account{ID: hexID('d', n+1, 0), Name: "account-" + string(rune('a'+n)), RequireAgency: chance(r, 2, 3)},
		habits: habits{
			filter: pick(r, filterExact, filterExact, filterSubstring, filterIgnored), noEnterprise: chance(r, 1, 5), noIdentity: chance(r, 1, 5),
			unpaged: chance(r, 1, 10), timeForm: r.IntN(4), duration: r.IntN(2), silent: chance(r, 1, 3), ragged: chance(r, 1, 4),
		},
	}
	if chance(r, 1, 12) {
		m.account.Name = pick(r, hostileNames...)
	}
	if chance(r, 1, 3) {
		m.habits.rowCap, m.habits.attachedCap, m.habits.agencyCap = pick(r, 0, 1, 2, 3), pick(r, 0, 1, 2), pick(r, 0, 1, 2)
	}
	for i := range r.IntN(4) {
		m.projects = append(m.projects, hexID('b', n+1, i+1))
	}
	for i := range r.IntN(3) {
		m.enterprise = append(m.enterprise, pick(r, "0", hexID('e', n+1, i+1)))
	}
	m.enterprise = slices.Compact(m.enterprise)

	s := &state{}
	if !m.own {
		s.agencies = append(s.agencies, &agencyRecord{
			id: hexID('a', n+1, 1), name: entrance, trustID: homeID, trustName: "home", created: began.AddDate(-2, 0, 0),
		})
	}
	if chance(r, 9, 10) {
		a := &agencyRecord{
			id: hexID('a', n+1, 2), name: audited, trustID: trustID, trustName: pick(r, "op_svc_coc", "op_svc_coc", "OP_SVC_COC", "op_svc_COC"),
			created: began.AddDate(pick(r, -2, 0), 0, -1),
		}
		if chance(r, 1, 15) {
			a.trustName = ""
		}
		for i, req := range w.baseline.Required {
			if p := find(w.site[0].policies, req.Policy); p != nil {
				plane := slices.Index(rules.Planes(), w.baseline.Required[i].Scope)
				a.rows[plane] = append(a.rows[plane], row{p.id, ""})
			}
		}
		s.agencies = append(s.agencies, a)
	}
	for range pick(r, 0, 0, 0, 0, 0, 1, 1, 2, 3, 6) {
		s = m.edit(r, w, s)
	}
	r.Shuffle(len(s.agencies), func(i, j int) { s.agencies[i], s.agencies[j] = s.agencies[j], s.agencies[i] })
	m.history = []moment{{began.Add(-24 * time.Hour), s}}
	return m
}

func find(site []vendorPolicy, name string) *vendorPolicy {
	for i := range site {
		if site[i].name == name {
			return &site[i]
		}
	}
	return nil
}

// at is the account's state at an instant.
func (m *member) at(t time.Time) *state {
	for i := len(m.history) - 1; i > 0; i-- {
		if !m.history[i].at.After(t) {
			return m.history[i].state
		}
	}
	return m.history[0].state
}

// between are the account's states in a span of time, both ends included.
func (m *member) between(from, to time.Time) (states []*state) {
	for i := range m.history {
		if i+1 < len(m.history) && m.history[i+1].at.Before(from) {
			continue
		}
		if i > 0 && m.history[i].at.After(to) {
			break
		}
		states = append(states, m.history[i].state)
	}
	return states
}

// change makes the account another one from an instant on.
func (m *member) change(at time.Time, s *state) {
	m.history = append(m.history, moment{at, s})
}

// crowd attaches more identity policies to the agency than an account may have series of.
func (m *member) crowd(r *rand.Rand) {
	first := m.history[0].state
	if list := first.named(audited); len(list) > 0 && !m.habits.noIdentity {
		a := list[0].clone()
		for i := range 60 + r.IntN(60) {
			name := pick(r, hostileNames...)
			a.attached = append(a.attached, attachment{hexID('7', m.n+1, 1<<31+i), name, "iam::" + pick(r, m.account.ID, "system") + ":policy:" + name})
		}
		m.habits.attachedCap = 0
		m.replace(first.with(a))
	}
}

// replace puts another state in the place of the first.
func (m *member) replace(s *state) { m.history[0].state = s }

// last is the latest state, be it of the future.
func (m *member) last() *state { return m.history[len(m.history)-1].state }

// named are the agencies of a name.
func (s *state) named(name string) (list []*agencyRecord) {
	for _, a := range s.agencies {
		if a.name == name {
			list = append(list, a)
		}
	}
	return list
}

func (s *state) agency(id string) *agencyRecord {
	for _, a := range s.agencies {
		if a.id == id {
			return a
		}
	}
	return nil
}

// with is the state with another record in an agency's place.
func (s *state) with(a *agencyRecord) *state {
	next := &state{agencies: slices.Clone(s.agencies), custom: s.custom}
	for i := range next.agencies {
		if next.agencies[i].id == a.id {
			next.agencies[i] = a
		}
	}
	return next
}

func (a *agencyRecord) clone() *agencyRecord {
	c := *a
	for i := range c.rows {
		c.rows[i] = slices.Clone(c.rows[i])
	}
	c.attached = slices.Clone(c.attached)
	return &c
}

// add puts a row on a plane, unless it is there.
func (a *agencyRecord) add(plane int, x row) {
	if !slices.Contains(a.rows[plane], x) {
		a.rows[plane] = append(a.rows[plane], x)
	}
}

// spot is a place on a plane where a grant can sit.
func (m *member) spot(r *rand.Rand, plane int) (in string, ok bool) {
	switch plane {
	case 2:
		if len(m.projects) == 0 {
			return "", false
		}
		return pick(r, m.projects...), true
	case 3:
		if len(m.enterprise) == 0 || m.habits.noEnterprise {
			return "", false
		}
		return pick(r, m.enterprise...), true
	}
	return "", true
}

// edit is one change that somebody makes to an account, harmless or not.
func (m *member) edit(r *rand.Rand, w *world, s *state) *state {
	var a *agencyRecord
	if list := s.named(audited); len(list) > 0 {
		a = list[0].clone()
	}
	fresh := r.IntN(1 << 30)
	kind := r.IntN(20)
	if a == nil && kind < 15 {
		if !chance(r, 1, 3) {
			return s
		}
		kind = 16
	}
	plane := r.IntN(4)
	in, ok := m.spot(r, plane)
	switch kind {
	case 0, 1, 2: // somebody takes a grant away
		var full []int
		for i := range a.rows {
			if len(a.rows[i]) > 0 {
				full = append(full, i)
			}
		}
		if len(full) == 0 {
			return s
		}
		p := pick(r, full...)
		a.rows[p] = slices.Delete(a.rows[p], r.IntN(len(a.rows[p])), len(a.rows[p]))
		return s.with(a)
	case 3, 4, 5: // one of the vendor's policies, of the baseline or not, is granted somewhere
		if ok {
			a.add(plane, row{w.site[0].policies[r.IntN(len(w.site[0].policies))].id, in})
		}
		return s.with(a)
	case 6, 7: // a custom policy is granted, perhaps under a name that is not its own
		next := s.with(a)
		p := customPolicy{id: hexID('f', m.n+1, fresh), name: pick(r, hostileNames...), unbounded: chance(r, 1, 4)}
		next.custom = append(slices.Clone(s.custom), p)
		if ok {
			a.add(plane, row{p.id, in})
		}
		return next
	case 8: // an id that nobody can name
		if ok {
			a.add(plane, row{hexID('9', m.n+1, fresh), in})
		}
		return s.with(a)
	case 9: // a grant moves to another scope
		for from := range a.rows {
			if len(a.rows[from]) > 0 && ok && from != plane {
				moved := a.rows[from][0]
				a.rows[from] = a.rows[from][1:]
				a.add(plane, row{moved.policy, in})
				break
			}
		}
		return s.with(a)
	case 10: // identity policies
		if m.habits.noIdentity {
			return s
		}
		if len(a.attached) > 0 && chance(r, 1, 2) {
			a.attached = a.attached[1:]
			return s.with(a)
		}
		name := pick(r, "IAMReadOnlyPolicy", "AdministratorAccess", "IAM ReadOnlyAccess", "mine")
		urn := pick(r, "iam::system:policy:"+name, "iam::"+m.account.ID+":policy:"+name, "iam:::policy:"+name)
		a.attached = append(a.attached, attachment{hexID('7', m.n+1, fresh), name, urn})
		return s.with(a)
	case 11: // trust
		a.trustID, a.trustName = pick(r, trustID, hexID('c', 7, 7)), pick(r, "op_svc_coc", "op_svc_coc2", "op_svc_сoc", "evil", "")
		return s.with(a)
	case 12: // validity
		a.ends = pick(r, time.Time{}, began.Add(-time.Hour), began.Add(20*time.Minute), began.AddDate(0, 0, 10), began.AddDate(3, 0, 0))
		return s.with(a)
	case 13: // many grants, so that there are several pages
		for range 3 + r.IntN(5) {
			if in, ok := m.spot(r, plane); ok {
				a.add(plane, row{w.site[0].policies[r.IntN(len(w.site[0].policies))].id, in})
			}
		}
		return s.with(a)
	case 14: // the agency is deleted, or deleted and made anew with what it had
		next := &state{custom: s.custom}
		for _, x := range s.agencies {
			if x.id != a.id {
				next.agencies = append(next.agencies, x)
			}
		}
		if chance(r, 1, 2) {
			a.id = hexID('a', m.n+1, fresh)
			next.agencies = append(next.agencies, a)
		}
		return next
	case 15: // a custom policy is renamed or allows something else
		if len(s.custom) == 0 {
			return s
		}
		next := &state{agencies: s.agencies, custom: slices.Clone(s.custom)}
		i := r.IntN(len(next.custom))
		next.custom[i].name, next.custom[i].unbounded = pick(r, hostileNames...), chance(r, 1, 4)
		return next
	case 16: // the agency is made, with little in it
		if a != nil {
			return s
		}
		made := &agencyRecord{
			id: hexID('a', m.n+1, fresh), name: audited, trustID: trustID, trustName: "op_svc_coc", created: began,
			rows: [4][]row{{{vendorID(vIAM), ""}}},
		}
		return &state{agencies: append(slices.Clone(s.agencies), made), custom: s.custom}
	case 17: // one that looks like it is made, with everything in it
		like := &agencyRecord{
			id:      hexID('a', m.n+1, fresh),
			name:    pick(r, audited+" ", audited+"2", strings.ToLower(audited), "x"+audited, "ServiceAgencyForCОC", "ServiceAgency", "\u202e"+audited),
			trustID: hexID('c', 6, 6), trustName: "evil", created: began,
		}
		for i := range w.baseline.Required {
			if p := find(w.site[0].policies, w.baseline.Required[i].Policy); p != nil {
				plane := slices.Index(rules.Planes(), w.baseline.Required[i].Scope)
				like.add(plane, row{p.id, ""})
			}
		}
		return &state{agencies: append([]*agencyRecord{like}, s.agencies...), custom: s.custom}
	case 18: // other agencies, so that their list has pages
		next := &state{agencies: slices.Clone(s.agencies), custom: s.custom}
		for i := range 1 + r.IntN(3) {
			next.agencies = append(next.agencies, &agencyRecord{
				id: hexID('a', m.n+1, fresh+i+1), name: pick(r, "ops", "backup", "ServiceAgencyForRDS") + hexID('n', 0, fresh+i)[28:],
				trustID: hexID('c', 5, i), trustName: "some", created: began,
			})
		}
		return next
	}
	// rarely what the cloud says cannot be: two agencies of one name
	if a != nil && chance(r, 1, 6) {
		twin := a.clone()
		twin.id = hexID('a', m.n+1, fresh)
		return &state{agencies: append(slices.Clone(s.agencies), twin), custom: s.custom}
	}
	return s
}

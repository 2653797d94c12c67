package huawei_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// check holds one run, and the snapshot after it, against the world. What it finds wrong begins with the invariant.
func (g *game) check(run *auditor.Run, before, after *auditor.Snapshot) {
	votes := map[string]int{}
	sum := 0
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		if run.Sweeps[i].HasEvidence() && r.Agency != nil && sameName(r.Agency.Trust.Name, g.w.baseline.Trust.Name) {
			votes[r.Agency.Trust.ID]++
		}
	}
	for _, n := range run.States {
		sum += n
	}
	if sum != len(run.Sweeps) {
		g.broken("M2: the states of the run sum to %d, of %d accounts", sum, len(run.Sweeps))
	}
	known := map[string]*auditor.Sweep{}
	for i := range before.Standings {
		known[before.Standings[i].Account.ID] = before.Standings[i].Evidence
	}
	for i := range run.Sweeps {
		s := &run.Sweeps[i]
		g.checkSweep(run, s, known[s.Report.Account.ID], votes)
	}
	g.noteRefusals()
	g.checkCatalogue(run)
	if len(run.Suspect) > 0 {
		g.tally.count("suspect run")
	}
	for i := range after.Standings {
		g.checkStanding(&before.Standings[i], &after.Standings[i])
	}
	g.scrape(after)
}

// checkCatalogue holds what one account read for all against what the vendor has, then or before.
func (g *game) checkCatalogue(run *auditor.Run) {
	for _, b := range g.sky.books {
		g.catalogueLied = g.catalogueLied || b.told(epCatalogue, func(*lie) bool { return true }) > 0
	}
	if g.names == nil || g.catalogueLied {
		return
	}
	for _, e := range g.siteBetween(time.Time{}, run.EndedAt) {
		right := true
		for name, ids := range g.names {
			var is []string
			for _, p := range e.policies {
				if p.name == name && !p.hidden {
					is = append(is, p.id)
				}
			}
			slices.Sort(is)
			right = right && slices.Equal(is, ids)
		}
		if right {
			return
		}
	}
	g.broken("S7: run %d: the catalogue never was so: %v", g.run, g.names)
}

// reading is one sweep with what there is to hold it against.
type reading struct {
	*game
	*auditor.Sweep
	who string
	m   *member
	b   *book
	// states are those of the account while it was read, before is the last evidence until then; nil when there is none.
	states []*state
	before *auditor.Sweep
}

func (g *game) checkSweep(run *auditor.Run, s, before *auditor.Sweep, votes map[string]int) {
	m := g.sky.member(s.Report.Account.ID)
	b := g.sky.books[m.n]
	who := fmt.Sprintf("run %d, %q", g.run, m.account.Name)
	states := m.between(s.StartedAt.Add(-g.w.lag), s.EndedAt)
	r := &s.Report
	g.tally.count("state " + string(r.State))
	if r.Unknown != nil {
		g.tally.count("reason " + string(r.Unknown.Reason))
		if !slices.Contains(rules.Reasons(), r.Unknown.Reason) {
			g.broken("S3: %s: the reason %q is not in the list", who, r.Unknown.Reason)
		}
		if r.Unknown.Reason == rules.ReasonPanic && !slices.Contains(b.touched, "panic") &&
			!slices.Contains(g.sky.home.touched, "panic") {
			g.broken("S3: %s: a panic that nobody provoked: %s", who, r.Unknown.Detail)
		}
	}
	// A reading whose keys end begins anew, once; and the account has to be entered.
	if limit := 2*g.w.budget + 10; b.requests > limit {
		g.broken("L4: %s: %d requests, more than %d", who, b.requests, limit)
	}
	if s.Trail.Requests > b.requests {
		g.broken("L4: %s: %d requests reported, %d sent", who, s.Trail.Requests, b.requests)
	}
	if len(states) > 1 && b.requests > 0 {
		g.tally.count("drift while read")
	}
	around := around{now: run.EndedAt, catalogue: g.names, votes: votes}
	told := inWords(r)
	if s.HasEvidence() {
		g.tally.count("evidence")
		(&reading{g, s, who, m, b, states, before}).check()
		if of := judge(&g.w.baseline, reported(s, m), around); !of.equal(told) {
			g.broken("S2: %s: judged otherwise than what was read:\n    auditor: %v %s\n    oracle:  %v", who, told, detail(r), of)
		}
	} else if r.State != rules.StateUnknown {
		g.broken("S1: %s: %s without evidence", who, r.State)
	}
	if len(states) > 1 || b.spoilt || g.sky.home.spoilt || g.refusals() >= 3 || len(g.siteBetween(s.StartedAt, s.EndedAt)) > 1 {
		return
	}
	if m.habits.agencyCap > 0 && len(states[0].named(audited)) > 1 {
		// Names are unique in an account. A cloud that breaks this, and cuts its pages shorter than it is asked to as well, may
		// show one of the two on a page that is not read.
		g.tally.count("twins on two pages")
		return
	}
	if g.leftAlone(m, s.StartedAt) && told.reason == string(rules.ReasonUnauthenticated) {
		g.tally.count("key left alone")
		return
	}
	if told.reason == string(rules.ReasonTimeout) && b.slow() > sweepTime {
		// Nothing but the truth, but so late each time that a long catalogue takes more time than an account has.
		g.tally.count("too slow")
		return
	}
	if !m.own && told.reason == string(rules.ReasonThrottled) && g.unentered() >= mainFailures {
		// The one key that all accounts are entered with was asked for fewer requests so often that it is left alone for a while.
		g.tally.count("main identity throttled")
		return
	}
	// Nothing changed and nothing was spoilt: there is one truth, and it must be known.
	g.tally.count("must be known")
	if want := g.truth(m, states[0], around, s.EndedAt); !want.equal(told) {
		g.broken("S2: %s: the world stood still and nothing was spoilt:\n    auditor: %v %s\n    oracle:  %v", who, told, detail(r), want)
	}
}

// refusedMost is how long a key that was refused is left alone at most, since the cloud locks one that is refused too often.
const refusedMost = 25 * time.Minute

// leftAlone says whether the key that an account is entered with may still be left alone, since it was refused.
func (g *game) leftAlone(m *member, now time.Time) bool {
	at := g.refused[m.account.ID]
	if home := g.refused[homeID]; !m.own && home.After(at) {
		at = home
	}
	return !at.IsZero() && now.Sub(at) <= refusedMost+g.w.interval // until the next run
}

// noteRefusals remembers whose keys were refused in the run.
func (g *game) noteRefusals() {
	is := func(b *book) bool {
		return slices.Contains(b.touched, "status_401") || slices.Contains(b.touched, "key_expired")
	}
	for i, m := range g.w.members {
		if is(g.sky.books[i]) {
			g.refused[m.account.ID] = time.Now()
		}
	}
	if is(g.sky.home) {
		g.refused[homeID] = time.Now()
	}
}

// slow is how long answers that came late took together.
func (b *book) slow() (d time.Duration) {
	for _, kind := range b.touched {
		if kind == "slow" {
			d += lateness
		}
	}
	return d
}

// mainFailures is how many requests of the main identity fail in a row before it is left alone for a while.
const mainFailures = 10

// unentered counts the assumptions of the run that were not answered with the truth.
func (g *game) unentered() (n int) {
	for _, b := range g.sky.books {
		n += b.asked[epAssume] - b.honest[epAssume]
	}
	return n
}

func detail(r *rules.Report) string {
	if r.Unknown == nil {
		return ""
	}
	return "(" + r.Unknown.Detail + ")"
}

// refusals counts the accounts whose assumption was answered with 401 in this run: after three, no more are tried.
func (g *game) refusals() (n int) {
	for _, b := range g.sky.books {
		if slices.Contains(b.touched, "status_401") || slices.Contains(b.touched, "key_expired") {
			n++
		}
	}
	return n
}

// siteBetween are the vendor's catalogues that may be in use in a span of time: one that was read may be used for long.
func (g *game) siteBetween(_, to time.Time) (list []edition) {
	for _, e := range g.w.site {
		if !e.at.After(to) {
			list = append(list, e)
		}
	}
	return list
}

// truth is the oracle's verdict on an account whose every answer is true.
func (g *game) truth(m *member, s *state, a around, at time.Time) verdict {
	if !m.own && (len(s.named(entrance)) == 0 || s.named(entrance)[0].trustID != homeID) {
		return verdict{state: "unknown", reason: "denied"}
	}
	list := s.named(audited)
	switch len(list) {
	case 0:
		return judge(&g.w.baseline, facts{required: m.account.RequireAgency}, a)
	case 1:
	default:
		return verdict{state: "unknown", reason: "ambiguous"}
	}
	x := list[0]
	f := facts{
		required: m.account.RequireAgency, present: true, trustID: x.trustID, trust: x.trustName, created: x.created, ends: x.ends,
	}
	for i, kind := range rules.Planes() {
		ep := epGlobal + endpoint(i)
		for _, row := range held(x, ep, m) {
			g := g.named(s, ep, row, at)
			g.scope = string(kind)
			if ep == epProject || ep == epEnterprise {
				g.in = row.in
			}
			f.grants = append(f.grants, g)
		}
	}
	return judge(&g.w.baseline, f, a)
}

// named is a grant with what there is to know of its policy.
func (g *game) named(s *state, ep endpoint, r item, at time.Time) fact {
	f := fact{id: r.id, name: r.name, origin: "unresolved"}
	if ep == epIdentity {
		f.origin = ownerOfURN(r.urn)
		return f
	}
	for _, p := range g.w.siteAt(at) {
		if p.id == r.id && !p.hidden {
			f.name, f.origin, f.unbounded = p.name, "system", p.unbounded
		}
	}
	for _, p := range s.custom {
		if p.id == r.id {
			f.name, f.origin, f.unbounded = p.name, "custom", p.unbounded
		}
	}
	return f
}

// ownerOfURN tells the vendor's identity policies from those of an account.
func ownerOfURN(urn string) string {
	if strings.HasPrefix(urn, "iam::system:policy:") || strings.HasPrefix(urn, "iam:::policy:") {
		return "system"
	}
	return "custom"
}

// reported are the facts that a sweep says it has read.
func reported(s *auditor.Sweep, m *member) facts {
	f := facts{required: m.account.RequireAgency}
	if a := s.Report.Agency; a != nil {
		f.present, f.trustID, f.trust, f.created, f.ends = true, a.Trust.ID, a.Trust.Name, a.CreatedAt, a.ExpiresAt
	}
	for i := range s.Planes {
		for _, g := range s.Planes[i].Grants {
			f.grants = append(f.grants, fact{
				id: g.Policy.ID, name: g.Policy.Name, origin: string(g.Policy.Origin), unbounded: g.Policy.Unbounded,
				scope: string(g.Scope.Kind), in: g.Scope.ID,
			})
		}
	}
	return f
}

// check holds what was read against what was there while it was read, endpoint by endpoint. Nothing may be in it that was
// never there and nothing may lack that was there all the time, but for a lie that all witnesses told.
func (r *reading) check() {
	if r.b.requests == 0 {
		r.broken("S1: %s: evidence without a single request", r.who)
		return
	}
	if r.StartedAt.After(r.b.first) {
		r.broken("M4: %s: read at %s by its own account, the first request was at %s", r.who, r.StartedAt, r.b.first)
	}
	a := r.Report.Agency
	if !r.heard(epAgencies) {
		r.broken("S1: %s: evidence without a list of agencies", r.who)
	}
	if a == nil {
		r.checkAbsence(epAgencies)
		r.checkAbsence(epAllAgencies)
		return
	}
	r.checkAgency(a)
	if len(r.Planes) != 5 {
		r.broken("S1: %s: evidence of %d planes", r.who, len(r.Planes))
		return
	}
	for i := range r.Planes {
		p := &r.Planes[i]
		ep := epGlobal + endpoint(i)
		if p.Kind != rules.Planes()[i] {
			r.broken("S1: %s: plane %d is %q", r.who, i, p.Kind)
			continue
		}
		if p.State == rules.PlaneAbsent {
			gone := ep == epEnterprise && r.m.habits.noEnterprise || ep == epIdentity && r.m.habits.noIdentity
			if !gone && r.b.told(ep, func(l *lie) bool { return l.kind == "unpublished" }) < 2 {
				r.broken("S3: %s: the plane %q is said not to exist, and it does; trouble: %v", r.who, p.Kind, r.b.touched)
			}
			if r.before != nil && slices.ContainsFunc(r.before.Planes, func(q rules.Plane) bool {
				return q.Kind == p.Kind && q.State == rules.PlaneRead
			}) {
				r.broken("S3: %s: the plane %q is said not to exist, and was read in the last evidence", r.who, p.Kind)
			}
			r.tally.count("absent plane")
			continue
		}
		if p.State != rules.PlaneRead || !r.heard(ep) {
			r.broken("S1: %s: the plane %q is %q, heard: %t", r.who, p.Kind, p.State, r.heard(ep))
			continue
		}
		r.checkPlane(p, ep, a.ID)
		for _, grant := range p.Grants {
			r.checkPolicy(grant, ep, a.ID)
		}
	}
}

// heard says whether an endpoint gave any answer that makes sense.
func (r *reading) heard(ep endpoint) bool {
	return r.b.honest[ep] > 0 || r.b.said[ep] > 0 || r.b.told(ep, func(*lie) bool { return true }) > 0
}

// told counts the lies of an endpoint that are such.
func (b *book) told(ep endpoint, such func(*lie) bool) (n int) {
	for i := range b.lies {
		if b.lies[i].ep == ep && such(&b.lies[i]) {
			n++
		}
	}
	return n
}

// believed counts a lie that was told by all who were asked: nobody can tell it from the truth.
func (r *reading) believed(what string) {
	r.believedOnce = true
	r.tally.count("lie believed: " + what)
}

// checkAbsence holds one of the two lists of agencies against the claim that the agency does not exist.
func (r *reading) checkAbsence(ep endpoint) {
	if !r.heard(ep) {
		r.broken("S1: %s: the agency is said to be absent, and %q was not heard", r.who, endpointNames[ep])
	}
	switch {
	case slices.ContainsFunc(r.states, func(s *state) bool { return len(s.named(audited)) == 0 }):
	case len(r.states) > 1 && r.m.habits.agencyCap > 0:
		// The list has no count. If it changes between two of its pages, or they come from replicas that differ, a row can move
		// from the one that is not read yet to the one that was.
		r.believed("mixture of pages, " + endpointNames[ep])
	case r.b.flips[ep] > 0:
		r.believed("one byte, " + endpointNames[ep])
	case r.b.told(ep, func(l *lie) bool {
		return !slices.ContainsFunc(l.items, func(i item) bool { return i.name == audited })
	}) > 0:
		r.believed(endpointNames[ep])
	default:
		r.broken("S3: %s: the agency is said to be absent, and the answer to %q had it; trouble: %v", r.who, endpointNames[ep], r.b.touched)
	}
}

func (r *reading) checkAgency(a *rules.Agency) {
	same := func(x *agencyRecord) bool {
		return a.ID == x.id && a.Name == x.name && a.Trust == (rules.Trust{ID: x.trustID, Name: x.trustName}) && a.ExpiresAt.Equal(x.ends)
	}
	if slices.ContainsFunc(r.states, func(s *state) bool {
		return slices.ContainsFunc(s.agencies, func(x *agencyRecord) bool { return same(x) && a.CreatedAt.Equal(x.created) })
	}) {
		return
	}
	// It never was so. Where it differs from the last evidence, two answers have to have said so.
	need, differs := 1, false
	if r.before != nil {
		was := r.before.Report.Agency
		differs = was == nil || was.ID != a.ID || was.Trust != a.Trust || !was.ExpiresAt.Equal(a.ExpiresAt)
	}
	if differs {
		need = 2
	}
	lies := r.b.told(epAgencies, func(l *lie) bool {
		return slices.ContainsFunc(l.items, func(i item) bool { return same(i.agency) && a.CreatedAt.Equal(i.agency.created) })
	})
	// When it was made decides nothing but in which words a finding is put, and is asked once.
	butMade := slices.ContainsFunc(r.states, func(s *state) bool { return slices.ContainsFunc(s.agencies, same) })
	switch {
	case lies >= need:
		r.believed("agency")
	case (!differs || butMade) && r.b.flips[epAgencies] > 0:
		r.believed("one byte, agency")
	default:
		r.broken("S4: %s: the agency %+v never was so; trouble: %v", r.who, *a, r.b.touched)
	}
}

// set is what a plane holds: policies and where.
type set map[[2]string]bool

func setOf(items []item, ep endpoint) set {
	out := set{}
	for _, i := range items {
		in := i.in
		if ep != epProject && ep != epEnterprise {
			in = ""
		}
		out[[2]string{i.id, in}] = true
	}
	return out
}

func setOfGrants(grants []rules.Grant) set {
	out := set{}
	for _, g := range grants {
		out[[2]string{g.Policy.ID, g.Scope.ID}] = true
	}
	return out
}

// apart counts the members that only one of two sets has, the larger of the two counts.
func apart(a, b set) int {
	one, two := 0, 0
	for k := range a {
		if !b[k] {
			one++
		}
	}
	for k := range b {
		if !a[k] {
			two++
		}
	}
	return max(one, two)
}

// grantsBefore are those of a plane in the last evidence.
func (r *reading) grantsBefore(kind rules.ScopeKind) []rules.Grant {
	if r.before == nil {
		return nil
	}
	for i := range r.before.Planes {
		if r.before.Planes[i].Kind == kind {
			return r.before.Planes[i].Grants
		}
	}
	return nil
}

func (r *reading) checkPlane(p *rules.Plane, ep endpoint, agencyID string) {
	got := setOfGrants(p.Grants)
	filled := slices.ContainsFunc(r.w.baseline.Required, func(q rules.Requirement) bool { return q.Scope == p.Kind })
	differs := r.before != nil && apart(got, setOfGrants(r.grantsBefore(p.Kind))) > 0
	pages := r.m.habits.rowCap
	if ep == epIdentity {
		pages = r.m.habits.attachedCap
	}
	if pages > 0 && len(got) > pages && !p.Witnessed {
		r.broken("S3: %s: the plane %q came in several pages, and nobody else was asked", r.who, p.Kind)
	}
	if (filled && len(got) == 0 || differs) && !p.Witnessed {
		r.broken("S3: %s: the plane %q is empty where the baseline fills it, or is not as it was, and nobody else was asked", r.who, p.Kind)
	}
	other, ok := witnesses[ep]
	need := 1
	if p.Witnessed && !ok {
		need = 2 // it was read twice
	}
	if how := r.plausible(got, ep, agencyID, need, !p.Witnessed); how == "" {
		r.broken("S4: %s: the plane %q was never so: %v; it was %v; trouble: %v", r.who, p.Kind, got, r.sets(ep, agencyID), r.b.touched)
	} else if how != "true" {
		r.believed(how)
	}
	if !p.Witnessed {
		return
	}
	r.tally.count("second witness")
	if !ok {
		return
	}
	only := set{}
	for k := range got {
		only[[2]string{k[0], ""}] = true
	}
	if r.plausible(only, other, agencyID, 1, false) == "" {
		r.broken("S4: %s: the second witness of the plane %q never said so: %v; trouble: %v", r.who, p.Kind, only, r.b.touched)
	}
}

// sets are what a plane held, one state after the other.
func (r *reading) sets(ep endpoint, agencyID string) (list []set) {
	for _, s := range r.states {
		list = append(list, setOf(held(s.agency(agencyID), ep, r.m), ep))
	}
	return list
}

// plausible says by which right a plane may be said to be so: it was "true" at some instant, or at least need answers said
// so, or one byte of an answer was another where that cannot be seen. It is empty when there is none. A list of several
// pages that changed between two of them may be a mixture, row by row.
func (r *reading) plausible(got set, ep endpoint, agencyID string, need int, byByte bool) string {
	truths := r.sets(ep, agencyID)
	for _, was := range truths {
		if apart(got, was) == 0 {
			return "true"
		}
	}
	if len(truths) > 1 && r.b.asked[ep] > 1 {
		mixture := true
		for k := range got {
			mixture = mixture && slices.ContainsFunc(truths, func(s set) bool { return s[k] })
		}
		lost := false
		for k := range truths[0] {
			lost = lost || !got[k] && !slices.ContainsFunc(truths, func(s set) bool { return !s[k] })
		}
		if mixture && !lost {
			return "mixture of pages"
		}
	}
	if r.b.told(ep, func(l *lie) bool { return apart(got, setOf(l.items, ep)) == 0 }) >= need {
		return endpointNames[ep]
	}
	for _, was := range truths {
		if byByte && apart(got, was) <= r.b.flips[ep] {
			return "one byte, " + endpointNames[ep]
		}
	}
	return ""
}

// checkPolicy holds what is said of a grant's policy against what it was called, and by whom, while it was read.
func (r *reading) checkPolicy(grant rules.Grant, ep endpoint, agencyID string) {
	p := grant.Policy
	is := fact{id: p.ID, name: p.Name, origin: string(p.Origin), unbounded: p.Unbounded}
	fresh := r.before != nil
	for _, kind := range rules.Planes() {
		fresh = fresh && !slices.ContainsFunc(r.grantsBefore(kind), func(g rules.Grant) bool { return g.Policy == p })
	}
	need := 1
	if fresh {
		need = 2
	}
	if ep == epIdentity {
		right := func(x item) bool { return x.id == p.ID && x.name == p.Name && ownerOfURN(x.urn) == is.origin }
		for _, s := range r.states {
			if slices.ContainsFunc(held(s.agency(agencyID), ep, r.m), right) {
				return
			}
		}
		lies := r.b.told(ep, func(l *lie) bool { return slices.ContainsFunc(l.items, right) })
		if lies < need && (fresh || r.b.flips[ep] == 0) {
			r.broken("S4: %s: the identity policy %+v never was so; trouble: %v", r.who, p, r.b.touched)
		}
		return
	}
	for _, e := range r.siteBetween(time.Time{}, time.Now()) {
		for _, s := range r.states {
			f := fact{id: p.ID, origin: "unresolved"}
			for _, v := range e.policies {
				if v.id == p.ID && !v.hidden {
					f.name, f.origin, f.unbounded = v.name, "system", v.unbounded
				}
			}
			for _, c := range s.custom {
				if c.id == p.ID {
					f.name, f.origin, f.unbounded = c.name, "custom", c.unbounded
				}
			}
			if f == is {
				return
			}
		}
	}
	lies := r.b.told(epPolicy, func(l *lie) bool {
		return slices.ContainsFunc(l.items, func(x item) bool {
			return x.id == p.ID && x.name == p.Name && x.unbounded == p.Unbounded && (x.owner == "") == (p.Origin == rules.System)
		})
	})
	if is.origin == "unresolved" {
		need = 2 // IAM is asked twice
		for _, kind := range r.b.touched {
			if kind == "status_404" { // IAM itself says that there is no such policy
				lies++
			}
		}
	}
	switch {
	case lies >= need:
		r.believed("policy")
	case !fresh && r.b.flips[epPolicy] > 0:
		r.believed("one byte, policy")
	default:
		r.broken("S4: %s: the policy %+v never was so; trouble: %v", r.who, p, r.b.touched)
	}
}

// checkStanding holds what is known of an account after a run against what was known before it.
func (g *game) checkStanding(was, is *auditor.Standing) {
	who := fmt.Sprintf("run %d, %q", g.run, is.Account.Name)
	if is.Last == nil {
		g.broken("M2: %s: nothing is said of it", who)
		return
	}
	if u := is.Last.Report.Unknown; u != nil && u.Reason == rules.ReasonVanished {
		g.tally.count("vanished")
	}
	if is.Last.HasEvidence() {
		if is.Evidence != is.Last {
			g.broken("S1: %s: new evidence is not the one that counts", who)
		}
		g.read[is.Account.ID] = g.sky.books[g.sky.member(is.Account.ID).n].first
		return
	}
	// Without evidence nothing that was known is forgotten, and nothing new is.
	if is.Evidence != was.Evidence || len(is.Required) != len(was.Required) || len(is.Findings) != len(was.Findings) {
		g.broken("S3: %s: a sweep without evidence changed what is known of it", who)
	}
	if len(is.Findings) > 0 {
		g.tally.count("bad news kept")
	}
}

// scrape looks at a snapshot as it is now.
func (g *game) scrape(s *auditor.Snapshot) {
	now := time.Now()
	sum := 0
	for _, n := range s.Count(now) {
		sum += n
	}
	if sum != len(g.w.members) {
		g.broken("M2: the states sum to %d, expected are %d", sum, len(g.w.members))
	}
	for i := range s.Standings {
		st := &s.Standings[i]
		state, why := st.At(now, s.MaxAge)
		if why != nil && why.Reason == rules.ReasonStale && st.Last != nil {
			g.tally.count("stale at a scrape")
		}
		if (state == rules.StateUnknown) != (why != nil) {
			g.broken("M2: %q is %s with the reason %v", st.Account.Name, state, why)
		}
		if at := st.ReadAt(); !at.IsZero() && at.After(g.read[st.Account.ID]) {
			g.broken("M4: %q is said to be read at %s, it was at %s", st.Account.Name, at, g.read[st.Account.ID])
		}
		if state == rules.StateUnknown {
			continue
		}
		if age := now.Sub(g.read[st.Account.ID]); g.read[st.Account.ID].IsZero() || age >= s.MaxAge {
			g.broken("S1: %q is %s by evidence of %s ago", st.Account.Name, state, age)
		}
	}
}

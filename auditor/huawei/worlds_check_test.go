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
	for i := range run.Sweeps {
		g.checkSweep(run, &run.Sweeps[i], votes)
	}
	for i := range after.Standings {
		g.checkStanding(run, &before.Standings[i], &after.Standings[i])
	}
	g.scrape(after)
}

func (g *game) checkSweep(run *auditor.Run, s *auditor.Sweep, votes map[string]int) {
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
		if r.Unknown.Reason == rules.ReasonPanic && !slices.Contains(b.touched, "panic") {
			g.broken("S3: %s: a panic that nobody provoked: %s", who, r.Unknown.Detail)
		}
	}
	if limit := worldRequests; b.requests > limit {
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
		g.checkEvidence(who, s, m, b, states)
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
	// Nothing changed and nothing was spoilt: there is one truth, and it must be known.
	g.tally.count("must be known")
	if want := g.truth(m, states[0], around, s.EndedAt); !want.equal(told) {
		g.broken("S2: %s: the world stood still and nothing was spoilt:\n    auditor: %v %s\n    oracle:  %v", who, told, detail(r), want)
	}
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
			g := g.named(m, s, ep, row, at)
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
func (g *game) named(m *member, s *state, ep endpoint, r item, at time.Time) fact {
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

// checkEvidence holds what was read against what was there while it was read, endpoint by endpoint. Nothing may be in it
// that was never there and nothing may lack that was there all the time, but for a lie that all witnesses told.
func (g *game) checkEvidence(who string, s *auditor.Sweep, m *member, b *book, states []*state) {
	if b.requests == 0 {
		g.broken("S1: %s: evidence without a single request", who)
		return
	}
	if s.StartedAt.After(b.first) {
		g.broken("M4: %s: read at %s by its own account, the first request was at %s", who, s.StartedAt, b.first)
	}
	heard := func(ep endpoint) bool { return b.honest[ep] > 0 || b.flips[ep] > 0 || b.lied(ep) }
	a := s.Report.Agency
	if !heard(epAgencies) {
		g.broken("S1: %s: evidence without a list of agencies", who)
	}
	if a == nil {
		for _, ep := range []endpoint{epAgencies, epAllAgencies} {
			if len(states) > 1 && m.habits.agencyCap > 0 {
				// The list has no count. If it changes between two of its pages, or they come from replicas that differ, a row can
				// move from the one that is not read yet to the one that was.
				g.tally.count("lie believed: mixture of pages, agencies")
				continue
			}
			if !slices.ContainsFunc(states, func(s *state) bool { return len(s.named(audited)) == 0 }) && b.flips[ep] == 0 &&
				!b.lie(ep, func(l *lie) bool {
					return !slices.ContainsFunc(l.items, func(i item) bool { return i.name == audited })
				}) {
				g.broken("S3: %s: the agency is said to be absent, and the answer to %q had it; trouble: %v", who, endpointNames[ep], b.touched)
			}
			if !heard(ep) {
				g.broken("S1: %s: the agency is said to be absent, and %q was not heard", who, endpointNames[ep])
			}
		}
		return
	}
	g.checkAgency(who, a, b, states)
	if len(s.Planes) != 5 {
		g.broken("S1: %s: evidence of %d planes", who, len(s.Planes))
		return
	}
	for i := range s.Planes {
		p := &s.Planes[i]
		ep := epGlobal + endpoint(i)
		if p.Kind != rules.Planes()[i] {
			g.broken("S1: %s: plane %d is %q", who, i, p.Kind)
			continue
		}
		if p.State == rules.PlaneAbsent {
			gone := ep == epEnterprise && m.habits.noEnterprise || ep == epIdentity && m.habits.noIdentity
			if !gone && !b.lie(ep, func(l *lie) bool { return l.kind == "unpublished" }) {
				g.broken("S3: %s: the plane %q is said not to exist, and it does; trouble: %v", who, p.Kind, b.touched)
			}
			g.tally.count("absent plane")
			continue
		}
		if p.State != rules.PlaneRead || !heard(ep) {
			g.broken("S1: %s: the plane %q is %q, heard: %t", who, p.Kind, p.State, heard(ep))
			continue
		}
		g.checkPlane(who, p, ep, a.ID, m, b, states)
		for _, grant := range p.Grants {
			g.checkPolicy(who, grant, ep, m, b, states, a.ID)
		}
	}
}

// lied says whether an endpoint told a whole and untrue answer.
func (b *book) lied(ep endpoint) bool { return b.lie(ep, func(*lie) bool { return true }) }

func (b *book) lie(ep endpoint, fits func(*lie) bool) bool {
	return slices.ContainsFunc(b.lies, func(l lie) bool { return l.ep == ep && fits(&l) })
}

func (g *game) checkAgency(who string, a *rules.Agency, b *book, states []*state) {
	differs := func(r *agencyRecord) int {
		n := 0
		for _, same := range []bool{
			a.ID == r.id, a.Trust.ID == r.trustID, a.Trust.Name == r.trustName, a.CreatedAt.Equal(r.created), a.ExpiresAt.Equal(r.ends), a.Name == r.name,
		} {
			if !same {
				n++
			}
		}
		return n
	}
	least := 9
	for _, s := range states {
		for _, r := range s.agencies {
			least = min(least, differs(r))
		}
	}
	for _, l := range b.lies {
		for _, i := range l.items {
			if l.ep == epAgencies {
				least = min(least, differs(i.agency))
			}
		}
	}
	if least > b.flips[epAgencies] {
		g.broken("S2: %s: the agency %+v never was so; trouble: %v", who, *a, b.touched)
	} else if least > 0 || b.lied(epAgencies) {
		g.tally.count("lie believed: agency")
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

func (g *game) checkPlane(who string, p *rules.Plane, ep endpoint, agencyID string, m *member, b *book, states []*state) {
	got := set{}
	for _, grant := range p.Grants {
		got[[2]string{grant.Policy.ID, grant.Scope.ID}] = true
	}
	if how := g.plausible(got, ep, agencyID, m, b, states); how == "" {
		g.broken("S3: %s: the plane %q was never so: %v; it was %v; trouble: %v", who, p.Kind, got, g.sets(ep, agencyID, m, states), b.touched)
	} else if how != "true" {
		g.tally.count("lie believed: " + how)
	}
	filled := slices.ContainsFunc(g.w.baseline.Required, func(r rules.Requirement) bool { return r.Scope == p.Kind })
	other, ok := witnesses[ep]
	if filled && len(got) == 0 && !p.Witnessed {
		g.broken("S3: %s: the plane %q is empty, the baseline fills it, and nobody else was asked", who, p.Kind)
	}
	if !p.Witnessed || !ok {
		return
	}
	g.tally.count("second witness")
	only := set{}
	for k := range got {
		only[[2]string{k[0], ""}] = true
	}
	if g.plausible(only, other, agencyID, m, b, states) == "" {
		g.broken("S3: %s: the second witness of the plane %q never said so: %v", who, p.Kind, only)
	}
}

// sets are what a plane held, one state after the other.
func (g *game) sets(ep endpoint, agencyID string, m *member, states []*state) (list []set) {
	for _, s := range states {
		list = append(list, setOf(held(s.agency(agencyID), ep, m), ep))
	}
	return list
}

// plausible says by which right a plane may be said to be so: it was "true" at some instant, or some answer said so; it
// is empty when it may not. A list of several pages that changed between two of them may be a mixture, row by row.
func (g *game) plausible(got set, ep endpoint, agencyID string, m *member, b *book, states []*state) string {
	truths := g.sets(ep, agencyID, m, states)
	for _, was := range truths {
		if apart(got, was) == 0 {
			return "true"
		}
	}
	if len(truths) > 1 && b.asked[ep] > 1 {
		mixture := true
		for k := range got {
			mixture = mixture && slices.ContainsFunc(truths, func(s set) bool { return s[k] })
		}
		for k := range truths[0] {
			if !got[k] && !slices.ContainsFunc(truths, func(s set) bool { return !s[k] }) {
				mixture = false
			}
		}
		if mixture {
			return "mixture of pages"
		}
	}
	if b.lie(ep, func(l *lie) bool { return apart(got, setOf(l.items, ep)) == 0 }) {
		return endpointNames[ep]
	}
	for _, was := range truths {
		if apart(got, was) <= b.flips[ep] {
			return "one byte, " + endpointNames[ep]
		}
	}
	return ""
}

// checkPolicy holds what is said of a grant's policy against what it was called, and by whom, while it was read.
func (g *game) checkPolicy(who string, grant rules.Grant, ep endpoint, m *member, b *book, states []*state, agencyID string) {
	p := grant.Policy
	is := fact{id: p.ID, name: p.Name, origin: string(p.Origin), unbounded: p.Unbounded}
	if ep == epIdentity {
		for _, s := range states {
			for _, x := range held(s.agency(agencyID), ep, m) {
				if x.id == p.ID && x.name == p.Name && ownerOfURN(x.urn) == is.origin {
					return
				}
			}
		}
		if b.flips[ep] > 0 || b.lie(ep, func(l *lie) bool {
			return slices.ContainsFunc(l.items, func(x item) bool { return x.id == p.ID && x.name == p.Name && ownerOfURN(x.urn) == is.origin })
		}) {
			return
		}
		g.broken("S7: %s: the identity policy %+v never was so", who, p)
		return
	}
	for _, e := range g.siteBetween(time.Time{}, time.Now()) {
		for _, s := range states {
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
	switch {
	case b.flips[epPolicy] > 0:
		g.tally.count("lie believed: one byte, policy")
	case b.lie(epPolicy, func(l *lie) bool {
		return slices.ContainsFunc(l.items, func(x item) bool {
			return x.id == p.ID && x.name == p.Name && x.unbounded == p.Unbounded && (x.owner == "") == (p.Origin == rules.System)
		})
	}), is.origin == "unresolved" && slices.Contains(b.touched, "status_404"):
		g.tally.count("lie believed: policy")
	default:
		g.broken("S7: %s: the policy %+v never was so; trouble: %v", who, p, b.touched)
	}
}

// checkStanding holds what is known of an account after a run against what was known before it.
func (g *game) checkStanding(run *auditor.Run, was, is *auditor.Standing) {
	who := fmt.Sprintf("run %d, %q", g.run, is.Account.Name)
	if is.Last == nil {
		g.broken("M2: %s: nothing is said of it", who)
		return
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

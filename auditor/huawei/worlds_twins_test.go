package huawei_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// A twin is the same world once more with one thing changed that must not matter, or must matter to one account alone.
// The two are compared with each other rather than with the oracle.
type twin struct {
	name string
	// fits says whether the world is one in which the change can be told from everything else.
	fits func(w *world) bool
	// change makes the twin of its world; what it returns is what compare needs to know.
	change func(r *rand.Rand, w *world, g *game) *member
	// compare says what is wrong about one account's sweeps of one run.
	compare func(g *game, m *member, was, is *auditor.Sweep) string
}

var twins = []twin{
	{
		name: "S5", fits: func(w *world) bool { return w.mode == still && !slices.ContainsFunc(w.members, doubled) },
		change: func(r *rand.Rand, w *world, _ *game) *member {
			w.permute(r)
			return nil
		},
		compare: func(_ *game, _ *member, was, is *auditor.Sweep) string {
			if !alike(was, is) {
				return fmt.Sprintf("another order, other pages or another concurrency:\n    was %v\n    is  %v", inWords(&was.Report), inWords(&is.Report))
			}
			return ""
		},
	},
	{
		name: "S6", fits: func(w *world) bool {
			return len(w.members) > 1 && !w.moves() && w.baseline.Trust.ID != "" && len(w.mainFaults) == 0 && !slices.ContainsFunc(w.members, shares)
		},
		change: func(r *rand.Rand, w *world, g *game) *member {
			m := w.members[r.IntN(len(w.members))]
			g.sky.hail = m
			return m
		},
		compare: func(_ *game, _ *member, was, is *auditor.Sweep) string {
			if !alike(was, is) {
				return fmt.Sprintf("the answers about another account are garbage:\n    was %v %s\n    is  %v %s",
					inWords(&was.Report), detail(&was.Report), inWords(&is.Report), detail(&is.Report))
			}
			return ""
		},
	},
	{
		name: "S7", fits: func(w *world) bool { return w.mode == still },
		change: func(r *rand.Rand, w *world, _ *game) *member {
			w.rename(r)
			return nil
		},
		compare: func(_ *game, _ *member, was, is *auditor.Sweep) string {
			if a, b := counted(was), counted(is); !slices.Equal(a, b) {
				return fmt.Sprintf("other names: counted were %q, and are %q", a, b)
			}
			return ""
		},
	},
	{
		name: "S4", fits: func(w *world) bool { return w.mode == still && w.baseline.Trust.ID != "" },
		change: func(r *rand.Rand, w *world, _ *game) *member {
			kind := pick(r, spoils...)
			for kind.lies || kind.page != nil {
				kind = pick(r, spoils...)
			}
			on := kind.on
			if on == nil {
				on = anywhere
			}
			m := w.members[r.IntN(len(w.members))]
			t := newTrouble(r, kind, pick(r, on...), r.IntN(w.runs))
			t.times = 1
			m.faults = append(m.faults, t)
			return m
		},
		compare: func(g *game, m *member, was, is *auditor.Sweep) string {
			if is.Report.State == rules.StateUnknown || inWords(&was.Report).equal(inWords(&is.Report)) {
				return ""
			}
			for _, f := range m.faults {
				if g.believedOnce && f.kind.bytes != nil {
					return "" // one byte of the first answer ever, which nothing contradicts
				}
			}
			return fmt.Sprintf("one spoilt answer (%s):\n    was %v\n    is  %v", m.faults[len(m.faults)-1].kind.name, inWords(&was.Report), inWords(&is.Report))
		},
	},
}

// shares says whether something happens to an account that touches what accounts share.
func shares(m *member) bool {
	return slices.ContainsFunc(m.faults, func(t *trouble) bool {
		if t.eps[0] == epAny {
			return true
		}
		return slices.ContainsFunc(t.eps, func(ep endpoint) bool { return ep == epCatalogue || ep == epAssume || ep == epDomains }) ||
			t.kind.name == "status_401" || t.kind.name == "key_expired"
	})
}

// doubled says whether the account has, at any time, two agencies of the audited name: on which page they are matters.
func doubled(m *member) bool {
	return slices.ContainsFunc(m.history, func(x moment) bool { return len(x.named(audited)) > 1 })
}

// alike says whether two sweeps say the same, but for when.
func alike(a, b *auditor.Sweep) bool {
	x, y := a.Report, b.Report
	if x.Unknown != nil && y.Unknown != nil { // its words name pages and times
		x.Unknown, y.Unknown = &rules.Unknown{Reason: x.Unknown.Reason}, &rules.Unknown{Reason: y.Unknown.Reason}
	}
	if !reflect.DeepEqual(x, y) || len(a.Planes) != len(b.Planes) {
		return false
	}
	for i := range a.Planes {
		if a.Planes[i].State != b.Planes[i].State || !reflect.DeepEqual(a.Planes[i].Grants, b.Planes[i].Grants) {
			return false
		}
	}
	return true
}

// counted are the grants that satisfy something, by id and scope.
func counted(s *auditor.Sweep) (list []string) {
	for _, c := range s.Report.Required {
		if !c.Coverage.Satisfied() {
			continue
		}
		for _, g := range c.By {
			list = append(list, g.Policy.ID+"@"+string(g.Scope.Kind)+g.Scope.ID)
		}
	}
	slices.Sort(list)
	return list
}

// playTwin plays a twin of the world, where one fits, and compares the two.
func playTwin(t *testing.T, first *game, into *tally) (wrong []string) {
	r := rand.New(rand.NewPCG(first.w.seed, 0x7714))
	// Worlds that stand still always have a twin; the others that can have one do so every fourth time. One in which the vendor
	// renames a policy has none: which accounts of a run still see the old name depends on who renews the catalogue.
	if first.w.mode != still && !chance(r, 1, 4) || len(first.w.site) > 1 {
		return nil
	}
	var fit []*twin
	for i := range twins {
		if twins[i].fits(first.w) {
			fit = append(fit, &twins[i])
		}
	}
	if len(fit) == 0 {
		return nil
	}
	tw := pick(r, fit...)
	into.count("twin " + tw.name)
	synctest.Test(t, func(*testing.T) {
		w := newWorld(first.w.seed)
		g, err := newGame(w, newTally())
		if err != nil {
			wrong = []string{err.Error()}
			return
		}
		only := tw.change(r, w, g)
		g.play()
		for _, line := range g.wrong {
			wrong = append(wrong, "twin "+tw.name+": "+line)
		}
		n := min(len(first.runs), len(g.runs), w.runs)
		for run := range n {
			wrong = append(wrong, first.differ(g, tw, run, only)...)
		}
	})
	return wrong
}

// differ compares one run of two games.
func (g *game) differ(other *game, tw *twin, run int, only *member) (wrong []string) {
	was, is := g.runs[run], other.runs[run]
	if was == nil || is == nil {
		if was != is {
			wrong = append(wrong, fmt.Sprintf("%s: run %d has a result in one of two worlds that are alike", tw.name, run))
		}
		return wrong
	}
	if len(was.Sweeps) != len(is.Sweeps) {
		return []string{fmt.Sprintf("%s: run %d sweeps %d accounts, and %d", tw.name, run, len(was.Sweeps), len(is.Sweeps))}
	}
	sweeps := map[string]*auditor.Sweep{}
	for i := range is.Sweeps {
		sweeps[is.Sweeps[i].Report.Account.ID] = &is.Sweeps[i]
	}
	for i := range was.Sweeps {
		m := other.sky.member(was.Sweeps[i].Report.Account.ID)
		if tw.name == "S6" && m == only || tw.name == "S4" && m != only {
			continue
		}
		if s := sweeps[m.account.ID]; s == nil {
			wrong = append(wrong, fmt.Sprintf("%s: run %d lacks %q", tw.name, run, m.account.Name))
		} else if text := tw.compare(other, m, &was.Sweeps[i], s); text != "" {
			wrong = append(wrong, fmt.Sprintf("%s: run %d, %q: %s", tw.name, run, m.account.Name, text))
		}
	}
	return wrong
}

// permute changes the order of everything, how long pages are and how many accounts are read at once.
func (w *world) permute(r *rand.Rand) {
	for _, m := range w.members {
		for i := range m.history {
			s := &state{agencies: make([]*agencyRecord, len(m.history[i].agencies)), custom: slices.Clone(m.history[i].custom)}
			for j, a := range m.history[i].agencies {
				c := a.clone()
				for p := range c.rows {
					r.Shuffle(len(c.rows[p]), func(x, y int) { c.rows[p][x], c.rows[p][y] = c.rows[p][y], c.rows[p][x] })
				}
				r.Shuffle(len(c.attached), func(x, y int) { c.attached[x], c.attached[y] = c.attached[y], c.attached[x] })
				s.agencies[j] = c
			}
			r.Shuffle(len(s.agencies), func(x, y int) { s.agencies[x], s.agencies[y] = s.agencies[y], s.agencies[x] })
			m.history[i].state = s
		}
		h := &m.habits
		h.rowCap, h.attachedCap, h.agencyCap, h.ragged = r.IntN(5), r.IntN(4), r.IntN(4), chance(r, 1, 2)
		h.filter, h.unpaged = r.IntN(3), chance(r, 1, 6)
	}
	w.catalogueCap, w.concurrency = r.IntN(8), 1+r.IntN(6)
	for i := range w.site {
		p := slices.Clone(w.site[i].policies)
		r.Shuffle(len(p), func(x, y int) { p[x], p[y] = p[y], p[x] })
		w.site[i].policies = p
	}
	w.order = r.Perm(len(w.members))
}

// rename gives other names to all policies that are not the vendor's, perhaps those of the baseline, and to the vendor's
// own that the baseline does not name.
func (w *world) rename(r *rand.Rand) {
	for _, m := range w.members {
		names := map[string]string{}
		to := func(id string) string {
			if names[id] == "" {
				names[id] = pick(r, hostileNames[:20]...)
			}
			return names[id]
		}
		for i := range m.history {
			s := &state{custom: slices.Clone(m.history[i].custom)}
			for j := range s.custom {
				s.custom[j].name = to(s.custom[j].id)
			}
			for _, a := range m.history[i].agencies {
				c := a.clone()
				for j := range c.attached {
					c.attached[j].name = to(c.attached[j].id)
				}
				s.agencies = append(s.agencies, c)
			}
			m.history[i].state = s
		}
		m.account.Name = pick(r, hostileNames...)
	}
	named := map[string]bool{}
	for _, q := range w.baseline.Required {
		named[q.Policy] = true
		for _, a := range q.Accepts {
			named[a] = true
		}
	}
	for i := range w.site {
		p := slices.Clone(w.site[i].policies)
		for j := range p {
			if !named[p[j].name] {
				p[j].name = pick(r, "Renamed", "iam readonlyaccess", "IAM ReadOnlyAccess ", "DCS UserAccess2", "")
			}
		}
		w.site[i].policies = p
	}
}

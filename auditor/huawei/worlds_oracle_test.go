package huawei_test

import (
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// The oracle is a second auditor, written without package rules: it knows only the names of its words. It is told what an
// account holds and takes sets from sets.

// facts are what is known of one account's agency.
type facts struct {
	required bool
	present  bool
	trustID  string
	trust    string
	created  time.Time
	ends     time.Time
	grants   []fact
}

// fact is one grant. origin is system, custom or unresolved; scope one of the five.
type fact struct {
	id, name, origin, scope, in string
	unbounded                   bool
}

// around is what is known beyond the account.
type around struct {
	now time.Time
	// catalogue has the ids of each name that the baseline mentions; nil when nobody could read it.
	catalogue map[string][]string
	// votes count the agencies of the run by the id of the account that they trust, where its name is right.
	votes map[string]int
}

// verdict is what there is to say of an account, a line for each requirement and each finding.
type verdict struct {
	state, reason string
	lines         []string
}

func (v verdict) equal(o verdict) bool {
	return v.state == o.state && v.reason == o.reason && slices.Equal(v.lines, o.lines)
}

func (v verdict) String() string {
	return v.state + " " + v.reason + "\n      " + strings.Join(v.lines, "\n      ")
}

// covers says whether what is granted at one scope holds at the other, and beyond it.
func covers(wide, small string) bool {
	return wide == "all_resources" && (small == "global" || small == "project" || small == "enterprise_project")
}

// judge is the oracle.
func judge(b *rules.Baseline, f facts, a around) verdict {
	var v verdict
	bad := false
	say := func(rule, severity, policy, id, scope, risk, more string, grants ...fact) {
		bad = bad || severity != "info"
		var in []string
		for _, g := range grants {
			in = append(in, g.id+"@"+g.in)
		}
		slices.Sort(in)
		v.lines = append(v.lines, strings.Join([]string{rule, severity, policy, id, scope, risk, strings.Join(in, ","), more}, "|"))
	}
	if !f.present {
		v.state = "not_enabled"
		if f.required {
			say("agency/absent", "high", "", "", "", "", "")
			v.state = "drifted"
		}
		return v
	}
	if reason := judgeTrust(b, f, a, say); reason != "" {
		v.reason = reason
	}
	if !f.ends.IsZero() {
		switch left := f.ends.Sub(a.now); {
		case left <= 0:
			say("agency/expired", "critical", "", "", "", "", "")
		case left <= b.WarnBeforeExpiry:
			say("agency/expiring", "warning", "", "", "", "", "")
		}
	}

	// What each grant is good for.
	names := map[string]bool{}
	for _, r := range b.Required {
		names[r.Policy] = true
		for _, n := range r.Accepts {
			names[n] = true
		}
	}
	asked := func(g fact) bool { // exactly this grant
		return slices.ContainsFunc(b.Required, func(r rules.Requirement) bool { return meets(r, g) && string(r.Scope) == g.scope })
	}
	useful := map[fact]bool{}
	type coverage struct {
		r         rules.Requirement
		how       string
		satisfied bool
	}
	var covered []coverage
	redundant, wider := map[fact]bool{}, map[fact]bool{}
	for _, r := range b.Required {
		var exact, over, under []fact
		for _, g := range f.grants {
			switch {
			case !meets(r, g):
			case g.scope == string(r.Scope):
				exact = append(exact, g)
			case covers(g.scope, string(r.Scope)):
				over = append(over, g)
			case covers(string(r.Scope), g.scope):
				under = append(under, g)
			}
		}
		for _, g := range slices.Concat(exact, over, under) {
			useful[g] = true
		}
		slices.SortFunc(exact, func(x, y fact) int {
			own := func(g fact) string {
				if g.name == r.Policy {
					return "0"
				}
				return "1"
			}
			return strings.Compare(own(x)+x.name+"\x00"+x.id, own(y)+y.name+"\x00"+y.id)
		})
		c := coverage{r: r, satisfied: len(exact)+len(over) > 0}
		var ids []string
		for _, n := range append([]string{r.Policy}, r.Accepts...) {
			ids = append(ids, a.catalogue[n]...)
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		switch {
		case c.satisfied:
			c.how = "wider"
			if len(exact) > 0 {
				c.how = "exact"
				for _, g := range exact[1:] {
					redundant[g] = true
				}
			}
			for _, g := range under {
				if !asked(g) {
					redundant[g] = true
				}
			}
			for _, g := range over {
				if !asked(g) {
					wider[g] = true
				}
			}
		case len(under) > 0:
			c.how = "narrower"
			say("grant/narrower", "high", r.Policy, "", string(r.Scope), "", "", under...)
		case a.catalogue == nil:
			if v.reason == "" {
				v.reason = "incomplete"
			}
			continue
		case len(ids) == 0:
			if v.reason == "" {
				v.reason = "unresolvable"
			}
			continue
		default:
			c.how = "missing"
		}
		covered = append(covered, c)
		v.lines = append(v.lines, "coverage|"+r.Policy+"|"+string(r.Scope)+"|"+c.how+"|"+strings.Join(ids, ","))
	}
	for _, c := range covered {
		if c.how != "missing" {
			continue
		}
		cohort := ""
		alone := len(covered) == len(b.Required)
		for _, other := range covered {
			alone = alone && (other.satisfied || other.r.Policy == c.r.Policy)
		}
		for _, k := range b.Cohorts {
			if alone && k.Missing == c.r.Policy && !f.created.IsZero() && f.created.Before(k.CreatedBefore) {
				cohort = k.Name
			}
		}
		say("grant/missing", "high", c.r.Policy, "", string(c.r.Scope), "", cohort)
	}
	byPolicy(redundant, func(g fact, all []fact) { say("grant/redundant", "info", g.name, g.id, g.scope, "", "", all...) })
	byPolicy(wider, func(g fact, all []fact) { say("grant/wider", "info", g.name, g.id, g.scope, "", "", all...) })
	rest, impostors := map[fact]bool{}, map[fact]bool{}
	for _, g := range f.grants {
		switch {
		case useful[g]:
		case g.origin == "custom" && names[g.name]:
			impostors[g] = true
		default:
			rest[g] = true
		}
	}
	byPolicy(impostors, func(g fact, all []fact) {
		say("policy/impostor", "critical", g.name, g.id, g.scope, "critical", "", all...)
	})
	byPolicy(rest, func(g fact, all []fact) {
		risk := riskOf(b, g)
		severity := map[string]string{"critical": "critical", "high": "high", "medium": "warning", "low": "warning"}[risk]
		say("grant/excess", severity, g.name, g.id, g.scope, risk, "", all...)
	})
	slices.Sort(v.lines)
	switch {
	case v.reason != "":
		v.state = "unknown"
	case bad:
		v.state = "drifted"
	default:
		v.state = "compliant"
	}
	return v
}

// meets says whether a grant is of a policy that the requirement is about: the vendor's, by its name to the byte.
func meets(r rules.Requirement, g fact) bool {
	return g.origin == "system" && (g.name == r.Policy || slices.Contains(r.Accepts, g.name))
}

// byPolicy puts the grants of one policy on one plane together.
func byPolicy(set map[fact]bool, do func(one fact, all []fact)) {
	groups := map[[2]string][]fact{}
	for g := range set {
		k := [2]string{g.id, g.scope}
		groups[k] = append(groups[k], g)
	}
	for _, all := range groups {
		do(all[0], all)
	}
}

func riskOf(b *rules.Baseline, g fact) string {
	ends := func(list []string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.HasSuffix(g.name, s) })
	}
	switch {
	case g.unbounded || slices.Contains(b.Risks.Critical, g.name):
		return "critical"
	case ends(b.Risks.HighSuffixes):
		return "high"
	case g.origin == "system" && (slices.Contains(b.Risks.LowNames, g.name) || ends(b.Risks.LowSuffixes)):
		return "low"
	}
	return "medium"
}

func judgeTrust(b *rules.Baseline, f facts, a around, say func(rule, severity, policy, id, scope, risk, more string, grants ...fact)) string {
	right := sameName(f.trust, b.Trust.Name)
	wrong := f.trust != "" && !right
	switch pin := b.Trust.ID; {
	case pin != "":
		wrong = wrong || f.trustID != pin
	case f.trust == "":
		return "incomplete"
	case right:
		all, most := 0, a.votes[f.trustID]
		for _, n := range a.votes {
			all += n
		}
		wrong = len(a.votes) > 1 && most <= all-most
	}
	if wrong {
		say("trust/mismatch", "critical", "", "", "", "", "")
	}
	return ""
}

// sameName compares names of trusted accounts: letters of ASCII with their case folded, nothing else.
func sameName(x, y string) bool {
	plain := func(s string) bool {
		return s != "" && strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
	}
	return plain(x) && plain(y) && strings.EqualFold(x, y)
}

// inWords is a report in the oracle's words.
func inWords(r *rules.Report) verdict {
	v := verdict{state: string(r.State)}
	if r.Unknown != nil {
		v.reason = string(r.Unknown.Reason)
	}
	for _, c := range r.Required {
		v.lines = append(v.lines, "coverage|"+c.Policy+"|"+string(c.Scope)+"|"+string(c.Coverage)+"|"+strings.Join(c.PolicyIDs, ","))
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		var in []string
		for _, g := range f.Grants {
			in = append(in, g.Policy.ID+"@"+g.Scope.ID)
		}
		slices.Sort(in)
		v.lines = append(v.lines, strings.Join([]string{
			f.Rule, string(f.Severity), f.Policy, f.PolicyID, string(f.Scope), string(f.Risk), strings.Join(in, ","), f.Cohort,
		}, "|"))
	}
	slices.Sort(v.lines)
	return v
}

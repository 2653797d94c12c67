package rules_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/rules"
)

// lastOf is what the evidence will be as the last one.
func lastOf(e rules.Evidence) rules.Last {
	last := rules.Last{Known: true, Planes: e.Planes()}
	if a, ok := e.Agency(); ok {
		last.Agency = &a
	}
	return last
}

// onePlane finds a plane of an observation.
func onePlane(o *rules.Observation, kind rules.ScopeKind) *rules.Plane {
	return &o.Planes[slices.IndexFunc(o.Planes, func(p rules.Plane) bool { return p.Kind == kind })]
}

// again has a second witness of a plane see what the first one saw.
func again(p *rules.Plane) {
	p.Witnessed, p.WitnessIDs, p.Again = true, nil, nil
	for _, g := range p.Grants {
		if p.Kind == rules.Global || p.Kind == rules.AllResources {
			p.WitnessIDs = append(p.WitnessIDs, g.Policy.ID)
		} else {
			p.Again = append([]rules.Grant{g}, p.Again...)
		}
	}
}

// Each row is a change since the last evidence. By one witness it is no evidence, by two it is, and a second witness who
// contradicts the first is the reason for which there is none.
func TestAChangeNeedsTwoWitnesses(t *testing.T) {
	wide := []rules.Grant{
		grant(iamRead, rules.Global), grant(rmsRead, rules.Global), grant(dcsUser, rules.AllResources), grant(cocSelf, rules.AllResources),
		in("x", rules.Project, "p1"), in("x", rules.Project, "p2"), in("y", rules.EnterpriseProject, "0"), grant("v5", rules.Identity),
		custom("mine", "c1", rules.Global),
	}
	before := observation(agency(), wide...)
	for name, c := range map[string]struct {
		// last is what was there; nil is the wide observation.
		last *rules.Observation
		// change makes the new reading of what was, with one witness.
		change func(o *rules.Observation)
		// confirm adds the second witness, deny one that says something else.
		confirm, deny func(o *rules.Observation)
	}{
		"a global grant is gone": {
			change:  func(o *rules.Observation) { cut(onePlane(o, rules.Global), 0) },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Global)) },
			deny: func(o *rules.Observation) {
				again(onePlane(o, rules.Global))
				onePlane(o, rules.Global).WitnessIDs = append(onePlane(o, rules.Global).WitnessIDs, "id of "+iamRead)
			},
		},
		"another global grant in its place": {
			change: func(o *rules.Observation) {
				onePlane(o, rules.Global).Grants[0] = grant("other", rules.Global)
				o.PoliciesAgain = []rules.Policy{grant("other", rules.Global).Policy}
			},
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Global)) },
			deny: func(o *rules.Observation) {
				again(onePlane(o, rules.Global))
				onePlane(o, rules.Global).WitnessIDs[0] = "id of " + iamRead
			},
		},
		"an all-resources grant is gone": {
			change:  func(o *rules.Observation) { cut(onePlane(o, rules.AllResources), 1) },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.AllResources)) },
			deny:    func(o *rules.Observation) { onePlane(o, rules.AllResources).Witnessed = true },
		},
		"a project grant is gone": {
			change:  func(o *rules.Observation) { cut(onePlane(o, rules.Project), 0) },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Project)) },
			deny: func(o *rules.Observation) {
				again(onePlane(o, rules.Project))
				onePlane(o, rules.Project).Again[0].Scope.ID = "p1"
			},
		},
		"a project grant moved": {
			change:  func(o *rules.Observation) { onePlane(o, rules.Project).Grants[0].Scope.ID = "p3" },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Project)) },
			deny: func(o *rules.Observation) {
				p := onePlane(o, rules.Project)
				again(p)
				p.Again[0] = p.Again[1] // one of them twice
			},
		},
		"every project grant is gone": {
			change: func(o *rules.Observation) {
				onePlane(o, rules.Project).Total, onePlane(o, rules.Project).Grants = 0, nil
			},
			confirm: func(o *rules.Observation) { onePlane(o, rules.Project).Witnessed = true },
			deny: func(o *rules.Observation) {
				onePlane(o, rules.Project).Witnessed, onePlane(o, rules.Project).Again = true, []rules.Grant{in("x", rules.Project, "p1")}
			},
		},
		"an enterprise-project grant is gone": {
			change:  func(o *rules.Observation) { cut(onePlane(o, rules.EnterpriseProject), 0) },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.EnterpriseProject)) },
			deny: func(o *rules.Observation) {
				p := onePlane(o, rules.EnterpriseProject)
				p.Witnessed, p.Again = true, []rules.Grant{in("y", rules.EnterpriseProject, "0")}
			},
		},
		"an identity policy is gone": {
			change:  func(o *rules.Observation) { cut(onePlane(o, rules.Identity), 0) },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Identity)) },
			deny: func(o *rules.Observation) {
				onePlane(o, rules.Identity).Witnessed, onePlane(o, rules.Identity).Again = true, []rules.Grant{grant("v5", rules.Identity)}
			},
		},
		"an identity policy got another name": {
			change:  func(o *rules.Observation) { onePlane(o, rules.Identity).Grants[0].Policy.Name = "v6" },
			confirm: func(o *rules.Observation) { again(onePlane(o, rules.Identity)) },
			deny: func(o *rules.Observation) {
				again(onePlane(o, rules.Identity))
				onePlane(o, rules.Identity).Again[0].Policy.Name = "v5"
			},
		},
		"a custom policy got another name": {
			change: func(o *rules.Observation) { onePlane(o, rules.Global).Grants[2].Policy.Name = iamRead },
			confirm: func(o *rules.Observation) {
				o.PoliciesAgain = []rules.Policy{custom(iamRead, "c1", rules.Global).Policy}
			},
			deny: func(o *rules.Observation) {
				o.PoliciesAgain = []rules.Policy{custom("mine", "c1", rules.Global).Policy}
			},
		},
		"a custom policy allows everything": {
			change: func(o *rules.Observation) { onePlane(o, rules.Global).Grants[2].Policy.Unbounded = true },
			confirm: func(o *rules.Observation) {
				o.PoliciesAgain = []rules.Policy{onePlane(o, rules.Global).Grants[2].Policy}
			},
			deny: func(o *rules.Observation) {
				p := onePlane(o, rules.Global).Grants[2].Policy
				o.PoliciesAgain = []rules.Policy{p, custom("mine", "c1", rules.Global).Policy}
			},
		},
		"the agency is another one": {
			change:  func(o *rules.Observation) { o.Listed[0].ID = "other" },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, []rules.Agency{agency()} },
		},
		"the agency trusts another account": {
			change:  func(o *rules.Observation) { o.Listed[0].Trust = rules.Trust{ID: "e", Name: "mallory"} },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, []rules.Agency{agency()} },
		},
		"the agency trusts another account of the name": {
			change:  func(o *rules.Observation) { o.Listed[0].Trust.ID = "e" },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, []rules.Agency{agency()} },
		},
		"the agency ends": {
			change:  func(o *rules.Observation) { o.Listed[0].ExpiresAt = now },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice = true },
		},
		"the agency ends, and is listed twice in the second answer": {
			change:  func(o *rules.Observation) { o.Listed[0].ExpiresAt = now },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, append(o.Listed, o.Listed[0]) },
		},
		"the agency appeared": {
			last:    new(rules.Observation),
			change:  func(o *rules.Observation) { everythingAgain(o) },
			confirm: func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = true, o.Listed },
			deny:    func(o *rules.Observation) { o.ListedTwice = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			was := before
			if c.last != nil {
				was = absent()
			}
			last := lastOf(evidence(t, was))
			try := func(how string, reason rules.Reason, witness func(o *rules.Observation)) {
				o := observation(agency(), wide...)
				for i := range o.Planes {
					o.Planes[i].Witnessed = false
				}
				c.change(&o)
				for i := range o.Planes {
					o.Planes[i].Total = len(o.Planes[i].Grants)
				}
				if witness != nil {
					witness(&o)
				}
				e, err := rules.NewEvidence(baseline(), last, o)
				u, _ := errors.AsType[*rules.Unknown](err)
				switch {
				case reason == "" && err != nil:
					t.Errorf("%s: no evidence: %v", how, err)
				case reason != "" && (u == nil || u.Reason != reason || u.Detail == ""):
					t.Errorf("%s: %v, want %s", how, err, reason)
				case reason == "":
					for _, p := range e.Planes() {
						if p.Again != nil {
							t.Errorf("%s: the evidence keeps the second reading", how)
						}
					}
					// What is evidence now is the last evidence of the next run, in which nothing need be asked twice.
					for i := range o.Planes {
						o.Planes[i].Witnessed, o.Planes[i].WitnessIDs, o.Planes[i].Again = false, nil, nil
					}
					o.ListedTwice, o.ListedAgain, o.PoliciesAgain = false, nil, nil
					if _, err := rules.NewEvidence(baseline(), lastOf(e), o); err != nil {
						t.Errorf("%s, and then nothing new: %v", how, err)
					}
				}
			}
			try("one witness", rules.ReasonIncomplete, nil)
			try("two witnesses", "", c.confirm)
			try("two witnesses who disagree", rules.ReasonDisagree, c.deny)
		})
	}
}

// cut takes one grant away from a plane.
func cut(p *rules.Plane, i int) { p.Grants = slices.Delete(p.Grants, i, i+1) }

// everythingAgain has second witnesses confirm all planes and policies.
func everythingAgain(o *rules.Observation) {
	for i := range o.Planes {
		again(&o.Planes[i])
		for _, g := range o.Planes[i].Grants {
			o.PoliciesAgain = append(o.PoliciesAgain, g.Policy)
		}
	}
}

// A gateway that loses an API for a moment takes no grants away and hides none, however often it is asked: a plane that was read,
// even as an empty one, is there.
func TestAPlaneThatWasReadDoesNotVanish(t *testing.T) {
	for _, kind := range []rules.ScopeKind{rules.EnterpriseProject, rules.Identity} {
		g := grant("x", kind)
		if kind == rules.EnterpriseProject {
			g.Scope.ID = "0"
		}
		gone := observation(agency(), exact()...)
		*onePlane(&gone, kind) = rules.Plane{Kind: kind, State: rules.PlaneAbsent, Witnessed: true}
		_, err := rules.NewEvidence(baseline(), lastOf(evidence(t, observation(agency(), append(exact(), g)...))), gone)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree || u.Remedy == "" {
			t.Errorf("%s: %v", kind, err)
		}
		_, err = rules.NewEvidence(baseline(), lastOf(evidence(t, observation(agency(), exact()...))), gone)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree || u.Remedy == "" {
			t.Errorf("%s was read and held nothing: %v", kind, err)
		}
		never := evidence(t, gone)
		appeared := gone
		appeared.ListedTwice, appeared.ListedAgain = true, gone.Listed
		everythingAgain(&appeared)
		for before, last := range map[string]rules.Last{
			"nothing is known": {}, "it was absent": lastOf(never), "there was no agency": lastOf(evidence(t, absent())),
		} {
			if _, err := rules.NewEvidence(baseline(), last, appeared); err != nil {
				t.Errorf("%s, %s: %v", kind, before, err)
			}
		}
	}
}

// Names of projects and the time of creation are for people: nothing is judged by them.
func TestWhatIsForPeopleNeedsNoWitness(t *testing.T) {
	list := append(exact(), in("x", rules.Project, "p1"))
	last := lastOf(evidence(t, observation(agency(), list...)))
	a := agency()
	a.CreatedAt = time.Time{}
	o := observation(a, list...)
	onePlane(&o, rules.Project).Grants[0].Scope.Name = "renamed"
	if _, err := rules.NewEvidence(baseline(), last, o); err != nil {
		t.Error(err)
	}
}

// Whatever two readings show: if the second is believed without any second witness, it says what the first said.
func TestOneWitnessNeverChangesAVerdict(t *testing.T) {
	same, different := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		draw := func() rules.Observation {
			a := agency()
			a.Trust.ID = rapid.SampledFrom([]string{cocID, cocID, cocID, "e"}).Draw(t, "trust")
			if rapid.IntRange(0, 5).Draw(t, "ends") == 0 {
				a.ExpiresAt = now.Add(-time.Hour)
			}
			return observation(a, grants(t)...)
		}
		first, second := draw(), draw()
		if rapid.Bool().Draw(t, "steady") {
			second.Listed = first.Listed
			for i := range second.Planes {
				second.Planes[i].Grants = rapid.Permutation(first.Planes[i].Grants).Draw(t, "order")
				second.Planes[i].Total = first.Planes[i].Total
			}
		}
		e, err := rules.NewEvidence(baseline(), rules.Last{}, first)
		if err != nil {
			t.Fatal(err)
		}
		for i := range second.Planes {
			second.Planes[i].Witnessed = len(first.Planes[i].Grants)+len(second.Planes[i].Grants) == 0
		}
		later, err := rules.NewEvidence(baseline(), lastOf(e), second)
		if err != nil {
			different++
			return
		}
		same++
		a, _ := json.Marshal(rules.Evaluate(baseline(), e, fleet(), now))
		b, _ := json.Marshal(rules.Evaluate(baseline(), later, fleet(), now))
		if string(a) != string(b) {
			t.Fatalf("one witness changed the verdict:\n%s\n%s", a, b)
		}
	})
	if same == 0 || different == 0 {
		t.Errorf("%d readings were believed and %d were not: the property says nothing", same, different)
	}
}

// A plane that was put together from several pages needs two witnesses, the first time and when it is as it was: between two pages
// a row can be lost without its count showing it, and it may be the one that is new.
func TestSeveralPagesNeedTwoWitnesses(t *testing.T) {
	b := baseline()
	for _, kind := range rules.Planes() {
		o := observation(agency(), append(exact(), in("x", rules.Project, "p1"), in("y", rules.EnterpriseProject, "0"), grant("v5", rules.Identity))...)
		onePlane(&o, kind).Pages = 2
		if _, err := rules.NewEvidence(b, rules.Last{}, o); err == nil {
			t.Errorf("%s: evidence by one witness", kind)
		}
		again(onePlane(&o, kind))
		e, err := rules.NewEvidence(b, rules.Last{}, o)
		if err != nil {
			t.Errorf("%s: %v", kind, err)
			continue
		}
		once := observation(agency(), o.Planes[0].Grants...)
		once.Planes = slices.Clone(o.Planes)
		for i := range once.Planes {
			once.Planes[i].Pages, once.Planes[i].Witnessed = 1, false
		}
		if _, err := rules.NewEvidence(b, lastOf(e), once); err != nil {
			t.Errorf("%s: one page, as before, and yet %v", kind, err)
		}
		onePlane(&once, kind).Pages = 2
		if _, err := rules.NewEvidence(b, lastOf(e), once); err == nil {
			t.Errorf("%s: as before, of two pages, and believed by one witness", kind)
		}
	}
}

// TestWhatHasNotChangedIsKeptOnce: the evidence of a whole fleet is kept beside that of the run under way.
func TestWhatHasNotChangedIsKeptOnce(t *testing.T) {
	first := evidence(t, observation(agency(), exact()...))
	second, err := rules.NewEvidence(baseline(), lastOf(first), observation(agency(), exact()...))
	if err != nil {
		t.Fatal(err)
	}
	report := rules.Evaluate(baseline(), second, fleet(), now)
	kept := 0
	for i, p := range second.Planes() {
		for n := range p.Grants {
			if &p.Grants[n] != &first.Planes()[i].Grants[n] {
				t.Errorf("the plane %s has a copy of %s", p.Kind, p.Grants[n].Policy.Name)
			}
			if slices.ContainsFunc(report.Required, func(c rules.Covered) bool { return &c.By[0] == &p.Grants[n] }) {
				kept++
			}
		}
	}
	if kept != len(report.Required) || kept == 0 {
		t.Errorf("%d of %d coverages rest on the planes' own grants", kept, len(report.Required))
	}
}

// TestEverythingNeedsTwoWitnesses: where something is to be done on account of the reading, each thing that is read needs a second
// witness though it is as it was, or though nothing is known of what it was; and one that says otherwise is the reason for which
// there is no evidence.
func TestEverythingNeedsTwoWitnesses(t *testing.T) {
	full := []rules.Grant{
		grant(iamRead, rules.Global), grant(rmsRead, rules.Global), grant(dcsUser, rules.AllResources), grant(cocSelf, rules.AllResources),
		in("x", rules.Project, "p1"), in("y", rules.EnterpriseProject, "0"), grant("v5", rules.Identity), custom("mine", "c1", rules.Global),
	}
	whole := func() rules.Observation {
		o := observation(agency(), full...)
		everythingAgain(&o)
		o.ListedTwice, o.ListedAgain = true, slices.Clone(o.Listed)
		return o
	}
	e, err := rules.NewEvidence(baseline(), rules.Last{}, whole())
	if err != nil {
		t.Fatal(err)
	}
	for name, last := range map[string]rules.Last{"known": lastOf(e), "unknown": {}} {
		last.All = true
		if _, err := rules.NewEvidence(baseline(), last, whole()); err != nil {
			t.Errorf("%s: by two witnesses: %v", name, err)
		}
		for lacks, cut := range map[string]func(o *rules.Observation){
			"the second listing": func(o *rules.Observation) { o.ListedTwice, o.ListedAgain = false, nil },
			"global":             func(o *rules.Observation) { onePlane(o, rules.Global).Witnessed = false },
			"all resources":      func(o *rules.Observation) { onePlane(o, rules.AllResources).Witnessed = false },
			"projects":           func(o *rules.Observation) { onePlane(o, rules.Project).Witnessed = false },
			"enterprise":         func(o *rules.Observation) { onePlane(o, rules.EnterpriseProject).Witnessed = false },
			"identity":           func(o *rules.Observation) { onePlane(o, rules.Identity).Witnessed = false },
			"a policy":           func(o *rules.Observation) { o.PoliciesAgain = o.PoliciesAgain[1:] },
		} {
			o := whole()
			cut(&o)
			_, err := rules.NewEvidence(baseline(), last, o)
			if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonIncomplete {
				t.Errorf("%s, without %s: %v", name, lacks, err)
			}
		}
		for says, lie := range map[string]func(o *rules.Observation){
			"the second listing": func(o *rules.Observation) { o.ListedAgain[0].Trust.ID = "another" },
			"global":             func(o *rules.Observation) { onePlane(o, rules.Global).WitnessIDs[0] = "another" },
			"identity":           func(o *rules.Observation) { onePlane(o, rules.Identity).Again = nil },
			"a policy":           func(o *rules.Observation) { o.PoliciesAgain[0].Name = "another" },
		} {
			o := whole()
			lie(&o)
			_, err := rules.NewEvidence(baseline(), last, o)
			if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree {
				t.Errorf("%s, %s says otherwise: %v", name, says, err)
			}
		}
	}
	// A plane that the site does not have cannot be read twice; it was asked for twice by whoever says so.
	o := whole()
	*onePlane(&o, rules.EnterpriseProject) = rules.Plane{Kind: rules.EnterpriseProject, State: rules.PlaneAbsent}
	if _, err := rules.NewEvidence(baseline(), rules.Last{All: true}, o); err != nil {
		t.Errorf("a plane that is absent: %v", err)
	}
}

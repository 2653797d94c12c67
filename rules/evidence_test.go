package rules_test

import (
	"errors"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Each row spoils a whole observation in one way. None of them may become evidence.
func TestAnIncompleteObservationIsNoEvidence(t *testing.T) {
	plane := func(o *rules.Observation, kind rules.ScopeKind) *rules.Plane {
		for i := range o.Planes {
			if o.Planes[i].Kind == kind {
				return &o.Planes[i]
			}
		}
		panic("no plane " + kind)
	}
	for name, c := range map[string]struct {
		spoil  func(o *rules.Observation)
		reason rules.Reason
	}{
		"another agency than asked": {func(o *rules.Observation) { o.AgencyName = "other" }, rules.ReasonRejected},
		"no time":                   {func(o *rules.Observation) { o.StartedAt = time.Time{} }, rules.ReasonIncomplete},
		"ended before it started":   {func(o *rules.Observation) { o.EndedAt = o.StartedAt.Add(-1) }, rules.ReasonIncomplete},
		"two agencies of the name":  {func(o *rules.Observation) { o.Listed = append(o.Listed, o.Listed[0]) }, rules.ReasonAmbiguous},
		"absent by one witness":     {func(o *rules.Observation) { o.Listed = nil }, rules.ReasonIncomplete},
		"absent and present":        {func(o *rules.Observation) { o.Unfiltered, o.Listed, o.UnfilteredAsked = o.Listed, nil, true }, rules.ReasonDisagree},
		"agency without id":         {func(o *rules.Observation) { o.Listed[0].ID = "" }, rules.ReasonIncomplete},
		"agency of another account": {func(o *rules.Observation) { o.Listed[0].AccountID = "d2" }, rules.ReasonRejected},
		"agency of no account":      {func(o *rules.Observation) { o.Listed[0].AccountID = "" }, rules.ReasonRejected},
		"agency without trust id":   {func(o *rules.Observation) { o.Listed[0].Trust.ID = "" }, rules.ReasonIncomplete},
		"a plane left out":          {func(o *rules.Observation) { o.Planes = o.Planes[:4] }, rules.ReasonIncomplete},
		"a plane twice":             {func(o *rules.Observation) { o.Planes = append(o.Planes, o.Planes[0]) }, rules.ReasonRejected},
		"a sixth plane":             {func(o *rules.Observation) { o.Planes = append(o.Planes, rules.Plane{Kind: "sixth"}) }, rules.ReasonRejected},
		"a plane not read":          {func(o *rules.Observation) { plane(o, rules.Project).State = "" }, rules.ReasonIncomplete},
		"the global plane absent": {func(o *rules.Observation) {
			*plane(o, rules.Global) = rules.Plane{Kind: rules.Global, State: rules.PlaneAbsent}
		}, rules.ReasonRejected},
		"an absent plane with rows": {func(o *rules.Observation) {
			*plane(o, rules.Identity) = rules.Plane{Kind: rules.Identity, State: rules.PlaneAbsent, Total: 1}
		}, rules.ReasonDisagree},
		"fewer rows than counted": {func(o *rules.Observation) { plane(o, rules.Global).Total++ }, rules.ReasonDisagree},
		"more rows than counted":  {func(o *rules.Observation) { plane(o, rules.Global).Total-- }, rules.ReasonDisagree},
		"a row of another plane":  {func(o *rules.Observation) { plane(o, rules.Global).Grants[0].Scope.Kind = rules.AllResources }, rules.ReasonRejected},
		"a row without policy id": {func(o *rules.Observation) { plane(o, rules.Global).Grants[0].Policy.ID = "" }, rules.ReasonIncomplete},
		"a policy not looked up":  {func(o *rules.Observation) { plane(o, rules.Global).Grants[0].Policy.Origin = "" }, rules.ReasonIncomplete},
		"a global row with an id": {func(o *rules.Observation) { plane(o, rules.Global).Grants[0].Scope.ID = "p1" }, rules.ReasonIncomplete},
		"a project row without id": {func(o *rules.Observation) {
			p := plane(o, rules.Project)
			p.Total, p.Grants = 1, []rules.Grant{grant("x", rules.Project)}
		}, rules.ReasonIncomplete},
		"a row twice": {func(o *rules.Observation) { p := plane(o, rules.Global); p.Grants[1] = p.Grants[0] }, rules.ReasonRejected},
		"empty where it must not be": {func(o *rules.Observation) {
			*plane(o, rules.Global) = rules.Plane{Kind: rules.Global, State: rules.PlaneRead}
		}, rules.ReasonIncomplete},
		"a second witness sees more": {func(o *rules.Observation) {
			*plane(o, rules.Global) = rules.Plane{Kind: rules.Global, State: rules.PlaneRead, Witnessed: true, WitnessIDs: []string{"x"}}
		}, rules.ReasonDisagree},
		"a second witness sees others": {func(o *rules.Observation) {
			p := plane(o, rules.Global)
			p.Witnessed, p.WitnessIDs = true, []string{p.Grants[0].Policy.ID, "other"}
		}, rules.ReasonDisagree},
		"a second witness sees less": {func(o *rules.Observation) { plane(o, rules.Global).Witnessed = true }, rules.ReasonDisagree},
	} {
		t.Run(name, func(t *testing.T) {
			o := observation(agency(), exact()...)
			c.spoil(&o)
			e, err := rules.NewEvidence(baseline(), rules.Last{}, o)
			u, ok := errors.AsType[*rules.Unknown](err)
			if !ok || u.Reason != c.reason || u.Detail == "" {
				t.Fatalf("got %v, want %s", err, c.reason)
			}
			if r := rules.Evaluate(baseline(), e, fleet(), now); r.State != rules.StateUnknown || len(r.Findings) > 0 || r.Unknown == nil {
				t.Errorf("what is no evidence was judged: %+v", r)
			}
		})
	}
}

func TestEvidenceOfAbsentPlanes(t *testing.T) {
	o := observation(agency(), exact()...)
	for i := range o.Planes {
		if k := o.Planes[i].Kind; k == rules.EnterpriseProject || k == rules.Identity {
			o.Planes[i] = rules.Plane{Kind: k, State: rules.PlaneAbsent}
		}
	}
	check(t, rules.Evaluate(baseline(), evidence(t, o), fleet(), now), rules.StateCompliant)
}

func TestASecondWitnessThatAgreesIsFine(t *testing.T) {
	o := observation(agency(), exact()...)
	for i := range o.Planes {
		p := &o.Planes[i]
		p.Witnessed, p.WitnessIDs = true, nil
		for _, g := range p.Grants {
			p.WitnessIDs = append([]string{g.Policy.ID}, p.WitnessIDs...)
		}
	}
	check(t, rules.Evaluate(baseline(), evidence(t, o), fleet(), now), rules.StateCompliant)
}

func TestOnlyPlanesThatTheBaselineFillsNeedAWitnessWithoutLastEvidence(t *testing.T) {
	for _, kind := range rules.Planes() {
		empty := rules.Plane{Kind: kind, State: rules.PlaneRead}
		filled := kind == rules.Global || kind == rules.AllResources
		if got := (rules.Last{}).NeedsWitness(baseline(), empty); got != filled {
			t.Errorf("%s, empty: %t", kind, got)
		}
		empty.Grants = []rules.Grant{grant("x", kind)}
		if (rules.Last{}).NeedsWitness(baseline(), empty) {
			t.Errorf("%s, not empty", kind)
		}
	}
}

func TestLookAlikeAgenciesAreNotTheAgency(t *testing.T) {
	for _, name := range []string{"ServiceAgencyForC0C", "serviceagencyforcoc", "ServiceAgencyForCOC ", "ServiceAgencyForCОC", ""} {
		look := agency()
		look.ID, look.Name = "look", name
		o := observation(agency(), exact()...)
		o.Listed = append([]rules.Agency{look}, o.Listed...)
		got, ok := evidence(t, o).Agency()
		if !ok || got.ID != agency().ID {
			t.Errorf("%q was taken for the agency", name)
		}
		o = absent()
		o.Listed, o.Unfiltered = []rules.Agency{look}, []rules.Agency{look}
		if _, ok := evidence(t, o).Agency(); ok {
			t.Errorf("%q alone was taken for the agency", name)
		}
	}
}

func TestEvidenceOfAnotherBaselineIsNotJudged(t *testing.T) {
	b := baseline()
	b.Agency = "another"
	r := rules.Evaluate(b, evidence(t, observation(agency(), exact()...)), fleet(), now)
	if r.State != rules.StateUnknown || r.Unknown == nil {
		t.Errorf("judged: %+v", r)
	}
}

func TestAReasonNamesTheAnswerThatItRestsOn(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(o *rules.Observation)
		id    string
	}{
		"the list": {func(o *rules.Observation) { o.Listed[0].AccountID = "d2" }, "list-2"},
		"two":      {func(o *rules.Observation) { o.Listed = append(o.Listed, o.Listed[0]) }, "list-2"},
		"a plane":  {func(o *rules.Observation) { o.Planes[1].Total++ }, "plane-2"},
		"no time":  {func(o *rules.Observation) { o.StartedAt = time.Time{} }, ""},
	} {
		o := observation(agency(), exact()...)
		o.ListRequestIDs = []string{"list-1", "list-2"}
		o.Planes[1].RequestIDs = []string{"plane-1", "plane-2"}
		c.spoil(&o)
		_, err := rules.NewEvidence(baseline(), rules.Last{}, o)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.RequestID != c.id {
			t.Errorf("%s: %v, want request id %q", name, err, c.id)
		}
	}
}

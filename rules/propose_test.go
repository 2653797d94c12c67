package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/rules"
)

// setting is what a test of Propose starts from: all may be repaired, and everything was seen for long enough.
type setting struct {
	baseline rules.Baseline
	fleet    rules.Fleet
	agency   rules.Agency
	grants   []rules.Grant
	may      rules.Repairs
	waivers  []rules.Waiver
	replayed bool
	since    func(rules.Grant) time.Time
	readAt   time.Time
	now      time.Time
	// later is how long after the verdict it is that something is proposed.
	later time.Duration
}

// fataler is a test of package testing or one of rapid.
type fataler interface {
	Helper()
	Fatal(...any)
}

func newSetting(grants ...rules.Grant) *setting {
	return &setting{
		baseline: baseline(), fleet: fleet(), agency: agency(), grants: grants, readAt: now, now: now,
		may:   rules.Repairs{Grant: true, Revoke: &rules.Revocation{Policies: []string{"Tenant Guest", "OBS FullAccess", "c1"}, Grace: 24 * time.Hour}},
		since: func(rules.Grant) time.Time { return now.Add(-48 * time.Hour) },
	}
}

func (s *setting) report(t fataler) (rules.Report, rules.Evidence) {
	t.Helper()
	e, err := rules.NewEvidence(s.baseline, rules.Last{}, observation(s.agency, s.grants...))
	if err != nil {
		t.Fatal(err)
	}
	r := rules.Evaluate(s.baseline, e, s.fleet, s.now)
	rules.Accept(&r, s.waivers, s.now)
	return r, e
}

func (s *setting) propose(t fataler) ([]rules.Step, []rules.Held) {
	t.Helper()
	r, e := s.report(t)
	return rules.Propose(rules.Case{
		Baseline: &s.baseline, Report: &r, Planes: e.Planes(), ReadAt: s.readAt, Replayed: s.replayed, Since: s.since,
	}, s.may, s.now.Add(s.later))
}

// shorts are steps in a few words, holds what is held with the reasons.
func shorts(steps []rules.Step) (list []string) {
	for i := range steps {
		list = append(list, steps[i].Short())
	}
	return list
}

func holds(held []rules.Held) (list []string) {
	for _, h := range held {
		list = append(list, fmt.Sprintf("%s %s: %s", h.Action, h.Policy, h.Reason))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestPropose(t *testing.T) {
	ended := now.Add(-time.Hour)
	waive := func(policies ...string) []rules.Waiver {
		return []rules.Waiver{{
			ID: "w", Selector: rules.Selector{Accounts: []string{"prod"}}, Rules: []string{rules.RuleMissing, rules.RuleNarrower, rules.RuleExcess, rules.RuleTrustMismatch},
			Policies: policies, Added: now.Add(-time.Hour), Expires: now.Add(time.Hour),
		}}
	}
	guest := grant("Tenant Guest", rules.Global)
	lacking := func() []rules.Grant { return without(exact(), iamRead) }
	for name, tt := range map[string]struct {
		grants      []rules.Grant
		change      func(*setting)
		steps, held []string
	}{
		"nothing is wrong":   {grants: exact()},
		"one is missing":     {grants: lacking(), steps: []string{"grant IAM ReadOnlyAccess at Global service"}},
		"all are missing":    {steps: []string{"grant IAM ReadOnlyAccess at Global service", "grant RMS ReadOnlyAccess at Global service", "grant COCServiceAgencyDefaultPolicy at All resources", "grant DCS UserAccess at All resources"}},
		"granting is off":    {grants: lacking(), change: func(s *setting) { s.may.Grant = false }, held: []string{"grant IAM ReadOnlyAccess: off"}},
		"too narrow":         {grants: append(without(exact(), dcsUser), in(dcsUser, rules.Project, "p1"), grant(dcsUser, rules.Global)), steps: []string{"grant DCS UserAccess at All resources"}},
		"wider":              {grants: append(lacking(), grant(iamRead, rules.AllResources))},
		"redundant":          {grants: append(exact(), in(dcsUser, rules.Project, "p1"))},
		"the wrong place":    {grants: append(lacking(), in(iamRead, rules.Project, "p1")), change: func(s *setting) { s.may.Revoke.Policies = []string{iamRead} }, steps: []string{"grant IAM ReadOnlyAccess at Global service"}, held: []string{"revoke IAM ReadOnlyAccess: required"}},
		"excess":             {grants: append(exact(), guest), steps: []string{"revoke Tenant Guest at Global service"}},
		"grants go first":    {grants: append(lacking(), guest), steps: []string{"grant IAM ReadOnlyAccess at Global service", "revoke Tenant Guest at Global service"}},
		"revoking is off":    {grants: append(exact(), guest), change: func(s *setting) { s.may.Revoke = nil }, held: []string{"revoke Tenant Guest: off"}},
		"not listed":         {grants: append(exact(), grant("Server Administrator", rules.Global)), held: []string{"revoke Server Administrator: not_listed"}},
		"listed by id":       {grants: append(exact(), guest), change: func(s *setting) { s.may.Revoke.Policies = []string{"id of Tenant Guest"} }, steps: []string{"revoke Tenant Guest at Global service"}},
		"custom by its name": {grants: append(exact(), custom("Tenant Guest", "c9", rules.Global)), held: []string{"revoke Tenant Guest: not_listed"}},
		"custom by its id":   {grants: append(exact(), custom("mine", "c1", rules.Identity)), steps: []string{"revoke mine at Identity policy (v5)"}},
		"unresolved by its id": {
			grants: append(exact(), rules.Grant{Policy: rules.Policy{ID: "c1", Origin: rules.Unresolved}, Scope: rules.Scope{Kind: rules.Global}}),
			steps:  []string{"revoke the policy with the id c1 at Global service"},
		},
		"unresolved that is not listed": {
			grants: append(exact(), rules.Grant{Policy: rules.Policy{ID: "c7", Origin: rules.Unresolved}, Scope: rules.Scope{Kind: rules.Global}}),
			change: func(s *setting) { s.may.Revoke.Policies = append(s.may.Revoke.Policies, "") }, held: []string{"revoke : not_listed"},
		},
		"an impostor beside what is missing": {
			grants: append(lacking(), custom(iamRead, "c1", rules.Global)),
			steps:  []string{"grant IAM ReadOnlyAccess at Global service", "revoke IAM ReadOnlyAccess at Global service"},
		},
		"an impostor that is not listed": {
			grants: append(exact(), custom(iamRead, "c9", rules.Global)), change: func(s *setting) { s.may.Revoke.Policies = []string{iamRead} },
			held: []string{"revoke IAM ReadOnlyAccess: not_listed"},
		},
		"two ids of one name": {
			grants: lacking(), change: func(s *setting) { s.fleet.PolicyIDs[iamRead] = []string{"a", "b"} }, held: []string{"grant IAM ReadOnlyAccess: ambiguous"},
		},
		"another name is accepted": {
			grants: lacking(), change: func(s *setting) {
				s.baseline.Required[0].Accepts = []string{"Other"}
				s.fleet.PolicyIDs["Other"] = []string{"o"}
			},
			held: []string{"grant IAM ReadOnlyAccess: ambiguous"},
		},
		"a policy that the site lacks": {grants: lacking(), change: func(s *setting) { s.fleet.PolicyIDs[iamRead] = nil }},
		"one that is held too narrowly and that the site lacks": {
			grants: append(without(exact(), dcsUser), in(dcsUser, rules.Project, "p1")), change: func(s *setting) { s.fleet.PolicyIDs[dcsUser] = nil },
			held: []string{"grant DCS UserAccess: unresolvable"},
		},
		"a policy that is never granted": {
			grants: exact(), change: func(s *setting) {
				s.baseline.Required = append(s.baseline.Required, rules.Requirement{Policy: "tenant administrator ", Scope: rules.Global})
				s.fleet.PolicyIDs["tenant administrator "] = []string{"ta"}
			},
			held: []string{"grant tenant administrator : denied"},
		},
		"some project": {
			grants: exact(), change: func(s *setting) {
				s.baseline.Required = append(s.baseline.Required, rules.Requirement{Policy: "P", Scope: rules.Project})
				s.fleet.PolicyIDs["P"] = []string{"p"}
			},
			held: []string{"grant P: unclear"},
		},
		"accepted": {
			grants: append(lacking(), guest), change: func(s *setting) { s.waivers = waive(iamRead, "Tenant Guest") },
			held: []string{"grant IAM ReadOnlyAccess: waived", "revoke Tenant Guest: waived"},
		},
		"accepted no longer": {
			grants: append(lacking(), guest), change: func(s *setting) { s.waivers = waive(iamRead, "Tenant Guest"); s.now = now.Add(time.Hour) },
			steps: []string{"grant IAM ReadOnlyAccess at Global service", "revoke Tenant Guest at Global service"},
		},
		"accepted no longer, since the verdict": {
			grants: append(lacking(), guest), change: func(s *setting) { s.waivers = waive(iamRead, "Tenant Guest"); s.later = time.Hour },
			steps: []string{"grant IAM ReadOnlyAccess at Global service", "revoke Tenant Guest at Global service"},
		},
		"ended, since the verdict": {
			grants: lacking(), change: func(s *setting) { s.agency.ExpiresAt = now.Add(time.Minute); s.later = time.Minute },
			held: []string{"grant IAM ReadOnlyAccess: expired"},
		},
		"the trust is wrong": {
			grants: append(lacking(), guest), change: func(s *setting) { s.agency.Trust.Name = "stranger" },
			held: []string{"grant IAM ReadOnlyAccess: trust", "revoke Tenant Guest: trust"},
		},
		"the trust is wrong, and that is accepted": {
			grants: append(lacking(), guest), change: func(s *setting) {
				s.agency.Trust.Name, s.waivers = "stranger", waive()
				s.waivers[0].Rules, s.waivers[0].Trusts = []string{rules.RuleTrustMismatch}, []string{cocID}
			},
			held: []string{"grant IAM ReadOnlyAccess: trust", "revoke Tenant Guest: trust"},
		},
		"the agency has ended": {
			grants: append(lacking(), guest), change: func(s *setting) { s.agency.ExpiresAt = ended },
			held: []string{"grant IAM ReadOnlyAccess: expired", "revoke Tenant Guest: expired"},
		},
		"it was recorded": {
			grants: append(lacking(), guest), change: func(s *setting) { s.replayed = true },
			held: []string{"grant IAM ReadOnlyAccess: replayed", "revoke Tenant Guest: replayed"},
		},
		"seen for too short": {
			grants: append(exact(), guest), change: func(s *setting) {
				s.since = func(rules.Grant) time.Time { return now.Add(time.Nanosecond - 24*time.Hour) }
			},
			held: []string{"revoke Tenant Guest: grace"},
		},
		"seen for just long enough": {
			grants: append(exact(), guest), change: func(s *setting) { s.since = func(rules.Grant) time.Time { return now.Add(-24 * time.Hour) } },
			steps: []string{"revoke Tenant Guest at Global service"},
		},
		"not known since when": {grants: append(exact(), guest), change: func(s *setting) { s.since = nil }, held: []string{"revoke Tenant Guest: grace"}},
		"never seen":           {grants: append(exact(), guest), change: func(s *setting) { s.since = func(rules.Grant) time.Time { return time.Time{} } }, held: []string{"revoke Tenant Guest: grace"}},
		"read by a clock ahead": {grants: append(exact(), guest), change: func(s *setting) {
			s.since = func(rules.Grant) time.Time { return now.Add(-time.Hour) }
			s.readAt = now.Add(30 * time.Hour)
		}, held: []string{"revoke Tenant Guest: grace"}},
		"a new project of an old finding": {
			grants: append(exact(), in("Tenant Guest", rules.Project, "old"), in("Tenant Guest", rules.Project, "new")),
			change: func(s *setting) {
				s.since = func(g rules.Grant) time.Time {
					if g.Scope.ID == "new" {
						return now.Add(-time.Hour)
					}
					return now.Add(-48 * time.Hour)
				}
			},
			steps: []string{"revoke Tenant Guest at Region-specific project name-old"}, held: []string{"revoke Tenant Guest: grace"},
		},
		"allowed": {
			grants: append(exact(), guest), change: func(s *setting) {
				s.baseline.Allowed = []rules.Allowance{{Selector: rules.Selector{Accounts: []string{"prod"}}, Policy: "Tenant Guest", Scope: rules.Global}}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetting(tt.grants...)
			if tt.change != nil {
				tt.change(s)
			}
			steps, held := s.propose(t)
			if got := shorts(steps); !slices.Equal(got, tt.steps) {
				t.Errorf("steps\n got %q\nwant %q", got, tt.steps)
			}
			if got := holds(held); !slices.Equal(got, tt.held) {
				t.Errorf("held\n got %q\nwant %q", got, tt.held)
			}
			for _, h := range held {
				if h.Detail == "" || h.AccountID != accountID || h.Account != "prod" || h.Baseline != "coc" || h.Agency == "" || h.Reason.Words() == string(h.Reason) {
					t.Errorf("it says too little: %+v", h)
				}
			}
			for i := range steps {
				step := &steps[i]
				if len(step.Affects) == 0 || step.AgencyID != s.agency.ID || step.AccountID != accountID || len(step.Holding) != 64 || step.Rule == "" || step.Undoes != 0 {
					t.Errorf("it says too little: %+v", step)
				}
			}
		})
	}
}

// TestProposeNothing: what is not known, and what is not there, is left alone.
func TestProposeNothing(t *testing.T) {
	s := newSetting(without(exact(), iamRead)...)
	r, e := s.report(t)
	for name, change := range map[string]func(*rules.Report){
		"unknown": func(r *rules.Report) { r.State = rules.StateUnknown }, "absent": func(r *rules.Report) { r.Agency = nil },
	} {
		r := r
		change(&r)
		if steps, held := rules.Propose(rules.Case{Baseline: &s.baseline, Report: &r, Planes: e.Planes(), ReadAt: now}, s.may, now); len(steps)+len(held) > 0 {
			t.Errorf("%s: %v, %v", name, steps, held)
		}
	}
	// A finding that the baseline does not know, and one about a policy of which the report says nothing.
	r.Findings = []rules.Finding{{Rule: rules.RuleMissing, Policy: "P", Scope: rules.Global}, {Rule: rules.RuleMissing, Policy: iamRead, Scope: rules.Global}}
	r.Required = nil
	_, held := rules.Propose(rules.Case{Baseline: &s.baseline, Report: &r, Planes: e.Planes(), ReadAt: now}, s.may, now)
	if got := holds(held); !slices.Equal(got, []string{"grant IAM ReadOnlyAccess: unresolvable", "grant P: unclear"}) {
		t.Error(got)
	}
}

func TestNeverGranted(t *testing.T) {
	for _, name := range []string{"Security Administrator", "Tenant Administrator", "FullAccess", "Agent Operator"} {
		for _, n := range []string{name, strings.ToLower(name), strings.ToUpper(name), " " + name, name + "\t"} {
			if !rules.NeverGranted(n) {
				t.Errorf("%q may be granted", n)
			}
		}
	}
	for _, n := range []string{"", "IAM ReadOnlyAccess", "OBS FullAccess", "Administrator"} {
		if rules.NeverGranted(n) {
			t.Errorf("%q is never granted", n)
		}
	}
}

// someGrant is any grant: of the baseline, an impostor, an excess one, or one that nobody can name.
func someGrant() *rapid.Generator[rules.Grant] {
	return rapid.Custom(func(t *rapid.T) rules.Grant {
		g := grant(rapid.SampledFrom([]string{iamRead, rmsRead, dcsUser, cocSelf, "Tenant Guest", "OBS FullAccess", "Tenant Administrator"}).Draw(t, "policy"),
			rapid.SampledFrom(rules.Planes()).Draw(t, "kind"))
		switch rapid.IntRange(0, 6).Draw(t, "origin") {
		case 0:
			g.Policy.ID, g.Policy.Origin = "c1", rules.Custom
		case 1:
			g.Policy = rules.Policy{ID: "u1", Origin: rules.Unresolved}
		}
		if g.Scope.Kind == rules.Project || g.Scope.Kind == rules.EnterpriseProject {
			g.Scope.ID = rapid.SampledFrom([]string{"p1", "p2"}).Draw(t, "project")
		}
		return g
	})
}

func key(g rules.Grant) string { return string(g.Scope.Kind) + "|" + g.Scope.ID + "|" + g.Policy.ID }

// TestProposeIsAFixpoint: when all steps were carried out nothing of what they are about is wrong any more, and nothing more is
// proposed. No step takes away what is required, allowed or accepted, and no two are about one grant.
func TestProposeIsAFixpoint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSetting(rapid.SliceOfNDistinct(someGrant(), 0, 12, key).Draw(t, "grants")...)
		s.may.Revoke.Policies = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"Tenant Guest", "OBS FullAccess", "c1", "u1", iamRead, dcsUser}), rapid.ID[string]).Draw(t, "listed")
		if rapid.Bool().Draw(t, "allowed") {
			s.baseline.Allowed = []rules.Allowance{{Selector: rules.Selector{Accounts: []string{"prod"}}, Policy: "Tenant Guest", Scope: rules.AllResources}}
		}
		if rapid.Bool().Draw(t, "waived") {
			s.waivers = []rules.Waiver{{
				ID: "w", Selector: rules.Selector{Accounts: []string{"prod"}}, Rules: []string{rules.RuleExcess}, Policies: []string{"OBS FullAccess"},
				Added: now.Add(-time.Hour), Expires: now.Add(time.Hour),
			}}
		}
		before, e := s.report(t)
		holding := e.Holding()
		steps, _ := s.propose(t)
		if !slices.IsSortedFunc(steps, func(a, b rules.Step) int { return rules.CompareSteps(&a, &b) }) {
			t.Fatal("the steps are not in order")
		}
		seen := map[string]bool{}
		for i := range steps {
			step := &steps[i]
			if seen[step.Target()] || step.Holding != holding.Digest() || holding.Fits(step) {
				t.Fatalf("%s twice, or on other evidence, or it is so already", step.Short())
			}
			seen[step.Target()] = true
			if after := holding.After(step); !after.Fits(step) || after.Digest() == holding.Digest() || after.AgencyID() != s.agency.ID || !after.SameTrust(holding) {
				t.Fatalf("after %s the holding is %+v", step.Short(), after)
			}
			i := slices.IndexFunc(s.grants, func(g rules.Grant) bool { return key(g) == key(step.Grant) })
			if step.Action == rules.ActionGrant {
				s.grants = append(s.grants, step.Grant)
				continue
			}
			for _, c := range before.Required {
				if slices.ContainsFunc(c.By, func(g rules.Grant) bool { return key(g) == key(step.Grant) }) || slices.Contains(c.PolicyIDs, step.Grant.Policy.ID) {
					t.Fatalf("%s takes away what is required", step.Short())
				}
			}
			for _, a := range before.Allowed {
				if key(a.Grant) == key(step.Grant) {
					t.Fatalf("%s takes away what is allowed", step.Short())
				}
			}
			for j := range before.Findings {
				f := &before.Findings[j]
				if f.WaivedAt(now) && slices.ContainsFunc(f.Grants, func(g rules.Grant) bool { return key(g) == key(step.Grant) }) {
					t.Fatalf("%s takes away what is accepted", step.Short())
				}
			}
			s.grants = slices.Delete(s.grants, i, i+1)
		}
		after, _ := s.report(t)
		for _, f := range after.Findings {
			if f.Rule == rules.RuleMissing || f.Rule == rules.RuleNarrower {
				t.Fatalf("%s is still there: %s", f.Rule, f.Message)
			}
		}
		if again, _ := s.propose(t); len(again) > 0 {
			t.Fatalf("then this is proposed: %v", shorts(again))
		}
	})
}

// TestHolding: the digest tells apart what a step depends on, and nothing else.
func TestHolding(t *testing.T) {
	base := func() (rules.Agency, []rules.Grant) {
		return agency(), append(exact(), in(dcsUser, rules.Project, "p1"))
	}
	of := func(a *rules.Agency, grants []rules.Grant) string {
		return rules.HoldingOf(a, []rules.Plane{{Grants: grants}}).Digest()
	}
	a, grants := base()
	want := of(&a, grants)
	seen := map[string]string{want: "what it was"}
	for name, change := range map[string]func(*rules.Agency, *[]rules.Grant){
		"id":                func(a *rules.Agency, _ *[]rules.Grant) { a.ID = "other" },
		"account":           func(a *rules.Agency, _ *[]rules.Grant) { a.AccountID = "other" },
		"trust":             func(a *rules.Agency, _ *[]rules.Grant) { a.Trust.ID = "other" },
		"name of the trust": func(a *rules.Agency, _ *[]rules.Grant) { a.Trust.Name = "OP_SVC_COC" },
		"end":               func(a *rules.Agency, _ *[]rules.Grant) { a.ExpiresAt = now },
		"later end":         func(a *rules.Agency, _ *[]rules.Grant) { a.ExpiresAt = now.Add(time.Second) },
		"one less":          func(_ *rules.Agency, g *[]rules.Grant) { *g = (*g)[1:] },
		"one more":          func(_ *rules.Agency, g *[]rules.Grant) { *g = append(*g, in(dcsUser, rules.Project, "p2")) },
		"another policy":    func(_ *rules.Agency, g *[]rules.Grant) { (*g)[0].Policy.ID = "other" },
		"another plane":     func(_ *rules.Agency, g *[]rules.Grant) { (*g)[4].Scope.Kind = rules.EnterpriseProject },
		"shifted one way":   func(_ *rules.Agency, g *[]rules.Grant) { (*g)[4].Scope.ID, (*g)[4].Policy.ID = "p:a", "b" },
		"shifted another":   func(_ *rules.Agency, g *[]rules.Grant) { (*g)[4].Scope.ID, (*g)[4].Policy.ID = "p", "a:b" },
	} {
		a, grants := base()
		change(&a, &grants)
		d := of(&a, grants)
		if was, taken := seen[d]; taken {
			t.Errorf("%s: the same digest as %s", name, was)
		}
		seen[d] = name
	}
	a, grants = base()
	a.CreatedAt = time.Time{}
	slices.Reverse(grants)
	grants[0].Policy.Name, grants[0].Policy.Unbounded, grants[0].Scope.Name = "renamed", true, "renamed"
	if of(&a, grants) != want {
		t.Error("the order and the names of grants, or when it was made, change the digest")
	}
	if of(nil, nil) != of(nil, grants) || rules.HoldingOf(nil, nil).AgencyID() != "" {
		t.Error("what is not there holds something")
	}
	if (rules.Evidence{}).Holding().Digest() != of(nil, nil) {
		t.Error("no evidence holds something")
	}
}

func TestHoldingTrusts(t *testing.T) {
	for _, tt := range []struct {
		is, want rules.Trust
		ok       bool
	}{
		{rules.Trust{ID: "1", Name: "OP_svc_coc"}, rules.Trust{Name: "op_svc_coc"}, true},
		{rules.Trust{ID: "1"}, rules.Trust{ID: "1", Name: "op_svc_coc"}, true},
		{rules.Trust{ID: "2", Name: "op_svc_coc"}, rules.Trust{ID: "1", Name: "op_svc_coc"}, false},
		{rules.Trust{ID: "1", Name: "stranger"}, rules.Trust{Name: "op_svc_coc"}, false},
		{rules.Trust{ID: "1", Name: "stranger"}, rules.Trust{ID: "1", Name: "op_svc_coc"}, false},
	} {
		a := agency()
		a.Trust = tt.is
		if got := rules.HoldingOf(&a, nil).Trusts(tt.want); got != tt.ok {
			t.Errorf("%+v for %+v: %v", tt.is, tt.want, got)
		}
	}
}

// TestStepID: whatever a step does, rests on or tells people is in its identity.
func TestStepID(t *testing.T) {
	s := newSetting(append(without(exact(), iamRead), in("Tenant Guest", rules.Project, "p1"))...)
	steps, _ := s.propose(t)
	step := steps[1]
	seen := map[string]bool{step.ID(): true}
	for name, change := range map[string]func(*rules.Step){
		"action": func(s *rules.Step) { s.Action = rules.ActionGrant }, "account id": func(s *rules.Step) { s.AccountID += "x" }, "account": func(s *rules.Step) { s.Account += "x" },
		"agency id": func(s *rules.Step) { s.AgencyID += "x" }, "agency": func(s *rules.Step) { s.Agency += "x" }, "baseline": func(s *rules.Step) { s.Baseline += "x" },
		"policy id": func(s *rules.Step) { s.Grant.Policy.ID += "x" }, "policy": func(s *rules.Step) { s.Grant.Policy.Name += "x" },
		"origin": func(s *rules.Step) { s.Grant.Policy.Origin = rules.Custom }, "unbounded": func(s *rules.Step) { s.Grant.Policy.Unbounded = true },
		"kind": func(s *rules.Step) { s.Grant.Scope.Kind = rules.Global }, "scope": func(s *rules.Step) { s.Grant.Scope.ID += "x" }, "scope name": func(s *rules.Step) { s.Grant.Scope.Name += "x" },
		"rule": func(s *rules.Step) { s.Rule += "x" }, "affects": func(s *rules.Step) { s.Affects = s.Affects[1:] }, "holding": func(s *rules.Step) { s.Holding += "x" },
		"undoes": func(s *rules.Step) { s.Undoes = 1 },
	} {
		other := step
		change(&other)
		if seen[other.ID()] {
			t.Errorf("%s: the same identity", name)
		}
		seen[other.ID()] = true
	}
	a, b := step, step
	a.Grant.Scope.ID, a.Grant.Policy.ID = "p:a", "b"
	b.Grant.Scope.ID, b.Grant.Policy.ID = "p", "a:b"
	if a.Target() == b.Target() {
		t.Error("two grants have one target")
	}
	if steps[0].Target() == step.Target() {
		t.Error("two steps have one target")
	}
}

func TestHoldsHaveWords(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range rules.Holds() {
		if w := h.Words(); w == string(h) || seen[w] {
			t.Errorf("%s: %q", h, w)
		}
		seen[h.Words()] = true
	}
	if rules.Hold("x").Words() != "x" || !slices.Equal(rules.Actions(), []rules.Action{rules.ActionGrant, rules.ActionRevoke}) {
		t.Error("what is not known, or the order of actions")
	}
}

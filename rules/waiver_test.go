package rules_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/rules"
)

var waivedAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func held(id, name string, origin rules.Origin) []rules.Grant {
	return []rules.Grant{{Policy: rules.Policy{ID: id, Name: name, Origin: origin}}}
}

const (
	contractor = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	intruder   = "ee000000000000000000000000000001"
)

func mistrust(id string) rules.Finding {
	return rules.Finding{Rule: rules.RuleTrustMismatch, Severity: rules.Critical, Trusts: id}
}

// TestWhatAWaiverCovers has a waiver of everything that can be said, and one thing about the finding or the account that is otherwise.
func TestWhatAWaiverCovers(t *testing.T) {
	account := rules.Account{ID: "d1", Name: "shop-prod", OU: "Workloads/Production", Tags: []rules.Tag{{Key: "env", Value: "prod"}, {Key: "owner", Value: "shop"}}}
	finding := rules.Finding{
		Rule: rules.RuleExcess, Policy: "OBS OperateAccess", PolicyID: "p1", Scope: rules.Project, Grants: held("p1", "OBS OperateAccess", rules.System),
	}
	waiver := rules.Waiver{
		ID: "w", Baselines: []string{"coc"}, Rules: []string{rules.RuleExcess}, Policies: []string{"OBS OperateAccess", "p9"}, Scopes: []rules.ScopeKind{rules.Project},
		Selector: rules.Selector{Accounts: []string{"shop-*"}, OUs: []string{"Workloads"}, Tags: map[string][]string{"env": {"test", "prod"}, "owner": {"shop"}}},
	}
	const otherID = "d0000000000000000000000000000002"
	for name, c := range map[string]struct {
		change func(a *rules.Account, baseline *string, f *rules.Finding, w *rules.Waiver)
		want   bool
	}{
		"all of it":        {func(*rules.Account, *string, *rules.Finding, *rules.Waiver) {}, true},
		"another rule":     {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) { f.Rule = rules.RuleImpostor }, false},
		"no rule":          {func(_ *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) { w.Rules = nil }, false},
		"another baseline": {func(_ *rules.Account, b *string, _ *rules.Finding, _ *rules.Waiver) { *b = "other" }, false},
		"any baseline":     {func(_ *rules.Account, b *string, _ *rules.Finding, w *rules.Waiver) { *b, w.Baselines = "other", nil }, true},
		"another scope":    {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) { f.Scope = rules.AllResources }, false},
		"any scope": {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) {
			f.Scope, w.Scopes = rules.Global, nil
		}, true},
		"another policy":    {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) { f.Policy = "OBS Administrator" }, false},
		"the policy's case": {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) { f.Policy = "OBS operateAccess" }, false},
		"any policy":        {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) { f.Policy, w.Policies = "x", nil }, true},
		"a custom policy of the name": {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) {
			f.Grants = held("p1", "OBS OperateAccess", rules.Custom)
		}, false},
		"a custom policy by its id": {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) {
			f.PolicyID, f.Grants = "p9", held("p9", "OBS OperateAccess", rules.Custom)
		}, true},
		"a policy that is called like an id": {func(_ *rules.Account, _ *string, f *rules.Finding, _ *rules.Waiver) {
			f.Policy, f.Grants = "p9", held("p1", "p9", rules.Custom)
		}, false},
		"an account of another name": {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.Name = "shopping" }, false},
		"an account by its id": {func(a *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			a.Name, w.Selector.Accounts = "renamed", []string{"d1"}
		}, true},
		"an account that is called like the id of another one": {func(a *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			a.Name, w.Selector.Accounts = otherID, []string{otherID}
		}, false},
		"an account that is called almost like an id": {func(a *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			a.Name, w.Selector.Accounts = otherID[1:], []string{otherID[1:]}
		}, true},
		"a unit of a longer name": {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.OU = "Workloads2/Production" }, false},
		"the unit itself":         {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.OU = "Workloads" }, true},
		"no unit":                 {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.OU = "" }, false},
		"another value of a tag":  {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.Tags[0].Value = "dev" }, false},
		"one tag of two":          {func(a *rules.Account, _ *string, _ *rules.Finding, _ *rules.Waiver) { a.Tags = a.Tags[:1] }, false},
		"a selector of nothing": {func(_ *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			w.Selector = rules.Selector{}
		}, false},
		"the trust of whom it names": {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) {
			*f, w.Rules, w.Policies, w.Scopes = mistrust(intruder), []string{rules.RuleTrustMismatch}, nil, nil
			w.Trusts = []string{contractor, intruder}
		}, true},
		"the trust of somebody else": {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) {
			*f, w.Rules, w.Policies, w.Scopes = mistrust(intruder), []string{rules.RuleTrustMismatch}, nil, nil
			w.Trusts = []string{contractor}
		}, false},
		"the trust of anybody": {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) {
			*f, w.Rules, w.Policies, w.Scopes = mistrust(intruder), []string{rules.RuleTrustMismatch}, nil, nil
		}, false},
		"a trust of which it is not known whose": {func(_ *rules.Account, _ *string, f *rules.Finding, w *rules.Waiver) {
			*f, w.Rules, w.Policies, w.Scopes = mistrust(""), []string{rules.RuleTrustMismatch}, nil, nil
			w.Trusts = []string{contractor, ""}
		}, false},
		"another rule, whomever the agency trusts": {func(_ *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			w.Rules, w.Trusts = append(w.Rules, rules.RuleTrustMismatch), []string{contractor}
		}, true},
		"a pattern that is none": {func(_ *rules.Account, _ *string, _ *rules.Finding, w *rules.Waiver) {
			w.Selector.Accounts = []string{"shop-[prod"}
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, f, w, b := account, finding, waiver, "coc"
			a.Tags = slices.Clone(a.Tags)
			c.change(&a, &b, &f, &w)
			if got := w.Covers(a, b, &f); got != c.want {
				t.Errorf("covers: %t, want %t", got, c.want)
			}
		})
	}
}

// TestATrustThatMovesOnIsNotAccepted: the agency trusts one account, which is accepted, and then another one. What else is accepted stays so.
func TestATrustThatMovesOnIsNotAccepted(t *testing.T) {
	waivers := []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleTrustMismatch, rules.RuleMissing}, Trusts: []string{contractor},
		Added: now.Add(-time.Hour), Expires: now.Add(time.Hour),
	}}
	for trusts, want := range map[rules.Trust]rules.State{
		{ID: contractor, Name: "contractor-9"}: rules.StateWaived,
		{ID: intruder, Name: "contractor-9"}:   rules.StateDrifted, // by the same name
		{ID: intruder, Name: "mallory"}:        rules.StateDrifted,
	} {
		a := agency()
		a.Trust = trusts
		r := rules.Evaluate(baseline(), evidence(t, observation(a, without(exact(), iamRead)...)), fleet(), now)
		rules.Accept(&r, waivers, now)
		if r.State != want || len(r.Findings) != 2 {
			t.Fatalf("trusting %v: %s, %+v", trusts, r.State, r.Findings)
		}
		if trust, missing := r.Findings[0], r.Findings[1]; trust.Trusts != trusts.ID || (trust.Waived != nil) != (want == rules.StateWaived) || missing.Waived == nil {
			t.Errorf("trusting %v: %+v", trusts, r.Findings)
		}
	}
}

// TestAWaiverEnds: at the instant at which it expires, and not later, nothing is accepted by it.
func TestAWaiverEnds(t *testing.T) {
	r := rules.Report{
		Account: rules.Account{ID: "d1"}, State: rules.StateDrifted,
		Findings: []rules.Finding{{Rule: rules.RuleExcess, Severity: rules.High}, {Rule: rules.RuleWider, Severity: rules.Info}},
	}
	w := rules.Waiver{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleExcess}, Added: waivedAt, Expires: waivedAt.Add(time.Hour), Owner: "o",
		Reason: "r", Ticket: "t",
	}
	longer := w
	longer.ID, longer.Expires = "longer", w.Expires.Add(time.Hour)
	for at, want := range map[time.Duration]struct {
		waivers []rules.Waiver
		state   rules.State
		by      string
	}{
		-time.Nanosecond:            {[]rules.Waiver{w}, rules.StateDrifted, ""},
		0:                           {[]rules.Waiver{w}, rules.StateWaived, "w"},
		time.Hour - time.Nanosecond: {[]rules.Waiver{longer, w}, rules.StateWaived, "longer"},
		time.Hour:                   {[]rules.Waiver{w}, rules.StateDrifted, ""},
		time.Hour + time.Second:     {[]rules.Waiver{w, longer}, rules.StateWaived, "longer"},
	} {
		is := r
		rules.Accept(&is, want.waivers, waivedAt.Add(at))
		by := ""
		if a := is.Findings[0].Waived; a != nil {
			by = a.Waiver
			if a.Owner != "o" || a.Reason != "r" || a.Ticket != "t" {
				t.Errorf("%v: %+v", at, a)
			}
		}
		if is.State != want.state || by != want.by || is.Findings[1].Waived != nil {
			t.Errorf("%v: %s by %q, want %s by %q", at, is.State, by, want.state, want.by)
		}
	}
	if r.Findings[0].Waived != nil {
		t.Error("the report that was given was changed")
	}
	// What was judged at one instant is read at later ones.
	rules.Accept(&r, []rules.Waiver{w}, waivedAt)
	if was, is := r.StateAt(w.Expires.Add(-1)), r.StateAt(w.Expires); was != rules.StateWaived || is != rules.StateDrifted {
		t.Errorf("%s, then %s", was, is)
	}
	if f := &r.Findings[0]; !f.WaivedAt(w.Expires.Add(-1)) || f.WaivedAt(w.Expires) {
		t.Error("the finding is accepted too long, or too short")
	}
	rules.Accept(&r, nil, waivedAt)
	if r.State != rules.StateDrifted || r.Findings[0].Waived != nil {
		t.Error("accepted without a waiver")
	}
}

// TestOnlyWhatDriftedIsWaived: waivers make nothing good of which nothing is known.
func TestOnlyWhatDriftedIsWaived(t *testing.T) {
	w := []rules.Waiver{{
		ID: "w", Selector: rules.Selector{Accounts: []string{"*"}}, Rules: []string{rules.RuleExcess, rules.RuleWider}, Added: waivedAt, Expires: waivedAt.Add(time.Hour),
	}}
	for _, state := range rules.States() {
		r := rules.Report{State: state, Findings: []rules.Finding{{Rule: rules.RuleWider, Severity: rules.Info}}}
		if state == rules.StateUnknown || state == rules.StateDrifted || state == rules.StateWaived {
			r.Findings = append(r.Findings, rules.Finding{Rule: rules.RuleExcess, Severity: rules.Warning})
		}
		want := state
		if state == rules.StateDrifted {
			want = rules.StateWaived
		}
		rules.Accept(&r, w, waivedAt)
		if r.State != want {
			t.Errorf("%s became %s, want %s", state, r.State, want)
		}
		for _, f := range r.Findings {
			if f.Waived == nil {
				t.Errorf("%s: %s is not marked", state, f.Rule)
			}
		}
	}
}

// TestScopesOfRules judges all pairs of grants: findings are about the scopes that their rule is said to be about, about all of them, and
// about no others.
func TestScopesOfRules(t *testing.T) {
	var all []rules.Grant
	for _, kind := range rules.Planes() {
		for _, g := range []rules.Grant{grant(iamRead, kind), grant("Odd", kind), custom(iamRead, "c1", kind), grant("ECS FullAccess", kind)} {
			if kind == rules.Project || kind == rules.EnterpriseProject {
				g.Scope.ID = "p1"
			}
			all = append(all, g)
		}
	}
	seen := map[string]map[rules.ScopeKind]bool{}
	for _, required := range []rules.ScopeKind{rules.Global, rules.AllResources, rules.Project} {
		b := baseline()
		b.Required = []rules.Requirement{{Policy: iamRead, Scope: required, Accepts: []string{"Odd"}}}
		for i := range all {
			for _, list := range [][]rules.Grant{all[:i], {all[i]}, all[i:]} {
				e, err := rules.NewEvidence(b, rules.Last{}, observation(agency(), list...))
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range rules.Evaluate(b, e, fleet(), now).Findings {
					if seen[f.Rule] == nil {
						seen[f.Rule] = map[rules.ScopeKind]bool{}
					}
					seen[f.Rule][f.Scope] = true
				}
			}
		}
	}
	for _, r := range rules.Rules() {
		for _, kind := range rules.Planes() {
			if r.ID != rules.RuleUnresolvable && seen[r.ID][kind] != slices.Contains(rules.ScopesOf(r.ID), kind) {
				t.Errorf("%s about %s: %t", r.ID, kind, seen[r.ID][kind])
			}
		}
	}
}

// TestEveryReaderOfAWaiverAgrees holds the one matcher against what is said of each finding: the mark is there exactly if some waiver
// in force covers it, whatever its order, and the state follows from the marks.
func TestEveryReaderOfAWaiverAgrees(t *testing.T) {
	pick := func(t *rapid.T, name string, from ...string) string { return rapid.SampledFrom(from).Draw(t, name) }
	rapid.Check(t, func(t *rapid.T) {
		account := rules.Account{ID: pick(t, "id", "d1", "d2"), Name: pick(t, "name", "a", "b"), OU: pick(t, "ou", "", "X", "X/Y")}
		r := rules.Report{Account: account, Baseline: "coc", State: rules.StateDrifted}
		for range rapid.IntRange(1, 5).Draw(t, "findings") {
			r.Findings = append(r.Findings, rules.Finding{
				Rule: pick(t, "rule", rules.RuleExcess, rules.RuleMissing), Policy: pick(t, "policy", "P", "Q"), PolicyID: pick(t, "policy id", "1", "2", ""),
				Severity: rules.Severity(pick(t, "severity", "critical", "warning", "info")), Scope: rules.Global,
				Grants: held("1", "P", rules.Origin(pick(t, "origin", "system", "custom"))),
			})
		}
		if !slices.ContainsFunc(r.Findings, func(f rules.Finding) bool { return f.Severity.Drift() }) {
			r.State = rules.StateCompliant
		}
		var waivers []rules.Waiver
		for range rapid.IntRange(0, 4).Draw(t, "waivers") {
			w := rules.Waiver{
				ID: pick(t, "waiver", "v", "w", "x"), Rules: []string{pick(t, "of", rules.RuleExcess, rules.RuleMissing)},
				Selector: rules.Selector{Accounts: []string{pick(t, "in", "*", "a", "d2", "none")}},
				Added:    waivedAt.Add(time.Duration(rapid.IntRange(-2, 1).Draw(t, "added")) * time.Hour),
			}
			w.Expires = w.Added.Add(time.Duration(rapid.IntRange(1, 3).Draw(t, "lasts")) * time.Hour)
			if rapid.Bool().Draw(t, "by policy") {
				w.Policies = []string{pick(t, "which", "P", "1")}
			}
			waivers = append(waivers, w)
		}
		forward, backward := r, r
		rules.Accept(&forward, waivers, waivedAt)
		slices.Reverse(waivers)
		rules.Accept(&backward, waivers, waivedAt)
		open, closed := false, false
		for i := range forward.Findings {
			f := &forward.Findings[i]
			var ends []time.Time
			for j := range waivers {
				if w := &waivers[j]; w.Covers(account, "coc", &r.Findings[i]) && !waivedAt.Before(w.Added) && waivedAt.Before(w.Expires) {
					ends = append(ends, w.Expires)
				}
			}
			slices.SortFunc(ends, time.Time.Compare)
			if (f.Waived != nil) != (len(ends) > 0) || f.Waived != nil && !f.Waived.Expires.Equal(ends[len(ends)-1]) {
				t.Fatalf("%+v: marked %+v, and the ends of what covers it are %v", r.Findings[i], f.Waived, ends)
			}
			other := backward.Findings[i].Waived
			if (f.Waived == nil) != (other == nil) || f.Waived != nil && *f.Waived != *other {
				t.Fatalf("the order of waivers counts: %+v, %+v", f.Waived, other)
			}
			open = open || f.Severity.Drift() && f.Waived == nil
			closed = closed || f.Severity.Drift() && f.Waived != nil
		}
		want := rules.StateCompliant
		switch {
		case open:
			want = rules.StateDrifted
		case closed:
			want = rules.StateWaived
		}
		if forward.State != want {
			t.Fatalf("%s, want %s", forward.State, want)
		}
	})
}

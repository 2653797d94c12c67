package huawei_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

const grantAgency, revokeAgency = "AgencyAuditGrant", "AgencyAuditRevoke"

// published are the actions of the policies for repair in deploy/iam.
var published = map[rules.Action][]string{
	rules.ActionGrant: {"iam:permissions:grantRoleToAgency", "iam:permissions:grantRoleToAgencyOnDomain"},
	rules.ActionRevoke: {
		"iam:agencies:detachPolicyV5", "iam:permissions:revokeRoleFromAgency", "iam:permissions:revokeRoleFromAgencyOnDomain",
		"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", "iam:permissions:revokeRoleFromAgencyOnProject",
	},
}

// shopSite is a simulated organization of three accounts. The second, shop, is repaired by agencies that the first one's user repairer assumes.
type shopSite struct {
	cloud  *simcloud.Cloud
	server *simcloud.Server
	org    *simcloud.Organization
}

// newShop makes one; change may change what it is made of.
func newShop(t testing.TB, change func(*simcloud.Organization)) *shopSite {
	t.Helper()
	way := func(name, policy string) simcloud.Agency {
		return simcloud.Agency{
			Name: name, Trust: simcloud.Trust{Name: "audit"}, Grants: []simcloud.Grant{{Policy: policy, Custom: true, Scope: "global"}},
		}
	}
	org := &simcloud.Organization{
		Region: "ap-southeast-3", ServiceAccounts: map[string]string{"op_svc_coc": "c0c00000000000000000000000000001"},
		Accounts: []simcloud.Account{
			{Name: "audit", Users: []simcloud.User{
				{Name: "auditor", Keys: []simcloud.Key{{Access: "SIMREAD", Secret: "canary-reader-secret"}}, Actions: []string{"iam:agencies:assume"}},
				{Name: "repairer", Keys: []simcloud.Key{{Access: "SIMREPAIR", Secret: "canary-repair-secret"}}, Actions: []string{
					"iam:agencies:assume", "sts:agencies:assume",
				}},
			}},
			{
				Name: "shop", EnterpriseProjects: []simcloud.Project{{Name: "eshop"}},
				Policies: []simcloud.Policy{
					{DisplayName: "Grants", Type: "AX", Allow: published[rules.ActionGrant]},
					{DisplayName: "Revokes", Type: "AX", Allow: published[rules.ActionRevoke]},
					{DisplayName: "Extra", Version: "5.0", Allow: []string{"ecs:*:get"}},
				},
				Agencies: []simcloud.Agency{
					way(grantAgency, "Grants"), way(revokeAgency, "Revokes"), way("AgencyAuditReader", "IAM ReadOnlyAccess"), {
						Name: coc, Trust: simcloud.Trust{Name: "op_svc_coc"}, Attached: []string{"Extra"}, Grants: []simcloud.Grant{
							{Policy: "IAM ReadOnlyAccess", Scope: "global"}, {Policy: "Tenant Guest", Scope: "global"},
							{Policy: "DCS UserAccess", Scope: "all_resources"}, {Policy: "Tenant Guest", Scope: "all_resources"},
							{Policy: "DCS UserAccess", Scope: "project", In: "ap-southeast-3"},
							{Policy: "DCS UserAccess", Scope: "enterprise_project", In: "eshop"},
						},
					},
				},
			},
		},
	}
	org.Accounts[1].Agencies[2].Grants[0].Custom = false
	bank := org.Accounts[1] // which nobody repairs
	bank.Name, bank.EnterpriseProjects = "bank", nil
	bank.Agencies = slices.Clone(bank.Agencies[:2])
	org.Accounts = append(org.Accounts, bank)
	if change != nil {
		change(org)
	}
	s := &shopSite{}
	s.cloud, s.server = simulate(t, org, simcloud.Listen{})
	s.org = s.cloud.Organization()
	return s
}

// shop is the account that is repaired, and coc its agency.
func (s *shopSite) shop() *simcloud.Account {
	s.org = s.cloud.Organization()
	return &s.org.Accounts[1]
}

func (s *shopSite) coc() *simcloud.Agency {
	shop := s.shop()
	return &shop.Agencies[slices.IndexFunc(shop.Agencies, func(g simcloud.Agency) bool { return g.Name == coc })]
}

// config is that of a writer.
func (s *shopSite) config(action rules.Action, via huawei.Via) huawei.Config {
	agency := map[rules.Action]string{rules.ActionGrant: grantAgency, rules.ActionRevoke: revokeAgency}[action]
	return huawei.Config{
		Endpoints: huawei.Endpoints{IAM: s.server.URL, STS: s.server.URL, Organizations: s.server.URL}, CAPEM: s.server.CAPEM,
		Main:    huawei.Identity{AccountID: s.org.Accounts[0].ID, Keys: simKeys(s.org.Accounts[0].Users[1])},
		Members: huawei.Access{Agency: agency, Via: via},
	}
}

func (s *shopSite) writer(t testing.TB, action rules.Action, via huawei.Via) *huawei.Writer {
	t.Helper()
	w, err := huawei.NewWriter(s.config(action, via), action, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.Hasten()
	return w
}

// policy finds a policy by its display name.
func (s *shopSite) policy(t testing.TB, name string) rules.Policy {
	t.Helper()
	for _, p := range s.cloud.Catalogue() {
		if p.DisplayName == name {
			return rules.Policy{ID: p.ID, Name: name, Origin: rules.System}
		}
	}
	for _, p := range s.shop().Policies {
		if p.DisplayName == name {
			return rules.Policy{ID: p.ID, Name: name, Origin: rules.Custom}
		}
	}
	t.Fatalf("no policy %s", name)
	return rules.Policy{}
}

func (s *shopSite) step(t testing.TB, action rules.Action, kind rules.ScopeKind, policy string) *rules.Step {
	t.Helper()
	shop := s.shop()
	st := &rules.Step{
		Action: action, AccountID: shop.ID, Account: shop.Name, AgencyID: s.coc().ID, Agency: coc, Baseline: "coc",
		Grant: rules.Grant{Policy: s.policy(t, policy), Scope: rules.Scope{Kind: kind}},
	}
	switch kind {
	case rules.Project:
		i := slices.IndexFunc(shop.Projects, func(p simcloud.Project) bool { return p.Name == "ap-southeast-3" })
		st.Grant.Scope.ID = shop.Projects[i].ID
	case rules.EnterpriseProject:
		i := slices.IndexFunc(shop.EnterpriseProjects, func(p simcloud.Project) bool { return p.Name == "eshop" })
		st.Grant.Scope.ID = shop.EnterpriseProjects[i].ID
	}
	return st
}

// holds says whether the step has had its effect on the agency, straight from the cloud's state.
func (s *shopSite) holds(st *rules.Step) bool {
	g := s.coc()
	if st.Grant.Scope.Kind == rules.Identity {
		return slices.Contains(g.Attached, st.Grant.Policy.Name)
	}
	shop := s.shop()
	return slices.ContainsFunc(g.Grants, func(x simcloud.Grant) bool {
		in := x.In
		for _, p := range slices.Concat(shop.Projects, shop.EnterpriseProjects) {
			if p.Name == in {
				in = p.ID
			}
		}
		return x.PolicyID == st.Grant.Policy.ID && x.Scope == string(st.Grant.Scope.Kind) && in == st.Grant.Scope.ID
	})
}

// writes are the steps that there can be: one for each request that changes something.
func writes(t testing.TB, s *shopSite) []*rules.Step {
	return []*rules.Step{
		s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess"), s.step(t, rules.ActionGrant, rules.AllResources, "COCServiceAgencyDefaultPolicy"),
		s.step(t, rules.ActionRevoke, rules.Global, "Tenant Guest"), s.step(t, rules.ActionRevoke, rules.AllResources, "Tenant Guest"),
		s.step(t, rules.ActionRevoke, rules.Project, "DCS UserAccess"), s.step(t, rules.ActionRevoke, rules.EnterpriseProject, "DCS UserAccess"),
		s.step(t, rules.ActionRevoke, rules.Identity, "Extra"),
	}
}

// free holds nothing back.
func free() error { return nil }

// name is what a test of a step is called.
func name(s *rules.Step) string { return fmt.Sprintf("%s at %s", s.Action, s.Grant.Scope.Kind) }

// Each step does what it says, in one request with exactly the published rights, and nothing else.
func TestAStepIsOneRequest(t *testing.T) {
	t.Parallel()
	for _, via := range []huawei.Via{huawei.ViaIAM, huawei.ViaSTS} {
		s := newShop(t, nil)
		for i, st := range writes(t, s) {
			w := s.writer(t, st.Action, via)
			if s.holds(st) == (st.Action == rules.ActionGrant) {
				t.Fatalf("%s: nothing to do", name(st))
			}
			a := w.Apply(t.Context(), st, free)
			if a.Said != auditor.SaidDone || a.Why != nil || a.RequestID == "" {
				t.Fatalf("%s: %+v %v", name(st), a, a.Why)
			}
			if s.holds(st) != (st.Action == rules.ActionGrant) {
				t.Errorf("%s: it was not done", name(st))
			}
			j := s.cloud.Journal()
			if len(j) != i+1 || j[i].RequestID != a.RequestID || j[i].PolicyID != st.Grant.Policy.ID || j[i].Scope != string(st.Grant.Scope.Kind) ||
				j[i].In != st.Grant.Scope.ID || !strings.HasPrefix(j[i].Actor, "agency/AgencyAudit") || j[i].AccountID != st.AccountID {
				t.Errorf("%s: journal %+v", name(st), j)
			}
			if n := w.Requests()[j[i].Operation]; n != 1 {
				t.Errorf("%s: %d requests", name(st), n)
			}
		}
	}
}

// apply carries a step out, and wants the answer to be in order whatever it is.
func apply(t testing.TB, w *huawei.Writer, st *rules.Step) auditor.Answer {
	t.Helper()
	a := w.Apply(t.Context(), st, free)
	return inOrder(t, a)
}

func inOrder(t testing.TB, a auditor.Answer) auditor.Answer {
	t.Helper()
	if (a.Why == nil) != (a.Said == auditor.SaidDone || a.Said == auditor.SaidAlready) {
		t.Errorf("%s: why %v", a.Said, a.Why)
	}
	if a.Why == nil {
		return a
	}
	if a.Why.Reason == "" || a.Why.Detail == "" || a.Why.Remedy == "" || a.Why.RequestID != a.RequestID {
		t.Errorf("%s: %+v", a.Said, a.Why)
	}
	if text := a.Why.Detail + a.Why.Remedy; strings.Contains(text, "canary") || strings.Contains(text, "IAM ReadOnlyAccess should") {
		t.Errorf("%s: %s", a.Said, text)
	}
	if known := map[auditor.Said]string{
		auditor.SaidRefused: "; nothing was done", auditor.SaidFailed: "; nothing was done", auditor.SaidNothing: "; whether it was done is not known",
		auditor.SaidUnsent: "not sent: ",
	}[a.Said]; !strings.Contains(a.Why.Detail, known) {
		t.Errorf("%s: %s", a.Said, a.Why.Detail)
	}
	return a
}

// Whatever becomes of the request of a step, it is sent once, and the answer is taken for what it says.
func TestNoStepIsSentTwice(t *testing.T) {
	t.Parallel()
	said := map[string]auditor.Said{
		"html_502": auditor.SaidNothing, "html_200": auditor.SaidNothing, "empty_200": auditor.SaidNothing, "object_200": auditor.SaidNothing,
		"null_200": auditor.SaidNothing, "redirect_302": auditor.SaidNothing, "redirect_metadata": auditor.SaidNothing,
		"status_400": auditor.SaidFailed, "status_401": auditor.SaidRefused, "status_403": auditor.SaidRefused, "status_404": auditor.SaidAlready,
		"status_429": auditor.SaidFailed, "status_500": auditor.SaidNothing, "status_503": auditor.SaidNothing, "error_200": auditor.SaidNothing,
		"not_done": auditor.SaidDone, "done_500": auditor.SaidNothing, "key_expired": auditor.SaidRefused, "hang": auditor.SaidNothing,
		"reset": auditor.SaidNothing, "status_202": auditor.SaidNothing, "status_204": auditor.SaidDone, "status_206": auditor.SaidNothing,
		"status_304": auditor.SaidNothing,
	}
	for style, usually := range said {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, nil)
			for _, st := range writes(t, s) {
				want, operation := usually, huawei.OperationOf(st)
				switch {
				case style == "status_404" && st.Action == rules.ActionGrant:
					want = auditor.SaidFailed
				case style == "empty_200" && st.Grant.Scope.Kind == rules.Identity:
					want = auditor.SaidDone // which is how it is answered
				case style == "status_204" && st.Grant.Scope.Kind == rules.Identity:
					want = auditor.SaidNothing
				}
				if err := s.cloud.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{{Operation: operation, Style: style}}}); err != nil {
					t.Fatal(err)
				}
				w := s.writer(t, st.Action, huawei.ViaIAM)
				ctx, cancel := context.WithCancel(t.Context())
				if style == "hang" {
					w.OnWritten(cancel)
				}
				a := inOrder(t, w.Apply(ctx, st, free))
				cancel()
				if a.Said != want {
					t.Errorf("%s: %s %v, want %s", name(st), a.Said, a.Why, want)
				}
				if f := s.cloud.Failures()[0]; f.Fitted != 1 && style != "hang" || f.Fitted > 1 || w.Requests()[operation] != 1 {
					t.Errorf("%s: %d came, %d were sent", name(st), f.Fitted, w.Requests()[operation])
				}
			}
		})
	}
}

// What is so before is answered in one of two ways, and a missing agency is not taken for it.
func TestWhatIsSoBefore(t *testing.T) {
	t.Parallel()
	for _, repeat := range []string{"204", "409"} {
		for _, missing := range []string{"404", "204"} {
			s := newShop(t, func(o *simcloud.Organization) {
				o.Settings.Switches = simcloud.Switches{RepeatGrant: repeat, RevokeMissing: missing}
			})
			steps := writes(t, s)
			for _, st := range steps {
				w := s.writer(t, st.Action, huawei.ViaSTS)
				if a := apply(t, w, st); a.Said != auditor.SaidDone {
					t.Fatalf("%s: %s %v", name(st), a.Said, a.Why)
				}
				want := auditor.SaidAlready
				if st.Action == rules.ActionGrant && repeat == "204" || st.Action == rules.ActionRevoke && missing == "204" && st.Grant.Scope.Kind != rules.Identity {
					want = auditor.SaidDone
				}
				if a := apply(t, w, st); a.Said != want || a.RequestID == "" {
					t.Errorf("%s again: %s %v, want %s", name(st), a.Said, a.Why, want)
				}
			}
			if err := s.cloud.Drift(simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "shop", Agency: coc}); err != nil {
				t.Fatal(err)
			}
			for _, st := range steps {
				a := apply(t, s.writer(t, st.Action, huawei.ViaSTS), st)
				if a.Said != auditor.SaidFailed || !strings.Contains(a.Why.Detail, "404") {
					t.Errorf("%s of an agency that is not there: %s %v", name(st), a.Said, a.Why)
				}
			}
		}
	}
}

// What is refused names the right that is missing, in both languages, and says who can do it instead, and where.
func TestARefusalSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(o *simcloud.Organization) {
		for i := range o.Accounts[1].Policies {
			o.Accounts[1].Policies[i].Allow = []string{"ecs:*:get"}
		}
	})
	want := []string{
		`repair-grant.json|iam:permissions:grantRoleToAgencyOnDomain (in an identity policy iam:agencies:grantRoleOnDomain)|Authorize → Type: ` +
			`System-defined policy → "RMS ReadOnlyAccess"|scope Global service [Global]`,
		`repair-grant.json|iam:permissions:grantRoleToAgency (in an identity policy iam:agencies:grantRole)|Authorize → Type: ` +
			`System-defined policy → "COCServiceAgencyDefaultPolicy"|scope All resources`,
		`repair-revoke.json|iam:permissions:revokeRoleFromAgencyOnDomain (in an identity policy iam:agencies:revokeRoleOnDomain)|Permissions → ` +
			`"Tenant Guest"|scope Global service [Global] → Delete`,
		`repair-revoke.json|iam:permissions:revokeRoleFromAgency (in an identity policy iam:agencies:revokeRole)|"Tenant Guest"|scope All resources → Delete`,
		`repair-revoke.json|iam:permissions:revokeRoleFromAgencyOnProject (in an identity policy iam:agencies:revokeRoleOnProject)|"DCS UserAccess"`,
		`repair-revoke.json|iam:permissions:revokeRoleFromAgencyOnEnterpriseProject (in an identity policy iam:agencies:revokeRoleOnEnterpriseProject)|` +
			`"DCS UserAccess"`,
		`repair-revoke.json|iam:agencies:detachPolicyV5|"Extra"|Identity policy (v5) → Delete`,
	}
	for i, st := range writes(t, s) {
		a := apply(t, s.writer(t, st.Action, huawei.ViaIAM), st)
		if a.Said != auditor.SaidRefused || a.Why.Reason != rules.ReasonDenied || a.RequestID == "" {
			t.Fatalf("%s: %s %v", name(st), a.Said, a.Why)
		}
		for _, words := range append(strings.Split(want[i], "|"), "an administrator of the account allows the agency \"AgencyAudit",
			"the account's owner or an administrator does it by hand: IAM console → Agencies → "+coc, st.Grant.Policy.ID) {
			if !strings.Contains(a.Why.Remedy, words) {
				t.Errorf("%s: %q is not in %s", name(st), words, a.Why.Remedy)
			}
		}
	}
	if len(s.cloud.Journal()) > 0 {
		t.Error("something was written")
	}
}

// A step that must not be carried out is not sent, and the answer says why.
func TestWhatIsNotSent(t *testing.T) {
	t.Parallel()
	type row struct {
		change func(s *shopSite, st *rules.Step, cfg *huawei.Config)
		// fail are failures of the cloud.
		fail []simcloud.Failure
		want string
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	step := func(change func(st *rules.Step)) func(*shopSite, *rules.Step, *huawei.Config) {
		return func(_ *shopSite, st *rules.Step, _ *huawei.Config) { change(st) }
	}
	rows := map[string]row{
		"another action":          {change: step(func(st *rules.Step) { st.Action = rules.ActionRevoke }), want: "can only grant"},
		"no action":               {change: step(func(st *rules.Step) { st.Action = "" }), want: "can only grant"},
		"an account that is none": {change: step(func(st *rules.Step) { st.AccountID = "../x" }), want: "for an id that is none"},
		"an agency that is none":  {change: step(func(st *rules.Step) { st.AgencyID = "a/b" }), want: "for an id that is none"},
		"a policy that is none":   {change: step(func(st *rules.Step) { st.Grant.Policy.ID = "a?b" }), want: "for an id that is none"},
		"no policy":               {change: step(func(st *rules.Step) { st.Grant.Policy.ID = "" }), want: "for an id that is none"},
		"a project at global service": {
			change: step(func(st *rules.Step) { st.Grant.Scope.ID = "p1" }), want: "for an id that is none",
		},
		"a project": {
			change: step(func(st *rules.Step) { st.Grant.Scope = rules.Scope{Kind: rules.Project, ID: "p1"} }), want: "does not grant at Region-specific project",
		},
		"an identity policy": {
			change: step(func(st *rules.Step) { st.Grant.Scope = rules.Scope{Kind: rules.Identity} }), want: "does not grant at Identity policy",
		},
		"no scope":                 {change: step(func(st *rules.Step) { st.Grant.Scope = rules.Scope{} }), want: "does not grant at"},
		"what is never granted":    {change: step(func(st *rules.Step) { st.Grant.Policy.Name = "tenant administrator" }), want: "is never granted"},
		"the agency of the way in": {change: step(func(st *rules.Step) { st.Agency = grantAgency }), want: "it is never assumed"},
		"an unknown account":       {change: step(func(st *rules.Step) { st.AccountID = "d9" }), want: "assuming the agency"},
		"no such agency": {
			change: func(_ *shopSite, _ *rules.Step, cfg *huawei.Config) { cfg.Members.Agency = "Nobody" }, want: `assuming the agency "Nobody"`,
		},
		"an identity of another account": {
			change: func(s *shopSite, _ *rules.Step, cfg *huawei.Config) { cfg.Main.AccountID = s.shop().ID },
			want:   "asking whose the repair identity's key is",
		},
		"a key that nobody knows": {
			change: func(_ *shopSite, _ *rules.Step, cfg *huawei.Config) {
				cfg.Main.Keys.SecretKey = huawei.NewSecret("canary-wrong")
			},
			want: "asking whose the repair identity's key is",
		},
		"keys of another account": {
			fail: []simcloud.Failure{{Operation: "CreateTemporaryAccessKeyByAgency", Style: "foreign_keys"}}, want: "asking whose the account's key is",
		},
		"keys that are said to be of another account": {
			fail: []simcloud.Failure{{Account: "shop", Operation: "KeystoneListAuthDomains", Style: "foreign_rows"}}, want: "the key must belong to account",
		},
		"keys of nobody's": {
			fail: []simcloud.Failure{{Account: "shop", Operation: "KeystoneListAuthDomains", Style: "empty_list"}}, want: "that it belongs to no account",
		},
		"an account for the identity that it is not of": {
			fail: []simcloud.Failure{{Account: "audit", Operation: "KeystoneListAuthDomains", Style: "foreign_rows"}}, want: "the repair identity must belong to account",
		},
		"no answer to whose the keys are": {
			fail: []simcloud.Failure{{Account: "shop", Operation: "KeystoneListAuthDomains", Style: "status_500"}}, want: "asking whose the account's key is",
		},
		"keys that ended": {
			fail: []simcloud.Failure{{Operation: "CreateTemporaryAccessKeyByAgency", Style: "expired_keys"}}, want: "a temporary key that ended",
		},
		"nobody there": {change: func(s *shopSite, _ *rules.Step, _ *huawei.Config) { _ = s.server.Close() }, want: "connection refused"},
	}
	for name, r := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t, nil)
			st, cfg := s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess"), s.config(rules.ActionGrant, huawei.ViaIAM)
			if err := s.cloud.SetSettings(simcloud.Settings{Failures: r.fail}); err != nil {
				t.Fatal(err)
			}
			if r.change != nil {
				r.change(s, st, &cfg)
			}
			w, err := huawei.NewWriter(cfg, rules.ActionGrant, nil)
			if err != nil {
				t.Fatal(err)
			}
			w.Hasten()
			for range 2 {
				a := apply(t, w, st)
				if a.Said != auditor.SaidUnsent || !strings.Contains(a.Why.Detail, r.want) && !strings.Contains(a.Why.Detail, "was refused") {
					t.Errorf("%s %v, want %q", a.Said, a.Why, r.want)
				}
			}
			for _, c := range s.cloud.Counters() {
				if huawei.Changes(c.Operation) != "" {
					t.Errorf("%s came", c.Operation)
				}
			}
			for name, n := range w.Requests() {
				if n > 0 && huawei.Changes(name) != "" {
					t.Errorf("%s was sent", name)
				}
			}
		})
	}
	s := newShop(t, nil)
	w := s.writer(t, rules.ActionGrant, huawei.ViaIAM)
	if a := inOrder(t, w.Apply(over, s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess"), free)); a.Said != auditor.SaidUnsent {
		t.Errorf("after its time: %s %v", a.Said, a.Why)
	}
	// STS has said whose the session is.
	fail := []simcloud.Failure{{Account: "shop", Operation: "KeystoneListAuthDomains", Style: "empty_list"}}
	if err := s.cloud.SetSettings(simcloud.Settings{Failures: fail}); err != nil {
		t.Fatal(err)
	}
	if a := apply(t, s.writer(t, rules.ActionGrant, huawei.ViaSTS), s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess")); a.Said != auditor.SaidDone {
		t.Errorf("%s %v", a.Said, a.Why)
	}
}

// What holds a step back while the account is entered holds back its request, and says nothing about the cloud.
func TestAStepIsHeldBackAtTheLastMoment(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	st := s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess")
	w := s.writer(t, rules.ActionGrant, huawei.ViaIAM)
	entered := func() (n int64) {
		for name, sent := range w.Requests() {
			if huawei.Changes(name) != "" && sent > 0 {
				t.Errorf("%s was sent", name)
			}
			n += sent
		}
		return n
	}
	for range 12 {
		before := int64(0)
		a := inOrder(t, w.Apply(t.Context(), st, func() error { before = entered(); return errors.New("frozen: by alice") }))
		if a.Said != auditor.SaidUnsent || !strings.Contains(a.Why.Detail, "not sent: frozen: by alice") {
			t.Fatalf("%s %v", a.Said, a.Why)
		}
		if before < 3 || entered() != before {
			t.Errorf("asked after %d requests of %d", before, entered())
		}
	}
	if a := inOrder(t, w.Apply(t.Context(), st, free)); a.Said != auditor.SaidDone || !s.holds(st) {
		t.Errorf("%s %v", a.Said, a.Why)
	}
}

// A bug while the request is made, or while it is under way, is survived, and what is not known is not claimed.
func TestABugInAStep(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	st := s.step(t, rules.ActionGrant, rules.Global, "RMS ReadOnlyAccess")
	for path, want := range map[string]auditor.Said{"/v3/auth/domains": auditor.SaidUnsent, "/roles/": auditor.SaidNothing} {
		w := s.writer(t, rules.ActionGrant, huawei.ViaIAM)
		w.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				if strings.Contains(r.URL.Path, path) {
					panic("canary-panic")
				}
				return next.RoundTrip(r)
			})
		})
		a := w.Apply(t.Context(), st, free)
		if a.Said != want || a.Why == nil || a.Why.Reason != rules.ReasonPanic || strings.Contains(a.Why.Error(), "canary") {
			t.Errorf("%s: %s %v", path, a.Said, a.Why)
		}
	}
}

// A key that has ended since it was made is made anew, before anything is sent.
func TestAStepEntersAnew(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	w := s.writer(t, rules.ActionRevoke, huawei.ViaIAM)
	if a := apply(t, w, s.step(t, rules.ActionRevoke, rules.Global, "Tenant Guest")); a.Said != auditor.SaidDone {
		t.Fatalf("%s %v", a.Said, a.Why)
	}
	fail := []simcloud.Failure{{Account: "shop", Operation: "KeystoneListAuthDomains", Style: "key_expired", Times: 1}}
	if err := s.cloud.SetSettings(simcloud.Settings{Failures: fail}); err != nil {
		t.Fatal(err)
	}
	if a := apply(t, w, s.step(t, rules.ActionRevoke, rules.AllResources, "Tenant Guest")); a.Said != auditor.SaidDone {
		t.Errorf("%s %v", a.Said, a.Why)
	}
	if n := w.Requests()["CreateTemporaryAccessKeyByAgency"]; n != 2 || len(s.cloud.Journal()) != 2 {
		t.Errorf("entered %d times", n)
	}
}

// TestWritersThatCannotBe: what NewWriter refuses.
func TestWritersThatCannotBe(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for want, change := range map[string]func(*huawei.Config) rules.Action{
		"is nothing that it does": func(*huawei.Config) rules.Action { return "both" },
		"through an agency alone": func(c *huawei.Config) rules.Action {
			c.Accounts = map[string]huawei.Access{s.shop().ID: {Keys: c.Main.Keys}}
			return rules.ActionGrant
		},
		"no identity": func(c *huawei.Config) rules.Action {
			c.Main, c.Members = huawei.Identity{}, huawei.Access{}
			return rules.ActionGrant
		},
		"writer of Huawei Cloud: session name": func(c *huawei.Config) rules.Action { c.SessionName = "x"; return rules.ActionGrant },
	} {
		cfg := s.config(rules.ActionGrant, huawei.ViaIAM)
		if _, err := huawei.NewWriter(cfg, change(&cfg), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// TestEverythingIsReadTwice: before a step whatever is read of the account has two witnesses, though nothing differs.
func TestEverythingIsReadTwice(t *testing.T) {
	t.Parallel()
	s := newShop(t, func(o *simcloud.Organization) {
		shop := &o.Accounts[1]
		shop.Policies = append(shop.Policies, simcloud.Policy{DisplayName: "Mine", Type: "AX", Allow: []string{"ecs:*:get"}})
		shop.Agencies[3].Grants = append(shop.Agencies[3].Grants, simcloud.Grant{Policy: "Mine", Custom: true, Scope: "global"})
		o.Accounts[0].Users[0].Actions = []string{"iam:agencies:assume", "iam:*:list*", "iam:*:get*", "iam::list*"}
	})
	cfg := s.config(rules.ActionGrant, huawei.ViaIAM)
	cfg.Main.Keys = simKeys(s.org.Accounts[0].Users[0])
	cfg.Members.Agency = "AgencyAuditReader"
	c, err := huawei.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Hasten()
	shop := rules.Account{ID: s.shop().ID, Name: "shop"}
	ev, _, err := c.Observe(t.Context(), shop, baseline(), rules.Last{})
	if err != nil {
		t.Fatal(err)
	}
	last := lastOf(ev)
	count := func(last rules.Last) (map[string]int64, rules.Evidence, error) {
		before := c.Requests()
		ev, _, err := c.Observe(t.Context(), shop, baseline(), last)
		after := c.Requests()
		for name := range after {
			after[name] -= before[name]
		}
		return after, ev, err
	}
	once, _, err := count(last)
	if err != nil || once["ListAgencies"] != 1 || once["ShowDomainRoleAssignments"] != 4 || once["ListAttachedAgencyPoliciesV5"] != 1 {
		t.Fatalf("%v, %v", once, err)
	}
	for _, known := range []bool{true, false} {
		l := last
		if !known {
			l = rules.Last{}
		}
		l.All = true
		twice, again, err := count(l)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int64{
			"ListAgencies": 2, "ShowDomainRoleAssignments": 6, "ListAttachedAgencyPoliciesV5": 2, "ListDomainPermissionsForAgency": 1,
			"ListAllProjectsPermissionsForAgency": 1, "KeystoneShowPermission": 2, // of the account's own policy: all others are in the catalogue, which was read twice
		}
		for name, n := range want {
			if twice[name] != n {
				t.Errorf("%s was asked %d times, want %d", name, twice[name], n)
			}
		}
		if again.Holding().Digest() != ev.Holding().Digest() {
			t.Error("it is read as something else")
		}
	}
	// Each second witness counts: what it says otherwise is no evidence.
	for _, f := range []simcloud.Failure{
		{Operation: "ListAgencies", Style: "empty_list", Skip: 1},
		{Operation: "ListDomainPermissionsForAgency", Style: "missing_row"},
		{Operation: "ListAllProjectsPermissionsForAgency", Style: "missing_row"},
		{Operation: "ShowDomainRoleAssignments", Style: "missing_row", Query: map[string]string{"scope": "project"}, Skip: 1},
		{Operation: "ShowDomainRoleAssignments", Style: "missing_row", Query: map[string]string{"scope": "enterprise_project"}, Skip: 1},
		{Operation: "ListAttachedAgencyPoliciesV5", Style: "missing_row", Skip: 1},
	} {
		f.Account = "shop"
		if err := s.cloud.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{f}}); err != nil {
			t.Fatal(err)
		}
		if _, _, err := count(last); err != nil {
			t.Errorf("%s %v: by one witness: %v", f.Operation, f.Query, err)
		}
		if err := s.cloud.SetSettings(simcloud.Settings{Failures: []simcloud.Failure{f}}); err != nil {
			t.Fatal(err)
		}
		l := last
		l.All = true
		_, _, err := count(l)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree {
			t.Errorf("%s %v: %v", f.Operation, f.Query, err)
		}
	}
}

// A step whose answer does not come, for whatever reason, is not sent again, nor is one that is refused; and what is told of it is that
// nobody knows.
func TestAStepWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for what, err := range map[string]error{
		"a timeout": context.DeadlineExceeded, "the end of the connection": io.ErrUnexpectedEOF, "a reset": syscall.ECONNRESET, "an end": io.EOF,
		"a timeout of the network": &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded},
	} {
		for _, st := range writes(t, s) {
			w, sent := s.writer(t, st.Action, huawei.ViaIAM), 0
			w.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet || strings.HasSuffix(r.URL.Path, "securitytokens") {
						return next.RoundTrip(r)
					}
					sent++
					return nil, err
				})
			})
			if a := apply(t, w, st); a.Said != auditor.SaidNothing || sent != 1 {
				t.Errorf("%s: %s: sent %d times: %s %v", name(st), what, sent, a.Said, a.Why)
			}
		}
	}
	if len(s.cloud.Journal()) > 0 {
		t.Error("something was written")
	}
}

// A refusal in no form of the cloud's is none: somebody else may have answered, behind whom it was done.
func TestWhatIsNoRefusal(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	for _, status := range []int{400, 401, 403, 404, 408, 409, 410, 418, 429} {
		for kind, body := range map[string]string{
			"text/html": "<html>403</html>", "application/json": `{"detail":"no"}`, "text/plain": `{"error_code":"APIGW.0301","error_msg":"no"}`, "": "",
		} {
			st := s.step(t, rules.ActionRevoke, rules.Global, "Tenant Guest")
			w := s.writer(t, st.Action, huawei.ViaIAM)
			w.WrapTransport(func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method != http.MethodDelete {
						return next.RoundTrip(r)
					}
					return &http.Response{
						StatusCode: status, Header: http.Header{"Content-Type": {kind}}, Body: io.NopCloser(strings.NewReader(body)),
						ContentLength: int64(len(body)), Request: r, ProtoMajor: 1, ProtoMinor: 1,
					}, nil
				})
			})
			if a := apply(t, w, st); a.Said != auditor.SaidNothing {
				t.Errorf("%d with %q: %s %v", status, body, a.Said, a.Why)
			}
		}
	}
}

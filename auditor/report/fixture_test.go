package report_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	iamRead = "IAM ReadOnlyAccess"
	rmsRead = "RMS ReadOnlyAccess"
	dcsUser = "DCS UserAccess"
	cocSelf = "COCServiceAgencyDefaultPolicy"

	cocID = "c0c00000000000000000000000000001"
)

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func cocBaseline() rules.Baseline {
	return rules.Baseline{
		Name: "coc", Title: "What COC's agency must hold", Source: "Enabling COC", SourceDate: "2025-08-08",
		Digest: strings.Repeat("0123456789abcdef", 4), Service: "COC", Agency: "ServiceAgencyForCOC",
		Trust: rules.Trust{Name: "op_svc_coc"}, WarnBeforeExpiry: 30 * 24 * time.Hour,
		Required: []rules.Requirement{
			{
				Policy: iamRead, Description: "Read-only permissions for IAM", Scope: rules.Global, ScopeLabel: "Global service [Global]",
				Scenarios: []rules.Scenario{{Module: "Personnel Management", Use: "read who works in the account"}},
			},
			{
				Policy: rmsRead, Description: "Read-only permissions for RMS", Scope: rules.Global, ScopeLabel: "Global service [Global]",
				Scenarios: []rules.Scenario{{Module: "Resource Management", Use: "synchronize resources"}},
			},
			{
				Policy: dcsUser, Description: "Operating DCS", Scope: rules.AllResources, ScopeLabel: "All resources, also future ones",
				Scenarios: []rules.Scenario{{Module: "Chaos Drills", Use: "inject faults"}},
			},
			{
				Policy: cocSelf, Description: "COC across accounts", Scope: rules.AllResources, ScopeLabel: "All resources, also future ones",
				Scenarios: []rules.Scenario{
					{Module: "Personnel Management", Use: "subscribe to channels"},
					{Module: "Batch Resource Operations", Use: "restart instances in batches"},
					{Use: "query the organization"},
				},
			},
		},
		Cohorts: []rules.Cohort{{
			Name: "open beta 2024", CreatedBefore: time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC), Missing: cocSelf,
			Says: "The agency is as old as the open beta, which granted no such policy.",
		}},
		ServiceSteps: []string{"Log in to COC.", "Click Obtain Permission in the notice on top of the page.", "Click OK."},
		Risks: rules.RiskTable{
			Critical: []string{"Tenant Administrator", "FullAccess"}, HighSuffixes: []string{"Administrator", "FullAccess"},
			LowSuffixes: []string{"ReadOnlyAccess"},
		},
	}
}

func grant(policy string, kind rules.ScopeKind) rules.Grant {
	return rules.Grant{
		Policy: rules.Policy{ID: hex("p", policy), Name: policy, Origin: rules.System}, Scope: rules.Scope{Kind: kind},
	}
}

func in(policy string, kind rules.ScopeKind, name string) rules.Grant {
	g := grant(policy, kind)
	g.Scope.ID, g.Scope.Name = hex("s", name), name
	return g
}

func exact(more ...rules.Grant) []rules.Grant {
	return append([]rules.Grant{
		grant(iamRead, rules.Global), grant(rmsRead, rules.Global), grant(dcsUser, rules.AllResources), grant(cocSelf, rules.AllResources),
	}, more...)
}

func without(grants []rules.Grant, policy string) []rules.Grant {
	return slices.DeleteFunc(grants, func(g rules.Grant) bool { return g.Policy.Name == policy })
}

// hex is an id of 32 digits that a text determines.
func hex(kind, s string) string {
	n := uint64(14695981039346656037)
	for _, c := range []byte(kind + s) {
		n = (n ^ uint64(c)) * 1099511628211
	}
	return fmt.Sprintf("%016x%016x", n, n*0x9e3779b97f4a7c15)
}

// fixture is one account and what is to be read of it.
type fixture struct {
	name    string
	require bool
	absent  bool
	grants  []rules.Grant
	change  func(*rules.Agency)
	unknown *rules.Unknown
}

// layouts are accounts with one of each state, rule and oddity.
func layouts() []fixture {
	custom := grant(cocSelf, rules.AllResources)
	custom.Policy.ID, custom.Policy.Origin = hex("custom", cocSelf), rules.Custom
	unnamed := rules.Grant{Policy: rules.Policy{ID: hex("p", "gone"), Origin: rules.Unresolved}, Scope: rules.Scope{Kind: rules.Global}}
	return []fixture{
		{name: "exact", grants: exact()},
		{name: "all-four-everywhere", grants: exact(grant(iamRead, rules.AllResources), grant(rmsRead, rules.AllResources))[2:]},
		{name: "beta-2024", grants: without(exact(), cocSelf), change: func(a *rules.Agency) { a.CreatedAt = time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC) }},
		{name: "extra-admin", grants: exact(grant("Tenant Administrator", rules.Global))},
		{name: "extra-in-projects", grants: exact(
			in("ECS FullAccess", rules.Project, "ap-southeast-1"), in("ECS FullAccess", rules.Project, "ap-southeast-2"),
			in("OBS ReadOnlyAccess", rules.EnterpriseProject, "default"), grant("AgencyBoundary", rules.Identity), unnamed)},
		{name: "narrower", grants: append(without(exact(), dcsUser), in(dcsUser, rules.Project, "ap-southeast-1"))},
		{name: "impostor", grants: append(without(exact(), cocSelf), custom)},
		{name: "redundant", grants: exact(in(dcsUser, rules.Project, "ap-southeast-1"))},
		{name: "foreign-trust", grants: exact(), change: func(a *rules.Agency) { a.Trust = rules.Trust{ID: hex("d", "evil"), Name: "op_svc_c\u043ec"} }},
		{name: "expired", grants: exact(), change: func(a *rules.Agency) { a.ExpiresAt = now.Add(-time.Hour) }},
		{name: "expiring", grants: exact(), change: func(a *rules.Agency) { a.ExpiresAt = now.Add(time.Hour) }},
		{name: "created-who-knows-when", grants: exact(), change: func(a *rules.Agency) { a.CreatedAt = time.Time{} }},
		{name: "not-enabled", absent: true},
		{name: "absent", absent: true, require: true},
		{name: "refused", unknown: &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "list the agencies named \"ServiceAgencyForCOC\": 403 IAM.0003",
			Remedy: "grant IAM ReadOnlyAccess to the agency AgencyAuditReader", RequestID: hex("r", "refused"),
		}},
		{name: "unreachable", unknown: &rules.Unknown{Reason: rules.ReasonUnreachable, Detail: "connect: connection refused"}},
		{name: "evil\x1b[2J\u202egnol \u200b" + strings.Repeat("very", 20), grants: exact(grant("Bad\nName\t\x07Administrator", rules.Global))},
	}
}

func (f fixture) account() rules.Account {
	return rules.Account{ID: hex("d", f.name), Name: f.name, RequireAgency: f.require}
}

func (f fixture) observation() rules.Observation {
	o := rules.Observation{
		Account: f.account(), AgencyName: "ServiceAgencyForCOC", StartedAt: now.Add(-time.Second), EndedAt: now,
		UnfilteredAsked: f.absent, ListRequestIDs: []string{hex("r", f.name)},
	}
	if f.absent {
		return o
	}
	a := rules.Agency{
		ID: hex("a", f.name), Name: "ServiceAgencyForCOC", AccountID: o.Account.ID, Trust: rules.Trust{ID: cocID, Name: "op_svc_coc"},
		CreatedAt: time.Date(2024, 9, 2, 6, 11, 27, 0, time.UTC),
	}
	if f.change != nil {
		f.change(&a)
	}
	o.Listed = []rules.Agency{a}
	for i, kind := range rules.Planes() {
		p := rules.Plane{Kind: kind, State: rules.PlaneRead, RequestIDs: []string{hex("r", f.name+string(kind))}}
		for _, g := range f.grants {
			if g.Scope.Kind == kind {
				p.Grants = append(p.Grants, g)
			}
		}
		p.Total = len(p.Grants)
		if i == 1 || p.Total == 0 {
			p.Witnessed = true
			for _, g := range p.Grants {
				p.WitnessIDs = append(p.WitnessIDs, g.Policy.ID)
			}
		}
		if kind == rules.EnterpriseProject && p.Total == 0 {
			p.State = rules.PlaneAbsent
		}
		o.Planes = append(o.Planes, p)
	}
	return o
}

// cloud is what the auditor reads instead of a cloud.
type cloud struct {
	// restricted says that the fixtures are chosen accounts.
	restricted bool
	fixtures   []fixture
	lacks      string // a policy that the catalogue does not have
	waivers    []rules.Waiver
}

// waivers are one of each kind: in force, ending soon, ended, ahead and about nothing.
func waivers() []rules.Waiver {
	day := 24 * time.Hour
	waiver := func(id, account, rule string, from, to time.Duration) rules.Waiver {
		return rules.Waiver{
			ID: id, Selector: rules.Selector{Accounts: []string{account}}, Rules: []string{rule}, Added: now.Add(from), Expires: now.Add(to),
			WarnAt: now.Add(to - 14*day), Owner: "team \x1b[2Jops", Reason: "until the migration is done", Ticket: "SEC-1",
		}
	}
	ticketless := waiver("no-ticket", "extra-in-projects", rules.RuleExcess, -day, 30*day)
	ticketless.Ticket, ticketless.Policies = "", []string{"ECS FullAccess"}
	return []rules.Waiver{
		waiver("in-force", "extra-admin", rules.RuleExcess, -day, 30*day), ticketless,
		waiver("ends-soon", "beta-*", rules.RuleMissing, -80*day, 3*day), waiver("has-ended", "narrower", rules.RuleNarrower, -80*day, -day),
		waiver("not-yet", "expired", rules.RuleExpired, day, 30*day), waiver("about-nothing", "exact", rules.RuleExcess, -day, 30*day),
	}
}

// allowing is a baseline with an overlay.
func allowing() rules.Baseline {
	b := cocBaseline()
	b.Overlays = []string{strings.Repeat("fedcba9876543210", 4)}
	b.Allowed = []rules.Allowance{{
		Selector: rules.Selector{Accounts: []string{"extra-*"}}, Policy: "OBS ReadOnlyAccess", Scope: rules.AllResources,
		Owner: "team storage", Reason: "COC reads the buckets of the inventory there",
	}}
	return b
}

func (c cloud) Accounts(context.Context) (auditor.Listing, error) {
	var out []rules.Account
	for _, f := range c.fixtures {
		out = append(out, f.account())
	}
	return auditor.Listing{Accounts: out}, nil
}

func (c cloud) Observe(_ context.Context, a rules.Account, b rules.Baseline, _ rules.Last) (rules.Evidence, auditor.Trail, error) {
	i := slices.IndexFunc(c.fixtures, func(f fixture) bool { return f.name == a.Name })
	if u := c.fixtures[i].unknown; u != nil {
		return rules.Evidence{}, auditor.Trail{Requests: 1}, u
	}
	e, err := rules.NewEvidence(b, rules.Last{}, c.fixtures[i].observation())
	return e, auditor.Trail{Requests: 6}, err
}

func (c cloud) PolicyIDs(_ context.Context, names []string) (map[string][]string, time.Time, error) {
	ids := map[string][]string{}
	for _, n := range names {
		if n != c.lacks {
			ids[n] = []string{hex("p", n)}
		}
	}
	return ids, now, nil
}

func (c cloud) Verify(context.Context) error { return nil }

// runOf makes a run of the accounts, the same one every time.
func runOf(t testing.TB, c cloud, baselines ...rules.Baseline) *auditor.Run {
	t.Helper()
	if len(baselines) == 0 {
		baselines = []rules.Baseline{cocBaseline()}
	}
	a := auditor.Auditor{
		Inventory: c, Observer: c, Baselines: baselines, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return now },
		Program: "v1.2.3", Concurrency: 2, RunTimeout: time.Hour, AccountTimeout: time.Hour, Restricted: c.restricted,
		Waivers: c.waivers,
	}
	run, err := a.Run(t.Context(), "audit", nil)
	if err != nil {
		t.Fatal(err)
	}
	run.ID = "0123456789abcdef"
	run.EndedAt = run.StartedAt.Add(1234 * time.Millisecond)
	return run
}

// golden compares got with a file of testdata, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew)\ngot:\n%s\nwant:\n%s", file, got, want)
	}
}

package baseline_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

const goodWaiver = `version: 1
waivers:
  - id: shop-obs
    accounts: ["shop-*", "d0000000000000000000000000000001"]
    ous: [Workloads/Production]
    tags: {env: [prod, stage]}
    baselines: [coc]
    rules: [grant/excess]
    policies: [OBS OperateAccess]
    scopes: [project, all_resources]
    added: 2026-11-01
    expires: 2027-01-30
    owner: team-shop
    reason: the buckets move in January
    ticket: SEC-1234
`

func TestLoadWaivers(t *testing.T) {
	got, _, err := baseline.LoadWaivers("w.yaml", []byte(goodWaiver), baseline.DefaultWaiverAge)
	if err != nil {
		t.Fatal(err)
	}
	want := rules.Waiver{
		ID: "shop-obs", Baselines: []string{"coc"}, Rules: []string{"grant/excess"}, Policies: []string{"OBS OperateAccess"},
		Selector: rules.Selector{
			Accounts: []string{"shop-*", "d0000000000000000000000000000001"}, OUs: []string{"Workloads/Production"},
			Tags: map[string][]string{"env": {"prod", "stage"}},
		},
		Scopes: []rules.ScopeKind{rules.Project, rules.AllResources}, Added: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Expires: time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC), Owner: "team-shop", Reason: "the buckets move in January", Ticket: "SEC-1234",
	}
	if len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v", got)
	}
	if none, _, err := baseline.LoadWaivers("w.yaml", []byte("version: 1\nwaivers: []\n"), time.Hour); err != nil || len(none) > 0 {
		t.Errorf("%v, %v", none, err)
	}
}

const goodTrust = `version: 1
waivers:
  - id: contractor
    accounts: [shop]
    rules: [trust/mismatch, grant/excess]
    trusts: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, "00000000000000000000000000000002"]
    added: 2026-11-01
    expires: 2027-01-30
    owner: team-shop
    reason: they move the shop
`

func TestLoadAWaiverOfTrust(t *testing.T) {
	got, _, err := baseline.LoadWaivers("w.yaml", []byte(goodTrust), baseline.DefaultWaiverAge)
	if err != nil || len(got) != 1 || !slices.Equal(got[0].Trusts, []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "00000000000000000000000000000002"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

const goodOverlay = `version: 1
baseline: coc
allow:
  - accounts: ["shop-*"]
    policy: VPC Administrator
    scope: all_resources
    owner: team-network
    reason: drills of routes
  - ous: [Lab]
    policy_id: c0000000000000000000000000000001
    scope: project
    risk: critical
    owner: team-lab
    reason: a playground
`

func TestLoadOverlay(t *testing.T) {
	o, _, err := baseline.LoadOverlay("o.yaml", []byte(goodOverlay))
	if err != nil {
		t.Fatal(err)
	}
	want := []rules.Allowance{
		{
			Selector: rules.Selector{Accounts: []string{"shop-*"}}, Policy: "VPC Administrator", Scope: rules.AllResources, Owner: "team-network",
			Reason: "drills of routes",
		},
		{
			Selector: rules.Selector{OUs: []string{"Lab"}}, PolicyID: "c0000000000000000000000000000001", Scope: rules.Project, Critical: true,
			Owner: "team-lab", Reason: "a playground",
		},
	}
	if o.Baseline != "coc" || len(o.Digest) != 64 || fmt.Sprintf("%+v", o.Allowed) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v", o)
	}
	coc, _ := baseline.Bundled("coc")
	other := o
	other.Baseline, other.Digest = "another", "another"
	twice := baseline.Apply(baseline.Apply(coc, []baseline.Overlay{other, o}), []baseline.Overlay{o})
	if len(twice.Allowed) != 4 || !slices.Equal(twice.Overlays, []string{o.Digest, o.Digest}) || twice.Digest != coc.Digest || len(coc.Allowed) > 0 {
		t.Errorf("%+v", twice.Overlays)
	}
}

// TestFaultsOfWhatWasAgreed spoils one line of a good file at a time.
func TestFaultsOfWhatWasAgreed(t *testing.T) {
	waivers := func(text string) error {
		_, _, err := baseline.LoadWaivers("f.yaml", []byte(text), baseline.DefaultWaiverAge)
		return err
	}
	overlay := func(text string) error {
		_, _, err := baseline.LoadOverlay("f.yaml", []byte(text))
		return err
	}
	for _, c := range []struct {
		load           func(string) error
		good, was, now string
		want           string
	}{
		{waivers, goodWaiver, "version: 1\n", "", "f.yaml:1:1: version: is missing"},
		{waivers, goodWaiver, "version: 1", "version: 2", "version: is 2, which this program does not read"},
		{waivers, goodWaiver, "id: shop-obs", "id: Shop OBS", "waivers[0].id: is not a short name"},
		{waivers, goodWaiver, "    rules: [grant/excess]\n", "", "waivers[0].rules: names no rule"},
		{waivers, goodWaiver, "[grant/excess]", "[grant/exces]", `did you mean grant/excess?`},
		{waivers, goodWaiver, "[grant/excess]", "[baseline/unresolvable]", "there is no rule"},
		{waivers, goodWaiver, "[grant/excess]", `["*"]`, "there is no rule"},
		{waivers, goodWaiver, "[project, all_resources]", "[projects]", `waivers[0].scopes[0]: unknown scope "projects"`},
		{waivers, goodWaiver, "    expires: 2027-01-30\n", "", "nothing is accepted for ever"},
		{waivers, goodWaiver, "    added: 2026-11-01\n", "", "waivers[0].added: is missing"},
		{waivers, goodWaiver, "expires: 2027-01-30", "expires: 2027-01-31", "is 91d after added, and a waiver may last 90d; write 2027-01-30 or earlier"},
		{waivers, goodWaiver, "expires: 2027-01-30", "expires: 2026-11-01", "waivers[0].expires: is not after added; write a later date, such as 2026-12-01,"},
		{waivers, goodWaiver, "expires: 2027-01-30", "expires: soon", "waivers[0].expires: "},
		{waivers, goodWaiver, "    owner: team-shop\n", "", "waivers[0].owner: is missing"},
		{waivers, goodWaiver, "    reason: the buckets move in January\n", "", "waivers[0].reason: is missing"},
		{waivers, goodWaiver, `"shop-*"`, `"shop-["`, "is no pattern"},
		{waivers, goodWaiver, "Workloads/Production", "Workloads/", "is no path of a unit"},
		{waivers, goodWaiver, "[prod, stage]", "[]", "waivers[0].tags.env: has no value"},
		{waivers, goodWaiver, "ticket:", "tickets:", "did you mean ticket?"},
		{waivers, "version: 1\nwaivers:\n  - {id: a, rules: [grant/excess], added: 2026-11-01, expires: 2026-11-02, owner: o, reason: r}\n", "", "", "waivers[0]: chooses no account"},
		{waivers, "version: 1\nwaivers:\n  - {id: a, accounts: [a], rules: [grant/excess], added: 2026-11-20, owner: o, reason: r}\n", "", "", "waivers[0].expires: is missing; write the date on which the waiver ends, such as 2026-12-20"},
		{waivers, goodWaiver + goodWaiver[strings.Index(goodWaiver, "  - id"):], "", "", `waivers[1].id: "shop-obs" is also the id of waivers[0]`},
		{waivers, goodTrust, "    trusts: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, \"00000000000000000000000000000002\"]\n", "", "f.yaml:3:5: waivers[0].trusts: is missing: trust/mismatch is accepted of named accounts alone; list the id of the account that the agency trusts"},
		{waivers, goodTrust, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, \"00000000000000000000000000000002\"]", "[]", "f.yaml:6:5: waivers[0].trusts: names no account, so that no trust would be accepted; list the id"},
		{waivers, goodTrust, "[trust/mismatch, grant/excess]", "[grant/excess]", "f.yaml:6:5: waivers[0].trusts: says nothing, since rules does not have trust/mismatch; delete it, or add that rule"},
		{waivers, goodTrust, "trust/mismatch", "trust/mismach", "did you mean trust/mismatch?"},
		{waivers, goodTrust, "[trust/mismatch, grant/excess]", "trust/mismatch", "waivers[0].rules: is"},
		{waivers, goodTrust, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,", "[AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA,", `f.yaml:6:14: waivers[0].trusts[0]: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" is not the id of an account; write the id`},
		{waivers, goodTrust, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,", "[op_svc_coc,", `waivers[0].trusts[0]: "op_svc_coc" is not the id of an account`},
		{waivers, goodTrust, "[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa,", `["*",`, `waivers[0].trusts[0]: "*" is not the id of an account`},
		{waivers, goodTrust, "\"00000000000000000000000000000002\"", "00000000000000000000000000000002", "put it in quotes"},
		{waivers, goodTrust, "trusts:", "trust:", "did you mean trusts?"},
		// What can never cover anything.
		{waivers, goodTrust, "[trust/mismatch, grant/excess]", "[trust/mismatch]\n    policies: [FullAccess]", "f.yaml:5:13: waivers[0].rules[0]: trust/mismatch is about the agency and no policy of it, so that with policies nothing of it would be accepted; leave policies out, or write another waiver for it"},
		{waivers, goodTrust, "[trust/mismatch, grant/excess]", "[grant/excess, trust/mismatch]\n    scopes: [global]", "waivers[0].rules[1]: trust/mismatch is about the agency and no policy of it, so that with scopes nothing of it"},
		{waivers, goodWaiver, "[grant/excess]", "[agency/absent]", "waivers[0].rules[0]: agency/absent is about the agency and no policy of it, so that with policies and scopes nothing of it"},
		{waivers, goodWaiver, "[grant/excess]", "[grant/excess, agency/expired]", "waivers[0].rules[1]: agency/expired is about"},
		{waivers, goodWaiver, "[grant/excess]", "[grant/excess, agency/expiring]", "waivers[0].rules[1]: agency/expiring is about"},
		{waivers, strings.Replace(goodWaiver, "excess", "narrower", 1), "[project, all_resources]", "[project]", "waivers[0].rules[0]: grant/narrower is about no scope but all_resources, so that with these scopes nothing of it would be accepted; write one"},
		{waivers, strings.Replace(goodWaiver, "excess", "narrower", 1), "", "", "waivers[0].scopes[0]: is a scope that no finding of these rules can be about; delete it"},
		{waivers, strings.Replace(goodWaiver, "grant/excess", "grant/excess, grant/missing", 1), "[project, all_resources]", "[identity]", "waivers[0].rules[1]: grant/missing is about no scope but global, all_resources, project,"},
		{waivers, strings.Replace(goodWaiver, "excess", "missing", 1), "OBS OperateAccess", "c0000000000000000000000000000001", "waivers[0].rules[0]: grant/missing knows a policy by its name alone, so that with ids in policies nothing"},
		{waivers, strings.Replace(goodWaiver, "excess", "missing", 1), "OBS OperateAccess", "OBS OperateAccess, c0000000000000000000000000000001", "waivers[0].policies[1]: is an id, and these rules know a policy by its name alone; write the name"},
		{waivers, goodWaiver, "d0000000000000000000000000000001", "D0000000000000000000000000000001", `waivers[0].accounts[1]: "D0000000000000000000000000000001" is an id in capitals, which any account may take for its name; write d0000000000000000000000000000001`},
		// What is empty is not everything.
		{waivers, goodWaiver, "[OBS OperateAccess]", "[]", "waivers[0].policies: names no policy; list what is meant, or delete the key, which is every policy"},
		{waivers, goodWaiver, "[project, all_resources]", "[]", "waivers[0].scopes: names no scope;"},
		{waivers, goodWaiver, "[coc]", "[]", "waivers[0].baselines: names no baseline;"},
		{waivers, goodWaiver, `["shop-*", "d0000000000000000000000000000001"]`, "[]", "waivers[0].accounts: names no account; list what is meant, or delete the key, which is every account that fits the rest"},
		{waivers, goodWaiver, "[Workloads/Production]", "[]", "waivers[0].ous: names no unit;"},
		{waivers, goodWaiver, "{env: [prod, stage]}", "{}", "waivers[0].tags: names no tag;"},
		{overlay, goodOverlay, "  - ous: [Lab]\n", "  - ous: [Lab]\n    accounts: []\n", "allow[1].accounts: names no account;"},
		{overlay, goodOverlay, "baseline: coc\n", "", "baseline: is missing"},
		{overlay, goodOverlay, "policy: VPC Administrator", "policy: Tenant Administrator", "write risk: critical beside it"},
		{overlay, goodOverlay, "    policy: VPC Administrator\n", "", "allow[0]: names no policy"},
		{overlay, goodOverlay, "    policy: VPC Administrator\n", "    policy: VPC Administrator\n    policy_id: x\n", "allow[0]: names a policy twice"},
		{overlay, goodOverlay, "scope: project", "scope: everywhere", `unknown scope "everywhere"`},
		{overlay, goodOverlay, "    scope: project\n", "", "allow[1].scope: is missing"},
		{overlay, goodOverlay, "risk: critical", "risk: high", `"high" means nothing here`},
		{overlay, goodOverlay, "    reason: a playground\n", "", "allow[1].reason: is missing"},
		{overlay, goodOverlay, "ous: [Lab]\n    ", "", "allow[1]: chooses no account"},
		{overlay, "version: 1\nbaseline: coc\n", "", "", "allow: allows nothing"},
	} {
		text := strings.Replace(c.good, c.was, c.now, 1)
		err := c.load(text)
		var faults strictyaml.Faults
		if !errors.As(err, &faults) || len(faults) != 1 || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "f.yaml") {
			t.Errorf("%q for %q: %v, want the one fault %q", c.now, c.was, err, c.want)
		}
	}
}

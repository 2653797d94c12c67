package simcloud

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// A file in which everything that can be written is written.
const everything = `region: ap-southeast-3
service_accounts: {op_svc_coc: c0c00000000000000000000000000001}
settings:
  latency: 20ms
  read_after_write_delay: 2s
  rate_limit: 8.5
  page_size: 10
  clock_offset: -20m
  failures:
    - {account: prod, operation: ListAgencies, query: {page: "2"}, style: page_overlap, skip: 1, times: 3, every: 2}
  switches: {repeat_grant: "409", retry_after: true, rms_policy_name: both}
system_policies:
  - {id: e0000000000000000000000000000001, display_name: Extra, type: XA, version: "1.1", allow: ["ecs:*:*"], hidden: true}
accounts:
  - id: d0000000000000000000000000000001
    name: prod
    note: nothing special
    status: active
    planes: {no_enterprise_projects: false, no_identity: false}
    projects: [{name: ap-southeast-3_shop}]
    enterprise_projects: [{id: ep1, name: finance}]
    users:
      - name: auditor
        keys: [{access: AK1, secret: made-up}]
        policies: [Agent Operator]
        actions: ["iam:*:get*"]
    policies: [{display_name: mine, type: AX, allow: ["obs:*:*"]}]
    agencies:
      - name: ServiceAgencyForCOC
        trust: {name: op_svc_coc, hide_name: true}
        description: for COC
        created_at: 2024-03-12T08:30:00+08:00
        expires_at: 2030-01-01
        grants:
          - {policy: IAM ReadOnlyAccess, scope: global}
          - {policy: mine, custom: true, scope: project, in: ap-southeast-3_shop}
          - {policy_id: e0000000000000000000000000000001, scope: enterprise_project, in: finance}
        attached: [OBSReadOnlyPolicy]
      - name: other
        trust: {name: prod}
        expires_in: 240h
`

func TestLoadOrganization(t *testing.T) {
	got, err := LoadOrganization("org.yaml", []byte(everything))
	if err != nil {
		t.Fatal(err)
	}
	want := &Organization{
		Region:          "ap-southeast-3",
		ServiceAccounts: map[string]string{"op_svc_coc": "c0c00000000000000000000000000001"},
		Settings: Settings{
			Latency: 20 * time.Millisecond, ReadAfterWriteDelay: 2 * time.Second, RateLimit: 8.5, PageSize: 10,
			ClockOffset: -20 * time.Minute,
			Failures: []Failure{{Account: "prod", Operation: "ListAgencies", Query: map[string]string{"page": "2"},
				Style: "page_overlap", Skip: 1, Times: 3, Every: 2}},
			Switches: Switches{RepeatGrant: "409", RetryAfter: true, RMSPolicyName: "both"},
		},
		SystemPolicies: []Policy{{
			ID: "e0000000000000000000000000000001", DisplayName: "Extra", Type: "XA", Version: "1.1",
			Allow: []string{"ecs:*:*"}, Hidden: true,
		}},
		Accounts: []Account{{
			ID: "d0000000000000000000000000000001", Name: "prod", Note: "nothing special", Status: "active",
			Projects:           []Project{{Name: "ap-southeast-3_shop"}},
			EnterpriseProjects: []Project{{ID: "ep1", Name: "finance"}},
			Users: []User{{
				Name: "auditor", Keys: []Key{{Access: "AK1", Secret: "made-up"}},
				Policies: []string{"Agent Operator"}, Actions: []string{"iam:*:get*"},
			}},
			Policies: []Policy{{DisplayName: "mine", Type: "AX", Allow: []string{"obs:*:*"}}},
			Agencies: []Agency{{
				Name: "ServiceAgencyForCOC", Trust: Trust{Name: "op_svc_coc", HideName: true}, Description: "for COC",
				CreatedAt: time.Date(2024, 3, 12, 0, 30, 0, 0, time.UTC), ExpiresAt: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
				Grants: []Grant{
					{Policy: "IAM ReadOnlyAccess", Scope: "global"},
					{Policy: "mine", Custom: true, Scope: "project", In: "ap-southeast-3_shop"},
					{PolicyID: "e0000000000000000000000000000001", Scope: "enterprise_project", In: "finance"},
				},
				Attached: []string{"OBSReadOnlyPolicy"},
			}, {
				Name: "other", Trust: Trust{Name: "prod"}, ExpiresIn: 240 * time.Hour,
			}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("loaded\n%+v\nwant\n%+v", got, want)
	}
}

// faultCases put something wrong in the place of a part of the file everything, or of all of it where no part is named.
// What is then said about it stands in testdata/faults.golden.
var faultCases = []struct{ name, old, new string }{
	{"an empty file", "", ""},
	{"no YAML", "", "accounts: ["},
	{"two documents", "", everything + "---\n" + everything},
	{"no accounts", "", "region: ap-southeast-3\n"},
	{"an empty list of accounts", "", "region: ap-southeast-3\naccounts: []\n"},
	{"accounts without a value", "", "region: ap-southeast-3\naccounts:\n"},
	{"an unknown key", "note: nothing special", "notes: nothing special"},
	{
		"an unknown key of a grant",
		"{policy: IAM ReadOnlyAccess, scope: global}",
		"{policy: IAM ReadOnlyAccess, scoep: global}",
	},
	{"a repeated key", "note: nothing special", "name: again"},
	{"a wrong type", "page_size: 10", "page_size: many"},
	{"a duration without a unit", "latency: 20ms", "latency: 20"},
	{"a negative duration", "latency: 20ms", "latency: -1s"},
	{"a time that is none", "expires_at: 2030-01-01", "expires_at: next year"},
	{"an unknown style", "style: page_overlap", "style: explode"},
	{"a style that needs what the operation does not have", "style: page_overlap", "style: count_off"},
	{"a parameter that is no text", `{page: "2"}`, "{page: 2}"},
	{"an unknown key of a failure", "every: 2", "often: 2"},
	{"a failure that begins before the first request", "skip: 1", "skip: -1"},
	{"a bad switch value", `repeat_grant: "409"`, `repeat_grant: "500"`},
	{"a switch value without quotes", `repeat_grant: "409"`, "repeat_grant: 409"},
	{"an unknown switch", `repeat_grant: "409"`, `repeat_grants: "409"`},
	{"no region", "region: ap-southeast-3\n", ""},
	{"a region that is none", "region: ap-southeast-3\n", "region: 3\n"},
	{"an unknown scope", "scope: global}", "scope: everywhere}"},
	{"no scope", "{policy: IAM ReadOnlyAccess, scope: global}", "{policy: IAM ReadOnlyAccess}"},
	{"an unknown policy", "{policy: IAM ReadOnlyAccess, scope", "{policy: IAM ReadonlyAccess, scope"},
	{
		"an unknown policy id",
		"policy_id: e0000000000000000000000000000001",
		"policy_id: e0000000000000000000000000000002",
	},
	{"neither policy nor policy_id", "{policy: IAM ReadOnlyAccess, scope", "{scope"},
	{"policy and policy_id that differ", "{policy_id: e", "{policy: Tenant Guest, policy_id: e"},
	{"an ambiguous policy", "{policy: IAM ReadOnlyAccess, scope", "{policy: OBS Administrator, scope"},
	{"an unknown custom policy", "{policy: mine, custom: true", "{policy: yours, custom: true"},
	{"an identity policy as a grant", "{policy: IAM ReadOnlyAccess, scope", "{policy: OBSReadOnlyPolicy, scope"},
	{"a grant policy attached", "[OBSReadOnlyPolicy]", "[mine]"},
	{"an unknown attached policy", "[OBSReadOnlyPolicy]", "[OBSReadPolicy]"},
	{"a repeated attached policy", "[OBSReadOnlyPolicy]", "[OBSReadOnlyPolicy, OBSReadOnlyPolicy]"},
	{"an unknown project", "scope: project, in: ap-southeast-3_shop", "scope: project, in: shop"},
	{"no project", "scope: project, in: ap-southeast-3_shop", "scope: project"},
	{"an unknown enterprise project", "in: finance}\n        att", "in: sales}\n        att"},
	{"a project where none belongs", "scope: global}", "scope: global, in: ap-southeast-3}"},
	{
		"a repeated grant",
		"          - {policy: IAM ReadOnlyAccess, scope: global}\n",
		"          - {policy: IAM ReadOnlyAccess, scope: global}\n          - {policy: IAM ReadOnlyAccess, scope: global}\n",
	},
	{"an unknown trust", "trust: {name: prod}", "trust: {name: nobody}"},
	{"no trust", "        trust: {name: prod}\n", ""},
	{
		"a trust that contradicts itself",
		"trust: {name: prod}",
		"trust: {id: d0000000000000000000000000000001, name: nobody}",
	},
	{"an end in two forms", "expires_in: 240h", "expires_in: 240h\n        expires_at: 2030-01-01"},
	{"an end before the beginning", "expires_at: 2030-01-01", "expires_at: 2024-01-01"},
	{"no agency name", "      - name: other\n        trust", "      - trust"},
	{"a repeated agency", "- name: other", "- name: ServiceAgencyForCOC"},
	{"an account without a name", "    name: prod\n", ""},
	{"a bad account id", "id: d0000000000000000000000000000001", "id: d1/../x"},
	{"a bad status", "status: active", "status: not open"},
	{
		"a repeated project",
		"[{name: ap-southeast-3_shop}]",
		"[{name: ap-southeast-3_shop}, {name: ap-southeast-3_shop}]",
	},
	{"a repeated project id", "[{id: ep1, name: finance}]", "[{id: ep1, name: finance}, {id: ep1, name: sales}]"},
	{"a missing secret", "secret: made-up", `secret: ""`},
	{
		"a repeated key of a user",
		"[{access: AK1, secret: made-up}]",
		"[{access: AK1, secret: made-up}, {access: AK1, secret: made-up}]",
	},
	{"a user without a name", "      - name: auditor\n        keys", "      - keys"},
	{"an unknown policy of a user", "[Agent Operator]", "[Agent Operators]"},
	{"a bad action", `["iam:*:get*"]`, `["iam.get"]`},
	{"a bad action of a policy", `["obs:*:*"]`, `["obs"]`},
	{"a bad type of a custom policy", "{display_name: mine, type: AX", "{display_name: mine, type: AA"},
	{"a bad version", `version: "1.1"`, `version: "2.0"`},
	{"a policy without a name", "{display_name: mine, type", "{type"},
	{
		"a repeated custom policy",
		`policies: [{display_name: mine, type: AX, allow: ["obs:*:*"]}]`,
		"policies: [{display_name: mine, type: AX}, {display_name: mine, type: AX}]",
	},
	{
		"enterprise projects that the account does not have",
		"no_enterprise_projects: false",
		"no_enterprise_projects: true",
	},
	{"identity policies that the account does not have", "no_identity: false", "no_identity: true"},
	{"an account called like a service account", "name: prod\n", "name: op_svc_coc\n"},
	{
		"a service account with an account's id",
		"op_svc_coc: c0c00000000000000000000000000001",
		"op_svc_coc: d0000000000000000000000000000001",
	},
}

var update = flag.Bool("update", false, "write the golden files anew")

func TestFaultsOfAnOrganization(t *testing.T) {
	var got strings.Builder
	for _, c := range faultCases {
		if c.old != "" && strings.Count(everything, c.old) != 1 {
			t.Fatalf("%s: %q is there %d times", c.name, c.old, strings.Count(everything, c.old))
		}
		file := c.new
		if c.old != "" {
			file = strings.Replace(everything, c.old, c.new, 1)
		}
		org, err := LoadOrganization("org.yaml", []byte(file))
		faults, ok := errors.AsType[strictyaml.Faults](err)
		if !ok || org != nil {
			t.Errorf("%s: organization %v, error %v", c.name, org, err)
		}
		fmt.Fprintf(&got, "# %s\n", c.name)
		for _, f := range faults {
			if f.Line == 0 || f.Column == 0 || f.Problem == "" || f.Remedy == "" {
				t.Errorf("%s: a fault without place or remedy: %+v", c.name, f)
			}
			fmt.Fprintf(&got, "%s\n", f)
		}
		got.WriteString("\n")
	}
	const golden = "testdata/faults.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("faults are\n%s\nwant those of %s (go test -run FaultsOf -update writes them anew)", got.String(), golden)
	}
}

func TestAllFaultsAreSaidAtOnce(t *testing.T) {
	const file = `region: ap-southeast-3
regionn: ap-southeast-3
settings: {latency: fast, switches: {throttle: never}}
accounts:
  - name: a
    agencies:
      - name: ServiceAgencyForCOC
        trust: {name: nobody}
        grants:
          - {policy: No Such Policy, scope: global}
          - {policy: IAM ReadOnlyAccess, scope: everywhere}
  - name: a
`
	_, err := LoadOrganization("org.yaml", []byte(file))
	faults, ok := errors.AsType[strictyaml.Faults](err)
	if !ok {
		t.Fatalf("error %v", err)
	}
	var got []string
	for _, f := range faults {
		got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Path))
	}
	want := []string{
		"2:1 regionn", "3:21 settings.latency", "3:48 settings.switches.throttle", "8:9 accounts[0].agencies[0].trust",
		"10:22 accounts[0].agencies[0].grants[0].policy", "11:49 accounts[0].agencies[0].grants[1].scope",
		"12:5 accounts[1].id", "12:11 accounts[1].name",
	}
	if !slices.Equal(got, want) {
		t.Errorf("faults at\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

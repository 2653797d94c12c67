package main

import (
	"bytes"
	"cmp"
	_ "embed" // for the demo's configuration
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// bundledConfig is the auditor's configuration for the bundled organization, at the simulator's own address.
//
//go:embed demo.yaml
var bundledConfig []byte

// The addresses that the simulator takes unless it is told otherwise. bundledConfig names the first.
const (
	defaultCloudAddress   = "127.0.0.1:9879"
	defaultControlAddress = "127.0.0.1:9880"
)

// The environment variables by which the auditor is handed its key.
const (
	accessKeyVariable = "HUAWEICLOUD_SDK_AK"
	secretKeyVariable = "HUAWEICLOUD_SDK_SK"
)

// identity is the simulated user by whose key the accounts of a simulated organization are audited.
type identity struct {
	account simcloud.Account
	key     simcloud.Key
}

var errNoIdentity = errors.New("no user of the organization has a key")

// identityOf returns the first user with a key that may assume agencies, or else the first with a key.
func identityOf(org *simcloud.Organization) (identity, error) {
	var first *identity
	for _, acct := range org.Accounts {
		for _, u := range acct.Users {
			if len(u.Keys) == 0 {
				continue
			}
			id := identity{acct, u.Keys[0]}
			if slices.Contains(u.Policies, "Agent Operator") {
				return id, nil
			}
			if first == nil {
				first = &id
			}
		}
	}
	if first == nil {
		return identity{}, errNoIdentity
	}
	return *first, nil
}

// lookupEnv is an environment that holds the identity's key and nothing else.
func (id identity) lookupEnv(name string) (string, bool) {
	switch name {
	case accessKeyVariable:
		return id.key.Access, true
	case secretKeyVariable:
		return id.key.Secret, true
	}
	return "", false
}

// bundledConfigAt is bundledConfig with the simulator at another address, and with the certificates to believe there.
func bundledConfigAt(url, caFile string) ([]byte, error) {
	endpoint := []byte(`{iam: "http://` + defaultCloudAddress + `", organizations: "http://` + defaultCloudAddress + `"}`)
	if bytes.Count(bundledConfig, endpoint) != 1 {
		return nil, errors.New("the configuration of the bundled organization does not name the simulator's address once")
	}
	at := fmt.Sprintf("{iam: %q, organizations: %q}", url, url)
	if caFile != "" {
		at += fmt.Sprintf("\n  ca_file: %q", caFile)
	}
	return bytes.Replace(bundledConfig, endpoint, []byte(at), 1), nil
}

// configFor writes a configuration that audits a simulated organization by the identity's key.
func configFor(org *simcloud.Organization, id identity, url, caFile string) []byte {
	var b bytes.Buffer
	b.WriteString("# The auditor's configuration for a simulated organization.\n")
	b.WriteString("baselines: [coc]\n")
	fmt.Fprintf(&b, "credentials: {source: environment, account_id: %q}\n", id.account.ID)
	fmt.Fprintf(&b, "cloud:\n  site: custom\n  region: %q\n  endpoints: {iam: %q}\n", org.Region, url)
	if caFile != "" {
		fmt.Fprintf(&b, "  ca_file: %q\n", caFile)
	}
	b.WriteString("  rate: {per_account: 0, total: 0} # a simulated cloud bears any\naccounts:\n  static:\n")
	for _, acct := range org.Accounts {
		access := fmt.Sprintf("{via: keys, ak_env: %s, sk_env: %s}", accessKeyVariable, secretKeyVariable)
		if acct.ID != id.account.ID {
			access = fmt.Sprintf("{via: iam, agency: %q}", agencyFor(acct, id.account))
		}
		fmt.Fprintf(&b, "    - {name: %q, id: %q, require_agency: true, access: %s}\n", acct.Name, acct.ID, access)
	}
	return b.Bytes()
}

// The ways by which members of an organization are entered: through an agency of IAM v3, by IAM or by STS, or through a trust
// agency, which only STS knows.
const (
	byIAM   = "iam"
	bySTS   = "sts"
	byTrust = "trust"
)

func waysIn() []string { return []string{byIAM, bySTS, byTrust} }

var (
	errNoMembers = errors.New("the accounts are in no organization")
	errNoReader  = errors.New("no agency of the members lets the key's account in that way")
)

// membersConfigFor writes a configuration that has the organization list its accounts, and enters each by the agency that
// lets the identity's account into most of them.
func membersConfigFor(org *simcloud.Organization, id identity, url, caFile, way string) ([]byte, error) {
	if org.Structure == nil {
		return nil, errNoMembers
	}
	agency, externalID, ok := readerOf(org, id.account, way)
	if !ok {
		return nil, errNoReader
	}
	access := fmt.Sprintf("{via: %s, agency: %q}", way, agency)
	if way == byTrust {
		access = fmt.Sprintf("{via: %s, agency: %q, external_id: %q}", bySTS, agency, externalID)
		if externalID == "" {
			access = fmt.Sprintf("{via: %s, agency: %q}", bySTS, agency)
		}
	}
	var b bytes.Buffer
	b.WriteString("# The auditor's configuration for the accounts that a simulated organization lists.\n")
	b.WriteString("baselines: [coc]\n")
	fmt.Fprintf(&b, "credentials: {source: environment, account_id: %q}\n", id.account.ID)
	fmt.Fprintf(&b, "cloud:\n  site: custom\n  region: %q\n", org.Region)
	fmt.Fprintf(&b, "  endpoints: {iam: %q, sts: %q, organizations: %q}\n", url, url, url)
	if caFile != "" {
		fmt.Fprintf(&b, "  ca_file: %q\n", caFile)
	}
	b.WriteString("  rate: {per_account: 0, total: 0} # a simulated cloud bears any\n")
	b.WriteString("accounts:\n  organization:\n    enabled: true\n")
	fmt.Fprintf(&b, "    require_agency: true\n    labels: {tags: [owner, env]}\n    access: %s\n", access)
	return b.Bytes(), nil
}

// readerOf is the agency, by its name and the external id that it asks for, that lets an account into the most members of its
// organization in that way; of several it is the one whose name comes first.
func readerOf(org *simcloud.Organization, by simcloud.Account, way string) (agency, externalID string, ok bool) {
	type door struct{ agency, externalID string }
	doors := map[door]int{}
	for _, acct := range org.Accounts {
		if acct.Member == nil || acct.ID == by.ID {
			continue
		}
		for _, a := range acct.Agencies {
			switch {
			case (way == byTrust) != (a.TrustPolicy != nil):
			case way == byTrust:
				if p := a.TrustPolicy; slices.Contains(p.Principals, by.ID) || slices.Contains(p.Principals, by.Name) {
					doors[door{a.Name, p.ExternalID}]++
				}
			case trusts(a, by):
				doors[door{agency: a.Name}]++
			}
		}
	}
	if len(doors) == 0 {
		return "", "", false
	}
	best := slices.MinFunc(slices.Collect(maps.Keys(doors)), func(a, b door) int {
		return cmp.Or(cmp.Compare(doors[b], doors[a]), cmp.Compare(a.agency, b.agency), cmp.Compare(a.externalID, b.externalID))
	})
	return best.agency, best.externalID, true
}

// trusts says whether an agency of IAM v3 lets an account in, but for the two by which accounts are repaired.
func trusts(a simcloud.Agency, by simcloud.Account) bool {
	return a.Name != granter && a.Name != revoker && (a.Trust.ID == by.ID || a.Trust.ID == "" && a.Trust.Name == by.Name)
}

// The two agencies by which accounts of a simulated organization are repaired, and the environment variables with the key for that.
const (
	granter              = "AgencyAuditGrant"
	revoker              = "AgencyAuditRevoke"
	repairAccessVariable = "REPAIR_AK"
	repairSecretVariable = "REPAIR_SK"
)

// repairKey opens nothing but the simulator.
var repairKey = simcloud.Key{Access: "SIMREPAIRER0001", Secret: "made-up-secret-of-the-simulated-repairer"}

func repairModes() []string {
	return []string{string(remedy.ModePlan), string(remedy.ModeApprove), string(remedy.ModeAuto)}
}

// makeRepairable gives every account but the identity's own an agency that may grant and one that may revoke, by exactly the policies that
// deploy/iam publishes, and the identity's account a user who may assume these.
func makeRepairable(org *simcloud.Organization) error {
	id, err := identityOf(org)
	if err != nil {
		return err
	}
	ways := map[string][]string{
		granter: {"iam:permissions:grantRoleToAgency", "iam:permissions:grantRoleToAgencyOnDomain"},
		revoker: {
			"iam:agencies:detachPolicyV5", "iam:permissions:revokeRoleFromAgency", "iam:permissions:revokeRoleFromAgencyOnDomain",
			"iam:permissions:revokeRoleFromAgencyOnEnterpriseProject", "iam:permissions:revokeRoleFromAgencyOnProject",
		},
	}
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		if acct.Name == id.account.Name {
			acct.Users = append(slices.Clone(acct.Users), simcloud.User{
				Name: "repairer", Keys: []simcloud.Key{repairKey}, Actions: []string{"iam:agencies:assume", "sts:agencies:assume"},
			})
			continue
		}
		// Accounts may share what they are made of.
		acct.Policies, acct.Agencies = slices.Clone(acct.Policies), slices.Clone(acct.Agencies)
		for _, name := range slices.Sorted(maps.Keys(ways)) {
			acct.Policies = append(acct.Policies, simcloud.Policy{DisplayName: name, Type: "AX", Allow: ways[name]})
			acct.Agencies = append(acct.Agencies, simcloud.Agency{
				Name: name, Trust: simcloud.Trust{Name: id.account.Name},
				Grants: []simcloud.Grant{{Policy: name, Custom: true, Scope: string(rules.Global)}},
			})
		}
	}
	return nil
}

// repairConfig is what a configuration says of repair.
func repairConfig(id identity, mode string) []byte {
	var b bytes.Buffer
	if remedy.Mode(mode).Acts() {
		b.WriteString("state_dir: state\n")
	}
	fmt.Fprintf(&b, "remediation:\n  mode: %s\n", mode)
	fmt.Fprintf(&b, "  credentials: {source: environment, account_id: %q, ak_env: %s, sk_env: %s}\n", id.account.ID, repairAccessVariable,
		repairSecretVariable)
	fmt.Fprintf(&b, "  missing: {enabled: true, via: iam, agency: %s}\n", granter)
	fmt.Fprintf(&b, "  excess: {enabled: true, via: iam, agency: %s, policies: [CES ReadOnlyAccess, Tenant Guest], grace: 1h}\n", revoker)
	return b.Bytes()
}

// agencyFor is the agency by which the identity's account enters another one. Where there is none the usual name stands
// in its place: the account is then unknown, which is the truth.
func agencyFor(acct, by simcloud.Account) string {
	for _, a := range acct.Agencies {
		if trusts(a, by) {
			return a.Name
		}
	}
	return "AgencyAuditReader"
}

// requests sums what the cloud counted.
func requests(counters []simcloud.Counter) int {
	n := 0
	for _, c := range counters {
		n += c.OK
		for _, refused := range c.Refused {
			n += refused
		}
	}
	return n
}

// described names an organization for people.
func described(org *simcloud.Organization, from string) string {
	noun := "accounts"
	if len(org.Accounts) == 1 {
		noun = "account"
	}
	return fmt.Sprintf("%d %s (%s)", len(org.Accounts), noun, strings.TrimSpace(from))
}

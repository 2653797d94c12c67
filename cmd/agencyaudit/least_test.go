//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// publishedPolicy is a policy document of deploy/iam as a policy of an account. There is no other list of its actions.
func publishedPolicy(t *testing.T, file string) simcloud.Policy {
	t.Helper()
	var doc struct {
		Version   string
		Statement []struct {
			Effect   string
			Action   []string
			Resource json.RawMessage
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, "../../deploy/iam/"+file)), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Statement) != 1 || doc.Statement[0].Effect != "Allow" {
		t.Fatalf("%s: %+v", file, doc)
	}
	p := simcloud.Policy{DisplayName: strings.ReplaceAll(strings.TrimSuffix(file, ".json"), "/", "-"), Version: doc.Version, Allow: doc.Statement[0].Action}
	if p.Version == "1.1" { // in which agencies are named by their ids, which nobody can publish
		p.Type = "AX"
	} else if resources := doc.Statement[0].Resource; resources != nil {
		if err := json.Unmarshal(resources, &p.Resources); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	return p
}

func readFile(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// leastOrganization is the bundled one, in which every reader holds that policy in the place of IAM ReadOnlyAccess, and the main
// identity nothing but that and the rights to assume the readers, by their ids, and to list the organization.
func leastOrganization(t *testing.T, reader simcloud.Policy) *simcloud.Organization {
	t.Helper()
	filled, err := simcloud.New(simcloud.Bundled())
	if err != nil {
		t.Fatal(err)
	}
	org := filled.Organization() // with all ids
	assume, list := publishedPolicy(t, "v1.1/main-assume.json"), publishedPolicy(t, "v1.1/main-organizations.json")
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		for j := range acct.Agencies {
			g := &acct.Agencies[j]
			if g.Name != "AgencyAuditReader" {
				continue
			}
			assume.Resources = append(assume.Resources, "/iam/agencies/"+g.ID)
			held := slices.IndexFunc(g.Grants, func(g simcloud.Grant) bool { return g.Policy == "IAM ReadOnlyAccess" })
			if held < 0 || acct.Planes.NoIdentity && reader.Version == "5.0" {
				continue // the one that is there to have no rights, and the one that knows no identity policies
			}
			acct.Policies = append(acct.Policies, reader)
			g.Grants = nil
			if reader.Version == "5.0" {
				g.Attached = []string{reader.DisplayName}
			} else {
				g.Grants = []simcloud.Grant{{Policy: reader.DisplayName, Custom: true, Scope: "global"}}
			}
		}
	}
	main := &org.Accounts[0]
	main.Policies = append(main.Policies, reader, assume, list)
	main.Users[0].Policies = []string{reader.DisplayName, assume.DisplayName, list.DisplayName}
	main.Users[0].Actions = nil
	return org
}

// leastAudit runs `audit` on an organization and returns the JSON of its report.
func leastAudit(t *testing.T, org *simcloud.Organization) (code int, document []byte) {
	t.Helper()
	cloud, server := startCloud(t, org)
	config, err := bundledConfigAt(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), string(config))
	key := org.Accounts[0].Users[0].Keys[0]
	p := launch(t, dir, []string{accessKeyVariable + "=" + key.Access, secretKeyVariable + "=" + key.Secret},
		[]string{"audit", "-o", "json", "--out", "report.json"})
	code = p.wait(t)
	noWrites(t, cloud)
	return code, []byte(readFile(t, filepath.Join(dir, "report.json")))
}

// With exactly the reader's policy the bundled organization is judged as it always is; without any one of its actions an account
// is not, and the report says which action is lacking, in the language of the policy, and who can grant it.
func TestLeastRights(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"v1.1/reader.json", "v5.0/reader.json"} {
		whole := publishedPolicy(t, file)
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			_, document := leastAudit(t, leastOrganization(t, whole))
			differ, err := differences(document, mustReadExpectations(t))
			if err != nil || len(differ) > 0 {
				t.Fatalf("%v\n%s", err, strings.Join(differ, "\n"))
			}
		})
		if testing.Short() && whole.Version != "1.1" {
			continue
		}
		for i, action := range whole.Allow {
			t.Run(file+" without "+action, func(t *testing.T) {
				t.Parallel()
				part := whole
				part.Allow = slices.Delete(slices.Clone(whole.Allow), i, i+1)
				code, document := leastAudit(t, leastOrganization(t, part))
				if code != exitPartial {
					t.Errorf("exit code %d, want %d", code, exitPartial)
				}
				if why := lacking(t, document, action); why != "" {
					t.Error(why)
				}
			})
		}
	}
}

// lacking wants accounts to be unknown for want of that action alone, and all others to be judged as they are.
func lacking(t *testing.T, document []byte, action string) string {
	t.Helper()
	var doc struct {
		Sweeps []struct {
			Account struct {
				Name string `json:"name"`
			} `json:"account"`
			State   string `json:"state"`
			Unknown *struct {
				Reason, Detail, Remedy string
			} `json:"unknown"`
		} `json:"sweeps"`
	}
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	usual := map[string]expectation{}
	for _, e := range mustReadExpectations(t) {
		usual[e.Name] = e
	}
	concerned := 0
	for _, s := range doc.Sweeps {
		name := s.Account.Name
		switch {
		case s.State == usual[name].State:
		case s.Unknown == nil:
			return fmt.Sprintf("%s is %s, want %s", name, s.State, usual[name].State)
		case strings.Contains(s.Unknown.Detail, "the site's catalogue of policies was not read"): // by anybody, which others say
		case s.Unknown.Reason != "denied":
			return fmt.Sprintf("%s is unknown for another reason: %+v", name, *s.Unknown)
		case !strings.Contains(s.Unknown.Remedy, action):
			return fmt.Sprintf("%s: the report does not name %s: %+v", name, action, *s.Unknown)
		case !strings.Contains(s.Unknown.Remedy, "an administrator of the account"):
			return fmt.Sprintf("%s: the report does not say who can grant it: %+v", name, *s.Unknown)
		default:
			concerned++
		}
	}
	if concerned == 0 {
		return "nothing lacks it: " + action + " is superfluous"
	}
	return ""
}

// leastFleet is an organization of four accounts in which the readers and the main identity hold nothing but the published documents of
// a version; without is an action that they lack.
func leastFleet(t *testing.T, version, without string) *simcloud.Organization {
	t.Helper()
	filled, err := simcloud.New(simcloud.GenerateSteady(1, 4))
	if err != nil {
		t.Fatal(err)
	}
	org := filled.Organization() // with all ids
	published := func(file string) simcloud.Policy {
		p := publishedPolicy(t, "v"+version+"/"+file+".json")
		p.Allow = slices.DeleteFunc(slices.Clone(p.Allow), func(a string) bool { return a == without })
		if len(p.Allow) == 0 {
			p.Allow = []string{"iam:users:getUser"} // of no use here: a policy allows something
		}
		return p
	}
	reader, assume, list := published("reader"), published("main-assume"), published("main-organizations")
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		acct.Policies = append(acct.Policies, reader)
		for j := range acct.Agencies {
			g := &acct.Agencies[j]
			if g.Name != "AgencyAuditReader" {
				continue
			}
			if g.Grants = nil; version == "5.0" {
				g.Attached = []string{reader.DisplayName}
			} else {
				g.Grants = []simcloud.Grant{{Policy: reader.DisplayName, Custom: true, Scope: "global"}}
				assume.Resources = append(assume.Resources, "/iam/agencies/"+g.ID)
			}
		}
	}
	main := &org.Accounts[0]
	main.Policies = append(main.Policies, assume, list)
	main.Users[0].Actions, main.Users[0].Policies = nil, []string{reader.DisplayName, assume.DisplayName, list.DisplayName}
	return org
}

// leastRun runs a command on an organization, whose accounts are entered by a way, and returns what it says.
func leastRun(t *testing.T, org *simcloud.Organization, way string, args ...string) (code int, says string) {
	t.Helper()
	cloud, server := startCloud(t, org)
	id := mustIdentity(t, org)
	config, err := membersConfigFor(org, id, server.URL, "", way)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), string(config))
	p := launch(t, dir, []string{accessKeyVariable + "=" + id.key.Access, secretKeyVariable + "=" + id.key.Secret}, append(args, "--log-level", "error"))
	code = p.wait(t)
	noWrites(t, cloud)
	return code, p.out.String() + p.err.String()
}

// With exactly the published documents, of readers and of the main identity, doctor and audit find everything well in an organization.
// Without any one of their actions the doctor says which is lacking, and no other, and who can grant it; so does audit, but of the
// reader's actions, which few accounts need all of (TestLeastRights).
func TestLeastRightsOfAnOrganization(t *testing.T) {
	t.Parallel()
	for version, way := range map[string]string{"1.1": byIAM, "5.0": bySTS} {
		for _, command := range []string{"doctor", "audit"} {
			t.Run(version+" "+command, func(t *testing.T) {
				t.Parallel()
				if code, says := leastRun(t, leastFleet(t, version, ""), way, command); code != exitOK {
					t.Errorf("exit code %d:\n%s", code, last(says, 3000))
				}
			})
		}
		var all, ofReader []string
		who := map[string]string{}
		for _, file := range []string{"reader", "main-assume", "main-organizations"} {
			for _, action := range publishedPolicy(t, "v"+version+"/"+file+".json").Allow {
				all = append(all, action)
				if who[action] = "an administrator of account " + leastFleet(t, version, "").Accounts[0].ID; file == "reader" {
					ofReader = append(ofReader, action)
					who[action] = "an administrator of the account allows the action"
				}
			}
		}
		for _, action := range all {
			if testing.Short() && version == "1.1" {
				break
			}
			t.Run(version+" without "+action, func(t *testing.T) {
				t.Parallel()
				for _, args := range [][]string{{"doctor"}, {"audit", "--verbose"}} {
					if args[0] == "audit" && slices.Contains(ofReader, action) {
						continue
					}
					code, says := leastRun(t, leastFleet(t, version, action), way, args...)
					text := strings.Join(strings.Fields(says), " ")
					if _, orders, found := strings.Cut(text, "WHAT TO DO"); found {
						text = orders // below the legend, which has all of them
					}
					if code != exitPartial || !names(text, action) || !strings.Contains(text, who[action]) {
						t.Errorf("%s ends with %d, and does not say %q and %q:\n%s", args[0], code, action, who[action], last(says, 4000))
					}
					for _, other := range all {
						if other != action && names(text, other) {
							t.Errorf("%s names %s, which is there", args[0], other)
						}
					}
				}
			})
		}
	}
}

// names says whether a text names an action, and not one that begins like it.
func names(text, action string) bool {
	for rest := text; ; {
		_, after, found := strings.Cut(rest, action)
		if !found {
			return false
		}
		if rest = after; rest == "" || !strings.ContainsAny(rest[:1], "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") {
			return true
		}
	}
}

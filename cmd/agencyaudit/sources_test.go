package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// TestKeysThatAreFetched audits with the keys of a server, of a pod and of a profile, through the built program. With keys of
// another account nothing is read, which is told in words and by the exit code.
func TestKeysThatAreFetched(t *testing.T) {
	const target, other = "exact-baseline", "exact-and-wider"
	org := simcloud.Bundled()
	ids := map[string]string{}
	for i, a := range org.Accounts {
		ids[a.Name] = a.ID
		if a.Name == other { // its server and its pod may do whatever the right ones may
			org.Accounts[i].Agencies = append(org.Accounts[i].Agencies,
				simcloud.Agency{Name: "OtherServer", Trust: simcloud.Trust{Name: "op_svc_ecs"}, Grants: []simcloud.Grant{
					{Policy: "Security Administrator", Scope: "global"}, {Policy: "Agent Operator", Scope: "global"},
				}})
		}
	}
	org.Instances = append(org.Instances, simcloud.Instance{Name: "other", Account: other, Agency: "OtherServer"})
	pod := org.Pods[0]
	org.Pods = append(org.Pods, simcloud.Pod{Name: "other", Account: other, Agency: "OtherServer", Token: pod.Token})
	cloud, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	server, err := cloud.Start(simcloud.Listen{Cloud: "127.0.0.1:0", Control: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	token := put("token", pod.Token+"\n")
	put("credentials", "[global]\nak = SIMMGMTAUDITOR0001\nsk = made-up-secret-of-the-simulated-auditor\n"+
		"[other]\nak = SIMMGMTAUDITOR0001\nsk = made-up-secret-of-the-simulated-auditor\ndomain_id = "+ids[other]+"\n")
	audit := func(credentials string, endpoints string, env ...string) (int, string) {
		t.Helper()
		config := put("agencyaudit.yaml", fmt.Sprintf(`credentials: {account_id: d0000000000000000000000000000001, %s}
cloud: {site: custom, region: ap-southeast-3, endpoints: {iam: %q%s}}
accounts: {static: [{name: target, id: %s, access: {via: iam, agency: AgencyAuditReader}}]}
`, credentials, server.URL, endpoints, ids[target]))
		cloud.ResetCounters()
		code, out, complaints := programIn(t, env, "audit", "--config", config)
		return code, out + complaints
	}
	metadata := fmt.Sprintf(", metadata: %q", server.ControlURL)
	inPod := func(name string) []string {
		return []string{"HC_CONTAINER_CREDENTIALS_FULL_URI=" + server.ControlURL + "/pods/" + name, "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE=" + token}
	}
	const profile = "source: profile, profile_file: credentials"

	for _, right := range []func() (int, string){
		func() (int, string) { return audit(profile, "") },
		func() (int, string) { return audit("source: ecs", metadata) },
		func() (int, string) { return audit("source: pod", "", inPod(pod.Name)...) },
	} {
		if code, says := right(); code != 0 {
			t.Errorf("exit code %d\n%s", code, says)
		}
	}
	if code, says := audit(profile+", profile: other", ""); code != 3 || !strings.Contains(says, "the domain_id of another account than credentials.account_id") {
		t.Errorf("a profile of another account: exit code %d\n%s", code, says)
	}

	s := cloud.Settings()
	s.Instance = "other"
	if err := cloud.SetSettings(s); err != nil {
		t.Fatal(err)
	}
	for source, wrong := range map[string]func() (int, string){
		"ecs": func() (int, string) { return audit("source: ecs", metadata) },
		"pod": func() (int, string) { return audit("source: pod", "", inPod("other")...) },
	} {
		code, says := wrong()
		// The simulated cloud does not even take a signature that names another account than the key's.
		const want = "the account was not entered: asking whose the main identity's key is: the cloud answered 401 APIGW.0301: Incorrect IAM " +
			"authentication information: X-Domain-Id is not the account of the key"
		if code != 2 || !strings.Contains(strings.Join(strings.Fields(says), " "), want) {
			t.Errorf("%s of another account: exit code %d\n%s", source, code, says)
		}
		for _, n := range cloud.Counters() {
			switch n.Operation {
			case "KeystoneListAuthDomains", "GetMetadataToken", "GetSecurityKey", "AssumeAgencyForPodIdentity":
			default:
				t.Errorf("%s of another account: %s was sent", source, n.Operation)
			}
		}
	}
	noWrites(t, cloud)
}

package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// TestKeysThatAreFetched audits with the keys of a server, of a pod and of a profile, through the built program. With keys of
// another account nothing is read, which is told in words and by the exit code.
func TestKeysThatAreFetched(t *testing.T) {
	t.Parallel()
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

// TestAChainOfAccounts audits an organization from a server of one of its members, by way of an agency of the management account,
// through the built program; and sees each hop fail.
func TestAChainOfAccounts(t *testing.T) {
	t.Parallel()
	const host, self = "all-four-at-all-resources", "exact-and-wider"
	org := simcloud.Bundled()
	mainID, hostID := org.Accounts[0].ID, ""
	mayHop := simcloud.Policy{
		DisplayName: "Hop", Version: "5.0", Allow: []string{"sts:agencies:assume"}, Resources: []string{"iam::" + mainID + ":agency:AgencyAuditMain"},
	}
	for i, a := range org.Accounts {
		if a.Name == host {
			hostID = a.ID
			org.Accounts[i].Policies = append(a.Policies, mayHop)
			org.Accounts[i].Agencies = append(a.Agencies,
				simcloud.Agency{Name: "Server", Trust: simcloud.Trust{Name: "op_svc_ecs"}, Attached: []string{"Hop"}})
		}
	}
	hop := simcloud.Agency{
		Name: "AgencyAuditMain", TrustPolicy: &simcloud.TrustPolicy{Principals: []string{hostID}, ExternalID: "audit-4711"},
		Attached: []string{"AuditTheOrganization"},
	}
	org.Accounts[0].Agencies = append(org.Accounts[0].Agencies, hop)
	org.Instances = append(org.Instances, simcloud.Instance{Name: "server", Account: host, Agency: "Server"})
	org.Settings.Instance = "server"
	own := &org.Accounts[slices.IndexFunc(org.Accounts, func(a simcloud.Account) bool { return a.Name == self })]
	own.Users = append(own.Users, simcloud.User{
		Name: "own", Keys: []simcloud.Key{{Access: "SIMOWNKEY0001", Secret: "secret-of-its-own"}}, Policies: []string{"IAM ReadOnlyAccess"},
	})
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
	run := func(chain string, args ...string) (int, string) {
		t.Helper()
		config := filepath.Join(dir, "agencyaudit.yaml")
		text := fmt.Sprintf(`credentials: {source: ecs, account_id: %s, chain: {via: sts, account_id: %s, agency: AgencyAuditMain%s}}
cloud: {site: custom, region: ap-southeast-3, endpoints: {iam: %[4]q, sts: %[4]q, organizations: %[4]q, metadata: %[5]q}}
accounts:
  organization: {enabled: true, access: {via: sts, agency: AgencyAuditReader}}
  static: [{name: own, id: %[6]s, access: {via: keys, ak_env: OWN_AK, sk_env: OWN_SK}}]
`, hostID, mainID, chain, server.URL, server.ControlURL, own.ID)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cloud.ResetCounters()
		code, out, complaints := programIn(t, []string{"OWN_AK=SIMOWNKEY0001", "OWN_SK=secret-of-its-own"}, append(args, "--config", config)...)
		return code, strings.Join(strings.Fields(out+complaints), " ")
	}
	// The server's own account did nothing but hop, and is read like any other.
	check := func(allowed ...string) {
		t.Helper()
		for _, n := range cloud.Counters() {
			if n.AccountID != mainID && strings.HasPrefix(n.Operation, "Assume") && n.AccountID != hostID {
				t.Errorf("%s was sent by %s", n.Operation, n.Account)
			}
			if len(allowed) > 0 && n.AccountID != own.ID && !slices.Contains(allowed, n.Operation) {
				t.Errorf("%s was sent by %s", n.Operation, n.Account)
			}
		}
	}
	chosen := []string{"--account", host, "--account", "management", "--account", "exact-baseline", "--account", "own"}
	for command, want := range map[string]string{
		"audit": "4 compliant", "doctor": "the program's own key let it enter account " + mainID + " by the chain's agency AgencyAuditMain (sts), and the key " +
			"from there is of that account",
	} {
		if code, says := run(", external_id: audit-4711", append([]string{command}, chosen...)...); code != 0 || !strings.Contains(says, want) {
			t.Errorf("%s: exit code %d\n%s", command, code, says)
		}
		check()
	}
	for name, tc := range map[string]struct{ chain, instance, says, who string }{
		"another external id": {
			", external_id: nobody", "server", "the chain to account " + mainID + ": assuming its agency \"AgencyAuditMain\": the cloud answered 403",
			"an administrator of account " + mainID + " creates the agency or trust agency, lets it trust account " + hostID + ", with the external id",
		},
		"a server of another account": {
			", external_id: audit-4711", "auditor-server", "the chain to account " + mainID + " was not begun: asking whose the program's own identity's key is",
			"check that the server's agency, whose key the metadata service gave, still exists",
		},
	} {
		s := cloud.Settings()
		s.Instance = tc.instance
		if err := cloud.SetSettings(s); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"audit", "doctor"} {
			code, says := run(tc.chain, command)
			if code != 2 || !strings.Contains(says, tc.says) || !strings.Contains(says, tc.who) {
				t.Errorf("%s, %s: exit code %d\n%s", name, command, code, says)
			}
			if command == "audit" && !strings.Contains(says, "1 compliant") {
				t.Errorf("%s: the account with keys of its own was not read\n%s", name, says)
			}
			check("KeystoneListAuthDomains", "GetMetadataToken", "GetSecurityKey", "AssumeAgency")
		}
	}
	noWrites(t, cloud)
}

// TestProxiesOfTheEnvironment are not used, for signed requests and keys are nothing for them to see.
func TestProxiesOfTheEnvironment(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var came atomic.Int64
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = conn.Close()
		}
	}()
	var env []string
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		env = append(env, name+"=http://"+l.Addr().String(), strings.ToLower(name)+"=http://"+l.Addr().String())
	}
	config := filepath.Join(t.TempDir(), "agencyaudit.yaml")
	for _, source := range []string{"environment", "ecs"} {
		text := fmt.Sprintf(`credentials: {source: %s, account_id: d0000000000000000000000000000001}
cloud: {site: custom, endpoints: {iam: "https://iam.invalid", sts: "https://sts.invalid", organizations: "https://organizations.invalid"}}
limits: {request_timeout: 1s, account_timeout: 3s, run_timeout: 3s}
accounts: {static: [{name: target, id: d0000000000000000000000000000002, access: {via: sts, agency: AgencyAuditReader}}]}
`, source)
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, complaints := programIn(t, append(env, "HUAWEICLOUD_SDK_AK=AKOFNOBODY", "HUAWEICLOUD_SDK_SK=SKOFNOBODY"), "audit", "--config", config); code != 2 {
			t.Errorf("source %s: exit code %d\n%s%s", source, code, out, complaints)
		}
	}
	if n := came.Load(); n > 0 {
		t.Errorf("%d connections were made to a proxy", n)
	}
}

//go:build unix

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// point has the daemon ask another address from now on.
func (s *scene) point(endpoint, more string) {
	s.t.Helper()
	replace(s.t, s.daemon.file, s.config(endpoint, more))
	if s.daemon.gone() {
		return
	}
	if a := s.daemon.reload(s.t); a.status != http.StatusOK {
		s.t.Fatalf("the configuration was refused: %d\n%s", a.status, a.body)
	}
}

// renew does what an operator does about a key that was refused: change the configuration and have it reloaded, which begins with
// new state.
func (s *scene) renew() {
	s.t.Helper()
	in := s.look().where("config_info")
	replace(s.t, s.daemon.file, strings.Replace(s.config(s.door.url(), ""), "max_age: 15m", "max_age: 16m", 1))
	s.daemon.signal(s.t, syscall.SIGHUP)
	s.await("another configuration is in force", func(m moment) string {
		if now := m.where("config_info"); maps.Equal(now, in) {
			return fmt.Sprintf("in force are still %v", now)
		}
		return ""
	})
}

// leadsTo has the daemon ask an address at which there is no cloud.
func leadsTo(endpoint string) trick {
	return trick{
		whole: true, away: true, strike: func(s *scene) { s.point(endpoint, "") }, relent: func(s *scene) { s.point(s.door.url(), "") },
	}
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

// issue makes a certificate for the simulated cloud, changed as it is told.
func (a *authority) issue(t *testing.T, change func(c *x509.Certificate)) *tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "simulated cloud"}, NotBefore: time.Now().Add(-24 * time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// What can be wrong with a certificate: the daemon trusts ours, and the cloud shows one that another may have issued.
func expired(t *testing.T, ours *authority) *tls.Certificate {
	return ours.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Hour) })
}

func ofAnotherHost(t *testing.T, ours *authority) *tls.Certificate {
	return ours.issue(t, func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"iam.example"} })
}

func ofAnotherAuthority(t *testing.T, _ *authority) *tls.Certificate {
	return newAuthority(t, "nobody knows").issue(t, nil)
}

// certified has the cloud speak TLS with such a certificate, and in the end with a good one: what was refused was the
// certificate and nothing else.
func certified(shown func(t *testing.T, ours *authority) *tls.Certificate) trick {
	reopen := func(s *scene, cert *tls.Certificate) {
		s.door.close(s.t)
		s.door.cert = cert
		s.door.open(s.t)
	}
	return trick{
		whole: true, away: true,
		strike: func(s *scene) {
			s.authority = newAuthority(s.t, "ours")
			replace(s.t, filepath.Join(s.daemon.dir, "ca.pem"), s.authority.pem)
			reopen(s, shown(s.t, s.authority))
			s.point(s.door.url(), "  ca_file: ca.pem\n")
		},
		relent: func(s *scene) { reopen(s, s.authority.issue(s.t, nil)) },
	}
}

// drifts has something happen in each of the struck accounts that no client did; happen returns how it is undone.
func drifts(happen func(s *scene, acct simcloud.Account) (undo []simcloud.Drift)) trick {
	return trick{
		strike: func(s *scene) {
			for _, acct := range s.cloud.Load().Organization().Accounts {
				if i := slices.IndexFunc(s.accounts, func(a actor) bool { return a.id == acct.ID }); s.accounts[i].victim {
					s.undo = append(s.undo, happen(s, acct)...)
				}
			}
		},
		relent: func(s *scene) {
			for _, d := range s.undo {
				s.happens(d)
			}
			s.undo = nil
		},
	}
}

// agencyOf returns the agency of that name.
func agencyOf(acct simcloud.Account, name string) simcloud.Agency {
	return acct.Agencies[slices.IndexFunc(acct.Agencies, func(a simcloud.Agency) bool { return a.Name == name })]
}

func vanishes(name string) func(s *scene, acct simcloud.Account) []simcloud.Drift {
	return func(s *scene, acct simcloud.Account) []simcloud.Drift {
		agency := agencyOf(acct, name)
		s.happens(simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: acct.ID, Agency: agency.ID})
		return []simcloud.Drift{{Kind: simcloud.DriftCreateAgency, Account: acct.ID, New: &agency}}
	}
}

func appearsTwice(s *scene, acct simcloud.Account) []simcloud.Drift {
	twin := agencyOf(acct, auditedAgency)
	twin.ID = strings.Repeat("7", 32)
	s.happens(simcloud.Drift{Kind: simcloud.DriftCreateAgency, Account: acct.ID, New: &twin})
	return []simcloud.Drift{{Kind: simcloud.DriftDeleteAgency, Account: acct.ID, Agency: twin.ID}}
}

func trustsAnother(s *scene, acct simcloud.Account) []simcloud.Drift {
	agency := agencyOf(acct, auditedAgency)
	s.happens(simcloud.Drift{
		Kind: simcloud.DriftUpdateAgency, Account: acct.ID, Agency: agency.ID,
		Trust: &simcloud.Trust{ID: "ee000000000000000000000000000001", Name: "op_svc_coc2"},
	})
	return []simcloud.Drift{{Kind: simcloud.DriftUpdateAgency, Account: acct.ID, Agency: agency.ID, Trust: &agency.Trust}}
}

// imitate has a custom policy with a required one's name take its place.
func imitate(s *scene, acct simcloud.Account) []simcloud.Drift {
	agency := agencyOf(acct, auditedAgency)
	right := simcloud.Grant{Policy: "COCServiceAgencyDefaultPolicy", Scope: "all_resources"}
	twin := simcloud.Grant{Policy: right.Policy, Custom: true, Scope: right.Scope}
	do := func(kind string, g simcloud.Grant) simcloud.Drift {
		return simcloud.Drift{Kind: kind, Account: acct.ID, Agency: agency.ID, Grant: &g}
	}
	s.happens(do(simcloud.DriftRevoke, right))
	s.happens(do(simcloud.DriftGrant, twin))
	return []simcloud.Drift{do(simcloud.DriftRevoke, twin), do(simcloud.DriftGrant, right)}
}

// imitated has that happen.
var imitated = func() trick {
	d := drifts(imitate)
	d.organization = func(org *simcloud.Organization) {
		for i := range org.Accounts {
			org.Accounts[i].Policies = append(org.Accounts[i].Policies, simcloud.Policy{
				DisplayName: "COCServiceAgencyDefaultPolicy", Type: "XA", Version: "1.1", Allow: []string{"ecs:servers:delete"},
			})
		}
	}
	return d
}()

// refusesEntry deletes the agencies by which accounts are entered.
var refusesEntry = func() trick {
	d := drifts(vanishes("AgencyAuditReader"))
	d.assumed = true
	return d
}()

// rewritten changes what a required policy allows. docs/design.md leaves the documents of system-defined policies out beyond
// the risk of those that are too many: the row shows that nothing is said, and that nothing breaks.
var rewritten = trick{
	whole: true,
	strike: func(s *scene) {
		s.original = s.cloud.Load().Organization()
		org := *s.original
		org.SystemPolicies = nil
		for _, p := range s.cloud.Load().Catalogue() {
			if p.DisplayName == "DCS UserAccess" {
				p.Allow = []string{"*:*:*"}
				org.SystemPolicies = append(slices.Clone(org.SystemPolicies), p)
			}
		}
		if len(org.SystemPolicies) != 1 {
			s.t.Fatal("there is no policy to change")
		}
		s.replaceCloud(&org)
	},
	relent: func(s *scene) { s.replaceCloud(s.original) },
}

// evilNames are names that somebody chose to do harm where they are shown.
var evilNames = []string{
	"<script>alert(1)</script>", `"} 1` + "\nagencyaudit_run_complete 1\n#", "{}\"\\", "line\nbreak\r\x00\x1b[31m", "\u202egnp.exe", strings.Repeat("long", 2560),
	"=HYPERLINK(\"http://evil.example\")", "zero\u200bwidth", "ServiceAgencyForC\u041eC",
}

// hostile grants custom policies with such names, at projects with such names, to the audited agencies.
var hostile = func() trick {
	d := drifts(func(s *scene, acct simcloud.Account) []simcloud.Drift {
		var undo []simcloud.Drift
		agency := agencyOf(acct, auditedAgency)
		for i, p := range acct.Policies {
			g := simcloud.Grant{PolicyID: p.ID, Scope: "global"}
			if i%2 == 1 {
				in := slices.IndexFunc(acct.Projects, func(p simcloud.Project) bool { return strings.HasSuffix(p.Name, evilNames[i]) })
				g = simcloud.Grant{PolicyID: p.ID, Scope: "project", In: acct.Projects[in].ID}
			}
			s.happens(simcloud.Drift{Kind: simcloud.DriftGrant, Account: acct.ID, Agency: agency.ID, Grant: &g})
			undo = append(undo, simcloud.Drift{Kind: simcloud.DriftRevoke, Account: acct.ID, Agency: agency.ID, Grant: &g})
		}
		for _, p := range s.cloud.Load().Organization().SystemPolicies {
			g := simcloud.Grant{PolicyID: p.ID, Scope: "all_resources"}
			s.happens(simcloud.Drift{Kind: simcloud.DriftGrant, Account: acct.ID, Agency: agency.ID, Grant: &g})
			undo = append(undo, simcloud.Drift{Kind: simcloud.DriftRevoke, Account: acct.ID, Agency: agency.ID, Grant: &g})
		}
		text := strings.Join(evilNames[:5], " ")
		s.happens(simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: acct.ID, Agency: agency.ID, Description: &text})
		return undo
	})
	d.organization = func(org *simcloud.Organization) {
		for i, name := range evilNames {
			org.SystemPolicies = append(org.SystemPolicies, simcloud.Policy{
				ID: fmt.Sprintf("%032x", i+1), DisplayName: name, Type: "AA", Version: "1.1", Allow: []string{"ecs:servers:list"},
			})
		}
		for i := range org.Accounts[bystanders:] {
			acct := &org.Accounts[bystanders+i]
			for n, name := range evilNames {
				acct.Policies = append(acct.Policies, simcloud.Policy{DisplayName: name, Type: []string{"AX", "XA"}[n%2], Version: "1.1", Allow: []string{"ecs:servers:list"}})
				acct.Projects = append(slices.Clone(acct.Projects), simcloud.Project{Name: "ap-southeast-3_" + strconv.Itoa(n) + name})
			}
		}
	}
	d.meanwhile = func(s *scene, before, during moment) {
		for _, a := range s.accounts {
			if !a.victim {
				continue
			}
			// One series for each policy of a scope, whatever it is called.
			was, is := len(before.where("policy_excess", a.label())), len(during.where("policy_excess", a.label()))
			if is != was+2*len(evilNames) {
				s.t.Errorf("%s had %d series of policy_excess and has %d, with %d policies more", a.name, was, is, 2*len(evilNames))
			}
		}
		if during.one("run_complete") != 1 || len(during.where("run_complete")) != 1 {
			s.t.Errorf("a name made a series: %v", during.where("run_complete"))
		}
		for path, page := range s.pages() {
			for _, raw := range []string{"<script", "\u202e", "\u200b", "\x00", "\x1b"} {
				if strings.Contains(page, raw) {
					s.t.Errorf("%s shows %q as it is", path, raw)
				}
			}
		}
	}
	return d
}()

// roles are how many grants each agency of a crowded organization has.
const roles = 50

// crowd gives each agency so many grants, all of which but those required are too many.
func crowd(org *simcloud.Organization, catalogue []simcloud.Policy) {
	var more []simcloud.Grant
	for _, p := range catalogue {
		if p.Version != "5.0" && !strings.Contains(p.DisplayName, "Administrator") && len(more) < roles-4 &&
			!slices.ContainsFunc(tableOne, func(r struct{ policy, scope string }) bool { return r.policy == p.DisplayName }) {
			more = append(more, simcloud.Grant{PolicyID: p.ID, Scope: []string{"global", "all_resources"}[len(more)%2]})
		}
	}
	made := map[*simcloud.Agency][]simcloud.Agency{} // accounts of one layout share their agencies
	for i := range org.Accounts {
		acct := &org.Accounts[i]
		if made[&acct.Agencies[0]] == nil {
			agencies := slices.Clone(acct.Agencies)
			for j := range agencies {
				if agencies[j].Name == auditedAgency {
					agencies[j].Grants = append(slices.Clone(agencies[j].Grants), more...)
				}
			}
			made[&acct.Agencies[0]] = agencies
		}
		acct.Agencies = made[&acct.Agencies[0]]
	}
}

// faultsInFull is the variable that has rows played at the size that the matrix asks for.
const faultsInFull = "AGENCYAUDIT_FAULTS"

// crowded is an organization of 10,000 accounts with 50 roles each, or of 300 where time is short. The run has the ten minutes
// that it has by default; a run that takes longer leaves accounts over, which are unknown.
var crowded = trick{play: func(t *testing.T, f fault) {
	n := 300
	if os.Getenv(faultsInFull) != "" {
		n = 10_000
	}
	org := simcloud.GenerateSteady(11, n)
	plain, err := simcloud.New(simcloud.GenerateSteady(11, 1))
	if err != nil {
		t.Fatal(err)
	}
	crowd(org, plain.Catalogue())
	s := &scene{t: t, fault: f, secrets: &secrets{}, schedule: lazy, limits: patient}
	for i, acct := range org.Accounts {
		s.accounts = append(s.accounts, actor{id: acct.ID, name: acct.Name, assumed: i > 0, drifted: true})
	}
	key := org.Accounts[0].Users[0].Keys[0]
	ak, sk := keyVariables(0)
	s.env = []string{accessKeyVariable + "=" + key.Access, secretKeyVariable + "=" + key.Secret, ak + "=" + key.Access, sk + "=" + key.Secret}
	s.secrets.add(key.Access, key.Secret)
	s.replaceCloud(org)
	s.door = openDoor(t, s)
	from := time.Now()
	s.serve()
	s.wait("the first run has ended", 10*time.Minute, func() string {
		if status := s.daemon.ready(t); status != http.StatusOK {
			return fmt.Sprintf("/-/ready: status %d", status)
		}
		return ""
	})
	took := time.Since(from)
	var page string
	s.wait("all is known", patience, func() string {
		page = s.daemon.get(t, "/metrics").body
		for _, want := range []string{fmt.Sprintf("accounts{state=\"drifted\"} %d", n), "run_complete 1"} {
			if !strings.Contains(page, "\nagencyaudit_"+want+"\n") {
				_, unknown, _ := strings.Cut(page, "\nagencyaudit_account_unknown{") // the first account that is, if one is
				unknown, _, _ = strings.Cut(unknown, "\n")
				return "the metrics do not say " + want + "; " + unknown
			}
		}
		return ""
	})
	for name, want := range map[string]int{"policy_missing": 4 * n, "policy_excess": (roles - 4) * n, "account_unknown": 0} {
		if got := strings.Count(page, "\nagencyaudit_"+name+"{"); got != want {
			t.Errorf("%d series of %s, want %d", got, name, want)
		}
	}
	peak := s.peak()
	t.Attr("measured", fmt.Sprintf("%d accounts of %d roles: %.0f s until the first run was committed, %d MiB at most, /metrics of %.1f MiB",
		n, roles, took.Seconds(), peak>>20, float64(len(page))/(1<<20)))
	// When the collector comes by makes a difference of 20 MiB; to keep the text of /metrics twice would be 240 more.
	if most := int64(64<<20 + 80<<10*n); peak > most {
		t.Errorf("it took %d MiB, and 80 KiB for each account and 64 MiB are %d", peak>>20, most>>20)
	}
	s.answersSoon()
	s.end()
}}

// storm has eight slow clients hold all places for scrapes while a hundred others ask, and then the hundred alone.
var storm = trick{accounts: 40, whole: true, unaudited: true, strike: func(s *scene) {
	var slow []net.Conn
	defer func() {
		for _, c := range slow {
			_ = c.Close()
		}
	}()
	at := strings.TrimPrefix(s.daemon.url, "http://")
	within(s.t, "slow clients hold every place", func() string {
		conn, err := sluggish.DialContext(s.t.Context(), "tcp", at)
		if err != nil {
			s.t.Fatal(err)
		}
		slow = append(slow, conn)
		if _, err := conn.Write([]byte("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			s.t.Fatal(err)
		}
		if got := s.scrapes(1); got[http.StatusServiceUnavailable] == 0 {
			return fmt.Sprintf("%d slow clients, and one more is answered %v", len(slow), got)
		}
		return ""
	})
	runs := strings.Count(s.daemon.err.String(), `"msg":"run ended"`)
	if got := s.scrapes(100); got[http.StatusServiceUnavailable] != 100 {
		s.t.Errorf("no place is free, and a hundred clients are answered %v", got)
	}
	within(s.t, "runs go on", func() string {
		if n := strings.Count(s.daemon.err.String(), `"msg":"run ended"`); n < runs+2 {
			return fmt.Sprintf("%d runs, %d before", n, runs)
		}
		return ""
	})
	for _, c := range slow {
		_ = c.Close()
	}
	within(s.t, "the places are free again", func() string {
		if got := s.scrapes(1); got[http.StatusOK] == 0 {
			return fmt.Sprint(got)
		}
		return ""
	})
	if got := s.scrapes(100); got[http.StatusOK] == 0 || got[http.StatusOK]+got[http.StatusServiceUnavailable] != 100 {
		s.t.Errorf("a hundred clients are answered %v", got)
	}
}}

// scrapes has so many clients scrape at once, and counts the answers by status.
func (s *scene) scrapes(n int) map[int]int {
	var g sync.WaitGroup
	statuses := make([]int, n)
	for i := range n {
		g.Go(func() {
			if a, err := s.daemon.ask(s.t.Context(), http.MethodGet, "/metrics", nil); err == nil {
				statuses[i] = a.status
			}
		})
	}
	g.Wait()
	counted := map[int]int{}
	for _, status := range statuses {
		counted[status]++
	}
	return counted
}

// sluggish makes connections that take little at a time, so that it does not need many bytes for a server to wait.
var sluggish = net.Dialer{Timeout: patience, Control: func(_, _ string, c syscall.RawConn) error {
	var err error
	if failed := c.Control(func(fd uintptr) {
		if err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096); err == nil {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, 536)
		}
	}); failed != nil {
		return failed
	}
	return err
}}

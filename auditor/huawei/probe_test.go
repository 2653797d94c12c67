package huawei_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// readersActions are those that the project publishes.
func readersActions(t testing.TB) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/iam/v1.1/reader.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Statement[0].Action
}

// probe is probeAndRead without the latter.
func probe(t *testing.T, change func(org *simcloud.Organization, cfg *huawei.Config)) (auditor.Probe, *simcloud.Cloud) {
	t.Helper()
	p, _, cloud := probeAndRead(t, change)
	return p, cloud
}

// probeAndRead probes the first account of an organization as the change leaves it, and says whether an audit reads it.
func probeAndRead(
	t *testing.T, change func(org *simcloud.Organization, cfg *huawei.Config),
) (p auditor.Probe, read bool, cloud *simcloud.Cloud) {
	t.Helper()
	org := simcloud.GenerateSteady(3, 2)
	for i := range org.Accounts {
		org.Accounts[i].Users, org.Accounts[i].Agencies = slices.Clone(org.Accounts[i].Users), slices.Clone(org.Accounts[i].Agencies)
	}
	cfg := huawei.Config{Main: huawei.Identity{AccountID: org.Accounts[0].ID, Keys: simKeys(org.Accounts[0].Users[0])}}
	if change != nil {
		change(org, &cfg)
	}
	cloud, server := simulate(t, org, simcloud.Listen{})
	full := simConfig(cloud.Organization(), server)
	if cfg.Accounts != nil {
		full.Accounts = cfg.Accounts
	}
	full.Main = cfg.Main
	c, log := open(t, full)
	first := rules.Account{ID: org.Accounts[0].ID, Name: org.Accounts[0].Name}
	p = c.Probe(t.Context(), first, []string{coc})
	_, _, err := c.Observe(t.Context(), first, baseline(), rules.Last{})
	if n := len(cloud.Journal()); n > 0 {
		t.Errorf("%d writes", n)
	}
	if strings.Contains(log.String(), org.Accounts[0].Users[0].Keys[0].Secret) {
		t.Error("the log holds a secret")
	}
	if len(p.Tries) != 9 || p.Tries[0].What != auditor.TryEnter || p.Tries[1].What != auditor.TryWhose {
		t.Fatalf("tries %+v", p.Tries)
	}
	for _, try := range p.Tries {
		if (try.Outcome == auditor.TryFailed) != (try.Why != nil) || (try.Outcome == auditor.TryUntried) != (try.Note != "" && try.Outcome != auditor.TryAbsent) {
			t.Errorf("%+v", try)
		}
	}
	return p, err == nil, cloud
}

// outcomes are those of the tries, in order.
func outcomes(p auditor.Probe) string {
	var all []string
	for _, try := range p.Tries {
		all = append(all, string(try.Outcome))
	}
	return strings.Join(all, ",")
}

// A probe tries each action that the project publishes for the reader, and no other; with all of them it is well, and without any one
// that one fails alone, whatever else there is to ask about.
func TestProbeTriesEachPermission(t *testing.T) {
	actions := readersActions(t)
	p, cloud := probe(t, func(org *simcloud.Organization, _ *huawei.Config) {
		org.Accounts[0].Users[0].Policies, org.Accounts[0].Users[0].Actions = nil, actions
	})
	var tried []string
	for _, try := range p.Tries[2:] {
		tried = append(tried, try.Action)
		if try.Operation == "" || try.IdentityAction == "" {
			t.Errorf("%+v", try)
		}
	}
	slices.Sort(tried)
	if !slices.Equal(tried, actions) {
		t.Errorf("tried %q, published are %q", tried, actions)
	}
	if !p.Well() || p.Way != "keys" || !p.Agencies[coc] || p.Requests != 7 {
		t.Errorf("%s: %+v", outcomes(p), p)
	}
	for _, n := range cloud.Counters() {
		if len(n.Refused) > 0 {
			t.Errorf("%+v", n)
		}
	}
	for _, without := range actions {
		for _, gone := range []bool{false, true} {
			p, read, _ := probeAndRead(t, func(org *simcloud.Organization, _ *huawei.Config) {
				user := &org.Accounts[0].Users[0]
				user.Policies, user.Actions = nil, slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return a == without })
				if gone { // there is no agency at all to ask about
					org.Accounts[0].Agencies = nil
				}
			})
			for _, try := range p.Tries {
				switch {
				case try.Action != without && try.Outcome != auditor.TryOK:
					t.Errorf("without %s: %+v", without, try)
				case try.Action != without:
				case try.Outcome != auditor.TryFailed || try.Why.Reason != rules.ReasonDenied || !strings.Contains(try.Why.Remedy, without):
					t.Errorf("without %s: %+v", without, try)
				}
			}
			if has, known := p.Agencies[coc]; known != (without != "iam:agencies:listAgencies") || has == (gone || !known) {
				t.Errorf("without %s: the agency is there: %v, known: %v", without, has, known)
			}
			if p.Well() {
				t.Errorf("without %s all is said to be well", without)
			}
			// One that reads the catalogue reads it for all, and there is no other one here.
			if p.Readable() != read && !(without == "iam:roles:listRoles" && !gone) {
				t.Errorf("without %s, the agency gone: %t: said to be readable: %t, an audit reads it: %t", without, gone, p.Readable(), read)
			}
		}
	}
}

// Before the key is known to be one of the account, nothing is asked with it, and what stands in the way is said once.
func TestProbeStopsWhereItMust(t *testing.T) {
	rest := func(outcome string) string { return strings.TrimSuffix(strings.Repeat(outcome+",", 7), ",") }
	for name, c := range map[string]struct {
		change func(org *simcloud.Organization, cfg *huawei.Config)
		want   string
		reason rules.Reason
	}{
		"a key of another account": {func(org *simcloud.Organization, cfg *huawei.Config) {
			cfg.Accounts = map[string]huawei.Access{org.Accounts[0].ID: {Keys: simKeys(org.Accounts[1].Users[0])}}
		}, "ok,failed," + rest("untried"), rules.ReasonUnauthenticated},
		"no access": {func(org *simcloud.Organization, cfg *huawei.Config) {
			cfg.Main = huawei.Identity{} // which opens its own account
			cfg.Accounts = map[string]huawei.Access{org.Accounts[1].ID: {Keys: simKeys(org.Accounts[1].Users[0])}}
		}, "failed,untried," + rest("untried"), rules.ReasonDenied},
		"the audited agency as the way in": {func(org *simcloud.Organization, cfg *huawei.Config) {
			cfg.Accounts = map[string]huawei.Access{org.Accounts[0].ID: {Agency: coc}}
		}, "failed,untried," + rest("untried"), rules.ReasonDenied},
		"no such agency": {func(org *simcloud.Organization, cfg *huawei.Config) {
			cfg.Accounts = map[string]huawei.Access{org.Accounts[0].ID: {Agency: "Nowhere"}}
		}, "failed,untried," + rest("untried"), rules.ReasonDenied},
		"an account without identity policies": {func(org *simcloud.Organization, _ *huawei.Config) {
			a := &org.Accounts[0]
			a.Planes = simcloud.Planes{NoIdentity: true, NoEnterpriseProjects: true}
			a.Agencies = slices.DeleteFunc(a.Agencies, func(g simcloud.Agency) bool { return len(g.Attached) > 0 })
		}, "ok,ok,ok,ok,absent,ok,ok,ok,ok", ""},
		"a cloud that answers nonsense": {func(org *simcloud.Organization, _ *huawei.Config) {
			org.Settings.Failures = []simcloud.Failure{{Operation: "ListAgencies", Style: "html_200"}}
		}, "ok,ok,failed,ok,ok,ok,ok,ok,ok", rules.ReasonRejected},
		"a plane that the gateway has lost": {func(org *simcloud.Organization, _ *huawei.Config) {
			org.Settings.Failures = []simcloud.Failure{{Operation: "ListDomainPermissionsForAgency", Style: "status_404"}}
		}, "ok,ok,ok,ok,ok,failed,ok,ok,ok", rules.ReasonRejected},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := probe(t, c.change)
			if got := outcomes(p); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for _, try := range p.Tries {
				if try.Why != nil && try.Why.Reason != c.reason {
					t.Errorf("%+v: %+v", try, *try.Why)
				}
			}
			if p.Well() != (c.reason == "") {
				t.Errorf("well: %v", p.Well())
			}
		})
	}
}

// A doctor's requests keep to what a sweep keeps to: the clock is read from the answers, and the cloud's wish for fewer is seen.
func TestProbeSeesTheClock(t *testing.T) {
	org := simcloud.GenerateSteady(3, 1)
	org.Settings.ClockOffset = -7 * 60 * 1e9
	cloud, server := simulate(t, org, simcloud.Listen{})
	c, _ := open(t, simConfig(cloud.Organization(), server))
	if _, known := c.Clock(); known {
		t.Error("the clock is known although nobody was asked")
	}
	p := c.Probe(t.Context(), rules.Account{ID: org.Accounts[0].ID}, []string{coc})
	if ahead, known := c.Clock(); !known || ahead.Minutes() < 6.9 || ahead.Minutes() > 7.1 || !p.Well() {
		t.Errorf("%v, %v, %s", ahead, known, outcomes(p))
	}
}

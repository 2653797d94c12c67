package simcloud

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// expectation is one account of bundled/expected.yaml.
type expectation struct {
	Name          string            `yaml:"name"`
	Excluded      string            `yaml:"excluded"`
	RequireAgency bool              `yaml:"require_agency"`
	State         string            `yaml:"state"`
	Reason        string            `yaml:"reason"`
	Coverage      map[string]string `yaml:"coverage"`
	Findings      []expectedFinding `yaml:"findings"`
}

type expectedFinding struct {
	Rule     string `yaml:"rule"`
	Severity string `yaml:"severity"`
	Policy   string `yaml:"policy"`
	Scope    string `yaml:"scope"`
	Risk     string `yaml:"risk"`
	Cohort   string `yaml:"cohort"`
	// In and Places are for the auditor's tests.
	In     []string `yaml:"in"`
	Places int      `yaml:"places"`
}

func decodeFile(t *testing.T, file string, v any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := strictyaml.Decode(file, data, v); err != nil {
		t.Fatal(err)
	}
}

func expectations(t *testing.T) []expectation {
	t.Helper()
	var file struct {
		Accounts []expectation `yaml:"accounts"`
	}
	decodeFile(t, "bundled/expected.yaml", &file)
	return file.Accounts
}

func TestBundledOrganizationLoads(t *testing.T) {
	org, err := LoadOrganization("bundled/organization.yaml", BundledYAML())
	if err != nil {
		t.Fatal(err)
	}
	if len(org.Accounts) < 24 {
		t.Errorf("%d accounts, want 24 or more", len(org.Accounts))
	}
	name, id := regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`), regexp.MustCompile(`^d0{29}[0-9]{2}$`)
	for _, a := range org.Accounts {
		if !name.MatchString(a.Name) || !id.MatchString(a.ID) || a.Note == "" {
			t.Errorf("account %q, id %q: the name tells the layout in kebab case, the note explains it", a.Name, a.ID)
		}
	}
}

func TestBundledIsTheCallers(t *testing.T) {
	a, b := Bundled(), Bundled()
	if !reflect.DeepEqual(a, b) {
		t.Error("two copies differ")
	}
	a.Accounts[1].Agencies[0].Grants[0].Policy = "changed"
	BundledYAML()[0] = 'x'
	if !reflect.DeepEqual(b, Bundled()) {
		t.Error("a change of one copy shows in another")
	}
}

func TestEveryBundledAccountHasAnExpectation(t *testing.T) {
	org, expected := Bundled(), expectations(t)
	var names, expectedNames []string
	for _, a := range org.Accounts {
		names = append(names, a.Name)
	}
	for _, e := range expected {
		expectedNames = append(expectedNames, e.Name)
	}
	if !slices.Equal(names, expectedNames) {
		t.Errorf("the accounts are\n%v\nand expected are\n%v", names, expectedNames)
	}
	for _, e := range expected {
		judged := e.State == "drifted" || e.State == "compliant"
		if !judged && e.State != "unknown" && e.State != "not_enabled" && (e.State != "" || e.Excluded == "") {
			t.Errorf("%s: state %q", e.Name, e.State)
		}
		if (e.State == "unknown") != (e.Reason != "") {
			t.Errorf("%s: state %q, reason %q", e.Name, e.State, e.Reason)
		}
		absent := slices.ContainsFunc(e.Findings, func(f expectedFinding) bool { return f.Rule == "agency/absent" })
		policies := 0
		if judged && !absent || e.Reason == "incomplete" { // an agency whose trust cannot be judged has its grants judged
			policies = 4
		}
		if len(e.Coverage) != policies {
			t.Errorf("%s: coverage of %d policies, want %d", e.Name, len(e.Coverage), policies)
		}
		for policy := range e.Coverage {
			if !slices.Contains([]string{nameIAMRead, nameRMSRead, nameDCSUser, nameCOCDefault}, policy) {
				t.Errorf("%s: coverage of %q, which COC's table does not have", e.Name, policy)
			}
		}
	}
}

// The configuration that ships for the bundled organization takes its members from the organization, and names those that are
// in none, or where no agency is required.
func TestDemoConfigurationHasTheBundledAccounts(t *testing.T) {
	var demo struct {
		Baselines   []string `yaml:"baselines"`
		Credentials struct {
			Source    string `yaml:"source"`
			AccountID string `yaml:"account_id"`
		} `yaml:"credentials"`
		Cloud struct {
			Site      string             `yaml:"site"`
			Region    string             `yaml:"region"`
			Endpoints map[string]string  `yaml:"endpoints"`
			Rate      map[string]float64 `yaml:"rate"`
		} `yaml:"cloud"`
		Accounts struct {
			Organization struct {
				Enabled       bool                `yaml:"enabled"`
				RequireAgency bool                `yaml:"require_agency"`
				Labels        map[string][]string `yaml:"labels"`
				Access        map[string]string   `yaml:"access"`
			} `yaml:"organization"`
			Static []struct {
				Name          string            `yaml:"name"`
				ID            string            `yaml:"id"`
				RequireAgency bool              `yaml:"require_agency"`
				Access        map[string]string `yaml:"access"`
			} `yaml:"static"`
		} `yaml:"accounts"`
	}
	decodeFile(t, "../../cmd/agencyaudit/demo.yaml", &demo)
	org, expected := Bundled(), expectations(t)
	if demo.Cloud.Region != org.Region || demo.Credentials.AccountID != org.Accounts[0].ID {
		t.Errorf("region %q, account of the credentials %q", demo.Cloud.Region, demo.Credentials.AccountID)
	}
	all, reader := demo.Accounts.Organization, map[string]string{"via": "iam", "agency": "AgencyAuditReader"}
	if !all.Enabled || !all.RequireAgency || !reflect.DeepEqual(all.Access, reader) {
		t.Errorf("the organization is configured as %+v", all)
	}
	static := map[string]bool{}
	for _, a := range demo.Accounts.Static {
		static[a.Name] = true
		i := slices.IndexFunc(org.Accounts, func(acct Account) bool { return acct.Name == a.Name && acct.ID == a.ID })
		if i < 0 || a.RequireAgency != expected[i].RequireAgency || !reflect.DeepEqual(a.Access, reader) {
			t.Errorf("configured by itself: %+v", a)
		}
	}
	for i, a := range org.Accounts {
		member := a.Member != nil && (expected[i].RequireAgency || expected[i].Excluded != "")
		if member == static[a.Name] {
			t.Errorf("%s is named: %t", a.Name, static[a.Name])
		}
	}
}

// The bundled organization can be had under every ambiguity of the documentation.
func TestBundledUnderEverySwitch(t *testing.T) {
	for _, row := range (&Switches{}).table() {
		for _, value := range row.values {
			org := Bundled()
			for _, to := range org.Settings.Switches.table() {
				if to.key == row.key {
					*to.value = value
				}
			}
			if _, err := New(org); err != nil {
				t.Errorf("%s %s: %v", row.key, value, err)
			}
		}
	}
	org := Bundled()
	org.Settings.Switches.DuplicateDisplayName = true
	if _, err := New(org); err != nil {
		t.Errorf("duplicate_display_name: %v", err)
	}
}

func TestAnEndRelativeToNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, d := range []time.Duration{240 * time.Hour, -time.Hour} {
			org := Bundled()
			a := slices.IndexFunc(org.Accounts, func(a Account) bool { return a.Name == "agency-expiring" })
			g := slices.IndexFunc(org.Accounts[a].Agencies, func(g Agency) bool { return g.Name == cocAgency })
			org.Accounts[a].Agencies[g].ExpiresIn = d
			c, err := New(org)
			if err != nil {
				t.Fatal(err)
			}
			got := c.Organization().Accounts[a].Agencies[g]
			if want := time.Now().Add(d); !got.ExpiresAt.Equal(want) || got.ExpiresIn != 0 {
				t.Errorf("an agency that expires in %v ends at %v (and in %v), want %v", d, got.ExpiresAt, got.ExpiresIn, want)
			}
		}
	})
}

// What imitates COC's account, or writes its name in other letters, is served as it is written, again and again.
func TestTrustsAreTakenAsTheyAreWritten(t *testing.T) {
	org := Bundled()
	for range 2 {
		c, err := New(org)
		if err != nil {
			t.Fatal(err)
		}
		org = c.Organization()
		for account, want := range map[string]Trust{
			"exact-baseline":   {ID: cocAccountID, Name: "op_svc_coc"},
			"trust-upper-case": {ID: cocAccountID, Name: "op_svc_COC"},
			"trust-other-id":   {ID: "bad00000000000000000000000000002", Name: "op_svc_coc"},
			"trust-unnamed":    {ID: cocAccountID, Name: "op_svc_coc", HideName: true},
		} {
			a := slices.IndexFunc(org.Accounts, func(a Account) bool { return a.Name == account })
			g := slices.IndexFunc(org.Accounts[a].Agencies, func(g Agency) bool { return g.Name == cocAgency })
			if got := org.Accounts[a].Agencies[g].Trust; got != want {
				t.Errorf("%s trusts %+v, want %+v", account, got, want)
			}
		}
	}
}

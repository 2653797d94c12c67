package simcloud

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fleet draws a generator, a seed and a number of accounts.
func fleet(t *rapid.T) (generator func(uint64, int) *Organization, seed uint64, n int) {
	generator = Generate
	if rapid.Bool().Draw(t, "steady") {
		generator = GenerateSteady
	}
	return generator, rapid.Uint64().Draw(t, "seed"), rapid.IntRange(1, 400).Draw(t, "accounts")
}

func TestGeneratedIsAlwaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		generator, seed, n := fleet(t)
		org := generator(seed, n)
		if !reflect.DeepEqual(org, generator(seed, n)) {
			t.Fatal("two organizations of the same seed differ")
		}
		k := rapid.IntRange(1, n).Draw(t, "fewer")
		if part := generator(seed, k); !reflect.DeepEqual(part.Accounts, org.Accounts[:k]) {
			t.Fatal("a smaller organization is not the beginning of a larger one")
		}
	})
}

func TestSeedsDiffer(t *testing.T) {
	a, b := Generate(1, 400), Generate(2, 400)
	same := 0
	for i := range a.Accounts {
		if a.Accounts[i].ID == b.Accounts[i].ID {
			t.Fatalf("account %d has the id %s of both seeds", i, a.Accounts[i].ID)
		}
		if a.Accounts[i].Note == b.Accounts[i].Note {
			same++
		}
	}
	if same == len(a.Accounts) {
		t.Error("two seeds deal the same layouts")
	}
}

func TestGeneratedIsAccepted(t *testing.T) {
	for seed := range uint64(4) {
		for name, generator := range map[string]func(uint64, int) *Organization{"drifting": Generate, "steady": GenerateSteady} {
			for _, n := range []int{1, 2, 700} {
				if _, err := New(generator(seed, n)); err != nil {
					t.Errorf("%s, seed %d, %d accounts: %v", name, seed, n, err)
				}
			}
		}
	}
	if len(Generate(1, 0).Accounts) != 1 {
		t.Error("an organization without accounts is none")
	}
}

// Accounts share slices, so that whoever writes to one account would write to many.
func TestNewChangesNothingOfWhatItIsGiven(t *testing.T) {
	org := Generate(3, 1000)
	before, err := json.Marshal(org)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(org); err != nil {
		t.Fatal(err)
	}
	after, err := json.Marshal(org)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("New changed the organization")
	}
}

func TestEveryLayoutIsThere(t *testing.T) {
	for seed := range uint64(10) {
		org := Generate(seed, 1000)
		counts := map[string]int{}
		for _, a := range org.Accounts {
			counts[a.Note]++
		}
		for _, l := range layouts {
			if counts[l.name] == 0 {
				t.Errorf("seed %d: no account is %s", seed, l.name)
			}
		}
		if len(counts) != len(layouts) {
			t.Errorf("%d layouts, notes name %d", len(layouts), len(counts))
		}
		if e := counts["exact"]; e < 550 || e > 650 {
			t.Errorf("%d of 1000 accounts are exact, want about 600", e)
		}
	}
}

func TestLayoutsHaveNamesOfTheirOwn(t *testing.T) {
	names := map[string]bool{}
	for _, l := range layouts {
		if names[l.name] || l.cards < 1 || l.variants < 1 {
			t.Errorf("layout %+v", l)
		}
		names[l.name] = true
	}
}

// Whatever the readers and rules tell apart must occur, or a comparison over generated accounts proves little.
func TestGeneratedIsVaried(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Generate(5, 3000).Accounts {
		if a.Planes.NoIdentity {
			seen["no identity plane"] = true
		}
		if a.Planes.NoEnterpriseProjects {
			seen["no enterprise projects"] = true
		}
		for _, p := range a.Policies {
			if slices.Contains(tableNames[:], p.DisplayName) {
				seen["custom policy of a required name, version "+p.Version] = true
			}
		}
		for _, g := range a.Agencies {
			if g.Name != cocAgency {
				continue
			}
			seen["trust "+g.Trust.Name] = true
			if g.ExpiresIn != 0 || !g.ExpiresAt.IsZero() {
				seen["end"] = true
			}
			if len(g.Attached) > 0 {
				seen["attached"] = true
			}
			perScope := map[string]int{}
			for _, x := range g.Grants {
				perScope[x.Scope]++
				seen[fmt.Sprintf("grant at %s, custom %t", x.Scope, x.Custom)] = true
				if slices.Contains(tableNames[:], x.Policy) && !x.Custom {
					seen["required policy at "+x.Scope] = true
				}
			}
			if perScope["project"] > 100 {
				seen["three pages of project grants"] = true
			}
		}
	}
	for _, want := range []string{
		"no identity plane", "no enterprise projects", "end", "attached", "three pages of project grants",
		"custom policy of a required name, version 1.1", "custom policy of a required name, version 5.0",
		"trust op_svc_coc", "trust op_svc_COC", "trust op_svc_coc2", "trust op_svc_co",
		"trust op_svc_\u0441oc", "trust orchid-tools",
		"grant at global, custom false", "grant at all_resources, custom false", "grant at project, custom false",
		"grant at enterprise_project, custom false", "grant at global, custom true", "grant at all_resources, custom true",
		"grant at project, custom true", "grant at enterprise_project, custom true",
		"required policy at global", "required policy at all_resources", "required policy at project",
		"required policy at enterprise_project",
	} {
		if !seen[want] {
			t.Errorf("nowhere: %s", want)
		}
	}
}

// Every account can be entered in two ways, and be judged.
func TestGeneratedAccountsCanBeEntered(t *testing.T) {
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	org := Generate(7, 1000)
	management := org.Accounts[0]
	if management.Note != "exact" || !slices.Contains(management.Users[0].Policies, "Agent Operator") {
		t.Errorf("the first account is %+v", management)
	}
	ids, keys, names := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, a := range org.Accounts {
		k := a.Users[0].Keys[0]
		if !hex.MatchString(a.ID) || ids[a.ID] || keys[k.Access] || keys[k.Secret] || names[a.Name] {
			t.Fatalf("an id, a name or a key of %s is no such thing or not the only one: %+v", a.Name, k)
		}
		ids[a.ID], names[a.Name], keys[k.Access], keys[k.Secret] = true, true, true, true
		if a.Status != "" || len(a.Users) != 1 || a.Users[0].Policies[0] != "013b74e087969c005e06455bb73d5d91" {
			t.Fatalf("%s cannot be entered by its own key", a.Name)
		}
		i := slices.IndexFunc(a.Agencies, func(g Agency) bool { return g.Name == readerAgency })
		if i < 0 || a.Agencies[i].Trust.Name != management.Name ||
			!slices.Equal(a.Agencies[i].Grants, []Grant{{Policy: nameIAMRead, Scope: "global"}}) {
			t.Fatalf("%s cannot be entered from %s", a.Name, management.Name)
		}
		for _, g := range a.Agencies {
			if g.Trust.HideName {
				t.Fatalf("%s cannot be judged: a trusted account's name is hidden", a.Name)
			}
		}
	}
}

// everyVariant is an organization with one account for every different content that a seed can give.
func everyVariant(seed uint64) *Organization {
	org := Generate(seed, 1)
	g := &generator{seed: seed, layouts: layouts[:], made: map[variant]*content{}}
	g.readers(org.Accounts[0].Name)
	g.pick()
	for i, l := range layouts {
		for n := range l.variants {
			c := g.share(variant{i, n})
			org.Accounts = append(org.Accounts, Account{
				Name: fmt.Sprintf("%s-%d", l.name, n), Note: l.name, Planes: c.planes, Projects: c.projects,
				EnterpriseProjects: c.enterprise, Policies: c.policies, Agencies: c.agencies,
			})
		}
	}
	return org
}

func TestEveryVariantIsAcceptedAndWhatItsNoteSays(t *testing.T) {
	beta := time.Date(2024, 7, 1, 0, 0, 0, 0, time.UTC)
	for seed := range uint64(5) {
		org := everyVariant(seed)
		if _, err := New(org); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for _, a := range org.Accounts {
			i := slices.IndexFunc(a.Agencies, func(g Agency) bool { return g.Name == cocAgency })
			if absent := a.Note == "absent" || a.Note == "look-alikes-only"; absent != (i < 0) {
				t.Errorf("seed %d, %s: the agency is there: %t", seed, a.Name, i >= 0)
			}
			if i < 0 || a.Note == "anything" {
				continue
			}
			g := a.Agencies[i]
			if strings.HasPrefix(a.Note, "beta-") != g.CreatedAt.Before(beta) {
				t.Errorf("seed %d, %s: created at %v", seed, a.Name, g.CreatedAt)
			}
			extras := 0
			for _, x := range g.Grants {
				if !x.Custom && !slices.Contains(tableNames[:], x.Policy) {
					extras++
				}
			}
			if strings.HasPrefix(a.Note, "extra-") && extras == 0 {
				t.Errorf("seed %d, %s: nothing is extra: %v", seed, a.Name, g.Grants)
			}
		}
	}
}

func TestSteadyIsExactEverywhere(t *testing.T) {
	for _, a := range GenerateSteady(9, 500).Accounts {
		i := slices.IndexFunc(a.Agencies, func(g Agency) bool { return g.Name == cocAgency })
		if i < 0 {
			t.Fatalf("%s has no %s", a.Name, cocAgency)
		}
		g := a.Agencies[i]
		want := []Grant{
			{Policy: "IAM ReadOnlyAccess", Scope: "global"},
			{Policy: "RMS ReadOnlyAccess", Scope: "global"},
			{Policy: "DCS UserAccess", Scope: "all_resources"},
			{Policy: "COCServiceAgencyDefaultPolicy", Scope: "all_resources"},
		}
		if !slices.Equal(g.Grants, want) || g.Trust != (Trust{Name: "op_svc_coc"}) || len(g.Attached) != 0 ||
			!g.ExpiresAt.IsZero() || g.ExpiresIn != 0 || a.Planes != (Planes{}) {
			t.Fatalf("%s is not exact: %+v", a.Name, g)
		}
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, n := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Generate(1, n)
			}
		})
	}
}

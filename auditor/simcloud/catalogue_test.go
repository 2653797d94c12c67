package simcloud

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func withName(policies []Policy, name string) []Policy {
	return slices.DeleteFunc(slices.Clone(policies), func(p Policy) bool { return p.DisplayName != name })
}

func TestTheCatalogueNeedsPaging(t *testing.T) {
	policies := systemPolicies(Switches{})
	if len(policies) < 700 {
		t.Errorf("%d policies, want 700 or more", len(policies))
	}
	if !slices.IsSortedFunc(policies, func(a, b Policy) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("the policies are not ordered by id")
	}
	// Whoever reads one page only (facts 3.1: 300 rows without paging) must miss some of what COC needs, and not all.
	first := policies[:300]
	onFirst := 0
	for _, name := range []string{nameIAMRead, nameRMSRead, nameDCSUser, nameCOCDefault} {
		if len(withName(policies, name)) != 1 {
			t.Errorf("%d policies are called %q", len(withName(policies, name)), name)
		}
		onFirst += len(withName(first, name))
	}
	if onFirst == 0 || onFirst == 4 {
		t.Errorf("%d of the four required policies are on the first page", onFirst)
	}
}

func TestEveryPolicyIsWhole(t *testing.T) {
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	internal := regexp.MustCompile(`^(system_all_[1-9][0-9]*|[a-z0-9_]+)$`)
	all := systemPolicies(Switches{COCPolicyName: "both", RMSPolicyName: "both", DuplicateDisplayName: true})
	ids, names := map[string]bool{}, map[string]bool{}
	roles := 0
	for _, p := range all {
		if !hex.MatchString(p.ID) || ids[p.ID] {
			t.Errorf("%s: id %q is no id or not the only one", p.DisplayName, p.ID)
		}
		if !internal.MatchString(p.InternalName) || names[p.InternalName] {
			t.Errorf("%s: internal name %q is no name or not the only one", p.DisplayName, p.InternalName)
		}
		ids[p.ID], names[p.InternalName] = true, true
		if p.DisplayName == "" || p.Catalog == "" || p.Description == "" || len(p.Allow) == 0 {
			t.Errorf("incomplete: %+v", p)
		}
		if !slices.Contains([]string{typeGlobal, typeProject, typeBoth}, p.Type) {
			t.Errorf("%s: type %q", p.DisplayName, p.Type)
		}
		switch p.Version {
		case versionRole:
			roles++
		case versionPolicy:
			if len(p.Depends) != 0 {
				t.Errorf("%s is a policy and depends on %v", p.DisplayName, p.Depends)
			}
		default:
			t.Errorf("%s: version %q", p.DisplayName, p.Version)
		}
		for _, a := range p.Allow {
			if strings.Count(a, ":") != 2 {
				t.Errorf("%s allows %q", p.DisplayName, a)
			}
		}
		for _, d := range p.Depends {
			if len(withName(all, d)) != 1 {
				t.Errorf("%s depends on %q", p.DisplayName, d)
			}
		}
	}
	if roles < 50 || roles > len(all)/2 {
		t.Errorf("%d of %d are roles of before there were policies", roles, len(all))
	}
}

// The names that are known (facts 3.4).
func TestKnownNames(t *testing.T) {
	policies := systemPolicies(Switches{})
	for _, want := range []struct {
		display, internal, kind, catalog, version string
		depends                                   []string
		allow                                     string
	}{
		{"Tenant Administrator", "te_admin", "AA", "BASE", "1.0", nil, ""},
		{"Tenant Guest", "readonly", "AA", "BASE", "1.0", nil, ""},
		{"Security Administrator", "secu_admin", "AX", "BASE", "1.0", nil, "iam:*:*"},
		{"Agent Operator", "te_agency", "AX", "BASE", "1.0", nil, "iam:agencies:assume iam:tokens:assume"},
		{"Server Administrator", "server_adm", "XA", "BASE", "1.0", []string{"Tenant Guest"}, ""},
		{"VPC Administrator", "vpc_netadm", "XA", "VPC", "1.0", []string{"Tenant Guest"}, "vpc:*:*"},
		{"SMN Administrator", "smn_adm", "XA", "SMN", "1.0", []string{"Tenant Guest"}, "smn:*:*"},
		{"OBS Buckets Viewer", "obs_b_list", "AX", "OBS Buckets", "1.1", nil, ""},
		{"FullAccess", "system_all_1001", "AA", "BASE", "1.1", nil, "*:*:*"},
		{"ECS FullAccess", "system_all_3", "XA", "ECS", "1.1", nil, "ecs:*:*"},
		{"ELB FullAccess", "system_all_56", "XA", "ELB", "1.1", nil, "elb:*:*"},
		{"IAM ReadOnlyAccess", "", "AX", "IAM", "1.1", nil, "iam:*:get* iam:*:list* iam:*:check*"},
		{"RMS ReadOnlyAccess", "", "AX", "RMS", "1.1", nil, "rms:*:get* rms:*:list*"},
		{"DCS UserAccess", "", "XA", "DCS", "1.1", nil, ""},
		{"COCServiceAgencyDefaultPolicy", "", "XA", "COC", "1.1", nil, ""},
	} {
		got := withName(policies, want.display)
		if len(got) != 1 {
			t.Errorf("%d policies are called %q", len(got), want.display)
			continue
		}
		p := got[0]
		if want.internal == "" && !strings.HasPrefix(p.InternalName, "system_all_") ||
			want.internal != "" && p.InternalName != want.internal {
			t.Errorf("%s has the internal name %q, want %q", want.display, p.InternalName, want.internal)
		}
		if p.Type != want.kind || p.Catalog != want.catalog || p.Version != want.version ||
			!slices.Equal(p.Depends, want.depends) {
			t.Errorf("%s is %+v, want %+v", want.display, p, want)
		}
		if want.allow != "" && strings.Join(p.Allow, " ") != want.allow {
			t.Errorf("%s allows %v, want %s", want.display, p.Allow, want.allow)
		}
	}
	got := withName(policies, "OBS ReadOnlyAccess")
	if !slices.ContainsFunc(got, func(p Policy) bool { return p.InternalName == "system_all_64" }) {
		t.Errorf("none of the policies called OBS ReadOnlyAccess is system_all_64: %+v", got)
	}
}

func TestDisplayNamesAreNotUnique(t *testing.T) {
	policies := systemPolicies(Switches{})
	for name, n := range map[string]int{"OBS Administrator": 3, "OBS ReadOnlyAccess": 2, "ECS ReadOnlyAccess": 1} {
		if got := len(withName(policies, name)); got != n {
			t.Errorf("%d policies are called %q, want %d", got, name, n)
		}
	}
}

func TestTenantRolesReachAllButIdentityManagement(t *testing.T) {
	policies := systemPolicies(Switches{})
	for name, operations := range map[string][]string{nameTenantAdmin: {"*:*"}, nameTenantGuest: {"*:get*", "*:list*"}} {
		allow := withName(policies, name)[0].Allow
		for _, service := range []string{"ecs", "obs", "coc", "organizations"} {
			for _, o := range operations {
				if !slices.Contains(allow, service+":"+o) {
					t.Errorf("%s does not allow %s:%s", name, service, o)
				}
			}
		}
		for _, a := range allow {
			if strings.HasPrefix(a, "iam:") || strings.HasPrefix(a, "*") {
				t.Errorf("%s allows %s", name, a)
			}
		}
	}
}

func TestUserAccessCannotMakeOrUnmakeInstances(t *testing.T) {
	refused := []string{
		"dcs:*:*", "dcs:instance:*", "dcs:instance:create", "dcs:instance:modify", "dcs:instance:delete", "dcs:instance:scale",
	}
	for _, a := range withName(systemPolicies(Switches{}), nameDCSUser)[0].Allow {
		if slices.Contains(refused, a) {
			t.Errorf("%s allows %s", nameDCSUser, a)
		}
	}
}

func TestTheCatalogueIsAlwaysTheSame(t *testing.T) {
	if !reflect.DeepEqual(systemPolicies(Switches{}), systemPolicies(Switches{})) {
		t.Error("two catalogues of the same site differ")
	}
	if !reflect.DeepEqual(identityPolicies(), identityPolicies()) {
		t.Error("two catalogues of identity policies differ")
	}
	// Organization files name policies by their ids where a display name is not unique.
	if got, want := withName(systemPolicies(Switches{}), nameIAMRead)[0].ID, "013b74e087969c005e06455bb73d5d91"; got != want {
		t.Errorf("%s has the id %s, want %s", nameIAMRead, got, want)
	}
}

func TestTheCallerMayChangeTheCatalogue(t *testing.T) {
	for _, p := range systemPolicies(Switches{}) {
		p.Allow[0] = "changed"
	}
	for _, p := range systemPolicies(Switches{}) {
		if p.Allow[0] == "changed" {
			t.Fatalf("two catalogues share what %s allows", p.DisplayName)
		}
	}
}

func TestSwitchesDecideNamesAndNothingElse(t *testing.T) {
	plain := systemPolicies(Switches{})
	for _, c := range []struct {
		switches   Switches
		has, lacks []string
	}{
		{Switches{}, []string{nameRMSRead, nameCOCDefault}, []string{nameConfigRead, nameCOCService}},
		{
			Switches{RMSPolicyName: "rms", COCPolicyName: "default"},
			[]string{nameRMSRead, nameCOCDefault}, []string{nameConfigRead, nameCOCService},
		},
		{Switches{RMSPolicyName: "config"}, []string{nameConfigRead, nameCOCDefault}, []string{nameRMSRead, nameCOCService}},
		{Switches{RMSPolicyName: "both"}, []string{nameConfigRead, nameRMSRead}, []string{nameCOCService}},
		{Switches{COCPolicyName: "service"}, []string{nameCOCService, nameRMSRead}, []string{nameCOCDefault, nameConfigRead}},
		{Switches{COCPolicyName: "both"}, []string{nameCOCService, nameCOCDefault}, []string{nameConfigRead}},
	} {
		t.Run(fmt.Sprintf("rms %q, coc %q", c.switches.RMSPolicyName, c.switches.COCPolicyName), func(t *testing.T) {
			got := systemPolicies(c.switches)
			for _, name := range c.has {
				if len(withName(got, name)) != 1 {
					t.Errorf("%q is there %d times", name, len(withName(got, name)))
				}
			}
			for _, name := range c.lacks {
				if len(withName(got, name)) != 0 {
					t.Errorf("%q is there", name)
				}
			}
			// What the switches are not about keeps its id and everything else.
			for _, p := range plain {
				if slices.Contains(tableNames[:], p.DisplayName) {
					continue
				}
				if !slices.ContainsFunc(got, func(q Policy) bool { return reflect.DeepEqual(p, q) }) {
					t.Fatalf("%s changed or is gone", p.DisplayName)
				}
			}
		})
	}
}

func TestDuplicateDisplayName(t *testing.T) {
	plain := systemPolicies(Switches{})
	got := systemPolicies(Switches{DuplicateDisplayName: true})
	if len(got) != len(plain)+4 {
		t.Errorf("%d policies instead of %d became %d", 4, len(got)-len(plain), len(got))
	}
	for _, name := range []string{nameIAMRead, nameRMSRead, nameDCSUser, nameCOCDefault} {
		twins, first := withName(got, name), withName(plain, name)[0]
		if len(twins) != 2 || twins[0].ID == twins[1].ID || twins[0].InternalName == twins[1].InternalName {
			t.Errorf("%s: %+v", name, twins)
			continue
		}
		if !slices.ContainsFunc(twins, func(p Policy) bool { return reflect.DeepEqual(p, first) }) {
			t.Errorf("%s lost its own id %s", name, first.ID)
		}
	}
}

func TestIdentityPolicies(t *testing.T) {
	policies := identityPolicies()
	hex := regexp.MustCompile(`^[0-9a-f]{32}$`)
	ids, names := map[string]bool{}, map[string]bool{}
	for _, p := range systemPolicies(Switches{DuplicateDisplayName: true, COCPolicyName: "both", RMSPolicyName: "both"}) {
		ids[p.ID] = true
	}
	for _, p := range policies {
		if !hex.MatchString(p.ID) || ids[p.ID] || names[p.DisplayName] {
			t.Errorf("%s: id or name is not the only one", p.DisplayName)
		}
		ids[p.ID], names[p.DisplayName] = true, true
		if p.Version != versionIdentity || len(p.Allow) == 0 || p.Catalog == "" {
			t.Errorf("incomplete: %+v", p)
		}
		if slices.Contains(tableNames[:], p.DisplayName) {
			t.Errorf("%s bears the name of a policy that COC needs", p.DisplayName)
		}
	}
	for _, name := range []string{
		"OBSReadOnlyPolicy", "ECSFullAccessPolicy", "OrganizationsServiceLinkedAgencyPolicy", "RGCServiceAgencyPolicy",
	} {
		if !names[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

func TestIdentityURN(t *testing.T) {
	if got, want := identityURN("", "OBSReadOnlyPolicy"), "iam::system:policy:OBSReadOnlyPolicy"; got != want {
		t.Errorf("urn %q, want %q", got, want)
	}
	if got, want := identityURN("d1", "mine"), "iam::d1:policy:mine"; got != want {
		t.Errorf("urn %q, want %q", got, want)
	}
}

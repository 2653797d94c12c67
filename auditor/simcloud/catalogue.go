package simcloud

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// The display names of the policies that the switches about names are about, and of a few others that everybody knows.
const (
	nameIAMRead     = "IAM ReadOnlyAccess"
	nameRMSRead     = "RMS ReadOnlyAccess"
	nameConfigRead  = "Config ReadOnlyAccess"
	nameDCSUser     = "DCS UserAccess"
	nameCOCDefault  = "COCServiceAgencyDefaultPolicy"
	nameCOCService  = "COCServiceAgencyPolicy"
	nameTenantAdmin = "Tenant Administrator"
	nameTenantGuest = "Tenant Guest"
)

// The letters of a policy's type: where the console shows it (facts 3.3).
const (
	typeGlobal  = "AX"
	typeProject = "XA"
	typeBoth    = "AA"
)

// The versions of a policy's document (facts 3.3).
const (
	versionRole     = "1.0"
	versionPolicy   = "1.1"
	versionIdentity = "5.0"
)

const catalogBase = "BASE"

// fixedNumbers are the NN of system_all_NN that are known of Huawei Cloud's own sites (facts 3.4). All other numbers
// here are made up, as they differ from site to site: nobody may depend on them.
var fixedNumbers = [...]struct {
	name   string
	number int
}{
	{"ECS FullAccess", 3},
	{"ELB FullAccess", 56},
	{"OBS ReadOnlyAccess", 64},
	{"FullAccess", 1001},
}

// systemPolicies returns the site's catalogue of system-defined roles and policies: more than 700, which is more than
// two full pages of the API. Three of the switches decide by which names and under how many ids it has the policies
// that a service agency for COC needs. They are ordered by id, and every id is always the same. The caller may change the
// result.
func systemPolicies(s Switches) []Policy {
	var out []Policy
	add := func(p Policy) { out = append(out, p) }
	for _, r := range baseRoles {
		add(r.policy())
	}
	for _, v := range vendorServices {
		for k := range strings.FieldsSeq(v.kinds) {
			add(v.policy(kindWord(k)))
		}
	}
	for _, p := range agencyPolicies() {
		add(p)
	}
	for _, p := range sharedNames() {
		add(p)
	}
	numberPolicies(out)
	seen := map[string]int{}
	for i := range out {
		out[i].ID = catalogueID("policy", out[i].DisplayName, seen[out[i].DisplayName])
		seen[out[i].DisplayName]++
	}
	out = slices.DeleteFunc(out, func(p Policy) bool { return !s.shows(p.DisplayName) })
	if s.DuplicateDisplayName {
		for _, p := range slices.Clone(out) {
			if slices.Contains(tableNames[:], p.DisplayName) {
				out = append(out, p.twin())
			}
		}
	}
	// Sorted by id, the policies of one service lie far apart: whoever reads one page only misses some of everything.
	slices.SortFunc(out, func(a, b Policy) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// shows says whether the switches let the catalogue have a policy of that name.
func (s Switches) shows(name string) bool {
	switch name {
	case nameRMSRead:
		return s.RMSPolicyName != "config"
	case nameConfigRead:
		return s.RMSPolicyName == "config" || s.RMSPolicyName == "both"
	case nameCOCDefault:
		return s.COCPolicyName != "service"
	case nameCOCService:
		return s.COCPolicyName == "service" || s.COCPolicyName == "both"
	}
	return true
}

// tableNames are the display names that a policy of COC's table bears on one site or another (facts 3.4).
var tableNames = [...]string{nameIAMRead, nameRMSRead, nameConfigRead, nameDCSUser, nameCOCDefault, nameCOCService}

// twin returns a second policy with the same display name, another id and another internal name.
func (p Policy) twin() Policy {
	p.ID = catalogueID("policy", p.DisplayName, 1)
	p.InternalName = fmt.Sprintf("system_all_%d", 2001+slices.Index(tableNames[:], p.DisplayName))
	return p
}

// numberPolicies gives every policy without an internal name the next free system_all_NN.
func numberPolicies(policies []Policy) {
	taken := map[int]bool{}
	for _, f := range fixedNumbers {
		taken[f.number] = true
		i := slices.IndexFunc(policies, func(p Policy) bool { return p.DisplayName == f.name })
		policies[i].InternalName = fmt.Sprintf("system_all_%d", f.number)
	}
	n := 0
	for i := range policies {
		if policies[i].InternalName != "" {
			continue
		}
		for n++; taken[n]; n++ {
		}
		policies[i].InternalName = fmt.Sprintf("system_all_%d", n)
	}
}

// catalogueID is the id of the nth thing of its kind that bears the name: 32 lower-case hexadecimal digits.
func catalogueID(kind, name string, nth int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", kind, name, nth))
	return hex.EncodeToString(sum[:16])
}

// policy returns the service's policy or role with the display name "SERVICE kind".
func (v vendorService) policy(kind string) Policy {
	p := Policy{
		DisplayName: v.name + " " + kind, Catalog: v.name, Type: v.scope, Version: versionPolicy,
		Allow: v.actions(kind), Description: v.name + ": " + describeKind(kind) + ".",
	}
	if kind == "Administrator" {
		// Administrators are the roles of before there were policies. Facts 3.4 give a few of their internal names, this
		// pattern among them.
		p.Version, p.InternalName = versionRole, strings.ReplaceAll(v.prefix, "-", "_")+"_adm"
		if v.scope == typeProject {
			p.Depends = []string{nameTenantGuest}
		}
	}
	for _, x := range knownPolicies {
		if x.name == p.DisplayName {
			p.InternalName = cmp.Or(x.internal, p.InternalName)
			if x.allow != "" {
				p.Allow = strings.Fields(x.allow)
			}
		}
	}
	return p
}

// actions guesses from the kind what a policy of the service allows: the real documents are not public as a whole, and
// only their breadth matters here.
func (v vendorService) actions(kind string) []string {
	of := func(operations ...string) []string {
		for i := range operations {
			operations[i] = v.prefix + ":" + operations[i]
		}
		return operations
	}
	switch {
	case strings.HasSuffix(kind, "Administrator"), kind == "FullAccess", kind == "Admin":
		return of("*:*")
	case strings.HasSuffix(kind, "FullAccess"):
		return of(strings.ToLower(strings.TrimSuffix(kind, "FullAccess"))+"*:*", "*:get*", "*:list*")
	case readsOnly(kind):
		return of("*:get*", "*:list*")
	case kind == "DeveloperAccess", kind == "ManageAccess":
		return of("*:get*", "*:list*", "*:create*", "*:update*", "*:delete*")
	}
	return of("*:get*", "*:list*", "*:update*", "*:start*", "*:stop*", "*:restart*")
}

func readsOnly(kind string) bool {
	return slices.ContainsFunc([]string{"ReadOnlyAccess", "Viewer", "QueryAccess"}, func(end string) bool {
		return strings.HasSuffix(kind, end)
	})
}

// describeKind puts the kind of a policy into words.
func describeKind(kind string) string {
	switch {
	case strings.HasSuffix(kind, "Administrator"), strings.HasSuffix(kind, "FullAccess"), kind == "Admin":
		return "all permissions"
	case readsOnly(kind):
		return "permissions to look at resources"
	}
	return "permissions to use resources"
}

// policy returns the role of before there were policies.
func (r baseRole) policy() Policy {
	p := Policy{
		DisplayName: r.name, InternalName: r.internal, Catalog: catalogBase, Type: r.scope, Version: versionRole,
		Allow: strings.Fields(r.allow), Description: r.description,
	}
	if r.depends != "" {
		p.Depends = strings.Split(r.depends, ", ")
	}
	if r.every != "" {
		for _, prefix := range actionPrefixes() {
			if prefix == "iam" {
				continue // these two roles reach every service but identity management (facts 3.4)
			}
			for operation := range strings.FieldsSeq(r.every) {
				p.Allow = append(p.Allow, prefix+":"+operation)
			}
		}
	}
	return p
}

// actionPrefixes are the first parts of all services' actions, sorted, each once.
func actionPrefixes() []string {
	var out []string
	for _, v := range vendorServices {
		out = append(out, v.prefix)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// agencyPolicies are FullAccess and the policies that are made for the agencies of one service rather than for people.
func agencyPolicies() []Policy {
	out := []Policy{{
		DisplayName: "FullAccess", Catalog: catalogBase, Type: typeBoth, Version: versionPolicy,
		Allow: []string{"*:*:*"}, Description: "All permissions for all services.",
	}}
	for _, a := range serviceAgencyPolicies {
		out = append(out, Policy{
			DisplayName: a.name, Catalog: a.catalog, Type: a.scope, Version: versionPolicy, Allow: strings.Fields(a.allow),
			Description: "For the agencies of " + a.catalog + " only.",
		})
	}
	return out
}

// sharedNames are further policies under display names that the catalogue has already: display names are not unique
// (facts 3.4). They must come after the first ones.
func sharedNames() []Policy {
	obs := vendorService{"OBS", "obs", typeGlobal, ""}
	return []Policy{
		obs.duplicate("Administrator", "obs:bucket:*", "obs:object:*"),
		obs.duplicate("Administrator", "obs:*:*", "smn:*:list*"),
		obs.duplicate("ReadOnlyAccess", "obs:bucket:Get*", "obs:bucket:List*", "obs:object:Get*"),
	}
}

func (v vendorService) duplicate(kind string, allow ...string) Policy {
	p := v.policy(kind)
	p.InternalName, p.Version, p.Depends, p.Allow = "", versionPolicy, nil, allow
	return p
}

// identityPolicies returns the site's system-defined identity policies (IAM v5), always in the same order with the same
// ids. The caller may change the result.
func identityPolicies() []Policy {
	var out []Policy
	add := func(name, catalog, allow string) {
		out = append(out, Policy{
			ID: catalogueID("identity", name, 0), DisplayName: name, Catalog: catalog, Version: versionIdentity,
			Allow: strings.Fields(allow), Description: "An identity policy of " + catalog + ".",
		})
	}
	for _, v := range vendorServices {
		if !slices.Contains(strings.Fields(identityServices), v.name) {
			continue
		}
		add(v.name+"FullAccessPolicy", v.name, v.prefix+":*:*")
		add(v.name+"ReadOnlyPolicy", v.name, v.prefix+":*:get* "+v.prefix+":*:list*")
	}
	add("OrganizationsServiceLinkedAgencyPolicy", "Organizations",
		"iam:agencies:*V5 organizations:*:get* organizations:*:list*")
	add("RGCServiceAgencyPolicy", "RGC", "organizations:*:* identitycenter:*:* rf:stack:*")
	slices.SortFunc(out, func(a, b Policy) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// identityURN is the urn of an identity policy. The form for custom ones is known; the form for system-defined ones is
// our inference (facts 8). accountID is empty for a system-defined policy.
func identityURN(accountID, name string) string {
	if accountID == "" {
		return "iam::system:policy:" + name
	}
	return "iam::" + accountID + ":policy:" + name
}

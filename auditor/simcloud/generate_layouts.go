package simcloud

import (
	"slices"
	"strings"
	"time"
)

// layout is one way in which a generated account can look.
type layout struct {
	name string
	// cards say how often the layout is dealt, in proportion to the others.
	cards int
	// variants bound how many different contents there are of it.
	variants int
	fill     func(d *draft)
}

// layouts are all layouts. The first is exact; nothing else is known of the others' order.
var layouts = [...]layout{
	{"exact", 186, 16, func(d *draft) { d.exact() }},

	{"all-four-at-all-resources", 10, 4, func(d *draft) {
		for _, p := range required {
			d.grant(p.name, allResources, "")
		}
	}},
	{"exact-and-wider", 2, 4, func(d *draft) {
		d.exact()
		d.grant(one(d, required[:2]).name, allResources, "")
	}},
	{"redundant-part", 3, 8, func(d *draft) {
		d.exact()
		p, s := one(d, required[2:]).name, d.anyPart()
		d.grant(p, s, d.place(s))
	}},
	{"wider-and-redundant", 1, 4, func(d *draft) {
		for _, p := range required {
			d.grant(p.name, allResources, "")
		}
		d.grant(one(d, required[2:]).name, project, generatedRegion)
	}},

	{"beta-without-fourth", 12, 8, func(d *draft) {
		d.coc.CreatedAt = d.between(2024, 1, 2024, 7)
		d.exact(nameCOCDefault)
	}},
	{"beta-without-two", 2, 4, func(d *draft) {
		d.coc.CreatedAt = d.between(2024, 1, 2024, 7)
		d.exact(nameCOCDefault, one(d, required[:3]).name)
	}},
	{"missing-one", 6, 8, func(d *draft) { d.exact(one(d, required[:]).name) }},
	{"missing-two", 2, 8, func(d *draft) { d.exact(one(d, required[:2]).name, one(d, required[2:]).name) }},
	{"everything-missing", 1, 2, func(*draft) {}},
	{"other-policy-of-coc", 1, 1, func(d *draft) {
		d.exact()
		d.grant("COC ReadOnlyAccess", allResources, "")
	}},

	{"narrower-in-projects", 3, 8, func(d *draft) {
		d.withProjects(d.IntN(4))
		p := one(d, required[2:]).name
		d.exact(p)
		for range 1 + d.IntN(3) {
			d.grant(p, project, d.place(project))
		}
	}},
	{"narrower-at-global", 2, 4, func(d *draft) {
		p := one(d, required[2:]).name
		d.exact(p)
		d.grant(p, global, "")
	}},
	{"narrower-in-enterprise-project", 1, 4, func(d *draft) {
		p := one(d, required[2:]).name
		d.exact(p)
		d.grant(p, enterpriseProject, d.place(enterpriseProject))
	}},
	{"required-where-it-is-no-use", 2, 4, func(d *draft) {
		p := one(d, required[:2]).name
		s := one(d, []scope{project, enterpriseProject})
		d.exact(p)
		d.grant(p, s, d.place(s))
	}},

	{"extra-at-global", 6, 64, func(d *draft) {
		d.exact()
		d.grant(d.extra(), global, "")
	}},
	{"extra-at-all-resources", 4, 64, func(d *draft) {
		d.exact()
		d.grant(d.extra(), allResources, "")
	}},
	{"extra-in-project", 5, 64, func(d *draft) {
		d.withProjects(d.IntN(3))
		d.exact()
		d.grant(d.extra(), project, d.place(project))
	}},
	{"extra-in-several-projects", 3, 16, func(d *draft) {
		d.withProjects(2 + d.IntN(9))
		d.exact()
		p := d.extra()
		for _, in := range d.projects {
			d.grant(p, project, in.Name)
		}
	}},
	{"extra-in-many-projects", 2, 4, func(d *draft) {
		d.withProjects(51 + d.IntN(100))
		d.exact()
		p := d.extra()
		for _, in := range d.projects {
			d.grant(p, project, in.Name)
		}
		d.grant(d.extra(), project, d.projects[len(d.projects)-1].Name)
	}},
	{"extra-in-enterprise-project", 3, 32, func(d *draft) {
		d.withEnterpriseProjects(d.IntN(4))
		d.exact()
		d.grant(d.extra(), enterpriseProject, d.place(enterpriseProject))
	}},
	{"one-extra-at-every-scope", 1, 8, func(d *draft) {
		d.exact()
		p := d.extra()
		for s := global; s <= enterpriseProject; s++ {
			d.grant(p, s, d.place(s))
		}
	}},
	{"role-of-old", 3, 8, func(d *draft) {
		d.exact()
		s := d.anyScope()
		p := one(d, []string{nameTenantAdmin, nameTenantGuest, "Security Administrator", "Agent Operator", "FullAccess"})
		d.grant(p, s, d.place(s))
	}},
	{"one-name-two-policies", 1, 1, func(d *draft) {
		d.exact()
		d.add(Grant{PolicyID: catalogueID("policy", "OBS Administrator", 0), Scope: global.String()})
		d.add(Grant{PolicyID: catalogueID("policy", "OBS Administrator", 2), Scope: global.String()})
	}},

	{"identity-policy", 3, 32, func(d *draft) {
		d.exact()
		for range 1 + d.IntN(3) {
			d.attach(one(d, d.attachable))
		}
	}},
	{"identity-policy-of-the-account", 1, 2, func(d *draft) {
		d.exact()
		d.attachCustom("BucketsOfTheAccount")
	}},
	{"identity-impostor", 1, 4, func(d *draft) {
		d.exact()
		d.attachCustom(one(d, required[:]).name)
	}},

	{"custom", 3, 16, func(d *draft) {
		d.exact()
		s := d.anyScope()
		d.custom(one(d, customNames[:]), "ecs:*:get*", s, d.place(s))
	}},
	{"custom-with-an-odd-name", 2, 32, func(d *draft) {
		d.exact()
		s := d.anyScope()
		d.custom(one(d, oddNames()), "ecs:*:get*", s, d.place(s))
	}},
	{"custom-allows-everything", 2, 4, func(d *draft) {
		d.exact()
		s := d.anyScope()
		d.custom("helper", one(d, []string{"*:*:*", "*"}), s, d.place(s))
	}},
	{"impostor-instead", 2, 8, func(d *draft) {
		p := one(d, required[:])
		d.exact(p.name)
		d.custom(p.name, "iam:*:*", p.scope, "")
	}},
	{"impostor-beside", 1, 8, func(d *draft) {
		d.exact()
		s := d.anyScope()
		d.custom(one(d, required[:]).name, "iam:*:*", s, d.place(s))
	}},

	{"no-identity-plane", 2, 2, func(d *draft) {
		d.planes.NoIdentity = true
		d.exact()
	}},
	{"no-enterprise-projects", 2, 2, func(d *draft) {
		d.planes.NoEnterpriseProjects = true
		d.exact()
	}},

	{"absent", 6, 1, func(d *draft) { d.absent = true }},
	{"look-alikes-only", 1, 4, func(d *draft) {
		d.absent = true
		d.lookAlikes()
	}},
	{"look-alikes-beside", 2, 4, func(d *draft) {
		d.exact()
		d.lookAlikes()
	}},

	{"expired", 2, 4, func(d *draft) {
		d.exact()
		d.coc.CreatedAt = d.between(2024, 7, 2024, 12)
		d.coc.ExpiresAt = d.between(2025, 1, 2025, 6)
	}},
	{"expiring", 2, 4, func(d *draft) {
		d.exact()
		d.coc.ExpiresIn = time.Duration(2+d.IntN(20)) * 24 * time.Hour
	}},
	{"valid-for-years", 1, 2, func(d *draft) {
		d.exact()
		d.coc.ExpiresIn = time.Duration(2+d.IntN(3)) * 365 * 24 * time.Hour
	}},
	{"trust-foreign", 1, 4, func(d *draft) {
		d.exact()
		d.coc.Trust = one(d, strangers[:])
	}},
	{"trust-other-id", 1, 1, func(d *draft) {
		d.exact()
		d.coc.Trust = Trust{ID: "bad00000000000000000000000000002", Name: cocAccount}
	}},
	{"trust-upper-case", 3, 1, func(d *draft) {
		d.exact()
		d.coc.Trust = Trust{ID: cocAccountID, Name: "op_svc_COC"}
	}},

	{"anything", 10, 1000, (*draft).anything},
}

// required is COC's table.
var required = [...]struct {
	name  string
	scope scope
}{
	{nameIAMRead, global},
	{nameRMSRead, global},
	{nameDCSUser, allResources},
	{nameCOCDefault, allResources},
}

// strangers are accounts that no agency for COC should trust, some of them confusable with COC's.
var strangers = [...]Trust{
	{ID: "bad00000000000000000000000000001", Name: "orchid-tools"},
	{ID: "bad00000000000000000000000000003", Name: "op_svc_coc2"},
	{ID: "bad00000000000000000000000000004", Name: "op_svc_co"},
	{ID: "bad00000000000000000000000000005", Name: "op_svc_\u0441oc"}, // a Cyrillic letter
}

// customNames are plausible names that accounts give their policies, names of the vendor's kind among them.
var customNames = [...]string{
	"ops-readonly", "Backup operator", "DCS UserAccess (copy)", "Network Administrator", "Billing ReadOnlyAccess",
	"Team FullAccess", nameTenantAdmin, "custom_policy_1",
}

// oddNames are names that break what does not expect them: look-alikes of required policies, markup, separators, text
// that runs from right to left, and a very long one.
func oddNames() []string {
	return []string{
		nameIAMRead + " ", " " + nameIAMRead, "IAM\u00a0ReadOnlyAccess", "iam readonlyaccess", "I\u0410M ReadOnlyAccess",
		nameCOCDefault + "\u200b", "COCServiceAgencyDefaultpolicy", "DCS\tUserAccess", "line\nbreak",
		`quote"brace}comma,backslash\`, "<script>alert(1)</script>", "=HYPERLINK(\"x\")", "../../secret", "{{.Name}}",
		"\u202eevitcA", "\U0001f600", "%s%d%n", "'; --", "$(id)", "\x1b[31mred", strings.Repeat("x", 128),
	}
}

// exact grants COC's table, but for the policies named.
func (d *draft) exact(without ...string) {
	for _, p := range required {
		if !slices.Contains(without, p.name) {
			d.grant(p.name, p.scope, "")
		}
	}
}

// anyPart is a scope that all resources contain.
func (d *draft) anyPart() scope { return one(d, []scope{global, project, enterpriseProject}) }

// lookAlikes adds agencies whose names can be taken for the audited one's.
func (d *draft) lookAlikes() {
	names := [...]string{
		"ServiceAgencyForC0C", "serviceagencyforcoc", cocAgency + "-old", cocAgency + " ", "ServiceAgencyFor\u0421OC",
	}
	for i, at := range d.Perm(len(names))[:1+d.IntN(3)] {
		g := Agency{Name: names[at], Trust: Trust{Name: cocAccount}}
		if i == 0 {
			g.Trust = strangers[0]
		}
		g.Grants = []Grant{{Policy: one(d, []string{"FullAccess", nameIAMRead}), Scope: allResources.String()}}
		d.others = append(d.others, g)
	}
}

// anything puts things together that nobody planned.
func (d *draft) anything() {
	d.planes = Planes{NoEnterpriseProjects: d.IntN(8) == 0, NoIdentity: d.IntN(8) == 0}
	d.withProjects(d.IntN(6))
	if !d.planes.NoEnterpriseProjects {
		d.withEnterpriseProjects(d.IntN(4))
	}
	d.coc.CreatedAt = d.between(2023, 6, 2026, 6)
	for _, p := range required {
		if d.IntN(3) > 0 {
			d.grant(p.name, p.scope, "")
		}
		for range d.IntN(3) {
			s := d.anyScope()
			d.grant(p.name, s, d.place(s))
		}
	}
	for range d.IntN(5) {
		s := d.anyScope()
		d.grant(d.extra(), s, d.place(s))
	}
	for range d.IntN(3) {
		s := d.anyScope()
		names := one(d, [][]string{customNames[:], oddNames(), {nameIAMRead, nameRMSRead, nameDCSUser, nameCOCDefault}})
		d.custom(one(d, names), one(d, []string{"ecs:*:get*", "iam:*:*", "*:*:*", "*"}), s, d.place(s))
	}
	if !d.planes.NoIdentity {
		for range d.IntN(3) {
			d.attach(one(d, d.attachable))
		}
		if d.IntN(4) == 0 {
			d.attachCustom(one(d, []string{"BucketsOfTheAccount", nameDCSUser, nameCOCDefault}))
		}
	}
	switch d.IntN(10) {
	case 0:
		d.coc.ExpiresIn = 12 * 24 * time.Hour
	case 1:
		d.coc.ExpiresIn = 400 * 24 * time.Hour
	case 2:
		d.coc.ExpiresAt = d.coc.CreatedAt.Add(30 * 24 * time.Hour)
	}
	if d.IntN(8) == 0 {
		d.coc.Trust = one(d, strangers[:])
	}
	if d.IntN(8) == 0 {
		d.lookAlikes()
	}
}

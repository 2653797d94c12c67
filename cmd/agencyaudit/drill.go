package main

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// drill lets things happen in a simulated organization: drift, and its repair. The same seed lets the same happen.
type drill struct {
	cloud *simcloud.Cloud
	rand  *rand.Rand
	// targets are the accounts that have the audited agency and were as they should be when the drill began.
	targets []simcloud.Account
	open    []mishap
}

// mishap is one drift that is still there, by the account's place among the targets, and what undoes it.
type mishap struct {
	target int
	undo   simcloud.Drift
	says   string
}

// mostOpen is how much drift there is at once before some of it is repaired first.
const mostOpen = 4

const drilledAgency = "ServiceAgencyForCOC"

// newDrill makes a drill in the accounts that the run found compliant: those that tell a story of their own are left alone.
func newDrill(cloud *simcloud.Cloud, run *auditor.Run, seed uint64) *drill {
	d := &drill{cloud: cloud, rand: rand.New(rand.NewPCG(seed, 0))}
	compliant := map[string]bool{}
	for i := range run.Sweeps {
		if r := &run.Sweeps[i].Report; r.State == rules.StateCompliant {
			compliant[r.Account.ID] = true
		}
	}
	for _, a := range cloud.Organization().Accounts {
		if _, has := drilled(a); has && compliant[a.ID] {
			d.targets = append(d.targets, a)
		}
	}
	return d
}

// drilled is the audited agency of an account, if it has one that holds anything.
func drilled(a simcloud.Account) (simcloud.Agency, bool) { return holding(a, drilledAgency) }

// holding is the agency of that name, if the account has one that holds anything.
func holding(a simcloud.Account, name string) (simcloud.Agency, bool) {
	i := slices.IndexFunc(a.Agencies, func(g simcloud.Agency) bool { return g.Name == name })
	if i < 0 || len(a.Agencies[i].Grants) == 0 {
		return simcloud.Agency{}, false
	}
	return a.Agencies[i], true
}

// isTarget says whether things happen in an account.
func (d *drill) isTarget(a rules.Account) bool {
	return slices.ContainsFunc(d.targets, func(t simcloud.Account) bool { return t.ID == a.ID })
}

// next lets one thing happen and says what, in words.
func (d *drill) next() (string, error) {
	free := d.free()
	if len(free) == 0 || len(d.open) >= mostOpen || len(d.open) > 0 && d.rand.IntN(3) == 0 {
		m := d.open[0]
		if err := d.cloud.Drift(m.undo); err != nil {
			return "", err
		}
		d.open = d.open[1:]
		return m.says, nil
	}
	t := free[d.rand.IntN(len(free))]
	do, m := d.mishap(d.targets[t])
	if err := d.cloud.Drift(do.change); err != nil {
		return "", err
	}
	m.target = t
	d.open = append(d.open, m)
	return do.says, nil
}

// free are the targets in which nothing is open.
func (d *drill) free() []int {
	var free []int
	for i := range d.targets {
		if !slices.ContainsFunc(d.open, func(m mishap) bool { return m.target == i }) {
			free = append(free, i)
		}
	}
	return free
}

// deed is one change, and what a person would say of it.
type deed struct {
	change simcloud.Drift
	says   string
}

// mishap makes up one drift in an account, and its repair.
func (d *drill) mishap(a simcloud.Account) (deed, mishap) {
	agency, _ := drilled(a)
	pair := func(do, undo simcloud.Drift, done, undone string) (deed, mishap) {
		do.Account, undo.Account = a.ID, a.ID
		return deed{do, a.Name + ": " + done}, mishap{undo: undo, says: a.Name + ": " + undone}
	}
	switch d.rand.IntN(6) {
	case 0:
		granted := []simcloud.Grant{
			{Policy: "Tenant Administrator", Scope: "global"}, {Policy: "VPC Administrator", Scope: "all_resources"},
			{Policy: "ECS FullAccess", Scope: "all_resources"}, {Policy: "CES ReadOnlyAccess", Scope: "global"},
		}
		g := granted[d.rand.IntN(len(granted))]
		return pair(
			simcloud.Drift{Kind: simcloud.DriftGrant, Agency: agency.ID, Grant: &g},
			simcloud.Drift{Kind: simcloud.DriftRevoke, Agency: agency.ID, Grant: &g},
			"somebody granted "+g.Policy, g.Policy+" was taken away again")
	case 1:
		soon := time.Now().Add(48 * time.Hour)
		return pair(
			simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Agency: agency.ID, ExpiresAt: &soon},
			simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Agency: agency.ID, ExpiresAt: &agency.ExpiresAt},
			"somebody let the agency end in two days", "the agency's validity is as it was again")
	case 2:
		foreign := simcloud.Trust{ID: "f00d0000000000000000000000000bad", Name: "somebody-else"}
		return pair(
			simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Agency: agency.ID, Trust: &foreign},
			simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Agency: agency.ID, Trust: &agency.Trust},
			"somebody pointed the agency's trust at another account", "the agency trusts COC again")
	case 3:
		// The auditor's own key is of the management account: were that suspended, nothing would be read for ten minutes and more.
		if s := d.cloud.Organization().Structure; s == nil || s.Management != a.ID && s.Management != a.Name {
			return pair(simcloud.Drift{Kind: simcloud.DriftSuspend}, simcloud.Drift{Kind: simcloud.DriftResume},
				"the account was suspended", "the account was resumed")
		}
	case 4:
		if reader, ok := holding(a, "AgencyAuditReader"); ok {
			g := reader.Grants[0]
			return pair(
				simcloud.Drift{Kind: simcloud.DriftRevoke, Agency: reader.ID, Grant: &g},
				simcloud.Drift{Kind: simcloud.DriftGrant, Agency: reader.ID, Grant: &g},
				"somebody took the reader's rights away", "the reader has its rights again")
		}
	}
	g := agency.Grants[d.rand.IntN(len(agency.Grants))]
	lost := simcloud.Grant{PolicyID: g.PolicyID, Scope: g.Scope, In: g.In}
	return pair(
		simcloud.Drift{Kind: simcloud.DriftRevoke, Agency: agency.ID, Grant: &lost},
		simcloud.Drift{Kind: simcloud.DriftGrant, Agency: agency.ID, Grant: &lost},
		"somebody revoked "+g.Policy, g.Policy+" was authorized again")
}

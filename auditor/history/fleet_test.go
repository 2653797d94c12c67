package history_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

const maxAge = time.Hour

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fleet is an organization in which things happen: what runs over it see, in the shape and about the size of the real thing. All
// of it follows from a seed.
type fleet struct {
	r         *rand.Rand
	policies  []rules.Policy
	trusted   rules.Trust
	members   []member
	baselines []rules.Baseline
	now       *auditor.Snapshot
	n         int
	at        time.Time
}

type member struct {
	account rules.Account
	agency  string
	created time.Time
	// lacks says which required grants are not held, more which are held beyond them.
	lacks [4]bool
	more  []int
	// dark is why it cannot be read; empty while it can.
	dark rules.Reason
}

// chances are how likely it is for a member, from one run to the next, that something changes.
type chances struct{ drift, repair, dark, light, moved float64 }

func newFleet(seed uint64, n int) *fleet {
	f := &fleet{r: rand.New(rand.NewPCG(seed, 0)), at: noon}
	for i, name := range []string{
		"IAM ReadOnlyAccess", "RMS ReadOnlyAccess", "DCS UserAccess", "COCServiceAgencyDefaultPolicy", "Tenant Administrator",
		"Security Administrator", "OBS OperateAccess", "ECS FullAccess", "VPC ReadOnlyAccess", "CES ReadOnlyAccess", "team-deployment", "legacy",
	} {
		p := rules.Policy{ID: f.id(), Name: name, Origin: rules.System}
		if i > 9 {
			p.Origin = rules.Custom
		}
		f.policies = append(f.policies, p)
	}
	f.trusted = rules.Trust{ID: f.id(), Name: "op_svc_coc"}
	b := rules.Baseline{Name: "coc", Agency: "ServiceAgencyForCOC", Digest: "d1", Service: "COC"}
	for i, p := range f.policies[:4] {
		b.Required = append(b.Required, rules.Requirement{Policy: p.Name, Scope: scopeOf(i)})
	}
	f.baselines = []rules.Baseline{b}
	for i := range n {
		f.members = append(f.members, member{
			account: rules.Account{
				ID: f.id(), Name: fmt.Sprintf("team-%03d-production-%05d", i%300, i), OU: fmt.Sprintf("Workloads/Team %03d/Production", i%300),
				Tags: []rules.Tag{{Key: "cost-center", Value: fmt.Sprint(4000 + i%300)}, {Key: "stage", Value: "production"}},
			},
			agency: f.id(), created: noon.Add(-time.Duration(f.r.IntN(1e6)) * time.Minute),
		})
	}
	f.now = auditor.NewSnapshot(f.subjects(), f.baselines, maxAge)
	return f
}

func (f *fleet) subjects() []auditor.Subject {
	accounts := make([]rules.Account, len(f.members))
	for i := range f.members {
		accounts[i] = f.members[i].account
	}
	return auditor.Subjects(accounts, f.baselines)
}

func (f *fleet) id() string { return fmt.Sprintf("%016x%016x", f.r.Uint64(), f.r.Uint64()) }

func scopeOf(i int) rules.ScopeKind {
	if i < 2 {
		return rules.Global
	}
	return rules.AllResources
}

// drift has things happen.
func (f *fleet) drift(c chances) {
	happens := func(p float64) bool { return f.r.Float64() < p }
	for i := range f.members {
		m := &f.members[i]
		switch {
		case !happens(c.drift):
		case happens(0.5):
			m.lacks[f.r.IntN(4)] = true
		default:
			if p := 4 + f.r.IntN(len(f.policies)-4); !slices.Contains(m.more, p) {
				m.more = append(slices.Clone(m.more), p)
			}
		}
		if (m.lacks != [4]bool{} || len(m.more) > 0) && happens(c.repair) {
			m.lacks, m.more = [4]bool{}, nil
		}
		switch {
		case m.dark == "" && happens(c.dark):
			m.dark = []rules.Reason{rules.ReasonTimeout, rules.ReasonThrottled, rules.ReasonUnreachable, rules.ReasonDenied}[f.r.IntN(4)]
		case m.dark != "" && happens(c.light):
			m.dark = ""
		}
		if happens(c.moved) {
			m.account.OU = fmt.Sprintf("Workloads/Team %03d/Production", f.r.IntN(300))
		}
	}
}

// run is a run over the fleet as it is, some time after the one before; what is known then is f.now.
func (f *fleet) run(after time.Duration) *auditor.Run {
	f.n++
	f.at = f.at.Add(after)
	r := &auditor.Run{
		ID: fmt.Sprintf("%016x", f.r.Uint64()), Trigger: "schedule", Program: "1.2.3", StartedAt: f.at, EndedAt: f.at.Add(30 * time.Second), Complete: true,
		Baselines: f.baselines, States: map[rules.State]int{}, Findings: []rules.Finding{},
	}
	r.Sweeps = make([]auditor.Sweep, len(f.members))
	for i := range f.members {
		r.Sweeps[i] = f.sweep(&f.members[i])
		r.States[r.Sweeps[i].Report.State]++
		r.Complete = r.Complete && r.Sweeps[i].Report.Unknown == nil
	}
	slices.SortFunc(r.Sweeps, func(a, b auditor.Sweep) int { return cmp.Compare(a.Report.Account.Name, b.Report.Account.Name) })
	f.now = f.now.Next(r)
	return r
}

func (f *fleet) sweep(m *member) auditor.Sweep {
	at := f.at.Add(time.Duration(f.r.IntN(2e10)))
	s := auditor.Sweep{StartedAt: at, EndedAt: at.Add(time.Duration(f.r.IntN(1e9))), Trail: auditor.Trail{Requests: 6}, Report: rules.Report{
		Account: m.account, Baseline: "coc", AgencyName: f.baselines[0].Agency, State: rules.StateUnknown, Findings: []rules.Finding{},
	}}
	r := &s.Report
	if m.dark != "" {
		r.Unknown = &rules.Unknown{
			Reason: m.dark, Detail: "GET /v3.0/OS-AGENCY/agencies answered 503 after three attempts", RequestID: f.id(),
			Remedy: "see whether the endpoint can be reached from here, and whether the account may be entered",
		}
		return s
	}
	r.State = rules.StateCompliant
	r.Agency = &rules.Agency{ID: m.agency, Name: r.AgencyName, AccountID: m.account.ID, Trust: f.trusted, CreatedAt: m.created}
	s.RequestIDs = []string{f.id()}
	for _, kind := range rules.Planes() {
		s.Planes = append(s.Planes, rules.Plane{Kind: kind, State: rules.PlaneRead, RequestIDs: []string{f.id()}})
	}
	hold := func(plane int, g rules.Grant) {
		s.Planes[plane].Grants = append(s.Planes[plane].Grants, g)
		s.Planes[plane].Total++
	}
	for i, q := range f.baselines[0].Required {
		g := rules.Grant{Policy: f.policies[i], Scope: rules.Scope{Kind: q.Scope}}
		c := rules.Covered{Policy: q.Policy, Scope: q.Scope, Coverage: rules.CoverageExact, By: []rules.Grant{g}, PolicyIDs: []string{f.policies[i].ID}}
		if m.lacks[i] {
			c.Coverage, c.By = rules.CoverageMissing, nil
			r.Findings = append(r.Findings, rules.Finding{
				Rule: rules.RuleMissing, Severity: rules.High, Policy: q.Policy, Scope: q.Scope, Message: "The agency lacks " + q.Policy + ".",
				Consequences: []string{"COC can no longer use " + q.Policy + "."},
			})
		} else {
			hold(i/2, g)
		}
		r.Required = append(r.Required, c)
	}
	for _, p := range m.more {
		g := rules.Grant{Policy: f.policies[p], Scope: rules.Scope{Kind: rules.AllResources}}
		hold(1, g)
		r.Findings = append(r.Findings, rules.Finding{
			Rule: rules.RuleExcess, Severity: rules.Warning, Policy: g.Policy.Name, PolicyID: g.Policy.ID, Scope: g.Scope.Kind, Risk: rules.RiskMedium,
			Message:      fmt.Sprintf("The baseline does not have %s at %s.", g.Policy.Name, g.Scope),
			Consequences: []string{"Whoever is trusted can do what it allows."}, Grants: []rules.Grant{g},
		})
	}
	if len(r.Findings) > 0 {
		r.State = rules.StateDrifted
	}
	return s
}

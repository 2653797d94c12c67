package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

// chronicle is an organization over which runs are made at instants that never change, so that what a history says of them can be
// written down. It is audited by the real auditor, and recorded by the real store.
type chronicle struct {
	members []chronicled
	// dark are the accounts that cannot be read now.
	dark map[string]bool
	// unlisted are the policies that the site does not list now.
	unlisted map[string]bool
	at       time.Time
	now      *auditor.Snapshot
	n        int
}

// chronicled is an account with what its agency holds beyond the four policies, and which of these it lacks.
type chronicled struct {
	account rules.Account
	lacks   string
	more    []rules.Grant
}

func (c *chronicle) Accounts(context.Context) (auditor.Listing, error) {
	var l auditor.Listing
	for i := range c.members {
		l.Accounts = append(l.Accounts, c.members[i].account)
	}
	return l, nil
}

func (c *chronicle) Verify(context.Context) error { return nil }

func (c *chronicle) PolicyIDs(_ context.Context, names []string) (map[string][]string, time.Time, error) {
	ids := map[string][]string{}
	for _, name := range names {
		if !c.unlisted[name] {
			ids[name] = []string{"id-of-" + name}
		}
	}
	return ids, c.at, nil
}

// Observe is that of auditor.Observer.
func (c *chronicle) Observe(_ context.Context, a rules.Account, b rules.Baseline, last rules.Last) (rules.Evidence, auditor.Trail, error) {
	if c.dark[a.ID] {
		return rules.Evidence{}, auditor.Trail{Requests: 1}, &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "list the agencies: 403 IAM.0003", Remedy: "grant IAM ReadOnlyAccess to the agency AgencyAuditReader",
			RequestID: fmt.Sprintf("refused-%d", c.n),
		}
	}
	m := c.members[slices.IndexFunc(c.members, func(m chronicled) bool { return m.account.ID == a.ID })]
	o := rules.Observation{
		Account: a, AgencyName: b.Agency, StartedAt: c.at, EndedAt: c.at, UnfilteredAsked: true, ListRequestIDs: []string{fmt.Sprintf("%s-list-%d", a.ID[28:], c.n)},
		Listed: []rules.Agency{{
			ID: "a" + a.ID[1:], Name: b.Agency, AccountID: a.ID, Trust: rules.Trust{ID: "c0c00000000000000000000000000001", Name: b.Trust.Name},
			CreatedAt: time.Date(2025, 9, 2, 6, 11, 27, 0, time.UTC),
		}},
	}
	for _, kind := range rules.Planes() {
		p := rules.Plane{Kind: kind, State: rules.PlaneRead, Witnessed: true, RequestIDs: []string{fmt.Sprintf("%s-%s-%d", a.ID[28:], kind, c.n)}}
		for _, r := range b.Required {
			if r.Scope == kind && r.Policy != m.lacks {
				p.Grants = append(p.Grants, rules.Grant{
					Policy: rules.Policy{ID: "id-of-" + r.Policy, Name: r.Policy, Origin: rules.System}, Scope: rules.Scope{Kind: kind},
				})
			}
		}
		for _, g := range m.more {
			if g.Scope.Kind == kind {
				p.Grants = append(p.Grants, g)
			}
		}
		p.Total, p.Again = len(p.Grants), p.Grants
		for _, g := range p.Grants {
			p.WitnessIDs = append(p.WitnessIDs, g.Policy.ID)
			o.PoliciesAgain = append(o.PoliciesAgain, g.Policy)
		}
		o.Planes = append(o.Planes, p)
	}
	e, err := rules.NewEvidence(b, last, o)
	return e, auditor.Trail{Requests: 6}, err
}

// member is the account of a name.
func (c *chronicle) member(name string) *chronicled {
	return &c.members[slices.IndexFunc(c.members, func(m chronicled) bool { return m.account.Name == name })]
}

// run makes a run and has it recorded. change is made to the run before.
func (c *chronicle) run(s history.Store, change func(*auditor.Run)) error {
	b, ok := baseline.Bundled("coc")
	if !ok {
		return errors.New("no baseline coc is bundled")
	}
	c.n++
	a := auditor.Auditor{
		Inventory: c, Observer: c, Baselines: []rules.Baseline{b}, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return c.at },
		Program: "v1.0.0", Concurrency: 2, RunTimeout: time.Hour, AccountTimeout: time.Hour, Before: c.now,
	}
	run, err := a.Run(context.Background(), "schedule", nil)
	if err != nil {
		return err
	}
	run.ID, run.EndedAt = fmt.Sprintf("%016x", 0x5ca1ab1e0000+c.n), c.at.Add(41*time.Second)
	for i := range run.Sweeps {
		run.Sweeps[i].StartedAt = c.at.Add(time.Duration(2*i+1) * time.Second)
		run.Sweeps[i].EndedAt = run.Sweeps[i].StartedAt.Add(800 * time.Millisecond)
	}
	if change != nil {
		change(run)
	}
	if c.now == nil {
		c.now = auditor.NewSnapshot(nil, run.Baselines, 24*time.Hour)
	}
	c.now = c.now.Next(run)
	return s.Record(context.Background(), c.now)
}

// chronicleOf records, in a directory, four runs on the 20th of November 2025 and three on the next day. Names that are given are
// borne by further accounts, and by policies that these hold too much.
func chronicleOf(dir string, names ...string) (err error) {
	s, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	account := func(n int, name string) rules.Account {
		return rules.Account{ID: fmt.Sprintf("d%031x", n), Name: name, OU: "Workloads"}
	}
	too := func(policy string, scope rules.Scope) rules.Grant {
		return rules.Grant{Policy: rules.Policy{ID: "id-of-" + policy, Name: policy, Origin: rules.System}, Scope: scope}
	}
	c := &chronicle{dark: map[string]bool{}, at: time.Date(2025, 11, 20, 0, 0, 0, 0, time.UTC), members: []chronicled{
		{account: account(1, "prod-eu")}, {account: account(2, "prod-us")}, {account: account(3, "sandbox")}, {account: account(4, "shop")},
	}}
	for i, name := range names {
		grant := too(name, rules.Scope{Kind: rules.Project, ID: name, Name: name})
		c.members = append(c.members, chronicled{account: account(0x100+i, name), more: []rules.Grant{grant}})
	}
	steps := []func() func(*auditor.Run){
		func() func(*auditor.Run) { return nil },
		func() func(*auditor.Run) {
			c.member("prod-eu").lacks = "COCServiceAgencyDefaultPolicy"
			c.member("shop").more = []rules.Grant{too("ECS FullAccess", rules.Scope{Kind: rules.Project, ID: "p1", Name: "ap-southeast-3"})}
			for i := range names {
				c.members[4+i].lacks = "DCS UserAccess"
			}
			return nil
		},
		func() func(*auditor.Run) {
			c.dark[account(4, "").ID] = true
			return nil
		},
		func() func(*auditor.Run) {
			c.member("prod-eu").lacks = ""
			c.member("prod-us").more = []rules.Grant{too("Tenant Administrator", rules.Scope{Kind: rules.Global})}
			for i := range names {
				c.members[4+i].lacks = ""
			}
			return nil
		},
		func() func(*auditor.Run) {
			gone := c.member("sandbox").account
			c.members = slices.DeleteFunc(c.members, func(m chronicled) bool { return m.account.ID == gone.ID })
			return func(r *auditor.Run) {
				r.Gone = []rules.Account{gone}
				r.Suspect = []string{"the inventory shrank: 1 of 4 accounts is not listed any more"}
			}
		},
		func() func(*auditor.Run) {
			delete(c.dark, account(4, "").ID)
			return nil
		},
		func() func(*auditor.Run) { return nil },
	}
	for _, step := range steps {
		change := step()
		if err := c.run(s, change); err != nil {
			return err
		}
		c.at = c.at.Add(6 * time.Hour)
	}
	return nil
}

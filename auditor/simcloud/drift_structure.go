package simcloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// driftCreateAccount adds an account that was not there before, with everything that is declared in it.
func (c *Cloud) driftCreateAccount(decl *Account) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	const path = "$.new_account"
	b := builder{c: c, d: c.directory.Load().clone(), keyPaths: map[string]string{}, idPaths: map[string]string{}}
	for access := range b.d.keys {
		b.keyPaths[access] = "another user"
	}
	for id := range b.d.byID {
		b.idPaths["account\x00"+id] = "another account"
	}
	for _, s := range c.services {
		b.idPaths["account\x00"+s.ID] = "another account"
	}
	b.account(decl, path)
	a := b.d.accounts[len(b.d.accounts)-1]
	b.policies(a, decl.Policies, path)
	b.users(a, decl.Users, path)
	b.agencies(a, decl.Agencies, path)
	s := c.structure.Load()
	if decl.Member != nil {
		if s == nil {
			return errNoStructure
		}
		var problems Problems
		s, problems = c.newStructure(*s.declared(), append(s.places(), placement{a, *decl.Member, path + ".member"}))
		b.problems = append(b.problems, problems...)
	}
	if len(b.problems) > 0 {
		return b.problems
	}
	c.directory.Store(b.d)
	c.structure.Store(s)
	return nil
}

// driftRename gives an account another name.
func (c *Cloud) driftRename(d Drift) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	next := c.directory.Load().clone()
	a := c.findAccount(d.Account)
	switch {
	case a == nil:
		return fmt.Errorf("there is no account %q", d.Account)
	case next.byName[d.Name] != nil || c.services[strings.ToLower(d.Name)].ID != "":
		return fmt.Errorf("another account is called %q", d.Name)
	}
	delete(next.byName, a.name())
	next.byName[d.Name] = a
	a.label.Store(&d.Name)
	c.directory.Store(next)
	return nil
}

var errNoStructure = errors.New("there is no organization that accounts could be members of")

// driftStructure changes the organization of accounts.
func (c *Cloud) driftStructure(d Drift) error {
	c.changes.Lock()
	defer c.changes.Unlock()
	s := c.structure.Load()
	if s == nil {
		return errNoStructure
	}
	decl, places := s.declared(), s.places()
	var a *account
	at := -1
	if d.Account != "" {
		if a = c.findAccount(d.Account); a == nil {
			return fmt.Errorf("there is no account %q", d.Account)
		}
		at = slices.IndexFunc(places, func(p placement) bool { return p.account == a })
		if (at < 0) != (d.Kind == DriftJoin) {
			return fmt.Errorf("the account %q is a member of the organization: %t", d.Account, at >= 0)
		}
	}
	ou := s.find(d.OU)
	if ou == nil {
		return fmt.Errorf("there is no organizational unit %q", d.OU)
	}
	switch d.Kind {
	case DriftJoin:
		places = append(places, placement{a, *d.Member, "$.member"})
	case DriftLeave:
		places = slices.Delete(places, at, at+1)
		decl.Delegates = slices.DeleteFunc(decl.Delegates, func(x Delegate) bool { return x.Account == a.id })
	case DriftMove:
		places[at].decl.OU = ou.id
	case DriftTag:
		if at >= 0 {
			places[at].decl.Tags = d.Tags
			break
		}
		decl.edit(ou.id, func(u Unit) []Unit {
			u.Tags = d.Tags
			return []Unit{u}
		})
	case DriftDelegate:
		decl.Delegates = append(decl.Delegates, Delegate{Account: a.id, EnabledAt: c.now()})
	case DriftUndelegate:
		was := len(decl.Delegates)
		decl.Delegates = slices.DeleteFunc(decl.Delegates, func(x Delegate) bool { return x.Account == a.id })
		if len(decl.Delegates) == was {
			return fmt.Errorf("the account %q is no delegated administrator", d.Account)
		}
	case DriftCreateOU:
		child := Unit{Name: d.Name}
		if ou == s.root {
			decl.Units = append(decl.Units, child)
			break
		}
		decl.edit(ou.id, func(u Unit) []Unit {
			u.Units = append(u.Units, child)
			return []Unit{u}
		})
	case DriftRenameOU:
		decl.edit(ou.id, func(u Unit) []Unit {
			u.Name = d.Name
			return []Unit{u}
		})
	case DriftDeleteOU:
		if len(ou.units)+len(ou.members) > 0 {
			return fmt.Errorf("the organizational unit %q is not empty", d.OU)
		}
		decl.edit(ou.id, func(Unit) []Unit { return nil })
	}
	next, problems := c.newStructure(*decl, places)
	if len(problems) > 0 {
		return problems
	}
	c.structure.Store(next)
	return nil
}

// edit replaces the unit of that id.
func (s *Structure) edit(id string, do func(Unit) []Unit) { s.Units = editUnits(s.Units, id, do) }

func editUnits(units []Unit, id string, do func(Unit) []Unit) []Unit {
	var out []Unit
	for _, u := range units {
		if u.ID == id {
			out = append(out, do(u)...)
			continue
		}
		u.Units = editUnits(u.Units, id, do)
		out = append(out, u)
	}
	return out
}

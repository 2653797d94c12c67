package simcloud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The kinds of drift.
const (
	DriftGrant        = "grant"         // Account, Agency, Grant
	DriftRevoke       = "revoke"        // Account, Agency, Grant
	DriftAttach       = "attach"        // Account, Agency, Policy
	DriftDetach       = "detach"        // Account, Agency, Policy
	DriftCreateAgency = "create_agency" // Account, New
	DriftUpdateAgency = "update_agency" // Account, Agency, and any of Trust, ExpiresAt, Description
	DriftDeleteAgency = "delete_agency" // Account, Agency
	DriftSuspend      = "suspend"       // Account
	DriftResume       = "resume"        // Account
	DriftSettings     = "settings"      // Settings
)

// Drift is one change of the true state that no client made. It is visible at once and is not in the journal; neither
// blacklists nor quotas bind it, since service-made agencies carry what nobody could grant them.
type Drift struct {
	// Kind is one of the kinds of drift, whose comments say which of the other fields it takes.
	Kind string `json:"kind"`
	// Account and Agency are names or ids.
	Account string `json:"account,omitempty"`
	Agency  string `json:"agency,omitempty"`
	Grant   *Grant `json:"grant,omitempty"`
	// Policy is the display name or the id of an identity policy.
	Policy string `json:"policy,omitempty"`
	// New is the agency to create, with its grants and attachments.
	New   *Agency `json:"new,omitempty"`
	Trust *Trust  `json:"trust,omitempty"`
	// ExpiresAt is the new end of the agency; the zero time makes it valid for ever.
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	Description *string    `json:"description,omitempty"`
	// Settings replace all of the cloud's settings.
	Settings *Settings `json:"settings,omitempty"`
}

// Drift changes the true state. It changes nothing when it fails.
func (c *Cloud) Drift(d Drift) error {
	if err := c.drift(d); err != nil {
		return fmt.Errorf("drift %s: %w", d.Kind, err)
	}
	return nil
}

func (c *Cloud) drift(d Drift) error {
	if err := d.check(); err != nil {
		return err
	}
	if d.Kind == DriftSettings {
		return c.SetSettings(*d.Settings)
	}
	a := c.findAccount(d.Account)
	if a == nil {
		return fmt.Errorf("there is no account %q", d.Account)
	}
	switch d.Kind {
	case DriftSuspend, DriftResume:
		a.suspended.Store(d.Kind == DriftSuspend)
		return nil
	case DriftCreateAgency:
		return c.driftCreate(a, d.New)
	case DriftDeleteAgency:
		return a.drift(func(agencies []*agency) ([]*agency, error) {
			g, err := namedAgency(agencies, d.Agency)
			if err != nil {
				return nil, err
			}
			return without(agencies, g.id), nil
		})
	}
	do, err := c.driftAgency(a, d)
	if err != nil {
		return err
	}
	return a.drift(func(agencies []*agency) ([]*agency, error) {
		g, err := namedAgency(agencies, d.Agency)
		if err != nil {
			return nil, err
		}
		next, err := do(g)
		if err != nil {
			return nil, err
		}
		return replace(agencies, next), nil
	})
}

// check says whether the drift has the fields that its kind takes, and no others: one that is left unread would be a
// change that somebody believes to have made.
func (d Drift) check() error {
	fields := []struct {
		name  string
		given bool
		kinds []string
		// optional fields may be left out.
		optional bool
	}{
		{name: "account", given: d.Account != "", kinds: []string{DriftGrant, DriftRevoke, DriftAttach, DriftDetach,
			DriftCreateAgency, DriftUpdateAgency, DriftDeleteAgency, DriftSuspend, DriftResume}},
		{name: "agency", given: d.Agency != "", kinds: []string{DriftGrant, DriftRevoke, DriftAttach, DriftDetach,
			DriftUpdateAgency, DriftDeleteAgency}},
		{name: "grant", given: d.Grant != nil, kinds: []string{DriftGrant, DriftRevoke}},
		{name: "policy", given: d.Policy != "", kinds: []string{DriftAttach, DriftDetach}},
		{name: "new", given: d.New != nil, kinds: []string{DriftCreateAgency}},
		{name: "trust", given: d.Trust != nil, kinds: []string{DriftUpdateAgency}, optional: true},
		{name: "expires_at", given: d.ExpiresAt != nil, kinds: []string{DriftUpdateAgency}, optional: true},
		{name: "description", given: d.Description != nil, kinds: []string{DriftUpdateAgency}, optional: true},
		{name: "settings", given: d.Settings != nil, kinds: []string{DriftSettings}},
	}
	kinds := []string{DriftGrant, DriftRevoke, DriftAttach, DriftDetach, DriftCreateAgency, DriftUpdateAgency,
		DriftDeleteAgency, DriftSuspend, DriftResume, DriftSettings}
	if !slices.Contains(kinds, d.Kind) {
		return fmt.Errorf("there is no such kind of drift; the kinds are %s", strings.Join(kinds, ", "))
	}
	for _, f := range fields {
		takes := slices.Contains(f.kinds, d.Kind)
		switch {
		case f.given && !takes:
			return fmt.Errorf("takes no %s", f.name)
		case takes && !f.given && !f.optional:
			return fmt.Errorf("needs %s", f.name)
		}
	}
	if d.Kind == DriftUpdateAgency && d.Trust == nil && d.ExpiresAt == nil && d.Description == nil {
		return errors.New("needs one of trust, expires_at, description")
	}
	return nil
}

func (c *Cloud) driftCreate(a *account, decl *Agency) error {
	g, problems := c.newAgency(a, decl, "$.new")
	if len(problems) > 0 {
		return problems
	}
	return a.drift(func(agencies []*agency) ([]*agency, error) {
		if findAgency(agencies, g.id) != nil {
			return nil, fmt.Errorf("the account has an agency with the id %s; agencies of one name need an id each", g.id)
		}
		return append(agencies[:len(agencies):len(agencies)], g), nil
	})
}

// driftAgency prepares what the drift makes of one agency.
func (c *Cloud) driftAgency(a *account, d Drift) (func(*agency) (*agency, error), error) {
	switch d.Kind {
	case DriftGrant, DriftRevoke:
		y, at, err := c.resolveGrant(a, *d.Grant)
		if err != nil {
			return nil, fmt.Errorf("grant%s %w", at, err)
		}
		return func(g *agency) (*agency, error) {
			switch {
			case d.Kind == DriftGrant && g.holds(y):
				return nil, fmt.Errorf("the agency %s holds %s at that scope already", g.name, y.policy.DisplayName)
			case d.Kind == DriftGrant:
				return g.withGrant(y), nil
			case !g.holds(y):
				return nil, fmt.Errorf("the agency %s does not hold %s at that scope", g.name, y.policy.DisplayName)
			}
			return g.withoutGrant(y), nil
		}, nil
	case DriftAttach, DriftDetach:
		p, err := c.resolveIdentityPolicy(a, d.Policy)
		if err != nil {
			return nil, fmt.Errorf("policy %w", err)
		}
		now := c.now()
		return func(g *agency) (*agency, error) {
			switch {
			case d.Kind == DriftAttach && g.has(p):
				return nil, fmt.Errorf("the agency %s has %s attached already", g.name, p.DisplayName)
			case d.Kind == DriftAttach:
				return g.withPolicy(p, now), nil
			case !g.has(p):
				return nil, fmt.Errorf("the agency %s does not have %s attached", g.name, p.DisplayName)
			}
			return g.withoutPolicy(p), nil
		}, nil
	}
	var t trust
	if d.Trust != nil {
		var err error
		if t, err = c.resolveTrust(*d.Trust); err != nil {
			return nil, fmt.Errorf("trust %w", err)
		}
	}
	return func(g *agency) (*agency, error) {
		n := *g
		if d.Trust != nil {
			n.trust = t
		}
		if d.Description != nil {
			n.description = *d.Description
		}
		switch {
		case d.ExpiresAt == nil:
			return &n, nil
		case d.ExpiresAt.IsZero():
			return n.validFor(n.createdAt, time.Time{}), nil
		case !d.ExpiresAt.After(n.createdAt):
			return nil, fmt.Errorf("expires_at is not after the agency's creation at %s", n.createdAt.Format(time.RFC3339))
		}
		return n.validFor(n.createdAt, d.ExpiresAt.UTC()), nil
	}, nil
}

// namedAgency finds an agency by id or name.
func namedAgency(agencies []*agency, name string) (*agency, error) {
	if g := findAgency(agencies, name); g != nil {
		return g, nil
	}
	var found *agency
	for _, g := range agencies {
		if g.name != name {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the account has more than one agency %q; write the id", name)
		}
		found = g
	}
	if found == nil {
		return nil, fmt.Errorf("the account has no agency %q", name)
	}
	return found, nil
}

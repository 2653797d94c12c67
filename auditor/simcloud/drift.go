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
	DriftUpdateAgency = "update_agency" // Account, Agency, and any of Trust, TrustPolicy, ExpiresAt, Description
	DriftDeleteAgency = "delete_agency" // Account, Agency
	DriftSuspend      = "suspend"       // Account
	DriftResume       = "resume"        // Account
	DriftStatus       = "status"        // Account, Status
	DriftRename       = "rename"        // Account, Name

	DriftCreateAccount = "create_account"     // NewAccount
	DriftJoin          = "join_organization"  // Account, Member
	DriftLeave         = "leave_organization" // Account
	DriftMove          = "move"               // Account, OU
	DriftTag           = "tag"                // Account or OU, Tags
	DriftDelegate      = "delegate"           // Account
	DriftUndelegate    = "undelegate"         // Account
	DriftCreateOU      = "create_ou"          // OU, Name
	DriftRenameOU      = "rename_ou"          // OU, Name
	DriftDeleteOU      = "delete_ou"          // OU

	DriftSettings = "settings" // Settings
)

// driftFields are the fields that each kind of drift takes; a question mark stands behind one that may be left out.
var driftFields = []struct{ kind, fields string }{
	{DriftGrant, "account agency grant"},
	{DriftRevoke, "account agency grant"},
	{DriftAttach, "account agency policy"},
	{DriftDetach, "account agency policy"},
	{DriftCreateAgency, "account new"},
	{DriftUpdateAgency, "account agency trust? trust_policy? expires_at? description?"},
	{DriftDeleteAgency, "account agency"},
	{DriftSuspend, "account"},
	{DriftResume, "account"},
	{DriftStatus, "account status"},
	{DriftRename, "account name"},
	{DriftCreateAccount, "new_account"},
	{DriftJoin, "account member"},
	{DriftLeave, "account"},
	{DriftMove, "account ou?"},
	{DriftTag, "account? ou? tags"},
	{DriftDelegate, "account"},
	{DriftUndelegate, "account"},
	{DriftCreateOU, "ou? name"},
	{DriftRenameOU, "ou name"},
	{DriftDeleteOU, "ou"},
	{DriftSettings, "settings"},
}

// Drift is one change of the true state that no client made. It is visible at once and is not in the journal; neither
// blacklists nor quotas bind it, since service-made agencies carry what nobody could grant them.
type Drift struct {
	// Kind is one of the kinds of drift, whose comments say which of the other fields it takes.
	Kind string `yaml:"kind" json:"kind"`
	// Account and Agency are names or ids.
	Account string `yaml:"account" json:"account,omitempty"`
	Agency  string `yaml:"agency" json:"agency,omitempty"`
	Grant   *Grant `yaml:"grant" json:"grant,omitempty"`
	// Policy is the display name or the id of an identity policy.
	Policy string `yaml:"policy" json:"policy,omitempty"`
	// New is the agency to create, with its grants and attachments.
	New   *Agency `yaml:"new" json:"new,omitempty"`
	Trust *Trust  `yaml:"trust" json:"trust,omitempty"`
	// ExpiresAt is the new end of the agency; the zero time makes it valid for ever.
	ExpiresAt   *time.Time `yaml:"expires_at" json:"expires_at,omitempty"`
	Description *string    `yaml:"description" json:"description,omitempty"`
	// TrustPolicy replaces that of a trust agency.
	TrustPolicy *TrustPolicy `yaml:"trust_policy" json:"trust_policy,omitempty"`
	// Status is the account's new status, as an organization has it.
	Status string `yaml:"status" json:"status,omitempty"`
	// Name is the new name of an account or a unit.
	Name string `yaml:"name" json:"name,omitempty"`
	// OU is an organizational unit: its id, or the names down to it with / between them. Empty is the root.
	OU string `yaml:"ou" json:"ou,omitempty"`
	// Tags replace all tags of an account or a unit.
	Tags map[string]string `yaml:"tags" json:"tags,omitempty"`
	// Member is the account's place in the organization that it joins.
	Member *Member `yaml:"member" json:"member,omitempty"`
	// NewAccount is an account that nobody has had before, with its place in the organization, if any.
	NewAccount *Account `yaml:"new_account" json:"new_account,omitempty"`
	// Settings replace all of the cloud's settings.
	Settings *Settings `yaml:"settings" json:"settings,omitempty"`
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
	switch d.Kind {
	case DriftSettings:
		return c.SetSettings(*d.Settings)
	case DriftCreateAccount:
		return c.driftCreateAccount(d.NewAccount)
	case DriftRename:
		return c.driftRename(d)
	case DriftJoin, DriftLeave, DriftMove, DriftTag, DriftDelegate, DriftUndelegate, DriftCreateOU, DriftRenameOU, DriftDeleteOU:
		return c.driftStructure(d)
	}
	a := c.findAccount(d.Account)
	if a == nil {
		return fmt.Errorf("there is no account %q", d.Account)
	}
	switch d.Kind {
	case DriftSuspend:
		return a.become(statusSuspended)
	case DriftResume:
		return a.become(statusActive)
	case DriftStatus:
		return a.become(d.Status)
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

// become gives the account another status.
func (a *account) become(status string) error {
	if !validID(status) {
		return fmt.Errorf("status is %q; write active, suspended, pending_closure, or another word", status)
	}
	a.state.Store(&status)
	return nil
}

// check says whether the drift has the fields that its kind takes, and no others: one that is left unread would be a
// change that somebody believes to have made.
func (d Drift) check() error {
	given := map[string]bool{
		"account": d.Account != "", "agency": d.Agency != "", "grant": d.Grant != nil, "policy": d.Policy != "",
		"new": d.New != nil, "trust": d.Trust != nil, "trust_policy": d.TrustPolicy != nil, "expires_at": d.ExpiresAt != nil,
		"description": d.Description != nil, "settings": d.Settings != nil, "status": d.Status != "", "name": d.Name != "",
		"ou": d.OU != "", "tags": d.Tags != nil, "member": d.Member != nil, "new_account": d.NewAccount != nil,
	}
	var kinds []string
	for _, k := range driftFields {
		if kinds = append(kinds, k.kind); k.kind != d.Kind {
			continue
		}
		takes := strings.Fields(k.fields)
		for _, field := range sortedKeys(given) {
			if given[field] && !slices.Contains(takes, field) && !slices.Contains(takes, field+"?") {
				return fmt.Errorf("takes no %s", field)
			}
		}
		for _, field := range takes {
			if !strings.HasSuffix(field, "?") && !given[field] {
				return fmt.Errorf("needs %s", field)
			}
		}
		switch {
		case d.Kind == DriftUpdateAgency && d.Trust == nil && d.TrustPolicy == nil && d.ExpiresAt == nil && d.Description == nil:
			return errors.New("needs one of trust, trust_policy, expires_at, description")
		case d.Kind == DriftTag && given["account"] == given["ou"]:
			return errors.New("needs one of account, ou")
		}
		return nil
	}
	return fmt.Errorf("there is no such kind of drift; the kinds are %s", strings.Join(kinds, ", "))
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
			case d.Kind == DriftGrant && g.trustPolicy != nil:
				return nil, fmt.Errorf("the agency %s is a trust agency, which holds identity policies only; attach one", g.name)
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
	var p agency
	if d.TrustPolicy != nil {
		var problems Problems
		c.trustAgency(&p, &Agency{TrustPolicy: d.TrustPolicy}, func(at, format string, args ...any) {
			problems = append(problems, Problem{Path: "$" + at, Message: fmt.Sprintf(format, args...)})
		})
		if len(problems) > 0 {
			return nil, problems
		}
	}
	return func(g *agency) (*agency, error) {
		n := *g
		switch {
		case d.Trust != nil && g.trustPolicy != nil:
			return nil, fmt.Errorf("the agency %s is a trust agency, which has no trust; write trust_policy", g.name)
		case d.TrustPolicy != nil && g.trustPolicy == nil:
			return nil, fmt.Errorf("the agency %s is no trust agency; write trust", g.name)
		case d.TrustPolicy != nil:
			n.trustPolicy = p.trustPolicy
		}
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

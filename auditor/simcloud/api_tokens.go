package simcloud

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// session is what a temporary key stands for: the right to act as an agency until a time.
type session struct {
	token   string
	expires time.Time
	// agency is the id, since its rights are those that it has when they are used.
	agency     string
	agencyName string
	// caller is the account that the session was made from, and urn who of it has made it; nil for a session of a server or
	// a pod.
	caller *account
	urn    string
	// name is the session user's, or the caller's where none was given.
	name string
	// allows is what the session policy lets through; everything without one.
	allows operationSet
	// ended is set when a fault ends the key before its time.
	ended atomic.Bool
}

// alive says whether the session's agency is still there, valid, and trusts the account that the session was made from,
// and that account is active. That a session ends with these is our inference.
func (x *call) alive(s *session, target *account) bool {
	g := findAgency(target.truth(), s.agency)
	if s.caller == nil {
		return g != nil && !g.expired(x.now) && g.serves()
	}
	return g != nil && !g.expired(x.now) && g.admits(s.caller, s.urn) && !x.s.closed(s.caller)
}

// sessions are the temporary keys that were issued.
type sessions struct {
	mu   sync.RWMutex
	keys map[string]*accessKey
	// sweep is at how many keys the expired ones are thrown out next.
	sweep int
}

// key returns the key of that name, a permanent or a temporary one.
func (c *Cloud) key(access string) *accessKey {
	if k := c.directory.Load().keys[access]; k != nil {
		return k
	}
	c.sessions.mu.RLock()
	defer c.sessions.mu.RUnlock()
	return c.sessions.keys[access]
}

// issue stores a temporary key. Expired keys are remembered for an hour, to be refused as expired, and forgotten when
// there are too many.
func (s *sessions) issue(k *accessKey, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.keys == nil {
		s.keys = map[string]*accessKey{}
	}
	if len(s.keys) >= max(s.sweep, 1024) {
		for access, old := range s.keys {
			if now.Sub(old.session.expires) > time.Hour {
				delete(s.keys, access)
			}
		}
		s.sweep = 2 * len(s.keys)
	}
	s.keys[k.access] = k
}

// randomText makes text of n characters out of an alphabet of 32.
func randomText(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	raw := make([]byte, n)
	_, _ = rand.Read(raw) // never fails
	for i, b := range raw {
		raw[i] = alphabet[b&31]
	}
	return string(raw)
}

// assumeBody is the body of facts 6.1.
type assumeBody struct {
	Auth *struct {
		Identity *struct {
			Methods    []string `json:"methods"`
			AssumeRole *struct {
				AgencyName      string `json:"agency_name"`
				DomainID        string `json:"domain_id"`
				DomainName      string `json:"domain_name"`
				DurationSeconds *int64 `json:"duration_seconds"`
				SessionUser     *struct {
					Name *string `json:"name"`
				} `json:"session_user"`
			} `json:"assume_role"`
			Policy *sessionPolicy `json:"policy"`
		} `json:"identity"`
	} `json:"auth"`
}

// sessionPolicy narrows what a temporary key may do.
type sessionPolicy struct {
	Version   string `json:"Version"`
	Statement []struct {
		Effect    string          `json:"Effect"`
		Action    []string        `json:"Action"`
		Condition json.RawMessage `json:"Condition"`
		Resource  json.RawMessage `json:"Resource"`
	} `json:"Statement"`
}

// assume is CreateTemporaryAccessKeyByAgency (facts 6.1). Whether the agency, its account or the trust is what fails,
// and so the choice between 403 and 404, is our inference.
func (x *call) assume() answer {
	var body assumeBody
	if a := x.decode(&body); a != nil {
		return *a
	}
	if body.Auth == nil || body.Auth.Identity == nil || body.Auth.Identity.AssumeRole == nil {
		return x.badRequest("Expecting to find auth.identity.assume_role in the request body")
	}
	identity, role := body.Auth.Identity, body.Auth.Identity.AssumeRole
	seconds := int64(900)
	if role.DurationSeconds != nil {
		seconds = *role.DurationSeconds
	}
	name := ""
	if role.SessionUser != nil && role.SessionUser.Name != nil {
		name = *role.SessionUser.Name
		if !validSessionName(name) {
			return x.badRequest("Invalid input: session_user.name must have 5 to 64 letters, digits, hyphens and underscores " +
				"and begin with a letter")
		}
	}
	switch {
	case !slices.Equal(identity.Methods, []string{"assume_role"}):
		return x.badRequest(`Invalid input: methods must be ["assume_role"]`)
	case role.AgencyName == "":
		return x.badRequest("Invalid input: agency_name is required")
	case role.DomainID == "" && role.DomainName == "":
		return x.badRequest("Invalid input: domain_id or domain_name is required")
	case seconds < 900 || seconds > 86400:
		return x.badRequest("Invalid input: duration_seconds is %d, must be 900 to 86400", seconds)
	}
	allows, a := x.sessionRights(identity.Policy, versionPolicy)
	if a != nil {
		return *a
	}
	known := x.c.directory.Load()
	target := known.byID[role.DomainID]
	if role.DomainID == "" {
		target = known.byName[role.DomainName]
	}
	if target == nil || role.DomainName != "" && target.name() != role.DomainName {
		return x.keystone(http.StatusNotFound, "Could not find domain: %s%s", role.DomainID, role.DomainName)
	}
	agencies := target.truth()
	i := slices.IndexFunc(agencies, func(g *agency) bool { return g.name == role.AgencyName && g.trustPolicy == nil })
	if i < 0 {
		return x.keystone(http.StatusNotFound, "Could not find agency: %s", role.AgencyName)
	}
	g := agencies[i]
	urn, _ := x.key.principal()
	if !g.admits(x.account, urn) || g.expired(x.now) || x.s.closed(target) || !x.mayAssume(target, g) {
		return x.denied()
	}
	if name == "" {
		name = strings.ReplaceAll(x.key.actor(), "/", "_")
	}
	k := x.newSession(x.account, urn, target, g, time.Duration(seconds)*time.Second, name, allows)
	return answer{status: http.StatusCreated, body: mustJSON(map[string]any{"credential": map[string]string{
		"access": k.access, "secret": string(k.secret), "securitytoken": k.session.token,
		"expires_at": x.iamTime(k.session.expires),
	}})}
}

func validSessionName(s string) bool {
	letter := s != "" && (s[0] >= 'a' && s[0] <= 'z' || s[0] >= 'A' && s[0] <= 'Z')
	return letter && len(s) >= 5 && validID(s)
}

// newSession issues a temporary key by which somebody of the account from acts as the agency of the account target.
func (x *call) newSession(from *account, urn string, target *account, g *agency, lasts time.Duration, name string,
	allows operationSet) *accessKey {
	k := &accessKey{
		access: "HST" + randomText(17), secret: []byte(randomText(40)), account: target,
		session: &session{
			token:   base64.StdEncoding.EncodeToString([]byte(randomText(384))),
			expires: x.now.Add(lasts),
			agency:  g.id, agencyName: g.name, caller: from, urn: urn, name: name, allows: allows,
		},
	}
	x.c.sessions.issue(k, x.now)
	return k
}

// sessionRights reads the session policy, whose actions are in the language of the version. A statement that is limited by
// conditions or resources cannot be judged here: it grants nothing, and denies as if it had no limits.
func (x *call) sessionRights(p *sessionPolicy, version string) (operationSet, *answer) {
	if p == nil {
		return ^operationSet(0), nil
	}
	refuse := func(format string, args ...any) (operationSet, *answer) {
		a := x.badRequest("Invalid input: policy: "+format, args...)
		return 0, &a
	}
	if p.Version != version || len(p.Statement) == 0 {
		return refuse("Version must be %s and Statement must not be empty", version)
	}
	var allow, deny operationSet
	for _, s := range p.Statement {
		for _, action := range s.Action {
			if !validAction(action) {
				return refuse("the action %q is not service:resource:operation", action)
			}
		}
		actions := x.c.allowed(s.Action, version == versionIdentity, version != versionIdentity)
		switch {
		case s.Effect == "Deny":
			deny |= actions
		case s.Effect != "Allow":
			return refuse("Effect is %q, must be Allow or Deny", s.Effect)
		case limited(s.Condition) || limited(s.Resource):
		default:
			allow |= actions
		}
	}
	return allow &^ deny, nil
}

// limited says whether a member of a statement limits it.
func limited(raw json.RawMessage) bool {
	switch string(raw) {
	case "", "null", "{}", "[]", `["*"]`:
		return false
	}
	return true
}

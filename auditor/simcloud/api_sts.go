package simcloud

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// How long sessions of STS last, in seconds (facts 6.2).
const (
	shortestSession = 900
	defaultSession  = 3600 // and the longest one that is begun by a temporary key
	longestSession  = 43200
)

// trustPolicy is a trust policy as it is judged.
type trustPolicy struct {
	principals []principal
	externalID string
}

// principal is somebody whom a trust policy names: an account, or what its text says.
type principal struct {
	account *account
	text    string
}

// servicePrefix begins the principals of services.
const servicePrefix = "service."

// trustAgency reads the trust policy of a trust agency.
func (c *Cloud) trustAgency(g *agency, decl *Agency, problem func(at, format string, args ...any)) {
	p := &trustPolicy{externalID: decl.TrustPolicy.ExternalID}
	if decl.Trust != (Trust{}) {
		problem(".trust", "is there beside trust_policy; delete one of the two")
	}
	if len(decl.Grants) > 0 {
		problem(".grants", "are there although a trust agency holds identity policies only; put them under attached")
	}
	if len(decl.TrustPolicy.Principals) == 0 {
		problem(".trust_policy.principals", "is empty; name an account")
	}
	for i, text := range decl.TrustPolicy.Principals {
		switch a := c.findAccount(text); {
		case a != nil:
			p.principals = append(p.principals, principal{account: a})
		case text == "*", strings.HasPrefix(text, servicePrefix), strings.HasPrefix(text, "iam::"):
			p.principals = append(p.principals, principal{text: text})
		default:
			problem(fmt.Sprintf(".trust_policy.principals[%d]", i), "names no account: %q; write the name or the id of one, a urn "+
				"that begins with iam::, a service like service.X, or *", text)
		}
	}
	if n := utf8.RuneCountInString(p.externalID); p.externalID != "" && (n < 2 || n > 1224) {
		problem(".trust_policy.external_id", "has %d characters; write 2 to 1224", n)
	}
	g.trustPolicy = p
}

// declared is the trust policy as an organization has it; nil for none.
func (p *trustPolicy) declared() *TrustPolicy {
	if p == nil {
		return nil
	}
	out := &TrustPolicy{ExternalID: p.externalID}
	for _, y := range p.principals {
		if y.account != nil {
			y.text = y.account.id
		}
		out.Principals = append(out.Principals, y.text)
	}
	return out
}

// document is the trust policy as IAM v5 shows it: JSON in a string. The exact form of a principal is not known (facts
// appendix A): a switch decides.
func (p *trustPolicy) document(s *settings) string {
	type statement struct {
		Effect    string                         `json:"Effect"`
		Principal map[string][]string            `json:"Principal"`
		Action    []string                       `json:"Action"`
		Condition map[string]map[string][]string `json:"Condition,omitempty"`
	}
	principals := map[string][]string{}
	for _, y := range p.principals {
		kind, text := "IAM", y.text
		if y.account != nil {
			if text = y.account.id; s.Switches.TrustPrincipal == "urn" {
				text = "iam::" + text + ":root"
			}
		} else if strings.HasPrefix(text, servicePrefix) {
			kind = "Service"
		}
		principals[kind] = append(principals[kind], text)
	}
	out := statement{Effect: "Allow", Principal: principals, Action: []string{"sts:agencies:assume"}}
	if p.externalID != "" {
		out.Condition = map[string]map[string][]string{"StringEquals": {"sts:ExternalId": {p.externalID}}}
	}
	return string(mustJSON(struct {
		Version   string      `json:"Version"`
		Statement []statement `json:"Statement"`
	}{"5.0", []statement{out}}))
}

// stsError is an error of STS (facts 6.2). Only the code for an agency that is not there is documented.
func (x *call) stsError(status int, code, message, detail string) answer {
	return answer{status: status, body: mustJSON(struct {
		Code    string `json:"error_code"`
		Message string `json:"error_msg"`
		Detail  string `json:"encoded_authorization_message,omitempty"`
	}{code, message, detail})}
}

// assumeAgencyBody is the body of facts 6.2. The pointers tell what was left out.
type assumeAgencyBody struct {
	URN             string    `json:"agency_urn"`
	SessionName     string    `json:"agency_session_name"`
	Duration        *int64    `json:"duration_seconds"`
	ExternalID      *string   `json:"external_id"`
	Policy          *string   `json:"policy"`
	PolicyIDs       *[]string `json:"policy_ids"`
	SerialNumber    *string   `json:"serial_number"`
	TokenCode       *string   `json:"token_code"`
	SourceIdentity  *string   `json:"source_identity"`
	Tags            []any     `json:"tags"`
	TransitiveNames []string  `json:"transitive_tag_keys"`
}

// check says what is wrong with the body, or nothing. Which characters names may have is our inference: a slash would
// end one in a urn.
func (b *assumeAgencyBody) check() string {
	within := func(s *string, most int) bool {
		return s == nil || utf8.RuneCountInString(*s) >= 2 && utf8.RuneCountInString(*s) <= most
	}
	plain := func(s string) bool {
		return !strings.ContainsFunc(s, func(r rune) bool { return r > 126 || r <= ' ' || strings.ContainsRune(`/:"\`, r) })
	}
	seconds := int64(defaultSession)
	if b.Duration != nil {
		seconds = *b.Duration
	}
	switch {
	case !within(&b.SessionName, 128) || !plain(b.SessionName):
		return "agency_session_name must have 2 to 128 characters, none of them a blank, a slash, a colon or a quote"
	case seconds < shortestSession || seconds > longestSession:
		return fmt.Sprintf("duration_seconds is %d, must be %d to %d", seconds, shortestSession, longestSession)
	case !within(b.ExternalID, 1224):
		return "external_id must have 2 to 1224 characters"
	case !within(b.Policy, 2048):
		return "policy must have 2 to 2048 characters"
	case b.PolicyIDs != nil && len(*b.PolicyIDs) > 10:
		return "policy_ids must be 10 at most"
	case b.SerialNumber != nil || b.TokenCode != nil:
		return "serial_number and token_code name no device of the caller"
	case !within(b.SourceIdentity, 64):
		return "source_identity must have 2 to 64 characters"
	case len(b.Tags) > 20:
		return "tags must be 20 at most"
	}
	return ""
}

// assumeAgency is AssumeAgency of STS (facts 6.2), for v3 agencies and trust agencies. That everything which a trust
// refuses is told in the same words is our inference.
func (x *call) assumeAgency() answer {
	var body assumeAgencyBody
	if a := x.decode(&body); a != nil {
		return *a
	}
	if why := body.check(); why != "" {
		return x.badRequest("Invalid input: %s", why)
	}
	// iam::ACCOUNT:agency:NAME, in which a name has no colon.
	parts := strings.Split(body.URN, ":")
	if len(parts) != 5 || parts[0] != "iam" || parts[1] != "" || parts[3] != "agency" || parts[2] == "" || parts[4] == "" {
		return x.badRequest("Invalid input: agency_urn is %q, must be iam::ACCOUNT:agency:NAME", body.URN)
	}
	allows, a := x.stsRights(body)
	if a != nil {
		return *a
	}
	target := x.c.directory.Load().byID[parts[2]]
	var g *agency
	if target != nil {
		if i := slices.IndexFunc(target.truth(), func(g *agency) bool { return g.name == parts[4] }); i >= 0 {
			g = target.truth()[i]
		}
	}
	if g == nil {
		return x.stsError(http.StatusNotFound, "STS5.1106", "The agency "+body.URN+" cannot be found.", "")
	}
	urn, _ := x.key.principal()
	external := ""
	if body.ExternalID != nil {
		external = *body.ExternalID
	}
	switch {
	case !g.admits(x.account, urn), g.trustPolicy != nil && g.trustPolicy.externalID != "" && g.trustPolicy.externalID != external,
		g.expired(x.now), x.s.closed(target), !x.mayAssume(target, g):
		return x.denied()
	}
	seconds := int64(defaultSession)
	if body.Duration != nil {
		seconds = *body.Duration
	}
	switch {
	case x.key.session != nil && seconds > defaultSession:
		return x.badRequest("Invalid input: duration_seconds is %d, must be at most %d for a temporary key", seconds, defaultSession)
	case seconds > int64(g.maxSession):
		return x.badRequest("Invalid input: duration_seconds is %d, must be at most the agency's max_session_duration, %d",
			seconds, g.maxSession)
	}
	k := x.newSession(x.account, urn, target, g, time.Duration(seconds)*time.Second, body.SessionName, allows)
	sessionURN, sessionID := k.principal()
	return ok(mustJSON(struct {
		SourceIdentity *string           `json:"source_identity,omitempty"`
		AssumedAgency  map[string]string `json:"assumed_agency"`
		Credentials    map[string]string `json:"credentials"`
	}{
		body.SourceIdentity,
		map[string]string{"urn": sessionURN, "id": sessionID},
		map[string]string{
			"access_key_id": k.access, "secret_access_key": string(k.secret), "security_token": k.session.token,
			"expiration": k.session.expires.Add(x.s.ClockOffset).Format(v5Time),
		},
	}))
}

// stsRights is what the session policies let through: the one that is written in the request, and those that it names.
// With neither it is everything.
func (x *call) stsRights(b assumeAgencyBody) (operationSet, *answer) {
	if b.Policy == nil && b.PolicyIDs == nil {
		return ^operationSet(0), nil
	}
	var allows operationSet
	if b.Policy != nil {
		var p sessionPolicy
		if err := json.Unmarshal([]byte(*b.Policy), &p); err != nil {
			a := x.badRequest("Invalid input: policy is no policy document")
			return 0, &a
		}
		own, a := x.sessionRights(&p, versionIdentity)
		if a != nil {
			return 0, a
		}
		allows |= own
	}
	if b.PolicyIDs != nil {
		for _, id := range *b.PolicyIDs {
			p := x.c.systemByID[id]
			if p == nil || !p.identity() {
				a := x.badRequest("Invalid input: policy_ids has %q, which is no identity policy", id)
				return 0, &a
			}
			allows |= p.allows
		}
	}
	return allows, nil
}

// callerIdentity is GetCallerIdentity, which needs no permission: our inference.
func (x *call) callerIdentity() answer {
	urn, id := x.key.principal()
	return ok(mustJSON(struct {
		AccountID    string `json:"account_id"`
		PrincipalURN string `json:"principal_urn"`
		PrincipalID  string `json:"principal_id"`
	}{x.account.id, urn, id}))
}

package simcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// maxAgencies and maxGrants are quotas (facts 10.3). How their excess is refused is our inference.
const (
	maxAgencies = 50
	maxGrants   = 200
)

// agencyBody is an agency as IAM v3 shows it (facts 1.1).
type agencyBody struct {
	ID              string  `json:"id"`
	Name            string  `json:"name"`
	DomainID        string  `json:"domain_id"`
	TrustDomainID   string  `json:"trust_domain_id"`
	TrustDomainName string  `json:"trust_domain_name,omitempty"`
	Description     string  `json:"description"`
	Duration        *string `json:"duration"`
	ExpireTime      *string `json:"expire_time"`
	CreateTime      string  `json:"create_time"`
	URN             string  `json:"agency_urn"`
}

func (x *call) agencyBody(g *agency) agencyBody {
	b := agencyBody{
		ID: g.id, Name: g.name, DomainID: x.account.id,
		TrustDomainID: g.trust.ID, TrustDomainName: x.trustName(g.trust),
		Description: g.description, CreateTime: g.createdAt.Format(x.s.timeLayout),
		URN: agencyURN(x.account, g),
	}
	if g.expiresAt.IsZero() {
		if x.s.Switches.UnlimitedDuration != "null" {
			forever := "FOREVER"
			b.Duration = &forever
		}
		return b
	}
	hours, end := strconv.Itoa(g.hours), g.expiresAt.Format(x.s.timeLayout)
	b.Duration, b.ExpireTime = &hours, &end
	return b
}

func agencyURN(a *account, g *agency) string { return "iam::" + a.id + ":agency:" + g.name }

// trustName is the trusted account's name as answers show it; empty leaves it out.
func (x *call) trustName(t trust) string {
	switch {
	case t.HideName:
		return ""
	case !t.service:
		return t.shown().Name
	}
	switch x.s.Switches.TrustNameCase {
	case "absent":
		return ""
	case "upper":
		const prefix = "op_svc_"
		if name, ok := strings.CutPrefix(strings.ToLower(t.Name), prefix); ok {
			return prefix + strings.ToUpper(name)
		}
		return strings.ToUpper(t.Name)
	}
	return strings.ToLower(t.Name)
}

// listed are the account's agencies as the list that is asked for shows them.
func (x *call) listed() []*agency { return x.account.listed(x.now, x.s.delays[x.op.index]) }

// listAgencies is facts 1.1.
func (x *call) listAgencies() answer {
	if a := x.ownQuery(true); a != nil {
		return *a
	}
	page, a := x.paging(500)
	if a != nil {
		return *a
	}
	name, byName := x.get("name")
	trusted, byTrust := x.get("trust_domain_id")
	rows := []agencyBody{}
	for _, g := range x.listed() {
		if g.trustPolicy != nil {
			continue
		}
		if byName {
			switch x.s.Switches.AgencyNameFilter {
			case "exact":
				if g.name != name {
					continue
				}
			case "substring":
				if !strings.Contains(g.name, name) {
					continue
				}
			}
		}
		if !byTrust || g.trust.ID == trusted {
			rows = append(rows, x.agencyBody(g))
		}
	}
	return ok(mustJSON(struct {
		Agencies []agencyBody `json:"agencies"`
	}{append([]agencyBody{}, pageOf(page, rows)...)}))
}

func (x *call) agencyAnswer(status int, b agencyBody) answer {
	return answer{status: status, body: mustJSON(struct {
		Agency agencyBody `json:"agency"`
	}{b})}
}

func (x *call) noAgency(id string) answer {
	return x.keystone(http.StatusNotFound, "Could not find agency: %s", id)
}

// showAgency is facts 1.2.
func (x *call) showAgency() answer {
	g := findV3(x.account.truth(), x.params[0])
	if g == nil {
		return x.noAgency(x.params[0])
	}
	return x.agencyAnswer(http.StatusOK, x.agencyBody(g))
}

// agencyOptions are the bodies of facts 1.3 and 1.4.
type agencyOptions struct {
	Name            *string         `json:"name"`
	DomainID        *string         `json:"domain_id"`
	TrustDomainID   *string         `json:"trust_domain_id"`
	TrustDomainName *string         `json:"trust_domain_name"`
	Description     *string         `json:"description"`
	Duration        json.RawMessage `json:"duration"`
}

// decode reads a JSON body of one value. Members that are not known are ignored. The refusals have fixed texts: what the
// decoder says names types of this program, of which a cloud knows nothing.
func (x *call) decode(v any) *answer {
	if kind := x.r.Header.Get("Content-Type"); !strings.Contains(kind, "json") {
		a := x.badRequest("Expecting to find valid JSON in the request body: the content type is %q", kind)
		return &a
	}
	d := json.NewDecoder(bytes.NewReader(x.body))
	if err := d.Decode(v); err != nil {
		why := "it cannot be read"
		if wrong := (*json.UnmarshalTypeError)(nil); errors.As(err, &wrong) {
			why = "a member is of the wrong type"
		}
		a := x.badRequest("Expecting to find valid JSON in the request body: %s", why)
		return &a
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		a := x.badRequest("Expecting to find valid JSON in the request body: there is more after it")
		return &a
	}
	return nil
}

// options reads and checks what creating and updating have in common.
func (x *call) options() (agencyOptions, *answer) {
	var body struct {
		Agency *agencyOptions `json:"agency"`
	}
	if a := x.decode(&body); a != nil {
		return agencyOptions{}, a
	}
	if body.Agency == nil {
		a := x.badRequest("Expecting to find agency in the request body")
		return agencyOptions{}, &a
	}
	if d := body.Agency.Description; d != nil &&
		(utf8.RuneCountInString(*d) > 255 || strings.ContainsAny(*d, `@#$%^&*<>\`)) {
		a := x.badRequest(`Invalid input: description has more than 255 characters or one of @#$%%^&*<>\`)
		return agencyOptions{}, &a
	}
	return *body.Agency, nil
}

// trusted finds the account that the options trust; the name wins when both are given (facts 1.3).
func (x *call) trusted(o agencyOptions) (trust, *answer) {
	var want Trust
	if o.TrustDomainID != nil {
		want.ID = *o.TrustDomainID
	}
	if o.TrustDomainName != nil && *o.TrustDomainName != "" {
		want = Trust{Name: *o.TrustDomainName}
	}
	missing := func(what string) (trust, *answer) {
		a := x.keystone(http.StatusNotFound, "Could not find domain: %s", what)
		return trust{}, &a
	}
	if want.ID == "" && want.Name == "" {
		a := x.badRequest("Invalid input: trust_domain_id or trust_domain_name is required")
		return trust{}, &a
	}
	if want.Name == "" {
		name, service := x.c.accountName(want.ID)
		if name == "" {
			return missing(want.ID)
		}
		return trust{Trust: Trust{ID: want.ID, Name: name}, service: service,
			account: x.c.directory.Load().byID[want.ID]}, nil
	}
	t, err := x.c.resolveTrust(want)
	if err == nil {
		return t, nil
	}
	for _, id := range sortedKeys(x.c.outside) {
		if x.c.outside[id] == want.Name {
			return trust{Trust: Trust{ID: id, Name: want.Name}}, nil
		}
	}
	return missing(want.Name)
}

// duration reads the most easily misread member (facts 1.6): FOREVER, ONEDAY, or days as a number or a string. Zero is
// for ever.
func (x *call) duration(raw json.RawMessage) (time.Duration, *answer) {
	text := string(raw)
	var s string
	if json.Unmarshal(raw, &s) == nil && text != "null" {
		text = s
	}
	switch text {
	case "", "null", "FOREVER":
		return 0, nil
	case "ONEDAY":
		return 24 * time.Hour, nil
	}
	const century = 36500
	days, err := decimal(text)
	if err != nil || days < 1 || days > century {
		a := x.badRequest("Invalid input: duration is %s, must be FOREVER, ONEDAY or a number of days", raw)
		return 0, &a
	}
	return time.Duration(days) * 24 * time.Hour, nil
}

// refusal is an answer on its way out of a change.
type refusal struct{ answer answer }

func (refusal) Error() string { return "refused" }

// write applies a change and journals it, or returns the answer by which the change was refused.
func (x *call) write(do transition, entries func() []Write) *answer {
	err := x.account.write(x.now, x.s.maxDelay, do, func(changed bool) {
		for _, w := range entries() {
			w.Time, w.AccountID, w.Account = x.now, x.account.id, x.account.name()
			w.Operation, w.Actor, w.RequestID = x.op.name, x.key.actor(), x.id
			w.NoChange = w.NoChange || !changed
			x.c.journal.add(w)
		}
	})
	if err == nil {
		return nil
	}
	r := refusal{x.keystone(http.StatusInternalServerError, "%v", err)}
	errors.As(err, &r)
	return &r.answer
}

// createAgency is facts 1.3. The answer has no trust_domain_name. Which characters a name may not have is our inference:
// a slash would end it in a urn or a path, and a control character in a line of text.
func (x *call) createAgency() answer {
	o, a := x.options()
	if a != nil {
		return *a
	}
	switch {
	case o.Name == nil || *o.Name == "" || utf8.RuneCountInString(*o.Name) > 64:
		return x.badRequest("Invalid input: name is required and has at most 64 characters")
	case strings.Contains(*o.Name, "/") || strings.ContainsFunc(*o.Name, unicode.IsControl):
		return x.badRequest("Invalid input: name must have no slash and no control character")
	case o.DomainID == nil:
		return x.badRequest("Invalid input: domain_id is required")
	}
	if a := x.own(*o.DomainID); a != nil {
		return *a
	}
	t, a := x.trusted(o)
	if a != nil {
		return *a
	}
	d, a := x.duration(o.Duration)
	if a != nil {
		return *a
	}
	g := &agency{id: requestID(), name: *o.Name, trust: t, createdAt: x.now, maxSession: defaultSession}
	if o.Description != nil {
		g.description = *o.Description
	}
	if d > 0 {
		g = g.validFor(x.now, x.now.Add(d))
	}
	a = x.write(func(agencies []*agency) ([]*agency, error) {
		for _, other := range agencies {
			if other.name == g.name {
				return nil, refusal{x.keystone(http.StatusConflict, "Conflict occurred attempting to store agency: "+
					"the name %s is taken", g.name)}
			}
		}
		if len(agencies) >= maxAgencies {
			return nil, refusal{x.keystone(http.StatusForbidden, "The quota of %d agencies is exceeded", maxAgencies)}
		}
		return append(agencies[:len(agencies):len(agencies)], g), nil
	}, func() []Write { return []Write{{AgencyID: g.id, Agency: g.name}} })
	if a != nil {
		return *a
	}
	b := x.agencyBody(g)
	b.TrustDomainName = ""
	return x.agencyAnswer(http.StatusCreated, b)
}

// updateAgency is facts 1.4. That a new duration counts from now, and that the answer has no trust_domain_name as the
// SDK's model of it has none, is our inference.
func (x *call) updateAgency() answer {
	o, a := x.options()
	if a != nil {
		return *a
	}
	retrust := o.TrustDomainID != nil || o.TrustDomainName != nil
	switch {
	case o.Name != nil:
		return x.badRequest("Invalid input: the name of an agency cannot be changed")
	case !retrust && o.Description == nil && o.Duration == nil:
		return x.badRequest("Invalid input: one of trust_domain_id, trust_domain_name, description, duration is required")
	}
	var t trust
	if retrust {
		if t, a = x.trusted(o); a != nil {
			return *a
		}
	}
	d, a := x.duration(o.Duration)
	if a != nil {
		return *a
	}
	var next *agency
	a = x.write(func(agencies []*agency) ([]*agency, error) {
		g := findV3(agencies, x.params[0])
		if g == nil {
			return nil, refusal{x.noAgency(x.params[0])}
		}
		n := *g
		if retrust {
			n.trust = t
		}
		if o.Description != nil {
			n.description = *o.Description
		}
		next = &n
		switch {
		case o.Duration != nil && d == 0:
			next = n.validFor(x.now, time.Time{})
		case o.Duration != nil:
			next = n.validFor(x.now, x.now.Add(d))
		}
		if next.trust == g.trust && next.description == g.description && next.expiresAt.Equal(g.expiresAt) {
			return agencies, nil
		}
		return replace(agencies, next), nil
	}, func() []Write { return []Write{{AgencyID: next.id, Agency: next.name}} })
	if a != nil {
		return *a
	}
	b := x.agencyBody(next)
	b.TrustDomainName = ""
	return x.agencyAnswer(http.StatusOK, b)
}

// deleteAgency is facts 1.5: grants vanish with the agency, attached identity policies keep it alive. The status of
// that refusal is our inference.
func (x *call) deleteAgency() answer {
	var gone *agency
	a := x.write(func(agencies []*agency) ([]*agency, error) {
		if gone = findV3(agencies, x.params[0]); gone == nil {
			return nil, refusal{x.noAgency(x.params[0])}
		}
		if len(gone.attached) > 0 {
			return nil, refusal{x.keystone(http.StatusConflict,
				"The agency %s has identity policies attached, detach them first", gone.id)}
		}
		return without(agencies, gone.id), nil
	}, func() []Write { return []Write{{AgencyID: gone.id, Agency: gone.name}} })
	if a != nil {
		return *a
	}
	return noContent()
}

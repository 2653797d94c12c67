package huawei

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// expiryMargin is how long before their end assumed keys are no longer begun with.
const expiryMargin = 5 * time.Minute

// door is the way into one account, with the temporary keys that are still good.
type door struct {
	access Access
	// lane is what is minded of the requests with the account's keys.
	lane *lane
	// turn holds a token while nobody assumes; whoever holds the token may touch pass.
	turn chan struct{}
	pass pass
}

// pass is what a sweep reads an account with.
type pass struct {
	keys Keys
	// expires is zero for permanent keys.
	expires time.Time
	// used says that the keys were not made for this sweep.
	used bool
}

func newDoor(a Access) *door {
	d := &door{access: a, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d
}

// holder says whose keys the account is read with.
func (d *door) holder() holder {
	if d.access.Agency != "" {
		return assumedKeys
	}
	return ownKeys
}

// enter returns keys for the account: its own, the ones that were assumed before, or new ones.
func (c *Cloud) enter(ctx context.Context, account rules.Account, d *door) (pass, *rules.Unknown) {
	if d.access.Agency == "" {
		return pass{keys: d.access.Keys}, nil
	}
	select {
	case <-d.turn:
	case <-ctx.Done():
		return pass{}, c.cutShort(ctx, "waiting to enter the account")
	}
	defer func() { d.turn <- struct{}{} }()
	if f := d.lane.breaker.refuses(); f != nil { // another sweep has tried in the meantime
		return pass{}, c.notRead(d, f)
	}
	if !d.pass.keys.IsZero() && c.now().Before(d.pass.expires.Add(-expiryMargin)) {
		p := d.pass
		p.used = true
		return p, nil
	}
	p, u := c.assume(ctx, account, d.access.Agency)
	if u != nil {
		return pass{}, u
	}
	d.pass = p
	return p, nil
}

// notRead is why an account is not read, by its breaker.
func (c *Cloud) notRead(d *door, f *fault) *rules.Unknown {
	return &rules.Unknown{
		Reason: f.reason, Detail: "reading the account: " + f.detail, Remedy: c.remedy(opAgencies, f, d.holder()), RequestID: f.requestID,
	}
}

// forget drops the kept keys if they are still those of p.
func (d *door) forget(ctx context.Context, p pass) {
	select {
	case <-d.turn:
		if d.pass.keys == p.keys {
			d.pass = pass{}
		}
		d.turn <- struct{}{}
	case <-ctx.Done():
	}
}

// worn says whether a refusal of the keys can be put down to their age: they end soon, or they were made for an earlier
// sweep, since when the agency may have been made anew.
func (c *Cloud) worn(p pass) bool {
	return !p.expires.IsZero() && (p.used || !c.now().Before(p.expires.Add(-expiryMargin)))
}

// assume makes temporary keys for the account (facts 6.1).
func (c *Cloud) assume(ctx context.Context, account rules.Account, agency string) (p pass, u *rules.Unknown) {
	w, done := c.newWire(ctx, c.main.keys, c.log.With("account_id", account.ID))
	defer done()
	w.account = account.ID
	refusal := c.confirm(ctx)
	if refusal == nil {
		// The turn is waited for beforehand, so that few requests are on their way when the key turns out to be refused.
		if err := w.queue(opAssume); err != nil {
			f := w.late(err)
			refusal = &rules.Unknown{Reason: f.reason, Detail: f.detail, Remedy: c.remedy(opAssume, f, mainKeys)}
		}
	}
	var settle func(u *rules.Unknown, proves bool)
	if refusal == nil {
		w.paid.Add(1)
		settle, refusal = c.admit(ctx)
	}
	if refusal != nil {
		u := *refusal
		u.Detail = "the account was not entered: " + u.Detail
		return pass{}, &u
	}
	status := 0
	defer func() {
		settle(u, u == nil || proves(status))
		c.cfg.Meter.Refreshed("iam", u == nil)
	}()
	fail := func(f *fault) *rules.Unknown {
		status = f.status
		if f.status == 404 {
			// An agency that does not exist is answered with 403 or with 404: nothing documented says which (facts 6.1).
			f.reason, f.rejection = rules.ReasonDenied, ""
		}
		return c.unknown(opAssume, fmt.Sprintf("assuming the agency %q", agency), f, mainKeys)
	}
	requests, err := w.dial(c.main.AccountID)
	if err != nil {
		return pass{}, fail(lie(rules.ReasonUnauthenticated, "%v", err).as(""))
	}
	seconds := int32(c.cfg.SessionDuration / time.Second)
	resp, requestID, err := requests.assume(&model.CreateTemporaryAccessKeyByAgencyRequest{
		Body: &model.CreateTemporaryAccessKeyByAgencyRequestBody{Auth: &model.AgencyAuth{Identity: &model.AgencyAuthIdentity{
			Methods: []model.AgencyAuthIdentityMethods{model.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
			AssumeRole: &model.IdentityAssumerole{
				AgencyName: agency, DomainId: &account.ID, DurationSeconds: &seconds,
				SessionUser: &model.AssumeroleSessionuser{Name: &c.cfg.SessionName},
			},
		}}},
	})
	if err != nil {
		f := asFault(opAssume, err)
		if f.status == 401 {
			// Be it about this account alone: the main identity's key is not used for it again in this run.
			c.doors[account.ID].lane.breaker.bar(f, true)
		}
		return pass{}, fail(f)
	}
	reject := func(what string) (pass, *rules.Unknown) {
		f := lie(rules.ReasonRejected, "the cloud answered with %s", what).as(rejectedItem)
		f.requestID = cleanID(requestID)
		return pass{}, fail(f)
	}
	cr := resp.Credential
	p = pass{keys: Keys{
		AccessKey: NewSecret(cr.Access), SecretKey: NewSecret(cr.Secret), SecurityToken: NewSecret(cr.Securitytoken),
	}}
	if p.keys.check() != nil || p.keys.SecurityToken.IsZero() {
		return reject("half a temporary key")
	}
	if p.expires, err = parseTime(cr.ExpiresAt); err != nil {
		return reject("a temporary key whose end cannot be read")
	}
	if !p.expires.After(c.now()) {
		return reject(fmt.Sprintf("a temporary key that ended at %s", p.expires.Format(time.RFC3339)))
	}
	c.log.Debug("account entered", "account", account.Name, "account_id", account.ID, "agency", agency, "expires_at", p.expires)
	return p, nil
}

// proves says whether an answer with a status, to an assumption that did not succeed, shows that the cloud took the signature for
// good: it looked at what was asked. A gateway that is busy or broken may not have looked at all.
func proves(status int) bool {
	return status >= 200 && status < 500 && status != http.StatusUnauthorized && status != http.StatusTooManyRequests
}

// timeLayouts are the forms in which the API writes times; a fraction of a second may follow the seconds of each (facts
// 1.1). Without a zone they are in UTC.
var timeLayouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05",
}

// parseTime reads a time of the API, in UTC. It never returns the zero time without an error.
func parseTime(text string) (time.Time, error) {
	const hour = "2006-01-02T15"
	if len(text) > len(hour) && text[len(hour)] == ':' { // the library takes an hour of one digit too, of which one may be lost
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, text); err == nil && !t.IsZero() {
				return t.UTC(), nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("the time %q cannot be read", shorten(text))
}

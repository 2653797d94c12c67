package huawei

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	modelsts "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/sts/v1/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// expiryMargin is how long before their end assumed keys are no longer begun with.
const expiryMargin = 5 * time.Minute

// door is the way into one account, with the temporary keys that are still good.
type door struct {
	access Access
	// ofMain says that the account is the main identity's, and read with its keys, which may change; kept that it is there by Keep.
	ofMain, kept bool
	// lane is what is minded of the requests with the account's keys.
	lane *lane
	// turn holds a token while nobody assumes; whoever holds the token may touch pass.
	turn chan struct{}
	pass pass
	// respite is until when the account is not entered.
	respite respite
}

// pass is what a sweep reads an account with.
type pass struct {
	keys Keys
	// expires is zero for permanent keys.
	expires time.Time
	// used says that the keys were not made for this sweep.
	used bool
	// placed says that the cloud was asked whose assumed keys are, and did not say that they are another account's.
	placed bool
}

func (c *Cloud) newDoor(a Access) *door {
	d := &door{access: a, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	d.lane = c.newLane(c.cfg.Rate.PerAccount, accountBounds, &c.pauses.account, "this account")
	d.lane.places = make(chan struct{}, outstanding)
	return d
}

// doors are the ways into accounts, by account id.
type doors struct {
	mu   sync.RWMutex
	byID map[string]*door
	// lanes are those of the permanent keys, the main identity's included. Another secret makes it another key: that it is refused
	// says nothing about the right one.
	lanes map[Keys][]*lane
}

// add takes a door in, with which an account is entered. The caller holds the lock, unless nobody else knows the doors.
func (ds *doors) add(accountID string, d *door) {
	ds.byID[accountID] = d
	ds.sign(d.access.Keys, d.lane)
}

// sign takes note of which keys the requests of a lane are signed with. The caller holds the lock, as for add.
func (ds *doors) sign(k Keys, l *lane) {
	if !k.IsZero() {
		ds.lanes[k] = append(ds.lanes[k], l)
	}
}

// signing returns the lanes whose requests are signed with a key, but for one of them.
func (ds *doors) signing(k Keys, but *lane) []*lane {
	ds.mu.RLock()
	defer ds.mu.RUnlock()
	all := ds.lanes[k]
	if len(all) < 2 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(l *lane) bool { return l == but })
}

// share has all that sign with one key know what came of a request of l: that the key was refused, or that it is good again.
// The cloud counts the refusals of a key, whoever uses it.
func (c *Cloud) share(k Keys, l *lane, given leave, v verdict, f *fault) {
	switch {
	case v == barred:
		for _, other := range c.doors.signing(k, l) {
			other.breaker.bar(f, false)
		}
	case v == served && given.trial:
		for _, other := range c.doors.signing(k, l) {
			other.breaker.pardon()
		}
	}
}

// count returns how many there are.
func (ds *doors) count() int {
	ds.mu.RLock()
	defer ds.mu.RUnlock()
	return len(ds.byID)
}

// door returns the way into an account: its own, or the one into members. It is nil when there is none.
func (c *Cloud) door(accountID string) *door {
	ds := &c.doors
	ds.mu.RLock()
	d := ds.byID[accountID]
	ds.mu.RUnlock()
	if d != nil || c.cfg.Members.isZero() || !isID(accountID) {
		return d
	}
	ds.mu.Lock()
	defer ds.mu.Unlock()
	if d = ds.byID[accountID]; d == nil {
		d = c.newDoor(c.cfg.Members)
		ds.add(accountID, d)
	}
	return d
}

// Keep has accounts entered by these ways that Config.Accounts does not name, and those of the call before no longer by theirs. It
// changes nothing about the main identity's own account. Ways that this Cloud could not use are left out. Nobody may be reading.
func (c *Cloud) Keep(ways map[string]Access) {
	ds := &c.doors
	for _, d := range ds.keep(c, ways) {
		d.lane.breaker.retire()
	}
}

// keep returns the doors that are given up for it.
func (ds *doors) keep(c *Cloud, ways map[string]Access) (given []*door) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	giveUp := func(id string, d *door) {
		delete(ds.byID, id)
		ds.unsign(d.access.Keys, d.lane)
		given = append(given, d)
	}
	for id, d := range ds.byID {
		if way, still := ways[id]; d.kept && (!still || way != d.access) {
			giveUp(id, d)
		}
	}
	for id, way := range ways {
		d := ds.byID[id]
		_, named := c.cfg.Accounts[id]
		if named || d != nil && (d.ofMain || d.kept) || !isID(id) || way.check(c.site) != nil || way.Agency != "" && !c.main.exists() {
			continue
		}
		if d != nil { // the way into members
			giveUp(id, d)
		}
		d = c.newDoor(way)
		d.kept = true
		ds.add(id, d)
	}
	return given
}

// unsign takes note that no request of lanes is signed with a key any more. The caller holds the lock.
func (ds *doors) unsign(k Keys, lanes ...*lane) {
	if left := slices.DeleteFunc(slices.Clone(ds.lanes[k]), func(l *lane) bool { return slices.Contains(lanes, l) }); len(left) > 0 {
		ds.lanes[k] = left
	} else {
		delete(ds.lanes, k)
	}
}

// Inherit takes over the assumed keys of a Cloud that is given up, as far as this one would make the same: in the name of the same main
// identity, at the same addresses, by the same way into the account. Nothing else of it counts, refusals least of all. Neither may be
// in use.
func (c *Cloud) Inherit(old *Cloud) {
	if !c.cfg.Main.same(old.cfg.Main) || c.cfg.Endpoints != old.cfg.Endpoints || c.cfg.Region != old.cfg.Region ||
		!bytes.Equal(c.cfg.CAPEM, old.cfg.CAPEM) || c.cfg.SessionName != old.cfg.SessionName {
		return
	}
	old.doors.mu.RLock()
	defer old.doors.mu.RUnlock()
	for id, was := range old.doors.byID {
		var p pass
		select {
		case <-was.turn: // else somebody who was given up is still about to assume
			p = was.pass
			was.turn <- struct{}{}
		default:
		}
		if p.keys.IsZero() || !c.now().Before(p.expires) {
			continue
		}
		if d := c.door(id); d != nil && d.access == was.access {
			d.pass = p
		}
	}
}

// holder says whose keys the account is read with.
func (d *door) holder() holder {
	switch {
	case d.access.Agency != "":
		return assumedKeys
	case d.ofMain:
		return mainKeys
	}
	return ownKeys
}

// enter returns keys for the account: its own, the ones that were assumed before, or new ones. Assumed keys are known not to be
// another account's, unless blind says that the caller asks whose they are. Its error is a *rules.Unknown or wraps one.
func (c *Cloud) enter(ctx context.Context, account rules.Account, d *door, blind bool) (pass, error) {
	switch {
	case d.ofMain && c.main.fetch != nil:
		p, u := c.borrow(ctx)
		if u != nil {
			return pass{}, c.notEntered(ctx, d, u)
		}
		return p, nil
	case d.access.Agency == "":
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
	p := d.pass
	p.used = true
	if p.keys.IsZero() || !c.now().Before(p.expires.Add(-expiryMargin)) {
		if f := d.respite.rest(ctx, c); f != nil {
			return pass{}, &rules.Unknown{
				Reason: f.reason, Detail: "the account was not entered: " + f.detail,
				Remedy: c.remedy(assumptionBy(d.access.Via).op, f, mainKeys),
			}
		}
		var u *rules.Unknown
		if p, u = c.assume(ctx, account, d); u != nil {
			return pass{}, c.notEntered(ctx, d, u)
		}
	}
	if !blind && !p.placed {
		if u := c.place(ctx, account, d, p); u != nil {
			d.pass = pass{}
			d.bar(p, u)
			return pass{}, u
		}
		p.placed = true
	}
	d.pass = p
	return p, nil
}

// place says why assumed keys may be another account's; nil when they are not. To say that they are of none tells nothing, which some
// keys may be answered: what is read with them then does.
func (c *Cloud) place(ctx context.Context, account rules.Account, d *door, p pass) *rules.Unknown {
	w, done := c.newWire(ctx, p.keys, c.log.With("account_id", account.ID))
	defer done()
	w.account, w.by, w.lane, w.aside = account.ID, d.holder(), d.lane, true
	s := &sweep{cloud: c, account: account, wire: w, by: d.holder()}
	var err error
	if s.api, err = w.dial(account.ID); err == nil {
		err = s.ownKey(false)
	}
	if err != nil {
		return asUnknown(err)
	}
	return nil
}

// bar keeps the account from being asked with keys that were refused though they were new.
func (d *door) bar(p pass, u *rules.Unknown) {
	if d.lane.buried(p.keys) {
		d.lane.breaker.bar(&fault{reason: u.Reason, detail: u.Detail, requestID: u.RequestID}, false)
	}
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

// assumption is how one service lets an agency be assumed.
type assumption struct {
	op op
	// way is what Meter hears.
	way string
	// most is how long its keys may last.
	most time.Duration
	// ask sends the request for keys that last that long. flaw says what is wrong with the answer; it is empty when nothing is.
	ask func(c *Cloud, requests api, accountID string, a Access, lasting time.Duration) (p pass, flaw, requestID string, err error)
}

// assumptionBy is that of a service.
func assumptionBy(v Via) assumption {
	if v == ViaSTS {
		return assumption{op: opAssumeSTS, way: "sts", most: longestSTS, ask: (*Cloud).askSTS}
	}
	return assumption{op: opAssume, way: "iam", most: longestIAM, ask: (*Cloud).askIAM}
}

// longestIAM and longestSTS are how long keys of either may last, and longestChained those of STS that were made with a temporary
// key (facts 6.1, 6.2).
const longestIAM, longestSTS, longestChained = 24 * time.Hour, 12 * time.Hour, time.Hour

// take assumes an agency of an account with the keys of a wire, which are those of an identity, and returns what came once nothing
// is wrong with it.
func (c *Cloud) take(w *wire, m *identity, accountID string, a Access, lasting time.Duration) (pass, *fault) {
	by := assumptionBy(a.Via)
	requests, err := w.dial(m.AccountID)
	if err != nil {
		return pass{}, lie(rules.ReasonUnauthenticated, "%v", err).as("")
	}
	lasting = min(lasting, by.most)
	if a.Via == ViaSTS && !w.keys.SecurityToken.IsZero() {
		lasting = min(lasting, longestChained)
	}
	p, flaw, requestID, err := by.ask(c, requests, accountID, a, lasting)
	if err != nil {
		f := asFault(by.op, err)
		if f.status == http.StatusNotFound {
			// An agency that does not exist is answered with 403 or with 404: nothing documented says which (facts 6.1).
			f.reason, f.rejection = rules.ReasonDenied, ""
		}
		return pass{}, f
	}
	switch {
	case p.keys.check() != nil || p.keys.SecurityToken.IsZero():
		flaw = "half a temporary key"
	case flaw != "":
		flaw = p.keys.scrub(flaw)
	case !p.expires.After(c.now()):
		flaw = fmt.Sprintf("a temporary key that ended at %s", p.expires.Format(time.RFC3339))
	default:
		return p, nil
	}
	f := lie(rules.ReasonRejected, "the cloud answered with %s", flaw).as(rejectedItem)
	f.requestID = cleanID(requestID)
	return pass{}, f
}

// askIAM assumes an agency (facts 6.1). The answer does not say whose keys these are: that is asked before anything is read with them.
// What is read says so as well: each row bears the account.
func (c *Cloud) askIAM(
	requests api, accountID string, a Access, lasting time.Duration,
) (p pass, flaw, requestID string, err error) {
	seconds := int32(lasting / time.Second)
	resp, requestID, err := requests.assume(&model.CreateTemporaryAccessKeyByAgencyRequest{
		Body: &model.CreateTemporaryAccessKeyByAgencyRequestBody{Auth: &model.AgencyAuth{Identity: &model.AgencyAuthIdentity{
			Methods: []model.AgencyAuthIdentityMethods{model.GetAgencyAuthIdentityMethodsEnum().ASSUME_ROLE},
			AssumeRole: &model.IdentityAssumerole{
				AgencyName: a.Agency, DomainId: &accountID, DurationSeconds: &seconds,
				SessionUser: &model.AssumeroleSessionuser{Name: &c.cfg.SessionName},
			},
		}}},
	})
	if err != nil {
		return p, "", requestID, err
	}
	cr := resp.Credential
	p.keys = Keys{
		AccessKey: NewSecret(cr.Access), SecretKey: NewSecret(cr.Secret), SecurityToken: NewSecret(cr.Securitytoken),
	}
	if p.expires, err = parseTime(cr.ExpiresAt); err != nil {
		flaw = "a temporary key whose end cannot be read"
	}
	return p, flaw, requestID, nil
}

// askSTS assumes an agency or a trust agency (facts 6.2). The answer says whose session it is.
func (c *Cloud) askSTS(
	requests api, accountID string, a Access, lasting time.Duration,
) (p pass, flaw, requestID string, err error) {
	seconds := int32(lasting / time.Second)
	body := &modelsts.AssumeAgencyReqBody{
		AgencyUrn: "iam::" + accountID + ":agency:" + a.Agency, AgencySessionName: c.cfg.SessionName, DurationSeconds: &seconds,
	}
	if a.ExternalID != "" {
		body.ExternalId = &a.ExternalID
	}
	asked := c.now()
	resp, requestID, err := requests.assumeSTS(&modelsts.AssumeAgencyRequest{Body: body})
	if err != nil {
		return p, "", requestID, err
	}
	cr := resp.Credentials
	p.keys = Keys{
		AccessKey: NewSecret(cr.AccessKeyId), SecretKey: NewSecret(cr.SecretAccessKey), SecurityToken: NewSecret(cr.SecurityToken),
	}
	// The SDK's decoder takes no notice of a zone that is written as an offset, so that the end may seem later than it is.
	if p.expires = time.Time(*cr.Expiration).UTC(); p.expires.After(asked.Add(lasting)) {
		p.expires = asked.Add(lasting)
	}
	p.placed = true
	session := resp.AssumedAgency
	if want := "sts::" + accountID + "::assumed-agency:" + a.Agency + "/" + c.cfg.SessionName; session.Urn != want {
		return p, fmt.Sprintf("a temporary key of %q, which was not asked for", shorten(session.Urn)), requestID, nil
	}
	if id, name, _ := strings.Cut(session.Id, ":"); !isID(id) || name != c.cfg.SessionName {
		flaw = fmt.Sprintf("a temporary key of the session %q, which was not asked for", shorten(session.Id))
	}
	return p, flaw, requestID, nil
}

// assume makes temporary keys for the account.
func (c *Cloud) assume(ctx context.Context, account rules.Account, d *door) (p pass, u *rules.Unknown) {
	by := assumptionBy(d.access.Via)
	w, done := c.newWire(ctx, c.main.current().keys, c.log.With("account_id", account.ID))
	defer done()
	w.account, w.about = account.ID, &d.respite
	refusal := c.confirm(ctx)
	if refusal == nil {
		// The turn is waited for beforehand, so that few requests are on their way when the key turns out to be refused.
		if err := w.queue(by.op); err != nil {
			f := w.late(err)
			refusal = &rules.Unknown{Reason: f.reason, Detail: f.detail, Remedy: c.remedy(by.op, f, mainKeys)}
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
		c.cfg.Meter.Refreshed(by.way, u == nil)
	}()
	w.keys = c.main.current().keys // which may be others by now
	p, f := c.take(w, c.main, account.ID, d.access, c.cfg.SessionDuration)
	if f != nil {
		status = f.status
		if f.status == http.StatusUnauthorized {
			// Be it about this account alone: the main identity's key is not used for it again in this run.
			d.lane.breaker.bar(f, true)
		}
		return pass{}, c.unknown(by.op, fmt.Sprintf("assuming the agency %q", d.access.Agency), f, mainKeys)
	}
	c.log.Debug("account entered", "account", account.Name, "account_id", account.ID, "agency", d.access.Agency, "expires_at", p.expires)
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

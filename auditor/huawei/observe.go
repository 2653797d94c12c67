package huawei

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"unique"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Page sizes: the most that each list allows (facts 1.1, 2.5, 3.1, 8).
const (
	agenciesPerPage    = 500
	assignmentsPerPage = 50
	attachedPerPage    = 200
	cataloguePerPage   = 300
)

// Observe reads one account. See auditor.Observer.
func (c *Cloud) Observe(
	ctx context.Context, account rules.Account, b rules.Baseline, last rules.Last,
) (ev rules.Evidence, trail auditor.Trail, err error) {
	defer c.rescue(&err)
	d := c.door(account.ID)
	switch {
	case d == nil:
		return ev, trail, &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "no access to the account is configured",
			Remedy: "configure keys of the account, or an agency of it that the main identity can assume",
		}
	case d.access.Agency == b.Agency:
		return ev, trail, &rules.Unknown{
			Reason: rules.ReasonDenied,
			Detail: fmt.Sprintf("the agency %q is what is audited; it is never assumed", b.Agency),
			Remedy: "configure another agency, made for reading",
		}
	}
	purse := c.newPurse()
	for first := true; ; first = false {
		if f := d.lane.breaker.refuses(); f != nil {
			return ev, trail, c.notRead(d, f)
		}
		// Evidence is of one set of keys: an observation that outlives its keys begins anew, once.
		started := c.now()
		p, err := c.enter(ctx, account, d, false)
		if err != nil {
			return ev, trail, err
		}
		o, u := c.sweep(ctx, account, b, last, d, p, purse, &trail)
		if u == nil {
			o.StartedAt, o.EndedAt = started, c.now()
			ev, err = rules.NewEvidence(b, last, o)
			if why, ok := errors.AsType[*rules.Unknown](err); ok {
				if why.Reason == rules.ReasonDisagree {
					c.cfg.Meter.Rejected(rejectedWitness)
					why.Detail += "; rejected: " + rejectedWitness
				}
				why.Remedy = cmp.Or(why.Remedy, c.doubtRemedy(why.Reason))
			}
			return ev, trail, err
		}
		if u.Reason != rules.ReasonUnauthenticated {
			return ev, trail, u
		}
		d.forget(ctx, p)
		if !c.worn(p) || !first {
			d.bar(p, u)
			return ev, trail, u
		}
		c.log.Info("keys of an account ended while it was read; beginning anew", "account", account.Name, "account_id", account.ID)
	}
}

// sweep is one reading of one account with one set of keys.
type sweep struct {
	cloud   *Cloud
	account rules.Account
	by      holder
	// via is the agency by which the account was entered, if the list of agencies must show it; it does not show the trust agencies
	// that STS may have let in by. It is empty with the account's own keys.
	via  string
	wire *wire
	api  api
	// foreign says that the list of agencies showed one of another account.
	foreign bool
}

// sweep reads the account with the keys of p.
func (c *Cloud) sweep(
	ctx context.Context, account rules.Account, b rules.Baseline, last rules.Last, d *door, p pass, purse *purse, trail *auditor.Trail,
) (o rules.Observation, u *rules.Unknown) {
	w, done := c.newWire(ctx, p.keys, c.log.With("account_id", account.ID))
	defer done()
	defer func() { trail.Requests += int(w.sent.Load()) }()
	w.account, w.by, w.lane, w.purse = account.ID, d.holder(), d.lane, purse
	s := &sweep{cloud: c, account: account, wire: w, by: d.holder()}
	if d.access.Via == ViaIAM {
		s.via = d.access.Agency
	}
	var err error
	if s.api, err = w.dial(account.ID); err != nil {
		return o, &rules.Unknown{Reason: rules.ReasonUnauthenticated, Detail: err.Error()}
	}
	if o, err = s.observe(b, last); err != nil {
		if s.foreign {
			d.forget(ctx, p) // the keys may be of that account too, whatever was said when they were made
		}
		return o, asUnknown(err)
	}
	return o, nil
}

// observe makes the requests, and those of the second witnesses that the first readings call for.
func (s *sweep) observe(b rules.Baseline, last rules.Last) (rules.Observation, error) {
	o := rules.Observation{Account: s.account, AgencyName: b.Agency}
	var err error
	if o.Listed, o.ListRequestIDs, err = s.agencies(b.Agency); err != nil {
		return o, err
	}
	named := func(a rules.Agency) bool { return a.Name == b.Agency }
	i := slices.IndexFunc(o.Listed, named)
	switch {
	case i < 0:
		// A list shows nothing to a key of another account, so absence is believed of this account's alone.
		if err := s.ownKey(true); err != nil {
			return o, err
		}
		var ids []string
		o.UnfilteredAsked = true
		if o.Unfiltered, ids, err = s.agencies(""); err != nil {
			return o, err
		}
		o.ListRequestIDs = append(o.ListRequestIDs, ids...)
		if s.via != "" && !slices.ContainsFunc(o.Unfiltered, func(a rules.Agency) bool { return a.Name == s.via }) {
			f := lie(rules.ReasonIncomplete, "the list lacks the agency %q, by which the account was entered", s.via).as(rejectedWitness)
			if len(ids) > 0 {
				f.requestID = ids[0]
			}
			return o, s.fail(opAgencies, "listing the agencies", f)
		}
		s.offerCatalogue()
		return o, nil
	case slices.ContainsFunc(o.Listed[i+1:], named):
		return o, nil // NewEvidence calls it ambiguous
	}
	found := o.Listed[i]
	if o.Planes, err = s.planes(found.ID, func(p rules.Plane) bool { return last.NeedsWitness(b, p) }); err != nil {
		return o, err
	}
	for _, p := range o.Planes {
		if p.State == rules.PlaneAbsent && len(last.Planes) == 0 {
			// Nothing that is known speaks against it, so that it is for people to notice.
			s.wire.log.Info("plane taken for absent", "account", s.account.Name, "plane", string(p.Kind), "request_ids", p.RequestIDs)
		}
	}
	if err := s.names(o.Planes); err != nil {
		return o, err
	}
	if o.PoliciesAgain, err = s.policiesAgain(last.NewPolicies(o.Planes)); err != nil {
		return o, err
	}
	if last.NeedsListing(found) {
		// Last of all, so that a change during the reading is noticed.
		var ids []string
		o.ListedTwice = true
		if o.ListedAgain, ids, err = s.agencies(b.Agency); err != nil {
			return o, err
		}
		o.ListRequestIDs = append(o.ListRequestIDs, ids...)
	}
	return o, nil
}

// ownKey makes sure that the key is the account's. Asking needs no permission (facts 4). Without certain an answer that names no
// account will do: it does not speak against the key, and the rows that are read with it will say whose they are.
func (s *sweep) ownKey(certain bool) error {
	const doing = "asking whose the account's key is"
	resp, requestID, err := s.api.domains(&model.KeystoneListAuthDomainsRequest{})
	if err != nil {
		return s.fail(opDomains, doing, err)
	}
	var ids []string
	for _, d := range *resp.Domains {
		ids = append(ids, shorten(d.Id))
	}
	if len(ids) == 1 && ids[0] == s.account.ID || len(ids) == 0 && !certain {
		return nil
	}
	remedy := "configure a key of the account"
	if s.by == assumedKeys {
		remedy = "see who answers at the address of the service that let the agency be assumed"
	}
	return &rules.Unknown{
		Reason: rules.ReasonUnauthenticated,
		Detail: fmt.Sprintf("%s: the key must belong to account %s, and the cloud says that it belongs to %s",
			doing, s.account.ID, listed(ids)),
		RequestID: cleanID(requestID),
		Remedy:    remedy + "; what another account's key shows is no evidence about this one",
	}
}

// fail says in words what a request of this sweep was for and what came of it.
func (s *sweep) fail(o op, doing string, err error) *rules.Unknown {
	f := *asFault(o, err)
	f.detail = s.wire.keys.scrub(f.detail) // a row may be called anything
	return s.cloud.unknown(o, doing, &f, s.by)
}

// agencies lists the account's agencies: those of the name or, without one, all of them (facts 1.1). How the cloud
// filters is not documented, and the list has no count.
func (s *sweep) agencies(name string) (agencies []rules.Agency, requestIDs []string, err error) {
	doing := "listing the agencies"
	req := &model.ListAgenciesRequest{DomainId: s.account.ID, Page: new(int32), PerPage: new(int32)}
	*req.PerPage = agenciesPerPage
	if name != "" {
		doing, req.Name = fmt.Sprintf("looking for the agency %q", name), &name
	}
	agencies, requestIDs, err = pages(listing[rules.Agency]{
		limit: s.cloud.cfg.MaxPages, perPage: agenciesPerPage, key: func(a rules.Agency) string { return a.ID },
		fetch: func(page int, _ string) (got listPage[rules.Agency], err error) {
			*req.Page = int32(page)
			resp, requestID, err := s.api.agencies(req)
			got.requestID = requestID
			if err != nil {
				return got, err
			}
			got.rows = make([]rules.Agency, 0, len(*resp.Agencies))
			for i := range *resp.Agencies {
				a, err := s.agency(&(*resp.Agencies)[i], name)
				if err != nil {
					return got, err
				}
				got.rows = append(got.rows, a)
			}
			return got, nil
		},
		enough: func(rows []rules.Agency) bool {
			// Names are unique in an account, so a short page with the one that was asked for is the last.
			return name != "" && len(rows) < agenciesPerPage &&
				slices.ContainsFunc(rows, func(a rules.Agency) bool { return a.Name == name })
		},
	})
	if err != nil {
		return nil, nil, s.fail(opAgencies, doing, err)
	}
	return agencies, requestIDs, nil
}

// agency translates one row. The times are read of the agency that is asked for alone.
func (s *sweep) agency(r *model.AgencyListResult, name string) (rules.Agency, error) {
	a := rules.Agency{
		ID: r.Id, Name: r.Name, AccountID: deref(r.DomainId),
		Trust: rules.Trust{ID: deref(r.TrustDomainId), Name: deref(r.TrustDomainName)},
	}
	item := func(format string, args ...any) (rules.Agency, error) {
		return a, lie(rules.ReasonRejected, format, args...).as(rejectedItem)
	}
	switch {
	case a.AccountID != s.account.ID:
		s.foreign = true
		return item("the list shows the agency %q of account %q", shorten(a.Name), shorten(a.AccountID))
	case !isID(a.ID):
		return item("the list shows the agency %q with the id %q", shorten(a.Name), shorten(a.ID))
	case a.Name == "":
		return item("the list shows the agency %s without a name", a.ID)
	case name == "" || a.Name != name:
		return a, nil
	case a.Trust.ID == "":
		return a, lie(rules.ReasonIncomplete, "the agency %q comes without the id of the account it trusts", name).as(rejectedItem)
	}
	// A fleet's agencies are kept, and these words are the same in all of them.
	a.Name, a.AccountID = name, s.account.ID
	a.Trust.ID, a.Trust.Name = unique.Make(a.Trust.ID).Value(), unique.Make(a.Trust.Name).Value()
	a.CreatedAt, _ = parseTime(r.CreateTime) // zero says that it is not known
	if r.ExpireTime != "" {
		var err error
		if a.ExpiresAt, err = parseTime(r.ExpireTime); err != nil {
			// It must not read as "never".
			return item("the end of the agency's validity: %v", err)
		}
	} else if r.Duration != "" && r.Duration != "FOREVER" { // facts 1.6
		return a, lie(rules.ReasonDisagree, "the agency is valid for %q hours and has no end", shorten(r.Duration)).as(rejectedItem)
	}
	return a, nil
}

func appendID(ids []string, id string) []string {
	if id = cleanID(id); id != "" {
		ids = append(ids, id)
	}
	return ids
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

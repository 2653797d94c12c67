package huawei

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	modelorg "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/organizations/v1/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// OrganizationQuery says what of an organization is asked for beside its accounts.
type OrganizationQuery struct {
	// Tags says that the tags of every account are read.
	Tags bool
}

// Organization is every account of an organization.
type Organization struct {
	ID, ManagementAccountID string
	// Members are in the order of their ids.
	Members []Member
}

// Member is one account of an organization. Its name and status are the cloud's; a status may be a word that is not documented.
type Member struct {
	ID, Name, Status string
	// OUs are the organizational units around the account, from the one below the root to its parent.
	OUs []OU
	// Tags are nil when they were not asked for.
	Tags map[string]string
}

// OU is an organizational unit.
type OU struct{ ID, Name string }

const (
	// maxUnits and maxUnitDepth are how many organizational units there may be, and how deep. The vendor allows 1000, five
	// levels deep, and more on request (facts 7).
	maxUnits, maxUnitDepth = 10_000, 32
	// maxMembersOfAll is how many accounts there may be.
	maxMembersOfAll = 200_000
	// listers is how many requests for the organization are under way at once: as few as may be refused with one key.
	listers = maxYoung
	// tagsAge is when the tags of an account are read anew.
	tagsAge = time.Hour
)

// organizationPurse is for one listing of the organization: two requests for each unit and one for each account's tags, twice.
func organizationPurse() *purse {
	return &purse{mostRequests: 4*maxUnits + maxMembersOfAll, mostBytes: 1 << 30, mostRetries: 10 * retriesOfASweep}
}

// Organization lists the accounts of the organization of the main identity's account: all of them, or none and an error that
// wraps a *rules.Unknown.
//
// They are listed flat, and along the tree of organizational units. Both lists must show the same accounts, by the same names
// and of the same statuses, among them the management account and the main identity's own: so a list that ends early, or that an
// account moves out of sight of, is noticed. When they differ all of it is read once more, since an organization may change.
func (c *Cloud) Organization(ctx context.Context, q OrganizationQuery) (is Organization, err error) {
	defer c.rescue(&err)
	if !c.main.exists() {
		return is, &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "listing the organization: there is no main identity",
			Remedy: "configure a key of the organization's management account, or of a delegated administrator",
		}
	}
	if c.site.places[serviceOrganizations].endpoint == "" {
		return is, &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "listing the organization: the address of Organizations is not configured",
			Remedy: "name it in the configuration (cloud.endpoints.organizations)",
		}
	}
	if u := c.mayList(ctx); u != nil {
		return is, u
	}
	w, done := c.newWire(ctx, c.main.current().keys, c.log)
	defer done()
	w.purse, w.about = organizationPurse(), &c.listing
	l := &orgReader{cloud: c, wire: w}
	if l.api, err = w.dial(c.main.AccountID); err != nil {
		return is, &rules.Unknown{Reason: rules.ReasonUnauthenticated, Detail: "listing the organization: " + err.Error()}
	}
	if is, err = l.read(); isMoving(err) {
		c.log.Info("the organization is read once more, since its lists differ", "err", err)
		if is, err = l.read(); isMoving(err) {
			m, _ := errors.AsType[*movingError](err)
			u := *m.Unknown
			u.Detail += "; read once more, since the lists differed"
			if m.rejection != "" {
				c.cfg.Meter.Rejected(m.rejection)
				u.Detail += "; rejected: " + m.rejection
			}
			return Organization{}, &u
		}
	}
	if err == nil && q.Tags {
		err = l.addTags(is.Members)
	}
	if err != nil {
		return Organization{}, asUnknown(err)
	}
	return is, nil
}

// mayList says why the organization cannot be listed now. What is waited for is waited for as long as a check of the main identity may
// take: a run has more to do, and knows the accounts of the last listing.
func (c *Cloud) mayList(ctx context.Context) *rules.Unknown {
	ctx, cancel := context.WithTimeoutCause(ctx, c.listing.most, errVerifyTime)
	defer cancel()
	if f := c.listing.rest(ctx, c); f != nil {
		return c.unknown(opOrganization, "listing the organization", f, mainKeys)
	}
	return c.confirm(ctx)
}

// movingError is what may be because the organization changed while it was read.
type movingError struct {
	*rules.Unknown
	rejection string
}

// Unwrap returns the Unknown.
func (m *movingError) Unwrap() error { return m.Unknown }

func isMoving(err error) bool {
	_, ok := errors.AsType[*movingError](err)
	return ok
}

// moving makes the error of lists that do not agree.
func (l *orgReader) moving(reason rules.Reason, format string, args ...any) error {
	return &movingError{&rules.Unknown{
		Reason: reason, Detail: "listing the organization: " + l.wire.keys.scrub(fmt.Sprintf(format, args...)),
		Remedy: "nothing, if accounts are being moved at this moment; if it lasts, ask the cloud's support",
	}, rejectedWitness}
}

// orgReader lists an organization.
type orgReader struct {
	cloud *Cloud
	wire  *wire
	api   api
}

// fail says in words what a request was for and what came of it.
func (l *orgReader) fail(o op, doing string, err error) error {
	f := *asFault(o, err)
	f.detail = l.wire.keys.scrub(f.detail) // a row may be called anything
	u := l.cloud.unknown(o, doing, &f, mainKeys)
	if f.status == 404 && f.code != "" && o != opOrganization {
		return &movingError{Unknown: u} // a unit or account that is no longer there
	}
	return u
}

// of says which organization it is.
func (l *orgReader) of() (is Organization, err error) {
	const doing = "looking for the organization"
	resp, requestID, err := l.api.organization(&modelorg.ShowOrganizationRequest{})
	if err != nil {
		return is, l.fail(opOrganization, doing, err)
	}
	is.ID, is.ManagementAccountID = resp.Organization.Id, resp.Organization.ManagementAccountId
	if !isID(is.ID) || !isID(is.ManagementAccountID) {
		f := lie(rules.ReasonRejected, "it comes without ids").as(rejectedItem)
		f.requestID = cleanID(requestID)
		return is, l.fail(opOrganization, doing, f)
	}
	return is, nil
}

// read lists the organization once.
func (l *orgReader) read() (is Organization, err error) {
	if is, err = l.of(); err != nil {
		return is, err
	}
	if is.Members, err = l.members(""); err != nil {
		return is, err
	}
	tree, err := l.tree()
	if err != nil {
		return is, err
	}
	flat := make(map[string]bool, len(is.Members))
	for i := range is.Members {
		m := &is.Members[i]
		flat[m.ID] = true
		leaf, ok := tree[m.ID]
		switch {
		case !ok:
			return is, l.moving(rules.ReasonDisagree, "the list of accounts shows account %s, and no organizational unit does", m.ID)
		case leaf.Name != m.Name:
			return is, l.moving(rules.ReasonDisagree, "account %s is called %q in one list and %q in another", m.ID, shorten(m.Name),
				shorten(leaf.Name))
		case leaf.Status != m.Status:
			return is, l.moving(rules.ReasonDisagree, "account %s is %q in one list and %q in another", m.ID, shorten(m.Status),
				shorten(leaf.Status))
		}
		m.OUs = leaf.OUs
	}
	for _, id := range slices.Sorted(maps.Keys(tree)) {
		if !flat[id] {
			return is, l.moving(rules.ReasonDisagree, "an organizational unit shows account %s, and the list of accounts does not", id)
		}
	}
	for _, id := range []string{is.ManagementAccountID, l.cloud.main.AccountID} {
		if !flat[id] {
			return is, l.moving(rules.ReasonIncomplete, "account %s, which belongs to it, is not listed", id)
		}
	}
	slices.SortFunc(is.Members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	return is, nil
}

// root is the id of what all organizational units are below.
func (l *orgReader) root() (string, error) {
	const doing = "listing the roots of the organization"
	roots, err := orgList(l, opRoots, doing, func(r modelorg.RootDto) string { return r.Id },
		func(marker *string) ([]modelorg.RootDto, *modelorg.PageInfoDto, string, error) {
			resp, id, err := l.api.roots(&modelorg.ListRootsRequest{Limit: perPage(), Marker: marker})
			if err != nil {
				return nil, nil, id, err
			}
			return *resp.Roots, resp.PageInfo, id, nil
		})
	if err != nil {
		return "", err
	}
	if len(roots) != 1 {
		return "", l.fail(opRoots, doing, lie(rules.ReasonRejected, "it has %d, and one is expected", len(roots)).as(rejectedItem))
	}
	return roots[0].Id, nil
}

// tree lists the accounts along the tree of organizational units, by id.
func (l *orgReader) tree() (map[string]Member, error) {
	root, err := l.root()
	if err != nil {
		return nil, err
	}
	type node struct {
		id  string
		ous []OU
	}
	all, units := map[string]Member{}, map[string]bool{root: true}
	for level := []node{{id: root}}; len(level) > 0; {
		members, below := make([][]Member, len(level)), make([][]OU, len(level))
		err := l.each(len(level), func(i int) (err error) {
			if members[i], err = l.members(level[i].id); err == nil {
				below[i], err = l.units(level[i].id)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		var next []node
		for i, n := range level {
			for _, m := range members[i] {
				if _, ok := all[m.ID]; ok {
					return nil, l.moving(rules.ReasonDisagree, "account %s is in two organizational units", m.ID)
				}
				m.OUs = n.ous
				all[m.ID] = m
			}
			for _, u := range below[i] {
				switch {
				case units[u.ID]:
					return nil, l.moving(rules.ReasonDisagree, "the organizational unit %s is in two places", u.ID)
				case len(n.ous) == maxUnitDepth || len(units) > maxUnits:
					return nil, l.fail(opUnits, "listing the organizational units", lie(rules.ReasonBudget,
						"there are more than %d, or more than %d levels of them", maxUnits, maxUnitDepth).as(rejectedTooMany))
				}
				units[u.ID] = true
				next = append(next, node{u.ID, append(slices.Clip(slices.Clone(n.ous)), u)})
			}
		}
		level = next
	}
	return all, nil
}

// units lists the organizational units directly below a parent.
func (l *orgReader) units(parent string) ([]OU, error) {
	doing := "listing the organizational units below " + parent
	rows, err := orgList(l, opUnits, doing, func(r modelorg.OrganizationalUnitDto) string { return r.Id },
		func(marker *string) ([]modelorg.OrganizationalUnitDto, *modelorg.PageInfoDto, string, error) {
			resp, id, err := l.api.units(&modelorg.ListOrganizationalUnitsRequest{ParentId: &parent, Limit: perPage(), Marker: marker})
			if err != nil {
				return nil, nil, id, err
			}
			return *resp.OrganizationalUnits, resp.PageInfo, id, nil
		})
	if err != nil {
		return nil, err
	}
	ous := make([]OU, len(rows))
	for i, r := range rows {
		ous[i] = OU{ID: r.Id, Name: r.Name}
	}
	return ous, nil
}

// members lists the accounts directly below a parent or, without one, all of them.
func (l *orgReader) members(parent string) ([]Member, error) {
	doing, below := "listing the accounts of the organization", (*string)(nil)
	if parent != "" {
		doing, below = "listing the accounts below "+parent, &parent
	}
	rows, err := orgList(l, opMembers, doing, func(r modelorg.AccountDto) string { return r.Id },
		func(marker *string) ([]modelorg.AccountDto, *modelorg.PageInfoDto, string, error) {
			resp, id, err := l.api.members(&modelorg.ListAccountsRequest{ParentId: below, Limit: perPage(), Marker: marker})
			if err != nil {
				return nil, nil, id, err
			}
			return *resp.Accounts, resp.PageInfo, id, nil
		})
	if err != nil {
		return nil, err
	}
	members := make([]Member, len(rows))
	for i, r := range rows {
		members[i] = Member{ID: r.Id, Name: r.Name, Status: r.Status}
	}
	return members, nil
}

func perPage() *int32 {
	n := int32(organizationPerPage)
	return &n
}

// orgList reads a list of Organizations whole. fetch asks for the page after a marker, which is nil for the first. Every key
// that is no tag's must be an id, since it goes back to the cloud.
func orgList[T any](
	l *orgReader, o op, doing string, key func(T) string, fetch func(marker *string) ([]T, *modelorg.PageInfoDto, string, error),
) ([]T, error) {
	rows, _, err := pages(listing[T]{
		limit: l.cloud.cfg.MaxPages, perPage: organizationPerPage, key: key,
		fetch: func(page int, marker string) (got listPage[T], err error) {
			var after *string
			if page > 1 {
				after = &marker
			}
			var info *modelorg.PageInfoDto
			if got.rows, info, got.requestID, err = fetch(after); err != nil {
				return got, err
			}
			if n := int(*info.CurrentCount); n != len(got.rows) {
				return got, lie(rules.ReasonDisagree, "the cloud counts %d rows on the page and shows %d", n, len(got.rows)).as(rejectedCount)
			}
			for i, r := range got.rows {
				if o != opTags && !isID(key(r)) {
					return got, lie(rules.ReasonRejected, "row %d has no id", i+1).as(rejectedItem)
				}
			}
			got.marker, got.marked = info.NextMarker, true
			return got, nil
		},
	})
	if err != nil {
		return nil, l.fail(o, doing, err)
	}
	return rows, nil
}

// each does n things, a few at once, until one fails, and returns the worst error.
func (l *orgReader) each(n int, do func(i int) error) error {
	var mu sync.Mutex
	var next int
	var failed bool
	errs := l.cloud.parallel(min(n, listers), func(int) (err error) {
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			failed = failed || err != nil
		}()
		defer l.cloud.rescue(&err)
		for {
			mu.Lock()
			i := next
			next++
			over := failed || i >= n
			mu.Unlock()
			if over {
				return nil
			}
			if err := do(i); err != nil {
				return err
			}
		}
	})
	for _, err := range errs {
		if isMoving(err) && !slices.ContainsFunc(errs, func(err error) bool { return err != nil && !isMoving(err) }) {
			return err
		}
	}
	if u := worst(errs); u != nil {
		return u
	}
	return nil
}

// taggings are the tags of accounts as they were read last.
type taggings struct {
	mu   sync.Mutex
	byID map[string]tagging
}

type tagging struct {
	tags map[string]string
	at   time.Time
}

// addTags adds to the accounts their tags, which are read anew when they are old. Those of accounts that are not listed any more
// are forgotten.
func (l *orgReader) addTags(members []Member) error {
	c := l.cloud
	t := &c.taggings
	t.mu.Lock()
	known := t.byID
	t.mu.Unlock()
	fresh := make([]tagging, len(members))
	var missing []int
	for i, m := range members {
		if fresh[i] = known[m.ID]; fresh[i].at.IsZero() || !c.now().Before(fresh[i].at.Add(tagsAge)) {
			missing = append(missing, i)
		}
	}
	err := l.each(len(missing), func(n int) error {
		i := missing[n]
		rows, err := orgList(l, opTags, "reading the tags of account "+members[i].ID, func(r modelorg.TagDto) string { return r.Key },
			func(marker *string) ([]modelorg.TagDto, *modelorg.PageInfoDto, string, error) {
				resp, id, err := l.api.tags(&modelorg.ListTagsForResourceRequest{
					ResourceId: members[i].ID, Limit: perPage(), Marker: marker,
				})
				if err != nil {
					return nil, nil, id, err
				}
				return *resp.Tags, resp.PageInfo, id, nil
			})
		if err != nil {
			return err
		}
		fresh[i] = tagging{tags: make(map[string]string, len(rows)), at: c.now()}
		for _, r := range rows {
			fresh[i].tags[r.Key] = r.Value
		}
		return nil
	})
	// What was read is kept, be it not all of it, so that the next run needs to read less.
	byID := make(map[string]tagging, len(members))
	for i := range members {
		if !fresh[i].at.IsZero() {
			byID[members[i].ID] = fresh[i]
			members[i].Tags = maps.Clone(fresh[i].tags)
		}
	}
	t.mu.Lock()
	t.byID = byID
	t.mu.Unlock()
	return err
}

package huawei

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

const (
	// cataloguePatience is how long one account waits for another to read the catalogue before it reads it itself.
	cataloguePatience = 2 * time.Second
	// catalogueRetry is how long after a failed attempt an old catalogue is used on.
	catalogueRetry = time.Minute
)

// catalogue names the site's system-defined policies. They are the same for every account, so one account reads them
// for all. The account that does is no privileged one: when its attempt fails or takes long, the others try for
// themselves, all at once, and only those that cannot read it are the worse for it.
//
// Nothing else that an account is answered gets in here: a policy that one account looked up is that sweep's alone. What
// remains is that the list is the site's and that one account reads it for all: an answer to that account that is whole
// and false, twice over, would rename policies for every account until the list is read anew.
type catalogue struct {
	log *slog.Logger
	mu  sync.RWMutex
	// policies by id; nil until the catalogue was read. The map is never changed.
	policies map[string]rules.Policy
	// staleAt is when it should be read anew, and goodUntil how long it is known to be so, be it renewed or not.
	staleAt, goodUntil time.Time
	// attempts counts the accounts that are reading it, waiting those that wait for one of them and have not tried.
	attempts, waiting int
	// begun and ended count the attempts since the start.
	begun, ended int
	// crowd says that nobody waits for anybody, since an attempt has failed or takes too long.
	crowd bool
	// changed is closed and replaced when an attempt ends.
	changed chan struct{}
}

func newCatalogue(log *slog.Logger) *catalogue {
	return &catalogue{log: log, changed: make(chan struct{})}
}

// lookup returns a policy of the catalogue.
func (k *catalogue) lookup(id string) (rules.Policy, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, ok := k.policies[id]
	return p, ok
}

// crowded says whether more than one account may be reading it.
func (k *catalogue) crowded() bool {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.crowd || k.attempts > 1
}

// idsOf returns the ids of each name, in order, and until when that is known to be so, which is now unless the catalogue
// is old; nil when it was never read.
func (k *catalogue) idsOf(names []string, now time.Time) (map[string][]string, time.Time) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if k.policies == nil {
		return nil, time.Time{}
	}
	ids := make(map[string][]string, len(names))
	for _, n := range names {
		ids[n] = nil
	}
	for _, p := range k.policies {
		if found, ok := ids[p.Name]; ok {
			ids[p.Name] = append(found, p.ID)
		}
	}
	for _, found := range ids {
		slices.Sort(found)
	}
	if k.goodUntil.Before(now) {
		return ids, k.goodUntil
	}
	return ids, now
}

// ensure returns when there is a catalogue, or with the error of this account's own attempt to read it, or when ctx is
// done. keepFor is how long a new one is good.
func (k *catalogue) ensure(
	ctx context.Context, now func() time.Time, keepFor time.Duration, read func() (map[string]rules.Policy, error),
) error {
	var patience <-chan time.Time
	var own error // of this account's attempt
	hope := 0     // how many attempts must have ended before this account gives up, once its own has failed
	tired := false
	k.mu.Lock()
	for {
		k.crowd = k.crowd || tired
		switch {
		case k.policies != nil && now().Before(k.staleAt):
			k.mu.Unlock()
			return nil
		case k.policies != nil: // old: this account renews it, and the others go on with what there is
			k.staleAt = now().Add(catalogueRetry)
			if _, err := k.attempt(now, keepFor, read); err != nil {
				k.log.Warn("catalogue of policies not renewed, the old one is used on", "err", err)
			}
			return nil
		case own == nil && (k.attempts == 0 || k.crowd):
			if hope, own = k.attempt(now, keepFor, read); own == nil {
				return nil
			}
			k.mu.Lock()
			continue
		case own != nil && (k.ended >= hope || k.attempts+k.waiting == 0 || tired):
			k.mu.Unlock()
			return own
		}
		if own == nil {
			k.waiting++
		}
		changed := k.changed
		k.mu.Unlock()
		if patience == nil {
			timer := time.NewTimer(cataloguePatience)
			defer timer.Stop()
			patience = timer.C
		}
		var err error
		select {
		case <-changed:
		case <-patience:
			tired = true
		case <-ctx.Done():
			err = cmp.Or(own, ctx.Err())
		}
		k.mu.Lock()
		if own == nil {
			k.waiting--
		}
		if err != nil {
			k.mu.Unlock()
			return err
		}
	}
}

// offer reads the catalogue if there is none, or an old one, and nobody is reading it.
func (k *catalogue) offer(
	now func() time.Time, keepFor time.Duration, read func() (map[string]rules.Policy, error),
) error {
	k.mu.Lock()
	if k.attempts > 0 || k.policies != nil && now().Before(k.staleAt) {
		k.mu.Unlock()
		return nil
	}
	if k.policies != nil {
		k.staleAt = now().Add(catalogueRetry)
	}
	_, err := k.attempt(now, keepFor, read)
	return err
}

// attempt reads the catalogue. It is called with the lock held, and returns without it. hope is how many attempts will
// have ended when everyone who is reading the catalogue now, or who waited for this attempt, has tried.
func (k *catalogue) attempt(
	now func() time.Time, keepFor time.Duration, read func() (map[string]rules.Policy, error),
) (hope int, err error) {
	k.attempts++
	k.begun++
	k.mu.Unlock()
	var policies map[string]rules.Policy
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.ended++
		if k.attempts--; policies != nil {
			k.policies, k.staleAt, k.crowd = policies, now().Add(keepFor), false
			k.goodUntil = k.staleAt
		} else {
			k.crowd = true
		}
		hope = k.begun + k.waiting
		close(k.changed)
		k.changed = make(chan struct{})
	}()
	policies, err = read()
	return hope, err
}

// names fills in what the grants' policies are called and who defined them, and what their projects are called.
func (s *sweep) names(planes []rules.Plane) error {
	var unknown []string
	v3 := false
	for _, p := range planes {
		v3 = v3 || (p.Kind != rules.Identity && len(p.Grants) > 0)
	}
	c := s.cloud
	if !v3 {
		s.offerCatalogue()
		return nil
	}
	if err := c.catalogue.ensure(s.wire.ctx, c.now, c.cfg.CatalogueAge, s.readCatalogue); err != nil {
		if _, ok := errors.AsType[*rules.Unknown](err); !ok {
			return c.cutShort(s.wire.ctx, "waiting for the catalogue of policies")
		}
		return err
	}
	found := make(map[string]rules.Policy)
	for _, p := range planes {
		if p.Kind == rules.Identity {
			continue
		}
		for _, g := range p.Grants {
			if _, ok := found[g.Policy.ID]; ok {
				continue
			}
			policy, ok := c.catalogue.lookup(g.Policy.ID)
			if !ok {
				unknown = append(unknown, g.Policy.ID)
			}
			found[g.Policy.ID] = policy
		}
	}
	if err := s.lookUp(unknown, found); err != nil {
		return err
	}
	for _, p := range planes {
		if p.Kind == rules.Identity {
			continue
		}
		for i := range p.Grants {
			p.Grants[i].Policy = found[p.Grants[i].Policy.ID]
		}
		if p.Kind == rules.Project && len(p.Grants) > 0 {
			s.nameProjects(p.Grants)
		}
	}
	return nil
}

// lookUp asks the account about the policies that the catalogue does not have, eight at a time, and puts them into
// found. They are asked for in every sweep: an account may edit its own at any time, and what one account is answered
// is not evidence about another.
func (s *sweep) lookUp(ids []string, found map[string]rules.Policy) error {
	const atOnce = 8
	policies := make([]rules.Policy, len(ids))
	n := min(atOnce, len(ids))
	if n == 0 {
		return nil
	}
	errs := s.cloud.parallel(n, func(worker int) error {
		for i := worker; i < len(ids); i += n {
			var err error
			if policies[i], err = s.policy(ids[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if u := worst(errs); u != nil {
		return u
	}
	for i, id := range ids {
		found[id] = policies[i]
	}
	return nil
}

// policiesAgain describes policies a second time: by the catalogue, all of which was read twice, or by another answer of
// the account.
func (s *sweep) policiesAgain(policies []rules.Policy) ([]rules.Policy, error) {
	var again []rules.Policy
	var unknown []string
	for _, p := range policies {
		if known, ok := s.cloud.catalogue.lookup(p.ID); ok {
			again = append(again, known)
		} else {
			unknown = append(unknown, p.ID)
		}
	}
	found := make(map[string]rules.Policy, len(unknown))
	if err := s.lookUp(unknown, found); err != nil {
		return nil, err
	}
	for _, p := range found {
		again = append(again, p)
	}
	return again, nil
}

// policy asks for one policy (facts 3.2). One that IAM does not find is an answer: the account grants an id that no
// catalogue can name. Since nobody knows what such a one allows, its risk is lower than that of one which is known to allow
// everything; so it is believed only when IAM does not find it a second time.
func (s *sweep) policy(id string) (rules.Policy, error) {
	doing := fmt.Sprintf("looking up policy %s", id)
	ask := func() (*model.KeystoneShowPermissionResponse, string, error) {
		return s.api.policy(&model.KeystoneShowPermissionRequest{RoleId: id})
	}
	missing := func(err error) bool {
		f := asFault(opPolicy, err)
		return f.status == 404 && f.keystone
	}
	resp, requestID, err := ask()
	if err != nil && missing(err) {
		if resp, requestID, err = ask(); err != nil && missing(err) {
			return rules.Policy{ID: id, Origin: rules.Unresolved}, nil
		}
	}
	if err != nil {
		return rules.Policy{}, s.fail(opPolicy, doing, err)
	}
	p, f := policyOf(resp.Role)
	switch {
	case f != nil:
	case p.ID != id:
		f = lie(rules.ReasonRejected, "the cloud answered with policy %q", shorten(p.ID)).as(rejectedItem)
	case p.Origin == rules.Custom && !readable(resp.Role.Policy):
		// Its name says nothing of what it allows, so the risk of it would be understated.
		f = lie(rules.ReasonRejected, "the cloud answered without what the custom policy allows").as(rejectedItem)
	default:
		return p, nil
	}
	f.requestID = cleanID(requestID)
	return rules.Policy{}, s.fail(opPolicy, doing, f)
}

// policyOf translates a role. Only its owner tells a system-defined policy from a custom one: a name can be imitated
// (facts 3.3).
func policyOf(r *model.RoleResult) (rules.Policy, *fault) {
	p := rules.Policy{ID: r.Id, Name: deref(r.DisplayName), Origin: rules.System, Unbounded: unbounded(r.Policy)}
	switch {
	case r.DomainId != nil:
		p.Origin = rules.Custom
	case deref(r.Catalog) == "CUSTOMED":
		return p, lie(rules.ReasonRejected, "policy %q is a custom one that belongs to no account", shorten(p.ID)).as(rejectedItem)
	}
	return p, nil
}

// readable says whether each statement of a policy's document, one at least, says what it allows or denies.
func readable(doc *model.RolePolicy) bool {
	if doc == nil {
		return false
	}
	effects := model.GetPolicyStatementEffectEnum()
	for _, st := range doc.Statement {
		if len(st.Action) == 0 || (st.Effect != effects.ALLOW && st.Effect != effects.DENY) {
			return false
		}
	}
	return len(doc.Statement) > 0
}

// unbounded says whether a policy's document allows every action of every service.
func unbounded(doc *model.RolePolicy) bool {
	if doc == nil {
		return false
	}
	for _, st := range doc.Statement {
		if st.Effect == model.GetPolicyStatementEffectEnum().DENY {
			continue // the SDK follows no escapes in it, so that whatever is not plainly a denial counts as the opposite
		}
		for _, action := range st.Action {
			if action != "" && strings.Trim(action, "*:") == "" && strings.HasPrefix(action, "*") {
				return true
			}
		}
	}
	return false
}

// offerCatalogue reads the catalogue for the others if nobody has, or not lately. Whether that succeeds is nothing to this account.
func (s *sweep) offerCatalogue() {
	if err := s.cloud.catalogue.offer(s.cloud.now, s.cloud.cfg.CatalogueAge, s.readCatalogue); err != nil {
		s.wire.log.Debug("catalogue of policies not read for the others", "account", s.account.Name, "err", err)
	}
}

// readCatalogue reads the catalogue twice in a row, and believes it when both readings show the same: it is read seldom,
// and by one account for all.
func (s *sweep) readCatalogue() (map[string]rules.Policy, error) {
	policies, err := s.systemPolicies()
	if err != nil {
		return nil, err
	}
	again, err := s.systemPolicies()
	if err != nil {
		return nil, err
	}
	if !maps.Equal(policies, again) {
		return nil, s.fail(opCatalogue, "reading the catalogue of system-defined policies", lie(rules.ReasonIncomplete,
			"it has %d policies, and read again at once %d, or others", len(policies), len(again)).as(rejectedWitness))
	}
	s.wire.log.Info("catalogue of policies read", "account", s.account.Name, "policies", len(policies))
	return policies, nil
}

// systemPolicies lists all system-defined policies (facts 3.1). Without page numbers the cloud leaves out what is beyond
// the first 300, and with the account's id it shows the account's own.
func (s *sweep) systemPolicies() (map[string]rules.Policy, error) {
	page, perPage := int32(0), int32(cataloguePerPage)
	req := &model.KeystoneListPermissionsRequest{Page: &page, PerPage: &perPage}
	list, _, err := pages(listing[rules.Policy]{
		limit: s.cloud.cfg.MaxPages, perPage: cataloguePerPage, key: func(p rules.Policy) string { return p.ID },
		fetch: func(n int, _ string) (got listPage[rules.Policy], err error) {
			page = int32(n)
			resp, requestID, err := s.api.catalogue(req)
			got.requestID = requestID
			if err != nil {
				return got, err
			}
			got.more = resp.Links != nil && resp.Links.Next != ""
			got.rows = make([]rules.Policy, len(*resp.Roles))
			for i := range *resp.Roles {
				r := &(*resp.Roles)[i]
				p, f := policyOf(r)
				if f == nil && p.Origin != rules.System {
					f = lie(rules.ReasonRejected, "policy %q is of account %q", shorten(p.ID), shorten(deref(r.DomainId))).as(rejectedItem)
				}
				if f != nil {
					return got, f
				}
				got.rows[i] = p
			}
			return got, nil
		},
	})
	if err == nil && len(list) == 0 {
		err = lie(rules.ReasonIncomplete, "it is empty").as(rejectedItem)
	}
	if err != nil {
		return nil, s.fail(opCatalogue, "reading the catalogue of system-defined policies by means", err)
	}
	policies := make(map[string]rules.Policy, len(list))
	for _, p := range list {
		policies[p.ID] = p
	}
	return policies, nil
}

// nameProjects fills in the names of the projects, for people. They are no evidence: without them the ids stand alone.
func (s *sweep) nameProjects(grants []rules.Grant) {
	resp, _, err := s.api.projects(&model.KeystoneListProjectsRequest{DomainId: &s.account.ID})
	if err != nil {
		u := s.fail(opProjects, "listing the projects", err)
		s.wire.log.Debug("projects not named", "account", s.account.Name, "reason", u.Reason, "detail", u.Detail)
		return
	}
	names := make(map[string]string, len(*resp.Projects))
	for _, p := range *resp.Projects {
		names[p.Id] = p.Name
	}
	for i := range grants {
		grants[i].Scope.Name = names[grants[i].Scope.ID]
	}
}

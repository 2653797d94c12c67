package huawei

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

var _ auditor.Prober = (*Cloud)(nil)

// probed are the requests of which a probe tries whether they are allowed: all that reading an account may take and that need a
// permission.
var probed = []op{opAgencies, opAssignments, opAttached, opGlobalRoles, opInheritedRoles, opCatalogue, opPolicy}

// Clock is how far this machine's clock is ahead of the cloud's, by the last few answers.
func (c *Cloud) Clock() (ahead time.Duration, known bool) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	return c.clock.middle(), len(c.clock.last) > 0
}

// seldom are those of them that a sweep sends only if what it finds calls for them: second witnesses, and the names of policies,
// which one account reads for all.
var seldom = []op{opGlobalRoles, opInheritedRoles, opCatalogue, opPolicy}

// prober tries to read one account.
type prober struct {
	*sweep
	p *auditor.Probe
	// roleID is a policy and agencyID an agency that can be asked about; nobody when none is known.
	roleID, agencyID string
}

// nobody is an id that nothing has. What is asked about it is refused to whoever may not ask, and found to be nothing otherwise.
const nobody = "00000000000000000000000000000000"

// Probe tries everything that reading the account takes, with the requests that a sweep of it sends and through the same wire. It
// sends each that needs a permission once, and is never wiser than the cloud's answer: that a request is refused is found out by
// sending it. See auditor.Prober.
func (c *Cloud) Probe(ctx context.Context, account rules.Account, agencies []string) (p auditor.Probe) {
	p = auditor.Probe{Account: account, Tries: untried(), Agencies: map[string]bool{}}
	var err error
	defer func() {
		if err != nil {
			foiled(&p.Tries[0], asUnknown(err))
			note(p.Tries[1:], "the account was not entered")
		}
	}()
	defer c.rescue(&err)
	d := c.door(account.ID)
	switch {
	case d == nil:
		err = &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: "no access to the account is configured",
			Remedy: "configure keys of the account, or an agency of it that the main identity can assume",
		}
		return p
	case d.access.Agency != "" && slices.Contains(agencies, d.access.Agency):
		err = &rules.Unknown{
			Reason: rules.ReasonDenied, Detail: fmt.Sprintf("the agency %q is what is audited; it is never assumed", d.access.Agency),
			Remedy: "configure another agency, made for reading",
		}
		return p
	}
	p.Way = d.way()
	defer func() { p.Throttled = d.lane.isSlowed() }()
	if f := d.lane.breaker.refuses(); f != nil {
		err = c.notRead(d, f)
		return p
	}
	var keys pass
	if keys, err = c.enter(ctx, account, d, true); err != nil {
		return p
	}
	w, done := c.newWire(ctx, keys.keys, c.log.With("account_id", account.ID))
	defer done()
	defer func() { p.Requests = int(w.sent.Load()) }()
	w.account, w.by, w.lane = account.ID, d.holder(), d.lane
	s := &prober{p: &p, roleID: nobody, agencyID: nobody, sweep: &sweep{cloud: c, account: account, wire: w, by: d.holder(), via: d.access.Agency}}
	if s.api, err = w.dial(account.ID); err != nil {
		return p
	}
	p.Tries[0].Outcome = auditor.TryOK
	s.probe(agencies)
	return p
}

// way is what a configuration calls the way into an account.
func (d *door) way() string {
	if d.access.Agency == "" {
		return "keys"
	}
	return assumptionBy(d.access.Via).way
}

// untried are all tries before they are made.
func untried() []auditor.Try {
	tries := []auditor.Try{{What: auditor.TryEnter}, {What: auditor.TryWhose}}
	for _, o := range probed {
		action := operations[o].action
		identity := identityActions[action]
		if identity == "" {
			identity = action
		}
		tries = append(tries, auditor.Try{
			What: auditor.TryRead, Operation: operations[o].name, Action: action, IdentityAction: identity, Maybe: slices.Contains(seldom, o),
			Shared: o == opCatalogue,
		})
	}
	for i := range tries {
		tries[i].Outcome = auditor.TryUntried
	}
	return tries
}

func foiled(t *auditor.Try, u *rules.Unknown) { t.Outcome, t.Why, t.Note = auditor.TryFailed, u, "" }

// note says of tries that were not made why.
func note(tries []auditor.Try, why string) {
	for i := range tries {
		if tries[i].Outcome == auditor.TryUntried && tries[i].Note == "" {
			tries[i].Note = why
		}
	}
}

// try is the one of an operation.
func (s *prober) try(o op) *auditor.Try { return &s.p.Tries[2+slices.Index(probed, o)] }

// came takes note of what came of a request. That nothing has the id of nobody is an answer to who may ask.
func (s *prober) came(o op, doing, id string, err error) bool {
	t := s.try(o)
	if err != nil {
		f := asFault(o, err)
		if id != nobody || f.status != http.StatusNotFound || f.code == notPublished {
			foiled(t, s.fail(o, doing, err))
			return false
		}
	}
	t.Outcome = auditor.TryOK
	return true
}

// probe makes the tries: first whose the key is, then the list of agencies, whose answer says what to ask the others about, then
// these at once, and last the one that goes by another one's answer.
func (s *prober) probe(agencies []string) {
	if err := s.ownKey(true); err != nil {
		foiled(&s.p.Tries[1], asUnknown(err))
		note(s.p.Tries[2:], "whose the key is, is not certain")
		return
	}
	s.p.Tries[1].Outcome = auditor.TryOK
	s.lists(agencies)
	each := []func(){s.grants, s.identity, s.globalWitness, s.inheritedWitness, s.policies}
	for i, err := range s.cloud.parallel(len(each), func(i int) error { each[i](); return nil }) {
		if err != nil { // a panic
			foiled(s.try(probed[1+i]), asUnknown(err))
		}
	}
	s.onePolicy()
}

// lists tries the list of agencies, and looks for those that matter.
func (s *prober) lists(agencies []string) {
	for _, name := range agencies {
		listed, _, err := s.agencies(name)
		if err != nil {
			foiled(s.try(opAgencies), asUnknown(err))
			return
		}
		i := slices.IndexFunc(listed, func(a rules.Agency) bool { return a.Name == name })
		if s.p.Agencies[name] = i >= 0; i >= 0 {
			s.agencyID = listed[i].ID
		}
	}
	s.try(opAgencies).Outcome = auditor.TryOK
	if s.agencyID == nobody { // then a sweep ends here
		s.try(opAssignments).Maybe, s.try(opAttached).Maybe = true, true
	}
}

func (s *prober) grants() {
	p := planeReaders()[0]
	_, err := s.assignments(&p, s.agencyID)
	s.came(opAssignments, "reading the grants of an agency", s.agencyID, err)
}

func (s *prober) identity() {
	i := slices.IndexFunc(planeReaders(), func(p plane) bool { return p.kind == rules.Identity })
	p := planeReaders()[i]
	_, err := s.attached(&p, s.agencyID)
	if err != nil && p.absent(asFault(opAttached, err)) {
		t := s.try(opAttached)
		t.Outcome, t.Note = auditor.TryAbsent, "there are no identity policies here"
		return
	}
	s.came(opAttached, p.doing(), s.agencyID, err)
}

func (s *prober) globalWitness() {
	p := plane{kind: rules.Global}
	_, _, err := s.api.globalRoles(&model.ListDomainPermissionsForAgencyRequest{DomainId: s.account.ID, AgencyId: s.agencyID})
	s.came(opGlobalRoles, p.asking(), s.agencyID, err)
}

func (s *prober) inheritedWitness() {
	p := plane{kind: rules.AllResources}
	_, _, err := s.api.inheritedRoles(&model.ListAllProjectsPermissionsForAgencyRequest{DomainId: s.account.ID, AgencyId: s.agencyID})
	s.came(opInheritedRoles, p.asking(), s.agencyID, err)
}

// policies tries the catalogue by one row of it.
func (s *prober) policies() {
	first, one := int32(1), int32(1)
	resp, _, err := s.api.catalogue(&model.KeystoneListPermissionsRequest{Page: &first, PerPage: &one})
	if s.came(opCatalogue, "reading the catalogue of system-defined policies", "", err) && len(*resp.Roles) > 0 && isID((*resp.Roles)[0].Id) {
		s.roleID = (*resp.Roles)[0].Id
	}
}

// onePolicy tries the look-up of a policy.
func (s *prober) onePolicy() {
	_, _, err := s.api.policy(&model.KeystoneShowPermissionRequest{RoleId: s.roleID})
	s.came(opPolicy, "looking up a policy", s.roleID, err)
}

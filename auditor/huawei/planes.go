package huawei

import (
	"slices"
	"strconv"
	"strings"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

// plane is how one plane is read.
type plane struct {
	kind rules.ScopeKind
	// scope and inherited are the query of the role assignments (facts 2.5); the plane of identity policies has none.
	scope     string
	inherited *bool
	// witness is the plane's own list, where it has one (facts 2.1, 2.3); the others are read a second time.
	witness op
	read    func(s *sweep, p *plane, agencyID string) (rules.Plane, error)
}

// planeReaders returns the five planes in their fixed order.
func planeReaders() []plane {
	yes, no := true, false
	return []plane{
		{kind: rules.Global, scope: "domain", inherited: &no, witness: opGlobalRoles, read: (*sweep).assignments},
		{kind: rules.AllResources, scope: "domain", inherited: &yes, witness: opInheritedRoles, read: (*sweep).assignments},
		{kind: rules.Project, scope: "project", read: (*sweep).assignments},
		{kind: rules.EnterpriseProject, scope: "enterprise_project", read: (*sweep).assignments},
		{kind: rules.Identity, read: (*sweep).attached},
	}
}

// doing says in words that the plane is read, and asking that its own list is.
func (p *plane) doing() string { return readingPlane + strconv.Quote(p.kind.Words()) }
func (p *plane) asking() string {
	return "asking a second witness of the plane " + strconv.Quote(p.kind.Words())
}

const readingPlane = "reading the plane "

// op is the request that reads the plane.
func (p *plane) op() op {
	if p.kind == rules.Identity {
		return opAttached
	}
	return opAssignments
}

// absent says whether a refusal means that the site or the account does not have the plane. The list is closed: an API
// that is not published (facts 10.1), for the two planes that a site may lack, and as the answer to the first page.
//
// That a gateway says so of the enterprise projects is inferred, and in the same sweep it serves the same path for the
// other scopes; and a gateway may say so for a moment, of one account. It is therefore believed, of either plane, only when it
// says so a second time, later and in an answer of its own, and NewEvidence does not believe it of a plane that was read before.
func (p *plane) absent(f *fault) bool {
	return f.status == 404 && f.code == notPublished && f.page <= 1 &&
		(p.kind == rules.EnterpriseProject || p.kind == rules.Identity)
}

// planes reads all five at once, and then asks the second witness of those of which doubted says that they need one.
func (s *sweep) planes(agencyID string, doubted func(rules.Plane) bool) ([]rules.Plane, error) {
	readers := planeReaders()
	planes := make([]rules.Plane, len(readers))
	refused := make([]*fault, len(readers))
	errs := s.cloud.parallel(len(readers), func(i int) error {
		p := &readers[i]
		var err error
		if planes[i], err = p.read(s, p, agencyID); err == nil {
			return nil
		}
		if f := asFault(p.op(), err); p.absent(f) {
			refused[i] = f
			return nil
		}
		return s.fail(p.op(), p.doing(), err)
	})
	if u := worst(errs); u != nil {
		return nil, u
	}
	// All other planes were read, so that the two refusals are not of one moment.
	var again []int
	for i := range refused {
		if refused[i] != nil {
			again = append(again, i)
		}
	}
	errs = s.cloud.parallel(len(again), func(n int) error {
		i := again[n]
		var err error
		planes[i], err = s.absentAgain(&readers[i], agencyID, refused[i])
		return err
	})
	if u := worst(errs); u != nil {
		return nil, u
	}
	again = again[:0]
	for i := range planes {
		if planes[i].State == rules.PlaneRead && doubted(planes[i]) {
			again = append(again, i)
		}
	}
	errs = s.cloud.parallel(len(again), func(i int) error {
		return s.witness(&planes[again[i]], &readers[again[i]], agencyID)
	})
	if u := worst(errs); u != nil {
		return nil, u
	}
	return planes, nil
}

// absentAgain reads a plane that the first refusal says is absent. It is, if a second refusal says so, which is another answer and
// not the first one out of somebody's store.
func (s *sweep) absentAgain(p *plane, agencyID string, first *fault) (rules.Plane, error) {
	read, err := p.read(s, p, agencyID)
	if err == nil {
		return read, nil
	}
	f := asFault(p.op(), err)
	switch {
	case !p.absent(f):
		return rules.Plane{}, s.fail(p.op(), p.doing()+" a second time", err)
	case f.requestID == first.requestID:
		f = lie(rules.ReasonDisagree, "two refusals that say that there is no such API are one and the same answer").as(rejectedWitness)
		f.requestID = first.requestID
		return rules.Plane{}, s.fail(p.op(), p.doing()+" a second time", f)
	}
	ids := appendID(appendID(nil, first.requestID), f.requestID)
	return rules.Plane{Kind: p.kind, State: rules.PlaneAbsent, RequestIDs: ids}, nil
}

// worst makes one Unknown of the errors of several requests, in their order: a refused key first, since it ended the
// others, and that which the cloud itself refused before those that were then given up; a panic before all. Further
// refusals are added, so that an administrator need not find them one by one.
func worst(errs []error) *rules.Unknown {
	var all []*rules.Unknown
	for _, err := range errs {
		if err != nil {
			all = append(all, asUnknown(err))
		}
	}
	if len(all) == 0 {
		return nil
	}
	for _, first := range []func(*rules.Unknown) bool{
		func(u *rules.Unknown) bool { return u.Reason == rules.ReasonPanic },
		func(u *rules.Unknown) bool { return u.Reason == rules.ReasonUnauthenticated && u.RequestID != "" },
		func(u *rules.Unknown) bool { return u.Reason == rules.ReasonUnauthenticated },
	} {
		if i := slices.IndexFunc(all, first); i >= 0 {
			return all[i]
		}
	}
	u := *all[0]
	if u.Reason != rules.ReasonDenied {
		return &u
	}
	all = slices.DeleteFunc(all, func(other *rules.Unknown) bool { return other.Reason != u.Reason })
	for _, other := range all[1:] {
		if !strings.Contains(u.Remedy, other.Remedy) {
			u.Remedy += "; " + other.Remedy
		}
	}
	u.Detail = together(all)
	return &u
}

// together puts the details of several refusals into one. What came of several requests alike is said once.
func together(all []*rules.Unknown) string {
	var came []string
	doing := map[string][]string{} // by what came of it
	for _, u := range all {
		did, what, _ := strings.Cut(u.Detail, ": ")
		if doing[what] == nil {
			came = append(came, what)
		}
		doing[what] = append(doing[what], did)
	}
	for i, what := range came {
		did := doing[what]
		list, planes := strings.Join(did, ", "), 0
		for n := range did {
			if plane, ok := strings.CutPrefix(did[n], readingPlane); ok {
				did[n] = plane
				planes++
			}
		}
		if planes == len(did) && planes > 1 {
			list = "reading the planes " + strings.Join(did, ", ")
		}
		came[i] = list + ": " + what
	}
	return strings.Join(came, "; ")
}

// assignments reads one of the four v3 planes. Each page carries the count of all rows, which is the first witness.
func (s *sweep) assignments(p *plane, agencyID string) (rules.Plane, error) {
	page, perPage := int32(0), int32(assignmentsPerPage)
	req := &model.ShowDomainRoleAssignmentsRequest{
		DomainId: s.account.ID, SubjectAgencyId: &agencyID, Scope: &p.scope, IsInherited: p.inherited,
		Page: &page, PerPage: &perPage,
	}
	counted, asked := 0, 0 // by the cloud, so that evidence has it from the cloud and not from the rows; and pages
	grants, ids, err := pages(listing[rules.Grant]{
		limit: s.cloud.cfg.MaxPages, perPage: assignmentsPerPage,
		key: func(g rules.Grant) string { return g.Policy.ID + " " + g.Scope.ID },
		fetch: func(n int, _ string) (got listPage[rules.Grant], err error) {
			page, asked = int32(n), n
			resp, id, err := s.api.assignments(req)
			got.requestID = id
			if err != nil {
				return got, err
			}
			counted = int(*resp.TotalNum)
			got.total, got.counted = counted, true
			got.rows = make([]rules.Grant, len(*resp.RoleAssignments))
			for i := range got.rows {
				var what string
				if got.rows[i], what = s.grant(&(*resp.RoleAssignments)[i], p, agencyID); what != "" {
					return got, lie(rules.ReasonRejected, "row %d %s", i+1, what).as(rejectedItem)
				}
			}
			return got, nil
		},
	})
	return rules.Plane{Kind: p.kind, State: rules.PlaneRead, Total: counted, Grants: grants, Pages: asked, RequestIDs: ids}, err
}

// grant translates one row, or says what is wrong with it.
func (s *sweep) grant(r *model.RoleAssignmentBody, p *plane, agencyID string) (g rules.Grant, what string) {
	g.Scope.Kind = p.kind
	switch {
	case r.Agency == nil || deref(r.Agency.Id) != agencyID:
		return g, "is of another agency"
	case r.User != nil || r.Group != nil:
		return g, "is of a user or group as well"
	case r.Role == nil || !isID(deref(r.Role.Id)):
		return g, "has no policy id"
	case r.Scope == nil:
		return g, "has no scope"
	}
	g.Policy.ID = deref(r.Role.Id)
	sc := r.Scope
	kinds := 0
	for _, present := range []bool{sc.Domain != nil, sc.Project != nil, sc.EnterpriseProject != nil} {
		if present {
			kinds++
		}
	}
	if kinds != 1 {
		return g, "has not exactly one scope"
	}
	switch p.scope {
	case "domain":
		if sc.Domain == nil || deref(sc.Domain.Id) != s.account.ID {
			return g, "has not the scope of this account"
		}
	case "project":
		if sc.Project == nil || !isID(deref(sc.Project.Id)) {
			return g, "has not the scope of a project"
		}
		g.Scope.ID = deref(sc.Project.Id)
	default:
		if sc.EnterpriseProject == nil || !isID(deref(sc.EnterpriseProject.Id)) {
			return g, "has not the scope of an enterprise project"
		}
		if g.Scope.ID = deref(sc.EnterpriseProject.Id); g.Scope.ID == "0" {
			g.Scope.Name = "default" // facts 0
		}
	}
	inherited := p.inherited != nil && *p.inherited
	switch {
	case r.IsInherited == nil && p.inherited != nil:
		// A site that did not know the parameter would show the same rows on both planes (facts 2.5).
		return g, "does not say whether it is inherited"
	case r.IsInherited != nil && *r.IsInherited != inherited:
		return g, "is inherited where it must not be, or is not where it must be"
	}
	return g, ""
}

// attached reads the identity policies that are attached to the agency (facts 8). The v3 lists do not show them.
func (s *sweep) attached(p *plane, agencyID string) (rules.Plane, error) {
	limit := int32(attachedPerPage)
	req := &model5.ListAttachedAgencyPoliciesV5Request{AgencyId: agencyID, Limit: &limit}
	counted, asked := 0, 0 // by the cloud; and pages
	grants, ids, err := pages(listing[rules.Grant]{
		limit: s.cloud.cfg.MaxPages, perPage: attachedPerPage, key: func(g rules.Grant) string { return g.Policy.ID },
		fetch: func(page int, marker string) (got listPage[rules.Grant], err error) {
			if asked = page; page == 1 {
				req.Marker, counted = nil, 0
			} else {
				req.Marker = &marker
			}
			resp, id, err := s.api.attached(req)
			got.requestID = id
			if err != nil {
				return got, err
			}
			rows := *resp.AttachedPolicies
			n := int(resp.PageInfo.CurrentCount)
			if n != len(rows) {
				return got, lie(rules.ReasonDisagree, "the cloud counts %d policies and shows %d", n, len(rows)).as(rejectedCount)
			}
			counted += n
			got.marker, got.marked = deref(resp.PageInfo.NextMarker), true
			got.rows = make([]rules.Grant, len(rows))
			for i, r := range rows {
				if !isID(r.PolicyId) {
					return got, lie(rules.ReasonRejected, "row %d has no policy id", i+1).as(rejectedItem)
				}
				got.rows[i] = rules.Grant{
					Policy: rules.Policy{ID: r.PolicyId, Name: r.PolicyName, Origin: originOfURN(r.Urn)},
					Scope:  rules.Scope{Kind: p.kind},
				}
			}
			return got, nil
		},
	})
	return rules.Plane{Kind: p.kind, State: rules.PlaneRead, Total: counted, Grants: grants, Pages: asked, RequestIDs: ids}, err
}

// originOfURN tells who defined an identity policy. The name of one of an account is iam::<account>:policy:<path>; the
// form of the vendor's own is not documented, so only one that names no account, or the account "system", is believed
// to be one (facts 8).
func originOfURN(urn string) rules.Origin {
	parts := strings.Split(urn, ":")
	if len(parts) >= 5 && parts[0] == "iam" && parts[3] == "policy" && (parts[2] == "" || parts[2] == "system") {
		return rules.System
	}
	return rules.Custom
}

// witness asks the plane's own list, or reads the plane a second time where it has none.
func (s *sweep) witness(read *rules.Plane, p *plane, agencyID string) error {
	var requestID string
	switch p.witness {
	case opGlobalRoles:
		resp, id, err := s.api.globalRoles(&model.ListDomainPermissionsForAgencyRequest{
			DomainId: s.account.ID, AgencyId: agencyID,
		})
		if err != nil {
			return s.fail(p.witness, p.asking(), err)
		}
		requestID = id
		for i := range *resp.Roles {
			read.WitnessIDs = append(read.WitnessIDs, (*resp.Roles)[i].Id)
		}
	case opInheritedRoles:
		resp, id, err := s.api.inheritedRoles(&model.ListAllProjectsPermissionsForAgencyRequest{
			DomainId: s.account.ID, AgencyId: agencyID,
		})
		if err != nil {
			return s.fail(p.witness, p.asking(), err)
		}
		requestID = id
		for i := range *resp.Roles {
			read.WitnessIDs = append(read.WitnessIDs, (*resp.Roles)[i].Id)
		}
	default:
		again, err := p.read(s, p, agencyID)
		if err != nil {
			return s.fail(p.op(), p.doing()+" a second time", err)
		}
		read.Again = again.Grants
		read.RequestIDs = append(read.RequestIDs, again.RequestIDs...)
	}
	read.Witnessed = true
	read.RequestIDs = appendID(read.RequestIDs, requestID)
	return nil
}

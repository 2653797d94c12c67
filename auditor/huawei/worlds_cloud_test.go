package huawei_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// endpoint is one kind of question that can be asked about an account. Each is asked one page after the other, but for
// policies, which are told apart by their ids.
type endpoint int

const (
	epAgencies endpoint = iota // by name
	epAllAgencies
	epGlobal // the five planes in the order of rules.Planes
	epInherited
	epProject
	epEnterprise
	epIdentity
	epGlobalRoles // their own lists
	epInheritedRoles
	epCatalogue
	epPolicy
	epProjects
	epDomains
	epAssume
	epCount
	epAny endpoint = -1
)

var endpointNames = [epCount]string{
	"agencies", "all agencies", "global", "all resources", "project", "enterprise project", "identity", "global roles", "inherited roles",
	"catalogue", "policy", "projects", "domains", "assume",
}

// sky is the cloud of a world: a transport that answers from the world's state at the instant of each request, in the
// bubble's virtual time. It keeps books on what it answered.
type sky struct {
	*world
	tally *tally
	// hail, where it is set, has every answer about that account replaced by garbage.
	hail *member

	mu   sync.Mutex
	run  int
	calm bool // no answer is spoilt any more
	// books are the accounts' of the run under way, home the main identity's.
	books []*book
	home  *book
	// keys are the temporary ones.
	keys   map[string]temporary
	minted int
	// onRequest, where it is set, is called before every answer.
	onRequest func(n int)
	requests  int
}

type temporary struct {
	account string
	ends    time.Time
}

// book is what one account was told in one run.
type book struct {
	first    time.Time
	requests int
	asked    [epCount]int
	policies map[string]int
	// honest counts the answers that were the truth, in whatever dress.
	honest [epCount]int
	// spoilt says that some answer was not, and lies are those that were whole and untrue.
	spoilt bool
	lies   []lie
	// said counts the answers that were spoilt and still make sense.
	said [epCount]int
	// flips counts the answers of an endpoint in which one byte was turned into another and that still make sense.
	flips [epCount]int
	// touched are the kinds of trouble that happened.
	touched []string
}

// lie is a whole and untrue answer.
type lie struct {
	ep       endpoint
	kind     string
	items    []item
	agencyID string
}

func newSky(w *world, t *tally) *sky {
	s := &sky{world: w, tally: t, keys: map[string]temporary{}}
	s.open(0, false)
	return s
}

// open begins the books of a run.
func (s *sky) open(run int, calm bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.calm = run, calm
	s.books = make([]*book, len(s.members))
	for i := range s.books {
		s.books[i] = &book{}
	}
	s.home = &book{}
}

// exchange is one request and the answer in the making.
type exchange struct {
	s       *sky
	req     *http.Request
	now     time.Time
	m       *member // nil for the main identity's own
	ep      endpoint
	query   func(string) string
	path    []string // the parts of the path
	salt    uint64
	trouble *trouble
	key     string
	// agencyID is whose planes are asked for.
	agencyID string
	// body is what the answer says before it is spoilt.
	list  []item
	total int
	page  int
}

// item is one row of an answer, of whatever kind.
type item struct {
	id, name string
	// in is the project of a grant, owner the account that a policy or an agency belongs to, or the agency that a grant is
	// of.
	in, owner string
	urn       string
	agency    *agencyRecord
	unbounded bool
	flaw      flaw
}

// flaw is what is wrong with a row.
type flaw int

const (
	sound flaw = iota
	noID
	numberID
	otherScope
	otherInheritance
	alsoUser
	customCatalogue
	noOwner
)

// RoundTrip answers one request.
func (s *sky) RoundTrip(req *http.Request) (*http.Response, error) {
	x := &exchange{s: s, req: req}
	x.route()
	if x.ep < 0 {
		panic("no request of this program: " + req.Method + " " + req.URL.Path)
	}
	s.mu.Lock()
	b := s.home
	if x.m != nil {
		b = s.books[x.m.n]
	}
	if b.requests == 0 {
		b.first = time.Now()
	}
	b.requests++
	nth := b.asked[x.ep]
	b.asked[x.ep]++
	sub := uint64(0)
	if x.ep == epPolicy {
		if b.policies == nil {
			b.policies = map[string]int{}
		}
		id := x.path[3]
		nth = b.policies[id]
		b.policies[id]++
		for i := range len(id) {
			sub = sub*131 + uint64(id[i])
		}
	}
	run, calm := s.run, s.calm
	s.requests++
	count := s.requests
	if !calm {
		x.trouble = s.troubleFor(x.m, x.ep, run, nth)
	}
	s.mu.Unlock()
	who := uint64(99)
	if x.m != nil {
		who = uint64(x.m.n)
	}
	x.salt = mix(s.seed, who, uint64(x.ep), sub, uint64(run), uint64(nth))
	if s.onRequest != nil {
		s.onRequest(count)
	}
	if x.trouble != nil {
		return x.spoil(b)
	}
	if err := x.pass(x.latency()); err != nil {
		return nil, err
	}
	resp := x.answer()
	s.mu.Lock()
	b.honest[x.ep]++
	s.mu.Unlock()
	return resp, nil
}

// latency differs from request to request by at least a nanosecond, so that what happens first does not depend on luck.
func (x *exchange) latency() time.Duration {
	return time.Millisecond + time.Duration(x.salt%uint64(19*time.Millisecond))
}

// pass lets time go by, unless the request is given up.
func (x *exchange) pass(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-x.req.Context().Done():
		return context.Cause(x.req.Context())
	}
}

// route finds out what is asked, about which account.
func (x *exchange) route() {
	u := x.req.URL
	x.path = strings.Split(strings.TrimPrefix(u.Path, "/"), "/")
	x.path = append([]string{""}, x.path...)
	x.query = func(key string) string { return queryValue(u.RawQuery, key) }
	_, key, _ := strings.Cut(x.req.Header.Get("Authorization"), "Access=")
	x.key, _, _ = strings.Cut(key, ",")
	x.ep = epAny
	switch p := x.path; {
	case u.Path == "/v3.0/OS-CREDENTIAL/securitytokens" && x.req.Method == "POST":
		x.ep = epAssume
		raw, _ := io.ReadAll(x.req.Body)
		_, after, _ := bytes.Cut(raw, []byte(`"domain_id":"`))
		id, _, _ := bytes.Cut(after, []byte(`"`))
		x.m = x.s.member(string(id))
		return
	case x.req.Method != "GET":
		return
	case u.Path == "/v3.0/OS-AGENCY/agencies":
		if x.ep = epAllAgencies; x.query("name") != "" {
			x.ep = epAgencies
		}
	case u.Path == "/v3.0/OS-PERMISSION/role-assignments":
		x.agencyID = x.query("subject.agency_id")
		switch x.query("scope") {
		case "domain":
			if x.ep = epGlobal; x.query("is_inherited") == "true" {
				x.ep = epInherited
			}
		case "project":
			x.ep = epProject
		case "enterprise_project":
			x.ep = epEnterprise
		}
	case len(p) == 5 && p[1] == "v5" && p[4] == "attached-policies":
		x.ep, x.agencyID = epIdentity, p[3]
	case len(p) == 8 && p[2] == "OS-AGENCY" && p[7] == "roles":
		x.ep, x.agencyID = epGlobalRoles, p[6]
	case len(p) == 9 && p[2] == "OS-INHERIT":
		x.ep, x.agencyID = epInheritedRoles, p[6]
	case u.Path == "/v3/roles":
		x.ep = epCatalogue
	case len(p) == 4 && p[2] == "roles":
		x.ep = epPolicy
	case u.Path == "/v3/projects":
		x.ep = epProjects
	case u.Path == "/v3/auth/domains":
		x.ep = epDomains
	}
	x.m = x.s.keyHolder(x.key)
}

// queryValue is the first value of a key in a raw query.
func queryValue(raw, key string) string {
	for raw != "" {
		var part string
		part, raw, _ = strings.Cut(raw, "&")
		if k, v, _ := strings.Cut(part, "="); k == key {
			if strings.ContainsAny(v, "%+") {
				v = unescape(v)
			}
			return v
		}
	}
	return ""
}

func unescape(s string) string {
	var b []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s):
			n, _ := strconv.ParseUint(s[i+1:i+3], 16, 8)
			b = append(b, byte(n))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func (s *sky) member(id string) *member {
	for _, m := range s.members {
		if m.account.ID == id {
			return m
		}
	}
	return nil
}

// keyHolder is the account that a key was made for, nil for the main identity's.
func (s *sky) keyHolder(key string) *member {
	if rest, ok := strings.CutPrefix(key, "AK-"); ok {
		return s.member(rest)
	}
	rest, _ := strings.CutPrefix(key, "TK-")
	id, _, _ := strings.Cut(rest, "-")
	return s.member(id)
}

// signed says whether the key is good, and whose it is.
func (x *exchange) signed() (account string, ok bool) {
	if rest, permanent := strings.CutPrefix(x.key, "AK-"); permanent {
		if rest == "home" {
			return homeID, true
		}
		return rest, true
	}
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	t := x.s.keys[x.key]
	return t.account, x.now.Before(t.ends)
}

// answer says the truth of this instant.
func (x *exchange) answer() *http.Response {
	if refusal := x.prepare(); refusal != nil {
		return refusal
	}
	return x.respond(x.render())
}

// prepare finds what is to be said, or the refusal.
func (x *exchange) prepare() *http.Response {
	x.now = time.Now()
	x.page = 1
	if n, err := strconv.Atoi(x.query("page")); err == nil {
		x.page = n
	}
	account, ok := x.signed()
	if !ok {
		return x.keystone(401, "the key is not valid")
	}
	at := x.now
	if x.s.lag > 0 && x.salt>>32&1 == 1 {
		at = at.Add(-x.s.lag)
	}
	if x.ep == epDomains {
		x.list = []item{{id: account, name: "n"}}
		return nil
	}
	if x.ep == epCatalogue {
		for _, p := range x.s.siteAt(at) {
			if !p.hidden {
				x.list = append(x.list, item{id: p.id, name: p.name, unbounded: p.unbounded})
			}
		}
		return nil
	}
	if x.m == nil {
		return x.keystone(403, "no such account")
	}
	state := x.m.at(at)
	if x.ep == epAssume {
		return x.assume(state)
	}
	if account != x.m.account.ID { // the key is of another account, to which this one's lists show nothing
		x.list = nil
		return nil
	}
	h := x.m.habits
	switch x.ep {
	case epAgencies, epAllAgencies:
		want := x.query("name")
		for _, a := range state.agencies {
			if want == "" || h.filter == filterIgnored || a.name == want || h.filter == filterSubstring && strings.Contains(a.name, want) {
				x.list = append(x.list, item{id: a.id, name: a.name, owner: account, agency: a})
			}
		}
	case epPolicy:
		id := x.path[3]
		for _, c := range state.custom {
			if c.id == id {
				x.list = []item{{id: id, name: c.name, owner: account, unbounded: c.unbounded}}
				return nil
			}
		}
		for _, p := range x.s.siteAt(at) {
			if p.id == id && !p.hidden {
				x.list = []item{{id: id, name: p.name, unbounded: p.unbounded}}
				return nil
			}
		}
		return x.keystone(404, "Could not find role: "+id)
	case epProjects:
		for i, id := range x.m.projects {
			x.list = append(x.list, item{id: id, name: "project-" + strconv.Itoa(i)})
		}
	default:
		if x.ep == epEnterprise && h.noEnterprise || x.ep == epIdentity && h.noIdentity {
			return x.gateway(404, "APIGW.0101", "The API does not exist or has not been published in the environment")
		}
		a := state.agency(x.agencyID)
		if a == nil && !x.s.goneIsEmpty {
			return x.keystone(404, "Could not find agency: "+x.agencyID)
		}
		x.list = held(a, x.ep, x.m)
	}
	return nil
}

// held is what an agency holds on the plane that an endpoint shows; nothing if it does not exist.
func held(a *agencyRecord, ep endpoint, m *member) (list []item) {
	if a == nil {
		return nil
	}
	switch ep {
	case epIdentity:
		for _, p := range a.attached {
			list = append(list, item{id: p.id, name: p.name, urn: p.urn})
		}
		return list
	case epGlobalRoles:
		ep = epGlobal
	case epInheritedRoles:
		ep = epInherited
	}
	list = make([]item, 0, len(a.rows[ep-epGlobal]))
	for _, g := range a.rows[ep-epGlobal] {
		in := g.in
		if ep <= epInherited {
			in = m.account.ID
		}
		list = append(list, item{id: g.policy, in: in, owner: a.id})
	}
	return list
}

// siteAt is the vendor's catalogue at an instant.
func (w *world) siteAt(t time.Time) []vendorPolicy {
	for i := len(w.site) - 1; i > 0; i-- {
		if !w.site[i].at.After(t) {
			return w.site[i].policies
		}
	}
	return w.site[0].policies
}

// assume makes a temporary key of an account whose agency trusts the main identity's.
func (x *exchange) assume(state *state) *http.Response {
	way := state.named(entrance)
	if len(way) == 0 || way[0].trustID != homeID {
		if x.salt&1 == 0 {
			return x.keystone(404, "Could not find agency")
		}
		return x.keystone(403, "You are not authorized")
	}
	x.list = []item{{id: x.s.mint(x.m.account.ID, x.now.Add(x.s.session)), owner: x.m.account.ID}}
	return nil
}

func (s *sky) mint(account string, ends time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minted++
	key := "TK-" + account + "-" + strconv.Itoa(s.minted)
	s.keys[key] = temporary{account, ends}
	return key
}

// render writes the answer's body: the page that is asked for, with what belongs around it.
func (x *exchange) render() []byte {
	rows, next := x.paged()
	return x.write(rows, next)
}

// paged cuts the page out of the list, and says whether there are more.
func (x *exchange) paged() (rows []item, next int) {
	x.total = len(x.list)
	size, limit := 1<<30, 0
	switch x.ep {
	case epAgencies, epAllAgencies:
		if x.m.habits.unpaged {
			return x.list, 0
		}
		size, limit = number(x.query("per_page")), x.m.habits.agencyCap
	case epGlobal, epInherited, epProject, epEnterprise:
		size, limit = number(x.query("per_page")), x.m.habits.rowCap
	case epCatalogue:
		size, limit = number(x.query("per_page")), x.s.catalogueCap
	case epIdentity:
		from := min(number(strings.TrimPrefix(x.query("marker"), "m")), len(x.list))
		size = number(x.query("limit"))
		if x.m.habits.attachedCap > 0 {
			size = min(size, x.m.habits.attachedCap)
		}
		to := min(from+size, len(x.list))
		if to < len(x.list) {
			next = to
		}
		return x.list[from:to], next
	default:
		return x.list, 0
	}
	from := 0
	cut := func(n int) int {
		if limit == 0 {
			return size
		}
		if x.m != nil && x.m.habits.ragged {
			return min(size, 1+(n*7+x.m.n)%limit)
		}
		return min(size, limit)
	}
	for n := 1; n < x.page && from < len(x.list); n++ {
		from += cut(n)
	}
	from = min(from, len(x.list))
	to := min(from+cut(x.page), len(x.list))
	if to < len(x.list) {
		next = to
	}
	return x.list[from:to], next
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// write writes the body of an answer with these rows.
func (x *exchange) write(rows []item, next int) []byte {
	b := make([]byte, 0, 64+len(rows)*220)
	switch x.ep {
	case epAgencies, epAllAgencies:
		b = x.rows(append(b, `{"agencies":[`...), rows)
		return append(b, `]}`...)
	case epGlobal, epInherited, epProject, epEnterprise:
		b = strconv.AppendInt(append(b, `{"total_num":`...), int64(x.total), 10)
		b = x.rows(append(b, `,"role_assignments":[`...), rows)
		return append(b, `]}`...)
	case epIdentity:
		b = x.rows(append(b, `{"attached_policies":[`...), rows)
		b = append(b, `],"page_info":{`...)
		if next > 0 {
			b = strconv.AppendInt(append(b, `"next_marker":"m`...), int64(next), 10)
			b = append(b, `",`...)
		}
		b = strconv.AppendInt(append(b, `"current_count":`...), int64(len(rows)+x.total-len(x.list)), 10)
		return append(b, `}}`...)
	case epGlobalRoles, epInheritedRoles, epCatalogue:
		b = x.rows(append(b, `{"roles":[`...), rows)
		b = append(b, `],"links":{"self":"https://iam/v3/roles"`...)
		if next > 0 && x.ep == epCatalogue && x.s.seed&1 == 0 {
			b = append(b, `,"next":"https://iam/v3/roles?page=2"`...)
		}
		return append(b, `}}`...)
	case epPolicy:
		b = x.rows(append(b, `{"role":`...), rows)
		return append(b, '}')
	case epProjects:
		b = x.rows(append(b, `{"projects":[`...), rows)
		return append(b, `],"links":{}}`...)
	case epDomains:
		b = x.rows(append(b, `{"domains":[`...), rows)
		return append(b, `],"links":{}}`...)
	default: // assume
		ends := x.s.ends(rows[0].id)
		b = append(append(b, `{"credential":{"access":"`...), rows[0].id...)
		b = append(b, `","secret":"canary-secret","securitytoken":"canary-token","expires_at":"`...)
		b = ends.AppendFormat(b, "2006-01-02T15:04:05.000000Z")
		return append(b, `"}}`...)
	}
}

func (s *sky) ends(key string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[key].ends
}

func (x *exchange) rows(b []byte, rows []item) []byte {
	for i := range rows {
		if i > 0 {
			b = append(b, ',')
		}
		b = x.row(b, &rows[i])
	}
	return b
}

func (x *exchange) row(b []byte, r *item) []byte {
	id := func(b []byte) []byte {
		switch r.flaw {
		case noID:
			return append(b, `"ident":"`+r.id+`"`...)
		case numberID:
			return append(b, `"id":17`...)
		}
		return append(append(append(b, `"id":"`...), r.id...), '"')
	}
	switch x.ep {
	case epAgencies, epAllAgencies:
		a := r.agency
		b = text(append(id(append(b, '{')), `,"name":`...), r.name)
		b = append(append(b, `,"domain_id":"`...), r.owner...)
		b = append(append(append(b, `","trust_domain_id":"`...), a.trustID...), '"')
		if a.trustName != "" {
			b = text(append(b, `,"trust_domain_name":`...), a.trustName)
		}
		b = append(b, `,"description":"","duration":`...)
		switch {
		case !a.ends.IsZero():
			b = append(b, `"24","expire_time":"`...)
			b = append(x.time(b, a.ends), '"')
		case x.m.habits.duration == 0:
			b = append(b, `"FOREVER","expire_time":null`...)
		default:
			b = append(b, `null,"expire_time":null`...)
		}
		b = append(x.time(append(b, `,"create_time":"`...), a.created), `"}`...)
	case epGlobal, epInherited, epProject, epEnterprise:
		b = append(append(append(b, `{"agency":{"id":"`...), r.owner...), `"},"role":{`...)
		b = append(id(b), `},"scope":{"`...)
		kind := [...]string{"domain", "domain", "project", "enterprise_project"}[x.ep-epGlobal]
		inherited := x.ep == epInherited
		switch r.flaw {
		case otherScope:
			kind = [...]string{"project", "project", "domain", "project"}[x.ep-epGlobal]
		case otherInheritance:
			inherited = !inherited
		}
		b = append(append(append(append(b, kind...), `":{"id":"`...), r.in...), `"}}`...)
		if !(x.ep >= epProject && x.m != nil && x.m.habits.silent) || r.flaw == otherInheritance {
			b = strconv.AppendBool(append(b, `,"is_inherited":`...), inherited)
		}
		if r.flaw == alsoUser {
			b = append(b, `,"user":{"id":"u1"}`...)
		}
		b = append(b, '}')
	case epIdentity:
		b = append(b, '{')
		switch r.flaw {
		case noID:
			b = append(b, `"policy":"`+r.id+`"`...)
		case numberID:
			b = append(b, `"policy_id":17`...)
		default:
			b = append(append(append(b, `"policy_id":"`...), r.id...), '"')
		}
		b = text(append(b, `,"policy_name":`...), r.name)
		b = text(append(b, `,"urn":`...), r.urn)
		b = append(b, `,"attached_at":"1999-09-02T06:11:27Z"}`...)
	case epGlobalRoles, epInheritedRoles:
		b = append(id(append(b, '{')), `,"name":"system","display_name":"n","type":"AX"}`...)
	case epCatalogue, epPolicy:
		b = text(append(id(append(b, '{')), `,"name":"system_all","type":"AX","display_name":`...), r.name)
		switch {
		case r.flaw == noOwner:
		case r.owner == "":
			b = append(b, `,"domain_id":null`...)
		default:
			b = append(append(append(b, `,"domain_id":"`...), r.owner...), '"')
		}
		catalogue, action := "BASE", "ecs:*:get*"
		if r.owner != "" || r.flaw == customCatalogue {
			catalogue = "CUSTOMED"
		}
		if r.unbounded {
			action = "*:*:*"
		}
		b = append(append(append(b, `,"catalog":"`...), catalogue...), `","policy":{"Version":"1.1","Statement":[{"Effect":"Allow","Action":["`...)
		b = append(append(b, action...), `"]}]}}`...)
	default:
		b = text(append(id(append(b, '{')), `,"name":`...), r.name)
		b = append(b, `,"enabled":true,"description":""}`...)
	}
	return b
}

// text writes a JSON string.
func text(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // never fails for a string
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

func (x *exchange) time(b []byte, t time.Time) []byte {
	form := "2006-01-02T15:04:05.000000"
	if x.m != nil {
		form = [...]string{form, form + "Z", "2006-01-02T15:04:05Z", "2006-01-02 15:04:05"}[x.m.habits.timeForm]
	}
	return t.AppendFormat(b, form)
}

// respond makes the answer with the status of success.
func (x *exchange) respond(body []byte) *http.Response {
	status := 200
	if x.ep == epAssume {
		status = 201
	}
	return x.reply(status, body)
}

func (x *exchange) reply(status int, body []byte) *http.Response {
	id := strconv.AppendUint(make([]byte, 0, 16), x.salt, 36)
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: x.req,
		Header: http.Header{"Content-Type": jsonType, "X-Request-Id": {string(id)}},
		Body:   io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
}

var jsonType = []string{"application/json;charset=UTF-8"}

func (x *exchange) keystone(status int, message string) *http.Response {
	return x.reply(status, fmt.Appendf(nil, `{"error":{"message":%q,"code":%d,"title":%q}}`, message, status, http.StatusText(status)))
}

func (x *exchange) gateway(status int, code, message string) *http.Response {
	return x.reply(status, fmt.Appendf(nil, `{"error_msg":%q,"error_code":%q,"request_id":"r"}`, message, code))
}

// mix makes one number of several, every bit of which depends on all of them.
func mix(parts ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, p := range parts {
		h ^= p
		h ^= h >> 30
		h *= 0xbf58476d1ce4e5b9
		h ^= h >> 27
		h *= 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

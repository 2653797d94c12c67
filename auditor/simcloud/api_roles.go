package simcloud

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxRoles is the most that a page of policies holds, and what comes without paging (facts 3.1).
const maxRoles = 300

// rolePages keeps pages of the whole system-defined catalogue, by first row and size: every client reads them, and they
// never change. Clients ask for one size, or a few; of more, not all are kept.
type rolePages struct {
	mu    sync.Mutex
	pages map[[2]int][]byte
}

const maxRolePages = 64

// listRoles is facts 3.1: an account's custom policies with domain_id, the system-defined ones without.
func (x *call) listRoles() answer {
	page, a := x.paging(maxRoles)
	if a != nil {
		return *a
	}
	if !page.given {
		page.size = x.cap(maxRoles)
	}
	if a := x.ownQuery(false); a != nil {
		return *a
	}
	_, custom := x.get("domain_id")
	keep, filtered, a := x.roleFilter(custom)
	if a != nil {
		return *a
	}
	if !custom && !filtered {
		return ok(x.cachedPage(page))
	}
	from := x.c.system
	if custom {
		from = x.account.policies
	}
	var found []*policy
	for _, p := range from {
		if !p.identity() && !p.Hidden && keep(p) {
			found = append(found, p)
		}
	}
	b := x.rolePage(pageOf(page, found), x.c.role)
	if custom {
		b.WriteString(`,"total_number":` + strconv.Itoa(len(found)))
	}
	b.WriteByte('}')
	return ok(b.Bytes())
}

// roleFilter reads the parameters that choose policies, and says whether there are any.
func (x *call) roleFilter(custom bool) (keep func(*policy) bool, filtered bool, refused *answer) {
	name, byName := x.get("name")
	display, byDisplay := x.get("display_name")
	catalog, byCatalog := x.get("catalog")
	kind, byKind := x.get("permission_type")
	layer, byLayer := x.get("type")
	switch {
	case byKind && kind != "policy" && kind != "role":
		a := x.badRequest("Invalid input: permission_type is %q, must be policy or role", kind)
		return nil, false, &a
	case byLayer && layer != "domain" && layer != "project" && layer != "all":
		a := x.badRequest("Invalid input: type is %q, must be domain, project or all", layer)
		return nil, false, &a
	}
	byKind = byKind && !custom
	// That case does not matter in display names is our inference.
	display = strings.ToLower(display)
	keep = func(p *policy) bool {
		switch {
		case byName && p.InternalName != name,
			byDisplay && !strings.Contains(strings.ToLower(p.DisplayName), display),
			byCatalog && p.Catalog != catalog,
			byKind && (p.Version == "1.0") != (kind == "role"),
			byLayer && layer == "domain" && p.Type[0] != 'A',
			byLayer && layer == "project" && p.Type[1] != 'A',
			byLayer && layer == "all" && p.Type == "XX":
			return false
		}
		return true
	}
	return keep, byName || byDisplay || byCatalog || byKind || byLayer, nil
}

// rolePage is a page of policies without the closing brace. Links to other pages stay null.
func (x *call) rolePage(rows []*policy, encode func(*policy) []byte) *bytes.Buffer {
	b := &bytes.Buffer{}
	b.WriteString(`{"roles":[`)
	for i, p := range rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(p))
	}
	b.WriteString(`],"links":`)
	b.Write(mustJSON(links{Self: x.c.site + x.r.URL.EscapedPath()}))
	return b
}

// cachedPage is a page of the whole system-defined catalogue.
func (x *call) cachedPage(page paging) []byte {
	k, key := &x.c.rolePages, [2]int{page.from, page.size}
	k.mu.Lock()
	defer k.mu.Unlock()
	if body := k.pages[key]; body != nil {
		return body
	}
	body := append(x.rolePage(pageOf(page, x.c.system), x.c.role).Bytes(), '}')
	if k.pages == nil {
		k.pages = map[[2]int][]byte{}
	}
	if len(k.pages) < maxRolePages {
		k.pages[key] = body
	}
	return body
}

// showRole is facts 3.2. Another account's custom policies do not exist for the caller.
func (x *call) showRole() answer {
	p := x.grantable(x.params[0])
	if p == nil || p.Hidden {
		return x.noRole(x.params[0])
	}
	return ok(wrapRole(x.c.role(p)))
}

func wrapRole(role []byte) []byte {
	return append(append([]byte(`{"role":`), role...), '}')
}

// listCustomPolicies is facts 3.2.
func (x *call) listCustomPolicies() answer {
	page, a := x.paging(maxRoles)
	if a != nil {
		return *a
	}
	if !page.given {
		page.size = x.cap(maxRoles)
	}
	var found []*policy
	for _, p := range x.account.policies {
		if !p.identity() && !p.Hidden {
			found = append(found, p)
		}
	}
	b := x.rolePage(pageOf(page, found), x.c.custom)
	b.WriteString(`,"total_number":` + strconv.Itoa(len(found)) + `}`)
	return ok(b.Bytes())
}

// showCustomPolicy is facts 3.2; references counts the grants of the policy.
func (x *call) showCustomPolicy() answer {
	p := x.grantable(x.params[0])
	if p == nil || p.owner == nil || p.Hidden {
		return x.noRole(x.params[0])
	}
	n := 0
	for _, g := range x.account.truth() {
		for _, y := range g.grants {
			if y.policy == p {
				n++
			}
		}
	}
	body := x.c.roleBody(p)
	body.Links = selfLink{x.c.site + "/v3.0/OS-ROLE/roles/" + p.ID}
	body.References = &n
	return answer{status: http.StatusOK, body: wrapRole(mustJSON(body))}
}

package simcloud

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// projectBody is a project as IAM v3 shows it (facts 4).
type projectBody struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	ParentID    string `json:"parent_id"`
	DomainID    string `json:"domain_id"`
	Enabled     bool   `json:"enabled"`
	IsDomain    bool   `json:"is_domain"`
	Description string `json:"description"`
	Links       any    `json:"links"`
}

// parent is the region's project for a sub-project, whose name begins with the region's, else the account.
func (a *account) parent(p Project) string {
	if region, _, sub := strings.Cut(p.Name, "_"); sub {
		for _, q := range a.projects {
			if q.Name == region {
				return q.ID
			}
		}
	}
	return a.id
}

func (x *call) projectBody(p Project) projectBody {
	return projectBody{
		ID: p.ID, Name: p.Name, ParentID: x.account.parent(p), DomainID: x.account.id, Enabled: true,
		Links: selfLink{x.c.site + "/v3/projects/" + p.ID},
	}
}

// listProjects is KeystoneListProjects, which needs no permission.
func (x *call) listProjects() answer {
	page, a := x.paging(5000)
	if a != nil {
		return *a
	}
	if a := x.ownQuery(false); a != nil {
		return *a
	}
	enabled, a := x.boolean("enabled", true)
	if a != nil {
		return *a
	}
	domains, a := x.boolean("is_domain", false)
	if a != nil {
		return *a
	}
	name, byName := x.get("name")
	parent, byParent := x.get("parent_id")
	rows := []projectBody{}
	for _, p := range x.account.projects {
		b := x.projectBody(p)
		if enabled && !domains && (!byName || name == b.Name) && (!byParent || parent == b.ParentID) {
			b.Links = links{Self: x.c.site + "/v3/projects/" + p.ID}
			rows = append(rows, b)
		}
	}
	return ok(mustJSON(struct {
		Projects []projectBody `json:"projects"`
		Links    links         `json:"links"`
	}{append([]projectBody{}, pageOf(page, rows)...), links{Self: x.c.site + "/v3/projects"}}))
}

// listAuthProjects is KeystoneListAuthProjects: the projects in which the key may act, which are all of its account.
func (x *call) listAuthProjects() answer {
	rows := []projectBody{}
	for _, p := range x.account.projects {
		rows = append(rows, x.projectBody(p))
	}
	return ok(mustJSON(struct {
		Projects []projectBody `json:"projects"`
		Links    selfLink      `json:"links"`
	}{rows, selfLink{x.c.site + "/v3/auth/projects"}}))
}

// listAuthDomains is KeystoneListAuthDomains: how clients learn their account's id (facts 4).
func (x *call) listAuthDomains() answer {
	type domain struct {
		ID          string   `json:"id"`
		Name        string   `json:"name"`
		Enabled     bool     `json:"enabled"`
		Description string   `json:"description"`
		Links       selfLink `json:"links"`
	}
	return ok(mustJSON(struct {
		Domains []domain `json:"domains"`
		Links   selfLink `json:"links"`
	}{
		[]domain{{ID: x.account.id, Name: x.account.name(), Enabled: true,
			Links: selfLink{x.c.site + "/v3/domains/" + x.account.id}}},
		selfLink{x.c.site + "/v3/auth/domains"},
	}))
}

// listRegions is KeystoneListRegions: the one region of the site.
func (x *call) listRegions() answer {
	type region struct {
		ID             string            `json:"id"`
		Type           string            `json:"type"`
		Description    string            `json:"description"`
		ParentRegionID *string           `json:"parent_region_id"`
		Locales        map[string]string `json:"locales"`
		Links          selfLink          `json:"links"`
	}
	id := x.c.region
	return ok(mustJSON(struct {
		Regions []region `json:"regions"`
		Links   links    `json:"links"`
	}{
		[]region{{ID: id, Type: "public", Locales: map[string]string{"en-us": id, "zh-cn": id},
			Links: selfLink{x.c.site + "/v3/regions/" + id}}},
		links{Self: x.c.site + "/v3/regions"},
	}))
}

// listEnterpriseProjects is EPS (facts 4).
func (x *call) listEnterpriseProjects() answer {
	type row struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		Description string `json:"description"`
		Status      int    `json:"status"`
		CreatedAt   string `json:"created_at"`
		UpdatedAt   string `json:"updated_at"`
		Type        string `json:"type"`
		DeleteFlag  bool   `json:"delete_flag"`
	}
	if a := x.once(); a != nil {
		return *a
	}
	limit, a := x.number("limit", 1, 1000, 1000)
	if a != nil {
		return *a
	}
	limit = x.cap(limit)
	offset, a := x.number("offset", 0, math.MaxInt32, 0)
	if a != nil {
		return *a
	}
	status, byStatus := x.get("status")
	name, _ := x.get("name")
	id, byID := x.get("id")
	kind, byKind := x.get("type")
	rows := []row{}
	for _, p := range x.account.enterprise {
		if byStatus && status != "1" || !strings.Contains(p.Name, name) || byID && id != p.ID || byKind && kind != "prod" {
			continue
		}
		at := defaultCreatedAt().Format(time.RFC3339)
		rows = append(rows, row{ID: p.ID, Name: p.Name, Status: 1, CreatedAt: at, UpdatedAt: at, Type: "prod"})
	}
	x.pageRows = limit
	offset = x.cut().offset(offset, limit)
	from := min(offset, len(rows))
	return ok(mustJSON(struct {
		EnterpriseProjects []row `json:"enterprise_projects"`
		TotalCount         int   `json:"total_count"`
	}{rows[from:min(len(rows), from+limit)], len(rows)}))
}

// number reads a parameter within its bounds.
func (x *call) number(name string, least, most, otherwise int) (int, *answer) {
	v, given := x.get(name)
	if !given {
		return otherwise, nil
	}
	n, err := decimal(v)
	if err != nil || n < least || n > most {
		a := x.badRequest("Invalid input: %s is %q, must be %s to %s", name, v, strconv.Itoa(least), strconv.Itoa(most))
		return 0, &a
	}
	return n, nil
}

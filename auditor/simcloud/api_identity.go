package simcloud

import (
	"cmp"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// maxAttached is how many identity policies an agency may have. The real quota is not among the facts: our inference.
const maxAttached = 10

// v5Time is how IAM v5 writes times.
const v5Time = "2006-01-02T15:04:05.000Z"

// agencyV5 is an agency as IAM v5 shows it (facts 8): one of the v3 kind has a trusted account, a trust agency has a trust
// policy.
type agencyV5 struct {
	ID                 string      `json:"agency_id"`
	Name               string      `json:"agency_name"`
	URN                string      `json:"urn"`
	Path               string      `json:"path"`
	CreatedAt          string      `json:"created_at"`
	Description        string      `json:"description"`
	MaxSessionDuration int         `json:"max_session_duration"`
	TrustPolicy        string      `json:"trust_policy,omitempty"`
	TrustDomainID      string      `json:"trust_domain_id,omitempty"`
	TrustDomainName    string      `json:"trust_domain_name,omitempty"`
	Tags               *[]struct{} `json:"tags,omitempty"`
}

func (x *call) agencyV5(g *agency) agencyV5 {
	b := agencyV5{
		ID: g.id, Name: g.name, URN: agencyURN(x.account, g), CreatedAt: g.createdAt.Format(v5Time),
		Description: g.description, MaxSessionDuration: g.maxSession,
	}
	if g.trustPolicy != nil {
		b.TrustPolicy = g.trustPolicy.document(x.s)
	} else {
		b.TrustDomainID, b.TrustDomainName = g.trust.ID, x.trustName(g.trust)
	}
	return b
}

// pageInfo is the end of every list of IAM v5: next_marker is absent on the last page (facts 8).
type pageInfo struct {
	NextMarker   string `json:"next_marker,omitempty"`
	CurrentCount int    `json:"current_count"`
}

// markerPrefix tells a marker of this cloud from anything else.
const markerPrefix = "after:"

// markerPage returns the rows after the marker, at most as many as the limit says. Rows must be in the order of their
// ids, and a marker holds the last id that was seen, so that no row is lost when others come and go in between.
func markerPage[T any](x *call, rows []T, id func(T) string, most, otherwise int) (page []T, next string, refused *answer) {
	if a := x.once(); a != nil {
		return nil, "", a
	}
	limit, a := x.number("limit", 1, most, min(most, otherwise))
	if a != nil {
		return nil, "", a
	}
	limit = x.cap(limit)
	x.pageRows = limit
	if marker, given := x.get("marker"); given && x.cut() != looped {
		raw, err := base64.URLEncoding.DecodeString(marker)
		after, ours := strings.CutPrefix(string(raw), markerPrefix)
		if err != nil || !ours {
			a := x.badMarker()
			return nil, "", &a
		}
		from, seen := slices.BinarySearchFunc(rows, after, func(r T, s string) int { return cmp.Compare(id(r), s) })
		if seen && x.cut() != overlapping {
			from++
		}
		rows = rows[from:]
		if x.cut() == ending {
			rows = nil
		}
	}
	more := len(rows) > limit && x.cut() != ending || x.cut() == looped
	rows = rows[:min(len(rows), limit)]
	if more && len(rows) > 0 {
		last := markerPrefix + id(rows[len(rows)-1])
		next = base64.URLEncoding.EncodeToString([]byte(last))
	}
	return rows, next, nil
}

// badMarker is the refusal of a marker. Only IAM v5's is known.
func (x *call) badMarker() answer {
	if x.op.service == identityService {
		return x.pap(http.StatusBadRequest, "PAP5.0010", "The marker is invalid", "")
	}
	return x.badRequest("Invalid input: the marker is invalid")
}

// pageV5 is a page of IAM v5.
func pageV5[T any](x *call, rows []T, id func(T) string) ([]T, pageInfo, *answer) {
	rows = slices.SortedFunc(slices.Values(rows), func(p, q T) int { return cmp.Compare(id(p), id(q)) })
	page, next, a := markerPage(x, rows, id, 200, 100)
	return page, pageInfo{next, len(page)}, a
}

// listAgenciesV5 has no filter by name. The path of all agencies here is empty.
func (x *call) listAgenciesV5() answer {
	agencies := x.listed()
	if prefix, _ := x.get("path_prefix"); prefix != "" {
		agencies = nil
	}
	page, info, a := pageV5(x, agencies, func(g *agency) string { return g.id })
	if a != nil {
		return *a
	}
	rows := make([]agencyV5, 0, len(page))
	for _, g := range page {
		rows = append(rows, x.agencyV5(g))
	}
	return ok(mustJSON(struct {
		Agencies []agencyV5 `json:"agencies"`
		PageInfo pageInfo   `json:"page_info"`
	}{rows, info}))
}

func (x *call) noEntity(kind, id string) answer {
	return x.pap(http.StatusNotFound, "PAP5.0012", "The "+kind+" "+id+" cannot be found", "")
}

// getAgencyV5 adds the tags, of which there are none.
func (x *call) getAgencyV5() answer {
	g := findAgency(x.account.truth(), x.params[0])
	if g == nil {
		return x.noEntity("agency", x.params[0])
	}
	b := x.agencyV5(g)
	b.Tags = &[]struct{}{}
	return ok(mustJSON(struct {
		Agency agencyV5 `json:"agency"`
	}{b}))
}

// attachedBody is an attached identity policy.
type attachedBody struct {
	Name       string `json:"policy_name"`
	ID         string `json:"policy_id"`
	URN        string `json:"urn"`
	AttachedAt string `json:"attached_at"`
}

func policyURN(p *policy) string {
	if p.owner != nil {
		return identityURN(p.owner.id, p.DisplayName)
	}
	return identityURN("", p.DisplayName)
}

// listAttached is ListAttachedAgencyPoliciesV5.
func (x *call) listAttached() answer {
	g := findAgency(x.listed(), x.params[0])
	if g == nil {
		return x.noEntity("agency", x.params[0])
	}
	page, info, a := pageV5(x, g.attached, func(y attachment) string { return y.policy.ID })
	if a != nil {
		return *a
	}
	rows := make([]attachedBody, 0, len(page))
	for _, y := range page {
		rows = append(rows, attachedBody{
			Name: y.policy.DisplayName, ID: y.policy.ID, URN: policyURN(y.policy), AttachedAt: y.at.Format(v5Time),
		})
	}
	return ok(mustJSON(struct {
		AttachedPolicies []attachedBody `json:"attached_policies"`
		PageInfo         pageInfo       `json:"page_info"`
	}{rows, info}))
}

// attach is AttachAgencyPolicyV5. Attaching what is attached changes nothing and succeeds: our inference.
func (x *call) attach() answer {
	return x.changeAttached(func(g *agency, p *policy) (*agency, *answer) {
		switch {
		case g.has(p):
			return g, nil
		case len(g.attached) >= maxAttached:
			a := x.pap(http.StatusConflict, "PAP5.0003", "The limit of attached policies per agency is exceeded", "")
			return nil, &a
		}
		return g.withPolicy(p, x.now), nil
	})
}

// detach is DetachAgencyPolicyV5. What is not attached is not found: our inference.
func (x *call) detach() answer {
	return x.changeAttached(func(g *agency, p *policy) (*agency, *answer) {
		if !g.has(p) {
			a := x.noEntity("attachment of policy", p.ID)
			return nil, &a
		}
		return g.withoutPolicy(p), nil
	})
}

func (x *call) changeAttached(do func(*agency, *policy) (*agency, *answer)) answer {
	var body struct {
		AgencyID string `json:"agency_id"`
	}
	if a := x.decode(&body); a != nil {
		return *a
	}
	if !validID(body.AgencyID) {
		return x.badRequest("agency_id must be 1 to 64 letters, digits and hyphens")
	}
	p := x.c.policyByID(x.account, x.params[0])
	if p == nil || !p.identity() {
		return x.noEntity("policy", x.params[0])
	}
	var w Write
	a := x.write(func(agencies []*agency) ([]*agency, error) {
		g := findAgency(agencies, body.AgencyID)
		if g == nil {
			return nil, refusal{x.noEntity("agency", body.AgencyID)}
		}
		next, refused := do(g, p)
		if refused != nil {
			return nil, refusal{*refused}
		}
		w = Write{AgencyID: g.id, Agency: g.name, PolicyID: p.ID, Policy: p.DisplayName, Scope: "identity"}
		if next == g {
			return agencies, nil
		}
		return replace(agencies, next), nil
	}, func() []Write { return []Write{w} })
	if a != nil {
		return *a
	}
	return answer{status: http.StatusOK}
}

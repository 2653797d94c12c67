package simcloud

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
)

// policy is a policy as the cloud serves it. It never changes, so that all accounts share the system-defined ones.
type policy struct {
	Policy
	// owner is the account of a custom policy; nil for a system-defined one.
	owner *account
	// allows are the operations that the policy's statement allows in the role and policy model (versions 1.0 and
	// 1.1) or for identity policies (5.0), whichever the policy is.
	allows operationSet
	// assumes are the agencies that may be assumed with it, for a statement that is limited to them.
	assumes []assumption

	encode     sync.Once
	roleJSON   []byte
	customJSON []byte
	briefJSON  []byte
}

// identity says whether it is an identity policy (v5), which IAM v3 neither shows nor grants.
func (p *policy) identity() bool { return p.Version == "5.0" }

// newPolicy prepares a policy whose fields are filled in and checked.
func (c *Cloud) newPolicy(decl Policy, owner *account) *policy {
	p := &policy{Policy: decl, owner: owner}
	allows := c.allowed(decl.Allow, p.identity(), !p.identity())
	if len(decl.Resources) == 0 {
		p.allows = allows
	} else if ways := allows & c.assuming; ways != 0 {
		// A statement that names resources allows nothing else: the other operations do not act on agencies.
		for _, path := range decl.Resources {
			p.assumes = append(p.assumes, assumption{ways, path})
		}
	}
	return p
}

// assumption is the right to assume the agencies of a path, or of a urn, by some operations.
type assumption struct {
	ways operationSet
	path string
}

// actionServices are the services that the actions of the operations are of.
var actionServices = [...]string{"iam", "eps", "sts", "organizations"}

// allowed returns the operations that the patterns allow, by their names for identity policies and by those of the
// role and policy model, as asked.
func (c *Cloud) allowed(patterns []string, identity, roles bool) operationSet {
	var set operationSet
	for _, pattern := range patterns {
		service, _, _ := strings.Cut(pattern, ":")
		if !slices.Contains(actionServices[:], service) && !strings.Contains(service, "*") {
			continue // no operation is of that service
		}
		for i := range c.operations {
			op := &c.operations[i]
			for _, action := range op.actions {
				if roles && matchAction(pattern, action) {
					set.add(i)
				}
			}
			if identity && op.identityAction != "" && matchAction(pattern, op.identityAction) {
				set.add(i)
			}
		}
	}
	return set
}

// validAction says whether an action pattern is one: three parts, or a single *.
func validAction(pattern string) bool {
	return pattern == "*" || strings.Count(pattern, ":") == 2 && !strings.ContainsAny(pattern, " \t\n")
}

// matchAction says whether the pattern allows the action: part by part, * standing for any text within a part. Names of
// services have lower case only; in the other parts case does not matter (the SDK's comment on PolicyStatement.Action).
func matchAction(pattern, action string) bool {
	if pattern == "*" {
		return true
	}
	for part := range 3 {
		p, restP, okP := strings.Cut(pattern, ":")
		a, restA, okA := strings.Cut(action, ":")
		if okP != okA || okP != (part < 2) {
			return false
		}
		if part > 0 {
			p, a = strings.ToLower(p), strings.ToLower(a)
		}
		if !matchWildcard(p, a) {
			return false
		}
		pattern, action = restP, restA
	}
	return true
}

// matchWildcard matches text against a pattern in which * stands for any text, the empty one included.
func matchWildcard(pattern, text string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == text
	}
	if !strings.HasPrefix(text, head) {
		return false
	}
	text = text[len(head):]
	for {
		middle, tail, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, rest)
		}
		i := strings.Index(text, middle)
		if i < 0 {
			return false
		}
		text, rest = text[i+len(middle):], tail
	}
}

// operationSet is a set of operations by their index.
type operationSet uint64

func (s *operationSet) add(i int)     { *s |= 1 << i }
func (s operationSet) has(i int) bool { return s&(1<<i) != 0 }

// links is the member of the same name; next and previous are null wherever they exist.
type links struct {
	Self     string  `json:"self"`
	Next     *string `json:"next"`
	Previous *string `json:"previous"`
}

type selfLink struct {
	Self string `json:"self"`
}

// roleBody is RoleResult of facts 3.3.
type roleBody struct {
	ID            string       `json:"id"`
	Name          string       `json:"name"`
	DisplayName   string       `json:"display_name"`
	Type          string       `json:"type"`
	Catalog       string       `json:"catalog"`
	DomainID      *string      `json:"domain_id"`
	Flag          string       `json:"flag,omitempty"`
	Description   string       `json:"description"`
	DescriptionCN string       `json:"description_cn"`
	Links         any          `json:"links"`
	UpdatedTime   string       `json:"updated_time,omitempty"`
	CreatedTime   string       `json:"created_time,omitempty"`
	References    *int         `json:"references,omitempty"`
	Policy        documentBody `json:"policy"`
}

type documentBody struct {
	Version   string          `json:"Version"`
	Depends   []dependsBody   `json:"Depends,omitempty"`
	Statement []statementBody `json:"Statement"`
}

type dependsBody struct {
	Catalog     string `json:"catalog"`
	DisplayName string `json:"display_name"`
}

type statementBody struct {
	Effect   string       `json:"Effect"`
	Action   []string     `json:"Action"`
	Resource *resourceURI `json:"Resource,omitempty"`
}

type resourceURI struct {
	URI []string `json:"uri"`
}

// body is the policy as IAM v3 shows it.
func (c *Cloud) roleBody(p *policy) roleBody {
	b := roleBody{
		ID: p.ID, Name: p.InternalName, DisplayName: p.DisplayName, Type: p.Type, Catalog: p.Catalog,
		Description: p.Description, DescriptionCN: p.Description,
		Links: links{Self: c.site + "/v3/roles/" + p.ID},
		Policy: documentBody{Version: p.Version, Statement: []statementBody{{
			Effect: "Allow", Action: p.Allow,
		}}},
	}
	if p.owner != nil {
		b.DomainID = &p.owner.id
		b.CreatedTime, b.UpdatedTime = "1717000000000", "1718000000000"
	} else if p.Version == "1.1" {
		b.Flag = "fine_grained"
	}
	if len(p.Resources) > 0 {
		b.Policy.Statement[0].Resource = &resourceURI{URI: p.Resources}
	}
	for _, name := range p.Depends {
		d := dependsBody{DisplayName: name, Catalog: "BASE"}
		if q := c.systemByName[name]; len(q) > 0 {
			d.Catalog = q[0].Catalog
		}
		b.Policy.Depends = append(b.Policy.Depends, d)
	}
	return b
}

// prepare encodes the policy once, on first use: most policies of most accounts are never asked for.
func (c *Cloud) prepare(p *policy) {
	p.encode.Do(func() {
		body := c.roleBody(p)
		p.roleJSON = mustJSON(body)
		p.briefJSON = mustJSON(struct {
			ID    string   `json:"id"`
			Name  string   `json:"name"`
			Links selfLink `json:"links"`
		}{p.ID, p.InternalName, selfLink{c.site + "/v3/roles/" + p.ID}})
		if p.owner != nil {
			body.Links = selfLink{c.site + "/v3.0/OS-ROLE/roles/" + p.ID}
			p.customJSON = mustJSON(body)
		}
	})
}

// role is the policy as /v3/roles and the grant lists of a domain and a project show it.
func (c *Cloud) role(p *policy) []byte {
	c.prepare(p)
	return p.roleJSON
}

// brief is the policy as the grant list of all projects shows it: id, name and links (facts 2.3).
func (c *Cloud) brief(p *policy) []byte {
	c.prepare(p)
	return p.briefJSON
}

// custom is the policy as /v3.0/OS-ROLE/roles shows it.
func (c *Cloud) custom(p *policy) []byte {
	c.prepare(p)
	return p.customJSON
}

// mustJSON encodes a value of this package, which cannot fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simcloud: an answer of the cloud cannot be encoded: " + err.Error())
	}
	return b
}

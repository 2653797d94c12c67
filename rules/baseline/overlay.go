package baseline

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// Overlay is what a file adds to a baseline: grants that certain accounts may have.
type Overlay struct {
	// Baseline is the name of the baseline that it is for.
	Baseline string
	Allowed  []rules.Allowance
	// Digest is the SHA-256 of the file, in lower-case hexadecimal.
	Digest string
}

type writtenOverlay struct {
	Version  int         `yaml:"version"`
	Baseline string      `yaml:"baseline"`
	Allow    []allowance `yaml:"allow"`
}

type allowance struct {
	Accounts []string            `yaml:"accounts"`
	OUs      []string            `yaml:"ous"`
	Tags     map[string][]string `yaml:"tags"`
	Policy   string              `yaml:"policy"`
	PolicyID string              `yaml:"policy_id"`
	Scope    string              `yaml:"scope"`
	Risk     string              `yaml:"risk"`
	Owner    string              `yaml:"owner"`
	Reason   string              `yaml:"reason"`
}

func (a *allowance) selector() selector { return selector{a.Accounts, a.OUs, a.Tags} }

// LoadOverlay reads an overlay. file is the name that faults give it. The error is a strictyaml.Faults with everything that is
// wrong; then there is no overlay. The document is for whoever finds more faults.
func LoadOverlay(file string, data []byte) (Overlay, *strictyaml.Document, error) {
	risks, err := loadRisks(riskYAML)
	if err != nil {
		return Overlay{}, nil, fmt.Errorf("the bundled table of risks is faulty: %w", err)
	}
	var f writtenOverlay
	doc, err := strictyaml.Decode(file, data, &f)
	c := checker{doc: doc, risks: risks}
	c.version(f.Version)
	if c.doc.Require("baseline", "write the name of the baseline that it is for, such as coc") && !namePattern.MatchString(f.Baseline) {
		c.doc.Add("baseline", "is not the name of a baseline", "write a name such as coc")
	}
	if len(f.Allow) == 0 {
		c.doc.Add("allow", "allows nothing", "list the grants that are meant, or delete the file")
	}
	for i := range f.Allow {
		c.allowance(strictyaml.Index("allow", i), &f.Allow[i])
	}
	if fault := doc.Err(); fault != nil {
		err = fault
	}
	if err != nil {
		return Overlay{}, doc, err
	}
	digest := sha256.Sum256(data)
	o := Overlay{Baseline: f.Baseline, Digest: hex.EncodeToString(digest[:])}
	for i := range f.Allow {
		a := &f.Allow[i]
		o.Allowed = append(o.Allowed, rules.Allowance{
			Selector: a.selector().rules(), Policy: a.Policy, PolicyID: a.PolicyID, Scope: rules.ScopeKind(a.Scope),
			Critical: a.Risk == string(rules.RiskCritical), Owner: a.Owner, Reason: a.Reason,
		})
	}
	return o, doc, nil
}

func (c *checker) allowance(at string, a *allowance) {
	c.selector(at, a.selector())
	named, byID := c.doc.Has(at+".policy"), c.doc.Has(at+".policy_id")
	switch {
	case named && byID:
		c.doc.Add(at, "names a policy twice", "keep policy for a system-defined one, or policy_id for any")
	case named:
		c.line(at+".policy", a.Policy, maxName, "the display name of a system-defined policy")
	case byID:
		c.line(at+".policy_id", a.PolicyID, maxName, "the id of a policy")
	default:
		c.doc.Add(at, "names no policy", "write policy, the display name of a system-defined one, or policy_id, the id of any")
	}
	if c.doc.Require(at+".scope", "write where it may be granted: "+planeWords()) && rules.ScopeKind(a.Scope).Label() == a.Scope {
		c.doc.Add(at+".scope", fmt.Sprintf("unknown scope %q", a.Scope), "write one of "+planeWords())
	}
	if c.doc.Has(at+".risk") && a.Risk != string(rules.RiskCritical) {
		c.doc.Add(at+".risk", fmt.Sprintf("%q means nothing here", a.Risk), "write critical for a policy that can take over the account, or delete it")
	}
	if named && a.Risk == "" && c.risks.Of(rules.Policy{Name: a.Policy, Origin: rules.System}) == rules.RiskCritical {
		c.doc.Add(at+".policy", fmt.Sprintf("%q lets its holder take over the account", a.Policy),
			"write risk: critical beside it if that is really meant")
	}
	c.line(at+".owner", a.Owner, maxName, "who answers for it, such as a team")
	c.line(at+".reason", a.Reason, maxSentence, "why it is meant, in a sentence")
}

// Apply returns the baseline with what its overlays allow. Overlays of other baselines are not looked at.
func Apply(b rules.Baseline, overlays []Overlay) rules.Baseline {
	for _, o := range overlays {
		if o.Baseline == b.Name {
			b.Allowed = append(b.Allowed[:len(b.Allowed):len(b.Allowed)], o.Allowed...)
			b.Overlays = append(b.Overlays[:len(b.Overlays):len(b.Overlays)], o.Digest)
		}
	}
	return b
}

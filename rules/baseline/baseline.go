// Package baseline reads written baselines: the reviewed statements of what an agency must be, as strict YAML files, and
// the ones that the program brings along.
//
// A file that is accepted has passed every check of this package, so that whoever holds a rules.Baseline from here need
// not doubt it: its names are names, its scopes can be required, no two of its requirements contradict each other, and it
// does not ask for a policy that would hand over the account. docs/baselines.md is the manual of the file.
package baseline

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// FormatVersion is the version of the file format that this package reads.
const FormatVersion = 1

// DefaultWarnBeforeExpiry is how long before its end an agency's validity becomes a finding when the file does not say.
const DefaultWarnBeforeExpiry = 30 * 24 * time.Hour

//go:embed coc.yaml
var cocYAML string

//go:embed dli.yaml
var dliYAML string

//go:embed risk.yaml
var riskYAML string

// Names returns the names of the bundled baselines, sorted.
func Names() []string { return []string{"coc", "dli"} }

// Source returns the bundled file of that name as it is written; nil when there is none.
func Source(name string) []byte {
	switch name {
	case "coc":
		return []byte(cocYAML)
	case "dli":
		return []byte(dliYAML)
	}
	return nil
}

// Bundled returns the bundled baseline of that name, and whether there is one.
func Bundled(name string) (rules.Baseline, bool) {
	data := Source(name)
	if data == nil {
		return rules.Baseline{}, false
	}
	b, err := Load(name+".yaml", data)
	if err != nil {
		panic(fmt.Sprintf("the bundled baseline %s is faulty: %v", name, err))
	}
	return b, true
}

// Load reads a baseline. file is the name that faults give it. The error is a strictyaml.Faults with everything that is
// wrong; then there is no baseline.
func Load(file string, data []byte) (rules.Baseline, error) {
	risks, err := loadRisks(riskYAML)
	if err != nil {
		return rules.Baseline{}, fmt.Errorf("the bundled table of risks is faulty: %w", err)
	}
	f := written{WarnBeforeExpiry: DefaultWarnBeforeExpiry}
	doc, err := strictyaml.Decode(file, data, &f)
	c := checker{doc: doc, risks: risks}
	c.check(&f)
	if err := doc.Err(); err != nil {
		return rules.Baseline{}, err
	}
	if err != nil {
		return rules.Baseline{}, err
	}
	digest := sha256.Sum256(data)
	return f.baseline(hex.EncodeToString(digest[:]), risks), nil
}

// written is the file.
type written struct {
	Version          int           `yaml:"version"`
	Name             string        `yaml:"name"`
	Title            string        `yaml:"title"`
	Source           string        `yaml:"source"`
	SourceDate       string        `yaml:"source_date"`
	Service          string        `yaml:"service"`
	Agency           string        `yaml:"agency"`
	Trust            trust         `yaml:"trust"`
	WarnBeforeExpiry time.Duration `yaml:"warn_before_expiry"`
	Required         []requirement `yaml:"required"`
	Cohorts          []cohort      `yaml:"cohorts"`
	ServiceSteps     []string      `yaml:"service_steps"`
}

type trust struct {
	Name string `yaml:"name"`
	ID   string `yaml:"id"`
}

type requirement struct {
	Policy      string     `yaml:"policy"`
	Accepts     []string   `yaml:"accepts"`
	Description string     `yaml:"description"`
	Scope       string     `yaml:"scope"`
	ScopeLabel  string     `yaml:"scope_label"`
	Scenarios   []scenario `yaml:"scenarios"`
}

type scenario struct {
	Module string `yaml:"module"`
	Use    string `yaml:"use"`
}

type cohort struct {
	Name          string    `yaml:"name"`
	CreatedBefore time.Time `yaml:"created_before"`
	Missing       string    `yaml:"missing"`
	Says          string    `yaml:"says"`
}

// baseline returns what a checked file says.
func (f *written) baseline(digest string, risks rules.RiskTable) rules.Baseline {
	b := rules.Baseline{
		Name: f.Name, Title: f.Title, Source: f.Source, SourceDate: f.SourceDate, Digest: digest,
		Service: f.Service, Agency: f.Agency, Trust: rules.Trust{ID: f.Trust.ID, Name: f.Trust.Name},
		WarnBeforeExpiry: f.WarnBeforeExpiry, ServiceSteps: slices.Clone(f.ServiceSteps), Risks: risks,
	}
	for _, r := range f.Required {
		req := rules.Requirement{
			Policy: r.Policy, Accepts: r.Accepts, Description: r.Description,
			Scope: rules.ScopeKind(r.Scope), ScopeLabel: r.ScopeLabel,
		}
		for _, s := range r.Scenarios {
			req.Scenarios = append(req.Scenarios, rules.Scenario(s))
		}
		b.Required = append(b.Required, req)
	}
	for _, c := range f.Cohorts {
		b.Cohorts = append(b.Cohorts, rules.Cohort(c))
	}
	return b
}

// loadRisks reads the table of risks.
func loadRisks(text string) (rules.RiskTable, error) {
	var f struct {
		Version      int      `yaml:"version"`
		Critical     []string `yaml:"critical"`
		HighSuffixes []string `yaml:"high_suffixes"`
		LowSuffixes  []string `yaml:"low_suffixes"`
		LowNames     []string `yaml:"low_names"`
	}
	if _, err := strictyaml.Decode("risk.yaml", []byte(text), &f); err != nil {
		return rules.RiskTable{}, err
	}
	return rules.RiskTable{
		Critical: f.Critical, HighSuffixes: f.HighSuffixes, LowSuffixes: f.LowSuffixes, LowNames: f.LowNames,
	}, nil
}

package baseline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// Bounds of what a file may say, in characters. What the cloud bounds too has the cloud's bound.
const (
	maxAgencyName = 64
	maxName       = 128
	maxSentence   = 1000
	maxWarn       = 10 * 365 * 24 * time.Hour
)

var (
	namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
	idPattern   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// checker adds to the document what is wrong beyond its form.
type checker struct {
	doc   *strictyaml.Document
	risks rules.RiskTable
}

func (c *checker) check(f *written) {
	c.version(f.Version)
	if c.doc.Require("name", "write a short name such as coc") && !namePattern.MatchString(f.Name) {
		c.doc.Add("name", "is not a short name", "write up to 63 lower-case letters, digits and hyphens, such as coc")
	}
	c.line("title", f.Title, maxName, "a few words on what the baseline is for")
	c.line("source", f.Source, maxSentence, "the document that the baseline restates")
	if c.doc.Require("source_date", "write the date of that document, such as 2025-08-08") {
		if _, err := time.Parse(time.DateOnly, f.SourceDate); err != nil {
			c.doc.Add("source_date", "is not a date", "write the date of the document, such as 2025-08-08")
		}
	}
	c.line("service", f.Service, maxName, "the cloud service that works through the agency, such as COC")
	c.line("agency", f.Agency, maxAgencyName, "the agency's name, such as ServiceAgencyForCOC")
	c.checkTrust(f)
	if f.WarnBeforeExpiry < 0 || f.WarnBeforeExpiry > maxWarn {
		c.doc.Add("warn_before_expiry", "is out of range", "write a duration from 0s to 3650d, such as 30d")
	}
	c.checkRequired(f)
	c.checkCohorts(f)
	for i, step := range f.ServiceSteps {
		c.line(strictyaml.Index("service_steps", i), step, maxSentence, "one step, as a sentence")
	}
}

func (c *checker) checkTrust(f *written) {
	const what = "the name of the account that the agency must trust, such as op_svc_coc"
	if !c.doc.Require("trust", "write name: and, where it is known, id: of the account that the agency must trust") {
		return
	}
	c.line("trust.name", f.Trust.Name, maxName, what)
	if strings.ContainsFunc(f.Trust.Name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		c.doc.Add("trust.name", "has a character outside of ASCII and could never match", "write "+what)
	}
	if c.doc.Has("trust.id") && !idPattern.MatchString(f.Trust.ID) {
		c.doc.Add("trust.id", "is not the id of an account",
			"write its 32 lower-case hexadecimal digits in quotes, or leave it out to compare the name alone")
	}
}

func (c *checker) checkRequired(f *written) {
	if len(f.Required) == 0 {
		c.doc.Add("required", "no policy is required, so that nothing could be missing",
			"list at least one policy with its scope")
		return
	}
	type triple struct{ policy, scope string }
	grants := map[triple]int{}
	owners := map[string]string{} // display name to the required policy that it stands for
	for _, r := range f.Required {
		owners[r.Policy] = r.Policy
	}
	for i, r := range f.Required {
		at := strictyaml.Index("required", i)
		c.line(at+".policy", r.Policy, maxName, "the display name of a system-defined policy")
		c.harmless(at+".policy", r.Policy)
		c.checkScope(at+".scope", r.Scope)
		if first, twice := grants[triple{r.Policy, r.Scope}]; twice && r.Policy != "" {
			c.doc.Add(at, fmt.Sprintf("requires %q at the same scope as %s", r.Policy, strictyaml.Index("required", first)),
				"delete one of the two")
		} else {
			grants[triple{r.Policy, r.Scope}] = i
		}
		c.doc.Line(at+".description", r.Description, maxSentence, "write what the policy allows")
		c.doc.Line(at+".scope_label", r.ScopeLabel, maxName, "write the scope as the document calls it")
		for j, name := range r.Accepts {
			here := strictyaml.Index(at+".accepts", j)
			c.line(here, name, maxName, "the display name of a system-defined policy")
			c.harmless(here, name)
			owner, taken := owners[name]
			switch {
			case name == "":
			case slices.Contains(r.Accepts[:j], name):
				c.doc.Add(here, fmt.Sprintf("%q is listed twice", name), "delete one of the two")
			case name == r.Policy:
				c.doc.Add(here, "is the required policy itself", "delete it")
			case taken && owner != r.Policy:
				c.doc.Add(here, fmt.Sprintf("%q already stands for the requirement %q; one grant cannot satisfy two policies", name, owner),
					"delete it in one of the two places")
			default:
				owners[name] = r.Policy
			}
		}
		for j, s := range r.Scenarios {
			here := strictyaml.Index(at+".scenarios", j)
			c.doc.Line(here+".module", s.Module, maxName, "write the part of the service")
			c.line(here+".use", s.Use, maxSentence, `what completes "the service can …"`)
		}
	}
}

func (c *checker) checkScope(path, scope string) {
	const remedy = "write global (Global service), all_resources (all resources, new projects included) or project (one project at least)"
	switch kind := rules.ScopeKind(scope); {
	case !c.doc.Require(path, "write global, all_resources or project"):
	case kind == rules.Global || kind == rules.AllResources || kind == rules.Project:
	case slices.Contains(rules.Planes(), kind):
		c.doc.Add(path, fmt.Sprintf("%s cannot be required", scope), remedy+"; grants at other scopes differ from account to account")
	default:
		c.doc.Add(path, fmt.Sprintf("unknown scope %q", scope), remedy)
	}
}

// harmless refuses a policy that no baseline may ask for: a mistake in a file must not become an open account.
func (c *checker) harmless(path, policy string) {
	if c.risks.Of(rules.Policy{Name: policy, Origin: rules.System}) == rules.RiskCritical {
		c.doc.Add(path, fmt.Sprintf("%q lets its holder take over the account and may not be part of a baseline", policy),
			"name the policies that the service really needs")
	}
}

func (c *checker) checkCohorts(f *written) {
	for i, k := range f.Cohorts {
		at := strictyaml.Index("cohorts", i)
		c.line(at+".name", k.Name, maxName, "a short name such as open-beta-2024")
		if slices.ContainsFunc(f.Cohorts[:i], func(o cohort) bool { return o.Name == k.Name }) {
			c.doc.Add(at+".name", fmt.Sprintf("%q names two cohorts", k.Name), "give each its own name")
		}
		c.doc.Require(at+".created_before", "write the date before which, in UTC, the agency was created, such as 2024-07-01")
		if c.doc.Require(at+".missing", "write the required policy that these accounts lack") &&
			!slices.ContainsFunc(f.Required, func(r requirement) bool { return r.Policy == k.Missing }) {
			c.doc.Add(at+".missing", fmt.Sprintf("%q is not required", k.Missing), "write the policy of an entry of required")
		}
		c.line(at+".says", k.Says, maxSentence, "the sentence that the finding adds")
	}
}

// line checks a text that must be written. Names are compared to the byte, so that nothing in them may be hidden.
func (c *checker) line(path, s string, most int, what string) {
	if c.doc.Require(path, "write "+what) {
		c.doc.Line(path, s, most, "write "+what)
	}
}

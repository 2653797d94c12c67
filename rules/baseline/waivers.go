package baseline

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// DefaultWaiverAge is how long a waiver may last where the configuration does not say.
const DefaultWaiverAge = 90 * 24 * time.Hour

// writtenWaivers is a file of waivers.
type writtenWaivers struct {
	Version int      `yaml:"version"`
	Waivers []waiver `yaml:"waivers"`
}

type waiver struct {
	ID        string              `yaml:"id"`
	Accounts  []string            `yaml:"accounts"`
	OUs       []string            `yaml:"ous"`
	Tags      map[string][]string `yaml:"tags"`
	Baselines []string            `yaml:"baselines"`
	Rules     []string            `yaml:"rules"`
	Policies  []string            `yaml:"policies"`
	Scopes    []string            `yaml:"scopes"`
	Trusts    []string            `yaml:"trusts"`
	Added     time.Time           `yaml:"added"`
	Expires   time.Time           `yaml:"expires"`
	Owner     string              `yaml:"owner"`
	Reason    string              `yaml:"reason"`
	Ticket    string              `yaml:"ticket"`
}

func (w *waiver) selector() selector { return selector{w.Accounts, w.OUs, w.Tags} }

// LoadWaivers reads a file of waivers, none of which may last longer than maxAge. file is the name that faults give it. The
// error is a strictyaml.Faults with everything that is wrong; then there are no waivers. One that has expired is no fault. The
// document is for whoever finds more faults.
func LoadWaivers(file string, data []byte, maxAge time.Duration) ([]rules.Waiver, *strictyaml.Document, error) {
	var f writtenWaivers
	doc, err := strictyaml.Decode(file, data, &f)
	c := checker{doc: doc}
	c.version(f.Version)
	first := map[string]int{}
	for i := range f.Waivers {
		w := &f.Waivers[i]
		at := strictyaml.Index("waivers", i)
		c.waiver(at, w, maxAge)
		if was, twice := first[w.ID]; twice && w.ID != "" {
			c.doc.Add(at+".id", fmt.Sprintf("%q is also the id of %s", w.ID, strictyaml.Index("waivers", was)), "give each its own")
		} else {
			first[w.ID] = i
		}
	}
	if fault := doc.Err(); fault != nil {
		err = fault
	}
	if err != nil {
		return nil, doc, err
	}
	waivers := make([]rules.Waiver, len(f.Waivers))
	for i := range f.Waivers {
		waivers[i] = f.Waivers[i].rules()
	}
	return waivers, doc, nil
}

func (w *waiver) rules() rules.Waiver {
	scopes := make([]rules.ScopeKind, len(w.Scopes))
	for i, s := range w.Scopes {
		scopes[i] = rules.ScopeKind(s)
	}
	return rules.Waiver{
		ID: w.ID, Selector: w.selector().rules(), Baselines: w.Baselines, Rules: w.Rules, Policies: w.Policies, Scopes: scopes,
		Trusts: w.Trusts, Added: w.Added.UTC(), Expires: w.Expires.UTC(), Owner: w.Owner, Reason: w.Reason, Ticket: w.Ticket,
	}
}

func (c *checker) waiver(at string, w *waiver, maxAge time.Duration) {
	if c.doc.Require(at+".id", "write a short name such as shop-obs-2026") && !namePattern.MatchString(w.ID) {
		c.doc.Add(at+".id", "is not a short name", "write up to 63 lower-case letters, digits and hyphens, such as shop-obs-2026")
	}
	c.selector(at, w.selector())
	c.some(at+".baselines", len(w.Baselines), "no baseline", "every baseline")
	c.some(at+".policies", len(w.Policies), "no policy", "every policy")
	c.some(at+".scopes", len(w.Scopes), "no scope", "every scope")
	for i, name := range w.Baselines {
		c.line(strictyaml.Index(at+".baselines", i), name, maxName, "the name of a baseline, such as coc")
	}
	c.waivedRules(at+".rules", w.Rules)
	for i, policy := range w.Policies {
		c.line(strictyaml.Index(at+".policies", i), policy, maxName, "the display name of a system-defined policy, or the id of any policy")
	}
	for i, scope := range w.Scopes {
		if !slices.Contains(rules.Planes(), rules.ScopeKind(scope)) {
			c.doc.Add(strictyaml.Index(at+".scopes", i), fmt.Sprintf("unknown scope %q", scope), "write one of "+planeWords())
		}
	}
	c.waivedTrust(at, w)
	c.narrowed(at, w)
	added := c.doc.Require(at+".added", "write the date from which on the findings are accepted, such as 2026-11-01") && c.doc.Sound(at+".added")
	example := "2027-01-01"
	if added {
		example = w.Added.UTC().Add(min(maxAge, 30*24*time.Hour)).Format(time.DateOnly)
	}
	expires := c.doc.Require(at+".expires", "write the date on which the waiver ends, such as "+example+": nothing is accepted for ever")
	switch age := w.Expires.Sub(w.Added); {
	case !added || !expires || !c.doc.Sound(at+".expires"):
	case age <= 0:
		c.doc.Add(at+".expires", "is not after added", "write a later date, such as "+example+", at whose beginning in UTC it ends")
	case age > maxAge:
		c.doc.Add(at+".expires", fmt.Sprintf("is %s after added, and a waiver may last %s", rules.Span(age.Truncate(time.Hour)), rules.Span(maxAge)),
			"write "+w.Added.Add(maxAge).Format(time.DateOnly)+" or earlier, and renew it then; or raise waivers.max_age in the configuration")
	}
	c.line(at+".owner", w.Owner, maxName, "who answers for it, such as a team")
	c.line(at+".reason", w.Reason, maxSentence, "why it is accepted, in a sentence")
	c.doc.Line(at+".ticket", w.Ticket, maxSentence, "write where it was decided, such as SEC-1234")
}

// waivedRules checks the rules whose findings are accepted.
func (c *checker) waivedRules(at string, ids []string) {
	var known []string
	for _, r := range rules.Rules() {
		if r.ID != rules.RuleUnresolvable { // is about the run
			known = append(known, r.ID)
		}
	}
	if len(ids) == 0 {
		c.doc.Add(at, "names no rule, so that nothing would be accepted", "list the rules whose findings are: "+strings.Join(known, ", "))
	}
	for i, id := range ids {
		if slices.Contains(known, id) {
			continue
		}
		remedy := "the rules are " + strings.Join(known, ", ")
		if near := strictyaml.Nearest(id, known); near != "" {
			remedy = "did you mean " + near + "? " + remedy
		}
		c.doc.Add(strictyaml.Index(at, i), fmt.Sprintf("there is no rule %q whose findings could be accepted", id), remedy)
	}
}

// waivedTrust checks whom an agency may trust: whoever accepts that it trusts another account has to say which, and nobody else.
func (c *checker) waivedTrust(at string, w *waiver) {
	const what = "the id of the account that the agency trusts, as agencyaudit explain shows it: 32 lower-case hexadecimal digits, in quotes"
	is := at + ".trusts"
	switch named := slices.Contains(w.Rules, rules.RuleTrustMismatch); {
	case named && len(w.Trusts) == 0:
		problem := "names no account, so that no trust would be accepted"
		if !c.doc.Has(is) {
			problem = "is missing: " + rules.RuleTrustMismatch + " is accepted of named accounts alone"
		}
		c.doc.Add(is, problem, "list "+what)
	case !named && c.doc.Has(is) && c.knowsRules(at, w):
		c.doc.Add(is, "says nothing, since rules does not have "+rules.RuleTrustMismatch, "delete it, or add that rule")
	}
	for i, id := range w.Trusts {
		if !rules.IsAccountID(id) {
			c.doc.Add(strictyaml.Index(is, i), fmt.Sprintf("%q is not the id of an account", id), "write "+what)
		}
	}
}

// some refuses a list that was written and is empty: it would be as good as one that was left out, which is everything.
func (c *checker) some(at string, n int, none, every string) {
	if n == 0 && c.doc.Has(at) {
		c.doc.Add(at, "names "+none, "list what is meant, or delete the key, which is "+every)
	}
}

// narrowed checks that policies and scopes leave something of every rule to accept, and that no one of them is named in vain: whoever
// wrote it takes it for accepted.
func (c *checker) narrowed(at string, w *waiver) {
	if len(w.Rules) == 0 || !c.knowsRules(at, w) || !c.doc.Sound(at+".policies") || !c.doc.Sound(at+".scopes") {
		return
	}
	var keys []string
	for _, key := range []struct {
		name string
		of   []string
	}{{"policies", w.Policies}, {"scopes", w.Scopes}} {
		if len(key.of) > 0 {
			keys = append(keys, key.name)
		}
	}
	fits := true
	fault := func(path, problem, remedy string) {
		fits = false
		c.doc.Add(path, problem, remedy)
	}
	const apart = "write another waiver for it"
	for i, rule := range w.Rules {
		is, can := strictyaml.Index(at+".rules", i), rules.ScopesOf(rule)
		switch {
		case len(keys) == 0 || rule == rules.RuleUnresolvable: // that one is no rule to be named at all
		case len(can) == 0:
			what := strings.Join(keys, " and ")
			fault(is, fmt.Sprintf("%s is about the agency and no policy of it, so that with %s nothing of it would be accepted", rule, what),
				"leave "+what+" out, or "+apart)
		case len(w.Policies) > 0 && !slices.ContainsFunc(w.Policies, func(policy string) bool { return fitsPolicy(rule, policy) }):
			fault(is, rule+" knows a policy by its name alone, so that with ids in policies nothing of it would be accepted",
				"write the names that the baseline has, or "+apart)
		case len(w.Scopes) > 0 && !slices.ContainsFunc(w.Scopes, func(scope string) bool { return fitsScope(rule, scope) }):
			fault(is, fmt.Sprintf("%s is about no scope but %s, so that with these scopes nothing of it would be accepted", rule, scopeWords(can)),
				"write one of those, leave scopes out, or "+apart)
		}
	}
	if !fits {
		return // what follows would be its echo
	}
	for i, policy := range w.Policies {
		if !slices.ContainsFunc(w.Rules, func(rule string) bool { return fitsPolicy(rule, policy) }) {
			c.doc.Add(strictyaml.Index(at+".policies", i), "is an id, and these rules know a policy by its name alone", "write the name that the baseline has")
		}
	}
	for i, scope := range w.Scopes {
		if !slices.ContainsFunc(w.Rules, func(rule string) bool { return fitsScope(rule, scope) }) {
			c.doc.Add(strictyaml.Index(at+".scopes", i), "is a scope that no finding of these rules can be about",
				"delete it, or add the rule that is meant")
		}
	}
}

// fitsPolicy says whether a finding of a rule can be about what names a policy: what an agency lacks is known by its name alone.
func fitsPolicy(rule, policy string) bool {
	return rule != rules.RuleMissing && rule != rules.RuleNarrower || !idPattern.MatchString(policy)
}

// fitsScope says whether a finding of a rule can be about a scope. What is no scope has a fault of its own.
func fitsScope(rule, scope string) bool {
	kind := rules.ScopeKind(scope)
	return slices.Contains(rules.ScopesOf(rule), kind) || !slices.Contains(rules.Planes(), kind)
}

// knowsRules says whether a waiver's rules are what was meant, as far as they can be known.
func (c *checker) knowsRules(at string, w *waiver) bool {
	return c.doc.Sound(at+".rules") && !slices.ContainsFunc(w.Rules, func(id string) bool {
		return !slices.ContainsFunc(rules.Rules(), func(r rules.Rule) bool { return r.ID == id })
	})
}

// version checks the version of a file's format.
func (c *checker) version(is int) {
	switch {
	case !c.doc.Require("version", fmt.Sprintf("write version: %d, the version of this file format", FormatVersion)):
	case is != FormatVersion:
		c.doc.Add("version", fmt.Sprintf("is %d, which this program does not read", is),
			fmt.Sprintf("write version: %d, or use the program that the file was written for", FormatVersion))
	}
}

func planeWords() string { return scopeWords(rules.Planes()) }

func scopeWords(kinds []rules.ScopeKind) string {
	words := make([]string, len(kinds))
	for i, k := range kinds {
		words[i] = string(k)
	}
	return strings.Join(words, ", ")
}

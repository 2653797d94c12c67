package baseline

import (
	"fmt"
	"path"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// selector chooses accounts, in waivers and overlays alike.
type selector struct {
	Accounts []string            `yaml:"accounts"`
	OUs      []string            `yaml:"ous"`
	Tags     map[string][]string `yaml:"tags"`
}

func (s selector) rules() rules.Selector {
	return rules.Selector{Accounts: s.Accounts, OUs: s.OUs, Tags: s.Tags}
}

// selector checks what chooses accounts below the path at.
func (c *checker) selector(at string, s selector) {
	if s.rules().IsZero() {
		if !c.doc.Sound(at) && c.doc.Sound(at+".ous") && c.doc.Sound(at+".tags") {
			at += ".accounts" // something else is wrong there, of which this is no echo
		}
		c.doc.Add(at, "chooses no account", `write accounts, ous or tags; accounts: ["*"] is all of them`)
	}
	if !s.rules().IsZero() {
		c.some(at+".accounts", len(s.Accounts), "no account", "every account that fits the rest")
		c.some(at+".ous", len(s.OUs), "no unit", "every account that fits the rest")
		c.some(at+".tags", len(s.Tags), "no tag", "every account that fits the rest")
	}
	for i, pattern := range s.Accounts {
		here := strictyaml.Index(at+".accounts", i)
		const what = "the id of an account, or a pattern of names such as prod-*"
		c.line(here, pattern, maxName, what)
		if _, err := path.Match(pattern, ""); err != nil {
			c.doc.Add(here, fmt.Sprintf("%q is no pattern", pattern), "write "+what)
		}
		if id := strings.ToLower(pattern); id != pattern && rules.IsAccountID(id) {
			c.doc.Add(here, fmt.Sprintf("%q is an id in capitals, which any account may take for its name", pattern), "write "+id)
		}
	}
	for i, ou := range s.OUs {
		here := strictyaml.Index(at+".ous", i)
		const what = "the path of an organizational unit, such as Workloads/Production, as reports write it"
		c.line(here, ou, maxSentence, what)
		if strings.HasPrefix(ou, "/") || strings.HasSuffix(ou, "/") || strings.Contains(ou, "//") {
			c.doc.Add(here, fmt.Sprintf("%q is no path of a unit", ou), "write "+what+", without a slash at its ends")
		}
	}
	for key, values := range s.Tags {
		here := strictyaml.Key(at+".tags", key)
		if len(values) == 0 {
			c.doc.Add(here, "has no value, so that no account could fit", "list the values, or delete the key")
		}
	}
}

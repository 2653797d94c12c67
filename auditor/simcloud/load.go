package simcloud

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

//go:embed bundled/organization.yaml
var bundledYAML []byte

// LoadOrganization reads an organization file: one YAML document in the shape of Organization. Unknown and repeated
// keys, wrong types and everything that New refuses are faults, as is an organization without accounts; durations are
// written like 20ms, times like 2024-03-12T08:30:00Z. file is what faults call the file. The error is a
// strictyaml.Faults with every fault of the file, each with its place and a remedy.
func LoadOrganization(file string, data []byte) (*Organization, error) {
	var org Organization
	doc, err := strictyaml.Decode(file, data, &org)
	if _, ok := errors.AsType[strictyaml.Faults](err); err != nil && !ok {
		return nil, fmt.Errorf("read the organization: %w", err)
	}
	if len(org.Accounts) == 0 {
		doc.Add("accounts", "is empty or missing", "list at least one account, with its name")
	}
	if _, err := New(&org); err != nil {
		problems, ok := errors.AsType[Problems](err)
		if !ok {
			return nil, fmt.Errorf("read the organization %s: %w", file, err)
		}
		for _, p := range problems {
			problem, remedy := p.split()
			doc.Add(strings.TrimPrefix(strings.TrimPrefix(p.Path, "$"), "."), problem, remedy)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return &org, nil
}

// split parts the message into what is wrong and what to do about it.
func (p Problem) split() (problem, remedy string) {
	if i := strings.LastIndex(p.Message, "; "); i >= 0 {
		return p.Message[:i], p.Message[i+len("; "):]
	}
	return p.Message, ""
}

// BundledYAML is the organization file that ships with the program: one account for each way in which an agency can be
// right, wrong or unreadable. The caller may change it.
func BundledYAML() []byte { return append([]byte(nil), bundledYAML...) }

// Bundled is the organization of BundledYAML. The caller may change it.
func Bundled() *Organization {
	org, err := LoadOrganization("bundled/organization.yaml", bundledYAML)
	if err != nil {
		panic("simcloud: the organization that ships with the program is wrong:\n" + err.Error())
	}
	return org
}

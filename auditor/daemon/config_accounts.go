package daemon

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

const (
	// maxLabelTags bounds how many tags become labels: each is one more label on a series of every account.
	maxLabelTags = 20
	// maxTag bounds keys and values of tags in characters, as the cloud does.
	maxTag = 255
	// maxKeptRuns bounds accounts.organization.keep_vanished.
	maxKeptRuns = 1000
)

func (c *configCheck) checkAccounts() {
	const remedy = "list accounts below static:, name a file: of them, or write organization: with enabled: true"
	accounts := &c.cfg.Accounts
	c.cfg.reader.Accounts = make(map[string]huawei.Access, len(accounts.Static))
	c.cfg.keysAt = map[huawei.Secret]keyPlace{}
	c.entries("accounts.static", accounts.Static, c.cfg.reader.Accounts, c.cfg.keysAt)
	c.checkOrganization()
	switch {
	case c.doc.Has("accounts.file"):
		if accounts.File == "" {
			c.doc.Add("accounts.file", "is empty", "name a file with accounts, relative to this file's folder")
			return
		}
		c.cfg.filed, c.cfg.fileFault = c.cfg.readAccounts(c.open)
	case len(accounts.Static) == 0 && !accounts.Organization.Enabled:
		if c.doc.Require("accounts", remedy) {
			at := "accounts"
			if c.doc.Has("accounts.static") {
				at = "accounts.static"
			}
			c.doc.Add(at, "names no account, so that nothing would be audited", remedy)
		}
	}
}

// entries checks a list of accounts and puts the ways into them into access. keys remembers which account's key stands where.
func (c *configCheck) entries(
	list string, accounts []AccountConfig, access map[string]huawei.Access, keys map[huawei.Secret]keyPlace,
) {
	names, ids := map[string]string{}, map[string]string{}
	for i, a := range accounts {
		if a.ID != "" {
			ids[a.ID] = cmp.Or(ids[a.ID], strictyaml.Index(list, i))
		}
	}
	for i, a := range accounts {
		at := strictyaml.Index(list, i)
		if c.doc.Require(at+".name", "write what reports shall call the account") &&
			c.doc.Line(at+".name", a.Name, maxName, "write what reports shall call the account") {
			if first, twice := names[a.Name]; twice {
				c.doc.Add(at+".name", fmt.Sprintf("%q is the name of two accounts, first of %s", a.Name, first), "give each its own name")
			} else if owner, other := ids[a.Name]; other && owner != at {
				c.doc.Add(at+".name", "is the id of "+owner, "give the account a name that cannot be mistaken for another account")
			} else {
				names[a.Name] = at
			}
		}
		if c.doc.Require(at+".id", accountIDRemedy) {
			if !accountIDPattern.MatchString(a.ID) {
				c.doc.Add(at+".id", "is not the id of an account", accountIDRemedy)
			} else if first := ids[a.ID]; first != at {
				c.doc.Add(at+".id", "is the id of two accounts, first of "+first, "keep one of the two entries")
			}
		}
		if c.doc.Require(at+".access", "write via: keys with a key of the account, or via: iam or sts with an agency to assume") {
			access[a.ID] = c.access(at+".access", a.ID, a.Access, keys)
		}
	}
}

func (c *configCheck) checkOrganization() {
	const at = "accounts.organization"
	o := &c.cfg.Accounts.Organization
	if o.KeepVanished < 1 || o.KeepVanished > maxKeptRuns {
		c.doc.Add(at+".keep_vanished", fmt.Sprintf("%d is out of range", o.KeepVanished),
			fmt.Sprintf("write a number of runs from 1 to %d", maxKeptRuns))
	}
	for i, e := range o.ExcludeAccounts {
		entry := strictyaml.Index(at+".exclude_accounts", i)
		if c.doc.Require(entry+".account", "write the id of an account, or a pattern of names such as test-*") {
			c.pattern(entry+".account", e.Account)
		}
		if c.doc.Require(entry+".reason", "write why the account is left alone, for whoever reads the report") {
			c.doc.Line(entry+".reason", e.Reason, maxTag, "write why the account is left alone, in one line")
		}
	}
	for i, name := range o.IncludeNames {
		c.pattern(strictyaml.Index(at+".include_names", i), name)
	}
	for i, id := range o.IncludeOUs {
		c.doc.Line(strictyaml.Index(at+".include_ous", i), id, maxTag, "write the id of an organizational unit, such as ou-…")
	}
	for key, values := range o.IncludeTags {
		if len(values) == 0 || key == "" {
			c.doc.Add(strictyaml.Key(at+".include_tags", key), "names no value", "list the values of which an account must bear one")
		}
	}
	if len(o.Labels.Tags) > maxLabelTags {
		c.doc.Add(at+".labels.tags", fmt.Sprintf("has %d keys", len(o.Labels.Tags)), fmt.Sprintf("keep at most %d", maxLabelTags))
	}
	for i, key := range o.Labels.Tags {
		entry := strictyaml.Index(at+".labels.tags", i)
		if c.doc.Line(entry, key, maxTag, "write the key of a tag") && slices.Contains(o.Labels.Tags[:i], key) {
			c.doc.Add(entry, fmt.Sprintf("%q is listed twice", key), "delete one of the two")
		}
	}
	if !o.Enabled {
		return
	}
	c.doc.Require("credentials", "write source and account_id of a key of the management account, or of a delegated administrator's")
	if c.doc.Require(at+".access", "write via: and agency:, the name of an agency that every account has") {
		if o.Access.Via == viaKeys {
			c.doc.Add(at+".access.via", "keys open one account alone", "write the way by an agency that every account has")
			return
		}
		c.cfg.reader.Members = c.access(at+".access", "", o.Access, nil)
	}
}

// pattern checks a shell pattern.
func (c *configCheck) pattern(at, text string) {
	if !c.doc.Line(at, text, maxTag, "write a pattern of names, such as prod-*") {
		return
	}
	if _, err := path.Match(text, ""); err != nil {
		c.doc.Add(at, fmt.Sprintf("%q is no pattern", text), "write a name in which * stands for anything, ? for one character, [ab] for one of these")
	}
}

// accountsFile is a file of accounts that nothing is wrong with. It is never changed.
type accountsFile struct {
	accounts []AccountConfig
	access   map[string]huawei.Access
	digest   [sha256.Size]byte
}

// list returns the accounts; none of no file.
func (f *accountsFile) list() []AccountConfig {
	if f == nil {
		return nil
	}
	return f.accounts
}

// names says whether an account is in the file.
func (f *accountsFile) names(id string) bool {
	if f == nil {
		return false
	}
	_, named := f.access[id]
	return named
}

// readAccounts reads the file of accounts. The error has every fault, one per line, and no secret.
func (c *Config) readAccounts(open opener) (*accountsFile, error) {
	check := configCheck{cfg: c, file: c.file, open: open, openSecret: c.openSecret, lookupEnv: c.lookupEnv}
	file := check.path(c.Accounts.File)
	data, err := readAll(open, file)
	if err != nil {
		return nil, strictyaml.Faults{{
			File: file, Problem: "the file of accounts cannot be read: " + reason(err), Remedy: "create it, or name another one as accounts.file",
		}}
	}
	var form struct {
		Accounts []AccountConfig `yaml:"accounts"`
	}
	doc, err := strictyaml.Decode(file, data, &form)
	check.doc, check.file = doc, file
	f := &accountsFile{accounts: form.Accounts, access: make(map[string]huawei.Access, len(form.Accounts)), digest: sha256.Sum256(data)}
	if len(form.Accounts) == 0 && doc.Require("accounts", "list the accounts to audit, each with name, id and access") {
		doc.Add("accounts", "is an empty list", "list the accounts to audit, or take accounts.file out of the configuration")
	}
	check.entries("accounts", form.Accounts, f.access, maps.Clone(c.keysAt))
	for i, a := range form.Accounts {
		if c.reader.Main.Account() == "" && (a.Access.Via == viaIAM || a.Access.Via == viaSTS) {
			doc.Add(strictyaml.Index("accounts", i)+".access.via", "needs credentials, which the configuration lacks",
				"write source and account_id of the key that assumes agencies below credentials of the configuration, or via: keys here")
			break
		}
	}
	if err := check.err(err); err != nil {
		return nil, err
	}
	return f, nil
}

// opener opens files.
type opener = func(path string) (fs.File, error)

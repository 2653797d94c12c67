package rules

import (
	"path"
	"slices"
	"strings"
)

// Selector chooses accounts. Of what is given all must fit; a Selector that gives nothing chooses none.
type Selector struct {
	// Accounts are ids of accounts, or shell patterns of their names. An id is the safer one: a name can be given anew. What is
	// written like an id is never a name, which an account may choose to be the id of another one.
	Accounts []string `json:"accounts,omitempty"`
	// OUs are paths of organizational units, see OUPath. An account fits that is in one of them, or anywhere below it.
	OUs []string `json:"ous,omitempty"`
	// Tags are, by key, the values of which an account must bear one, for every key. Only tags that the account was read
	// with can fit.
	Tags map[string][]string `json:"tags,omitempty"`
}

// IsZero says whether the selector gives nothing.
func (s Selector) IsZero() bool { return len(s.Accounts) == 0 && len(s.OUs) == 0 && len(s.Tags) == 0 }

// Selects says whether an account is chosen.
func (s Selector) Selects(a Account) bool {
	if s.IsZero() {
		return false
	}
	if len(s.Accounts) > 0 && !slices.ContainsFunc(s.Accounts, func(w string) bool { return a.ID == w || !IsAccountID(w) && fits(w, a.Name) }) {
		return false
	}
	if len(s.OUs) > 0 && !slices.ContainsFunc(s.OUs, func(ou string) bool { return a.OU == ou || strings.HasPrefix(a.OU, ou+"/") }) {
		return false
	}
	for key, values := range s.Tags {
		if !slices.ContainsFunc(a.Tags, func(t Tag) bool { return t.Key == key && slices.Contains(values, t.Value) }) {
			return false
		}
	}
	return true
}

// IsAccountID says whether a text is written like the id of an account: 32 lower-case hexadecimal digits.
func IsAccountID(text string) bool {
	return len(text) == 32 && strings.Trim(text, "0123456789abcdef") == ""
}

// fits says whether a name fits a shell pattern. A pattern that is none fits nothing.
func fits(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

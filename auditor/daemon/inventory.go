package daemon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules"
)

// static is the inventory of the accounts that the configuration lists. It never changes.
type static []rules.Account

// Accounts returns the accounts in the order of the configuration.
func (s static) Accounts(context.Context) ([]rules.Account, error) { return s, nil }

// only restricts the inventory to the named accounts, each given by its name or its id. It fails when one of them is not
// there, so that a slip of the pen never reads as "nothing is wrong".
func (s static) only(wanted []string) (static, error) {
	if len(wanted) == 0 {
		return s, nil
	}
	var out static
	var lost []string
	for _, w := range wanted {
		i := slices.IndexFunc(s, func(a rules.Account) bool { return a.ID == w || a.Name == w })
		switch {
		case i < 0:
			lost = append(lost, w)
		case !slices.ContainsFunc(out, func(a rules.Account) bool { return a.ID == s[i].ID }):
			out = append(out, s[i])
		}
	}
	if len(lost) > 0 {
		return nil, &UnknownAccountError{Wanted: lost, Near: s.near(lost)}
	}
	return out, nil
}

// near returns up to five account names that resemble the lost ones, best first.
func (s static) near(lost []string) []string {
	type candidate struct {
		name string
		far  int
	}
	var all []candidate
	for _, a := range s {
		best := len(a.Name) + 1
		for _, w := range lost {
			best = min(best, distance(strings.ToLower(a.Name), strings.ToLower(w)))
			if w != "" && strings.Contains(a.Name, w) {
				best = 0
			}
		}
		if best <= max(2, len(a.Name)/3) {
			all = append(all, candidate{a.Name, best})
		}
	}
	slices.SortFunc(all, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name)) })
	var names []string
	for _, c := range all[:min(5, len(all))] {
		names = append(names, c.name)
	}
	return names
}

// UnknownAccountError says that the configuration does not list an account that was asked for.
type UnknownAccountError struct {
	// Wanted are the names or ids that were asked for, Near the names that resemble them.
	Wanted, Near []string
}

// Error names what was asked for and what resembles it.
func (e *UnknownAccountError) Error() string {
	msg := fmt.Sprintf("the configuration has no account %q", e.Wanted)
	if len(e.Wanted) == 1 {
		msg = fmt.Sprintf("the configuration has no account %q", e.Wanted[0])
	}
	if len(e.Near) > 0 {
		msg += "; did you mean " + strings.Join(e.Near, ", ") + "?"
	}
	return msg
}

// distance is the number of bytes to insert, delete or replace to get from one word to the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := min(row[j+1]+1, row[j]+1, diagonal+rank(a[i] != b[j]))
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

func rank(differs bool) int {
	if differs {
		return 1
	}
	return 0
}

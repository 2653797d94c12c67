package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// lister lists the accounts of an organization.
type lister interface {
	// Organization fails with an error that wraps a *rules.Unknown when it cannot list them all; it never returns a part.
	Organization(ctx context.Context, q huawei.OrganizationQuery) (huawei.Organization, error)
}

// inventory lists the accounts of one configuration. What it remembers outlives the configuration, not the program. It is
// used by one run at a time.
type inventory struct {
	config *Config
	cloud  lister
	log    *slog.Logger
	memory *memory
	// filed is the last file of accounts that nothing was wrong with; fileFault is what is wrong with it now.
	filed     *accountsFile
	fileFault error
	// keep has the cloud enter accounts that the file in force does not name; nil when no cloud has to.
	keep func(ways map[string]huawei.Access)
	// wanted are the names or ids of the accounts that the run is restricted to; all when there are none.
	wanted []string
}

// memory is what the sources of accounts said so far.
type memory struct {
	members roll[huawei.Member]
	filed   roll[AccountConfig]
	// ways are those into the accounts that files of accounts still list, as the last one that named each has it.
	ways map[string]huawei.Access
	// organization is the id of the one that the members are of; tagged says that their tags were asked for.
	organization string
	tagged       bool
}

// roll is what one source said of accounts, by their id.
type roll[T any] struct {
	entries map[string]entry[T]
	// short is how many lists in a row were too short to be believed, and lacked is what the last of them lacked.
	short, lacked int
}

type entry[T any] struct {
	is T
	// missed is for how many runs the source has not listed the account.
	missed int
	// was is the account as a history knew it, of which the source has said nothing yet; nil when it has.
	was *rules.Account
}

// What makes a list too short to be believed at once: it lacks more than one in shortPart of the accounts that the one before
// had, and more than one. The cloud may have lost a page; people rarely close so many between two runs.
const shortPart = 10

// heard says whether the source has listed anything since the program started.
func (r *roll[T]) heard() bool {
	for _, e := range r.entries {
		if e.was == nil {
			return true
		}
	}
	return false
}

// update takes a list of the source. The gap says why it cannot be the whole list, and then nothing of what was known is
// taken away; gone are the accounts that have been missing for more than keep runs.
func (r *roll[T]) update(list []T, id func(T) string, keep int) (gone []T, gap string) {
	listed := make(map[string]bool, len(list))
	for _, is := range list {
		switch {
		case id(is) == "":
			return nil, "it has an account without an id"
		case listed[id(is)]:
			return nil, fmt.Sprintf("it has the account %s twice", id(is))
		}
		listed[id(is)] = true
	}
	if len(list) == 0 {
		return nil, "it is empty"
	}
	there, missing := 0, 0
	for known, e := range r.entries {
		if e.missed == 0 {
			there++
			missing += rank(!listed[known])
		}
	}
	if r.entries == nil {
		r.entries = make(map[string]entry[T], len(list))
	}
	for _, is := range list {
		r.entries[id(is)] = entry[T]{is: is}
	}
	if (missing-r.lacked)*shortPart > there {
		r.short = 0 // that the ones before lacked less makes this one no more credible
	}
	if missing > 1 && missing*shortPart > there && r.short < keep {
		r.short++
		r.lacked = missing
		return nil, fmt.Sprintf("it lacks %d of the %d accounts that it had before", missing, there)
	}
	r.short, r.lacked = 0, 0
	for known, e := range r.entries {
		if listed[known] {
			continue
		}
		if e.missed++; e.missed > keep {
			delete(r.entries, known)
			gone = append(gone, e.is)
			continue
		}
		r.entries[known] = e
	}
	return gone, ""
}

// learn takes the ways into accounts of a file of accounts that was taken into filed.
func (m *memory) learn(f *accountsFile) {
	if m.ways == nil {
		m.ways = make(map[string]huawei.Access, len(f.access))
	}
	maps.Copy(m.ways, f.access)
	maps.DeleteFunc(m.ways, func(id string, _ huawei.Access) bool {
		e, known := m.filed.entries[id]
		return !known || e.missed > 0 || e.was != nil
	})
}

// lacking are the ways into the accounts that the file lacks, and that still count because it is not believed. There may be no file.
func (m *memory) lacking(f *accountsFile) map[string]huawei.Access {
	ways := map[string]huawei.Access{}
	for id, way := range m.ways {
		if !f.names(id) {
			ways[id] = way
		}
	}
	return ways
}

func memberID(m huawei.Member) string { return m.ID }
func entryID(a AccountConfig) string  { return a.ID }

// Accounts lists the accounts, those chosen if the run is of chosen ones.
func (v *inventory) Accounts(ctx context.Context) (auditor.Listing, error) {
	gaps, gone := v.read(ctx)
	l := v.listing(gone)
	l.Gaps = gaps
	if len(v.wanted) > 0 {
		return choose(l, v.wanted)
	}
	if len(l.Accounts)+len(l.Vanished) == 0 {
		if len(gaps) > 0 {
			return auditor.Listing{}, &gaps[0]
		}
		return auditor.Listing{}, &rules.Unknown{
			Reason: rules.ReasonIncomplete, Detail: fmt.Sprintf("no account is left to audit: %d are excluded", len(l.Excluded)),
			Remedy: "see accounts in the configuration: what it includes and excludes",
		}
	}
	v.warn(len(l.Accounts))
	return l, nil
}

// warn tells when a run has too little time for its accounts.
func (v *inventory) warn(accounts int) {
	rate, most := v.config.Cloud.Rate.Total, v.config.Limits.RunTimeout
	requests := accounts * len(v.config.Baselines) * requestsOfASweep
	if rate != 0 && float64(requests) > rate*(most.Seconds()+1) {
		v.log.Warn("the run has too little time: raise cloud.rate.total if the cloud bears it, or limits.run_timeout",
			"accounts", accounts, "requests", requests, "rate", rate, "run_timeout", most)
	}
}

// read asks every source. gone are accounts that one of them has not listed for long enough; gaps say which source could not
// be listed whole.
func (v *inventory) read(ctx context.Context) (gaps []rules.Unknown, gone []rules.Account) {
	keep, o := v.config.Accounts.Organization.KeepVanished, &v.config.Accounts.Organization
	if v.config.Accounts.File != "" {
		switch {
		case v.fileFault != nil:
			first, _, _ := strings.Cut(v.fileFault.Error(), "\n")
			gaps = append(gaps, rules.Unknown{
				Reason: rules.ReasonIncomplete, Detail: "the file of accounts cannot be used: " + first,
				Remedy: "mend it; agencyaudit check lists every fault",
			})
		default:
			left, gap := v.memory.filed.update(v.filed.list(), entryID, keep)
			v.memory.learn(v.filed)
			if v.keep != nil {
				v.keep(v.memory.lacking(v.filed))
			}
			for _, a := range left {
				gone = append(gone, rules.Account{ID: a.ID, Name: a.Name, RequireAgency: a.RequireAgency})
			}
			if gap != "" {
				gaps = append(gaps, rules.Unknown{
					Reason: rules.ReasonIncomplete, Detail: "the file of accounts is not believed: " + gap,
					Remedy: fmt.Sprintf("write the accounts back, or wait: it is believed when it says the same for %d runs", keep+1),
				})
			}
		}
	}
	if !o.Enabled {
		return gaps, gone
	}
	tags := len(o.IncludeTags)+len(o.Labels.Tags) > 0
	is, err := v.cloud.Organization(ctx, huawei.OrganizationQuery{Tags: tags})
	if err != nil {
		why, known := errors.AsType[*rules.Unknown](err)
		if !known {
			why = &rules.Unknown{Reason: rules.ReasonRejected, Detail: err.Error()}
		}
		gap := *why
		gap.Detail = "the organization could not be listed: " + gap.Detail
		return append(gaps, gap), gone
	}
	next, another := v.memory.members, v.memory.organization != "" && v.memory.organization != is.ID
	if another {
		next = roll[huawei.Member]{} // of this one nothing is known yet
	}
	left, gap := next.update(is.Members, memberID, keep)
	if another && gap == "" {
		for id, e := range v.memory.members.entries {
			if _, listed := next.entries[id]; !listed {
				left = append(left, e.is)
			}
		}
	}
	if !another || gap == "" {
		v.memory.members = next
	}
	for _, m := range left {
		gone = append(gone, v.member(m))
	}
	if gap != "" {
		return append(gaps, rules.Unknown{
			Reason: rules.ReasonIncomplete, Detail: "the list of the organization is not believed: " + gap,
			Remedy: fmt.Sprintf("see what happened to the organization; a shorter list is believed when it comes %d times in a row", keep+1),
		}), gone
	}
	v.memory.tagged, v.memory.organization = tags, is.ID
	return gaps, gone
}

// member is an account as the organization describes it.
func (v *inventory) member(m huawei.Member) rules.Account {
	a := rules.Account{ID: m.ID, Name: cmp.Or(m.Name, m.ID), RequireAgency: v.config.Accounts.Organization.RequireAgency}
	v.place(&a, m)
	return a
}

// place adds where the organization keeps an account, and the tags that were chosen.
func (v *inventory) place(a *rules.Account, m huawei.Member) {
	names := make([]string, len(m.OUs))
	for i, ou := range m.OUs {
		names[i] = ou.Name
	}
	a.OU = rules.OUPath(names)
	for _, key := range slices.Sorted(slices.Values(v.config.Accounts.Organization.Labels.Tags)) {
		if value, ok := m.Tags[key]; ok {
			a.Tags = append(a.Tags, rules.Tag{Key: key, Value: value})
		}
	}
}

// candidate is one account with what the sources say of it.
type candidate struct {
	account rules.Account
	// source is where the account's name and access are from.
	source string
	member *huawei.Member // what the organization says; nil when it lists no such account
	missed string         // who no longer lists it, when nobody does
}

// listing is what is known of the accounts without asking anybody. gone are accounts that a source gave up.
func (v *inventory) listing(gone []rules.Account) auditor.Listing {
	o := &v.config.Accounts.Organization
	l := auditor.Listing{TagKeys: slices.Sorted(slices.Values(o.Labels.Tags))}
	all := map[string]*candidate{}
	named := func(a *AccountConfig, source string) {
		all[a.ID] = &candidate{account: rules.Account{ID: a.ID, Name: a.Name, RequireAgency: a.RequireAgency}, source: source}
	}
	for i := range v.config.Accounts.Static {
		named(&v.config.Accounts.Static[i], "the configuration")
	}
	if v.config.Accounts.File != "" {
		for id, e := range v.memory.filed.entries {
			if all[id] == nil && e.missed == 0 && e.was == nil {
				named(&e.is, "the file of accounts")
			}
		}
	}
	if o.Enabled {
		for id, e := range v.memory.members.entries {
			c := all[id]
			switch {
			case e.missed > 0:
				continue
			case e.was != nil: // which choices fit it cannot be told, but that it was chosen
				if c == nil {
					all[id] = &candidate{account: v.remembered(*e.was), source: "the organization"}
				}
				continue
			case c == nil:
				c = &candidate{account: v.member(e.is), source: "the organization"}
				all[id] = c
			default:
				v.place(&c.account, e.is)
			}
			c.member = &e.is
		}
	}
	v.absent(all, o.KeepVanished)
	fits := newFits(o)
	var present []*candidate
	for _, id := range slices.Sorted(maps.Keys(all)) {
		c := all[id]
		switch why, detail := v.leftOut(c, fits); {
		case why != "":
			l.Excluded = append(l.Excluded, auditor.Exclusion{Account: c.account, Reason: why, Detail: detail})
		case c.missed != "":
			l.Vanished = append(l.Vanished, auditor.Absence{Account: c.account, Detail: c.missed})
			continue
		default:
			l.Accounts = append(l.Accounts, c.account)
		}
		present = append(present, c)
	}
	for _, a := range gone {
		if all[a.ID] == nil {
			l.Gone = append(l.Gone, a)
		}
	}
	l.Notes = append(fits.idle(v.memory.members.heard()), sharedNames(present)...)
	return l
}

// absent adds the accounts that nobody lists any more.
func (v *inventory) absent(all map[string]*candidate, keep int) {
	says := func(source string, missed int) string {
		return fmt.Sprintf("%s no longer lists the account, in %s so far; after %d its series end", source, runs(max(missed, 1)), keep)
	}
	if v.config.Accounts.File != "" {
		for id, e := range v.memory.filed.entries {
			if all[id] == nil && (e.missed > 0 || e.was != nil) {
				all[id] = &candidate{
					account: rules.Account{ID: id, Name: e.is.Name, RequireAgency: e.is.RequireAgency},
					source:  "the file of accounts", missed: says("the file of accounts", e.missed),
				}
			}
		}
	}
	if v.config.Accounts.Organization.Enabled {
		for id, e := range v.memory.members.entries {
			if all[id] == nil && e.missed > 0 {
				c := &candidate{account: v.member(e.is), source: "the organization", member: &e.is, missed: says("the organization", e.missed)}
				if e.was != nil {
					c.account, c.member = v.remembered(*e.was), nil
				}
				all[id] = c
			}
		}
	}
}

func runs(n int) string {
	if n == 1 {
		return "1 run"
	}
	return fmt.Sprintf("%d runs", n)
}

// The statuses of accounts that the organization gives.
const (
	statusActive    = "active"
	statusSuspended = "suspended"
	statusClosing   = "pending_closure"
)

// leftOut says why an account is left alone; nothing of one that is audited. The last status of an account that is no longer
// listed still counts: one that was closed does not vanish.
func (v *inventory) leftOut(c *candidate, f *fits) (why auditor.ExclusionReason, detail string) {
	var key string // looked for in every member, also those that it does not decide about: it fits them
	if c.member != nil {
		key = f.included(c.member, v.memory.tagged)
	}
	if reason, out := f.excluded(c); out {
		return auditor.ExcludedConfigured, reason
	}
	if c.member == nil {
		return "", ""
	}
	if key != "" && c.source == "the organization" {
		return auditor.ExcludedConfigured, "it is not among those of accounts.organization." + key
	}
	switch c.member.Status {
	case statusActive:
		return "", ""
	case statusSuspended:
		return auditor.ExcludedSuspended, "the organization says that it is suspended"
	case statusClosing:
		return auditor.ExcludedClosing, "the organization says that it is being closed"
	}
	return auditor.ExcludedStatus, fmt.Sprintf("the organization gives it the status %q, which this program does not know", c.member.Status)
}

// fits matches accounts with what the configuration includes and excludes, and remembers which of it ever fitted.
type fits struct {
	o    *OrganizationConfig
	used map[string]bool
}

func newFits(o *OrganizationConfig) *fits { return &fits{o: o, used: map[string]bool{}} }

// excluded says whether an account is to be left alone, and why.
func (f *fits) excluded(c *candidate) (reason string, out bool) {
	for i, e := range f.o.ExcludeAccounts {
		names := []string{c.account.Name}
		if c.member != nil {
			names = append(names, c.member.Name)
		}
		// What is written like an id is never a name: an account can call itself by the id of one that is left alone.
		named := !rules.IsAccountID(e.Account) && slices.ContainsFunc(names, func(name string) bool { return matches(e.Account, name) })
		if e.Account != c.account.ID && !named {
			continue
		}
		f.used[strictyaml.Index("exclude_accounts", i)] = true
		if !out {
			reason, out = e.Reason, true
		}
	}
	return reason, out
}

// included returns the key of the configuration by which a member of the organization is not chosen; none if it is. Tags
// count only if they were asked for.
func (f *fits) included(m *huawei.Member, tagged bool) (key string) {
	one := func(list string, n int, fit func(i int) bool) {
		found := n == 0
		for i := range n {
			if fit(i) {
				found, f.used[strictyaml.Index(list, i)] = true, true
			}
		}
		if !found {
			key = cmp.Or(key, list)
		}
	}
	one("include_ous", len(f.o.IncludeOUs), func(i int) bool {
		return slices.ContainsFunc(m.OUs, func(ou huawei.OU) bool { return ou.ID == f.o.IncludeOUs[i] })
	})
	one("include_names", len(f.o.IncludeNames), func(i int) bool { return matches(f.o.IncludeNames[i], m.Name) })
	for _, tag := range slices.Sorted(maps.Keys(f.o.IncludeTags)) {
		value, has := m.Tags[tag]
		if has && slices.Contains(f.o.IncludeTags[tag], value) {
			f.used[strictyaml.Key("include_tags", tag)] = true
		} else if tagged {
			key = cmp.Or(key, "include_tags")
		}
	}
	return key
}

// idle says which entries fitted no account; of the organization's nothing may be said before it was listed.
func (f *fits) idle(listed bool) []string {
	var notes []string
	say := func(entry, is string) {
		if listed && !f.used[entry] {
			notes = append(notes, fmt.Sprintf("accounts.organization.%s (%s) fits no account", entry, is))
		}
	}
	for i, id := range f.o.IncludeOUs {
		say(strictyaml.Index("include_ous", i), id)
	}
	for i, name := range f.o.IncludeNames {
		say(strictyaml.Index("include_names", i), name)
	}
	for _, tag := range slices.Sorted(maps.Keys(f.o.IncludeTags)) {
		say(strictyaml.Key("include_tags", tag), strings.Join(f.o.IncludeTags[tag], ", "))
	}
	listed = listed || !f.o.Enabled
	for i, e := range f.o.ExcludeAccounts {
		say(strictyaml.Index("exclude_accounts", i), e.Account)
	}
	return notes
}

// matches says whether a name fits a shell pattern in which * stands for "/" too.
func matches(pattern, name string) bool {
	const slash = "\x00"
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", slash), strings.ReplaceAll(name, "/", slash))
	return err == nil && ok
}

// sharedNames says which names that the operator gave are those of other accounts too.
func sharedNames(all []*candidate) []string {
	byName := map[string][]*candidate{}
	for _, c := range all {
		byName[c.account.Name] = append(byName[c.account.Name], c)
	}
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		list := byName[name]
		if len(list) < 2 || !slices.ContainsFunc(list, func(c *candidate) bool { return c.source != "the organization" }) {
			continue
		}
		who := make([]string, len(list))
		for i, c := range list {
			who[i] = c.account.ID + " (" + c.source + ")"
		}
		notes = append(notes, fmt.Sprintf("the name %q is that of %d accounts: %s", name, len(list), strings.Join(who, ", ")))
	}
	return notes
}

// choose restricts a listing to the wanted accounts, each given by its id or its name. It fails when one of them is not
// there, is not audited, or cannot be told from another one, so that a slip of the pen never reads as "nothing is wrong".
func choose(l auditor.Listing, wanted []string) (auditor.Listing, error) {
	out := auditor.Listing{Gaps: l.Gaps, TagKeys: l.TagKeys}
	var lost []string
	for _, w := range wanted {
		found := fitting(l.Accounts, w, func(a rules.Account) rules.Account { return a })
		left := fitting(l.Excluded, w, func(e auditor.Exclusion) rules.Account { return e.Account })
		switch {
		case len(found) > 1:
			e := &AmbiguousAccountError{Wanted: w}
			for _, a := range found {
				e.IDs = append(e.IDs, a.ID)
			}
			return auditor.Listing{}, e
		case len(found) == 0 && len(left) > 0:
			return auditor.Listing{}, &ExcludedAccountError{Wanted: w, Exclusion: left[0]}
		case len(found) == 0:
			lost = append(lost, w)
		case !slices.ContainsFunc(out.Accounts, func(a rules.Account) bool { return a.ID == found[0].ID }):
			out.Accounts = append(out.Accounts, found[0])
		}
	}
	if len(lost) > 0 {
		return auditor.Listing{}, &UnknownAccountError{Wanted: lost, Near: near(l.Accounts, lost), Gaps: l.Gaps}
	}
	return out, nil
}

// fitting are the entries of an account with that id or, if there is none, with that name, unless it is written like an id.
func fitting[T any](list []T, wanted string, account func(T) rules.Account) []T {
	var ids, names []T
	for _, e := range list {
		switch a := account(e); wanted {
		case a.ID:
			ids = append(ids, e)
		case a.Name:
			names = append(names, e)
		}
	}
	if len(ids) > 0 || rules.IsAccountID(wanted) {
		return ids
	}
	return names
}

// near returns up to five account names that resemble the lost ones, best first.
func near(accounts []rules.Account, lost []string) []string {
	type resembling struct {
		name string
		far  int
	}
	var all []resembling
	for _, a := range accounts {
		best := len(a.Name) + 1
		for _, w := range lost {
			best = min(best, distance(strings.ToLower(a.Name), strings.ToLower(w)))
			if w != "" && strings.Contains(a.Name, w) {
				best = 0
			}
		}
		if best <= max(2, len(a.Name)/3) {
			all = append(all, resembling{a.Name, best})
		}
	}
	slices.SortFunc(all, func(a, b resembling) int { return cmp.Or(cmp.Compare(a.far, b.far), cmp.Compare(a.name, b.name)) })
	var names []string
	for _, c := range all {
		if len(names) < 5 && !slices.Contains(names, c.name) {
			names = append(names, c.name)
		}
	}
	return names
}

// UnknownAccountError says that no source lists an account that was asked for.
type UnknownAccountError struct {
	// Wanted are the names or ids that were asked for, Near the names that resemble them.
	Wanted, Near []string
	// Gaps say which source could not be listed whole: the account may be there.
	Gaps []rules.Unknown
}

// Error names what was asked for and what resembles it.
func (e *UnknownAccountError) Error() string {
	msg := fmt.Sprintf("there is no account %q", e.Wanted)
	if len(e.Wanted) == 1 {
		msg = fmt.Sprintf("there is no account %q", e.Wanted[0])
	}
	if len(e.Near) > 0 {
		msg += "; did you mean " + strings.Join(e.Near, ", ") + "?"
	}
	for i := range e.Gaps {
		msg += "; it may be where nobody could look: " + e.Gaps[i].Error()
	}
	return msg
}

// AmbiguousAccountError says that several accounts bear a name that was asked for.
type AmbiguousAccountError struct {
	Wanted string
	IDs    []string
}

// Error names the ids of the accounts.
func (e *AmbiguousAccountError) Error() string {
	return fmt.Sprintf("%d accounts bear the name %q; give the id of the one that is meant: %s", len(e.IDs), e.Wanted,
		strings.Join(e.IDs, ", "))
}

// ExcludedAccountError says that an account that was asked for is left alone.
type ExcludedAccountError struct {
	Wanted    string
	Exclusion auditor.Exclusion
}

// Error says why.
func (e *ExcludedAccountError) Error() string {
	return fmt.Sprintf("the account %q is not audited (%s): %s", e.Wanted, e.Exclusion.Reason, e.Exclusion.Detail)
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

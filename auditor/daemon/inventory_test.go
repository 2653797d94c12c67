package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

func TestChoose(t *testing.T) {
	all := auditor.Listing{
		Accounts: []rules.Account{
			{ID: "d1", Name: "prod-eu"}, {ID: "d2", Name: "prod-ap"}, {ID: "d3", Name: "dev"}, {ID: "d4", Name: "twin"}, {ID: "d5", Name: "twin"},
			{ID: "d6", Name: "d1"}, // bears the id of another account as its name
		},
		Excluded: []auditor.Exclusion{{Account: rules.Account{ID: "d7", Name: "old"}, Reason: auditor.ExcludedSuspended, Detail: "why"}},
	}
	for _, c := range []struct{ wanted, got []string }{
		{[]string{"dev"}, []string{"d3"}},
		{[]string{"d2"}, []string{"d2"}},
		{[]string{"d1"}, []string{"d1"}},
		{[]string{"d5", "d4"}, []string{"d5", "d4"}},
		{[]string{"dev", "d3", "dev"}, []string{"d3"}},
	} {
		got, err := choose(all, c.wanted)
		if err != nil || !slices.Equal(ids(got.Accounts), c.got) {
			t.Errorf("%q: %v, %v", c.wanted, got, err)
		}
	}
	for _, c := range []struct{ wanted, near []string }{
		{[]string{"prod-eu", "pord-ap"}, []string{"prod-ap"}},
		{[]string{"prod"}, []string{"prod-ap", "prod-eu"}},
		{[]string{"zzzzzzzz"}, nil},
		{[]string{""}, nil},
		{[]string{"twn"}, []string{"twin"}},
	} {
		_, err := choose(all, c.wanted)
		e, ok := errors.AsType[*UnknownAccountError](err)
		if !ok {
			t.Fatalf("%q: %v", c.wanted, err)
		}
		if !slices.Equal(e.Near[:min(len(c.near), len(e.Near))], c.near) {
			t.Errorf("%q: %v", c.wanted, e)
		}
	}
	_, err := choose(all, []string{"twin"})
	if e, ok := errors.AsType[*AmbiguousAccountError](err); !ok || !slices.Equal(e.IDs, []string{"d4", "d5"}) {
		t.Errorf("a name that two accounts bear: %v", err)
	}
	_, err = choose(all, []string{"old"})
	if e, ok := errors.AsType[*ExcludedAccountError](err); !ok || !strings.Contains(e.Error(), "suspended") {
		t.Errorf("an account that is left alone: %v", err)
	}
}

func ids(accounts []rules.Account) []string {
	var out []string
	for _, a := range accounts {
		out = append(out, a.ID)
	}
	slices.Sort(out)
	if len(accounts) == 2 && accounts[0].ID > accounts[1].ID {
		slices.Reverse(out)
	}
	return out
}

// organization is one that a test changes between runs.
type organization struct {
	members []huawei.Member
	err     error
	asked   int
}

func (o *organization) Organization(context.Context, huawei.OrganizationQuery) (huawei.Organization, error) {
	o.asked++
	return huawei.Organization{Members: slices.Clone(o.members)}, o.err
}

// fleet are n members, active and below the unit prod of the unit "a/b".
func fleet(n int) *organization {
	o := &organization{}
	for i := range n {
		o.members = append(o.members, huawei.Member{
			ID: fmt.Sprintf("d%031d", i), Name: fmt.Sprintf("acct-%03d", i), Status: "active",
			OUs: []huawei.OU{{ID: "ou-top", Name: "a/b"}, {ID: "ou-prod", Name: "prod"}}, Tags: map[string]string{"env": "prod", "owner": "me"},
		})
	}
	return o
}

// tester lists the accounts of an organization run by run.
type tester struct {
	*testing.T
	inventory
}

func listing(t *testing.T, o *organization, change func(*AccountsConfig)) *tester {
	cfg := defaultConfig()
	cfg.Accounts.Organization.Enabled = true
	cfg.baselines = make([]rules.Baseline, 1)
	if change != nil {
		change(&cfg.Accounts)
	}
	return &tester{t, inventory{config: cfg, cloud: o, log: slog.New(slog.DiscardHandler), memory: &memory{}}}
}

// want makes a run and holds it to how many accounts are audited, vanished, excluded and gone, and to how many gaps there are.
func (l *tester) want(accounts, vanished, excluded, gone, gaps int) auditor.Listing {
	l.Helper()
	got, err := l.Accounts(l.Context())
	if err != nil {
		l.Fatal(err)
	}
	is := []int{len(got.Accounts), len(got.Vanished), len(got.Excluded), len(got.Gone), len(got.Gaps)}
	if !slices.Equal(is, []int{accounts, vanished, excluded, gone, gaps}) {
		l.Fatalf("accounts, vanished, excluded, gone, gaps: %v\nvanished %v\ngaps %v", is, got.Vanished, got.Gaps)
	}
	return got
}

func TestAnAccountVanishesForAFewRunsAndThenIsGone(t *testing.T) {
	o := fleet(100)
	l := listing(t, o, nil)
	l.want(100, 0, 0, 0, 0)
	last := o.members[99]
	o.members = o.members[:99]
	for range 3 {
		if got := l.want(99, 1, 0, 0, 0); got.Vanished[0].Account.ID != last.ID || got.Vanished[0].Account.Name != last.Name {
			t.Errorf("vanished %v", got.Vanished)
		}
	}
	if got := l.want(99, 0, 0, 1, 0); got.Gone[0].ID != last.ID {
		t.Errorf("gone %v", got.Gone)
	}
	l.want(99, 0, 0, 0, 0)
	o.members = append(o.members, last)
	l.want(100, 0, 0, 0, 0)
	// One that comes back in time begins anew.
	o.members = o.members[:99]
	l.want(99, 1, 0, 0, 0)
	o.members = append(o.members, last)
	l.want(100, 0, 0, 0, 0)
	o.members = o.members[:99]
	for range 3 {
		l.want(99, 1, 0, 0, 0)
	}
}

func TestAListIsNeverSmallerByAccident(t *testing.T) {
	for name, c := range map[string]func(o *organization){
		"refused":   func(o *organization) { o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "no"} },
		"a bug":     func(o *organization) { o.err = errors.New("broken") },
		"empty":     func(o *organization) { o.members = nil },
		"short":     func(o *organization) { o.members = o.members[:60] },
		"two":       func(o *organization) { o.members = append(o.members, o.members[7]) },
		"nameless":  func(o *organization) { o.members[3].ID = "" },
		"half gone": func(o *organization) { o.members = o.members[50:] },
	} {
		t.Run(name, func(t *testing.T) {
			o := fleet(100)
			l := listing(t, o, nil)
			l.want(100, 0, 0, 0, 0)
			c(o)
			got := l.want(100, 0, 0, 0, 1)
			if u := got.Gaps[0]; !strings.Contains(u.Detail, "organization") || !slices.Contains(rules.Reasons(), u.Reason) {
				t.Errorf("%v", u)
			}
			*o = *fleet(100)
			l.want(100, 0, 0, 0, 0)
		})
	}
	// A list that stays short is believed in the end, and what it lacks is told for as long as ever.
	o := fleet(100)
	l := listing(t, o, nil)
	l.want(100, 0, 0, 0, 0)
	o.members = o.members[:60]
	for range 3 {
		l.want(100, 0, 0, 0, 1)
	}
	for range 3 {
		l.want(60, 40, 0, 0, 0)
	}
	l.want(60, 0, 0, 40, 0)
	// One that lacks much more than those before begins to be doubted, however often they were.
	o = fleet(100)
	l = listing(t, o, nil)
	l.want(100, 0, 0, 0, 0)
	for _, n := range []int{80, 80, 80, 10, 9, 9} {
		o.members = fleet(n).members
		l.want(100, 0, 0, 0, 1)
	}
	o.members = fleet(9).members
	l.want(9, 91, 0, 0, 0)
}

func TestARefusedOrganizationAtTheFirstRun(t *testing.T) {
	o := &organization{err: &rules.Unknown{Reason: rules.ReasonDenied, Detail: "management account only"}}
	_, err := listing(t, o, nil).Accounts(t.Context())
	if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDenied || !strings.Contains(u.Detail, "could not be listed") {
		t.Errorf("with nothing known: %v", err)
	}
	l := listing(t, o, func(a *AccountsConfig) { a.Static = []AccountConfig{{Name: "one", ID: "d1"}} })
	l.want(1, 0, 0, 0, 1)
	// Whoever asks for an account that nobody could look for is told so.
	l.wanted = []string{"acct-001"}
	_, err = l.Accounts(t.Context())
	if e, ok := errors.AsType[*UnknownAccountError](err); !ok || len(e.Gaps) != 1 || !strings.Contains(e.Error(), "management account only") {
		t.Errorf("%v", err)
	}
}

// TestAnEntryFitsAnAccountThatItDoesNotDecideAbout: one that is named otherwise too, or that is excluded.
func TestAnEntryFitsAnAccountThatItDoesNotDecideAbout(t *testing.T) {
	o := fleet(10)
	o.members[0].OUs, o.members[1].OUs = []huawei.OU{{ID: "ou-one", Name: "One"}}, []huawei.OU{{ID: "ou-two", Name: "Two"}}
	got := listing(t, o, func(a *AccountsConfig) {
		a.Static = []AccountConfig{{Name: "by-hand", ID: o.members[0].ID}}
		a.Organization.ExcludeAccounts = []ExcludeConfig{{o.members[1].ID, "a museum"}}
		a.Organization.IncludeOUs = []string{"ou-top", "ou-one", "ou-two"}
	}).want(9, 0, 1, 0, 0)
	if len(got.Notes) != 0 {
		t.Errorf("notes: %q", got.Notes)
	}
}

func TestAccountsThatAreLeftAlone(t *testing.T) {
	o := fleet(10)
	o.members[0].Status, o.members[1].Status, o.members[2].Status = "suspended", "pending_closure", "Active"
	o.members[3].Name = "test/1"
	o.members[5].OUs, o.members[6].Tags["env"] = nil, "dev"
	delete(o.members[7].Tags, "env")
	l := listing(t, o, func(a *AccountsConfig) {
		a.Organization.ExcludeAccounts = []ExcludeConfig{
			{"test*", "a playground"}, {o.members[4].ID, "of somebody else"}, {"nobody-*", "never"},
		}
		a.Organization.IncludeOUs = []string{"ou-top", "ou-none"}
		a.Organization.IncludeTags = map[string][]string{"env": {"prod"}}
		a.Organization.IncludeNames = []string{"acct-*", "other-*"}
	})
	got := l.want(2, 0, 8, 0, 0)
	why := map[string]string{}
	for _, e := range got.Excluded {
		why[e.Account.ID] = string(e.Reason) + " " + e.Detail
	}
	for i, want := range []string{
		"suspended ", "pending_closure ", "status_unknown ", "configured a playground", "configured of somebody else",
		"configured it is not among those of accounts.organization.include_ous",
		"configured it is not among those of accounts.organization.include_tags",
		"configured it is not among those of accounts.organization.include_tags", "", "",
	} {
		if is := why[o.members[i].ID]; want == "" && is != "" || !strings.HasPrefix(is, want) {
			t.Errorf("account %d: %q, want %q", i, is, want)
		}
	}
	notes := strings.Join(got.Notes, "\n")
	for _, want := range []string{"exclude_accounts[2] (nobody-*)", "include_ous[1] (ou-none)", "include_names[1] (other-*)"} {
		if !strings.Contains(notes, want) {
			t.Errorf("not told: %s\n%s", want, notes)
		}
	}
	if len(got.Notes) != 3 {
		t.Errorf("notes:\n%s", notes)
	}
	// One that was suspended and then leaves does not vanish: nobody misses it.
	o.members = o.members[1:]
	l.want(2, 0, 8, 0, 0)
}

// An account can call itself by the id of another one: neither is it left alone in its place, nor audited when that one is asked for.
func TestAnAccountThatIsCalledLikeTheIDOfAnother(t *testing.T) {
	o := fleet(3)
	id := o.members[0].ID
	o.members[1].Name = id
	l := listing(t, o, func(a *AccountsConfig) { a.Organization.ExcludeAccounts = []ExcludeConfig{{id, "of somebody else"}} })
	if got := l.want(2, 0, 1, 0, 0); got.Excluded[0].Account.ID != id {
		t.Errorf("left alone: %v", got.Excluded)
	}
	l.wanted = []string{id}
	_, err := l.Accounts(t.Context())
	if e, ok := errors.AsType[*ExcludedAccountError](err); !ok || e.Exclusion.Account.ID != id {
		t.Errorf("asked for one that is left alone: %v", err)
	}
	o.members[0].Status = "suspended"
	l.config.Accounts.Organization.ExcludeAccounts = nil
	if got, err := l.Accounts(t.Context()); err == nil {
		t.Errorf("asked for one that is suspended: %v", got.Accounts)
	}
}

// Tags that were never read leave nobody out: a configuration may ask for them anew while the organization is refused.
func TestTagsThatWereNotReadExcludeNobody(t *testing.T) {
	o := fleet(5)
	for i := range o.members {
		o.members[i].Tags = nil // as they are not asked for
	}
	l := listing(t, o, nil)
	l.want(5, 0, 0, 0, 0)
	l.config.Accounts.Organization.IncludeTags = map[string][]string{"env": {"prod"}}
	o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "not now"}
	l.want(5, 0, 0, 0, 1)
	*o = *fleet(5)
	delete(o.members[0].Tags, "env")
	l.want(4, 0, 1, 0, 0)
}

func TestAnAccountOfSeveralSources(t *testing.T) {
	o := fleet(4)
	l := listing(t, o, func(a *AccountsConfig) {
		a.File = "accounts.yaml"
		a.Organization.Labels.Tags = []string{"owner", "env", "none"}
		a.Static = []AccountConfig{{Name: "static", ID: o.members[0].ID, RequireAgency: true}, {Name: "acct-003", ID: "d9"}}
	})
	l.filed = &accountsFile{accounts: []AccountConfig{{Name: "filed", ID: o.members[0].ID}, {Name: "filed", ID: o.members[1].ID}, {Name: "own", ID: "d8"}}}
	got := l.want(6, 0, 0, 0, 0)
	names := map[string]string{}
	for _, a := range got.Accounts {
		names[a.ID] = a.Name
		if listed := len(a.ID) > 2; listed != (a.OU == "a%2Fb/prod") ||
			listed != reflect.DeepEqual(a.Tags, []rules.Tag{{Key: "env", Value: "prod"}, {Key: "owner", Value: "me"}}) {
			t.Errorf("%+v", a)
		}
		if a.RequireAgency != (a.Name == "static") {
			t.Errorf("%+v", a)
		}
	}
	if want := []string{"static", "filed", "acct-002", "acct-003"}; names[o.members[0].ID] != want[0] || names[o.members[1].ID] != want[1] ||
		names[o.members[2].ID] != want[2] || names[o.members[3].ID] != want[3] || names["d9"] != want[3] || names["d8"] != "own" {
		t.Errorf("%v", names)
	}
	if len(got.Notes) != 1 || !strings.Contains(got.Notes[0], `"acct-003" is that of 2 accounts`) {
		t.Errorf("a name of two accounts: %q", got.Notes)
	}
	if !slices.Equal(got.TagKeys, []string{"env", "none", "owner"}) {
		t.Errorf("%v", got.TagKeys)
	}
	// It is there for as long as one of them has it, and suspended whatever the others say.
	l.filed = &accountsFile{accounts: l.filed.accounts[:2]}
	if got := l.want(5, 1, 0, 0, 0); got.Vanished[0].Account.ID != "d8" {
		t.Errorf("%v", got.Vanished)
	}
	o.members[0].Status = "suspended"
	l.want(4, 1, 1, 0, 0)
	l.fileFault = errors.New("line 1\nline 2")
	if got := l.want(4, 1, 1, 0, 1); !strings.Contains(got.Gaps[0].Detail, "line 1") || strings.Contains(got.Gaps[0].Detail, "line 2") {
		t.Errorf("%v", got.Gaps)
	}
}

// What one source gives up, and another one still has, is not gone.
func TestAnAccountThatOneSourceGivesUp(t *testing.T) {
	o := fleet(3)
	l := listing(t, o, func(a *AccountsConfig) { a.File = "accounts.yaml" })
	both := []AccountConfig{{Name: "own", ID: "d8"}, {Name: "filed", ID: o.members[0].ID}}
	l.filed = &accountsFile{accounts: both}
	l.want(4, 0, 0, 0, 0)
	l.filed = &accountsFile{accounts: both[:1]}
	for range 5 {
		l.want(4, 0, 0, 0, 0)
	}
}

// A rename, or a move to another unit, is the same account.
func TestARenamedAccountIsTheSame(t *testing.T) {
	o := fleet(2)
	l := listing(t, o, nil)
	l.want(2, 0, 0, 0, 0)
	// They swap their names, and one moves.
	o.members[0].Name, o.members[1].Name = o.members[1].Name, o.members[0].Name
	o.members[0].OUs = []huawei.OU{{ID: "ou-x", Name: "100%"}}
	got := l.want(2, 0, 0, 0, 0)
	if a := got.Accounts[0]; a.ID != o.members[0].ID || a.Name != "acct-001" || a.OU != "100%25" {
		t.Errorf("%+v", a)
	}
}

func TestAFleetThatNoRunCanReadIsTold(t *testing.T) {
	var log words
	l := listing(t, fleet(100), nil)
	l.log = slog.New(slog.NewTextHandler(&log, nil))
	l.config.Cloud.Rate.Total, l.config.Limits.RunTimeout = 1, 10*time.Minute // 600 requests in 601 seconds
	l.want(100, 0, 0, 0, 0)
	if strings.Contains(log.String(), "too little time") {
		t.Error("told of a fleet that can be read")
	}
	l.config.Limits.RunTimeout = 9 * time.Minute
	l.want(100, 0, 0, 0, 0)
	if !strings.Contains(log.String(), "too little time") {
		t.Error("not told")
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		far  int
	}{{"", "", 0}, {"a", "", 1}, {"", "abc", 3}, {"prod", "pord", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.far || distance(c.b, c.a) != c.far {
			t.Errorf("%q to %q: %d", c.a, c.b, got)
		}
	}
}

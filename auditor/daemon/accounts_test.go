package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Three accounts of the bundled organization.
const alpha, beta, gamma = "exact-baseline", "beta-without-fourth-policy", "extra-on-one-project"

// guarded is an organization that a test changes while a daemon asks it.
type guarded struct {
	mu sync.Mutex
	organization
}

func (g *guarded) Organization(ctx context.Context, q huawei.OrganizationQuery) (huawei.Organization, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.organization.Organization(ctx, q)
}

// set changes it.
func (g *guarded) set(change func(o *organization)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.organization)
}

// organized is a loop whose accounts the organization lists: these of the bundled one.
func organized(t *testing.T, g *guarded, names ...string) *loop {
	t.Helper()
	l := startLoopWith(t, func(_ *loop, o *Options) {
		o.organization = g
		a := &o.Config.Accounts
		a.Organization.Enabled, a.Organization.Labels.Tags = true, []string{"owner"}
		for _, acct := range a.Static {
			g.members = append(g.members, huawei.Member{
				ID: acct.ID, Name: acct.Name, Status: "active", OUs: []huawei.OU{{ID: "ou-1", Name: "prod"}}, Tags: map[string]string{"owner": "me"},
			})
		}
		a.Static = nil // the ways into them are left
	}, "", names...)
	l.gate.Unlock()
	return l
}

// scraped is how many series of a scrape have each account's id in them, by name and id, and holds the scrape to its promises.
func (l *loop) scraped() map[string]int {
	l.t.Helper()
	_, text := l.get("GET", "/metrics")
	seen, info := map[string]bool{}, map[string]int{}
	expected, sum := "", 0
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if seen[series] && strings.HasPrefix(series, "agencyaudit_") && strings.Contains(series, "{") {
			l.t.Errorf("twice: %s", series)
		}
		seen[series] = true
		if strings.HasPrefix(line, "agencyaudit_accounts{") {
			n := 0
			_, _ = fmt.Sscan(value, &n)
			sum += n
		}
		if rest, ok := strings.CutPrefix(line, "agencyaudit_accounts_expected "); ok {
			expected = strings.TrimSpace(rest)
		}
		if strings.HasPrefix(line, "agencyaudit_account_info{") {
			info[strings.Split(line, `"`)[1]]++
		}
	}
	if expected != fmt.Sprint(sum) {
		l.t.Errorf("%d in states, %s expected", sum, expected)
	}
	for name, n := range info {
		if n != 1 {
			l.t.Errorf("%s has %d infos", name, n)
		}
	}
	return info
}

// again makes one more run.
func (l *loop) again() *auditor.Run {
	l.t.Helper()
	l.d.scheduler.Request("test")
	return l.next()
}

func reasonOf(run *auditor.Run, id string) string {
	for i := range run.Sweeps {
		if r := &run.Sweeps[i].Report; r.Account.ID == id {
			if r.Unknown != nil {
				return string(r.Unknown.Reason)
			}
			return string(r.State)
		}
	}
	for _, e := range run.Excluded {
		if e.Account.ID == id {
			return string(e.Reason)
		}
	}
	return ""
}

func TestTheDaemonFollowsTheOrganization(t *testing.T) {
	g := &guarded{}
	l := organized(t, g, alpha, beta, gamma)
	defer func() { _ = l.stop() }()
	ids := map[string]string{}
	for _, m := range g.members {
		ids[m.Name] = m.ID
	}
	first := l.next()
	if len(first.Sweeps) != 3 || len(l.scraped()) != 3 {
		t.Fatalf("%d sweeps", len(first.Sweeps))
	}
	// One is added, one renamed and moved, one suspended.
	g.set(func(o *organization) {
		o.members = append(o.members, huawei.Member{ID: "d" + strings.Repeat("e", 31), Name: "new", Status: "active"})
		o.members[0].Name, o.members[0].OUs = "renamed", []huawei.OU{{ID: "ou-2", Name: "moved"}}
		o.members[1].Status = "suspended"
	})
	run := l.again()
	infos := l.scraped()
	if infos["renamed"] != 1 || infos[alpha] != 0 || infos[beta] != 0 || infos["new"] != 1 || len(infos) != 3 {
		t.Errorf("%v", infos)
	}
	if got := reasonOf(run, ids[beta]); got != "suspended" {
		t.Errorf("beta: %s", got)
	}
	if was, is := reasonOf(first, ids[alpha]), reasonOf(run, ids[alpha]); was != is {
		t.Errorf("alpha was %s and is %s", was, is)
	}
	_, text := l.get("GET", "/metrics")
	for _, want := range []string{`ou="moved",tag_owner="me"`, `accounts_excluded{reason="suspended"} 1`, `accounts_excluded{reason="configured"} 0`} {
		if !strings.Contains(text, want) {
			t.Errorf("no series with %s", want)
		}
	}
	for path, want := range map[string]string{"/": "suspended by the organization", "/accounts/" + ids[alpha] + "/ServiceAgencyForCOC": "moved"} {
		if _, page := l.get("GET", path); !strings.Contains(page, want) {
			t.Errorf("%s does not say %q", path, want)
		}
	}
	// A refusal takes nothing away, and is told.
	g.set(func(o *organization) {
		o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "management account only"}
	})
	run = l.again()
	if run.Complete || len(run.Gaps) != 1 || len(run.Sweeps) != 3 || reasonOf(run, ids[alpha]) != reasonOf(first, ids[alpha]) {
		t.Errorf("refused: complete %t, %v, %d sweeps", run.Complete, run.Gaps, len(run.Sweeps))
	}
	if _, page := l.get("GET", "/"); !strings.Contains(page, "management account only") {
		t.Error("the page does not say why accounts may be missing")
	}
	l.scraped()
	// One vanishes: it is unknown for three runs, not read, and then gone.
	g.set(func(o *organization) { o.err, o.members = nil, slices.Delete(o.members, 2, 3) })
	for range 3 {
		if run = l.again(); reasonOf(run, ids[gamma]) != "vanished" || run.Complete || l.scraped()[gamma] != 1 {
			t.Errorf("gamma: %s", reasonOf(run, ids[gamma]))
		}
		for i := range run.Sweeps {
			if s := &run.Sweeps[i]; s.Report.Account.ID == ids[gamma] && (s.Trail.Requests > 0 || s.Report.State != rules.StateUnknown) {
				t.Errorf("a vanished account was read: %+v", s)
			}
		}
	}
	if run = l.again(); reasonOf(run, ids[gamma]) != "" || l.scraped()[gamma] != 0 || !strings.Contains(l.log.String(), "account gone") {
		t.Errorf("gamma: %s", reasonOf(run, ids[gamma]))
	}
}

// TestAReloadForgetsNoAccount: what the sources said before a reload still counts after it, be the organization refused meanwhile.
// An account that had vanished goes on vanishing, for as many runs in all as without a reload.
func TestAReloadForgetsNoAccount(t *testing.T) {
	g := &guarded{}
	names := []string{alpha, beta, gamma}
	config := ""
	l := startLoopWith(t, func(l *loop, o *Options) {
		for _, acct := range l.named(names...) {
			g.members = append(g.members, huawei.Member{ID: acct.ID, Name: acct.Name, Status: "active"})
		}
		config = strings.Replace(l.config(hourly), "accounts:\n  static:\n",
			"accounts:\n  organization: {enabled: true, keep_vanished: 4, access: {via: iam, agency: AgencyAuditReader}}\n", 1)
		config = strings.Replace(config, "endpoints: {", "endpoints: {organizations: 'http://127.0.0.1:1', ", 1) // which is never asked
		write(t, l.file, config, 0o600)
		var err error
		if o.Config, err = LoadConfig(l.file); err != nil {
			t.Fatal(err)
		}
		o.organization, o.Watch = g, false
	}, "", names...)
	l.gate.Unlock()
	defer func() { _ = l.stop() }()
	gone := l.named(gamma)[0].ID
	reloads := 0
	reload := func() *auditor.Run {
		t.Helper()
		reloads++
		l.rewrite(config + fmt.Sprintf("# reloaded %d times\n", reloads))
		if code, says := l.get("POST", "/-/reload"); code != 200 {
			t.Fatalf("reload: %d %s", code, says)
		}
		run := l.next()
		if run.Trigger != "reload" {
			t.Errorf("a run by %s", run.Trigger)
		}
		return run
	}
	want := func(when string, run *auditor.Run, gaps int, state string) {
		t.Helper()
		sweeps := len(names)
		if state == "" {
			sweeps--
		}
		if got := reasonOf(run, gone); len(run.Sweeps) != sweeps || len(run.Gaps) != gaps || got != state {
			t.Errorf("%s: %d accounts, %d gaps, the one that left is %q; want %d, %d, %q", when, len(run.Sweeps), len(run.Gaps), got, sweeps, gaps, state)
		}
		if infos := l.scraped(); len(infos) != sweeps {
			t.Errorf("%s: %v", when, infos)
		}
	}
	is := reasonOf(l.next(), gone)
	want("after a reload", reload(), 0, is)
	g.set(func(o *organization) { o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "not now"} })
	want("after a reload, refused", reload(), 1, is)
	g.set(func(o *organization) { o.err, o.members = nil, slices.Delete(o.members, 2, 3) })
	want("left", l.again(), 0, "vanished")
	want("left, after a reload", reload(), 0, "vanished")
	g.set(func(o *organization) { o.err = &rules.Unknown{Reason: rules.ReasonDenied, Detail: "not now"} })
	want("left, after a reload, refused", reload(), 1, "vanished")
	g.set(func(o *organization) { o.err = nil })
	want("left, for the third run that says so", reload(), 0, "vanished")
	want("left, for the fourth", l.again(), 0, "vanished")
	want("gone", reload(), 0, "")
}

func TestTheFileOfAccountsIsReadForEveryRun(t *testing.T) {
	var filed string
	write := func(text string) { write(t, filed, text, 0o600) }
	entry := func(names ...string) string {
		text := "accounts:\n"
		for i, name := range names {
			text += fmt.Sprintf("  - {name: %s, id: d%031d, access: {via: iam, agency: AgencyAuditReader}}\n", name, 900+i)
		}
		return text
	}
	l := startLoopWith(t, func(l *loop, o *Options) {
		o.Watch = false
		filed = filepath.Join(filepath.Dir(l.file), "accounts.yaml")
		write(entry("one", "two"))
		o.Config.Accounts.File = "accounts.yaml"
		o.Config.filed, o.Config.fileFault = o.Config.readAccounts(openFile)
	}, "", alpha)
	defer func() { _ = l.stop() }()
	if len(l.scraped()) != 3 {
		t.Error("what is known before the first run is not expected")
	}
	l.gate.Unlock()
	want := func(run *auditor.Run, gaps int, names ...string) {
		t.Helper()
		var got []string
		for i := range run.Sweeps {
			got = append(got, run.Sweeps[i].Report.Account.Name)
		}
		if !slices.Equal(got, names) || len(run.Gaps) != gaps {
			t.Errorf("%q, %v", got, run.Gaps)
		}
		l.scraped()
	}
	want(l.next(), 0, alpha, "one", "two")
	write(entry("one", "two", "three"))
	want(l.again(), 0, alpha, "one", "three", "two")
	write("accounts: [{name: one")
	run := l.again()
	want(run, 1, alpha, "one", "three", "two")
	if run.Whole() || !strings.Contains(run.Gaps[0].Detail, "accounts.yaml") {
		t.Errorf("%v", run.Gaps)
	}
	write(entry("one", "two", "three")) // as it was
	want(l.again(), 0, alpha, "one", "three", "two")
}

// TestAFileOfAccountsThatIsSuddenlyShort is not believed for a while: what it lacks is audited by the way of the last file that
// had it, be the configuration reloaded meanwhile. What it has counts at once.
func TestAFileOfAccountsThatIsSuddenlyShort(t *testing.T) {
	names := []string{beta, gamma, "trust-upper-case", "all-four-at-all-resources"}
	var all []simcloud.Account
	config := ""
	accounts := func(l *loop, agency string, list ...simcloud.Account) {
		text := "accounts:\n"
		for _, a := range list {
			text += fmt.Sprintf("  - {name: %s, id: %s, access: {via: iam, agency: %s}}\n", a.Name, a.ID, agency)
		}
		write(t, filepath.Join(filepath.Dir(l.file), "accounts.yaml"), text, 0o600)
	}
	l := startLoopWith(t, func(l *loop, o *Options) {
		all = l.named(names...)
		accounts(l, "AgencyAuditReader", all...)
		config = strings.Replace(l.config(hourly, l.named(alpha)...), "accounts:\n", "accounts:\n  file: accounts.yaml\n", 1)
		write(t, l.file, config, 0o600)
		var err error
		if o.Config, err = LoadConfig(l.file); err != nil {
			t.Fatal(err)
		}
		o.Watch = false
	}, "", alpha)
	l.gate.Unlock()
	defer func() { _ = l.stop() }()
	states := func(run *auditor.Run) map[string]string {
		is := map[string]string{}
		for i := range run.Sweeps {
			r := &run.Sweeps[i].Report
			is[r.Account.ID] = string(r.State)
			if r.Unknown != nil {
				is[r.Account.ID] += " " + string(r.Unknown.Reason)
			}
		}
		return is
	}
	const assume = "CreateTemporaryAccessKeyByAgency"
	want := states(l.next())
	for _, a := range all {
		if strings.HasPrefix(want[a.ID], "unknown") {
			t.Fatalf("%s is %s from the start", a.Name, want[a.ID])
		}
	}
	accounts(l, "AgencyOfNobody", all[0])
	want[all[0].ID] = "unknown denied"
	run := l.again()
	if got := states(run); !maps.Equal(got, want) || len(run.Gaps) != 1 || run.Complete {
		t.Errorf("a short file: %v, want %v; %v", got, want, run.Gaps)
	}
	if n := l.d.current().cloud.Requests()[assume]; n != 1 {
		t.Errorf("%d agencies were assumed; the way into one is another one", n)
	}
	l.rewrite(config + "# another\n")
	if code, says := l.get("POST", "/-/reload"); code != 200 {
		t.Fatalf("reload: %d %s", code, says)
	}
	if run = l.next(); !maps.Equal(states(run), want) || len(run.Gaps) != 1 {
		t.Errorf("a short file, after a reload: %v, want %v; %v", states(run), want, run.Gaps)
	}
	if run = l.again(); !maps.Equal(states(run), want) {
		t.Errorf("a short file, for the third run: %v, want %v", states(run), want)
	}
	for _, a := range all[1:] {
		want[a.ID] = "unknown vanished"
	}
	if run = l.again(); !maps.Equal(states(run), want) || len(run.Gaps) != 0 {
		t.Errorf("a short file that is believed: %v, want %v; %v", states(run), want, run.Gaps)
	}
}

// TestWaysOfFilesOfAccounts are remembered for as long as the account is listed.
func TestWaysOfFilesOfAccounts(t *testing.T) {
	l := listing(t, fleet(1), func(a *AccountsConfig) { a.File, a.Organization.KeepVanished = "accounts.yaml", 1 })
	var kept []map[string]huawei.Access
	l.keep = func(ways map[string]huawei.Access) { kept = append(kept, ways) }
	file := func(agency string, ids ...string) *accountsFile {
		f := &accountsFile{access: map[string]huawei.Access{}}
		for _, id := range ids {
			f.accounts = append(f.accounts, AccountConfig{Name: id, ID: id})
			f.access[id] = huawei.Access{Agency: agency}
		}
		return f
	}
	is := func(when string, f *accountsFile, want map[string]string) {
		t.Helper()
		kept, l.filed = nil, f
		if _, err := l.Accounts(t.Context()); err != nil || len(kept) != 1 {
			t.Fatalf("%s: told %d times, %v", when, len(kept), err)
		}
		got := map[string]string{}
		for id, way := range kept[0] {
			got[id] = way.Agency
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	is("the first", file("one", "d1", "d2", "d3"), map[string]string{})
	is("as it was", file("two", "d1", "d2", "d3"), map[string]string{})
	is("short", file("three", "d1"), map[string]string{"d2": "two", "d3": "two"})
	if got := (&memory{ways: l.memory.ways}).lacking(nil); len(got) != 3 {
		t.Errorf("of no file that nothing is wrong with: %v", got)
	}
	is("short, and believed", file("three", "d1"), map[string]string{})
	if len(l.memory.ways) != 1 {
		t.Errorf("remembered of accounts that left: %v", l.memory.ways)
	}
}

func TestAFileOfAccountsWithFaults(t *testing.T) {
	cfg := defaultConfig()
	cfg.file, cfg.Accounts.File, cfg.lookupEnv = filepath.Join(t.TempDir(), "agencyaudit.yaml"), "accounts.yaml", lookup(nil)
	file := filepath.Join(filepath.Dir(cfg.file), "accounts.yaml")
	if _, err := cfg.readAccounts(openFile); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("no file: %v", err)
	}
	for text, want := range map[string]string{
		"":                            "accounts",
		"accounts: []":                "empty list",
		"others: []":                  "others",
		"accounts: [{name: a}]":       "accounts[0].id",
		"accounts: [{name: a, id: x}": "YAML",
		"accounts: [{name: a, id: d0000000000000000000000000000001, access: {via: magic}}]": "no way into an account",
	} {
		write(t, file, text, 0o600)
		if f, err := cfg.readAccounts(openFile); err == nil || f != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNothingIsRememberedOfAnotherOrganization(t *testing.T) {
	was := &engine{config: defaultConfig(), memory: &memory{organization: "o-1"}}
	was.config.Accounts.Organization.Enabled = true
	if _, gap := was.memory.members.update(fleet(3).members, memberID, 3); gap != "" {
		t.Fatal(gap)
	}
	// Another account's key may list the same organization, another one, or none: what was known stays until another one is listed.
	is := &engine{config: defaultConfig(), log: slog.New(slog.DiscardHandler)}
	is.config.Accounts.Organization.Enabled, is.config.reader.Main.AccountID = true, "b"
	is.inherit(was)
	if got := len(is.known().Accounts); got != 3 {
		t.Errorf("%d accounts before anything was listed", got)
	}
	for _, c := range []struct {
		lists          saying
		accounts, gone int
		gaps           bool
	}{
		{saying{err: &rules.Unknown{Reason: rules.ReasonDenied, Detail: "no"}}, 3, 0, true},
		{saying{huawei.Organization{ID: "o-2"}, nil}, 3, 0, true}, // of nobody
		{saying{huawei.Organization{ID: "o-1", Members: fleet(3).members}, nil}, 3, 0, false},
		{saying{huawei.Organization{ID: "o-2", Members: fleet(1).members}, nil}, 1, 2, false},
	} {
		is.lister = c.lists
		l, err := is.inventory(nil).Accounts(t.Context())
		if err != nil || len(l.Accounts) != c.accounts || len(l.Gone) != c.gone || len(l.Gaps) > 0 != c.gaps {
			t.Errorf("%+v: %d accounts, %d gone, gaps %v, %v", c.lists, len(l.Accounts), len(l.Gone), l.Gaps, err)
		}
	}
	off := &engine{config: defaultConfig()}
	if off.inherit(was); len(off.known().Accounts) != 0 {
		t.Error("accounts of an organization that is no longer asked are still expected")
	}
}

// saying is an organization that says one thing.
type saying struct {
	is  huawei.Organization
	err error
}

func (l saying) Organization(context.Context, huawei.OrganizationQuery) (huawei.Organization, error) {
	return l.is, l.err
}

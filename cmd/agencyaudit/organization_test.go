//go:build unix

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// members are the arguments of a simulated organization of n accounts with nothing amiss in them, which is audited from the
// management account's key alone. The generator makes the same accounts every time.
func members(n int, way string) []string {
	return []string{"--generate", fmt.Sprint(n), "--steady", "--members", way}
}

// fleetOf are the accounts of such an organization, in the order in which they are made: the first is the management account.
func fleetOf(n int) []simcloud.Account { return simcloud.GenerateSteady(1, n).Accounts }

// joining is an account as it comes into the organization: compliant, and with a reader.
func joining(name, member string) string {
	return fmt.Sprintf(`{"name": %q, %s, "agencies": [
		{"name": "AgencyAuditReader", "trust": {"name": %q}, "grants": [{"policy": "IAM ReadOnlyAccess", "scope": "global"}]},
		{"name": "ServiceAgencyForCOC", "trust": {"name": "op_svc_coc"}, "grants": [
			{"policy": "IAM ReadOnlyAccess", "scope": "global"}, {"policy": "RMS ReadOnlyAccess", "scope": "global"},
			{"policy": "DCS UserAccess", "scope": "all_resources"}, {"policy": "COCServiceAgencyDefaultPolicy", "scope": "all_resources"}]}]}`,
		name, member, fleetOf(1)[0].Name)
}

// allWell wants every account that is expected to be compliant, so many of them, and so many to be left alone.
func allWell(compliant, excluded float64) func(s series) bool {
	return func(s series) bool {
		left := 0.0
		for _, n := range s.where("accounts_excluded") {
			left += n
		}
		return s.one("accounts_expected") == compliant && s.one("accounts", `state="compliant"`) == compliant && left == excluded &&
			s.one("run_complete") == 1
	}
}

// info are the labels of an account that tell where it belongs, as one text; what there is of several or of none.
func (s series) info(id string) string {
	var all []string
	for key := range s.where("account_info", fmt.Sprintf("account_id=%q", id)) {
		var some []string
		for label := range strings.SplitSeq(strings.TrimSuffix(key[strings.Index(key, "{")+1:], "}"), ",") {
			if !strings.HasPrefix(label, "account_id=") && !strings.HasPrefix(label, "agency=") {
				some = append(some, label)
			}
		}
		all = append(all, strings.Join(some, " "))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// of are all series of an account.
func (s series) of(id string) series {
	out := series{}
	for key, v := range s {
		if strings.Contains(key, fmt.Sprintf("account_id=%q", id)) {
			out[key] = v
		}
	}
	return out
}

// What happens to the accounts of an organization is seen by the next run, without a restart and without a list that anybody
// keeps: they are added, renamed, moved, tagged, suspended, closed, and leave and come back. Every scrape meanwhile counts each
// account once.
func TestAnOrganizationIsFollowedFromRunToRun(t *testing.T) {
	t.Parallel()
	const n = 12
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	d := cloud.serve(t, strings.Replace(cloud.looped(), "    require_agency: true\n", "    require_agency: true\n    keep_vanished: 4\n", 1))
	d.always(t, nil)
	d.shows(t, "all are compliant", allWell(n, 0))
	subject := fleet[2] // data-stage-000002
	if got, want := d.scrape(t).info(subject.ID), `account="data-stage-000002" ou="data/stage" tag_env="stage" tag_owner="data"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := d.scrape(t).info(fleet[0].ID), fmt.Sprintf(`account=%q ou="" tag_env="prod" tag_owner="billing"`, fleet[0].Name); got != want {
		t.Errorf("%s, want %s", got, want)
	}

	// Once the keys are there, a run asks STS for nothing.
	cloud.do(t, http.MethodPost, "/counters/reset", "")
	d.completes(t)
	counters := cloud.do(t, http.MethodGet, "/counters", "")
	if strings.Contains(counters, "AssumeAgency") || !strings.Contains(counters, "ListAgencies") {
		t.Errorf("with keys of an earlier run: %s", counters)
	}

	// Added, with a tag of its own and below a unit that was not there before.
	cloud.drift(t, `{"kind": "create_ou", "ou": "data", "name": "a/b"}`)
	cloud.drift(t, `{"kind": "create_account", "new_account": %s}`, joining("brand-new", `"id": "ad000000000000000000000000000001",
		"member": {"ou": "data/test", "join_method": "created", "tags": {"owner": "someone", "cost": "7"}}`))
	all := d.shows(t, "the new account is audited", allWell(n+1, 0))
	if got, want := all.info("ad000000000000000000000000000001"), `account="brand-new" ou="data/test" tag_env="" tag_owner="someone"`; got != want &&
		got != strings.Replace(want, ` tag_env=""`, "", 1) {
		t.Errorf("%s, want %s", got, want)
	}

	// Renamed: it is the same account, and its old name leads nowhere.
	cloud.drift(t, `{"kind": "rename", "account": %q, "name": "called-otherwise"}`, subject.Name)
	all = d.shows(t, "the new name is there", func(s series) bool { return strings.Contains(s.info(subject.ID), "called-otherwise") })
	for key := range all {
		if strings.Contains(key, subject.Name) {
			t.Errorf("its old name is still there: %s", key)
		}
	}
	if !allWell(n+1, 0)(all) {
		t.Errorf("after it was renamed: %v %v", all.where("accounts"), all.where("accounts_expected"))
	}

	// Moved: below a unit whose name has a slash in it.
	cloud.drift(t, `{"kind": "move", "account": "called-otherwise", "ou": %q}`, cloud.unit(t, "data", "a/b"))
	want := `account="called-otherwise" ou="data/a%2Fb" tag_env="stage" tag_owner="data"`
	d.shows(t, "it is moved", func(s series) bool { return s.info(subject.ID) == want && allWell(n+1, 0)(s) })

	// Tagged, which is read once an hour, and at a reload; and moved to the top.
	cloud.drift(t, `{"kind": "tag", "account": "called-otherwise", "tags": {"owner": "quality", "env": "prod"}}`)
	cloud.drift(t, `{"kind": "move", "account": "called-otherwise"}`)
	if a := d.reload(t); a.status != http.StatusOK {
		t.Fatalf("reload: status %d, %s", a.status, a.body)
	}
	want = `account="called-otherwise" ou="" tag_env="prod" tag_owner="quality"`
	d.shows(t, "it is tagged, and below the root", func(s series) bool { return s.info(subject.ID) == want && allWell(n+1, 0)(s) })

	// Left alone, each with its reason, and nothing is said of them.
	alone := map[string]simcloud.Account{"suspended": subject, "pending_closure": fleet[3], "status_unknown": fleet[4]}
	for reason, acct := range alone {
		cloud.drift(t, `{"kind": "status", "account": %q, "status": %q}`, acct.ID, strings.Replace(reason, "status_unknown", "frozen", 1))
	}
	all = d.shows(t, "they are left alone", allWell(n+1-3, 3))
	for reason, acct := range alone {
		if all.one("accounts_excluded", fmt.Sprintf("reason=%q", reason)) != 1 || len(all.of(acct.ID)) > 0 {
			t.Errorf("%s: %v %v", reason, all.where("accounts_excluded"), all.of(acct.ID))
		}
		cloud.drift(t, `{"kind": "status", "account": %q, "status": "active"}`, acct.ID)
	}
	d.shows(t, "they are audited again", allWell(n+1, 0))

	// It leaves, and is unknown for the runs that the configuration says. Then its series end.
	vanished := func(s series) bool {
		return s.one("account_unknown", fmt.Sprintf("account_id=%q", subject.ID), `reason="vanished"`) == 1 && s.one("accounts_expected") == n+1 &&
			s.one("accounts", `state="compliant"`) == n
	}
	cloud.drift(t, `{"kind": "leave_organization", "account": "called-otherwise"}`)
	d.shows(t, "it has vanished", vanished)
	cloud.drift(t, `{"kind": "join_organization", "account": "called-otherwise", "member": {"ou": "data/dev"}}`)
	all = d.shows(t, "it is back in time", allWell(n+1, 0))
	if got := all.info(subject.ID); !strings.Contains(got, `ou="data/dev"`) {
		t.Errorf("where it is now: %s", got)
	}
	from := len(d.err.String())
	cloud.drift(t, `{"kind": "leave_organization", "account": "called-otherwise"}`)
	all = d.shows(t, "it is gone", allWell(n, 0))
	if left := all.of(subject.ID); len(left) > 0 {
		t.Errorf("of an account that is gone: %v", left)
	}
	said := d.err.String()[from:]
	if n := strings.Count(said, `"msg":"account vanished"`); n != 4 || strings.Count(said, `"msg":"account gone:`) != 1 {
		t.Errorf("it vanished in %d runs, want 4; the log:\n%s", n, last(said, 3000))
	}
	cloud.drift(t, `{"kind": "join_organization", "account": "called-otherwise", "member": {"ou": "data/stage"}}`)
	d.shows(t, "it is back after it was gone", allWell(n+1, 0))

	// Five at once are rather a list that is short than accounts that left: for a while they are audited as before.
	for _, acct := range fleet[5:10] {
		cloud.drift(t, `{"kind": "leave_organization", "account": %q}`, acct.Name)
	}
	all = d.shows(t, "a list that is suddenly short is not believed", func(s series) bool { return s.one("run_complete") == 0 })
	// A run that came between the first and the second takes the first for one that left.
	if all.one("accounts_expected") != n+1 || all.one("accounts", `state="compliant"`) < n {
		t.Errorf("with a short list: %v of %v", all.where("accounts"), all.where("accounts_expected"))
	}
	for _, acct := range fleet[5:10] {
		cloud.drift(t, `{"kind": "join_organization", "account": %q, "member": {"ou": %q}}`, acct.Name, acct.Member.OU)
	}
	d.shows(t, "they are back", allWell(n+1, 0))
	cloud.untouched(t)
	d.interrupt(t)
}

// A hangup takes no account away: those that are known stay expected while the organization may not be listed, and one that had
// vanished stays so.
func TestAHangupForgetsNoAccount(t *testing.T) {
	t.Parallel()
	const n = 5
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	d := cloud.serve(t, strings.Replace(cloud.looped(), "    require_agency: true\n", "    require_agency: true\n    keep_vanished: 100\n", 1))
	d.always(t, nil)
	d.shows(t, "all are compliant", allWell(n, 0))
	d.always(t, func(s series) error {
		if s.one("accounts_expected") != n {
			return fmt.Errorf("%v accounts are expected", s.one("accounts_expected"))
		}
		return nil
	})
	cloud.drift(t, `{"kind": "leave_organization", "account": %q}`, fleet[2].Name)
	vanished := func(s series) bool {
		return s.one("account_unknown", fmt.Sprintf("account_id=%q", fleet[2].ID), `reason="vanished"`) == 1 && s.one("accounts", `state="compliant"`) == n-1
	}
	d.shows(t, "one has vanished", vanished)
	cloud.do(t, http.MethodPut, "/settings", `{"failures": [{"operation": "ListAccounts", "style": "status_403"}]}`)
	runs := func() int { return strings.Count(d.err.String(), `"trigger":"reload"`) }
	before := runs()
	d.signal(t, syscall.SIGHUP)
	within(t, "a run follows the hangup", func() string {
		if runs() == before {
			return "none so far"
		}
		return ""
	})
	d.ended(t)
	if all := d.scrape(t); !vanished(all) || all.one("run_complete") != 0 {
		t.Errorf("after a hangup, refused: %v", all.where("accounts"))
	}
	cloud.do(t, http.MethodPut, "/settings", `{}`)
	d.ended(t)
	d.ended(t)
	if all := d.scrape(t); !vanished(all) {
		t.Errorf("listed again: %v", all.where("accounts"))
	}
	cloud.untouched(t)
	d.interrupt(t)
}

// unit is the id of an organizational unit, by the names from the root's child down.
func (s *simulator) unit(t *testing.T, names ...string) string {
	t.Helper()
	var org struct {
		Structure simcloud.Structure `json:"organization"`
	}
	if err := json.Unmarshal([]byte(s.do(t, http.MethodGet, "/organization", "")), &org); err != nil {
		t.Fatal(err)
	}
	var at simcloud.Unit
	below := org.Structure.Units
	for _, name := range names {
		i := slices.IndexFunc(below, func(u simcloud.Unit) bool { return u.Name == name })
		if i < 0 {
			t.Fatalf("there is no unit %q", names)
		}
		at, below = below[i], below[i].Units
	}
	return at.ID
}

// ended waits until a run that began after this has ended, and returns what is said of it.
func (d *served) ended(t *testing.T) series {
	t.Helper()
	first := d.scrape(t).one("run_last_start_timestamp_seconds")
	// One that began before may be under way.
	second := d.shows(t, "another run has begun", func(s series) bool { return s.one("run_last_start_timestamp_seconds") > first })
	at := second.one("run_last_start_timestamp_seconds")
	d.shows(t, "it has ended", func(s series) bool { return s.one("run_last_end_timestamp_seconds") >= at })
	return d.scrape(t) // what a scrape says of accounts can be a little older than what it says of runs
}

// completes waits until a run that began after this has ended whole.
func (d *served) completes(t *testing.T) series {
	t.Helper()
	d.ended(t)
	return d.shows(t, "a run is complete", func(s series) bool { return s.one("run_complete") == 1 })
}

// audits runs `audit` in a folder of its own and returns its exit code, its report and what it complains of.
func (s *simulator) audits(t *testing.T, config string, args ...string) (int, outcome, string) {
	t.Helper()
	dir := t.TempDir()
	file, out := filepath.Join(dir, "agencyaudit.yaml"), filepath.Join(dir, "report.json")
	replace(t, file, config)
	p := launch(t, dir, s.key, append([]string{"audit", "--config", file, "-o", "json", "--out", out, "--log-level", "debug"}, args...))
	code := p.wait(t)
	text, err := os.ReadFile(out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var r outcome
	if err == nil {
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(string(text)+p.out.String()+p.err.String(), s.secret) {
		t.Error("audit shows the secret key")
	}
	return code, r, p.err.String()
}

// outcome is the program's JSON, as far as it matters here.
type outcome struct {
	Run struct {
		Complete bool           `json:"complete"`
		States   map[string]int `json:"states"`
		Gaps     []struct {
			Reason string `json:"reason"`
			Detail string `json:"detail"`
		} `json:"inventory_gaps"`
	} `json:"run"`
	Sweeps []struct {
		Account struct {
			ID   string `json:"id"`
			Name string `json:"name"`
			OU   string `json:"ou"`
		} `json:"account"`
		State   string `json:"state"`
		Unknown struct {
			Reason string `json:"reason"`
		} `json:"unknown"`
	} `json:"sweeps"`
}

// An organization that cannot be listed whole takes no account away, however it fails: the accounts that were known are audited as
// before, the run is not complete, and `audit`, which knows none, ends with 2. When it is well again, so is everything.
func TestAnOrganizationThatCannotBeListed(t *testing.T) {
	t.Parallel()
	const n = 24
	cloud, fleet := startSimulator(t, members(n, byIAM)...), fleetOf(n)
	if last := slices.MaxFunc(fleet, func(a, b simcloud.Account) int { return strings.Compare(a.ID, b.ID) }); last.ID == fleet[0].ID {
		t.Fatal("the last row is the management account's, whose absence is noticed anyway")
	}
	d := cloud.serve(t, cloud.looped())
	d.shows(t, "all are compliant", allWell(n, 0))
	d.always(t, func(s series) error {
		if s.one("accounts", `state="compliant"`) != n || s.one("accounts_expected") != n {
			return fmt.Errorf("of %v accounts: %v", s.one("accounts_expected"), s.where("accounts"))
		}
		return nil
	})
	// On pages of five rows the list of all accounts has five of them, and that of the units below the root three.
	const whole, below = `"operation": "ListAccounts", "query": {"parent_id": ""}`, `"operation": "ListOrganizationalUnits"`
	// Each is met by audit, and some by a run of the daemon while nothing else happens, which takes longer.
	for i, c := range []struct {
		which, style string
		size         int
		loop         bool
	}{
		{`"operation": "ShowOrganization"`, "status_403", 5, false},
		{`"operation": "ListRoots"`, "status_403", 5, false},
		{`"operation": "ListRoots"`, "empty_list", 5, false},
		{`"operation": "ListAccounts"`, "status_403", 5, true},
		{`"operation": "ListTagsForResource"`, "status_403", 0, true}, // after a reload the catalogue is read as well, which has many rows
		{`"operation": "ListAccounts"`, "html_200", 5, false},
		{`"operation": "ListAccounts"`, "empty_list", 5, true},
		{`"operation": "ListAccounts"`, "missing_row", 5, false},
		{whole, "page_loop", 5, true},
		{whole, "page_overlap", 5, false},
		{whole, "ends_early", 5, true},
		{whole, "missing_row", 5, false},
		{whole, "missing_row", 0, true}, // which the tree of units alone gives away
		{whole, "repeated_row", 5, false},
		{whole, "count_off", 5, false},
		{below, "page_loop", 5, false},
		{below, "ends_early", 5, false},
		{below, "missing_row", 5, true},
		{below, "repeated_row", 5, false},
	} {
		if testing.Short() && i%8 != 4 {
			continue // as under the race detector, where time is short
		}
		what := c.which + ": " + c.style
		from := len(d.err.String())
		cloud.do(t, http.MethodPut, "/settings", fmt.Sprintf(`{"page_size": %d, "failures": [{%s, "style": %q}]}`, c.size, c.which, c.style))
		// Tags are read once an hour, and at a reload.
		if strings.Contains(c.which, "Tags") {
			if a := d.reload(t); a.status != http.StatusOK {
				t.Fatalf("reload: status %d, %s", a.status, a.body)
			}
		}
		if c.loop {
			// A run of the case before may have been incomplete, too: this one says so itself.
			within(t, "the log says that accounts may be missing, with "+what, func() string {
				said := d.err.String()[from:]
				if !strings.Contains(said, "a source of accounts could not be listed whole: accounts may be missing") {
					return last(said, 2000)
				}
				return ""
			})
			d.shows(t, "a run is not complete, with "+what, func(s series) bool { return s.one("run_complete") == 0 })
		}
		code, r, complaints := cloud.audits(t, cloud.config)
		if code != exitPartial || len(r.Sweeps) > 0 || !strings.Contains(complaints, "could not be listed") {
			t.Errorf("%s: audit ends with %d and %d sweeps:\n%s", what, code, len(r.Sweeps), last(complaints, 1000))
		}
		if failures := cloud.do(t, http.MethodGet, "/failures", ""); strings.Contains(failures, `"failed": 0`) {
			t.Errorf("%s never happened: %s", what, failures)
		}
		cloud.do(t, http.MethodPut, "/settings", `{"page_size": 5}`)
		if c.loop {
			d.shows(t, "all is well again after "+what, allWell(n, 0))
		}
	}
	d.shows(t, "all is well in the end", allWell(n, 0))
	cloud.untouched(t)
	d.interrupt(t)
}

// Whoever is not in charge of an organization cannot list it. The accounts that are named one by one are audited all the same, and
// the answer is not whole.
func TestAnOrganizationOfSomebodyElse(t *testing.T) {
	t.Parallel()
	cloud, fleet := startSimulator(t, members(3, byIAM)...), fleetOf(3)
	config := cloud.config + fmt.Sprintf("  static:\n    - {name: %q, id: %q, access: {via: iam, agency: AgencyAuditReader}}\n", fleet[1].Name, fleet[1].ID)
	cloud.do(t, http.MethodPut, "/settings", `{"failures": [{"operation": "ListAccounts", "style": "status_403"}]}`)
	code, r, _ := cloud.audits(t, config)
	if code != exitPartial || r.Run.Complete || len(r.Sweeps) != 1 || r.Sweeps[0].State != "compliant" || len(r.Run.Gaps) != 1 ||
		r.Run.Gaps[0].Reason != "denied" || !strings.Contains(r.Run.Gaps[0].Detail, "organization") {
		t.Errorf("exit code %d: %+v", code, r)
	}
	if code, r, _ = cloud.audits(t, config, "--account", fleet[1].ID); code != exitPartial || len(r.Sweeps) != 1 {
		t.Errorf("one account, exit code %d: %+v", code, r)
	}
	code, _, says := cloud.audits(t, config, "--account", fleet[2].Name)
	if code != exitPartial || !strings.Contains(says, "it may be where nobody could look") || !strings.Contains(says, "organizations:accounts:list") {
		t.Errorf("one that nobody could look for, exit code %d: %s", code, says)
	}
	cloud.do(t, http.MethodPut, "/settings", `{}`)
	if code, r, _ = cloud.audits(t, config); code != exitOK || !r.Run.Complete || len(r.Sweeps) != 3 {
		t.Errorf("without the failure, exit code %d: %+v", code, r)
	}
	cloud.untouched(t)
}

// With a key of another account than the one that is configured nothing is listed, nobody is entered, and nothing is asked but whose it is.
func TestAKeyOfAnotherAccountListsNothing(t *testing.T) {
	t.Parallel()
	cloud, fleet := startSimulator(t, members(4, bySTS)...), fleetOf(4)
	config := strings.Replace(cloud.config, fmt.Sprintf("account_id: %q", fleet[0].ID), fmt.Sprintf("account_id: %q", fleet[2].ID), 1)
	if config == cloud.config {
		t.Fatal("the configuration names no account")
	}
	code, r, complaints := cloud.audits(t, config)
	if code != exitPartial || len(r.Sweeps) > 0 || !strings.Contains(complaints, "could not be listed") {
		t.Errorf("audit ends with %d and %d sweeps:\n%s", code, len(r.Sweeps), last(complaints, 1000))
	}
	var counters []simcloud.Counter
	if err := json.Unmarshal([]byte(cloud.do(t, http.MethodGet, "/counters", "")), &counters); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, c := range counters {
		if c.Operation != "KeystoneListAuthDomains" {
			t.Errorf("%s was sent", c.Operation)
		}
		asked += c.OK + c.Refused[http.StatusUnauthorized]
	}
	if asked == 0 || asked > 3 {
		t.Errorf("asked %d times whose the key is", asked)
	}
	cloud.untouched(t)
}

// Members that refuse to be entered are unknown, and only they: one in a hundred, and then sixty, which makes the run suspect as well.
func TestMembersThatMayNotBeEntered(t *testing.T) {
	t.Parallel()
	n, many := 100, 60
	if testing.Short() { // as under the race detector, where time is short
		n, many = 20, 12
	}
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	d := cloud.serve(t, cloud.looped())
	d.shows(t, "all are compliant", allWell(float64(n), 0))
	d.always(t, func(s series) error {
		if s.one("accounts_expected") != float64(n) {
			return fmt.Errorf("%v accounts are expected", s.one("accounts_expected"))
		}
		return nil
	})
	refusing := 0
	for _, until := range []int{1, many} {
		for ; refusing < until; refusing++ {
			cloud.drift(t, `{"kind": "delete_agency", "account": %q, "agency": "AgencyAuditReader"}`, fleet[1+refusing].ID)
		}
		all := d.shows(t, fmt.Sprintf("%d are unknown", until), func(s series) bool {
			// What is said of a run comes a moment after what is said of its accounts.
			return s.one("accounts", `state="unknown"`) == float64(until) && s.one("accounts", `state="compliant"`) == float64(n-until) &&
				s.one("run_complete") == 0
		})
		for _, acct := range fleet[1 : 1+until] {
			if all.one("account_unknown", fmt.Sprintf("account_id=%q", acct.ID), `reason="denied"`) != 1 {
				t.Errorf("%s: %v", acct.Name, all.where("account_unknown", fmt.Sprintf("account_id=%q", acct.ID)))
			}
		}
		code, r, _ := cloud.audits(t, cloud.config)
		if code != exitPartial || r.Run.Complete || r.Run.States["unknown"] != until || r.Run.States["compliant"] != n-until {
			t.Errorf("audit ends with %d: %v", code, r.Run.States)
		}
		for _, sweep := range r.Sweeps {
			refuses := slices.ContainsFunc(fleet[1:1+until], func(a simcloud.Account) bool { return a.ID == sweep.Account.ID })
			if refuses != (sweep.State == "unknown") || refuses && sweep.Unknown.Reason != "denied" {
				t.Errorf("%s is %s (%s)", sweep.Account.Name, sweep.State, sweep.Unknown.Reason)
			}
		}
	}
	if said := d.err.String(); strings.Count(said, `"msg":"the run is suspect`) == 0 {
		t.Errorf("the log does not say that a run is suspect:\n%s", last(said, 2000))
	}
	cloud.untouched(t)
	d.interrupt(t)
}

// The key of a server ends at each kind of request of a run: nothing is smaller for it, and nothing is said of an account that was not
// read whole. The next run has another key.
func TestAServersKeyEndsInARun(t *testing.T) {
	t.Parallel()
	const n = 6
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	config := strings.Replace(cloud.config, "source: environment", "source: ecs", 1)
	config = strings.Replace(config, "endpoints: {", fmt.Sprintf("endpoints: {metadata: %q, ", cloud.control), 1)
	for operation, listed := range map[string]bool{
		"KeystoneListAuthDomains": false, "ShowOrganization": false, "ListRoots": false, "ListAccounts": false, "ListOrganizationalUnits": false,
		"ListTagsForResource": false, "ListAgencies": true, "ShowDomainRoleAssignments": true, "AssumeAgency": true,
	} {
		// The last but one of the requests of its kind, where there are several.
		cloud.do(t, http.MethodPut, "/settings", fmt.Sprintf(
			`{"failures": [{"account": %q, "operation": %q, "style": "key_expired", "skip": %d, "times": 1}]}`,
			fleet[0].ID, operation, map[string]int{"ListTagsForResource": n - 2, "ListAccounts": 1, "ListOrganizationalUnits": 1, "AssumeAgency": 1}[operation]))
		code, r, complaints := cloud.audits(t, config)
		judged := 0
		for _, s := range r.Sweeps {
			if s.State == "compliant" {
				judged++
			} else if s.State != "unknown" || s.Unknown.Reason != "unauthenticated" {
				t.Errorf("%s: %s is %s (%s)", operation, s.Account.Name, s.State, s.Unknown.Reason)
			}
		}
		if code != exitPartial || r.Run.Complete || listed != (len(r.Sweeps) == n) || !listed && len(r.Sweeps) > 0 || judged == n {
			t.Errorf("%s: audit ends with %d, and %d of %d accounts are compliant:\n%s", operation, code, judged, len(r.Sweeps), last(complaints, 1000))
		}
		if failures := cloud.do(t, http.MethodGet, "/failures", ""); !strings.Contains(failures, `"failed": 1`) {
			t.Errorf("%s: the key never ended: %s", operation, failures)
		}
	}
	if code, r, complaints := cloud.audits(t, config); code != exitOK || len(r.Sweeps) != n {
		t.Errorf("with another key audit ends with %d and %d sweeps:\n%s", code, len(r.Sweeps), last(complaints, 1000))
	}
	cloud.untouched(t)
}

// The key that is handed out for an account is another one's, or none, or has ended: that account is unknown, whichever way it was to
// be entered, and nothing is read of it. All others are judged.
func TestAnAgencyThatLeadsElsewhere(t *testing.T) {
	t.Parallel()
	const n = 6
	for way, operation := range map[string]string{byIAM: "CreateTemporaryAccessKeyByAgency", bySTS: "AssumeAgency", byTrust: "AssumeAgency"} {
		t.Run(way, func(t *testing.T) {
			cloud := startSimulator(t, members(n, way)...)
			for style, reasons := range map[string]string{
				"foreign_keys": "rejected unauthenticated denied", "garbage_keys": "unauthenticated", "expired_keys": "rejected", "no_expiry": "rejected",
				"html_200": "rejected",
			} {
				cloud.do(t, http.MethodPut, "/settings", fmt.Sprintf(`{"failures": [{"operation": %q, "style": %q, "skip": 2, "times": 1}]}`, operation, style))
				code, r, says := cloud.audits(t, cloud.config)
				var unknown []string
				for _, s := range r.Sweeps {
					if s.State == "unknown" {
						unknown = append(unknown, s.Unknown.Reason)
					}
				}
				if code != exitPartial || len(unknown) != 1 || !strings.Contains(reasons, unknown[0]) || r.Run.States["compliant"] != n-1 {
					t.Errorf("%s: exit code %d, unknown for %q, want %s; %v\n%s", style, code, unknown, reasons, r.Run.States, last(says, 1000))
				}
			}
			if code, r, says := cloud.audits(t, cloud.config); code != exitOK || r.Run.States["compliant"] != n {
				t.Errorf("in the end: exit code %d, %v\n%s", code, r.Run.States, last(says, 1000))
			}
			cloud.untouched(t)
		})
	}
}

// A member that somebody took over calls itself like another, tags itself as another's, and answers whatever it likes. Of the others
// the same is said as before, to the byte, and no account comes of it.
func TestAHostileMemberTouchesNobodyElse(t *testing.T) {
	t.Parallel()
	const n = 8
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	hostile := fleet[5]
	// others are what is said of the others, and own the state and the reason of the one.
	audit := func() (others, own string) {
		dir := t.TempDir()
		file, out := filepath.Join(dir, "agencyaudit.yaml"), filepath.Join(dir, "report.json")
		replace(t, file, cloud.config)
		launch(t, dir, cloud.key, []string{"audit", "--config", file, "-o", "json", "--out", out}).wait(t)
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Sweeps []map[string]any `json:"sweeps"`
		}
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Sweeps) != n {
			t.Errorf("there are %d accounts", len(r.Sweeps))
		}
		for _, s := range r.Sweeps {
			if s["account"].(map[string]any)["id"] == hostile.ID {
				own = fmt.Sprint(s["state"], s["unknown"])
				continue
			}
			// Those of a reading, which are others each time.
			for _, key := range []string{"evidence", "started_at", "ended_at", "requests"} {
				delete(s, key)
			}
			line, err := json.Marshal(s)
			if err != nil {
				t.Fatal(err)
			}
			others += string(line) + "\n"
		}
		return others, own
	}
	before, own := audit()
	if !strings.HasPrefix(own, "compliant") {
		t.Fatal(own)
	}
	for _, name := range []string{fleet[2].ID, "=cmd|' /C calc'!A0", fleet[0].Name + " "} {
		cloud.drift(t, `{"kind": "rename", "account": %q, "name": %q}`, hostile.ID, name)
		cloud.drift(t, `{"kind": "tag", "account": %q, "tags": {"owner": %q, "env": "prod", "account_id": %q}}`, hostile.ID, fleet[2].Name, fleet[2].ID)
		if others, own := audit(); others != before || !strings.HasPrefix(own, "compliant") {
			t.Errorf("called %q it is %s, and of the others is said:\n%s, want\n%s", name, own, others, before)
		}
	}
	for style, operation := range map[string]string{
		"foreign_rows": "ListAgencies", "many_rows": "ListAgencies", "page_loop": "ShowDomainRoleAssignments", "invalid_utf8": "ListAttachedAgencyPoliciesV5",
	} {
		cloud.do(t, http.MethodPut, "/settings", fmt.Sprintf(`{"failures": [{"account": %q, "operation": %q, "style": %q}]}`, hostile.ID, operation, style))
		if others, own := audit(); others != before || !strings.HasPrefix(own, "unknown") {
			t.Errorf("%s: it is %s, and of the others is said:\n%s, want\n%s", style, own, others, before)
		}
	}
	cloud.untouched(t)
}

// Accounts that only the organization knows are asked for by name and by id, and what does not name one account is no answer.
func TestOneAccountOfTheOrganization(t *testing.T) {
	t.Parallel()
	cloud, fleet := startSimulator(t, members(8, "trust")...), fleetOf(8)
	suspended, one, other := fleet[3], fleet[4], fleet[5]
	cloud.drift(t, `{"kind": "suspend", "account": %q}`, suspended.Name)
	for _, wanted := range [][]string{{one.Name}, {one.ID}, {one.Name, one.ID}} {
		var args []string
		for _, w := range wanted {
			args = append(args, "--account", w)
		}
		code, r, says := cloud.audits(t, cloud.config, args...)
		if code != exitOK || len(r.Sweeps) != 1 || r.Sweeps[0].Account.ID != one.ID || r.Sweeps[0].Account.OU != "games/dev" {
			t.Errorf("%q: exit code %d, %+v\n%s", wanted, code, r, last(says, 1000))
		}
	}
	if code, r, _ := cloud.audits(t, cloud.config, "--account", one.Name, "--account", other.ID); code != exitOK || len(r.Sweeps) != 2 {
		t.Errorf("two accounts: exit code %d, %+v", code, r)
	}
	twin := fmt.Sprintf("  static:\n    - {name: %q, id: %q, access: {via: iam, agency: AgencyAuditReader}}\n", one.Name, other.ID)
	for _, c := range []struct {
		config, wanted string
		says           []string
	}{
		{cloud.config, "games-dev-00004", []string{"there is no account", "did you mean " + one.Name}},
		{cloud.config, suspended.Name, []string{"is not audited (suspended)"}},
		{cloud.config, suspended.ID, []string{"is not audited (suspended)"}},
		{cloud.config + twin, one.Name, []string{"2 accounts bear the name", one.ID, other.ID}},
	} {
		code, r, says := cloud.audits(t, c.config, "--account", c.wanted)
		for _, want := range c.says {
			if code != exitUsage || len(r.Sweeps) > 0 || !strings.Contains(says, want) {
				t.Errorf("%s: exit code %d, %d sweeps, no %q in\n%s", c.wanted, code, len(r.Sweeps), want, last(says, 1000))
			}
		}
	}
	// An id tells the two apart that bear one name, and explain and the doctor know the accounts too.
	if code, r, _ := cloud.audits(t, cloud.config+twin, "--account", one.ID); code != exitOK || len(r.Sweeps) != 1 || r.Sweeps[0].Account.ID != one.ID {
		t.Errorf("by id: exit code %d, %+v", code, r)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"alone.yaml": cloud.config, "twins.yaml": cloud.config + twin} {
		replace(t, filepath.Join(dir, name), text)
	}
	said := func(want int, args ...string) string {
		t.Helper()
		p := launch(t, dir, cloud.key, args)
		code := p.wait(t)
		all := p.out.String() + p.err.String()
		if code != want || strings.Contains(all, cloud.secret) {
			t.Errorf("%q: exit code %d, want %d\n%s", args, code, want, last(all, 2000))
		}
		return p.out.String()
	}
	if text := said(exitOK, "explain", "--config", "alone.yaml", one.Name); !strings.Contains(text, one.ID) {
		t.Errorf("explain: %s", text)
	}
	if text := said(exitOK, "doctor", "--config", "alone.yaml", "--account", one.ID); !strings.Contains(text, "1 account") {
		t.Errorf("doctor: %s", text)
	}
	// The shell offers them: names, and the ids where a name is not enough. What is left alone it does not.
	text := said(exitOK, "__complete", "audit", "--config", "alone.yaml", "--account", "")
	for _, acct := range fleet {
		if offers := strings.Contains(text, acct.Name+"\t"+acct.ID+"\n"); offers == (acct.ID == suspended.ID) {
			t.Errorf("%s is offered: %v\n%s", acct.Name, offers, text)
		}
	}
	text = said(exitOK, "__complete", "explain", "--config", "twins.yaml", "")
	for _, id := range []string{one.ID, other.ID} {
		if !strings.Contains(text, id+"\t"+one.Name+"\n") {
			t.Errorf("%s is not offered by its id:\n%s", id, text)
		}
	}
	if strings.Contains(text, "\n"+one.Name+"\t") {
		t.Errorf("a name of two accounts is offered:\n%s", text)
	}
	cloud.untouched(t)
}

// The doctor of an organization says in JSON and by its exit code what it found, be it that the organization may not be listed, and
// changes nothing.
func TestADoctorOfAnOrganization(t *testing.T) {
	t.Parallel()
	const n = 30
	cloud, fleet := startSimulator(t, members(n, bySTS)...), fleetOf(n)
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), cloud.config)
	type diagnosis struct {
		Schema string `json:"schema"`
		Well   bool   `json:"well"`
		Writes string `json:"writes"`
		Gaps   []struct {
			Reason, Remedy string
		} `json:"inventory_gaps"`
		Accounts []struct {
			Account struct{ ID string } `json:"account"`
			Well    bool                `json:"well"`
		} `json:"accounts"`
	}
	doctor := func(want, accounts, ill, gaps int) diagnosis {
		t.Helper()
		p := launch(t, dir, cloud.key, []string{"doctor", "-o", "json"})
		code := p.wait(t)
		var d diagnosis
		if err := json.Unmarshal([]byte(p.out.String()), &d); err != nil {
			t.Fatalf("exit code %d, %v:\n%s%s", code, err, last(p.out.String(), 1000), last(p.err.String(), 1000))
		}
		unwell := 0
		for _, a := range d.Accounts {
			if !a.Well {
				unwell++
			}
		}
		if code != want || d.Well != (want == exitOK) || len(d.Accounts) != accounts || unwell != ill || len(d.Gaps) != gaps || d.Writes != "not_probed" {
			t.Errorf("exit code %d, want %d: %d accounts, %d of them ill; %+v", code, want, len(d.Accounts), unwell, d.Gaps)
		}
		return d
	}
	doctor(exitOK, n, 0, 0)
	cloud.drift(t, `{"kind": "delete_agency", "account": %q, "agency": "AgencyAuditReader"}`, fleet[7].ID)
	for _, a := range doctor(exitPartial, n, 1, 0).Accounts {
		if !a.Well && a.Account.ID != fleet[7].ID {
			t.Errorf("%s is ill, want %s", a.Account.ID, fleet[7].ID)
		}
	}
	cloud.do(t, http.MethodPut, "/settings", `{"failures": [{"operation": "ListAccounts", "style": "status_403"}]}`)
	if d := doctor(exitPartial, 0, 0, 1); d.Gaps[0].Reason != "denied" || !strings.Contains(d.Gaps[0].Remedy, "organizations:accounts:list") {
		t.Errorf("%+v", d.Gaps)
	}
	for _, args := range [][]string{{"doctor", "-o", "prom"}, {"doctor", "word"}, {"doctor", "--config", "none.yaml"}} {
		if code := launch(t, dir, cloud.key, args).wait(t); code != exitUsage {
			t.Errorf("%q: exit code %d, want %d", args, code, exitUsage)
		}
	}
	cloud.untouched(t)
}

// The configuration says which part of the organization is audited; what is left out is counted.
func TestAPartOfTheOrganization(t *testing.T) {
	t.Parallel()
	const n = 22
	cloud, fleet := startSimulator(t, members(n, byIAM)...), fleetOf(n)
	for name, c := range map[string]struct {
		keys string
		in   func(a simcloud.Account) bool
	}{
		"tags":    {"include_tags: {env: [prod, dev], owner: [data, games]}", func(a simcloud.Account) bool { return tagged(a, "prod", "dev") && tagged(a, "data", "games") }},
		"units":   {fmt.Sprintf("include_ous: [%q]", cloud.unit(t, "data")), func(a simcloud.Account) bool { return strings.HasPrefix(a.Member.OU, "data/") }},
		"names":   {`include_names: ["*-prod-*"]`, func(a simcloud.Account) bool { return strings.Contains(a.Name, "-prod-") }},
		"but not": {`exclude_accounts: [{account: "*-dev-*", reason: "a playground"}]`, func(a simcloud.Account) bool { return !strings.Contains(a.Name, "-dev-") }},
	} {
		t.Run(name, func(t *testing.T) {
			code, r, says := cloud.audits(t, strings.Replace(cloud.config, "    enabled: true\n", "    enabled: true\n    "+c.keys+"\n", 1))
			var got, want []string
			for _, s := range r.Sweeps {
				got = append(got, s.Account.ID)
			}
			for _, a := range fleet {
				if c.in(a) {
					want = append(want, a.ID)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if code != exitOK || !slices.Equal(got, want) || len(want) == 0 || len(want) == n {
				t.Errorf("exit code %d: %v, want %v\n%s", code, got, want, last(says, 1000))
			}
		})
	}
	cloud.untouched(t)
}

// tagged says whether one of an account's tags has one of these values.
func tagged(a simcloud.Account, values ...string) bool {
	for _, v := range a.Member.Tags {
		if slices.Contains(values, v) {
			return true
		}
	}
	return false
}

//go:build unix

package main

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDocsWaivers does what docs/waivers.md says, in order, and wants every line of output that it shows. The dates of its waiver are
// moved to the present.
func TestDocsWaivers(t *testing.T) {
	t.Parallel()
	page := readFile(t, "../../docs/waivers.md")
	cloud := startSimulator(t)
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	dates := strings.NewReplacer("2026-11-01", day(-20), "2027-01-15", day(55), "2027-02-01", day(60))
	page = dates.Replace(page)
	dir := t.TempDir()
	file := regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$").FindStringSubmatch(page)[1]
	replace(t, filepath.Join(dir, "waivers.yaml"), "# ours\n"+file)
	replace(t, filepath.Join(dir, "sim.yaml"), cloud.config+"waivers: {file: waivers.yaml}\n")
	ran := 0
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		said := ""
		for line := range strings.Lines(block[1]) {
			command, isCommand := strings.CutPrefix(strings.TrimSpace(line), "$ agencyaudit ")
			switch {
			case strings.HasPrefix(line, "$ echo"):
			case isCommand:
				p := launch(t, dir, cloud.key, words(command))
				want := exitOK
				if strings.HasPrefix(command, "audit") {
					want = exitPartial
				}
				if code := p.wait(t); code != want {
					t.Fatalf("%s: exit code %d, want %d: %s%s", command, code, want, p.out.String(), p.err.String())
				}
				said, ran = p.out.String(), ran+1
			case !strings.Contains("\n"+said, "\n"+line):
				t.Errorf("nothing prints %q:\n%s", line, said)
			}
		}
	}
	if ran < 4 {
		t.Errorf("the page has %d commands", ran)
	}
	// The file has both waivers, the first one with its comment.
	if text := readFile(t, filepath.Join(dir, "waivers.yaml")); !strings.HasPrefix(text, "# ours\n"+file) || !strings.Contains(text, "  - id: shop-vpc\n") {
		t.Errorf("the file of waivers is\n%s", text)
	}
	// What is waived does not count in the exit code: the two accounts, alone, are as they should be.
	for account, want := range map[string]int{"beta-without-fourth-policy": exitOK, "extra-on-one-project": exitOK, "beta-without-two-policies": exitDrift} {
		p := launch(t, dir, cloud.key, []string{"audit", "--config", "sim.yaml", "--account", account, "-o", "json"})
		if code := p.wait(t); code != want {
			t.Errorf("%s: exit code %d, want %d", account, code, want)
		}
		var doc struct {
			Sweeps []struct {
				State    string `json:"state"`
				Findings []struct {
					Waived *struct{ Waiver string } `json:"waived"`
				} `json:"findings"`
			} `json:"sweeps"`
		}
		if err := json.Unmarshal([]byte(p.out.String()), &doc); err != nil || len(doc.Sweeps) != 1 {
			t.Fatal(err)
		}
		waived := doc.Sweeps[0].State == "waived"
		if s := doc.Sweeps[0]; waived != (want == exitOK) || len(s.Findings) == 0 || s.Findings[0].Waived == nil && waived {
			t.Errorf("%s: %+v", account, s)
		}
	}
	// A run of one account does not know of waivers for others.
	if code := launch(t, dir, cloud.key, words("audit --config sim.yaml --account extra-on-one-project -o json --out one.json")).wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	p := launch(t, dir, cloud.key, words("waiver list --config sim.yaml --from one.json"))
	if code := p.wait(t); code != exitOK || !strings.Contains(p.out.String(), "beta-cohort") || strings.Contains(p.out.String(), "unused") {
		t.Errorf("exit code %d: %s", code, p.out.String())
	}
	cloud.untouched(t)
}

// TestATrustThatMovesOnIsDrift accepts whom an agency trusts, and has the agency trust somebody else then, by a name that is the same.
func TestATrustThatMovesOnIsDrift(t *testing.T) {
	t.Parallel()
	const foreign, intruder = "bad00000000000000000000000000001", "ee000000000000000000000000000001"
	cloud := startSimulator(t)
	dir := t.TempDir()
	const none = "version: 1\nwaivers: []\n"
	replace(t, filepath.Join(dir, "waivers.yaml"), none)
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), cloud.config+"waivers: {file: waivers.yaml}\n")
	run := func(want int, command string) string {
		t.Helper()
		p := launch(t, dir, cloud.key, words(command))
		if code := p.wait(t); code != want {
			t.Fatalf("%s: exit code %d, want %d: %s%s", command, code, want, p.out.String(), p.err.String())
		}
		return p.out.String() + p.err.String()
	}
	says := func(said, want string) {
		t.Helper()
		if said = strings.Join(strings.Fields(said), " "); !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	audit := "audit --account trust-foreign-account -o json --out "
	run(exitDrift, audit+"found.json")
	add := "waiver add --id contractor --account trust-foreign-account --rule trust/mismatch --owner o --reason r --from found.json --expires " +
		time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)
	says(run(exitUsage, add), "--trusts: is needed; list the id of the account that the agency trusts")
	says(run(exitUsage, add+" --trusts orchid-tools"), `--trusts: "orchid-tools" is not the id of an account; write the id`)
	says(run(exitUsage, strings.Replace(add, "trust/mismatch", "grant/excess", 1)+" --trusts "+foreign), "--trusts: says nothing, since rules does not have trust/mismatch;")
	if got := readFile(t, filepath.Join(dir, "waivers.yaml")); got != none {
		t.Fatalf("the file became\n%s", got)
	}
	says(run(exitOK, add+" --dry-run --trusts "+intruder),
		"WARNING: waiver contractor: no agency of these accounts trusts "+intruder+". This waiver accepts nothing now.")
	if said := run(exitOK, add+" --dry-run --trusts "+intruder+" --trusts "+foreign); !strings.Contains(said, intruder) || strings.Contains(said, "accepts nothing") {
		t.Errorf("of one of two it says: %s", said)
	}
	says(run(exitOK, add+" --trusts "+foreign), "drifted → waived")
	run(exitOK, audit+"waived.json")
	says(run(exitOK, "waiver list --from waived.json"), "1 trust/mismatch trusting "+foreign)
	cloud.drift(t, `{"kind": "update_agency", "account": "trust-foreign-account", "agency": "ServiceAgencyForCOC",
		"trust": {"id": %q, "name": "orchid-tools"}}`, intruder)
	run(exitDrift, audit+"moved.json")
	for file, want := range map[string]struct{ trusts, state string }{"waived.json": {foreign, "waived"}, "moved.json": {intruder, "drifted"}} {
		var doc struct {
			Sweeps []struct {
				State    string `json:"state"`
				Findings []struct {
					Rule   string    `json:"rule"`
					Trusts string    `json:"trusts"`
					Waived *struct{} `json:"waived"`
				} `json:"findings"`
			} `json:"sweeps"`
		}
		if err := json.Unmarshal([]byte(readFile(t, filepath.Join(dir, file))), &doc); err != nil || len(doc.Sweeps) != 1 || len(doc.Sweeps[0].Findings) != 1 {
			t.Fatalf("%s: %v, %+v", file, err, doc)
		}
		if s, f := doc.Sweeps[0], doc.Sweeps[0].Findings[0]; s.State != want.state || f.Rule != "trust/mismatch" || f.Trusts != want.trusts ||
			(f.Waived != nil) != (want.state == "waived") {
			t.Errorf("%s: %+v", file, s)
		}
	}
	// The report says as much to whoever tries waivers on it.
	says(run(exitOK, "waiver check --from waived.json"), "drifted → waived")
	says(run(exitOK, "waiver check --from moved.json"), "no agency of these accounts trusts "+foreign+". This waiver accepts nothing now.")
	says(run(exitOK, "waiver check --from moved.json"), "Nothing changes")
	cloud.untouched(t)
}

// TestATrustThatMovesOnIsTold: the daemon's metrics say of whom is accepted that they are, and of whoever comes after them that they are
// not, as of something new. So does the history, over a restart.
func TestATrustThatMovesOnIsTold(t *testing.T) {
	t.Parallel()
	const foreign, intruder = "bad00000000000000000000000000001", "ee000000000000000000000000000001"
	cloud := startSimulator(t, steadySix...)
	dir := t.TempDir()
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	replace(t, filepath.Join(dir, "waivers.yaml"), `version: 1
waivers:
  - {id: contractor, accounts: ["*"], rules: [trust/mismatch], trusts: [`+foreign+`], added: `+day(-1)+`, expires: `+day(30)+`, owner: o, reason: r}
`)
	file := filepath.Join(dir, "agencyaudit.yaml")
	replace(t, file, cloud.looped()+"waivers: {file: waivers.yaml}\nstate_dir: state\n")
	d := cloud.serveFile(t, dir, file, cloud.key)
	d.settled(t, "compliant")
	const rule = `rule="trust/mismatch"`
	turn := func(to, state string, waived int) float64 {
		t.Helper()
		cloud.drift(t, `{"kind": "update_agency", "account": %q, "agency": "ServiceAgencyForCOC", "trust": {"id": %q, "name": "contractor-9"}}`, victim, to)
		all := d.shows(t, "the account is "+state, func(s series) bool {
			return s.one("account_state", ofVictim, `state="`+state+`"`) == 1 && len(s.where("finding_waived", ofVictim, rule)) == waived
		})
		if all.one("agency_trust_mismatch", ofVictim) != 1 || all.one("waiver_unused", `waiver="contractor"`) != float64(1-waived) {
			t.Errorf("trusting %s: %v, %v", to, all.where("agency_trust_mismatch"), all.where("waiver_unused"))
		}
		return all.one("finding_first_seen_timestamp_seconds", ofVictim, rule)
	}
	accepted := turn(foreign, "waived", 1)
	moved := turn(intruder, "drifted", 0)
	if moved <= accepted {
		t.Errorf("the accepted trust was first seen at %f, the one after it at %f", accepted, moved)
	}
	d.interrupt(t)
	d = cloud.serveFile(t, dir, file, cloud.key)
	if all := d.scrape(t); all.one("finding_first_seen_timestamp_seconds", ofVictim, rule) != moved || len(all.where("finding_waived")) > 0 {
		t.Errorf("after a restart: %v, %v", all.where("finding_first_seen_timestamp_seconds"), all.where("finding_waived"))
	}
	d.interrupt(t)
	p := launch(t, dir, cloud.key, words("history --state-dir state --from 1d -o json"))
	if code := p.wait(t); code != exitOK && code != exitPartial { // it began within the day
		t.Fatalf("exit code %d: %s", code, p.err.String())
	}
	var doc struct {
		Changes []struct {
			Kind    string `json:"kind"`
			Finding *struct {
				Rule   string  `json:"rule"`
				Trusts string  `json:"trusts"`
				How    *string `json:"how"`
			} `json:"finding"`
		} `json:"changes"`
	}
	if err := json.Unmarshal([]byte(p.out.String()), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range doc.Changes {
		if f := c.Finding; f != nil && f.Rule == "trust/mismatch" {
			how := ""
			if c.Kind == "went" && f.How != nil {
				how = " " + *f.How
			}
			got = append(got, c.Kind+" "+f.Trusts+how)
		}
	}
	slices.Sort(got)
	if want := []string{"came " + foreign, "came " + intruder, "went " + foreign + " replaced"}; !slices.Equal(got, want) {
		t.Errorf("the history says %v, want %v: %s", got, want, p.out.String())
	}
	p = launch(t, dir, cloud.key, words("history --state-dir state --from 1d"))
	p.wait(t)
	if text := strings.Join(strings.Fields(p.out.String()), " "); !strings.Contains(text, "gave way to something else that is no better") ||
		!strings.Contains(text, "1 went: 0 put right, 1 gave way,") {
		t.Errorf("the history says\n%s", p.out.String())
	}
	cloud.untouched(t)
}

// TestTheExampleOfAddingAWaiver is copied from the help and run: it is complete, whatever the day.
func TestTheExampleOfAddingAWaiver(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "waivers.yaml"), "version: 1\nwaivers: []\n")
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), cloud.config+"waivers: {file: waivers.yaml}\n")
	if code := launch(t, dir, cloud.key, []string{"audit", "-o", "json", "--out", "report.json"}).wait(t); code != exitPartial {
		t.Fatalf("exit code %d", code)
	}
	p := launch(t, dir, cloud.key, []string{"waiver", "add", "--help"})
	if code := p.wait(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	_, example, _ := strings.Cut(p.out.String(), "Examples:\n")
	example, _, _ = strings.Cut(example, "\n\n")
	command, ok := strings.CutPrefix(strings.Join(strings.Fields(strings.ReplaceAll(example, "\\\n", " ")), " "), "agencyaudit ")
	if !ok {
		t.Fatalf("no example:\n%s", p.out.String())
	}
	p = launch(t, dir, cloud.key, words(command))
	if code := p.wait(t); code != exitOK || !strings.Contains(p.out.String(), "nothing is written (--dry-run): with shop-vpc, waivers.yaml would have 1 waiver\n") {
		t.Errorf("%s: exit code %d: %s%s", command, code, p.out.String(), p.err.String())
	}
}

// TestAFaultyWaiverIsNotAdded: whatever is wrong with it, the file stays as it is, to the byte.
func TestAFaultyWaiverIsNotAdded(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "sim.yaml"), cloud.config+"waivers: {file: waivers.yaml}\n")
	for name, c := range map[string]struct {
		file string
		args []string
		code int
		says string
	}{
		"no rule":       {"version: 1\nwaivers: []\n", nil, exitUsage, "--rule: is needed; list the rules"},
		"too long":      {"version: 1\nwaivers: []\n", []string{"--rule", "grant/excess", "--expires", "2099-01-01"}, exitUsage, "and a waiver may last 90d"},
		"not by a line": {"{version: 1, waivers: []}\n", []string{"--rule", "grant/excess"}, exitUsage, "waivers.yaml is written in a way that this command cannot add to"},
		"another end":   {"version: 1\nwaivers:\n- {id: a, accounts: [a], rules: [grant/excess], added: 2026-11-01, expires: 2026-11-02, owner: o, reason: r}\n", []string{"--rule", "grant/excess"}, exitUsage, "waivers.yaml is written in a way that this command cannot add to"},
		"dry":           {"version: 1\nwaivers: []\n", []string{"--rule", "grant/excess", "--dry-run"}, exitOK, "nothing is written (--dry-run): with x, waivers.yaml would have 1 waiver\n"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(dir, "waivers.yaml")
			replace(t, file, c.file)
			args := append([]string{"waiver", "add", "--config", "sim.yaml", "--id", "x", "--account", "*", "--owner", "o", "--reason", "r"}, c.args...)
			if name != "too long" {
				args = append(args, "--expires", time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly))
			}
			p := launch(t, dir, cloud.key, args)
			if code := p.wait(t); code != c.code || !strings.Contains(p.out.String()+p.err.String(), c.says) {
				t.Errorf("exit code %d, want %d: %s%s", code, c.code, p.out.String(), p.err.String())
			}
			if got := readFile(t, file); got != c.file {
				t.Errorf("the file became\n%s", got)
			}
		})
	}
}

// TestAWaiverOfNobody: who or what nobody is called is said, as far as it is known who there is; it is written all the same, since the
// account may be to come.
func TestAWaiverOfNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := chronicleOf(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	const static = `waivers: {file: waivers.yaml}
cloud: {region: ap-southeast-3}
accounts:
  static:
    - {name: shop, id: d0000000000000000000000000000004, access: {via: keys, ak_env: AK, sk_env: SK}}
`
	replace(t, filepath.Join(dir, "past.yaml"), "state_dir: state\n"+static)
	replace(t, filepath.Join(dir, "new.yaml"), static)
	replace(t, filepath.Join(dir, "listed.yaml"), `waivers: {file: waivers.yaml}
cloud: {region: ap-southeast-3}
credentials: {source: environment, account_id: d0000000000000000000000000000009}
accounts: {organization: {enabled: true, access: {via: iam, agency: Reader}}}
`)
	expires := time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)
	for name, c := range map[string]struct {
		args []string
		says []string
		not  string
	}{
		"another letter case": {[]string{"--account", "Shop"}, []string{`waiver x: no account is called "Shop"; did you mean shop? This waiver accepts nothing now.`}, "policy"},
		"nobody":              {[]string{"--account", "billing"}, []string{`no account is called "billing". This waiver accepts nothing now.`}, "did you mean"},
		"one of two":          {[]string{"--account", "billing", "--account", "prod-*"}, []string{`no account is called "billing".`}, "accepts nothing"},
		"an id":               {[]string{"--account", "d0000000000000000000000000000009"}, []string{"no account is called", "accepts nothing now"}, "called shop"},
		"a policy": {
			[]string{"--account", "shop", "--policy", "ecs fullacces"}, []string{`no policy is called "ecs fullacces"; did you mean ECS FullAccess? This waiver accepts nothing now.`}, "account",
		},
		"a policy beside one":          {[]string{"--account", "shop", "--policy", "ECS Full", "--policy", "ECS FullAccess"}, []string{`"ECS Full"`}, "accepts nothing"},
		"a policy of the baseline":     {[]string{"--account", "shop", "--policy", "DCS UserAccess"}, nil, "WARNING"},
		"nobody knows who there is":    {[]string{"--config", "listed.yaml", "--account", "Shop"}, nil, "WARNING"},
		"all is well":                  {[]string{"--account", "*", "--policy", "ECS FullAccess"}, nil, "WARNING"},
		"no history":                   {[]string{"--config", "new.yaml", "--account", "Shop"}, []string{`"Shop"; did you mean shop?`}, "policy"},
		"a policy nobody was read for": {[]string{"--config", "new.yaml", "--account", "shop", "--policy", "CCE FullAccess"}, nil, "WARNING"},
	} {
		t.Run(name, func(t *testing.T) {
			replace(t, filepath.Join(dir, "waivers.yaml"), "version: 1\nwaivers: []\n")
			args := append([]string{"waiver", "add", "--id", "x", "--rule", "grant/excess", "--owner", "o", "--reason", "r", "--expires", expires}, c.args...)
			if c.args[0] != "--config" {
				args = append(args, "--config", "past.yaml")
			}
			p := launch(t, dir, []string{"AK=SIMKEY0001", "SK=made-up-secret"}, args)
			code := p.wait(t)
			said := strings.Join(strings.Fields(p.err.String()), " ")
			if code != exitOK {
				t.Errorf("exit code %d: %s", code, said)
			}
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
			if strings.Contains(said, c.not) {
				t.Errorf("it says %q: %s", c.not, said)
			}
			check := launch(t, dir, []string{"AK=SIMKEY0001", "SK=made-up-secret"}, []string{"waiver", "check", "--config", args[slices.Index(args, "--config")+1]})
			if code := check.wait(t); code != exitOK || strings.Contains(check.err.String(), "WARNING") != strings.Contains(said, "WARNING") {
				t.Errorf("of the same file waiver check says, with exit code %d: %s", code, check.err.String())
			}
		})
	}
}

// TestFaultsOfFlags: what is wrong with a waiver is said of the flags, all of it at once, and of nothing else.
func TestFaultsOfFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "waivers.yaml"), "version: 1\nwaivers:\n"+
		"  - {id: old, accounts: [a], rules: [grant/excess], added: 2025-11-01, expires: 2025-11-02, owner: o, reason: r}\n")
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), `waivers: {file: waivers.yaml}
cloud: {region: ap-southeast-3}
accounts:
  static:
    - {name: shop, id: d0000000000000000000000000000004, access: {via: keys, ak_env: AK, sk_env: SK}}
`)
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"nothing": {nil, []string{
			"--account: no account is chosen; give --account, --ou or --tag;", "--expires: is needed; write the date on which the waiver ends, such as ",
			"--id: is needed; write a short name", "--owner: is needed; write who", "--reason: is needed; write why", "--rule: is needed; list the rules",
		}},
		"much": {
			[]string{"--id", "old", "--added", "soon", "--expires", "2026-01-01", "--rule", "grant/exces", "--owner", "o", "--reason", "r", "--scope", "x", "--account", "[a"},
			[]string{
				`--account: "[a" is no pattern;`, `--added: is the text "soon"; write a date`, `--id: "old" is also the id of waivers[0];`,
				`--rule: there is no rule "grant/exces"`, `--scope: unknown scope "x";`,
			},
		},
		"no account, and a time that is none": {
			[]string{"--id", "x", "--added", "soon", "--expires", "2026-01-01", "--rule", "grant/excess", "--owner", "o", "--reason", "r"},
			[]string{"--account: no account is chosen;", "--added: is the text"},
		},
		"past": {
			[]string{"--id", "x", "--added", "2026-03-01", "--expires", "2026-01-01", "--rule", "grant/excess", "--owner", "o", "--reason", "r", "--account", "*"},
			[]string{"--expires: is not after added; write a later date, such as 2026-03-31,"},
		},
		"ended": {
			[]string{"--id", "x", "--added", "2026-03-01", "--expires", "2026-03-31", "--rule", "grant/excess", "--owner", "o", "--reason", "r", "--account", "*"},
			[]string{"--expires: is past, so that nothing would be accepted; write a date to come\n"},
		},
		"a trust of nobody": {
			[]string{"--id", "x", "--added", "2026-03-01", "--expires", "2026-03-02", "--rule", "trust/mismatch", "--owner", "o", "--reason", "r", "--account", "*"},
			[]string{"--trusts: is needed; list the id of the account that the agency trusts, as agencyaudit explain shows it: 32 lower-case hexadecimal digits\n"},
		},
		"a trust by name": {
			[]string{"--id", "x", "--added", "2026-03-01", "--expires", "2026-03-02", "--rule", "trust/mismatch", "--owner", "o", "--reason", "r", "--account", "*", "--trusts", "shop"},
			[]string{`--trusts: "shop" is not the id of an account; write the id of the account that the agency trusts, as agencyaudit explain shows it: 32 lower-case hexadecimal digits` + "\n"},
		},
		"a policy of a trust": {
			[]string{
				"--id", "x", "--added", "2026-03-01", "--expires", "2026-03-02", "--rule", "trust/mismatch", "--owner", "o", "--reason", "r", "--account", "*",
				"--trusts", "d0000000000000000000000000000001", "--policy", "FullAccess",
			},
			[]string{"--rule: trust/mismatch is about the agency and no policy of it, so that with policies nothing of it would be accepted; leave policies out"},
		},
		"a tag that is not read": {
			[]string{"--id", "x", "--added", "2026-03-01", "--expires", "2026-03-02", "--rule", "grant/excess", "--owner", "o", "--reason", "r", "--tag", "a.b=c"},
			[]string{"--tag: accounts are read without this tag"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, dir, nil, append([]string{"waiver", "add"}, c.args...))
			if code := p.wait(t); code != exitUsage {
				t.Errorf("exit code %d", code)
			}
			lines := strings.Split(strings.TrimSpace(p.err.String()), "\n")
			slices.Sort(lines)
			if len(lines) != len(c.want) {
				t.Fatalf("it says %d things, want %d:\n%s", len(lines), len(c.want), strings.Join(lines, "\n"))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i]+"\n", want) {
					t.Errorf("it says %q, want %q", lines[i], want)
				}
			}
		})
	}
}

//go:build unix

package main

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"html"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// fault is one row of the matrix.
type fault struct {
	// id is the row's; several lines may have one.
	id   string
	what string
	do   trick
	// state is that of the accounts that the fault strikes, with the reason or the rule in parentheses: while it lasts where
	// it does, and at its end where it passes by itself. "right" is how they truly are.
	state string
	// metric is what shows the fault on /metrics, one or more of: NAME{LABEL=VALUE;...} and "rises" (since the fault began),
	// "= N" (of each account that it strikes, where it is about accounts) or "≤ N".
	metric string
}

// faults are the rows of the fault matrix that concern reading and what is remembered of it. Each is played through the built program: `run`, whose
// metrics and pages are read before the fault, while it lasts and after it, and `audit` while it lasts. Those that need hours or
// another clock are played in process in virtual time, by tests of other rooms, which the row names.
var faults = []fault{
	{"F1", "connection refused; over when the breaker's pause is", closesPort, "unknown(unreachable)", "account_unknown{reason=unreachable} = 1, api_requests_total{code=none} rises"},
	{"F2", "the name does not resolve", leadsTo("https://iam." + strings.Repeat("x", 64) + ".invalid"), "unknown(unreachable)", noAnswer},
	{"F3", "certificate expired", certified(expired), "unknown(tls)", noAnswer},
	{"F3", "certificate of another host", certified(ofAnotherHost), "unknown(tls)", noAnswer},
	{"F3", "certificate of an unknown authority", certified(ofAnotherAuthority), "unknown(tls)", noAnswer},
	{"F4", "connected, and never answers", hastily(answers("hang")), "unknown(timeout)", noAnswer},
	{"F5", "answers with a byte a second", hastily(answers("drip")), "unknown(timeout)", noAnswer},
	{"F6", "connection reset in mid-body, once", passing(answers("reset_mid_body")), "right", retried},
	{"F6", "connection reset in mid-body, always", hastily(answers("reset_mid_body")), "unknown(unreachable)", noAnswer},
	{"F7", "Content-Length longer than the body", answers("short_body"), "unknown(incomplete)", rejected("short_body")},
	{"F7", "Content-Length shorter than what comes: a whole second answer", answers("surplus"), "right", "run_complete = 1"},
	{"F8", "200 with HTML (captive portal)", answers("html_200"), "unknown(rejected)", rejected("content_type")},
	{"F9", "302 to 169.254.169.254", answers("redirect_metadata", "redirect_302"), "unknown(rejected)", rejected("redirect")},
	{"F10", "200 with an empty body", answers("empty_200"), "unknown(rejected)", rejected("envelope")},
	{"F11", "200 with {}, null, a list that is null", answers("object_200", "null_200", "null_list"), "unknown(rejected)", rejected("envelope")},
	{"F11", "the list under another name, of another type", answers("wrong_case_key", "wrong_type"), "unknown(rejected)", rejected("envelope")},
	{"F12", "200 with an error in it", answers("error_200"), "unknown(rejected)", rejected("error_envelope")},
	{"F13", "202, 204, 206, 304 for a list", answers("status_202", "status_204", "status_206", "status_304"), "unknown(rejected)", rejected("status")},
	{"F14", "a key twice, bytes after the end", answers("duplicate_key", "trailing_bytes"), "unknown(rejected)", rejected("json")},
	{"F14", "nested 100,000 deep", answers("deep_json"), "unknown(rejected)", rejected("json")},
	{"F15", "a row without an id, an id twice", rowsOf("no_id", "same_id"), "unknown(rejected)", rejected("item")},
	{"F15", "rows of another account or agency", rowsOf("foreign_rows"), "unknown(rejected)", rejected("item")},
	{"F16", "JSON cut off", answers("truncated"), "unknown(rejected)", rejected("json")},
	{"F17", "254 KiB of gzip that are 256 MiB", answersOne("gzip_bomb"), "unknown(rejected)", rejected("encoding") + ", " + flat},
	{"F17", "gzip that nobody asked for", answers("gzip"), "unknown(rejected)", rejected("encoding")},
	{"F17", "256 MiB of JSON", answersOne("huge_body"), "unknown(rejected)", rejected("too_large") + ", " + flat},
	{"F18", "200,000 rows in one list", answersOne("many_rows"), "unknown(rejected)", rejected("too_many_items") + ", " + flat},
	{"F19", "page 2 fails", inPages(page2, "html_200", "truncated"), "unknown(rejected)", rejected("content_type") + ", " + rejected("json")},
	{"F20", "pages repeat", inPages(nil, "page_loop"), "unknown(rejected)", rejected("page_loop")},
	{"F21", "pages overlap", inPages(nil, "page_overlap"), "unknown(incomplete)", rejected("unstable_paging")},
	{"F22", "v5 counts one policy more than it shows", counts(attached), "unknown(disagree)", rejected("count_mismatch")},
	{"F23", "total_num is one more than the rows", counts(assignments), "unknown(disagree)", rejected("witness_mismatch")},
	{"F23", "the list is empty, with a count to match", empties, "unknown(disagree)", rejected("witness_mismatch")},
	{"F24", "403 for one scope", scopes("status_403"), "unknown(denied)", "account_unknown{reason=denied} = 1"},
	{"F25", "403 for the list of agencies", at(agencies, "status_403"), "unknown(denied)", "account_unknown{reason=denied} = 1"},
	{"F26", "the agency is not there", drifts(vanishes(auditedAgency)), "drifted(agency/absent)", "policy_missing = 1"},
	{"F27", "two agencies of that name", drifts(appearsTwice), "unknown(ambiguous)", "account_unknown{reason=ambiguous} = 1"},
	{"F28", "the agency trusts another account", drifts(trustsAnother), "drifted(trust/mismatch)", "agency_trust_mismatch = 1"},
	{"F31", "a custom policy has a required one's name", imitated, "drifted(policy/impostor)", "policy_excess{kind=impostor} = 1"},
	{"F32", "what a required policy allows is changed", rewritten, "right", "run_complete = 1"},
	{"F33", "the account may not be entered", refusesEntry, "unknown(denied)", "account_unknown{reason=denied} = 1, credential_refreshes_total{result=failed} rises"},
	{"F33", "the same, by STS", bySTSOf(refusesEntry), "unknown(denied)", "account_unknown{reason=denied} = 1, credential_refreshes_total{way=sts;result=failed} rises"},
	{"F33", "one member of a hundred may not be entered", alone("TestMembersThatMayNotBeEntered"), "unknown(denied)", "run_complete = 0"},
	{"F33", "the key of an agency is another account's", alone("TestAnAgencyThatLeadsElsewhere"), "unknown(rejected)", "run_complete = 0"},
	{"F34", "sixty members of a hundred may not be entered", alone("TestMembersThatMayNotBeEntered"), "unknown(denied)", "run_complete = 0, run_suspect = 1"},
	{"F35", "the organization cannot be listed whole", alone("TestAnOrganizationThatCannotBeListed"), "right", "run_complete = 0"},
	{"F36", "an account leaves the organization", alone("TestAnOrganizationIsFollowedFromRunToRun"), "unknown(vanished)", "account_unknown{reason=vanished} = 1"},
	{"F37", "temporary key ends in mid-account", keyEnds, "right", "credential_refreshes_total{result=ok} rises"},
	{"F37", "the same, of a key of STS", bySTSOf(keyEnds), "right", "credential_refreshes_total{way=sts;result=ok} rises"},
	{"F37", "the server's own key ends in a run", alone("TestAServersKeyEndsInARun"), "unknown(unauthenticated)", "run_complete = 0"},
	{"F37", "temporary key ends after its hour", virtually("auditor/huawei", "TestFaultKeysThatEnd"), "right", "credential_refreshes_total{result=ok} rises"},
	{"F38", "main key revoked (401), until a reload", revokesMain, "unknown(unauthenticated)", "api_breaker_open{identity=main} = 1"},
	{"F38", "the same, for hours", virtually("auditor/huawei", "TestFaultRefusedKeys"), "unknown(unauthenticated)", "api_breaker_open{identity=main} = 1"},
	{"F39", "the cloud's clock is 20 minutes ahead, until a reload", skewed, "unknown(unauthenticated)", "api_clock_skew_seconds ≤ -1190"},
	{"F39", "the same, for hours", virtually("auditor/huawei", "TestFaultRefusedKeys"), "unknown(unauthenticated)", "api_clock_skew_seconds ≤ -1190"},
	{"F40", "clock steps an hour in mid-run", virtually("auditor/schedule", "TestFaultClockSteps"), "right", "runs_total rises"},
	{"F41", "429 for 30 %, with Retry-After", throttles(3), "right", "api_throttled_total rises"},
	{"F42", "429 for everything", hastily(throttles(1)), "unknown(throttled)", "api_throttled_total rises"},
	{"F42", "429 for everything, ten minutes long", virtually("auditor/huawei", "TestFaultTenMinutesOf429"), "unknown(throttled)", "api_breaker_open = 1"},
	{"F43", "500, 503 in a burst", passing(answers("status_500", "status_503")), "right", retried},
	{"F43", "503 without end", hastily(answers("status_503")), "unknown(unreachable)", retried},
	{"F52", "the disk takes no history any more", alone("TestADiskThatIsFullCostsHistoryAlone"), "right", "history_errors_total rises"},
	{"F56", "a second daemon has the same state directory", alone("TestASecondDaemonIsTurnedAway"), "right", "history_errors_total = 0"},
	{"F58", "panic in the SDK's decoding", inProcess("auditor/huawei", "TestFaultPanic"), "unknown(panic)", "panics_total{where=read} rises"},
	{"F60", "hostile names", hostile, "drifted(grant/excess)", "policy_excess_dropped = 0"},
	{"F60", "names that are no UTF-8", answers("invalid_utf8"), "unknown(rejected)", rejected("json")},
	{"F61", "many accounts with 50 roles each", crowded, "right", "run_duration_seconds rises"},
	{"F65", "100 scrapes at once, slow ones among them", storm, "right", "promhttp_metric_handler_requests_total{code=503} rises"},
	{"F66", "runs are longer than the interval", latent, "right", "runs_skipped_total rises"},
	{"F66", "the same, for ten years", virtually("auditor/schedule", "TestTenYears"), "right", "runs_skipped_total rises"},
	{"F67", "host suspended for three days", virtually("auditor/schedule", "TestOneCatchUpAfterASuspend"), "right", "runs_total rises"},
	{"F67", "DST gap and repeat, leap day", virtually("auditor/schedule", "TestTenYears"), "right", "runs_total rises"},
	{"F69", "three in ten accounts stall one by one", virtually("auditor", "TestManyThatStall"), "right", "run_duration_seconds rises"},
}

// notPlayed are the rows of the matrix that are about something else: what they need does not exist, or has tests of its own.
var notPlayed = map[string]string{
	"F57": "two instances with a lease: there is one, with a lock, see F56", "F62": "configuration: TestABadReloadChangesNothing",
}

const (
	noAnswer = "api_requests_total{code=none} rises"
	retried  = "api_retries_total rises"
	flat     = "process_resident_memory_bytes grows ≤ 16 MiB"
)

// rejected is the metric that counts answers that were not believed.
func rejected(reason string) string {
	return "api_responses_rejected_total{reason=" + reason + "} rises"
}

// trick is how a fault is brought about.
type trick struct {
	// failures are broken answers of the cloud, each in an account of its own.
	failures []simcloud.Failure
	// settings are those of the cloud before, while and after.
	settings simcloud.Settings
	// accounts is how many victims there are at least.
	accounts int
	// strikes says which accounts are victims; nil is all but the bystanders, and whole is all.
	strikes func(i int, a actor) bool
	whole   bool
	// away says that no request gets through to the cloud.
	away bool
	// assumed has every victim be entered by an agency, sts says that agencies are assumed by STS rather than by IAM.
	assumed, sts bool
	// hasty gives the program little time, and steady has no account that has drifted before.
	hasty, steady bool
	// passing says that the fault is over before anybody takes it away.
	passing bool
	// unaudited says that the fault is nothing to `audit`, and lasting that its end takes effect after minutes, since a key that was
	// refused is left alone: a row in virtual time waits for that, and here the operator changes the configuration and reloads it.
	unaudited, lasting bool
	// organization changes it before it is there.
	organization func(*simcloud.Organization)
	// strike and relent begin and end what is more than settings; meanwhile looks closer while it lasts.
	strike, relent func(s *scene)
	meanwhile      func(s *scene, before, during moment)
	// play is all of it, for rows that are nothing like the others.
	play func(t *testing.T, f fault)
	// room and test name the test that plays the row, how says in what way; empty is the built program.
	room, test, how string
}

const (
	agencies    = "ListAgencies"
	assignments = "ShowDomainRoleAssignments"
	attached    = "ListAttachedAgencyPoliciesV5"
)

var page2 = map[string]string{"page": "2"}

// planesOf are the queries by which the four planes of role assignments are read.
var planesOf = []map[string]string{
	{"scope": "domain", "is_inherited": "false"}, {"scope": "domain", "is_inherited": "true"},
	{"scope": "project"}, {"scope": "enterprise_project"},
}

// answers breaks each of the lists in each of the styles: the agencies, one of the planes in turn, the attached policies.
func answers(styles ...string) trick {
	var d trick
	for i, style := range styles {
		d.failures = append(d.failures,
			simcloud.Failure{Operation: agencies, Style: style},
			simcloud.Failure{Operation: assignments, Query: planesOf[i%len(planesOf)], Style: style},
			simcloud.Failure{Operation: attached, Style: style})
	}
	return d
}

// answersOne breaks one list of one account.
func answersOne(style string) trick {
	return trick{failures: []simcloud.Failure{{Operation: assignments, Query: planesOf[0], Style: style}}}
}

// rowsOf breaks lists that have rows.
func rowsOf(styles ...string) trick {
	var d trick
	for i, style := range styles {
		d.failures = append(d.failures, simcloud.Failure{Operation: agencies, Style: style},
			simcloud.Failure{Operation: assignments, Query: planesOf[i%2], Style: style})
	}
	return d
}

// at breaks one list of two accounts.
func at(operation, style string) trick {
	return trick{failures: []simcloud.Failure{{Operation: operation, Style: style}, {Operation: operation, Style: style}}}
}

// inPages breaks the lists of the grants at projects, of which there are two pages.
func inPages(query map[string]string, styles ...string) trick {
	of := maps.Clone(planesOf[2])
	maps.Copy(of, query)
	d := trick{organization: func(org *simcloud.Organization) {
		for i := range org.Accounts[bystanders:] {
			acct := &org.Accounts[bystanders+i]
			acct.Projects, acct.Agencies = slices.Clone(acct.Projects), slices.Clone(acct.Agencies)
			for n := range 55 { // 50 are a page
				in := fmt.Sprintf("ap-southeast-3_%d", n)
				acct.Projects = append(acct.Projects, simcloud.Project{Name: in})
				for j := range acct.Agencies {
					if g := &acct.Agencies[j]; g.Name == auditedAgency { // which is redundant, and nothing worse
						g.Grants = append(slices.Clone(g.Grants), simcloud.Grant{Policy: "COCServiceAgencyDefaultPolicy", Scope: "project", In: in})
					}
				}
			}
		}
	}}
	for _, style := range styles {
		f := simcloud.Failure{Operation: assignments, Query: of, Style: style}
		d.failures = append(d.failures, f, f)
	}
	return d
}

// counts has lists say that there is one row more.
func counts(operation string) trick { return at(operation, "count_off") }

// empties shows nothing where there are grants.
var empties = trick{failures: []simcloud.Failure{
	{Operation: assignments, Query: planesOf[0], Style: "empty_list"}, {Operation: assignments, Query: planesOf[1], Style: "empty_list"},
}}

// scopes breaks each of the planes.
func scopes(style string) trick {
	var d trick
	for _, q := range planesOf {
		d.failures = append(d.failures, simcloud.Failure{Operation: assignments, Query: q, Style: style})
	}
	return d
}

// hastily has the program wait for seconds rather than for minutes.
func hastily(d trick) trick {
	d.hasty = true
	return d
}

// passing has each failure happen once.
func passing(d trick) trick {
	d.passing = true
	for i := range d.failures {
		d.failures[i].Times = 1
	}
	return d
}

// keyEnds ends the temporary keys of accounts while they are read: of each at another one of the six requests.
var keyEnds = func() trick {
	d := scopes("key_expired")
	d.failures = append(d.failures, simcloud.Failure{Operation: agencies, Style: "key_expired"}, simcloud.Failure{Operation: attached, Style: "key_expired"})
	d.assumed = true
	return passing(d)
}()

// throttles answers each nth request with 429.
func throttles(n int) trick {
	return trick{
		whole: true, unaudited: os.Getenv(faultsInFull) == "", // which takes half a minute at this pace
		settings: simcloud.Settings{Switches: simcloud.Switches{RetryAfter: true}},
		strike: func(s *scene) {
			settings := s.fault.do.settings
			settings.Failures = []simcloud.Failure{{Style: "status_429", Every: n}}
			s.set(settings)
		},
	}
}

// virtually has a test of another room play the row in virtual time.
func virtually(room, test string) trick { return trick{room: room, test: test, how: "virtual"} }

// alone has a test of this room play the row, through the built program too.
func alone(test string) trick { return trick{room: "cmd/agencyaudit", test: test} }

// bySTSOf has a trick's agencies be assumed by STS.
func bySTSOf(d trick) trick {
	d.sts = true
	return d
}

// inProcess has a test of another room play the row with a fault that nothing outside of the process can bring about.
func inProcess(room, test string) trick { return trick{room: room, test: test, how: "process"} }

// skewed puts the cloud's clock ahead.
var skewed = trick{whole: true, lasting: true, strike: func(s *scene) { s.set(simcloud.Settings{ClockOffset: 20 * time.Minute}) }}

// latent makes the cloud so slow that a run takes longer than the second between two slots.
var latent = trick{whole: true, unaudited: true, strike: func(s *scene) { s.set(simcloud.Settings{Latency: 400 * time.Millisecond}) }}

// closesPort closes the cloud's port.
var closesPort = trick{
	whole: true, away: true, strike: func(s *scene) { s.door.close(s.t) }, relent: func(s *scene) { s.door.open(s.t) },
}

// revokesMain takes the rights of the main account away: its own key, and the temporary ones that were made with it, end.
var revokesMain = trick{
	accounts: 4, lasting: true, strikes: func(i int, a actor) bool { return i == 0 || a.assumed },
	strike: func(s *scene) { s.happens(simcloud.Drift{Kind: simcloud.DriftSuspend, Account: s.accounts[0].id}) },
	relent: func(s *scene) { s.happens(simcloud.Drift{Kind: simcloud.DriftResume, Account: s.accounts[0].id}) },
	meanwhile: func(s *scene, before, during moment) {
		// More than five refused signatures in a row lock a key.
		runs, refused := int(during.runs-before.runs)+1, 0
		for _, c := range s.cloud.Load().Counters() {
			if c.AccountID == s.accounts[0].id {
				refused += c.Refused[401]
			}
		}
		if refused == 0 || refused > 3*runs {
			s.t.Errorf("the key was refused %d times in %d runs", refused, runs)
		}
	},
}

// set replaces the settings of the cloud.
func (s *scene) set(settings simcloud.Settings) {
	s.t.Helper()
	if err := s.cloud.Load().SetSettings(settings); err != nil {
		s.t.Fatal(err)
	}
}

// happens has something happen in the cloud that no client did.
func (s *scene) happens(d simcloud.Drift) {
	s.t.Helper()
	if err := s.cloud.Load().Drift(d); err != nil {
		s.t.Fatal(err)
	}
}

// strike begins the fault.
func (s *scene) strike() {
	s.t.Helper()
	s.cloud.Load().ResetCounters()
	if len(s.fault.do.failures) > 0 {
		settings := s.fault.do.settings
		for i, f := range s.fault.do.failures {
			f.Account = s.accounts[bystanders+i].id
			settings.Failures = append(settings.Failures, f)
		}
		s.set(settings)
	}
	if s.fault.do.strike != nil {
		s.fault.do.strike(s)
	}
}

// struck wants the fault to have happened at all.
func (s *scene) struck() {
	s.t.Helper()
	for _, f := range s.cloud.Load().Failures() {
		if f.Failed == 0 {
			s.t.Errorf("a failure was never injected: %+v", f)
		}
	}
	if asked := requests(s.cloud.Load().Counters()); (asked == 0) != s.fault.do.away {
		s.t.Errorf("since the fault began the cloud was asked %d times", asked)
	}
}

// relent ends the fault.
func (s *scene) relent() {
	s.t.Helper()
	s.set(s.fault.do.settings)
	if s.fault.do.relent != nil {
		s.fault.do.relent(s)
	}
}

// play plays the row: the daemon before, while and after the fault, and an audit while it lasts.
func (f fault) play(t *testing.T) {
	s := stage(t, f)
	s.serve()
	s.await("everything is known", s.allAsTheyAre)
	before := s.ranSince(time.Now()) // with keys that are used a second time, and nothing new
	peak := s.peak()

	s.strike()
	if f.do.passing {
		s.watch = func(m moment) {
			if why := s.allAsTheyAre(m); why != "" {
				t.Errorf("for a moment: %s", why)
			}
		}
	}
	during := s.ranSince(time.Now())
	s.struck()
	s.befallen(before, during)
	s.unscathed(before, during)
	s.shown(before, during)
	s.answersSoon()
	if f.do.meanwhile != nil {
		f.do.meanwhile(s, before, during)
	}
	if strings.Contains(f.metric, flat) {
		s.flat(peak)
	}
	s.pages()

	s.relent()
	said, since := len(s.daemon.err.String()), time.Now().Add(f.do.pause())
	if f.do.lasting {
		s.renew()
	}
	s.wait("everything is known again", f.do.pause()+patience, func() string { return s.allAsTheyAre(s.look()) })
	// Of the runs that began after the fault one may have met what it left behind.
	if n := s.runsUntilKnown(s.daemon.err.String()[said:], since); n > 2 {
		t.Errorf("it took %d runs until everything was known again", n)
	}
	s.end()

	if !f.do.passing && !f.do.unaudited {
		s.strike()
		s.judged(s.audit())
		s.struck()
		s.relent()
		noWrites(t, s.cloud.Load())
	}
}

// runsUntilKnown counts the runs of a log until the first without an unknown account, but those that began before an instant.
func (s *scene) runsUntilKnown(log string, since time.Time) int {
	s.t.Helper()
	runs := 0
	counts := false // a run whose beginning is not in the log is none of them
	for line := range strings.Lines(log) {
		var l struct {
			Time    time.Time `json:"time"`
			Message string    `json:"msg"`
			Unknown int       `json:"unknown"`
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			continue // the first line may be the end of one
		}
		switch l.Message {
		case "run started":
			counts = !l.Time.Before(since)
		case "run ended":
			if counts {
				runs++
			}
			if l.Unknown == 0 {
				return runs
			}
		}
	}
	return runs
}

// pause is for how long nothing may be sent after the fault is over, since a breaker may have opened while it lasted: the first pause
// of an account's is a minute, which is longer than that of the whole cloud. On a slow machine a fault lasts long enough for it in
// any row that has requests fail.
func (d trick) pause() time.Duration {
	if d.lasting || d.passing { // a reload closes all breakers, and what passes by itself opens none
		return 0
	}
	return time.Minute + 5*time.Second
}

// slots is how many rows are played at once, of reading and of writing, beside those that hardly do anything but wait.
var slots = make(chan struct{}, 6)

// seldom says that the daemon makes few runs, since a breaker would open if many of them failed one after the other.
func (d trick) seldom() bool { return d.hasty || d.away }

// weight is how long a row takes, roughly.
func (d trick) weight() int {
	switch {
	case d.test != "":
		return 0
	case d.seldom():
		return 3
	case d.whole, d.play != nil:
		return 2
	}
	return 1
}

// shortRows are the rows that are played where time is short, as under the race detector: of each kind one.
var shortRows = []string{"F3", "F6", "F10", "F19", "F37"}

// TestFaultMatrix plays every row of the matrix.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	var g sync.WaitGroup
	lines := map[string]int{}
	type named struct {
		fault
		name string
	}
	var rows []named
	for _, f := range faults {
		name := f.id
		if lines[f.id]++; lines[f.id] > 1 {
			name = fmt.Sprintf("%s.%d", f.id, lines[f.id])
		}
		if !testing.Short() || slices.Contains(shortRows, name) {
			rows = append(rows, named{f, name})
		}
	}
	// Those that take longest come first.
	slices.SortStableFunc(rows, func(a, b named) int { return cmp.Compare(b.do.weight(), a.do.weight()) })
	for _, f := range rows {
		waits := f.do.seldom()
		if !waits {
			slots <- struct{}{}
		}
		g.Go(func() {
			if !waits {
				defer func() { <-slots }()
			}
			t.Run(f.name, func(t *testing.T) {
				t.Attr("fault", strings.Join([]string{f.id, f.what, f.state, f.metric, cmp.Or(f.do.how, "binary")}, "|"))
				switch {
				case f.do.test != "":
					wantTest(t, f.do.room, f.do.test)
					t.Attr("by", f.do.room+" "+f.do.test)
				case f.do.play != nil:
					f.do.play(t, f.fault)
				default:
					f.play(t)
				}
			})
		})
	}
	g.Wait()
}

// wantTest wants another room to have a test, and one that is not skipped.
func wantTest(t *testing.T, room, name string) {
	t.Helper()
	files, err := filepath.Glob("../../" + room + "/*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if found, why := plays(text, name); found {
			if why != "" {
				t.Errorf("%s: %s %s", f, name, why)
			}
			return
		}
	}
	t.Errorf("%s has no test %s", room, name)
}

// plays says whether a file has the test, and why that plays nothing.
func plays(file []byte, name string) (found bool, why string) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "", file, parser.SkipObjectResolution)
	if err != nil {
		return false, ""
	}
	for _, d := range parsed.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || fn.Name.Name != name || fn.Type.Params.NumFields() != 1 {
			continue
		}
		if fn.Body == nil || len(fn.Body.List) == 0 {
			return true, "does nothing"
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
				why = "may be skipped"
			}
			return true
		})
		return true, why
	}
	return false, ""
}

// A test that is skipped plays no row.
func TestFaultTestsAreNotSkipped(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"t.Log()": "", "": "does nothing", "t.Ski" + "p()": "may be skipped", "t.Ski" + `pf("x")`: "may be skipped", "if x { t.SkipNow() }": "may be skipped",
		`t.Run("x", func(t *testing.T) { t.Ski` + "p() })": "may be skipped",
	} {
		file := []byte("package x\n\nfunc TestX(t *testing.T) { " + body + " }\n")
		if found, why := plays(file, "TestX"); !found || why != want {
			t.Errorf("%q: %v, %q", body, found, why)
		}
		if found, _ := plays(file, "TestY"); found {
			t.Errorf("%q: found another test", body)
		}
	}
}

// The matrix has 70 rows. Each is played, those that are about both reading and writing by both, or is said to be about something else.
func TestFaultMatrixIsWhole(t *testing.T) {
	t.Parallel()
	ofReading := []int{33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 52, 56, 58, 60, 61, 65, 66, 67, 69}
	for n := 1; n <= 32; n++ {
		if n != 29 && n != 30 {
			ofReading = append(ofReading, n)
		}
	}
	ofWriting := []int{28, 29, 30, 31, 32, 34, 35, 44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 59, 63, 64, 68, 70}
	for n := 1; n <= 70; n++ {
		id := fmt.Sprintf("F%d", n)
		_, other := notPlayed[id]
		if has := slices.ContainsFunc(faults, func(f fault) bool { return f.id == id }); has != slices.Contains(ofReading, n) {
			t.Errorf("%s is played as one of reading: %v", id, has)
		}
		if has := slices.ContainsFunc(damages, func(d damage) bool { return d.id == id }); has != slices.Contains(ofWriting, n) {
			t.Errorf("%s is played as one of writing: %v", id, has)
		}
		if other == (slices.Contains(ofReading, n) || slices.Contains(ofWriting, n)) {
			t.Errorf("%s is about something else: %v", id, other)
		}
	}
	wants := func(id, what, metric string) {
		if expression.FindString(strings.Split(metric, ", ")[0]) == "" || what == "" {
			t.Errorf("%s, %s: the metric %s", id, what, metric)
		}
	}
	for _, f := range faults {
		wants(f.id, f.what, f.metric)
	}
	for _, d := range damages {
		wants(d.id, d.what, d.metric)
	}
}

// The search for secrets finds them, wherever and however they are written, and so does the one in a scene: what passes through
// the door of its cloud holds keys.
func TestFaultSecretsAreFound(t *testing.T) {
	t.Parallel()
	secret := "canary/secret+0001=xyzxyzxyz<&>"
	s := &secrets{}
	s.add("CANARYACCESS0001", secret)
	inside := func(s string) []byte { return []byte("...the key is " + s + ", they say") }
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{
		"raw": secret, "cut off": secret[:20], "hex": fmt.Sprintf("%x", secret), "HEX": fmt.Sprintf("%X", inside(secret)), "query": url.QueryEscape(secret),
		"path": url.PathEscape(secret), "HTML": html.EscapeString(secret), "JSON": string(quoted), "base64": base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 within": base64.StdEncoding.EncodeToString(inside(secret)), "base64 further within": base64.URLEncoding.EncodeToString(inside(" " + secret)),
		"base64 of the access key": base64.RawURLEncoding.EncodeToString(inside("\n\n" + "CANARYACCESS0001")), "Go": fmt.Sprintf("%q", secret),
	} {
		if s.in("before "+text+" after") == "" {
			t.Errorf("%s is not found: %s", form, text)
		}
	}
	if found := s.in("before CANARYACCESS0 canary/sec after"); found != "" {
		t.Errorf("found where there is nothing: %s", found)
	}
	s.issued([]byte(`{"credential": {"access": "HSTACCESSKEY", "secret": "temporary-secret", "securitytoken": "temporary-token"}}`))
	s.issued([]byte(`{"credentials": {"access_key_id": "HSTOFSTS", "secret_access_key": "secret-of-sts", "security_token": "token-of-sts"}}`))
	if s.in("token-of-sts") == "" || s.in("secret-of-sts") == "" || s.in("HSTOFSTS") == "" {
		t.Error("a temporary key of STS is not found")
	}
	if s.in("temporary-token") == "" || s.in("temporary-secret") == "" || s.in("HSTACCESSKEY") == "" {
		t.Error("a temporary key is not found")
	}
}

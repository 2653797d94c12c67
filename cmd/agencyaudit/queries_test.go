package main

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// sample is one sample of a scrape.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// query is an expression of the few forms that README has: a metric, or its distance from now, compared with a number.
// .ci/prometheus asks the real Prometheus the same ones.
type query struct {
	text, name string
	labels     map[string]*regexp.Regexp
	distance   string // "time() - metric", "metric - time()", or "" for the metric itself
	compare    string
	bound      float64
}

var (
	queryPattern = regexp.MustCompile(`^(time\(\) - )?(agencyaudit_\w+)(?:\{(.*)\})?( - time\(\))? (==|<|>) (\d+)(?:\*(\d+))?$`)
	labelPattern = regexp.MustCompile(`^(\w+)(=~?)"([^"]*)"$`)
)

func parseQuery(t *testing.T, text string) query {
	t.Helper()
	m := queryPattern.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("this test does not know the form of the query %q", text)
	}
	q := query{text: text, name: m[2], labels: map[string]*regexp.Regexp{}, distance: m[1] + m[4], compare: m[5]}
	for matcher := range strings.SplitSeq(m[3], ",") {
		l := labelPattern.FindStringSubmatch(matcher)
		switch {
		case matcher == "":
		case l == nil:
			t.Fatalf("this test does not know the matcher %q", matcher)
		case l[2] == "=":
			q.labels[l[1]] = regexp.MustCompile("^" + regexp.QuoteMeta(l[3]) + "$")
		default:
			q.labels[l[1]] = regexp.MustCompile("^(?:" + l[3] + ")$")
		}
	}
	q.bound, _ = strconv.ParseFloat(m[6], 64)
	if m[7] != "" {
		factor, _ := strconv.ParseFloat(m[7], 64)
		q.bound *= factor
	}
	return q
}

// hits says whether a sample is in the query's answer at an instant.
func (q query) hits(s sample, now time.Time) bool {
	if s.name != q.name {
		return false
	}
	for name, value := range q.labels {
		if !value.MatchString(s.labels[name]) {
			return false
		}
	}
	v := s.value
	switch q.distance {
	case "time() - ":
		v = float64(now.Unix()) - v
	case " - time()":
		v -= float64(now.Unix())
	}
	switch q.compare {
	case "<":
		return v < q.bound
	case ">":
		return v > q.bound
	}
	return v == q.bound
}

// readmeQueries are the queries that README tells a new user to begin with.
func readmeQueries(t *testing.T) []query {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n### Leave it running\n")
	_, rest, _ = strings.Cut(rest, "\n```text\n")
	block, _, _ := strings.Cut(rest, "\n```\n")
	var all []query
	for line := range strings.Lines(block) {
		line, _, _ = strings.Cut(line, "#")
		all = append(all, parseQuery(t, strings.TrimSpace(line)))
	}
	if len(all) < 4 {
		t.Fatalf("README has only the queries %v", all)
	}
	return all
}

func scraped(t *testing.T, text string) []sample {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var all []sample
	for name, f := range families {
		for _, m := range f.GetMetric() {
			s := sample{name: name, labels: map[string]string{}, value: m.GetGauge().GetValue()}
			for _, l := range m.GetLabel() {
				s.labels[l.GetName()] = l.GetValue()
			}
			all = append(all, s)
		}
	}
	return all
}

// Whatever is badly wrong in the demo's organization is found by what README tells a new user to ask: each critical or high
// finding by a query that is about it, and every account that is not as it should be by its state.
func TestReadmesQueriesFindWhatIsWrong(t *testing.T) {
	cloud, server := startCloud(t, simcloud.Bundled())
	text, err := bundledConfigAt(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	cfg := parse(t, text, mustIdentity(t, cloud.Organization()).lookupEnv)
	run := once(t, newDaemon(t, cfg))
	var exposition bytes.Buffer
	now := time.Now()
	if err := daemon.WriteMetrics(&exposition, cfg, run, now); err != nil {
		t.Fatal(err)
	}
	queries, samples := readmeQueries(t), scraped(t, exposition.String())
	// answers are the queries that have an account in their answer, with the labels that tell which finding it is.
	answers := func(account string, fits func(q query, s sample) bool) bool {
		for _, q := range queries {
			for _, s := range samples {
				if s.labels["account"] == account && q.hits(s, now) && fits(q, s) {
					return true
				}
			}
		}
		return false
	}
	about := map[string]string{
		rules.RuleMissing: "agencyaudit_policy_missing", rules.RuleNarrower: "agencyaudit_policy_missing",
		rules.RuleAbsent: "agencyaudit_policy_missing", rules.RuleExcess: "agencyaudit_policy_excess",
		rules.RuleImpostor: "agencyaudit_policy_excess", rules.RuleTrustMismatch: "agencyaudit_agency_trust_mismatch",
		rules.RuleExpired: "agencyaudit_agency_expiry_timestamp_seconds", rules.RuleExpiring: "agencyaudit_agency_expiry_timestamp_seconds",
	}
	badly := map[string]bool{}
	for i := range run.Sweeps {
		r := &run.Sweeps[i].Report
		for _, f := range r.Findings {
			if f.Severity != rules.Critical && f.Severity != rules.High && f.Rule != rules.RuleExpiring {
				continue
			}
			badly[f.Rule] = true
			if !answers(r.Account.Name, func(q query, s sample) bool {
				return q.name == about[f.Rule] && (f.PolicyID == "" || s.labels["policy_id"] == f.PolicyID) &&
					(f.Policy == "" || f.PolicyID != "" || s.labels["policy"] == f.Policy)
			}) {
				t.Errorf("%s: no query of README finds: %s", r.Account.Name, f.Message)
			}
		}
		found := answers(r.Account.Name, func(q query, _ sample) bool { return q.name == "agencyaudit_account_state" })
		if want := r.State == rules.StateDrifted || r.State == rules.StateUnknown; found != want {
			t.Errorf("%s is %s: found by its state: %v", r.Account.Name, r.State, found)
		}
		if r.State == rules.StateCompliant && answers(r.Account.Name, func(query, sample) bool { return true }) {
			t.Errorf("%s is compliant, and found all the same", r.Account.Name)
		}
	}
	for rule := range about {
		if !badly[rule] {
			t.Errorf("the demo's organization shows no %s", rule)
		}
	}
}

// The loop's query speaks when the heartbeat is old, and only then.
func TestReadmesQueryForTheLoop(t *testing.T) {
	now := time.Now()
	var loop []string
	for _, q := range readmeQueries(t) {
		beat := sample{name: "agencyaudit_scheduler_heartbeat_timestamp_seconds", value: float64(now.Unix())}
		if q.name != beat.name {
			continue
		}
		for age, want := range map[time.Duration]bool{15 * time.Second: false, time.Minute: false, 3 * time.Minute: true} {
			if q.hits(beat, now.Add(age)) != want {
				loop = append(loop, fmt.Sprint(age))
			}
		}
		if len(loop) > 0 {
			t.Errorf("%s is wrong at the ages %v", q.text, loop)
		}
		return
	}
	t.Error("README has no query for the loop")
}

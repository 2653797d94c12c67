package huawei_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The series of a fleet are at most seriesBase, and seriesEach more for each account.
const (
	seriesBase = 60
	seriesEach = 175
)

// exposition is what a scraper sees of a world. One is made for many worlds, since only what was committed last counts.
type exposition struct{ *metrics.Metrics }

func newExposition() (*exposition, error) {
	m, err := metrics.New(metrics.Options{Version: "worlds", Now: time.Now})
	return &exposition{m}, err
}

// commit shows a snapshot.
func (g *game) commit(s *auditor.Snapshot) {
	if g.shown == nil {
		return
	}
	if err := g.shown.Commit(s); err != nil {
		g.broken("M5: %v", err)
	}
}

// expose scrapes, parses what comes and holds it against the snapshot and the world.
func (g *game) expose(s *auditor.Snapshot) {
	if g.shown == nil {
		return
	}
	g.tally.count("exposition")
	w := httptest.NewRecorder()
	g.shown.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	now := time.Now()
	p := expfmt.NewTextParser(model.LegacyValidation)
	families, err := p.TextToMetricFamilies(bytes.NewReader(w.Body.Bytes()))
	if w.Code != http.StatusOK || err != nil {
		g.broken("M5: a scrape is answered with %d, and parsing it says %v", w.Code, err)
		return
	}
	series := 0
	for name, f := range families {
		if strings.HasPrefix(name, "agencyaudit_") {
			series += len(f.GetMetric())
		}
	}
	if n := len(g.w.members); series > seriesBase+seriesEach*n {
		g.broken("M5: %d series of %d accounts", series, n)
	}
	sum := 0.0
	for _, m := range families["agencyaudit_accounts"].GetMetric() {
		sum += m.GetGauge().GetValue()
	}
	if expected := one(families["agencyaudit_accounts_expected"]); sum != expected || int(sum) != len(g.w.members) {
		g.broken("M2: the states sum to %v, expected are %v, and there are %d", sum, expected, len(g.w.members))
	}
	states := byAccount(families["agencyaudit_account_state"])
	unknown := byAccount(families["agencyaudit_account_unknown"])
	read := byAccount(families["agencyaudit_account_last_complete_read_timestamp_seconds"])
	missing := byAccount(families["agencyaudit_policy_missing"])
	trust := byAccount(families["agencyaudit_agency_trust_mismatch"])
	for i := range s.Standings {
		st := &s.Standings[i]
		id := st.Account.ID
		is, _ := st.At(now, s.MaxAge)
		ones := 0
		for _, m := range states[id] {
			if m.GetGauge().GetValue() == 1 {
				ones++
				if got := labelOf(m, "state"); got != string(is) {
					g.broken("M2: %q is shown as %s and is %s", st.Account.Name, got, is)
				}
			}
		}
		if ones != 1 || len(states[id]) != len(rules.States()) {
			g.broken("M2: %q has %d series of its state, %d of them 1", st.Account.Name, len(states[id]), ones)
		}
		if (is == rules.StateUnknown) != (len(unknown[id]) == 1) {
			g.broken("M2: %q is %s with %d reasons", st.Account.Name, is, len(unknown[id]))
		}
		for _, m := range read[id] {
			if at := m.GetGauge().GetValue(); at > float64(g.read[id].UnixNano())/1e9 {
				g.broken("M4: %q is shown as read at %v, it was at %v", st.Account.Name, at, g.read[id])
			}
		}
		if (len(read[id]) == 1) == st.ReadAt().IsZero() {
			g.broken("M4: %q has %d times of its last reading, and was read at %s", st.Account.Name, len(read[id]), st.ReadAt())
		}
		for _, m := range append(missing[id], trust[id]...) {
			if is == rules.StateUnknown && m.GetGauge().GetValue() == 0 {
				g.broken("S1: %q is unknown and shown as good: %v", st.Account.Name, m)
			}
		}
	}
}

func byAccount(f *dto.MetricFamily) map[string][]*dto.Metric {
	out := map[string][]*dto.Metric{}
	for _, m := range f.GetMetric() {
		id := labelOf(m, "account_id")
		out[id] = append(out[id], m)
	}
	return out
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func one(f *dto.MetricFamily) float64 {
	if len(f.GetMetric()) != 1 {
		return -1
	}
	return f.GetMetric()[0].GetGauge().GetValue()
}

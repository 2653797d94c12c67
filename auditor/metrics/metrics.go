// Package metrics exports what the program knows and does in the formats of Prometheus.
//
// There are two parts. What lasts as long as the process, such as counters and the state of the loop, is held by the
// official library. What is known of the accounts is rendered once for each committed snapshot, compressed, and served as
// it is, since at 100,000 accounts it has more than a million series. docs/metrics.md lists every metric.
//
// No text that a cloud or a user can write becomes a label but for names, which are made visible and short, and cannot
// multiply series: those of one account are bounded.
package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/expfmt"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

const namespace = "agencyaudit"

// Operation is one kind of request to the cloud.
type Operation struct {
	Service, Name string
	// Success is the status of an answer when all is well.
	Success int
}

// operation names an Operation.
type operation struct{ service, name string }

// Options are what New needs.
type Options struct {
	// Version and Revision are those of the program; Revision may be empty.
	Version, Revision string
	// Operations are the kinds of requests that counters begin at 0 for. Others are counted as "other".
	Operations []Operation
	// Now is the clock by which evidence gets too old; nil is the real one.
	Now func() time.Time
	// Logger is told when a scrape failed; nil discards that.
	Logger *slog.Logger
}

// Metrics are all metrics of one process. Its methods may be called from many goroutines, while it is scraped.
type Metrics struct {
	o        Options
	registry *prometheus.Registry
	handler  http.Handler
	slots    chan struct{}
	formats  []expfmt.Format

	rendering sync.Mutex // held while a fleet is rendered
	fleet     atomic.Pointer[fleet]

	runs      runMetrics
	results   *prometheus.CounterVec
	durations prometheus.Histogram
	skipped   prometheus.Counter
	heartbeat *prometheus.GaugeVec
	nextRun   *prometheus.GaugeVec

	known      map[operation]bool
	requests   *prometheus.CounterVec
	took       *prometheus.HistogramVec
	rejected   *prometheus.CounterVec
	throttled  *prometheus.CounterVec
	retries    *prometheus.CounterVec
	breakers   *prometheus.GaugeVec
	refreshes  *prometheus.CounterVec
	skew       *prometheus.GaugeVec
	panics     *prometheus.CounterVec
	config     *prometheus.GaugeVec
	baselines  *prometheus.GaugeVec
	reloaded   prometheus.Gauge
	reloadedAt *prometheus.GaugeVec
	unrecorded prometheus.Counter
	history    *prometheus.GaugeVec
	repair     *repairMetrics
}

// The closed lists of label values, beside those of package rules.
var (
	results    = []string{"complete", "incomplete", "failed"}
	rejections = []string{
		"status", "redirect", "content_type", "encoding", "too_large", "short_body", "json", "envelope", "error_envelope", "item",
		"too_many_items", "page_loop", "unstable_paging", "count_mismatch", "witness_mismatch", other,
	}
	ways           = []string{"iam", "sts", "ecs", "pod", "chain", other}
	refreshResults = []string{"ok", "failed"}
	identities     = []string{"main", "account"}
	places         = []string{
		auditor.PlaceIdentity, auditor.PlaceRead, auditor.PlaceCatalogue, auditor.PlaceJudge, "run", "write", "history", "scheduler", "web", other,
	}
)

// other stands for what no list has.
const other = "other"

// maxScrapes is how many scrapes are answered at once; the others are told to come again.
const maxScrapes = 8

// New makes the metrics of a process, in registries of its own.
func New(o Options) (*Metrics, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	r := prometheus.NewRegistry()
	m := &Metrics{o: o, registry: r, slots: make(chan struct{}, maxScrapes), known: map[operation]bool{}}
	for _, version := range []string{expfmt.OpenMetricsVersion_1_0_0, expfmt.OpenMetricsVersion_0_0_1} {
		format, err := expfmt.NewOpenMetricsFormat(version)
		if err != nil {
			return nil, fmt.Errorf("OpenMetrics %s: %w", version, err)
		}
		m.formats = append(m.formats, format)
	}
	m.formats = append(m.formats, expfmt.NewFormat(expfmt.TypeTextPlain))
	f := family{r}
	f.build(o.Version, o.Revision)
	m.runs = f.runs()
	m.results = f.counters("runs_total", "Runs that ended, by result: complete, incomplete (something was not read) or failed "+
		"(there is no result).", "result")
	m.durations = f.histogram("run_duration_seconds", "How long runs took.",
		[]float64{1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600})
	m.skipped = f.counter("runs_skipped_total", "Slots of the schedule that came while a run was under way.")
	m.heartbeat = f.gauges("scheduler_heartbeat_timestamp_seconds", "When the scheduler last showed that it lives; it does not "+
		"while a run is overdue.")
	m.nextRun = f.gauges("scheduler_next_run_timestamp_seconds", "When the next run is due.")
	m.requests = f.counters("api_requests_total", "Requests to the cloud, by the status of the answer; none means that no answer "+
		"came.", "service", "operation", "code")
	m.took = f.histograms("api_request_duration_seconds", "How long requests to the cloud took.",
		[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 60}, "service", "operation")
	m.rejected = f.counters("api_responses_rejected_total", "Answers of the cloud that could not be believed, by reason.", "reason")
	m.throttled = f.counters("api_throttled_total", "Answers by which the cloud asked for fewer requests.", "service")
	m.retries = f.counters("api_retries_total", "Requests that were sent once more after a fault of the cloud.", "service")
	m.breakers = f.gauges("api_breaker_open", "Identities with which nothing is sent for a while: whether the main one is, and how "+
		"many of the accounts' own are.", "identity")
	m.refreshes = f.counters("credential_refreshes_total", "Temporary keys that were asked for, by the way in and the result.",
		"way", "result")
	m.skew = f.gauges("api_clock_skew_seconds", "How far this machine's clock was ahead of the cloud's at the last answer.")
	m.panics = f.counters("panics_total", "Bugs of this program that were survived, by place.", "where")
	m.config = f.gauges("config_info", "The configuration in force, by the SHA-256 of its file.", "digest")
	m.baselines = f.gauges("baseline_info", "The baselines in force, by the date of their document and the SHA-256 of their file.",
		"baseline", "version", "digest")
	m.reloaded = f.gauge("config_reload_success", "Whether the last attempt to load the configuration succeeded.")
	m.reloadedAt = f.gauges("config_reload_success_timestamp_seconds", "When the configuration was last loaded with success.")
	m.unrecorded = f.counter("history_errors_total", "Runs that could not be recorded in the history.")
	m.history = f.gauges("history_size_bytes", "How many bytes the history takes on disk.")
	m.repair = f.repair()
	r.MustRegister(
		// Its older memory statistics have a gauge and a counter whose names are one in OpenMetrics.
		collectors.NewGoCollector(
			collectors.WithGoCollectorMemStatsMetricsDisabled(), collectors.WithGoCollectorRuntimeMetrics(collectors.MetricsMemory),
		),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.begin()
	m.handler = promhttp.InstrumentMetricHandler(r, http.HandlerFunc(m.serve))
	empty, err := render(&auditor.Snapshot{}, o.Now(), nil)
	if err != nil {
		return nil, fmt.Errorf("render an empty fleet: %w", err)
	}
	m.fleet.Store(empty)
	return m, nil
}

// begin sets every counter to 0.
func (m *Metrics) begin() {
	for _, r := range results {
		m.results.WithLabelValues(r)
	}
	for _, r := range rejections {
		m.rejected.WithLabelValues(r)
	}
	for _, p := range places {
		m.panics.WithLabelValues(p)
	}
	for _, way := range ways {
		for _, result := range refreshResults {
			m.refreshes.WithLabelValues(way, result)
		}
	}
	for _, op := range m.o.Operations {
		m.known[operation{op.Service, op.Name}] = true
		for _, code := range slices.Concat([]int{op.Success}, usualCodes) {
			m.requests.WithLabelValues(op.Service, op.Name, strconv.Itoa(code))
		}
		m.requests.WithLabelValues(op.Service, op.Name, noAnswer)
		m.took.WithLabelValues(op.Service, op.Name)
		m.throttled.WithLabelValues(op.Service)
		m.retries.WithLabelValues(op.Service)
	}
	m.Breakers(false, 0)
}

// Beat is told of the scheduler's heartbeat.
func (m *Metrics) Beat(at time.Time) { m.heartbeat.WithLabelValues().Set(seconds(at)) }

// NextRun is told when the next run is due; the zero time means never.
func (m *Metrics) NextRun(at time.Time) {
	if at.IsZero() {
		m.nextRun.Reset()
		return
	}
	m.nextRun.WithLabelValues().Set(seconds(at))
}

// Skipped counts a slot of the schedule that came while a run was under way.
func (m *Metrics) Skipped() { m.skipped.Inc() }

// Panicked counts a panic by its place.
func (m *Metrics) Panicked(where string) { m.panics.WithLabelValues(oneOf(places, where)).Inc() }

// noAnswer is the code of a request that got no answer.
const noAnswer = "none"

// usualCodes are the statuses of answers that mean trouble and will come one day.
var usualCodes = []int{
	http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusInternalServerError,
	http.StatusServiceUnavailable,
}

// Request counts one request to the cloud: code is the status of its answer, 0 for none.
func (m *Metrics) Request(service, name string, code int, took time.Duration) {
	if !m.known[operation{service, name}] {
		service, name = other, other
	}
	word := other
	switch {
	case code == 0:
		word = noAnswer
	case code >= 100 && code < 600:
		word = strconv.Itoa(code)
	}
	m.requests.WithLabelValues(service, name, word).Inc()
	m.took.WithLabelValues(service, name).Observe(took.Seconds())
	if code == http.StatusTooManyRequests {
		m.throttled.WithLabelValues(service).Inc()
	}
}

// Rejected counts an answer that could not be believed, by reason.
func (m *Metrics) Rejected(reason string) {
	m.rejected.WithLabelValues(oneOf(rejections, reason)).Inc()
}

// Retried counts a request that is sent once more after a fault of the cloud.
func (m *Metrics) Retried(service string) {
	if !slices.ContainsFunc(m.o.Operations, func(o Operation) bool { return o.Service == service }) {
		service = other
	}
	m.retries.WithLabelValues(service).Inc()
}

// Breakers is told whether the main identity's breaker is open, and how many of the accounts' own identities have one that
// is.
func (m *Metrics) Breakers(main bool, accounts int) {
	open := 0.0
	if main {
		open = 1
	}
	m.breakers.WithLabelValues(identities[0]).Set(open)
	m.breakers.WithLabelValues(identities[1]).Set(float64(accounts))
}

// Refreshed counts temporary keys that were asked for, by the way in.
func (m *Metrics) Refreshed(way string, ok bool) {
	result := refreshResults[1]
	if ok {
		result = refreshResults[0]
	}
	m.refreshes.WithLabelValues(oneOf(ways, way), result).Inc()
}

// Skew is told how far this machine's clock is ahead of the cloud's.
func (m *Metrics) Skew(ahead time.Duration) { m.skew.WithLabelValues().Set(ahead.Seconds()) }

// RunStarted is told that a run began.
func (m *Metrics) RunStarted(at time.Time) { m.runs.started.WithLabelValues().Set(seconds(at)) }

// RunEnded is told that a run ended, nil when it gave no result.
func (m *Metrics) RunEnded(run *auditor.Run, started, ended time.Time) {
	m.durations.Observe(ended.Sub(started).Seconds())
	m.results.WithLabelValues(m.runs.end(run, ended)).Inc()
}

// Running is told which configuration and baselines are in force; the old ones are gone.
func (m *Metrics) Running(digest string, baselines []rules.Baseline) {
	m.config.Reset()
	m.config.WithLabelValues(label(digest)).Set(1)
	setBaselines(m.baselines, baselines)
}

func setBaselines(v *prometheus.GaugeVec, baselines []rules.Baseline) {
	v.Reset()
	for i := range baselines {
		b := &baselines[i]
		v.WithLabelValues(label(b.Name), label(b.SourceDate), label(b.Digest)).Set(1)
	}
}

// Reloaded is told whether an attempt to load the configuration succeeded.
func (m *Metrics) Reloaded(ok bool, at time.Time) {
	if !ok {
		m.reloaded.Set(0)
		return
	}
	m.reloaded.Set(1)
	m.reloadedAt.WithLabelValues().Set(seconds(at))
}

// Resumed is told when the last run was complete that ended before the program started; zero for never.
func (m *Metrics) Resumed(completed time.Time) {
	if !completed.IsZero() {
		m.runs.completed.WithLabelValues().Set(seconds(completed))
	}
}

// HistoryFailed counts a run that could not be recorded in the history.
func (m *Metrics) HistoryFailed() { m.unrecorded.Inc() }

// HistorySize is told how many bytes the history takes on disk.
func (m *Metrics) HistorySize(bytes int64) { m.history.WithLabelValues().Set(float64(bytes)) }

// runMetrics are those of the last run, which a run of its own shows as well.
type runMetrics struct {
	started, ended, completed *prometheus.GaugeVec
	complete                  prometheus.Gauge
}

// end takes a run's end, and returns its result as a word.
func (r runMetrics) end(run *auditor.Run, ended time.Time) string {
	r.ended.WithLabelValues().Set(seconds(ended))
	r.complete.Set(0)
	switch {
	case run == nil:
		return "failed"
	case !run.Complete:
		return "incomplete"
	}
	r.complete.Set(1)
	r.completed.WithLabelValues().Set(seconds(ended))
	return "complete"
}

// family registers metrics. Their names are constants of this package, so that what is wrong with one is found by any test.
type family struct{ r *prometheus.Registry }

func (f family) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help})
	f.r.MustRegister(g)
	return g
}

// gauges makes a gauge that is absent before it is set for the first time; without labels too.
func (f family) gauges(name, help string, labels ...string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.r.MustRegister(g)
	return g
}

func (f family) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	f.r.MustRegister(c)
	return c
}

func (f family) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	f.r.MustRegister(c)
	return c
}

func (f family) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets})
	f.r.MustRegister(h)
	return h
}

func (f family) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	f.r.MustRegister(h)
	return h
}

func (f family) build(version, revision string) {
	f.gauges("build_info", "The program that runs.", "version", "revision", "goversion").
		WithLabelValues(label(version), label(revision), label(runtime.Version())).Set(1)
}

func (f family) runs() runMetrics {
	return runMetrics{
		started:   f.gauges("run_last_start_timestamp_seconds", "When the last run started, be it still under way."),
		ended:     f.gauges("run_last_end_timestamp_seconds", "When the last run ended, whatever came of it."),
		completed: f.gauges("run_last_complete_timestamp_seconds", "When the last run ended in which everything was read."),
		complete:  f.gauge("run_complete", "Whether everything was read in the last run that ended."),
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func oneOf(list []string, word string) string {
	if slices.Contains(list, word) {
		return word
	}
	return other
}

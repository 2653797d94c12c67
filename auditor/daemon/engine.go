package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
)

// engine is one configuration at work: what a reload makes anew, whole, before the old one is given up.
type engine struct {
	config   *Config
	cloud    *huawei.Cloud
	accounts static
	log      *slog.Logger
	version  string
	now      func() time.Time
	panicked func(where string)
}

// newEngine makes the reader of the cloud. It sends nothing.
func (d *Daemon) newEngine(cfg *Config) (*engine, error) {
	o := &d.options
	reader := cfg.Reader()
	reader.UserAgent = userAgent(o.Version)
	reader.Now = o.Now
	reader.Meter = d.metrics
	cloud, err := huawei.New(reader, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("make the reader of the cloud: %w", err)
	}
	return &engine{
		config: cfg, cloud: cloud, accounts: cfg.Inventory(), log: o.Logger, version: o.Version, now: o.Now, panicked: d.metrics.Panicked,
	}, nil
}

// run makes one run over the accounts with these names or ids, or over all of them when there are none. before is what was
// known before it; nil when nothing was.
func (e *engine) run(
	ctx context.Context, trigger string, accounts []string, before *auditor.Snapshot, progress auditor.Progress,
) (*auditor.Run, error) {
	inventory, err := e.accounts.only(accounts)
	if err != nil {
		return nil, err
	}
	limits := e.config.Limits
	a := &auditor.Auditor{
		Inventory: inventory, Observer: e.cloud, Baselines: e.config.LoadedBaselines(), Logger: e.log, Now: e.now,
		Program: e.version, Concurrency: e.config.atOnce(), Restricted: len(accounts) > 0, Before: before, Panicked: e.panicked,
		RunTimeout: limits.RunTimeout, AccountTimeout: limits.AccountTimeout,
	}
	return a.Run(ctx, trigger, progress)
}

// expected are the subjects that a run of this configuration judges.
func (e *engine) expected() []auditor.Subject {
	return auditor.Subjects(e.accounts, e.config.LoadedBaselines())
}

// userAgent makes a User-Agent product of the version, without the characters that may not stand in one.
func userAgent(version string) string {
	clean := []byte("agencyaudit")
	for i, c := range []byte(version) {
		if i == 0 {
			clean = append(clean, '/')
		}
		if i == 64 {
			break
		}
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '+', c == '-':
			clean = append(clean, c)
		default:
			clean = append(clean, '-')
		}
	}
	return string(clean)
}

// WriteMetrics writes one run in the text format of Prometheus, for node_exporter's textfile collector: what metrics would
// show of it at that instant. The run must be of all accounts of the configuration.
func WriteMetrics(w io.Writer, cfg *Config, run *auditor.Run, now time.Time) error {
	baselines := cfg.LoadedBaselines()
	s := auditor.NewSnapshot(auditor.Subjects(cfg.Inventory(), baselines), baselines, cfg.MaxAge).Next(run)
	return metrics.WriteRun(w, s, now, run.Program)
}

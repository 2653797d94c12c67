package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/rules"
)

// engine is one configuration at work: what a reload makes anew, whole, before the old one is given up.
type engine struct {
	config *Config
	cloud  *huawei.Cloud
	// writers are what can change accounts, by what they do: none unless the configuration says so.
	writers map[rules.Action]*huawei.Writer
	lister  lister
	// memory is what sources of accounts said so far, filed the last file of accounts that nothing was wrong with.
	memory *memory
	filed  *accountsFile
	// fileFault is what is wrong with the file of accounts now.
	fileFault error
	log       *slog.Logger
	version   string
	now       func() time.Time
	panicked  func(where string)
}

// newEngine makes the reader of the cloud. It sends nothing. filed is the last file of accounts that nothing was wrong with,
// for a configuration with one that something is wrong with.
func (d *Daemon) newEngine(cfg *Config, filed *accountsFile) (*engine, error) {
	o := &d.options
	if cfg.fileFault == nil {
		filed = cfg.filed
	}
	reader := cfg.Reader()
	reader.Accounts = maps.Clone(reader.Accounts)
	if cfg.Accounts.File != "" && filed != nil {
		for id, access := range filed.access {
			if _, named := reader.Accounts[id]; !named {
				reader.Accounts[id] = access
			}
		}
	}
	reader.UserAgent = userAgent(o.Version)
	reader.Now = o.Now
	reader.Meter = d.metrics
	cloud, err := huawei.New(reader, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("make the reader of the cloud: %w", err)
	}
	writers, err := d.newWriters(cfg)
	if err != nil {
		cloud.Close()
		return nil, err
	}
	var list lister = cloud
	if o.organization != nil {
		list = o.organization
	}
	return &engine{
		config: cfg, cloud: cloud, writers: writers, lister: list, memory: &memory{}, filed: filed,
		fileFault: cfg.fileFault, log: o.Logger, version: o.Version, now: o.Now,
		panicked: d.metrics.Panicked,
	}, nil
}

// inherit takes over what an engine before remembers of the accounts, and the keys by which it entered them. No run may be under way.
func (e *engine) inherit(from *engine) {
	e.memory = from.memory
	if e.config.Accounts.File == "" {
		e.memory.filed, e.memory.ways = roll[AccountConfig]{}, nil
	}
	if e.cloud != nil && from.cloud != nil {
		e.cloud.Keep(e.memory.lacking(e.filed))
		e.cloud.Inherit(from.cloud)
	}
	if !e.config.Accounts.Organization.Enabled {
		e.memory.members = roll[huawei.Member]{}
	}
}

// inventory lists the accounts with these names or ids, or all of them when there are none.
func (e *engine) inventory(accounts []string) *inventory {
	v := &inventory{config: e.config, cloud: e.lister, log: e.log, memory: e.memory, filed: e.filed, fileFault: e.fileFault, wanted: accounts}
	if e.cloud != nil {
		v.keep = e.cloud.Keep
	}
	return v
}

// run makes one run over the accounts with these names or ids, or over all of them when there are none. before is what was
// known before it; nil when nothing was.
func (e *engine) run(
	ctx context.Context, trigger string, accounts []string, before *auditor.Snapshot, progress auditor.Progress,
) (*auditor.Run, error) {
	limits := e.config.Limits
	a := &auditor.Auditor{
		Inventory: e.inventory(accounts), Observer: e.cloud, Baselines: e.config.LoadedBaselines(), Waivers: e.config.LoadedWaivers(),
		Logger: e.log, Now: e.now,
		Program: e.version, Concurrency: e.config.atOnce(), Restricted: len(accounts) > 0, Before: before, Panicked: e.panicked,
		RunTimeout: limits.RunTimeout, AccountTimeout: limits.AccountTimeout,
	}
	return a.Run(ctx, trigger, progress)
}

// known is what is known of the accounts without asking anybody.
func (e *engine) known() auditor.Listing {
	v := *e.inventory(nil)
	m := *e.memory
	v.memory = &m
	if e.fileFault == nil && e.config.Accounts.File != "" {
		// The file's accounts are known before the first run, and a new file's before the next one.
		m.filed.entries = maps.Clone(m.filed.entries)
		if m.filed.entries == nil {
			m.filed.entries = map[string]entry[AccountConfig]{}
		}
		for _, a := range e.filed.list() {
			m.filed.entries[a.ID] = entry[AccountConfig]{is: a}
		}
	}
	return v.listing(nil)
}

// expected are the subjects of what is known.
func (e *engine) expected(l auditor.Listing) []auditor.Subject {
	accounts := slices.Clone(l.Accounts)
	for i := range l.Vanished {
		accounts = append(accounts, l.Vanished[i].Account)
	}
	return auditor.Subjects(accounts, e.config.LoadedBaselines())
}

// ListAccounts lists the accounts of a configuration file, those of its organization too: for a shell that completes words.
// Without an organization nothing is sent. What cannot be listed is left out.
func ListAccounts(ctx context.Context, file string) ([]rules.Account, error) {
	cfg, err := LoadConfig(file)
	if err != nil {
		return nil, err
	}
	d, err := New(Options{Config: cfg})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if cfg.Accounts.Organization.Enabled {
		if err := d.engine.cloud.Verify(ctx); err != nil {
			return nil, err
		}
	}
	l, err := d.engine.inventory(nil).Accounts(ctx)
	return l.Accounts, err
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
// show of it at that instant. The run must be of all accounts.
func WriteMetrics(w io.Writer, cfg *Config, run *auditor.Run, now time.Time) error {
	baselines := cfg.LoadedBaselines()
	s := auditor.NewSnapshot(nil, baselines, cfg.MaxAge).Accept(cfg.LoadedWaivers(), now).Next(run)
	return metrics.WriteRun(w, s, now, run.Program)
}

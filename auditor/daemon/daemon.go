// Package daemon wires the program together: from a configuration it makes the reader of the cloud and the auditor, and
// has them make runs, once or again and again, and shows what is known as metrics and pages.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/auditor/web"
)

// Options are what New needs. Config is required.
type Options struct {
	Config *Config
	// Logger is where the program says what it does; nil discards that.
	Logger *slog.Logger
	// Version is the program's version, which runs carry and the cloud sees as the user agent; Revision is the commit that
	// it was built from, empty when it is not known.
	Version, Revision string
	// Progress is told how far a run is; nil tells nobody. It is called from many goroutines, one call at a time.
	Progress auditor.Progress
	// Now is the clock; nil is the real one.
	Now func() time.Time

	// Watch says that Run reloads when a file that the configuration was read from changes.
	Watch bool
	// Simulated says that the cloud is a simulation, which the pages then say too.
	Simulated bool
	// Committed is told of every run of Run once metrics and pages show it; nil tells nobody. The next run waits for it.
	Committed func(run *auditor.Run)
	// recordWait and openHistory are for tests; the zero values are recordWait and history.OpenSQLite.
	recordWait  time.Duration
	openHistory func(dir string, o history.Options) (history.Store, error)
	// organization lists the accounts; nil is the cloud itself.
	organization lister
	// History is where runs are recorded instead of in the configuration's state directory. It stays open.
	History history.Store
	// Listening is told where Run serves, as the start of an address such as http://127.0.0.1:9878; nil tells nobody.
	Listening func(url string)
}

// Daemon is the program at work. Unless its configuration has it repair, nothing in it can change anything in the cloud.
type Daemon struct {
	options Options
	metrics *metrics.Metrics
	// begun is closed once Run makes runs, or has come to nothing. The two below are set before; in the latter case scheduler
	// is nil. guards are what clients have been asked for since.
	begun     chan struct{}
	scheduler *schedule.Scheduler
	guards    web.Guards
	snapshot  atomic.Pointer[auditor.Snapshot]
	progress  atomic.Pointer[progress]
	// past is set before the first run; shown is what the pages show of it, nil without a history.
	past  past
	shown atomic.Pointer[web.Past]
	// repair is made before the first run.
	repair repair
	// anew says that what is known was judged anew by another configuration since the last run.
	anew atomic.Bool
	// ending says that the program was told to end.
	ending atomic.Bool

	// The locks are taken in this order.
	reloading sync.Mutex // held by one reload, from its first look at the files to its last word
	turn      sync.Mutex // held while an engine takes another one's place, and while a run takes its engine
	mu        sync.Mutex // guards what follows, and is held for moments
	engine    *engine
	pending   *engine // takes the engine's place as soon as no run is under way; nil if there is none
	// running counts what goes on by the engine: the run, and what is repaired by hand.
	running int
	// runError and reloadError say why the last run, and the last reload, came to nothing; empty if they did not.
	runError, reloadError string
	// historyError says why the last run was not recorded; empty if it was, or if there is no history.
	historyError string
	// read are the files of the configuration in force or, when it was refused, of the one that was tried last.
	read sources
}

// New wires a Daemon. It sends nothing and opens nothing. The caller closes it.
func New(o Options) (*Daemon, error) {
	if o.Config == nil {
		return nil, errors.New("daemon: there is no configuration")
	}
	if o.Config.openSecret == nil {
		return nil, errors.New("daemon: the configuration was read without its keys")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	operations := huawei.Operations()
	known := make([]metrics.Operation, len(operations))
	for i, o := range operations {
		known[i] = metrics.Operation(o)
	}
	m, err := metrics.New(metrics.Options{
		Version: o.Version, Revision: o.Revision, Operations: known, Now: o.Now, Logger: o.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("make the metrics: %w", err)
	}
	d := &Daemon{options: o, metrics: m, read: o.Config.sources, begun: make(chan struct{})}
	if d.engine, err = d.newEngine(o.Config, nil); err != nil {
		return nil, err
	}
	return d, nil
}

// Once makes one run over the accounts with these names or ids, or over all of them when there are none. trigger says
// what the run was made for. The error is an *UnknownAccountError when the configuration does not list one of them; an
// account that cannot be read is no error, but unknown in the run.
func (d *Daemon) Once(ctx context.Context, trigger string, accounts []string) (*auditor.Run, error) {
	return d.current().run(ctx, trigger, accounts, nil, d.options.Progress)
}

// Close gives up the connections to the cloud. No run may be under way.
func (d *Daemon) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.engine.close()
	if d.pending != nil {
		d.pending.close()
	}
}

func (d *Daemon) current() *engine {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.engine
}

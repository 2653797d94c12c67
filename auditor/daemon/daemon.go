// Package daemon wires the program together: from a configuration it makes the reader of the cloud and the auditor, and
// has them make runs.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
)

// Options are what New needs. Config is required.
type Options struct {
	Config *Config
	// Logger is where the program says what it does; nil discards that.
	Logger *slog.Logger
	// Version is the program's version, which runs carry and the cloud sees as the user agent.
	Version string
	// Progress is told how far a run is; nil tells nobody. It is called from many goroutines, one call at a time.
	Progress auditor.Progress
	// Now is the clock; nil is the real one.
	Now func() time.Time
}

// Daemon is the program at work. It is read-only: nothing in it can change anything in the cloud.
type Daemon struct {
	options  Options
	cloud    *huawei.Cloud
	accounts static
}

// New wires a Daemon. It sends nothing. The caller closes it.
func New(o Options) (*Daemon, error) {
	if o.Config == nil {
		return nil, errors.New("daemon: there is no configuration")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	reader := o.Config.Reader()
	reader.UserAgent = userAgent(o.Version)
	reader.Now = o.Now
	cloud, err := huawei.New(reader, o.Logger)
	if err != nil {
		return nil, fmt.Errorf("make the reader of the cloud: %w", err)
	}
	return &Daemon{options: o, cloud: cloud, accounts: o.Config.Inventory()}, nil
}

// Once makes one run over the accounts with these names or ids, or over all of them when there are none. trigger says
// what the run was made for. The error is an *UnknownAccountError when the configuration does not list one of them; an
// account that cannot be read is no error, but unknown in the run.
func (d *Daemon) Once(ctx context.Context, trigger string, accounts []string) (*auditor.Run, error) {
	inventory, err := d.accounts.only(accounts)
	if err != nil {
		return nil, err
	}
	limits := d.options.Config.Limits
	a := &auditor.Auditor{
		Inventory: inventory, Observer: d.cloud, Baselines: d.options.Config.LoadedBaselines(), Logger: d.options.Logger,
		Now: d.options.Now, Program: d.options.Version, Concurrency: limits.Concurrency,
		Restricted: len(accounts) > 0,
		RunTimeout: limits.RunTimeout, AccountTimeout: limits.AccountTimeout,
	}
	return a.Run(ctx, trigger, d.options.Progress)
}

// Close gives up the connections to the cloud. No run may be under way.
func (d *Daemon) Close() { d.cloud.Close() }

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

package daemon

import (
	"context"

	"github.com/agencyaudit/agencyaudit/auditor"
)

// Doctor tries what it takes to read the accounts with these names or ids, or all of them when there are none. It writes nothing.
// The error is an *UnknownAccountError when there is no such account; whatever stands in the way of reading one is part of what is
// returned.
func (d *Daemon) Doctor(ctx context.Context, accounts []string) (*auditor.Diagnosis, error) {
	e := d.current()
	limits := e.config.Limits
	a := &auditor.Auditor{
		Inventory: e.inventory(accounts), Baselines: e.config.LoadedBaselines(), Logger: e.log, Now: e.now, Program: e.version,
		Concurrency: e.config.atOnce(), Restricted: len(accounts) > 0, Panicked: e.panicked,
		RunTimeout: limits.RunTimeout, AccountTimeout: limits.AccountTimeout,
	}
	found, err := a.Diagnose(ctx, e.cloud, d.options.Progress)
	if err != nil {
		return nil, err
	}
	found.Account = e.config.Credentials.AccountID
	if chain := e.config.Credentials.Chain; chain.Via != "" {
		found.Chain = &auditor.Chain{AccountID: chain.AccountID, Agency: chain.Agency, Via: chain.Via}
	}
	found.Headroom = auditor.Headroom{
		Requests: requestsOfASweep * len(found.Probes) * len(a.Baselines), PerSecond: e.config.Cloud.Rate.Total, Of: limits.RunTimeout,
	}
	return found, nil
}

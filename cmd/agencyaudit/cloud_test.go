package main

import (
	"fmt"
	"io/fs"
	"log/slog"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// startCloud serves an organization over HTTP until the test ends.
func startCloud(t *testing.T, org *simcloud.Organization) (*simcloud.Cloud, *simcloud.Server) {
	t.Helper()
	cloud, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	server, err := cloud.Start(simcloud.Listen{Cloud: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return cloud, server
}

// parse makes a configuration of its text, with an environment that knows nothing but what lookupEnv does.
func parse(t *testing.T, text []byte, lookupEnv func(string) (string, bool)) *daemon.Config {
	t.Helper()
	noFile := func(string) (fs.File, error) { return nil, fs.ErrNotExist }
	cfg, err := daemon.ParseConfig("test.yaml", text, noFile, lookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// newDaemon wires the program for a configuration.
func newDaemon(t *testing.T, cfg *daemon.Config) *daemon.Daemon {
	t.Helper()
	d, err := daemon.New(daemon.Options{Config: cfg, Logger: slog.New(slog.DiscardHandler), Version: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func once(t *testing.T, d *daemon.Daemon) *auditor.Run {
	t.Helper()
	run, err := d.Once(t.Context(), "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// noWrites fails when the cloud accepted a write. A failed check proves that the journal would have shown one.
func noWrites(t *testing.T, cloud *simcloud.Cloud) {
	t.Helper()
	if n := len(cloud.Journal()); n > 0 {
		t.Errorf("the auditor wrote %d times, first %+v", n, cloud.Journal()[0])
	}
}

func mustIdentity(t *testing.T, org *simcloud.Organization) identity {
	t.Helper()
	id, err := identityOf(org)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// keyVariables are the names of the environment variables with the key of the ith account.
func keyVariables(i int) (ak, sk string) { return fmt.Sprintf("AK_%d", i), fmt.Sprintf("SK_%d", i) }

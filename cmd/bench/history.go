package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"
)

// history measures what a daemon with n accounts writes of its runs, of which all but the first change nothing, and how long a start
// takes that reads it.
func (o options) history(ctx context.Context, n int, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "agencyaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	sim, err := startSimulator(ctx, o.program, n, o.latency, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.stop()) }()
	config := filepath.Join(dir, "daemon.yaml")
	every := max(time.Duration(n)*2*time.Millisecond, 12*time.Second).Truncate(time.Second)
	env, err := sim.daemonConfig(config, sim.url, every)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	if err := os.WriteFile(config, append([]byte("state_dir: state\n"), text...), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ndaemon with a history, %d accounts, a run every %s\n\n", n, every)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| run\t| wall s\t| recording s\t| of the wall\t| history MiB\t| peak MiB so far\t|\n"+
		"| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	d, err := o.startDaemon(ctx, config, env)
	if err != nil {
		return err
	}
	end := func() error { return errors.Join(d.cmd.Cancel(), ended(d)) }
	for i := range 1 + steadyRuns {
		wall, recorded, err := recording(ctx, d, n)
		if err != nil {
			return errors.Join(err, end())
		}
		size, err := bytesIn(filepath.Join(dir, "state"))
		if err != nil {
			return errors.Join(err, end())
		}
		name := "first"
		if i > 0 {
			name = "nothing changed"
		}
		fmt.Fprintf(w, "| %s\t| %.2f\t| %.2f\t| %.1f %%\t| %.1f\t| %.0f\t|\n", name, wall.Seconds(), recorded.Seconds(),
			100*recorded.Seconds()/wall.Seconds(), float64(size)/(1<<20), d.memory("VmHWM"))
	}
	if err := errors.Join(end(), w.Flush()); err != nil {
		return err
	}
	began := time.Now()
	if d, err = o.startDaemon(ctx, config, env); err != nil {
		return err
	}
	started := time.Since(began)
	fmt.Fprintf(out, "\nA start that reads it serves metrics after %.2f s.\n", started.Seconds())
	return end()
}

// recording waits for a run and what is recorded of it.
func recording(ctx context.Context, d *daemonProcess, n int) (wall, took time.Duration, err error) {
	line, err := d.next(ctx, "run ended")
	if err != nil {
		return 0, 0, err
	}
	if line["compliant"] != float64(n) {
		return 0, 0, fmt.Errorf("a run found %v of %d accounts compliant", line["compliant"], n)
	}
	if wall, err = duration(line); err != nil {
		return 0, 0, err
	}
	if line, err = d.next(ctx, "run recorded"); err != nil {
		return 0, 0, err
	}
	text, _ := line["took"].(string)
	if took, err = time.ParseDuration(strings.ReplaceAll(text, " ", "")); err != nil {
		return 0, 0, fmt.Errorf("the log does not say how long recording took: %w", err)
	}
	return wall, took, nil
}

// bytesIn is how many bytes the files of a directory have.
func bytesIn(dir string) (size int64, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 0, err
		}
		size += info.Size()
	}
	return size, nil
}

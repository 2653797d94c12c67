package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// steadyRuns is how many runs are measured after the first one, which alone reads the catalogue and enters the accounts.
const steadyRuns = 2

// daemonConfig writes a configuration by which the daemon enters every account through its agency, and returns the
// environment that it needs.
func (s *simulator) daemonConfig(file, url string, every time.Duration) ([]string, error) {
	cloud, err := simcloud.New(simcloud.GenerateSteady(seed, s.accounts))
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	var env []string
	fmt.Fprintf(&b, "schedule: {cron: \"@every %s\", jitter: 0s, drain: 0s}\nmax_age: 24h\nlimits: {run_timeout: 1h}\n"+
		"listen: {address: \"127.0.0.1:0\"}\ncloud: {site: custom, endpoints: {iam: %q}, rate: {per_account: 0, total: 0}}\n", every, url)
	var accounts strings.Builder
	for _, a := range cloud.Organization().Accounts {
		access := "{via: iam, agency: AgencyAuditReader}"
		for _, u := range a.Users {
			if slices.Contains(u.Policies, "Agent Operator") && len(env) == 0 {
				env = []string{"HUAWEICLOUD_SDK_AK=" + u.Keys[0].Access, "HUAWEICLOUD_SDK_SK=" + u.Keys[0].Secret}
				fmt.Fprintf(&b, "credentials: {source: environment, account_id: %q}\n", a.ID)
				access = "{via: keys, ak_env: HUAWEICLOUD_SDK_AK, sk_env: HUAWEICLOUD_SDK_SK}"
			}
		}
		fmt.Fprintf(&accounts, "    - {name: %q, id: %q, require_agency: true, access: %s}\n", a.Name, a.ID, access)
	}
	if len(env) == 0 {
		return nil, errors.New("the fleet has nobody who may assume agencies")
	}
	return env, os.WriteFile(file, []byte(b.String()+"accounts:\n  static:\n"+accounts.String()), 0o600)
}

// daemonProcess is the program as a daemon, and what its log says.
type daemonProcess struct {
	cmd  *exec.Cmd
	url  string
	logs chan map[string]any
}

// next waits for a line of the log with that message.
func (d *daemonProcess) next(ctx context.Context, msg string) (map[string]any, error) {
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case line, open := <-d.logs:
			switch {
			case !open:
				return nil, fmt.Errorf("the daemon ended before it said %q", msg)
			case line["level"] == "ERROR":
				return nil, fmt.Errorf("the daemon says %v", line)
			case line["msg"] == msg:
				return line, nil
			}
		}
	}
}

// cpu is the processor time that the process has taken.
func (d *daemonProcess) cpu() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// memory is a line of the process's status, in MiB.
func (d *daemonProcess) memory(name string) float64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024
		}
	}
	return 0
}

func (o options) startDaemon(ctx context.Context, config string, env []string) (*daemonProcess, error) {
	cmd := exec.CommandContext(ctx, o.program, "run", "--config", config, "--log-format", "json")
	cmd.Env = append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemonProcess{cmd: cmd, logs: make(chan map[string]any, 1000)}
	go func() {
		defer close(d.logs)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) == nil {
				d.logs <- line
			}
		}
	}()
	line, err := d.next(ctx, "serving metrics and pages")
	if err != nil {
		return nil, errors.Join(err, cmd.Cancel(), cmd.Wait())
	}
	d.url, _ = line["url"].(string)
	return d, nil
}

// scrape is what scrapes of one kind came to.
type scrape struct {
	times []time.Duration
	body  []byte
}

func (s *scrape) row(w io.Writer, title string, bare time.Duration) {
	slices.Sort(s.times)
	m := s.times[len(s.times)/2]
	fmt.Fprintf(w, "| %s\t| %.1f\t| %.1f\t| %.2f\t| %.1f ×\t|\n", title, float64(m.Microseconds())/1000,
		float64(s.times[len(s.times)-1].Microseconds())/1000, float64(len(s.body))/(1<<20), ratio(m, bare))
}

// scrapes asks n times.
func scrapes(ctx context.Context, url string, n int, header map[string]string) (*scrape, error) {
	s := &scrape{}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: time.Minute}
	defer client.CloseIdleConnections()
	for range n {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/metrics", http.NoBody)
		if err != nil {
			return nil, err
		}
		for k, v := range header {
			req.Header.Set(k, v)
		}
		from := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return nil, err
		}
		s.body, err = io.ReadAll(resp.Body)
		s.times = append(s.times, time.Since(from))
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("scrape: %s %w", resp.Status, err)
		}
	}
	return s, nil
}

// check fails unless the scrape says that every account is compliant.
func (s *scrape) check(accounts int) error {
	z, err := gzip.NewReader(bytes.NewReader(s.body))
	if err != nil {
		return err
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return err
	}
	for _, want := range []string{
		fmt.Sprintf("\nagencyaudit_accounts{state=\"compliant\"} %d\n", accounts), fmt.Sprintf("\nagencyaudit_accounts_expected %d\n", accounts),
	} {
		if !bytes.Contains(text, []byte(want)) {
			return fmt.Errorf("the scrape does not say%s", want)
		}
	}
	return nil
}

var (
	asText = map[string]string{"Accept-Encoding": "identity"}
	asGzip = map[string]string{"Accept-Encoding": "gzip"}
	asOpen = map[string]string{"Accept-Encoding": "gzip", "Accept": "application/openmetrics-text;version=1.0.0"}
)

// bare measures a server that has the same bytes in memory and does nothing but send them.
func bare(ctx context.Context, body []byte) (time.Duration, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	server := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	s, err := scrapes(ctx, "http://"+l.Addr().String(), 7, nil)
	if err != nil {
		return 0, err
	}
	slices.Sort(s.times)
	return s.times[len(s.times)/2], nil
}

// daemon measures a steady daemon with n accounts: its runs, its rest, and its scrapes.
func (o options) daemon(ctx context.Context, n int, out io.Writer) (err error) {
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
	d, err := o.startDaemon(ctx, config, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cmd.Cancel(), ended(d)) }()

	fmt.Fprintf(out, "\ndaemon, %d accounts, a run every %s\n\n", n, every)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| run\t| wall s\t| CPU s\t| peak MiB so far\t| MiB at rest\t|\n| ---\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	var busy *scrape
	for i := range 1 + steadyRuns {
		before := d.cpu()
		if _, err := d.next(ctx, "run started"); err != nil {
			return err
		}
		if i == 1 {
			if busy, err = scrapes(ctx, d.url, 5, asGzip); err != nil {
				return err
			}
		}
		line, err := d.next(ctx, "run ended")
		if err != nil {
			return err
		}
		if line["compliant"] != float64(n) {
			return fmt.Errorf("a run found %v of %d accounts compliant", line["compliant"], n)
		}
		// The end of the run is not the end of its work: it is rendered, and memory is given back.
		cpu := d.settled(ctx)
		wall, err := duration(line)
		if err != nil {
			return err
		}
		name := "first"
		if i > 0 {
			name = "steady"
			if own, _, err := sim.requests(ctx); err != nil || own != 6*n {
				return fmt.Errorf("a steady run: %d requests of %d: %w", own, 6*n, err)
			}
		}
		if err := sim.resetCounters(ctx); err != nil {
			return err
		}
		fmt.Fprintf(w, "| %s\t| %.2f\t| %.2f\t| %.0f\t| %.0f\t|\n", name, wall.Seconds(), (cpu - before).Seconds(), d.memory("VmHWM"), d.memory("VmRSS"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out)
	w = tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| scrape\t| median ms\t| worst ms\t| MiB\t| of a bare server\t|\n| ---\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	for _, kind := range []struct {
		title  string
		header map[string]string
	}{{"text", asText}, {"text, gzip", asGzip}, {"OpenMetrics, gzip", asOpen}, {"text, gzip, during a run", nil}} {
		s := busy
		if kind.header != nil {
			if s, err = scrapes(ctx, d.url, 7, kind.header); err != nil {
				return err
			}
		}
		if kind.title != "text" {
			if err := s.check(n); err != nil {
				return err
			}
		}
		same, err := bare(ctx, s.body)
		if err != nil {
			return err
		}
		s.row(w, kind.title, same)
	}
	return w.Flush()
}

// duration is how long a run took, by the line of the log that says that it ended.
func duration(line map[string]any) (time.Duration, error) {
	text, _ := line["duration"].(string)
	wall, err := time.ParseDuration(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		return 0, fmt.Errorf("the log does not say how long a run took: %w", err)
	}
	return wall, nil
}

// settled waits until the process takes hardly any processor time, and returns how much it has taken.
func (d *daemonProcess) settled(ctx context.Context) time.Duration {
	last := d.cpu()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return last
		case <-tick.C:
		}
		now := d.cpu()
		if now-last < 20*time.Millisecond {
			return now
		}
		last = now
	}
}

// ended waits for the daemon's end, which is in order if it says so.
func ended(d *daemonProcess) error {
	for range d.logs {
	}
	return d.cmd.Wait()
}

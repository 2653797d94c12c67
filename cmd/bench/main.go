// Command bench measures `agencyaudit audit` beside the least that its work can cost.
//
// It starts one simulated cloud in a process of its own, with latency, and has four clients read the same accounts from
// it, each as a process of its own, one after the other, several rounds over: the built program; a bare loop over the
// official SDK; and a bare net/http client that sends the same requests, signed beforehand, once one after the other in
// each account and once in the program's own order, the last five of an account at once. It prints the medians.
//
// With -daemon it also measures `agencyaudit run` with so many accounts: its runs, its rest and its scrapes. With -history it measures
// what `agencyaudit run` writes of its runs into a state directory, and a start that reads it. With -organization it has
// `agencyaudit run` list so many accounts itself and enter them by the management account's key alone, by each way there is.
//
// It asserts nothing about time. It fails when the work was not done: unless the simulator counted six requests for each
// account and client, and the program found every account compliant; and of an organization, unless each account was entered
// once, in the first run.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	program string
	sizes   []int
	daemons []int
	members []int
	pasts   []int
	rounds  int
	latency time.Duration
	workers int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	var sizes, daemons, members, pasts, as, fleet string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.program, "audit", "bin/agencyaudit", "the built program")
	flags.StringVar(&sizes, "n", "100,1000,10000", "numbers of accounts")
	flags.StringVar(&daemons, "daemon", "", "numbers of accounts for a steady daemon; -n may be empty then")
	flags.StringVar(&members, "organization", "", "numbers of accounts for a daemon that an organization lists them; -n may be empty then")
	flags.StringVar(&pasts, "history", "", "numbers of accounts for a daemon that records its runs; -n may be empty then")
	flags.IntVar(&o.rounds, "rounds", 3, "rounds; the medians are printed")
	flags.DurationVar(&o.latency, "latency", 20*time.Millisecond, "what the simulator waits before every answer")
	flags.IntVar(&o.workers, "workers", 64, "accounts at a time")
	flags.StringVar(&as, "as", "", "used by this program itself: run as one of its clients")
	flags.StringVar(&fleet, "fleet", "", "used by this program itself: the file of accounts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if as != "" {
		return runClient(ctx, as, fleet, o.workers, out)
	}
	var err error
	if o.sizes, err = numbers(sizes); err != nil {
		return fmt.Errorf("-n %w", err)
	}
	if o.daemons, err = numbers(daemons); err != nil {
		return fmt.Errorf("-daemon %w", err)
	}
	if o.members, err = numbers(members); err != nil {
		return fmt.Errorf("-organization %w", err)
	}
	if o.pasts, err = numbers(pasts); err != nil {
		return fmt.Errorf("-history %w", err)
	}
	if o.rounds < 1 || o.workers < 1 {
		return errors.New("-rounds and -workers: at least 1")
	}
	fmt.Fprintf(out, "%s, %s/%s, %d cores, %s latency, %d accounts at a time, medians of %d rounds\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.latency, o.workers, o.rounds)
	for _, n := range o.sizes {
		if err := o.compare(ctx, n, out); err != nil {
			return fmt.Errorf("%d accounts: %w", n, err)
		}
	}
	for _, n := range o.daemons {
		if err := o.daemon(ctx, n, out); err != nil {
			return fmt.Errorf("daemon, %d accounts: %w", n, err)
		}
	}
	for _, n := range o.pasts {
		if err := o.history(ctx, n, out); err != nil {
			return fmt.Errorf("history, %d accounts: %w", n, err)
		}
	}
	for _, n := range o.members {
		if err := o.organization(ctx, n, out); err != nil {
			return fmt.Errorf("organization, %d accounts: %w", n, err)
		}
	}
	return nil
}

// numbers reads a list such as 100,1000.
func numbers(list string) ([]int, error) {
	var all []int
	for s := range strings.SplitSeq(list, ",") {
		if list == "" {
			break
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: numbers of accounts, such as 100,1000", list)
		}
		all = append(all, n)
	}
	return all, nil
}

// cost is what one client spent on all accounts.
type cost struct {
	// Wall and CPU are in nanoseconds when encoded. For the bare clients they begin when the requests are ready.
	Wall time.Duration `json:"wall"`
	CPU  time.Duration `json:"cpu"`
	// Peak is the process's largest resident memory, in bytes.
	Peak int64 `json:"-"`
}

// The clients, in the order in which each round runs them.
const (
	clientAudit  = "audit"
	clientSDK    = "sdk"
	clientHTTP   = "http"
	clientFanout = "http-fanout"
)

var clients = [...]struct{ name, title string }{
	{clientAudit, "agencyaudit audit"},
	{clientSDK, "bare SDK loop"},
	{clientHTTP, "bare HTTP"},
	{clientFanout, "bare HTTP, five at once"},
}

// compare runs every client against one simulator and prints what each spent.
func (o options) compare(ctx context.Context, n int, out io.Writer) (err error) {
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

	costs := map[string][]cost{}
	requests := map[string]float64{}
	shared := map[string]int{}
	for range o.rounds {
		for _, c := range clients {
			if err := sim.resetCounters(ctx); err != nil {
				return err
			}
			spent, err := o.runOnce(ctx, c.name, sim, dir)
			if err != nil {
				return fmt.Errorf("%s: %w", c.title, err)
			}
			own, others, err := sim.requests(ctx)
			if err != nil {
				return err
			}
			if own != 6*n || (c.name != clientAudit && others != 0) {
				return fmt.Errorf("%s: the simulator counted %d requests and %d others, want %d", c.title, own, others, 6*n)
			}
			requests[c.name], shared[c.name] = float64(own)/float64(n), others
			costs[c.name] = append(costs[c.name], spent)
		}
	}

	fmt.Fprintf(out, "\n%d accounts\n\n", n)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| client\t| requests per account\t| wall s\t| accounts/s\t| CPU s\t| peak MiB\t| audit's wall\t| audit's CPU\t|")
	fmt.Fprintln(w, "| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	audit := median(costs[clientAudit])
	for _, c := range clients {
		m := median(costs[c.name])
		per := strconv.FormatFloat(requests[c.name], 'f', -1, 64)
		if shared[c.name] > 0 {
			per += fmt.Sprintf(" (and %d shared by all)", shared[c.name])
		}
		ratios := "\t| \t| "
		if c.name != clientAudit {
			ratios = fmt.Sprintf("\t| %.2f ×\t| %.2f ×", ratio(audit.Wall, m.Wall), ratio(audit.CPU, m.CPU))
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %.2f\t| %.0f\t| %.2f\t| %.0f%s\t|\n", c.title, per, m.Wall.Seconds(),
			float64(n)/m.Wall.Seconds(), m.CPU.Seconds(), float64(m.Peak)/(1<<20), ratios)
	}
	return w.Flush()
}

// runOnce runs one client to its end.
func (o options) runOnce(ctx context.Context, name string, sim *simulator, dir string) (cost, error) {
	if name == clientAudit {
		return o.runAudit(ctx, sim, filepath.Join(dir, "report.json"))
	}
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, self, "-as", name, "-fleet", sim.fleetFile, "-workers", strconv.Itoa(o.workers))
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return cost{}, err
	}
	var c cost
	if err := json.Unmarshal(stdout.Bytes(), &c); err != nil {
		return cost{}, fmt.Errorf("read what it spent: %w", err)
	}
	c.Peak = peak(cmd.ProcessState)
	return c, nil
}

// runAudit runs the built program, its start and its report included in what it spends.
func (o options) runAudit(ctx context.Context, sim *simulator, report string) (cost, error) {
	cmd := exec.CommandContext(ctx, o.program, "audit", "--config", sim.configFile, "-o", "json", "--out", report)
	cmd.Env = append(os.Environ(), sim.keys...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	from := time.Now()
	err := cmd.Run()
	wall := time.Since(from)
	if err != nil {
		return cost{}, fmt.Errorf("%w; it said: %s", err, lastLines(stderr.String(), 5))
	}
	if err := sim.checkReport(report); err != nil {
		return cost{}, err
	}
	p := cmd.ProcessState
	return cost{Wall: wall, CPU: p.UserTime() + p.SystemTime(), Peak: peak(p)}, nil
}

func peak(p *os.ProcessState) int64 {
	if u, ok := p.SysUsage().(*syscall.Rusage); ok {
		return u.Maxrss << 10 // Linux counts it in KiB
	}
	return 0
}

// median takes the median of each quantity by itself, and the largest peak.
func median(costs []cost) cost {
	of := func(get func(cost) time.Duration) time.Duration {
		var all []time.Duration
		for _, c := range costs {
			all = append(all, get(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	m := cost{
		Wall: of(func(c cost) time.Duration { return c.Wall }),
		CPU:  of(func(c cost) time.Duration { return c.CPU }),
	}
	for _, c := range costs {
		m.Peak = max(m.Peak, c.Peak)
	}
	return m
}

func ratio(a, b time.Duration) float64 { return float64(a) / float64(b) }

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

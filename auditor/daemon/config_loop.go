package daemon

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/schedule"
	"github.com/agencyaudit/agencyaudit/auditor/web"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// oldest is the greatest max_age: beyond it no statement about an account is worth making.
const oldest = 400 * 24 * time.Hour

// aYear is where the pauses of a schedule are measured: a leap year, so that the answer is the same whenever it is asked.
var aYear = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC)

// checkSchedule checks when runs are made, and that evidence outlives the pause between two of them.
func (c *configCheck) checkSchedule() {
	s := c.cfg.Schedule
	c.doc.Advise("schedule.timeout", "write limits.run_timeout, which bounds a run whatever makes it, and delete this")
	if s.Drain < 0 || s.Drain > time.Hour {
		c.doc.Add("schedule.drain", fmt.Sprintf("%s is out of range", rules.Span(s.Drain)), "write a duration from 0s to 1h")
	}
	if c.cfg.MaxAge < time.Second || c.cfg.MaxAge > oldest {
		c.doc.Add("max_age", fmt.Sprintf("%s is out of range", rules.Span(c.cfg.MaxAge)), "write a duration from 1s to 400d")
		return
	}
	plan := c.cfg.Plan()
	if plan.Timeout < time.Second || plan.Timeout > maxTimeout {
		plan.Timeout = time.Minute // its fault stands at limits already
	}
	if err := plan.Check(); err != nil {
		for _, p := range problems(err) {
			c.doc.Add(strictyaml.Key("schedule", p.Key), p.Problem, p.Remedy)
		}
		return
	}
	_, longest, err := plan.Gaps(aYear)
	if err != nil {
		c.doc.Add("schedule.cron", err.Error(), "write a schedule with at least two runs a year")
		return
	}
	if least := longest + plan.Jitter + plan.Timeout; c.cfg.MaxAge < least {
		has := fmt.Sprintf("%s is shorter than evidence has to last", rules.Span(c.cfg.MaxAge))
		const at = "max_age"
		key := at
		if !c.doc.Has(at) {
			// The default did not make itself too short: somebody made evidence have to last longer.
			has = fmt.Sprintf("evidence has to last longer than max_age, which is %s unless it is written", rules.Span(c.cfg.MaxAge))
			key = c.longestWritten(map[string]time.Duration{
				"schedule.cron": longest, "schedule.jitter": plan.Jitter, "limits.run_timeout": plan.Timeout,
			})
		}
		c.doc.Add(key, fmt.Sprintf("%s: up to %s between two runs, %s of jitter and %s for a run",
			has, rules.Span(longest), rules.Span(plan.Jitter), rules.Span(plan.Timeout)),
			fmt.Sprintf("write max_age: %s or more, and better twice the pause so that one failed run does no harm; or run more often",
				rules.Span(least)))
	}
}

// checkState checks what is kept of the past. Whether the directory can be used is known when it is opened.
func (c *configCheck) checkState() {
	if c.cfg.StateDir == "" && c.doc.Has("state_dir") {
		c.doc.Add("state_dir", "is empty", "name a directory, relative to this file's folder, or delete it")
	}
	if keep := c.cfg.History.Keep; keep < 24*time.Hour || keep > 3650*24*time.Hour {
		c.doc.Add("history.keep", fmt.Sprintf("%s is out of range", rules.Span(keep)), "write a duration from 1d to 3650d")
	}
}

// longestWritten is the key of the longest span among those that are written.
func (c *configCheck) longestWritten(spans map[string]time.Duration) string {
	longest := "max_age"
	for _, key := range slices.Sorted(maps.Keys(spans)) {
		if c.doc.Has(key) && spans[key] > spans[longest] {
			longest = key
		}
	}
	return longest
}

// problems are the faults that an error of a plan's check is made of.
func problems(err error) []schedule.Problem {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []schedule.Problem
		for _, e := range many.Unwrap() {
			all = append(all, problems(e)...)
		}
		return all
	}
	if p, ok := errors.AsType[schedule.Problem](err); ok {
		return []schedule.Problem{p}
	}
	return []schedule.Problem{{Key: "cron", Problem: err.Error(), Remedy: "write a schedule such as */15 * * * *"}}
}

// checkListen checks where metrics and pages are served.
func (c *configCheck) checkListen() {
	l := c.cfg.Listen
	if err := CheckAddress(l.Address); err != nil {
		c.doc.Add("listen.address", err.Error(), "write host:port, such as 127.0.0.1:9878, or :9878 for every address of the machine")
	}
	for i, h := range l.Hosts {
		if h == "" || strings.ContainsAny(h, ":/@ *") || strings.TrimSpace(h) != h {
			c.doc.Add(strictyaml.Index("listen.hosts", i), fmt.Sprintf("%q is no host name", h),
				"write the name as it stands in the browser, without scheme and port")
		}
	}
	if c.doc.Has("listen.web_config") {
		c.cfg.Listen.WebConfig = c.path(l.WebConfig)
		if err := web.CheckConfig(c.cfg.Listen.WebConfig); err != nil {
			c.doc.Add("listen.web_config", fmt.Sprintf("the file %q cannot be used: %s", c.cfg.Listen.WebConfig, reason(err)),
				"write it as the exporter-toolkit of Prometheus describes (tls_server_config, basic_auth_users)")
		}
	}
	if c.doc.Has("listen.pprof_socket") {
		c.cfg.Listen.PprofSocket = c.path(l.PprofSocket)
		if n := web.SocketLength(c.cfg.Listen.PprofSocket); n > maxSocketPath {
			c.doc.Add("listen.pprof_socket", fmt.Sprintf("the path, or the one beside it at which the socket is made, is %d bytes too long",
				n-maxSocketPath), "name a socket in a shorter folder")
		}
	}
}

// maxSocketPath is how long the path of a socket may be everywhere.
const maxSocketPath = 100

// CheckAddress says what is wrong with an address to serve at: host:port, the host an address of a machine or nothing.
func CheckAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("%q is no port", port)
	}
	if _, err := netip.ParseAddr(host); host != "" && host != "localhost" && err != nil {
		return fmt.Errorf("%q is no address of this machine", host)
	}
	return nil
}

// Loopback says whether only this machine can reach the address.
func (l ListenConfig) Loopback() bool {
	host, _, _ := net.SplitHostPort(l.Address)
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Guards are what clients are asked for, as the web config is now.
func (l ListenConfig) Guards() web.Guards {
	if l.WebConfig == "" {
		return web.Guards{}
	}
	return web.GuardsOf(l.WebConfig)
}

// Scheme is how the address is asked: http or https.
func (l ListenConfig) Scheme() string {
	if l.Guards().TLS {
		return "https"
	}
	return "http"
}

// Exposed says that others than this machine can reach the address, and need nothing to be answered.
func (l ListenConfig) Exposed() bool { return !l.Loopback() && !l.Guards().Closed() }

// ExposedWarning is what to say of an address that is exposed.
const ExposedWarning = "everyone who can reach this address can see where the accounts are weak: " +
	"name a listen.web_config with basic_auth_users, or keep others away by the network"

func (l ListenConfig) equal(other ListenConfig) bool {
	return l.Address == other.Address && l.WebConfig == other.WebConfig && l.PprofSocket == other.PprofSocket &&
		slices.Equal(l.Hosts, other.Hosts)
}

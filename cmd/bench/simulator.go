package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

const (
	agencyName = "ServiceAgencyForCOC"
	seed       = 1
	// startPatience is how long the simulator may take until it serves.
	startPatience = 2 * time.Minute
)

// simulator is a simulated cloud in a process of its own, with a fleet in it whose every account is compliant.
type simulator struct {
	accounts int
	url      string
	control  string
	// fleetFile is the fleet for the bare clients, configFile the configuration for the program, which finds the keys in
	// the environment variables of keys.
	fleetFile, configFile string
	keys                  []string

	cmd    *exec.Cmd
	drain  chan struct{}
	client *http.Client
}

// startSimulator has the built program serve n accounts, and writes what the clients need into dir. more are arguments of its own.
func startSimulator(ctx context.Context, program string, n int, latency time.Duration, dir string, more ...string) (s *simulator, err error) {
	cmd := exec.CommandContext(ctx, program, append([]string{
		"simcloud", "--generate", strconv.Itoa(n), "--seed", strconv.Itoa(seed), "--steady", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0",
	}, more...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the simulator: %w", err)
	}
	s = &simulator{accounts: n, cmd: cmd, drain: make(chan struct{}), client: &http.Client{Timeout: time.Minute}}
	found := make(chan []string, 1)
	go func() {
		defer close(s.drain)
		found <- addresses(stdout)
		_, _ = io.Copy(io.Discard, stdout) // so that the simulator never waits for a reader
	}()
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	var urls []string
	select {
	case urls = <-found:
	case <-time.After(startPatience):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if len(urls) != 2 {
		return nil, errors.New("the simulator did not say its two addresses")
	}
	s.url, s.control = urls[0], urls[1]
	settings := fmt.Sprintf(`{"latency": %q}`, latency)
	if _, err := s.ask(ctx, http.MethodPut, "/settings", settings, http.StatusNoContent); err != nil {
		return nil, err
	}
	return s, s.prepare(urls[0], dir)
}

var addressPattern = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// addresses reads the first two addresses of what the simulator says: the cloud's and the control port's.
func addresses(r io.Reader) []string {
	var urls []string
	for lines := bufio.NewScanner(r); len(urls) < 2 && lines.Scan(); {
		urls = append(urls, addressPattern.FindAllString(lines.Text(), -1)...)
	}
	return urls
}

// prepare writes the fleet and the configuration. The simulator keeps its secrets to itself, but the same seed makes the
// same organization here.
func (s *simulator) prepare(url, dir string) error {
	cloud, err := simcloud.New(simcloud.GenerateSteady(seed, s.accounts))
	if err != nil {
		return err
	}
	f := fleet{URL: url, Agency: agencyName}
	var config strings.Builder
	fmt.Fprintf(&config, "cloud: {site: custom, endpoints: {iam: %q}, rate: {per_account: 0, total: 0}}\nlimits: {run_timeout: 1h}\n"+
		"max_age: 3h\naccounts:\n  static:\n", url)
	for i, a := range cloud.Organization().Accounts {
		m := member{ID: a.ID, Name: a.Name, Access: a.Users[0].Keys[0].Access, Secret: a.Users[0].Keys[0].Secret}
		for _, agency := range a.Agencies {
			if agency.Name == agencyName {
				m.AgencyID = agency.ID
			}
		}
		f.Accounts = append(f.Accounts, m)
		fmt.Fprintf(&config, "    - {name: %q, id: %q, require_agency: true, access: {via: keys, ak_env: A%d, sk_env: S%d}}\n",
			m.Name, m.ID, i, i)
		s.keys = append(s.keys, fmt.Sprintf("A%d=%s", i, m.Access), fmt.Sprintf("S%d=%s", i, m.Secret))
	}
	data, err := json.Marshal(f)
	if err != nil {
		return err
	}
	s.fleetFile, s.configFile = filepath.Join(dir, "fleet.json"), filepath.Join(dir, "agencyaudit.yaml")
	if err := os.WriteFile(s.fleetFile, data, 0o600); err != nil {
		return err
	}
	return os.WriteFile(s.configFile, []byte(config.String()), 0o600)
}

// stop ends the simulator and waits for it.
func (s *simulator) stop() error {
	err := s.cmd.Cancel()
	<-s.drain
	if waited := s.cmd.Wait(); waited != nil && s.cmd.ProcessState == nil {
		err = errors.Join(err, waited)
	}
	return err
}

func (s *simulator) resetCounters(ctx context.Context) error {
	_, err := s.ask(ctx, http.MethodPost, "/counters/reset", "", http.StatusNoContent)
	return err
}

// sixOperations are what the six requests are.
var sixOperations = map[string]bool{
	"ListAgencies": true, "ShowDomainRoleAssignments": true, "ListAttachedAgencyPoliciesV5": true,
}

// requests returns how many of the six requests all accounts together were asked, and how many others. Each account must
// have been asked six, and no request may have been refused.
func (s *simulator) requests(ctx context.Context) (own, others int, err error) {
	data, err := s.ask(ctx, http.MethodGet, "/counters", "", http.StatusOK)
	if err != nil {
		return 0, 0, err
	}
	return countRequests(data, s.accounts)
}

func countRequests(data []byte, accounts int) (own, others int, err error) {
	var counters []simcloud.Counter
	if err := json.Unmarshal(data, &counters); err != nil {
		return 0, 0, fmt.Errorf("read the simulator's counters: %w", err)
	}
	each := map[string]int{}
	for _, c := range counters {
		switch {
		case len(c.Refused) > 0:
			return 0, 0, fmt.Errorf("account %s: %s was refused: %v", c.Account, c.Operation, c.Refused)
		case sixOperations[c.Operation]:
			each[c.AccountID] += c.OK
			own += c.OK
		default:
			others += c.OK
		}
	}
	if len(each) != accounts {
		return 0, 0, fmt.Errorf("%d accounts of %d were asked anything", len(each), accounts)
	}
	for id, n := range each {
		if n != 6 {
			return 0, 0, fmt.Errorf("account %s was asked %d of the six requests", id, n)
		}
	}
	return own, others, nil
}

// ask sends one request to the control port, and fails unless it is answered with the status.
func (s *simulator) ask(ctx context.Context, method, path, body string, status int) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.control+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the simulator: %w", err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != status {
		err = fmt.Errorf("%s %s: %s", method, path, res.Status)
	}
	return data, err
}

// checkReport fails unless the program's report says that every account is compliant.
func (s *simulator) checkReport(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var report struct {
		Run struct {
			States map[string]int `json:"states"`
		} `json:"run"`
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return fmt.Errorf("read the report: %w", err)
	}
	total := 0
	for _, n := range report.Run.States {
		total += n
	}
	if report.Run.States["compliant"] != s.accounts || total != s.accounts {
		return fmt.Errorf("the report has the states %v instead of %d compliant accounts", report.Run.States, s.accounts)
	}
	return nil
}

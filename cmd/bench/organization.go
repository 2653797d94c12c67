package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// ways are those into the members of an organization: each for all of them, and all at once. members is what the simulator's flag
// of that name takes.
var ways = [...]struct {
	title, members string
	mixed          bool
}{
	{"IAM", "iam", false},
	{"STS", "sts", false},
	{"STS, with an external id", "trust", false},
	{"a third each", "sts", true},
}

// organization measures two runs of a daemon over the n accounts of an organization, for each way into them. It is given the
// management account's key and nothing else.
func (o options) organization(ctx context.Context, n int, out io.Writer) error {
	fmt.Fprintf(out, "\norganization, %d accounts, listed and entered by the management account's key\n\n", n)
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| entered by\t| run\t| wall s\t| requests\t| IAM\t| STS\t| Organizations\t| keys made\t| peak MiB so far\t|")
	fmt.Fprintln(w, "| ---\t| ---\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t| ---:\t|")
	for _, way := range ways {
		if err := o.enterBy(ctx, n, way.title, way.members, way.mixed, w); err != nil {
			return fmt.Errorf("entered by %s: %w", way.title, err)
		}
	}
	return w.Flush()
}

// enterBy measures one way.
func (o options) enterBy(ctx context.Context, n int, title, members string, mixed bool, w io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "agencyaudit-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	config := filepath.Join(dir, "organization.yaml")
	sim, err := startSimulator(ctx, o.program, n, o.latency, dir, "--members", members, "--config-out", config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sim.stop()) }()
	env, err := sim.organizationConfig(config, mixed)
	if err != nil {
		return err
	}
	d, err := o.startDaemon(ctx, config, env)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.cmd.Cancel(), ended(d)) }()
	for _, run := range []string{"first", "second"} {
		line, err := d.next(ctx, "run ended")
		if err != nil {
			return err
		}
		t, err := sim.tally(ctx)
		if err == nil {
			err = sim.resetCounters(ctx)
		}
		if err != nil {
			return fmt.Errorf("the %s run: %w", run, err)
		}
		if line["compliant"] != float64(n) || line["complete"] != true {
			return fmt.Errorf("the %s run found %v of %d accounts compliant", run, line["compliant"], n)
		}
		if err := t.check(n, run == "first"); err != nil {
			return fmt.Errorf("the %s run: %w", run, err)
		}
		wall, err := duration(line)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "| %s\t| %s\t| %.2f\t| %d\t| %d\t| %d\t| %d\t| %d\t| %.0f\t|\n", title, run, wall.Seconds(),
			t.iam+t.sts+t.organizations, t.iam, t.sts, t.organizations, t.keys, d.memory("VmHWM"))
		title = ""
	}
	return nil
}

// organizationConfig adds to the configuration that the simulator wrote what a daemon needs and, if the ways are mixed, a file of
// the accounts that are not entered like the others. It returns the environment with the one key.
func (s *simulator) organizationConfig(file string, mixed bool) ([]string, error) {
	config, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.Write(config)
	org := simcloud.GenerateSteady(seed, s.accounts)
	if mixed {
		list := filepath.Join(filepath.Dir(file), "accounts.yaml")
		if err := os.WriteFile(list, otherWays(org), 0o600); err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "  file: %q\n", list) // below accounts, which comes last
	}
	every := max(time.Duration(s.accounts)*10*time.Millisecond, 3*time.Second).Truncate(time.Second)
	fmt.Fprintf(&b, "schedule: {cron: \"@every %s\", jitter: 0s, drain: 0s}\nmax_age: 24h\nlimits: {run_timeout: 1h}\n"+
		"listen: {address: \"127.0.0.1:0\"}\n", every)
	key := org.Accounts[0].Users[0].Keys[0]
	return []string{"HUAWEICLOUD_SDK_AK=" + key.Access, "HUAWEICLOUD_SDK_SK=" + key.Secret}, os.WriteFile(file, []byte(b.String()), 0o600)
}

// otherWays lists two of three members, the one to be entered through IAM, the other through STS with an external id.
func otherWays(org *simcloud.Organization) []byte {
	var b strings.Builder
	b.WriteString("accounts:\n")
	for i, a := range org.Accounts[1:] {
		trusting := slices.IndexFunc(a.Agencies, func(g simcloud.Agency) bool { return g.TrustPolicy != nil })
		access := "{via: iam, agency: AgencyAuditReader}"
		switch {
		case i%3 == 0 || trusting < 0:
			continue
		case i%3 == 1:
			access = fmt.Sprintf("{via: sts, agency: %q, external_id: %q}", a.Agencies[trusting].Name, a.Agencies[trusting].TrustPolicy.ExternalID)
		}
		fmt.Fprintf(&b, "  - {name: %q, id: %q, require_agency: true, access: %s}\n", a.Name, a.ID, access)
	}
	return []byte(b.String())
}

// tally is how many requests each service answered.
type tally struct {
	iam, sts, organizations int
	// keys are the temporary keys among them that were made, by whichever service.
	keys int
	// own and others are what countRequests says.
	own, others int
}

// services are those of the operations that are not IAM's.
var services = map[string]func(*tally) *int{
	"AssumeAgency": func(t *tally) *int { return &t.sts }, "GetCallerIdentity": func(t *tally) *int { return &t.sts },
	"ShowOrganization": organizations, "ListRoots": organizations, "ListOrganizationalUnits": organizations, "ListAccounts": organizations,
	"ListTagsForResource": organizations,
}

func organizations(t *tally) *int { return &t.organizations }

// tally asks the simulator what it counted.
func (s *simulator) tally(ctx context.Context) (tally, error) {
	data, err := s.ask(ctx, http.MethodGet, "/counters", "", http.StatusOK)
	if err != nil {
		return tally{}, err
	}
	return countServices(data, s.accounts)
}

func countServices(data []byte, accounts int) (t tally, err error) {
	if t.own, t.others, err = countRequests(data, accounts); err != nil {
		return t, err
	}
	var counters []simcloud.Counter
	if err := json.Unmarshal(data, &counters); err != nil {
		return t, fmt.Errorf("read the simulator's counters: %w", err)
	}
	for _, c := range counters {
		of := &t.iam
		if other := services[c.Operation]; other != nil {
			of = other(&t)
		}
		*of += c.OK
		if c.Operation == "AssumeAgency" || c.Operation == "CreateTemporaryAccessKeyByAgency" {
			t.keys += c.OK
		}
	}
	return t, nil
}

// check fails unless the first run over an organization entered each of its members once, and a later one none, asking STS for
// nothing at all. Either lists the organization.
func (t tally) check(accounts int, first bool) error {
	members := accounts - 1 // the management account is read with its own key
	switch {
	case t.organizations == 0:
		return errors.New("the organization was not listed")
	case first && t.keys != members:
		return fmt.Errorf("%d temporary keys were made for %d members", t.keys, members)
	case !first && t.keys != 0:
		return fmt.Errorf("%d temporary keys were made, with those of the run before at hand", t.keys)
	case !first && t.sts != 0:
		return fmt.Errorf("STS was asked %d times, with keys of the run before at hand", t.sts)
	case t.own != 6*accounts:
		return fmt.Errorf("%d of %d requests", t.own, 6*accounts)
	}
	return nil
}

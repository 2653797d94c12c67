// Command dashboards asks a Prometheus all that the dashboards of deploy/grafana ask, as Grafana would: the queries of their variables,
// annotations and panels, with the variables in their places. None may be refused. Which must have an answer in which state of the
// auditor stands in deploy/grafana/check/expected.yaml; in some of the states no other may have one, so that the table cannot be
// too lax. With -html it writes each dashboard's grid of panels with the answers in it, as a page to look at. With -figures it says
// instead what one panel shows, so that the auditor's own page can be held against that.
//
// .ci/grafana brings the auditor into each state.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/goccy/go-yaml"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

// expectations say in which states what a dashboard asks has an answer, by the dashboard and by the names of asks.
type expectations struct {
	// States are all states, in the order in which they come.
	States []string `yaml:"states"`
	// Exact are those in which nothing else than what is written has an answer.
	Exact      []string                       `yaml:"exact"`
	Dashboards map[string]map[string][]string `yaml:"dashboards"`
}

// Two words stand for several states: silent is the one in which the auditor does not answer.
const (
	everywhere = "always" // but in silent
	ever       = "ever"
	silent     = "silent"
)

func expect(file string) (expectations, error) {
	var e expectations
	text, err := os.ReadFile(file)
	if err != nil {
		return e, err
	}
	err = yaml.UnmarshalWithOptions(text, &e, yaml.Strict())
	return e, err
}

// in says whether there has to be an answer in a state.
func (e expectations) in(board, ask, state string) bool {
	states := e.Dashboards[board][ask]
	return slices.Contains(states, state) || slices.Contains(states, ever) || state != silent && slices.Contains(states, everywhere)
}

func run(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("dashboards", flag.ContinueOnError)
	root := f.String("root", "deploy/grafana", "the `folder` of the dashboards and of what is expected of them")
	base := f.String("prometheus", "http://127.0.0.1:9090", "the `address` of Prometheus")
	state := f.String("state", "", "the `name` of the state that the auditor is in")
	job := f.String("job", "agencyaudit", "the `job` by which Prometheus scrapes the auditor")
	instance := f.String("instance", "", "the auditor's `address`, as Prometheus names it")
	account := f.String("account", "", "the `id` of the account that is shown alone")
	span := f.Duration("span", 5*time.Minute, "the `time` that is shown")
	figures := f.String("figures", "", "say what one panel shows, as `DASHBOARD/TITLE`, and ask nothing else")
	html := f.String("html", "", "write pages to look at into this `folder`")
	if err := f.Parse(args); err != nil {
		return err
	}
	expected, err := expect(filepath.Join(*root, "check", "expected.yaml"))
	if err != nil {
		return err
	}
	all, err := boards(filepath.Join(*root, "dashboards"))
	if err != nil {
		return err
	}
	fixed := map[string]string{"job": *job, "instance": *instance, "account_id": *account}
	if *figures != "" {
		a := &asker{ctx: ctx, base: *base, now: time.Now(), span: *span}
		return a.figures(all, *figures, fixed, out)
	}
	if !slices.Contains(expected.States, *state) {
		return fmt.Errorf("%q is none of the states %q", *state, expected.States)
	}
	var faults []error
	asked, answered := 0, 0
	for i := range all {
		b := &all[i]
		fault := func(what string, err error) { faults = append(faults, fmt.Errorf("%s, %s: %w", b.name, what, err)) }
		judge := func(what string, has bool) {
			asked++
			if has {
				answered++
			}
			switch must := expected.in(b.name, what, *state); {
			case must && !has:
				fault(what, errors.New("no answer"))
			// Annotations are about what was: silence has the marks of before.
			case !must && has && slices.Contains(expected.Exact, *state) && !(*state == silent && strings.HasPrefix(what, "annotation ")):
				fault(what, errors.New("an answer where expected.yaml says that there is none"))
			}
		}
		// "All" and everything that there is have to show the same, unless what is shown has no unit, owner or policy.
		for _, oneByOne := range []bool{false, true} {
			a := &asker{ctx: ctx, base: *base, now: time.Now(), span: *span}
			offered, err := a.choose(b.Templating.List, oneByOne, fixed)
			if err != nil {
				fault("choosing", err)
				continue
			}
			for name, options := range offered {
				judge("variable "+name, len(options) > 0)
			}
			if *state == expected.States[0] {
				if err := a.alone(b.Templating.List, offered); err != nil {
					fault("choosing", err)
				}
			}
			for _, an := range b.Annotations.List {
				rows, err := a.ask(an.Target)
				if err != nil {
					fault(an.Name, err)
				}
				judge("annotation "+an.Name, len(rows) > 0)
			}
			answers := map[int][][]row{}
			for _, p := range b.Panels {
				has := false
				for _, q := range p.Targets {
					rows, err := a.ask(q)
					if err != nil {
						fault(p.Title, err)
					}
					has = has || len(rows) > 0
					answers[p.ID] = append(answers[p.ID], rows)
				}
				if p.Type != "row" {
					judge(p.Title, has)
				}
			}
			if *html != "" && !oneByOne {
				page, err := b.page(a, answers)
				if err == nil {
					err = os.WriteFile(filepath.Join(*html, b.name+".html"), page, 0o600)
				}
				if err != nil {
					return err
				}
			}
		}
	}
	if len(faults) > 0 {
		return fmt.Errorf("%s: %w", *state, errors.Join(faults...))
	}
	_, err = fmt.Fprintf(out, "%s: %d were asked, none was refused, %d had an answer, and all of those that must\n", *state, asked, answered)
	return err
}

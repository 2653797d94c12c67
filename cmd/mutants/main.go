// Command mutants breaks the program on purpose, one way after the other, and has the tests find out.
//
// Each mutant is a mistake that this program or one of its kind could make in reading or in remembering: nothing taken for an
// empty list, a second page left out, a refusal taken for absence, good news that outlives a restart. It is a replacement in
// one file, which the Go tool is given as an overlay, so that the tree itself stays as it is. A mutant is caught when a test
// fails; one that survives, does not compile or no longer fits the code makes the command fail.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// mutant is one mistake: in file, a path from the module's root, old stands exactly once and is replaced by new.
type mutant struct {
	name string
	// what says what the mistake is, as the rest of "what if …".
	what     string
	file     string
	old, new string
	// hangs says that the mistake may keep a test from ending. For any other that says nothing: the machine may be slow.
	hangs bool
	// by is the stage that is expected to catch it, and that it meets before all others; empty when there is none of its own.
	by string
}

// stage is a group of tests that mutants are shown to.
type stage struct {
	name string
	// pkg and tests are arguments of go test.
	pkg, tests string
	// asked says that only mutants that name it meet it.
	asked bool
}

// stages are all of them, in the order in which a mutant meets them until it is caught.
var stages = []stage{
	{name: "lists", pkg: "./auditor/huawei", tests: "Page|List|Loop", asked: true},
	{name: "organization", pkg: "./auditor/huawei", tests: "Organization|Tag|Status|Unit|TestParsers/organization", asked: true},
	{
		name: "access", pkg: "./auditor/huawei", asked: true,
		tests: "STS|Trust|Secret|Whose|Server|Pod|Source|Identity|Endpoint|Address|Config|Site|Key|Expir|Access|Members",
	},
	{name: "writes", pkg: "./auditor/huawei", tests: "Step|WhatIs|ARefusalSays|OnlyAWriter|ReadTwice", asked: true},
	{name: "doctor", pkg: "./auditor/huawei", tests: "Probe|Writes|Reads|Operation", asked: true},
	{name: "inventory", pkg: "./auditor/daemon", tests: "Account|List|Organization|Remember|Refus|Choose|Reload|Tags", asked: true},
	{name: "configuration", pkg: "./auditor/daemon", tests: "Config|Secret|Credential|Keys|Profile|Endpoint", asked: true},
	{name: "past", pkg: "./auditor/daemon", tests: "Restart|Waiver|State|History|FileLost|Disk|Clock", asked: true},
	{name: "history", pkg: "./auditor/history", tests: ".", asked: true},
	{name: "ledger", pkg: "./auditor/remedy", tests: "Ledger|Cut|Plain|Written", asked: true},
	{
		name: "repair", pkg: "./auditor/remedy", asked: true,
		tests: "^Test(Limits|Day|TwoPlans|Waves|Holds|Suspect|Modes|Answers|Estranged|Moved|LedgerFails|Killed|Cooling|Flips|Refused|" +
			"Grace|Waiver|OwnWrites|Start|BigPlan|Approv|Claimed|Held|Nothing|ARun|Another|AKillSwitch|AFleet|AReading|Waiting|OldPlan|PlanFile|Undo|Repairs)",
	},
	{
		name: "restarts", pkg: "./cmd/agencyaudit", asked: true,
		tests: "^Test(KilledDaemon|AfterAKill.*|ASecondDaemon.*|ADamagedHistory.*|ADiskThatIsFull.*)$",
	},
	{name: "worlds", pkg: "./auditor/huawei", tests: "^TestWorlds"},
	{name: "reader", pkg: "./auditor/huawei", tests: "."},
	{name: "core", pkg: "./rules", tests: "."},
	{name: "auditor", pkg: "./auditor", tests: "."},
	{name: "metrics", pkg: "./auditor/metrics", tests: "."},
	{name: "daemon", pkg: "./auditor/daemon", tests: "."},
	{name: "faults", pkg: "./cmd/agencyaudit", tests: "^TestFault"},
}

// stages are those that the mutant meets, in that order.
func (m mutant) stages() []stage {
	var own, common []stage
	for _, s := range stages {
		switch {
		case s.name == m.by:
			own = append(own, s)
		case !s.asked:
			common = append(common, s)
		}
	}
	return append(own, common...)
}

// patience is how long one stage may take: a mutant may also hang.
const patience = 5 * time.Minute

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	some := flags.Int("n", 0, "try so many, chosen at random; 0 for all")
	seed := flags.Uint64("seed", 0, "choose as this seed says; 0 for another choice each time")
	only := flags.String("run", "", "try those whose name matches this expression")
	if err := flags.Parse(args); err != nil {
		return err
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !pattern.MatchString(m.name) })
	if len(chosen) == 0 {
		return fmt.Errorf("no mutant is called like %q", *only)
	}
	if *some > 0 && *some < len(chosen) {
		if *seed == 0 {
			*seed = rand.Uint64()
		}
		r := rand.New(rand.NewPCG(*seed, *seed))
		r.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		chosen = chosen[:*some]
		fmt.Fprintf(out, "%d of %d mutants; the same ones again with -n %d -seed %d\n", *some, len(mutants), *some, *seed)
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	none := filepath.Join(dir, "none.json")
	if err := os.WriteFile(none, []byte("{}"), 0o600); err != nil {
		return err
	}
	// What a test finds in an unbroken tree says nothing about a mutant, and would count for each of them.
	sound := map[string]bool{}
	check := func(s stage) error {
		if sound[s.name] {
			return nil
		}
		fmt.Fprintf(out, "       the tests of %s, of an unbroken tree …\n", s.name)
		if text, err := s.test(ctx, root, none); err != nil {
			return fmt.Errorf("%s: the tests fail as it is: %w\n%s", s.name, err, tail(text))
		}
		sound[s.name] = true
		return nil
	}
	var failed []error
	caught := 0
	for i, m := range chosen {
		fmt.Fprintf(out, "%2d/%d  %-28s what if %s\n", i+1, len(chosen), m.name, m.what)
		started := time.Now()
		how, err := m.try(ctx, root, dir, check)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		verdict := "caught"
		if err != nil {
			verdict, how = "FAILED", err.Error()
			failed = append(failed, fmt.Errorf("%s: %w", m.name, err))
		} else {
			caught++
		}
		fmt.Fprintf(out, "       %s in %.0f s: %s\n", verdict, time.Since(started).Seconds(), how)
	}
	fmt.Fprintf(out, "%d of %d mutants caught\n", caught, len(chosen))
	return errors.Join(failed...)
}

// moduleRoot is the folder of go.mod.
func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if !filepath.IsAbs(file) {
		return "", errors.New("run it inside of the module")
	}
	return filepath.Dir(file), nil
}

// apply returns the mutated file.
func (m mutant) apply(source []byte) ([]byte, error) {
	switch n := bytes.Count(source, []byte(m.old)); {
	case m.old == m.new:
		return nil, errors.New("it changes nothing")
	case n == 0:
		return nil, fmt.Errorf("%s no longer has the text that it replaces", m.file)
	case n > 1:
		return nil, fmt.Errorf("%s has the text that it replaces %d times", m.file, n)
	}
	return bytes.Replace(source, []byte(m.old), []byte(m.new), 1), nil
}

// try shows the mutant to one stage after the other, and says which test caught it. check says what is wrong with a stage's tests as
// they are.
func (m mutant) try(ctx context.Context, root, dir string, check func(stage) error) (string, error) {
	file := filepath.Join(root, filepath.FromSlash(m.file))
	source, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	mutated, err := m.apply(source)
	if err != nil {
		return "", err
	}
	copied := filepath.Join(dir, m.name+".go")
	if err := os.WriteFile(copied, mutated, 0o600); err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: copied}})
	if err != nil {
		return "", err
	}
	list := filepath.Join(dir, m.name+".json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return "", err
	}
	for _, s := range m.stages() {
		if err := check(s); err != nil {
			return "", err
		}
		out, err := s.test(ctx, root, list)
		switch {
		case err == nil:
			continue
		case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("[setup failed]")):
			return "", fmt.Errorf("it does not compile:\n%s", out)
		}
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			return "", err
		}
		switch says := verdict(out); {
		case says != "":
			return s.name + ": " + says, nil
		case m.hangs && timeout.Match(out):
			return s.name + ": it does not end", nil
		}
		return "", fmt.Errorf("the tests of %s ended without saying that one failed:\n%s", s.name, tail(out))
	}
	return "", errors.New("it survived every test")
}

// test runs the stage's tests over an overlay. The programs that they build are built over it as well.
func (s stage) test(ctx context.Context, root, overlay string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-failfast", "-short", "-timeout", patience.String(), "-run", s.tests, s.pkg)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay)
	return cmd.CombinedOutput()
}

var (
	failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	message = regexp.MustCompile(`(?m)^\s+\S+_test\.go:\d+: (.+)$`)
	crash   = regexp.MustCompile(`(?m)^(panic: .+|fatal error: .+)$`)
)

// timeout is what go test says when it has waited long enough.
var timeout = regexp.MustCompile(`(?m)^panic: test timed out after `)

// verdict finds in a test's output who complained, and the beginning of what it said; nothing when nobody did.
func verdict(out []byte) string {
	var parts []string
	all := failure.FindAllSubmatch(out, -1)
	if len(all) > 0 {
		parts = append(parts, string(all[len(all)-1][1])) // the innermost one
	}
	if at := message.FindSubmatch(out); len(all) > 0 && at != nil {
		parts = append(parts, string(at[1]))
	} else if at := crash.FindSubmatch(out); at != nil && !timeout.Match(out) {
		parts = append(parts, string(at[1]))
	}
	text := strings.Join(parts, ": ")
	if len(text) > 160 {
		text = strings.ToValidUTF8(text[:160], "") + "…"
	}
	return text
}

// tail is the end of an output.
func tail(out []byte) []byte { return out[max(0, len(out)-2000):] }

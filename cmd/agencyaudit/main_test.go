package main

import (
	"bufio"
	"bytes"
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
	"testing"
	"time"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"agencyaudit": main, "leaky": leak})
}

// TestScripts drives the built program: testdata/script/*.txtar, one file for each command or concern.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("TERM", "xterm")
			expected, err := filepath.Abs(expectedFile)
			e.Setenv("EXPECTED", expected)
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "simulate": simulate, "control": control, "mode": mode, "widest": widest,
			"asexpected": asExpected, "requests": requestsOf, "chronicle": writeChronicle,
		},
	})
}

// exits runs a program and wants that exit code: exits 3 agencyaudit audit.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARGUMENT...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d\nstdout:\n%s\nstderr:\n%s", got, want, ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

var (
	cloudLine   = regexp.MustCompile(`(?m)^  cloud    (\S+)$`)
	controlLine = regexp.MustCompile(`(?m)^  control  (\S+)$`)
	exportLine  = regexp.MustCompile(`(?m)^  export (\w+)=(\S+)$`)
)

// simulate starts `agencyaudit simcloud` with the arguments as a process of its own on free ports, reads from its output
// where it listens and by which key it is audited, and ends it by an interrupt when the script is over. It sets CLOUD,
// CONTROL and the key's variables, and leaves the output in the file simcloud.out.
func simulate(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("unsupported: ! simulate")
	}
	program, err := os.Executable()
	ts.Check(err)
	cmd := &exec.Cmd{
		Path: program, Dir: ts.MkAbs("."), Env: []string{"HOME=" + ts.MkAbs(".")},
		Args: append([]string{"agencyaudit", "simcloud", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"}, args...),
	}
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	var said strings.Builder
	lines := bufio.NewReader(out)
	for !strings.Contains(said.String(), "Ctrl-C ends it.") {
		line, err := lines.ReadString('\n')
		said.WriteString(line)
		if err != nil {
			_ = cmd.Wait()
			ts.Fatalf("simcloud ended early: %v\n%s%s", err, said.String(), complaints.String())
		}
	}
	ts.Defer(func() {
		ts.Check(cmd.Process.Signal(syscall.SIGINT))
		rest, err := io.ReadAll(lines)
		ts.Check(err)
		if err := cmd.Wait(); err != nil || len(rest) > 0 {
			ts.Fatalf("simcloud did not end in order: %v\n%s%s", err, rest, complaints.String())
		}
	})
	ts.Check(os.WriteFile(ts.MkAbs("simcloud.out"), []byte(said.String()), 0o600))
	ts.Setenv("CLOUD", cloudLine.FindStringSubmatch(said.String())[1])
	ts.Setenv("CONTROL", controlLine.FindStringSubmatch(said.String())[1])
	for _, m := range exportLine.FindAllStringSubmatch(said.String(), -1) {
		ts.Setenv(m[1], m[2])
	}
}

// writeChronicle records a history in a directory, whose runs are always the same: chronicle DIRECTORY [NAME...]. A name, in the
// syntax of Go's strings, is borne by an account more. ADDED and EXPIRES become dates for a waiver that is in force.
func writeChronicle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: chronicle DIRECTORY [NAME...]")
	}
	var names []string
	for _, arg := range args[1:] {
		name, err := strconv.Unquote(`"` + arg + `"`)
		ts.Check(err)
		names = append(names, name)
	}
	ts.Check(chronicleOf(ts.MkAbs(args[0]), names...))
	ts.Setenv("ADDED", time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly))
	ts.Setenv("EXPIRES", time.Now().UTC().AddDate(0, 0, 60).Format(time.DateOnly))
}

// control asks the simulator's control port: control GET /journal FILE writes the answer to the file, control POST /drift
// FILE sends the file.
func control(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: control METHOD PATH FILE")
	}
	var body io.Reader
	if args[0] != http.MethodGet {
		body = strings.NewReader(ts.ReadFile(args[2]))
	}
	req, err := http.NewRequest(args[0], ts.Getenv("CONTROL")+args[1], body)
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode >= 300 {
		ts.Fatalf("%s %s: %s: %s", args[0], args[1], resp.Status, answer)
	}
	if args[0] == http.MethodGet {
		ts.Check(os.WriteFile(ts.MkAbs(args[2]), answer, 0o600))
	}
}

// asExpected wants a JSON report of the bundled organization to say exactly what is written in its expectations:
// asexpected FILE.
func asExpected(ts *testscript.TestScript, neg bool, args []string) {
	want, err := readExpectations(ts.Getenv("EXPECTED"))
	ts.Check(err)
	found, err := differences([]byte(ts.ReadFile(args[0])), want)
	ts.Check(err)
	if (len(found) == 0) == neg {
		ts.Fatalf("%d differences\n%s", len(found), strings.Join(found, "\n"))
	}
}

// requestsOf wants the counters of the simulator to show exactly the six steady requests, all granted, for each of that
// many accounts, and nothing beside them but what all accounts share or are entered by: requests FILE ACCOUNTS.
func requestsOf(ts *testscript.TestScript, _ bool, args []string) {
	accounts, err := strconv.Atoi(args[1])
	ts.Check(err)
	var counters []struct {
		Account   string      `json:"account"`
		Operation string      `json:"operation"`
		OK        int         `json:"ok"`
		Refused   map[int]int `json:"refused"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &counters))
	steady := map[string]int{"ListAgencies": 1, "ShowDomainRoleAssignments": 4, "ListAttachedAgencyPoliciesV5": 1}
	seen := map[string]int{}
	for _, c := range counters {
		want, ok := steady[c.Operation]
		switch {
		case len(c.Refused) > 0:
			ts.Fatalf("%s in %s was refused: %v", c.Operation, c.Account, c.Refused)
		case ok && c.OK != want:
			ts.Fatalf("%s in %s was sent %d times, want %d", c.Operation, c.Account, c.OK, want)
		case ok:
			seen[c.Account] += c.OK
		case c.Operation == "KeystoneListPermissions", c.Operation == "KeystoneListAuthDomains",
			c.Operation == "CreateTemporaryAccessKeyByAgency":
		default:
			ts.Fatalf("%s was sent in %s", c.Operation, c.Account)
		}
	}
	if len(seen) != accounts {
		ts.Fatalf("%d accounts were read, want %d", len(seen), accounts)
	}
	for account, n := range seen {
		if n != 6 {
			ts.Fatalf("%s took %d requests", account, n)
		}
	}
}

// mode wants a file to have that mode: mode 0600 FILE.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%04o", info.Mode().Perm()); (got == args[0]) == neg {
		ts.Fatalf("%s has the mode %s", args[1], got)
	}
}

// widest wants the longest line of a file to have at most so many characters: widest 100 stdout.
func widest(ts *testscript.TestScript, neg bool, args []string) {
	most, err := strconv.Atoi(args[0])
	ts.Check(err)
	if line, n := longest(ts.ReadFile(args[1])); (n > most) != neg {
		ts.Fatalf("the longest line has %d characters: %s", n, line)
	}
}

// longest returns the longest line of a text and its number of characters. Finding ids are left out: they are whole, so that they
// can be copied.
func longest(text string) (line string, n int) {
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "Finding id: ") {
			continue
		}
		if c := utf8.RuneCountInString(l); c > n {
			line, n = l, c
		}
	}
	return line, n
}

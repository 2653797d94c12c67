package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// The kernel's own word that the program at work leaves no dump: its limits, and whose its files in /proc are. Those of a process
// that may not be dumped are root's, whoever runs it, and nobody else of the same user can look into its memory.
func TestTheProgramAtWorkCannotBeDumped(t *testing.T) {
	p := &process{out: &shared{}, err: &shared{}, ended: make(chan struct{})}
	p.cmd = &exec.Cmd{
		Path: "/proc/self/exe", Dir: "/", Env: []string{"HOME=/nonexistent"}, Stdout: p.out, Stderr: p.err,
		Args: []string{"agencyaudit", "simcloud", "--listen", "127.0.0.1:0", "--control", ""},
	}
	if os.Geteuid() == 0 { // whose files are root's in any case
		const nobody = 65534
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	p.start(t)
	within(t, "it is at work", func() string {
		if strings.Contains(p.out.String(), "Ctrl-C ends it.") {
			return ""
		}
		return "not yet: " + p.err.String()
	})
	proc := fmt.Sprintf("/proc/%d", p.cmd.Process.Pid)
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^Max core file size +0 +0 `).Match(limits) {
		t.Errorf("a dump would have room:\n%s", limits)
	}
	info, err := os.Stat(filepath.Join(proc, "environ"))
	if err != nil {
		t.Fatal(err)
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; owner != 0 {
		t.Errorf("its memory is user %d's to read", owner)
	}
}

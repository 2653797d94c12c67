package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestNoCoreDumps forbids them in a process of its own, which is this test once more.
func TestNoCoreDumps(t *testing.T) {
	const marker = "AGENCYAUDIT_TEST_CORE_DUMPS"
	if os.Getenv(marker) != "" {
		if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1, Max: 1}); err != nil {
			fmt.Println("no room for a dump in the first place:", err)
		}
		forbidCoreDumps()
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil {
			t.Fatal(err)
		}
		dumpable, err := unix.PrctlRetInt(unix.PR_GET_DUMPABLE, 0, 0, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("dumpable %d, limits %d and %d.\n", dumpable, limit.Cur, limit.Max)
		return
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^TestNoCoreDumps$")
	cmd.Env = append(os.Environ(), marker+"=1")
	out, err := cmd.CombinedOutput()
	if want := "dumpable 0, limits 0 and 0."; err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%v, %s, want %q", err, out, want)
	}
}

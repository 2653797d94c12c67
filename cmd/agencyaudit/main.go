// Command agencyaudit compares the permissions of cloud service agencies with baselines, in every account of an
// organization, and says what is missing, what is too much, and what could not be read. It changes nothing unless it is
// configured to put that right.
//
// docs/commands.md describes the commands, their exit codes and what they write where.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"
)

// version is set by the build: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	forbidCoreDumps()
	// Nothing of this program writes to the loggers that are everybody's, slog's and with it that of log. The library does: net/http
	// quotes there what a server sends after an answer, which may be the rest of it, with a key in it.
	slog.SetDefault(slog.New(slog.DiscardHandler)) //nolint:forbidigo // the library asks for no other
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan os.Signal, 1)
	signal.Notify(told, os.Interrupt, syscall.SIGTERM)
	// The first signal ends the work in order; a second one, whose handling is the system's again before anybody can know of the first,
	// ends the process.
	go func() {
		<-told
		signal.Stop(told)
		cancel()
	}()
	os.Exit(run(ctx, os.Args[1:], console{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		outTerminal: term.IsTerminal(int(os.Stdout.Fd())), errTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		inTerminal: term.IsTerminal(int(os.Stdin.Fd())),
		size:       func() (int, int, error) { return term.GetSize(int(os.Stdout.Fd())) },
		lookupEnv:  os.LookupEnv,
		notifyHangup: func() (<-chan os.Signal, func()) {
			c := make(chan os.Signal, 1)
			signal.Notify(c, syscall.SIGHUP)
			return c, func() { signal.Stop(c) }
		},
	}))
}

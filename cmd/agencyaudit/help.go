package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/agencyaudit/agencyaudit/auditor/report"
)

// help writes what there is to say about a command: what it does, how it is called, with examples, what is below it, and its
// flags. No line is wider than the terminal, or than 100 columns, but for commands, which are there to be copied.
func (a *app) help(cmd *cobra.Command, _ []string) {
	var b bytes.Buffer
	o := a.layout()
	say := func(lead, text string) { _ = report.Paragraph(&b, lead, text, o) } // a buffer takes everything
	for paragraph := range strings.SplitSeq(cmd.Long, "\n\n") {
		say("", strings.Join(strings.Fields(paragraph), " "))
		b.WriteByte('\n')
	}
	b.WriteString("Usage:\n")
	if cmd.Runnable() {
		say("  ", cmd.UseLine())
	}
	if cmd.HasAvailableSubCommands() {
		say("  ", cmd.CommandPath()+" [command]")
	}
	b.WriteString("\nExamples:\n")
	for line := range strings.Lines(cmd.Example) {
		line = strings.TrimRight(line, "\n")
		command, comment, found := strings.Cut(line, " # ")
		if found && len(line) > max(o.Width, report.MinWidth) {
			say("  # ", comment)
			line = strings.TrimRight(command, " ")
		}
		b.WriteString(line + "\n")
	}
	if cmd.HasAvailableSubCommands() {
		b.WriteString("\nAvailable Commands:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				say(fmt.Sprintf("  %-*s  ", c.NamePadding(), c.Name()), c.Short)
			}
		}
	}
	flags := func(title string, set *pflag.FlagSet) {
		if set.HasAvailableFlags() {
			fmt.Fprintf(&b, "\n%s:\n%s\n", title, strings.TrimRight(set.FlagUsagesWrapped(max(o.Width, report.MinWidth)), " \n"))
		}
	}
	flags("Flags", cmd.LocalFlags())
	flags("Global Flags", cmd.InheritedFlags())
	if cmd.HasAvailableSubCommands() {
		b.WriteByte('\n')
		say("", "Use \""+cmd.CommandPath()+" [command] --help\" for more information about a command.")
	}
	_, _ = b.WriteTo(a.out)
}

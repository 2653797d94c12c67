package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// build is what is known of how the program was built.
type build struct {
	Version string `json:"version"`
	// Commit and CommitTime are empty when the build did not stamp them.
	Commit     string `json:"commit"`
	CommitTime string `json:"commit_time"`
	// Modified says that the sources differed from the commit.
	Modified bool   `json:"modified"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

func buildInfo() build {
	b := build{Version: version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if v := info.Main.Version; v != "(devel)" {
			b.Version = cmp.Or(b.Version, v)
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.time":
				b.CommitTime = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
	}
	b.Version = cmp.Or(b.Version, "devel")
	return b
}

func (a *app) versionCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "show which version this is",
		Long:  "Show the version, the commit it was built from where the build stamped one, and the Go version.",
		Example: `  agencyaudit version
  agencyaudit version -o json`,
		Args: exactly(0, ""),
		RunE: func(*cobra.Command, []string) error {
			b := buildInfo()
			var err error
			if format == "json" {
				enc := json.NewEncoder(a.out)
				enc.SetIndent("", "  ")
				err = enc.Encode(b)
			} else {
				_, err = fmt.Fprintf(a.out, "agencyaudit %s\n", b)
			}
			return delivered(err)
		},
	}
	outputFlag(cmd, &format, "text", "json")
	return cmd
}

// String says it all in one line.
func (b build) String() string {
	s := b.Version
	if b.Commit != "" {
		s += " (commit " + b.Commit
		if b.Modified {
			s += ", modified"
		}
		s += ")"
	}
	return s + " " + b.Go + " " + b.OS + "/" + b.Arch
}

// delivered makes a failure of a result that could not be written.
func delivered(err error) error {
	if err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("write the result: %w", err)}
	}
	return nil
}

func (a *app) completionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "write a completion script for a shell",
		Long:  "Write a script to stdout that has the shell complete agencyaudit's commands and flags.",
		Example: `  source <(agencyaudit completion bash)
  agencyaudit completion zsh > "${fpath[1]}/_agencyaudit"
  agencyaudit completion fish > ~/.config/fish/completions/agencyaudit.fish`,
		ValidArgs: shells,
		Args:      exactly(1, "the name of a shell: bash, zsh, fish or powershell"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return delivered(root.GenBashCompletionV2(a.out, true))
			case "zsh":
				return delivered(root.GenZshCompletion(a.out))
			case "fish":
				return delivered(root.GenFishCompletion(a.out, true))
			case "powershell":
				return delivered(root.GenPowerShellCompletionWithDesc(a.out))
			}
			return misuse("write bash, zsh, fish or powershell", "there is no completion for the shell %q", args[0])
		},
	}
}

//go:build unix

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	accountsFile  = regexp.MustCompile("(?ms)^`([a-z]+\\.yaml)`:\n\n```yaml\n(.*?)^```$")
	accountsBlock = regexp.MustCompile("(?ms)^```(yaml|sh|text)\n(.*?)^```$")
)

// TestDocsAccounts does what docs/accounts.md says, in order: its rehearsal, by its own files and commands, whose output has the lines
// that the page shows.
func TestDocsAccounts(t *testing.T) {
	page := readFile(t, "../../docs/accounts.md")
	dir := t.TempDir()
	files := map[string]string{}
	for _, m := range accountsFile.FindAllStringSubmatch(page, -1) {
		files[m[1]] = m[2]
	}
	blocks := func(kind string) (all []string) {
		for _, m := range accountsBlock.FindAllStringSubmatch(page, -1) {
			if m[1] == kind {
				all = append(all, strings.TrimSpace(m[2]))
			}
		}
		return all
	}
	shell, shown := blocks("sh"), blocks("text")
	if len(files) != 2 || len(shell) < 2 || len(shown) != 1 {
		t.Fatalf("%d files, %d blocks of commands, %d of output", len(files), len(shell), len(shown))
	}
	replace(t, filepath.Join(dir, "rehearsal.yaml"), files["rehearsal.yaml"])
	start := append(strings.Fields(shell[0])[1:], "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0")
	cloud := &simulator{process: launch(t, dir, nil, start)}
	within(t, "the simulated cloud serves", func() string {
		if cloud.gone() {
			t.Fatalf("the simulated cloud ended: %s", cloud.err.String())
		}
		if !strings.Contains(cloud.out.String(), "Ctrl-C ends it.") {
			return "not yet: " + cloud.err.String()
		}
		return ""
	})
	cloud.control = controlLine.FindStringSubmatch(cloud.out.String())[1]
	url := cloudLine.FindStringSubmatch(cloud.out.String())[1]
	replace(t, filepath.Join(dir, "audit.yaml"), strings.ReplaceAll(files["audit.yaml"], "http://"+defaultCloudAddress, url))
	var env []string
	said := ""
	codes := map[string]int{"check": exitOK, "doctor": exitPartial, "audit": exitPartial}
	for line := range strings.SplitSeq(shell[1], "\n") {
		command, _, _ := strings.Cut(line, " #")
		if variable, ok := strings.CutPrefix(command, "export "); ok {
			env = append(env, variable)
			continue
		}
		args := strings.Fields(command)[1:]
		p := launch(t, dir, env, args)
		want, known := codes[args[0]]
		if code := p.wait(t); !known || code != want {
			t.Errorf("%s: exit code %d, want %d:\n%s%s", command, code, want, p.out.String(), p.err.String())
		}
		delete(codes, args[0])
		said += p.out.String()
	}
	if len(codes) > 0 {
		t.Errorf("the page does not run %v", codes)
	}
	for line := range strings.SplitSeq(shown[0], "\n") {
		if !strings.Contains("\n"+said, "\n"+line+"\n") {
			t.Errorf("nothing prints %q:\n%s", line, said)
		}
	}
	for _, want := range []string{`(?m)^billing +drifted +critical +excess Tenant Administrator`, `(?m)^sandbox +unknown`, `1 unknown   1 drifted   0 waived   0 not enabled   1 compliant`} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("the audit does not say %s:\n%s", want, said)
		}
	}
	cloud.untouched(t)
}

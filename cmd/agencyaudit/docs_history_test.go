//go:build unix

package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
)

// TestDocsHistory does what docs/history.md says, on a history whose runs are always the same, and wants the output that it shows,
// to the character. A line with nothing but an ellipsis stands for what is left out.
func TestDocsHistory(t *testing.T) {
	dir := t.TempDir()
	if err := chronicleOf(filepath.Join(dir, "state")); err != nil {
		t.Fatal(err)
	}
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), `state_dir: state
cloud: {region: ap-southeast-3}
accounts:
  static:
    - {name: shop, id: d0000000000000000000000000000004, access: {via: keys, ak_env: AK, sk_env: SK}}
`)
	ran := 0
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(readFile(t, "../../docs/history.md"), -1) {
		line, shown, _ := strings.Cut(block[1], "\n")
		command, is := strings.CutPrefix(line, "$ agencyaudit ")
		if !is {
			t.Fatalf("%q is no command", line)
		}
		p := launch(t, dir, []string{"AK=SIMKEY0001", "SK=made-up-secret"}, words(command))
		want := exitOK
		if strings.HasPrefix(command, "history --state-dir state --from") {
			want = exitDrift
		}
		if code := p.wait(t); code != want {
			t.Errorf("%s: exit code %d, want %d: %s", command, code, want, p.err.String())
		}
		ran++
		said := "\n" + p.out.String()
		for part := range strings.SplitSeq("\n"+shown, "\n…\n") {
			i := strings.Index(said, part)
			if i < 0 {
				t.Errorf("%s prints\n%s\nwhich does not go on with\n%s", command, p.out.String(), part)
				break
			}
			said = said[i+len(part):]
		}
		if !strings.Contains(shown, "\n…\n") && strings.TrimSpace(said) != "" {
			t.Errorf("%s also prints\n%s", command, said)
		}
	}
	if ran < 5 {
		t.Errorf("the page has %d commands", ran)
	}
}

// TestHistoryBesideItsOwner looks at a history while another process has it, and goes on writing.
func TestHistoryBesideItsOwner(t *testing.T) {
	dir := t.TempDir()
	if err := chronicleOf(dir); err != nil {
		t.Fatal(err)
	}
	owner, err := history.OpenSQLite(dir, history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	c := &chronicle{n: 7, at: time.Date(2025, 11, 22, 0, 0, 0, 0, time.UTC)}
	for _, want := range []string{"runs      7", "runs      8", "runs      9"} {
		p := launch(t, dir, nil, []string{"history", "check", "--state-dir", dir})
		if code := p.wait(t); code != exitOK || !strings.Contains(p.out.String(), want) {
			t.Errorf("exit code %d: %s%s, want %q", code, p.out.String(), p.err.String(), want)
		}
		if err := c.run(owner, nil); err != nil {
			t.Fatal(err)
		}
		c.at = c.at.Add(time.Hour)
	}
	// Until now, no run was made for long, and that nothing changed since is not known.
	for to, want := range map[string]int{"00005ca1ab1e000a": exitDrift, "0h": exitPartial} {
		p := launch(t, dir, nil, []string{"history", "--state-dir", dir, "--from", "00005ca1ab1e0007", "--to", to})
		if code := p.wait(t); code != want || !strings.Contains(p.out.String(), "no longer in the fleet") {
			t.Errorf("until %s: exit code %d, want %d: %s%s", to, code, want, p.out.String(), p.err.String())
		}
	}
	// The one account that is asked for could not be read: that nothing changed in it is not known.
	p := launch(t, dir, nil, []string{
		"history", "--state-dir", dir, "--account", "shop", "--from", "00005ca1ab1e0003", "--to", "00005ca1ab1e0005",
	})
	if code := p.wait(t); code != exitPartial || !strings.Contains(p.out.String(), "1 of 1 account.") ||
		strings.Contains(p.out.String(), "Nothing changed") {
		t.Errorf("exit code %d: %s%s", code, p.out.String(), p.err.String())
	}
}

//go:build unix

package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestDocsHistory does what docs/history.md says, on a history whose runs are always the same, and wants the output that it shows,
// to the character. A line with nothing but an ellipsis stands for what is left out.
func TestDocsHistory(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// TestWhatIsNotKnownIsNotSaidToBeSo: of an account that cannot be entered any more, the commands that look at the history say what the
// metrics do: no waiver is unused for it, what was found of it counts, and whatever its last evidence says, it is not compliant.
func TestWhatIsNotKnownIsNotSaidToBeSo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := history.OpenSQLite(filepath.Join(dir, "state"), history.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := func(n int) string { return fmt.Sprintf("d%031x", n) }
	c := &chronicle{at: time.Now().UTC().Truncate(time.Second).Add(-2 * time.Hour), dark: map[string]bool{}, members: []chronicled{
		{account: rules.Account{ID: id(1), Name: "lost"}},
		{account: rules.Account{ID: id(2), Name: "lost-drifted"}, lacks: "DCS UserAccess"},
		{account: rules.Account{ID: id(3), Name: "read"}},
	}}
	for range 2 {
		if err := c.run(s, nil); err != nil {
			t.Fatal(err)
		}
		c.dark[id(1)], c.dark[id(2)] = true, true
		c.at = c.at.Add(time.Hour)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	waivers := "version: 1\nwaivers:\n"
	for _, account := range []string{"lost", "lost-drifted", "read"} {
		waivers += "  - {id: of-" + account + ", accounts: [" + account + "], rules: [grant/missing], added: " + day(-1) + ", expires: " + day(60) +
			", owner: o, reason: r}\n"
	}
	replace(t, filepath.Join(dir, "waivers.yaml"), waivers)
	replace(t, filepath.Join(dir, "agencyaudit.yaml"), `state_dir: state
cloud: {region: ap-southeast-3}
waivers: {file: waivers.yaml}
accounts:
  static:
    - {name: read, id: d0000000000000000000000000000003, access: {via: keys, ak_env: AK, sk_env: SK}}
`)
	for _, test := range []struct {
		args []string
		code int
		says []string
		not  string
	}{
		{
			[]string{"waiver", "list"}, exitOK,
			[]string{"Not known by that run: 2 of 3.", "of-lost in force " + day(60) + " o 0 ", "of-lost-drifted in force " + day(60) + " o 1 ", "of-read unused " + day(60) + " o 0 "},
			"of-lost unused",
		},
		{[]string{"waiver", "check"}, exitOK, []string{"Not known by that run: 2 of 3.", "lost-drifted stays unknown high missing DCS UserAccess"}, "waived"},
		{
			[]string{"baseline", "test", "coc"}, exitPartial,
			[]string{
				"now 2 unknown, 1 compliant", "Nothing changes in the 1 of 3 that are known.",
				"2 of 3 could not be read by that run: they were tried on earlier evidence, and stay unknown: hence exit code 2.",
			},
			"→",
		},
	} {
		p := launch(t, dir, []string{"AK=SIMKEY0001", "SK=made-up-secret"}, test.args)
		if code := p.wait(t); code != test.code {
			t.Errorf("%q: exit code %d, want %d", test.args, code, test.code)
		}
		said := strings.Join(strings.Fields(p.out.String()), " ")
		for _, want := range test.says {
			if !strings.Contains(said, want) {
				t.Errorf("%q does not say %q:\n%s%s", test.args, want, p.out.String(), p.err.String())
			}
		}
		if strings.Contains(said, test.not) {
			t.Errorf("%q says %q:\n%s", test.args, test.not, p.out.String())
		}
	}
}

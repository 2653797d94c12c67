//go:build unix

package main

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/baseline"
)

// TestABaselineIsTriedOnARecord: the baseline that a run was judged by changes nothing in its record, another one what it says, and an
// overlay what it allows.
func TestABaselineIsTriedOnARecord(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	dir := t.TempDir()
	replace(t, filepath.Join(dir, "sim.yaml"), cloud.config)
	if code := launch(t, dir, cloud.key, []string{"audit", "--config", "sim.yaml", "-o", "json", "--out", "report.json"}).wait(t); code != exitPartial {
		t.Fatalf("exit code %d", code)
	}
	coc := string(baseline.Source("coc"))
	asked := strings.Replace(coc, "  - policy: DCS UserAccess\n", "  - policy: DCS OperateAccess\n    scope: global\n  - policy: DCS UserAccess\n", 1)
	replace(t, filepath.Join(dir, "more.yaml"), asked)
	replace(t, filepath.Join(dir, "other.yaml"), strings.Replace(coc, "agency: ServiceAgencyForCOC", "agency: ServiceAgencyForOthers", 1))
	overlay := "version: 1\nbaseline: coc\nallow:\n  - {accounts: [extra-on-one-project], policy: ECS FullAccess, scope: project, owner: o, reason: r}\n"
	replace(t, filepath.Join(dir, "overlay.yaml"), overlay)
	replace(t, filepath.Join(dir, "foreign.yaml"), strings.Replace(overlay, "baseline: coc", "baseline: cco", 1))
	replace(t, filepath.Join(dir, "agreed.yaml"), cloud.config+"overlays: [overlay.yaml]\n")
	replace(t, filepath.Join(dir, "cut.json"), readFile(t, filepath.Join(dir, "report.json"))[:5000])
	for name, c := range map[string]struct {
		args []string
		code int
		says []string
		not  string
	}{
		"the same": {[]string{"coc", "--from", "report.json"}, exitPartial, []string{
			"\nwhat coc changes in run", "now 4 unknown, 24 drifted, 1 not enabled, 8 compliant\n", "Nothing changes in the 33 of 37 that are known.",
			"4 of 37 cannot be tried", "hence exit code 2.",
		}, "→"},
		"another":          {[]string{"./more.yaml", "--from", "report.json"}, exitPartial, []string{"exact-baseline", "compliant → drifted", "+ high missing DCS OperateAccess (global", "Nobody is recorded to hold DCS OperateAccess", "4 of 37 cannot be tried"}, "Nothing changes"},
		"an overlay":       {[]string{"coc", "--overlay", "overlay.yaml", "--from", "report.json"}, exitPartial, []string{"extra-on-one-project  drifted → compliant  - excess ECS FullAccess", "now 4 unknown, 23 drifted"}, "+ "},
		"a configuration":  {[]string{"coc", "--config", "agreed.yaml", "--from", "report.json"}, exitPartial, []string{"extra-on-one-project  drifted → compliant"}, "+ "},
		"a foreign agency": {[]string{"./other.yaml", "--from", "report.json"}, exitUsage, []string{"nothing is recorded of the agency ServiceAgencyForOthers"}, "→"},
		"a foreign one":    {[]string{"coc", "--overlay", "foreign.yaml", "--from", "report.json"}, exitUsage, []string{"is an overlay of the baseline cco"}, "→"},
		"no report":        {[]string{"coc"}, exitUsage, []string{"there is no report to try it on"}, "→"},
		"no such report":   {[]string{"coc", "--from", "nowhere.json"}, exitUsage, []string{"nowhere.json cannot be read"}, "→"},
		"half a report":    {[]string{"coc", "--from", "cut.json"}, exitUsage, []string{"it is no report of this program"}, "→"},
		"no JSON":          {[]string{"coc", "--from", "overlay.yaml"}, exitUsage, []string{"it is no report of this program"}, "→"},
	} {
		t.Run(name, func(t *testing.T) {
			p := launch(t, dir, nil, append([]string{"baseline", "test"}, c.args...))
			if name == "a configuration" {
				p = launch(t, dir, cloud.key, append([]string{"baseline", "test"}, c.args...))
			}
			if code := p.wait(t); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			said := "\n" + p.out.String() + p.err.String()
			for _, want := range c.says {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
			if strings.Contains(p.out.String(), c.not) {
				t.Errorf("it says %q:\n%s", c.not, said)
			}
		})
	}
	cloud.untouched(t)
}

// TestABaselineIsTriedWithoutTheRecordedWaivers, and that is said: which waivers count, if any.
func TestABaselineIsTriedWithoutTheRecordedWaivers(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	dir := t.TempDir()
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	replace(t, filepath.Join(dir, "w.yaml"), "version: 1\nwaivers:\n  - {id: w, accounts: [extra-on-one-project], rules: [grant/excess], added: "+day(-1)+
		", expires: "+day(30)+", owner: o, reason: r}\n")
	replace(t, filepath.Join(dir, "sim.yaml"), cloud.config+"waivers: {file: w.yaml}\n")
	replace(t, filepath.Join(dir, "none.yaml"), cloud.config)
	for _, report := range []struct{ config, file string }{{"sim.yaml", "waived.json"}, {"none.yaml", "plain.json"}} {
		if code := launch(t, dir, cloud.key, []string{"audit", "--config", report.config, "-o", "json", "--out", report.file}).wait(t); code != exitPartial {
			t.Fatalf("exit code %d", code)
		}
	}
	for _, c := range []struct {
		args       []string
		says, goes string
	}{
		{[]string{"--from", "waived.json"}, "Findings that waivers accepted when they were recorded: 1; no waiver counts here, unless --config names", "waived → drifted"},
		{[]string{"--from", "waived.json", "--config", "none.yaml"}, "here those of none.yaml count, as they are now.", "waived → drifted"},
		{[]string{"--from", "waived.json", "--config", "sim.yaml"}, "here those of sim.yaml count, as they are now.", ""},
		{[]string{"--from", "plain.json"}, "", ""},
	} {
		p := launch(t, dir, cloud.key, append([]string{"baseline", "test", "coc"}, c.args...))
		if code := p.wait(t); code != exitPartial {
			t.Errorf("%q: exit code %d", c.args, code)
		}
		said := strings.Join(strings.Fields(p.out.String()+p.err.String()), " ")
		if !strings.Contains(said, c.says) || strings.Contains(said, "Findings that") != (c.says != "") ||
			!strings.Contains(said, c.goes) || strings.Contains(said, "→") != (c.goes != "") {
			t.Errorf("%q:\n%s", c.args, said)
		}
	}
}

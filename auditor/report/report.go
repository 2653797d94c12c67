// Package report shows one run or a history: as a table for a person who wants the overview, as everything there is to say about one
// account, and as a published, versioned JSON document for programs.
//
// Each function writes the same bytes for the same run. Names come from clouds and are hostile until proved otherwise:
// every text output passes them through Escape, and the JSON document carries them exactly, with whatever a terminal could
// act on written as JSON escapes. Functions of this package may be called from many goroutines at once.
package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// DefaultWidth is the width of text where no terminal says another one, in columns.
const DefaultWidth = 100

// MinWidth is the least width that text is laid out for: less, and the columns of a table no longer hold words.
const MinWidth = 60

// Options are how text is laid out.
type Options struct {
	// Width is the number of columns that no line exceeds. Zero is DefaultWidth; less than MinWidth is MinWidth.
	Width int
	// Color allows terminal colours. Colours never carry what the words do not say.
	Color bool
	// Verbose also lists the accounts in which nothing is wrong, and the findings of severity info.
	Verbose bool
	// Explain is the command that explains an account when the account is added to it. Empty is "agencyaudit explain".
	Explain string
}

func (o Options) width() int { return max(cmp.Or(o.Width, DefaultWidth), MinWidth) }

// Paragraph writes one paragraph, wrapped, its first line behind lead and the others behind as many spaces. Whatever a
// terminal would act on in the text has passed rules.Escape. Its error is the writer's.
func Paragraph(w io.Writer, lead, text string, o Options) error {
	p := &page{o: o}
	p.say(lead, text)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// The colours, as the parameters of a terminal's SGR sequence.
const (
	bold    = "1"
	dim     = "2"
	red     = "31"
	boldRed = "1;31"
	green   = "32"
	yellow  = "33"
	blue    = "34"
	magenta = "35"
	cyan    = "36"
)

// paint colours one line of text.
func (o Options) paint(color, s string) string {
	if !o.Color || color == "" || s == "" {
		return s
	}
	return "\x1b[" + color + "m" + s + "\x1b[0m"
}

func stateColor(s rules.State) string {
	switch s {
	case rules.StateUnknown:
		return magenta
	case rules.StateDrifted:
		return red
	case rules.StateWaived:
		return blue
	case rules.StateCompliant:
		return green
	}
	return dim
}

func severityColor(s rules.Severity) string {
	switch s {
	case rules.Critical:
		return boldRed
	case rules.High:
		return red
	case rules.Warning:
		return yellow
	}
	return cyan
}

// stateWords names a state for people.
func stateWords(s rules.State) string { return strings.ReplaceAll(string(s), "_", " ") }

// plural counts things: "1 account", "2 accounts".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return fmt.Sprintf("%d %sies", n, stem)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// instant writes a time for people, to the second and in UTC.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// seconds writes a duration for people.
func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return rules.Span(d.Round(time.Second))
}

// accounts counts the different accounts of a run, which has a sweep for each account and baseline.
func accounts(run *auditor.Run) int {
	ids := make(map[string]bool, len(run.Sweeps))
	for i := range run.Sweeps {
		ids[run.Sweeps[i].Report.Account.ID] = true
	}
	return len(ids)
}

// baselineOf returns the run's baseline of that name. A report always names one of them; one that does not is shown with
// an empty baseline rather than not at all.
func baselineOf(run *auditor.Run, name string) rules.Baseline {
	for _, b := range run.Baselines {
		if b.Name == name {
			return b
		}
	}
	return rules.Baseline{Name: name}
}

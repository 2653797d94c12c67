package web

import (
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Past is what a history says of the time before.
type Past struct {
	// Since is when the time begins that is looked at, and Begins when the history does, which may be later; zero before the
	// first run.
	Since, Begins time.Time
	// Came and Went count the findings that came and went in the time. Repaired of those that went were put right, and Repair is the
	// median of how long these had stood.
	Came, Went, Repaired int
	Repair               time.Duration
	// Changes are the last ones of the time, the newest first.
	Changes []Change
	// Trend is how the fleet was at some instants of the time, the oldest first.
	Trend []Was
}

// Change is something that happened to one agency of one account.
type Change struct {
	auditor.Subject
	At time.Time
	// Finding is what came, or went, since Since; nil when the state changed, or the account's name.
	Finding *rules.Finding
	Since   time.Time
	// Went is how it went, one of the words by which a history says so; empty when it came.
	Went string
	// Was and Is are the states before and after. Was is empty for an account that came into the fleet, Is for one that left it.
	Was, Is rules.State
	// Reason says why nothing may be said, if Is is unknown.
	Reason rules.Reason
	// CalledBefore is the name that the account had before; empty if it is the same.
	CalledBefore string
}

// changeView is a change in words.
type changeView struct {
	Name, Link, Tone, Says string
	moment
}

// tones say how a change is shown.
const (
	toneWorse  = "worse"
	toneBetter = "better"
)

// shown is a change for people.
func (c *Change) shown(now time.Time) changeView {
	v := changeView{Name: c.Account.Name, Link: accountLink(c.Subject), moment: at(c.At, now)}
	if v.Name == "" {
		v.Name = c.Account.ID
	}
	stood := func() string { return "it had stood for " + duration(c.At.Sub(c.Since)) }
	switch {
	case c.Finding != nil && c.Went == "":
		v.Says = string(c.Finding.Severity) + ": " + c.Finding.Short()
		if c.Finding.Severity.Drift() {
			v.Tone = toneWorse
		}
	case c.Finding != nil:
		v.Says = c.Finding.Short()
		switch c.Went {
		case "refuted":
			v.Says, v.Tone = "put right: "+v.Says+"; "+stood(), toneBetter
		case "replaced":
			v.Says = "gave way to something else that is no better: " + v.Says + "; " + stood()
		case "baseline":
			if c.Finding.Rule == rules.RuleTrustMismatch { // it was recorded so of both, at first
				v.Says = "trusts another wrong account from then on, or is judged by other rules: " + v.Says + "; " + stood()
				break
			}
			v.Says = "judged by other rules from then on: " + v.Says + "; " + stood()
		default:
			v.Says = "gone with the account: " + v.Says + "; " + stood()
		}
	case c.CalledBefore != "":
		v.Says = "renamed; it was called " + c.CalledBefore
	case c.Is == "":
		v.Says = words(c.Was) + " → no longer in the fleet, or left alone"
	default:
		was := "new"
		if c.Was != "" {
			was = words(c.Was)
		}
		v.Says = was + " → " + words(c.Is)
		if c.Is == rules.StateUnknown {
			v.Says += ", " + c.Reason.Words()
		}
	}
	return v
}

// pastView is what the first page says of the past.
type pastView struct {
	Says    string
	Changes []changeView
	Trend   *trendView
}

// shown is the past for people; nil without a history.
func (p *Past) shown(now time.Time) *pastView {
	if p == nil {
		return nil
	}
	if p.Begins.IsZero() {
		return &pastView{Says: "The history begins with the first run."}
	}
	since := p.Since
	if p.Begins.After(since) {
		since = p.Begins
	}
	v := &pastView{Says: "Since " + instant(since) + " ", Trend: trend(p.Trend, since, now)}
	switch {
	case p.Came+p.Went == 0:
		v.Says += "no finding came or went."
	case p.Repaired == 0:
		v.Says += plural(p.Came, "finding") + " came, and none was put right."
	default:
		v.Says += plural(p.Came, "finding") + " came, and " + plural(p.Repaired, "finding") +
			" were put right, half of them within " + duration(p.Repair) + "."
		if p.Repaired == 1 {
			v.Says = "Since " + instant(since) + " " + plural(p.Came, "finding") + " came, and one was put right, after " + duration(p.Repair) + "."
		}
	}
	if len(p.Changes) > 0 {
		v.Says += " The last change was " + until(p.Changes[0].At, now) + "."
	}
	for i := range p.Changes {
		v.Changes = append(v.Changes, p.Changes[i].shown(now))
	}
	return v
}

package auditor

import (
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// WaiverUse is a waiver with what it is good for.
type WaiverUse struct {
	rules.Waiver
	// Findings counts those that the waiver is about, be they accepted by it, by another one, or by none since it has ended.
	Findings int
	// Known says that every account that the waiver chooses was judged. Only then no findings means that there are none.
	Known bool
}

// The words for what a waiver is at an instant.
const (
	WaiverAhead  = "ahead"  // begins later
	WaiverUnused = "unused" // accepts nothing, since there is no such finding
	WaiverHolds  = "holds"
	WaiverEnding = "ending" // ends soon
	WaiverEnded  = "ended"
)

// Is says in one of the words above what the waiver is at an instant; the first that fits of ended, ahead, unused, ending.
func (u *WaiverUse) Is(now time.Time) string {
	switch {
	case !now.Before(u.Expires):
		return WaiverEnded
	case now.Before(u.Added):
		return WaiverAhead
	case u.Findings == 0 && u.Known:
		return WaiverUnused
	case !now.Before(u.WarnAt):
		return WaiverEnding
	}
	return WaiverHolds
}

// WaiverUses says what each waiver of the run is good for, in their order.
func (r *Run) WaiverUses() []WaiverUse {
	uses := newUses(r.Waivers)
	for i := range r.Sweeps {
		report := &r.Sweeps[i].Report
		countUses(uses, report.Account, report.Baseline, report.Findings, report.State != rules.StateUnknown)
	}
	for i := range uses {
		uses[i].Known = uses[i].Known && !r.Restricted && len(r.Gaps) == 0
	}
	return uses
}

// WaiverUses says what each waiver is good for at an instant, in their order.
func (s *Snapshot) WaiverUses(now time.Time) []WaiverUse {
	uses := newUses(s.Waivers)
	for i := range s.Standings {
		st := &s.Standings[i]
		state, _ := st.At(now, s.MaxAge)
		countUses(uses, st.Account, st.Baseline, st.Findings, state != rules.StateUnknown)
	}
	for i := range uses {
		uses[i].Known = uses[i].Known && s.Run != nil && len(s.Gaps) == 0
	}
	return uses
}

func newUses(waivers []rules.Waiver) []WaiverUse {
	uses := make([]WaiverUse, len(waivers))
	for i := range waivers {
		uses[i] = WaiverUse{Waiver: waivers[i], Known: true}
	}
	return uses
}

func countUses(uses []WaiverUse, account rules.Account, baseline string, findings []rules.Finding, judged bool) {
	for i := range uses {
		u := &uses[i]
		u.Known = u.Known && (judged || !u.Selector.Selects(account))
		for j := range findings {
			if u.Covers(account, baseline, &findings[j]) {
				u.Findings++
			}
		}
	}
}

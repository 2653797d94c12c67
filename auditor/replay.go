package auditor

import (
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Replay judges by a baseline what was recorded of its agency in a run: what would be said of it at an instant, and by these waivers.
// before has the recorded verdicts on the same accounts. A policy that nobody is recorded to hold is taken to exist on the site;
// assumed are those of the required ones. A record without evidence stays unknown.
func Replay(b rules.Baseline, waivers []rules.Waiver, recorded []Sweep, now time.Time) (before, after *Run, assumed []string) {
	before = &Run{Baselines: []rules.Baseline{b}, States: map[rules.State]int{}}
	after = &Run{Baselines: []rules.Baseline{b}, States: map[rules.State]int{}, StartedAt: now, EndedAt: now}
	fleet := rules.Fleet{PolicyIDs: map[string][]string{}}
	evidence := map[string]rules.Evidence{}
	for i := range recorded {
		s := &recorded[i]
		if s.Report.AgencyName != b.Agency {
			continue
		}
		was := *s
		was.Report.Baseline = b.Name
		before.Sweeps = append(before.Sweeps, was)
		before.States[was.Report.State]++
		for _, p := range s.Planes {
			for _, g := range p.Grants {
				if ids := fleet.PolicyIDs[g.Policy.Name]; g.Policy.Origin == rules.System && !slices.Contains(ids, g.Policy.ID) {
					fleet.PolicyIDs[g.Policy.Name] = append(ids, g.Policy.ID)
				}
			}
		}
		if !s.HasEvidence() {
			continue
		}
		if e, err := rules.Replay(s.Report.Account, b.Agency, s.Report.Agency, s.Planes, s.StartedAt); err == nil {
			evidence[s.Report.Account.ID] = e
			fleet.CountTrust(b, e)
		}
	}
	for _, r := range b.Required {
		for _, name := range append([]string{r.Policy}, r.Accepts...) {
			if len(fleet.PolicyIDs[name]) == 0 {
				fleet.PolicyIDs[name] = []string{"assumed"}
				assumed = append(assumed, name)
			}
		}
	}
	for i := range before.Sweeps {
		is := before.Sweeps[i]
		if e, whole := evidence[is.Report.Account.ID]; whole {
			is.Report = rules.Evaluate(b, e, fleet, now)
			rules.Accept(&is.Report, waivers, now)
		} else {
			why := is.Report.Unknown
			if why == nil {
				why = &rules.Unknown{Reason: rules.ReasonIncomplete, Detail: "the record is not whole"}
			}
			is.Report = rules.Undecided(b, is.Report.Account, why)
		}
		after.Sweeps = append(after.Sweeps, is)
		after.States[is.Report.State]++
	}
	return before, after, assumed
}

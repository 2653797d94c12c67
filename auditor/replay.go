package auditor

import (
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Recorded is what was recorded of one agency in a run.
type Recorded struct {
	// Sweep has the state that the run gave the agency, with the reason when that is unknown, and the findings that stood then, those
	// included that only older evidence shows.
	Sweep
	// Earlier says that the run read nothing, so that what the sweep read is of an earlier one. Nothing that follows from it is known to
	// be so still.
	Earlier bool
}

// Recorded is what is remembered of a subject, as of the last run.
func (r *Remembered) Recorded() Recorded {
	is := Recorded{Sweep: Sweep{StartedAt: r.UnknownSince, EndedAt: r.UnknownSince}}
	if r.Evidence != nil {
		is.Sweep, is.Earlier = *r.Evidence, !r.Read
	}
	p := &is.Report
	p.Account, p.AgencyName, p.Baseline = r.Account, r.Agency, r.Baseline
	p.Findings = make([]rules.Finding, len(r.Findings))
	for i := range r.Findings {
		p.Findings[i] = r.Findings[i].Finding
	}
	if r.Unknown != nil {
		p.State, p.Unknown = rules.StateUnknown, r.Unknown
	}
	return is
}

// Replay judges by a baseline what was recorded of its agency in a run: what would be said of it at an instant, and by these waivers.
// before has the recorded verdicts on the same accounts. A policy that nobody is recorded to hold is taken to exist on the site;
// assumed are those of the required ones. A record without evidence stays unknown, and so does one whose evidence is of an earlier run:
// its findings by the baseline are those of that evidence.
func Replay(b rules.Baseline, waivers []rules.Waiver, recorded []Recorded, now time.Time) (before, after *Run, assumed []string) {
	before = &Run{Baselines: []rules.Baseline{b}, States: map[rules.State]int{}}
	after = &Run{Baselines: []rules.Baseline{b}, States: map[rules.State]int{}, StartedAt: now, EndedAt: now}
	fleet := rules.Fleet{PolicyIDs: map[string][]string{}}
	evidence := map[string]rules.Evidence{}
	earlier := map[string]bool{}
	for i := range recorded {
		s := &recorded[i]
		if s.Report.AgencyName != b.Agency {
			continue
		}
		was := s.Sweep
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
			evidence[s.Report.Account.ID], earlier[s.Report.Account.ID] = e, s.Earlier
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
			why := is.Report.Unknown
			is.Report = rules.Evaluate(b, e, fleet, now)
			rules.Accept(&is.Report, waivers, now)
			if earlier[is.Report.Account.ID] {
				is.Report.State, is.Report.Unknown = rules.StateUnknown, why
			}
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

package rules

import (
	"slices"
	"time"
)

// Replay is evidence that was recorded of an agency, nil for one that was absent, for trying other agreements on it. It says what was
// so then, so that nothing may be done on it, see Evidence.Replayed. A record that is not whole is an *Unknown.
func Replay(account Account, agencyName string, agency *Agency, recorded []Plane, readAt time.Time) (Evidence, error) {
	e := Evidence{valid: true, replayed: true, account: account, agencyName: agencyName, startedAt: readAt, endedAt: readAt}
	if agency == nil {
		return e, nil
	}
	e.agency, e.present = *agency, true
	o := Observation{Planes: recorded}
	if len(recorded) != len(planes) {
		return Evidence{}, unknown(ReasonIncomplete, "the record has %d planes instead of %d", len(recorded), len(planes))
	}
	for _, kind := range planes {
		p, err := o.plane(kind)
		if err != nil {
			return Evidence{}, err
		}
		if p.State != PlaneRead && p.State != PlaneAbsent || p.Total != len(p.Grants) {
			return Evidence{}, unknown(ReasonIncomplete, "the record of the plane %q is not whole", kind)
		}
		p.Grants = slices.Clone(p.Grants)
		slices.SortFunc(p.Grants, compareGrants)
		e.planes = append(e.planes, p)
	}
	return e, nil
}

// Replayed says that the evidence was not read but recorded: what it says may no longer be so.
func (e Evidence) Replayed() bool { return e.replayed }

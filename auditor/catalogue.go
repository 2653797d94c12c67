package auditor

import (
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Resolution is the last word of the site's catalogue on one policy that a baseline requires.
type Resolution struct {
	Baseline, Policy string
	// At is the instant until which that is known to be so.
	At time.Time
	// Lacking are the findings that say that the catalogue lacks the policy; none when it has it.
	Lacking []rules.Finding
}

// Counts says whether the word still counts at an instant. That a policy is lacking does until a catalogue has it.
func (r *Resolution) Counts(now time.Time, maxAge time.Duration) bool {
	return len(r.Lacking) > 0 || age(now, r.At) < maxAge
}

// resolve is the catalogue's last word after one more run, which changes nothing for baselines that it read no catalogue for.
func (s *Snapshot) resolve(run *Run) []Resolution {
	var list []Resolution
	for i := range s.Baselines {
		b := &s.Baselines[i]
		at, read := run.CatalogueAt[b.Name]
		if !read {
			list = append(list, slices.DeleteFunc(slices.Clone(s.Catalogue), func(r Resolution) bool { return r.Baseline != b.Name })...)
			continue
		}
		begin := len(list)
		for _, req := range b.Required {
			if slices.ContainsFunc(list[begin:], func(r Resolution) bool { return r.Policy == req.Policy }) {
				continue // at another scope
			}
			r := Resolution{Baseline: b.Name, Policy: req.Policy, At: at}
			for _, f := range run.Findings {
				if f.Rule == rules.RuleUnresolvable && f.Baseline == b.Name && f.Policy == req.Policy {
					r.Lacking = append(r.Lacking, f)
				}
			}
			list = append(list, r)
		}
	}
	return list
}

// expect is the catalogue's last word after a change of the baselines, of which same says whether they are as they were: of
// another one, only what is lacking is still known.
func (s *Snapshot) expect(baselines []rules.Baseline, same map[string]bool) []Resolution {
	var list []Resolution
	for i := range baselines {
		b := &baselines[i]
		for _, r := range s.Catalogue {
			if r.Baseline == b.Name && (same[b.Name] || len(r.Lacking) > 0 &&
				slices.ContainsFunc(b.Required, func(req rules.Requirement) bool { return req.Policy == r.Policy })) {
				list = append(list, r)
			}
		}
	}
	return list
}

// Findings are about the whole fleet rather than one account: those of the last run, and what the catalogue lacks.
func (s *Snapshot) Findings() []rules.Finding {
	var list []rules.Finding
	if s.Run != nil {
		list = slices.DeleteFunc(slices.Clone(s.Run.Findings), func(f rules.Finding) bool { return f.Rule == rules.RuleUnresolvable })
	}
	for _, r := range s.Catalogue {
		list = append(list, r.Lacking...)
	}
	return list
}

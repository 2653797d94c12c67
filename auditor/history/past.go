package history

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// sweep is the evidence of a verdict as a history shows it; nil when there is none.
func (v *verdictRow) sweep() *auditor.Sweep {
	if v.evidence == nil {
		return nil
	}
	shown := *v.evidence.sweep
	if v.reading != nil {
		shown = *v.reading.of(&shown, v.unknown)
	}
	shown.Replayed = true
	return &shown
}

// rememberedOf is what is remembered of a subject: v is its last verdict, findings are those that stand, last is the last run.
func rememberedOf(v *verdictRow, findings map[findingName]*findingRow, trust *trustRow, last *runRow) auditor.Remembered {
	r := auditor.Remembered{Subject: subjectOf(v)}
	if trust != nil {
		r.Trust, r.TrustedAt = trust.trust, trust.seenAt
	}
	if v.until != 0 {
		r.Left = true
		return r
	}
	r.UnknownSince = v.unknownSince
	if r.Unknown = v.unknown; r.Unknown == nil && v.state == rules.StateUnknown {
		r.Unknown = &rules.Unknown{Reason: rules.ReasonStale, Detail: "no run had read it since the configuration changed"}
	}
	if v.unknown != nil && v.unknown.Reason == rules.ReasonVanished {
		r.Vanished = int(last.id - v.from + 1)
	}
	if v.evidence == nil {
		return r
	}
	r.Evidence, r.Read, r.Required, r.KeptAt = v.sweep(), v.judged, v.kept.Required, v.kept.At
	r.Evidence.StartedAt = v.readAt
	if v.judged && v.from != last.id {
		r.Evidence.StartedAt = last.readAt // its reading in the last run began then or later, and showed the same
	}
	if r.Evidence.EndedAt.Before(r.Evidence.StartedAt) {
		r.Evidence.EndedAt = r.Evidence.StartedAt
	}
	for _, f := range slices.Concat(v.evidence.sweep.Report.Findings, v.kept.Findings) {
		if row := findings[nameOf(&f)]; row != nil {
			r.Findings = append(r.Findings, auditor.Stuck{Finding: f, Since: row.firstSeen})
		}
	}
	return r
}

// pastOf puts together what is remembered.
func pastOf(subjects []auditor.Remembered, last, complete *runRow) *auditor.Past {
	slices.SortFunc(subjects, func(a, b auditor.Remembered) int {
		return cmp.Or(cmp.Compare(a.Account.Name, b.Account.Name), cmp.Compare(a.Account.ID, b.Account.ID),
			cmp.Compare(a.Agency, b.Agency), cmp.Compare(a.Baseline, b.Baseline))
	})
	p := &auditor.Past{Subjects: subjects}
	if complete != nil {
		p.CompletedAt = complete.EndedAt
	}
	if last != nil {
		p.EndedAt, p.Catalogue, p.Partial = last.EndedAt, last.lacking, last.partial
	}
	return p
}

func subjectOf(v *verdictRow) auditor.Subject {
	return auditor.Subject{Account: v.account, Agency: v.subject.agency, Baseline: v.subject.baseline}
}

// shownVerdict is a verdict as queries show it; runs are found by their ids.
func shownVerdict(v *verdictRow, from, until *runRow) Verdict {
	shown := Verdict{
		Subject: subjectOf(v), From: from.EndedAt, FromRun: from.ID, State: v.state, Unknown: v.unknown, Judged: v.judged,
		ReadAt: v.readAt,
	}
	if until != nil {
		shown.Until, shown.UntilRun = until.EndedAt, until.ID
	}
	shown.Evidence = v.sweep()
	return shown
}

// shownFinding is a finding as queries show it, of an account as it is called now. last is the last run in which it stood.
func shownFinding(f *findingRow, account rules.Account, first, last, ended *runRow) Finding {
	shown := Finding{
		Subject: auditor.Subject{Account: account, Agency: f.subject.agency, Baseline: f.subject.baseline},
		Rule:    f.rule, Policy: f.policy, PolicyID: f.policyID, Scope: f.scope, Trusts: f.trusts, FirstSeen: f.firstSeen, FirstRun: first.ID,
		FirstKnown: first.EndedAt, LastSeen: last.EndedAt, LastRun: last.ID, EndedAt: f.endedAt, How: f.how,
	}
	if ended != nil {
		shown.EndedRun, shown.EndKnown = ended.ID, ended.EndedAt
	}
	return shown
}

// finding is one that a verdict rests on, as evidence has it; nil when it does not have that.
func (v *verdictRow) finding(name findingName) *rules.Finding {
	if v.evidence == nil || v.evidence.sweep == nil {
		return nil
	}
	for _, list := range [][]rules.Finding{v.evidence.sweep.Report.Findings, v.kept.Findings} {
		for i := range list {
			if nameOf(&list[i]) == name {
				as := list[i]
				return &as
			}
		}
	}
	return nil
}

// called are accounts in the order of names and ids.
func called(last map[string]rules.Account) []rules.Account {
	return slices.SortedFunc(maps.Values(last), func(a, b rules.Account) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
}

// begins is Store.Begins of a history with this first run, and that forgot what ended before an instant.
func begins(first *runRow, forgot time.Time) time.Time {
	if first == nil || first.EndedAt.Before(forgot) {
		return forgot
	}
	return first.EndedAt
}

// vocabulary has each text once, however many accounts it occurs in: what a start remembers stays in memory.
type vocabulary map[string]string

func (v vocabulary) once(texts ...*string) {
	for _, t := range texts {
		known, has := v[*t]
		if !has {
			known = *t
			v[known] = known
		}
		*t = known
	}
}

// share has a sweep share the names and ids of what is granted with others. Nobody else has the sweep yet.
func (v vocabulary) share(s *auditor.Sweep) {
	grants := func(list []rules.Grant) {
		for i := range list {
			v.once(&list[i].Policy.ID, &list[i].Policy.Name)
		}
	}
	for i := range s.Planes {
		grants(s.Planes[i].Grants)
	}
	for i := range s.Report.Required {
		c := &s.Report.Required[i]
		v.once(&c.Policy)
		grants(c.By)
		for j := range c.PolicyIDs {
			v.once(&c.PolicyIDs[j])
		}
	}
	for i := range s.Report.Findings {
		f := &s.Report.Findings[i]
		v.once(&f.Rule, &f.Policy, &f.PolicyID, &f.Message)
		grants(f.Grants)
		for j := range f.Consequences {
			v.once(&f.Consequences[j])
		}
	}
}

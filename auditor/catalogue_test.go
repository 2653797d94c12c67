package auditor_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// asked is a run in which the catalogue was read for the baselines that are keys, and lacks these policies of theirs.
func asked(at time.Time, lacking map[string][]string) *auditor.Run {
	r := &auditor.Run{CatalogueAt: map[string]time.Time{}}
	for name, policies := range lacking {
		r.CatalogueAt[name] = at
		for _, p := range policies {
			r.Findings = append(r.Findings, rules.Finding{Rule: rules.RuleUnresolvable, Baseline: name, Policy: p})
		}
	}
	return r
}

// A policy that the catalogue lacks is lacking until a catalogue has it; that it has one holds no longer than max_age. What
// is lacking in one baseline is not in another that requires a policy of the same name, but accepts more.
func TestWhatTheCatalogueLacks(t *testing.T) {
	other := base()
	other.Name, other.Agency = "other", "B"
	other.Required = append(other.Required, rules.Requirement{Policy: "P", Scope: rules.AllResources})
	b := []rules.Baseline{base(), other}
	at := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Minute) }
	lacks := func(coc, others []string) map[string][]string {
		return map[string][]string{"coc": coc, "other": others}
	}
	says := func(s *auditor.Snapshot, now time.Time) string {
		text := ""
		for _, r := range s.Catalogue {
			if r.Counts(now, maxAge) {
				text += fmt.Sprintf("%s/%s=%d ", r.Baseline, r.Policy, len(r.Lacking))
			}
		}
		return text + fmt.Sprint(len(s.Findings()))
	}
	for name, c := range map[string]struct {
		runs []*auditor.Run
		now  time.Time
		want string
	}{
		"never asked":               {nil, at(0), "0"},
		"never read":                {[]*auditor.Run{asked(at(0), nil)}, at(0), "0"},
		"one of two lacks it":       {[]*auditor.Run{asked(at(0), lacks([]string{"P"}, nil))}, at(1), "coc/P=1 coc/Q=0 other/P=0 other/Q=0 1"},
		"read for one of two":       {[]*auditor.Run{asked(at(0), map[string][]string{"other": {"P", "P"}})}, at(1), "other/P=2 other/Q=0 2"},
		"a run that did not read":   {[]*auditor.Run{asked(at(0), lacks([]string{"P"}, nil)), asked(at(1), nil)}, at(2), "coc/P=1 coc/Q=0 other/P=0 other/Q=0 1"},
		"no run that reads":         {[]*auditor.Run{asked(at(0), lacks([]string{"P"}, nil)), asked(at(1), nil)}, at(60), "coc/P=1 1"},
		"refuted":                   {[]*auditor.Run{asked(at(0), lacks([]string{"P"}, nil)), asked(at(9), lacks(nil, []string{"Q"}))}, at(60), "coc/P=0 coc/Q=0 other/P=0 other/Q=1 1"},
		"no younger for being said": {[]*auditor.Run{asked(at(0), lacks(nil, nil)), asked(at(0), lacks(nil, nil))}, at(60), "0"},
	} {
		t.Run(name, func(t *testing.T) {
			s := auditor.NewSnapshot(nil, b, maxAge)
			for _, r := range c.runs {
				s = s.Next(r)
			}
			if got := says(s, c.now); got != c.want {
				t.Errorf("it says %q, want %q", got, c.want)
			}
		})
	}

	s := auditor.NewSnapshot(nil, b, maxAge).Next(asked(at(0), lacks([]string{"P"}, []string{"Q"})))
	if stale := s.StaleAt(at(5)); !stale.Equal(at(60)) {
		t.Errorf("good news gets too old at %s", stale)
	}
	if stale := s.StaleAt(at(60)); !stale.IsZero() {
		t.Errorf("bad news gets too old at %s", stale)
	}
	// By a baseline that changed, nothing is known to be there, and what it does not require is not lacking.
	changed := base()
	changed.Digest, changed.Required = "2", changed.Required[:1]
	if got := says(s.Expect(nil, []rules.Baseline{changed, other}, maxAge), at(1)); got != "coc/P=1 other/P=0 other/Q=1 2" {
		t.Errorf("by another baseline it says %q", got)
	}
	changed.Required = base().Required[1:]
	if got := says(s.Expect(nil, []rules.Baseline{changed}, maxAge), at(1)); got != "0" {
		t.Errorf("by a baseline without the policy it says %q", got)
	}
}

// That the catalogue was not read is a warning where it has a cause of its own: when no account was read, it follows from that.
func TestACatalogueThatNobodyReadIsNoNews(t *testing.T) {
	all := accounts("one", "two")
	for level, observe := range map[string]func(context.Context, rules.Account) (rules.Evidence, error){
		"WARN": func(_ context.Context, a rules.Account) (rules.Evidence, error) {
			if a.ID == all[1].ID {
				return rules.Evidence{}, errors.New("nobody may")
			}
			return evidenceOf(t, a, "trusted", true), nil
		},
		"INFO": func(context.Context, rules.Account) (rules.Evidence, error) {
			return rules.Evidence{}, errors.New("nobody may")
		},
	} {
		var log bytes.Buffer
		if _, err := newAuditor(observer{observe: observe, catalogue: errors.New("nobody may")}, all, &log).Run(t.Context(), "test", nil); err != nil {
			t.Fatal(err)
		}
		if want := "level=" + level + ` msg="catalogue of policies not read"`; !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in the log:\n%s", want, log.String())
		}
	}
}

// A run says for which baselines the catalogue was read, and until when that is known.
func TestARunSaysUntilWhenItKnowsTheCatalogue(t *testing.T) {
	for name, c := range map[string]struct {
		o    auditor.Observer
		want string
	}{
		"read":      {observer{}, fmt.Sprint(map[string]time.Time{"coc": noon})},
		"not read":  {observer{catalogue: errors.New("nobody may")}, "map[]"},
		"a panic":   {panicking{catalogue: true}, "map[]"},
		"no answer": {silent{}, "map[]"},
	} {
		var log bytes.Buffer
		a := newAuditor(observer{}, accounts(), &log)
		a.Observer = c.o
		run, err := a.Run(t.Context(), "test", nil)
		if err != nil || fmt.Sprint(run.CatalogueAt) != c.want {
			t.Errorf("%s: %v (%v), want %s", name, run.CatalogueAt, err, c.want)
		}
	}
}

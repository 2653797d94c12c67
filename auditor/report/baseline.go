package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/agencyaudit/agencyaudit/rules"
)

// Baseline writes a baseline as the table that its document has: permission, description, scope and what it is for. The
// error is the writer's.
func Baseline(w io.Writer, b rules.Baseline, o Options) error {
	p := &page{o: o}
	p.paint("", bold, rules.Escape(b.Name)+": "+rules.Escape(b.Title))
	p.say("source    ", fmt.Sprintf("%s (%s)", rules.Escape(b.Source), rules.Escape(b.SourceDate)))
	p.say("digest    ", "sha256 "+rules.Escape(b.Digest))
	p.say("agency    ", rules.Escape(b.Agency))
	p.say("trusts    ", trustWords(b.Trust))
	p.say("validity  ", fmt.Sprintf("unlimited; a warning from %s days before the end", decimal(b.WarnBeforeExpiry.Hours()/24)))
	p.gap()
	rows := make([][]cell, len(b.Required))
	for i, r := range b.Required {
		names := []string{rules.Escape(r.Policy)}
		for _, a := range r.Accepts {
			names = append(names, "or "+rules.Escape(a))
		}
		var uses []string
		for _, s := range r.Scenarios {
			use := rules.Escape(s.Use)
			if s.Module != "" {
				use = rules.Escape(s.Module) + ": " + use
			}
			if len(r.Scenarios) > 1 {
				use = "- " + use
			}
			uses = append(uses, use)
		}
		label := rules.Escape(r.ScopeLabel)
		if label == "" {
			label = r.Scope.Label()
		}
		rows[i] = []cell{
			{strings.Join(names, "\n"), ""}, {rules.Escape(r.Description), ""}, {label, ""}, {strings.Join(uses, "\n"), ""},
		}
	}
	p.grid(0, []column{{"PERMISSION", 29}, {"DESCRIPTION", 22}, {"PROJECT [REGION]", 19}, {"APPLICATION SCENARIO", 0}}, rows)
	for i, c := range b.Cohorts {
		if i == 0 {
			p.gap()
		}
		p.say("cohort "+rules.Escape(c.Name)+": ", fmt.Sprintf("agency made before %s, only %s missing. %s",
			c.CreatedBefore.UTC().Format("2006-01-02"), rules.Escape(c.Missing), rules.Escape(c.Says)))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// BaselineJSON writes a baseline in the form that it has in the run's document. The error is the writer's.
func BaselineJSON(w io.Writer, b rules.Baseline) error { return writeJSON(w, formBaseline(b)) }

// Baselines writes one line for each baseline. The error is the writer's.
func Baselines(w io.Writer, list []rules.Baseline, o Options) error {
	p := &page{o: o}
	rows := make([][]cell, len(list))
	for i, b := range list {
		rows[i] = []cell{
			{rules.Escape(b.Name), ""}, {rules.Escape(b.Agency), ""}, {fmt.Sprint(len(b.Required)), ""},
			{fmt.Sprintf("%s (%s)", rules.Escape(b.Source), rules.Escape(b.SourceDate)), ""}, {rules.Escape(b.Digest[:min(12, len(b.Digest))]), ""},
		}
	}
	p.grid(0, []column{{"NAME", 20}, {"AGENCY", 28}, {"GRANTS", 6}, {"SOURCE", 0}, {"DIGEST", 12}}, rows)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// BaselinesJSON writes the baselines as an array of the form that they have in the run's document. The error is the
// writer's.
func BaselinesJSON(w io.Writer, list []rules.Baseline) error {
	return writeJSON(w, forms(list, formBaseline))
}

func writeJSON(w io.Writer, v any) error {
	b, err := encode(v, "")
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}

// decimal writes a number without needless digits.
func decimal(n float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", n), "0"), ".")
}

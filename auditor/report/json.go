package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Schema names the form of the JSON document. docs/report.schema.json describes it. Fields and values may be added to a
// form; nothing is renamed, removed or changed in meaning without another name.
const Schema = "agencyaudit.report/v1"

// The types below are the published form. They are apart from the types that the program thinks in, so that either may
// change without the other. Every field is always there: null where it does not apply, [] where there is nothing.

type runForm struct {
	ID        string      `json:"id"`
	Trigger   string      `json:"trigger"`
	Program   programForm `json:"program"`
	StartedAt string      `json:"started_at"`
	EndedAt   string      `json:"ended_at"`
	// Restricted says that only chosen accounts were read.
	Restricted bool                   `json:"restricted"`
	Complete   bool                   `json:"complete"`
	Suspect    []string               `json:"suspect"`
	States     map[rules.State]int    `json:"states"`
	Reasons    map[rules.Reason]int   `json:"unknown_reasons"`
	Worst      map[rules.Severity]int `json:"findings_by_severity"`
	// Gaps say which source of accounts could not be listed whole, Notes what is odd about the list.
	Gaps     []unknownForm                   `json:"inventory_gaps"`
	Notes    []string                        `json:"inventory_notes"`
	Left     map[auditor.ExclusionReason]int `json:"excluded_reasons"`
	Excluded []exclusionForm                 `json:"excluded"`
	Gone     []accountForm                   `json:"gone"`
	Waivers  []waiverForm                    `json:"waivers"`
}

// waiverForm is a waiver with what it is good for.
type waiverForm struct {
	ID       string  `json:"id"`
	State    string  `json:"state"`
	Added    string  `json:"added"`
	Expires  string  `json:"expires"`
	Owner    string  `json:"owner"`
	Reason   string  `json:"reason"`
	Ticket   *string `json:"ticket"`
	Findings int     `json:"findings"`
}

// acceptanceForm is the waiver that accepts a finding.
type acceptanceForm struct {
	Waiver  string  `json:"waiver"`
	Expires string  `json:"expires"`
	Owner   string  `json:"owner"`
	Reason  string  `json:"reason"`
	Ticket  *string `json:"ticket"`
}

type allowedForm struct {
	Grant  grantForm `json:"grant"`
	Owner  string    `json:"owner"`
	Reason string    `json:"reason"`
}

type programForm struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type baselineForm struct {
	Name       string            `json:"name"`
	Title      string            `json:"title"`
	Source     string            `json:"source"`
	SourceDate string            `json:"source_date"`
	Digest     string            `json:"digest"`
	Service    string            `json:"service"`
	Agency     string            `json:"agency"`
	Trust      trustForm         `json:"trust"`
	WarnBefore int64             `json:"warn_before_expiry_seconds"`
	Required   []requirementForm `json:"required"`
	Overlays   []string          `json:"overlays"`
}

type trustForm struct {
	ID   *string `json:"id"`
	Name *string `json:"name"`
}

type requirementForm struct {
	Policy      string         `json:"policy"`
	Accepts     []string       `json:"accepts"`
	Description string         `json:"description"`
	Scope       string         `json:"scope"`
	ScopeLabel  string         `json:"scope_label"`
	Scenarios   []scenarioForm `json:"scenarios"`
}

type scenarioForm struct {
	Module *string `json:"module"`
	Use    string  `json:"use"`
}

type sweepForm struct {
	Account   accountForm   `json:"account"`
	Baseline  string        `json:"baseline"`
	Agency    string        `json:"agency_name"`
	State     string        `json:"state"`
	Unknown   *unknownForm  `json:"unknown"`
	Found     *agencyForm   `json:"agency"`
	Required  []coveredForm `json:"required"`
	Allowed   []allowedForm `json:"allowed"`
	Findings  []findingForm `json:"findings"`
	Evidence  *evidenceForm `json:"evidence"`
	StartedAt string        `json:"started_at"`
	EndedAt   string        `json:"ended_at"`
	Requests  int           `json:"requests"`
}

type accountForm struct {
	ID            string `json:"id"`
	Name          string `json:"name"`
	RequireAgency bool   `json:"require_agency"`
	// OU and Tags are of the organization.
	OU   *string   `json:"ou"`
	Tags []tagForm `json:"tags"`
}

type tagForm struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type exclusionForm struct {
	Account accountForm `json:"account"`
	Reason  string      `json:"reason"`
	Detail  string      `json:"detail"`
}

type unknownForm struct {
	Reason    string  `json:"reason"`
	Detail    string  `json:"detail"`
	Remedy    *string `json:"remedy"`
	RequestID *string `json:"request_id"`
}

type agencyForm struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Trust     trustForm `json:"trust"`
	CreatedAt *string   `json:"created_at"`
	ExpiresAt *string   `json:"expires_at"`
}

type coveredForm struct {
	Policy    string      `json:"policy"`
	Scope     string      `json:"scope"`
	Coverage  string      `json:"coverage"`
	Satisfied bool        `json:"satisfied"`
	By        []grantForm `json:"by"`
	PolicyIDs []string    `json:"policy_ids"`
}

type grantForm struct {
	Policy policyForm `json:"policy"`
	Scope  scopeForm  `json:"scope"`
}

type policyForm struct {
	ID        string  `json:"id"`
	Name      *string `json:"name"`
	Origin    string  `json:"origin"`
	Unbounded bool    `json:"unbounded"`
}

type scopeForm struct {
	Kind string  `json:"kind"`
	ID   *string `json:"id"`
	Name *string `json:"name"`
}

type findingForm struct {
	ID           string          `json:"id"`
	Rule         string          `json:"rule"`
	Severity     string          `json:"severity"`
	Baseline     string          `json:"baseline"`
	Policy       *string         `json:"policy"`
	PolicyID     *string         `json:"policy_id"`
	Scope        *string         `json:"scope"`
	Trusts       *string         `json:"trusts"`
	Risk         *string         `json:"risk"`
	Cohort       *string         `json:"cohort"`
	CohortSays   *string         `json:"cohort_says"`
	Message      string          `json:"message"`
	Consequences []string        `json:"consequences"`
	Grants       []grantForm     `json:"grants"`
	Waived       *acceptanceForm `json:"waived"`
	Remedies     []remedyForm    `json:"remedies"`
	Page         *string         `json:"page"`
}

type remedyForm struct {
	Where string   `json:"where"`
	Steps []string `json:"steps"`
}

type evidenceForm struct {
	RequestIDs []string    `json:"request_ids"`
	Planes     []planeForm `json:"planes"`
}

type planeForm struct {
	Kind       string      `json:"kind"`
	State      string      `json:"state"`
	Total      int         `json:"total"`
	Grants     []grantForm `json:"grants"`
	Witnessed  bool        `json:"witnessed"`
	WitnessIDs []string    `json:"witness_ids"`
	RequestIDs []string    `json:"request_ids"`
}

// JSON writes the run as the document that docs/report.schema.json describes, in a fixed order. Accounts are written one
// by one, so that the whole document never is in memory. Its error is the writer's.
func JSON(w io.Writer, run *auditor.Run) error {
	s := &stream{w: bufio.NewWriter(w)}
	s.text("{\n")
	s.field("schema", Schema)
	s.field("run", formRun(run))
	s.field("baselines", forms(run.Baselines, formBaseline))
	s.field("findings", forms(run.Findings, func(f rules.Finding) findingForm {
		b := baselineOf(run, f.Baseline)
		return formFinding(b, rules.Report{AgencyName: b.Agency}, f)
	}))
	s.text(indentOnce + `"sweeps": [`)
	for i := range run.Sweeps {
		if i > 0 {
			s.text(",")
		}
		s.text("\n" + indentOnce + indentOnce)
		s.value(formSweep(baselineOf(run, run.Sweeps[i].Report.Baseline), &run.Sweeps[i]), indentOnce+indentOnce)
	}
	if len(run.Sweeps) > 0 {
		s.text("\n" + indentOnce)
	}
	s.text("]\n}\n")
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}

const indentOnce = "  "

// stream writes JSON and remembers the first error.
type stream struct {
	w   *bufio.Writer
	err error
}

func (s *stream) text(t string) {
	if s.err == nil {
		_, s.err = s.w.WriteString(t)
	}
}

func (s *stream) field(name string, v any) {
	s.text(indentOnce + `"` + name + `": `)
	s.value(v, indentOnce)
	s.text(",\n")
}

func (s *stream) value(v any, prefix string) {
	b, err := encode(v, prefix)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.text(string(b))
}

// encode writes a value as indented JSON, harmless on a terminal, each line but the first behind prefix.
func encode(v any, prefix string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent(prefix, indentOnce)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("write JSON: %w", err)
	}
	return visible(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// visible writes every character of a JSON text that a terminal would act on or hide as a JSON escape, which means the
// same. Outside of its strings a JSON text has none.
func visible(b []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf && b[i] != 0x7f {
			i++ // encoding/json has escaped the control characters; what is left of them is the indentation's line breaks
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if rules.Acts(r) {
			out = append(out, b[done:i]...)
			if r < 0x10000 {
				out = fmt.Appendf(out, `\u%04x`, r)
			} else {
				high, low := utf16.EncodeRune(r)
				out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
			}
			done = i + size
		}
		i += size
	}
	if done == 0 {
		return b
	}
	return append(out, b[done:]...)
}

func formRun(run *auditor.Run) runForm {
	form := runForm{
		ID: run.ID, Trigger: run.Trigger, Program: programForm{"agencyaudit", run.Program},
		StartedAt: stamp(run.StartedAt), EndedAt: stamp(run.EndedAt), Restricted: run.Restricted, Complete: run.Complete,
		Suspect: list(run.Suspect), Notes: list(run.Notes), Left: auditor.CountExcluded(run.Excluded),
		Gaps: forms(run.Gaps, formUnknown), Gone: forms(run.Gone, formAccount),
		Excluded: forms(run.Excluded, formExclusion),
		States:   map[rules.State]int{}, Reasons: map[rules.Reason]int{},
		Waivers: forms(run.WaiverUses(), func(u auditor.WaiverUse) waiverForm { return formWaiver(u, run.EndedAt) }),
		Worst:   map[rules.Severity]int{rules.Critical: 0, rules.High: 0, rules.Warning: 0, rules.Info: 0},
	}
	for _, s := range rules.States() {
		form.States[s] = run.States[s]
	}
	for i := range run.Sweeps {
		if u := run.Sweeps[i].Report.Unknown; u != nil {
			form.Reasons[u.Reason]++
		}
		for _, f := range run.Sweeps[i].Report.Findings {
			form.Worst[f.Severity]++
		}
	}
	return form
}

func formWaiver(u auditor.WaiverUse, now time.Time) waiverForm {
	return waiverForm{u.ID, u.Is(now), stamp(u.Added), stamp(u.Expires), u.Owner, u.Reason, orNull(u.Ticket), u.Findings}
}

func formExclusion(e auditor.Exclusion) exclusionForm {
	return exclusionForm{formAccount(e.Account), string(e.Reason), e.Detail}
}

func formUnknown(u rules.Unknown) unknownForm {
	return unknownForm{string(u.Reason), u.Detail, orNull(u.Remedy), orNull(u.RequestID)}
}

func formAccount(a rules.Account) accountForm {
	return accountForm{a.ID, a.Name, a.RequireAgency, orNull(a.OU), forms(a.Tags, func(t rules.Tag) tagForm { return tagForm(t) })}
}

func formBaseline(b rules.Baseline) baselineForm {
	return baselineForm{
		Name: b.Name, Title: b.Title, Source: b.Source, SourceDate: b.SourceDate, Digest: b.Digest, Service: b.Service,
		Agency: b.Agency, Trust: formTrust(b.Trust), WarnBefore: int64(b.WarnBeforeExpiry / time.Second),
		Required: forms(b.Required, func(r rules.Requirement) requirementForm {
			return requirementForm{
				Policy: r.Policy, Accepts: list(r.Accepts), Description: r.Description, Scope: string(r.Scope), ScopeLabel: r.ScopeLabel,
				Scenarios: forms(r.Scenarios, func(s rules.Scenario) scenarioForm { return scenarioForm{orNull(s.Module), s.Use} }),
			}
		}),
		Overlays: list(b.Overlays),
	}
}

func formSweep(b rules.Baseline, s *auditor.Sweep) sweepForm {
	r := &s.Report
	form := sweepForm{
		Account: formAccount(r.Account), Baseline: r.Baseline, Agency: r.AgencyName, State: string(r.State),
		Required: forms(r.Required, func(c rules.Covered) coveredForm {
			return coveredForm{
				Policy: c.Policy, Scope: string(c.Scope), Coverage: string(c.Coverage), Satisfied: c.Coverage.Satisfied(),
				By: forms(c.By, formGrant), PolicyIDs: list(c.PolicyIDs),
			}
		}),
		Allowed:   forms(r.Allowed, func(a rules.AllowedGrant) allowedForm { return allowedForm{formGrant(a.Grant), a.Owner, a.Reason} }),
		Findings:  forms(r.Findings, func(f rules.Finding) findingForm { return formFinding(b, *r, f) }),
		StartedAt: stamp(s.StartedAt), EndedAt: stamp(s.EndedAt), Requests: s.Trail.Requests,
	}
	if u := r.Unknown; u != nil {
		why := formUnknown(*u)
		form.Unknown = &why
	}
	if a := r.Agency; a != nil {
		form.Found = &agencyForm{a.ID, a.Name, formTrust(a.Trust), stampOrNull(a.CreatedAt), stampOrNull(a.ExpiresAt)}
	}
	if s.HasEvidence() {
		form.Evidence = &evidenceForm{RequestIDs: list(s.RequestIDs), Planes: forms(s.Planes, func(p rules.Plane) planeForm {
			return planeForm{
				Kind: string(p.Kind), State: string(p.State), Total: p.Total, Grants: forms(p.Grants, formGrant),
				Witnessed: p.Witnessed, WitnessIDs: list(p.WitnessIDs), RequestIDs: list(p.RequestIDs),
			}
		})}
	}
	return form
}

func formFinding(b rules.Baseline, r rules.Report, f rules.Finding) findingForm {
	form := findingForm{
		ID: rules.FindingID(r, f), Rule: f.Rule, Severity: string(f.Severity), Baseline: b.Name,
		Policy: orNull(f.Policy), PolicyID: orNull(f.PolicyID), Scope: orNull(string(f.Scope)), Trusts: orNull(f.Trusts),
		Risk: orNull(string(f.Risk)), Cohort: orNull(f.Cohort), CohortSays: orNull(f.CohortSays), Message: f.Message,
		Consequences: list(f.Consequences), Grants: forms(f.Grants, formGrant),
		Remedies: forms(rules.Remedies(b, f), func(m rules.Remedy) remedyForm { return remedyForm{m.Where, list(m.Steps)} }),
		Page:     orNull(pageOf(f.Rule)),
	}
	if w := f.Waived; w != nil {
		form.Waived = &acceptanceForm{w.Waiver, stamp(w.Expires), w.Owner, w.Reason, orNull(w.Ticket)}
	}
	return form
}

// pageOf is the path of the page about a rule; empty for a rule that this program does not have.
func pageOf(id string) string {
	for _, r := range rules.Rules() {
		if r.ID == id {
			return r.Page()
		}
	}
	return ""
}

func formTrust(t rules.Trust) trustForm { return trustForm{orNull(t.ID), orNull(t.Name)} }

func formGrant(g rules.Grant) grantForm {
	return grantForm{
		policyForm{g.Policy.ID, orNull(g.Policy.Name), string(g.Policy.Origin), g.Policy.Unbounded},
		scopeForm{string(g.Scope.Kind), orNull(g.Scope.ID), orNull(g.Scope.Name)},
	}
}

// forms changes each element; the result is never nil, so that it is written as [].
func forms[T, F any](in []T, form func(T) F) []F {
	out := make([]F, len(in))
	for i := range in {
		out[i] = form(in[i])
	}
	return out
}

func list(in []string) []string { return append([]string{}, in...) }

func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func stampOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}

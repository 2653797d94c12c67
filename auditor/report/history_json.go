package report

import (
	"io"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/rules"
)

// The names of the forms of the JSON documents about a history, which docs/history.schema.json describes. Fields and values may be
// added to a form; nothing is renamed, removed or changed in meaning without another name.
const (
	HistoryChangesSchema = "agencyaudit.history.changes/v1"
	HistoryAccountSchema = "agencyaudit.history.account/v1"
	HistoryRunsSchema    = "agencyaudit.history.runs/v1"
)

type changesForm struct {
	Schema string  `json:"schema"`
	From   string  `json:"from"`
	To     string  `json:"to"`
	About  *string `json:"account"`
	// Begins is null before the first run, and Known while no run ended in the time.
	Begins   *string      `json:"history_begins"`
	Known    *string      `json:"known_until"`
	Covered  bool         `json:"covered"`
	Unknown  int          `json:"unknown_at_end"`
	Runs     tallyForm    `json:"runs"`
	Findings balanceForm  `json:"findings"`
	Changes  []changeForm `json:"changes"`
}

type tallyForm struct {
	Total      int `json:"total"`
	Incomplete int `json:"incomplete"`
	Suspect    int `json:"suspect"`
}

type balanceForm struct {
	Came   int                    `json:"came"`
	Went   map[history.Ending]int `json:"went"`
	Stand  int                    `json:"stand"`
	Repair *float64               `json:"median_seconds_to_repair"`
}

type changeForm struct {
	At       string      `json:"at"`
	Kind     string      `json:"kind"`
	Account  accountForm `json:"account"`
	Agency   string      `json:"agency_name"`
	Baseline string      `json:"baseline"`
	Run      string      `json:"run"`
	Until    *string     `json:"until"`
	Finding  *spellForm  `json:"finding"`
	State    *turnForm   `json:"state"`
	Called   *string     `json:"called_before"`
}

// spellForm is the time during which a finding stood.
type spellForm struct {
	ID        string  `json:"id"`
	Rule      string  `json:"rule"`
	Severity  *string `json:"severity"`
	Policy    *string `json:"policy"`
	PolicyID  *string `json:"policy_id"`
	Scope     *string `json:"scope"`
	Trusts    *string `json:"trusts"`
	Message   *string `json:"message"`
	FirstSeen string  `json:"first_seen"`
	FirstRun  string  `json:"first_run"`
	LastSeen  string  `json:"last_seen"`
	LastRun   string  `json:"last_run"`
	EndedAt   *string `json:"ended_at"`
	EndedRun  *string `json:"ended_run"`
	How       *string `json:"how"`
}

type turnForm struct {
	// Was and Is are null for an account that came into the fleet, or left it.
	Was        *string      `json:"was"`
	WasUnknown *unknownForm `json:"was_unknown"`
	Is         *string      `json:"is"`
	Unknown    *unknownForm `json:"unknown"`
}

type pastForm struct {
	Schema string  `json:"schema"`
	At     string  `json:"at"`
	About  string  `json:"account"`
	Begins *string `json:"history_begins"`
	// Nothing says why nothing was known; null if something was.
	Nothing *string     `json:"nothing_known"`
	Known   []knownForm `json:"known"`
}

type knownForm struct {
	// Sweep is the state of that instant with the evidence of that time.
	Sweep      sweepForm   `json:"sweep"`
	StateSince string      `json:"state_since"`
	From       string      `json:"from"`
	FromRun    string      `json:"from_run"`
	Until      *string     `json:"until"`
	UntilRun   *string     `json:"until_run"`
	Judged     bool        `json:"judged"`
	Lapsed     bool        `json:"waiver_lapsed"`
	LastRead   *string     `json:"last_read"`
	Age        *float64    `json:"evidence_age_seconds"`
	Findings   []spellForm `json:"findings"`
	LastRun    pastRunForm `json:"last_run"`
}

type pastRunForm struct {
	ID        string              `json:"id"`
	Trigger   string              `json:"trigger"`
	Program   programForm         `json:"program"`
	StartedAt string              `json:"started_at"`
	EndedAt   string              `json:"ended_at"`
	Complete  bool                `json:"complete"`
	Suspect   []string            `json:"suspect"`
	States    map[rules.State]int `json:"states"`
	Baselines []judgedForm        `json:"baselines"`
}

type judgedForm struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

type runsForm struct {
	Schema string        `json:"schema"`
	From   *string       `json:"from"`
	To     *string       `json:"to"`
	Total  int           `json:"total"`
	Runs   []pastRunForm `json:"runs"`
}

func formSpell(f history.Finding) spellForm {
	form := spellForm{
		Rule: f.Rule, Policy: orNull(f.Policy), PolicyID: orNull(f.PolicyID), Scope: orNull(string(f.Scope)), Trusts: orNull(f.Trusts),
		FirstSeen: stamp(f.FirstSeen), FirstRun: f.FirstRun, LastSeen: stamp(f.LastSeen), LastRun: f.LastRun,
		EndedAt: stampOrNull(f.EndedAt), EndedRun: orNull(f.EndedRun), How: orNull(string(f.How)),
	}
	form.ID = rules.FindingID(rules.Report{Account: f.Account, AgencyName: f.Agency},
		rules.Finding{Rule: f.Rule, Policy: f.Policy, PolicyID: f.PolicyID, Scope: f.Scope})
	if f.As != nil {
		form.Severity, form.Message = orNull(string(f.As.Severity)), orNull(f.As.Message)
	}
	return form
}

func formChange(c history.Change) changeForm {
	form := changeForm{
		At: stamp(c.At), Kind: c.Kind, Account: formAccount(c.Account), Agency: c.Agency, Baseline: c.Baseline, Run: c.Run, Until: stampOrNull(c.Until),
		Called: orNull(c.CalledBefore),
	}
	if c.Finding != nil {
		f := formSpell(*c.Finding)
		form.Finding = &f
	}
	if c.Kind == history.ChangeState {
		form.State = &turnForm{orNull(string(c.Was)), formFault(c.WasUnknown), orNull(string(c.Is)), formFault(c.Unknown)}
	}
	return form
}

// HistoryChangesJSON writes what happened in a time to one account, or to all if none is named. The error is the writer's.
func HistoryChangesJSON(w io.Writer, c *history.Changes, account string) error {
	f := changesForm{
		Schema: HistoryChangesSchema, From: stamp(c.From), To: stamp(c.To), About: orNull(account), Begins: stampOrNull(c.Begins),
		Covered: c.Covers(), Unknown: c.Unknown, Runs: tallyForm{Total: len(c.Runs)}, Changes: forms(c.Changes, formChange),
	}
	if len(c.Runs) > 0 {
		f.Known = stampOrNull(c.Known)
	}
	for i := range c.Runs {
		if !c.Runs[i].Complete {
			f.Runs.Incomplete++
		}
		if len(c.Runs[i].Suspect) > 0 {
			f.Runs.Suspect++
		}
	}
	f.Findings.Stand = c.Stand
	f.Findings.Came, f.Findings.Went = c.Count()
	if median, ok := c.Repair(); ok {
		s := median.Seconds()
		f.Findings.Repair = &s
	}
	return writeJSON(w, f)
}

// HistoryAccountJSON writes what was known at an instant of an account or, if that is nothing, why. The error is the writer's.
func HistoryAccountJSON(w io.Writer, known []history.Known, at time.Time, account string, begins time.Time, nothing string) error {
	return writeJSON(w, pastForm{
		Schema: HistoryAccountSchema, At: stamp(at), About: account, Begins: stampOrNull(begins), Nothing: orNull(nothing),
		Known: forms(known, func(k history.Known) knownForm {
			f := knownForm{
				Sweep: formSweep(rules.Baseline{Name: k.Baseline, Agency: k.Agency}, sweepThen(&k)), StateSince: stamp(k.Since), From: stamp(k.From),
				FromRun: k.FromRun, Until: stampOrNull(k.Until), UntilRun: orNull(k.UntilRun), Judged: k.Judged, Lapsed: k.Lapsed,
				LastRead: stampOrNull(k.LastRead), Findings: forms(k.Findings, formSpell), LastRun: formPastRun(k.Run),
			}
			if k.Evidence != nil {
				age := at.Sub(k.LastRead).Seconds()
				f.Age = &age
			}
			for i := range f.Sweep.Findings {
				f.Sweep.Findings[i].Remedies = []remedyForm{} // for what may no longer be so
			}
			return f
		}),
	})
}

func formPastRun(r history.Run) pastRunForm {
	f := pastRunForm{
		ID: r.ID, Trigger: r.Trigger, Program: programForm{"agencyaudit", r.Program}, StartedAt: stamp(r.StartedAt), EndedAt: stamp(r.EndedAt),
		Complete: r.Complete, Suspect: list(r.Suspect), States: map[rules.State]int{},
		Baselines: forms(r.Baselines, func(b history.Baseline) judgedForm { return judgedForm{b.Name, b.Digest} }),
	}
	for _, s := range rules.States() {
		f.States[s] = r.States[s]
	}
	return f
}

// HistoryRunsJSON writes the runs of a time, of which a zero instant is no bound, the newest last. total counts all of them. The
// error is the writer's.
func HistoryRunsJSON(w io.Writer, runs []history.Run, total int, from, to time.Time) error {
	return writeJSON(w, runsForm{HistoryRunsSchema, stampOrNull(from), stampOrNull(to), total, forms(runs, formPastRun)})
}

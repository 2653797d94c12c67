package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

func (a *app) waiverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "waiver",
		Short: "list, check and add waivers: findings that are accepted until a date",
		Long: `List, check and add waivers: written statements that certain findings are accepted until a date.
docs/waivers.md shows how they are written, and what they change.`,
		Example: `  agencyaudit waiver list
  agencyaudit waiver check new-waivers.yaml --from report.json`,
		Args: a.noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.waiverListCommand(), a.waiverCheckCommand(), a.waiverAddCommand())
	return cmd
}

func (a *app) waiverListCommand() *cobra.Command {
	var format, from string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "list the waivers of the configuration, and what became of each",
		Long: `List the waivers of the configuration: which are in force, which end soon, have ended or begin
later. Also how many findings each is about: of the report that --from names or, without it, of the
last evidence in the history of state_dir, where there is one. The cloud is not touched.

Exit codes: 0 listed, 3 bad usage or configuration.`,
		Example: `  agencyaudit waiver list
  agencyaudit waiver list --from report.json -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadWithoutKeys()
			if err != nil {
				return err
			}
			past, _, err := a.recordedIfAny(cmd.Context(), from, cfg)
			if err != nil {
				return err
			}
			if err := a.taken(past, format != "json"); err != nil {
				return err
			}
			uses := usesOf(cfg.LoadedWaivers(), past)
			now := time.Now()
			if format == "json" {
				return delivered(report.WaiversJSON(a.out, uses, now))
			}
			return delivered(report.Waivers(a.out, uses, past != nil, now, a.layout()))
		},
	}
	outputFlag(cmd, &format, "table", "json")
	fromFlag(cmd, &from)
	return cmd
}

// usesOf are the waivers with what they are good for in what was recorded, which may be nothing.
func usesOf(waivers []rules.Waiver, past *recorded) []auditor.WaiverUse {
	run := auditor.Run{Waivers: waivers, Restricted: past == nil || past.Partial}
	if past != nil {
		for i := range past.Sweeps {
			run.Sweeps = append(run.Sweeps, past.Sweeps[i].Sweep)
		}
	}
	return run.WaiverUses()
}

func (a *app) waiverCheckCommand() *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "check a file of waivers, and show what it would change",
		Long: `Check a file of waivers, by default the configuration's, and report every fault at once with its
place and its remedy. Also show what the file would change in what was found, compared with the
waivers of the configuration: in the report that --from names or, without it, in the last evidence
in the history of state_dir, where there is one. The cloud is not touched, and no file is changed.

Exit codes: 0 the file is right, 3 it is not, or bad usage or configuration.`,
		Example: `  agencyaudit waiver check
  agencyaudit waiver check new-waivers.yaml
  agencyaudit waiver check new-waivers.yaml --from report.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := a.loadWithoutKeys()
			if err != nil {
				return err
			}
			file := cfg.WaiversFile()
			if len(args) > 0 {
				file = args[0]
			}
			if file == "" {
				return misuse("name a file, or set waivers.file in the configuration", "the configuration names no file of waivers")
			}
			waivers, err := cfg.ReadWaivers(file)
			if err != nil {
				return &failure{code: exitUsage, err: err, faults: true}
			}
			past, lacks, err := a.recordedIfAny(cmd.Context(), from, cfg)
			if err != nil {
				return err
			}
			before := cfg.LoadedWaivers()
			if len(args) == 0 {
				before = nil
			}
			a.astray(cfg, past, waivers)
			return a.waiverDiff(fmt.Sprintf("OK: %s, %s", file, waiverCount(waivers)), past, lacks, before, waivers)
		},
	}
	fromFlag(cmd, &from)
	return cmd
}

func waiverCount(waivers []rules.Waiver) string {
	if len(waivers) == 1 {
		return "1 waiver"
	}
	return fmt.Sprintf("%d waivers", len(waivers))
}

// waiverDiff says what became of a file of waivers that is right, and what it changes in what was recorded, or what lacks to know that.
func (a *app) waiverDiff(says string, past *recorded, lacks string, before, after []rules.Waiver) error {
	o := a.layout()
	err := report.Paragraph(a.out, "", rules.Escape(says), o)
	if err == nil && past != nil {
		if err = a.taken(past, true); err != nil {
			return err
		}
		_, err = report.WaiverDiff(a.out, &past.Recorded, before, after, time.Now(), o)
	}
	if lacks != "" {
		a.paragraph("", lacks)
	}
	return delivered(err)
}

// astray warns of what waivers name that nobody and nothing is called, and that no agency trusts, as far as the accounts and their
// policies are known: from what was recorded and, unless accounts are only listed by the cloud, from the configuration. A waiver that has
// ended is past mending.
func (a *app) astray(cfg *daemon.Config, past *recorded, waivers []rules.Waiver) {
	known := cfg.Inventory()
	if past == nil && cfg.Accounts.Organization.Enabled {
		return
	}
	var names []string
	policies := map[string]bool{}
	for _, b := range cfg.LoadedBaselines() {
		for _, r := range b.Required {
			for _, name := range append([]string{r.Policy}, r.Accepts...) {
				policies[name] = true
			}
		}
	}
	if past != nil {
		for i := range past.Sweeps {
			s := &past.Sweeps[i]
			known = append(known, s.Report.Account)
			for j := range s.Report.Findings {
				policies[s.Report.Findings[j].Policy], policies[s.Report.Findings[j].PolicyID] = true, true
			}
			for _, p := range s.Planes {
				for _, g := range p.Grants {
					policies[g.Policy.Name], policies[g.Policy.ID] = true, true
				}
			}
		}
	}
	for i := range known {
		names = append(names, known[i].Name)
	}
	for i := range waivers {
		w := &waivers[i]
		if !time.Now().Before(w.Expires) {
			continue
		}
		nothing := !slices.ContainsFunc(known, w.Selector.Selects)
		for _, name := range w.Selector.Accounts {
			if !slices.ContainsFunc(known, rules.Selector{Accounts: []string{name}}.Selects) {
				a.warnAstray(w.ID, fmt.Sprintf("no account is called %q", name), strictyaml.Nearest(name, names), nothing)
			}
		}
		if past == nil {
			continue // any account may hold any policy
		}
		nothing = nothing || len(w.Policies) > 0 && !slices.ContainsFunc(w.Policies, func(name string) bool { return policies[name] })
		for _, name := range w.Policies {
			if !policies[name] {
				a.warnAstray(w.ID, fmt.Sprintf("no policy is called %q", name), strictyaml.Nearest(name, slices.Sorted(maps.Keys(policies))), nothing)
			}
		}
		trusted := func(id string) bool {
			return slices.ContainsFunc(past.Sweeps, func(s auditor.Recorded) bool {
				return s.Report.Agency != nil && s.Report.Agency.Trust.ID == id && w.Selector.Selects(s.Report.Account)
			})
		}
		nothing = nothing || len(w.Rules) == 1 && !slices.ContainsFunc(w.Trusts, trusted)
		for _, id := range w.Trusts {
			if !trusted(id) { // another one that is like it may be anybody's, and is not proposed
				a.warnAstray(w.ID, "no agency of these accounts trusts "+id, "", nothing)
			}
		}
	}
}

// warnAstray warns of what a waiver names in vain, of what may be meant, and of what the waiver is good for then.
func (a *app) warnAstray(waiver, vain, near string, nothing bool) {
	says := fmt.Sprintf("waiver %s: %s", waiver, vain)
	if near != "" {
		says += "; did you mean " + near + "?"
	} else {
		says += "."
	}
	if nothing {
		says += " This waiver accepts nothing now."
	}
	a.paragraph("WARNING: ", says)
}

// newWaiver is a waiver as a file has it, in the order in which people read it.
type newWaiver struct {
	ID        string              `yaml:"id,omitempty"`
	Accounts  []string            `yaml:"accounts,omitempty,flow"`
	OUs       []string            `yaml:"ous,omitempty,flow"`
	Tags      map[string][]string `yaml:"tags,omitempty,flow"`
	Baselines []string            `yaml:"baselines,omitempty,flow"`
	Rules     []string            `yaml:"rules,flow"`
	Policies  []string            `yaml:"policies,omitempty,flow"`
	Scopes    []string            `yaml:"scopes,omitempty,flow"`
	Trusts    []string            `yaml:"trusts,omitempty,flow"`
	Added     string              `yaml:"added"`
	Expires   string              `yaml:"expires,omitempty"`
	Owner     string              `yaml:"owner,omitempty"`
	Reason    string              `yaml:"reason,omitempty"`
	Ticket    string              `yaml:"ticket,omitempty"`
}

func (a *app) waiverAddCommand() *cobra.Command {
	var w newWaiver
	var from string
	var dry bool
	var tags []string
	cmd := &cobra.Command{
		Use:   "add",
		Short: "add a waiver to the configuration's file, and show what it changes",
		Long: `Add a waiver at the end of the configuration's file of waivers, whose other lines stay as they are.
It is checked first, together with the others: when anything is wrong, nothing is written. A daemon
that runs with the configuration takes it by itself. What it changes in what was found is shown: in
the report that --from names or, without it, in the last evidence in the history of state_dir, where
there is one. With --dry-run, nothing is written.

Exit codes: 0 added, or it would be; 2 the file could not be written; 3 the waiver or the
configuration is wrong.`,
		Example: `  agencyaudit waiver add --id shop-vpc \
    --account 'shop-*' --rule grant/excess \
    --policy 'ECS FullAccess' --owner team-shop \
    --reason 'one more migration' \
    --expires ` + time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly) + ` --from report.json --dry-run`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.loadWithoutKeys()
			if err != nil {
				return err
			}
			for _, tag := range tags {
				key, value, ok := strings.Cut(tag, "=")
				if !ok {
					return misuse("write --tag env=test", "--tag %s is no key and value", tag)
				}
				if w.Tags == nil {
					w.Tags = map[string][]string{}
				}
				w.Tags[key] = append(w.Tags[key], value)
			}
			if w.Added == "" {
				w.Added = time.Now().UTC().Format(time.DateOnly)
			}
			past, lacks, err := a.recordedIfAny(cmd.Context(), from, cfg)
			if err != nil {
				return err
			}
			return a.addWaiver(cfg, &w, past, lacks, dry)
		},
	}
	f := cmd.Flags()
	f.StringVar(&w.ID, "id", "", "the waiver's own `name`")
	f.StringArrayVar(&w.Accounts, "account", nil, "`id` of an account, or pattern of names; may be repeated")
	f.StringArrayVar(&w.OUs, "ou", nil, "`path` of an organizational unit; may be repeated")
	f.StringArrayVar(&tags, "tag", nil, "`key=value` that accounts bear; may be repeated")
	f.StringArrayVar(&w.Baselines, "baseline", nil, "`name` of a baseline; may be repeated")
	f.StringArrayVar(&w.Rules, "rule", nil, "`id` of a rule whose findings are accepted; may be repeated")
	f.StringArrayVar(&w.Policies, "policy", nil, "display `name` of a system-defined policy, or id of any; may be repeated")
	var scopes []string
	for _, k := range rules.Planes() {
		scopes = append(scopes, string(k))
	}
	f.StringArrayVar(&w.Scopes, "scope", nil, "`kind` of scope: "+strings.Join(scopes, ", ")+"; may be repeated")
	f.StringArrayVar(&w.Trusts, "trusts", nil, "`id` of an account that the agency may trust; needed with "+rules.RuleTrustMismatch+"; may be repeated")
	f.StringVar(&w.Added, "added", "", "`date` from which on it counts; today unless it is given")
	f.StringVar(&w.Expires, "expires", "", "`date` on which it ends, at its beginning in UTC")
	f.StringVar(&w.Owner, "owner", "", "`who` answers for it")
	f.StringVar(&w.Reason, "reason", "", "`why` it is accepted, in a sentence")
	f.StringVar(&w.Ticket, "ticket", "", "`where` that was decided")
	f.BoolVar(&dry, "dry-run", false, "write nothing")
	var ids []cobra.Completion
	for _, r := range rules.Rules() {
		if r.ID != rules.RuleUnresolvable { // is about the run, and no waiver may name it
			ids = append(ids, cobra.CompletionWithDesc(r.ID, r.Title))
		}
	}
	complete(cmd, "scope", scopes...)
	_ = cmd.RegisterFlagCompletionFunc("rule", cobra.FixedCompletions(ids, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("account", a.accountNames)
	fromFlag(cmd, &from)
	return cmd
}

// addWaiver adds a waiver to the configuration's file of them.
func (a *app) addWaiver(cfg *daemon.Config, w *newWaiver, past *recorded, lacks string, dry bool) error {
	file := cfg.WaiversFile()
	if file == "" {
		return misuse("set waivers.file, and begin the file with the two lines: version: 1 and waivers: []",
			"the configuration names no file of waivers")
	}
	old, err := readInput(file)
	if err != nil {
		return &failure{code: exitPartial, err: fmt.Errorf("read %s: %w", file, reason(err))}
	}
	text, err := withWaiver(old, w)
	if err != nil {
		return &failure{code: exitPartial, err: err}
	}
	waivers, err := cfg.ParseWaivers(file, text)
	before := cfg.LoadedWaivers()
	if faults, ok := faultsOfFlags(err, len(before), w); ok {
		return &failure{code: exitUsage, err: faults, faults: true}
	}
	if err != nil || len(waivers) != len(before)+1 || waivers[len(before)].ID != w.ID || !slices.EqualFunc(waivers[:len(before)], before, sameWaiver) {
		return misuse("add it with an editor, and try it with agencyaudit waiver check",
			"%s is written in a way that this command cannot add to without changing what is there", file)
	}
	if !time.Now().Before(waivers[len(before)].Expires) {
		ended := strictyaml.Fault{File: "--expires", Problem: "is past, so that nothing would be accepted", Remedy: "write a date to come"}
		return &failure{code: exitUsage, err: strictyaml.Faults{ended}, faults: true}
	}
	says := fmt.Sprintf("nothing is written (--dry-run): with %s, %s would have %s", w.ID, file, waiverCount(waivers))
	if !dry {
		says = fmt.Sprintf("added %s to %s, which now has %s", w.ID, file, waiverCount(waivers))
		out, err := a.openResult(file, newFileMode)
		if err != nil {
			return err
		}
		if err := out.write(func(to io.Writer) error { _, err := to.Write(text); return err }); err != nil {
			return err
		}
	}
	a.astray(cfg, past, waivers[len(before):])
	return a.waiverDiff(says, past, lacks, before, waivers)
}

// faultsOfFlags says what is wrong with the n-th waiver of a text, which has been added, by the flags that made it: its lines are in no
// file. ok is false if there is nothing wrong with it, or with anything else.
func faultsOfFlags(err error, n int, w *newWaiver) (faults strictyaml.Faults, ok bool) {
	if !errors.As(err, &faults) {
		return nil, false
	}
	flags := map[string]string{
		"": "account", "accounts": "account", "ous": "ou", "tags": "tag", "baselines": "baseline", "rules": "rule", "policies": "policy", "scopes": "scope",
	}
	needed := map[string]bool{
		"id": w.ID == "", "rule": len(w.Rules) == 0, "expires": w.Expires == "", "owner": w.Owner == "", "reason": w.Reason == "",
		"trusts": len(w.Trusts) == 0,
	}
	faults = slices.Clone(faults)
	for i := range faults {
		f := &faults[i]
		rest, added := strings.CutPrefix(f.Path, strictyaml.Index("waivers", n))
		if !added {
			return nil, false
		}
		key := strings.TrimPrefix(rest, ".")
		if end := strings.IndexAny(key, ".["); end >= 0 {
			key = key[:end]
		}
		name := cmp.Or(flags[key], key)
		switch {
		case needed[name]:
			f.Problem = "is needed"
		case name == "account" && len(w.Accounts) == 0:
			f.Problem, f.Remedy = "no account is chosen", "give --account, --ou or --tag; --account '*' is all of them"
		}
		f.Remedy = strings.ReplaceAll(f.Remedy, ", in quotes", "") // which are the file's
		*f = strictyaml.Fault{File: "--" + name, Problem: f.Problem, Remedy: f.Remedy}
	}
	return faults, true
}

func sameWaiver(a, b rules.Waiver) bool { return reflect.DeepEqual(a, b) }

// asText writes a text so that a file of waivers has it as that text, in quotes where there may be a doubt: what is a number or a sign of
// YAML to its reader need not be one to the library that writes it, such as an account's id of digits and one e.
func asText(s string) ([]byte, error) {
	first, _ := utf8.DecodeRuneInString(s)
	if unicode.IsLetter(first) && !strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" /_.-*", r)
	}) {
		return yaml.Marshal(s)
	}
	var quoted bytes.Buffer
	e := json.NewEncoder(&quoted)
	e.SetEscapeHTML(false)
	err := e.Encode(s)
	return quoted.Bytes(), err
}

// withWaiver is the text of a file of waivers with one more at its end.
func withWaiver(old []byte, w *newWaiver) ([]byte, error) {
	entry, err := yaml.MarshalWithOptions([]newWaiver{*w}, yaml.IndentSequence(true), yaml.UseSingleQuote(false), yaml.CustomMarshaler(asText))
	if err != nil {
		return nil, fmt.Errorf("write the waiver as YAML: %w", err)
	}
	text := bytes.TrimRight(old, "\n")
	text = bytes.TrimSuffix(text, []byte(" []"))
	text = append(text, '\n')
	for line := range bytes.Lines(entry) {
		if !bytes.HasPrefix(line, []byte("  ")) {
			line = append([]byte("  "), line...)
		}
		text = append(text, line...)
	}
	return text, nil
}

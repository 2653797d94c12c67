package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/agencyaudit/agencyaudit/auditor/daemon"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/rules"
)

// withHand has something done by hand to what repair is at: through the daemon that owns the state directory, which takes no key, or by
// this process. The error is of the exit code that it deserves.
func (a *app) withHand(ctx context.Context, do func(cfg *daemon.Config, h daemon.Hand) error) error {
	cfg, err := a.loadWithoutKeys()
	if err != nil {
		return err
	}
	m := &meter{idle: "waiting for the daemon"}
	h := daemon.AskDaemon(ctx, cfg.StateFolder())
	if h == nil {
		if cfg, err = a.load(); err != nil {
			return err
		}
		m.idle = ""
		if h, err = daemon.OpenHand(ctx, daemon.Options{Config: cfg, Logger: a.log, Version: buildInfo().Version, Progress: m.set}); err != nil {
			return &failure{code: exitPartial, err: err}
		}
	}
	err = repairFailure(do(cfg, &watched{h, func(ctx context.Context) func() { return a.progress(ctx, m) }}))
	if closed := h.Close(); closed != nil && err == nil {
		err = &failure{code: exitPartial, err: closed}
	}
	return err
}

// watched is a Hand at whose work somebody looks.
type watched struct {
	daemon.Hand
	progress func(context.Context) (stop func())
}

// Plan is Hand.Plan.
func (w *watched) Plan(ctx context.Context, requester string, accounts []string) (*remedy.Plan, error) {
	defer w.progress(ctx)()
	return w.Hand.Plan(ctx, requester, accounts)
}

// Approve is Hand.Approve.
func (w *watched) Approve(ctx context.Context, p *remedy.Plan, c remedy.Consent) (*remedy.Entry, error) {
	defer w.progress(ctx)()
	return w.Hand.Approve(ctx, p, c)
}

// Apply is Hand.Apply.
func (w *watched) Apply(ctx context.Context, p *remedy.Plan, actor string) (*remedy.Result, error) {
	defer w.progress(ctx)()
	return w.Hand.Apply(ctx, p, actor)
}

// Undo is Hand.Undo.
func (w *watched) Undo(ctx context.Context, run, requester string) (*remedy.Plan, error) {
	defer w.progress(ctx)()
	return w.Hand.Undo(ctx, run, requester)
}

// repairFailure is an error with the exit code that it deserves: what is refused is a matter of who asked.
func repairFailure(err error) error {
	if _, said := errors.AsType[*failure](err); err == nil || said {
		return err
	}
	if r, ok := errors.AsType[*remedy.RefusedError](err); ok {
		return &failure{code: exitUsage, err: r}
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted: whatever was done stands in the ledger, which agencyaudit ledger show prints")
	}
	return &failure{code: exitPartial, err: err}
}

// signer is who does something by hand.
type signer struct{ as, keyFile string }

// asFlag adds the flag that says who somebody is.
func (p *signer) asFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.as, "as", "", "act as this `person`, whose name is recorded; your user name by default")
	_ = cmd.RegisterFlagCompletionFunc("as", cobra.NoFileCompletions)
}

// keyFlag adds the flag that names what somebody signs with.
func (p *signer) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.keyFile, "key", "",
		"sign with the private key in this `file`: ed25519 in PEM, as openssl genpkey writes it; needed where remediation.approval.people have keys")
}

// name is who it is.
func (p *signer) name() (string, error) {
	name := p.as
	if name == "" {
		u, err := user.Current()
		if err != nil {
			return "", misuse("say who you are with --as NAME", "the user's name is not known: %w", err)
		}
		name = u.Username[strings.LastIndexByte(u.Username, '\\')+1:]
	}
	if remedy.Nobody(name) {
		return "", misuse("say who you are with --as NAME", "%q is nobody's name: it is what the program calls itself", name)
	}
	return name, nil
}

// key is what it signs with; nil for nothing.
func (p *signer) key() (ed25519.PrivateKey, error) {
	if p.keyFile == "" {
		return nil, nil
	}
	key, problem, remedy := daemon.ReadPrivateKey(p.keyFile)
	if problem != "" {
		return nil, misuse(remedy, "%s", problem)
	}
	return key, nil
}

// command is another command of this program, to be copied.
func (a *app) command(words ...string) string {
	line := []string{"agencyaudit", words[0]}
	for _, w := range words[1:] {
		line = append(line, shellWord(w))
	}
	if a.config != defaultConfig {
		line = append(line, "--config", shellWord(a.config))
	}
	return strings.Join(line, " ")
}

// signs is how a person signs where people have keys.
func signs(cfg *daemon.Config) []string {
	if len(cfg.Approvers()) == 0 {
		return nil
	}
	return []string{"--as", "NAME", "--key", "FILE"}
}

// readPlan reads a plan's file; - is stdin.
func (a *app) readPlan(file string) (*remedy.Plan, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(a.in, maxInput))
	} else {
		data, err = readInput(file)
	}
	if err != nil {
		return nil, misuse("write one with agencyaudit plan --out "+shellWord(file), "the plan %s cannot be read: %w", file, reason(err))
	}
	p, err := remedy.ParsePlan(data)
	if err != nil {
		return nil, &failure{code: exitUsage, err: fmt.Errorf("%s: %w", file, err)}
	}
	return p, nil
}

// planFlags are the flags of the commands that make plans.
type planFlags struct {
	signer
	accounts    []string
	out, format string
	verbose     bool
}

func (f *planFlags) add(cmd *cobra.Command) {
	outputFlag(cmd, &f.format, "table", "json")
	cmd.Flags().StringVar(&f.out, "out", "", "write the plan to this `file`, for approve and apply")
	cmd.Flags().BoolVar(&f.verbose, "verbose", false, "name every account of what is not put right")
	f.asFlag(cmd)
	f.keyFlag(cmd)
}

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "say what repair would do, what not, and why; changes nothing",
		Long: `Say what repair would do now, step by step, and what each step affects; what differs from the
baselines and is not put right, and what would have to change first; whether the plan fits the
limits, what stops it, what repair is doing, and how to go on. It changes nothing in the cloud, in
any mode; in mode off there is nothing to say.

While a daemon owns state_dir the plan is the daemon's, from its last run; otherwise a run is made
for it. With --out, --account, --as or --key it is a plan of your own, for approve and apply: either
what was shown is done, or nothing. An account that changed since then voids its steps.

Exit codes: 0 there is nothing to do, 1 there are steps, 2 not everything could be read (wins over
1), 3 bad usage or configuration, or mode off.`,
		Example: `  agencyaudit plan
  agencyaudit plan --account prod-eu --out plan.json
  agencyaudit plan --out plan.json --as alice --key alice.key
  agencyaudit plan -o json`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			requester, key, err := "", ed25519.PrivateKey(nil), error(nil)
			if flags.out != "" || flags.as != "" || flags.keyFile != "" || len(flags.accounts) > 0 {
				if requester, err = flags.name(); err != nil {
					return err
				}
				if key, err = flags.key(); err != nil {
					return err
				}
			}
			return a.withHand(cmd.Context(), func(cfg *daemon.Config, h daemon.Hand) error {
				p, err := h.Plan(cmd.Context(), requester, flags.accounts)
				if err != nil {
					return err
				}
				return a.showPlan(cmd.Context(), cfg, h, p, key, &flags)
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringArrayVar(&flags.accounts, "account", nil, "plan for this account alone, by `name` or id; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("account", a.accountNames)
	return cmd
}

func (a *app) undoCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "undo RUN",
		Short: "make the plan that takes back what was done after a run; changes nothing",
		Long: `Make the plan that takes back what was done after a run, as far as it is still so: what was granted
is revoked, what was revoked is granted. It changes nothing itself: apply carries the plan out, in
mode approve once it is approved, with all that guards every other plan. Waive what the next run
would only put right again, or do not repair it: the plan that follows from a run does not know why.

RUN is the id of the run, which ledger show prints with what was done.

What was granted can be taken back where remediation.excess is enabled, for that is revoking.

Exit codes: 0 there is nothing left to take back, 1 there are steps, or something that is not taken
back, and why, 2 not everything could be read (wins over 1), 3 bad usage or configuration, or the
ledger has nothing of that run.`,
		Example: `  agencyaudit undo 0f3a9c5d7e1b2a48
  agencyaudit undo 0f3a9c5d7e1b2a48 --out undo.json
  agencyaudit undo 0f3a9c5d7e1b2a48 --out undo.json --as alice --key alice.key`,
		Args: exactly(1, "the id of a run"),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			runs, _ := a.ledgerNames(ledgerPlace{})
			return offered(runs), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			requester, err := flags.name()
			if err != nil {
				return err
			}
			key, err := flags.key()
			if err != nil {
				return err
			}
			return a.withHand(cmd.Context(), func(cfg *daemon.Config, h daemon.Hand) error {
				p, err := h.Undo(cmd.Context(), args[0], requester)
				if err != nil {
					return err
				}
				return a.showPlan(cmd.Context(), cfg, h, p, key, &flags)
			})
		},
	}
	flags.add(cmd)
	return cmd
}

// showPlan signs a plan if there is a key, writes its file if one is wanted, and shows it. The error is of the exit code that it deserves.
func (a *app) showPlan(ctx context.Context, cfg *daemon.Config, h daemon.Hand, p *remedy.Plan, key ed25519.PrivateKey, flags *planFlags) error {
	if key != nil {
		p.SignRequest(key)
	}
	status, err := h.Status(ctx)
	if err != nil {
		return err
	}
	if flags.out != "" {
		file, err := a.openResult(flags.out, newFileMode)
		if err != nil {
			return err
		}
		if err := file.write(func(w io.Writer) error { return report.PlanFile(w, p) }); err != nil {
			return err
		}
	}
	v := report.PlanView{Plan: p, Status: status, Now: time.Now(), Daemon: h.Daemon()}
	v.Next, v.Commands = a.next(cfg, h, p, status.Mode, flags)
	o := a.layout()
	o.Verbose = flags.verbose
	out := result{to: a.out}
	if err := out.write(func(w io.Writer) error {
		if flags.format == "json" {
			return report.PlanJSON(w, v)
		}
		return report.Plan(w, v, o)
	}); err != nil {
		return err
	}
	switch {
	case p.Unread > 0 || p.Stopped == rules.HoldIncomplete:
		return &failure{code: exitPartial}
	case len(p.Steps) > 0, p.Undoes != "" && len(p.Held) > 0:
		return &failure{code: exitDrift}
	}
	return nil
}

// next says how to go on with a plan that was asked for by flags, with the commands for it.
func (a *app) next(cfg *daemon.Config, h daemon.Hand, p *remedy.Plan, mode remedy.Mode, flags *planFlags) (says string, commands []string) {
	says, commands = a.onward(cfg, h, p, mode, flags)
	if says != "" && p.Stopped != "" && p.Over == "" && mode.Acts() {
		says = "Nothing of it is carried out while it is stopped, see above. After that, " + strings.ToLower(says[:1]) + says[1:]
	}
	return says, commands
}

// again is the command by which the same plan is made once more, into a file, and signed where people have keys.
func (a *app) again(cfg *daemon.Config, p *remedy.Plan, flags *planFlags) string {
	words, file := []string{"plan"}, "plan.json"
	if p.Undoes != "" {
		words, file = []string{"undo", p.Undoes}, "undo.json"
	}
	for _, account := range flags.accounts { // without them it would be a plan for the whole fleet
		words = append(words, "--account", account)
	}
	if flags.out != "" {
		file = flags.out
	}
	return a.command(slices.Concat(words, []string{"--out", file}, signs(cfg))...)
}

// onward is next for a plan that nothing stops.
func (a *app) onward(cfg *daemon.Config, h daemon.Hand, p *remedy.Plan, mode remedy.Mode, flags *planFlags) (says string, commands []string) {
	own, file := p.RequestedBy != remedy.Daemon, flags.out
	approve := func(what string) string { return a.command(append([]string{"approve", what}, signs(cfg)...)...) }
	again := a.again(cfg, p, flags)
	switch {
	case len(p.Steps) == 0:
		return "", nil
	case !mode.Acts():
		return "Nothing of it can be carried out, since remediation.mode is " + string(mode) + ". In mode approve a person approves it first.", nil
	case p.Over != "":
		no := "Do not have it carried out like that: it would only freeze repair."
		if mode == remedy.ModeApprove {
			no = "It cannot be approved like that, for it would only freeze repair."
		}
		can := " Wait until a day has passed, "
		if slices.ContainsFunc(p.Steps, func(s rules.Step) bool { return s.AccountID != p.Steps[0].AccountID }) {
			can = " Plan for fewer accounts with --account, wait until a day has passed, "
		}
		return no + can + "or raise the limit of remediation.limits that it names.", nil
	case own && file == "":
		return "To have it carried out, write it to a file first:", []string{again}
	case mode == remedy.ModeApprove && own && len(cfg.Approvers()) > 0 && p.Signature == "":
		return "Nobody can approve it until whoever asks for it has signed it:", []string{again}
	case mode == remedy.ModeApprove && own && h.Daemon() && p.Undoes == "":
		return "To have the daemon carry it out:", []string{approve(file)}
	case mode == remedy.ModeApprove && own:
		return "To have it carried out:", []string{approve(file), a.command("apply", file)}
	case own:
		return "To have it carried out:", []string{a.command("apply", file)}
	case mode == remedy.ModeApprove && h.Daemon():
		return "To have the daemon carry it out:", []string{approve(p.Digest[:shownDigest])}
	case mode == remedy.ModeApprove:
		return "To have it carried out, without a daemon:", []string{again, approve("plan.json"), a.command("apply", "plan.json")}
	case h.Daemon():
		return "The daemon carries it out after its next run.", nil
	}
	return "A daemon would carry it out after its next run. To have it carried out now:", []string{again, a.command("apply", "plan.json")}
}

// How many characters of a digest name a plan, and how many a person types to say that it was read.
const (
	shownDigest = 12
	typedDigest = 8
)

func (a *app) applyCommand() *cobra.Command {
	var who signer
	var format string
	cmd := &cobra.Command{
		Use:   "apply PLAN",
		Short: "carry out a plan that plan --out wrote: exactly what it shows, or nothing",
		Long: `Carry out a plan that plan --out or undo --out wrote; - reads it from stdin. What was shown is what
is done, or nothing: each account is read again just before, and one that changed since the plan was
made voids its steps. Limits, windows, the kill switch and all other guards hold as they do for the
daemon, and in mode approve the plan must have been approved. One step follows the other, in waves
of one, two, four accounts and so on; the first step that fails ends it.

While a daemon owns state_dir, the daemon does it. A first interrupt ends it before its next step.

Exit codes: 0 all of it was done, 1 something was not, since it is void or failed, 2 of something it
is not known, since the cloud does not show it yet or cannot be read (wins over 1), 3 bad usage or
configuration, or it is refused.`,
		Example: `  agencyaudit apply plan.json
  agencyaudit apply plan.json -o json
  ssh bastion cat plan.json | agencyaudit apply -`,
		Args: exactly(1, "the file of a plan"),
		RunE: func(cmd *cobra.Command, args []string) error {
			actor, err := who.name()
			if err != nil {
				return err
			}
			p, err := a.readPlan(args[0])
			if err != nil {
				return err
			}
			return a.withHand(cmd.Context(), func(_ *daemon.Config, h daemon.Hand) error {
				r, err := h.Apply(cmd.Context(), p, actor)
				if r != nil && (err == nil || len(r.Done)+len(r.Open)+len(r.Void) > 0) { // what was refused has no outcome
					if err := a.outcome(p, r, format); err != nil {
						return err
					}
				}
				if err != nil {
					return err
				}
				return applied(r)
			})
		},
	}
	outputFlag(cmd, &format, "table", "json")
	who.asFlag(cmd)
	return cmd
}

// outcome writes what came of a plan, and how to go on.
func (a *app) outcome(p *remedy.Plan, r *remedy.Result, format string) error {
	o := a.layout()
	out := result{to: a.out}
	return out.write(func(w io.Writer) error {
		if format == "json" {
			return report.OutcomeJSON(w, p, r)
		}
		if err := report.Outcome(w, p, r, o); err != nil {
			return err
		}
		var b bytes.Buffer
		if len(r.Open) > 0 {
			b.WriteString("\nTo see what becomes of it, once a run has read the accounts again:\n  " + a.command("plan") + "\n  " +
				a.command("ledger show", "--run", r.Open[0].Run) + "\n")
		}
		for i := range r.Done {
			if d := &r.Done[i]; d.Outcome == remedy.OutcomeDone && p.Undoes == "" {
				b.WriteString("\nTo take it back:\n  " + a.command("undo", d.Run, "--out", "undo.json") + "\n")
				break
			}
		}
		_, err := b.WriteTo(w)
		return err
	})
}

// applied is the exit code that the outcome of a plan deserves.
func applied(r *remedy.Result) error {
	unknown := len(r.Open) > 0
	for i := range r.Void {
		switch r.Void[i].Reason {
		case rules.HoldUnreachable, rules.HoldIncomplete, rules.HoldPending:
			unknown = true
		default:
		}
	}
	for i := range r.Done {
		d := &r.Done[i]
		unknown = unknown || d.Outcome == remedy.OutcomeUnverified ||
			d.Outcome == remedy.OutcomeNotSent && strings.HasPrefix(d.Reason, string(rules.HoldUnreachable)+": ")
	}
	switch {
	case unknown:
		return &failure{code: exitPartial}
	case !r.Whole():
		return &failure{code: exitDrift}
	}
	return nil
}

func (a *app) approveCommand() *cobra.Command {
	var flags approveFlags
	cmd := &cobra.Command{
		Use:   "approve PLAN",
		Short: "show a plan, and approve it to be carried out once",
		Long: `Show a plan, ask for the first 8 characters of its digest, and approve it: it may then be carried
out once, until the approval ends. PLAN is a file that plan --out or undo --out wrote, or the digest
of the plan that plan shows now, of which the first 12 characters are enough. A daemon then begins a
run, and afterwards carries out what still holds of the plan; where there is no daemon, and for
plans of undo, apply does that.

Where remediation.approval.people have keys, the approval must be signed with the key of one of
them, who is not the one that asked for the plan. A plan that exceeds a limit cannot be approved: it
would freeze repair instead of being carried out.

Exit codes: 0 approved, 2 it could not be recorded, 3 bad usage or configuration, or the approval
does not count, and why.`,
		Example: `  agencyaudit approve plan.json
  agencyaudit approve 5f0c2b9a71de
  agencyaudit approve plan.json --yes --expires 4h
  agencyaudit approve plan.json --yes -o json
  agencyaudit approve plan.json --as bob --key bob.key`,
		Args: exactly(1, "a plan's file, or its digest"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("expires") && flags.expires < time.Minute {
				return misuse("write a duration such as 4h", "--expires %s is no time to carry anything out in", rules.Span(flags.expires))
			}
			named := approvable{what: args[0]}
			if args[0] != "-" || flags.yes { // whoever is asked answers on stdin
				if err := named.read(a); err != nil {
					return err
				}
			}
			switch {
			case !flags.yes && flags.format == "json": // a program reads it
				return misuse("add --yes if that is meant", "with -o json no plan is shown that could be confirmed")
			case !flags.yes && (args[0] == "-" || !a.inTerminal || !a.errTerminal):
				return misuse("add --yes if that is meant", "there is no terminal on which to confirm the approval")
			}
			name, err := flags.name()
			if err != nil {
				return err
			}
			key, err := flags.key()
			if err != nil {
				return err
			}
			return a.withHand(cmd.Context(), func(cfg *daemon.Config, h daemon.Hand) error {
				return a.approve(cmd.Context(), cfg, h, &named, name, key, &flags)
			})
		},
	}
	outputFlag(cmd, &flags.format, "table", "json")
	f := cmd.Flags()
	f.DurationVar(&flags.expires, "expires", 0, "how long the approval counts, such as 4h; by default as configured")
	f.BoolVar(&flags.yes, "yes", false, "do not ask")
	flags.asFlag(cmd)
	flags.keyFlag(cmd)
	return cmd
}

// approveFlags are the flags of the command approve.
type approveFlags struct {
	signer
	expires time.Duration
	yes     bool
	format  string
}

var digestPattern = regexp.MustCompile(`^[0-9a-f]{1,64}$`)

// approvable is a plan as somebody names it: by its file, or the one that is shown now by its digest.
type approvable struct {
	what string
	file *remedy.Plan // nil for a digest
}

// read reads the file, or has seen that a digest is meant.
func (n *approvable) read(a *app) (err error) {
	_, missing := os.Stat(n.what)
	switch {
	case n.what == "-" || missing == nil || !digestPattern.MatchString(n.what):
		n.file, err = a.readPlan(n.what)
		return err
	case len(n.what) < shownDigest:
		return misuse(fmt.Sprintf("name %d characters of it, or more", shownDigest), "%s is too little of a digest, and there is no such file", n.what)
	}
	return nil
}

// plan is the plan that was named.
func (n *approvable) plan(ctx context.Context, a *app, h daemon.Hand) (*remedy.Plan, error) {
	if n.file != nil {
		return n.file, nil
	}
	p, err := h.Plan(ctx, "", nil)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(p.Digest, n.what) {
		return nil, misuse("look at it with "+a.command("plan"), "the plan that is shown now is another one: %s", p.Digest)
	}
	return p, nil
}

// approve shows a plan, asks, and approves.
func (a *app) approve(
	ctx context.Context, cfg *daemon.Config, h daemon.Hand, named *approvable, name string, key ed25519.PrivateKey, flags *approveFlags,
) error {
	p, err := named.plan(ctx, a, h)
	if err != nil {
		return err
	}
	status, err := h.Status(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if flags.format != "json" {
		if err := report.Plan(a.out, report.PlanView{Plan: p, Status: status, Now: now, Daemon: h.Daemon()}, a.layout()); err != nil {
			return delivered(err)
		}
	}
	if !flags.yes {
		if err := a.confirm(ctx, p.Digest); err != nil {
			return err
		}
	}
	c := remedy.Consent{Actor: name}
	switch until := now.Add(flags.expires); {
	case key != nil && flags.expires == 0:
		c = remedy.Sign(p.Digest, name, key, now.Add(cfg.Remediation.Approval.Expires))
	case key != nil:
		c = remedy.Sign(p.Digest, name, key, until)
	case flags.expires > 0:
		c.Expires = until
	}
	approval, err := h.Approve(ctx, p, c)
	if err != nil {
		if _, refused := errors.AsType[*remedy.RefusedError](err); refused && key == nil && len(cfg.Approvers()) > 0 {
			return &failure{code: exitUsage, err: err, hint: "sign it: --as NAME --key FILE"}
		}
		return err
	}
	if flags.format == "json" {
		return delivered(report.ApprovalJSON(a.out, p, approval, h.Daemon()))
	}
	says, next := "Approved as "+name+", until "+utc(approval.Expires)+". ", ""
	why := "see above"
	killed := killSwitch(cfg)
	if killed != "" {
		why = killed
	}
	stopped := killed != "" || status.Frozen != nil || p.Stopped != "" && named.file == nil // what a file says of that is of when it was made
	switch {
	case h.Daemon() && p.Undoes == "" && stopped:
		says += "The daemon begins a run, but carries nothing out while repair is stopped (" + why + "): it does so after the first run from then on, " +
			"if the approval still counts. To look at it:"
		next = a.command("ledger show", "--last", "20")
	case h.Daemon() && p.Undoes == "":
		says += "The daemon begins a run, and carries out after it what of the plan is still so. To look at it:"
		next = a.command("ledger show", "--last", "20")
	case p.RequestedBy == remedy.Daemon:
		says += "A daemon carries it out, once it runs, after its first run:"
		next = a.command("run")
	default:
		says += "To have it carried out:"
		next = a.command("apply", named.what)
	}
	var b bytes.Buffer
	b.WriteByte('\n')
	_ = report.Paragraph(&b, "", rules.Escape(says), a.layout()) // a buffer takes everything
	b.WriteString("  " + rules.Escape(next) + "\n")
	_, err = b.WriteTo(a.out)
	return delivered(err)
}

// confirm has a person type what shows that the plan was read.
func (a *app) confirm(ctx context.Context, digest string) error {
	fmt.Fprintf(a.err, "\nTo approve it, type the first %d characters of its digest: ", typedDigest)
	typed := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(a.in).ReadString('\n') // what was typed before an end of file counts, too
		typed <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case line := <-typed:
		if line != digest[:typedDigest] {
			return &failure{code: exitUsage, err: errors.New("that is not how the digest begins: nothing was approved")}
		}
	}
	return nil
}

func (a *app) freezeCommand() *cobra.Command {
	var who signer
	var why string
	cmd := &cobra.Command{
		Use:   "freeze",
		Short: "stop all repair until unfreeze",
		Long: `Stop all repair until unfreeze lifts that: no step begins any more, and the one under way ends
before its request, unless that was sent already. Reading goes on. Plans and approvals stay.

Where the daemon cannot be reached, the file of remediation.freeze_file, FREEZE in state_dir unless
it is named, stops repair as well, for as long as it is there.

Exit codes: 0 frozen, 2 it could not be recorded, 3 bad usage or configuration.`,
		Example: `  agencyaudit freeze --reason CHG-4711
  touch /var/lib/agencyaudit/FREEZE          # the kill switch, without any program`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := reasoned(&who, why)
			if err != nil {
				return err
			}
			err = a.withHand(cmd.Context(), func(cfg *daemon.Config, h daemon.Hand) error {
				if err := h.Freeze(cmd.Context(), name, why); err != nil {
					hint := ""
					if file := cfg.FreezeFile(); file != "" {
						hint = "make the kill switch's file instead: touch " + shellWord(file)
					}
					return &failure{code: exitPartial, err: err, hint: hint}
				}
				return a.said("Repair is frozen. To lift it: " + a.command("unfreeze", "--reason", "WHY"))
			})
			if f, is := errors.AsType[*failure](err); is && f.faults {
				if cfg, unread := a.loadWithoutKeys(); unread == nil && cfg.FreezeFile() != "" {
					f.hint = "no daemon answers, and to freeze without one takes the keys; the kill switch takes none: touch " + shellWord(cfg.FreezeFile())
				}
			}
			return err
		},
	}
	who.asFlag(cmd)
	reasonFlag(cmd, &why)
	return cmd
}

func (a *app) unfreezeCommand() *cobra.Command {
	var who signer
	var why, account string
	cmd := &cobra.Command{
		Use:   "unfreeze",
		Short: "let repair go on, or release what is quarantined or cooling down in one account",
		Long: `Lift a freeze, whether a person or an exceeded limit led to it. With --account: lift the quarantines
of one account and end its cooling down after failures; a freeze stays.

A grant that was written, or tried, twice within a day is left alone until that is over; until then
this is refused.

Exit codes: 0 lifted, 2 there was nothing to lift, it was refused or could not be recorded, 3 bad
usage or configuration.`,
		Example: `  agencyaudit unfreeze --reason CHG-4712
  agencyaudit unfreeze --account prod-eu --reason CHG-4713`,
		Args: exactly(0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := reasoned(&who, why)
			if err != nil {
				return err
			}
			return a.withHand(cmd.Context(), func(cfg *daemon.Config, h daemon.Hand) error {
				id, err := a.heldAccount(cmd.Context(), cfg, h, account)
				if err != nil {
					return err
				}
				killed := killSwitch(cfg)
				if err := h.Unfreeze(cmd.Context(), id, name, why); err != nil {
					if killed != "" && account == "" {
						return &failure{code: exitPartial, err: err, hint: killed}
					}
					return err
				}
				if account != "" {
					return a.said("What of the account " + account + " was quarantined or cooled down is no longer held.")
				}
				if killed != "" {
					return a.said("What froze repair is lifted, and yet nothing is repaired: " + killed)
				}
				says := "Repair is no longer frozen."
				if s, err := h.Status(cmd.Context()); err == nil && h.Daemon() && s.Mode == remedy.ModeAuto && s.Plan != nil && s.Plan.Over != "" {
					says += " But the plan of the last run exceeds a limit, and if that of the next one does, too, it freezes repair again. In mode " +
						"approve it does not, and you can go account by account: " + a.command("plan", "--account", "ACCOUNT", "--out", "plan.json")
				}
				return a.said(says)
			})
		},
	}
	who.asFlag(cmd)
	reasonFlag(cmd, &why)
	cmd.Flags().StringVar(&account, "account", "", "release what is held in this account, by its `name` or id")
	_ = cmd.RegisterFlagCompletionFunc("account", a.accountNames)
	return cmd
}

// killSwitch says that the kill switch's file is there, and how to be rid of it; empty when it is not.
func killSwitch(cfg *daemon.Config) string {
	file := cfg.FreezeFile()
	if _, err := os.Lstat(file); file == "" || err != nil {
		return ""
	}
	return "the kill switch is on: delete the file " + file
}

func reasonFlag(cmd *cobra.Command, why *string) {
	cmd.Flags().StringVar(why, "reason", "", "why, in a `sentence`; it is recorded")
	_ = cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions)
}

// reasoned is who does something, if it was said why.
func reasoned(who *signer, why string) (string, error) {
	if strings.TrimSpace(why) == "" {
		return "", misuse(`add --reason "WHY"`, "it is not said why")
	}
	return who.name()
}

// said writes one sentence of a result.
func (a *app) said(text string) error {
	return delivered(report.Paragraph(a.out, "", rules.Escape(text), a.layout()))
}

// heldAccount is the id of an account of which something is held, by its name or id.
func (a *app) heldAccount(ctx context.Context, cfg *daemon.Config, h daemon.Hand, account string) (string, error) {
	if account == "" {
		return "", nil
	}
	s, err := h.Status(ctx)
	if err != nil {
		return "", err
	}
	ids := map[string]bool{}
	look := func(id, name string) {
		if id == account || name == account {
			ids[id] = true
		}
	}
	for i := range s.Quarantined {
		look(s.Quarantined[i].AccountID, s.Quarantined[i].Step.Account)
	}
	for i := range s.Last {
		look(s.Last[i].Step.AccountID, s.Last[i].Step.Account)
	}
	if s.Plan != nil {
		for i := range s.Plan.Held {
			look(s.Plan.Held[i].AccountID, s.Plan.Held[i].Account)
		}
	}
	if len(ids) == 0 && cfg.StateFolder() != "" { // what it cools down from may be long ago
		l, err := readLedger(filepath.Join(cfg.StateFolder(), remedy.LedgerName))
		if err != nil {
			return "", err
		}
		for _, step := range l.steps {
			look(step.AccountID, step.Account)
		}
	}
	if ids[account] || len(ids) == 0 {
		return account, nil
	}
	if len(ids) > 1 {
		return "", misuse("name it by its id", "%d accounts bear the name %q", len(ids), account)
	}
	for id := range ids {
		account = id
	}
	return account, nil
}

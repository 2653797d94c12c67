package huawei

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/rules"
)

// Writer changes grants of agencies: it adds them, or it takes them away, never both. It is the only thing of this package that can
// send a request that changes anything, and it sends each at most once, whatever comes of it.
//
// It enters accounts as a Cloud does, which it has one of its own for, with an identity of its own. Before the one request it asks whose
// the key is that the request will be signed with: some of these requests name an agency and no account.
type Writer struct {
	cloud  *Cloud
	action rules.Action
}

var _ auditor.Applier = (*Writer)(nil)

// NewWriter makes a Writer for one action. cfg is that of New, with the identity that repairs as Main and the agency that it assumes
// in each account as Members; no account has keys of its own. The account of Main itself is written to with the keys of Main.
func NewWriter(cfg Config, action rules.Action, log *slog.Logger) (*Writer, error) {
	if !slices.Contains(rules.Actions(), action) {
		return nil, fmt.Errorf("writer of Huawei Cloud: %q is nothing that it does", action)
	}
	for _, id := range slices.Sorted(maps.Keys(cfg.Accounts)) {
		if cfg.Accounts[id].Agency == "" {
			return nil, fmt.Errorf("writer of Huawei Cloud: account %s: an account is written to through an agency alone", id)
		}
	}
	if cfg.Meter != nil {
		cfg.Meter = quiet{cfg.Meter}
	}
	c, err := newCloud(cfg, action, log)
	if err != nil {
		return nil, fmt.Errorf("writer of Huawei Cloud: %w", err)
	}
	if !c.main.exists() {
		return nil, errors.New("writer of Huawei Cloud: there is no identity to write in the name of")
	}
	return &Writer{cloud: c, action: action}, nil
}

// quiet is a Meter that does not hear of breakers: what it is told of them is about the accounts that are read.
type quiet struct{ Meter }

// Breakers is not passed on.
func (quiet) Breakers(bool, int) {}

// Action is what the Writer does.
func (w *Writer) Action() rules.Action { return w.action }

// Verify asks whose key the identity's is that repairs. Apply does so itself.
func (w *Writer) Verify(ctx context.Context) error { return w.cloud.Verify(ctx) }

// Clock is how far this machine's clock is ahead of the cloud's, see Cloud.Clock.
func (w *Writer) Clock() (ahead time.Duration, known bool) { return w.cloud.Clock() }

// Requests is that of Cloud: how many were sent, by operation.
func (w *Writer) Requests() map[string]int64 { return w.cloud.Requests() }

// Close closes the connections that are not in use.
func (w *Writer) Close() { w.cloud.Close() }

// Apply sends the one request of a step. See auditor.Applier.
func (w *Writer) Apply(ctx context.Context, s *rules.Step, may func() error) auditor.Answer {
	t := &attempt{cloud: w.cloud, step: s, permit: permit{may: may}}
	ctx, cancel := context.WithTimeoutCause(ctx, w.cloud.applyTime(), errApplyTime)
	defer cancel()
	err := t.run(ctx, w.action)
	if err == nil {
		return auditor.Answer{Said: auditor.SaidDone, RequestID: t.requestID}
	}
	u := asUnknown(err)
	a := auditor.Answer{Said: t.said, RequestID: u.RequestID, Why: u}
	switch {
	case !t.permit.sent.Load():
		a.Said = auditor.SaidUnsent
		u.Detail = t.doing() + ": not sent: " + strings.TrimPrefix(u.Detail, "not sent: ")
	case a.Said == "": // a bug, after the request may have left
		a.Said = auditor.SaidNothing
	case a.Said == auditor.SaidAlready:
		a.Why = nil
	}
	return a
}

// applyTime is how long a step may take: as long as it takes to see who is who, and five requests more that hang.
func (c *Cloud) applyTime() time.Duration { return c.verifyTime() + 5*c.cfg.RequestTimeout }

var errApplyTime = fmt.Errorf("the time for one step is over: %w", context.DeadlineExceeded)

// permit lets one request that changes something through one wire, once.
type permit struct {
	op op
	// may says why it is not sent after all, in the moment before; nil is that nothing holds it back.
	may func() error
	// used says that it was, sent that the request may have left this machine.
	used, sent atomic.Bool
}

// attempt is one step while it is carried out.
type attempt struct {
	cloud  *Cloud
	step   *rules.Step
	permit permit
	// said is what the answer claims, once the request was sent and did not succeed, and requestID the id of the answer if it did.
	said      auditor.Said
	requestID string
}

// doing says in words what the step is about.
func (t *attempt) doing() string {
	s := t.step
	verb, to := "granting", "to"
	if s.Action == rules.ActionRevoke {
		verb, to = "revoking", "from"
	}
	return fmt.Sprintf("%s %s at %s %s the agency %q", verb, t.policy(), shorten(s.Grant.Scope.String()), to, shorten(s.Agency))
}

// policy is what people know the step's policy by.
func (t *attempt) policy() string {
	p := t.step.Grant.Policy
	if p.Name == "" {
		return fmt.Sprintf("the policy %s", shorten(p.ID))
	}
	return fmt.Sprintf("%q (%s)", shorten(p.Name), shorten(p.ID))
}

// no says why a step is not carried out.
func no(r rules.Reason, remedy, format string, args ...any) *rules.Unknown {
	return &rules.Unknown{Reason: r, Detail: fmt.Sprintf(format, args...), Remedy: remedy}
}

// run carries the step out. Its error is a *rules.Unknown.
func (t *attempt) run(ctx context.Context, action rules.Action) (err error) {
	c, s := t.cloud, t.step
	defer c.rescue(&err)
	if u := t.prepare(action); u != nil {
		return u
	}
	if err := c.Verify(ctx); err != nil {
		return err
	}
	d := c.door(s.AccountID)
	switch {
	case d == nil:
		return no(rules.ReasonDenied, "configure an agency of the account for this kind of repair", "no access to the account is configured for it")
	case d.access.Agency == s.Agency:
		return no(rules.ReasonDenied, "configure another agency, made for repair",
			"the agency %q is what is repaired; it is never assumed", shorten(s.Agency))
	}
	account := rules.Account{ID: s.AccountID, Name: s.Account}
	for first := true; ; first = false {
		if f := d.lane.breaker.refuses(); f != nil {
			return no(f.reason, c.remedy(opDomains, f, d.holder()), "%s", f.detail)
		}
		p, err := c.enter(ctx, account, d, true)
		if err != nil {
			return err
		}
		u := t.send(ctx, account, d, p)
		if u == nil {
			return nil
		}
		if u.Reason != rules.ReasonUnauthenticated {
			return u
		}
		d.forget(ctx, p)
		if t.permit.used.Load() || !c.worn(p) || !first {
			d.bar(p, u)
			return u
		}
		c.log.Info("keys of an account ended before a step was carried out; entering it anew", "account_id", account.ID)
	}
}

// prepare finds out which request the step is, and says what is wrong with the step.
func (t *attempt) prepare(action rules.Action) *rules.Unknown {
	const remedy = "report it: this program should have made no such step"
	s := t.step
	scope := s.Grant.Scope
	inside := scope.Kind == rules.Project || scope.Kind == rules.EnterpriseProject
	switch {
	case s.Action != action:
		return no(rules.ReasonRejected, remedy, "the step is to %s, and what carries it out can only %s", shorten(string(s.Action)), action)
	case !isID(s.AccountID), !isID(s.AgencyID), !isID(s.Grant.Policy.ID), inside && !isID(scope.ID), !inside && scope.ID != "":
		return no(rules.ReasonRejected, remedy, "the step has something for an id that is none")
	case s.Action == rules.ActionGrant && rules.NeverGranted(s.Grant.Policy.Name):
		return no(rules.ReasonRejected, "grant it by hand if it is really meant", "%s is never granted", t.policy())
	}
	var ok bool
	if t.permit.op, ok = writeAt(s.Action, scope.Kind); !ok {
		return no(rules.ReasonRejected, "do it by hand: "+t.byHand(), "this program does not %s at %s", s.Action, shorten(scope.Kind.Label()))
	}
	return nil
}

// writeAt is the request that does that at a scope. Grants are made at the scopes that a baseline can name without a project.
func writeAt(action rules.Action, kind rules.ScopeKind) (o op, ok bool) {
	if action == rules.ActionGrant {
		switch kind {
		case rules.Global:
			return opGrantGlobal, true
		case rules.AllResources:
			return opGrantInherited, true
		}
		return 0, false
	}
	switch kind {
	case rules.Global:
		return opRevokeGlobal, true
	case rules.AllResources:
		return opRevokeInherited, true
	case rules.Project:
		return opRevokeProject, true
	case rules.EnterpriseProject:
		return opRevokeEnterprise, true
	case rules.Identity:
		return opDetach, true
	}
	return 0, false
}

// send asks whose the keys of p are and then sends the step's request, signed with them. It says what came instead of a success.
func (t *attempt) send(ctx context.Context, account rules.Account, d *door, p pass) *rules.Unknown {
	c := t.cloud
	w, done := c.newWire(ctx, p.keys, c.log.With("account_id", account.ID))
	defer done()
	w.account, w.by, w.lane, w.permit = account.ID, d.holder(), d.lane, &t.permit
	s := &sweep{cloud: c, account: account, wire: w, by: d.holder()}
	var err error
	if s.api, err = w.dial(account.ID); err != nil {
		return no(rules.ReasonUnauthenticated, "", "%s", err.Error())
	}
	// STS has said whose session it is; of all other keys the cloud has to name the account.
	if err := s.ownKey(d.access.Agency == "" || d.access.Via != ViaSTS); err != nil {
		return asUnknown(err)
	}
	requestID, err := s.api.write(t.permit.op, t.step)
	if err == nil {
		t.requestID = cleanID(requestID)
		return nil
	}
	f := *asFault(t.permit.op, err)
	f.detail = p.keys.scrub(f.detail)
	u := c.unknown(t.permit.op, t.doing(), &f, d.holder())
	if !t.permit.sent.Load() {
		u.Detail = f.detail
		return u
	}
	switch t.said = said(t.permit.op, &f); t.said {
	case auditor.SaidRefused:
		u.Detail += "; nothing was done"
		if f.status == http.StatusForbidden {
			u.Remedy = t.allow(d)
		}
	case auditor.SaidFailed:
		u.Detail += "; nothing was done"
		if f.reason != rules.ReasonThrottled {
			u.Remedy = "look on the IAM console at the agency, and do it by hand: " + t.byHand()
		}
	case auditor.SaidNothing:
		u.Detail += "; whether it was done is not known"
		u.Remedy = cmp.Or(unsureRemedies[f.reason], unsureRemedies[rules.ReasonRejected])
	}
	return u
}

// unsureRemedies are what to do when nothing is known, by the reason.
var unsureRemedies = map[rules.Reason]string{
	rules.ReasonRejected: "reading the account shows it; if such answers last, see who answers at the endpoint's address, and ask the cloud's " +
		"support, with the request id where there is one",
	rules.ReasonTimeout:     "reading the account shows it; if it lasts, look at the way from this machine to the cloud",
	rules.ReasonUnreachable: "reading the account shows it; if it lasts, look at the way from this machine to the cloud",
}

// said is what the fault of a request that was sent claims. Only a refusal in the documented form says that nothing was done.
func said(o op, f *fault) auditor.Said {
	revoke := operations[o].changes == rules.ActionRevoke
	switch {
	case !f.formal || f.status < 400 || f.status >= 500 || f.status == http.StatusRequestTimeout:
		return auditor.SaidNothing
	case f.status == http.StatusUnauthorized, f.status == http.StatusForbidden:
		return auditor.SaidRefused
	case f.status == http.StatusConflict && !revoke:
		return auditor.SaidAlready
	case f.status == http.StatusNotFound && revoke && f.code != notPublished && !strings.Contains(strings.ToLower(f.message), "agency"):
		return auditor.SaidAlready // else the agency itself is not there, or the API
	}
	return auditor.SaidFailed
}

// notPublished is the code by which a gateway says that it has no such API (facts 10.1).
const notPublished = "APIGW.0101"

// allow says who lets the program do it, and who can do it instead.
func (t *attempt) allow(d *door) string {
	to := fmt.Sprintf("the agency %q, which is assumed for it", shorten(d.access.Agency))
	if d.access.Agency == "" {
		to = "the identity that repairs, whose own account it is"
	}
	return fmt.Sprintf("an administrator of the account allows %s the action %s, which is in repair-%s.json of deploy/iam; or the account's owner or "+
		"an administrator does it by hand: %s", to, spelt(operations[t.permit.op].action), t.step.Action, t.byHand())
}

// byHand says how a person does what the step does.
func (t *attempt) byHand() string {
	s := t.step
	scope := s.Grant.Scope.Kind.Label()
	if s.Grant.Scope.Kind == rules.Global {
		scope += " [Global]"
	}
	if in := cmp.Or(s.Grant.Scope.Name, s.Grant.Scope.ID); in != "" {
		scope += " " + shorten(in)
	}
	place := fmt.Sprintf("IAM console → Agencies → %s → Permissions", shorten(s.Agency))
	kind := "System-defined policy"
	if s.Grant.Policy.Origin == rules.Custom {
		kind = "Custom policy"
	}
	if s.Action == rules.ActionGrant {
		return fmt.Sprintf("%s → Authorize → Type: %s → %s, scope %s", place, kind, t.policy(), scope)
	}
	return fmt.Sprintf("%s → %s, scope %s → Delete", place, t.policy(), scope)
}

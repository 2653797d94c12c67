package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/history"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/auditor/web"
)

// Hand is repair by hand: what people's commands do. It is the same engine, with the same guards, whether the daemon is told through its
// socket or this process does it.
type Hand interface {
	// Status says what repair is at.
	Status(ctx context.Context) (*remedy.Status, error)
	// Plan is what would be done now: by the daemon's last run, or by a run that is made for it. With a requester it is that person's own,
	// of the accounts with these names or ids, or of all. Its error is a *remedy.RefusedError when there is nothing to plan for.
	Plan(ctx context.Context, requester string, accounts []string) (*remedy.Plan, error)
	// Approve has a plan carried out once, and returns what the ledger says of that. Its error is a *remedy.RefusedError when the approval
	// does not count.
	Approve(ctx context.Context, p *remedy.Plan, c remedy.Consent) (*remedy.Entry, error)
	// Apply carries a plan out, as far as nothing changed since it was made.
	Apply(ctx context.Context, p *remedy.Plan, actor string) (*remedy.Result, error)
	// Undo is the plan that takes back what the plan of a run did. It does nothing: that is for Apply.
	Undo(ctx context.Context, run, requester string) (*remedy.Plan, error)
	// Freeze stops all repair at once, and Unfreeze lets it go on: all of it or, with the id of an account, what of that account was
	// quarantined or cools down.
	Freeze(ctx context.Context, actor, reason string) error
	Unfreeze(ctx context.Context, accountID, actor, reason string) error
	// Daemon says whether a daemon does it.
	Daemon() bool
	// Close ends the use. No other method may be under way.
	Close() error
}

// SocketName is the name of the daemon's socket in the state directory.
const SocketName = "agencyaudit.sock"

// OpenHand begins repair by hand, through the daemon that owns the state directory, or as its owner when no daemon does. Nothing is sent
// to the cloud before a method needs that.
func OpenHand(ctx context.Context, o Options) (Hand, error) {
	if o.Config == nil {
		return nil, errors.New("repair: there is no configuration")
	}
	dir := o.Config.StateFolder()
	if dir == "" {
		return newByItself(ctx, o)
	}
	if h := dialHand(dir); h.answers(ctx) {
		return h, nil
	}
	h, err := newByItself(ctx, o)
	if used, ok := errors.AsType[*history.InUse](err); ok {
		if d := dialHand(dir); d.answers(ctx) { // it has just begun
			return d, nil
		}
		return nil, fmt.Errorf("%w; it does not answer at its socket %s: ask as the user that it runs as, or see its log", used,
			filepath.Join(dir, SocketName))
	}
	return h, err
}

// AskDaemon begins repair by hand through the daemon that owns a state directory; nil when none answers there. It needs no key.
func AskDaemon(ctx context.Context, dir string) Hand {
	if dir == "" {
		return nil
	}
	if h := dialHand(dir); h.answers(ctx) {
		return h
	}
	return nil
}

// remote is a Hand through a socket.
type remote struct{ http *http.Client }

func dialHand(dir string) *remote {
	return &remote{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return web.DialPrivate(ctx, filepath.Join(dir, SocketName))
		},
	}}}
}

// answers says whether a daemon is there.
func (r *remote) answers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_, err := r.Status(ctx)
	return err == nil
}

// maxAnswer bounds what is read from the socket.
const maxAnswer = 64 << 20

// failure is how the socket says an error.
type failure struct {
	Error   string `json:"error"`
	Refused bool   `json:"refused,omitempty"`
}

// ask sends one request, and reads its answer into out unless that is nil.
func (r *remote) ask(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon/v1/"+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		var f failure
		if json.Unmarshal(data, &f) != nil || f.Error == "" {
			return fmt.Errorf("ask the daemon: it answered %s", resp.Status)
		}
		if f.Refused {
			return &remedy.RefusedError{Why: f.Error}
		}
		return errors.New(f.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("ask the daemon: its answer cannot be read: %w", err)
	}
	return nil
}

// order is what the commands send.
type order struct {
	Plan    *remedy.Plan    `json:"plan,omitempty"`
	Consent *remedy.Consent `json:"consent,omitempty"`
	Run     string          `json:"run,omitempty"`
	Account string          `json:"account,omitempty"`
	// Accounts are those that a plan is to be about.
	Accounts []string `json:"accounts,omitempty"`
	Actor    string   `json:"actor,omitempty"`
	Reason   string   `json:"reason,omitempty"`
}

// person refuses what nobody is said to have asked for, or the program itself: the ledger is to say who did it.
func (o *order) person() error {
	if remedy.Nobody(o.Actor) {
		return &remedy.RefusedError{Why: "it is a person's to ask for this: say who does"}
	}
	return nil
}

// Status is Hand.Status.
func (r *remote) Status(ctx context.Context) (*remedy.Status, error) {
	var s remedy.Status
	return &s, r.ask(ctx, http.MethodGet, "status", nil, &s)
}

// Plan is Hand.Plan.
func (r *remote) Plan(ctx context.Context, requester string, accounts []string) (*remedy.Plan, error) {
	return r.plan(ctx, "plan", order{Actor: requester, Accounts: accounts})
}

// Approve is Hand.Approve.
func (r *remote) Approve(ctx context.Context, p *remedy.Plan, c remedy.Consent) (*remedy.Entry, error) {
	var e remedy.Entry
	return &e, r.ask(ctx, http.MethodPost, "approve", order{Plan: p, Consent: &c}, &e)
}

// Apply is Hand.Apply.
func (r *remote) Apply(ctx context.Context, p *remedy.Plan, actor string) (*remedy.Result, error) {
	var res remedy.Result
	return &res, r.ask(ctx, http.MethodPost, "apply", order{Plan: p, Actor: actor}, &res)
}

// Undo is Hand.Undo.
func (r *remote) Undo(ctx context.Context, run, requester string) (*remedy.Plan, error) {
	return r.plan(ctx, "undo", order{Run: run, Actor: requester})
}

// plan asks for a plan. People are shown its steps and sign its digest: whoever answers, the two belong together.
func (r *remote) plan(ctx context.Context, path string, o order) (*remedy.Plan, error) {
	var p remedy.Plan
	if err := r.ask(ctx, http.MethodPost, path, o, &p); err != nil {
		return nil, err
	}
	if !p.Intact() {
		return nil, errors.New("ask the daemon: the steps of its plan do not fit the plan's digest: see who answers at its socket")
	}
	return &p, nil
}

// Freeze is Hand.Freeze.
func (r *remote) Freeze(ctx context.Context, actor, reason string) error {
	return r.ask(ctx, http.MethodPost, "freeze", order{Actor: actor, Reason: reason}, nil)
}

// Unfreeze is Hand.Unfreeze.
func (r *remote) Unfreeze(ctx context.Context, accountID, actor, reason string) error {
	return r.ask(ctx, http.MethodPost, "unfreeze", order{Account: accountID, Actor: actor, Reason: reason}, nil)
}

// Daemon is Hand.Daemon.
func (r *remote) Daemon() bool { return true }

// Close is Hand.Close.
func (r *remote) Close() error {
	r.http.CloseIdleConnections()
	return nil
}

// byItself is a Hand of this process, which owns the state directory meanwhile if there is one.
type byItself struct {
	d     *Daemon
	known *auditor.Snapshot // before the run that is made when it is needed, and after it
	ran   bool
}

func newByItself(ctx context.Context, o Options) (*byItself, error) {
	d, err := New(o)
	if err != nil {
		return nil, err
	}
	h := &byItself{d: d}
	if h.known, err = d.first(ctx); err != nil {
		d.Close()
		return nil, err
	}
	if err := d.openRepair(ctx, remedy.Command); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// run makes the run that plans rest on, once.
func (h *byItself) run(ctx context.Context) error {
	if h.ran {
		return nil
	}
	run, err := h.d.current().run(ctx, "repair", nil, h.known, h.d.options.Progress)
	if err == nil {
		err = ctx.Err() // what it left unread is not unknown, only unread
	}
	if err != nil {
		return err
	}
	h.known, h.ran = h.known.Next(run), true
	h.d.snapshot.Store(h.known)
	if h.d.past.store == nil {
		return nil
	}
	if err := h.d.past.store.Record(ctx, h.known); err != nil {
		h.d.options.Logger.Error("the run was not recorded in the history", "err", err)
	}
	return nil
}

// runAndSettle makes that run, and reads what became of the steps that are open, as a daemon does after each of its runs: there is nobody else
// who would, and nothing is proposed for an account as long as it is not known.
func (h *byItself) runAndSettle(ctx context.Context) error {
	if h.ran {
		return nil
	}
	if err := h.run(ctx); err != nil {
		return err
	}
	if err := h.d.repair.engine.Settle(ctx, h.d.current().jobOf(h.known)); err != nil {
		h.d.options.Logger.Error("what became of the steps before could not be written down", "err", err)
	}
	return nil
}

// Status is Hand.Status.
func (h *byItself) Status(context.Context) (*remedy.Status, error) {
	s := h.d.repair.engine.Status()
	return &s, nil
}

// Plan is Hand.Plan.
func (h *byItself) Plan(ctx context.Context, requester string, accounts []string) (*remedy.Plan, error) {
	if h.d.current().config.RepairMode() != remedy.ModeOff { // else it only says so
		if err := h.runAndSettle(ctx); err != nil {
			return nil, err
		}
	}
	return h.d.planned(requester, accounts)
}

// Approve is Hand.Approve.
func (h *byItself) Approve(ctx context.Context, p *remedy.Plan, c remedy.Consent) (*remedy.Entry, error) {
	// It is the one that follows from a run, or is counted with what such a one says is to come.
	if p.RequestedBy == remedy.Daemon || h.d.repair.engine.Agreed() {
		if _, err := h.Plan(ctx, "", nil); err != nil {
			return nil, err
		}
	}
	e, err := h.d.repair.engine.Approve(p, c)
	return &e, err
}

// Apply is Hand.Apply.
func (h *byItself) Apply(ctx context.Context, p *remedy.Plan, actor string) (*remedy.Result, error) {
	if m := h.d.current().config.RepairMode(); !m.Acts() { // before anything is read for it
		return nil, &remedy.RefusedError{Why: fmt.Sprintf("remediation.mode is %s: nothing can be carried out", m)}
	}
	if err := h.run(ctx); err != nil {
		return nil, err
	}
	return h.d.applied(ctx, p, actor)
}

// Undo is Hand.Undo.
func (h *byItself) Undo(ctx context.Context, run, requester string) (*remedy.Plan, error) {
	if h.d.current().config.RepairMode() == remedy.ModeOff {
		return nil, &remedy.RefusedError{Why: "remediation.mode is off: nothing can be taken back"}
	}
	if err := h.runAndSettle(ctx); err != nil {
		return nil, err
	}
	return h.d.undoing(run, requester)
}

// Freeze is Hand.Freeze.
func (h *byItself) Freeze(_ context.Context, actor, reason string) error {
	return h.d.repair.engine.Freeze(actor, reason)
}

// Unfreeze is Hand.Unfreeze.
func (h *byItself) Unfreeze(_ context.Context, accountID, actor, reason string) error {
	return h.d.unfrozen(accountID, actor, reason)
}

// Daemon is Hand.Daemon.
func (h *byItself) Daemon() bool { return false }

// Close is Hand.Close.
func (h *byItself) Close() error {
	err := errors.Join(h.d.closeRepair(), h.d.closePast())
	h.d.Close()
	return err
}

// serveHand serves Hand at the socket of the state directory until the returned function is called. Whoever may write in that directory
// is who the daemon runs as; the socket is that user's alone.
func (d *Daemon) serveHand() (stop func(), err error) {
	path := filepath.Join(d.past.dir, SocketName)
	l, err := web.ListenPrivate(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler: d.hand(), ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx },
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	return func() {
		cancel() // what is carried out ends before its next step
		ending, release := context.WithTimeout(context.Background(), shutdownTimeout)
		defer release()
		if server.Shutdown(ending) != nil {
			_ = server.Close()
		}
		<-done
		_ = os.Remove(path)
	}, nil
}

// noted has shown and remembered what somebody had written into the ledger: one that was put back to before it is then found out.
func (d *Daemon) noted(ctx context.Context) {
	d.tellRepair()
	d.rememberHead(ctx)
}

// hand are the socket's answers.
func (d *Daemon) hand() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(ctx context.Context, o *order) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			var o order
			data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAnswer))
			if err == nil && len(data) > 0 {
				err = json.Unmarshal(data, &o)
			}
			var answer any
			if err == nil {
				answer, err = do(r.Context(), &o)
			}
			if err != nil {
				_, refused := errors.AsType[*remedy.RefusedError](err)
				w.WriteHeader(http.StatusUnprocessableEntity)
				answer = failure{Error: err.Error(), Refused: refused}
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	e := d.repair.engine
	handle("GET /v1/status", func(context.Context, *order) (any, error) { return e.Status(), nil })
	handle("POST /v1/plan", func(_ context.Context, o *order) (any, error) { return d.planned(o.Actor, o.Accounts) })
	handle("POST /v1/approve", func(ctx context.Context, o *order) (any, error) {
		if o.Plan == nil || o.Consent == nil {
			return nil, errors.New("approve: there is no plan, or nobody who approves it")
		}
		defer d.noted(ctx)
		approved, err := e.Approve(o.Plan, *o.Consent)
		if err == nil {
			d.scheduler.Request(triggerApproval)
		}
		return approved, err
	})
	handle("POST /v1/apply", func(ctx context.Context, o *order) (any, error) {
		if o.Plan == nil {
			return nil, errors.New("apply: there is no plan")
		}
		if err := o.person(); err != nil {
			return nil, err
		}
		return d.applied(ctx, o.Plan, o.Actor)
	})
	handle("POST /v1/undo", func(_ context.Context, o *order) (any, error) { return d.undoing(o.Run, o.Actor) })
	handle("POST /v1/freeze", func(ctx context.Context, o *order) (any, error) {
		if err := o.person(); err != nil {
			return nil, err
		}
		defer d.noted(ctx)
		return struct{}{}, e.Freeze(o.Actor, o.Reason)
	})
	handle("POST /v1/unfreeze", func(ctx context.Context, o *order) (any, error) {
		if err := o.person(); err != nil {
			return nil, err
		}
		defer d.noted(ctx)
		return struct{}{}, d.unfrozen(o.Account, o.Actor, o.Reason)
	})
	return mux
}

package daemon

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// TestWhatIsShownIsWhatIsSigned: whoever answers at the socket, the steps that people are shown are those whose digest they sign.
func TestWhatIsShownIsWhatIsSigned(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, SocketName))
	if err != nil {
		t.Fatal(err)
	}
	shown := remedy.Plan{Steps: []rules.Step{{Action: rules.ActionGrant, AccountID: "a0", Affects: []string{"nothing"}}}, RequestedBy: remedy.Daemon}
	right := shown.By(remedy.Daemon, nil)
	wrong := right
	wrong.Digest = strings.Repeat("0", 64)
	answer := &wrong
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_ = json.NewEncoder(w).Encode(remedy.Status{})
			return
		}
		_ = json.NewEncoder(w).Encode(answer)
	})}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	h := AskDaemon(t.Context(), dir)
	if h == nil {
		t.Fatal("nobody answers")
	}
	if p, err := h.Plan(t.Context(), "", nil); err == nil {
		t.Errorf("shown: %+v", p)
	}
	if p, err := h.Undo(t.Context(), "run", "alice"); err == nil {
		t.Errorf("shown: %+v", p)
	}
	answer = &right
	if p, err := h.Plan(t.Context(), "", nil); err != nil || len(p.Steps) != 1 {
		t.Errorf("%v, %+v", err, p)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}

// bugged is a clock in whose program a bug shows once.
type bugged struct{ shows bool }

func (b *bugged) Now() time.Time {
	if b.shows {
		b.shows = false
		panic("a bug")
	}
	return time.Now()
}

func (*bugged) Sleep(context.Context, time.Duration) error { return nil }

// inMemory is a ledger in memory.
type inMemory struct{ n int64 }

func (k *inMemory) Append(e remedy.Entry) (remedy.Entry, error) {
	k.n++
	e.Seq = k.n
	return e, nil
}

func (*inMemory) Err() error { return nil }

// TestABugByHand: a bug in the middle of what is carried out by hand is counted and said, and nothing is repaired after it, as in a run.
func TestABugByHand(t *testing.T) {
	cfg := repairConfig(t, "auto")
	counted, err := metrics.New(metrics.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{metrics: counted, engine: &engine{config: cfg}}
	d.options.Now, d.options.Logger = time.Now, slog.New(slog.DiscardHandler)
	clock := &bugged{}
	d.repair.engine = remedy.New(remedy.Options{Journal: &inMemory{}, Clock: clock, Meter: meter{d.metrics}})
	s := auditor.NewSnapshot(nil, cfg.LoadedBaselines(), time.Hour)
	s.Run = &auditor.Run{ID: "run"}
	d.snapshot.Store(s)
	p := (&remedy.Plan{}).By("alice", nil)
	clock.shows = true
	if r, err := d.applied(t.Context(), &p, "alice"); err == nil || r != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if s := d.repair.engine.Status(); !strings.Contains(s.Ledger, "a bug in this program") {
		t.Errorf("and goes on: %+v", s)
	}
}

// TestTheScheduleIsThereBeforeTheSocket: whoever approves a plan as soon as the socket answers has a run begun.
func TestTheScheduleIsThereBeforeTheSocket(t *testing.T) {
	var look sync.Once
	early := make(chan bool, 1)
	l := startLoopWith(t, func(l *loop, o *Options) {
		o.Now = func() time.Time {
			// What the schedule asks for as it starts comes between the two.
			if _, err := os.Lstat(filepath.Join(filepath.Dir(l.file), "state", SocketName)); err == nil {
				look.Do(func() { early <- l.d.scheduler == nil })
			}
			return time.Now()
		}
	}, kept, alpha)
	l.gate.Unlock()
	defer func() { _ = l.stop() }()
	if <-early {
		t.Error("the socket answers before there is a schedule")
	}
}

package daemon

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

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

package huawei

import (
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// TestOnlyAWriterWrites: no request that changes something leaves a reader, nor a writer for anything but its own action, once, on the
// wire that was made for that one request. There is not even a connection.
func TestOnlyAWriterWrites(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var came atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close() })
	at := "http://" + listener.Addr().String()
	keys := Keys{AccessKey: NewSecret("AK"), SecretKey: NewSecret("SK")}
	cfg := Config{Endpoints: Endpoints{IAM: at, STS: at, Organizations: at}, Main: Identity{Keys: keys, AccountID: "a0"}}
	reader, err := New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	clouds := map[rules.Action]*Cloud{"": reader}
	cfg.Members = Access{Agency: "Repair"}
	for _, action := range rules.Actions() {
		w, err := NewWriter(cfg, action, nil)
		if err != nil {
			t.Fatal(err)
		}
		clouds[action] = w.cloud
	}
	step := &rules.Step{AccountID: "d1", AgencyID: "g1", Grant: rules.Grant{Policy: rules.Policy{ID: "p1"}, Scope: rules.Scope{ID: "s1"}}}
	for o := range operations {
		changes := operations[o].changes
		if changes == "" {
			continue
		}
		used := &permit{op: op(o)}
		used.used.Store(true)
		for action, c := range clouds {
			permits := map[string]*permit{"none": nil, "used": used, "of another request": {op: opAgencies}}
			if action != changes {
				permits["its own"] = &permit{op: op(o)}
			}
			for which, p := range permits {
				w, done := c.newWire(t.Context(), keys, slog.New(slog.DiscardHandler))
				w.permit = p
				for _, dial := range []func(*wire, string) (api, error){dialSDK, dialLight} {
					a, err := dial(w, "d1")
					if err != nil {
						t.Fatal(err)
					}
					if _, err := a.write(op(o), step); err == nil || !strings.Contains(err.Error(), "not sent: "+operations[o].name+" changes something") {
						t.Errorf("%s by what is there to %q, permit %s: %v", operations[o].name, action, which, err)
					}
				}
				done()
				if p != nil && p.sent.Load() {
					t.Errorf("%s by what is there to %q, permit %s: taken for sent", operations[o].name, action, which)
				}
			}
			if n := c.requests[o].Load(); n > 0 {
				t.Errorf("%d requests", n)
			}
		}
	}
	if n := came.Load(); n > 0 {
		t.Errorf("%d connections", n)
	}
}

// TestEveryChangeIsOneOfTwo: what is not a GET makes a temporary key, or changes something and says what; and each is the request
// of one scope.
func TestEveryChangeIsOneOfTwo(t *testing.T) {
	found := map[op]int{}
	for _, action := range rules.Actions() {
		for _, kind := range rules.Planes() {
			if o, ok := writeAt(action, kind); ok {
				found[o]++
				if operations[o].changes != action {
					t.Errorf("%s at %s is %s", action, kind, operations[o].name)
				}
			}
		}
	}
	for o := range operations {
		d := &operations[o]
		switch {
		case d.changes == "":
			if d.method != http.MethodGet && !op(o).assumes() || found[op(o)] > 0 {
				t.Errorf("%s is a %s", d.name, d.method)
			}
		case found[op(o)] != 1 || d.action == "" || d.envelope != nil || d.shared || d.secret:
			t.Errorf("%s: %+v, %d", d.name, d, found[op(o)])
		}
	}
}

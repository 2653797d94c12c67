package huawei

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

type none struct{ t *testing.T }

func (n none) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s was sent", r.Method, r.URL)
	return nil, errors.New("sent")
}

// TestWritesDoNotLeave has the SDK try to change something through a wire.
func TestWritesDoNotLeave(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.transport = none{t}
	w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("a"), SecretKey: NewSecret("s")}, c.log)
	defer done()
	requests, err := w.dial("d1")
	if err != nil {
		t.Fatal(err)
	}
	clients, ok := requests.(sdk)
	if !ok {
		t.Fatalf("the requests are made by %T", requests)
	}
	for name, try := range map[string]func() error{
		"grant": func() error {
			_, err := clients.v3.AssociateAgencyWithDomainPermission(&model.AssociateAgencyWithDomainPermissionRequest{DomainId: "d1", AgencyId: "a", RoleId: "r"})
			return err
		},
		"revoke": func() error {
			_, err := clients.v3.RemoveAllProjectsPermissionFromAgency(&model.RemoveAllProjectsPermissionFromAgencyRequest{DomainId: "d1", AgencyId: "a", RoleId: "r"})
			return err
		},
		"delete": func() error {
			_, err := clients.v3.DeleteAgency(&model.DeleteAgencyRequest{AgencyId: "a"})
			return err
		},
		"attach": func() error {
			_, err := clients.v5.AttachAgencyPolicyV5(&model5.AttachAgencyPolicyV5Request{PolicyId: "p", Body: &model5.AttachAgencyPolicyReqBody{AgencyId: "a"}})
			return err
		},
		"a read that is not of the list": func() error {
			_, err := clients.v3.ShowAgency(&model.ShowAgencyRequest{AgencyId: "a"})
			return err
		},
		"an id that is a path": func() error {
			_, err := clients.v3.KeystoneShowPermission(&model.KeystoneShowPermissionRequest{RoleId: "../auth/domains/x"})
			return err
		},
	} {
		f, ok := errors.AsType[*fault](try())
		if !ok || f.reason != rules.ReasonRejected || !strings.Contains(f.detail, "not sent") {
			t.Errorf("%s: %v", name, f)
		}
	}
	// A request to another host is none of this program's either.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://evil.example.com/v3/roles", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
		t.Error("sent to another host")
	}
	if n := w.sent.Load(); n != 0 {
		t.Errorf("%d requests counted", n)
	}
}

// TestEveryOperationHasItsHost: a request does not leave for the host of another service, nor on another scheme.
func TestEveryOperationHasItsHost(t *testing.T) {
	for o := range operations {
		c, err := New(Config{Endpoints: Endpoints{
			IAM: "https://iam.example.com", STS: "https://sts.example.com", Organizations: "https://organizations.example.com",
		}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sent := 0
		c.transport = roundTrips(func(*http.Request) (*http.Response, error) {
			sent++
			return nil, errors.New("sent")
		})
		for _, base := range []string{
			"https://iam.example.com", "https://sts.example.com", "https://organizations.example.com", "http://iam.example.com",
			"http://sts.example.com", "http://organizations.example.com", "https://iam.example.com:444", "https://evil.example.com",
		} {
			w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("a"), SecretKey: NewSecret("s")}, c.log)
			c.pauses.retries, sent = 0, 0
			c.writes, w.permit = operations[o].changes, &permit{op: op(o)}
			address := base + strings.ReplaceAll(operations[o].path, "{}", "x")
			r, err := http.NewRequestWithContext(t.Context(), operations[o].method, address, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.RoundTrip(r); err == nil {
				t.Error("an answer")
			}
			done()
			if right := base == "https://"+operations[o].service.String()+".example.com"; right != (sent == 1) {
				t.Errorf("%s: sent %d times to %s", operations[o].name, sent, base)
			}
		}
	}
}

type roundTrips func(*http.Request) (*http.Response, error)

func (f roundTrips) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOnlyHostsOfTheCloudAreDialled, and each may lead to this machine only if it says so itself.
func TestOnlyHostsOfTheCloudAreDialled(t *testing.T) {
	s, err := Config{Endpoints: Endpoints{IAM: "https://iam.example.com", STS: "http://127.0.0.1:1"}}.site()
	if err != nil {
		t.Fatal(err)
	}
	dial := dialTo(s)
	for address, forbidden := range map[string]bool{
		"127.0.0.1:1": false, "127.0.0.1:2": true, "evil.example.com:443": true, "iam.example.com:80": true, "": true, ":443": true,
	} {
		conn, err := dial(t.Context(), "tcp", address)
		if conn != nil {
			_ = conn.Close()
		}
		if _, ok := errors.AsType[*addressError](err); ok != forbidden {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// TestHalfAKeyIsNotDialled: the SDK would ask the metadata service for the rest.
func TestHalfAKeyIsNotDialled(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []Keys{{}, {AccessKey: NewSecret("a")}, {SecretKey: NewSecret("s")}} {
		w, done := c.newWire(t.Context(), keys, c.log)
		if _, err := w.dial("d1"); err == nil {
			t.Errorf("dialled with %v", keys)
		}
		done()
	}
}

// TestWhatARefusedKeyCutsShortIsRefusedToo: otherwise an observation whose keys ended would be called slow, and not begun anew.
func TestWhatARefusedKeyCutsShortIsRefusedToo(t *testing.T) {
	c, err := New(Config{Endpoints: Endpoints{IAM: "https://iam.example.com"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.transport = none{t}
	w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("a"), SecretKey: NewSecret("s")}, c.log)
	defer done()
	requests, err := w.dial("d1")
	if err != nil {
		t.Fatal(err)
	}
	w.stop(errKeyRefused)
	_, _, err = requests.domains(&model.KeystoneListAuthDomainsRequest{})
	if f := asFault(opDomains, err); f.reason != rules.ReasonUnauthenticated {
		t.Errorf("%v", f)
	}
	late := &rules.Unknown{Reason: rules.ReasonUnauthenticated}
	first := &rules.Unknown{Reason: rules.ReasonUnauthenticated, RequestID: "r1"}
	if u := worst([]error{&rules.Unknown{Reason: rules.ReasonDenied}, late, first}); u != first {
		t.Errorf("%v is shown, not what the cloud itself refused", u)
	}
}

// TestEveryPhaseHasADeadline has servers that stop at each phase of a request, or go on a byte a second, in virtual time.
func TestEveryPhaseHasADeadline(t *testing.T) {
	hang := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	// dripping answers a request with a text, a byte a second, for an hour.
	dripping := func(head, drip string) func(net.Conn) {
		return func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
				return
			}
			_, err := io.WriteString(conn, head)
			for n := 0; n < 3600 && err == nil; n++ {
				<-time.After(time.Second)
				_, err = conn.Write([]byte{drip[n%len(drip)]})
			}
		}
	}
	const ok = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	for _, tc := range []struct {
		name, endpoint string
		server         func(net.Conn)
		want           time.Duration
		reason         rules.Reason
	}{
		{"connection", "https://127.0.0.1", nil, dialTimeout, rules.ReasonTimeout},
		{"TLS", "https://127.0.0.1", hang, tlsTimeout, rules.ReasonTimeout},
		{"head", "http://127.0.0.1", hang, headerTimeout, rules.ReasonTimeout},
		{"a head of drops", "http://127.0.0.1", dripping("HTTP/1.1 200 OK\r\n", "X"), headerTimeout, rules.ReasonTimeout},
		{"body", "http://127.0.0.1", dripping(ok+"Content-Length: 100000\r\n\r\n", " "), DefaultRequestTimeout, rules.ReasonTimeout},
		{"chunks", "http://127.0.0.1", dripping(ok+"Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"), DefaultRequestTimeout, rules.ReasonTimeout},
		{"until the end", "http://127.0.0.1", dripping(ok+"\r\n", " "), DefaultRequestTimeout, rules.ReasonTimeout},
		{"an error", "http://127.0.0.1", dripping(strings.Replace(ok, "200", "403", 1)+"\r\n", " "), DefaultRequestTimeout, rules.ReasonDenied},
		{"content of another type", "http://127.0.0.1", dripping("HTTP/1.1 200 OK\r\n\r\n", " "), time.Second, rules.ReasonRejected},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := New(Config{Endpoints: Endpoints{IAM: tc.endpoint}}, nil)
				if err != nil {
					t.Fatal(err)
				}
				var servers sync.WaitGroup
				transport := newTransport(c.site, 1, func(ctx context.Context, _, _ string) (net.Conn, error) {
					if tc.server == nil {
						<-ctx.Done()
						return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
					}
					client, server := net.Pipe()
					servers.Go(func() {
						defer server.Close()
						tc.server(server)
					})
					return client, nil
				})
				c.transport = transport
				c.pauses.retries = 0 // one request's time, not that of three
				w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("AK"), SecretKey: NewSecret("SK")}, c.log)
				defer done()
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tc.endpoint+"/v3/auth/domains", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = w.RoundTrip(r)
				f, ok := errors.AsType[*fault](err)
				if took := time.Since(began); !ok || f.reason != tc.reason || took != tc.want {
					t.Errorf("after %s, want %s: %v, want %s", took, tc.want, err, tc.reason)
				}
				transport.CloseIdleConnections()
				servers.Wait()
			})
		})
	}
}

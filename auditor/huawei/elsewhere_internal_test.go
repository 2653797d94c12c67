package huawei

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// connections listens on a port of this machine and counts the connections that come.
func connections(t *testing.T) (port string, came *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	came = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, _ = net.SplitHostPort(l.Addr().String())
	return port, came
}

// nameService is one that answers each question with the next of its lists of addresses, and then with the last.
type nameService struct {
	answers [][]string
	asked   atomic.Int64
}

// resolver asks it.
func (n *nameService) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go n.serve(server)
		return client, nil
	}}
}

// serve answers over a connection without packets, where each message comes behind its length.
func (n *nameService) serve(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 2048)
	for {
		if _, err := conn.Read(buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if _, err := conn.Read(buf[:size]); err != nil {
			return
		}
		end := 12 + slices.Index(buf[12:size], 0) + 1
		kind := binary.BigEndian.Uint16(buf[end:])
		i := int(n.asked.Load()) / 2 // each look-up asks for both kinds
		n.asked.Add(1)
		var rows []byte
		count := 0
		for _, text := range n.answers[min(i, len(n.answers)-1)] {
			ip := netip.MustParseAddr(text)
			of := uint16(1)
			if !ip.Is4() {
				of = 28
			}
			if of != kind {
				continue
			}
			count++
			data := ip.AsSlice()
			rows = append(rows, 0xc0, 12, byte(of>>8), byte(of), 0, 1, 0, 0, 0, 0, 0, byte(len(data)))
			rows = append(rows, data...)
		}
		reply := slices.Concat(buf[:2], []byte{0x81, 0x80, 0, 1, 0, byte(count), 0, 0, 0, 0}, buf[12:end+4], rows)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// TestNamesThatLeadElsewhere: where a name leads is judged when a connection is made, whatever it led to before, and for each of the
// addresses that it leads to.
func TestNamesThatLeadElsewhere(t *testing.T) {
	port, came := connections(t)
	e := "https://service.example.com:" + port
	s, err := Config{Endpoints: Endpoints{IAM: e, STS: e, Organizations: e}}.site()
	if err != nil {
		t.Fatal(err)
	}
	for name, answers := range map[string][][]string{
		"loopback": {{"127.0.0.1"}}, "another of loopback": {{"127.9.9.9"}}, "loopback in IPv6": {{"::1"}}, "loopback in another form": {{"::ffff:127.0.0.1"}},
		"loopback behind a translation": {{"64:ff9b::7f00:1"}}, "loopback by 6to4": {{"2002:7f00:1::1"}}, "link-local": {{"169.254.169.254"}},
		"link-local in IPv6": {{"fe80::1"}}, "link-local in another form": {{"::ffff:169.254.169.254"}}, "link-local behind a translation": {{"64:ff9b::a9fe:a9fe"}},
		"nowhere": {{"0.0.0.0"}}, "nowhere in IPv6": {{"::"}}, "many": {{"224.0.0.1"}}, "all": {{"255.255.255.255"}},
		"several": {{"169.254.169.254", "127.0.0.1", "0.0.0.0"}}, "of both kinds": {{"127.0.0.1", "fe80::1", "::1"}},
	} {
		for i := range s.places {
			n := &nameService{answers: answers}
			d := s.places[i].dialer()
			d.Resolver = n.resolver()
			conn, err := d.DialContext(t.Context(), "tcp", s.places[i].address)
			if conn != nil {
				_ = conn.Close()
			}
			if refused := new(addressError); !errors.As(err, &refused) || !strings.Contains(err.Error(), "service.example.com") || n.asked.Load() == 0 {
				t.Errorf("%s, %s: %v", service(i), name, err)
			}
		}
	}
	// A name that is good when it is looked at, and leads here when it counts.
	n := &nameService{answers: [][]string{{"192.0.2.1"}, {"127.0.0.1"}}}
	d := s.places[serviceIAM].dialer()
	d.Resolver = n.resolver()
	if found, err := d.Resolver.LookupHost(t.Context(), "service.example.com"); err != nil || !slices.Equal(found, []string{"192.0.2.1"}) {
		t.Fatalf("the name service says %v, %v", found, err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", s.places[serviceIAM].address); err == nil || !strings.Contains(err.Error(), "leads to this machine itself") {
		t.Errorf("%v", err)
	}
	if n := came.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

// TestLocalhostLeadsHere: what may be asked without encryption, since it is this machine, is this machine, whatever a name service says.
func TestLocalhostLeadsHere(t *testing.T) {
	s, err := Config{Endpoints: Endpoints{IAM: "http://localhost:8080", STS: "https://LOCALHOST", Organizations: "http://127.0.0.1:8080"}}.site()
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.places {
		judge := s.places[i].dialer().Control
		for _, here := range []string{"127.0.0.1:8080", "127.9.9.9:8080", "[::1]:8080", "[::ffff:127.0.0.1]:8080"} {
			if err := judge("tcp", here, nil); err != nil {
				t.Errorf("%s, %s: %v", service(i), here, err)
			}
		}
		for _, elsewhere := range []string{"192.0.2.1:8080", "10.0.0.1:8080", "[2001:db8::1]:8080"} {
			err := judge("tcp", elsewhere, nil)
			if refused := new(addressError); !errors.As(err, &refused) || !strings.Contains(err.Error(), "does not lead to this machine") {
				t.Errorf("%s, %s: %v", service(i), elsewhere, err)
			}
		}
	}
}

// TestAnswersThatLeadElsewhere: no redirect is followed, whatever is asked, and no proxy is known.
func TestAnswersThatLeadElsewhere(t *testing.T) {
	port, came := connections(t)
	for _, key := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(key, "http://127.0.0.1:"+port)
	}
	asked := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked[r.URL.Path]++
		status := []int{301, 302, 303, 307, 308}[len(asked)%5]
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "http://127.0.0.1:"+port+r.URL.Path)
		w.Header().Set("Refresh", "0; url=http://127.0.0.1:"+port)
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	keys := Keys{AccessKey: NewSecret("AK"), SecretKey: NewSecret("SK")}
	c, err := New(Config{Endpoints: Endpoints{IAM: server.URL, STS: server.URL, Organizations: server.URL}, Main: Identity{Keys: keys, AccountID: "a"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	for o := range operations {
		w, done := c.newWire(t.Context(), keys, c.log)
		c.writes, w.permit = operations[o].changes, &permit{op: op(o)}
		r, err := http.NewRequestWithContext(t.Context(), operations[o].method, server.URL+strings.ReplaceAll(operations[o].path, "{}", "x"), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.RoundTrip(r); err == nil || !strings.Contains(err.Error(), "which is never followed") {
			t.Errorf("%s: %v", operations[o].name, err)
		}
		done()
	}
	for kind, s := range map[string]Source{
		"server": {Kind: SourceECS, Address: server.URL},
		"pod":    {Kind: SourcePod, Address: server.URL + "/p", Token: func() (Secret, error) { return NewSecret("t"), nil }},
	} {
		cfg := Config{Endpoints: Endpoints{IAM: server.URL}, Main: Identity{Source: &s, AccountID: "a"}}
		c, err := New(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "which is never followed") {
			t.Errorf("the keys of a %s: %v", kind, err)
		}
	}
	if len(asked) < 10 {
		t.Errorf("asked only %v", asked)
	}
	// The tests of a proxy by its environment cannot tell: it is never used for loopback addresses, and read once.
	o, err := Source{Kind: SourceECS}.origin()
	if err != nil {
		t.Fatal(err)
	}
	if newTransport(c.site, 1, dialTo(c.site)).Proxy != nil || o.transport(nil).Proxy != nil {
		t.Error("a proxy may be used")
	}
	if n := came.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

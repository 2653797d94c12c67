package huawei

import (
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestASourceIsDialledByAddress: what a name leads to is looked at when the name was resolved, at the last moment.
func TestASourceIsDialledByAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Source{{Kind: SourceECS}, {Kind: SourcePod, Address: "https://10.1.2.3/", Token: func() (Secret, error) { return Secret{}, nil }}} {
		o, err := s.origin()
		if err != nil {
			t.Fatal(err)
		}
		o.address = net.JoinHostPort("localhost", port) // a name that leads to this machine
		conn, err := o.transport(nil).DialContext(t.Context(), "tcp", o.address)
		if _, ok := errors.AsType[*addressError](err); !ok {
			t.Errorf("%s: %v", o.name, err)
		}
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// FuzzToken has the metadata service give anything for a token: it goes back as it is, if it can stand in a header, and keys are not
// asked for otherwise.
func FuzzToken(f *testing.F) {
	for _, token := range []string{"AQAEAP", "t\n", "", "\n", "a b", "a\r\nX-Evil: 1", "\xff", "é", strings.Repeat("t", 1024), strings.Repeat("t", 1025), `{"error":"x"}`} {
		f.Add([]byte(token))
	}
	h := newHarness(f)
	f.Fuzz(func(t *testing.T, token []byte) {
		asked := []string{}
		h.server.source = handing(func(r *http.Request) []byte {
			if r.Method == http.MethodPut {
				return token
			}
			asked = append(asked, strings.Join(r.Header["X-Metadata-Token"], "|"))
			return []byte(parsers[slices.IndexFunc(parsers, func(p parser) bool { return p.name == "keys of a server" })].recorded[0])
		})
		_, u := h.server.main.fetch(t.Context())
		text := strings.TrimSuffix(string(token), "\n")
		good := keyPattern.MatchString(text) && len(text) <= 1024
		switch {
		case good != (u == nil), good && (len(asked) != 1 || asked[0] != text), !good && len(asked) > 0:
			t.Errorf("%q: asked %q, %v", token, asked, u)
		case u != nil && len(text) > 8 && strings.Contains(u.Error(), text):
			t.Errorf("it is shown: %v", u)
		}
	})
}

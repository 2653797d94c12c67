package huawei

import (
	"errors"
	"net"
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

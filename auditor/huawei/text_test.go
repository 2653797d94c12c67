package huawei

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/agencyaudit/agencyaudit/rules"
)

func TestSecretPrintsNothing(t *testing.T) {
	const canary = "canary-4711"
	type nested struct {
		exported any
		inner    Secret
		deep     struct{ keys Keys }
		list     []Secret
		byName   map[string]Secret
		pointer  *Secret
	}
	s := NewSecret(canary)
	n := nested{exported: s, inner: s, list: []Secret{s}, byName: map[string]Secret{"x": s}, pointer: &s}
	n.deep.keys = Keys{AccessKey: s, SecretKey: s, SecurityToken: s}
	var out strings.Builder
	for _, v := range []any{s, &s, n, &n, n.deep.keys, Config{Main: Identity{Keys: n.deep.keys}}, []any{s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%10.3s"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text, _ := json.Marshal(v)
		out.Write(text)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		fmt.Fprintln(&out, errors.New("x"), v)
	}
	if text := out.String(); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
		t.Errorf("it came out: %s", text)
	}
	for _, text := range []string{s.String(), s.GoString(), fmt.Sprint(s), s.LogValue().String()} {
		if text != "<secret>" {
			t.Errorf("%q", text)
		}
	}
	if s.reveal() != canary || s.IsZero() || !NewSecret("").IsZero() || (Secret{}).reveal() != "" {
		t.Error("the value is lost")
	}
}

func TestScrub(t *testing.T) {
	keys := Keys{AccessKey: NewSecret("ACCESSKEY12345"), SecretKey: NewSecret("s3cret-value-long"), SecurityToken: NewSecret("tokentokentoken" + strings.Repeat("x", 300))}
	for text, want := range map[string]string{
		"plain":                                    "plain",
		"ak ACCESSKEY12345 not exist":              "ak <secret> not exist",
		"s3cret-value-long,s3cret-value-long":      "<secret>,<secret>",
		"cut off: tokentokentokenxx":               "cut off: <secret>",
		"fail, canonicalRequest:GET\n/v3\ntokent":  "fail, …",
		"fail, CanonicalRequest = x":               "fail, …",
		"only tokentok":                            "only tokentok",
		"as in a URL: tokentokentokenxx%2Bxx/x ok": "as in a URL: <secret> ok",
	} {
		if got := keys.scrub(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := (Keys{AccessKey: NewSecret("secret")}).scrub("a secret"); got != "a <secret>" {
		t.Errorf("a secret that is part of what hides it: %q", got)
	}
}

func TestShorten(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"naïve 权限":                "naïve 权限",
		"a\nb\tc\x00\x7f":         `a\u000ab\u0009c\u0000\u007f`,
		"\xff\xfe":                `\xff\xfe`,
		"a\u202eb\u200bc\ufeff":   `a\u202eb\u200bc\ufeff`,
		"\U000e0041":              `\U000e0041`,
		"\x1b[31mred":             `\u001b[31mred`,
		strings.Repeat("x", 200):  strings.Repeat("x", 200),
		strings.Repeat("x", 201):  strings.Repeat("x", 200) + "…",
		strings.Repeat("限", 100):  strings.Repeat("限", 66) + "…",
		strings.Repeat("\n", 100): strings.Repeat(`\u000a`, 33) + "…",
	} {
		if got := shorten(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestCleanID(t *testing.T) {
	for _, id := range []string{"", "a b", "a\nb", strings.Repeat("a", 65), "<script>", "é"} {
		if got := cleanID(id); got != "" {
			t.Errorf("%q is shown as %q", id, got)
		}
	}
	if id := "0123456789abcdef0123456789abcdef"; cleanID(id) != id {
		t.Error("a request id is not shown")
	}
}

func TestPathsOfTheClosedList(t *testing.T) {
	for o := range operations {
		path := strings.ReplaceAll(operations[o].path, "{}", "0a-_Z")
		if got, ok := identify(operations[o].method, path); !ok || got != op(o) {
			t.Errorf("%s %s is %v", operations[o].method, path, got)
		}
		for _, method := range []string{"PUT", "DELETE", "PATCH", "HEAD", "get"} {
			if got, ok := identify(method, path); ok && operations[got].method != method {
				t.Errorf("%s %s is let through", method, path)
			}
			if got, ok := identify(method, path); ok && operations[got].changes == "" {
				t.Errorf("%s %s is taken for one that reads", method, path)
			}
		}
		for _, other := range []string{path + "/", path + "/x", "/x" + path, strings.TrimSuffix(path, path[len(path)-1:])} {
			if got, ok := identify(operations[o].method, other); ok && got == op(o) && !strings.HasSuffix(operations[o].path, "{}") {
				t.Errorf("%s is let through as %s", other, operations[o].name)
			}
		}
	}
	for _, path := range []string{
		"/v3.0/OS-AGENCY/agencies/x", "/v3.0/OS-AGENCY/domains/d/agencies/a/roles/r", "/v5/agencies//attached-policies",
		"/v5/agencies/a/b/attached-policies", "/v3/roles/", "/v3/roles/a%2fb", "/v3/roles/" + strings.Repeat("a", 65),
		"/v5/policies/p/attach-agency", "/v3/auth/tokens", "",
	} {
		for _, method := range []string{"GET", "POST"} {
			if _, ok := identify(method, path); ok {
				t.Errorf("%s %s is let through", method, path)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	control := func(endpoint, address string) error {
		s, err := Config{Endpoints: Endpoints{IAM: endpoint}}.site()
		if err != nil {
			t.Fatal(err)
		}
		// The transport's dialer fails before it connects, or with a refusal: nothing listens on port 1.
		conn, err := newTransport(s, 1, s.places[serviceIAM].dialer().DialContext).DialContext(t.Context(), "tcp", address)
		if conn != nil {
			_ = conn.Close()
		}
		return err
	}
	for _, address := range []string{"169.254.169.254:1", "[fe80::1%lo]:1", "[::ffff:169.254.1.1]:1", "0.0.0.0:1", "127.0.0.1:1", "[::1]:1", "224.0.0.1:1"} {
		var refused *addressError
		if err := control("https://iam.example.com", address); !errors.As(err, &refused) {
			t.Errorf("%s: %v", address, err)
		}
	}
	var refused *addressError
	if err := control("http://127.0.0.1:1", "127.0.0.1:1"); errors.As(err, &refused) {
		t.Errorf("loopback is the endpoint, and is refused: %v", err)
	}
	if err := CheckAddress(netip.MustParseAddr("10.0.0.1")); err != nil {
		t.Error(err)
	}
	var op *net.OpError
	if err := control("http://localhost:1", "169.254.169.254:1"); !errors.As(err, &op) {
		t.Errorf("%v", err)
	}
}

var envelopes = []member{
	{name: "rows", kinds: "["}, {name: "info", kinds: "{", inner: []member{{name: "count", kinds: "0"}}},
}

func TestEnvelope(t *testing.T) {
	for _, body := range []string{
		`{"rows":[],"info":{"count":0}}`, " {\n\"info\" : { \"count\" : 1 } ,\t\"rows\" : [ 1 , {\"rows\":null} ] } \n",
		`{"rows":[{"a":"]}\"\\"}],"info":{"count":1,"x":[{}]},"y":true,"z":null,"n":1.5e3}`,
		`{"rows":["\"","\\"],"info":{"count":12}}`, `{"\u0072ows":[],"info":{"count":0}}`,
		`{"rows":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `,"info":{"count":0}}`,
	} {
		if err := checkBody([]byte(body), envelopes); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{
		``, ` `, `{`, `[]`, `null`, `1`, `"x"`, `{}`, `{"rows":[]}`, `{"info":{"count":0}}`, `{"rows":{},"info":{"count":0}}`,
		`{"rows":null,"info":{"count":0}}`, `{"rows":[],"info":{}}`, `{"rows":[],"info":{"count":"0"}}`, `{"rows":[],"info":[]}`,
		`{"rows":[],"rows":[],"info":{"count":0}}`, `{"Rows":[],"info":{"count":0}}`, `{"rows":[],"ROWS":[],"info":{"count":0}}`,
		`{"rows":[],"info":{"count":0,"count":0}}`, `{"rows":[],"info":{"count":0}} x`, `{"rows":[],"info":{"count":0}}{}`,
		`{"rows":[],"info":{"count":0},"error":null}`, `{"rows":[],"info":{"count":0},"error_msg":""}`,
		`{"rows":[],"info":{"count":0},"error_\u0063ode":1}`, `{"rows":[],"\u0072ows":[],"info":{"count":0}}`,
		`{"rows":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `,"info":{"count":0}}`,
		"{\"rows\":[\"\xff\"],\"info\":{\"count\":0}}", `{"rows":[],"info":{"count":true}}`,
	} {
		if err := checkBody([]byte(body), envelopes); err == nil {
			t.Errorf("%s: accepted", body)
		}
	}
}

// FuzzEnvelope holds the scanner against the standard library's decoder: what it accepts has exactly the members that it
// says, for a decoder that takes any spelling too.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"rows":[],"info":{"count":0}}`))
	f.Add([]byte("{\"info\" : { \"count\" : -1, \"x\":\"\\\"}\" } ,\t\"rows\" : [ 1 , {\"rows\":null} ] } \n"))
	f.Add([]byte(`{"\u0072ows":[[[]]],"info":{"count":1e3},"error":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body, envelopes) != nil {
			return
		}
		var v map[string]json.RawMessage
		if err := json.Unmarshal(body, &v); err != nil || !utf8.Valid(body) {
			t.Fatalf("accepted %q: %v", body, err)
		}
		var info map[string]json.RawMessage
		if err := json.Unmarshal(v["info"], &info); err != nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		var lax struct {
			Rows *[]json.RawMessage `json:"rows"`
			Info *struct {
				Count *json.Number `json:"count"`
			} `json:"info"`
		}
		if err := json.Unmarshal(body, &lax); err != nil || lax.Rows == nil || lax.Info == nil || lax.Info.Count == nil {
			t.Fatalf("accepted %q: %v", body, err)
		}
		if !bytes.HasPrefix(bytes.TrimSpace(v["rows"]), []byte("[")) || v["error"] != nil || v["error_code"] != nil {
			t.Fatalf("accepted %q", body)
		}
		for key := range v {
			for _, name := range []string{"rows", "info"} {
				if key != name && strings.EqualFold(key, name) {
					t.Fatalf("accepted %q", body)
				}
			}
		}
	})
}

func TestOriginOfURN(t *testing.T) {
	for urn, want := range map[string]string{
		"iam::system:policy:X": "system", "iam:::policy:X": "system", "iam::d1:policy:X": "custom", "": "custom", "system": "custom",
		"iam::system:agency:X": "custom", "obs::system:policy:X": "custom", "iam::System:policy:X": "custom", "iam::system": "custom",
	} {
		if got := string(originOfURN(urn)); got != want {
			t.Errorf("%q: %s, want %s", urn, got, want)
		}
	}
}

func TestListed(t *testing.T) {
	got := []string{listed(nil), listed([]string{"a"}), listed([]string{"a", "b"})}
	if !slices.Equal(got, []string{"no account", "account a", "2 accounts, account a first"}) {
		t.Errorf("%q", got)
	}
}

func TestDisconnected(t *testing.T) {
	wrap := func(err error) error { return &url.Error{Op: "Get", URL: "https://iam", Err: err} }
	for _, tc := range []struct {
		err  error
		want rules.Reason
	}{
		{wrap(&net.DNSError{Err: "no such host", Name: "iam", IsNotFound: true}), rules.ReasonUnreachable},
		{wrap(&net.DNSError{Err: "i/o timeout", Name: "iam", IsTimeout: true}), rules.ReasonUnreachable},
		{wrap(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), rules.ReasonUnreachable},
		{wrap(&net.OpError{Op: "read", Err: syscall.ECONNRESET}), rules.ReasonUnreachable},
		{wrap(io.EOF), rules.ReasonUnreachable},
		{wrap(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), rules.ReasonTimeout},
		{wrap(context.DeadlineExceeded), rules.ReasonTimeout},
		{io.ErrUnexpectedEOF, rules.ReasonIncomplete},
		{errTooLarge, rules.ReasonRejected},
		{wrap(&net.OpError{Op: "dial", Err: &addressError{errors.New("link-local")}}), rules.ReasonRejected},
		{wrap(&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "iam"}}), rules.ReasonTLS},
		{wrap(x509.UnknownAuthorityError{}), rules.ReasonTLS},
		{wrap(x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}), rules.ReasonTLS},
		{wrap(tls.RecordHeaderError{Msg: "x"}), rules.ReasonTLS},
		{wrap(&net.OpError{Op: "remote error", Err: errors.New("tls: handshake failure")}), rules.ReasonTLS},
	} {
		if f := disconnected(t.Context(), tc.err, Keys{}); f.reason != tc.want || f.detail == "" {
			t.Errorf("%v: %s (%s), want %s", tc.err, f.reason, f.detail, tc.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("the account's time is over"))
	if f := disconnected(ctx, wrap(io.EOF), Keys{}); f.reason != rules.ReasonTimeout || !strings.Contains(f.detail, "time is over") {
		t.Errorf("%s (%s)", f.reason, f.detail)
	}
}

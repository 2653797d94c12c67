package daemon

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
)

// counted listens on a port of this machine and counts the connections that come.
func counted(t *testing.T) (port string, came *atomic.Int64) {
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

// TestAddressesOfServicesThatAreRefused has addresses that would take signed requests, or keys, to somebody else: each is refused for
// each service where it stands, in words, and nothing is connected to. PORT is one at which this machine listens.
func TestAddressesOfServicesThatAreRefused(t *testing.T) {
	port, came := counted(t)
	form, user, behind, host := "of the form https://host", "a user or a password", "something behind the host", "neither a name nor an address"
	plain, link, one, badPort := "plain http", "link-local", "not the address of one host", "a port that is none"
	for address, words := range map[string]string{
		// Whose host is not the one that is read first.
		"https://iam.example.com@127.0.0.1:PORT": user, "https://user:hunter2@127.0.0.1:PORT": user, "https://@127.0.0.1:PORT": user,
		"https://iam.example.com%40127.0.0.1:PORT": form, `https://iam.example.com\@127.0.0.1:PORT`: form, `https://127.0.0.1:PORT\.example.com`: form,
		"https://iam.example.com#@127.0.0.1:PORT": behind, "https://127.0.0.1:PORT#.example.com": behind, "https://127.0.0.1:PORT?.example.com": behind,
		"https://127.0.0.1:PORT/": behind, "https://127.0.0.1:PORT//iam.example.com": behind, "https://127.0.0.1:PORT?": behind, "https://127.0.0.1:PORT#": behind,
		"https:127.0.0.1:PORT": host, "//127.0.0.1:PORT": form, "127.0.0.1:PORT": form, "ftp://127.0.0.1:PORT": form, "gopher://127.0.0.1:PORT": form,
		// Names that look like others, and names that are none.
		"https://іam.example.com": host, "https://iam.exаmple.com": host, "https://iam。example。com": host, "https://①②⑦.⓪.⓪.①:PORT": host,
		"https://iam.example.com.": host, "https://127.0.0.1.:PORT": host, "https://iam..example.com": host, "https://iam_x.example.com": host,
		"http://127.0.0.1.example.com:PORT": plain, "http://localhost.example.com:PORT": plain, "http://iam.example.com": plain, "http://10.0.0.1": plain,
		// Addresses in disguise.
		"https://2130706433:PORT": host, "https://0x7f000001:PORT": host, "https://017700000001:PORT": host, "https://0177.0.0.1:PORT": host,
		"https://127.1:PORT": host, "https://127.0.1:PORT": host, "https://0x7f.0x0.0x0.0x1:PORT": host, "http://2130706433:PORT": host,
		"https://2852039166": host, "https://0xa9fea9fe": host, "https://0251.0376.0251.0376": host, "https://169.254.43518": host,
		// Where metadata services are, and where nobody is.
		"https://169.254.169.254": link, "https://169.254.0.1:PORT": link, "https://[fe80::1]:PORT": link, "https://[fe80::1%25lo]:PORT": link,
		"https://[::ffff:169.254.169.254]": link, "https://[::ffff:a9fe:a9fe]": link, "https://[64:ff9b::169.254.169.254]": link,
		"https://[2002:a9fe:a9fe::1]": link, "https://[::169.254.169.254]": link, "https://0.0.0.0:PORT": one, "https://[::]:PORT": one,
		"https://0.1.2.3": one, "https://255.255.255.255": one, "https://[ff02::1]": one, "https://224.0.0.1": one,
		"https://[::127.0.0.1]:PORT": "this machine itself", "https://[64:ff9b::127.0.0.1]:PORT": "this machine itself",
		"https://[2001:db8::1%25eth0]": "one of this machine's networks",
		// Ports.
		"https://127.0.0.1:": badPort, "https://127.0.0.1:0": badPort, "https://127.0.0.1:65536": badPort, "https://127.0.0.1:PORT:PORT": form,
		"https://127.0.0.1:-1": form, "https://127.0.0.1:+PORT": form,
		// What a YAML reader lets through.
		`https://127.0.0.1:PORT\n`: form, `https://iam.example.com\r\nHost: x`: form, `https://iam.example.com\t`: form, `https://iam.example.com\0`: form,
		` https://127.0.0.1:PORT`: form, `https://127.0.0.1:PORT `: form, `https://iam example.com`: form, ``: form,
	} {
		if strings.Contains(address, `\@`) || strings.Contains(address, `\.`) {
			address = strings.ReplaceAll(address, `\`, `\\`)
		}
		address = strings.ReplaceAll(address, "PORT", port)
		text := "credentials: {source: ecs, account_id: d0000000000000000000000000000009}\n" + strings.ReplaceAll(
			`cloud: {site: custom, endpoints: {iam: "X", sts: "X", organizations: "X", metadata: "X"}}`+"\n", "X", address)
		_, err := parse(t, strings.Replace(minimal, "cloud: {region: ap-southeast-3}\n", text, 1))
		if err == nil {
			t.Errorf("%q was accepted", address)
			continue
		}
		for _, service := range []string{"iam", "sts", "organizations", "metadata"} {
			want := words
			if service == "metadata" {
				want = "is not where a metadata service can be"
			}
			if !strings.Contains(fault(err, "cloud.endpoints."+service+": "), want) {
				t.Errorf("%s: %q: %v, want %q", service, address, err, want)
			}
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: the password came out: %v", address, err)
		}
	}
	if n := came.Load(); n > 0 {
		t.Errorf("%d connections were made", n)
	}
}

// fault returns the line of an error that holds a text.
func fault(err error, text string) string {
	for line := range strings.Lines(err.Error()) {
		if strings.Contains(line, text) {
			return line
		}
	}
	return ""
}

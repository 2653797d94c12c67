package web

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// rewrite has a file hold a text, and not all at once.
func rewrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const withUsers = "basic_auth_users:\n  prometheus: " + hash + "\n"

// A web config that is emptied while the program runs lets nobody in who was kept out, and one that is written back lets in
// again whom it did.
func TestAnEmptiedWebConfigOpensNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	rewrite(t, file, withUsers)
	s := open(t, func(o *Options) { o.WebConfig = file })
	url := "http://" + serve(t, s)
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	password := func(r *http.Request) { r.SetBasicAuth("prometheus", "correct horse") }
	if code, _ := get(t, c, url+"/metrics", password); code != http.StatusOK {
		t.Errorf("at first: %d", code)
	}
	for _, text := range []string{"", "# nothing\n", "basic_auth_users: {}\n", "http_server_config: {http2: false}\n"} {
		rewrite(t, file, text)
		for _, path := range []string{"/", "/metrics", accountPath, "/-/healthy", "/-/ready", "/style.css", "/nothing"} {
			if code, body := get(t, c, url+path); code != http.StatusServiceUnavailable {
				t.Errorf("%q: %s without a password: %d %s", text, path, code, body)
			}
			if code, body := get(t, c, url+path, password); code != http.StatusServiceUnavailable {
				t.Errorf("%q: %s with the password of before: %d %s", text, path, code, body)
			}
		}
	}
	if w := s.ask("POST", "/-/reload"); w.Code != http.StatusServiceUnavailable || s.reloads != 0 {
		t.Errorf("a reload: %d, %d reloads", w.Code, s.reloads)
	}
	rewrite(t, file, withUsers)
	if code, _ := get(t, c, url+"/metrics", password); code != http.StatusOK {
		t.Errorf("written back: %d", code)
	}
	if code, _ := get(t, c, url+"/metrics"); code != http.StatusUnauthorized {
		t.Errorf("written back, without a password: %d", code)
	}
}

// The exporter-toolkit may have read an empty file that is whole by now: what it let pass has to show a password all the same.
func TestWhatIsLetPassHasToShowAPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	rewrite(t, file, withUsers)
	s := open(t, func(o *Options) { o.WebConfig = file })
	basic := func(user, password string) []string {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, password)
		return []string{"Authorization", r.Header.Get("Authorization")}
	}
	for want, headers := range map[int][][]string{
		http.StatusServiceUnavailable: {nil, basic("prometheus", "wrong"), basic("", ""), basic("somebody", "correct horse"), {"Authorization", "Bearer x"}},
		http.StatusOK:                 {basic("prometheus", "correct horse"), basic("prometheus", "correct horse")},
	} {
		for _, header := range headers {
			if w := s.ask("GET", "/metrics", header...); w.Code != want { // beneath the toolkit
				t.Errorf("%q: %d, want %d", header, w.Code, want)
			}
		}
	}
	// A password that was right once is not for ever, and what is remembered of passwords is bounded.
	rewrite(t, file, "basic_auth_users: {another: "+hash+"}\n")
	if w := s.ask("GET", "/metrics", basic("prometheus", "correct horse")...); w.Code != http.StatusServiceUnavailable {
		t.Errorf("of a user who is no longer one: %d", w.Code)
	}
	for n := range 2 * maxProved {
		rewrite(t, file, fmt.Sprintf("basic_auth_users: {u%d: %s}\n", n, hash))
		if w := s.ask("GET", "/metrics", basic(fmt.Sprint("u", n), "correct horse")...); w.Code != http.StatusOK {
			t.Errorf("user %d: %d", n, w.Code)
		}
	}
	if n := len(s.keeper.proved); n > maxProved {
		t.Errorf("%d passwords are remembered", n)
	}
}

// The same goes for the certificates of clients, which a connection shows at its beginning.
func TestWhatIsLetPassHasToHaveShownACertificate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "web.yml")
	rewrite(t, file, "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}\n")
	k := newKeeper(file)
	shown := &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{}}}
	for _, c := range []struct {
		tls  *tls.ConnectionState
		want bool
	}{{nil, false}, {&tls.ConnectionState{}, false}, {shown, true}} {
		if got := k.admits(&http.Request{TLS: c.tls}); got != c.want {
			t.Errorf("%+v is let pass: %t", c.tls, got)
		}
	}
	rewrite(t, file, "tls_server_config: {cert_file: a, key_file: b}\n")
	if k.admits(&http.Request{TLS: shown}) {
		t.Error("the file no longer asks for certificates, and somebody is let pass")
	}
}

func TestWhatGuardsLack(t *testing.T) {
	all := Guards{TLS: true, Passwords: true, ClientCertificates: true}
	for _, one := range []Guards{{TLS: true}, {Passwords: true}, {ClientCertificates: true}} {
		if !(Guards{}).Lacks(one) || one.Lacks(one) || all.Lacks(one) || one.Lacks(Guards{}) {
			t.Errorf("%+v", one)
		}
	}
}

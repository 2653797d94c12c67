package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestFaultWhatFollowsAnAnswerIsShownNowhere has a server send more than an answer says that it has, which may be the rest of a key: the
// library that reads it has a word to say about that, and quotes it.
func TestFaultWhatFollowsAnAnswerIsShownNowhere(t *testing.T) {
	const caller, member, canary = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210", "canary-of-the-rest"
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); ; {
					req, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					if _, err := io.Copy(io.Discard, req.Body); err != nil {
						return
					}
					status, body := 200, fmt.Sprintf(`{"domains": [{"id": %q, "name": "caller", "enabled": true}]}`, caller)
					if req.Method == http.MethodPost {
						status, body = 201, `{"credential": {"access": "A`
					}
					if _, err := fmt.Fprintf(conn, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s%s", status,
						len(body), body, canary); err != nil {
						return
					}
				}
			}()
		}
	}()
	dir := t.TempDir()
	replace(t, dir+"/agencyaudit.yaml", fmt.Sprintf(`baselines: [coc]
credentials: {source: environment, account_id: %q}
cloud: {site: custom, region: "x-1", endpoints: {iam: "http://%s"}}
accounts: {static: [{name: member, id: %q, access: {via: iam, agency: AgencyAuditReader}}]}
`, caller, l.Addr(), member))
	for _, format := range []string{"text", "json"} {
		p := launch(t, dir, []string{"HUAWEICLOUD_SDK_AK=AKOFATEST00000000000", "HUAWEICLOUD_SDK_SK=secret-of-a-test-secret-of-a-test-000000"},
			[]string{"audit", "--log-level", "debug", "--log-format", format})
		if code := p.wait(t); code != exitPartial || !strings.Contains(p.out.String(), "member") {
			t.Errorf("exit code %d, stdout %s, stderr %s", code, p.out.String(), p.err.String())
		}
		if all := p.out.String() + p.err.String(); strings.Contains(all, canary) {
			t.Errorf("it shows what followed an answer: %s", all)
		}
	}
}

package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// peak is the most memory that a process ever held, in bytes.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	kib, err := strconv.Atoi(string(regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// TestABombCostsTheDaemonLittle puts a server between the daemon and the simulated cloud, which answers one request with
// 256 MiB, and compares the most memory that the daemon ever held with that of one that was answered in truth.
func TestABombCostsTheDaemonLittle(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t, "--generate", "1", "--steady")
	address := regexp.MustCompile(`iam: "([^"]+)"`).FindStringSubmatch(cloud.config)[1]
	truth, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	measure := func(name, path, word string, header http.Header, start, piece string) int {
		proxy := httputil.NewSingleHostReverseProxy(truth)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if path == "" || !strings.HasPrefix(r.URL.Path, path) {
				proxy.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			for k := range header {
				w.Header().Set(k, header.Get(k))
			}
			block := []byte(strings.Repeat(piece, 32<<10/len(piece)+1))
			n, err := io.WriteString(w, start)
			for sent := n; err == nil && sent < 256<<20; sent += n {
				n, err = w.Write(block)
			}
		}))
		defer server.Close()
		config := strings.Replace(cloud.config, address, server.URL, 1) +
			"schedule: {cron: \"@every 30m\", jitter: 0s}\nlisten: {address: \"127.0.0.1:0\"}\n"
		d := cloud.serve(t, config)
		result := map[bool]string{true: "complete", false: "incomplete"}[path == ""]
		all := d.shows(t, "a run has ended", func(s series) bool { return s.runs(result) == 1 })
		if word != "" && all.one("api_responses_rejected_total", `reason="`+word+`"`) < 1 {
			t.Errorf("%s: %v", name, all.where("api_responses_rejected_total"))
		}
		held := d.peak(t)
		d.interrupt(t)
		return held
	}
	const roles, grants = "/v3/roles", "/v3.0/OS-PERMISSION/role-assignments"
	usual := measure("the truth", "", "", nil, "", "")
	for _, bomb := range []struct {
		name, path, word string
		header           http.Header
		start, piece     string
	}{
		{"text in chunks", roles, "too_large", nil, `{"x":"`, "x"},
		{"text, announced", roles, "too_large", http.Header{"Content-Length": {"268435456"}}, `{"x":"`, "x"},
		{"objects", roles, "too_large", nil, `{"x":{"y":[`, `{"":0},`},
		{"rows", roles, "too_many_items", nil, `{"roles":[`, `{"id":"r","domain_id":null},`},
		{"gzip", roles, "encoding", http.Header{"Content-Encoding": {"gzip"}}, "", packed.String()},
		{"nested", grants, "json", nil, `{"x":`, "["},
		{"rows of four planes at once", grants, "too_many_items", nil, `{"total_num":9,"role_assignments":[`, `{"role":{"id":"r"}},`},
	} {
		held := measure(bomb.name, bomb.path, bomb.word, bomb.header, bomb.start, bomb.piece)
		t.Logf("%s: %d MiB, and %d MiB with the truth", bomb.name, held>>20, usual>>20)
		if held > usual+16<<20 {
			t.Errorf("%s: the daemon held %d MiB, and %d MiB with the truth", bomb.name, held>>20, usual>>20)
		}
	}
}

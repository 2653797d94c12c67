package simcloud_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

func BenchmarkNew(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n, "-accounts"), func(b *testing.B) {
			org := simcloud.GenerateSteady(1, n)
			for b.Loop() {
				if _, err := simcloud.New(org); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory reports what a cloud keeps, its organization of accounts included.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{2_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { memory(b, simcloud.Generate(1, n)) })
	}
}

func memory(b *testing.B, org *simcloud.Organization) {
	b.Helper()
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		c, err := simcloud.New(org)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric((heap()-before)/(1<<20), "MiB")
		runtime.KeepAlive(c)
	}
}

// wire renders a signed request as the bytes that go over the connection.
func wire(b *testing.B, q request) []byte {
	b.Helper()
	r := q.build()
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.Method, q.target, r.Host)
	if err := r.Header.Write(&out); err != nil {
		b.Fatal(err)
	}
	out.WriteString("\r\n")
	return out.Bytes()
}

// steady are the requests with which one account's agency is read, for the first n accounts.
func steady(b *testing.B, org *simcloud.Organization, n int) [][]byte {
	b.Helper()
	var out [][]byte
	for _, a := range org.Accounts[:n] {
		agency := ""
		for _, g := range a.Agencies {
			if g.Name == coc {
				agency = g.ID
			}
		}
		ra := assignments + "?domain_id=" + a.ID + "&subject.agency_id=" + agency + "&page=1&per_page=50&scope="
		for _, target := range []string{
			agencies + "?domain_id=" + a.ID + "&name=" + coc, ra + "domain&is_inherited=false", ra + "domain&is_inherited=true",
			ra + "project", ra + "enterprise_project", "/v5/agencies/" + agency + "/attached-policies",
		} {
			out = append(out, wire(b, get(a.Users[0].Keys[0], target)))
		}
	}
	return out
}

// BenchmarkServe reads agencies of 10,000 accounts over loopback, on eight connections with ready-made requests, so that
// nearly all the time is the server's.
func BenchmarkServe(b *testing.B) {
	c, err := simcloud.New(simcloud.GenerateSteady(1, 10_000))
	if err != nil {
		b.Fatal(err)
	}
	s, err := c.Start(simcloud.Listen{Cloud: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	requests := steady(b, c.Organization(), 2_000)
	u, _ := url.Parse(s.URL)
	var next atomic.Int64
	b.SetParallelism(4)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", u.Host)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		for pb.Next() {
			if _, err := conn.Write(requests[int(next.Add(1))%len(requests)]); err != nil {
				b.Error(err)
				return
			}
			if status, err := skipAnswer(in); err != nil || !strings.HasPrefix(status, "HTTP/1.1 200") {
				b.Errorf("%s, %v", status, err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}

// skipAnswer reads an answer with a length and returns its first line.
func skipAnswer(in *bufio.Reader) (string, error) {
	status, err := in.ReadString('\n')
	length := 0
	for err == nil {
		var line []byte
		if line, err = in.ReadSlice('\n'); len(line) <= 2 {
			break
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			_, err = fmt.Sscan(string(rest), &length)
		}
	}
	if err == nil {
		_, err = io.CopyN(io.Discard, in, int64(length))
	}
	return status, err
}

// BenchmarkServeOne is one request without the network.
func BenchmarkServeOne(b *testing.B) {
	c := newCloud(b)
	for name, target := range map[string]string{
		"agencies":    agencies + "?domain_id=" + alphaID + "&name=" + coc,
		"assignments": assignments + "?scope=domain&page=1&per_page=50&domain_id=" + alphaID + "&subject.agency_id=" + cocID,
		"roles":       "/v3/roles?page=1&per_page=300",
		"accounts":    orgs + "/accounts?limit=2000",
	} {
		b.Run(name, func(b *testing.B) {
			r := get(adminKey, target).build()
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				c.ServeHTTP(w, r)
			}
		})
	}
}

// discard is a response writer that keeps nothing.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

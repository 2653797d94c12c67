package huawei

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

// TestALineIsDrainedWhenNothingIsLeft holds when a connection may be used: when somebody waits for more, or when it is closed.
func TestALineIsDrainedWhenNothingIsLeft(t *testing.T) {
	for name, connect := range map[string]func(*testing.T) (client, server net.Conn){"socket": socketPair, "pipe": func(*testing.T) (client, server net.Conn) { return net.Pipe() }} {
		t.Run(name, func(t *testing.T) {
			client, server := connect(t)
			defer server.Close()
			l := newLine(client)
			drained := make(chan struct{})
			go func() {
				defer close(drained)
				l.drained(t.Context())
			}()
			written := make(chan struct{})
			go func() {
				defer close(written)
				_, _ = server.Write([]byte("ab"))
			}()
			if name == "socket" {
				<-written // so that there is something to read, and no need to wait
				for range 2 {
					if n, err := l.Read(make([]byte, 1)); n != 1 || err != nil {
						t.Fatal(n, err)
					}
				}
				select {
				case <-drained:
					t.Error("it counts as drained by a read that did not wait")
				default:
				}
			}
			read := make(chan error)
			go func() {
				_, err := io.Copy(io.Discard, l)
				read <- err
			}()
			<-drained
			server.Close()
			if err := <-read; err != nil {
				t.Error(err)
			}
			l.Close()
			l.drained(t.Context())
			ended, end := context.WithCancel(t.Context())
			end()
			newLine(client).drained(ended)
		})
	}
}

func socketPair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String()); err == nil {
		server, err = l.Accept()
	}
	if err != nil {
		t.Fatal(err)
	}
	return client, server
}

// TestWhatFollowsAnAnswerAnswersNobody has a server send a second answer after each, and many requests over few connections.
func TestWhatFollowsAnAnswerAnswersNobody(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answer := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
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
					if _, err := io.WriteString(conn, answer(req.URL.Path)+answer("another")); err != nil {
						return
					}
				}
			}()
		}
	}()
	c, err := New(Config{Endpoints: Endpoints{IAM: "http://" + l.Addr().String()}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var wrong, right atomic.Int64
	var g sync.WaitGroup
	for worker := range 64 {
		g.Go(func() {
			for n := range 40 {
				path := fmt.Sprintf("/%d/%d", worker, n)
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+l.Addr().String()+path, http.NoBody)
				if err != nil {
					t.Error(err)
					return
				}
				resp, err := c.transport.RoundTrip(req)
				if err != nil {
					continue // that the connection was given up meanwhile is no lie
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				switch {
				case err != nil:
				case string(body) == path:
					right.Add(1)
				default:
					wrong.Add(1)
				}
			}
		})
	}
	g.Wait()
	if wrong.Load() > 0 || right.Load() == 0 {
		t.Errorf("%d requests were answered with their own answers, and %d with others'", right.Load(), wrong.Load())
	}
}

package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// pipes are connections without a machine between them, in whose bubble time is virtual.
type pipes struct {
	dialed chan net.Conn
	closed chan struct{}
	close  func()
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialed:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { p.close(); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

// overPipes serves a site and has somebody talk to it in virtual time. What the client did not close is closed at the end.
func overPipes(t *testing.T, metrics http.HandlerFunc, talk func(t *testing.T, dial func() net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := open(t, func(o *Options) { o.Metrics = metrics })
		l := &pipes{dialed: make(chan net.Conn), closed: make(chan struct{})}
		l.close = sync.OnceFunc(func() { close(l.closed) })
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(l) }()
		var all []net.Conn
		talk(t, func() net.Conn {
			client, server := net.Pipe()
			all = append(all, client)
			l.dialed <- server
			return client
		})
		for _, c := range all {
			_ = c.Close()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Shutdown(ctx), <-ended); err != nil {
			t.Error(err)
		}
	})
}

// A client that takes its answer slowly, or not at all, is cut off, and so is one that does not come to the point, or has
// nothing more to ask.
func TestClientsThatAreSlowAreCutOff(t *testing.T) {
	const head = "GET /metrics HTTP/1.1\r\nHost: x\r\n"
	for name, c := range map[string]struct {
		says  string
		reads bool
		after time.Duration
	}{
		"nothing":           {"", true, headTimeout},
		"half a head":       {head, true, headTimeout},
		"half a body":       {"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", true, readTimeout},
		"nothing any more":  {head + "\r\n", true, idleTimeout},
		"it takes no bytes": {head + "\r\n", false, writeTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			var done chan error
			overPipes(t, func(w http.ResponseWriter, _ *http.Request) {
				size := 100
				if !c.reads {
					size = 1 << 20
				}
				_, err := io.WriteString(w, strings.Repeat("x", size))
				done <- err
			}, func(t *testing.T, dial func() net.Conn) {
				done = make(chan error, 1)
				conn := dial()
				began := time.Now()
				if _, err := io.WriteString(conn, c.says); err != nil {
					t.Fatal(err)
				}
				if !c.reads {
					if err := <-done; err == nil {
						t.Error("it was all written")
					}
				} else if _, err := io.Copy(io.Discard, conn); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("cut off after %s, want %s", took, c.after)
				}
			})
		})
	}
}

func TestAHeadIsBounded(t *testing.T) {
	overPipes(t, func(http.ResponseWriter, *http.Request) {}, func(t *testing.T, dial func() net.Conn) {
		for size, want := range map[int]int{maxHeader / 2: http.StatusOK, 2 * maxHeader: http.StatusRequestHeaderFieldsTooLarge} {
			conn := dial()
			go func() {
				_, _ = fmt.Fprintf(conn, "GET /-/ready HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", size))
			}()
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("a head of %d bytes: %d, want %d", size, resp.StatusCode, want)
			}
		}
	})
}

// A bug in the middle of an answer ends the connection, so that nobody takes the half for the whole. So does whoever ends it
// the server's own way, which is no bug.
func TestABugInTheMiddleOfAnAnswerEndsTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		bug  any
		told int64
	}{"a bug": {"a bug", 1}, "on purpose": {http.ErrAbortHandler, 0}} {
		t.Run(name, func(t *testing.T) {
			var told atomic.Int64
			s := open(t, func(o *Options) {
				o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, "agencyaudit_accounts 1\n")
					panic(c.bug)
				})
				o.Panicked = func(string) { told.Add(1) }
			})
			url := "http://" + serve(t, s)
			resp, err := http.Get(url + "/metrics")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Error("the answer looks like a whole one")
			}
			http.DefaultClient.CloseIdleConnections()
			if told.Load() != c.told {
				t.Errorf("told %d times, want %d", told.Load(), c.told)
			}
		})
	}
}

func TestWhatIsSearchedForIsShort(t *testing.T) {
	s := open(t)
	for text, want := range map[string]int{strings.Repeat("a", 2*maxQuery): maxQuery, "b" + strings.Repeat("é", maxQuery): maxQuery - 1} {
		body := s.ask("GET", "/?q="+text).Body.String()
		_, rest, _ := strings.Cut(body, `name="q" value="`)
		if got, _, _ := strings.Cut(rest, `"`); len(got) != want || !strings.HasPrefix(text, got) {
			t.Errorf("%d bytes are searched for, want %d: %q", len(got), want, got)
		}
	}
}

func TestTheBarShowsTheFewAndIsFull(t *testing.T) {
	for _, counts := range []map[rules.State]int{
		{}, {rules.StateCompliant: 1}, {rules.StateUnknown: 9_998, rules.StateDrifted: 1, rules.StateCompliant: 1}, {rules.StateCompliant: 99_999, rules.StateUnknown: 1},
		{rules.StateUnknown: 1, rules.StateDrifted: 1, rules.StateWaived: 1, rules.StateNotEnabled: 1, rules.StateCompliant: 1_000_000},
	} {
		sum, total := 0, 0
		for i, width := range bar(counts) {
			n := counts[rules.States()[i]]
			if sum, total = sum+width, total+n; (n == 0) != (width == 0) || n > 0 && width < narrowest {
				t.Errorf("%v: %d of %s are %d wide", counts, n, rules.States()[i], width)
			}
		}
		if want := min(total, 1) * 1000; sum != want {
			t.Errorf("%v: the bar is %d wide, want %d", counts, sum, want)
		}
	}
}

package huawei

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
)

// line is one connection to the cloud. It knows whether somebody waits for more to come over it, which tells that all that came was
// read.
type line struct {
	net.Conn
	// raw is the connection's socket; nil where there is none.
	raw syscall.RawConn

	mu sync.Mutex
	// waiting says that nothing is there for the Read that is under way, closed that the connection was closed from this side.
	waiting, closed bool
	// news is closed when either changes. It is nil while nobody waits for that.
	news chan struct{}
}

func newLine(conn net.Conn) *line {
	l := &line{Conn: conn}
	if s, ok := conn.(syscall.Conn); ok {
		l.raw, _ = s.SyscallConn() // an error means that it is closed, which shows anyway
	}
	return l
}

// Read reads, and has it known when there is nothing to read yet.
func (l *line) Read(p []byte) (int, error) {
	if l.raw != nil && len(p) > 0 {
		return l.read(p)
	}
	l.wait(true)
	defer l.wait(false)
	return l.Conn.Read(p)
}

func (l *line) wait(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting != is {
		l.waiting = is
		l.tell()
	}
}

// Close closes, and has it known.
func (l *line) Close() error {
	l.mu.Lock()
	l.closed = true
	l.tell()
	l.mu.Unlock()
	return l.Conn.Close()
}

// tell wakes whoever waits for news. The caller holds the lock.
func (l *line) tell() {
	if l.news != nil {
		close(l.news)
		l.news = nil
	}
}

// drained waits until all that came was read, or the connection was closed, but not beyond ctx. Neither takes long on one that is
// not in use: its reader waits for more as soon as it has taken note that an answer has ended, and closes it when there is more.
func (l *line) drained(ctx context.Context) {
	for {
		l.mu.Lock()
		if l.waiting || l.closed {
			l.mu.Unlock()
			return
		}
		if l.news == nil {
			l.news = make(chan struct{})
		}
		news := l.news
		l.mu.Unlock()
		if !await(ctx, news, -1) {
			return
		}
	}
}

// drainedLines sends each request over a connection over which nothing came that was not read. The library hands a connection on
// when an answer has ended, and looks only then whether more came than that; what did would be taken for the answer to the
// next request, which may be about another account. What comes later than that request was begun cannot be told from its answer.
type drainedLines struct{ http.RoundTripper }

// RoundTrip sends one request.
func (d drainedLines) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	trace := &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		conn := got.Conn
		if secured, ok := conn.(*tls.Conn); ok {
			conn = secured.NetConn()
		}
		if l, ok := conn.(*line); ok {
			l.drained(ctx)
		}
	}}
	return d.RoundTripper.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
}

// Package web serves what the program knows: metrics for Prometheus, answers for supervisors, and pages for people.
//
// Pages are made on the server and need no script. Every word on them that a cloud or a user wrote is escaped twice: made
// visible by rules.Escape, and made harmless by html/template. Nothing here changes anything in the cloud; the one request
// that changes anything at all reloads the program's own configuration.
package web

import (
	"context"
	_ "embed" // for the style sheet and the icon
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"github.com/agencyaudit/agencyaudit/auditor"
)

// Options are what New needs. Metrics, View, Reload and Logger are required.
type Options struct {
	// Metrics answers /metrics.
	Metrics http.Handler
	// View returns what pages show; it is called for every request.
	View func() View
	// Changes are the last changes of an account, by its id, the newest first; nil without a history. It may be called many times at
	// once. Its error is shown on the account's page.
	Changes func(ctx context.Context, account string) ([]Change, error)
	// Reload reads the configuration anew. Its error is shown to whoever asked.
	Reload func(ctx context.Context) error
	// Now is the clock; nil is the real one.
	Now    func() time.Time
	Logger *slog.Logger
	// Panicked is told "web" when a bug ended an answer; nil tells nobody.
	Panicked func(where string)
	// Hosts are names under which the server may be asked; see docs/web.md.
	Hosts []string
	// WebConfig is the path of a file for the exporter-toolkit; empty for neither TLS nor passwords.
	WebConfig string
	// PprofSocket is the path of a socket for profiles; empty for none.
	PprofSocket string
}

// View is what is known at one instant.
type View struct {
	Snapshot *auditor.Snapshot
	Loop     Loop
	// Past is what the history says; nil without one.
	Past *Past
	// Repair is how repair stands; nil is off.
	Repair *Repair
}

// Loop is what the program does.
type Loop struct {
	// Program is the version.
	Program string
	// Cron is the schedule, in UTC.
	Cron string
	// Running says that a run is under way: by Trigger, since StartedAt, Done of Total agencies read.
	Running     bool
	Trigger     string
	StartedAt   time.Time
	Done, Total int
	// NextRunAt is when the next one is due; zero when none is.
	NextRunAt   time.Time
	HeartbeatAt time.Time
	// Alive says that the scheduler beats, Stopping that the program was told to end.
	Alive, Stopping bool
	Skipped         int
	// LastError says why the last run gave no result, ReloadError why the last reload was refused, HistoryError why the last run
	// was not recorded; empty if it was otherwise.
	LastError, ReloadError, HistoryError string
	// Simulated says that the cloud is a simulation.
	Simulated    bool
	ConfigDigest string
}

const (
	// maxPages is how many pages are made at once.
	maxPages = 16
	// The times that a client has: for the head of a request, for all of it, to take the answer, and between two requests.
	headTimeout, readTimeout, writeTimeout, idleTimeout = 5 * time.Second, 10 * time.Second, time.Minute, 2 * time.Minute
	maxHeader                                           = 32 << 10
)

// Server serves. It is used by many goroutines at once.
type Server struct {
	o       Options
	keeper  *keeper
	handler http.Handler
	http    *http.Server
	pages   chan struct{}
}

// New makes a server, which does nothing before Serve. The error says what is wrong with the web config.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Panicked == nil {
		o.Panicked = func(string) {}
	}
	if o.WebConfig != "" {
		if err := CheckConfig(o.WebConfig); err != nil {
			return nil, fmt.Errorf("web config %s: %w", o.WebConfig, err)
		}
	}
	s := &Server{o: o, keeper: newKeeper(o.WebConfig), pages: make(chan struct{}, maxPages)}
	s.handler = s.harden(s.routes())
	s.http = &http.Server{
		Handler: s.handler, ReadHeaderTimeout: headTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Handler answers every request, but for TLS and passwords.
func (s *Server) Handler() http.Handler { return s.handler }

// Serve answers requests until Shutdown, after which it returns nil. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	if s.o.PprofSocket != "" {
		p, err := servePprof(s.o.PprofSocket)
		if err != nil {
			return errors.Join(fmt.Errorf("serve profiles: %w", err), l.Close())
		}
		defer p.close()
	}
	quiet := slog.New(leveled{s.o.Logger.Handler()})
	err := toolkit.Serve(l, s.http, &toolkit.FlagConfig{WebConfigFile: &s.o.WebConfig}, quiet)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return errors.Join(err, l.Close())
}

// Shutdown has the answers that are under way finished, until ctx is done.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}

// leveled is a log handler that takes for a detail what a library takes for news.
type leveled struct{ slog.Handler }

// Enabled says whether a detail would be logged.
func (l leveled) Enabled(ctx context.Context, level slog.Level) bool {
	if level == slog.LevelInfo {
		level = slog.LevelDebug
	}
	return l.Handler.Enabled(ctx, level)
}

// CheckConfig says what is wrong with a web config.
func CheckConfig(file string) error {
	if info, err := os.Stat(file); err != nil {
		return err
	} else if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file")
	}
	return toolkit.Validate(file)
}

//go:embed style.css
var style []byte

//go:embed icon.svg
var icon []byte

// routes are all that is served.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.o.Metrics)
	mux.HandleFunc("GET /{$}", s.limited(s.index))
	mux.HandleFunc("GET /accounts/{account}/{agency}", s.limited(s.account))
	mux.HandleFunc("GET /-/healthy", s.healthy)
	mux.HandleFunc("GET /-/ready", s.ready)
	protection := http.NewCrossOriginProtection()
	mux.Handle("POST /-/reload", protection.Handler(http.HandlerFunc(s.reload)))
	mux.Handle("PUT /-/reload", protection.Handler(http.HandlerFunc(s.reload)))
	file := func(kind string, data []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", kind)
			w.Header().Set("Cache-Control", "max-age=300")
			_, _ = w.Write(data)
		}
	}
	mux.HandleFunc("GET /style.css", file("text/css; charset=utf-8", style))
	mux.HandleFunc("GET /favicon.ico", file("image/svg+xml", icon))
	return mux
}

// limited answers a few requests at once and tells the others to come again.
func (s *Server) limited(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.pages <- struct{}{}:
			defer func() { <-s.pages }()
			next(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			say(w, http.StatusServiceUnavailable, fmt.Sprintf("more than %d pages at once; come again", maxPages))
		}
	}
}

// policy is the Content-Security-Policy of every answer: nothing but our own style sheet and icon is ever loaded.
const policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// answer is a ResponseWriter that knows whether something was sent.
type answer struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader sends the head.
func (a *answer) WriteHeader(status int) { a.begun = true; a.ResponseWriter.WriteHeader(status) }

// Write sends a part of the body.
func (a *answer) Write(p []byte) (int, error) { a.begun = true; return a.ResponseWriter.Write(p) }

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// harden wraps every answer: it survives panics, refuses foreign hosts and adds the headers that browsers heed.
func (s *Server) harden(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &answer{ResponseWriter: plain}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p) // the server's own way to end a connection
			}
			// The value of a panic may hold anything; its type and the stack's functions do not.
			s.o.Logger.Error("panic", "while", "web", "panic_type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
			s.o.Panicked("web")
			if w.begun {
				panic(http.ErrAbortHandler) // half an answer must not look like a whole one
			}
			say(w, http.StatusInternalServerError, "internal error; see the program's log")
		}()
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.keeper.admits(r) {
			say(w, http.StatusServiceUnavailable, "the web config asks for less than when the program was started: write it back, or restart the program")
			return
		}
		if !s.allowed(r) {
			say(w, http.StatusMisdirectedRequest, "this server is not asked by that name; add it to listen.hosts if it is yours")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// say answers with a line of text.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text)
}

func (s *Server) healthy(w http.ResponseWriter, _ *http.Request) {
	l := s.o.View().Loop
	if l.Stopping {
		// Nothing beats any more, and nobody should end a run that has time to drain.
		say(w, http.StatusOK, "ending")
		return
	}
	if !l.Alive {
		say(w, http.StatusServiceUnavailable, "the scheduler has not shown that it lives since "+instant(l.HeartbeatAt))
		return
	}
	say(w, http.StatusOK, "healthy")
}

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	switch v := s.o.View(); {
	case v.Loop.Stopping:
		say(w, http.StatusServiceUnavailable, "the program was told to end")
	case v.Snapshot.Run == nil:
		say(w, http.StatusServiceUnavailable, "no run has been committed yet")
	default:
		say(w, http.StatusOK, "ready")
	}
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if err := s.o.Reload(r.Context()); err != nil {
		say(w, http.StatusBadRequest, "the configuration was not reloaded; the old one stays in force:\n"+visibleLines(err.Error()))
		return
	}
	say(w, http.StatusOK, "the configuration was reloaded; a run follows")
}

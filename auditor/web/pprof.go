package web

import (
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"time"
)

// pprofServer serves profiles of the program on a socket. The package net/http/pprof would add itself to whatever server
// uses the default routes, so it is not used.
type pprofServer struct {
	http *http.Server
	done chan struct{}
}

// made is where a socket is made, in the folder that it will be in: a folder of its own, at its longest.
const made = "/.pprof4294967295/s"

// SocketLength is how long the longest path is that serving profiles on a socket needs, in bytes: it is made elsewhere.
func SocketLength(path string) int { return max(len(path), len(filepath.Dir(path))+len(made)) }

// servePprof listens at a path that only its owner can use. What is there already is replaced if it is a socket.
func servePprof(path string) (*pprofServer, error) {
	l, err := ListenPrivate(path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/profile", cpuProfile)
	mux.HandleFunc("GET /debug/pprof/{name}", namedProfile)
	p := &pprofServer{http: &http.Server{Handler: mux, ReadHeaderTimeout: headTimeout}, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = p.http.Serve(l)
		_ = os.Remove(path)
	}()
	return p, nil
}

func (p *pprofServer) close() {
	_ = p.http.Close()
	<-p.done
}

// cpuProfile measures for as many seconds as it is asked to, 30 unless it is.
func cpuProfile(w http.ResponseWriter, r *http.Request) {
	n := 30
	if text := r.FormValue("seconds"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > 300 {
			say(w, http.StatusBadRequest, "seconds: from 1 to 300")
			return
		}
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := pprof.StartCPUProfile(w); err != nil {
		say(w, http.StatusConflict, err.Error())
		return
	}
	defer pprof.StopCPUProfile()
	t := time.NewTimer(time.Duration(n) * time.Second)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// namedProfile writes heap, goroutine, allocs, block, mutex or threadcreate.
func namedProfile(w http.ResponseWriter, r *http.Request) {
	p := pprof.Lookup(r.PathValue("name"))
	if p == nil {
		say(w, http.StatusNotFound, "there is no such profile")
		return
	}
	level, _ := strconv.Atoi(r.FormValue("debug"))
	_ = p.WriteTo(w, level)
}

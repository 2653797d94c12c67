package web

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// allowed says whether the server may be asked under the name that the request gives. A web page of somebody else can
// have a name of its own point at this machine, and would then read what its visitor may read.
func (s *Server) allowed(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if slices.ContainsFunc(s.o.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if loopback(r) {
		return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
	}
	// By its address a server cannot be impersonated.
	return len(s.o.Hosts) == 0 || err == nil
}

// loopback says whether the request came in at a loopback address.
func loopback(r *http.Request) bool {
	at, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	a, err := netip.ParseAddrPort(at.String())
	return err == nil && a.Addr().Unmap().IsLoopback()
}

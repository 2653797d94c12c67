package simcloud

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Listen says where the two ports are.
type Listen struct {
	// Cloud is the address of the cloud's port, host:port; port 0 takes a free one, no host means loopback.
	Cloud string
	// Control is the address of the control port, which must be on loopback; empty for none.
	Control string
	// TLSCert and TLSKey are PEM files for the cloud's port. Both or none; without them the port speaks plain HTTP.
	TLSCert, TLSKey string
	// SelfSigned has the cloud's port speak TLS with a certificate made for this start, for localhost and loopback
	// addresses. Server.CAPEM is what a client must trust.
	SelfSigned bool
}

// Server is a started cloud.
type Server struct {
	// URL and ControlURL are the base URLs of the ports, without a slash at the end; ControlURL is empty without one.
	URL, ControlURL string
	// CAPEM is the certificate that clients must trust, with Listen.SelfSigned.
	CAPEM []byte

	servers []*http.Server
	serving sync.WaitGroup
	errs    chan error
}

// Start opens the ports and serves until Close. A Cloud may be started more than once, at different addresses.
func (c *Cloud) Start(l Listen) (*Server, error) {
	s := &Server{}
	config, err := s.tls(l)
	if err != nil {
		return nil, fmt.Errorf("start the simulated cloud: %w", err)
	}
	cloud, err := listen(l.Cloud)
	if err != nil {
		return nil, fmt.Errorf("start the simulated cloud: %w", err)
	}
	var control net.Listener
	if l.Control != "" {
		if control, err = listenLoopback(l.Control); err != nil {
			return nil, errors.Join(fmt.Errorf("start the control port of the simulated cloud: %w", err), cloud.Close())
		}
	}
	s.URL = "http://" + reachable(cloud.Addr())
	if config != nil {
		s.URL = "https://" + reachable(cloud.Addr())
		cloud = tls.NewListener(cloud, config)
	}
	s.errs = make(chan error, 2)
	s.serve(c, cloud, c)
	if control != nil {
		s.ControlURL = "http://" + control.Addr().String()
		s.serve(c, control, c.Control())
	}
	return s, nil
}

// serve answers requests on the listener until Close.
func (s *Server) serve(c *Cloud, l net.Listener, h http.Handler) {
	handler := slog.DiscardHandler
	if c.Log != nil {
		handler = c.Log.Handler()
	}
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    1 << 20,
		ErrorLog:          slog.NewLogLogger(handler, slog.LevelWarn),
	}
	s.servers = append(s.servers, server)
	s.serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.errs <- fmt.Errorf("serve %s: %w", l.Addr(), err)
		}
	})
}

// Close closes the ports and every connection, which cuts off the requests that are being answered, and waits until
// nothing is accepted any more. The error is why one of the ports had ended before.
func (s *Server) Close() error {
	var errs []error
	for _, server := range s.servers {
		errs = append(errs, server.Close())
	}
	s.serving.Wait()
	for {
		select {
		case err := <-s.errs:
			errs = append(errs, err)
		default:
			return errors.Join(errs...)
		}
	}
}

// listen opens the address; no host means loopback.
func listen(address string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the address %q is not host:port: %w", address, err)
	}
	return (&net.ListenConfig{}).Listen(context.Background(), "tcp", net.JoinHostPort(cmp.Or(host, "127.0.0.1"), port))
}

// listenLoopback is listen for a port without authentication.
func listenLoopback(address string) (net.Listener, error) {
	l, err := listen(address)
	if err != nil {
		return nil, err
	}
	if at, err := netip.ParseAddrPort(l.Addr().String()); err != nil || !at.Addr().Unmap().IsLoopback() {
		return nil, errors.Join(fmt.Errorf("the address %q is not on loopback; the port has no authentication, "+
			"so write 127.0.0.1 or ::1", address), l.Close())
	}
	return l, nil
}

// reachable is the address for a client on this machine: a port on all addresses is reached over loopback.
func reachable(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil || !at.Addr().IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", fmt.Sprint(at.Port()))
}

// tls returns the configuration of the cloud's port; nil for plain HTTP.
func (s *Server) tls(l Listen) (*tls.Config, error) {
	switch {
	case l.SelfSigned && (l.TLSCert != "" || l.TLSKey != ""):
		return nil, errors.New("a self-signed certificate and certificate files exclude each other")
	case (l.TLSCert == "") != (l.TLSKey == ""):
		return nil, errors.New("TLS needs both a certificate file and a key file")
	case l.SelfSigned:
		cert, ca, err := selfSigned()
		if err != nil {
			return nil, fmt.Errorf("make a certificate: %w", err)
		}
		s.CAPEM = ca
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
	case l.TLSCert != "":
		cert, err := tls.LoadX509KeyPair(l.TLSCert, l.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("load the certificate: %w", err)
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
	}
	return nil, nil
}

// selfSigned makes a certificate for loopback that is its own authority. It is valid by the real clock, whatever the
// cloud's says: clients go by theirs.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "simulated cloud"},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.Add(30 * 24 * time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		IsCA:                  true,
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, ca, nil
}

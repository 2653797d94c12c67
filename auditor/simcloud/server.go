package simcloud

import "errors"

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
}

// Start opens the ports and serves until Close. A Cloud may be started more than once, at different addresses.
func (c *Cloud) Start(l Listen) (*Server, error) { return nil, errors.New("simcloud: not built yet") }

// Close closes the ports and every connection, and waits until both servers have ended.
func (s *Server) Close() error { return nil }

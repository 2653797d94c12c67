package web

import (
	"crypto/sha256"
	"net/http"
	"os"
	"sync"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/bcrypt"
)

// Guards are what a web config has clients asked for.
type Guards struct {
	// TLS says that the server is asked by https.
	TLS bool
	// Passwords and ClientCertificates say what a client has to show.
	Passwords, ClientCertificates bool
}

// Closed says that not everybody is answered who can reach the server.
func (g Guards) Closed() bool { return g.Passwords || g.ClientCertificates }

// Lacks says whether something is missing that others ask for.
func (g Guards) Lacks(others Guards) bool {
	return others.TLS && !g.TLS || others.Passwords && !g.Passwords || others.ClientCertificates && !g.ClientCertificates
}

// GuardsOf returns what a web config asks for that is right; nothing when there is none.
func GuardsOf(file string) Guards {
	g, _ := readGuards(file)
	return g
}

// readGuards also returns the users, with the hash of each one's password.
func readGuards(file string) (Guards, map[string]string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return Guards{}, nil
	}
	var c struct {
		TLS struct {
			Certificate string `yaml:"cert"`
			File        string `yaml:"cert_file"`
			ClientAuth  string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return Guards{}, nil
	}
	return Guards{
		TLS: c.TLS.Certificate != "" || c.TLS.File != "", Passwords: len(c.Users) > 0,
		// The other kinds take any certificate, or none.
		ClientCertificates: c.TLS.ClientAuth == "RequireAndVerifyClientCert",
	}, c.Users
}

// keeper sees to it that what the web config asked for at the start is asked for until the end. The exporter-toolkit reads
// the file for each request, and takes one that holds nothing, be it for the moment in which somebody writes it, for one that
// asks for nothing.
type keeper struct {
	file  string
	start Guards

	mu     sync.Mutex
	proved map[[sha256.Size]byte]bool // the passwords that were right, beside user and hash
}

// maxProved bounds how many passwords are remembered.
const maxProved = 100

func newKeeper(file string) *keeper {
	return &keeper{file: file, start: GuardsOf(file), proved: map[[sha256.Size]byte]bool{}}
}

// admits says whether a request has shown what was asked for at the start. What the toolkit read a moment ago may not be what
// stands there now, so that its word does not count.
func (k *keeper) admits(r *http.Request) bool {
	if !k.start.Closed() {
		return true
	}
	now, users := readGuards(k.file)
	if now.Lacks(k.start) || k.start.ClientCertificates && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return false
	}
	return !k.start.Passwords || k.knows(r, users)
}

// knows says whether a request has a password of one of the users. That it is right is found out once, since it takes long.
func (k *keeper) knows(r *http.Request, users map[string]string) bool {
	user, password, _ := r.BasicAuth()
	hash, known := users[user]
	if !known {
		return false
	}
	sum := sha256.Sum256([]byte(user + "\x00" + hash + "\x00" + password))
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.proved[sum] {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false
	}
	if len(k.proved) >= maxProved {
		clear(k.proved)
	}
	k.proved[sum] = true
	return true
}

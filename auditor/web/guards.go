package web

import (
	"os"

	"github.com/goccy/go-yaml"
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

// GuardsOf returns what a web config asks for that is right; nothing when there is none.
func GuardsOf(file string) Guards {
	text, err := os.ReadFile(file)
	if err != nil {
		return Guards{}
	}
	var c struct {
		TLS struct {
			Certificate string `yaml:"cert"`
			File        string `yaml:"cert_file"`
			ClientAuth  string `yaml:"client_auth_type"`
		} `yaml:"tls_server_config"`
		Users map[string]any `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return Guards{}
	}
	return Guards{
		TLS: c.TLS.Certificate != "" || c.TLS.File != "", Passwords: len(c.Users) > 0,
		// The other kinds take any certificate, or none.
		ClientCertificates: c.TLS.ClientAuth == "RequireAndVerifyClientCert",
	}
}

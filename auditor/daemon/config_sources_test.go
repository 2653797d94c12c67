package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
)

// profiles is a file of the vendor's tools, with sections as they should be and sections that would be misread.
const profiles = `
; what stands before the first section is nobody's
ak = AKNOBODY` + canary + `
sk = SKNOBODY` + canary + `
[basic]
ak = AKBASIC` + canary + `
sk = "SKBASIC` + canary + ` # %(ak)s
project_id = p1
unknown = ` + canary + `
[global]
ak = AKGLOBAL` + canary + `
sk: SKGLOBAL` + canary + `==
domain_id = d0000000000000000000000000000009
iam_endpoint = https://iam.example.com
project_id = p1
[temporary]
ak=AKTEMP` + canary + `
sk=SKTEMP` + canary + `
security_token=TOKEN` + canary + `/+=
[twice]
ak = A` + canary + `
[twice]
sk = S` + canary + `
[faulty]
ak = A` + canary + ` # a comment
sk = %(ak)s
domain_id = d0000000000000000000000000000007
secret_key = S` + canary + `
[odd]
ak =
sk = S` + canary + ` \
security_token = T` + canary + ` two
domain_id = d0000000000000000000000000000007
[again]
ak = A` + canary + `
ak =
sk = S` + canary + `
sk = S` + canary + `
[federated]
ak = A` + canary + `
sk = S` + canary + `
idp_id = someone
id_token_file = /run/token
[global.half]
ak = A` + canary + `
`

func TestCredentialsFromAProfile(t *testing.T) {
	secret := func(text string) huawei.Secret { return huawei.NewSecret(text) }
	for text, want := range map[string]huawei.Keys{
		", profile: global": {AccessKey: secret("AKGLOBAL" + canary), SecretKey: secret("SKGLOBAL" + canary + "==")},
		", profile: temporary": {
			AccessKey: secret("AKTEMP" + canary), SecretKey: secret("SKTEMP" + canary), SecurityToken: secret("TOKEN" + canary + "/+="),
		},
	} {
		cfg, err := parse(t, minimal+
			"credentials: {source: profile, account_id: d0000000000000000000000000000009, profile_file: secrets/profiles"+text+"}\n")
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		from := fmt.Sprintf("the section %q of the file %q", strings.TrimPrefix(text, ", profile: "), "etc/secrets/profiles")
		if got := cfg.Reader().Main; !reflect.DeepEqual(got, huawei.Identity{Keys: want, From: from, AccountID: "d0000000000000000000000000000009"}) {
			t.Errorf("%q: other keys, or from %s", text, got.From)
		}
		accept(t, cfg)
	}
}

func TestCredentialsOfAServer(t *testing.T) {
	const text = minimal + "credentials: {source: ecs, account_id: d0000000000000000000000000000009}\n"
	for cloud, want := range map[string]string{
		"{region: ap-southeast-3}": "",
		"{site: custom, region: x-1, endpoints: {iam: 'https://iam.internal'}}":                                    "",
		"{site: custom, region: x-1, endpoints: {iam: 'https://iam.internal', metadata: 'http://127.0.0.1:9880'}}": "http://127.0.0.1:9880",
	} {
		cfg, err := parse(t, strings.Replace(text, "{region: ap-southeast-3}", cloud, 1))
		if err != nil {
			t.Errorf("%s: %v", cloud, err)
			continue
		}
		main := huawei.Identity{Source: &huawei.Source{Kind: huawei.SourceECS, Address: want}, AccountID: "d0000000000000000000000000000009"}
		if !reflect.DeepEqual(cfg.Reader().Main, main) {
			t.Errorf("%s: %+v", cloud, cfg.Reader().Main)
		}
		accept(t, cfg)
	}
}

func TestCredentialsOfAPod(t *testing.T) {
	const text = minimal + "credentials: {source: pod, account_id: d0000000000000000000000000000009}\n"
	dir := t.TempDir()
	file, token := filepath.Join(dir, "agencyaudit.yaml"), filepath.Join(dir, "token")
	write(t, file, text, 0o644)
	for name, tc := range map[string]struct{ uri, file, token, want string }{
		"good":     {"https://identity.example.com/v1", token, canary + "\n", ""},
		"near":     {"http://169.254.170.23/v1", token, canary, ""},
		"far":      {"http://" + canary + ".example.com/v1", token, canary, "plain http, which is for loopback and link-local addresses only"},
		"relative": {"https://identity.example.com/v1", "token", canary, "holds no absolute path"},
		"empty":    {"https://identity.example.com/v1", token, "", "is empty"},
		"broken":   {"https://identity.example.com/v1", token, canary + " " + canary, "holds a space"},
		"missing":  {"https://identity.example.com/v1", token + "-none", canary, "no such file"},
		"nothing":  {"", "", "", "HC_CONTAINER_CREDENTIALS_FULL_URI is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, token, tc.token, 0o600)
			t.Setenv(envPodURI, tc.uri)
			t.Setenv(envPodTokenFile, tc.file)
			t.Setenv("PROD_AK", "AKPROD"+canary)
			t.Setenv("PROD_SK", "SKPROD"+canary)
			cfg, sources, err := loadConfig(file)
			if tc.want != "" {
				if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "agencyaudit.yaml:5:") {
					t.Errorf("%v, want %s", err, tc.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			accept(t, cfg)
			// The token is read anew each time, and that it is another one is no change of the configuration.
			from := cfg.Reader().Main.Source
			for _, now := range []string{canary, "another" + canary} {
				write(t, token, now, 0o600)
				if got, err := from.Token(); err != nil || got != huawei.NewSecret(now) {
					t.Errorf("not the token: %v", err)
				}
			}
			if sources.changed() {
				t.Error("the configuration is taken for changed")
			}
			write(t, token, canary, 0o644)
			if _, err := from.Token(); err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "others than its owner can read it") {
				t.Errorf("%v", err)
			}
			write(t, token, canary+" "+canary, 0o600)
			if _, err := from.Token(); err == nil || strings.Contains(err.Error(), canary) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestWithoutKeys: no place of a key is looked at, everything else is checked as ever, and nothing can be run.
func TestWithoutKeys(t *testing.T) {
	for name, credentials := range map[string]string{
		"environment": "source: environment", "file": "source: file, ak_file: none, sk_file: none",
		"profile": "source: profile, profile_file: none", "pod": "source: pod", "ecs": "source: ecs",
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "agencyaudit.yaml")
			text := "cloud: {region: ap-southeast-3}\ncredentials: {account_id: d0000000000000000000000000000009, " + credentials + `}
accounts:
  static:
    - {name: one, id: d0000000000000000000000000000001, access: {via: iam, agency: Reader}}
    - {name: two, id: d0000000000000000000000000000002, access: {via: keys, ak_env: NO_SUCH_AK, sk_env: NO_SUCH_SK}}
    - {name: three, id: d0000000000000000000000000000003, access: {via: keys, ak_file: none, sk_file: none}}
`
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := LoadConfigWithoutKeys(file)
			if err != nil || len(cfg.Inventory()) != 3 {
				t.Fatalf("it is not read: %v", err)
			}
			if _, err := New(Options{Config: cfg}); err == nil || !strings.Contains(err.Error(), "without its keys") {
				t.Errorf("a daemon can be made of it: %v", err)
			}
			if _, err := LoadConfig(file); err == nil {
				t.Error("it is no configuration whose keys lack")
			}
			if err := os.WriteFile(file, []byte(strings.Replace(text, "via: iam", "via: hope", 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := LoadConfigWithoutKeys(file); err == nil || !strings.Contains(err.Error(), "accounts.static[0].access.via") {
				t.Errorf("a fault is not found: %v", err)
			}
		})
	}
}

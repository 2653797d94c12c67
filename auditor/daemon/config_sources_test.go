package daemon

import (
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
		"": {AccessKey: secret("AKGLOBAL" + canary), SecretKey: secret("SKGLOBAL" + canary + "==")},
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
		if !reflect.DeepEqual(cfg.Reader().Main, huawei.Identity{Keys: want, AccountID: "d0000000000000000000000000000009"}) {
			t.Errorf("%q: other keys", text)
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

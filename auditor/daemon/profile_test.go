package daemon

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

const profileAccount = "d0000000000000000000000000000009"

// readProfile takes the key out of the section global of a file with profiles.
func readProfile(data []byte) (huawei.Keys, error) {
	cfg := defaultConfig()
	cfg.file = "etc/a.yaml"
	const text = "credentials: {source: profile, account_id: " + profileAccount + ", profile_file: p}\n"
	doc, err := strictyaml.Decode("etc/a.yaml", []byte(text), cfg)
	if err != nil {
		return huawei.Keys{}, err
	}
	c := configCheck{
		cfg: cfg, doc: doc, file: "etc/a.yaml", openSecret: fstest.MapFS{"etc/p": {Data: data, Mode: 0o600}}.Open,
		lookupEnv: lookup(nil),
	}
	k := c.profile("credentials", cfg.Credentials)
	return k, c.err(nil)
}

var (
	profileLine  = regexp.MustCompile(`^([a-z_]+)[ \t]*[=:][ \t]*([^"'#;%\\` + "`" + `]*)$`)
	profileValue = regexp.MustCompile(`^[!-~]+$`)
)

// strictProfile is another reading of the section global, line by line, which shares nothing with the program's. It knows no file
// but one that every reader understands in the same way.
func strictProfile(data []byte) (k huawei.Keys, why string) {
	values, inside, sections := map[string]string{}, false, 0
	for line := range strings.SplitSeq(string(bytes.TrimPrefix(data, []byte("\ufeff"))), "\n") {
		line = strings.Trim(line, " \t\r")
		if strings.HasPrefix(line, "[") {
			name, _, _ := strings.Cut(line, "#")
			name, _, _ = strings.Cut(name, ";")
			if inside = strings.Trim(name, " \t") == "[global]"; inside {
				sections++
			}
			continue
		}
		if !inside || line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		m := profileLine.FindStringSubmatch(line)
		if m == nil {
			if name, _, _ := strings.Cut(line, "="); slices.Contains([]string{"iam_endpoint", "project_id"}, strings.TrimSpace(name)) {
				continue // whatever it says, it is not used
			}
			return k, "a line that may be read in two ways"
		}
		if _, twice := values[m[1]]; twice {
			return k, "a key twice"
		}
		values[m[1]] = m[2]
	}
	for name, value := range values {
		switch name {
		case "ak", "sk", "security_token":
			if !profileValue.MatchString(value) {
				return k, "half a key"
			}
		case "domain_id":
			if value != profileAccount {
				return k, "another account"
			}
		case "project_id", "iam_endpoint":
		default:
			return k, "a key that is not known"
		}
	}
	if sections != 1 || values["ak"] == "" || values["sk"] == "" {
		return k, "no section, two of them, or half a key"
	}
	return huawei.Keys{
		AccessKey: huawei.NewSecret(values["ak"]), SecretKey: huawei.NewSecret(values["sk"]), SecurityToken: huawei.NewSecret(values["security_token"]),
	}, ""
}

// checkProfile reads a file with profiles in both ways, and says what is wrong.
func checkProfile(data []byte) (believed bool, wrong string) {
	k, err := readProfile(data)
	if err != nil {
		if _, ok := errors.AsType[strictyaml.Faults](err); !ok {
			return false, "no list of faults: " + err.Error()
		}
		if strings.Contains(err.Error(), canary) {
			return false, "a secret came out: " + err.Error()
		}
		return false, ""
	}
	want, why := strictProfile(data)
	switch {
	case why != "":
		return true, "it was believed, and has " + why
	case k != want:
		return true, "it was believed, and is another key"
	}
	return true, ""
}

// profilePieces are put into files with profiles.
var profilePieces = []string{
	"\n", "\r\n", "\r", "[", "]", "[global]", "[global]\n", "\n[x]\n", "\n[global.x]\n", "=", ":", " ", "\t", "#", ";", "\"", "\"\"\"", "'", "`", "\\", "\\\n", "%(ak)s",
	"ak", "\nak = other\n", "\nsk=", "\nsecurity_token = t\n", "\ndomain_id = d0000000000000000000000000000007\n", "\nidp_id = x\n", "\ufeff", "\x00", "\xff", "\u00a0", "é",
	"\n-\n", "+=", "\nnothing\n", "\n = x\n", "DEFAULT", "\vx", "\f",
}

// mutateProfile makes a file with profiles of a seed.
func mutateProfile(from []byte, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 0x1f11e))
	b := slices.Clone(from)
	for range 1 + r.IntN(3) {
		at := r.IntN(len(b) + 1)
		to := min(len(b), at+1+r.IntN(8))
		piece := []byte(profilePieces[r.IntN(len(profilePieces))])
		switch r.IntN(5) {
		case 0:
			b = slices.Insert(b, at, piece...)
		case 1:
			b = append(slices.Clone(b[:at]), append(piece, b[to:]...)...)
		case 2:
			b = slices.Delete(b, at, to)
		case 3:
			b = append(b[:to:to], b[at:]...)
		case 4:
			if at < len(b) {
				b[at] ^= 1 << r.IntN(8)
			}
		}
	}
	return b
}

// profileSeeds are files from which others are made.
func profileSeeds() [][]byte {
	return [][]byte{
		[]byte(profiles),
		[]byte("[global]\nak = AK" + canary + "\nsk = SK" + canary + "\n"),
		[]byte("; of the vendor's tools\n[global]\r\nak=AK" + canary + "\r\nsk: SK" + canary + "/+==\r\nsecurity_token=T" + canary + "\r\n" +
			"domain_id = " + profileAccount + "\r\niam_endpoint = https://iam.example.com\r\n\r\n[basic]\r\nak = B" + canary + "\r\n"),
	}
}

// TestMutatedProfiles: whatever becomes of a file with profiles, it is read as every reader would read it, or not at all.
func TestMutatedProfiles(t *testing.T) {
	n := uint64(3000)
	if testing.Short() {
		n = 1000
	}
	for i, from := range profileSeeds() {
		if believed, wrong := checkProfile(from); !believed || wrong != "" {
			t.Fatalf("as it is: %t %s", believed, wrong)
		}
		believed := 0
		for seed := range n {
			data := mutateProfile(from, seed)
			is, wrong := checkProfile(data)
			if wrong != "" {
				t.Errorf("%d, seed %d: %s\n%q", i, seed, wrong, data)
			}
			if is {
				believed++
			}
		}
		if believed < int(n/100) || believed > int(n*99/100) {
			t.Errorf("the mutations prove little: %d of %d are believed", believed, n)
		}
	}
}

// FuzzProfile is TestMutatedProfiles with the inputs of Go's fuzzer.
func FuzzProfile(f *testing.F) {
	for _, data := range profileSeeds() {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// What comes of a secret that the fuzzer made up, nobody knows: then the test is of what is believed alone.
		if _, wrong := checkProfile(data); wrong != "" && (!strings.HasPrefix(wrong, "a secret") || bytes.Count(data, []byte(canary)) > 1) {
			t.Error(wrong)
		}
	})
}

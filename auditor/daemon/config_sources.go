package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"gopkg.in/ini.v1"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
)

// The places that credentials.source names.
const (
	sourceEnvironment = "environment"
	sourceFile        = "file"
	sourceProfile     = "profile"
	sourceECS         = "ecs"
	sourcePod         = "pod"
)

// The environment variables of credentials with source pod. They are those that the cloud sets in a pod.
const (
	envPodURI       = "HC_CONTAINER_CREDENTIALS_FULL_URI"
	envPodTokenFile = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"
)

// sourceKeys are the keys of credentials that mean something with each source, beside source and account_id.
func sourceKeys() map[string][]string {
	return map[string][]string{
		sourceEnvironment: nil, sourceFile: {"ak_file", "sk_file"}, sourceProfile: {"profile_file", "profile"},
		sourceECS: nil, sourcePod: nil,
	}
}

const sourceRemedy = "write environment, file, profile, ecs or pod"

// checkSource resolves the place that the program's own key comes from.
func (c *configCheck) checkSource(at string, creds CredentialsConfig, main *huawei.Identity) {
	if !c.doc.Require(at+".source", sourceRemedy) {
		return
	}
	means, ok := sourceKeys()[creds.Source]
	if !ok {
		c.doc.Add(at+".source", fmt.Sprintf("%q is no source of a key", creds.Source), sourceRemedy)
		return
	}
	for _, key := range []string{"ak_file", "sk_file", "profile_file", "profile"} {
		if !slices.Contains(means, key) {
			c.useless(at, "source: "+creds.Source, key)
		}
	}
	switch creds.Source {
	case sourceEnvironment:
		main.Keys.AccessKey = c.secretEnv(at+".source", envAccessKey)
		main.Keys.SecretKey = c.secretEnv(at+".source", envSecretKey)
		if token, _ := c.lookupEnv(envSecurityToken); token != "" {
			main.Keys.SecurityToken = c.secretEnv(at+".source", envSecurityToken)
		}
	case sourceFile:
		main.Keys.AccessKey = c.half(at+".ak_file", creds.AKFile, fileWithAK, c.secretFile)
		main.Keys.SecretKey = c.half(at+".sk_file", creds.SKFile, fileWithSK, c.secretFile)
	case sourceProfile:
		main.Keys = c.profile(at, creds)
		main.From = fmt.Sprintf("the section %s of the file %s", shown(creds.Profile), shown(c.path(creds.ProfileFile)))
	case sourceECS:
		main.Source = &huawei.Source{Kind: huawei.SourceECS, Address: c.cfg.Cloud.Endpoints.Metadata}
	case sourcePod:
		main.Source = c.pod(at + ".source")
	}
}

// checkChain resolves the agency between the program's own key and the accounts; nil if there is none.
func (c *configCheck) checkChain(at, own string, chain ChainConfig) *huawei.Chain {
	if !c.doc.Has(at) {
		return nil
	}
	if c.doc.Require(at+".account_id", accountIDRemedy) {
		switch {
		case !accountIDPattern.MatchString(chain.AccountID):
			c.doc.Add(at+".account_id", "is not the id of an account", accountIDRemedy)
		case chain.AccountID == own:
			c.doc.Add(at+".account_id", "is the account of the key itself, which needs no chain",
				"leave the chain out, or name the account that it leads into")
		}
	}
	const via = "write iam or sts, for the service that lets the agency be assumed"
	if !c.doc.Require(at+".via", via) {
		return nil
	}
	if chain.Via != viaIAM && chain.Via != viaSTS {
		c.doc.Add(at+".via", fmt.Sprintf("%q is no way into the account of a chain", chain.Via), via)
		return nil
	}
	a := AccessConfig{Via: chain.Via, Agency: chain.Agency, ExternalID: chain.ExternalID}
	return &huawei.Chain{AccountID: chain.AccountID, Access: c.access(at, chain.AccountID, a, nil)}
}

// pod resolves the identity of the pod that the program runs in.
func (c *configCheck) pod(at string) *huawei.Source {
	if c.openSecret == nil {
		return nil
	}
	const remedy = "run the program in a pod that the cloud gives an identity, or write another source"
	var values [2]string
	for i, name := range []string{envPodURI, envPodTokenFile} {
		if values[i], _ = c.lookupEnv(name); values[i] == "" {
			c.doc.Add(at, "the environment variable "+name+" is not set", remedy)
		}
	}
	uri, file := values[0], values[1]
	cfg := c.cfg
	s := &huawei.Source{Kind: huawei.SourcePod, Address: uri, Token: func() (huawei.Secret, error) { return cfg.podToken(file) }}
	if uri != "" {
		if err := s.Check(); err != nil {
			c.doc.Add(at, "the environment variable "+envPodURI+" cannot be used: "+err.Error(), remedy)
		}
	}
	switch {
	case file == "":
	case !filepath.IsAbs(file):
		c.doc.Add(at, "the environment variable "+envPodTokenFile+" holds no absolute path", "name the file from the root on")
	default:
		c.secretFile(at, file)
		c.cfg.tokenFile = file
	}
	return s
}

// podToken reads the token of the pod, which the cluster replaces every so often. The error does not hold it.
func (c *Config) podToken(file string) (huawei.Secret, error) {
	data, problem, _ := readPrivate(c.openSecret, file, maxSecret+1, "nothing but the token")
	if problem == "" {
		if problem = noKey(oneLine(data)); problem == "" {
			return huawei.NewSecret(oneLine(data)), nil
		}
		problem = "the file " + shown(file) + " " + problem
	}
	return huawei.Secret{}, errors.New(problem)
}

// checkMetadata checks where the metadata service is.
func (c *configCheck) checkMetadata() {
	const at = "cloud.endpoints.metadata"
	switch {
	case !c.doc.Has(at):
	case c.cfg.Cloud.Site != custom:
		c.doc.Add(at, "is for site: custom alone; a server finds its metadata service by itself", "delete it")
	case c.cfg.Credentials.Source != sourceECS && c.cfg.Remediation.Credentials.Source != sourceECS:
		c.doc.Add(at, "means nothing without credentials: {source: ecs}", "delete it")
	default:
		address := c.cfg.Cloud.Endpoints.Metadata
		if address == "" || (huawei.Source{Kind: huawei.SourceECS, Address: address}).Check() != nil {
			c.doc.Add(at, "is not where a metadata service can be",
				"write http:// with a loopback address and a port, such as http://127.0.0.1:9880, or delete it")
		}
	}
}

// maxProfileFile bounds a file with profiles in bytes.
const maxProfileFile = 64 << 10

// profile reads the key in a section of an INI file of the vendor's tools.
//
// What its readers understand differently is refused rather than guessed: a section or a key that is there twice, and values
// that some take for a comment, a reference or a quotation. Sections beside the one that is named are not looked at.
func (c *configCheck) profile(at string, creds CredentialsConfig) (k huawei.Keys) {
	if !c.doc.Require(at+".profile_file", "name the file, such as /etc/agencyaudit/credentials") {
		return k
	}
	if creds.ProfileFile == "" {
		c.doc.Add(at+".profile_file", "is empty", "name the file, such as /etc/agencyaudit/credentials")
		return k
	}
	const section = "name the section that holds ak and sk, such as global"
	if c.doc.Has(at+".profile") && !c.doc.Line(at+".profile", creds.Profile, maxName, section) {
		return k
	}
	if c.openSecret == nil {
		return k
	}
	data, ok := c.privateFile(at+".profile_file", creds.ProfileFile, maxProfileFile+1, "sections with ak and sk")
	if !ok {
		return k
	}
	where := "the file " + shown(c.path(creds.ProfileFile))
	file, err := parseProfiles(data, true)
	switch {
	case len(data) > maxProfileFile:
		c.doc.Add(at+".profile_file", fmt.Sprintf("%s has more than %d bytes", where, maxProfileFile), "name the file with the profiles")
		return k
	case oddLine(data) > 0:
		c.doc.Add(at+".profile_file",
			fmt.Sprintf("%s has a line, the one numbered %d, that readers of such files understand differently", where, oddLine(data)),
			"leave nothing but spaces between words, no control characters, and nothing behind the name of a section")
		return k
	case err != nil: // which quotes the line, secret or not
		c.doc.Add(at+".profile_file", where+" is no INI file", "write sections in brackets, such as [global], and lines such as ak = … below them")
		return k
	}
	// With ini.DefaultSection as a name, what stands before the first section would be taken for it.
	found, err := file.SectionsByName(creds.Profile)
	place := at + ".profile"
	if !c.doc.Has(place) {
		place = at + ".profile_file"
	}
	where += " has"
	switch {
	case err != nil || creds.Profile == ini.DefaultSection:
		c.doc.Add(place, fmt.Sprintf("%s no section %s", where, shown(creds.Profile)), section)
		return k
	case len(found) > 1:
		c.doc.Add(place, fmt.Sprintf("%s the section %s %d times", where, shown(creds.Profile), len(found)), "keep one of them")
		return k
	}
	again, err := parseProfiles(data, false)
	if err != nil {
		c.doc.Add(at+".profile_file", where+" is read in two ways", "report this as a bug of agencyaudit")
		return k
	}
	return c.profileKeys(place, where+" in the section "+shown(creds.Profile), creds.AccountID, found[0], again.Section(creds.Profile))
}

// sectionLine is a line that begins a section, with no more than a comment behind its name.
var sectionLine = regexp.MustCompile(`^[ \t]*\[[^\[\]]*\][ \t]*([#;].*)?$`)

// oddLine is the number of the first line that some readers of INI files cut in two, or take white space from that others take for a
// part of it, or read as another section; 0 when there is none. What comments say does not matter.
func oddLine(data []byte) int {
	n := 0
	for line := range strings.SplitSeq(strings.TrimPrefix(string(data), "\ufeff"), "\n") {
		n++
		line = strings.TrimSuffix(line, "\r")
		begins := strings.TrimLeft(line, " \t")
		switch {
		case strings.ContainsAny(line, "\r\v\f\x1c\x1d\x1e\u0085\u2028\u2029"), !utf8.ValidString(line):
			return n
		case strings.HasPrefix(begins, "#"), strings.HasPrefix(begins, ";"):
		case strings.HasPrefix(begins, "[") && !sectionLine.MatchString(line):
			return n
		case strings.ContainsFunc(line, func(r rune) bool {
			return r != '\t' && r != ' ' && !unicode.IsGraphic(r) || r > '~' && unicode.IsSpace(r)
		}):
			return n
		}
	}
	return 0
}

// parseProfiles reads an INI file without anything that joins or cuts lines. Of a key that is there twice, first says which counts.
func parseProfiles(data []byte, first bool) (*ini.File, error) {
	return ini.LoadSources(ini.LoadOptions{
		IgnoreContinuation: true, IgnoreInlineComment: true, PreserveSurroundedQuote: true, AllowNonUniqueSections: true,
		AllowShadows: first, AllowDuplicateShadowValues: first,
	}, data)
}

// profileKeys takes the key out of a section of profiles; last is the section as it is when the last of the same keys counts.
func (c *configCheck) profileKeys(at, where, accountID string, section, last *ini.Section) (k huawei.Keys) {
	values, told := map[string]string{}, map[string]bool{}
	for _, key := range section.Keys() {
		name, value := key.Name(), key.Value() // as it is written: String would follow references
		what := where + " " + shown(name)
		told[name] = true
		switch {
		case name == "project_id" || name == "iam_endpoint": // of no use here: the configuration says where IAM is
		case name == "idp_id" || name == "id_token_file":
			c.doc.Add(at, what+", by which the vendor's tools would become somebody else", "name a section with nothing but an access key")
		case !slices.Contains([]string{"ak", "sk", "security_token", "domain_id"}, name):
			c.doc.Add(at, where+" a key that is not known", "keep ak, sk, security_token and domain_id")
		case len(key.ValueWithShadows()) > 1 || last.Key(name).Value() != value:
			c.doc.Add(at, what+" more than once", "keep one of them")
		case strings.ContainsAny(value, "#;%\"'`\\"):
			c.doc.Add(at, what+" with a character that readers of such files understand differently",
				"write the value as it is, without quotes, comments or references")
		default:
			values[name], told[name] = value, false
		}
	}
	half := func(name string, needed bool) huawei.Secret {
		value, is := values[name]
		switch {
		case is:
			return c.secret(at, fmt.Sprintf("%s %q, which", where, name), value)
		case needed && !told[name]:
			c.doc.Add(at, fmt.Sprintf("%s no %q", where, name), "write both halves of the access key, ak and sk")
		}
		return huawei.Secret{}
	}
	k = huawei.Keys{AccessKey: half("ak", true), SecretKey: half("sk", true), SecurityToken: half("security_token", false)}
	if id, is := values["domain_id"]; is && id != accountID {
		c.doc.Add(at, where+" the domain_id of another account than credentials.account_id", "name the section of that account, or write its id")
	}
	return k
}

package huawei_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

const (
	coc      = "ServiceAgencyForCOC"
	cocTrust = "c0c00000000000000000000000000001"
	mainID   = "a0000000000000000000000000000000"
)

// fake is a cloud that answers rightly until it is told to lie. Unlike the simulated cloud it checks no signatures:
// whatever signs with the access key AK-<account id> is the account, and with TK-<account id> its assumed agency.
type fake struct {
	*httptest.Server
	mu       sync.Mutex
	accounts map[string]*fakeAccount
	roles    []map[string]any
	// lies answer instead, by "operation" or "operation account"; they may call the true answer.
	lies map[string]func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc)
	// sent lists "operation account" in the order of arrival; headers are those of the last request.
	sent    []string
	headers http.Header
	// pageCap makes pages shorter than they are asked for; zero does not.
	pageCap int
	tokens  int
}

type fakeAccount struct {
	agencies []map[string]any
	// grants by "domain", "inherited", "project" and "enterprise_project".
	grants   map[string][]fakeGrant
	attached []map[string]any
	custom   map[string]map[string]any
	projects []map[string]any
}

type fakeGrant struct{ role, in string }

func id32(n int) string { return fmt.Sprintf("%032x", n) }

// accountID returns the id of the n-th account of a fake.
func accountID(n int) string { return "d" + id32(n)[1:] }

const (
	roleIAM    = 1 // IAM ReadOnlyAccess, the n-th of the catalogue
	roleDCS    = 2 // DCS UserAccess
	roleGuest  = 3 // Tenant Guest
	roleFull   = 4 // FullAccess, whose document allows everything
	agencyFrom = 0xa00
)

// newFake starts a cloud with n accounts that all hold exactly what coverage asks for.
func newFake(t testing.TB, n int) *fake {
	t.Helper()
	f := &fake{accounts: map[string]*fakeAccount{}, lies: map[string]func(http.ResponseWriter, *http.Request, http.HandlerFunc){}}
	for i := range 700 {
		f.roles = append(f.roles, map[string]any{
			"id": id32(i), "name": fmt.Sprintf("system_all_%d", i), "display_name": fmt.Sprintf("Service%d ReadOnlyAccess", i),
			"type": "AX", "catalog": "BASE", "domain_id": nil,
			"policy": document("iam:*:get*"),
		})
	}
	f.roles[roleIAM]["display_name"] = "IAM ReadOnlyAccess"
	f.roles[roleDCS]["display_name"] = "DCS UserAccess"
	f.roles[roleGuest]["display_name"] = "Tenant Guest"
	f.roles[roleFull]["display_name"], f.roles[roleFull]["policy"] = "FullAccess", document("*:*:*")
	for i := range n {
		id := accountID(i)
		f.accounts[id] = &fakeAccount{
			agencies: []map[string]any{agency(id, coc, agencyFrom+i)},
			grants: map[string][]fakeGrant{
				"domain":    {{id32(roleIAM), id}},
				"inherited": {{id32(roleDCS), id}},
			},
			custom: map[string]map[string]any{},
		}
	}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func document(actions ...string) map[string]any {
	return map[string]any{"Version": "1.1", "Statement": []any{map[string]any{"Effect": "Allow", "Action": actions}}}
}

func agency(account, name string, n int) map[string]any {
	return map[string]any{
		"id": id32(n), "name": name, "domain_id": account, "trust_domain_id": cocTrust, "trust_domain_name": "op_svc_coc",
		"description": "", "duration": "FOREVER", "expire_time": nil, "create_time": "2024-09-02T06:11:27.000000",
	}
}

// routes are the operations that the fake knows, by method and path.
var routes = []struct {
	name, method string
	path         *regexp.Regexp
}{
	{"agencies", "GET", regexp.MustCompile(`^/v3\.0/OS-AGENCY/agencies$`)},
	{"assignments", "GET", regexp.MustCompile(`^/v3\.0/OS-PERMISSION/role-assignments$`)},
	{"attached", "GET", regexp.MustCompile(`^/v5/agencies/([0-9a-f]+)/attached-policies$`)},
	{"globalRoles", "GET", regexp.MustCompile(`^/v3\.0/OS-AGENCY/domains/(\w+)/agencies/(\w+)/roles$`)},
	{"inheritedRoles", "GET", regexp.MustCompile(`^/v3\.0/OS-INHERIT/domains/(\w+)/agencies/(\w+)/roles/inherited_to_projects$`)},
	{"catalogue", "GET", regexp.MustCompile(`^/v3/roles$`)},
	{"policy", "GET", regexp.MustCompile(`^/v3/roles/(\w+)$`)},
	{"projects", "GET", regexp.MustCompile(`^/v3/projects$`)},
	{"domains", "GET", regexp.MustCompile(`^/v3/auth/domains$`)},
	{"assume", "POST", regexp.MustCompile(`^/v3\.0/OS-CREDENTIAL/securitytokens$`)},
	{"assumeSTS", "POST", regexp.MustCompile(`^/v5/agencies/assume$`)},
	{"organization", "GET", regexp.MustCompile(`^/v1/organizations$`)},
	{"roots", "GET", regexp.MustCompile(`^/v1/organizations/roots$`)},
	{"units", "GET", regexp.MustCompile(`^/v1/organizations/organizational-units$`)},
	{"members", "GET", regexp.MustCompile(`^/v1/organizations/accounts$`)},
	{"tags", "GET", regexp.MustCompile(`^/v1/organizations/resources/(\w+)/tags$`)},
}

var accessKey = regexp.MustCompile(`^SDK-HMAC-SHA256 Access=(AK|TK)-(\w+?)(?:-(\d+))?, `)

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", id32(int(time.Now().UnixNano())))
	for _, route := range routes {
		m := route.path.FindStringSubmatch(r.URL.Path)
		if r.Method != route.method || m == nil {
			continue
		}
		signed := accessKey.FindStringSubmatch(r.Header.Get("Authorization"))
		if signed == nil {
			f.keystone(w, 401, "no access key")
			return
		}
		name, account := route.name, signed[2]
		if name == "assignments" {
			name = r.URL.Query().Get("scope")
			if r.URL.Query().Get("is_inherited") == "true" {
				name = "inherited"
			}
		}
		f.mu.Lock()
		f.sent = append(f.sent, name+" "+account)
		f.headers = r.Header.Clone()
		lie := f.lies[name+" "+account]
		if lie == nil {
			lie = f.lies[name]
		}
		f.mu.Unlock()
		truth := func(w http.ResponseWriter, r *http.Request) { f.answer(w, r, name, account, m[1:]) }
		if lie != nil {
			lie(w, r, truth)
			return
		}
		truth(w, r)
		return
	}
	f.mu.Lock()
	f.sent = append(f.sent, "unknown "+r.Method+" "+r.URL.Path)
	f.mu.Unlock()
	f.gateway(w, 404, "APIGW.0101", "The API does not exist or has not been published in the environment")
}

func (f *fake) answer(w http.ResponseWriter, r *http.Request, name, account string, path []string) {
	q := r.URL.Query()
	page := func(rows []any) []any {
		n, _ := strconv.Atoi(q.Get("page"))
		per, _ := strconv.Atoi(q.Get("per_page"))
		if f.pageCap > 0 {
			per = min(per, f.pageCap)
		}
		if n < 1 || per < 1 {
			return rows
		}
		from := min((n-1)*per, len(rows))
		return rows[from:min(from+per, len(rows))]
	}
	switch name {
	case "assume":
		var body struct {
			Auth struct {
				Identity struct {
					AssumeRole struct {
						DomainID string `json:"domain_id"`
					} `json:"assume_role"`
				}
			}
		}
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &body)
		f.mu.Lock()
		f.tokens++
		n := f.tokens
		f.mu.Unlock()
		target := body.Auth.Identity.AssumeRole.DomainID
		f.json(w, 201, map[string]any{"credential": map[string]any{
			"access": fmt.Sprintf("TK-%s-%d", target, n), "secret": "canary-temporary-secret",
			"securitytoken": "canary-security-token-" + target,
			"expires_at":    time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"),
		}})
		return
	case "assumeSTS":
		var body struct {
			URN     string `json:"agency_urn"`
			Session string `json:"agency_session_name"`
		}
		raw, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(raw, &body)
		f.mu.Lock()
		f.tokens++
		n := f.tokens
		f.mu.Unlock()
		parts := strings.Split(body.URN, ":")
		f.json(w, 200, map[string]any{
			"assumed_agency": map[string]any{
				"urn": "sts::" + parts[2] + "::assumed-agency:" + parts[4] + "/" + body.Session, "id": id32(n) + ":" + body.Session,
			},
			"credentials": map[string]any{
				"access_key_id": fmt.Sprintf("TK-%s-%d", parts[2], n), "secret_access_key": "canary-temporary-secret",
				"security_token": "canary-security-token-" + parts[2],
				"expiration":     time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z"),
			},
		})
		return
	case "organization":
		f.json(w, 200, map[string]any{"organization": map[string]any{"id": "o-1", "management_account_id": mainID}})
		return
	case "roots", "units", "members", "tags":
		f.json(w, 200, f.organized(name, q.Get("parent_id")))
		return
	case "domains":
		f.json(w, 200, map[string]any{"domains": []any{map[string]any{"id": account, "name": "n", "enabled": true, "description": ""}}})
		return
	case "catalogue":
		var rows []any
		for _, role := range f.roles {
			rows = append(rows, role)
		}
		f.json(w, 200, map[string]any{"roles": page(rows), "links": map[string]any{}})
		return
	}
	a := f.accounts[account]
	if a == nil {
		f.keystone(w, 403, "no such account")
		return
	}
	switch name {
	case "agencies":
		var rows []any
		for _, g := range a.agencies {
			if want := q.Get("name"); want == "" || want == g["name"] {
				rows = append(rows, g)
			}
		}
		f.json(w, 200, map[string]any{"agencies": orEmpty(page(rows))})
	case "domain", "inherited", "project", "enterprise_project":
		var rows []any
		for _, g := range a.grants[name] {
			scope := name
			if name == "inherited" {
				scope = "domain"
			}
			rows = append(rows, map[string]any{
				"agency": map[string]any{"id": q.Get("subject.agency_id")}, "role": map[string]any{"id": g.role},
				"scope": map[string]any{scope: map[string]any{"id": g.in}}, "is_inherited": name == "inherited",
			})
		}
		f.json(w, 200, map[string]any{"total_num": len(rows), "role_assignments": orEmpty(page(rows))})
	case "attached":
		per := 200
		if f.pageCap > 0 {
			per = f.pageCap
		}
		from, _ := strconv.Atoi(strings.TrimPrefix(q.Get("marker"), "mark"))
		to := min(from+per, len(a.attached))
		info := map[string]any{"current_count": to - from}
		if to < len(a.attached) {
			info["next_marker"] = fmt.Sprintf("mark%d", to)
		}
		f.json(w, 200, map[string]any{"attached_policies": append([]map[string]any{}, a.attached[from:to]...), "page_info": info})
	case "globalRoles", "inheritedRoles":
		var rows []any
		for _, g := range a.grants[map[string]string{"globalRoles": "domain", "inheritedRoles": "inherited"}[name]] {
			rows = append(rows, map[string]any{"id": g.role, "name": "system"})
		}
		f.json(w, 200, map[string]any{"roles": orEmpty(rows), "links": map[string]any{}})
	case "policy":
		if role := a.custom[path[0]]; role != nil {
			f.json(w, 200, map[string]any{"role": role})
			return
		}
		f.keystone(w, 404, "Could not find role: "+path[0])
	case "projects":
		f.json(w, 200, map[string]any{"projects": orEmpty(toAny(a.projects))})
	}
}

// organized is a list of the organization: all accounts and the main identity's are in one unit below the root.
func (f *fake) organized(name, parent string) map[string]any {
	var rows []any
	key := map[string]string{"units": "organizational_units", "members": "accounts"}[name]
	switch {
	case name == "roots":
		rows, key = []any{map[string]any{"id": "r-1"}}, name
	case name == "units" && parent == "r-1":
		rows = []any{map[string]any{"id": "ou-1", "name": "One"}}
	case name == "members" && parent != "r-1":
		for _, id := range slices.Sorted(maps.Keys(f.accounts)) {
			rows = append(rows, map[string]any{"id": id, "name": "n-" + id, "status": "active", "joined_at": "2024-09-02T06:11:27Z"})
		}
		if f.accounts[mainID] == nil {
			rows = append(rows, map[string]any{"id": mainID, "name": "main", "status": "active", "joined_at": "2024-09-02T06:11:27Z"})
		}
	case name == "tags":
		rows, key = []any{map[string]any{"key": "env", "value": "prod"}}, name
	}
	return map[string]any{key: orEmpty(rows), "page_info": map[string]any{"next_marker": nil, "current_count": len(rows)}}
}

func toAny(rows []map[string]any) (all []any) {
	for _, r := range rows {
		all = append(all, r)
	}
	return all
}

func orEmpty(rows []any) []any { return append([]any{}, rows...) }

func (f *fake) json(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fake) keystone(w http.ResponseWriter, status int, message string) {
	f.json(w, status, map[string]any{"error": map[string]any{"message": message, "code": status, "title": http.StatusText(status)}})
}

func (f *fake) gateway(w http.ResponseWriter, status int, code, message string) {
	f.json(w, status, map[string]any{"error_msg": message, "error_code": code, "request_id": w.Header().Get("X-Request-Id")})
}

// lie sets or, with nil, removes the answer to an operation.
func (f *fake) lie(on string, how func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lies[on] = how
}

// log returns and forgets what was asked, in order of the alphabet.
func (f *fake) log() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	sent := f.sent
	f.sent = nil
	slices.Sort(sent)
	return sent
}

// config lets every account be read with keys of its own.
func (f *fake) config() huawei.Config {
	cfg := huawei.Config{Endpoints: huawei.Endpoints{IAM: f.URL}, UserAgent: "agencyaudit/test", Accounts: map[string]huawei.Access{}}
	for id := range f.accounts {
		cfg.Accounts[id] = huawei.Access{Keys: huawei.Keys{
			AccessKey: huawei.NewSecret("AK-" + id), SecretKey: huawei.NewSecret("canary-secret-of-" + id),
		}}
	}
	return cfg
}

// assuming lets every account be entered by an agency.
func (f *fake) assuming() huawei.Config {
	cfg := f.config()
	cfg.Main = huawei.Identity{AccountID: mainID, Keys: huawei.Keys{
		AccessKey: huawei.NewSecret("AK-" + mainID), SecretKey: huawei.NewSecret("canary-main-secret"),
	}}
	cfg.Endpoints = huawei.Endpoints{IAM: f.URL, STS: f.URL, Organizations: f.URL}
	for id := range maps.Keys(cfg.Accounts) {
		cfg.Accounts[id] = huawei.Access{Agency: "Reader"}
	}
	return cfg
}

// open makes a reader that logs everything into the buffer it returns.
func open(t testing.TB, cfg huawei.Config) (*huawei.Cloud, *buffer) {
	t.Helper()
	b := &buffer{}
	c, err := huawei.New(cfg, slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.Hasten()
	return c, b
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func account(n int) rules.Account {
	return rules.Account{ID: accountID(n), Name: fmt.Sprintf("account-%d", n)}
}

// baseline asks for one grant on each plane that a baseline can fill.
func baseline() rules.Baseline {
	return rules.Baseline{
		Name: "test", Agency: coc, Trust: rules.Trust{Name: "op_svc_coc"},
		Required: []rules.Requirement{
			{Policy: "IAM ReadOnlyAccess", Scope: rules.Global},
			{Policy: "DCS UserAccess", Scope: rules.AllResources},
		},
	}
}

package simcloud_test

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// model is a naive cloud: the grants of alpha's agencies as text, with every earlier state and when it was left.
type model struct {
	now    map[string]bool
	past   []past
	writes int
}

// past is a state that lists show until the delay after until is over.
type past struct {
	state map[string]bool
	until time.Time
}

func (m *model) change(at time.Time, do func(map[string]bool)) {
	was := map[string]bool{}
	for k := range m.now {
		was[k] = true
	}
	m.past = append(m.past, past{was, at})
	do(m.now)
}

// listed is what lists show that lag behind by the delay.
func (m *model) listed(at time.Time, delay time.Duration) map[string]bool {
	for _, p := range m.past {
		if at.Before(p.until.Add(delay)) {
			return p.state
		}
	}
	return m.now
}

// with returns the rest of the model's lines that begin with the text, sorted.
func with(state map[string]bool, prefix string) []string {
	out := []string{}
	for line := range state {
		if rest, ok := strings.CutPrefix(line, prefix); ok {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

// Whatever is granted, revoked, attached and detached, by clients and by drift, at whatever times: the answers, the
// lists, the single look-ups, the true state and the journal agree with the naive model.
func TestTheCloudAgreesWithANaiveModel(t *testing.T) {
	org := organization()
	for i := range org.Accounts[0].Agencies {
		org.Accounts[0].Agencies[i].Grants, org.Accounts[0].Agencies[i].Attached = nil, nil
	}
	base, err := simcloud.New(org)
	if err != nil {
		t.Fatal(err)
	}
	var roles []string
	for _, name := range []string{"Tenant Guest", "IAM ReadOnlyAccess", "Server Administrator"} {
		roles = append(roles, policyID(t, base, name))
	}
	roles = append(roles, customID)
	identities := []string{customV5ID, policyID(t, base, "IAMReadOnlyPolicy")}

	rapid.Check(t, func(t *rapid.T) {
		delay := rapid.SampledFrom([]time.Duration{0, 3 * time.Second}).Draw(t, "delay")
		repeat := rapid.SampledFrom([]string{"204", "409"}).Draw(t, "repeat")
		missing := rapid.SampledFrom([]string{"404", "204"}).Draw(t, "missing")
		k := newClock()
		org := *org
		org.Settings = simcloud.Settings{ReadAfterWriteDelay: delay,
			Switches: simcloud.Switches{RepeatGrant: repeat, RevokeMissing: missing}}
		c, err := simcloud.NewAt(&org, k.now)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{now: map[string]bool{}}
		ask := func(method, target, body string) reply {
			r := do(c, request{method: method, target: target, body: body, key: adminKey, at: k.at}.build())
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			return reply{r.StatusCode, r.Header, string(raw)}
		}
		agency := func(t *rapid.T) string { return rapid.SampledFrom([]string{cocID, readerID}).Draw(t, "agency") }
		role := func(t *rapid.T) string { return rapid.SampledFrom(roles).Draw(t, "role") }
		scope := func(t *rapid.T) string {
			return rapid.SampledFrom([]string{"global", "project", "all_resources"}).Draw(t, "scope")
		}
		// expected applies a write to the model and returns the status that it must have.
		expected := func(line string, grant bool, granted, revoked int) int {
			switch has := m.now[line]; {
			case grant && has && repeat == "409":
				return 409
			case !grant && !has && missing == "404":
				return 404
			case grant != has:
				m.change(k.at, func(s map[string]bool) {
					if grant {
						s[line] = true
					} else {
						delete(s, line)
					}
				})
			}
			m.writes++
			if grant {
				return granted
			}
			return revoked
		}
		t.Repeat(map[string]func(*rapid.T){
			"grant or revoke": func(t *rapid.T) {
				g, r, s := agency(t), role(t), scope(t)
				grant := rapid.Bool().Draw(t, "grant")
				method := map[bool]string{true: "PUT", false: "DELETE"}[grant]
				want := expected(fmt.Sprint(g, " ", s, " ", r), grant, 204, 204)
				if got := ask(method, rolePath(s, g, r), ""); got.status != want {
					t.Fatalf("%s %s at %s: %d %s, want %d", method, r, s, got.status, got.body, want)
				}
			},
			"enterprise project": func(t *rapid.T) {
				g, r := agency(t), role(t)
				grant := rapid.Bool().Draw(t, "grant")
				method := map[bool]string{true: "PUT", false: "DELETE"}[grant]
				want := expected(fmt.Sprint(g, " enterprise_project ", r), grant, 200, 204)
				body := strings.ReplaceAll(enterpriseBody(1, payrollID, r), readerID, g)
				if got := ask(method, inEP, body); got.status != want {
					t.Fatalf("%s %s: %d %s, want %d", method, body, got.status, got.body, want)
				}
			},
			"attach or detach": func(t *rapid.T) {
				g, p := agency(t), rapid.SampledFrom(identities).Draw(t, "policy")
				line := fmt.Sprint(g, " identity ", p)
				what, want := "attach", 200
				if rapid.Bool().Draw(t, "detach") {
					what = "detach"
				}
				if what == "detach" && !m.now[line] {
					want = 404
				} else {
					m.writes++
					if m.now[line] == (what == "detach") {
						m.change(k.at, func(s map[string]bool) {
							if what == "attach" {
								s[line] = true
							} else {
								delete(s, line)
							}
						})
					}
				}
				if got := ask("POST", "/v5/policies/"+p+"/"+what+"-agency", `{"agency_id":"`+g+`"}`); got.status != want {
					t.Fatalf("%s %s: %d %s, want %d", what, p, got.status, got.body, want)
				}
			},
			"drift": func(t *rapid.T) {
				g, r, s := agency(t), role(t), scope(t)
				d := simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: g,
					Grant: &simcloud.Grant{PolicyID: r, Scope: s}}
				if s == "project" {
					d.Grant.In = subID
				}
				line := fmt.Sprint(g, " ", s, " ", r)
				was := m.now[line]
				if was {
					d.Kind = simcloud.DriftRevoke
				}
				if err := c.Drift(d); err != nil {
					t.Fatal(err)
				}
				// Drift is true in every state that a list may still show.
				for _, state := range append([]map[string]bool{m.now}, states(m.past)...) {
					if was {
						delete(state, line)
					} else {
						state[line] = true
					}
				}
			},
			"time passes": func(t *rapid.T) {
				k.at = k.at.Add(time.Duration(rapid.IntRange(1, 4000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) {
				for _, g := range []string{agency(t)} {
					shown := m.listed(k.at, delay)
					for s, list := range map[string]string{"global": "ListDomainPermissionsForAgency",
						"project": "ListProjectPermissionsForAgency", "all_resources": "ListAllProjectsPermissionsForAgency"} {
						var body struct{ Roles []struct{ ID string } }
						decodeList(t, ask("GET", lists(g)[list], ""), &body)
						got := []string{}
						for _, r := range body.Roles {
							got = append(got, r.ID)
						}
						slices.Sort(got)
						if want := with(shown, g+" "+s+" "); !slices.Equal(got, want) {
							t.Fatalf("%s shows %v, want %v", list, got, want)
						}
					}
					for s, q := range map[string]string{"global": "scope=domain", "project": "scope=project",
						"all_resources": "scope=domain&is_inherited=true", "enterprise_project": "scope=enterprise_project"} {
						var body struct {
							Total int                                  `json:"total_num"`
							Rows  []struct{ Role struct{ ID string } } `json:"role_assignments"`
						}
						decodeList(t, ask("GET", assignments+"?"+q+"&domain_id="+alphaID+"&subject.agency_id="+g, ""), &body)
						got := []string{}
						for _, r := range body.Rows {
							got = append(got, r.Role.ID)
						}
						slices.Sort(got)
						if want := with(shown, g+" "+s+" "); !slices.Equal(got, want) || body.Total != len(want) {
							t.Fatalf("%s shows %d: %v, want %v", q, body.Total, got, want)
						}
					}
					var body struct {
						Rows []struct {
							ID string `json:"policy_id"`
						} `json:"attached_policies"`
					}
					decodeList(t, ask("GET", "/v5/agencies/"+g+"/attached-policies", ""), &body)
					got := []string{}
					for _, r := range body.Rows {
						got = append(got, r.ID)
					}
					if want := with(shown, g+" identity "); !slices.Equal(got, want) {
						t.Fatalf("attached are %v, want %v", got, want)
					}
					r, s, want := role(t), scope(t), 404 // single look-ups do not lag behind
					if m.now[fmt.Sprint(g, " ", s, " ", r)] {
						want = 204
					}
					if got := ask("HEAD", rolePath(s, g, r), ""); got.status != want {
						t.Fatalf("HEAD %s at %s: %d, want %d", r, s, got.status, want)
					}
				}
				truth := map[string]bool{}
				for _, g := range c.Organization().Accounts[0].Agencies {
					for _, x := range g.Grants {
						truth[fmt.Sprint(g.ID, " ", x.Scope, " ", x.PolicyID)] = true
					}
				}
				n := 0
				for line := range m.now {
					if !strings.Contains(line, " identity ") {
						n++
						if !truth[line] {
							t.Fatalf("the true state lacks %s: %v", line, truth)
						}
					}
				}
				if n != len(truth) || len(c.Journal()) != m.writes {
					t.Fatalf("%d grants, want %d; %d writes, want %d", len(truth), n, len(c.Journal()), m.writes)
				}
			},
		})
	})
}

func states(in []past) []map[string]bool {
	var out []map[string]bool
	for _, p := range in {
		out = append(out, p.state)
	}
	return out
}

func decodeList(t *rapid.T, r reply, v any) {
	if err := json.Unmarshal([]byte(r.body), v); err != nil || r.status != 200 {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
}

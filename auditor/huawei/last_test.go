package huawei_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/agencyaudit/agencyaudit/rules"
)

// lastOf is what the evidence will be as the last one.
func lastOf(ev rules.Evidence) rules.Last {
	last := rules.Last{Known: true, Planes: ev.Planes()}
	if a, ok := ev.Agency(); ok {
		last.Agency = &a
	}
	return last
}

// furnish gives an account grants on every plane, one of them of a policy of its own.
func furnish(f *fake) *fakeAccount {
	id := accountID(0)
	a := f.accounts[id]
	a.grants["domain"] = append(a.grants["domain"], fakeGrant{id32(9001), id})
	a.custom[id32(9001)] = custom(9001, id)
	a.grants["project"] = []fakeGrant{{id32(roleGuest), "p1"}, {id32(roleGuest), "p2"}}
	a.grants["enterprise_project"] = []fakeGrant{{id32(roleGuest), "0"}}
	a.attached = []map[string]any{{"policy_id": "v5", "policy_name": "x", "urn": "", "attached_at": "2025-01-01T00:00:00Z"}}
	return a
}

// changes are what may become of a furnished account between two runs.
var changes = []struct {
	name   string
	change func(a *fakeAccount)
	// more and less are the requests that the reading of the change costs beyond a steady one, and those that it spares;
	// the last of more is the second witness. stays are those of more that every later reading costs as well.
	more, less, stays []string
	// answers is how many make the first witness; zero is one.
	answers int
}{
	{
		name: "a global grant is gone", change: func(a *fakeAccount) { a.grants["domain"] = a.grants["domain"][1:] },
		more: []string{"globalRoles"},
	},
	{
		name: "every global grant is gone", change: func(a *fakeAccount) { a.grants["domain"] = nil },
		more: []string{"globalRoles"}, less: []string{"policy"}, stays: []string{"globalRoles"},
	},
	{
		name: "a global grant is new", change: func(a *fakeAccount) {
			a.grants["domain"] = append(a.grants["domain"], fakeGrant{id32(roleFull), accountID(0)})
		}, more: []string{"globalRoles"},
	},
	{
		name: "an all-resources grant is another", change: func(a *fakeAccount) {
			a.grants["inherited"] = []fakeGrant{{id32(roleFull), accountID(0)}}
		}, more: []string{"inheritedRoles"},
	},
	{
		name: "a project grant is gone", change: func(a *fakeAccount) { a.grants["project"] = a.grants["project"][1:] },
		more: []string{"project"},
	},
	{
		name: "every project grant is gone", change: func(a *fakeAccount) { a.grants["project"] = nil },
		more: []string{"project"}, less: []string{"projects"},
	},
	{
		name: "a project grant moved", change: func(a *fakeAccount) { a.grants["project"][0].in = "p3" }, more: []string{"project"},
	},
	{
		name: "the enterprise-project grant is gone", change: func(a *fakeAccount) { a.grants["enterprise_project"] = nil },
		more: []string{"enterprise_project"},
	},
	{name: "the identity policy is gone", change: func(a *fakeAccount) { a.attached = nil }, more: []string{"attached"}},
	{
		name: "the identity policy has another name", change: func(a *fakeAccount) { a.attached[0]["policy_name"] = "y" },
		more: []string{"attached"},
	},
	{
		name: "the custom policy has another name", change: func(a *fakeAccount) { a.custom[id32(9001)]["display_name"] = "y" },
		more: []string{"policy"},
	},
	{
		name: "the custom policy allows less", change: func(a *fakeAccount) { a.custom[id32(9001)]["policy"] = document("ecs:*:get*") },
		more: []string{"policy"},
	},
	{
		// That a policy is not found is believed of two answers, each time.
		name: "the custom policy is not found", change: func(a *fakeAccount) { delete(a.custom, id32(9001)) },
		more: []string{"policy", "policy", "policy"}, stays: []string{"policy"}, answers: 2,
	},
	{name: "the agency is another one", change: func(a *fakeAccount) { a.agencies[0]["id"] = id32(77) }, more: []string{"agencies"}},
	{
		name: "another account is trusted", change: func(a *fakeAccount) { a.agencies[0]["trust_domain_id"] = id32(66) },
		more: []string{"agencies"},
	},
	{
		name: "the trusted account has another name", change: func(a *fakeAccount) { a.agencies[0]["trust_domain_name"] = "mallory" },
		more: []string{"agencies"},
	},
	{
		name: "the agency ends", change: func(a *fakeAccount) { a.agencies[0]["expire_time"] = "2030-01-01T00:00:00.000000" },
		more: []string{"agencies"},
	},
	{
		name: "everything changed", change: func(a *fakeAccount) {
			a.grants, a.attached = map[string][]fakeGrant{}, nil
			a.agencies[0]["id"] = id32(77)
		},
		more: []string{"agencies", "globalRoles", "project", "enterprise_project", "attached", "inheritedRoles"},
		less: []string{"policy", "projects"}, stays: []string{"globalRoles", "inheritedRoles"},
	},
}

// TestAChangeIsReadTwice counts the requests that a change costs, and has the second witness contradict the first.
func TestAChangeIsReadTwice(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			old, f := newFake(t, 1), newFake(t, 1)
			furnish(old)
			a := furnish(f)
			m := &meter{}
			cfg := f.config()
			cfg.Meter = m
			cloud, _ := open(t, cfg)
			observe := func(last rules.Last) (rules.Evidence, error) {
				f.log()
				ev, _, err := cloud.Observe(t.Context(), account(0), baseline(), last)
				return ev, err
			}
			first, err := observe(rules.Last{})
			if err != nil {
				t.Fatal(err)
			}
			last := lastOf(first)
			// The same again costs six requests, and the custom policy and the names of the projects.
			steady := append(six(0), "policy "+accountID(0), "projects "+accountID(0))
			costs := func(less []string, more ...string) {
				t.Helper()
				want := slices.DeleteFunc(slices.Clone(steady), func(s string) bool {
					name, _, _ := strings.Cut(s, " ")
					return slices.Contains(less, name)
				})
				for _, name := range more {
					want = append(want, name+" "+accountID(0))
				}
				slices.Sort(want)
				wantLines(t, f.log(), want)
			}
			if again, err := observe(last); err != nil || !slices.Equal(grants(again), grants(first)) {
				t.Fatalf("%v, %q", err, grants(again))
			}
			costs(nil)
			c.change(a)
			after, err := observe(last)
			if err != nil {
				t.Fatalf("a change that everybody saw is no evidence: %v", err)
			}
			costs(c.less, c.more...)
			if _, err := observe(lastOf(after)); err != nil {
				t.Errorf("the next run: %v", err)
			}
			costs(c.less, c.stays...)

			// A replica that lags behind, or a cloud that flips: the second witness says what was before.
			witness := c.more[len(c.more)-1]
			firstAnswers := max(c.answers, 1)
			if strings.HasSuffix(witness, "Roles") {
				firstAnswers = 0 // it is a request of its own
			}
			var n atomic.Int32
			f.lie(witness, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
				if int(n.Add(1)) > firstAnswers {
					old.ServeHTTP(w, r)
					return
				}
				truth(w, r)
			})
			m.rejected = nil
			_, err = observe(last)
			u, ok := errors.AsType[*rules.Unknown](err)
			if !ok || u.Reason != rules.ReasonDisagree || (witness != "policy" && u.RequestID == "") {
				t.Fatalf("contradicted: %v", err)
			}
			if n := len(m.rejected); n == 0 || m.rejected[n-1] != "witness_mismatch" {
				t.Errorf("rejected %q", m.rejected)
			}
			f.lie(witness, nil)
			if _, err := observe(last); err != nil {
				t.Errorf("when the witnesses agree: %v", err)
			}
		})
	}
}

// TestAnAgencyThatComesOrGoesIsAskedForTwice: by name and in the whole list when it is gone, by name twice when it is new.
func TestAnAgencyThatComesOrGoesIsAskedForTwice(t *testing.T) {
	f := newFake(t, 1)
	a := f.accounts[accountID(0)]
	c, _ := open(t, f.config())
	there := lastOf(mustObserve(t, c, 0))
	agencies := a.agencies
	a.agencies = nil
	f.log()
	gone, _, err := c.Observe(t.Context(), account(0), baseline(), there)
	if sent := f.log(); err != nil || asked(sent, "agencies") != 2 || len(sent) != 3 {
		t.Fatalf("gone: %v, sent %q", err, sent)
	}
	if _, ok := gone.Agency(); ok {
		t.Error("gone, and found")
	}
	a.agencies = agencies
	ev, trail, err := c.Observe(t.Context(), account(0), baseline(), lastOf(gone))
	if _, ok := ev.Agency(); err != nil || !ok || trail.Requests != 9 {
		t.Errorf("come back: %v, %d requests", err, trail.Requests)
	}
	wantLines(t, f.log(), slices.Sorted(slices.Values(append(six(0),
		"agencies "+accountID(0), "globalRoles "+accountID(0), "inheritedRoles "+accountID(0)))))
	// It is in one answer and not in the next.
	var n atomic.Int32
	f.lie("agencies", func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
		if n.Add(1) > 1 {
			say(200, `{"agencies":[]}`)(w, r, truth)
			return
		}
		truth(w, r)
	})
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), lastOf(gone)); err == nil || !strings.Contains(err.Error(), "disagree") {
		t.Errorf("flips: %v", err)
	}
}

// TestAPlaneIsNotLost: a gateway that knows nothing of an API, where the last evidence read it, is not believed: neither when it held
// grants, nor when it held none and an administrator was let in since.
func TestAPlaneIsNotLost(t *testing.T) {
	for _, plane := range []string{"enterprise_project", "attached"} {
		f := newFake(t, 1)
		c, _ := open(t, f.config())
		empty := lastOf(mustObserve(t, c, 0))
		furnish(f)
		last := lastOf(mustObserve(t, c, 0))
		f.lie(plane, func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { f.gateway(w, 404, "APIGW.0101", "x") })
		_, _, err := c.Observe(t.Context(), account(0), baseline(), last)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree || u.Remedy == "" || u.RequestID == "" {
			t.Errorf("%s: %v", plane, err)
		}
		_, _, err = c.Observe(t.Context(), account(0), baseline(), empty)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDisagree {
			t.Errorf("%s, empty before: %v", plane, err)
		}
		f.lie(plane, nil)
		if _, _, err := c.Observe(t.Context(), account(0), baseline(), last); err != nil {
			t.Errorf("%s, back again: %v", plane, err)
		}
	}
}

// TestASecondWitnessThatFails leaves the account unknown for its own reason.
func TestASecondWitnessThatFails(t *testing.T) {
	for _, c := range changes {
		witness := c.more[len(c.more)-1]
		if witness == "policy" || witness == "agencies" || witness == "attached" {
			continue // the first answer comes by the same request, and the second fails as it would
		}
		f := newFake(t, 1)
		a := furnish(f)
		cloud, _ := open(t, f.config())
		last := lastOf(mustObserve(t, cloud, 0))
		c.change(a)
		var n atomic.Int32
		f.lie(witness, func(w http.ResponseWriter, r *http.Request, truth http.HandlerFunc) {
			if n.Add(1) > 1 || strings.HasSuffix(witness, "Roles") {
				f.keystone(w, 403, "no")
				return
			}
			truth(w, r)
		})
		_, _, err := cloud.Observe(t.Context(), account(0), baseline(), last)
		if u, ok := errors.AsType[*rules.Unknown](err); !ok || u.Reason != rules.ReasonDenied || u.Remedy == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestSeveralPagesAreReadTwice each time: that they are as before says nothing of what slid from one to another.
func TestSeveralPagesAreReadTwice(t *testing.T) {
	f := newFake(t, 1)
	furnish(f)
	f.pageCap, f.roles = 1, f.roles[:20]
	c, _ := open(t, f.config())
	ev := mustObserve(t, c, 0)
	sent := f.log()
	for what, want := range map[string]int{"domain": 2, "globalRoles": 1, "inherited": 1, "inheritedRoles": 0, "project": 4, "enterprise_project": 1, "attached": 1} {
		if n := asked(sent, what); n != want {
			t.Errorf("%s was asked %d times, want %d", what, n, want)
		}
	}
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), lastOf(ev)); err != nil {
		t.Fatal(err)
	}
	if sent := f.log(); asked(sent, "project") != 4 || asked(sent, "globalRoles") != 1 {
		t.Errorf("sent %q", sent)
	}
}

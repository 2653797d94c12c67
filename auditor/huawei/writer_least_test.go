package huawei_test

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
	"github.com/agencyaudit/agencyaudit/rules"
)

// publishedActions are those of a policy document of deploy/iam. There is no other list of them.
func publishedActions(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/iam/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Statement []struct{ Action []string } }
	if err := json.Unmarshal(text, &doc); err != nil || len(doc.Statement) != 1 {
		t.Fatalf("%s: %v", file, err)
	}
	return doc.Statement[0].Action
}

// leastShop is a shop whose agencies hold nothing but the published documents of a version, without one of their actions.
func leastShop(t testing.TB, version, without string) *shopSite {
	t.Helper()
	return newShop(t, func(o *simcloud.Organization) {
		shop := &o.Accounts[1]
		for i, file := range []string{"repair-grant", "repair-revoke", "reader"} {
			p := simcloud.Policy{DisplayName: "Least-" + file, Version: version, Allow: slices.DeleteFunc(
				publishedActions(t, "v"+version+"/"+file+".json"), func(a string) bool { return a == without },
			)}
			if g := &shop.Agencies[i]; version == "5.0" {
				g.Grants, g.Attached = nil, []string{p.DisplayName}
			} else {
				p.Type = "AX"
				g.Grants = []simcloud.Grant{{Policy: p.DisplayName, Custom: true, Scope: "global"}}
			}
			shop.Policies = append(shop.Policies, p)
		}
	})
}

// With exactly the published documents every step is carried out. Without any one of their actions one step is refused, and all others are
// not: the refusal names that action, in the language of the document. So none is superfluous.
func TestLeastRightsOfAStep(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "5.0"} {
		actions := slices.Concat(publishedActions(t, "v"+version+"/repair-grant.json"), publishedActions(t, "v"+version+"/repair-revoke.json"))
		for _, without := range append(actions, "") {
			t.Run(fmt.Sprintf("%s without %q", version, without), func(t *testing.T) {
				t.Parallel()
				s := leastShop(t, version, without)
				refused := 0
				for _, st := range writes(t, s) {
					a := apply(t, s.writer(t, st.Action, huawei.ViaIAM), st)
					switch {
					case a.Said == auditor.SaidDone && s.holds(st) == (st.Action == rules.ActionGrant):
					case a.Said == auditor.SaidRefused && without != "" && namesAction(a.Why.Remedy, without):
						refused++
					default:
						t.Errorf("%s: %s %v", name(st), a.Said, a.Why)
					}
				}
				if (refused == 1) != (without != "") || len(s.cloud.Journal()) != 7-refused {
					t.Errorf("%d refused, journal %d", refused, len(s.cloud.Journal()))
				}
			})
		}
	}
}

// namesAction says whether a text names an action, and not only one that begins like it.
func namesAction(text, action string) bool {
	return slices.ContainsFunc(strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,;()", r) }), func(w string) bool { return w == action })
}

// Whoever may grant can revoke nothing, whoever may revoke can grant nothing, and whoever may read can do neither, whatever asks in
// their name.
func TestRightsAreApart(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"1.1", "5.0"} {
		s := leastShop(t, version, "")
		for _, st := range writes(t, s) {
			other := grantAgency
			if st.Action == rules.ActionGrant {
				other = revokeAgency
			}
			for _, agency := range []string{other, "AgencyAuditReader"} {
				for _, via := range []huawei.Via{huawei.ViaIAM, huawei.ViaSTS} {
					cfg := s.config(st.Action, via)
					cfg.Members.Agency = agency
					w, err := huawei.NewWriter(cfg, st.Action, nil)
					if err != nil {
						t.Fatal(err)
					}
					if a := apply(t, w, st); a.Said != auditor.SaidRefused {
						t.Errorf("%s as %s: %s %v", name(st), agency, a.Said, a.Why)
					}
					w.Close()
				}
			}
		}
		if n := len(s.cloud.Journal()); n > 0 {
			t.Errorf("%d writes", n)
		}
	}
}

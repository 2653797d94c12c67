//go:build unix

package main

import (
	"strings"
	"testing"
)

// An answer that says "there is no such thing" is believed: accounts without enterprise projects, without identity policies,
// or without the agency are read to the end, and no answer counts as one that could not be believed.
func TestNoIsAnAnswer(t *testing.T) {
	t.Parallel()
	cloud := startSimulator(t)
	head, _, _ := strings.Cut(cloud.config, "  organization:\n")
	cloud.config = head + `  static:
    - {name: management, id: d0000000000000000000000000000001, access: {via: keys, ak_env: HUAWEICLOUD_SDK_AK, sk_env: HUAWEICLOUD_SDK_SK}}
    - {name: coc-not-wanted, id: d0000000000000000000000000000019, access: {via: iam, agency: AgencyAuditReader}}
    - {name: look-alikes-only, id: d0000000000000000000000000000021, access: {via: iam, agency: AgencyAuditReader}}
    - {name: planes-missing, id: d0000000000000000000000000000036, access: {via: iam, agency: AgencyAuditReader}}
`
	d := cloud.serve(t, cloud.looped())
	all := d.shows(t, "everything was read", func(s series) bool { return s.runs("complete") >= 2 })
	if all.one("accounts", `state="compliant"`) != 2 || all.one("accounts", `state="not_enabled"`) != 2 {
		t.Errorf("states: %v", all.where("accounts"))
	}
	rejected := all.where("api_responses_rejected_total")
	if len(rejected) == 0 || rejected.count(0) != len(rejected) {
		t.Errorf("rejected: %v", rejected)
	}
	cloud.untouched(t)
}

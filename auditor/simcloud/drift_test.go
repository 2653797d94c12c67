package simcloud_test

import (
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// subIDName is the name of the project subID.
const subIDName = region + "_sub"

func drift(t testing.TB, c *simcloud.Cloud, d simcloud.Drift) {
	t.Helper()
	if err := c.Drift(d); err != nil {
		t.Fatal(err)
	}
}

func TestDriftIsTrueAtOnceAndInNoJournal(t *testing.T) {
	c := newCloud(t)
	show := func(target string) string { return get(adminKey, target).send(t, c).body }
	has := func(target, text string, want bool) {
		t.Helper()
		if body := show(target); strings.Contains(body, text) != want {
			t.Errorf("%s: %s\n%q is there: %t, want %t", target, body, text, !want, want)
		}
	}
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc,
		Grant: &simcloud.Grant{Policy: "Agent Operator", Scope: "global"}}) // what no client could grant
	has(lists(cocID)["ListDomainPermissionsForAgency"], "te_agency", true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftRevoke, Account: alphaID, Agency: cocID,
		Grant: &simcloud.Grant{PolicyID: policyID(t, c, "Agent Operator"), Scope: "global"}})
	has(lists(cocID)["ListDomainPermissionsForAgency"], "te_agency", false)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc,
		Grant: &simcloud.Grant{Policy: "audit-read", Custom: true, Scope: "project", In: region}})
	has(assignments+"?scope=project&domain_id="+alphaID, customID, true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftAttach, Account: "alpha", Agency: reader, Policy: customV5ID})
	has("/v5/agencies/"+readerID+"/attached-policies", "audit-identity", true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDetach, Account: "alpha", Agency: reader, Policy: "audit-identity"})
	has("/v5/agencies/"+readerID+"/attached-policies", "audit-identity", false)

	end, never := begin.Add(48*time.Hour), time.Time{}
	text := "drifted"
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc, ExpiresAt: &end,
		Description: &text, Trust: &simcloud.Trust{ID: strangerID, Name: "stranger"}})
	has(agencies+"/"+cocID, `"expire_time":"2024-09-04T06:11:27.000000"`, true)
	has(agencies+"/"+cocID, `"duration":"48"`, true)
	has(agencies+"/"+cocID, `"trust_domain_name":"stranger"`, true)
	has(agencies+"/"+cocID, `"drifted"`, true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc, ExpiresAt: &never})
	has(agencies+"/"+cocID, `"expire_time":null`, true)

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftCreateAgency, Account: "alpha", New: &simcloud.Agency{
		Name: "ServiceAgencyForC0C", Trust: simcloud.Trust{Name: "beta"},
		Grants:   []simcloud.Grant{{Policy: "FullAccess", Scope: "all_resources"}},
		Attached: []string{"audit-identity"}}})
	has(agencies+"?domain_id="+alphaID, "ServiceAgencyForC0C", true)
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: "ServiceAgencyForC0C"})
	has(agencies+"?domain_id="+alphaID, "ServiceAgencyForC0C", false)

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSuspend, Account: "alpha"})
	get(adminKey, domains).send(t, c).refused(t, "Unauthorized")
	drift(t, c, simcloud.Drift{Kind: simcloud.DriftResume, Account: "alpha"})
	get(adminKey, domains).send(t, c).accepted(t, 200)

	drift(t, c, simcloud.Drift{Kind: simcloud.DriftSettings, Settings: &simcloud.Settings{PageSize: 1}})
	if s := c.Settings(); s.PageSize != 1 || s.Switches.Throttle != "APIGW.0308" {
		t.Errorf("settings %+v", s)
	}
	if j := c.Journal(); len(j) != 0 {
		t.Errorf("journal %+v", j)
	}
}

func TestDriftThatMakesNoSenseChangesNothing(t *testing.T) {
	c := newCloud(t, func(o *simcloud.Organization) {
		o.Accounts[1].Agencies = append(o.Accounts[1].Agencies,
			simcloud.Agency{ID: "0b000000000000000000000000000002", Name: coc, Trust: simcloud.Trust{Name: "alpha"}})
	})
	before := encode(t, c.Organization())
	guest := &simcloud.Grant{Policy: "Tenant Guest", Scope: "global"}
	early := begin
	text := "x"
	for want, d := range map[string]simcloud.Drift{
		"no such kind of drift":  {Kind: "explode", Account: "alpha"},
		"needs account":          {Kind: simcloud.DriftSuspend},
		"takes no agency":        {Kind: simcloud.DriftSuspend, Account: "alpha", Agency: coc},
		"takes no policy":        {Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc, Grant: guest, Policy: "x"},
		"needs grant":            {Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc},
		"needs agency":           {Kind: simcloud.DriftRevoke, Account: "alpha", Grant: guest},
		"needs policy":           {Kind: simcloud.DriftAttach, Account: "alpha", Agency: coc},
		"needs new":              {Kind: simcloud.DriftCreateAgency, Account: "alpha"},
		"needs one of":           {Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc},
		"takes no account":       {Kind: simcloud.DriftSettings, Account: "alpha", Settings: &simcloud.Settings{}},
		"needs settings":         {Kind: simcloud.DriftSettings},
		"$.settings.page_size":   {Kind: simcloud.DriftSettings, Settings: &simcloud.Settings{PageSize: -1}},
		`no account "nowhere"`:   {Kind: simcloud.DriftSuspend, Account: "nowhere"},
		`no agency "none"`:       {Kind: simcloud.DriftGrant, Account: "alpha", Agency: "none", Grant: guest},
		`no agency "gone"`:       {Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: "gone"},
		"more than one agency":   {Kind: simcloud.DriftGrant, Account: "beta", Agency: coc, Grant: guest},
		"does not hold":          {Kind: simcloud.DriftRevoke, Account: "alpha", Agency: coc, Grant: guest},
		"names no identity":      {Kind: simcloud.DriftAttach, Account: "alpha", Agency: coc, Policy: "none"},
		"no identity policy (ve": {Kind: simcloud.DriftAttach, Account: "alpha", Agency: coc, Policy: customID},
		"has audit-identity att": {Kind: simcloud.DriftAttach, Account: "alpha", Agency: coc, Policy: "audit-identity"},
		"does not have audit-id": {Kind: simcloud.DriftDetach, Account: "alpha", Agency: reader, Policy: "audit-identity"},
		"planes.no_identity":     {Kind: simcloud.DriftAttach, Account: "plain", Agency: coc, Policy: "audit-identity"},
		"not after the agency's": {Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc, ExpiresAt: &early},
		"trust is missing":       {Kind: simcloud.DriftUpdateAgency, Account: "alpha", Agency: coc, Trust: &simcloud.Trust{}},
		"takes no description":   {Kind: simcloud.DriftDeleteAgency, Account: "alpha", Agency: coc, Description: &text},
		"grant.in names no project": {Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc,
			Grant: &simcloud.Grant{Policy: "Tenant Guest", Scope: "project", In: "none"}},
		"IAM ReadOnlyAccess at that scope already": {Kind: simcloud.DriftGrant, Account: "alpha", Agency: coc,
			Grant: &simcloud.Grant{Policy: "IAM ReadOnlyAccess", Scope: "global"}},
		"has an agency with the id": {Kind: simcloud.DriftCreateAgency, Account: "alpha",
			New: &simcloud.Agency{ID: cocID, Name: "twin", Trust: simcloud.Trust{Name: "beta"}}},
		"$.new.name": {Kind: simcloud.DriftCreateAgency, Account: "alpha",
			New: &simcloud.Agency{Trust: simcloud.Trust{Name: "beta"}}},
	} {
		if err := c.Drift(d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("drift %+v: error %v, want %q", d, err, want)
		}
	}
	if after := encode(t, c.Organization()); after != before {
		t.Errorf("the state changed from\n%s\nto\n%s", before, after)
	}
}

func TestSettingsThatShapeTheCatalogueCannotChange(t *testing.T) {
	c := newCloud(t)
	for _, s := range []simcloud.Switches{
		{COCPolicyName: "both"}, {RMSPolicyName: "config"}, {DuplicateDisplayName: true},
	} {
		err := c.SetSettings(simcloud.Settings{Switches: s})
		if err == nil || !strings.Contains(err.Error(), "cannot change") {
			t.Errorf("%+v: %v", s, err)
		}
	}
	if err := c.SetSettings(simcloud.Settings{Switches: simcloud.Switches{COCPolicyName: "default"}}); err != nil {
		t.Error(err)
	}
}

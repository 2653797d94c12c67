package main

import (
	"bytes"
	"errors"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/report"
	"github.com/agencyaudit/agencyaudit/auditor/simcloud"
)

// whatIsShown is everything that the commands say in text about a run.
func whatIsShown(t *testing.T, run *auditor.Run) string {
	t.Helper()
	var b bytes.Buffer
	err := report.Table(&b, run, report.Options{Verbose: true})
	for i := range run.Sweeps {
		err = errors.Join(err, report.Explain(&b, run, &run.Sweeps[i], report.Options{}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBundledOrganizationIsJudgedAsWrittenByHand audits the bundled organization over HTTP with the configuration that the
// program brings along, and compares all of the outcome with the expectations beside the organization.
func TestBundledOrganizationIsJudgedAsWrittenByHand(t *testing.T) {
	cloud, server := startCloud(t, simcloud.Bundled())
	org := cloud.Organization()
	text, err := bundledConfigAt(server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	run := once(t, newDaemon(t, parse(t, text, mustIdentity(t, org).lookupEnv)))
	noWrites(t, cloud)
	if line, n := longest(whatIsShown(t, run)); n > report.DefaultWidth {
		t.Errorf("a line of %d columns: %s", n, line)
	}

	want := mustReadExpectations(t)
	if len(want) != len(org.Accounts) {
		t.Errorf("%d accounts and %d expectations", len(org.Accounts), len(want))
	}
	var document bytes.Buffer
	if err := report.JSON(&document, run); err != nil {
		t.Fatal(err)
	}
	found, err := differences(document.Bytes(), want)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		t.Error(d)
	}
}

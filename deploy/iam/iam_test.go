// Package iam_test holds the Terraform modules of this folder against its policy documents. Terraform itself is not run.
package iam_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// arguments are those that the provider documents for each of the resources, true for the required ones.
var arguments = map[string]map[string]bool{
	"huaweicloud_identity_role":         {"name": true, "description": true, "type": true, "policy": true},
	"huaweicloud_identity_agency":       {"name": true, "delegated_domain_name": true, "description": false, "duration": false, "domain_roles": false},
	"huaweicloud_identityv5_policy":     {"name": true, "policy_document": true, "description": false, "path": false},
	"huaweicloud_identity_trust_agency": {"name": true, "trust_policy": true, "policy_names": true, "description": false, "duration": false, "path": false},
}

// variables are what an operator may say.
var variables = map[string]cty.Value{
	"auditor_account_name": cty.StringVal("security-audit"), "auditor_account_id": cty.StringVal("d0000000000000000000000000000009"),
	"external_id": cty.StringVal("org-4711"), "agency_name": cty.StringVal("AgencyAuditReader"), "policy_name": cty.StringVal("AgencyAuditReader"),
	"repair_account_name": cty.StringVal("security-repair"), "repair_account_id": cty.StringVal("d0000000000000000000000000000008"),
	"system_policies": cty.ListVal([]cty.Value{cty.StringVal("IAM ReadOnlyAccess")}),
}

// module is a module as Terraform would read it: its resources by type, each with the values of its arguments.
func module(t *testing.T, dir string, more ...map[string]cty.Value) map[string]map[string]cty.Value {
	t.Helper()
	file := filepath.Join(dir, "main.tf")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, faults := hclparse.NewParser().ParseHCL(text, file)
	if faults.HasErrors() {
		t.Fatal(faults)
	}
	if formatted := hclwrite.Format(text); string(formatted) != string(text) {
		t.Errorf("%s is not formatted as terraform fmt would", file)
	}
	body, ok := parsed.Body.(*hclsyntax.Body)
	if !ok {
		t.Fatalf("%T", parsed.Body)
	}
	declared := map[string]cty.Value{}
	for _, b := range body.Blocks {
		if b.Type == "variable" {
			declared[b.Labels[0]] = variables[b.Labels[0]]
			for _, m := range more {
				if v, ok := m[b.Labels[0]]; ok {
					declared[b.Labels[0]] = v
				}
			}
			if b.Body.Attributes["description"] == nil || b.Body.Attributes["type"] == nil {
				t.Errorf("%s: variable %s has no description or no type", file, b.Labels[0])
			}
		}
	}
	scope := &hcl.EvalContext{
		Variables: map[string]cty.Value{
			"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(dir)}), "var": cty.ObjectVal(declared),
		},
		Functions: map[string]function.Function{
			"concat": stdlib.ConcatFunc, "jsonencode": stdlib.JSONEncodeFunc,
			"file": function.New(&function.Spec{
				Params: []function.Parameter{{Name: "path", Type: cty.String}}, Type: function.StaticReturnType(cty.String),
				Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
					text, err := os.ReadFile(args[0].AsString())
					return cty.StringVal(string(text)), err
				},
			}),
		},
	}
	resources := map[string]map[string]cty.Value{}
	for _, b := range body.Blocks {
		switch b.Type {
		case "resource":
			kind, name := b.Labels[0], b.Labels[1]
			known := arguments[kind]
			values := map[string]cty.Value{}
			for _, a := range b.Body.Attributes {
				v, faults := a.Expr.Value(scope)
				if faults.HasErrors() {
					t.Errorf("%s: %v", file, faults)
				}
				if _, ok := known[a.Name]; !ok {
					t.Errorf("%s: %s has no argument %s", file, kind, a.Name)
				}
				values[a.Name] = v
			}
			for a, required := range known {
				if _, ok := values[a]; required && !ok {
					t.Errorf("%s: %s lacks the argument %s", file, kind, a)
				}
			}
			if len(b.Body.Blocks) > 0 {
				t.Errorf("%s: %s has blocks", file, kind)
			}
			resources[kind] = values
			// Later resources refer to it.
			seen := map[string]cty.Value{"id": cty.StringVal("id-of-" + name), "urn": cty.StringVal("urn-of-" + name), "name": values["name"]}
			scope.Variables[kind] = cty.ObjectVal(map[string]cty.Value{name: cty.ObjectVal(seen)})
		case "output":
			if _, faults := b.Body.Attributes["value"].Expr.Value(scope); faults.HasErrors() {
				t.Errorf("%s: %v", file, faults)
			}
		case "terraform", "variable":
		default:
			t.Errorf("%s: a block %s", file, b.Type)
		}
	}
	return resources
}

func document(t *testing.T, text string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func policy(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return document(t, string(text))
}

// names are the strings of a list.
func names(v cty.Value) (all []string) {
	for _, x := range v.AsValueSlice() {
		all = append(all, x.AsString())
	}
	return all
}

// The module for agencies grants what v1.1/reader.json says, at global service, to an agency that trusts the auditor's account.
func TestAgencyModule(t *testing.T) {
	got := module(t, "terraform/agency")
	role, agency := got["huaweicloud_identity_role"], got["huaweicloud_identity_agency"]
	if len(got) != 2 || role == nil || agency == nil {
		t.Fatalf("%d resources", len(got))
	}
	if !reflect.DeepEqual(document(t, role["policy"].AsString()), policy(t, "v1.1/reader.json")) || role["type"].AsString() != "AX" {
		t.Errorf("%s policy %s", role["type"].AsString(), role["policy"].AsString())
	}
	if agency["name"].AsString() != "AgencyAuditReader" || agency["delegated_domain_name"].AsString() != "security-audit" ||
		!slices.Equal(names(agency["domain_roles"]), []string{"AgencyAuditReader", "IAM ReadOnlyAccess"}) {
		t.Errorf("agency %#v", agency)
	}
	if text := agency["description"].AsString(); len(text) > 255 || strings.ContainsAny(text, `@#$%^&*<>\`) {
		t.Errorf("IAM refuses the description %q", text)
	}
}

// The module for trust agencies grants what v5.0/reader.json says, and trusts whom v5.0/reader-trust.json says.
func TestTrustAgencyModule(t *testing.T) {
	got := module(t, "terraform/trust-agency")
	identity, agency := got["huaweicloud_identityv5_policy"], got["huaweicloud_identity_trust_agency"]
	if len(got) != 2 || identity == nil || agency == nil {
		t.Fatalf("%d resources", len(got))
	}
	if !reflect.DeepEqual(document(t, identity["policy_document"].AsString()), policy(t, "v5.0/reader.json")) {
		t.Errorf("policy %s", identity["policy_document"].AsString())
	}
	trust, err := os.ReadFile("v5.0/reader-trust.json")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("ID-OF-THE-AUDITORS-ACCOUNT", "d0000000000000000000000000000009", "THE-EXTERNAL-ID-OF-YOUR-CHOICE", "org-4711").Replace(string(trust))
	if !reflect.DeepEqual(document(t, agency["trust_policy"].AsString()), document(t, want)) {
		t.Errorf("trust policy %s", agency["trust_policy"].AsString())
	}
	if !slices.Equal(names(agency["policy_names"]), []string{"AgencyAuditReader"}) {
		t.Errorf("policies %#v", agency["policy_names"])
	}
}

// The modules for repair grant what one of the two documents says, to nobody but who repairs.
func TestRepairModules(t *testing.T) {
	for _, kind := range []string{"grant", "revoke"} {
		may := map[string]cty.Value{"repair": cty.StringVal(kind), "agency_name": cty.StringVal("Repair-" + kind)}
		got := module(t, "terraform/repair-agency", may)
		role, agency := got["huaweicloud_identity_role"], got["huaweicloud_identity_agency"]
		if len(got) != 2 || role == nil || agency == nil {
			t.Fatalf("%d resources", len(got))
		}
		if !reflect.DeepEqual(document(t, role["policy"].AsString()), policy(t, "v1.1/repair-"+kind+".json")) || role["type"].AsString() != "AX" {
			t.Errorf("%s policy %s", role["type"].AsString(), role["policy"].AsString())
		}
		if agency["name"].AsString() != "Repair-"+kind || agency["delegated_domain_name"].AsString() != "security-repair" ||
			!slices.Equal(names(agency["domain_roles"]), []string{"Repair-" + kind}) {
			t.Errorf("agency %#v", agency)
		}
		if text := agency["description"].AsString(); len(text) > 255 || strings.ContainsAny(text, `@#$%^&*<>\`) {
			t.Errorf("IAM refuses the description %q", text)
		}
		got = module(t, "terraform/repair-trust-agency", may)
		identity, trusting := got["huaweicloud_identityv5_policy"], got["huaweicloud_identity_trust_agency"]
		if len(got) != 2 || identity == nil || trusting == nil {
			t.Fatalf("%d resources", len(got))
		}
		if !reflect.DeepEqual(document(t, identity["policy_document"].AsString()), policy(t, "v5.0/repair-"+kind+".json")) {
			t.Errorf("policy %s", identity["policy_document"].AsString())
		}
		trust, err := os.ReadFile("v5.0/reader-trust.json")
		if err != nil {
			t.Fatal(err)
		}
		want := strings.NewReplacer("ID-OF-THE-AUDITORS-ACCOUNT", "d0000000000000000000000000000008", "THE-EXTERNAL-ID-OF-YOUR-CHOICE", "org-4711").Replace(string(trust))
		if !reflect.DeepEqual(document(t, trusting["trust_policy"].AsString()), document(t, want)) ||
			!slices.Equal(names(trusting["policy_names"]), []string{"Repair-" + kind}) {
			t.Errorf("trust agency %#v", trusting)
		}
	}
}

// The page explains every action that a document has, and names none in a request's row that no document has.
func TestEveryActionIsExplained(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("v*/*.json")
	if err != nil || len(files) < 11 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	granted := map[string]bool{"iam:tokens:assume": true} // which the page tells to write instead
	for _, file := range files {
		doc, ok := policy(t, file).(map[string]any)
		if !ok {
			t.Fatalf("%s is no object", file)
		}
		for _, st := range doc["Statement"].([]any) {
			for _, a := range st.(map[string]any)["Action"].([]any) {
				granted[a.(string)] = true
			}
		}
		if !strings.Contains(string(text), "]("+file+")") {
			t.Errorf("the page does not mention %s", file)
		}
	}
	for a := range granted {
		short := a[strings.LastIndex(a, ":")+1:]
		if !strings.Contains(string(text), "`"+a+"`") && !strings.Contains(string(text), "`"+short+"`") &&
			!strings.Contains(string(text), "`…"+strings.TrimPrefix(short, "revokeRole")+"`") {
			t.Errorf("the page does not explain %s", a)
		}
	}
	for _, m := range regexp.MustCompile("`((?:iam|sts|organizations):[A-Za-z]*:[A-Za-z0-9]+)`").FindAllStringSubmatch(string(text), -1) {
		if !granted[m[1]] {
			t.Errorf("the page speaks of %s, which no document has", m[1])
		}
	}
}

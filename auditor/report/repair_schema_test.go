package report

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor"
	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// values are the closed lists of words, by their types.
var values = map[reflect.Type][]string{
	reflect.TypeFor[rules.Action]():    words(rules.Actions()),
	reflect.TypeFor[rules.Hold]():      words(rules.Holds()),
	reflect.TypeFor[rules.ScopeKind](): words(rules.Planes()),
	reflect.TypeFor[rules.Origin]():    words([]rules.Origin{rules.System, rules.Custom, rules.Unresolved}),
	reflect.TypeFor[remedy.Mode]():     words(remedy.Modes()),
	reflect.TypeFor[remedy.Outcome]():  words(remedy.Outcomes()),
	reflect.TypeFor[remedy.Kind](): words([]remedy.Kind{
		remedy.KindStarted, remedy.KindPlanned, remedy.KindApproved, remedy.KindRejected, remedy.KindIntent, remedy.KindSent, remedy.KindPending,
		remedy.KindOutcome, remedy.KindFrozen, remedy.KindUnfrozen, remedy.KindQuarantined, remedy.KindReleased,
	}),
}

// said are the words of a member that is text, since it comes from a file.
var said = words([]auditor.Said{
	auditor.SaidDone, auditor.SaidAlready, auditor.SaidRefused, auditor.SaidFailed, auditor.SaidNothing, auditor.SaidUnsent,
})

func words[T ~string](list []T) []string {
	all := make([]string, len(list))
	for i, w := range list {
		all[i] = string(w)
	}
	return all
}

// TestTheSchemaOfRepairIsThatOfTheCode holds docs/repair.schema.json against the types that are written: every member, whether it is always
// there, its type, and the words that it may have; and nothing else.
func TestTheSchemaOfRepairIsThatOfTheCode(t *testing.T) {
	text, err := os.ReadFile("../../docs/repair.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Defs map[string]map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	var hold func(at string, s map[string]any, is reflect.Type)
	hold = func(at string, s map[string]any, is reflect.Type) {
		if options, ok := s["oneOf"].([]any); ok && len(options) == 2 && is.Kind() == reflect.Pointer {
			s = options[0].(map[string]any)
		}
		if is.Kind() == reflect.Pointer {
			is = is.Elem()
		}
		if ref, ok := s["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, "#/$defs/")
			if used[name] {
				return
			}
			used[name] = true
			at, s = name, schema.Defs[name]
		}
		kind := map[reflect.Kind]string{
			reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Slice: "array",
			reflect.Map: "object", reflect.Struct: "object",
		}[is.Kind()]
		switch {
		case s["const"] != nil:
			return
		case is == reflect.TypeFor[time.Time]():
			if s["type"] != "string" || s["format"] != "date-time" {
				t.Errorf("%s: %v is no time", at, s)
			}
			return
		case s["type"] != kind:
			t.Errorf("%s is %v, and %s in the code", at, s["type"], kind)
			return
		}
		want := values[is]
		if at == "said" {
			want = said
		}
		var listed []string
		for _, w := range anyList(s["enum"]) {
			listed = append(listed, w.(string))
		}
		if slices.Sort(listed); !slices.Equal(listed, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: the words are %q, and %q in the code", at, listed, want)
		}
		switch is.Kind() {
		case reflect.Slice:
			hold(at+"[]", s["items"].(map[string]any), is.Elem())
		case reflect.Map:
			hold(at+"{}", s["additionalProperties"].(map[string]any), is.Elem())
		case reflect.Struct:
			props := s["properties"].(map[string]any)
			left, always := map[string]bool{}, anyList(s["required"])
			for name := range props {
				left[name] = true
			}
			for _, f := range reflect.VisibleFields(is) {
				if f.Anonymous || !f.IsExported() {
					continue
				}
				name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
				prop, ok := props[name].(map[string]any)
				if !ok {
					t.Errorf("%s: the schema lacks %s", at, name)
					continue
				}
				delete(left, name)
				if slices.Contains(always, any(name)) != (options == "") {
					t.Errorf("%s.%s: always there by the schema: %v; by the code: %v", at, name, options != "", options == "")
				}
				hold(at+"."+name, prop, f.Type)
			}
			if len(left) > 0 {
				t.Errorf("%s: the code lacks %v", at, left)
			}
		}
	}
	for name, is := range map[string]reflect.Type{
		"plan_document": reflect.TypeFor[planForm](), "approval_document": reflect.TypeFor[approvalForm](),
		"outcome_document": reflect.TypeFor[outcomeForm](), "ledger_document": reflect.TypeFor[ledgerForm](),
		"plan": reflect.TypeFor[remedy.Plan](), "entry": reflect.TypeFor[remedy.Entry](),
	} {
		hold(name, map[string]any{"$ref": "#/$defs/" + name}, is)
	}
	for name := range schema.Defs {
		if !used[name] {
			t.Errorf("nothing is a %s", name)
		}
	}
	for _, name := range []string{PlanSchema, ApprovalSchema, OutcomeSchema, LedgerSchema} {
		if !strings.Contains(string(text), fmt.Sprintf("%q", name)) {
			t.Errorf("the schema does not know %s", name)
		}
	}
}

func anyList(list any) []any {
	is, _ := list.([]any)
	return is
}

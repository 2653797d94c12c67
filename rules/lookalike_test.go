package rules_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/agencyaudit/agencyaudit/rules"
)

// disguises make another name of a name, at a place of it, that may be taken for the same by eye or by a lenient comparison.
var disguises = []struct {
	name string
	// put replaces the byte at i; it returns the name itself where it cannot.
	put func(s string, i int) string
}{
	{"a Cyrillic letter", replace(map[byte]string{
		'a': "\u0430", 'c': "\u0441", 'e': "\u0435", 'o': "\u043e", 'p': "\u0440", 's': "\u0455", 'x': "\u0445", 'y': "\u0443",
		'A': "\u0410", 'C': "\u0421", 'M': "\u041c", 'O': "\u041e", 'S': "\u0405", 'I': "\u0406",
	})},
	{"a Greek letter", replace(map[byte]string{'o': "\u03bf", 'v': "\u03bd", 'A': "\u0391", 'I': "\u0399", 'M': "\u039c", 'O': "\u039f"})},
	{"a digit", replace(map[byte]string{'o': "0", 'O': "0", 'l': "1", 'I': "l"})},
	{"a full-width letter", func(s string, i int) string {
		if s[i] <= ' ' || s[i] > '~' {
			return s
		}
		return s[:i] + string(rune(s[i])+0xfee0) + s[i+1:]
	}},
	{"a letter that folds to ASCII", replace(map[byte]string{'k': "\u212a", 'K': "\u212a", 's': "\u017f", 'S': "\u017f", 'i': "\u0131", 'I': "\u0130"})},
	{"a mathematical letter", func(s string, i int) string {
		if s[i] < 'a' || s[i] > 'z' {
			return s
		}
		return s[:i] + string(rune(0x1d5ba)+rune(s[i]-'a')) + s[i+1:]
	}},
	{"a combining mark", insert("\u0301")},
	{"a combining grapheme joiner", insert("\u034f")},
	{"a zero-width space", insert("\u200b")},
	{"a zero-width joiner", insert("\u200d")},
	{"a byte order mark", insert("\ufeff")},
	{"a soft hyphen", insert("\u00ad")},
	{"a variation selector", insert("\ufe0f")},
	{"a tag", insert("\U000e0041")},
	{"an override of the direction", insert("\u202e\u202c")},
	{"a NUL", insert("\x00")},
	{"a backspace", insert("x\b")},
	{"a line break", insert("\n")},
	{"a byte that is not UTF-8", insert("\xff")},
	{"an overlong slash", insert("\xc0\xaf")},
	{"a space at the end", func(s string, _ int) string { return s + " " }},
	{"a space at the start", func(s string, _ int) string { return " " + s }},
	{"a no-break space", replace(map[byte]string{' ': "\u00a0"})},
	{"two spaces", replace(map[byte]string{' ': "  "})},
	{"one letter less", func(s string, i int) string { return s[:i] + s[i+1:] }},
	{"one letter twice", func(s string, i int) string { return s[:i+1] + s[i:] }},
}

func replace(by map[byte]string) func(string, int) string {
	return func(s string, i int) string {
		if r, ok := by[s[i]]; ok {
			return s[:i] + r + s[i+1:]
		}
		return s
	}
}

func insert(what string) func(string, int) string {
	return func(s string, i int) string { return s[:i+1] + what + s[i+1:] }
}

// disguised are all disguises of a name at each of its places, and the other letter case, by what they are.
func disguised(name string) map[string][]string {
	all := map[string][]string{}
	for _, d := range disguises {
		for i := range len(name) {
			if s := d.put(name, i); s != name {
				all[d.name] = append(all[d.name], s)
			}
		}
	}
	return all
}

func TestLookAlikesNeverMatch(t *testing.T) {
	if n := len(disguised("op_svc_coc")); n < len(disguises)-4 {
		t.Fatalf("only %d disguises were tried", n)
	}
	b := baseline()
	for what, names := range disguised(b.Trust.Name) {
		for _, name := range names {
			if rules.SameTrustName(name, b.Trust.Name) || rules.SameTrustName(b.Trust.Name, name) {
				t.Errorf("trust, %s: %q counts as %q", what, name, b.Trust.Name)
			}
		}
	}
	for what, names := range disguised(b.Agency) {
		for _, name := range names {
			look := agency()
			look.Name = name
			o := absent()
			o.Listed, o.Unfiltered = []rules.Agency{look}, []rules.Agency{look}
			if _, ok := evidence(t, o).Agency(); ok {
				t.Errorf("agency, %s: %q counts as %q", what, name, b.Agency)
			}
		}
	}
	for what, names := range disguised(iamRead) {
		for _, name := range names {
			r := judge(t, append(without(exact(), iamRead), grant(name, rules.Global))...)
			if coverage(r, iamRead) != rules.CoverageMissing {
				t.Errorf("policy, %s: %q counts as %q", what, name, iamRead)
			}
			if len(r.Findings) != 2 || !slices.ContainsFunc(r.Findings, func(f rules.Finding) bool { return f.Rule == rules.RuleExcess && f.Policy == name }) {
				t.Errorf("policy, %s: %q is no excess: %+v", what, name, r.Findings)
			}
		}
	}
}

// Whatever is written into the trust: it fits only if it is the baseline's name but for the case of ASCII letters.
func TestTrustIsTheNameButForASCIICase(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := baseline().Trust.Name
		for range rapid.IntRange(0, 3).Draw(t, "disguises") {
			d := rapid.SampledFrom(disguises).Draw(t, "disguise")
			name = d.put(name, rapid.IntRange(0, len(name)-1).Draw(t, "at"))
		}
		if rapid.Bool().Draw(t, "upper") {
			name = strings.ToUpper(name)
		}
		a := agency()
		a.Trust.Name = name
		r := rules.Evaluate(baseline(), evidenceOf(t, observation(a, exact()...)), fleet(), now)
		fits := foldASCII(name) == foldASCII(baseline().Trust.Name)
		if (r.State == rules.StateCompliant) != fits {
			t.Fatalf("%q: %s", name, r.State)
		}
		if !fits && (len(r.Findings) != 1 || r.Findings[0].Rule != rules.RuleTrustMismatch || !strings.Contains(r.Findings[0].Message, name)) {
			t.Fatalf("%q: %+v", name, r.Findings)
		}
		if plain := !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 }); !fits && plain == strings.Contains(r.Findings[0].Message, "not plain ASCII") {
			t.Fatalf("%q: %s", name, r.Findings[0].Message)
		}
	})
}

func evidenceOf(t *rapid.T, o rules.Observation) rules.Evidence {
	e, err := rules.NewEvidence(baseline(), rules.Last{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// foldASCII lowers the ASCII letters of a text, byte by byte.
func foldASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func FuzzSameTrustName(f *testing.F) {
	for _, names := range disguised("op_svc_Sk") {
		for _, name := range names {
			f.Add(name, "op_svc_Sk")
		}
	}
	f.Add("op_svc_coc", "OP_SVC_coc")
	f.Add("", "")
	f.Add("\u212a", "\u212a")
	f.Fuzz(func(t *testing.T, a, b string) {
		got := rules.SameTrustName(a, b)
		want := a != "" && foldASCII(a) == foldASCII(b)
		for i := range len(a + b) {
			want = want && (a + b)[i] < 0x80
		}
		if got != want || rules.SameTrustName(b, a) != got {
			t.Errorf("%q and %q: %t, want %t", a, b, got, want)
		}
	})
}

// A custom policy is a twin of a required one by name, the vendor has several ids of one name, and the grants stand in any
// order: only a system-defined policy of the name satisfies, and every twin is an impostor.
func TestTwinsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type kept struct{ system, twins int }
		held := map[string]kept{}
		var list []rules.Grant
		for _, r := range baseline().Required {
			k := kept{rapid.IntRange(0, 2).Draw(t, "ids"), rapid.IntRange(0, 2).Draw(t, "twins")}
			held[r.Policy] = k
			for i := range k.system {
				g := grant(r.Policy, r.Scope)
				g.Policy.ID += strings.Repeat("'", i)
				list = append(list, g)
			}
			for i := range k.twins {
				list = append(list, custom(r.Policy, "twin of "+r.Policy+strings.Repeat("'", i), r.Scope))
			}
		}
		r := rules.Evaluate(baseline(), rapidEvidence(t, rapid.Permutation(list).Draw(t, "order")), fleet(), now)
		for _, c := range r.Required {
			if c.Coverage.Satisfied() != (held[c.Policy].system > 0) {
				t.Fatalf("%s: %s by %d policies of the vendor and %d twins", c.Policy, c.Coverage, held[c.Policy].system, held[c.Policy].twins)
			}
			for _, g := range c.By {
				if g.Policy.Origin != rules.System {
					t.Fatalf("%s: held by a twin: %+v", c.Policy, g)
				}
			}
		}
		count := map[string]int{}
		for _, f := range r.Findings {
			count[f.Rule+" "+f.Policy] += len(f.Grants) + map[bool]int{true: 1}[f.Rule == rules.RuleMissing]
		}
		for policy, k := range held {
			for rule, want := range map[string]int{
				rules.RuleImpostor: k.twins, rules.RuleMissing: map[bool]int{true: 1}[k.system == 0], rules.RuleRedundant: max(k.system-1, 0), rules.RuleExcess: 0,
			} {
				if got := count[rule+" "+policy]; got != want {
					t.Fatalf("%s %s: %d, want %d in %+v", rule, policy, got, want, r.Findings)
				}
			}
		}
	})
}

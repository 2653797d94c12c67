package rules

import "testing"

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"plain name-1.x_y":             "plain name-1.x_y",
		"tab\tnewline\nreturn\rbell\a": `tab\tnewline\nreturn\rbell\x07`,
		"\x1b[31mred\x1b[0m":           `\x1b[31mred\x1b[0m`,
		"\u009b31m":                    `\u009b31m`,
		"abc\u202edef":                 `abc\u202edef`,
		"a\u200bb\u200d\ufeff":         `a\u200bb\u200d\ufeff`,
		"a\u00a0b\u3000c":              `a\u00a0b\u3000c`,
		"a\u2028b":                     `a\u2028b`,
		"\xff\xfe":                     `\xff\xfe`,
		"é\xc3":                        `é\xc3`,
		`back\slash`:                   `back\\slash`,
		" a  b ":                       `\x20a \x20b\x20`,
		"中文账号":                         "中文账号",
		"Бета":                         "Бета",
		"op_svc_c\u043ec":              `op_svc_c\u043ec`,
		"op_svc_\u0441\u043e\u0441":    `op_svc_\u0441\u043e\u0441`,
		"op_\u017fvc_coc":              `op_\u017fvc_coc`,
		"\u212aey":                     `\u212aey`,
		"\u2160AM":                     `\u2160AM`,
		"inɡress":                      `in\u0261ress`,
		"naïve Žluťoučký Nguyễn":       "naïve Žluťoučký Nguyễn",
		"ＡDMIN ok":                     `\uff21DMIN ok`,
		"e\u0301":                      "e\u0301",
		"\u0301a":                      `\u0301a`,
		"a\u0301\u0301\u0301\u0301":    "a\u0301\u0301\u0301" + `\u0301`,
		"a\u034fb\u3164\ufe0f\u2800":   `a\u034fb\u3164\ufe0f\u2800`,
		"a\u20dd":                      `a\u20dd`,
		"\U000e0041tag":                `\U000e0041tag`,
		"smile 😀":                      "smile 😀",
		"\ue000private":                `\ue000private`,
	} {
		if got := Escape(in); got != want {
			t.Errorf("Escape(%q) = %q, want %q", in, got, want)
		}
	}
}

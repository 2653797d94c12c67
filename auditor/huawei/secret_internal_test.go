package huawei

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	hexadecimal "encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/goccy/go-yaml"
)

// holders of a secret, in every way in which a value can hold another.
type (
	embedding struct{ Secret }
	exporting struct {
		Key  Secret            `json:"key" yaml:"key" xml:"key"`
		Keys Keys              `json:"keys" yaml:"keys" xml:"keys"`
		Ptr  *Secret           `json:"ptr" yaml:"ptr" xml:"ptr"`
		List []Secret          `json:"list" yaml:"list" xml:"list"`
		Any  any               `json:"any" yaml:"any" xml:"-"`
		Map  map[string]Secret `json:"map" yaml:"map" xml:"-"`
	}
	hiding struct {
		key  Secret
		keys Keys
		any  any
		list [2]Secret
		ptr  *Secret
	}
)

// TestSecretsInEveryEncoding prints, encodes and logs a secret in all ways that this program and its libraries have, by itself and
// within others, with every verb and every flag of fmt.
func TestSecretsInEveryEncoding(t *testing.T) {
	const canary = "cAnArY/4711+secret"
	s := NewSecret(canary)
	keys := Keys{AccessKey: s, SecretKey: s, SecurityToken: s}
	values := map[string]any{
		"secret": s, "pointer": &s, "keys": keys, "embedded": embedding{s}, "list": []any{s, &s},
		"map":    map[string]any{"a": s, "b": keys},
		"public": exporting{Key: s, Keys: keys, Ptr: &s, List: []Secret{s}, Any: s, Map: map[string]Secret{"k": s}},
		"hidden": hiding{key: s, keys: keys, any: s, list: [2]Secret{s, s}, ptr: &s},
		"config": Config{Main: Identity{Keys: keys}, Accounts: map[string]Access{"a": {Keys: keys}}},
		"error":  fmt.Errorf("sign with %v: %w", s, io.EOF),
	}
	ways := map[string]func(w io.Writer, v any) error{
		"JSON": func(w io.Writer, v any) error { return json.NewEncoder(w).Encode(v) },
		"YAML": func(w io.Writer, v any) error { return yaml.NewEncoder(w).Encode(v) },
		"XML":  func(w io.Writer, v any) error { return xml.NewEncoder(w).Encode(v) },
		"gob":  func(w io.Writer, v any) error { return gob.NewEncoder(w).Encode(v) },
		"text template": func(w io.Writer, v any) error {
			return texttemplate.Must(texttemplate.New("").Parse("{{.}} {{printf `%#v` .}}")).Execute(w, v)
		},
		"HTML template": func(w io.Writer, v any) error {
			return template.Must(template.New("").Parse("<p title='{{.}}'>{{.}}<script>var x = {{.}}</script>")).Execute(w, v)
		},
		"slog, text": func(w io.Writer, v any) error {
			slog.New(slog.NewTextHandler(w, nil)).Info("x", "v", v, slog.Group("g", "v", v))
			return nil
		},
		"slog, JSON": func(w io.Writer, v any) error {
			slog.New(slog.NewJSONHandler(w, nil)).With("w", v).Info("x", "v", v, slog.Group("g", "v", v))
			return nil
		},
		"println": func(w io.Writer, v any) error {
			_, err := fmt.Fprintln(w, v, fmt.Sprint(v), fmt.Sprint(&v))
			return err
		},
	}
	for _, flags := range []string{"", "+", "#", "-", " ", "0", "+#", "30", "5.3", ".40", "#+ 020.10"} {
		for verb := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "") {
			ways["%"+flags+verb] = func(w io.Writer, v any) error {
				_, err := fmt.Fprintf(w, "%"+flags+verb, v)
				return err
			}
		}
	}
	shown := 0
	for name, way := range ways {
		for what, v := range values {
			var b bytes.Buffer
			if err := way(&b, v); err != nil {
				fmt.Fprint(&b, err) // which must show nothing either
			}
			if strings.Contains(b.String(), hidden) {
				shown++
			}
			for form, text := range map[string]string{
				"raw": canary, "its head": canary[:8], "hex": hexadecimal.EncodeToString([]byte(canary)), "HEX": strings.ToUpper(hexadecimal.EncodeToString([]byte(canary))),
				"quoted": strings.ReplaceAll(canary, "/", `\/`), "base64": base64.RawStdEncoding.EncodeToString([]byte(canary))[:20],
				"bytes": strings.Trim(fmt.Sprint([]byte(canary)), "[]"),
			} {
				if strings.Contains(b.String(), text) {
					t.Errorf("%s of %s shows it, %s: %s", name, what, form, b.String())
				}
			}
		}
	}
	if shown < 1000 {
		t.Errorf("only %d of the texts say that there is a secret", shown)
	}
}

// Package strictyaml decodes one YAML document into a Go value and says everything that is wrong with it at once, each
// fault with its place and its remedy.
//
// Strict means: every key must be known and written once, every value must have the kind that its field wants, and no
// value is guessed. Text that looks like a number is not taken for text, a duration needs a unit, and what makes YAML
// surprising or dangerous (anchors, aliases, merge keys, tags, directives, several documents, deep nesting) is refused.
//
// Fields take part by their yaml tag:
//
//	type file struct {
//		Name    string        `yaml:"name"`
//		Timeout time.Duration `yaml:"timeout"` // 20ms, 5m, 30d
//		Since   time.Time     `yaml:"since"`   // 2025-08-08 or 2025-08-08T12:00:00Z
//		Ports   []int         `yaml:"ports"`
//	}
//
// Whoever checks meaning beyond kinds does it after decoding and adds what it finds to the same Document, so that the
// reader of the error sees both sorts of faults together:
//
//	f := file{Timeout: time.Minute} // defaults first
//	doc, _ := strictyaml.Decode("a.yaml", data, &f)
//	if f.Timeout <= 0 {
//		doc.Add("timeout", "is not positive", "write a duration such as 30s")
//	}
//	return doc.Err()
package strictyaml

package huawei

import (
	"fmt"
	"io"
	"log/slog"
	"unique"
)

const hidden = "<secret>"

// Secret holds a value that must not be seen: it prints as <secret> however it is printed, encoded or logged, also as
// an unexported field of something else. The zero value is an absent secret and prints the same.
//
// Two Secrets of the same value are equal, so that it can be told where a key is used twice.
type Secret struct {
	// No string, since fmt prints the text behind a string field that it may not call a method on.
	value unique.Handle[string]
}

// NewSecret returns a Secret of the value; of an empty one, the zero Secret.
func NewSecret(value string) Secret {
	if value == "" {
		return Secret{}
	}
	return Secret{value: unique.Make(value)}
}

// IsZero says whether there is no value.
func (s Secret) IsZero() bool { return s == Secret{} }

// reveal returns the value. Its callers sign with it or look for it in text that must not hold it.
func (s Secret) reveal() string {
	if s.IsZero() {
		return ""
	}
	return s.value.Value()
}

// String returns <secret>.
func (Secret) String() string { return hidden }

// GoString returns <secret>.
func (Secret) GoString() string { return hidden }

// Format writes <secret> for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText returns <secret>.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON returns "<secret>".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// LogValue returns <secret>.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

package simcloud

import "strings"

// Problem is one fault of an organization.
type Problem struct {
	// Path is where it is, as a YAML path: $.accounts[3].agencies[0].grants[2].policy.
	Path string
	// Message says what is wrong and what to write instead.
	Message string
}

// Problems are all faults of an organization, in the order of the file.
type Problems []Problem

// Error returns one line for each problem.
func (p Problems) Error() string {
	var b strings.Builder
	for i, x := range p {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(x.Path + ": " + x.Message)
	}
	return b.String()
}

package strictyaml

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxFaults bounds how many faults of one document are kept; how many more there are is said in the last one.
const maxFaults = 1000

// Document is a decoded document: it knows where everything was written and what is wrong with it. It is not safe for
// use by several goroutines at once.
type Document struct {
	file   string
	root   *node // nil when the text could not be read as YAML
	faults Faults
	more   int
	// unsound are the paths at which Decode found something wrong.
	unsound []string
}

// Err returns every fault found by Decode and added since, as Faults ordered by place; nil if there are none.
func (d *Document) Err() error {
	faults := d.faults
	if d.more > 0 {
		last := Fault{File: d.file, Problem: fmt.Sprintf("%d more faults follow", d.more), Remedy: "mend the others first"}
		faults = append(slices.Clip(faults), last)
	}
	return faults.Err()
}

// Fault returns a fault about the value at a path, with the place where that value is written; where it is not written,
// with the place of the innermost value around it that is.
func (d *Document) Fault(path, problem, remedy string) Fault {
	at := d.place(path)
	return Fault{File: d.file, Line: int(at.line), Column: int(at.column), Path: path, Problem: problem, Remedy: remedy}
}

// Add records a fault about the value at a path, unless that value is not Sound: then Decode has said what is wrong, and
// this would be its echo.
func (d *Document) Add(path, problem, remedy string) {
	if d.Sound(path) {
		d.record(d.Fault(path, problem, remedy))
	}
}

// Advise replaces the remedy of every fault about the value at a path, for whoever knows better what was meant there.
func (d *Document) Advise(path, remedy string) {
	for i := range d.faults {
		if d.faults[i].Path == path {
			d.faults[i].Remedy = remedy
		}
	}
}

// Readable says that the text could be read as YAML, whatever else is wrong with it.
func (d *Document) Readable() bool { return d.root != nil }

// Sound says that Decode found nothing wrong with the value at a path, with anything within it or around it. Nothing of a
// document that is not Readable is sound.
func (d *Document) Sound(path string) bool {
	return d.Readable() && !slices.ContainsFunc(d.unsound, func(bad string) bool {
		return within(bad, path) || within(path, bad)
	})
}

// within says whether the path inner leads to the value at outer or into it.
func within(inner, outer string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || outer == "" || rest[0] == '.' || rest[0] == '[')
}

// Has says whether the key at a path was written, be its value sound or not.
func (d *Document) Has(path string) bool {
	n, rest := d.find(path)
	return n != nil && rest == ""
}

// Key returns the path of a key of the mapping at path.
func Key(path, key string) string {
	switch {
	case key == "" || strings.ContainsAny(key, ".[]\"") || strings.ContainsFunc(key, unprintable):
		return path + "[" + strconv.Quote(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// Index returns the path of the i-th element, from 0, of the list at path.
func Index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// place is a position in the text, both numbers counted from 1.
type place struct{ line, column int32 }

func (d *Document) place(path string) place {
	if n, _ := d.find(path); n != nil {
		return n.at
	}
	return place{}
}

// find walks from the root along the path as far as it is written. It returns the last node reached and the rest of the
// path, which is empty if the whole path is written.
func (d *Document) find(path string) (*node, string) {
	n := d.root
	for n != nil && path != "" {
		key, index, rest, ok := cutSegment(path)
		if !ok {
			return n, path
		}
		next := n.child(key, index)
		if next == nil {
			return n, path
		}
		n, path = next, rest
	}
	return n, path
}

// cutSegment takes the first step off a path: a key, or an index where index is not negative.
func cutSegment(path string) (key string, index int, rest string, ok bool) {
	if in, found := strings.CutPrefix(path, "["); found {
		if quoted, err := strconv.QuotedPrefix(in); err == nil {
			key, err = strconv.Unquote(quoted)
			rest, found = strings.CutPrefix(in[len(quoted):], "]")
			return key, -1, strings.TrimPrefix(rest, "."), err == nil && found
		}
		number, rest, found := strings.Cut(in, "]")
		index, err := strconv.Atoi(number)
		return "", index, strings.TrimPrefix(rest, "."), found && err == nil && index >= 0
	}
	end := strings.IndexAny(path, ".[")
	if end < 0 {
		return path, -1, "", true
	}
	return path[:end], -1, strings.TrimPrefix(path[end:], "."), end > 0
}

// record keeps a fault, or counts it when there are too many.
func (d *Document) record(f Fault) {
	if len(d.faults) >= maxFaults {
		d.more++
		return
	}
	d.faults = append(d.faults, f)
}

// refuse records a fault of the text.
func (d *Document) refuse(at place, problem, remedy string) {
	d.record(Fault{File: d.file, Line: int(at.line), Column: int(at.column), Problem: problem, Remedy: remedy})
}

// fault records what is wrong with the value at a path, which thereby is not sound.
func (d *Document) fault(at place, path, problem, remedy string) {
	d.record(Fault{File: d.file, Line: int(at.line), Column: int(at.column), Path: path, Problem: problem, Remedy: remedy})
	d.spoil(path)
}

// spoil remembers that the value at a path is not sound; beyond too many of them, that nothing is.
func (d *Document) spoil(path string) {
	if len(d.unsound) >= maxFaults {
		path = ""
	}
	if len(d.unsound) <= maxFaults {
		d.unsound = append(d.unsound, path)
	}
}

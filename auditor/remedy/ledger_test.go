package remedy_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
	"github.com/agencyaudit/agencyaudit/rules"
)

// varied are entries with everything that an entry can have.
func varied() []remedy.Entry {
	step := &rules.Step{
		Action: rules.ActionGrant, AccountID: "d1", Account: "prod <&> \u2028 \"é\"", AgencyID: "a1", Agency: "ServiceAgencyForCOC", Baseline: "coc",
		Grant: rules.Grant{Policy: rules.Policy{ID: "p", Name: "DCS UserAccess"}, Scope: rules.Scope{Kind: rules.AllResources}},
		Rule:  "grant/missing", Affects: []string{"Chaos Drills"}, Holding: "h", Undoes: 3,
	}
	list := []remedy.Entry{entry(1, 0), entry(2, 0), entry(3, 40), entry(4, 0)}
	list[1].Plan, list[1].Steps, list[1].Digests, list[1].Expires = "digest", 2, []string{"x", "y"}, start
	list[2].Step, list[2].Approval, list[2].Nonce, list[2].Fleet = step, 2, "n", 40
	list[3].Kind, list[3].Outcome, list[3].Intent, list[3].ReadIDs = remedy.KindOutcome, remedy.OutcomeDone, 3, []string{"r1", "r2"}
	return list
}

// written are entries and the ledger that has them.
func written(t testing.TB, entries []remedy.Entry) ([]remedy.Entry, []byte) {
	t.Helper()
	d := &disk{}
	l, err := remedy.OpenLedger(d, name, remedy.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []remedy.Entry
	for _, e := range entries {
		e, err := l.Append(e)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e)
	}
	return got, d.platter
}

func headOf(entries []remedy.Entry) remedy.Head { return (&player{known: entries}).floor() }

// read are the entries that Read shows, and its error.
func read(data []byte) (shown []remedy.Entry, err error) {
	for e, err := range remedy.Read(bytes.NewReader(data)) {
		if err != nil {
			return shown, err
		}
		shown = append(shown, e)
	}
	return shown, nil
}

func TestLedgerIsReadAsItWasWritten(t *testing.T) {
	want, data := written(t, varied())
	got, err := read(data)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v (%v)\nwant %+v", got, err, want)
	}
	for i, e := range got {
		given := varied()[i]
		given.Seq, given.Prev, given.Hash = e.Seq, e.Prev, e.Hash
		if !reflect.DeepEqual(e, given) {
			t.Errorf("got  %+v\nwant %+v", e, given)
		}
	}
	s, err := remedy.Verify(iotest.OneByteReader(bytes.NewReader(data)), remedy.Head{})
	if want := (remedy.Summary{Head: headOf(want), First: want[0].Time, Last: want[3].Time, Size: int64(len(data))}); err != nil || s != want {
		t.Errorf("got %+v (%v), want %+v", s, err, want)
	}
	for floor := range want {
		if _, err := remedy.Verify(bytes.NewReader(data), headOf(want[:floor])); err != nil {
			t.Errorf("entry %d is there: %v", floor, err)
		}
	}
	// Who wants to can verify a line without this program.
	line, _, _ := bytes.Cut(data, []byte("\n"))
	sum := sha256.Sum256([]byte(strings.Replace(string(line), want[0].Hash, "", 1)))
	if hex.EncodeToString(sum[:]) != want[0].Hash {
		t.Error("the hash is not that of the line with an empty one")
	}
	if s, err := remedy.Verify(strings.NewReader(""), remedy.Head{}); err != nil || s != (remedy.Summary{}) {
		t.Errorf("an empty ledger is %+v (%v)", s, err)
	}
}

// TestAlteredLedger alters a ledger in each of the ways that can be listed. Verify finds it out, OpenLedger leaves it as it is, and what
// comes before is shown.
func TestAlteredLedger(t *testing.T) {
	want, data := written(t, varied())
	lines := bytes.SplitAfter(data, []byte("\n"))[:len(want)]
	head, n := headOf(want), 0
	join := func(lines ...[]byte) []byte { return bytes.Join(lines, nil) }
	// refused has a ledger that was altered from an entry on.
	refused := func(altered []byte, from int, floor remedy.Head, what string) {
		t.Helper()
		n++
		var r *remedy.Refused
		s, err := remedy.Verify(bytes.NewReader(altered), floor)
		if !errors.As(err, &r) || r.Entry != int64(from)+1 || s.Head != headOf(want[:from]) {
			t.Errorf("%s: entry %d was altered, and is %+v (%v)", what, from+1, s, err)
		}
		if n%7 > 0 && what == "bit" { // the others take the same way
			return
		}
		d := cut(bytes.Clone(altered))
		if l, err := remedy.OpenLedger(d, name, remedy.LedgerOptions{Floor: floor}); l != nil || !errors.As(err, &r) || r.File != name {
			t.Errorf("%s: entry %d was altered, and it is opened (%v)", what, from+1, err)
		}
		if !bytes.Equal(d.shown, altered) || len(d.pending) > 0 {
			t.Errorf("%s: a ledger that is refused was changed", what)
		}
		if shown, _ := read(altered); len(shown) < from || !reflect.DeepEqual(shown[:from], append([]remedy.Entry(nil), want[:from]...)) && from > 0 {
			t.Errorf("%s: of %d entries that are whole, %d are shown", what, from, len(shown))
		}
	}
	which := func(at int) int { return bytes.Count(data[:at], []byte("\n")) }
	for at := range data {
		for bit := range 8 {
			altered := bytes.Clone(data)
			altered[at] ^= 1 << bit
			refused(altered, which(at), remedy.Head{}, "bit")
		}
		refused(data[:at], which(at), head, "cut")
		if at < len(data)-1 {
			refused(slices.Delete(bytes.Clone(data), at, at+1), which(at), remedy.Head{}, "byte deleted")
		}
		refused(slices.Insert(bytes.Clone(data), at, 'x'), which(at), remedy.Head{}, "byte inserted")
	}
	for i := range lines {
		refused(join(slices.Delete(slices.Clone(lines), i, i+1)...), i, head, "line deleted")
		refused(join(slices.Insert(slices.Clone(lines), i, lines[i])...), i+1, remedy.Head{}, "line twice")
		for j := range i {
			swapped := slices.Clone(lines)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			refused(join(swapped...), j, remedy.Head{}, "lines swapped")
			refused(join(slices.Insert(slices.Clone(lines), i+1, lines[j])...), i+1, remedy.Head{}, "an older line again")
		}
	}
	refused(append(bytes.Clone(data), '\n'), len(want), remedy.Head{}, "an empty line")
	refused(append(bytes.Clone(data), bytes.Repeat([]byte{'x'}, 70<<10)...), len(want), remedy.Head{}, "a long line")
	refused(append(bytes.Clone(data), make([]byte, 70<<10)...), len(want), remedy.Head{}, "much of nothing")
	refused(append(bytes.Clone(data), "\x00\x00{}\n"...), len(want), remedy.Head{}, "holes that no disk leaves")
	// One bit of these makes them empty, also where a sector ends; that is no hole in what a disk wrote.
	last := want[3]
	last.Reason = strings.Repeat("@", 2*sector)
	want, data = written(t, append(varied()[:3], last))
	for at := range data {
		if data[at] == '@' && which(at) == 3 {
			altered := bytes.Clone(data)
			altered[at] = 0
			refused(altered, 3, remedy.Head{}, "bit of a sign")
		}
	}
	t.Logf("%d alterations of %d bytes", n, len(data))
}

// rehashed is a line with the hash that it would have.
func rehashed(line string) string {
	line = line[:len(line)-len(`"}`)-64]
	sum := sha256.Sum256([]byte(line + `"}`))
	return line + hex.EncodeToString(sum[:]) + `"}`
}

// TestForgedLedger has somebody forge a ledger who knows how hashes are made.
func TestForgedLedger(t *testing.T) {
	want, data := written(t, varied())
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	forged := func(i int, change func(string) string) []byte {
		t.Helper()
		list := slices.Clone(lines)
		if list[i] = rehashed(change(list[i])); list[i] == lines[i] {
			t.Fatal("nothing was forged")
		}
		return []byte(strings.Join(list, "\n") + "\n")
	}
	replace := func(from, to string) func(string) string {
		return func(line string) string { return strings.Replace(line, from, to, 1) }
	}
	for what, c := range map[string]struct {
		data  []byte
		floor remedy.Head
		entry int64
		older bool
		says  string
	}{
		"in the middle":  {forged(1, replace(`"actor":"daemon"`, `"actor":"demon"`)), remedy.Head{}, 3, false, "entry 3 is not there, but another"},
		"at the end":     {forged(3, replace(`"actor":"daemon"`, `"actor":"demon"`)), headOf(want), 4, true, "entry 4 is not the one that was there before"},
		"another number": {forged(2, replace(`"seq":3`, `"seq":4`)), remedy.Head{}, 3, false, "another one (4)"},
		"a number again": {forged(3, replace(`"seq":4`, `"seq":3`)), remedy.Head{}, 4, false, "another one (3)"},
		"another one before": {
			forged(3, replace(want[2].Hash, want[1].Hash)), remedy.Head{}, 4, false, "entry 4 is not there",
		},
		"an older copy":          {data[:bytes.LastIndexByte(data[:len(data)-1], '\n')+1], headOf(want), 4, true, "it ends with entry 3, and had 4"},
		"one that was emptied":   {nil, headOf(want), 1, true, "it ends with entry 0, and had 4"},
		"a member twice":         {forged(3, replace(`"actor":"daemon"`, `"actor":"daemon","actor":"daemon"`)), remedy.Head{}, 4, false, "not as it was written"},
		"another member":         {forged(3, replace(`"actor":"daemon"`, `"actor":"daemon","act":1`)), remedy.Head{}, 4, false, "not as it was written"},
		"a member within a step": {forged(2, replace(`"rule":`, `"sudo":true,"rule":`)), remedy.Head{}, 3, false, "not as it was written"},
		"another order":          {forged(3, replace(`"kind":"outcome","actor":"daemon"`, `"actor":"daemon","kind":"outcome"`)), remedy.Head{}, 4, false, "not as it was"},
		"capitals":               {forged(3, replace(`"actor":"daemon"`, `"Actor":"daemon"`)), remedy.Head{}, 4, false, "not as it was written"},
		"a space":                {forged(3, replace(`"actor":"daemon"`, `"actor": "daemon"`)), remedy.Head{}, 4, false, "not as it was written"},
		"spelled otherwise":      {forged(3, replace(`"daemon"`, `"d\u0061emon"`)), remedy.Head{}, 4, false, "not as it was written"},
		"no UTF-8":               {forged(3, replace(`"daemon"`, "\"d\xffemon\"")), remedy.Head{}, 4, false, "not as it was written"},
		"what is empty":          {forged(3, replace(`"actor":"daemon"`, `"actor":"daemon","run":""`)), remedy.Head{}, 4, false, "not as it was written"},
		"another zone":           {forged(3, replace(`04Z"`, `04+00:00"`)), remedy.Head{}, 4, false, "not as it was written"},
		"no number":              {forged(3, replace(`"seq":4`, `"seq":4.0`)), remedy.Head{}, 4, false, "not as it was written"},
	} {
		var r *remedy.Refused
		_, err := remedy.Verify(bytes.NewReader(c.data), c.floor)
		if !errors.As(err, &r) || r.Entry != c.entry || r.Older != c.older || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %+v (%v), want entry %d, older %t, %q", what, r, err, c.entry, c.older, c.says)
		}
		if err != nil && !strings.Contains(err.Error(), "nothing is repaired until") {
			t.Errorf("%s: the error does not say what to do: %v", what, err)
		}
	}
	if _, err := remedy.Verify(bytes.NewReader(append([]byte("{}"), data[2:]...)), remedy.Head{}); err == nil {
		t.Error("something else is a ledger")
	}
	bad := errors.New("no sector there")
	if _, err := remedy.Verify(io.MultiReader(bytes.NewReader(data), iotest.ErrReader(bad)), remedy.Head{}); !errors.Is(err, bad) {
		t.Errorf("a file that cannot be read is %v", err)
	}
	spoilt := append(bytes.Clone(data), "spoilt\n"...)
	if _, err := remedy.Verify(io.MultiReader(bytes.NewReader(spoilt), iotest.ErrReader(bad)), remedy.Head{}); !errors.Is(err, bad) {
		t.Errorf("a line before what cannot be read is judged: %v", err)
	}
}

func TestTornLedger(t *testing.T) {
	want, data := written(t, varied())
	d := cut(append(bytes.Clone(data), `{"seq":5,"ti`...))
	if s, err := remedy.Verify(bytes.NewReader(d.shown), headOf(want)); err != nil || s.Torn != 12 || s.Head != headOf(want) {
		t.Errorf("got %+v (%v)", s, err)
	}
	if shown, err := read(d.shown); err != nil || len(shown) != len(want) {
		t.Errorf("%d entries are shown (%v)", len(shown), err)
	}
	var log bytes.Buffer
	l, err := remedy.OpenLedger(d, name, remedy.LedgerOptions{Floor: headOf(want), Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || l.Torn() != 12 || !bytes.Equal(d.platter, data) {
		t.Fatalf("it is %q (%v)", d.platter, err)
	}
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "bytes=12 entries=4") {
		t.Errorf("the log says %q", text)
	}
	log.Reset()
	l, err = remedy.OpenLedger(d, name, remedy.LedgerOptions{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil || l.Torn() != 0 || log.Len() > 0 {
		t.Errorf("a whole ledger is mended: %v, %s", err, log.String())
	}
}

func TestWhatCannotBeWrittenDown(t *testing.T) {
	d := &disk{}
	l, err := remedy.OpenLedger(d, name, remedy.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(e remedy.Entry, says string) {
		t.Helper()
		ops := d.ops
		if _, err := l.Append(e); err == nil || errors.Is(err, remedy.ErrBroken) || !strings.Contains(err.Error(), says) || d.ops != ops {
			t.Errorf("got %v, want %q", err, says)
		}
		if err := l.Err(); err != nil {
			t.Fatalf("that broke it: %v", err)
		}
	}
	first, err := l.Append(entry(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	line := len(d.platter) + len(first.Hash) // the second one has a hash before it
	refused(entry(1, 64<<10-line+1), "has 65537 bytes and may have 65536")
	if _, err := l.Append(entry(1, 64<<10-line)); err != nil {
		t.Errorf("a line of 64 KiB: %v", err)
	}
	e := entry(2, 0)
	e.Time = e.Time.AddDate(9999, 0, 0)
	refused(e, "year")
	// What is no UTF-8 becomes what is read of it.
	e = entry(3, 0)
	e.Actor = "mallory\xff\x00"
	got, err := l.Append(e)
	if err != nil || got.Actor != "mallory\ufffd\x00" {
		t.Errorf("got %q (%v)", got.Actor, err)
	}
	// The entry that is returned is nobody else's.
	e = varied()[2]
	if got, err = l.Append(e); err != nil {
		t.Fatal(err)
	}
	e.Step.Affects[0], e.Step.Account = "nothing", "another"
	shown, err := read(d.platter)
	if err != nil || len(shown) != 4 || !reflect.DeepEqual(shown[3], got) {
		t.Errorf("got %+v (%v), want %+v", shown, err, got)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Append(entry(4, 0)); err == nil || errors.Is(err, remedy.ErrBroken) || l.Err() == nil {
		t.Errorf("a ledger that is closed goes on: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestLedgerOfMany has many use one ledger at once.
func TestLedgerOfMany(t *testing.T) {
	d := &disk{}
	l, err := remedy.OpenLedger(d, name, remedy.LedgerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 25 {
				before := l.Head().Seq
				if e, err := l.Append(entry(i, i)); err != nil || e.Seq <= before || l.Head().Seq < e.Seq || l.Err() != nil {
					t.Errorf("entry %d after %d (%v)", e.Seq, before, err)
				}
			}
		})
	}
	all.Wait()
	if s, err := remedy.Verify(bytes.NewReader(d.platter), l.Head()); err != nil || s.Head.Seq != 200 {
		t.Errorf("got %+v (%v)", s, err)
	}
}

func TestLedgerOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	file := filepath.Join(dir, remedy.LedgerName)
	open := func(o remedy.LedgerOptions) *remedy.Ledger {
		t.Helper()
		l, err := remedy.OpenLedger(remedy.OSFS{}, file, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	var want, got []remedy.Entry
	for range 3 {
		got = nil
		l := open(remedy.LedgerOptions{Floor: headOf(want), Each: func(e remedy.Entry) { got = append(got, e) }})
		if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		for _, e := range varied() {
			e, err := l.Append(e)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, e)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		torn(t, file, `{"seq":`)
	}
	if runtime.GOOS != "windows" {
		for name, mode := range map[string]os.FileMode{dir: 0o700 | os.ModeDir, file: 0o600} {
			if info, err := os.Stat(name); err != nil || info.Mode() != mode {
				t.Errorf("%s has the mode %v (%v), want %v", name, info.Mode(), err, mode)
			}
		}
	}
	// Somebody else writes to it.
	l := open(remedy.LedgerOptions{})
	torn(t, file, "x")
	if _, err := l.Append(entry(1, 0)); !errors.Is(err, remedy.ErrBroken) || !strings.Contains(err.Error(), "something else writes to it") {
		t.Errorf("got %v", err)
	}
	// It is taken away, and another one put in its place.
	for what, do := range map[string]func() error{
		"moved": func() error { return os.Rename(file, file+".old") },
		"replaced": func() error {
			return errors.Join(os.WriteFile(file+".new", mustFile(t, file), 0o600), os.Rename(file+".new", file))
		},
	} {
		l := open(remedy.LedgerOptions{})
		if err := do(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(entry(1, 0)); !errors.Is(err, remedy.ErrBroken) || !strings.Contains(err.Error(), "moved, deleted or replaced") {
			t.Errorf("%s: got %v", what, err)
		}
		if _, err := os.Stat(file); err != nil {
			if err := os.Rename(file+".old", file); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// torn adds something to a file that is no whole line.
func torn(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, append(mustFile(t, file), text...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustFile(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestNoPlainFile puts something else where the ledger would be: it is not followed, and nothing is made of it.
func TestNoPlainFile(t *testing.T) {
	for what, put := range map[string]func(file, target string) error{
		"a link to a file": func(file, target string) error {
			return errors.Join(os.WriteFile(target, nil, 0o600), os.Symlink(target, file))
		},
		"a link to nowhere": func(file, target string) error { return os.Symlink(target, file) },
		"a directory":       func(file, _ string) error { return os.Mkdir(file, 0o700) },
		"a file for the folder": func(file, _ string) error {
			return errors.Join(os.Remove(filepath.Dir(file)), os.WriteFile(filepath.Dir(file), nil, 0o600))
		},
	} {
		dir := t.TempDir()
		file, target := filepath.Join(dir, "state", remedy.LedgerName), filepath.Join(dir, "target")
		if err := errors.Join(os.Mkdir(filepath.Join(dir, "state"), 0o700), put(file, target)); err != nil {
			t.Fatal(err)
		}
		l, err := remedy.OpenLedger(remedy.OSFS{}, file, remedy.LedgerOptions{})
		if err == nil || l != nil || !strings.Contains(err.Error(), file) && what != "a file for the folder" {
			t.Errorf("%s: got %v", what, err)
		}
		if data, err := os.ReadFile(target); what == "a link to nowhere" && err == nil || len(data) > 0 {
			t.Errorf("%s was followed", what)
		}
	}
}

// FuzzLedger reads anything as a ledger. What is believed, a second reading that shares no code with the first one believes, too. Where
// forge says so, each line gets the hash that it would have, so that not the hash alone refuses it.
func FuzzLedger(f *testing.F) {
	_, data := written(f, varied())
	f.Add(data, false)
	f.Add(data, true)
	f.Add(data[:len(data)-9], false)
	f.Add([]byte(`{"seq":1,"time":"2026-03-01T12:00:01Z","kind":"intent","actor":"","prev":"","hash":"`+strings.Repeat("0", 64)+`"}`+"\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, forge bool) { readTwice(t, data, forge) })
}

// TestMutatedLedger does so with pieces of a ledger that are altered, repeated and put elsewhere.
func TestMutatedLedger(t *testing.T) {
	_, data := written(t, varied())
	r := rand.New(rand.NewPCG(1, 2))
	believed := 0
	for range 5000 {
		mutated := bytes.Clone(data)
		for range 1 + r.IntN(3) {
			at, n := r.IntN(len(mutated)), r.IntN(20)
			piece := bytes.Clone(mutated[at:min(at+n, len(mutated))])
			switch r.IntN(4) {
			case 0:
				mutated[at] = byte(r.IntN(256))
			case 1:
				mutated = slices.Delete(mutated, at, at+len(piece))
			case 2:
				mutated = slices.Insert(mutated, r.IntN(len(mutated)), piece...)
			case 3:
				mutated = slices.Insert(mutated, at, piece...)
			}
		}
		if readTwice(t, mutated, r.IntN(4) > 0) > 0 {
			believed++
		}
	}
	if believed < 1000 {
		t.Errorf("only %d times anything was believed", believed)
	}
}

// readTwice reads something as a ledger, and what is believed in another way, and returns how many entries that is.
func readTwice(t *testing.T, data []byte, forge bool) int {
	t.Helper()
	if forge {
		lines := strings.SplitAfter(string(data), "\n")
		for i, line := range lines {
			if text, ended := strings.CutSuffix(line, "\n"); ended && len(text) > 66 {
				lines[i] = rehashed(text) + "\n"
			}
		}
		data = []byte(strings.Join(lines, ""))
	}
	s, err := remedy.Verify(bytes.NewReader(data), remedy.Head{})
	if err == nil && s.Size+s.Torn != int64(len(data)) {
		t.Errorf("of %d bytes, %d are entries and %d are none", len(data), s.Size, s.Torn)
	}
	shown, _ := read(data)
	if headOf(shown) != s.Head {
		t.Errorf("%d entries are shown, and %d verified", len(shown), s.Head.Seq)
	}
	prev, lines := "", strings.SplitAfter(string(data[:s.Size]), "\n")
	for i, line := range lines[:len(lines)-1] {
		text := strings.TrimSuffix(line, "\n")
		if rehashed(text) != text {
			t.Errorf("line %d has not its own hash", i+1)
		}
		var members map[string]any
		if err := json.Unmarshal([]byte(text), &members); err != nil {
			t.Fatal(err)
		}
		if members["seq"] != float64(i+1) || members["prev"] != prev || shown[i].Hash != members["hash"] {
			t.Errorf("line %d does not follow the one before: %v", i+1, members)
		}
		if n := topLevel(t, text); n != len(members) {
			t.Errorf("line %d has a member twice", i+1)
		}
		prev = fmt.Sprint(members["hash"])
	}
	return len(shown)
}

// topLevel counts the members of an object, those of one name twice.
func topLevel(t *testing.T, text string) (n int) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	for depth, key := 0, true; ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
			key = true
			continue
		case json.Delim('}'), json.Delim(']'):
			depth--
			key = true
			continue
		}
		if depth == 1 {
			if key {
				n++
			}
			key = !key
		}
	}
}

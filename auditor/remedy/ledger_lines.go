package remedy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

const (
	// maxLine is how many bytes a line may have, its end included.
	maxLine = 64 << 10
	// sector is what a disk writes all of or nothing, at its least.
	sector = 512
)

// Refused is the error of a ledger that cannot be relied on: somebody or something altered it, cut it, or put an older one in its place.
type Refused struct {
	// File is the ledger; empty where it is not known.
	File string
	// Entry is the number of the first entry that is wrong or lacking. All before it are whole.
	Entry int64
	// What says what is wrong.
	What string
	// Older says that all that is there is whole, but ends too early or is another ledger.
	Older bool
}

// Error says what is wrong with which file, and what to do.
func (r *Refused) Error() string {
	of := "the ledger"
	if r.File != "" {
		of += " " + r.File
	}
	return fmt.Sprintf("%s cannot be relied on: %s; nothing is repaired until that is settled: find out who or what did it, keep the file, and "+
		"put back a whole copy of it that is not older or, if there is none, begin another with `agencyaudit ledger renew`; the entries "+
		"before number %d are whole, and `agencyaudit ledger show` prints them",
		of, r.What, r.Entry)
}

// Summary is what verifying a ledger found.
type Summary struct {
	// Head is its last entry, whose number is how many there are.
	Head Head `json:"head"`
	// First and Last are when the first and the last entry were written; zero in an empty ledger.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Size is how many bytes the entries have, Torn how many are behind them of an entry that was not written to its end. The next
	// OpenLedger cuts these off.
	Size int64 `json:"size"`
	Torn int64 `json:"torn"`
}

// Verify reads a ledger and says how far it goes. The error is a *Refused if it cannot be relied on; the summary is then of the entries before.
func Verify(r io.Reader, floor Head) (Summary, error) {
	var s Summary
	lines := readLines(r, floor)
	for {
		e, err := lines.next()
		s.Head, s.Size, s.Torn = lines.head, lines.size, lines.torn
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if s.Last = e.Time; e.Seq == 1 {
			s.First = e.Time
		}
	}
}

// Read are the entries of a ledger, as far as it is whole, and then the error if it cannot be relied on from there on. What was not written to its
// end is left out.
func Read(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := readLines(r, Head{})
		for {
			e, err := lines.next()
			if errors.Is(err, io.EOF) || !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// encodeEntry completes an entry by its hash and makes a line of it. The entry becomes what is read back.
func encodeEntry(e *Entry) ([]byte, error) {
	e.Time, e.Expires, e.Hash = e.Time.UTC(), e.Expires.UTC(), ""
	text, err := json.Marshal(e)
	// What is no UTF-8 is written in another way than what is read of it, which is then what is written down.
	for range 2 {
		if err != nil {
			return nil, err
		}
		before := text[:len(text)-len(noHash)]
		line := append(append(bytes.Clone(before), entryHash(before)...), noHash+"\n"...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("it has %d bytes and may have %d", len(line), maxLine)
		}
		if again, err := decodeEntry(line); err == nil {
			*e = again
			return line, nil
		}
		var again Entry
		if err := json.Unmarshal(text, &again); err != nil {
			return nil, err
		}
		text, err = json.Marshal(again)
	}
	return nil, errors.New("it is read back otherwise than it was written")
}

// noHash is how the text of an entry ends behind its hash.
const noHash = `"}`

// entryHash is the hash of an entry, which is that of its text with an empty one, given up to where it stands.
func entryHash(before []byte) string {
	sum := sha256.New()
	sum.Write(before)
	sum.Write([]byte(noHash))
	return hex.EncodeToString(sum.Sum(nil))
}

// errAltered is the error of a line that is not as it was written.
var errAltered = errors.New("it is not as it was written")

// decodeEntry reads a line, end included, and believes nothing but what encodeEntry would write, to the byte: so no member comes twice, none is
// unknown, and nothing is spelled in two ways.
func decodeEntry(line []byte) (Entry, error) {
	text, ended := bytes.CutSuffix(line, []byte("\n"))
	hashAt := len(text) - len(noHash) - hex.EncodedLen(sha256.Size)
	if !ended || hashAt < 0 {
		return Entry{}, errAltered
	}
	hash := entryHash(text[:hashAt])
	if string(text[hashAt:]) != hash+noHash {
		return Entry{}, errAltered
	}
	var e Entry
	if err := json.Unmarshal(text, &e); err != nil || e.Hash != hash {
		return Entry{}, errAltered
	}
	if again, err := json.Marshal(e); err != nil || !bytes.Equal(again, text) {
		return Entry{}, errAltered
	}
	return e, nil
}

// lineReader reads the entries of a ledger one after the other, and believes none that does not follow from the one before.
type lineReader struct {
	in    *bufio.Reader
	floor Head
	// head is the last entry, last its line, and size how many bytes there are up to its end; torn is how many are behind it.
	head Head
	last []byte
	size int64
	torn int64
	// read is what is being read.
	read []byte
}

func readLines(r io.Reader, floor Head) *lineReader {
	return &lineReader{in: bufio.NewReader(r), floor: floor}
}

// next is the next entry; io.EOF at the end.
func (l *lineReader) next() (Entry, error) {
	line, err := l.line()
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return Entry{}, l.refuse("entry %d is longer than any that is written", l.head.Seq+1)
	case errors.Is(err, io.EOF):
		if endAltered(line) {
			return Entry{}, l.refuse("entry %d is not as it was written", l.head.Seq+1)
		}
		return Entry{}, l.end(len(line))
	case err != nil:
		return Entry{}, fmt.Errorf("read the ledger: %w", err)
	}
	e, err := decodeEntry(line)
	if err != nil {
		n, holed := len(line), l.holed(line)
		switch _, err := l.in.Peek(1); {
		case err != nil && !errors.Is(err, io.EOF):
			return Entry{}, fmt.Errorf("read the ledger: %w", err)
		case errors.Is(err, io.EOF) && holed:
			return Entry{}, l.end(n)
		}
		return Entry{}, l.refuse("entry %d is not as it was written", l.head.Seq+1)
	}
	if e.Seq != l.head.Seq+1 || e.Prev != l.head.Hash {
		return Entry{}, l.refuse("entry %d is not there, but another one (%d)", l.head.Seq+1, e.Seq)
	}
	if e.Seq == l.floor.Seq && e.Hash != l.floor.Hash {
		return Entry{}, l.older("entry %d is not the one that was there before", e.Seq)
	}
	l.head, l.size = Head{Seq: e.Seq, Hash: e.Hash}, l.size+int64(len(line))
	l.last, l.read = line, l.last
	return e, nil
}

// line reads a line with its end, or what there is before the end of the file. It fails with bufio.ErrBufferFull if that is too long.
func (l *lineReader) line() ([]byte, error) {
	l.read = l.read[:0]
	for {
		part, err := l.in.ReadSlice('\n')
		l.read = append(l.read, part...)
		if len(l.read) > maxLine {
			return nil, bufio.ErrBufferFull
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return l.read, err
		}
	}
}

// end is the end of a ledger, with some bytes behind its last entry of one that was not written to its end.
func (l *lineReader) end(torn int) error {
	if l.head.Seq < l.floor.Seq {
		return l.older("it ends with entry %d, and had %d at least", l.head.Seq, l.floor.Seq)
	}
	l.torn = int64(torn)
	return io.EOF
}

// endAltered says whether what a ledger ends with is a whole entry whose last byte is another one. No write that was cut short leaves that.
func endAltered(rest []byte) bool {
	n := len(rest)
	if n == 0 || rest[n-1] == 0 {
		return false
	}
	_, err := decodeEntry(append(bytes.Clone(rest[:n-1]), '\n'))
	return err == nil
}

// holed says whether a line, though it has its end, was not written whole: a disk writes sectors in any order, and one that it did not
// come to is empty where nothing was before. A single byte that is empty may be a bit that turned over, and is not believed.
func (l *lineReader) holed(line []byte) bool {
	empty := 0
	for i, b := range line {
		if b != 0 {
			continue
		}
		empty++
		if line[i+1] != 0 && (l.size+int64(i)+1)%sector != 0 {
			return false
		}
	}
	return empty > 1 || line[0] == 0
}

func (l *lineReader) refuse(format string, args ...any) error {
	return &Refused{Entry: l.head.Seq + 1, What: fmt.Sprintf(format, args...)}
}

func (l *lineReader) older(format string, args ...any) error {
	return &Refused{Entry: l.head.Seq + 1, What: fmt.Sprintf(format, args...), Older: true}
}

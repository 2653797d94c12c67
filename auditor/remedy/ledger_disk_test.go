package remedy_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/agencyaudit/agencyaudit/auditor/remedy"
)

// sector is what the model's disk writes at once.
const sector = 512

// disk is a file system of one directory with one file, in memory. It tells what the kernel shows from what is on the platter. What was
// not synced reaches the platter piece by piece, in any order, a piece perhaps only in part, and the file's size apart from that.
//
// What it takes for granted: a sync that succeeded is true, what is synced stays, and where nothing was written yet there are zeros.
type disk struct {
	// there says that the file is, named that its name is durable.
	there, named bool
	shown        []byte
	platter      []byte
	pending      []change

	// ops counts the operations, of one kind only if that is not empty. At the one with the number at, its fate happens.
	ops, at int
	only    string
	fate    fate
	errno   error
	dead    bool
	// met is the kind of the operation that the fate happened to.
	met string
}

// change is something that was not synced: pieces, each within one sector, and the size of the file afterwards.
type change struct {
	pieces []piece
	size   int
}

type piece struct {
	at   int
	data []byte
}

// fate is what happens to an operation.
type fate int

const (
	// The process ends, or the power, before the operation or right after it.
	endBefore fate = iota
	endAfter
	// The operation fails: without any effect, with a part of it, or with all of it.
	failNone
	failHalf
	failAll
	// A sync fails, and the kernel forgets that there is something to write: all of it, or all but the first piece.
	forget
	forgetMost
	fates
)

var errEnded = errors.New("the process has ended")

func (f fate) ends() bool { return f <= endAfter }

// do carries out an operation, all of it or a part, or whatever its fate is.
func (d *disk) do(kind string, all, half func()) error {
	if d.dead {
		return errEnded
	}
	if d.only == "" || d.only == kind {
		d.ops++
	}
	if d.ops != d.at || d.met != "" {
		all()
		return nil
	}
	d.met = kind
	switch {
	case d.fate == endAfter || d.fate == failAll:
		all()
	case d.fate == failHalf:
		half()
	case d.fate >= forget && kind == "sync":
		if len(d.pending) > 0 && d.fate == forgetMost && len(d.pending[0].pieces) > 0 {
			d.platter = apply(d.platter, d.pending[0].pieces[:1], d.pending[0].size)
		}
		d.pending = nil
	}
	if d.dead = d.fate.ends(); d.dead {
		return errEnded
	}
	return d.errno
}

func nothing() {}

func (d *disk) Open(string) (remedy.File, error) {
	err := d.do("open", func() { d.there = true }, nothing)
	return d, err
}

func (d *disk) SyncDir(string) error {
	return d.do("sync directory", func() { d.named = d.there }, nothing)
}

func (d *disk) ReadAt(p []byte, off int64) (n int, err error) {
	if err := d.do("read", nothing, nothing); err != nil {
		return 0, err
	}
	if off < int64(len(d.shown)) {
		n = copy(p, d.shown[off:])
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (d *disk) WriteAt(p []byte, off int64) (n int, err error) {
	write := func(p []byte) func() {
		return func() {
			n = len(p)
			d.shown = apply(d.shown, []piece{{int(off), p}}, max(len(d.shown), int(off)+len(p)))
			c := change{size: len(d.shown)}
			for at, rest := int(off), bytes.Clone(p); len(rest) > 0; {
				k := min(sector-at%sector, len(rest))
				c.pieces = append(c.pieces, piece{at, rest[:k]})
				at, rest = at+k, rest[k:]
			}
			d.pending = append(d.pending, c)
		}
	}
	err = d.do("write", write(p), write(p[:len(p)/2]))
	return n, err
}

func (d *disk) Size() (int64, error) {
	return int64(len(d.shown)), d.do("size", nothing, nothing)
}

func (d *disk) Truncate(size int64) error {
	return d.do("truncate", func() {
		d.shown = bytes.Clone(d.shown[:size])
		d.pending = append(d.pending, change{size: int(size)})
	}, nothing)
}

func (d *disk) Sync() error {
	return d.do("sync", func() {
		for _, c := range d.pending {
			d.platter = apply(d.platter, c.pieces, c.size)
		}
		d.pending = nil
	}, nothing)
}

func (d *disk) Close() error { return nil }

// apply is a content with pieces written to it, of a size.
func apply(content []byte, pieces []piece, size int) []byte {
	next := make([]byte, size)
	copy(next, content)
	for _, p := range pieces {
		if p.at < size {
			copy(next[p.at:], p.data)
		}
	}
	return next
}

// killed is the disk when the process has ended: the kernel goes on.
func (d *disk) killed() *disk {
	return &disk{
		there: d.there, named: d.named, shown: bytes.Clone(d.shown), platter: bytes.Clone(d.platter), pending: slices.Clone(d.pending),
	}
}

// cut is the disk when the power was cut and is back.
func cut(content []byte) *disk {
	return &disk{there: true, named: true, shown: content, platter: bytes.Clone(content)}
}

// unsynced are the pieces that were not synced, and the sizes that the file may have.
func (d *disk) unsynced() (pieces []piece, sizes []int) {
	sizes = []int{len(d.platter)}
	for _, c := range d.pending {
		pieces = append(pieces, c.pieces...)
		sizes = append(sizes, c.size)
	}
	return pieces, sizes
}

// cuts are all the disks that a cut of the power can leave: each set of the pieces, at each size; each piece torn at each byte, while the
// others are there, or not, or the last alone is; and the file cut at each byte. fine says whether the last two are wanted.
func (d *disk) cuts(fine bool, yield func(*disk)) {
	if !d.there {
		yield(&disk{})
		return
	}
	if !d.named {
		yield(&disk{})
	}
	seen := map[string]bool{}
	try := func(pieces []piece, size int) {
		if c := apply(d.platter, pieces, size); !seen[string(c)] {
			seen[string(c)] = true
			yield(cut(c))
		}
	}
	pieces, sizes := d.unsynced()
	for set := range 1 << len(pieces) {
		var some []piece
		for i, p := range pieces {
			if set>>i&1 == 1 {
				some = append(some, p)
			}
		}
		for _, size := range sizes {
			try(some, size)
		}
	}
	if !fine || len(pieces) == 0 {
		return
	}
	last := len(pieces) - 1
	for i, p := range pieces {
		for k := range p.data {
			// A piece but the last that lacks one byte cannot be told from a line of which a bit was turned over, and is refused.
			if i < last && k == len(p.data)-1 && k > 0 {
				continue
			}
			torn := piece{p.at, p.data[:k]}
			others := slices.Delete(slices.Clone(pieces), i, i+1)
			for _, with := range [][]piece{nil, pieces[last:], others} {
				if i < last || len(with) != 1 || len(pieces) == 1 {
					try(append(slices.Clone(with), torn), sizes[len(sizes)-1])
				}
			}
		}
	}
	for size := slices.Min(sizes); size < slices.Max(sizes); size++ {
		try(pieces, size)
	}
}

// someCut is one of the disks that a cut can leave.
func (d *disk) someCut(r *rand.Rand) *disk {
	if !d.there || !d.named && r.IntN(2) == 0 {
		return &disk{}
	}
	pieces, sizes := d.unsynced()
	size := sizes[r.IntN(len(sizes))]
	if least, most := slices.Min(sizes), slices.Max(sizes); least < most && r.IntN(3) == 0 {
		size = least + r.IntN(most-least)
	}
	var some []piece
	for i, p := range pieces {
		switch k := r.IntN(len(p.data) + 1); r.IntN(4) {
		case 0:
		case 1:
			if i == len(pieces)-1 || k < len(p.data)-1 {
				some = append(some, piece{p.at, p.data[:k]})
			}
		default:
			some = append(some, p)
		}
	}
	return cut(apply(d.platter, some, size))
}

var name = filepath.Join("state", remedy.LedgerName)

var errnos = []error{syscall.EIO, syscall.ENOSPC}

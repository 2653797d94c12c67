package history

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/klauspost/compress/zstd"
)

// codec packs what a row holds beyond its columns. It is used by many goroutines at once.
type codec struct {
	pack   *zstd.Encoder
	unpack *zstd.Decoder
}

const (
	// mostUnpacked bounds what one row may unpack to. A row that is recorded is far smaller.
	mostUnpacked = 64 << 20
	// The dictionary has the words that most rows of a history share: samples of them, up to a size.
	dictionaryID   = 1
	mostDictionary = 32 << 10
	mostSamples    = 16
)

// newCodec makes a codec with a dictionary, or without one if that is empty. Every codec can unpack what one without packed.
func newCodec(dictionary []byte) (*codec, error) {
	in := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostUnpacked)}
	out := []zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1 << 17)}
	if len(dictionary) > 0 {
		in = append(in, zstd.WithDecoderDictRaw(dictionaryID, dictionary))
		out = append(out, zstd.WithEncoderDictRaw(dictionaryID, dictionary))
	}
	pack, err := zstd.NewWriter(nil, out...)
	if err != nil {
		return nil, fmt.Errorf("make the compression: %w", err)
	}
	unpack, err := zstd.NewReader(nil, in...)
	if err != nil {
		return nil, fmt.Errorf("make the decompression: %w", err)
	}
	return &codec{pack, unpack}, nil
}

// dictionaryOf makes a dictionary of what a change adds; empty when it adds no evidence.
func dictionaryOf(c *change) ([]byte, error) {
	if len(c.evidence) == 0 {
		return nil, nil
	}
	var text []byte
	add := func(v any) error {
		sample, err := json.Marshal(v)
		if err == nil && len(text)+len(sample) <= mostDictionary {
			text = append(text, sample...)
		}
		return err
	}
	for _, v := range spread(c.verdicts) {
		if err := add(bodyOf(v)); err != nil {
			return nil, fmt.Errorf("write a dictionary: %w", err)
		}
	}
	for _, e := range spread(c.evidence) {
		if err := add(e.sweep); err != nil {
			return nil, fmt.Errorf("write a dictionary: %w", err)
		}
	}
	return text, nil
}

// spread are some of many, from all over them.
func spread[T any](all []T) []T {
	if len(all) <= mostSamples {
		return all
	}
	some := make([]T, mostSamples)
	for i := range some {
		some[i] = all[i*len(all)/mostSamples]
	}
	return some
}

func (c *codec) encode(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("write a row: %w", err)
	}
	return c.pack.EncodeAll(text, nil), nil
}

func (c *codec) decode(body []byte, v any) error {
	text, err := c.unpack.DecodeAll(body, nil)
	if err != nil {
		return fmt.Errorf("unpack a row: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("read a row: %w", err)
	}
	return nil
}

func (c *codec) close() { c.unpack.Close() }

// hashOf is the hash of a row: of its table, and of each field behind its kind and its length.
func hashOf(table string, fields ...any) []byte {
	h := sha256.New()
	var head [9]byte
	write := func(kind byte, data []byte) {
		head[0] = kind
		binary.BigEndian.PutUint64(head[1:], uint64(len(data)))
		h.Write(head[:])
		h.Write(data)
	}
	write('t', []byte(table))
	for _, f := range fields {
		switch f := f.(type) {
		case int64:
			write('i', binary.BigEndian.AppendUint64(nil, uint64(f)))
		case string:
			write('s', []byte(f))
		case []byte:
			write('b', f)
		default:
			panic(fmt.Sprintf("a row has a field of type %T", f))
		}
	}
	return h.Sum(nil)
}

// stamp is an instant in a row.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func unstamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

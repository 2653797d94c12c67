package metrics

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/agencyaudit/agencyaudit/auditor"
)

// Commit renders a snapshot, and shows it from then on. On an error the old one stays.
func (m *Metrics) Commit(s *auditor.Snapshot) error {
	m.rendering.Lock()
	defer m.rendering.Unlock()
	f, err := render(s, m.o.Now(), m.fleet.Load())
	if err != nil {
		return err
	}
	m.fleet.Store(f)
	return nil
}

// current is the fleet as it is now: rendered anew if evidence has got too old since.
func (m *Metrics) current() (*fleet, error) {
	if f := m.fleet.Load(); !f.stale(m.o.Now()) {
		return f, nil
	}
	m.rendering.Lock()
	defer m.rendering.Unlock()
	f, now := m.fleet.Load(), m.o.Now()
	if !f.stale(now) {
		return f, nil // somebody else was faster
	}
	f, err := render(f.snapshot, now, f)
	if err != nil {
		return nil, err
	}
	m.fleet.Store(f)
	return f, nil
}

// Handler answers scrapes: in OpenMetrics where that is asked for and in the text format elsewhere, compressed where that
// is accepted. A few are answered at once, the others told to come again.
func (m *Metrics) Handler() http.Handler { return m.handler }

func (m *Metrics) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case m.slots <- struct{}{}:
		defer func() { <-m.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("more than %d scrapes at once; come again", maxScrapes), http.StatusServiceUnavailable)
		return
	}
	fail := func(err error) {
		m.o.Logger.Error("a scrape failed", "err", err)
		http.Error(w, "the metrics cannot be gathered; see the program's log", http.StatusInternalServerError)
	}
	f, err := m.current()
	if err != nil {
		fail(err)
		return
	}
	format := expfmt.NegotiateAccept(r.Header, m.formats...)
	var lasting bytes.Buffer
	if err := encode(&lasting, m.registry, format); err != nil {
		fail(err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", string(format))
	h.Set("Vary", "Accept, Accept-Encoding")
	h.Set("Cache-Control", "no-store")
	if acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		err = f.writeGzip(w, lasting.Bytes())
	} else {
		h.Set("Content-Length", strconv.Itoa(f.size+lasting.Len()))
		err = f.writePlain(w, lasting.Bytes())
	}
	if err != nil {
		m.o.Logger.Debug("a scrape was given up", "err", err)
	}
}

// encode writes what a registry holds, and the end of the exposition where the format wants one.
func encode(w io.Writer, g prometheus.Gatherer, format expfmt.Format) error {
	families, err := g.Gather()
	if err != nil {
		return err
	}
	e := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := e.Encode(f); err != nil {
			return err
		}
	}
	if c, ok := e.(expfmt.Closer); ok {
		return c.Close()
	}
	return nil
}

// acceptsGzip says whether the client takes gzip.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		coding, parameters, _ := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		weight, weighed := strings.CutPrefix(strings.ReplaceAll(parameters, " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !weighed || err == nil && q > 0
	}
	return false
}

// gzipHeader is that of RFC 1952 for DEFLATE without a name, a time or a known system.
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// writeGzip writes the fleet, which is compressed already, and what follows it, as one member of gzip: some clients read
// no more than one.
func (f *fleet) writeGzip(w io.Writer, rest []byte) error {
	if _, err := w.Write(gzipHeader); err != nil {
		return err
	}
	if _, err := w.Write(f.deflated); err != nil {
		return err
	}
	z, err := flate.NewWriter(w, compression)
	if err != nil {
		return err
	}
	if _, err := z.Write(rest); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	var end [8]byte
	binary.LittleEndian.PutUint32(end[:4], crc32.Update(f.sum, crc32.IEEETable, rest))
	binary.LittleEndian.PutUint32(end[4:], uint32(f.size+len(rest)))
	_, err = w.Write(end[:])
	return err
}

// writePlain writes the fleet and what follows it as it is.
func (f *fleet) writePlain(w io.Writer, rest []byte) error {
	var fleet io.Reader = bytes.NewReader(f.plain)
	if f.plain == nil {
		z, err := zstd.NewReader(bytes.NewReader(f.packed))
		if err != nil {
			return err
		}
		defer z.Close()
		fleet = z
	}
	if _, err := io.Copy(w, fleet); err != nil {
		return err
	}
	_, err := w.Write(rest)
	return err
}

// WriteRun writes what a snapshot shows, and when its run was made, in the text format: for a collector of text files,
// which adds the rest. Counters, which such a file cannot carry from one run to the next, are left out.
func WriteRun(w io.Writer, s *auditor.Snapshot, now time.Time, version string) error {
	f, err := render(s, now, nil)
	if err != nil {
		return err
	}
	r := prometheus.NewRegistry()
	families := family{r}
	families.build(version, "")
	runs := families.runs()
	if s.Run != nil {
		runs.started.WithLabelValues().Set(seconds(s.Run.StartedAt))
		runs.end(s.Run, s.Run.EndedAt)
	}
	setBaselines(families.gauges("baseline_info",
		"The baselines in force, by the date of their document and the SHA-256 of their file.", "baseline", "version", "digest"), s.Baselines)
	var rest bytes.Buffer
	if err := encode(&rest, r, expfmt.NewFormat(expfmt.TypeTextPlain)); err != nil {
		return err
	}
	return f.writePlain(w, rest.Bytes())
}

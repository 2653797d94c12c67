package huawei_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// A bomb is an answer of 256 MiB, which may cost 16 MiB.
const (
	bombSize = 256 << 20
	bombCost = 16 << 20
)

// bomb is how 256 MiB are packed.
type bomb struct {
	status int
	header map[string]string
	// start comes once, and then piece again and again until it is enough.
	start, piece string
	// announced says that a header tells the length, and plain that there are neither length nor chunks: the end of the
	// connection ends the answer.
	announced, plain bool
	reason           rules.Reason
	rejection        string
}

// bombs are packings of 256 MiB, by name.
func bombs() map[string]bomb {
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 1<<20))
	_ = z.Close()
	rejected := rules.ReasonRejected
	return map[string]bomb{
		"one text, announced":       {piece: "x", start: `{"x":"`, announced: true, reason: rejected, rejection: "too_large"},
		"one text in chunks":        {piece: "x", start: `{"x":"`, reason: rejected, rejection: "too_large"},
		"one text without length":   {piece: "x", start: `{"x":"`, plain: true, reason: rejected, rejection: "too_large"},
		"one text of escapes":       {piece: `\u0041`, start: `{"x":"`, reason: rejected, rejection: "too_large"},
		"spaces":                    {piece: " ", start: "{", reason: rejected, rejection: "too_large"},
		"a million objects":         {piece: "{},", start: `{"x":{"y":[`, reason: rejected, rejection: "too_large"},
		"objects of one member":     {piece: `{"":0},`, start: `{"x":{"y":[`, reason: rejected, rejection: "too_large"},
		"a million members":         {piece: `"x":0,`, start: `{"x":{`, reason: rejected, rejection: "too_large"},
		"digits":                    {piece: "1", start: `{"total_num":`, reason: rejected, rejection: "too_large"},
		"nested":                    {piece: "[", start: `{"x":`, reason: rejected, rejection: "json"},
		"nested objects":            {piece: `{"x":`, start: ``, reason: rejected, rejection: "json"},
		"zeros":                     {piece: "\x00", reason: rejected, rejection: "too_large"},
		"gzip":                      {piece: packed.String(), header: map[string]string{"Content-Encoding": "gzip"}, reason: rejected, rejection: "encoding"},
		"another encoding":          {piece: "x", header: map[string]string{"Content-Encoding": "br"}, reason: rejected, rejection: "encoding"},
		"gzip that nobody said":     {piece: packed.String(), reason: rejected, rejection: "too_large"},
		"HTML":                      {piece: "<p>", header: map[string]string{"Content-Type": "text/html"}, reason: rejected, rejection: "content_type"},
		"an error in JSON":          {status: 500, piece: "x", start: `{"error_msg":"`, reason: rejected, rejection: "status"},
		"an error in HTML":          {status: 502, piece: "<p>", header: map[string]string{"Content-Type": "text/html"}, reason: rules.ReasonUnreachable},
		"a refusal":                 {status: 403, piece: "x", start: `{"error_msg":"`, reason: rules.ReasonDenied},
		"another status":            {status: 203, piece: "x", start: `{"x":"`, reason: rejected, rejection: "status"},
		"a redirect":                {status: 302, piece: "x", header: map[string]string{"Location": "/v3/roles"}, reason: rejected, rejection: "redirect"},
		"a head that has no end":    {piece: "X-Long: x\r\n", plain: true, header: map[string]string{"": ""}, reason: rules.ReasonUnreachable},
		"informational answers":     {piece: "HTTP/1.1 103 Early Hints\r\nX: x\r\n\r\n", plain: true, header: map[string]string{"": ""}, reason: rules.ReasonUnreachable},
		"agencies":                  {piece: `{"id":"a","name":"n"},`, start: `{"agencies":[`, reason: rejected, rejection: "too_many_items"},
		"grants":                    {piece: `{"role":{"id":"r"}},`, start: `{"total_num":9,"role_assignments":[`, reason: rejected, rejection: "too_many_items"},
		"policies of the catalogue": {piece: `{"id":"a","domain_id":null},`, start: `{"roles":[`, reason: rejected, rejection: "too_many_items"},
	}
}

// answer sends the bomb, or as much of it as the client takes. otherwise is the status of success.
func (b bomb) answer(w http.ResponseWriter, otherwise int) {
	status := otherwise
	if b.status != 0 {
		status = b.status
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for k, v := range b.header {
		header.Set(k, v)
	}
	block := []byte(strings.Repeat(b.piece, 32<<10/len(b.piece)+1))
	blast := func(w io.Writer) {
		n, err := io.WriteString(w, b.start)
		for sent := n; err == nil && sent < bombSize; sent += n {
			n, err = w.Write(block)
		}
	}
	if b.plain {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, ok := b.header[""]; !ok { // otherwise the bomb is the head
			fmt.Fprintf(conn, "HTTP/1.1 %d x\r\nContent-Type: application/json\r\n\r\n", status)
		} else if strings.HasPrefix(b.piece, "X") {
			fmt.Fprintf(conn, "HTTP/1.1 %d x\r\n", status)
		}
		blast(conn)
		return
	}
	maps.Copy(w.Header(), header)
	if b.announced {
		w.Header().Set("Content-Length", fmt.Sprint(bombSize))
	}
	w.WriteHeader(status)
	blast(w)
}

// allocated is how many bytes are allocated while something is done, whether or not they are collected again.
func allocated(do func()) int64 {
	read := func() int64 {
		s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	runtime.GC()
	before := read()
	do()
	return read() - before
}

// TestBombsCostLittle has each request answered with each bomb, through real HTTP and the official SDK. What is counted is
// everything that the whole observation and the server allocate, so that it bounds the growth whenever the collector runs.
func TestBombsCostLittle(t *testing.T) {
	packings := bombs()
	requests := []string{"domain", "catalogue", "agencies", "attached", "policy", "globalRoles", "assume", "domains"}
	if testing.Short() {
		requests = requests[:2]
	}
	for _, step := range requests {
		t.Run(step, func(t *testing.T) {
			f, cfg := needsEverything(t)
			m := &meter{}
			cfg.Meter = m
			c, _ := open(t, cfg)
			mustObserve(t, c, 0) // so that the catalogue is no part of it
			most := int64(0)
			for _, name := range slices.Sorted(maps.Keys(packings)) {
				b := packings[name]
				if slices.Contains([]string{"catalogue", "assume", "domains"}, step) {
					c, _ = open(t, cfg) // what they are asked for is kept
				}
				m.rejected = nil
				f.lie(step, func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
					_, _ = io.Copy(io.Discard, r.Body)
					b.answer(w, map[bool]int{true: 201, false: 200}[r.Method == http.MethodPost])
				})
				var u *rules.Unknown
				cost := allocated(func() { u = unknown(t, c, 0, b.reason) })
				f.lie(step, nil)
				c.Close()
				if cost > bombCost {
					t.Errorf("%s: %d KiB were allocated, want %d at most", name, cost>>10, bombCost>>10)
				}
				// A list of rows is one too many for the request that asks for such a list, and too large for the others.
				if want := b.rejection; want != "too_many_items" && want != "" && !slices.Contains(m.rejected, want) {
					t.Errorf("%s: rejected as %q, want %q: %v", name, m.rejected, want, u)
				}
				most = max(most, cost)
			}
			t.Logf("at most %d KiB", most>>10)
		})
	}
}

// TestWhatIsBelievedCostsLittleToDecode has answers that the wire believes, and that are made to have the SDK's decoder
// allocate as much as can be. Its worst are long texts, for which it takes several times their length; a million objects,
// which would take hundreds of MiB, do not pass.
func TestWhatIsBelievedCostsLittleToDecode(t *testing.T) {
	repeat := func(piece string, n int) string { return strings.TrimSuffix(strings.Repeat(piece+",", n), ",") }
	const values, containers = 1<<16 - 2500, 1<<14 - 1300 // what the rest of the answer leaves
	text := `"` + strings.Repeat("x", 64<<10) + `"`
	for name, body := range map[string]string{
		"objects":           repeat("{}", containers),
		"objects of one":    repeat(`{"":0}`, containers),
		"objects in others": repeat(`{"":{"":{"":{"":{"":0}}}}}`, containers/5),
		"arrays":            repeat("[[[[[]]]]]", containers/5),
		"texts":             repeat(`""`, values),
		"numbers":           repeat("0", values),
		"long texts":        repeat(text, 62),
		"long numbers":      repeat(strings.Repeat("1", 64<<10), 62),
		"escapes":           repeat(`"`+strings.Repeat(`\u0041`, 10<<10)+`"`, 62),
		"both":              repeat(`{"":0}`, containers) + "," + repeat("0", values-2*containers),
		"statements":        `0]},{"Action":[]` + strings.Repeat(`},{`, containers-10) + `"Condition":[0`,
	} {
		t.Run(name, func(t *testing.T) {
			f, cfg := needsEverything(t)
			c, _ := open(t, cfg)
			mustObserve(t, c, 0)
			f.lie("globalRoles", say(200, `{"roles":[{"id":"x","name":"n","type":"AX","policy":{"Version":"1","Statement":[{"Condition":[`+body+`]}]}}]}`))
			// It passes the wire, and only then is found to show a policy that the first witness did not.
			if cost := allocated(func() { wantUnknown(t, c, 0, rules.ReasonDisagree) }); cost > 16*huawei.DefaultMaxBody { // the race detector's own share included
				t.Errorf("%d KiB were allocated", cost>>10)
			} else {
				t.Logf("%d KiB", cost>>10)
			}
		})
	}
}

// TestAnswersThatAreShortByNature may have a part of what an answer may have, since five of them are under way for each
// account; but always as much as the smallest limit that can be set.
func TestAnswersThatAreShortByNature(t *testing.T) {
	f, cfg := needsEverything(t)
	padded := func(n int) answerFunc {
		return edit(func(b string) string { return b + strings.Repeat(" ", n-len(b)) })
	}
	for step, most := range map[string]int{
		"agencies": 2 << 20, "domain": 256 << 10, "attached": 512 << 10, "globalRoles": 4 << 20, "catalogue": 4 << 20, "policy": 1 << 20,
		"assume": 64 << 10, "domains": 64 << 10,
	} {
		c, _ := open(t, cfg)
		f.lie(step, padded(most+1))
		if u := unknown(t, c, 0, rules.ReasonRejected); !strings.HasSuffix(u.Detail, "too_large") || u.RequestID == "" {
			t.Errorf("%s: %v", step, u)
		}
		c, _ = open(t, cfg)
		f.lie(step, padded(most))
		mustObserve(t, c, 0)
		f.lie(step, nil)
	}
	c, _ := open(t, cfg)
	mustObserve(t, c, 0)
	cfg.MaxBody = 64 << 10
	small, _ := open(t, cfg)
	f.lie("domain", padded(64<<10))
	if u := unknown(t, small, 0, rules.ReasonRejected); !strings.Contains(u.Detail, "catalogue") { // which is longer
		t.Error(u)
	}
	f.lie("domain", padded(64<<10+1))
	if u := unknown(t, small, 0, rules.ReasonRejected); !strings.Contains(u.Detail, "global service") {
		t.Error(u)
	}
}

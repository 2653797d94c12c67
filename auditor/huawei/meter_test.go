package huawei_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// meter keeps what it is told.
type meter struct {
	mu                            sync.Mutex
	requests, rejected, refreshed []string
	skews                         []time.Duration
}

func (m *meter) Request(service, operation string, code int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.requests = append(m.requests, service+" "+operation+" "+http.StatusText(code))
	if took < 0 {
		m.requests = append(m.requests, "a negative time")
	}
}

func (m *meter) Rejected(reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rejected = append(m.rejected, reason)
}

func (m *meter) Refreshed(way string, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refreshed = append(m.refreshed, way+map[bool]string{true: " came", false: " refused"}[ok])
}

func (m *meter) Skew(ahead time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.skews = append(m.skews, ahead)
}

// TestMeterHearsOfEveryRequest compares the meter with what the server saw.
func TestMeterHearsOfEveryRequest(t *testing.T) {
	f := newFake(t, 1)
	m := &meter{}
	cfg := f.assuming()
	cfg.Meter = m
	c, _ := open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err != nil {
		t.Fatal(err)
	}
	if len(m.requests) != len(f.log()) || len(m.requests) < 6 {
		t.Errorf("the meter heard of %d requests, the server of %d", len(m.requests), len(f.log()))
	}
	service, names := huawei.Operations()
	for _, r := range m.requests {
		part := strings.Fields(r)
		if part[0] != service || !slices.Contains(names, part[1]) {
			t.Errorf("the meter heard of %q, which is no operation of the list", r)
		}
	}
	if !slices.Equal(m.refreshed, []string{"iam came"}) || len(m.rejected) > 0 {
		t.Errorf("refreshed %q, rejected %q", m.refreshed, m.rejected)
	}
}

// TestMeterHearsWhyAnswersAreRejected has one answer each that may not be believed.
func TestMeterHearsWhyAnswersAreRejected(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"status":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) },
		"content_type": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"encoding": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte("{}"))
		},
		"envelope": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{}"))
		},
		"too_large": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+1)) },
	} {
		t.Run(want, func(t *testing.T) {
			f := newFake(t, 1)
			f.lie("agencies", func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { answer(w, r) })
			m := &meter{}
			cfg := f.config()
			cfg.Meter, cfg.MaxBody = m, 1<<20
			c, _ := open(t, cfg)
			if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err == nil {
				t.Fatal("the answer was believed")
			}
			if len(m.rejected) == 0 || slices.ContainsFunc(m.rejected, func(s string) bool { return s != want }) ||
				!slices.Contains(huawei.Rejections(), want) {
				t.Errorf("rejected %q, want %q", m.rejected, want)
			}
		})
	}
}

// TestMeterHearsOfRefusedKeysAndOfSilence: a refused assume is no refresh, and a request without answer has no code.
func TestMeterHearsOfRefusedKeysAndOfSilence(t *testing.T) {
	f := newFake(t, 1)
	f.lie("assume", func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		f.keystone(w, 403, "no")
	})
	m := &meter{}
	cfg := f.assuming()
	cfg.Meter = m
	c, _ := open(t, cfg)
	if _, _, err := c.Observe(t.Context(), account(0), baseline(), rules.Last{}); err == nil {
		t.Fatal("the account was read")
	}
	if !slices.Equal(m.refreshed, []string{"iam refused"}) {
		t.Errorf("refreshed %q", m.refreshed)
	}
	f.lie("assume", func(http.ResponseWriter, *http.Request, http.HandlerFunc) { panic(http.ErrAbortHandler) })
	m.requests = nil
	_, _, _ = c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if !slices.Contains(m.requests, "iam CreateTemporaryAccessKeyByAgency ") {
		t.Errorf("requests %q, want one without a code", m.requests)
	}
}

// TestMeterHearsHowFarTheClockIsOff by the Date of the cloud's answers, however they end.
func TestMeterHearsHowFarTheClockIsOff(t *testing.T) {
	f := newFake(t, 1)
	m := &meter{}
	cfg := f.config()
	cfg.Meter = m
	cfg.Now = func() time.Time { return time.Now().Add(20 * time.Minute) }
	c, _ := open(t, cfg)
	_, _, _ = c.Observe(t.Context(), account(0), baseline(), rules.Last{})
	if len(m.skews) == 0 || slices.ContainsFunc(m.skews, func(d time.Duration) bool { return d < 19*time.Minute || d > 21*time.Minute }) {
		t.Errorf("skews %v, want about 20 minutes", m.skews)
	}
}

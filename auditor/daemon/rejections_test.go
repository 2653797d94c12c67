package daemon

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/auditor/metrics"
)

// TestEveryRejectionHasASeries of its own: the reader and the metrics keep the same list, and neither may import the other.
func TestEveryRejectionHasASeries(t *testing.T) {
	m, err := metrics.New(metrics.Options{})
	if err != nil {
		t.Fatal(err)
	}
	words := huawei.Rejections()
	for _, word := range words {
		m.Rejected(word)
	}
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	const name = "agencyaudit_api_responses_rejected_total{"
	for _, word := range words {
		if !strings.Contains(w.Body.String(), name+`reason="`+word+`"} 1`+"\n") {
			t.Errorf("%s has no series", word)
		}
	}
	if n := strings.Count(w.Body.String(), name); n != len(words) {
		t.Errorf("%d series, and %d words", n, len(words))
	}
}

package historytest

import (
	"testing"

	"github.com/agencyaudit/agencyaudit/auditor/history"
)

func testModel(t *testing.T, open func(t *testing.T) history.Store) {}

package huawei_test

import (
	"testing"
	"time"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// sharing is a cloud whose accounts 1 and 2 have one key, while account 3 is entered by the main identity and the main identity's own
// account is read with its key.
func sharing(t *testing.T) (*fake, huawei.Config) {
	t.Helper()
	f := newFake(t, 4)
	f.accounts[mainID] = newFake(t, 1).accounts[accountID(0)]
	f.accounts[mainID].agencies[0]["domain_id"] = mainID
	f.accounts[mainID].grants = map[string][]fakeGrant{}
	cfg := f.assuming()
	cfg.Accounts = map[string]huawei.Access{accountID(3): {Agency: "Reader"}}
	// Each account's key is read from a place of its own.
	for _, n := range []int{1, 2} {
		cfg.Accounts[accountID(n)] = huawei.Access{Keys: huawei.Keys{
			AccessKey: huawei.NewSecret("AK-" + accountID(1)), SecretKey: huawei.NewSecret("canary-secret"),
		}}
	}
	return f, cfg
}

// TestARefusalIsKnownToAllThatSignWithTheKey: the cloud counts the refusals of a key, whoever uses it.
func TestARefusalIsKnownToAllThatSignWithTheKey(t *testing.T) {
	main := rules.Account{ID: mainID, Name: "main"}
	refuse := say(401, `{"error_code":"APIGW.0301","error_msg":"no"}`)
	t.Run("of an account", func(t *testing.T) {
		f, cfg := sharing(t)
		c, _ := open(t, cfg)
		f.lie("agencies "+accountID(1), refuse)
		wantUnknown(t, c, 1, rules.ReasonUnauthenticated)
		f.log()
		wantUnknown(t, c, 2, rules.ReasonUnauthenticated)
		if sent := f.log(); len(sent) > 0 {
			t.Errorf("sent with the refused key: %q", sent)
		}
		mustObserve(t, c, 3) // another key
	})
	t.Run("of the main account", func(t *testing.T) {
		f, cfg := sharing(t)
		var clk clock
		cfg.Now = clk.now
		c, _ := open(t, cfg)
		f.lie("agencies "+mainID, refuse)
		if _, _, err := c.Observe(t.Context(), main, baseline(), rules.Last{}); err == nil {
			t.Fatal("read with a refused key")
		}
		f.log()
		wantUnknown(t, c, 3, rules.ReasonUnauthenticated)
		if sent := f.log(); len(sent) > 0 {
			t.Errorf("sent with the refused key: %q", sent)
		}
		if _, err := c.Organization(t.Context(), huawei.OrganizationQuery{}); err == nil || len(f.log()) > 0 {
			t.Errorf("the organization: %v", err)
		}
		// A later run finds that the key is good, and then it is for the account too.
		f.lie("agencies "+mainID, nil)
		clk.advance(time.Minute)
		if err := c.Verify(t.Context()); err != nil {
			t.Fatal(err)
		}
		mustObserve(t, c, 3)
		if _, _, err := c.Observe(t.Context(), main, baseline(), rules.Last{}); err != nil {
			t.Errorf("with a key that is good again: %v", err)
		}
	})
	t.Run("of the main identity", func(t *testing.T) {
		f, cfg := sharing(t)
		c, _ := open(t, cfg)
		f.lie("domains", refuse)
		if err := c.Verify(t.Context()); err == nil {
			t.Fatal("verified with a refused key")
		}
		f.log()
		if _, _, err := c.Observe(t.Context(), main, baseline(), rules.Last{}); err == nil || len(f.log()) > 0 {
			t.Errorf("read with a refused key: %v", err)
		}
	})
}

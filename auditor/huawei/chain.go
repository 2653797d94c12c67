package huawei

import (
	"context"
	"fmt"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
)

// chained makes keys of the main identity: by assuming the chain's agency with the program's own key, once that is known to be of its
// account. Whose the new keys are is then asked as of any others. The caller holds the main identity's turn, which guards both.
func (c *Cloud) chained(ctx context.Context) (p pass, u *rules.Unknown) {
	own, link := c.first, c.cfg.Main.Chain
	if u := c.verify(ctx, own, false); u != nil {
		u := *u
		u.Detail = fmt.Sprintf("the chain to account %s was not begun: %s", link.AccountID, u.Detail)
		return pass{}, &u
	}
	defer func() { c.cfg.Meter.Refreshed("chain", u == nil) }()
	w, done := c.newWire(ctx, own.current().keys, c.log.With("account_id", link.AccountID))
	defer done()
	w.by, w.lane = own.by, own.lane
	p, f := c.take(w, own, link.AccountID, link.Access, chainKeys)
	latest := c.now().Add(chainKeys)
	switch {
	case f != nil:
	case p.expires.After(latest):
		p.expires = latest
	case !p.expires.After(c.now().Add(expiryMargin)):
		f = lie(rules.ReasonRejected, "the cloud answered with a temporary key that ends at %s, which is too soon",
			p.expires.Format(time.RFC3339)).as(rejectedItem)
	}
	if f != nil {
		doing := fmt.Sprintf("the chain to account %s: assuming its agency %q", link.AccountID, link.Access.Agency)
		return pass{}, c.unknown(assumptionBy(link.Access.Via).op, doing, f, own.by)
	}
	return p, nil
}

// chainKeys is how long the keys of a chain are asked to last: as long as either service lets them, whatever the first key is.
const chainKeys = longestChained

package huawei

import (
	"fmt"
	"net/http"

	"github.com/agencyaudit/agencyaudit/rules"
)

// holder says whose keys a request was signed with.
type holder int

const (
	ownKeys     holder = iota // the account's own
	assumedKeys               // made by assuming an agency of the account
	mainKeys                  // the main identity's
	firstKeys                 // the program's own, if it is by a chain that they become the main identity's
)

const remedyTimeout = "raise limits.account_timeout or limits.run_timeout, or lower limits.concurrency, if the cloud is merely slow"

// elseClosed is what keeps a program out of an account in which everything was granted.
const elseClosed = "if all that is so, the account may be suspended or in arrears, or the agency may have expired"

// remedy says what the operator can do about a fault, and who can grant what is missing.
func (c *Cloud) remedy(o op, f *fault, by holder) string {
	if o.assumes() && f.reason == rules.ReasonDenied {
		return c.letIn(o, by) + "; " + elseClosed
	}
	if operations[o].service == serviceOrganizations && f.reason == rules.ReasonDenied {
		return fmt.Sprintf("an administrator of account %s allows the main identity the action %s, one of those that deploy/iam has for "+
			"listing an organization; which is shown to its management account and to delegated administrators alone: make the account "+
			"one, or use a main identity of the management account", c.main.AccountID, operations[o].action)
	}
	if f.rejection == rejectedTooLarge {
		return "look into the account: no answer is expected to be that large; raise limits.body_bytes if it is right"
	}
	switch f.reason {
	case rules.ReasonUnauthenticated:
		return c.keyAdvice(by) + ", that this machine's clock" + c.clock.words() + " is right to a few minutes, and that the account is neither " +
			"suspended nor in arrears; it was not tried again, since the cloud locks a key after more than five refused signatures"
	case rules.ReasonDenied:
		if operations[o].action == "" {
			return "check that the key may be used at all, and from this machine's address"
		}
		return fmt.Sprintf("an administrator of the account allows the action %s to the %s; the system-defined policy "+
			"IAM ReadOnlyAccess should contain it", spelt(operations[o].action), map[holder]string{
			ownKeys:     "user whose key it is, once it is certain that the key is one of this account",
			assumedKeys: "agency that is assumed", mainKeys: c.mainWords(), firstKeys: "program's own identity",
		}[by])
	case rules.ReasonThrottled:
		return "lower cloud.rate, or run less often; other programs that use the same account count too"
	case rules.ReasonUnreachable:
		return fmt.Sprintf("check the endpoint's name and the way from this machine to %s; if that is right, the cloud itself "+
			"has a fault", c.site.at(o).host)
	case rules.ReasonTimeout:
		return remedyTimeout
	case rules.ReasonTLS:
		return fmt.Sprintf("check whose certificate %s shows; behind a proxy that opens TLS, configure its certificate "+
			"authority", c.site.at(o).host)
	case rules.ReasonBudget:
		if f.limit == "" {
			return "look into the account: nothing is expected to have that many; this limit is fixed, so that if it is right, it can " +
				"be raised only in the program itself: report it"
		}
		return fmt.Sprintf("look into the account: no account is expected to have that many; raise %s if it is right", f.limit)
	default:
		if f.status >= http.StatusInternalServerError {
			return "this is a fault of the cloud, and nothing that an administrator of the account grants mends it; the next run asks again: " +
				"if it lasts, open a ticket with the cloud's support about the request id"
		}
		return fmt.Sprintf("check that %s is %s and that nothing on the way answers in its place; if it lasts, ask the "+
			"cloud's support, with the request id where there is one", c.site.at(o).host, operations[o].service.title())
	}
}

// doubtRemedy says what the operator can do about answers each of which is whole, and which together are no evidence.
func (c *Cloud) doubtRemedy(r rules.Reason) string {
	switch r {
	case rules.ReasonDisagree:
		return "if something was changed in the account a moment ago, the next reading settles it; if it lasts, compare with the " +
			"IAM console and ask the cloud's support, with the request id where there is one"
	case rules.ReasonAmbiguous:
		return "look on the IAM console which agencies of that name the account has; if it shows only one, ask the cloud's support"
	default:
		return c.remedy(opAgencies, &fault{reason: r}, ownKeys)
	}
}

// mainWords is what the main identity is called where somebody is to do something about it.
func (c *Cloud) mainWords() string {
	if c.first == nil {
		return c.mainTitle()
	}
	return fmt.Sprintf("%s (the chain's agency %q)", c.mainTitle(), c.cfg.Main.Chain.Access.Agency)
}

// mainTitle tells the main identity of a Writer from the one that reads.
func (c *Cloud) mainTitle() string {
	if c.writes != "" {
		return "repair identity"
	}
	return "main identity"
}

// letIn says what lets an agency be assumed, by whom on either side.
func (c *Cloud) letIn(o op, by holder) string {
	whose, from, who, rights := "the account", c.main.AccountID, c.mainWords(), "authorizes it with IAM ReadOnlyAccess"
	if c.writes != "" {
		rights = fmt.Sprintf("authorizes it with the policy of repair-%s.json of deploy/iam", c.writes)
	}
	if by == firstKeys {
		whose, from, who = "account "+c.main.AccountID, c.first.AccountID, "program's own identity"
		rights = "lets it assume the agencies of the accounts that are " + map[bool]string{true: "repaired", false: "read"}[c.writes != ""]
	}
	if o == opAssumeSTS {
		return fmt.Sprintf("an administrator of %s creates the agency or trust agency, lets it trust account %s, with the external id if it asks "+
			"for one, and %s; an administrator of account %s allows the %s the action %s on it", whose, from, rights, from, who, operations[o].action)
	}
	return fmt.Sprintf("an administrator of %s creates the agency, lets it trust account %s and %s; an administrator of account %s gives the %s "+
		"Agent Operator, or a policy that allows %s on that agency", whose, from, rights, from, who, operations[o].action)
}

// keyAdvice says what to look at when the cloud refused a key: it depends on where the key came from.
func (c *Cloud) keyAdvice(by holder) string {
	m := c.main
	switch {
	case by == ownKeys:
		return "check that the account's access key exists, is enabled and is spelt right"
	case by == assumedKeys:
		return "check that the agency that was assumed still exists and still trusts the " + c.mainTitle() + "'s account"
	case by == firstKeys:
		m = c.first
	}
	switch {
	case m.care != "":
		return m.care
	case m.From != "":
		return fmt.Sprintf("check that %s's access key, which is from %s, exists, is enabled and is one of account %s", m.title, m.From, m.AccountID)
	}
	return fmt.Sprintf("check that %s's access key exists, is enabled, is spelt right and is one of account %s", m.title, m.AccountID)
}

package simcloud

import (
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// fault is one way in which a gateway fails. A fault that has instead takes the request's place: nothing is carried out.
// Any other lets the cloud carry the request out and spoils what it answers, or how that is sent.
type fault struct {
	style string
	needs need
	// instead makes the answer of a request that never reaches the service.
	instead func(*call) answer
	// cut says how lists are cut into pages.
	cut cut
	// spoil changes the real answer.
	spoil func(*call, answer) answer
	// send delivers it; nil is call.deliver. Nothing arrives where mute says so.
	send func(*call, http.ResponseWriter, answer)
	mute bool
}

// faults are the styles of failures, and what each of them does; docs/simcloud.md has the same table for readers.
var faults = [...]fault{
	// A gateway that is not the cloud.
	{style: "html_502", instead: fixed(http.StatusBadGateway, "text/html",
		"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>\r\n")},
	{style: "html_200", instead: fixed(http.StatusOK, "text/html",
		"<html><head><title>Sign in</title></head><body>Sign in to use this network.</body></html>\r\n")},
	{style: "empty_200", instead: fixed(http.StatusOK, "", "")},
	{style: "object_200", instead: fixed(http.StatusOK, "", "{}")},
	{style: "null_200", instead: fixed(http.StatusOK, "", "null")},
	{style: "redirect_302", instead: func(x *call) answer { return redirect(x.c.site + "/maintenance") }},
	{style: "redirect_metadata", instead: func(*call) answer {
		return redirect("http://169.254.169.254/openstack/latest/securitykey")
	}},

	// Refusals, in the form of the service that was asked.
	{style: "status_400", instead: refusing(http.StatusBadRequest)},
	{style: "status_401", instead: refusing(http.StatusUnauthorized)},
	{style: "status_403", instead: refusing(http.StatusForbidden)},
	{style: "status_404", instead: refusing(http.StatusNotFound)},
	{style: "status_429", instead: refusing(http.StatusTooManyRequests)},
	{style: "status_500", instead: refusing(http.StatusInternalServerError)},
	{style: "status_503", instead: refusing(http.StatusServiceUnavailable)},
	{style: "error_200", instead: func(x *call) answer {
		a := x.denied()
		a.status = http.StatusOK
		return a
	}},
	{style: "key_expired", needs: temporaryKey, instead: (*call).expireKey},

	// The connection.
	{style: "hang", send: hang, mute: true},
	{style: "reset", send: func(_ *call, w http.ResponseWriter, _ answer) { reset(w) }, mute: true},
	{style: "reset_mid_body", needs: aBody, send: resetMidBody},
	{style: "slow_body", needs: aBody, send: slowBody},
	{style: "drip", needs: aBody, send: drip},
	{style: "short_body", needs: aBody, spoil: func(_ *call, a answer) answer { a.missing = 1; return a }},
	{style: "truncated", needs: aBody, spoil: func(_ *call, a answer) answer {
		a.body = a.body[:len(a.body)/2]
		return a
	}},

	// The status of an answer that is right otherwise.
	{style: "status_202", spoil: renumber(http.StatusAccepted)},
	{style: "status_204", spoil: renumber(http.StatusNoContent)},
	{style: "status_206", spoil: renumber(http.StatusPartialContent)},
	{style: "status_304", spoil: renumber(http.StatusNotModified)},

	// The encoding of the body.
	{style: "gzip", needs: aBody, spoil: good(func(_ *call, a answer) answer {
		a.body, a.encoding = zip(a.body), "gzip"
		return a
	})},
	{style: "gzip_bomb", needs: aBody, spoil: good(func(_ *call, a answer) answer {
		// Members of a gzip stream follow each other: a reader that goes through with it finds the answer behind the blanks.
		a.body, a.encoding = slices.Concat(bomb(), zip(a.body)), "gzip"
		return a
	})},
	{style: "huge_body", needs: aBody, spoil: document(hugeBody)},
	{style: "trailing_bytes", needs: aBody, spoil: good(func(_ *call, a answer) answer {
		a.body = slices.Concat(a.body, []byte(" {}"))
		return a
	})},
	{style: "deep_json", needs: aBody, spoil: document(func(_ *call, a answer, o object) answer {
		return a.with(o.prepend("nested", []byte(strings.Repeat("[", deepJSON)+strings.Repeat("]", deepJSON))))
	})},
	{style: "invalid_utf8", needs: aBody, spoil: document(invalidUTF8)},
	{style: "duplicate_key", needs: aBody, spoil: document(duplicateKey)},
	{style: "wrong_case_key", needs: aBody, spoil: document(func(x *call, a answer, o object) answer {
		o.member(x.op.answers.key).key = strings.ToUpper(x.op.answers.key)
		return a.with(o)
	})},
	{style: "wrong_type", needs: aBody, spoil: document(func(x *call, a answer, o object) answer {
		m := o.member(x.op.answers.key)
		m.value = mustJSON(string(m.value))
		return a.with(o)
	})},

	// The rows of a list.
	{style: "null_list", needs: aList, spoil: document(func(x *call, a answer, o object) answer {
		o.member(x.op.answers.key).value = []byte("null")
		return a.with(o)
	})},
	{style: "empty_list", needs: aList, spoil: document(emptyList)},
	{style: "many_rows", needs: aList, spoil: document(manyRows)},
	{style: "no_id", needs: aList, spoil: rows(noID)},
	{style: "same_id", needs: aList, spoil: rows(sameID)},
	{style: "foreign_rows", needs: anOwner, spoil: rows(foreignRows)},
	{style: "count_off", needs: aCount, spoil: document(func(x *call, a answer, o object) answer {
		x.recount(o, func(n int) int { return n + 1 })
		return a.with(o)
	})},
	{style: "page_loop", needs: pages, cut: looped, spoil: document(pageLoop)},
	{style: "page_overlap", needs: pages, cut: overlapping},
}

// The sizes of what is too large.
const (
	hugeSize = 256 << 20 // bytes, of a huge body and of an unpacked bomb
	deepJSON = 100_000   // arrays within each other
	manySize = 200_000   // rows
)

// failureStyles are the names of the faults.
func failureStyles() []string {
	var out []string
	for i := range faults {
		out = append(out, faults[i].style)
	}
	return out
}

// findFault returns the fault of that style; nil when there is none.
func findFault(style string) *fault {
	for i := range faults {
		if faults[i].style == style {
			return &faults[i]
		}
	}
	return nil
}

// need is what there must be for a fault to make sense. Requests without it are passed over: they do not fail, and are
// not counted among those that fit.
type need uint8

const (
	anyRequest need = iota
	aBody
	aList
	anOwner
	aCount
	pages
	temporaryKey
)

// needs are the needs in words, as problems and docs/simcloud.md have them.
var needs = [...]string{"nothing", "a body", "a list", "rows with an owner", "a count", "pages", "a temporary key"}

func (n need) String() string { return needs[n] }

// of says whether the operation has what is needed.
func (n need) of(op *operation) bool {
	a := op.answers
	switch n {
	case aBody:
		return a.key != ""
	case aList:
		return a.id != ""
	case anOwner:
		return a.owner != ""
	case aCount:
		return a.count != ""
	case pages:
		return a.pages
	}
	return true
}

// failure is a Failure with the account and the fault resolved, and the counts of the requests that it fitted and broke.
type failure struct {
	Failure
	account *account
	fault   *fault
	fitted  atomic.Int64
	broke   atomic.Int64
}

// fails says whether the request is to fail, and counts it.
func (f *failure) fails(x *call) bool {
	if f.account != nil && f.account != x.account || f.Operation != "" && f.Operation != x.op.name ||
		!f.fault.needs.of(x.op) || f.fault.needs == temporaryKey && x.key.session == nil {
		return false
	}
	for name, want := range f.Query {
		if value, _ := x.get(name); value != want {
			return false
		}
	}
	n := int(f.fitted.Add(1)) - f.Skip
	every := max(f.Every, 1)
	return n > 0 && n%every == 0 && (f.Times == 0 || n/every <= f.Times)
}

// settle checks the failure and makes it ready for use.
func (f Failure) settle(c *Cloud, problem func(at, format string, args ...any)) *failure {
	r := &failure{Failure: f, fault: findFault(f.Style)}
	if f.Account != "" {
		if r.account = c.findAccount(f.Account); r.account == nil {
			problem(".account", "names no account of the organization: %q; write the name or the id of one", f.Account)
		}
	}
	operation := c.operationIndex(f.Operation)
	if f.Operation != "" && operation < 0 {
		problem(".operation", "names no operation of the cloud: %q; write the SDK's name, ListAgencies for instance",
			f.Operation)
	}
	if _, nameless := f.Query[""]; nameless {
		problem(".query", "has a parameter without a name; write name: value")
	}
	switch {
	case r.fault == nil:
		problem(".style", "is %q; write one of %s", f.Style, strings.Join(failureStyles(), ", "))
	case operation >= 0 && !r.fault.needs.of(&c.operations[operation]):
		problem(".style", "is %q, which needs %s, and %s answers with none; write another style, or an operation that does, "+
			"%s for instance", f.Style, r.fault.needs, f.Operation, c.namesWith(r.fault.needs)[0])
	}
	if f.Skip < 0 || f.Times < 0 || f.Every < 0 {
		problem("", "has a negative skip, times or every; write 0 or more")
	}
	return r
}

// namesWith returns the operations that have what a fault needs.
func (c *Cloud) namesWith(n need) []string {
	var out []string
	for i := range c.operations {
		if n.of(&c.operations[i]) {
			out = append(out, c.operations[i].name)
		}
	}
	return out
}

// failing returns how the request is to fail; nil for not at all.
func (x *call) failing() *fault {
	for _, f := range x.s.failures {
		if f.fails(x) {
			f.broke.Add(1)
			return f.fault
		}
	}
	return nil
}

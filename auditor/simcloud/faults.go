package simcloud

import (
	"maps"
	"net/http"
	"strings"
)

// fault is one way in which a gateway fails. With instead, the request does not reach the service: nothing is carried
// out. Any other fault lets it be carried out, and spoils what is answered or how that is sent.
type fault struct {
	style string
	needs need
	// instead makes the answer to what is not carried out.
	instead func(*call) answer
	// cut says how lists are cut into pages.
	cut cut
	// spoil changes the real answer.
	spoil func(*call, answer) answer
	// send sends the real answer in its own way; with mute, nothing of it arrives.
	send func(*call, http.ResponseWriter, answer)
	mute bool
}

// faults are the styles of failures, and what each of them does. docs/simcloud.md has this table in words; the functions
// are in spoil.go.
var faults = [...]fault{
	// Something else answers.
	{style: "html_502", instead: fixed(http.StatusBadGateway, "text/html", badGatewayPage)},
	{style: "html_200", instead: fixed(http.StatusOK, "text/html", signInPage)},
	{style: "empty_200", instead: fixed(http.StatusOK, "", "")},
	{style: "object_200", instead: fixed(http.StatusOK, "", "{}")},
	{style: "null_200", instead: fixed(http.StatusOK, "", "null")},
	{style: "redirect_302", instead: func(x *call) answer { return redirect(x.c.site + "/maintenance") }},
	{style: "redirect_metadata", instead: func(*call) answer { return redirect(metadataURL) }},

	// The cloud refuses.
	{style: "status_400", instead: refusing(http.StatusBadRequest)},
	{style: "status_401", instead: refusing(http.StatusUnauthorized)},
	{style: "status_403", instead: refusing(http.StatusForbidden)},
	{style: "status_404", instead: refusing(http.StatusNotFound)},
	{style: "status_429", instead: refusing(http.StatusTooManyRequests)},
	{style: "status_500", instead: refusing(http.StatusInternalServerError)},
	{style: "status_503", instead: refusing(http.StatusServiceUnavailable)},
	{style: "error_200", instead: (*call).errorAs200},
	{style: "not_done", needs: aGrant, instead: (*call).asDone},
	{style: "done_500", needs: aGrant, spoil: doneButFailed},
	{style: "key_expired", needs: temporaryKey, instead: (*call).expireKey},

	// The connection breaks.
	{style: "hang", send: hang, mute: true},
	{style: "reset", send: resetAtOnce, mute: true},
	{style: "reset_mid_body", needs: aBody, send: resetMidBody},
	{style: "slow_body", needs: aBody, send: slowBody},
	{style: "drip", needs: aBody, send: drip},
	{style: "short_body", needs: aBody, spoil: shortBody},
	{style: "surplus", needs: aBody, send: surplus},
	{style: "truncated", needs: aBody, spoil: truncated},

	// The status is wrong.
	{style: "status_202", spoil: renumbered(http.StatusAccepted)},
	{style: "status_204", spoil: renumbered(http.StatusNoContent)},
	{style: "status_206", spoil: renumbered(http.StatusPartialContent)},
	{style: "status_304", spoil: renumbered(http.StatusNotModified)},

	// The body is wrong.
	{style: "gzip", needs: aBody, spoil: onSuccess(gzipped)},
	{style: "gzip_bomb", needs: aBody, spoil: onSuccess(gzipBomb)},
	{style: "huge_body", needs: aBody, spoil: onSuccess(hugeBody)},
	{style: "trailing_bytes", needs: aBody, spoil: onSuccess(trailingBytes)},
	{style: "deep_json", needs: aBody, spoil: onSuccess(deepJSON)},
	{style: "invalid_utf8", needs: aBody, spoil: onSuccess(invalidUTF8)},
	{style: "duplicate_key", needs: aBody, spoil: onObject(duplicateKey)},
	{style: "wrong_case_key", needs: aBody, spoil: onObject(wrongCaseKey)},
	{style: "wrong_type", needs: aBody, spoil: onObject(wrongType)},

	// The list is wrong.
	{style: "null_list", needs: aList, spoil: onObject(nullList)},
	{style: "empty_list", needs: aList, spoil: onObject(emptyList)},
	{style: "many_rows", needs: aList, spoil: onObject(manyRows)},
	{style: "no_id", needs: aList, spoil: onRows(noID)},
	{style: "same_id", needs: aList, spoil: onRows(sameID)},
	{style: "foreign_rows", needs: anOwner, spoil: onRows(foreignRows)},
	{style: "count_off", needs: aCount, spoil: onObject(countOff)},
	{style: "page_loop", needs: pages, cut: looped, spoil: onObject(pageLoop)},
	{style: "page_overlap", needs: pages, cut: overlapping},
	{style: "ends_early", needs: pages, cut: ending, spoil: onObject(endsEarly)},
	{style: "missing_row", needs: aList, spoil: onRows(missingRow)},
	{style: "repeated_row", needs: aList, spoil: onRows(repeatedRow)},
	{style: "number_time", needs: aTime, spoil: onRows(numberTime)},

	// The temporary keys are wrong.
	{style: "foreign_keys", needs: theKeys, spoil: onKeys(foreignKeys)},
	{style: "expired_keys", needs: theKeys, spoil: onKeys(expiredKeys)},
	{style: "garbage_keys", needs: theKeys, spoil: onKeys(garbageKeys)},
	{style: "no_expiry", needs: theKeys, spoil: onKeys(noExpiry)},
}

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
	aTime
	theKeys
	aGrant
)

// needs are the needs in words, as problems and docs/simcloud.md have them.
var needs = [...]string{"nothing", "a body", "a list", "rows with an owner", "a count", "pages", "a temporary key",
	"rows with a time", "new keys", "a change of grants"}

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
	case aTime:
		return a.time != ""
	case theKeys:
		return a.keys
	case aGrant:
		return doneWith[op.name] != 0
	case temporaryKey:
		return op.service != metadataService
	}
	return true
}

// failure is a Failure made ready for use, with its fault.
type failure struct {
	Failure
	chooser
	fault *fault
}

// fails says whether the request is to fail, and counts it.
func (f *failure) fails(x *call) bool {
	if !f.fault.needs.of(x.op) || f.fault.needs == temporaryKey && x.key.session == nil {
		return false
	}
	return f.chooses(x)
}

// FailureCount is how often one of the failures in force has happened.
type FailureCount struct {
	Failure
	// Fitted counts the requests that it chose, Failed those of them that failed. What an earlier failure of the list has
	// taken is in neither.
	Fitted int `json:"fitted"`
	Failed int `json:"failed"`
}

// Failures returns the failures in force, in their order, with what they have done since the settings were made.
func (c *Cloud) Failures() []FailureCount {
	var out []FailureCount
	for _, f := range c.settings.Load().failures {
		out = append(out, FailureCount{f.Failure.clone(), int(f.fitted.Load()), int(f.chosen.Load())})
	}
	return out
}

func (f Failure) clone() Failure {
	f.Query = maps.Clone(f.Query)
	return f
}

func cloneFailures(in []Failure) []Failure {
	var out []Failure
	for _, f := range in {
		out = append(out, f.clone())
	}
	return out
}

// settle checks the failure and makes it ready for use.
func (f Failure) settle(c *Cloud, problem func(at, format string, args ...any)) *failure {
	r := &failure{Failure: f, fault: findFault(f.Style)}
	r.operation, r.query, r.skip, r.every, r.times = f.Operation, f.Query, f.Skip, f.Every, f.Times
	r.chooser.settle(c, f.Account, problem)
	operation := c.operationIndex(f.Operation)
	switch {
	case r.fault == nil:
		problem(".style", "is %q; write one of %s", f.Style, strings.Join(failureStyles(), ", "))
	case operation >= 0 && !r.fault.needs.of(&c.operations[operation]):
		problem(".style", "is %q, which needs %s, and %s answers with none; write another style, or an operation that does, "+
			"%s for instance", f.Style, r.fault.needs, f.Operation, c.namesWith(r.fault.needs)[0])
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
			return f.fault
		}
	}
	return nil
}

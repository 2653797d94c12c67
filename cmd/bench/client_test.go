package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// cloud answers the six requests for one agency and keeps what was asked, as method, path and query.
type cloud struct {
	mu    sync.Mutex
	asked []string
	auth  map[string]bool
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	c.asked = append(c.asked, r.Method+" "+r.URL.Path+"?"+r.URL.Query().Encode())
	c.auth[strings.Split(r.Header.Get("Authorization"), ",")[0]] = true
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(r.URL.Path, "/agencies"):
		fmt.Fprint(w, `{"agencies":[{"id":"a1","name":"ServiceAgencyForCOC"}]}`)
	case strings.HasSuffix(r.URL.Path, "/role-assignments"):
		fmt.Fprint(w, `{"total_num":0,"role_assignments":[]}`)
	default:
		fmt.Fprint(w, `{"attached_policies":[],"page_info":{"current_count":0}}`)
	}
}

// TestClientsSendTheSameRequests holds the comparison to its one condition.
func TestClientsSendTheSameRequests(t *testing.T) {
	f := fleet{Agency: "ServiceAgencyForCOC", Accounts: []member{{ID: "d1", Name: "one", Access: "ak", Secret: "sk", AgencyID: "a1"}}}
	want := []string{
		"GET /v3.0/OS-AGENCY/agencies?domain_id=d1&name=ServiceAgencyForCOC&page=1&per_page=500",
		"GET /v3.0/OS-PERMISSION/role-assignments?domain_id=d1&is_inherited=false&page=1&per_page=50&scope=domain&subject.agency_id=a1",
		"GET /v3.0/OS-PERMISSION/role-assignments?domain_id=d1&is_inherited=true&page=1&per_page=50&scope=domain&subject.agency_id=a1",
		"GET /v3.0/OS-PERMISSION/role-assignments?domain_id=d1&page=1&per_page=50&scope=enterprise_project&subject.agency_id=a1",
		"GET /v3.0/OS-PERMISSION/role-assignments?domain_id=d1&page=1&per_page=50&scope=project&subject.agency_id=a1",
		"GET /v5/agencies/a1/attached-policies?limit=200",
	}
	for _, client := range []string{clientSDK, clientHTTP, clientFanout} {
		t.Run(client, func(t *testing.T) {
			c := &cloud{auth: map[string]bool{}}
			server := httptest.NewServer(c)
			defer server.Close()
			f.URL = server.URL
			var err error
			if client == clientSDK {
				err = f.readBySDK(0, server.Client().Transport)
			} else {
				var signed [][]*http.Request
				if signed, err = f.sign(); err == nil {
					err = send(t.Context(), server.Client().Transport, signed[0], client == clientFanout)
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(c.asked)
			if !slices.Equal(c.asked, want) {
				t.Errorf("got requests\n%s\nwant\n%s", strings.Join(c.asked, "\n"), strings.Join(want, "\n"))
			}
			if len(c.auth) != 1 || !c.auth["SDK-HMAC-SHA256 Access=ak"] {
				t.Errorf("got signatures by %v, want every request signed by the account's key", c.auth)
			}
		})
	}
}

func TestARefusedRequestFailsTheClient(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	f := fleet{URL: server.URL, Agency: "A", Accounts: []member{{ID: "d1", Access: "ak", Secret: "sk", AgencyID: "a1"}}}
	signed, err := f.sign()
	if err != nil {
		t.Fatal(err)
	}
	for _, fanout := range []bool{false, true} {
		if err := send(t.Context(), server.Client().Transport, signed[0], fanout); err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("fanout %t: got error %v, want one that says 404", fanout, err)
		}
	}
	if err := f.readBySDK(0, server.Client().Transport); err == nil {
		t.Error("the SDK's client took a 404 for an answer")
	}
}

func TestEachAccountIsReadOnceAndTheFirstErrorEndsIt(t *testing.T) {
	var seen [100]atomic.Int32
	if err := eachAccount(len(seen), 7, func(i int) error { seen[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range seen {
		if n := seen[i].Load(); n != 1 {
			t.Errorf("account %d was read %d times", i, n)
		}
	}
	broken := errors.New("broken")
	var read atomic.Int32
	err := eachAccount(1000, 4, func(int) error { read.Add(1); return broken })
	if !errors.Is(err, broken) || read.Load() > 4 {
		t.Errorf("got error %v after %d accounts, want broken and no more than one for each worker", err, read.Load())
	}
}

func TestMedianTakesEachQuantityByItself(t *testing.T) {
	got := median([]cost{{Wall: 3, CPU: 10, Peak: 1}, {Wall: 1, CPU: 30, Peak: 9}, {Wall: 2, CPU: 20, Peak: 5}})
	if want := (cost{Wall: 2, CPU: 20, Peak: 9}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

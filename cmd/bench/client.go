package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	iam3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	model3 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	iam5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"
)

// fleet is what a client has to read.
type fleet struct {
	// URL is the simulator's cloud port.
	URL      string   `json:"url"`
	Agency   string   `json:"agency"`
	Accounts []member `json:"accounts"`
}

// member is one account with the keys of its own reader. They open nothing but the simulator.
type member struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Access string `json:"access"`
	Secret string `json:"secret"`
	// AgencyID lets requests be signed before the agency was listed.
	AgencyID string `json:"agency_id"`
}

// runClient is one of the bare clients: it reads every account and writes what that cost.
func runClient(ctx context.Context, name, fleetFile string, workers int, out io.Writer) error {
	data, err := os.ReadFile(fleetFile)
	if err != nil {
		return err
	}
	var f fleet
	if err := json.Unmarshal(data, &f); err != nil {
		return fmt.Errorf("read %s: %w", fleetFile, err)
	}
	// One pool of connections for all, which is the best that a bare client can do.
	transport := &http.Transport{MaxIdleConnsPerHost: 5 * workers, DisableCompression: true}
	defer transport.CloseIdleConnections()

	var read func(int) error
	switch name {
	case clientSDK:
		read = func(i int) error { return f.readBySDK(i, transport) }
	case clientHTTP, clientFanout:
		signed, err := f.sign()
		if err != nil {
			return err
		}
		read = func(i int) error { return send(ctx, transport, signed[i], name == clientFanout) }
	default:
		return fmt.Errorf("no client is called %q", name)
	}

	before, from := cpu(), time.Now()
	err = eachAccount(len(f.Accounts), workers, read)
	c := cost{Wall: time.Since(from), CPU: cpu() - before}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(c)
}

// eachAccount calls read for every index below n, so many at a time, and returns the first error.
func eachAccount(n, workers int, read func(int) error) error {
	next := make(chan int)
	failed := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range next {
				if err := read(i); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var err error
feed:
	for i := range n {
		select {
		case next <- i:
		case err = <-failed:
			break feed
		}
	}
	close(next)
	wg.Wait()
	close(failed)
	for e := range failed {
		err = errors.Join(err, e)
	}
	return err
}

// reader is the SDK's clients for one account.
type reader struct {
	v3 *iam3.IamClient
	v5 *iam5.IamClient
}

func (f *fleet) reader(m member, transport http.RoundTripper) (*reader, error) {
	cred, err := global.NewCredentialsBuilder().WithAk(m.Access).WithSk(m.Secret).WithDomainId(m.ID).SafeBuild()
	if err != nil {
		return nil, err
	}
	client, err := iam3.IamClientBuilder().WithEndpoint(f.URL).WithCredential(cred).
		WithHttpConfig(config.DefaultHttpConfig().WithHttpRoundTripper(transport).WithUserAgent("agencyaudit-bench")).SafeBuild()
	if err != nil {
		return nil, err
	}
	return &reader{v3: iam3.NewIamClient(client), v5: iam5.NewIamClient(client)}, nil
}

// list is the first of the six requests: the account's agencies of the name.
func (r *reader) list(account, agency string) (*model3.ListAgenciesResponse, error) {
	page, perPage := int32(1), int32(500)
	return r.v3.ListAgencies(&model3.ListAgenciesRequest{DomainId: account, Name: &agency, Page: &page, PerPage: &perPage})
}

// planes are the other five, as functions that send one each.
func (r *reader) planes(account, agency string) []func() error {
	assignments := func(scope string, inherited *bool) func() error {
		page, perPage := int32(1), int32(50)
		return func() error {
			_, err := r.v3.ShowDomainRoleAssignments(&model3.ShowDomainRoleAssignmentsRequest{
				DomainId: account, SubjectAgencyId: &agency, Scope: &scope, IsInherited: inherited, Page: &page, PerPage: &perPage,
			})
			return err
		}
	}
	yes, no := true, false
	limit := int32(200)
	return []func() error{
		assignments("domain", &no), assignments("domain", &yes), assignments("project", nil), assignments("enterprise_project", nil),
		func() error {
			_, err := r.v5.ListAttachedAgencyPoliciesV5(&model5.ListAttachedAgencyPoliciesV5Request{AgencyId: agency, Limit: &limit})
			return err
		},
	}
}

// readBySDK reads one account as a loop over the SDK does: a client for the account, then one request after the other.
func (f *fleet) readBySDK(i int, transport http.RoundTripper) error {
	m := f.Accounts[i]
	r, err := f.reader(m, transport)
	if err != nil {
		return err
	}
	answer, err := r.list(m.ID, f.Agency)
	if err != nil {
		return err
	}
	if answer.Agencies == nil || len(*answer.Agencies) != 1 {
		return fmt.Errorf("account %s: not one agency %s", m.Name, f.Agency)
	}
	for _, plane := range r.planes(m.ID, (*answer.Agencies)[0].Id) {
		if err := plane(); err != nil {
			return err
		}
	}
	return nil
}

// sign returns the six requests of each account, ready to send. The SDK itself makes and signs them: it is given a
// transport that keeps the request and sends nothing.
func (f *fleet) sign() ([][]*http.Request, error) {
	signed := make([][]*http.Request, len(f.Accounts))
	for i, m := range f.Accounts {
		k := &keeper{}
		r, err := f.reader(m, k)
		if err != nil {
			return nil, err
		}
		_, _ = r.list(m.ID, f.Agency) // every call fails, with errKept
		for _, plane := range r.planes(m.ID, m.AgencyID) {
			_ = plane()
		}
		if len(k.kept) != 6 {
			return nil, fmt.Errorf("account %s: %d requests were signed instead of 6", m.Name, len(k.kept))
		}
		signed[i] = k.kept
	}
	return signed, nil
}

// keeper is a transport that keeps requests instead of sending them.
type keeper struct{ kept []*http.Request }

var errKept = errors.New("kept, not sent")

func (k *keeper) RoundTrip(r *http.Request) (*http.Response, error) {
	kept, err := http.NewRequest(r.Method, r.URL.String(), nil) //nolint:noctx // send gives it its context
	if err != nil {
		return nil, err
	}
	kept.Header = r.Header.Clone()
	k.kept = append(k.kept, kept)
	return nil, errKept
}

// send sends the six requests of one account and reads each answer to its end: one after the other, or, with fanout,
// the first alone and then the others at once.
func send(ctx context.Context, transport http.RoundTripper, requests []*http.Request, fanout bool) error {
	one := func(r *http.Request) error {
		res, err := transport.RoundTrip(r.WithContext(ctx))
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s: %s", r.Method, r.URL.Path, res.Status)
		}
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if !fanout {
		for _, r := range requests {
			if err := one(r); err != nil {
				return err
			}
		}
		return nil
	}
	if err := one(requests[0]); err != nil {
		return err
	}
	errs := make([]error, len(requests)-1)
	var wg sync.WaitGroup
	for i, r := range requests[1:] {
		wg.Go(func() { errs[i] = one(r) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// cpu is the time that this process spent computing so far, in user and system mode.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

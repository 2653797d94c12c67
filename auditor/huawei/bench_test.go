package huawei_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/global"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/config"
	iam "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	iam5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/agencyaudit/agencyaudit/auditor/huawei"
	"github.com/agencyaudit/agencyaudit/rules"
)

// canned answers from memory what a fake would answer, so that a benchmark measures the client alone.
type canned map[string]*httptest.ResponseRecorder

func newCanned(b *testing.B, f *fake) canned {
	b.Helper()
	answers := canned{}
	c, err := huawei.New(f.config(), nil)
	if err != nil {
		b.Fatal(err)
	}
	c.WrapTransport(func(http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			rec := httptest.NewRecorder()
			f.ServeHTTP(rec, r)
			f.mu.Lock()
			answers[r.URL.RequestURI()] = rec
			f.mu.Unlock()
			return rec.Result(), nil
		})
	})
	mustObserve(b, c, 0)
	return answers
}

func (a canned) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := a[r.URL.RequestURI()]
	return &http.Response{
		StatusCode: rec.Code, Header: rec.Header(), ContentLength: int64(rec.Body.Len()),
		Body: io.NopCloser(bytes.NewReader(rec.Body.Bytes())), Request: r,
	}, nil
}

// BenchmarkObserve is one steady observation, and BenchmarkBareSDK are the same six requests through the SDK alone, with
// a client that was made beforehand and without looking at the answers. The promise is 1.5 times the CPU at most.
func BenchmarkObserve(b *testing.B) {
	f := newFake(b, 1)
	answers := newCanned(b, f)
	c, err := huawei.New(f.config(), slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	c.WrapTransport(func(http.RoundTripper) http.RoundTripper { return answers })
	mustObserve(b, c, 0)
	base := baseline()
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := c.Observe(b.Context(), account(0), base, rules.Last{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSDK(b *testing.B) {
	f := newFake(b, 1)
	answers := newCanned(b, f)
	id := accountID(0)
	creds, err := global.NewCredentialsBuilder().WithAk("AK-" + id).WithSk("secret").WithDomainId(id).SafeBuild()
	if err != nil {
		b.Fatal(err)
	}
	hc, err := iam.IamClientBuilder().WithEndpoint(f.URL).WithCredential(creds).WithHttpConfig(
		config.DefaultHttpConfig().WithUserAgent("bench").WithHttpRoundTripper(answers)).SafeBuild()
	if err != nil {
		b.Fatal(err)
	}
	v3, v5 := iam.NewIamClient(hc), iam5.NewIamClient(hc)
	name, agencyID := coc, id32(agencyFrom)
	page, many, fifty, limit, no, yes := int32(1), int32(500), int32(50), int32(200), false, true
	domain, project, enterprise := "domain", "project", "enterprise_project"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v3.ListAgencies(&model.ListAgenciesRequest{DomainId: id, Name: &name, Page: &page, PerPage: &many}); err != nil {
			b.Fatal(err)
		}
		for _, q := range []struct {
			scope     *string
			inherited *bool
		}{{&domain, &no}, {&domain, &yes}, {&project, nil}, {&enterprise, nil}} {
			if _, err := v3.ShowDomainRoleAssignments(&model.ShowDomainRoleAssignmentsRequest{
				DomainId: id, SubjectAgencyId: &agencyID, Scope: q.scope, IsInherited: q.inherited, Page: &page, PerPage: &fifty,
			}); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := v5.ListAttachedAgencyPoliciesV5(&model5.ListAttachedAgencyPoliciesV5Request{AgencyId: agencyID, Limit: &limit}); err != nil {
			b.Fatal(err)
		}
	}
}

package huawei

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v3/model"
	model5 "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/iam/v5/model"

	"github.com/agencyaudit/agencyaudit/rules"
)

type none struct{ t *testing.T }

func (n none) RoundTrip(r *http.Request) (*http.Response, error) {
	n.t.Errorf("%s %s was sent", r.Method, r.URL)
	return nil, errors.New("sent")
}

// TestWritesDoNotLeave has the SDK try to change something through a wire.
func TestWritesDoNotLeave(t *testing.T) {
	c, err := New(Config{Endpoint: "https://iam.example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.transport = none{t}
	w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("a"), SecretKey: NewSecret("s")}, c.log)
	defer done()
	requests, err := w.dial("d1")
	if err != nil {
		t.Fatal(err)
	}
	clients, ok := requests.(sdk)
	if !ok {
		t.Fatalf("the requests are made by %T", requests)
	}
	for name, try := range map[string]func() error{
		"grant": func() error {
			_, err := clients.v3.AssociateAgencyWithDomainPermission(&model.AssociateAgencyWithDomainPermissionRequest{DomainId: "d1", AgencyId: "a", RoleId: "r"})
			return err
		},
		"revoke": func() error {
			_, err := clients.v3.RemoveAllProjectsPermissionFromAgency(&model.RemoveAllProjectsPermissionFromAgencyRequest{DomainId: "d1", AgencyId: "a", RoleId: "r"})
			return err
		},
		"delete": func() error {
			_, err := clients.v3.DeleteAgency(&model.DeleteAgencyRequest{AgencyId: "a"})
			return err
		},
		"attach": func() error {
			_, err := clients.v5.AttachAgencyPolicyV5(&model5.AttachAgencyPolicyV5Request{PolicyId: "p", Body: &model5.AttachAgencyPolicyReqBody{AgencyId: "a"}})
			return err
		},
		"a read that is not of the list": func() error {
			_, err := clients.v3.ShowAgency(&model.ShowAgencyRequest{AgencyId: "a"})
			return err
		},
		"an id that is a path": func() error {
			_, err := clients.v3.KeystoneShowPermission(&model.KeystoneShowPermissionRequest{RoleId: "../auth/domains/x"})
			return err
		},
	} {
		f, ok := errors.AsType[*fault](try())
		if !ok || f.reason != rules.ReasonRejected || !strings.Contains(f.detail, "not sent") {
			t.Errorf("%s: %v", name, f)
		}
	}
	// A request to another host is none of this program's either.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://evil.example.com/v3/roles", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.RoundTrip(r)
	if err == nil {
		resp.Body.Close()
		t.Error("sent to another host")
	}
	if n := w.sent.Load(); n != 0 {
		t.Errorf("%d requests counted", n)
	}
}

// TestHalfAKeyIsNotDialled: the SDK would ask the metadata service for the rest.
func TestHalfAKeyIsNotDialled(t *testing.T) {
	c, err := New(Config{Endpoint: "https://iam.example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []Keys{{}, {AccessKey: NewSecret("a")}, {SecretKey: NewSecret("s")}} {
		w, done := c.newWire(t.Context(), keys, c.log)
		if _, err := w.dial("d1"); err == nil {
			t.Errorf("dialled with %v", keys)
		}
		done()
	}
}

// TestWhatARefusedKeyCutsShortIsRefusedToo: otherwise an observation whose keys ended would be called slow, and not begun anew.
func TestWhatARefusedKeyCutsShortIsRefusedToo(t *testing.T) {
	c, err := New(Config{Endpoint: "https://iam.example.com"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.transport = none{t}
	w, done := c.newWire(t.Context(), Keys{AccessKey: NewSecret("a"), SecretKey: NewSecret("s")}, c.log)
	defer done()
	requests, err := w.dial("d1")
	if err != nil {
		t.Fatal(err)
	}
	w.stop(errKeyRefused)
	_, _, err = requests.domains(&model.KeystoneListAuthDomainsRequest{})
	if f := asFault(opDomains, err); f.reason != rules.ReasonUnauthenticated {
		t.Errorf("%v", f)
	}
	late := &rules.Unknown{Reason: rules.ReasonUnauthenticated}
	first := &rules.Unknown{Reason: rules.ReasonUnauthenticated, RequestID: "r1"}
	if u := worst([]error{&rules.Unknown{Reason: rules.ReasonDenied}, late, first}); u != first {
		t.Errorf("%v is shown, not what the cloud itself refused", u)
	}
}

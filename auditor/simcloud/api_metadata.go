package simcloud

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxTokenLife is how long a token of the metadata server may be good, in seconds.
const maxTokenLife = 21600

// defaultKeyLifetime is how long the keys are good that servers and pods get unless the organization says otherwise.
const defaultKeyLifetime = 6 * time.Hour

// noAgency is what the metadata server says to a server without an agency: clients tell by it that another token would
// not help.
const noAgency = "Please configure Cloud Service Agency first"

// instance is a server or a pod that gets the temporary keys of an agency.
type instance struct {
	account             *account
	name, agency, token string
	lasts               time.Duration
}

// instances checks the servers and the pods. Whether their agencies are there is seen when they ask for keys.
func (b *builder) instances(org *Organization) {
	b.c.pods = map[string]*instance{}
	one := func(i Instance, path, kind string, taken bool) *instance {
		out := &instance{account: b.c.findAccount(i.Account), name: i.Name, agency: i.Agency, lasts: i.KeyLifetime}
		switch {
		case !validID(i.Name):
			b.problem(path+".name", "is %q; write 1 to 64 letters, digits, hyphens and underscores", i.Name)
		case taken:
			b.problem(path+".name", "is %q, as another %s is called; give it another name", i.Name, kind)
		}
		if out.account == nil {
			b.problem(path+".account", "names no account: %q; write the name or the id of one", i.Account)
		}
		if i.Agency == "" {
			b.problem(path+".agency", "is missing; write the name of the agency whose keys the %s gets", kind)
		}
		if out.lasts == 0 {
			out.lasts = defaultKeyLifetime
		} else if out.lasts < 0 {
			b.problem(path+".key_lifetime", "is %v; write a duration of more than 0s", out.lasts)
		}
		return out
	}
	for i, decl := range org.Instances {
		in := one(decl, fmt.Sprintf("$.instances[%d]", i), "server", b.c.findInstance(decl.Name) != nil)
		b.c.instances = append(b.c.instances, in)
	}
	for i, decl := range org.Pods {
		path := fmt.Sprintf("$.pods[%d]", i)
		in := one(Instance{decl.Name, decl.Account, decl.Agency, decl.KeyLifetime}, path, "pod", b.c.pods[decl.Name] != nil)
		if in.token = decl.Token; in.token == "" {
			b.problem(path+".token", "is missing; write a made-up one")
		}
		b.c.pods[decl.Name] = in
		b.c.podNames = append(b.c.podNames, decl.Name)
	}
}

// findInstance returns the server of that name, or the first one for none; nil when there is none.
func (c *Cloud) findInstance(name string) *instance {
	for _, i := range c.instances {
		if name == "" || i.name == name {
			return i
		}
	}
	return nil
}

// declared is the server or pod as an organization has it.
func (i *instance) declared() Instance {
	return Instance{Name: i.name, Account: i.account.id, Agency: i.agency, KeyLifetime: i.lasts}
}

// metadataTokens are the tokens of the metadata server with their ends.
type metadataTokens struct {
	mu   sync.Mutex
	ends map[string]time.Time
}

// issue makes a token, and forgets those that are over.
func (m *metadataTokens) issue(now time.Time, lasts time.Duration) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ends == nil {
		m.ends = map[string]time.Time{}
	}
	for token, end := range m.ends {
		if !now.Before(end) {
			delete(m.ends, token)
		}
	}
	token := randomText(56)
	m.ends[token] = now.Add(lasts)
	return token
}

func (m *metadataTokens) good(token string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.ends[token])
}

// Metadata is what a server of the cloud finds at its link-local address, and what a pod finds at the address of its
// environment: temporary keys without a signature. The control port has it too.
//
//	PUT  /meta-data/latest/api/token     a token for the next one
//	GET  /openstack/latest/securitykey   keys of the agency of the server that the settings name
//	POST /pods/NAME                      keys of the agency of that pod
func (c *Cloud) Metadata() http.Handler {
	return loopbackOnly(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := c.settings.Load()
		if !wait(r.Context(), s.Latency) {
			return
		}
		x := &call{c: c, r: r, s: s, id: requestID(), now: c.now()}
		x.segments = strings.Split(strings.TrimPrefix(r.URL.Path, "/"), "/")
		x.op, x.params = c.metadataRoutes.find(r.Method, x.segments)
		if x.op == nil {
			x.send(w, x.plain(http.StatusNotFound, "404 Not Found"))
			return
		}
		x.instance = c.findInstance(s.Instance)
		if len(x.params) > 0 {
			x.instance = c.pods[x.params[0]]
		}
		if x.instance == nil {
			x.send(w, x.plain(http.StatusNotFound, "404 Not Found"))
			return
		}
		x.account = x.instance.account
		a := x.failOr(x.op.handle)
		x.count(a)
		x.send(w, a)
	}))
}

// plain is an error of the metadata server. Its form is our inference.
func (x *call) plain(status int, text string) answer {
	return answer{status: status, kind: "text/plain", body: []byte(text)}
}

// metadataToken gives a token for as long as the header says.
func (x *call) metadataToken() answer {
	if x.s.Switches.MetadataToken == "absent" {
		return x.plain(http.StatusNotFound, "404 Not Found")
	}
	seconds, err := decimal(x.r.Header.Get("X-Metadata-Token-Ttl-Seconds"))
	if err != nil || seconds < 1 || seconds > maxTokenLife {
		return x.plain(http.StatusBadRequest, "X-Metadata-Token-Ttl-Seconds must be 1 to "+strconv.Itoa(maxTokenLife))
	}
	a := ok([]byte(x.c.metadataTokens.issue(x.now, time.Duration(seconds)*time.Second)))
	a.kind = "text/plain"
	return a
}

// securityKey gives temporary keys of the server's agency.
func (x *call) securityKey() answer {
	token := x.r.Header.Get("X-Metadata-Token")
	need := x.s.Switches.MetadataToken == "required" || token != "" && x.s.Switches.MetadataToken == "optional"
	if need && !x.c.metadataTokens.good(token, x.now) {
		return x.plain(http.StatusUnauthorized, "401 Unauthorized")
	}
	k := x.instanceKey()
	if k == nil {
		return x.plain(http.StatusUnauthorized, noAgency)
	}
	return ok(mustJSON(map[string]any{"credential": map[string]string{
		"access": k.access, "secret": string(k.secret), "securitytoken": k.session.token, "expires_at": x.iamTime(k.session.expires),
	}}))
}

// podIdentity gives temporary keys of the pod's agency to whoever has its token, in the form that the SDK reads.
func (x *call) podIdentity() answer {
	if subtle.ConstantTimeCompare([]byte(x.r.Header.Get("Authorization")), []byte(x.instance.token)) != 1 {
		return x.plain(http.StatusUnauthorized, "401 Unauthorized")
	}
	k := x.instanceKey()
	if k == nil {
		return x.plain(http.StatusForbidden, noAgency)
	}
	urn, id := k.principal()
	return ok(mustJSON(map[string]any{
		"assumedAgency": map[string]string{"urn": urn, "id": id},
		"credentials": map[string]string{
			"accessKeyId": k.access, "secretAccessKey": string(k.secret), "securityToken": k.session.token,
			"expiration": x.iamTime(k.session.expires),
		},
		"subject": map[string]string{"namespace": "default", "serviceAccount": x.instance.name},
	}))
}

// iamTime is when temporary keys end, as IAM v3, the metadata server and pods are told.
func (x *call) iamTime(end time.Time) string {
	return end.Add(x.s.ClockOffset).Format("2006-01-02T15:04:05.000000Z")
}

// instanceKey makes a key of the agency of the server or pod. Without a valid agency that trusts a cloud service there is
// none.
func (x *call) instanceKey() *accessKey {
	i := x.instance
	for _, g := range i.account.truth() {
		if g.name == i.agency && g.serves() && !g.expired(x.now) && !x.s.closed(i.account) {
			return x.newSession(nil, "", i.account, g, i.lasts, i.name, ^operationSet(0))
		}
	}
	return nil
}

// serves says whether the agency is for cloud services, which hand its keys to servers and pods.
func (g *agency) serves() bool {
	if g.trustPolicy == nil {
		return g.trust.service
	}
	for _, p := range g.trustPolicy.principals {
		if strings.HasPrefix(p.text, servicePrefix) {
			return true
		}
	}
	return false
}

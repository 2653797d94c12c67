package simcloud

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// maxControlBody bounds what the control port reads.
const maxControlBody = 4 << 20

// secretText stands for every secret in what the control port shows.
const secretText = "<secret>"

// Control is the port of whoever steers the simulation; docs/simcloud.md describes it with examples. Everything is JSON
// with the keys of an organization file. It has no authentication, which is why it answers requests from loopback only,
// and only under a loopback name, so that no web page that is open on the machine can reach it.
//
//	GET  /healthz           200 as soon as the cloud answers
//	GET  /organization      the true state, secrets left out
//	GET  /policies          the catalogue of system-defined policies
//	POST /drift             one Drift
//	GET  /journal           every write that was accepted
//	GET  /counters          requests by account and operation
//	POST /counters/reset    sets them back to nothing
//	GET  /failures          the failures in force, with how often each has happened
//	GET  /settings          the settings in force
//	PUT  /settings          replaces them all; what is left out gets its default
//
// It also has everything of Metadata.
func (c *Cloud) Control() http.Handler {
	mux := http.NewServeMux()
	show := func(pattern string, get func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, get()) })
	}
	show("GET /healthz", func() any { return map[string]string{"status": "ok"} })
	show("GET /organization", func() any { return c.publicOrganization() })
	show("GET /policies", func() any { return c.Catalogue() })
	show("GET /journal", func() any { return append([]Write{}, c.Journal()...) })
	show("GET /counters", func() any { return append([]Counter{}, c.Counters()...) })
	show("GET /failures", func() any { return append([]FailureCount{}, c.Failures()...) })
	show("GET /events", func() any { return append([]EventCount{}, c.Events()...) })
	show("GET /settings", func() any { return writeSettings(c.Settings()) })
	mux.HandleFunc("POST /counters/reset", func(w http.ResponseWriter, _ *http.Request) {
		c.ResetCounters()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /drift", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Drift
			Settings *settingsJSON `json:"settings"`
		}
		applyBody(w, r, &in, "$", func() error {
			if in.Settings != nil {
				s, err := in.Settings.read()
				if err != nil {
					return err
				}
				in.Drift.Settings = &s
			}
			return c.Drift(in.Drift)
		})
	})
	mux.HandleFunc("PUT /settings", func(w http.ResponseWriter, r *http.Request) {
		var in settingsJSON
		applyBody(w, r, &in, "$.settings", func() error {
			s, err := in.read()
			if err != nil {
				return err
			}
			return c.SetSettings(s)
		})
	})
	mux.Handle("/meta-data/", c.Metadata())
	mux.Handle("/openstack/", c.Metadata())
	mux.Handle("/pods/", c.Metadata())
	return loopbackOnly(mux)
}

// loopbackOnly refuses requests that come from elsewhere, or that a web page sends under a name of its own.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		name, _, errHost := net.SplitHostPort(r.Host)
		if errHost != nil {
			name = r.Host
		}
		addr, errAddr := netip.ParseAddr(name)
		switch {
		case err == nil && !from.Addr().Unmap().IsLoopback():
			reply(w, http.StatusForbidden, failureText("the control port answers requests from this machine only"))
		case name != "localhost" && (errAddr != nil || !addr.Unmap().IsLoopback()):
			reply(w, http.StatusForbidden, failureText("the control port is reached as localhost or by a loopback address"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func failureText(s string) map[string]string { return map[string]string{"error": s} }

// applyBody decodes the body strictly and applies it: 204, or 400 with what is wrong. at is the place of the body.
func applyBody(w http.ResponseWriter, r *http.Request, into any, at string, apply func() error) {
	err := decodeControl(r, into, at)
	if err == nil {
		err = apply()
	}
	if err != nil {
		reply(w, http.StatusBadRequest, failureText(err.Error()))
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func decodeControl(r *http.Request, into any, at string) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errors.New("the content type must be application/json")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxControlBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the body: %w", err)
	case len(body) > maxControlBody:
		return fmt.Errorf("the body is longer than %d bytes", maxControlBody)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var all any
		if json.Unmarshal(body, &all) == nil {
			if unknown := unknownKey(all, reflect.TypeOf(into), at); unknown != nil {
				return unknown
			}
		}
		return fmt.Errorf("decode the body: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode the body: there is more after the JSON value")
	}
	return nil
}

// unknownKey is the fault of a key in a JSON value that a value of the type has no place for, as it is written of the same key in
// an organization file; nil when there is none.
func unknownKey(value any, t reflect.Type, at string) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	list, _ := value.([]any)
	for i := range list {
		if t.Kind() == reflect.Slice {
			if err := unknownKey(list[i], t.Elem(), strictyaml.Index(at, i)); err != nil {
				return err
			}
		}
	}
	object, _ := value.(map[string]any)
	if object == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var known []string
	types := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" && types[name] == nil {
			known, types[name] = append(known, name), f.Type
		}
	}
	if len(known) == 0 { // a time, which is no object
		return nil
	}
	for _, key := range sortedKeys(object) {
		i := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(name, key) }) // as the decoder does
		if i >= 0 {
			if err := unknownKey(object[key], types[known[i]], strictyaml.Key(at, known[i])); err != nil {
				return err
			}
			continue
		}
		near := strictyaml.Nearest(key, known)
		if near != "" {
			near = "did you mean " + near + "? "
		}
		return fmt.Errorf("%s: unknown key; %sthe keys here are %s", strictyaml.Key(at, key), near, strings.Join(known, ", "))
	}
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // an error means that the client is gone
}

// publicOrganization is the state without secrets, and with durations that people can read.
func (c *Cloud) publicOrganization() any {
	org := c.Organization()
	for i := range org.Accounts {
		for j := range org.Accounts[i].Users {
			for k := range org.Accounts[i].Users[j].Keys {
				org.Accounts[i].Users[j].Keys[k].Secret = secretText
			}
		}
	}
	for i := range org.Pods {
		org.Pods[i].Token = secretText
	}
	return struct {
		*Organization
		Settings settingsJSON `json:"settings"`
	}{org, writeSettings(org.Settings)}
}

// settingsJSON is Settings with durations as text.
type settingsJSON struct {
	Latency              duration            `json:"latency"`
	ReadAfterWriteDelay  duration            `json:"read_after_write_delay"`
	ReadAfterWriteDelays map[string]duration `json:"read_after_write_delays,omitempty"`
	ClockOffset          duration            `json:"clock_offset"`
	RateLimit            float64             `json:"rate_limit"`
	PageSize             int                 `json:"page_size"`
	Instance             string              `json:"instance"`
	Failures             []Failure           `json:"failures,omitempty"`
	Events               []Event             `json:"events,omitempty"`
	Switches             Switches            `json:"switches"`
}

// duration is text like 20ms; empty is 0.
type duration string

func writeSettings(s Settings) settingsJSON {
	out := settingsJSON{
		Latency: duration(s.Latency.String()), ReadAfterWriteDelay: duration(s.ReadAfterWriteDelay.String()),
		ClockOffset: duration(s.ClockOffset.String()),
		RateLimit:   s.RateLimit, PageSize: s.PageSize, Instance: s.Instance, Failures: s.Failures,
		Events: s.Events, Switches: s.Switches,
	}
	for name, d := range s.ReadAfterWriteDelays {
		if out.ReadAfterWriteDelays == nil {
			out.ReadAfterWriteDelays = map[string]duration{}
		}
		out.ReadAfterWriteDelays[name] = duration(d.String())
	}
	return out
}

func (s settingsJSON) read() (Settings, error) {
	out := Settings{
		RateLimit: s.RateLimit, PageSize: s.PageSize, Instance: s.Instance, Failures: s.Failures, Events: s.Events,
		Switches: s.Switches,
	}
	var errs []error
	parse := func(name string, d duration) time.Duration {
		if d == "" {
			return 0
		}
		v, err := time.ParseDuration(string(d))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s is %q; write a duration, 20ms for instance", name, d))
		}
		return v
	}
	out.Latency = parse("latency", s.Latency)
	out.ReadAfterWriteDelay = parse("read_after_write_delay", s.ReadAfterWriteDelay)
	out.ClockOffset = parse("clock_offset", s.ClockOffset)
	for _, name := range sortedKeys(s.ReadAfterWriteDelays) {
		if out.ReadAfterWriteDelays == nil {
			out.ReadAfterWriteDelays = map[string]time.Duration{}
		}
		out.ReadAfterWriteDelays[name] = parse("read_after_write_delays."+name, s.ReadAfterWriteDelays[name])
	}
	return out, errors.Join(errs...)
}

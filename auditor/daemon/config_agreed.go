package daemon

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/agencyaudit/agencyaudit/rules"
	"github.com/agencyaudit/agencyaudit/rules/baseline"
	"github.com/agencyaudit/agencyaudit/rules/strictyaml"
)

// WaiversConfig says which findings are accepted.
type WaiversConfig struct {
	// File is a file of waivers. Default: none.
	File string `yaml:"file"`
	// MaxAge is how long a waiver may last, from the day on which it was added; from 1d to 3650d. Default: 90d.
	MaxAge time.Duration `yaml:"max_age"`
	// WarnBefore is how long before its end a waiver is spoken of; from 0s to 365d. Default: 14d.
	WarnBefore time.Duration `yaml:"warn_before"`
}

// LoadedWaivers returns the waivers, in the order of their file, those that have ended among them.
func (c *Config) LoadedWaivers() []rules.Waiver { return slices.Clone(c.waivers) }

// checkAgreed loads what people agreed on beside the baselines: overlays and waivers.
func (c *configCheck) checkAgreed() {
	c.checkOverlays()
	w := c.cfg.Waivers
	if !validAge(w.MaxAge) {
		c.doc.Add("waivers.max_age", fmt.Sprintf("%s is out of range", rules.Span(w.MaxAge)), "write a duration from 1d to 3650d")
	}
	if w.WarnBefore < 0 || w.WarnBefore > 365*24*time.Hour {
		c.doc.Add("waivers.warn_before", fmt.Sprintf("%s is out of range", rules.Span(w.WarnBefore)), "write a duration from 0s to 365d")
	}
	if !c.doc.Has("waivers.file") {
		return
	}
	const at = "waivers.file"
	if w.File == "" {
		c.doc.Add(at, "is empty", "name a file of waivers, relative to this file's folder, or delete it")
		return
	}
	waivers, err := c.cfg.ReadWaivers(c.path(w.File))
	if unread, ok := errors.AsType[*unreadable](err); ok {
		c.doc.Add(at, unread.Error(), "name a file of waivers, relative to this file's folder")
		return
	}
	if c.foreign(at, err) {
		c.cfg.waivers = waivers
	}
}

// validAge says whether waivers may be allowed to last so long.
func validAge(d time.Duration) bool { return d >= 24*time.Hour && d <= 3650*24*time.Hour }

// unreadable says that a file cannot be read.
type unreadable struct{ path, why string }

// Error says why, with the file.
func (u *unreadable) Error() string {
	return fmt.Sprintf("the file %q cannot be read: %s", u.path, u.why)
}

// WaiversFile is the path of the file of waivers; empty when there is none.
func (c *Config) WaiversFile() string {
	if c.Waivers.File == "" {
		return ""
	}
	return c.path(c.Waivers.File)
}

// ReadWaivers reads a file of waivers as the configuration would. The error is a strictyaml.Faults with everything that is wrong with
// what it says, or says that the file cannot be read.
func (c *Config) ReadWaivers(path string) ([]rules.Waiver, error) {
	data, err := readAll(c.open, path)
	if err != nil {
		return nil, &unreadable{path, reason(err)}
	}
	return c.ParseWaivers(path, data)
}

// ParseWaivers is ReadWaivers for the text of such a file.
func (c *Config) ParseWaivers(path string, data []byte) ([]rules.Waiver, error) {
	most := c.Waivers.MaxAge
	if !validAge(most) {
		most = baseline.DefaultWaiverAge // which has its own fault
	}
	waivers, doc, err := baseline.LoadWaivers(path, data, most)
	if err != nil {
		return nil, err
	}
	a := agreement{config: c, doc: doc}
	for i := range waivers {
		w := &waivers[i]
		w.WarnAt = w.Expires.Add(-c.Waivers.WarnBefore)
		for j, name := range w.Baselines {
			a.ofABaseline(fmt.Sprintf("waivers[%d].baselines[%d]", i, j), name)
		}
		a.impostors(fmt.Sprintf("waivers[%d].rules", i), w)
		a.readTags(fmt.Sprintf("waivers[%d]", i), w.Selector)
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return waivers, nil
}

func (c *configCheck) checkOverlays() {
	var overlays []baseline.Overlay
	for i, ref := range c.cfg.Overlays {
		at := strictyaml.Index("overlays", i)
		if slices.Contains(c.cfg.Overlays[:i], ref) && ref != "" {
			c.doc.Add(at, fmt.Sprintf("%q is listed twice", ref), "delete one of the two")
			continue
		}
		data, path, ok := c.agreed(at, ref, "an overlay")
		if !ok {
			continue
		}
		o, doc, err := baseline.LoadOverlay(path, data)
		if !c.foreign(at, err) {
			continue
		}
		a := agreement{config: c.cfg, doc: doc}
		a.ofABaseline("baseline", o.Baseline)
		for j := range o.Allowed {
			a.readTags(fmt.Sprintf("allow[%d]", j), o.Allowed[j].Selector)
		}
		if !c.foreign(at, doc.Err()) {
			continue
		}
		overlays = append(overlays, o)
	}
	c.cfg.overlays = overlays
	for i := range c.cfg.baselines {
		c.cfg.baselines[i] = c.cfg.WithOverlays(c.cfg.baselines[i])
	}
}

// WithOverlays is a baseline with what the configuration's overlays of its name allow.
func (c *Config) WithOverlays(b rules.Baseline) rules.Baseline { return baseline.Apply(b, c.overlays) }

// agreed reads a file that the configuration names.
func (c *configCheck) agreed(at, name, what string) (data []byte, path string, ok bool) {
	if name == "" {
		c.doc.Add(at, "is empty", "name "+what+", relative to this file's folder, or delete it")
		return nil, "", false
	}
	path = c.path(name)
	data, err := readAll(c.open, path)
	if err != nil {
		c.doc.Add(at, fmt.Sprintf("the file %q cannot be read: %s", path, reason(err)), "name "+what+", relative to this file's folder")
		return nil, "", false
	}
	return data, path, true
}

// foreign adds the faults of a file that the configuration names, and says whether there are none.
func (c *configCheck) foreign(at string, err error) bool {
	var faults strictyaml.Faults
	switch {
	case errors.As(err, &faults):
		c.others = append(c.others, faults...)
	case err != nil:
		c.doc.Add(at, err.Error(), "report this as a bug of agencyaudit")
	}
	return err == nil
}

// agreement checks a file of waivers or an overlay against the configuration that it is for.
type agreement struct {
	config *Config
	doc    *strictyaml.Document
}

// ofABaseline adds the fault that the file is about a baseline that is not configured.
func (a *agreement) ofABaseline(at, name string) {
	var names []string
	for i := range a.config.baselines {
		names = append(names, a.config.baselines[i].Name)
	}
	if slices.Contains(names, name) || len(names) < len(a.config.Baselines) { // one that cannot be read has a fault of its own
		return
	}
	a.doc.Add(at, fmt.Sprintf("no baseline called %q is configured", name),
		didYouMean(name, names)+"the configured ones are "+strings.Join(names, ", "))
}

// impostors adds the fault that a waiver names the policies that others pass themselves off as, by which it accepts none of these.
func (a *agreement) impostors(at string, w *rules.Waiver) {
	i := slices.Index(w.Rules, rules.RuleImpostor)
	if i < 0 || len(w.Policies) == 0 || slices.ContainsFunc(w.Policies, func(p string) bool { return !a.required(p) }) {
		return
	}
	a.doc.Add(strictyaml.Index(at, i), rules.RuleImpostor+" is about custom policies, which are known by their ids alone, "+
		"so that with names in policies nothing of it would be accepted",
		"write the ids that agencyaudit explain shows, or write another waiver for it")
}

// required says whether a policy of that name satisfies what some baseline requires.
func (a *agreement) required(policy string) bool {
	return slices.ContainsFunc(a.config.baselines, func(b rules.Baseline) bool {
		return slices.ContainsFunc(b.Required, func(r rules.Requirement) bool { return r.Policy == policy || slices.Contains(r.Accepts, policy) })
	})
}

// readTags adds the fault that a selector asks for what accounts are read without, so that it could never fit.
func (a *agreement) readTags(at string, s rules.Selector) {
	o := a.config.Accounts.Organization
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		if !o.Enabled || !slices.Contains(o.Labels.Tags, key) {
			a.doc.Add(strictyaml.Key(at+".tags", key), "accounts are read without this tag, so that none could fit",
				"add the key to accounts.organization.labels.tags in the configuration")
		}
	}
	if len(s.OUs) > 0 && !o.Enabled {
		a.doc.Add(at+".ous", "accounts are in no organizational unit, since no organization is configured",
			"set accounts.organization.enabled in the configuration, or choose by accounts")
	}
}

package simcloud

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// settings are Settings made ready for use: defaults filled in, delays by operation, failures with their counters.
// They are replaced whole and never changed, but for the counters of the failures.
type settings struct {
	Settings
	// delays is the read-after-write delay of each operation, by its index.
	delays [maxOperations]time.Duration
	// maxDelay is the longest of delays: older versions of an account's state need not be kept.
	maxDelay time.Duration
	failures []*failure
	events   []*event
	// timeLayout is how IAM v3 writes times.
	timeLayout string
}

// settle checks settings and makes them ready for use. The path is where they stand, for the problems.
func (c *Cloud) settle(s Settings, path string) (*settings, Problems) {
	var problems Problems
	problem := func(at, format string, args ...any) {
		problems = append(problems, Problem{Path: path + at, Message: fmt.Sprintf(format, args...)})
	}
	s.Failures, s.Events = cloneFailures(s.Failures), cloneEvents(s.Events)
	out := &settings{}
	if s.Latency < 0 {
		problem(".latency", "is %v; write a duration of 0s or more", s.Latency)
	}
	if s.ReadAfterWriteDelay < 0 {
		problem(".read_after_write_delay", "is %v; write a duration of 0s or more", s.ReadAfterWriteDelay)
	}
	if s.RateLimit < 0 {
		problem(".rate_limit", "is %v; write requests a second, or 0 for no limit", s.RateLimit)
	}
	if s.PageSize < 0 {
		problem(".page_size", "is %d; write rows of a page, or 0 for the API's own cap", s.PageSize)
	}
	if s.Instance != "" && c.findInstance(s.Instance) == nil {
		problem(".instance", "names no server of the organization: %q; write the name of one under instances", s.Instance)
	}
	for i := range c.operations {
		if c.operations[i].list {
			out.delays[i] = s.ReadAfterWriteDelay
		}
	}
	for _, name := range sortedKeys(s.ReadAfterWriteDelays) {
		at := ".read_after_write_delays." + name
		i := c.operationIndex(name)
		switch d := s.ReadAfterWriteDelays[name]; {
		case i < 0 || !c.operations[i].list:
			problem(at, "is not a list that the cloud has; the lists are %s", strings.Join(c.listNames(), ", "))
		case d < 0:
			problem(at, "is %v; write a duration of 0s or more", d)
		default:
			out.delays[i] = d
		}
	}
	out.maxDelay = slices.Max(out.delays[:])
	for i, f := range s.Failures {
		at := fmt.Sprintf(".failures[%d]", i)
		out.failures = append(out.failures, f.settle(c, func(under, format string, args ...any) {
			problem(at+under, format, args...)
		}))
	}
	for i, e := range s.Events {
		at := fmt.Sprintf(".events[%d]", i)
		out.events = append(out.events, e.settle(c, func(under, format string, args ...any) { problem(at+under, format, args...) }))
	}
	for _, w := range s.Switches.table() {
		switch {
		case *w.value == "":
			*w.value = w.values[0]
		case !slices.Contains(w.values, *w.value):
			problem(".switches."+w.key, "is %q; write one of %s", *w.value, strings.Join(w.values, ", "))
		}
	}
	out.Settings = s
	switch s.Switches.CreateTimeFormat {
	case "z":
		out.timeLayout = "2006-01-02T15:04:05Z"
	case "six_decimals":
		out.timeLayout = "2006-01-02T15:04:05.000000Z"
	default:
		out.timeLayout = "2006-01-02T15:04:05.000000"
	}
	return out, problems
}

// switchRow is one switch with its values, the default first.
type switchRow struct {
	key    string
	value  *string
	values []string
}

// table lists the switches that have named values.
func (s *Switches) table() []switchRow {
	return []switchRow{
		{"repeat_grant", &s.RepeatGrant, []string{"204", "409"}},
		{"revoke_missing", &s.RevokeMissing, []string{"404", "204"}},
		{"scope_type_mismatch", &s.ScopeTypeMismatch, []string{"accept", "400", "403"}},
		{"blacklist", &s.Blacklist, []string{"te_agency", "both"}},
		{"agency_name_filter", &s.AgencyNameFilter, []string{"exact", "substring", "ignored"}},
		{"assignments_without_scope", &s.AssignmentsWithoutScope, []string{"400", "domain"}},
		{"assignments_unpaged", &s.AssignmentsUnpaged, []string{"capped", "all"}},
		{"throttle", &s.Throttle, []string{"APIGW.0308", "IAM.0012"}},
		{"coc_policy_name", &s.COCPolicyName, []string{"default", "service", "both"}},
		{"rms_policy_name", &s.RMSPolicyName, []string{"rms", "config", "both"}},
		{"trust_name_case", &s.TrustNameCase, []string{"lower", "upper", "absent"}},
		{"create_time_format", &s.CreateTimeFormat, []string{"no_zone", "z", "six_decimals"}},
		{"unlimited_duration", &s.UnlimitedDuration, []string{"FOREVER", "null"}},
		{"pending_closure", &s.PendingClosure, []string{"open", "closed"}},
		{"organization_readers", &s.OrganizationReaders, []string{"delegated", "management"}},
		{"last_marker", &s.LastMarker, []string{"null", "absent", "empty"}},
		{"agent_operator", &s.AgentOperator, []string{"iam", "sts"}},
		{"metadata_token", &s.MetadataToken, []string{"required", "optional", "absent"}},
		{"trust_principal", &s.TrustPrincipal, []string{"account", "urn"}},
	}
}

// SetSettings replaces the settings while the cloud runs. The switches that shape the catalogue of policies cannot
// change any more: clients remember policies by id.
func (c *Cloud) SetSettings(s Settings) error {
	next, problems := c.settle(s, "$.settings")
	c.settingsMu.Lock()
	defer c.settingsMu.Unlock()
	if len(problems) == 0 {
		was, is := c.settings.Load().Switches, next.Switches
		if was.COCPolicyName != is.COCPolicyName || was.RMSPolicyName != is.RMSPolicyName ||
			was.DuplicateDisplayName != is.DuplicateDisplayName {
			problems = append(problems, Problem{Path: "$.settings.switches",
				Message: "coc_policy_name, rms_policy_name and duplicate_display_name shape the catalogue of policies and " +
					"cannot change while the cloud runs; start another cloud with them"})
		}
	}
	if len(problems) > 0 {
		return problems
	}
	c.settings.Store(next)
	return nil
}

// Settings returns a copy of the settings in force, defaults filled in.
func (c *Cloud) Settings() Settings {
	s := c.settings.Load().Settings
	s.ReadAfterWriteDelays = maps.Clone(s.ReadAfterWriteDelays)
	s.Failures, s.Events = cloneFailures(s.Failures), cloneEvents(s.Events)
	return s
}
